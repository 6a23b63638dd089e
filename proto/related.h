/* SPDX-License-Identifier: Apache-2.0 */
/*
 * related: which further chains an item's state, a member of its lists, an event and its signatures name. The daemon asks here what
 * belongs into an answer, and whoever verifies a dossier asks here whether everything that belongs is there (docs/format.md,
 * section 16), so that the two cannot differ.
 *
 * Items that an event names are not among them: what an item came from and became stands in its lists, and related_of_lineage is for
 * checking these against what was signed. Ids borrow from what is
 * asked, or (case ids with their prefix) come from the arena. An empty id is never given. Pure.
 */
#ifndef LEDGERD_PROTO_RELATED_H
#define LEDGERD_PROTO_RELATED_H

#include "event.h"
#include "state.h"

struct related {
    struct arena *a;
    enum ledger_rc (*add)(void *ctx, enum chain_type type, struct span id); /* an error ends the asking and is returned */
    void *ctx;
};

/* Its subjects (coi, for_coi, patient), the shipment that it is in, its product. */
enum ledger_rc related_of_item(const struct related *r, const struct item_state *s) LEDGER_MUST_USE;
/* A member of ITEM_LOG_CASES or ITEM_LOG_EXCURSIONS: the case. EINVAL: it does not decode. */
enum ledger_rc related_of_case_member(const struct related *r, unsigned log, struct span member) LEDGER_MUST_USE;
/* A member of ITEM_LOG_INPUTS, _USES or _UNITS: the other item. EINVAL. */
enum ledger_rc related_of_edge(const struct related *r, struct span member) LEDGER_MUST_USE;
/* Subjects, shipments, cases, products and parties in the event's fields, and the cases that a shipment opens by itself. */
enum ledger_rc related_of_event(const struct related *r, const struct event *ev) LEDGER_MUST_USE;
/* By an event on an item's chain: the items that this one came from (back), or that came from it. */
enum ledger_rc related_of_lineage(const struct related *r, const struct event *ev, struct span item, bool back) LEDGER_MUST_USE;
/* The parties that signed. */
enum ledger_rc related_of_signatures(const struct related *r, const struct sigblock *b) LEDGER_MUST_USE;

#endif
