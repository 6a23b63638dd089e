/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tile: paths, widths, contents and checks of tiles (tile.h). Source: c2sp.org/tlog-tiles.
 *
 * A level of tiles is eight levels of the tree: the hashes of tile level L are the perfect subtrees of tree level 8·L. Sizes are
 * shifted, never divided, and a shift of 64 or more, which C does not define, is told apart first.
 */
#include "tile.h"

#include <stdio.h>
#include <string.h>

#define ENTRY_BYTES_MAX 65535u

/* Perfect subtrees of tile level `level` that a tree of that size has. */
static uint64_t units(uint64_t size, unsigned level)
{
    return level >= TILE_LEVELS ? 0 : size >> (TILE_HEIGHT * level);
}

/* ---- paths ---- */

size_t tile_path(const struct tile *t, char out[TILE_PATH_MAX])
{
    char groups[7][5]; /* 2^64 has 20 digits */
    unsigned n = 0;
    uint64_t index = t->index;
    do {
        snprintf(groups[n], sizeof groups[n], "%s%03u", n ? "x" : "", (unsigned)(index % 1000));
        index /= 1000;
        n++;
    } while (index);
    size_t at = t->entries ? (size_t)snprintf(out, TILE_PATH_MAX, "tile/entries")
                           : (size_t)snprintf(out, TILE_PATH_MAX, "tile/%u", t->level);
    while (n--)
        at += (size_t)snprintf(out + at, TILE_PATH_MAX - at, "/%s", groups[n]);
    if (t->width < TILE_WIDTH)
        at += (size_t)snprintf(out + at, TILE_PATH_MAX - at, ".p/%u", t->width);
    LEDGER_REQUIRE(at < TILE_PATH_MAX);
    return at;
}

static bool take(struct span *s, const char *text)
{
    size_t n = strlen(text);
    if (s->n < n || memcmp(s->p, text, n) != 0)
        return false;
    *s = span_of(s->p + n, s->n - n);
    return true;
}

/* A decimal number of 1 to 3 digits without leading zeros. */
static bool take_number(struct span *s, unsigned *out)
{
    unsigned v = 0;
    size_t n = 0;
    while (n < s->n && n < 3 && s->p[n] >= '0' && s->p[n] <= '9')
        v = v * 10 + (unsigned)(s->p[n++] - '0');
    if (n == 0 || (n > 1 && s->p[0] == '0'))
        return false;
    *s = span_of(s->p + n, s->n - n);
    *out = v;
    return true;
}

static bool take_index(struct span *s, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned n = 0;; n++) {
        bool more = take(s, "x");
        unsigned group = 0;
        if (s->n < 3)
            return false;
        for (size_t i = 0; i < 3; i++) {
            if (s->p[i] < '0' || s->p[i] > '9')
                return false;
            group = group * 10 + (unsigned)(s->p[i] - '0');
        }
        *s = span_of(s->p + 3, s->n - 3);
        if ((n == 0 && more && group == 0) || v > (UINT64_MAX - group) / 1000)
            return false; /* a leading zero group, or beyond 64 bits */
        v = v * 1000 + group;
        if (!more)
            break;
        if (!take(s, "/"))
            return false;
    }
    *out = v;
    return true;
}

bool tile_path_parse(struct span path, struct tile *out)
{
    struct tile t = {.width = TILE_WIDTH};
    if (!path.p || path.n >= TILE_PATH_MAX || !take(&path, "tile/"))
        return false;
    t.entries = take(&path, "entries");
    if (!t.entries && (!take_number(&path, &t.level) || t.level > TILE_LEVEL_MAX))
        return false;
    if (!take(&path, "/") || !take_index(&path, &t.index))
        return false;
    if (path.n && (!take(&path, ".p/") || !take_number(&path, &t.width) || t.width == 0 || t.width >= TILE_WIDTH))
        return false;
    *out = t;
    return path.n == 0;
}

/* ---- widths ---- */

unsigned tile_width(uint64_t size, unsigned level, uint64_t index)
{
    uint64_t all = units(size, level), before = index * TILE_WIDTH;
    if (index > UINT64_MAX / TILE_WIDTH || before >= all)
        return 0;
    return all - before < TILE_WIDTH ? (unsigned)(all - before) : TILE_WIDTH;
}

bool tile_exists(const struct tile *t, uint64_t size)
{
    return t->width > 0 && t->width <= tile_width(size, t->level, t->index);
}

uint64_t tile_count(uint64_t size, unsigned level)
{
    uint64_t all = units(size, level);
    return all / TILE_WIDTH + (all % TILE_WIDTH != 0);
}

/* ---- contents ---- */

bool tile_hashes(const struct merkle_store *tree, const struct tile *t, struct hash out[TILE_WIDTH])
{
    if (t->level >= TILE_LEVELS)
        return false;
    for (unsigned i = 0; i < t->width; i += MERKLE_ROW) {
        unsigned n = t->width - i < MERKLE_ROW ? t->width - i : MERKLE_ROW;
        if (!tree->get(tree->ctx, TILE_HEIGHT * t->level, t->index * TILE_WIDTH + i, n, &out[i]))
            return false;
    }
    return true;
}

void tile_fold(struct crypto *c, const struct hash *hashes, unsigned n, struct hash *out)
{
    struct hash h[TILE_WIDTH];
    LEDGER_REQUIRE(n <= TILE_WIDTH);
    memcpy(h, hashes, n * sizeof *h);
    merkle_fold(c, h, n);
    *out = h[0];
}

/*
 * Is `h` the perfect subtree (level, index) of the tree? In an inclusion path the first `level` steps of the subtree's first leaf lie
 * inside of it, and each of them takes one element; what is left is the path of leaf `index` in a tree whose leaves are subtrees of
 * that level, the last of them perhaps not perfect.
 */
static bool check_subtree(struct crypto *c, const struct merkle_store *tree, unsigned level, uint64_t index, const struct hash *h,
                          const struct tile_root *root)
{
    struct merkle_path path;
    if (!merkle_inclusion(c, tree, index << level, root->size, &path) || path.n < level)
        return false;
    return merkle_verify_inclusion(c, index, ((root->size - 1) >> level) + 1, h, path.h + level, path.n - level, &root->root);
}

bool tile_check(struct crypto *c, const struct merkle_store *tree, const struct tile *t, const struct hash *hashes,
                const struct tile_root *root)
{
    if (!tile_exists(t, root->size))
        return false;
    unsigned at = 0;
    for (unsigned r = TILE_HEIGHT + 1; r-- > 0;) { /* the width's bits, the largest subtree first */
        struct hash h;
        if (!(t->width >> r & 1))
            continue;
        tile_fold(c, hashes + at, 1u << r, &h);
        if (!check_subtree(c, tree, TILE_HEIGHT * t->level + r, (t->index * TILE_WIDTH + at) >> r, &h, root))
            return false;
        at += 1u << r;
    }
    return true;
}

bool tile_bundle_add(struct wbuf *w, struct span entry)
{
    if (entry.n > ENTRY_BYTES_MAX)
        return false;
    wbuf_u16(w, (uint16_t)entry.n);
    wbuf_bytes(w, entry.p, entry.n);
    return true;
}

bool tile_bundle_next(struct span *rest, struct span *entry)
{
    struct rbuf r;
    rbuf_init(&r, *rest);
    size_t n = rbuf_u16(&r);
    *entry = rbuf_bytes(&r, n);
    if (r.failed)
        return false;
    *rest = span_of(r.p, r.n);
    return true;
}

/* ---- the edge ---- */

unsigned tile_edge_width(const struct tile_edge *e, unsigned level)
{
    return (unsigned)(units(e->size, level) % TILE_WIDTH);
}

bool tile_edge_append(struct crypto *c, struct tile_edge *e, const struct hash *leaf, tile_full_cb full, void *ctx)
{
    struct hash h = *leaf;
    unsigned filled = 0; /* levels whose tile is full now */
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        unsigned width = tile_edge_width(e, level);
        e->hashes[level][width] = h;
        if (width + 1 < TILE_WIDTH)
            break;
        filled++;
        tile_fold(c, e->hashes[level], TILE_WIDTH, &h);
    }
    for (unsigned level = filled; full && level-- > 0;) {
        const struct tile t = {.level = level, .index = units(e->size, level) / TILE_WIDTH, .width = TILE_WIDTH};
        if (!full(ctx, &t, e->hashes[level]))
            return false;
    }
    e->size++;
    return true;
}

void tile_edge_frontier(struct crypto *c, const struct tile_edge *e, struct frontier *out)
{
    size_t n = 0;
    out->size = e->size;
    for (unsigned level = TILE_LEVELS; level-- > 0;) {
        unsigned width = tile_edge_width(e, level), at = 0;
        for (unsigned r = TILE_HEIGHT; r-- > 0;) {
            if (!(width >> r & 1))
                continue;
            tile_fold(c, e->hashes[level] + at, 1u << r, &out->peaks[n++]);
            at += 1u << r;
        }
    }
}

void tile_edge_root(struct crypto *c, const struct tile_edge *e, struct hash *out)
{
    struct frontier f;
    tile_edge_frontier(c, e, &f);
    frontier_root(c, &f, out);
}
