/* SPDX-License-Identifier: Apache-2.0 */
/* header: the Merkle leaf has one encoding. */
#include "fuzz.h"

#include "entry.h"

FUZZ_TARGET(header)
{
    struct header h;
    if (header_decode(f->a, in, &h, NULL))
        return false;
    HOLDS(span_eq(header_encode(f->a, &h), in));
    for (unsigned i = 0; i < h.n_links; i++)
        HOLDS(header_link(&h, &h.links[i].chain) == &h.links[i]);
    return true;
}
