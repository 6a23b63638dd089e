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
    struct map_known *known = map_known_new(f->a);
    HOLDS(known != NULL);
    bool good = map_proof_verify(f->c, NULL, p, &key, &root);
    for (unsigned i = 0; i < 2; i++) /* nothing is known, and then this proof, if it is one */
        HOLDS(map_proof_verify(f->c, known, p, &key, &root) == good);
    if (!good)
        return false;
    for (size_t i = 0; i < p->n; i++) {
        p->siblings[i].b[0] ^= 1;
        HOLDS(!map_proof_verify(f->c, known, p, &key, &root));
        p->siblings[i].b[0] ^= 1;
    }
    for (unsigned d = 0; d < p->depth; d++) { /* one sibling more, or one less, or ends elsewhere */
        p->bitmap[d / 8] ^= (uint8_t)(0x80 >> d % 8);
        HOLDS(map_proof_verify(f->c, known, p, &key, &root) == map_proof_verify(f->c, NULL, p, &key, &root));
        p->bitmap[d / 8] ^= (uint8_t)(0x80 >> d % 8);
    }
    const unsigned depth = p->depth;
    for (p->depth = 0; p->depth < depth; p->depth++)
        HOLDS(map_proof_verify(f->c, known, p, &key, &root) == map_proof_verify(f->c, NULL, p, &key, &root));
    struct hash turned = key;
    turned.b[0] ^= 0x10;
    HOLDS(map_proof_verify(f->c, known, p, &turned, &root) == map_proof_verify(f->c, NULL, p, &turned, &root));
    struct hash other = root;
    other.b[0] ^= 1;
    HOLDS(!map_proof_verify(f->c, NULL, p, &key, &other));
    p->leaf.count++;
    HOLDS(p->end == MAP_EMPTY || !map_proof_verify(f->c, NULL, p, &key, &root));
    return true;
}
