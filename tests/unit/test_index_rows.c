/* SPDX-License-Identifier: Apache-2.0 */
/* The indexes by hash, many keys to a row: what was put is what is read, whatever keys there are and in whatever row they lie; a batch changes few rows; a
 * damaged row is an error, not an answer. */
#include "store/store_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "scratch.h"

#define KEYS_MAX 40000u

struct pair {
    uint8_t key[KV_INDEX_KEY], value[8];
};

static struct scratch s;
static struct store_env *env;
static MDB_dbi dbi;
static MDB_txn *txn;
static MDB_cursor *cursor;
static struct index_waiting waiting;
static unsigned seed;

/* What should be there, ascending. */
static struct pair model[KEYS_MAX];
static size_t n;

static void setup(void)
{
    char folder[300];
    const struct store_env_options o = {.map_bytes = (uint64_t)1 << 30, .mode = STORE_WRITE, .create = true};
    scratch_make(&s);
    snprintf(folder, sizeof folder, "%s/rows", s.dir);
    CHECK_EQ_INT(mkdir(folder, 0700), 0);
    CHECK_EQ_INT(store_env_open(folder, &o, &env, NULL), LEDGER_OK);
    dbi = env->dbi[KV_EVENT];
    n = 0;
    seed = 7;
}

static void end(void)
{
    index_waiting_free(&waiting);
    store_env_close(env);
    scratch_remove(&s);
}

static void begin(bool write)
{
    CHECK_EQ_INT(mdb_txn_begin(env->env, NULL, write ? 0 : MDB_RDONLY, &txn), 0);
    CHECK_EQ_INT(mdb_cursor_open(txn, dbi, &cursor), 0);
}

static void commit(void)
{
    mdb_cursor_close(cursor);
    CHECK_EQ_INT(index_flush(txn, dbi, &waiting), 0);
    CHECK_EQ_INT(mdb_txn_commit(txn), 0);
}

static void leave(void)
{
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
}

static void random_bytes(uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        p[i] = (uint8_t)(rand_r(&seed) >> 7);
}

/* Hashes; and such as somebody would have to search for, that begin alike for `alike` bytes. */
static void random_key(unsigned alike, uint8_t key[KV_INDEX_KEY])
{
    random_bytes(key, KV_INDEX_KEY);
    if (rand_r(&seed) % 8)
        memset(key, 0xa5, alike);
}

static int pair_order(const void *x, const void *y)
{
    return memcmp(((const struct pair *)x)->key, ((const struct pair *)y)->key, KV_INDEX_KEY);
}

static struct pair *model_find(const uint8_t *key)
{
    struct pair p;
    memcpy(p.key, key, sizeof p.key);
    return bsearch(&p, model, n, sizeof model[0], pair_order);
}

static void put(const struct pair *p)
{
    CHECK_EQ_INT(index_put(&waiting, span_of(p->key, sizeof p->key), span_of(p->value, sizeof p->value)), 0);
}

/* A batch of new keys and of some that are there, some of them twice; the last value counts. */
static void put_batch(unsigned size, unsigned alike)
{
    size_t was = n, added = 0;
    struct pair *batch = malloc(2 * size * sizeof *batch);
    CHECK(batch);
    for (unsigned i = 0; i < size; i++) {
        struct pair *p = &batch[i];
        if (was && rand_r(&seed) % 10 == 0)
            memcpy(p->key, model[(unsigned)rand_r(&seed) % was].key, sizeof p->key);
        else if (i && rand_r(&seed) % 20 == 0)
            memcpy(p->key, batch[(unsigned)rand_r(&seed) % i].key, sizeof p->key);
        else
            random_key(alike, p->key);
        random_bytes(p->value, sizeof p->value);
        put(p);
    }
    for (unsigned i = 0; i < size; i++) { /* the model searches through what was there before; what is new, one by one */
        struct pair *there = model_find(batch[i].key);
        for (size_t j = 0; !there && j < added; j++)
            there = memcmp(batch[size + j].key, batch[i].key, sizeof batch[i].key) ? NULL : &batch[size + j];
        if (there)
            *there = batch[i];
        else
            batch[size + added++] = batch[i];
    }
    CHECK(n + added <= KEYS_MAX);
    memcpy(model + n, batch + size, added * sizeof *model);
    n += added;
    qsort(model, n, sizeof model[0], pair_order);
    free(batch);
}

static void remove_some(unsigned some)
{
    uint8_t key[KV_INDEX_KEY];
    CHECK_EQ_INT(index_flush(txn, dbi, &waiting), 0);
    random_key(0, key);
    CHECK_EQ_INT(index_remove(txn, dbi, span_of(key, sizeof key)), MDB_NOTFOUND);
    for (unsigned i = 0; i < some && n; i++) {
        size_t at = (unsigned)rand_r(&seed) % n;
        CHECK_EQ_INT(index_remove(txn, dbi, span_of(model[at].key, sizeof model[at].key)), 0);
        memmove(model + at, model + at + 1, (--n - at) * sizeof model[0]);
    }
}

static bool is_pair(struct span key, struct span value, size_t i)
{
    return i < n && span_eq(key, span_of(model[i].key, sizeof model[i].key)) && span_eq(value, span_of(model[i].value, 8));
}

static void walk_from(size_t i, const uint8_t *first)
{
    struct table_walk w;
    struct layer_row row;
    CHECK_EQ_INT(table_walk_open(&w, env, txn, KV_EVENT), 0);
    int e = table_walk_first(&w, first ? span_of(first, KV_INDEX_KEY) : SPAN_NONE, &row);
    for (; !e; e = table_walk_next(&w, &row))
        CHECK(is_pair(row.key, row.value, i++));
    CHECK_EQ_INT(e, MDB_NOTFOUND);
    CHECK_EQ_INT(i, n);
    table_walk_close(&w);
}

static void check_last(void)
{
    struct table_walk w;
    struct layer_row row;
    CHECK_EQ_INT(table_walk_open(&w, env, txn, KV_EVENT), 0);
    CHECK_EQ_INT(table_walk_last(&w, &row), n ? 0 : MDB_NOTFOUND);
    CHECK(!n || is_pair(row.key, row.value, n - 1));
    table_walk_close(&w);
}

static void check_all(void)
{
    struct span value;
    uint64_t count;
    uint8_t key[KV_INDEX_KEY];
    begin(false);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ_INT(index_get(cursor, span_of(model[i].key, sizeof model[i].key), &value), 0);
        CHECK(span_eq(value, span_of(model[i].value, 8)));
    }
    for (unsigned i = 0; i < 300; i++) { /* near one that is there, or anywhere */
        if (n)
            memcpy(key, model[(unsigned)rand_r(&seed) % n].key, sizeof key);
        key[rand_r(&seed) % KV_INDEX_KEY] ^= (uint8_t)(1 << rand_r(&seed) % 8);
        bool there = model_find(key) != NULL;
        CHECK_EQ_INT(index_get(cursor, span_of(key, sizeof key), &value), there ? 0 : MDB_NOTFOUND);
        size_t at = 0;
        while (i < 5 && at < n && memcmp(model[at].key, key, sizeof key) < 0)
            at++;
        if (i < 5)
            walk_from(at, key);
    }
    walk_from(0, NULL);
    check_last();
    CHECK_EQ_INT(store_table_count(env, txn, KV_EVENT, &count), 0);
    CHECK_EQ_INT(count, n);
    leave();
}

static void rounds(unsigned alike, unsigned most)
{
    setup();
    memset(model, 0, sizeof model);
    check_all();
    for (unsigned i = 0; i < 24; i++) {
        begin(true);
        for (unsigned k = 0; k < 1 + i % 3; k++)
            put_batch(1 + (unsigned)rand_r(&seed) % (i % 4 ? most : 5), alike);
        if (i % 5 == 4)
            remove_some(50);
        commit();
        check_all();
    }
    end();
}

TEST(what_was_put_is_what_is_read)
{
    rounds(0, 1500);
}

/* Rows far below the top; and at the lowest level, which passes nothing down. */
TEST(keys_that_begin_alike)
{
    rounds(1, 600);
    rounds(4, 600);
    rounds(8, 600);
}

TEST(what_has_another_length)
{
    struct span value;
    uint8_t bytes[40] = {0};
    setup();
    begin(true);
    CHECK_EQ_INT(index_put(&waiting, span_of(bytes, KV_INDEX_KEY + 1), span_of(bytes, 8)), MDB_BAD_VALSIZE);
    CHECK_EQ_INT(index_put(&waiting, span_of(bytes, KV_INDEX_KEY), span_of(bytes, 7)), MDB_BAD_VALSIZE);
    CHECK_EQ_INT(index_get(cursor, span_of(bytes, HASH_LEN), &value), MDB_BAD_VALSIZE);
    CHECK_EQ_INT(index_remove(txn, dbi, span_of(bytes, 1)), MDB_BAD_VALSIZE);
    leave();
    end();
}

/* ---- rows as they lie ---- */

struct raw {
    uint8_t key[16];
    size_t key_n, n;
    uint8_t *value;
};
static struct raw *raws;
static size_t n_raws;

static void read_raws(void)
{
    MDB_val k, v;
    raws = malloc(KEYS_MAX * sizeof *raws);
    n_raws = 0;
    begin(false);
    for (int e = mdb_cursor_get(cursor, &k, &v, MDB_FIRST); !e; e = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
        struct raw *r = &raws[n_raws++];
        CHECK(k.mv_size <= sizeof r->key && n_raws <= KEYS_MAX);
        *r = (struct raw){.key_n = k.mv_size, .n = v.mv_size, .value = malloc(v.mv_size)};
        memcpy(r->key, k.mv_data, k.mv_size);
        memcpy(r->value, v.mv_data, v.mv_size);
    }
    leave();
}

static void free_raws(void)
{
    while (n_raws)
        free(raws[--n_raws].value);
    free(raws);
}

static size_t changed_rows(void)
{
    MDB_val v;
    size_t same = 0, there = 0;
    begin(false);
    for (size_t i = 0; i < n_raws; i++) {
        MDB_val k = {raws[i].key_n, raws[i].key};
        CHECK_EQ_INT(mdb_cursor_get(cursor, &k, &v, MDB_SET), 0); /* none is ever taken away */
        same += v.mv_size == raws[i].n && memcmp(v.mv_data, raws[i].value, v.mv_size) == 0;
    }
    MDB_stat st;
    CHECK_EQ_INT(mdb_stat(txn, dbi, &st), 0);
    there = st.ms_entries;
    leave();
    return there - same;
}

TEST(a_batch_changes_few_rows)
{
    enum { BATCH = 500, BATCHES = 60 };
    size_t changed = 0;
    setup();
    for (unsigned i = 0; i < BATCHES; i++) {
        read_raws();
        begin(true);
        put_batch(BATCH, 0);
        commit();
        if (i >= BATCHES / 2)
            changed += changed_rows();
        free_raws();
    }
    CHECK(changed < BATCH * BATCHES / 2 / 3);
    MDB_stat st;
    begin(false);
    CHECK_EQ_INT(mdb_stat(txn, dbi, &st), 0);
    leave();
    CHECK((st.ms_leaf_pages + st.ms_branch_pages + st.ms_overflow_pages) * st.ms_psize < 70 * n);
    end();
}

static void put_raw(const struct raw *r, const uint8_t *value, size_t size)
{
    MDB_val k = {r->key_n, (void *)(uintptr_t)r->key}, v = {size, (void *)(uintptr_t)value};
    begin(true);
    CHECK_EQ_INT(mdb_put(txn, dbi, &k, &v, 0), 0);
    commit();
}

/* Each key is found as it is, or is not known to be there or not; never that it is not there. */
static size_t unknown(void)
{
    size_t bad = 0;
    struct span value;
    begin(false);
    for (size_t i = 0; i < n; i++) {
        int e = index_get(cursor, span_of(model[i].key, sizeof model[i].key), &value);
        CHECK(e == MDB_CORRUPTED || (e == 0 && span_eq(value, span_of(model[i].value, 8))));
        bad += e != 0;
    }
    leave();
    return bad;
}

static int walk_result(void)
{
    struct table_walk w;
    struct layer_row row;
    begin(false);
    CHECK_EQ_INT(table_walk_open(&w, env, txn, KV_EVENT), 0);
    int e = table_walk_first(&w, SPAN_NONE, &row);
    while (!e)
        e = table_walk_next(&w, &row);
    table_walk_close(&w);
    leave();
    return e;
}

TEST(a_damaged_row_is_no_answer)
{
    setup();
    begin(true);
    put_batch(15000, 0);
    commit();
    begin(true);
    put_batch(500, 0);
    commit();
    read_raws();
    CHECK(n_raws > 300);
    for (size_t i = 0; i < n_raws; i += n_raws / 40) {
        struct raw *r = &raws[i];
        const size_t lengths[] = {0, 3, r->n + 1, r->n + KV_INDEX_KEY + 8};
        uint8_t *copy = calloc(1, r->n + 100);
        for (size_t k = 0; k < 4; k++) { /* the head's bytes, then other lengths */
            memcpy(copy, r->value, r->n);
            copy[k] ^= 1;
            put_raw(r, copy, r->n);
            CHECK(unknown() > 0);
            CHECK_EQ_INT(walk_result(), MDB_CORRUPTED);
            memcpy(copy, r->value, r->n);
            put_raw(r, copy, lengths[k]);
            CHECK(unknown() > 0);
            CHECK_EQ_INT(walk_result(), MDB_CORRUPTED);
        }
        struct raw moved = *r; /* found by who goes along all rows, and by nobody else */
        moved.key[moved.key_n - 1] ^= 1;
        put_raw(&moved, r->value, r->n);
        CHECK_EQ_INT(walk_result(), MDB_CORRUPTED);
        MDB_val mk = {moved.key_n, moved.key};
        begin(true);
        CHECK_EQ_INT(mdb_del(txn, dbi, &mk, NULL), 0);
        commit();
        put_raw(r, r->value, r->n);
        if (r->key[0] > 0) { /* one below that is gone */
            MDB_val k = {r->key_n, r->key};
            begin(true);
            CHECK_EQ_INT(mdb_del(txn, dbi, &k, NULL), 0);
            commit();
            CHECK(unknown() > 0);
        }
        put_raw(r, r->value, r->n);
        free(copy);
    }
    CHECK_EQ_INT(unknown(), 0);
    free_raws();
    end();
}

TEST_MAIN(TEST_ENTRY(what_was_put_is_what_is_read), TEST_ENTRY(keys_that_begin_alike), TEST_ENTRY(what_has_another_length),
          TEST_ENTRY(a_batch_changes_few_rows), TEST_ENTRY(a_damaged_row_is_no_answer))
