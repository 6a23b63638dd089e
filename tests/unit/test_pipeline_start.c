/* SPDX-License-Identifier: Apache-2.0 */
/* The write path's start and end, what it does when idle, its clock, its anchor, a full disk, a
 * damaged tail. */
#include "anchor.h"
#include <signal.h>
#include <sys/resource.h>

#include "check.h"
#include "scratch_run.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMITS_WORK false
#else
#define LIMITS_WORK true
#endif

static uint64_t anchored(struct scratch *s)
{
    struct anchor_state an = {0};
    CHECK_EQ_INT(anchor_read(s->anchor, s->pen.c, &s->key, 1, &an, NULL), LEDGER_OK);
    CHECK(an.signed_by == 1);
    return an.size;
}

TEST(each_start_is_an_epoch_and_each_end_a_seal)
{
    struct scratch s;
    struct run r;
    run_begin(&s, &r); /* genesis, seal */
    CHECK_EQ_INT(run_size(&r), 4);
    CHECK_EQ_INT(run_header(&r, 2).kind, OWN_EPOCH);
    CHECK_EQ_INT(run_header(&r, 2).epoch, 1);
    CHECK_EQ_INT(run_header(&r, 3).kind, OWN_SEAL);
    CHECK_EQ_INT(anchored(&s), 4);
    run_stop(&r);
    CHECK_EQ_INT(anchored(&s), 5);
    run_must_start(&r);
    CHECK_EQ_INT(run_size(&r), 7);
    CHECK_EQ_INT(run_header(&r, 4).kind, OWN_SEAL);
    CHECK_EQ_INT(run_header(&r, 4).epoch, 1);
    CHECK_EQ_INT(run_header(&r, 5).kind, OWN_EPOCH);
    CHECK_EQ_INT(run_header(&r, 5).epoch, 2);
    run_end(&s, &r);
}

TEST(an_idle_ledger_writes_seals)
{
    struct scratch s;
    struct run r;
    scratch_make(&s);
    run_init(&r, &s);
    r.o.heartbeat_s = 1;
    run_must_start(&r);
    pthread_mutex_lock(&r.lock);
    while (r.commits < 2)
        pthread_cond_wait(&r.changed, &r.lock);
    pthread_mutex_unlock(&r.lock);
    CHECK_EQ_INT(run_header(&r, 4).kind, OWN_SEAL);
    CHECK_EQ_INT(run_header(&r, 5).kind, OWN_SEAL);
    run_end(&s, &r);
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
    run_must_start(&r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    uint64_t at = run_size(&r);
    fake.real += 100 * minute;
    fake.mono += 100 * minute - 30000000; /* half a minute off is no step */
    run_register(&r, "p1", "QA", 11);
    CHECK_EQ_INT(run_size(&r), at + 2);
    fake.real -= 10 * minute;
    int64_t before = run_header(&r, at).recorded_us;
    at = run_size(&r);
    run_register(&r, "p2", "QA", 12);
    CHECK_EQ_INT(run_header(&r, at).kind, OWN_CLOCK_STEP);
    CHECK_EQ_INT(run_size(&r), at + 3);
    CHECK_EQ_INT(run_header(&r, at).recorded_us, before);
    CHECK_EQ_INT(run_header(&r, at + 1).recorded_us, before);
    run_register(&r, "p3", "QA", 13);
    CHECK_EQ_INT(run_size(&r), at + 5); /* once */
    run_stop(&r);
    fake.real -= 100 * minute; /* behind the last entry at the next start */
    run_must_start(&r);
    at = run_size(&r);
    run_register(&r, "p4", "QA", 14);
    CHECK_EQ_INT(run_header(&r, at).kind, OWN_CLOCK_STEP);
    CHECK(run_header(&r, at).recorded_us >= before);
    run_end(&s, &r);
}

static void copy_file(const char *from, const char *to)
{
    char cmd[512];
    snprintf(cmd, sizeof cmd, "cp '%s' '%s'", from, to);
    CHECK(system(cmd) == 0);
}

/* Tables and journal, to and from a folder beside the ledger's. */
static void keep_data(const struct scratch *s)
{
    char cmd[1024];
    snprintf(cmd, sizeof cmd, "rm -rf '%s/kept' && mkdir '%s/kept' && cp -r '%s/data' '%s/journal' '%s/kept'", s->base, s->base, s->dir, s->dir, s->base);
    CHECK(system(cmd) == 0);
}

static void put_data_back(const struct scratch *s, const char *what)
{
    char cmd[1024];
    snprintf(cmd, sizeof cmd, "cd '%s/kept' && cp -r %s '%s'", s->base, what, s->dir);
    CHECK(system(cmd) == 0);
}

TEST(tables_that_were_put_back_are_brought_up_to_date_by_the_journal)
{
    struct scratch s;
    struct run r;
    run_begin(&s, &r);
    run_stop(&r);
    keep_data(&s);
    run_must_start(&r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    run_stop(&r);
    uint64_t size = anchored(&s);
    put_data_back(&s, "data");
    run_must_start(&r);
    CHECK(run_size(&r) > size);
    run_stop(&r);
    /* What is in the journal does not follow on what is older than it. */
    for (unsigned i = 0; i < 3; i++) {
        run_must_start(&r);
        run_stop(&r);
    }
    put_data_back(&s, "data");
    struct store *store;
    const struct store_options o = {.map_bytes = SCRATCH_MAP};
    CHECK_EQ_INT(store_open_with(s.dir, STORE_WRITE, &o, &store, &r.err), LEDGER_ETAMPER);
    CHECK(strstr(r.err.msg, "recorded entries are missing") && strstr(r.err.msg, "docs/operations.md"));
    run_fini(&r);
    scratch_remove(&s);
}

TEST(a_rollback_is_refused)
{
    struct scratch s;
    struct run r;
    char later[256];
    run_begin(&s, &r);
    snprintf(later, sizeof later, "%s/later.anchor", s.base);
    run_stop(&r);
    keep_data(&s);
    run_must_start(&r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    run_stop(&r);
    copy_file(s.anchor, later);
    uint64_t size = anchored(&s);
    put_data_back(&s, "data journal"); /* a copy of the folder put back */
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
    char old_anchor[256], new_anchor[256];
    run_begin(&s, &r);
    snprintf(old_anchor, sizeof old_anchor, "%s/old.anchor", s.base);
    snprintf(new_anchor, sizeof new_anchor, "%s/new.anchor", s.base);
    run_stop(&r);
    keep_data(&s);
    copy_file(s.anchor, old_anchor);
    run_must_start(&r);
    run_stop(&r);
    copy_file(s.anchor, new_anchor);
    put_data_back(&s, "data journal");
    copy_file(old_anchor, s.anchor);
    run_must_start(&r); /* who holds the anchor can do that; a witness would notice */
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
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
    run_must_start(&r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
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
    run_must_start(&r);
    char item[32];
    snprintf(item, sizeof item, "M-%u", accepted);
    CHECK_EQ_INT(run_one(&r, &s.pen, pen_material(&s.pen, item), "wh", KEY_WAREHOUSE, &q),
                 JOB_ACCEPTED);
    request_fini(&q);
    pipeline_stats(r.p, &st);
    CHECK(st.writable);
    run_end(&s, &r);
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

/* Gives the seal at that key content, or takes it away again. */
static void fill_seal(struct scratch *s, struct span key, bool fill)
{
    struct store *store = scratch_open(s);
    struct kv kv;
    struct span v;
    struct entry_record r;
    CHECK_EQ_INT(store_begin(store, &kv, NULL), LEDGER_OK);
    CHECK_EQ_INT(kv_get(&kv, KV_LOG, key, &v), LEDGER_OK);
    CHECK(entry_record_split(v, &r));
    CHECK((r.event.n == 0) == fill);
    const struct entry_record other = {.header = r.header, .event = fill ? SPAN_LIT("event") : SPAN_NONE};
    CHECK_EQ_INT(store_replace(store, KV_LOG, key, entry_record_join(s->pen.a, &other), NULL), LEDGER_OK);
    CHECK_EQ_INT(store_commit(store, NULL), LEDGER_OK);
    store_close(store);
}

/* Whether the batch is on the disk, nobody knows: nobody is told anything, and the process has to end. */
TEST(a_failed_write_is_answered_by_nobody)
{
    struct scratch s;
    struct run r;
    struct request q;
    const struct rlimit none = {1, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
    if (!LIMITS_WORK)
        CHECK_SKIP("limits do not go with sanitizers");
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE);
    struct span ev = pen_material(&s.pen, "M-1"), sig = pen_sign(&s.pen, &ev, 1, "wh", KEY_WAREHOUSE, SPAN_NONE);
    request_init(&q, &r, &ev, 1, &sig, 1);
    usleep(1500000); /* the tables have everything, and write nothing meanwhile */
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ_INT(setrlimit(RLIMIT_FSIZE, &none), 0);
    CHECK_EQ_INT(request_send(&q), LEDGER_OK);
    pthread_mutex_lock(&r.lock);
    while (!r.fatals && !q.done)
        pthread_cond_wait(&r.changed, &r.lock);
    CHECK(!q.done);
    pthread_mutex_unlock(&r.lock);
    CHECK_EQ_INT(setrlimit(RLIMIT_FSIZE, &all), 0);
    run_stop(&r);
    CHECK(!q.done);
    r.fatals = 0;
    run_must_start(&r); /* what there is is whole */
    request_fini(&q);
    run_end(&s, &r);
}

TEST(a_damaged_tail_is_not_signed)
{
    struct scratch s;
    struct run r;
    run_begin(&s, &r);
    run_register(&r, "wh", "WAREHOUSE", KEY_WAREHOUSE); /* entry 4 */
    run_stop(&r);
    const struct {
        enum kv_table t;
        struct span key;
        size_t at;
    } damage[] = {
        {KV_LOG, span_of("\0\0\0\0\0\0\0\4", 8), 120},
        {KV_LOG, span_of("\0\0\0\0\0\0\0\4", 8), 300},
        {KV_TREE, span_of("\0\0\0\0\0\0\0\0\0", 9), 4 * HASH_LEN + 3},
        {KV_TREE, span_of("\0\0\0\0\0\0\0\0\0", 9), 3}, /* no leaf of the tail, but part of the root */
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
    const struct span seal = span_of("\0\0\0\0\0\0\0\6", 8);
    fill_seal(&s, seal, true);
    CHECK_EQ_INT(run_start(&r), LEDGER_ETAMPER);
    fill_seal(&s, seal, false);
    for (unsigned i = 0; i < 3; i++) { /* a start and its seals take a few entries each */
        run_must_start(&r);
        run_stop(&r);
    }
    const struct span above = span_of("\0\0\0\0\0\0\0\0\4", 9); /* the node over the first sixteen */
    flip(&s, KV_TREE, above, 3);
    CHECK_EQ_INT(run_start(&r), LEDGER_ETAMPER);
    flip(&s, KV_TREE, above, 3);
    run_must_start(&r);
    run_end(&s, &r);
}

TEST_MAIN(TEST_ENTRY(each_start_is_an_epoch_and_each_end_a_seal),
          TEST_ENTRY(an_idle_ledger_writes_seals),
          TEST_ENTRY(a_clock_that_is_set_is_recorded_and_never_runs_backwards),
          TEST_ENTRY(tables_that_were_put_back_are_brought_up_to_date_by_the_journal),
          TEST_ENTRY(a_rollback_is_refused),
          TEST_ENTRY(another_history_of_the_same_length_is_refused),
          TEST_ENTRY(without_space_nothing_is_recorded_and_the_service_goes_on),
          TEST_ENTRY(a_failed_write_is_answered_by_nobody),
          TEST_ENTRY(a_damaged_tail_is_not_signed))
