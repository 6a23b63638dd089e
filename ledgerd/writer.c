/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer: the one thread that changes the ledger: its start, its loop, its heartbeat, its end. What
 * one batch is: writer_batch.c.
 *
 * A batch that fails for want of memory or space, or because something stored does not verify,
 * recorded nothing; its requests are tried again one by one, so that a request that is too large, or
 * needs what has rotted, fails alone. Any other failure is a broken invariant
 * or an unknown outcome: fatal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "anchor.h"
#include "files.h"
#include "log.h"
#include "log_note.h"
#include "pipeline_internal.h"
#include "tail.h"

/* ---- start ---- */

static enum ledger_rc allocate(struct writer *w, struct ledger_err *err)
{
    w->c = crypto_new();
    w->a = arena_new(SCRATCH_BUDGET);
    w->worker = worker_new(w->p);
    w->batch = kv_mem_new(&w->txn, BATCH_BUDGET);
    if (w->batch) {
        w->rows = kv_mem_kv(w->batch);
        w->group = kv_mem_new(&w->rows, BATCH_BUDGET);
    }
    if (!w->c || !w->a || !w->worker || !w->batch || !w->group)
        return ledger_fail(err, LEDGER_ENOMEM, "the writer: out of memory");
    return LEDGER_OK;
}

/* A ledger that was never started has no anchor yet; a missing one later on would hide a
 * rollback. */
static enum ledger_rc check_anchor(const char *path, const struct tail *t, struct ledger_err *err)
{
    uint64_t size = 0;
    enum ledger_rc rc = tail_anchor(path, t, &size, err);
    if (rc != LEDGER_ENOTFOUND)
        return rc;
    if (t->m.epoch == 0)
        return LEDGER_OK;
    return ledger_fail(err, LEDGER_EINVAL,
                       "the anchor %s is missing: put the newest checkpoint that anybody holds "
                       "there; see \"Restoring\" in "
                       "docs/operations.md",
                       path);
}

static enum ledger_rc verify_tail(struct writer *w, const char *anchor, struct ledger_err *err)
{
    struct store *s = w->p->o.store;
    struct store_snapshot *sn;
    struct tail t;
    enum ledger_rc rc = store_snapshot_open(s, &sn, err);
    if (rc)
        return rc;
    rc = tail_verify(s, sn, w->c, w->a, &t, err);
    if (!rc)
        rc = check_anchor(anchor, &t, err);
    store_snapshot_close(sn);
    w->m = t.m;
    w->m.kv = w->rows;
    w->root = t.root;
    w->key = t.key;
    w->note_size = t.m.size;
    return rc;
}

enum ledger_rc writer_init(struct writer *w, struct pipeline *p, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    w->p = p;
    enum ledger_rc rc = allocate(w, err);
    if (!rc)
        rc = anchor_path(p->o.anchor_path, store_dir(p->o.store), path, err);
    if (!rc)
        rc = verify_tail(w, path, err);
    if (!rc && p->o.ask_cb)
        rc = p->o.ask_cb(p->o.ctx, err);
    if (rc)
        return rc;
    /* What is there already, with the same note as the last time. An anchor that cannot be written is
     * found out before anything is recorded. */
    struct checkpoint present = {span_str(w->m.origin), w->note_size, w->root};
    struct span note = SPAN_NONE;
    rc = log_note(p->o.store, &w->m, &present, w->a, &note, err);
    if (!rc)
        rc = anchor_write(path, note, err);
    if (rc)
        return rc;
    memcpy(p->origin, w->m.origin, sizeof p->origin);
    if (p->o.heartbeat_s == 0)
        p->o.heartbeat_s = w->m.heartbeat_s;
    clock_watch_start(&w->clock, w->m.recorded_us);
    writer_compact_init(w);
    w->held = p->o.hold_cb && w->note_size + 1 == w->m.log_key_from;
    if (w->held) {
        p->stats.size = w->note_size;
        snprintf(p->stats.text, sizeof p->stats.text, "waiting for the witnesses to cosign the old log key's last checkpoint");
    }
    if (!w->held)
        rc = writer_own(w, OWN_EPOCH, err);
    if (!rc && !w->held)
        rc = anchor_write(path, span_of(w->note, w->note_n), err);
    if (!rc)
        rc = anchor_start(path, w->note_size, &p->anchor, err);
    return rc;
}

void writer_fini(struct writer *w)
{
    kv_mem_free(w->group);
    kv_mem_free(w->batch);
    worker_free(w->worker);
    arena_free(w->a);
    crypto_free(w->c);
}

/* ---- the loop ---- */

int64_t monotonic_now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

static int64_t heartbeat_due_us(const struct writer *w)
{
    return w->p->o.heartbeat_s ? w->sealed_us + (int64_t)w->p->o.heartbeat_s * US_PER_S : INT64_MAX;
}

static int64_t next_due_us(const struct writer *w)
{
    int64_t heartbeat = heartbeat_due_us(w);
    return heartbeat < w->compact_due_us ? heartbeat : w->compact_due_us;
}

static bool front_ready(const struct pipeline *p)
{
    return p->head && work_of(p->head)->state == WORK_READY;
}

/* With the lock, which is given up meanwhile. */
static void prepare_front(struct writer *w)
{
    struct job *job = work_take(w->p);
    pthread_mutex_unlock(&w->p->lock);
    worker_prepare(w->worker, job);
    pthread_mutex_lock(&w->p->lock);
    work_give(w->p, job);
}

/* With the lock. A job that was meant for the writer, which has something else to do. */
static void call_worker(struct pipeline *p)
{
    if (p->next_new)
        pthread_cond_signal(&p->new_work);
}

static int wait_until(struct pipeline *p, int64_t due_us)
{
    if (due_us == INT64_MAX)
        return pthread_cond_wait(&p->ready_work, &p->lock);
    struct timespec until = {.tv_sec = due_us / US_PER_S, .tv_nsec = due_us % US_PER_S * 1000};
    return pthread_cond_timedwait(&p->ready_work, &p->lock, &until);
}

/* Waits until there is something to do; with the lock. What nobody has prepared yet, and everything else waits for, it prepares itself. */
static void wait_for_work(struct writer *w)
{
    struct pipeline *p = w->p;
    int64_t due = next_due_us(w);
    int e = 0;
    while (!front_ready(p) && !p->own_first && !p->dead && !(p->stopping && !p->head) && e == 0) {
        if (p->head && p->next_new == p->head) {
            prepare_front(w);
            continue;
        }
        call_worker(p);
        p->idle = !p->head;
        e = wait_until(p, due);
        p->idle = false;
    }
    call_worker(p);
}

/* Takes what is ready at the front, as many events as one batch may have but at least one request;
 * with the lock. */
static struct job *take_ready(struct pipeline *p)
{
    struct job *first = NULL, **end = &first;
    size_t events = 0;
    while (front_ready(p) && (!first || events + p->head->n_events <= p->o.batch_events_max)) {
        struct job *job = p->head;
        p->head = job->next;
        if (!p->head)
            p->tail = NULL;
        job->next = NULL;
        events += job->n_events;
        *end = job;
        end = &job->next;
    }
    return first;
}

/* With the lock. */
static struct own_job *take_own(struct pipeline *p)
{
    struct own_job *job = p->own_first;
    if (!job)
        return NULL;
    p->own_first = job->next;
    if (!p->own_first)
        p->own_end = &p->own_first;
    p->own_jobs--;
    job->next = NULL;
    return job;
}

/* Requests that the workers could not prepare are answered at once; the rest is what goes on. */
static struct job *answer_unprepared(struct pipeline *p, struct job *jobs)
{
    struct job *good = NULL, **end = &good;
    for (struct job *job = jobs, *next; job; job = next) {
        next = job->next;
        job->next = NULL;
        if (job->rc) {
            pipeline_done(p, job);
        } else {
            *end = job;
            end = &job->next;
        }
    }
    return good;
}

/* EBUSY: no batch was begun, since too many look at the store. */
static bool nothing_recorded(enum ledger_rc rc)
{
    return rc == LEDGER_ENOMEM || rc == LEDGER_EFULL || rc == LEDGER_ELIMIT || rc == LEDGER_ETAMPER || rc == LEDGER_EBUSY;
}

/* At most one line a second: clients try again. */
static void report_rot(struct writer *w, struct ledger_err *err)
{
    int64_t now = monotonic_now_us();
    if (w->rotten.rc)
        *err = w->rotten; /* what was read says more than who read it */
    if (w->rotten_us && now - w->rotten_us < US_PER_S)
        return;
    w->rotten_us = now;
    logline(LOG_ERROR, "stored data does not verify; what needs it is not recorded", "error=%s see=%s", err->msg, "\"Rot\" in docs/operations.md");
}

static void report_trouble(struct writer *w, enum ledger_rc rc, struct ledger_err *err)
{
    struct pipeline *p = w->p;
    if (rc == LEDGER_ETAMPER)
        report_rot(w, err);
    if (rc != LEDGER_EFULL)
        return;
    pthread_mutex_lock(&p->lock);
    bool first = p->stats.writable;
    stats_trouble(p, err);
    pthread_mutex_unlock(&p->lock);
    if (first)
        logline(LOG_ERROR, "nothing can be recorded", "error=%s", err->msg);
}

static void fail_job(struct pipeline *p, struct job *job, enum ledger_rc rc,
                     const struct ledger_err *err)
{
    job->rc = rc;
    job->err = *err;
    job->err.rc = rc;
    pipeline_done(p, job);
}

static void forget(struct job *jobs)
{
    for (; jobs; jobs = jobs->next)
        work_free(jobs);
}

/* Each on its own, after a batch of them failed. False: fatal. */
static bool write_singly(struct writer *w, struct job *jobs)
{
    while (jobs) {
        struct ledger_err err = {0};
        struct job *job = jobs, *rest = NULL;
        jobs = job->next;
        job->next = NULL;
        enum ledger_rc rc = writer_batch(w, job, &rest, &err);
        if (nothing_recorded(rc)) {
            report_trouble(w, rc, &err);
            fail_job(w->p, job, rc, &err);
        } else if (rc) {
            job->next = jobs;
            forget(job);
            pipeline_fatal(w->p, &err);
            return false;
        }
    }
    return true;
}

static bool write_jobs(struct writer *w, struct job *jobs)
{
    while (jobs) {
        struct ledger_err err = {0};
        struct job *rest = NULL;
        enum ledger_rc rc = writer_batch(w, jobs, &rest, &err);
        if (nothing_recorded(rc))
            return write_singly(w, jobs);
        if (rc) {
            forget(jobs);
            pipeline_fatal(w->p, &err);
            return false;
        }
        jobs = rest;
    }
    return true;
}

/* A seal without events: the ledger says that nothing happened. */
static bool write_seal(struct writer *w)
{
    struct ledger_err err = {0};
    enum ledger_rc rc = writer_own(w, OWN_SEAL, &err);
    if (nothing_recorded(rc))
        report_trouble(w, rc == LEDGER_ETAMPER ? rc : LEDGER_EFULL, &err);
    else if (rc)
        pipeline_fatal(w->p, &err);
    return rc == LEDGER_OK || nothing_recorded(rc);
}

static bool payload_refused(enum ledger_rc rc)
{
    return rc == LEDGER_EINVAL || rc == LEDGER_EVERSION;
}

/* False: fatal; then nobody is told. */
static bool write_own(struct writer *w, struct own_job *job)
{
    struct ledger_err err = {0};
    enum ledger_rc rc = writer_record(w, job, &err);
    if (nothing_recorded(rc)) {
        report_trouble(w, rc, &err);
    } else if (rc && !payload_refused(rc)) {
        pipeline_fatal(w->p, &err);
        return false;
    }
    job->rc = rc;
    job->err = err;
    job->err.rc = rc;
    job->done_cb(job);
    return true;
}

/* What an earlier try could not destroy. */
static bool compact_again(struct writer *w)
{
    struct ledger_err err = {0};
    if (writer_compact(w, &err) != LEDGER_EINTERNAL)
        return true;
    pipeline_fatal(w->p, &err);
    return false;
}

#define HOLD_POLL_US 50000

/* Takes what is submitted while nothing may be recorded, and answers it at once. */
static void turn_away(struct pipeline *p, struct job *jobs, struct own_job *own, const struct ledger_err *err)
{
    for (struct job *job = jobs, *next; job; job = next) {
        next = job->next;
        job->next = NULL;
        fail_job(p, job, err->rc, err);
    }
    if (own) {
        own->rc = err->rc;
        own->err = *err;
        own->done_cb(own);
    }
}

/* Clients come again by themselves. False: the end has come, and nobody waits any more. */
static bool refuse_meanwhile(struct pipeline *p)
{
    struct ledger_err err;
    struct timespec ts;
    int64_t until = monotonic_now_us() + HOLD_POLL_US;
    ts = (struct timespec){.tv_sec = until / US_PER_S, .tv_nsec = until % US_PER_S * 1000};
    ledger_fail(&err, LEDGER_EBUSY, "the ledger waits for its witnesses to cosign the old log key's last checkpoint; nothing was recorded");
    pthread_mutex_lock(&p->lock);
    if (!front_ready(p) && !p->own_first && !p->dead && !(p->stopping && !p->head))
        (void)pthread_cond_timedwait(&p->ready_work, &p->lock, &ts);
    struct job *jobs = take_ready(p);
    struct own_job *own = take_own(p);
    bool end = p->dead || (p->stopping && !p->head && !p->own_first);
    pthread_mutex_unlock(&p->lock);
    turn_away(p, jobs, own, &err);
    return !end;
}

/* Another process signs as this ledger (pipeline_fence): until the end nothing is written, no seal either. */
static void refuse_for_good(struct writer *w, struct job *jobs, struct own_job *own)
{
    struct pipeline *p = w->p;
    struct ledger_err err;
    pthread_mutex_lock(&p->lock);
    ledger_fail(&err, LEDGER_EFULL, "%s; nothing was recorded", p->stats.text);
    pthread_mutex_unlock(&p->lock);
    turn_away(p, jobs, own, &err);
    w->sealed_us = monotonic_now_us();
}

/* The epoch entry of a start whose newest checkpoint is an old log key's last. False: the end came before, or it failed. */
static bool begin_held(struct writer *w)
{
    struct pipeline *p = w->p;
    struct ledger_err err = {0};
    logline(LOG_INFO, "nothing is recorded before the witnesses have cosigned the old log key's last checkpoint", "size=%llu",
            (unsigned long long)w->note_size);
    while (p->o.hold_cb(p->o.ctx, w->note_size))
        if (!refuse_meanwhile(p))
            return false;
    logline(LOG_INFO, "the witnesses have cosigned the old log key's last checkpoint", NULL);
    if (writer_own(w, OWN_EPOCH, &err) != LEDGER_OK) {
        pipeline_fatal(p, &err);
        return false;
    }
    anchor_set(p->anchor, w->note_size, span_of(w->note, w->note_n));
    if (p->o.committed_cb)
        p->o.committed_cb(p->o.ctx, w->note_size);
    return true;
}

void *writer_main(void *pipeline)
{
    struct pipeline *p = pipeline;
    struct writer *w = &p->w;
    bool alive = !w->held || begin_held(w);
    while (alive) {
        pthread_mutex_lock(&p->lock);
        wait_for_work(w);
        struct job *jobs = take_ready(p);
        struct own_job *own = p->dead ? NULL : take_own(p);
        alive = !p->dead;
        bool end = p->stopping && !p->head && !jobs && !own && !p->own_first, fenced = p->fenced;
        pthread_mutex_unlock(&p->lock);
        if (fenced && alive) {
            refuse_for_good(w, jobs, own);
            alive = !end && (monotonic_now_us() < w->compact_due_us || compact_again(w));
            continue;
        }
        if (!alive)
            forget(jobs);
        else if (jobs)
            alive = write_jobs(w, answer_unprepared(p, jobs));
        if (alive && own)
            alive = write_own(w, own);
        if (alive && monotonic_now_us() >= w->compact_due_us)
            alive = compact_again(w);
        if (alive && (end || monotonic_now_us() >= heartbeat_due_us(w)))
            alive = write_seal(w) && !end;
    }
    return NULL;
}
