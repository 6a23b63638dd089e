/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model: what the ledger should hold, kept independently of its code and as plainly as possible: the tree as a stack of subtrees, the chain
 * map as a sorted list whose root is computed from nothing, the rules that the simulated clients try as a few lines each.
 *
 * The model reads the log in its order. Whatever it finds there that nobody can have brought about ends the simulation (sim_fail).
 */
#ifndef LEDGERD_TESTS_SIMULATION_MODEL_H
#define LEDGERD_TESTS_SIMULATION_MODEL_H

#include "entry.h"
#include "kinds.h"
#include "store/store.h"

#define MODEL_ITEMS_MAX 20000
#define MODEL_INPUTS_MAX 8
#define MODEL_RECALLS_MAX 4096
#define MODEL_PARTIES_MAX 512

/* Prints the seed and what is wrong, and ends. */
void sim_fail(const char *fmt, ...) LEDGER_PRINTF(1, 2) __attribute__((noreturn));

enum op {
    OP_REGISTER, OP_REVOKE, OP_COI, OP_MATERIAL, OP_RELEASE, OP_LOT, OP_CONSUME, OP_DERIVE, OP_SPLIT, OP_MOVE, OP_RECALL, OP_CLOSE,
    OP_ADMINISTER, OP_DISPOSE, OPS
};

/* One event that a client has made. */
struct sent {
    struct hash id;
    enum op op;
    unsigned signer;      /* party, first; the second never changes */
    bool signatures_good; /* as many as the kind takes, by the right persons, over these bytes */
    unsigned subject;     /* party, item or recall */
    unsigned other;       /* input; or first item of `n` units or recalled ones */
    unsigned n;
    int64_t quantity;     /* whole units; of each */
    unsigned reference;   /* events of one signer and one reference exclude each other */
    struct span bytes, signatures[2], other_signature; /* the last: by somebody else, over the same bytes */
    size_t n_signatures;
    unsigned may;         /* requests with it that are not settled */
    uint64_t index;       /* in the log; 0: not there */
};

struct model_item {
    bool exists, released, terminal, has_input;
    int64_t available;
    unsigned open_recalls, n_from, from[MODEL_INPUTS_MAX]; /* parent, or inputs */
};
struct model_recall { bool exists, open; unsigned first, n; };
struct model_party { bool exists, revoked; };

struct map_row { struct hash key, head; uint64_t count; };

struct model {
    struct crypto *c;
    struct arena *a;
    /* The events that were ever sent, by id. */
    struct sent **by_id;
    size_t n_slots, n_sent;
    /* What the rules ask. */
    struct model_item *items;
    struct model_recall *recalls;
    struct model_party *parties;
    bool coi;
    uint64_t *reference_entry; /* by reference: the entry that has it; 0 none */
    size_t n_references;
    /* The log. */
    uint64_t size;
    struct hash *leaves;
    struct hash *root_at;      /* by size; zero where there is no checkpoint */
    size_t room;
    struct hash stack[64];
    unsigned heights[64], depth;
    int64_t recorded_us;
    uint64_t epoch, seals;
    struct map_row *rows;
    size_t n_rows, rows_room;
    uint8_t (*nonces)[16];     /* of the ledger's own entries */
    size_t n_nonces;
    bool step_due;             /* the clock was set, and no entry says so yet */
    uint64_t map_every;        /* the map's root is computed at each so-manieth seal */
    uint64_t roots_compared;
    unsigned recorded[OPS], recalled;  /* how often; refused for a recall of what the item came from */
};

void model_init(struct model *m, struct crypto *c, struct arena *a);
void model_fini(struct model *m);
/* Remembers an event that is about to be sent. */
void model_sent(struct model *m, struct sent *e);
/* Would the rules take it now? */
bool model_legal(const struct model *m, const struct sent *e);
/* Is a recall open of what its subject came from, and none of the subject itself? */
bool model_inherits_recall(const struct model *m, const struct sent *e);
/* Reads what the log has from the model's size up to `until`, excluding. */
void model_read(struct model *m, const struct kv *kv, uint64_t until);
/* The log's first entries are still those that the model has read. */
void model_compare(struct model *m, const struct kv *kv);

#endif
