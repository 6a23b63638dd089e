/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: the library's thread at work: connecting, saying hello, sending calls, taking answers, and trying again (core.h).
 *
 * IDLE → DIALLING → HELLO → TRUSTING (pin and hello's checkpoint are being proven one history) → READY; from any of these, when the
 * connection is lost, → PAUSE (growing, with jitter) → DIALLING. No connection is made while there is nothing to do.
 *
 * Every function that may end the session says so with its result; its caller then returns at once and leaves the rest to the next
 * event. Errors that trying again would not cure (a certificate, a version, another ledger) end all calls at once.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core.h"

static void pump(struct ledger_client *cl);

uint64_t session_id(struct ledger_client *cl)
{
    return cl->next_id++;
}

bool session_send(struct ledger_client *cl, struct span message)
{
    struct ledger_err err;
    enum ledger_rc rc = message.p ? conn_send(cl->connection, message, &err)
                                  : ledger_fail(&err, LEDGER_ENOMEM, "out of memory");
    if (rc != LEDGER_OK)
        session_lost(cl, &err);
    return rc == LEDGER_OK;
}

enum ledger_rc rc_from_message(const struct message_error *e)
{
    switch ((enum message_error_code)e->code) {
    case MESSAGE_ERROR_MALFORMED:
        return LEDGER_EINVAL;
    case MESSAGE_ERROR_UNKNOWN_REQUEST:
    case MESSAGE_ERROR_VERSION:
        return LEDGER_EVERSION;
    case MESSAGE_ERROR_BUSY:
        return LEDGER_EBUSY;
    case MESSAGE_ERROR_DENIED:
        return LEDGER_EDENIED;
    case MESSAGE_ERROR_NOT_FOUND:
        return LEDGER_ENOTFOUND;
    case MESSAGE_ERROR_LIMIT:
        return LEDGER_ELIMIT;
    case MESSAGE_ERROR_STORAGE:
        return LEDGER_EFULL;
    case MESSAGE_ERROR_CANCELED:
        return LEDGER_ECANCELED;
    case MESSAGE_ERROR_SHUTTING_DOWN:
    case MESSAGE_ERROR_TIMEOUT:
        return LEDGER_ECONNECT;
    case MESSAGE_ERROR_INTERNAL:
        return LEDGER_EIO;
    case MESSAGE_ERROR_UNSPECIFIED:
    default:
        return LEDGER_EPROTO;
    }
}

/* ---- losing and trying again ---- */

/* Doubles from failure to failure; half of it is drawn, so that many clients do not come back at the same moment. */
static uint64_t backoff_ms(unsigned failures)
{
    uint64_t ms = BACKOFF_MS_MIN << (failures < 7 ? failures : 7);
    uint32_t draw = 0;
    if (ms > BACKOFF_MS_MAX)
        ms = BACKOFF_MS_MAX;
    if (getrandom(&draw, sizeof draw, GRND_NONBLOCK) != (ssize_t)sizeof draw)
        draw = UINT32_MAX / 2;
    return ms / 2 + (ms / 2) * (uint64_t)draw / UINT32_MAX;
}

static void requeue(struct call *k)
{
    if (k->state == CALL_QUEUED && !k->work && !k->quorum)
        return;
    if ((k->state != CALL_QUEUED || k->quorum) && k->rq.op == CALL_SUBMIT)
        k->unresolved = true;
    call_restart(k);
}

static void hang_up(struct ledger_client *cl)
{
    conn_drop(cl->connection);
    trust_forget_pending(&cl->trust);
    keys_forget(cl);
    cl->hello_id = cl->recheck_id = 0;
}

void session_fail_all(struct ledger_client *cl, const struct ledger_err *why)
{
    struct ledger_err copy = *why; /* it may be ours, and callbacks run */
    hang_up(cl);
    cl->state = SESSION_IDLE;
    cl->failures = 0;
    while (cl->list)
        call_fail(cl, cl->list, copy.rc, "%s", copy.msg);
}

void session_lost(struct ledger_client *cl, const struct ledger_err *why)
{
    uint64_t now = conn_clock_ms();
    cl->last = *why;
    if (!cl->contacted && now - cl->first_dial_ms >= cl->first_contact_ms) {
        session_fail_all(cl, &cl->last);
        return;
    }
    hang_up(cl);
    cl->state = SESSION_PAUSE;
    cl->dial_at_ms = now + backoff_ms(cl->failures++);
    for (struct call *k = cl->list; k; k = k->next)
        requeue(k);
    conn_timer(cl->connection, cl->dial_at_ms - now);
}

static void dial(struct ledger_client *cl, uint64_t now)
{
    if (cl->state == SESSION_IDLE)
        cl->first_dial_ms = now;
    cl->state = SESSION_DIALLING;
    cl->attempt_deadline_ms = now + ATTEMPT_MS_MAX;
    conn_dial(cl->connection);
}

static bool is_permanent(enum ledger_rc rc)
{
    return rc == LEDGER_EUNTRUSTED || rc == LEDGER_EDENIED || rc == LEDGER_EVERSION || rc == LEDGER_EPROTO ||
           rc == LEDGER_EINVAL || rc == LEDGER_ENOTFOUND || rc == LEDGER_ELIMIT;
}

static void on_lost(void *user, const struct ledger_err *why)
{
    struct ledger_client *cl = user;
    if (cl->state == SESSION_ACCUSING)
        accuse_take(cl, NULL);
    else if (is_permanent(why->rc))
        session_fail_all(cl, why);
    else
        session_lost(cl, why);
    pump(cl);
}

/* ---- hello ---- */

static void on_open(void *user)
{
    struct ledger_client *cl = user;
    struct arena_mark mark = arena_mark(cl->scratch);
    cl->state = SESSION_HELLO;
    cl->hello_id = session_id(cl);
    (void)session_send(cl, rpc_put_hello(cl->scratch, cl->hello_id, cl->program, cl->profile->origin));
    arena_release(cl->scratch, mark);
}

static bool fail_hello(struct ledger_client *cl, enum ledger_rc rc, const char *fmt, ...) LEDGER_PRINTF(3, 4);
static bool fail_hello(struct ledger_client *cl, enum ledger_rc rc, const char *fmt, ...)
{
    struct ledger_err err = {.rc = rc};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err.msg, sizeof err.msg, fmt, ap);
    va_end(ap);
    if (is_permanent(rc) || rc == LEDGER_EIO)
        session_fail_all(cl, &err);
    else
        session_lost(cl, &err);
    return false;
}

/* The pin on disk, which another program may have advanced, is the first thing to be believed. */
static bool see_pin(struct ledger_client *cl)
{
    struct ledger_err err = {0};
    struct pin pin;
    enum ledger_rc rc = pin_load(cl->scratch, cl->profile, &pin, &err);
    if (rc != LEDGER_OK)
        return fail_hello(cl, rc == LEDGER_EINVAL ? rc : LEDGER_EIO, "%s", err.msg);
    if (!pin.present)
        return true;
    struct checkpoint cp = {span_str(cl->profile->origin), pin.size, pin.root};
    if (pin.size > cl->pinned_size)
        cl->pinned_size = pin.size;
    if (!session_see(cl, &cp, pin.note))
        return false;
    return !pin.seal.p || trust_seal(&cl->trust, &cp, pin.seal, true) || fail_hello(cl, LEDGER_ENOMEM, "out of memory");
}

static const struct trust_node *largest_known(const struct ledger_client *cl)
{
    const struct trust_node *n = cl->trust.first;
    while (n && n->next)
        n = n->next;
    return n;
}

/* The server's newest checkpoint. If it is smaller than what is known the server is asked once more, about its store, before it
 * is accused: the hello may have crossed a commit. */
static bool see_newest(struct ledger_client *cl, struct span note)
{
    struct checkpoint cp;
    struct policy_verdict trust;
    struct verdict v;
    bool good = session_check_note(cl, cl->scratch, note, &cp, &trust, &v);
    if (keys_wanted(cl, &cp, &trust))
        return keys_ask(cl, note);
    if (!good && trust.wrong_key) {
        keys_misused(cl, &trust, note, v.text);
        return false;
    }
    if (!good) {
        enum ledger_rc rc = verdict_rc(v.kind, LEDGER_EPROTO);
        if (rc == LEDGER_ETAMPER && trust.log_signed) {
            session_lied(cl, v.text, note);
            return false;
        }
        /* A log's key whose signature fails is no statement of the ledger: nothing that could be shown as evidence. */
        return fail_hello(cl, rc == LEDGER_ETAMPER ? LEDGER_EUNTRUSTED : rc, "the server's checkpoint: %s", v.text);
    }
    const struct trust_node *known = largest_known(cl);
    if (!known || cp.size >= known->size)
        return session_see(cl, &cp, note);
    if (!cl->recheck_id) {
        cl->recheck_id = session_id(cl);
        return session_send(cl, rpc_put_checkpoint(cl->scratch, cl->recheck_id));
    }
    char what[160];
    struct trust_conflict conflict = {known->note, note, SPAN_NONE, SPAN_NONE};
    snprintf(what, sizeof what, "the ledger has shrunk from %llu to %llu entries: it was rolled back",
             (unsigned long long)known->size, (unsigned long long)cp.size);
    session_tampered(cl, &conflict, what);
    return false;
}

static unsigned window_of(uint32_t granted, unsigned most)
{
    unsigned n = granted < 4 ? 1 : granted - granted / 4;
    return n < most ? n : most;
}

static bool take_hello(struct ledger_client *cl, const struct message *m)
{
    if (m->kind == MESSAGE_ERROR)
        return fail_hello(cl, rc_from_message(&m->u.error), "the server refuses the connection: %s", m->u.error.text);
    if (m->kind != MESSAGE_HELLO)
        return fail_hello(cl, LEDGER_EPROTO, "the server did not answer the hello");
    const struct message_hello *h = &m->u.hello;
    if (h->version != PROTOCOL_VERSION)
        return fail_hello(cl, LEDGER_EVERSION, "the server speaks version %u of the protocol, and this program %u", h->version,
                          PROTOCOL_VERSION);
    if (strcmp(h->origin, cl->profile->origin) != 0)
        return fail_hello(cl, LEDGER_EUNTRUSTED, "the server is the ledger \"%.80s\", and the profile means \"%s\"", h->origin,
                          cl->profile->origin);
    cl->version = h->version;
    cl->window_requests = window_of(h->requests_max, WINDOW_REQUESTS_MAX);
    cl->window_streams = window_of(h->streams_max, WINDOW_STREAMS_MAX);
    snprintf(cl->server_program, sizeof cl->server_program, "%s", h->program);
    snprintf(cl->server_name_for_us, sizeof cl->server_name_for_us, "%s", h->client);
    cl->hello_id = 0;
    cl->state = SESSION_TRUSTING;
    return see_pin(cl) && see_newest(cl, h->checkpoint);
}

static bool take_recheck(struct ledger_client *cl, const struct message *m)
{
    if (m->kind == MESSAGE_ERROR)
        return fail_hello(cl, rc_from_message(&m->u.error), "the server gives no checkpoint: %s", m->u.error.text);
    if (m->kind != MESSAGE_SNAPSHOT)
        return fail_hello(cl, LEDGER_EPROTO, "the server answered another question than the one about its checkpoint");
    cl->at_hand = &m->u.snapshot;
    bool goes_on = see_newest(cl, m->u.snapshot.note);
    cl->at_hand = NULL;
    if (!goes_on)
        return false;
    cl->recheck_id = 0;
    return true;
}

static bool take_keys(struct ledger_client *cl, const struct message *m)
{
    struct span newest;
    return keys_take(cl, m, &newest) && see_newest(cl, newest);
}

/* Everything that was said in the hello is proven: from here on calls are sent. */
static void become_ready(struct ledger_client *cl)
{
    struct ledger_err err = {0};
    if (!session_pin(cl, true, &err))
        return;
    if (err.rc != LEDGER_OK) {
        fail_hello(cl, LEDGER_EIO, "the checkpoint cannot be kept: %s", err.msg);
        return;
    }
    if (!session_settled(cl)) /* another program's pin has to be proven first */
        return;
    if (!keys_settle(cl, &err)) {
        fail_hello(cl, LEDGER_EIO, "the log key that was followed cannot be kept: %s", err.msg);
        return;
    }
    cl->state = SESSION_READY;
    cl->contacted = true;
    cl->failures = 0;
    cl->last = (struct ledger_err){0};
}

/* ---- calls ---- */

static void finish_connect(struct ledger_client *cl, struct call *k)
{
    struct reply *r = k->reply;
    const struct trust_node *n = cl->trust.latest;
    struct verdict v;
    r->u.hello.program = arena_strdup(r->a, span_str(cl->server_program));
    r->u.hello.client = arena_strdup(r->a, span_str(cl->server_name_for_us));
    r->u.hello.version = cl->version;
    struct span note = arena_copy(r->a, n->note);
    if (!r->u.hello.program || !r->u.hello.client || !note.p) {
        call_fail(cl, k, LEDGER_ENOMEM, "out of memory");
        return;
    }
    r->snapshot.note = note;
    r->has_checkpoint = session_check_note(cl, r->a, note, &r->snapshot.cp, &r->snapshot.trust, &v);
    call_end(cl, k);
}

static int64_t wall_clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Age by this machine's clock. A seal that is dated ahead of it says nothing about its age: a ledger that dates its seals ahead could
 * show an old state as fresh for as long. Some difference is what clocks have. */
static void judge_freshness(struct ledger_client *cl, struct call *k)
{
    struct reply *r = k->reply;
    if (!r->has_seal)
        return;
    r->age_s = (wall_clock_us() - r->snapshot.seal.recorded_us) / 1000000;
    int64_t cosigned_s = wall_clock_us() / 1000000 - (int64_t)r->snapshot.trust.cosigned_at;
    bool quorum = !cl->profile->policy->quorum_none && r->snapshot.trust.quorum_met;
    bool ahead = r->age_s < -CLOCKS_DIFFER_S;
    r->stale = ahead || r->age_s > (int64_t)cl->profile->fresh_within_s;
    if (quorum && cosigned_s > (int64_t)cl->profile->fresh_within_s) {
        r->stale = true;
        if (k->rq.fresh)
            r->rc = ledger_fail(&r->err, LEDGER_ESTALE, "the witnesses cosigned %lld s ago, and the profile demands %u s",
                                (long long)cosigned_s, cl->profile->fresh_within_s);
    } else if (ahead && k->rq.fresh)
        r->rc = ledger_fail(&r->err, LEDGER_ESTALE, "the ledger's last seal is dated %lld s ahead of this machine's clock: one of the two is wrong",
                            (long long)-r->age_s);
    else if (r->stale && k->rq.fresh)
        r->rc = ledger_fail(&r->err, LEDGER_ESTALE, "the ledger's last seal is %lld s old, and the profile demands %u s",
                            (long long)r->age_s, cl->profile->fresh_within_s);
}

static bool others_trusted(const struct ledger_client *cl, const struct call *k)
{
    for (size_t i = 0; i < k->n_also; i++)
        if (!trust_has(&cl->trust, &k->also[i]))
            return false;
    return true;
}

/* Both checkpoints of a reply: its own, and the witnessed one. */
static bool is_proven(const struct ledger_client *cl, struct call *k)
{
    const struct reply *r = k->reply;
    k->proven = k->proven || !r->has_checkpoint || trust_has(&cl->trust, &r->snapshot.cp);
    k->witnessed_proven = k->witnessed_proven || !r->witnessed.present || trust_has(&cl->trust, &r->witnessed.cp);
    return k->proven && k->witnessed_proven;
}

/* Hands out answers whose checkpoints have become trusted. */
static void finish_trusted(struct ledger_client *cl)
{
    for (struct call *k = cl->list, *next; k; k = next) {
        next = k->next;
        if (k->state != CALL_TRUSTING || !is_proven(cl, k) || !others_trusted(cl, k))
            continue;
        quorum_finish(cl, k);
        if (keys_show(cl, k))
            judge_freshness(cl, k);
        call_end(cl, k);
    }
    trust_prune(&cl->trust);
}

static bool send_call(struct ledger_client *cl, struct call *k)
{
    struct arena_mark mark = arena_mark(cl->scratch);
    k->id = session_id(cl);
    k->floor = cl->trust.latest->size;
    k->busy = false;
    struct span request = k->quorum ? quorum_request(cl, k, cl->scratch, k->id) : k->ops->request(cl, k, cl->scratch, k->id);
    if (!request.p) {
        call_fail(cl, k, LEDGER_ENOMEM, "out of memory");
        return true;
    }
    k->state = CALL_SENT;
    bool sent = session_send(cl, request);
    arena_release(cl->scratch, mark);
    return sent;
}

struct window {
    unsigned requests, streams;
};

static struct window count_window(const struct ledger_client *cl)
{
    struct window w = {0, 0};
    for (const struct trust_node *n = cl->trust.first; n; n = n->next)
        w.requests += !n->linked && !n->trusted;
    for (const struct call *k = cl->list; k; k = k->next) {
        w.requests += k->state == CALL_SENT;
        w.streams += k->state == CALL_SENT && k->ops->stream;
    }
    return w;
}

static void send_calls(struct ledger_client *cl, uint64_t now)
{
    struct window w = count_window(cl);
    for (struct call *k = cl->list, *next; k; k = next) {
        next = k->next;
        if (k->state != CALL_QUEUED || k->not_before_ms > now)
            continue;
        if (k->rq.op == CALL_CONNECT) {
            finish_connect(cl, k);
            continue;
        }
        if (w.requests >= cl->window_requests || conn_pending(cl->connection) > PENDING_BYTES_MAX)
            return;
        if (k->ops->stream && w.streams >= cl->window_streams)
            continue;
        w.requests++;
        w.streams += k->ops->stream;
        if (!send_call(cl, k))
            return;
    }
}

static void cancel_stream(struct ledger_client *cl, uint64_t id)
{
    struct arena_mark mark = arena_mark(cl->scratch);
    (void)session_send(cl, rpc_put_cancel(cl->scratch, session_id(cl), id));
    arena_release(cl->scratch, mark);
}

static void expire_call(struct ledger_client *cl, struct call *k)
{
    bool streaming = cl->state == SESSION_READY && k->state == CALL_SENT && k->ops->stream && !k->quorum;
    uint64_t stream = streaming ? k->id : 0;
    const char *why = cl->last.msg[0] ? cl->last.msg : "the server is silent";
    if (k->quorum && k->state != CALL_TRUSTING) {
        (void)quorum_missing(cl, k);
        quorum_fail(cl, k);
    } else if (k->state == CALL_SENT && k->ops && k->ops->expire && k->ops->expire(cl, k)) {
        k->reply->witnessed.present = k->reply->witnessed.present && trust_has(&cl->trust, &k->reply->witnessed.cp);
        quorum_finish(cl, k);
        judge_freshness(cl, k);
        call_end(cl, k);
    } else if (k->busy) {
        call_fail(cl, k, LEDGER_EBUSY, "%s was busy for %u ms", cl->profile->address, k->timeout_ms);
    } else if (k->parted && k->state == CALL_SENT && k->deadline_ms < k->latest_ms) {
        call_fail(cl, k, LEDGER_ECONNECT, "the answer from %s stopped half-way: nothing more for %u ms: %s", cl->profile->address, k->timeout_ms, why);
    } else if (k->parted && k->state == CALL_SENT) {
        call_fail(cl, k, LEDGER_ECONNECT, "the answer from %s was not at its end within %u s", cl->profile->address,
                  (k->timeout_ms > ANSWER_MS_MAX ? k->timeout_ms : ANSWER_MS_MAX) / 1000);
    } else {
        call_fail(cl, k, LEDGER_ECONNECT, "no answer from %s within %u ms: %s", cl->profile->address, k->timeout_ms, why);
    }
    if (stream)
        cancel_stream(cl, stream);
}

static void expire_calls(struct ledger_client *cl, uint64_t now)
{
    for (struct call *k = cl->list, *next; k; k = next) {
        next = k->next;
        if (k->deadline_ms <= now)
            expire_call(cl, k);
    }
}

/* ---- answers ---- */

/* Asked again later: a busy server promises that nothing was recorded, one that failed in the middle does not know. */
static void try_again(struct call *k, bool unresolved, uint64_t now)
{
    k->busy = !unresolved;
    k->unresolved = k->unresolved || unresolved;
    k->not_before_ms = now + backoff_ms(k->attempts++);
    call_restart(k);
}

static void take_error(struct ledger_client *cl, struct call *k, const struct message_error *e)
{
    struct ledger_err err;
    enum ledger_rc rc = rc_from_message(e);
    bool submit = k->rq.op == CALL_SUBMIT, unknown = submit && e->recorded == LEDGER_RECORDED_UNKNOWN;
    if (rc == LEDGER_EBUSY || (unknown && rc != LEDGER_ECONNECT)) {
        try_again(k, unknown, conn_clock_ms());
        return;
    }
    if (rc == LEDGER_ECONNECT) {
        ledger_fail(&err, rc, "%s: %s", cl->profile->address, e->text);
        if (submit && e->recorded == LEDGER_RECORDED_NOTHING)
            k->state = CALL_QUEUED; /* so that losing the connection does not leave a doubt */
        session_lost(cl, &err);
        return;
    }
    if (submit && e->recorded == LEDGER_RECORDED_NOTHING)
        k->state = CALL_QUEUED;
    if (rc == LEDGER_ENOTFOUND && k->rq.op == CALL_PROVE) {
        /* What is not in the ledger is proven not to be there; a server's word for it is no answer. */
        call_fail(cl, k, LEDGER_EPROTO, "the server says that it is not there, and proves nothing: %s", e->text);
        return;
    }
    call_fail(cl, k, rc, "%s", e->text[0] ? e->text : ledger_rc_text(rc));
}

/* A long answer's checkpoints may have been forgotten, among many newer ones, before its last part came. */
static bool see_again(struct ledger_client *cl, const struct reply *r)
{
    return (!r->has_checkpoint || session_see(cl, &r->snapshot.cp, r->snapshot.note)) &&
           (!r->witnessed.present || session_see(cl, &r->witnessed.cp, r->witnessed.note));
}

/* A long answer may take its time as long as it goes on. A follower's time is its caller's: it waits for something to happen. */
static void goes_on(struct call *k)
{
    uint64_t until = conn_clock_ms() + k->timeout_ms;
    if (!k->ops->stream || (k->rq.op == CALL_ENTRIES && k->rq.u.entries.follow))
        return;
    until = until < k->latest_ms ? until : k->latest_ms;
    k->deadline_ms = until > k->deadline_ms ? until : k->deadline_ms;
    k->parted = true;
}

static void take_answer(struct ledger_client *cl, struct call *k, const struct message *m, struct span bytes)
{
    if (m->kind == MESSAGE_ERROR) {
        if (!quorum_error(cl, k, &m->u.error))
            take_error(cl, k, &m->u.error);
        return;
    }
    enum call_step step = k->quorum ? quorum_answer(cl, k, m) : k->ops->answer(cl, k, m);
    if (cl->state != SESSION_READY) /* the session ended meanwhile, and with it perhaps the call */
        return;
    switch (step) {
    case STEP_MORE:
        goes_on(k);
        break;
    case STEP_NEXT:
    case STEP_LATER:
        k->state = CALL_QUEUED;
        k->not_before_ms = step == STEP_LATER ? conn_clock_ms() + QUORUM_AGAIN_MS : 0;
        break;
    case STEP_TRUST:
        if (quorum_wanted(cl, k)) {
            quorum_begin(k);
            break;
        }
        k->state = CALL_TRUSTING;
        if (!see_again(cl, k->reply))
            return; /* the session ended, and the call with it */
        break;
    case STEP_FAILED:
        if (keys_changed(cl, k->reply)) {
            session_lost(cl, &k->reply->err); /* and the call is sent again */
            break;
        }
        if (k->quorum && k->reply->rc != LEDGER_ETAMPER) {
            quorum_fail(cl, k);
            break;
        }
        if (k->rq.op == CALL_SUBMIT)
            k->reply->recorded = LEDGER_RECORDED_UNKNOWN;
        if (k->reply->rc == LEDGER_ETAMPER)
            session_keep_answer(cl, k, bytes);
        call_end(cl, k);
        break;
    }
}

/* The id stands first in every Response; one that does not begin with it is nobody's. */
static uint64_t leading_id(struct span s)
{
    uint64_t v = 0;
    if (s.n < 2 || s.p[0] != 0x08)
        return 0;
    for (size_t i = 1; i < s.n && i <= 10; i++) {
        v |= (uint64_t)(s.p[i] & 0x7f) << (7 * (i - 1));
        if (!(s.p[i] & 0x80))
            return v;
    }
    return 0;
}

static struct call *find_call(struct ledger_client *cl, uint64_t id)
{
    struct call *k = cl->list;
    while (k && (k->state != CALL_SENT || k->id != id))
        k = k->next;
    return id ? k : NULL;
}

/* Answers to the session itself. */
static void take_own(struct ledger_client *cl, const struct message *m)
{
    struct ledger_err err;
    if (cl->state == SESSION_ACCUSING) {
        accuse_take(cl, m);
        return;
    }
    if (cl->state == SESSION_HELLO) {
        if (m->id == cl->hello_id || m->kind == MESSAGE_ERROR)
            (void)take_hello(cl, m);
        return;
    }
    if (cl->recheck_id && m->id == cl->recheck_id) {
        (void)take_recheck(cl, m);
        return;
    }
    if (cl->keys_id && m->id == cl->keys_id) {
        (void)take_keys(cl, m);
        return;
    }
    if (session_take_proof(cl, m))
        return;
    /* Late answers to calls that were given up are no news; an error of the whole connection is. */
    if (m->id == 0 && m->kind == MESSAGE_ERROR) {
        ledger_fail(&err, rc_from_message(&m->u.error), "%s: %s", cl->profile->address, m->u.error.text);
        if (is_permanent(err.rc))
            session_fail_all(cl, &err);
        else
            session_lost(cl, &err);
    }
}

static void on_frame(void *user, struct span frame)
{
    struct ledger_client *cl = user;
    struct message m;
    struct ledger_err err = {0};
    struct call *k = cl->state == SESSION_READY ? find_call(cl, leading_id(frame)) : NULL;
    struct arena_mark mark = arena_mark(cl->scratch);
    enum ledger_rc rc = rpc_decode(k ? k->reply->a : cl->scratch, frame, &m, &err);
    if (rc == LEDGER_ENOMEM && k)
        call_fail(cl, k, LEDGER_ENOMEM, "the answer is larger than an operation may use; ask for less");
    else if (rc != LEDGER_OK && cl->state == SESSION_ACCUSING)
        accuse_take(cl, NULL);
    else if (rc != LEDGER_OK)
        session_fail_all(cl, &err);
    else if (k)
        take_answer(cl, k, &m, frame);
    else
        take_own(cl, &m);
    arena_release(cl->scratch, mark);
    if (cl->state == SESSION_TRUSTING && session_settled(cl))
        become_ready(cl);
    pump(cl);
}

/* ---- the pump ---- */

static void take_inbox(struct ledger_client *cl, bool *closing)
{
    pthread_mutex_lock(&cl->mutex);
    if (cl->inbox) {
        *cl->list_end = cl->inbox;
        cl->list_end = cl->inbox_end;
        cl->inbox = NULL;
        cl->inbox_end = &cl->inbox;
    }
    *closing = cl->closing;
    pthread_mutex_unlock(&cl->mutex);
}

static void close_down(struct ledger_client *cl)
{
    struct ledger_err err = {0};
    bool ignored;
    if (cl->state == SESSION_ACCUSING)
        accuse_take(cl, NULL);
    (void)session_pin(cl, true, &err);
    ledger_fail(&err, LEDGER_ECANCELED, "the client is being closed");
    do {
        session_fail_all(cl, &err);
        take_inbox(cl, &ignored);
    } while (cl->list);
    conn_finish(cl->connection);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void set_timer(struct ledger_client *cl, uint64_t now)
{
    uint64_t at = UINT64_MAX;
    if (cl->state == SESSION_ACCUSING)
        at = cl->accusation.until_ms;
    for (const struct call *k = cl->list; k; k = k->next) {
        at = sooner(at, k->deadline_ms);
        if (cl->state == SESSION_READY && k->state == CALL_QUEUED && k->not_before_ms > now)
            at = sooner(at, k->not_before_ms);
    }
    if (cl->state == SESSION_PAUSE)
        at = sooner(at, cl->dial_at_ms);
    if (cl->state >= SESSION_DIALLING && cl->state < SESSION_READY)
        at = sooner(at, cl->attempt_deadline_ms);
    if (cl->trust.latest && cl->trust.latest->size > cl->pinned_size)
        at = sooner(at, cl->pin_written_ms + PIN_EVERY_MS);
    conn_timer(cl->connection, at == UINT64_MAX ? at : at > now ? at - now : 0);
}

static void advance(struct ledger_client *cl, uint64_t now)
{
    struct ledger_err err;
    if (cl->tampered) {
        if (cl->list)
            session_fail_all(cl, &cl->evidence);
        return;
    }
    if ((cl->state == SESSION_IDLE && cl->list) || (cl->state == SESSION_PAUSE && cl->list && now >= cl->dial_at_ms)) {
        dial(cl, now);
    } else if (cl->state == SESSION_PAUSE && !cl->list) {
        cl->state = SESSION_IDLE;
    } else if (cl->state >= SESSION_DIALLING && cl->state < SESSION_READY && now >= cl->attempt_deadline_ms) {
        ledger_fail(&err, LEDGER_ECONNECT, "%s does not answer", cl->profile->address);
        session_lost(cl, &err);
    } else if (cl->state == SESSION_READY) {
        send_calls(cl, now);
    }
}

/* Until the evidence is complete, or the time for it is over, or that of a call: callers are told in time. */
static void wait_for_evidence(struct ledger_client *cl, uint64_t now)
{
    bool over = now >= cl->accusation.until_ms;
    for (const struct call *k = cl->list; k; k = k->next)
        over = over || now >= k->deadline_ms;
    if (over)
        accuse_take(cl, NULL);
    set_timer(cl, now);
}

static void pump(struct ledger_client *cl)
{
    struct ledger_err ignored = {0};
    bool closing;
    take_inbox(cl, &closing);
    if (closing) {
        close_down(cl);
        return;
    }
    uint64_t now = conn_clock_ms();
    if (cl->state == SESSION_ACCUSING) {
        wait_for_evidence(cl, now);
        return;
    }
    /* The pin first: what a caller is told must not be forgotten. A disk that is full now was not when the connection was made; it
     * is tried again and does not keep answers back. */
    if (session_pin(cl, false, &ignored))
        finish_trusted(cl);
    expire_calls(cl, now);
    advance(cl, now);
    set_timer(cl, now);
}

static void on_wake(void *user)
{
    pump(user);
}

const struct connection_events session_events = {
    .wake_cb = on_wake, .timer_cb = on_wake, .open_cb = on_open, .frame_cb = on_frame, .lost_cb = on_lost,
};
