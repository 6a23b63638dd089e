/* SPDX-License-Identifier: Apache-2.0 */
/* What the writer need not look up: no key that is recorded is ever said to be absent, whenever and by whichever process it was recorded; and most that are
 * not are. */
#include "store/log.h"
#include "store/store_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "scratch.h"

static unsigned seed = 5;

static struct span random_key(uint8_t key[KV_INDEX_KEY])
{
    for (unsigned i = 0; i < KV_INDEX_KEY; i++)
        key[i] = (uint8_t)(rand_r(&seed) >> 7);
    return span_of(key, KV_INDEX_KEY);
}

/* With so many bits of memory for each key, of a hundred absent ones at most so many may be unsure. */
static void fill_filter(unsigned bits, unsigned most)
{
    enum { KEYS = 100000 };
    struct key_filter *f = key_filter_new(KEYS * bits / 8, KEYS);
    uint8_t (*keys)[KV_INDEX_KEY] = malloc(KEYS * sizeof *keys);
    unsigned unsure = 0;
    for (unsigned i = 0; i < KEYS; i++)
        key_filter_add(f, i % 2 ? KV_EVENT : KV_REFERENCE, random_key(keys[i]));
    for (unsigned i = 0; i < KEYS; i++) {
        uint8_t key[KV_INDEX_KEY];
        CHECK(!key_filter_absent(f, i % 2 ? KV_EVENT : KV_REFERENCE, span_of(keys[i], sizeof keys[i])));
        unsure += !key_filter_absent(f, i % 2 ? KV_REFERENCE : KV_EVENT, span_of(keys[i], sizeof keys[i])); /* of the other table */
        unsure += !key_filter_absent(f, KV_EVENT, random_key(key));
    }
    CHECK(unsure < 2 * KEYS / 100 * most);
    key_filter_free(f);
    free(keys);
}

TEST(a_filter_says_of_most_that_they_are_absent)
{
    uint8_t key[KV_INDEX_KEY];
    fill_filter(KEY_FILTER_BITS, 2);
    fill_filter(6, 12);
    fill_filter(2, 45);
    struct key_filter *f = key_filter_new(0, 0);
    CHECK(f && key_filter_absent(f, KV_EVENT, random_key(key)));
    key_filter_free(f);
}

static void await_whole(struct store *s)
{
    for (unsigned i = 0; i < 20000 && !s->known.whole; i++)
        usleep(1000);
    CHECK(s->known.whole);
}

/* One more entry, and as many keys in each index. */
static void append(struct store *s, uint64_t at, uint8_t (*keys)[KV_INDEX_KEY], size_t n)
{
    struct kv kv;
    struct ledger_err err = {0};
    uint8_t key[KV_KEY_MAX], value[KV_KEY_MAX], root[HASH_LEN] = {(uint8_t)at, 1};
    struct arena *a = arena_new(1u << 20);
    struct link link = {.seq = 0};
    const struct header h = {.index = at, .epoch = 9, .kind = OWN_EPOCH, .n_links = 1, .links = &link};
    CHECK_EQ_INT(log_begin(s, &kv, &err), LEDGER_OK);
    struct kv_mem *rows = kv_mem_new(&kv, 64u << 20);
    struct kv top = kv_mem_kv(rows);
    struct span entry = entry_record_join(a, &(struct entry_record){.header = header_encode(a, &h)});
    CHECK_EQ_INT(kv_put(&top, KV_LOG, kv_key_u64(key, at), entry), LEDGER_OK);
    CHECK_EQ_INT(kv_put(&top, KV_CHECKPOINT, kv_key_u64(key, at + 1), span_of(root, sizeof root)), LEDGER_OK);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ_INT(kv_put(&top, KV_EVENT, random_key(keys[i]), kv_key_u64(value, at)), LEDGER_OK);
        CHECK_EQ_INT(kv_put(&top, KV_REFERENCE, span_of(keys[i], sizeof keys[i]), kv_key_u64(value, at)), LEDGER_OK);
    }
    const struct log_batch batch = {.rows = rows};
    CHECK_EQ_INT(log_append(s, at, 9, &batch, &err), LOG_APPENDED);
    kv_mem_free(rows);
    arena_free(a);
}

/* What a batch that begins now finds of all that was recorded, and of what was not. */
static void check_all(struct store *s, uint8_t (*keys)[KV_INDEX_KEY], size_t n)
{
    struct kv kv;
    struct span value;
    uint8_t key[KV_INDEX_KEY];
    CHECK_EQ_INT(log_begin(s, &kv, NULL), LEDGER_OK);
    for (size_t i = n % 7; i < n; i += 7) {
        CHECK_EQ_INT(kv_get(&kv, KV_EVENT, span_of(keys[i], sizeof keys[i]), &value), LEDGER_OK);
        CHECK_EQ_INT(kv_get(&kv, KV_REFERENCE, span_of(keys[i], sizeof keys[i]), &value), LEDGER_OK);
    }
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ_INT(kv_get(&kv, KV_EVENT, random_key(key), &value), LEDGER_ENOTFOUND);
    store_abort(s);
}

/* At the beginning of a process, while the filter is being made, after it, when it has become too small, and in the next process. */
TEST(nothing_that_is_recorded_is_absent)
{
    enum { BATCH = 20000, BATCHES = 16 };
    static uint8_t keys[BATCH * BATCHES][KV_INDEX_KEY];
    struct scratch s;
    size_t n = 0;
    unsigned made = 0;
    scratch_make(&s);
    struct store *store = NULL;
    for (unsigned i = 0; i < BATCHES; i++) {
        if (i % 8 == 0) {
            store_close(store);
            store = scratch_open(&s);
            check_all(store, keys, n); /* this one begins it */
        }
        const uint64_t before = store->known.keys;
        append(store, 2 + i, keys + n, BATCH);
        n += BATCH;
        check_all(store, keys, n);
        made += store->known.keys < before;
        if (i % 3 == 0)
            await_whole(store);
        check_all(store, keys, n);
    }
    CHECK(made > 0); /* in place of one that was too small */
    await_whole(store);
    CHECK(store_known_absent(store, KV_EVENT, random_key(keys[0])) || store_known_absent(store, KV_EVENT, random_key(keys[0])));
    store_close(store);
    scratch_remove(&s);
}

/* With a row that cannot be read nobody knows. */
TEST(what_cannot_be_read_is_asked_for)
{
    enum { KEYS = 3000 };
    static uint8_t keys[KEYS][KV_INDEX_KEY];
    struct scratch s;
    struct span value;
    struct kv kv;
    scratch_make(&s);
    struct store *store = scratch_open(&s);
    append(store, 2, keys, KEYS);
    CHECK_EQ_INT(store_drain(store, NULL), LEDGER_OK);
    MDB_txn *txn;
    uint8_t row[9] = {0, keys[7][0] & 0xfc}, garbage[30] = {9};
    MDB_val k = {sizeof row, row}, v = {sizeof garbage, garbage};
    CHECK_EQ_INT(mdb_txn_begin(store->env->env, NULL, 0, &txn), 0);
    CHECK_EQ_INT(mdb_put(txn, store->env->dbi[KV_EVENT], &k, &v, 0), 0);
    CHECK_EQ_INT(mdb_txn_commit(txn), 0);
    store_close(store);
    store = scratch_open(&s);
    CHECK_EQ_INT(log_begin(store, &kv, NULL), LEDGER_OK);
    CHECK(store->known.started);
    pthread_join(store->known.thread, NULL);
    store->known.started = false;
    CHECK(!store->known.whole);
    CHECK_EQ_INT(kv_get(&kv, KV_EVENT, span_of(keys[7], sizeof keys[7]), &value), LEDGER_ETAMPER);
    store_abort(store);
    store_close(store);
    scratch_remove(&s);
}

TEST_MAIN(TEST_ENTRY(a_filter_says_of_most_that_they_are_absent), TEST_ENTRY(nothing_that_is_recorded_is_absent),
          TEST_ENTRY(what_cannot_be_read_is_asked_for))
