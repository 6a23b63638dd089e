/* SPDX-License-Identifier: Apache-2.0 */
/* thread: see the header. */
#include "thread.h"

#include <signal.h>
#include <string.h>
#include <time.h>

enum ledger_rc thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg, struct ledger_err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited */
    int e = pthread_create(out, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e == 0)
        (void)pthread_setname_np(*out, name);
    return e ? ledger_fail(err, LEDGER_ENOMEM, "a thread cannot be started: %s", strerror(e)) : LEDGER_OK;
}

void thread_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}
