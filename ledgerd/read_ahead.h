/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_ahead: recorded entries in order, for whoever derives them again: decoded and their signatures verified by threads, on all cores, ahead of the
 * caller.
 *
 * Happy path: read_ahead_log, or read_ahead_start with another source; read_ahead_next for each entry, and replay_one (check_internal.h) with
 * what it gives; read_ahead_stop.
 *
 * What the threads find out beforehand saves the machine from doing it again and changes nothing of what it finds (preverify.h), if its origin is the
 * one that signatures are verified under here: that of entry 0, from which the machine has it, too, or the one that is given. What does
 * not decode, and signatures whose key is not known, are left to it.
 *
 * Threads: one caller. The source is read by one thread at a time, which may be any. Where no thread can be started, the caller's does it. Memory: a
 * few megabytes a core, some ten if entries are large.
 */
#ifndef LEDGERD_READ_AHEAD_H
#define LEDGERD_READ_AHEAD_H

#include "preverify.h"
#include "store/log.h"

struct ahead_entry {
    enum ledger_rc rc;    /* OK, or what there is in place of a record: ENOTFOUND, ETAMPER */
    struct entry_record record;
    const char *from;     /* as the source says; may be NULL */
    bool decoded;
    struct entry entry;   /* decoded: as verify_entry made it */
    struct preverified pre;
};

struct ahead_source {
    void *ctx;
    /* The next record, borrowed until the next call; `index` is one more than last time. ENOTFOUND, ETAMPER: there is none, or none that can be read;
     * anything else but OK ends the reading. */
    enum ledger_rc (*read)(void *ctx, uint64_t index, struct entry_record *out, const char **from, struct ledger_err *err);
    void (*pause)(void *ctx); /* nothing is read for some time: what is pinned may go. May be NULL */
};

struct read_ahead;
/* Entries 0 to `to` - 1 of a source. ENOMEM. Owned by the caller, also on failure. */
enum ledger_rc read_ahead_start(const struct ahead_source *source, uint64_t to, struct read_ahead **out, struct ledger_err *err) LEDGER_MUST_USE;
/* Entries `from` to `to` - 1 of a store's log; `origin` is the machine's, and is not asked for if it begins at 0. The store may be in a write transaction of the caller's that leaves the log as it is. Each entry is looked
 * up from the root of its table, as others do who do not come from the entry before. */
enum ledger_rc read_ahead_log(struct store *s, const char *origin, uint64_t from, uint64_t to, struct read_ahead **out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* The next entry, borrowed until the next call. Not to be asked for behind the last. Not OK: what ended the reading. */
enum ledger_rc read_ahead_next(struct read_ahead *r, const struct ahead_entry **out, struct ledger_err *err) LEDGER_MUST_USE;
void read_ahead_stop(struct read_ahead *r); /* NULL is allowed */

#endif
