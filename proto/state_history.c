/* SPDX-License-Identifier: Apache-2.0 */
/* state_history: steps, rows of them, and the walk along them (state_history.h). */
#include "state_history.h"

#include <string.h>

#define GAP_MAX 4 /* equal bytes between two changes that are not worth a change of their own: one takes at least three */

/* ---- steps ---- */

static void put_varint(struct wbuf *w, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        wbuf_u8(w, (uint8_t)(v | 0x80));
    wbuf_u8(w, (uint8_t)v);
}

static size_t get_varint(struct rbuf *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        uint8_t b = rbuf_u8(r);
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return (size_t)v;
    }
    r->failed = true;
    return 0;
}

static void put_change(struct wbuf *w, size_t keep, size_t drop, struct span put)
{
    put_varint(w, keep);
    put_varint(w, drop);
    put_varint(w, put.n);
    wbuf_bytes(w, put.p, put.n);
}

/* How many bytes are the same from the beginning on; most are, so eight at a time. */
static size_t alike(const uint8_t *x, const uint8_t *y, size_t n)
{
    size_t i = 0;
    while (n - i >= 8 && memcmp(x + i, y + i, 8) == 0)
        i += 8;
    while (i < n && x[i] == y[i])
        i++;
    return i;
}

/* States of one length differ in a few fields: a change for each run of different bytes. */
static void put_runs(struct wbuf *w, struct span before, struct span after)
{
    size_t kept = 0; /* end of the change before */
    for (size_t i = 0; (i += alike(before.p + i, after.p + i, after.n - i)) < after.n; i = kept) {
        size_t end = i + 1;
        for (size_t k = end; k < after.n && k < end + GAP_MAX; k++)
            if (before.p[k] != after.p[k])
                end = k + 1;
        put_change(w, i - kept, end - i, span_of(after.p + i, end - i));
        kept = end;
    }
}

/* Otherwise one change, between what they have in common at both ends. */
static void put_splice(struct wbuf *w, struct span before, struct span after)
{
    size_t least = before.n < after.n ? before.n : after.n, tail = 0, head = alike(before.p, after.p, least);
    while (tail < least - head && before.p[before.n - 1 - tail] == after.p[after.n - 1 - tail])
        tail++;
    put_change(w, head, before.n - head - tail, span_of(after.p + head, after.n - head - tail));
}

struct span history_step_encode(struct arena *a, uint64_t index, struct span before, struct span after)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u64(&w, index);
    if (before.n == after.n)
        put_runs(&w, before, after);
    else
        put_splice(&w, before, after);
    return wbuf_span(&w);
}

bool history_step_index(struct span step, uint64_t *index)
{
    struct rbuf r;
    rbuf_init(&r, step);
    *index = rbuf_u64(&r);
    return !r.failed;
}

static bool apply(struct rbuf *step, struct span before, uint8_t *out, size_t *n)
{
    struct rbuf old;
    rbuf_init(&old, before);
    *n = 0;
    while (step->n && !step->failed) {
        size_t keep = get_varint(step), drop = get_varint(step), put = get_varint(step);
        struct span kept = rbuf_bytes(&old, keep), added = rbuf_bytes(step, put);
        rbuf_bytes(&old, drop);
        if (step->failed || old.failed || *n + keep + put > STATE_COMPACT_MAX)
            return false;
        if (keep)
            memcpy(out + *n, kept.p, keep);
        if (put)
            memcpy(out + *n + keep, added.p, put);
        *n += keep + put;
    }
    if (step->failed || *n + old.n > STATE_COMPACT_MAX)
        return false;
    if (old.n)
        memcpy(out + *n, old.p, old.n);
    *n += old.n;
    return true;
}

enum ledger_rc history_step_apply(struct arena *a, struct span step, struct span before, struct span *after)
{
    struct rbuf r;
    size_t n;
    uint8_t *out = arena_alloc(a, STATE_COMPACT_MAX);
    if (!out)
        return LEDGER_ENOMEM;
    rbuf_init(&r, step);
    rbuf_u64(&r);
    if (r.failed || !apply(&r, before, out, &n))
        return LEDGER_EINVAL;
    *after = span_of(out, n);
    return LEDGER_OK;
}

/* ---- rows ---- */

struct span history_row_add(struct arena *a, struct span row, struct span step)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_bytes(&w, row.p, row.n);
    put_varint(&w, step.n);
    wbuf_bytes(&w, step.p, step.n);
    return step.p ? wbuf_span(&w) : SPAN_NONE;
}

static struct span take_step(struct rbuf *row)
{
    return rbuf_bytes(row, get_varint(row));
}

/* The row of that step, from its first step on. */
static enum ledger_rc row_of(const struct kv *kv, const struct hash *chain, uint64_t count, struct span waiting, uint64_t seq, struct rbuf *out)
{
    uint8_t key[KV_KEY_MAX];
    const uint64_t number = history_row_number(seq);
    struct span row = waiting;
    enum ledger_rc rc = LEDGER_OK;
    if (seq >= count)
        return LEDGER_ENOTFOUND;
    if (history_row_stored(number, count))
        rc = kv_get(kv, KV_MEMBER, kv_key_member(key, chain, MEMBER_HISTORY, number), &row);
    if (rc == LEDGER_OK)
        rbuf_init(out, row);
    return rc;
}

enum ledger_rc history_step_find(const struct kv *kv, const struct chain *ch, uint64_t seq, struct span *step)
{
    struct rbuf r;
    enum ledger_rc rc = row_of(kv, &ch->key, ch->count, ch->history, seq, &r);
    if (rc)
        return rc;
    for (uint64_t before = seq ? (seq - 1) % HISTORY_STEPS : 0; before; before--)
        (void)take_step(&r);
    *step = take_step(&r);
    return r.failed ? LEDGER_EINVAL : LEDGER_OK;
}

/* ---- the walk ---- */

static enum ledger_rc walk_bad(const struct state_walk *w, enum ledger_rc rc, const char *what, struct ledger_err *err)
{
    char hex[2 * 4 + 1];
    hex_encode(span_of(w->key.b, 4), hex);
    return ledger_fail(err, rc, "history of chain %s…, number %llu: %s", hex, (unsigned long long)w->seq, what);
}

enum ledger_rc state_walk_begin(struct state_walk *w, struct crypto *c, const struct kv *kv, struct arena *a, const struct hash *key,
                                struct ledger_err *err)
{
    memset(w, 0, sizeof *w);
    w->c = c;
    w->kv = *kv;
    w->a = a;
    w->key = *key;
    for (unsigned i = 0; i < 2; i++)
        if (!(w->buffer[i] = arena_alloc(a, STATE_COMPACT_MAX)))
            return walk_bad(w, LEDGER_ENOMEM, "over the memory budget", err);
    struct span record;
    struct chain_front front;
    enum ledger_rc rc = kv_get(kv, KV_CHAIN, span_of(key->b, HASH_LEN), &record);
    if (rc == LEDGER_ENOTFOUND)
        return LEDGER_OK;
    if (!rc)
        rc = chain_record_front(record, &front, err);
    if (rc)
        return walk_bad(w, rc == LEDGER_EINVAL ? LEDGER_ETAMPER : rc, "the chain's record cannot be read", err);
    w->count = front.count;
    w->waiting = front.history;
    return LEDGER_OK;
}

/* The lists grow by the members that stand beside the state. */
static enum ledger_rc grow_logs(struct state_walk *w, struct ledger_err *err)
{
    struct frontier *logs, full;
    uint8_t key[KV_KEY_MAX];
    unsigned n = state_logs(&w->chain, &logs);
    for (unsigned i = 0; i < n; i++) {
        uint64_t size = logs[i].size;
        full = logs[i];
        full.size = w->members_before[i];
        if (size < full.size)
            return walk_bad(w, LEDGER_ETAMPER, "a list has become shorter", err);
        while (full.size < size) {
            struct span member;
            struct hash leaf;
            if (kv_get(&w->kv, KV_MEMBER, kv_key_member(key, &w->key, i, full.size), &member))
                return walk_bad(w, LEDGER_ETAMPER, "a member is missing", err);
            merkle_leaf(w->c, member, &leaf);
            frontier_append(w->c, &full, &leaf);
        }
        logs[i] = full;
    }
    return LEDGER_OK;
}

static void note_sizes(struct state_walk *w)
{
    struct frontier *logs;
    unsigned n = state_logs(&w->chain, &logs);
    for (unsigned i = 0; i < n; i++)
        w->members_before[i] = logs[i].size;
}

/* The next step; a row at a time is looked up. */
static enum ledger_rc next_step(struct state_walk *w, struct span *out)
{
    enum ledger_rc rc = LEDGER_OK;
    if (w->seq >= w->count)
        return LEDGER_ENOTFOUND;
    if (w->seq == 0 || history_row_ends(w->seq - 1))
        rc = row_of(&w->kv, &w->key, w->count, w->waiting, w->seq, &w->row);
    if (rc)
        return rc == LEDGER_ENOTFOUND ? LEDGER_EINVAL : rc;
    *out = take_step(&w->row);
    bool last = history_row_ends(w->seq) || w->seq + 1 == w->count;
    return w->row.failed || (last && w->row.n) ? LEDGER_EINVAL : LEDGER_OK;
}

enum ledger_rc state_walk_next(struct state_walk *w, struct ledger_err *err)
{
    struct span step = SPAN_NONE;
    struct rbuf r;
    size_t n;
    enum ledger_rc rc = next_step(w, &step);
    if (rc == LEDGER_ENOTFOUND)
        return rc;
    if (rc)
        return walk_bad(w, rc == LEDGER_EINVAL ? LEDGER_ETAMPER : rc, ledger_rc_text(rc), err);
    if (w->seq)
        note_sizes(w);
    rbuf_init(&r, step);
    w->index = rbuf_u64(&r);
    uint8_t *out = w->buffer[w->turn ^= 1];
    if (r.failed || !apply(&r, w->compact, out, &n) || n < 2)
        return walk_bad(w, LEDGER_ETAMPER, "its step is malformed", err);
    w->compact = span_of(out, n);
    if (out[0] < CHAIN_ITEM || out[0] > CHAIN_LEDGER || (w->seq && out[0] != (uint8_t)w->chain.type))
        return walk_bad(w, LEDGER_ETAMPER, "its step makes no state of this chain", err);
    rc = state_decode_compact((enum chain_type)out[0], w->compact, &w->chain, err);
    if (rc)
        return rc == LEDGER_EVERSION ? rc : walk_bad(w, LEDGER_ETAMPER, "its step makes no state", err);
    rc = grow_logs(w, err);
    if (rc)
        return rc;
    w->chain.key = w->key;
    w->chain.id = state_chain_id(w->a, &w->chain);
    w->chain.exists = true;
    w->chain.count = ++w->seq;
    w->chain.head_index = w->index;
    return LEDGER_OK;
}
