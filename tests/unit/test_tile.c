/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles: paths, widths, contents against a naive computation, the growing edge, and a whole log that another program has made. */
#include "tile.h"

#include "check.h"
#include "kv.h"
#include "machine.h"
#include "vectors.h"

enum { LEAVES = 70000 };

static void path_is(const char *text, bool entries, unsigned level, uint64_t index, unsigned width)
{
    const struct tile t = {.entries = entries, .level = level, .index = index, .width = width};
    struct tile back;
    char path[TILE_PATH_MAX];
    CHECK_EQ_INT(tile_path(&t, path), strlen(text));
    CHECK_EQ_STR(path, text);
    CHECK(tile_path_parse(span_str(text), &back));
    CHECK(back.entries == entries && back.level == level && back.index == index && back.width == width);
}

TEST(paths)
{
    path_is("tile/0/000", false, 0, 0, 256);
    path_is("tile/0/005", false, 0, 5, 256);
    path_is("tile/0/999.p/1", false, 0, 999, 1);
    path_is("tile/1/x001/000", false, 1, 1000, 256);
    path_is("tile/63/x001/x234/067.p/255", false, 63, 1234067, 255);
    path_is("tile/entries/x999/999", true, 0, 999999, 256);
    path_is("tile/entries/x001/x000/000.p/10", true, 0, 1000000, 10);
    path_is("tile/7/x018/x446/x744/x073/x709/x551/615", false, 7, UINT64_MAX, 256);
    path_is("tile/entries/x018/x446/x744/x073/x709/x551/615.p/255", true, 0, UINT64_MAX, 255);
    static const char *const BAD[] = {
        "", "tile", "tile/", "tile/0", "tile/0/", "tile/0/0", "tile/0/00", "tile/0/0000", "tile/0/000/", "/tile/0/000", "tile//000",
        "tile/00/000", "tile/01/000", "tile/64/000", "tile/100/000", "tile/-1/000", "tile/+1/000", "tile/a/000", "tile/8/0/000",
        "tile/0/x000/001", "tile/0/x000/x001/000", "tile/0/x001", "tile/0/001/000", "tile/0/X001/000", "tile/0/x01/000",
        "tile/0/x001/x000", "tile/0/000.p", "tile/0/000.p/", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01",
        "tile/0/000.p/1000", "tile/0/000.p/1/", "tile/0/000.P/1", "tile/0/000.p/1 ", "tile/entries", "tile/entries/", "tile/entries/0",
        "tile/entriesx/000", "tile/data/000", "tile/0/ 00", "tile/0/0x0", "tile/7/x018/x446/x744/x073/x709/x551/616",
        "tile/7/x999/x999/x999/x999/x999/x999/999", "tile/7/x001/x000/x000/x000/x000/x000/x000/000", "tile/0/000\n",
    };
    struct tile t;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        if (tile_path_parse(span_str(BAD[i]), &t)) {
            fprintf(stderr, "\"%s\" is taken for a tile\n", BAD[i]);
            exit(CHECK_EXIT_FAILED);
        }
    CHECK(!tile_path_parse(span_of("tile/0/000\0", 11), &t));
    CHECK(!tile_path_parse(SPAN_NONE, &t));
}

TEST(every_index_has_one_path)
{
    char path[TILE_PATH_MAX];
    struct tile back;
    for (uint64_t i = 0; i < 20000; i++) {
        const struct tile t = {.level = (unsigned)(i % 64), .index = i * i * 7 + i, .width = (unsigned)(i % 256) + 1};
        CHECK(tile_path_parse(span_of(path, tile_path(&t, path)), &back));
        CHECK(back.level == t.level && back.index == t.index && back.width == t.width && !back.entries);
    }
}

/* Of each size: how many tiles a level has, that all but the last are full, and that the last has what is left. */
TEST(widths)
{
    for (uint64_t size = 0; size <= LEAVES; size++) {
        uint64_t units = size;
        for (unsigned level = 0; level < 4; level++, units /= 256) {
            uint64_t full = units / 256, rest = units % 256;
            CHECK(tile_count(size, level) == full + (rest > 0));
            CHECK_EQ_INT(tile_width(size, level, full), rest);
            CHECK_EQ_INT(tile_width(size, level, full + 1), 0);
            if (full > 0) {
                CHECK_EQ_INT(tile_width(size, level, full - 1), 256);
                CHECK_EQ_INT(tile_width(size, level, 0), 256);
            }
            const struct tile last = {.level = level, .index = full, .width = (unsigned)rest},
                              more = {.level = level, .index = full, .width = (unsigned)rest + 1};
            CHECK(tile_exists(&last, size) == (rest > 0));
            CHECK(!tile_exists(&more, size));
        }
    }
    CHECK_EQ_INT(tile_width(70000, 0, 273), 112);
    CHECK_EQ_INT(tile_width(70000, 1, 1), 17);
    CHECK_EQ_INT(tile_width(70000, 2, 0), 1);
    CHECK_EQ_INT(tile_width(256, 1, 0), 1);
    CHECK_EQ_INT(tile_width(UINT64_MAX, 7, 0), 255);
    CHECK_EQ_INT(tile_width(UINT64_MAX, 8, 0), 0);
    CHECK_EQ_INT(tile_width(UINT64_MAX, 63, 0), 0);
    CHECK_EQ_INT(tile_width(UINT64_MAX, 0, UINT64_MAX), 0);
    CHECK_EQ_INT(tile_width(UINT64_MAX, 0, UINT64_MAX / 256), 255);
}

/* ---- contents ---- */

struct world {
    struct crypto *c;
    struct kv_mem *mem;
    struct kv kv;
    struct merkle_store tree;
    struct hash *leaves;
};

static void leaf_of(struct crypto *c, uint64_t i, struct hash *out)
{
    uint8_t data[8];
    for (unsigned b = 0; b < 8; b++)
        data[b] = (uint8_t)(i >> (8 * b));
    merkle_leaf(c, span_of(data, 8), out);
}

static void world_init(struct world *w, size_t n)
{
    w->c = crypto_new();
    w->mem = kv_mem_new(NULL, (size_t)1 << 30);
    w->leaves = malloc(n * sizeof *w->leaves);
    CHECK(w->c && w->mem && w->leaves);
    w->kv = kv_mem_kv(w->mem);
    w->tree = kv_tree(&w->kv);
    struct frontier edge = {.size = 0};
    for (size_t i = 0; i < n; i++) {
        leaf_of(w->c, i, &w->leaves[i]);
        CHECK(merkle_append(w->c, &w->tree, &edge, &w->leaves[i]));
    }
}

static void world_fini(struct world *w)
{
    free(w->leaves);
    kv_mem_free(w->mem);
    crypto_free(w->c);
}

/* Row by row, as on paper. */
static void naive(struct crypto *c, const struct hash *leaves, size_t n, struct hash *out)
{
    struct hash *row = malloc(n * sizeof *row);
    CHECK(row && (n & (n - 1)) == 0);
    memcpy(row, leaves, n * sizeof *row);
    for (; n > 1; n /= 2)
        for (size_t i = 0; i < n / 2; i++)
            merkle_node(c, &row[2 * i], &row[2 * i + 1], &row[i]);
    *out = row[0];
    free(row);
}

static void tile_holds(struct world *w, const struct tile *t)
{
    struct hash have[TILE_WIDTH], want;
    size_t unit = (size_t)1 << (8 * t->level);
    CHECK(tile_hashes(&w->tree, t, have));
    for (unsigned i = 0; i < t->width; i++) {
        naive(w->c, w->leaves + (t->index * 256 + i) * unit, unit, &want);
        CHECK_EQ_MEM(have[i].b, want.b, HASH_LEN);
    }
}

TEST(contents)
{
    struct world w;
    struct hash none[TILE_WIDTH];
    world_init(&w, LEAVES);
    for (unsigned level = 0; level < 3; level++)
        for (uint64_t index = 0; index < tile_count(LEAVES, level); index++)
            tile_holds(&w, &(struct tile){.level = level, .index = index, .width = tile_width(LEAVES, level, index)});
    CHECK(!tile_hashes(&w.tree, &(struct tile){.index = 273, .width = 113}, none));
    CHECK(!tile_hashes(&w.tree, &(struct tile){.level = 8, .width = 1}, none));
    world_fini(&w);
}

static bool checks(struct world *w, const struct tile *t, uint64_t size, const struct hash *hashes)
{
    struct tile_root root = {.size = size};
    CHECK(merkle_root(w->c, &w->tree, size, &root.root));
    return tile_check(w->c, &w->tree, t, hashes, &root);
}

/* Every tile of a size passes under that size's root and under later ones; with any hash altered, or at another place, none does. */
static void check_size(struct world *w, uint64_t size, uint64_t later, unsigned bit)
{
    struct hash hashes[TILE_WIDTH];
    for (unsigned level = 0; level < 3; level++) {
        uint64_t last = tile_count(size, level);
        if (last == 0)
            continue;
        struct tile t = {.level = level, .index = last - 1, .width = tile_width(size, level, last - 1)};
        CHECK(tile_hashes(&w->tree, &t, hashes));
        CHECK(checks(w, &t, size, hashes) && checks(w, &t, later, hashes));
        hashes[bit % t.width].b[bit % HASH_LEN] ^= (uint8_t)(1u << bit % 8);
        CHECK(!checks(w, &t, size, hashes));
        hashes[bit % t.width].b[bit % HASH_LEN] ^= (uint8_t)(1u << bit % 8);
        struct tile elsewhere = t;
        elsewhere.index ^= 1;
        CHECK(!checks(w, &elsewhere, later, hashes));
        elsewhere = t;
        elsewhere.level++;
        CHECK(!checks(w, &elsewhere, later, hashes));
        elsewhere = t;
        elsewhere.width++;
        CHECK(elsewhere.width > TILE_WIDTH || !checks(w, &elsewhere, size, hashes));
    }
}

TEST(checking)
{
    struct world w;
    world_init(&w, LEAVES);
    for (uint64_t size = 1; size < 600; size++)
        check_size(&w, size, size + size % 7, (unsigned)(size * 31));
    for (uint64_t size = 600; size <= LEAVES; size += 241)
        check_size(&w, size, LEAVES, (unsigned)size);
    for (uint64_t size = 65530; size < 65800; size += 3)
        check_size(&w, size, LEAVES, (unsigned)size);
    check_size(&w, LEAVES, LEAVES, 5);
    world_fini(&w);
}

/* ---- the edge ---- */

struct grown {
    struct world *w;
    uint64_t full[TILE_LEVELS];
    uint64_t at;
    unsigned level_before;
};

static bool on_full(void *ctx, const struct tile *t, const struct hash *hashes)
{
    struct grown *g = ctx;
    struct hash want[TILE_WIDTH];
    CHECK(t->width == TILE_WIDTH && !t->entries && t->index == g->full[t->level]);
    CHECK(t->level < g->level_before);
    g->level_before = t->level;
    g->full[t->level]++;
    CHECK(tile_hashes(&g->w->tree, t, want));
    CHECK_EQ_MEM(hashes, want, sizeof want);
    return true;
}

static bool decline(void *ctx, const struct tile *t, const struct hash *hashes)
{
    (void)ctx, (void)t, (void)hashes;
    return false;
}

TEST(edge)
{
    static struct tile_edge e;
    struct world w;
    struct grown g = {.w = &w};
    struct frontier f = {.size = 0}, same;
    world_init(&w, LEAVES);
    for (uint64_t i = 0; i < LEAVES; i++) {
        struct hash root, want;
        g.level_before = TILE_LEVELS;
        CHECK(tile_edge_append(w.c, &e, &w.leaves[i], on_full, &g));
        frontier_append(w.c, &f, &w.leaves[i]);
        if (i > 600 && i % 509 && i < LEAVES - 1)
            continue;
        tile_edge_frontier(w.c, &e, &same);
        CHECK(same.size == f.size);
        CHECK_EQ_MEM(same.peaks, f.peaks, frontier_peaks(&f) * HASH_LEN);
        tile_edge_root(w.c, &e, &root);
        CHECK(merkle_root(w.c, &w.tree, i + 1, &want));
        CHECK_EQ_MEM(root.b, want.b, HASH_LEN);
    }
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        struct hash hashes[TILE_WIDTH];
        const struct tile t = {.level = level, .index = g.full[level], .width = tile_edge_width(&e, level)};
        CHECK(g.full[level] == (uint64_t)LEAVES >> (8 * level) >> 8);
        CHECK_EQ_INT(t.width, tile_width(LEAVES, level, t.index));
        CHECK(tile_hashes(&w.tree, &t, hashes));
        CHECK_EQ_MEM(e.hashes[level], hashes, t.width * HASH_LEN);
    }
    e = (struct tile_edge){.size = 0};
    for (uint64_t i = 0; i < 255; i++)
        CHECK(tile_edge_append(w.c, &e, &w.leaves[i], decline, NULL));
    CHECK(!tile_edge_append(w.c, &e, &w.leaves[255], decline, NULL));
    world_fini(&w);
}

/* ---- bundles ---- */

TEST(bundles)
{
    static uint8_t big[65536];
    struct arena *a = arena_new(1u << 20);
    struct wbuf w;
    CHECK(a);
    wbuf_init(&w, a);
    CHECK(tile_bundle_add(&w, SPAN_LIT("one")) && tile_bundle_add(&w, span_of(big, 0)) && tile_bundle_add(&w, span_of(big, 65535)));
    CHECK(!tile_bundle_add(&w, span_of(big, 65536)));
    struct span rest = wbuf_span(&w), entry;
    CHECK_EQ_INT(rest.n, 2 + 3 + 2 + 2 + 65535);
    CHECK(tile_bundle_next(&rest, &entry) && span_eq(entry, SPAN_LIT("one")));
    CHECK(tile_bundle_next(&rest, &entry) && entry.n == 0);
    CHECK(tile_bundle_next(&rest, &entry) && entry.n == 65535 && rest.n == 0);
    CHECK(!tile_bundle_next(&rest, &entry) && rest.n == 0);
    rest = SPAN_LIT("\0\3on");
    CHECK(!tile_bundle_next(&rest, &entry) && rest.n == 4);
    rest = SPAN_LIT("\0");
    CHECK(!tile_bundle_next(&rest, &entry) && rest.n == 1);
    arena_free(a);
}

/* ---- a log that Tessera has made: 15 entries, a checkpoint of each size ---- */

static struct span log_file(const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "vectors/tessera-log/%s", name);
    return vectors_file(path);
}

static void log_size(struct crypto *c, struct arena *a, uint64_t size, const struct note_key *key)
{
    static struct tile_edge e;
    char name[TILE_PATH_MAX];
    struct note note;
    struct checkpoint cp;
    struct hash root;
    uint64_t matched = 0;
    snprintf(name, sizeof name, "checkpoint.%u", (unsigned)size);
    CHECK_EQ_INT(note_parse(a, log_file(name), &note, NULL), LEDGER_OK);
    CHECK(note_verify(c, a, &note, key, 1, &matched, NULL) && matched == 1);
    CHECK_EQ_INT(checkpoint_parse(note.text, &cp, NULL), LEDGER_OK);
    CHECK(cp.size == size);
    e = (struct tile_edge){.size = 0};
    if (size > 0) {
        struct tile t = {.entries = true, .width = (unsigned)size};
        tile_path(&t, name);
        struct span rest = log_file(name), entry;
        t.entries = false;
        tile_path(&t, name);
        struct span hashes = log_file(name);
        CHECK_EQ_INT(hashes.n, size * HASH_LEN);
        while (tile_bundle_next(&rest, &entry)) {
            struct hash leaf;
            merkle_leaf(c, entry, &leaf);
            CHECK(e.size < size && memcmp(leaf.b, hashes.p + e.size * HASH_LEN, HASH_LEN) == 0);
            CHECK(tile_edge_append(c, &e, &leaf, NULL, NULL));
        }
        CHECK_EQ_INT(rest.n, 0);
    }
    CHECK(e.size == size);
    tile_edge_root(c, &e, &root);
    CHECK_EQ_MEM(root.b, cp.root.b, HASH_LEN);
}

TEST(another_programs_log)
{
    struct crypto *c = crypto_new();
    struct arena *a = arena_new(8u << 20);
    struct note_key key;
    struct span vkey = log_file("VKEY");
    while (vkey.n && vkey.p[vkey.n - 1] == '\n')
        vkey.n--;
    CHECK(c && a);
    CHECK_EQ_INT(note_key_parse(c, vkey, &key, NULL), LEDGER_OK);
    for (uint64_t size = 0; size <= 15; size++) {
        if (size == 0 && !check_shared("vectors/tessera-log/checkpoint.0"))
            continue;
        log_size(c, a, size, &key);
    }
    arena_free(a);
    crypto_free(c);
}

TEST_MAIN(TEST_ENTRY(paths), TEST_ENTRY(every_index_has_one_path), TEST_ENTRY(widths), TEST_ENTRY(contents), TEST_ENTRY(checking),
          TEST_ENTRY(edge), TEST_ENTRY(bundles), TEST_ENTRY(another_programs_log))
