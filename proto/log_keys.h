/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_keys: following a log from one checkpoint key to the next (docs/format.md, section 10).
 *
 * A change is a LOG_KEY entry, shown under the checkpoint of its own batch, of size S: the last one that the old key signs. From S + 1 on
 * the new key signs, and nobody else. Whoever trusts the old key, and the witnesses of the policy, for that checkpoint may so trust the new
 * key for the later ones: the entry names both, and the new key has proven that it exists. What this cannot show: that S continues what
 * was seen before. A client demands a consistency proof for it as for every other checkpoint.
 *
 * Pure; any thread.
 */
#ifndef LEDGERD_PROTO_LOG_KEYS_H
#define LEDGERD_PROTO_LOG_KEYS_H

#include "entry.h"
#include "note.h"
#include "verdict.h"

#define LOG_KEY_CHANGES_MAX (POLICY_LOGS_MAX - 1) /* of one ledger */

/* As it travels: a LOG_KEY entry under the checkpoint that covers it. */
struct log_key_claim { struct span header, payload, path, note; };

/* One change that holds, apart from the question who trusts its checkpoint. Spans borrow from the claim. */
struct log_key_step {
    uint64_t from_size; /* first size that the new key signs */
    struct note_key old_key, new_key;
    struct checkpoint cp; /* of size from_size − 1 */
};
/* The entry's own part: header, payload, both keys, the new key's proof of possession, the place in the tree of the note's checkpoint.
 * Says nothing about the note's signatures. */
bool log_key_step_verify(struct crypto *c, struct arena *a, const char *origin, const struct log_key_claim *claim,
                         struct log_key_step *out, struct verdict *v) LEDGER_MUST_USE;

/*
 * Takes changes, in the order of the log, into a policy: the keys that follow from those that it lists become logs of it, and each key gets
 * the sizes that it signs (policy.log_from, log_until). Changes from keys that the policy does not list, before the first that it does,
 * are passed over, as are those that it has taken before. *taken is how many were new to it.
 *
 * False: *v. UNTRUSTED: a checkpoint does not meet the quorum, or the changes are not those of a key that the policy lists. TAMPERED: a key
 * that the policy trusts has signed what cannot be: two successors of one key, or a change that does not hold. Changes before
 * the one that failed have been taken; *taken counts them, and *failed says which one it was.
 */
bool log_keys_follow(struct crypto *c, struct arena *a, const char *origin, struct policy *p, const struct log_key_claim *claims,
                     size_t n, unsigned *taken, size_t *failed, struct verdict *v) LEDGER_MUST_USE;

/* Index in p->logs of the key in force for the newest sizes, as far as the policy knows; −1: it lists no key of this origin. More than one
 * that no change has ended: *unclear. */
int log_keys_newest(const struct policy *p, const char *origin, bool *unclear);

/* For those who have replayed the log up to a checkpoint and so know its key (machine_log_vkey): has this very key signed it? */
bool log_key_signed(struct crypto *c, struct arena *a, const char *vkey, struct span note) LEDGER_MUST_USE;

#endif
