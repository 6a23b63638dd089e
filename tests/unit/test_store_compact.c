/* SPDX-License-Identifier: Apache-2.0 */
/* Compaction: nothing of what was replaced is left in the folder, nobody notices that the file changed under him,
 * and a crash at any step leaves a folder that opens. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "scratch.h"
#include "store/log.h"

#define SECRETS 40
#define WINDOW 8

/* Bytes that stand nowhere else, as a nonce does. */
static void secret(unsigned number, uint8_t *out, size_t n)
{
    uint64_t x = 0x9e3779b97f4a7c15u * (number + 1);
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out[i] = (uint8_t)(x >> 24);
    }
}

/* Small rows share a page, large ones have pages of their own. */
static size_t secret_size(unsigned number)
{
    static const size_t sizes[] = {40, 700, 1900, 2900, 9000};
    return sizes[number % 5];
}

static void put_secrets(struct store *s, bool plain)
{
    static uint8_t value[16384];
    struct kv kv;
    struct ledger_err err = {0};
    uint8_t key[KV_KEY_MAX];
    for (unsigned i = 0; i < SECRETS; i++) {
        size_t n = secret_size(i);
        CHECK_EQ_INT(store_begin(s, &kv, &err), LEDGER_OK);
        memset(value, 0x11, sizeof value);
        if (plain)
            secret(i, value, n);
        struct span v = span_of(value, plain ? n : 30);
        CHECK_EQ_INT(store_replace(s, KV_LOG, kv_key_u64(key, 100 + i), v, &err), LEDGER_OK);
        CHECK_EQ_INT(kv_put(&kv, KV_MAP, kv_key_u64(key, i), v), LEDGER_OK);
        if (!plain && i + 1 == SECRETS)
            CHECK_EQ_INT(log_set_erasing(s, &err), LEDGER_OK);
        CHECK_EQ_INT(store_commit(s, &err), LEDGER_OK);
    }
}

static int order(const void *x, const void *y)
{
    return memcmp(x, y, WINDOW);
}

/* Every window of every secret, sorted. */
static const uint8_t (*windows(size_t *n))[WINDOW]
{
    static uint8_t all[SECRETS * 9000][WINDOW], s[16384];
    static size_t made;
    if (made == 0) {
        for (unsigned i = 0; i < SECRETS; i++) {
            secret(i, s, secret_size(i));
            for (size_t at = 0; at + WINDOW <= secret_size(i); at++)
                memcpy(all[made++], s + at, WINDOW);
        }
        qsort(all, made, WINDOW, order);
    }
    *n = made;
    return (const uint8_t(*)[WINDOW])all;
}

/* Does any window of any secret stand in the file? */
static bool file_tells(const char *path)
{
    size_t n;
    const uint8_t(*all)[WINDOW] = windows(&n);
    struct stat st;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    uint8_t *p = malloc((size_t)st.st_size + 1);
    CHECK(p && read(fd, p, (size_t)st.st_size) == st.st_size);
    close(fd);
    bool found = false;
    for (off_t at = 0; at + WINDOW <= st.st_size && !found; at++)
        found = bsearch(p + at, all, n, WINDOW, order) != NULL;
    free(p);
    return found;
}

static bool folder_tells(const char *folder)
{
    char path[512];
    bool found = false;
    DIR *d = opendir(folder);
    CHECK(d != NULL);
    for (const struct dirent *e; (e = readdir(d));) {
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] == '.' || lstat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            found = folder_tells(path) || found;
        else if (S_ISREG(st.st_mode))
            found = file_tells(path) || found;
    }
    closedir(d);
    return found;
}

static bool exists(const struct scratch *s, const char *name)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", s->dir, name);
    return lstat(path, &st) == 0;
}

static uint64_t rows_of(struct store *s, enum kv_table t)
{
    struct store_snapshot *sn;
    uint64_t n = 0;
    CHECK_EQ_INT(store_snapshot_open(s, &sn, NULL), LEDGER_OK);
    CHECK_EQ_INT(store_count(sn, t, &n, NULL), LEDGER_OK);
    store_snapshot_close(sn);
    return n;
}

TEST(nothing_that_was_replaced_is_left)
{
    struct scratch s;
    struct store_compaction done;
    struct ledger_err err = {0};
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    put_secrets(store, true);
    CHECK(folder_tells(s.dir));
    put_secrets(store, false);
    CHECK(folder_tells(s.dir)); /* LMDB keeps it: this is why there is a compaction */
    CHECK(store_erasing(store));
    uint64_t log = rows_of(store, KV_LOG), meta = rows_of(store, KV_META);
    CHECK_EQ_INT(store_compact(store, &done, &err), LEDGER_OK);
    CHECK(!folder_tells(s.dir));
    CHECK(!store_erasing(store));
    CHECK(!exists(&s, "data.new"));
    CHECK(done.bytes_after < done.bytes_before);
    CHECK_EQ_INT(rows_of(store, KV_LOG), log);
    CHECK_EQ_INT(rows_of(store, KV_META), meta - 1);
    put_secrets(store, false); /* and it can be written to */
    store_close(store);
    CHECK(!folder_tells(s.dir));
    store = scratch_open_read(&s);
    CHECK_EQ_INT(rows_of(store, KV_LOG), log);
    store_close(store);
    scratch_remove(&s);
}

/* The file of before is in no folder any more; whoever has it under another name, or finds its blocks, finds zeros. */
TEST(the_old_file_is_written_over_with_zeros)
{
    struct scratch s;
    struct store_compaction done;
    struct ledger_err err = {0};
    char from[256], kept[256];
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    put_secrets(store, true);
    put_secrets(store, false);
    snprintf(from, sizeof from, "%s/data/data.mdb", s.dir);
    snprintf(kept, sizeof kept, "%s/kept", s.base);
    CHECK(link(from, kept) == 0);
    CHECK_EQ_INT(store_compact(store, &done, &err), LEDGER_OK);
    store_close(store);
    CHECK(!file_tells(kept));
    scratch_remove(&s);
}

TEST(a_snapshot_outlives_the_file_that_it_was_opened_on)
{
    struct scratch s;
    struct store_compaction done;
    struct store_snapshot *sn;
    struct ledger_err err = {0};
    struct kv kv;
    struct span v;
    static uint8_t want[16384];
    uint8_t key[KV_KEY_MAX];
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    put_secrets(store, true);
    CHECK_EQ_INT(store_snapshot_open(store, &sn, &err), LEDGER_OK);
    put_secrets(store, false);
    CHECK_EQ_INT(store_compact(store, &done, &err), LEDGER_OK);
    put_secrets(store, false);
    CHECK(!folder_tells(s.dir)); /* what the snapshot sees is in no folder */
    kv = store_snapshot_kv(sn);
    for (unsigned i = 0; i < SECRETS; i++) {
        secret(i, want, secret_size(i));
        CHECK_EQ_INT(kv_get(&kv, KV_MAP, kv_key_u64(key, i), &v), LEDGER_OK);
        CHECK(span_eq(v, span_of(want, secret_size(i))));
    }
    CHECK_EQ_INT(store_compact(store, &done, &err), LEDGER_OK); /* two retired at once */
    store_snapshot_close(sn);
    store_close(store);
    scratch_remove(&s);
}

struct reader {
    struct store *store;
    _Atomic bool stop;
    _Atomic uint64_t seen;
};

static void *read_on(void *ctx)
{
    struct reader *r = ctx;
    while (!r->stop) {
        struct store_snapshot *sn;
        struct span v;
        uint8_t key[KV_KEY_MAX];
        CHECK_EQ_INT(store_snapshot_open(r->store, &sn, NULL), LEDGER_OK);
        struct kv kv = store_snapshot_kv(sn);
        for (unsigned i = 0; i < SECRETS; i++)
            CHECK_EQ_INT(kv_get(&kv, KV_MAP, kv_key_u64(key, i), &v), LEDGER_OK);
        store_snapshot_close(sn);
        r->seen++;
    }
    return NULL;
}

TEST(readers_go_on_while_the_file_changes_under_them)
{
    struct scratch s;
    struct store_compaction done;
    struct ledger_err err = {0};
    pthread_t thread[3];
    scratch_make(&s);
    struct reader r = {.store = scratch_open(&s)};
    put_secrets(r.store, true);
    for (int i = 0; i < 3; i++)
        CHECK_EQ_INT(pthread_create(&thread[i], NULL, read_on, &r), 0);
    for (int i = 0; i < 5; i++) {
        uint64_t before = r.seen;
        CHECK_EQ_INT(store_compact(r.store, &done, &err), LEDGER_OK);
        put_secrets(r.store, i % 2 == 0);
        while (r.seen == before)
            sched_yield();
    }
    r.stop = true;
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    store_close(r.store);
    scratch_remove(&s);
}

TEST(an_interrupted_erasure_is_finished_by_whoever_opens_the_folder)
{
    struct scratch s;
    for (int reading = 0; reading < 2; reading++) {
        scratch_make(&s);
        struct store *store = scratch_open(&s);
        put_secrets(store, true);
        put_secrets(store, false);
        store_close(store);
        CHECK(folder_tells(s.dir));
        store = reading ? scratch_open_read(&s) : scratch_open(&s);
        CHECK(!store_erasing(store));
        CHECK(!folder_tells(s.dir));
        struct kv kv;
        CHECK_EQ_INT(store_begin(store, &kv, NULL), reading ? LEDGER_EINVAL : LEDGER_OK);
        store_close(store);
        scratch_remove(&s);
    }
}

TEST(what_a_crash_leaves_beside_the_data_is_removed)
{
    struct scratch s;
    char path[256];
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    put_secrets(store, false);
    uint64_t log = rows_of(store, KV_LOG);
    store_close(store);
    snprintf(path, sizeof path, "%s/data.new", s.dir);
    CHECK_EQ_INT(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/data.new/data.mdb", s.dir);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs("half a copy", f) >= 0 && fclose(f) == 0);
    store = scratch_open(&s);
    CHECK(!exists(&s, "data.new"));
    CHECK_EQ_INT(rows_of(store, KV_LOG), log);
    store_close(store);
    scratch_remove(&s);
}

/* The process is killed at some moment of the compaction, whichever. */
TEST(killed_while_compacting)
{
    struct scratch s;
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    put_secrets(store, true);
    put_secrets(store, false);
    uint64_t log = rows_of(store, KV_LOG);
    store_close(store);
    for (unsigned i = 0; i < 30; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            struct store_compaction done;
            store = scratch_open(&s);
            for (;;)
                (void)!store_compact(store, &done, NULL);
        }
        usleep(i * 700); /* no synchronisation: any moment is as good as another */
        kill(pid, SIGKILL);
        CHECK_EQ_INT(waitpid(pid, NULL, 0), pid);
        store = scratch_open(&s);
        CHECK_EQ_INT(rows_of(store, KV_LOG), log);
        CHECK(!store_erasing(store) && !exists(&s, "data.new") && !folder_tells(s.dir));
        store_close(store);
    }
    scratch_remove(&s);
}

TEST(without_room_for_a_copy_nothing_changes)
{
    struct scratch s;
    struct store *store;
    struct store_size size;
    struct store_compaction done;
    struct ledger_err err = {0};
    scratch_make(&s);
    store = scratch_open(&s);
    put_secrets(store, true);
    put_secrets(store, false);
    store_size(store, &size);
    store_close(store);
    struct store_options o = {.map_bytes = SCRATCH_MAP, .reserve_bytes = size.free_disk_bytes * 8};
    CHECK_EQ_INT(store_open_with(s.dir, STORE_WRITE, &o, &store, &err), LEDGER_OK);
    CHECK(store_erasing(store)); /* it was tried, and the store opens all the same */
    CHECK_EQ_INT(store_compact(store, &done, &err), LEDGER_EFULL);
    CHECK(!done.unknown && strstr(err.msg, "bytes are needed"));
    CHECK(store_erasing(store));
    store_close(store);
    scratch_remove(&s);
}

TEST_MAIN(TEST_ENTRY(nothing_that_was_replaced_is_left),
          TEST_ENTRY(the_old_file_is_written_over_with_zeros), TEST_ENTRY(a_snapshot_outlives_the_file_that_it_was_opened_on),
          TEST_ENTRY(readers_go_on_while_the_file_changes_under_them),
          TEST_ENTRY(an_interrupted_erasure_is_finished_by_whoever_opens_the_folder),
          TEST_ENTRY(what_a_crash_leaves_beside_the_data_is_removed),
          TEST_ENTRY(killed_while_compacting),
          TEST_ENTRY(without_room_for_a_copy_nothing_changes))
