/* SPDX-License-Identifier: Apache-2.0 */
/* index_rows: see the header. */
#include "index_rows.h"

#include "page_row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROW_VERSION 1
#define ROW_BELOW 0xff /* no bit of it turns it into the other: whoever looked no further would say that a key is not there */
#define ROW_KEY 9u

/* ---- rows ---- */

/* The lowest bit that is of a row's number. */
static unsigned lowest_bit(unsigned level)
{
    return 64 - INDEX_TOP_BITS - INDEX_BITS * level;
}

/* Of a key its first eight bytes. */
static uint64_t leading(const uint8_t *key)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | key[i];
    return v;
}

static uint64_t first_bits(const uint8_t *key, unsigned level)
{
    return leading(key) & ~UINT64_C(0) << lowest_bit(level);
}

static int compare(const uint8_t *a, const uint8_t *b)
{
    uint64_t x = leading(a), y = leading(b);
    return x < y ? -1 : x > y ? 1 : memcmp(a + 8, b + 8, INDEX_KEY - 8);
}

static void row_key(unsigned level, uint64_t bits, uint8_t out[ROW_KEY])
{
    out[0] = (uint8_t)level;
    for (unsigned i = 0; i < 8; i++)
        out[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
}

static bool row_open(const MDB_val *v, struct index_row *out)
{
    const uint8_t *p = v->mv_data;
    if (v->mv_size < INDEX_ROW_HEAD || p[0] != ROW_VERSION || (p[1] != 0 && p[1] != ROW_BELOW))
        return false;
    *out = (struct index_row){.below = p[1] != 0, .n = (size_t)p[2] << 8 | p[3], .entries = p + INDEX_ROW_HEAD};
    return v->mv_size == INDEX_ROW_HEAD + out->n * INDEX_ENTRY;
}

static const uint8_t *entry_at(const struct index_row *r, size_t i)
{
    return r->entries + i * INDEX_ENTRY;
}

/* The first entry that is not before the key. Keys are hashes, so it is near where it would be if they were spread evenly, and fewer lines of memory
 * have to be fetched than for halving. */
static size_t row_find(const struct index_row *r, unsigned level, const uint8_t *key)
{
    uint64_t share = leading(key) << (64 - lowest_bit(level)) >> 32;
    size_t i = (size_t)(share * r->n >> 32);
    while (i < r->n && compare(entry_at(r, i), key) < 0)
        i++;
    while (i > 0 && compare(entry_at(r, i - 1), key) >= 0)
        i--;
    return i;
}

/* MDB_NOTFOUND: there is none, which only one at the top may say. */
static int row_get(MDB_cursor *cursor, unsigned level, uint64_t bits, struct index_row *out)
{
    uint8_t k[ROW_KEY];
    row_key(level, bits, k);
    MDB_val mk = {sizeof k, k}, v;
    int e = page_row(cursor, &mk, &v, MDB_SET);
    if (e)
        return e == MDB_NOTFOUND && level ? MDB_CORRUPTED : e;
    return row_open(&v, out) ? 0 : MDB_CORRUPTED;
}

int index_get(MDB_cursor *cursor, struct span key, struct span *value)
{
    struct index_row row = {.below = true};
    if (key.n != INDEX_KEY)
        return MDB_BAD_VALSIZE;
    for (unsigned level = 0; row.below && level <= INDEX_LEVELS; level++) {
        int e = row_get(cursor, level, first_bits(key.p, level), &row);
        if (e)
            return e;
        size_t i = row_find(&row, level, key.p);
        if (i < row.n && compare(entry_at(&row, i), key.p) == 0) {
            *value = span_of(entry_at(&row, i) + INDEX_KEY, INDEX_VALUE);
            return 0;
        }
    }
    return MDB_NOTFOUND;
}

/* ---- along all keys ---- */

/* Would its keys be looked for in this row? */
static bool row_in_place(const MDB_val *k, unsigned level, const struct index_row *r)
{
    uint8_t want[ROW_KEY];
    const uint8_t *key = k->mv_data;
    row_key(level, first_bits(key + 1, level), want);
    return memcmp(key, want, sizeof want) == 0 &&
           (r->n == 0 || (first_bits(entry_at(r, 0), level) == leading(key + 1) && first_bits(entry_at(r, r->n - 1), level) == leading(key + 1)));
}

/* The row at the cursor, or the first one behind it that has entries; ended if that is of another level. */
static int level_take(struct index_walk_level *l, unsigned level, MDB_cursor_op op, MDB_val *k)
{
    MDB_val v;
    do {
        int e = page_row(l->cursor, k, &v, op);
        l->ended = e == MDB_NOTFOUND || (!e && (k->mv_size != ROW_KEY || ((const uint8_t *)k->mv_data)[0] != level));
        if (e || l->ended)
            return e == MDB_NOTFOUND ? 0 : e;
        if (!row_open(&v, &l->row) || !row_in_place(k, level, &l->row))
            return MDB_CORRUPTED;
        l->at = 0;
        op = MDB_NEXT;
    } while (l->row.n == 0);
    return 0;
}

static int level_step(struct index_walk_level *l, unsigned level)
{
    MDB_val k;
    return ++l->at < l->row.n ? 0 : level_take(l, level, MDB_NEXT, &k);
}

/* *any: there is a row of this level, whether or not there is something in it from `first` on. */
static int level_begin(struct index_walk_level *l, unsigned level, const uint8_t *first, bool *any)
{
    uint8_t k[ROW_KEY];
    row_key(level, 0, k);
    MDB_val mk = {sizeof k, k}, v;
    int e = page_row(l->cursor, &mk, &v, MDB_SET_RANGE);
    *any = e == 0 && mk.mv_size == ROW_KEY && ((const uint8_t *)mk.mv_data)[0] == level;
    l->ended = true;
    if (e || !*any)
        return e == MDB_NOTFOUND ? 0 : e;
    row_key(level, first_bits(first, level), k);
    mk = (MDB_val){sizeof k, k};
    e = level_take(l, level, MDB_SET_RANGE, &mk);
    while (!e && !l->ended && compare(entry_at(&l->row, l->at), first) < 0)
        e = level_step(l, level);
    return e;
}

int index_walk_open(struct index_walk *w, MDB_txn *txn, MDB_dbi dbi, struct span first)
{
    static const uint8_t lowest[INDEX_KEY];
    bool any = true;
    *w = (struct index_walk){0};
    if (first.n && first.n != INDEX_KEY)
        return MDB_BAD_VALSIZE;
    while (any && w->n <= INDEX_LEVELS) {
        struct index_walk_level *l = &w->levels[w->n];
        int e = mdb_cursor_open(txn, dbi, &l->cursor);
        if (e)
            return e;
        e = level_begin(l, w->n++, first.n ? first.p : lowest, &any);
        if (e)
            return e;
    }
    return 0;
}

void index_walk_close(struct index_walk *w)
{
    while (w->n)
        mdb_cursor_close(w->levels[--w->n].cursor);
}

int index_walk_next(struct index_walk *w, struct span *key, struct span *value)
{
    const uint8_t *least = NULL;
    for (unsigned i = 0; i < w->n; i++) {
        const struct index_walk_level *l = &w->levels[i];
        if (!l->ended && (!least || compare(entry_at(&l->row, l->at), least) < 0))
            least = entry_at(&l->row, l->at);
    }
    if (!least)
        return MDB_NOTFOUND;
    *key = span_of(least, INDEX_KEY);
    *value = span_of(least + INDEX_KEY, INDEX_VALUE);
    for (unsigned i = 0; i < w->n; i++) {
        struct index_walk_level *l = &w->levels[i];
        int e = l->ended || compare(entry_at(&l->row, l->at), least) != 0 ? 0 : level_step(l, i);
        if (e)
            return e;
    }
    return 0;
}

/* ---- writing ---- */

int index_put(struct index_waiting *w, struct span key, struct span value)
{
    if (key.n != INDEX_KEY || value.n != INDEX_VALUE)
        return MDB_BAD_VALSIZE;
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 256;
        uint8_t *more = realloc(w->entries, cap * INDEX_ENTRY);
        if (!more)
            return ENOMEM;
        w->entries = more;
        w->cap = cap;
    }
    uint8_t *e = w->entries + w->n * INDEX_ENTRY;
    w->unordered |= w->n && compare(e - INDEX_ENTRY, key.p) >= 0;
    memcpy(e, key.p, INDEX_KEY);
    memcpy(e + INDEX_KEY, value.p, INDEX_VALUE);
    w->n++;
    return 0;
}

void index_waiting_free(struct index_waiting *w)
{
    free(w->entries);
    *w = (struct index_waiting){0};
}

struct passing {
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor;
    size_t *rows; /* counts what is written */
};

/* `row`: room for the head, and then n entries. */
static int put_row(const struct passing *p, unsigned level, uint64_t bits, bool below, uint8_t *row, size_t n)
{
    uint8_t k[ROW_KEY];
    row_key(level, bits, k);
    const uint8_t head[INDEX_ROW_HEAD] = {ROW_VERSION, below ? ROW_BELOW : 0, (uint8_t)(n >> 8), (uint8_t)n};
    memcpy(row, head, sizeof head);
    MDB_val mk = {sizeof k, k}, v = {INDEX_ROW_HEAD + n * INDEX_ENTRY, row};
    ++*p->rows;
    return n > UINT16_MAX ? MDB_BAD_VALSIZE : mdb_put(p->txn, p->dbi, &mk, &v, 0);
}

/* Both ascending; of two with the same key the one from above. Returns how many there are. */
static size_t merge(const struct index_row *there, const uint8_t *in, size_t n, uint8_t *out)
{
    uint8_t *to = out;
    for (size_t i = 0, j = 0; i < there->n || j < n; to += INDEX_ENTRY) {
        int c = i == there->n ? 1 : j == n ? -1 : compare(entry_at(there, i), in + j * INDEX_ENTRY);
        memcpy(to, c < 0 ? entry_at(there, i) : in + j * INDEX_ENTRY, INDEX_ENTRY);
        i += c <= 0;
        j += c >= 0;
    }
    return (size_t)(to - out) / INDEX_ENTRY;
}

/* Where those end that belong into one row. */
static size_t same_bits(const uint8_t *entries, size_t n, size_t from, unsigned level, uint64_t bits)
{
    while (from < n && first_bits(entries + from * INDEX_ENTRY, level) == bits)
        from++;
    return from;
}

/* A row that passes down what it held, and how far that has come. */
struct full_row {
    uint8_t *row; /* malloc */
    size_t n, from;
    uint64_t bits;
    uint64_t next; /* of the rows below */
    bool new;      /* these are made now */
};

/* Puts entries into a row, or, where they are too many for it, all that it would have held into *full. */
static int add_to_row(const struct passing *p, unsigned level, uint64_t bits, bool new, const uint8_t *in, size_t n, struct full_row *full)
{
    struct index_row there = {0}; /* nothing, where there is no row yet */
    *full = (struct full_row){.row = NULL};
    int e = new ? MDB_NOTFOUND : row_get(p->cursor, level, bits, &there);
    if (e && e != MDB_NOTFOUND)
        return e;
    uint8_t *row = malloc(INDEX_ROW_HEAD + (there.n + n) * INDEX_ENTRY);
    if (!row)
        return ENOMEM;
    const bool below = there.below, empty = below && there.n == 0;
    n = merge(&there, in, n, row + INDEX_ROW_HEAD); /* a copy: LMDB's page may be another one after the next write */
    if (n > INDEX_ROW_ENTRIES && level < INDEX_LEVELS) {
        *full = (struct full_row){.row = row, .n = n, .bits = bits, .new = !below};
        return empty ? 0 : put_row(p, level, bits, true, row, 0);
    }
    e = put_row(p, level, bits, below, row, n);
    free(row);
    return e;
}

/* The next of the rows below gets its part; *full: it passes that on itself. */
static int pass_down(const struct passing *p, unsigned level, struct full_row *from, struct full_row *full)
{
    const uint8_t *entries = from->row + INDEX_ROW_HEAD;
    const uint64_t bits = from->bits | from->next++ << lowest_bit(level);
    const size_t begin = from->from;
    from->from = same_bits(entries, from->n, begin, level, bits);
    *full = (struct full_row){.row = NULL};
    if (from->from == begin && !from->new)
        return 0;
    return add_to_row(p, level, bits, from->new, entries + begin * INDEX_ENTRY, from->from - begin, full);
}

static int add_at_top(const struct passing *p, uint64_t bits, const uint8_t *in, size_t n)
{
    struct full_row stack[INDEX_LEVELS + 1]; /* one for each level: each passes down to the next */
    int e = add_to_row(p, 0, bits, false, in, n, &stack[0]);
    unsigned depth = stack[0].row != NULL;
    while (depth && !e) {
        if (stack[depth - 1].next == INDEX_FANOUT) {
            free(stack[--depth].row);
        } else {
            e = pass_down(p, depth, &stack[depth - 1], &stack[depth]);
            depth += stack[depth].row != NULL;
        }
    }
    while (depth)
        free(stack[--depth].row);
    return e;
}

struct numbered {
    const uint8_t *entry;
    size_t number;
};

static int entry_order(const void *x, const void *y)
{
    const struct numbered *a = x, *b = y;
    int c = compare(a->entry, b->entry);
    return c ? c : a->number < b->number ? -1 : 1;
}

/* Ascending, and each key once: with the value that was put last. */
static int put_in_order(struct index_waiting *w)
{
    struct numbered *order = malloc(w->n * sizeof *order);
    uint8_t *sorted = malloc(w->n * INDEX_ENTRY);
    size_t n = 0;
    for (size_t i = 0; order && sorted && i < w->n; i++)
        order[i] = (struct numbered){w->entries + i * INDEX_ENTRY, i};
    if (order && sorted)
        qsort(order, w->n, sizeof *order, entry_order);
    for (size_t i = 0; order && sorted && i < w->n; i++) {
        n -= n && compare(sorted + (n - 1) * INDEX_ENTRY, order[i].entry) == 0;
        memcpy(sorted + n++ * INDEX_ENTRY, order[i].entry, INDEX_ENTRY);
    }
    free(order);
    if (!n) {
        free(sorted);
        return ENOMEM;
    }
    free(w->entries);
    *w = (struct index_waiting){.entries = sorted, .n = n, .cap = w->n, .rows = w->rows};
    return 0;
}

int index_flush(MDB_txn *txn, MDB_dbi dbi, struct index_waiting *w)
{
    struct passing p = {.txn = txn, .dbi = dbi, .rows = &w->rows};
    w->rows = 0;
    if (!w->n)
        return 0;
    int e = w->unordered ? put_in_order(w) : 0;
    if (!e)
        e = mdb_cursor_open(txn, dbi, &p.cursor);
    if (e)
        return e;
    for (size_t from = 0, to; from < w->n && !e; from = to) {
        const uint64_t bits = first_bits(w->entries + from * INDEX_ENTRY, 0);
        to = same_bits(w->entries, w->n, from, 0, bits);
        e = add_at_top(&p, bits, w->entries + from * INDEX_ENTRY, to - from);
    }
    mdb_cursor_close(p.cursor);
    w->n = 0;
    w->unordered = false;
    return e;
}

/* Out of one row. */
static int remove_from(const struct passing *p, unsigned level, const struct index_row *row, const uint8_t *key)
{
    size_t i = row_find(row, level, key), n = row->n;
    if (i == n || compare(entry_at(row, i), key) != 0)
        return MDB_NOTFOUND;
    uint8_t *rest = malloc(INDEX_ROW_HEAD + n * INDEX_ENTRY);
    if (!rest)
        return ENOMEM;
    uint8_t *entries = rest + INDEX_ROW_HEAD;
    memcpy(entries, row->entries, i * INDEX_ENTRY);
    memcpy(entries + i * INDEX_ENTRY, entry_at(row, i + 1), (n - i - 1) * INDEX_ENTRY);
    int e = put_row(p, level, first_bits(key, level), row->below, rest, n - 1);
    free(rest);
    return e;
}

int index_remove(MDB_txn *txn, MDB_dbi dbi, struct span key)
{
    size_t rows = 0;
    struct passing p = {.txn = txn, .dbi = dbi, .rows = &rows};
    struct index_row row = {.below = true};
    bool there = false;
    if (key.n != INDEX_KEY)
        return MDB_BAD_VALSIZE;
    int e = mdb_cursor_open(txn, dbi, &p.cursor);
    if (e)
        return e;
    for (unsigned level = 0; row.below && !e && level <= INDEX_LEVELS; level++) {
        e = row_get(p.cursor, level, first_bits(key.p, level), &row);
        if (e)
            break;
        e = remove_from(&p, level, &row, key.p);
        there |= !e;
        e = e == MDB_NOTFOUND ? 0 : e;
    }
    mdb_cursor_close(p.cursor);
    return e ? e : there ? 0 : MDB_NOTFOUND;
}
