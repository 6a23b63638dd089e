/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_job: one request against the machine, in the writer thread. Events are judged in order,
 * each on its own; or, when asked, all or nothing: then they are judged over a group of rows of
 * their own, which is dropped at the first refusal.
 */
#include <string.h>

#include "pipeline_internal.h"
#include "store/log.h"

#define LINK_BYTES 104 /* of a header, for each chain that it advances */

static enum ledger_rc no_room(struct ledger_err *err)
{
    return ledger_fail(err, LEDGER_ENOMEM,
                       "the receipts take too much memory; send fewer events together");
}

static enum ledger_rc recorded_before(struct writer *w, struct job *job, struct job_result *r,
                                      uint64_t index, struct ledger_err *err)
{
    struct entry_record record;
    enum ledger_rc rc = log_read(&w->m.kv, index, &record, err);
    if (rc)
        return rc;
    r->outcome = JOB_BEFORE;
    r->index = index;
    r->header = arena_copy(job->a, record.header);
    return r->header.p ? LEDGER_OK : no_room(err);
}

static enum ledger_rc judge_new(struct writer *w, struct job *job, size_t i, int64_t recorded_us,
                                struct ledger_err *err)
{
    struct work *work = work_of(job);
    struct work_event *e = &work->events[i];
    struct job_result *r = &job->results[i];
    struct appended_entry out = {0};
    work->block.index = (unsigned)i;
    work->block.path = e->path;
    work->block.path_n = e->path_n;
    struct submission s = {.ev = &e->ev, .block = e->block, .b = &work->block, .pre = &work->pre};
    enum ledger_rc rc = machine_event(&w->m, &s, recorded_us, &out, &r->why, err);
    r->index = out.index;
    if (rc == LEDGER_EREFUSED) {
        r->outcome = JOB_REFUSED;
        return LEDGER_OK;
    }
    if (rc)
        return rc;
    w->batch_links += out.header.n / LINK_BYTES;
    r->outcome = JOB_ACCEPTED;
    r->header = arena_copy(job->a, out.header);
    return r->header.p ? LEDGER_OK : no_room(err);
}

static enum ledger_rc judge_one(struct writer *w, struct job *job, size_t i, int64_t recorded_us,
                                struct ledger_err *err)
{
    struct work *work = work_of(job);
    struct work_event *e = &work->events[i];
    struct job_result *r = &job->results[i];
    uint64_t index = 0;
    bool same = false;
    r->header = r->path = SPAN_NONE;
    r->index = 0;
    r->outcome = JOB_REFUSED;
    if (e->refused)
        return LEDGER_OK; /* by the decoder; a recorded event decodes, so this is none */
    memset(&r->why, 0, sizeof r->why);
    arena_reset(w->a);
    enum ledger_rc rc = machine_find_event(&w->m, &e->ev.id, e->block, &index, &same, err);
    if (rc == LEDGER_OK && same)
        return recorded_before(w, job, r, index, err);
    if (rc == LEDGER_OK) {
        r->index = index;
        refuse(&r->why, E_DUP_EVENT, NULL, "reference",
               "these very bytes are recorded as entry %llu with other signatures",
               (unsigned long long)index);
        return LEDGER_OK;
    }
    if (rc != LEDGER_ENOTFOUND)
        return rc;
    if (work->signatures_why.code != REFUSE_NONE) {
        r->why = work->signatures_why;
        return LEDGER_OK;
    }
    return judge_new(w, job, i, recorded_us, err);
}

/* The group was dropped: nothing of it is recorded, and its refusal must not name an entry that was
 * dropped with it. */
static void skip_others(struct job *job, size_t refused, uint64_t first)
{
    for (size_t i = 0; i < job->n_events; i++) {
        struct job_result *r = &job->results[i];
        if (i == refused || (i < refused && r->outcome == JOB_BEFORE && r->index < first))
            continue;
        r->outcome = JOB_SKIPPED;
        r->index = 0;
        r->header = SPAN_NONE;
    }
    struct job_result *r = &job->results[refused];
    if (r->why.code == E_DUP_EVENT && r->index >= first) {
        r->index = 0;
        refuse(&r->why, E_DUP_EVENT, NULL, "reference",
               "an event before it in the same request has the same reference");
    }
}

static enum ledger_rc judge_group(struct writer *w, struct job *job, int64_t recorded_us,
                                  struct ledger_err *err)
{
    struct machine saved = w->m;
    uint64_t links = w->batch_links;
    enum ledger_rc rc = LEDGER_OK;
    w->m.kv = kv_mem_kv(w->group);
    size_t i = 0;
    for (; i < job->n_events; i++) {
        rc = judge_one(w, job, i, recorded_us, err);
        if (rc || job->results[i].outcome == JOB_REFUSED)
            break;
    }
    if (!rc && i == job->n_events) {
        w->m.kv = saved.kv;
        return kv_mem_flush(w->group, err);
    }
    kv_mem_discard(w->group);
    w->m = saved;
    w->batch_links = links;
    if (!rc)
        skip_others(job, i, saved.size);
    return rc;
}

enum ledger_rc judge_job(struct writer *w, struct job *job, int64_t recorded_us,
                         struct ledger_err *err)
{
    if (job->all_or_nothing && job->n_events > 1)
        return judge_group(w, job, recorded_us, err);
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < job->n_events && !rc; i++)
        rc = judge_one(w, job, i, recorded_us, err);
    return rc;
}
