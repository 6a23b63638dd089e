/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_submit: the public functions that connect and submit (include/ledgerd/client.h), over client_start and client_call.
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"

LEDGER_API const char *ledger_error_text(enum ledger_rc rc)
{
    return ledger_rc_text(rc);
}

LEDGER_API void ledger_free(void *p)
{
    free(p);
}

/* ---- connect ---- */

struct done_target {
    ledger_done_cb cb;
    void *user;
};

static void on_done(void *user, struct reply *r)
{
    struct done_target t = *(struct done_target *)user;
    free(user);
    t.cb(t.user, r->rc, &r->err);
    reply_free(r);
}

LEDGER_API enum ledger_rc ledger_connect(struct ledger_client *c, unsigned timeout_ms, struct ledger_err *err)
{
    struct call_request rq = {.op = CALL_CONNECT};
    struct reply *r;
    enum ledger_rc rc = client_call(c, &rq, timeout_ms, &r, err);
    reply_free(r);
    return rc;
}

LEDGER_API enum ledger_rc ledger_connect_start(struct ledger_client *c, unsigned timeout_ms, ledger_done_cb cb, void *user,
                                               struct ledger_err *err)
{
    struct call_request rq = {.op = CALL_CONNECT};
    struct done_target *t = malloc(sizeof *t);
    if (!t)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    *t = (struct done_target){cb, user};
    enum ledger_rc rc = client_start(c, &rq, timeout_ms, on_done, t, err);
    if (rc != LEDGER_OK)
        free(t);
    return rc;
}

/* ---- submit ---- */

/* What outlives the reply's batch: the ids. */
struct ledger_submission {
    struct reply *reply;
    size_t n_ids;
    struct hash *ids;
};

static struct ledger_submission *submission_new(const struct ledger_batch *b)
{
    struct ledger_submission *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->n_ids = b->n;
    s->ids = calloc(b->n + 1, sizeof *s->ids);
    if (!s->ids) {
        free(s);
        return NULL;
    }
    for (size_t i = 0; i < b->n; i++)
        s->ids[i] = b->events[i].id;
    return s;
}

LEDGER_API void ledger_submission_free(struct ledger_submission *s)
{
    if (!s)
        return;
    reply_free(s->reply);
    free(s->ids);
    free(s);
}

static struct call_request submit_request_of(struct ledger_batch *b, unsigned flags)
{
    struct call_request rq = {.op = CALL_SUBMIT};
    rq.u.submit.batch = b;
    rq.u.submit.all_or_nothing = (flags & LEDGER_ALL_OR_NOTHING) != 0;
    rq.u.submit.witnessed = (flags & LEDGER_WITNESSED) != 0;
    return rq;
}

LEDGER_API enum ledger_rc ledger_submit(struct ledger_client *c, struct ledger_batch *b, unsigned flags, unsigned timeout_ms,
                                        struct ledger_submission **out, struct ledger_err *err)
{
    struct call_request rq = submit_request_of(b, flags);
    *out = NULL;
    struct ledger_submission *s = submission_new(b);
    if (!s)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = client_call(c, &rq, timeout_ms, &s->reply, err);
    if (s->reply)
        *out = s;
    else
        ledger_submission_free(s);
    return rc;
}

struct submit_target {
    ledger_submit_cb cb;
    void *user;
    struct ledger_submission *s;
};

static void on_submitted(void *user, struct reply *r)
{
    struct submit_target t = *(struct submit_target *)user;
    free(user);
    t.s->reply = r;
    struct ledger_err err = r->err; /* the callee may free the submission before it looks at the error */
    t.cb(t.user, r->rc, &err, t.s);
}

LEDGER_API enum ledger_rc ledger_submit_start(struct ledger_client *c, struct ledger_batch *b, unsigned flags,
                                              unsigned timeout_ms, ledger_submit_cb cb, void *user, struct ledger_err *err)
{
    struct call_request rq = submit_request_of(b, flags);
    struct submit_target *t = malloc(sizeof *t);
    struct ledger_submission *s = t ? submission_new(b) : NULL;
    if (!s) {
        free(t);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    *t = (struct submit_target){cb, user, s};
    enum ledger_rc rc = client_start(c, &rq, timeout_ms, on_submitted, t, err);
    if (rc != LEDGER_OK) {
        ledger_submission_free(s);
        free(t);
    }
    return rc;
}

LEDGER_API enum ledger_recorded ledger_submission_recorded(const struct ledger_submission *s)
{
    return s->reply->recorded;
}

LEDGER_API size_t ledger_submission_count(const struct ledger_submission *s)
{
    return s->reply->recorded == LEDGER_RECORDED_ANSWERED ? s->reply->u.submit.n : 0;
}

LEDGER_API int ledger_submission_result(const struct ledger_submission *s, size_t i, struct ledger_result *out)
{
    if (i >= ledger_submission_count(s) || i >= s->n_ids)
        return 0;
    const struct submit_result *r = &s->reply->u.submit.results[i];
    *out = (struct ledger_result){.outcome = r->outcome, .index = r->index, .recorded_us = r->recorded_us,
                                  .event_id = s->ids[i].b, .code = "", .subject = r->why.subject, .field = r->why.field,
                                  .text = r->why.text};
    if (r->outcome == LEDGER_REFUSED)
        out->code = refusal_name(r->why.code);
    return 1;
}

/* The note's memory comes from protobuf-c and is not NUL-terminated: the copy is made once, in the reply's arena. */
LEDGER_API const char *ledger_submission_checkpoint(const struct ledger_submission *s)
{
    const struct reply *r = s->reply;
    const char *text = r->recorded == LEDGER_RECORDED_ANSWERED && r->has_checkpoint ? arena_strdup(r->a, r->snapshot.note) : NULL;
    return text ? text : "";
}
