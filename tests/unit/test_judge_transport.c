/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge on shipments, logs and excursions: what they ask, what they write, and whom an
 * excursion concerns.
 */
#include "lifecycle.h"

#define SHIP(items, due)                                                                           \
    "{'shipment':'%s','items':[" items                                                             \
    "],'to_org':'HOSP','carrier_org':'CARRIER','container':'c','logger':'LG',"                     \
    "'logger_calibration_due':'" due "','min_c':-196,'max_c':-120%s}"
#define LATER "2027-01-01T00:00:00Z"
#define RECEIVE "{'shipment':'%s','items':[%s],'seal_intact':%s,'container_condition':'c'%s}"
#define USE_STEP "{'item':'%s','location':'W'}"

static void two_units(struct life *l)
{
    static const char *const units[] = {"U1", "U2"};
    life_released_lot(l);
    life_split(l, "LOT", units, 2);
}

TEST(dispatch)
{
    struct life l = life_begin();
    two_units(&l);
    life_material(&l, "RAW", "2026-12-31T00:00:00Z");
    REFUSE(&l, E_UNKNOWN_ITEM, "SHIPMENT_DISPATCHED", "u.wh", SHIP("'U1','X'", LATER), "S", "");
    WHY(&l, "item X", "items[1]");
    REFUSE(&l, E_DUP_ITEM, "SHIPMENT_DISPATCHED", "u.wh", SHIP("'U1','U1'", LATER), "S", "");
    REFUSE(&l, E_LOGGER_CALIBRATION, "SHIPMENT_DISPATCHED", "u.wh",
           SHIP("'U1'", "2026-01-01T00:00:00Z"), "S", "");
    WHY(&l, "shipment S", "logger_calibration_due");
    REFUSE(&l, E_NOT_RELEASED, "SHIPMENT_DISPATCHED", "u.wh", SHIP("'U1','RAW'", LATER), "S", "");
    WHY(&l, "item RAW", "items[1]");
    REFUSE(&l, E_CUSTODY, "SHIPMENT_DISPATCHED", "u.h1", SHIP("'U1'", LATER), "S", "");
    life_decide(&l, "U2", "QUARANTINE");
    REFUSE(&l, E_HOLD_QUARANTINE, "SHIPMENT_DISPATCHED", "u.wh", SHIP("'U1','U2'", LATER), "S", "");
    ACCEPT(&l, "SHIPMENT_DISPATCHED", "u.wh", SHIP("'U2','RAW','U1'", LATER), "S",
           ",'under_quarantine':true");
    TOUCHED(&l, "shipment S, item U2, item RAW, item U1");
    REFUSE(&l, E_DUP_ITEM, "SHIPMENT_DISPATCHED", "u.wh", SHIP("'LOT'", LATER), "S", "");
    REFUSE(&l, E_IN_TRANSIT, "STORAGE_MOVED", "u.wh", USE_STEP, "U1");
    WHY(&l, "item U1", "item");
    life_end(&l);
}

TEST(returns_skip_the_holds)
{
    struct life l = life_begin();
    two_units(&l);
    life_decide(&l, "U1", "REJECT");
    REFUSE(&l, E_REJECTED, "SHIPMENT_DISPATCHED", "u.wh", SHIP("'U1'", LATER), "S",
           ",'under_quarantine':true");
    ACCEPT(&l, "SHIPMENT_DISPATCHED", "u.wh", SHIP("'U1'", LATER), "S",
           ",'return_reason':'rejected'");
    life_end(&l);
}

TEST(hand_over_and_receipt)
{
    struct life l = life_begin();
    two_units(&l);
    life_ship(&l, "S", "'U1','U2'", "");
    int64_t dispatched = l.now_us - 60000000;
    REFUSE(&l, E_NOT_IN_SHIPMENT, "CUSTODY_TRANSFERRED", "u.cour",
           "{'shipment':'X','from_party':'a','to_party':'b','place':'p'}");
    l.occurred_us = dispatched - 1;
    REFUSE(&l, E_TIME_ORDER, "CUSTODY_TRANSFERRED", "u.cour",
           "{'shipment':'S','from_party':'a','to_party':'b','place':'p'}");
    ACCEPT(&l, "CUSTODY_TRANSFERRED", "u.cour",
           "{'shipment':'S','from_party':'a','to_party':'b','place':'p'}");
    TOUCHED(&l, "shipment S");
    l.occurred_us = dispatched;
    REFUSE(&l, E_TIME_ORDER, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'U1'", "true", "");
    REFUSE(&l, E_NOT_IN_SHIPMENT, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'U1','LOT'", "true",
           "");
    REFUSE(&l, E_NOT_IN_SHIPMENT, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'U1','U1'", "true",
           "");
    REFUSE(&l, E_NOT_IN_SHIPMENT, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'X'", "true", "");
    REFUSE(&l, E_CUSTODY, "SHIPMENT_RECEIVED", "u.wh", RECEIVE, "S", "'U1'", "true", "");
    REFUSE(&l, E_CUSTODY, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'U1'", "true",
           ",'returned':true");
    ACCEPT(&l, "SHIPMENT_RECEIVED", "u.wh", RECEIVE, "S", "'U1'", "true", ",'returned':true");
    TOUCHED(&l, "shipment S, item U1, case excursion/NOLOG:S");
    REFUSE(&l, E_NOT_IN_SHIPMENT, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'U1'", "true", "");
    /* What is lost was never received, so the shipment stays open for hand-overs. */
    REFUSE(&l, E_NOT_IN_SHIPMENT, "LOT_DISPOSED", "u.wh",
           "{'item':'U1','method':'m','reason':'r','lost_shipment':'S'}");
    REFUSE(&l, E_NOT_IN_SHIPMENT, "LOT_DISPOSED", "u.h1",
           "{'item':'U2','method':'m','reason':'r','lost_shipment':'S'}");
    WHY(&l, "shipment S", "lost_shipment");
    ACCEPT(&l, "LOT_DISPOSED", "u.wh",
           "{'item':'U2','method':'m','reason':'r','lost_shipment':'S'}");
    TOUCHED(&l, "item U2, shipment S");
    CHECK_EQ_INT(life_item(&l, "U2")->shipment.n, 0);
    ACCEPT(&l, "CUSTODY_TRANSFERRED", "u.cour",
           "{'shipment':'S','from_party':'a','to_party':'b','place':'p'}");
    life_end(&l);
}

TEST(all_received)
{
    struct life l = life_begin();
    two_units(&l);
    life_ship(&l, "S", "'U1'", "");
    ACCEPT(&l, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'U1'", "true", "");
    REFUSE(&l, E_NOT_IN_SHIPMENT, "CUSTODY_TRANSFERRED", "u.cour",
           "{'shipment':'S','from_party':'a','to_party':'b','place':'p'}");
    life_end(&l);
}

#define LOG(more)                                                                                  \
    "{'logger':'LG','start':'2026-04-01T00:00:00Z','end':'2026-04-02T00:00:00Z','interval_s':60,'" \
    "raw_hash':'r'" more "}"

TEST(logs)
{
    struct life l = life_begin();
    two_units(&l);
    life_ship(&l, "S", "'U1','U2'", "");
#define GOOD ",'readings':2,'min_c':-190,'max_c':-130,'mean_c':-150"
    REFUSE(&l, E_NOT_IN_SHIPMENT, "CONDITION_LOGGED", "u.cour",
           LOG(GOOD ",'excursion':false,'shipment':'X'"));
    REFUSE(&l, E_MISSING_FIELD, "CONDITION_LOGGED", "u.cour",
           LOG(GOOD ",'excursion':false,'items':['LOT'],'limit_min_c':1"));
    CHECK_EQ_STR(l.why.field, "limit_max_c");
    REFUSE(&l, E_UNKNOWN_ITEM, "CONDITION_LOGGED", "u.cour",
           LOG(GOOD ",'excursion':false,'items':['X'],'limit_min_c':1,'limit_max_c':2"));
    REFUSE(&l, E_TIME_ORDER, "CONDITION_LOGGED", "u.cour",
           "{'logger':'LG','start':'2026-04-03T00:00:00Z','end':'2026-04-02T00:00:00Z','interval_s'"
           ":60,'raw_hash':'r'" GOOD ",'excursion':false,'shipment':'S'}");
    REFUSE(&l, E_LOG_STATS, "CONDITION_LOGGED", "u.cour",
           LOG(",'readings':0,'min_c':-190,'max_c':-130,'mean_c':-150,'excursion':false,'shipment':"
               "'S'"));
    REFUSE(&l, E_LOG_STATS, "CONDITION_LOGGED", "u.cour",
           LOG(",'readings':2,'min_c':-190,'max_c':-130,'mean_c':-129,'excursion':false,'shipment':"
               "'S'"));
    REFUSE(&l, E_EXCURSION_FLAG, "CONDITION_LOGGED", "u.cour",
           LOG(GOOD ",'excursion':true,'shipment':'S'"));
#define WARM ",'readings':2,'min_c':-190,'max_c':-119.9,'mean_c':-150"
    REFUSE(&l, E_EXCURSION_FLAG, "CONDITION_LOGGED", "u.cour",
           LOG(WARM ",'excursion':false,'shipment':'S'"));
    REFUSE(&l, E_MISSING_FIELD, "CONDITION_LOGGED", "u.cour",
           LOG(WARM ",'excursion':true,'shipment':'S'"));
    REFUSE(&l, E_DUP_ITEM, "CONDITION_LOGGED", "u.cour",
           LOG(WARM ",'excursion':true,'shipment':'S','excursion_id':'SEAL:S'"));
    ACCEPT(&l, "CONDITION_LOGGED", "u.cour",
           LOG(WARM ",'excursion':true,'shipment':'S','excursion_id':'EX'"));
    TOUCHED(&l, "shipment S, item U1, item U2, case excursion/EX");
    REFUSE(&l, E_DUP_ITEM, "CONDITION_LOGGED", "u.cour",
           LOG(WARM ",'excursion':true,'shipment':'S','excursion_id':'EX'"));
    /* Items may be named twice in a log of no shipment. */
    ACCEPT(&l, "CONDITION_LOGGED", "u.wh",
           LOG(GOOD ",'excursion':true,'items':['MED','MED'],'limit_min_c':2,'limit_max_c':8,'"
                    "excursion_id':'EX-2'"));
    TOUCHED(&l, "item MED, case excursion/EX-2");
    CHECK_EQ_INT(life_item(&l, "MED")->open_excursions, 1);
    CHECK_EQ_INT(life_item(&l, "U1")->open_excursions, 1);
    life_end(&l);
}

/* NOLOG names what comes later, opens again after an assessment for the new ones alone, and ends
 * with the log. */
TEST(nolog_episodes)
{
    static const char *const units[] = {"A", "B", "C", "D"};
    struct life l = life_begin();
    life_released_lot(&l);
    life_split(&l, "LOT", units, 4);
    life_ship(&l, "S", "'A','B','C','D'", "");
    ACCEPT(&l, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'A'", "true", "");
    ACCEPT(&l, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'B'", "false", "");
    TOUCHED(&l, "shipment S, item B, case excursion/NOLOG:S, case excursion/SEAL:S");
    ACCEPT(&l, "EXCURSION_ASSESSED", "u.qa+u.qp",
           "{'excursion_id':'NOLOG:S','outcome':'REJECT','justification':'j'}");
    TOUCHED(&l, "case excursion/NOLOG:S, item A, item B");
    REFUSE(&l, E_UNKNOWN_ITEM, "EXCURSION_ASSESSED", "u.qa+u.qp",
           "{'excursion_id':'NOLOG:S','outcome':'USE_AS_IS','justification':'j'}");
    ACCEPT(&l, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'C'", "true", "");
    CHECK_EQ_INT(life_item(&l, "A")->open_excursions, 0);
    CHECK_EQ_INT(life_item(&l, "A")->rejecting_excursions, 1);
    CHECK_EQ_INT(life_item(&l, "B")->open_excursions, 1);
    CHECK_EQ_INT(life_item(&l, "C")->open_excursions, 1);
    life_log(&l, "S", "-150", "false");
    TOUCHED(&l, "shipment S, item A, item B, item C, item D, case excursion/NOLOG:S");
    CHECK_EQ_INT(life_item(&l, "C")->open_excursions, 0);
    CHECK_EQ_INT(life_item(&l, "C")->rejecting_excursions, 0);
    CHECK_EQ_INT(life_item(&l, "B")->open_excursions, 1); /* the seal */
    ACCEPT(&l, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'D'", "true", "");
    TOUCHED(&l, "shipment S, item D");
    REFUSE(&l, E_REJECTED, "ADMINISTERED", "u.h1+u.h2", GIVE, "A", "C-1", "C-1", "");
    REFUSE(&l, E_REJECTED, "ADMINISTERED", "u.h1+u.h2", GIVE, "B", "C-1", "C-1", "");
    ACCEPT(&l, "ADMINISTERED", "u.h1+u.h2", GIVE, "C", "C-1", "C-1", "");
    life_end(&l);
}

/* By another logger, or ended before the dispatch: not the shipment's log. */
TEST(other_logs_do_not_count)
{
    struct life l = life_begin();
    two_units(&l);
    life_ship(&l, "S", "'U1'", "");
    ACCEPT(
        &l, "CONDITION_LOGGED", "u.cour",
        "{'shipment':'S','logger':'OTHER','start':'2026-04-01T00:00:00Z','end':'2026-05-01T00:00:"
        "00Z','interval_s':60,"
        "'readings':9,'min_c':-180,'max_c':-150,'mean_c':-170,'raw_hash':'r','excursion':false}");
    ACCEPT(
        &l, "CONDITION_LOGGED", "u.cour",
        "{'shipment':'S','logger':'LG','start':'2026-01-01T00:00:00Z','end':'2026-02-01T00:00:00Z',"
        "'interval_s':60,"
        "'readings':9,'min_c':-180,'max_c':-150,'mean_c':-170,'raw_hash':'r','excursion':false}");
    ACCEPT(&l, "SHIPMENT_RECEIVED", "u.h1", RECEIVE, "S", "'U1'", "true", "");
    TOUCHED(&l, "shipment S, item U1, case excursion/NOLOG:S");
    life_end(&l);
}

/* An excursion of the lot concerns a unit if it was opened before the split, or if its log began
 * before it. */
TEST(concerns)
{
    static const char *const units[] = {"U"}, *const late[] = {"V"};
    struct life l = life_begin();
    char start[TIME_TEXT_MAX];
    life_released_lot(&l);
    time_format(l.now_us, start);
    l.now_us += 3600000000;
    life_split(&l, "LOT", units, 1);
#define STORE                                                                                      \
    "{'logger':'LG','start':'%s','end':'2026-09-01T00:00:00Z','interval_s':60,'raw_hash':'r','"    \
    "readings':2,'min_c':5,"                                                                       \
    "'max_c':9,'mean_c':6,'excursion':true,'items':['LOT'],'limit_min_c':2,'limit_max_c':8,'"      \
    "excursion_id':'%s'}"
    ACCEPT(&l, "CONDITION_LOGGED", "u.wh", STORE, "2026-08-01T00:00:00Z", "LATE");
    /* The log began after U was split off. */
    ACCEPT(&l, "SHIPMENT_DISPATCHED", "u.wh", SHIP("'U'", LATER), "S", "");
    REFUSE(&l, E_HOLD_EXCURSION, "LOT_SPLIT", "u.op",
           "{'item':'LOT','units':[{'item':'V','quantity':10}]}");
    WHY(&l, "excursion LATE", "item");
    ACCEPT(&l, "EXCURSION_ASSESSED", "u.qa+u.qp",
           "{'excursion_id':'LATE','outcome':'USE_AS_IS','justification':'j'}");
    life_split(&l, "LOT", late, 1);
    ACCEPT(&l, "CONDITION_LOGGED", "u.wh", STORE, start, "EARLY");
    REFUSE(&l, E_HOLD_EXCURSION, "SHIPMENT_DISPATCHED", "u.wh", SHIP("'V'", LATER), "T", "");
    WHY(&l, "excursion EARLY", "items[0]");
    REFUSE(&l, E_MISSING_FIELD, "EXCURSION_ASSESSED", "u.qa+u.qp",
           "{'excursion_id':'EARLY','outcome':'REDUCE_EXPIRY','justification':'j'}");
    ACCEPT(&l, "EXCURSION_ASSESSED", "u.qa+u.qp",
           "{'excursion_id':'EARLY','outcome':'REDUCE_EXPIRY','justification':'j','new_expiry':'"
           "2026-04-01T01:00:00Z'}");
    TOUCHED(&l, "case excursion/EARLY, item LOT");
    REFUSE(&l, E_EXPIRED, "SHIPMENT_DISPATCHED", "u.wh", SHIP("'V'", LATER), "T", "");
    WHY(&l, "excursion EARLY", "items[0]");
    life_end(&l);
}

TEST_MAIN(TEST_ENTRY(dispatch), TEST_ENTRY(returns_skip_the_holds),
          TEST_ENTRY(hand_over_and_receipt), TEST_ENTRY(all_received), TEST_ENTRY(logs),
          TEST_ENTRY(nolog_episodes), TEST_ENTRY(other_logs_do_not_count), TEST_ENTRY(concerns))
