/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_http: libwebsockets, and what it calls (witness_http.h).
 *
 * The listening socket is ours, and connections are handed to the library one by one, so that their number is bounded here; it and the
 * signals' descriptor are adopted as plain files. No WebSocket and no HTTP/2: upgrades are refused by hanging up.
 *
 * May include: libwebsockets, POSIX.
 */
#include "witness_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libwebsockets.h>

#define BACKLOG 64
#define DESCRIPTORS_OWN 16
#define HEADERS_MAX 4096
#define PATH_SIZE 256
#define WAITING_MAX 32u /* each is decided on anew whenever there is news */

/* One connection, and the request on it. The library zeroes it when the connection is made. */
struct exchange {
    struct exchange *next, **link; /* of those that wait for their answer; link is NULL outside the list */
    struct lws *wsi;
    struct http_request rq;
    char path[PATH_SIZE];
    uint8_t *body;
    size_t body_n, body_got;
    bool busy, head, close_after, headed;
    unsigned status;
    const char *type;
    uint8_t *out; /* LWS_PRE bytes of room, then the answer's body */
    size_t out_n;
};

struct http_server {
    struct http_options o;
    char address[HTTP_ADDRESS_MAX];
    int listener, signals;
    unsigned connections, n_waiting;
    bool stop;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct exchange *waiting;
};

/* ---- exchanges ---- */

static void leave_list(struct exchange *x)
{
    struct http_server *h = x->link ? lws_context_user(lws_get_context(x->wsi)) : NULL;
    if (!h)
        return;
    h->n_waiting--;
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
    x->link = NULL;
    x->next = NULL;
}

static void forget(struct exchange *x)
{
    leave_list(x);
    free(x->body);
    free(x->out);
    memset(x, 0, sizeof *x);
}

/* Minus one, here and below, makes the library close the connection. */
static int answer(struct http_server *h, struct exchange *x, const struct http_answer *a)
{
    leave_list(x);
    x->out = malloc(LWS_PRE + a->body.n);
    if (!x->out)
        return -1;
    if (a->body.n)
        memcpy(x->out + LWS_PRE, a->body.p, a->body.n);
    x->out_n = a->body.n;
    x->status = a->status;
    x->type = a->type;
    x->close_after = x->close_after || h->connections > h->o.connections_max / 2; /* nobody sits on one while others wait */
    lws_set_timer_usecs(x->wsi, (lws_usec_t)h->o.timeout_s * LWS_USEC_PER_SEC);
    lws_callback_on_writable(x->wsi);
    return 0;
}

static int refuse(struct http_server *h, struct exchange *x, unsigned status, const char *text)
{
    const struct http_answer a = {status, "text/plain; charset=utf-8", span_str(text)};
    x->close_after = true;
    return answer(h, x, &a);
}

static int ask(struct http_server *h, struct exchange *x)
{
    struct http_answer a = {.status = 0};
    if (!x->link && h->n_waiting >= WAITING_MAX)
        x->rq.last = true;
    if (h->o.answer_cb(h->o.ctx, &x->rq, &a))
        return answer(h, x, &a);
    if (x->link)
        return 0;
    x->next = h->waiting;
    if (x->next)
        x->next->link = &x->next;
    x->link = &h->waiting;
    h->waiting = x;
    h->n_waiting++;
    lws_set_timeout(x->wsi, PENDING_TIMEOUT_HTTP_CONTENT, (int)(h->o.wait_ms / 1000 + h->o.timeout_s + 1));
    lws_set_timer_usecs(x->wsi, (lws_usec_t)h->o.wait_ms * LWS_USEC_PER_SEC / 1000);
    return 0;
}

/* A failure of one closes its connection and leaves the others alone. */
static void ask_all(struct http_server *h)
{
    for (struct exchange *x = h->waiting, *next; x; x = next) {
        next = x->next;
        if (ask(h, x) != 0)
            lws_set_timeout(x->wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_ASYNC);
    }
}

/* ---- taking a request ---- */

/* The body's length. False: *status and *text say why the request is refused. */
static bool body_length(const struct http_server *h, struct lws *wsi, size_t *n, unsigned *status, const char **text)
{
    char digits[16], *end;
    *n = 0;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0 ||
        lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0) {
        *status = 411;
        *text = "a request with a body says its length\n";
        return false;
    }
    int got = lws_hdr_copy(wsi, digits, sizeof digits, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    unsigned long v = got > 0 && digits[0] >= '0' && digits[0] <= '9' ? strtoul(digits, &end, 10) : 0;
    if (got >= 0 && (v == 0 || *end)) {
        *status = 400;
        *text = "there is no body, or its length is no number\n";
        return false;
    }
    *status = 413;
    *text = "the body is too large\n";
    *n = v;
    return got > 0 && v <= h->o.body_max;
}

static bool has_body(struct lws *wsi)
{
    char length[8];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        return true;
    return lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0 &&
           (lws_hdr_copy(wsi, length, sizeof length, WSI_TOKEN_HTTP_CONTENT_LENGTH) < 0 || strcmp(length, "0") != 0);
}

static int take_request(struct http_server *h, struct lws *wsi, struct exchange *x, const char *path, size_t n)
{
    unsigned status;
    const char *text;
    if (x->busy)
        return -1;
    forget(x);
    x->busy = true;
    x->wsi = wsi;
    x->head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
    bool get = x->head || lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0, post = lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0;
    x->rq.method = get ? HTTP_GET : post ? HTTP_POST : HTTP_OTHER;
    lws_set_timer_usecs(wsi, (lws_usec_t)h->o.timeout_s * LWS_USEC_PER_SEC);
    if (n >= sizeof x->path)
        return refuse(h, x, 404, "not found\n");
    memcpy(x->path, path, n);
    x->rq.path = x->path;
    if (!post && has_body(wsi))
        return refuse(h, x, 400, "a request has no body here\n");
    if (!post)
        return ask(h, x);
    if (!body_length(h, wsi, &x->body_n, &status, &text))
        return refuse(h, x, status, text);
    x->body = malloc(x->body_n);
    return x->body ? 0 : -1;
}

static int take_body(struct exchange *x, const void *p, size_t n)
{
    if (!x->body || n > x->body_n - x->body_got)
        return x->out ? 0 : -1; /* of a request that was refused already, the rest is ignored */
    memcpy(x->body + x->body_got, p, n);
    x->body_got += n;
    return 0;
}

static int body_complete(struct http_server *h, struct exchange *x)
{
    if (x->out)
        return 0;
    if (!x->body || x->body_got != x->body_n)
        return -1;
    x->rq.body = span_of(x->body, x->body_n);
    return ask(h, x);
}

/* Too slow with its request or with taking its answer; or it has waited for the answer as long as it may. */
static int time_is_up(struct http_server *h, struct exchange *x)
{
    if (!x->busy)
        return 0;
    if (!x->link)
        return -1;
    x->rq.last = true;
    return ask(h, x);
}

/* ---- sending ---- */

static bool send_head(struct exchange *x)
{
    uint8_t buffer[LWS_PRE + 1024], *start = buffer + LWS_PRE, *p = start, *end = buffer + sizeof buffer;
    static const char cache[] = "no-store", close_text[] = "close", retry[] = "5";
    bool ok = lws_add_http_common_headers(x->wsi, x->status, x->type, x->out_n, &p, end) == 0 &&
              lws_add_http_header_by_token(x->wsi, WSI_TOKEN_HTTP_CACHE_CONTROL, (const unsigned char *)cache, sizeof cache - 1, &p, end) == 0;
    if (ok && x->status == 503)
        ok = lws_add_http_header_by_token(x->wsi, WSI_TOKEN_HTTP_RETRY_AFTER, (const unsigned char *)retry, sizeof retry - 1, &p, end) == 0;
    if (ok && x->close_after)
        ok = lws_add_http_header_by_token(x->wsi, WSI_TOKEN_CONNECTION, (const unsigned char *)close_text, sizeof close_text - 1, &p,
                                          end) == 0;
    return ok && lws_finalize_write_http_header(x->wsi, start, &p, end) == 0;
}

static int finish(struct exchange *x)
{
    struct lws *wsi = x->wsi;
    bool end = x->close_after;
    forget(x);
    lws_set_timer_usecs(wsi, LWS_SET_TIMER_USEC_CANCEL);
    return end || lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int send_some(struct exchange *x)
{
    if (!x->out)
        return 0;
    if (!x->headed) {
        x->headed = true;
        if (!send_head(x))
            return -1;
        if (x->head || x->out_n == 0)
            return finish(x);
        lws_callback_on_writable(x->wsi);
        return 0;
    }
    /* What the socket does not take, the library keeps, and the timer bounds. Answers are a note at most. */
    if (lws_write(x->wsi, x->out + LWS_PRE, x->out_n, LWS_WRITE_HTTP_FINAL) < (int)x->out_n)
        return -1;
    return finish(x);
}

/* ---- the library's calls ---- */

static void hand_over(struct http_server *h, int fd)
{
    int one = 1;
    lws_sock_file_fd_type what = {.sockfd = fd};
    if (h->connections >= h->o.connections_max) {
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* The library closes fd when it fails. */
    (void)lws_adopt_descriptor_vhost(h->vhost, LWS_ADOPT_HTTP | LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL, what, NULL, NULL);
}

static void readable(struct http_server *h, int fd)
{
    if (fd == h->signals) {
        struct signalfd_siginfo i;
        h->stop = read(fd, &i, sizeof i) == (ssize_t)sizeof i || h->stop;
        return;
    }
    for (int i = 0; fd == h->listener && i < BACKLOG; i++) {
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer < 0)
            return;
        hand_over(h, peer);
    }
}

static int called(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct http_server *h = lws_context_user(lws_get_context(wsi));
    /* The library has about a hundred reasons to call; these are ours. */
    if (reason == LWS_CALLBACK_EVENT_WAIT_CANCELLED)
        ask_all(h);
    else if (reason == LWS_CALLBACK_RAW_RX_FILE)
        readable(h, lws_get_socket_fd(wsi));
    else if (reason == LWS_CALLBACK_HTTP)
        return user ? take_request(h, wsi, user, in, len) : -1;
    else if (reason == LWS_CALLBACK_HTTP_BODY)
        return user ? take_body(user, in, len) : -1;
    else if (reason == LWS_CALLBACK_HTTP_BODY_COMPLETION)
        return user ? body_complete(h, user) : -1;
    else if (reason == LWS_CALLBACK_HTTP_WRITEABLE)
        return user ? send_some(user) : 0;
    else if (reason == LWS_CALLBACK_TIMER)
        return user ? time_is_up(h, user) : 0;
    else if ((reason == LWS_CALLBACK_CLOSED_HTTP || reason == LWS_CALLBACK_HTTP_DROP_PROTOCOL) && user)
        forget(user);
    else if (reason == LWS_CALLBACK_WSI_CREATE)
        h->connections++;
    else if (reason == LWS_CALLBACK_WSI_DESTROY)
        h->connections--;
    else if (reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE || reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION)
        return -1;
    return 0;
}

static const struct lws_protocols PROTOCOLS[] = {
    {"http", called, sizeof(struct exchange), 0, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

/* ---- opening ---- */

static bool tell_address(struct http_server *h)
{
    struct sockaddr_storage bound;
    socklen_t n = sizeof bound;
    char host[INET6_ADDRSTRLEN], port[8];
    if (getsockname(h->listener, (struct sockaddr *)&bound, &n) != 0 ||
        getnameinfo((struct sockaddr *)&bound, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    bool six = bound.ss_family == AF_INET6;
    snprintf(h->address, sizeof h->address, "%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port);
    return true;
}

bool http_split(const char *listen, char host[PROFILE_HOST_MAX + 1], char port[6])
{
    char text[PROFILE_HOST_MAX + 16];
    size_t n = strlen(listen);
    /* The profile's reader knows no port 0, which is nothing to connect to. */
    bool any = n > 2 && n < sizeof text && strcmp(listen + n - 2, ":0") == 0;
    if (!any)
        return address_split(listen, host, port);
    memcpy(text, listen, n + 1);
    text[n - 1] = '1';
    bool ok = address_split(text, host, port);
    port[0] = '0';
    return ok;
}

static enum ledger_rc open_listener(struct http_server *h, struct ledger_err *err)
{
    char host[PROFILE_HOST_MAX + 1], port[6];
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int one = 1;
    if (!http_split(h->o.listen, host, port) || getaddrinfo(host, port, &hints, &found) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "\"%.100s\" is not ADDRESS:PORT with an IP address", h->o.listen);
    h->listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = h->listener >= 0 && setsockopt(h->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
              bind(h->listener, found->ai_addr, found->ai_addrlen) == 0 && listen(h->listener, BACKLOG) == 0 && tell_address(h);
    int sys = errno;
    freeaddrinfo(found);
    return ok ? LEDGER_OK : ledger_fail(err, LEDGER_EIO, "cannot listen on %.100s: %s", h->o.listen, strerror(sys));
}

static enum ledger_rc open_signals(struct http_server *h, struct ledger_err *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) == 0)
        h->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return h->signals >= 0 ? LEDGER_OK : ledger_fail(err, LEDGER_EIO, "cannot wait for signals: %s", strerror(errno));
}

/* The library would take a certificate into use and only then find that the key is another one's. */
static bool certificate_usable(const struct http_options *o)
{
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    bool ok = c && SSL_CTX_use_certificate_chain_file(c, o->certificate) == 1 &&
              SSL_CTX_use_PrivateKey_file(c, o->key, SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(c) == 1;
    SSL_CTX_free(c);
    ERR_clear_error();
    return ok;
}

static enum ledger_rc open_context(struct http_server *h, struct ledger_err *err)
{
    struct lws_context_creation_info i;
    memset(&i, 0, sizeof i);
    i.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | (h->o.certificate ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0);
    i.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    i.user = h;
    i.protocols = PROTOCOLS;
    i.fd_limit_per_thread = h->o.connections_max + DESCRIPTORS_OWN;
    i.max_http_header_pool = (unsigned short)h->o.connections_max;
    i.max_http_header_data = HEADERS_MAX;
    i.timeout_secs = h->o.timeout_s;
    i.timeout_secs_ah_idle = h->o.timeout_s;
    i.keepalive_timeout = (int)h->o.timeout_s;
    i.vhost_name = "witness";
    i.server_string = "ledgerctl-witness";
    i.alpn = "http/1.1";
    i.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_RENEGOTIATION;
    if (h->o.certificate) {
        i.ssl_cert_filepath = h->o.certificate;
        i.ssl_private_key_filepath = h->o.key;
    }
    lws_set_log_level(0, NULL); /* It would speak of what strangers send, as often as they like. */
    h->context = lws_create_context(&i);
    if (h->context)
        h->vhost = lws_create_vhost(h->context, &i);
    return h->vhost ? LEDGER_OK : ledger_fail(err, LEDGER_EIO, "libwebsockets cannot be set up");
}

static bool adopt(struct http_server *h, int fd)
{
    lws_sock_file_fd_type what = {.filefd = fd};
    return lws_adopt_descriptor_vhost(h->vhost, LWS_ADOPT_RAW_FILE_DESC, what, PROTOCOLS[0].name, NULL) != NULL;
}

static enum ledger_rc open_all(struct http_server *h, struct ledger_err *err)
{
    if (!h->o.certificate != !h->o.key)
        return ledger_fail(err, LEDGER_EINVAL, "--certificate and --key go together");
    if (h->o.certificate && !certificate_usable(&h->o))
        return ledger_fail(err, LEDGER_EINVAL, "%.80s and %.80s are no certificate and its key, or cannot be read", h->o.certificate,
                           h->o.key);
    enum ledger_rc rc = open_signals(h, err);
    if (!rc)
        rc = open_listener(h, err);
    if (!rc)
        rc = open_context(h, err);
    if (!rc && (!adopt(h, h->listener) || !adopt(h, h->signals)))
        rc = ledger_fail(err, LEDGER_EIO, "libwebsockets does not take the listening socket");
    h->connections = 0; /* these two are none */
    return rc;
}

enum ledger_rc http_open(const struct http_options *o, struct http_server **out, struct ledger_err *err)
{
    struct http_server *h = calloc(1, sizeof *h);
    *out = h;
    if (!h)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    h->o = *o;
    h->listener = h->signals = -1;
    return open_all(h, err);
}

const char *http_address(const struct http_server *h)
{
    return h->address;
}

bool http_serve(struct http_server *h)
{
    while (!h->stop && lws_service(h->context, 0) >= 0)
        ;
    return h->stop;
}

void http_wake(struct http_server *h)
{
    lws_cancel_service(h->context);
}

void http_close(struct http_server *h)
{
    if (!h)
        return;
    bool adopted = h->context != NULL; /* then the library closes them */
    if (h->context)
        lws_context_destroy(h->context);
    if (!adopted && h->listener >= 0)
        close(h->listener);
    if (!adopted && h->signals >= 0)
        close(h->signals);
    free(h);
}
