/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena: bump allocation in a chain of blocks, newest first, under a budget.
 *
 * The budget counts what was asked for, rounded up to the alignment; unused tails of blocks come on
 * top and are bounded, because a block is never larger than what the budget still allows (or the
 * smallest block). This is the only file of proto/ that calls malloc.
 *
 * Failure modes: NULL when the budget or the machine's memory is exhausted; the arena stays usable.
 */
#include "base.h"

#include <stdlib.h>
#include <string.h>

enum {
    ALIGN = _Alignof(max_align_t),
    BLOCK_MIN = 4096,
    BLOCK_MAX = 1 << 20,
    KEEP_MAX = 256 << 10, /* what an arena that is reset again and again goes on holding */
};

struct block {
    struct block *older;
    size_t size;
    size_t used;
    _Alignas(max_align_t) uint8_t bytes[];
};

struct arena {
    size_t budget;
    size_t total; /* bytes handed out, after rounding */
    struct block *newest;
};

struct arena *arena_new(size_t budget_bytes)
{
    struct arena *a = malloc(sizeof *a);
    if (a)
        *a = (struct arena){.budget = budget_bytes};
    return a;
}

/* Frees blocks newer than `keep`, which becomes the newest. */
static void drop_blocks(struct arena *a, const struct block *keep)
{
    while (a->newest && a->newest != keep) {
        struct block *older = a->newest->older;
        free(a->newest);
        a->newest = older;
    }
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    drop_blocks(a, NULL);
    free(a);
}

/* The newest block is the largest: with it kept, work of the same size needs no other one the next time. */
void arena_reset(struct arena *a)
{
    while (a->newest && a->newest->older && a->newest->size > KEEP_MAX)
        drop_blocks(a, a->newest->older);
    struct block *kept = a->newest;
    if (kept) {
        a->newest = kept->older;
        drop_blocks(a, NULL);
        kept->older = NULL;
        kept->used = 0;
        a->newest = kept;
    }
    a->total = 0;
}

static struct block *add_block(struct arena *a, size_t n)
{
    size_t size = a->newest ? a->newest->size : BLOCK_MIN / 2;
    size = size < BLOCK_MAX / 2 ? size * 2 : BLOCK_MAX;
    if (size > a->budget - a->total)
        size = a->budget - a->total;
    if (size < BLOCK_MIN)
        size = BLOCK_MIN;
    if (size < n)
        size = n;
    if (size > SIZE_MAX - sizeof(struct block))
        return NULL;
    struct block *b = malloc(sizeof *b + size);
    if (!b)
        return NULL;
    b->older = a->newest;
    b->size = size;
    b->used = 0;
    a->newest = b;
    return b;
}

/* Not cleared; *n is rounded up. */
static uint8_t *take(struct arena *a, size_t *size)
{
    size_t n = *size;
    if (n > SIZE_MAX - ALIGN)
        return NULL;
    /* At least one unit, so that no two allocations share an address. */
    n = n ? (n + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if (n > a->budget - a->total)
        return NULL;
    struct block *b = a->newest;
    if (!b || n > b->size - b->used)
        b = add_block(a, n);
    if (!b)
        return NULL;
    uint8_t *p = b->bytes + b->used;
    b->used += n;
    a->total += n;
    *size = n;
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    uint8_t *p = take(a, &n);
    if (p)
        memset(p, 0, n);
    return p;
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->newest, a->newest ? a->newest->used : 0, a->total};
}

void arena_release(struct arena *a, struct arena_mark mark)
{
    drop_blocks(a, mark.block);
    /* A mark from another arena, or one older than a reset, names a block that is gone. */
    LEDGER_REQUIRE(a->newest == mark.block && mark.total <= a->total);
    if (a->newest)
        a->newest->used = mark.used;
    a->total = mark.total;
}

struct span arena_copy(struct arena *a, struct span s)
{
    if (!s.p)
        return SPAN_NONE;
    size_t n = s.n;
    uint8_t *p = take(a, &n);
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
    return a->total;
}
