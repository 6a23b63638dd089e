/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tile_folder: a tree of tiles as files (tile.h for the names): what `ledgerctl export-tiles` writes and goes on from.
 *
 * Every file is written under a temporary name, synced and renamed, so that a reader, also one that serves the folder meanwhile, sees
 * whole files only. Files and folders get the modes that the umask allows: the folder is there to be published.
 *
 * Order: a bundle before its hash tile, higher hash tiles before the lower, partial tiles, and the checkpoint last. So a full hash tile of
 * level 0 vouches for everything up to its end, and whatever the checkpoint covers is there. Errors name the file.
 */
#ifndef LEDGERD_CTL_TILE_FOLDER_H
#define LEDGERD_CTL_TILE_FOLDER_H

#include "profile.h"
#include "tile.h"

#define TILE_FOLDER_MAX 2048

struct tile_folder {
    char path[TILE_FOLDER_MAX];
    uint64_t written; /* files */
};
/* Makes the folder if there is none. */
enum ledger_rc tile_folder_open(struct tile_folder *f, const char *path, struct ledger_err *err) LEDGER_MUST_USE;
/* ENOTFOUND if there is none. */
enum ledger_rc tile_folder_read(const struct tile_folder *f, struct arena *a, const char *name, size_t max, struct span *out,
                                struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc tile_folder_write(struct tile_folder *f, const char *name, struct span bytes, struct ledger_err *err)
    LEDGER_MUST_USE;
enum ledger_rc tile_folder_write_tile(struct tile_folder *f, const struct tile *t, struct span bytes, struct ledger_err *err)
    LEDGER_MUST_USE;
/* Everything that was written is on the disk. */
enum ledger_rc tile_folder_sync(const struct tile_folder *f, struct ledger_err *err) LEDGER_MUST_USE;
/* The edge of the tree of all full tiles of level 0: where an export goes on. EINVAL: a file that must be there is not, or is
 * damaged. */
enum ledger_rc tile_folder_edge(const struct tile_folder *f, struct crypto *c, struct arena *a, struct tile_edge *out,
                                struct ledger_err *err) LEDGER_MUST_USE;
/* The root of the tree of `size` leaves, if `edge` (of this folder) is that of its full tiles: its last tile is read. ENOTFOUND
 * otherwise. */
enum ledger_rc tile_folder_root(const struct tile_folder *f, struct crypto *c, const struct tile_edge *edge, uint64_t size,
                                struct hash *out) LEDGER_MUST_USE;
/* Removes the partial tiles of a tree of `before` leaves that a tree of `now` leaves has in full. What cannot be removed stays. */
void tile_folder_tidy(const struct tile_folder *f, uint64_t before, uint64_t now);

#endif
