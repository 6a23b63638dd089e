/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_lineage: the set of chains of a ProveRequest and how it grows (query_lineage.h). Edges are
 * read from the member logs of the items; that these logs are complete is checked when their
 * members are sent, against the state that the head commits to.
 */
#include <stdlib.h>
#include <string.h>

#include "query_lineage.h"

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
    /* Ids of cases are put together from a prefix and what names them, in memory that does not last. */
    *w = (struct wanted){.type = type, .id = type == CHAIN_CASE ? arena_copy(q->a, id) : id, .key = key, .named = named};
    if (!w->id.p)
        return too_many(l, err);
    *slot = w;
    l->n_seen++;
    w->next = l->waiting;
    l->waiting = w;
    l->n_waiting++;
    return LEDGER_OK;
}

bool lineage_more(const struct lineage *l)
{
    return l->at < l->n_wave || l->waiting;
}

static int by_key(const void *x, const void *y)
{
    struct wanted *const *a = x, *const *b = y;
    return memcmp((*a)->key.b, (*b)->key.b, HASH_LEN);
}

/* All that waits becomes the next wave. */
static enum ledger_rc next_wave(struct query *q, struct lineage *l, struct ledger_err *err)
{
    l->wave = arena_alloc(q->a, l->n_waiting * sizeof(struct wanted *));
    l->n_wave = l->at = 0;
    if (!l->wave)
        return too_many(l, err);
    for (struct wanted *w = l->waiting; w; w = w->next)
        l->wave[l->n_wave++] = w;
    qsort(l->wave, l->n_wave, sizeof(struct wanted *), by_key);
    l->waiting = NULL;
    l->n_waiting = 0;
    return LEDGER_OK;
}

enum ledger_rc lineage_take(struct query *q, struct lineage *l, struct wanted **out, struct ledger_err *err)
{
    enum ledger_rc rc = l->at == l->n_wave && l->waiting ? next_wave(q, l, err) : LEDGER_OK;
    *out = rc == LEDGER_OK && l->at < l->n_wave ? l->wave[l->at++] : NULL;
    return rc;
}

/* ---- what names further chains (related.h) ---- */

struct spreading {
    struct query *q;
    struct lineage *l;
    struct ledger_err *err;
};

static enum ledger_rc add_related(void *ctx, enum chain_type type, struct span id)
{
    struct spreading *s = ctx;
    return lineage_add(s->q, s->l, type, id, false, s->err);
}

static struct related related_to(struct spreading *s)
{
    return (struct related){s->q->scratch, add_related, s};
}

/* Do the members of that log of an item name chains that belong to the answer? */
static bool log_leads(const Ledgerd__V1__ProveRequest *req, unsigned log)
{
    switch (log) {
    case ITEM_LOG_INPUTS: return req->closure == LEDGERD__V1__CLOSURE__CLOSURE_BACK;
    case ITEM_LOG_USES:
    case ITEM_LOG_UNITS: return req->closure == LEDGERD__V1__CLOSURE__CLOSURE_FORWARD;
    case ITEM_LOG_CASES:
    case ITEM_LOG_EXCURSIONS: return req->related;
    default: return false;
    }
}

static enum ledger_rc spread_member(struct spreading *s, unsigned log, struct span member)
{
    const struct related r = related_to(s);
    bool cases = log == ITEM_LOG_CASES || log == ITEM_LOG_EXCURSIONS;
    enum ledger_rc rc = cases ? related_of_case_member(&r, log, member) : related_of_edge(&r, member);
    if (rc == LEDGER_EINVAL)
        return ledger_fail(s->err, LEDGER_ETAMPER, "stored data does not verify: malformed member of a list");
    return rc == LEDGER_ENOMEM ? too_many(s->l, s->err) : rc;
}

static enum ledger_rc spread_log(struct spreading *s, const struct chain *ch, unsigned log)
{
    for (uint64_t i = 0; i < ch->item.logs[log].size; i++) {
        struct span member;
        enum ledger_rc rc = read_member(s->q, ch, log, i, &member, s->err);
        if (rc == LEDGER_OK)
            rc = spread_member(s, log, member);
        if (rc == LEDGER_OK && i % TIME_CHECK_EVERY == 0)
            rc = view_check_time(s->q, s->err);
        if (rc != LEDGER_OK)
            return rc;
    }
    return LEDGER_OK;
}

enum ledger_rc lineage_spread_member(struct query *q, struct lineage *l, const struct chain *ch, unsigned log, struct span member,
                                     struct ledger_err *err)
{
    struct spreading s = {q, l, err};
    return ch->type == CHAIN_ITEM && log_leads(q->request->prove, log) ? spread_member(&s, log, member) : LEDGER_OK;
}

enum ledger_rc lineage_spread_event(struct query *q, struct lineage *l, const struct event *ev, const struct sigblock *b,
                                    struct ledger_err *err)
{
    struct spreading s = {q, l, err};
    const struct related r = related_to(&s);
    enum ledger_rc rc = ev ? related_of_event(&r, ev) : LEDGER_OK;
    if (rc == LEDGER_OK)
        rc = related_of_signatures(&r, b);
    return rc == LEDGER_ENOMEM ? too_many(l, err) : rc;
}

enum ledger_rc lineage_spread(struct query *q, struct lineage *l, const struct chain *ch,
                              struct ledger_err *err)
{
    const Ledgerd__V1__ProveRequest *req = q->request->prove;
    struct spreading s = {q, l, err};
    const struct related r = related_to(&s);
    enum ledger_rc rc = LEDGER_OK;
    if (ch->type != CHAIN_ITEM)
        return LEDGER_OK;
    if (req->closure == LEDGERD__V1__CLOSURE__CLOSURE_BACK)
        rc = lineage_add(q, l, CHAIN_ITEM, ch->item.parent, false, err);
    if (rc == LEDGER_OK && req->related)
        rc = related_of_item(&r, &ch->item);
    for (unsigned log = 0; log < ITEM_LOGS && rc == LEDGER_OK && !req->members; log++)
        if (log_leads(req, log))
            rc = spread_log(&s, ch, log);
    return rc;
}
