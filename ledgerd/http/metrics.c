/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: the figures of StatusRequest in the Prometheus text format, version 0.0.4. A figure becomes ledgerd_NAME; what only ever grows
 * while the daemon runs is a counter and gets the customary _total; a figure with words carries them in the label `text`.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../tiles.h"
#include "internal.h"

static bool only_grows(const char *name)
{
    static const char *const COUNTERS[] = {
        "connections_accepted", "connections_turned_away", "handshakes_failed", "timeouts", "requests", "errors", "busy",
        "received_bytes", "sent_bytes", "events_accepted", "events_refused", "batches", "seals", "signatures_checked",
        "http_connections_accepted", "http_connections_turned_away", "http_requests", "http_not_found", "http_refused",
        "http_failed", "http_sent_bytes", "time_stamps", "time_stamp_failures", "witness_failures",
        "compactions", "scrub_entries", "scrub_chains", "scrub_passes",
    };
    for (size_t i = 0; i < sizeof COUNTERS / sizeof COUNTERS[0]; i++)
        if (strcmp(COUNTERS[i], name) == 0)
            return true;
    return false;
}

struct sink {
    struct wbuf w;
    char before[64]; /* the name of the figure before: several of one name share a TYPE line */
};

static void put_text(struct wbuf *w, const char *text)
{
    wbuf_bytes(w, text, strlen(text));
}

/* Label values escape these three. */
static void put_label(struct wbuf *w, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '\n')
            put_text(w, "\\n");
        else if (*c == '"' || *c == '\\')
            wbuf_u8(w, '\\');
        if (*c != '\n')
            wbuf_u8(w, (uint8_t)*c);
    }
}

static void put_figure(void *ctx, const char *name, double value, const char *text)
{
    struct sink *s = ctx;
    char number[64];
    const char *end = only_grows(name) ? "_total" : "";
    bool whole = fabs(value) < 9e15 && floor(value) >= value;
    snprintf(number, sizeof number, whole ? "%.0f\n" : "%.15g\n", value);
    if (strcmp(s->before, name) != 0) {
        put_text(&s->w, "# TYPE ledgerd_");
        put_text(&s->w, name);
        put_text(&s->w, end);
        put_text(&s->w, *end ? " counter\n" : " gauge\n");
        snprintf(s->before, sizeof s->before, "%s", name);
    }
    put_text(&s->w, "ledgerd_");
    put_text(&s->w, name);
    put_text(&s->w, end);
    if (text) {
        put_text(&s->w, "{text=\"");
        put_label(&s->w, text);
        put_text(&s->w, "\"}");
    }
    wbuf_u8(&s->w, ' ');
    put_text(&s->w, number);
}

enum ledger_rc metrics_text(const struct query_env *env, struct arena *a, struct span *out, struct ledger_err *err)
{
    struct sink s = {.before = ""};
    wbuf_init(&s.w, a);
    enum ledger_rc rc = tiles_figures(env, put_figure, &s, err);
    if (rc != LEDGER_OK)
        return rc;
    *out = wbuf_span(&s.w);
    return out->p ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

struct health {
    bool writable;
    char *why;
};

static void put_health(void *ctx, const char *name, double value, const char *text)
{
    struct health *h = ctx;
    if (strcmp(name, "writable") != 0)
        return;
    h->writable = value > 0;
    if (!h->writable)
        snprintf(h->why, 240, "not writable: %s", text ? text : "no reason given");
}

bool metrics_healthy(const struct query_env *env, char *why)
{
    struct health h = {.why = why};
    struct ledger_err err = {0};
    snprintf(why, 240, "the store cannot be read");
    return tiles_figures(env, put_health, &h, &err) == LEDGER_OK && h.writable;
}
