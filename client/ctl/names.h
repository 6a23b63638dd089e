/* SPDX-License-Identifier: Apache-2.0 */
/* names: a map from names to whatever a command knows about them. Nothing is ever removed. */
#ifndef LEDGERD_CTL_NAMES_H
#define LEDGERD_CTL_NAMES_H

#include "base.h"

struct name_entry {
    struct name_entry *next;
    struct span name;
    void *value; /* NULL at first; the caller's */
};
struct name_map {
    struct arena *a; /* borrowed; holds the entries */
    struct name_entry **buckets;
    size_t n_buckets, n;
};

struct name_entry *name_find(const struct name_map *m, struct span name); /* NULL: there is none */
/* The entry, made if there is none (copies the name). NULL when over the arena's budget. */
struct name_entry *name_get(struct name_map *m, struct span name);

#endif
