/* SPDX-License-Identifier: Apache-2.0 */
/* scratch_run: see scratch_run.h. */
#include "scratch_run.h"

#include "check.h"
#include "store/log.h"

static void done(void *ctx, struct job *job)
{
    struct run *r = ctx;
    struct request *q = job->owner;
    pthread_mutex_lock(&r->lock);
    r->waiting_in_done++;
    pthread_cond_broadcast(&r->changed);
    while (r->closed)
        pthread_cond_wait(&r->changed, &r->lock);
    r->waiting_in_done--;
    CHECK(!q->done); /* exactly once */
    q->done = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void committed(void *ctx, uint64_t size)
{
    struct run *r = ctx;
    pthread_mutex_lock(&r->lock);
    r->commits++;
    CHECK(size > r->size);
    r->size = size;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void fatal(void *ctx, const struct ledger_err *err)
{
    struct run *r = ctx;
    pthread_mutex_lock(&r->lock);
    r->fatals++;
    r->err = *err;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void run_init(struct run *r, struct scratch *s)
{
    memset(r, 0, sizeof *r);
    r->s = s;
    r->store_o = (struct store_options){.map_bytes = SCRATCH_MAP, .reserve_bytes = 1};
    r->o = (struct pipeline_options){.workers = 3,
                                     .queue_jobs_max = 1000,
                                     .batch_events_max = 1000,
                                     .done_cb = done,
                                     .committed_cb = committed,
                                     .fatal_cb = fatal,
                                     .ctx = r};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
}

enum ledger_rc run_start(struct run *r)
{
    enum ledger_rc rc = store_open_with(r->s->dir, STORE_WRITE, &r->store_o, &r->store, &r->err);
    CHECK_EQ_INT(rc, LEDGER_OK);
    r->size = 0;
    r->o.store = r->store;
    rc = pipeline_start(&r->o, &r->p, &r->err);
    if (rc) {
        CHECK(r->p == NULL);
        store_close(r->store);
        r->store = NULL;
    }
    return rc;
}

void run_stop(struct run *r)
{
    pipeline_stop(r->p);
    pipeline_free(r->p);
    store_close(r->store);
    r->p = NULL;
    r->store = NULL;
}

void run_fini(struct run *r)
{
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
}

void request_init(struct request *q, struct run *r, struct span *events, size_t n,
                  struct span *signatures, size_t n_signatures)
{
    memset(q, 0, sizeof *q);
    q->run = r;
    q->job = (struct job){.a = arena_new((size_t)16 << 20),
                          .owner = q,
                          .n_events = n,
                          .events = events,
                          .n_signatures = n_signatures,
                          .signatures = signatures};
    CHECK(q->job.a != NULL);
}

enum ledger_rc request_send(struct request *q)
{
    return pipeline_submit(q->run->p, &q->job);
}

void request_wait(struct request *q)
{
    pthread_mutex_lock(&q->run->lock);
    while (!q->done)
        pthread_cond_wait(&q->run->changed, &q->run->lock);
    pthread_mutex_unlock(&q->run->lock);
}

void request_do(struct request *q)
{
    CHECK_EQ_INT(request_send(q), LEDGER_OK);
    request_wait(q);
}

void request_fini(struct request *q)
{
    arena_free(q->job.a);
}

enum job_outcome run_one(struct run *r, struct scratch_pen *pen, struct span event,
                         const char *party, unsigned key, struct request *q)
{
    struct span *kept = arena_alloc(pen->a, 2 * sizeof *kept);
    kept[0] = event;
    kept[1] = pen_sign(pen, &event, 1, party, key, SPAN_NONE);
    request_init(q, r, &kept[0], 1, &kept[1], 1);
    request_do(q);
    if (q->job.rc)
        fprintf(stderr, "%s: %s\n", ledger_rc_text(q->job.rc), q->job.err.msg);
    CHECK_EQ_INT(q->job.rc, LEDGER_OK);
    return q->job.results[0].outcome;
}

static void read_note(struct scratch *s, struct scratch_pen *pen, struct span bytes,
                      struct checkpoint *cp)
{
    struct note note;
    uint64_t matched = 0;
    CHECK_EQ_INT(note_parse(pen->a, bytes, &note, NULL), LEDGER_OK);
    CHECK(note_verify(pen->c, pen->a, &note, &s->key, 1, &matched, NULL) && matched == 1);
    CHECK_EQ_INT(checkpoint_parse(note.text, cp, NULL), LEDGER_OK);
    CHECK(span_eq(cp->origin, SPAN_LIT(SCRATCH_ORIGIN)));
}

uint64_t note_size(struct scratch *s, struct scratch_pen *pen, struct span note)
{
    struct checkpoint cp;
    read_note(s, pen, note, &cp);
    return cp.size;
}

void check_receipt(struct scratch *s, struct scratch_pen *pen, const struct request *q, size_t i)
{
    const struct job_result *r = &q->job.results[i];
    struct checkpoint cp;
    struct header h;
    struct hash leaf, id, path[MERKLE_PATH_MAX];
    CHECK(r->outcome == JOB_ACCEPTED || r->outcome == JOB_BEFORE);
    read_note(s, pen, q->job.checkpoint, &cp);
    CHECK_EQ_INT(header_decode(pen->a, r->header, &h, NULL), LEDGER_OK);
    CHECK_EQ_INT(h.index, r->index);
    event_id(pen->c, q->job.events[i], &id);
    CHECK(hash_eq(&id, &h.event_id));
    merkle_leaf(pen->c, r->header, &leaf);
    CHECK(r->path.n % HASH_LEN == 0 && r->path.n <= sizeof path);
    memcpy(path, r->path.p, r->path.n);
    CHECK(merkle_verify_inclusion(pen->c, r->index, cp.size, &leaf, path, r->path.n / HASH_LEN,
                                  &cp.root));
}

/* ---- steps that must succeed ---- */

void run_must_start(struct run *r)
{
    enum ledger_rc rc = run_start(r);
    if (rc)
        fprintf(stderr, "start: %s: %s\n", ledger_rc_text(rc), r->err.msg);
    CHECK_EQ_INT(rc, LEDGER_OK);
}

void run_begin(struct scratch *s, struct run *r)
{
    scratch_make(s);
    run_init(r, s);
    run_must_start(r);
}

void run_end(struct scratch *s, struct run *r)
{
    run_stop(r);
    CHECK_EQ_INT(r->fatals, 0);
    run_fini(r);
    scratch_remove(s);
}

void run_register(struct run *r, const char *party, const char *roles, unsigned key)
{
    struct request q;
    char reference[64];
    snprintf(reference, sizeof reference, "registration of %s", party);
    struct span ev = pen_registration(&r->s->pen, reference, party, roles, key);
    CHECK_EQ_INT(run_one(r, &r->s->pen, ev, SCRATCH_ADMIN, KEY_ADMIN, &q), JOB_ACCEPTED);
    request_fini(&q);
}

uint64_t run_size(struct run *r)
{
    struct pipeline_stats st;
    pipeline_stats(r->p, &st);
    return st.size;
}

struct header run_header(struct run *r, uint64_t index)
{
    struct store_snapshot *sn;
    struct entry_record rec;
    struct header h;
    CHECK_EQ_INT(store_snapshot_open(r->store, &sn, NULL), LEDGER_OK);
    struct kv kv = store_snapshot_kv(sn);
    CHECK_EQ_INT(log_read(&kv, index, &rec, NULL), LEDGER_OK);
    CHECK_EQ_INT(header_decode(r->s->pen.a, rec.header, &h, NULL), LEDGER_OK);
    store_snapshot_close(sn);
    return h;
}

void run_gate(struct run *r, bool closed)
{
    pthread_mutex_lock(&r->lock);
    r->closed = closed;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void run_hold_writer(struct run *r, struct request *q, const char *item)
{
    struct scratch_pen *pen = &r->s->pen;
    struct span *kept = arena_alloc(pen->a, 2 * sizeof *kept);
    kept[0] = pen_material(pen, item);
    kept[1] = pen_sign(pen, kept, 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
    request_init(q, r, kept, 1, kept + 1, 1);
    run_gate(r, true);
    CHECK_EQ_INT(request_send(q), LEDGER_OK);
    pthread_mutex_lock(&r->lock);
    while (!r->waiting_in_done)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
}
