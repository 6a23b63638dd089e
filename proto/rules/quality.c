/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quality: specifications, results, deviations and decisions: SPECIFICATION_SET, QC_RESULT,
 * DEVIATION_CHANGED, QUALITY_DECISION. A verdict is recomputed from value and limits; a flag is
 * never trusted.
 */
#include "rules/ruling.h"

/* ---- SPECIFICATION_SET ---- */

/* Members of a test, by their place in the record. */
enum { TEST_NAME, TEST_UNIT, TEST_LOW, TEST_HIGH, TEST_REQUIRED };

static bool given(const struct value *v)
{
    return v->type != VALUE_ABSENT && v->type != VALUE_EMPTY;
}

static bool check_version_new(struct ruling *r, const char *subject)
{
    struct span code = event_text(r->ev, FIELD_PRODUCT_CODE),
                version = event_text(r->ev, FIELD_VERSION);
    uint64_t member;
    r->chain = judge_load(r->j, CHAIN_PRODUCT, code);
    if (!r->chain || !find_version(r->j, &r->chain->chain, version, &member))
        return false;
    return member == 0 || deny(r, E_DUP_ITEM, subject, "version",
                               "version \"%.*s\" of %.*s is set for good; choose another version",
                               SPAN_FMT(version), SPAN_FMT(code));
}

bool check_specification(struct ruling *r)
{
    const struct value *tests = event_get(r->ev, FIELD_TESTS);
    const char *subject =
        facts_text(&r->f, "product %.*s", SPAN_FMT(event_text(r->ev, FIELD_PRODUCT_CODE)));
    if (!check_version_new(r, subject))
        return false;
    for (size_t i = 0; i < tests->n; i++) {
        const struct value *t = tests->items[i].items;
        for (size_t k = 0; k < i; k++)
            if (span_eq(t[TEST_NAME].raw, tests->items[k].items[TEST_NAME].raw))
                return deny(r, E_BAD_VALUE, subject, nth(r, "tests", i, "test"),
                            "test \"%.*s\" is listed twice", SPAN_FMT(t[TEST_NAME].raw));
        if (given(&t[TEST_LOW]) && given(&t[TEST_HIGH]) && t[TEST_LOW].num > t[TEST_HIGH].num)
            return deny(r, E_BAD_VALUE, subject, nth(r, "tests", i, "low"),
                        "the low limit of \"%.*s\" is above the high one",
                        SPAN_FMT(t[TEST_NAME].raw));
    }
    return true;
}

void effect_specification(struct ruling *r)
{
    const struct value *tests = event_get(r->ev, FIELD_TESTS);
    struct spec_version v = {
        .version = event_text(r->ev, FIELD_VERSION), .index = r->j->index, .n = (unsigned)tests->n};
    struct wbuf w;
    v.tests = arena_alloc(r->j->a, (tests->n + 1) * sizeof *v.tests);
    if (!v.tests) {
        r->j->rc = ledger_fail(&r->j->err, LEDGER_ENOMEM, "judging: over the memory budget");
        return;
    }
    for (size_t i = 0; i < tests->n; i++) {
        const struct value *t = tests->items[i].items;
        v.tests[i] = (struct spec_test){.test = t[TEST_NAME].raw,
                                        .unit = t[TEST_UNIT].raw,
                                        .has_low = given(&t[TEST_LOW]),
                                        .has_high = given(&t[TEST_HIGH]),
                                        .required = t[TEST_REQUIRED].b};
        v.tests[i].low = v.tests[i].has_low ? t[TEST_LOW].num : 0;
        v.tests[i].high = v.tests[i].has_high ? t[TEST_HIGH].num : 0;
    }
    begin_chain(r, r->chain);
    r->chain->chain.product.id = event_text(r->ev, FIELD_PRODUCT_CODE);
    wbuf_init(&w, r->j->a);
    spec_version_encode(&v, &w);
    append_bytes(r, r->chain, PRODUCT_LOG_VERSIONS, wbuf_span(&w));
}

/* ---- QC_RESULT ---- */

struct limits limits_of(const struct spec_test *spec, const struct event *result)
{
    const struct value *low = event_get(result, FIELD_LOW), *high = event_get(result, FIELD_HIGH);
    if (spec)
        return (struct limits){spec->has_low, spec->has_high, spec->low, spec->high};
    return (struct limits){low != NULL, high != NULL, low ? low->num : 0, high ? high->num : 0};
}

static bool check_stated_limit(struct ruling *r, enum field_name field, bool has, dec_t limit)
{
    const struct value *v = event_get(r->ev, field);
    if (!v || (has && v->num == limit))
        return true;
    return deny(
        r, E_QC_VERDICT, r->item.subject, field == FIELD_LOW ? "low" : "high",
        "the specification has another limit for \"%.*s\", or none; leave it out or correct it",
        SPAN_FMT(event_text(r->ev, FIELD_TEST)));
}

static bool check_against_specification(struct ruling *r, const struct spec_test *spec)
{
    struct span unit = event_text(r->ev, FIELD_UNIT);
    if (!span_eq(unit, spec->unit))
        return deny(r, E_UOM, r->item.subject, "unit",
                    "the specification measures \"%.*s\" in \"%.*s\", not in \"%.*s\"",
                    SPAN_FMT(spec->test), SPAN_FMT(spec->unit), SPAN_FMT(unit));
    return check_stated_limit(r, FIELD_LOW, spec->has_low, spec->low) &&
           check_stated_limit(r, FIELD_HIGH, spec->has_high, spec->high);
}

static bool check_verdict(struct ruling *r)
{
    const struct value *v = event_get(r->ev, FIELD_VALUE);
    struct limits l = limits_of(r->limit, r->ev);
    bool pass = event_enum(r->ev, FIELD_VERDICT) == QC_PASS;
    if (v->type == VALUE_TEXT) {
        if (l.has_low || l.has_high)
            return deny(r, E_BAD_VALUE, r->item.subject, "value",
                        "limits apply, so the value must be a number");
        return true;
    }
    if (within(&l, v->num) == pass)
        return true;
    return deny(r, E_QC_VERDICT, r->item.subject, "verdict",
                "the value %.*s is %s the limits, so the verdict must be %s", SPAN_FMT(v->raw),
                pass ? "outside" : "within", pass ? "FAIL" : "PASS");
}

static bool check_retest(struct ruling *r)
{
    const struct outcome *before;
    struct span test = event_text(r->ev, FIELD_TEST), id = event_text(r->ev, FIELD_DEVIATION);
    struct loaded *ld;
    bool on = false;
    if (!facts_in_force(&r->f, r->item.node, test, &before))
        return false;
    if (!before || before->verdict != QC_FAIL || event_enum(r->ev, FIELD_VERDICT) != QC_PASS)
        return true;
    if (id.n > 0) {
        ld = load_case(r->j, CASE_DEVIATION, id);
        if (!ld)
            return false;
        const struct case_state *s = &ld->chain.kase;
        if (ld->chain.exists && !s->open && s->closed > before->index &&
            !facts_on_line(&r->f, r->item.node, s->item, &on))
            return false;
    }
    return on || deny(r, E_QC_RETEST, r->item.subject, "deviation",
                      "\"%.*s\" failed before (entry %llu); name the deviation of this item that "
                      "was closed after it",
                      SPAN_FMT(test), (unsigned long long)before->index);
}

bool check_result(struct ruling *r)
{
    struct node *top;
    if (!find_item(r, FIELD_ITEM, &r->item) || !ask_born(&r->f, &r->item) ||
        !ask_live(&r->f, &r->item))
        return false;
    if (!facts_top(&r->f, r->item.node, &top) || !family_spec(&r->f.family, top))
        return false;
    r->limit = spec_find(top->spec, event_text(r->ev, FIELD_TEST));
    if (r->limit && !check_against_specification(r, r->limit))
        return false;
    return check_verdict(r) && check_retest(r);
}

void effect_result(struct ruling *r)
{
    struct outcome o = {.test = event_text(r->ev, FIELD_TEST),
                        .verdict = (uint8_t)event_enum(r->ev, FIELD_VERDICT),
                        .index = r->j->index,
                        .source = r->j->index};
    touch(r, r->item.ld);
    append_outcome(r, r->item.ld, &o);
    if (o.verdict == QC_FAIL)
        r->item.s->last_fail = r->j->index;
}

/* ---- DEVIATION_CHANGED ---- */

static bool check_deviation_close(struct ruling *r, struct span id, const char *subject)
{
    const struct case_state *s = &r->chain->chain.kase;
    if (!(r->party[0]->roles & ROLE_BIT(ROLE_QA)))
        return deny(r, E_ROLE, facts_text(&r->f, "party %.*s", SPAN_FMT(r->signers[0].party)),
                    "signatures[0]", "a deviation is closed by QA");
    if (!r->chain->chain.exists || !s->open)
        return deny(r, E_UNKNOWN_ITEM, subject, "deviation", "there is no open deviation %.*s",
                    SPAN_FMT(id));
    if (!span_eq(s->item, r->item.s->id))
        return deny(r, E_UNKNOWN_ITEM, subject, "item",
                    "deviation %.*s was opened on %.*s; close it there", SPAN_FMT(id),
                    SPAN_FMT(s->item));
    return true;
}

bool check_deviation(struct ruling *r)
{
    struct span id = event_text(r->ev, FIELD_DEVIATION);
    const char *subject = facts_text(&r->f, "deviation %.*s", SPAN_FMT(id));
    if (!find_item(r, FIELD_ITEM, &r->item))
        return false;
    r->chain = load_case(r->j, CASE_DEVIATION, id);
    if (!r->chain)
        return false;
    if (event_enum(r->ev, FIELD_ACTION) == DEVIATION_CLOSED) {
        if (!check_deviation_close(r, id, subject))
            return false;
    } else if (r->chain->chain.exists) {
        return deny(r, E_DUP_ITEM, subject, "deviation",
                    "%.*s is already a deviation; an id is never used twice", SPAN_FMT(id));
    }
    return ask_born(&r->f, &r->item);
}

void effect_deviation(struct ruling *r)
{
    struct case_state *s = &r->chain->chain.kase;
    touch(r, r->item.ld);
    if (event_enum(r->ev, FIELD_ACTION) == DEVIATION_CLOSED) {
        touch(r, r->chain);
        s->open = false;
        s->closed = r->j->index;
        r->item.s->open_deviations--;
        return;
    }
    begin_chain(r, r->chain);
    s->id = event_text(r->ev, FIELD_DEVIATION);
    s->type = CASE_DEVIATION;
    s->open = true;
    s->opened = r->j->index;
    s->item = r->item.s->id;
    s->class_ = event_text(r->ev, FIELD_CLASS);
    append_bytes(r, r->chain, CASE_LOG_ITEMS, s->item);
    append_bytes(r, r->item.ld, ITEM_LOG_CASES, r->chain->chain.id);
    r->item.s->open_deviations++;
}

/* ---- QUALITY_DECISION ---- */

static bool is_release(unsigned decision)
{
    return decision == DECISION_RELEASE || decision == DECISION_EXCEPTIONAL_RELEASE;
}

bool check_decision(struct ruling *r)
{
    struct facts *f = &r->f;
    unsigned decision = event_enum(r->ev, FIELD_DECISION);
    if (!find_item(r, FIELD_ITEM, &r->item) || !ask_born(f, &r->item) || !ask_live(f, &r->item))
        return false;
    if (is_release(decision) || decision == DECISION_LIFT_QUARANTINE) {
        if (!ask_clear(f, &r->item, EXCEPT_QUARANTINE))
            return false;
        if (decision == DECISION_RELEASE && !ask_lineage_conforms(f, &r->item))
            return false;
        if (!ask_unexpired(f, &r->item))
            return false;
    }
    if (decision == DECISION_RELEASE && !ask_tests(f, &r->item))
        return false;
    if (decision != DECISION_EXCEPTIONAL_RELEASE)
        return true;
    bool justified = event_text(r->ev, FIELD_JUSTIFICATION).n > 0;
    if (!justified || event_text(r->ev, FIELD_PHYSICIAN_REQUEST).n == 0)
        return deny(r, E_MISSING_FIELD, r->item.subject,
                    justified ? "physician_request" : "justification",
                    "an exceptional release needs a justification and the physician's request");
    return true;
}

void effect_decision(struct ruling *r)
{
    struct item_state *s = r->item.s;
    touch(r, r->item.ld);
    switch ((enum quality_decision)event_enum(r->ev, FIELD_DECISION)) {
    case DECISION_RELEASE:
    case DECISION_EXCEPTIONAL_RELEASE:
        s->last_release = r->j->index;
        s->quarantined = false;
        break;
    case DECISION_LIFT_QUARANTINE:
        s->quarantined = false;
        break;
    case DECISION_QUARANTINE:
        s->quarantined = true;
        break;
    case DECISION_REJECT:
        s->rejected = r->j->index;
        break;
    }
}
