/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clinical: the bedside and what follows: ADMINISTERED, ADVERSE_EVENT_REPORTED, RECALL_CHANGED.
 */
#include "rules/ruling.h"

/* ---- ADMINISTERED ---- */

static bool check_second(struct ruling *r, bool nonconforming)
{
    const struct party_state *second = r->party[1];
    const char *subject = facts_text(&r->f, "party %.*s", SPAN_FMT(second->id));
    if (nonconforming) {
        if (!(second->roles & (ROLE_BIT(ROLE_QA) | ROLE_BIT(ROLE_QP))))
            return deny(
                r, E_ROLE, subject, "signatures[1]",
                "what was given against the rules is recorded with a second signature by QA or QP");
        if (!event_get(r->ev, FIELD_DEVIATION))
            return deny(r, E_MISSING_FIELD, r->item.subject, "deviation",
                        "a nonconforming administration names its deviation");
        return true;
    }
    if (!(second->roles & ROLE_BIT(ROLE_HOSPITAL)))
        return deny(r, E_ROLE, subject, "signatures[1]",
                    "the second person at the bedside has the role HOSPITAL");
    if (!span_eq(second->org, acting(r)))
        return deny(r, E_ROLE, subject, "signatures[1]",
                    "%.*s is of %.*s; both persons must be of %.*s", SPAN_FMT(second->id),
                    SPAN_FMT(second->org), SPAN_FMT(acting(r)));
    return true;
}

static bool check_patient(struct ruling *r)
{
    const struct item_state *s = r->item.s;
    const struct subject_state *subject = &r->chain->chain.subject;
    struct span coi = subject->id;
    const char *name = facts_text(&r->f, "subject %.*s", SPAN_FMT(coi));
    if (s->use == USE_AUTOLOGOUS && !span_eq(s->coi, coi))
        return deny(r, E_COI_MISMATCH, r->item.subject, "coi",
                    "%.*s is for %.*s alone; do not give it to %.*s", SPAN_FMT(s->id),
                    SPAN_FMT(s->coi), SPAN_FMT(coi));
    if (s->for_coi.n > 0 && !span_eq(s->for_coi, coi))
        return deny(r, E_COI_MISMATCH, r->item.subject, "coi",
                    "%.*s was made for %.*s; do not give it to %.*s", SPAN_FMT(s->id),
                    SPAN_FMT(s->for_coi), SPAN_FMT(coi));
    if (!span_eq(event_text(r->ev, FIELD_SUBJECT_COMMIT_SCANNED), subject->subject_commit))
        return deny(r, E_PATIENT_MISMATCH, name, "subject_commit_scanned",
                    "the patient who was scanned is not the one of %.*s; stop", SPAN_FMT(coi));
    return true;
}

static bool check_top_class(struct ruling *r)
{
    struct node *top;
    if (!facts_top(&r->f, r->item.node, &top))
        return false;
    if (top->klass != ITEM_MATERIAL && top->klass != ITEM_BANK)
        return true;
    return deny(r, E_NOT_RELEASED, r->item.subject, "item",
                "%.*s is of a %s, which is not given to patients", SPAN_FMT(r->item.s->id),
                top->klass == ITEM_BANK ? "bank" : "material");
}

static bool check_thaw(struct ruling *r)
{
    const struct value *thaw = event_get(r->ev, FIELD_THAW_TIME),
                       *most = event_get(r->ev, FIELD_MAX_POST_THAW_MIN);
    if (!thaw)
        return true;
    if (thaw->time_us > r->f.at_us)
        return deny(r, E_TIME_ORDER, r->item.subject, "thaw_time", "thawed after it was given");
    if (!most || (dec_t)(r->f.at_us - thaw->time_us) * DEC_ONE <= most->num * 60000000)
        return true;
    return deny(r, E_THAW_WINDOW, r->item.subject, "thaw_time",
                "%.*s was thawed at %s; the time to use it is over", SPAN_FMT(r->item.s->id),
                facts_time(&r->f, thaw->time_us));
}

static bool check_conforming(struct ruling *r)
{
    struct facts *f = &r->f;
    if (!ask_consent(f, &r->chain->chain.subject, SCOPE_TREATMENT, "coi") || !check_patient(r))
        return false;
    if (!ask_clear(f, &r->item, CLEAR_ALL) || !ask_released(f, &r->item) || !check_top_class(r) ||
        !ask_unexpired(f, &r->item) || !ask_here(f, &r->item))
        return false;
    if (r->f.at_us < r->item.s->arrived_us)
        return deny(r, E_TIME_ORDER, r->item.subject, "occurred",
                    "dated %s, but %.*s arrived at %s only", facts_time(f, f->at_us),
                    SPAN_FMT(r->item.s->id), facts_time(f, r->item.s->arrived_us));
    return ask_take(f, &r->item, field_number(r->ev, FIELD_DOSE), event_text(r->ev, FIELD_UOM),
                    "dose") &&
           check_thaw(r);
}

bool check_administered(struct ruling *r)
{
    struct span coi = event_text(r->ev, FIELD_COI);
    bool nonconforming = event_true(r->ev, FIELD_NONCONFORMING);
    if (!find_item(r, FIELD_ITEM, &r->item) || !find_subject(r, coi, &r->chain))
        return false;
    if (!r->chain->chain.exists)
        return deny(r, E_UNKNOWN_ITEM, facts_text(&r->f, "subject %.*s", SPAN_FMT(coi)), "coi",
                    "%.*s is not assigned", SPAN_FMT(coi));
    return check_second(r, nonconforming) && ask_born(&r->f, &r->item) &&
           ask_live(&r->f, &r->item) && (nonconforming || check_conforming(r));
}

void effect_administered(struct ruling *r)
{
    struct item_state *s = r->item.s;
    touch(r, r->item.ld);
    touch(r, r->chain);
    bool nonconforming = event_true(r->ev, FIELD_NONCONFORMING);
    s->nonconforming |= nonconforming; /* marked for ever, whatever is corrected later */
    s->terminal = TERMINAL_ADMINISTERED;
    s->terminal_index = r->j->index;
    s->terminal_took = nonconforming ? s->available : field_number(r->ev, FIELD_DOSE);
    s->available -= s->terminal_took;
    s->patient = r->chain->chain.subject.id;
}

/* ---- ADVERSE_EVENT_REPORTED ---- */

bool check_adverse(struct ruling *r)
{
    struct span coi = event_text(r->ev, FIELD_COI);
    if (!find_item(r, FIELD_ITEM, &r->item) || !find_subject(r, coi, &r->chain) ||
        !ask_born(&r->f, &r->item))
        return false;
    if (event_true(r->ev, FIELD_PRE_ADMINISTRATION))
        return true;
    const struct item_state *s = r->item.s;
    if (s->terminal != TERMINAL_ADMINISTERED)
        return deny(r, E_NOT_ADMINISTERED, r->item.subject, "item",
                    "%.*s was not administered; say pre_administration if the event came before",
                    SPAN_FMT(s->id));
    if (!span_eq(s->patient, coi))
        return deny(r, E_PATIENT_MISMATCH, r->item.subject, "coi",
                    "%.*s was given to %.*s, not to %.*s", SPAN_FMT(s->id), SPAN_FMT(s->patient),
                    SPAN_FMT(coi));
    return true;
}

void effect_adverse(struct ruling *r)
{
    touch(r, r->item.ld);
    if (r->chain->chain.exists)
        touch(r, r->chain);
}

/* ---- RECALL_CHANGED ---- */

bool check_recall(struct ruling *r)
{
    struct span id = event_text(r->ev, FIELD_RECALL);
    const char *subject = facts_text(&r->f, "recall %.*s", SPAN_FMT(id));
    r->chain = load_case(r->j, CASE_RECALL, id);
    if (!r->chain)
        return false;
    bool exists = r->chain->chain.exists;
    if (event_enum(r->ev, FIELD_ACTION) == RECALL_ISSUED) {
        if (exists)
            return deny(r, E_DUP_ITEM, subject, "recall",
                        "%.*s is already a recall; an id is never used twice", SPAN_FMT(id));
        return find_items(r, event_get(r->ev, FIELD_ITEMS), "items");
    }
    if (!exists || !r->chain->chain.kase.open)
        return deny(r, E_UNKNOWN_ITEM, subject, "recall", "there is no open recall %.*s",
                    SPAN_FMT(id));
    return true;
}

static void issue_recall(struct ruling *r)
{
    static const char *const classes[] = {"I", "II", "III"};
    struct case_state *s = &r->chain->chain.kase;
    begin_chain(r, r->chain);
    s->id = event_text(r->ev, FIELD_RECALL);
    s->type = CASE_RECALL;
    s->open = true;
    s->opened = r->j->index;
    s->class_ = span_str(classes[event_enum(r->ev, FIELD_CLASS) - 1]);
    for (size_t i = 0; i < r->n_items; i++) {
        struct asked *x = &r->items[i];
        if (x->ld->touched)
            continue; /* named twice */
        touch(r, x->ld);
        append_bytes(r, r->chain, CASE_LOG_ITEMS, x->s->id);
        append_bytes(r, x->ld, ITEM_LOG_CASES, r->chain->chain.id);
        x->s->open_recalls++;
    }
}

void effect_recall(struct ruling *r)
{
    struct case_state *s = &r->chain->chain.kase;
    if (event_enum(r->ev, FIELD_ACTION) == RECALL_ISSUED) {
        issue_recall(r);
        return;
    }
    touch(r, r->chain);
    s->open = false;
    s->closed = r->j->index;
    for (uint64_t i = 0; i < s->logs[CASE_LOG_ITEMS].size; i++) {
        struct span id;
        struct loaded *item;
        if (!judge_member(r->j, &r->chain->chain, CASE_LOG_ITEMS, i, &id) ||
            !(item = judge_load(r->j, CHAIN_ITEM, id)))
            return;
        touch(r, item);
        item->chain.item.open_recalls--;
    }
}
