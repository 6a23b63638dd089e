/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sender: submits many events in order. Neighbours with the same signatures go in one batch under
 * one signature, up to SENDER_FLIGHTS batches are on their way at once, and the results come back
 * in the order in which the events went in. The ledger judges them in that order too, for the
 * batches travel on one connection; only one that it was too busy to take, or whose answer was lost
 * with the connection, is sent again and judged when it comes.
 *
 * Results are handed to a callback in the caller's own thread, from within the functions below.
 * After a batch without an answer nothing more is sent; what was on its way is still waited for and
 * handed out. All or nothing is one batch: an event that does not fit into it ends the sending
 * before anything was sent.
 */
#ifndef LEDGERD_CTL_SENDER_H
#define LEDGERD_CTL_SENDER_H

#include "signers.h"

#define SENDER_FLIGHTS 16u

/* What became of one event. */
struct sent {
    const struct submit_result *result; /* NULL: a local one, or there was no answer */
    const struct hash *event_id;        /* NULL: a local one */
    enum ledger_recorded recorded;      /* what is certain without an answer; ANSWERED otherwise */
    const struct checkpoint *checkpoint; /* that the result stands on; NULL: none */
};
typedef void (*sender_cb)(void *ctx, void *tag, const struct sent *sent);

struct sender;
/* Returns owned; NULL after a message. The client is connected when it is needed. */
struct sender *sender_new(struct ctl *ctl, bool all_or_nothing, sender_cb cb, void *ctx);
/* Waits for what is on its way, but hands nothing out any more. NULL is allowed. */
void sender_free(struct sender *s);

/*
 * These return EXIT_GOOD, or the exit code after a message. The keys must live until sender_drain.
 * *refused gets a code if the event would be refused whatever the ledger's state is (too large):
 * then nothing was taken.
 */
int sender_add(struct sender *s, const struct signing *signings, unsigned n, struct span event,
               void *tag, struct refusal *refused);
/* A result that is known already, to be handed out in its place. */
int sender_local(struct sender *s, void *tag);
/* Sends what was added, and waits for all answers. */
int sender_drain(struct sender *s);
/* Nothing more is sent, for a reason that the caller has told; sender_drain then hands out what was
 * never sent, too. */
void sender_stop(struct sender *s, int exit);
/* How many batches were begun so far; the open one counts. */
unsigned sender_batches(const struct sender *s);

#endif
