/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection: libuv, sockets and frames (connection.h).
 *
 * A *socket* here is one attempt: handle, TLS session, buffers. Only the one that c->socket points to may call back; others are in
 * c->attempts, being connected, or are being closed and free themselves in their close callback.
 *
 * Addresses of a name are tried in the resolver's order, each a moment after the one before and at once when that one was refused, until
 * one of them connects (RFC 8305, section 5): an address that never answers must not hide those behind it.
 *
 * Writes: plaintext is encrypted at once (or, without TLS, collected); one uv_write carries all that has accumulated while the one
 * before was under way.
 */
#include "connection.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "message.h"
#include "resolve.h"
#include "tls.h"

#define READ_CHUNK 65536
#define KEEPALIVE_S 30
#define HEADER_BYTES 4
#define ATTEMPT_DELAY_MS 250 /* RFC 8305, section 8 */

struct bytes {
    uint8_t *p;
    size_t n, cap;
};

struct socket {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct connection *c;
    struct socket *next;     /* in c->attempts */
    struct tls_session *tls; /* NULL: plain */
    bool open, writing;
    struct bytes out;        /* plain only: to be sent */
    struct bytes in_flight;  /* what uv_write is sending */
    uint8_t header[HEADER_BYTES];
    size_t header_n;
    struct bytes frame;      /* body being received; cap is kept */
    size_t frame_need;
};

struct connection {
    const struct ledger_profile *profile;
    struct connection_events events;
    void *user;
    struct tls_context *tls;
    uv_loop_t loop;
    uv_async_t async;
    uv_timer_t timer, stagger; /* the owner's; until the next address is tried */
    pthread_t thread;
    bool loop_ready, started, finished; /* finished: handles are closed or were never made */
    struct socket *socket, *attempts;
    struct ledger_err attempt_err; /* why the last attempt that failed did */
    struct resolve *resolving; /* NULL: none */
    struct addrinfo *addresses, *address; /* of the name; the one to try next */
    char read_buffer[READ_CHUNK];
};

static enum ledger_rc rc_from_uv(struct ledger_err *err, int code, const char *doing, const struct ledger_profile *p)
{
    ledger_fail(err, LEDGER_ECONNECT, "%s %s: %s", doing, p->address, uv_strerror(code));
    if (err)
        err->sys = -code;
    return LEDGER_ECONNECT;
}

uint64_t conn_clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool bytes_add(struct bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->cap) {
        size_t cap = b->cap ? b->cap : 4096;
        while (cap < b->n + n)
            cap *= 2;
        uint8_t *grown = realloc(b->p, cap);
        if (!grown)
            return false;
        b->p = grown;
        b->cap = cap;
    }
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    return true;
}

static void bytes_free(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){0};
}

/* ---- sockets ---- */

static void on_closed(uv_handle_t *h)
{
    struct socket *s = h->data;
    tls_client_session_free(s->tls);
    bytes_free(&s->out);
    bytes_free(&s->in_flight);
    bytes_free(&s->frame);
    free(s);
}

static void close_socket(struct socket *s)
{
    if (!uv_is_closing((uv_handle_t *)&s->tcp))
        uv_close((uv_handle_t *)&s->tcp, on_closed);
}

static void end_attempts(struct connection *c)
{
    uv_timer_stop(&c->stagger);
    for (struct socket *s = c->attempts, *next; s; s = next) {
        next = s->next;
        close_socket(s);
    }
    c->attempts = NULL;
}

void conn_drop(struct connection *c)
{
    if (c->socket)
        close_socket(c->socket);
    c->socket = NULL;
    end_attempts(c);
    if (c->resolving)
        resolve_end(c->resolving);
    c->resolving = NULL;
}

static void lose(struct connection *c, const struct ledger_err *why)
{
    conn_drop(c);
    c->events.lost_cb(c->user, why);
}

static void flush(struct socket *s);

static void on_written(uv_write_t *w, int status)
{
    struct socket *s = w->data;
    struct connection *c = s->c;
    struct ledger_err err = {0};
    s->writing = false;
    s->in_flight.n = 0;
    if (c->socket != s)
        return;
    if (status < 0) {
        rc_from_uv(&err, status, "cannot send to", c->profile);
        lose(c, &err);
        return;
    }
    flush(s);
    if (c->socket == s && s->open)
        c->events.wake_cb(c->user);
}

/* Moves what waits (ciphertext, or plain bytes) into in_flight and sends it. A failure is reported by the read side or the next
 * write: this function is called from within the owner's calls and must not call back. */
static void flush(struct socket *s)
{
    if (s->writing)
        return;
    if (s->tls) {
        struct span waiting = tls_client_output(s->tls);
        if (!bytes_add(&s->in_flight, waiting.p, waiting.n))
            return;
        tls_client_output_taken(s->tls);
    } else {
        struct bytes swap = s->in_flight;
        s->in_flight = s->out;
        s->out = swap;
    }
    if (s->in_flight.n == 0)
        return;
    uv_buf_t buf = {(char *)s->in_flight.p, s->in_flight.n};
    s->write.data = s;
    s->writing = uv_write(&s->write, (uv_stream_t *)&s->tcp, &buf, 1, on_written) == 0;
}

size_t conn_pending(const struct connection *c)
{
    const struct socket *s = c->socket;
    if (!s)
        return 0;
    return (s->writing ? s->in_flight.n : 0) + (s->tls ? tls_client_output(s->tls).n : s->out.n);
}

enum ledger_rc conn_send(struct connection *c, struct span message, struct ledger_err *err)
{
    struct socket *s = c->socket;
    if (!s || !s->open)
        return ledger_fail(err, LEDGER_ECONNECT, "not connected");
    if (message.n > FRAME_BYTES_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "the request is larger than %u bytes", FRAME_BYTES_MAX);
    uint32_t n = (uint32_t)message.n;
    uint8_t header[HEADER_BYTES] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    enum ledger_rc rc = LEDGER_OK;
    if (s->tls) {
        rc = tls_client_write(s->tls, span_of(header, sizeof header), err);
        if (rc == LEDGER_OK)
            rc = tls_client_write(s->tls, message, err);
    } else if (!bytes_add(&s->out, header, sizeof header) || !bytes_add(&s->out, message.p, message.n)) {
        rc = ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    flush(s);
    return rc;
}

/* ---- receiving ---- */

/* Hands out whole frames. False: the socket is not current any more, or *err says why it has to go. */
static bool take_plain(struct socket *s, const uint8_t *p, size_t n, struct ledger_err *err)
{
    struct connection *c = s->c;
    while (n > 0) {
        if (s->header_n < HEADER_BYTES) {
            s->header[s->header_n++] = *p++;
            n--;
            if (s->header_n < HEADER_BYTES)
                continue;
            s->frame_need = (size_t)s->header[0] << 24 | (size_t)s->header[1] << 16 | (size_t)s->header[2] << 8 | s->header[3];
            s->frame.n = 0;
            if (s->frame_need == 0 || s->frame_need > FRAME_BYTES_MAX) {
                ledger_fail(err, LEDGER_EPROTO, "the server sent a frame of %zu bytes", s->frame_need);
                return false;
            }
            continue;
        }
        size_t want = s->frame_need - s->frame.n, now = n < want ? n : want;
        if (!bytes_add(&s->frame, p, now)) {
            ledger_fail(err, LEDGER_ENOMEM, "out of memory");
            return false;
        }
        p += now;
        n -= now;
        if (s->frame.n < s->frame_need)
            continue;
        s->header_n = 0;
        c->events.frame_cb(c->user, span_of(s->frame.p, s->frame.n));
        if (c->socket != s)
            return false;
    }
    return true;
}

static bool take_tls(struct socket *s, struct span bytes, struct ledger_err *err)
{
    struct connection *c = s->c;
    uint8_t plain[16384];
    size_t got = 1;
    bool was_open = s->open;
    if (tls_client_receive(s->tls, bytes, err) != LEDGER_OK)
        return false;
    if (!s->open && tls_client_handshake(s->tls, &s->open, err) != LEDGER_OK)
        return false;
    if (s->open && !was_open) {
        flush(s);
        c->events.open_cb(c->user);
    }
    while (c->socket == s && s->open && got > 0) {
        if (tls_client_read(s->tls, plain, sizeof plain, &got, err) != LEDGER_OK)
            return false;
        if (!take_plain(s, plain, got, err))
            return false;
    }
    return c->socket == s;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct socket *s = h->data;
    *buf = uv_buf_init(s->c->read_buffer, READ_CHUNK);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct socket *s = stream->data;
    struct connection *c = s->c;
    struct ledger_err err = {0};
    if (n == 0 || c->socket != s)
        return;
    if (n < 0) {
        if (n == UV_EOF)
            ledger_fail(&err, LEDGER_ECONNECT, "%s closed the connection", c->profile->address);
        else
            rc_from_uv(&err, (int)n, "cannot receive from", c->profile);
        lose(c, &err);
        return;
    }
    bool fine = s->tls ? take_tls(s, span_of(buf->base, (size_t)n), &err)
                       : take_plain(s, (const uint8_t *)buf->base, (size_t)n, &err);
    if (c->socket != s)
        return;
    flush(s); /* also after errors: alerts */
    if (!fine)
        lose(c, &err);
}

/* ---- dialling ---- */

static void try_next(struct connection *c);

/* Takes it off the list. False: it is not on it any more, and is being closed. */
static bool take_attempt(struct connection *c, const struct socket *s)
{
    struct socket **at = &c->attempts;
    while (*at && *at != s)
        at = &(*at)->next;
    if (!*at)
        return false;
    *at = s->next;
    return true;
}

static void begin_session(struct connection *c)
{
    struct socket *s = c->socket;
    struct ledger_err err = {0};
    uv_tcp_nodelay(&s->tcp, 1);
    uv_tcp_keepalive(&s->tcp, 1, KEEPALIVE_S);
    if (!s->tls) {
        s->open = true;
        c->events.open_cb(c->user);
        return;
    }
    if (tls_client_handshake(s->tls, &s->open, &err) != LEDGER_OK)
        lose(c, &err);
    else
        flush(s);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct socket *s = req->data;
    struct connection *c = s->c;
    if (!take_attempt(c, s))
        return;
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
    if (status != 0) {
        rc_from_uv(&c->attempt_err, status, "cannot connect to", c->profile);
        close_socket(s);
        try_next(c);
        return;
    }
    end_attempts(c); /* the others */
    c->socket = s;
    begin_session(c);
}

/* NULL: *err. */
static struct socket *make_attempt(struct connection *c, struct ledger_err *err)
{
    struct socket *s = calloc(1, sizeof *s);
    if (!s) {
        ledger_fail(err, LEDGER_ENOMEM, "out of memory");
        return NULL;
    }
    s->c = c;
    if (c->tls && tls_client_session_new(c->tls, c->profile->host, &s->tls, err) != LEDGER_OK) {
        free(s);
        return NULL;
    }
    uv_tcp_init(&c->loop, &s->tcp); /* cannot fail: the socket itself is made later */
    s->tcp.data = s;
    s->connect.data = s;
    return s;
}

static void on_stagger(uv_timer_t *h)
{
    try_next(h->data);
}

/* Begins with the next address, if there is one; when none is left and none is under way, the last reason is the reason. */
static void try_next(struct connection *c)
{
    uv_timer_stop(&c->stagger);
    while (c->address) {
        const struct addrinfo *ai = c->address;
        struct socket *s = make_attempt(c, &c->attempt_err);
        c->address = ai->ai_next;
        if (!s)
            break;
        int bad = uv_tcp_connect(&s->connect, &s->tcp, ai->ai_addr, on_connected);
        if (bad == 0) {
            s->next = c->attempts;
            c->attempts = s;
            if (c->address)
                uv_timer_start(&c->stagger, on_stagger, ATTEMPT_DELAY_MS, 0);
            return;
        }
        rc_from_uv(&c->attempt_err, bad, "cannot connect to", c->profile);
        close_socket(s);
    }
    if (!c->attempts)
        c->events.lost_cb(c->user, &c->attempt_err);
}

/* In the resolver's thread. */
static void on_resolved(void *user)
{
    conn_wake(user);
}

static void take_addresses(struct connection *c)
{
    struct addrinfo *found = NULL;
    int status = 0, sys = 0;
    if (!c->resolving || !resolve_take(c->resolving, &found, &status, &sys))
        return;
    resolve_end(c->resolving);
    c->resolving = NULL;
    c->addresses = c->address = found;
    ledger_fail(&c->attempt_err, LEDGER_ECONNECT, "cannot find %s: %s", c->profile->address,
                status == 0 ? "it has no address" : status == EAI_SYSTEM ? strerror(sys) : gai_strerror(status));
    try_next(c);
}

static void free_addresses(struct connection *c)
{
    if (c->addresses)
        freeaddrinfo(c->addresses);
    c->addresses = c->address = NULL;
}

void conn_dial(struct connection *c)
{
    conn_drop(c);
    free_addresses(c);
    c->resolving = resolve_begin(c->profile->host, c->profile->port, on_resolved, c, &c->attempt_err);
    if (!c->resolving) /* lost_cb must not come from within this call: the timer brings it */
        uv_timer_start(&c->stagger, on_stagger, 0, 0);
}

/* ---- loop ---- */

static void on_async(uv_async_t *h)
{
    struct connection *c = h->data;
    if (!c->finished)
        take_addresses(c);
    if (!c->finished)
        c->events.wake_cb(c->user);
}

static void on_timer(uv_timer_t *h)
{
    struct connection *c = h->data;
    if (!c->finished)
        c->events.timer_cb(c->user);
}

void conn_timer(struct connection *c, uint64_t in_ms)
{
    if (c->finished)
        return;
    uv_timer_stop(&c->timer);
    if (in_ms == UINT64_MAX)
        return;
    uv_update_time(&c->loop);
    uv_timer_start(&c->timer, on_timer, in_ms, 0);
}

void conn_wake(struct connection *c)
{
    uv_async_send(&c->async);
}

bool conn_is_own_thread(const struct connection *c)
{
    return c->started && pthread_equal(pthread_self(), c->thread);
}

void conn_finish(struct connection *c)
{
    if (c->finished)
        return;
    c->finished = true;
    conn_drop(c);
    uv_close((uv_handle_t *)&c->async, NULL);
    uv_close((uv_handle_t *)&c->timer, NULL);
    uv_close((uv_handle_t *)&c->stagger, NULL);
}

static void *run(void *arg)
{
    struct connection *c = arg;
    uv_run(&c->loop, UV_RUN_DEFAULT);
    return NULL;
}

enum ledger_rc conn_start(struct connection *c, struct ledger_err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    /* Inherited by the thread: signals are the program's, and a write to a closed socket must not raise SIGPIPE in it. */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int bad = pthread_create(&c->thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (bad)
        return ledger_fail(err, LEDGER_ENOMEM, "cannot start a thread: %s", strerror(bad));
    c->started = true;
    return LEDGER_OK;
}

void conn_join(struct connection *c)
{
    pthread_join(c->thread, NULL);
}

static int loop_init(struct connection *c)
{
    int bad = uv_loop_init(&c->loop);
    if (bad)
        return bad;
    c->loop_ready = true;
    bad = uv_async_init(&c->loop, &c->async, on_async);
    if (bad) {
        c->finished = true;
        return bad;
    }
    uv_timer_init(&c->loop, &c->timer); /* cannot fail, nor can the next */
    uv_timer_init(&c->loop, &c->stagger);
    c->stagger.data = c;
    c->async.data = c;
    c->timer.data = c;
    return 0;
}

enum ledger_rc conn_new(const struct ledger_profile *p, const struct connection_events *e, void *user,
                              struct connection **out, struct ledger_err *err)
{
    *out = NULL;
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    c->profile = p;
    c->events = *e;
    c->user = user;
    enum ledger_rc rc = p->plain ? LEDGER_OK : tls_client_context_new(p, &c->tls, err);
    if (rc == LEDGER_OK) {
        int bad = loop_init(c);
        if (bad)
            rc = ledger_fail(err, LEDGER_ENOMEM, "cannot make an event loop: %s", uv_strerror(bad));
    }
    if (rc != LEDGER_OK) {
        conn_free(c);
        return rc;
    }
    *out = c;
    return LEDGER_OK;
}

void conn_free(struct connection *c)
{
    if (!c)
        return;
    if (c->loop_ready) {
        conn_finish(c);
        /* With the thread ended, or never begun, only close callbacks are left to run. */
        uv_run(&c->loop, UV_RUN_DEFAULT);
        LEDGER_REQUIRE(uv_loop_close(&c->loop) == 0);
    }
    free_addresses(c);
    tls_client_context_free(c->tls);
    free(c);
}
