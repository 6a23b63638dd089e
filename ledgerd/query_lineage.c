/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_lineage: the set of chains of a ProveRequest and how it grows (query_lineage.h). Edges are
 * read from the member logs of the items; that these logs are complete is checked when their
 * members are sent, against the state that the head commits to.
 */
#include <string.h>

#include "query_lineage.h"

#define EXCURSION_PREFIX "excursion/"
#define TIME_CHECK_EVERY 1024 /* members read between two looks at the clock */

static size_t first_slot(const struct hash *key, size_t n_slots)
{
    /* Chain keys are HMACs: any eight bytes of them are as good as a hash. */
    uint64_t v;
    memcpy(&v, key->b, sizeof v);
    return (size_t)v & (n_slots - 1);
}

/* Where the key is, or the empty place where it would be. */
static struct wanted **slot_of(struct wanted **slots, size_t n_slots, const struct hash *key)
{
    size_t i = first_slot(key, n_slots);
    while (slots[i] && !hash_eq(&slots[i]->key, key))
        i = (i + 1) & (n_slots - 1);
    return &slots[i];
}

static enum ledger_rc too_many(const struct lineage *l, struct ledger_err *err)
{
    return ledger_fail(err, LEDGER_ELIMIT,
                       "more than %zu chains belong to this answer; ask for parts of the lineage",
                       l->n_seen);
}

/* Keeps at least half of the places empty. */
static bool make_place(struct query *q, struct lineage *l)
{
    if (l->n_slots > 0 && l->n_seen < l->n_slots / 2)
        return true;
    size_t n = l->n_slots ? l->n_slots * 2 : 64;
    struct wanted **slots = arena_alloc(q->a, n * sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < l->n_slots; i++)
        if (l->seen[i])
            *slot_of(slots, n, &l->seen[i]->key) = l->seen[i];
    l->seen = slots;
    l->n_slots = n;
    return true;
}

enum ledger_rc lineage_add(struct query *q, struct lineage *l, enum chain_type type, struct span id,
                           bool named, struct ledger_err *err)
{
    struct hash key;
    if (id.n == 0)
        return LEDGER_OK;
    if (!make_place(q, l))
        return too_many(l, err);
    chain_key(q->c, &q->m.index_key, type, id, &key);
    struct wanted **slot = slot_of(l->seen, l->n_slots, &key);
    if (*slot)
        return LEDGER_OK;
    struct wanted *w = arena_alloc(q->a, sizeof *w);
    if (!w)
        return too_many(l, err);
    *w = (struct wanted){.type = type, .id = id, .key = key, .named = named};
    *slot = w;
    l->n_seen++;
    if (l->last)
        l->last->next = w;
    else
        l->first = w;
    l->last = w;
    return LEDGER_OK;
}

struct wanted *lineage_take(struct lineage *l)
{
    struct wanted *w = l->first;
    if (w)
        l->first = w->next;
    if (!l->first)
        l->last = NULL;
    return w;
}

/* What one member of a log names: an item by an edge, a case by its id, a case by an excursion
 * fact. */
static enum ledger_rc add_member(struct query *q, struct lineage *l, unsigned log,
                                 struct span member, struct ledger_err *err)
{
    struct edge edge;
    struct excursion_fact fact;
    struct wbuf w;
    if (log == ITEM_LOG_CASES)
        return lineage_add(q, l, CHAIN_CASE, member, false, err);
    if (log != ITEM_LOG_EXCURSIONS) {
        if (!edge_decode(member, &edge))
            return ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: malformed edge");
        return lineage_add(q, l, CHAIN_ITEM, edge.item, false, err);
    }
    if (!excursion_fact_decode(member, &fact))
        return ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: malformed excursion");
    wbuf_init(&w, q->a);
    wbuf_bytes(&w, EXCURSION_PREFIX, sizeof EXCURSION_PREFIX - 1);
    wbuf_bytes(&w, fact.id.p, fact.id.n);
    return w.failed ? too_many(l, err) : lineage_add(q, l, CHAIN_CASE, wbuf_span(&w), false, err);
}

static enum ledger_rc spread_log(struct query *q, struct lineage *l, const struct chain *ch,
                                 unsigned log, struct ledger_err *err)
{
    for (uint64_t i = 0; i < ch->item.logs[log].size; i++) {
        struct span member;
        enum ledger_rc rc = read_member(q, ch, log, i, &member, err);
        if (rc == LEDGER_OK)
            rc = add_member(q, l, log, member, err);
        if (rc == LEDGER_OK && i % TIME_CHECK_EVERY == 0)
            rc = view_check_time(q, err);
        if (rc != LEDGER_OK)
            return rc;
    }
    return LEDGER_OK;
}

static enum ledger_rc spread_related(struct query *q, struct lineage *l,
                                     const struct item_state *it, struct ledger_err *err)
{
    const struct {
        enum chain_type type;
        struct span id;
    } named[] = {
        {CHAIN_SUBJECT, it->coi},          {CHAIN_SUBJECT, it->for_coi},
        {CHAIN_SUBJECT, it->patient},      {CHAIN_SHIPMENT, it->shipment},
        {CHAIN_PRODUCT, it->product_code},
    };
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        enum ledger_rc rc = lineage_add(q, l, named[i].type, named[i].id, false, err);
        if (rc != LEDGER_OK)
            return rc;
    }
    return LEDGER_OK;
}

enum ledger_rc lineage_spread(struct query *q, struct lineage *l, const struct chain *ch,
                              struct ledger_err *err)
{
    const Ledgerd__V1__ProveRequest *req = q->request->prove;
    enum ledger_rc rc = LEDGER_OK;
    if (ch->type != CHAIN_ITEM)
        return LEDGER_OK;
    if (req->closure == LEDGERD__V1__CLOSURE__CLOSURE_BACK) {
        rc = lineage_add(q, l, CHAIN_ITEM, ch->item.parent, false, err);
        if (rc == LEDGER_OK)
            rc = spread_log(q, l, ch, ITEM_LOG_INPUTS, err);
    }
    if (req->closure == LEDGERD__V1__CLOSURE__CLOSURE_FORWARD) {
        rc = spread_log(q, l, ch, ITEM_LOG_USES, err);
        if (rc == LEDGER_OK)
            rc = spread_log(q, l, ch, ITEM_LOG_UNITS, err);
    }
    if (rc == LEDGER_OK && req->related) {
        rc = spread_related(q, l, &ch->item, err);
        if (rc == LEDGER_OK)
            rc = spread_log(q, l, ch, ITEM_LOG_CASES, err);
        if (rc == LEDGER_OK)
            rc = spread_log(q, l, ch, ITEM_LOG_EXCURSIONS, err);
    }
    return rc;
}
