/* SPDX-License-Identifier: Apache-2.0 */
/* TIME_STAMP entries through the write path: what the machine takes and what not, the queue for entries of the ledger's own, and how the
 * latest token is found again. */
#include "check.h"

#include "authority.h"
#include "scratch_run.h"
#include "timestamp/look.h"
#include "verify_stamp.h"

#define FROM_S INT64_C(1790000000)
#define UNTIL_S (FROM_S + 8640000)

struct stamping {
    struct scratch s;
    struct run r;
    struct authority t;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned done;
};

static void begin(struct stamping *st)
{
    memset(st, 0, sizeof *st);
    run_begin(&st->s, &st->r);
    run_register(&st->r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    authority_new(&st->t, "Works", FROM_S, UNTIL_S, "critical,timeStamping");
    pthread_mutex_init(&st->lock, NULL);
    pthread_cond_init(&st->changed, NULL);
}

static void end(struct stamping *st)
{
    run_end(&st->s, &st->r);
    authority_free(&st->t);
    pthread_cond_destroy(&st->changed);
    pthread_mutex_destroy(&st->lock);
}

static void done_cb(struct own_job *job)
{
    struct stamping *st = job->owner;
    pthread_mutex_lock(&st->lock);
    st->done++;
    pthread_cond_signal(&st->changed);
    pthread_mutex_unlock(&st->lock);
}

static void wait_done(struct stamping *st, unsigned n)
{
    pthread_mutex_lock(&st->lock);
    while (st->done < n)
        pthread_cond_wait(&st->changed, &st->lock);
    pthread_mutex_unlock(&st->lock);
}

static struct own_job record(struct stamping *st, struct span payload)
{
    struct own_job job = {.kind = OWN_TIME_STAMP, .payload = payload, .done_cb = done_cb, .owner = st};
    st->done = 0;
    CHECK_EQ_INT(pipeline_record_own(st->r.p, &job), LEDGER_OK);
    wait_done(st, 1);
    CHECK_EQ_INT(st->done, 1);
    return job;
}

/* A receipt of material, and the checkpoint's note that came with it. */
static struct span event(struct stamping *st, const char *item)
{
    struct request q;
    CHECK_EQ_INT(run_one(&st->r, &st->s.pen, pen_material(&st->s.pen, item), "wh", KEY_WAREHOUSE, &q), JOB_ACCEPTED);
    struct span note = arena_copy(st->s.pen.a, q.job.checkpoint);
    request_fini(&q);
    CHECK(note.p);
    return note;
}

static struct span token_over(struct stamping *st, struct span bytes)
{
    struct arena *a = st->s.pen.a;
    struct hash imprint;
    struct span request;
    struct tsp_response r;
    static const uint8_t nonce = 7;
    crypto_sha256(st->s.pen.c, &bytes, 1, &imprint);
    CHECK_EQ_INT(tsp_request(a, &imprint, span_of(&nonce, 1), NULL, &request, NULL), LEDGER_OK);
    CHECK_EQ_INT(tsp_response_parse(authority_answer(a, &st->t, request), &r, NULL), LEDGER_OK);
    CHECK(r.granted);
    return r.token;
}

static struct span payload_of(struct stamping *st, struct span note, struct span token)
{
    static uint8_t count;
    struct time_stamp t = {.note = note, .token = token};
    t.nonce[0] = ++count;
    struct span out = time_stamp_encode(st->s.pen.a, &t);
    CHECK(out.p);
    return out;
}

/* A note under the log's name that says something of one's own. */
static struct span signed_note(struct stamping *st, const char *origin, uint64_t size, const struct hash *root)
{
    struct wbuf w;
    struct note_key key = st->s.key;
    struct secret_key secret = pen_key(&st->s.pen, KEY_LOG);
    const struct checkpoint cp = {span_str(origin), size, *root};
    snprintf(key.name, sizeof key.name, "%s", origin);
    wbuf_init(&w, st->s.pen.a);
    checkpoint_sign(st->s.pen.c, &key, &secret, &cp, &w);
    return wbuf_span(&w);
}

TEST(recorded_and_found)
{
    struct stamping st;
    struct stamp_look look;
    struct arena *a = arena_new(LOOK_ARENA_BYTES);
    begin(&st);
    CHECK_EQ_INT(stamp_look(st.r.store, 0, a, &look, NULL), LEDGER_OK);
    CHECK(!look.stamped && look.size == run_size(&st.r));
    struct span note = event(&st, "M-1");
    uint64_t before = run_size(&st.r);
    struct own_job job = record(&st, payload_of(&st, note, token_over(&st, note)));
    CHECK_EQ_INT(job.rc, LEDGER_OK);
    CHECK_EQ_INT(job.index, before);
    CHECK_EQ_INT(job.size, before + 2);
    CHECK_EQ_INT(run_size(&st.r), before + 2);
    CHECK_EQ_INT(run_header(&st.r, job.index).kind, OWN_TIME_STAMP);
    CHECK_EQ_INT(run_header(&st.r, job.index).n_links, 1); /* the ledger's own chain */
    event(&st, "M-2");
    CHECK_EQ_INT(stamp_look(st.r.store, 0, a, &look, NULL), LEDGER_OK);
    CHECK(look.stamped && look.stamp_index == job.index && span_eq(look.stamp, job.payload));
    CHECK_EQ_INT(note_size(&st.s, &st.s.pen, look.note), run_size(&st.r));
    struct own_job second = record(&st, payload_of(&st, look.note, token_over(&st, look.note)));
    CHECK_EQ_INT(second.rc, LEDGER_OK);
    CHECK_EQ_INT(stamp_look(st.r.store, job.index, a, &look, NULL), LEDGER_OK);
    CHECK(look.stamped && look.stamp_index == second.index);
    end(&st);
    arena_free(a);
}

static void refused(struct stamping *st, struct span note, struct span token, const char *words)
{
    uint64_t before = run_size(&st->r);
    struct own_job job = record(st, payload_of(st, note, token));
    if (job.rc != LEDGER_EINVAL || !strstr(job.err.msg, words)) {
        fprintf(stderr, "%d \"%s\", not EINVAL with \"%s\"\n", job.rc, job.err.msg, words);
        exit(CHECK_EXIT_FAILED);
    }
    CHECK_EQ_INT(run_size(&st->r), before);
}

static struct span twice_signed(struct stamping *st, struct span note)
{
    struct wbuf w;
    const uint8_t *line = memmem(note.p, note.n, "\n\n", 2);
    CHECK(line);
    wbuf_init(&w, st->s.pen.a);
    wbuf_bytes(&w, note.p, note.n);
    wbuf_bytes(&w, line + 2, note.n - (size_t)(line + 2 - note.p));
    return wbuf_span(&w);
}

TEST(what_the_machine_does_not_take)
{
    struct stamping st;
    struct hash other = {{1, 2, 3}};
    struct checkpoint cp;
    struct note parsed;
    begin(&st);
    struct span older = event(&st, "M-1"), note = event(&st, "M-2"), token = token_over(&st, note);
    CHECK_EQ_INT(note_parse(st.s.pen.a, note, &parsed, NULL), LEDGER_OK);
    CHECK_EQ_INT(checkpoint_parse(parsed.text, &cp, NULL), LEDGER_OK);
    refused(&st, older, token, "something else");
    struct span false_root = signed_note(&st, SCRATCH_ORIGIN, cp.size, &other);
    refused(&st, false_root, token_over(&st, false_root), "not one of this log");
    struct span foreign = signed_note(&st, "other.example/ledger", cp.size, &cp.root);
    refused(&st, foreign, token_over(&st, foreign), "another ledger");
    struct span future = signed_note(&st, SCRATCH_ORIGIN, cp.size + 1, &cp.root);
    refused(&st, future, token_over(&st, future), "did not exist yet");
    struct span unsigned_note = arena_copy(st.s.pen.a, note);
    uint8_t *digit = (uint8_t *)(uintptr_t)unsigned_note.p + note.n - 20; /* within the signature's base64 */
    *digit = *digit == 'A' ? 'B' : 'A';
    refused(&st, unsigned_note, token_over(&st, unsigned_note), "has not signed");
    struct span twice = twice_signed(&st, note);
    refused(&st, twice, token_over(&st, twice), "alone");
    refused(&st, SPAN_LIT("a note\n"), token_over(&st, SPAN_LIT("a note\n")), "no signed checkpoint");
    refused(&st, note, span_of(token.p, token.n - 1), "not a token");
    refused(&st, note, SPAN_LIT("token"), "not a token");
    struct own_job newer = record(&st, SPAN_LIT("\002 0123456789abcdef"));
    CHECK_EQ_INT(newer.rc, LEDGER_EVERSION);
    struct own_job good = record(&st, payload_of(&st, note, token));
    CHECK_EQ_INT(good.rc, LEDGER_OK); /* nothing of all that was left behind */
    event(&st, "M-3");
    end(&st);
}

TEST(the_queue_is_bounded)
{
    struct stamping st;
    struct request held;
    struct own_job jobs[OWN_JOBS_MAX + 1];
    begin(&st);
    struct span note = event(&st, "M-1"), token = token_over(&st, note);
    run_gate(&st.r, true);
    run_hold_writer(&st.r, &held, "M-2");
    for (size_t i = 0; i <= OWN_JOBS_MAX; i++) {
        jobs[i] = (struct own_job){.kind = OWN_TIME_STAMP, .payload = payload_of(&st, note, token), .done_cb = done_cb, .owner = &st};
        CHECK_EQ_INT(pipeline_record_own(st.r.p, &jobs[i]), i < OWN_JOBS_MAX ? LEDGER_OK : LEDGER_EBUSY);
    }
    run_gate(&st.r, false);
    wait_done(&st, OWN_JOBS_MAX);
    for (size_t i = 0; i < OWN_JOBS_MAX; i++) {
        CHECK_EQ_INT(jobs[i].rc, LEDGER_OK);
        CHECK(i == 0 || jobs[i].index == jobs[i - 1].index + 2); /* in order, each with a seal of its own */
    }
    request_wait(&held);
    request_fini(&held);
    pipeline_stop(st.r.p);
    CHECK_EQ_INT(pipeline_record_own(st.r.p, &jobs[0]), LEDGER_EBUSY);
    end(&st);
}

TEST(trust_is_another_question)
{
    struct stamping st;
    struct stamp_entry e;
    struct tsp_trust trust;
    struct ledger_err err = {0};
    struct verdict v = {0};
    begin(&st);
    struct span note = event(&st, "M-1");
    struct span payload = payload_of(&st, note, token_over(&st, note));
    struct header h = {.index = 1000};
    CHECK(verify_time_stamp(st.s.pen.c, st.s.pen.a, &h, payload, SPAN_LIT(SCRATCH_ORIGIN), &e, &v));
    CHECK_EQ_INT(e.cp.size, run_size(&st.r));
    CHECK_EQ_INT(time_stamp_trust(&e, authority_pem(st.s.pen.a, st.t.ca), &trust, &err), LEDGER_OK);
    CHECK_EQ_STR(trust.ca, "CN=Works CA");
    struct authority other;
    authority_new(&other, "Others", FROM_S, UNTIL_S, "critical,timeStamping");
    CHECK_EQ_INT(time_stamp_trust(&e, authority_pem(st.s.pen.a, other.ca), &trust, &err), LEDGER_EUNTRUSTED);
    struct tsp_stamp one = stamp_for_bounds(&e);
    CHECK(one.index == 1000 && one.size == e.cp.size && one.gen_us == e.info.gen_us && one.accuracy_us == 1500020);
    authority_free(&other);
    end(&st);
}

TEST_MAIN(TEST_ENTRY(recorded_and_found), TEST_ENTRY(what_the_machine_does_not_take), TEST_ENTRY(the_queue_is_bounded),
          TEST_ENTRY(trust_is_another_question))
