/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query: answers read requests from snapshots of the store that never wait for the writer. A query
 * yields one encoded Response message after the other; the server sends them as credit allows.
 * begin, next and end of one query may run in different threads, never at the same time.
 *
 * What an answer is made of is checked before it is sent: a leaf against the tree, a chain's head
 * against its record, a state and its members against what the head commits to, a proof against the
 * root. A store that fails this makes an Error INTERNAL, never an answer.
 *
 * Costs: FindRequest reads the record of every chain; a history, and the receipt of an entry signed
 * with a key that has been replaced since, read the headers back to where the chain's entries are.
 * Both are O(n) in the ledger and end in an Error TIMEOUT after QUERY_PIN_MS_MAX. Everything else
 * is O(log n) for each chain or entry that is answered with.
 */
#ifndef LEDGERD_QUERY_H
#define LEDGERD_QUERY_H

#include "access.h"
#include "base.h"

/* A response is cut when it has grown beyond this; the last record or proof may lead it over by up
 * to 200 KiB. */
#define QUERY_RESPONSE_BYTES ((size_t)64 * 1024)
/* The budget that the arena given to query_next must have left: a response's parts and its
 * encoding. */
#define QUERY_ARENA_BYTES ((size_t)4 * 1024 * 1024)
/* A proof stream reads one snapshot from beginning to end, for at most so long: it pins pages of
 * the store. */
#define QUERY_PIN_MS_MAX 10000
/* One of a whole lineage, for at most so long, as long as each of its responses is asked for within
 * QUERY_PIN_MS_MAX after the one before. */
#define QUERY_LONG_MS_MAX 600000

struct store;
struct query;
struct witnessed;
struct query_env {
    struct store *store;
    const struct access *access; /* borrowed for the life of the query */
    /* StatusRequest: the server's own figures, appended to the store's. May be NULL. */
    void (*metrics_cb)(void *ctx,
                       void (*put)(void *sink, const char *name, double value, const char *text),
                       void *sink);
    void *metrics_ctx;
    struct witnessed *witnessed; /* NULL: the ledger has no witnesses. Borrowed. */
};

/* Which requests are queries: everything but hello, submit, credit and cancel. `request` is the
 * encoded Request message (borrowed during the call); errors in it become an Error response of the
 * first query_next. */
enum ledger_rc query_begin(const struct query_env *env, struct span request, struct query **out,
                           struct ledger_err *err) LEDGER_MUST_USE;
/* OK: *response is the next encoded Response, in the arena; *more false: it is the last. EBUSY:
 * nothing to send now; the query is to be asked again when something was committed or witnessed, and
 * when query_wait_until_ms has come. Error
 * responses are responses, not errors. EINVAL: the last response has been given already. ENOMEM:
 * the arena has not even room for an Error response. */
enum ledger_rc query_next(struct query *q, struct arena *a, struct span *response, bool *more,
                          struct ledger_err *err) LEDGER_MUST_USE;
/* Lets go of a snapshot that has been held for longer than QUERY_PIN_MS_MAX; the next query_next
 * then yields an Error TIMEOUT. To be called each second or so for queries that wait for credit,
 * never while query_next runs. True if there was one to let go of. */
bool query_expire(struct query *q);
uint32_t query_credit(const struct query *q); /* initial credit that the request grants */
/* After EBUSY: when it has waited long enough, in milliseconds of CLOCK_MONOTONIC; 0: it can wait for
 * ever. */
int64_t query_wait_until_ms(const struct query *q);
void query_end(struct query *q);              /* NULL is allowed */

#endif
