/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: the read side for stock tools: C2SP tlog-tiles (/checkpoint, /tile/…), /metrics, /healthz. GET and HEAD of HTTP/1.1, by
 * libwebsockets on the server's loop, with TLS by OpenSSL. It gives out headers, hashes, checkpoints and figures, never content, and asks
 * nobody who they are.
 *
 * http_open (listens, serves as soon as the loop runs) → http_refuse (no new connections) → http_close → the loop runs to its end →
 * http_free. Loop thread only, but for http_figures.
 */
#ifndef LEDGERD_HTTP_HTTP_H
#define LEDGERD_HTTP_HTTP_H

#include "../config.h"

struct http;
struct store;
struct witnessed;
struct uv_loop_s;
struct http_options {
    const char *dir;             /* borrowed during the call */
    const struct config *config; /* borrowed during the call */
    struct uv_loop_s *loop;      /* borrowed */
    struct store *store;         /* borrowed */
    struct witnessed *witnessed; /* borrowed; NULL: no witnesses */
    /* The server's figures, as in struct query_env. Called in the thread pool. */
    void (*figures_cb)(void *ctx, void (*put)(void *sink, const char *name, double value, const char *text), void *sink);
    void *figures_ctx;
};
/* EINVAL: address, certificates, or no TLS where TLS is wanted; EIO: the address cannot be bound. Returns owned. */
enum ledger_rc http_open(const struct http_options *o, struct http **out, struct ledger_err *err) LEDGER_MUST_USE;
const char *http_address(const struct http *h); /* with the port that was in fact bound */
/* Certificate and key are read again; unusable ones leave the old in force. */
void http_reload(struct http *h);
void http_refuse(struct http *h); /* may be called again; NULL is allowed */
void http_close(struct http *h);  /* may be called again; NULL is allowed */
void http_free(struct http *h);   /* after the loop has ended; NULL is allowed */
/* Any thread. */
void http_figures(const struct http *h, void (*put)(void *sink, const char *name, double value, const char *text), void *sink);

#endif
