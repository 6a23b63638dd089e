/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection: the library's thread, its clock and its socket. It carries whole frames (4-byte big-endian length, message) over TLS
 * or, on loopback, over plain TCP, and knows nothing of what is in them.
 *
 * One connection object dials, loses and dials again as it is told, trying the addresses of a name until one connects; at most one
 * socket is current. All callbacks run in its own thread, one at a time, never from within a function that the callback's owner has
 * called. connection.c is the only file of the client that includes <uv.h>.
 *
 * Failure: whatever ends a socket (refused, reset, closed, a frame that is too long, a bad certificate) is one lost_cb with the
 * reason. Writes are queued without limit here: the owner watches conn_pending.
 */
#ifndef LEDGERD_CLIENT_CONNECTION_H
#define LEDGERD_CLIENT_CONNECTION_H

#include "profile.h"

struct connection;
struct connection_events {
    void (*wake_cb)(void *user);  /* conn_wake was called, or queued bytes went out */
    void (*timer_cb)(void *user); /* the time asked for with conn_timer has come */
    void (*open_cb)(void *user);  /* the dialled socket is ready */
    void (*frame_cb)(void *user, struct span frame); /* a message came; borrowed during the call */
    void (*lost_cb)(void *user, const struct ledger_err *why); /* the current socket, or the attempt to get one, is over */
};

/* Prepares loop and TLS; no thread yet. `p` is borrowed until conn_free. EINVAL: the certificates cannot be used. */
enum ledger_rc conn_new(const struct ledger_profile *p, const struct connection_events *e, void *user,
                              struct connection **out, struct ledger_err *err) LEDGER_MUST_USE;
/* Starts the thread. It blocks all signals: they are the program's. */
enum ledger_rc conn_start(struct connection *c, struct ledger_err *err) LEDGER_MUST_USE;
/* Waits until the thread has ended (conn_finish). Not in that thread. Only after conn_start. */
void conn_join(struct connection *c);
void conn_free(struct connection *c); /* NULL is allowed; the thread has ended or was never started */

/* Any thread. Several calls may be answered by one wake_cb. */
void conn_wake(struct connection *c);
bool conn_is_own_thread(const struct connection *c);
uint64_t conn_clock_ms(void); /* monotonic */

/* ---- in its own thread only ---- */
void conn_dial(struct connection *c);     /* drops the current socket, if any; ends in open_cb or lost_cb */
void conn_drop(struct connection *c);     /* without lost_cb */
enum ledger_rc conn_send(struct connection *c, struct span message, struct ledger_err *err) LEDGER_MUST_USE;
size_t conn_pending(const struct connection *c); /* bytes that were not handed to the system yet */
void conn_timer(struct connection *c, uint64_t in_ms); /* replaces the last one; UINT64_MAX: none */
void conn_finish(struct connection *c);   /* closes everything: the thread ends; no callback from here on */

#endif
