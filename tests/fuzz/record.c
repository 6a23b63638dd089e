/* SPDX-License-Identifier: Apache-2.0 */
/* record: an entry as the log keeps it, and what the verifier says of its parts. */
#include "fuzz.h"

#include "verify.h"

FUZZ_TARGET(record)
{
    const struct verifier vf = {.c = f->c, .a = f->a, .policy = &f->policy, .index_key = f->index_key, .origin = FUZZ_ORIGIN};
    struct entry_record r;
    struct entry e;
    struct verdict v = {0};
    if (!entry_record_split(in, &r))
        return false;
    HOLDS(span_eq(entry_record_join(f->a, &r), in));
    const struct entry_claim claim = {.header = r.header, .event = r.event, .block = r.block, .opening = r.opening, .erased_by = r.erased_by};
    if (!verify_entry(&vf, &claim, &e, &v)) {
        HOLDS(v.kind != VERDICT_GOOD && v.text[0]);
        return false;
    }
    if (e.erased_by && !verify_opening(&vf, &e.header, r.opening, &v))
        return false;
    HOLDS(!e.content || e.own || event_encode(f->a, &e.event).n == r.event.n);
    return true;
}
