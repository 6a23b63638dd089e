/* SPDX-License-Identifier: Apache-2.0 */
/* consistency: u64 size, u64 size, and a path, in trees whose leaf i is the hash of i; an accepted path is the path. */
#include "fuzz.h"

#define TREE_MAX 256
#define LEVELS 9

static struct hash tree[LEVELS][TREE_MAX];
static bool filled;

static bool get(void *ctx, unsigned level, uint64_t index, unsigned n, struct hash *out)
{
    (void)ctx;
    if (level >= LEVELS || index + n > (uint64_t)TREE_MAX >> level)
        return false;
    memcpy(out, &tree[level][index], n * sizeof *out);
    return true;
}

static bool put(void *ctx, unsigned level, uint64_t index, const struct hash *h)
{
    (void)ctx;
    tree[level][index] = *h;
    return true;
}

FUZZ_TARGET(consistency)
{
    const struct merkle_store s = {NULL, get, put};
    struct rbuf r;
    struct hash root1, root2;
    struct merkle_path path;
    struct frontier edge = {.size = 0};
    for (unsigned i = 0; i < TREE_MAX && !filled; i++) {
        uint8_t one = (uint8_t)i;
        struct hash leaf;
        merkle_leaf(f->c, span_of(&one, 1), &leaf);
        HOLDS(merkle_append(f->c, &s, &edge, &leaf));
    }
    filled = true;
    rbuf_init(&r, in);
    uint64_t size1 = rbuf_u64(&r), size2 = rbuf_u64(&r);
    size_t n = r.n / HASH_LEN;
    struct hash *p = arena_alloc(f->a, (n + 1) * sizeof *p);
    HOLDS(p != NULL);
    memcpy(p, r.p, n * HASH_LEN);
    if (r.failed || size1 == 0 || size1 > size2 || size2 > TREE_MAX) {
        HOLDS(r.failed || !merkle_verify_consistency(f->c, size1, size2, &HASH_ZERO, &HASH_ZERO, p, n) || size1 == size2);
        return false;
    }
    HOLDS(merkle_root(f->c, &s, size1, &root1) && merkle_root(f->c, &s, size2, &root2) && merkle_consistency(f->c, &s, size1, size2, &path));
    bool good = merkle_verify_consistency(f->c, size1, size2, &root1, &root2, p, n);
    HOLDS(good == (n == path.n && memcmp(p, path.h, n * HASH_LEN) == 0));
    root2.b[0] ^= 1;
    HOLDS(!merkle_verify_consistency(f->c, size1, size2, &root1, &root2, p, n));
    return good;
}
