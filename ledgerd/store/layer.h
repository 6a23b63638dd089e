/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer: the rows of one recorded batch in memory, which readers see above the tables until they are in the tables. It never changes once it
 * is made, so any number of threads read it without a lock; the last one that drops it frees it.
 *
 *   row: u8 table ‖ u8 length of the key ‖ u32 length of the value ‖ key ‖ value      ascending by table and key, each once
 */
#ifndef LEDGERD_STORE_LAYER_H
#define LEDGERD_STORE_LAYER_H

#include "journal.h"
#include "kv.h"

struct layer_row {
    struct span key, value; /* in the layer's memory */
};
struct layer {
    _Atomic unsigned users;
    struct journal_record record; /* p: NULL in one that was joined */
    struct layer_memory **memory; /* of the records that the rows are in; shared with the layers that it was joined from */
    size_t n_memory;
    size_t n_rows;
    struct layer_row *rows;
    size_t first[KV_TABLES + 1]; /* rows of table t: from first[t] to before first[t + 1] */
    struct layer_slot *slots;
    size_t n_slots;
};

/* Takes the record, also when it fails, and returns owned. NULL: out of memory, or the rows are malformed (*malformed). */
struct layer *layer_new(struct journal_record *r, bool *malformed);
/* One that shows what the two show, `above` over `below`: fewer to ask. Returns owned. NULL: out of memory. */
struct layer *layer_join(const struct layer *below, const struct layer *above);
struct layer *layer_keep(struct layer *l);
void layer_drop(struct layer *l); /* NULL is allowed */

/* `hash` is kv_hash's: it serves for every layer that is asked for the same key. */
bool layer_get(const struct layer *l, uint64_t hash, enum kv_table t, struct span key, struct span *value);

/* One table as several layers show it, the later ones above: ascending, each key once, from `first` on. *out is allocated with malloc. False: out
 * of memory. */
bool layer_merge(struct layer *const *layers, size_t n_layers, enum kv_table t, struct span first, struct layer_row **out, size_t *n);

/* A record that grows: where the rows of a batch are written. Rows have to come in ascending order. */
struct layer_sink {
    struct journal_record r;
    size_t cap;
    size_t n_rows;
};
/* ENOMEM. */
enum ledger_rc layer_sink_put(struct layer_sink *s, enum kv_table t, struct span key, struct span value) LEDGER_MUST_USE;

#endif
