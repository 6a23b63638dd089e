/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline: its threads, its one bounded queue, and its end. What a worker does with a job is in
 * workers.c, what the writer does in writer.c.
 *
 * Failure: a job that cannot be done for want of memory or disk is answered with an error and
 * "nothing was recorded". When the outcome of a commit is unknown nothing is answered any more:
 * fatal_cb is called and the process has to end.
 */
#include "pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "anchor.h"
#include "log.h"
#include "pipeline_internal.h"
#include "thread.h"

#define QUEUE_JOBS_DEFAULT 256u
#define WORKERS_MAX 256u

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

static int64_t system_real_us(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_monotonic_us(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_MONOTONIC);
}

static void set_options(struct pipeline *p, const struct pipeline_options *o)
{
    static const struct pipeline_clock system_clock = {system_real_us, system_monotonic_us, NULL};
    p->o = *o;
    p->o.anchor_path = NULL; /* borrowed from the caller: used during the start only */
    snprintf(p->program, sizeof p->program, "%s", o->program ? o->program : "ledgerd");
    p->o.program = p->program;
    p->w.clock.source = o->clock ? *o->clock : system_clock;
    if (p->o.queue_jobs_max == 0)
        p->o.queue_jobs_max = QUEUE_JOBS_DEFAULT;
    if (p->o.batch_events_max == 0)
        p->o.batch_events_max = BATCH_EVENTS_MAX;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    p->n_workers = o->workers ? o->workers : cores > 0 ? (unsigned)cores : 1u;
    if (p->n_workers > WORKERS_MAX)
        p->n_workers = WORKERS_MAX;
}

static void init_locks(struct pipeline *p)
{
    pthread_mutex_init(&p->lock, NULL);
    thread_cond_init(&p->new_work);
    thread_cond_init(&p->ready_work);
    thread_cond_init(&p->signed_note);
}

static enum ledger_rc start_threads(struct pipeline *p, struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    p->workers = calloc(p->n_workers, sizeof *p->workers);
    if (!p->workers)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    while (!rc && p->n_started < p->n_workers) {
        rc = thread_start(&p->workers[p->n_started], "worker", worker_main, p, err);
        p->n_started += rc == LEDGER_OK;
    }
    if (!rc)
        rc = thread_start(&p->writer, "writer", writer_main, p, err);
    p->writer_started = rc == LEDGER_OK;
    return rc;
}

static void broken_cb(void *pipeline, const struct ledger_err *err)
{
    pipeline_fatal(pipeline, err);
}

enum ledger_rc pipeline_start(const struct pipeline_options *o, struct pipeline **out,
                              struct ledger_err *err)
{
    *out = NULL;
    struct pipeline *p = calloc(1, sizeof *p);
    if (!p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    set_options(p, o);
    init_locks(p);
    p->own_end = &p->own_first;
    p->o.anchor_path = o->anchor_path;
    enum ledger_rc rc = writer_init(&p->w, p, err);
    p->o.anchor_path = NULL;
    store_watch(o->store, broken_cb, p);
    if (!rc) {
        logline(LOG_INFO, "ledger opened", "origin=%s size=%llu epoch=%llu workers=%u",
                p->w.m.origin, (unsigned long long)p->stats.size, (unsigned long long)p->w.m.epoch,
                p->n_workers);
        rc = start_threads(p, err);
    }
    if (rc) {
        pipeline_stop(p);
        pipeline_free(p);
        return rc;
    }
    *out = p;
    return LEDGER_OK;
}

static struct work *work_new(struct job *job)
{
    struct arena *a = arena_new(WORK_BUDGET);
    struct work *work = a ? arena_alloc(a, sizeof *work) : NULL;
    if (!work) {
        arena_free(a);
        return NULL;
    }
    work->a = a;
    work->job = job;
    return work;
}

void work_free(struct job *job)
{
    struct work *work = work_of(job);
    job->scratch = NULL;
    if (work)
        arena_free(work->a);
}

enum ledger_rc pipeline_submit(struct pipeline *p, struct job *job)
{
    struct work *work = work_new(job);
    if (!work)
        return LEDGER_EBUSY; /* no memory for one more */
    enum ledger_rc rc = LEDGER_OK;
    pthread_mutex_lock(&p->lock);
    if (p->stopping || p->dead || p->jobs >= p->o.queue_jobs_max) {
        rc = LEDGER_EBUSY;
    } else {
        job->scratch = work;
        job->next = NULL;
        job->rc = LEDGER_OK;
        job->unknown = false;
        if (p->tail)
            p->tail->next = job;
        else
            p->head = job;
        p->tail = job;
        if (!p->next_new)
            p->next_new = job;
        p->jobs++;
        pthread_cond_signal(p->idle ? &p->ready_work : &p->new_work);
        p->idle = false;
    }
    pthread_mutex_unlock(&p->lock);
    if (rc)
        arena_free(work->a);
    return rc;
}

enum ledger_rc pipeline_record_own(struct pipeline *p, struct own_job *job)
{
    enum ledger_rc rc = LEDGER_OK;
    pthread_mutex_lock(&p->lock);
    if (p->stopping || p->dead || p->own_jobs >= OWN_JOBS_MAX) {
        rc = LEDGER_EBUSY;
    } else {
        job->next = NULL;
        job->rc = LEDGER_OK;
        *p->own_end = job;
        p->own_end = &job->next;
        p->own_jobs++;
        pthread_cond_signal(&p->ready_work);
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

void pipeline_done(struct pipeline *p, struct job *job)
{
    work_free(job);
    job->next = NULL;
    pthread_mutex_lock(&p->lock);
    p->jobs--;
    pthread_mutex_unlock(&p->lock);
    p->o.done_cb(p->o.ctx, job);
}

void stats_trouble(struct pipeline *p, const struct ledger_err *err)
{
    p->stats.writable = false;
    snprintf(p->stats.text, sizeof p->stats.text, "%.*s", (int)sizeof p->stats.text - 1, err->msg);
}

void pipeline_fatal(struct pipeline *p, const struct ledger_err *err)
{
    pthread_mutex_lock(&p->lock);
    bool first = !p->dead;
    p->dead = true;
    stats_trouble(p, err);
    pthread_cond_broadcast(&p->new_work);
    pthread_cond_broadcast(&p->ready_work);
    pthread_mutex_unlock(&p->lock);
    if (!first)
        return;
    logline(LOG_ERROR, "the ledger cannot go on; nothing that is open is answered", "error=%s",
            err->msg);
    if (p->o.fatal_cb)
        p->o.fatal_cb(p->o.ctx, err);
}

void pipeline_fence(struct pipeline *p, const struct ledger_err *why)
{
    pthread_mutex_lock(&p->lock);
    p->fenced = true;
    stats_trouble(p, why);
    pthread_cond_broadcast(&p->ready_work);
    pthread_mutex_unlock(&p->lock);
}

void pipeline_stop(struct pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->new_work);
    pthread_cond_broadcast(&p->ready_work);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n_started; i++)
        pthread_join(p->workers[i], NULL);
    p->n_started = 0;
    if (p->writer_started)
        pthread_join(p->writer, NULL);
    p->writer_started = false;
    store_watch(p->o.store, NULL, NULL);
    pthread_mutex_lock(&p->lock);
    struct anchor *an = p->anchor;
    p->anchor = NULL;
    pthread_mutex_unlock(&p->lock);
    anchor_stop(an);
}

void pipeline_free(struct pipeline *p)
{
    if (!p)
        return;
    for (struct job *j = p->head, *next; j; j = next) { /* after a fatal error: never answered */
        next = j->next;
        work_free(j);
    }
    writer_fini(&p->w);
    free(p->workers);
    pthread_cond_destroy(&p->new_work);
    pthread_cond_destroy(&p->ready_work);
    pthread_cond_destroy(&p->signed_note);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void pipeline_stats(const struct pipeline *cp, struct pipeline_stats *out)
{
    struct pipeline *p = (struct pipeline *)(uintptr_t)cp; /* the lock is no part of its value */
    pthread_mutex_lock(&p->lock);
    *out = p->stats;
    out->jobs = p->jobs;
    if (p->anchor)
        out->anchor_size = anchor_size(p->anchor);
    pthread_mutex_unlock(&p->lock);
}
