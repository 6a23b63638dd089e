/* SPDX-License-Identifier: Apache-2.0 */
/* witness: the service's life, its question at the start, its thread, its figures (witness.h). */
#include "witness.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../log.h"
#include "../store/store.h"
#include "../thread.h"
#include "../tiles.h"
#include "service.h"
#include "submission.h"

#define POLICY_BYTES_MAX 65536

int64_t witness_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- making ---- */

static enum ledger_rc take_witnesses(struct witness_service *s, struct ledger_err *err)
{
    const struct policy *p = s->policy;
    unsigned with_url = 0;
    if (p->quorum_none)
        return ledger_fail(err, LEDGER_EINVAL, "its quorum is \"none\": name the witnesses that have to cosign");
    s->n = p->n_witnesses;
    for (unsigned i = 0; i < s->n; i++) {
        struct witness *w = &s->witnesses[i];
        w->name = p->witness_names[i];
        w->key = &p->witnesses[i];
        if (!p->witness_urls[i][0])
            continue;
        if (!submission_url(p->witness_urls[i], w->url, sizeof w->url))
            return ledger_fail(err, LEDGER_EINVAL, "the URL of %.63s is not one of http or https", w->name);
        with_url++;
    }
    return with_url ? LEDGER_OK : ledger_fail(err, LEDGER_EINVAL, "none of its witnesses has a URL");
}

bool witness_knows_log(const struct witness_service *s, struct span key)
{
    for (unsigned i = 0; i < s->policy->n_logs; i++)
        if (span_eq(key, span_of(s->policy->logs[i].key, s->policy->logs[i].key_n)))
            return true;
    return false;
}

static enum ledger_rc know_log(const struct witness_service *s, struct ledger_err *err)
{
    const struct secret_key *k = store_log_key(s->store);
    if (witness_knows_log(s, span_of(k->pub, k->pub_len)))
        return LEDGER_OK;
    return ledger_fail(err, LEDGER_EINVAL, "it does not name this ledger's log key");
}

static enum ledger_rc load_policy(struct witness_service *s, const char *path, struct ledger_err *err)
{
    struct span text;
    enum ledger_rc rc = files_read(s->a, path, POLICY_BYTES_MAX, &text, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = policy_parse(s->c, text, s->policy, err);
    if (rc == LEDGER_OK)
        rc = take_witnesses(s, err);
    if (rc == LEDGER_OK)
        rc = know_log(s, err);
    return rc == LEDGER_OK ? rc : ledger_wrap(err, rc, "%.120s", path);
}

static enum ledger_rc data_path(char out[FILES_PATH_MAX], const char *dir, const char *name, struct ledger_err *err)
{
    if (name[0] != '/')
        return files_path(out, dir, name, err);
    return files_path(out, "", name + 1, err);
}

static enum ledger_rc make(struct witness_service *s, const struct witness_options *o, struct ledger_err *err)
{
    const struct config *c = o->config;
    char policy[FILES_PATH_MAX], ca[FILES_PATH_MAX] = "";
    s->c = crypto_new();
    s->a = arena_new(WITNESS_ARENA);
    s->policy = calloc(1, sizeof *s->policy);
    s->newest = witnessed_new();
    if (!s->c || !s->a || !s->policy || !s->newest)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    s->interval_ms = c->witness_interval_ms;
    s->linger_ms = c->witness_linger_ms;
    s->retry_ms = c->witness_retry_ms;
    s->start_ms = c->witness_start_ms;
    enum ledger_rc rc = files_path(s->path, o->dir, "witnessed", err);
    if (rc == LEDGER_OK)
        rc = data_path(policy, o->dir, c->witness_policy, err);
    if (rc == LEDGER_OK && c->witness_ca[0])
        rc = data_path(ca, o->dir, c->witness_ca, err);
    if (rc == LEDGER_OK)
        rc = load_policy(s, policy, err);
    if (rc == LEDGER_OK)
        rc = posts_new(ca[0] ? ca : NULL, c->witness_timeout_ms, &s->posts, err);
    return rc;
}

enum ledger_rc witness_new(const struct witness_options *o, struct witness_service **out, struct ledger_err *err)
{
    *out = NULL;
    struct witness_service *s = calloc(1, sizeof *s);
    if (!s)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    pthread_mutex_init(&s->lock, NULL);
    s->store = o->store;
    s->published_cb = o->published_cb;
    s->fenced_cb = o->fenced_cb;
    s->ctx = o->ctx;
    enum ledger_rc rc = make(s, o, err);
    if (rc != LEDGER_OK) {
        witness_free(s);
        return ledger_wrap(err, rc, "[witness]");
    }
    *out = s;
    return LEDGER_OK;
}

void witness_free(struct witness_service *s)
{
    if (!s)
        return;
    witness_stop(s);
    posts_free(s->posts);
    witnessed_free(s->newest);
    free(s->policy);
    arena_free(s->a);
    crypto_free(s->c);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct witnessed *witness_newest(struct witness_service *s)
{
    return s->newest;
}

/* ---- the question at the start ---- */

static void report_silent(const struct witness_service *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->witnesses[i].busy)
            logline(LOG_WARN, "a witness has not answered before the start; whether it has seen more is not known", "witness=%s",
                    s->witnesses[i].name);
}

/* Size of the newest checkpoint in the store. */
static enum ledger_rc present_size(struct witness_service *s, uint64_t *size, struct ledger_err *err)
{
    struct span text;
    struct note note;
    struct checkpoint cp;
    arena_reset(s->a);
    enum ledger_rc rc = tiles_checkpoint(&(struct query_env){.store = s->store}, s->a, &text, err);
    if (rc == LEDGER_OK)
        rc = note_parse(s->a, text, &note, err);
    if (rc == LEDGER_OK)
        rc = checkpoint_parse(note.text, &cp, err);
    if (rc == LEDGER_OK)
        *size = cp.size;
    return rc;
}

enum ledger_rc witness_ask(struct witness_service *s, struct ledger_err *err)
{
    uint64_t size;
    enum ledger_rc rc = present_size(s, &size, err);
    if (rc == LEDGER_OK)
        rc = keep_load(s, err);
    if (rc != LEDGER_OK)
        return rc;
    service_committed(s, size);
    int64_t until = witness_now_ms() + (int64_t)s->start_ms, now;
    s->asking = true;
    (void)round_begin(s);
    while (round_busy(s) && s->contradiction.rc == LEDGER_OK && (now = witness_now_ms()) < until) {
        posts_wait(s->posts, (int)(until - now));
        round_answers(s);
    }
    s->asking = false;
    if (s->contradiction.rc == LEDGER_OK && s->note_n)
        (void)!fork_kept(s, &s->contradiction);
    if (s->contradiction.rc != LEDGER_OK)
        return ledger_fail(err, s->contradiction.rc, "%s", s->contradiction.msg);
    report_silent(s);
    return LEDGER_OK;
}

const char *witness_silent(const struct witness_service *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->witnesses[i].url[0] && !s->witnesses[i].counts.success_ms)
            return s->witnesses[i].name;
    return NULL;
}

/* ---- the thread ---- */

static void *service_main(void *arg)
{
    struct witness_service *s = arg;
    while (!atomic_load(&s->stopping)) {
        (void)round_begin(s);
        int ms = round_pause_ms(s);
        posts_wait(s->posts, ms < 0 ? 60000 : ms);
        round_answers(s);
    }
    return NULL;
}

enum ledger_rc witness_start(struct witness_service *s, struct ledger_err *err)
{
    enum ledger_rc rc = thread_start(&s->thread, "witnesses", service_main, s, err);
    if (rc)
        return ledger_wrap(err, rc, "witnesses");
    s->started = true;
    logline(LOG_INFO, "checkpoints go to witnesses", "witnesses=%u witnessed=%llu", s->n,
            (unsigned long long)witnessed_size(s->newest));
    return LEDGER_OK;
}

void witness_committed(struct witness_service *s, uint64_t size)
{
    service_committed(s, size);
    posts_wake(s->posts);
}

void witness_stop(struct witness_service *s)
{
    if (!s || !s->started)
        return;
    atomic_store(&s->stopping, true);
    posts_wake(s->posts);
    pthread_join(s->thread, NULL);
    s->started = false;
}

/* ---- figures ---- */

static int64_t real_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec;
}

void witness_figures(struct witness_service *s, void (*put)(void *sink, const char *name, double value, const char *text),
                     void *sink)
{
    struct witness_counts counts[POLICY_MAX];
    struct arena *a = arena_new(NOTE_SIZE_MAX + 4096);
    struct witnessed_view v = {0};
    int64_t now = witness_now_ms();
    if (a && witnessed_get(s->newest, a, &v) && v.size)
        put(sink, "witnessed_age_seconds", (double)(real_s() - (int64_t)v.cosigned_at), NULL);
    arena_free(a);
    put(sink, "witnessed_entries", (double)v.size, NULL);
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->n; i++)
        counts[i] = s->witnesses[i].counts;
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->n; i++)
        put(sink, "witness_entries", (double)counts[i].size, s->witnesses[i].name);
    for (unsigned i = 0; i < s->n; i++)
        if (counts[i].success_ms)
            put(sink, "witness_success_age_seconds", (double)(now - counts[i].success_ms) / 1e3, s->witnesses[i].name);
    for (unsigned i = 0; i < s->n; i++)
        put(sink, "witness_failures", (double)counts[i].failures, s->witnesses[i].name);
}
