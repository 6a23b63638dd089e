/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_http: the HTTP/1.1 server of `ledgerctl witness run`: one thread, libwebsockets' own loop, TLS by OpenSSL.
 *
 * A request is taken as a whole (its body is bounded), then *answer_cb* is asked for its answer, in the server's thread. It may say that
 * there is none yet: then it is asked again after each http_wake, and for the last time, with `last` set, after wait_ms.
 *
 * Bounds: connections_max connections, the others are closed at once; body_max bytes of a body; a request that is not complete, and an
 * answer that is not taken, within timeout_s ends its connection; while more than half of the connections are in use, each ends with its answer.
 * Few requests wait for an answer that is not there yet; the others are asked for the last time at once. A request with a body of unknown length is
 * refused (411).
 *
 * The server blocks SIGTERM and SIGINT in the calling thread and ends at the first of them: start other threads after http_open.
 * Failure: EINVAL for addresses and certificates that cannot be used, EIO.
 */
#ifndef LEDGERD_CTL_WITNESS_HTTP_H
#define LEDGERD_CTL_WITNESS_HTTP_H

#include "profile.h"

enum http_method { HTTP_OTHER, HTTP_GET, HTTP_POST };
struct http_request {
    enum http_method method; /* HEAD is a GET without the body */
    const char *path;        /* decoded, without a query */
    struct span body;
    bool last;               /* it has waited as long as it may */
};
struct http_answer {
    unsigned status;
    const char *type;        /* static */
    struct span body;        /* borrowed until the callback is called again */
};
/* True: *out is the answer. False (never when rq->last): not yet. */
typedef bool (*http_answer_cb)(void *ctx, const struct http_request *rq, struct http_answer *out);

struct http_options {
    const char *listen;              /* ADDRESS:PORT; port 0 takes any free one */
    const char *certificate, *key;   /* PEM files; NULL: plain HTTP */
    unsigned connections_max, timeout_s, wait_ms;
    size_t body_max;
    http_answer_cb answer_cb;
    void *ctx;
};
#define HTTP_ADDRESS_MAX 64
/* Splits ADDRESS:PORT; the port may be 0. False if it is none. */
bool http_split(const char *listen, char host[PROFILE_HOST_MAX + 1], char port[6]) LEDGER_MUST_USE;
struct http_server;
/* Listens from now on; *out is owned, also after a failure (http_close). */
enum ledger_rc http_open(const struct http_options *o, struct http_server **out, struct ledger_err *err) LEDGER_MUST_USE;
const char *http_address(const struct http_server *h); /* ADDRESS:PORT that it listens on */
bool http_serve(struct http_server *h);                 /* until SIGTERM or SIGINT; false: the library gave up before */
void http_wake(struct http_server *h);                  /* asks again for answers that were not there yet; any thread */
void http_close(struct http_server *h);                 /* NULL is allowed */

#endif
