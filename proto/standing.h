/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standing: may this item be used for that purpose at that time, and if not, why not — with every reason, not only the
 * first. It asks the same questions as the judge (rules/facts.h), with a collector in place of the first refusal.
 */
#ifndef LEDGERD_PROTO_STANDING_H
#define LEDGERD_PROTO_STANDING_H

#include "judge.h"

enum purpose { PURPOSE_ADMINISTER = 1, PURPOSE_CONSUME, PURPOSE_DISPATCH, PURPOSE_RELEASE };

struct standing_query {
    enum purpose purpose;
    struct span item;
    int64_t at_us;              /* instant at which it would be used */
    struct span coi;            /* administer: the patient's chain of identity; absent: not asked */
    struct span subject_commit; /* administer: scanned; absent: not asked */
    struct span org;            /* acting organisation; absent: custody is not asked */
    struct span into;           /* consume: the item it would go into; absent: not asked */
};

#define FINDINGS_MAX 64
struct findings {
    unsigned n;                       /* reasons kept */
    unsigned dropped;                 /* further ones that did not fit */
    struct refusal r[FINDINGS_MAX];
};

/* OK: answered; the item is fit if out->n is 0. ENOTFOUND is not used: an unknown item is a finding. Errors as judge. */
enum ledger_rc standing_check(struct judge *j, const struct standing_query *q, struct findings *out) LEDGER_MUST_USE;

#endif
