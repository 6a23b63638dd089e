/* SPDX-License-Identifier: Apache-2.0 */
/* dossier_json: a verified dossier as one JSON object (dossier_report.h). */
#include "dossier_report.h"

static void put_snapshot(const struct dossier_report *r, struct json_writer *w)
{
    const struct snapshot *s = &r->proof.snapshot;
    json_name(w, SPAN_LIT("checkpoint"));
    json_object(w);
    json_put_string(w, "origin", s->cp.origin);
    json_put_uint(w, "size", s->cp.size);
    json_put_hex(w, "root", span_of(s->cp.root.b, HASH_LEN));
    json_put_time(w, "sealed", s->seal.recorded_us);
    json_put_uint(w, "seal", s->seal.index);
    json_put_string(w, "log", span_str(r->proof.policy->logs[s->trust.log].name));
    json_put_uint(w, "log_key_changes", r->d.n_log_keys);
    json_put_bool(w, "quorum", !r->policy->quorum_none && s->trust.quorum_met);
    json_put_bool(w, "auditors", s->trust.auditors_signed);
    json_put_string(w, "completeness", span_str(s->trust.auditors_signed ? "auditing witness" : "operator's word"));
    json_end(w);
}

static void put_counts(const struct dossier_report *r, struct json_writer *w)
{
    const struct dossier_proof *p = &r->proof;
    json_put_uint(w, "chains", p->n_chains);
    json_put_uint(w, "entries", p->n_entries);
    for (unsigned i = 0; i < DOSSIER_BASES; i++)
        json_put_uint(w, dossier_basis_name((enum dossier_basis)i), p->bases[i]);
    json_put_uint(w, "signatures", p->signatures);
    json_put_uint(w, "distinct_signatures", p->distinct);
    json_name(w, SPAN_LIT("withheld_kinds"));
    json_array(w);
    for (size_t i = 0; i < r->d.n_withheld; i++)
        json_string(w, r->d.withheld[i]);
    json_end(w);
}

static void put_subjects(const struct dossier_report *r, struct json_writer *w)
{
    static const char *const closures[] = {"none", "back", "forward"};
    json_put_string(w, "closure", span_str(closures[r->d.closure]));
    json_name(w, SPAN_LIT("subjects"));
    json_array(w);
    for (size_t i = 0; i < r->d.n_subjects; i++) {
        const struct dossier_proven *pc = dossier_find(r->ctl->c, &r->proof, r->d.subjects[i].type, r->d.subjects[i].id);
        json_object(w);
        json_put_string(w, "type", span_str(chain_type_name(r->d.subjects[i].type)));
        json_put_string(w, "id", r->d.subjects[i].id);
        json_put_bool(w, "present", pc && pc->present);
        json_end(w);
    }
    json_end(w);
}

static void put_items(const struct dossier_report *r, struct json_writer *w)
{
    struct chain *ch = arena_alloc(r->ctl->a, sizeof *ch);
    json_name(w, SPAN_LIT("items"));
    json_array(w);
    for (size_t i = 0; ch && i < r->proof.n_chains; i++) {
        const struct dossier_proven *pc = &r->proof.chains[i];
        if (pc->chain->name.type != CHAIN_ITEM || !dossier_chain_state(pc, ch))
            continue;
        json_object(w);
        json_put_string(w, "item", ch->id);
        json_put_string(w, "class", span_str(item_class_name(ch->item.klass)));
        json_put_string(w, "state", span_str(dossier_item_text(r->ctl, &ch->item)));
        json_put_string(w, "holder", ch->item.holder);
        json_put_string(w, "in_shipment", ch->item.shipment);
        if (ch->item.terminal)
            json_put_string(w, "terminal", span_str(terminal_name(ch->item.terminal)));
        json_put_string(w, "administered_to", ch->item.patient);
        json_put_bool(w, "recalled", ch->item.open_recalls > 0);
        json_put_uint(w, "entries", pc->count);
        json_end(w);
    }
    json_end(w);
}

static void put_signers(const struct dossier_report *r, struct json_writer *w)
{
    size_t n;
    const struct dossier_signer *all = dossier_signers(r, &n);
    struct chain *party = arena_alloc(r->ctl->a, sizeof *party);
    json_name(w, SPAN_LIT("signers"));
    json_array(w);
    for (size_t i = 0; party && i < n; i++) {
        if (!dossier_chain_state(all[i].party, party))
            continue;
        json_object(w);
        json_put_string(w, "party", party->party.id);
        json_put_string(w, "org", party->party.org);
        json_put_uint(w, "signatures", all[i].n);
        json_put_time(w, "first", all[i].first_us);
        json_put_time(w, "latest", all[i].last_us);
        json_put_string(w, "meanings", span_str(all[i].meanings));
        json_end(w);
    }
    json_end(w);
}

static void put_erasure(const struct dossier_report *r, struct json_writer *w, const struct dossier_entry *de)
{
    const struct dossier_entry *by = dossier_entry_at(&r->proof, de->claim->erased_by);
    struct entry *e = arena_alloc(r->vf.a, sizeof *e);
    struct erasure x;
    if (!by || !e || !dossier_content(&r->vf, by, e) || erasure_decode(by->claim->event, &x, NULL))
        return;
    json_object(w);
    json_put_uint(w, "entry", de->header.index);
    json_put_string(w, "kind", span_str(entry_kind_name(de->header.kind)));
    json_put_uint(w, "erased_under", de->claim->erased_by);
    json_put_string(w, "reason", x.reason);
    json_name(w, SPAN_LIT("by"));
    json_array(w);
    for (size_t i = 0; i < e->block.n; i++)
        json_string(w, e->block.sigs[i].party);
    json_end(w);
    json_end(w);
}

/* Entries whose content is not here. */
static void put_missing_content(const struct dossier_report *r, struct json_writer *w)
{
    json_name(w, SPAN_LIT("erased_entries"));
    json_array(w);
    for (size_t i = 0; i < r->proof.n_entries; i++)
        if (r->proof.entries[i].basis == DOSSIER_ERASED)
            put_erasure(r, w, &r->proof.entries[i]);
    json_end(w);
    json_name(w, SPAN_LIT("withheld_entries"));
    json_array(w);
    for (size_t i = 0; i < r->proof.n_entries; i++) {
        const struct dossier_entry *e = &r->proof.entries[i];
        if (e->basis != DOSSIER_WITHHELD)
            continue;
        json_object(w);
        json_put_uint(w, "entry", e->header.index);
        json_put_string(w, "kind", span_str(entry_kind_name(e->header.kind)));
        json_end(w);
    }
    json_end(w);
}

static void put_standing(const struct dossier_report *r, struct json_writer *w)
{
    if (!r->found)
        return;
    json_name(w, SPAN_LIT("standing"));
    json_object(w);
    json_put_string(w, "item", r->d.subjects[0].id);
    json_put_string(w, "for", span_str(r->question->purpose));
    json_put_time(w, "at", r->question->q.at_us);
    json_put_bool(w, "decided", !r->undecided);
    if (!r->undecided)
        json_put_bool(w, "fit", r->found->n == 0);
    json_name(w, SPAN_LIT("reasons"));
    json_array(w);
    for (unsigned i = 0; i < r->found->n; i++) {
        json_object(w);
        json_put_string(w, "code", span_str(refusal_name(r->found->r[i].code)));
        json_put_string(w, "subject", span_str(r->found->r[i].subject));
        json_put_string(w, "text", span_str(r->found->r[i].text));
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

static void put_history(const struct dossier_report *r, struct json_writer *w)
{
    const struct dossier_proven *pc = dossier_find(r->ctl->c, &r->proof, r->d.subjects[0].type, r->d.subjects[0].id);
    json_name(w, SPAN_LIT("history"));
    json_array(w);
    for (size_t i = 0; pc && i < pc->chain->n; i++) {
        const struct dossier_entry *de = dossier_entry_at(&r->proof, pc->chain->entries[i]);
        struct entry *e = arena_alloc(r->vf.a, sizeof *e);
        if (!e || !verify_entry(&r->vf, de->claim, e, NULL))
            continue;
        json_object(w);
        json_put_string(w, "state", span_str(dossier_basis_name(de->basis)));
        json_name(w, SPAN_LIT("entry"));
        entry_json(w, r->vf.a, e);
        json_end(w);
    }
    json_end(w);
}

void dossier_report_json(struct dossier_report *r, struct json_writer *w)
{
    const char *unproven[DOSSIER_UNPROVEN_MAX];
    json_object(w);
    json_put_string(w, "file", span_str(r->path));
    json_put_bool(w, "verified", r->ok);
    if (!r->ok) {
        json_put_string(w, "verdict", span_str(verdict_kind_name(r->verdict.kind)));
        json_put_string(w, "what", span_str(r->verdict.what));
        if (r->verdict.index != VERDICT_NO_INDEX)
            json_put_uint(w, "index", r->verdict.index);
        json_put_string(w, "text", span_str(r->verdict.text));
        json_end(w);
        return;
    }
    put_subjects(r, w);
    put_snapshot(r, w);
    put_standing(r, w);
    put_counts(r, w);
    put_history(r, w);
    put_items(r, w);
    put_signers(r, w);
    put_missing_content(r, w);
    dossier_stamps_json(r, w);
    json_name(w, SPAN_LIT("not_proven"));
    json_array(w);
    unsigned n = dossier_unproven(r, unproven);
    for (unsigned i = 0; i < n; i++)
        json_string(w, span_str(unproven[i]));
    json_end(w);
    json_end(w);
}
