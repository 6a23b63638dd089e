/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_format: docs/format.md, section 15, against the code. The ledger of the worked example is made here with the modules
 * of proto/; every number of it must stand in the document, and every number of the document must be one of it.
 *
 * When the format's description changes on purpose: the numbers that differ are printed as they are to be written.
 */
#include "chainmap.h"
#include "event_value.h"
#include "lib/check.h"
#include "lib/document.h"
#include "machine.h"
#include "verify.h"

#define ORIGIN "ledger.example/cpc-a"
#define ADMIN "admin@ledger.example/cpc-a"
#define OPERATOR "u.ono"
#define ORG "gs1:414/9521234000013"
#define SERUM "gs1:01/09521234543213/10/FBS-0412"
#define CYTOKINE "gs1:01/09521234543220/10/IL2-0077"
#define ABSENT "gs1:01/09521234543220/10/IL2-0078"

static struct crypto *c;
static struct kv_mem *mem;
static struct machine m;
static struct note_key log_note;
static struct secret_key log_key, admin_key, operator_key;

/* ---- making the example ---- */

static void seed_key(uint8_t first, struct secret_key *out)
{
    uint8_t seed[32];
    for (uint8_t i = 0; i < 32; i++)
        seed[i] = (uint8_t)(first + i);
    CHECK(crypto_secret_from_seed(c, SIG_ED25519, seed, out));
}

static struct span pub(const struct secret_key *k)
{
    return span_of(k->pub, k->pub_len);
}

static struct span sign(const struct secret_key *k, struct span msg)
{
    uint8_t sig[64];
    CHECK(msg.p && crypto_make_signature(c, k, msg, sig));
    return arena_copy(a, span_of(sig, sizeof sig));
}

static struct span key_id(const struct secret_key *k)
{
    uint8_t id[KEY_ID_LEN];
    crypto_key_id(c, k->alg, pub(k), id);
    return arena_copy(a, span_of(id, sizeof id));
}

static struct span filled(uint8_t byte, size_t n)
{
    uint8_t b[32];
    memset(b, byte, sizeof b);
    return arena_copy(a, span_of(b, n));
}

static int64_t instant(const char *t)
{
    int64_t us;
    CHECK(time_parse(span_str(t), &us));
    return us;
}

static struct hash key_of(enum chain_type t, const char *id)
{
    struct hash k;
    chain_key(c, &m.index_key, t, span_str(id), &k);
    return k;
}

static void make_keys(void)
{
    char vkey[NOTE_NAME_MAX + 200];
    seed_key(0x00, &log_key);
    seed_key(0x20, &admin_key);
    seed_key(0x40, &operator_key);
    for (uint8_t i = 0; i < 32; i++)
        m.index_key.b[i] = (uint8_t)(0x60 + i);
    CHECK(note_key_make(c, ORIGIN, NOTE_ED25519, pub(&log_key), &log_note));
    size_t n = note_key_format(&log_note, vkey);
    emit("log-seed", span_of(log_key.seed, 32));
    emit("log-public", pub(&log_key));
    emit("log-vkey-id", span_of(log_note.id, sizeof log_note.id));
    emit("log-vkey", span_of(vkey, n));
    emit("admin-seed", span_of(admin_key.seed, 32));
    emit("admin-public", pub(&admin_key));
    emit("admin-key-id", key_id(&admin_key));
    emit("operator-seed", span_of(operator_key.seed, 32));
    emit("operator-public", pub(&operator_key));
    emit("operator-key-id", key_id(&operator_key));
    emit_hash("index-key", &m.index_key);
    struct hash commit;
    index_key_commit(c, &m.index_key, &commit);
    emit_hash("index-key-commitment", &commit);
}

static const struct {
    const char *name, *id;
    enum chain_type type;
} chains[] = {
    {"ledger", ORIGIN, CHAIN_LEDGER},   {"admin", ADMIN, CHAIN_PARTY},       {"operator", OPERATOR, CHAIN_PARTY},
    {"serum", SERUM, CHAIN_ITEM},       {"cytokine", CYTOKINE, CHAIN_ITEM},
};
#define CHAINS (sizeof chains / sizeof chains[0])

static void make_chain_keys(void)
{
    struct hash k;
    for (size_t i = 0; i < CHAINS; i++) {
        k = key_of(chains[i].type, chains[i].id);
        emit_hash(text("chain-key-%s", chains[i].name), &k);
    }
    k = key_of(CHAIN_ITEM, ABSENT);
    emit_hash("chain-key-absent", &k);
}

/* Salt, state and commitment of a chain right after entry `index`, and that the header says the same. */
static void emit_state(const char *chain, unsigned index, struct span nonce, const struct header *h)
{
    struct chain ch;
    struct span record;
    struct wbuf w;
    struct hash salt, commit, key = HASH_ZERO;
    for (size_t i = 0; i < CHAINS; i++)
        if (strcmp(chains[i].name, chain) == 0)
            key = key_of(chains[i].type, chains[i].id);
    CHECK_EQ_INT(kv_get(&m.kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record), LEDGER_OK);
    memset(&ch, 0, sizeof ch);
    CHECK_EQ_INT(chain_record_decode(record, &ch, NULL), LEDGER_OK);
    ch.key = key;
    wbuf_init(&w, a);
    state_encode(c, &ch, false, &w);
    state_salt(c, nonce, &key, &salt);
    const struct link *l = header_link(h, &key);
    CHECK(l && state_commit(c, a, &ch, l->seq, &salt, &commit));
    CHECK_EQ_MEM(l->state.b, commit.b, HASH_LEN);
    emit_hash(text("salt-%u-%s", index, chain), &salt);
    emit(text("state-%u-%s", index, chain), wbuf_span(&w));
    emit_hash(text("commitment-%u-%s", index, chain), &commit);
}

static void emit_entry(const struct appended_entry *e, struct header *h)
{
    CHECK_EQ_INT(header_decode(a, e->header, h, NULL), LEDGER_OK);
    emit(text("header-%u", (unsigned)e->index), e->header);
    emit_hash(text("leaf-%u", (unsigned)e->index), &e->leaf);
}

static void make_genesis(void)
{
    struct appended_entry e;
    struct header h;
    struct genesis g = {
        .origin = SPAN_LIT(ORIGIN), .log_vkey = of_made("log-vkey"), .format_version = FORMAT_VERSION,
        .rules_version = RULES_VERSION, .clock_tolerance_us = 5000000, .heartbeat_s = 60, .event_size_max = EVENT_SIZE_MAX,
        .batch_events_max = BATCH_EVENTS_MAX, .admin = SPAN_LIT(ADMIN), .admin_org = SPAN_LIT(ORG),
        .admin_alg = SIG_ED25519, .admin_key = pub(&admin_key),
    };
    memset(g.nonce.b, 0xa0, HASH_LEN);
    index_key_commit(c, &m.index_key, &g.index_key_commit);
    struct span proof = key_proof_input(a, g.origin, g.admin, g.admin_alg, g.admin_key);
    g.admin_proof = sign(&admin_key, proof);
    struct span payload = genesis_encode(a, &g);
    CHECK_EQ_INT(machine_genesis(&m, payload, instant("2026-01-05T08:00:00Z"), &e, NULL), LEDGER_OK);
    emit("key-proof-input-admin", proof);
    emit("key-proof-admin", g.admin_proof);
    emit("genesis", payload);
    emit_entry(&e, &h);
    emit_hash("id-0", &h.event_id);
    emit_hash("block-hash-none", &h.block_hash);
    emit_state("ledger", 0, span_of(g.nonce.b, HASH_LEN), &h);
    emit_state("admin", 0, span_of(g.nonce.b, HASH_LEN), &h);
}

static void make_epoch(void)
{
    struct appended_entry e;
    struct header h;
    struct epoch p = {.epoch = 1, .host = SPAN_LIT("cpc-a"), .program = SPAN_LIT("ledgerd 0.1.0"), .reason = SPAN_LIT("start")};
    memset(p.nonce, 0xa1, sizeof p.nonce);
    struct span payload = epoch_encode(a, &p);
    CHECK_EQ_INT(machine_own(&m, OWN_EPOCH, payload, instant("2026-01-05T08:01:00Z"), &e, NULL), LEDGER_OK);
    emit("epoch", payload);
    emit_entry(&e, &h);
    emit_hash("id-2", &h.event_id);
    emit_state("ledger", 2, span_of(p.nonce, sizeof p.nonce), &h);
}

/* ---- events ---- */

static struct value *field(struct event *ev, const char *name, enum field_type *type, const struct enum_type **names)
{
    const struct field_def *def = kind_field(ev->kind, span_str(name));
    CHECK(def);
    *type = def->type;
    *names = def->names;
    return &ev->fields[def - ev->kind->fields];
}

static void one_value(enum field_type type, const struct enum_type *names, const char *t, struct value *v)
{
    if (type == TYPE_DECIMAL)
        CHECK(value_from_number(a, type, span_str(t), v));
    else
        value_from_text(a, type, names, span_str(t), v);
    CHECK(v->type != VALUE_BAD);
}

/* Lists are given with one member after another. */
static void set(struct event *ev, const char *name, const char *t)
{
    enum field_type type;
    const struct enum_type *names;
    struct value *v = field(ev, name, &type, &names);
    if (list_member_type(type) == type) {
        one_value(type, names, t, v);
        return;
    }
    struct value *items = arena_alloc(a, (v->n + 1) * sizeof *items);
    CHECK(items);
    if (v->n)
        memcpy(items, v->items, v->n * sizeof *items);
    one_value(list_member_type(type), names, t, &items[v->n]);
    *v = (struct value){.type = VALUE_LIST, .items = items, .n = v->n + 1};
}

static void begin(struct event *ev, enum event_kind kind, uint8_t nonce, const char *reference, const char *occurred)
{
    memset(ev, 0, sizeof *ev);
    ev->kind = kind_find(kind);
    ev->nonce = filled(nonce, NONCE_LEN);
    ev->reference = span_str(reference);
    value_from_text(a, TYPE_TIME, NULL, span_str(occurred), &ev->occurred);
}

static struct event registration(void)
{
    struct event ev;
    char key[KEY_TEXT_MAX];
    key_text_format(SIG_ED25519, pub(&operator_key), key);
    struct span proof = key_proof_input(a, SPAN_LIT(ORIGIN), SPAN_LIT(OPERATOR), SIG_ED25519, pub(&operator_key));
    emit("key-proof-input-operator", proof);
    begin(&ev, KIND_PARTY_REGISTERED, 0xb3, "reg-1", "2026-01-05T17:02:00+09:00");
    ev.key_proof = sign(&operator_key, proof);
    set(&ev, "action", "REGISTER");
    set(&ev, "party", OPERATOR);
    set(&ev, "roles", "OPERATOR");
    set(&ev, "roles", "WAREHOUSE");
    set(&ev, "org", ORG);
    set(&ev, "pubkey", text("%s", key));
    return ev;
}

static const char *certificate(void)
{
    char hex[2 * HASH_LEN + 1];
    struct hash h;
    struct span salt = filled(0xc0, 32), file = SPAN_LIT("certificate of analysis");
    const struct hfield f[] = {HFIX(salt.p, salt.n), HVAR(file)};
    crypto_labelled(c, LABEL_ATTACHMENT, f, 2, &h);
    emit_hash("attachment", &h);
    hex_encode(span_of(h.b, HASH_LEN), hex);
    return text("%s", hex);
}

static struct event material(unsigned which, const char *coa)
{
    struct event ev;
    bool serum = which == 0;
    begin(&ev, KIND_MATERIAL_RECEIVED, serum ? 0xb4 : 0xb5, serum ? "rcv-1" : "rcv-2", "2026-01-05T17:30:00+09:00");
    set(&ev, "item", serum ? SERUM : CYTOKINE);
    set(&ev, "gtin", serum ? "09521234543213" : "09521234543220");
    set(&ev, "lot", serum ? "FBS-0412" : "IL2-0077");
    set(&ev, "supplier", "Example Sera");
    set(&ev, "quantity", serum ? "500" : "0.25");
    set(&ev, "uom", serum ? "mL" : "mg");
    set(&ev, "expiry", serum ? "2027-06-30T23:59:59+09:00" : "2026-12-31T23:59:59+09:00");
    set(&ev, "coa_hash", coa);
    set(&ev, "origin", "AU");
    if (serum) {
        set(&ev, "required_tests", "ENDOTOXIN");
        set(&ev, "required_tests", "MYCOPLASMA");
    }
    return ev;
}

/* Encodes, decodes strictly again; emits bytes and id. */
static struct event finish_event(const struct event *ev, unsigned index)
{
    struct event out;
    struct refusal why = {0};
    struct span bytes = event_encode(a, ev);
    if (event_decode(c, a, bytes, &out, &why, NULL) != LEDGER_OK)
        fprintf(stderr, "%s %s\n", why.field, why.text);
    CHECK(out.kind && why.code == REFUSE_NONE);
    emit(text("event-%u", index), bytes);
    emit_hash(text("id-%u", index), &out.id);
    return out;
}

struct signing {
    const struct secret_key *key;
    const char *party, *meaning, *time, *name; /* name: of the numbers */
};

/* One signature over n events; the root and the input are emitted. */
static struct signature sign_events(const struct signing *s, const struct event *evs, unsigned n)
{
    struct hash leaves[2], root;
    struct signature sig = {.party = span_str(s->party), .key_id = key_id(s->key), .alg = SIG_ED25519,
                            .meaning = span_str(s->meaning), .time = span_str(s->time)};
    CHECK(n <= 2);
    for (unsigned i = 0; i < n; i++)
        merkle_leaf(c, span_of(evs[i].id.b, HASH_LEN), &leaves[i]);
    CHECK(merkle_root_of(c, leaves, n, &root));
    struct span input = signature_input(c, a, SPAN_LIT(ORIGIN), &sig, 1, n, &root, NULL);
    sig.sig = sign(s->key, input);
    emit_hash(text("signed-root-%s", s->name), &root);
    emit(text("signature-input-%s", s->name), input);
    emit(text("signature-%s", s->name), sig.sig);
    return sig;
}

static void append_event(struct event *evs, unsigned n, unsigned i, const struct signature *sig, const char *chain)
{
    struct hash leaves[2];
    struct merkle_path path;
    struct appended_entry e;
    struct header h;
    struct refusal why;
    unsigned index = (unsigned)m.size;
    for (unsigned k = 0; k < n; k++)
        merkle_leaf(c, span_of(evs[k].id.b, HASH_LEN), &leaves[k]);
    CHECK(merkle_path_of(c, a, leaves, n, i, &path));
    struct sigblock b = {.events = n, .index = i, .path = path.n ? path.h[0].b : NULL, .path_n = path.n, .n = 1};
    b.sigs[0] = *sig;
    struct submission s = {.ev = &evs[i], .block = sigblock_encode(a, &b), .b = &b};
    enum ledger_rc rc = machine_event(&m, &s, instant("2026-01-05T08:31:00.250000Z"), &e, &why, NULL);
    if (rc)
        fprintf(stderr, "%s %s %s\n", refusal_name(why.code), why.field, why.text);
    CHECK_EQ_INT(rc, LEDGER_OK);
    emit(text("block-%u", index), s.block);
    emit_entry(&e, &h);
    emit_hash(text("block-hash-%u", index), &h.block_hash);
    emit_state(chain, index, evs[i].nonce, &h);
}

static void make_events(void)
{
    static const struct signing by_admin = {&admin_key, ADMIN, "approval", "2026-01-05T17:02:30+09:00", "3"};
    static const struct signing by_operator = {&operator_key, OPERATOR, "authorship", "2026-01-05T17:30:20+09:00", "4-5"};
    struct event first = registration(), both[2];
    first = finish_event(&first, 3);
    struct signature sig = sign_events(&by_admin, &first, 1);
    append_event(&first, 1, 0, &sig, "operator");
    const char *coa = certificate();
    for (unsigned i = 0; i < 2; i++) {
        struct event ev = material(i, coa);
        both[i] = finish_event(&ev, 4 + i);
    }
    sig = sign_events(&by_operator, both, 2);
    append_event(both, 2, 0, &sig, "serum");
    append_event(both, 2, 1, &sig, "cytokine");
}

/* ---- seals, map, proofs ---- */

static struct hash map_leaf_of(const struct map_leaf *l)
{
    struct wbuf w;
    struct hash out;
    wbuf_init(&w, a);
    wbuf_hash(&w, &l->key);
    wbuf_u64(&w, l->count);
    wbuf_hash(&w, &l->head);
    const struct hfield f[] = {HFIX(w.p, w.n)};
    crypto_labelled(c, LABEL_MAP_LEAF, f, 1, &out);
    return out;
}

/* The definition, word for word; `at` is the bits that lead here. Inner nodes are emitted as map-SIZE-node-BITS. */
static struct hash map_hash(const struct map_leaf *l, size_t n, const char *at)
{
    struct hash out = HASH_ZERO;
    if (n == 0)
        return out;
    if (n == 1)
        return map_leaf_of(l);
    size_t depth = strlen(at), k = 0;
    while (k < n && !((unsigned)l[k].key.b[depth / 8] >> (7 - depth % 8) & 1u))
        k++;
    struct hash left = map_hash(l, k, text("%s0", at)), right = map_hash(l + k, n - k, text("%s1", at));
    const struct hfield f[] = {HFIX(left.b, HASH_LEN), HFIX(right.b, HASH_LEN)};
    crypto_labelled(c, LABEL_MAP_NODE, f, 2, &out);
    if (depth)
        emit_hash(text("map-node-%u-%s", (unsigned)m.size, at), &out);
    return out;
}

static int by_key(const void *x, const void *y)
{
    return memcmp(x, y, HASH_LEN);
}

static void emit_map(const struct hash *root)
{
    struct map_leaf leaves[CHAINS];
    size_t n = 0;
    for (size_t i = 0; i < CHAINS; i++) {
        struct hash key = key_of(chains[i].type, chains[i].id), h;
        struct span record;
        struct chain ch;
        if (kv_get(&m.kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record))
            continue;
        memset(&ch, 0, sizeof ch);
        CHECK_EQ_INT(chain_record_decode(record, &ch, NULL), LEDGER_OK);
        leaves[n] = (struct map_leaf){.key = key, .count = ch.count, .head = ch.head};
        h = map_leaf_of(&leaves[n++]);
        emit_hash(text("map-leaf-%u-%s", (unsigned)m.size, chains[i].name), &h);
    }
    qsort(leaves, n, sizeof leaves[0], by_key);
    struct hash h = map_hash(leaves, n, "");
    CHECK_EQ_MEM(h.b, root->b, HASH_LEN);
    emit_hash(text("map-root-%u", (unsigned)m.size), &h);
}

static void make_seal(const char *recorded)
{
    struct appended_entry e;
    struct header h;
    struct checkpoint cp;
    struct wbuf w;
    CHECK_EQ_INT(machine_seal(&m, instant(recorded), &e, &cp, NULL), LEDGER_OK);
    emit_entry(&e, &h);
    emit_map(&h.map_root);
    emit_hash(text("tree-root-%u", (unsigned)cp.size), &cp.root);
    wbuf_init(&w, a);
    checkpoint_sign(c, &log_note, &log_key, &cp, &w);
    emit(text("note-%u", (unsigned)cp.size), wbuf_span(&w));
}

static void emit_path(const char *name, const struct merkle_path *p)
{
    emit(name, span_of(p->h[0].b, p->n * HASH_LEN));
}

static void make_proofs(void)
{
    struct merkle_store tree = machine_tree(&m);
    struct merkle_path path;
    struct map_proof proof;
    CHECK(merkle_inclusion(c, &tree, 4, m.size, &path));
    emit_path("inclusion-4-of-7", &path);
    CHECK(merkle_inclusion(c, &tree, 6, m.size, &path));
    emit_path("inclusion-6-of-7", &path);
    CHECK(merkle_consistency(c, &tree, 2, m.size, &path));
    emit_path("consistency-2-7", &path);
    struct hash key = key_of(CHAIN_ITEM, SERUM);
    CHECK_EQ_INT(chainmap_prove(c, NULL, &m.kv, &key, &proof, NULL), LEDGER_OK);
    emit("map-proof-serum", map_proof_encode(a, &proof));
    key = key_of(CHAIN_ITEM, ABSENT);
    CHECK_EQ_INT(chainmap_prove(c, NULL, &m.kv, &key, &proof, NULL), LEDGER_OK);
    CHECK(proof.end != MAP_PRESENT);
    emit("map-proof-absent", map_proof_encode(a, &proof));
}

static void make_subject(void)
{
    struct hash h;
    struct span salt = filled(0xc1, 32), id = SPAN_LIT("H-0042/1977-03-01");
    const struct hfield f[] = {HFIX(salt.p, salt.n), HVAR(id)};
    crypto_labelled(c, LABEL_SUBJECT, f, 2, &h);
    emit_hash("subject-commitment", &h);
}

/* ---- samples: encodings that the example's ledger does not need ---- */

static void emit_chain(const char *name, const struct chain *ch, bool stored)
{
    struct wbuf w;
    wbuf_init(&w, a);
    state_encode(c, ch, stored, &w);
    emit(name, wbuf_span(&w));
}

static void add_members(struct frontier *f, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct hash leaf;
        merkle_leaf(c, span_str(texts[i]), &leaf);
        frontier_append(c, f, &leaf);
    }
}

static void sample_states(void)
{
    static const char *const items[] = {"A-1", "A-2", "A-3"};
    struct chain ch = {.type = CHAIN_SUBJECT};
    ch.subject = (struct subject_state){.id = SPAN_LIT("CHA999926000001"), .subject_commit = SPAN_LIT("5bd6"), .use = USE_AUTOLOGOUS,
                                        .assigned = 7};
    ch.subject.scopes[SCOPE_COLLECTION - 1] = (struct consent_state){CONSENT_GIVEN, instant("2026-01-06T09:00:00+09:00"), 8};
    ch.subject.scopes[SCOPE_RESEARCH - 1] = (struct consent_state){CONSENT_WITHDRAWN, instant("2026-01-06T09:00:00+09:00"), 9};
    add_members(&ch.subject.logs[SUBJECT_LOG_ITEMS], items, 1);
    emit_chain("sample-subject", &ch, false);
    ch = (struct chain){.type = CHAIN_SHIPMENT};
    ch.shipment = (struct shipment_state){.id = SPAN_LIT("SHP-1"), .from_org = SPAN_LIT("cpc"), .to_org = SPAN_LIT("hospital"),
                                          .logger = SPAN_LIT("LG-7"), .min_c = -190 * DEC_ONE, .max_c = -150 * DEC_ONE,
                                          .dispatched_us = instant("2026-02-01T00:00:00Z"),
                                          .handover_us = instant("2026-02-01T01:00:00Z"), .remaining = 3};
    add_members(&ch.shipment.logs[SHIPMENT_LOG_ITEMS], items, 3);
    emit_chain("sample-shipment", &ch, false);
    emit_chain("sample-shipment-stored", &ch, true);
    ch = (struct chain){.type = CHAIN_CASE};
    ch.kase = (struct case_state){.id = SPAN_LIT("EX-1"), .type = CASE_EXCURSION, .opened = 20, .closed = 22, .has_start = true,
                                  .start_us = instant("2026-02-01T00:30:00Z"), .shipment = SPAN_LIT("SHP-1"),
                                  .outcome = OUTCOME_REDUCE_EXPIRY, .has_new_expiry = true,
                                  .new_expiry_us = instant("2026-06-30T00:00:00Z")};
    add_members(&ch.kase.logs[CASE_LOG_ITEMS], items, 3);
    emit_chain("sample-case", &ch, false);
    ch = (struct chain){.type = CHAIN_PRODUCT};
    ch.product.id = SPAN_LIT("CART-01");
    emit_chain("sample-product", &ch, false);
}

static struct wbuf sample_begin(void)
{
    struct wbuf w;
    wbuf_init(&w, a);
    return w;
}

static void sample_members(void)
{
    struct wbuf w = sample_begin();
    edge_encode(&(struct edge){SPAN_LIT("B-1"), 12500000000, SPAN_LIT("mL"), 11}, &w);
    emit("sample-edge", wbuf_span(&w));
    w = sample_begin();
    outcome_encode(&(struct outcome){SPAN_LIT("VIABILITY"), QC_FAIL, 12, 12}, &w);
    emit("sample-outcome", wbuf_span(&w));
    w = sample_begin();
    excursion_fact_encode(&(struct excursion_fact){.fact = EXCURSION_OPENED, .id = SPAN_LIT("EX-1"), .index = 20, .has_start = true,
                                                   .start_us = instant("2026-02-01T00:30:00Z")}, &w);
    emit("sample-excursion-fact", wbuf_span(&w));
    struct correction x = {.target_index = 12, .index = 30, .field = SPAN_LIT("value"), .has_number = true, .number = 71 * DEC_ONE};
    memcpy(x.target.b, of_made("id-4").p, HASH_LEN);
    w = sample_begin();
    correction_encode(&x, &w);
    emit("sample-correction", wbuf_span(&w));
    struct spec_test t = {.test = SPAN_LIT("VIABILITY"), .unit = SPAN_LIT("%"), .has_low = true, .required = true, .low = 70 * DEC_ONE};
    w = sample_begin();
    spec_version_encode(&(struct spec_version){SPAN_LIT("1.0"), 6, 1, &t}, &w);
    emit("sample-specification", wbuf_span(&w));
}

static void sample_before(void)
{
    struct hash before;
    struct hfield f = HVAR(of_made("signature-3"));
    crypto_labelled(c, LABEL_SIGNATURE, &f, 1, &before);
    emit_hash("sample-before", &before);
}

static void begin_machine(void)
{
    c = crypto_new();
    a = arena_new(64 << 20);
    mem = kv_mem_new(NULL, 64 << 20);
    CHECK(c && a && mem);
    m = (struct machine){.c = c, .a = a, .kv = kv_mem_kv(mem), .wire = true};
}

static void end_machine(void)
{
    kv_mem_free(mem);
    arena_free(a);
    crypto_free(c);
}

static void make_example(void)
{
    begin_machine();
    make_keys();
    make_chain_keys();
    make_genesis();
    make_seal("2026-01-05T08:00:00Z");
    make_epoch();
    make_events();
    make_seal("2026-01-05T08:31:00.250000Z");
    make_proofs();
    make_subject();
    sample_states();
    sample_members();
    sample_before();
}

/* ---- tests ---- */

static void print_number(const struct number *n)
{
    fprintf(stderr, "%s = ", n->name);
    for (size_t i = 0; i < n->bytes.n; i++)
        fprintf(stderr, "%02x", n->bytes.p[i]);
    fprintf(stderr, "\n");
}

TEST(every_number_stands_in_the_document)
{
    size_t wrong = 0;
    make_example();
    read_document();
    for (size_t i = 0; i < made.n; i++) {
        const struct number *n = number_find(&written, made.list[i].name);
        if (n && span_eq(n->bytes, made.list[i].bytes))
            continue;
        print_number(&made.list[i]);
        wrong++;
    }
    CHECK_EQ_INT(wrong, 0);
    end_machine();
}

TEST(the_document_has_no_other_number)
{
    make_example();
    read_document();
    for (size_t i = 0; i < written.n; i++) {
        if (!number_find(&made, written.list[i].name))
            fprintf(stderr, DOCUMENT ": nothing makes %s\n", written.list[i].name);
        CHECK(number_find(&made, written.list[i].name));
    }
    CHECK(written.n == made.n);
    end_machine();
}

static struct span of_document(const char *name)
{
    const struct number *n = number_find(&written, name);
    return n ? n->bytes : SPAN_NONE;
}

/* An auditor who has nothing but the document's bytes derives every header from events and blocks. */
TEST(the_documents_entries_replay)
{
    struct verdict v;
    begin_machine();
    read_document();
    memcpy(m.index_key.b, of_document("index-key").p, HASH_LEN);
    for (unsigned i = 0; i < 7; i++) {
        struct span event = i == 0 ? of_document("genesis") : i == 2 ? of_document("epoch") : of_document(text("event-%u", i));
        enum ledger_rc rc = machine_replay(&m, &(struct entry_record){.header = of_document(text("header-%u", i)), .event = event,
                                                              .block = of_document(text("block-%u", i))},
                                            NULL, &v, NULL);
        if (rc)
            fprintf(stderr, "entry %u: %s: %s\n", i, v.what, v.text);
        CHECK_EQ_INT(rc, LEDGER_OK);
    }
    end_machine();
}

/* The last checkpoint, its seal and the proofs under it hold as a client would check them. */
TEST(the_documents_proofs_verify)
{
    struct policy policy;
    struct snapshot snap;
    struct verdict v;
    struct map_proof proof;
    begin_machine();
    read_document();
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_bytes(&w, "log ", 4);
    wbuf_bytes(&w, of_document("log-vkey").p, of_document("log-vkey").n);
    wbuf_bytes(&w, "\nquorum none\n", 13);
    CHECK_EQ_INT(policy_parse(c, wbuf_span(&w), &policy, NULL), LEDGER_OK);
    struct verifier vf = {.c = c, .a = a, .policy = &policy, .origin = ORIGIN};
    struct snapshot_claim claim = {of_document("note-7"), of_document("header-6"), of_document("inclusion-6-of-7"), SPAN_NONE};
    CHECK(verify_snapshot(&vf, &claim, &snap, &v));
    struct entry_claim entry = {.header = of_document("header-4"), .event = of_document("event-4"),
                                .block = of_document("block-4")};
    struct entry e;
    CHECK(verify_entry(&vf, &entry, &e, &v));
    CHECK(verify_inclusion(&vf, &e, &snap.cp, of_document("inclusion-4-of-7"), &v));
    CHECK(verify_signature(&vf, SPAN_LIT(ORIGIN), &e, 0, SIG_ED25519, of_document("operator-public"), &v));
    struct hash first, key;
    memcpy(first.b, of_document("tree-root-2").p, HASH_LEN);
    CHECK(verify_consistency(&vf, 2, &first, 7, &snap.cp.root, of_document("consistency-2-7"), &v));
    memcpy(key.b, of_document("chain-key-serum").p, HASH_LEN);
    CHECK_EQ_INT(map_proof_decode(of_document("map-proof-serum"), &proof, NULL), LEDGER_OK);
    CHECK(map_proof_verify(c, NULL, &proof, &key, &snap.seal.map_root) && proof.end == MAP_PRESENT);
    memcpy(key.b, of_document("chain-key-absent").p, HASH_LEN);
    CHECK_EQ_INT(map_proof_decode(of_document("map-proof-absent"), &proof, NULL), LEDGER_OK);
    CHECK(map_proof_verify(c, NULL, &proof, &key, &snap.seal.map_root) && proof.end != MAP_PRESENT);
    end_machine();
}

TEST_MAIN(TEST_ENTRY(every_number_stands_in_the_document), TEST_ENTRY(the_document_has_no_other_number),
          TEST_ENTRY(the_documents_entries_replay), TEST_ENTRY(the_documents_proofs_verify))
