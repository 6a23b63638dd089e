/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge, kind by kind: what is accepted, what each check refuses and why, which chains an event
 * advances.
 */
#include "lifecycle.h"

#include <time.h>

/* ---- every event ---- */

TEST(form_and_reference)
{
    struct life l = life_begin();
    REFUSE(&l, E_UNKNOWN_KIND, "NO_SUCH_KIND", "u.op", "{}");
    REFUSE(&l, E_MISSING_FIELD, "COI_ASSIGNED", "u.consent", "{'coi':'C','use':'AUTOLOGOUS'}");
    REFUSE(&l, E_BAD_VALUE, "COI_ASSIGNED", "u.consent",
           "{'coi':'C D','subject_commit':'x','use':'AUTOLOGOUS'}");
    l.reference = "again";
    life_coi(&l, "C-1", "AUTOLOGOUS");
    l.reference = "again";
    REFUSE(&l, E_DUP_EVENT, "COI_ASSIGNED", "u.consent",
           "{'coi':'C-2','subject_commit':'x','use':'AUTOLOGOUS'}");
    CHECK_EQ_STR(l.why.field, "reference");
    life_end(&l);
}

TEST(signatures)
{
    static const char *const coi = "{'coi':'C-9','subject_commit':'x','use':'AUTOLOGOUS'}";
    static const char *const decide =
        "{'item':'M','decision':'QUARANTINE','spec_version':'1','reason':'r'}";
    struct life l = life_begin();
    life_material(&l, "M", "2027-01-01T00:00:00Z");
    REFUSE(&l, E_SIG_MISSING, "COI_ASSIGNED", "", "%s", coi);
    REFUSE(&l, E_SIG_COUNT, "COI_ASSIGNED", "u.consent+u.coll", "%s", coi);
    REFUSE(&l, E_UNKNOWN_PARTY, "COI_ASSIGNED", "u.nobody", "%s", coi);
    WHY(&l, "party u.nobody", "signatures[0]");
    REFUSE(&l, E_ROLE, "COI_ASSIGNED", "u.qc", "%s", coi);
    WHY(&l, "party u.qc", "signatures[0]");
    REFUSE(&l, E_SIG_SECOND_MISSING, "QUALITY_DECISION", "u.qa", "%s", decide);
    REFUSE(&l, E_SIG_SAME_PERSON, "QUALITY_DECISION", "u.qa+u.qa", "%s", decide);
    REFUSE(&l, E_ROLE, "QUALITY_DECISION", "u.qa+u.op", "%s", decide);
    WHY(&l, "party u.op", "signatures[1]");
    l.occurred_us = l.now_us + 1;
    REFUSE(&l, E_TIME_FUTURE, "QUALITY_DECISION", "u.qa+u.qp", "%s", decide);
    ACCEPT(&l, "QUALITY_DECISION", "u.qa+u.qp", "%s", decide);
    TOUCHED(&l, "item M");
    life_end(&l);
}

TEST(meaning)
{
    struct life l = life_begin();
    enum refusal_code code =
        simulate_line(&l.s,
                      SPAN_LIT("{\"id\":\"x\",\"kind\":\"COI_ASSIGNED\",\"occurred\":\"2026-04-"
                               "01T00:00:00Z\",\"recorded\":"
                               "\"2026-04-01T00:00:00Z\",\"signers\":[{\"party\":\"u.consent\"}],"
                               "\"fields\":{\"coi\":\"C\","
                               "\"subject_commit\":\"x\",\"use\":\"AUTOLOGOUS\"}}"),
                      &l.why);
    CHECK_EQ_STR(refusal_name(code), "E_SIG_MEANING");
    WHY(&l, "party u.consent", "signatures[0].meaning");
    life_end(&l);
}

/* ---- parties and subjects ---- */

TEST(parties)
{
    struct life l = life_begin();
    CHECK_EQ_INT(l.s.registry.parties, 13);
    CHECK_EQ_INT(l.s.registry.admins, 1);
    REFUSE(&l, E_DUP_ITEM, "PARTY_REGISTERED", "u.admin",
           "{'action':'REGISTER','party':'u.op','roles':['QA'],'org':'CPC'}");
    WHY(&l, "party u.op", "party");
    REFUSE(&l, E_UNKNOWN_PARTY, "PARTY_REGISTERED", "u.admin",
           "{'action':'AMEND','party':'u.new','roles':['QA'],'org':'CPC'}");
    REFUSE(&l, E_ROLE, "PARTY_REGISTERED", "u.admin",
           "{'action':'REVOKE','party':'u.admin','roles':['QA'],'org':'CPC'}");
    REFUSE(&l, E_ROLE, "PARTY_REGISTERED", "u.admin",
           "{'action':'AMEND','party':'u.admin','roles':['QA'],'org':'CPC'}");
    ACCEPT(
        &l, "PARTY_REGISTERED", "u.admin",
        "{'action':'AMEND','party':'u.qa','roles':['QA','ADMIN'],'org':'ELSEWHERE','pubkey':'k'}");
    TOUCHED(&l, "party u.qa");
    CHECK_EQ_INT(l.s.registry.admins, 2);
    ACCEPT(&l, "PARTY_REGISTERED", "u.qa",
           "{'action':'REVOKE','party':'u.admin','roles':['ADMIN'],'org':'AUTH'}");
    CHECK_EQ_INT(l.s.registry.admins, 1);
    CHECK_EQ_INT(l.s.registry.parties, 13);
    REFUSE(&l, E_UNKNOWN_PARTY, "PARTY_REGISTERED", "u.admin",
           "{'action':'REGISTER','party':'u.x','roles':['QA'],'org':'CPC'}");
    REFUSE(&l, E_UNKNOWN_PARTY, "PARTY_REGISTERED", "u.qa",
           "{'action':'ROTATE_KEY','party':'u.admin','roles':['QA'],'org':'CPC','pubkey':'k'}");
    ACCEPT(&l, "PARTY_REGISTERED", "u.qa",
           "{'action':'ROTATE_KEY','party':'u.op','roles':['QA'],'org':'X','pubkey':'k2'}");
    /* A rotation changes the key alone. */
    REFUSE(&l, E_ROLE, "SPECIFICATION_SET", "u.op+u.qp",
           "{'product_code':'P','version':'1','tests':[{'test':'t','unit':'u','required':true}]}");
    life_end(&l);
}

TEST(subjects)
{
    struct life l = life_begin();
    life_coi(&l, "C-1", "AUTOLOGOUS");
    TOUCHED(&l, "subject C-1");
    REFUSE(&l, E_DUP_ITEM, "COI_ASSIGNED", "u.consent",
           "{'coi':'C-1','subject_commit':'x','use':'AUTOLOGOUS'}");
    WHY(&l, "subject C-1", "coi");
    REFUSE(
        &l, E_UNKNOWN_ITEM, "CONSENT_CHANGED", "u.consent",
        "{'coi':'C-2','action':'GIVEN','scopes':['TREATMENT'],'document_hash':'d','version':'1'}");
    REFUSE(&l, E_CONSENT_ABSENT, "CONSENT_CHANGED", "u.consent",
           "{'coi':'C-1','action':'WITHDRAWN','scopes':['TREATMENT','RESEARCH'],'document_hash':'d'"
           ",'version':'1'}");
    WHY(&l, "subject C-1", "scopes[1]");
    ACCEPT(&l, "CONSENT_CHANGED", "u.consent",
           "{'coi':'C-1','action':'WITHDRAWN','scopes':['COLLECTION'],'document_hash':'d','version'"
           ":'1'}");
    REFUSE(&l, E_CONSENT_ABSENT, "CONSENT_CHANGED", "u.consent",
           "{'coi':'C-1','action':'WITHDRAWN','scopes':['COLLECTION'],'document_hash':'d','version'"
           ":'1'}");
    life_end(&l);
}

/* ---- materials and lots ---- */

#define COLLECT                                                                                    \
    "{'item':'%s','din':'d','coi':'%s','use':'%s','quantity':50,'uom':'mL','expiry':'2026-04-"     \
    "05T00:00:00Z','site':'s','procedure':'p'}"

TEST(collection)
{
    struct life l = life_begin();
    REFUSE(&l, E_UNKNOWN_ITEM, "COLLECTION_PERFORMED", "u.coll", COLLECT, "APH", "C-1",
           "AUTOLOGOUS");
    ACCEPT(&l, "COI_ASSIGNED", "u.consent",
           "{'coi':'C-0','subject_commit':'x','use':'AUTOLOGOUS'}");
    REFUSE(&l, E_CONSENT_ABSENT, "COLLECTION_PERFORMED", "u.coll", COLLECT, "APH", "C-0",
           "AUTOLOGOUS");
    life_coi(&l, "C-1", "AUTOLOGOUS");
    REFUSE(&l, E_COI_MISMATCH, "COLLECTION_PERFORMED", "u.coll", COLLECT, "APH", "C-1",
           "ALLOGENEIC");
    l.occurred_us = l.now_us - 3600000000;
    REFUSE(&l, E_CONSENT_ABSENT, "COLLECTION_PERFORMED", "u.coll", COLLECT, "APH", "C-1",
           "AUTOLOGOUS");
    ACCEPT(&l, "COLLECTION_PERFORMED", "u.coll", COLLECT, "APH", "C-1", "AUTOLOGOUS");
    TOUCHED(&l, "item APH, subject C-1");
    REFUSE(&l, E_DUP_ITEM, "COLLECTION_PERFORMED", "u.coll", COLLECT, "APH", "C-1", "AUTOLOGOUS");
    ACCEPT(&l, "CONSENT_CHANGED", "u.consent",
           "{'coi':'C-1','action':'WITHDRAWN','scopes':['COLLECTION'],'document_hash':'d','version'"
           ":'1'}");
    REFUSE(&l, E_CONSENT_WITHDRAWN, "COLLECTION_PERFORMED", "u.coll", COLLECT, "APH-2", "C-1",
           "AUTOLOGOUS");
    CHECK(life_item(&l, "APH")->available == 50 * DEC_ONE);
    CHECK_EQ_INT(life_item(&l, "APH")->klass, ITEM_STARTING);
    life_end(&l);
}

TEST(material_and_lot)
{
    struct life l = life_begin();
    REFUSE(&l, E_EXPIRED, "MATERIAL_RECEIVED", "u.wh",
           "{'item':'M','gtin':'1','lot':'L','supplier':'S','quantity':1,'uom':'mL','expiry':'2025-"
           "01-01T00:00:00Z',"
           "'coa_hash':'c','origin':'o'}");
    WHY(&l, "item M", "expiry");
    life_material(&l, "M", "2026-12-31T00:00:00Z");
#define LOT                                                                                        \
    "{'item':'%s','lot_class':'BATCH','product_code':'P','lot':'L','required_tests':['a'],'spec_"  \
    "version':'%s'%s}"
    REFUSE(&l, E_DUP_ITEM, "LOT_CREATED", "u.op", LOT, "M", "1", ",'use':'ALLOGENEIC'");
    REFUSE(&l, E_COI_MISMATCH, "LOT_CREATED", "u.op", LOT, "A", "1", ",'use':'AUTOLOGOUS'");
    REFUSE(&l, E_COI_MISMATCH, "LOT_CREATED", "u.op", LOT, "A", "1",
           ",'use':'AUTOLOGOUS','coi':'C-1'");
    REFUSE(&l, E_COI_MISMATCH, "LOT_CREATED", "u.op", LOT, "A", "1",
           ",'use':'ALLOGENEIC','for_coi':'C-1'");
    REFUSE(&l, E_CARTAGENA, "LOT_CREATED", "u.op", LOT, "A", "1", ",'use':'ALLOGENEIC','gmo':true");
    /* The coi of an allogeneic lot is not asked; one that does not exist is not advanced. */
    ACCEPT(&l, "LOT_CREATED", "u.op", LOT, "A", "1", ",'use':'ALLOGENEIC','coi':'C-1'");
    TOUCHED(&l, "item A");
    life_coi(&l, "C-1", "AUTOLOGOUS");
    life_coi(&l, "C-2", "ALLOGENEIC");
    ACCEPT(&l, "LOT_CREATED", "u.op", LOT, "B", "1",
           ",'use':'AUTOLOGOUS','coi':'C-1','for_coi':'C-1'");
    TOUCHED(&l, "item B, subject C-1");
    ACCEPT(&l, "LOT_CREATED", "u.op", LOT, "C", "1",
           ",'use':'AUTOLOGOUS','coi':'C-2','for_coi':'C-1'");
    TOUCHED(&l, "item C, subject C-2, subject C-1");
    ACCEPT(&l, "SPECIFICATION_SET", "u.qa+u.qp",
           "{'product_code':'P','version':'2','tests':[{'test':'t','unit':'u','required':true}]}");
    TOUCHED(&l, "product P");
    REFUSE(&l, E_UNKNOWN_ITEM, "LOT_CREATED", "u.op", LOT, "D", "1", ",'use':'ALLOGENEIC'");
    WHY(&l, "product P", "spec_version");
    ACCEPT(&l, "LOT_CREATED", "u.op", LOT, "D", "2", ",'use':'ALLOGENEIC'");
    CHECK_EQ_INT(life_item(&l, "D")->spec_member, 1);
    CHECK_EQ_INT(life_item(&l, "A")->spec_member, 0);
    life_end(&l);
}

#define CONSUME "{'item':'%s','input':'%s','quantity':%s,'uom':'%s'}"

TEST(consumption)
{
    struct life l = life_begin();
    life_coi(&l, "C-1", "AUTOLOGOUS");
    life_coi(&l, "C-2", "AUTOLOGOUS");
    life_material(&l, "MED", "2026-12-31T00:00:00Z");
    life_lot(&l, "LOT", ",'use':'AUTOLOGOUS','coi':'C-1','uom':'mL'");
    ACCEPT(&l, "COLLECTION_PERFORMED", "u.coll", COLLECT, "APH", "C-2", "AUTOLOGOUS");
    REFUSE(&l, E_UNKNOWN_ITEM, "INPUT_CONSUMED", "u.op", CONSUME, "NONE", "MED", "1", "mL");
    WHY(&l, "item NONE", "item");
    REFUSE(&l, E_UNKNOWN_ITEM, "INPUT_CONSUMED", "u.op", CONSUME, "LOT", "NONE", "1", "mL");
    WHY(&l, "item NONE", "input");
    REFUSE(&l, E_CYCLE, "INPUT_CONSUMED", "u.op", CONSUME, "LOT", "LOT", "1", "mL");
    REFUSE(&l, E_COI_MISMATCH, "INPUT_CONSUMED", "u.op", CONSUME, "LOT", "APH", "1", "mL");
    REFUSE(&l, E_NOT_RELEASED, "INPUT_CONSUMED", "u.op", CONSUME, "LOT", "MED", "1", "mL");
    life_decide(&l, "MED", "RELEASE");
    REFUSE(&l, E_UOM, "INPUT_CONSUMED", "u.op", CONSUME, "LOT", "MED", "1", "L");
    REFUSE(&l, E_QTY_EXCEEDED, "INPUT_CONSUMED", "u.op", CONSUME, "LOT", "MED", "100.000000001",
           "mL");
    REFUSE(&l, E_QTY_EXCEEDED, "INPUT_CONSUMED", "u.op", CONSUME, "LOT", "MED", "0", "mL");
    REFUSE(&l, E_NO_INPUT, "LOT_DERIVED", "u.op",
           "{'item':'LOT','quantity':1,'uom':'mL','expiry':'2026-12-01T00:00:00Z'}");
    ACCEPT(&l, "INPUT_CONSUMED", "u.op", CONSUME, "LOT", "MED", "100", "mL");
    TOUCHED(&l, "item LOT, item MED");
    CHECK(life_item(&l, "MED")->available == 0);
    CHECK_EQ_INT(life_item(&l, "MED")->logs[ITEM_LOG_USES].size, 1);
    CHECK_EQ_INT(life_item(&l, "LOT")->logs[ITEM_LOG_INPUTS].size, 1);
    REFUSE(&l, E_CYCLE, "INPUT_CONSUMED", "u.op", CONSUME, "MED", "LOT", "1", "mL");
    ACCEPT(&l, "CONSENT_CHANGED", "u.consent",
           "{'coi':'C-2','action':'WITHDRAWN','scopes':['MANUFACTURE'],'document_hash':'d','"
           "version':'1'}");
    REFUSE(&l, E_CONSENT_WITHDRAWN, "INPUT_CONSUMED", "u.op", CONSUME, "LOT", "APH", "1", "mL");
    WHY(&l, "subject C-2", "input");
    life_end(&l);
}

TEST(derivation_and_split)
{
    struct life l = life_begin();
    life_released_lot(&l);
    REFUSE(&l, E_UOM, "LOT_DERIVED", "u.op",
           "{'item':'LOT','quantity':1,'uom':'L','expiry':'2026-12-01T00:00:00Z'}");
    /* Later yields only shorten the expiry. */
    ACCEPT(&l, "LOT_DERIVED", "u.op",
           "{'item':'LOT','quantity':1,'uom':'mL','expiry':'2027-12-01T00:00:00Z'}");
    int64_t december;
    CHECK(time_parse(SPAN_LIT("2026-12-01T00:00:00Z"), &december));
    CHECK(life_item(&l, "LOT")->expiry_us == december);
#define SPLIT "{'item':'LOT','units':[{'item':'%s','quantity':%s},{'item':'%s','quantity':%s}]}"
    REFUSE(&l, E_DUP_ITEM, "LOT_SPLIT", "u.op", SPLIT, "U1", "1", "U1", "1");
    WHY(&l, "item U1", "units[1].item");
    REFUSE(&l, E_DUP_ITEM, "LOT_SPLIT", "u.op", SPLIT, "U1", "1", "MED", "1");
    REFUSE(&l, E_SPLIT_SUM, "LOT_SPLIT", "u.op", SPLIT, "U1", "0", "U2", "1");
    REFUSE(&l, E_SPLIT_SUM, "LOT_SPLIT", "u.op", SPLIT, "U1", "100.5", "U2", "0.500000001");
    ACCEPT(&l, "LOT_SPLIT", "u.op", SPLIT, "U1", "100.5", "U2", "0.5");
    TOUCHED(&l, "item LOT, item U1, item U2");
    CHECK(life_item(&l, "LOT")->available == 0);
    const struct item_state *u = life_item(&l, "U2");
    CHECK(span_eq(u->parent, SPAN_LIT("LOT")) && span_eq(u->coi, SPAN_LIT("C-1")) &&
          u->klass == ITEM_UNIT);
    CHECK(u->expiry_us == december && u->available == DEC_ONE / 2 && !u->derived);
    /* The release came before the second yield: neither lot nor units are released. */
    REFUSE(&l, E_NOT_RELEASED, "SHIPMENT_DISPATCHED", "u.wh",
           "{'shipment':'S','items':['U1'],'to_org':'HOSP','carrier_org':'C','container':'c','"
           "logger':'LG',"
           "'logger_calibration_due':'2027-01-01T00:00:00Z','min_c':1,'max_c':2}");
    WHY(&l, "item LOT", "items[0]");
    life_end(&l);
}

TEST(process_storage_disposal)
{
    struct life l = life_begin();
    life_released_lot(&l);
    l.occurred_us = l.now_us - (int64_t)86400 * 1000000;
    REFUSE(&l, E_TIME_ORDER, "PROCESS_STEP", "u.op",
           "{'item':'LOT','step':'s','sop':'s','equipment':'e'}");
    WHY(&l, "item LOT", "occurred");
    ACCEPT(&l, "PROCESS_STEP", "u.op", "{'item':'LOT','step':'s','sop':'s','equipment':'e'}");
    TOUCHED(&l, "item LOT");
    REFUSE(&l, E_CUSTODY, "STORAGE_MOVED", "u.h1", "{'item':'LOT','location':'W'}");
    ACCEPT(&l, "STORAGE_MOVED", "u.op", "{'item':'LOT','location':'LN2'}");
    CHECK(span_eq(life_item(&l, "LOT")->location, SPAN_LIT("LN2")));
    REFUSE(&l, E_MISSING_FIELD, "LOT_DISPOSED", "u.op",
           "{'item':'LOT','method':'m','reason':'r','quantity':1}");
    ACCEPT(&l, "LOT_DISPOSED", "u.op",
           "{'item':'LOT','method':'m','reason':'r','quantity':99,'uom':'mL'}");
    CHECK_EQ_INT(life_item(&l, "LOT")->terminal, TERMINAL_NONE);
    ACCEPT(&l, "LOT_DISPOSED", "u.op",
           "{'item':'LOT','method':'m','reason':'r','quantity':1,'uom':'mL'}");
    CHECK_EQ_INT(life_item(&l, "LOT")->terminal, TERMINAL_DISPOSED);
    REFUSE(&l, E_TERMINAL, "LOT_DISPOSED", "u.op", "{'item':'LOT','method':'m','reason':'r'}");
    life_lot(&l, "GMO", ",'use':'ALLOGENEIC','gmo':true,'cartagena_ref':'x'");
    REFUSE(&l, E_CARTAGENA, "LOT_DISPOSED", "u.op", "{'item':'GMO','method':'m','reason':'r'}");
    ACCEPT(&l, "LOT_DISPOSED", "u.op",
           "{'item':'GMO','method':'m','reason':'r','gmo_inactivation':'steam'}");
    life_end(&l);
}

/* ---- quality ---- */

#define RESULT                                                                                     \
    "{'item':'%s','test':'%s','method':'m','value':%s,'unit':'%s','verdict':'%s','sample':'s'%s}"

TEST(results)
{
    struct life l = life_begin();
    REFUSE(&l, E_BAD_VALUE, "SPECIFICATION_SET", "u.qa+u.qp",
           "{'product_code':'P','version':'1','tests':[{'test':'t','unit':'u','low':2,'high':1,'"
           "required':true}]}");
    REFUSE(&l, E_BAD_VALUE, "SPECIFICATION_SET", "u.qa+u.qp",
           "{'product_code':'P','version':'1','tests':[{'test':'t','unit':'u','required':true},"
           "{'test':'t','unit':'u','required':true}]}");
    ACCEPT(&l, "SPECIFICATION_SET", "u.qa+u.qp",
           "{'product_code':'P','version':'1','tests':[{'test':'cd3','unit':'%%','low':70,'"
           "required':true}]}");
    REFUSE(&l, E_DUP_ITEM, "SPECIFICATION_SET", "u.qa+u.qp",
           "{'product_code':'P','version':'1','tests':[{'test':'t','unit':'u','required':true}]}");
    life_material(&l, "MED", "2026-12-31T00:00:00Z");
    life_decide(&l, "MED", "RELEASE");
    life_lot(&l, "LOT", ",'use':'ALLOGENEIC','uom':'mL'");
    life_consume(&l, "LOT", "MED", "1");
    life_derive(&l, "LOT", "50");
    static const char *const units[] = {"U"};
    life_split(&l, "LOT", units, 1);
    REFUSE(&l, E_UOM, "QC_RESULT", "u.qc", RESULT, "U", "cd3", "80", "x", "PASS", "");
    REFUSE(&l, E_QC_VERDICT, "QC_RESULT", "u.qc", RESULT, "U", "cd3", "80", "%", "PASS",
           ",'low':71");
    REFUSE(&l, E_QC_VERDICT, "QC_RESULT", "u.qc", RESULT, "U", "cd3", "80", "%", "PASS",
           ",'high':90");
    REFUSE(&l, E_BAD_VALUE, "QC_RESULT", "u.qc", RESULT, "U", "cd3", "'many'", "%", "PASS", "");
    REFUSE(&l, E_QC_VERDICT, "QC_RESULT", "u.qc", RESULT, "U", "cd3", "69.999999999", "%", "PASS",
           "");
    REFUSE(&l, E_QC_VERDICT, "QC_RESULT", "u.qc", RESULT, "U", "cd3", "70", "%", "FAIL",
           ",'low':70.0");
    REFUSE(&l, E_QC_VERDICT, "QC_RESULT", "u.qc", RESULT, "U", "other", "1", "x", "FAIL", "");
    REFUSE(&l, E_QC_VERDICT, "QC_RESULT", "u.qc", RESULT, "U", "other", "1", "x", "PASS",
           ",'high':0.5");
    ACCEPT(&l, "QC_RESULT", "u.qc", RESULT, "U", "other", "'clear'", "x", "FAIL", "");
    TOUCHED(&l, "item U");
    REFUSE(&l, E_QC_RETEST, "QC_RESULT", "u.qc", RESULT, "U", "other", "'clear'", "x", "PASS",
           ",'deviation':'DV'");
    ACCEPT(&l, "DEVIATION_CHANGED", "u.op",
           "{'item':'LOT','deviation':'DV','action':'OPENED','description':'d'}");
    REFUSE(&l, E_QC_RETEST, "QC_RESULT", "u.qc", RESULT, "U", "other", "'clear'", "x", "PASS",
           ",'deviation':'DV'");
    ACCEPT(&l, "DEVIATION_CHANGED", "u.qa",
           "{'item':'LOT','deviation':'DV','action':'CLOSED','description':'d'}");
    ACCEPT(&l, "QC_RESULT", "u.qc", RESULT, "U", "other", "'clear'", "x", "PASS",
           ",'deviation':'DV'");
    /* Another FAIL needs another explanation. */
    ACCEPT(&l, "QC_RESULT", "u.qc", RESULT, "U", "other", "'clear'", "x", "FAIL", "");
    REFUSE(&l, E_QC_RETEST, "QC_RESULT", "u.qc", RESULT, "U", "other", "'clear'", "x", "PASS",
           ",'deviation':'DV'");
    life_end(&l);
}

TEST(deviations)
{
    struct life l = life_begin();
    life_released_lot(&l);
    life_material(&l, "M2", "2027-01-01T00:00:00Z");
    REFUSE(&l, E_UNKNOWN_ITEM, "DEVIATION_CHANGED", "u.qa",
           "{'item':'LOT','deviation':'DV','action':'CLOSED','description':'d'}");
    WHY(&l, "deviation DV", "deviation");
    ACCEPT(&l, "DEVIATION_CHANGED", "u.op",
           "{'item':'LOT','deviation':'DV','action':'OPENED','description':'d'}");
    TOUCHED(&l, "item LOT, case deviation/DV");
    REFUSE(&l, E_DUP_ITEM, "DEVIATION_CHANGED", "u.op",
           "{'item':'M2','deviation':'DV','action':'OPENED','description':'d'}");
    REFUSE(&l, E_ROLE, "DEVIATION_CHANGED", "u.op",
           "{'item':'LOT','deviation':'DV','action':'CLOSED','description':'d'}");
    REFUSE(&l, E_UNKNOWN_ITEM, "DEVIATION_CHANGED", "u.qa",
           "{'item':'M2','deviation':'DV','action':'CLOSED','description':'d'}");
    REFUSE(&l, E_HOLD_DEVIATION, "QUALITY_DECISION", "u.qa+u.qp",
           "{'item':'LOT','decision':'RELEASE','spec_version':'1','reason':'r'}");
    WHY(&l, "deviation DV", "item");
    /* Harvest and filling go on under a deviation. */
    life_derive(&l, "LOT", "1");
    ACCEPT(&l, "DEVIATION_CHANGED", "u.qa",
           "{'item':'LOT','deviation':'DV','action':'CLOSED','description':'d'}");
    TOUCHED(&l, "item LOT, case deviation/DV");
    life_decide(&l, "LOT", "RELEASE");
    life_end(&l);
}

#define DECIDE "{'item':'%s','decision':'%s','spec_version':'1','reason':'r'%s}"

TEST(decisions)
{
    struct life l = life_begin();
    ACCEPT(&l, "SPECIFICATION_SET", "u.qa+u.qp",
           "{'product_code':'P','version':'1','tests':[{'test':'cd3','unit':'%%','low':70,'"
           "required':true},"
           "{'test':'extra','unit':'%%','low':70,'required':false}]}");
    life_material(&l, "MED", "2026-12-31T00:00:00Z");
    life_decide(&l, "MED", "RELEASE");
    life_lot(&l, "LOT", ",'use':'ALLOGENEIC','uom':'mL'");
    life_consume(&l, "LOT", "MED", "1");
    life_derive(&l, "LOT", "50");
    REFUSE(&l, E_QC_INCOMPLETE, "QUALITY_DECISION", "u.qa+u.qp", DECIDE, "LOT", "RELEASE", "");
    life_result(&l, "LOT", "viability", "PASS");
    REFUSE(&l, E_QC_INCOMPLETE, "QUALITY_DECISION", "u.qa+u.qp", DECIDE, "LOT", "RELEASE", "");
    ACCEPT(&l, "QC_RESULT", "u.qc", RESULT, "LOT", "cd3", "80", "%", "PASS", "");
    ACCEPT(&l, "QC_RESULT", "u.qc", RESULT, "LOT", "extra", "10", "%", "FAIL", "");
    REFUSE(&l, E_QC_FAILED, "QUALITY_DECISION", "u.qa+u.qp", DECIDE, "LOT", "RELEASE", "");
    REFUSE(&l, E_MISSING_FIELD, "QUALITY_DECISION", "u.qa+u.qp", DECIDE, "LOT",
           "EXCEPTIONAL_RELEASE", ",'justification':'j'");
    CHECK_EQ_STR(l.why.field, "physician_request");
    life_decide(&l, "LOT", "QUARANTINE");
    REFUSE(&l, E_HOLD_QUARANTINE, "LOT_SPLIT", "u.op",
           "{'item':'LOT','units':[{'item':'U','quantity':10}]}");
    WHY(&l, "item LOT", "item");
    ACCEPT(&l, "QUALITY_DECISION", "u.qa+u.qp", DECIDE, "LOT", "EXCEPTIONAL_RELEASE",
           ",'justification':'j','physician_request':'p'");
    static const char *const units[] = {"U", "V"};
    life_split(&l, "LOT", units, 2);
    /* A pass on the unit itself is nearer than the lot's FAIL. */
    REFUSE(&l, E_QC_FAILED, "QUALITY_DECISION", "u.qa+u.qp", DECIDE, "U", "RELEASE", "");
    ACCEPT(&l, "DEVIATION_CHANGED", "u.op",
           "{'item':'LOT','deviation':'DV','action':'OPENED','description':'d'}");
    ACCEPT(&l, "DEVIATION_CHANGED", "u.qa",
           "{'item':'LOT','deviation':'DV','action':'CLOSED','description':'d'}");
    ACCEPT(&l, "QC_RESULT", "u.qc", RESULT, "U", "extra", "90", "%", "PASS", ",'deviation':'DV'");
    life_decide(&l, "U", "RELEASE");
    REFUSE(&l, E_QC_FAILED, "QUALITY_DECISION", "u.qa+u.qp", DECIDE, "V", "RELEASE", "");
    /* A rejected input stops the release of what came from it, but not its use. */
    life_decide(&l, "MED", "REJECT");
    REFUSE(&l, E_REJECTED, "QUALITY_DECISION", "u.qa+u.qp", DECIDE, "U", "RELEASE", "");
    WHY(&l, "item MED", "item");
    REFUSE(&l, E_REJECTED, "INPUT_CONSUMED", "u.op", CONSUME, "LOT", "MED", "1", "mL");
    life_end(&l);
}

/* ---- recalls ---- */

TEST(recalls)
{
    struct life l = life_begin();
    life_bags(&l);
    REFUSE(&l, E_UNKNOWN_ITEM, "RECALL_CHANGED", "u.qa+u.qp",
           "{'recall':'R','action':'CLOSED','items':['X'],'class':'I','reason':'r'}");
    REFUSE(&l, E_UNKNOWN_ITEM, "RECALL_CHANGED", "u.qa+u.qp",
           "{'recall':'R','action':'ISSUED','items':['MED','X'],'class':'I','reason':'r'}");
    ACCEPT(&l, "RECALL_CHANGED", "u.qa+u.qp",
           "{'recall':'R','action':'ISSUED','items':['MED','LOT','MED'],'class':'I','reason':'r'}");
    TOUCHED(&l, "case recall/R, item MED, item LOT");
    CHECK_EQ_INT(life_item(&l, "MED")->open_recalls, 1);
    REFUSE(&l, E_HOLD_RECALL, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-1", "C-1", "C-1", "");
    WHY(&l, "recall R", "item");
    REFUSE(&l, E_DUP_ITEM, "RECALL_CHANGED", "u.qa+u.qp",
           "{'recall':'R','action':'ISSUED','items':['MED'],'class':'I','reason':'r'}");
    ACCEPT(&l, "RECALL_CHANGED", "u.qa+u.qp",
           "{'recall':'R','action':'CLOSED','items':['X'],'class':'I','reason':'r'}");
    TOUCHED(&l, "case recall/R, item MED, item LOT");
    ACCEPT(&l, "ADMINISTERED", "u.h1+u.h2", GIVE, "BAG-1", "C-1", "C-1", "");
    TOUCHED(&l, "item BAG-1, subject C-1");
    life_end(&l);
}

/* ---- the lifecycles with the verdict that each line must get ---- */

static unsigned disagreements(const char *path)
{
    static char text[1 << 16];
    FILE *file = fopen(path, "r");
    struct simulation s;
    unsigned n = 0;
    CHECK(file != NULL);
    simulation_init(&s);
    while (fgets(text, sizeof text, file)) {
        struct refusal why;
        char verdict[64];
        size_t len = strcspn(text, "\n");
        enum refusal_code code = simulate_line(&s, span_of(text, len), &why);
        snprintf(verdict, sizeof verdict, "\"expect\": \"%s%s\"", code ? "REFUSE:" : "",
                 refusal_name(code));
        if (strstr(text, verdict))
            continue;
        n++;
        fprintf(stderr, "%s: %.60s: judged %s\n", path, text, verdict);
    }
    fclose(file);
    simulation_fini(&s);
    return n;
}

TEST(scenarios)
{
    static const char *const names[] = {"scenarios/a_cart.jsonl", "scenarios/b_ipsc.jsonl",
                                        "scenarios/e_edges.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *path = check_shared(names[i]);
        if (!path)
            CHECK_SKIP("the scenarios are not here");
        CHECK_EQ_INT(disagreements(path), 0);
    }
}

/* ---- lineages of thousands ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Each material goes into the next one. Linked from the last to the first, so that the lineages
 * stay short until the end and the test does not take the square of their number. */
TEST(long_lineage)
{
    struct life l = life_begin();
    const unsigned n = 3000;
    char item[16] = "", input[16];
    for (unsigned i = 0; i <= n; i++) {
        snprintf(item, sizeof item, "M-%u", i);
        l.now_us -= 119000000;
        life_material(&l, item, "2026-12-31T00:00:00Z");
        life_decide(&l, item, "RELEASE");
    }
    for (unsigned i = n; i > 0; i--) {
        snprintf(item, sizeof item, "M-%u", i);
        snprintf(input, sizeof input, "M-%u", i - 1);
        l.now_us -= 59000000;
        ACCEPT(&l, "INPUT_CONSUMED", "u.op", CONSUME, item, input, "1", "mL");
    }
    snprintf(item, sizeof item, "M-%u", n);
    double begin = seconds();
    ACCEPT(&l, "PROCESS_STEP", "u.op", "{'item':'%s','step':'s','sop':'s','equipment':'e'}", item);
    fprintf(stderr, "a step of an item with %u ancestors: %.3f s\n", n, seconds() - begin);
    ACCEPT(&l, "RECALL_CHANGED", "u.qa+u.qp",
           "{'recall':'R','action':'ISSUED','items':['M-0'],'class':'I','reason':'r'}");
    REFUSE(&l, E_HOLD_RECALL, "PROCESS_STEP", "u.op",
           "{'item':'%s','step':'s','sop':'s','equipment':'e'}", item);
    REFUSE(&l, E_CYCLE, "INPUT_CONSUMED", "u.op", CONSUME, "M-0", item, "1", "mL");
    life_end(&l);
}

TEST(long_split_line)
{
    struct life l = life_begin();
    char item[16] = "LOT", unit[16];
    life_released_lot(&l);
    for (unsigned i = 1; i <= 2000; i++) {
        snprintf(unit, sizeof unit, "U-%u", i);
        l.now_us -= 59000000;
        ACCEPT(&l, "LOT_SPLIT", "u.op", "{'item':'%s','units':[{'item':'%s','quantity':10}]}", item,
               unit);
        strcpy(item, unit);
    }
    life_decide(&l, "LOT", "QUARANTINE");
    REFUSE(&l, E_HOLD_QUARANTINE, "LOT_SPLIT", "u.op",
           "{'item':'%s','units':[{'item':'X','quantity':10}]}", item);
    WHY(&l, "item LOT", "item");
    life_end(&l);
}

/* The widest event: 400 items, one shipment, one excursion that opens and one that closes. */
TEST(widest)
{
    static char items[8192];
    static const char *names[400];
    static char store[400][8];
    struct life l = life_begin();
    size_t n = 0;
    life_released_lot(&l);
    for (unsigned i = 0; i < 400; i++) {
        snprintf(store[i], sizeof store[i], "U%u", i);
        names[i] = store[i];
        n += (size_t)snprintf(items + n, sizeof items - n, "%s'U%u'", i ? "," : "", i);
    }
    ACCEPT(&l, "LOT_DERIVED", "u.op",
           "{'item':'LOT','quantity':5000,'uom':'mL','expiry':'2026-12-01T00:00:00Z'}");
    life_decide(&l, "LOT", "RELEASE");
    for (unsigned i = 0; i < 400; i += 100)
        life_split(&l, "LOT", names + i, 100);
    life_ship(&l, "S", items, "");
    CHECK_EQ_INT(l.s.n_touched, 401);
    ACCEPT(&l, "SHIPMENT_RECEIVED", "u.h1",
           "{'shipment':'S','items':[%s],'seal_intact':false,'container_condition':'c'}", items);
    CHECK_EQ_INT(l.s.n_touched, 403);
    ACCEPT(&l, "CONDITION_LOGGED", "u.cour",
           "{'shipment':'S','logger':'LG','start':'2026-04-01T00:00:00Z','end':'2026-05-01T00:00:"
           "00Z','interval_s':60,"
           "'readings':9,'min_c':-180,'max_c':-100,'mean_c':-170,'raw_hash':'r','excursion':true,'"
           "excursion_id':'EX'}");
    CHECK_EQ_INT(l.s.n_touched, 403);
    CHECK_EQ_INT(life_item(&l, "U399")->open_excursions, 2);
    life_end(&l);
}

TEST_MAIN(TEST_ENTRY(form_and_reference), TEST_ENTRY(signatures), TEST_ENTRY(meaning),
          TEST_ENTRY(parties), TEST_ENTRY(subjects), TEST_ENTRY(collection),
          TEST_ENTRY(material_and_lot), TEST_ENTRY(consumption), TEST_ENTRY(derivation_and_split),
          TEST_ENTRY(process_storage_disposal), TEST_ENTRY(results), TEST_ENTRY(deviations),
          TEST_ENTRY(decisions), TEST_ENTRY(recalls), TEST_ENTRY(scenarios),
          TEST_ENTRY(long_lineage), TEST_ENTRY(long_split_line), TEST_ENTRY(widest))
