/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seeds CORPUS GENUINE: writes CORPUS/TARGET/seed-NAME for every fuzz target, from a ledger that it makes (lib/query_world.h), and the header
 * GENUINE with what that ledger really says: what a target may accept. To be run again (`make fuzz-seeds`) when a format has changed.
 */
#define _XOPEN_SOURCE 700 /* nftw */
#include "lib/dossier_world.h"

#include "../../client/message.h"
#include "batch.h"
#include "event_gen.h"
#include "evidence.h"
#include "key.h"
#include "line.h"
#include "opening.h"
#include "state_history.h"
#include "tile.h"
#include "witness/submission.h"

#include <sys/stat.h>

#define WITNESS_NAME "witness.example/w1"
#define WITNESS_TIME 1780000000

static const char *corpus;

/* ---- writing ---- */

static struct wbuf begin(struct world *w)
{
    struct wbuf b;
    wbuf_init(&b, w->a);
    return b;
}

static void seed(const char *target, const char *name, struct span bytes)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", corpus, target);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/seed-%s", corpus, target, name);
    for (char *p = path + strlen(corpus) + strlen(target) + 2; *p; p++)
        if (*p == '/' || *p == ' ')
            *p = '_';
    if (!bytes.p || bytes.n > 65536)
        fprintf(stderr, "%s: %zu bytes\n", path, bytes.n);
    CHECK(bytes.p && bytes.n <= 65536);
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(bytes.p, 1, bytes.n, f) == bytes.n && fclose(f) == 0);
}

static void seed_numbered(const char *target, const char *name, unsigned n, struct span bytes)
{
    char text[80];
    snprintf(text, sizeof text, "%s-%03u", name, n);
    seed(target, text, bytes);
}

static void seed_text(const char *target, const char *name, const char *text)
{
    seed(target, name, span_str(text));
}

/* One byte, then the bytes. */
static struct span tagged(struct world *w, unsigned tag, struct span bytes)
{
    struct wbuf b = begin(w);
    wbuf_u8(&b, (uint8_t)tag);
    wbuf_bytes(&b, bytes.p, bytes.n);
    return wbuf_span(&b);
}

static struct span with_var(struct world *w, struct span first, struct span second)
{
    struct wbuf b = begin(w);
    wbuf_str(&b, first);
    wbuf_bytes(&b, second.p, second.n);
    return wbuf_span(&b);
}

/* ---- the ledger ---- */

struct genuine {
    FILE *out;
    struct span token, ca;
    struct hash imprint;
    int64_t gen_us;
};

static void erased_event(struct world *w)
{
    const struct parameters rules = {.rules_version = RULES_VERSION, .n_algorithms = 1, .algorithms = {SIG_ED25519}, .n_retentions = 1,
                                     .retentions = {{KIND_LOT_DERIVED, 3650}}};
    world_begin(w);
    act(w, OWN_PARAMETERS, parameters_encode(w->a, &rules));
    play(w, "STORAGE_MOVED", "u.op", "item=U2;location=shelf of Mr. N.");
    struct hash moved = w->last_event;
    play(w, "STORAGE_MOVED", "u.op", "item=U2;location=shelf 2");
    world_commit(w);
    world_begin(w);
    const struct erasure x = {.reason = SPAN_LIT("a name was written into it"), .n = 1, .ids = moved.b};
    act(w, OWN_ERASURE, erasure_encode(w->a, &x));
    world_commit(w);
}

static struct world *make_world(void)
{
    struct world *w = make_ledger();
    release_ledger(w);
    erased_event(w);
    for (unsigned i = 0; i < 2; i++) {
        world_begin(w);
        stamp(w);
        play(w, "STORAGE_MOVED", "u.wh", "item=U2;location=shelf 3");
        world_commit(w);
    }
    return w;
}

static struct kv open_view(struct world *w, struct store_snapshot **sn)
{
    MUST(store_snapshot_open(w->store, sn, err));
    return store_snapshot_kv(*sn);
}

static bool row(struct world *w, const struct kv *kv, enum kv_table t, struct span key, struct span *out)
{
    enum ledger_rc rc = kv_get(kv, t, key, out);
    CHECK(rc == LEDGER_OK || rc == LEDGER_ENOTFOUND);
    if (rc == LEDGER_OK)
        *out = arena_copy(w->a, *out);
    return rc == LEDGER_OK;
}

static void put_bytes(FILE *out, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%s0x%02x", i ? ", " : "", p[i]);
}

static struct span note_of(struct world *w, const struct checkpoint *cp, bool cosigned)
{
    struct note_key log, witness;
    struct secret_key secret;
    const uint8_t seed_bytes[32] = {7, 7};
    struct wbuf b = begin(w), text = begin(w);
    CHECK(note_key_make(w->c, WORLD_ORIGIN, NOTE_ED25519, span_of(w->log_key.pub, w->log_key.pub_len), &log));
    CHECK(crypto_secret_from_seed(w->c, SIG_ED25519, seed_bytes, &secret));
    CHECK(note_key_make(w->c, WITNESS_NAME, NOTE_COSIGNATURE_V1, span_of(secret.pub, secret.pub_len), &witness));
    checkpoint_text(cp, &text);
    checkpoint_sign(w->c, &log, &w->log_key, cp, &b);
    if (cosigned)
        note_cosign_line(w->c, &witness, &secret, WITNESS_TIME, wbuf_span(&text), &b);
    return wbuf_span(&b);
}

/* ---- entries and their parts ---- */

static void of_own(struct world *w, unsigned kind, struct span payload, struct genuine *g)
{
    struct time_stamp t;
    seed_numbered("own", "kind", kind, tagged(w, kind, payload));
    if (kind != OWN_TIME_STAMP || g->token.p)
        return;
    struct tsp_info info;
    MUST(time_stamp_decode(payload, &t, err));
    MUST(tsp_token_read(t.token, &info, err));
    g->token = t.token;
    g->imprint = info.imprint;
    g->gen_us = info.gen_us;
}

static void of_event(struct world *w, const char *name, struct span bytes)
{
    struct event ev;
    struct refusal why = {0};
    struct json_writer json;
    enum ledger_rc rc = event_decode(w->c, w->a, bytes, &ev, &why, NULL);
    if (rc)
        fprintf(stderr, "%s: %s\n", name, why.text);
    CHECK_EQ_INT(rc, LEDGER_OK);
    seed("event", name, bytes);
    json_writer_init(&json, w->a, false);
    event_to_json(w->a, &json, &ev);
    seed("line", name, json_written(&json));
}

static void of_entry(struct world *w, unsigned index, const struct entry_record *r, struct genuine *g)
{
    struct header h;
    struct hash leaf;
    char name[64];
    MUST(header_decode(w->a, r->header, &h, err));
    snprintf(name, sizeof name, "%s", entry_kind_name(h.kind));
    seed("header", name, r->header);
    seed("record", r->erased_by ? "erased" : name, entry_record_join(w->a, r));
    if (r->block.n)
        seed("sigblock", name, tagged(w, 0, r->block));
    if (h.kind < EVENT_KIND_FIRST && r->event.n)
        of_own(w, h.kind, r->event, g);
    else if (r->event.n)
        of_event(w, name, r->event);
    if (r->erased_by)
        seed("opening", "erased", with_var(w, r->header, r->opening));
    merkle_leaf(w->c, r->header, &leaf);
    fprintf(g->out, "    {");
    put_bytes(g->out, leaf.b, HASH_LEN);
    fprintf(g->out, "}, /* %u %s */\n", index, name);
}

static void of_log(struct world *w, const struct kv *kv, struct genuine *g)
{
    uint8_t key[KV_KEY_MAX];
    struct span v;
    struct entry_record r;
    unsigned n = 0;
    fprintf(g->out, "static const uint8_t genuine_leaves[][32] = {\n");
    for (; row(w, kv, KV_LOG, kv_key_u64(key, n), &v); n++) {
        CHECK(entry_record_split(v, &r));
        of_entry(w, n, &r, g);
    }
    fprintf(g->out, "};\n#define GENUINE_LEAVES %u\n\n", n);
}

static void of_generated_events(struct world *w)
{
    struct gen g = {.state = 42, .a = w->a};
    for (unsigned k = EVENT_KIND_FIRST; k < EVENT_KIND_FIRST + 40; k++) {
        const struct kind_def *kind = kind_find(k);
        struct event ev;
        char name[64];
        if (!kind)
            continue;
        snprintf(name, sizeof name, "random-%s", kind->name);
        gen_event(&g, kind, &ev);
        of_event(w, name, event_encode(w->a, &ev));
    }
}

/* ---- chains ---- */

static void of_history(struct world *w, const struct kv *kv, const struct chain *ch, const char *name)
{
    struct span before = SPAN_NONE, v, after;
    for (uint64_t seq = 0; seq < ch->count; seq++) {
        MUST(history_step_find(kv, ch, seq, &v));
        MUST(history_step_apply(w->a, v, before, &after));
        if (seq < 3)
            seed_numbered("history", name, (unsigned)seq, with_var(w, before, v));
        before = after;
    }
}

static void of_members(struct world *w, const struct kv *kv, struct chain *ch, const char *name)
{
    static const int tags[ITEM_LOGS] = {[ITEM_LOG_REQUIRED] = -1, [ITEM_LOG_INPUTS] = 0, [ITEM_LOG_USES] = 0, [ITEM_LOG_UNITS] = 0, [ITEM_LOG_OUTCOMES] = 1,
                                        [ITEM_LOG_EXCURSIONS] = 2, [ITEM_LOG_CASES] = -1, [ITEM_LOG_CORRECTIONS] = 3};
    uint8_t key[KV_KEY_MAX];
    struct span v;
    if (ch->type == CHAIN_PRODUCT && row(w, kv, KV_MEMBER, kv_key_member(key, &ch->key, PRODUCT_LOG_VERSIONS, 0), &v))
        seed("member", name, tagged(w, 4, v));
    for (unsigned l = 0; ch->type == CHAIN_ITEM && l < ITEM_LOGS; l++)
        if (tags[l] >= 0 && row(w, kv, KV_MEMBER, kv_key_member(key, &ch->key, l, 0), &v))
            seed_numbered("member", name, l, tagged(w, (unsigned)tags[l], v));
}

static void of_chain(struct world *w, const struct kv *kv, const struct hash *root, enum chain_type type, const char *id)
{
    struct hash key;
    struct span v;
    struct chain ch = {0};
    struct map_proof proof;
    char name[64];
    struct wbuf stored = begin(w), compact = begin(w), b = begin(w);
    snprintf(name, sizeof name, "%s-%s", chain_type_name(type), id);
    chain_key(w->c, &w->index_key, type, span_str(id), &key);
    MUST(chainmap_prove(w->c, NULL, kv, &key, &proof, err));
    wbuf_hash(&b, &key);
    wbuf_hash(&b, root);
    struct span bytes = map_proof_encode(w->a, &proof);
    wbuf_bytes(&b, bytes.p, bytes.n);
    seed("map_proof", name, wbuf_span(&b));
    if (!row(w, kv, KV_CHAIN, span_of(key.b, HASH_LEN), &v))
        return;
    MUST(chain_record_decode(v, &ch, err));
    ch.key = key;
    seed("state", name, tagged(w, 0, v));
    state_encode(w->c, &ch, true, &stored);
    state_encode_compact(&ch, &compact);
    snprintf(name, sizeof name, "%s-%s-stored", chain_type_name(type), id);
    seed("state", name, tagged(w, type, wbuf_span(&stored)));
    snprintf(name, sizeof name, "%s-%s-compact", chain_type_name(type), id);
    seed("state", name, tagged(w, 128 + (unsigned)type, wbuf_span(&compact)));
    snprintf(name, sizeof name, "%s-%s", chain_type_name(type), id);
    of_history(w, kv, &ch, name);
    of_members(w, kv, &ch, name);
}

static void of_chains(struct world *w, const struct kv *kv, const struct hash *root)
{
    static const struct { enum chain_type type; const char *id; } CHAINS[] = {
        {CHAIN_ITEM, "L1"}, {CHAIN_ITEM, "U2"}, {CHAIN_ITEM, "M0"}, {CHAIN_ITEM, "APH-1"}, {CHAIN_PARTY, "u.qa"}, {CHAIN_SUBJECT, "C1"},
        {CHAIN_SHIPMENT, "SH-1"}, {CHAIN_CASE, "deviation/DEV-1"}, {CHAIN_CASE, "recall/R-1"}, {CHAIN_PRODUCT, "PC-1"},
        {CHAIN_LEDGER, WORLD_ORIGIN}, {CHAIN_ITEM, "NOSUCH"},
    };
    struct wbuf b[3] = {begin(w), begin(w), begin(w)};
    const struct excursion_fact fact = {.fact = EXCURSION_ASSESSED_AS, .id = SPAN_LIT("EX-1"), .index = 9, .outcome = OUTCOME_REJECT};
    const struct correction change = {.target_index = 5, .index = 9, .field = SPAN_LIT("quantity"), .has_number = true, .number = DEC_ONE};
    const struct correction nothing = {.target_index = 5, .index = 9, .is_void = true};
    for (size_t i = 0; i < sizeof CHAINS / sizeof CHAINS[0]; i++)
        of_chain(w, kv, root, CHAINS[i].type, CHAINS[i].id);
    excursion_fact_encode(&fact, &b[0]);
    correction_encode(&change, &b[1]);
    correction_encode(&nothing, &b[2]);
    seed("member", "excursion", tagged(w, 2, wbuf_span(&b[0])));
    seed("member", "correction", tagged(w, 3, wbuf_span(&b[1])));
    seed("member", "void", tagged(w, 3, wbuf_span(&b[2])));
}

/* ---- what travels ---- */

/* Asks, and keeps request and answers. */
static struct span dialogue(struct world *w, const char *name, struct span request)
{
    struct query_env env = {.store = w->store, .access = &w->access};
    struct query *q;
    struct span answer = SPAN_NONE, first = SPAN_NONE;
    bool more = true;
    seed("request", name, request);
    MUST(query_begin(&env, request, &q, err));
    for (unsigned i = 0; more && i < 4; i++) {
        struct arena *a = arena_new(QUERY_ARENA_BYTES);
        enum ledger_rc rc = query_next(q, a, &answer, &more, NULL);
        if (rc == LEDGER_OK && answer.n <= 65536)
            seed_numbered("response", name, i, answer);
        if (rc == LEDGER_OK && i == 0)
            first = arena_copy(w->a, answer);
        arena_free(a);
        if (rc)
            break;
    }
    query_end(q);
    return first;
}

static void of_receipt(struct world *w, uint64_t index)
{
    char name[64];
    struct message m;
    const struct receipt_request by_index = {.by_index = true, .index = index};
    snprintf(name, sizeof name, "receipt-%u", (unsigned)index);
    struct span answer = dialogue(w, name, rpc_put_receipt(w->a, 9, &by_index, 0));
    MUST(rpc_decode(w->a, answer, &m, err));
    CHECK_EQ_INT(m.kind, MESSAGE_RECEIPT);
    m.u.receipt.origin = SPAN_LIT(WORLD_ORIGIN);
    struct span file = receipt_file_encode(w->c, w->a, &m.u.receipt);
    seed("receipt", name, file);
    const struct evidence e = {.what = "an entry that should not be there", .receipt = file};
    seed("evidence", name, evidence_text(w->a, WORLD_ORIGIN, "127.0.0.1:1", &e));
}

static struct span pack(struct world *w, const Ledgerd__V1__Response *r)
{
    size_t n = ledgerd__v1__response__get_packed_size(r);
    uint8_t *p = arena_alloc(w->a, n);
    CHECK(p && ledgerd__v1__response__pack(r, p) == n);
    return span_of(p, n);
}

/* Answers that are no query's. */
static void of_other_answers(struct world *w, struct span note)
{
    static char program[] = "ledgerd 0.1.0", origin[] = WORLD_ORIGIN, client[] = "spiffe://client", text[] = "is absent", field[] = "item";
    Ledgerd__V1__Response r;
    Ledgerd__V1__HelloResponse hello;
    Ledgerd__V1__SubmitResponse submit;
    Ledgerd__V1__SubmitResult result, *results = &result;
    Ledgerd__V1__Refusal refusal;
    Ledgerd__V1__Error error;
    ledgerd__v1__response__init(&r);
    ledgerd__v1__hello_response__init(&hello);
    ledgerd__v1__submit_response__init(&submit);
    ledgerd__v1__submit_result__init(&result);
    ledgerd__v1__refusal__init(&refusal);
    ledgerd__v1__error__init(&error);
    r.id = 3;
    hello.version = 1;
    hello.program = program;
    hello.origin = origin;
    hello.client = client;
    hello.checkpoint = submit.checkpoint = (ProtobufCBinaryData){note.n, (uint8_t *)(uintptr_t)note.p};
    r.answer_case = LEDGERD__V1__RESPONSE__ANSWER_HELLO;
    r.hello = &hello;
    seed("response", "hello", pack(w, &r));
    refusal.code = 3;
    refusal.field = field;
    refusal.text = text;
    result.result_case = LEDGERD__V1__SUBMIT_RESULT__RESULT_REFUSAL;
    result.refusal = &refusal;
    submit.n_results = 1;
    submit.results = &results;
    r.answer_case = LEDGERD__V1__RESPONSE__ANSWER_SUBMIT;
    r.submit = &submit;
    seed("response", "submit", pack(w, &r));
    error.code = LEDGERD__V1__ERROR_CODE__ERROR_BUSY;
    error.text = text;
    r.answer_case = LEDGERD__V1__RESPONSE__ANSWER_ERROR;
    r.error = &error;
    seed("response", "error", pack(w, &r));
}

static void of_dialogues(struct world *w, struct span note)
{
    const struct chain_name names[] = {{CHAIN_ITEM, SPAN_LIT("U2")}, {CHAIN_LEDGER, SPAN_LIT(WORLD_ORIGIN)}};
    const struct prove_request prove = {.chains = names, .n = 2, .closure = CLOSE_BACK, .members = true, .related = true, .history_all = true,
                                        .openings = true};
    const struct prove_request small = {.chains = names, .n = 1, .members = true};
    const struct entries_request entries = {.cursor = {.next = 20}, .headers_only = false};
    const struct find_request find = {.type = CHAIN_ITEM, .holder = SPAN_LIT("CPC"), .limit = 10};
    struct wbuf frames = begin(w);
    struct span requests[] = {
        rpc_put_hello(w->a, 1, "ledgerctl 0.1.0", WORLD_ORIGIN), rpc_put_checkpoint(w->a, 2),
        rpc_put_consistency(w->a, 3, 5, w->m.size), rpc_put_entries(w->a, 4, &entries, w->m.size, 4),
        rpc_put_prove(w->a, 5, &prove, 4), rpc_put_prove(w->a, 5, &small, 4), rpc_put_find(w->a, 6, &find),
        rpc_put_witnessed(w->a, 7, 9, 100), rpc_put_status(w->a, 8), rpc_put_log_keys(w->a, 9), rpc_put_credit(w->a, 10, 4, 8),
        rpc_put_cancel(w->a, 11, 4),
    };
    static const char *const NAMES[] = {"hello", "checkpoint", "consistency", "entries", "prove", "prove-small", "find", "witnessed", "status",
                                        "log-keys", "credit", "cancel"};
    wbuf_u8(&frames, 3);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        bool query = i > 0 && i < 10 && i != 7; /* no witnesses: an Error */
        if (query)
            dialogue(w, NAMES[i], requests[i]);
        else
            seed("request", NAMES[i], requests[i]);
        wbuf_str(&frames, requests[i]);
    }
    seed("frame", "requests", wbuf_span(&frames));
    of_other_answers(w, note);
    for (uint64_t i = 1; i < w->m.size; i += 4)
        of_receipt(w, i);
}

/* ---- batches ---- */

static void of_batches(struct world *w)
{
    struct secret_key k = world_key(w, 1, 0);
    char text[400], pub[KEY_TEXT_MAX], secret[64];
    struct ledger_key *key, *other;
    struct ledger_batch *b, *own;
    uint8_t *bytes;
    size_t n;
    struct gen g = {.state = 7, .a = w->a};
    key_text_format(SIG_ED25519, span_of(k.pub, k.pub_len), pub);
    b64_encode(span_of(k.seed, 32), secret);
    snprintf(text, sizeof text, "ledgerd key v1\nparty: u.op\nalgorithm: ed25519\npublic: %s\nsecret: %s\n", pub, secret);
    seed_text("key", "ed25519", text);
    MUST(key_text_read(span_str(text), &key, err));
    MUST(ledger_key_new("p256", "u.qa", &other, err));
    MUST(ledger_batch_new(WORLD_ORIGIN, &b, err));
    for (unsigned i = 0; i < 3; i++) {
        struct event ev;
        gen_event(&g, kind_find(EVENT_KIND_FIRST + 4 + i), &ev);
        struct span e = event_encode(w->a, &ev);
        MUST(ledger_batch_add(b, e.p, e.n, err));
    }
    MUST(ledger_batch_sign(b, key, "authorship", "2026-07-01T10:00:00Z", err));
    MUST(ledger_batch_encode(b, &bytes, &n, err));
    seed("batch", "signed", arena_copy(w->a, span_of(bytes, n)));
    free(bytes);
    MUST(batch_seal(b, err));
    seed("request", "submit", rpc_put_submit(w->a, 12, b, true));
    seed("sigblock", "signature", tagged(w, 1, b->signatures[0]));
    const struct parameters rules = {.rules_version = RULES_VERSION, .n_algorithms = 1, .algorithms = {SIG_ED25519}};
    MUST(ledger_batch_new(WORLD_ORIGIN, &own, err));
    MUST(batch_add_own(own, OWN_PARAMETERS, parameters_encode(w->a, &rules), err));
    MUST(ledger_batch_sign(own, key, "authorship", "2026-07-01T10:00:00Z", err));
    MUST(ledger_batch_sign(own, other, "approval", "2026-07-01T10:00:00Z", err));
    MUST(batch_own_encode(own, &bytes, &n, err));
    seed("batch", "act", arena_copy(w->a, span_of(bytes, n)));
    free(bytes);
    MUST(batch_seal(own, err));
    seed("request", "submit-own", rpc_put_submit(w->a, 13, own, false));
    ledger_batch_free(b);
    ledger_batch_free(own);
    ledger_key_free(key);
    ledger_key_free(other);
}

/* ---- notes, witnesses, keys ---- */

static struct checkpoint checkpoint_at(struct world *w, const struct kv *kv, uint64_t size)
{
    uint8_t key[KV_KEY_MAX];
    struct span root;
    struct checkpoint cp = {.origin = SPAN_LIT(WORLD_ORIGIN), .size = size};
    CHECK(row(w, kv, KV_CHECKPOINT, kv_key_u64(key, size), &root) && root.n == HASH_LEN);
    memcpy(cp.root.b, root.p, HASH_LEN);
    return cp;
}

static void of_witness(struct world *w, const struct kv *kv, const struct checkpoint *old, const struct checkpoint *cp)
{
    struct merkle_store tree = kv_tree((struct kv *)(uintptr_t)kv);
    struct merkle_path p;
    struct wbuf text = begin(w), both = begin(w);
    struct span plain = note_of(w, cp, false), whole = note_of(w, cp, true);
    checkpoint_text(cp, &text);
    seed("checkpoint", "newest", wbuf_span(&text));
    seed("note", "plain", plain);
    seed("note", "cosigned", whole);
    seed("submission", "first", submission_body(w->a, 0, SPAN_NONE, plain));
    CHECK(merkle_consistency(w->c, &tree, old->size, cp->size, &p));
    seed("submission", "next", submission_body(w->a, old->size, span_of(p.h, p.n * HASH_LEN), plain));
    struct span t = wbuf_span(&text);
    wbuf_bytes(&both, t.p, t.n);
    wbuf_bytes(&both, "\n", 1);
    wbuf_bytes(&both, whole.p + plain.n, whole.n - plain.n);
    seed("cosignature", "line", wbuf_span(&both));
    seed_text("cosignature", "conflict", "4711\n");
    const struct evidence e = {.what = "two checkpoints", .known = note_of(w, old, false), .received = plain, .proof = span_of(p.h, p.n * HASH_LEN)};
    seed("evidence", "checkpoints", evidence_text(w->a, WORLD_ORIGIN, "127.0.0.1:1", &e));
    const struct evidence claim = {.what = "an answer", .known = plain, .answer = whole};
    seed("evidence", "answer", evidence_text(w->a, WORLD_ORIGIN, "127.0.0.1:1", &claim));
}

static void of_checkpoints(struct world *w, const struct kv *kv, struct genuine *g)
{
    struct checkpoint old = {0}, cp = {0};
    uint8_t key[KV_KEY_MAX];
    struct span root;
    unsigned n = 0;
    fprintf(g->out, "static const struct { uint64_t size; uint8_t root[32]; } genuine_checkpoints[] = {\n");
    for (uint64_t size = 1; size <= w->m.size; size++) {
        if (!row(w, kv, KV_CHECKPOINT, kv_key_u64(key, size), &root))
            continue;
        old = cp;
        cp = checkpoint_at(w, kv, size);
        fprintf(g->out, "    {%llu, {", (unsigned long long)size);
        put_bytes(g->out, cp.root.b, HASH_LEN);
        fprintf(g->out, "}},\n");
        n++;
    }
    fprintf(g->out, "};\n#define GENUINE_CHECKPOINTS %u\n\n", n);
    of_witness(w, kv, &old, &cp);
}

static void of_keys(struct world *w)
{
    struct note_key log, witness;
    const uint8_t seed_bytes[32] = {7, 7};
    struct secret_key secret;
    char vkey[NOTE_NAME_MAX + 200], wkey[NOTE_NAME_MAX + 200], text[2000], pub[KEY_TEXT_MAX];
    CHECK(note_key_make(w->c, WORLD_ORIGIN, NOTE_ED25519, span_of(w->log_key.pub, w->log_key.pub_len), &log));
    CHECK(crypto_secret_from_seed(w->c, SIG_ED25519, seed_bytes, &secret));
    CHECK(note_key_make(w->c, WITNESS_NAME, NOTE_COSIGNATURE_V1, span_of(secret.pub, secret.pub_len), &witness));
    note_key_format(&log, vkey);
    note_key_format(&witness, wkey);
    key_text_format(SIG_ED25519, span_of(secret.pub, secret.pub_len), pub);
    seed_text("vkey", "log", vkey);
    seed_text("vkey", "witness", wkey);
    seed_text("vkey", "public", pub);
    snprintf(text, sizeof text, "log %s\nquorum none\n", vkey);
    seed_text("policy", "alone", text);
    snprintf(text, sizeof text, "# trust\nlog %s https://log.example/\nwitness w1 %s https://w1.example/a\ngroup g any w1\ngroup h 1 g\nquorum h\n", vkey, wkey);
    seed_text("policy", "quorum", text);
}

/* A change of the log key, in a world of its own: the genuine one ends before it. */
static void of_log_key(void)
{
    struct world *w = make_ledger();
    struct secret_key new = world_key(w, 7, 77);
    struct span pub = span_of(new.pub, new.pub_len), v;
    struct note_key key;
    char old[sizeof w->m.log_vkey], vkey[NOTE_NAME_MAX + 200];
    struct appended_entry e;
    struct entry_record r;
    struct merkle_path p;
    struct store_snapshot *sn;
    uint8_t k[KV_KEY_MAX];
    memcpy(old, w->m.log_vkey, sizeof old);
    CHECK(note_key_make(w->c, WORLD_ORIGIN, NOTE_ED25519, pub, &key));
    note_key_format(&key, vkey);
    world_begin(w);
    struct log_key_change change = {.old_vkey = span_str(old), .new_vkey = span_str(vkey), .from_size = w->m.size + 3};
    change.proof = world_sign(w, &new, key_proof_input(w->a, SPAN_LIT(WORLD_ORIGIN), SPAN_LIT(WORLD_ORIGIN), SIG_ED25519, pub));
    struct span payload = log_key_change_encode(w->a, &change);
    MUST(machine_own(&w->m, OWN_LOG_KEY, payload, w->now_us, &e, err));
    world_commit(w);
    seed("own", "log-key", tagged(w, OWN_LOG_KEY, payload));
    struct kv kv = open_view(w, &sn);
    struct merkle_store tree = kv_tree(&kv);
    struct checkpoint cp = checkpoint_at(w, &kv, w->m.size);
    CHECK(row(w, &kv, KV_LOG, kv_key_u64(k, e.index), &v) && entry_record_split(v, &r));
    CHECK(merkle_inclusion(w->c, &tree, e.index, cp.size, &p));
    struct log_key_claim claim = {.header = r.header, .payload = r.event, .path = span_of(p.h, p.n * HASH_LEN), .note = note_of(w, &cp, false)};
    const struct message_log_keys keys = {1, &claim};
    seed("log_keys", "one", log_keys_encode(w->a, &keys));
    store_snapshot_close(sn);
    world_close(w);
}

/* ---- files ---- */

static void of_dossiers(struct world *w)
{
    seed("dossier", "back", make(w, "U2", CLOSE_BACK, NULL).file);
    seed("dossier", "withheld", make(w, "M1", CLOSE_BACK, "QUALITY_DECISION").file);
    seed("dossier", "forward", make(w, "M0", CLOSE_FORWARD, NULL).file);
    seed("dossier", "absent", make(w, "NOSUCH", CLOSE_NONE, NULL).file);
}

static void of_texts(void)
{
    seed_text("config", "full",
              "# a comment\n[server]\nlisten = 127.0.0.1:7461\naddress = ledger.example:7461\nconnections_max = 100\n[store]\nanchor = /var/lib/a\n"
              "map_size = 1T\n[write]\nworkers = 2\nqueue = 100\n[http]\nlisten = [::1]:80\nplain = yes\n[witness]\npolicy = w.policy\n"
              "interval_seconds = 0.2\n[time]\nauthority = http://tsa.example/\nca = tsa.pem\n[access]\nspiffe://ledger/u.op = submit, read STORAGE_MOVED LOT_SPLIT states\nspiffe://ledger/qa = submit\n");
    seed_text("config", "empty", "\n");
    seed_text("profile", "plain", "[profile]\naddress = 127.0.0.1:7461\norigin = " WORLD_ORIGIN "\nparty = u.op\nfresh_within = 60\nplain = yes\n");
    seed_text("tile", "path", "tile/0/x001/x234/067");
    seed_text("tile", "partial", "tile/entries/x070/025.p/17");
    seed("tile", "bundle", span_of("\0\0\3abc\0\0\0\1x", 11));
    seed_text("json", "object", "{\"a\": [1, -2.50e+3, true, null, \"\\u00e9\\ud83d\\ude00\"], \"b\": {\"c\": \"d\"}}");
    seed_text("json", "number", "12.500");
    static const char *const VALUES[] = {"0", "-12.5", "1e3", "999999999999999.999999999", "2026-04-06T09:00:00+09:00", "0001-01-01T00:00:00Z",
                                         "9999-12-31T23:59:59.999999-14:59", "09521234543213", "LOT-1"};
    for (unsigned i = 0; i < sizeof VALUES / sizeof VALUES[0]; i++)
        seed_numbered("value", "text", i, span_str(VALUES[i]));
    seed_text("line", "sample",
              "{\"id\": \"my-17\", \"kind\": \"STORAGE_MOVED\", \"occurred\": \"2026-04-06T09:00:00+09:00\", \"signers\": [{\"party\": \"u.op1\", "
              "\"meaning\": \"authorship\"}], \"fields\": {\"item\": \"B-1\", \"location\": \"freezer 7\"}, \"expect\": \"ACCEPT\"}");
}

static void of_trees(struct world *w)
{
    struct hash leaves[256], path[64];
    static const unsigned SIZES[][2] = {{0, 1}, {3, 7}, {100, 256}, {6, 7}, {255, 256}, {64, 200}};
    for (unsigned i = 0; i < 256; i++) {
        uint8_t two[2] = {0, (uint8_t)i};
        merkle_leaf(w->c, span_of(two, 2), &leaves[i]);
    }
    for (unsigned i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        struct merkle_path p;
        struct wbuf b = begin(w);
        CHECK(merkle_path_of(w->c, w->a, leaves, SIZES[i][1], SIZES[i][0], &p));
        wbuf_u64(&b, SIZES[i][0]);
        wbuf_u64(&b, SIZES[i][1]);
        wbuf_bytes(&b, p.h, p.n * HASH_LEN);
        seed_numbered("inclusion", "path", i, wbuf_span(&b));
    }
    (void)path;
}

static bool level_get(void *ctx, unsigned level, uint64_t index, unsigned n, struct hash *out)
{
    const struct hash (*tree)[256] = ctx;
    memcpy(out, &tree[level][index], n * sizeof *out);
    return true;
}

static bool level_put(void *ctx, unsigned level, uint64_t index, const struct hash *h)
{
    struct hash (*tree)[256] = ctx;
    tree[level][index] = *h;
    return true;
}

static void of_consistency(struct world *w)
{
    static const unsigned SIZES[][2] = {{1, 2}, {3, 7}, {100, 256}, {7, 7}, {64, 200}};
    struct hash (*tree)[256] = arena_alloc(w->a, 9 * sizeof *tree);
    const struct merkle_store s = {tree, level_get, level_put};
    struct frontier edge = {.size = 0};
    for (unsigned i = 0; i < 256; i++) {
        uint8_t one = (uint8_t)i;
        struct hash leaf;
        merkle_leaf(w->c, span_of(&one, 1), &leaf);
        CHECK(merkle_append(w->c, &s, &edge, &leaf));
    }
    for (unsigned i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        struct merkle_path p;
        struct wbuf b = begin(w);
        CHECK(merkle_consistency(w->c, &s, SIZES[i][0], SIZES[i][1], &p));
        wbuf_u64(&b, SIZES[i][0]);
        wbuf_u64(&b, SIZES[i][1]);
        wbuf_bytes(&b, p.h, p.n * HASH_LEN);
        seed_numbered("consistency", "path", i, wbuf_span(&b));
    }
}

/* ---- time ---- */

static void of_time(struct world *w, struct genuine *g)
{
    struct authority t;
    struct tsp_response r;
    struct span request;
    static const uint8_t nonce = 7;
    authority_new(&t, "Works", WORLD_START_US / WORLD_SECOND_US - 86400, WORLD_START_US / WORLD_SECOND_US + 86400, "critical,timeStamping");
    MUST(tsp_request(w->a, &g->imprint, span_of(&nonce, 1), NULL, &request, err));
    struct span answer = authority_answer(w->a, &t, request);
    seed("tsp_response", "granted", answer);
    t.digest = "SHA512";
    seed("tsp_response", "refused", authority_answer(w->a, &t, SPAN_LIT("0\3\2\1\1")));
    MUST(tsp_response_parse(answer, &r, err));
    seed("tsp_token", "good", with_var(w, authority_pem(w->a, t.ca), r.token));
    struct tsp_info info;
    MUST(tsp_token_read(r.token, &info, err));
    g->gen_us = info.gen_us;
    authority_free(&t);
}

int main(int argc, char **argv)
{
    struct genuine g = {0};
    struct store_snapshot *sn;
    struct header seal;
    uint8_t key[KV_KEY_MAX];
    struct span v;
    struct entry_record r;
    if (argc != 3)
        return 2;
    corpus = argv[1];
    mkdir(corpus, 0777);
    g.out = fopen(argv[2], "w");
    CHECK(g.out != NULL);
    fprintf(g.out, "/* SPDX-License-Identifier: Apache-2.0 */\n/* genuine: what the ledger of the seeds really says. Written by seeds.c. */\n"
                   "#ifndef LEDGERD_TESTS_FUZZ_GENUINE_H\n#define LEDGERD_TESTS_FUZZ_GENUINE_H\n\n#include <stdint.h>\n\n");
    struct world *w = make_world();
    struct kv kv = open_view(w, &sn);
    of_log(w, &kv, &g);
    of_generated_events(w);
    CHECK(row(w, &kv, KV_LOG, kv_key_u64(key, w->m.size - 1), &v) && entry_record_split(v, &r));
    MUST(header_decode(w->a, r.header, &seal, err));
    of_chains(w, &kv, &seal.map_root);
    of_checkpoints(w, &kv, &g);
    const struct checkpoint cp = checkpoint_at(w, &kv, w->m.size);
    store_snapshot_close(sn);
    of_dialogues(w, note_of(w, &cp, false));
    of_batches(w);
    of_keys(w);
    of_dossiers(w);
    of_texts();
    of_trees(w);
    of_consistency(w);
    of_time(w, &g);
    fprintf(g.out, "static const uint8_t genuine_imprint[32] = {");
    put_bytes(g.out, g.imprint.b, HASH_LEN);
    fprintf(g.out, "};\nstatic const int64_t genuine_gen_us = %lld;\n\n#endif\n", (long long)g.gen_us);
    CHECK(fclose(g.out) == 0);
    world_close(w);
    of_log_key();
    return 0;
}
