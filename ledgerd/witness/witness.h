/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness: has the ledger's checkpoints cosigned by the witnesses of a C2SP tlog-policy file (c2sp.org/tlog-witness).
 *
 *   witness_new (reads the policy) → witness_ask (before the first new signature: has one of them seen more than this store holds?)
 *   → witness_start (a thread of its own) → witness_committed … → witness_stop → witness_free
 *
 * A *round* takes the newest committed checkpoint and sends it to every witness that is idle and not being left alone after a failure.
 * What is committed meanwhile waits for the next round: under load many checkpoints share one. Rounds begin at least `interval`
 * apart; one ends when all of it have answered, or `linger` after its quorum was met. A witness that is slow or away is not
 * part of the rounds until it has answered or its time is over; then it is left alone for a while that grows.
 *
 * A cosignature is kept only if it verifies under the witness's key in the policy. The checkpoint whose cosignatures meet the policy's
 * quorum becomes the witnessed one (witnessed.h); it is kept in DIR/witnessed and read again, and verified, at the next start.
 */
#ifndef LEDGERD_WITNESS_WITNESS_H
#define LEDGERD_WITNESS_WITNESS_H

#include "../config.h"

struct store;
struct witness_service;
struct witnessed;
struct witness_options {
    const char *dir;             /* copied */
    const struct config *config; /* used during the call */
    struct store *store;         /* borrowed */
    void (*published_cb)(void *ctx); /* a newer witnessed checkpoint is there; from witness_ask and the service's thread */
    /* It is proven that another process signs checkpoints as this ledger (fork.c): nothing may be signed any more. Once, from the service's
     * thread. NULL is allowed. */
    void (*fenced_cb)(void *ctx, const struct ledger_err *why);
    void *ctx;
};
/* EINVAL: the policy cannot be used; err says why. To be called before other threads are started. Returns owned. */
enum ledger_rc witness_new(const struct witness_options *o, struct witness_service **out, struct ledger_err *err) LEDGER_MUST_USE;
/* Looks at what was kept and asks the witnesses, for at most start_ms. ETAMPER: one of them has cosigned more than this store holds, or
 * another tree. A witness that does not answer is logged and stops nothing. */
enum ledger_rc witness_ask(struct witness_service *s, struct ledger_err *err) LEDGER_MUST_USE;
/* After it: the name of one that can be asked and has cosigned nothing, so that what it has seen is not known. NULL: there is none. */
const char *witness_silent(const struct witness_service *s);
/* Does the policy name this key as a log's? (The key: 32 bytes.) */
bool witness_knows_log(const struct witness_service *s, struct span key);
enum ledger_rc witness_start(struct witness_service *s, struct ledger_err *err) LEDGER_MUST_USE;
/* A checkpoint of this size is committed. Any thread; never waits. */
void witness_committed(struct witness_service *s, uint64_t size);
/* The newest witnessed checkpoint; lives as long as the service. */
struct witnessed *witness_newest(struct witness_service *s);
/* Age and size of the witnessed checkpoint; for each witness the last size, age of the last success, failures. Any thread. */
void witness_figures(struct witness_service *s, void (*put)(void *sink, const char *name, double value, const char *text),
                     void *sink);
/* Ends the thread; what is under way is dropped. No callback comes after it. May be called again; NULL is allowed. */
void witness_stop(struct witness_service *s);
void witness_free(struct witness_service *s); /* NULL is allowed */

#endif
