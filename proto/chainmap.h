/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chainmap: the verifiable map from chain key to (count, head). A binary Merkle map over the 256 bits of the key, most
 * significant first, with one-leaf subtrees collapsed:
 *
 *   leaf  = labelled hash(LABEL_MAP_LEAF, key[32], u64 count, head[32])
 *   inner = labelled hash(LABEL_MAP_NODE, left[32], right[32])
 *   empty = 32 zero bytes
 *
 * A proof leads from the root down to where the key is or would be. `depth` is the number of inner nodes passed; `bitmap` has
 * exactly depth bits, most significant first, 1 where the sibling is not empty; siblings stand from the root downwards.
 * Absence ends in an empty place or in another key's leaf whose first `depth` bits agree.
 */
#ifndef LEDGERD_PROTO_CHAINMAP_H
#define LEDGERD_PROTO_CHAINMAP_H

#include "crypto.h"
#include "kv.h"

#define MAP_DEPTH_MAX 256
#define MAP_PROOF_BYTES_MAX (2 + 32 + 1 + 72 + MAP_DEPTH_MAX * 32)

struct map_leaf {
    struct hash key;
    uint64_t count;
    struct hash head;
};

/* Sets n leaves (distinct keys, ascending) in the map kept in KV_MAP. *root: the present root in (zeros of an empty map), the new one out.
 * ETAMPER: a node on the way to a leaf is not what the root stands for; *root is as it was. */
enum ledger_rc chainmap_apply(struct crypto *c, struct arena *a, const struct kv *kv, const struct map_leaf *leaves,
                              size_t n, struct hash *root, struct ledger_err *err) LEDGER_MUST_USE;

/* The root as it is stored; zeros of an empty map. */
enum ledger_rc chainmap_root(const struct kv *kv, struct hash *root, struct ledger_err *err) LEDGER_MUST_USE;

enum map_end { MAP_PRESENT = 0, MAP_EMPTY, MAP_OTHER };
struct map_proof {
    unsigned depth;
    uint8_t bitmap[MAP_DEPTH_MAX / 8];
    size_t n;
    struct hash siblings[MAP_DEPTH_MAX];
    enum map_end end;
    struct map_leaf leaf; /* PRESENT: count and head of the key; OTHER: the other leaf */
};
/* Nodes that many proofs have in common, read and checked once: the upper ones, and those of the last way down; so it pays most when keys come in
 * ascending order. For one kv that does not change. From the arena; NULL: out of memory. One thread. */
struct map_reader *map_reader_new(struct arena *a);
/* From KV_MAP and KV_CHAIN. `reader` may be NULL. ETAMPER: what is stored does not fit together. */
enum ledger_rc chainmap_prove(struct crypto *c, struct map_reader *reader, const struct kv *kv, const struct hash *key, struct map_proof *out,
                              struct ledger_err *err) LEDGER_MUST_USE;
/* u16 depth ‖ bitmap (⌈depth/8⌉ bytes, unused bits zero) ‖ u8 end ‖ [PRESENT: u64 count ‖ head] [OTHER: key ‖ u64 count ‖ head] ‖
 * siblings. */
struct span map_proof_encode(struct arena *a, const struct map_proof *p);
enum ledger_rc map_proof_decode(struct span s, struct map_proof *out, struct ledger_err *err) LEDGER_MUST_USE;
/* Nodes of one map as proofs have shown them, hashed once for many proofs; what a proof says of them is still compared. The upper
 * ones, and those of the last proof; so it pays most when keys come in ascending order. With another root it begins anew. From the arena; NULL: out of memory. One thread. */
struct map_known *map_known_new(struct arena *a);
/* Does the proof lead from this root to this key? Presence or absence is then what p->end says. `known` may be NULL. */
bool map_proof_verify(struct crypto *c, struct map_known *known, const struct map_proof *p, const struct hash *key, const struct hash *root)
    LEDGER_MUST_USE;

#endif
