/* SPDX-License-Identifier: Apache-2.0 */
/* The data folder: making, opening, locking, versions, snapshots, transactions, running full, the
 * log's interface. */
#include <fcntl.h>
#include <sys/stat.h>

#include "check.h"
#include "scratch.h"
#include "store/log.h"
#include "store/store_impl.h"

static struct span str(const char *s)
{
    return span_str(s);
}

static void put_and_commit(struct store *s, enum kv_table t, const char *key, const char *value)
{
    struct kv kv;
    struct ledger_err err = {0};
    CHECK_EQ_INT(store_begin(s, &kv, &err), LEDGER_OK);
    CHECK_EQ_INT(kv_put(&kv, t, str(key), str(value)), LEDGER_OK);
    CHECK_EQ_INT(store_commit(s, &err), LEDGER_OK);
}

/* The value, or "" when there is none. */
static const char *value_of(struct store *s, enum kv_table t, const char *key)
{
    static char text[128];
    struct store_snapshot *sn;
    struct span v;
    CHECK_EQ_INT(store_snapshot_open(s, &sn, NULL), LEDGER_OK);
    struct kv kv = store_snapshot_kv(sn);
    enum ledger_rc rc = kv_get(&kv, t, str(key), &v);
    CHECK(rc == LEDGER_OK || rc == LEDGER_ENOTFOUND);
    snprintf(text, sizeof text, "%.*s", rc ? 0 : (int)v.n, rc ? "" : (const char *)v.p);
    store_snapshot_close(sn);
    return text;
}

static bool mode_is(const struct scratch *s, const char *name, mode_t mode)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", s->dir, name);
    return stat(path, &st) == 0 && (st.st_mode & 0777) == mode;
}

TEST(a_folder_is_made_once_and_for_its_owner_only)
{
    struct scratch s;
    struct ledger_err err = {0};
    umask(0);
    scratch_make(&s);
    CHECK(mode_is(&s, "", 0700));
    CHECK(mode_is(&s, "data", 0700));
    CHECK(mode_is(&s, "data/data.mdb", 0600));
    CHECK(mode_is(&s, "keys/log.key", 0600));
    CHECK(mode_is(&s, "keys/index.key", 0600));
    CHECK(mode_is(&s, "FORMAT", 0600));
    CHECK_EQ_INT(store_create(s.dir, &err), LEDGER_EINVAL);
    struct secret_key k = pen_key(&s.pen, KEY_OTHER);
    CHECK_EQ_INT(store_keys_write(s.dir, SCRATCH_ORIGIN, &k, &s.index_key, &err), LEDGER_EINVAL);
    struct store *store = scratch_open(&s);
    CHECK_EQ_STR(store_dir(store), s.dir);
    CHECK_EQ_MEM(store_index_key(store)->b, s.index_key.b, HASH_LEN);
    CHECK_EQ_MEM(store_log_key(store)->pub, s.key.key, 32);
    struct store_size size;
    store_size(store, &size);
    CHECK(size.file_bytes > 0 && size.used_bytes > 0 && size.used_bytes <= size.file_bytes &&
          size.free_disk_bytes > 0);
    store_close(store);
    scratch_remove(&s);
}

TEST(no_folder_and_half_a_folder)
{
    struct scratch s;
    struct store *store;
    struct ledger_err err = {0};
    char path[256];
    scratch_make(&s);
    snprintf(path, sizeof path, "%s/nothing", s.base);
    CHECK_EQ_INT(store_open(path, STORE_WRITE, &store, &err), LEDGER_ENOTFOUND);
    CHECK(store == NULL);
    snprintf(path, sizeof path, "%s/FORMAT", s.dir);
    CHECK(remove(path) == 0);
    CHECK_EQ_INT(store_open(s.dir, STORE_WRITE, &store, &err), LEDGER_ENOTFOUND);
    CHECK(strstr(err.msg, "no data folder"));
    CHECK_EQ_INT(store_create(s.dir, &err), LEDGER_EINVAL); /* there are data in it */
    scratch_remove(&s);
}

/* What a process that may not touch anything could have changed. */
static long folder_sum(const struct scratch *s)
{
    static const char *const names[] = {"FORMAT", "ledgerd.lock", "data/data.mdb", "data/lock.mdb"};
    long sum = 0;
    for (size_t i = 0; i < 4; i++) {
        char path[256];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", s->dir, names[i]);
        if (stat(path, &st) == 0)
            sum = sum * 31 + (long)st.st_size + (long)st.st_mtim.tv_nsec + (long)st.st_mtim.tv_sec +
                  (long)st.st_ino;
    }
    return sum;
}

static void write_format(const struct scratch *s, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/FORMAT", s->dir);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

TEST(a_newer_format_is_refused_and_nothing_is_touched)
{
    struct scratch s;
    struct store *store;
    struct ledger_err err = {0};
    char lock[256];
    scratch_make(&s);
    snprintf(lock, sizeof lock, "%s/ledgerd.lock", s.dir);
    CHECK(remove(lock) == 0);
    write_format(&s, "ledgerd data 7\n");
    long before = folder_sum(&s);
    CHECK_EQ_INT(store_open(s.dir, STORE_WRITE, &store, &err), LEDGER_EVERSION);
    CHECK_EQ_INT(store_open(s.dir, STORE_READ, &store, &err), LEDGER_EVERSION);
    CHECK_EQ_INT(folder_sum(&s), before);
    CHECK(access(lock, F_OK) != 0);
    static const char *const malformed[] = {"",
                                            "ledgerd data 2",
                                            "ledgerd data 01\n",
                                            "ledgerd data x\n",
                                            "ledgerd data \n",
                                            "ledgerd data 0\n",
                                            "data 2\n",
                                            "ledgerd data 2\n\n",
                                            "ledgerd data 12345678901\n"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        write_format(&s, malformed[i]);
        CHECK_EQ_INT(store_open(s.dir, STORE_WRITE, &store, &err), LEDGER_EINVAL);
    }
    /* An older one is opened by what brings it up to date, and by nothing else. */
    write_format(&s, "ledgerd data 1\n");
    CHECK_EQ_INT(store_open(s.dir, STORE_WRITE, &store, &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, "ledgerd rebuild") != NULL);
    CHECK_EQ_INT(store_open_with(s.dir, STORE_WRITE, &(struct store_options){.older = true, .map_bytes = SCRATCH_MAP}, &store, &err),
                 LEDGER_OK);
    CHECK_EQ_INT(store_format_update(store, &err), LEDGER_OK);
    store_close(store);
    store_close(scratch_open(&s));
    scratch_remove(&s);
}

TEST(one_process_at_a_time)
{
    struct scratch s;
    struct store *second;
    struct ledger_err err = {0};
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    CHECK_EQ_INT(store_open(s.dir, STORE_WRITE, &second, &err), LEDGER_EBUSY);
    CHECK_EQ_INT(store_open(s.dir, STORE_READ, &second, &err), LEDGER_EBUSY);
    store_close(store);
    store = scratch_open_read(&s);
    CHECK_EQ_INT(store_open(s.dir, STORE_WRITE, &second, &err), LEDGER_EBUSY);
    struct kv kv;
    CHECK_EQ_INT(store_begin(store, &kv, &err), LEDGER_EINVAL);
    store_close(store);
    scratch_remove(&s);
}

TEST(a_wrong_key_file_is_refused)
{
    struct scratch s;
    struct store *store;
    struct ledger_err err = {0};
    char path[256];
    scratch_make(&s);
    snprintf(path, sizeof path, "%s/keys/index.key", s.dir);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs("0123\n", f) >= 0 && fclose(f) == 0);
    CHECK_EQ_INT(store_open(s.dir, STORE_WRITE, &store, &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, "index.key"));
    scratch_remove(&s);
}

TEST(a_snapshot_stands_still_and_an_abort_leaves_nothing)
{
    struct scratch s;
    struct store_snapshot *sn;
    struct span v;
    struct kv kv;
    struct ledger_err err = {0};
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    put_and_commit(store, KV_MAP, "k", "one");
    CHECK_EQ_INT(store_snapshot_open(store, &sn, &err), LEDGER_OK);
    put_and_commit(store, KV_MAP, "k", "two");
    struct kv old = store_snapshot_kv(sn);
    CHECK_EQ_INT(kv_get(&old, KV_MAP, str("k"), &v), LEDGER_OK);
    CHECK(span_eq(v, str("one")));
    CHECK_EQ_INT(kv_put(&old, KV_MAP, str("k"), str("three")), LEDGER_EINVAL);
    store_snapshot_close(sn);
    CHECK_EQ_STR(value_of(store, KV_MAP, "k"), "two");
    CHECK_EQ_INT(store_begin(store, &kv, &err), LEDGER_OK);
    CHECK_EQ_INT(kv_put(&kv, KV_MAP, str("k"), str("four")), LEDGER_OK);
    CHECK_EQ_INT(kv_get(&kv, KV_MAP, str("k"), &v), LEDGER_OK);
    CHECK(span_eq(v, str("four")));
    CHECK_EQ_STR(value_of(store, KV_MAP, "k"), "two");
    store_abort(store);
    CHECK_EQ_STR(value_of(store, KV_MAP, "k"), "two");
    store_close(store);
    store = scratch_open(&s);
    CHECK_EQ_STR(value_of(store, KV_MAP, "k"), "two");
    store_close(store);
    scratch_remove(&s);
}

TEST(with_all_places_for_readers_taken_the_next_is_told_and_the_writer_goes_on)
{
    struct scratch s;
    struct ledger_err err = {0};
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    static struct store_snapshot *sn[STORE_READERS_MAX + 1];
    size_t n = 0;
    put_and_commit(store, KV_MAP, "k", "one");
    while (n <= STORE_READERS_MAX && store_snapshot_open(store, &sn[n], &err) == LEDGER_OK)
        n++;
    CHECK_EQ_INT(n, STORE_READERS_MAX);
    CHECK_EQ_INT(err.rc, LEDGER_EBUSY);
    put_and_commit(store, KV_MAP, "k", "two");
    store_snapshot_close(sn[--n]);
    CHECK_EQ_STR(value_of(store, KV_MAP, "k"), "two");
    while (n > 0)
        store_snapshot_close(sn[--n]);
    store_close(store);
    scratch_remove(&s);
}

TEST(keys_have_one_to_64_bytes_and_values_may_be_empty)
{
    struct scratch s;
    struct kv kv;
    struct span v;
    uint8_t key[65] = {1};
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    CHECK_EQ_INT(store_begin(store, &kv, NULL), LEDGER_OK);
    CHECK_EQ_INT(kv_put(&kv, KV_MAP, span_of(key, 65), str("x")), LEDGER_EINVAL);
    CHECK_EQ_INT(kv_put(&kv, KV_MAP, span_of(key, 0), str("x")), LEDGER_EINVAL);
    CHECK_EQ_INT(kv_get(&kv, KV_MAP, span_of(key, 65), &v), LEDGER_EINVAL);
    CHECK_EQ_INT(kv_put(&kv, KV_MAP, span_of(key, 64), SPAN_NONE), LEDGER_OK);
    CHECK_EQ_INT(kv_get(&kv, KV_MAP, span_of(key, 64), &v), LEDGER_OK);
    CHECK_EQ_INT(v.n, 0);
    CHECK_EQ_INT(store_commit(store, NULL), LEDGER_OK);
    store_close(store);
    scratch_remove(&s);
}

struct seen {
    unsigned n, max;
    uint64_t last;
};

static bool see(void *ctx, struct span key, struct span value)
{
    struct seen *seen = ctx;
    struct rbuf r;
    (void)value;
    rbuf_init(&r, key);
    uint64_t index = rbuf_u64(&r);
    CHECK(seen->n == 0 || index > seen->last);
    seen->last = index;
    return ++seen->n < seen->max;
}

TEST(the_log_is_appended_to_and_never_written_over)
{
    struct scratch s;
    struct kv kv;
    struct ledger_err err = {0};
    struct store_snapshot *sn;
    struct span k, v;
    uint8_t key[KV_KEY_MAX];
    uint64_t count, size;
    scratch_make(&s);
    struct store *store = scratch_open(&s); /* entries 0 and 1 are there */
    CHECK_EQ_INT(store_begin(store, &kv, &err), LEDGER_OK);
    for (uint64_t i = 2; i < 300; i++)
        CHECK_EQ_INT(kv_put(&kv, KV_LOG, kv_key_u64(key, i), str("record")), LEDGER_OK);
    CHECK_EQ_INT(kv_put(&kv, KV_LOG, kv_key_u64(key, 7), str("record")),
                 LEDGER_OK); /* the same again */
    CHECK_EQ_INT(store_commit(store, &err), LEDGER_OK);
    CHECK_EQ_INT(store_begin(store, &kv, &err), LEDGER_OK);
    CHECK_EQ_INT(kv_put(&kv, KV_LOG, kv_key_u64(key, 7), str("other")), LEDGER_EINTERNAL);
    CHECK_EQ_INT(kv_put(&kv, KV_MAP, str("k"), str("v")),
                 LEDGER_EINTERNAL); /* the transaction is lost */
    CHECK(store_commit(store, &err) != LEDGER_OK);
    CHECK_EQ_INT(store_begin(store, &kv, &err), LEDGER_OK);
    CHECK_EQ_INT(store_remove(store, KV_LOG, kv_key_u64(key, 7), &err), LEDGER_EINVAL);
    store_abort(store);
    CHECK_EQ_INT(store_snapshot_open(store, &sn, &err), LEDGER_OK);
    CHECK_EQ_INT(store_count(sn, KV_LOG, &count, &err), LEDGER_OK);
    CHECK_EQ_INT(count, 300);
    CHECK_EQ_INT(store_last(sn, KV_LOG, &k, &v, &err), LEDGER_OK);
    CHECK_EQ_MEM(k.p, kv_key_u64(key, 299).p, 8);
    CHECK_EQ_INT(log_size(sn, &size, &err), LEDGER_OK);
    CHECK_EQ_INT(size, 300);
    struct seen all = {.max = 1000}, some = {.max = 5};
    CHECK_EQ_INT(store_scan(sn, KV_LOG, SPAN_NONE, see, &all, &err), LEDGER_OK);
    CHECK_EQ_INT(all.n, 300);
    CHECK_EQ_INT(store_scan(sn, KV_LOG, kv_key_u64(key, 100), see, &some, &err), LEDGER_OK);
    CHECK_EQ_INT(some.last, 104);
    CHECK_EQ_INT(store_last(sn, KV_REFERENCE, &k, &v, &err), LEDGER_ENOTFOUND);
    store_snapshot_close(sn);
    store_close(store);
    scratch_remove(&s);
}

/* An entry of that epoch, as far as the fence looks. */
static void put_entry(struct store *store, uint64_t index, uint64_t epoch)
{
    struct kv kv;
    struct ledger_err err;
    uint8_t key[KV_KEY_MAX];
    struct arena *a = arena_new(1u << 20);
    struct link link = {.seq = 0};
    const struct header h = {.index = index, .epoch = epoch, .kind = OWN_EPOCH, .n_links = 1, .links = &link};
    CHECK_EQ_INT(store_begin(store, &kv, &err), LEDGER_OK);
    struct span record = entry_record_join(a, &(struct entry_record){.header = header_encode(a, &h)});
    CHECK_EQ_INT(kv_put(&kv, KV_LOG, kv_key_u64(key, index), record), LEDGER_OK);
    CHECK_EQ_INT(store_commit(store, &err), LEDGER_OK);
    arena_free(a);
}

static enum log_outcome append_nothing(struct store *store, uint64_t expected, uint64_t epoch,
                                       struct ledger_err *err)
{
    struct kv kv;
    CHECK_EQ_INT(log_begin(store, &kv, err), LEDGER_OK);
    struct kv_mem *rows = kv_mem_new(&kv, 1u << 20);
    struct kv top = kv_mem_kv(rows);
    CHECK_EQ_INT(kv_put(&top, KV_MAP, str("appended"), str("yes")), LEDGER_OK);
    struct log_batch batch = {.rows = rows};
    enum log_outcome outcome = log_append(store, expected, epoch, &batch, err);
    kv_mem_free(rows);
    return outcome;
}

TEST(the_expected_size_and_the_epoch_fence_a_second_writer)
{
    struct scratch s;
    struct ledger_err err = {0};
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    CHECK_EQ_INT(append_nothing(store, 1, 0, &err), LOG_CONFLICT);
    CHECK_EQ_INT(append_nothing(store, 3, 0, &err), LOG_CONFLICT);
    CHECK(strstr(err.msg, "another writer"));
    CHECK_EQ_STR(value_of(store, KV_MAP, "appended"), "");
    CHECK_EQ_INT(append_nothing(store, 2, 0, &err), LOG_APPENDED);
    CHECK_EQ_STR(value_of(store, KV_MAP, "appended"), "yes");
    put_entry(store, 2, 5);
    CHECK_EQ_INT(append_nothing(store, 3, 4, &err), LOG_CONFLICT); /* a writer that a later start has replaced */
    CHECK_EQ_INT(append_nothing(store, 3, 5, &err), LOG_APPENDED);
    CHECK_EQ_INT(append_nothing(store, 3, 6, &err), LOG_APPENDED);
    store_close(store);
    scratch_remove(&s);
}

TEST(a_full_map_aborts_and_the_store_goes_on)
{
    struct scratch s;
    struct kv kv;
    struct ledger_err err = {0};
    struct store *store;
    uint8_t key[KV_KEY_MAX], value[4000] = {0};
    scratch_make(&s);
    struct store_options o = {.map_bytes = 1u << 20, .reserve_bytes = 1};
    CHECK_EQ_INT(store_open_with(s.dir, STORE_WRITE, &o, &store, &err), LEDGER_OK);
    CHECK_EQ_INT(store_begin(store, &kv, &err), LEDGER_OK);
    enum ledger_rc rc = LEDGER_OK;
    for (uint64_t i = 0; i < 1000 && !rc; i++)
        rc = kv_put(&kv, KV_MAP, kv_key_u64(key, i), span_of(value, sizeof value));
    CHECK_EQ_INT(rc, LEDGER_EFULL);
    CHECK_EQ_INT(store_commit(store, &err), LEDGER_EFULL);
    put_and_commit(store, KV_MAP, "small", "fits");
    CHECK_EQ_STR(value_of(store, KV_MAP, "small"), "fits");
    store_close(store);
    scratch_remove(&s);
}

TEST(a_disk_that_is_nearly_full_is_not_written_to)
{
    struct scratch s;
    struct kv kv;
    struct ledger_err err = {0};
    struct store *store;
    struct store_size size;
    scratch_make(&s);
    store = scratch_open(&s);
    store_size(store, &size);
    store_close(store);
    struct store_options o = {.map_bytes = SCRATCH_MAP, .reserve_bytes = size.free_disk_bytes * 2};
    CHECK_EQ_INT(store_open_with(s.dir, STORE_WRITE, &o, &store, &err), LEDGER_OK);
    CHECK_EQ_INT(store_begin(store, &kv, &err), LEDGER_OK);
    CHECK_EQ_INT(kv_put(&kv, KV_MAP, str("k"), str("v")), LEDGER_OK);
    CHECK_EQ_INT(store_commit(store, &err), LEDGER_EFULL);
    CHECK(strstr(err.msg, "nothing was recorded"));
    CHECK_EQ_STR(value_of(store, KV_MAP, "k"), "");
    CHECK_EQ_INT(store_begin(store, &kv, &err),
                 LEDGER_OK); /* the ledger's own entries may use the reserve */
    CHECK_EQ_INT(kv_put(&kv, KV_MAP, str("k"), str("v")), LEDGER_OK);
    CHECK_EQ_INT(store_commit_own(store, &err), LEDGER_OK);
    CHECK_EQ_STR(value_of(store, KV_MAP, "k"), "v");
    store_close(store);
    scratch_remove(&s);
}

TEST(dropping_the_view_keeps_the_log)
{
    struct scratch s;
    struct kv kv;
    struct ledger_err err = {0};
    struct store_snapshot *sn;
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    CHECK_EQ_INT(store_begin(store, &kv, &err), LEDGER_OK);
    CHECK_EQ_INT(store_drop_view(store, &err), LEDGER_OK);
    CHECK_EQ_INT(log_set_rebuilding(store, true, &err), LEDGER_OK);
    CHECK_EQ_INT(store_commit(store, &err), LEDGER_OK);
    CHECK_EQ_INT(store_snapshot_open(store, &sn, &err), LEDGER_OK);
    for (int t = 0; t < KV_TABLES; t++) {
        uint64_t n;
        CHECK_EQ_INT(store_count(sn, (enum kv_table)t, &n, &err), LEDGER_OK);
        CHECK_EQ_INT(n, t == KV_LOG ? 2 : t == KV_CHECKPOINT || t == KV_META ? 1 : 0);
    }
    kv = store_snapshot_kv(sn);
    CHECK(log_rebuilding(&kv));
    store_snapshot_close(sn);
    store_close(store);
    scratch_remove(&s);
}

TEST_MAIN(TEST_ENTRY(a_folder_is_made_once_and_for_its_owner_only),
          TEST_ENTRY(no_folder_and_half_a_folder),
          TEST_ENTRY(a_newer_format_is_refused_and_nothing_is_touched),
          TEST_ENTRY(one_process_at_a_time), TEST_ENTRY(a_wrong_key_file_is_refused),
          TEST_ENTRY(a_snapshot_stands_still_and_an_abort_leaves_nothing),
          TEST_ENTRY(with_all_places_for_readers_taken_the_next_is_told_and_the_writer_goes_on),
          TEST_ENTRY(keys_have_one_to_64_bytes_and_values_may_be_empty),
          TEST_ENTRY(the_log_is_appended_to_and_never_written_over),
          TEST_ENTRY(the_expected_size_and_the_epoch_fence_a_second_writer),
          TEST_ENTRY(a_full_map_aborts_and_the_store_goes_on),
          TEST_ENTRY(a_disk_that_is_nearly_full_is_not_written_to),
          TEST_ENTRY(dropping_the_view_keeps_the_log))
