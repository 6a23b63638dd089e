/* SPDX-License-Identifier: Apache-2.0 */
/* log_rows: see the header. */
#include "log_rows.h"

#include "page_row.h"

#include <string.h>

#define ROW_MANY 1

static void put_u64(uint8_t out[8], uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint16_t end_at(const uint8_t *ends, size_t i)
{
    return (uint16_t)(ends[2 * i] << 8 | ends[2 * i + 1]);
}

static void set_end(uint8_t *ends, size_t i, size_t v)
{
    ends[2 * i] = (uint8_t)(v >> 8);
    ends[2 * i + 1] = (uint8_t)v;
}

/* ---- reading ---- */

/* Ends that ascend, the last one being where the row ends. */
static bool well_formed(const struct log_row *r)
{
    for (unsigned i = 1; i < r->n; i++)
        if (end_at(r->ends, i) < end_at(r->ends, i - 1))
            return false;
    return end_at(r->ends, r->n - 1) == r->records.n;
}

static void open_many(struct rbuf *r, struct log_row *out)
{
    (void)rbuf_u8(r);
    bool good = rbuf_u8(r) == 0;
    out->n = rbuf_u16(r);
    struct span ends = rbuf_bytes(r, 2 * (size_t)out->n);
    out->ends = ends.p;
    out->records = rbuf_bytes(r, r->n);
    good = good && !r->failed && out->n > 0 && well_formed(out);
    if (out->n == 0)
        out->n = 1;
    if (!good)
        out->records = SPAN_NONE;
}

bool log_row_open(const MDB_val *k, const MDB_val *v, struct log_row *out)
{
    struct rbuf key, r;
    rbuf_init(&key, span_of(k->mv_data, k->mv_size));
    rbuf_init(&r, span_of(v->mv_data, v->mv_size));
    *out = (struct log_row){.first = rbuf_u64(&key), .n = 1, .records = span_of(v->mv_data, v->mv_size)};
    if (r.n && r.p[0] == ROW_MANY)
        open_many(&r, out);
    return rbuf_done(&key);
}

struct span log_row_record(const struct log_row *r, unsigned i)
{
    if (!r->records.p)
        return span_of("", 0);
    if (!r->ends)
        return r->records;
    size_t begin = i ? end_at(r->ends, i - 1) : 0;
    return span_of(r->records.p + begin, end_at(r->ends, i) - begin);
}

int log_row_find(MDB_cursor *cursor, uint64_t index, struct log_row *out)
{
    uint8_t key[8];
    put_u64(key, index);
    *out = (struct log_row){0};
    MDB_val k = {sizeof key, key}, v;
    int e = page_row(cursor, &k, &v, MDB_SET_RANGE);
    bool beyond = e == MDB_NOTFOUND;
    if (beyond)
        e = page_row(cursor, &k, &v, MDB_LAST);
    else if (!e && (k.mv_size != sizeof key || memcmp(k.mv_data, key, sizeof key) != 0))
        e = page_row(cursor, &k, &v, MDB_PREV);
    if (e)
        return e;
    return log_row_open(&k, &v, out) && index >= out->first && index - out->first < out->n ? 0 : MDB_NOTFOUND;
}

int log_get(MDB_cursor *cursor, uint64_t index, struct span *record)
{
    struct log_row row = {0};
    int e = log_row_find(cursor, index, &row);
    if (!e)
        *record = log_row_record(&row, (unsigned)(index - row.first));
    return e;
}

/* ---- writing ---- */

static int put_row(MDB_txn *txn, MDB_dbi dbi, uint64_t first, struct span value, unsigned flags)
{
    uint8_t key[8];
    put_u64(key, first);
    MDB_val k = {sizeof key, key}, v = {value.n, (void *)(uintptr_t)value.p};
    return mdb_put(txn, dbi, &k, &v, flags);
}

static int put_many(MDB_txn *txn, MDB_dbi dbi, const struct log_tail *t)
{
    uint8_t row[LOG_ROW_BYTES];
    const size_t head = LOG_ROW_HEAD + 2 * (size_t)t->n;
    row[0] = ROW_MANY;
    row[1] = 0;
    set_end(row + 2, 0, t->n);
    memcpy(row + LOG_ROW_HEAD, t->ends, head - LOG_ROW_HEAD);
    memcpy(row + head, t->records, t->bytes);
    return put_row(txn, dbi, t->first, span_of(row, head + t->bytes), 0);
}

int log_flush(MDB_txn *txn, MDB_dbi dbi, struct log_tail *t)
{
    int e = t->dirty ? put_many(txn, dbi, t) : 0;
    t->dirty &= e != 0;
    return e;
}

static void begin_row(struct log_tail *t, uint64_t first)
{
    t->first = first;
    t->n = 0;
    t->bytes = 0;
}

static bool fits(const struct log_tail *t, struct span record)
{
    return t->n < LOG_ROW_RECORDS && LOG_ROW_HEAD + 2 * ((size_t)t->n + 1) + t->bytes + record.n <= LOG_ROW_BYTES;
}

static void add(struct log_tail *t, struct span record)
{
    memcpy(t->records + t->bytes, record.p, record.n);
    t->bytes += record.n;
    set_end(t->ends, t->n++, t->bytes);
}

static bool add_all(struct log_tail *t, const struct log_row *row)
{
    for (unsigned i = 0; i < row->n; i++) {
        struct span record = log_row_record(row, i);
        if (!record.n || !fits(t, record))
            return false;
        add(t, record);
    }
    return true;
}

/* The last row, to go on with it. One that is single or malformed stays as it is, and the next one begins behind it. */
static int load(MDB_txn *txn, MDB_dbi dbi, struct log_tail *t)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    struct log_row row;
    begin_row(t, 0);
    int e = mdb_cursor_open(txn, dbi, &cursor);
    if (e)
        return e;
    e = page_row(cursor, &k, &v, MDB_LAST);
    if (!e && !log_row_open(&k, &v, &row))
        e = MDB_CORRUPTED;
    if (!e) {
        begin_row(t, row.first);
        if (!row.ends || !add_all(t, &row))
            begin_row(t, row.first + row.n);
    }
    mdb_cursor_close(cursor);
    t->loaded = !e || e == MDB_NOTFOUND;
    return t->loaded ? 0 : e;
}

static int find(MDB_txn *txn, MDB_dbi dbi, uint64_t index, struct log_row *out)
{
    MDB_cursor *cursor;
    int e = mdb_cursor_open(txn, dbi, &cursor);
    if (e)
        return e;
    e = log_row_find(cursor, index, out);
    mdb_cursor_close(cursor);
    return e;
}

/* Each record of a row into one of its own, with one of them replaced: it is larger than what was there, and the row is full. */
static int take_apart(MDB_txn *txn, MDB_dbi dbi, const struct log_tail *copy, uint64_t index, struct span record)
{
    const struct log_row row = {.first = copy->first, .n = copy->n, .ends = copy->ends, .records = span_of(copy->records, copy->bytes)};
    int e = 0;
    for (unsigned i = 0; i < row.n && !e; i++)
        e = put_row(txn, dbi, row.first + i, row.first + i == index ? record : log_row_record(&row, i), 0);
    return e;
}

static int replace_in(MDB_txn *txn, MDB_dbi dbi, struct log_tail *t, const struct log_row *row, uint64_t index, struct span record)
{
    const unsigned at = (unsigned)(index - row->first);
    bool room = true;
    t->loaded = false; /* the copy is made in its place */
    if (!row->records.p)
        return MDB_CORRUPTED;
    if (!row->ends)
        return put_row(txn, dbi, index, record, 0);
    begin_row(t, row->first);
    if (!add_all(t, row))
        return MDB_CORRUPTED;
    struct log_tail new = *t;
    begin_row(&new, row->first);
    for (unsigned i = 0; i < row->n && room; i++) {
        struct span r = i == at ? record : log_row_record(row, i);
        room = r.n <= LOG_RECORD_BYTES && fits(&new, r);
        if (room)
            add(&new, r);
    }
    return room ? put_many(txn, dbi, &new) : take_apart(txn, dbi, t, index, record);
}

int log_put(MDB_txn *txn, MDB_dbi dbi, struct log_tail *t, uint64_t index, struct span record, bool replace, bool single)
{
    struct log_row row = {0};
    int e = t->loaded ? 0 : load(txn, dbi, t);
    if (e)
        return e;
    if (index < t->first + t->n) {
        if (!replace)
            return MDB_KEYEXIST;
        e = log_flush(txn, dbi, t);
        if (!e)
            e = find(txn, dbi, index, &row);
        if (e == MDB_NOTFOUND)
            return put_row(txn, dbi, index, record, 0);
        return e ? e : replace_in(txn, dbi, t, &row, index, record);
    }
    bool own = single || record.n > LOG_RECORD_BYTES || record.n == 0;
    if (own || index != t->first + t->n || !fits(t, record)) {
        e = log_flush(txn, dbi, t);
        begin_row(t, index);
    }
    if (e)
        return e;
    if (own) {
        begin_row(t, index + 1);
        return put_row(txn, dbi, index, record, MDB_APPEND);
    }
    add(t, record);
    t->dirty = true;
    return 0;
}
