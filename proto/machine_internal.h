/* SPDX-License-Identifier: Apache-2.0 */
/* machine_internal: what machine.c shares with machine_own.c and replay.c. */
#ifndef LEDGERD_PROTO_MACHINE_INTERNAL_H
#define LEDGERD_PROTO_MACHINE_INTERNAL_H

#include "machine.h"

/* A chain that an entry advances: its state before and after is in `chain`, which already holds the new facts. */
struct advance {
    struct chain *chain;
    const struct appended *members;
    struct hash salt;
};

/* Links the chains, encodes the header, writes record, tree, chains and members. h has kind, event_id and block_hash. */
enum ledger_rc machine_append(struct machine *m, struct header *h, struct span nonce, struct span event, struct span block,
                              struct advance *adv, size_t n, struct appended_entry *out, struct ledger_err *err)
    LEDGER_MUST_USE;

#endif
