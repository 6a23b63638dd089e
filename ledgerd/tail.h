/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail: is the end of the store what was last signed? Looked at before anything new is signed, by
 * `run` and by `check`.
 */
#ifndef LEDGERD_TAIL_H
#define LEDGERD_TAIL_H

#include "machine.h"
#include "store/store.h"

#define TAIL_ENTRIES 1000 /* whose leaf hashes are derived from the stored headers again */

struct tail {
    struct machine m;    /* loaded; its kv is the snapshot's and dies with it */
    struct hash root;    /* of the checkpoint at m.size */
    struct note_key key; /* the log key in force */
};
/*
 * Loads the machine and verifies: the folder's keys are this ledger's; the log ends with the seal
 * that the machine names; headers, contents and tree of the last TAIL_ENTRIES entries agree; the
 * last checkpoint is the tree's root; the chain map's root leads to the ledger's own chain.
 * ETAMPER: something does not. ENOTFOUND: no genesis. The arena is scratch.
 */
enum ledger_rc tail_verify(struct store *s, struct store_snapshot *sn, struct crypto *c,
                           struct arena *a, struct tail *out,
                           struct ledger_err *err) LEDGER_MUST_USE;

/*
 * Compares the tree with the anchor. ETAMPER: rolled back. ENOTFOUND: there is no anchor; that is
 * in order only for a ledger that was never started (out->m.epoch == 0). *size is the anchor's.
 */
enum ledger_rc tail_anchor(const char *path, const struct tail *t, uint64_t *size,
                           struct ledger_err *err) LEDGER_MUST_USE;

/* The key that signs checkpoints: the log key that the machine names. EINVAL: the folder holds
 * another one, and is not in the middle of replacing it (log_key.h). */
enum ledger_rc tail_log_key(struct store *s, const struct machine *m, struct note_key *out,
                            struct ledger_err *err) LEDGER_MUST_USE;

#endif
