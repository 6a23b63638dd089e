/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message: between the generated protobuf-c structures and message.h. Unknown fields of responses are ignored, as the protocol
 * demands; what is missing that must be there is EPROTO. Texts are cut at a NUL byte by protobuf-c, which is harmless here: they
 * are shown, never compared.
 */
#include "message.h"

#include <stdlib.h>
#include <string.h>

#include "ledger.pb-c.h"

/* ---- allocation: everything protobuf-c wants comes from the arena and is given back with it ---- */

static void *take(void *a, size_t n)
{
    return arena_alloc(a, n);
}
static void give_back(void *a, void *p)
{
    (void)a;
    (void)p;
}

static struct span from_data(ProtobufCBinaryData d)
{
    return span_of(d.data ? d.data : (const uint8_t *)"", d.len);
}
static ProtobufCBinaryData to_data(struct span s)
{
    /* protobuf-c's structures are not const, but packing only reads. */
    return (ProtobufCBinaryData){s.n, (uint8_t *)(uintptr_t)s.p};
}
static char *to_text(struct arena *a, struct span s)
{
    char *t = s.p ? arena_strdup(a, s) : NULL;
    return t ? t : (char *)(uintptr_t)"";
}

static struct span pack(struct arena *a, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p = arena_alloc(a, n + 1);
    if (!p)
        return SPAN_NONE;
    LEDGER_REQUIRE(protobuf_c_message_pack(m, p) == n);
    return span_of(p, n);
}

/* ---- requests ---- */

#define REQUEST(request, number, which)                                                                                   \
    Ledgerd__V1__Request request;                                                                                         \
    ledgerd__v1__request__init(&request);                                                                                 \
    request.id = (number);                                                                                                \
    request.op_case = LEDGERD__V1__REQUEST__OP_##which

struct span rpc_put_hello(struct arena *a, uint64_t id, const char *program, const char *origin)
{
    Ledgerd__V1__HelloRequest m;
    ledgerd__v1__hello_request__init(&m);
    REQUEST(r, id, HELLO);
    m.version_min = m.version_max = PROTOCOL_VERSION;
    m.program = (char *)(uintptr_t)program;
    m.origin = (char *)(uintptr_t)origin;
    r.hello = &m;
    return pack(a, &r.base);
}

static bool fill_submit(struct arena *a, const struct ledger_batch *b, Ledgerd__V1__SubmitRequest *m)
{
    m->n_events = b->n;
    m->n_signatures = b->n_signatures;
    m->events = arena_alloc(a, (b->n + 1) * sizeof *m->events);
    m->signatures = arena_alloc(a, (b->n_signatures + 1) * sizeof *m->signatures);
    if (!m->events || !m->signatures)
        return false;
    for (size_t i = 0; i < b->n; i++)
        m->events[i] = to_data(b->events[i].bytes);
    for (size_t i = 0; i < b->n_signatures; i++)
        m->signatures[i] = to_data(b->signatures[i]);
    return true;
}

static bool fill_own(struct arena *a, const struct ledger_batch *b, Ledgerd__V1__SubmitOwnRequest *m)
{
    m->kind = b->own_kind;
    m->payload = to_data(b->events[0].bytes);
    m->n_signatures = b->n_signatures;
    m->signatures = arena_alloc(a, (b->n_signatures + 1) * sizeof *m->signatures);
    for (size_t i = 0; m->signatures && i < b->n_signatures; i++)
        m->signatures[i] = to_data(b->signatures[i]);
    return m->signatures != NULL;
}

static struct span put_own(struct arena *a, uint64_t id, const struct ledger_batch *b)
{
    Ledgerd__V1__SubmitOwnRequest m;
    ledgerd__v1__submit_own_request__init(&m);
    REQUEST(r, id, SUBMIT_OWN);
    r.submit_own = &m;
    return fill_own(a, b, &m) ? pack(a, &r.base) : SPAN_NONE;
}

struct span rpc_put_submit(struct arena *a, uint64_t id, const struct ledger_batch *b, bool all_or_nothing)
{
    if (b->own_kind)
        return put_own(a, id, b);
    Ledgerd__V1__SubmitRequest m;
    ledgerd__v1__submit_request__init(&m);
    REQUEST(r, id, SUBMIT);
    m.all_or_nothing = all_or_nothing;
    r.submit = &m;
    return fill_submit(a, b, &m) ? pack(a, &r.base) : SPAN_NONE;
}

struct span rpc_put_checkpoint(struct arena *a, uint64_t id)
{
    Ledgerd__V1__CheckpointRequest m;
    ledgerd__v1__checkpoint_request__init(&m);
    REQUEST(r, id, CHECKPOINT);
    r.checkpoint = &m;
    return pack(a, &r.base);
}

struct span rpc_put_consistency(struct arena *a, uint64_t id, uint64_t size1, uint64_t size2)
{
    Ledgerd__V1__ConsistencyRequest m;
    ledgerd__v1__consistency_request__init(&m);
    REQUEST(r, id, CONSISTENCY);
    m.size1 = size1;
    m.size2 = size2;
    r.consistency = &m;
    return pack(a, &r.base);
}

struct span rpc_put_entries(struct arena *a, uint64_t id, const struct entries_request *rq, uint64_t end, uint32_t credit)
{
    Ledgerd__V1__EntriesRequest m;
    ledgerd__v1__entries_request__init(&m);
    REQUEST(r, id, ENTRIES);
    m.first = rq->cursor.next;
    m.end = end;
    m.headers_only = rq->headers_only;
    m.follow = rq->follow && end == 0;
    m.credit = credit;
    r.entries = &m;
    return pack(a, &r.base);
}

struct span rpc_put_prove(struct arena *a, uint64_t id, const struct prove_request *rq, uint32_t credit)
{
    Ledgerd__V1__ProveRequest m;
    ledgerd__v1__prove_request__init(&m);
    REQUEST(r, id, PROVE);
    Ledgerd__V1__ChainName *names = arena_alloc(a, (rq->n + 1) * sizeof *names);
    m.chains = arena_alloc(a, (rq->n + 1) * sizeof *m.chains);
    if (!names || !m.chains)
        return SPAN_NONE;
    for (size_t i = 0; i < rq->n; i++) {
        ledgerd__v1__chain_name__init(&names[i]);
        names[i].type = (uint32_t)rq->chains[i].type;
        names[i].id = to_data(rq->chains[i].id);
        m.chains[i] = &names[i];
    }
    m.n_chains = rq->n;
    m.closure = (Ledgerd__V1__Closure)rq->closure;
    m.members = rq->members;
    m.history = rq->history;
    m.related = rq->related;
    m.history_all = rq->history_all;
    m.event_related = rq->event_related;
    m.openings = rq->openings;
    m.without_uses = rq->without_uses;
    m.credit = credit;
    r.prove = &m;
    return pack(a, &r.base);
}

struct span rpc_put_find(struct arena *a, uint64_t id, const struct find_request *rq)
{
    Ledgerd__V1__FindRequest m;
    ledgerd__v1__find_request__init(&m);
    REQUEST(r, id, FIND);
    m.type = (uint32_t)rq->type;
    m.state = to_text(a, rq->state);
    m.holder = to_text(a, rq->holder);
    m.hold = to_text(a, rq->hold);
    m.klass = to_text(a, rq->klass);
    m.coi = to_text(a, rq->coi);
    m.expires_before_us = rq->expires_before_us;
    m.id_prefix = to_text(a, rq->id_prefix);
    m.limit = rq->limit;
    m.after = to_data(rq->after);
    r.find = &m;
    return pack(a, &r.base);
}

struct span rpc_put_witnessed(struct arena *a, uint64_t id, uint64_t size, uint32_t wait_ms)
{
    Ledgerd__V1__WitnessedRequest m;
    ledgerd__v1__witnessed_request__init(&m);
    REQUEST(r, id, WITNESSED);
    m.size = size;
    m.wait_ms = wait_ms;
    r.witnessed = &m;
    return pack(a, &r.base);
}

struct span rpc_put_receipt(struct arena *a, uint64_t id, const struct receipt_request *rq, uint32_t wait_ms)
{
    Ledgerd__V1__ReceiptRequest m;
    ledgerd__v1__receipt_request__init(&m);
    REQUEST(r, id, RECEIPT);
    if (rq->by_index)
        m.index = rq->index;
    else
        m.event_id = to_data(span_of(rq->event_id.b, HASH_LEN));
    m.witnessed = rq->witnessed;
    m.wait_ms = wait_ms;
    r.receipt = &m;
    return pack(a, &r.base);
}

struct span rpc_put_status(struct arena *a, uint64_t id)
{
    Ledgerd__V1__StatusRequest m;
    ledgerd__v1__status_request__init(&m);
    REQUEST(r, id, STATUS);
    r.status = &m;
    return pack(a, &r.base);
}

struct span rpc_put_log_keys(struct arena *a, uint64_t id)
{
    Ledgerd__V1__LogKeysRequest m;
    ledgerd__v1__log_keys_request__init(&m);
    REQUEST(r, id, LOG_KEYS);
    r.log_keys = &m;
    return pack(a, &r.base);
}

struct span rpc_put_credit(struct arena *a, uint64_t id, uint64_t stream, uint32_t responses)
{
    Ledgerd__V1__CreditRequest m;
    ledgerd__v1__credit_request__init(&m);
    REQUEST(r, id, CREDIT);
    m.stream = stream;
    m.responses = responses;
    r.credit = &m;
    return pack(a, &r.base);
}

struct span rpc_put_cancel(struct arena *a, uint64_t id, uint64_t stream)
{
    Ledgerd__V1__CancelRequest m;
    ledgerd__v1__cancel_request__init(&m);
    REQUEST(r, id, CANCEL);
    m.stream = stream;
    r.cancel = &m;
    return pack(a, &r.base);
}

/* ---- responses ---- */

static bool read_snapshot(const Ledgerd__V1__Snapshot *m, struct snapshot_claim *out)
{
    if (!m)
        return false;
    out->note = from_data(m->checkpoint);
    out->seal = from_data(m->seal);
    out->seal_path = from_data(m->seal_path);
    out->witnessed = from_data(m->witnessed);
    return true;
}

static struct entry_claim read_record(const Ledgerd__V1__Record *m)
{
    return (struct entry_claim){from_data(m->header), from_data(m->event), from_data(m->block), m->withheld, from_data(m->opening), m->erased_by};
}

static struct entry_claim *read_records(struct arena *a, Ledgerd__V1__Record **records, size_t n)
{
    struct entry_claim *out = arena_alloc(a, (n + 1) * sizeof *out);
    for (size_t i = 0; out && i < n; i++)
        out[i] = read_record(records[i]);
    return out;
}

static struct span *read_list(struct arena *a, const ProtobufCBinaryData *list, size_t n)
{
    struct span *out = arena_alloc(a, (n + 1) * sizeof *out);
    for (size_t i = 0; out && i < n; i++)
        out[i] = from_data(list[i]);
    return out;
}

static void read_result(const Ledgerd__V1__SubmitResult *m, struct message_result *out)
{
    out->subject = out->field = out->text = "";
    switch (m->result_case) {
    case LEDGERD__V1__SUBMIT_RESULT__RESULT_ACCEPTED:
        out->outcome = m->accepted->before ? LEDGER_BEFORE : LEDGER_ACCEPTED;
        out->index = m->accepted->index;
        out->header = from_data(m->accepted->header);
        out->path = from_data(m->accepted->path);
        break;
    case LEDGERD__V1__SUBMIT_RESULT__RESULT_REFUSAL:
        out->outcome = LEDGER_REFUSED;
        out->index = m->refusal->recorded_index;
        out->code = m->refusal->code;
        out->subject = m->refusal->subject;
        out->field = m->refusal->field;
        out->text = m->refusal->text;
        break;
    case LEDGERD__V1__SUBMIT_RESULT__RESULT_SKIPPED:
        out->outcome = LEDGER_SKIPPED;
        break;
    case LEDGERD__V1__SUBMIT_RESULT__RESULT__NOT_SET:
    case _LEDGERD__V1__SUBMIT_RESULT__RESULT__CASE_IS_INT_SIZE:
    default:
        break;
    }
}

static bool read_submit(struct arena *a, const Ledgerd__V1__SubmitResponse *m, struct message_submit *out)
{
    out->n = m->n_results;
    out->results = arena_alloc(a, (m->n_results + 1) * sizeof *out->results);
    out->checkpoint = from_data(m->checkpoint);
    for (size_t i = 0; out->results && i < m->n_results; i++)
        read_result(m->results[i], &out->results[i]);
    return out->results != NULL;
}

static bool read_entries(struct arena *a, const Ledgerd__V1__EntriesResponse *m, struct message_entries *out)
{
    out->first = m->first;
    out->n = m->n_records;
    out->records = read_records(a, m->records, m->n_records);
    out->has_snapshot = read_snapshot(m->snapshot, &out->snapshot);
    return out->records != NULL;
}

static bool read_logs(struct arena *a, const Ledgerd__V1__ChainProof *m, struct message_proof *out)
{
    out->logs = arena_alloc(a, (m->n_logs + 1) * sizeof *out->logs);
    out->claim.logs = out->logs;
    out->claim.n_logs = m->n_logs;
    for (size_t i = 0; out->logs && i < m->n_logs; i++) {
        const Ledgerd__V1__MemberLog *l = m->logs[i];
        out->logs[i] = (struct member_claim){l->log, l->n_members, read_list(a, l->members, l->n_members)};
        if (!out->logs[i].members)
            return false;
    }
    return out->logs != NULL;
}

static bool read_proof(struct arena *a, const Ledgerd__V1__ChainProof *m, struct message_proof *out)
{
    /* A proof of nothing has type 0, which no claim about a chain survives. */
    out->claim.type = m->name ? (enum chain_type)m->name->type : (enum chain_type)0;
    out->claim.id = m->name ? from_data(m->name->id) : span_of("", 0);
    out->claim.map_proof = from_data(m->map_proof);
    out->claim.head = from_data(m->head);
    out->head_before = m->head_before;
    out->claim.salt = from_data(m->salt);
    out->claim.state = from_data(m->state);
    out->claim.withheld = m->withheld;
    out->n_history = m->n_history;
    out->history_first = m->history_first;
    out->history = read_records(a, m->history, m->n_history);
    out->sent_before = arena_alloc(a, (m->n_history + 1) * sizeof *out->sent_before);
    for (size_t i = 0; out->sent_before && i < m->n_history; i++)
        out->sent_before[i] = m->history[i]->sent_before;
    return out->history && out->sent_before && read_logs(a, m, out);
}

static bool read_prove(struct arena *a, const Ledgerd__V1__ProveResponse *m, struct message_prove *out)
{
    out->has_snapshot = read_snapshot(m->snapshot, &out->snapshot);
    out->n = m->n_proofs;
    out->proofs = arena_alloc(a, (m->n_proofs + 1) * sizeof *out->proofs);
    for (size_t i = 0; out->proofs && i < m->n_proofs; i++)
        if (!read_proof(a, m->proofs[i], &out->proofs[i]))
            return false;
    return out->proofs != NULL;
}

static bool read_find(struct arena *a, const Ledgerd__V1__FindResponse *m, struct message_find *out)
{
    out->has_snapshot = read_snapshot(m->snapshot, &out->snapshot);
    out->n = m->n_ids;
    out->ids = read_list(a, m->ids, m->n_ids);
    out->truncated = m->truncated;
    return out->ids != NULL;
}

static bool read_log_keys(struct arena *a, Ledgerd__V1__LogKeyChange *const *list, size_t n, struct message_log_keys *out)
{
    out->n = n;
    out->changes = arena_alloc(a, (n + 1) * sizeof *out->changes);
    for (size_t i = 0; out->changes && i < n; i++)
        out->changes[i] = (struct log_key_claim){from_data(list[i]->header), from_data(list[i]->payload), from_data(list[i]->path),
                                                 from_data(list[i]->checkpoint)};
    return out->changes != NULL;
}

/* *list is NULL when over the budget. */
static void fill_log_keys(struct arena *a, const struct log_key_claim *changes, size_t n, Ledgerd__V1__LogKeyChange ***list, size_t *n_list)
{
    Ledgerd__V1__LogKeyChange *m = arena_alloc(a, (n + 1) * sizeof *m);
    *n_list = n;
    *list = m ? arena_alloc(a, (n + 1) * sizeof **list) : NULL;
    for (size_t i = 0; *list && i < n; i++) {
        ledgerd__v1__log_key_change__init(&m[i]);
        m[i].header = to_data(changes[i].header);
        m[i].payload = to_data(changes[i].payload);
        m[i].path = to_data(changes[i].path);
        m[i].checkpoint = to_data(changes[i].note);
        (*list)[i] = &m[i];
    }
}

static bool read_receipt(struct arena *a, const Ledgerd__V1__ReceiptResponse *m, struct receipt_claim *out)
{
    struct signer_key_claim *keys = arena_alloc(a, (m->n_keys + 1) * sizeof *keys);
    if (!keys)
        return false;
    if (m->record)
        out->entry = read_record(m->record);
    out->path = from_data(m->path);
    read_snapshot(m->snapshot, &out->snapshot);
    for (size_t i = 0; i < m->n_keys; i++) {
        const Ledgerd__V1__SignerKey *k = m->keys[i];
        keys[i].party = span_str(k->party);
        keys[i].registration = (struct entry_claim){from_data(k->header), from_data(k->event), from_data(k->block), false, SPAN_NONE, 0};
        keys[i].path = from_data(k->path);
    }
    out->keys = keys;
    out->n_keys = m->n_keys;
    return true;
}

static bool read_status(struct arena *a, const Ledgerd__V1__StatusResponse *m, struct message_status *out)
{
    out->n = m->n_metrics;
    out->metrics = arena_alloc(a, (m->n_metrics + 1) * sizeof *out->metrics);
    for (size_t i = 0; out->metrics && i < m->n_metrics; i++)
        out->metrics[i] = (struct status_metric){m->metrics[i]->name, m->metrics[i]->text, m->metrics[i]->value};
    return out->metrics != NULL;
}

static void read_hello(const Ledgerd__V1__HelloResponse *m, struct message_hello *out)
{
    *out = (struct message_hello){.version = m->version, .program = m->program, .origin = m->origin, .client = m->client,
                                  .checkpoint = from_data(m->checkpoint), .frame_bytes_max = m->frame_bytes_max,
                                  .submit_events_max = m->submit_events_max,
                                  .requests_max = m->requests_max ? m->requests_max : 64,
                                  .streams_max = m->streams_max ? m->streams_max : 8};
}

static bool read_answer(struct arena *a, const Ledgerd__V1__Response *m, struct message *out)
{
    switch (m->answer_case) {
    case LEDGERD__V1__RESPONSE__ANSWER_ERROR:
        out->kind = MESSAGE_ERROR;
        out->u.error = (struct message_error){(unsigned)m->error->code, m->error->text, (unsigned)m->error->recorded};
        return true;
    case LEDGERD__V1__RESPONSE__ANSWER_HELLO:
        out->kind = MESSAGE_HELLO;
        read_hello(m->hello, &out->u.hello);
        return true;
    case LEDGERD__V1__RESPONSE__ANSWER_SUBMIT:
        out->kind = MESSAGE_SUBMIT;
        return read_submit(a, m->submit, &out->u.submit);
    case LEDGERD__V1__RESPONSE__ANSWER_CHECKPOINT:
        out->kind = MESSAGE_SNAPSHOT;
        return read_snapshot(m->checkpoint, &out->u.snapshot);
    case LEDGERD__V1__RESPONSE__ANSWER_CONSISTENCY:
        out->kind = MESSAGE_CONSISTENCY;
        out->u.consistency = (struct message_consistency){m->consistency->size1, m->consistency->size2,
                                                          from_data(m->consistency->path), from_data(m->consistency->checkpoint)};
        return true;
    case LEDGERD__V1__RESPONSE__ANSWER_ENTRIES:
        out->kind = MESSAGE_ENTRIES;
        return read_entries(a, m->entries, &out->u.entries);
    case LEDGERD__V1__RESPONSE__ANSWER_PROVE:
        out->kind = MESSAGE_PROVE;
        return read_prove(a, m->prove, &out->u.prove);
    case LEDGERD__V1__RESPONSE__ANSWER_FIND:
        out->kind = MESSAGE_FIND;
        return read_find(a, m->find, &out->u.find);
    case LEDGERD__V1__RESPONSE__ANSWER_RECEIPT:
        out->kind = MESSAGE_RECEIPT;
        return read_receipt(a, m->receipt, &out->u.receipt);
    case LEDGERD__V1__RESPONSE__ANSWER_STATUS:
        out->kind = MESSAGE_STATUS;
        return read_status(a, m->status, &out->u.status);
    case LEDGERD__V1__RESPONSE__ANSWER_LOG_KEYS:
        out->kind = MESSAGE_LOG_KEYS;
        return read_log_keys(a, m->log_keys->changes, m->log_keys->n_changes, &out->u.log_keys);
    case LEDGERD__V1__RESPONSE__ANSWER__NOT_SET:
    case _LEDGERD__V1__RESPONSE__ANSWER__CASE_IS_INT_SIZE:
    default:
        return true; /* an answer of a later version: MESSAGE_NONE */
    }
}

enum ledger_rc rpc_decode(struct arena *a, struct span bytes, struct message *out, struct ledger_err *err)
{
    ProtobufCAllocator allocator = {take, give_back, a};
    memset(out, 0, sizeof *out);
    Ledgerd__V1__Response *m = ledgerd__v1__response__unpack(&allocator, bytes.n, bytes.p);
    if (!m)
        return ledger_fail(err, LEDGER_EPROTO, "the server sent something that is no response, or a far too large one");
    out->id = m->id;
    out->more = m->more;
    if (!read_answer(a, m, out))
        return ledger_fail(err, LEDGER_ENOMEM, "a response needs more memory than an operation may use");
    return LEDGER_OK;
}

/* ---- batches as bytes ---- */

static const char batch_magic[] = "ledgerd batch v1\n";

/* *bytes is allocated with malloc. */
static enum ledger_rc with_magic(const char *magic, struct span body, uint8_t **bytes, size_t *n, struct ledger_err *err)
{
    size_t magic_n = strlen(magic);
    uint8_t *p = body.p ? malloc(magic_n + body.n) : NULL;
    if (!p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    memcpy(p, magic, magic_n);
    memcpy(p + magic_n, body.p, body.n);
    *bytes = p;
    *n = magic_n + body.n;
    return LEDGER_OK;
}

enum ledger_rc rpc_batch_encode(const struct ledger_batch *b, uint8_t **bytes, size_t *n, struct ledger_err *err)
{
    Ledgerd__V1__SubmitRequest m;
    ledgerd__v1__submit_request__init(&m);
    struct arena *a = arena_new(2 * FRAME_BYTES_MAX);
    struct span body = a && fill_submit(a, b, &m) ? pack(a, &m.base) : SPAN_NONE;
    enum ledger_rc rc = with_magic(batch_magic, body, bytes, n, err);
    arena_free(a);
    return rc;
}

static const char act_magic[] = "ledgerd act v1\n";

enum ledger_rc rpc_act_encode(const struct ledger_batch *b, uint8_t **bytes, size_t *n, struct ledger_err *err)
{
    Ledgerd__V1__SubmitOwnRequest m;
    ledgerd__v1__submit_own_request__init(&m);
    struct arena *a = arena_new(FRAME_BYTES_MAX);
    struct span body = a && fill_own(a, b, &m) ? pack(a, &m.base) : SPAN_NONE;
    enum ledger_rc rc = with_magic(act_magic, body, bytes, n, err);
    arena_free(a);
    return rc;
}

enum ledger_rc rpc_act_decode(struct arena *a, struct span bytes, struct message_batch *out, struct ledger_err *err)
{
    size_t magic_n = sizeof act_magic - 1;
    ProtobufCAllocator allocator = {take, give_back, a};
    if (bytes.n < magic_n || bytes.n > FRAME_BYTES_MAX || memcmp(bytes.p, act_magic, magic_n) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "not an act of a ledger: it does not begin with \"ledgerd act v1\"");
    Ledgerd__V1__SubmitOwnRequest *m =
        ledgerd__v1__submit_own_request__unpack(&allocator, bytes.n - magic_n, bytes.p + magic_n);
    if (!m || m->kind == 0)
        return ledger_fail(err, LEDGER_EINVAL, "the act is damaged");
    *out = (struct message_batch){.own_kind = m->kind, .n_events = 1, .n_signatures = m->n_signatures,
                                  .events = read_list(a, &m->payload, 1),
                                  .signatures = read_list(a, m->signatures, m->n_signatures)};
    return out->events && out->signatures ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

enum ledger_rc rpc_batch_decode(struct arena *a, struct span bytes, struct message_batch *out, struct ledger_err *err)
{
    size_t magic_n = sizeof batch_magic - 1;
    ProtobufCAllocator allocator = {take, give_back, a};
    if (bytes.n < magic_n || memcmp(bytes.p, batch_magic, magic_n) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "not a batch: it does not begin with \"ledgerd batch v1\"");
    if (bytes.n > FRAME_BYTES_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "a batch has at most %u bytes", FRAME_BYTES_MAX);
    Ledgerd__V1__SubmitRequest *m = ledgerd__v1__submit_request__unpack(&allocator, bytes.n - magic_n, bytes.p + magic_n);
    if (!m || m->n_events == 0)
        return ledger_fail(err, LEDGER_EINVAL, "the batch is damaged");
    out->n_events = m->n_events;
    out->n_signatures = m->n_signatures;
    out->events = read_list(a, m->events, m->n_events);
    out->signatures = read_list(a, m->signatures, m->n_signatures);
    return out->events && out->signatures ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

/* ---- changes of the log key as a file ---- */

static const char log_keys_magic[] = "ledgerd log keys v1\n";

struct span log_keys_encode(struct arena *a, const struct message_log_keys *k)
{
    Ledgerd__V1__LogKeysResponse m;
    size_t magic_n = sizeof log_keys_magic - 1;
    ledgerd__v1__log_keys_response__init(&m);
    fill_log_keys(a, k->changes, k->n, &m.changes, &m.n_changes);
    struct span body = m.changes ? pack(a, &m.base) : SPAN_NONE;
    uint8_t *p = body.p ? arena_alloc(a, magic_n + body.n) : NULL;
    if (!p)
        return SPAN_NONE;
    memcpy(p, log_keys_magic, magic_n);
    memcpy(p + magic_n, body.p, body.n);
    return span_of(p, magic_n + body.n);
}

enum ledger_rc log_keys_decode(struct arena *a, struct span bytes, struct message_log_keys *out, struct ledger_err *err)
{
    size_t magic_n = sizeof log_keys_magic - 1;
    ProtobufCAllocator allocator = {take, give_back, a};
    if (bytes.n < magic_n || memcmp(bytes.p, log_keys_magic, magic_n - 2) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "it does not begin with \"ledgerd log keys v1\"");
    if (memcmp(bytes.p, log_keys_magic, magic_n) != 0)
        return ledger_fail(err, LEDGER_EVERSION, "it is of a newer version");
    Ledgerd__V1__LogKeysResponse *m = ledgerd__v1__log_keys_response__unpack(&allocator, bytes.n - magic_n, bytes.p + magic_n);
    if (!m || m->n_changes > LOG_KEY_CHANGES_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "it is damaged");
    return read_log_keys(a, m->changes, m->n_changes, out) ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

/* ---- receipt files ---- */

static const char receipt_magic[] = "ledgerd receipt v1\n";

struct receipt_parts {
    Ledgerd__V1__ReceiptFile file;
    Ledgerd__V1__ReceiptResponse receipt;
    Ledgerd__V1__Record record;
    Ledgerd__V1__Snapshot snapshot;
};

static bool fill_keys(struct arena *a, const struct receipt_claim *claim, Ledgerd__V1__ReceiptResponse *m)
{
    Ledgerd__V1__SignerKey *keys = arena_alloc(a, (claim->n_keys + 1) * sizeof *keys);
    m->keys = arena_alloc(a, (claim->n_keys + 1) * sizeof *m->keys);
    m->n_keys = claim->n_keys;
    if (!keys || !m->keys)
        return false;
    for (size_t i = 0; i < claim->n_keys; i++) {
        const struct signer_key_claim *k = &claim->keys[i];
        struct header h;
        ledgerd__v1__signer_key__init(&keys[i]);
        keys[i].party = to_text(a, k->party);
        /* The number is for people; what counts is the header. */
        keys[i].index = header_decode(a, k->registration.header, &h, NULL) == LEDGER_OK ? h.index : 0;
        keys[i].header = to_data(k->registration.header);
        keys[i].event = to_data(k->registration.event);
        keys[i].block = to_data(k->registration.block);
        keys[i].path = to_data(k->path);
        m->keys[i] = &keys[i];
    }
    return true;
}

struct span receipt_file_encode(struct crypto *c, struct arena *a, const struct receipt_claim *claim)
{
    struct receipt_parts m;
    ledgerd__v1__receipt_file__init(&m.file);
    ledgerd__v1__receipt_response__init(&m.receipt);
    ledgerd__v1__record__init(&m.record);
    ledgerd__v1__snapshot__init(&m.snapshot);
    m.record.header = to_data(claim->entry.header);
    m.record.event = to_data(claim->entry.event);
    m.record.block = to_data(claim->entry.block);
    m.record.withheld = claim->entry.withheld;
    m.record.opening = to_data(claim->entry.opening);
    m.record.erased_by = claim->entry.erased_by;
    m.snapshot.checkpoint = to_data(claim->snapshot.note);
    m.snapshot.seal = to_data(claim->snapshot.seal);
    m.snapshot.seal_path = to_data(claim->snapshot.seal_path);
    m.receipt.record = &m.record;
    m.receipt.path = to_data(claim->path);
    m.receipt.snapshot = &m.snapshot;
    m.file.origin = to_text(a, claim->origin);
    m.file.receipt = &m.receipt;
    fill_log_keys(a, claim->log_keys, claim->n_log_keys, &m.file.log_keys, &m.file.n_log_keys);
    struct span body = m.file.log_keys && fill_keys(a, claim, &m.receipt) ? pack(a, &m.file.base) : SPAN_NONE;
    size_t magic_n = sizeof receipt_magic - 1;
    uint8_t *p = body.p ? arena_alloc(a, magic_n + body.n + HASH_LEN) : NULL;
    if (!p)
        return SPAN_NONE;
    memcpy(p, receipt_magic, magic_n);
    memcpy(p + magic_n, body.p, body.n);
    struct span all = span_of(p, magic_n + body.n);
    struct hash sum;
    crypto_sha256(c, &all, 1, &sum);
    memcpy(p + all.n, sum.b, HASH_LEN);
    return span_of(p, all.n + HASH_LEN);
}

enum ledger_rc receipt_file_decode(struct crypto *c, struct arena *a, struct span file, struct receipt_claim *out,
                                   struct ledger_err *err)
{
    size_t magic_n = sizeof receipt_magic - 1;
    ProtobufCAllocator allocator = {take, give_back, a};
    struct hash sum;
    if (file.n < magic_n + HASH_LEN || memcmp(file.p, receipt_magic, magic_n - 2) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "not a receipt: it does not begin with \"ledgerd receipt v1\"");
    /* The checksum first: a damaged version number must not pass for a newer one. */
    struct span all = span_of(file.p, file.n - HASH_LEN);
    crypto_sha256(c, &all, 1, &sum);
    if (memcmp(sum.b, file.p + all.n, HASH_LEN) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "the receipt is damaged: its checksum does not fit");
    if (memcmp(file.p, receipt_magic, magic_n) != 0)
        return ledger_fail(err, LEDGER_EVERSION, "a receipt of a newer version");
    Ledgerd__V1__ReceiptFile *m = ledgerd__v1__receipt_file__unpack(&allocator, all.n - magic_n, all.p + magic_n);
    if (!m || !m->receipt || !m->receipt->record || !m->receipt->snapshot)
        return ledger_fail(err, LEDGER_EINVAL, "the receipt is damaged: it lacks a part");
    memset(out, 0, sizeof *out);
    out->origin = span_str(m->origin);
    struct message_log_keys k;
    if (m->n_log_keys > LOG_KEY_CHANGES_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "the receipt is damaged: too many log keys");
    bool read = read_receipt(a, m->receipt, out) && read_log_keys(a, m->log_keys, m->n_log_keys, &k);
    out->log_keys = read ? k.changes : NULL;
    out->n_log_keys = m->n_log_keys;
    struct span again = read ? receipt_file_encode(c, a, out) : SPAN_NONE;
    if (!again.p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    /* Whatever the format does not ask for would be verified by nothing. */
    return span_eq(again, file) ? LEDGER_OK : ledger_fail(err, LEDGER_EINVAL, "the receipt is damaged: it is not in its one form");
}
