/* SPDX-License-Identifier: Apache-2.0 */
/* names: hashing with chains; the number of buckets doubles when there are more names than buckets
 * (names.h). */
#include "names.h"

#include <string.h>

#define BUCKETS_MIN 256u

static size_t bucket_of(struct span name, size_t n_buckets)
{
    uint64_t h = 1469598103934665603u; /* FNV-1a, 64 bits */
    for (size_t i = 0; i < name.n; i++)
        h = (h ^ name.p[i]) * 1099511628211u;
    return (size_t)(h ^ (h >> 32)) & (n_buckets - 1);
}

struct name_entry *name_find(const struct name_map *m, struct span name)
{
    if (!m->n_buckets)
        return NULL;
    struct name_entry *e = m->buckets[bucket_of(name, m->n_buckets)];
    while (e && !(e->name.n == name.n && memcmp(e->name.p, name.p, name.n) == 0))
        e = e->next;
    return e;
}

static bool grow(struct name_map *m)
{
    size_t n = m->n_buckets ? 2 * m->n_buckets : BUCKETS_MIN;
    struct name_entry **buckets = arena_alloc(m->a, n * sizeof *buckets), *next;
    if (!buckets)
        return false;
    for (size_t i = 0; i < m->n_buckets; i++)
        for (struct name_entry *e = m->buckets[i]; e; e = next) {
            size_t at = bucket_of(e->name, n);
            next = e->next;
            e->next = buckets[at];
            buckets[at] = e;
        }
    m->buckets = buckets;
    m->n_buckets = n;
    return true;
}

struct name_entry *name_get(struct name_map *m, struct span name)
{
    struct name_entry *e = name.n ? name_find(m, name) : NULL;
    if (e)
        return e;
    if (m->n >= m->n_buckets && !grow(m))
        return NULL;
    e = arena_alloc(m->a, sizeof *e);
    if (!e)
        return NULL;
    e->name = name.n ? arena_copy(m->a, name) : span_of("", 0);
    if (!e->name.p)
        return NULL;
    size_t at = bucket_of(name, m->n_buckets);
    e->next = m->buckets[at];
    m->buckets[at] = e;
    m->n++;
    return e;
}
