/* SPDX-License-Identifier: Apache-2.0 */
/* member: what the lists of states hold; the first byte says what. */
#include "fuzz.h"

#include "state.h"

#define ONE(type)                                                                                                                   \
    static bool one_##type(struct fuzz *f, struct span in)                                                                          \
    {                                                                                                                               \
        struct type x;                                                                                                              \
        struct wbuf w;                                                                                                              \
        if (!type##_decode(in, &x))                                                                                                 \
            return false;                                                                                                           \
        wbuf_init(&w, f->a);                                                                                                        \
        type##_encode(&x, &w);                                                                                                      \
        HOLDS(span_eq(wbuf_span(&w), in));                                                                                          \
        return true;                                                                                                                \
    }
ONE(edge)
ONE(outcome)
ONE(excursion_fact)
ONE(correction)

static bool version(struct fuzz *f, struct span in)
{
    struct spec_version x = {0};
    struct wbuf w;
    if (!spec_version_decode(f->a, in, &x))
        return false;
    wbuf_init(&w, f->a);
    spec_version_encode(&x, &w);
    HOLDS(span_eq(wbuf_span(&w), in));
    return true;
}

FUZZ_TARGET(member)
{
    if (in.n < 1)
        return false;
    struct span bytes = span_of(in.p + 1, in.n - 1);
    switch (in.p[0]) {
    case 0: return one_edge(f, bytes);
    case 1: return one_outcome(f, bytes);
    case 2: return one_excursion_fact(f, bytes);
    case 3: return one_correction(f, bytes);
    case 4: return version(f, bytes);
    default: return false;
    }
}
