/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients: those who use the simulated ledger: they make events, sign them, send them alone or together, send them again, and keep what
 * they were answered.
 */
#ifndef LEDGERD_TESTS_SIMULATION_CLIENTS_H
#define LEDGERD_TESTS_SIMULATION_CLIENTS_H

#include "model.h"
#include "pipeline.h"
#include "scratch.h"

#define ASK_EVENTS_MAX 12

/* A request on its way. */
struct ask {
    struct job job;
    struct ask *next;
    unsigned n, number; /* number: in the order of submission */
    bool again;   /* was sent before */
    bool foreign; /* recorded events, signed by somebody else */
    struct sent *e[ASK_EVENTS_MAX];
    struct span events[ASK_EVENTS_MAX], signatures[2];
};

enum party { PARTY_ADMIN, PARTY_WAREHOUSE, PARTY_OPERATOR, PARTY_QA, PARTY_QP, PARTY_HOSPITAL, PARTY_EXTRA };

struct clients {
    struct scratch_pen *pen;
    struct model *m;
    struct secret_key keys[256];
    unsigned n_parties, n_items, n_recalls, n_references;
    unsigned *materials, *lots, n_materials, n_lots;
    uint8_t *inputs; /* of a lot: how many were tried */
    struct sent *recent[64]; /* sent alone, by the warehouse */
    unsigned n_recent;
    struct ask *last; /* contents only: what was sent a while ago */
};

void clients_init(struct clients *cl, struct scratch_pen *pen, struct model *m);
void clients_fini(struct clients *cl);
/* The next request of somebody. Returns owned (ask_free). */
struct ask *clients_ask(struct clients *cl);
/* One of the first requests, which make the parties and the chain of identity; NULL after the last. */
struct ask *clients_begin(struct clients *cl, unsigned number);
void ask_free(struct ask *k);

/* rederive.c: every row of the store, and no other, follows from its log. The model has read all of it. */
void rederive(struct model *m, struct store *store);

#endif
