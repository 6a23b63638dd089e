/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_lineage: which chains a ProveRequest is about. They come breadth first: those named, then what they lead to, each chain once however many
 * ways lead to it. Of what waits together the one with the smallest key comes first: neighbours in the tables and in the chain map are
 * read, proven and verified one after the other.
 *
 * Ids are borrowed from the request and from the store's pages; both last as long as the query's
 * pinned view.
 */
#ifndef LEDGERD_QUERY_LINEAGE_H
#define LEDGERD_QUERY_LINEAGE_H

#include "query_internal.h"
#include "related.h"

struct wanted {
    struct wanted *next;
    enum chain_type type;
    struct span id;
    struct hash key;
    bool named; /* by the request itself */
};

struct lineage {
    struct wanted **wave;        /* ascending by key; those from `at` on are not yet proven */
    size_t n_wave, at;
    struct wanted *waiting;      /* for the next wave */
    size_t n_waiting;
    struct wanted **seen;        /* every one ever added, by key; open addressing */
    size_t n_seen, n_slots;      /* n_slots is 0 or a power of two */
};

/* Adds a chain unless it was added before. An empty id adds nothing. ELIMIT: more chains than a
 * query may remember. */
enum ledger_rc lineage_add(struct query *q, struct lineage *l, enum chain_type type, struct span id,
                           bool named, struct ledger_err *err) LEDGER_MUST_USE;
bool lineage_more(const struct lineage *l);
/* The next one, if there is one. */
enum ledger_rc lineage_take(struct query *q, struct lineage *l, struct wanted **out, struct ledger_err *err) LEDGER_MUST_USE;

/*
 * Adds what an item leads to. BACK: inputs and the item it was split from; FORWARD: uses and units.
 * Related: its subjects (coi, for_coi, patient), the shipment that it is in, its product, and the
 * cases that its logs name. Other chains lead nowhere. Where the request asks for members, they are left to lineage_spread_member: they are
 * read but once.
 */
enum ledger_rc lineage_spread(struct query *q, struct lineage *l, const struct chain *ch,
                              struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc lineage_spread_member(struct query *q, struct lineage *l, const struct chain *ch, unsigned log, struct span member,
                                     struct ledger_err *err) LEDGER_MUST_USE;

/* Adds what an event (NULL: an act of the ledger) and its signatures name. Spans as above. */
enum ledger_rc lineage_spread_event(struct query *q, struct lineage *l, const struct event *ev, const struct sigblock *b,
                                    struct ledger_err *err) LEDGER_MUST_USE;

#endif
