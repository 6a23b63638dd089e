/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer: from a path to what it is answered with. What a tile's name stands for never changes, so it may be kept for ever; a checkpoint is
 * overtaken soon; a tile that is not there may be there in a moment.
 */
#include <stdio.h>
#include <string.h>

#include "../tiles.h"
#include "internal.h"

#define FOR_EVER "public, max-age=31536000, immutable"
#define FOR_A_MOMENT "public, max-age=2"
#define NOT_AT_ALL "no-store"
#define TEXT "text/plain; charset=utf-8"

static void give_text(struct answer *out, unsigned status, const char *text)
{
    *out = (struct answer){.status = status, .type = TEXT, .cache = NOT_AT_ALL, .body = span_str(text)};
}

/* The reason stays in the log: whoever asks here is told nothing about the inside. */
static void give_error(struct answer *out, const struct ledger_err *err, char fault[240])
{
    if (err->rc == LEDGER_ENOTFOUND) {
        give_text(out, 404, "not found\n");
        return;
    }
    bool later = err->rc == LEDGER_ENOMEM || err->rc == LEDGER_EBUSY;
    give_text(out, later ? 503 : 500, later ? "try again later\n" : "internal error\n");
    snprintf(fault, 240, "%s", err->msg);
    out->fault = fault;
}

static void give(struct answer *out, const char *type, const char *cache, struct span body)
{
    *out = (struct answer){.status = 200, .type = type, .cache = cache, .body = body};
}

static void answer_health(const struct query_env *env, struct arena *a, struct answer *out)
{
    char why[240];
    if (metrics_healthy(env, why)) {
        give_text(out, 200, "ok\n");
        return;
    }
    size_t n = strlen(why);
    char *text = arena_alloc(a, n + 2);
    if (text) {
        memcpy(text, why, n);
        text[n] = '\n';
    }
    give_text(out, 503, text ? text : "not healthy\n");
}

void answer_make(const struct http *h, const char *path, struct arena *a, struct answer *out, char fault[240])
{
    static const struct access NOBODY; /* figures and tiles ask for no rights; there is no content in them */
    const struct query_env env = {
        .store = h->store, .access = &NOBODY, .metrics_cb = h->figures_cb, .metrics_ctx = h->figures_ctx,
        .witnessed = h->witnessed};
    struct ledger_err err = {0};
    struct tile t;
    struct span body = SPAN_NONE;
    enum ledger_rc rc = ledger_fail(&err, LEDGER_ENOTFOUND, "no such path");
    if (strcmp(path, "/healthz") == 0) {
        answer_health(&env, a, out);
        return;
    }
    if (strcmp(path, "/checkpoint") == 0 && (rc = tiles_checkpoint(&env, a, &body, &err)) == LEDGER_OK)
        give(out, TEXT, FOR_A_MOMENT, body);
    else if (strcmp(path, "/metrics") == 0 && h->metrics && (rc = metrics_text(&env, a, &body, &err)) == LEDGER_OK)
        give(out, "text/plain; version=0.0.4; charset=utf-8", NOT_AT_ALL, body);
    else if (path[0] == '/' && tile_path_parse(span_str(path + 1), &t) &&
             (rc = tiles_read(h->store, &t, a, &body, &err)) == LEDGER_OK)
        give(out, "application/octet-stream", FOR_EVER, body);
    if (rc != LEDGER_OK)
        give_error(out, &err, fault);
}
