/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulate: the judge over an in-memory store, without signatures, headers that link or a tree:
 * just enough to apply what was accepted, so that the next event is judged against it. For tests of
 * the rules alone.
 *
 * A store error ends the process: a test cannot go on from it.
 */
#ifndef LEDGERD_TESTS_SIMULATE_H
#define LEDGERD_TESTS_SIMULATE_H

#include "judge.h"
#include "standing.h"

struct simulation {
    struct crypto *c;
    struct kv_mem *mem;
    struct kv kv;
    struct arena *a; /* of one event; reset before the next one */
    struct hash index_key;
    struct registry registry;
    uint64_t index; /* of the next entry */
    bool wire;      /* real keys; signatures are those that signature_ok accepts */
    bool (*signature_ok)(void *ctx, unsigned i, const struct party_state *p);
    unsigned n_touched; /* by the latest accepted event, in the order of the rules' table */
    struct {
        enum chain_type type;
        char id[128];
    } touched[512];
};

void simulation_init(struct simulation *s);
void simulation_fini(struct simulation *s);
/* Judges; applies what is accepted. Returns REFUSE_NONE, or the code, which `why` (may be NULL)
 * explains. `ev` has a nonce, or gets one; its bytes and id are set when it is accepted. */
enum refusal_code simulate(struct simulation *s, struct event *ev, const struct signer *signers,
                           unsigned n, int64_t recorded_us, struct refusal *why);
/* The same for an event as JSON (client/line.h), with its signers and its recorded time. `text`
 * must be a line. */
enum refusal_code simulate_line(struct simulation *s, struct span text, struct refusal *why);
/* A judge over the present state, for standing_check and look-ups; memory from s->a. */
struct judge simulation_judge(struct simulation *s);

#endif
