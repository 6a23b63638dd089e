/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tiles: the read side that stock tools understand (c2sp.org/tlog-tiles), from snapshots of the store that never wait for the
 * writer. What it gives is checked before: the hashes of a tile and the leaves of a bundle against the committed root of the latest
 * checkpoint, that root against the tree.
 *
 * A tile is there as soon as the latest checkpoint covers all that it holds, and stays: whoever holds an older checkpoint finds the
 * partial tiles that it needs also when the full ones are there.
 *
 * Any thread; each call opens a snapshot of its own. Errors: ENOTFOUND: not there, or not yet. ETAMPER: the store does not verify.
 * ENOMEM: the arena has no room; it wants TILES_ARENA_BYTES.
 */
#ifndef LEDGERD_TILES_H
#define LEDGERD_TILES_H

#include "query.h"
#include "tile.h"

#define TILES_ARENA_BYTES ((size_t)20 * 1024 * 1024) /* a bundle has up to 256 · (2 + 65,535) bytes */

/* The signed note of the latest checkpoint, with the cosignatures of env->witnessed if they are on that one. In a. */
enum ledger_rc tiles_checkpoint(const struct query_env *env, struct arena *a, struct span *note, struct ledger_err *err)
    LEDGER_MUST_USE;
/* What proves that the tree of size2 entries begins with that of size1, checked; 0 < size1 <= size2 <= the ledger's
 * size. In a. */
enum ledger_rc tiles_consistency(struct store *s, uint64_t size1, uint64_t size2, struct arena *a, struct span *path,
                                 struct ledger_err *err) LEDGER_MUST_USE;
/* The root of the first `size` entries, 0 < size; ENOTFOUND: the ledger has fewer. */
enum ledger_rc tiles_root(struct store *s, uint64_t size, struct hash *root, struct ledger_err *err) LEDGER_MUST_USE;
/* The bytes of a hash tile or an entry bundle. In a. */
enum ledger_rc tiles_read(struct store *s, const struct tile *t, struct arena *a, struct span *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* The figures of StatusRequest, one put for each; those of env->metrics_cb included. */
enum ledger_rc tiles_figures(const struct query_env *env,
                             void (*put)(void *sink, const char *name, double value, const char *text), void *sink,
                             struct ledger_err *err) LEDGER_MUST_USE;

#endif
