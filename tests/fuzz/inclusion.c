/* SPDX-License-Identifier: Apache-2.0 */
/* inclusion: u64 index, u64 size, and a path, in trees whose leaf i is the hash of i; an accepted path is the path. */
#include "fuzz.h"

#define TREE_MAX 300

static struct hash leaves[TREE_MAX];

FUZZ_TARGET(inclusion)
{
    struct rbuf r;
    struct hash root, true_root;
    struct merkle_path path;
    rbuf_init(&r, in);
    uint64_t index = rbuf_u64(&r), size = rbuf_u64(&r);
    if (r.failed)
        return false;
    size_t n = r.n / HASH_LEN;
    struct hash *p = arena_alloc(f->a, (n + 1) * sizeof *p);
    HOLDS(p != NULL);
    memcpy(p, r.p, n * HASH_LEN);
    for (unsigned i = 0; i < TREE_MAX && leaves[TREE_MAX - 1].b[0] == 0; i++) {
        uint8_t two[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        merkle_leaf(f->c, span_of(two, 2), &leaves[i]);
    }
    bool fits = merkle_root_from_path(f->c, index, size, &leaves[index % TREE_MAX], p, n, &root);
    if (size > TREE_MAX || index >= size)
        return fits && false;
    merkle_root_of(f->c, leaves, size, &true_root);
    bool good = merkle_verify_inclusion(f->c, index, size, &leaves[index], p, n, &true_root);
    HOLDS(!good || fits);
    HOLDS(merkle_path_of(f->c, f->a, leaves, size, index, &path));
    HOLDS(good == (n == path.n && memcmp(p, path.h, n * HASH_LEN) == 0));
    return good;
}
