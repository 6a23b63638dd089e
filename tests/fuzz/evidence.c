/* SPDX-License-Identifier: Apache-2.0 */
/* evidence: evidence files; what they hold can be written again. */
#include "fuzz.h"

#include "evidence.h"

static bool same(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

FUZZ_TARGET(evidence)
{
    struct evidence e, again;
    const char *origin = NULL, *origin_again = NULL;
    struct span header, path;
    if (evidence_parse(f->a, in, &origin, &e, NULL))
        return false;
    HOLDS(origin && e.what);
    if (e.known_seal.p && evidence_seal_split(e.known_seal, &header, &path))
        HOLDS(same(evidence_seal(f->a, header, path), e.known_seal));
    struct span text = evidence_text(f->a, origin, "server.example:7461", &e);
    HOLDS(text.p && evidence_parse(f->a, text, &origin_again, &again, NULL) == LEDGER_OK && strcmp(origin, origin_again) == 0);
    /* Of the three sorts of evidence a file is one; what belongs to another sort is not written. */
    if (e.received.p)
        HOLDS(same(e.known, again.known) && same(e.received, again.received) && same(e.proof, again.proof));
    else if (e.receipt.p)
        HOLDS(same(e.receipt, again.receipt));
    else
        HOLDS(same(e.answer, again.answer) && same(e.known, again.known));
    return true;
}
