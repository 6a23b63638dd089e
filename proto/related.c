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

enum ledger_rc related_of_signatures(const struct related *r, const struct sigblock *b)
{
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < b->n && !rc; i++)
        rc = add(r, CHAIN_PARTY, "", b->sigs[i].party);
    return rc;
}
