/* SPDX-License-Identifier: Apache-2.0 */
/* own: payloads of the ledger's own entries; the first byte is the kind. */
#include "fuzz.h"

#include "entry.h"

#define ONE(type)                                                                                                                   \
    static bool one_##type(struct fuzz *f, struct span in)                                                                          \
    {                                                                                                                               \
        struct type x;                                                                                                              \
        struct ledger_err err = {0};                                                                                                \
        enum ledger_rc rc = type##_decode(in, &x, &err);                                                                            \
        HOLDS(rc == LEDGER_OK || err.msg[0]);                                                                                       \
        HOLDS(rc != LEDGER_OK || span_eq(type##_encode(f->a, &x), in));                                                             \
        return rc == LEDGER_OK;                                                                                                     \
    }
ONE(genesis)
ONE(epoch)
ONE(clock_step)
ONE(parameters)
ONE(log_key_change)
ONE(time_stamp)
ONE(erasure)

FUZZ_TARGET(own)
{
    if (in.n < 1)
        return false;
    struct span payload = span_of(in.p + 1, in.n - 1);
    switch (in.p[0]) {
    case OWN_GENESIS: return one_genesis(f, payload);
    case OWN_EPOCH: return one_epoch(f, payload);
    case OWN_CLOCK_STEP: return one_clock_step(f, payload);
    case OWN_PARAMETERS: return one_parameters(f, payload);
    case OWN_LOG_KEY: return one_log_key_change(f, payload);
    case OWN_TIME_STAMP: return one_time_stamp(f, payload);
    case OWN_ERASURE: return one_erasure(f, payload);
    default: return false;
    }
}
