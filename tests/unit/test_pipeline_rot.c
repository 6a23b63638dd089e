/* SPDX-License-Identifier: Apache-2.0 */
/* The write path over a store in which something has rotted: what needs it is not recorded, everything else is, and nothing wrong is
 * signed. */
#include "check.h"
#include "entry.h"
#include "scratch_run.h"
#include "state.h"
#include "store/store.h"

/* Flips a bit of a stored value while the writer stands idle. */
static void rot(struct run *r, enum kv_table t, struct span key, size_t at)
{
    struct kv kv;
    struct span v;
    uint8_t copy[4096];
    CHECK_EQ_INT(store_begin(r->store, &kv, NULL), LEDGER_OK);
    CHECK_EQ_INT(kv_get(&kv, t, key, &v), LEDGER_OK);
    CHECK(v.n <= sizeof copy && at < v.n);
    memcpy(copy, v.p, v.n);
    copy[at] ^= 1;
    CHECK_EQ_INT(store_replace(r->store, t, key, span_of(copy, v.n), NULL), LEDGER_OK);
    CHECK_EQ_INT(store_commit(r->store, NULL), LEDGER_OK);
}

static enum ledger_rc move(struct run *r, struct scratch *s, const char *reference, const char *fields)
{
    struct request q;
    struct span ev = pen_event(&s->pen, "STORAGE_MOVED", reference, fields);
    struct span sig = pen_sign(&s->pen, &ev, 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
    request_init(&q, r, &ev, 1, &sig, 1);
    request_do(&q);
    enum ledger_rc rc = q.job.rc;
    CHECK(!q.job.unknown);
    CHECK(rc != LEDGER_OK || q.job.results[0].outcome == JOB_ACCEPTED);
    request_fini(&q);
    return rc;
}

static void begin(struct scratch *s, struct run *r)
{
    struct request q;
    run_begin(s, r);
    run_register(r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    for (int i = 0; i < 3; i++) {
        char item[8];
        snprintf(item, sizeof item, "M-%d", i);
        CHECK_EQ_INT(run_one(r, &s->pen, pen_material(&s->pen, item), "wh", KEY_WAREHOUSE, &q), JOB_ACCEPTED);
        request_fini(&q);
    }
}

TEST(a_rotten_state_is_not_judged_upon)
{
    struct scratch s;
    struct run r;
    struct hash key;
    struct span v;
    struct kv kv;
    begin(&s, &r);
    chain_key(s.pen.c, &s.index_key, CHAIN_ITEM, SPAN_LIT("M-1"), &key);
    CHECK_EQ_INT(store_begin(r.store, &kv, NULL), LEDGER_OK);
    CHECK_EQ_INT(kv_get(&kv, KV_CHAIN, span_of(key.b, HASH_LEN), &v), LEDGER_OK);
    size_t n = v.n;
    store_abort(r.store);
    uint64_t size = run_size(&r);
    for (size_t at = 0; at < n; at++) {
        char reference[32];
        snprintf(reference, sizeof reference, "move %zu", at);
        rot(&r, KV_CHAIN, span_of(key.b, HASH_LEN), at);
        CHECK_EQ_INT(move(&r, &s, reference, "item=M-1;location=F"), LEDGER_ETAMPER);
        rot(&r, KV_CHAIN, span_of(key.b, HASH_LEN), at); /* and back */
    }
    CHECK_EQ_INT(run_size(&r), size);
    rot(&r, KV_CHAIN, span_of(key.b, HASH_LEN), n - 1);
    CHECK_EQ_INT(move(&r, &s, "other", "item=M-2;location=F"), LEDGER_OK); /* others go on */
    CHECK_EQ_INT(r.fatals, 0);
    rot(&r, KV_CHAIN, span_of(key.b, HASH_LEN), n - 1);
    CHECK_EQ_INT(move(&r, &s, "whole again", "item=M-1;location=F"), LEDGER_OK);
    run_end(&s, &r);
}

/* The writer goes by the right edge that it keeps: what it signs is the true root, whatever the stored tree has become. */
TEST(a_rotten_tree_is_not_signed)
{
    struct scratch s;
    struct run r;
    uint8_t k[KV_KEY_MAX];
    struct kv kv;
    struct span signed_root;
    struct hash root;
    begin(&s, &r);
    struct span row = kv_key_tree(k, 0, 0);
    rot(&r, KV_TREE, row, 7);
    for (int i = 0; i < 12; i++) { /* rows, and one above them, become complete meanwhile */
        char reference[8];
        snprintf(reference, sizeof reference, "%d", i);
        CHECK_EQ_INT(move(&r, &s, reference, "item=M-1;location=F"), LEDGER_OK);
    }
    CHECK_EQ_INT(r.fatals, 0);
    rot(&r, KV_TREE, row, 7); /* and back: then the tree is the one that was signed */
    uint64_t size = run_size(&r);
    uint8_t n[KV_KEY_MAX];
    CHECK_EQ_INT(store_begin(r.store, &kv, NULL), LEDGER_OK);
    struct merkle_store tree = kv_tree(&kv);
    CHECK(size > 2 * MERKLE_ROW && merkle_root(s.pen.c, &tree, size, &root));
    CHECK_EQ_INT(kv_get(&kv, KV_CHECKPOINT, kv_key_u64(n, size), &signed_root), LEDGER_OK);
    CHECK_EQ_MEM(signed_root.p, root.b, HASH_LEN);
    store_abort(r.store);
    run_end(&s, &r);
}

TEST(a_rotten_chain_map_is_not_sealed)
{
    static const uint8_t root[2] = {0xff, 0xff}, top[2] = {0, 0};
    struct scratch s;
    struct run r;
    begin(&s, &r);
    uint64_t size = run_size(&r);
    const struct span rows[2] = {span_of(root, 2), span_of(top, 2)};
    for (size_t i = 0; i < 2; i++)
        for (size_t at = 1; at < 33; at += 8) { /* after the tag of the first slot */
            char reference[32];
            snprintf(reference, sizeof reference, "move %zu %zu", i, at);
            rot(&r, KV_MAP, rows[i], at);
            CHECK_EQ_INT(move(&r, &s, reference, "item=M-1;location=F"), LEDGER_ETAMPER);
            rot(&r, KV_MAP, rows[i], at);
        }
    CHECK_EQ_INT(run_size(&r), size);
    CHECK_EQ_INT(r.fatals, 0);
    CHECK_EQ_INT(move(&r, &s, "b", "item=M-1;location=F"), LEDGER_OK);
    run_end(&s, &r);
}

/* While too many look at the store, nothing is recorded; and afterwards it is. */
TEST(readers_without_end_do_not_end_the_process)
{
    enum { MANY = 4096 };
    struct scratch s;
    struct run r;
    static struct store_snapshot *open[MANY];
    size_t n = 0;
    begin(&s, &r);
    uint64_t size = run_size(&r);
    enum ledger_rc rc = LEDGER_OK;
    while (n < MANY && (rc = store_snapshot_open(r.store, &open[n], NULL)) == LEDGER_OK)
        n++;
    CHECK_EQ_INT(rc, LEDGER_EBUSY);
    CHECK_EQ_INT(move(&r, &s, "crowded", "item=M-1;location=F"), LEDGER_EBUSY);
    CHECK_EQ_INT(r.fatals, 0);
    while (n)
        store_snapshot_close(open[--n]);
    CHECK_EQ_INT(run_size(&r), size);
    CHECK_EQ_INT(move(&r, &s, "crowded", "item=M-1;location=F"), LEDGER_OK);
    run_end(&s, &r);
}

TEST_MAIN(TEST_ENTRY(a_rotten_state_is_not_judged_upon), TEST_ENTRY(a_rotten_tree_is_not_signed),
          TEST_ENTRY(a_rotten_chain_map_is_not_sealed),
          TEST_ENTRY(readers_without_end_do_not_end_the_process))
