/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_lmdb: the tables in an LMDB environment, and its one write transaction. Of LMDB's flags
 * only MDB_NOTLS is set (a snapshot may move between threads) and, when the data outgrow the
 * memory, MDB_NORDAHEAD: nothing that weakens durability.
 *
 * Failure: a transaction that cannot grow (map full, transaction full, out of memory) is aborted
 * and the store goes on. A disk that is running full is noticed before the commit, by its free
 * space, so that the commit itself, whose failure leaves the outcome unknown, is not tried. LMDB
 * has no page checksums: whoever reads proves what he read by hashes.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "../thread.h"
#include "entry.h"
#include "files.h"
#include "store_impl.h"

#define READER_CHECK_SECONDS 60
#define PAGE_ESTIMATE 4096
#define TXN_BYTES_MAX (UINT64_C(131072) * PAGE_ESTIMATE) /* LMDB's own limit on dirty pages */

static const char *const table_names[KV_TABLES] = {
    [KV_LOG] = "log",
    [KV_META] = "meta",
    [KV_CHAIN] = "chain",
    [KV_MEMBER] = "member",
    [KV_KEYHOLDER] = "keyholder",
    [KV_REFERENCE] = "reference",
    [KV_EVENT] = "event",
    [KV_MAP] = "map",
    [KV_TREE] = "tree",
    [KV_CHECKPOINT] = "checkpoint",
};

bool store_is_log(enum kv_table t)
{
    return t == KV_LOG || t == KV_CHECKPOINT;
}

enum ledger_rc store_rc(int code)
{
    switch (code) {
    case MDB_SUCCESS:
        return LEDGER_OK;
    case MDB_NOTFOUND:
        return LEDGER_ENOTFOUND;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
        return LEDGER_EFULL;
    case ENOMEM:
        return LEDGER_ENOMEM;
    case MDB_READERS_FULL:
        return LEDGER_EBUSY;
    case MDB_VERSION_MISMATCH:
        return LEDGER_EVERSION;
    case MDB_BAD_VALSIZE:
        return LEDGER_EINVAL;
    default:
        return LEDGER_EIO;
    }
}

static bool page_damaged(int code)
{
    return code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND;
}

bool store_page_damaged(const struct ledger_err *err)
{
    return page_damaged(err->sys);
}

enum ledger_rc store_fail_mdb(struct ledger_err *err, int code, const char *what)
{
    enum ledger_rc rc = store_rc(code);
    if (code == MDB_MAP_FULL)
        ledger_fail(err, rc, "%s: the data have reached the configured map size", what);
    else if (code == MDB_TXN_FULL)
        ledger_fail(err, rc, "%s: too much for one transaction", what);
    else if (page_damaged(code))
        ledger_fail(err, rc, "%s: a page of the data file is damaged (%s); see \"Rot\" in docs/operations.md", what, mdb_strerror(code));
    else
        ledger_fail(err, rc, "%s: %s", what, mdb_strerror(code));
    if (err)
        err->sys = code;
    return rc;
}

/* ---- the environment ---- */

static enum ledger_rc tables_open(struct store_env *v, const struct store_env_options *o,
                                  struct ledger_err *err)
{
    MDB_txn *txn;
    bool write = o->mode == STORE_WRITE;
    int e = mdb_txn_begin(v->env, NULL, write ? 0 : MDB_RDONLY, &txn);
    if (e)
        return store_fail_mdb(err, e, "open the data");
    for (int t = 0; t < KV_TABLES && !e; t++)
        e = mdb_dbi_open(txn, table_names[t], o->create ? MDB_CREATE : 0, &v->dbi[t]);
    if (e) {
        mdb_txn_abort(txn);
        if (e == MDB_NOTFOUND)
            return ledger_fail(err, LEDGER_EIO,
                               "open the data: a table is missing; this is no whole data folder");
        return store_fail_mdb(err, e, "open a table");
    }
    e = mdb_txn_commit(txn); /* a read-only one too: an abort would close the handles again */
    return e ? store_fail_mdb(err, e, "open the tables") : LEDGER_OK;
}

/* Reading ahead is of use only while the data fit into the memory. */
static unsigned readahead_flag(const char *folder)
{
    char path[FILES_PATH_MAX];
    struct stat st;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (files_path(path, folder, "data.mdb", NULL) || stat(path, &st) != 0 || pages <= 0 ||
        page <= 0)
        return 0;
    return (uint64_t)st.st_size > (uint64_t)pages * (uint64_t)page ? MDB_NORDAHEAD : 0;
}

/* A page that LMDB finds to be none is as unreadable as one that the disk does not give (unreadable.h). */
static void page_is_none(MDB_env *e, const char *what)
{
    (void)e;
    (void)what;
    raise(SIGBUS);
}

static enum ledger_rc env_open(struct store_env *v, const char *folder,
                               const struct store_env_options *o, struct ledger_err *err)
{
    int dead = 0;
    int e = mdb_env_create(&v->env);
    if (e) {
        v->env = NULL;
        return store_fail_mdb(err, e, "open the data");
    }
    e = mdb_env_set_mapsize(v->env, o->map_bytes);
    if (!e)
        e = mdb_env_set_maxdbs(v->env, KV_TABLES);
    if (!e)
        e = mdb_env_set_maxreaders(v->env, STORE_READERS_MAX);
    if (!e)
        e = mdb_env_set_assert(v->env, page_is_none);
    unsigned flags = MDB_NOTLS | readahead_flag(folder) | o->flags |
                     (o->mode == STORE_WRITE ? 0u : MDB_RDONLY);
    if (!e)
        e = mdb_env_open(v->env, folder, flags, 0600);
    if (e == ENOMEM)
        return ledger_fail(err, LEDGER_ENOMEM,
                           "no address space for a map of %llu bytes; configure a smaller one",
                           (unsigned long long)o->map_bytes);
    if (e)
        return store_fail_mdb(err, e, folder);
    e = mdb_reader_check(v->env, &dead);
    return e ? store_fail_mdb(err, e, "check the readers") : tables_open(v, o, err);
}

enum ledger_rc store_env_open(const char *folder, const struct store_env_options *o,
                              struct store_env **out, struct ledger_err *err)
{
    *out = NULL;
    struct store_env *v = calloc(1, sizeof *v);
    if (!v)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = env_open(v, folder, o, err);
    if (rc)
        store_env_close(v);
    else
        *out = v;
    return rc;
}

void store_env_close(struct store_env *e)
{
    if (e && e->env)
        mdb_env_close(e->env);
    free(e);
}

struct store_env *store_env_take(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    struct store_env *e = s->env;
    e->users++;
    pthread_mutex_unlock(&s->lock);
    return e;
}

struct going {
    struct store *store;
    struct store_env *env;
};

static void destroy(struct store *s, struct store_env *e)
{
    store_env_destroy(e);
    pthread_mutex_lock(&s->lock);
    s->destroying--;
    pthread_cond_broadcast(&s->left);
    pthread_mutex_unlock(&s->lock);
}

static void *destroy_main(void *ctx)
{
    struct going g = *(struct going *)ctx;
    free(ctx);
    destroy(g.store, g.env);
    return NULL;
}

/* In a thread of its own: the last user may be one that must not wait until a whole file is overwritten. If there can be none, here. */
static void destroy_beside(struct store *s, struct store_env *e)
{
    pthread_t thread;
    struct going *g = malloc(sizeof *g);
    if (g) {
        *g = (struct going){s, e};
        if (thread_start(&thread, "destroyer", destroy_main, g, NULL) == LEDGER_OK) {
            pthread_detach(thread);
            return;
        }
        free(g);
    }
    destroy(s, e);
}

void store_env_give(struct store *s, struct store_env *e)
{
    pthread_mutex_lock(&s->lock);
    bool last = --e->users == 0 && e->retired;
    s->destroying += last;
    if (e->users == 0)
        pthread_cond_broadcast(&s->left);
    pthread_mutex_unlock(&s->lock);
    if (last)
        destroy_beside(s, e);
}

/* ---- the write transaction ---- */

static time_t monotonic_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

/* A reader that was killed keeps its slot, and its slot keeps pages from being used again: the file
 * would grow. */
void store_clear_dead_readers(struct store *s)
{
    time_t now = monotonic_seconds();
    int dead;
    if (now - s->readers_checked < READER_CHECK_SECONDS)
        return;
    s->readers_checked = now;
    struct store_env *e = store_env_take(s);
    mdb_reader_check(e->env, &dead);
    store_env_give(s, e);
}

/* Content that an ERASURE destroys: the same header, and an opening in place of what there was. */
static bool is_erased_form(struct span there, struct span v)
{
    struct entry_record old, new;
    return entry_record_split(there, &old) && entry_record_split(v, &new) && !old.erased_by && new.erased_by && span_eq(old.header, new.header);
}

/* The log is only ever appended to, but for erased content. The same record again is no harm. */
static int put_log(struct store_txn *x, struct span key, struct span v, bool replace)
{
    const MDB_dbi dbi = x->env->dbi[KV_LOG];
    uint64_t index;
    struct span there = SPAN_NONE;
    if (!store_key_number(key, &index))
        return MDB_BAD_VALSIZE;
    int e = log_put(x->txn, dbi, &x->tail, index, v, replace, x->env->older);
    if (e != MDB_KEYEXIST)
        return e;
    e = log_flush(x->txn, dbi, &x->tail);
    if (e)
        return e;
    enum ledger_rc rc = store_table_get(x->env, x->txn, KV_LOG, key, &there);
    if (rc)
        return rc == LEDGER_ENOTFOUND ? MDB_KEYEXIST : EIO;
    if (span_eq(there, v))
        return 0;
    return is_erased_form(there, v) ? log_put(x->txn, dbi, &x->tail, index, v, true, x->env->older) : MDB_KEYEXIST;
}

/* A table that grows at its end: its pages become full. */
static int put_growing(struct store_txn *x, enum kv_table t, MDB_val *k, MDB_val *v)
{
    int e = mdb_put(x->txn, x->env->dbi[t], k, v, MDB_APPEND);
    return e == MDB_KEYEXIST ? mdb_put(x->txn, x->env->dbi[t], k, v, 0) : e;
}

static int put_row(struct store_txn *x, enum kv_table t, MDB_val *k, MDB_val *v, bool replace)
{
    if (t == KV_LOG)
        return put_log(x, span_of(k->mv_data, k->mv_size), span_of(v->mv_data, v->mv_size), replace);
    if (store_is_index(t) && !x->env->older)
        return index_put(&x->waiting[t], span_of(k->mv_data, k->mv_size), span_of(v->mv_data, v->mv_size));
    return t == KV_TREE || t == KV_CHECKPOINT ? put_growing(x, t, k, v) : mdb_put(x->txn, x->env->dbi[t], k, v, 0);
}

uint64_t store_rows_need(size_t rows, size_t bytes)
{
    return (uint64_t)rows * PAGE_ESTIMATE + 2 * (uint64_t)bytes;
}

enum ledger_rc store_txn_put(struct store_txn *x, enum kv_table t, struct span key, struct span value, bool replace)
{
    static const uint8_t nothing[1];
    uint8_t copy[KV_KEY_MAX];
    if (x->rc)
        return x->rc;
    if (key.n == 0 || key.n > KV_KEY_MAX)
        return LEDGER_EINVAL;
    memcpy(copy, key.p, key.n);
    MDB_val k = {key.n, copy}, v = {value.n, (void *)(uintptr_t)(value.n ? value.p : nothing)};
    int e = put_row(x, t, &k, &v, replace);
    x->bytes += store_rows_need(1, value.n);
    if (e == MDB_KEYEXIST)
        return x->rc = LEDGER_EINTERNAL;
    x->code = e;
    return x->rc = store_rc(e);
}

enum ledger_rc store_txn_begin(struct store_env *env, struct store_txn *x, struct ledger_err *err)
{
    *x = (struct store_txn){.env = env};
    int e = mdb_txn_begin(env->env, NULL, 0, &x->txn);
    if (!e)
        return LEDGER_OK;
    x->txn = NULL;
    return store_fail_mdb(err, e, "begin");
}

static void waiting_free(struct store_txn *x)
{
    for (unsigned t = 0; t < KV_TABLES; t++)
        index_waiting_free(&x->waiting[t]);
}

void store_txn_abort(struct store_txn *x)
{
    if (x->txn)
        mdb_txn_abort(x->txn);
    x->txn = NULL;
    waiting_free(x);
}

static int flush_index(struct store_txn *x, enum kv_table t)
{
    struct index_waiting *w = &x->waiting[t];
    const size_t keys = w->n; /* which were estimated at a page each */
    int e = index_flush(x->txn, x->env->dbi[t], w);
    if (w->rows > keys)
        x->bytes += (uint64_t)(w->rows - keys) * PAGE_ESTIMATE;
    return e;
}

/* What of a table is not in LMDB yet. */
static int flush_table(struct store_txn *x, enum kv_table t)
{
    if (t == KV_LOG)
        return log_flush(x->txn, x->env->dbi[t], &x->tail);
    return store_is_index(t) ? flush_index(x, t) : 0;
}

static enum ledger_rc write_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    struct store *s = ctx;
    struct store_txn *x = &s->direct;
    int e = flush_table(x, t);
    return e ? x->rc = store_rc(x->code = e) : store_table_get(x->env, x->txn, t, key, value);
}

static enum ledger_rc write_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    struct store *s = ctx;
    store_known_add(s, t, key);
    return store_txn_put(&s->direct, t, key, value, false);
}

enum ledger_rc store_begin(struct store *s, struct kv *out, struct ledger_err *err)
{
    LEDGER_REQUIRE(!s->direct.txn && !s->view);
    if (s->mode != STORE_WRITE)
        return ledger_fail(err, LEDGER_EINVAL, "the store is open for reading only");
    store_clear_dead_readers(s);
    enum ledger_rc rc = store_drain(s, err);
    if (!rc)
        rc = store_txn_begin(s->env, &s->direct, err);
    *out = (struct kv){s, write_get, write_put};
    return rc;
}

static uint64_t free_disk_bytes(const struct store_env *e)
{
    mdb_filehandle_t fd;
    struct statvfs vfs;
    if (mdb_env_get_fd(e->env, &fd) || fstatvfs(fd, &vfs) != 0)
        return UINT64_MAX; /* unknown: the commit will tell */
    return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

enum ledger_rc store_txn_commit(struct store_txn *x, uint64_t reserve, struct ledger_err *err)
{
    LEDGER_REQUIRE(x->txn);
    for (unsigned t = 0; t < KV_TABLES && !x->rc; t++)
        x->rc = store_rc(x->code = flush_table(x, (enum kv_table)t));
    waiting_free(x);
    if (x->rc) {
        enum ledger_rc rc = x->rc;
        int code = x->code;
        store_txn_abort(x);
        if (rc == LEDGER_EFULL || rc == LEDGER_ENOMEM)
            return ledger_fail(err, LEDGER_EFULL,
                               "commit: a write before it failed (%s)", ledger_rc_text(rc));
        ledger_fail(err, rc, "commit: a write before it failed: %s", code ? mdb_strerror(code) : ledger_rc_text(rc));
        if (err)
            err->sys = code;
        return rc;
    }
    uint64_t need = x->bytes < TXN_BYTES_MAX ? x->bytes : TXN_BYTES_MAX,
             left = free_disk_bytes(x->env);
    if (left < need || left - need < reserve) {
        store_txn_abort(x);
        return ledger_fail(
            err, LEDGER_EFULL,
            "the disk is full: %llu bytes are left, %llu are kept in reserve",
            (unsigned long long)left, (unsigned long long)reserve);
    }
    int e = mdb_txn_commit(x->txn);
    x->txn = NULL; /* freed, whatever the outcome */
    if (e == MDB_MAP_FULL || e == MDB_TXN_FULL || e == ENOMEM) {
        store_fail_mdb(err, e, "commit");
        if (err)
            err->rc = LEDGER_EFULL;
        return LEDGER_EFULL;
    }
    if (e) {
        store_fail_mdb(err, e, "commit: what reached the disk is unknown");
        if (err)
            err->rc = LEDGER_EIO; /* also for ENOSPC: it may have come from the meta page */
        return LEDGER_EIO;
    }
    return LEDGER_OK;
}

void store_abort(struct store *s)
{
    store_txn_abort(&s->direct);
    store_snapshot_close(s->view);
    s->view = NULL;
    free(s->sink.r.p);
    s->sink = (struct layer_sink){0};
}

enum ledger_rc store_said(enum ledger_rc rc, struct ledger_err *err)
{
    return rc == LEDGER_EFULL || rc == LEDGER_ENOMEM ? ledger_wrap(err, rc, "nothing was recorded") : rc;
}

enum ledger_rc store_commit(struct store *s, struct ledger_err *err)
{
    return store_said(store_txn_commit(&s->direct, s->reserve_bytes, err), err);
}

enum ledger_rc store_commit_own(struct store *s, struct ledger_err *err)
{
    return store_said(store_txn_commit(&s->direct, s->reserve_bytes / 4, err), err);
}

bool store_has_room(struct store *s)
{
    uint64_t left, file;
    store_space(s, &left, &file);
    return left >= s->reserve_bytes;
}

enum ledger_rc store_replace(struct store *s, enum kv_table t, struct span key, struct span value,
                             struct ledger_err *err)
{
    LEDGER_REQUIRE(s->direct.txn);
    enum ledger_rc rc = store_txn_put(&s->direct, t, key, value, true);
    return rc ? ledger_fail(err, rc, "replace: %s", ledger_rc_text(rc)) : LEDGER_OK;
}

enum ledger_rc store_remove(struct store *s, enum kv_table t, struct span key,
                            struct ledger_err *err)
{
    uint8_t copy[KV_KEY_MAX];
    LEDGER_REQUIRE(s->direct.txn);
    if (store_is_log(t) || key.n == 0 || key.n > KV_KEY_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "rows of the log are never removed");
    memcpy(copy, key.p, key.n);
    MDB_val k = {key.n, copy};
    int e = flush_table(&s->direct, t);
    if (!e)
        e = store_is_index(t) ? index_remove(s->direct.txn, s->env->dbi[t], key) : mdb_del(s->direct.txn, s->env->dbi[t], &k, NULL);
    if (e && e != MDB_NOTFOUND)
        return s->direct.rc = store_fail_mdb(err, e, "remove");
    return LEDGER_OK;
}

enum ledger_rc store_drop_view(struct store *s, struct ledger_err *err)
{
    LEDGER_REQUIRE(s->direct.txn);
    for (int t = 0; t < KV_TABLES; t++) {
        if (store_is_log((enum kv_table)t))
            continue;
        index_waiting_free(&s->direct.waiting[t]);
        int e = mdb_drop(s->direct.txn, s->env->dbi[t], 0);
        if (e)
            return s->direct.rc = store_fail_mdb(err, e, "empty a table");
    }
    return LEDGER_OK;
}

static uint64_t file_bytes(const struct store_env *e)
{
    mdb_filehandle_t fd;
    struct stat st;
    return mdb_env_get_fd(e->env, &fd) == 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

void store_space(struct store *s, uint64_t *left, uint64_t *file)
{
    struct store_env *e = store_env_take(s);
    *left = free_disk_bytes(e);
    *file = file_bytes(e);
    store_env_give(s, e);
}

static uint64_t used_bytes(const struct store_env *e)
{
    uint64_t n = 0;
    MDB_txn *txn;
    MDB_stat ms;
    if (mdb_txn_begin(e->env, NULL, MDB_RDONLY, &txn) != 0)
        return 0;
    for (int t = 0; t < KV_TABLES; t++)
        if (mdb_stat(txn, e->dbi[t], &ms) == 0)
            n += (ms.ms_branch_pages + ms.ms_leaf_pages + ms.ms_overflow_pages) *
                 (uint64_t)ms.ms_psize;
    mdb_txn_abort(txn);
    return n;
}

void store_size(struct store *s, struct store_size *out)
{
    struct store_env *e = store_env_take(s);
    *out = (struct store_size){.free_disk_bytes = free_disk_bytes(e), .used_bytes = used_bytes(e), .file_bytes = file_bytes(e)};
    store_env_give(s, e);
}
