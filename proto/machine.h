/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine: the ledger as a deterministic machine over a kv. Given the entries so far, an event with its signatures, a recorded
 * time and an epoch, it either refuses or appends: judges, derives the new states, commits to them, links the chains, encodes
 * the header, extends the tree. A seal ends each batch.
 *
 * The daemon's writer feeds it what clients sent; `ledgerd check`, `ledgerd rebuild`, auditors and witnesses feed it what the log says
 * (machine_replay) and compare every byte of what it derives. There is one machine, so there is one meaning.
 *
 * Failure: EREFUSED changes nothing. Any other error leaves the kv in an unknown state: discard the batch (kv_mem) and
 * machine_load again.
 */
#ifndef LEDGERD_PROTO_MACHINE_H
#define LEDGERD_PROTO_MACHINE_H

#include "chainmap.h"
#include "entry.h"
#include "judge.h"
#include "note.h"
#include "verdict.h"

#define FORMAT_VERSION 1

struct machine {
    /* Set by the caller, borrowed. */
    struct crypto *c;
    struct arena *a;       /* scratch; the caller resets it between calls */
    struct kv kv;
    struct hash index_key;
    bool wire;             /* false: a simulation without signatures */
    /* A partial replay (dossier.h): kv holds some of the chains, and the caller sets `size` before each entry. Not kept are the tree and
     * histories; not asked is what takes the whole log: that a stamped checkpoint is of this tree, what an ERASURE does to records. */
    bool partial;
    /* Loaded from KV_META "machine" by machine_load, saved by machine_seal. */
    uint64_t size;         /* entries so far = index of the next one */
    uint64_t batch_first;  /* index at which the open batch began; == size right after a seal */
    uint64_t epoch;
    int64_t recorded_us;   /* of the latest entry; never runs backwards */
    uint64_t seal;         /* index of the latest seal; 0 none */
    struct hash seal_leaf, map_root;
    uint64_t chains;
    int64_t tolerance_us;
    uint32_t heartbeat_s;
    struct registry registry;
    uint64_t algorithms;   /* mask of judge.h; 0: no PARAMETERS yet */
    uint64_t erased_open;  /* erased entries whose ERASURE has not been reached: 0 at the end of every honest log */
    char origin[ORIGIN_MAX + 1];
    /* The key that signs checkpoints from log_key_from on, and the one that did so before ("" if that is the first). */
    uint64_t log_key_from;
    char log_vkey[NOTE_NAME_MAX + 200], log_vkey_before[NOTE_NAME_MAX + 200];
    struct frontier tree;  /* the tree's right edge, once machine_tree_load or an append has read it: tree.size == size */
    /* What was verified last at each position: events of one batch share their signatures, which are then checked once. */
    struct hash verified[SIGNATURES_READ_MAX];
};

/* ENOTFOUND: an empty kv, no genesis yet. The caller's fields must be set. */
enum ledger_rc machine_load(struct machine *m, struct ledger_err *err) LEDGER_MUST_USE;

struct appended_entry {
    uint64_t index;
    struct span header;    /* in the scratch arena */
    struct hash leaf;
};

/* Entry 0. Also registers the first administrator. EINVAL if the machine is not empty or the payload is wrong. */
enum ledger_rc machine_genesis(struct machine *m, struct span payload, int64_t recorded_us, struct appended_entry *out,
                               struct ledger_err *err) LEDGER_MUST_USE;
/* EPOCH, CLOCK_STEP, LOG_KEY, TIME_STAMP, SUCCESSOR. EINVAL: the payload is not what may come next. */
enum ledger_rc machine_own(struct machine *m, enum own_kind kind, struct span payload, int64_t recorded_us,
                           struct appended_entry *out, struct ledger_err *err) LEDGER_MUST_USE;
/* The parameters in force; before the first PARAMETERS entry: every algorithm that this version knows, no retention. In the arena. */
enum ledger_rc machine_parameters(struct machine *m, struct parameters *out, struct ledger_err *err) LEDGER_MUST_USE;
/* The verifier key of the checkpoint of that size, as far as the machine remembers: the present key and the one before it. */
const char *machine_log_vkey(const struct machine *m, uint64_t size);

/* What was found out beforehand about signature i: does it verify for this machine's origin, under the key with the id that it names? */
struct preverified { bool ok[SIGNATURES_READ_MAX]; };

/*
 * Judges and appends. `ev` is decoded from its bytes and `block` is its signature block's bytes, decoded as `b`; pre may be NULL.
 * A signature counts only if its key id is the party's present key and it verifies (again, unless pre says that it did under
 * that very key id). recorded_us earlier than the latest entry's is raised to it.
 * OK: *out. EREFUSED: *why; for the same event again: E_DUP_EVENT with *out->index naming the recorded entry.
 * In a simulation b is NULL and signers are given instead.
 */
struct submission {
    const struct event *ev;
    struct span block;
    const struct sigblock *b;
    const struct preverified *pre;
    const struct signer *signers; /* simulation only */
    unsigned n_signers;
    bool unrecorded;              /* the caller has asked machine_find_event just now, and there is none */
};
enum ledger_rc machine_event(struct machine *m, const struct submission *s, int64_t recorded_us,
                             struct appended_entry *out, struct refusal *why, struct ledger_err *err) LEDGER_MUST_USE;

/*
 * PARAMETERS, ERASURE: acts of the ledger that two persons sign: first an ADMIN, second QA or REGULATORY, over the payload's event id.
 * An ERASURE puts the records of its targets into their erased form. OK, EREFUSED as machine_event.
 */
struct signed_own {
    enum own_kind kind;
    struct span payload, block;
    const struct sigblock *b;      /* block, decoded */
    const struct preverified *pre; /* may be NULL */
};
enum ledger_rc machine_own_signed(struct machine *m, const struct signed_own *s, int64_t recorded_us, struct appended_entry *out,
                                  struct refusal *why, struct ledger_err *err) LEDGER_MUST_USE;

/* Is this very event already recorded? OK: *index, and *same_block says whether with the same signature block. */
enum ledger_rc machine_find_event(struct machine *m, const struct hash *event_id, struct span block, uint64_t *index,
                                  bool *same_block, struct ledger_err *err) LEDGER_MUST_USE;

/* Ends the batch: chain map, SEAL entry, KV_CHECKPOINT, KV_META. */
enum ledger_rc machine_seal(struct machine *m, int64_t recorded_us, struct appended_entry *out, struct checkpoint *cp,
                            struct ledger_err *err) LEDGER_MUST_USE;

/* Reads the tree's right edge, if it is not there. From then on roots and paths of new entries come of it alone: what rots in the stored tree
 * cannot become part of them. ETAMPER: a hash is missing. */
enum ledger_rc machine_tree_load(struct machine *m, struct ledger_err *err) LEDGER_MUST_USE;
/* Of a stored tree of `size` leaves: does nothing stand behind the last node of that level, a multiple of MERKLE_STEP, in its row? */
bool kv_tree_ends(const struct kv *kv, uint64_t size, unsigned level) LEDGER_MUST_USE;
/* The tree of a kv, for proofs; borrows kv. */
struct merkle_store kv_tree(struct kv *kv);
/* Is this the leaf of entry `index`? Not, too, if there is none. */
bool kv_tree_has_leaf(struct kv *kv, uint64_t index, const struct hash *leaf) LEDGER_MUST_USE;
struct merkle_store machine_tree(struct machine *m);

/* Makes an empty machine a simulation: no genesis, no signatures, scenario files' name spaces (judge.h). */
enum ledger_rc machine_simulate(struct machine *m, struct ledger_err *err) LEDGER_MUST_USE;

struct entry;

/*
 * Replays one recorded entry: derives it from (event, block) and the header's recorded time and epoch, and compares with the header
 * byte by byte. Of an erased event the states are taken from the opening instead, checked against the header's commitments; its ERASURE
 * must follow (erased_open). `skip_signatures` skips only the signature verification ("hashes only").
 * OK: the machine has appended it. ETAMPER: *v names entry and field that differ. EVERSION: needs a newer program.
 */
struct replay_options {
    bool skip_signatures;
    const struct preverified *pre;
    /* What verify_entry made of the very bytes that are given, or NULL: then content is compared with the header, and decoded, here. */
    const struct entry *verified; /* verify.h */
};
enum ledger_rc machine_replay(struct machine *m, const struct entry_record *r, const struct replay_options *o, struct verdict *v,
                              struct ledger_err *err) LEDGER_MUST_USE;

#endif
