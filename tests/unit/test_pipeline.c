/* SPDX-License-Identifier: Apache-2.0 */
/* The write path: receipts, refusals, duplicates, groups, order, limits. Start and end:
 * test_pipeline_start. */
#include "check.h"
#include "scratch_run.h"

TEST(receipts_verify_and_refusals_say_why)
{
    struct scratch s;
    struct run r;
    struct request q;
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
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
                 run_size(&r)); /* a refusal comes with the latest checkpoint */
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
    run_end(&s, &r);
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
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
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
    run_end(&s, &r);
}

TEST(the_same_again_gives_the_first_receipt)
{
    struct scratch s;
    struct run r;
    struct request q;
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE|OPERATOR", KEY_WAREHOUSE);
    run_register(&r, "op", "OPERATOR", KEY_OPERATOR);
    struct span ev = pen_material(&s.pen, "M-1");
    CHECK_EQ_INT(run_one(&r, &s.pen, ev, "wh", KEY_WAREHOUSE, &q), JOB_ACCEPTED);
    uint64_t first = q.job.results[0].index, size = run_size(&r);
    request_fini(&q);
    CHECK_EQ_INT(run_one(&r, &s.pen, ev, "wh", KEY_WAREHOUSE, &q), JOB_BEFORE);
    CHECK_EQ_INT(q.job.results[0].index, first);
    check_receipt(&s, &s.pen, &q, 0);
    request_fini(&q);
    CHECK_EQ_INT(run_size(&r), size); /* nothing was written for it, no seal either */
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
    run_end(&s, &r);
}

TEST(duplicates_within_one_batch)
{
    struct scratch s;
    struct run r;
    struct request held, q[4];
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    run_register(&r, "op", "OPERATOR", KEY_OPERATOR);
    run_hold_writer(&r, &held, "M-0");
    struct span ev = pen_material(&s.pen, "M-1");
    struct span wh = pen_sign(&s.pen, &ev, 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
    struct span op = pen_sign(&s.pen, &ev, 1, "op", KEY_OPERATOR, SPAN_NONE);
    struct span *sigs[4] = {&wh, &wh, &op, &wh};
    for (int i = 0; i < 4; i++) {
        request_init(&q[i], &r, &ev, 1, sigs[i], 1);
        CHECK_EQ_INT(request_send(&q[i]), LEDGER_OK);
    }
    run_gate(&r, false);
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
    run_end(&s, &r);
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
    run_must_start(&r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    run_hold_writer(&r, &held, "M-0");
    for (int i = 0; i < 3; i++) {
        char item[16];
        snprintf(item, sizeof item, "M-%d", i + 1);
        ev[i] = pen_material(&s.pen, item);
        sig[i] = pen_sign(&s.pen, &ev[i], 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
        request_init(&q[i], &r, &ev[i], 1, &sig[i], 1);
        CHECK_EQ_INT(request_send(&q[i]), i < 2 ? LEDGER_OK : LEDGER_EBUSY);
    }
    run_gate(&r, false);
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
    run_end(&s, &r);
}

TEST(many_events_under_one_signature)
{
    enum { N = 37 };
    struct scratch s;
    struct run r;
    struct request q;
    struct span ev[N];
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
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
    run_end(&s, &r);
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
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    uint64_t size = run_size(&r);
    struct span bad[3] = {pen_material(&s.pen, "M-1"),
                          pen_event(&s.pen, "STORAGE_MOVED", "a", "item=M-2;location=F"),
                          pen_material(&s.pen, "M-3")};
    send_group(&r, &q, bad, 3);
    CHECK_EQ_INT(q.job.results[0].outcome, JOB_SKIPPED);
    CHECK_EQ_INT(q.job.results[1].outcome, JOB_REFUSED);
    CHECK_EQ_INT(q.job.results[1].why.code, E_UNKNOWN_ITEM);
    CHECK_EQ_INT(q.job.results[2].outcome, JOB_SKIPPED);
    CHECK_EQ_INT(run_size(&r), size);
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
    CHECK_EQ_INT(run_size(&r), size + 3);
    check_receipt(&s, &s.pen, &q, 0);
    check_receipt(&s, &s.pen, &q, 1);
    request_fini(&q);
    send_group(&r, &q, good, 2);
    CHECK_EQ_INT(q.job.results[0].outcome, JOB_BEFORE);
    CHECK_EQ_INT(q.job.results[1].outcome, JOB_BEFORE);
    check_receipt(&s, &s.pen, &q, 1);
    request_fini(&q);
    run_end(&s, &r);
}

TEST(requests_are_judged_in_the_order_in_which_they_came)
{
    enum { N = 60 };
    struct scratch s;
    struct run r;
    struct request *q = calloc(2 * N, sizeof *q);
    struct span ev[2 * N], sig[2 * N];
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
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
    run_end(&s, &r);
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
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
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
    run_end(&s, &r);
}

TEST(a_key_is_the_one_at_the_time_of_recording)
{
    struct scratch s;
    struct run r;
    struct request held, q[3];
    struct span ev[3], sig[3];
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    run_hold_writer(&r, &held, "M-0");
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
    run_gate(&r, false);
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
    run_end(&s, &r);
}

/* The tree rots while the ledger runs: a receipt that would not verify is not sent. The request fails and says that nothing was recorded;
 * the process goes on for those whose answers do not touch the damage. */
TEST(a_receipt_of_a_damaged_tree_is_not_sent)
{
    struct scratch s;
    struct run r;
    struct request q;
    struct kv kv;
    struct span v;
    uint8_t key[KV_KEY_MAX], copy[MERKLE_ROW * HASH_LEN];
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    struct span ev = pen_material(&s.pen, "M-1");
    CHECK_EQ_INT(run_one(&r, &s.pen, ev, "wh", KEY_WAREHOUSE, &q), JOB_ACCEPTED);
    uint64_t sibling = q.job.results[0].index ^ 1;
    request_fini(&q);
    CHECK_EQ_INT(store_begin(r.store, &kv, NULL), LEDGER_OK); /* the writer stands still: nobody asks anything of it */
    CHECK_EQ_INT(kv_get(&kv, KV_TREE, kv_key_tree(key, 0, sibling), &v), LEDGER_OK);
    CHECK_EQ_INT(v.n, sizeof copy);
    memcpy(copy, v.p, sizeof copy);
    copy[sibling % MERKLE_ROW * HASH_LEN + 7] ^= 1;
    CHECK_EQ_INT(store_replace(r.store, KV_TREE, kv_key_tree(key, 0, sibling), span_of(copy, sizeof copy), NULL), LEDGER_OK);
    CHECK_EQ_INT(store_commit(r.store, NULL), LEDGER_OK);
    struct span sig = pen_sign(&s.pen, &ev, 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
    request_init(&q, &r, &ev, 1, &sig, 1);
    CHECK_EQ_INT(request_send(&q), LEDGER_OK);
    pthread_mutex_lock(&r.lock);
    while (!r.fatals && !q.done)
        pthread_cond_wait(&r.changed, &r.lock);
    pthread_mutex_unlock(&r.lock);
    run_stop(&r);
    CHECK_EQ_INT(r.fatals, 0);
    CHECK(q.done);
    CHECK_EQ_INT(q.job.rc, LEDGER_ETAMPER);
    CHECK(!q.job.unknown);
    request_fini(&q);
    run_fini(&r);
    scratch_remove(&s);
}

TEST_MAIN(TEST_ENTRY(a_receipt_of_a_damaged_tree_is_not_sent), TEST_ENTRY(receipts_verify_and_refusals_say_why),
          TEST_ENTRY(signatures_that_are_missing_malformed_too_many_or_for_something_else),
          TEST_ENTRY(the_same_again_gives_the_first_receipt),
          TEST_ENTRY(duplicates_within_one_batch), TEST_ENTRY(busy_when_the_queue_is_full),
          TEST_ENTRY(many_events_under_one_signature), TEST_ENTRY(all_or_nothing),
          TEST_ENTRY(requests_are_judged_in_the_order_in_which_they_came),
          TEST_ENTRY(clients_in_several_threads),
          TEST_ENTRY(a_key_is_the_one_at_the_time_of_recording))
