/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge: the rules (version 1), as one deterministic function over the states of the subjects that an event names.
 * It runs in the daemon's writer, in an auditor's replay and in a simulation alike: no clock, no I/O, no randomness.
 *
 * A verdict is reached in two steps: all checks, in the order of the rules, without changing anything; then, if none
 * failed, the effects on the loaded chains. The caller turns the touched chains into links (machine.h).
 */
#ifndef LEDGERD_PROTO_JUDGE_H
#define LEDGERD_PROTO_JUDGE_H

#include "event.h"
#include "state.h"

/* One signature, as far as the rules ask. */
struct signer {
    struct span party;
    struct span meaning; /* absent: none given */
};

/* A member appended to a log of a touched chain. */
struct appended {
    struct appended *next;
    unsigned log;
    uint64_t number;
    struct span bytes;
};
/* A chain that this judgement has loaded. */
struct loaded {
    struct chain chain;          /* with `touched`: the new state */
    bool touched;                /* the event advances it */
    struct appended *first, *last;
    struct loaded *next;
};

/* Facts about the ledger that are no chain's: kept by the caller (machine.h keeps them in its KV_META record). */
struct registry {
    uint64_t parties;      /* ever registered */
    uint64_t admins;       /* unrevoked parties with role ADMIN */
};

struct judge {
    /* Set by the caller; borrowed. */
    struct crypto *c;
    struct arena *a;             /* all memory of this judgement; spans of results live there */
    const struct kv *kv;
    const struct hash *index_key;
    bool wire;                   /* real keys and signatures; false in a simulation */
    struct span origin;
    int64_t recorded_us;
    int64_t tolerance_us;        /* clock tolerance; 0 in a simulation */
    uint64_t index;              /* index that the entry will have; ≥ 1 */
    uint64_t algorithms;         /* bit n: new keys may be of algorithm n; 0: of every one that this program knows */
    struct registry registry;    /* in, and after an acceptance out */
    /* Does signature i (0-based) verify under this party's present key? NULL in a simulation. */
    bool (*signature_ok)(void *ctx, unsigned i, const struct party_state *p);
    void *signature_ctx;
    /* Kept by judge. */
    struct loaded *loaded;
    struct hash reference;       /* of an event that was accepted, or is a duplicate: its key in KV_REFERENCE */
    enum ledger_rc rc;           /* sticky: a store error or out of memory; then the verdict means nothing */
    struct ledger_err err;
};

/* OK: accepted; j->loaded holds the touched chains in the order of the rules' table and j->registry the new counts.
 * EREFUSED: *why. Anything else: an error; nothing was judged. */
enum ledger_rc judge_event(struct judge *j, const struct event *ev, const struct signer *signers, unsigned n,
                           struct refusal *why) LEDGER_MUST_USE;

/* Check 4 uses KV_REFERENCE under this key; over the wire the name space is the first signer's, in a simulation
 * (wire false) it is one for all. out has HASH_LEN bytes. */
struct span judge_reference_key(struct judge *j, struct span first_signer, struct span reference, uint8_t *out);

/* Loads a chain (from this judgement's cache or the kv). NULL with j->rc set on a store error; otherwise a chain whose
 * `exists` says whether there is one. */
struct loaded *judge_load(struct judge *j, enum chain_type t, struct span id);
/* Member `number` of a log of a chain. False with j->rc set if it is missing. */
bool judge_member(struct judge *j, const struct chain *ch, unsigned log, uint64_t number, struct span *out);

#endif
