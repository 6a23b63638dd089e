/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge at the bedside and on corrections: who may get what, what is marked for ever, what a
 * correction changes.
 */
#include "lifecycle.h"

TEST(patient)
{
    struct life l = life_begin();
    life_bags(&l);
    life_coi(&l, "C-2", "AUTOLOGOUS");
    REFUSE(&l, E_UNKNOWN_ITEM, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-9", "C-1", "C-1", "");
    REFUSE(&l, E_UNKNOWN_ITEM, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-1", "C-9", "C-9", "");
    WHY(&l, "subject C-9", "coi");
    REFUSE(&l, E_ROLE, "ADMINISTERED", "u.h1+u.qa", GIVE, "BAG-1", "C-1", "C-1", "");
    WHY(&l, "party u.qa", "signatures[1]");
    REFUSE(&l, E_ROLE, "ADMINISTERED", "u.h1+u.hx", GIVE, "BAG-1", "C-1", "C-1", "");
    REFUSE(&l, E_COI_MISMATCH, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-1", "C-2", "C-2", "");
    WHY(&l, "item BAG-1", "coi");
    REFUSE(&l, E_PATIENT_MISMATCH, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-1", "C-1", "C-2", "");
    WHY(&l, "subject C-1", "subject_commit_scanned");
    ACCEPT(&l, "CONSENT_CHANGED", "u.consent",
           "{'coi':'C-1','action':'WITHDRAWN','scopes':['TREATMENT'],'document_hash':'d','version':"
           "'1'}");
    REFUSE(&l, E_CONSENT_WITHDRAWN, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-1", "C-1", "C-1", "");
    ACCEPT(
        &l, "CONSENT_CHANGED", "u.consent",
        "{'coi':'C-1','action':'GIVEN','scopes':['TREATMENT'],'document_hash':'d','version':'1'}");
    ACCEPT(&l, "PARTY_REGISTERED", "u.admin",
           "{'action':'REGISTER','party':'u.hx2','roles':['HOSPITAL'],'org':'OTHER'}");
    REFUSE(&l, E_CUSTODY, "ADMINISTERED", "u.hx+u.hx2", GIVE, "BAG-1", "C-1", "C-1", "");
    life_end(&l);
}

TEST(time_dose_thaw)
{
    struct life l = life_begin();
    life_bags(&l);
    char thaw[128];
#define GIVE_DOSE                                                                                  \
    "{'item':'BAG-1','coi':'C-1','subject_commit_scanned':'commit of "                             \
    "C-1','dose':%s,'uom':'%s','route':'IV','site':'W'%s}"
    REFUSE(&l, E_UOM, "ADMINISTERED", "u.h1+u.h2", GIVE_DOSE, "10", "L", "");
    REFUSE(&l, E_QTY_EXCEEDED, "ADMINISTERED", "u.h1+u.h2", GIVE_DOSE, "10.5", "mL", "");
    WHY(&l, "item BAG-1", "dose");
    l.occurred_us = life_item(&l, "BAG-1")->arrived_us - 1;
    REFUSE(&l, E_TIME_ORDER, "ADMINISTERED", "u.h1+u.h2", GIVE_DOSE, "10", "mL", "");
    REFUSE(&l, E_TIME_ORDER, "ADMINISTERED", "u.h1+u.h2", GIVE_DOSE, "10", "mL",
           ",'thaw_time':'2026-12-31T00:00:00Z'");
    char text[TIME_TEXT_MAX];
    time_format(l.now_us - (int64_t)30 * 60000000, text);
    snprintf(thaw, sizeof thaw, ",'thaw_time':'%s','max_post_thaw_min':28.999999999", text);
    REFUSE(&l, E_THAW_WINDOW, "ADMINISTERED", "u.h1+u.h2", GIVE_DOSE, "10", "mL", thaw);
    snprintf(thaw, sizeof thaw, ",'thaw_time':'%s','max_post_thaw_min':31", text);
    ACCEPT(&l, "ADMINISTERED", "u.h1+u.h2", GIVE_DOSE, "9", "mL", thaw);
    TOUCHED(&l, "item BAG-1, subject C-1");
    CHECK_EQ_INT(life_item(&l, "BAG-1")->terminal, TERMINAL_ADMINISTERED);
    CHECK(life_item(&l, "BAG-1")->available == DEC_ONE);
    REFUSE(&l, E_TERMINAL, "ADMINISTERED", "u.h1+u.h2", GIVE_DOSE, "1", "mL", "");
    l.now_us += (int64_t)400 * 86400 * 1000000;
    REFUSE(&l, E_EXPIRED, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-2", "C-1", "C-1", "");
    life_end(&l);
}

/* What happened against the rules is recorded, takes all that is left, and is marked for ever. */
TEST(nonconforming)
{
    struct life l = life_begin();
    life_bags(&l);
    life_coi(&l, "C-2", "AUTOLOGOUS");
    REFUSE(&l, E_ROLE, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-1", "C-2", "C-2",
           ",'nonconforming':true");
    REFUSE(&l, E_MISSING_FIELD, "ADMINISTERED", "u.h1+u.qa", GIVE, "BAG-1", "C-2", "C-2",
           ",'nonconforming':true");
    ACCEPT(&l, "ADMINISTERED", "u.h1+u.qa", GIVE, "BAG-1", "C-2", "x",
           ",'nonconforming':true,'deviation':'DV-NEW'");
    const struct item_state *s = life_item(&l, "BAG-1");
    CHECK(s->nonconforming && s->available == 0 && span_eq(s->patient, SPAN_LIT("C-2")));
    REFUSE(&l, E_PATIENT_MISMATCH, "ADVERSE_EVENT_REPORTED", "u.h1",
           "{'item':'BAG-1','coi':'C-1','event_code':'e','grade':1,'onset':'2026-04-02T00:00:00Z','"
           "seriousness':'s'}");
    ACCEPT(&l, "EVENT_CORRECTED", "u.h1+u.qa",
           "{'target_event':'e-%u','reason':'r','did_not_occur':true}", l.events - 1);
    s = life_item(&l, "BAG-1");
    CHECK(s->nonconforming && s->available == 10 * DEC_ONE && s->patient.n == 0 &&
          s->terminal == TERMINAL_NONE);
    /* Given properly afterwards: the dose alone leaves, and the mark stays. */
    ACCEPT(&l, "ADMINISTERED", "u.h1+u.h2", GIVE_DOSE, "4", "mL", "");
    s = life_item(&l, "BAG-1");
    CHECK(s->nonconforming && s->available == 6 * DEC_ONE && span_eq(s->patient, SPAN_LIT("C-1")));
    life_end(&l);
}

TEST(adverse_events)
{
#define AE                                                                                         \
    "{'item':'%s','coi':'%s','event_code':'e','grade':1,'onset':'2026-04-02T00:00:00Z','"          \
    "seriousness':'s'%s}"
    struct life l = life_begin();
    life_bags(&l);
    REFUSE(&l, E_NOT_ADMINISTERED, "ADVERSE_EVENT_REPORTED", "u.h1", AE, "BAG-1", "C-1", "");
    /* Before the administration nobody is asked who the patient is. */
    ACCEPT(&l, "ADVERSE_EVENT_REPORTED", "u.h1", AE, "BAG-1", "C-77", ",'pre_administration':true");
    TOUCHED(&l, "item BAG-1");
    ACCEPT(&l, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-1", "C-1", "C-1", "");
    ACCEPT(&l, "RECALL_CHANGED", "u.qa+u.qp",
           "{'recall':'R','action':'ISSUED','items':['LOT'],'class':'I','reason':'r'}");
    ACCEPT(&l, "ADVERSE_EVENT_REPORTED", "u.auth", AE, "BAG-1", "C-1", "");
    TOUCHED(&l, "item BAG-1, subject C-1");
    life_end(&l);
}

TEST(not_for_patients)
{
    struct life l = life_begin();
    life_coi(&l, "C-1", "ALLOGENEIC");
    ACCEPT(&l, "MATERIAL_RECEIVED", "u.wh",
           "{'item':'M','gtin':'1','lot':'L','supplier':'S','quantity':100,'uom':'mL','expiry':'"
           "2027-01-01T00:00:00Z',"
           "'coa_hash':'c','origin':'o'}");
    life_decide(&l, "M", "RELEASE");
    life_ship(&l, "S", "'M'", "");
    life_log(&l, "S", "-150", "false");
    ACCEPT(&l, "SHIPMENT_RECEIVED", "u.h1",
           "{'shipment':'S','items':['M'],'seal_intact':true,'container_condition':'c'}");
    REFUSE(&l, E_NOT_RELEASED, "ADMINISTERED", "u.h1+u.h2", GIVE, "M", "C-1", "C-1", "");
    life_end(&l);
}

/* ---- corrections ---- */

#define CORRECT "{'target_event':'%s','reason':'r','changes':[%s]}"

TEST(correction_targets)
{
    struct life l = life_begin();
    l.reference = "coi";
    ACCEPT(&l, "COI_ASSIGNED", "u.consent",
           "{'coi':'C-1','subject_commit':'x','use':'AUTOLOGOUS'}");
    l.reference = "consent";
    ACCEPT(
        &l, "CONSENT_CHANGED", "u.consent",
        "{'coi':'C-1','action':'GIVEN','scopes':['COLLECTION'],'document_hash':'d','version':'1'}");
    REFUSE(&l, E_CORRECT_TARGET, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "none",
           "{'field':'x','old':1,'new':2}");
    CHECK_EQ_STR(l.why.field, "target_event");
    REFUSE(&l, E_MISSING_FIELD, "EVENT_CORRECTED", "u.op+u.qa",
           "{'target_event':'consent','reason':'r'}");
    REFUSE(&l, E_MISSING_FIELD, "EVENT_CORRECTED", "u.op+u.qa",
           "{'target_event':'consent','reason':'r','did_not_occur':true,'changes':[{'field':'x','"
           "old':1,'new':2}]}");
    REFUSE(&l, E_CORRECT_FIELD, "EVENT_CORRECTED", "u.op+u.qa",
           "{'target_event':'consent','reason':'r','did_not_occur':true}");
    REFUSE(&l, E_CORRECT_FIELD, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "coi",
           "{'field':'use','old':'AUTOLOGOUS','new':'ALLOGENEIC'}");
    REFUSE(&l, E_CORRECT_FIELD, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "consent",
           "{'field':'version','old':'1','new':'2'},{'field':'version','old':'1','new':'3'}");
    REFUSE(&l, E_CORRECT_OLD_VALUE, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "consent",
           "{'field':'version','old':1,'new':'2'}");
    REFUSE(&l, E_BAD_VALUE, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "consent",
           "{'field':'version','old':'1','new':2}");
    REFUSE(&l, E_BAD_VALUE, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "consent",
           "{'field':'version','old':'1','new':null}");
    REFUSE(&l, E_BAD_VALUE, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "consent",
           "{'field':'version','old':'1','new':''}");
    l.reference = "correction";
    ACCEPT(&l, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "consent",
           "{'field':'version','old':'1','new':'2'}");
    TOUCHED(&l, "subject C-1");
    REFUSE(&l, E_CORRECT_TWICE, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "consent",
           "{'field':'version','old':'1','new':'3'}");
    REFUSE(&l, E_CORRECT_TARGET, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "correction",
           "{'field':'reason','old':'r','new':'s'}");
    life_end(&l);
}

TEST(corrected_quantities)
{
    struct life l = life_begin();
    life_coi(&l, "C-1", "AUTOLOGOUS");
    life_material(&l, "MED", "2026-12-31T00:00:00Z");
    life_decide(&l, "MED", "RELEASE");
    life_lot(&l, "LOT", ",'use':'AUTOLOGOUS','coi':'C-1','uom':'mL'");
    l.reference = "used";
    life_consume(&l, "LOT", "MED", "40");
    l.reference = "made";
    life_derive(&l, "LOT", "20");
    REFUSE(&l, E_QTY_EXCEEDED, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "used",
           "{'field':'quantity','old':40,'new':101}");
    WHY(&l, "item MED", "changes[0].new");
    REFUSE(&l, E_QTY_EXCEEDED, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "used",
           "{'field':'quantity','old':40,'new':-1}");
    REFUSE(&l, E_CORRECT_OLD_VALUE, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "used",
           "{'field':'quantity','old':'40','new':4}");
    ACCEPT(&l, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "used",
           "{'field':'quantity','old':40.0,'new':100}");
    TOUCHED(&l, "item LOT, item MED");
    CHECK(life_item(&l, "MED")->available == 0);
    CHECK_EQ_INT(life_item(&l, "MED")->logs[ITEM_LOG_CORRECTIONS].size, 1);
    CHECK_EQ_INT(life_item(&l, "LOT")->logs[ITEM_LOG_CORRECTIONS].size, 1);
    ACCEPT(&l, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "made",
           "{'field':'quantity','old':20,'new':0}");
    CHECK(life_item(&l, "LOT")->available == 0);
    life_end(&l);
}

TEST(corrected_results)
{
#define RESULT                                                                                     \
    "{'item':'LOT','test':'viability','method':'m','value':%s,'unit':'%%','verdict':'%s','sample'" \
    ":'s','low':70}"
    struct life l = life_begin();
    life_released_lot(&l);
    l.reference = "first";
    ACCEPT(&l, "QC_RESULT", "u.qc", RESULT, "90", "PASS");
    l.reference = "second";
    ACCEPT(&l, "QC_RESULT", "u.qc", RESULT, "91", "PASS");
    /* No longer the latest: nothing but the correction is recorded. */
    ACCEPT(&l, "EVENT_CORRECTED", "u.qc+u.qa", CORRECT, "first",
           "{'field':'value','old':90,'new':10}");
    CHECK_EQ_INT(life_item(&l, "LOT")->last_fail, 0);
    ACCEPT(&l, "EVENT_CORRECTED", "u.qc+u.qa", CORRECT, "second",
           "{'field':'value','old':91,'new':69.9}");
    CHECK_EQ_INT(life_item(&l, "LOT")->last_fail, l.s.index - 1);
    REFUSE(&l, E_QC_FAILED, "SHIPMENT_DISPATCHED", "u.wh",
           "{'shipment':'S','items':['LOT'],'to_org':'HOSP','carrier_org':'C','container':'c','"
           "logger':'LG',"
           "'logger_calibration_due':'2027-01-01T00:00:00Z','min_c':1,'max_c':2}");
    life_end(&l);
}

TEST(declared_void)
{
    struct life l = life_begin();
    life_bags(&l);
    l.reference = "waste";
    ACCEPT(&l, "LOT_DISPOSED", "u.h1",
           "{'item':'BAG-1','method':'m','reason':'r','quantity':4,'uom':'mL'}");
    l.reference = "rest";
    ACCEPT(&l, "LOT_DISPOSED", "u.h1", "{'item':'BAG-1','method':'m','reason':'r'}");
    CHECK(life_item(&l, "BAG-1")->available == 6 * DEC_ONE);
    ACCEPT(&l, "EVENT_CORRECTED", "u.h1+u.qa",
           "{'target_event':'waste','reason':'r','did_not_occur':true}");
    CHECK(life_item(&l, "BAG-1")->available == 10 * DEC_ONE);
    CHECK_EQ_INT(life_item(&l, "BAG-1")->terminal, TERMINAL_DISPOSED);
    REFUSE(&l, E_CORRECT_TWICE, "EVENT_CORRECTED", "u.h1+u.qa",
           "{'target_event':'waste','reason':'r','did_not_occur':true}");
    ACCEPT(&l, "EVENT_CORRECTED", "u.h1+u.qa",
           "{'target_event':'rest','reason':'r','did_not_occur':true}");
    TOUCHED(&l, "item BAG-1");
    ACCEPT(&l, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-1", "C-1", "C-1", "");
    life_end(&l);
}

/* A subject that was assigned after the target, under the id that the target named, was not
 * advanced by it. */
TEST(later_subject_is_not_the_targets)
{
    struct life l = life_begin();
    l.reference = "lot";
    life_lot(&l, "LOT", ",'use':'ALLOGENEIC','coi':'C-1'");
    life_coi(&l, "C-1", "ALLOGENEIC");
    ACCEPT(&l, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "lot",
           "{'field':'lot','old':'L','new':'L2'}");
    TOUCHED(&l, "item LOT");
    l.reference = "lot 2";
    life_lot(&l, "LOT-2", ",'use':'ALLOGENEIC','coi':'C-1'");
    l.reference = "dev";
    ACCEPT(&l, "DEVIATION_CHANGED", "u.op",
           "{'item':'LOT','deviation':'DV','action':'OPENED','description':'d'}");
    ACCEPT(&l, "EVENT_CORRECTED", "u.op+u.qa", CORRECT, "dev",
           "{'field':'description','old':'d','new':'e'}");
    TOUCHED(&l, "item LOT, case deviation/DV");
    life_end(&l);
}

TEST_MAIN(TEST_ENTRY(patient), TEST_ENTRY(time_dose_thaw), TEST_ENTRY(nonconforming),
          TEST_ENTRY(adverse_events), TEST_ENTRY(not_for_patients), TEST_ENTRY(correction_targets),
          TEST_ENTRY(corrected_quantities), TEST_ENTRY(corrected_results),
          TEST_ENTRY(declared_void), TEST_ENTRY(later_subject_is_not_the_targets))
