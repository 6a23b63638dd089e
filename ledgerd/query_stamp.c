/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_stamp: timestamp/look.h. The latest TIME_STAMP is found by going back through the ledger's own chain, which has an entry for
 * each start, clock step and token: few.
 */
#include <string.h>

#include "query_internal.h"
#include "timestamp/look.h"

static enum ledger_rc find_stamp(struct query *q, uint64_t from, struct arena *a, struct stamp_look *out, struct ledger_err *err)
{
    struct hash key;
    struct stored e;
    enum ledger_rc rc = LEDGER_OK;
    chain_key(q->c, store_index_key(q->env.store), CHAIN_LEDGER, span_str(q->m.origin), &key);
    for (uint64_t below = q->m.size; below > from; below = e.h.index) {
        struct arena_mark mark = arena_mark(q->scratch);
        rc = read_before(q, &key, below, &e, err);
        if (rc != LEDGER_OK || e.h.kind == OWN_TIME_STAMP || e.h.index == 0)
            break;
        arena_release(q->scratch, mark);
    }
    if (rc != LEDGER_OK || out->size <= from || e.h.kind != OWN_TIME_STAMP)
        return rc;
    out->stamped = true;
    out->stamp_index = e.h.index;
    out->stamp_recorded_us = e.h.recorded_us;
    out->stamp = arena_copy(a, e.event);
    return out->stamp.p ? LEDGER_OK : no_room(err);
}

enum ledger_rc stamp_look(struct store *s, uint64_t from, struct arena *a, struct stamp_look *out, struct ledger_err *err)
{
    struct query q;
    memset(out, 0, sizeof *out);
    enum ledger_rc rc = query_look(&q, &(struct query_env){.store = s}, err);
    if (rc == LEDGER_OK) {
        out->size = q.m.size;
        rc = build_note(&q, a, q.m.size, &out->note, err);
    }
    if (rc == LEDGER_OK)
        rc = find_stamp(&q, from, a, out, err);
    query_look_away(&q);
    return rc;
}
