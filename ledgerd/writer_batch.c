/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer_batch: one batch, from the first judgement to the answers.
 *
 *   begin → (clock step) → judge each request → seal → receipts' paths, checked against the new
 * root → append (commits), and a worker signs meanwhile → anchor → answers
 *
 * Everything that can fail for want of memory is done before the commit, so that after it there is
 * nothing left to do but to answer. A batch that accepted nothing writes nothing and is
 * answered with the latest checkpoint.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "anchor.h"
#include "log.h"
#include "pipeline_internal.h"
#include "store/log.h"

struct batch {
    struct job *jobs, *end; /* end: the first that is not part of it */
    struct machine before;
    struct checkpoint cp; /* what the answers stand on */
    bool wrote, own;
    bool reserve; /* the ledger's bare seals may use the disk's reserve */
    size_t events;
    int64_t commit_us;
};

static enum ledger_rc draw_nonce(uint8_t *out, size_t n, struct ledger_err *err)
{
    if (getrandom(out, n, 0) != (ssize_t)n)
        return ledger_fail(err, LEDGER_EINTERNAL, "no random numbers: %s", strerror(errno));
    return LEDGER_OK;
}

static void drop(struct writer *w, const struct batch *b)
{
    kv_mem_discard(w->group);
    kv_mem_discard(w->batch);
    store_abort(w->p->o.store);
    w->m = b->before;
}

static enum ledger_rc begin(struct writer *w, struct batch *b, struct ledger_err *err)
{
    b->before = w->m;
    w->batch_links = 0;
    w->erased = w->ordinary = false;
    return writer_begin(w, err);
}

/* A step of the clock is recorded before anything that is recorded by the clock. */
static enum ledger_rc note_clock_step(struct writer *w, struct ledger_err *err)
{
    struct clock_step step = {0};
    struct appended_entry out;
    if (!clock_watch_stepped(&w->clock, &step.clock_us, &step.expected_us))
        return LEDGER_OK;
    arena_reset(w->a);
    enum ledger_rc rc = draw_nonce(step.nonce, sizeof step.nonce, err);
    if (rc)
        return rc;
    struct span payload = clock_step_encode(w->a, &step);
    if (!payload.p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    rc = machine_own(&w->m, OWN_CLOCK_STEP, payload, step.clock_us, &out, err);
    if (rc)
        return rc;
    logline(LOG_WARN, "the clock was set", "clock_us=%lld expected_us=%lld",
            (long long)step.clock_us, (long long)step.expected_us);
    return LEDGER_OK;
}

static enum ledger_rc epoch_entry(struct writer *w, struct ledger_err *err)
{
    char host[256] = "";
    struct epoch e = {
        .epoch = w->m.epoch + 1, .program = span_str(w->p->program), .reason = SPAN_LIT("start")};
    struct appended_entry out;
    gethostname(host, sizeof host - 1);
    e.host = span_str(host);
    arena_reset(w->a);
    enum ledger_rc rc = draw_nonce(e.nonce, sizeof e.nonce, err);
    if (rc)
        return rc;
    struct span payload = epoch_encode(w->a, &e);
    if (!payload.p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    return machine_own(&w->m, OWN_EPOCH, payload, clock_watch_real_us(&w->clock), &out, err);
}

/* ---- judging and receipts ---- */

static enum ledger_rc judge_jobs(struct writer *w, struct batch *b, struct ledger_err *err)
{
    int64_t now = clock_watch_real_us(&w->clock);
    struct job *job = b->jobs;
    for (; job; job = job->next) {
        /* An erasure has a batch of its own: its answer waits until the bytes are destroyed. */
        bool alone = job->own_kind == OWN_ERASURE || w->erased;
        if (job != b->jobs && (alone || b->events + job->n_events > w->p->o.batch_events_max ||
                               w->batch_links >= BATCH_LINKS_MAX))
            break;
        enum ledger_rc rc = judge_job(w, job, now, err);
        if (rc)
            return rc;
        b->events += job->n_events;
    }
    b->end = job;
    return LEDGER_OK;
}

static enum ledger_rc seal(struct writer *w, struct batch *b, struct ledger_err *err)
{
    struct appended_entry out;
    arena_reset(w->a);
    return machine_seal(&w->m, clock_watch_real_us(&w->clock), &out, &b->cp, err);
}

/* What is recorded by this batch stands at the right edge of the tree, whose root was compared: one hash an entry. What was
 * recorded before has a path of its own. A receipt that would not verify shows that the store is damaged: better found here than
 * by the client. */
static bool find_path(struct writer *w, const struct batch *b, const struct merkle_edge *edge, const struct job_result *r,
                      struct merkle_path *path)
{
    struct merkle_store tree = machine_tree(&w->m);
    struct hash leaf;
    merkle_leaf(w->c, r->header, &leaf);
    if (r->index >= edge->first && r->index < edge->size) {
        merkle_edge_path(edge, r->index, path);
        return hash_eq(merkle_edge_leaf(edge, r->index), &leaf);
    }
    return merkle_inclusion(w->c, &tree, r->index, b->cp.size, path) &&
           merkle_verify_inclusion(w->c, r->index, b->cp.size, &leaf, path->h, path->n, &b->cp.root);
}

static enum ledger_rc no_receipt_room(struct ledger_err *err)
{
    return ledger_fail(err, LEDGER_ENOMEM, "the receipts take too much memory; send fewer events together");
}

static enum ledger_rc make_path(struct writer *w, const struct batch *b, const struct merkle_edge *edge, struct job *job,
                                struct job_result *r, struct ledger_err *err)
{
    struct merkle_path path;
    if (!find_path(w, b, edge, r, &path))
        return ledger_fail(err, LEDGER_ETAMPER,
                           "entry %llu is not under the root of its own tree; run `ledgerd check`",
                           (unsigned long long)r->index);
    r->path = arena_copy(job->a, span_of(path.h, path.n * HASH_LEN));
    return r->path.p ? LEDGER_OK : no_receipt_room(err);
}

/* Nothing new: an edge of nothing. */
static enum ledger_rc make_edge(struct writer *w, const struct batch *b, struct merkle_edge *edge, struct ledger_err *err)
{
    struct merkle_store tree = machine_tree(&w->m);
    *edge = (struct merkle_edge){0};
    if (b->before.size == b->cp.size)
        return LEDGER_OK;
    enum ledger_rc rc = merkle_edge_make(w->c, w->a, &tree, &b->before.tree, b->cp.size, edge);
    if (rc == LEDGER_ENOMEM)
        return no_receipt_room(err);
    if (rc || !hash_eq(merkle_edge_root(edge), &b->cp.root))
        return ledger_fail(err, LEDGER_ETAMPER, "the entries from %llu on are not under the root of their own tree; run `ledgerd check`",
                           (unsigned long long)b->before.size);
    return LEDGER_OK;
}

static enum ledger_rc make_receipts(struct writer *w, struct batch *b, struct ledger_err *err)
{
    size_t note_max = w->note_n + 24; /* only the size's digits can become more */
    struct merkle_edge edge;
    arena_reset(w->a);
    enum ledger_rc rc = make_edge(w, b, &edge, err);
    for (struct job *job = b->jobs; job != b->end && !rc; job = job->next) {
        uint8_t *note = arena_alloc(job->a, note_max);
        if (!note)
            return no_receipt_room(err);
        job->checkpoint = span_of(note, note_max);
        for (size_t i = 0; i < job->n_events && !rc; i++) {
            struct job_result *r = &job->results[i];
            if (r->outcome == JOB_ACCEPTED || r->outcome == JOB_BEFORE)
                rc = make_path(w, b, &edge, job, r, err);
        }
    }
    return rc;
}

/* ---- commit, signature, answers ---- */

static enum ledger_rc append(struct writer *w, struct batch *b, struct ledger_err *err)
{
    struct log_batch rows = {.rows = w->batch, .own = b->reserve, .recall = !b->own && !w->ordinary, .erases = w->erased};
    int64_t t = monotonic_now_us();
    writer_sign_wanted(w, &b->cp);
    enum log_outcome outcome = log_append(w->p->o.store, b->before.size, w->m.epoch, &rows, err);
    b->commit_us = monotonic_now_us() - t;
    if (outcome != LOG_APPENDED)
        writer_sign_unwanted(w);
    switch (outcome) {
    case LOG_APPENDED:
        b->wrote = true;
        return LEDGER_OK;
    case LOG_FULL:
        return LEDGER_EFULL;
    case LOG_CONFLICT:
        return LEDGER_EINTERNAL;
    case LOG_UNKNOWN:
        break;
    }
    return LEDGER_EIO;
}

static void count(struct writer *w, const struct batch *b)
{
    struct pipeline *p = w->p;
    uint64_t accepted = 0, refused = 0;
    for (struct job *job = b->jobs; job != b->end; job = job->next)
        for (size_t i = 0; i < job->n_events; i++) {
            accepted += job->results[i].outcome == JOB_ACCEPTED;
            refused += job->results[i].outcome == JOB_REFUSED;
        }
    /* What the reserve is for says nothing about the rest. */
    bool room = (w->ordinary && !b->own) || store_has_room(p->o.store);
    pthread_mutex_lock(&p->lock);
    p->stats.events += accepted;
    p->stats.refused += refused;
    if (b->wrote) {
        p->stats.batches += !b->own;
        p->stats.seals++;
        p->stats.batch_events_last = accepted;
        p->stats.size = b->cp.size;
        p->stats.last_commit_us = b->commit_us;
        if (room && !p->fenced) {
            p->stats.writable = true;
            p->stats.text[0] = 0;
        }
    }
    pthread_mutex_unlock(&p->lock);
}

static void committed(struct writer *w, struct batch *b)
{
    struct pipeline *p = w->p;
    int64_t clock_us, expected_us;
    w->sealed_us = monotonic_now_us();
    if (clock_watch_stepped(&w->clock, &clock_us, &expected_us))
        clock_watch_accept(&w->clock, clock_us);
    writer_sign(w, &b->cp);
    if (p->anchor)
        anchor_set(p->anchor, w->note_size, span_of(w->note, w->note_n));
    if (p->o.committed_cb)
        p->o.committed_cb(p->o.ctx, b->cp.size);
}

static void answer(struct writer *w, struct batch *b)
{
    for (struct job *job = b->jobs, *next; job != b->end; job = next) {
        next = job->next;
        LEDGER_REQUIRE(w->note_n <= job->checkpoint.n);
        memcpy((uint8_t *)(uintptr_t)job->checkpoint.p, w->note,
               w->note_n); /* allocated by make_receipts */
        job->checkpoint.n = w->note_n;
        pipeline_done(w->p, job);
    }
}

static enum ledger_rc run_batch(struct writer *w, struct batch *b, struct ledger_err *err)
{
    enum ledger_rc rc = note_clock_step(w, err);
    if (!rc)
        rc = judge_jobs(w, b, err);
    if (rc)
        return rc;
    b->cp = (struct checkpoint){span_str(w->m.origin), w->note_size, w->root};
    bool changed = w->m.size > b->before.size;
    if (changed)
        rc = seal(w, b, err);
    if (!rc)
        rc = make_receipts(w, b, err);
    if (!rc && changed)
        rc = append(w, b, err);
    return rc;
}

/* "Erased" is answered when nothing is left of the bytes. False: fatal. */
static bool destroy(struct writer *w, struct batch *b, struct ledger_err *err)
{
    struct ledger_err why = {0};
    w->erased = false;
    enum ledger_rc rc = writer_compact(w, &why);
    if (rc == LEDGER_EINTERNAL) {
        *err = why;
        return false;
    }
    if (rc) {
        b->jobs->rc = ledger_fail(&b->jobs->err, LEDGER_EFULL,
                                  "the erasure is recorded as entry %llu, but the bytes are still in the data file: %s; it is "
                                  "tried again each minute",
                                  (unsigned long long)b->jobs->results[0].index, why.msg);
        b->jobs->unknown = true;
    }
    return true;
}

enum ledger_rc writer_batch(struct writer *w, struct job *jobs, struct job **rest,
                            struct ledger_err *err)
{
    struct batch b = {.jobs = jobs};
    enum ledger_rc rc = begin(w, &b, err);
    if (!rc)
        rc = run_batch(w, &b, err);
    if (rc) {
        drop(w, &b);
        return rc;
    }
    if (b.wrote)
        committed(w, &b);
    else
        drop(w, &b);
    *rest = b.end;
    count(w, &b);
    if (w->erased && !destroy(w, &b, err))
        return LEDGER_EINTERNAL;
    answer(w, &b);
    return LEDGER_OK;
}

/* Seals and commits what the open batch of the ledger's own holds, or drops it. */
static enum ledger_rc finish_own(struct writer *w, struct batch *b, enum ledger_rc rc,
                                 struct ledger_err *err)
{
    if (!rc)
        rc = seal(w, b, err);
    if (!rc)
        rc = append(w, b, err);
    if (rc)
        drop(w, b);
    return rc;
}

enum ledger_rc writer_own(struct writer *w, enum own_kind kind, struct ledger_err *err)
{
    struct batch b = {.own = true, .reserve = true};
    w->sealed_us =
        monotonic_now_us(); /* also when it fails: the next try is due after the next interval */
    enum ledger_rc rc = begin(w, &b, err);
    if (!rc)
        rc = kind == OWN_EPOCH ? epoch_entry(w, err) : note_clock_step(w, err);
    rc = finish_own(w, &b, rc, err);
    if (rc)
        return rc;
    if (kind == OWN_EPOCH)
        writer_sign(w, &b.cp);
    else
        committed(w, &b);
    count(w, &b);
    return LEDGER_OK;
}

static enum ledger_rc append_own_job(struct writer *w, struct own_job *job, struct ledger_err *err)
{
    struct appended_entry out;
    arena_reset(w->a);
    enum ledger_rc rc = machine_own(&w->m, (enum own_kind)job->kind, job->payload,
                                    clock_watch_real_us(&w->clock), &out, err);
    if (!rc)
        job->index = out.index;
    return rc;
}

enum ledger_rc writer_record(struct writer *w, struct own_job *job, struct ledger_err *err)
{
    struct batch b = {.own = true};
    enum ledger_rc rc = begin(w, &b, err);
    if (!rc)
        rc = note_clock_step(w, err);
    if (!rc)
        rc = append_own_job(w, job, err);
    rc = finish_own(w, &b, rc, err);
    if (rc)
        return rc;
    job->size = b.cp.size;
    committed(w, &b);
    count(w, &b);
    return LEDGER_OK;
}
