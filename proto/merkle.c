/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle: the tree of RFC 6962 section 2.1, folded from stored perfect subtrees.
 *
 * Every hash that a root or a proof needs is the hash of a *run*: leaves [begin, begin + n) where
 * begin is a multiple of the smallest power of two that is not below n. A run is the row of perfect
 * subtrees that the binary digits of n name, largest first, and its hash is their fold from the
 * right. A proof walks from the root towards the leaves with two variables, so there is no
 * recursion; the walk meets the siblings top down and a proof lists them bottom up, so the path is
 * turned round at the end.
 *
 * Failure modes: false when the store lacks a subtree (or fails), when arguments are out of range,
 * or when a proof needs more than MERKLE_PATH_MAX hashes (consistency proofs in trees above 2^63
 * leaves).
 */
#include "merkle.h"

#include <string.h>

void merkle_leaf(struct crypto *c, struct span data, struct hash *out)
{
    static const uint8_t prefix[1] = {0x00};
    const struct span parts[2] = {{prefix, 1}, data};
    crypto_sha256(c, parts, 2, out);
}

void merkle_node(struct crypto *c, const struct hash *l, const struct hash *r, struct hash *out)
{
    uint8_t buf[1 + 2 * HASH_LEN];
    buf[0] = 0x01;
    memcpy(buf + 1, l->b, HASH_LEN);
    memcpy(buf + 1 + HASH_LEN, r->b, HASH_LEN);
    const struct span part = {buf, sizeof buf};
    crypto_sha256(c, &part, 1, out);
}

void merkle_empty(struct crypto *c, struct hash *out)
{
    /* SHA-256 of nothing: asked for again and again, by each empty list of each state. */
    static const struct hash empty = {{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
                                       0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
                                       0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}};
    (void)c;
    *out = empty;
}

void merkle_fold(struct crypto *c, struct hash *h, unsigned n)
{
    LEDGER_REQUIRE(n > 0 && (n & (n - 1)) == 0);
    for (; n > 1; n /= 2)
        for (unsigned i = 0; i < n / 2; i++)
            merkle_node(c, &h[2 * i], &h[2 * i + 1], &h[i]);
}

bool merkle_node_at(struct crypto *c, const struct merkle_store *s, unsigned level, uint64_t index, struct hash *out)
{
    struct hash row[MERKLE_ROW / 2];
    unsigned above = level % MERKLE_STEP;
    if (!s->get(s->ctx, level - above, index << above, 1u << above, row))
        return false;
    merkle_fold(c, row, 1u << above);
    *out = row[0];
    return true;
}

bool merkle_append(struct crypto *c, const struct merkle_store *s, struct frontier *f, const struct hash *leaf)
{
    if (f->size == UINT64_MAX)
        return false;
    size_t n = frontier_peaks(f);
    struct hash h = *leaf;
    uint64_t index = f->size;
    for (unsigned level = 0;; level++, index >>= 1) {
        if (level % MERKLE_STEP == 0 && !s->put(s->ctx, level, index, &h))
            return false;
        if (!(index & 1))
            break;
        merkle_node(c, &f->peaks[--n], &h, &h);
    }
    f->peaks[n] = h;
    f->size++;
    return true;
}

/* MTH of the run of n > 0 leaves that starts at `begin`. */
static bool run_root(struct crypto *c, const struct merkle_store *s, uint64_t begin, uint64_t n,
                     struct hash *out)
{
    bool first = true;
    for (unsigned level = 0; level < 64 && n >> level; level++) {
        if (!(n >> level & 1))
            continue;
        /* The digits above this one are the leaves before this subtree. */
        uint64_t index = (begin >> level) + ((n >> level) - 1);
        if (first) {
            if (!merkle_node_at(c, s, level, index, out))
                return false;
            first = false;
            continue;
        }
        struct hash left;
        if (!merkle_node_at(c, s, level, index, &left))
            return false;
        merkle_node(c, &left, out, out);
    }
    return !first;
}

bool merkle_root(struct crypto *c, const struct merkle_store *s, uint64_t size, struct hash *out)
{
    if (size == 0) {
        merkle_empty(c, out);
        return true;
    }
    return run_root(c, s, 0, size, out);
}

/* The largest power of two below n, for n > 1. */
static uint64_t split_point(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

static bool path_push(struct crypto *c, const struct merkle_store *s, uint64_t begin, uint64_t n,
                      struct merkle_path *path)
{
    if (path->n == MERKLE_PATH_MAX || !run_root(c, s, begin, n, &path->h[path->n]))
        return false;
    path->n++;
    return true;
}

static void path_reverse(struct merkle_path *path)
{
    for (size_t i = 0, j = path->n; i + 1 < j; i++) {
        j--;
        struct hash h = path->h[i];
        path->h[i] = path->h[j];
        path->h[j] = h;
    }
}

bool merkle_inclusion(struct crypto *c, const struct merkle_store *s, uint64_t index, uint64_t size,
                      struct merkle_path *out)
{
    out->n = 0;
    if (index >= size)
        return false;
    uint64_t begin = 0;
    uint64_t n = size;
    while (n > 1) {
        uint64_t k = split_point(n);
        bool left = index - begin < k;
        if (!path_push(c, s, left ? begin + k : begin, left ? n - k : k, out))
            return false;
        begin = left ? begin : begin + k;
        n = left ? k : n - k;
    }
    path_reverse(out);
    return true;
}

bool merkle_consistency(struct crypto *c, const struct merkle_store *s, uint64_t size1,
                        uint64_t size2, struct merkle_path *out)
{
    out->n = 0;
    if (size1 == 0 || size1 > size2)
        return false;
    uint64_t begin = 0;
    uint64_t m = size1;
    uint64_t n = size2;
    /* While the walk has only gone left, the verifier knows what it stands on: the old root. */
    bool known = true;
    while (m != n) {
        uint64_t k = split_point(n);
        bool left = m <= k;
        if (!path_push(c, s, left ? begin + k : begin, left ? n - k : k, out))
            return false;
        if (left) {
            n = k;
        } else {
            begin += k;
            m -= k;
            n -= k;
            known = false;
        }
    }
    if (!known && !path_push(c, s, begin, n, out))
        return false;
    path_reverse(out);
    return true;
}

/* Where a verifier stands while it climbs: its node's index and the level's last index. */
struct climb {
    uint64_t fn;
    uint64_t sn;
};

/* Is the next hash of the path the left sibling? Then levels without a sibling are skipped. */
static bool climb_left(struct climb *at)
{
    if (!(at->fn & 1) && at->fn != at->sn)
        return false;
    while (at->fn != 0 && !(at->fn & 1)) {
        at->fn >>= 1;
        at->sn >>= 1;
    }
    return true;
}

static void climb_up(struct climb *at)
{
    at->fn >>= 1;
    at->sn >>= 1;
}

bool merkle_root_from_path(struct crypto *c, uint64_t index, uint64_t size, const struct hash *leaf,
                           const struct hash *path, size_t n, struct hash *root)
{
    if (index >= size)
        return false;
    struct climb at = {index, size - 1};
    struct hash r = *leaf;
    for (size_t i = 0; i < n; i++) {
        if (at.sn == 0)
            return false;
        if (climb_left(&at))
            merkle_node(c, &path[i], &r, &r);
        else
            merkle_node(c, &r, &path[i], &r);
        climb_up(&at);
    }
    if (at.sn != 0)
        return false;
    *root = r;
    return true;
}

bool merkle_verify_inclusion(struct crypto *c, uint64_t index, uint64_t size,
                             const struct hash *leaf, const struct hash *path, size_t n,
                             const struct hash *root)
{
    struct hash r;
    return merkle_root_from_path(c, index, size, leaf, path, n, &r) && hash_eq(&r, root);
}

bool merkle_verify_consistency(struct crypto *c, uint64_t size1, uint64_t size2,
                               const struct hash *root1, const struct hash *root2,
                               const struct hash *path, size_t n)
{
    if (size1 == 0 || size1 > size2)
        return false;
    if (size1 == size2)
        return n == 0 && hash_eq(root1, root2);
    if (n == 0)
        return false;
    struct climb at = {size1 - 1, size2 - 1};
    while (at.fn & 1)
        climb_up(&at);
    /* When size1 is a power of two, the old root stands for the path's first hash. */
    size_t i = 0;
    struct hash fr = (size1 & (size1 - 1)) == 0 ? *root1 : path[i++];
    struct hash sr = fr;
    for (; i < n; i++) {
        if (at.sn == 0)
            return false;
        if (climb_left(&at)) {
            merkle_node(c, &path[i], &fr, &fr);
            merkle_node(c, &path[i], &sr, &sr);
        } else {
            merkle_node(c, &sr, &path[i], &sr);
        }
        climb_up(&at);
    }
    return at.sn == 0 && hash_eq(&fr, root1) && hash_eq(&sr, root2);
}

size_t frontier_peaks(const struct frontier *f)
{
    return (size_t)__builtin_popcountll(f->size);
}

void frontier_append(struct crypto *c, struct frontier *f, const struct hash *leaf)
{
    LEDGER_REQUIRE(f->size < UINT64_MAX);
    size_t n = frontier_peaks(f);
    struct hash h = *leaf;
    for (uint64_t s = f->size; s & 1; s >>= 1)
        merkle_node(c, &f->peaks[--n], &h, &h);
    f->peaks[n] = h;
    f->size++;
}

bool frontier_from_store(struct crypto *c, const struct merkle_store *s, uint64_t size, struct frontier *out)
{
    size_t n = 0;
    *out = (struct frontier){.size = size};
    for (unsigned level = 64; level-- > 0;)
        if (size >> level & 1 && !merkle_node_at(c, s, level, (size >> level) - 1, &out->peaks[n++]))
            return false;
    return true;
}

/*
 * RFC 6962: for each bit that is set in `index` there is one left sibling on the inclusion path, the root of the perfect subtree of that
 * size; together they cover the leaves before. The path goes upwards, so the largest comes last. Bits that are not set have a right
 * sibling unless the leaf is on the right edge there, which is where the path has no element.
 */
bool frontier_from_path(struct crypto *c, uint64_t index, uint64_t size, const struct hash *leaf, struct span path, struct frontier *out)
{
    struct hash left[64];
    size_t n = 0, used = 0;
    if (index >= size)
        return false;
    for (uint64_t at = index, last = size - 1; last > 0; at >>= 1, last >>= 1) {
        if (!(at & 1) && at == last)
            continue;
        if ((used + 1) * HASH_LEN > path.n)
            return false;
        if (at & 1)
            memcpy(left[n++].b, path.p + used * HASH_LEN, HASH_LEN);
        used++;
    }
    out->size = index;
    if (frontier_peaks(out) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        out->peaks[i] = left[n - 1 - i];
    frontier_append(c, out, leaf);
    return true;
}

void frontier_root(struct crypto *c, const struct frontier *f, struct hash *out)
{
    size_t n = frontier_peaks(f);
    if (n == 0) {
        merkle_empty(c, out);
        return;
    }
    struct hash r = f->peaks[--n];
    while (n > 0)
        merkle_node(c, &f->peaks[--n], &r, &r);
    *out = r;
}

/* ---- the right edge ---- */

/* A level has a node for each pair below it; a last one without a sibling goes up as it is. That is the same tree. */
static uint64_t level_nodes(uint64_t size, unsigned level)
{
    return ((size - 1) >> level) + 1;
}

/* Number of the first node in a row: an even one, so that a row is made of pairs. */
static uint64_t row_first(const struct merkle_edge *e, unsigned level)
{
    return (e->first >> level) & ~UINT64_C(1);
}

static struct hash *row_new(struct arena *a, struct merkle_edge *e, unsigned level)
{
    uint64_t n = level_nodes(e->size, level) - row_first(e, level);
    e->row[level] = n < SIZE_MAX / HASH_LEN ? arena_alloc(a, (size_t)n * HASH_LEN) : NULL;
    return e->row[level];
}

static bool leaves_get(const struct merkle_store *s, uint64_t at, uint64_t end, struct hash *out)
{
    while (at < end) {
        uint64_t left = end - at, n = MERKLE_ROW - at % MERKLE_ROW;
        n = n < left ? n : left;
        if (!s->get(s->ctx, 0, at, (unsigned)n, out))
            return false;
        at += n;
        out += n;
    }
    return true;
}

/* The nodes of a row that have one of the leaves below them, and the left sibling of the first: that is the peak of the bit that is set there in
 * the number of leaves before, and the larger peaks are those of the bits above. */
static bool row_fill(struct crypto *c, const struct merkle_store *s, const struct frontier *before, struct merkle_edge *e, unsigned level)
{
    uint64_t at = e->first >> level, begin = row_first(e, level), end = level_nodes(e->size, level);
    if (at != begin)
        e->row[level][0] = before->peaks[__builtin_popcountll(at >> 1)];
    if (level == 0)
        return leaves_get(s, at, end, &e->row[0][at - begin]);
    for (; at < end; at++) {
        struct hash *out = &e->row[level][at - begin];
        const struct hash *pair = &e->row[level - 1][2 * at - row_first(e, level - 1)];
        if (2 * at + 1 < level_nodes(e->size, level - 1))
            merkle_node(c, &pair[0], &pair[1], out);
        else
            *out = pair[0];
    }
    return true;
}

enum ledger_rc merkle_edge_make(struct crypto *c, struct arena *a, const struct merkle_store *s, const struct frontier *before, uint64_t size,
                                struct merkle_edge *out)
{
    *out = (struct merkle_edge){.first = before->size, .size = size};
    if (before->size >= size)
        return LEDGER_EINVAL;
    for (unsigned level = 0;; level++) {
        if (!row_new(a, out, level))
            return LEDGER_ENOMEM;
        if (!row_fill(c, s, before, out, level))
            return LEDGER_ENOTFOUND;
        out->levels = level;
        if (level_nodes(size, level) == 1)
            return LEDGER_OK;
    }
}

static bool array_get(void *leaves, unsigned level, uint64_t index, unsigned n, struct hash *out)
{
    if (level > 0)
        return false;
    memcpy(out, (const struct hash *)leaves + index, n * sizeof *out);
    return true;
}

enum ledger_rc merkle_edge_of(struct crypto *c, struct arena *a, const struct hash *leaves, size_t n, struct merkle_edge *out)
{
    const struct merkle_store s = {(void *)(uintptr_t)leaves, array_get, NULL};
    const struct frontier none = {.size = 0};
    return merkle_edge_make(c, a, &s, &none, n, out);
}

const struct hash *merkle_edge_root(const struct merkle_edge *e)
{
    return &e->row[e->levels][0];
}

const struct hash *merkle_edge_leaf(const struct merkle_edge *e, uint64_t index)
{
    LEDGER_REQUIRE(index >= e->first && index < e->size);
    return &e->row[0][index - row_first(e, 0)];
}

void merkle_edge_path(const struct merkle_edge *e, uint64_t index, struct merkle_path *out)
{
    LEDGER_REQUIRE(index >= e->first && index < e->size);
    out->n = 0;
    for (unsigned level = 0; level < e->levels; level++) {
        uint64_t sibling = (index >> level) ^ 1;
        if (sibling < level_nodes(e->size, level))
            out->h[out->n++] = e->row[level][sibling - row_first(e, level)];
    }
}

bool merkle_root_of(struct crypto *c, const struct hash *leaves, size_t n, struct hash *out)
{
    struct frontier f = {.size = 0};
    for (size_t i = 0; i < n; i++)
        frontier_append(c, &f, &leaves[i]);
    frontier_root(c, &f, out);
    return true;
}

bool merkle_path_of(struct crypto *c, struct arena *a, const struct hash *leaves, size_t n,
                    size_t index, struct merkle_path *out)
{
    /* The siblings cover every other leaf exactly once, so folding each afresh is O(n) and needs no
     * scratch memory. */
    (void)a;
    out->n = 0;
    if (index >= n)
        return false;
    size_t begin = 0;
    while (n > 1) {
        size_t k = (size_t)split_point(n);
        bool left = index - begin < k;
        if (!merkle_root_of(c, leaves + (left ? begin + k : begin), left ? n - k : k,
                            &out->h[out->n]))
            return false;
        out->n++;
        begin = left ? begin : begin + k;
        n = left ? k : n - k;
    }
    path_reverse(out);
    return true;
}
