/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: the loop and its handles. Answers are collected while the loop calls back and sent once an iteration: after polling (check)
 * and before it (prepare), because timers run in between.
 *
 * Failure modes: what the loop cannot give (memory, descriptors) fails server_new; later on it costs single connections.
 */
#include "server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "../log.h"
#include "internal.h"

uint64_t server_now(struct server *s)
{
    return uv_now(&s->loop);
}

bool server_may_log(struct server *s)
{
    if (s->log_left > 0) {
        s->log_left--;
        return true;
    }
    s->log_lost++;
    return false;
}

/* ---- from other threads ---- */

void server_job_done(void *ctx, struct job *job)
{
    struct server *s = ctx;
    uv_mutex_lock(&s->done_lock);
    job->next = NULL;
    *s->done_last = job;
    s->done_last = &job->next;
    uv_mutex_unlock(&s->done_lock);
    (void)uv_async_send(&s->wake); /* Several of them may become one callback: it takes the whole list. */
}

void server_committed(void *ctx, uint64_t size)
{
    struct server *s = ctx;
    (void)size;
    atomic_fetch_add(&s->commits, 1);
    (void)uv_async_send(&s->wake);
}

void server_witnessed(struct server *s)
{
    server_committed(s, 0); /* Whoever waits is woken, and looks for itself. */
}

/* ---- the loop ---- */

static void wake_cb(uv_async_t *h)
{
    struct server *s = h->data;
    streams_take_handed(s);
    request_jobs_done(s);
    uint64_t commits = atomic_load(&s->commits);
    if (commits == s->commits_seen)
        return;
    s->commits_seen = commits;
    streams_committed(s);
}

/* Those that waited for memory to receive into; some will wait again. */
static void retry_receiving(struct server *s)
{
    s->receiving_freed = false;
    s->retrying = true;
    for (struct connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        if (!c->wait_memory)
            continue;
        c->wait_memory = false;
        connection_pump(c);
    }
    s->retrying = false;
    s->share_used = NULL;
}

static void flush_all(struct server *s)
{
    if (s->receiving_freed)
        retry_receiving(s);
    while (s->dirty) {
        struct connection *c = s->dirty;
        s->dirty = c->dirty_next;
        c->dirty = false;
        connection_flush(c);
    }
    if (s->phase != SERVER_SERVING)
        server_progress_stop(s);
}

static void prepare_cb(uv_prepare_t *h)
{
    flush_all(h->data);
}

static void check_cb(uv_check_t *h)
{
    flush_all(h->data);
}

/* ---- time limits ---- */

static void sweep_connection(struct server *s, struct connection *c, uint64_t now, int64_t wall_s)
{
    const struct config *k = &s->config;
    if (c->state == CONNECTION_LINGER && now >= c->linger_ms) {
        connection_drop(c, NULL);
        return;
    }
    if (c->state == CONNECTION_OPENING && !c->hello_begun && now - c->opened_ms >= k->hello_ms) {
        atomic_fetch_add(&s->figures.timeouts, 1);
        connection_fail(c, ERROR_TIMEOUT, "no hello came in time");
        return;
    }
    if (c->state == CONNECTION_OPEN && c->partial_ms && now - c->partial_ms >= k->frame_ms) {
        atomic_fetch_add(&s->figures.timeouts, 1);
        connection_fail(c, ERROR_TIMEOUT, "a request was begun and not completed in time");
        return;
    }
    if (c->state == CONNECTION_OPEN && c->not_after_s && wall_s > c->not_after_s) {
        connection_fail(c, ERROR_DENIED, "the certificate has expired");
        return;
    }
    if (!c->write_busy)
        return;
    size_t left = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    if (left != c->write_left) {
        c->write_left = left;
        c->progress_ms = now;
    } else if (now - c->progress_ms >= k->stall_ms) {
        atomic_fetch_add(&s->figures.timeouts, 1);
        connection_drop(c, "it does not take its answers");
    }
}

static void sweep_cb(uv_timer_t *h)
{
    struct server *s = h->data;
    uint64_t now = server_now(s);
    uv_timeval64_t wall = {0};
    bool new_second = now - s->log_second >= 1000;
    (void)uv_gettimeofday(&wall);
    listener_retry(s);
    for (struct connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        sweep_connection(s, c, now, wall.tv_sec);
        if (c->state == CONNECTION_OPEN)
            stream_wake_late(c, now);
        if (new_second && c->state == CONNECTION_OPEN)
            stream_expire(c);
        else if (new_second && c->state == CONNECTION_OPENING)
            stream_schedule(c); /* a hello that waits for others' pending answers to become fewer */
    }
    if (new_second) {
        if (s->log_lost)
            logline(LOG_WARN, "connections failed that were not logged one by one", "lines=%u", s->log_lost);
        s->log_second = now;
        s->log_left = LOG_LINES_A_SECOND;
        s->log_lost = 0;
    }
    if (s->watchdog_ms && now - s->watchdog_last_ms >= s->watchdog_ms / 2) {
        s->watchdog_last_ms = now;
        (void)sd_notify(0, "WATCHDOG=1");
    }
}

/* Often enough that no limit is overrun by more than a quarter of it. */
static uint64_t sweep_interval(const struct config *k)
{
    uint64_t least = k->witness_policy[0] ? 1000 : 4000; /* who waits for witnesses says for how long */
    const uint32_t limits[] = {k->hello_ms, k->frame_ms, k->stall_ms, k->drain_ms};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        least = limits[i] < least ? limits[i] : least;
    return least / 4;
}

/* ---- signals ---- */

static void signal_cb(uv_signal_t *h, int number)
{
    struct server *s = h->data;
    if (number == SIGHUP) {
        (void)sd_notify(0, "RELOADING=1");
        reload_now(s);
        (void)sd_notify(0, "READY=1");
        return;
    }
    server_begin_stop(s, number == SIGINT ? "SIGINT" : "SIGTERM");
}

/* ---- making and running ---- */

static enum ledger_rc uv_fail(struct ledger_err *err, int code, const char *what)
{
    ledger_fail(err, LEDGER_EIO, "%s: %s", what, uv_strerror(code));
    if (err)
        err->sys = code;
    return LEDGER_EIO;
}

static enum ledger_rc make_handles(struct server *s, struct ledger_err *err)
{
    static const int SIGNALS[] = {SIGTERM, SIGINT, SIGHUP};
    int e = uv_async_init(&s->loop, &s->wake, wake_cb);
    if (!e)
        e = uv_timer_init(&s->loop, &s->sweep);
    if (!e)
        e = uv_prepare_init(&s->loop, &s->prepare);
    if (!e)
        e = uv_check_init(&s->loop, &s->check);
    s->wake.data = s->sweep.data = s->prepare.data = s->check.data = s;
    if (!e)
        e = uv_prepare_start(&s->prepare, prepare_cb);
    if (!e)
        e = uv_check_start(&s->check, check_cb);
    uint64_t interval = sweep_interval(&s->config);
    if (!e)
        e = uv_timer_start(&s->sweep, sweep_cb, interval, interval);
    for (size_t i = 0; !e && i < 3; i++) {
        e = uv_signal_init(&s->loop, &s->signals[i]);
        s->signals[i].data = s;
        if (!e)
            e = uv_signal_start(&s->signals[i], signal_cb, SIGNALS[i]);
    }
    return e ? uv_fail(err, e, "event loop") : LEDGER_OK;
}

static enum ledger_rc make_server(struct server *s, const struct server_options *o, struct ledger_err *err)
{
    s->magic = SERVER_MAGIC;
    s->done_last = &s->done_first;
    s->config = *o->config;
    o->config->access = (struct access_table){0};
    s->store = o->store;
    s->witness = o->witness;
    s->figures_cb = o->figures_cb;
    s->figures_ctx = o->figures_ctx;
    s->log_left = LOG_LINES_A_SECOND;
    if (strlen(o->dir) >= sizeof s->dir || strlen(o->config_path) >= sizeof s->config_path)
        return ledger_fail(err, LEDGER_EINVAL, "the path of the data folder is too long");
    memcpy(s->dir, o->dir, strlen(o->dir) + 1);
    memcpy(s->config_path, o->config_path, strlen(o->config_path) + 1);
    int e = uv_mutex_init(&s->done_lock);
    LEDGER_REQUIRE(e == 0);
    e = uv_loop_init(&s->loop);
    if (e)
        return uv_fail(err, e, "event loop");
    s->loop_made = true;
    enum ledger_rc rc = reload_first(s, err);
    if (rc == LEDGER_OK)
        rc = make_handles(s, err);
    if (rc == LEDGER_OK)
        rc = listener_open(s, err);
    if (rc != LEDGER_OK || !s->config.http_listen[0])
        return rc;
    const struct http_options http = {.dir = s->dir, .config = &s->config, .loop = &s->loop, .store = s->store,
                                      .witnessed = s->witness ? witness_newest(s->witness) : NULL, .figures_cb = server_figures, .figures_ctx = s};
    return http_open(&http, &s->http, err);
}

enum ledger_rc server_new(const struct server_options *o, struct server **out, struct ledger_err *err)
{
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = make_server(s, o, err);
    if (rc != LEDGER_OK)
        server_free(s);
    else
        *out = s;
    return rc;
}

const char *server_address(const struct server *s)
{
    return s->address;
}

const char *server_http_address(const struct server *s)
{
    return s->http ? http_address(s->http) : NULL;
}

enum ledger_rc server_run(struct server *s, struct pipeline *p, struct ledger_err *err)
{
    uint64_t watchdog_us = 0;
    s->pipeline = p;
    if (sd_watchdog_enabled(0, &watchdog_us) > 0)
        s->watchdog_ms = watchdog_us / 1000;
    (void)sd_notifyf(0, "READY=1\nSTATUS=listening on %s", s->address);
    uv_update_time(&s->loop); /* The pipeline's start may have taken long. */
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    return uv_loop_alive(&s->loop) ? uv_fail(err, UV_EBUSY, "end the event loop") : LEDGER_OK;
}

/* Our own; the HTTP library closes its handles itself, some of them only after others. */
static void close_handle(uv_handle_t *h, void *ctx)
{
    if (h->data == ctx && !uv_is_closing(h))
        uv_close(h, NULL);
}

void server_free(struct server *s)
{
    if (!s)
        return;
    http_close(s->http);
    if (s->loop_made) { /* It never ran, or to its end: there are no connections. */
        uv_walk(&s->loop, close_handle, s);
        (void)uv_run(&s->loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&s->loop);
    }
    http_free(s->http);
    uv_mutex_destroy(&s->done_lock);
    tls_context_free(s->tls);
    access_table_fini(&s->config.access);
    free(s);
}
