/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyfile: a signing key as a text file, mode 0600:
 *
 *   ledgerd key v1
 *   party: qa@example.org            (whose it is; the log key's is the origin)
 *   algorithm: ed25519               (or p256)
 *   public: ed25519:BASE64
 *   secret: BASE64 of the 32-byte seed
 *
 * and an index key as 64 hex digits and a newline. Reading is strict: exactly these lines, and the public key must be the
 * secret's. Secrets live in the caller's struct; the text is wiped. Any thread.
 */
#ifndef LEDGERD_KEYFILE_H
#define LEDGERD_KEYFILE_H

#include "crypto.h"

#define KEYFILE_PARTY_MAX 255

/* Creates the file; EINVAL when there is one. */
enum ledger_rc keyfile_write(const char *path, const char *party, const struct secret_key *k, struct ledger_err *err)
    LEDGER_MUST_USE;
/* party has KEYFILE_PARTY_MAX + 1 bytes, or is NULL. The caller wipes *k. */
enum ledger_rc keyfile_read(struct crypto *c, const char *path, char *party, struct secret_key *k, struct ledger_err *err)
    LEDGER_MUST_USE;
enum ledger_rc keyfile_write_index(const char *path, const struct hash *key, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc keyfile_read_index(const char *path, struct hash *key, struct ledger_err *err) LEDGER_MUST_USE;

#endif
