/* SPDX-License-Identifier: Apache-2.0 */
/* verify_erased: an entry whose content was destroyed: the act under which, and what was kept in its place (verify.h). */
#include <string.h>

#include "opening.h"
#include "verify.h"

bool verify_erasure(const struct entry *erased, const struct entry *act, struct span payload, struct erasure *out, struct verdict *v)
{
    struct ledger_err e = {0};
    static const char what[] = "erasure";
    uint64_t index = erased->header.index;
    if (act->header.index != erased->erased_by || act->header.kind != OWN_ERASURE || !act->content)
        return verdict_bad(v, VERDICT_TAMPERED, index, what, "entry %llu, under which its content is said to be erased, is no erasure",
                           (unsigned long long)erased->erased_by);
    if (erasure_decode(payload, out, &e))
        return verdict_bad(v, verdict_of_error(e.rc, VERDICT_TAMPERED), act->header.index, what, "%s", e.msg);
    for (unsigned i = 0; i < out->n; i++)
        if (memcmp(out->ids + (size_t)i * HASH_LEN, erased->header.event_id.b, HASH_LEN) == 0)
            return true;
    return verdict_bad(v, VERDICT_TAMPERED, index, what, "the erasure in entry %llu does not name it", (unsigned long long)act->header.index);
}

/* The chain's key is the link's: that the state's own id leads to it is for those who hold the index key. */
static bool check_part(const struct verifier *vf, const struct header *h, const struct opening_part *p, struct verdict *v)
{
    struct chain *ch = arena_alloc(vf->a, sizeof *ch);
    struct ledger_err e = {0};
    struct hash commit;
    if (!ch)
        return verdict_bad(v, VERDICT_MEMORY, h->index, "opening", "out of memory");
    unsigned type = p->state.n ? p->state.p[0] : 0;
    if (p->link >= h->n_links || type < CHAIN_ITEM || type > CHAIN_LEDGER)
        return verdict_bad(v, VERDICT_TAMPERED, h->index, "opening", "it opens no link of the header");
    if (state_decode((enum chain_type)type, p->state, ch, &e))
        return verdict_bad(v, verdict_of_error(e.rc, VERDICT_TAMPERED), h->index, "opening", "%s", e.msg);
    ch->key = h->links[p->link].chain;
    if (!state_commit_decoded(vf->c, vf->a, ch, h->links[p->link].seq, &p->salt, &commit))
        return verdict_bad(v, VERDICT_MEMORY, h->index, "opening", "out of memory");
    return hash_eq(&commit, &h->links[p->link].state) ||
           verdict_bad(v, VERDICT_TAMPERED, h->index, "opening", "the state of link %u is not the one that the header commits to", p->link);
}

bool verify_opening(const struct verifier *vf, const struct header *h, struct span bytes, struct verdict *v)
{
    struct ledger_err e = {0};
    struct opening o;
    enum ledger_rc rc = opening_decode(vf->a, bytes, &o, &e);
    if (rc)
        return verdict_bad(v, verdict_of_error(rc, VERDICT_TAMPERED), h->index, "opening", "%s", e.msg);
    for (size_t i = 0; i < o.n; i++)
        if (!check_part(vf, h, &o.parts[i], v))
            return false;
    return true;
}
