/* SPDX-License-Identifier: Apache-2.0 */
/* resolve: see resolve.h. Owner and thread share one object; the last of the two to let go of it frees it. */
#include "resolve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct resolve {
    pthread_mutex_t mutex; /* guards everything below but for the names */
    bool done, left;       /* the thread has its answer; the owner has gone */
    struct addrinfo *found;
    int status, sys;
    void (*done_cb)(void *user);
    void *user;
    char *host, *port;
};

static void resolve_free(struct resolve *r)
{
    if (r->found)
        freeaddrinfo(r->found);
    pthread_mutex_destroy(&r->mutex);
    free(r->host);
    free(r->port);
    free(r);
}

static void *look_up(void *arg)
{
    struct resolve *r = arg;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP}, *found = NULL;
    int status = getaddrinfo(r->host, r->port, &hints, &found), sys = errno;
    pthread_mutex_lock(&r->mutex);
    r->found = status == 0 ? found : NULL;
    r->status = status;
    r->sys = sys;
    r->done = true;
    bool left = r->left;
    if (!left)
        r->done_cb(r->user); /* under the lock: after resolve_end there may be nobody to call */
    pthread_mutex_unlock(&r->mutex);
    if (left)
        resolve_free(r);
    return NULL;
}

/* Detached, and without signals: these are the program's. */
static int start_thread(struct resolve *r)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int bad = pthread_create(&thread, NULL, look_up, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return bad ? bad : pthread_detach(thread);
}

struct resolve *resolve_begin(const char *host, const char *port, void (*done_cb)(void *user), void *user, struct ledger_err *err)
{
    struct resolve *r = calloc(1, sizeof *r);
    if (!r) {
        ledger_fail(err, LEDGER_ENOMEM, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&r->mutex, NULL);
    r->done_cb = done_cb;
    r->user = user;
    r->host = strdup(host);
    r->port = strdup(port);
    int bad = r->host && r->port ? start_thread(r) : ENOMEM;
    if (bad) {
        ledger_fail(err, LEDGER_ENOMEM, "cannot start a thread: %s", strerror(bad));
        resolve_free(r);
        return NULL;
    }
    return r;
}

bool resolve_take(struct resolve *r, struct addrinfo **out, int *status, int *sys)
{
    pthread_mutex_lock(&r->mutex);
    bool done = r->done;
    if (done) {
        *out = r->found;
        *status = r->status;
        *sys = r->sys;
        r->found = NULL;
    }
    pthread_mutex_unlock(&r->mutex);
    return done;
}

void resolve_end(struct resolve *r)
{
    pthread_mutex_lock(&r->mutex);
    bool done = r->done;
    r->left = true;
    pthread_mutex_unlock(&r->mutex);
    if (done)
        resolve_free(r);
}
