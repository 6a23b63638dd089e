/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_order: see log_order.h. The latest entry of each chain is found by its key in open addressing, at least half empty. Chain keys are HMACs, so
 * that any eight bytes of them will do as a hash; who makes up keys that collide makes this slow, and nothing else.
 */
#include "log_order.h"

#include <stddef.h>
#include <string.h>

#define PLACES_FIRST 1024u

struct head {
    struct hash chain, leaf;
    uint64_t count; /* 0: an empty place */
};
struct log_order {
    struct arena *a, *table; /* the heads' own, which goes when they move */
    size_t budget;
    struct head *heads;
    size_t n_places;
    uint64_t size, chains, batch_first, epoch;
    int64_t recorded_us;
    bool sealed;
    uint64_t seal;
    struct hash seal_leaf, map_root;
};

static struct head *head_of(struct head *heads, size_t n, const struct hash *chain)
{
    uint64_t v;
    memcpy(&v, chain->b, sizeof v);
    size_t i = (size_t)v & (n - 1);
    while (heads[i].count && !hash_eq(&heads[i].chain, chain))
        i = (i + 1) & (n - 1);
    return &heads[i];
}

struct log_order *log_order_new(size_t budget_bytes)
{
    struct arena *a = arena_new(sizeof(struct log_order) + sizeof(max_align_t)), *table = arena_new(budget_bytes);
    struct log_order *o = a ? arena_alloc(a, sizeof *o) : NULL;
    struct head *heads = o && table ? arena_alloc(table, PLACES_FIRST * sizeof *heads) : NULL;
    if (!heads) {
        arena_free(table);
        arena_free(a);
        return NULL;
    }
    *o = (struct log_order){.a = a, .table = table, .budget = budget_bytes, .heads = heads, .n_places = PLACES_FIRST, .recorded_us = INT64_MIN};
    return o;
}

void log_order_free(struct log_order *o)
{
    if (!o)
        return;
    arena_free(o->table);
    arena_free(o->a);
}

/* For so many new chains. */
static bool make_room(struct log_order *o, size_t n)
{
    size_t places = o->n_places;
    while (2 * (o->chains + n) > places)
        places *= 2;
    if (places == o->n_places)
        return true;
    struct arena *table = arena_new(o->budget);
    struct head *heads = table ? arena_alloc(table, places * sizeof *heads) : NULL;
    if (!heads) {
        arena_free(table);
        return false;
    }
    for (size_t i = 0; i < o->n_places; i++)
        if (o->heads[i].count)
            *head_of(heads, places, &o->heads[i].chain) = o->heads[i];
    arena_free(o->table);
    o->table = table;
    o->heads = heads;
    o->n_places = places;
    return true;
}

static bool check_place(const struct log_order *o, const struct header *h, struct verdict *v)
{
    if (h->index != o->size)
        return verdict_bad(v, VERDICT_TAMPERED, o->size, "index", "is not the place at which the entry stands");
    if (h->recorded_us < o->recorded_us)
        return verdict_bad(v, VERDICT_TAMPERED, o->size, "recorded time", "runs backwards");
    if (h->epoch < o->epoch)
        return verdict_bad(v, VERDICT_TAMPERED, o->size, "epoch", "is lower than that of the entry before");
    return true;
}

static bool check_seal(const struct log_order *o, const struct header *h, struct verdict *v)
{
    if (h->prev_seal != o->seal || !hash_eq(&h->prev_seal_leaf, &o->seal_leaf))
        return verdict_bad(v, VERDICT_TAMPERED, o->size, "previous seal", "is not the seal before this one");
    if (h->batch_first != o->batch_first)
        return verdict_bad(v, VERDICT_TAMPERED, o->size, "first entry of the batch", "does not follow the seal before");
    if (h->chains != o->chains)
        return verdict_bad(v, VERDICT_TAMPERED, o->size, "number of chains", "is %llu, and the entries up to here are of %llu",
                           (unsigned long long)h->chains, (unsigned long long)o->chains);
    return true;
}

static bool check_link(const struct log_order *o, const struct link *l, const struct head *head, struct verdict *v)
{
    static const struct hash none;
    if (l->seq != head->count)
        return verdict_bad(v, VERDICT_TAMPERED, o->size, "link", "says that it is number %llu of its chain, which has %llu before it",
                           (unsigned long long)l->seq, (unsigned long long)head->count);
    if (!hash_eq(&l->prev, head->count ? &head->leaf : &none))
        return verdict_bad(v, VERDICT_TAMPERED, o->size, "link", "does not name the entry before it on its chain");
    return true;
}

/* All of them become the latest of their chains, whatever they say. */
static bool take_links(struct log_order *o, const struct header *h, const struct hash *leaf, bool good, struct verdict *v)
{
    for (unsigned i = 0; i < h->n_links; i++) {
        struct head *head = head_of(o->heads, o->n_places, &h->links[i].chain);
        good = good && check_link(o, &h->links[i], head, v);
        o->chains += head->count == 0;
        *head = (struct head){h->links[i].chain, *leaf, head->count + 1};
    }
    return good;
}

enum ledger_rc log_order_add(struct log_order *o, const struct header *h, const struct hash *leaf, struct verdict *v)
{
    if (!make_room(o, h->n_links))
        return LEDGER_ENOMEM;
    bool seal = h->kind == OWN_SEAL, good = check_place(o, h, v) && (!seal || check_seal(o, h, v));
    good = take_links(o, h, leaf, good, v);
    if (seal) {
        o->sealed = true;
        o->seal = o->size;
        o->seal_leaf = *leaf;
        o->map_root = h->map_root;
        o->batch_first = o->size + 1;
    }
    o->recorded_us = h->recorded_us;
    o->epoch = h->epoch;
    o->size++;
    return good ? LEDGER_OK : LEDGER_ETAMPER;
}

void log_order_soon(const struct log_order *o, const struct header *h)
{
    for (unsigned i = 0; i < h->n_links; i++) {
        uint64_t v;
        memcpy(&v, h->links[i].chain.b, sizeof v);
        const struct head *head = &o->heads[(size_t)v & (o->n_places - 1)];
        __builtin_prefetch(head, 1);
        __builtin_prefetch(&head->count, 1);
    }
}

uint64_t log_order_size(const struct log_order *o)
{
    return o->size;
}

uint64_t log_order_chains(const struct log_order *o)
{
    return o->chains;
}

bool log_order_seal(const struct log_order *o, uint64_t *index, struct hash *leaf, struct hash *map_root)
{
    *index = o->seal;
    *leaf = o->seal_leaf;
    *map_root = o->map_root;
    return o->sealed;
}
