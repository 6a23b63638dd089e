/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: THE verifier. Client, auditor and daemon check what a ledger says about itself here and nowhere else. No function
 * checks half a claim: what comes out is a verified object, and the only way to get one is to pass every check that it needs.
 *
 * A *verified snapshot* is a checkpoint that a policy vouches for and a seal in its tree, hence a chain map root. Everything about
 * chains is verified against one snapshot; everything about entries against its root.
 *
 * The seal is the last leaf of the checkpoint (verify_snapshot), unless the caller names another one (verify_snapshot_at): witnesses
 * cosign some checkpoints and not each, so that what was proven under one seal may stand under a larger, cosigned tree. What a chain
 * looks like is always said by the seal, and so "as of" and freshness are the seal's recorded time, never the checkpoint's or the
 * witnesses': else a seal of yesterday under a tree of today would pass for today's state.
 *
 * Functions return false with *v filled when something does not hold (verdict.h), true when all of it does. Results borrow from
 * the inputs and from the arena.
 */
#ifndef LEDGERD_PROTO_VERIFY_H
#define LEDGERD_PROTO_VERIFY_H

#include "chainmap.h"
#include "entry.h"
#include "event.h"
#include "log_keys.h"
#include "note.h"
#include "state.h"
#include "verdict.h"

struct verifier {
    struct crypto *c;
    struct arena *a;
    const struct policy *policy;
    struct hash index_key;      /* for chain keys; a receipt needs none */
    const char *origin;         /* the ledger that is meant; NULL: any that the policy lists */
    struct map_known *known;    /* for many chains of one snapshot (chainmap.h); may be NULL */
};

struct snapshot {
    struct checkpoint cp;
    struct policy_verdict trust;
    struct span note;
    struct header seal;
    struct hash seal_leaf;
};
/* What travels: protobuf's Snapshot, taken apart. `witnessed` is another checkpoint, older or newer: a note of its own, which says nothing
 * about this snapshot and is not looked at here. */
struct snapshot_claim { struct span note, seal, seal_path, witnessed; };
bool verify_snapshot(const struct verifier *vf, const struct snapshot_claim *claim, struct snapshot *out,
                     struct verdict *v) LEDGER_MUST_USE;
/* The same with the seal that ended the tree of `entries` leaves, 0 < entries <= the checkpoint's size: the seal, and only the seal, that
 * this caller has asked for. SNAPSHOT_ANY_SEAL, for files of which nobody can be asked: whichever seal it is; the caller then shows
 * seal.recorded_us as the time that everything is true of. */
#define SNAPSHOT_ANY_SEAL UINT64_MAX
bool verify_snapshot_at(const struct verifier *vf, const struct snapshot_claim *claim, uint64_t entries, struct snapshot *out,
                        struct verdict *v) LEDGER_MUST_USE;
/* A checkpoint alone (hello, submit): log signature and quorum. */
bool verify_checkpoint(const struct verifier *vf, struct span note, struct checkpoint *cp, struct policy_verdict *trust,
                       struct verdict *v) LEDGER_MUST_USE;
/* The newer tree begins with the older one. size 0 is consistent with anything. */
bool verify_consistency(const struct verifier *vf, uint64_t size1, const struct hash *root1, uint64_t size2,
                        const struct hash *root2, struct span path, struct verdict *v) LEDGER_MUST_USE;

/* ---- entries ---- */
struct entry_claim {
    struct span header, event, block;
    bool withheld;
    struct span opening; /* erased: in place of event and block; else what was asked for, or absent */
    uint64_t erased_by;  /* said to be erased under that entry: to be verified there */
};
struct entry {
    struct header header;
    struct hash leaf;
    bool own;                  /* kind < 64 */
    bool content;              /* event and block are here and are the ones that the header names */
    struct event event;        /* content, not own */
    struct sigblock block;     /* content, not own or signed by persons */
    uint64_t erased_by;        /* the claim's */
};
/* Header, and (if neither withheld nor erased) that event and block are those it names, strictly decoded. Says nothing about the log. */
bool verify_entry(const struct verifier *vf, const struct entry_claim *claim, struct entry *out, struct verdict *v)
    LEDGER_MUST_USE;
/* … and that it is entry header.index of the tree of `cp`. */
bool verify_inclusion(const struct verifier *vf, const struct entry *e, const struct checkpoint *cp, struct span path,
                      struct verdict *v) LEDGER_MUST_USE;
/* The act under which an entry is said to be erased: it is that entry, an ERASURE, and names the event. `payload` is the act's content.
 * Who signed it is for verify_receipt, what became of the states for verify_opening. */
bool verify_erasure(const struct entry *erased, const struct entry *act, struct span payload, struct erasure *out, struct verdict *v)
    LEDGER_MUST_USE;
/* What was kept in the place of erased content: each state in it is what the header commits to. */
bool verify_opening(const struct verifier *vf, const struct header *h, struct span bytes, struct verdict *v) LEDGER_MUST_USE;
/* Signature i of the entry under a key. */
bool verify_signature(const struct verifier *vf, struct span origin, const struct entry *e, unsigned i, unsigned alg,
                      struct span key, struct verdict *v) LEDGER_MUST_USE;

/* The key that a registration (REGISTER, ROTATE_KEY, or the genesis for the first administrator, whose payload is then asked for) gives
 * to a party. `reg` has its content. */
struct registered_key {
    unsigned alg;
    uint8_t key[KEY_LEN_MAX];
    size_t n;
};
bool verify_registration(const struct entry *reg, struct span payload, struct span party, struct registered_key *out, struct verdict *v)
    LEDGER_MUST_USE;
/* All entries of a party's chain, proven complete, with their content. */
struct party_history {
    struct span party;
    size_t n;
    const struct entry *entries;
    const struct entry_claim *raw;
};
/* All signatures of an event, each under the key that its signer held when it was recorded: as many as the kind has, by different
 * parties, none of them revoked. Says nothing about roles. */
bool verify_signers(const struct verifier *vf, struct span origin, const struct entry *e, const struct party_history *parties, size_t n,
                    struct verdict *v) LEDGER_MUST_USE;

/* ---- chains ---- */
#define CHAIN_LOGS_MAX 8
/* A header, taken apart once for all chains whose latest entry it is: what it says and its leaf hash, and nothing about the log. */
struct known_header {
    struct span bytes; /* borrowed */
    struct header header;
    struct hash leaf;
};
bool verify_header(const struct verifier *vf, struct span bytes, struct known_header *out, struct verdict *v) LEDGER_MUST_USE;

struct member_claim { unsigned log; size_t n; const struct span *members; };
struct chain_claim {
    enum chain_type type;
    struct span id;
    struct span map_proof, head, salt, state;
    const struct known_header *head_known; /* what verify_header made of these very bytes of `head`, or NULL */
    const struct member_claim *logs;
    size_t n_logs;
    bool withheld;
};
struct proven_chain {
    bool present;              /* false: absence is proven */
    struct chain chain;        /* id, key, count, head; state unless withheld */
    struct header head;
    bool opened;               /* the state is here and is what the head commits to */
    const struct member_claim *logs[CHAIN_LOGS_MAX]; /* by log number: all members, proven complete; NULL if not given */
};
/* Zeros, but for the state (state.h, chain_clear_head). */
void proven_chain_clear(struct proven_chain *pc);
/* Map proof under the snapshot's map root, head header, its link, the opening, and every member log that is given. */
bool verify_chain(const struct verifier *vf, const struct snapshot *s, const struct chain_claim *claim,
                  struct proven_chain *out, struct verdict *v) LEDGER_MUST_USE;
/* Entry number `seq` of a chain, given the leaf hash that its successor (or the map) names; walks backwards or forwards:
 * checks the entry's own bytes, its link for the chain and that leaf == *expected; then sets *expected to the link's prev. */
bool verify_chain_entry(const struct verifier *vf, const struct proven_chain *pc, uint64_t seq, const struct entry *e,
                        struct hash *expected, struct verdict *v) LEDGER_MUST_USE;

/* … and that it was recorded before its successor in the chain: at a smaller index, and not later. */
bool verify_chain_order(const struct header *before, const struct header *after, struct verdict *v) LEDGER_MUST_USE;

/* A kv of proven chains: judge.h's questions (standing, lineage) can then be asked of a set of them exactly as the daemon
 * asks its own store. `add` indexes chain record and members. Reading what was not proven is ENOTFOUND … and *missing is set, so
 * that an answer computed from an incomplete set is never mistaken for one. */
struct proven_set;
struct proven_set *proven_set_new(struct crypto *c, size_t budget_bytes); /* returns owned */
void proven_set_free(struct proven_set *s);
enum ledger_rc proven_set_add(struct proven_set *s, const struct proven_chain *pc) LEDGER_MUST_USE;
struct kv proven_set_kv(struct proven_set *s);
bool proven_set_missing(const struct proven_set *s, struct hash *chain_key);

/* ---- receipts ---- */
struct signer_key_claim { struct span party; struct entry_claim registration; struct span path; };
struct receipt_claim {
    struct span origin;
    struct entry_claim entry;
    struct span path;
    struct snapshot_claim snapshot;
    const struct signer_key_claim *keys;
    size_t n_keys;
    const struct log_key_claim *log_keys; /* followed from the policy's keys (log_keys.h) */
    size_t n_log_keys;
};
struct receipt {
    struct snapshot snapshot;
    struct entry entry;
    const struct policy *policy; /* the verifier's, or that one with the keys that follow: snapshot.trust is about it */
    unsigned signatures_checked; /* under keys whose registration is in the same log */
    /* Where the verification fails, these say whom it speaks against: what is proven up to there stands. */
    bool recorded;               /* the log has signed a tree that holds this entry, with this content */
    bool forged;                 /* … which breaks a rule of signatures all by itself: it convicts the ledger */
};
bool verify_receipt(const struct verifier *vf, const struct receipt_claim *claim, struct receipt *out, struct verdict *v)
    LEDGER_MUST_USE;

#endif
