/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_store: the tables of a replay in LMDB (replay_store.h). The only file of the client that knows LMDB.
 *
 * A value is stored with eight bytes of checksum over table, key and value behind it. Transactions are large (a replay commits some ten
 * thousand entries at once), so each commit may wait for the disk.
 */
#include "replay_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "profile.h"

#define FORMAT_PREFIX "ledgerd replay "
#define FORMAT_NUMBER 4 /* 1: tree and chain map node by node. 2: a row for each step of a history. 3: whole hashes as keys of the indexes */
#define MAP_BYTES (UINT64_C(1) << 40) /* address space, not disk; halved until the system grants it */
#define MAP_BYTES_MIN (UINT64_C(1) << 30)
#define CHECKSUM_LEN 8

static const char *const table_names[KV_TABLES] = {
    [KV_LOG] = "log",             [KV_META] = "meta",   [KV_CHAIN] = "chain", [KV_MEMBER] = "member", [KV_KEYHOLDER] = "keyholder",
    [KV_REFERENCE] = "reference", [KV_EVENT] = "event", [KV_MAP] = "map",     [KV_TREE] = "tree",     [KV_CHECKPOINT] = "checkpoint",
};

struct replay_store {
    char dir[PROFILE_PATH_MAX];
    int lock_fd;
    MDB_env *env;
    MDB_dbi dbi[KV_TABLES];
    MDB_txn *txn;
    bool failed; /* a write failed: this transaction cannot be committed */
    char problem[160];
};

static enum ledger_rc problem(struct replay_store *s, int code, const char *what)
{
    snprintf(s->problem, sizeof s->problem, "%s: %s", what, mdb_strerror(code));
    switch (code) {
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC: return LEDGER_EFULL;
    case ENOMEM: return LEDGER_ENOMEM;
    default: return LEDGER_EIO;
    }
}

static bool path_of(const struct replay_store *s, const char *name, char out[PROFILE_PATH_MAX + 16])
{
    int n = snprintf(out, PROFILE_PATH_MAX + 16, "%s/%s", s->dir, name);
    return n > 0 && n < PROFILE_PATH_MAX + 16;
}

/* ---- the folder ---- */

static bool is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    bool empty = d != NULL;
    for (struct dirent *e; d && empty && (e = readdir(d));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    if (d)
        closedir(d);
    return empty;
}

static enum ledger_rc check_format(struct replay_store *s, const char *path, struct span text, struct ledger_err *err)
{
    size_t prefix = sizeof FORMAT_PREFIX - 1;
    unsigned long number = 0;
    bool good = text.n > prefix + 1 && text.n <= prefix + 8 && memcmp(text.p, FORMAT_PREFIX, prefix) == 0 && text.p[text.n - 1] == '\n';
    for (size_t i = prefix; good && i + 1 < text.n; i++) {
        good = text.p[i] >= '0' && text.p[i] <= '9';
        number = number * 10 + (unsigned long)(text.p[i] - '0');
    }
    if (!good || number == 0)
        return ledger_fail(err, LEDGER_EINVAL, "%s does not say that this is the state of a replay; name an empty or a new folder", path);
    if (number > FORMAT_NUMBER)
        return ledger_fail(err, LEDGER_EVERSION, "%s: this state has format %lu, this program knows up to %d; nothing was touched", s->dir,
                           number, FORMAT_NUMBER);
    if (number < FORMAT_NUMBER)
        return ledger_fail(err, LEDGER_EINVAL, "%s: this state was made by an earlier version; delete the folder, and it is derived again", s->dir);
    return LEDGER_OK;
}

static enum ledger_rc folder_open(struct replay_store *s, struct ledger_err *err)
{
    char path[PROFILE_PATH_MAX + 16], text[64];
    struct span have;
    if (!path_of(s, "FORMAT", path))
        return ledger_fail(err, LEDGER_EINVAL, "%s: the name is too long", s->dir);
    if (mkdir(s->dir, 0700) != 0 && errno != EEXIST)
        return ledger_fail(err, LEDGER_EIO, "cannot make the folder %s: %s", s->dir, strerror(errno));
    struct arena *a = arena_new(4096);
    if (!a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = file_read(a, path, 256, &have, err);
    if (!rc) {
        rc = check_format(s, path, have, err);
    } else if (rc == LEDGER_ENOTFOUND && !is_empty(s->dir)) {
        rc = ledger_fail(err, LEDGER_EINVAL, "%s is not empty and holds no state of a replay; name an empty or a new folder", s->dir);
    } else if (rc == LEDGER_ENOTFOUND) {
        int n = snprintf(text, sizeof text, FORMAT_PREFIX "%d\n", FORMAT_NUMBER);
        rc = file_create(path, span_of(text, (size_t)n), err);
    }
    arena_free(a);
    return rc;
}

static enum ledger_rc lock(struct replay_store *s, struct ledger_err *err)
{
    char path[PROFILE_PATH_MAX + 16];
    if (!path_of(s, "lock", path))
        return ledger_fail(err, LEDGER_EINVAL, "%s: the name is too long", s->dir);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return ledger_fail(err, LEDGER_EIO, "%s: %s", path, strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return LEDGER_OK;
    return ledger_fail(err, errno == EWOULDBLOCK ? LEDGER_EBUSY : LEDGER_EIO, "%s is in use by another process", s->dir);
}

/* ---- the environment ---- */

static enum ledger_rc fail_open(struct replay_store *s, int code, struct ledger_err *err)
{
    if (code == MDB_INVALID || code == MDB_CORRUPTED || code == MDB_VERSION_MISMATCH)
        return ledger_fail(err, LEDGER_EINVAL, "%s: the state is damaged (%s); delete the folder, and it is derived again", s->dir,
                           mdb_strerror(code));
    return ledger_fail(err, code == ENOMEM ? LEDGER_ENOMEM : LEDGER_EIO, "%s: %s", s->dir, mdb_strerror(code));
}

/* A file that is shorter than its own last page says would end the program when that page is touched. */
static bool is_whole(struct replay_store *s)
{
    MDB_envinfo info;
    MDB_stat stat_;
    struct stat st;
    mdb_filehandle_t fd;
    return mdb_env_info(s->env, &info) == 0 && mdb_env_stat(s->env, &stat_) == 0 && mdb_env_get_fd(s->env, &fd) == 0 &&
           fstat(fd, &st) == 0 && (uint64_t)st.st_size >= ((uint64_t)info.me_last_pgno + 1) * stat_.ms_psize;
}

static int env_open(struct replay_store *s, uint64_t map)
{
    int e = mdb_env_create(&s->env);
    if (e) {
        s->env = NULL;
        return e;
    }
    e = mdb_env_set_mapsize(s->env, map);
    if (!e)
        e = mdb_env_set_maxdbs(s->env, KV_TABLES);
    if (!e)
        e = mdb_env_open(s->env, s->dir, 0, 0600);
    if (e) {
        mdb_env_close(s->env);
        s->env = NULL;
    }
    return e;
}

static enum ledger_rc tables_open(struct replay_store *s, struct ledger_err *err)
{
    MDB_txn *txn;
    int e = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (e)
        return fail_open(s, e, err);
    for (int t = 0; t < KV_TABLES && !e; t++)
        e = mdb_dbi_open(txn, table_names[t], MDB_CREATE, &s->dbi[t]);
    if (e)
        mdb_txn_abort(txn);
    else
        e = mdb_txn_commit(txn);
    return e ? fail_open(s, e, err) : LEDGER_OK;
}

static enum ledger_rc data_open(struct replay_store *s, struct ledger_err *err)
{
    int e = ENOMEM; /* EINVAL: larger than any address space, as under memcheck */
    for (uint64_t map = MAP_BYTES; (e == ENOMEM || e == EINVAL) && map >= MAP_BYTES_MIN; map /= 2)
        e = env_open(s, map);
    if (e)
        return fail_open(s, e, err);
    if (!is_whole(s))
        return ledger_fail(err, LEDGER_EINVAL, "%s: the state is damaged (data.mdb is cut off); delete the folder, and it is derived again",
                           s->dir);
    return tables_open(s, err);
}

enum ledger_rc replay_store_open(const char *dir, struct replay_store **out, struct ledger_err *err)
{
    *out = NULL;
    struct replay_store *s = calloc(1, sizeof *s);
    if (!s)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    s->lock_fd = -1;
    enum ledger_rc rc = LEDGER_OK;
    if (strlen(dir) >= sizeof s->dir)
        rc = ledger_fail(err, LEDGER_EINVAL, "the name of the state folder is too long");
    else
        memcpy(s->dir, dir, strlen(dir) + 1);
    if (!rc)
        rc = folder_open(s, err);
    if (!rc)
        rc = lock(s, err);
    if (!rc)
        rc = data_open(s, err);
    if (rc)
        replay_store_close(s);
    else
        *out = s;
    return rc;
}

void replay_store_close(struct replay_store *s)
{
    if (!s)
        return;
    if (s->txn)
        mdb_txn_abort(s->txn);
    if (s->env)
        mdb_env_close(s->env);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s);
}

const char *replay_store_problem(const struct replay_store *s)
{
    return s->problem;
}

/* ---- rows ---- */

/* Against accidents only: multiplies and folds eight bytes at a time. */
static uint64_t mix(uint64_t h, struct span s)
{
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t word;
        memcpy(&word, s.p + i, 8);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    uint64_t last = s.n;
    for (; i < s.n; i++)
        last = last << 8 | s.p[i];
    h = (h ^ last) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static uint64_t checksum(enum kv_table t, struct span key, struct span value)
{
    return mix(mix((uint64_t)t + 1, key), value);
}

static enum ledger_rc begin(struct replay_store *s)
{
    if (s->txn)
        return LEDGER_OK;
    int e = mdb_txn_begin(s->env, NULL, 0, &s->txn);
    if (e)
        s->txn = NULL;
    s->failed = false;
    return e ? problem(s, e, "begin") : LEDGER_OK;
}

static enum ledger_rc row_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    struct replay_store *s = ctx;
    uint64_t sum;
    enum ledger_rc rc = key.n && key.n <= KV_KEY_MAX ? begin(s) : LEDGER_EINVAL;
    if (rc)
        return rc;
    uint8_t copy[KV_KEY_MAX]; /* MDB_val is not const */
    memcpy(copy, key.p, key.n);
    MDB_val k = {key.n, copy}, v;
    int e = mdb_get(s->txn, s->dbi[t], &k, &v);
    if (e)
        return e == MDB_NOTFOUND ? LEDGER_ENOTFOUND : problem(s, e, "read");
    if (v.mv_size >= CHECKSUM_LEN) {
        *value = span_of(v.mv_data, v.mv_size - CHECKSUM_LEN);
        memcpy(&sum, value->p + value->n, CHECKSUM_LEN);
        if (sum == checksum(t, key, *value))
            return LEDGER_OK;
    }
    snprintf(s->problem, sizeof s->problem, "a row of table %s is damaged; delete the state folder, and it is derived again", table_names[t]);
    return LEDGER_EIO;
}

static enum ledger_rc row_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    struct replay_store *s = ctx;
    enum ledger_rc rc = key.n && key.n <= KV_KEY_MAX ? begin(s) : LEDGER_EINVAL;
    if (rc)
        return rc;
    uint8_t copy[KV_KEY_MAX];
    memcpy(copy, key.p, key.n);
    MDB_val k = {key.n, copy}, v = {value.n + CHECKSUM_LEN, NULL};
    int e = mdb_put(s->txn, s->dbi[t], &k, &v, MDB_RESERVE);
    if (e) {
        s->failed = true;
        return problem(s, e, "write");
    }
    uint64_t sum = checksum(t, key, value);
    if (value.n)
        memcpy(v.mv_data, value.p, value.n);
    memcpy((uint8_t *)v.mv_data + value.n, &sum, CHECKSUM_LEN);
    return LEDGER_OK;
}

struct kv replay_store_kv(struct replay_store *s)
{
    return (struct kv){s, row_get, row_put};
}

enum ledger_rc replay_store_commit(struct replay_store *s, struct ledger_err *err)
{
    if (!s->txn)
        return LEDGER_OK;
    if (s->failed) {
        mdb_txn_abort(s->txn);
        s->txn = NULL;
        return ledger_fail(err, LEDGER_EIO, "%s: %s", s->dir, s->problem);
    }
    int e = mdb_txn_commit(s->txn);
    s->txn = NULL; /* freed, whatever the outcome */
    if (e)
        return ledger_fail(err, problem(s, e, "commit"), "%s: %s", s->dir, s->problem);
    return LEDGER_OK;
}
