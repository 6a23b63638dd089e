/* SPDX-License-Identifier: Apache-2.0 */
/* dossier_tell: what is told about a verified dossier, in both forms of output (dossier_report.h). */
#include <string.h>

#include "dossier_report.h"

const char *dossier_basis_name(enum dossier_basis b)
{
    static const char *const names[] = {"derived", "outside", "withheld", "erased"};
    return b < DOSSIER_BASES ? names[b] : "?";
}

const char *dossier_item_text(struct ctl *ctl, const struct item_state *s)
{
    const char *recall = s->open_recalls ? ", RECALLED" : "";
    if (s->terminal == TERMINAL_ADMINISTERED)
        return ctl_text(ctl, "administered to %s%s", ctl_span(ctl, s->patient), recall);
    if (s->terminal == TERMINAL_DISPOSED)
        return ctl_text(ctl, "disposed%s", recall);
    if (s->shipment.p)
        return ctl_text(ctl, "in shipment %s, from %s%s", ctl_span(ctl, s->shipment), ctl_span(ctl, s->holder), recall);
    return ctl_text(ctl, "held by %s%s", ctl_span(ctl, s->holder), recall);
}

/* ---- who signed ---- */

static bool says(const char *meanings, const char *meaning)
{
    size_t n = strlen(meaning);
    for (const char *at = meanings; (at = strstr(at, meaning)) != NULL; at += n)
        if ((at == meanings || at[-1] == ' ') && (at[n] == 0 || at[n] == ','))
            return true;
    return false;
}

static void add_signature(const struct dossier_report *r, struct dossier_signer *all, const struct signature *s, int64_t recorded_us)
{
    const struct dossier_proven *party = dossier_find(r->ctl->c, &r->proof, CHAIN_PARTY, s->party);
    if (!party)
        return;
    struct dossier_signer *x = &all[party - r->proof.chains];
    const char *meaning = ctl_span(r->ctl, s->meaning);
    x->party = party;
    x->first_us = x->n ? x->first_us : recorded_us;
    x->last_us = recorded_us;
    x->n++;
    if (!x->meanings || !says(x->meanings, meaning))
        x->meanings = x->meanings ? ctl_text(r->ctl, "%s, %s", x->meanings, meaning) : meaning;
}

struct dossier_signer *dossier_signers(const struct dossier_report *r, size_t *n)
{
    struct dossier_signer *all = arena_alloc(r->ctl->a, (r->proof.n_chains + 1) * sizeof *all);
    struct arena *scratch = arena_new(DOSSIER_REPLAY_BYTES);
    struct verifier vf = r->vf;
    size_t kept = 0;
    *n = 0;
    vf.a = scratch;
    for (size_t i = 0; all && scratch && i < r->proof.n_entries; i++) {
        struct entry *e = arena_alloc(scratch, sizeof *e);
        bool content = e && dossier_content(&vf, &r->proof.entries[i], e);
        for (size_t k = 0; content && (!e->own || own_kind_signed(e->header.kind)) && k < e->block.n; k++)
            add_signature(r, all, &e->block.sigs[k], e->header.recorded_us);
        arena_reset(scratch);
    }
    arena_free(scratch);
    for (size_t i = 0; all && i < r->proof.n_chains; i++)
        if (all[i].n)
            all[kept++] = all[i];
    *n = kept;
    return all;
}

/* ---- what is not proven ---- */

static unsigned withheld_stamps(const struct dossier_report *r)
{
    unsigned n = 0;
    for (size_t i = 0; i < r->proof.n_entries; i++)
        n += r->proof.entries[i].basis == DOSSIER_WITHHELD && r->proof.entries[i].header.kind == OWN_TIME_STAMP;
    return n;
}

unsigned dossier_unproven(const struct dossier_report *r, const char *out[DOSSIER_UNPROVEN_MAX])
{
    struct ctl *ctl = r->ctl;
    const uint64_t *n = r->proof.bases;
    uint64_t withheld = n[DOSSIER_WITHHELD] - withheld_stamps(r);
    unsigned k = 0;
    if (!r->proof.snapshot.trust.auditors_signed)
        out[k++] = "that the ledger left nothing out and kept its rules in what is not here: that is the operator's word, for no auditing "
                   "witness has cosigned";
    if (n[DOSSIER_OUTSIDE])
        out[k++] = ctl_text(ctl, "that the rules allowed %llu entries, and what they changed: judging them takes chains that are not here. "
                                 "Their states are taken from what the ledger committed to",
                            (unsigned long long)n[DOSSIER_OUTSIDE]);
    if (withheld)
        out[k++] = ctl_text(ctl, "content, signers and judgement of %llu entries: present, content withheld. Their states are taken from what "
                                 "the ledger committed to", (unsigned long long)withheld);
    if (n[DOSSIER_ERASED])
        out[k++] = ctl_text(ctl, "content, signers and judgement of %llu entries: erased. Their states are taken from what the ledger "
                                 "committed to", (unsigned long long)n[DOSSIER_ERASED]);
    if (r->proof.n_stamps > r->n_trusted)
        out[k++] = ctl_text(ctl, "when, but by the ledger's clock: the tokens of %zu time stamps, which are over beginnings of this tree, were not "
                                 "verified", r->proof.n_stamps - r->n_trusted);
    out[k++] = "that no reference and no key was used before on a chain that is not here, and that an administrator was always left";
    if (r->d.closure != DOSSIER_BACK)
        out[k++] = "what these items came from: the dossier does not go back";
    if (r->d.closure != DOSSIER_FORWARD)
        out[k++] = "what else came from these items: the dossier does not go forward";
    out[k++] = ctl_text(ctl, "anything after this was sealed, %s", ctl_time(ctl, r->proof.snapshot.seal.recorded_us));
    out[k++] = "that what the signers say is true";
    return k;
}
