/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workers: what can be done to a request without knowing what comes before it in the log. Events
 * are decoded strictly, the root of their ids is computed, each signature is verified once for all
 * of them, and each event's signature block is made.
 *
 * A writer that has nothing to do is one more worker: whoever is alone waits for one change of thread less.
 *
 * A worker judges nothing. Its verdict on a signature holds for one key id; the writer asks again
 * whether that is the party's key at the time of recording, and verifies itself what a worker could
 * not (a party registered a moment ago).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "pipeline_internal.h"
#include "state.h"

struct worker {
    struct pipeline *p;
    struct crypto *c;
    struct arena *a; /* scratch, emptied for each job */
};

static enum ledger_rc over_budget(struct ledger_err *err)
{
    return ledger_fail(err, LEDGER_ENOMEM,
                       "the request takes too much memory; send fewer events together");
}

/* ---- events ---- */

static enum ledger_rc decode_events(struct worker *w, struct work *work, struct ledger_err *err)
{
    struct job *job = work->job;
    work->events = arena_alloc(work->a, job->n_events * sizeof *work->events);
    job->results = arena_alloc(job->a, job->n_events * sizeof *job->results);
    if (!work->events || !job->results)
        return over_budget(err);
    for (size_t i = 0; i < job->n_events; i++) {
        struct work_event *e = &work->events[i];
        enum ledger_rc rc =
            event_decode(w->c, work->a, job->events[i], &e->ev, &job->results[i].why, err);
        if (rc == LEDGER_ENOMEM)
            return over_budget(err);
        if (rc && rc != LEDGER_EREFUSED)
            return ledger_wrap(err, rc, "event %zu", i);
        e->refused = rc == LEDGER_EREFUSED;
        if (e->refused) /* part of the signed root even if it is malformed */
            event_id(w->c, job->events[i], &e->ev.id);
    }
    return LEDGER_OK;
}

/* ---- the tree of the event ids ---- */

static enum ledger_rc make_paths(struct worker *w, struct work *work, struct ledger_err *err)
{
    struct merkle_edge tree;
    struct merkle_path path;
    size_t n = work->job->n_events;
    struct hash *leaves = arena_alloc(w->a, n * sizeof *leaves);
    for (size_t i = 0; leaves && i < n; i++)
        merkle_leaf(w->c, span_of(work->events[i].ev.id.b, HASH_LEN), &leaves[i]);
    if (!leaves || merkle_edge_of(w->c, w->a, leaves, n, &tree))
        return over_budget(err);
    work->root = *merkle_edge_root(&tree);
    for (size_t i = 0; i < n; i++) {
        merkle_edge_path(&tree, i, &path);
        struct span kept = arena_copy(work->a, span_of(path.h, path.n * HASH_LEN));
        if (path.n && !kept.p)
            return over_budget(err);
        work->events[i].path = kept.p;
        work->events[i].path_n = path.n;
    }
    return LEDGER_OK;
}

/* ---- signatures ---- */

/* Decodes them all; on the first that is malformed notes why no block can be made. */
static void decode_signatures(struct worker *w, struct work *work)
{
    struct job *job = work->job;
    char field[40];
    struct ledger_err err;
    if (job->n_signatures > SIGNATURES_READ_MAX) {
        refuse(&work->signatures_why, E_SIG_COUNT, NULL, "signatures",
               "%zu signatures are more than any kind asks for", job->n_signatures);
        return;
    }
    for (size_t i = 0; i < job->n_signatures; i++) {
        struct signature *s = &work->block.sigs[i];
        snprintf(field, sizeof field, "signatures[%zu]", i);
        if (signature_decode(job->signatures[i], s, &err)) {
            refuse(&work->signatures_why, E_SIG_INVALID, NULL, field, "%s", err.msg);
            return;
        }
        struct span again = signature_encode(w->a, s);
        if (!span_eq(again, job->signatures[i])) {
            refuse(&work->signatures_why, E_SIG_INVALID, NULL, field,
                   "it is not the canonical encoding of a signature");
            return;
        }
    }
    work->block.n = job->n_signatures;
    work->block.events = (unsigned)job->n_events;
}

static bool party_key(struct worker *w, const struct kv *kv, struct span party,
                      struct party_state *out)
{
    struct hash key;
    struct span record;
    struct chain ch;
    chain_key(w->c, store_index_key(w->p->o.store), CHAIN_PARTY, party, &key);
    if (kv_get(kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record) ||
        chain_record_decode(record, &ch, NULL))
        return false;
    *out = ch.party;
    return ch.type == CHAIN_PARTY;
}

static bool verify_one(struct worker *w, const struct kv *kv, const struct work *work, unsigned i)
{
    const struct signature *s = &work->block.sigs[i];
    struct party_state party;
    uint8_t id[KEY_ID_LEN];
    if (!party_key(w, kv, s->party, &party) || party.alg != s->alg)
        return false;
    crypto_key_id(w->c, (enum sig_alg)party.alg, party.key, id);
    if (!span_eq(s->key_id, span_of(id, sizeof id)))
        return false;
    struct span msg =
        signature_input(w->c, w->a, span_str(w->p->origin), s, i + 1, work->block.events,
                        &work->root, i ? &work->block.sigs[i - 1] : NULL);
    return msg.p && crypto_verify(w->c, (enum sig_alg)party.alg, party.key, msg, s->sig);
}

static enum ledger_rc verify_signatures(struct worker *w, struct work *work, struct ledger_err *err)
{
    struct store_snapshot *sn;
    enum ledger_rc rc = store_snapshot_open(w->p->o.store, &sn, err);
    if (rc)
        return rc;
    struct kv kv = store_snapshot_kv(sn);
    for (unsigned i = 0; i < work->block.n; i++)
        work->pre.ok[i] = verify_one(w, &kv, work, i);
    store_snapshot_close(sn);
    return LEDGER_OK;
}

static enum ledger_rc make_blocks(struct work *work, struct ledger_err *err)
{
    for (size_t i = 0; i < work->job->n_events; i++) {
        struct work_event *e = &work->events[i];
        if (e->refused)
            continue;
        work->block.index = (unsigned)i;
        work->block.path = e->path;
        work->block.path_n = e->path_n;
        e->block = sigblock_encode(work->a, &work->block);
        if (!e->block.p)
            return over_budget(err);
    }
    return LEDGER_OK;
}

/* An act of the ledger is signed like an event: over the id of its payload. */
static enum ledger_rc decode_own(struct worker *w, struct work *work, struct ledger_err *err)
{
    struct job *job = work->job;
    struct erasure e;
    struct parameters *p = arena_alloc(w->a, sizeof *p);
    work->events = arena_alloc(work->a, sizeof *work->events);
    job->results = arena_alloc(job->a, sizeof *job->results);
    if (!p || !work->events || !job->results)
        return over_budget(err);
    event_id(w->c, job->events[0], &work->events[0].ev.id);
    return job->own_kind == OWN_ERASURE ? erasure_decode(job->events[0], &e, err)
                                        : parameters_decode(job->events[0], p, err);
}

static enum ledger_rc prepare(struct worker *w, struct work *work, struct ledger_err *err)
{
    struct job *job = work->job;
    if (job->n_events == 0)
        return ledger_fail(err, LEDGER_EINVAL, "the request has no events");
    if (job->n_events > BATCH_EVENTS_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "a request has at most %d events", BATCH_EVENTS_MAX);
    enum ledger_rc rc =
        job->own_kind ? decode_own(w, work, err) : decode_events(w, work, err);
    if (!rc)
        rc = make_paths(w, work, err);
    if (rc)
        return rc;
    decode_signatures(w, work);
    if (work->signatures_why.code != REFUSE_NONE)
        return LEDGER_OK;
    rc = verify_signatures(w, work, err);
    return rc ? rc : make_blocks(work, err);
}

struct worker *worker_new(struct pipeline *p)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->p = p;
    w->c = crypto_new();
    w->a = arena_new(WORK_BUDGET);
    if (w->c && w->a)
        return w;
    worker_free(w);
    return NULL;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    arena_free(w->a);
    crypto_free(w->c);
    free(w);
}

void worker_prepare(struct worker *w, struct job *job)
{
    arena_reset(w->a);
    job->rc = prepare(w, work_of(job), &job->err);
}

/* ---- the thread ---- */

struct job *work_take(struct pipeline *p)
{
    struct job *job = p->next_new;
    p->next_new = job->next;
    work_of(job)->state = WORK_TAKEN;
    return job;
}

void work_give(struct pipeline *p, struct job *job)
{
    work_of(job)->state = WORK_READY;
    p->stats.signatures += work_of(job)->block.n;
    if (p->head == job)
        pthread_cond_signal(&p->ready_work);
}

void *worker_main(void *pipeline)
{
    struct pipeline *p = pipeline;
    struct worker *w = worker_new(p);
    if (!w) {
        struct ledger_err err;
        ledger_fail(&err, LEDGER_ENOMEM, "a verification worker could not start");
        pipeline_fatal(p, &err);
        return NULL;
    }
    pthread_mutex_lock(&p->lock);
    while (!p->dead && (p->next_new || !p->stopping)) {
        if (!p->next_new && p->signing.state == SIGNING_WANTED) { /* the writer can do that itself: requests first */
            signing_help(p, w->c, w->a);
            continue;
        }
        if (!p->next_new) {
            pthread_cond_wait(&p->new_work, &p->lock);
            continue;
        }
        struct job *job = work_take(p);
        pthread_mutex_unlock(&p->lock);
        worker_prepare(w, job);
        pthread_mutex_lock(&p->lock);
        work_give(p, job);
    }
    pthread_mutex_unlock(&p->lock);
    worker_free(w);
    return NULL;
}
