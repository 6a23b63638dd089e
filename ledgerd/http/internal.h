/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal: what the files of the HTTP server share. Nobody else includes it.
 *
 * Terms. A *connection* belongs to libwebsockets. A *task* is one request: it is made in the loop thread, answered in the thread pool
 * (HTTP_WORKS_MAX at once, so that they leave room for the queries of clients), and sent in the loop thread. Its connection may go
 * away at any time: then `wsi` is NULL, and whoever finds it so frees the task.
 */
#ifndef LEDGERD_HTTP_INTERNAL_H
#define LEDGERD_HTTP_INTERNAL_H

#include <stdatomic.h>

#include <libwebsockets.h>
#include <uv.h>

#include "../query.h"
#include "http.h"

#define HTTP_MAGIC 0x4717b201u
#define HTTP_WORKS_MAX 2u
#define HTTP_PENDING_MAX ((size_t)64 << 20) /* bytes of answers that clients have not taken: above it nothing more is answered */
#define HTTP_CHUNK ((size_t)64 << 10)
#define HTTP_HEADERS_MAX 4096               /* of a request, in bytes */
#define HTTP_PATH_MAX 128
#define HTTP_ARENA ((size_t)32 << 20)

/* What a request is answered with. The texts are static; the body is the arena's. */
struct answer {
    unsigned status;
    const char *type, *cache, *fault; /* fault: for the log, NULL if none */
    struct span body;
};

struct http_counts {
    _Atomic uint64_t connections, accepted, turned_away, requests, not_found, refused, failed, sent;
};

struct task {
    struct task *next;           /* of those that wait for the thread pool */
    struct http *http;
    struct lws *wsi;             /* NULL: gone */
    char path[HTTP_PATH_MAX];
    bool head, close_after, waiting, working, started; /* started: the response's head was sent */
    uv_work_t work;
    struct answer answer;
    char fault[240];
    uint8_t *bytes;              /* LWS_PRE bytes of room, then the body */
    size_t sent, counted;        /* counted: part of http->pending */
};

struct http {
    unsigned magic;
    struct uv_loop_s *loop;
    struct store *store;
    struct witnessed *witnessed;
    void (*figures_cb)(void *ctx, void (*put)(void *sink, const char *name, double value, const char *text), void *sink);
    void *figures_ctx;
    bool metrics, closing;
    char address[CONFIG_ADDRESS_MAX];
    char certificate[CONFIG_PATH_MAX * 2], key[CONFIG_PATH_MAX * 2]; /* "": plain */
    unsigned connections_max, timeout_s;
    int listener, spare;         /* descriptors, −1: closed. spare: see take_connection */
    uv_poll_t poll;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct task *first, **last;  /* waiting */
    unsigned works;
    size_t pending;
    uint64_t logged_ms;
    struct http_counts counts;
};

/* exchange.c: libwebsockets' calls */
int exchange_cb(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
struct exchange {
    struct task *task; /* the request that is being answered, or NULL */
};
bool http_may_log(struct http *h);
/* answer.c: in the thread pool */
void answer_make(const struct http *h, const char *path, struct arena *a, struct answer *out, char fault[240]);
/* metrics.c: Prometheus text format, version 0.0.4 */
enum ledger_rc metrics_text(const struct query_env *env, struct arena *a, struct span *out, struct ledger_err *err) LEDGER_MUST_USE;
/* Is the ledger writable? Else *why (240 bytes) says why not. */
bool metrics_healthy(const struct query_env *env, char *why);

#endif
