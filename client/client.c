/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: making and ending calls, and the life of the client (client.h, core.h). What happens to a call in between: session.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core.h"

#define TIMEOUT_MS_DEFAULT 30000u
#define FIRST_CONTACT_MS_DEFAULT 3000u
#define CALLS_MAX_DEFAULT 1024u

/* ---- replies ---- */

void reply_free(struct reply *r)
{
    if (!r)
        return;
    arena_free(r->a);
    free(r);
}

static struct reply *reply_new(void)
{
    struct reply *r = calloc(1, sizeof *r);
    if (r && !(r->a = arena_new(REPLY_BYTES_MAX))) {
        free(r);
        return NULL;
    }
    if (r)
        r->recorded = LEDGER_RECORDED_NOTHING;
    return r;
}

/* ---- calls ---- */

const struct call_ops *call_ops_of(enum call_op op)
{
    switch (op) {
    case CALL_SNAPSHOT:
        return &ops_snapshot;
    case CALL_SUBMIT:
        return &ops_submit;
    case CALL_PROVE:
        return &ops_prove;
    case CALL_ENTRIES:
        return &ops_entries;
    case CALL_FIND:
        return &ops_find;
    case CALL_RECEIPT:
        return &ops_receipt;
    case CALL_STATUS:
        return &ops_status;
    case CALL_CONSISTENCY:
        return &ops_consistency;
    case CALL_CONNECT:
    default:
        return NULL;
    }
}

static void call_free(struct call *k)
{
    if (!k)
        return;
    if (k->rq.op == CALL_SUBMIT)
        ledger_batch_free(k->rq.u.submit.batch);
    reply_free(k->reply);
    arena_free(k->a);
    free(k);
}

void call_restart(struct call *k)
{
    struct reply *r = k->reply;
    struct arena *a = r->a;
    arena_reset(a);
    memset(r, 0, sizeof *r);
    r->a = a;
    r->recorded = LEDGER_RECORDED_NOTHING;
    k->work = NULL;
    k->id = 0;
    k->quorum = k->parted = k->proven = k->witnessed_proven = false;
    k->quorum_until_ms = 0;
    k->state = CALL_QUEUED;
}

void call_end(struct ledger_client *cl, struct call *k)
{
    struct call **at = &cl->list;
    while (*at && *at != k)
        at = &(*at)->next;
    LEDGER_REQUIRE(*at == k);
    *at = k->next;
    if (!*at)
        cl->list_end = at;
    struct reply *r = k->reply;
    k->reply = NULL;
    reply_cb cb = k->cb;
    void *user = k->user;
    call_free(k);
    pthread_mutex_lock(&cl->mutex);
    cl->calls--;
    pthread_cond_broadcast(&cl->room);
    pthread_mutex_unlock(&cl->mutex);
    cb(user, r);
}

void call_fail(struct ledger_client *cl, struct call *k, enum ledger_rc rc, const char *fmt, ...)
{
    struct reply *r = k->reply;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->err.msg, sizeof r->err.msg, fmt, ap);
    va_end(ap);
    r->rc = r->err.rc = rc;
    /* Also an answer that was verified but for its checkpoint is no certain answer, and one that waits for the quorum is none of "nothing". */
    if (k->rq.op == CALL_SUBMIT)
        r->recorded = k->unresolved || k->quorum || k->state != CALL_QUEUED ? LEDGER_RECORDED_UNKNOWN : LEDGER_RECORDED_NOTHING;
    call_end(cl, k);
}

/* ---- making calls, in a caller's thread ---- */

static bool copy_spans(struct arena *a, struct span **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!list[i]->p)
            continue;
        *list[i] = arena_copy(a, *list[i]);
        if (!list[i]->p)
            return false;
    }
    return true;
}

static bool copy_prove(struct arena *a, struct prove_request *rq)
{
    struct chain_name *names = arena_alloc(a, (rq->n + 1) * sizeof *names);
    for (size_t i = 0; names && i < rq->n; i++) {
        names[i] = rq->chains[i];
        names[i].id = arena_copy(a, names[i].id);
        if (!names[i].id.p)
            return false;
    }
    rq->chains = names;
    return names != NULL;
}

static bool copy_request(struct call *k, const struct call_request *rq)
{
    k->rq = *rq;
    if (rq->op == CALL_SUBMIT)
        batch_keep(k->rq.u.submit.batch);
    if (rq->op == CALL_PROVE)
        return copy_prove(k->a, &k->rq.u.prove);
    if (rq->op == CALL_SNAPSHOT) {
        struct span *notes[SNAPSHOT_NOTES_MAX] = {&k->rq.u.snapshot.notes[0], &k->rq.u.snapshot.notes[1]};
        return copy_spans(k->a, notes, rq->u.snapshot.n);
    }
    if (rq->op != CALL_FIND)
        return true;
    struct find_request *f = &k->rq.u.find;
    struct span *texts[] = {&f->state, &f->holder, &f->hold, &f->klass, &f->coi, &f->id_prefix, &f->after};
    return copy_spans(k->a, texts, sizeof texts / sizeof texts[0]);
}

static enum ledger_rc check_submit(const struct ledger_client *cl, struct ledger_batch *b, struct ledger_err *err)
{
    if (strcmp(b->origin, cl->profile->origin) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "the batch is signed for the ledger %s, and this is %s", b->origin,
                           cl->profile->origin);
    return batch_seal(b, err);
}

static enum ledger_rc check_prove(const struct prove_request *rq, struct ledger_err *err)
{
    if (rq->n == 0)
        return ledger_fail(err, LEDGER_EINVAL, "no chain is named");
    for (size_t i = 0; i < rq->n; i++)
        if (rq->chains[i].id.n == 0 || rq->chains[i].id.n > CHAIN_ID_MAX)
            return ledger_fail(err, LEDGER_EINVAL, "an id has 1 to %d bytes", CHAIN_ID_MAX);
    return LEDGER_OK;
}

static enum ledger_rc check_request(const struct ledger_client *cl, const struct call_request *rq, struct ledger_err *err)
{
    if (rq->op != CALL_CONNECT && !call_ops_of(rq->op))
        return ledger_fail(err, LEDGER_EINVAL, "no such operation");
    bool witnessed = (rq->op == CALL_SUBMIT && rq->u.submit.witnessed) || (rq->op == CALL_RECEIPT && rq->u.receipt.witnessed);
    if (witnessed && cl->profile->policy->n_witnesses == 0)
        return ledger_fail(err, LEDGER_EINVAL, "the profile's policy names no witness: there is no level \"witnessed\" without");
    if (rq->op == CALL_SUBMIT)
        return check_submit(cl, rq->u.submit.batch, err);
    if (rq->op == CALL_SNAPSHOT && rq->u.snapshot.n > SNAPSHOT_NOTES_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "at most %d checkpoints are compared", SNAPSHOT_NOTES_MAX);
    return rq->op == CALL_PROVE ? check_prove(&rq->u.prove, err) : LEDGER_OK;
}

static enum ledger_rc call_make(struct ledger_client *cl, const struct call_request *rq, struct call **out,
                                struct ledger_err *err)
{
    enum ledger_rc rc = check_request(cl, rq, err);
    if (rc != LEDGER_OK)
        return rc;
    struct call *k = calloc(1, sizeof *k);
    if (!k)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    k->a = arena_new(CALL_BYTES_MAX);
    k->reply = reply_new();
    if (!k->a || !k->reply || !copy_request(k, rq)) {
        call_free(k);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    k->ops = call_ops_of(rq->op);
    *out = k;
    return LEDGER_OK;
}

/* Waits for room until a moment of the monotonic clock; NULL: does not wait. With the mutex. */
static enum ledger_rc wait_for_room(struct ledger_client *cl, const struct timespec *until, struct ledger_err *err)
{
    bool late = false;
    cl->waiting++;
    while (!late && !cl->closing && cl->calls >= cl->calls_max)
        late = !until || pthread_cond_timedwait(&cl->room, &cl->mutex, until) == ETIMEDOUT;
    cl->waiting--;
    if (cl->closing)
        pthread_cond_broadcast(&cl->room); /* for who closes */
    else if (late && cl->calls >= cl->calls_max)
        return ledger_fail(err, LEDGER_EBUSY, "%u operations are under way; nothing was sent", cl->calls);
    return cl->closing ? ledger_fail(err, LEDGER_ECANCELED, "the client is being closed") : LEDGER_OK;
}

static struct timespec after_ms(clockid_t clock, unsigned ms)
{
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

struct call_target {
    reply_cb cb;
    void *user;
    bool wait; /* for room */
};

static enum ledger_rc start(struct ledger_client *cl, const struct call_request *rq, unsigned timeout_ms,
                            const struct call_target *target, struct ledger_err *err)
{
    struct call *k = NULL;
    enum ledger_rc rc = call_make(cl, rq, &k, err);
    if (rc != LEDGER_OK)
        return rc;
    k->cb = target->cb;
    k->user = target->user;
    k->timeout_ms = timeout_ms ? timeout_ms : cl->timeout_ms;
    k->deadline_ms = conn_clock_ms() + k->timeout_ms;
    k->latest_ms = k->timeout_ms > ANSWER_MS_MAX ? k->deadline_ms : k->deadline_ms - k->timeout_ms + ANSWER_MS_MAX;
    struct timespec until = after_ms(CLOCK_MONOTONIC, k->timeout_ms);
    pthread_mutex_lock(&cl->mutex);
    rc = wait_for_room(cl, target->wait ? &until : NULL, err);
    if (rc == LEDGER_OK) {
        cl->calls++;
        *cl->inbox_end = k;
        cl->inbox_end = &k->next;
        /* Within the mutex, so that the loop cannot be closed in between. */
        conn_wake(cl->connection);
    }
    pthread_mutex_unlock(&cl->mutex);
    if (rc != LEDGER_OK)
        call_free(k);
    return rc;
}

enum ledger_rc client_start(struct ledger_client *cl, const struct call_request *rq, unsigned timeout_ms, reply_cb cb,
                            void *user, struct ledger_err *err)
{
    struct call_target target = {cb, user, false};
    return start(cl, rq, timeout_ms, &target, err);
}

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    struct reply *reply;
};

static void on_reply(void *user, struct reply *r)
{
    struct waiter *w = user;
    pthread_mutex_lock(&w->mutex);
    w->reply = r;
    pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->mutex);
}

enum ledger_rc client_call(struct ledger_client *cl, const struct call_request *rq, unsigned timeout_ms, struct reply **out,
                           struct ledger_err *err)
{
    struct waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};
    struct call_target target = {on_reply, &w, true};
    *out = NULL;
    if (conn_is_own_thread(cl->connection))
        return ledger_fail(err, LEDGER_EINVAL, "a blocking function was called from a callback");
    enum ledger_rc rc = start(cl, rq, timeout_ms, &target, err);
    if (rc == LEDGER_OK) {
        pthread_mutex_lock(&w.mutex);
        while (!w.reply)
            pthread_cond_wait(&w.done, &w.mutex);
        pthread_mutex_unlock(&w.mutex);
        *out = w.reply;
        rc = w.reply->rc;
        if (err && rc != LEDGER_OK)
            *err = w.reply->err;
    }
    pthread_cond_destroy(&w.done);
    pthread_mutex_destroy(&w.mutex);
    return rc;
}

const struct ledger_profile *client_profile(const struct ledger_client *cl)
{
    return cl->profile;
}

/* ---- the client ---- */

static void client_free(struct ledger_client *cl)
{
    conn_free(cl->connection);
    keys_fini(cl);
    trust_free(&cl->trust);
    arena_free(cl->scratch);
    crypto_free(cl->c);
    pthread_cond_destroy(&cl->room);
    pthread_mutex_destroy(&cl->mutex);
    free(cl);
}

/* Waits are measured on the monotonic clock: a step of the wall clock must not end or prolong them. */
static void init_locks(struct ledger_client *cl)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&cl->mutex, NULL);
    pthread_cond_init(&cl->room, &attr);
    pthread_condattr_destroy(&attr);
}

static void set_options(struct ledger_client *cl, const struct ledger_client_options *o)
{
    snprintf(cl->program, sizeof cl->program, "%s", o && o->program ? o->program : "libledgerd");
    cl->timeout_ms = o && o->timeout_ms ? o->timeout_ms : TIMEOUT_MS_DEFAULT;
    cl->first_contact_ms = o && o->first_contact_ms ? o->first_contact_ms : FIRST_CONTACT_MS_DEFAULT;
    cl->calls_max = o && o->calls_max ? o->calls_max : CALLS_MAX_DEFAULT;
}

LEDGER_API enum ledger_rc ledger_client_open(const struct ledger_profile *profile, const struct ledger_client_options *options,
                                             struct ledger_client **out, struct ledger_err *err)
{
    *out = NULL;
    struct ledger_client *cl = calloc(1, sizeof *cl);
    if (!cl)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    init_locks(cl);
    cl->profile = profile;
    set_options(cl, options);
    cl->inbox_end = &cl->inbox;
    cl->list_end = &cl->list;
    cl->next_id = 1;
    trust_init(&cl->trust);
    cl->c = crypto_new();
    cl->scratch = arena_new(SCRATCH_BYTES_MAX);
    enum ledger_rc rc = cl->c && cl->scratch && keys_init(cl) ? conn_new(profile, &session_events, cl, &cl->connection, err)
                                             : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    if (rc == LEDGER_OK)
        rc = conn_start(cl->connection, err);
    if (rc != LEDGER_OK) {
        client_free(cl);
        return rc;
    }
    *out = cl;
    return LEDGER_OK;
}

void client_end(struct ledger_client *cl)
{
    pthread_mutex_lock(&cl->mutex);
    if (!cl->closing) /* else the loop may be gone already */
        conn_wake(cl->connection);
    cl->closing = true;
    pthread_cond_broadcast(&cl->room);
    pthread_mutex_unlock(&cl->mutex);
}

LEDGER_API void ledger_client_close(struct ledger_client *cl)
{
    if (!cl)
        return;
    LEDGER_REQUIRE(!conn_is_own_thread(cl->connection));
    client_end(cl);
    conn_join(cl->connection);
    pthread_mutex_lock(&cl->mutex);
    while (cl->waiting)
        pthread_cond_wait(&cl->room, &cl->mutex);
    pthread_mutex_unlock(&cl->mutex);
    client_free(cl);
}

void client_keep_recorded(struct ledger_client *cl, unsigned timeout_ms, uint64_t index, const char *what, struct span note,
                          struct span record, struct ledger_err *err)
{
    struct call_request call = {.op = CALL_RECEIPT, .log_only = true, .u.receipt = {.by_index = true, .index = index}};
    struct reply *r = NULL;
    enum ledger_rc rc = client_call(cl, &call, timeout_ms, &r, err);
    if (rc == LEDGER_OK)
        client_keep_entry(cl->profile, what, r->u.receipt.file, err);
    else if (rc == LEDGER_ETAMPER && r) /* a receipt that does not verify is evidence itself, and kept already */
        *err = r->err;
    else
        client_keep_evidence(cl->profile, what, note, record, err);
    reply_free(r);
}
