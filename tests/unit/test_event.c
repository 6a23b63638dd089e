/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_event: the codec and the form check. Round trips over random events of every kind, every
 * single-byte mutation, agreement with protobuf-c on what was accepted, encodings that are not the
 * canonical one, and the order of the form check.
 */
#include "check.h"
#include "event_gen.h"
#include "ledger_events.pb-c.h"
#include "wire.h"

#define BUDGET ((size_t)4 << 20)

static struct crypto *crypto;
static struct arena *arena;

static void setup(void)
{
    crypto = crypto_new();
    arena = arena_new(BUDGET);
    CHECK(crypto && arena);
}

/* What protobuf-c makes of the same bytes: unpacked and packed again. */
static bool protobuf_agrees(struct span bytes)
{
    Ledgerd__V1__Event *m = ledgerd__v1__event__unpack(NULL, bytes.n, bytes.p);
    if (!m)
        return false;
    size_t n = ledgerd__v1__event__get_packed_size(m);
    uint8_t *out = malloc(n + 1);
    CHECK(out && ledgerd__v1__event__pack(m, out) == n);
    bool same = span_eq(span_of(out, n), bytes);
    free(out);
    ledgerd__v1__event__free_unpacked(m, NULL);
    return same;
}

static enum ledger_rc decode(struct span bytes, struct event *ev, struct refusal *why)
{
    memset(why, 0, sizeof *why);
    enum ledger_rc rc = event_decode(crypto, arena, bytes, ev, why, NULL);
    CHECK((rc == LEDGER_EREFUSED) == (why->code != REFUSE_NONE));
    CHECK(rc != LEDGER_EREFUSED || (why->text[0] && why->field[0]));
    return rc;
}

static void check_same_event(const struct event *a, const struct event *b)
{
    CHECK(a->kind == b->kind && span_eq(a->nonce, b->nonce) && span_eq(a->reference, b->reference));
    CHECK(gen_same_value(&a->occurred, &b->occurred));
    CHECK(a->key_proof.n == b->key_proof.n && a->foreign.present == b->foreign.present);
    CHECK(a->foreign.index == b->foreign.index && span_eq(a->foreign.origin, b->foreign.origin));
    for (unsigned i = 0; i < a->kind->n_fields; i++) {
        const struct value *x = &a->fields[i], *y = &b->fields[i];
        CHECK(gen_same_value(x, y));
        for (size_t j = 0; x->type >= VALUE_LIST && j < x->n; j++) {
            CHECK(gen_same_value(&x->items[j], &y->items[j]));
            CHECK(!x->names || span_eq(x->names[j], y->names[j]));
            for (size_t k = 0; x->items[j].type == VALUE_RECORD && k < x->items[j].n; k++)
                CHECK(gen_same_value(&x->items[j].items[k], &y->items[j].items[k]));
        }
    }
}

static struct span gen_bytes(uint64_t seed, unsigned kind, struct event *ev)
{
    struct gen g = {.state = seed * 1000003u + kind, .a = arena};
    struct refusal why = {0};
    gen_event(&g, kind_find(kind), ev);
    if (!event_check_form(ev, &why))
        fprintf(stderr, "%s %s: %s\n", ev->kind->name, why.field, why.text);
    CHECK(why.code == REFUSE_NONE);
    struct span bytes = event_encode(arena, ev);
    CHECK(bytes.p);
    return bytes;
}

TEST(round_trip_of_every_kind)
{
    setup();
    for (unsigned kind = EVENT_KIND_FIRST; kind <= EVENT_KIND_LAST; kind++) {
        for (uint64_t seed = 0; seed < 200; seed++) {
            struct event ev, back;
            struct refusal why;
            struct hash id;
            struct span bytes = gen_bytes(seed, kind, &ev);
            CHECK_EQ_INT(decode(bytes, &back, &why), LEDGER_OK);
            check_same_event(&ev, &back);
            CHECK(span_eq(event_encode(arena, &back), bytes));
            CHECK(protobuf_agrees(bytes));
            event_id(crypto, bytes, &id);
            CHECK(hash_eq(&id, &back.id));
            arena_reset(arena);
        }
    }
}

static unsigned long accepted;

/* Either refused, or another event whose one encoding this is. */
static void check_mutation(struct span bytes, const struct hash *original)
{
    struct event ev;
    struct refusal why;
    struct arena_mark mark = arena_mark(arena);
    enum ledger_rc rc = decode(bytes, &ev, &why);
    CHECK(rc == LEDGER_OK || rc == LEDGER_EREFUSED || rc == LEDGER_EVERSION);
    /* The strict reader finds every other encoding itself; the comparison at the end is a second
     * line. */
    CHECK(!strstr(why.text, "differs from its own encoding"));
    if (rc == LEDGER_OK) {
        accepted++;
        CHECK(!hash_eq(&ev.id, original));
        CHECK(span_eq(event_encode(arena, &ev), bytes));
        CHECK(protobuf_agrees(bytes));
    }
    arena_release(arena, mark);
}

static void mutate(struct span bytes, const struct hash *id, bool thorough)
{
    uint8_t *copy = malloc(bytes.n + 1);
    CHECK(copy);
    memcpy(copy, bytes.p, bytes.n);
    for (size_t i = 0; i < bytes.n; i++) {
        for (unsigned v = 1; v < 256; v += thorough ? 1 : v) { /* else the single bits */
            copy[i] = (uint8_t)(bytes.p[i] ^ v);
            check_mutation(span_of(copy, bytes.n), id);
        }
        copy[i] = bytes.p[i];
    }
    for (size_t n = 0; n < bytes.n; n++)
        check_mutation(span_of(copy, n), id);
    for (unsigned v = 0; v < 256; v++) {
        copy[bytes.n] = (uint8_t)v;
        check_mutation(span_of(copy, bytes.n + 1), id);
    }
    free(copy);
}

TEST(single_byte_mutations)
{
    setup();
    for (unsigned kind = EVENT_KIND_FIRST; kind <= EVENT_KIND_LAST; kind++) {
        for (uint64_t seed = 0; seed < 3; seed++) {
            struct event ev;
            struct hash id;
            struct span bytes = gen_bytes(seed + 77, kind, &ev);
            event_id(crypto, bytes, &id);
            mutate(bytes, &id, seed == 0);
            arena_reset(arena);
        }
    }
    /* Most bytes are texts and a changed text is another event: if hardly anything was accepted,
     * this test is broken. */
    CHECK(accepted > 10000);
}

/* ---- encodings by hand ---- */

static const char nonce[] = "0123456789abcdef";

/* A STORAGE_MOVED whose parts may be replaced: the raw bytes before, of, and inside the body. */
struct parts {
    struct span before;  /* instead of fields 1 to 4 */
    struct span between; /* after field 4 */
    struct span body;    /* instead of item and location */
    struct span after;   /* after the body */
    unsigned kind;
};

static struct span assemble(const struct parts *p)
{
    struct wbuf w;
    wbuf_init(&w, arena);
    if (p->before.p) {
        wbuf_bytes(&w, p->before.p, p->before.n);
    } else {
        wire_put_uint(&w, 1, 1);
        wire_put_bytes(&w, 2, SPAN_LIT(nonce));
        wire_put_bytes(&w, 3, SPAN_LIT("ref-1"));
        wire_put_bytes(&w, 4, SPAN_LIT("2026-04-06T09:00:00Z"));
    }
    wbuf_bytes(&w, p->between.p, p->between.n);
    size_t body = wire_begin(&w, p->kind ? p->kind : KIND_STORAGE_MOVED);
    if (p->body.p) {
        wbuf_bytes(&w, p->body.p, p->body.n);
    } else {
        wire_put_bytes(&w, 1, SPAN_LIT("BAG-1"));
        wire_put_bytes(&w, 2, SPAN_LIT("freezer"));
    }
    wire_end(&w, body);
    wbuf_bytes(&w, p->after.p, p->after.n);
    return wbuf_span(&w);
}

static void check_parts(struct parts p, enum refusal_code code, const char *field)
{
    struct event ev;
    struct refusal why;
    enum ledger_rc rc = decode(assemble(&p), &ev, &why);
    if (why.code != code || strcmp(why.field, field) != 0)
        fprintf(stderr, "%s %s: %s\n", refusal_name(why.code), why.field, why.text);
    CHECK_EQ_INT(why.code, code);
    CHECK_EQ_STR(why.field, field);
    CHECK_EQ_INT(rc, code ? LEDGER_EREFUSED : LEDGER_OK);
}

#define BODY(s) ((struct parts){.body = SPAN_LIT(s)})
#define KIND_BODY(k, s) ((struct parts){.kind = KIND_##k, .body = SPAN_LIT(s)})
/* Fields of a body: number 1 is 0x0a, 2 is 0x12, 3 is 0x1a, 4 is 0x22 when length-delimited. */
#define ITEM                                                                                       \
    "\x0a\x05"                                                                                     \
    "BAG-1"
#define PLACE                                                                                      \
    "\x12\x01"                                                                                     \
    "f"

TEST(other_encodings_of_a_body)
{
    setup();
    check_parts(BODY(ITEM PLACE), REFUSE_NONE, "");
    check_parts(BODY(ITEM "\x12\x81\x00"
                          "f"),
                E_BAD_VALUE, "STORAGE_MOVED"); /* overlong length */
    check_parts(BODY(ITEM "\x92\x00\x01"
                          "f"),
                E_BAD_VALUE, "STORAGE_MOVED");                               /* overlong tag */
    check_parts(BODY(ITEM PLACE "\x2a\x01x"), E_BAD_VALUE, "STORAGE_MOVED"); /* unknown field 5 */
    check_parts(BODY(ITEM PLACE PLACE), E_BAD_VALUE, "location");            /* twice */
    check_parts(BODY(PLACE ITEM), E_BAD_VALUE, "STORAGE_MOVED");             /* out of order */
    check_parts(BODY(ITEM PLACE "\x1a\x00"), E_BAD_VALUE, "position");       /* explicit default */
    check_parts(BODY(ITEM "\x12\x00"), E_BAD_VALUE, "location");
    check_parts(BODY(ITEM "\x10\x01"), E_BAD_VALUE, "location"); /* wrong wire type */
    check_parts(BODY(ITEM "\x15"
                          "abcd"),
                E_BAD_VALUE, "STORAGE_MOVED");                        /* fixed32 */
    check_parts(BODY(ITEM "\x13\x14"), E_BAD_VALUE, "STORAGE_MOVED"); /* a group */
    check_parts(BODY(ITEM "\x12\x7f"
                          "f"),
                E_BAD_VALUE, "STORAGE_MOVED");                    /* too long */
    check_parts(BODY(ITEM "\x12"), E_BAD_VALUE, "STORAGE_MOVED"); /* cut off */
    check_parts(BODY("\x02\x01"
                     "f"),
                E_BAD_VALUE, "STORAGE_MOVED"); /* field number 0 */
    check_parts(BODY(ITEM "\x12\x03"
                          "a\0b"),
                E_BAD_VALUE, "location");                                /* NUL inside */
    check_parts(BODY(ITEM "\x12\x02\xc0\x80"), E_BAD_VALUE, "location"); /* no UTF-8 */
    check_parts(BODY(ITEM PLACE "\x22\x04"
                                "40.0"),
                E_BAD_VALUE, "temperature_c");
    check_parts(BODY(ITEM PLACE "\x22\x02"
                                "-4"),
                REFUSE_NONE, "");
    check_parts(BODY(PLACE), E_MISSING_FIELD, "item");
    check_parts(BODY(""), E_MISSING_FIELD, "item");
}

TEST(other_encodings_of_members)
{
    setup();
    /* PARTY_REGISTERED: action 1 enum, party 2, roles 3 packed, org 4. */
    check_parts(KIND_BODY(PARTY_REGISTERED, "\x08\x01\x12\x01u\x1a\x02\x01\x02\x22\x01o"),
                REFUSE_NONE, "");
    check_parts(KIND_BODY(PARTY_REGISTERED, "\x08\x01\x12\x01u\x18\x01\x18\x02\x22\x01o"),
                E_BAD_VALUE, "roles");
    check_parts(KIND_BODY(PARTY_REGISTERED, "\x08\x01\x12\x01u\x1a\x01\x01\x1a\x01\x02\x22\x01o"),
                E_BAD_VALUE, "roles");
    check_parts(KIND_BODY(PARTY_REGISTERED, "\x08\x01\x12\x01u\x1a\x02\x81\x00\x22\x01o"),
                E_BAD_VALUE, "roles");
    check_parts(KIND_BODY(PARTY_REGISTERED, "\x08\x01\x12\x01u\x1a\x00\x22\x01o"), E_BAD_VALUE,
                "roles");
    check_parts(KIND_BODY(PARTY_REGISTERED, "\x08\x01\x12\x01u\x1a\x01\x00\x22\x01o"), E_BAD_VALUE,
                "roles[0]");
    check_parts(KIND_BODY(PARTY_REGISTERED, "\x08\x01\x12\x01u\x1a\x02\x01\x0c\x22\x01o"),
                E_BAD_VALUE, "roles[1]");
    check_parts(KIND_BODY(PARTY_REGISTERED, "\x08\x05\x12\x01u\x1a\x01\x01\x22\x01o"), E_BAD_VALUE,
                "action");
    check_parts(KIND_BODY(PARTY_REGISTERED, "\x08\x00\x12\x01u\x1a\x01\x01\x22\x01o"), E_BAD_VALUE,
                "action");
    check_parts(KIND_BODY(PARTY_REGISTERED, "\x12\x01u\x1a\x01\x01\x22\x01o"), E_MISSING_FIELD,
                "action");
    /* CUSTODY_TRANSFERRED: an optional bool is TRUE or left out. */
    check_parts(KIND_BODY(CUSTODY_TRANSFERRED, "\x0a\x01s\x12\x01"
                                               "a\x1a\x01"
                                               "b\x22\x01p\x28\x02"),
                REFUSE_NONE, "");
    check_parts(KIND_BODY(CUSTODY_TRANSFERRED, "\x0a\x01s\x12\x01"
                                               "a\x1a\x01"
                                               "b\x22\x01p\x28\x01"),
                E_BAD_VALUE, "seal_intact");
    check_parts(KIND_BODY(CUSTODY_TRANSFERRED, "\x0a\x01s\x12\x01"
                                               "a\x1a\x01"
                                               "b\x22\x01p\x28\x03"),
                E_BAD_VALUE, "seal_intact");
    /* LOT_SPLIT: item 1, units 2 {item 1, quantity 2, gtin 3}. */
    check_parts(KIND_BODY(LOT_SPLIT, "\x0a\x01x\x12\x06\x0a\x01u\x12\x01"
                                     "1"),
                REFUSE_NONE, "");
    check_parts(KIND_BODY(LOT_SPLIT, "\x0a\x01x\x12\x03\x0a\x01u"), E_MISSING_FIELD,
                "units[0].quantity");
    check_parts(KIND_BODY(LOT_SPLIT, "\x0a\x01x\x12\x00"), E_MISSING_FIELD, "units[0].item");
    check_parts(KIND_BODY(LOT_SPLIT, "\x0a\x01x\x12\x06\x0a\x01u\x12\x01"
                                     "1\x12\x09\x0a\x01u\x12\x01"
                                     "1\x32\x01x"),
                E_BAD_VALUE, "units[1]");
    check_parts(KIND_BODY(LOT_SPLIT, "\x0a\x01x\x12\x09\x0a\x01u\x12\x01"
                                     "1\x12\x01"
                                     "2"),
                E_BAD_VALUE, "units[0].quantity");
    check_parts(KIND_BODY(LOT_SPLIT, "\x0a\x01x\x12\x06\x12\x01"
                                     "1\x0a\x01u"),
                E_BAD_VALUE, "units[0]");
}

#define STEP                                                                                       \
    "\x0a\x01x\x12\x01s\x1a\x01p\x22\x01"                                                          \
    "e"
#define ENTRY_A1                                                                                   \
    "\x0a\x08\x0a\x01"                                                                             \
    "a\x12\x03\x0a\x01"                                                                            \
    "1"
#define ENTRY_B                                                                                    \
    "\x0a\x08\x0a\x01"                                                                             \
    "b\x12\x03\x12\x01"                                                                            \
    "x"

TEST(other_encodings_of_maps)
{
    setup();
    check_parts(KIND_BODY(PROCESS_STEP, STEP "\x2a\x00"), REFUSE_NONE, ""); /* {} is a value */
    check_parts(KIND_BODY(PROCESS_STEP, STEP "\x2a\x14" ENTRY_A1 ENTRY_B), REFUSE_NONE, "");
    check_parts(KIND_BODY(PROCESS_STEP, STEP "\x2a\x14" ENTRY_B ENTRY_A1), E_BAD_VALUE, "params");
    check_parts(KIND_BODY(PROCESS_STEP, STEP "\x2a\x14" ENTRY_B ENTRY_B), E_BAD_VALUE, "params");
    check_parts(KIND_BODY(PROCESS_STEP, STEP "\x2a\x07\x0a\x05\x12\x03\x0a\x01"
                                             "1"),
                E_BAD_VALUE, "params");
    check_parts(KIND_BODY(PROCESS_STEP, STEP "\x2a\x05\x0a\x03\x0a\x01"
                                             "a"),
                E_BAD_VALUE, "params");
    check_parts(KIND_BODY(PROCESS_STEP, STEP "\x2a\x07\x0a\x05\x0a\x01"
                                             "a\x12\x00"),
                E_BAD_VALUE, "params");
    check_parts(KIND_BODY(PROCESS_STEP, STEP "\x2a\x0a\x0a\x08\x0a\x01"
                                             "a\x12\x03\x0a\x01"
                                             "x"),
                E_BAD_VALUE, "params.a");
    /* QC_RESULT.value with both members of the oneof, and with an empty text. */
    check_parts(KIND_BODY(QC_RESULT, STEP "\x22\x06\x0a\x01"
                                          "1\x12\x01"
                                          "a"),
                E_BAD_VALUE, "value");
    check_parts(KIND_BODY(QC_RESULT,
                          "\x0a\x01x\x12\x01t\x1a\x01m\x22\x02\x12\x00\x2a\x01u\x30\x01\x3a\x01s"),
                E_BAD_VALUE, "value");
    check_parts(KIND_BODY(QC_RESULT,
                          "\x0a\x01x\x12\x01t\x1a\x01m\x22\x03\x12\x01z\x2a\x01u\x30\x01\x3a\x01s"),
                REFUSE_NONE, "");
}

/* EVENT_CORRECTED with one change whose old is null and whose new is `any`, 4 bytes. */
#define CORRECTED(any4)                                                                            \
    KIND_BODY(EVENT_CORRECTED, "\x0a\x01t\x12\x01r\x1a\x0d\x0a\x01"                                \
                               "f\x12\x02\x08\x02\x1a\x04" any4)

TEST(any_keeps_what_was_written)
{
    setup();
    struct event ev;
    struct refusal why;
    check_parts(CORRECTED("\x12\x02"
                          "40"),
                REFUSE_NONE, "");
    check_parts(CORRECTED("\x1a\x02"
                          "ab"),
                REFUSE_NONE, "");
    check_parts(CORRECTED("\x2a\x02[]"), REFUSE_NONE, "");
    check_parts(CORRECTED("\x1a\x00\x1a\x00"), E_BAD_VALUE, "changes[0].new");
    check_parts(CORRECTED("\x08\x02\x08\x02"), E_BAD_VALUE, "changes[0].new");
    check_parts(CORRECTED("\x08\x01\x1a\x00"), E_BAD_VALUE, "changes[0].new");
    check_parts(CORRECTED("\x32\x02zz"), E_BAD_VALUE, "changes[0].new");
    check_parts(CORRECTED("\x12\x02"
                          "4."),
                E_BAD_VALUE, "changes[0].new");
    check_parts(CORRECTED("\x12\x02"
                          "-0"),
                E_BAD_VALUE, "changes[0].new");
    /* 4.0 is no int and 4 is one; both are the number 4. */
    struct parts p = KIND_BODY(EVENT_CORRECTED, "\x0a\x01t\x12\x01r\x1a\x0f\x0a\x01"
                                                "f\x12\x03\x12\x01"
                                                "4\x1a\x05\x12\x03"
                                                "4.0");
    struct span bytes = assemble(&p);
    CHECK_EQ_INT(decode(bytes, &ev, &why), LEDGER_OK);
    const struct field_def *def = kind_field_at(ev.kind, FIELD_CHANGES);
    const struct value *change = &event_get(&ev, FIELD_CHANGES)->items[0];
    const struct value *before = record_get(def, change, "old"),
                       *after = record_get(def, change, "new");
    CHECK_EQ_INT(before->type, VALUE_INT);
    CHECK_EQ_INT(after->type, VALUE_DECIMAL);
    CHECK(value_equal(before, after) && span_eq(before->raw, after->raw));
    CHECK(span_eq(event_encode(arena, &ev), bytes) && protobuf_agrees(bytes));
    CHECK(!record_get(def, change, "none"));
}

#define BEFORE(s) ((struct parts){.before = SPAN_LIT(s)})
#define REF "\x1a\x01r"
#define NONCE                                                                                      \
    "\x12\x10"                                                                                     \
    "0123456789abcdef"
#define OCCURRED                                                                                   \
    "\x22\x14"                                                                                     \
    "2026-04-06T09:00:00Z"

TEST(envelopes)
{
    setup();
    check_parts(BEFORE("\x08\x01" NONCE REF OCCURRED), REFUSE_NONE, "");
    check_parts(BEFORE(NONCE REF OCCURRED), E_BAD_VALUE, "version");
    check_parts(BEFORE("\x08\x00" NONCE REF OCCURRED), E_BAD_VALUE, "version");
    check_parts(BEFORE("\x0a\x01\x01" NONCE REF OCCURRED), E_BAD_VALUE, "version");
    check_parts(BEFORE("\x08\x01\x08\x01" NONCE REF OCCURRED), E_BAD_VALUE, "version");
    check_parts(BEFORE("\x08\x01" REF OCCURRED), E_BAD_VALUE, "nonce");
    check_parts(BEFORE("\x08\x01\x12\x0f"
                       "0123456789abcde" REF OCCURRED),
                E_BAD_VALUE, "nonce");
    check_parts(BEFORE("\x08\x01" NONCE OCCURRED), E_BAD_VALUE, "reference");
    check_parts(BEFORE("\x08\x01" NONCE "\x1a\x01\n" OCCURRED), E_BAD_VALUE, "reference");
    check_parts(BEFORE("\x08\x01" NONCE REF), E_BAD_VALUE, "occurred");
    check_parts(BEFORE("\x08\x01" NONCE REF "\x22\x01x"), E_BAD_VALUE, "occurred");
    check_parts((struct parts){.between = SPAN_LIT("\x3a\x01x")}, E_BAD_VALUE,
                "event"); /* field 7 */
    check_parts((struct parts){.between = SPAN_LIT("\x32\x01x")}, E_BAD_VALUE, "key_proof");
    check_parts((struct parts){.after = SPAN_LIT("\xfa\x04\x00")}, E_BAD_VALUE,
                "kind"); /* a second body */
    check_parts((struct parts){.kind = 89}, E_UNKNOWN_KIND, "kind");
    check_parts((struct parts){.kind = 5000}, E_UNKNOWN_KIND, "kind");

    struct event ev;
    struct refusal why;
    CHECK_EQ_INT(decode(SPAN_LIT("\x08\x02\xff\xff\xff"), &ev, &why), LEDGER_EVERSION);
    CHECK_EQ_INT(decode(SPAN_LIT("\x08\x01" NONCE REF OCCURRED), &ev, &why), LEDGER_EREFUSED);
    CHECK_EQ_INT(why.code, E_UNKNOWN_KIND);
    CHECK_EQ_INT(decode(SPAN_NONE, &ev, &why), LEDGER_EREFUSED);
}

static struct span foreign_bytes(struct span origin, size_t key_n, uint64_t index, size_t hash_n)
{
    struct wbuf w;
    uint8_t zeros[64] = {0};
    wbuf_init(&w, arena);
    size_t begun = wire_begin(&w, 5);
    wire_put_bytes(&w, 1, origin);
    wire_put_bytes(&w, 2, span_of(zeros, key_n));
    if (index)
        wire_put_uint(&w, 3, index);
    if (hash_n)
        wire_put_bytes(&w, 4, span_of(zeros, hash_n));
    wire_end(&w, begun);
    return wbuf_span(&w);
}

static void check_foreign(struct span foreign, enum refusal_code code, const char *field)
{
    struct parts p = {.between = foreign, .kind = KIND_LOT_DERIVED};
    struct event ev, lot;
    struct refusal why;
    struct gen g = {.state = 1, .a = arena};
    check_parts((struct parts){.between = foreign}, E_BAD_VALUE, code ? field : "foreign");
    /* The same inside a kind that takes it. */
    gen_event(&g, kind_find(KIND_COLLECTION_PERFORMED), &ev);
    memset(&ev.foreign, 0, sizeof ev.foreign);
    struct span plain = event_encode(arena, &ev);
    struct wbuf w;
    wbuf_init(&w, arena);
    size_t head = 2 + 18 + 2 + ev.reference.n + 2 + ev.occurred.raw.n;
    wbuf_bytes(&w, plain.p, head);
    wbuf_bytes(&w, p.between.p, p.between.n);
    wbuf_bytes(&w, plain.p + head, plain.n - head);
    CHECK_EQ_INT(decode(wbuf_span(&w), &lot, &why), code ? LEDGER_EREFUSED : LEDGER_OK);
    CHECK_EQ_INT(why.code, code);
    CHECK_EQ_STR(why.field, field);
}

TEST(references_to_other_ledgers)
{
    setup();
    check_foreign(foreign_bytes(SPAN_LIT("example.org/log"), 32, 7, 32), REFUSE_NONE, "");
    check_foreign(foreign_bytes(SPAN_LIT("example.org/log"), 32, 0, 32), REFUSE_NONE, "");
    check_foreign(foreign_bytes(SPAN_LIT("o"), 31, 7, 32), E_BAD_VALUE, "foreign.chain_key");
    check_foreign(foreign_bytes(SPAN_LIT("o"), 32, 7, 33), E_BAD_VALUE, "foreign.checkpoint_hash");
    check_foreign(foreign_bytes(SPAN_LIT("o"), 32, 7, 0), E_BAD_VALUE, "foreign");
    check_foreign(foreign_bytes(SPAN_LIT(""), 32, 7, 32), E_BAD_VALUE, "foreign.origin");
}

/* ---- limits ---- */

static struct event split_of(size_t units)
{
    struct event ev;
    struct gen g = {.state = 5, .a = arena};
    gen_event(&g, kind_find(KIND_LOT_SPLIT), &ev);
    struct value *list = &ev.fields[1];
    *list = (struct value){.type = VALUE_LIST, .n = units};
    list->items = arena_alloc(arena, units * sizeof *list->items);
    struct value *members = arena_alloc(arena, 5 * sizeof *members);
    CHECK(list->items && members);
    members[0] = (struct value){.type = VALUE_TEXT, .raw = SPAN_LIT("u")};
    members[1] = gen_decimal(&g, true, true);
    for (size_t i = 0; i < units; i++)
        list->items[i] = (struct value){.type = VALUE_RECORD, .n = 5, .items = members};
    return ev;
}

TEST(lists_maps_and_events_have_limits)
{
    setup();
    struct event ev = split_of(LIST_MAX), back;
    struct refusal why = {0};
    CHECK(event_check_form(&ev, &why));
    CHECK_EQ_INT(decode(event_encode(arena, &ev), &back, &why), LEDGER_OK);
    CHECK_EQ_INT(back.fields[1].n, LIST_MAX);
    ev = split_of(LIST_MAX + 1);
    /* The number of members counts before the members do. */
    ev.fields[1].items[0] = (struct value){.type = VALUE_BAD};
    CHECK(!event_check_form(&ev, &why));
    CHECK_EQ_STR(why.text, "a list of 401 members; at most 400");
    ev = split_of(LIST_MAX + 1);
    CHECK_EQ_INT(decode(event_encode(arena, &ev), &back, &why), LEDGER_EREFUSED);
    CHECK_EQ_INT(why.code, E_BAD_VALUE);
    CHECK_EQ_STR(why.text, "a list of 401 members; at most 400");
}

static struct span step_with_map(size_t names)
{
    struct wbuf w;
    wbuf_init(&w, arena);
    wbuf_bytes(&w, STEP, sizeof STEP - 1);
    size_t map = wire_begin(&w, 5);
    for (size_t i = 0; i < names; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%03zu", i);
        size_t entry = wire_begin(&w, 1);
        wire_put_bytes(&w, 1, span_str(name));
        wbuf_bytes(&w,
                   "\x12\x03\x0a\x01"
                   "5",
                   5);
        wire_end(&w, entry);
    }
    wire_end(&w, map);
    return wbuf_span(&w);
}

TEST(maps_have_at_most_64_names)
{
    setup();
    check_parts((struct parts){.kind = KIND_PROCESS_STEP, .body = step_with_map(MAP_MAX)},
                REFUSE_NONE, "");
    check_parts((struct parts){.kind = KIND_PROCESS_STEP, .body = step_with_map(MAP_MAX + 1)},
                E_BAD_VALUE, "params");
}

TEST(memory_has_a_budget)
{
    setup();
    struct event ev = split_of(LIST_MAX), back;
    struct refusal why;
    struct ledger_err err = {0};
    struct span bytes = event_encode(arena, &ev);
    for (size_t budget = 0; budget < 300000; budget += 2048) {
        struct arena *small = arena_new(budget);
        memset(&why, 0, sizeof why);
        enum ledger_rc rc = event_decode(crypto, small, bytes, &back, &why, &err);
        CHECK(rc == LEDGER_ENOMEM || rc == LEDGER_OK);
        CHECK(budget < 299000 || rc == LEDGER_OK);
        arena_free(small);
    }
}

/* ---- the order of the form check ---- */

static void check_form(const struct event *ev, enum refusal_code code, const char *field)
{
    struct refusal why = {0};
    bool fits = event_check_form(ev, &why);
    if (why.code != code || strcmp(why.field, field) != 0)
        fprintf(stderr, "%s %s: %s\n", refusal_name(why.code), why.field, why.text);
    CHECK(fits == (code == REFUSE_NONE));
    CHECK_EQ_INT(why.code, code);
    CHECK_EQ_STR(why.field, field);
}

TEST(form_check_goes_in_order)
{
    setup();
    struct value bad = {.type = VALUE_BAD}, none = {0}, empty = {.type = VALUE_EMPTY};
    struct event ev;
    struct gen g = {.state = 3, .a = arena};
    gen_event(&g, kind_find(KIND_MATERIAL_RECEIVED), &ev);
    check_form(&ev, REFUSE_NONE, "");
    ev.kind = NULL;
    check_form(&ev, E_UNKNOWN_KIND, "kind");
    ev.kind = kind_find(KIND_MATERIAL_RECEIVED);
    ev.reference = SPAN_NONE;
    check_form(&ev, E_BAD_VALUE, "reference");
    ev.fields[4].num = 0;
    check_form(&ev, E_BAD_VALUE, "quantity"); /* 0 is a number, but not above 0 */
    ev.fields[12] = bad;                      /* storage_c, optional */
    check_form(&ev, E_BAD_VALUE, "storage_c");
    ev.fields[4] = (struct value){.type = VALUE_TEXT, .raw = SPAN_LIT("5")};
    check_form(&ev, E_BAD_VALUE, "quantity");
    ev.fields[0] = bad;
    check_form(&ev, E_BAD_VALUE, "item");
    ev.occurred = empty;
    check_form(&ev, E_BAD_VALUE, "occurred");
    ev.unlisted = SPAN_LIT("colour");
    check_form(&ev, E_BAD_VALUE, "colour");
    ev.fields[8] = none; /* origin, the last mandatory one */
    check_form(&ev, E_MISSING_FIELD, "origin");
    ev.fields[1] = empty;
    check_form(&ev, E_MISSING_FIELD, "gtin");
}

TEST(records_are_checked_one_by_one)
{
    setup();
    struct event ev = split_of(2);
    struct value first[5] = {{0}}, second[5] = {{0}};
    memcpy(first, ev.fields[1].items[0].items, sizeof first);
    memcpy(second, first, sizeof second);
    ev.fields[1].items[0].items = first;
    ev.fields[1].items[1].items = second;
    check_form(&ev, REFUSE_NONE, "");
    second[1] = (struct value){.type = VALUE_EMPTY};
    check_form(&ev, E_MISSING_FIELD, "units[1].quantity");
    first[2] = (struct value){.type = VALUE_BAD};
    check_form(&ev, E_BAD_VALUE, "units[0].gtin"); /* the first record comes first */
    ev.fields[1].items[0].raw = SPAN_LIT("colour");
    check_form(&ev, E_BAD_VALUE, "units[0].colour");
    first[0] = (struct value){0};
    check_form(&ev, E_MISSING_FIELD, "units[0].item");
    ev.fields[1].items[0] = (struct value){.type = VALUE_TEXT, .raw = SPAN_LIT("u")};
    check_form(&ev, E_BAD_VALUE, "units[0]");
}

TEST(values_that_belong_to_the_form)
{
    setup();
    struct event ev;
    struct gen g = {.state = 4, .a = arena};
    char id[96];
    memset(id, 'S', sizeof id);
    gen_event(&g, kind_find(KIND_SHIPMENT_DISPATCHED), &ev);
    ev.fields[0].raw = span_of(id, SHIPMENT_ID_MAX);
    check_form(&ev, REFUSE_NONE, "");
    ev.fields[0].raw = span_of(id, SHIPMENT_ID_MAX + 1);
    check_form(&ev, E_BAD_VALUE, "shipment");
    ev.fields[0].raw = span_of(id, 96);
    ev.key_proof = SPAN_LIT("x");
    check_form(&ev, E_BAD_VALUE, "shipment");
    ev.fields[0].raw = span_of(id, 5);
    check_form(&ev, E_BAD_VALUE, "key_proof");
    gen_event(&g, kind_find(KIND_COLLECTION_PERFORMED), &ev);
    ev.fields[4].num = -1;
    check_form(&ev, E_BAD_VALUE, "quantity");
    gen_event(&g, kind_find(KIND_INPUT_CONSUMED), &ev);
    ev.fields[2].num = -1; /* judged later, as E_QTY_EXCEEDED */
    check_form(&ev, REFUSE_NONE, "");
    ev.fields[2].num = DEC_ONE * DEC_ONE * 1000000;
    check_form(&ev, E_BAD_VALUE, "quantity");
}

TEST(reading_fields)
{
    setup();
    struct event ev;
    struct gen g = {.state = 6, .a = arena};
    gen_event(&g, kind_find(KIND_SHIPMENT_RECEIVED), &ev);
    ev.fields[2] = (struct value){.type = VALUE_BOOL};  /* seal_intact, mandatory */
    ev.fields[5] = (struct value){.type = VALUE_BOOL};  /* returned, optional */
    ev.fields[4] = (struct value){.type = VALUE_EMPTY}; /* discrepancy */
    CHECK(event_get(&ev, FIELD_SEAL_INTACT) && !event_true(&ev, FIELD_SEAL_INTACT));
    CHECK(!event_get(&ev, FIELD_RETURNED) && !event_true(&ev, FIELD_RETURNED));
    CHECK(!event_get(&ev, FIELD_DISCREPANCY) && !event_get(&ev, FIELD_COI));
    CHECK(event_text(&ev, FIELD_SHIPMENT).n > 0 && !event_text(&ev, FIELD_COI).p);
    CHECK_EQ_INT(event_enum(&ev, FIELD_ACTION), 0);
    /* What counts as absent is not written. */
    struct span bytes = event_encode(arena, &ev);
    CHECK(protobuf_agrees(bytes));
    struct event back;
    struct refusal why;
    CHECK_EQ_INT(decode(bytes, &back, &why), LEDGER_OK);
    CHECK_EQ_INT(back.fields[5].type, VALUE_ABSENT);
    CHECK_EQ_INT(back.fields[2].type, VALUE_BOOL);
}

TEST_MAIN(TEST_ENTRY(round_trip_of_every_kind), TEST_ENTRY(single_byte_mutations),
          TEST_ENTRY(other_encodings_of_a_body), TEST_ENTRY(other_encodings_of_members),
          TEST_ENTRY(other_encodings_of_maps), TEST_ENTRY(any_keeps_what_was_written),
          TEST_ENTRY(envelopes), TEST_ENTRY(references_to_other_ledgers),
          TEST_ENTRY(lists_maps_and_events_have_limits), TEST_ENTRY(maps_have_at_most_64_names),
          TEST_ENTRY(memory_has_a_budget), TEST_ENTRY(form_check_goes_in_order),
          TEST_ENTRY(records_are_checked_one_by_one), TEST_ENTRY(values_that_belong_to_the_form),
          TEST_ENTRY(reading_fields))
