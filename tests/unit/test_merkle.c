/* SPDX-License-Identifier: Apache-2.0 */
/* The Merkle tree against RFC 6962 vectors, against a naive computation, and against altered
 * proofs. */
#include "merkle.h"

#include "check.h"
#include "vectors.h"

enum { LEAVES = 70, LEVELS = 8, WIDTH = 128 };

struct memory {
    struct hash h[LEVELS][WIDTH];
    bool have[LEVELS][WIDTH];
};

static bool memory_get(void *ctx, unsigned level, uint64_t index, unsigned n, struct hash *out)
{
    struct memory *m = ctx;
    CHECK(level % MERKLE_STEP == 0 && n > 0 && index / MERKLE_ROW == (index + n - 1) / MERKLE_ROW);
    for (unsigned i = 0; i < n; i++) {
        if (level >= LEVELS || index + i >= WIDTH || !m->have[level][index + i])
            return false;
        out[i] = m->h[level][index + i];
    }
    return true;
}

static bool memory_put(void *ctx, unsigned level, uint64_t index, const struct hash *h)
{
    struct memory *m = ctx;
    if (level >= LEVELS || index >= WIDTH)
        return false;
    CHECK(level % MERKLE_STEP == 0 && !m->have[level][index]);
    m->have[level][index] = true;
    m->h[level][index] = *h;
    return true;
}

struct tree {
    struct crypto *c;
    struct memory memory;
    struct merkle_store store;
    struct frontier edge;
    struct hash leaves[LEAVES];
    struct hash roots[LEAVES + 1]; /* computed naively */
};

/* Level by level, a last node without a sibling moving up: another way to the same tree. */
static struct hash naive_root(struct crypto *c, const struct hash *leaves, size_t n)
{
    struct hash row[LEAVES];
    struct hash out;
    merkle_empty(c, &out);
    if (n == 0)
        return out;
    memcpy(row, leaves, n * sizeof *row);
    while (n > 1) {
        size_t up = 0;
        for (size_t i = 0; i < n; i += 2, up++) {
            if (i + 1 == n)
                row[up] = row[i];
            else
                merkle_node(c, &row[i], &row[i + 1], &row[up]);
        }
        n = up;
    }
    return row[0];
}

static struct tree *tree_new(void)
{
    struct tree *t = calloc(1, sizeof *t);
    CHECK(t && (t->c = crypto_new()));
    t->store = (struct merkle_store){&t->memory, memory_get, memory_put};
    for (size_t i = 0; i < LEAVES; i++) {
        uint8_t data = (uint8_t)i;
        merkle_leaf(t->c, span_of(&data, 1), &t->leaves[i]);
        CHECK(merkle_append(t->c, &t->store, &t->edge, &t->leaves[i]));
    }
    for (size_t n = 0; n <= LEAVES; n++)
        t->roots[n] = naive_root(t->c, t->leaves, n);
    return t;
}

static void tree_free(struct tree *t)
{
    crypto_free(t->c);
    free(t);
}

static const char *const RFC_LEAVES[8] = {"-",
                                          "00",
                                          "10",
                                          "2021",
                                          "3031",
                                          "40414243",
                                          "5051525354555657",
                                          "606162636465666768696a6b6c6d6e6f"};
static const char *const RFC_ROOTS[9] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
#define HASH_5_SIBLING "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
#define HASH_6_8 "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
#define HASH_0_4 "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
#define HASH_4_6 "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
#define HASH_4_8 "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"

static void check_path(const struct merkle_path *path, const char *const *want, size_t n)
{
    CHECK_EQ_INT(path->n, n);
    for (size_t i = 0; i < n; i++) {
        struct hash h = vectors_hash(want[i]);
        CHECK_EQ_MEM(path->h[i].b, h.b, HASH_LEN);
    }
}

TEST(known_tree)
{
    struct crypto *c = crypto_new();
    struct memory *m = calloc(1, sizeof *m);
    CHECK(c && m);
    struct merkle_store s = {m, memory_get, memory_put};
    struct frontier f = {.size = 0}, edge = {.size = 0};
    struct hash root, leaf;
    for (size_t i = 0; i <= 8; i++) {
        struct hash want = vectors_hash(RFC_ROOTS[i]);
        CHECK(merkle_root(c, &s, i, &root));
        CHECK_EQ_MEM(root.b, want.b, HASH_LEN);
        frontier_root(c, &f, &root);
        CHECK_EQ_MEM(root.b, want.b, HASH_LEN);
        if (i == 8)
            break;
        merkle_leaf(c, vectors_hex(RFC_LEAVES[i]), &leaf);
        CHECK(merkle_append(c, &s, &edge, &leaf));
        frontier_append(c, &f, &leaf);
    }
    struct merkle_path p;
    CHECK(merkle_inclusion(c, &s, 5, 8, &p));
    check_path(&p, (const char *[]){HASH_5_SIBLING, HASH_6_8, HASH_0_4}, 3);
    CHECK(merkle_inclusion(c, &s, 6, 7, &p));
    check_path(&p, (const char *[]){HASH_4_6, HASH_0_4}, 2);
    CHECK(merkle_consistency(c, &s, 3, 8, &p));
    check_path(&p,
               (const char *[]){"0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7",
                                "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7",
                                RFC_ROOTS[2], HASH_4_8},
               4);
    CHECK(merkle_consistency(c, &s, 4, 8, &p));
    check_path(&p, (const char *[]){HASH_4_8}, 1);
    CHECK(merkle_consistency(c, &s, 6, 8, &p));
    check_path(&p, (const char *[]){HASH_4_6, HASH_6_8, HASH_0_4}, 3);
    free(m);
    crypto_free(c);
}

TEST(roots_equal_naive)
{
    struct tree *t = tree_new();
    struct frontier f = {.size = 0};
    for (size_t n = 0; n <= LEAVES; n++) {
        struct hash root;
        CHECK(merkle_root(t->c, &t->store, n, &root));
        CHECK_EQ_MEM(root.b, t->roots[n].b, HASH_LEN);
        frontier_root(t->c, &f, &root);
        CHECK_EQ_MEM(root.b, t->roots[n].b, HASH_LEN);
        CHECK_EQ_INT(frontier_peaks(&f), __builtin_popcountll(n));
        CHECK(merkle_root_of(t->c, t->leaves, n, &root));
        CHECK_EQ_MEM(root.b, t->roots[n].b, HASH_LEN);
        if (n < LEAVES)
            frontier_append(t->c, &f, &t->leaves[n]);
    }
    struct hash root;
    CHECK(!merkle_root(t->c, &t->store, LEAVES + 1, &root));
    tree_free(t);
}

static bool included(struct tree *t, uint64_t index, uint64_t size, const struct hash *leaf,
                     const struct merkle_path *p, const struct hash *root)
{
    return merkle_verify_inclusion(t->c, index, size, leaf, p->h, p->n, root);
}

static void altered_inclusions(struct tree *t, uint64_t index, uint64_t size, struct merkle_path *p)
{
    struct hash *root = &t->roots[size];
    struct hash leaf = t->leaves[index];
    for (uint64_t other = 0; other < size + 3; other++)
        CHECK(other == index || !included(t, other, size, &leaf, p, root));
    for (uint64_t n = 0; n <= LEAVES; n++)
        CHECK(n == size || !included(t, index, size, &leaf, p, &t->roots[n]));
    leaf.b[index % HASH_LEN] ^= 1;
    CHECK(!included(t, index, size, &leaf, p, root));
    leaf = t->leaves[index];
    for (size_t i = 0; i < p->n; i++) {
        p->h[i].b[(i + index) % HASH_LEN] ^= (uint8_t)(1 << size % 8);
        CHECK(!included(t, index, size, &leaf, p, root));
        p->h[i].b[(i + index) % HASH_LEN] ^= (uint8_t)(1 << size % 8);
    }
    if (p->n) {
        p->n--;
        CHECK(!included(t, index, size, &leaf, p, root));
        p->n++;
        CHECK(!merkle_verify_inclusion(t->c, index, size, &leaf, p->h + 1, p->n - 1, root));
    }
    /* A path that is too long, also when the root was made to fit it. */
    struct hash forged;
    p->h[p->n++] = t->leaves[0];
    CHECK(!included(t, index, size, &leaf, p, root));
    merkle_node(t->c, &t->leaves[0], root, &forged);
    CHECK(!included(t, index, size, &leaf, p, &forged));
    merkle_node(t->c, root, &t->leaves[0], &forged);
    CHECK(!included(t, index, size, &leaf, p, &forged));
    p->n--;
}

TEST(every_inclusion)
{
    struct tree *t = tree_new();
    struct arena *a = arena_new(1 << 16);
    struct merkle_path p, q;
    for (uint64_t size = 1; size <= LEAVES; size++) {
        for (uint64_t index = 0; index < size; index++) {
            CHECK(merkle_inclusion(t->c, &t->store, index, size, &p));
            CHECK(merkle_path_of(t->c, a, t->leaves, size, index, &q));
            CHECK_EQ_INT(p.n, q.n);
            CHECK_EQ_MEM(p.h, q.h, p.n * sizeof *p.h);
            CHECK(included(t, index, size, &t->leaves[index], &p, &t->roots[size]));
            struct hash root;
            CHECK(merkle_root_from_path(t->c, index, size, &t->leaves[index], p.h, p.n, &root));
            CHECK_EQ_MEM(root.b, t->roots[size].b, HASH_LEN);
            altered_inclusions(t, index, size, &p);
        }
        CHECK(!merkle_inclusion(t->c, &t->store, size, size, &p));
        CHECK(!merkle_path_of(t->c, a, t->leaves, size, size, &q));
    }
    CHECK(!merkle_inclusion(t->c, &t->store, 0, 0, &p));
    CHECK(!merkle_inclusion(t->c, &t->store, 0, LEAVES + 1, &p));
    arena_free(a);
    tree_free(t);
}

/* An inclusion path fixes the tree up to its leaf, too: whoever proves the one has proven the other. */
TEST(every_beginning)
{
    struct tree *t = tree_new();
    struct merkle_path p;
    struct frontier f;
    struct hash root;
    for (uint64_t size = 1; size <= LEAVES; size++) {
        for (uint64_t index = 0; index < size; index++) {
            CHECK(merkle_inclusion(t->c, &t->store, index, size, &p));
            const struct span path = span_of(p.h[0].b, p.n * HASH_LEN);
            CHECK(frontier_from_path(t->c, index, size, &t->leaves[index], path, &f));
            CHECK_EQ_INT(f.size, index + 1);
            frontier_root(t->c, &f, &root);
            CHECK_EQ_MEM(root.b, t->roots[index + 1].b, HASH_LEN);
            CHECK(!p.n || !frontier_from_path(t->c, index, size, &t->leaves[index], span_of(path.p, path.n - HASH_LEN), &f));
        }
        CHECK(!frontier_from_path(t->c, size, size, &t->leaves[0], SPAN_NONE, &f));
    }
    tree_free(t);
}

static bool consistent(struct tree *t, uint64_t m, uint64_t n, const struct merkle_path *p)
{
    return merkle_verify_consistency(t->c, m, n, &t->roots[m], &t->roots[n], p->h, p->n);
}

static void altered_consistencies(struct tree *t, uint64_t m, uint64_t n, struct merkle_path *p)
{
    struct hash bad1 = t->roots[m], bad2 = t->roots[n];
    bad1.b[m % HASH_LEN] ^= 0x80;
    bad2.b[n % HASH_LEN] ^= 0x80;
    CHECK(!merkle_verify_consistency(t->c, m, n, &bad1, &t->roots[n], p->h, p->n));
    CHECK(!merkle_verify_consistency(t->c, m, n, &t->roots[m], &bad2, p->h, p->n));
    CHECK(m == n || !merkle_verify_consistency(t->c, m, n, &t->roots[n], &t->roots[m], p->h, p->n));
    for (uint64_t other = 0; other <= LEAVES; other++) {
        CHECK(other == m || !consistent(t, other, n, p));
        CHECK(other == n || !consistent(t, m, other, p));
    }
    for (size_t i = 0; i < p->n; i++) {
        p->h[i].b[(m + n) % HASH_LEN] ^= 4;
        CHECK(!consistent(t, m, n, p));
        p->h[i].b[(m + n) % HASH_LEN] ^= 4;
    }
    if (p->n) {
        p->n--;
        CHECK(!consistent(t, m, n, p));
        p->n++;
    }
    /* A path that is too long, also when the roots were made to fit it. */
    p->h[p->n++] = t->leaves[0];
    CHECK(!consistent(t, m, n, p));
    merkle_node(t->c, &t->leaves[0], &t->roots[m], &bad1);
    merkle_node(t->c, &t->leaves[0], &t->roots[n], &bad2);
    CHECK(!merkle_verify_consistency(t->c, m, n, &bad1, &bad2, p->h, p->n));
    p->n--;
}

TEST(every_consistency)
{
    struct tree *t = tree_new();
    struct merkle_path p;
    for (uint64_t n = 1; n <= LEAVES; n++) {
        for (uint64_t m = 1; m <= n; m++) {
            CHECK(merkle_consistency(t->c, &t->store, m, n, &p));
            CHECK(m != n || p.n == 0);
            CHECK(consistent(t, m, n, &p));
            altered_consistencies(t, m, n, &p);
        }
        CHECK(!merkle_consistency(t->c, &t->store, 0, n, &p));
        CHECK(!merkle_consistency(t->c, &t->store, n + 1, n, &p));
        p.n = 0;
        CHECK(!consistent(t, 0, n, &p));
    }
    CHECK(!merkle_consistency(t->c, &t->store, 0, 0, &p));
    p.n = 0;
    CHECK(!consistent(t, 0, 0, &p));
    tree_free(t);
}

/* Every perfect subtree that a proof needs is needed: without it there is no proof, and no wrong
 * one. */
TEST(every_edge)
{
    struct tree *t = tree_new();
    struct arena *a = arena_new(1 << 16), *none = arena_new(64);
    struct merkle_path p, q;
    struct merkle_edge e;
    struct frontier before;
    CHECK(a && none);
    for (uint64_t size = 1; size <= LEAVES; size++)
        for (uint64_t first = 0; first < size; first++) {
            arena_reset(a);
            CHECK(frontier_from_store(t->c, &t->store, first, &before));
            CHECK_EQ_INT(merkle_edge_make(t->c, a, &t->store, &before, size, &e), LEDGER_OK);
            CHECK_EQ_MEM(merkle_edge_root(&e)->b, t->roots[size].b, HASH_LEN);
            for (uint64_t index = first; index < size; index++) {
                CHECK_EQ_MEM(merkle_edge_leaf(&e, index)->b, t->leaves[index].b, HASH_LEN);
                CHECK(merkle_inclusion(t->c, &t->store, index, size, &p));
                merkle_edge_path(&e, index, &q);
                CHECK_EQ_INT(p.n, q.n);
                CHECK_EQ_MEM(p.h, q.h, p.n * sizeof *p.h);
            }
        }
    CHECK(frontier_from_store(t->c, &t->store, 5, &before));
    CHECK_EQ_INT(merkle_edge_make(t->c, a, &t->store, &before, 5, &e), LEDGER_EINVAL);
    CHECK_EQ_INT(merkle_edge_make(t->c, none, &t->store, &before, LEAVES, &e), LEDGER_ENOMEM);
    CHECK_EQ_INT(merkle_edge_make(t->c, a, &t->store, &before, LEAVES + 1, &e), LEDGER_ENOTFOUND); /* no such leaf */
    t->memory.have[4][0] = false; /* left of the edge, where only the peaks are needed */
    CHECK_EQ_INT(merkle_edge_make(t->c, a, &t->store, &before, LEAVES, &e), LEDGER_OK);
    CHECK(!frontier_from_store(t->c, &t->store, 20, &before));
    arena_free(none);
    arena_free(a);
    tree_free(t);
}

static bool refuse_put(void *ctx, unsigned level, uint64_t index, const struct hash *h)
{
    (void)ctx, (void)level, (void)index, (void)h;
    return false;
}

TEST(store_with_holes)
{
    struct tree *t = tree_new();
    struct merkle_path p;
    struct hash root;
    for (unsigned level = 0; level < LEVELS; level++) {
        for (size_t i = 0; i < WIDTH; i++) {
            if (!t->memory.have[level][i])
                continue;
            t->memory.have[level][i] = false;
            CHECK(!merkle_root(t->c, &t->store, LEAVES, &root) ||
                  hash_eq(&root, &t->roots[LEAVES]));
            if (merkle_inclusion(t->c, &t->store, 37, LEAVES, &p))
                CHECK(included(t, 37, LEAVES, &t->leaves[37], &p, &t->roots[LEAVES]));
            if (merkle_consistency(t->c, &t->store, 37, LEAVES, &p))
                CHECK(consistent(t, 37, LEAVES, &p));
            t->memory.have[level][i] = true;
        }
    }
    t->memory.have[0][66] = false;
    CHECK(!merkle_root(t->c, &t->store, 68, &root));
    CHECK(!frontier_from_store(t->c, &t->store, 68, &t->edge));
    t->memory.have[0][66] = true;
    CHECK(frontier_from_store(t->c, &t->store, 68, &t->edge));
    for (size_t i = 64; i < LEAVES; i++)
        t->memory.have[0][i] = false;
    CHECK(merkle_append(t->c, &t->store, &t->edge, &t->leaves[68])); /* by the edge alone */
    frontier_root(t->c, &t->edge, &root);
    CHECK_EQ_MEM(root.b, t->roots[69].b, HASH_LEN);
    const struct frontier before = t->edge;
    t->store.put = refuse_put;
    CHECK(!merkle_append(t->c, &t->store, &t->edge, &t->leaves[69]));
    CHECK_EQ_MEM(&before, &t->edge, sizeof before);
    t->edge.size = UINT64_MAX;
    CHECK(!merkle_append(t->c, &t->store, &t->edge, &t->leaves[69]));
    tree_free(t);
}

/* A tree of equal leaves has one hash for each level, so that trees of any size fit in memory. */
struct uniform {
    struct hash level[64];
};

static bool uniform_get(void *ctx, unsigned level, uint64_t index, unsigned n, struct hash *out)
{
    const struct uniform *u = ctx;
    CHECK(level < 64 && (level == 0 || index < UINT64_C(1) << (64 - level)));
    for (unsigned i = 0; i < n; i++)
        out[i] = u->level[level];
    return true;
}

TEST(huge_trees)
{
    static const uint64_t sizes[] = {
        UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1,      (UINT64_C(1) << 62) - 1,
        UINT64_C(1) << 62, UINT64_C(0x5555555555555555), (UINT64_C(1) << 63) - 1,
        UINT64_C(1) << 63, (UINT64_C(1) << 63) + 1,      UINT64_MAX - 1,
        UINT64_MAX};
    const size_t n_sizes = sizeof sizes / sizeof sizes[0];
    struct crypto *c = crypto_new();
    struct uniform u;
    struct merkle_store s = {&u, uniform_get, NULL};
    struct merkle_path p;
    struct hash root, root2;
    merkle_leaf(c, SPAN_LIT("x"), &u.level[0]);
    for (size_t i = 1; i < 64; i++)
        merkle_node(c, &u.level[i - 1], &u.level[i - 1], &u.level[i]);
    for (size_t i = 0; i < n_sizes; i++) {
        const uint64_t n = sizes[i];
        const uint64_t indexes[] = {0, 1, n / 3, n / 2, n - 2, n - 1};
        CHECK(merkle_root(c, &s, n, &root));
        for (size_t k = 0; k < 6; k++) {
            CHECK(merkle_inclusion(c, &s, indexes[k], n, &p));
            CHECK(merkle_verify_inclusion(c, indexes[k], n, &u.level[0], p.h, p.n, &root));
            CHECK(!merkle_verify_inclusion(c, indexes[k], n, &u.level[1], p.h, p.n, &root));
            CHECK(!p.n ||
                  !merkle_verify_inclusion(c, indexes[k], n, &u.level[0], p.h, p.n - 1, &root));
        }
        for (size_t k = 0; k <= i; k++) {
            CHECK(merkle_root(c, &s, sizes[k], &root2));
            /* Above 2^63 leaves a proof can need 65 hashes. */
            if (!merkle_consistency(c, &s, sizes[k], n, &p)) {
                CHECK(n > UINT64_C(1) << 63);
                continue;
            }
            CHECK(merkle_verify_consistency(c, sizes[k], n, &root2, &root, p.h, p.n));
            CHECK(k == i || !merkle_verify_consistency(c, sizes[k], n, &root, &root2, p.h, p.n));
        }
    }
    crypto_free(c);
}

/*
 * The shared vectors are read from JSON, where a proof of one empty hash differs from an empty
 * proof. Some hashes there are not 32 bytes long. Our verifier cannot be given such: shorter ones
 * are filled up with zeros, so that the verdict is still the verifier's; longer ones count as
 * refused.
 */
static bool json_hash(yajl_val v, struct hash *out)
{
    size_t n;
    *out = HASH_ZERO;
    if (!v || !YAJL_IS_STRING(v))
        return true;
    return b64_decode(span_str(YAJL_GET_STRING(v)), out->b, HASH_LEN, &n);
}

static bool json_path(yajl_val v, struct merkle_path *out)
{
    out->n = 0;
    for (size_t i = 0; i < json_length(v); i++)
        if (i == MERKLE_PATH_MAX || !json_hash(json_at(v, i), &out->h[out->n++]))
            return false;
    return true;
}

static uint64_t json_u64(yajl_val v, const char *name)
{
    return strtoull(YAJL_GET_NUMBER(json_member(v, name)), NULL, 10);
}

static bool vector_inclusion(struct crypto *c, yajl_val v)
{
    struct hash root, leaf;
    struct merkle_path p;
    return json_hash(json_member(v, "root"), &root) &&
           json_hash(json_member(v, "leafHash"), &leaf) && json_path(json_member(v, "proof"), &p) &&
           merkle_verify_inclusion(c, json_u64(v, "leafIdx"), json_u64(v, "treeSize"), &leaf, p.h,
                                   p.n, &root);
}

static bool vector_consistency(struct crypto *c, yajl_val v)
{
    struct hash root1, root2;
    struct merkle_path p;
    return json_hash(json_member(v, "root1"), &root1) &&
           json_hash(json_member(v, "root2"), &root2) && json_path(json_member(v, "proof"), &p) &&
           merkle_verify_consistency(c, json_u64(v, "size1"), json_u64(v, "size2"), &root1, &root2,
                                     p.h, p.n);
}

static void shared_vectors(const char *file, bool (*verify)(struct crypto *, yajl_val))
{
    yajl_val all = vectors_json(file);
    struct crypto *c = crypto_new();
    size_t good = 0;
    for (size_t i = 0; i < json_length(all); i++) {
        yajl_val v = json_at(all, i);
        bool ok = verify(c, v);
        good += ok;
        bool want = YAJL_IS_FALSE(json_member(v, "wantErr"));
        if (ok != want)
            fprintf(stderr, "vector %zu of %s\n", i, file);
        CHECK_EQ_INT(ok, want);
    }
    CHECK_EQ_INT(good, 4);
    CHECK_EQ_INT(json_length(all), 59);
    yajl_tree_free(all);
    crypto_free(c);
}

TEST(shared_inclusion)
{
    shared_vectors("vectors/merkle/inclusion.json", vector_inclusion);
}

TEST(shared_consistency)
{
    shared_vectors("vectors/merkle/consistency.json", vector_consistency);
}

TEST_MAIN(TEST_ENTRY(known_tree), TEST_ENTRY(roots_equal_naive), TEST_ENTRY(every_inclusion), TEST_ENTRY(every_beginning), TEST_ENTRY(every_edge),
          TEST_ENTRY(every_consistency), TEST_ENTRY(store_with_holes), TEST_ENTRY(huge_trees),
          TEST_ENTRY(shared_inclusion), TEST_ENTRY(shared_consistency))
