/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_snapshot: consistent read views. A snapshot pins the pages it sees, so that it never waits
 * for the writer and the writer never waits for it; one that is kept open long makes the file grow.
 */
#include <stdlib.h>
#include <string.h>

#include "store_impl.h"

enum ledger_rc store_snapshot_open(struct store *s, struct store_snapshot **out,
                                   struct ledger_err *err)
{
    *out = NULL;
    struct store_snapshot *sn = calloc(1, sizeof *sn);
    if (!sn)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    sn->store = s;
    sn->env = store_env_take(s);
    int e = mdb_txn_begin(sn->env->env, NULL, MDB_RDONLY, &sn->txn);
    if (e) {
        store_env_give(s, sn->env);
        free(sn);
        return store_fail_mdb(err, e, "open a snapshot");
    }
    *out = sn;
    return LEDGER_OK;
}

void store_snapshot_close(struct store_snapshot *sn)
{
    if (!sn)
        return;
    mdb_txn_abort(sn->txn);
    store_env_give(sn->store, sn->env);
    free(sn);
}

static enum ledger_rc snapshot_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    struct store_snapshot *sn = ctx;
    return store_table_get(sn->env, sn->txn, t, key, value);
}

static enum ledger_rc snapshot_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    (void)ctx, (void)t, (void)key, (void)value;
    return LEDGER_EINVAL;
}

struct kv store_snapshot_kv(struct store_snapshot *sn)
{
    return (struct kv){sn, snapshot_get, snapshot_put};
}

enum ledger_rc store_scan(struct store_snapshot *sn, enum kv_table t, struct span first,
                          bool (*visit)(void *ctx, struct span key, struct span value), void *ctx,
                          struct ledger_err *err)
{
    uint8_t copy[KV_KEY_MAX];
    MDB_cursor *cursor;
    MDB_val k = {0, NULL}, v;
    if (first.n > KV_KEY_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "a key has at most %d bytes", KV_KEY_MAX);
    int e = mdb_cursor_open(sn->txn, sn->env->dbi[t], &cursor);
    if (e)
        return store_fail_mdb(err, e, "scan");
    if (first.n) {
        memcpy(copy, first.p, first.n);
        k = (MDB_val){first.n, copy};
    }
    e = mdb_cursor_get(cursor, &k, &v, first.n ? MDB_SET_RANGE : MDB_FIRST);
    while (!e && visit(ctx, span_of(k.mv_data, k.mv_size), span_of(v.mv_data, v.mv_size)))
        e = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    mdb_cursor_close(cursor);
    return e && e != MDB_NOTFOUND ? store_fail_mdb(err, e, "scan") : LEDGER_OK;
}

enum ledger_rc store_count(struct store_snapshot *sn, enum kv_table t, uint64_t *out,
                           struct ledger_err *err)
{
    MDB_stat st;
    int e = mdb_stat(sn->txn, sn->env->dbi[t], &st);
    if (e)
        return store_fail_mdb(err, e, "count");
    *out = st.ms_entries;
    return LEDGER_OK;
}

enum ledger_rc store_last(struct store_snapshot *sn, enum kv_table t, struct span *key,
                          struct span *value, struct ledger_err *err)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    int e = mdb_cursor_open(sn->txn, sn->env->dbi[t], &cursor);
    if (e)
        return store_fail_mdb(err, e, "last");
    e = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
    mdb_cursor_close(cursor);
    if (e)
        return store_fail_mdb(err, e, "last");
    *key = span_of(k.mv_data, k.mv_size);
    *value = span_of(v.mv_data, v.mv_size);
    return LEDGER_OK;
}
