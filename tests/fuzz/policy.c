/* SPDX-License-Identifier: Apache-2.0 */
/* policy: trust policies, and the lists of logs of a witness. */
#include "fuzz.h"

#include "witness.h"

static void in_range(const struct policy *p, struct policy_member m)
{
    HOLDS(m.index < (m.is_group ? p->n_groups : p->n_witnesses));
}

FUZZ_TARGET(policy)
{
    struct policy *p = arena_alloc(f->a, sizeof *p);
    struct witness_logs logs;
    struct ledger_err err = {0};
    HOLDS(p != NULL);
    enum ledger_rc rc = policy_parse(f->c, in, p, &err);
    HOLDS(rc == LEDGER_OK || err.msg[0]);
    for (unsigned g = 0; rc == LEDGER_OK && g < p->n_groups; g++) {
        HOLDS(p->groups[g].k >= 1 && p->groups[g].k <= p->groups[g].n);
        for (unsigned i = 0; i < p->groups[g].n; i++)
            in_range(p, p->groups[g].members[i]);
    }
    if (rc == LEDGER_OK && !p->quorum_none)
        in_range(p, p->quorum);
    if (witness_logs_parse(f->c, f->a, in, &logs, NULL) == LEDGER_OK)
        for (size_t i = 0; i < logs.n; i++)
            HOLDS(witness_logs_find(&logs, logs.origins[i].name) == &logs.origins[i]);
    return rc == LEDGER_OK;
}
