/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key: a party's signing key. The file that holds one is text, readable by its owner alone:
 *
 *   ledgerd key v1
 *   party: qa.suzuki@hospital.example
 *   algorithm: ed25519
 *   public: ed25519:BASE64
 *   secret: BASE64 (32 bytes)
 */
#ifndef LEDGERD_KEY_H
#define LEDGERD_KEY_H

#include <stddef.h>
#include <stdint.h>

#include <ledgerd/error.h>

struct ledger_key;

/* Draws a new key for a party; `algorithm` is "ed25519" or "p256". *out is owned by the caller: ledger_key_free. Any thread.
 * EINVAL: no such algorithm, or `party` is not 1 to 96 printable ASCII characters without space. */
LEDGER_API enum ledger_rc ledger_key_new(const char *algorithm, const char *party, struct ledger_key **out,
                                         struct ledger_err *err) LEDGER_MUST_USE;
/* Reads a key file. EINVAL: not a key file, parts that contradict each other, or a file that others than its owner may read;
 * ENOTFOUND; EIO. */
LEDGER_API enum ledger_rc ledger_key_load(const char *path, struct ledger_key **out, struct ledger_err *err) LEDGER_MUST_USE;
/* Writes a key file with mode 0600 and makes it durable. EINVAL if the file exists: a key is never overwritten. EIO. */
LEDGER_API enum ledger_rc ledger_key_save(const struct ledger_key *k, const char *path, struct ledger_err *err) LEDGER_MUST_USE;
/* Wipes and frees; NULL is allowed. */
LEDGER_API void ledger_key_free(struct ledger_key *k);

/* The texts live as long as the key. `public` is what the field `pubkey` of PARTY_REGISTERED holds: "ed25519:BASE64". */
LEDGER_API const char *ledger_key_party(const struct ledger_key *k);
LEDGER_API const char *ledger_key_public(const struct ledger_key *k);

/* The proof that the owner of a new key makes to have it registered: its signature over the ledger's name, the party and the
 * key. Writes 64 bytes. Any thread, but one key in one thread at a time. EINVAL: `origin` is no ledger's name. */
LEDGER_API enum ledger_rc ledger_key_prove(struct ledger_key *k, const char *origin, uint8_t proof[64],
                                           struct ledger_err *err) LEDGER_MUST_USE;

#endif
