/* SPDX-License-Identifier: Apache-2.0 */
/* restore: what the two files of `ledgerd restore` share: restore.c, the command; restore_replay.c, the entries. */
#ifndef LEDGERD_BACKUP_RESTORE_H
#define LEDGERD_BACKUP_RESTORE_H

#include <limits.h>

#include "check_internal.h"
#include "config.h"
#include "sources.h"

#define RESTORE_LIST_MAX 1024u

struct restore {
    /* Arguments. */
    const char *path, *dir, *keys, *anchor_given, *config_given;
    const char *refills[RESTORE_LIST_MAX], *knowns[RESTORE_LIST_MAX];
    size_t n_refills, n_knowns;
    bool json, quiet;
    /* Made on the way. */
    struct crypto *c, *sources_c; /* the sources' own: they are read in other threads */
    struct arena *a, *scratch;
    char final[FILES_PATH_MAX], work[FILES_PATH_MAX], anchor[FILES_PATH_MAX]; /* work: "" once it has its name */
    struct sources *sources;
    struct target *backup; /* the sources' */
    struct config config;
    bool config_loaded, short_of, asked;
    struct store *store;
    struct span note;
    uint64_t size, refilled, erased;
    char origin[ORIGIN_MAX + 1];
    const char *missing_key;
    struct progress progress;
};

/*
 * Replays entries 0 to r->size − 1 from the sources into a new store in r->work, verifying each, and compares the roots of the known
 * checkpoints. ETAMPER: one of them is signed by this ledger and of another history. EINVAL: the sources do not fit together, or a known
 * checkpoint is not the ledger's.
 */
enum ledger_rc restore_replay(struct restore *r, struct ledger_err *err) LEDGER_MUST_USE;

#endif
