/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_world: a small ledger in a scratch folder, into which a test plays signed events through
 * the machine, and of which it asks queries as a client would: encoded requests in, decoded
 * responses out.
 *
 * Every step that is not what a test is about must succeed; if it does not, the test ends with what
 * went wrong.
 */
#ifndef LEDGERD_TESTS_QUERY_WORLD_H
#define LEDGERD_TESTS_QUERY_WORLD_H

#include "lib/check.h"
#include "event_value.h"
#include "ledger.pb-c.h"
#include "machine.h"
#include "query.h"
#include "store/store.h"
#include "verify.h"

#include <ftw.h>

#define WORLD_ORIGIN "test.example/ledger"
#define WORLD_START_US INT64_C(1780000000000000)
#define WORLD_SECOND_US INT64_C(1000000)

struct world {
    char dir[64];
    struct crypto *c;
    struct arena *a;       /* lives as long as the world */
    struct arena *scratch; /* of the machine */
    struct store *store;
    struct kv base;
    struct kv_mem *batch;
    struct machine m;
    struct hash index_key;
    struct secret_key log_key;
    struct policy policy;
    struct access access;
    struct witnessed *witnessed; /* NULL: no witnesses. The test's own */
    int64_t now_us;
    unsigned references;
    unsigned key_round[9]; /* how often a party's key was rotated */
    struct hash last_event;
};

#define MUST(call)                                                                                 \
    do {                                                                                           \
        struct ledger_err must_err = {0}, *err = &must_err;                                        \
        enum ledger_rc must_rc = (call);                                                           \
        (void)err;                                                                                 \
        if (must_rc != LEDGER_OK) {                                                                \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, ledger_rc_text(must_rc),        \
                    must_err.msg);                                                                 \
            exit(CHECK_EXIT_FAILED);                                                               \
        }                                                                                          \
    } while (0)

static const char *const world_parties[] = {
    "admin", "u.op", "u.qa", "u.qp", "u.wh", "u.consent", "u.coll", "u.h1", "u.qc",
};
#define WORLD_PARTIES (sizeof world_parties / sizeof world_parties[0])

static inline unsigned world_party(struct span party)
{
    for (unsigned i = 0; i < WORLD_PARTIES; i++)
        if (span_eq(span_str(world_parties[i]), party))
            return i;
    fprintf(stderr, "no such party: %.*s\n", SPAN_FMT(party));
    exit(CHECK_EXIT_FAILED);
}

/* The party's key after so many rotations. */
static inline struct secret_key world_key(struct world *w, unsigned party, unsigned round)
{
    struct secret_key k;
    uint8_t seed[32] = {(uint8_t)(party + 1), (uint8_t)round, 0x5a};
    CHECK(crypto_secret_from_seed(w->c, SIG_ED25519, seed, &k));
    return k;
}

static inline struct span world_sign(struct world *w, const struct secret_key *k, struct span msg)
{
    uint8_t sig[64];
    CHECK(msg.p && crypto_make_signature(w->c, k, msg, sig));
    return arena_copy(w->a, span_of(sig, sizeof sig));
}

/* ---- batches ---- */

static inline void world_begin(struct world *w)
{
    MUST(store_begin(w->store, &w->base, err));
    /* The machine reads and writes through memory, as the daemon's writer does. */
    w->batch = kv_mem_new(&w->base, (size_t)256 << 20);
    CHECK(w->batch != NULL);
    w->m.kv = kv_mem_kv(w->batch);
}

static inline void world_commit(struct world *w)
{
    struct appended_entry e;
    struct checkpoint cp;
    w->now_us += WORLD_SECOND_US;
    MUST(machine_seal(&w->m, w->now_us, &e, &cp, err));
    MUST(kv_mem_flush(w->batch, err));
    MUST(store_commit(w->store, err));
    kv_mem_free(w->batch);
    w->batch = NULL;
    arena_reset(w->scratch);
}

/* ---- events ---- */

static inline struct span world_cut(struct span *rest, char at)
{
    const uint8_t *end = rest->n ? memchr(rest->p, at, rest->n) : NULL;
    struct span head = end ? span_of(rest->p, (size_t)(end - rest->p)) : *rest;
    *rest = end ? span_of(end + 1, rest->n - head.n - 1) : SPAN_NONE;
    return head;
}

static inline struct value world_single(struct world *w, const struct field_def *def,
                                        struct span text)
{
    struct value v = {.type = VALUE_ABSENT};
    enum field_type type = list_member_type(def->type);
    if (text.n == 0)
        return v;
    if (type == TYPE_BOOL)
        v = (struct value){.type = VALUE_BOOL, .b = text.n == 4};
    else if (type == TYPE_DECIMAL || type == TYPE_INT)
        CHECK(value_from_number(w->a, type, text, &v));
    else
        value_from_text(w->a, type, def->names, text, &v);
    if (v.type == VALUE_BAD)
        fprintf(stderr, "%s=%.*s: %.*s\n", def->text, SPAN_FMT(text), SPAN_FMT(v.raw));
    CHECK(v.type != VALUE_BAD);
    return v;
}

/* Members of a list are separated by '|', members of a record by ':'. */
static inline struct value world_value(struct world *w, const struct field_def *def,
                                       struct span text)
{
    if (def->type != TYPE_LIST_RECORD && list_member_type(def->type) == def->type)
        return world_single(w, def, text);
    struct value v = {.type = VALUE_LIST};
    v.items = arena_alloc(w->a, LIST_MAX * sizeof *v.items);
    while (text.n && v.n < LIST_MAX) {
        struct span member = world_cut(&text, '|');
        struct value *at = &v.items[v.n++];
        if (def->type != TYPE_LIST_RECORD) {
            *at = world_single(w, def, member);
            continue;
        }
        *at = (struct value){.type = VALUE_RECORD, .n = def->n_members};
        at->items = arena_alloc(w->a, def->n_members * sizeof *at->items);
        for (unsigned i = 0; member.n && i < def->n_members; i++)
            at->items[i] = world_single(w, &def->members[i], world_cut(&member, ':'));
    }
    return v;
}

static inline void world_fields(struct world *w, struct event *ev, const char *text)
{
    struct span rest = arena_copy(w->a, span_str(text));
    while (rest.n) {
        struct span value = world_cut(&rest, ';'), name = world_cut(&value, '=');
        const struct field_def *def = kind_field(ev->kind, name);
        if (!def)
            fprintf(stderr, "%s has no field %.*s\n", ev->kind->name, SPAN_FMT(name));
        CHECK(def != NULL);
        ev->fields[def - ev->kind->fields] = world_value(w, def, value);
    }
}

static inline struct value world_time(struct world *w, int64_t us)
{
    char text[TIME_TEXT_MAX];
    struct value v;
    size_t n = time_format(us, text);
    value_from_text(w->a, TYPE_TIME, NULL, arena_copy(w->a, span_of(text, n)), &v);
    return v;
}

/* A registration names a key and proves that its holder has it. */
static inline void world_add_key(struct world *w, struct event *ev)
{
    char text[KEY_TEXT_MAX];
    unsigned party = world_party(event_text(ev, FIELD_PARTY));
    unsigned action = event_enum(ev, FIELD_ACTION);
    if (action != PARTY_REGISTER && action != PARTY_ROTATE_KEY)
        return;
    struct secret_key k = world_key(w, party, w->key_round[party] + (action == PARTY_ROTATE_KEY));
    struct span pub = span_of(k.pub, k.pub_len);
    key_text_format(SIG_ED25519, pub, text);
    const struct field_def *def = kind_field_at(ev->kind, FIELD_PUBKEY);
    ev->fields[def - ev->kind->fields] =
        (struct value){.type = VALUE_TEXT, .raw = arena_copy(w->a, span_str(text))};
    ev->key_proof = world_sign(w, &k,
                               key_proof_input(w->a, SPAN_LIT(WORLD_ORIGIN),
                                               event_text(ev, FIELD_PARTY), SIG_ED25519, pub));
}

static inline void world_block(struct world *w, const struct event *ev, const char *signers,
                               struct sigblock *b)
{
    struct span rest = arena_copy(w->a, span_str(signers));
    struct hash root;
    *b = (struct sigblock){.events = 1};
    CHECK(sigblock_root(w->c, b, &ev->id, &root));
    while (rest.n) {
        struct span party = world_cut(&rest, ',');
        struct secret_key k = world_key(w, world_party(party), w->key_round[world_party(party)]);
        uint8_t id[KEY_ID_LEN];
        crypto_key_id(w->c, k.alg, span_of(k.pub, k.pub_len), id);
        struct signature *s = &b->sigs[b->n];
        *s = (struct signature){.party = party,
                                .key_id = arena_copy(w->a, span_of(id, sizeof id)),
                                .alg = SIG_ED25519,
                                .meaning = SPAN_LIT("authorship"),
                                .time = ev->occurred.raw};
        b->n++;
        s->sig = world_sign(w, &k,
                            signature_input(w->c, w->a, SPAN_LIT(WORLD_ORIGIN), s, (unsigned)b->n,
                                            1, &root, b->n > 1 ? s - 1 : NULL));
    }
}

/* Plays one event: `signers` are separated by commas, `fields` are "name=value;name=value". Returns
 * its index. */
static inline uint64_t play(struct world *w, const char *kind, const char *signers,
                            const char *fields)
{
    struct event draft = {.kind = kind_by_name(span_str(kind))}, ev;
    struct sigblock b, decoded;
    struct appended_entry e;
    struct refusal why = {0};
    char text[32];
    CHECK(draft.kind != NULL);
    w->now_us += WORLD_SECOND_US;
    snprintf(text, sizeof text, "reference %06u", ++w->references);
    draft.nonce = arena_copy(w->a, span_of(text, NONCE_LEN));
    draft.reference = arena_copy(w->a, span_str(text));
    draft.occurred = world_time(w, w->now_us);
    world_fields(w, &draft, fields);
    if (draft.kind->kind == KIND_PARTY_REGISTERED)
        world_add_key(w, &draft);
    struct span bytes = event_encode(w->a, &draft);
    CHECK(bytes.p != NULL);
    enum ledger_rc rc = event_decode(w->c, w->a, bytes, &ev, &why, NULL);
    if (rc == LEDGER_OK) {
        world_block(w, &ev, signers, &b);
        struct span block = sigblock_encode(w->a, &b);
        MUST(sigblock_decode(block, &decoded, err));
        struct submission s = {.ev = &ev, .block = block, .b = &decoded};
        struct ledger_err failed = {0};
        rc = machine_event(&w->m, &s, w->now_us, &e, &why, &failed);
        if (rc != LEDGER_OK && rc != LEDGER_EREFUSED)
            fprintf(stderr, "%s\n", failed.msg);
    }
    if (rc != LEDGER_OK)
        fprintf(stderr, "%s {%s}: %s: %s %s: %s\n", kind, fields, ledger_rc_text(rc),
                refusal_name(why.code), why.field, why.text);
    CHECK_EQ_INT(rc, LEDGER_OK);
    w->last_event = ev.id;
    if (ev.kind->kind == KIND_PARTY_REGISTERED && event_enum(&ev, FIELD_ACTION) == PARTY_ROTATE_KEY)
        w->key_round[world_party(event_text(&ev, FIELD_PARTY))]++;
    arena_reset(w->scratch);
    return e.index;
}

/* ---- the ledger ---- */

static inline void world_genesis(struct world *w, const char *vkey)
{
    struct secret_key admin = world_key(w, 0, 0);
    struct span pub = span_of(admin.pub, admin.pub_len);
    struct genesis g = {.origin = SPAN_LIT(WORLD_ORIGIN),
                        .log_vkey = span_str(vkey),
                        .format_version = FORMAT_VERSION,
                        .rules_version = RULES_VERSION,
                        .clock_tolerance_us = 5 * WORLD_SECOND_US,
                        .heartbeat_s = 300,
                        .event_size_max = EVENT_SIZE_MAX,
                        .batch_events_max = BATCH_EVENTS_MAX,
                        .admin = SPAN_LIT("admin"),
                        .admin_org = SPAN_LIT("CPC"),
                        .admin_alg = SIG_ED25519,
                        .admin_key = pub};
    struct appended_entry e;
    memset(g.nonce.b, 3, HASH_LEN);
    index_key_commit(w->c, &w->index_key, &g.index_key_commit);
    g.admin_proof =
        world_sign(w, &admin, key_proof_input(w->a, g.origin, g.admin, SIG_ED25519, pub));
    MUST(machine_genesis(&w->m, genesis_encode(w->a, &g), w->now_us, &e, err));
    struct epoch epoch = {.epoch = 1,
                          .host = SPAN_LIT("test"),
                          .program = SPAN_LIT("test"),
                          .reason = SPAN_LIT("start")};
    MUST(machine_own(&w->m, OWN_EPOCH, epoch_encode(w->a, &epoch), w->now_us, &e, err));
}

/* A ledger with its genesis, and the parties of the table registered: two batches. */
static inline struct world *world_open(void)
{
    struct world *w = calloc(1, sizeof *w);
    struct note_key key;
    char vkey[NOTE_NAME_MAX + 200], text[NOTE_NAME_MAX + 300];
    uint8_t seed[32] = {9, 9};
    CHECK(w && (w->c = crypto_new()) && (w->a = arena_new((size_t)512 << 20)) &&
          (w->scratch = arena_new((size_t)64 << 20)));
    snprintf(w->dir, sizeof w->dir, "/tmp/ledgerd-query-XXXXXX");
    CHECK(mkdtemp(w->dir) != NULL);
    w->now_us = WORLD_START_US;
    memset(w->index_key.b, 0x42, HASH_LEN);
    CHECK(crypto_secret_from_seed(w->c, SIG_ED25519, seed, &w->log_key));
    CHECK(note_key_make(w->c, WORLD_ORIGIN, NOTE_ED25519,
                        span_of(w->log_key.pub, w->log_key.pub_len), &key));
    note_key_format(&key, vkey);
    snprintf(text, sizeof text, "log %s\nquorum none\n", vkey);
    MUST(policy_parse(w->c, arena_copy(w->a, span_str(text)), &w->policy, err));
    MUST(store_keys_write(w->dir, WORLD_ORIGIN, &w->log_key, &w->index_key, err));
    MUST(store_create(w->dir, err));
    const struct store_options small = {.map_bytes = (uint64_t)1 << 30}; /* sanitizers leave no room for more */
    MUST(store_open_with(w->dir, STORE_WRITE, &small, &w->store, err));
    w->access =
        (struct access){.may_submit = true, .may_read_states = true, .read_kinds = UINT32_MAX};
    w->m = (struct machine){.c = w->c, .a = w->scratch, .index_key = w->index_key, .wire = true};
    world_begin(w);
    world_genesis(w, vkey);
    world_commit(w);
    world_begin(w);
    static const char *const registrations[] = {
        "u.op;roles=OPERATOR",
        "u.qa;roles=QA",
        "u.qp;roles=QP",
        "u.wh;roles=WAREHOUSE",
        "u.consent;roles=CONSENT_OFFICER",
        "u.coll;roles=COLLECTION",
        "u.qc;roles=QC",
    };
    for (size_t i = 0; i < sizeof registrations / sizeof registrations[0]; i++) {
        char fields[128];
        snprintf(fields, sizeof fields, "action=REGISTER;org=CPC;party=%s", registrations[i]);
        play(w, "PARTY_REGISTERED", "admin", fields);
    }
    play(w, "PARTY_REGISTERED", "admin", "action=REGISTER;org=HOSP;party=u.h1;roles=HOSPITAL");
    world_commit(w);
    return w;
}

static inline int world_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void world_close(struct world *w)
{
    kv_mem_free(w->batch); /* one that is open */
    store_close(w->store);
    nftw(w->dir, world_remove, 16, FTW_DEPTH | FTW_PHYS);
    char anchor[80];
    snprintf(anchor, sizeof anchor, "%s.anchor", w->dir);
    remove(anchor);
    arena_free(w->scratch);
    arena_free(w->a);
    crypto_free(w->c);
    free(w);
}

/* ---- asking ---- */

static inline void *world_alloc(void *ctx, size_t n)
{
    return arena_alloc(ctx, n);
}

static inline void world_no_free(void *ctx, void *p)
{
    (void)ctx, (void)p;
}

static inline struct query *ask_begin(struct world *w, const Ledgerd__V1__Request *req)
{
    struct query_env env = {.store = w->store, .access = &w->access, .witnessed = w->witnessed};
    struct query *q;
    size_t n = ledgerd__v1__request__get_packed_size(req);
    uint8_t *p = arena_alloc(w->a, n);
    CHECK(p != NULL);
    ledgerd__v1__request__pack(req, p);
    MUST(query_begin(&env, span_of(p, n), &q, err));
    return q;
}

/* The next response, or NULL when there is nothing new. */
static inline Ledgerd__V1__Response *ask_next(struct world *w, struct query *q, bool *more)
{
    ProtobufCAllocator allocator = {world_alloc, world_no_free, w->a};
    struct arena *a = arena_new(QUERY_ARENA_BYTES);
    struct span bytes;
    struct ledger_err e = {0};
    enum ledger_rc rc = query_next(q, a, &bytes, more, &e);
    Ledgerd__V1__Response *r = NULL;
    if (rc == LEDGER_OK) {
        CHECK(bytes.n <= QUERY_RESPONSE_BYTES + ((size_t)200 << 10));
        r = ledgerd__v1__response__unpack(&allocator, bytes.n, bytes.p);
        CHECK(r != NULL);
        CHECK_EQ_INT(r->more, *more);
    } else {
        CHECK_EQ_INT(rc, LEDGER_EBUSY);
    }
    arena_free(a);
    return r;
}

#ifndef ANSWERS_MAX
#define ANSWERS_MAX 256
#endif
struct answers {
    size_t n;
    Ledgerd__V1__Response *r[ANSWERS_MAX];
};

/* Asks and reads to the end. */
static inline void ask(struct world *w, const Ledgerd__V1__Request *req, struct answers *out)
{
    bool more = true;
    struct query *q = ask_begin(w, req);
    for (out->n = 0; more; out->n++) {
        CHECK(out->n < ANSWERS_MAX);
        out->r[out->n] = ask_next(w, q, &more);
        CHECK(out->r[out->n] != NULL);
        CHECK_EQ_INT(out->r[out->n]->id, req->id);
    }
    query_end(q);
}

static inline struct span of_bin(ProtobufCBinaryData b)
{
    return span_of(b.data, b.len);
}

static inline struct verifier world_verifier(struct world *w)
{
    return (struct verifier){.c = w->c,
                             .a = w->a,
                             .policy = &w->policy,
                             .index_key = w->index_key,
                             .origin = WORLD_ORIGIN};
}

#define VERIFIED(call)                                                                             \
    do {                                                                                           \
        struct verdict verdict = {0}, *v = &verdict;                                               \
        if (!(call)) {                                                                             \
            fprintf(stderr, "%s:%d: not verified: entry %llu, %s: %s\n", __FILE__, __LINE__,       \
                    (unsigned long long)verdict.index, verdict.what, verdict.text);                \
            exit(CHECK_EXIT_FAILED);                                                               \
        }                                                                                          \
    } while (0)

static inline struct snapshot verified_snapshot(struct world *w, const Ledgerd__V1__Snapshot *s)
{
    struct verifier vf = world_verifier(w);
    struct snapshot out;
    CHECK(s != NULL);
    struct snapshot_claim claim = {of_bin(s->checkpoint), of_bin(s->seal), of_bin(s->seal_path), of_bin(s->witnessed)};
    VERIFIED(verify_snapshot(&vf, &claim, &out, v));
    return out;
}

static inline struct entry verified_entry(struct world *w, const Ledgerd__V1__Record *r)
{
    struct verifier vf = world_verifier(w);
    struct entry out;
    struct entry_claim claim = {.header = of_bin(r->header), .event = of_bin(r->event), .block = of_bin(r->block),
                                .withheld = r->withheld, .opening = of_bin(r->opening), .erased_by = r->erased_by};
    VERIFIED(verify_entry(&vf, &claim, &out, v));
    return out;
}

/* Ends the test unless the answer is an Error of that code whose text contains the words. */
static inline void check_error(const struct answers *ans, Ledgerd__V1__ErrorCode code,
                               const char *words)
{
    const Ledgerd__V1__Response *r = ans->r[ans->n - 1];
    CHECK_EQ_INT(r->answer_case, LEDGERD__V1__RESPONSE__ANSWER_ERROR);
    if ((int)r->error->code != (int)code || !strstr(r->error->text, words))
        fprintf(stderr, "error %d: %s\n", (int)r->error->code, r->error->text);
    CHECK_EQ_INT(r->error->code, code);
    CHECK(strstr(r->error->text, words) != NULL);
}

#define REQUEST(number)                                                                            \
    {                                                                                              \
        .base = PROTOBUF_C_MESSAGE_INIT(&ledgerd__v1__request__descriptor), .id = (number)         \
    }

/* ---- the ledger that most tests ask ---- */

static inline void play_material(struct world *w, const char *item)
{
    char fields[256];
    snprintf(fields, sizeof fields,
             "item=%s;gtin=0952;lot=%s;supplier=S;quantity=500;uom=mL;expiry=2027-12-31T00:00:00Z;"
             "coa_hash=h;origin=bovine",
             item, item);
    play(w, "MATERIAL_RECEIVED", "u.wh", fields);
    snprintf(fields, sizeof fields, "item=%s;decision=RELEASE;spec_version=RM-1;reason=conforms",
             item);
    play(w, "QUALITY_DECISION", "u.qa,u.qp", fields);
}

/* From a patient's cells to two bags: L1 is made of APH-1 and of M1, which M0 did not touch; U1 and
 * U2 are split from L1. */
static inline struct world *make_ledger(void)
{
    struct world *w = world_open();
    world_begin(w);
    play(w, "COI_ASSIGNED", "u.consent", "coi=C1;subject_commit=abc;use=AUTOLOGOUS");
    play(w, "CONSENT_CHANGED", "u.consent",
         "coi=C1;action=GIVEN;scopes=COLLECTION|MANUFACTURE|TREATMENT;document_hash=h;version=1");
    play(w, "COLLECTION_PERFORMED", "u.coll",
         "item=APH-1;din=D1;coi=C1;use=AUTOLOGOUS;quantity=240;uom=mL;expiry=2026-12-31T00:00:00Z;"
         "site=CPC;procedure=leukapheresis");
    play(w, "QUALITY_DECISION", "u.qa,u.qp",
         "item=APH-1;decision=RELEASE;spec_version=S;reason=conforms");
    play_material(w, "M0");
    play_material(w, "M1");
    world_commit(w);
    world_begin(w);
    play(w, "SPECIFICATION_SET", "u.qa,u.qp",
         "product_code=PC-1;version=S1;tests=viability:%:70::FALSE");
    play(w, "LOT_CREATED", "u.op",
         "item=L1;lot_class=BATCH;product_code=PC-1;lot=L1;use=AUTOLOGOUS;coi=C1;required_tests="
         "identity;spec_version=S1;for_coi=C1");
    play(w, "INPUT_CONSUMED", "u.op", "item=L1;input=APH-1;quantity=200;uom=mL");
    play(w, "INPUT_CONSUMED", "u.op", "item=L1;input=M1;quantity=50;uom=mL");
    play(w, "LOT_DERIVED", "u.op", "item=L1;quantity=60;uom=mL;expiry=2027-06-30T00:00:00Z");
    play(w, "LOT_SPLIT", "u.op", "item=L1;units=U1:20|U2:20");
    world_commit(w);
    return w;
}

/* L1 is tested and released, U1 is under way to the hospital, M0 is recalled and in quarantine,
 * APH-1 has an open deviation. */
static inline void release_ledger(struct world *w)
{
    world_begin(w);
    play(w, "QC_RESULT", "u.qc",
         "item=L1;test=identity;method=STR;value=match;unit=-;verdict=PASS;sample=S1");
    play(w, "QUALITY_DECISION", "u.qa,u.qp",
         "item=L1;decision=RELEASE;spec_version=S1;reason=conforms");
    play(w, "DEVIATION_CHANGED", "u.qa",
         "item=M0;deviation=DEV-1;action=OPENED;description=label torn");
    play(w, "QUALITY_DECISION", "u.qa,u.qp",
         "item=M0;decision=QUARANTINE;spec_version=S1;reason=label");
    play(w, "RECALL_CHANGED", "u.qa,u.qp",
         "recall=R-1;action=ISSUED;items=M0;class=II;reason=supplier");
    play(w, "SHIPMENT_DISPATCHED", "u.wh",
         "shipment=SH-1;items=U1;to_org=HOSP;carrier_org=CAR;container=DS;logger=LG;"
         "logger_calibration_due=2027-06-30T00:00:00Z;min_c=-196;max_c=-120");
    world_commit(w);
}

/* Moves an item to and fro, so that its chain grows. */
static inline void play_moves(struct world *w, const char *item, unsigned n)
{
    char fields[700];
    for (unsigned i = 0; i < n; i++) {
        snprintf(fields, sizeof fields, "item=%s;location=freezer %u, %0500d", item, i, 0);
        play(w, "STORAGE_MOVED", "u.wh", fields);
    }
}

/* Flips one bit of a stored value, counted from its end. */
static inline void tamper(struct world *w, enum kv_table t, struct span key, size_t from_end)
{
    struct kv kv;
    struct span v;
    MUST(store_begin(w->store, &kv, err));
    MUST(kv_get(&kv, t, key, &v));
    v = arena_copy(w->a, v);
    CHECK(v.p && v.n > from_end);
    ((uint8_t *)(uintptr_t)v.p)[v.n - 1 - from_end] ^= 1;
    MUST(store_replace(w->store, t, key, v, err));
    MUST(store_commit(w->store, err));
}

#endif
