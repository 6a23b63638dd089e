/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exact_arena: proto/arena.c for the fuzzers, with every allocation in memory of its own, so that the address sanitizer sees each byte that
 * is read or written beyond one, and each use of what was released. The same interface, budget and guarantees (base.h); linked before
 * the library, and so in the place of arena.c.
 */
#include "base.h"

#include <stdlib.h>
#include <string.h>

struct piece {
    struct piece *older;
    size_t number; /* from 1: how many there are up to this one */
    size_t total;  /* with this one */
    _Alignas(max_align_t) uint8_t bytes[];
};
struct arena {
    size_t budget;
    struct piece *newest;
};

struct arena *arena_new(size_t budget_bytes)
{
    struct arena *a = malloc(sizeof *a);
    if (a)
        *a = (struct arena){.budget = budget_bytes};
    return a;
}

static void drop(struct arena *a, const struct piece *keep)
{
    while (a->newest != keep) {
        struct piece *p = a->newest;
        LEDGER_REQUIRE(p != NULL);
        a->newest = p->older;
        free(p);
    }
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    drop(a, NULL);
    free(a);
}

void arena_reset(struct arena *a)
{
    drop(a, NULL);
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t total = arena_used(a), unit = _Alignof(max_align_t);
    if (n > SIZE_MAX / 2)
        return NULL;
    size_t counted = n ? (n + unit - 1) / unit * unit : unit;
    if (counted > a->budget - total)
        return NULL;
    struct piece *p = calloc(1, sizeof *p + n);
    if (!p)
        return NULL;
    p->older = a->newest;
    p->number = p->older ? p->older->number + 1 : 1;
    p->total = total + counted;
    a->newest = p;
    return p->bytes;
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->newest, a->newest ? a->newest->number : 0, arena_used(a)};
}

void arena_release(struct arena *a, struct arena_mark mark)
{
    drop(a, mark.block);
}

struct span arena_copy(struct arena *a, struct span s)
{
    uint8_t *p = s.p ? arena_alloc(a, s.n) : NULL;
    if (!p)
        return SPAN_NONE;
    memcpy(p, s.p, s.n);
    return span_of(p, s.n);
}

char *arena_strdup(struct arena *a, struct span s)
{
    char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;
    if (p && s.n)
        memcpy(p, s.p, s.n);
    return p;
}

size_t arena_used(const struct arena *a)
{
    return a->newest ? a->newest->total : 0;
}
