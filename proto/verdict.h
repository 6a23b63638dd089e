/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict: what a verification found. A failed verification is a result, not an error of the program.
 */
#ifndef LEDGERD_PROTO_VERDICT_H
#define LEDGERD_PROTO_VERDICT_H

#include "base.h"

enum verdict_kind {
    VERDICT_GOOD = 0,
    VERDICT_DAMAGED,    /* not readable as what it claims to be: checksum, syntax */
    VERDICT_UNTRUSTED,  /* readable, but the policy does not vouch for it: unknown log, quorum not met */
    VERDICT_NEWER,      /* unverifiable: needs a newer version of this program */
    VERDICT_MEMORY,     /* not verified: needs more memory than there may be. Like NEWER it says nothing against anybody */
    VERDICT_TAMPERED,   /* a signature, hash, link or proof is wrong, or the rules were not kept */
};

struct verdict {
    enum verdict_kind kind;
    uint64_t index;  /* the entry it is about; VERDICT_NO_INDEX if it is about none */
    char what[64];   /* "signature block", "state of item BAG-1", "inclusion path" */
    char text[240];  /* a sentence */
};
#define VERDICT_NO_INDEX UINT64_MAX

/* Fills *v (may be NULL) and returns false, so that a check reads `return verdict_bad(…)`. */
bool verdict_bad(struct verdict *v, enum verdict_kind kind, uint64_t index, const char *what, const char *fmt, ...)
    LEDGER_PRINTF(5, 6);
/* Of what an error of reading or deriving came to: `otherwise`, unless it was for want of a newer version or of memory. */
enum verdict_kind verdict_of_error(enum ledger_rc rc, enum verdict_kind otherwise);
/* What a verification that failed is as an error; `damaged`: what damage is, there. */
enum ledger_rc verdict_rc(enum verdict_kind k, enum ledger_rc damaged);
/* Is nothing known, neither good nor bad? */
static inline bool verdict_open(enum verdict_kind k)
{
    return k == VERDICT_NEWER || k == VERDICT_MEMORY;
}
/* The same where all that is bad comes to one error: `otherwise`, unless nothing is known. */
static inline enum ledger_rc verdict_rc_or(enum verdict_kind k, enum ledger_rc otherwise)
{
    return verdict_open(k) ? verdict_rc(k, otherwise) : otherwise;
}
const char *verdict_kind_name(enum verdict_kind k); /* "good", "damaged", … */

#endif
