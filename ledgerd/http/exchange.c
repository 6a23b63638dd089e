/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange: one request after the other on a connection: taken, answered in the thread pool, sent in pieces as the socket takes them.
 *
 * No WebSocket and no HTTP/2: upgrades are refused by hanging up, and TLS offers nothing but HTTP/1.1. A request with a body is
 * refused and ends its connection: what follows it cannot be told from the body.
 *
 * Failure modes: out of memory ends the connection. A client that does not take its answer is cut off by libwebsockets after
 * timeout_seconds without progress.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../log.h"
#include "internal.h"

/* At most one line a second. */
bool http_may_log(struct http *h)
{
    uint64_t now = uv_now(h->loop);
    if (h->logged_ms && now - h->logged_ms < 1000)
        return false;
    h->logged_ms = now;
    return true;
}

/* ---- tasks ---- */

static void start_works(struct http *h);

static void task_free(struct task *t)
{
    struct http *h = t->http;
    h->pending -= t->counted;
    free(t->bytes);
    free(t);
    start_works(h);
}

/* Nobody wants its answer any more. In the thread pool it lives on until it comes back. */
static void task_forget(struct task *t)
{
    t->wsi = NULL;
    if (!t->waiting && !t->working)
        task_free(t);
}

static void count_answer(struct http *h, unsigned status)
{
    if (status == 404)
        atomic_fetch_add(&h->counts.not_found, 1);
    else if (status >= 500)
        atomic_fetch_add(&h->counts.failed, 1);
    else if (status >= 400)
        atomic_fetch_add(&h->counts.refused, 1);
}

/* The body gets the room before it that libwebsockets asks for. */
static bool keep_body(struct task *t)
{
    size_t n = t->answer.body.n;
    t->bytes = malloc(LWS_PRE + n);
    if (!t->bytes)
        return false;
    if (n)
        memcpy(t->bytes + LWS_PRE, t->answer.body.p, n);
    t->answer.body = span_of(t->bytes + LWS_PRE, n);
    return true;
}

static void work_cb(uv_work_t *w)
{
    struct task *t = w->data;
    struct arena *a = arena_new(HTTP_ARENA);
    if (a)
        answer_make(t->http, t->path, a, &t->answer, t->fault);
    if (!a || !keep_body(t))
        t->answer = (struct answer){.status = 0};
    arena_free(a);
}

static void worked_cb(uv_work_t *w, int status)
{
    struct task *t = w->data;
    struct http *h = t->http;
    (void)status; /* Work is never cancelled. */
    h->works--;
    t->working = false;
    t->counted = t->answer.body.n;
    h->pending += t->counted;
    count_answer(h, t->answer.status);
    if (t->answer.fault && http_may_log(h))
        logline(LOG_ERROR, "an HTTP request failed", "path=%s reason=%s", t->path, t->answer.fault);
    if (!t->wsi)
        task_free(t);
    else if (t->answer.status)
        (void)lws_callback_on_writable(t->wsi);
    else
        lws_set_timeout(t->wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_ASYNC); /* out of memory */
    start_works(h);
}

static void start_works(struct http *h)
{
    while (h->first && h->works < HTTP_WORKS_MAX && h->pending < HTTP_PENDING_MAX) {
        struct task *t = h->first;
        h->first = t->next;
        if (!h->first)
            h->last = &h->first;
        t->waiting = false;
        if (!t->wsi) {
            free(t); /* given up while it waited: nothing of it is counted */
            continue;
        }
        t->working = true;
        t->work.data = t;
        h->works++;
        (void)uv_queue_work(h->loop, &t->work, work_cb, worked_cb); /* fails only without a callback */
    }
}

/* ---- taking a request ---- */

static bool has_body(struct lws *wsi)
{
    char length[8];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        return true;
    return lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0 &&
           (lws_hdr_copy(wsi, length, sizeof length, WSI_TOKEN_HTTP_CONTENT_LENGTH) < 0 || strcmp(length, "0") != 0);
}

static int take_request(struct http *h, struct lws *wsi, struct exchange *x, const char *path, size_t n)
{
    bool get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0, head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
    struct task *t = calloc(1, sizeof *t);
    if (!t || x->task) {
        free(t);
        return -1;
    }
    atomic_fetch_add(&h->counts.requests, 1);
    t->http = h;
    t->wsi = wsi;
    t->head = head;
    x->task = t;
    static const char NO_METHOD[] = "only GET and HEAD are answered here\n", NO_BODY[] = "a request has no body here\n",
                      NO_PATH[] = "not found\n";
    const char *text = !get && !head ? NO_METHOD : has_body(wsi) ? NO_BODY : n >= sizeof t->path ? NO_PATH : NULL;
    if (!text) {
        memcpy(t->path, path, n);
        t->waiting = true;
        *h->last = t;
        h->last = &t->next;
        start_works(h);
        return 0;
    }
    t->close_after = text != NO_PATH;
    t->answer = (struct answer){.status = text == NO_METHOD ? 405 : text == NO_BODY ? 400 : 404,
                                .type = "text/plain; charset=utf-8", .cache = "no-store", .body = span_str(text)};
    count_answer(h, t->answer.status);
    if (!keep_body(t))
        return -1;
    lws_callback_on_writable(wsi);
    return 0;
}

/* ---- sending ---- */

static bool put_date(struct lws *wsi, uint8_t **p, uint8_t *end)
{
    char text[40];
    struct tm tm;
    time_t now = time(NULL);
    size_t n = gmtime_r(&now, &tm) ? strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm) : 0;
    return n > 0 && lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_DATE, (const unsigned char *)text, (int)n, p, end) == 0;
}

static bool put_header(struct lws *wsi, enum lws_token_indexes token, const char *value, uint8_t **p, uint8_t *end)
{
    return lws_add_http_header_by_token(wsi, token, (const unsigned char *)value, (int)strlen(value), p, end) == 0;
}

static bool send_head(struct task *t)
{
    uint8_t buffer[LWS_PRE + 1024], *start = buffer + LWS_PRE, *p = start, *end = buffer + sizeof buffer;
    const struct answer *w = &t->answer;
    bool ok = lws_add_http_common_headers(t->wsi, w->status, w->type, w->body.n, &p, end) == 0 && put_date(t->wsi, &p, end) &&
              put_header(t->wsi, WSI_TOKEN_HTTP_CACHE_CONTROL, w->cache, &p, end) &&
              lws_add_http_header_by_name(t->wsi, (const unsigned char *)"x-content-type-options:", (const unsigned char *)"nosniff",
                                          7, &p, end) == 0;
    if (ok && w->status == 405)
        ok = put_header(t->wsi, WSI_TOKEN_HTTP_ALLOW, "GET, HEAD", &p, end);
    if (ok && t->close_after)
        ok = put_header(t->wsi, WSI_TOKEN_CONNECTION, "close", &p, end);
    return ok && lws_finalize_write_http_header(t->wsi, start, &p, end) == 0;
}

/* After the last byte. Minus one closes the connection. */
static int finish(struct exchange *x)
{
    struct task *t = x->task;
    struct lws *wsi = t->wsi;
    bool end = t->close_after;
    x->task = NULL;
    task_free(t);
    return end || lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int send_some(struct exchange *x)
{
    struct task *t = x->task;
    if (!t || t->waiting || t->working || !t->answer.status)
        return 0;
    struct http *h = t->http;
    lws_set_timeout(t->wsi, PENDING_TIMEOUT_HTTP_CONTENT, (int)h->timeout_s);
    if (!t->started) {
        t->started = true;
        if (!send_head(t))
            return -1;
        if (t->head || t->answer.body.n == 0)
            return finish(x);
        lws_callback_on_writable(t->wsi);
        return 0;
    }
    size_t n = t->answer.body.n - t->sent;
    bool last = n <= HTTP_CHUNK;
    if (!last)
        n = HTTP_CHUNK;
    /* What the socket does not take, libwebsockets keeps, and calls again when it is gone. */
    if (lws_write(t->wsi, t->bytes + LWS_PRE + t->sent, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int)n)
        return -1;
    t->sent += n;
    atomic_fetch_add(&h->counts.sent, n);
    if (last)
        return finish(x);
    lws_callback_on_writable(t->wsi);
    return 0;
}

/* ---- calls ---- */

static void let_go(struct exchange *x)
{
    if (x && x->task) {
        struct task *t = x->task;
        x->task = NULL;
        task_forget(t);
    }
}

int exchange_cb(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct http *h = lws_context_user(lws_get_context(wsi));
    /* The library has about a hundred reasons to call; these are ours. */
    if (reason == LWS_CALLBACK_HTTP)
        return user ? take_request(h, wsi, user, in, len) : -1;
    if (reason == LWS_CALLBACK_HTTP_WRITEABLE)
        return user ? send_some(user) : 0;
    if (reason == LWS_CALLBACK_CLOSED_HTTP || reason == LWS_CALLBACK_HTTP_DROP_PROTOCOL)
        let_go(user);
    else if (reason == LWS_CALLBACK_WSI_CREATE)
        atomic_fetch_add(&h->counts.connections, 1);
    else if (reason == LWS_CALLBACK_WSI_DESTROY)
        atomic_fetch_sub(&h->counts.connections, 1);
    else if (reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE || reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION)
        return -1;
    return 0;
}
