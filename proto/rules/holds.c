/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holds: what stands against the use of an item: recalls of its lineage, rejections, quarantine,
 * deviations and excursions, missing or outdated release, expiry, tests that are missing or failed.
 *
 * Counters in the nodes say whether there is anything to look at; the logs say what, so that each
 * objection names the case. Each is looked up along the split line or the lineage when it is asked.
 */
#include "rules/facts.h"

static const char *item_name(struct facts *f, const struct node *x)
{
    return facts_text(f, "item %.*s", SPAN_FMT(x->id));
}

/* " of X, which Y came from," when the fact is another member's. */
static const char *of_member(struct facts *f, const struct asked *x, const struct node *m)
{
    return m == x->node ? ""
                        : facts_text(f, " of %.*s, which %.*s came from,", SPAN_FMT(m->id),
                                     SPAN_FMT(x->node->id));
}

/* ---- cases: recalls and deviations ---- */

/* Objects to each open case of one type that named m. The cases log holds "recall/R-7". */
static bool open_cases(struct facts *f, const struct asked *x, struct node *m, enum case_type type)
{
    static const enum refusal_code codes[] = {
        [CASE_DEVIATION] = E_HOLD_DEVIATION, [CASE_RECALL] = E_HOLD_RECALL};
    const char *word = type == CASE_RECALL ? "recall" : "deviation";
    size_t prefix = type == CASE_RECALL ? sizeof "recall/" - 1 : sizeof "deviation/" - 1;
    for (uint64_t i = 0; i < m->counts[ITEM_LOG_CASES]; i++) {
        struct span id;
        if (!member_get(f->j, &m->key, ITEM_LOG_CASES, i, &id))
            return false;
        if (id.n <= prefix || id.p[0] != (uint8_t)word[0])
            continue;
        struct loaded *ld = judge_load(f->j, CHAIN_CASE, id);
        if (!ld)
            return false;
        if (!ld->chain.exists || !ld->chain.kase.open)
            continue;
        if (!facts_object(f, codes[type],
                          facts_text(f, "%s %.*s", word, SPAN_FMT(ld->chain.kase.id)), x->field,
                          "%s %.*s%s is open; %s", word, SPAN_FMT(ld->chain.kase.id),
                          of_member(f, x, m),
                          type == CASE_RECALL ? "do not use it" : "QA must close it first"))
            return false;
    }
    return true;
}

static bool ask_recalls(struct facts *f, const struct asked *x)
{
    struct lineage_walk w;
    lineage_begin(&w, &f->family, x->node);
    for (struct node *m = lineage_next(&w); m; m = lineage_next(&w))
        if (m->open_recalls > 0 && !open_cases(f, x, m, CASE_RECALL))
            return false;
    return f->j->rc == LEDGER_OK;
}

/* ---- excursions ---- */

/* Does this opening, which names line[place], concern line[0]? */
static bool concerns(const struct node *x, size_t place, const struct excursion_view *v)
{
    if (place == 0)
        return true;
    const struct node *child = x->line[place - 1];
    return v->opened < child->made_index || (v->has_start && v->start_us < child->born_us);
}

enum excursion_ask { ASK_OPEN, ASK_REJECTING, ASK_REDUCING };

static bool answers(const struct excursion_view *v, enum excursion_ask ask)
{
    if (v->open)
        return ask == ASK_OPEN;
    return (ask == ASK_REJECTING && v->outcome == OUTCOME_REJECT) ||
           (ask == ASK_REDUCING && v->outcome == OUTCOME_REDUCE_EXPIRY && v->has_new_expiry);
}

static bool object_to_excursion(struct facts *f, const struct asked *x, const struct node *m,
                                const struct excursion_view *v, enum excursion_ask ask)
{
    const char *subject = facts_text(f, "excursion %.*s", SPAN_FMT(v->id));
    const char *whose = of_member(f, x, m);
    if (ask == ASK_REJECTING)
        return facts_object(f, E_REJECTED, subject, x->field,
                            "excursion %.*s%s was assessed REJECT", SPAN_FMT(v->id), whose);
    if (ask == ASK_OPEN)
        return facts_object(f, E_HOLD_EXCURSION, subject, x->field,
                            "excursion %.*s%s is not assessed, or the log is missing; assess it or "
                            "record the log first",
                            SPAN_FMT(v->id), whose);
    if (f->at_us <= v->new_expiry_us)
        return true;
    return facts_object(f, E_EXPIRED, subject, x->field,
                        "excursion %.*s%s reduced the expiry to %s", SPAN_FMT(v->id), whose,
                        facts_time(f, v->new_expiry_us));
}

static uint32_t count_of(const struct node *m, enum excursion_ask ask)
{
    return ask == ASK_OPEN        ? m->open_excursions
           : ask == ASK_REJECTING ? m->rejecting_excursions
                                  : m->reducing_excursions;
}

static bool ask_excursions(struct facts *f, const struct asked *x, enum excursion_ask ask)
{
    if (!family_line(&f->family, x->node))
        return false;
    for (size_t i = 0; i < x->node->line_n; i++) {
        struct node *m = x->node->line[i];
        if (count_of(m, ask) == 0)
            continue;
        if (!family_excursions(&f->family, m))
            return false;
        for (size_t k = 0; k < m->excursions_n; k++) {
            const struct excursion_view *v = &m->excursions[k];
            if (answers(v, ask) && concerns(x->node, i, v) && !object_to_excursion(f, x, m, v, ask))
                return false;
        }
    }
    return true;
}

/* ---- clear ---- */

static bool object_to_decision(struct facts *f, const struct asked *x, const struct node *m)
{
    return facts_object(f, E_REJECTED, item_name(f, m), x->field,
                        "%.*s was rejected by quality (entry %llu), for good", SPAN_FMT(m->id),
                        (unsigned long long)m->rejected);
}

static bool ask_rejected(struct facts *f, const struct asked *x)
{
    if (!family_line(&f->family, x->node))
        return false;
    for (size_t i = 0; i < x->node->line_n; i++)
        if (x->node->line[i]->rejected > 0 && !object_to_decision(f, x, x->node->line[i]))
            return false;
    return ask_excursions(f, x, ASK_REJECTING);
}

static bool ask_quarantine(struct facts *f, const struct asked *x)
{
    for (size_t i = 0; i < x->node->line_n; i++) {
        const struct node *m = x->node->line[i];
        if (m->quarantined &&
            !facts_object(
                f, E_HOLD_QUARANTINE, item_name(f, m), x->field,
                "%.*s is in quarantine; it must be released or the quarantine lifted first",
                SPAN_FMT(m->id)))
            return false;
    }
    return true;
}

static bool ask_deviations(struct facts *f, const struct asked *x)
{
    for (size_t i = 0; i < x->node->line_n; i++) {
        struct node *m = x->node->line[i];
        if (m->open_deviations > 0 && !open_cases(f, x, m, CASE_DEVIATION))
            return false;
    }
    return true;
}

bool ask_clear(struct facts *f, const struct asked *x, unsigned except)
{
    return ask_recalls(f, x) && ask_rejected(f, x) &&
           ((except & EXCEPT_QUARANTINE) || ask_quarantine(f, x)) &&
           ((except & EXCEPT_DEVIATION) || ask_deviations(f, x)) &&
           ((except & EXCEPT_EXCURSION) || ask_excursions(f, x, ASK_OPEN));
}

/* An excursion on any member concerns at least that member, so each member's own facts suffice. */
bool ask_lineage_conforms(struct facts *f, const struct asked *x)
{
    struct lineage_walk w;
    lineage_begin(&w, &f->family, x->node);
    for (struct node *m = lineage_next(&w); m; m = lineage_next(&w)) {
        if (m->rejected == 0 && m->rejecting_excursions == 0)
            continue;
        if (!facts_object(f, E_REJECTED, item_name(f, m), x->field,
                          "%.*s, in the lineage of %.*s, is rejected; what came from it cannot get "
                          "a regular release",
                          SPAN_FMT(m->id), SPAN_FMT(x->node->id)))
            return false;
    }
    return f->j->rc == LEDGER_OK;
}

/* ---- released ---- */

/* Objects to each FAIL of m after entry `since`. Outcomes lie in the order of their entries. */
static bool fails_since(struct facts *f, const struct asked *x, struct node *m, uint64_t since)
{
    for (uint64_t i = m->counts[ITEM_LOG_OUTCOMES]; i > 0; i--) {
        struct span bytes;
        struct outcome o;
        if (!member_get(f->j, &m->key, ITEM_LOG_OUTCOMES, i - 1, &bytes))
            return false;
        if (!outcome_decode(bytes, &o) || o.index <= since)
            return true;
        if (o.verdict == QC_FAIL &&
            !facts_object(f, E_QC_FAILED, item_name(f, m), x->field,
                          "test \"%.*s\" of %.*s failed (entry %llu) after the release; it must be "
                          "released anew",
                          SPAN_FMT(o.test), SPAN_FMT(m->id), (unsigned long long)o.index))
            return false;
    }
    return true;
}

bool ask_released(struct facts *f, const struct asked *x)
{
    uint64_t release = 0;
    if (!family_line(&f->family, x->node))
        return false;
    for (size_t i = 0; i < x->node->line_n; i++)
        if (x->node->line[i]->last_release > release)
            release = x->node->line[i]->last_release;
    if (release == 0)
        return facts_object(f, E_NOT_RELEASED, x->subject, x->field,
                            "%.*s has no release by quality; QA must release it first",
                            SPAN_FMT(x->node->id));
    for (size_t i = 0; i < x->node->line_n; i++) {
        const struct node *m = x->node->line[i];
        if ((m->last_input > release || m->last_derived > release) &&
            !facts_object(f, E_NOT_RELEASED, item_name(f, m), x->field,
                          "%.*s was changed (entry %llu) after its release (entry %llu); it must "
                          "be released anew",
                          SPAN_FMT(m->id),
                          (unsigned long long)(m->last_input > m->last_derived ? m->last_input
                                                                               : m->last_derived),
                          (unsigned long long)release))
            return false;
    }
    for (size_t i = 0; i < x->node->line_n; i++) {
        struct node *m = x->node->line[i];
        if (m->last_fail > release && !fails_since(f, x, m, release))
            return false;
    }
    return true;
}

bool ask_unexpired(struct facts *f, const struct asked *x)
{
    const struct node *n = x->node;
    if (n->has_expiry && f->at_us > n->expiry_us &&
        !facts_object(f, E_EXPIRED, x->subject, x->field, "%.*s expired at %s", SPAN_FMT(n->id),
                      facts_time(f, n->expiry_us)))
        return false;
    return ask_excursions(f, x, ASK_REDUCING);
}

/* ---- tests ---- */

static bool ask_one_required(struct facts *f, const struct asked *x, const struct node *m,
                             struct span test)
{
    const struct outcome *o;
    if (!facts_in_force(f, x->node, test, &o))
        return false;
    return o || facts_object(f, E_QC_INCOMPLETE, item_name(f, m), x->field,
                             "test \"%.*s\", which %.*s requires, has no result yet",
                             SPAN_FMT(test), SPAN_FMT(m->id));
}

static bool ask_required(struct facts *f, const struct asked *x, struct node *m)
{
    for (uint64_t i = 0; i < m->counts[ITEM_LOG_REQUIRED]; i++) {
        struct span test;
        if (!member_get(f->j, &m->key, ITEM_LOG_REQUIRED, i, &test) ||
            !ask_one_required(f, x, m, test))
            return false;
    }
    if (!family_spec(&f->family, m))
        return false;
    for (unsigned i = 0; m->spec && i < m->spec->n; i++)
        if (m->spec->tests[i].required && !ask_one_required(f, x, m, m->spec->tests[i].test))
            return false;
    return true;
}

/* A FAIL of a member is in force only if no nearer member has an outcome of that test. */
static bool ask_no_fail(struct facts *f, const struct asked *x, struct node *m)
{
    if (!family_outcomes(&f->family, m))
        return false;
    for (size_t i = 0; i < m->outcomes_n; i++) {
        const struct outcome *o = &m->outcomes[i], *in_force;
        if (o->verdict != QC_FAIL)
            continue;
        if (!facts_in_force(f, x->node, o->test, &in_force))
            return false;
        if (in_force == o &&
            !facts_object(f, E_QC_FAILED, item_name(f, m), x->field,
                          "test \"%.*s\" of %.*s failed (entry %llu); only an exceptional release "
                          "is possible",
                          SPAN_FMT(o->test), SPAN_FMT(m->id), (unsigned long long)o->index))
            return false;
    }
    return true;
}

bool ask_tests(struct facts *f, const struct asked *x)
{
    if (!family_line(&f->family, x->node))
        return false;
    for (size_t i = 0; i < x->node->line_n; i++)
        if (!ask_required(f, x, x->node->line[i]))
            return false;
    for (size_t i = 0; i < x->node->line_n; i++)
        if (!ask_no_fail(f, x, x->node->line[i]))
            return false;
    return true;
}
