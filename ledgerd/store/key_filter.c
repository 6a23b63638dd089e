/* SPDX-License-Identifier: Apache-2.0 */
/* key_filter: see the header. */
#include "key_filter.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LINE_WORDS 8u /* 64 bytes */
#define BITS_MAX 7u   /* of a key, nine of its own bits for each */

struct key_filter {
    size_t n_lines;
    unsigned bits; /* of each key */
    _Atomic uint64_t words[];
};
struct place {
    size_t line;
    uint64_t bits;
};

static struct place place_of(const struct key_filter *f, enum kv_table t, struct span key)
{
    uint64_t half[2];
    LEDGER_REQUIRE(key.n == sizeof half);
    memcpy(half, key.p, sizeof half);
    uint64_t spread = half[0] * (2 * (uint64_t)t + 1); /* the same key in two tables is two */
    return (struct place){(size_t)((spread >> 32) * f->n_lines >> 32), half[1]};
}

/* Of the bits that a filter has for each key ln 2 should be the key's own. */
static unsigned bits_for(size_t bytes, uint64_t keys)
{
    uint64_t bits = keys ? (uint64_t)bytes * 8 * 69 / 100 / keys : BITS_MAX;
    return bits < 1 ? 1 : bits > BITS_MAX ? BITS_MAX : (unsigned)bits;
}

struct key_filter *key_filter_new(size_t bytes, uint64_t keys)
{
    size_t n = bytes / (LINE_WORDS * sizeof(uint64_t));
    n = n == 0 ? 1 : n > UINT32_MAX ? UINT32_MAX : n;
    struct key_filter *f = calloc(1, sizeof *f + n * LINE_WORDS * sizeof f->words[0]);
    if (f) {
        f->n_lines = n;
        f->bits = bits_for(bytes, keys);
    }
    return f;
}

void key_filter_free(struct key_filter *f)
{
    free(f);
}

void key_filter_add(struct key_filter *f, enum kv_table t, struct span key)
{
    struct place p = place_of(f, t, key);
    for (unsigned i = 0; i < f->bits; i++, p.bits >>= 9)
        atomic_fetch_or_explicit(&f->words[p.line * LINE_WORDS + (p.bits >> 6 & 7)], UINT64_C(1) << (p.bits & 63), memory_order_relaxed);
}

bool key_filter_absent(const struct key_filter *f, enum kv_table t, struct span key)
{
    struct place p = place_of(f, t, key);
    for (unsigned i = 0; i < f->bits; i++, p.bits >>= 9) {
        uint64_t word = atomic_load_explicit(&f->words[p.line * LINE_WORDS + (p.bits >> 6 & 7)], memory_order_relaxed);
        if (!(word >> (p.bits & 63) & 1))
            return true;
    }
    return false;
}
