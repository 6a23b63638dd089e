/* SPDX-License-Identifier: Apache-2.0 */
/* history: var state before, and a step that is applied to it; what comes out can be written as a step again. */
#include "fuzz.h"

#include "state_history.h"

FUZZ_TARGET(history)
{
    struct rbuf r;
    struct span after, again;
    uint64_t index;
    rbuf_init(&r, in);
    struct span before = rbuf_str(&r), step = span_of(r.p, r.n);
    if (r.failed || !history_step_index(step, &index) || history_step_apply(f->a, step, before, &after))
        return false;
    struct span mine = history_step_encode(f->a, index, before, after);
    uint64_t mine_index;
    HOLDS(mine.p && history_step_index(mine, &mine_index) && mine_index == index);
    HOLDS(history_step_apply(f->a, mine, before, &again) == LEDGER_OK && span_eq(again, after));
    return true;
}
