/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_history: the state of a chain after each of its entries, past ones too, without replaying the log.
 *
 * A *step* says which entry is number `seq` of a chain and how that entry changed the chain's *compact* state (state_encode_compact: the fields, and
 * the sizes of the lists):
 *
 *   u64 index ‖ changes; each change: varint bytes kept ‖ varint bytes dropped ‖ varint bytes put in their place ‖ these bytes
 *
 * What follows the last change is kept. The change of entry 0 is against nothing. Members are beside the state (KV_MEMBER) and only
 * ever appended, so the peaks of a list follow from its size. Steps are derived, like the rest of the view; a dozen bytes each.
 *
 * They lie in rows under MEMBER_HISTORY, each step as varint length ‖ step: row 0 has step 0, row n the HISTORY_STEPS up to number n × HISTORY_STEPS.
 * Until a row is full its steps wait in the chain's record, which each entry writes anyway.
 */
#ifndef LEDGERD_PROTO_STATE_HISTORY_H
#define LEDGERD_PROTO_STATE_HISTORY_H

#include "state.h"

#define HISTORY_STEPS 8u

/* The step of an entry that turns the compact state `before` (absent: none yet) into `after`. SPAN_NONE over the budget. */
struct span history_step_encode(struct arena *a, uint64_t index, struct span before, struct span after);
/* The index in a step; false if it is none. */
bool history_step_index(struct span step, uint64_t *index) LEDGER_MUST_USE;
/* The compact state after the step's entry. EINVAL: the step does not fit. */
enum ledger_rc history_step_apply(struct arena *a, struct span step, struct span before, struct span *after) LEDGER_MUST_USE;

/* A row with one more step. SPAN_NONE over the budget. */
struct span history_row_add(struct arena *a, struct span row, struct span step);
/* The row of step `seq`, and whether that one is its last. */
static inline uint64_t history_row_number(uint64_t seq) { return (seq + HISTORY_STEPS - 1) / HISTORY_STEPS; }
static inline bool history_row_ends(uint64_t seq) { return seq % HISTORY_STEPS == 0; }
/* Has a chain of so many entries that row? */
static inline bool history_row_stored(uint64_t row, uint64_t count) { return count && row <= (count - 1) / HISTORY_STEPS; }
/* Step `seq` of a chain as its record says it is, with key, count and history. ENOTFOUND: there is no such row; EINVAL: it is malformed; or the kv's. */
enum ledger_rc history_step_find(const struct kv *kv, const struct chain *ch, uint64_t seq, struct span *step) LEDGER_MUST_USE;

/*
 * Walks a chain from its first entry on. Each step: which entry, the state after it (lists with their peaks), and how many members
 * each list had before it. Costs what it reads: each row and each member once.
 */
struct state_walk {
    struct crypto *c;
    struct kv kv;
    struct arena *a;       /* holds two states and what a step gives out, until the next step */
    struct hash key;
    uint64_t count;        /* of the chain, and what its record has of its history */
    struct span waiting;
    struct rbuf row;       /* the steps that are left of the present row */
    uint64_t seq;          /* of the next step */
    uint64_t index;        /* of the entry of the latest step */
    struct chain chain;    /* after the latest step: type, id, key, count, state; without head and salt */
    uint64_t members_before[16];
    struct span compact;
    unsigned turn;
    uint8_t *buffer[2];
};
#define STATE_COMPACT_MAX 32768
/* ETAMPER: the chain's record is malformed. */
enum ledger_rc state_walk_begin(struct state_walk *w, struct crypto *c, const struct kv *kv, struct arena *a, const struct hash *key,
                                struct ledger_err *err) LEDGER_MUST_USE;
/* ENOTFOUND: the chain ends here. ETAMPER: what is stored does not fit together. */
enum ledger_rc state_walk_next(struct state_walk *w, struct ledger_err *err) LEDGER_MUST_USE;

#endif
