/* SPDX-License-Identifier: Apache-2.0 */
/* related: one table of the fields that name chains, and the few lists that do (related.h). */
#include "related.h"

#include <string.h>

#define CASE_ID_EXCURSION "excursion/"

static enum ledger_rc add(const struct related *r, enum chain_type type, const char *prefix, struct span id)
{
    struct wbuf w;
    if (id.n == 0)
        return LEDGER_OK;
    if (!prefix[0])
        return r->add(r->ctx, type, id);
    wbuf_init(&w, r->a);
    wbuf_bytes(&w, prefix, strlen(prefix));
    wbuf_bytes(&w, id.p, id.n);
    return w.failed ? LEDGER_ENOMEM : r->add(r->ctx, type, wbuf_span(&w));
}

enum ledger_rc related_of_item(const struct related *r, const struct item_state *s)
{
    const struct {
        enum chain_type type;
        struct span id;
    } named[] = {{CHAIN_SUBJECT, s->coi}, {CHAIN_SUBJECT, s->for_coi}, {CHAIN_SUBJECT, s->patient},
                 {CHAIN_SHIPMENT, s->shipment}, {CHAIN_PRODUCT, s->product_code}};
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < sizeof named / sizeof named[0] && !rc; i++)
        rc = add(r, named[i].type, "", named[i].id);
    return rc;
}

enum ledger_rc related_of_case_member(const struct related *r, unsigned log, struct span member)
{
    struct excursion_fact fact;
    if (log == ITEM_LOG_CASES)
        return add(r, CHAIN_CASE, "", member);
    return excursion_fact_decode(member, &fact) ? add(r, CHAIN_CASE, CASE_ID_EXCURSION, fact.id) : LEDGER_EINVAL;
}

enum ledger_rc related_of_edge(const struct related *r, struct span member)
{
    struct edge edge;
    return edge_decode(member, &edge) ? add(r, CHAIN_ITEM, "", edge.item) : LEDGER_EINVAL;
}

enum ledger_rc related_of_event(const struct related *r, const struct event *ev)
{
    static const struct {
        enum field_name field;
        enum chain_type type;
        const char *prefix;
    } fields[] = {
        {FIELD_COI, CHAIN_SUBJECT, ""},
        {FIELD_FOR_COI, CHAIN_SUBJECT, ""},
        {FIELD_PARTY, CHAIN_PARTY, ""},
        {FIELD_PRODUCT_CODE, CHAIN_PRODUCT, ""},
        {FIELD_SHIPMENT, CHAIN_SHIPMENT, ""},
        {FIELD_LOST_SHIPMENT, CHAIN_SHIPMENT, ""},
        {FIELD_DEVIATION, CHAIN_CASE, "deviation/"},
        {FIELD_RECALL, CHAIN_CASE, "recall/"},
        {FIELD_EXCURSION_ID, CHAIN_CASE, CASE_ID_EXCURSION},
        /* Excursions that a shipment opens without being told to, or that do not exist, which is then proven. */
        {FIELD_SHIPMENT, CHAIN_CASE, CASE_ID_EXCURSION "NOLOG:"},
        {FIELD_SHIPMENT, CHAIN_CASE, CASE_ID_EXCURSION "SEAL:"},
    };
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && !rc; i++)
        rc = add(r, fields[i].type, fields[i].prefix, event_text(ev, fields[i].field));
    return rc;
}

/* A split: from the parent to each unit, of which the first member is the id. */
static enum ledger_rc of_split(const struct related *r, const struct event *ev, struct span item, bool back)
{
    struct span parent = event_text(ev, FIELD_ITEM);
    const struct value *units = event_get(ev, FIELD_UNITS);
    enum ledger_rc rc = LEDGER_OK;
    bool is_parent = span_eq(parent, item);
    if (back)
        return is_parent ? LEDGER_OK : add(r, CHAIN_ITEM, "", parent);
    for (size_t i = 0; is_parent && units && i < units->n && !rc; i++)
        rc = add(r, CHAIN_ITEM, "", units->items[i].items[0].raw);
    return rc;
}

enum ledger_rc related_of_lineage(const struct related *r, const struct event *ev, struct span item, bool back)
{
    if (ev->kind->kind == KIND_LOT_SPLIT)
        return of_split(r, ev, item, back);
    if (ev->kind->kind != KIND_INPUT_CONSUMED)
        return LEDGER_OK;
    struct span into = event_text(ev, FIELD_ITEM), input = event_text(ev, FIELD_INPUT);
    return span_eq(back ? into : input, item) ? add(r, CHAIN_ITEM, "", back ? input : into) : LEDGER_OK;
}

enum ledger_rc related_of_signatures(const struct related *r, const struct sigblock *b)
{
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < b->n && !rc; i++)
        rc = add(r, CHAIN_PARTY, "", b->sigs[i].party);
    return rc;
}
