/* SPDX-License-Identifier: Apache-2.0 */
/* machine_internal: what machine.c shares with machine_own.c and replay.c. */
#ifndef LEDGERD_PROTO_MACHINE_INTERNAL_H
#define LEDGERD_PROTO_MACHINE_INTERNAL_H

#include "machine.h"
#include "opening.h"

/* A chain that an entry advances: its state before and after is in `chain`, which already holds the new facts. */
struct advance {
    struct chain *chain;
    const struct appended *members;
    struct hash salt; /* given where there is no nonce */
    struct span fields; /* of the state after the entry, encoded once (state_fields) */
};
/* What stands behind a header. */
struct content {
    struct span nonce; /* absent: of an erased event, whose salts are in its opening */
    struct entry_record record; /* the header is filled in */
};

/* Links the chains, encodes the header, writes record, tree, chains and members. h has kind, event_id and block_hash. */
enum ledger_rc machine_append(struct machine *m, struct header *h, struct content *content, struct advance *adv, size_t n,
                              struct appended_entry *out, struct ledger_err *err) LEDGER_MUST_USE;
/* What machine_append does for one chain: its members and its record, one entry further. */
enum ledger_rc machine_save_chain(struct machine *m, struct advance *adv, const struct appended_entry *e, struct ledger_err *err)
    LEDGER_MUST_USE;
/* A row of the view or the log; an absent value stands for "out of memory". */
enum ledger_rc machine_put(struct machine *m, enum kv_table t, struct span key, struct span value, struct ledger_err *err)
    LEDGER_MUST_USE;
/* Does signature i verify under the party's key? For judge.h and for acts of the ledger that persons sign. */
struct signed_thing {
    struct machine *m;
    const struct hash *id;          /* event id that was signed */
    const struct sigblock *b;
    const struct preverified *pre;  /* may be NULL */
    bool no_memory;                 /* set where one could not be verified for want of it: then nothing is known */
};
bool machine_signature_ok(void *signed_thing, unsigned i, const struct party_state *p);
/* machine_erase.c: the effects of an ERASURE on the records of its targets. EREFUSED: *why, and nothing was changed. */
enum ledger_rc machine_erase_targets(struct machine *m, const struct erasure *e, int64_t recorded_us, struct refusal *why,
                                     struct ledger_err *err) LEDGER_MUST_USE;

/* The replay of an erased event: states from its opening. */
#define CHAIN_OPENED_LOGS 256 /* lists have a u8 number */
enum ledger_rc machine_erased(struct machine *m, const struct header *recorded, const struct entry_record *r, struct appended_entry *out,
                              struct ledger_err *err) LEDGER_MUST_USE;
/* A partial replay: the states of those chains whose links the opening opens, checked as above. */
enum ledger_rc machine_opened(struct machine *m, const struct header *recorded, const struct hash *leaf, const struct opening *o,
                              struct ledger_err *err) LEDGER_MUST_USE;

#endif
