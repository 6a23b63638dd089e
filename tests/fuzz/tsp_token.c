/* SPDX-License-Identifier: Apache-2.0 */
/* tsp_token: var certificates (PEM) and a token: what verifies says what the authority has said. */
#include "fuzz.h"

#include "genuine.h"
#include "tsp.h"

FUZZ_TARGET(tsp_token)
{
    struct rbuf r;
    struct tsp_info info, read;
    struct tsp_trust trust;
    struct ledger_err err = {0};
    struct hash imprint;
    size_t n;
    rbuf_init(&r, in);
    struct span ca = rbuf_str(&r), token = span_of(r.p, r.n);
    if (r.failed)
        return false;
    bool ca_ok = tsp_ca_check(ca, &n, NULL) == LEDGER_OK;
    HOLDS(!ca_ok || n > 0);
    memcpy(imprint.b, genuine_imprint, HASH_LEN);
    bool readable = tsp_token_read(token, &read, NULL) == LEDGER_OK;
    enum ledger_rc rc = tsp_token_verify(token, &imprint, ca, &info, &trust, &err);
    HOLDS(rc == LEDGER_OK || err.msg[0]);
    if (rc)
        return false;
    HOLDS(readable && ca_ok && info.gen_us == genuine_gen_us && hash_eq(&info.imprint, &imprint) && hash_eq(&read.imprint, &imprint));
    return true;
}
