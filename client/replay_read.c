/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_read: a replay of what a server sends (replayer.h). While one portion is derived, the library's thread reads and checks the next.
 */
#include <pthread.h>
#include <stdlib.h>

#include "replayer.h"

#define PORTION_ENTRIES 512u /* small enough to stay in the caches on its way from thread to thread */

/* A call that is under way. Its reply comes in the library's thread. */
struct ahead {
    pthread_mutex_t mutex;
    pthread_cond_t came;
    bool started;
    struct reply *reply;
};

static void on_reply(void *user, struct reply *r)
{
    struct ahead *h = user;
    pthread_mutex_lock(&h->mutex);
    h->reply = r;
    pthread_cond_signal(&h->came);
    pthread_mutex_unlock(&h->mutex);
}

static enum ledger_rc start(const struct replay_read *rq, struct ahead *h, const struct entries_cursor *at, struct ledger_err *err)
{
    struct call_request call = {.op = CALL_ENTRIES, .log_only = rq->log_only, .u.entries = {.cursor = *at, .end = rq->end, .headers_only = rq->headers_only,
                                                                     .entries_max = PORTION_ENTRIES}};
    enum ledger_rc rc = client_start(rq->client, &call, rq->timeout_ms, on_reply, h, err);
    h->started = rc == LEDGER_OK;
    return rc;
}

static struct reply *wait_for(struct ahead *h)
{
    pthread_mutex_lock(&h->mutex);
    while (h->started && !h->reply)
        pthread_cond_wait(&h->came, &h->mutex);
    struct reply *r = h->reply;
    h->reply = NULL;
    h->started = false;
    pthread_mutex_unlock(&h->mutex);
    return r;
}

/* A portion's entries are needed until they are derived, its last reply longer: by two owners. */
struct shared {
    struct reply *reply;
    unsigned owners; /* of the caller's thread alone */
};

static void give_back(void *owner)
{
    struct shared *s = owner;
    if (--s->owners == 0) {
        reply_free(s->reply);
        free(s);
    }
}

static enum ledger_rc read_all(const struct replay_read *rq, struct ahead *h, struct shared **last, struct ledger_err *err)
{
    struct entries_cursor own, *at = rq->at ? rq->at : &own;
    bool end = false;
    if (!rq->at && !replayer_cursor(rq->replayer, &own))
        return ledger_fail(err, LEDGER_EIO, "the state of the replay has no whole tree");
    enum ledger_rc rc = start(rq, h, at, err);
    while (!rc && !end) {
        struct reply *r = wait_for(h);
        struct shared *s = calloc(1, sizeof *s);
        if (!s) {
            reply_free(r);
            return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
        }
        *s = (struct shared){r, 1};
        if (*last)
            give_back(*last);
        *last = s;
        if (r->rc) {
            if (err)
                *err = r->err;
            return r->rc;
        }
        *at = r->u.entries.cursor;
        end = r->u.entries.at_end || (rq->end && at->next >= rq->end);
        if (!end && rq->stop && rq->stop(rq->user))
            return ledger_fail(err, LEDGER_ECANCELED, "stopped");
        if (!end)
            rc = start(rq, h, at, err);
        s->owners++;
        if (!rc)
            rc = replayer_feed(rq->replayer, r->u.entries.entries, r->u.entries.n, give_back, s, err);
        else
            s->owners--;
        if (rq->progress)
            rq->progress(rq->user, replayer_size(rq->replayer), rq->end ? rq->end : r->snapshot.cp.size);
    }
    return rc;
}

enum ledger_rc replay_read(const struct replay_read *rq, struct reply **last, struct ledger_err *err)
{
    struct ahead h = {.mutex = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
    struct shared *s = NULL;
    struct ledger_err later = {0};
    *last = NULL;
    enum ledger_rc rc = replayer_wait(rq->replayer, err);
    if (rc || (rq->end && replayer_next(rq->replayer) >= rq->end))
        return rc;
    rc = read_all(rq, &h, &s, err);
    reply_free(wait_for(&h)); /* one that nobody waits for any more */
    enum ledger_rc derived = replayer_wait(rq->replayer, rc ? &later : err);
    if (s) { /* everything is derived: this is the last owner */
        *last = s->reply;
        free(s);
    }
    return rc ? rc : derived;
}
