/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_status: the figures that somebody who runs the ledger watches. The store's own come first,
 * then those that the server adds (connections, queues, certificates). Names are stable; units are
 * in the name.
 */
#include <time.h>

#include "query_internal.h"

struct sink {
    struct arena *a;
    struct plist list;
    bool failed; /* sticky; looked at once at the end */
};

static void put_metric(void *ctx, const char *name, double value, const char *text)
{
    struct sink *s = ctx;
    Ledgerd__V1__Metric *m = arena_alloc(s->a, sizeof *m);
    char *copy = arena_strdup(s->a, span_str(name));
    char *words = text ? arena_strdup(s->a, span_str(text)) : NULL;
    if (!m || !copy || (text && !words)) {
        s->failed = true;
        return;
    }
    ledgerd__v1__metric__init(m);
    m->name = copy;
    m->value = value;
    if (words)
        m->text = words;
    s->failed = !plist_push(&s->list, s->a, m) || s->failed;
}

static void put_ledger(struct query *q, figure_put *put, void *s)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double sealed_s = (double)q->m.recorded_us / 1e6;
    put(s, "origin", 0, q->m.origin);
    put(s, "entries", (double)q->m.size, NULL);
    put(s, "chains", (double)q->m.chains, NULL);
    put(s, "epoch", (double)q->m.epoch, NULL);
    put(s, "parties", (double)q->m.registry.parties, NULL);
    put(s, "administrators", (double)q->m.registry.admins, NULL);
    put(s, "seal_time_seconds", sealed_s, NULL);
    put(s, "checkpoint_age_seconds", (double)now.tv_sec + (double)now.tv_nsec / 1e9 - sealed_s,
        NULL);
    put(s, "heartbeat_seconds", (double)q->m.heartbeat_s, NULL);
}

static void put_store(struct query *q, figure_put *put, void *s)
{
    struct store_size size = {0};
    store_size(q->env.store, &size);
    put(s, "data_file_bytes", (double)size.file_bytes, NULL);
    put(s, "data_used_bytes", (double)size.used_bytes, NULL);
    put(s, "disk_free_bytes", (double)size.free_disk_bytes, NULL);
}

void status_figures(struct query *q, figure_put *put, void *s)
{
    put_ledger(q, put, s);
    put_store(q, put, s);
    if (q->env.metrics_cb)
        q->env.metrics_cb(q->env.metrics_ctx, put, s);
}

enum ledger_rc next_status(struct query *q, struct reply *r, struct ledger_err *err)
{
    struct sink s = {.a = r->a};
    Ledgerd__V1__StatusResponse *out = arena_alloc(r->a, sizeof *out);
    if (!out)
        return no_room(err);
    ledgerd__v1__status_response__init(out);
    status_figures(q, put_metric, &s);
    if (s.failed)
        return no_room(err);
    out->n_metrics = s.list.n;
    out->metrics = (Ledgerd__V1__Metric **)s.list.p;
    r->msg->answer_case = LEDGERD__V1__RESPONSE__ANSWER_STATUS;
    r->msg->status = out;
    return LEDGER_OK;
}
