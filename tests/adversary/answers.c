/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answers: lies in what is answered (liar.h): requests are changed before the daemon's own code sees them, or looked up in the older copy,
 * and responses are changed before they are sent. What was signed is left as it is, or it would be found out at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "liar.h"
#include "server/message.h"

#define ANSWER_BYTES ((size_t)64 << 20)
#define LATE_S 7 /* longer than a client waits for evidence */
#define WITNESS_NAME "witness.example/lied-to"

typedef Ledgerd__V1__Response response;
typedef Ledgerd__V1__ChainProof proof;

enum ledger_rc __real_query_begin(const struct query_env *env, struct span request, struct query **out, struct ledger_err *err);
enum ledger_rc __wrap_query_begin(const struct query_env *env, struct span request, struct query **out, struct ledger_err *err);
enum ledger_rc __real_query_next(struct query *q, struct arena *a, struct span *out, bool *more, struct ledger_err *err);
enum ledger_rc __wrap_query_next(struct query *q, struct arena *a, struct span *out, bool *more, struct ledger_err *err);
bool __real_message_put_submit(struct bytes *out, uint64_t id, struct job *job);
bool __wrap_message_put_submit(struct bytes *out, uint64_t id, struct job *job);
int liar_print_witness(void);

static void *allocate(void *ctx, size_t n)
{
    return arena_alloc(ctx, n);
}

static void release(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

static bool is_id(ProtobufCBinaryData d, const char *id)
{
    return span_eq(span_of(d.data, d.len), span_str(id));
}

static ProtobufCBinaryData data_of_text(const char *s)
{
    return (ProtobufCBinaryData){strlen(s), (uint8_t *)(uintptr_t)s};
}

/* ---- requests ---- */

static void change_request(Ledgerd__V1__Request *r)
{
    bool another = lie_is("another-chain") || lie_is("known-as-unknown") || lie_is("unknown-as-known");
    if (another && r->op_case == LEDGERD__V1__REQUEST__OP_PROVE)
        for (size_t i = 0; i < r->prove->n_chains; i++)
            if (is_id(r->prove->chains[i]->id, liar.a))
                r->prove->chains[i]->id = data_of_text(liar.b);
    if (lie_is("another-receipt") && r->op_case == LEDGERD__V1__REQUEST__OP_RECEIPT) {
        r->receipt->event_id.len = 0;
        r->receipt->index = strtoull(liar.b, NULL, 10);
    }
    if (lie_is("proof-of-another-size") && r->op_case == LEDGERD__V1__REQUEST__OP_CONSISTENCY && r->consistency->size1 > 1)
        r->consistency->size1--;
}

/* Is this question answered from the older copy? */
static bool from_old(const struct query_env *env, const Ledgerd__V1__Request *r)
{
    if (!liar.old)
        return false;
    if (lie_is("two-histories"))
        return strcmp(env->access->name, liar.a) == 0;
    if (lie_is("past-checkpoint"))
        return true;
    return (lie_is("stale-standing") || lie_is("old-seal")) && r->op_case == LEDGERD__V1__REQUEST__OP_PROVE;
}

static struct query_env newest_env; /* of a question that is answered from the older copy */

enum ledger_rc __wrap_query_begin(const struct query_env *env, struct span request, struct query **out, struct ledger_err *err)
{
    struct arena *a = arena_new(ANSWER_BYTES);
    ProtobufCAllocator memory = {allocate, release, a};
    struct query_env other = *env;
    Ledgerd__V1__Request *r = a ? ledgerd__v1__request__unpack(&memory, request.n, request.p) : NULL;
    if (!r)
        liar_die("request", "not understood");
    change_request(r);
    if (from_old(env, r)) {
        newest_env = *env;
        other.store = liar.old;
    }
    size_t n = ledgerd__v1__request__get_packed_size(r);
    uint8_t *bytes = arena_alloc(a, n);
    if (!bytes)
        liar_die("request", "out of memory");
    ledgerd__v1__request__pack(r, bytes);
    enum ledger_rc rc = __real_query_begin(&other, span_of(bytes, n), out, err);
    arena_free(a);
    return rc;
}

/* ---- proofs of chains ---- */

static proof *find_proof(const response *r, const char *id)
{
    for (size_t i = 0; r->answer_case == LEDGERD__V1__RESPONSE__ANSWER_PROVE && i < r->prove->n_proofs; i++)
        if (is_id(r->prove->proofs[i]->name->id, id))
            return r->prove->proofs[i];
    return NULL;
}

static void remove_at(void *list, size_t *n, size_t at)
{
    void **p = list;
    memmove(p + at, p + at + 1, (*n - at - 1) * sizeof *p);
    --*n;
}

static void leave_out_chain(response *r, const char *id)
{
    for (size_t i = 0; i < r->prove->n_proofs; i++)
        if (is_id(r->prove->proofs[i]->name->id, id)) {
            remove_at(r->prove->proofs, &r->prove->n_proofs, i);
            return;
        }
}

/* The chain as it was in the older copy: with its own map proof, head, state and history. */
static void old_proof(struct query *q, struct arena *a, proof *p)
{
    struct ledger_err err = {0};
    struct query_env env = q->env;
    struct query *other;
    struct span bytes;
    bool more = true;
    proof *old = NULL;
    ProtobufCAllocator memory = {allocate, release, a};
    size_t n = ledgerd__v1__request__get_packed_size(q->request);
    uint8_t *request = arena_alloc(a, n);
    ledgerd__v1__request__pack(q->request, request);
    env.store = liar.old;
    if (__real_query_begin(&env, span_of(request, n), &other, &err))
        liar_die(liar.lie, err.msg);
    while (!old && more) { /* it need not be in the same part of the answer */
        if (__real_query_next(other, a, &bytes, &more, &err))
            liar_die(liar.lie, err.msg);
        response *r = ledgerd__v1__response__unpack(&memory, bytes.n, bytes.p);
        old = r && r->prove ? find_proof(r, liar.a) : NULL;
    }
    query_end(other);
    if (!old)
        liar_die(liar.lie, "the older copy does not have the chain");
    *p = *old;
}

static void change_state(struct query *q, struct arena *a, proof *p)
{
    struct chain *ch = arena_alloc(a, sizeof *ch);
    struct wbuf w;
    if (!ch || state_decode((enum chain_type)p->name->type, span_of(p->state.data, p->state.len), ch, NULL))
        liar_die(liar.lie, "state");
    ch->type = (enum chain_type)p->name->type;
    ch->item.available *= 10;
    wbuf_init(&w, a);
    state_encode(q->c, ch, true, &w);
    p->state = bin(wbuf_span(&w));
}

static void leave_out_inputs(proof *p, bool all)
{
    for (size_t i = 0; i < p->n_logs; i++) {
        Ledgerd__V1__MemberLog *log = p->logs[i];
        if (log->log != ITEM_LOG_INPUTS)
            continue;
        if (!all)
            log->n_members--;
        else
            remove_at(p->logs, &p->n_logs, i);
        return;
    }
}

static void swap(void *list, size_t i, size_t j)
{
    void **p = list, *kept = p[i];
    p[i] = p[j];
    p[j] = kept;
}

static void repeat(void *list, size_t at)
{
    void **p = list;
    p[at] = p[at - 1];
}

/* Said to be erased under an entry that is no ERASURE; what it was is not told. */
static void say_erased(Ledgerd__V1__Record *r)
{
    r->event.len = r->block.len = 0;
    r->erased_by = strtoull(liar.b, NULL, 10);
}

static void change_history(proof *p)
{
    if (p->n_history < 3)
        return;
    if (lie_is("middle-dropped"))
        remove_at(p->history, &p->n_history, 1);
    if (lie_is("entries-swapped"))
        swap(p->history, 1, 2);
    if (lie_is("stream-truncated"))
        p->n_history /= 2;
    if (lie_is("entry-repeated"))
        repeat(p->history, 2);
    if (lie_is("said-erased"))
        say_erased(p->history[p->n_history - 1]);
}

/* What was kept of an erased event, or was asked for to judge what is left out, is not what the header commits to. */
static void change_openings(struct arena *a, proof *p)
{
    for (size_t i = 0; i < p->n_history; i++) {
        ProtobufCBinaryData *o = &p->history[i]->opening;
        if (o->len == 0)
            continue;
        struct span copy = arena_copy(a, span_of(o->data, o->len));
        ((uint8_t *)(uintptr_t)copy.p)[8] ^= 1; /* in the salt of the first part */
        *o = bin(copy);
    }
}

static uint64_t read_index(ProtobufCBinaryData header)
{
    struct rbuf r;
    rbuf_init(&r, span_of(header.data, header.len));
    (void)rbuf_u8(&r); /* version */
    return rbuf_u64(&r);
}

static void answer_not_found(struct arena *a, response *r)
{
    Ledgerd__V1__Error *e = arena_alloc(a, sizeof *e);
    ledgerd__v1__error__init(e);
    e->code = LEDGERD__V1__ERROR_CODE__ERROR_NOT_FOUND;
    e->text = borrow_text("there is no such item");
    r->answer_case = LEDGERD__V1__RESPONSE__ANSWER_ERROR;
    r->error = e;
    r->more = false;
}

static void change_prove(struct query *q, struct arena *a, response *r)
{
    for (size_t i = 0; lie_is("opening-false") && i < r->prove->n_proofs; i++)
        change_openings(a, r->prove->proofs[i]);
    proof *p = find_proof(r, liar.a);
    if (!p && (lie_is("another-chain") || lie_is("known-as-unknown") || lie_is("unknown-as-known")))
        if ((p = find_proof(r, liar.b)))
            p->name->id = data_of_text(liar.a);
    if (!p)
        return;
    if (lie_is("hidden-from-lineage"))
        leave_out_chain(r, liar.a);
    if (lie_is("known-refused"))
        answer_not_found(a, r);
    if (lie_is("newest-dropped"))
        old_proof(q, a, p);
    if (lie_is("false-state"))
        change_state(q, a, p);
    if (lie_is("head-never-sent")) { /* "you have it": the right entry, but nobody has it */
        p->head_before = read_index(p->head) + 1;
        p->head.len = 0;
    }
    if (lie_is("input-left-out") || lie_is("inputs-left-out"))
        leave_out_inputs(p, lie_is("inputs-left-out"));
    change_history(p);
}

/* ---- the log ---- */

static void change_entries(struct query *q, response *r)
{
    Ledgerd__V1__EntriesResponse *e = r->entries;
    while (lie_is("rest-held-back") && q->request->entries->first >= strtoull(liar.a, NULL, 10) && access(liar.b, F_OK) == 0)
        usleep(20000);
    if (lie_is("entries-swapped") && e->n_records > 2)
        swap(e->records, 1, 2);
    if (lie_is("entry-repeated") && e->n_records > 2)
        repeat(e->records, 2);
    for (size_t i = 0; lie_is("said-erased") && i < e->n_records; i++)
        if (read_index(e->records[i]->header) == 41)
            say_erased(e->records[i]);
    if (lie_is("stream-truncated")) {
        e->n_records = 0;
        r->more = false;
    }
}

static void change_find(response *r)
{
    for (size_t i = 0; lie_is("not-listed") && i < r->find->n_ids; i++)
        if (is_id(r->find->ids[i], liar.a)) {
            memmove(&r->find->ids[i], &r->find->ids[i + 1], (r->find->n_ids - i - 1) * sizeof r->find->ids[0]);
            r->find->n_ids--;
        }
}

/* ---- witnesses ---- */

static void witness_key(struct crypto *c, struct note_key *k, struct secret_key *secret)
{
    const uint8_t seed[32] = {7, 7, 7};
    if (!crypto_secret_from_seed(c, SIG_ED25519, seed, secret) ||
        !note_key_make(c, WITNESS_NAME, NOTE_COSIGNATURE_V1, span_of(secret->pub, secret->pub_len), k))
        liar_die("witness", "key");
}

int liar_print_witness(void)
{
    struct crypto *c = crypto_new();
    struct note_key k;
    struct secret_key secret;
    char text[NOTE_NAME_MAX + 200];
    witness_key(c, &k, &secret);
    note_key_format(&k, text);
    puts(text);
    crypto_free(c);
    return 0;
}

/* A line that says that the witness has cosigned: true, made up, or made for another ledger's checkpoint of the same size and root. */
static void add_witness(struct query *q, struct arena *a, ProtobufCBinaryData *note_bytes)
{
    struct note note;
    struct checkpoint cp;
    struct note_key k;
    struct secret_key secret;
    struct wbuf w, text;
    if (note_bytes->len == 0)
        return;
    if (note_parse(a, span_of(note_bytes->data, note_bytes->len), &note, NULL) || checkpoint_parse(note.text, &cp, NULL))
        liar_die("witness", "note");
    witness_key(q->c, &k, &secret);
    if (lie_is("witness-forged") || lie_is("witnessed-forged"))
        secret.seed[0] ^= 1;
    if (lie_is("cosignature-replayed") || lie_is("witnessed-replayed"))
        cp.origin = SPAN_LIT("another.example/ledger");
    wbuf_init(&text, a);
    checkpoint_text(&cp, &text);
    wbuf_init(&w, a);
    wbuf_bytes(&w, note_bytes->data, note_bytes->len);
    note_cosign_line(q->c, &k, &secret, (uint64_t)time(NULL), wbuf_span(&text), &w);
    *note_bytes = bin(wbuf_span(&w));
}

/* The newest checkpoint that the witnesses are said to have cosigned: the snapshot's own, with a line that is not theirs; or another ledger's. */
static void false_witnessed(struct query *q, struct arena *a, Ledgerd__V1__Snapshot *s)
{
    struct span note = span_of(s->checkpoint.data, s->checkpoint.len);
    size_t origin = strlen(q->m.origin);
    s->witnessed = bin(arena_copy(a, note));
    if (lie_is("witnessed-foreign"))
        ((uint8_t *)s->witnessed.data)[origin - 1] ^= 1;
    add_witness(q, a, &s->witnessed);
}

/* The seal of the older copy, from which everything else comes, under the newest checkpoint: with a path that is right. */
static void old_seal(struct arena *a, Ledgerd__V1__Snapshot *s)
{
    struct query *newest = arena_alloc(a, sizeof *newest);
    struct ledger_err err = {0};
    struct header h;
    struct stored seal;
    struct span path, note;
    if (!newest || header_decode(a, span_of(s->seal.data, s->seal.len), &h, &err) || query_look(newest, &newest_env, &err) ||
        read_entry(newest, h.index, &seal, &err) || read_path(newest, a, &seal, newest->m.size, &path, &err) ||
        build_note(newest, a, newest->m.size, &note, &err))
        liar_die(liar.lie, err.msg);
    s->checkpoint = bin(arena_copy(a, note));
    s->seal_path = bin(path);
    query_look_away(newest);
}

static Ledgerd__V1__Snapshot *snapshot_of(const response *r)
{
    switch ((int)r->answer_case) {
    case LEDGERD__V1__RESPONSE__ANSWER_CHECKPOINT: return r->checkpoint;
    case LEDGERD__V1__RESPONSE__ANSWER_PROVE: return r->prove->snapshot;
    case LEDGERD__V1__RESPONSE__ANSWER_ENTRIES: return r->entries->snapshot;
    case LEDGERD__V1__RESPONSE__ANSWER_FIND: return r->find->snapshot;
    case LEDGERD__V1__RESPONSE__ANSWER_RECEIPT: return r->receipt->snapshot;
    default: return NULL;
    }
}

/* ---- responses ---- */

/* Who has rewritten history does better not to show how its tree begins. */
static void keep_back(struct arena *a, response *r)
{
    if (lie_is("receipt-refused"))
        answer_not_found(a, r);
    if (lie_is("receipt-late"))
        sleep(LATE_S);
}

static void change_response(struct query *q, struct arena *a, response *r)
{
    if (r->answer_case == LEDGERD__V1__RESPONSE__ANSWER_RECEIPT)
        keep_back(a, r);
    if (r->answer_case == LEDGERD__V1__RESPONSE__ANSWER_PROVE)
        change_prove(q, a, r);
    if (r->answer_case == LEDGERD__V1__RESPONSE__ANSWER_ENTRIES)
        change_entries(q, r);
    if (r->answer_case == LEDGERD__V1__RESPONSE__ANSWER_FIND)
        change_find(r);
    Ledgerd__V1__Snapshot *s = snapshot_of(r);
    if (s && s->checkpoint.len && (lie_is("witnessed-forged") || lie_is("witnessed-foreign") || lie_is("witnessed-replayed")))
        false_witnessed(q, a, s);
    if (s && s->checkpoint.len && lie_is("old-seal") && r->answer_case == LEDGERD__V1__RESPONSE__ANSWER_PROVE)
        old_seal(a, s);
    if (s && lie_is("old-seal"))
        add_witness(q, a, &s->checkpoint);
    if (s && (lie_is("witnessed") || lie_is("witness-forged") || lie_is("cosignature-replayed")))
        add_witness(q, a, &s->checkpoint);
}

enum ledger_rc __wrap_query_next(struct query *q, struct arena *a, struct span *out, bool *more, struct ledger_err *err)
{
    enum ledger_rc rc = __real_query_next(q, a, out, more, err);
    if (rc)
        return rc;
    struct arena *mine = arena_new(ANSWER_BYTES);
    ProtobufCAllocator memory = {allocate, release, mine};
    response *r = mine ? ledgerd__v1__response__unpack(&memory, out->n, out->p) : NULL;
    if (!r)
        liar_die("response", "not understood");
    change_response(q, mine, r);
    size_t n = ledgerd__v1__response__get_packed_size(r);
    uint8_t *bytes = arena_alloc(a, n);
    if (!bytes)
        liar_die("response", "out of memory");
    ledgerd__v1__response__pack(r, bytes);
    *out = span_of(bytes, n);
    *more = r->more;
    arena_free(mine);
    return LEDGER_OK;
}

/* Two events of one request: each gets what the other one was accepted with. */
bool __wrap_message_put_submit(struct bytes *out, uint64_t id, struct job *job)
{
    if (lie_is("accepted-as-another") && job->n_events == 2) {
        struct job_result kept = job->results[0];
        job->results[0] = job->results[1];
        job->results[1] = kept;
    }
    if (lie_is("refused-yet-recorded")) {
        job->results[0].outcome = JOB_REFUSED;
        refuse(&job->results[0].why, E_BAD_VALUE, NULL, "quantity", "not a quantity");
    }
    return __real_message_put_submit(out, id, job);
}
