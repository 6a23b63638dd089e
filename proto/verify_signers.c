/* SPDX-License-Identifier: Apache-2.0 */
/* verify_signers: which key a party held when an entry was recorded, and the signatures of an entry under such keys (verify.h). */
#include <string.h>

#include "verify.h"

static bool bad_key(struct verdict *v, const struct entry *reg, const char *text)
{
    return verdict_bad(v, VERDICT_TAMPERED, reg->header.index, "registration of a signer", "%s", text);
}

static bool key_of_event(const struct entry *reg, struct span party, struct registered_key *out, struct verdict *v)
{
    unsigned action = event_enum(&reg->event, FIELD_ACTION);
    enum sig_alg alg;
    if (reg->event.kind->kind != KIND_PARTY_REGISTERED || (action != PARTY_REGISTER && action != PARTY_ROTATE_KEY))
        return bad_key(v, reg, "it is no registration of a key");
    if (!span_eq(event_text(&reg->event, FIELD_PARTY), party))
        return bad_key(v, reg, "it is of another party");
    if (!key_text_parse(event_text(&reg->event, FIELD_PUBKEY), &alg, out->key, &out->n))
        return bad_key(v, reg, "its key is malformed");
    out->alg = alg;
    return true;
}

static bool key_of_genesis(const struct entry *reg, struct span payload, struct span party, struct registered_key *out,
                           struct verdict *v)
{
    struct genesis g;
    if (reg->header.kind != OWN_GENESIS || genesis_decode(payload, &g, NULL) || g.admin_key.n > sizeof out->key)
        return bad_key(v, reg, "it is no registration of a key");
    if (!span_eq(g.admin, party))
        return bad_key(v, reg, "it is of another party");
    out->alg = g.admin_alg;
    out->n = g.admin_key.n;
    memcpy(out->key, g.admin_key.p, g.admin_key.n);
    return true;
}

bool verify_registration(const struct entry *reg, struct span payload, struct span party, struct registered_key *out, struct verdict *v)
{
    return reg->own ? key_of_genesis(reg, payload, party, out, v) : key_of_event(reg, party, out, v);
}

/* Entries of the party's chain up to the one in question, in order: the latest key counts, unless the party was revoked. */
static bool key_held(const struct party_history *h, uint64_t index, struct registered_key *out, struct verdict *v)
{
    bool held = false;
    for (size_t i = 0; h && i < h->n && h->entries[i].header.index < index; i++) {
        const struct entry *e = &h->entries[i];
        unsigned action = e->own ? PARTY_REGISTER : event_enum(&e->event, FIELD_ACTION);
        if (action == PARTY_REVOKE)
            return verdict_bad(v, VERDICT_TAMPERED, index, "signature", "%.*s was revoked by entry %llu", SPAN_FMT(h->party),
                               (unsigned long long)e->header.index);
        if (action != PARTY_REGISTER && action != PARTY_ROTATE_KEY)
            continue;
        if (!verify_registration(e, h->raw[i].event, h->party, out, v))
            return false;
        held = true;
    }
    return held ? true : verdict_bad(v, VERDICT_TAMPERED, index, "signature", "its signer was not registered before");
}

bool verify_signers(const struct verifier *vf, struct span origin, const struct entry *e, const struct party_history *parties, size_t n,
                    struct verdict *v)
{
    uint64_t index = e->header.index;
    if (e->block.n != e->event.kind->signatures)
        return verdict_bad(v, VERDICT_TAMPERED, index, "signature block", "%zu signatures; this kind has %u", e->block.n,
                           e->event.kind->signatures);
    for (unsigned i = 0; i < e->block.n; i++) {
        const struct party_history *h = NULL;
        struct registered_key key;
        for (size_t k = 0; k < n && !h; k++)
            if (span_eq(parties[k].party, e->block.sigs[i].party))
                h = &parties[k];
        if (!key_held(h, index, &key, v) || !verify_signature(vf, origin, e, i, key.alg, span_of(key.key, key.n), v))
            return false;
        for (unsigned k = 0; k < i; k++)
            if (span_eq(e->block.sigs[k].party, e->block.sigs[i].party))
                return verdict_bad(v, VERDICT_TAMPERED, index, "signature", "%.*s has signed twice", SPAN_FMT(e->block.sigs[i].party));
    }
    return true;
}
