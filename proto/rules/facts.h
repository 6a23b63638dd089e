/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts: the questions that the rules' checks ask about an item, each written once for the judge
 * and for standing.h. Whatever stands against an item is an *objection*: the judge's sink keeps the
 * first one and stops there, standing's sink collects all of them and goes on.
 *
 * Every question returns whether to go on. False means: the sink said stop, or j->rc is set (a
 * store error; then nothing that was found means anything). Facts are looked up when asked and
 * never copied to descendants. Terms: family.h. Pure; memory comes from the judgement's arena.
 */
#ifndef LEDGERD_PROTO_RULES_FACTS_H
#define LEDGERD_PROTO_RULES_FACTS_H

#include "rules/family.h"

#include "refusal.h"

struct facts {
    struct judge *j;
    struct family family;
    int64_t at_us;   /* occurred time of the event, or the instant that standing asks about */
    struct span org; /* acting organisation; absent: custody is not asked */
    bool (*object_cb)(void *ctx, const struct refusal *r); /* whether to go on */
    void *object_ctx;
};

/* An item that an event names. */
struct asked {
    struct loaded *ld;
    struct item_state *s; /* &ld->chain.item */
    struct node *node;
    const char *subject; /* "item BAG-1" */
    const char *field;   /* the field that named it */
};

bool facts_init(struct facts *f, struct judge *j) LEDGER_MUST_USE;
/* Tells the sink. Also false, without telling, if j->rc is set. */
bool facts_object(struct facts *f, enum refusal_code code, const char *subject, const char *field,
                  const char *fmt, ...) LEDGER_PRINTF(5, 6);
/* printf into the judgement's arena; never NULL ("" when over the budget, and j->rc is set). */
const char *facts_text(struct facts *f, const char *fmt, ...) LEDGER_PRINTF(2, 3);
/* A time as text, in the arena. */
const char *facts_time(struct facts *f, int64_t us);

/* exists — E_UNKNOWN_ITEM. Fills *out; false if there is no such item, whatever the sink said. */
bool ask_exists(struct facts *f, struct span id, const char *field,
                struct asked *out) LEDGER_MUST_USE;
/* new — E_DUP_ITEM. Fills out->ld with the empty chain. */
bool ask_new(struct facts *f, struct span id, const char *field, struct asked *out) LEDGER_MUST_USE;
bool ask_born(struct facts *f, const struct asked *x) LEDGER_MUST_USE;
bool ask_live(struct facts *f, const struct asked *x) LEDGER_MUST_USE;

enum clear_except {
    CLEAR_ALL = 0,
    EXCEPT_QUARANTINE = 1,
    EXCEPT_DEVIATION = 2,
    EXCEPT_EXCURSION = 4
};
bool ask_clear(struct facts *f, const struct asked *x, unsigned except) LEDGER_MUST_USE;
/* No member of the lineage is rejected — E_REJECTED (asked by a RELEASE). */
bool ask_lineage_conforms(struct facts *f, const struct asked *x) LEDGER_MUST_USE;
bool ask_released(struct facts *f, const struct asked *x) LEDGER_MUST_USE;
bool ask_unexpired(struct facts *f, const struct asked *x) LEDGER_MUST_USE;
bool ask_here(struct facts *f, const struct asked *x) LEDGER_MUST_USE;
/* take q of u; `field` is the quantity's field, "uom" is the unit's. */
bool ask_take(struct facts *f, const struct asked *x, dec_t q, struct span uom,
              const char *field) LEDGER_MUST_USE;
/* Every required test of the split line has an outcome (E_QC_INCOMPLETE), and no test is FAIL
 * (E_QC_FAILED). */
bool ask_tests(struct facts *f, const struct asked *x) LEDGER_MUST_USE;
/* consent(coi, scope). The subject exists. */
bool ask_consent(struct facts *f, const struct subject_state *s, enum consent_scope scope,
                 const char *field) LEDGER_MUST_USE;

/* Plain look-ups; false with j->rc set on an error. */
bool facts_top(struct facts *f, struct node *x, struct node **top) LEDGER_MUST_USE;
/* The outcome of a test in force for x: the latest of the nearest member of the split line that has
 * one. */
bool facts_in_force(struct facts *f, struct node *x, struct span test,
                    const struct outcome **out) LEDGER_MUST_USE;
/* Is `id` a member of x's lineage? */
bool facts_in_lineage(struct facts *f, struct node *x, const struct node *member,
                      bool *in) LEDGER_MUST_USE;
/* Is the item with this id on x's split line? */
bool facts_on_line(struct facts *f, struct node *x, struct span id, bool *on) LEDGER_MUST_USE;
/* A test of a specification, or NULL. */
const struct spec_test *spec_find(const struct spec_version *v, struct span test);
/* The place + 1 of a version in a product's log of versions; 0 if there is none. */
bool find_version(struct judge *j, const struct chain *product, struct span version,
                  uint64_t *member) LEDGER_MUST_USE;
struct loaded *load_case(struct judge *j, enum case_type t, struct span id);

#endif
