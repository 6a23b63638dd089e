/* SPDX-License-Identifier: Apache-2.0 */
/* raw_client: frames over TLS on a blocking socket (header: raw_client.h). */
#include "lib/raw_client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "message.h"

void raw_die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

void raw_must(enum ledger_rc rc, const struct ledger_err *err, const char *what)
{
    if (rc != LEDGER_OK)
        raw_die("%s: %s (%s)", what, err->msg, ledger_rc_text(rc));
}

static int dial(const struct ledger_profile *p)
{
    struct addrinfo *list = NULL, hints = {.ai_socktype = SOCK_STREAM};
    int fd = -1, one = 1;
    if (getaddrinfo(p->host, p->port, &hints, &list))
        raw_die("%s: no such host", p->host);
    for (struct addrinfo *i = list; i && fd < 0; i = i->ai_next) {
        fd = socket(i->ai_family, i->ai_socktype | SOCK_CLOEXEC, i->ai_protocol);
        if (fd >= 0 && connect(fd, i->ai_addr, i->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        raw_die("%s: %s", p->address, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void flush(struct raw_client *cl)
{
    struct span out = tls_client_output(cl->tls);
    while (out.n > 0) {
        ssize_t n = send(cl->fd, out.p, out.n, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            raw_die("send: %s", strerror(errno));
        if (n > 0)
            out = span_of(out.p + n, out.n - (size_t)n);
    }
    tls_client_output_taken(cl->tls);
}

/* Takes what the network has (waiting for it, unless flags say otherwise) into the TLS session.
 * False: nothing was there. */
static bool take_bytes(struct raw_client *cl, int flags)
{
    static _Thread_local uint8_t buf[256 * 1024]; /* crowds have a thread a client */
    struct ledger_err err;
    ssize_t n = recv(cl->fd, buf, sizeof buf, flags);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0)
        raw_die("the daemon closed a connection: %s", n ? strerror(errno) : "end of stream");
    raw_must(tls_client_receive(cl->tls, span_of(buf, (size_t)n), &err), &err, "TLS");
    return true;
}

static void take_plain(struct raw_client *cl)
{
    struct ledger_err err;
    size_t got = 1;
    while (got > 0) {
        if (cl->in_cap - cl->in_n < 32768) {
            cl->in_cap = cl->in_cap * 2 + 65536;
            cl->in = realloc(cl->in, cl->in_cap);
            if (!cl->in)
                raw_die("out of memory");
        }
        raw_must(tls_client_read(cl->tls, cl->in + cl->in_n, cl->in_cap - cl->in_n, &got, &err),
                 &err, "TLS");
        cl->in_n += got;
    }
}

/* The message at the beginning of the input, if all of it is there. */
static bool whole_frame(const struct raw_client *cl, struct span *message)
{
    if (cl->in_n < 4)
        return false;
    size_t n =
        (size_t)cl->in[0] << 24 | (size_t)cl->in[1] << 16 | (size_t)cl->in[2] << 8 | cl->in[3];
    if (n > FRAME_BYTES_MAX)
        raw_die("a frame of %zu bytes", n);
    if (cl->in_n - 4 < n)
        return false;
    *message = span_of(cl->in + 4, n);
    return true;
}

void raw_client_drop(struct raw_client *cl, struct span message)
{
    cl->in_n -= 4 + message.n;
    memmove(cl->in, cl->in + 4 + message.n, cl->in_n);
}

void raw_client_send(struct raw_client *cl, struct span message)
{
    struct ledger_err err;
    uint8_t head[4] = {(uint8_t)(message.n >> 24), (uint8_t)(message.n >> 16),
                       (uint8_t)(message.n >> 8), (uint8_t)message.n};
    raw_must(tls_client_write(cl->tls, span_of(head, sizeof head), &err), &err, "TLS");
    raw_must(tls_client_write(cl->tls, message, &err), &err, "TLS");
    flush(cl);
}

bool raw_client_receive(struct raw_client *cl, bool wait, struct span *message)
{
    for (;;) {
        bool came = take_bytes(cl, wait ? 0 : MSG_DONTWAIT);
        if (came) {
            take_plain(cl);
            flush(cl);
        }
        if (whole_frame(cl, message))
            return true;
        if (!wait)
            return false;
    }
}

static void shake_hands(struct raw_client *cl)
{
    struct ledger_err err;
    for (bool done = false;;) {
        enum ledger_rc rc = tls_client_handshake(cl->tls, &done, &err);
        flush(cl);
        raw_must(rc, &err, "TLS handshake");
        if (done)
            return;
        take_bytes(cl, 0);
    }
}

void raw_client_open(struct raw_client *cl, const struct ledger_profile *p, struct tls_context *tls,
                     const char *program)
{
    struct ledger_err err;
    struct arena *a = arena_new(1 << 20);
    struct message m;
    struct span hello;
    *cl = (struct raw_client){.fd = dial(p)};
    if (!a)
        raw_die("out of memory");
    raw_must(tls_client_session_new(tls, p->host, &cl->tls, &err), &err, "TLS");
    shake_hands(cl);
    raw_client_send(cl, rpc_put_hello(a, 1, program, p->origin));
    /* The hello's answer may have come with the end of the handshake. */
    take_plain(cl);
    if (!whole_frame(cl, &hello))
        raw_client_receive(cl, true, &hello);
    raw_must(rpc_decode(a, hello, &m, &err), &err, "hello");
    if (m.kind != MESSAGE_HELLO)
        raw_die("no hello from the daemon: %s",
                m.kind == MESSAGE_ERROR ? m.u.error.text : "another message");
    raw_client_drop(cl, hello);
    arena_free(a);
}

void raw_client_close(struct raw_client *cl)
{
    tls_client_session_free(cl->tls);
    close(cl->fd);
    free(cl->in);
}
