/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timestamp: time from outside. A thread of its own has the newest checkpoint stamped by a configured authority (RFC 3161), once an
 * interval, verifies the token and has it recorded as a TIME_STAMP entry.
 *
 *   newest checkpoint (log signature alone) → TimeStampReq → HTTP POST → token: nonce, imprint, chain, policy → pipeline_record_own
 *
 * When: an interval after the last recorded token, if there is a checkpoint newer than the one that its own batch made. So an idle
 * ledger with a heartbeat records one token an interval, and one without a heartbeat none. After a failure it tries again after 10 s,
 * then twice as long each time, up to the interval.
 *
 * Failure modes: an authority that is away, hangs, refuses or answers rubbish costs a log line and a figure, and stops nobody. A
 * token is believed as of its own time (tsp.h); when that is far from this machine's clock, one of the two is wrong: the token is
 * recorded, as evidence, and the difference is a figure and a warning.
 *
 * Threads: start and stop in one thread; figures and expiry from any.
 */
#ifndef LEDGERD_TIMESTAMP_TIMESTAMP_H
#define LEDGERD_TIMESTAMP_TIMESTAMP_H

#include "../config.h"
#include "../pipeline.h"

struct store;
struct timestamp;
struct timestamp_options {
    const char *dir;             /* data folder, for relative paths; borrowed during the call */
    const struct config *config; /* borrowed during the call */
    struct store *store;         /* borrowed, as the pipeline is, until timestamp_stop */
};
/* Reads and checks the configuration; no thread yet. EINVAL, ENOTFOUND: the URL, the certificates or the policy. *out NULL with OK: not
 * configured. Returns owned. */
enum ledger_rc timestamp_new(const struct timestamp_options *o, struct timestamp **out, struct ledger_err *err) LEDGER_MUST_USE;
/* The thread begins. */
enum ledger_rc timestamp_start(struct timestamp *t, struct pipeline *p, struct ledger_err *err) LEDGER_MUST_USE;
/* Ends the thread, within about a second also while the authority hangs; not after the pipeline was freed. NULL is allowed. */
void timestamp_stop(struct timestamp *t);
void timestamp_free(struct timestamp *t); /* after timestamp_stop; NULL is allowed */

void timestamp_figures(struct timestamp *t, void (*put)(void *sink, const char *name, double value, const char *text), void *sink);
/* The authority's certificates as of the last token: when the first in the chain expires. */
void timestamp_expiry(struct timestamp *t, void (*add)(void *sink, const char *what, int64_t not_after_s), void *sink);

#endif
