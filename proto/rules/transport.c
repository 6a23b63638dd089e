/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport: shipments from dispatch to receipt: SHIPMENT_DISPATCHED, CUSTODY_TRANSFERRED,
 * SHIPMENT_RECEIVED. A receipt without a log, or with a broken seal, opens an excursion of its own.
 */
#include "rules/ruling.h"

static const char *shipment_name(struct ruling *r, struct span id)
{
    return facts_text(&r->f, "shipment %.*s", SPAN_FMT(id));
}

/* ---- SHIPMENT_DISPATCHED ---- */

static bool check_fit_to_ship(struct ruling *r, const struct asked *x)
{
    struct facts *f = &r->f;
    struct node *top;
    bool under_quarantine = event_true(r->ev, FIELD_UNDER_QUARANTINE);
    if (!ask_clear(f, x, under_quarantine ? EXCEPT_QUARANTINE : CLEAR_ALL) ||
        !facts_top(f, x->node, &top))
        return false;
    if (under_quarantine || top->klass == ITEM_STARTING)
        return true;
    return ask_released(f, x) && ask_unexpired(f, x);
}

bool check_dispatched(struct ruling *r)
{
    const struct event *ev = r->ev;
    const struct value *items = event_get(ev, FIELD_ITEMS);
    struct span id = event_text(ev, FIELD_SHIPMENT);
    bool returned = event_text(ev, FIELD_RETURN_REASON).n > 0;
    r->chain = judge_load(r->j, CHAIN_SHIPMENT, id);
    if (!r->chain)
        return false;
    if (r->chain->chain.exists)
        return deny(r, E_DUP_ITEM, shipment_name(r, id), "shipment",
                    "%.*s is already a shipment; an identifier is never used twice", SPAN_FMT(id));
    if (!find_items(r, items, "items") || !items_distinct(r, items, "items", E_DUP_ITEM))
        return false;
    if (field_time(ev, FIELD_LOGGER_CALIBRATION_DUE) < r->f.at_us)
        return deny(
            r, E_LOGGER_CALIBRATION, shipment_name(r, id), "logger_calibration_due",
            "the calibration of logger \"%.*s\" was due before the dispatch; take another logger",
            SPAN_FMT(event_text(ev, FIELD_LOGGER)));
    for (size_t i = 0; i < r->n_items; i++) {
        const struct asked *x = &r->items[i];
        if (!ask_born(&r->f, x) || !ask_live(&r->f, x) || (!returned && !check_fit_to_ship(r, x)) ||
            !ask_here(&r->f, x))
            return false;
    }
    return true;
}

void effect_dispatched(struct ruling *r)
{
    const struct event *ev = r->ev;
    struct shipment_state *s = &r->chain->chain.shipment;
    begin_chain(r, r->chain);
    s->id = event_text(ev, FIELD_SHIPMENT);
    s->from_org = acting(r);
    s->to_org = event_text(ev, FIELD_TO_ORG);
    s->logger = event_text(ev, FIELD_LOGGER);
    s->min_c = field_number(ev, FIELD_MIN_C);
    s->max_c = field_number(ev, FIELD_MAX_C);
    s->dispatched_us = s->handover_us = r->f.at_us;
    s->remaining = (uint32_t)r->n_items;
    s->is_return = event_text(ev, FIELD_RETURN_REASON).n > 0;
    for (size_t i = 0; i < r->n_items; i++) {
        touch(r, r->items[i].ld);
        r->items[i].s->shipment = s->id;
        append_bytes(r, r->chain, SHIPMENT_LOG_ITEMS, r->items[i].s->id);
    }
}

/* ---- CUSTODY_TRANSFERRED ---- */

static bool find_shipment(struct ruling *r, struct span id)
{
    r->chain = judge_load(r->j, CHAIN_SHIPMENT, id);
    if (!r->chain)
        return false;
    return r->chain->chain.exists || deny(r, E_NOT_IN_SHIPMENT, shipment_name(r, id), "shipment",
                                          "shipment %.*s was never dispatched", SPAN_FMT(id));
}

static bool check_after_handover(struct ruling *r, struct span id)
{
    int64_t last = r->chain->chain.shipment.handover_us;
    if (r->f.at_us >= last)
        return true;
    return deny(r, E_TIME_ORDER, shipment_name(r, id), "occurred",
                "dated %s, before the last hand-over at %s", facts_time(&r->f, r->f.at_us),
                facts_time(&r->f, last));
}

bool check_handover(struct ruling *r)
{
    struct span id = event_text(r->ev, FIELD_SHIPMENT);
    if (!find_shipment(r, id))
        return false;
    if (r->chain->chain.shipment.remaining == 0)
        return deny(r, E_NOT_IN_SHIPMENT, shipment_name(r, id), "shipment",
                    "everything in shipment %.*s was received", SPAN_FMT(id));
    return check_after_handover(r, id);
}

void effect_handover(struct ruling *r)
{
    touch(r, r->chain);
    r->chain->chain.shipment.handover_us = r->f.at_us;
}

/* ---- SHIPMENT_RECEIVED ---- */

/* Not find_items: here an unknown item is one that is not in the shipment. */
static bool find_received(struct ruling *r, const struct value *items, struct span shipment)
{
    struct facts *f = &r->f;
    r->n_items = items->n;
    r->items = arena_alloc(r->j->a, (items->n + 1) * sizeof *r->items);
    if (!r->items) {
        r->j->rc = ledger_fail(&r->j->err, LEDGER_ENOMEM, "judging: over the memory budget");
        return false;
    }
    for (size_t i = 0; i < items->n; i++) {
        struct asked *x = &r->items[i];
        struct span id = items->items[i].raw;
        x->field = nth(r, "items", i, NULL);
        x->subject = facts_text(f, "item %.*s", SPAN_FMT(id));
        x->ld = judge_load(r->j, CHAIN_ITEM, id);
        if (!x->ld)
            return false;
        x->s = &x->ld->chain.item;
        if (!x->ld->chain.exists || !span_eq(x->s->shipment, shipment))
            return deny(r, E_NOT_IN_SHIPMENT, x->subject, x->field,
                        "%.*s is not in shipment %.*s, or was received before", SPAN_FMT(id),
                        SPAN_FMT(shipment));
    }
    return true;
}

bool check_received(struct ruling *r)
{
    const struct value *items = event_get(r->ev, FIELD_ITEMS);
    struct span id = event_text(r->ev, FIELD_SHIPMENT);
    if (!find_shipment(r, id) || !items_distinct(r, items, "items", E_NOT_IN_SHIPMENT) ||
        !find_received(r, items, id) || !check_after_handover(r, id))
        return false;
    const struct shipment_state *s = &r->chain->chain.shipment;
    bool returned = event_true(r->ev, FIELD_RETURNED);
    struct span by = returned ? s->from_org : s->to_org;
    if (span_eq(by, acting(r)))
        return true;
    return deny(r, E_CUSTODY, shipment_name(r, id), returned ? "returned" : "shipment",
                "shipment %.*s %s %.*s, not to %.*s", SPAN_FMT(id),
                returned ? "returns to" : "goes to", SPAN_FMT(by), SPAN_FMT(acting(r)));
}

/* NOLOG:<shipment> or SEAL:<shipment>: opens, or names these items too if it is open. */
static void open_for_receipt(struct ruling *r, const char *prefix)
{
    const struct shipment_state *s = &r->chain->chain.shipment;
    struct wbuf w;
    wbuf_init(&w, r->j->a);
    wbuf_bytes(&w, prefix, span_str(prefix).n);
    wbuf_bytes(&w, s->id.p, s->id.n);
    struct span id = wbuf_span(&w);
    struct loaded *ld = load_case(r->j, CASE_EXCURSION, id);
    struct case_state as = {.shipment = s->id};
    if (ld)
        open_excursion(r, ld, id, &as, r->items, r->n_items);
}

void effect_received(struct ruling *r)
{
    struct shipment_state *s = &r->chain->chain.shipment;
    const struct value *seal = event_get(r->ev, FIELD_SEAL_INTACT);
    touch(r, r->chain);
    for (size_t i = 0; i < r->n_items; i++) {
        struct item_state *item = r->items[i].s;
        touch(r, r->items[i].ld);
        item->holder = acting(r);
        item->arrived_us = r->f.at_us;
        item->shipment = SPAN_NONE;
        s->remaining--;
    }
    if (!s->has_log)
        open_for_receipt(r, "NOLOG:");
    if (!seal->b)
        open_for_receipt(r, "SEAL:");
}
