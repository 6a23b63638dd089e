/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread: how the daemon starts a thread, and what its threads wait with.
 */
#ifndef LEDGERD_THREAD_H
#define LEDGERD_THREAD_H

#include <pthread.h>

#include "base.h"

/* With all signals blocked: they are for the thread that runs the loop. The name, of at most 15 bytes, is what `top -H` shows. To be joined or
 * detached by the caller. ENOMEM: there can be no more threads. */
enum ledger_rc thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg,
                            struct ledger_err *err) LEDGER_MUST_USE;

/* Its timed waits end by CLOCK_MONOTONIC, which nobody sets. */
void thread_cond_init(pthread_cond_t *c);

#endif
