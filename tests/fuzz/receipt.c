/* SPDX-License-Identifier: Apache-2.0 */
/* receipt: receipt files with a checksum that is right; what is accepted is an entry of the ledger. */
#include "fuzz.h"

#include "../../client/message.h"

FUZZ_TARGET(receipt)
{
    const struct verifier vf = {.c = f->c, .a = f->a, .policy = &f->policy, .origin = FUZZ_ORIGIN};
    struct receipt_claim claim;
    struct receipt r;
    struct verdict v = {0};
    struct span file = fuzz_checksummed(f, in);
    if (receipt_file_decode(f->c, f->a, file, &claim, NULL))
        return false;
    struct span again = receipt_file_encode(f->c, f->a, &claim);
    struct receipt_claim same;
    HOLDS(again.p && receipt_file_decode(f->c, f->a, again, &same, NULL) == LEDGER_OK);
    HOLDS(span_eq(receipt_file_encode(f->c, f->a, &same), again));
    if (!verify_receipt(&vf, &claim, &r, &v)) {
        HOLDS(v.kind != VERDICT_GOOD && v.text[0] && !r.forged); /* no file convicts an honest ledger */
        return false;
    }
    HOLDS(fuzz_genuine_leaf(&r.entry.leaf) && fuzz_genuine_checkpoint(&r.snapshot.cp));
    return true;
}
