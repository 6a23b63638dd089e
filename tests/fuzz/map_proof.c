/* SPDX-License-Identifier: Apache-2.0 */
/* map_proof: chain key, root of the chain map, and a proof. */
#include "fuzz.h"

#include "chainmap.h"

FUZZ_TARGET(map_proof)
{
    struct rbuf r;
    struct map_proof *p = arena_alloc(f->a, sizeof *p);
    HOLDS(p != NULL);
    rbuf_init(&r, in);
    struct hash key = rbuf_hash(&r), root = rbuf_hash(&r);
    struct span bytes = span_of(r.p, r.n);
    if (r.failed || map_proof_decode(bytes, p, NULL))
        return false;
    HOLDS(span_eq(map_proof_encode(f->a, p), bytes));
    bool good = map_proof_verify(f->c, NULL, p, &key, &root);
    if (!good)
        return false;
    struct hash other = root;
    other.b[0] ^= 1;
    HOLDS(!map_proof_verify(f->c, NULL, p, &key, &other));
    p->leaf.count++;
    HOLDS(p->end == MAP_EMPTY || !map_proof_verify(f->c, NULL, p, &key, &root));
    return true;
}
