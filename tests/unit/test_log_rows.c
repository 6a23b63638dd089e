/* SPDX-License-Identifier: Apache-2.0 */
/* The log's records, many to a row: what was put is what is read, whatever lies in which row; rows are full; a damaged row gives nothing that is a record. */
#include "store/store_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "scratch.h"

#define RECORDS_MAX 3000u

static struct scratch s;
static struct store_env *env;
static MDB_txn *txn;
static struct log_tail tail;
static unsigned seed;

/* What should be there: entry i from `from` on. */
static struct span model[RECORDS_MAX];
static uint64_t from, n;

static void begin(void)
{
    tail.loaded = tail.dirty = false;
    CHECK_EQ_INT(mdb_txn_begin(env->env, NULL, 0, &txn), 0);
}

static void commit(void)
{
    CHECK_EQ_INT(log_flush(txn, env->dbi[KV_LOG], &tail), 0);
    CHECK_EQ_INT(mdb_txn_commit(txn), 0);
}

static void setup(void)
{
    char folder[300];
    const struct store_env_options o = {.map_bytes = (uint64_t)1 << 30, .mode = STORE_WRITE, .create = true};
    scratch_make(&s);
    snprintf(folder, sizeof folder, "%s/rows", s.dir);
    CHECK_EQ_INT(mkdir(folder, 0700), 0);
    CHECK_EQ_INT(store_env_open(folder, &o, &env, NULL), LEDGER_OK);
    from = n = 0;
    seed = 11;
}

static void end(void)
{
    store_env_close(env);
    for (uint64_t i = 0; i < n; i++)
        free((void *)(uintptr_t)model[i].p);
    scratch_remove(&s);
}

static struct span random_record(size_t size)
{
    uint8_t *p = malloc(size);
    CHECK(p && size);
    for (size_t i = 0; i < size; i++)
        p[i] = (uint8_t)(i ? rand_r(&seed) : 0);
    return span_of(p, size);
}

/* Mostly as entries are; some larger than a row's records may be, some than a row. */
static size_t random_size(void)
{
    unsigned k = (unsigned)rand_r(&seed) % 100;
    size_t most = k < 2 ? 3 * LOG_ROW_BYTES : k < 5 ? LOG_RECORD_BYTES + 10 : k < 30 ? 150 : 1300;
    return 1 + (size_t)rand_r(&seed) % most;
}

static int put(uint64_t index, struct span record, bool replace, bool single)
{
    return log_put(txn, env->dbi[KV_LOG], &tail, index, record, replace, single);
}

static void append(size_t size, bool single)
{
    model[n] = random_record(size);
    CHECK_EQ_INT(put(from + n, model[n], false, single), 0);
    n++;
}

static void replace(uint64_t i, size_t size)
{
    free((void *)(uintptr_t)model[i].p);
    model[i] = random_record(size);
    CHECK_EQ_INT(put(from + i, model[i], true, false), 0);
}

static bool is_row(const struct layer_row *row, uint64_t i)
{
    uint8_t key[KV_KEY_MAX];
    return i < n && span_eq(row->key, kv_key_u64(key, from + i)) && span_eq(row->value, model[i]);
}

static void walk_from(uint64_t i, MDB_txn *t)
{
    struct table_walk w;
    struct layer_row row;
    uint8_t key[KV_KEY_MAX];
    CHECK_EQ_INT(table_walk_open(&w, env, t, KV_LOG), 0);
    int e = table_walk_first(&w, i ? kv_key_u64(key, from + i) : SPAN_NONE, &row);
    for (; !e; e = table_walk_next(&w, &row))
        CHECK(is_row(&row, i++));
    CHECK_EQ_INT(e, MDB_NOTFOUND);
    CHECK_EQ_INT(i, n);
    table_walk_close(&w);
}

static void compare(void)
{
    MDB_txn *t;
    MDB_cursor *cursor;
    struct span record;
    struct table_walk w;
    struct layer_row row;
    uint64_t count;
    CHECK_EQ_INT(mdb_txn_begin(env->env, NULL, MDB_RDONLY, &t), 0);
    CHECK_EQ_INT(mdb_cursor_open(t, env->dbi[KV_LOG], &cursor), 0);
    for (uint64_t k = 0; k < 2 * n; k++) { /* in order, and in none */
        uint64_t i = k < n ? k : (uint64_t)rand_r(&seed) % n;
        CHECK_EQ_INT(log_get(cursor, from + i, &record), 0);
        CHECK(span_eq(record, model[i]));
    }
    CHECK_EQ_INT(log_get(cursor, from + n, &record), MDB_NOTFOUND);
    CHECK_EQ_INT(log_get(cursor, UINT64_MAX, &record), MDB_NOTFOUND);
    CHECK(from == 0 || log_get(cursor, from - 1, &record) == MDB_NOTFOUND);
    mdb_cursor_close(cursor);
    walk_from(0, t);
    walk_from((uint64_t)rand_r(&seed) % n, t);
    CHECK_EQ_INT(table_walk_open(&w, env, t, KV_LOG), 0);
    CHECK(table_walk_last(&w, &row) == 0 && is_row(&row, n - 1));
    table_walk_close(&w);
    CHECK(store_table_count(env, t, KV_LOG, &count) == 0 && count == n);
    mdb_txn_abort(t);
}

TEST(what_was_put_is_what_is_read)
{
    for (unsigned round = 0; round < 6; round++) {
        setup();
        from = round % 2 ? 7 : 0;
        for (unsigned t = 0; t < 60; t++) {
            begin();
            for (unsigned k = (unsigned)rand_r(&seed) % 60; k && n < RECORDS_MAX; k--) {
                bool earlier = rand_r(&seed) % 10 == 0 && n;
                if (earlier)
                    replace((uint64_t)rand_r(&seed) % n, random_size());
                else
                    append(random_size(), round > 3 && t < 20); /* first as an earlier version wrote */
            }
            commit();
            if (n && t % 4 == 0)
                compare();
        }
        compare();
        end();
    }
}

TEST(the_log_only_grows)
{
    setup();
    begin();
    for (unsigned i = 0; i < 50; i++)
        append(900, false);
    const struct span other = random_record(900);
    CHECK_EQ_INT(put(3, other, false, false), MDB_KEYEXIST);
    CHECK_EQ_INT(put(49, other, false, false), MDB_KEYEXIST);
    commit();
    begin();
    CHECK_EQ_INT(put(49, other, false, false), MDB_KEYEXIST);
    commit();
    compare();
    free((void *)(uintptr_t)other.p);
    end();
}

/* Of records as a ledger has them, however many come at a time: no more than a fiftieth of the pages is lost, and the last row. */
TEST(pages_are_full)
{
    static const struct { size_t size; unsigned at_once; } cases[] = {{850, 1000}, {850, 7}, {1093, 1000}, {1093, 1}, {300, 50}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        setup();
        while (n < 1000) {
            begin();
            for (unsigned i = 0; i < cases[c].at_once && n < 1000; i++)
                append(cases[c].size, false);
            commit();
        }
        MDB_stat st;
        begin();
        CHECK_EQ_INT(mdb_stat(txn, env->dbi[KV_LOG], &st), 0);
        commit();
        size_t pages = st.ms_leaf_pages + st.ms_branch_pages + st.ms_overflow_pages, bytes = 1000 * (cases[c].size + 2);
        CHECK(pages * 4096 < bytes + bytes / 40 + LOG_ROW_BYTES + 2 * 4096);
        compare();
        end();
    }
}

/* Each bit of a row's head, and some of the rest: records are as they were, or empty, or not there; and no other one is touched. */
TEST(a_damaged_row_gives_no_record_but_those_that_are_in_it)
{
    setup();
    begin();
    for (unsigned i = 0; i < 60; i++)
        append(700 + i, false);
    commit();
    MDB_cursor *cursor;
    MDB_val k, v;
    struct log_row row;
    begin();
    CHECK_EQ_INT(mdb_cursor_open(txn, env->dbi[KV_LOG], &cursor), 0);
    CHECK_EQ_INT(mdb_cursor_get(cursor, &k, &v, MDB_FIRST), 0);
    CHECK(log_row_open(&k, &v, &row) && row.n > 30 && row.ends);
    uint8_t *copy = malloc(v.mv_size);
    const size_t head = LOG_ROW_HEAD + 2 * (size_t)row.n;
    for (size_t bit = 0; bit < 8 * (head + 200); bit++) {
        memcpy(copy, v.mv_data, v.mv_size);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const MDB_val damaged = {v.mv_size, copy};
        struct log_row bad;
        CHECK(log_row_open(&k, &damaged, &bad));
        unsigned same = 0;
        for (unsigned i = 0; i < bad.n && i < row.n; i++) {
            struct span record = log_row_record(&bad, i);
            CHECK(record.p && record.n <= v.mv_size);
            same += span_eq(record, model[i]);
        }
        if (bit / 8 >= head)
            CHECK_EQ_INT(same, row.n - 1); /* the first record is where the bit is */
        else
            CHECK(same < row.n);
    }
    for (size_t cut = 0; cut < v.mv_size; cut += 7) {
        const MDB_val shorter = {cut, v.mv_data};
        struct log_row bad;
        CHECK(log_row_open(&k, &shorter, &bad) && bad.n >= 1 && log_row_record(&bad, bad.n - 1).n == 0);
    }
    free(copy);
    mdb_cursor_close(cursor);
    commit();
    end();
}

TEST_MAIN(TEST_ENTRY(what_was_put_is_what_is_read), TEST_ENTRY(the_log_only_grows), TEST_ENTRY(pages_are_full),
          TEST_ENTRY(a_damaged_row_gives_no_record_but_those_that_are_in_it))
