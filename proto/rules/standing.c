/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standing: the questions of the rules with a sink that collects every objection (standing.h).
 * Where the rules need what a query does not have (signatures, a dose), standing asks the weaker
 * question that must hold for any: something is left to take.
 */
#include "standing.h"

#include <string.h>

#include "rules/facts.h"

struct asking {
    struct facts f;
    const struct standing_query *q;
    struct asked x;
};

static bool same_finding(const struct refusal *a, const struct refusal *b)
{
    return a->code == b->code && strcmp(a->subject, b->subject) == 0 &&
           strcmp(a->text, b->text) == 0;
}

static bool collect(void *ctx, const struct refusal *why)
{
    struct findings *out = ctx;
    for (unsigned i = 0; i < out->n; i++)
        if (same_finding(&out->r[i], why))
            return true;
    if (out->n < FINDINGS_MAX)
        out->r[out->n++] = *why;
    else
        out->dropped++;
    return true;
}

static bool ask_something_left(struct asking *a, const struct asked *x)
{
    if (x->s->available > 0 || x->s->terminal != TERMINAL_NONE)
        return true;
    return facts_object(&a->f, E_QTY_EXCEEDED, x->subject, x->field, "nothing is left of %.*s",
                        SPAN_FMT(x->s->id));
}

static bool find_subject_of(struct asking *a, struct span coi, struct subject_state **out)
{
    struct loaded *ld = judge_load(a->f.j, CHAIN_SUBJECT, coi);
    *out = NULL;
    if (!ld)
        return false;
    if (ld->chain.exists)
        *out = &ld->chain.subject;
    return *out ||
           facts_object(&a->f, E_UNKNOWN_ITEM, facts_text(&a->f, "subject %.*s", SPAN_FMT(coi)),
                        "coi", "%.*s is not assigned", SPAN_FMT(coi));
}

/* ---- administer ---- */

/* The chain of identity to ask about: the one of the query, or else the only one it could be. */
static struct span patient_of(const struct asking *a)
{
    const struct item_state *s = a->x.s;
    if (a->q->coi.n > 0)
        return a->q->coi;
    if (s->for_coi.n > 0)
        return s->for_coi;
    return s->use == USE_AUTOLOGOUS ? s->coi : SPAN_NONE;
}

static bool ask_bound_to(struct asking *a, struct span coi)
{
    const struct item_state *s = a->x.s;
    if (s->use == USE_AUTOLOGOUS && !span_eq(s->coi, coi) &&
        !facts_object(&a->f, E_COI_MISMATCH, a->x.subject, "coi",
                      "%.*s is for %.*s alone, not for %.*s", SPAN_FMT(s->id), SPAN_FMT(s->coi),
                      SPAN_FMT(coi)))
        return false;
    return s->for_coi.n == 0 || span_eq(s->for_coi, coi) ||
           facts_object(&a->f, E_COI_MISMATCH, a->x.subject, "coi",
                        "%.*s was made for %.*s, not for %.*s", SPAN_FMT(s->id),
                        SPAN_FMT(s->for_coi), SPAN_FMT(coi));
}

static bool ask_patient(struct asking *a)
{
    struct span coi = patient_of(a);
    struct subject_state *subject;
    if (coi.n == 0)
        return true;
    if (!ask_bound_to(a, coi) || !find_subject_of(a, coi, &subject))
        return false;
    if (!subject)
        return true;
    if (!ask_consent(&a->f, subject, SCOPE_TREATMENT, "coi"))
        return false;
    return a->q->subject_commit.n == 0 || span_eq(a->q->subject_commit, subject->subject_commit) ||
           facts_object(&a->f, E_PATIENT_MISMATCH, facts_text(&a->f, "subject %.*s", SPAN_FMT(coi)),
                        "subject_commit", "the patient who was scanned is not the one of %.*s",
                        SPAN_FMT(coi));
}

static bool ask_given_to_patients(struct asking *a)
{
    struct node *top;
    if (!facts_top(&a->f, a->x.node, &top))
        return false;
    if (top->klass != ITEM_MATERIAL && top->klass != ITEM_BANK)
        return true;
    return facts_object(&a->f, E_NOT_RELEASED, a->x.subject, "item",
                        "%.*s is of a %s, which is not given to patients", SPAN_FMT(a->x.s->id),
                        top->klass == ITEM_BANK ? "bank" : "material");
}

static bool ask_arrived(struct asking *a)
{
    if (a->f.at_us >= a->x.s->arrived_us)
        return true;
    return facts_object(&a->f, E_TIME_ORDER, a->x.subject, "at", "%.*s arrived at %s only",
                        SPAN_FMT(a->x.s->id), facts_time(&a->f, a->x.s->arrived_us));
}

static bool ask_administer(struct asking *a)
{
    struct facts *f = &a->f;
    return ask_patient(a) && ask_clear(f, &a->x, CLEAR_ALL) && ask_released(f, &a->x) &&
           ask_given_to_patients(a) && ask_unexpired(f, &a->x) && ask_here(f, &a->x) &&
           ask_arrived(a) && ask_something_left(a, &a->x);
}

/* ---- consume ---- */

static bool ask_into(struct asking *a, struct asked *into)
{
    struct facts *f = &a->f;
    const struct item_state *s = a->x.s;
    bool in;
    if (!facts_in_lineage(f, a->x.node, into->node, &in))
        return false;
    if (in && !facts_object(f, E_CYCLE, into->subject, "into", "%.*s itself came from %.*s",
                            SPAN_FMT(s->id), SPAN_FMT(into->s->id)))
        return false;
    if (!ask_born(f, into) || !ask_live(f, into))
        return false;
    if (s->use == USE_AUTOLOGOUS &&
        !(into->s->use == USE_AUTOLOGOUS && span_eq(into->s->coi, s->coi)) &&
        !facts_object(f, E_COI_MISMATCH, into->subject, "into",
                      "%.*s is autologous material of %.*s; it goes only into an autologous lot of "
                      "the same patient",
                      SPAN_FMT(s->id), SPAN_FMT(s->coi)))
        return false;
    return ask_clear(f, into, EXCEPT_QUARANTINE | EXCEPT_DEVIATION | EXCEPT_EXCURSION) &&
           ask_here(f, into);
}

static bool ask_consume(struct asking *a)
{
    struct facts *f = &a->f;
    struct node *top;
    struct subject_state *subject;
    if (!facts_top(f, a->x.node, &top))
        return false;
    if (top->klass == ITEM_STARTING) {
        if (!find_subject_of(a, top->coi, &subject))
            return false;
        if (subject && !ask_consent(f, subject, SCOPE_MANUFACTURE, "item"))
            return false;
    }
    if (!ask_clear(f, &a->x, CLEAR_ALL) || !ask_released(f, &a->x) || !ask_unexpired(f, &a->x) ||
        !ask_here(f, &a->x) || !ask_something_left(a, &a->x))
        return false;
    if (a->q->into.n == 0)
        return true;
    struct asked into;
    return ask_exists(f, a->q->into, "into", &into) && ask_into(a, &into);
}

/* ---- dispatch, release ---- */

static bool ask_dispatch(struct asking *a)
{
    struct facts *f = &a->f;
    struct node *top;
    if (!ask_clear(f, &a->x, CLEAR_ALL) || !facts_top(f, a->x.node, &top))
        return false;
    if (top->klass != ITEM_STARTING && (!ask_released(f, &a->x) || !ask_unexpired(f, &a->x)))
        return false;
    return ask_here(f, &a->x);
}

static bool ask_release(struct asking *a)
{
    struct facts *f = &a->f;
    return ask_clear(f, &a->x, EXCEPT_QUARANTINE) && ask_lineage_conforms(f, &a->x) &&
           ask_unexpired(f, &a->x) && ask_tests(f, &a->x);
}

static bool ask_purpose(struct asking *a)
{
    switch (a->q->purpose) {
    case PURPOSE_ADMINISTER:
        return ask_administer(a);
    case PURPOSE_CONSUME:
        return ask_consume(a);
    case PURPOSE_DISPATCH:
        return ask_dispatch(a);
    case PURPOSE_RELEASE:
        return ask_release(a);
    }
    return false;
}

enum ledger_rc standing_check(struct judge *j, const struct standing_query *q, struct findings *out)
{
    struct asking *a = arena_alloc(j->a, sizeof *a);
    j->loaded = NULL;
    j->rc = LEDGER_OK;
    memset(out, 0, sizeof *out);
    if (q->purpose < PURPOSE_ADMINISTER || q->purpose > PURPOSE_RELEASE)
        return ledger_fail(&j->err, j->rc = LEDGER_EINVAL, "standing: no such purpose");
    if (!a || !facts_init(&a->f, j))
        return ledger_fail(&j->err, j->rc = LEDGER_ENOMEM, "standing: over the memory budget");
    a->q = q;
    a->f.at_us = q->at_us;
    a->f.org = q->org;
    a->f.object_cb = collect;
    a->f.object_ctx = out;
    if (ask_exists(&a->f, q->item, "item", &a->x) && ask_born(&a->f, &a->x) &&
        ask_live(&a->f, &a->x))
        (void)ask_purpose(a);
    return j->rc;
}
