/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal: see the header. Failure: space is asked for before a record is written, by the zeros; so a full disk is told from a record
 * whose fate is unknown.
 */
#include "journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "files.h"
#include "journal_disk.h"

#define FILES 2
#define GROW_MIN ((uint64_t)256 << 10)
#define GROW_MAX ((uint64_t)4 << 20)
#define SWITCH_BYTES ((uint64_t)4 << 20) /* from here on the other file is written, once it is free */
#define FILE_MAX ((uint64_t)64 << 20)    /* and here it must be */
#define ZEROS ((size_t)64 << 10)

static const char file_magic[] = "ledgerd journal 1\n";
static const char record_magic[4] = {'L', 'J', 'R', '1'};
#define MAGIC_LEN (sizeof file_magic - 1)
#define FRONT_LEN (MAGIC_LEN + 8 + HASH_LEN) /* of block 0, before its hash */

struct file {
    int fd;
    uint64_t allocated; /* bytes of the file */
    uint64_t end;       /* where the next record begins */
    uint64_t size;      /* of the log, with the last record in this file */
};
struct journal {
    struct crypto *c;
    struct file f[FILES];
    unsigned active;
    bool begun; /* the active file has a head of this process */
    uint64_t generation, applied;
    struct hash salt;
};

static void put_u32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void put_u64(uint8_t *p, uint64_t v)
{
    put_u32(p, (uint32_t)(v >> 32));
    put_u32(p + 4, (uint32_t)v);
}

static enum ledger_rc io_fail(struct ledger_err *err, enum ledger_rc rc, const char *what)
{
    int sys = errno;
    ledger_fail(err, rc, "journal: %s: %s", what, strerror(sys));
    if (err)
        err->sys = sys;
    return rc;
}

static enum ledger_rc file_path(char out[FILES_PATH_MAX], const char *dir, unsigned i, struct ledger_err *err)
{
    enum ledger_rc rc = files_path(out, dir, "journal", err);
    return rc ? rc : files_path(out, out, i ? "1" : "0", err);
}

/* ---- making and opening ---- */

enum ledger_rc journal_create(const char *dir, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct stat st;
    enum ledger_rc rc = files_path(path, dir, "journal", err);
    if (!rc && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        rc = files_mkdir(path, err);
    for (unsigned i = 0; !rc && i < FILES; i++) {
        rc = file_path(path, dir, i, err);
        int fd = rc ? -1 : journal_disk_open(path, true, true);
        if (!rc && (fd < 0 || journal_disk_sync(fd) != 0))
            rc = io_fail(err, errno == ENOSPC ? LEDGER_EFULL : LEDGER_EIO, path);
        if (fd >= 0)
            journal_disk_close(fd);
    }
    if (!rc)
        rc = files_path(path, dir, "journal", err);
    return rc ? rc : files_sync_folder(path, err);
}

static enum ledger_rc read_head(struct crypto *c, int fd, const char *path, uint64_t *generation, struct hash *salt, struct ledger_err *err);

static enum ledger_rc open_file(struct journal *j, const char *dir, unsigned i, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct hash salt;
    struct file *f = &j->f[i];
    enum ledger_rc rc = file_path(path, dir, i, err);
    if (rc)
        return rc;
    f->fd = journal_disk_open(path, true, false);
    if (f->fd < 0)
        return io_fail(err, errno == ENOENT ? LEDGER_ENOTFOUND : LEDGER_EIO, path);
    int64_t n = journal_disk_size(f->fd);
    if (n < 0)
        return io_fail(err, LEDGER_EIO, path);
    f->allocated = (uint64_t)n / JOURNAL_BLOCK * JOURNAL_BLOCK;
    uint64_t generation;
    rc = read_head(j->c, f->fd, path, &generation, &salt, err);
    if (!rc && generation >= j->generation) {
        j->generation = generation;
        j->active = i;
    }
    return rc;
}

enum ledger_rc journal_open(const char *dir, struct journal **out, struct ledger_err *err)
{
    *out = NULL;
    struct journal *j = calloc(1, sizeof *j);
    if (!j)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    for (unsigned i = 0; i < FILES; i++)
        j->f[i].fd = -1;
    j->c = crypto_new();
    enum ledger_rc rc = j->c ? LEDGER_OK : ledger_fail(err, LEDGER_EINTERNAL, "the cryptographic libraries lack an algorithm");
    for (unsigned i = 0; !rc && i < FILES; i++)
        rc = open_file(j, dir, i, err);
    if (rc)
        journal_close(j);
    else
        *out = j;
    return rc;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    for (unsigned i = 0; i < FILES; i++)
        if (j->f[i].fd >= 0)
            journal_disk_close(j->f[i].fd);
    crypto_free(j->c);
    free(j);
}

/* ---- writing ---- */

void journal_applied(struct journal *j, uint64_t size)
{
    j->applied = size;
}

static int write_zeros(int fd, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[ZEROS];
    for (uint64_t at = from; at < to; at += ZEROS)
        if (journal_disk_write(fd, zeros, to - at < ZEROS ? (size_t)(to - at) : ZEROS, at) != 0)
            return -1;
    return journal_disk_sync(fd);
}

/* The file's blocks are there up to `to`, and on the disk. Without them nothing of the record is written. */
static enum ledger_rc grow(struct file *f, uint64_t to, struct ledger_err *err)
{
    if (to <= f->allocated)
        return LEDGER_OK;
    uint64_t by = f->allocated < GROW_MIN ? GROW_MIN : f->allocated < GROW_MAX ? f->allocated : GROW_MAX;
    if (f->allocated + by > to)
        to = f->allocated + by;
    if (write_zeros(f->fd, f->allocated, to) != 0)
        return io_fail(err, errno == ENOSPC || errno == EDQUOT ? LEDGER_EFULL : LEDGER_EIO, "no room for the batch");
    f->allocated = to;
    return LEDGER_OK;
}

static void front_hash(struct crypto *c, const uint8_t *block, struct hash *out)
{
    struct span front = span_of(block, FRONT_LEN);
    crypto_sha256(c, &front, 1, out);
}

static void record_hash(struct crypto *c, const struct hash *salt, const uint8_t *record, size_t n, struct hash *out)
{
    struct span parts[] = {span_of(salt->b, HASH_LEN), span_of(record + 4, JOURNAL_HEAD - HASH_LEN - 4), span_of(record + JOURNAL_HEAD, n - JOURNAL_HEAD)};
    crypto_sha256(c, parts, 3, out);
}

/* Begins a file anew; its head becomes durable with its first record. */
static enum ledger_rc begin(struct journal *j, unsigned i, struct ledger_err *err)
{
    uint8_t block[JOURNAL_BLOCK] = {0};
    struct file *f = &j->f[i];
    struct hash h;
    enum ledger_rc rc = grow(f, JOURNAL_BLOCK, err);
    if (rc)
        return rc;
    if (getrandom(j->salt.b, HASH_LEN, 0) != HASH_LEN)
        return ledger_fail(err, LEDGER_EIO, "no random numbers: %s", strerror(errno));
    memcpy(block, file_magic, MAGIC_LEN);
    put_u64(block + MAGIC_LEN, ++j->generation);
    memcpy(block + MAGIC_LEN + 8, j->salt.b, HASH_LEN);
    front_hash(j->c, block, &h);
    memcpy(block + FRONT_LEN, h.b, HASH_LEN);
    j->begun = false;
    if (journal_disk_write(f->fd, block, sizeof block, 0) != 0)
        return io_fail(err, LEDGER_EIO, "write: what reached the disk is unknown");
    f->end = JOURNAL_BLOCK;
    j->active = i;
    j->begun = true;
    return LEDGER_OK;
}

static bool free_to_begin(const struct journal *j, unsigned i)
{
    return j->f[i].size <= j->applied;
}

/* The file that the next record goes into. */
static enum ledger_rc choose(struct journal *j, size_t bytes, struct ledger_err *err)
{
    unsigned other = (j->active + 1) % FILES;
    const struct file *f = &j->f[j->active];
    if (j->begun && f->end < SWITCH_BYTES && f->end + bytes <= FILE_MAX)
        return LEDGER_OK;
    if (free_to_begin(j, other))
        return begin(j, other, err);
    if (j->begun && f->end + bytes <= FILE_MAX)
        return LEDGER_OK;
    return ledger_fail(err, LEDGER_EBUSY, "journal: both files hold what is not in the tables yet");
}

enum ledger_rc journal_append(struct journal *j, struct journal_record *r, struct ledger_err *err)
{
    struct hash h;
    size_t bytes = journal_blocks(r->n);
    LEDGER_REQUIRE(r->n >= JOURNAL_HEAD && r->n <= JOURNAL_RECORD_MAX && r->size > r->base);
    enum ledger_rc rc = choose(j, bytes, err);
    struct file *f = &j->f[j->active];
    if (!rc)
        rc = grow(f, f->end + bytes, err);
    if (rc)
        return rc;
    memcpy(r->p, record_magic, sizeof record_magic);
    put_u32(r->p + 4, (uint32_t)(r->n - JOURNAL_HEAD));
    put_u64(r->p + 8, r->base);
    put_u64(r->p + 16, r->size);
    memcpy(r->p + 24, r->before.b, HASH_LEN);
    record_hash(j->c, &j->salt, r->p, r->n, &h);
    memcpy(r->p + JOURNAL_HEAD - HASH_LEN, h.b, HASH_LEN);
    memset(r->p + r->n, 0, bytes - r->n);
    if (journal_disk_write(f->fd, r->p, bytes, f->end) != 0 || journal_disk_sync(f->fd) != 0)
        return io_fail(err, LEDGER_EIO, "write: what reached the disk is unknown");
    f->end += bytes;
    f->size = r->size;
    return LEDGER_OK;
}

enum ledger_rc journal_wipe(struct journal *j, struct ledger_err *err)
{
    j->begun = false;
    for (unsigned i = 0; i < FILES; i++) {
        j->f[i].size = 0;
        if (write_zeros(j->f[i].fd, 0, j->f[i].allocated) != 0)
            return io_fail(err, errno == ENOSPC ? LEDGER_EFULL : LEDGER_EIO, "overwrite");
    }
    return LEDGER_OK;
}

/* ---- reading ---- */

/*
 * *generation is 0 if the file has not been begun: it is shorter, or zeros stand there. Anything else is no head that a crash can leave, which is
 * in one sector: without it, nobody knows whether the file has records that nothing else has.
 */
static enum ledger_rc read_head(struct crypto *c, int fd, const char *path, uint64_t *generation, struct hash *salt, struct ledger_err *err)
{
    static const uint8_t zeros[FRONT_LEN + HASH_LEN];
    uint8_t block[JOURNAL_BLOCK];
    struct hash h;
    struct rbuf r;
    *generation = 0;
    int64_t got = journal_disk_read(fd, block, sizeof block, 0);
    if (got < 0)
        return io_fail(err, LEDGER_EIO, path);
    if (got < (int64_t)sizeof block || memcmp(block, zeros, sizeof zeros) == 0)
        return LEDGER_OK;
    front_hash(c, block, &h);
    if (memcmp(block, file_magic, MAGIC_LEN) != 0 || memcmp(block + FRONT_LEN, h.b, HASH_LEN) != 0)
        return ledger_fail(err, LEDGER_ETAMPER, "%s: its head is damaged, and it may have recorded entries that nothing else has; see \"Rot\" in "
                           "docs/operations.md", path);
    rbuf_init(&r, span_of(block + MAGIC_LEN, 8 + HASH_LEN));
    *generation = rbuf_u64(&r);
    *salt = rbuf_hash(&r);
    return LEDGER_OK;
}

struct reader {
    struct crypto *c;
    int fd;
    struct hash salt;
    enum ledger_rc (*visit)(void *ctx, struct journal_record *r);
    void *ctx;
};

/* Is there a record at `at`? OK with out->p NULL: no. */
static enum ledger_rc read_record(struct reader *rd, uint64_t at, struct journal_record *out, struct ledger_err *err)
{
    uint8_t head[JOURNAL_HEAD];
    struct hash h;
    struct rbuf r;
    *out = (struct journal_record){0};
    int64_t got = journal_disk_read(rd->fd, head, sizeof head, at);
    if (got < 0)
        return io_fail(err, LEDGER_EIO, "read");
    if (got != (int64_t)sizeof head || memcmp(head, record_magic, sizeof record_magic) != 0)
        return LEDGER_OK;
    rbuf_init(&r, span_of(head + 4, sizeof head - 4));
    size_t n = JOURNAL_HEAD + rbuf_u32(&r);
    uint64_t base = rbuf_u64(&r), size = rbuf_u64(&r);
    struct hash before = rbuf_hash(&r);
    if (n > JOURNAL_RECORD_MAX || size <= base)
        return LEDGER_OK;
    uint8_t *p = malloc(journal_blocks(n));
    if (!p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    got = journal_disk_read(rd->fd, p, n, at);
    if (got == (int64_t)n)
        record_hash(rd->c, &rd->salt, p, n, &h);
    if (got == (int64_t)n && memcmp(p + JOURNAL_HEAD - HASH_LEN, h.b, HASH_LEN) == 0)
        *out = (struct journal_record){p, n, base, size, before};
    else
        free(p);
    return got < 0 ? io_fail(err, LEDGER_EIO, "read") : LEDGER_OK;
}

/* Every block may begin a record: what is broken must not hide what follows. */
static enum ledger_rc read_file(struct reader *rd, struct ledger_err *err)
{
    int64_t size = journal_disk_size(rd->fd);
    if (size < 0)
        return io_fail(err, LEDGER_EIO, "read");
    for (uint64_t at = JOURNAL_BLOCK; at + JOURNAL_BLOCK <= (uint64_t)size;) {
        struct journal_record r;
        enum ledger_rc rc = read_record(rd, at, &r, err);
        if (rc)
            return rc;
        at += r.p ? journal_blocks(r.n) : JOURNAL_BLOCK;
        if (r.p && (rc = rd->visit(rd->ctx, &r)))
            return rc;
    }
    return LEDGER_OK;
}

static enum ledger_rc read_both(struct reader *rd, const int fd[FILES], char path[FILES][FILES_PATH_MAX], struct ledger_err *err)
{
    struct hash salt[FILES];
    uint64_t generation[FILES];
    for (unsigned i = 0; i < FILES; i++) {
        enum ledger_rc rc = read_head(rd->c, fd[i], path[i], &generation[i], &salt[i], err);
        if (rc)
            return rc;
    }
    unsigned first = generation[0] <= generation[1] ? 0 : 1;
    for (unsigned i = 0; i < FILES; i++) {
        unsigned k = (first + i) % FILES;
        rd->fd = fd[k];
        rd->salt = salt[k];
        enum ledger_rc rc = generation[k] ? read_file(rd, err) : LEDGER_OK;
        if (rc)
            return rc;
    }
    return LEDGER_OK;
}

enum ledger_rc journal_read(const char *dir, enum ledger_rc (*visit)(void *ctx, struct journal_record *r), void *ctx,
                            struct ledger_err *err)
{
    char path[FILES][FILES_PATH_MAX];
    int fd[FILES] = {-1, -1};
    struct reader rd = {.c = crypto_new(), .visit = visit, .ctx = ctx};
    enum ledger_rc rc = rd.c ? LEDGER_OK : ledger_fail(err, LEDGER_EINTERNAL, "the cryptographic libraries lack an algorithm");
    for (unsigned i = 0; !rc && i < FILES; i++) {
        rc = file_path(path[i], dir, i, err);
        fd[i] = rc ? -1 : journal_disk_open(path[i], false, false);
        if (!rc && fd[i] < 0)
            rc = io_fail(err, errno == ENOENT ? LEDGER_ENOTFOUND : LEDGER_EIO, path[i]);
    }
    if (!rc)
        rc = read_both(&rd, fd, path, err);
    for (unsigned i = 0; i < FILES; i++)
        if (fd[i] >= 0)
            journal_disk_close(fd[i]);
    crypto_free(rd.c);
    return rc;
}
