/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query: the life of a query (query.h): decoding the request under a budget, calling the family
 * that answers it, encoding what it built, and turning whatever goes wrong into an Error response.
 *
 * The look at the store is opened by the family and closed here, after the response has been
 * encoded, for the response borrows from the store's pages until then.
 */
#include <stdlib.h>
#include <string.h>

#include "query_internal.h"

static const struct family families[] = {
    {LEDGERD__V1__REQUEST__OP_CHECKPOINT, next_checkpoint},
    {LEDGERD__V1__REQUEST__OP_CONSISTENCY, next_consistency},
    {LEDGERD__V1__REQUEST__OP_ENTRIES, next_entries},
    {LEDGERD__V1__REQUEST__OP_PROVE, next_prove},
    {LEDGERD__V1__REQUEST__OP_FIND, next_find},
    {LEDGERD__V1__REQUEST__OP_RECEIPT, next_receipt},
    {LEDGERD__V1__REQUEST__OP_STATUS, next_status},
    {LEDGERD__V1__REQUEST__OP_LOG_KEYS, next_log_keys},
    {LEDGERD__V1__REQUEST__OP_WITNESSED, next_witnessed},
};

static const struct family *find_family(Ledgerd__V1__Request__OpCase op)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (families[i].op == op)
            return &families[i];
    return NULL;
}

/* protobuf-c allocates through these. `exhausted` tells a budget that ran out from bytes that are
 * no message. */
struct decode_memory {
    struct arena *a;
    size_t left; /* by the request's own size: a few bytes that nobody knows take many in their decoded form, and stay as long as the query */
    bool exhausted;
};
#define DECODED_BYTES_MIN ((size_t)64 * 1024)
#define DECODED_TIMES 16 /* a list of the shortest names takes thirteen times its own bytes */

static void *decode_alloc(void *ctx, size_t n)
{
    struct decode_memory *m = ctx;
    void *p = n <= m->left ? arena_alloc(m->a, n) : NULL;
    m->left -= p ? n : 0;
    m->exhausted = m->exhausted || !p;
    return p;
}

static void decode_free(void *ctx, void *p)
{
    (void)ctx; /* The arena is freed as a whole. */
    (void)p;
}

/* The id, if the request begins with it, so that even a request that cannot be decoded is answered
 * by name. */
static uint64_t leading_id(struct span s)
{
    uint64_t v = 0;
    if (s.n < 2 || s.p[0] != 0x08)
        return 0;
    for (size_t i = 1; i < s.n && i <= 9; i++) {
        v |= (uint64_t)(s.p[i] & 0x7f) << (7 * (i - 1));
        if (!(s.p[i] & 0x80))
            return v;
    }
    return 0;
}

static void decode_request(struct query *q, struct span request)
{
    struct decode_memory mem = {.a = q->a, .left = DECODED_BYTES_MIN + DECODED_TIMES * request.n};
    ProtobufCAllocator allocator = {decode_alloc, decode_free, &mem};
    q->id = leading_id(request);
    q->request = ledgerd__v1__request__unpack(&allocator, request.n, request.p);
    if (!q->request && mem.exhausted) {
        ledger_fail(&q->failed, LEDGER_ELIMIT,
                    "the request needs more memory than a request may use");
        return;
    }
    if (!q->request) {
        ledger_fail(&q->failed, LEDGER_EINVAL, "the frame holds no Request message");
        return;
    }
    q->id = q->request->id;
    q->family = find_family(q->request->op_case);
    if (q->id == 0)
        ledger_fail(&q->failed, LEDGER_EINVAL, "a request's id is not 0");
    else if (!q->family)
        ledger_fail(&q->failed, LEDGER_EPROTO, "this server does not know that request");
}

enum ledger_rc query_begin(const struct query_env *env, struct span request, struct query **out,
                           struct ledger_err *err)
{
    *out = NULL;
    struct query *q = calloc(1, sizeof *q);
    if (!q)
        return ledger_fail(err, LEDGER_ENOMEM, "query: out of memory");
    q->env = *env;
    q->c = crypto_new();
    q->a = arena_new(QUERY_BUDGET);
    q->scratch = arena_new(QUERY_SCRATCH_BUDGET);
    if (!q->c || !q->a || !q->scratch) {
        query_end(q);
        return ledger_fail(err, LEDGER_ENOMEM, "query: out of memory");
    }
    decode_request(q, request);
    *out = q;
    return LEDGER_OK;
}

void query_end(struct query *q)
{
    if (!q)
        return;
    view_close(q);
    arena_free(q->side);
    arena_free(q->sent);
    arena_free(q->scratch);
    arena_free(q->a);
    crypto_free(q->c);
    free(q);
}

uint32_t query_credit(const struct query *q)
{
    uint32_t credit = 0;
    if (q->failed.rc == LEDGER_OK && q->request->op_case == LEDGERD__V1__REQUEST__OP_ENTRIES)
        credit = q->request->entries->credit;
    else if (q->failed.rc == LEDGER_OK && q->request->op_case == LEDGERD__V1__REQUEST__OP_PROVE)
        credit = q->request->prove->credit;
    return credit ? credit : QUERY_CREDIT_DEFAULT;
}

int64_t query_wait_until_ms(const struct query *q)
{
    return q->wait_until_ms;
}

bool query_expire(struct query *q)
{
    if (!q->sn || view_check_time(q, NULL) == LEDGER_OK)
        return false;
    view_close(q);
    q->expired = true;
    return true;
}

/* One mapper from our codes to the protocol's. Whatever is not listed is no fault of the client's.
 */
static Ledgerd__V1__ErrorCode error_code(enum ledger_rc rc)
{
    static const struct {
        enum ledger_rc rc;
        Ledgerd__V1__ErrorCode code;
    } map[] = {
        {LEDGER_EINVAL, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED},
        {LEDGER_EPROTO, LEDGERD__V1__ERROR_CODE__ERROR_UNKNOWN_REQUEST},
        {LEDGER_EVERSION, LEDGERD__V1__ERROR_CODE__ERROR_VERSION},
        {LEDGER_EBUSY, LEDGERD__V1__ERROR_CODE__ERROR_BUSY},
        {LEDGER_EDENIED, LEDGERD__V1__ERROR_CODE__ERROR_DENIED},
        {LEDGER_ENOTFOUND, LEDGERD__V1__ERROR_CODE__ERROR_NOT_FOUND},
        {LEDGER_ENOMEM, LEDGERD__V1__ERROR_CODE__ERROR_LIMIT},
        {LEDGER_ELIMIT, LEDGERD__V1__ERROR_CODE__ERROR_LIMIT},
        {LEDGER_ECANCELED, LEDGERD__V1__ERROR_CODE__ERROR_TIMEOUT},
    };
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
        if (map[i].rc == rc)
            return map[i].code;
    return LEDGERD__V1__ERROR_CODE__ERROR_INTERNAL;
}

static enum ledger_rc encode(struct reply *r, struct span *out, struct ledger_err *err)
{
    size_t n = ledgerd__v1__response__get_packed_size(r->msg);
    uint8_t *p = arena_alloc(r->a, n);
    if (!p)
        return no_room(err);
    LEDGER_REQUIRE(ledgerd__v1__response__pack(r->msg, p) == n);
    *out = span_of(p, n);
    return LEDGER_OK;
}

static enum ledger_rc encode_error(struct query *q, struct arena *a, const struct ledger_err *why,
                                   struct span *out, struct ledger_err *err)
{
    Ledgerd__V1__Response msg;
    Ledgerd__V1__Error error;
    ledgerd__v1__response__init(&msg);
    ledgerd__v1__error__init(&error);
    char text[sizeof why->msg];
    /* A message that was cut may end in the middle of a character, which is no protobuf string. */
    size_t n = utf8_valid_prefix(span_str(why->msg));
    memcpy(text, why->msg, n);
    text[n] = '\0';
    error.code = error_code(why->rc);
    error.text = text;
    msg.id = q->id;
    msg.answer_case = LEDGERD__V1__RESPONSE__ANSWER_ERROR;
    msg.error = &error;
    struct reply r = {.a = a, .msg = &msg};
    return encode(&r, out, err);
}

/* The first responses of an answer are short: whoever asked begins to verify while the next ones are made. */
static size_t full_at(struct query *q)
{
    static const size_t FIRST[] = {QUERY_RESPONSE_BYTES / 4, QUERY_RESPONSE_BYTES / 2};
    return q->given < sizeof FIRST / sizeof FIRST[0] ? FIRST[q->given++] : QUERY_RESPONSE_BYTES;
}

/* Asks the family for one response and encodes it. A failure that is the query's own, and no
 * "nothing new", is also in q->failed. err is not NULL. */
static enum ledger_rc answer(struct query *q, struct arena *a, struct span *out, bool *more,
                             struct ledger_err *err)
{
    if (q->failed.rc != LEDGER_OK) {
        *err = q->failed;
        return q->failed.rc;
    }
    if (q->expired)
        return ledger_fail(err, LEDGER_ECANCELED,
                           "the answers were not read within %d seconds; ask again",
                           QUERY_PIN_MS_MAX / 1000);
    Ledgerd__V1__Response msg;
    ledgerd__v1__response__init(&msg);
    struct reply r = {.a = a, .msg = &msg, .bytes_max = full_at(q)};
    enum ledger_rc rc = view_open(q, &q->failed);
    if (rc != LEDGER_OK) {
        *err = q->failed;
        return rc;
    }
    rc = view_check_time(q, err);
    view_going_on(q);
    if (rc == LEDGER_OK)
        rc = q->family->next(q, &r, err);
    if (rc != LEDGER_OK)
        return rc;
    msg.id = q->id;
    rc = encode(&r, out, err);
    *more = msg.more;
    return rc;
}

enum ledger_rc query_next(struct query *q, struct arena *a, struct span *response, bool *more,
                          struct ledger_err *err)
{
    *response = SPAN_NONE;
    *more = false;
    if (q->done)
        return ledger_fail(err, LEDGER_EINVAL, "query: the last response has been given");
    struct arena_mark mark = arena_mark(a);
    struct ledger_err why = {.rc = LEDGER_OK};
    const bool pinned = q->sn != NULL;
    arena_reset(q->scratch);
    enum ledger_rc rc = answer(q, a, response, more, &why);
    if (rc == LEDGER_EBUSY && q->failed.rc == LEDGER_OK) {
        view_close(q);
        arena_release(a, mark);
        return LEDGER_EBUSY;
    }
    /* Kept from here on, as others are: were there no end to it, nobody could look at the store any more, the writer neither. */
    if (rc == LEDGER_OK && *more && q->pinned && !pinned && store_snapshots(q->env.store) > STORE_SNAPSHOTS_MAX)
        rc = ledger_fail(&why, LEDGER_EBUSY, "too many long answers are being read at the same time; ask again");
    if (rc != LEDGER_OK) {
        arena_release(a, mark);
        *more = false;
        rc = encode_error(q, a, &why, response, err);
    }
    if (!*more || !q->pinned)
        view_close(q);
    q->done = !*more;
    return rc;
}
