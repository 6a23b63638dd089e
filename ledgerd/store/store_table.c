/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_table: reading the tables, of the log record by record and of an index key by key, whatever lies in which of their rows (log_rows.h,
 * index_rows.h). Spans borrow from LMDB's pages, and end with the transaction, or with the next write in it.
 */
#include <string.h>

#include "page_row.h"
#include "store_impl.h"

/* MDB_val is not const: the key in a copy. */
struct key_copy {
    uint8_t b[KV_KEY_MAX];
    MDB_val k;
};

static bool copy_key(struct key_copy *c, struct span key)
{
    if (key.n == 0 || key.n > KV_KEY_MAX)
        return false;
    memcpy(c->b, key.p, key.n);
    c->k = (MDB_val){key.n, c->b};
    return true;
}

static enum ledger_rc found(int code, const MDB_val *v, struct span *value)
{
    if (code || !v->mv_data) /* page_row.h */
        return store_rc(code ? code : MDB_CORRUPTED);
    *value = span_of(v->mv_data, v->mv_size);
    return LEDGER_OK;
}

enum ledger_rc store_table_rc(enum kv_table t, int code)
{
    return code == MDB_CORRUPTED && store_is_index(t) ? LEDGER_ETAMPER : store_rc(code);
}

bool store_key_number(struct span key, uint64_t *out)
{
    struct rbuf r;
    rbuf_init(&r, key);
    *out = rbuf_u64(&r);
    return rbuf_done(&r);
}

static enum ledger_rc log_record(MDB_cursor *cursor, struct span key, struct span *value)
{
    uint64_t index;
    return store_key_number(key, &index) ? store_rc(log_get(cursor, index, value)) : LEDGER_EINVAL;
}

enum ledger_rc store_cursor_get(MDB_cursor *cursor, enum kv_table t, struct span key, struct span *value)
{
    struct key_copy c;
    MDB_val v;
    if (t == KV_LOG)
        return log_record(cursor, key, value);
    if (store_is_index(t))
        return store_table_rc(t, index_get(cursor, key, value));
    return copy_key(&c, key) ? found(page_row(cursor, &c.k, &v, MDB_SET), &v, value) : LEDGER_EINVAL;
}

enum ledger_rc store_table_get(const struct store_env *e, MDB_txn *txn, enum kv_table t,
                               struct span key, struct span *value)
{
    struct key_copy c;
    MDB_val v = {0, NULL};
    MDB_cursor *cursor;
    if (t != KV_LOG && !store_is_index(t))
        return copy_key(&c, key) ? found(mdb_get(txn, e->dbi[t], &c.k, &v), &v, value) : LEDGER_EINVAL;
    int code = mdb_cursor_open(txn, e->dbi[t], &cursor);
    if (code)
        return store_rc(code);
    enum ledger_rc rc = store_cursor_get(cursor, t, key, value);
    mdb_cursor_close(cursor);
    return rc;
}

/* ---- along a table ---- */

int table_walk_open(struct table_walk *w, const struct store_env *e, MDB_txn *txn, enum kv_table t)
{
    *w = (struct table_walk){.txn = txn, .dbi = e->dbi[t], .log = t == KV_LOG, .index = store_is_index(t)};
    return w->index ? 0 : mdb_cursor_open(txn, w->dbi, &w->cursor);
}

void table_walk_close(struct table_walk *w)
{
    if (w->cursor)
        mdb_cursor_close(w->cursor);
    w->cursor = NULL;
    index_walk_close(&w->keys);
}

/* Of a row of the log, its record number w->at. */
static void walk_record(struct table_walk *w, struct layer_row *out)
{
    *out = (struct layer_row){kv_key_u64(w->key, w->row.first + w->at), log_row_record(&w->row, w->at)};
}

static int walk_step(struct table_walk *w, MDB_cursor_op op, MDB_val *k, struct layer_row *out)
{
    MDB_val v;
    int e = page_row(w->cursor, k, &v, op);
    if (e)
        return e;
    *out = (struct layer_row){span_of(k->mv_data, k->mv_size), span_of(v.mv_data, v.mv_size)};
    if (!w->log)
        return 0;
    if (!log_row_open(k, &v, &w->row)) { /* as it stands: whoever looks will see */
        w->row = (struct log_row){.n = 1};
        w->at = 0;
        return 0;
    }
    w->at = op == MDB_LAST ? w->row.n - 1 : 0;
    walk_record(w, out);
    return 0;
}

int table_walk_first(struct table_walk *w, struct span first, struct layer_row *out)
{
    struct key_copy c;
    MDB_val k;
    uint64_t index;
    if (w->index) {
        int e = index_walk_open(&w->keys, w->txn, w->dbi, first);
        return e ? e : index_walk_next(&w->keys, &out->key, &out->value);
    }
    if (!first.n)
        return walk_step(w, MDB_FIRST, &k, out);
    if (!copy_key(&c, first))
        return MDB_BAD_VALSIZE;
    if (w->log && store_key_number(first, &index) && log_row_find(w->cursor, index, &w->row) == 0) {
        w->at = (unsigned)(index - w->row.first);
        walk_record(w, out);
        return 0;
    }
    return walk_step(w, MDB_SET_RANGE, &c.k, out);
}

int table_walk_next(struct table_walk *w, struct layer_row *out)
{
    MDB_val k;
    if (w->index)
        return index_walk_next(&w->keys, &out->key, &out->value);
    if (!w->log || ++w->at >= w->row.n)
        return walk_step(w, MDB_NEXT, &k, out);
    walk_record(w, out);
    return 0;
}

int table_walk_last(struct table_walk *w, struct layer_row *out)
{
    MDB_val k;
    if (!w->index)
        return walk_step(w, MDB_LAST, &k, out);
    struct layer_row row;
    int first = table_walk_first(w, SPAN_NONE, out), e = first;
    while (!e && !(e = table_walk_next(w, &row)))
        *out = row;
    return first || e == MDB_NOTFOUND ? first : e;
}

/* Rows of LMDB are fewer. */
static int count_keys(struct table_walk *w, uint64_t *out)
{
    struct layer_row row;
    int e = table_walk_first(w, SPAN_NONE, &row);
    for (; !e; e = table_walk_next(w, &row))
        ++*out;
    return e;
}

static int count_records(struct table_walk *w, uint64_t *out)
{
    struct layer_row row;
    int e = 0;
    for (MDB_cursor_op op = MDB_FIRST; !e; op = MDB_NEXT) {
        MDB_val k;
        e = walk_step(w, op, &k, &row);
        *out += e ? 0 : w->row.n;
    }
    return e;
}

int store_table_count(const struct store_env *e, MDB_txn *txn, enum kv_table t, uint64_t *out)
{
    MDB_stat st;
    struct table_walk w;
    *out = 0;
    int code = mdb_stat(txn, e->dbi[t], &st);
    if (code || (t != KV_LOG && !store_is_index(t))) {
        *out = code ? 0 : st.ms_entries;
        return code;
    }
    code = table_walk_open(&w, e, txn, t);
    if (!code)
        code = w.index ? count_keys(&w, out) : count_records(&w, out);
    table_walk_close(&w);
    return code == MDB_NOTFOUND ? 0 : code;
}
