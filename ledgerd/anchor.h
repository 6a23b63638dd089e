/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anchor: the last signed checkpoint, in a file of its own, better on another device than the data.
 * A store that is smaller than its anchor, or has another root at the anchor's size, was rolled
 * back.
 *
 * The file holds the checkpoint as a signed note. It is written off the path of the answers by a
 * thread of its own, at most a second after a checkpoint was signed, and at the end: what was
 * answered within the last second before a crash may not be anchored yet. It never goes backwards.
 */
#ifndef LEDGERD_ANCHOR_H
#define LEDGERD_ANCHOR_H

#include "files.h"
#include "note.h"

/* Where it is: as given (NULL or "": it is not), else DIR.anchor, for an absolute DIR (store_dir). EINVAL: the path is too long. */
enum ledger_rc anchor_path(const char *given, const char *dir, char out[FILES_PATH_MAX], struct ledger_err *err) LEDGER_MUST_USE;

/* Reads and verifies. ENOTFOUND: there is none. EINVAL: it is no checkpoint of this log. One that none
 * of the keys has signed (n <= 64) is no error: signed_by is 0 then, else it has a bit for each that
 * did. */
struct anchor_state {
    uint64_t size;
    struct hash root;
    uint64_t signed_by;
};
enum ledger_rc anchor_read(const char *path, struct crypto *c, const struct note_key *keys,
                           size_t n_keys, struct anchor_state *out, struct ledger_err *err) LEDGER_MUST_USE;
/* Writes now, durably: to another name, fsync, rename, fsync of the folder. */
enum ledger_rc anchor_write(const char *path, struct span note,
                            struct ledger_err *err) LEDGER_MUST_USE;

/* The thread. `size` is what the file holds already. Path is copied. Returns owned. */
struct anchor;
enum ledger_rc anchor_start(const char *path, uint64_t size, struct anchor **out,
                            struct ledger_err *err) LEDGER_MUST_USE;
/* A newer signed checkpoint; copied. Never waits for the disk. Any thread. */
void anchor_set(struct anchor *an, uint64_t size, struct span note);
uint64_t anchor_size(struct anchor *an); /* latest on the disk */
/* Writes what is not on the disk yet, ends the thread and frees. NULL is allowed. */
void anchor_stop(struct anchor *an);

#endif
