/* SPDX-License-Identifier: Apache-2.0 */
/* tile_folder: files of tiles (tile_folder.h). May include: POSIX. */
#include "tile_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_BYTES (TILE_FOLDER_MAX + TILE_PATH_MAX + 64)

static enum ledger_rc fail_errno(struct ledger_err *err, const char *doing, const char *path)
{
    return ledger_fail(err, errno == ENOSPC ? LEDGER_EFULL : LEDGER_EIO, "cannot %s %.150s: %s", doing, path, strerror(errno));
}

static void name_of(const struct tile_folder *f, const char *name, char out[NAME_MAX_BYTES])
{
    snprintf(out, NAME_MAX_BYTES, "%s/%s", f->path, name);
}

enum ledger_rc tile_folder_open(struct tile_folder *f, const char *path, struct ledger_err *err)
{
    *f = (struct tile_folder){.written = 0};
    int n = snprintf(f->path, sizeof f->path, "%s", path);
    if (n <= 0 || (size_t)n >= sizeof f->path)
        return ledger_fail(err, LEDGER_EINVAL, "the folder's path is empty or too long");
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return fail_errno(err, "make the folder", path);
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return ledger_fail(err, LEDGER_EINVAL, "%.200s is no folder", path);
    return LEDGER_OK;
}

enum ledger_rc tile_folder_read(const struct tile_folder *f, struct arena *a, const char *name, size_t max, struct span *out,
                                struct ledger_err *err)
{
    char path[NAME_MAX_BYTES];
    name_of(f, name, path);
    return file_read(a, path, max, out, err);
}

/* The folders on the way to a file below the folder. */
static enum ledger_rc make_folders(const struct tile_folder *f, char *path, struct ledger_err *err)
{
    for (char *slash = strchr(path + strlen(f->path) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int bad = mkdir(path, 0777) != 0 && errno != EEXIST;
        if (bad)
            return fail_errno(err, "make the folder", path);
        *slash = '/';
    }
    return LEDGER_OK;
}

static enum ledger_rc fill(int fd, const char *path, struct span bytes, struct ledger_err *err)
{
    size_t done = 0;
    while (done < bytes.n) {
        ssize_t n = write(fd, bytes.p + done, bytes.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, "write", path);
        done += (size_t)n;
    }
    return fsync(fd) == 0 ? LEDGER_OK : fail_errno(err, "make durable", path);
}

enum ledger_rc tile_folder_write(struct tile_folder *f, const char *name, struct span bytes, struct ledger_err *err)
{
    char path[NAME_MAX_BYTES], temporary[NAME_MAX_BYTES + 32];
    name_of(f, name, path);
    snprintf(temporary, sizeof temporary, "%s.%ld.new", path, (long)getpid());
    unlink(temporary); /* a remainder of a crash */
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0 && errno == ENOENT) {
        enum ledger_rc made = make_folders(f, path, err);
        if (made != LEDGER_OK)
            return made;
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    }
    if (fd < 0)
        return fail_errno(err, "create", temporary);
    enum ledger_rc rc = fill(fd, temporary, bytes, err);
    if (close(fd) != 0 && rc == LEDGER_OK)
        rc = fail_errno(err, "write", temporary);
    if (rc == LEDGER_OK && rename(temporary, path) != 0)
        rc = fail_errno(err, "replace", path);
    if (rc != LEDGER_OK)
        unlink(temporary);
    else
        f->written++;
    return rc;
}

enum ledger_rc tile_folder_write_tile(struct tile_folder *f, const struct tile *t, struct span bytes, struct ledger_err *err)
{
    char name[TILE_PATH_MAX];
    tile_path(t, name);
    return tile_folder_write(f, name, bytes, err);
}

enum ledger_rc tile_folder_sync(const struct tile_folder *f, struct ledger_err *err)
{
    int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && syncfs(fd) == 0; /* names of files are in folders: all of them at once */
    if (fd >= 0)
        close(fd);
    return ok ? LEDGER_OK : fail_errno(err, "make durable", f->path);
}

/* ---- going on ---- */

static bool has_tile(const struct tile_folder *f, unsigned level, uint64_t index)
{
    const struct tile t = {.level = level, .index = index, .width = TILE_WIDTH};
    char name[TILE_PATH_MAX], path[NAME_MAX_BYTES];
    struct stat st;
    tile_path(&t, name);
    name_of(f, name, path);
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static enum ledger_rc read_hashes(const struct tile_folder *f, struct arena *a, const struct tile *t,
                                  struct hash out[TILE_WIDTH], struct ledger_err *err)
{
    char name[TILE_PATH_MAX];
    struct span bytes;
    struct arena_mark mark = arena_mark(a);
    tile_path(t, name);
    enum ledger_rc rc = tile_folder_read(f, a, name, TILE_BYTES, &bytes, err);
    if (rc == LEDGER_OK && bytes.n != t->width * HASH_LEN)
        rc = ledger_fail(err, LEDGER_EINVAL, "%.150s/%s is damaged: remove the folder and export again", f->path, name);
    if (rc == LEDGER_OK)
        memcpy(out, bytes.p, bytes.n);
    arena_release(a, mark);
    return rc;
}

enum ledger_rc tile_folder_edge(const struct tile_folder *f, struct crypto *c, struct arena *a, struct tile_edge *out,
                                struct ledger_err *err)
{
    struct hash below[TILE_WIDTH];
    uint64_t full = 0;
    *out = (struct tile_edge){.size = 0};
    while (has_tile(f, 0, full))
        full++;
    out->size = full * TILE_WIDTH;
    /* Hash i of a level is the fold of full tile i one level below. */
    for (unsigned level = 1; level < TILE_LEVELS; level++) {
        unsigned width = tile_edge_width(out, level);
        uint64_t first = (out->size >> (TILE_HEIGHT * level)) - width;
        for (unsigned i = 0; i < width; i++) {
            const struct tile t = {.level = level - 1, .index = first + i, .width = TILE_WIDTH};
            enum ledger_rc rc = read_hashes(f, a, &t, below, err);
            if (rc == LEDGER_ENOTFOUND)
                rc = ledger_fail(err, LEDGER_EINVAL, "%.150s is not whole: remove it and export again", f->path);
            if (rc != LEDGER_OK)
                return rc;
            tile_fold(c, below, TILE_WIDTH, &out->hashes[level][i]);
        }
    }
    return LEDGER_OK;
}

enum ledger_rc tile_folder_root(const struct tile_folder *f, struct crypto *c, const struct tile_edge *edge, uint64_t size,
                                struct hash *out)
{
    const struct tile t = {.index = size / TILE_WIDTH, .width = (unsigned)(size % TILE_WIDTH)};
    struct hash leaves[TILE_WIDTH];
    struct frontier front;
    if (edge->size != size - t.width)
        return LEDGER_ENOTFOUND;
    struct arena *a = arena_new(1u << 20);
    enum ledger_rc rc = !a ? LEDGER_ENOMEM : t.width ? read_hashes(f, a, &t, leaves, NULL) : LEDGER_OK;
    arena_free(a);
    if (rc != LEDGER_OK)
        return rc;
    tile_edge_frontier(c, edge, &front);
    for (unsigned i = 0; i < t.width; i++)
        frontier_append(c, &front, &leaves[i]);
    frontier_root(c, &front, out);
    return LEDGER_OK;
}

/* ---- tidying ---- */

/* NAME.p and the files in it that are named like widths. */
static void remove_partials(const struct tile_folder *f, const struct tile *full)
{
    char name[TILE_PATH_MAX], path[NAME_MAX_BYTES];
    tile_path(full, name);
    name_of(f, name, path);
    size_t n = strlen(path);
    snprintf(path + n, sizeof path - n, ".p");
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *d = readdir(dir); d; d = readdir(dir))
        if (d->d_name[0] != '.' && strlen(d->d_name) <= 3)
            (void)unlinkat(dirfd(dir), d->d_name, 0);
    closedir(dir);
    (void)rmdir(path);
}

void tile_folder_tidy(const struct tile_folder *f, uint64_t before, uint64_t now)
{
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        struct tile t = {.level = level, .index = before >> (TILE_HEIGHT * level) >> TILE_HEIGHT, .width = TILE_WIDTH};
        if (!tile_exists(&t, now))
            continue;
        remove_partials(f, &t);
        t.entries = true;
        if (level == 0)
            remove_partials(f, &t);
    }
}
