/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener: binding the address and letting connections in.
 *
 * Beyond connections_max a connection is taken and closed at once: one that is not taken would wait in the kernel without knowing
 * why, and libuv stops polling for new ones until it is taken. For the same reason one for which there was no memory is tried again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../address.h"
#include "../log.h"
#include "internal.h"

#define BACKLOG 511
#define DESCRIPTORS_SPARE 64 /* store, logs, threads' pipes */

static bool write_address(struct server *s)
{
    struct sockaddr_storage bound;
    int n = sizeof bound;
    return uv_tcp_getsockname(&s->listener, (struct sockaddr *)&bound, &n) == 0 && address_format(&bound, s->address, sizeof s->address);
}

/* As many descriptors as the system allows; if these are too few, fewer connections. */
static void fit_descriptors(struct server *s)
{
    struct rlimit limit;
    rlim_t spare = DESCRIPTORS_SPARE + (s->config.http_listen[0] ? s->config.http_connections_max : 0);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t soft = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = soft;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= (rlim_t)s->config.connections_max + spare)
        return;
    s->config.connections_max = limit.rlim_cur > 2 * spare ? (uint32_t)(limit.rlim_cur - spare) : DESCRIPTORS_SPARE;
    logline(LOG_WARN, "fewer connections than configured: the limit of open files is too low",
            "connections_max=%u open_files=%llu", s->config.connections_max, (unsigned long long)limit.rlim_cur);
}

static void refused_closed_cb(uv_handle_t *h)
{
    free(h);
}

static bool turn_away(struct server *s)
{
    uv_tcp_t *h = malloc(sizeof *h);
    if (!h || uv_tcp_init(&s->loop, h) != 0) {
        free(h);
        return false;
    }
    (void)!uv_accept((uv_stream_t *)&s->listener, (uv_stream_t *)h);
    uv_close((uv_handle_t *)h, refused_closed_cb);
    atomic_fetch_add(&s->figures.turned_away, 1);
    if (server_may_log(s))
        logline(LOG_WARN, "connection turned away: too many", "connections=%zu", s->connections_n);
    return true;
}

static void take_connection(struct server *s)
{
    bool taken;
    if (s->connections_n >= s->config.connections_max) {
        taken = turn_away(s);
    } else {
        reload_if_changed(s);
        taken = connection_accept(s);
    }
    s->accept_waits = !taken;
    if (!taken && server_may_log(s))
        logline(LOG_ERROR, "a connection could not be accepted", "reason=%s", "out of memory");
}

void listener_retry(struct server *s)
{
    if (s->accept_waits && s->phase == SERVER_SERVING)
        take_connection(s);
}

static void connection_cb(uv_stream_t *h, int status)
{
    struct server *s = h->data;
    if (status < 0) {
        if (server_may_log(s))
            logline(LOG_WARN, "a connection could not be accepted", "reason=%s", uv_strerror(status));
        return;
    }
    take_connection(s);
}

enum ledger_rc listener_open(struct server *s, struct ledger_err *err)
{
    char host[CONFIG_ADDRESS_MAX];
    uint16_t port;
    struct sockaddr_storage address;
    enum ledger_rc rc = config_address(s->config.listen, host, &port, err);
    if (rc != LEDGER_OK)
        return rc;
    if (!address_parse(host, port, &address))
        return ledger_fail(err, LEDGER_EINVAL, "listen: \"%.100s\" is no IP address", host);
    if (s->config.plain && !address_is_loopback(&address))
        return ledger_fail(err, LEDGER_EINVAL,
                           "listen: connections without TLS are for loopback addresses only, not for %.100s", host);
    fit_descriptors(s);
    int e = uv_tcp_init(&s->loop, &s->listener);
    s->listener.data = s;
    if (!e)
        e = uv_tcp_bind(&s->listener, (const struct sockaddr *)&address, 0);
    if (!e)
        e = uv_listen((uv_stream_t *)&s->listener, BACKLOG, connection_cb);
    if (e || !write_address(s))
        return ledger_fail(err, LEDGER_EIO, "listen on %.100s: %s", s->config.listen,
                           e ? uv_strerror(e) : "the address cannot be told");
    return LEDGER_OK;
}
