/* SPDX-License-Identifier: Apache-2.0 */
/*
 * streams: requests that read. Their responses are made in the thread pool, a few at a visit, and sent as the client's credit
 * and the connection's pending bytes allow. Each is handed over to the loop when it is made, and on its way while the next one is being
 * made; a visit is shorter when others wait for a thread.
 *
 * One stream of a connection is in the thread pool at a time, and they take turns: a client with eight long streams gets one
 * eighth of one thread for each, and the next client is not behind all of them. While a stream is in the pool it belongs to that
 * thread; what ends it meanwhile is noted in `ended_by` and done when it returns.
 *
 * A following stream that has nothing to send waits for the next commit, and a request for a cosigned checkpoint for that or for the end of its
 * time. The count of commits is taken before each visit, so that a commit between the visit's snapshot and its return is not missed.
 *
 * A hello is a stream, too: its answer holds the latest checkpoint, which takes reading the store and signing.
 */
#include <stdlib.h>
#include <string.h>

#include "note.h"

#include "../commands.h"
#include "../log.h"
#include "internal.h"

/* ---- in the thread pool ---- */

static bool begin_query(struct stream *st)
{
    st->rc = query_begin(&st->env, bytes_span(&st->request), &st->query, &st->err);
    bytes_fini(&st->request);
    if (st->rc != LEDGER_OK)
        return false;
    st->begun = true;
    if (st->kind == STREAM_MANY)
        st->credit += query_credit(st->query);
    else
        st->credit = 1;
    return true;
}

/* One response. False: there is no next one to make in this visit. */
static bool make_one(struct stream *st, struct arena *a)
{
    struct span response = SPAN_NONE;
    bool more = false;
    st->rc = query_next(st->query, a, &response, &more, &st->err);
    if (st->rc == LEDGER_EBUSY) {
        st->rc = LEDGER_OK;
        st->nothing_yet = true;
        return false;
    }
    if (st->rc != LEDGER_OK)
        return false;
    struct span note = st->kind == STREAM_HELLO ? message_checkpoint_note(a, response) : SPAN_NONE;
    bool ok = st->kind == STREAM_HELLO ? note.p && bytes_add(&st->out, note) : message_put_encoded(&st->out, response);
    if (!ok) {
        st->rc = ledger_fail(&st->err, LEDGER_EINTERNAL, "the answer could not be made");
        return false;
    }
    st->made++;
    st->last = !more;
    return more;
}

/* The loop may send what is made so far while more is being made. If it has not come for the last of it, the rest waits for the next time. */
static void hand_over(struct stream *st)
{
    struct server *s = st->conn->server;
    uv_mutex_lock(&s->done_lock);
    bool taken = bytes_count(&st->handed) == 0;
    if (taken) {
        st->handed = st->out;
        st->out = (struct bytes){0};
        st->handing_next = s->handing;
        s->handing = st;
    }
    uv_mutex_unlock(&s->done_lock);
    if (taken)
        (void)uv_async_send(&s->wake);
}

/* Is there a thread for every stream that is at work? HTTP's answers, two at most, are not counted. */
static bool alone(struct server *s)
{
    return atomic_load(&s->works) <= POOL_THREADS;
}

static bool visit_goes_on(const struct stream *st, size_t bytes)
{
    return st->made < st->credit && st->made < WORK_RESPONSES && bytes_count(&st->out) < WORK_BYTES && !st->conn->high &&
           (bytes < WORK_BYTES || alone(st->conn->server));
}

static void work_cb(uv_work_t *w)
{
    struct stream *st = w->data;
    struct arena *a = arena_new(WORK_ARENA);
    if (!a) {
        st->rc = ledger_fail(&st->err, LEDGER_ENOMEM, "out of memory");
        return;
    }
    size_t bytes = 0;
    bool more = st->begun || begin_query(st);
    while (more && visit_goes_on(st, bytes)) {
        size_t before = bytes_count(&st->out);
        arena_reset(a);
        more = make_one(st, a);
        bytes += bytes_count(&st->out) - before;
        if (more)
            hand_over(st);
    }
    arena_free(a);
}

/* ---- figures for StatusRequest; also in the thread pool ---- */

void server_figures(void *ctx, void (*put)(void *sink, const char *name, double value, const char *text), void *sink)
{
    struct server *s = ctx;
    struct figures *f = &s->figures;
    const struct {
        const char *name;
        _Atomic uint64_t *value;
    } ALL[] = {
        {"connections", &f->connections},           {"connections_accepted", &f->accepted},
        {"connections_turned_away", &f->turned_away}, {"handshakes_failed", &f->handshakes_failed},
        {"timeouts", &f->timeouts},                 {"requests", &f->requests},
        {"errors", &f->errors},                     {"busy", &f->busy},
        {"jobs", &f->jobs},                         {"streams", &f->streams},
        {"received_bytes", &f->bytes_in},           {"sent_bytes", &f->bytes_out},
        {"pending_bytes", &f->pending},
    };
    struct pipeline_stats p;
    for (size_t i = 0; i < sizeof ALL / sizeof ALL[0]; i++)
        put(sink, ALL[i].name, (double)atomic_load(ALL[i].value), NULL);
    pipeline_stats(s->pipeline, &p);
    put(sink, "events_accepted", (double)p.events, NULL);
    put(sink, "events_refused", (double)p.refused, NULL);
    put(sink, "batches", (double)p.batches, NULL);
    put(sink, "seals", (double)p.seals, NULL);
    put(sink, "signatures_checked", (double)p.signatures, NULL);
    put(sink, "last_batch_events", (double)p.batch_events_last, NULL);
    put(sink, "last_commit_seconds", (double)p.last_commit_us / 1e6, NULL);
    put(sink, "erasure_pending", p.erasing, NULL);
    put(sink, "compactions", (double)p.compactions, NULL);
    put(sink, "last_compaction_seconds", (double)p.last_compaction_us / 1e6, NULL);
    put(sink, "anchored_entries", (double)p.anchor_size, NULL);
    put(sink, "writable", p.writable ? 1 : 0, p.writable ? NULL : p.text);
    put(sink, "program", 0, "ledgerd " LEDGERD_VERSION);
    if (s->http)
        http_figures(s->http, put, sink);
    if (s->witness)
        witness_figures(s->witness, put, sink);
    if (s->figures_cb)
        s->figures_cb(s->figures_ctx, put, sink);
}

/* ---- in the loop thread ---- */

static void stream_free(struct stream *st)
{
    if (st->conn)
        receiving_give_back(st->conn->server, st->reserved);
    query_end(st->query);
    bytes_fini(&st->request);
    bytes_fini(&st->wanted);
    bytes_fini(&st->handed);
    bytes_fini(&st->out);
    free(st);
}

static void list_remove(struct connection *c, struct stream *st)
{
    struct stream **at = &c->streams;
    while (*at != st)
        at = &(*at)->next;
    *at = st->next;
}

static void list_append(struct connection *c, struct stream *st)
{
    struct stream **at = &c->streams;
    while (*at)
        at = &(*at)->next;
    st->next = NULL;
    *at = st;
}

static void stream_link(struct stream *st)
{
    struct connection *c = st->conn;
    list_append(c, st);
    c->streams_n++;
    c->many_n += st->kind == STREAM_MANY;
    atomic_fetch_add(&c->server->figures.streams, 1);
}

static void set_waiting(struct stream *st, bool wait)
{
    struct server *s = st->conn->server;
    s->waiting = s->waiting - st->wait_commit + wait;
    st->wait_commit = wait;
}

/* Takes it out of its connection; it stays allocated. */
static void stream_unlink(struct stream *st)
{
    struct connection *c = st->conn;
    set_waiting(st, false);
    list_remove(c, st);
    c->streams_n--;
    c->many_n -= st->kind == STREAM_MANY;
    atomic_fetch_sub(&c->server->figures.streams, 1);
}

/* Its last answer is an error. */
static void stream_end(struct stream *st, enum error_code code, const char *text)
{
    struct connection *c = st->conn;
    struct error_answer e = {code, RECORDED_UNSPECIFIED, text};
    atomic_fetch_add(&c->server->figures.errors, 1);
    bool ok = message_put_error(&c->out, st->id, &e);
    stream_unlink(st);
    stream_free(st);
    if (ok)
        connection_touched(c);
    else
        connection_drop(c, "out of memory");
}

static bool runnable(const struct stream *st)
{
    return !st->wait_commit && (!st->begun || st->credit > 0);
}

static void after_work_cb(uv_work_t *w, int status);

void stream_schedule(struct connection *c)
{
    struct server *s = c->server;
    bool open = c->state == CONNECTION_OPEN || (c->state == CONNECTION_OPENING && c->hello_begun);
    if (!open || c->working || c->high || s->pending > PENDING_TOTAL_MAX)
        return;
    struct stream *st = c->streams;
    while (st && !runnable(st))
        st = st->next;
    if (!st)
        return;
    st->commits_before = atomic_load(&s->commits);
    st->made = 0;
    st->nothing_yet = false;
    st->working = true;
    st->work.data = st;
    if (uv_queue_work(&s->loop, &st->work, work_cb, after_work_cb) != 0) {
        st->working = false;
        stream_end(st, ERROR_INTERNAL, "the thread pool takes no work");
        return;
    }
    c->working = true;
    c->references++;
    s->works++;
}

/* The hello's checkpoint begins with the ledger's origin, on a line of its own. */
static void finish_hello(struct connection *c, struct stream *st)
{
    char origin[ORIGIN_MAX + 1] = "";
    struct span note = bytes_span(&st->out);
    const uint8_t *end = note.n ? memchr(note.p, '\n', note.n) : NULL;
    struct error_answer denied = {ERROR_NOT_FOUND, RECORDED_UNSPECIFIED, "this server keeps another ledger"};
    struct span wanted = bytes_span(&st->wanted);
    if (!end || end - note.p > ORIGIN_MAX) {
        connection_fail(c, ERROR_INTERNAL, "the checkpoint cannot be read");
        return;
    }
    memcpy(origin, note.p, (size_t)(end - note.p));
    const struct config *conf = &c->server->config;
    struct hello_answer h = {"ledgerd " LEDGERD_VERSION, origin, c->access.name, note, conf->requests_max, conf->streams_max};
    bool other = wanted.n && !span_eq(wanted, span_str(origin));
    bool ok = other ? message_put_error(&c->out, st->id, &denied) : message_put_hello(&c->out, st->id, &h);
    if (!ok) {
        connection_drop(c, "out of memory");
        return;
    }
    if (other) {
        connection_finish(c);
        return;
    }
    c->state = CONNECTION_OPEN;
    connection_touched(c);
}

/* Off the list of those that hand something over, if it is in it; `handed` is the loop's from then on. */
static void withdraw(struct server *s, struct stream *st)
{
    uv_mutex_lock(&s->done_lock);
    struct stream **at = &s->handing;
    while (*at && *at != st)
        at = &(*at)->handing_next;
    if (*at)
        *at = st->handing_next;
    uv_mutex_unlock(&s->done_lock);
}

/* To the connection's answers; *b is empty then. False: the connection has ended. */
static bool pass_on(struct connection *c, struct bytes *b)
{
    bool ok = bytes_add(&c->out, bytes_span(b));
    bytes_fini(b);
    if (!ok)
        connection_drop(c, "out of memory"); /* ends its streams, too */
    return ok;
}

/* The next stream that hands something over, and what; NULL: there is none. */
static struct stream *take_handed(struct server *s, struct bytes *handed)
{
    uv_mutex_lock(&s->done_lock);
    struct stream *st = s->handing;
    if (st) {
        s->handing = st->handing_next;
        *handed = st->handed;
        st->handed = (struct bytes){0};
    }
    uv_mutex_unlock(&s->done_lock);
    return st;
}

void streams_take_handed(struct server *s)
{
    struct bytes handed;
    for (struct stream *st; (st = take_handed(s, &handed));) {
        struct connection *c = st->conn; /* stays while the stream is at work */
        if (c->state != CONNECTION_OPEN)
            bytes_fini(&handed);
        else if (pass_on(c, &handed))
            connection_touched(c);
    }
}

/* What a visit has brought. The stream may have ended after it. */
static void collect(struct connection *c, struct stream *st)
{
    st->credit = st->credit - st->made + st->credit_late;
    st->credit_late = 0;
    if (!pass_on(c, &st->handed) || !pass_on(c, &st->out))
        return;
    if (st->ended_by) {
        stream_end(st, st->ended_by, st->ended_text);
        return;
    }
    if (st->rc != LEDGER_OK) {
        logline(LOG_ERROR, "a query failed", "client=%s reason=%s", c->access.name, st->err.msg);
        stream_end(st, st->rc == LEDGER_ENOMEM ? ERROR_LIMIT : ERROR_INTERNAL,
                   st->rc == LEDGER_ENOMEM ? "the answer takes more memory than one may" : "the answer could not be made");
        return;
    }
    if (st->last) {
        stream_unlink(st);
        stream_free(st);
        return;
    }
    set_waiting(st, st->nothing_yet && st->commits_before == atomic_load(&c->server->commits));
    st->wait_until_ms = st->wait_commit ? (uint64_t)query_wait_until_ms(st->query) : 0;
    list_remove(c, st); /* to the end of the line */
    list_append(c, st);
}

static void after_hello(struct connection *c, struct stream *st)
{
    stream_unlink(st); /* The connection may end below, and with it every stream in its list. */
    if (st->rc == LEDGER_OK && st->last)
        finish_hello(c, st);
    else
        connection_fail(c, ERROR_INTERNAL, "the checkpoint cannot be read");
    stream_free(st);
    connection_pump(c); /* What came after the hello has waited. */
}

static void after_work_cb(uv_work_t *w, int status)
{
    struct stream *st = w->data;
    struct connection *c = st->conn;
    struct server *s = c->server;
    (void)status; /* Never cancelled. */
    s->works--;
    c->working = false;
    st->working = false;
    withdraw(s, st);
    if (c->state == CONNECTION_CLOSED || c->state == CONNECTION_CLOSING || c->state == CONNECTION_LINGER) {
        stream_unlink(st);
        stream_free(st);
    } else if (st->kind == STREAM_HELLO) {
        after_hello(c, st);
    } else {
        collect(c, st);
        connection_touched(c);
        stream_schedule(c);
    }
    connection_release(c);
}

/* The request as the query is to see it, and what a hello is measured by. */
static bool keep_request(struct stream *st, const struct message *m, struct span request)
{
    if (st->kind != STREAM_HELLO)
        return bytes_add(&st->request, request);
    struct arena *a = arena_new(4096);
    struct span checkpoint = a ? message_checkpoint_request(a) : SPAN_NONE;
    bool ok = checkpoint.p && bytes_add(&st->request, checkpoint) && bytes_add(&st->wanted, m->origin);
    arena_free(a);
    return ok;
}

void stream_begin(struct connection *c, const struct message *m, struct span request, size_t reserved)
{
    struct stream *st = calloc(1, sizeof *st);
    if (st)
        st->kind = m->op == OP_HELLO ? STREAM_HELLO : m->op == OP_STREAM ? STREAM_MANY : STREAM_SINGLE;
    if (!st || !keep_request(st, m, request)) {
        if (st)
            stream_free(st);
        connection_drop(c, "out of memory");
        return;
    }
    st->conn = c;
    st->reserved = reserved; /* once more: the caller gives its own back, and the question stays in memory */
    c->server->receiving += reserved;
    st->id = m->id;
    st->access = c->access;
    struct witness_service *w = c->server->witness;
    st->env = (struct query_env){c->server->store, &st->access, server_figures, c->server, w ? witness_newest(w) : NULL};
    stream_link(st);
    stream_schedule(c);
}

static struct stream *find(const struct connection *c, uint64_t id)
{
    struct stream *st = c->streams;
    while (st && st->id != id)
        st = st->next;
    return st;
}

bool stream_uses(const struct connection *c, uint64_t id)
{
    return find(c, id) != NULL;
}

/* A stream that has ended meanwhile is no mistake of the client's. */
void stream_credit(struct connection *c, uint64_t id, uint32_t responses)
{
    struct stream *st = find(c, id);
    if (!st || st->kind != STREAM_MANY)
        return;
    if (st->working)
        st->credit_late += responses;
    else
        st->credit += responses;
    stream_schedule(c);
}

static void end_when_back(struct stream *st, enum error_code code, const char *text)
{
    if (!st->working) {
        stream_end(st, code, text);
    } else if (!st->ended_by) {
        st->ended_by = code;
        st->ended_text = text;
    }
}

void stream_cancel(struct connection *c, uint64_t id)
{
    struct stream *st = find(c, id);
    if (st && st->kind == STREAM_MANY)
        end_when_back(st, ERROR_CANCELED, "cancelled");
}

void stream_end_all(struct connection *c, enum error_code code, const char *text)
{
    if (c->state != CONNECTION_OPEN)
        return;
    for (struct stream *st = c->streams, *next; st; st = next) {
        next = st->next;
        end_when_back(st, code, text);
        if (c->state != CONNECTION_OPEN)
            return; /* The answer made it end: its streams are gone. */
    }
}

void stream_forget(struct connection *c)
{
    for (struct stream *st = c->streams, *next; st; st = next) {
        next = st->next;
        if (st->working)
            continue; /* It is freed when it comes back. */
        stream_unlink(st);
        stream_free(st);
    }
}

/* With thousands of connections a look at each would take longer than a commit: mostly none of them waits. */
void streams_committed(struct server *s)
{
    for (struct connection *c = s->connections, *next; c && s->waiting > 0; c = next) {
        next = c->next;
        for (struct stream *st = c->streams; st; st = st->next)
            set_waiting(st, false);
        stream_schedule(c);
    }
}

void stream_expire(struct connection *c)
{
    for (struct stream *st = c->streams; st; st = st->next)
        if (!st->working && st->begun) /* in this order: while it works, the rest is not ours to look at */
            (void)query_expire(st->query);
    stream_schedule(c); /* Also for what waited only for other connections' pending bytes to become fewer. */
}

void stream_wake_late(struct connection *c, uint64_t now)
{
    bool any = false;
    for (struct stream *st = c->streams; st; st = st->next) {
        if (!st->wait_commit || !st->wait_until_ms || now < st->wait_until_ms)
            continue;
        set_waiting(st, false);
        any = true;
    }
    if (any)
        stream_schedule(c);
}
