/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dossier_make: fetches what a dossier is made of, makes it, and verifies it as somebody with nothing but the file would; for `dossier`,
 * which writes it, and for `check --deep` and `trace --deep`, which only want to know (dossier_report.h).
 */
#include "dossier_report.h"

#define DOSSIER_TIMEOUT_MS 600000u

/* For the time stamps that bound the subjects. */
static enum ledger_rc consistency(void *ctx, struct arena *a, uint64_t size1, uint64_t size2, struct span *path, struct ledger_err *err)
{
    const struct dossier_making *m = ctx;
    const struct call_request rq = {.op = CALL_CONSISTENCY, .u.consistency = {size1, size2}};
    struct reply *r = NULL;
    enum ledger_rc rc = client_call(m->ctl->client, &rq, m->ctl->timeout_ms, &r, err);
    if (!rc)
        *path = arena_copy(a, r->u.consistency.path.n ? r->u.consistency.path : span_of("", 0));
    else if (r && r->err.rc)
        *err = r->err;
    reply_free(r);
    return rc || path->p ? rc : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

/* The record of the entry that convicts, or SPAN_NONE. */
static struct span record_of(struct dossier_making *m, uint64_t index)
{
    const struct dossier *d = &m->report.d;
    struct header h;
    for (size_t i = 0; i < d->n_entries; i++) {
        const struct entry_claim *e = &d->entries[i];
        const struct entry_record record = {.header = e->header, .event = e->event, .block = e->block};
        if (!header_decode(m->report.vf.a, e->header, &h, NULL) && h.index == index)
            return entry_record_join(m->ctl->a, &record);
    }
    return SPAN_NONE;
}

/* An answer that is deep writes no dossier: the entry's receipt is the evidence. */
static int keep_entry(struct dossier_making *m, const struct ledger_err *why)
{
    const struct verdict *v = &m->report.verdict;
    struct span record = v->index == VERDICT_NO_INDEX ? SPAN_NONE : record_of(m, v->index);
    struct ledger_err err = {0};
    if (!record.p)
        return ctl_tampered(m->ctl, m->reply, SPAN_NONE, why->msg);
    ctl_keep_entry(m->ctl, v->index, why->msg, m->reply->snapshot.note, record, &err);
    return ctl_fail_err(m->ctl, &err, (enum ledger_recorded)0);
}

/* What the log signed contradicts itself: then the dossier is written, as the evidence. Otherwise what the server said is kept as a claim. */
static int convict(struct dossier_making *m, const struct ledger_err *err)
{
    if (m->report.verdict.kind != VERDICT_TAMPERED || !m->file.p)
        return ctl_tampered(m->ctl, m->reply, SPAN_NONE, err->msg);
    if (!m->path)
        return keep_entry(m, err);
    if (ctl_write_file(m->ctl, m->path, m->file, m->force))
        return ctl_tampered(m->ctl, m->reply, SPAN_NONE, err->msg);
    return ctl_tampered(m->ctl, m->reply, SPAN_NONE, ctl_text(m->ctl, "%s (`ledgerctl verify %s` shows it)", err->msg, m->path));
}

static int build(struct dossier_making *m)
{
    struct ctl *ctl = m->ctl;
    const struct ledger_profile *p = client_profile(ctl->client);
    struct dossier_report *r = &m->report;
    struct ledger_err err = {0};
    *r = (struct dossier_report){.ctl = ctl, .policy = p->policy};
    r->vf = (struct verifier){.c = ctl->c, .a = arena_new(4 * DOSSIER_BYTES_MAX), .policy = p->policy, .index_key = p->index_key, .origin = p->origin};
    if (!r->vf.a)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    enum ledger_rc rc = dossier_build(&r->vf, m->reply, &m->plan, &m->file, &r->d, &r->proof, &r->verdict, &err);
    r->ok = rc == LEDGER_OK;
    return r->ok                  ? EXIT_GOOD
           : rc == LEDGER_ETAMPER ? convict(m, &err)
                                  : ctl_fail_err(ctl, &err, (enum ledger_recorded)0);
}

int dossier_make(struct dossier_making *m)
{
    struct ctl *ctl = m->ctl;
    struct chain_name names[DOSSIER_SUBJECTS_MAX + 1];
    int exit = ctl_profile(ctl);
    if (exit)
        return exit;
    if (!ctl->timeout_ms)
        ctl->timeout_ms = DOSSIER_TIMEOUT_MS;
    m->plan.budget = DOSSIER_REPLAY_BYTES;
    m->plan.consistency = m->path ? consistency : NULL;
    m->plan.consistency_ctx = m;
    struct call_request call = {.op = CALL_PROVE, .fresh = m->fresh, .u.prove = dossier_request(&m->plan, ctl->profile->origin, names)};
    exit = ctl_call(ctl, &call, &m->reply);
    return exit ? exit : build(m);
}

void dossier_making_end(struct dossier_making *m)
{
    dossier_report_end(&m->report);
    reply_free(m->reply);
    m->reply = NULL;
}

/* ---- what a deep answer stands on ---- */

const char *dossier_deep_text(const struct dossier_report *r)
{
    const struct dossier_proof *p = &r->proof;
    uint64_t committed = p->n_entries - p->bases[DOSSIER_DERIVED];
    const char *rest = committed ? ctl_text(r->ctl, ", the states of %llu taken from what the ledger committed to", (unsigned long long)committed) : "";
    return ctl_text(r->ctl, "Verified here: the whole lineage with everything that it names, replayed: %zu entries, %llu signatures; %llu entries judged "
                            "again by the rules%s.", p->n_entries, (unsigned long long)p->signatures,
                    (unsigned long long)p->bases[DOSSIER_DERIVED], rest);
}

void dossier_deep_json(const struct dossier_report *r, struct json_writer *w)
{
    json_name(w, SPAN_LIT("deep"));
    json_object(w);
    json_put_uint(w, "chains", r->proof.n_chains);
    json_put_uint(w, "entries", r->proof.n_entries);
    for (unsigned i = 0; i < DOSSIER_BASES; i++)
        json_put_uint(w, dossier_basis_name((enum dossier_basis)i), r->proof.bases[i]);
    json_put_uint(w, "signatures", r->proof.signatures);
    json_put_uint(w, "distinct_signatures", r->proof.distinct);
    json_end(w);
}
