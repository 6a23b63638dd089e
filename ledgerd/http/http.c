/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: the listening socket, libwebsockets' context on the server's loop, and their end.
 *
 * The socket is ours and connections are handed to the library one by one, so that the limit of connections, the want of descriptors and
 * addresses are dealt with as in the listener beside it.
 *
 * The end. lws_context_destroy closes the library's handles, which the loop has to see; a second one, after the loop, frees the rest.
 */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../address.h"
#include "../log.h"
#include "internal.h"

#define BACKLOG 128
#define DESCRIPTORS_OWN 16 /* the library's own */

static const struct lws_protocols PROTOCOLS[] = {
    {"http", exchange_cb, sizeof(struct exchange), 0, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

/* ---- connections ---- */

static void hand_over(struct http *h, int fd)
{
    int one = 1;
    lws_sock_file_fd_type what = {.sockfd = fd};
    if (atomic_load(&h->counts.connections) >= h->connections_max) {
        atomic_fetch_add(&h->counts.turned_away, 1);
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    atomic_fetch_add(&h->counts.accepted, 1);
    /* The library closes fd when it fails. */
    (void)lws_adopt_descriptor_vhost(h->vhost, LWS_ADOPT_HTTP | LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL, what, NULL, NULL);
}

/* Without a free descriptor a connection can be neither taken nor turned away, and the loop would turn for it without end: the spare one
 * is given up to take and close it. False: there is none to take. */
static bool take_connection(struct http *h)
{
    int fd = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        hand_over(h, fd);
        return true;
    }
    if (errno == EINTR || errno == ECONNABORTED)
        return true;
    if ((errno != EMFILE && errno != ENFILE) || h->spare < 0)
        return false;
    close(h->spare);
    fd = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        close(fd);
    h->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    atomic_fetch_add(&h->counts.turned_away, 1);
    if (http_may_log(h))
        logline(LOG_WARN, "an HTTP connection was turned away: no descriptor is free", NULL);
    return true;
}

static void listener_cb(uv_poll_t *p, int status, int events)
{
    struct http *h = p->data;
    (void)events;
    for (int i = 0; status == 0 && i < BACKLOG && h->listener >= 0 && take_connection(h); i++)
        ;
}

/* ---- opening ---- */

static bool tell_address(struct http *h)
{
    struct sockaddr_storage bound;
    socklen_t n = sizeof bound;
    return getsockname(h->listener, (struct sockaddr *)&bound, &n) == 0 && address_format(&bound, h->address, sizeof h->address);
}

static enum ledger_rc open_listener(struct http *h, const struct config *k, struct ledger_err *err)
{
    char host[CONFIG_ADDRESS_MAX];
    uint16_t port;
    struct sockaddr_storage address;
    int one = 1;
    enum ledger_rc rc = config_address(k->http_listen, host, &port, err);
    if (rc != LEDGER_OK)
        return ledger_wrap(err, rc, "[http] listen");
    socklen_t n = address_parse(host, port, &address);
    if (!n)
        return ledger_fail(err, LEDGER_EINVAL, "[http] listen: \"%.100s\" is no IP address", host);
    if (!h->certificate[0] && !k->http_plain && !address_is_loopback(&address))
        return ledger_fail(err, LEDGER_EINVAL, "[http] listen: beyond loopback addresses it takes certificate and key, or plain = yes");
    h->listener = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (h->listener < 0 || setsockopt(h->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(h->listener, (const struct sockaddr *)&address, n) != 0 || listen(h->listener, BACKLOG) != 0 || !tell_address(h))
        return ledger_fail(err, LEDGER_EIO, "[http] listen on %.100s: %s", k->http_listen, strerror(errno));
    return LEDGER_OK;
}

/* The library speaks while it is set up. Afterwards it would speak of what strangers send, as often as they like. */
#define SPEAK (LLL_ERR | LLL_WARN)
#define SILENT 0

static void say(int level, const char *line)
{
    size_t n = strlen(line);
    logline(level == LLL_ERR ? LOG_ERROR : LOG_WARN, "HTTP", "text=%.*s", (int)(n && line[n - 1] == '\n' ? n - 1 : n), line);
}

/* The library would take a certificate into use and only then find that the key is another one's. */
static bool certificate_usable(const struct http *h)
{
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    bool ok = c && SSL_CTX_use_certificate_chain_file(c, h->certificate) == 1 &&
              SSL_CTX_use_PrivateKey_file(c, h->key, SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(c) == 1;
    SSL_CTX_free(c);
    ERR_clear_error();
    return ok;
}

static enum ledger_rc open_context(struct http *h, struct ledger_err *err)
{
    void *loops[1] = {h->loop};
    struct lws_context_creation_info i;
    memset(&i, 0, sizeof i);
    i.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_UV_NO_SIGSEGV_SIGFPE_SPIN |
                (h->certificate[0] ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0);
    i.foreign_loops = loops;
    i.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    i.user = h;
    i.protocols = PROTOCOLS;
    i.fd_limit_per_thread = h->connections_max + DESCRIPTORS_OWN;
    i.max_http_header_pool = (unsigned short)h->connections_max;
    i.max_http_header_data = HTTP_HEADERS_MAX;
    i.timeout_secs = h->timeout_s;
    i.timeout_secs_ah_idle = h->timeout_s;
    i.keepalive_timeout = (int)h->timeout_s;
    i.vhost_name = "ledgerd";
    i.server_string = "ledgerd";
    i.alpn = "http/1.1";
    i.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_RENEGOTIATION;
    if (h->certificate[0]) {
        i.ssl_cert_filepath = h->certificate;
        i.ssl_private_key_filepath = h->key;
    }
    lws_set_log_level(SPEAK, say);
    h->context = lws_create_context(&i);
    if (!h->context)
        return ledger_fail(err, LEDGER_EIO, "HTTP: libwebsockets does not start; is its event library for libuv installed?");
    h->vhost = lws_create_vhost(h->context, &i);
    lws_set_log_level(SILENT, say);
    return h->vhost ? LEDGER_OK : ledger_fail(err, LEDGER_EIO, "HTTP: libwebsockets cannot be set up; the log says why");
}

/* Relative names are relative to the data folder. */
static bool place(char *out, size_t max, const char *dir, const char *name)
{
    int n = !*name ? 0 : *name == '/' ? snprintf(out, max, "%s", name) : snprintf(out, max, "%s/%s", dir, name);
    return n >= 0 && (size_t)n < max;
}

static enum ledger_rc open_all(struct http *h, const struct http_options *o, struct ledger_err *err)
{
    const struct config *k = o->config;
    if (!k->http_certificate[0] != !k->http_key[0])
        return ledger_fail(err, LEDGER_EINVAL, "[http] certificate and key go together");
    if (k->http_certificate[0] && k->http_plain)
        return ledger_fail(err, LEDGER_EINVAL, "[http] plain = yes and a certificate exclude each other");
    if (!place(h->certificate, sizeof h->certificate, o->dir, k->http_certificate) ||
        !place(h->key, sizeof h->key, o->dir, k->http_key))
        return ledger_fail(err, LEDGER_EINVAL, "[http] certificate, key: the path is too long");
    if (h->certificate[0] && !certificate_usable(h))
        return ledger_fail(err, LEDGER_EINVAL, "[http] %.80s and %.80s are no certificate and its key, or cannot be read", h->certificate,
                           h->key);
    enum ledger_rc rc = open_listener(h, k, err);
    if (rc == LEDGER_OK)
        rc = open_context(h, err);
    if (rc != LEDGER_OK)
        return rc;
    h->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int e = uv_poll_init(h->loop, &h->poll, h->listener);
    h->poll.data = e ? NULL : h;
    if (!e)
        e = uv_poll_start(&h->poll, UV_READABLE, listener_cb);
    return e ? ledger_fail(err, LEDGER_EIO, "event loop: %s", uv_strerror(e)) : LEDGER_OK;
}

enum ledger_rc http_open(const struct http_options *o, struct http **out, struct ledger_err *err)
{
    struct http *h = calloc(1, sizeof *h);
    *out = h; /* also when it fails: what was begun has to be closed on the loop */
    if (!h)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    h->magic = HTTP_MAGIC;
    h->loop = o->loop;
    h->store = o->store;
    h->witnessed = o->witnessed;
    h->figures_cb = o->figures_cb;
    h->figures_ctx = o->figures_ctx;
    h->metrics = o->config->http_metrics;
    h->connections_max = o->config->http_connections_max;
    h->timeout_s = (o->config->http_timeout_ms + 999) / 1000;
    h->listener = h->spare = -1;
    h->last = &h->first;
    return open_all(h, o, err);
}

const char *http_address(const struct http *h)
{
    return h->address;
}

void http_reload(struct http *h)
{
    if (!h || !h->certificate[0])
        return;
    lws_set_log_level(SPEAK, say);
    if (!certificate_usable(h) || lws_tls_cert_updated(h->context, h->certificate, h->key, NULL, 0, NULL, 0) != 0)
        logline(LOG_ERROR, "the HTTP certificate was not read again", "certificate=%s", h->certificate);
    lws_set_log_level(SILENT, say);
}

/* ---- the end ---- */

void http_refuse(struct http *h)
{
    if (!h || h->listener < 0)
        return;
    if (h->poll.data && !uv_is_closing((uv_handle_t *)&h->poll))
        uv_close((uv_handle_t *)&h->poll, NULL);
    close(h->listener);
    h->listener = -1;
}

void http_close(struct http *h)
{
    http_refuse(h);
    if (!h || h->closing)
        return;
    h->closing = true;
    if (h->context)
        lws_context_destroy(h->context);
}

void http_free(struct http *h)
{
    if (!h)
        return;
    LEDGER_REQUIRE(h->magic == HTTP_MAGIC && h->works == 0);
    if (h->context)
        lws_context_destroy(h->context);
    for (struct task *t = h->first, *next; t; t = next) { /* given up: their connections are gone */
        next = t->next;
        free(t);
    }
    if (h->spare >= 0)
        close(h->spare);
    free(h);
}

void http_figures(const struct http *h, void (*put)(void *sink, const char *name, double value, const char *text), void *sink)
{
    const struct http_counts *n = &h->counts;
    const struct {
        const char *name;
        const _Atomic uint64_t *value;
    } ALL[] = {
        {"http_connections", &n->connections}, {"http_connections_accepted", &n->accepted},
        {"http_connections_turned_away", &n->turned_away}, {"http_requests", &n->requests},
        {"http_not_found", &n->not_found}, {"http_refused", &n->refused},
        {"http_failed", &n->failed}, {"http_sent_bytes", &n->sent},
    };
    for (size_t i = 0; i < sizeof ALL / sizeof ALL[0]; i++)
        put(sink, ALL[i].name, (double)atomic_load(ALL[i].value), NULL);
}
