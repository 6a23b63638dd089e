/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests: what each frame asks for. Every request gets exactly one end: an answer, the last response of a stream, or an error
 * that says whether anything was recorded.
 *
 * A submission's memory is one arena that goes with the job through the pipeline; the loop thread only fills it and empties it.
 */
#include <stdio.h>
#include <string.h>

#include "../log.h"
#include "internal.h"

#define PROTOCOL_VERSION 1

/* ---- errors ---- */

static enum recorded certainty_of(const struct message *m)
{
    return m->op == OP_SUBMIT || m->op == OP_UNKNOWN ? RECORDED_NOTHING : RECORDED_UNSPECIFIED;
}

static void put_error(struct connection *c, uint64_t id, const struct error_answer *e)
{
    atomic_fetch_add(&c->server->figures.errors, 1);
    if (message_put_error(&c->out, id, e))
        connection_touched(c);
    else
        connection_drop(c, "out of memory");
}

void request_error(struct connection *c, const struct message *m, enum error_code code, const char *text)
{
    put_error(c, m->id, &(struct error_answer){code, certainty_of(m), text});
}

/* The request is refused and the connection ends with it. */
static void refuse_and_end(struct connection *c, const struct message *m, enum error_code code, const char *text)
{
    request_error(c, m, code, text);
    if (server_may_log(c->server))
        logline(LOG_WARN, "connection ended by the server", "client=%s reason=%s",
                c->access.name[0] ? c->access.name : "unknown", text);
    connection_finish(c);
}

/* ---- submit ---- */

static void submission_link(struct connection *c, struct submission *sub)
{
    sub->next = c->submissions;
    sub->at = &c->submissions;
    if (sub->next)
        sub->next->at = &sub->next;
    c->submissions = sub;
    c->submissions_n++;
}

static void submission_unlink(struct submission *sub)
{
    *sub->at = sub->next;
    if (sub->next)
        sub->next->at = sub->at;
    sub->conn->submissions_n--;
    sub->conn = NULL;
}

void request_forget(struct connection *c)
{
    while (c->submissions)
        submission_unlink(c->submissions);
}

/* NULL, or what is wrong with the request itself; *code says of which sort. */
static const char *submit_fault(const struct connection *c, const struct message *m, enum error_code *code)
{
    *code = ERROR_DENIED;
    if (m->own_kind && !c->access.may_administer)
        return "this client may not submit acts of the ledger: it lacks the right \"administer\" under [access]";
    if (!m->own_kind && !c->access.may_submit)
        return "this client may not submit";
    *code = ERROR_SHUTTING_DOWN;
    if (c->server->phase != SERVER_SERVING)
        return "the server is shutting down";
    *code = ERROR_MALFORMED;
    if (m->n_events == 0)
        return "the request holds no event";
    *code = ERROR_LIMIT;
    if (m->n_events > MESSAGE_EVENTS_MAX)
        return "a request holds at most 1000 events";
    if (m->n_signatures > MESSAGE_SIGNATURES_MAX)
        return "a request holds at most 8 signatures";
    return NULL;
}

/* True: the arena and the reservation went into the pipeline. */
static bool submit(struct connection *c, const struct message *m, struct arena *a, size_t reserved)
{
    enum error_code code;
    const char *fault = submit_fault(c, m, &code);
    if (fault) {
        request_error(c, m, code, fault);
        return false;
    }
    struct submission *sub = arena_alloc(a, sizeof *sub);
    if (!sub) {
        request_error(c, m, ERROR_LIMIT, "out of memory");
        return false;
    }
    sub->server = c->server;
    sub->conn = c;
    sub->id = m->id;
    sub->reserved = reserved;
    sub->job = (struct job){
        .a = a, .owner = sub, .n_events = m->n_events, .n_signatures = m->n_signatures, .events = m->events,
        .signatures = m->signatures, .all_or_nothing = m->all_or_nothing, .own_kind = m->own_kind,
    };
    enum ledger_rc rc = pipeline_submit(c->server->pipeline, &sub->job);
    if (rc != LEDGER_OK) {
        atomic_fetch_add(&c->server->figures.busy, 1);
        request_error(c, m, rc == LEDGER_EBUSY ? ERROR_BUSY : ERROR_SHUTTING_DOWN,
                      rc == LEDGER_EBUSY ? "the server is busy; nothing was recorded, try again"
                                         : "the server takes no more; nothing was recorded");
        return false;
    }
    submission_link(c, sub);
    c->server->jobs++;
    atomic_store(&c->server->figures.jobs, c->server->jobs);
    return true;
}

static enum error_code code_of(enum ledger_rc rc)
{
    static const struct {
        enum ledger_rc rc;
        enum error_code code;
    } CODES[] = {
        {LEDGER_EINVAL, ERROR_MALFORMED},   {LEDGER_EVERSION, ERROR_VERSION},        {LEDGER_ENOMEM, ERROR_LIMIT},
        {LEDGER_ELIMIT, ERROR_LIMIT},       {LEDGER_ENOTFOUND, ERROR_NOT_FOUND},     {LEDGER_EBUSY, ERROR_BUSY},
        {LEDGER_EFULL, ERROR_STORAGE},      {LEDGER_EIO, ERROR_STORAGE},             {LEDGER_EDENIED, ERROR_DENIED},
        {LEDGER_ECANCELED, ERROR_SHUTTING_DOWN},
    };
    for (size_t i = 0; i < sizeof CODES / sizeof CODES[0]; i++)
        if (CODES[i].rc == rc)
            return CODES[i].code;
    return ERROR_INTERNAL;
}

static void answer_job(struct connection *c, struct submission *sub)
{
    struct job *job = &sub->job;
    if (job->rc != LEDGER_OK) {
        put_error(c, sub->id,
                  &(struct error_answer){code_of(job->rc), job->unknown ? RECORDED_UNKNOWN : RECORDED_NOTHING,
                                         job->err.msg[0] ? job->err.msg : ledger_rc_text(job->rc)});
        return;
    }
    if (message_put_submit(&c->out, sub->id, job)) {
        connection_touched(c);
        return;
    }
    put_error(c, sub->id,
              &(struct error_answer){ERROR_INTERNAL, RECORDED_UNKNOWN,
                                     "no memory for the answer; submit again: nothing is recorded twice"});
}

/* The first few finished jobs. The loop comes back for more. */
static struct job *take_done(struct server *s)
{
    uv_mutex_lock(&s->done_lock);
    struct job *first = s->done_first, **end = &s->done_first;
    for (unsigned n = 0; *end && n < JOBS_AT_ONCE; n++)
        end = &(*end)->next;
    s->done_first = *end;
    *end = NULL;
    if (!s->done_first)
        s->done_last = &s->done_first;
    else
        (void)uv_async_send(&s->wake);
    uv_mutex_unlock(&s->done_lock);
    return first;
}

void request_jobs_done(struct server *s)
{
    struct job *job = take_done(s);
    while (job) {
        struct job *next = job->next;
        struct submission *sub = job->owner;
        struct connection *c = sub->conn;
        if (c) {
            submission_unlink(sub);
            if (c->state == CONNECTION_OPEN)
                answer_job(c, sub);
        }
        s->jobs--;
        receiving_give_back(s, sub->reserved);
        arena_free(job->a); /* sub lies in it */
        job = next;
    }
    atomic_store(&s->figures.jobs, s->jobs);
}

/* ---- hello ---- */

/* Who is it? Copies name and rights into the connection. NULL, or why it is turned away. */
static const char *identify(struct connection *c)
{
    const struct server *s = c->server;
    const char *name = "loopback";
    if (c->tls) {
        const struct tls_peer *peer = tls_peer(c->tls);
        name = peer->name;
        memcpy(c->serial, peer->serial, sizeof c->serial);
        c->not_after_s = peer->not_after_s;
        /* The list may have been read again while the handshake was under way. */
        if (tls_context_revoked(s->tls, c->serial))
            return "the certificate was revoked";
    }
    const struct access *row = access_find(&s->config.access, name);
    if (!row)
        return c->tls ? "the name in the certificate is not listed under [access]"
                      : "loopback is not listed under [access]";
    c->access = *row;
    return NULL;
}

static void hello(struct connection *c, const struct message *m, struct span frame)
{
    char text[160];
    if (c->state == CONNECTION_OPEN) {
        request_error(c, m, ERROR_MALFORMED, "hello was said already");
        return;
    }
    if (m->version_min > PROTOCOL_VERSION || m->version_max < PROTOCOL_VERSION) {
        snprintf(text, sizeof text, "this server speaks protocol version %d, the client %u to %u", PROTOCOL_VERSION,
                 m->version_min, m->version_max);
        refuse_and_end(c, m, ERROR_VERSION, text);
        return;
    }
    const char *fault = identify(c);
    if (fault) {
        refuse_and_end(c, m, ERROR_DENIED, fault);
        return;
    }
    c->hello_begun = true;
    stream_begin(c, m, frame, 0);
}

/* ---- dispatch ---- */

/* NULL, or why this request cannot be taken on now. */
static const char *limit_fault(const struct connection *c, const struct message *m, enum error_code *code)
{
    const struct config *k = &c->server->config;
    *code = ERROR_MALFORMED;
    if (m->id == 0)
        return "the id of a request is not 0";
    if (m->op == OP_CREDIT || m->op == OP_CANCEL)
        return NULL;
    for (const struct submission *sub = c->submissions; sub; sub = sub->next)
        if (sub->id == m->id)
            return "the id is in use on this connection";
    if (stream_uses(c, m->id))
        return "the id is in use on this connection";
    *code = ERROR_LIMIT;
    if (c->submissions_n + c->streams_n >= k->requests_max)
        return "too many requests are in flight on this connection";
    if (m->op == OP_STREAM && c->many_n >= k->streams_max)
        return "too many streams are open on this connection";
    return NULL;
}

static void query(struct connection *c, const struct message *m, struct span frame, size_t reserved)
{
    if (c->server->phase != SERVER_SERVING)
        request_error(c, m, ERROR_SHUTTING_DOWN, "the server is shutting down");
    else if (reserved && !m->names_many)
        request_error(c, m, ERROR_LIMIT, "a request of this kind has at most 16384 bytes");
    else
        stream_begin(c, m, frame, reserved);
}

/* True: the arena and the reservation are in other hands. */
static bool dispatch(struct connection *c, const struct message *m, struct arena *a, struct span frame, size_t reserved)
{
    enum error_code code;
    const char *fault = limit_fault(c, m, &code);
    if (fault) {
        request_error(c, m, code, fault);
        return false;
    }
    if (c->state == CONNECTION_OPENING && m->op != OP_HELLO) {
        refuse_and_end(c, m, ERROR_MALFORMED, "a connection begins with a hello");
        return false;
    }
    switch (m->op) {
    case OP_HELLO:
        hello(c, m, frame);
        return false;
    case OP_SUBMIT:
        return submit(c, m, a, reserved);
    case OP_SINGLE:
    case OP_STREAM:
        query(c, m, frame, reserved);
        return false;
    case OP_CREDIT:
        stream_credit(c, m->stream, m->responses);
        return false;
    case OP_CANCEL:
        stream_cancel(c, m->stream);
        return false;
    case OP_UNKNOWN:
        request_error(c, m, ERROR_UNKNOWN_REQUEST, "the server does not know this request");
        return false;
    }
    return false;
}

void request_take(struct connection *c, struct span frame, size_t reserved)
{
    struct server *s = c->server;
    struct message m;
    struct ledger_err err = {0};
    struct arena *a = arena_new(JOB_ARENA);
    bool taken = false;
    atomic_fetch_add(&s->figures.requests, 1);
    enum ledger_rc rc = a ? message_decode(a, frame, &m, &err) : ledger_fail(&err, LEDGER_ELIMIT, "out of memory");
    if (rc == LEDGER_OK)
        taken = dispatch(c, &m, a, frame, reserved);
    else
        connection_fail(c, rc == LEDGER_ELIMIT ? ERROR_LIMIT : ERROR_MALFORMED, err.msg);
    if (taken)
        return;
    receiving_give_back(s, reserved);
    arena_free(a);
}
