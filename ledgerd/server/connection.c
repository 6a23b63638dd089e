/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection: from accept to free.
 *
 * A connection is freed when its handle has closed and no work of its streams is in the thread pool: the two references. What
 * its submissions are doing in the pipeline goes on; they only lose whom to answer.
 */
#include <stdlib.h>
#include <string.h>

#include "../log.h"
#include "internal.h"

static void unlink_connection(struct connection *c)
{
    struct server *s = c->server;
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    s->connections_n--;
    atomic_store(&s->figures.connections, s->connections_n);
    for (struct connection **at = &s->dirty; c->dirty && *at; at = &(*at)->dirty_next) {
        if (*at == c) {
            *at = c->dirty_next;
            break;
        }
    }
}

void connection_release(struct connection *c)
{
    LEDGER_REQUIRE(c->magic == CONNECTION_MAGIC && c->references > 0);
    if (--c->references > 0)
        return;
    LEDGER_REQUIRE(!c->streams && !c->submissions && c->state == CONNECTION_CLOSED);
    unlink_connection(c);
    tls_free(c->tls);
    bytes_fini(&c->in);
    bytes_fini(&c->out);
    bytes_fini(&c->writing);
    frame_fini(&c->frames);
    c->magic = 0;
    free(c);
}

static void closed_cb(uv_handle_t *h)
{
    struct connection *c = h->data;
    c->write_busy = false; /* Its callback came before this one. */
    bytes_fini(&c->out);
    bytes_fini(&c->writing);
    connection_count_pending(c);
    connection_release(c);
}

void connection_drop(struct connection *c, const char *why)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    if (why && server_may_log(c->server))
        logline(LOG_WARN, "connection closed", "client=%s reason=%s", c->access.name[0] ? c->access.name : "unknown", why);
    c->state = CONNECTION_CLOSED;
    request_forget(c);
    stream_forget(c);
    if (c->frames.reserved) {
        c->frames.reserved = false;
        receiving_give_back(c->server, c->frames.length);
    }
    uv_close((uv_handle_t *)&c->tcp, closed_cb);
}

void connection_finish(struct connection *c)
{
    if (c->state != CONNECTION_OPENING && c->state != CONNECTION_OPEN)
        return;
    c->state = CONNECTION_CLOSING;
    stream_forget(c);
    connection_touched(c);
}

void connection_fail(struct connection *c, enum error_code code, const char *text)
{
    if (c->state != CONNECTION_OPENING && c->state != CONNECTION_OPEN)
        return;
    if (server_may_log(c->server))
        logline(LOG_WARN, "connection ended by the server", "client=%s reason=%s",
                c->access.name[0] ? c->access.name : "unknown", text);
    /* What of its requests is in the pipeline may well be recorded after this answer. */
    struct error_answer e = {code, c->submissions_n ? RECORDED_UNKNOWN : RECORDED_NOTHING, text};
    bool may_speak = !c->tls || tls_open(c->tls);
    atomic_fetch_add(&c->server->figures.errors, 1);
    if (!may_speak || !message_put_error(&c->out, 0, &e)) {
        connection_drop(c, NULL);
        return;
    }
    request_forget(c);
    connection_finish(c);
}

bool connection_accept(struct server *s)
{
    struct connection *c = calloc(1, sizeof *c);
    if (!c || uv_tcp_init(&s->loop, &c->tcp) != 0) {
        free(c);
        return false;
    }
    c->magic = CONNECTION_MAGIC;
    c->server = s;
    c->references = 1;
    c->tcp.data = c->write.data = c->shutdown.data = c;
    c->opened_ms = server_now(s);
    c->next = s->connections;
    c->at = &s->connections;
    if (c->next)
        c->next->at = &c->next;
    s->connections = c;
    s->connections_n++;
    atomic_store(&s->figures.connections, s->connections_n);
    atomic_fetch_add(&s->figures.accepted, 1);
    int e = uv_accept((uv_stream_t *)&s->listener, (uv_stream_t *)&c->tcp);
    if (s->tls)
        c->tls = tls_new(s->tls);
    if (e || (s->tls && !c->tls)) {
        connection_drop(c, e ? uv_strerror(e) : "out of memory");
        return true;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);      /* Answers are collected here, not in the kernel. */
    (void)uv_tcp_keepalive(&c->tcp, 1, 60); /* Idle clients may stay; dead ones not for ever. */
    c->reading = true;
    if (uv_read_start((uv_stream_t *)&c->tcp, connection_alloc_cb, connection_read_cb) != 0)
        connection_drop(c, "it cannot be read from");
    return true;
}
