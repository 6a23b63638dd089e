/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile: the folder that a client needs to use a ledger: where it is, whom to trust, its own certificate. `ledgerd init` makes
 * the first administrator's, `ledgerd cert issue` those of all others.
 *
 *   profile.conf   [profile] address, origin, party, fresh_within
 *   policy         C2SP tlog-policy: the log's key, "quorum none" until witnesses are added
 *   index.key      64 hex digits: names of chains to chain keys
 *   ca.pem, client.pem, client.key   TLS
 *   keys/          signing keys;  pins/   what the client has seen of the ledger
 */
#ifndef LEDGERD_PROFILE_H
#define LEDGERD_PROFILE_H

#include "crypto.h"
#include "pki.h"

#define PROFILE_FRESH_S 900

struct profile {
    const char *address, *origin;
    const char *party;              /* default signer; NULL: none yet */
    const char *log_vkey;
    const struct hash *index_key;
    struct span ca;                 /* PEM */
    struct pki_pair client;
    const struct secret_key *signing; /* the party's key, written as keys/KEY_NAME.key; NULL: none */
    const char *key_name;
};
/* Makes the folder, which must not exist (or be empty). On failure what was made is removed again. */
enum ledger_rc profile_write(const char *folder, const struct profile *p, struct ledger_err *err) LEDGER_MUST_USE;

#endif
