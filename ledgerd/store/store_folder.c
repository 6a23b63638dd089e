/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_folder: the data folder around the environment: its format number, its lock, its keys, and
 * opening it all in an order that touches nothing before the format number is known to be ours.
 *
 * A folder is made from the inside out and FORMAT is written last, so a crash while making one
 * leaves no data folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "../log.h"
#include "../thread.h"
#include "files.h"
#include "keyfile.h"
#include "log.h"
#include "store_impl.h"

#define FORMAT_PREFIX "ledgerd data "
#define SMALL_FILE_MAX 16384
#define CREATE_MAP_BYTES (UINT64_C(16) << 20)

/* A decimal without leading zeros that is followed by one newline and the end. */
static bool format_number(struct span text, unsigned long *out)
{
    size_t prefix = sizeof FORMAT_PREFIX - 1;
    if (text.n <= prefix + 1 || text.n > prefix + 10 || memcmp(text.p, FORMAT_PREFIX, prefix) != 0)
        return false;
    unsigned long v = 0;
    for (size_t i = prefix; i + 1 < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        v = v * 10 + (unsigned long)(text.p[i] - '0');
    }
    *out = v;
    return text.p[text.n - 1] == '\n' && text.p[prefix] != '0';
}

enum ledger_rc store_format_check(const char *dir, unsigned *number, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct span text;
    unsigned long found = 0;
    enum ledger_rc rc = files_path(path, dir, "FORMAT", err);
    if (rc)
        return rc;
    struct arena *a = arena_new(SMALL_FILE_MAX * 2);
    if (!a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    rc = files_read(a, path, SMALL_FILE_MAX, &text, err);
    if (rc == LEDGER_ENOTFOUND)
        ledger_fail(err, rc, "%s is no data folder: it has no file FORMAT", dir);
    else if (!rc && !format_number(text, &found))
        rc = ledger_fail(err, LEDGER_EINVAL, "%s does not hold a data format number", path);
    else if (!rc && found > STORE_FORMAT)
        rc = ledger_fail(
            err, LEDGER_EVERSION,
            "%s: the data has format %lu, this program knows up to %d; nothing was touched", dir,
            found, STORE_FORMAT);
    *number = rc ? 0 : (unsigned)found;
    arena_free(a);
    return rc;
}

enum ledger_rc store_format_write(const char *dir, struct ledger_err *err)
{
    char path[FILES_PATH_MAX], text[64];
    enum ledger_rc rc = files_path(path, dir, "FORMAT", err);
    if (rc)
        return rc;
    int n = snprintf(text, sizeof text, FORMAT_PREFIX "%d\n", STORE_FORMAT);
    return files_create(path, span_of(text, (size_t)n), err);
}

enum ledger_rc store_format_update(struct store *s, struct ledger_err *err)
{
    char path[FILES_PATH_MAX], text[64];
    enum ledger_rc rc = files_path(path, s->dir, "FORMAT", err);
    int n = snprintf(text, sizeof text, FORMAT_PREFIX "%d\n", STORE_FORMAT);
    if (!rc)
        rc = files_replace(path, span_of(text, (size_t)n), err);
    if (!rc)
        s->env->older = false;
    return rc;
}

enum ledger_rc store_is_older(const char *dir, bool *older, struct ledger_err *err)
{
    unsigned number;
    enum ledger_rc rc = store_format_check(dir, &number, err);
    *older = !rc && number < STORE_FORMAT;
    return rc;
}

enum ledger_rc store_lock(const char *dir, enum store_mode mode, int *fd, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = files_path(path, dir, "ledgerd.lock", err);
    if (rc)
        return rc;
    int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f < 0 && mode == STORE_READ && (errno == EROFS || errno == EACCES))
        f = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (f < 0)
        return ledger_fail(err, LEDGER_EIO, "%s: %s", path, strerror(errno));
    if (flock(f, LOCK_EX | LOCK_NB) != 0) {
        int e = errno;
        close(f);
        if (e == EWOULDBLOCK)
            return ledger_fail(err, LEDGER_EBUSY, "%s is in use by another process, which holds %s",
                               dir, path);
        return ledger_fail(err, LEDGER_EIO, "%s: lock: %s", path, strerror(e));
    }
    *fd = f;
    return LEDGER_OK;
}

#define READERS_WAIT_MS 5000
#define READERS_POLL_MS 10

/* A backup that root makes may be the first to need the file; the daemon, under its own user, has to be able to open it. */
static void belongs_to_folder(const char *dir, int fd)
{
    struct stat folder, file;
    if (geteuid() == 0 && stat(dir, &folder) == 0 && fstat(fd, &file) == 0 && file.st_uid != folder.st_uid)
        (void)!fchown(fd, folder.st_uid, folder.st_gid);
}

enum ledger_rc store_readers_lock(const char *dir, bool exclusive, int *fd, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    const struct timespec pause = {.tv_nsec = READERS_POLL_MS * 1000000L};
    enum ledger_rc rc = files_path(path, dir, "readers.lock", err);
    if (rc)
        return rc;
    int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f < 0)
        return ledger_fail(err, LEDGER_EIO, "%s: %s", path, strerror(errno));
    belongs_to_folder(dir, f);
    int e = flock(f, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
    for (unsigned ms = 0; e != 0 && errno == EWOULDBLOCK && ms < READERS_WAIT_MS; ms += READERS_POLL_MS) {
        nanosleep(&pause, NULL);
        e = flock(f, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
    }
    if (e != 0) {
        int sys = errno;
        close(f);
        return ledger_fail(err, sys == EWOULDBLOCK ? LEDGER_EBUSY : LEDGER_EIO, "%s: %s", path,
                           sys == EWOULDBLOCK ? "another process holds it" : strerror(sys));
    }
    *fd = f;
    return LEDGER_OK;
}

/* ---- keys ---- */

enum ledger_rc store_keys_read(struct store *s, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = files_path(path, s->dir, "keys/index.key", err);
    if (!rc)
        rc = keyfile_read_index(path, &s->index_key, err);
    if (!rc)
        rc = files_path(path, s->dir, "keys/log.key", err);
    if (rc)
        return rc;
    struct crypto *c = crypto_new();
    if (!c)
        return ledger_fail(err, LEDGER_EINTERNAL, "the cryptographic libraries lack an algorithm");
    rc = keyfile_read(c, path, NULL, &s->log_key, err);
    /* Checkpoints are signed with Ed25519 alone: it is deterministic, so signing again after a
     * crash gives the same note. */
    if (!rc && s->log_key.alg != SIG_ED25519)
        rc = ledger_fail(err, LEDGER_EINVAL, "%s is no Ed25519 key", path);
    crypto_free(c);
    return rc;
}

static enum ledger_rc folder_make(const char *path, struct ledger_err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return LEDGER_OK;
    return files_mkdir(path, err);
}

enum ledger_rc store_keys_write(const char *dir, const char *origin,
                                const struct secret_key *log_key, const struct hash *index_key,
                                struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    LEDGER_REQUIRE(log_key->alg == SIG_ED25519);
    enum ledger_rc rc = folder_make(dir, err);
    if (!rc)
        rc = files_path(path, dir, "keys", err);
    if (!rc)
        rc = folder_make(path, err);
    if (!rc)
        rc = files_path(path, dir, "keys/log.key", err);
    if (!rc)
        rc = keyfile_write(path, origin, log_key, err);
    if (!rc)
        rc = files_path(path, dir, "keys/index.key", err);
    return rc ? rc : keyfile_write_index(path, index_key, err);
}

/* ---- making and opening ---- */

/* Fills dir with the absolute path, so that names derived from it do not depend on how the folder
 * was named. */
static enum ledger_rc resolve(struct store *s, const char *dir, struct ledger_err *err)
{
    if (realpath(dir, s->dir))
        return LEDGER_OK;
    if (errno == ENOENT)
        return ledger_fail(err, LEDGER_ENOTFOUND, "%s: there is no such folder", dir);
    return ledger_fail(err, LEDGER_EIO, "%s: %s", dir, strerror(errno));
}

static struct store *store_alloc(enum store_mode mode)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->mode = mode;
    s->lock_fd = -1;
    thread_cond_init(&s->left);
    pthread_mutex_init(&s->lock, NULL);
    store_apply_init(&s->apply);
    return s;
}

static enum ledger_rc create_in(struct store *s, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct stat st;
    enum ledger_rc rc = files_path(path, s->dir, "FORMAT", err);
    if (rc)
        return rc;
    if (stat(path, &st) == 0)
        return ledger_fail(err, LEDGER_EINVAL, "%s is a data folder already", s->dir);
    rc = files_path(path, s->dir, "data", err);
    if (!rc)
        rc = files_vacant(path, err);
    if (!rc)
        rc = store_lock(s->dir, STORE_WRITE, &s->lock_fd, err);
    if (!rc)
        rc = folder_make(path, err);
    struct store_env_options o = {
        .map_bytes = CREATE_MAP_BYTES, .mode = STORE_WRITE, .create = true};
    if (!rc)
        rc = store_env_open(path, &o, &s->env, err);
    if (!rc)
        rc = files_sync_folder(path, err);
    if (!rc)
        rc = journal_create(s->dir, err);
    return rc ? rc : store_format_write(s->dir, err);
}

enum ledger_rc store_create(const char *dir, struct ledger_err *err)
{
    struct store *s = store_alloc(STORE_WRITE);
    if (!s)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    umask(077);
    enum ledger_rc rc = folder_make(dir, err);
    if (!rc)
        rc = resolve(s, dir, err);
    if (!rc)
        rc = create_in(s, err);
    store_close(s);
    return rc;
}

static enum ledger_rc tables_end(struct store *s, uint64_t *size, struct hash *root, struct ledger_err *err)
{
    MDB_txn *txn;
    int e = mdb_txn_begin(s->env->env, NULL, MDB_RDONLY, &txn);
    if (e)
        return store_fail_mdb(err, e, "open a snapshot");
    enum ledger_rc rc = store_txn_root(s->env, txn, size, root, err);
    mdb_txn_abort(txn);
    return rc;
}

static enum ledger_rc put_log_rows(const struct kv *txn, const struct layer *l)
{
    static const enum kv_table log[] = {KV_LOG, KV_CHECKPOINT};
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < 2 && !rc; i++)
        for (size_t k = l->first[log[i]]; k < l->first[log[i] + 1] && !rc; k++)
            rc = kv_put(txn, log[i], l->rows[k].key, l->rows[k].value);
    return rc;
}

/* For a view that is too damaged to take anything: the log gets it, and the view goes in the same transaction, to be derived anew. */
static enum ledger_rc take_over_log(struct store *s, struct ledger_err *err)
{
    struct kv txn;
    enum ledger_rc rc = store_begin(s, &txn, err);
    for (size_t i = 0; i < s->n_layers && !rc; i++)
        if ((rc = put_log_rows(&txn, s->layers[i])))
            ledger_fail(err, rc, "write of the log: %s", ledger_rc_text(rc));
    bool erasing = !rc && log_erasing(&txn); /* it stays due */
    if (!rc)
        rc = store_drop_view(s, err);
    if (!rc)
        rc = log_set_rebuilding(s, true, err);
    if (!rc && erasing)
        rc = log_set_erasing(s, err);
    if (!rc)
        rc = store_commit_own(s, err);
    store_abort(s);
    return rc;
}

/* What was recorded and had not come into the tables when the process before this one ended. A writer puts it there before anything else: what
 * the journal shows may not be on the disk, if that process died between writing and syncing it. */
static enum ledger_rc take_over(struct store *s, struct ledger_err *err)
{
    uint64_t size = 0;
    struct hash root;
    if (s->format < STORE_FORMAT_JOURNAL)
        return LEDGER_OK;
    enum ledger_rc rc = store_recent_read(s->dir, s->layers, &s->n_layers, err);
    if (rc || !s->n_layers)
        return rc;
    rc = tables_end(s, &size, &root, err);
    if (!rc)
        rc = store_recent_stack(s->layers, &s->n_layers, size, &root, err);
    if (rc || s->mode != STORE_WRITE || !s->n_layers)
        return rc;
    struct ledger_err why = {0};
    rc = store_apply_layers(s, s->layers, s->n_layers, 0, false, &why);
    if (rc == LEDGER_EIO && why.sys == MDB_CORRUPTED) {
        logline(LOG_ERROR, "the view is damaged: what the journal has goes into the log, and the view is to be derived anew", "error=%s", why.msg);
        rc = take_over_log(s, &why);
    }
    if (rc)
        return ledger_fail(err, rc, "what the journal has cannot be put into the tables: %s", why.msg);
    logline(LOG_INFO, "recorded batches were taken over from the journal", "batches=%zu from=%llu", s->n_layers, (unsigned long long)size);
    while (s->n_layers)
        layer_drop(s->layers[--s->n_layers]);
    return LEDGER_OK;
}

static enum ledger_rc open_data(struct store *s, enum store_mode mode, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct store_env_options o = {.map_bytes = s->map_bytes, .mode = mode};
    enum ledger_rc rc = files_path(path, s->dir, "data", err);
    s->mode = mode;
    if (!rc)
        rc = store_env_open(path, &o, &s->env, err);
    if (!rc)
        s->env->older = s->format < STORE_FORMAT;
    if (!rc && mode == STORE_WRITE && s->format < STORE_FORMAT_JOURNAL)
        rc = journal_create(s->dir, err); /* empty; the older program, until the view is derived anew, knows nothing of it */
    if (!rc && mode != STORE_BESIDE)
        rc = take_over(s, err);
    if (!rc && mode == STORE_WRITE)
        rc = journal_open(s->dir, &s->journal, err);
    return rc;
}

static void close_data(struct store *s)
{
    while (s->n_layers)
        layer_drop(s->layers[--s->n_layers]);
    journal_close(s->journal);
    store_env_close(s->env);
    s->journal = NULL;
    s->env = NULL;
}

/* Erased content whose bytes are still there, because the process ended before the compaction: it is done now. What
 * keeps it from being done keeps nobody from working; the mark stays. */
static enum ledger_rc finish_erasure(struct store *s, struct ledger_err *err)
{
    struct store_compaction done = {0};
    struct ledger_err why = {0};
    enum store_mode mode = s->mode;
    enum ledger_rc rc = LEDGER_OK;
    if (!store_erasing(s))
        return LEDGER_OK;
    if (mode == STORE_READ) {
        close_data(s);
        if (open_data(s, STORE_WRITE, &why)) {
            close_data(s);
            return open_data(s, mode, err); /* a folder that cannot be written */
        }
    }
    if (store_compact(s, &done, &why) == LEDGER_OK)
        logline(LOG_INFO, "an interrupted erasure was finished", "bytes_before=%llu bytes_after=%llu",
                (unsigned long long)done.bytes_before, (unsigned long long)done.bytes_after);
    else if (done.unknown)
        rc = ledger_fail(err, LEDGER_EIO, "%s", why.msg);
    else
        logline(LOG_ERROR, "erased content is still in the data file", "error=%s", why.msg);
    if (rc || mode == STORE_WRITE)
        return rc;
    close_data(s);
    return open_data(s, mode, err);
}

static enum ledger_rc check_format(struct store *s, const struct store_options *o, struct ledger_err *err)
{
    enum ledger_rc rc = store_format_check(s->dir, &s->format, err);
    if (rc || s->format == STORE_FORMAT || (o && o->older))
        return rc;
    return ledger_fail(err, LEDGER_EINVAL, "%s: the data has an earlier format; `ledgerd rebuild %s` brings it up to date "
                       "(so does `ledgerd run`); the log stays as it is", s->dir, s->dir);
}

enum ledger_rc store_open_with(const char *dir, enum store_mode mode, const struct store_options *o,
                               struct store **out, struct ledger_err *err)
{
    *out = NULL;
    struct store *s = store_alloc(mode);
    if (!s)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    umask(077);
    s->reserve_bytes = o && o->reserve_bytes ? o->reserve_bytes : STORE_RESERVE_BYTES;
    s->map_bytes = o && o->map_bytes ? o->map_bytes : STORE_MAP_BYTES;
    enum ledger_rc rc = resolve(s, dir, err);
    if (!rc)
        rc = check_format(s, o, err);
    bool beside = mode == STORE_BESIDE;
    if (!rc)
        rc = beside ? store_readers_lock(s->dir, false, &s->lock_fd, err) : store_lock(s->dir, mode, &s->lock_fd, err);
    if (!rc)
        rc = store_keys_read(s, err);
    if (!rc && !beside)
        store_compact_tidy(s->dir);
    if (!rc)
        rc = open_data(s, mode, err);
    if (!rc && !beside)
        rc = finish_erasure(s, err);
    if (rc) {
        store_close(s);
        return rc;
    }
    *out = s;
    return LEDGER_OK;
}

enum ledger_rc store_open(const char *dir, enum store_mode mode, struct store **out,
                          struct ledger_err *err)
{
    return store_open_with(dir, mode, NULL, out, err);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    store_abort(s);
    store_known_end(s);
    store_apply_fini(s);
    pthread_mutex_lock(&s->lock);
    while (s->destroying)
        pthread_cond_wait(&s->left, &s->lock);
    pthread_mutex_unlock(&s->lock);
    close_data(s);
    pthread_cond_destroy(&s->left);
    pthread_mutex_destroy(&s->lock);
    if (s->lock_fd >= 0)
        close(s->lock_fd); /* the lock goes with it */
    crypto_secret_wipe(&s->log_key);
    OPENSSL_cleanse(&s->index_key, sizeof s->index_key);
    free(s);
}

const char *store_dir(const struct store *s)
{
    return s->dir;
}

const struct hash *store_index_key(const struct store *s)
{
    return &s->index_key;
}

const struct secret_key *store_log_key(const struct store *s)
{
    return &s->log_key;
}

void store_log_key_set(struct store *s, const struct secret_key *k)
{
    crypto_secret_wipe(&s->log_key);
    s->log_key = *k;
}
