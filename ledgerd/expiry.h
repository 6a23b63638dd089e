/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expiry: when the certificates of a ledger run out: the server's and its authority's, the revocation list's next update, the one for
 * HTTP, those issued to clients, and what others add (the time-stamping authority's). Keys of parties and of the log have no end of
 * their own: they are revoked or replaced by entries.
 *
 * The files are read when figures are asked for and the last reading is older than a few seconds, and once a day for warnings in the log
 * about what ends within EXPIRY_WARN_DAYS. Of a client only the newest certificate counts, if it is not revoked. A file that cannot be
 * read is left out: whoever needs it complains.
 *
 * Threads: new, start, stop and free in one; figures from any. figures reads files.
 */
#ifndef LEDGERD_EXPIRY_H
#define LEDGERD_EXPIRY_H

#include "config.h"

#define EXPIRY_WARN_DAYS 30

struct expiry;
struct expiry_options {
    const char *dir;             /* data folder; copied */
    const struct config *config; /* borrowed during the call */
    void (*more_cb)(void *ctx, void (*add)(void *sink, const char *what, int64_t not_after_s), void *sink); /* any thread; may be NULL */
    void *ctx;
};
enum ledger_rc expiry_new(const struct expiry_options *o, struct expiry **out, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc expiry_start(struct expiry *e, struct ledger_err *err) LEDGER_MUST_USE;
void expiry_stop(struct expiry *e); /* NULL is allowed */
void expiry_free(struct expiry *e); /* NULL is allowed */
/* One "certificate_days" for each, in days from now (negative: it has ended), with what it is as the text. Clients' certificates go by
 * their serial numbers (`ledgerd cert list`): who else is a client is nobody's business. */
void expiry_figures(struct expiry *e, void (*put)(void *sink, const char *name, double value, const char *text), void *sink);

#endif
