/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_disk: the files of the journal, over memory. A write is seen at once and is on the disk with the next sync; a power cut leaves of
 * each sector written since then the old bytes or the new ones, as the seed has it. Which file it is is known by the inode of an empty
 * file, so that folders can be renamed as always.
 */
#include "store/journal_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"
#include "world.h"

#define FILES_MAX 64
#define SECTOR ((size_t)512)

struct bytes {
    uint8_t *p;
    size_t n;
};
static struct file {
    bool used;
    dev_t dev;
    ino_t ino;
    struct bytes seen, synced, copy;
} files[FILES_MAX];

static void grow_to(struct bytes *b, size_t n)
{
    if (n <= b->n)
        return;
    b->p = realloc(b->p, n);
    LEDGER_REQUIRE(b->p);
    memset(b->p + b->n, 0, n - b->n);
    b->n = n;
}

static void assign(struct bytes *to, const struct bytes *from)
{
    free(to->p);
    *to = (struct bytes){0};
    grow_to(to, from->n);
    if (from->n)
        memcpy(to->p, from->p, from->n);
}

static struct file *file_of(int fd)
{
    struct stat st;
    struct file *empty = NULL;
    LEDGER_REQUIRE(fstat(fd, &st) == 0);
    for (unsigned i = 0; i < FILES_MAX; i++) {
        struct file *f = &files[i];
        if (f->used && f->dev == st.st_dev && f->ino == st.st_ino)
            return f;
        if (!f->used && !empty)
            empty = f;
    }
    LEDGER_REQUIRE(empty);
    empty->used = true;
    empty->dev = st.st_dev;
    empty->ino = st.st_ino;
    return empty;
}

/* ---- what the world does to them ---- */

void journal_disk_forget(void)
{
    for (unsigned i = 0; i < FILES_MAX; i++) {
        free(files[i].seen.p);
        free(files[i].synced.p);
        free(files[i].copy.p);
        files[i] = (struct file){0};
    }
}

void journal_disk_power_cut(void)
{
    for (unsigned i = 0; i < FILES_MAX; i++) {
        struct file *f = &files[i];
        size_t n = f->seen.n;
        if (world_below(2))
            n = f->synced.n; /* the new size did not come through, or what is in the new blocks did not */
        grow_to(&f->synced, n);
        for (size_t at = 0; at < n; at += SECTOR) {
            size_t some = n - at < SECTOR ? n - at : SECTOR;
            if (memcmp(f->synced.p + at, f->seen.p + at, some) != 0 && world_below(2))
                memcpy(f->synced.p + at, f->seen.p + at, some);
        }
        assign(&f->seen, &f->synced);
    }
}

void journal_disk_backup(void)
{
    for (unsigned i = 0; i < FILES_MAX; i++)
        assign(&files[i].copy, &files[i].synced);
}

void journal_disk_exchange(void)
{
    for (unsigned i = 0; i < FILES_MAX; i++) {
        struct file *f = &files[i];
        struct bytes now = f->synced;
        f->synced = f->copy;
        f->copy = now;
        assign(&f->seen, &f->synced);
    }
}

/* ---- what the store calls ---- */

static int fail(int code)
{
    errno = code;
    return -1;
}

int journal_disk_open(const char *path, bool write, bool create)
{
    (void)write;
    if (world_crashed())
        return fail(EIO);
    return open(path, O_RDWR | (create ? O_CREAT : 0) | O_CLOEXEC, 0600);
}

void journal_disk_close(int fd)
{
    close(fd);
}

int64_t journal_disk_size(int fd)
{
    return (int64_t)file_of(fd)->seen.n;
}

int64_t journal_disk_read(int fd, uint8_t *p, size_t n, uint64_t at)
{
    const struct file *f = file_of(fd);
    if (world_crashed())
        return fail(EIO);
    if (at >= f->seen.n)
        return 0;
    n = n < f->seen.n - at ? n : (size_t)(f->seen.n - at);
    memcpy(p, f->seen.p + at, n);
    return (int64_t)n;
}

int journal_disk_write(int fd, const uint8_t *p, size_t n, uint64_t at)
{
    struct file *f = file_of(fd);
    world_point();
    if (world_crashed())
        return fail(EIO);
    if (at + n > f->seen.n && world_chance(disk_faults.full_one_in)) {
        disk_counts.full++;
        return fail(ENOSPC);
    }
    grow_to(&f->seen, (size_t)at + n);
    memcpy(f->seen.p + at, p, n);
    return 0;
}

static void reach_disk(struct file *f)
{
    if (!world_crashed())
        assign(&f->synced, &f->seen);
}

int journal_disk_sync(int fd)
{
    struct file *f = file_of(fd);
    world_spend_us(40 + world_below(200));
    world_yield(); /* others go on while the disk works */
    if (world_crashed())
        return fail(EIO);
    if (world_chance(disk_faults.unknown_one_in)) {
        disk_counts.unknown++;
        if (world_chance(2))
            reach_disk(f);
        return fail(EIO);
    }
    bool crash = world_chance(disk_faults.crash_one_in), before = world_chance(2);
    if (crash && before)
        world_crash();
    disk_counts.lost += world_crashed();
    reach_disk(f);
    if (crash && !before)
        world_crash();
    disk_counts.commits += !world_crashed();
    return world_crashed() ? fail(EIO) : 0;
}
