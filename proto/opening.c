/* SPDX-License-Identifier: Apache-2.0 */
/* opening: encoding, checking, and making openings from the view (opening.h). */
#include "opening.h"

#include <string.h>

#include "state_history.h"

#define OPENING_VERSION 1
#define PART_BYTES_MIN (2 + 32 + 4 + 4)
#define MEMBER_BYTES_MIN 5

struct span opening_encode(struct arena *a, const struct opening *o)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u8(&w, OPENING_VERSION);
    wbuf_u16(&w, (uint16_t)o->n);
    for (size_t i = 0; i < o->n; i++) {
        const struct opening_part *p = &o->parts[i];
        wbuf_u16(&w, (uint16_t)p->link);
        wbuf_hash(&w, &p->salt);
        wbuf_str(&w, p->state);
        wbuf_u32(&w, (uint32_t)p->n_members);
        for (size_t k = 0; k < p->n_members; k++) {
            wbuf_u8(&w, p->members[k].log);
            wbuf_str(&w, p->members[k].bytes);
        }
    }
    wbuf_u8(&w, o->has_reference);
    if (o->has_reference)
        wbuf_hash(&w, &o->reference);
    return wbuf_span(&w);
}

static enum ledger_rc read_part(struct arena *a, struct rbuf *r, struct opening_part *p)
{
    p->link = rbuf_u16(r);
    p->salt = rbuf_hash(r);
    p->state = rbuf_str(r);
    p->n_members = rbuf_u32(r);
    if (r->failed || p->n_members > r->n / MEMBER_BYTES_MIN) {
        r->failed = true;
        return LEDGER_OK;
    }
    p->members = arena_alloc(a, (p->n_members + 1) * sizeof *p->members);
    if (!p->members)
        return LEDGER_ENOMEM;
    for (size_t i = 0; i < p->n_members; i++) {
        p->members[i].log = rbuf_u8(r);
        p->members[i].bytes = rbuf_str(r);
        if (i && p->members[i].log < p->members[i - 1].log)
            r->failed = true;
    }
    return LEDGER_OK;
}

enum ledger_rc opening_decode(struct arena *a, struct span bytes, struct opening *out, struct ledger_err *err)
{
    struct rbuf r;
    rbuf_init(&r, bytes);
    memset(out, 0, sizeof *out);
    uint8_t version = rbuf_u8(&r);
    if (!r.failed && version > OPENING_VERSION)
        return ledger_fail(err, LEDGER_EVERSION, "opening: needs version %u", version);
    out->n = rbuf_u16(&r);
    if (r.failed || version != OPENING_VERSION || out->n > r.n / PART_BYTES_MIN)
        return ledger_fail(err, LEDGER_EINVAL, "opening: malformed");
    out->parts = arena_alloc(a, (out->n + 1) * sizeof *out->parts);
    if (!out->parts)
        return ledger_fail(err, LEDGER_ENOMEM, "opening: over the memory budget");
    for (size_t i = 0; i < out->n && !r.failed; i++) {
        if (read_part(a, &r, &out->parts[i]))
            return ledger_fail(err, LEDGER_ENOMEM, "opening: over the memory budget");
        if (i && out->parts[i].link <= out->parts[i - 1].link)
            r.failed = true;
    }
    uint8_t has = rbuf_u8(&r);
    out->has_reference = has == 1;
    if (out->has_reference)
        out->reference = rbuf_hash(&r);
    return rbuf_done(&r) && has <= 1 ? LEDGER_OK : ledger_fail(err, LEDGER_EINVAL, "opening: malformed");
}

const struct opening_part *opening_part(const struct opening *o, unsigned link)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->parts[i].link == link)
            return &o->parts[i];
    return NULL;
}

/* ---- checking ---- */

static bool same_list(struct crypto *c, const struct frontier *x, const struct frontier *y)
{
    struct hash a, b;
    frontier_root(c, x, &a);
    frontier_root(c, y, &b);
    return x->size == y->size && hash_eq(&a, &b);
}

/* The lists before and the members of this entry make the lists after it. */
static enum ledger_rc check_lists(struct crypto *c, const struct opening_part *p, const struct chain *before, struct chain *after,
                                  struct ledger_err *err)
{
    struct frontier *logs, *old = NULL, f;
    unsigned n = state_logs(after, &logs);
    struct chain copy;
    if (before && before->exists) {
        copy = *before;
        (void)state_logs(&copy, &old);
    }
    size_t k = 0;
    for (unsigned i = 0; i < n; i++) {
        f = old ? old[i] : (struct frontier){.size = 0};
        for (; k < p->n_members && p->members[k].log == i; k++) {
            struct hash leaf;
            merkle_leaf(c, p->members[k].bytes, &leaf);
            frontier_append(c, &f, &leaf);
        }
        if (!same_list(c, &f, &logs[i]))
            return ledger_fail(err, LEDGER_EINVAL, "opening: list %u is not the one before with these members", i);
    }
    return k == p->n_members ? LEDGER_OK : ledger_fail(err, LEDGER_EINVAL, "opening: members of a list that the state has not");
}

enum ledger_rc opening_check(struct crypto *c, struct arena *a, const struct hash *index_key, const struct header *h,
                             const struct opening_part *p, const struct chain *before, struct chain *out, struct ledger_err *err)
{
    struct hash commit;
    if (p->link >= h->n_links)
        return ledger_fail(err, LEDGER_EINVAL, "opening: there is no link %u", p->link);
    const struct link *link = &h->links[p->link];
    unsigned type = p->state.n ? p->state.p[0] : 0;
    memset(out, 0, sizeof *out);
    if (type < CHAIN_ITEM || type > CHAIN_LEDGER)
        return ledger_fail(err, LEDGER_EINVAL, "opening: not a state");
    enum ledger_rc rc = state_decode((enum chain_type)type, p->state, out, err);
    if (rc)
        return rc;
    out->id = state_chain_id(a, out);
    chain_key(c, index_key, out->type, out->id, &out->key);
    if (!hash_eq(&out->key, &link->chain))
        return ledger_fail(err, LEDGER_EINVAL, "opening: the state is another chain's");
    if (!state_commit_decoded(c, a, out, link->seq, &p->salt, &commit))
        return ledger_fail(err, LEDGER_ENOMEM, "opening: over the memory budget");
    if (!hash_eq(&commit, &link->state))
        return ledger_fail(err, LEDGER_EINVAL, "opening: not what the header commits to");
    out->exists = true;
    out->count = link->seq + 1;
    out->head_index = h->index;
    out->salt = p->salt;
    if (before && (before->count != link->seq || before->exists != (link->seq > 0)))
        return ledger_fail(err, LEDGER_EINVAL, "opening: the chain has not as many entries before this one");
    return before ? check_lists(c, p, before, out, err) : LEDGER_OK;
}

/* ---- making ---- */

enum ledger_rc opening_of_step(struct arena *a, const struct state_walk *w, unsigned link, struct span nonce,
                               struct opening_part *out, struct ledger_err *err)
{
    struct frontier *logs;
    struct wbuf state;
    struct chain ch = w->chain;
    uint8_t key[KV_KEY_MAX];
    size_t n = 0, k = 0;
    unsigned n_logs = state_logs(&ch, &logs);
    for (unsigned i = 0; i < n_logs; i++)
        n += (size_t)(logs[i].size - w->members_before[i]);
    *out = (struct opening_part){.link = link, .n_members = n};
    state_salt(w->c, nonce, &w->key, &out->salt);
    wbuf_init(&state, a);
    state_encode(w->c, &ch, true, &state);
    out->state = wbuf_span(&state);
    out->members = arena_alloc(a, (n + 1) * sizeof *out->members);
    if (!out->state.p || !out->members)
        return ledger_fail(err, LEDGER_ENOMEM, "opening: over the memory budget");
    for (unsigned i = 0; i < n_logs; i++)
        for (uint64_t m = w->members_before[i]; m < logs[i].size; m++, k++) {
            struct span v;
            if (kv_get(&w->kv, KV_MEMBER, kv_key_member(key, &w->key, i, m), &v))
                return ledger_fail(err, LEDGER_ETAMPER, "opening: a member is missing");
            out->members[k] = (struct opened_member){(uint8_t)i, arena_copy(a, v)};
            if (!out->members[k].bytes.p)
                return ledger_fail(err, LEDGER_ENOMEM, "opening: over the memory budget");
        }
    return LEDGER_OK;
}

enum ledger_rc opening_make(struct crypto *c, struct arena *a, const struct kv *kv, const struct header *h, unsigned link,
                            struct span nonce, struct opening_part *out, struct ledger_err *err)
{
    struct state_walk *w = arena_alloc(a, sizeof *w);
    if (!w)
        return ledger_fail(err, LEDGER_ENOMEM, "opening: over the memory budget");
    enum ledger_rc rc = state_walk_begin(w, c, kv, a, &h->links[link].chain, err);
    while (!rc && w->seq <= h->links[link].seq)
        rc = state_walk_next(w, err);
    if (rc == LEDGER_ENOTFOUND)
        return ledger_fail(err, LEDGER_ETAMPER, "opening: the chain's history is too short");
    if (!rc && w->index != h->index)
        return ledger_fail(err, LEDGER_ETAMPER, "opening: the chain's history names another entry");
    return rc ? rc : opening_of_step(a, w, link, nonce, out, err);
}
