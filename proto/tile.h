/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tile: the tree as files (c2sp.org/tlog-tiles): which tiles there are, what they are called, what is in them. Pure: whoever serves
 * them, writes them as files or verifies them does it with these functions.
 *
 * Terms. A *hash tile* of level L and index N holds up to 256 hashes; hash i is the root of the perfect subtree over the leaves
 * [(256·N+i)·256^L, (256·N+i+1)·256^L). An *entry bundle* of index N holds up to 256 entries, 256·N and on: u16 length ‖ entry, one
 * after the other. Both are *full* at a width of 256, else *partial*. What a name stands for never changes.
 *
 * Paths:  tile/L/N[.p/W]   tile/entries/N[.p/W]
 * with N in groups of three digits, all but the last after an x (5 is 005, 1234067 is x001/x234/067), and W from 1 to 255.
 */
#ifndef LEDGERD_PROTO_TILE_H
#define LEDGERD_PROTO_TILE_H

#include "merkle.h"

#define TILE_HEIGHT 8u
#define TILE_WIDTH 256u
#define TILE_LEVELS 8u            /* a tree of fewer than 2^64 leaves has tiles of the levels 0 to 7 */
#define TILE_LEVEL_MAX 63u        /* what a path may name */
#define TILE_PATH_MAX 64          /* with its NUL */
#define TILE_BYTES (TILE_WIDTH * HASH_LEN)

struct tile {
    bool entries;   /* an entry bundle; its level is 0 */
    unsigned level;
    uint64_t index;
    unsigned width; /* 1 to 256; 256: full */
};

/* The path, NUL-terminated; returns its length. */
size_t tile_path(const struct tile *t, char out[TILE_PATH_MAX]);
/* The one path of a tile to the tile. False for everything else. */
bool tile_path_parse(struct span path, struct tile *out) LEDGER_MUST_USE;

/* How many hashes (level 0: or entries) of the tile (level, index) a tree of `size` leaves has: 0 to 256. */
unsigned tile_width(uint64_t size, unsigned level, uint64_t index);
/* The tree of that size has all that this tile holds. */
bool tile_exists(const struct tile *t, uint64_t size);
/* How many tiles of a level a tree of `size` leaves has, a partial last one included. */
uint64_t tile_count(uint64_t size, unsigned level);

/* The hashes of a tile, out of a tree's perfect subtrees: t->width of them. False if one is missing. */
bool tile_hashes(const struct merkle_store *tree, const struct tile *t, struct hash out[TILE_WIDTH]) LEDGER_MUST_USE;
/*
 * Do these hashes lie at the place of the tile, in the tree with that size and root? They are folded into perfect subtrees, and for
 * each of these the path to the root is taken from `tree`, which need not be trusted. About 256 + 8·log2(size) hashes.
 */
struct tile_root { uint64_t size; struct hash root; };
bool tile_check(struct crypto *c, const struct merkle_store *tree, const struct tile *t, const struct hash *hashes,
                const struct tile_root *root) LEDGER_MUST_USE;
/* Root of a perfect subtree over n hashes, n = 1, 2, 4 … 256. */
void tile_fold(struct crypto *c, const struct hash *hashes, unsigned n, struct hash *out);

/* One entry more at the end of a bundle. False: longer than 65,535 bytes, which no bundle holds. */
bool tile_bundle_add(struct wbuf *w, struct span entry) LEDGER_MUST_USE;
/* The next entry of a bundle, cut off *rest; borrowed. False at the end, or if what is left is no entry: then *rest is not empty. */
bool tile_bundle_next(struct span *rest, struct span *entry) LEDGER_MUST_USE;

/*
 * The right edge of a tree, as tiles: what growing it takes. At each level the hashes of the tile that is not full yet. Appending a
 * leaf may fill tiles; each is handed out once, higher levels first: where there is a full tile of level 0, all above it were handed out.
 */
struct tile_edge {
    uint64_t size;
    struct hash hashes[TILE_LEVELS][TILE_WIDTH];
};
/* How many hashes of a level the edge holds: 0 to 255, always size / 256^level mod 256. */
unsigned tile_edge_width(const struct tile_edge *e, unsigned level);
/* A full tile; `hashes` has 256, borrowed. False ends the appending. */
typedef bool (*tile_full_cb)(void *ctx, const struct tile *t, const struct hash *hashes);
/* False if a callback said so; the edge is then of no use any more. full may be NULL. */
bool tile_edge_append(struct crypto *c, struct tile_edge *e, const struct hash *leaf, tile_full_cb full, void *ctx)
    LEDGER_MUST_USE;
void tile_edge_frontier(struct crypto *c, const struct tile_edge *e, struct frontier *out);
void tile_edge_root(struct crypto *c, const struct tile_edge *e, struct hash *out);

#endif
