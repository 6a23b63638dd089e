/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_query: the public functions that answer with JSON or with bytes (include/ledgerd/client.h). One table-free path: a request is
 * made from the arguments, and a function renders the reply; the blocking and the asynchronous form share both.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain_json.h"
#include "client.h"
#include "message.h"

#define JSON_BYTES_MAX ((size_t)1 << 30)
#define RECEIPT_BYTES_MAX (1024u * 1024u)

/* Renders a good reply. */
typedef void (*render_fn)(struct json_writer *w, struct arena *a, const struct reply *r);

/* ---- rendering ---- */

static void put_checkpoint(struct json_writer *w, const struct reply *r)
{
    const struct snapshot *s = &r->snapshot;
    if (!r->has_checkpoint)
        return;
    json_name(w, SPAN_LIT("checkpoint"));
    json_object(w);
    json_put_string(w, "origin", s->cp.origin);
    json_put_uint(w, "size", s->cp.size);
    json_put_hex(w, "root", span_of(s->cp.root.b, HASH_LEN));
    if (r->has_seal) {
        json_put_time(w, "sealed", s->seal.recorded_us);
        json_put_bool(w, "stale", r->stale);
    }
    json_put_bool(w, "auditors", s->trust.auditors_signed);
    json_put_string(w, "note", s->note);
    if (r->has_seal)
        witnessed_json(w, r);
    json_end(w);
}

static void render_query(struct json_writer *w, struct arena *a, const struct reply *r)
{
    json_object(w);
    put_checkpoint(w, r);
    json_name(w, SPAN_LIT("chains"));
    json_array(w);
    for (size_t i = 0; i < r->u.prove.n; i++) {
        const struct proven_subject *s = &r->u.prove.subjects[i];
        struct proven_chain pc;
        subject_open(s, &pc);
        json_object(w);
        json_name(w, SPAN_LIT("chain"));
        chain_json(w, &pc);
        if (s->n_history) {
            json_name(w, SPAN_LIT("history"));
            json_array(w);
            for (size_t k = 0; k < s->n_history; k++)
                entry_json(w, a, &s->history[k]);
            json_end(w);
        }
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

static void render_find(struct json_writer *w, struct arena *a, const struct reply *r)
{
    (void)a;
    json_object(w);
    put_checkpoint(w, r);
    json_put_bool(w, "proven", false);
    json_put_bool(w, "truncated", r->u.find.truncated);
    json_name(w, SPAN_LIT("ids"));
    json_array(w);
    for (size_t i = 0; i < r->u.find.n; i++)
        json_string(w, r->u.find.ids[i]);
    json_end(w);
    json_end(w);
}

static void put_figure(struct json_writer *w, const struct status_metric *m)
{
    char name[256];
    bool of_witness = status_of_witness(m);
    snprintf(name, sizeof name, of_witness ? "%s:%s" : "%s", m->name, m->text);
    json_name(w, span_str(name));
    if (m->text[0] && !of_witness)
        json_string(w, span_str(m->text));
    else
        json_double(w, m->value);
}

/* Of a figure that stands once for each certificate the words are the name: they are an object of their own. */
static void render_status(struct json_writer *w, struct arena *a, const struct reply *r)
{
    (void)a;
    json_object(w);
    json_put_bool(w, "proven", false);
    json_name(w, SPAN_LIT("metrics"));
    json_object(w);
    for (size_t i = 0; i < r->u.status.n; i++) {
        const struct status_metric *m = &r->u.status.metrics[i];
        if (strcmp(m->name, STATUS_EXPIRY) != 0)
            put_figure(w, m);
    }
    json_end(w);
    json_name(w, SPAN_LIT(STATUS_EXPIRY));
    json_object(w);
    for (size_t i = 0; i < r->u.status.n; i++) {
        const struct status_metric *m = &r->u.status.metrics[i];
        if (strcmp(m->name, STATUS_EXPIRY) != 0)
            continue;
        json_name(w, span_str(m->text));
        json_double(w, m->value);
    }
    json_end(w);
    json_end(w);
}

static void render_receipt(struct json_writer *w, struct arena *a, const struct reply *r)
{
    json_object(w);
    put_checkpoint(w, r);
    json_name(w, SPAN_LIT("entry"));
    entry_json(w, a, &r->u.receipt.receipt.entry);
    json_put_uint(w, "signatures_checked", r->u.receipt.receipt.signatures_checked);
    json_end(w);
}

static enum ledger_rc render(render_fn fn, const struct reply *r, char **json, struct ledger_err *err)
{
    struct arena *a = arena_new(JSON_BYTES_MAX);
    struct json_writer w;
    *json = NULL;
    if (a) {
        json_writer_init(&w, a, true);
        fn(&w, a, r);
        struct span text = json_written(&w);
        *json = text.p ? malloc(text.n + 1) : NULL;
        if (*json) {
            memcpy(*json, text.p, text.n);
            (*json)[text.n] = 0;
        }
    }
    arena_free(a);
    return *json ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

/* ---- both forms ---- */

static enum ledger_rc ask_text(struct ledger_client *c, const struct call_request *rq, unsigned timeout_ms, render_fn fn,
                               char **json, struct ledger_err *err)
{
    struct reply *r;
    *json = NULL;
    enum ledger_rc rc = client_call(c, rq, timeout_ms, &r, err);
    if (rc == LEDGER_OK)
        rc = render(fn, r, json, err);
    reply_free(r);
    return rc;
}

struct text_target {
    ledger_text_cb cb;
    void *user;
    render_fn fn;
};

static void on_text(void *user, struct reply *r)
{
    struct text_target t = *(struct text_target *)user;
    char *json = NULL;
    struct ledger_err err = r->err;
    enum ledger_rc rc = r->rc;
    free(user);
    if (rc == LEDGER_OK)
        rc = render(t.fn, r, &json, &err);
    reply_free(r);
    t.cb(t.user, rc, &err, json);
}

static enum ledger_rc start_text(struct ledger_client *c, const struct call_request *rq, unsigned timeout_ms,
                                 const struct text_target *target, struct ledger_err *err)
{
    struct text_target *t = malloc(sizeof *t);
    if (!t)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    *t = *target;
    enum ledger_rc rc = client_start(c, rq, timeout_ms, on_text, t, err);
    if (rc != LEDGER_OK)
        free(t);
    return rc;
}

/* ---- query ---- */

static enum ledger_rc chain_type_of(const char *name, enum chain_type *out, struct ledger_err *err)
{
    for (int t = CHAIN_ITEM; t <= CHAIN_LEDGER; t++) {
        *out = (enum chain_type)t;
        if (strcmp(chain_type_name(*out), name) == 0)
            return LEDGER_OK;
    }
    return ledger_fail(err, LEDGER_EINVAL,
                       "no such type: \"%.40s\"; there are item, party, subject, shipment, case, product, ledger", name);
}

static enum ledger_rc query_request(const char *type, const char *id, unsigned flags, struct chain_name *name,
                                    struct call_request *rq, struct ledger_err *err)
{
    unsigned both = LEDGER_WITH_ANCESTORS | LEDGER_WITH_DESCENDANTS;
    if ((flags & both) == both)
        return ledger_fail(err, LEDGER_EINVAL, "ancestors and descendants are two questions");
    enum ledger_rc rc = chain_type_of(type, &name->type, err);
    if (rc != LEDGER_OK)
        return rc;
    name->id = span_str(id);
    *rq = (struct call_request){.op = CALL_PROVE, .fresh = (flags & LEDGER_FRESH) != 0};
    rq->u.prove = (struct prove_request){
        .chains = name, .n = 1,
        .closure = flags & LEDGER_WITH_ANCESTORS ? CLOSE_BACK : flags & LEDGER_WITH_DESCENDANTS ? CLOSE_FORWARD : CLOSE_NONE,
        .members = (flags & LEDGER_WITH_MEMBERS) != 0,
        .history = (flags & LEDGER_WITH_HISTORY) != 0,
        .related = (flags & LEDGER_WITH_RELATED) != 0,
    };
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_query(struct ledger_client *c, const char *type, const char *id, unsigned flags,
                                       unsigned timeout_ms, char **json, struct ledger_err *err)
{
    struct chain_name name;
    struct call_request rq;
    *json = NULL;
    enum ledger_rc rc = query_request(type, id, flags, &name, &rq, err);
    return rc == LEDGER_OK ? ask_text(c, &rq, timeout_ms, render_query, json, err) : rc;
}

LEDGER_API enum ledger_rc ledger_query_start(struct ledger_client *c, const char *type, const char *id, unsigned flags,
                                             unsigned timeout_ms, ledger_text_cb cb, void *user, struct ledger_err *err)
{
    struct chain_name name;
    struct call_request rq;
    struct text_target t = {cb, user, render_query};
    enum ledger_rc rc = query_request(type, id, flags, &name, &rq, err);
    return rc == LEDGER_OK ? start_text(c, &rq, timeout_ms, &t, err) : rc;
}

/* ---- find, status ---- */

static enum ledger_rc find_request_of(const char *type, const char *prefix, const char *after, unsigned limit,
                                      struct call_request *rq, struct ledger_err *err)
{
    *rq = (struct call_request){.op = CALL_FIND};
    rq->u.find.id_prefix = span_str(prefix);
    rq->u.find.after = span_str(after);
    rq->u.find.limit = limit;
    return chain_type_of(type, &rq->u.find.type, err);
}

LEDGER_API enum ledger_rc ledger_find(struct ledger_client *c, const char *type, const char *prefix, const char *after,
                                      unsigned limit, unsigned timeout_ms, char **json, struct ledger_err *err)
{
    struct call_request rq;
    *json = NULL;
    enum ledger_rc rc = find_request_of(type, prefix, after, limit, &rq, err);
    return rc == LEDGER_OK ? ask_text(c, &rq, timeout_ms, render_find, json, err) : rc;
}

LEDGER_API enum ledger_rc ledger_find_start(struct ledger_client *c, const char *type, const char *prefix, const char *after,
                                            unsigned limit, unsigned timeout_ms, ledger_text_cb cb, void *user,
                                            struct ledger_err *err)
{
    struct call_request rq;
    struct text_target t = {cb, user, render_find};
    enum ledger_rc rc = find_request_of(type, prefix, after, limit, &rq, err);
    return rc == LEDGER_OK ? start_text(c, &rq, timeout_ms, &t, err) : rc;
}

LEDGER_API enum ledger_rc ledger_status(struct ledger_client *c, unsigned timeout_ms, char **json, struct ledger_err *err)
{
    struct call_request rq = {.op = CALL_STATUS};
    return ask_text(c, &rq, timeout_ms, render_status, json, err);
}

LEDGER_API enum ledger_rc ledger_status_start(struct ledger_client *c, unsigned timeout_ms, ledger_text_cb cb, void *user,
                                              struct ledger_err *err)
{
    struct call_request rq = {.op = CALL_STATUS};
    struct text_target t = {cb, user, render_status};
    return start_text(c, &rq, timeout_ms, &t, err);
}

/* ---- receipts ---- */

static enum ledger_rc copy_file(const struct reply *r, uint8_t **bytes, size_t *n, struct ledger_err *err)
{
    struct span file = r->u.receipt.file;
    *bytes = malloc(file.n);
    if (!*bytes)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    memcpy(*bytes, file.p, file.n);
    *n = file.n;
    return LEDGER_OK;
}

static struct call_request receipt_request_of(const uint8_t event_id[32], bool witnessed)
{
    struct call_request rq = {.op = CALL_RECEIPT, .u.receipt.witnessed = witnessed};
    memcpy(rq.u.receipt.event_id.b, event_id, HASH_LEN);
    return rq;
}

static enum ledger_rc ask_receipt(struct ledger_client *c, const struct call_request *rq, unsigned timeout_ms, uint8_t **bytes,
                                  size_t *n, struct ledger_err *err)
{
    struct reply *r;
    *bytes = NULL;
    *n = 0;
    enum ledger_rc rc = client_call(c, rq, timeout_ms, &r, err);
    if (rc == LEDGER_OK)
        rc = copy_file(r, bytes, n, err);
    reply_free(r);
    return rc;
}

LEDGER_API enum ledger_rc ledger_receipt(struct ledger_client *c, const uint8_t event_id[32], unsigned timeout_ms,
                                         uint8_t **bytes, size_t *n, struct ledger_err *err)
{
    struct call_request rq = receipt_request_of(event_id, false);
    return ask_receipt(c, &rq, timeout_ms, bytes, n, err);
}

LEDGER_API enum ledger_rc ledger_receipt_witnessed(struct ledger_client *c, const uint8_t event_id[32], unsigned timeout_ms,
                                                   uint8_t **bytes, size_t *n, struct ledger_err *err)
{
    struct call_request rq = receipt_request_of(event_id, true);
    return ask_receipt(c, &rq, timeout_ms, bytes, n, err);
}

struct bytes_target {
    ledger_bytes_cb cb;
    void *user;
};

static void on_receipt(void *user, struct reply *r)
{
    struct bytes_target t = *(struct bytes_target *)user;
    struct ledger_err err = r->err;
    enum ledger_rc rc = r->rc;
    uint8_t *bytes = NULL;
    size_t n = 0;
    free(user);
    if (rc == LEDGER_OK)
        rc = copy_file(r, &bytes, &n, &err);
    reply_free(r);
    t.cb(t.user, rc, &err, bytes, n);
}

static enum ledger_rc start_receipt(struct ledger_client *c, const struct call_request *rq, unsigned timeout_ms,
                                    const struct bytes_target *target, struct ledger_err *err)
{
    struct bytes_target *t = malloc(sizeof *t);
    if (!t)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    *t = *target;
    enum ledger_rc rc = client_start(c, rq, timeout_ms, on_receipt, t, err);
    if (rc != LEDGER_OK)
        free(t);
    return rc;
}

LEDGER_API enum ledger_rc ledger_receipt_start(struct ledger_client *c, const uint8_t event_id[32], unsigned timeout_ms,
                                               ledger_bytes_cb cb, void *user, struct ledger_err *err)
{
    struct call_request rq = receipt_request_of(event_id, false);
    struct bytes_target t = {cb, user};
    return start_receipt(c, &rq, timeout_ms, &t, err);
}

LEDGER_API enum ledger_rc ledger_receipt_witnessed_start(struct ledger_client *c, const uint8_t event_id[32], unsigned timeout_ms,
                                                         ledger_bytes_cb cb, void *user, struct ledger_err *err)
{
    struct call_request rq = receipt_request_of(event_id, true);
    struct bytes_target t = {cb, user};
    return start_receipt(c, &rq, timeout_ms, &t, err);
}

static enum ledger_rc rc_of_verdict(const struct verdict *v, struct ledger_err *err)
{
    return ledger_fail(err, verdict_rc(v->kind, LEDGER_EINVAL), "%s: %s", v->what, v->text);
}

static enum ledger_rc verify_file(const struct ledger_profile *p, struct crypto *c, struct span file, struct reply *r,
                                  struct ledger_err *err)
{
    struct verifier vf = {.c = c, .a = r->a, .policy = p->policy, .index_key = p->index_key, .origin = p->origin};
    enum ledger_rc rc = receipt_file_decode(c, r->a, file, &r->u.receipt.claim, err);
    if (rc != LEDGER_OK)
        return rc;
    if (!verify_receipt(&vf, &r->u.receipt.claim, &r->u.receipt.receipt, &r->verdict))
        return rc_of_verdict(&r->verdict, err);
    r->snapshot = r->u.receipt.receipt.snapshot;
    r->has_checkpoint = r->has_seal = true;
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_receipt_verify(const struct ledger_profile *p, const uint8_t *bytes, size_t n, char **json,
                                                struct ledger_err *err)
{
    struct reply r = {.a = arena_new(64 * RECEIPT_BYTES_MAX)};
    struct crypto *c = crypto_new();
    enum ledger_rc rc = LEDGER_OK;
    if (json)
        *json = NULL;
    if (!r.a || !c)
        rc = ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    else if (n > RECEIPT_BYTES_MAX)
        rc = ledger_fail(err, LEDGER_ELIMIT, "a receipt has at most %u bytes", RECEIPT_BYTES_MAX);
    else
        rc = verify_file(p, c, span_of(bytes, n), &r, err);
    if (rc == LEDGER_OK && json)
        rc = render(render_receipt, &r, json, err);
    crypto_free(c);
    arena_free(r.a);
    return rc;
}
