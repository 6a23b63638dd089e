/* SPDX-License-Identifier: Apache-2.0 */
/* profile: profile.conf of a client, in a folder whose other files are in order. */
#include "fuzz.h"

#include <ledgerd/profile.h>

static void other_files(struct fuzz *f)
{
    char vkey[NOTE_NAME_MAX + 200], text[NOTE_NAME_MAX + 300], hex[2 * HASH_LEN + 1];
    note_key_format(&f->log, vkey);
    int n = snprintf(text, sizeof text, "log %s\nquorum none\n", vkey);
    fuzz_file("policy", span_of(text, (size_t)n));
    hex_encode(span_of(f->index_key.b, HASH_LEN), hex);
    fuzz_file("index.key", span_of(hex, 2 * HASH_LEN));
}

FUZZ_TARGET(profile)
{
    static bool made;
    struct ledger_profile *p = NULL;
    struct ledger_err err = {0};
    if (!made)
        other_files(f);
    made = true;
    fuzz_file("profile.conf", in);
    enum ledger_rc rc = ledger_profile_open(fuzz_folder(), NULL, &p, &err);
    HOLDS(rc == LEDGER_OK || err.msg[0]);
    if (rc)
        return false;
    HOLDS(strcmp(ledger_profile_origin(p), FUZZ_ORIGIN) == 0 && ledger_profile_address(p)[0] && ledger_profile_fresh_within_s(p) > 0);
    ledger_profile_close(p);
    return true;
}
