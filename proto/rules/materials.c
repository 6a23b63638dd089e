/* SPDX-License-Identifier: Apache-2.0 */
/*
 * materials: where items come from, where they are kept and where they end: MATERIAL_RECEIVED,
 * COLLECTION_PERFORMED, LOT_CREATED, STORAGE_MOVED, LOT_DISPOSED.
 */
#include "rules/ruling.h"

/* The part of a new item that all kinds that make one have in common. */
static struct item_state *make_item(struct ruling *r, struct asked *x, enum item_class klass)
{
    const struct value *expiry = event_get(r->ev, FIELD_EXPIRY);
    struct item_state *s = x->s;
    begin_chain(r, x->ld);
    s->id = event_text(r->ev, FIELD_ITEM);
    s->klass = (uint8_t)klass;
    s->made_index = r->j->index;
    s->born_us = s->arrived_us = r->f.at_us;
    s->uom = event_text(r->ev, FIELD_UOM);
    s->has_expiry = expiry != NULL;
    s->expiry_us = expiry ? expiry->time_us : 0;
    s->holder = acting(r);
    return s;
}

static void require_tests(struct ruling *r)
{
    const struct value *tests = event_get(r->ev, FIELD_REQUIRED_TESTS);
    for (size_t i = 0; tests && i < tests->n; i++)
        append_bytes(r, r->item.ld, ITEM_LOG_REQUIRED, tests->items[i].raw);
}

/* The item enters the subject's list. */
static void add_to_subject(struct ruling *r, struct loaded *subject)
{
    if (!subject || !subject->chain.exists || subject->touched)
        return;
    touch(r, subject);
    append_bytes(r, subject, SUBJECT_LOG_ITEMS, r->item.s->id);
}

/* ---- MATERIAL_RECEIVED ---- */

bool check_material(struct ruling *r)
{
    if (!ask_new(&r->f, event_text(r->ev, FIELD_ITEM), "item", &r->item))
        return false;
    if (field_time(r->ev, FIELD_EXPIRY) < r->f.at_us)
        return deny(r, E_EXPIRED, r->item.subject, "expiry",
                    "the material had expired when it was received, at %s",
                    facts_time(&r->f, field_time(r->ev, FIELD_EXPIRY)));
    return true;
}

void effect_material(struct ruling *r)
{
    struct item_state *s = make_item(r, &r->item, ITEM_MATERIAL);
    s->available = field_number(r->ev, FIELD_QUANTITY);
    require_tests(r);
}

/* ---- COLLECTION_PERFORMED ---- */

bool check_collection(struct ruling *r)
{
    struct span coi = event_text(r->ev, FIELD_COI);
    const char *subject = facts_text(&r->f, "subject %.*s", SPAN_FMT(coi));
    if (!ask_new(&r->f, event_text(r->ev, FIELD_ITEM), "item", &r->item) ||
        !find_subject(r, coi, &r->chain))
        return false;
    if (!r->chain->chain.exists)
        return deny(r, E_UNKNOWN_ITEM, subject, "coi", "%.*s is not assigned; assign it first",
                    SPAN_FMT(coi));
    if (!ask_consent(&r->f, &r->chain->chain.subject, SCOPE_COLLECTION, "coi"))
        return false;
    if (event_enum(r->ev, FIELD_USE) != r->chain->chain.subject.use)
        return deny(r, E_COI_MISMATCH, subject, "use", "%.*s was assigned for the other use",
                    SPAN_FMT(coi));
    return true;
}

void effect_collection(struct ruling *r)
{
    struct item_state *s = make_item(r, &r->item, ITEM_STARTING);
    s->use = (uint8_t)event_enum(r->ev, FIELD_USE);
    s->coi = event_text(r->ev, FIELD_COI);
    s->available = field_number(r->ev, FIELD_QUANTITY);
    add_to_subject(r, r->chain);
}

/* ---- LOT_CREATED ---- */

/* Finds the lot's specification: member number + 1, or 0 when the product has none at all. */
static bool find_specification(struct ruling *r, uint64_t *member)
{
    struct span code = event_text(r->ev, FIELD_PRODUCT_CODE),
                wanted = event_text(r->ev, FIELD_SPEC_VERSION);
    struct loaded *product = judge_load(r->j, CHAIN_PRODUCT, code);
    if (!product || !find_version(r->j, &product->chain, wanted, member))
        return false;
    if (*member > 0 || !product->chain.exists)
        return true;
    return deny(r, E_UNKNOWN_ITEM, facts_text(&r->f, "product %.*s", SPAN_FMT(code)),
                "spec_version", "product %.*s has specifications, but no version \"%.*s\"",
                SPAN_FMT(code), SPAN_FMT(wanted));
}

static bool check_lot_coi(struct ruling *r, enum field_name field, bool must, struct loaded **out)
{
    struct span coi = event_text(r->ev, field);
    const char *name = field == FIELD_COI ? "coi" : "for_coi";
    if (coi.n == 0)
        return !must || deny(r, E_COI_MISMATCH, r->item.subject, name,
                             "an autologous lot needs a chain of identity");
    if (!find_subject(r, coi, out))
        return false;
    if (must && !(*out)->chain.exists)
        return deny(r, E_COI_MISMATCH, facts_text(&r->f, "subject %.*s", SPAN_FMT(coi)), name,
                    "%.*s is not assigned; assign it first", SPAN_FMT(coi));
    return true;
}

bool check_lot(struct ruling *r)
{
    const struct event *ev = r->ev;
    if (!ask_new(&r->f, event_text(ev, FIELD_ITEM), "item", &r->item))
        return false;
    if (!find_specification(r, &r->spec_member))
        return false;
    if (!check_lot_coi(r, FIELD_COI, event_enum(ev, FIELD_USE) == USE_AUTOLOGOUS, &r->chain) ||
        !check_lot_coi(r, FIELD_FOR_COI, event_text(ev, FIELD_FOR_COI).n > 0, &r->second))
        return false;
    if (event_true(ev, FIELD_GMO) && event_text(ev, FIELD_CARTAGENA_REF).n == 0)
        return deny(r, E_CARTAGENA, r->item.subject, "cartagena_ref",
                    "a genetically modified lot needs the reference of its Cartagena approval");
    return true;
}

void effect_lot(struct ruling *r)
{
    static const uint8_t classes[] = {[LOT_BANK] = ITEM_BANK,
                                      [LOT_BATCH] = ITEM_BATCH,
                                      [LOT_VECTOR] = ITEM_VECTOR,
                                      [LOT_PLASMID] = ITEM_PLASMID};
    struct item_state *s = make_item(r, &r->item, classes[event_enum(r->ev, FIELD_LOT_CLASS)]);
    s->use = (uint8_t)event_enum(r->ev, FIELD_USE);
    s->gmo = event_true(r->ev, FIELD_GMO);
    s->coi = event_text(r->ev, FIELD_COI);
    s->for_coi = event_text(r->ev, FIELD_FOR_COI);
    s->product_code = event_text(r->ev, FIELD_PRODUCT_CODE);
    s->spec_member = r->spec_member;
    require_tests(r);
    add_to_subject(r, r->chain);
    add_to_subject(r, r->second);
}

/* ---- STORAGE_MOVED ---- */

bool check_moved(struct ruling *r)
{
    return find_item(r, FIELD_ITEM, &r->item) && ask_born(&r->f, &r->item) &&
           ask_live(&r->f, &r->item) && ask_here(&r->f, &r->item);
}

void effect_moved(struct ruling *r)
{
    touch(r, r->item.ld);
    r->item.s->location = event_text(r->ev, FIELD_LOCATION);
}

/* ---- LOT_DISPOSED ---- */

static bool check_lost(struct ruling *r, struct span shipment)
{
    r->chain = judge_load(r->j, CHAIN_SHIPMENT, shipment);
    if (!r->chain)
        return false;
    if (!span_eq(r->item.s->shipment, shipment) || !r->chain->chain.exists)
        return deny(r, E_NOT_IN_SHIPMENT, r->item.subject, "lost_shipment",
                    "%.*s is not in shipment %.*s", SPAN_FMT(r->item.s->id), SPAN_FMT(shipment));
    if (!span_eq(r->chain->chain.shipment.from_org, acting(r)))
        return deny(r, E_NOT_IN_SHIPMENT, facts_text(&r->f, "shipment %.*s", SPAN_FMT(shipment)),
                    "lost_shipment",
                    "shipment %.*s was dispatched by %.*s, which alone can declare its items lost",
                    SPAN_FMT(shipment), SPAN_FMT(r->chain->chain.shipment.from_org));
    return true;
}

bool check_disposed(struct ruling *r)
{
    const struct event *ev = r->ev;
    struct span lost = event_text(ev, FIELD_LOST_SHIPMENT);
    if (!find_item(r, FIELD_ITEM, &r->item) || !ask_born(&r->f, &r->item) ||
        !ask_live(&r->f, &r->item))
        return false;
    if (lost.n > 0 ? !check_lost(r, lost) : !ask_here(&r->f, &r->item))
        return false;
    if (r->item.s->gmo && lost.n == 0 && event_text(ev, FIELD_GMO_INACTIVATION).n == 0)
        return deny(r, E_CARTAGENA, r->item.subject, "gmo_inactivation",
                    "a genetically modified item is disposed of with a record of its inactivation");
    if (!event_get(ev, FIELD_QUANTITY))
        return true;
    if (event_text(ev, FIELD_UOM).n == 0)
        return deny(r, E_MISSING_FIELD, r->item.subject, "uom",
                    "a quantity needs its unit of measure");
    return ask_take(&r->f, &r->item, field_number(ev, FIELD_QUANTITY), event_text(ev, FIELD_UOM),
                    "quantity");
}

void effect_disposed(struct ruling *r)
{
    struct item_state *s = r->item.s;
    dec_t took = field_number(r->ev, FIELD_QUANTITY);
    touch(r, r->item.ld);
    if (r->chain)
        touch(r, r->chain);
    s->available -= took;
    if (event_get(r->ev, FIELD_QUANTITY) && s->available > 0)
        return;
    s->terminal = TERMINAL_DISPOSED;
    s->terminal_index = r->j->index;
    s->terminal_took = took;
    if (r->chain)
        s->shipment = SPAN_NONE;
}
