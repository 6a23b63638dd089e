/* SPDX-License-Identifier: Apache-2.0 */
/* dossier: dossier files with a checksum that is right; what is accepted is of the ledger, and none convicts it. */
#include "fuzz.h"

#include "dossier.h"

#define BUDGET ((size_t)128 << 20)

FUZZ_TARGET(dossier)
{
    const struct verifier vf = {.c = f->c, .a = f->a, .policy = &f->policy};
    struct dossier d;
    struct dossier_proof proof;
    struct verdict v = {0};
    struct span file = fuzz_checksummed(f, in);
    if (dossier_decode(f->c, f->a, file, &d, NULL))
        return false;
    HOLDS(span_eq(dossier_encode(f->c, f->a, &d), file) && dossier_begins(file));
    bool good = dossier_verify(&vf, &d, BUDGET, &proof, &v);
    HOLDS(good == (v.kind == VERDICT_GOOD) && v.kind != VERDICT_TAMPERED);
    for (size_t i = 0; good && i < proof.n_entries; i++)
        HOLDS(fuzz_genuine_leaf(&proof.entries[i].leaf));
    dossier_proof_free(&proof);
    return good;
}
