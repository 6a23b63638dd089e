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
    struct submission s = {.ev = &e->ev, .block = e->block, .b = &work->block, .pre = &work->pre, .unrecorded = true};
    struct signed_own own = {.kind = (enum own_kind)job->own_kind,
                             .payload = job->events[i],
                             .block = e->block,
                             .b = &work->block,
                             .pre = &work->pre};
    enum ledger_rc rc = job->own_kind
                            ? machine_own_signed(&w->m, &own, recorded_us, &out, &r->why, err)
                            : machine_event(&w->m, &s, recorded_us, &out, &r->why, err);
    r->index = out.index;
    if (rc == LEDGER_EREFUSED) {
        r->outcome = JOB_REFUSED;
        return LEDGER_OK;
    }
    if (rc)
        return rc;
    w->batch_links += out.header.n / LINK_BYTES;
    w->ordinary |= job->own_kind || e->ev.kind->kind != KIND_RECALL_CHANGED || event_enum(&e->ev, FIELD_ACTION) != RECALL_ISSUED;
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

/* Nothing is recorded that could then not be carried out: the answer is that of a full disk. */
static bool no_room_to_erase(struct writer *w, struct job *job)
{
    struct ledger_err why = {0};
    if (job->own_kind != OWN_ERASURE || store_compact_room(w->p->o.store, &why) == LEDGER_OK)
        return false;
    job->rc = ledger_fail(&job->err, LEDGER_EFULL, "%s; nothing was recorded", why.msg);
    job->results[0].outcome = JOB_SKIPPED;
    return true;
}

/* Judged over a group of rows of its own: where it fails half-way nothing of it stays. What this version cannot carry out
 * is told like a refusal; it is nobody's fault but the act's. */
enum ledger_rc judge_own(struct writer *w, struct job *job, int64_t recorded_us,
                         struct ledger_err *err)
{
    struct machine saved = w->m;
    struct job_result *r = &job->results[0];
    struct ledger_err why = {0};
    job->rc = LEDGER_OK; /* of an earlier try, in a batch that failed for another */
    if (no_room_to_erase(w, job))
        return LEDGER_OK;
    w->m.kv = kv_mem_kv(w->group);
    enum ledger_rc rc = judge_one(w, job, 0, recorded_us, &why);
    if (!rc && r->outcome == JOB_ACCEPTED) {
        w->m.kv = saved.kv;
        w->erased |= job->own_kind == OWN_ERASURE;
        return kv_mem_flush(w->group, err);
    }
    kv_mem_discard(w->group);
    w->m = saved;
    if (rc == LEDGER_EINVAL || rc == LEDGER_EVERSION) {
        r->outcome = JOB_REFUSED;
        refuse(&r->why, E_BAD_VALUE, NULL, "payload", "%s", why.msg);
        return LEDGER_OK;
    }
    if (rc && err)
        *err = why;
    return rc;
}

enum ledger_rc judge_job(struct writer *w, struct job *job, int64_t recorded_us,
                         struct ledger_err *err)
{
    if (job->own_kind)
        return judge_own(w, job, recorded_us, err);
    if (job->all_or_nothing && job->n_events > 1)
        return judge_group(w, job, recorded_us, err);
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < job->n_events && !rc; i++)
        rc = judge_one(w, job, i, recorded_us, err);
    return rc;
}
