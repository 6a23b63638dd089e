/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust: which checkpoints of the ledger belong to one history. Every checkpoint that an answer stands on is a *node*; it is trusted
 * once a consistency proof links it to its *base*, another node, and the base is trusted. The first node is the pin, or, at the
 * first contact ever, the first checkpoint that was seen.
 *
 * A new node above all others has the highest node as base: it must begin with that one. A new node in between or below has the next
 * higher node as base: it must be a beginning of that one. So all trusted nodes are sizes of one growing tree. Proofs are asked for as soon as
 * checkpoints arrive, also from bases that are not trusted yet, so that pipelined answers do not wait for one another.
 *
 * No I/O; one thread.
 */
#ifndef LEDGERD_CLIENT_TRUST_H
#define LEDGERD_CLIENT_TRUST_H

#include "verify.h"

#define TRUST_NODES_MAX 256

struct trust_node {
    struct trust_node *next; /* ascending by size */
    uint64_t size;
    struct hash root;
    struct span note;        /* owned */
    struct span seal;        /* owned: evidence_seal of it; absent until trust_seal */
    bool seal_kept;          /* on disk, too; set by the caller */
    bool linked, trusted;
    const struct trust_node *base;
    uint64_t request_id;     /* of the consistency request, set by the caller; 0: not asked yet */
};
struct trust {
    struct trust_node *first;
    struct trust_node *latest; /* the largest trusted one; NULL: none */
    size_t n;
};
/* Two checkpoints that contradict each other; borrowed from the trust and the caller. */
struct trust_conflict {
    struct span known, received, proof, last; /* the latter two as in evidence.h */
};
/* Keeps the seal of a known checkpoint, in place of another one that was kept. False: out of memory. */
bool trust_seal(struct trust *t, const struct checkpoint *cp, struct span seal, bool kept) LEDGER_MUST_USE;
/* The seal that is kept for a note; absent if there is none. */
struct span trust_seal_of(const struct trust *t, struct span note);

void trust_init(struct trust *t);
void trust_free(struct trust *t);
/* Forgets all nodes that are not trusted: their proofs were asked for on a connection that is gone. */
void trust_forget_pending(struct trust *t);

/*
 * Learns of a checkpoint whose signature was checked. *out is its node: trusted, or in need of a proof (request_id 0: ask for consistency
 * between out->base and out). The note is copied. ETAMPER: another tree of the same size is known, *conflict says which. ELIMIT: too many are
 * waiting for proofs. ENOMEM.
 */
enum ledger_rc trust_see(struct trust *t, const struct checkpoint *cp, struct span note, struct trust_node **out,
                         struct trust_conflict *conflict, struct verdict *v) LEDGER_MUST_USE;
/* The node whose proof was asked for with this request; NULL if there is none. */
struct trust_node *trust_by_request(struct trust *t, uint64_t request_id);
/* Checks the proof between a node and its base. ETAMPER: it fails. */
enum ledger_rc trust_link(struct trust *t, const struct verifier *vf, struct trust_node *n, struct span path,
                          struct trust_conflict *conflict, struct verdict *v) LEDGER_MUST_USE;
/* Is this very tree trusted? Another root at a trusted size is not. */
bool trust_has(const struct trust *t, const struct checkpoint *cp);
/* Drops trusted nodes that nothing needs any more, but for the newest. */
void trust_prune(struct trust *t);

#endif
