/* SPDX-License-Identifier: Apache-2.0 */
/*
 * look: what the ledger holds for the time-stamping thread: the newest checkpoint and the token recorded last. Read and checked like
 * every answer (query_stamp.c). Any thread.
 */
#ifndef LEDGERD_TIMESTAMP_LOOK_H
#define LEDGERD_TIMESTAMP_LOOK_H

#include "base.h"

#define LOOK_ARENA_BYTES ((size_t)1 << 20)

struct store;
struct stamp_look {
    uint64_t size;
    struct span note;       /* of the newest checkpoint, with the log's signature alone */
    bool stamped;           /* there is a TIME_STAMP entry: */
    uint64_t stamp_index;   /* the latest one */
    struct span stamp;      /* its payload */
    int64_t stamp_recorded_us;
};
/* `from` is the entry of a TIME_STAMP that is known already, 0 if none: entries before it are not looked at. Spans in the arena. */
enum ledger_rc stamp_look(struct store *s, uint64_t from, struct arena *a, struct stamp_look *out, struct ledger_err *err)
    LEDGER_MUST_USE;

#endif
