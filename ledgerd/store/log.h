/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: the authoritative sequence of entries, behind the small interface that a second driver (a
 * replicated database) can stand behind one day. The log is KV_LOG and KV_CHECKPOINT; the view is
 * every other table and follows from it.
 *
 *   begin → append(expected size, epoch, batch) → appended, conflict, full or unknown
 *   tail, read, checkpoint              → from a snapshot
 *
 * A batch carries the rows of log and view: either all of it is there afterwards or nothing is. It is durable in the journal when append
 * returns, every snapshot from then on sees it, and it is put into the tables later, with others (store_apply.c). The expected size
 * fences a second writer: whoever judged against an older log than there is now gets a conflict, and so does a writer of an older epoch.
 */
#ifndef LEDGERD_STORE_LOG_H
#define LEDGERD_STORE_LOG_H

#include "entry.h"
#include "store.h"

enum log_outcome {
    LOG_APPENDED = 0,
    LOG_CONFLICT, /* the log has another size or a newer epoch: another writer; nothing was written
                   */
    LOG_FULL,     /* no space, or too much for one transaction; nothing was written */
    LOG_UNKNOWN,  /* what reached the disk is unknown: the process must end, answer nothing and
                     verify the tail at its next start */
};

struct log_batch {
    struct kv_mem *rows; /* over the kv that log_begin gave; empty afterwards */
    bool own;            /* only the ledger's own entries: may use the reserve */
    bool recall;         /* only recalls: may use more of it */
    bool erases;         /* content is replaced in the log: goes into the tables at once, with the mark of log_erasing */
};
/* Begins a batch: *out reads what is recorded, and takes only what log_append puts there. Ended by log_append or store_abort; one at a time,
 * in the thread of the write transactions. */
enum ledger_rc log_begin(struct store *s, struct kv *out, struct ledger_err *err) LEDGER_MUST_USE;
/* Ends the batch whatever the outcome. err is filled for every outcome but APPENDED. */
enum log_outcome log_append(struct store *s, uint64_t expected_size, uint64_t epoch,
                            const struct log_batch *batch, struct ledger_err *err) LEDGER_MUST_USE;

/* Number of entries. */
enum ledger_rc log_size(struct store_snapshot *sn, uint64_t *out,
                        struct ledger_err *err) LEDGER_MUST_USE;
/* One record, taken apart; borrowed from the snapshot. ETAMPER: it is no record. */
enum ledger_rc log_read(const struct kv *kv, uint64_t index, struct entry_record *out,
                        struct ledger_err *err) LEDGER_MUST_USE;
/* … and its header, decoded; borrows from the arena, too. ETAMPER also: the header is malformed, another entry's, or says that it is of a newer
 * version and is not the leaf that the tree has at its place. EVERSION: it is of a newer version. */
enum ledger_rc log_read_header(struct crypto *c, struct arena *a, const struct kv *kv, uint64_t index, struct entry_record *out, struct header *h,
                               struct ledger_err *err) LEDGER_MUST_USE;
/* Root of the latest checkpoint and its size; ENOTFOUND if there is none. */
enum ledger_rc log_checkpoint(struct store_snapshot *sn, uint64_t *size, struct hash *root,
                              struct ledger_err *err) LEDGER_MUST_USE;

/* A rebuild of the view is under way: nobody may write to the log, or trust the view. */
bool log_rebuilding(const struct kv *kv);
/* One that makes a view of the present format: so it can go on. */
bool log_rebuilding_same(const struct kv *kv);
/* Inside a write transaction. */
enum ledger_rc log_set_rebuilding(struct store *s, bool on, struct ledger_err *err) LEDGER_MUST_USE;

/* Content was erased from the log, and its bytes may still be in the file: a compaction is due
 * (store_compact), which takes the mark away. */
bool log_erasing(const struct kv *kv);
/* Inside the write transaction that erases. */
enum ledger_rc log_set_erasing(struct store *s, struct ledger_err *err) LEDGER_MUST_USE;

#endif
