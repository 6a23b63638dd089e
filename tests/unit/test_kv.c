/* SPDX-License-Identifier: Apache-2.0 */
/* kv_mem against a plain array of everything that was put, and its overlays. */
#include "kv.h"
#include "lib/check.h"

#define KEYS 500

static struct span value_of(uint8_t *buf, unsigned key, unsigned round)
{
    size_t n = (key * 37 + round * 101) % 300;
    memset(buf, (int)(key + round), n);
    return span_of(buf, n);
}

static void check_all(struct kv *kv, const unsigned *round)
{
    uint8_t k[KV_KEY_MAX], buf[512];
    for (unsigned i = 0; i < KEYS; i++) {
        struct span got, want = value_of(buf, i, round[i]);
        CHECK_EQ_INT(kv_get(kv, KV_MEMBER, kv_key_u64(k, i), &got), LEDGER_OK);
        CHECK_EQ_INT(got.n, want.n);
        CHECK_EQ_MEM(got.p, want.p, want.n);
        CHECK_EQ_INT(kv_get(kv, KV_CHAIN, kv_key_u64(k, i), &got), LEDGER_ENOTFOUND);
    }
}

TEST(replaced_values_are_the_latest)
{
    struct kv_mem *m = kv_mem_new(NULL, 64 << 20);
    struct kv kv = kv_mem_kv(m);
    unsigned round[KEYS] = {0};
    uint8_t k[KV_KEY_MAX], buf[512];
    for (unsigned r = 0; r < 200; r++)
        for (unsigned i = 0; i < KEYS; i += 1 + r % 3) {
            round[i] = r;
            CHECK_EQ_INT(kv_put(&kv, KV_MEMBER, kv_key_u64(k, i), value_of(buf, i, r)), LEDGER_OK);
        }
    check_all(&kv, round);
    CHECK(kv_mem_bytes(m) < 4 << 20); /* blocks are used again */
    kv_mem_free(m);
}

TEST(overlays_commit_and_discard)
{
    struct kv_mem *base = kv_mem_new(NULL, 64 << 20);
    struct kv base_kv = kv_mem_kv(base);
    struct kv_mem *top = kv_mem_new(&base_kv, 64 << 20);
    struct kv top_kv = kv_mem_kv(top);
    unsigned round[KEYS] = {0}, later[KEYS];
    uint8_t k[KV_KEY_MAX], buf[512];
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ_INT(kv_put(&base_kv, KV_MEMBER, kv_key_u64(k, i), value_of(buf, i, 0)), LEDGER_OK);
    for (unsigned i = 0; i < KEYS; i++) {
        later[i] = i % 2 ? 9 : 0;
        if (i % 2)
            CHECK_EQ_INT(kv_put(&top_kv, KV_MEMBER, kv_key_u64(k, i), value_of(buf, i, 9)), LEDGER_OK);
    }
    check_all(&top_kv, later);
    check_all(&base_kv, round);
    kv_mem_discard(top);
    check_all(&top_kv, round);
    for (unsigned i = 1; i < KEYS; i += 2)
        CHECK_EQ_INT(kv_put(&top_kv, KV_MEMBER, kv_key_u64(k, i), value_of(buf, i, 9)), LEDGER_OK);
    CHECK_EQ_INT(kv_mem_flush(top, NULL), LEDGER_OK);
    check_all(&base_kv, later);
    kv_mem_free(top);
    kv_mem_free(base);
}

/* A base that records the order in which keys arrive. */
static uint8_t last[KV_TABLES][KV_KEY_MAX + 1];
static enum ledger_rc order_get(void *ctx, enum kv_table t, struct span key, struct span *v)
{
    (void)ctx;
    (void)t;
    (void)key;
    (void)v;
    return LEDGER_ENOTFOUND;
}
static enum ledger_rc order_put(void *ctx, enum kv_table t, struct span key, struct span v)
{
    (void)v;
    (*(unsigned *)ctx)++;
    CHECK(span_cmp(span_of(last[t] + 1, last[t][0]), key) < 0);
    last[t][0] = (uint8_t)key.n;
    memcpy(last[t] + 1, key.p, key.n);
    return LEDGER_OK;
}

TEST(flush_is_in_key_order)
{
    unsigned n = 0;
    struct kv base = {&n, order_get, order_put};
    struct kv_mem *m = kv_mem_new(&base, 64 << 20);
    struct kv kv = kv_mem_kv(m);
    uint8_t k[KV_KEY_MAX];
    for (unsigned i = 0; i < 2000; i++)
        CHECK_EQ_INT(kv_put(&kv, i % 2 ? KV_TREE : KV_LOG, kv_key_u64(k, (i * 7919u) % 2003 + 1), SPAN_LIT("x")), LEDGER_OK);
    CHECK_EQ_INT(kv_mem_flush(m, NULL), LEDGER_OK);
    CHECK_EQ_INT(n, 2000);
    kv_mem_free(m);
}

TEST(budget_is_kept)
{
    struct kv_mem *m = kv_mem_new(NULL, 1 << 20);
    struct kv kv = kv_mem_kv(m);
    uint8_t k[KV_KEY_MAX], big[4096] = {0};
    enum ledger_rc rc = LEDGER_OK;
    unsigned i = 0;
    for (; i < 10000 && !rc; i++)
        rc = kv_put(&kv, KV_LOG, kv_key_u64(k, i), span_of(big, sizeof big));
    CHECK_EQ_INT(rc, LEDGER_ENOMEM);
    CHECK(i > 100 && i < 300);
    kv_mem_free(m);
}

TEST_MAIN(TEST_ENTRY(replaced_values_are_the_latest), TEST_ENTRY(overlays_commit_and_discard), TEST_ENTRY(flush_is_in_key_order),
          TEST_ENTRY(budget_is_kept))
