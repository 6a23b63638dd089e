/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifecycle: writes a lifecycle event by event for tests of the rules. Fields are JSON in which '
 * stands for ", signers are "u.qa+u.qp" (each with a meaning), and time goes on by a minute with
 * each event.
 */
#ifndef LEDGERD_TESTS_LIFECYCLE_H
#define LEDGERD_TESTS_LIFECYCLE_H

#include "check.h"

#include <stdarg.h>

#include "simulate.h"

struct life {
    struct simulation s;
    int64_t now_us;        /* occurred and recorded time of the next event */
    int64_t occurred_us;   /* if not 0, the next event's occurred time instead */
    unsigned events;       /* references are e-1, e-2, … */
    const char *reference; /* if not NULL, the next event's reference instead */
    struct refusal why;    /* of the latest refusal */
};

static inline size_t life_signers(char *out, size_t size, const char *signers)
{
    size_t n = 0;
    while (*signers) {
        size_t len = strcspn(signers, "+");
        n +=
            (size_t)snprintf(out + n, size - n, "%s{\"party\":\"%.*s\",\"meaning\":\"authorship\"}",
                             n ? "," : "", (int)len, signers);
        signers += len + (signers[len] == '+');
    }
    return n;
}

/* Says one event; returns the verdict. */
static inline enum refusal_code life_say(struct life *l, const char *kind, const char *signers,
                                         const char *fields)
{
    static char text[1 << 17];
    char who[512] = "", occurred[TIME_TEXT_MAX], recorded[TIME_TEXT_MAX], reference[16];
    snprintf(reference, sizeof reference, "e-%u", ++l->events);
    life_signers(who, sizeof who, signers);
    time_format(l->occurred_us ? l->occurred_us : l->now_us, occurred);
    time_format(l->now_us, recorded);
    int n =
        snprintf(text, sizeof text,
                 "{\"id\":\"%s\",\"kind\":\"%s\",\"occurred\":\"%s\",\"recorded\":\"%s\","
                 "\"signers\":[%s],\"fields\":%s}",
                 l->reference ? l->reference : reference, kind, occurred, recorded, who, fields);
    CHECK(n > 0 && (size_t)n < sizeof text);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    l->now_us += 60000000;
    l->occurred_us = 0;
    l->reference = NULL;
    return simulate_line(&l->s, span_of(text, (size_t)n), &l->why);
}

static inline enum refusal_code life_sayf(struct life *l, const char *kind, const char *signers,
                                          const char *fmt, ...) LEDGER_PRINTF(4, 5);
static inline enum refusal_code life_sayf(struct life *l, const char *kind, const char *signers,
                                          const char *fmt, ...)
{
    static char fields[1 << 16];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(fields, sizeof fields, fmt, ap);
    va_end(ap);
    return life_say(l, kind, signers, fields);
}

#define ACCEPT(l, kind, ...)                                                                       \
    do {                                                                                           \
        if (life_sayf((l), (kind), __VA_ARGS__) != REFUSE_NONE) {                                  \
            fprintf(stderr, "%s:%d: %s refused: %s [%s] (%s) %s\n", __FILE__, __LINE__, (kind),    \
                    refusal_name((l)->why.code), (l)->why.subject, (l)->why.field, (l)->why.text); \
            exit(CHECK_EXIT_FAILED);                                                               \
        }                                                                                          \
    } while (0)
/* Refused with that code; and a refusal always says something. */
#define REFUSE(l, code, kind, ...)                                                                 \
    do {                                                                                           \
        CHECK_EQ_STR(refusal_name(life_sayf((l), (kind), __VA_ARGS__)), refusal_name(code));       \
        CHECK((l)->why.text[0] != '\0');                                                           \
    } while (0)
/* Why the latest event was refused. */
#define WHY(l, what, about)                                                                        \
    do {                                                                                           \
        CHECK_EQ_STR((l)->why.subject, (what));                                                    \
        CHECK_EQ_STR((l)->why.field, (about));                                                     \
    } while (0)

/* Chains that the latest accepted event advanced: "item BAG-1, subject C-1". */
static inline const char *life_touched(const struct life *l)
{
    static char out[4096];
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < l->s.n_touched; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%s %s", i ? ", " : "",
                              chain_type_name(l->s.touched[i].type), l->s.touched[i].id);
    return out;
}
#define TOUCHED(l, expected) CHECK_EQ_STR(life_touched(l), (expected))

/* One party of each role at CPC, two at the hospital, one elsewhere. */
static inline void life_parties(struct life *l)
{
    static const char *const parties[][3] = {
        {"u.consent", "CONSENT_OFFICER", "HOSP"},
        {"u.coll", "COLLECTION", "HOSP"},
        {"u.op", "OPERATOR", "CPC"},
        {"u.wh", "WAREHOUSE", "CPC"},
        {"u.qc", "QC", "CPC"},
        {"u.qa", "QA", "CPC"},
        {"u.qp", "QP", "CPC"},
        {"u.cour", "COURIER", "CARRIER"},
        {"u.h1", "HOSPITAL", "HOSP"},
        {"u.h2", "HOSPITAL", "HOSP"},
        {"u.hx", "HOSPITAL", "OTHER"},
        {"u.auth", "REGULATORY", "AUTH"},
    };
    ACCEPT(l, "PARTY_REGISTERED", "",
           "{'action':'REGISTER','party':'u.admin','roles':['ADMIN'],'org':'AUTH'}");
    for (size_t i = 0; i < sizeof parties / sizeof parties[0]; i++)
        ACCEPT(l, "PARTY_REGISTERED", "u.admin",
               "{'action':'REGISTER','party':'%s','roles':['%s'],'org':'%s'}", parties[i][0],
               parties[i][1], parties[i][2]);
}

static inline void life_coi(struct life *l, const char *coi, const char *use)
{
    ACCEPT(l, "COI_ASSIGNED", "u.consent",
           "{'coi':'%s','subject_commit':'commit of %s','use':'%s'}", coi, coi, use);
    ACCEPT(l, "CONSENT_CHANGED", "u.consent",
           "{'coi':'%s','action':'GIVEN','scopes':['COLLECTION','MANUFACTURE','TREATMENT'],'"
           "document_hash':'d',"
           "'version':'1'}",
           coi);
}

static inline struct life life_begin(void)
{
    struct life l;
    memset(&l, 0, sizeof l);
    simulation_init(&l.s);
    CHECK(time_parse(SPAN_LIT("2026-04-01T00:00:00Z"), &l.now_us));
    life_parties(&l);
    return l;
}

static inline void life_end(struct life *l)
{
    simulation_fini(&l->s);
}

static inline void life_material(struct life *l, const char *item, const char *expiry)
{
    ACCEPT(l, "MATERIAL_RECEIVED", "u.wh",
           "{'item':'%s','gtin':'1','lot':'L','supplier':'S','quantity':100,'uom':'mL','expiry':'%"
           "s','coa_hash':'c',"
           "'origin':'defined'}",
           item, expiry);
}

static inline void life_decide(struct life *l, const char *item, const char *decision)
{
    ACCEPT(l, "QUALITY_DECISION", "u.qa+u.qp",
           "{'item':'%s','decision':'%s','spec_version':'1','reason':'r'}", item, decision);
}

static inline void life_lot(struct life *l, const char *item, const char *more)
{
    ACCEPT(l, "LOT_CREATED", "u.op",
           "{'item':'%s','lot_class':'BATCH','product_code':'P','lot':'L','required_tests':['"
           "viability'],"
           "'spec_version':'1'%s}",
           item, more);
}

static inline void life_consume(struct life *l, const char *item, const char *input,
                                const char *quantity)
{
    ACCEPT(l, "INPUT_CONSUMED", "u.op", "{'item':'%s','input':'%s','quantity':%s,'uom':'mL'}", item,
           input, quantity);
}

static inline void life_derive(struct life *l, const char *item, const char *quantity)
{
    ACCEPT(l, "LOT_DERIVED", "u.op",
           "{'item':'%s','quantity':%s,'uom':'mL','expiry':'2026-12-01T00:00:00Z'}", item,
           quantity);
}

static inline void life_result(struct life *l, const char *item, const char *test,
                               const char *verdict)
{
    ACCEPT(l, "QC_RESULT", "u.qc",
           "{'item':'%s','test':'%s','method':'m','value':'seen','unit':'%%','verdict':'%s','"
           "sample':'s'}",
           item, test, verdict);
}

static inline void life_ship(struct life *l, const char *shipment, const char *items,
                             const char *more)
{
    ACCEPT(l, "SHIPMENT_DISPATCHED", "u.wh",
           "{'shipment':'%s','items':[%s],'to_org':'HOSP','carrier_org':'CARRIER','container':'c','"
           "logger':'LG',"
           "'logger_calibration_due':'2027-01-01T00:00:00Z','min_c':-196,'max_c':-120%s}",
           shipment, items, more);
}

static inline void life_log(struct life *l, const char *shipment, const char *max_c,
                            const char *excursion)
{
    ACCEPT(l, "CONDITION_LOGGED", "u.cour",
           "{'shipment':'%s','logger':'LG','start':'2026-04-01T00:00:00Z','end':'2026-05-01T00:00:"
           "00Z','interval_s':60,"
           "'readings':9,'min_c':-180,'max_c':%s,'mean_c':-170,'raw_hash':'r','excursion':%s}",
           shipment, max_c, excursion);
}

/* Material MED (released), lot LOT of it (100 mL, tested, released), autologous for C-1. */
static inline void life_released_lot(struct life *l)
{
    life_coi(l, "C-1", "AUTOLOGOUS");
    life_material(l, "MED", "2026-12-31T00:00:00Z");
    life_decide(l, "MED", "RELEASE");
    life_lot(l, "LOT", ",'use':'AUTOLOGOUS','coi':'C-1','uom':'mL'");
    life_consume(l, "LOT", "MED", "10");
    life_derive(l, "LOT", "100");
    life_result(l, "LOT", "viability", "PASS");
    life_decide(l, "LOT", "RELEASE");
}

/* Splits units of 10 mL: "'item':…" for each of the names given, joined by the caller as 'A','B'.
 */
static inline void life_split(struct life *l, const char *item, const char *const *units, size_t n)
{
    char list[8192];
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s{'item':'%s','quantity':10}",
                               i ? "," : "", units[i]);
    ACCEPT(l, "LOT_SPLIT", "u.op", "{'item':'%s','units':[%s]}", item, list);
}

/* BAG-1 and BAG-2 of the released lot, at the hospital, with a log. */
static inline void life_bags(struct life *l)
{
    static const char *const bags[] = {"BAG-1", "BAG-2"};
    life_released_lot(l);
    life_split(l, "LOT", bags, 2);
    life_ship(l, "SH-1", "'BAG-1','BAG-2'", "");
    life_log(l, "SH-1", "-150", "false");
    ACCEPT(l, "SHIPMENT_RECEIVED", "u.h1",
           "{'shipment':'SH-1','items':['BAG-1','BAG-2'],'seal_intact':true,'container_condition':'"
           "ok'}");
}

#define GIVE                                                                                       \
    "{'item':'%s','coi':'%s','subject_commit_scanned':'commit of "                                 \
    "%s','dose':10,'uom':'mL','route':'IV','site':'W'%s}"

/* The state of an item now. */
static inline const struct item_state *life_item(struct life *l, const char *id)
{
    struct judge j = simulation_judge(&l->s);
    struct loaded *ld = judge_load(&j, CHAIN_ITEM, span_str(id));
    CHECK(ld && ld->chain.exists);
    return &ld->chain.item;
}

#endif
