/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dossier: one file with all that is needed to check items without any server: whole chains, each proven complete by the chain map
 * under one checkpoint, and the entries on them with their signed content. Layout and order of checks: docs/format.md, section 16.
 *
 * dossier_verify derives everything again from the file alone. The entries are replayed in the order of the log by the one machine
 * (machine.h, `partial`): whatever can be judged with what is here is judged, and its header compared byte by byte. Where a judgement
 * needs a chain that is not here, or content that is withheld or erased, the states are taken from an *opening*, checked against the
 * header's commitments, and counted as such.
 *
 * What a verdict says: DAMAGED, the file is not what it claims to be (altered, cut, incomplete), which whoever made or kept it may
 * have done; UNTRUSTED, the policy does not vouch for its checkpoint; TAMPERED, what the log has committed to and signed contradicts
 * itself, and the file is the evidence. Pure; any thread.
 */
#ifndef LEDGERD_PROTO_DOSSIER_H
#define LEDGERD_PROTO_DOSSIER_H

#include "standing.h"
#include "verify.h"

/* ---- the file, taken apart ---- */

struct dossier_name {
    enum chain_type type;
    struct span id;
};
struct dossier_chain {
    struct dossier_name name;
    struct span map_proof;
    struct span salt, state;          /* absent of a chain that is proven absent */
    size_t n_logs;
    struct member_claim *logs;        /* every list of the state, ascending */
    size_t n;
    uint64_t *entries;                /* indexes, sequence number 0 first */
};
struct dossier_stamp { uint64_t entry; struct span path; };
enum dossier_closure { DOSSIER_NAMED = 0, DOSSIER_BACK, DOSSIER_FORWARD }; /* numbers of Closure in ledger.proto */
struct dossier {
    struct span origin, index_key;
    size_t n_subjects;
    struct dossier_name *subjects;    /* what it is about */
    unsigned closure;                 /* enum dossier_closure */
    struct snapshot_claim snapshot;
    size_t n_chains;
    struct dossier_chain *chains;     /* ascending by chain key */
    size_t n_entries;
    struct entry_claim *entries;      /* ascending by index; opening only where needed */
    size_t n_log_keys;
    struct log_key_claim *log_keys; /* in the order of the log */
    size_t n_withheld;
    struct span *withheld;            /* names of kinds of which content may be left out, ascending */
    size_t n_stamps;
    struct dossier_stamp *stamps;     /* ascending by entry */
};
/* The bytes of the file. SPAN_NONE: over the budget. */
struct span dossier_encode(struct crypto *c, struct arena *a, const struct dossier *d);
/* Borrows from `file`. EINVAL: damaged, or not in its one form. EVERSION: a newer one. ENOMEM. */
enum ledger_rc dossier_decode(struct crypto *c, struct arena *a, struct span file, struct dossier *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* Does the file begin like a dossier, of whatever version? */
bool dossier_begins(struct span file);

/* ---- what was proven ---- */

enum dossier_basis {
    DOSSIER_DERIVED = 0, /* judged by the rules; all its links and states derived again */
    DOSSIER_OUTSIDE,     /* judging it takes chains that are not here: states taken from its commitment, signatures verified */
    DOSSIER_WITHHELD,    /* content withheld: states taken from its commitment */
    DOSSIER_ERASED,      /* content erased: states taken from its commitment */
    DOSSIER_BASES
};
struct dossier_entry {
    const struct entry_claim *claim;
    struct header header;
    struct hash leaf;
    enum dossier_basis basis;
};
struct dossier_proven { /* a chain of the file */
    const struct dossier_chain *chain;
    struct hash key;
    bool present;       /* false: proven absent */
    uint64_t count, head_index;
};
/* A recorded time stamp over a checkpoint that is proven to be a beginning of the snapshot's tree. Its token is not looked at here. */
struct dossier_stamped { const struct dossier_entry *entry; uint64_t size; };
struct dossier_state;
struct dossier_proof {
    /* As of snapshot.seal.recorded_us: the checkpoint may be a larger one, which witnesses have cosigned (verify.h). */
    struct snapshot snapshot;
    const struct policy *policy;    /* the verifier's, or that one with the keys that follow: snapshot.trust is about it */
    size_t n_chains, n_entries;
    struct dossier_proven *chains;  /* in the order of the file */
    struct dossier_entry *entries;
    uint64_t bases[DOSSIER_BASES];  /* how many entries */
    uint64_t signatures;            /* verified, one for each entry and signer … */
    uint64_t distinct;              /* … of which so many are different ones: a batch shares its signatures */
    size_t n_stamps;
    struct dossier_stamped *stamps;
    struct hash index_key;
    struct dossier_state *state;    /* the chains as the replay left them; dossier_proof_free */
};
/*
 * Verifies everything but standing. vf: policy, and the origin that is meant or NULL; its index key is not used. Results live in vf's
 * arena. *out is to be freed in either case. `budget` bounds the memory of the replayed chains, in bytes.
 */
bool dossier_verify(const struct verifier *vf, const struct dossier *d, size_t budget, struct dossier_proof *out, struct verdict *v)
    LEDGER_MUST_USE;
/* The same for a dossier in the making, whose entries may all have openings; those that nobody needs are taken out of it. */
bool dossier_prune(const struct verifier *vf, struct dossier *d, size_t budget, struct verdict *v) LEDGER_MUST_USE;
void dossier_proof_free(struct dossier_proof *p);

/* The chain, or NULL if it is not in the file. */
const struct dossier_proven *dossier_find(struct crypto *c, const struct dossier_proof *p, enum chain_type t, struct span id);
/* The entry with that index, or NULL. */
const struct dossier_entry *dossier_entry_at(const struct dossier_proof *p, uint64_t index);
/* The state of a chain that is present; its spans borrow from the file. */
bool dossier_chain_state(const struct dossier_proven *pc, struct chain *out) LEDGER_MUST_USE;
/* Decodes an entry's content (verify_entry); spans borrow from the file and the arena. */
bool dossier_content(const struct verifier *vf, const struct dossier_entry *e, struct entry *out) LEDGER_MUST_USE;

/*
 * The question of standing.h, of the chains as of the seal. ENOTFOUND: the answer leads outside the dossier, and *out is then no
 * more than the reasons found on the way.
 */
enum ledger_rc dossier_standing(struct crypto *c, struct arena *a, const struct dossier_proof *p, const struct standing_query *q,
                                struct findings *out, struct ledger_err *err) LEDGER_MUST_USE;

#endif
