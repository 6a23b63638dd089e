/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rot: flips one bit of a data file after the other, all over it, and asks three who know nothing of each other:
 *
 *   rows    every row of every table, as the store gives it: is any of it another one than before?
 *   check   `ledgerd check`: does the folder verify?
 *   scrub   what the daemon's background scrub looks at: does it find anything?
 *
 * A flip matters if a row is another one, or cannot be read. Check and scrub must find each that matters, and name an entry, unless LMDB's own pages
 * are damaged, or a chain's record where it says which entry is the chain's latest. Each of the three runs in a process of its own, since a page that is not one can take a reader with it; a reader
 * that ends by a signal has not said anything false, but check must not: it is asked by people.
 *
 * Beside so many places all over the file, of each page those bits that say what sort of page it is: LMDB believes them.
 *
 *   rot DIR FLIPS SEED KINDS    DIR: a data folder that nobody uses; KINDS: a mask of those sixteen bits. The last line: "flips=… matter=… …";
 *                               status 1 if one was missed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "opening.h"
#include "scrub_all.h"

#define MAP_BYTES ((uint64_t)1 << 30)
#define UNREADABLE 77
#define PAGE_BYTES 4096
#define PAGE_KIND 10 /* mdb.c: mp_flags of MDB_page */

static const char *const TABLES[KV_TABLES] = {
    [KV_LOG] = "log", [KV_META] = "meta", [KV_CHAIN] = "chain", [KV_MEMBER] = "member", [KV_KEYHOLDER] = "keyholder",
    [KV_REFERENCE] = "reference", [KV_EVENT] = "event", [KV_MAP] = "map", [KV_TREE] = "tree", [KV_CHECKPOINT] = "checkpoint",
};
struct rows {
    uint8_t digest[KV_TABLES][32];
};
struct scrubbed {
    uint64_t found, named;
    int error;
};
struct context {
    const char *dir;
    struct store *store;
    struct rows *rows;
    struct scrubbed *scrubbed;
    int said; /* a file: what check has printed */
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "rot: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- the three ---- */

struct sum {
    struct crypto *c;
    struct arena *a;
    enum kv_table table;
    uint8_t so_far[32];
};

/* Of the reference key that is kept with erased content the second half is read by nobody: the index goes by the first. Where that begins in a
 * record; else, its end. */
static size_t unread(struct sum *s, struct span record)
{
    struct entry_record r;
    struct opening o;
    arena_reset(s->a);
    bool has = entry_record_split(record, &r) && r.erased_by && opening_decode(s->a, r.opening, &o, NULL) == LEDGER_OK && o.has_reference;
    return has ? (size_t)(r.opening.p - record.p) + r.opening.n - (HASH_LEN - KV_INDEX_KEY) : record.n;
}

static bool add_row(void *ctx, struct span key, struct span value)
{
    struct sum *s = ctx;
    struct hash h;
    const uint64_t sizes[2] = {key.n, value.n};
    size_t n = s->table == KV_LOG ? unread(s, value) : value.n, to = n < value.n ? n + HASH_LEN - KV_INDEX_KEY : n;
    const struct span parts[] = {span_of(s->so_far, 32), span_of(sizes, sizeof sizes), key, span_of(value.p, n),
                                 span_of(value.p + to, value.n - to)};
    crypto_sha256(s->c, parts, 5, &h);
    memcpy(s->so_far, h.b, 32);
    return true;
}

static int read_rows(struct context *x)
{
    struct store_snapshot *sn;
    if (store_snapshot_open(x->store, &sn, NULL) != LEDGER_OK)
        return UNREADABLE;
    struct sum s = {.c = crypto_new(), .a = arena_new(1u << 20)};
    for (int t = 0; t < KV_TABLES; t++) {
        memset(s.so_far, 0, sizeof s.so_far);
        s.table = (enum kv_table)t;
        if (store_scan(sn, (enum kv_table)t, SPAN_NONE, add_row, &s, NULL) != LEDGER_OK)
            return UNREADABLE;
        memcpy(x->rows->digest[t], s.so_far, 32);
    }
    return 0;
}

static void found_cb(void *ctx, uint64_t index, const char *what)
{
    struct scrubbed *s = ctx;
    s->found++;
    s->named += index != UINT64_MAX;
    (void)what;
}

static int scrub(struct context *x)
{
    struct scrub_view v = {.store = x->store, .c = crypto_new(), .a = arena_new(64u << 20), .side = arena_new(64u << 20),
                           .found_cb = found_cb, .ctx = x->scrubbed};
    x->scrubbed->error = scrub_all(&v);
    return 0;
}

static int check(struct context *x)
{
    char command[] = "check", quiet[] = "--quiet", *argv[] = {command, (char *)(uintptr_t)x->dir, quiet, NULL};
    dup2(x->said, 1);
    int code = ledgerd_check(3, argv);
    fflush(stdout);
    return code;
}

/* Did it name an entry? */
static bool check_named(struct context *x)
{
    char text[8192];
    ssize_t n = pread(x->said, text, sizeof text - 1, 0);
    if (n < 0)
        die("read");
    text[n] = 0;
    for (const char *p = text; (p = strstr(p, "entry ")); p++)
        if (p[6] >= '0' && p[6] <= '9')
            return true;
    return false;
}

/* ---- a process for each ---- */

static int in_child(struct context *x, int (*run)(struct context *), bool opens, void *result, size_t n)
{
    int fds[2], status;
    if (pipe(fds))
        die("pipe");
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        const struct store_options o = {.map_bytes = MAP_BYTES};
        dup2(null, 1);
        dup2(null, 2);
        alarm(120);
        /* How LMDB may end on pages that are none: counted, and nothing that a sanitizer has to report. */
        signal(SIGBUS, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        int code = opens && store_open_with(x->dir, STORE_READ, &o, &x->store, NULL) != LEDGER_OK ? UNREADABLE : run(x);
        if (n && write(fds[1], result, n) != (ssize_t)n)
            code = UNREADABLE;
        _exit(code);
    }
    close(fds[1]);
    ssize_t got = n ? read(fds[0], result, n) : 0;
    close(fds[0]);
    if (waitpid(pid, &status, 0) != pid)
        die("wait");
    if (WIFSIGNALED(status))
        return 1000 + WTERMSIG(status);
    return n && got != (ssize_t)n && WEXITSTATUS(status) == 0 ? UNREADABLE : WEXITSTATUS(status);
}

static void flip(int fd, off_t at, unsigned bit)
{
    uint8_t byte;
    if (pread(fd, &byte, 1, at) != 1)
        die("read");
    byte ^= (uint8_t)(1u << bit);
    if (pwrite(fd, &byte, 1, at) != 1)
        die("write");
}

struct tally {
    unsigned flips, matter, unreadable, check_missed, check_signals, scrub_missed, scrub_signals, scrub_named, check_named, unnamed, false_alarms;
};

static void look(struct context *x, const struct rows *before, off_t at, unsigned bit, struct tally *t)
{
    char tables[200] = "";
    struct rows now;
    struct scrubbed s = {0};
    x->rows = &now;
    x->scrubbed = &s;
    int r = in_child(x, read_rows, true, &now, sizeof now);
    bool matters = r != 0 || memcmp(&now, before, sizeof now) != 0;
    for (int i = 0; r == 0 && i < KV_TABLES; i++)
        if (memcmp(now.digest[i], before->digest[i], 32) != 0)
            snprintf(tables + strlen(tables), sizeof tables - strlen(tables), " %s", TABLES[i]);
    if (ftruncate(x->said, 0) || lseek(x->said, 0, SEEK_SET))
        die("truncate");
    int c = in_child(x, check, false, NULL, 0);
    bool c_named = check_named(x);
    int w = in_child(x, scrub, true, &s, sizeof s);
    bool scrub_found = w != 0 || s.found;
    t->flips++;
    t->matter += matters;
    t->unreadable += r != 0;
    t->check_missed += matters && c == 0;
    t->check_signals += c >= 1000;
    t->scrub_missed += matters && !scrub_found;
    t->scrub_signals += w >= 1000;
    t->scrub_named += matters && s.named;
    t->check_named += matters && c_named;
    bool named = s.named && c_named, may_hide = r != 0 || c >= 1000 || w >= 1000 || strcmp(tables, " chain") == 0;
    t->unnamed += matters && !named && !may_hide;
    t->false_alarms += !matters && c != 0 && c < 1000;
    if ((matters && (c == 0 || !scrub_found)) || c >= 1000 || (matters && !named && !may_hide))
        printf("byte %lld bit %u: rows %d%s, check %d (%s), scrub %d (%llu found, %llu named, error %d)\n", (long long)at, bit, r, tables, c,
               c_named ? "named" : "not named", w, (unsigned long long)s.found, (unsigned long long)s.named, s.error);
}

static void one(struct context *x, int fd, const struct rows *before, off_t at, unsigned bit, struct tally *t)
{
    flip(fd, at, bit);
    look(x, before, at, bit, t);
    flip(fd, at, bit);
}

int main(int argc, char **argv)
{
    char path[4096];
    struct stat st;
    struct tally t = {0};
    static struct rows before;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 5)
        die("usage: rot DIR FLIPS SEED KINDS");
    struct context x = {.dir = argv[1], .rows = &before};
    unsigned long flips = strtoul(argv[2], NULL, 10);
    x.said = memfd_create("check", MFD_CLOEXEC);
    if (x.said < 0)
        die("memfd");
    srandom((unsigned)strtoul(argv[3], NULL, 10));
    snprintf(path, sizeof path, "%s/data/data.mdb", argv[1]);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) || st.st_size < 8192)
        die(path);
    if (in_child(&x, read_rows, true, &before, sizeof before) != 0 || in_child(&x, check, false, NULL, 0) != 0)
        die("the folder does not verify as it is");
    for (unsigned long i = 0; i < flips; i++) {
        /* Spread over the whole file: one place in each of so many equal parts. */
        off_t part = st.st_size / (off_t)flips ? st.st_size / (off_t)flips : 1;
        off_t at = ((off_t)i * st.st_size / (off_t)flips + random() % part) % st.st_size;
        unsigned bit = (unsigned)(random() % 8);
        one(&x, fd, &before, at, bit, &t);
    }
    unsigned long kinds = strtoul(argv[4], NULL, 0);
    for (off_t page = 0; page < st.st_size; page += PAGE_BYTES)
        for (unsigned bit = 0; bit < 16; bit++)
            if (kinds >> bit & 1)
                one(&x, fd, &before, page + PAGE_KIND + bit / 8, bit % 8, &t);
    printf("flips=%u matter=%u unreadable=%u check_missed=%u check_signals=%u scrub_missed=%u scrub_signals=%u scrub_named=%u "
           "check_named=%u unnamed=%u false_alarms=%u\n",
           t.flips, t.matter, t.unreadable, t.check_missed, t.check_signals, t.scrub_missed, t.scrub_signals, t.scrub_named, t.check_named, t.unnamed, t.false_alarms);
    return t.check_missed || t.check_signals || t.scrub_missed || t.unnamed ? 1 : 0;
}
