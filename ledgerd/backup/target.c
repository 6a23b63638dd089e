/* SPDX-License-Identifier: Apache-2.0 */
/* target: see target.h. */
#include "target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME (2 * HASH_LEN)

static enum ledger_rc lock(struct target *t, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = files_path(path, t->path, "lock", err);
    if (rc != LEDGER_OK)
        return rc;
    t->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (t->lock_fd < 0)
        return ledger_fail(err, LEDGER_EIO, "%s: %s", path, strerror(errno));
    if (flock(t->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return ledger_fail(err, LEDGER_EBUSY, "%s is in use by another process", t->path);
    return LEDGER_OK;
}

static enum ledger_rc read_manifest(struct target *t, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct span bytes;
    enum ledger_rc rc = files_path(path, t->path, "manifest", err);
    if (rc == LEDGER_OK)
        rc = files_read(t->a, path, BACKUP_MANIFEST_MAX, &bytes, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = backup_manifest_decode(t->c, t->a, bytes, &t->m, err);
    t->present = rc == LEDGER_OK;
    return rc == LEDGER_OK ? rc : ledger_wrap(err, rc, "%.120s", path);
}

/* What a first run that was interrupted may have left: nothing is in the way of beginning again. */
static bool nothing_else(const char *path)
{
    DIR *d = opendir(path);
    bool good = d != NULL;
    for (const struct dirent *e; good && (e = readdir(d));)
        good = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "lock") == 0 ||
               strcmp(e->d_name, "parts") == 0 || strncmp(e->d_name, "manifest.new-", 13) == 0;
    if (d)
        closedir(d);
    return good;
}

static enum ledger_rc open_write(struct target *t, struct ledger_err *err)
{
    char parts[FILES_PATH_MAX];
    struct stat st;
    enum ledger_rc rc = stat(t->path, &st) == 0 ? LEDGER_OK : files_mkdir(t->path, err);
    if (rc == LEDGER_OK)
        rc = files_path(parts, t->path, "manifest", err);
    if (rc == LEDGER_OK && stat(parts, &st) != 0 && !nothing_else(t->path))
        return ledger_fail(err, LEDGER_EINVAL, "%s holds something that is no backup; nothing was touched", t->path);
    if (rc == LEDGER_OK)
        rc = files_path(parts, t->path, "parts", err);
    if (rc == LEDGER_OK)
        rc = lock(t, err);
    if (rc == LEDGER_OK)
        rc = read_manifest(t, err);
    if (rc == LEDGER_ENOTFOUND)
        rc = LEDGER_OK;
    return rc == LEDGER_OK && stat(parts, &st) != 0 ? files_mkdir(parts, err) : rc;
}

enum ledger_rc target_open(struct target *t, const char *path, bool write, struct crypto *c, struct arena *a, struct ledger_err *err)
{
    *t = (struct target){.c = c, .a = a, .lock_fd = -1};
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n == 0 || n >= sizeof t->path)
        return ledger_fail(err, LEDGER_EINVAL, "the path of the backup is empty or too long");
    memcpy(t->path, path, n);
    if (write)
        return open_write(t, err);
    enum ledger_rc rc = read_manifest(t, err);
    return rc == LEDGER_ENOTFOUND ? ledger_fail(err, rc, "%s is no backup: it has no manifest", t->path) : rc;
}

void target_close(struct target *t)
{
    if (t->lock_fd >= 0)
        close(t->lock_fd);
    t->lock_fd = -1;
}

static enum ledger_rc part_path(const struct target *t, const char *name, char out[FILES_PATH_MAX], struct ledger_err *err)
{
    enum ledger_rc rc = files_path(out, t->path, "parts", err);
    return rc == LEDGER_OK ? files_path(out, out, name, err) : rc;
}

enum ledger_rc target_put(struct target *t, struct span bytes, const struct hash *sha, struct ledger_err *err)
{
    char path[FILES_PATH_MAX], name[NAME + 1];
    hex_encode(span_of(sha->b, HASH_LEN), name);
    enum ledger_rc rc = part_path(t, name, path, err);
    return rc == LEDGER_OK ? files_replace(path, bytes, err) : rc;
}

static void drop_from_memory(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* whoever reads will say why */
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

enum ledger_rc target_get(struct target *t, const struct hash *sha, size_t max, struct arena *a, struct span *out, struct ledger_err *err)
{
    char path[FILES_PATH_MAX], name[NAME + 1];
    hex_encode(span_of(sha->b, HASH_LEN), name);
    enum ledger_rc rc = part_path(t, name, path, err);
    if (rc != LEDGER_OK)
        return rc;
    drop_from_memory(path);
    rc = files_read(a, path, max, out, err);
    return rc == LEDGER_ENOTFOUND ? ledger_fail(err, LEDGER_EINVAL, "%s is missing", path) : rc;
}

/* ---- what is no longer named ---- */

static int by_bytes(const void *x, const void *y)
{
    return memcmp(x, y, HASH_LEN);
}

/* Content that was erased since is in there: it is written over before it is let go. */
static void destroy(const char *path)
{
    static const uint8_t zeros[1 << 16];
    struct stat st;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        for (off_t at = 0; at < st.st_size;) {
            size_t n = st.st_size - at < (off_t)sizeof zeros ? (size_t)(st.st_size - at) : sizeof zeros;
            ssize_t w = pwrite(fd, zeros, n, at);
            if (w <= 0)
                break; /* a courtesy: the name goes in any case */
            at += w;
        }
        fdatasync(fd);
    }
    if (fd >= 0)
        close(fd);
    unlink(path);
}

static void tidy(struct target *t, const struct backup_manifest *m, struct arena *scratch)
{
    char folder[FILES_PATH_MAX], path[FILES_PATH_MAX];
    size_t n = m->n_parts + m->n_files;
    struct hash *kept = arena_alloc(scratch, (n + 1) * sizeof *kept), name;
    if (!kept || files_path(folder, t->path, "parts", NULL) != LEDGER_OK)
        return; /* the next run removes it */
    for (size_t i = 0; i < m->n_parts; i++)
        kept[i] = m->parts[i].sha;
    for (size_t i = 0; i < m->n_files; i++)
        kept[m->n_parts + i] = m->files[i].sha;
    qsort(kept, n, sizeof *kept, by_bytes);
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d));) {
        bool named = strlen(e->d_name) == NAME && hex_decode(span_str(e->d_name), name.b) &&
                     bsearch(&name, kept, n, sizeof *kept, by_bytes);
        if (!named && e->d_name[0] != '.' && files_path(path, folder, e->d_name, NULL) == LEDGER_OK)
            destroy(path);
    }
    closedir(d);
}

enum ledger_rc target_commit(struct target *t, const struct backup_manifest *m, struct arena *scratch, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct span back;
    struct span bytes = backup_manifest_encode(scratch, m);
    if (!bytes.p)
        return ledger_fail(err, LEDGER_ENOMEM, "the manifest: out of memory");
    enum ledger_rc rc = files_path(path, t->path, "manifest", err);
    if (rc == LEDGER_OK)
        rc = files_replace(path, bytes, err);
    if (rc != LEDGER_OK)
        return rc;
    drop_from_memory(path);
    rc = files_read(scratch, path, BACKUP_MANIFEST_MAX, &back, err);
    if (rc == LEDGER_OK && !span_eq(bytes, back))
        rc = ledger_fail(err, LEDGER_EIO, "%s does not read as it was written", path);
    if (rc == LEDGER_OK)
        tidy(t, m, scratch);
    return rc;
}
