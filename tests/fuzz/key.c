/* SPDX-License-Identifier: Apache-2.0 */
/* key: key files, as the client and the daemon read them: both take the same, and write what they took. */
#include "fuzz.h"

#include "key.h"
#include "keyfile.h"

FUZZ_TARGET(key)
{
    struct ledger_key *k = NULL;
    struct secret_key secret;
    struct ledger_err err = {0}, daemon_err = {0};
    char party[KEYFILE_PARTY_MAX + 1];
    enum ledger_rc rc = key_text_read(in, &k, &err);
    HOLDS(rc == LEDGER_OK || err.msg[0]);
    enum ledger_rc daemon = keyfile_read(f->c, fuzz_file("key", in), party, &secret, &daemon_err);
    HOLDS(daemon == LEDGER_OK || daemon_err.msg[0]);
    HOLDS(rc != LEDGER_OK || daemon == LEDGER_OK); /* the daemon's names of parties may be longer */
    if (rc == LEDGER_OK)
        HOLDS(strcmp(party, ledger_key_party(k)) == 0 && memcmp(secret.seed, k->secret.seed, sizeof secret.seed) == 0);
    ledger_key_free(k);
    return rc == LEDGER_OK;
}
