/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standing: every reason and not only the first, each once; and fit when the judge would accept.
 */
#include "lifecycle.h"

static struct findings ask(struct life *l, struct standing_query q)
{
    static struct findings out;
    struct judge j = simulation_judge(&l->s);
    if (q.at_us == 0)
        q.at_us = l->now_us;
    CHECK_EQ_INT(standing_check(&j, &q, &out), LEDGER_OK);
    return out;
}

static bool has(const struct findings *f, enum refusal_code code, const char *subject)
{
    for (unsigned i = 0; i < f->n; i++)
        if (f->r[i].code == code && strcmp(f->r[i].subject, subject) == 0)
            return true;
    for (unsigned i = 0; i < f->n; i++)
        fprintf(stderr, "%s [%s] (%s) %s\n", refusal_name(f->r[i].code), f->r[i].subject,
                f->r[i].field, f->r[i].text);
    return false;
}

static struct standing_query bag(void)
{
    return (struct standing_query){.purpose = PURPOSE_ADMINISTER,
                                   .item = SPAN_LIT("BAG-1"),
                                   .coi = SPAN_LIT("C-1"),
                                   .subject_commit = SPAN_LIT("commit of C-1"),
                                   .org = SPAN_LIT("HOSP")};
}

TEST(fit)
{
    struct life l = life_begin();
    life_bags(&l);
    CHECK_EQ_INT(ask(&l, bag()).n, 0);
    struct standing_query q = {.purpose = PURPOSE_ADMINISTER, .item = SPAN_LIT("BAG-1")};
    CHECK_EQ_INT(ask(&l, q).n, 0);
    q = (struct standing_query){
        .purpose = PURPOSE_DISPATCH, .item = SPAN_LIT("LOT"), .org = SPAN_LIT("CPC")};
    CHECK_EQ_INT(ask(&l, q).n, 0);
    q.purpose = PURPOSE_RELEASE;
    CHECK_EQ_INT(ask(&l, q).n, 0);
    q = (struct standing_query){
        .purpose = PURPOSE_CONSUME, .item = SPAN_LIT("MED"), .into = SPAN_LIT("LOT")};
    CHECK_EQ_INT(ask(&l, q).n, 0);
    life_end(&l);
}

TEST(every_reason)
{
    struct life l = life_begin();
    life_bags(&l);
    ACCEPT(&l, "RECALL_CHANGED", "u.qa+u.qp",
           "{'recall':'R-1','action':'ISSUED','items':['MED'],'class':'I','reason':'r'}");
    ACCEPT(&l, "RECALL_CHANGED", "u.qa+u.qp",
           "{'recall':'R-2','action':'ISSUED','items':['BAG-1'],'class':'II','reason':'r'}");
    ACCEPT(&l, "DEVIATION_CHANGED", "u.op",
           "{'item':'LOT','deviation':'DV-1','action':'OPENED','description':'d'}");
    ACCEPT(&l, "DEVIATION_CHANGED", "u.op",
           "{'item':'BAG-1','deviation':'DV-2','action':'OPENED','description':'d'}");
    ACCEPT(&l, "DEVIATION_CHANGED", "u.op",
           "{'item':'BAG-1','deviation':'DV-3','action':'OPENED','description':'d'}");
    ACCEPT(&l, "DEVIATION_CHANGED", "u.qa",
           "{'item':'BAG-1','deviation':'DV-3','action':'CLOSED','description':'d'}");
    life_decide(&l, "LOT", "QUARANTINE");
    life_decide(&l, "BAG-1", "REJECT");
    life_result(&l, "LOT", "sterility", "FAIL");
    ACCEPT(&l, "CONDITION_LOGGED", "u.cour",
           "{'shipment':'SH-1','logger':'LG','start':'2026-04-01T00:00:00Z','end':'2026-05-01T00:"
           "00:00Z','interval_s':60,"
           "'readings':9,'min_c':-180,'max_c':-100,'mean_c':-170,'raw_hash':'r','excursion':true,'"
           "excursion_id':'EX-1'}");
    ACCEPT(&l, "CONSENT_CHANGED", "u.consent",
           "{'coi':'C-1','action':'WITHDRAWN','scopes':['TREATMENT'],'document_hash':'d','version':"
           "'1'}");
    struct standing_query q = bag();
    q.at_us = l.now_us + (int64_t)400 * 86400 * 1000000;
    q.org = SPAN_LIT("OTHER");
    q.subject_commit = SPAN_LIT("commit of C-2");
    struct findings f = ask(&l, q);
    CHECK(has(&f, E_CONSENT_WITHDRAWN, "subject C-1"));
    CHECK(has(&f, E_PATIENT_MISMATCH, "subject C-1"));
    CHECK(has(&f, E_HOLD_RECALL, "recall R-1"));
    CHECK(has(&f, E_HOLD_RECALL, "recall R-2"));
    CHECK(has(&f, E_REJECTED, "item BAG-1"));
    CHECK(has(&f, E_HOLD_QUARANTINE, "item LOT"));
    CHECK(has(&f, E_HOLD_DEVIATION, "deviation DV-1"));
    CHECK(has(&f, E_HOLD_DEVIATION, "deviation DV-2"));
    CHECK(has(&f, E_HOLD_EXCURSION, "excursion EX-1"));
    CHECK(has(&f, E_QC_FAILED, "item LOT"));
    CHECK(has(&f, E_EXPIRED, "item BAG-1"));
    CHECK(has(&f, E_CUSTODY, "item BAG-1"));
    CHECK_EQ_INT(f.n, 12);
    CHECK_EQ_INT(f.dropped, 0);
    life_end(&l);
}

/* Without a coi in the query, the consent of the only patient it can be for is still asked. */
TEST(bound_patient)
{
    struct life l = life_begin();
    life_bags(&l);
    ACCEPT(&l, "CONSENT_CHANGED", "u.consent",
           "{'coi':'C-1','action':'WITHDRAWN','scopes':['TREATMENT'],'document_hash':'d','version':"
           "'1'}");
    struct standing_query q = {.purpose = PURPOSE_ADMINISTER, .item = SPAN_LIT("BAG-1")};
    struct findings f = ask(&l, q);
    CHECK(has(&f, E_CONSENT_WITHDRAWN, "subject C-1"));
    life_coi(&l, "C-2", "AUTOLOGOUS");
    q.coi = SPAN_LIT("C-2");
    f = ask(&l, q);
    CHECK(f.n == 1 && has(&f, E_COI_MISMATCH, "item BAG-1"));
    q.coi = SPAN_LIT("C-9");
    f = ask(&l, q);
    CHECK(has(&f, E_UNKNOWN_ITEM, "subject C-9"));
    life_end(&l);
}

TEST(unknown_unborn_ended)
{
    struct life l = life_begin();
    life_bags(&l);
    struct standing_query q = bag();
    q.item = SPAN_LIT("NONE");
    struct findings f = ask(&l, q);
    CHECK(f.n == 1 && has(&f, E_UNKNOWN_ITEM, "item NONE"));
    q = bag();
    q.at_us = 1;
    f = ask(&l, q);
    CHECK(has(&f, E_TIME_ORDER, "item BAG-1"));
    ACCEPT(&l, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-1", "C-1", "C-1", "");
    f = ask(&l, bag());
    CHECK(f.n == 1 && has(&f, E_TERMINAL, "item BAG-1"));
    life_end(&l);
}

TEST(other_purposes)
{
    struct life l = life_begin();
    life_released_lot(&l);
    life_material(&l, "RAW", "2026-12-31T00:00:00Z");
    struct standing_query q = {
        .purpose = PURPOSE_CONSUME, .item = SPAN_LIT("LOT"), .into = SPAN_LIT("MED")};
    struct findings f = ask(&l, q);
    CHECK(has(&f, E_CYCLE, "item MED") && has(&f, E_COI_MISMATCH, "item MED"));
    CHECK_EQ_INT(f.n, 2);
    q = (struct standing_query){
        .purpose = PURPOSE_CONSUME, .item = SPAN_LIT("RAW"), .org = SPAN_LIT("HOSP")};
    f = ask(&l, q);
    CHECK(has(&f, E_NOT_RELEASED, "item RAW") && has(&f, E_CUSTODY, "item RAW"));
    life_lot(&l, "NEW", ",'use':'ALLOGENEIC','uom':'mL'");
    life_result(&l, "NEW", "extra", "FAIL");
    q = (struct standing_query){.purpose = PURPOSE_RELEASE, .item = SPAN_LIT("NEW")};
    f = ask(&l, q);
    CHECK(has(&f, E_QC_INCOMPLETE, "item NEW") && has(&f, E_QC_FAILED, "item NEW"));
    q.purpose = PURPOSE_CONSUME;
    f = ask(&l, q);
    CHECK(has(&f, E_QTY_EXCEEDED, "item NEW") && has(&f, E_NOT_RELEASED, "item NEW"));
    q.purpose = (enum purpose)9;
    struct judge j = simulation_judge(&l.s);
    CHECK_EQ_INT(standing_check(&j, &q, &f), LEDGER_EINVAL);
    life_end(&l);
}

/* More reasons than fit are counted. */
TEST(too_many)
{
    struct life l = life_begin();
    life_bags(&l);
    for (unsigned i = 0; i < 70; i++)
        ACCEPT(&l, "DEVIATION_CHANGED", "u.op",
               "{'item':'LOT','deviation':'DV-%u','action':'OPENED','description':'d'}", i);
    struct findings f = ask(&l, bag());
    CHECK_EQ_INT(f.n, FINDINGS_MAX);
    CHECK_EQ_INT(f.dropped, 70 - FINDINGS_MAX);
    life_end(&l);
}

TEST_MAIN(TEST_ENTRY(fit), TEST_ENTRY(every_reason), TEST_ENTRY(bound_patient),
          TEST_ENTRY(unknown_unborn_ended), TEST_ENTRY(other_purposes), TEST_ENTRY(too_many))
