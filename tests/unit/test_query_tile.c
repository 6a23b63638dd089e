/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles out of a store: they are what the log and the tree say, also at earlier sizes, and nothing damaged is given out. */
#include "lib/query_world.h"

#include "tiles.h"

struct asked {
    struct arena *a;
    struct span bytes;
    struct ledger_err err;
};

static void asked_init(struct asked *q)
{
    *q = (struct asked){.a = arena_new(TILES_ARENA_BYTES)};
    CHECK(q->a);
}

static enum ledger_rc ask_tile(struct world *w, struct asked *q, const char *path)
{
    struct tile t;
    CHECK(tile_path_parse(span_str(path), &t));
    arena_reset(q->a);
    q->err = (struct ledger_err){.rc = LEDGER_OK};
    return tiles_read(w->store, &t, q->a, &q->bytes, &q->err);
}

/* A ledger of more than two full tiles. */
static struct world *large_ledger(void)
{
    struct world *w = make_ledger();
    for (unsigned batch = 0; batch < 6; batch++) {
        world_begin(w);
        play_moves(w, "M0", 100);
        world_commit(w);
    }
    CHECK(w->m.size > 600);
    return w;
}

static void header_is(struct world *w, uint64_t index, struct span header)
{
    uint8_t key[KV_KEY_MAX];
    struct span record;
    struct entry_record rec;
    struct store_snapshot *sn;
    MUST(store_snapshot_open(w->store, &sn, err));
    struct kv kv = store_snapshot_kv(sn);
    MUST(kv_get(&kv, KV_LOG, kv_key_u64(key, index), &record));
    CHECK(entry_record_split(record, &rec));
    CHECK(span_eq(header, rec.header));
    store_snapshot_close(sn);
}

/* Bundle by bundle the log, tile by tile the tree: they make the checkpoint's root. */
TEST(the_whole_log)
{
    static struct tile_edge e;
    struct world *w = large_ledger();
    struct asked bundle, tile;
    char path[TILE_PATH_MAX];
    asked_init(&bundle);
    asked_init(&tile);
    for (uint64_t n = 0; n < tile_count(w->m.size, 0); n++) {
        struct tile t = {.entries = true, .index = n, .width = tile_width(w->m.size, 0, n)};
        tile_path(&t, path);
        CHECK_EQ_INT(ask_tile(w, &bundle, path), LEDGER_OK);
        t.entries = false;
        tile_path(&t, path);
        CHECK_EQ_INT(ask_tile(w, &tile, path), LEDGER_OK);
        CHECK_EQ_INT(tile.bytes.n, t.width * HASH_LEN);
        struct span header;
        for (unsigned i = 0; tile_bundle_next(&bundle.bytes, &header); i++) {
            struct hash leaf;
            merkle_leaf(w->c, header, &leaf);
            CHECK_EQ_MEM(leaf.b, tile.bytes.p + i * HASH_LEN, HASH_LEN);
            header_is(w, e.size, header);
            CHECK(tile_edge_append(w->c, &e, &leaf, NULL, NULL));
        }
        CHECK_EQ_INT(bundle.bytes.n, 0);
    }
    CHECK(e.size == w->m.size);
    struct span note;
    struct checkpoint cp;
    struct policy_verdict v;
    struct hash root;
    MUST(tiles_checkpoint(&(struct query_env){.store = w->store}, bundle.a, &note, err));
    CHECK(policy_check(w->c, w->a, &w->policy, note, &cp, &v, NULL) && v.log_signed);
    tile_edge_root(w->c, &e, &root);
    CHECK(cp.size == e.size && hash_eq(&cp.root, &root));
    CHECK_EQ_INT(ask_tile(w, &tile, "tile/1/000.p/2"), LEDGER_OK);
    CHECK_EQ_MEM(tile.bytes.p, e.hashes[1], 2 * HASH_LEN);
    arena_free(bundle.a);
    arena_free(tile.a);
    world_close(w);
}

/* Whoever holds an older checkpoint finds the partial tiles of its size. */
TEST(earlier_sizes_and_what_is_not_there)
{
    struct world *w = large_ledger();
    struct asked q, whole;
    char path[TILE_PATH_MAX];
    asked_init(&q);
    asked_init(&whole);
    CHECK_EQ_INT(ask_tile(w, &whole, "tile/0/001"), LEDGER_OK);
    for (unsigned width = 1; width < 256; width += 7) {
        const struct tile t = {.index = 1, .width = width};
        tile_path(&t, path);
        CHECK_EQ_INT(ask_tile(w, &q, path), LEDGER_OK);
        CHECK_EQ_INT(q.bytes.n, width * HASH_LEN);
        CHECK_EQ_MEM(q.bytes.p, whole.bytes.p, q.bytes.n);
    }
    const struct tile more = {.index = w->m.size / 256, .width = (unsigned)(w->m.size % 256) + 1};
    tile_path(&more, path);
    const char *const absent[] = {path, "tile/0/002", "tile/0/003", "tile/1/000", "tile/1/000.p/3", "tile/2/000.p/1", "tile/8/000",
                                  "tile/63/000.p/1", "tile/entries/002", "tile/entries/x999/999", "tile/entries/003.p/1"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        CHECK_EQ_INT(ask_tile(w, &q, absent[i]), LEDGER_ENOTFOUND);
    arena_free(q.a);
    arena_free(whole.a);
    world_close(w);
}

static void refused(struct world *w, struct asked *q, const char *path)
{
    CHECK_EQ_INT(ask_tile(w, q, path), LEDGER_ETAMPER);
    CHECK(strstr(q->err.msg, "does not verify"));
}

/* A bit of one node of the tree. */
static void tamper_node(struct world *w, unsigned level, uint64_t index)
{
    uint8_t key[KV_KEY_MAX];
    tamper(w, KV_TREE, kv_key_tree(key, level, index), (MERKLE_ROW - 1 - index % MERKLE_ROW) * HASH_LEN + 3);
}

TEST(damage_is_not_given_out)
{
    struct world *w = large_ledger();
    struct asked q;
    uint8_t key[KV_KEY_MAX];
    struct span record;
    struct entry_record rec;
    struct store_snapshot *sn;
    asked_init(&q);
    tamper_node(w, 0, 300);
    refused(w, &q, "tile/0/001");
    refused(w, &q, "tile/0/001.p/44"); /* its path to the root leads past that row */
    CHECK_EQ_INT(ask_tile(w, &q, "tile/0/000"), LEDGER_OK);
    CHECK_EQ_INT(ask_tile(w, &q, "tile/entries/001"), LEDGER_OK);
    tamper_node(w, 8, 1);
    refused(w, &q, "tile/1/000.p/2");
    CHECK_EQ_INT(ask_tile(w, &q, "tile/1/000.p/1"), LEDGER_ETAMPER); /* its path to the root is damaged */
    tamper_node(w, 8, 1);
    MUST(store_snapshot_open(w->store, &sn, err));
    struct kv kv = store_snapshot_kv(sn);
    MUST(kv_get(&kv, KV_LOG, kv_key_u64(key, 7), &record));
    CHECK(entry_record_split(record, &rec));
    size_t from_end = rec.event.n + rec.block.n + 8 + 5;
    store_snapshot_close(sn);
    tamper(w, KV_LOG, kv_key_u64(key, 7), from_end);
    refused(w, &q, "tile/entries/000");
    struct span note;
    struct ledger_err why = {.rc = LEDGER_OK};
    CHECK_EQ_INT(tiles_checkpoint(&(struct query_env){.store = w->store}, q.a, &note, &why), LEDGER_OK);
    tamper_node(w, 8, 0); /* of what the root is folded from */
    CHECK_EQ_INT(tiles_checkpoint(&(struct query_env){.store = w->store}, q.a, &note, &why), LEDGER_ETAMPER);
    arena_free(q.a);
    world_close(w);
}

static void count(void *sink, const char *name, double value, const char *text)
{
    unsigned *n = sink;
    (void)value, (void)text;
    CHECK(name && *name);
    ++*n;
}

TEST(figures)
{
    struct world *w = make_ledger();
    unsigned n = 0;
    const struct query_env env = {.store = w->store, .access = &w->access};
    MUST(tiles_figures(&env, count, &n, err));
    CHECK(n >= 12);
    world_close(w);
}

TEST_MAIN(TEST_ENTRY(the_whole_log), TEST_ENTRY(earlier_sizes_and_what_is_not_there), TEST_ENTRY(damage_is_not_given_out),
          TEST_ENTRY(figures))
