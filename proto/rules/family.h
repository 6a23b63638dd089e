/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family: where items come from, as a graph of small nodes that one judgement keeps.
 *
 * Words: the *split line* of an item is itself, the item it was split from, and so on up to the
 * *top*. Its *lineage* is itself and everything it came from, through inputs and split lines. A
 * *node* is the part of an item's state that questions about relatives need; the state itself is
 * far larger (its frontiers), and a lineage may have thousands of members.
 *
 * Nodes are read from the kv when first asked for and describe the ledger before the event. Spans
 * borrow from the kv. No recursion: lines are arrays, a lineage is walked with a queue that runs
 * through the nodes themselves. Failure: a store error or lack of memory sets j->rc, and the
 * functions return NULL.
 */
#ifndef LEDGERD_PROTO_RULES_FAMILY_H
#define LEDGERD_PROTO_RULES_FAMILY_H

#include "judge.h"

/* One opening of an excursion that names an item, and what became of it. */
struct excursion_view {
    struct span id;
    uint64_t opened; /* entry that named the item */
    bool has_start, open, has_new_expiry;
    int64_t start_us, new_expiry_us;
    uint8_t outcome; /* enum excursion_outcome; 0 while open, or closed by its log */
};

struct node {
    struct hash key;
    struct span id, parent_id, coi, for_coi, product_code;
    uint8_t klass, use, terminal;
    bool quarantined, has_expiry;
    int64_t born_us, arrived_us, expiry_us;
    uint64_t made_index, spec_member;
    uint64_t last_input, last_derived, last_release, last_fail, rejected;
    uint32_t open_deviations, open_recalls, open_excursions, rejecting_excursions,
        reducing_excursions;
    uint64_t counts[ITEM_LOGS];
    /* Filled when first asked for. */
    bool resolved, has_excursions, has_outcomes, has_spec;
    struct node *parent, **inputs;
    struct node **line; /* split line, itself first */
    size_t line_n;
    struct excursion_view *excursions;
    size_t excursions_n;
    struct outcome *outcomes; /* the latest outcome of each test on this very item */
    size_t outcomes_n;
    const struct spec_version *spec; /* NULL: none */
    /* The graph's own. */
    struct node *bucket_next, *queue_next;
    uint64_t seen;
};

#define FAMILY_BUCKETS 1024
struct family {
    struct judge *j;
    struct node **buckets;
    struct chain *scratch;
    uint64_t walks;
};

bool family_init(struct family *fam, struct judge *j) LEDGER_MUST_USE;
/* The node of an item; NULL with j->rc still OK if there is no such item. */
struct node *family_node(struct family *fam, struct span id);
/* The same from a loaded item chain that exists, without reading it again. */
struct node *family_node_of(struct family *fam, const struct chain *ch);

/* Fills x->line. False with j->rc set on an error. */
bool family_line(struct family *fam, struct node *x) LEDGER_MUST_USE;
/* Fill excursions, outcomes, specification. */
bool family_excursions(struct family *fam, struct node *x) LEDGER_MUST_USE;
bool family_outcomes(struct family *fam, struct node *x) LEDGER_MUST_USE;
bool family_spec(struct family *fam, struct node *x) LEDGER_MUST_USE;

/* A walk over a lineage, the item itself first; one walk at a time. */
struct lineage_walk {
    struct family *fam;
    struct node *head, *tail;
};
void lineage_begin(struct lineage_walk *w, struct family *fam, struct node *x);
struct node *
lineage_next(struct lineage_walk *w); /* NULL at the end, or with j->rc set on an error */

/* Member `number` of a log of the chain with this key. False with j->rc set if it is missing. */
bool member_get(struct judge *j, const struct hash *key, unsigned log, uint64_t number,
                struct span *out);

#endif
