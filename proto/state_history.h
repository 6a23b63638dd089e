/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_history: the state of a chain after each of its entries, past ones too, without replaying the log.
 *
 * A row under MEMBER_HISTORY says which entry is number `seq` of a chain and how that entry changed the chain's *compact* state
 * (state_encode_compact: the fields, and the sizes of the lists):
 *
 *   u64 index ‖ changes; each change: varint bytes kept ‖ varint bytes dropped ‖ varint bytes put in their place ‖ these bytes
 *
 * What follows the last change is kept. The change of entry 0 is against nothing. Members are beside the state (KV_MEMBER) and only
 * ever appended, so the peaks of a list follow from its size. Rows are derived, like the rest of the view; a few dozen bytes each.
 */
#ifndef LEDGERD_PROTO_STATE_HISTORY_H
#define LEDGERD_PROTO_STATE_HISTORY_H

#include "state.h"

/* The row of an entry that turns the compact state `before` (absent: none yet) into `after`. SPAN_NONE over the budget. */
struct span history_row_encode(struct arena *a, uint64_t index, struct span before, struct span after);
/* The index in a row; false if it is none. */
bool history_row_index(struct span row, uint64_t *index) LEDGER_MUST_USE;
/* The compact state after the row's entry. EINVAL: the row does not fit. */
enum ledger_rc history_row_apply(struct arena *a, struct span row, struct span before, struct span *after) LEDGER_MUST_USE;

/*
 * Walks a chain from its first entry on. Each step: which entry, the state after it (lists with their peaks), and how many members
 * each list had before it. Costs what it reads: one row a step and each member once.
 */
struct state_walk {
    struct crypto *c;
    struct kv kv;
    struct arena *a;       /* holds two states and what a step gives out, until the next step */
    struct hash key;
    uint64_t seq;          /* of the next step */
    uint64_t index;        /* of the entry of the latest step */
    struct chain chain;    /* after the latest step: type, id, key, count, state; without head and salt */
    uint64_t members_before[16];
    struct span compact;
    unsigned turn;
    uint8_t *buffer[2];
};
#define STATE_COMPACT_MAX 32768
enum ledger_rc state_walk_begin(struct state_walk *w, struct crypto *c, const struct kv *kv, struct arena *a, const struct hash *key,
                                struct ledger_err *err) LEDGER_MUST_USE;
/* ENOTFOUND: the chain ends here. ETAMPER: what is stored does not fit together. */
enum ledger_rc state_walk_next(struct state_walk *w, struct ledger_err *err) LEDGER_MUST_USE;

#endif
