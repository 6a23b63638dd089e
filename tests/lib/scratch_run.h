/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch_run: a running pipeline over a scratch ledger, and requests to it that are waited for.
 */
#ifndef LEDGERD_TESTS_SCRATCH_RUN_H
#define LEDGERD_TESTS_SCRATCH_RUN_H

#include <pthread.h>

#include "pipeline.h"
#include "scratch.h"

struct run {
    struct scratch *s;
    struct store *store;
    struct pipeline *p;
    struct pipeline_options o; /* defaults; a test changes them before run_start */
    struct store_options store_o;
    struct ledger_err err; /* of run_start */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed; /* done_cb waits while it is: the writer stands still */
    unsigned waiting_in_done;
    unsigned commits, fatals;
    uint64_t size;
};
struct request {
    struct job job;
    struct run *run;
    bool done;
};

void run_init(struct run *r, struct scratch *s);
enum ledger_rc run_start(struct run *r) LEDGER_MUST_USE;
void run_stop(struct run *r); /* and closes the store */
void run_fini(struct run *r);

/* The request borrows events and signatures. */
void request_init(struct request *q, struct run *r, struct span *events, size_t n,
                  struct span *signatures, size_t n_signatures);
enum ledger_rc request_send(struct request *q) LEDGER_MUST_USE;
void request_wait(struct request *q);
void request_do(struct request *q); /* send, which must succeed, and wait */
void request_fini(struct request *q);

/* One event signed by one party: the outcome. The request is for looking at and to be finished with
 * request_fini. */
enum job_outcome run_one(struct run *r, struct scratch_pen *pen, struct span event,
                         const char *party, unsigned key, struct request *q);
/* Verifies the receipt of result i: note, header's index, inclusion. The test ends if it does not
 * verify. */
void check_receipt(struct scratch *s, struct scratch_pen *pen, const struct request *q, size_t i);
uint64_t note_size(struct scratch *s, struct scratch_pen *pen,
                   struct span note); /* verifies the signature too */

/* ---- steps that must succeed ---- */

void run_must_start(struct run *r);
/* A new scratch ledger and a pipeline over it; and the end of both, without a fatal error. */
void run_begin(struct scratch *s, struct run *r);
void run_end(struct scratch *s, struct run *r);
void run_register(struct run *r, const char *party, const char *roles, unsigned key);
uint64_t run_size(struct run *r); /* latest committed */
/* The header of a stored entry; links in the pen's arena. */
struct header run_header(struct run *r, uint64_t index);
/* Shuts or opens the gate in done_cb. */
void run_gate(struct run *r, bool closed);
/* Sends a receipt of material by "wh" and waits until the writer stands still in its answer. */
void run_hold_writer(struct run *r, struct request *q, const char *item);

#endif
