/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_snapshot: consistent read views: the tables, and above them what is recorded and not in the tables yet (layer.h). A snapshot pins the
 * pages it sees, so that it never waits for the writer and the writer never waits for it; one that is kept open long makes the file grow.
 *
 * A layer is taken off after it has come into the tables, and both are looked at under the lock: a snapshot may have a batch twice, but never
 * misses one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store_impl.h"

#define BESIDE_TRIES 50
#define BESIDE_PAUSE_MS 20

static struct store_snapshot *snapshot_new(struct store *s, size_t n_layers)
{
    struct store_snapshot *sn = calloc(1, sizeof *sn + n_layers * sizeof *sn->layers);
    if (sn)
        sn->store = s;
    return sn;
}

/* In the process that has the folder to itself. */
static enum ledger_rc open_within(struct store *s, struct store_snapshot **out, struct ledger_err *err)
{
    pthread_mutex_lock(&s->lock);
    struct store_snapshot *sn = snapshot_new(s, s->n_layers);
    int e = sn ? mdb_txn_begin(s->env->env, NULL, MDB_RDONLY, &sn->txn) : ENOMEM;
    if (!e) {
        sn->env = s->env;
        s->env->users++;
        sn->counted = true;
        s->snapshots++;
        while (sn->n_layers < s->n_layers) {
            sn->layers[sn->n_layers] = layer_keep(s->layers[sn->n_layers]);
            sn->n_layers++;
        }
    }
    pthread_mutex_unlock(&s->lock);
    *out = e ? NULL : sn;
    if (e)
        free(sn);
    return e ? store_fail_mdb(err, e, "open a snapshot") : LEDGER_OK;
}

/* Beside the process that writes: the journal first, then the tables, which have by then what the journal did not have any more. ETAMPER also
 * when the other process began a file of the journal anew between the two. */
static enum ledger_rc open_beside(struct store *s, struct store_snapshot **out, struct ledger_err *err)
{
    uint64_t size;
    struct hash root;
    struct store_snapshot *sn = snapshot_new(s, STORE_LAYERS_MAX);
    if (!sn)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    sn->env = store_env_take(s);
    enum ledger_rc rc = store_recent_read(s->dir, sn->layers, &sn->n_layers, err);
    int e = rc ? 0 : mdb_txn_begin(sn->env->env, NULL, MDB_RDONLY, &sn->txn);
    if (e)
        rc = store_fail_mdb(err, e, "open a snapshot");
    if (!rc && sn->n_layers)
        rc = store_txn_root(sn->env, sn->txn, &size, &root, err);
    if (!rc && sn->n_layers)
        rc = store_recent_stack(sn->layers, &sn->n_layers, size, &root, err);
    if (rc)
        store_snapshot_close(sn);
    else
        *out = sn;
    return rc;
}

enum ledger_rc store_snapshot_open(struct store *s, struct store_snapshot **out, struct ledger_err *err)
{
    const struct timespec pause = {.tv_nsec = BESIDE_PAUSE_MS * 1000000L};
    *out = NULL;
    if (s->mode != STORE_BESIDE)
        return open_within(s, out, err);
    enum ledger_rc rc = open_beside(s, out, err);
    for (unsigned i = 1; rc == LEDGER_ETAMPER && i < BESIDE_TRIES; i++) {
        nanosleep(&pause, NULL);
        rc = open_beside(s, out, err);
    }
    return rc;
}

void store_snapshot_close(struct store_snapshot *sn)
{
    if (!sn)
        return;
    for (unsigned t = 0; t < KV_TABLES; t++)
        if (sn->cursors[t])
            mdb_cursor_close(sn->cursors[t]);
    if (sn->txn)
        mdb_txn_abort(sn->txn);
    store_snapshot_tables(sn);
    if (sn->counted) {
        pthread_mutex_lock(&sn->store->lock);
        sn->store->snapshots--;
        pthread_mutex_unlock(&sn->store->lock);
    }
    store_env_give(sn->store, sn->env);
    free(sn);
}

unsigned store_snapshots(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = s->snapshots;
    pthread_mutex_unlock(&s->lock);
    return n;
}

void store_snapshot_tables(struct store_snapshot *sn)
{
    while (sn->n_layers)
        layer_drop(sn->layers[--sn->n_layers]);
}

void store_snapshot_restart(struct store_snapshot *sn, enum kv_table t)
{
    if (sn->cursors[t])
        mdb_cursor_close(sn->cursors[t]);
    sn->cursors[t] = NULL;
}

static enum ledger_rc snapshot_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    struct store_snapshot *sn = ctx;
    uint64_t hash = sn->n_layers ? kv_hash(t, key) : 0;
    for (size_t i = sn->n_layers; i-- > 0;)
        if (layer_get(sn->layers[i], hash, t, key, value))
            return LEDGER_OK;
    int e = sn->cursors[t] ? 0 : mdb_cursor_open(sn->txn, sn->env->dbi[t], &sn->cursors[t]);
    if (e)
        return store_rc(e);
    return store_cursor_get(sn->cursors[t], t, key, value);
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

/* ---- whole tables ---- */

/* A table's rows in memory, merged with those of LMDB: of two with the same key the one in memory counts. */
struct walk {
    struct table_walk table;
    struct layer_row stored;
    int e;      /* of the table: 0 if there is a row */
    bool taken; /* the row has been given out */
    struct layer_row *rows;
    size_t n, at;
};

static enum ledger_rc walk_begin(struct store_snapshot *sn, enum kv_table t, struct span first, struct walk *w, struct ledger_err *err)
{
    *w = (struct walk){0};
    if (first.n > KV_KEY_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "a key has at most %d bytes", KV_KEY_MAX);
    if (!layer_merge(sn->layers, sn->n_layers, t, first, &w->rows, &w->n))
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    int e = table_walk_open(&w->table, sn->env, sn->txn, t);
    if (e)
        return store_fail_mdb(err, e, "scan");
    w->e = table_walk_first(&w->table, first, &w->stored);
    return LEDGER_OK;
}

static void walk_end(struct walk *w)
{
    table_walk_close(&w->table);
    free(w->rows);
}

/* False: at the end, or w->e says why. */
static bool walk_next(struct walk *w, struct layer_row *out)
{
    if (w->taken)
        w->e = table_walk_next(&w->table, &w->stored);
    w->taken = false;
    bool stored = w->e == 0, recent = w->at < w->n;
    if (!stored && (!recent || w->e != MDB_NOTFOUND))
        return false;
    int c = !recent ? -1 : !stored ? 1 : span_cmp(w->stored.key, w->rows[w->at].key);
    *out = c < 0 ? w->stored : w->rows[w->at];
    if (c >= 0)
        w->at++;
    w->taken = stored && c <= 0;
    return true;
}

static enum ledger_rc walk_fail(enum kv_table t, int code, const char *what, struct ledger_err *err)
{
    enum ledger_rc rc = store_table_rc(t, code);
    return rc == LEDGER_ETAMPER ? ledger_fail(err, rc, "%s: a row of an index is malformed", what) : store_fail_mdb(err, code, what);
}

enum ledger_rc store_scan(struct store_snapshot *sn, enum kv_table t, struct span first,
                          bool (*visit)(void *ctx, struct span key, struct span value), void *ctx,
                          struct ledger_err *err)
{
    struct walk w;
    struct layer_row row;
    enum ledger_rc rc = walk_begin(sn, t, first, &w, err);
    bool more = true;
    while (!rc && more && walk_next(&w, &row))
        more = visit(ctx, row.key, row.value);
    if (!rc && w.e && w.e != MDB_NOTFOUND)
        rc = walk_fail(t, w.e, "scan", err);
    walk_end(&w);
    return rc;
}

enum ledger_rc store_count(struct store_snapshot *sn, enum kv_table t, uint64_t *out, struct ledger_err *err)
{
    struct layer_row *rows;
    struct span value;
    size_t n;
    bool merged = layer_merge(sn->layers, sn->n_layers, t, SPAN_NONE, &rows, &n);
    int e = store_table_count(sn->env, sn->txn, t, out);
    for (size_t i = 0; merged && !e && i < n; i++)
        *out += store_table_get(sn->env, sn->txn, t, rows[i].key, &value) == LEDGER_ENOTFOUND;
    free(rows);
    if (!merged)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    return e ? walk_fail(t, e, "count", err) : LEDGER_OK;
}

/* The greatest key of the layers, as the latest of them has it. */
static bool last_recent(const struct store_snapshot *sn, enum kv_table t, struct layer_row *out)
{
    bool any = false;
    for (size_t i = sn->n_layers; i-- > 0;) {
        const struct layer *l = sn->layers[i];
        if (l->first[t + 1] == l->first[t])
            continue;
        const struct layer_row *row = &l->rows[l->first[t + 1] - 1];
        if (!any || span_cmp(row->key, out->key) > 0)
            *out = *row;
        any = true;
    }
    return any;
}

enum ledger_rc store_last(struct store_snapshot *sn, enum kv_table t, struct span *key,
                          struct span *value, struct ledger_err *err)
{
    struct table_walk w;
    struct layer_row recent = {0}, last = {0};
    bool any = last_recent(sn, t, &recent);
    int e = table_walk_open(&w, sn->env, sn->txn, t);
    if (!e)
        e = table_walk_last(&w, &last);
    table_walk_close(&w);
    if (e && (e != MDB_NOTFOUND || !any))
        return store_fail_mdb(err, e, "last");
    if (!e && last.key.p == w.key) { /* which is in no row as it stands */
        memcpy(sn->last_key, w.key, sizeof sn->last_key);
        last.key.p = sn->last_key;
    }
    const struct layer_row *out = !e && (!any || span_cmp(last.key, recent.key) > 0) ? &last : &recent;
    *key = out->key;
    *value = out->value;
    return LEDGER_OK;
}
