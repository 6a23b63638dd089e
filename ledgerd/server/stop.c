/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stop: ending in order. SERVING → STOPPING: nobody new is let in, streams are ended, submits are answered SHUTTING_DOWN, and
 * connections close as soon as nothing of theirs is in the pipeline → PIPELINE_STOPPED: everything it had taken is answered and it
 * has written its last seal → HANDLES_CLOSED: all connections are gone, or their time to fetch answers is over → the loop ends.
 *
 * A second signal gives up on connections at once, never on the pipeline.
 */
#include <systemd/sd-daemon.h>

#include "../log.h"
#include "internal.h"

/* A connection without submissions has nothing to wait for but its pending bytes. */
static void wind_down(struct connection *c)
{
    stream_end_all(c, ERROR_SHUTTING_DOWN, "the server is shutting down");
    if (c->state == CONNECTION_OPENING)
        connection_drop(c, NULL);
    else if (c->state == CONNECTION_OPEN && c->submissions_n == 0 && !c->working)
        connection_finish(c);
}

void server_begin_stop(struct server *s, const char *why)
{
    if (s->phase != SERVER_SERVING) {
        s->drain_until_ms = 0;
        server_progress_stop(s);
        return;
    }
    logline(LOG_INFO, "shutting down", "reason=%s connections=%zu jobs=%zu", why, s->connections_n, s->jobs);
    (void)sd_notify(0, "STOPPING=1");
    s->phase = SERVER_STOPPING;
    s->drain_until_ms = server_now(s) + s->config.drain_ms;
    uv_close((uv_handle_t *)&s->listener, NULL);
    http_refuse(s->http);
    server_progress_stop(s);
}

static void close_handles(struct server *s)
{
    http_close(s->http);
    uv_close((uv_handle_t *)&s->wake, NULL);
    uv_close((uv_handle_t *)&s->sweep, NULL);
    uv_close((uv_handle_t *)&s->prepare, NULL);
    uv_close((uv_handle_t *)&s->check, NULL);
    for (size_t i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
    s->phase = SERVER_HANDLES_CLOSED;
}

void server_progress_stop(struct server *s)
{
    bool late = server_now(s) >= s->drain_until_ms;
    if (s->phase == SERVER_HANDLES_CLOSED)
        return;
    for (struct connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        if (late && (s->phase == SERVER_PIPELINE_STOPPED || c->submissions_n == 0))
            connection_drop(c, "it did not fetch its last answers in time");
        else
            wind_down(c);
    }
    if (s->phase == SERVER_STOPPING && s->jobs == 0 && s->works == 0) {
        /* Waits for threads that have nothing left to do but the last seal. Its callback may still come: the handle is open. */
        pipeline_stop(s->pipeline);
        witness_stop(s->witness);
        s->phase = SERVER_PIPELINE_STOPPED;
    }
    if (s->phase == SERVER_PIPELINE_STOPPED && !s->connections && s->works == 0)
        close_handles(s);
}
