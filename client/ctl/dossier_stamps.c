/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dossier_stamps: time from outside in a dossier (dossier_report.h). The dossier ties the stamped checkpoints to its tree; here the tokens
 * are verified, under certificates that the reader has chosen and as of their own time, and bound when the subjects' first and latest
 * entries were recorded.
 */
#include "dossier_report.h"

static bool is_subject(const struct dossier_report *r, const struct dossier_proven *pc)
{
    for (size_t i = 0; i < r->d.n_subjects; i++)
        if (r->d.subjects[i].type == pc->chain->name.type && span_eq(r->d.subjects[i].id, pc->chain->name.id))
            return true;
    return false;
}

static void read_stamp(struct dossier_report *r, const struct dossier_stamped *stamped, struct dossier_token *out)
{
    struct ctl *ctl = r->ctl;
    struct verdict v = {0};
    struct ledger_err err = {0};
    if (!verify_time_stamp(ctl->c, r->vf.a, &stamped->entry->header, stamped->entry->claim->event, r->proof.snapshot.cp.origin, &out->stamp, &v))
        out->why = ctl_text(ctl, "%s", v.text);
    else if (!r->tsa_ca.p)
        out->why = "not verified: no authority's certificate was given";
    else if (time_stamp_trust(&out->stamp, r->tsa_ca, &out->trust, &err))
        out->why = ctl_text(ctl, "not verified: %s", err.msg);
    else
        out->trusted = true;
    r->n_trusted += out->trusted;
}

/* The tokens that bound one entry, of `list`: those that are trusted, in the order of r->tokens. */
static void bound(const struct dossier_report *r, const struct tsp_stamp *list, struct dossier_bounds *b)
{
    struct tsp_bounds found;
    size_t at = 0;
    tsp_bounds(list, r->n_trusted, b->index, &found);
    b->not_before_us = found.not_before_us;
    b->not_after_us = found.not_after_us;
    for (size_t i = 0; i < r->proof.n_stamps; i++) {
        if (!r->tokens[i].trusted)
            continue;
        if (found.after == &list[at])
            b->after = &r->tokens[i];
        if (found.before == &list[at])
            b->before = &r->tokens[i];
        at++;
    }
}

static void bound_subjects(struct dossier_report *r, const struct tsp_stamp *list)
{
    struct dossier_bounds *first = &r->bounds[0], *latest = &r->bounds[1];
    for (size_t i = 0; i < r->proof.n_chains; i++) {
        const struct dossier_chain *ch = r->proof.chains[i].chain;
        if (!ch->n || !is_subject(r, &r->proof.chains[i]))
            continue;
        first->index = !r->bounded || ch->entries[0] < first->index ? ch->entries[0] : first->index;
        latest->index = !r->bounded || ch->entries[ch->n - 1] > latest->index ? ch->entries[ch->n - 1] : latest->index;
        r->bounded = true;
    }
    if (!r->bounded)
        return;
    bound(r, list, first);
    bound(r, list, latest);
}

int dossier_stamps_read(struct dossier_report *r)
{
    size_t n = r->proof.n_stamps, k = 0;
    struct tsp_stamp *list = arena_alloc(r->vf.a, (n + 1) * sizeof *list);
    r->tokens = arena_alloc(r->vf.a, (n + 1) * sizeof *r->tokens);
    if (!list || !r->tokens)
        return ctl_fail(r->ctl, EXIT_NO_ANSWER, "out of memory");
    for (size_t i = 0; i < n; i++) {
        read_stamp(r, &r->proof.stamps[i], &r->tokens[i]);
        if (r->tokens[i].trusted)
            list[k++] = stamp_for_bounds(&r->tokens[i].stamp);
    }
    bound_subjects(r, list);
    return r->tsa_demanded && r->n_trusted < n ? EXIT_NEGATIVE : EXIT_GOOD;
}

/* ---- telling ---- */

static void print_side(struct ctl *ctl, const char *which, const char *words, const struct dossier_token *t, int64_t us, const char *none)
{
    if (t)
        printf("  %s %s %s  (token in entry #%llu, by %s under %s)\n", which, words, ctl_time(ctl, us), (unsigned long long)t->stamp.index,
               ctl_span(ctl, span_str(t->trust.signer)), ctl_span(ctl, span_str(t->trust.ca)));
    else
        printf("  %s %s %s\n", which, words, none);
}

static void print_bounds(struct ctl *ctl, const char *name, const struct dossier_bounds *b)
{
    const char *which = ctl_text(ctl, "%s entry #%llu", name, (unsigned long long)b->index);
    print_side(ctl, which, "not earlier than", b->after, b->not_before_us, "(no verified token was recorded before it)");
    print_side(ctl, which, "not later than  ", b->before, b->not_after_us, "(no verified token covers it)");
}

void dossier_stamps_print(const struct dossier_report *r)
{
    struct ctl *ctl = r->ctl;
    if (r->proof.n_stamps == 0 && !r->tsa_ca.p)
        return;
    printf("Recorded, by the clock of a time-stamping authority:\n");
    if (r->proof.n_stamps == 0)
        printf("  (no time stamp in this dossier)\n");
    for (size_t i = 0; i < r->proof.n_stamps; i++)
        if (!r->tokens[i].trusted)
            printf("  token in entry #%llu: %s\n", (unsigned long long)r->proof.stamps[i].entry->header.index,
                   ctl_paint(ctl, r->tsa_ca.p ? COLOR_BAD : COLOR_WARN, ctl_span(ctl, span_str(r->tokens[i].why))));
    if (r->n_trusted == 0 || !r->bounded)
        return;
    print_bounds(ctl, "first ", &r->bounds[0]);
    print_bounds(ctl, "latest", &r->bounds[1]);
    if (!r->proof.snapshot.trust.auditors_signed)
        printf("  (that these entries stand at these places in the log is the operator's word: no auditing witness has cosigned, and a dossier\n"
               "  has no inclusion paths; their receipts prove it)\n");
}

static void put_token(const struct dossier_token *t, const struct dossier_stamped *stamped, struct json_writer *w)
{
    json_object(w);
    json_put_uint(w, "entry", stamped->entry->header.index);
    json_put_uint(w, "checkpoint_size", stamped->size);
    json_put_bool(w, "verified", t->trusted);
    if (t->trusted) {
        json_put_time(w, "time", t->stamp.info.gen_us);
        json_put_uint(w, "accuracy_us", (uint64_t)t->stamp.info.accuracy_us);
        json_put_string(w, "authority", span_str(t->trust.signer));
        json_put_string(w, "ca", span_str(t->trust.ca));
        json_put_hex(w, "ca_sha256", span_of(t->trust.ca_fingerprint.b, HASH_LEN));
    } else {
        json_put_string(w, "why", span_str(t->why));
    }
    json_end(w);
}

static void put_side(struct json_writer *w, const char *name, const struct dossier_token *t, int64_t us)
{
    json_name(w, span_str(name));
    if (!t) {
        json_null(w);
        return;
    }
    json_object(w);
    json_put_time(w, "time", us);
    json_put_uint(w, "by_entry", t->stamp.index);
    json_put_string(w, "authority", span_str(t->trust.signer));
    json_put_string(w, "ca", span_str(t->trust.ca));
    json_end(w);
}

void dossier_stamps_json(const struct dossier_report *r, struct json_writer *w)
{
    static const char *const names[] = {"first", "latest"};
    json_name(w, SPAN_LIT("time_stamps"));
    json_array(w);
    for (size_t i = 0; i < r->proof.n_stamps; i++)
        put_token(&r->tokens[i], &r->proof.stamps[i], w);
    json_end(w);
    json_name(w, SPAN_LIT("bounds"));
    json_object(w);
    for (unsigned i = 0; i < 2 && r->bounded; i++) {
        json_name(w, span_str(names[i]));
        json_object(w);
        json_put_uint(w, "entry", r->bounds[i].index);
        put_side(w, "not_before", r->bounds[i].after, r->bounds[i].not_before_us);
        put_side(w, "not_after", r->bounds[i].before, r->bounds[i].not_after_us);
        json_end(w);
    }
    json_end(w);
}
