/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receiving: bytes → TLS → frames → requests.
 *
 * Nothing is read from a connection while its hello is being answered, while more than PENDING_HIGH of answers wait for it, and while
 * there is no memory for its next large request. Reading then stops, and whoever ends the reason calls connection_pump, because
 * bytes that are here already raise no further event.
 *
 * Failure modes: what is no TLS, no frame or no message ends the connection, with an error message if TLS permits.
 */
#include <string.h>

#include "../log.h"
#include "internal.h"

void connection_alloc_cb(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct connection *c = h->data;
    (void)suggested;
    /* One buffer for all: it is emptied before the callback returns. */
    *buf = uv_buf_init((char *)c->server->read_buffer, READ_BUFFER);
}

static bool may_process(const struct connection *c)
{
    bool alive = c->state == CONNECTION_OPENING || c->state == CONNECTION_OPEN;
    bool hello_waits = c->state == CONNECTION_OPENING && c->hello_begun;
    return alive && !hello_waits && !c->high && !c->wait_memory;
}

/* ---- memory for large requests ---- */

static size_t reserved_of(const struct connection *c)
{
    size_t n = c->frames.reserved ? c->frames.length : 0;
    for (const struct submission *sub = c->submissions; sub; sub = sub->next)
        n += sub->reserved;
    for (const struct stream *st = c->streams; st; st = st->next)
        n += st->reserved;
    return n;
}

/* What the connections of this one's client hold together: counted anew for each large request, and not for every connection that waits. */
static size_t reserved_by_client(const struct connection *c)
{
    size_t n = 0;
    for (const struct connection *o = c->server->connections; o; o = o->next)
        if (strcmp(o->access.name, c->access.name) == 0)
            n += reserved_of(o);
    return n;
}

static bool reserve(void *ctx, size_t n)
{
    struct connection *c = ctx;
    struct server *s = c->server;
    if (c->state != CONNECTION_OPEN || s->receiving + n > RECEIVING_TOTAL_MAX || (s->share_used && strcmp(s->share_used, c->access.name) == 0))
        return false;
    if (reserved_by_client(c) + n > RECEIVING_CLIENT_MAX) {
        s->share_used = s->retrying ? c->access.name : NULL;
        return false;
    }
    s->receiving += n;
    return true;
}

void receiving_give_back(struct server *s, size_t n)
{
    LEDGER_REQUIRE(n <= s->receiving);
    s->receiving -= n;
    s->receiving_freed = s->receiving_freed || n > 0;
}

/* ---- frames ---- */

/* Takes frames out of *in while it may. True if at least one was complete. */
static bool take_frames(struct connection *c, struct span *in)
{
    const struct frame_budget budget = {reserve, c};
    bool complete = false;
    while (may_process(c)) {
        struct span frame;
        enum frame_result r = frame_feed(&c->frames, &budget, in, &frame);
        if (r == FRAME_COMPLETE) {
            size_t reserved = c->frames.reserved ? frame.n : 0;
            c->frames.reserved = false;
            complete = true;
            request_take(c, frame, reserved);
            frame_trim(&c->frames);
            continue;
        }
        if (r == FRAME_WAIT && c->state != CONNECTION_OPEN) /* nobody whom we do not know yet reserves anything */
            connection_fail(c, ERROR_LIMIT, "a connection begins with a hello, which is short");
        else if (r == FRAME_WAIT)
            c->wait_memory = true;
        else if (r == FRAME_BAD_LENGTH)
            connection_fail(c, ERROR_LIMIT, "a frame is from 1 to 4194304 bytes long");
        else if (r == FRAME_NO_MEMORY)
            connection_fail(c, ERROR_LIMIT, "out of memory");
        return complete;
    }
    return complete;
}

/* The next decrypted bytes into the server's buffer. False: none now, or the connection has ended. */
static bool decrypt(struct connection *c, struct span *out)
{
    struct server *s = c->server;
    size_t n = 0;
    if (!c->tls)
        return false; /* Plain bytes are in c->in already. */
    enum tls_result r = tls_read(c->tls, s->plain_buffer, sizeof s->plain_buffer, &n);
    *out = span_of(s->plain_buffer, n);
    if (tls_output(c->tls).n)
        connection_touched(c);
    switch (r) {
    case TLS_OK:
        return true;
    case TLS_AGAIN:
        return false;
    case TLS_CLOSED:
        connection_finish(c);
        return false;
    case TLS_FAILED:
        atomic_fetch_add(&s->figures.handshakes_failed, 1);
        if (server_may_log(s))
            logline(LOG_WARN, "TLS failed", "reason=%s", tls_fault(c->tls));
        connection_finish(c); /* The alert goes out first. */
        return false;
    }
    return false;
}

/* One round over what was left over, or over one record. False: there is nothing more to do now. */
static bool pump_once(struct connection *c, bool *complete)
{
    struct span chunk;
    if (bytes_count(&c->in) > 0) {
        chunk = bytes_span(&c->in);
        size_t before = chunk.n;
        *complete = take_frames(c, &chunk) || *complete;
        bytes_drop(&c->in, before - chunk.n);
        return true;
    }
    if (!decrypt(c, &chunk))
        return false;
    *complete = take_frames(c, &chunk) || *complete;
    if (!bytes_add(&c->in, chunk))
        connection_drop(c, "out of memory");
    return true;
}

/* The clock for a frame that has begun runs only while we are the ones who wait. */
static void set_partial(struct connection *c, bool complete)
{
    bool begun = frame_begun(&c->frames) || (c->tls && tls_has_input(c->tls));
    if (!may_process(c) || !begun)
        c->partial_ms = 0;
    else if (complete || c->partial_ms == 0)
        c->partial_ms = server_now(c->server);
}

static void set_reading(struct connection *c)
{
    bool want = may_process(c) || c->state == CONNECTION_LINGER;
    if (c->state == CONNECTION_CLOSED || c->state == CONNECTION_CLOSING || want == c->reading)
        return;
    c->reading = want;
    if (!want)
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
    else if (uv_read_start((uv_stream_t *)&c->tcp, connection_alloc_cb, connection_read_cb) != 0)
        connection_drop(c, "it cannot be read from");
}

void connection_pump(struct connection *c)
{
    bool complete = false;
    while (may_process(c) && pump_once(c, &complete))
        continue;
    set_partial(c, complete);
    set_reading(c);
}

void connection_read_cb(uv_stream_t *h, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = h->data;
    LEDGER_REQUIRE(c->magic == CONNECTION_MAGIC);
    if (n == 0 || c->state == CONNECTION_CLOSED)
        return;
    if (n == UV_EOF && c->state != CONNECTION_LINGER) {
        c->reading = false; /* It may have closed only its half: what is made already is sent. */
        connection_finish(c);
        return;
    }
    if (n < 0) {
        connection_drop(c, NULL);
        return;
    }
    if (c->state == CONNECTION_CLOSING || c->state == CONNECTION_LINGER)
        return;
    atomic_fetch_add(&c->server->figures.bytes_in, (uint64_t)n);
    struct span bytes = span_of(buf->base, (size_t)n);
    if (c->tls ? !tls_feed(c->tls, bytes) : !bytes_add(&c->in, bytes)) {
        connection_drop(c, "out of memory");
        return;
    }
    connection_pump(c);
}
