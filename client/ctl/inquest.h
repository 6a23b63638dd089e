/* SPDX-License-Identifier: Apache-2.0 */
/* inquest: what `ledgerctl verify` says about evidence files (verify_evidence.c); receipts are in verify_file.c. */
#ifndef LEDGERD_CTL_INQUEST_H
#define LEDGERD_CTL_INQUEST_H

#include "ctl.h"

enum judged_kind {
    JUDGED_VOID = 0, /* the file shows nothing */
    JUDGED_CLAIM,    /* nothing in it is signed by the ledger that would be wrong: the word of whoever kept it */
    JUDGED_OPEN,     /* what is in it is signed by the ledger; whether it is wrong only the log can show */
    JUDGED_PROVEN,   /* to anybody, by the file and the policy alone */
};
struct judged {
    enum judged_kind kind;
    const char *what; /* what whoever kept it says */
    const char *text; /* what the file shows */
};

const char *judged_name(enum judged_kind k);
bool is_evidence(struct span file);
/* origin NULL: any ledger that the policy lists. Results are in the invocation's arena. EINVAL: a damaged file; ENOMEM. */
enum ledger_rc evidence_judge(struct ctl *ctl, const struct policy *policy, const char *origin, struct span file, struct judged *out,
                              struct ledger_err *err) LEDGER_MUST_USE;

#endif
