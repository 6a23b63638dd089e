/* SPDX-License-Identifier: Apache-2.0 */
/* tsp_response: what a time-stamping authority answers. */
#include "fuzz.h"

#include "tsp.h"

FUZZ_TARGET(tsp_response)
{
    struct tsp_response r;
    struct ledger_err err = {0};
    enum ledger_rc rc = tsp_response_parse(in, &r, &err);
    HOLDS(rc == LEDGER_OK || err.msg[0]);
    if (rc)
        return false;
    HOLDS(!r.granted || (r.token.p >= in.p && r.token.p + r.token.n <= in.p + in.n));
    return true;
}
