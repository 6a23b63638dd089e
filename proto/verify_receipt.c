/* SPDX-License-Identifier: Apache-2.0 */
/* verify_receipt: a portable receipt — entry, inclusion, checkpoint, and the signers' registrations (verify.h). */
#include <string.h>

#include "verify.h"

struct registered_key {
    unsigned alg;
    uint8_t key[KEY_LEN_MAX];
    size_t n;
};

static bool malformed(struct verdict *v, const struct entry *reg, const char *text)
{
    return verdict_bad(v, VERDICT_TAMPERED, reg->header.index, "registration of a signer", "%s", text);
}

static bool key_of_event(const struct entry *reg, struct span party, struct registered_key *out, struct verdict *v)
{
    unsigned action = event_enum(&reg->event, FIELD_ACTION);
    enum sig_alg alg;
    if (reg->event.kind->kind != KIND_PARTY_REGISTERED || (action != PARTY_REGISTER && action != PARTY_ROTATE_KEY))
        return malformed(v, reg, "it is no registration of a key");
    if (!span_eq(event_text(&reg->event, FIELD_PARTY), party))
        return malformed(v, reg, "it is of another party");
    if (!key_text_parse(event_text(&reg->event, FIELD_PUBKEY), &alg, out->key, &out->n))
        return malformed(v, reg, "its key is malformed");
    out->alg = alg;
    return true;
}

static bool key_of_genesis(const struct entry *reg, struct span payload, struct span party, struct registered_key *out,
                           struct verdict *v)
{
    struct genesis g;
    if (reg->header.kind != OWN_GENESIS || genesis_decode(payload, &g, NULL) || g.admin_key.n > sizeof out->key)
        return malformed(v, reg, "it is no registration of a key");
    if (!span_eq(g.admin, party))
        return malformed(v, reg, "it is of another party");
    out->alg = g.admin_alg;
    out->n = g.admin_key.n;
    memcpy(out->key, g.admin_key.p, g.admin_key.n);
    return true;
}

/* The registration is an entry of the same log, not later than the one it speaks for. */
static bool check_key(const struct verifier *vf, const struct receipt *r, const struct signer_key_claim *k,
                      struct registered_key *out, struct verdict *v)
{
    struct entry reg;
    if (!verify_entry(vf, &k->registration, &reg, v) || !verify_inclusion(vf, &reg, &r->snapshot.cp, k->path, v))
        return false;
    if (!reg.content || reg.header.index > r->entry.header.index)
        return malformed(v, &reg, "it is withheld, or later than the entry");
    return reg.own ? key_of_genesis(&reg, k->registration.event, k->party, out, v) : key_of_event(&reg, k->party, out, v);
}

/* Signature i and the registration of its signer stand at the same place, so that a receipt has one form. */
static bool check_signature(const struct verifier *vf, const struct receipt_claim *claim, struct receipt *r, unsigned i,
                            struct verdict *v)
{
    const struct signature *s = &r->entry.block.sigs[i];
    struct registered_key key;
    if (!span_eq(claim->keys[i].party, s->party))
        return verdict_bad(v, VERDICT_DAMAGED, r->entry.header.index, "registration of a signer",
                           "the receipt does not carry the registration of %.*s in its place", SPAN_FMT(s->party));
    return check_key(vf, r, &claim->keys[i], &key, v) &&
           verify_signature(vf, claim->origin, &r->entry, i, key.alg, span_of(key.key, key.n), v);
}

/* The verifier whose policy also has the keys that follow from its own, as the receipt shows. False: they do not hold. */
static bool follow_keys(struct verifier *vf, const struct receipt_claim *claim, struct verdict *v)
{
    char origin[ORIGIN_MAX + 1];
    unsigned taken;
    size_t failed;
    if (claim->n_log_keys == 0)
        return true;
    struct policy *p = arena_alloc(vf->a, sizeof *p);
    if (!p || claim->origin.n > ORIGIN_MAX)
        return verdict_bad(v, VERDICT_DAMAGED, VERDICT_NO_INDEX, "log keys", "out of memory, or no origin");
    memcpy(origin, claim->origin.p, claim->origin.n);
    origin[claim->origin.n] = 0;
    *p = *vf->policy;
    vf->policy = p;
    return log_keys_follow(vf->c, vf->a, origin, p, claim->log_keys, claim->n_log_keys, &taken, &failed, v);
}

bool verify_receipt(const struct verifier *given, const struct receipt_claim *claim, struct receipt *out, struct verdict *v)
{
    struct verifier following = *given;
    const struct verifier *vf = &following;
    memset(out, 0, sizeof *out);
    if (!follow_keys(&following, claim, v))
        return false;
    out->policy = vf->policy;
    if (!verify_snapshot(vf, &claim->snapshot, &out->snapshot, v) || !verify_entry(vf, &claim->entry, &out->entry, v))
        return false;
    if (!span_eq(claim->origin, out->snapshot.cp.origin))
        return verdict_bad(v, VERDICT_TAMPERED, out->entry.header.index, "origin", "the checkpoint is of another ledger");
    if (!verify_inclusion(vf, &out->entry, &out->snapshot.cp, claim->path, v))
        return false;
    size_t n_keys = out->entry.own || !out->entry.content ? 0 : out->entry.block.n;
    if (claim->n_keys != n_keys)
        return verdict_bad(v, VERDICT_DAMAGED, out->entry.header.index, "registration of a signer",
                           "the receipt carries %zu registrations for %zu signatures", claim->n_keys, n_keys);
    if (n_keys == 0)
        return true;
    if (out->entry.block.n != out->entry.event.kind->signatures)
        return verdict_bad(v, VERDICT_TAMPERED, out->entry.header.index, "signature block", "%zu signatures; this kind has %u",
                           out->entry.block.n, out->entry.event.kind->signatures);
    for (unsigned i = 0; i < out->entry.block.n; i++) {
        if (!check_signature(vf, claim, out, i, v))
            return false;
        out->signatures_checked++;
    }
    return true;
}
