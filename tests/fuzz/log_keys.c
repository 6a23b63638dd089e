/* SPDX-License-Identifier: Apache-2.0 */
/* log_keys: changes of the log key as a file, followed from the policy. */
#include "fuzz.h"

#include "../../client/message.h"

FUZZ_TARGET(log_keys)
{
    struct message_log_keys k, again;
    struct policy *p = arena_alloc(f->a, sizeof *p);
    struct verdict v = {0};
    unsigned taken = 0;
    size_t failed = 0;
    HOLDS(p != NULL);
    if (log_keys_decode(f->a, in, &k, NULL))
        return false;
    struct span bytes = log_keys_encode(f->a, &k);
    HOLDS(bytes.p && log_keys_decode(f->a, bytes, &again, NULL) == LEDGER_OK && again.n == k.n);
    *p = f->policy;
    if (!log_keys_follow(f->c, f->a, FUZZ_ORIGIN, p, k.changes, k.n, &taken, &failed, &v)) {
        HOLDS(v.kind != VERDICT_GOOD && p->n_logs <= POLICY_LOGS_MAX);
        return false;
    }
    HOLDS(taken <= k.n && p->n_logs <= POLICY_LOGS_MAX);
    return taken > 0;
}
