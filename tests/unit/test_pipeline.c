/* SPDX-License-Identifier: Apache-2.0 */
/* The write path: receipts, refusals, duplicates, groups, order, limits, start, end, heartbeat,
 * clock, anchor, a full disk. */
#include <fcntl.h>
#include <sys/stat.h>

#include "anchor.h"
#include "check.h"
#include "scratch_run.h"
#include "store/log.h"

static void must_start(struct run *r)
{
    enum ledger_rc rc = run_start(r);
    if (rc)
        fprintf(stderr, "start: %s: %s\n", ledger_rc_text(rc), r->err.msg);
    CHECK_EQ_INT(rc, LEDGER_OK);
}

static void begin(struct scratch *s, struct run *r)
{
    scratch_make(s);
    run_init(r, s);
    must_start(r);
}

static void end(struct scratch *s, struct run *r)
{
    run_stop(r);
    CHECK_EQ_INT(r->fatals, 0);
    run_fini(r);
    scratch_remove(s);
}

static void register_party(struct run *r, const char *party, const char *roles, unsigned key)
{
    struct request q;
    char reference[64];
    snprintf(reference, sizeof reference, "registration of %s", party);
    struct span ev = pen_registration(&r->s->pen, reference, party, roles, key);
    CHECK_EQ_INT(run_one(r, &r->s->pen, ev, SCRATCH_ADMIN, KEY_ADMIN, &q), JOB_ACCEPTED);
    request_fini(&q);
}

static uint64_t size_of(struct run *r)
{
    struct pipeline_stats st;
    pipeline_stats(r->p, &st);
    return st.size;
}

/* Kind and epoch of a stored entry. */
static unsigned kind_at(struct run *r, uint64_t index, uint64_t *epoch)
{
    struct store_snapshot *sn;
    struct log_record rec;
    struct header h;
    CHECK_EQ_INT(store_snapshot_open(r->store, &sn, NULL), LEDGER_OK);
    struct kv kv = store_snapshot_kv(sn);
    CHECK_EQ_INT(log_read(&kv, index, &rec, NULL), LEDGER_OK);
    CHECK_EQ_INT(header_decode(r->s->pen.a, rec.header, &h, NULL), LEDGER_OK);
    store_snapshot_close(sn);
    if (epoch)
        *epoch = h.epoch;
    return h.kind;
}

static uint64_t anchored(struct scratch *s)
{
    struct anchor_state an = {0};
    CHECK_EQ_INT(anchor_read(s->anchor, s->pen.c, &s->key, &an, NULL), LEDGER_OK);
    return an.size;
}

TEST(each_start_is_an_epoch_and_each_end_a_seal)
{
    struct scratch s;
    struct run r;
    uint64_t epoch;
    begin(&s, &r); /* genesis, seal */
    CHECK_EQ_INT(size_of(&r), 4);
    CHECK_EQ_INT(kind_at(&r, 2, &epoch), OWN_EPOCH);
    CHECK_EQ_INT(epoch, 1);
    CHECK_EQ_INT(kind_at(&r, 3, &epoch), OWN_SEAL);
    CHECK_EQ_INT(anchored(&s), 4);
    run_stop(&r);
    CHECK_EQ_INT(anchored(&s), 5);
    must_start(&r);
    CHECK_EQ_INT(size_of(&r), 7);
    CHECK_EQ_INT(kind_at(&r, 4, &epoch), OWN_SEAL);
    CHECK_EQ_INT(epoch, 1);
    CHECK_EQ_INT(kind_at(&r, 5, &epoch), OWN_EPOCH);
    CHECK_EQ_INT(epoch, 2);
    end(&s, &r);
}

TEST(receipts_verify_and_refusals_say_why)
{
    struct scratch s;
    struct run r;
    struct request q;
    begin(&s, &r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    struct span ev = pen_material(&s.pen, "M-1");
    CHECK_EQ_INT(run_one(&r, &s.pen, ev, "wh", KEY_WAREHOUSE, &q), JOB_ACCEPTED);
    check_receipt(&s, &s.pen, &q, 0);
    CHECK_EQ_INT(note_size(&s, &s.pen, q.job.checkpoint), q.job.results[0].index + 2);
    request_fini(&q);
    CHECK_EQ_INT(run_one(&r, &s.pen,
                         pen_event(&s.pen, "STORAGE_MOVED", "m1", "item=M-9;location=F"), "wh",
                         KEY_WAREHOUSE, &q),
                 JOB_REFUSED);
    CHECK_EQ_INT(q.job.results[0].why.code, E_UNKNOWN_ITEM);
    CHECK_EQ_INT(note_size(&s, &s.pen, q.job.checkpoint),
                 size_of(&r)); /* a refusal comes with the latest checkpoint */
    request_fini(&q);
    CHECK_EQ_INT(run_one(&r, &s.pen,
                         pen_event(&s.pen, "STORAGE_MOVED", "m2", "item=M-1;location=F"), "nobody",
                         KEY_OTHER, &q),
                 JOB_REFUSED);
    CHECK_EQ_INT(q.job.results[0].why.code, E_UNKNOWN_PARTY);
    request_fini(&q);
    CHECK_EQ_INT(run_one(&r, &s.pen,
                         pen_event(&s.pen, "STORAGE_MOVED", "m3", "item=M-1;location=F"), "wh",
                         KEY_OTHER, &q),
                 JOB_REFUSED);
    CHECK_EQ_INT(q.job.results[0].why.code, E_SIG_INVALID);
    request_fini(&q);
    CHECK_EQ_INT(run_one(&r, &s.pen, pen_event(&s.pen, "STORAGE_MOVED", "m4", "item=M-1"), "wh",
                         KEY_WAREHOUSE, &q),
                 JOB_REFUSED);
    CHECK_EQ_INT(q.job.results[0].why.code, E_MISSING_FIELD);
    CHECK_EQ_STR(q.job.results[0].why.field, "location");
    request_fini(&q);
    struct pipeline_stats st;
    pipeline_stats(r.p, &st);
    CHECK_EQ_INT(st.events, 2);
    CHECK_EQ_INT(st.refused, 4);
    CHECK_EQ_INT(st.jobs, 0);
    CHECK(st.writable);
    end(&s, &r);
}

static enum refusal_code code_of(struct run *r, struct span *ev, struct span *sigs, size_t n)
{
    struct request q;
    request_init(&q, r, ev, 1, sigs, n);
    request_do(&q);
    CHECK_EQ_INT(q.job.rc, LEDGER_OK);
    CHECK_EQ_INT(q.job.results[0].outcome, JOB_REFUSED);
    enum refusal_code code = q.job.results[0].why.code;
    request_fini(&q);
    return code;
}

TEST(signatures_that_are_missing_malformed_too_many_or_for_something_else)
{
    struct scratch s;
    struct run r;
    struct span sigs[10];
    begin(&s, &r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    struct span ev = pen_material(&s.pen, "M-1"), other = pen_material(&s.pen, "M-2");
    for (int i = 0; i < 10; i++)
        sigs[i] = pen_sign(&s.pen, &ev, 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
    CHECK_EQ_INT(code_of(&r, &ev, sigs, 0), E_SIG_MISSING);
    CHECK_EQ_INT(code_of(&r, &ev, sigs, 2), E_SIG_COUNT);
    CHECK_EQ_INT(code_of(&r, &ev, sigs, 10), E_SIG_COUNT);
    CHECK_EQ_INT(code_of(&r, &other, sigs, 1), E_SIG_INVALID);
    struct span cut = span_of(sigs[0].p, sigs[0].n - 1);
    CHECK_EQ_INT(code_of(&r, &ev, &cut, 1), E_SIG_INVALID);
    struct span bad = span_of(ev.p, ev.n - 1);
    CHECK_EQ_INT(code_of(&r, &bad, &cut, 1), E_BAD_VALUE); /* the event is looked at first */
    struct span empty = SPAN_NONE;
    CHECK_EQ_INT(code_of(&r, &empty, sigs, 1), E_BAD_VALUE);
    struct request q;
    request_init(&q, &r, NULL, 0, NULL, 0);
    request_do(&q);
    CHECK_EQ_INT(q.job.rc, LEDGER_EINVAL);
    CHECK(!q.job.unknown);
    request_fini(&q);
    end(&s, &r);
}

TEST(the_same_again_gives_the_first_receipt)
{
    struct scratch s;
    struct run r;
    struct request q;
    begin(&s, &r);
    register_party(&r, "wh", "WAREHOUSE|OPERATOR", KEY_WAREHOUSE);
    register_party(&r, "op", "OPERATOR", KEY_OPERATOR);
    struct span ev = pen_material(&s.pen, "M-1");
    CHECK_EQ_INT(run_one(&r, &s.pen, ev, "wh", KEY_WAREHOUSE, &q), JOB_ACCEPTED);
    uint64_t first = q.job.results[0].index, size = size_of(&r);
    request_fini(&q);
    CHECK_EQ_INT(run_one(&r, &s.pen, ev, "wh", KEY_WAREHOUSE, &q), JOB_BEFORE);
    CHECK_EQ_INT(q.job.results[0].index, first);
    check_receipt(&s, &s.pen, &q, 0);
    request_fini(&q);
    CHECK_EQ_INT(size_of(&r), size); /* nothing was written for it, no seal either */
    CHECK_EQ_INT(run_one(&r, &s.pen, ev, "op", KEY_OPERATOR, &q), JOB_REFUSED);
    CHECK_EQ_INT(q.job.results[0].why.code, E_DUP_EVENT);
    CHECK_EQ_INT(q.job.results[0].index, first);
    request_fini(&q);
    struct span again = pen_event(&s.pen, "STORAGE_MOVED", "receipt of M-1", "item=M-1;location=F");
    CHECK_EQ_INT(run_one(&r, &s.pen, again, "wh", KEY_WAREHOUSE, &q),
                 JOB_REFUSED); /* another event with its reference */
    CHECK_EQ_INT(q.job.results[0].why.code, E_DUP_EVENT);
    CHECK_EQ_INT(q.job.results[0].index, first);
    request_fini(&q);
    end(&s, &r);
}

static void gate(struct run *r, bool closed)
{
    pthread_mutex_lock(&r->lock);
    r->closed = closed;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* Sends a request and waits until the writer stands still in its answer. */
static void hold_writer(struct run *r, struct request *q, const char *item)
{
    struct scratch_pen *pen = &r->s->pen;
    struct span *kept = arena_alloc(pen->a, 2 * sizeof *kept);
    kept[0] = pen_material(pen, item);
    kept[1] = pen_sign(pen, kept, 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
    request_init(q, r, kept, 1, kept + 1, 1);
    gate(r, true);
    CHECK_EQ_INT(request_send(q), LEDGER_OK);
    pthread_mutex_lock(&r->lock);
    while (!r->waiting_in_done)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

TEST(duplicates_within_one_batch)
{
    struct scratch s;
    struct run r;
    struct request held, q[4];
    begin(&s, &r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    register_party(&r, "op", "OPERATOR", KEY_OPERATOR);
    hold_writer(&r, &held, "M-0");
    struct span ev = pen_material(&s.pen, "M-1");
    struct span wh = pen_sign(&s.pen, &ev, 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
    struct span op = pen_sign(&s.pen, &ev, 1, "op", KEY_OPERATOR, SPAN_NONE);
    struct span *sigs[4] = {&wh, &wh, &op, &wh};
    for (int i = 0; i < 4; i++) {
        request_init(&q[i], &r, &ev, 1, sigs[i], 1);
        CHECK_EQ_INT(request_send(&q[i]), LEDGER_OK);
    }
    gate(&r, false);
    for (int i = 0; i < 4; i++)
        request_wait(&q[i]);
    request_wait(&held);
    CHECK_EQ_INT(q[0].job.results[0].outcome, JOB_ACCEPTED);
    CHECK_EQ_INT(q[1].job.results[0].outcome, JOB_BEFORE);
    CHECK_EQ_INT(q[2].job.results[0].outcome, JOB_REFUSED);
    CHECK_EQ_INT(q[2].job.results[0].why.code, E_DUP_EVENT);
    CHECK_EQ_INT(q[2].job.results[0].index, q[0].job.results[0].index);
    CHECK_EQ_INT(q[3].job.results[0].outcome, JOB_BEFORE);
    for (int i = 0; i < 4; i++) {
        if (i != 2)
            check_receipt(&s, &s.pen, &q[i], 0);
        request_fini(&q[i]);
    }
    request_fini(&held);
    end(&s, &r);
}

TEST(busy_when_the_queue_is_full)
{
    struct scratch s;
    struct run r;
    struct request held, q[3];
    struct span ev[3], sig[3];
    scratch_make(&s);
    run_init(&r, &s);
    r.o.queue_jobs_max = 2;
    must_start(&r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    hold_writer(&r, &held, "M-0");
    for (int i = 0; i < 3; i++) {
        char item[16];
        snprintf(item, sizeof item, "M-%d", i + 1);
        ev[i] = pen_material(&s.pen, item);
        sig[i] = pen_sign(&s.pen, &ev[i], 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
        request_init(&q[i], &r, &ev[i], 1, &sig[i], 1);
        CHECK_EQ_INT(request_send(&q[i]), i < 2 ? LEDGER_OK : LEDGER_EBUSY);
    }
    gate(&r, false);
    for (int i = 0; i < 2; i++) {
        request_wait(&q[i]);
        CHECK_EQ_INT(q[i].job.results[0].outcome, JOB_ACCEPTED);
    }
    request_wait(&held);
    request_do(&q[2]); /* it kept its job and may try again */
    CHECK_EQ_INT(q[2].job.results[0].outcome, JOB_ACCEPTED);
    for (int i = 0; i < 3; i++)
        request_fini(&q[i]);
    request_fini(&held);
    end(&s, &r);
}

TEST(many_events_under_one_signature)
{
    enum { N = 37 };
    struct scratch s;
    struct run r;
    struct request q;
    struct span ev[N];
    begin(&s, &r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    for (int i = 0; i < N; i++) {
        char item[16];
        snprintf(item, sizeof item, "M-%d", i == 20 ? 3 : i); /* number 20 is number 3 again */
        ev[i] = pen_material(&s.pen, item);
    }
    struct span sig = pen_sign(&s.pen, ev, N, "wh", KEY_WAREHOUSE, SPAN_NONE);
    request_init(&q, &r, ev, N, &sig, 1);
    request_do(&q);
    CHECK_EQ_INT(q.job.rc, LEDGER_OK);
    for (size_t i = 0; i < N; i++) {
        if (i == 20) {
            CHECK_EQ_INT(q.job.results[i].outcome, JOB_REFUSED);
            CHECK_EQ_INT(q.job.results[i].why.code, E_DUP_EVENT);
            CHECK_EQ_INT(q.job.results[i].index, q.job.results[3].index);
        } else {
            check_receipt(&s, &s.pen, &q, i);
        }
    }
    struct span moved = pen_sign(&s.pen, ev, N - 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
    request_fini(&q);
    request_init(&q, &r, ev, N, &moved, 1); /* a signature over fewer of them is none over these */
    request_do(&q);
    for (size_t i = 0; i < N; i++)
        CHECK_EQ_INT(q.job.results[i].outcome, JOB_REFUSED);
    request_fini(&q);
    end(&s, &r);
}

static void send_group(struct run *r, struct request *q, struct span *ev, size_t n)
{
    struct span *sig = arena_alloc(r->s->pen.a, sizeof *sig);
    *sig = pen_sign(&r->s->pen, ev, n, "wh", KEY_WAREHOUSE, SPAN_NONE);
    request_init(q, r, ev, n, sig, 1);
    q->job.all_or_nothing = true;
    request_do(q);
    CHECK_EQ_INT(q->job.rc, LEDGER_OK);
}

TEST(all_or_nothing)
{
    struct scratch s;
    struct run r;
    struct request q;
    begin(&s, &r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    uint64_t size = size_of(&r);
    struct span bad[3] = {pen_material(&s.pen, "M-1"),
                          pen_event(&s.pen, "STORAGE_MOVED", "a", "item=M-2;location=F"),
                          pen_material(&s.pen, "M-3")};
    send_group(&r, &q, bad, 3);
    CHECK_EQ_INT(q.job.results[0].outcome, JOB_SKIPPED);
    CHECK_EQ_INT(q.job.results[1].outcome, JOB_REFUSED);
    CHECK_EQ_INT(q.job.results[1].why.code, E_UNKNOWN_ITEM);
    CHECK_EQ_INT(q.job.results[2].outcome, JOB_SKIPPED);
    CHECK_EQ_INT(size_of(&r), size);
    request_fini(&q);
    struct span twice[2] = {
        pen_material(&s.pen, "M-1"),
        pen_event(&s.pen, "STORAGE_MOVED", "receipt of M-1", "item=M-1;location=F")};
    send_group(&r, &q, twice,
               2); /* refused for an entry that goes with the group: it must not be named */
    CHECK_EQ_INT(q.job.results[0].outcome, JOB_SKIPPED);
    CHECK_EQ_INT(q.job.results[1].outcome, JOB_REFUSED);
    CHECK_EQ_INT(q.job.results[1].why.code, E_DUP_EVENT);
    CHECK_EQ_INT(q.job.results[1].index, 0);
    request_fini(&q);
    struct span good[2] = {pen_material(&s.pen, "M-1"),
                           pen_event(&s.pen, "STORAGE_MOVED", "b", "item=M-1;location=F")};
    send_group(&r, &q, good, 2); /* the second needs the first */
    CHECK_EQ_INT(size_of(&r), size + 3);
    check_receipt(&s, &s.pen, &q, 0);
    check_receipt(&s, &s.pen, &q, 1);
    request_fini(&q);
    send_group(&r, &q, good, 2);
    CHECK_EQ_INT(q.job.results[0].outcome, JOB_BEFORE);
    CHECK_EQ_INT(q.job.results[1].outcome, JOB_BEFORE);
    check_receipt(&s, &s.pen, &q, 1);
    request_fini(&q);
    end(&s, &r);
}

TEST(requests_are_judged_in_the_order_in_which_they_came)
{
    enum { N = 60 };
    struct scratch s;
    struct run r;
    struct request *q = calloc(2 * N, sizeof *q);
    struct span ev[2 * N], sig[2 * N];
    begin(&s, &r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    for (int i = 0; i < N; i++) {
        char item[16], fields[64], reference[32];
        snprintf(item, sizeof item, "M-%d", i);
        snprintf(reference, sizeof reference, "move %d", i);
        snprintf(fields, sizeof fields, "item=M-%d;location=F", i);
        ev[2 * i] = pen_material(&s.pen, item);
        ev[2 * i + 1] =
            pen_event(&s.pen, "STORAGE_MOVED", reference, fields); /* refused if it came first */
    }
    for (int i = 0; i < 2 * N; i++) {
        sig[i] = pen_sign(&s.pen, &ev[i], 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
        request_init(&q[i], &r, &ev[i], 1, &sig[i], 1);
    }
    for (int i = 0; i < 2 * N; i++)
        CHECK_EQ_INT(request_send(&q[i]), LEDGER_OK);
    uint64_t last = 0;
    for (int i = 0; i < 2 * N; i++) {
        request_wait(&q[i]);
        CHECK_EQ_INT(q[i].job.results[0].outcome, JOB_ACCEPTED);
        CHECK(q[i].job.results[0].index > last);
        last = q[i].job.results[0].index;
        check_receipt(&s, &s.pen, &q[i], 0);
        request_fini(&q[i]);
    }
    struct pipeline_stats st;
    pipeline_stats(r.p, &st);
    CHECK(st.batches < 2 * N); /* a crowd shares commits */
    free(q);
    end(&s, &r);
}

struct client {
    struct run *run;
    int number;
    unsigned accepted, refused;
};

static void *client_main(void *arg)
{
    struct client *cl = arg;
    struct scratch_pen pen;
    pen_init(&pen);
    for (int i = 0; i < 25; i++) {
        struct request q;
        char item[32];
        snprintf(item, sizeof item, "M-%d-%d", cl->number, i / 2);
        bool wrong_key = i % 5 == 4;
        struct span ev = pen_material(&pen, item);
        enum job_outcome o =
            run_one(cl->run, &pen, ev, "wh", wrong_key ? KEY_OTHER : KEY_WAREHOUSE, &q);
        if (o == JOB_REFUSED) {
            enum refusal_code code = q.job.results[0].why.code;
            CHECK(wrong_key ? code == E_SIG_INVALID || code == E_DUP_EVENT : false);
            cl->refused++;
        } else {
            check_receipt(cl->run->s, &pen, &q, 0);
            cl->accepted += o == JOB_ACCEPTED;
        }
        request_fini(&q);
    }
    pen_fini(&pen);
    return NULL;
}

TEST(clients_in_several_threads)
{
    enum { N = 4 };
    struct scratch s;
    struct run r;
    pthread_t t[N];
    struct client cl[N];
    begin(&s, &r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    for (int i = 0; i < N; i++) {
        cl[i] = (struct client){.run = &r, .number = i};
        CHECK(pthread_create(&t[i], NULL, client_main, &cl[i]) == 0);
    }
    for (int i = 0; i < N; i++)
        pthread_join(t[i], NULL);
    unsigned accepted = 1, refused = 0;
    for (int i = 0; i < N; i++) {
        CHECK_EQ_INT(cl[i].accepted, 12);
        CHECK_EQ_INT(cl[i].refused, 5);
        accepted += cl[i].accepted;
        refused += cl[i].refused;
    }
    struct pipeline_stats st;
    pipeline_stats(r.p, &st);
    CHECK_EQ_INT(st.events, accepted);
    CHECK_EQ_INT(st.refused, refused);
    CHECK_EQ_INT(st.size, 4 + accepted + st.batches);
    end(&s, &r);
}

TEST(a_key_is_the_one_at_the_time_of_recording)
{
    struct scratch s;
    struct run r;
    struct request held, q[3];
    struct span ev[3], sig[3];
    begin(&s, &r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    hold_writer(&r, &held, "M-0");
    /* Verified by workers while "wh" is in force; judged after its revocation, and after the
     * registration of "op". */
    ev[0] = pen_event(&s.pen, "PARTY_REGISTERED", "revoke",
                      "action=REVOKE;party=wh;org=ORG;roles=WAREHOUSE");
    sig[0] = pen_sign(&s.pen, &ev[0], 1, SCRATCH_ADMIN, KEY_ADMIN, SPAN_NONE);
    ev[1] = pen_material(&s.pen, "M-1");
    sig[1] = pen_sign(&s.pen, &ev[1], 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
    for (int i = 0; i < 2; i++) {
        request_init(&q[i], &r, &ev[i], 1, &sig[i], 1);
        CHECK_EQ_INT(request_send(&q[i]), LEDGER_OK);
    }
    struct span pair[2] = {pen_registration(&s.pen, "reg op", "op", "OPERATOR", KEY_OPERATOR),
                           pen_material(&s.pen, "M-2")};
    struct span sig_a = pen_sign(&s.pen, &pair[0], 1, SCRATCH_ADMIN, KEY_ADMIN, SPAN_NONE);
    struct span sig_b = pen_sign(&s.pen, &pair[1], 1, "op", KEY_OPERATOR, SPAN_NONE);
    struct request a, b;
    request_init(&a, &r, &pair[0], 1, &sig_a, 1);
    request_init(&b, &r, &pair[1], 1, &sig_b, 1);
    CHECK_EQ_INT(request_send(&a), LEDGER_OK);
    CHECK_EQ_INT(request_send(&b), LEDGER_OK);
    gate(&r, false);
    request_wait(&b);
    CHECK_EQ_INT(q[0].job.results[0].outcome, JOB_ACCEPTED);
    CHECK_EQ_INT(q[1].job.results[0].outcome, JOB_REFUSED);
    CHECK_EQ_INT(q[1].job.results[0].why.code, E_UNKNOWN_PARTY);
    CHECK_EQ_INT(a.job.results[0].outcome, JOB_ACCEPTED);
    CHECK_EQ_INT(b.job.results[0].outcome, JOB_ACCEPTED);
    request_wait(&held);
    request_fini(&held);
    request_fini(&a);
    request_fini(&b);
    for (int i = 0; i < 2; i++)
        request_fini(&q[i]);
    end(&s, &r);
}

TEST(an_idle_ledger_writes_seals)
{
    struct scratch s;
    struct run r;
    scratch_make(&s);
    run_init(&r, &s);
    r.o.heartbeat_s = 1;
    must_start(&r);
    pthread_mutex_lock(&r.lock);
    while (r.commits < 2)
        pthread_cond_wait(&r.changed, &r.lock);
    pthread_mutex_unlock(&r.lock);
    CHECK_EQ_INT(kind_at(&r, 4, NULL), OWN_SEAL);
    CHECK_EQ_INT(kind_at(&r, 5, NULL), OWN_SEAL);
    end(&s, &r);
}

static struct {
    _Atomic int64_t real, mono;
} fake;

static int64_t fake_real(void *ctx)
{
    (void)ctx;
    return fake.real;
}
static int64_t fake_mono(void *ctx)
{
    (void)ctx;
    return fake.mono;
}

static int64_t recorded_at(struct run *r, uint64_t index)
{
    struct store_snapshot *sn;
    struct log_record rec;
    struct header h;
    CHECK_EQ_INT(store_snapshot_open(r->store, &sn, NULL), LEDGER_OK);
    struct kv kv = store_snapshot_kv(sn);
    CHECK_EQ_INT(log_read(&kv, index, &rec, NULL), LEDGER_OK);
    CHECK_EQ_INT(header_decode(r->s->pen.a, rec.header, &h, NULL), LEDGER_OK);
    store_snapshot_close(sn);
    return h.recorded_us;
}

TEST(a_clock_that_is_set_is_recorded_and_never_runs_backwards)
{
    static const struct pipeline_clock clock = {fake_real, fake_mono, NULL};
    const int64_t minute = 60000000;
    struct scratch s;
    struct run r;
    scratch_make(&s);
    run_init(&r, &s);
    r.o.clock = &clock;
    fake.real = INT64_C(1900000000000000); /* in 2030 */
    fake.mono = 0;
    must_start(&r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    uint64_t at = size_of(&r);
    fake.real += 100 * minute;
    fake.mono += 100 * minute - 30000000; /* half a minute off is no step */
    register_party(&r, "p1", "QA", 11);
    CHECK_EQ_INT(size_of(&r), at + 2);
    fake.real -= 10 * minute;
    int64_t before = recorded_at(&r, at);
    at = size_of(&r);
    register_party(&r, "p2", "QA", 12);
    CHECK_EQ_INT(kind_at(&r, at, NULL), OWN_CLOCK_STEP);
    CHECK_EQ_INT(size_of(&r), at + 3);
    CHECK_EQ_INT(recorded_at(&r, at), before);
    CHECK_EQ_INT(recorded_at(&r, at + 1), before);
    register_party(&r, "p3", "QA", 13);
    CHECK_EQ_INT(size_of(&r), at + 5); /* once */
    run_stop(&r);
    fake.real -= 100 * minute; /* behind the last entry at the next start */
    must_start(&r);
    at = size_of(&r);
    register_party(&r, "p4", "QA", 14);
    CHECK_EQ_INT(kind_at(&r, at, NULL), OWN_CLOCK_STEP);
    CHECK(recorded_at(&r, at) >= before);
    end(&s, &r);
}

static void copy_file(const char *from, const char *to)
{
    char cmd[512];
    snprintf(cmd, sizeof cmd, "cp '%s' '%s'", from, to);
    CHECK(system(cmd) == 0);
}

TEST(a_rollback_is_refused)
{
    struct scratch s;
    struct run r;
    char data[256], old[256], later[256];
    begin(&s, &r);
    snprintf(data, sizeof data, "%s/data/data.mdb", s.dir);
    snprintf(old, sizeof old, "%s/old.mdb", s.base);
    snprintf(later, sizeof later, "%s/later.anchor", s.base);
    run_stop(&r);
    copy_file(data, old);
    must_start(&r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    run_stop(&r);
    copy_file(s.anchor, later);
    uint64_t size = anchored(&s);
    copy_file(old, data); /* a backup put back */
    CHECK_EQ_INT(run_start(&r), LEDGER_ETAMPER);
    CHECK(strstr(r.err.msg, "rolled back") && strstr(r.err.msg, "docs/operations.md"));
    CHECK_EQ_INT(anchored(&s), size);
    CHECK(remove(s.anchor) == 0);
    CHECK_EQ_INT(run_start(&r), LEDGER_EINVAL);
    CHECK(strstr(r.err.msg, "anchor") && strstr(r.err.msg, "missing"));
    r.o.anchor_path = later; /* an anchor somewhere else */
    CHECK_EQ_INT(run_start(&r), LEDGER_ETAMPER);
    run_fini(&r);
    scratch_remove(&s);
}

TEST(another_history_of_the_same_length_is_refused)
{
    struct scratch s;
    struct run r;
    char data[256], old[256], old_anchor[256], new_anchor[256];
    begin(&s, &r);
    snprintf(data, sizeof data, "%s/data/data.mdb", s.dir);
    snprintf(old, sizeof old, "%s/old.mdb", s.base);
    snprintf(old_anchor, sizeof old_anchor, "%s/old.anchor", s.base);
    snprintf(new_anchor, sizeof new_anchor, "%s/new.anchor", s.base);
    run_stop(&r);
    copy_file(data, old);
    copy_file(s.anchor, old_anchor);
    must_start(&r);
    run_stop(&r);
    copy_file(s.anchor, new_anchor);
    copy_file(old, data);
    copy_file(old_anchor, s.anchor);
    must_start(&r); /* who holds the anchor can do that; a witness would notice */
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    run_stop(&r);
    copy_file(new_anchor, s.anchor);
    CHECK_EQ_INT(run_start(&r), LEDGER_ETAMPER);
    CHECK(strstr(r.err.msg, "another root"));
    FILE *f = fopen(s.anchor, "w");
    CHECK(f && fputs("no note\n", f) >= 0 && fclose(f) == 0);
    CHECK_EQ_INT(run_start(&r), LEDGER_EINVAL);
    run_fini(&r);
    scratch_remove(&s);
}

TEST(without_space_nothing_is_recorded_and_the_service_goes_on)
{
    struct scratch s;
    struct run r;
    struct pipeline_stats st;
    scratch_make(&s);
    run_init(&r, &s);
    r.store_o.map_bytes = 700 * 1024;
    must_start(&r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    unsigned accepted = 0;
    struct request q;
    for (;;) {
        char item[32];
        snprintf(item, sizeof item, "M-%u", accepted);
        struct span ev = pen_material(&s.pen, item),
                    sig = pen_sign(&s.pen, &ev, 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
        request_init(&q, &r, &ev, 1, &sig, 1);
        request_do(&q);
        if (q.job.rc)
            break;
        CHECK_EQ_INT(q.job.results[0].outcome, JOB_ACCEPTED);
        request_fini(&q);
        accepted++;
    }
    CHECK_EQ_INT(q.job.rc, LEDGER_EFULL);
    CHECK(!q.job.unknown);
    request_fini(&q);
    pipeline_stats(r.p, &st);
    CHECK(!st.writable && st.text[0]);
    CHECK_EQ_INT(run_one(&r, &s.pen, pen_material(&s.pen, "M-0"), "wh", KEY_WAREHOUSE, &q),
                 JOB_BEFORE);
    check_receipt(&s, &s.pen, &q, 0);
    request_fini(&q);
    run_stop(&r);
    CHECK_EQ_INT(r.fatals, 0);
    r.store_o.map_bytes = SCRATCH_MAP; /* there is space again */
    must_start(&r);
    char item[32];
    snprintf(item, sizeof item, "M-%u", accepted);
    CHECK_EQ_INT(run_one(&r, &s.pen, pen_material(&s.pen, item), "wh", KEY_WAREHOUSE, &q),
                 JOB_ACCEPTED);
    request_fini(&q);
    pipeline_stats(r.p, &st);
    CHECK(st.writable);
    end(&s, &r);
}

static void flip(struct scratch *s, enum kv_table t, struct span key, size_t at)
{
    struct store *store = scratch_open(s);
    struct kv kv;
    struct span v;
    uint8_t copy[4096];
    CHECK_EQ_INT(store_begin(store, &kv, NULL), LEDGER_OK);
    CHECK_EQ_INT(kv_get(&kv, t, key, &v), LEDGER_OK);
    CHECK(v.n > at && v.n <= sizeof copy);
    memcpy(copy, v.p, v.n);
    copy[at] ^= 0x20;
    CHECK_EQ_INT(store_replace(store, t, key, span_of(copy, v.n), NULL), LEDGER_OK);
    CHECK_EQ_INT(store_commit(store, NULL), LEDGER_OK);
    store_close(store);
}

TEST(a_damaged_tail_is_not_signed)
{
    struct scratch s;
    struct run r;
    begin(&s, &r);
    register_party(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE); /* entry 4 */
    run_stop(&r);
    const struct {
        enum kv_table t;
        struct span key;
        size_t at;
    } damage[] = {
        {KV_LOG, span_of("\0\0\0\0\0\0\0\4", 8), 120},
        {KV_LOG, span_of("\0\0\0\0\0\0\0\4", 8), 300},
        {KV_TREE, span_of("\0\0\0\0\0\0\0\0\4", 9), 3},
        {KV_TREE, span_of("\1\0\0\0\0\0\0\0\1", 9), 3},
        {KV_CHECKPOINT, span_of("\0\0\0\0\0\0\0\7", 8), 0},
        {KV_META, span_of("machine", 7), 60},
    };
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        flip(&s, damage[i].t, damage[i].key, damage[i].at);
        enum ledger_rc rc = run_start(&r);
        if (rc != LEDGER_ETAMPER)
            fprintf(stderr, "damage %zu: %s: %s\n", i, ledger_rc_text(rc), r.err.msg);
        CHECK_EQ_INT(rc, LEDGER_ETAMPER);
        flip(&s, damage[i].t, damage[i].key, damage[i].at);
    }
    must_start(&r);
    end(&s, &r);
}

TEST_MAIN(TEST_ENTRY(each_start_is_an_epoch_and_each_end_a_seal),
          TEST_ENTRY(receipts_verify_and_refusals_say_why),
          TEST_ENTRY(signatures_that_are_missing_malformed_too_many_or_for_something_else),
          TEST_ENTRY(the_same_again_gives_the_first_receipt),
          TEST_ENTRY(duplicates_within_one_batch), TEST_ENTRY(busy_when_the_queue_is_full),
          TEST_ENTRY(many_events_under_one_signature), TEST_ENTRY(all_or_nothing),
          TEST_ENTRY(requests_are_judged_in_the_order_in_which_they_came),
          TEST_ENTRY(clients_in_several_threads),
          TEST_ENTRY(a_key_is_the_one_at_the_time_of_recording),
          TEST_ENTRY(an_idle_ledger_writes_seals),
          TEST_ENTRY(a_clock_that_is_set_is_recorded_and_never_runs_backwards),
          TEST_ENTRY(a_rollback_is_refused),
          TEST_ENTRY(another_history_of_the_same_length_is_refused),
          TEST_ENTRY(without_space_nothing_is_recorded_and_the_service_goes_on),
          TEST_ENTRY(a_damaged_tail_is_not_signed))
