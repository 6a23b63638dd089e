/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message: encoding and decoding through protobuf-c.
 *
 * Failure modes: decoding tells a message that is too large for the budget from one that is malformed by asking the budget.
 * protobuf-c's `string` ends at the first NUL; the only string that means something here is the origin, and a cut one
 * simply is another ledger's.
 */
#include "message.h"

#include <string.h>

#include "entry.h"
#include "ledger.pb-c.h"

_Static_assert((int)ERROR_MALFORMED == LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED &&
                   (int)ERROR_BUSY == LEDGERD__V1__ERROR_CODE__ERROR_BUSY &&
                   (int)ERROR_SHUTTING_DOWN == LEDGERD__V1__ERROR_CODE__ERROR_SHUTTING_DOWN &&
                   (int)ERROR_TIMEOUT == LEDGERD__V1__ERROR_CODE__ERROR_TIMEOUT &&
                   (int)RECORDED_UNKNOWN == LEDGERD__V1__RECORDED__RECORDED_UNKNOWN,
               "numbers of ledger.proto");

/* ---- decoding ---- */

struct budget {
    struct arena *a;
    size_t left;
    bool exceeded;
};

static void *budget_alloc(void *ctx, size_t n)
{
    struct budget *b = ctx;
    void *p = n <= b->left ? arena_alloc(b->a, n) : NULL;
    if (!p) {
        b->exceeded = true;
        return NULL;
    }
    b->left -= n;
    return p;
}

static void budget_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p; /* The arena goes as a whole. */
}

static struct span *spans_of(struct arena *a, const ProtobufCBinaryData *d, size_t n)
{
    struct span *s = arena_alloc(a, (n ? n : 1) * sizeof *s);
    for (size_t i = 0; s && i < n; i++)
        s[i] = span_of(d[i].data, d[i].len);
    return s;
}

static enum message_op op_of(Ledgerd__V1__Request__OpCase c)
{
    switch ((int)c) { /* The generated enum has a member that is no value. */
    case LEDGERD__V1__REQUEST__OP_HELLO:
        return OP_HELLO;
    case LEDGERD__V1__REQUEST__OP_SUBMIT:
    case LEDGERD__V1__REQUEST__OP_SUBMIT_OWN:
        return OP_SUBMIT;
    case LEDGERD__V1__REQUEST__OP_CHECKPOINT:
    case LEDGERD__V1__REQUEST__OP_CONSISTENCY:
    case LEDGERD__V1__REQUEST__OP_RECEIPT:
    case LEDGERD__V1__REQUEST__OP_STATUS:
    case LEDGERD__V1__REQUEST__OP_LOG_KEYS:
    case LEDGERD__V1__REQUEST__OP_WITNESSED:
        return OP_SINGLE;
    case LEDGERD__V1__REQUEST__OP_ENTRIES:
    case LEDGERD__V1__REQUEST__OP_PROVE:
    case LEDGERD__V1__REQUEST__OP_FIND:
        return OP_STREAM;
    case LEDGERD__V1__REQUEST__OP_CREDIT:
        return OP_CREDIT;
    case LEDGERD__V1__REQUEST__OP_CANCEL:
        return OP_CANCEL;
    default:
        return OP_UNKNOWN;
    }
}

static enum ledger_rc take_submit(struct arena *a, const Ledgerd__V1__SubmitRequest *s, struct message *out,
                                  struct ledger_err *err)
{
    out->n_events = s->n_events;
    out->n_signatures = s->n_signatures;
    out->all_or_nothing = s->all_or_nothing;
    out->events = spans_of(a, s->events, s->n_events);
    out->signatures = spans_of(a, s->signatures, s->n_signatures);
    if (!out->events || !out->signatures)
        return ledger_fail(err, LEDGER_ELIMIT, "the request is over the memory budget");
    return LEDGER_OK;
}

static enum ledger_rc take_submit_own(struct arena *a, const Ledgerd__V1__SubmitOwnRequest *s, struct message *out,
                                      struct ledger_err *err)
{
    if (!own_kind_signed(s->kind))
        return ledger_fail(err, LEDGER_EINVAL, "the request's kind is no act of the ledger that persons sign");
    out->own_kind = s->kind;
    out->n_events = 1;
    out->n_signatures = s->n_signatures;
    out->events = spans_of(a, &s->payload, 1);
    out->signatures = spans_of(a, s->signatures, s->n_signatures);
    if (!out->events || !out->signatures)
        return ledger_fail(err, LEDGER_ELIMIT, "the request is over the memory budget");
    return LEDGER_OK;
}

enum ledger_rc message_decode(struct arena *a, struct span frame, struct message *out, struct ledger_err *err)
{
    struct budget b = {.a = a, .left = MESSAGE_DECODE_MAX};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &b};
    const Ledgerd__V1__Request *r = ledgerd__v1__request__unpack(&allocator, frame.n, frame.p);
    *out = (struct message){0};
    if (!r && b.exceeded)
        return ledger_fail(err, LEDGER_ELIMIT, "the request takes more memory than one may");
    if (!r)
        return ledger_fail(err, LEDGER_EINVAL, "the frame holds no Request message");
    out->id = r->id;
    out->op = op_of(r->op_case);
    out->names_many = r->op_case == LEDGERD__V1__REQUEST__OP_PROVE;
    if (out->op == OP_HELLO) {
        out->version_min = r->hello->version_min;
        out->version_max = r->hello->version_max;
        out->origin = span_str(r->hello->origin);
    } else if (out->op == OP_CREDIT) {
        out->stream = r->credit->stream;
        out->responses = r->credit->responses;
    } else if (out->op == OP_CANCEL) {
        out->stream = r->cancel->stream;
    } else if (out->op == OP_SUBMIT) {
        return r->op_case == LEDGERD__V1__REQUEST__OP_SUBMIT ? take_submit(a, r->submit, out, err)
                                                             : take_submit_own(a, r->submit_own, out, err);
    }
    return LEDGER_OK;
}

/* ---- encoding ---- */

static bool put(struct bytes *out, const Ledgerd__V1__Response *r)
{
    size_t n = ledgerd__v1__response__get_packed_size(r);
    if (n > FRAME_MAX)
        return false;
    uint8_t *room = bytes_grow(out, FRAME_HEAD + n);
    if (!room)
        return false;
    frame_head(room, n);
    LEDGER_REQUIRE(ledgerd__v1__response__pack(r, room + FRAME_HEAD) == n);
    return true;
}

/* protobuf-c's messages have no const; encoding only reads. */
static char *text_of(const char *s)
{
    return (char *)(uintptr_t)s;
}

static ProtobufCBinaryData data_of(struct span s)
{
    return (ProtobufCBinaryData){s.n, (uint8_t *)(uintptr_t)s.p};
}

bool message_put_error(struct bytes *out, uint64_t id, const struct error_answer *e)
{
    Ledgerd__V1__Error error;
    Ledgerd__V1__Response r;
    ledgerd__v1__error__init(&error);
    ledgerd__v1__response__init(&r);
    error.code = (Ledgerd__V1__ErrorCode)e->code;
    error.text = text_of(e->text);
    error.recorded = (Ledgerd__V1__Recorded)e->recorded;
    r.id = id;
    r.answer_case = LEDGERD__V1__RESPONSE__ANSWER_ERROR;
    r.error = &error;
    return put(out, &r);
}

bool message_put_hello(struct bytes *out, uint64_t id, const struct hello_answer *h)
{
    Ledgerd__V1__HelloResponse hello;
    Ledgerd__V1__Response r;
    ledgerd__v1__hello_response__init(&hello);
    ledgerd__v1__response__init(&r);
    hello.version = 1;
    hello.program = text_of(h->program);
    hello.origin = text_of(h->origin);
    hello.client = text_of(h->client);
    hello.checkpoint = data_of(h->checkpoint);
    hello.frame_bytes_max = FRAME_MAX;
    hello.submit_events_max = MESSAGE_EVENTS_MAX;
    hello.requests_max = h->requests_max;
    hello.streams_max = h->streams_max;
    r.id = id;
    r.answer_case = LEDGERD__V1__RESPONSE__ANSWER_HELLO;
    r.hello = &hello;
    return put(out, &r);
}

/* One result with the message that belongs to it; in arrays of the job's arena. */
struct result_parts {
    Ledgerd__V1__SubmitResult result;
    Ledgerd__V1__Accepted accepted;
    Ledgerd__V1__Refusal refusal;
};

static void fill_result(struct result_parts *p, struct job_result *from)
{
    ledgerd__v1__submit_result__init(&p->result);
    switch (from->outcome) {
    case JOB_ACCEPTED:
    case JOB_BEFORE:
        ledgerd__v1__accepted__init(&p->accepted);
        p->accepted.index = from->index;
        p->accepted.before = from->outcome == JOB_BEFORE;
        p->accepted.header = data_of(from->header);
        p->accepted.path = data_of(from->path);
        p->result.result_case = LEDGERD__V1__SUBMIT_RESULT__RESULT_ACCEPTED;
        p->result.accepted = &p->accepted;
        break;
    case JOB_REFUSED:
        ledgerd__v1__refusal__init(&p->refusal);
        p->refusal.code = (uint32_t)from->why.code;
        p->refusal.name = text_of(refusal_name(from->why.code));
        p->refusal.subject = from->why.subject;
        p->refusal.field = from->why.field;
        p->refusal.text = from->why.text;
        p->refusal.recorded_index = from->why.code == E_DUP_EVENT ? from->index : 0;
        p->result.result_case = LEDGERD__V1__SUBMIT_RESULT__RESULT_REFUSAL;
        p->result.refusal = &p->refusal;
        break;
    case JOB_SKIPPED:
        p->result.result_case = LEDGERD__V1__SUBMIT_RESULT__RESULT_SKIPPED;
        p->result.skipped = 1;
        break;
    }
}

/* How many results from `first` on fit into one frame; at least one does, since a header is at most 64 KiB. */
static size_t results_that_fit(struct result_parts *parts, size_t first, size_t n, size_t room)
{
    size_t k = first, used = 0;
    for (; k < n; k++) {
        used += ledgerd__v1__submit_result__get_packed_size(&parts[k].result) + 8; /* its tag and length */
        if (k > first && used > room)
            break;
    }
    return k - first;
}

bool message_put_submit(struct bytes *out, uint64_t id, struct job *job)
{
    Ledgerd__V1__SubmitResponse submit;
    Ledgerd__V1__Response r;
    struct result_parts *parts = arena_alloc(job->a, job->n_events * sizeof *parts);
    Ledgerd__V1__SubmitResult **results = arena_alloc(job->a, job->n_events * sizeof *results);
    ledgerd__v1__submit_response__init(&submit);
    ledgerd__v1__response__init(&r);
    if (!parts || !results)
        return false;
    for (size_t i = 0; i < job->n_events; i++) {
        fill_result(&parts[i], &job->results[i]);
        results[i] = &parts[i].result;
    }
    submit.checkpoint = data_of(job->checkpoint);
    r.id = id;
    r.answer_case = LEDGERD__V1__RESPONSE__ANSWER_SUBMIT;
    r.submit = &submit;
    size_t room = FRAME_MAX - job->checkpoint.n - 64; /* what else stands in the frame */
    for (size_t i = 0; i < job->n_events; i += submit.n_results) {
        submit.results = results + i;
        submit.n_results = results_that_fit(parts, i, job->n_events, room);
        r.more = i + submit.n_results < job->n_events;
        if (!put(out, &r))
            return false;
    }
    return true;
}

bool message_put_encoded(struct bytes *out, struct span response)
{
    if (response.n < 1 || response.n > FRAME_MAX)
        return false;
    uint8_t *room = bytes_grow(out, FRAME_HEAD + response.n);
    if (!room)
        return false;
    frame_head(room, response.n);
    memcpy(room + FRAME_HEAD, response.p, response.n);
    return true;
}

/* ---- the checkpoint in a hello ---- */

struct span message_checkpoint_request(struct arena *a)
{
    Ledgerd__V1__CheckpointRequest checkpoint;
    Ledgerd__V1__Request r;
    ledgerd__v1__checkpoint_request__init(&checkpoint);
    ledgerd__v1__request__init(&r);
    r.id = 1;
    r.op_case = LEDGERD__V1__REQUEST__OP_CHECKPOINT;
    r.checkpoint = &checkpoint;
    size_t n = ledgerd__v1__request__get_packed_size(&r);
    uint8_t *p = arena_alloc(a, n);
    return p ? span_of(p, ledgerd__v1__request__pack(&r, p)) : SPAN_NONE;
}

struct span message_checkpoint_note(struct arena *a, struct span response)
{
    struct budget b = {.a = a, .left = MESSAGE_DECODE_MAX};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &b};
    const Ledgerd__V1__Response *r = ledgerd__v1__response__unpack(&allocator, response.n, response.p);
    if (!r || r->answer_case != LEDGERD__V1__RESPONSE__ANSWER_CHECKPOINT)
        return SPAN_NONE;
    return span_of(r->checkpoint->checkpoint.data, r->checkpoint->checkpoint.len);
}
