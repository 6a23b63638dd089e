/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_compact: the same rows in a new file, so that what was erased is in no page of it (store.h).
 *
 * The rows are copied one by one into an environment of its own and not by mdb_env_copy2(MDB_CP_COMPACT): that
 * leaves out free pages, but it copies overflow pages whole (LMDB 0.9.24, mdb_env_cwalk), and behind the value
 * in such a page there may be what the page held before, because LMDB takes pages of memory out of a pool
 * without clearing them (mdb_page_malloc). A new environment has a new pool, and into it come only rows that
 * are meant to stay; MDB_NOMEMINIT is never set, so its pages are cleared when they are allocated.
 *
 * While the copy is being written its environment does not sync (MDB_NOSYNC): nobody reads it before the one
 * sync at the end. Then it is opened anew, like any other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../log.h"
#include "files.h"
#include "log.h"
#include "page_row.h"
#include "store_impl.h"

#define CHUNK_BYTES ((uint64_t)64 << 20) /* of rows in one transaction of the copy */
#define DRAIN_SECONDS 2                  /* the writer waits so long for snapshots of the old file */
#define WIPE_BLOCK ((size_t)1 << 20)

static int64_t monotonic_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- the old file ---- */

static void wipe(int fd)
{
    static const uint8_t zeros[WIPE_BLOCK];
    struct stat st;
    if (fstat(fd, &st) != 0)
        return;
    for (off_t at = 0; at < st.st_size; at += (off_t)WIPE_BLOCK) {
        off_t left = st.st_size - at;
        if (pwrite(fd, zeros, left < (off_t)WIPE_BLOCK ? (size_t)left : WIPE_BLOCK, at) <= 0)
            return; /* the blocks are free already; this was a courtesy */
    }
    fdatasync(fd);
}

void store_env_destroy(struct store_env *e)
{
    mdb_filehandle_t fd;
    /* LMDB's own descriptor is closed with the environment, before anything is written through its copy. */
    int kept = mdb_env_get_fd(e->env, &fd) ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    store_env_close(e);
    if (kept < 0)
        return;
    wipe(kept);
    close(kept);
}

/* ---- copying ---- */

struct copy {
    const struct store_env *from, *to;
    MDB_txn *read, *write;
    uint64_t bytes; /* in the open transaction */
};

static int copy_begin(struct copy *c)
{
    c->bytes = 0;
    return mdb_txn_begin(c->to->env, NULL, 0, &c->write);
}

static int copy_end(struct copy *c)
{
    int e = mdb_txn_commit(c->write);
    c->write = NULL;
    return e;
}

static bool left_out(enum kv_table t, const MDB_val *key)
{
    return t == KV_META &&
           span_eq(span_of(key->mv_data, key->mv_size), SPAN_LIT(STORE_ERASING_KEY));
}

static int copy_row(struct copy *c, enum kv_table t, MDB_val *k, MDB_val *v)
{
    int e = 0;
    if (left_out(t, k))
        return 0;
    if (c->bytes >= CHUNK_BYTES && !(e = copy_end(c)))
        e = copy_begin(c);
    if (!e)
        e = mdb_put(c->write, c->to->dbi[t], k, v, MDB_APPEND);
    c->bytes += k->mv_size + v->mv_size;
    return e;
}

static int copy_table(struct copy *c, enum kv_table t)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    int e = mdb_cursor_open(c->read, c->from->dbi[t], &cursor);
    if (e)
        return e;
    e = page_row(cursor, &k, &v, MDB_FIRST);
    while (!e && !(e = copy_row(c, t, &k, &v)))
        e = page_row(cursor, &k, &v, MDB_NEXT);
    mdb_cursor_close(cursor);
    return e == MDB_NOTFOUND ? 0 : e;
}

static int same_counts(struct copy *c)
{
    MDB_stat from, to;
    for (int t = 0; t < KV_TABLES; t++) {
        int e = mdb_stat(c->read, c->from->dbi[t], &from);
        if (!e)
            e = mdb_stat(c->write, c->to->dbi[t], &to);
        if (e)
            return e;
        if (from.ms_entries != to.ms_entries && t != KV_META)
            return MDB_CORRUPTED;
    }
    return 0;
}

static enum ledger_rc copy_rows(const struct store_env *from, const struct store_env *to,
                                struct ledger_err *err)
{
    struct copy c = {.from = from, .to = to};
    int e = mdb_txn_begin(from->env, NULL, MDB_RDONLY, &c.read);
    if (e)
        return store_fail_mdb(err, e, "compact");
    e = copy_begin(&c);
    for (int t = 0; t < KV_TABLES && !e; t++)
        e = copy_table(&c, (enum kv_table)t);
    if (!e)
        e = same_counts(&c);
    if (!e)
        e = copy_end(&c);
    if (c.write)
        mdb_txn_abort(c.write);
    mdb_txn_abort(c.read);
    if (!e)
        e = mdb_env_sync(to->env, 1);
    return e ? store_fail_mdb(err, e, "compact: copy the rows") : LEDGER_OK;
}

/* ---- the folder ---- */

static enum ledger_rc new_folder(const char *dir, char out[FILES_PATH_MAX], struct ledger_err *err)
{
    return files_path(out, dir, "data.new", err);
}

void store_compact_tidy(const char *dir)
{
    char path[FILES_PATH_MAX];
    struct stat st;
    if (new_folder(dir, path, NULL) == LEDGER_OK && lstat(path, &st) == 0)
        files_remove_folder(path);
}

static enum ledger_rc rename_in(const char *dir, const char *from, const char *to,
                                struct ledger_err *err)
{
    char a[FILES_PATH_MAX], b[FILES_PATH_MAX];
    enum ledger_rc rc = files_path(a, dir, from, err);
    if (!rc)
        rc = files_path(b, dir, to, err);
    if (!rc && rename(a, b) != 0)
        rc = ledger_fail(err, LEDGER_EIO, "compact: %s: %s", b, strerror(errno));
    return rc;
}

/* Once the file has its new name the copy is the ledger: *placed. The lock file follows, because it holds the number of
 * the environment's latest transaction; should it not, LMDB makes it anew when nobody has it open. */
static enum ledger_rc rename_copy(const char *dir, bool *placed, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = files_path(path, dir, "data", err);
    if (!rc)
        rc = rename_in(dir, "data.new/data.mdb", "data/data.mdb", err);
    *placed = rc == LEDGER_OK;
    if (rc)
        return rc;
    if (rename_in(dir, "data.new/lock.mdb", "data/lock.mdb", err))
        logline(LOG_WARN, "the lock file of the data was not renamed", "error=%s", err ? err->msg : "");
    return files_sync_folder(path, err);
}

/* Other processes that read are kept out meanwhile: none then still has the old file open when zeros are written over it, and none meets one
 * file with the other's lock. */
static enum ledger_rc take_place(const char *dir, bool *placed, struct ledger_err *err)
{
    int readers = -1;
    enum ledger_rc rc = store_readers_lock(dir, true, &readers, err);
    if (rc)
        return ledger_wrap(err, rc, "compact");
    rc = rename_copy(dir, placed, err);
    close(readers);
    return rc;
}

static enum ledger_rc make_copy(struct store *s, const char *folder, struct ledger_err *err)
{
    struct store_env *copy;
    struct store_env_options o = {
        .map_bytes = s->map_bytes, .mode = STORE_WRITE, .create = true, .flags = MDB_NOSYNC};
    enum ledger_rc rc = files_mkdir(folder, err);
    if (!rc)
        rc = store_env_open(folder, &o, &copy, err);
    if (rc)
        return rc;
    rc = copy_rows(s->env, copy, err);
    store_env_close(copy);
    return rc ? rc : files_sync_folder(folder, err);
}

/* ---- the whole ---- */

/* From here on everybody begins on the new environment. Waits a little for those who are still on the old one, so that
 * it is usually this thread that writes the zeros. */
static void retire(struct store *s, struct store_env *next)
{
    struct timespec until;
    struct store_env *old = s->env;
    int e = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += DRAIN_SECONDS;
    pthread_mutex_lock(&s->lock);
    s->env = next;
    while (old->users && e == 0)
        e = pthread_cond_timedwait(&s->left, &s->lock, &until);
    old->retired = true;
    bool mine = old->users == 0;
    pthread_mutex_unlock(&s->lock);
    if (mine)
        store_env_destroy(old);
}

enum ledger_rc store_compact_room(struct store *s, struct ledger_err *err)
{
    struct store_size size;
    store_size(s, &size);
    if (size.free_disk_bytes >= size.used_bytes + s->reserve_bytes / 4)
        return LEDGER_OK;
    return ledger_fail(err, LEDGER_EFULL,
                       "destroying erased content takes a second copy of the data for a moment: %llu bytes are needed, "
                       "%llu are free",
                       (unsigned long long)(size.used_bytes + s->reserve_bytes / 4),
                       (unsigned long long)size.free_disk_bytes);
}

static uint64_t file_bytes(struct store *s)
{
    struct store_size size;
    store_size(s, &size);
    return size.file_bytes;
}

/* A copy of the rows, opened, under its new name. The mark goes with the old file, so the journal is overwritten before that. */
static enum ledger_rc replace(struct store *s, struct store_env **next, bool *placed,
                              struct ledger_err *err)
{
    char folder[FILES_PATH_MAX];
    struct store_env_options o = {.map_bytes = s->map_bytes, .mode = STORE_WRITE};
    enum ledger_rc rc = store_compact_room(s, err);
    if (!rc)
        rc = store_drain(s, err);
    if (!rc)
        rc = journal_wipe(s->journal, err);
    if (!rc)
        rc = new_folder(s->dir, folder, err);
    if (!rc)
        rc = make_copy(s, folder, err);
    if (!rc)
        rc = store_env_open(folder, &o, next, err);
    if (!rc)
        (*next)->older = s->env->older;
    return rc ? rc : take_place(s->dir, placed, err);
}

enum ledger_rc store_compact(struct store *s, struct store_compaction *out, struct ledger_err *err)
{
    struct store_env *next = NULL;
    LEDGER_REQUIRE(!s->direct.txn && !s->view);
    if (s->mode != STORE_WRITE)
        return ledger_fail(err, LEDGER_EINVAL, "the store is open for reading only");
    int64_t begun = monotonic_us();
    bool placed = false;
    *out = (struct store_compaction){.bytes_before = file_bytes(s)};
    store_compact_tidy(s->dir);
    enum ledger_rc rc = replace(s, &next, &placed, err);
    store_compact_tidy(s->dir); /* after a success it is empty */
    if (rc && !placed) {
        store_env_close(next);
        return rc;
    }
    out->unknown = rc != LEDGER_OK;
    out->copy_us = monotonic_us() - begun;
    retire(s, next);
    out->wipe_us = monotonic_us() - begun - out->copy_us;
    out->bytes_after = file_bytes(s);
    return rc;
}

bool store_erasing(struct store *s)
{
    struct store_snapshot *sn;
    if (store_snapshot_open(s, &sn, NULL))
        return false;
    struct kv kv = store_snapshot_kv(sn);
    bool erasing = log_erasing(&kv);
    store_snapshot_close(sn);
    return erasing;
}
