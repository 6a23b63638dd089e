/* SPDX-License-Identifier: Apache-2.0 */
/* sigblock: signature blocks, and single signatures as they travel in requests (first byte 1). */
#include "fuzz.h"

#include "event.h"

FUZZ_TARGET(sigblock)
{
    struct sigblock b;
    struct signature s;
    struct hash id = {{1}}, root;
    if (in.n < 1)
        return false;
    struct span bytes = span_of(in.p + 1, in.n - 1);
    if (in.p[0] == 1) {
        if (signature_decode(bytes, &s, NULL))
            return false;
        HOLDS(span_eq(signature_encode(f->a, &s), bytes));
        return true;
    }
    if (sigblock_decode(bytes, &b, NULL))
        return false;
    HOLDS(span_eq(sigblock_encode(f->a, &b), bytes) && b.n <= SIGNATURES_READ_MAX);
    if (sigblock_root(f->c, &b, &id, &root))
        for (size_t i = 0; i < b.n; i++)
            HOLDS(signature_input(f->c, f->a, SPAN_LIT(FUZZ_ORIGIN), &b.sigs[i], (unsigned)i + 1, b.events, &root, i ? &b.sigs[i - 1] : NULL).p);
    return true;
}
