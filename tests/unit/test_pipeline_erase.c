/* SPDX-License-Identifier: Apache-2.0 */
/* Acts that persons sign on the write path: recorded like events, and an erasure answered when the bytes are gone; or, where
 * that cannot be, with the truth about it. */
#include <sys/resource.h>

#include "check.h"
#include "entry.h"
#include "scratch_run.h"
#include "scrub_all.h"
#include "store/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMITS_WORK false
#else
#define LIMITS_WORK true
#endif

static void begin(struct scratch *s, struct run *r)
{
    run_begin(s, r);
    run_register(r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    run_register(r, "qa", "QA", KEY_QA);
}

static struct hash material(struct run *r, struct scratch *s, const char *item)
{
    struct request q;
    struct hash id;
    struct span ev = pen_material(&s->pen, item);
    event_id(s->pen.c, ev, &id);
    CHECK_EQ_INT(run_one(r, &s->pen, ev, "wh", KEY_WAREHOUSE, &q), JOB_ACCEPTED);
    request_fini(&q);
    return id;
}

/* The request of an erasure of one event; sigs has room for two. */
static void erasure(struct request *q, struct run *r, const struct hash *id, uint8_t nonce, struct span *payload, struct span *sigs)
{
    struct scratch_pen *pen = &r->s->pen;
    struct erasure e = {.reason = SPAN_LIT("asked for"), .n = 1, .ids = id->b};
    memset(e.nonce, nonce, sizeof e.nonce);
    *payload = erasure_encode(pen->a, &e);
    CHECK(payload->p != NULL);
    sigs[0] = pen_sign(pen, payload, 1, SCRATCH_ADMIN, KEY_ADMIN, SPAN_NONE);
    sigs[1] = pen_sign(pen, payload, 1, "qa", KEY_QA, sigs[0]);
    request_init(q, r, payload, 1, sigs, 2);
    q->job.own_kind = OWN_ERASURE;
}

static bool is_erased(struct run *r, uint64_t index)
{
    struct store_snapshot *sn;
    struct entry_record record;
    CHECK_EQ_INT(store_snapshot_open(r->store, &sn, NULL), LEDGER_OK);
    struct kv kv = store_snapshot_kv(sn);
    CHECK_EQ_INT(log_read(&kv, index, &record, NULL), LEDGER_OK);
    bool erased = record.erased_by != 0;
    CHECK(erased == (record.event.n == 0));
    store_snapshot_close(sn);
    return erased;
}

TEST(an_erasure_is_recorded_once_and_its_bytes_are_gone_when_it_is_answered)
{
    struct scratch s;
    struct run r;
    struct request q;
    struct pipeline_stats st;
    struct span payload, sigs[2];
    begin(&s, &r);
    uint64_t target = run_size(&r);
    struct hash id = material(&r, &s, "M-1");
    erasure(&q, &r, &id, 1, &payload, sigs);
    request_do(&q);
    CHECK_EQ_INT(q.job.rc, LEDGER_OK);
    CHECK_EQ_INT(q.job.results[0].outcome, JOB_ACCEPTED);
    check_receipt(&s, &s.pen, &q, 0);
    uint64_t index = q.job.results[0].index;
    request_fini(&q);
    CHECK(is_erased(&r, target));
    CHECK(!store_erasing(r.store));
    pipeline_stats(r.p, &st);
    CHECK_EQ_INT(st.compactions, 1);
    CHECK(!st.erasing);
    request_init(&q, &r, &payload, 1, sigs, 2);
    q.job.own_kind = OWN_ERASURE;
    request_do(&q); /* the same bytes: the first entry */
    CHECK_EQ_INT(q.job.results[0].outcome, JOB_BEFORE);
    CHECK_EQ_INT(q.job.results[0].index, index);
    request_fini(&q);
    material(&r, &s, "M-2");
    run_end(&s, &r);
}

/* Has the event erased; the index of the act. */
static uint64_t erase(struct run *r, const struct hash *id, uint8_t nonce)
{
    struct request q;
    struct span payload, sigs[2];
    erasure(&q, r, id, nonce, &payload, sigs);
    request_do(&q);
    CHECK_EQ_INT(q.job.results[0].outcome, JOB_ACCEPTED);
    uint64_t index = q.job.results[0].index;
    request_fini(&q);
    return index;
}

/* Says of an erased entry that another one has erased it; how often the scrub names it then. */
static uint64_t scrub_names(struct scratch *s, uint64_t target, int64_t further)
{
    struct store *store = scratch_open(s);
    enum ledger_rc rc;
    struct entry_record record;
    uint8_t key[KV_KEY_MAX];
    struct kv kv;
    CHECK_EQ_INT(store_begin(store, &kv, NULL), LEDGER_OK);
    CHECK_EQ_INT(log_read(&kv, target, &record, NULL), LEDGER_OK);
    CHECK(record.erased_by);
    record.erased_by += (uint64_t)further;
    CHECK_EQ_INT(store_replace(store, KV_LOG, kv_key_u64(key, target), entry_record_join(s->pen.a, &record), NULL), LEDGER_OK);
    CHECK_EQ_INT(store_commit(store, NULL), LEDGER_OK);
    uint64_t n = scrub_count(store, s->pen.c, target, &rc);
    CHECK_EQ_INT(rc, LEDGER_OK);
    store_close(store);
    return n;
}

TEST(the_scrub_asks_who_has_erased_it)
{
    struct scratch s;
    struct run r;
    begin(&s, &r);
    uint64_t target = run_size(&r);
    struct hash id = material(&r, &s, "M-1"), other = material(&r, &s, "M-2");
    uint64_t act = erase(&r, &id, 1);
    int64_t next = (int64_t)(erase(&r, &other, 2) - act);
    run_stop(&r);
    CHECK_EQ_INT(scrub_names(&s, target, 0), 0);
    CHECK(scrub_names(&s, target, 1) > 0);          /* a seal */
    CHECK(scrub_names(&s, target, next - 1) > 0);   /* an ERASURE of another */
    CHECK(scrub_names(&s, target, 1000) > 0);       /* beyond the end */
    CHECK_EQ_INT(scrub_names(&s, target, -next - 1000), 0);
    run_fini(&r);
    scratch_remove(&s);
}

TEST(a_refused_or_malformed_act_changes_nothing)
{
    struct scratch s;
    struct run r;
    struct request q;
    struct span payload, sigs[2];
    begin(&s, &r);
    uint64_t target = run_size(&r);
    struct hash id = material(&r, &s, "M-1"), unknown = id;
    uint64_t size = run_size(&r);
    unknown.b[0] ^= 1;
    erasure(&q, &r, &unknown, 1, &payload, sigs);
    request_do(&q);
    CHECK_EQ_INT(q.job.results[0].outcome, JOB_REFUSED);
    CHECK_EQ_INT(q.job.results[0].why.code, E_ERASE_TARGET);
    request_fini(&q);
    erasure(&q, &r, &id, 2, &payload, sigs);
    q.job.n_signatures = 1;
    request_do(&q);
    CHECK_EQ_INT(q.job.results[0].why.code, E_SIG_SECOND_MISSING);
    request_fini(&q);
    erasure(&q, &r, &id, 3, &payload, sigs);
    payload.n--;
    request_do(&q);
    CHECK_EQ_INT(q.job.rc, LEDGER_EINVAL);
    CHECK(!q.job.unknown);
    request_fini(&q);
    /* What decodes and cannot be carried out is a refusal, too, and not the end of the process. */
    struct parameters p = {.rules_version = RULES_VERSION + 1, .n_algorithms = 1, .algorithms = {SIG_ED25519}};
    payload = parameters_encode(s.pen.a, &p);
    sigs[0] = pen_sign(&s.pen, &payload, 1, SCRATCH_ADMIN, KEY_ADMIN, SPAN_NONE);
    sigs[1] = pen_sign(&s.pen, &payload, 1, "qa", KEY_QA, sigs[0]);
    request_init(&q, &r, &payload, 1, sigs, 2);
    q.job.own_kind = OWN_PARAMETERS;
    request_do(&q);
    CHECK_EQ_INT(q.job.rc, LEDGER_OK);
    CHECK_EQ_INT(q.job.results[0].why.code, E_BAD_VALUE);
    request_fini(&q);
    CHECK(!is_erased(&r, target));
    CHECK_EQ_INT(run_size(&r), size);
    material(&r, &s, "M-2");
    run_end(&s, &r);
}

static uint64_t address_space(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%llu", &pages) == 1);
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

TEST(what_cannot_be_destroyed_now_is_said_and_destroyed_by_the_next_start)
{
    struct scratch s;
    struct run r;
    struct request q;
    struct pipeline_stats st;
    struct rlimit before, tight;
    struct span payload, sigs[2];
    if (!LIMITS_WORK)
        exit(CHECK_EXIT_SKIPPED);
    begin(&s, &r);
    uint64_t target = run_size(&r);
    struct hash id = material(&r, &s, "M-1");
    erasure(&q, &r, &id, 1, &payload, sigs);
    CHECK_EQ_INT(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = address_space() + SCRATCH_MAP / 2; /* the map of the copy has no place */
    CHECK_EQ_INT(setrlimit(RLIMIT_AS, &tight), 0);
    request_do(&q);
    CHECK_EQ_INT(q.job.rc, LEDGER_EFULL);
    CHECK(q.job.unknown && strstr(q.job.err.msg, "recorded as entry"));
    request_fini(&q);
    CHECK(is_erased(&r, target) && store_erasing(r.store));
    pipeline_stats(r.p, &st);
    CHECK(st.erasing && st.compactions == 0);
    material(&r, &s, "M-2"); /* recording goes on */
    run_stop(&r);
    CHECK_EQ_INT(setrlimit(RLIMIT_AS, &before), 0);
    run_must_start(&r);
    CHECK(!store_erasing(r.store));
    pipeline_stats(r.p, &st);
    CHECK(!st.erasing);
    run_end(&s, &r);
}

TEST_MAIN(TEST_ENTRY(an_erasure_is_recorded_once_and_its_bytes_are_gone_when_it_is_answered),
          TEST_ENTRY(the_scrub_asks_who_has_erased_it), TEST_ENTRY(a_refused_or_malformed_act_changes_nothing),
          TEST_ENTRY(what_cannot_be_destroyed_now_is_said_and_destroyed_by_the_next_start))
