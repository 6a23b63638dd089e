/* SPDX-License-Identifier: Apache-2.0 */
/* small_files: see small_files.h. */
#include "small_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"

#define SMALL_FILES_MAX 65536u

struct saving {
    const char *dir;
    bool with_keys;
    struct target *t;
    struct arena *a, *scratch;
    struct small_files *out;
    struct backup_file *v; /* malloc'ed while it grows */
    size_t cap;
};

static bool has(struct span s, struct span what)
{
    return memmem(s.p, s.n, what.p, what.n) != NULL;
}

static bool is_secret(struct span s)
{
    return has(s, SPAN_LIT("PRIVATE KEY-----")) || (s.n >= 13 && memcmp(s.p, "ledgerd key v", 13) == 0);
}

static bool left_out(const char *name)
{
    size_t n = strlen(name);
    static const char *const names[] = {"FORMAT", "witnessed.new"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return n > 5 && strcmp(name + n - 5, ".lock") == 0;
}

static bool name_valid(const char *name)
{
    for (const char *p = name; *p; p++)
        if (*p < 0x21 || *p > 0x7e || (*p == '.' && (p == name || p[-1] == '/')))
            return false;
    return strlen(name) <= BACKUP_PATH_MAX;
}

static enum ledger_rc skip(struct saving *s, const char *name, const char *why)
{
    s->out->skipped++;
    logline(LOG_WARN, "a file is not in the backup", "file=%s reason=%s", name, why);
    return LEDGER_OK;
}

static bool grow(struct saving *s)
{
    if (s->out->n < s->cap)
        return true;
    size_t cap = s->cap ? 2 * s->cap : 64;
    struct backup_file *v = cap <= SMALL_FILES_MAX ? realloc(s->v, cap * sizeof *v) : NULL;
    if (!v)
        return false;
    s->v = v;
    s->cap = cap;
    return true;
}

static bool in_former(const struct target *t, const struct backup_file *f)
{
    for (size_t i = 0; t->present && i < t->m.n_files; i++)
        if (hash_eq(&t->m.files[i].sha, &f->sha) && t->m.files[i].bytes == f->bytes)
            return true;
    return false;
}

static enum ledger_rc save_file(struct saving *s, const char *name, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct span bytes, back;
    struct ledger_err why = {0};
    if (!name_valid(name))
        return skip(s, name, "its name has characters that a backup does not keep");
    arena_reset(s->scratch);
    enum ledger_rc rc = files_path(path, s->dir, name, err);
    if (rc == LEDGER_OK)
        rc = files_read(s->scratch, path, BACKUP_FILE_MAX, &bytes, &why);
    if (rc == LEDGER_ENOTFOUND)
        return LEDGER_OK; /* gone meanwhile */
    if (rc != LEDGER_OK)
        return skip(s, name, why.msg);
    bool secret = is_secret(bytes);
    s->out->secrets += secret;
    if (secret && !s->with_keys)
        return LEDGER_OK;
    struct backup_file f = {.path = arena_strdup(s->a, span_str(name)), .bytes = bytes.n};
    crypto_sha256(s->t->c, &bytes, 1, &f.sha);
    if (!f.path || !grow(s))
        return ledger_fail(err, LEDGER_ENOMEM, "too many files, or out of memory");
    s->v[s->out->n++] = f;
    if (!in_former(s->t, &f)) {
        rc = target_put(s->t, bytes, &f.sha, err);
        s->out->bytes_written += bytes.n;
    }
    if (rc == LEDGER_OK)
        rc = target_get(s->t, &f.sha, BACKUP_FILE_MAX, s->scratch, &back, err);
    if (rc == LEDGER_OK && !span_eq(bytes, back))
        rc = ledger_fail(err, LEDGER_EIO, "the backup's copy of %s does not read as it was written", name);
    return rc;
}

/* All regular files of one folder, not of those in it. */
static enum ledger_rc save_folder(struct saving *s, const char *folder, struct ledger_err *err)
{
    char path[FILES_PATH_MAX], name[FILES_PATH_MAX];
    struct stat st;
    enum ledger_rc rc = files_path(path, s->dir, folder, err);
    DIR *d = rc == LEDGER_OK ? opendir(path) : NULL;
    if (!d)
        return rc != LEDGER_OK || errno == ENOENT ? rc : ledger_fail(err, LEDGER_EIO, "%s: %s", path, strerror(errno));
    for (const struct dirent *e; rc == LEDGER_OK && (e = readdir(d));) {
        if (e->d_name[0] == '.' || left_out(e->d_name) || strstr(e->d_name, ".new-"))
            continue;
        rc = folder[0] == '.' ? LEDGER_OK : files_path(name, folder, e->d_name, err);
        if (folder[0] == '.')
            memcpy(name, e->d_name, strlen(e->d_name) + 1);
        if (rc == LEDGER_OK)
            rc = files_path(path, s->dir, name, err);
        if (rc == LEDGER_OK && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            rc = save_file(s, name, err);
    }
    closedir(d);
    return rc;
}

static int by_path(const void *x, const void *y)
{
    return strcmp(((const struct backup_file *)x)->path, ((const struct backup_file *)y)->path);
}

enum ledger_rc small_files_save(const char *dir, bool with_keys, struct target *t, struct arena *a, struct arena *scratch,
                                struct small_files *out, struct ledger_err *err)
{
    static const char *const folders[] = {".", "keys", "log-keys", "pki", "pki/issued"};
    struct saving s = {.dir = dir, .with_keys = with_keys, .t = t, .a = a, .scratch = scratch, .out = out};
    enum ledger_rc rc = LEDGER_OK;
    *out = (struct small_files){0};
    for (size_t i = 0; rc == LEDGER_OK && i < sizeof folders / sizeof folders[0]; i++)
        rc = save_folder(&s, folders[i], err);
    if (rc == LEDGER_OK) {
        out->v = arena_alloc(a, (out->n + 1) * sizeof *out->v);
        if (!out->v)
            rc = ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    if (rc == LEDGER_OK && out->n) {
        qsort(s.v, out->n, sizeof *s.v, by_path);
        memcpy(out->v, s.v, out->n * sizeof *s.v);
    }
    free(s.v);
    return rc;
}

/* ---- back ---- */

enum ledger_rc small_file_write(const char *dir, const char *name, struct span bytes, struct ledger_err *err)
{
    char path[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    struct stat st;
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        size_t n = (size_t)(slash - name);
        if (n >= sizeof folder)
            return ledger_fail(err, LEDGER_EINVAL, "a path of the backup is too long");
        memcpy(folder, name, n);
        folder[n] = 0;
        enum ledger_rc rc = files_path(path, dir, folder, err);
        if (rc == LEDGER_OK && stat(path, &st) != 0)
            rc = files_mkdir(path, err);
        if (rc != LEDGER_OK)
            return rc;
    }
    enum ledger_rc rc = files_path(path, dir, name, err);
    return rc == LEDGER_OK ? files_create(path, bytes, err) : rc;
}

enum ledger_rc small_file_restore(struct target *t, const struct backup_file *f, const char *dir, struct arena *scratch, struct ledger_err *err)
{
    struct span bytes;
    struct hash sha;
    arena_reset(scratch);
    enum ledger_rc rc = target_get(t, &f->sha, BACKUP_FILE_MAX, scratch, &bytes, err);
    if (rc != LEDGER_OK)
        return rc;
    crypto_sha256(t->c, &bytes, 1, &sha);
    if (!hash_eq(&sha, &f->sha))
        return ledger_fail(err, LEDGER_EINVAL, "the backup's copy of %s is damaged", f->path);
    return small_file_write(dir, f->path, bytes, err);
}
