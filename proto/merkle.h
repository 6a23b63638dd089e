/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle: the RFC 6962 section 2.1 (= RFC 9162 section 2.1) tree over SHA-256.
 *
 * Only hashes of perfect subtrees are ever stored: (level, index) covers leaves
 * [index·2^level, (index+1)·2^level) and never changes once all of them exist. Of these only each fourth level is stored,
 * in rows of sixteen; what is between is folded from a row when it is asked for. Roots and proofs at any
 * size, past or present, come of them. `size`, `index` and `level` are never mixed up: a size
 * counts leaves, an index names one.
 */
#ifndef LEDGERD_PROTO_MERKLE_H
#define LEDGERD_PROTO_MERKLE_H

#include "crypto.h"

#define MERKLE_PATH_MAX 64
#define MERKLE_STEP 4u /* levels from one that is stored to the next */
#define MERKLE_ROW 16u /* nodes in a row: what one node of the next stored level is made of */

void merkle_leaf(struct crypto *c, struct span data, struct hash *out);  /* SHA-256(0x00 ‖ data) */
void merkle_node(struct crypto *c, const struct hash *l, const struct hash *r, struct hash *out);
void merkle_empty(struct crypto *c, struct hash *out);                   /* SHA-256("") */

/* The root of n hashes (a power of two); it is left in h[0], the others are not what they were. */
void merkle_fold(struct crypto *c, struct hash *h, unsigned n);

/* Where perfect-subtree hashes live, by levels that are multiples of MERKLE_STEP. */
struct merkle_store {
    void *ctx;
    /* The nodes from `index` on, n of them, all of one row. False if one is not there (an inner error, or not yet). */
    bool (*get)(void *ctx, unsigned level, uint64_t index, unsigned n, struct hash *out);
    bool (*put)(void *ctx, unsigned level, uint64_t index, const struct hash *h);
};

/* The perfect subtree (level, index), of any level. False if the store lacks it. */
bool merkle_node_at(struct crypto *c, const struct merkle_store *s, unsigned level, uint64_t index, struct hash *out) LEDGER_MUST_USE;

/*
 * A frontier (compact range) is a tree reduced to what appending needs: one hash for each set bit of
 * size, the largest subtree first. Used where only count and root matter: member lists inside states
 * (state.h), roots of batches of event ids, a streaming auditor's tree; and as the right edge of a tree that is stored.
 */
struct frontier {
    uint64_t size;
    struct hash peaks[64]; /* the first popcount(size) are used */
};
void frontier_append(struct crypto *c, struct frontier *f, const struct hash *leaf);
void frontier_root(struct crypto *c, const struct frontier *f, struct hash *out);
size_t frontier_peaks(const struct frontier *f); /* how many of peaks[] are used */
/* The tree over the leaves 0 … index, from the inclusion path of leaf `index` in a tree of `size` leaves: its left siblings are the roots of
 * the largest subtrees before it. So who has proven that path has proven what the tree was at index + 1. False: a path of another length. */
bool frontier_from_path(struct crypto *c, uint64_t index, uint64_t size, const struct hash *leaf, struct span path, struct frontier *out)
    LEDGER_MUST_USE;
/* The first `size` leaves of a stored tree. False if the store lacks a hash. */
bool frontier_from_store(struct crypto *c, const struct merkle_store *s, uint64_t size, struct frontier *out) LEDGER_MUST_USE;

/* Appends one leaf hash to the tree whose right edge is *f, and stores what that completes. Nothing is read. False: it could not be stored, or
 * there are 2^64 - 1 leaves; *f is as it was. */
bool merkle_append(struct crypto *c, const struct merkle_store *s, struct frontier *f, const struct hash *leaf) LEDGER_MUST_USE;
/* Root of the first `size` leaves; works for every size not above the tree's. */
bool merkle_root(struct crypto *c, const struct merkle_store *s, uint64_t size, struct hash *out)
    LEDGER_MUST_USE;

struct merkle_path {
    size_t n;
    struct hash h[MERKLE_PATH_MAX];
};
/* PATH(index, D[size]), index < size. */
bool merkle_inclusion(struct crypto *c, const struct merkle_store *s, uint64_t index, uint64_t size,
                      struct merkle_path *out) LEDGER_MUST_USE;
/* PROOF(size1, D[size2]), 0 < size1 <= size2; equal sizes give an empty path. */
bool merkle_consistency(struct crypto *c, const struct merkle_store *s, uint64_t size1,
                        uint64_t size2, struct merkle_path *out) LEDGER_MUST_USE;

/* RFC 9162 section 2.1.3.2. The path is n hashes of 32 bytes. */
bool merkle_verify_inclusion(struct crypto *c, uint64_t index, uint64_t size, const struct hash *leaf,
                             const struct hash *path, size_t n, const struct hash *root)
    LEDGER_MUST_USE;
/* Root that an inclusion path implies; false if the path cannot belong to (index, size). */
bool merkle_root_from_path(struct crypto *c, uint64_t index, uint64_t size, const struct hash *leaf,
                           const struct hash *path, size_t n, struct hash *root) LEDGER_MUST_USE;
/* RFC 9162 section 2.1.4.2, with size1 == 0 always false (a caller's special case). */
bool merkle_verify_consistency(struct crypto *c, uint64_t size1, uint64_t size2,
                               const struct hash *root1, const struct hash *root2,
                               const struct hash *path, size_t n) LEDGER_MUST_USE;

/*
 * The right edge of a tree: the leaves from `first` on, and every node above one of them. Made once for a batch of new entries (about
 * one hash a leaf), it gives the path of each of them without hashing. What is left of it are the peaks of the tree of before; that all of it is
 * the tree's is known when the root is.
 */
struct merkle_edge {
    uint64_t first, size;
    unsigned levels;       /* above the leaves */
    struct hash *row[65];  /* by level, from node (first >> level) on, or from its left sibling */
};
/* `before`: the tree of the leaves before `first`; of the store only the leaves from there on are asked. Memory from `a`. ENOTFOUND: the store lacks
 * a leaf. ENOMEM. EINVAL: not first < size. */
enum ledger_rc merkle_edge_make(struct crypto *c, struct arena *a, const struct merkle_store *s, const struct frontier *before, uint64_t size,
                                struct merkle_edge *out) LEDGER_MUST_USE;
/* The same of a tree that is nothing but these leaves, n > 0. ENOMEM. */
enum ledger_rc merkle_edge_of(struct crypto *c, struct arena *a, const struct hash *leaves, size_t n, struct merkle_edge *out) LEDGER_MUST_USE;
const struct hash *merkle_edge_root(const struct merkle_edge *e);
/* first <= index < size */
const struct hash *merkle_edge_leaf(const struct merkle_edge *e, uint64_t index);
void merkle_edge_path(const struct merkle_edge *e, uint64_t index, struct merkle_path *out);

/* In-memory tree over n leaf hashes (batches): root, and the path of one leaf. Scratch from `a`. */
bool merkle_root_of(struct crypto *c, const struct hash *leaves, size_t n, struct hash *out);
bool merkle_path_of(struct crypto *c, struct arena *a, const struct hash *leaves, size_t n,
                    size_t index, struct merkle_path *out) LEDGER_MUST_USE;

#endif
