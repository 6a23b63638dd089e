/* SPDX-License-Identifier: Apache-2.0 */
/*
 * preverify: signatures of recorded entries, verified before the machine asks for them (machine.h, struct preverified), so that other threads can do it
 * ahead of the one that derives.
 *
 * Happy path: known_keys_new; known_keys_add of what registered_key_of finds in each entry, in the order of the log; for an entry
 * known_keys_of, preverify; what it says goes to machine_replay.
 *
 * What is found says that a signature verifies for a ledger of that origin, which has to be the machine's, under the key with the id that it names, and
 * nothing of whose key that is: the machine asks. Key ids are hashes that are computed here, so that a wrong key could make a signature
 * go unverified here, but never count. A signature that
 * could not be verified here, for want of its key or of memory, is verified by the machine.
 *
 * Threads: the keys may be asked by several at a time, and added to by one alone; a known_key that was found needs no lock, since it never moves. A
 * preverifier belongs to one thread.
 */
#ifndef LEDGERD_PROTO_PREVERIFY_H
#define LEDGERD_PROTO_PREVERIFY_H

#include "kv.h"
#include "machine.h"
#include "verify.h"

/* Public keys by key id. Grows only. */
struct known_key;
struct known_keys;
struct known_keys *known_keys_new(size_t budget_bytes); /* returns owned; NULL: out of memory */
void known_keys_free(struct known_keys *k);             /* NULL is allowed */
bool known_keys_has(const struct known_keys *k, struct span key_id) LEDGER_MUST_USE;
/* OK also if it is known. ENOMEM: over the budget. */
enum ledger_rc known_keys_add(struct known_keys *k, struct crypto *c, const struct registered_key *key) LEDGER_MUST_USE;
/* For each signature of a block the key that it names, or NULL. */
void known_keys_of(const struct known_keys *k, const struct sigblock *b, const struct known_key *out[SIGNATURES_READ_MAX]);

/* The key that an entry registers, whoever's it is: `payload` is its content. False: none. */
bool registered_key_of(const struct entry *e, struct span payload, struct registered_key *out) LEDGER_MUST_USE;
/* The key with that id, as a view says, which may be any: found are only present keys. False: none. */
bool registered_key_in(const struct kv *view, struct crypto *c, const struct hash *index_key, struct span key_id, struct registered_key *out)
    LEDGER_MUST_USE;

struct preverifier {
    struct crypto *c;
    struct arena *a;                       /* reset by each call */
    struct hash seen[SIGNATURES_READ_MAX]; /* events that were signed together share their signatures: each is verified once */
};
/* `e` as verify_entry made it; `keys` as known_keys_of found them. */
void preverify(struct preverifier *v, struct span origin, const struct entry *e, const struct known_key *const keys[SIGNATURES_READ_MAX],
               struct preverified *out);

#endif
