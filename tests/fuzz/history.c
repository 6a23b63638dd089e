/* SPDX-License-Identifier: Apache-2.0 */
/* history: var state before, and a row that is applied to it; what comes out can be written as a row again. */
#include "fuzz.h"

#include "state_history.h"

FUZZ_TARGET(history)
{
    struct rbuf r;
    struct span after, again;
    uint64_t index;
    rbuf_init(&r, in);
    struct span before = rbuf_str(&r), row = span_of(r.p, r.n);
    if (r.failed || !history_row_index(row, &index) || history_row_apply(f->a, row, before, &after))
        return false;
    struct span mine = history_row_encode(f->a, index, before, after);
    uint64_t mine_index;
    HOLDS(mine.p && history_row_index(mine, &mine_index) && mine_index == index);
    HOLDS(history_row_apply(f->a, mine, before, &again) == LEDGER_OK && span_eq(again, after));
    return true;
}
