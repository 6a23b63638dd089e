/* SPDX-License-Identifier: Apache-2.0 */
/* opening: var header and what its commitments are said to open to. */
#include "fuzz.h"

#include "opening.h"
#include "verify.h"

FUZZ_TARGET(opening)
{
    const struct verifier vf = {.c = f->c, .a = f->a, .policy = &f->policy, .index_key = f->index_key, .origin = FUZZ_ORIGIN};
    struct rbuf r;
    struct opening o;
    struct header h;
    struct verdict v = {0};
    rbuf_init(&r, in);
    struct span header = rbuf_str(&r);
    if (r.failed || opening_decode(f->a, span_of(r.p, r.n), &o, NULL))
        return false;
    HOLDS(span_eq(opening_encode(f->a, &o), span_of(r.p, r.n)));
    for (size_t i = 0; i < o.n; i++)
        HOLDS(opening_part(&o, o.parts[i].link) == &o.parts[i]);
    return header_decode(f->a, header, &h, NULL) == LEDGER_OK && verify_opening(&vf, &h, span_of(r.p, r.n), &v);
}
