/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ruling: what the checks and the effects of one kind share while one event is judged, and the
 * table that names them. A check changes nothing and returns false at the first failure, with the
 * refusal told or j->rc set; it leaves what it found in the ruling for the effect. An effect
 * changes loaded chains; it cannot refuse, only set j->rc. One file per family of kinds implements
 * them.
 */
#ifndef LEDGERD_PROTO_RULES_RULING_H
#define LEDGERD_PROTO_RULES_RULING_H

#include "event.h"
#include "rules/facts.h"

struct ruling {
    struct judge *j;
    const struct event *ev;
    struct refusal *why;
    struct facts f;
    const struct signer *signers;
    unsigned n_signers;
    const struct party_state *party[SIGNATURES_MAX]; /* of the signers */
    /* What the check found, for the effect. Which of them a kind uses, its check says. */
    struct asked item, input;
    struct asked *items;
    size_t n_items;
    struct loaded *chain,
        *second; /* subject, shipment, case, product, party; and a second one of them */
    const struct spec_test *limit;
    uint64_t spec_member; /* LOT_CREATED */
    struct event target;  /* EVENT_CORRECTED */
    struct hash target_id; /* over the wire */
    uint64_t target_index;
    /* Chains that the event advances, in the order of the rules' table. */
    struct loaded **touched;
    size_t n_touched, cap_touched;
};

struct kind_rules {
    bool (*check)(struct ruling *r);
    void (*effect)(struct ruling *r);
};
/* NULL if the kind is none of the 25. */
const struct kind_rules *kind_rules(enum event_kind kind);

/* Refuses; returns false. */
bool deny(struct ruling *r, enum refusal_code code, const char *subject, const char *field,
          const char *fmt, ...) LEDGER_PRINTF(5, 6);

/* Finds the item that a field of the event names, which must exist. */
bool find_item(struct ruling *r, enum field_name field, struct asked *out) LEDGER_MUST_USE;
/* Fills r->items from a list of ids: each exists. With `distinct`, no two are the same (else
 * `twice`). */
bool find_items(struct ruling *r, const struct value *list, const char *field) LEDGER_MUST_USE;
bool items_distinct(struct ruling *r, const struct value *list, const char *field,
                    enum refusal_code code) LEDGER_MUST_USE;
/* The chain of a coi; in *out, which may lack `exists`. False only on an error. */
bool find_subject(struct ruling *r, struct span coi, struct loaded **out) LEDGER_MUST_USE;
/* "items[3]" in the judgement's arena. */
const char *nth(struct ruling *r, const char *list, size_t i, const char *member);

/* The event advances this chain; asking twice is the same as once. */
void touch(struct ruling *r, struct loaded *ld);
/* Starts the chain of something new: zero state, id set by the caller, touched. */
void begin_chain(struct ruling *r, struct loaded *ld);

/* Appends to a log of a touched chain. */
void append_bytes(struct ruling *r, struct loaded *ld, unsigned log, struct span bytes);
void append_edge(struct ruling *r, struct loaded *ld, unsigned log, struct span item,
                 dec_t quantity, struct span uom);
void append_fact(struct ruling *r, struct loaded *ld, const struct excursion_fact *fact);
void append_outcome(struct ruling *r, struct loaded *ld, const struct outcome *o);
void append_correction(struct ruling *r, struct loaded *ld, const struct correction *x);

/* Shorthands for fields of the event. */
static inline int64_t field_time(const struct event *ev, enum field_name name)
{
    const struct value *v = event_get(ev, name);
    return v ? v->time_us : 0;
}
static inline dec_t field_number(const struct event *ev, enum field_name name)
{
    const struct value *v = event_get(ev, name);
    return v ? v->num : 0;
}
/* The acting organisation. */
static inline struct span acting(const struct ruling *r)
{
    return r->f.org;
}

/* Judges a number against limits; a missing one is no bound. */
struct limits {
    bool has_low, has_high;
    dec_t low, high;
};
struct limits limits_of(const struct spec_test *spec, const struct event *result);
static inline bool within(const struct limits *l, dec_t v)
{
    return (!l->has_low || v >= l->low) && (!l->has_high || v <= l->high);
}

/* parties.c, materials.c, lots.c, quality.c, transport.c, conditions.c, clinical.c, corrections.c
 */
bool check_party(struct ruling *r);
void effect_party(struct ruling *r);
bool check_coi(struct ruling *r);
void effect_coi(struct ruling *r);
bool check_consent(struct ruling *r);
void effect_consent(struct ruling *r);
bool check_material(struct ruling *r);
void effect_material(struct ruling *r);
bool check_collection(struct ruling *r);
void effect_collection(struct ruling *r);
bool check_specification(struct ruling *r);
void effect_specification(struct ruling *r);
bool check_lot(struct ruling *r);
void effect_lot(struct ruling *r);
bool check_step(struct ruling *r);
void effect_step(struct ruling *r);
bool check_consumed(struct ruling *r);
void effect_consumed(struct ruling *r);
bool check_derived(struct ruling *r);
void effect_derived(struct ruling *r);
bool check_split(struct ruling *r);
void effect_split(struct ruling *r);
bool check_result(struct ruling *r);
void effect_result(struct ruling *r);
bool check_deviation(struct ruling *r);
void effect_deviation(struct ruling *r);
bool check_decision(struct ruling *r);
void effect_decision(struct ruling *r);
bool check_moved(struct ruling *r);
void effect_moved(struct ruling *r);
bool check_dispatched(struct ruling *r);
void effect_dispatched(struct ruling *r);
bool check_handover(struct ruling *r);
void effect_handover(struct ruling *r);
bool check_received(struct ruling *r);
void effect_received(struct ruling *r);
bool check_logged(struct ruling *r);
void effect_logged(struct ruling *r);
bool check_assessed(struct ruling *r);
void effect_assessed(struct ruling *r);
bool check_administered(struct ruling *r);
void effect_administered(struct ruling *r);
bool check_adverse(struct ruling *r);
void effect_adverse(struct ruling *r);
bool check_recall(struct ruling *r);
void effect_recall(struct ruling *r);
bool check_corrected(struct ruling *r);
void effect_corrected(struct ruling *r);
bool check_disposed(struct ruling *r);
void effect_disposed(struct ruling *r);

/* Excursions, shared by receipts and logs (conditions.c). `items` are the ones that it names now.
 */
void open_excursion(struct ruling *r, struct loaded *ld, struct span id,
                    const struct case_state *as, const struct asked *items, size_t n);

#endif
