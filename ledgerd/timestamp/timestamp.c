/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timestamp: the thread (timestamp.h). Its steps are pure of each other: look, ask, judge the answer, record. What the figures show is
 * copied under the lock after each round.
 */
#include "timestamp.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "../files.h"
#include "../log.h"
#include "../thread.h"
#include "ask.h"
#include "entry.h"
#include "look.h"
#include "note.h"
#include "tsp.h"
#include "value.h"

#define US_PER_S INT64_C(1000000)
#define RETRY_FIRST_S 10
#define OFFSET_WARN_US (300 * US_PER_S)
#define NONCE_LEN 16
#define ROUND_BUDGET ((size_t)4 << 20)

struct shown {
    uint64_t recorded, failures; /* since the start */
    bool failing;
    char why[160];
    bool has_last;               /* a token is known, of this run or of an earlier one */
    uint64_t index, size;        /* its entry; the entries that it covers */
    int64_t gen_us;
    bool has_offset;
    int64_t offset_us;           /* genTime minus this machine's clock, when it came */
    char authority[TSP_NAME_MAX];
    int64_t not_after_s;         /* 0: no token was verified yet */
};

struct timestamp {
    char url[CONFIG_PATH_MAX], proxy[CONFIG_PATH_MAX], policy[CONFIG_ADDRESS_MAX];
    uint32_t interval_s, timeout_ms;
    struct arena *kept;          /* holds ca */
    struct span ca;
    struct store *store;
    struct pipeline *pipeline;
    pthread_t thread;
    bool started;
    atomic_bool stop;            /* also read by libcurl's callback */
    pthread_mutex_t lock;
    pthread_cond_t wake;         /* stop, or the job in `recording` is done */
    bool recorded;               /* under the lock */
    struct shown shown;          /* under the lock */
    /* The thread's own. */
    uint64_t last_index;         /* of the latest TIME_STAMP; 0: none known */
    unsigned failed_in_row;
};

static int64_t clock_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

/* ---- one round ---- */

struct round {
    struct arena *a;
    struct crypto *c;
    struct stamp_look look;
    struct hash imprint;
    uint8_t nonce[NONCE_LEN];
    struct span answer;
    struct tsp_response response;
    struct tsp_info info;
    struct tsp_trust trust;
    int64_t offset_us;
};

static enum ledger_rc draw(uint8_t *out, size_t n, struct ledger_err *err)
{
    return getrandom(out, n, 0) == (ssize_t)n ? LEDGER_OK
                                              : ledger_fail(err, LEDGER_EINTERNAL, "no random numbers: %s", strerror(errno));
}

static enum ledger_rc ask(struct timestamp *t, struct round *r, struct ledger_err *err)
{
    const struct ask_target to = {t->url, t->proxy, t->timeout_ms};
    struct span request = SPAN_NONE;
    crypto_sha256(r->c, &r->look.note, 1, &r->imprint);
    enum ledger_rc rc = draw(r->nonce, sizeof r->nonce, err);
    r->nonce[0] |= 0x40; /* never 0 and always of one length */
    if (!rc)
        rc = tsp_request(r->a, &r->imprint, span_of(r->nonce, sizeof r->nonce), t->policy[0] ? t->policy : NULL, &request, err);
    if (!rc)
        rc = ask_authority(&to, request, &t->stop, r->a, &r->answer, err);
    return rc;
}

/* Nothing of an answer is believed before all of this holds. */
static enum ledger_rc judge_answer(const struct timestamp *t, struct round *r, struct ledger_err *err)
{
    enum ledger_rc rc = tsp_response_parse(r->answer, &r->response, err);
    if (!rc && !r->response.granted)
        rc = ledger_fail(err, LEDGER_EREFUSED, "the authority refuses: status %ld%s%.120s", r->response.status,
                         r->response.text[0] ? ": " : "", r->response.text);
    if (!rc)
        rc = tsp_token_verify(r->response.token, &r->imprint, t->ca, &r->info, &r->trust, err);
    if (!rc && !tsp_nonce_is(&r->info, span_of(r->nonce, sizeof r->nonce)))
        rc = ledger_fail(err, LEDGER_EUNTRUSTED, "the answer's nonce is not the request's: an answer to another question");
    if (!rc && t->policy[0] && strcmp(r->info.policy, t->policy) != 0)
        rc = ledger_fail(err, LEDGER_EUNTRUSTED, "the answer's policy is %s, not the one that was asked for", r->info.policy);
    return rc;
}

static void recorded_cb(struct own_job *job)
{
    struct timestamp *t = job->owner;
    pthread_mutex_lock(&t->lock);
    t->recorded = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

static enum ledger_rc record(struct timestamp *t, struct round *r, struct own_job *job, struct ledger_err *err)
{
    struct time_stamp stamp = {.note = r->look.note, .token = r->response.token};
    enum ledger_rc rc = draw(stamp.nonce, sizeof stamp.nonce, err);
    if (rc)
        return rc;
    *job = (struct own_job){.kind = OWN_TIME_STAMP, .payload = time_stamp_encode(r->a, &stamp), .done_cb = recorded_cb, .owner = t};
    if (!job->payload.p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    t->recorded = false;
    rc = pipeline_record_own(t->pipeline, job);
    if (rc)
        return ledger_fail(err, rc, "the ledger is busy or stopping");
    pthread_mutex_lock(&t->lock);
    while (!t->recorded)
        pthread_cond_wait(&t->wake, &t->lock); /* what the pipeline took it answers, or the process ends */
    pthread_mutex_unlock(&t->lock);
    if (job->rc)
        *err = job->err;
    return job->rc;
}

static void show_recorded(struct timestamp *t, const struct round *r, const struct own_job *job)
{
    char gen[TIME_TEXT_MAX];
    t->last_index = job->index;
    pthread_mutex_lock(&t->lock);
    struct shown *s = &t->shown;
    s->recorded++;
    s->has_last = s->has_offset = true;
    s->index = job->index;
    s->size = r->look.size;
    s->gen_us = r->info.gen_us;
    s->offset_us = r->offset_us;
    s->not_after_s = r->trust.not_after_s;
    memcpy(s->authority, r->trust.signer, sizeof s->authority);
    pthread_mutex_unlock(&t->lock);
    time_format(r->info.gen_us, gen);
    logline(LOG_INFO, "time stamp recorded", "entry=%llu size=%llu time=%s authority=%s", (unsigned long long)job->index,
            (unsigned long long)r->look.size, gen, r->trust.signer);
    if (llabs(r->offset_us) > OFFSET_WARN_US)
        logline(LOG_WARN, "the authority's time is far from this machine's: one of the two clocks is wrong", "offset_seconds=%lld",
                (long long)(r->offset_us / US_PER_S));
}

static enum ledger_rc stamp(struct timestamp *t, struct round *r, struct ledger_err *err)
{
    struct own_job job;
    enum ledger_rc rc = ask(t, r, err);
    if (!rc)
        rc = judge_answer(t, r, err);
    if (rc)
        return rc;
    r->offset_us = r->info.gen_us - clock_us(CLOCK_REALTIME);
    rc = record(t, r, &job, err);
    if (!rc)
        show_recorded(t, r, &job);
    return rc;
}

/* ---- when ---- */

/* A token of an earlier run. It was verified when it was recorded; here only its time is of interest. */
static void show_earlier(struct timestamp *t, struct arena *a, const struct stamp_look *look)
{
    struct time_stamp stamp;
    struct tsp_info info;
    struct checkpoint cp;
    struct ledger_err err = {0};
    struct note note;
    t->last_index = look->stamp_index;
    if (time_stamp_decode(look->stamp, &stamp, &err) || tsp_token_read(stamp.token, &info, &err) ||
        note_parse(a, stamp.note, &note, &err) || checkpoint_parse(note.text, &cp, &err))
        return;
    pthread_mutex_lock(&t->lock);
    t->shown.has_last = true;
    t->shown.index = look->stamp_index;
    t->shown.size = cp.size;
    t->shown.gen_us = info.gen_us;
    pthread_mutex_unlock(&t->lock);
}

/* Seconds from now until a stamp is due by what the ledger holds; 0: now. */
static int64_t due_in_s(const struct timestamp *t, const struct stamp_look *look)
{
    if (!look->stamped)
        return 0;
    int64_t since_us = clock_us(CLOCK_REALTIME) - look->stamp_recorded_us;
    int64_t left_s = (int64_t)t->interval_s - since_us / US_PER_S;
    if (since_us < 0 || left_s > (int64_t)t->interval_s) /* a clock that was set back must not silence it for long */
        return t->interval_s;
    if (left_s > 0)
        return left_s;
    /* The entry, its seal: nothing has come since. */
    return look->size <= look->stamp_index + 2 ? t->interval_s : 0;
}

static void show_failure(struct timestamp *t, const struct ledger_err *err)
{
    pthread_mutex_lock(&t->lock);
    bool first = !t->shown.failing || strncmp(t->shown.why, err->msg, sizeof t->shown.why - 1) != 0;
    t->shown.failures++;
    t->shown.failing = true;
    snprintf(t->shown.why, sizeof t->shown.why, "%.*s", (int)sizeof t->shown.why - 1, err->msg);
    pthread_mutex_unlock(&t->lock);
    t->failed_in_row++;
    if (first || t->failed_in_row % 16 == 0)
        logline(LOG_WARN, "no time stamp", "attempts=%u reason=%s", t->failed_in_row, err->msg);
}

static int64_t retry_in_s(const struct timestamp *t)
{
    unsigned doublings = t->failed_in_row > 16 ? 16 : t->failed_in_row - 1;
    int64_t s = (int64_t)RETRY_FIRST_S << doublings;
    return s < t->interval_s ? s : t->interval_s;
}

/* One round; seconds until the next. */
static int64_t run_round(struct timestamp *t, struct round *r)
{
    struct ledger_err err = {0};
    enum ledger_rc rc = stamp_look(t->store, t->last_index ? t->last_index - 1 : 0, r->a, &r->look, &err);
    if (!rc && r->look.stamped && r->look.stamp_index != t->last_index)
        show_earlier(t, r->a, &r->look);
    int64_t wait_s = rc ? 0 : due_in_s(t, &r->look);
    if (wait_s > 0)
        return wait_s;
    if (!rc)
        rc = stamp(t, r, &err);
    if (rc == LEDGER_ECANCELED)
        return t->interval_s;
    if (rc) {
        show_failure(t, &err);
        return retry_in_s(t);
    }
    pthread_mutex_lock(&t->lock);
    t->shown.failing = false;
    pthread_mutex_unlock(&t->lock);
    t->failed_in_row = 0;
    return t->interval_s;
}

static int64_t round_with_memory(struct timestamp *t)
{
    struct round *r = calloc(1, sizeof *r);
    int64_t wait_s = RETRY_FIRST_S;
    if (r) {
        r->a = arena_new(ROUND_BUDGET);
        r->c = crypto_new();
    }
    if (r && r->a && r->c)
        wait_s = run_round(t, r);
    else
        logline(LOG_WARN, "no time stamp", "reason=%s", "out of memory");
    if (r) {
        arena_free(r->a);
        crypto_free(r->c);
    }
    free(r);
    return wait_s;
}

static void *thread_main(void *ctx)
{
    struct timestamp *t = ctx;
    while (!atomic_load(&t->stop)) {
        int64_t until = clock_us(CLOCK_MONOTONIC) + round_with_memory(t) * US_PER_S;
        struct timespec ts = {.tv_sec = until / US_PER_S, .tv_nsec = until % US_PER_S * 1000};
        pthread_mutex_lock(&t->lock);
        while (!atomic_load(&t->stop) && pthread_cond_timedwait(&t->wake, &t->lock, &ts) == 0)
            ;
        pthread_mutex_unlock(&t->lock);
    }
    return NULL;
}

/* ---- making and ending ---- */

static enum ledger_rc read_ca(struct timestamp *t, const struct timestamp_options *o, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    const char *name = o->config->time_ca;
    enum ledger_rc rc = LEDGER_OK;
    if (!name[0])
        return ledger_fail(err, LEDGER_EINVAL, "[time] ca is missing: the authority's certificates, as PEM, to verify its tokens with");
    if (name[0] == '/')
        snprintf(path, sizeof path, "%s", name);
    else
        rc = files_path(path, o->dir, name, err);
    t->kept = arena_new(2 * TSP_CA_PEM_MAX);
    if (!rc && !t->kept)
        rc = ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    if (!rc)
        rc = files_read(t->kept, path, TSP_CA_PEM_MAX, &t->ca, err);
    if (!rc)
        rc = tsp_ca_check(t->ca, NULL, err);
    return rc ? ledger_wrap(err, rc, "[time] ca") : rc;
}

static enum ledger_rc check_policy(const struct timestamp *t, struct ledger_err *err)
{
    static const struct hash any;
    static const uint8_t one = 1;
    struct span request;
    struct arena *a = arena_new(4096);
    enum ledger_rc rc = a ? tsp_request(a, &any, span_of(&one, 1), t->policy[0] ? t->policy : NULL, &request, err)
                          : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    arena_free(a);
    return rc ? ledger_wrap(err, rc, "[time] policy") : rc;
}

enum ledger_rc timestamp_new(const struct timestamp_options *o, struct timestamp **out, struct ledger_err *err)
{
    const struct config *c = o->config;
    *out = NULL;
    if (!c->time_authority[0])
        return c->time_ca[0] || c->time_policy[0] ? ledger_fail(err, LEDGER_EINVAL, "[time] authority is missing: its URL") : LEDGER_OK;
    struct timestamp *t = calloc(1, sizeof *t);
    if (!t)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    pthread_mutex_init(&t->lock, NULL);
    thread_cond_init(&t->wake);
    snprintf(t->url, sizeof t->url, "%s", c->time_authority);
    snprintf(t->proxy, sizeof t->proxy, "%s", c->time_proxy);
    snprintf(t->policy, sizeof t->policy, "%s", c->time_policy);
    t->interval_s = c->time_interval_s;
    t->timeout_ms = c->time_timeout_ms;
    t->store = o->store;
    enum ledger_rc rc = ask_init(err);
    if (!rc && !ask_url_valid(t->url))
        rc = ledger_fail(err, LEDGER_EINVAL, "[time] authority is no http:// or https:// URL: \"%.100s\"", t->url);
    if (!rc && t->proxy[0] && !ask_url_valid(t->proxy))
        rc = ledger_fail(err, LEDGER_EINVAL, "[time] proxy is no http:// or https:// URL: \"%.100s\"", t->proxy);
    if (!rc)
        rc = read_ca(t, o, err);
    if (!rc)
        rc = check_policy(t, err);
    if (rc)
        timestamp_free(t);
    else
        *out = t;
    return rc;
}

enum ledger_rc timestamp_start(struct timestamp *t, struct pipeline *p, struct ledger_err *err)
{
    t->pipeline = p;
    enum ledger_rc rc = thread_start(&t->thread, "time stamps", thread_main, t, err); /* without signals: libcurl's sockets must not raise any here */
    t->started = rc == LEDGER_OK;
    return rc;
}

void timestamp_stop(struct timestamp *t)
{
    if (!t || !t->started)
        return;
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->stop, true);
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    t->started = false;
}

void timestamp_free(struct timestamp *t)
{
    if (!t)
        return;
    arena_free(t->kept);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---- figures ---- */

static struct shown shown_now(struct timestamp *t)
{
    pthread_mutex_lock(&t->lock);
    struct shown s = t->shown;
    pthread_mutex_unlock(&t->lock);
    return s;
}

void timestamp_figures(struct timestamp *t, void (*put)(void *sink, const char *name, double value, const char *text), void *sink)
{
    struct shown s = shown_now(t);
    put(sink, "time_stamps", (double)s.recorded, NULL);
    put(sink, "time_stamp_failures", (double)s.failures, NULL);
    put(sink, "time_stamp_failing", s.failing ? 1 : 0, s.failing ? s.why : NULL);
    if (s.has_last) {
        put(sink, "time_stamp_age_seconds", (double)(clock_us(CLOCK_REALTIME) - s.gen_us) / 1e6, NULL);
        put(sink, "time_stamp_entry", (double)s.index, NULL);
        put(sink, "time_stamped_entries", (double)s.size, NULL);
    }
    if (s.has_offset)
        put(sink, "time_stamp_clock_offset_seconds", (double)s.offset_us / 1e6, NULL);
}

void timestamp_expiry(struct timestamp *t, void (*add)(void *sink, const char *what, int64_t not_after_s), void *sink)
{
    char what[TSP_NAME_MAX + 32];
    struct shown s = shown_now(t);
    if (!s.not_after_s)
        return;
    snprintf(what, sizeof what, "time-stamping authority %s", s.authority);
    add(sink, what, s.not_after_s);
}
