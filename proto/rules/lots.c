/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lots: making one thing from another: PROCESS_STEP, INPUT_CONSUMED, LOT_DERIVED, LOT_SPLIT. Edges
 * of the genealogy are written on both ends, so that either chain alone proves them.
 */
#include "rules/ruling.h"

#define MAY_BE_HELD (EXCEPT_QUARANTINE | EXCEPT_DEVIATION | EXCEPT_EXCURSION)

/* ---- PROCESS_STEP ---- */

bool check_step(struct ruling *r)
{
    return find_item(r, FIELD_ITEM, &r->item) && ask_born(&r->f, &r->item) &&
           ask_live(&r->f, &r->item) && ask_clear(&r->f, &r->item, MAY_BE_HELD) &&
           ask_here(&r->f, &r->item);
}

void effect_step(struct ruling *r)
{
    touch(r, r->item.ld);
}

/* ---- INPUT_CONSUMED ---- */

static bool check_cycle(struct ruling *r)
{
    bool in;
    if (!facts_in_lineage(&r->f, r->input.node, r->item.node, &in))
        return false;
    if (!in)
        return true;
    return deny(r, E_CYCLE, r->item.subject, "input",
                "%.*s itself came from %.*s; nothing can go into its own origin",
                SPAN_FMT(r->input.s->id), SPAN_FMT(r->item.s->id));
}

static bool check_donor(struct ruling *r)
{
    struct node *top;
    struct loaded *subject;
    if (!facts_top(&r->f, r->input.node, &top))
        return false;
    if (top->klass == ITEM_STARTING) {
        if (!find_subject(r, top->coi, &subject) ||
            !ask_consent(&r->f, &subject->chain.subject, SCOPE_MANUFACTURE, "input"))
            return false;
    }
    if (r->input.s->use != USE_AUTOLOGOUS)
        return true;
    if (r->item.s->use == USE_AUTOLOGOUS && span_eq(r->item.s->coi, r->input.s->coi))
        return true;
    return deny(r, E_COI_MISMATCH, r->item.subject, "input",
                "%.*s is autologous material of %.*s; it goes only into an autologous lot of the "
                "same patient",
                SPAN_FMT(r->input.s->id), SPAN_FMT(r->input.s->coi));
}

bool check_consumed(struct ruling *r)
{
    struct facts *f = &r->f;
    return find_item(r, FIELD_ITEM, &r->item) && find_item(r, FIELD_INPUT, &r->input) &&
           check_cycle(r) && ask_born(f, &r->item) && ask_born(f, &r->input) &&
           ask_live(f, &r->item) && ask_live(f, &r->input) && check_donor(r) &&
           ask_clear(f, &r->item, MAY_BE_HELD) && ask_clear(f, &r->input, CLEAR_ALL) &&
           ask_released(f, &r->input) && ask_unexpired(f, &r->input) && ask_here(f, &r->input) &&
           ask_here(f, &r->item) &&
           ask_take(f, &r->input, field_number(r->ev, FIELD_QUANTITY), event_text(r->ev, FIELD_UOM),
                    "quantity");
}

void effect_consumed(struct ruling *r)
{
    dec_t q = field_number(r->ev, FIELD_QUANTITY);
    struct span uom = event_text(r->ev, FIELD_UOM);
    touch(r, r->item.ld);
    touch(r, r->input.ld);
    append_edge(r, r->item.ld, ITEM_LOG_INPUTS, r->input.s->id, q, uom);
    append_edge(r, r->input.ld, ITEM_LOG_USES, r->item.s->id, q, uom);
    r->input.s->available -= q;
    r->item.s->last_input = r->j->index;
}

/* ---- LOT_DERIVED ---- */

bool check_derived(struct ruling *r)
{
    struct facts *f = &r->f;
    struct span uom = event_text(r->ev, FIELD_UOM);
    if (!find_item(r, FIELD_ITEM, &r->item) || !ask_born(f, &r->item) || !ask_live(f, &r->item) ||
        !ask_clear(f, &r->item, EXCEPT_DEVIATION) || !ask_here(f, &r->item))
        return false;
    const struct item_state *s = r->item.s;
    if (s->uom.n > 0 && !span_eq(s->uom, uom))
        return deny(r, E_UOM, r->item.subject, "uom",
                    "%.*s is measured in \"%.*s\", not in \"%.*s\"", SPAN_FMT(s->id),
                    SPAN_FMT(s->uom), SPAN_FMT(uom));
    if (s->last_input == 0)
        return deny(r, E_NO_INPUT, r->item.subject, "item",
                    "nothing was consumed into %.*s; record its inputs first", SPAN_FMT(s->id));
    return true;
}

void effect_derived(struct ruling *r)
{
    struct item_state *s = r->item.s;
    int64_t expiry = field_time(r->ev, FIELD_EXPIRY);
    touch(r, r->item.ld);
    s->available += field_number(r->ev, FIELD_QUANTITY);
    s->uom = event_text(r->ev, FIELD_UOM);
    if (!s->derived || !s->has_expiry || expiry < s->expiry_us)
        s->expiry_us = expiry;
    s->has_expiry = s->derived = true;
    s->last_derived = r->j->index;
}

/* ---- LOT_SPLIT ---- */

/* A member of unit i, by its place in the record: 0 item, 1 quantity. */
static const struct value *unit_member(const struct value *units, size_t i, size_t member)
{
    return &units->items[i].items[member];
}
#define UNIT_ITEM 0
#define UNIT_QUANTITY 1

static bool check_units_new(struct ruling *r, const struct value *units)
{
    for (size_t i = 0; i < units->n; i++) {
        struct span id = unit_member(units, i, UNIT_ITEM)->raw;
        for (size_t k = 0; k < i; k++)
            if (span_eq(id, unit_member(units, k, UNIT_ITEM)->raw))
                return deny(r, E_DUP_ITEM, facts_text(&r->f, "item %.*s", SPAN_FMT(id)),
                            nth(r, "units", i, "item"), "%.*s is listed twice", SPAN_FMT(id));
    }
    r->n_items = units->n;
    r->items = arena_alloc(r->j->a, (units->n + 1) * sizeof *r->items);
    if (!r->items) {
        r->j->rc = ledger_fail(&r->j->err, LEDGER_ENOMEM, "judging: over the memory budget");
        return false;
    }
    for (size_t i = 0; i < units->n; i++)
        if (!ask_new(&r->f, unit_member(units, i, UNIT_ITEM)->raw, nth(r, "units", i, "item"),
                     &r->items[i]))
            return false;
    return true;
}

static bool check_sum(struct ruling *r, const struct value *units)
{
    char sum_text[DEC_TEXT_MAX], available[DEC_TEXT_MAX];
    dec_t sum = 0;
    for (size_t i = 0; i < units->n; i++) {
        dec_t q = unit_member(units, i, UNIT_QUANTITY)->num;
        if (q <= 0)
            return deny(r, E_SPLIT_SUM, r->item.subject, nth(r, "units", i, "quantity"),
                        "the quantity of a unit is above 0");
        sum += q;
    }
    if (sum <= r->item.s->available)
        return true;
    decimal_format(sum, sum_text);
    decimal_format(r->item.s->available, available);
    return deny(r, E_SPLIT_SUM, r->item.subject, "units",
                "the units hold %s together, but %s is available of %.*s", sum_text, available,
                SPAN_FMT(r->item.s->id));
}

bool check_split(struct ruling *r)
{
    const struct value *units = event_get(r->ev, FIELD_UNITS);
    struct facts *f = &r->f;
    return find_item(r, FIELD_ITEM, &r->item) && check_units_new(r, units) &&
           ask_born(f, &r->item) && ask_live(f, &r->item) &&
           ask_clear(f, &r->item, EXCEPT_DEVIATION) && ask_here(f, &r->item) && check_sum(r, units);
}

static void make_unit(struct ruling *r, const struct asked *x, struct span id, dec_t quantity)
{
    const struct item_state *parent = r->item.s;
    struct item_state *s = x->s;
    begin_chain(r, x->ld);
    s->id = id;
    s->klass = ITEM_UNIT;
    s->use = parent->use;
    s->gmo = parent->gmo;
    s->made_index = r->j->index;
    s->born_us = s->arrived_us = r->f.at_us;
    s->parent = parent->id;
    s->coi = parent->coi;
    s->for_coi = parent->for_coi;
    s->uom = parent->uom;
    s->available = quantity;
    s->has_expiry = parent->has_expiry;
    s->expiry_us = parent->expiry_us;
    s->holder = acting(r);
}

void effect_split(struct ruling *r)
{
    const struct value *units = event_get(r->ev, FIELD_UNITS);
    touch(r, r->item.ld);
    for (size_t i = 0; i < units->n; i++) {
        struct span id = unit_member(units, i, UNIT_ITEM)->raw;
        dec_t q = unit_member(units, i, UNIT_QUANTITY)->num;
        make_unit(r, &r->items[i], id, q);
        append_edge(r, r->item.ld, ITEM_LOG_UNITS, id, q, r->item.s->uom);
        r->item.s->available -= q;
    }
}
