/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sending: answers are collected in c->out and sent once per iteration of the loop. What the socket takes at once is not copied again;
 * the rest goes into one write request, and while it is under way answers only collect: libuv 1.44 finishes one write request
 * an iteration, so one large one is faster than many.
 *
 * Failure modes: a client that does not read is noticed by the sweep, which sees no progress; one that makes the pending bytes
 * pass PENDING_MAX is dropped at once.
 */
#include "internal.h"

size_t connection_pending(const struct connection *c)
{
    return bytes_count(&c->out) + bytes_count(&c->writing);
}

void connection_count_pending(struct connection *c)
{
    size_t now = connection_pending(c);
    c->server->pending = c->server->pending - c->pending_counted + now;
    c->pending_counted = now;
    atomic_store(&c->server->figures.pending, c->server->pending);
}

void connection_touched(struct connection *c)
{
    struct server *s = c->server;
    if (c->state == CONNECTION_CLOSED)
        return;
    connection_count_pending(c);
    if (c->pending_counted > PENDING_MAX) {
        connection_drop(c, "too much is waiting to be taken by it");
        return;
    }
    if (c->pending_counted > PENDING_HIGH)
        c->high = true;
    if (c->dirty)
        return;
    c->dirty = true;
    c->dirty_next = s->dirty;
    s->dirty = c;
}

static void written_cb(uv_write_t *w, int status)
{
    struct connection *c = w->data;
    c->write_busy = false;
    bytes_fini(&c->writing);
    if (c->state == CONNECTION_CLOSED)
        return;
    if (status < 0) {
        connection_drop(c, NULL); /* The peer has gone. */
        return;
    }
    connection_touched(c);
}

/* Sends what the socket does not take at once. `rest` is copied. */
static bool write_later(struct connection *c, struct span rest)
{
    if (!bytes_add(&c->writing, rest))
        return false;
    uv_buf_t buf = uv_buf_init((char *)c->writing.p, (unsigned)rest.n);
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, written_cb) != 0) {
        bytes_fini(&c->writing);
        return false;
    }
    c->write_busy = true;
    c->write_left = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    c->progress_ms = server_now(c->server);
    return true;
}

/* Gives bytes to the socket. False: the connection is broken. */
static bool send_now(struct connection *c, struct span bytes)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes.p, (unsigned)bytes.n);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (n < 0 && n != UV_EAGAIN)
        return false;
    size_t sent = n > 0 ? (size_t)n : 0;
    atomic_fetch_add(&c->server->figures.bytes_out, bytes.n);
    return sent == bytes.n || write_later(c, span_of(bytes.p + sent, bytes.n - sent));
}

/* Whatever the engine has to send: records, alerts, its part of a handshake. */
static bool send_engine(struct connection *c)
{
    struct span output = tls_output(c->tls);
    if (output.n == 0)
        return true;
    bool ok = send_now(c, output);
    tls_output_drop(c->tls, output.n);
    return ok;
}

/* One chunk of answers. */
static bool send_chunk(struct connection *c)
{
    struct span chunk = bytes_span(&c->out);
    if (chunk.n > WRITE_CHUNK)
        chunk.n = WRITE_CHUNK;
    bool ok;
    if (c->tls)
        ok = tls_write(c->tls, chunk) == TLS_OK && send_engine(c);
    else
        ok = send_now(c, chunk);
    bytes_drop(&c->out, chunk.n);
    return ok;
}

static void shut_cb(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status; /* The linger time ends it in any case. */
}

/* Everything is sent: says so, and waits a little for the peer to read it. */
static void say_closing(struct connection *c)
{
    if (!c->closing_said && c->tls) {
        c->closing_said = true;
        tls_close_notify(c->tls);
        if (!send_engine(c)) {
            connection_drop(c, NULL);
            return;
        }
        if (c->write_busy)
            return;
    }
    c->state = CONNECTION_LINGER;
    c->linger_ms = server_now(c->server) + LINGER_MS;
    bool ok = uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, shut_cb) == 0;
    if (ok && !c->reading) {
        c->reading = true;
        ok = uv_read_start((uv_stream_t *)&c->tcp, connection_alloc_cb, connection_read_cb) == 0;
    }
    if (!ok)
        connection_drop(c, NULL);
}

void connection_flush(struct connection *c)
{
    if (c->state == CONNECTION_CLOSED || c->state == CONNECTION_LINGER || c->write_busy)
        return;
    bool ok = !c->tls || send_engine(c);
    while (ok && !c->write_busy && bytes_count(&c->out) > 0)
        ok = send_chunk(c);
    if (!ok) {
        connection_drop(c, NULL);
        return;
    }
    connection_count_pending(c);
    if (c->write_busy)
        return;
    if (c->state == CONNECTION_CLOSING) {
        say_closing(c);
        return;
    }
    if (c->high && c->pending_counted < PENDING_LOW) {
        c->high = false;
        connection_pump(c);
    }
    stream_schedule(c);
}
