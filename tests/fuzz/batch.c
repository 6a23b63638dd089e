/* SPDX-License-Identifier: Apache-2.0 */
/* batch: batches and acts as files. */
#include "fuzz.h"

#include "../../client/message.h"
#include "batch.h"

FUZZ_TARGET(batch)
{
    struct ledger_batch *b = NULL, *act = NULL;
    uint8_t *bytes;
    size_t n;
    bool good = false;
    if (ledger_batch_decode(FUZZ_ORIGIN, in.p, in.n, &b, NULL) == LEDGER_OK) {
        HOLDS(ledger_batch_encode(b, &bytes, &n, NULL) == LEDGER_OK);
        struct ledger_batch *again = NULL;
        HOLDS(ledger_batch_decode(FUZZ_ORIGIN, bytes, n, &again, NULL) == LEDGER_OK && ledger_batch_count(again) == ledger_batch_count(b));
        ledger_batch_free(again);
        free(bytes);
        good = true;
    }
    if (batch_own_decode(FUZZ_ORIGIN, in, &act, NULL) == LEDGER_OK)
        good = true;
    ledger_batch_free(b);
    ledger_batch_free(act);
    return good;
}
