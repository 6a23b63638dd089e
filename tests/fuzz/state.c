/* SPDX-License-Identifier: Apache-2.0 */
/* state: stored and compact states (u8 type, then the state; with 128 added: compact) and chain records (u8 0). */
#include "fuzz.h"

#include "state.h"

static bool record(struct fuzz *f, struct span bytes)
{
    struct chain ch = {0};
    if (chain_record_decode(bytes, &ch, NULL))
        return false;
    HOLDS(span_eq(chain_record_encode(f->a, &ch), bytes));
    return true;
}

static bool compact(struct fuzz *f, enum chain_type type, struct span bytes)
{
    struct chain ch = {0};
    struct wbuf w;
    if (state_decode_compact(type, bytes, &ch, NULL))
        return false;
    wbuf_init(&w, f->a);
    state_encode_compact(&ch, &w);
    HOLDS(span_eq(wbuf_span(&w), bytes));
    return true;
}

FUZZ_TARGET(state)
{
    struct chain ch = {0};
    struct wbuf w;
    struct hash salt = {{1}}, commitment;
    struct frontier *logs;
    if (in.n < 1)
        return false;
    struct span bytes = span_of(in.p + 1, in.n - 1);
    enum chain_type type = (enum chain_type)(in.p[0] & 127);
    if (in.p[0] == 0)
        return record(f, bytes);
    if (in.p[0] & 128)
        return compact(f, type, bytes);
    if (state_decode(type, bytes, &ch, NULL))
        return false;
    wbuf_init(&w, f->a);
    state_encode(f->c, &ch, true, &w);
    HOLDS(span_eq(wbuf_span(&w), bytes));
    ch.type = type;
    HOLDS(state_chain_id(f->a, &ch).p && state_commit(f->c, f->a, &ch, 0, &salt, &commitment));
    HOLDS(state_logs(&ch, &logs) <= 16);
    return true;
}
