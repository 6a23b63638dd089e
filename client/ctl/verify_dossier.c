/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_dossier: a dossier, offline: what was proven, by whom, as of when, what was withheld or erased, and what was not proven. The
 * verification is proto/dossier.h; here it is read, asked and told.
 */
#include <stdlib.h>
#include <string.h>

#include "dossier_report.h"

/* ---- reading and asking ---- */

int dossier_question_read(struct ctl *ctl, struct dossier_question *x)
{
    static const char *const names[] = {"administer", "consume", "dispatch", "release"};
    const struct ask_text texts[] = {{"--for", x->purpose}, {"--coi", x->coi},   {"--subject-commit", x->commit},
                                     {"--org", x->org},     {"--into", x->into}, {"--at", x->at}};
    if (!ask_filled(ctl, texts, sizeof texts / sizeof texts[0]))
        return EXIT_USAGE;
    x->asked = x->purpose != NULL;
    if (!x->asked)
        return x->coi || x->commit || x->org || x->into || x->at ? ctl_fail(ctl, EXIT_USAGE, "what may it be used for? --for PURPOSE") : EXIT_GOOD;
    for (unsigned i = 0; i < 4; i++)
        if (strcmp(names[i], x->purpose) == 0)
            x->q.purpose = (enum purpose)(i + 1);
    if (!x->q.purpose)
        return ctl_fail(ctl, EXIT_USAGE, "--for administer, consume, dispatch or release");
    if (x->q.purpose == PURPOSE_ADMINISTER && (!x->coi || !x->commit))
        return ctl_fail(ctl, EXIT_USAGE, "to administer, the patient is part of the question: --coi and --subject-commit");
    if (!ask_time(ctl, x->at, &x->q.at_us))
        return EXIT_USAGE;
    x->q.coi = span_str(x->coi);
    x->q.subject_commit = span_str(x->commit);
    x->q.org = span_str(x->org);
    x->q.into = span_str(x->into);
    return EXIT_GOOD;
}

bool dossier_file(const char *path)
{
    uint8_t head[32];
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (f)
        fclose(f);
    return dossier_begins(span_of(head, n));
}

/* A reason that is only that something is not here is none. */
static void drop_unknown(struct findings *f)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->n; i++)
        if (f->r[i].code != E_UNKNOWN_ITEM)
            f->r[n++] = f->r[i];
    f->n = n;
}

static bool has_mismatch(const struct findings *f)
{
    for (unsigned i = 0; i < f->n; i++)
        if (f->r[i].code == E_COI_MISMATCH)
            return true;
    return false;
}

static int ask(struct dossier_report *r)
{
    struct ledger_err err = {0};
    struct standing_query q = r->question->q;
    r->found = arena_alloc(r->ctl->a, sizeof *r->found);
    if (!r->found)
        return ctl_fail(r->ctl, EXIT_NO_ANSWER, "out of memory");
    q.item = r->d.subjects[0].id;
    if (r->d.subjects[0].type != CHAIN_ITEM)
        return ctl_fail(r->ctl, EXIT_USAGE, "%s: it is about no item; nothing can be asked of it with --for", r->path);
    enum ledger_rc rc = dossier_standing(r->ctl->c, r->vf.a, &r->proof, &q, r->found, &err);
    if (rc == LEDGER_OK)
        return r->found->n ? EXIT_NEGATIVE : EXIT_GOOD;
    if (rc != LEDGER_ENOTFOUND)
        return ctl_fail(r->ctl, EXIT_NO_ANSWER, "%s: %s", r->path, err.msg);
    /* Another patient than the item's: that is certain, although nothing about that patient is here. */
    drop_unknown(r->found);
    r->undecided = !has_mismatch(r->found);
    return r->undecided ? EXIT_NO_ANSWER : EXIT_NEGATIVE;
}

static int exit_of(const struct verdict *v)
{
    return verdict_open(v->kind) ? EXIT_NO_ANSWER : v->kind == VERDICT_TAMPERED ? EXIT_TAMPERED : EXIT_NEGATIVE;
}

int dossier_report_read(struct dossier_report *r)
{
    struct ledger_err err = {0};
    struct span bytes;
    enum ledger_rc rc = LEDGER_ENOMEM;
    r->vf = (struct verifier){.c = r->ctl->c, .a = arena_new(4 * DOSSIER_BYTES_MAX), .policy = r->policy, .origin = r->vf.origin};
    if (r->vf.a)
        rc = file_read(r->vf.a, r->path, DOSSIER_BYTES_MAX, &bytes, &err);
    if (rc && rc != LEDGER_ELIMIT)
        return ctl_fail(r->ctl, rc == LEDGER_ENOMEM ? EXIT_NO_ANSWER : EXIT_USAGE, "%s", rc == LEDGER_ENOMEM ? "out of memory" : err.msg);
    if (!rc)
        rc = dossier_decode(r->ctl->c, r->vf.a, bytes, &r->d, &err);
    if (rc)
        verdict_bad(&r->verdict, verdict_of_error(rc, VERDICT_DAMAGED), VERDICT_NO_INDEX, "file", "%s", err.msg);
    else
        r->ok = dossier_verify(&r->vf, &r->d, DOSSIER_REPLAY_BYTES, &r->proof, &r->verdict);
    if (!r->ok)
        return exit_of(&r->verdict);
    int stamps = dossier_stamps_read(r), exit = r->question && r->question->asked ? ask(r) : EXIT_GOOD;
    return exit ? exit : stamps;
}

void dossier_report_end(struct dossier_report *r)
{
    dossier_proof_free(&r->proof);
    arena_free(r->vf.a);
    r->vf.a = NULL;
}

/* ---- as text ---- */

static const char *scope_text(const struct dossier_report *r)
{
    return r->d.closure == DOSSIER_BACK      ? "and everything that it came from"
           : r->d.closure == DOSSIER_FORWARD ? "and everything that came from it"
                                             : "alone";
}

static void print_row(struct ctl_table *t, const char *name, const char *text)
{
    const char *cells[2] = {name, text};
    ctl_table_row(t, cells);
}

static const char *count_text(struct ctl *ctl, uint64_t n, const char *what)
{
    return ctl_text(ctl, "%llu %s", (unsigned long long)n, what);
}

/* "12 items, 3 parties, …" */
static const char *chains_text(const struct dossier_report *r)
{
    static const char *const names[] = {"", "item", "part", "subject", "shipment", "case", "product", "ledger"};
    uint64_t n[CHAIN_LEDGER + 1] = {0}, absent = 0;
    const char *out = "";
    for (size_t i = 0; i < r->proof.n_chains; i++) {
        const struct dossier_proven *pc = &r->proof.chains[i];
        if (pc->present)
            n[pc->chain->name.type]++;
        else
            absent++;
    }
    for (unsigned t = CHAIN_ITEM; t <= CHAIN_LEDGER; t++)
        if (n[t])
            out = ctl_text(r->ctl, "%s%s%llu %s%s", out, *out ? ", " : "", (unsigned long long)n[t], names[t],
                           t == CHAIN_PARTY ? (n[t] == 1 ? "y" : "ies") : n[t] == 1 ? "" : "s");
    return absent ? ctl_text(r->ctl, "%s; %llu proven absent", out, (unsigned long long)absent) : out;
}

static const char *witness_text(const struct dossier_report *r)
{
    const struct snapshot *s = &r->proof.snapshot;
    if (r->policy->quorum_none)
        return "the policy asks for no witness";
    return ctl_text(r->ctl, "the policy's quorum of witnesses has cosigned%s%s", s->trust.cosigned_at ? ", last at " : "",
                    ctl_time(r->ctl, (int64_t)s->trust.cosigned_at * 1000000));
}

static const char *log_key_text(const struct dossier_report *r)
{
    const struct policy *p = r->proof.policy;
    unsigned i = r->proof.snapshot.trust.log;
    const uint8_t *id = p->logs[i].id;
    const char *key = ctl_text(r->ctl, "%s+%02x%02x%02x%02x", p->logs[i].name, id[0], id[1], id[2], id[3]);
    return p->log_from[i] ? ctl_text(r->ctl, "%s, which signs from size %llu", key, (unsigned long long)p->log_from[i])
                          : key;
}

static void print_proven(const struct dossier_report *r)
{
    struct ctl *ctl = r->ctl;
    const struct dossier_proof *p = &r->proof;
    const struct snapshot *s = &p->snapshot;
    struct ctl_table *t = ctl_table_new(ctl, 2, NULL);
    print_row(t, "  ledger", ctl_span(ctl, s->cp.origin));
    print_row(t, "  as of", ctl_text(ctl, "%s, by the ledger's clock (seal #%llu)", ctl_time(ctl, s->seal.recorded_us),
                                     (unsigned long long)s->seal.index));
    print_row(t, "  checkpoint", ctl_text(ctl, "%llu entries", (unsigned long long)s->cp.size));
    print_row(t, "  log key", log_key_text(r));
    print_row(t, "  witnesses", witness_text(r));
    print_row(t, "  auditors", s->trust.auditors_signed ? "cosigned, which they do only after replaying everything"
                                                        : "none has cosigned: complete on the operator's word");
    print_row(t, "  chains", ctl_text(ctl, "%s; each complete from its first entry to its latest", chains_text(r)));
    print_row(t, "  entries", count_text(ctl, p->n_entries, "on these chains"));
    print_row(t, "  signatures", ctl_text(ctl, "%llu, each under the key that its party held then (%llu different ones)",
                                          (unsigned long long)p->signatures, (unsigned long long)p->distinct));
    print_row(t, "  judged again", count_text(ctl, p->bases[DOSSIER_DERIVED], "entries: the rules allow them, and every link and state follows"));
    if (p->bases[DOSSIER_OUTSIDE])
        print_row(t, "  not re-derived", count_text(ctl, p->bases[DOSSIER_OUTSIDE], "entries, which lead to chains that are not here: state taken from its commitment"));
    if (p->bases[DOSSIER_WITHHELD])
        print_row(t, "  withheld", count_text(ctl, p->bases[DOSSIER_WITHHELD], "entries: present, content withheld; state taken from its commitment"));
    if (p->bases[DOSSIER_ERASED])
        print_row(t, "  erased", count_text(ctl, p->bases[DOSSIER_ERASED], "entries: state taken from its commitment"));
    ctl_table_print(t);
}

static void print_signers(const struct dossier_report *r)
{
    static const char *const headings[] = {"PARTY", "ORGANISATION", "SIGNATURES", "FIRST", "LATEST", "MEANING"};
    struct ctl *ctl = r->ctl;
    size_t n;
    const struct dossier_signer *all = dossier_signers(r, &n);
    struct ctl_table *t = ctl_table_new(ctl, 6, headings);
    struct chain *party = arena_alloc(ctl->a, sizeof *party);
    for (size_t i = 0; party && i < n; i++) {
        if (!dossier_chain_state(all[i].party, party))
            continue;
        const char *cells[6] = {ctl_span(ctl, party->party.id), ctl_span(ctl, party->party.org), ctl_text(ctl, "%llu", (unsigned long long)all[i].n),
                                ctl_time(ctl, all[i].first_us), ctl_time(ctl, all[i].last_us), all[i].meanings};
        ctl_table_row(t, cells);
    }
    if (!n)
        return;
    printf("Signed by:\n");
    ctl_table_print(t);
}

static void print_items(const struct dossier_report *r)
{
    static const char *const headings[] = {"ITEM", "CLASS", "STATE", "LATEST ENTRY"};
    struct ctl *ctl = r->ctl;
    struct ctl_table *t = ctl_table_new(ctl, 4, headings);
    struct chain *ch = arena_alloc(ctl->a, sizeof *ch);
    uint64_t n = 0;
    for (size_t i = 0; ch && i < r->proof.n_chains; i++) {
        const struct dossier_proven *pc = &r->proof.chains[i];
        if (pc->chain->name.type != CHAIN_ITEM || !dossier_chain_state(pc, ch))
            continue;
        const char *cells[4] = {ctl_span(ctl, ch->id), item_class_name(ch->item.klass), dossier_item_text(ctl, &ch->item),
                                ctl_text(ctl, "#%llu", (unsigned long long)pc->head_index)};
        ctl_table_row(t, cells);
        n++;
    }
    if (!n)
        return;
    if (r->d.closure == DOSSIER_FORWARD)
        printf("These are all the affected items as of then: %llu.\n", (unsigned long long)n);
    else
        printf("Items: %llu.\n", (unsigned long long)n);
    ctl_table_print(t);
}

static const char *signers_text(struct ctl *ctl, const struct entry *e)
{
    const char *out = "";
    for (size_t i = 0; i < e->block.n; i++)
        out = ctl_text(ctl, "%s%s%s (%s)", out, *out ? ", " : "", ctl_span(ctl, e->block.sigs[i].party), ctl_span(ctl, e->block.sigs[i].meaning));
    return out;
}

/* Who erased it, and why. */
static const char *erasure_text(const struct dossier_report *r, uint64_t index)
{
    struct ctl *ctl = r->ctl;
    const struct dossier_entry *by = dossier_entry_at(&r->proof, index);
    struct entry *e = arena_alloc(r->vf.a, sizeof *e);
    struct erasure x;
    if (!by || !e || !dossier_content(&r->vf, by, e) || erasure_decode(by->claim->event, &x, NULL))
        return "";
    return ctl_text(ctl, "erased under entry #%llu, by %s: %s", (unsigned long long)index, signers_text(ctl, e), ctl_span(ctl, x.reason));
}

static void history_row(const struct dossier_report *r, struct ctl_table *t, const struct dossier_entry *de)
{
    struct ctl *ctl = r->ctl;
    const char *kind = entry_kind_name(de->header.kind);
    struct entry *e = arena_alloc(r->vf.a, sizeof *e);
    bool content = e && dossier_content(&r->vf, de, e);
    const char *who = content ? signers_text(ctl, e) : de->basis == DOSSIER_ERASED ? erasure_text(r, de->claim->erased_by) : "content withheld";
    const char *cells[6] = {ctl_text(ctl, "#%llu", (unsigned long long)de->header.index), ctl_time(ctl, de->header.recorded_us),
                            content && !e->own ? ctl_span(ctl, e->event.occurred.raw) : "", kind ? kind : "?",
                            de->basis == DOSSIER_DERIVED ? "judged" : "committed", who};
    ctl_table_row(t, cells);
}

static void print_history(const struct dossier_report *r, const struct dossier_name *subject)
{
    static const char *const headings[] = {"ENTRY", "RECORDED", "OCCURRED", "KIND", "STATE", "SIGNED BY"};
    const struct dossier_proven *pc = dossier_find(r->ctl->c, &r->proof, subject->type, subject->id);
    const char *name = ctl_text(r->ctl, "%s %s", chain_type_name(subject->type), ctl_span(r->ctl, subject->id));
    if (!pc || !pc->present) {
        printf("%s is not in the ledger: proven absent.\n", name);
        return;
    }
    struct ctl_table *t = ctl_table_new(r->ctl, 6, headings);
    for (size_t i = 0; i < pc->chain->n; i++) {
        struct arena_mark mark = arena_mark(r->vf.a);
        history_row(r, t, dossier_entry_at(&r->proof, pc->chain->entries[i]));
        arena_release(r->vf.a, mark);
    }
    printf("History of %s, complete:\n", name);
    ctl_table_print(t);
}

static void print_erased(const struct dossier_report *r)
{
    struct ctl_table *t = ctl_table_new(r->ctl, 3, NULL);
    if (!r->proof.bases[DOSSIER_ERASED])
        return;
    for (size_t i = 0; i < r->proof.n_entries; i++) {
        const struct dossier_entry *e = &r->proof.entries[i];
        if (e->basis != DOSSIER_ERASED)
            continue;
        const char *cells[3] = {ctl_text(r->ctl, "  #%llu", (unsigned long long)e->header.index), entry_kind_name(e->header.kind),
                                erasure_text(r, e->claim->erased_by)};
        ctl_table_row(t, cells);
    }
    printf("Erased:\n");
    ctl_table_print(t);
}

static void print_standing(const struct dossier_report *r)
{
    struct ctl *ctl = r->ctl;
    const struct dossier_question *x = r->question;
    if (!r->found)
        return;
    const char *word = r->undecided ? ctl_paint(ctl, COLOR_WARN, "NO ANSWER") : r->found->n ? ctl_paint(ctl, COLOR_BAD, "NOT FIT")
                                                                              : ctl_paint(ctl, COLOR_GOOD, "FIT");
    printf("%s  %s: %s, at %s, as of %s\n", word, ctl_span(ctl, r->d.subjects[0].id), x->purpose, ctl_time(ctl, x->q.at_us),
           ctl_time(ctl, r->proof.snapshot.seal.recorded_us));
    struct ctl_table *t = ctl_table_new(ctl, 3, NULL);
    for (unsigned i = 0; i < r->found->n; i++) {
        const struct refusal *f = &r->found->r[i];
        const char *cells[3] = {ctl_text(ctl, "  %s", refusal_name(f->code)), ctl_text(ctl, "%s", f->subject), ctl_text(ctl, "%s", f->text)};
        ctl_table_row(t, cells);
    }
    ctl_table_print(t);
    if (r->undecided)
        printf("  The answer takes chains that are not in the dossier.\n");
}

static void print_bad(const struct dossier_report *r)
{
    const struct verdict *v = &r->verdict;
    const char *entry = v->index == VERDICT_NO_INDEX ? "" : ctl_text(r->ctl, " of entry #%llu", (unsigned long long)v->index);
    printf("%s: %s\n  %s: %s%s: %s\n", r->path, ctl_paint(r->ctl, COLOR_BAD, verdict_open(v->kind) ? "NOT VERIFIED" : "DOES NOT VERIFY"),
           verdict_kind_name(v->kind), v->what, entry, v->text);
    if (v->kind == VERDICT_TAMPERED)
        printf("  The ledger has committed to this and signed it: this file is the evidence. Keep it.\n");
}

void dossier_report_print(struct dossier_report *r)
{
    const char *unproven[DOSSIER_UNPROVEN_MAX];
    if (!r->ok) {
        print_bad(r);
        return;
    }
    printf("%s: %s: %s %s %s\n", r->path, ctl_paint(r->ctl, COLOR_GOOD, "verified"), chain_type_name(r->d.subjects[0].type),
           ctl_span(r->ctl, r->d.subjects[0].id), scope_text(r));
    print_standing(r);
    if (r->ctl->quiet)
        return;
    printf("Proven:\n");
    print_proven(r);
    for (size_t i = 0; i < r->d.n_subjects; i++)
        print_history(r, &r->d.subjects[i]);
    print_items(r);
    print_signers(r);
    print_erased(r);
    dossier_stamps_print(r);
    printf("Not proven:\n");
    unsigned n = dossier_unproven(r, unproven);
    for (unsigned i = 0; i < n; i++)
        printf("  - %s\n", unproven[i]);
}
