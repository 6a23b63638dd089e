/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files: reading and writing small whole files durably. A file is written under another name first and renamed when it is
 * on the disk, so that a crash leaves the old one or the new one and never a part.
 *
 * Failure modes: every failed call is EIO with the path and the system's text; what was made so far is removed again.
 */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum ledger_rc io_fail(struct ledger_err *err, const char *path, const char *what)
{
    int sys = errno;
    enum ledger_rc rc = sys == ENOSPC || sys == EDQUOT ? LEDGER_EFULL : LEDGER_EIO;
    ledger_fail(err, rc, "%s: %s: %s", path, what, strerror(sys));
    if (err)
        err->sys = sys;
    return rc;
}

enum ledger_rc files_path(char out[FILES_PATH_MAX], const char *folder, const char *name, struct ledger_err *err)
{
    size_t n = strlen(folder), m = strlen(name);
    if (n + 1 + m >= FILES_PATH_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "the path %.60s… is too long", folder);
    memmove(out, folder, n);
    out[n] = '/';
    memcpy(out + n + 1, name, m + 1);
    return LEDGER_OK;
}

/* Reads up to n bytes; short only at the end of the file. */
static ssize_t read_all(int fd, uint8_t *p, size_t n)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = read(fd, p + got, n - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        got += (size_t)r;
    }
    return (ssize_t)got;
}

enum ledger_rc files_read(struct arena *a, const char *path, size_t max, struct span *out, struct ledger_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return ledger_fail(err, LEDGER_ENOTFOUND, "%s: there is no such file", path);
    if (fd < 0)
        return io_fail(err, path, "open");
    enum ledger_rc rc = LEDGER_OK;
    struct stat st;
    uint8_t *p = NULL;
    if (fstat(fd, &st) != 0) {
        rc = io_fail(err, path, "stat");
    } else if (!S_ISREG(st.st_mode)) {
        rc = ledger_fail(err, LEDGER_EINVAL, "%s: is no file", path);
    } else if ((uintmax_t)st.st_size > max) {
        rc = ledger_fail(err, LEDGER_ELIMIT, "%s: has more than %zu bytes", path, max);
    } else if (!(p = arena_alloc(a, (size_t)st.st_size + 1))) {
        rc = ledger_fail(err, LEDGER_ENOMEM, "%s: out of memory", path);
    } else {
        ssize_t n = read_all(fd, p, (size_t)st.st_size);
        if (n < 0)
            rc = io_fail(err, path, "read");
        else
            *out = span_of(p, (size_t)n);
    }
    close(fd);
    return rc;
}

static bool write_all(int fd, struct span s)
{
    while (s.n) {
        ssize_t w = write(fd, s.p, s.n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return false;
        s.p += w;
        s.n -= (size_t)w;
    }
    return true;
}

/* Writes and fsyncs a file that must not exist yet; the folder is the caller's to sync. */
static enum ledger_rc write_new(const char *path, struct span bytes, struct ledger_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == EEXIST)
        return ledger_fail(err, LEDGER_EINVAL, "%s: exists already and is not overwritten", path);
    if (fd < 0)
        return io_fail(err, path, "create");
    enum ledger_rc rc = LEDGER_OK;
    if (fchmod(fd, 0600) != 0 || !write_all(fd, bytes) || fsync(fd) != 0)
        rc = io_fail(err, path, "write");
    if (close(fd) != 0 && rc == LEDGER_OK)
        rc = io_fail(err, path, "close");
    if (rc != LEDGER_OK)
        unlink(path);
    return rc;
}

static enum ledger_rc sync_parent(const char *path, struct ledger_err *err)
{
    char parent[FILES_PATH_MAX];
    enum ledger_rc rc = files_parent(parent, path, err);
    return rc == LEDGER_OK ? files_sync_folder(parent, err) : rc;
}

enum ledger_rc files_create(const char *path, struct span bytes, struct ledger_err *err)
{
    enum ledger_rc rc = write_new(path, bytes, err);
    return rc == LEDGER_OK ? sync_parent(path, err) : rc;
}

enum ledger_rc files_replace(const char *path, struct span bytes, struct ledger_err *err)
{
    char temporary[FILES_PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.new-%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temporary)
        return ledger_fail(err, LEDGER_EINVAL, "the path %.60s… is too long", path);
    unlink(temporary); /* Left by a process of the same number that crashed. */
    enum ledger_rc rc = write_new(temporary, bytes, err);
    if (rc != LEDGER_OK)
        return rc;
    if (rename(temporary, path) != 0) {
        rc = io_fail(err, path, "rename");
        unlink(temporary);
        return rc;
    }
    return sync_parent(path, err);
}

enum ledger_rc files_mkdir(const char *path, struct ledger_err *err)
{
    if (mkdir(path, 0700) != 0) {
        if (errno == EEXIST)
            return ledger_fail(err, LEDGER_EINVAL, "%s: exists already and is not overwritten", path);
        return io_fail(err, path, "make folder");
    }
    if (chmod(path, 0700) != 0)
        return io_fail(err, path, "chmod");
    return sync_parent(path, err);
}

enum ledger_rc files_sync_folder(const char *path, struct ledger_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return io_fail(err, path, "open");
    enum ledger_rc rc = fsync(fd) == 0 ? LEDGER_OK : io_fail(err, path, "fsync");
    close(fd);
    return rc;
}

enum ledger_rc files_parent(char out[FILES_PATH_MAX], const char *path, struct ledger_err *err)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n >= FILES_PATH_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "the path %.60s… is too long", path);
    if (n == 0) {
        memcpy(out, ".", 2);
        return LEDGER_OK;
    }
    memcpy(out, path, n);
    out[n] = '\0';
    return LEDGER_OK;
}

enum ledger_rc files_vacant(const char *path, struct ledger_err *err)
{
    DIR *d = opendir(path);
    if (!d && errno == ENOENT) {
        struct stat st; /* A dangling symbolic link is something, too. */
        if (lstat(path, &st) != 0)
            return LEDGER_OK;
        return ledger_fail(err, LEDGER_EINVAL, "%s: exists already", path);
    }
    if (!d && errno == ENOTDIR)
        return ledger_fail(err, LEDGER_EINVAL, "%s: exists already and is no folder", path);
    if (!d)
        return io_fail(err, path, "open");
    bool empty = true;
    for (const struct dirent *e; empty && (e = readdir(d));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(d);
    return empty ? LEDGER_OK : ledger_fail(err, LEDGER_EINVAL, "%s: exists already and is not empty", path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    (void)!remove(path); /* What cannot be removed stays and is seen by whoever looks into the folder. */
    return 0;
}

void files_remove_folder(const char *path)
{
    (void)!nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
