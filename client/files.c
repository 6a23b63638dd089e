/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files: reading bounded files, and writing files so that after a power cut either the old or the new content is there, never a
 * part. May include: POSIX.
 */
#include "profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum ledger_rc fail_errno(struct ledger_err *err, enum ledger_rc rc, const char *doing, const char *path)
{
    int sys = errno;
    enum ledger_rc out = ledger_fail(err, rc, "%s %s: %s", doing, path, strerror(sys));
    if (err)
        err->sys = sys;
    return out;
}

static enum ledger_rc read_all(struct arena *a, int fd, const char *path, size_t max, struct span *out, struct ledger_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_errno(err, LEDGER_EIO, "cannot read", path);
    if (!S_ISREG(st.st_mode))
        return ledger_fail(err, LEDGER_EINVAL, "%s is not a file", path);
    if (st.st_size < 0 || (uint64_t)st.st_size > max)
        return ledger_fail(err, LEDGER_ELIMIT, "%s is larger than %zu bytes", path, max);
    /* One byte more, so that an empty file is not an absent one and that texts are NUL-terminated. */
    size_t want = (size_t)st.st_size, got = 0;
    uint8_t *p = arena_alloc(a, want + 1);
    if (!p)
        return ledger_fail(err, LEDGER_ENOMEM, "cannot read %s: out of memory", path);
    while (got < want) {
        ssize_t n = read(fd, p + got, want - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, LEDGER_EIO, "cannot read", path);
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *out = span_of(p, got);
    return LEDGER_OK;
}

enum ledger_rc file_read(struct arena *a, const char *path, size_t max, struct span *out, struct ledger_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return fail_errno(err, errno == ENOENT ? LEDGER_ENOTFOUND : LEDGER_EIO, "cannot open", path);
    enum ledger_rc rc = read_all(a, fd, path, max, out, err);
    close(fd);
    return rc;
}

static enum ledger_rc write_and_sync(int fd, const char *path, struct span bytes, struct ledger_err *err)
{
    size_t done = 0;
    while (done < bytes.n) {
        ssize_t n = write(fd, bytes.p + done, bytes.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, errno == ENOSPC ? LEDGER_EFULL : LEDGER_EIO, "cannot write", path);
        done += (size_t)n;
    }
    if (fsync(fd) != 0)
        return fail_errno(err, LEDGER_EIO, "cannot make durable:", path);
    return LEDGER_OK;
}

enum ledger_rc file_sync_folder(const char *folder, struct ledger_err *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, LEDGER_EIO, "cannot open the folder", folder);
    int bad = fsync(fd);
    close(fd);
    return bad ? fail_errno(err, LEDGER_EIO, "cannot make durable:", folder) : LEDGER_OK;
}

static enum ledger_rc sync_folder_of(const char *path, struct ledger_err *err)
{
    const char *slash = strrchr(path, '/');
    char folder[PROFILE_PATH_MAX + 128];
    int n = slash ? snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path)
                  : snprintf(folder, sizeof folder, ".");
    if (n < 0 || (size_t)n >= sizeof folder)
        return ledger_fail(err, LEDGER_EINVAL, "the path is too long: %s", path);
    return file_sync_folder(folder, err);
}

/* Creates, fills and syncs a file that must be new. On a failure nothing is left of it. */
static enum ledger_rc create_filled(const char *path, struct span bytes, struct ledger_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == EEXIST)
        return ledger_fail(err, LEDGER_EINVAL, "%s exists and is not overwritten", path);
    if (fd < 0)
        return fail_errno(err, LEDGER_EIO, "cannot create", path);
    enum ledger_rc rc = write_and_sync(fd, path, bytes, err);
    if (close(fd) != 0 && rc == LEDGER_OK)
        rc = fail_errno(err, LEDGER_EIO, "cannot write", path);
    if (rc != LEDGER_OK)
        unlink(path);
    return rc;
}

enum ledger_rc file_create(const char *path, struct span bytes, struct ledger_err *err)
{
    enum ledger_rc rc = create_filled(path, bytes, err);
    return rc == LEDGER_OK ? sync_folder_of(path, err) : rc;
}

enum ledger_rc file_replace(const char *path, struct span bytes, struct ledger_err *err)
{
    char temporary[PROFILE_PATH_MAX + 160];
    int n = snprintf(temporary, sizeof temporary, "%s.%ld.new", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temporary)
        return ledger_fail(err, LEDGER_EINVAL, "the path is too long: %s", path);
    /* The name is ours alone (process id, and callers hold the lock of the folder): a remainder is from a crash. */
    unlink(temporary);
    enum ledger_rc rc = create_filled(temporary, bytes, err);
    if (rc != LEDGER_OK)
        return rc;
    if (rename(temporary, path) != 0) {
        rc = fail_errno(err, LEDGER_EIO, "cannot replace", path);
        unlink(temporary);
        return rc;
    }
    return sync_folder_of(path, err);
}
