/* SPDX-License-Identifier: Apache-2.0 */
/* verify_receipt: a portable receipt — entry, inclusion, checkpoint, and the signers' registrations (verify.h). */
#include <string.h>

#include "verify.h"

static bool malformed(struct verdict *v, const struct entry *reg, const char *text)
{
    return verdict_bad(v, VERDICT_TAMPERED, reg->header.index, "registration of a signer", "%s", text);
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
    return verify_registration(&reg, k->registration.event, k->party, out, v);
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
    if (!check_key(vf, r, &claim->keys[i], &key, v))
        return false;
    struct verdict found = {VERDICT_GOOD};
    if (verify_signature(vf, claim->origin, &r->entry, i, key.alg, span_of(key.key, key.n), &found))
        return true;
    if (v)
        *v = found;
    if (found.kind != VERDICT_TAMPERED)
        return false;
    /* A registration of another key proves nothing: the party may have had several. */
    uint8_t id[KEY_ID_LEN];
    crypto_key_id(vf->c, (enum sig_alg)key.alg, span_of(key.key, key.n), id);
    r->forged = s->alg == key.alg && span_eq(s->key_id, span_of(id, sizeof id));
    return false;
}

/* Its content is here, and persons have signed it. */
static bool signed_by_persons(const struct entry *e)
{
    return e->content && (!e->own || own_kind_signed(e->header.kind));
}

/* Exactly as many signatures as the kind asks for. */
static bool check_count(struct receipt *r, struct verdict *v)
{
    const struct entry *e = &r->entry;
    if (!signed_by_persons(e))
        return true;
    unsigned asked = e->own ? OWN_SIGNATURES : e->event.kind->signatures;
    if (e->block.n == asked)
        return true;
    r->forged = true;
    return verdict_bad(v, VERDICT_TAMPERED, e->header.index, "signature block", "%zu signatures; this kind has %u", e->block.n, asked);
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
    if (!p)
        return verdict_bad(v, VERDICT_MEMORY, VERDICT_NO_INDEX, "log keys", "out of memory");
    if (claim->origin.n > ORIGIN_MAX)
        return verdict_bad(v, VERDICT_DAMAGED, VERDICT_NO_INDEX, "log keys", "there is no such origin");
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
    out->recorded = true;
    if (claim->entry.opening.n && !verify_opening(vf, &out->entry.header, claim->entry.opening, v))
        return false;
    if (!check_count(out, v))
        return false;
    size_t n_keys = signed_by_persons(&out->entry) ? out->entry.block.n : 0;
    if (claim->n_keys != n_keys)
        return verdict_bad(v, VERDICT_DAMAGED, out->entry.header.index, "registration of a signer",
                           "the receipt carries %zu registrations for %zu signatures", claim->n_keys, n_keys);
    for (unsigned i = 0; i < n_keys; i++) {
        if (!check_signature(vf, claim, out, i, v))
            return false;
        out->signatures_checked++;
    }
    return true;
}
