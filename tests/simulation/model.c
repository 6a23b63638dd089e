/* SPDX-License-Identifier: Apache-2.0 */
/* model: see model.h. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "store/log.h"

#define SLOTS ((size_t)1 << 18)
#define NONCES_MAX 20000

static void *room_for(size_t n, size_t each)
{
    void *p = calloc(n, each);
    LEDGER_REQUIRE(p);
    return p;
}

void model_init(struct model *m, struct crypto *c, struct arena *a)
{
    *m = (struct model){.c = c, .a = a, .n_slots = SLOTS, .recorded_us = INT64_MIN, .map_every = 1};
    m->by_id = room_for(SLOTS, sizeof(struct sent *));
    m->items = room_for(MODEL_ITEMS_MAX, sizeof *m->items);
    m->recalls = room_for(MODEL_RECALLS_MAX, sizeof *m->recalls);
    m->parties = room_for(MODEL_PARTIES_MAX, sizeof *m->parties);
    m->reference_entry = room_for(SLOTS, sizeof *m->reference_entry);
    m->nonces = room_for(NONCES_MAX, sizeof *m->nonces);
}

void model_fini(struct model *m)
{
    free(m->by_id);
    free(m->items);
    free(m->recalls);
    free(m->parties);
    free(m->reference_entry);
    free(m->nonces);
    free(m->leaves);
    free(m->root_at);
    free(m->rows);
}

/* ---- events ---- */

static struct sent **slot_of(const struct model *m, const struct hash *id)
{
    size_t at;
    memcpy(&at, id->b, sizeof at);
    for (at &= m->n_slots - 1; m->by_id[at] && !hash_eq(&m->by_id[at]->id, id); at = (at + 1) & (m->n_slots - 1))
        ;
    return &m->by_id[at];
}

void model_sent(struct model *m, struct sent *e)
{
    struct sent **slot = slot_of(m, &e->id);
    LEDGER_REQUIRE(!*slot && ++m->n_sent * 2 < m->n_slots && e->reference < SLOTS);
    *slot = e;
}

/* ---- the rules ---- */

/* Is a recall open of the item, or of anything that it came from? */
static bool recalled(const struct model *m, unsigned item)
{
    const struct model_item *x = &m->items[item];
    if (x->open_recalls)
        return true;
    for (unsigned i = 0; i < x->n_from; i++)
        if (recalled(m, x->from[i])) /* three generations at most */
            return true;
    return false;
}

static bool usable(const struct model *m, unsigned item)
{
    return m->items[item].exists && !m->items[item].terminal && !recalled(m, item);
}

static bool all_exist(const struct model *m, const struct sent *e, bool wanted)
{
    for (unsigned i = 0; i < e->n; i++)
        if (m->items[e->other + i].exists != wanted)
            return false;
    return true;
}

bool model_inherits_recall(const struct model *m, const struct sent *e)
{
    return !m->items[e->subject].open_recalls && recalled(m, e->subject);
}

bool model_legal(const struct model *m, const struct sent *e)
{
    const struct model_item *x = &m->items[e->subject], *in = &m->items[e->other];
    const struct model_party *signer = &m->parties[e->signer];
    if (!e->signatures_good || !signer->exists || signer->revoked || m->reference_entry[e->reference])
        return false;
    switch (e->op) {
    case OP_REGISTER: return !m->parties[e->subject].exists;
    case OP_REVOKE: return m->parties[e->subject].exists && !m->parties[e->subject].revoked;
    case OP_COI: return !m->coi;
    case OP_MATERIAL:
    case OP_LOT: return !x->exists;
    case OP_RELEASE: return usable(m, e->subject);
    case OP_CONSUME:
        return usable(m, e->subject) && usable(m, e->other) && in->released && e->quantity > 0 && e->quantity <= in->available;
    case OP_DERIVE: return usable(m, e->subject) && x->has_input;
    case OP_SPLIT:
        return usable(m, e->subject) && all_exist(m, e, false) && e->quantity > 0 && e->quantity * e->n <= x->available;
    case OP_MOVE:
    case OP_DISPOSE: return x->exists && !x->terminal;
    case OP_RECALL: return !m->recalls[e->subject].exists && all_exist(m, e, true);
    case OP_CLOSE: return m->recalls[e->subject].exists && m->recalls[e->subject].open;
    case OP_ADMINISTER: return m->coi && x->exists && !x->terminal;
    case OPS: break;
    }
    return false;
}

static void apply_recall(struct model *m, struct model_recall *r, int by)
{
    for (unsigned i = 0; i < r->n; i++)
        m->items[r->first + i].open_recalls += (unsigned)by;
    r->open = by > 0;
}

static void apply_split(struct model *m, const struct sent *e)
{
    for (unsigned i = 0; i < e->n; i++)
        m->items[e->other + i] =
            (struct model_item){.exists = true, .available = e->quantity, .n_from = 1, .from = {e->subject}};
    m->items[e->subject].available -= e->quantity * e->n;
}

static void apply(struct model *m, const struct sent *e)
{
    struct model_item *x = &m->items[e->subject], *in = &m->items[e->other];
    switch (e->op) {
    case OP_REGISTER: m->parties[e->subject].exists = true; break;
    case OP_REVOKE: m->parties[e->subject].revoked = true; break;
    case OP_COI: m->coi = true; break;
    case OP_MATERIAL: *x = (struct model_item){.exists = true, .available = e->quantity}; break;
    case OP_LOT: *x = (struct model_item){.exists = true}; break;
    case OP_RELEASE: x->released = true; break;
    case OP_CONSUME:
        in->available -= e->quantity;
        x->has_input = true;
        if (x->n_from < MODEL_INPUTS_MAX)
            x->from[x->n_from++] = e->other;
        break;
    case OP_DERIVE: x->available += e->quantity; break;
    case OP_SPLIT: apply_split(m, e); break;
    case OP_MOVE: break;
    case OP_RECALL:
        m->recalls[e->subject] = (struct model_recall){.exists = true, .first = e->other, .n = e->n};
        apply_recall(m, &m->recalls[e->subject], 1);
        break;
    case OP_CLOSE: apply_recall(m, &m->recalls[e->subject], -1); break;
    case OP_ADMINISTER:
        x->terminal = true;
        x->available = 0;
        break;
    case OP_DISPOSE: x->terminal = true; break;
    case OPS: break;
    }
    m->recorded[e->op]++;
    if (in->available < 0 || x->available < 0)
        sim_fail("entry %llu takes more of an item than there is", (unsigned long long)m->size);
}

/* ---- the tree, RFC 6962 ---- */

static void hash_of(struct model *m, uint8_t prefix, struct span a, struct span b, struct hash *out)
{
    const struct span parts[] = {span_of(&prefix, 1), a, b};
    crypto_sha256(m->c, parts, b.p ? 3 : 2, out);
}

static void add_leaf(struct model *m, struct span header)
{
    if (m->size + 1 >= m->room) {
        m->room = m->room ? 2 * m->room : 4096;
        m->leaves = realloc(m->leaves, m->room * sizeof *m->leaves);
        m->root_at = realloc(m->root_at, m->room * sizeof *m->root_at);
        LEDGER_REQUIRE(m->leaves && m->root_at);
    }
    hash_of(m, 0, header, SPAN_NONE, &m->leaves[m->size]);
    m->stack[m->depth] = m->leaves[m->size];
    m->heights[m->depth++] = 0;
    while (m->depth >= 2 && m->heights[m->depth - 1] == m->heights[m->depth - 2]) {
        struct hash *l = &m->stack[m->depth - 2], *r = l + 1;
        hash_of(m, 1, span_of(l->b, HASH_LEN), span_of(r->b, HASH_LEN), l);
        m->heights[--m->depth - 1]++;
    }
    m->root_at[++m->size] = HASH_ZERO;
}

static void root_now(struct model *m, struct hash *out)
{
    *out = m->stack[m->depth - 1];
    for (unsigned i = m->depth - 1; i-- > 0;)
        hash_of(m, 1, span_of(m->stack[i].b, HASH_LEN), span_of(out->b, HASH_LEN), out);
}

/* ---- the chain map: a sorted list ---- */

static size_t row_place(const struct model *m, const struct hash *key)
{
    size_t low = 0, high = m->n_rows;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(m->rows[middle].key.b, key->b, HASH_LEN) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void advance(struct model *m, const struct link *l, const struct hash *leaf)
{
    size_t at = row_place(m, &l->chain);
    if (at == m->n_rows || !hash_eq(&m->rows[at].key, &l->chain)) {
        if (m->n_rows == m->rows_room) {
            m->rows_room = m->rows_room ? 2 * m->rows_room : 1024;
            m->rows = realloc(m->rows, m->rows_room * sizeof *m->rows);
            LEDGER_REQUIRE(m->rows);
        }
        memmove(&m->rows[at + 1], &m->rows[at], (m->n_rows++ - at) * sizeof *m->rows);
        m->rows[at] = (struct map_row){.key = l->chain};
    }
    struct map_row *r = &m->rows[at];
    if (l->seq != r->count || !hash_eq(&l->prev, &r->head))
        sim_fail("entry %llu is number %llu of a chain that has %llu, or does not follow its latest", (unsigned long long)m->size,
                 (unsigned long long)l->seq, (unsigned long long)r->count);
    r->count++;
    r->head = *leaf;
}

static bool bit_of(const struct hash *h, unsigned i)
{
    return h->b[i / 8] >> (7 - i % 8) & 1;
}

static void map_root(struct model *m, size_t low, size_t high, unsigned depth, struct hash *out)
{
    uint8_t count[8];
    struct hash l, r;
    size_t split = low;
    *out = HASH_ZERO;
    if (low == high)
        return;
    if (high - low == 1) {
        const struct map_row *row = &m->rows[low];
        (void)kv_key_u64(count, row->count);
        const struct hfield f[] = {HFIX(row->key.b, HASH_LEN), HFIX(count, 8), HFIX(row->head.b, HASH_LEN)};
        crypto_labelled(m->c, LABEL_MAP_LEAF, f, 3, out);
        return;
    }
    while (split < high && !bit_of(&m->rows[split].key, depth))
        split++;
    map_root(m, low, split, depth + 1, &l);
    map_root(m, split, high, depth + 1, &r);
    const struct hfield f[] = {HFIX(l.b, HASH_LEN), HFIX(r.b, HASH_LEN)};
    crypto_labelled(m->c, LABEL_MAP_NODE, f, 2, out);
}

/* ---- entries ---- */

static void read_seal(struct model *m, const struct header *h)
{
    struct hash root;
    root_now(m, &m->root_at[m->size]);
    if (h->chains != m->n_rows)
        sim_fail("seal %llu counts %llu chains, there are %zu", (unsigned long long)h->index, (unsigned long long)h->chains, m->n_rows);
    if (m->seals++ % m->map_every)
        return;
    map_root(m, 0, m->n_rows, 0, &root);
    m->roots_compared++;
    if (!hash_eq(&root, &h->map_root))
        sim_fail("seal %llu has another chain map root than the sorted list of chains", (unsigned long long)h->index);
}

static void read_own(struct model *m, const struct header *h, struct span payload)
{
    if (h->kind == OWN_GENESIS)
        return;
    if (h->kind != OWN_EPOCH && h->kind != OWN_CLOCK_STEP)
        sim_fail("entry %llu: nobody made an entry of kind %u", (unsigned long long)h->index, h->kind);
    if (h->kind == OWN_CLOCK_STEP)
        m->step_due = false;
    m->epoch += h->kind == OWN_EPOCH;
    LEDGER_REQUIRE(payload.n > 17 && m->n_nonces < NONCES_MAX);
    for (size_t i = 0; i < m->n_nonces; i++)
        if (memcmp(m->nonces[i], payload.p + 1, 16) == 0)
            sim_fail("entry %llu has the nonce of an earlier one", (unsigned long long)h->index);
    memcpy(m->nonces[m->n_nonces++], payload.p + 1, 16);
}

static void read_event(struct model *m, const struct header *h, struct span event)
{
    struct sent *e = *slot_of(m, &h->event_id);
    uint64_t index = h->index;
    if (!e || !span_eq(e->bytes, event))
        sim_fail("entry %llu is an event that nobody has made", (unsigned long long)index);
    if (e->index)
        sim_fail("entry %llu is the event of entry %llu again", (unsigned long long)index, (unsigned long long)e->index);
    if (!e->may)
        sim_fail("entry %llu is an event that was answered \"nothing was recorded\"", (unsigned long long)index);
    if (m->step_due)
        sim_fail("entry %llu was recorded after the clock was set, and no entry says so", (unsigned long long)index);
    if (!model_legal(m, e))
        sim_fail("entry %llu is what the rules refuse (op %d, subject %u)", (unsigned long long)index, (int)e->op, e->subject);
    apply(m, e);
    e->index = index;
    m->reference_entry[e->reference] = index;
}

static void read_entry(struct model *m, const struct entry_record *r)
{
    struct header h;
    if (header_decode(m->a, r->header, &h, NULL) || h.index != m->size)
        sim_fail("entry %llu has no header of its own", (unsigned long long)m->size);
    if (h.recorded_us < m->recorded_us)
        sim_fail("entry %llu was recorded before the entry before it", (unsigned long long)h.index);
    m->recorded_us = h.recorded_us;
    if (h.kind >= EVENT_KIND_FIRST)
        read_event(m, &h, r->event);
    else if (h.kind != OWN_SEAL)
        read_own(m, &h, r->event);
    if (h.epoch != m->epoch)
        sim_fail("entry %llu is of epoch %llu, not %llu", (unsigned long long)h.index, (unsigned long long)h.epoch,
                 (unsigned long long)m->epoch);
    add_leaf(m, r->header);
    for (unsigned i = 0; i < h.n_links; i++)
        advance(m, &h.links[i], &m->leaves[h.index]);
    if (h.kind == OWN_SEAL)
        read_seal(m, &h);
}

void model_read(struct model *m, const struct kv *kv, uint64_t until)
{
    struct ledger_err err = {0};
    struct entry_record r;
    while (m->size < until) {
        struct arena_mark mark = arena_mark(m->a);
        if (log_read(kv, m->size, &r, &err))
            sim_fail("entry %llu, which was acknowledged, is lost: %s", (unsigned long long)m->size, err.msg);
        read_entry(m, &r);
        arena_release(m->a, mark);
    }
}

void model_compare(struct model *m, const struct kv *kv)
{
    struct entry_record r;
    struct hash leaf;
    for (uint64_t i = 0; i < m->size; i++) {
        if (log_read(kv, i, &r, NULL))
            sim_fail("entry %llu, which was acknowledged, is lost", (unsigned long long)i);
        hash_of(m, 0, r.header, SPAN_NONE, &leaf);
        if (!hash_eq(&leaf, &m->leaves[i]))
            sim_fail("entry %llu has changed", (unsigned long long)i);
    }
}
