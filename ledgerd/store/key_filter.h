/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key_filter: says of most keys that are not in a set that they are not, at the price of one line of memory: a Bloom filter (B. H. Bloom, Space/Time
 * Trade-offs in Hash Coding with Allowable Errors, 1970) with all bits of a key side by side (F. Putze, P. Sanders, J. Singler, Cache-, Hash- and
 * Space-Efficient Bloom Filters, 2007). Keys are those of the indexes (kv_key_index), hashes already.
 *
 * Any number of threads may add and ask. A key that was added is never said to be absent by who knows that it was.
 */
#ifndef LEDGERD_STORE_KEY_FILTER_H
#define LEDGERD_STORE_KEY_FILTER_H

#include "kv.h"

#define KEY_FILTER_BITS 12u /* of memory for each key: one in a hundred absent ones is then not said to be absent; with 6 one in ten, with 2 four */

struct key_filter;
/* For so many keys in all. Returns owned; NULL: out of memory. */
struct key_filter *key_filter_new(size_t bytes, uint64_t keys);
void key_filter_free(struct key_filter *f); /* NULL is allowed */
void key_filter_add(struct key_filter *f, enum kv_table t, struct span key);
/* True: it was not added. False: it was, or nobody knows. */
bool key_filter_absent(const struct key_filter *f, enum kv_table t, struct span key);

#endif
