/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim: a preloaded library that stands between a daemon and its disk. It counts the calls that change files below a folder, and, when
 * told to, has one of them fail, fall short, come late, or be the last thing that the process does; and it writes a trace of all of
 * them, from which the states that a power cut may leave are made (tests/system/disk.py).
 *
 *   SHIM_FOLDER   paths that begin with it are watched; but not locks (lock.mdb, ledgerd.lock) and what is in run/
 *   SHIM_CONTROL  the control file (shim.h), mapped
 *   SHIM_TRACE    where the trace goes; none without it
 *
 * Without the first two it does nothing. Calls come from several threads; with a trace they take turns, so that it is in order.
 */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define SECTOR 512u

static struct shim_control *control;
static const char *folder;
static size_t folder_n;
static int trace = -1;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void shim_start(void)
{
    const char *path = getenv("SHIM_CONTROL"), *traced = getenv("SHIM_TRACE");
    folder = getenv("SHIM_FOLDER");
    int fd = path && folder ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    folder_n = strlen(folder);
    void *p = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (traced)
        trace = open(traced, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    control = p == MAP_FAILED ? NULL : p;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A sanitizer follows descriptors through the library's functions. That the shim looks at one is none of its business; but it has to be told
 * of a file, or it takes the number for the socket that had it before. */
static int status_of(int fd, struct stat *st)
{
    return (int)syscall(SYS_fstat, fd, st);
}

static int open_file(const char *path, int flags, mode_t mode)
{
    int (*next)(const char *, int, ...);
    *(void **)&next = dlsym(RTLD_NEXT, "open");
    return next(path, flags, mode);
}

/* ---- which calls ---- */

static bool watched_path(const char *path)
{
    if (!control || !path)
        return false;
    const char *parent_end = strrchr(folder, '/');
    size_t parent_n = parent_end ? (size_t)(parent_end - folder) : 0;
    if (strlen(path) == parent_n && strncmp(path, folder, parent_n) == 0)
        return true; /* the anchor's name is in it */
    if (strncmp(path, folder, folder_n) != 0)
        return false;
    const char *rest = path + folder_n, *name = strrchr(path, '/');
    if (!name)
        return false;
    return strncmp(rest, "/run/", 5) != 0 && strcmp(name, "/lock.mdb") != 0 && strcmp(name, "/ledgerd.lock") != 0;
}

/* The path behind a descriptor, if it is watched. */
static bool watched(int fd, char path[PATH_MAX])
{
    char link[64];
    struct stat st;
    if (!control || status_of(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0)
        return false;
    path[n] = 0;
    return watched_path(path);
}

/* ---- one call ---- */

struct call {
    enum shim_op op;
    const char *name, *path, *to;
    int fd;
    const struct iovec *iov;
    int iov_n;
    int64_t offset; /* −1: where the descriptor stands */
    enum shim_action action;
    struct shim_record record;
    uint8_t *data;
};

static _Noreturn void die_now(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

static size_t length(const struct call *c)
{
    size_t n = 0;
    for (int i = 0; i < c->iov_n; i++)
        n += c->iov[i].iov_len;
    return n;
}

/* Writes the first n bytes by the plain system calls. */
static ssize_t write_part(const struct call *c, size_t n)
{
    size_t done = 0;
    for (int i = 0; i < c->iov_n && done < n; i++) {
        size_t part = c->iov[i].iov_len < n - done ? c->iov[i].iov_len : n - done;
        ssize_t w = c->offset < 0 ? syscall(SYS_write, c->fd, c->iov[i].iov_base, part)
                                  : syscall(SYS_pwrite64, c->fd, c->iov[i].iov_base, part, c->offset + (int64_t)done);
        if (w < 0)
            return done ? (ssize_t)done : w;
        done += (size_t)w;
        if ((size_t)w < part)
            break;
    }
    return (ssize_t)done;
}

/* A sector is written or not: so much of n bytes as ends at the end of one. */
static size_t whole_sectors(const struct call *c, size_t n)
{
    int64_t offset = c->offset < 0 ? lseek(c->fd, 0, SEEK_CUR) : c->offset;
    size_t over = (size_t)(offset + (int64_t)n) % SECTOR;
    return over < n ? n - over : 0;
}

static void put(const void *p, size_t n)
{
    if (n && syscall(SYS_write, trace, p, n) != (ssize_t)n)
        die_now(); /* a trace with holes would show what never was */
}

/* The bytes are kept before the call: of a process that is killed in it, the trace has them. */
static void trace_begin(struct call *c)
{
    struct shim_record *r = &c->record;
    *r = (struct shim_record){.op = c->op, .began_ns = now_ns(), .path_n = (uint32_t)strlen(c->path),
                              .to_n = c->to ? (uint32_t)strlen(c->to) : 0, .offset = (uint64_t)c->offset};
    if (c->op == SHIM_WRITE) {
        int flags = fcntl(c->fd, F_GETFL);
        struct stat st;
        r->durable = flags & (O_DSYNC | O_SYNC) ? 1 : 0;
        if (c->offset < 0)
            r->offset = flags & O_APPEND && status_of(c->fd, &st) == 0 ? (uint64_t)st.st_size : (uint64_t)lseek(c->fd, 0, SEEK_CUR);
        r->data_n = length(c);
    }
}

static void trace_end(struct call *c, int64_t result)
{
    struct shim_record *r = &c->record;
    r->ended_ns = now_ns();
    r->result = result;
    put(r, sizeof *r);
    put(c->path, r->path_n);
    put(c->to, r->to_n);
    for (int i = 0; i < c->iov_n && c->op == SHIM_WRITE; i++)
        put(c->iov[i].iov_base, c->iov[i].iov_len);
}

static bool take_one(_Atomic uint64_t *counter)
{
    uint64_t left = atomic_load(counter);
    while (left && !atomic_compare_exchange_weak(counter, &left, left - 1))
        ;
    return left > 0;
}

/* Below the folder: "data/data.mdb"; ".anchor…" beside it, and ".." what they are in. */
static const char *name_of(const struct call *c)
{
    const char *rest = strlen(c->path) > folder_n ? c->path + folder_n : "..";
    return *rest == '/' ? rest + 1 : rest;
}

static bool meant(const struct call *c)
{
    bool durable = c->op == SHIM_WRITE && fcntl(c->fd, F_GETFL) & (O_DSYNC | O_SYNC);
    uint64_t bit = UINT64_C(1) << (durable ? 0 : c->op);
    return atomic_load(&control->armed) && atomic_load(&control->mask) & bit && strncmp(name_of(c), control->only, strnlen(control->only, SHIM_ONLY_MAX)) == 0 &&
           !take_one(&control->skip) && take_one(&control->left);
}

/* Counts the call and decides what becomes of it. True: the caller makes it; false: *result and errno are its outcome. */
static bool begin(struct call *c, int64_t *result)
{
    atomic_fetch_add(&control->calls, 1);
    if (trace >= 0) {
        pthread_mutex_lock(&turn);
        trace_begin(c);
    }
    c->action = meant(c) ? (enum shim_action)atomic_load(&control->action) : SHIM_NOTHING;
    if (c->action == SHIM_NOTHING)
        return true;
    atomic_fetch_add(&control->hits, 1);
    snprintf(control->what, sizeof control->what, "%s %s", c->name, name_of(c));
    *result = -1;
    size_t half = c->op == SHIM_WRITE ? length(c) / 2 : 0;
    if (c->action == SHIM_EIO || c->action == SHIM_ENOSPC) {
        errno = c->action == SHIM_EIO ? EIO : ENOSPC;
        return false;
    }
    if (c->action == SHIM_SHORT && half) {
        *result = write_part(c, half);
        return false;
    }
    if (c->action == SHIM_DELAY)
        usleep((useconds_t)atomic_load(&control->arg));
    if (c->action == SHIM_KILL_MIDDLE && half)
        (void)write_part(c, whole_sectors(c, half));
    if (c->action == SHIM_KILL_MIDDLE || c->action == SHIM_KILL_BEFORE)
        die_now();
    return true;
}

static int64_t end(struct call *c, int64_t result)
{
    int e = errno;
    if (c->action == SHIM_KILL_AFTER)
        die_now();
    if (trace >= 0) {
        trace_end(c, result < 0 ? -(int64_t)e : result);
        pthread_mutex_unlock(&turn);
    }
    if (c->action == SHIM_EIO_AFTER) {
        e = EIO;
        result = -1;
    }
    errno = e;
    return result;
}

static ssize_t do_write(const char *name, int fd, const struct iovec *iov, int n, int64_t offset)
{
    char path[PATH_MAX];
    struct call c = {.op = SHIM_WRITE, .name = name, .path = path, .fd = fd, .iov = iov, .iov_n = n, .offset = offset};
    int64_t result;
    if (!watched(fd, path))
        return offset < 0 ? syscall(SYS_writev, fd, iov, n) : syscall(SYS_pwritev, fd, iov, n, offset, 0L);
    if (begin(&c, &result))
        result = offset < 0 ? syscall(SYS_writev, fd, iov, n) : syscall(SYS_pwritev, fd, iov, n, offset, 0L);
    return (ssize_t)end(&c, result);
}

static int do_sync(const char *name, int fd, long number)
{
    char path[PATH_MAX];
    struct call c = {.op = SHIM_SYNC, .name = name, .path = path, .fd = fd};
    int64_t result;
    if (!watched(fd, path))
        return (int)syscall(number, fd);
    if (begin(&c, &result))
        result = syscall(number, fd);
    return (int)end(&c, result);
}

/* ---- what is interposed ---- */

EXPORT ssize_t write(int fd, const void *p, size_t n)
{
    struct iovec v = {(void *)(uintptr_t)p, n};
    return do_write("write", fd, &v, 1, -1);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
    return do_write("write", fd, iov, n, -1);
}

EXPORT ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
    struct iovec v = {(void *)(uintptr_t)p, n};
    return do_write("write", fd, &v, 1, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *p, size_t n, off64_t offset)
{
    return pwrite(fd, p, n, offset);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    return do_write("write", fd, iov, n, offset);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t offset)
{
    return do_write("write", fd, iov, n, offset);
}

EXPORT int fsync(int fd)
{
    return do_sync("sync", fd, SYS_fsync);
}

EXPORT int fdatasync(int fd)
{
    return do_sync("sync", fd, SYS_fdatasync);
}

EXPORT int ftruncate(int fd, off_t size)
{
    char path[PATH_MAX];
    struct call c = {.op = SHIM_TRUNCATE, .name = "truncate", .path = path, .fd = fd, .offset = size};
    int64_t result;
    if (!watched(fd, path))
        return (int)syscall(SYS_ftruncate, fd, size);
    if (begin(&c, &result))
        result = syscall(SYS_ftruncate, fd, size);
    return (int)end(&c, result);
}

EXPORT int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

EXPORT int rename(const char *from, const char *to)
{
    struct call c = {.op = SHIM_RENAME, .name = "rename", .path = from, .to = to, .fd = -1};
    int64_t result;
    if (!watched_path(to))
        return (int)syscall(SYS_rename, from, to);
    if (begin(&c, &result))
        result = syscall(SYS_rename, from, to);
    return (int)end(&c, result);
}

EXPORT int unlink(const char *path)
{
    struct call c = {.op = SHIM_UNLINK, .name = "unlink", .path = path, .fd = -1};
    int64_t result;
    if (!watched_path(path))
        return (int)syscall(SYS_unlink, path);
    if (begin(&c, &result))
        result = syscall(SYS_unlink, path);
    return (int)end(&c, result);
}

static int do_open(const char *path, int flags, mode_t mode)
{
    struct call c = {.op = SHIM_CREATE, .name = "create", .path = path, .fd = -1};
    int64_t result;
    if (!(flags & O_CREAT) || !watched_path(path) || syscall(SYS_access, path, F_OK) == 0)
        return open_file(path, flags, mode);
    if (begin(&c, &result))
        result = open_file(path, flags, mode);
    return (int)end(&c, result);
}

#define OPEN(name) \
    EXPORT int name(const char *path, int flags, ...) \
    { \
        va_list ap; \
        va_start(ap, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0; \
        va_end(ap); \
        return do_open(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
