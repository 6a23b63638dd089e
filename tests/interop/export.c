/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export: makes a ledger with the daemon's own pipeline and store, asks the daemon's own queries about it, and writes what they
 * served as lines, for a reader that shares no code with this project (reader.go).
 *
 *   export FILE
 *
 * Lines, base64 for bytes, an empty path as "-":
 *   vkey VKEY                        verifier key of the log
 *   note NOTE                        a signed checkpoint; the last one is the latest
 *   header INDEX HEADER              an entry's header, a leaf of the tree; ascending
 *   inclusion INDEX SIZE PATH        of an entry in the tree of that size
 *   consistency SIZE1 SIZE2 PATH
 *
 * Exit code 0: everything was written.
 */
#include "lib/scratch_run.h"

#include "ledger.pb-c.h"
#include "lib/check.h"
#include "query.h"

enum { BATCHES = 34, BATCH_MAX = 17, EVENTS_MAX = BATCHES * BATCH_MAX + 1 };

struct export {
    FILE *f;
    struct scratch s;
    struct run run;
    struct arena *a; /* of one question */
    uint64_t size;   /* of the latest checkpoint */
    uint64_t events[EVENTS_MAX];
    size_t n_events;
};

static void put_bytes(struct export *x, struct span bytes)
{
    char *text = arena_alloc(x->a, b64_len(bytes.n) + 1);
    CHECK(text != NULL);
    b64_encode(bytes, text);
    fprintf(x->f, " %s", bytes.n ? text : "-");
}

static void put_note(struct export *x, struct span note)
{
    fprintf(x->f, "note");
    put_bytes(x, note);
    fprintf(x->f, "\n");
}

static void put_inclusion(struct export *x, uint64_t index, uint64_t size, struct span path)
{
    fprintf(x->f, "inclusion %llu %llu", (unsigned long long)index, (unsigned long long)size);
    put_bytes(x, path);
    fprintf(x->f, "\n");
}

/* ---- recording ---- */

static void record(struct export *x, struct span *events, size_t n, const char *party, unsigned key)
{
    struct request q;
    struct span signature = pen_sign(&x->s.pen, events, n, party, key, SPAN_NONE);
    request_init(&q, &x->run, events, n, &signature, 1);
    request_do(&q);
    CHECK_EQ_INT(q.job.rc, LEDGER_OK);
    put_note(x, q.job.checkpoint);
    uint64_t size = note_size(&x->s, &x->s.pen, q.job.checkpoint);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ_INT(q.job.results[i].outcome, JOB_ACCEPTED);
        put_inclusion(x, q.job.results[i].index, size, q.job.results[i].path);
        x->events[x->n_events++] = q.job.results[i].index;
    }
    request_fini(&q);
    arena_reset(x->a);
}

static void record_all(struct export *x)
{
    struct span events[BATCH_MAX];
    char item[32];
    unsigned items = 0;
    events[0] = pen_registration(&x->s.pen, "registration", "u.wh", "WAREHOUSE", KEY_WAREHOUSE);
    record(x, events, 1, SCRATCH_ADMIN, KEY_ADMIN);
    for (unsigned b = 0; b < BATCHES; b++) {
        size_t n = b % BATCH_MAX + 1;
        for (size_t i = 0; i < n; i++) {
            snprintf(item, sizeof item, "M-%04u", items++);
            events[i] = pen_material(&x->s.pen, item);
        }
        record(x, events, n, "u.wh", KEY_WAREHOUSE);
    }
}

/* ---- asking ---- */

static void *take(void *ctx, size_t n)
{
    return arena_alloc(ctx, n);
}

static void leave(void *ctx, void *p)
{
    (void)ctx, (void)p;
}

/* Asks and hands each response on. The answer must be of the kind that the question asks for. */
static void ask(struct export *x, const Ledgerd__V1__Request *rq, Ledgerd__V1__Response__AnswerCase kind,
                void (*answer)(struct export *x, const Ledgerd__V1__Response *r))
{
    struct access access = {.may_read_states = true, .read_kinds = UINT32_MAX};
    struct query_env env = {.store = x->run.store, .access = &access};
    ProtobufCAllocator allocator = {take, leave, x->a};
    struct query *q;
    bool more = true;
    size_t n = ledgerd__v1__request__get_packed_size(rq);
    uint8_t *bytes = arena_alloc(x->a, n);
    CHECK(bytes != NULL);
    ledgerd__v1__request__pack(rq, bytes);
    CHECK_EQ_INT(query_begin(&env, span_of(bytes, n), &q, NULL), LEDGER_OK);
    while (more) {
        struct span response;
        CHECK_EQ_INT(query_next(q, x->a, &response, &more, NULL), LEDGER_OK);
        const Ledgerd__V1__Response *r = ledgerd__v1__response__unpack(&allocator, response.n, response.p);
        CHECK(r != NULL);
        CHECK_EQ_INT(r->answer_case, kind);
        answer(x, r);
    }
    query_end(q);
    arena_reset(x->a);
}

static struct span of_bin(ProtobufCBinaryData b)
{
    return span_of(b.data, b.len);
}

static void answer_headers(struct export *x, const Ledgerd__V1__Response *r)
{
    for (size_t i = 0; i < r->entries->n_records; i++) {
        fprintf(x->f, "header %llu", (unsigned long long)(r->entries->first + i));
        put_bytes(x, of_bin(r->entries->records[i]->header));
        fprintf(x->f, "\n");
    }
}

static void answer_checkpoint(struct export *x, const Ledgerd__V1__Response *r)
{
    x->size = note_size(&x->s, &x->s.pen, of_bin(r->checkpoint->checkpoint));
    put_note(x, of_bin(r->checkpoint->checkpoint));
    put_inclusion(x, x->size - 1, x->size, of_bin(r->checkpoint->seal_path));
}

static void answer_receipt(struct export *x, const Ledgerd__V1__Response *r)
{
    struct header h;
    CHECK_EQ_INT(header_decode(x->a, of_bin(r->receipt->record->header), &h, NULL), LEDGER_OK);
    put_inclusion(x, h.index, x->size, of_bin(r->receipt->path));
}

static void answer_consistency(struct export *x, const Ledgerd__V1__Response *r)
{
    fprintf(x->f, "consistency %llu %llu", (unsigned long long)r->consistency->size1, (unsigned long long)r->consistency->size2);
    put_bytes(x, of_bin(r->consistency->path));
    fprintf(x->f, "\n");
}

static void ask_consistency(struct export *x, uint64_t size1, uint64_t size2)
{
    Ledgerd__V1__ConsistencyRequest rq = LEDGERD__V1__CONSISTENCY_REQUEST__INIT;
    Ledgerd__V1__Request frame = LEDGERD__V1__REQUEST__INIT;
    rq.size1 = size1;
    rq.size2 = size2;
    frame.id = 1;
    frame.op_case = LEDGERD__V1__REQUEST__OP_CONSISTENCY;
    frame.consistency = &rq;
    ask(x, &frame, LEDGERD__V1__RESPONSE__ANSWER_CONSISTENCY, answer_consistency);
}

static void ask_receipt(struct export *x, uint64_t index)
{
    Ledgerd__V1__ReceiptRequest rq = LEDGERD__V1__RECEIPT_REQUEST__INIT;
    Ledgerd__V1__Request frame = LEDGERD__V1__REQUEST__INIT;
    rq.index = index;
    frame.id = 1;
    frame.op_case = LEDGERD__V1__REQUEST__OP_RECEIPT;
    frame.receipt = &rq;
    ask(x, &frame, LEDGERD__V1__RESPONSE__ANSWER_RECEIPT, answer_receipt);
}

static void ask_all(struct export *x)
{
    Ledgerd__V1__CheckpointRequest latest = LEDGERD__V1__CHECKPOINT_REQUEST__INIT;
    Ledgerd__V1__EntriesRequest entries = LEDGERD__V1__ENTRIES_REQUEST__INIT;
    Ledgerd__V1__Request frame = LEDGERD__V1__REQUEST__INIT;
    frame.id = 1;
    frame.op_case = LEDGERD__V1__REQUEST__OP_CHECKPOINT;
    frame.checkpoint = &latest;
    ask(x, &frame, LEDGERD__V1__RESPONSE__ANSWER_CHECKPOINT, answer_checkpoint);
    entries.headers_only = true;
    frame.op_case = LEDGERD__V1__REQUEST__OP_ENTRIES;
    frame.entries = &entries;
    ask(x, &frame, LEDGERD__V1__RESPONSE__ANSWER_ENTRIES, answer_headers);
    for (uint64_t i = 1; i <= x->size; i++)
        ask_consistency(x, i, x->size);
    /* Pairs of sizes all over the triangle: around powers of two and in strides that hit odd and even ones. */
    for (uint64_t size2 = 1; size2 <= x->size; size2 += size2 < 40 ? 1 : 13)
        for (uint64_t size1 = 1; size1 <= size2; size1 += size1 < 10 ? 1 : 7)
            ask_consistency(x, size1, size2);
    for (size_t i = 0; i < x->n_events; i += 3)
        ask_receipt(x, x->events[i]);
}

int main(int argc, char **argv)
{
    static struct export x;
    char vkey[NOTE_NAME_MAX + 200];
    if (argc != 2) {
        fprintf(stderr, "usage: export FILE\n");
        return 2;
    }
    x.f = fopen(argv[1], "w");
    x.a = arena_new((size_t)64 << 20);
    CHECK(x.f && x.a);
    scratch_make(&x.s);
    note_key_format(&x.s.key, vkey);
    fprintf(x.f, "vkey %s\n", vkey);
    run_init(&x.run, &x.s);
    CHECK_EQ_INT(run_start(&x.run), LEDGER_OK);
    record_all(&x);
    ask_all(&x);
    run_stop(&x.run);
    run_fini(&x.run);
    scratch_remove(&x.s);
    arena_free(x.a);
    CHECK(fclose(x.f) == 0);
    return 0;
}
