/* SPDX-License-Identifier: Apache-2.0 */
/* layer: see the header. Look-ups go through a hash table beside the sorted rows, since a reader asks every layer for most keys and
 * finds few. */
#include "layer.h"

#include <stdlib.h>
#include <string.h>

#define ROW_HEAD ((size_t)6)
#define SINK_MIN ((size_t)16 << 10)

struct layer_memory {
    _Atomic unsigned users;
    uint8_t *p;
};
struct layer_slot {
    uint32_t hash, row; /* row + 1; 0: free */
};

/* ---- making ---- */

/* One row off the front; false: malformed. */
static bool take_row(struct rbuf *r, enum kv_table *t, struct layer_row *row)
{
    uint8_t table = rbuf_u8(r), key_n = rbuf_u8(r);
    uint32_t value_n = rbuf_u32(r);
    row->key = rbuf_bytes(r, key_n);
    row->value = rbuf_bytes(r, value_n);
    *t = (enum kv_table)table;
    return !r->failed && table < KV_TABLES && key_n > 0 && key_n <= KV_KEY_MAX;
}

static struct rbuf rows_of(const struct journal_record *rec)
{
    struct rbuf r;
    rbuf_init(&r, span_of(rec->p + JOURNAL_HEAD, rec->n - JOURNAL_HEAD));
    return r;
}

static bool count_rows(const struct journal_record *rec, size_t *n)
{
    struct rbuf r = rows_of(rec);
    enum kv_table t;
    struct layer_row row;
    for (*n = 0; r.n; ++*n)
        if (!take_row(&r, &t, &row))
            return false;
    return *n < UINT32_MAX;
}

static void index_row(struct layer *l, enum kv_table t, size_t row)
{
    uint64_t h = kv_hash(t, l->rows[row].key);
    size_t i = h & (l->n_slots - 1);
    while (l->slots[i].row)
        i = (i + 1) & (l->n_slots - 1);
    l->slots[i] = (struct layer_slot){(uint32_t)(h >> 32), (uint32_t)(row + 1)};
}

/* False: not in order. */
static bool fill(struct layer *l)
{
    struct rbuf r = rows_of(&l->record);
    enum kv_table t = 0, last = 0;
    for (size_t i = 0; i < l->n_rows; i++, last = t) {
        if (!take_row(&r, &t, &l->rows[i]) || t < last || (i && t == last && span_cmp(l->rows[i - 1].key, l->rows[i].key) >= 0))
            return false;
        for (unsigned k = i ? (unsigned)last + 1 : 0; k <= (unsigned)t; k++)
            l->first[k] = i;
        index_row(l, t, i);
    }
    for (unsigned k = l->n_rows ? (unsigned)last + 1 : 0; k <= KV_TABLES; k++)
        l->first[k] = l->n_rows;
    return true;
}

static void memory_drop(struct layer_memory *m)
{
    if (--m->users)
        return;
    free(m->p);
    free(m);
}

static void layer_free(struct layer *l)
{
    for (size_t i = 0; i < l->n_memory; i++)
        memory_drop(l->memory[i]);
    free(l->memory);
    free(l->rows);
    free(l->slots);
    free(l);
}

/* Room for so many rows out of so many records. */
static struct layer *layer_alloc(size_t rows, size_t memory)
{
    struct layer *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->users = 1;
    l->n_slots = 16;
    while (l->n_slots < rows * 2)
        l->n_slots *= 2;
    l->memory = calloc(memory, sizeof(struct layer_memory *));
    l->rows = calloc(rows ? rows : 1, sizeof *l->rows);
    l->slots = calloc(l->n_slots, sizeof *l->slots);
    if (l->memory && l->rows && l->slots)
        return l;
    layer_free(l);
    return NULL;
}

/* Takes the record's bytes. */
static struct layer *around(struct journal_record *r, size_t rows)
{
    struct layer *l = layer_alloc(rows, 1);
    struct layer_memory *m = l ? calloc(1, sizeof *m) : NULL;
    if (!m) {
        if (l)
            layer_free(l);
        free(r->p);
        return NULL;
    }
    m->users = 1;
    m->p = r->p;
    l->memory[l->n_memory++] = m;
    l->record = *r;
    l->n_rows = rows;
    return l;
}

struct layer *layer_new(struct journal_record *r, bool *malformed)
{
    size_t n = 0;
    *malformed = !count_rows(r, &n);
    struct layer *l = around(r, n);
    *r = (struct journal_record){0};
    if (!l)
        return NULL;
    if (!*malformed && fill(l))
        return l;
    *malformed = true;
    layer_free(l);
    return NULL;
}

struct layer *layer_keep(struct layer *l)
{
    l->users++;
    return l;
}

void layer_drop(struct layer *l)
{
    if (l && --l->users == 0)
        layer_free(l);
}

/* ---- joining ---- */

static void share_memory(struct layer *l, const struct layer *of)
{
    for (size_t i = 0; i < of->n_memory; i++) {
        of->memory[i]->users++;
        l->memory[l->n_memory++] = of->memory[i];
    }
}

static void join_table(struct layer *l, const struct layer *below, const struct layer *above, enum kv_table t)
{
    size_t b = below->first[t], a = above->first[t];
    l->first[t] = l->n_rows;
    while (b < below->first[t + 1] || a < above->first[t + 1]) {
        int c = a == above->first[t + 1] ? -1 : b == below->first[t + 1] ? 1 : span_cmp(below->rows[b].key, above->rows[a].key);
        l->rows[l->n_rows] = c < 0 ? below->rows[b] : above->rows[a];
        index_row(l, t, l->n_rows++);
        b += c <= 0;
        a += c >= 0;
    }
}

struct layer *layer_join(const struct layer *below, const struct layer *above)
{
    struct layer *l = layer_alloc(below->n_rows + above->n_rows, below->n_memory + above->n_memory);
    if (!l)
        return NULL;
    share_memory(l, below);
    share_memory(l, above);
    l->record = (struct journal_record){.n = below->record.n + above->record.n, .base = below->record.base, .size = above->record.size,
                                        .before = below->record.before};
    for (unsigned t = 0; t < KV_TABLES; t++)
        join_table(l, below, above, (enum kv_table)t);
    l->first[KV_TABLES] = l->n_rows;
    return l;
}

/* ---- reading ---- */

bool layer_get(const struct layer *l, uint64_t hash, enum kv_table t, struct span key, struct span *value)
{
    for (size_t i = hash & (l->n_slots - 1); l->slots[i].row; i = (i + 1) & (l->n_slots - 1)) {
        size_t row = l->slots[i].row - 1;
        if (l->slots[i].hash != (uint32_t)(hash >> 32) || row < l->first[t] || row >= l->first[t + 1] || !span_eq(l->rows[row].key, key))
            continue;
        *value = l->rows[row].value;
        return true;
    }
    return false;
}

struct seen {
    struct layer_row row;
    size_t layer;
};

/* Of rows with one key the one of the latest layer comes first. */
static int seen_order(const void *x, const void *y)
{
    const struct seen *a = x, *b = y;
    int c = span_cmp(a->row.key, b->row.key);
    return c ? c : (a->layer < b->layer) - (a->layer > b->layer);
}

bool layer_merge(struct layer *const *layers, size_t n_layers, enum kv_table t, struct span first, struct layer_row **out, size_t *n)
{
    size_t n_all = 0, at = 0;
    *n = 0;
    for (size_t i = 0; i < n_layers; i++)
        n_all += layers[i]->first[t + 1] - layers[i]->first[t];
    struct seen *all = calloc(n_all + 1, sizeof *all);
    *out = calloc(n_all + 1, sizeof **out);
    for (size_t i = 0; all && i < n_layers; i++)
        for (size_t r = layers[i]->first[t]; r < layers[i]->first[t + 1]; r++)
            if (!first.n || span_cmp(layers[i]->rows[r].key, first) >= 0)
                all[at++] = (struct seen){layers[i]->rows[r], i};
    bool ok = all && *out;
    if (ok)
        qsort(all, at, sizeof *all, seen_order);
    for (size_t i = 0; ok && i < at; i++)
        if (!i || !span_eq(all[i].row.key, all[i - 1].row.key))
            (*out)[(*n)++] = all[i].row;
    free(all);
    return ok;
}

/* ---- writing ---- */

static bool reserve(struct layer_sink *s, size_t more)
{
    size_t need = journal_blocks(s->r.n + more), cap = s->cap ? s->cap : SINK_MIN;
    while (cap < need)
        cap *= 2;
    if (cap == s->cap)
        return true;
    uint8_t *p = realloc(s->r.p, cap);
    if (!p)
        return false;
    s->r.p = p;
    s->cap = cap;
    return true;
}

enum ledger_rc layer_sink_put(struct layer_sink *s, enum kv_table t, struct span key, struct span value)
{
    if (!s->r.n)
        s->r.n = JOURNAL_HEAD;
    if (value.n > UINT32_MAX || !reserve(s, ROW_HEAD + key.n + value.n))
        return LEDGER_ENOMEM;
    uint8_t *p = s->r.p + s->r.n;
    p[0] = (uint8_t)t;
    p[1] = (uint8_t)key.n;
    for (unsigned i = 0; i < 4; i++)
        p[2 + i] = (uint8_t)(value.n >> (24 - 8 * i));
    memcpy(p + ROW_HEAD, key.p, key.n);
    if (value.n)
        memcpy(p + ROW_HEAD + key.n, value.p, value.n);
    s->r.n += ROW_HEAD + key.n + value.n;
    s->n_rows++;
    return LEDGER_OK;
}
