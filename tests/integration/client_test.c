/* SPDX-License-Identifier: Apache-2.0 */
/* client_test: libledgerd against a real daemon: submitting, asking, following, and connections that break. */
#include <signal.h>

#include "lib/client_world.h"

/* ---- pipelined submissions ---- */

#define PIPELINED_MAX 1024
struct pipelined {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned ended, accepted, before, other;
    uint64_t index[PIPELINED_MAX];
    char why[256];
};

static void on_submitted(void *user, enum ledger_rc rc, const struct ledger_err *e, struct ledger_submission *s)
{
    struct pipelined *p = user;
    struct ledger_result r = {0};
    bool got = rc == LEDGER_OK && ledger_submission_result(s, 0, &r);
    pthread_mutex_lock(&p->mutex);
    if (got && (r.outcome == LEDGER_ACCEPTED || r.outcome == LEDGER_BEFORE)) {
        p->index[p->accepted + p->before] = r.index;
        p->accepted += r.outcome == LEDGER_ACCEPTED;
        p->before += r.outcome == LEDGER_BEFORE;
    } else {
        p->other++;
        snprintf(p->why, sizeof p->why, "%d %s %s %s", (int)rc, e->msg, got ? r.code : "", got ? r.text : "");
    }
    p->ended++;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->mutex);
    ledger_submission_free(s);
}

static void pipeline(struct ledger_client *c, struct ledger_key *k, const char *prefix, unsigned n, struct pipelined *p)
{
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->changed, NULL);
    for (unsigned i = 0; i < n; i++) {
        struct ledger_batch *b = cw_material_batch(k, prefix, i, 1);
        OK(ledger_submit_start(c, b, 0, 60000, on_submitted, p, &cw_err));
        ledger_batch_free(b);
    }
    pthread_mutex_lock(&p->mutex);
    while (p->ended < n)
        pthread_cond_wait(&p->changed, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
    if (p->other)
        fprintf(stderr, "%u others: %s\n", p->other, p->why);
    CHECK_EQ_INT(p->other, 0);
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < i; j++)
            CHECK(p->index[i] != p->index[j]);
}

/* How many MATERIAL_RECEIVED entries the log holds, read in order from `first` and verified. */
static unsigned count_materials(struct ledger_client *c, uint64_t first, uint64_t end)
{
    struct ledger_watch *watch;
    unsigned n = 0;
    OK(ledger_watch_open(c, first, &watch, &cw_err));
    while (ledger_watch_position(watch) < end) {
        struct ledger_entries *e;
        struct ledger_entry entry;
        OK(ledger_watch_next(watch, CW_WAIT_MS, &e, &cw_err));
        CHECK(ledger_entries_count(e) > 0);
        for (size_t i = 0; i < ledger_entries_count(e); i++) {
            CHECK(ledger_entries_get(e, i, &entry));
            CHECK_EQ_INT(entry.index, first++);
            n += strcmp(entry.kind_name, "MATERIAL_RECEIVED") == 0;
        }
        ledger_entries_free(e);
    }
    ledger_watch_close(watch);
    return n;
}

/* ---- tests ---- */

static void ask(struct ledger_client *c)
{
    char *json;
    OK(ledger_query(c, "item", "MAT-1", LEDGER_WITH_MEMBERS | LEDGER_WITH_HISTORY | LEDGER_FRESH, 0, &json, &cw_err));
    CHECK(strstr(json, "MATERIAL_RECEIVED") != NULL && strstr(json, "\"500\"") == NULL && strstr(json, "500") != NULL);
    ledger_free(json);
    OK(ledger_query(c, "item", "NO-SUCH", 0, 0, &json, &cw_err));
    CHECK(strstr(json, "\"present\": false") != NULL);
    ledger_free(json);
    CHECK_EQ_INT(ledger_query(c, "thing", "X", 0, 0, &json, &cw_err), LEDGER_EINVAL);
    OK(ledger_find(c, "item", "MAT", NULL, 0, 0, &json, &cw_err));
    CHECK(strstr(json, "MAT-1") != NULL && strstr(json, "\"proven\": false") != NULL);
    ledger_free(json);
    OK(ledger_status(c, 0, &json, &cw_err));
    CHECK(strchr(json, '{') != NULL);
    ledger_free(json);
}

static void keep_and_check_receipt(const struct ledger_profile *p, struct ledger_client *c, const uint8_t *event_id)
{
    uint8_t *receipt, unknown[32] = {1};
    char *json;
    size_t n;
    OK(ledger_receipt(c, event_id, 0, &receipt, &n, &cw_err));
    OK(ledger_receipt_verify(p, receipt, n, &json, &cw_err));
    CHECK(strstr(json, "MAT-1") != NULL);
    ledger_free(json);
    for (size_t at = 0; at < n; at += 7) {
        receipt[at] ^= 0x10;
        CHECK(ledger_receipt_verify(p, receipt, n, NULL, &cw_err) != LEDGER_OK);
        receipt[at] ^= 0x10;
    }
    CHECK_EQ_INT(ledger_receipt_verify(p, receipt, n - 1, NULL, &cw_err), LEDGER_EINVAL);
    ledger_free(receipt);
    CHECK_EQ_INT(ledger_receipt(c, unknown, 0, &receipt, &n, &cw_err), LEDGER_ENOTFOUND);
}

TEST(submit_query_receipt)
{
    cw_world_begin();
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client *c = cw_client_of(p);
    OK(ledger_connect(c, 0, &cw_err));
    struct ledger_key *k = cw_register_warehouse(c);
    struct ledger_batch *b = cw_material_batch(k, "MAT", 1, 1);
    struct ledger_submission *s;
    struct ledger_result r;
    OK(ledger_submit(c, b, 0, 0, &s, &cw_err));
    CHECK_EQ_INT(ledger_submission_recorded(s), LEDGER_RECORDED_ANSWERED);
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK(!ledger_submission_result(s, 1, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_ACCEPTED);
    CHECK_EQ_MEM(r.event_id, ledger_batch_event_id(b, 0), 32);
    CHECK(strncmp(ledger_submission_checkpoint(s), CW_ORIGIN "\n", strlen(CW_ORIGIN) + 1) == 0);
    uint64_t index = r.index;
    ledger_submission_free(s);

    /* The very same batch again: the first entry. */
    OK(ledger_submit(c, b, 0, 0, &s, &cw_err));
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_BEFORE);
    CHECK_EQ_INT(r.index, index);
    ledger_submission_free(s);

    /* The same item in another event: refused, with everything a person needs. */
    struct ledger_batch *again = cw_empty_batch();
    struct ledger_event *ev = cw_material("MAT-1");
    OK(ledger_event_set(ev, "reference", "another", &cw_err));
    OK(ledger_batch_add_event(again, ev, &cw_err));
    OK(ledger_batch_sign(again, k, "authorship", NULL, &cw_err));
    OK(ledger_submit(c, again, 0, 0, &s, &cw_err));
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_REFUSED);
    CHECK_EQ_STR(r.code, "E_DUP_ITEM");
    CHECK(strstr(r.subject, "MAT-1") != NULL);
    CHECK_EQ_STR(r.field, "item");
    CHECK(r.text[0] != 0);
    ledger_submission_free(s);
    ledger_event_free(ev);
    ledger_batch_free(again);

    ask(c);
    keep_and_check_receipt(p, c, ledger_batch_event_id(b, 0));
    ledger_batch_free(b);
    ledger_key_free(k);
    ledger_client_close(c);
    CHECK(cw_pinned_size(cw.profile) > index);
    ledger_profile_close(p);
}

TEST(a_batch_of_a_thousand)
{
    cw_world_begin();
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client *c = cw_client_of(p);
    struct ledger_key *k = cw_register_warehouse(c);
    struct ledger_batch *b = cw_material_batch(k, "T", 0, 1000), *copy;
    struct ledger_submission *s;
    struct ledger_result r;
    struct ledger_event *ev = cw_material("X");
    CHECK_EQ_INT(ledger_batch_add_event(b, ev, &cw_err), LEDGER_EINVAL); /* signed already */
    ledger_event_free(ev);
    /* As bytes to another desk and back. */
    uint8_t *bytes;
    size_t n;
    OK(ledger_batch_encode(b, &bytes, &n, &cw_err));
    OK(ledger_batch_decode(CW_ORIGIN, bytes, n, &copy, &cw_err));
    ledger_batch_free(b);
    CHECK_EQ_INT(ledger_batch_decode(CW_ORIGIN, bytes, n - 1, &b, &cw_err), LEDGER_EINVAL);
    ledger_free(bytes);
    OK(ledger_submit(c, copy, LEDGER_ALL_OR_NOTHING, 60000, &s, &cw_err));
    CHECK_EQ_INT(ledger_submission_count(s), 1000);
    for (size_t i = 0; i < 1000; i++) {
        CHECK(ledger_submission_result(s, i, &r));
        CHECK_EQ_INT(r.outcome, LEDGER_ACCEPTED);
    }
    ledger_submission_free(s);
    ledger_batch_free(copy);

    /* All or nothing: the second event repeats an item. */
    struct ledger_batch *pair = cw_empty_batch();
    struct ledger_event *good = cw_material("NEW-1"), *bad = cw_material("T-5");
    OK(ledger_event_set(bad, "reference", "again", &cw_err));
    OK(ledger_batch_add_event(pair, good, &cw_err));
    OK(ledger_batch_add_event(pair, bad, &cw_err));
    OK(ledger_batch_sign(pair, k, "authorship", NULL, &cw_err));
    OK(ledger_submit(c, pair, LEDGER_ALL_OR_NOTHING, 0, &s, &cw_err));
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_SKIPPED);
    CHECK(ledger_submission_result(s, 1, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_REFUSED);
    CHECK_EQ_STR(ledger_submission_checkpoint(s), "");
    ledger_submission_free(s);
    ledger_event_free(good);
    ledger_event_free(bad);
    ledger_batch_free(pair);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
}

TEST(pipelined)
{
    static struct pipelined done;
    cw_world_begin();
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client *c = cw_client_of(p);
    struct ledger_key *k = cw_register_warehouse(c);
    pipeline(c, k, "P", 300, &done);
    CHECK_EQ_INT(done.accepted, 300);
    uint64_t last = cw_submit_one(c, k, "LAST", 1);
    CHECK_EQ_INT(count_materials(c, 0, last + 1), 301);
    ledger_key_free(k);
    ledger_client_close(c);
    CHECK_EQ_INT(cw_pinned_size(cw.profile), last + 2); /* its seal is the last leaf */
    ledger_profile_close(p);
}

/* Connections break in the middle of answers, again and again; nothing is lost and nothing is recorded twice. */
TEST(killed_connections)
{
    static struct pipelined done;
    struct cw_proxy proxy;
    cw_world_begin();
    cw_proxy_start(&proxy);
    struct ledger_profile *p = cw_profile_at(cw.profile, proxy.address);
    struct ledger_client *c = cw_client_of(p);
    struct ledger_key *k = cw_register_warehouse(c);
    atomic_store(&proxy.cut_after, 40000);
    /* The connection that stands was made before: this breaks it. */
    cw_stop_daemon();
    cw_start_daemon();
    atomic_store(&proxy.target, cw_daemon_port());
    pipeline(c, k, "K", 200, &done);
    CHECK(atomic_load(&proxy.connections) > 3);
    atomic_store(&proxy.cut_after, 0);
    uint64_t last = cw_submit_one(c, k, "LAST", 1);
    CHECK_EQ_INT(count_materials(c, 0, last + 1), 201);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
    cw_proxy_stop(&proxy);
    CHECK_EQ_INT(cw_evidence_files(cw.profile), 0);
}

TEST(a_watch_follows)
{
    cw_world_begin();
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client *c = cw_client_of(p);
    struct ledger_key *k = cw_register_warehouse(c);
    uint64_t at = cw_submit_one(c, k, "W", 1);
    struct ledger_watch *watch;
    struct ledger_entries *e;
    struct ledger_entry entry;
    OK(ledger_watch_open(c, at, &watch, &cw_err)); /* in the middle: not where a batch begins */
    OK(ledger_watch_next(watch, CW_WAIT_MS, &e, &cw_err));
    CHECK(ledger_entries_count(e) >= 1);
    CHECK(ledger_entries_get(e, 0, &entry));
    CHECK_EQ_INT(entry.index, at);
    CHECK_EQ_STR(entry.kind_name, "MATERIAL_RECEIVED");
    CHECK(entry.event != NULL && entry.block != NULL && !entry.withheld);
    char *json;
    OK(ledger_event_to_json(entry.event, entry.event_n, &json, &cw_err));
    CHECK(strstr(json, "\"W-1\"") != NULL);
    ledger_free(json);
    ledger_entries_free(e);
    while (ledger_watch_position(watch) < at + 2) {
        OK(ledger_watch_next(watch, CW_WAIT_MS, &e, &cw_err));
        ledger_entries_free(e);
    }
    /* Nothing new: no entries, no error, and not before the time is over. */
    OK(ledger_watch_next(watch, 300, &e, &cw_err));
    CHECK_EQ_INT(ledger_entries_count(e), 0);
    ledger_entries_free(e);
    /* Three batches by another client while nobody looks; then one while we wait. */
    struct ledger_client *other = cw_client_of(p);
    for (unsigned i = 2; i < 5; i++)
        cw_submit_one(other, k, "W", i);
    uint64_t seen = 0, next = at + 2;
    while (seen < 3) {
        OK(ledger_watch_next(watch, CW_WAIT_MS, &e, &cw_err));
        CHECK(ledger_entries_count(e) > 0);
        for (size_t i = 0; ledger_entries_get(e, i, &entry); i++) {
            CHECK_EQ_INT(entry.index, next++);
            seen += entry.kind == 67;
        }
        ledger_entries_free(e);
    }
    ledger_watch_close(watch);
    ledger_client_close(other);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
}

TEST(nobody_answers)
{
    cw_world_begin();
    cw_stop_daemon();
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client_options o = {.first_contact_ms = 300};
    struct ledger_client *c;
    OK(ledger_client_open(p, &o, &c, &cw_err));
    CHECK_EQ_INT(ledger_connect(c, CW_WAIT_MS, &cw_err), LEDGER_ECONNECT);
    CHECK(strstr(cw_err.msg, "refused") != NULL);
    struct ledger_key *k = cw_admin_key();
    struct ledger_batch *b = cw_material_batch(k, "X", 1, 1);
    struct ledger_submission *s;
    CHECK_EQ_INT(ledger_submit(c, b, 0, 2000, &s, &cw_err), LEDGER_ECONNECT);
    CHECK_EQ_INT(ledger_submission_recorded(s), LEDGER_RECORDED_NOTHING);
    CHECK_EQ_INT(ledger_submission_count(s), 0);
    ledger_submission_free(s);
    ledger_batch_free(b);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
}

/* The server takes the request and then says nothing: only then is it not known. */
TEST(an_answer_that_never_comes)
{
    struct cw_proxy proxy;
    cw_world_begin();
    cw_proxy_start(&proxy);
    struct ledger_profile *p = cw_profile_at(cw.profile, proxy.address);
    struct ledger_client *c = cw_client_of(p);
    struct ledger_key *k = cw_register_warehouse(c);
    kill(cw.daemon, SIGSTOP);
    struct ledger_batch *b = cw_material_batch(k, "U", 1, 1);
    struct ledger_submission *s;
    struct ledger_result r;
    CHECK_EQ_INT(ledger_submit(c, b, 0, 3000, &s, &cw_err), LEDGER_ECONNECT);
    CHECK_EQ_INT(ledger_submission_recorded(s), LEDGER_RECORDED_UNKNOWN);
    ledger_submission_free(s);
    kill(cw.daemon, SIGCONT);
    /* The same batch again resolves it. */
    OK(ledger_submit(c, b, 0, 0, &s, &cw_err));
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK(r.outcome == LEDGER_BEFORE || r.outcome == LEDGER_ACCEPTED);
    CHECK_EQ_INT(count_materials(c, 0, r.index + 1), 1);
    ledger_submission_free(s);
    ledger_batch_free(b);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
    cw_proxy_stop(&proxy);
}

/* ---- callbacks ---- */

struct seen {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct ledger_client *c;
    unsigned n;
    enum ledger_rc rc, blocking;
};

static void on_done(void *user, enum ledger_rc rc, const struct ledger_err *e)
{
    struct seen *s = user;
    struct ledger_err local;
    (void)e;
    enum ledger_rc blocking = ledger_connect(s->c, 1000, &local);
    pthread_mutex_lock(&s->mutex);
    s->n++;
    s->rc = rc;
    s->blocking = blocking;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static void on_text(void *user, enum ledger_rc rc, const struct ledger_err *e, char *json)
{
    ledger_free(json);
    on_done(user, rc, e);
}

static void wait_for(struct seen *s, unsigned n)
{
    pthread_mutex_lock(&s->mutex);
    while (s->n < n)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

TEST(callbacks_and_limits)
{
    struct seen s = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    cw_world_begin();
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client_options o = {.calls_max = 2};
    OK(ledger_client_open(p, &o, &s.c, &cw_err));
    OK(ledger_connect_start(s.c, CW_WAIT_MS, on_done, &s, &cw_err));
    wait_for(&s, 1);
    CHECK_EQ_INT(s.rc, LEDGER_OK);
    CHECK_EQ_INT(s.blocking, LEDGER_EINVAL);
    OK(ledger_query_start(s.c, "party", CW_ADMIN, LEDGER_WITH_HISTORY, 0, on_text, &s, &cw_err));
    wait_for(&s, 2);
    CHECK_EQ_INT(s.rc, LEDGER_OK);
    kill(cw.daemon, SIGSTOP);
    OK(ledger_status_start(s.c, 60000, on_text, &s, &cw_err));
    OK(ledger_status_start(s.c, 60000, on_text, &s, &cw_err));
    CHECK_EQ_INT(ledger_status_start(s.c, 60000, on_text, &s, &cw_err), LEDGER_EBUSY);
    char *json;
    CHECK_EQ_INT(ledger_status(s.c, 200, &json, &cw_err), LEDGER_EBUSY);
    ledger_client_close(s.c); /* ends both */
    CHECK_EQ_INT(s.n, 4);
    CHECK_EQ_INT(s.rc, LEDGER_ECANCELED);
    kill(cw.daemon, SIGCONT);
    ledger_profile_close(p);
}

TEST(a_restart_is_not_noticed)
{
    struct cw_proxy proxy;
    cw_world_begin();
    cw_proxy_start(&proxy);
    struct ledger_profile *p = cw_profile_at(cw.profile, proxy.address);
    struct ledger_client *c = cw_client_of(p);
    struct ledger_key *k = cw_register_warehouse(c);
    for (unsigned i = 0; i < 3; i++) {
        cw_submit_one(c, k, "A", i);
        kill(cw.daemon, SIGKILL);
        waitpid(cw.daemon, NULL, 0);
        cw_start_daemon();
        atomic_store(&proxy.target, cw_daemon_port());
    }
    cw_submit_one(c, k, "A", 9);
    CHECK_EQ_INT(cw_evidence_files(cw.profile), 0);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
    cw_proxy_stop(&proxy);
}

TEST_MAIN(TEST_ENTRY(submit_query_receipt), TEST_ENTRY(a_batch_of_a_thousand), TEST_ENTRY(pipelined),
          TEST_ENTRY(killed_connections), TEST_ENTRY(a_watch_follows), TEST_ENTRY(nobody_answers),
          TEST_ENTRY(an_answer_that_never_comes), TEST_ENTRY(callbacks_and_limits), TEST_ENTRY(a_restart_is_not_noticed))
