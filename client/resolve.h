/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve: the addresses of a name, from a thread of its own. The system's resolver (getaddrinfo) cannot be interrupted, and a name server
 * that does not answer is waited for as long as the system is configured to: whoever gives up, or ends, must not wait with it. libuv and
 * its thread pool would. The thread outlives whoever began it, so the library is never unloaded (-z nodelete).
 */
#ifndef LEDGERD_CLIENT_RESOLVE_H
#define LEDGERD_CLIENT_RESOLVE_H

#include <netdb.h>

#include "base.h"

struct resolve;

/* Begins to look for TCP addresses; host and port are copied. done_cb is called once, in the other thread, unless resolve_end comes
 * before; it must not call anything of this module. NULL: *err. */
struct resolve *resolve_begin(const char *host, const char *port, void (*done_cb)(void *user), void *user, struct ledger_err *err);
/* False: not yet. True: *status is what getaddrinfo gave back, *sys the errno that goes with EAI_SYSTEM; *out is the caller's (freeaddrinfo),
 * NULL unless status is 0. */
bool resolve_take(struct resolve *r, struct addrinfo **out, int *status, int *sys);
/* Frees it, at once or when the resolver comes back. After this done_cb is not called any more. */
void resolve_end(struct resolve *r);

#endif
