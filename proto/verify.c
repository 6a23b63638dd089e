/* SPDX-License-Identifier: Apache-2.0 */
/* verify: checkpoints, snapshots, entries and their inclusion, signatures (verify.h). */
#include "verify.h"

#include <string.h>

static enum verdict_kind kind_of(enum ledger_rc rc)
{
    return verdict_of_error(rc, rc == LEDGER_EINVAL ? VERDICT_DAMAGED : VERDICT_TAMPERED);
}

/* The ledger itself has said, and whoever made this policy has checked, which key signs which sizes. */
static bool wrong_key(const struct policy *p, const struct checkpoint *cp, const struct policy_verdict *trust, struct verdict *v)
{
    uint64_t until = p->log_until[trust->log];
    const uint8_t *id = p->logs[trust->log].id;
    bool replaced = until && cp->size >= until;
    return verdict_bad(v, VERDICT_TAMPERED, VERDICT_NO_INDEX, "checkpoint",
                       "it has %llu entries and is signed by log key %02x%02x%02x%02x, which %s %llu",
                       (unsigned long long)cp->size, id[0], id[1], id[2], id[3],
                       replaced ? "was replaced and signs nothing from size" : "signs nothing below size",
                       (unsigned long long)(replaced ? until : p->log_from[trust->log]));
}

bool verify_checkpoint(const struct verifier *vf, struct span note, struct checkpoint *cp, struct policy_verdict *trust,
                       struct verdict *v)
{
    struct ledger_err e = {0};
    static const char what[] = "checkpoint";
    if (note.n == 0)
        return verdict_bad(v, VERDICT_DAMAGED, VERDICT_NO_INDEX, what, "there is none");
    if (!policy_check(vf->c, vf->a, vf->policy, note, cp, trust, &e))
        return verdict_bad(v, kind_of(e.rc), VERDICT_NO_INDEX, what, "%s", e.msg);
    if (vf->origin && !span_eq(cp->origin, span_str(vf->origin)))
        return verdict_bad(v, VERDICT_UNTRUSTED, VERDICT_NO_INDEX, what, "it is of %.*s, not of %s", SPAN_FMT(cp->origin),
                           vf->origin);
    if (trust->wrong_key)
        return wrong_key(vf->policy, cp, trust, v);
    if (!trust->log_signed)
        return verdict_bad(v, VERDICT_UNTRUSTED, VERDICT_NO_INDEX, what,
                           "no log key of the policy has signed it as %.*s", SPAN_FMT(cp->origin));
    if (!trust->quorum_met)
        return verdict_bad(v, VERDICT_UNTRUSTED, VERDICT_NO_INDEX, what, "the policy's quorum of witnesses has not cosigned");
    return true;
}

/* A path as it travels: whole hashes, at most 64. */
static bool read_path(struct span path, struct hash out[MERKLE_PATH_MAX], size_t *n)
{
    if (path.n % HASH_LEN || path.n / HASH_LEN > MERKLE_PATH_MAX)
        return false;
    *n = path.n / HASH_LEN;
    if (path.n)
        memcpy(out, path.p, path.n);
    return true;
}

/* The seal's own checks: a seal, at its place in the checkpoint's tree. */
static bool check_seal(const struct verifier *vf, const struct snapshot_claim *claim, struct snapshot *out, struct verdict *v)
{
    struct ledger_err e = {0};
    struct hash path[MERKLE_PATH_MAX];
    size_t n;
    enum ledger_rc rc = header_decode(vf->a, claim->seal, &out->seal, &e);
    if (rc)
        return verdict_bad(v, kind_of(rc), VERDICT_NO_INDEX, "seal", "%s", e.msg);
    if (out->seal.kind != OWN_SEAL || out->seal.index >= out->cp.size)
        return verdict_bad(v, VERDICT_TAMPERED, out->seal.index, "seal", "the last entry under a checkpoint must be a seal");
    merkle_leaf(vf->c, claim->seal, &out->seal_leaf);
    if (!read_path(claim->seal_path, path, &n) ||
        !merkle_verify_inclusion(vf->c, out->seal.index, out->cp.size, &out->seal_leaf, path, n, &out->cp.root))
        return verdict_bad(v, VERDICT_TAMPERED, out->seal.index, "seal", "its inclusion path does not lead to the checkpoint's root");
    return true;
}

bool verify_snapshot_at(const struct verifier *vf, const struct snapshot_claim *claim, uint64_t entries, struct snapshot *out,
                        struct verdict *v)
{
    memset(out, 0, sizeof *out);
    out->note = claim->note;
    if (!verify_checkpoint(vf, claim->note, &out->cp, &out->trust, v) || !check_seal(vf, claim, out, v))
        return false;
    if (entries != SNAPSHOT_ANY_SEAL && out->seal.index + 1 != entries)
        return verdict_bad(v, VERDICT_TAMPERED, out->seal.index, "seal", "it is not the seal of %llu entries that was asked for",
                           (unsigned long long)entries);
    return true;
}

bool verify_snapshot(const struct verifier *vf, const struct snapshot_claim *claim, struct snapshot *out, struct verdict *v)
{
    if (!verify_snapshot_at(vf, claim, SNAPSHOT_ANY_SEAL, out, v))
        return false;
    if (out->seal.index != out->cp.size - 1)
        return verdict_bad(v, VERDICT_TAMPERED, out->seal.index, "seal", "the last entry under a checkpoint must be a seal");
    return true;
}

bool verify_consistency(const struct verifier *vf, uint64_t size1, const struct hash *root1, uint64_t size2,
                        const struct hash *root2, struct span path, struct verdict *v)
{
    static const char what[] = "consistency";
    struct hash h[MERKLE_PATH_MAX];
    size_t n;
    if (size1 > size2)
        return verdict_bad(v, VERDICT_TAMPERED, VERDICT_NO_INDEX, what,
                           "the ledger has shrunk from %llu to %llu entries: it was rolled back",
                           (unsigned long long)size1, (unsigned long long)size2);
    if (size1 == size2 && !hash_eq(root1, root2))
        return verdict_bad(v, VERDICT_TAMPERED, VERDICT_NO_INDEX, what,
                           "two different trees of %llu entries: the ledger was forked", (unsigned long long)size1);
    if (size1 == 0)
        return true;
    if (!read_path(path, h, &n) || !merkle_verify_consistency(vf->c, size1, size2, root1, root2, h, n))
        return verdict_bad(v, VERDICT_TAMPERED, VERDICT_NO_INDEX, what,
                           "no proof that the tree of %llu entries begins with the %llu known ones",
                           (unsigned long long)size2, (unsigned long long)size1);
    return true;
}

/* ---- entries ---- */

/* What decoding the event came to, and the block's decoding. */
static bool check_decoded(const struct entry_claim *claim, struct entry *out, enum ledger_rc rc, const struct refusal *why,
                          const struct ledger_err *err, struct verdict *v)
{
    struct ledger_err e = {0};
    uint64_t index = out->header.index;
    if (rc == LEDGER_EREFUSED)
        return verdict_bad(v, VERDICT_TAMPERED, index, "event", "%s: %s", why->field, why->text);
    if (rc)
        return verdict_bad(v, kind_of(rc), index, "event", "%s", err->msg);
    rc = sigblock_decode(claim->block, &out->block, &e);
    if (rc)
        return verdict_bad(v, kind_of(rc), index, "signature block", "%s", e.msg);
    if (out->event.kind->kind != out->header.kind)
        return verdict_bad(v, VERDICT_TAMPERED, index, "kind", "the header's kind is not the event's");
    return true;
}

/* Decoding an event hashes it, too. What does not decode and is not what the header names is called by the latter. */
static bool check_content(const struct verifier *vf, const struct entry_claim *claim, struct entry *out, struct verdict *v)
{
    struct ledger_err e = {0};
    struct refusal why = {0};
    uint64_t index = out->header.index;
    const struct entry_record r = {.event = claim->event, .block = claim->block};
    enum ledger_rc rc = out->own ? LEDGER_OK : event_decode(vf->c, vf->a, claim->event, &out->event, &why, &e);
    const struct content_fault *f = entry_content_fault(vf->c, &out->header, &r, out->own || rc ? NULL : &out->event.id);
    if (f)
        return verdict_bad(v, VERDICT_TAMPERED, index, f->what, "%s", f->text);
    if (!out->own && !check_decoded(claim, out, rc, &why, &e, v))
        return false;
    if (own_kind_signed(out->header.kind) && sigblock_decode(claim->block, &out->block, NULL))
        return verdict_bad(v, VERDICT_TAMPERED, index, "signature block", "it does not decode");
    out->content = true;
    return true;
}

bool verify_entry(const struct verifier *vf, const struct entry_claim *claim, struct entry *out, struct verdict *v)
{
    struct ledger_err e = {0};
    memset(out, 0, sizeof *out);
    enum ledger_rc rc = header_decode(vf->a, claim->header, &out->header, &e);
    if (rc)
        return verdict_bad(v, kind_of(rc), VERDICT_NO_INDEX, "header", "%s", e.msg);
    merkle_leaf(vf->c, claim->header, &out->leaf);
    out->own = out->header.kind < EVENT_KIND_FIRST;
    if (out->header.kind == OWN_SEAL)
        return claim->event.n == 0 && claim->block.n == 0
                   ? true
                   : verdict_bad(v, VERDICT_TAMPERED, out->header.index, "seal", "has content; a seal has none");
    if (!entry_kind_name(out->header.kind))
        return verdict_bad(v, VERDICT_NEWER, out->header.index, "kind", "kind %u needs a newer version", out->header.kind);
    out->erased_by = claim->erased_by;
    if (out->erased_by && (out->own || out->header.kind == KIND_PARTY_REGISTERED || out->erased_by <= out->header.index))
        return verdict_bad(v, VERDICT_TAMPERED, out->header.index, "content", "it is said to be erased, which it cannot be");
    if (!claim->withheld && !claim->erased_by)
        return check_content(vf, claim, out, v);
    return claim->event.n == 0 && claim->block.n == 0
               ? true
               : verdict_bad(v, VERDICT_DAMAGED, out->header.index, "content", "it is said to be withheld or erased, and is there");
}

bool verify_inclusion(const struct verifier *vf, const struct entry *e, const struct checkpoint *cp, struct span path,
                      struct verdict *v)
{
    struct hash h[MERKLE_PATH_MAX];
    size_t n;
    if (!read_path(path, h, &n) ||
        !merkle_verify_inclusion(vf->c, e->header.index, cp->size, &e->leaf, h, n, &cp->root))
        return verdict_bad(v, VERDICT_TAMPERED, e->header.index, "inclusion path",
                           "it does not lead from this header to the checkpoint's root");
    return true;
}

bool verify_signature(const struct verifier *vf, struct span origin, const struct entry *e, unsigned i, unsigned alg,
                      struct span key, struct verdict *v)
{
    char what[64] = "signature";
    uint64_t index = e->header.index;
    if (!e->content || (e->own && !own_kind_signed(e->header.kind)) || i >= e->block.n)
        return verdict_bad(v, VERDICT_DAMAGED, index, what, "there is no signature %u", i + 1);
    const struct signature *s = &e->block.sigs[i];
    struct hash root;
    uint8_t id[KEY_ID_LEN];
    crypto_key_id(vf->c, (enum sig_alg)alg, key, id);
    if (s->alg != alg || !span_eq(s->key_id, span_of(id, sizeof id)))
        return verdict_bad(v, VERDICT_TAMPERED, index, what, "signature %u of %.*s names another key", i + 1, SPAN_FMT(s->party));
    if (!sigblock_root(vf->c, &e->block, &e->header.event_id, &root))
        return verdict_bad(v, VERDICT_TAMPERED, index, "signature block", "the event is not among those that were signed together");
    struct span msg = signature_input(vf->c, vf->a, origin, s, i + 1, e->block.events, &root, i ? s - 1 : NULL);
    if (!msg.p)
        return verdict_bad(v, VERDICT_MEMORY, index, what, "out of memory");
    if (!crypto_verify(vf->c, (enum sig_alg)alg, key, msg, s->sig))
        return verdict_bad(v, VERDICT_TAMPERED, index, what, "signature %u of %.*s does not verify", i + 1, SPAN_FMT(s->party));
    return true;
}
