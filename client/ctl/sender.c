/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sender: batches on their way (sender.h). A *flight* is a batch with the places of its events in
 * the order of results; places that need no answer stand between them. Flights end in any order and
 * are delivered in theirs.
 */
#include "sender.h"

#include "message.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PLACES_MAX 4096u

struct place {
    void *tag;
    bool local;
};
struct flight {
    struct flight *next;
    struct sender *sender;
    struct ledger_batch *batch; /* NULL: only local results */
    struct signing signings[SIGNATURES_READ_MAX];
    unsigned n_signings;
    struct place *places;
    size_t n, cap;
    bool started;
    bool done;           /* under the mutex */
    struct reply *reply; /* under the mutex until done */
};
struct sender {
    struct ctl *ctl;
    bool all_or_nothing;
    sender_cb cb;
    void *ctx;
    struct flight *first, *open, **end; /* in order; `open` is the last one, not started yet */
    unsigned started, batches;
    bool answered; /* something may be recorded by now: no later failure is that of everything */
    int exit; /* of the first failure; then nothing is sent any more */
    pthread_mutex_t mutex;
    pthread_cond_t landed;
};

struct sender *sender_new(struct ctl *ctl, bool all_or_nothing, sender_cb cb, void *ctx)
{
    struct sender *s = calloc(1, sizeof *s);
    if (!s) {
        (void)ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
        return NULL;
    }
    s->ctl = ctl;
    s->all_or_nothing = all_or_nothing;
    s->cb = cb;
    s->ctx = ctx;
    s->end = &s->first;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->landed, NULL);
    return s;
}

static void flight_free(struct flight *f)
{
    reply_free(f->reply);
    ledger_batch_free(f->batch);
    free(f->places);
    free(f);
}

unsigned sender_batches(const struct sender *s)
{
    return s->batches;
}

/* ---- results ---- */

/* In the library's thread. */
static void land(void *user, struct reply *r)
{
    struct flight *f = user;
    struct sender *s = f->sender;
    pthread_mutex_lock(&s->mutex);
    f->reply = r;
    f->done = true;
    pthread_cond_signal(&s->landed);
    pthread_mutex_unlock(&s->mutex);
}

static void deliver(struct sender *s, struct flight *f)
{
    size_t at = 0;
    bool answered = f->reply && f->reply->recorded == LEDGER_RECORDED_ANSWERED;
    s->answered |= answered;
    for (size_t i = 0; i < f->n; i++) {
        struct sent sent = {.recorded = LEDGER_RECORDED_ANSWERED};
        if (!f->places[i].local) {
            sent.event_id = &f->batch->events[at].id;
            if (answered)
                sent.result = &f->reply->u.submit.results[at];
            else
                sent.recorded = f->reply ? f->reply->recorded : LEDGER_RECORDED_NOTHING;
            if (answered && f->reply->has_checkpoint)
                sent.checkpoint = &f->reply->snapshot.cp;
            at++;
        }
        s->cb(s->ctx, f->places[i].tag, &sent);
    }
}

/* What may be said of all events together: nothing, while some others are recorded, or on their way. Each has a line of its own. */
static enum ledger_recorded of_all(const struct sender *s, enum ledger_recorded of_one)
{
    return of_one == LEDGER_RECORDED_NOTHING && (s->answered || s->started) ? (enum ledger_recorded)0 : of_one;
}

static void note_failure(struct sender *s, const struct flight *f)
{
    if (!f->reply || f->reply->rc == LEDGER_OK || s->exit)
        return;
    struct ledger_err err = f->reply->err;
    err.rc = f->reply->rc;
    s->exit = ctl_fail_err(s->ctl, &err, of_all(s, f->reply->recorded));
}

/* Delivers flights from the front until at most `most` started ones are left; with 0 all of them,
 * local ones too. */
static void settle(struct sender *s, unsigned most)
{
    while (s->first && s->first != s->open && (s->started > most || most == 0)) {
        struct flight *f = s->first;
        if (f->started) {
            pthread_mutex_lock(&s->mutex);
            while (!f->done)
                pthread_cond_wait(&s->landed, &s->mutex);
            pthread_mutex_unlock(&s->mutex);
            s->started--;
        }
        note_failure(s, f);
        deliver(s, f);
        s->first = f->next;
        if (!s->first)
            s->end = &s->first;
        flight_free(f);
    }
}

void sender_free(struct sender *s)
{
    if (!s)
        return;
    s->open = NULL;
    for (struct flight *f = s->first, *next; f; f = next) {
        next = f->next;
        pthread_mutex_lock(&s->mutex);
        while (f->started && !f->done)
            pthread_cond_wait(&s->landed, &s->mutex);
        pthread_mutex_unlock(&s->mutex);
        flight_free(f);
    }
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->landed);
    free(s);
}

/* ---- sending ---- */

static int fail(struct sender *s, const struct ledger_err *err)
{
    s->exit = ctl_fail_err(s->ctl, err, of_all(s, LEDGER_RECORDED_NOTHING));
    return s->exit;
}

static int sign(struct sender *s, struct flight *f)
{
    struct ledger_err err = {0};
    if (f->n_signings == 0)
        batch_leave_unsigned(f->batch);
    for (unsigned i = 0; i < f->n_signings; i++)
        if (batch_sign(f->batch, f->signings[i].key, f->signings[i].meaning, NULL, &err))
            return fail(s, &err);
    return EXIT_GOOD;
}

/* Closes the open flight and sends it. One that cannot be sent is delivered as "nothing was
 * recorded". */
static int launch(struct sender *s)
{
    struct flight *f = s->open;
    struct ledger_err err = {0};
    s->open = NULL;
    if (!f || !f->batch || s->exit)
        return s->exit;
    s->exit = ctl_connect(s->ctl);
    if (s->exit || sign(s, f))
        return s->exit;
    settle(s, SENDER_FLIGHTS - 1);
    if (s->exit)
        return s->exit;
    struct call_request rq = {.op = CALL_SUBMIT, .u.submit = {f->batch, s->all_or_nothing, s->ctl->witnessed}};
    if (client_start(s->ctl->client, &rq, s->ctl->timeout_ms, land, f, &err))
        return fail(s, &err);
    s->ctl->unsent = false;
    f->started = true;
    s->started++;
    return EXIT_GOOD;
}

void sender_stop(struct sender *s, int exit)
{
    if (!s->exit)
        s->exit = exit;
}

int sender_drain(struct sender *s)
{
    (void)launch(s);
    settle(s, 0);
    return s->exit;
}

static struct flight *open_flight(struct sender *s)
{
    if (s->open)
        return s->open;
    struct flight *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->sender = s;
    *s->end = f;
    s->end = &f->next;
    s->open = f;
    return f;
}

static struct place *add_place(struct flight *f)
{
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 16;
        struct place *grown = realloc(f->places, cap * sizeof *grown);
        if (!grown)
            return NULL;
        f->places = grown;
        f->cap = cap;
    }
    f->places[f->n] = (struct place){0};
    return &f->places[f->n++];
}

static int no_memory(struct sender *s)
{
    s->exit = ctl_fail(s->ctl, EXIT_NO_ANSWER, "out of memory");
    return s->exit;
}

int sender_local(struct sender *s, void *tag)
{
    if (!s->exit && s->open && s->open->n >= PLACES_MAX && !s->all_or_nothing)
        (void)launch(s);
    if (s->exit)
        return s->exit;
    struct flight *f = open_flight(s);
    struct place *p = f ? add_place(f) : NULL;
    if (!p)
        return no_memory(s);
    *p = (struct place){tag, true};
    return EXIT_GOOD;
}

static bool same_meaning(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool fits(const struct flight *f, const struct signing *signings, unsigned n)
{
    if (!f->batch)
        return true;
    if (f->n_signings != n || f->batch->n == BATCH_EVENTS_MAX || f->n >= PLACES_MAX)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (f->signings[i].key != signings[i].key ||
            !same_meaning(f->signings[i].meaning, signings[i].meaning))
            return false;
    return true;
}

/* A batch for the open flight. Meanings are borrowed until it is signed, so they are copied. */
static int begin_batch(struct sender *s, struct flight *f, const struct signing *signings,
                       unsigned n)
{
    struct ledger_err err = {0};
    if (f->batch)
        return EXIT_GOOD;
    int exit = ctl_profile(s->ctl);
    if (exit)
        return s->exit = exit;
    if (ledger_batch_new(s->ctl->profile->origin, &f->batch, &err))
        return fail(s, &err);
    s->batches++;
    f->n_signings = n;
    for (unsigned i = 0; i < n; i++)
        f->signings[i] = (struct signing){
            signings[i].key,
            signings[i].meaning ? ctl_text(s->ctl, "%s", signings[i].meaning) : NULL};
    return EXIT_GOOD;
}

/* Makes room for an event that does not fit into the open batch. */
static void next_batch(struct sender *s)
{
    if (s->all_or_nothing)
        s->exit = ctl_fail(s->ctl, EXIT_USAGE,
                           "all or nothing takes one batch: at most %d events and %d bytes, with "
                           "the same signatures",
                           BATCH_EVENTS_MAX, BATCH_BYTES_MAX);
    else
        (void)launch(s);
}

int sender_add(struct sender *s, const struct signing *signings, unsigned n, struct span event,
               void *tag, struct refusal *refused)
{
    struct ledger_err err = {0};
    enum ledger_rc rc = LEDGER_ELIMIT;
    *refused = (struct refusal){0};
    if (event.n > EVENT_SIZE_MAX) {
        refuse(refused, E_BAD_VALUE, NULL, "event", "event of %zu bytes; at most %d", event.n,
               EVENT_SIZE_MAX);
        return s->exit;
    }
    for (unsigned tries = 0; tries < 2 && rc == LEDGER_ELIMIT; tries++) {
        if (!s->exit && s->open && (tries > 0 || !fits(s->open, signings, n)))
            next_batch(s);
        struct flight *f = s->exit ? NULL : open_flight(s);
        if (s->exit)
            return s->exit;
        if (!f)
            return no_memory(s);
        if (begin_batch(s, f, signings, n))
            return s->exit;
        rc = ledger_batch_add(f->batch, event.p, event.n, &err);
    }
    if (rc)
        return fail(s, &err);
    struct place *p = add_place(s->open);
    if (!p)
        return no_memory(s);
    p->tag = tag;
    if (!s->all_or_nothing)
        s->ctl->unsent = false; /* what fails from here on does not keep this one from being sent */
    return EXIT_GOOD;
}
