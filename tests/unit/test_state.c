/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States and members: what is written is read back, nothing else is read, and every fact is
 * committed to. States are random, from a fixed seed.
 */
#include "check.h"

#include "state.h"

static uint64_t seed = 1;

static uint64_t rnd(void)
{
    /* splitmix64 (Steele, Lea, Flood 2014). */
    uint64_t z = (seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static unsigned below(unsigned n)
{
    return (unsigned)(rnd() % n);
}

struct fixture {
    struct crypto *c;
    struct arena *a;
};

static struct fixture fixture(void)
{
    struct fixture f = {crypto_new(), arena_new((size_t)1 << 26)};
    CHECK(f.c && f.a);
    return f;
}

static void done(struct fixture *f)
{
    crypto_free(f->c);
    arena_free(f->a);
}

static struct span text(struct fixture *f)
{
    uint8_t b[12];
    size_t n = 1 + below(sizeof b);
    for (size_t i = 0; i < n; i++)
        b[i] = (uint8_t)(0x21 + below(94));
    return arena_copy(f->a, span_of(b, n));
}

static struct span maybe(struct fixture *f)
{
    return below(2) ? text(f) : SPAN_NONE;
}

static dec_t number(void)
{
    return (dec_t)(int64_t)rnd() * (int64_t)(1 + below(1000000));
}

static void fill_logs(struct fixture *f, struct chain *ch)
{
    struct frontier *logs;
    unsigned n = state_logs(ch, &logs);
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = below(12); k > 0; k--) {
            struct hash leaf;
            uint64_t data = rnd();
            merkle_leaf(f->c, span_of(&data, sizeof data), &leaf);
            frontier_append(f->c, &logs[i], &leaf);
        }
}

static void random_item(struct fixture *f, struct item_state *s)
{
    *s = (struct item_state){
        .id = text(f),
        .klass = (uint8_t)(1 + below(7)),
        .use = (uint8_t)below(3),
        .gmo = below(2),
        .made_index = rnd(),
        .born_us = (int64_t)rnd(),
        .arrived_us = (int64_t)rnd(),
        .parent = maybe(f),
        .coi = maybe(f),
        .for_coi = maybe(f),
        .uom = maybe(f),
        .available = number(),
        .has_expiry = below(2),
        .derived = below(2),
        .holder = text(f),
        .shipment = maybe(f),
        .location = maybe(f),
        .product_code = maybe(f),
        .spec_member = rnd(),
        .terminal = (uint8_t)below(3),
        .nonconforming = below(2),
        .terminal_index = rnd(),
        .terminal_took = number(),
        .patient = maybe(f),
        .last_input = rnd(),
        .last_derived = rnd(),
        .last_release = rnd(),
        .last_fail = rnd(),
        .rejected = rnd(),
        .quarantined = below(2),
        .open_deviations = (uint32_t)rnd(),
        .open_recalls = (uint32_t)rnd(),
        .open_excursions = (uint32_t)rnd(),
        .rejecting_excursions = (uint32_t)rnd(),
        .reducing_excursions = (uint32_t)rnd(),
    };
    s->expiry_us = s->has_expiry ? (int64_t)rnd() : 0;
}

static void random_subject(struct fixture *f, struct subject_state *s)
{
    *s = (struct subject_state){.id = text(f),
                                .subject_commit = text(f),
                                .use = (uint8_t)(1 + below(2)),
                                .assigned = rnd()};
    for (unsigned i = 0; i < SCOPE_COUNT; i++)
        s->scopes[i] = (struct consent_state){(uint8_t)below(3), (int64_t)rnd(), rnd()};
}

static void random_case(struct fixture *f, struct case_state *s)
{
    *s = (struct case_state){.id = text(f),
                             .type = (uint8_t)(1 + below(3)),
                             .open = below(2),
                             .opened = rnd(),
                             .closed = rnd(),
                             .item = maybe(f),
                             .has_start = below(2),
                             .shipment = maybe(f),
                             .episode_first = rnd(),
                             .outcome = (uint8_t)below(4),
                             .has_new_expiry = below(2),
                             .class_ = maybe(f)};
    s->start_us = s->has_start ? (int64_t)rnd() : 0;
    s->new_expiry_us = s->has_new_expiry ? (int64_t)rnd() : 0;
}

static void random_state(struct fixture *f, enum chain_type t, struct chain *ch)
{
    memset(ch, 0, sizeof *ch);
    ch->type = t;
    switch (t) {
    case CHAIN_ITEM:
        random_item(f, &ch->item);
        break;
    case CHAIN_PARTY:
        ch->party = (struct party_state){.id = text(f),
                                         .org = text(f),
                                         .roles = (uint32_t)rnd(),
                                         .alg = (uint16_t)rnd(),
                                         .key = text(f),
                                         .key_index = rnd(),
                                         .registered = rnd(),
                                         .revoked = rnd()};
        break;
    case CHAIN_SUBJECT:
        random_subject(f, &ch->subject);
        break;
    case CHAIN_SHIPMENT:
        ch->shipment = (struct shipment_state){.id = text(f),
                                               .from_org = text(f),
                                               .to_org = text(f),
                                               .logger = text(f),
                                               .min_c = number(),
                                               .max_c = number(),
                                               .dispatched_us = (int64_t)rnd(),
                                               .handover_us = (int64_t)rnd(),
                                               .remaining = (uint32_t)rnd(),
                                               .has_log = below(2),
                                               .is_return = below(2)};
        break;
    case CHAIN_CASE:
        random_case(f, &ch->kase);
        break;
    case CHAIN_PRODUCT:
        ch->product.id = text(f);
        break;
    case CHAIN_LEDGER:
        ch->ledger = (struct ledger_state){.origin = text(f),
                                           .epoch = rnd(),
                                           .format_version = (uint16_t)rnd(),
                                           .rules_version = (uint16_t)rnd(),
                                           .log_key = text(f),
                                           .clock_tolerance_us = (int64_t)rnd(),
                                           .heartbeat_s = (uint32_t)rnd(),
                                           .event_size_max = (uint32_t)rnd(),
                                           .batch_events_max = (uint32_t)rnd(),
                                           .clock_us = (int64_t)rnd()};
        break;
    }
    fill_logs(f, ch);
}

static struct span encoded(struct fixture *f, const struct chain *ch, bool stored)
{
    struct wbuf w;
    wbuf_init(&w, f->a);
    state_encode(f->c, ch, stored, &w);
    CHECK(wbuf_span(&w).p != NULL);
    return wbuf_span(&w);
}

/* The fields that a record was decoded from are the fields of its state, wherever those are needed. */
static void check_before(struct fixture *f, const struct chain *ch)
{
    const struct hash salt = {{7}};
    struct hash a, b;
    struct wbuf compact, again, before;
    struct span fields = state_fields(f->a, ch);
    wbuf_init(&compact, f->a);
    wbuf_init(&again, f->a);
    wbuf_init(&before, f->a);
    state_encode_compact(ch, &compact);
    state_compact(ch, fields, &again);
    state_compact_before(ch, &before);
    CHECK(span_eq(fields, span_of(ch->before.bytes.p, ch->before.fields_n)));
    CHECK(span_eq(ch->before.bytes, encoded(f, ch, true)));
    CHECK(span_eq(wbuf_span(&again), wbuf_span(&compact)) && span_eq(wbuf_span(&before), wbuf_span(&compact)));
    CHECK(state_commit(f->c, f->a, ch, 3, &salt, &a) && state_commit_fields(f->c, f->a, ch, fields, 3, &salt, &b));
    CHECK(hash_eq(&a, &b) && !state_commit_fields(f->c, f->a, ch, SPAN_NONE, 3, &salt, &b));
}

static struct hash commitment(struct fixture *f, const struct chain *ch)
{
    struct hash salt = {{9}}, out;
    CHECK(state_commit(f->c, f->a, ch, 3, &salt, &out));
    return out;
}

TEST(round_trip)
{
    for (unsigned t = CHAIN_ITEM; t <= CHAIN_LEDGER; t++)
        for (unsigned i = 0; i < 200; i++) {
            struct fixture f = fixture();
            static struct chain in, out;
            random_state(&f, (enum chain_type)t, &in);
            struct span stored = encoded(&f, &in, true);
            memset(&out, 0xa5, sizeof out);
            CHECK_EQ_INT(state_decode((enum chain_type)t, stored, &out, NULL), LEDGER_OK);
            CHECK(span_eq(encoded(&f, &out, true), stored));
            CHECK(span_eq(encoded(&f, &out, false), encoded(&f, &in, false)));
            CHECK_EQ_INT(stored.p[0], t);
            CHECK_EQ_INT(stored.p[1], 1);
            done(&f);
        }
}

/* Whatever one byte is changed to, the result is refused or is the one encoding of another state,
 * and that state has another commitment. */
TEST(mutations)
{
    for (unsigned t = CHAIN_ITEM; t <= CHAIN_LEDGER; t++) {
        struct fixture f = fixture();
        static struct chain in, out;
        random_state(&f, (enum chain_type)t, &in);
        struct span stored = encoded(&f, &in, true);
        struct hash before = commitment(&f, &in);
        unsigned accepted = 0;
        for (size_t at = 0; at < stored.n; at++)
            for (unsigned flip = 1; flip < 256; flip = flip < 4 ? flip + 1 : flip * 2 + 1) {
                struct arena_mark mark = arena_mark(f.a);
                struct span copy = arena_copy(f.a, stored);
                uint8_t *p = arena_alloc(f.a, stored.n);
                memcpy(p, copy.p, copy.n);
                p[at] ^= (uint8_t)flip;
                if (state_decode((enum chain_type)t, span_of(p, stored.n), &out, NULL) ==
                    LEDGER_OK) {
                    accepted++;
                    out.key = in.key;
                    CHECK(span_eq(encoded(&f, &out, true), span_of(p, stored.n)));
                    struct hash after = commitment(&f, &out);
                    CHECK(!hash_eq(&before, &after));
                }
                arena_release(f.a, mark);
            }
        CHECK(accepted > 0);
        done(&f);
    }
}

TEST(wrong_lengths)
{
    for (unsigned t = CHAIN_ITEM; t <= CHAIN_LEDGER; t++) {
        struct fixture f = fixture();
        static struct chain in, out;
        random_state(&f, (enum chain_type)t, &in);
        struct span stored = encoded(&f, &in, true);
        for (size_t n = 0; n < stored.n; n++)
            CHECK(state_decode((enum chain_type)t, span_of(stored.p, n), &out, NULL) != LEDGER_OK);
        uint8_t *p = arena_alloc(f.a, stored.n + 1);
        memcpy(p, stored.p, stored.n);
        CHECK_EQ_INT(state_decode((enum chain_type)t, span_of(p, stored.n + 1), &out, NULL),
                     LEDGER_EINVAL);
        p[1] = t == CHAIN_LEDGER ? 3 : 2;
        CHECK_EQ_INT(state_decode((enum chain_type)t, span_of(p, stored.n), &out, NULL),
                     LEDGER_EVERSION);
        for (unsigned other = CHAIN_ITEM; other <= CHAIN_LEDGER; other++)
            if (other != t)
                CHECK_EQ_INT(state_decode((enum chain_type)other, stored, &out, NULL),
                             LEDGER_EINVAL);
        done(&f);
    }
}

/* A commitment also binds chain, sequence number and salt. */
TEST(commitment_binds)
{
    struct fixture f = fixture();
    static struct chain ch;
    struct hash salt = {{1}}, a, b;
    random_state(&f, CHAIN_ITEM, &ch);
    CHECK(state_commit(f.c, f.a, &ch, 7, &salt, &a));
    CHECK(state_commit(f.c, f.a, &ch, 8, &salt, &b));
    CHECK(!hash_eq(&a, &b));
    salt.b[31] ^= 1;
    CHECK(state_commit(f.c, f.a, &ch, 7, &salt, &b));
    CHECK(!hash_eq(&a, &b));
    salt.b[31] ^= 1;
    ch.key.b[0] ^= 1;
    CHECK(state_commit(f.c, f.a, &ch, 7, &salt, &b));
    CHECK(!hash_eq(&a, &b));
    struct arena *small = arena_new(64);
    CHECK(small && !state_commit(f.c, small, &ch, 7, &salt, &b));
    arena_free(small);
    done(&f);
}

TEST(chain_records)
{
    struct fixture f = fixture();
    static struct chain in, out;
    for (unsigned t = CHAIN_ITEM; t <= CHAIN_LEDGER; t++) {
        static const char *const prefixes[] = {"", "deviation/", "excursion/", "recall/"};
        random_state(&f, (enum chain_type)t, &in);
        in.id = t == CHAIN_LEDGER ? in.ledger.origin : in.item.id; /* the id comes first in each */
        if (t == CHAIN_CASE) {
            char id[64];
            snprintf(id, sizeof id, "%s%.*s", prefixes[in.kase.type], SPAN_FMT(in.kase.id));
            in.id = arena_copy(f.a, span_str(id));
        }
        in.count = 5;
        in.head_index = 77;
        in.head.b[3] = 4;
        in.salt.b[5] = 6;
        struct span record = chain_record_encode(f.a, &in);
        memset(&out, 0, sizeof out);
        CHECK_EQ_INT(chain_record_decode(record, &out, NULL), LEDGER_OK);
        CHECK(out.exists && out.type == in.type && out.count == 5 && out.head_index == 77);
        CHECK(span_eq(out.id, in.id) && hash_eq(&out.head, &in.head) &&
              hash_eq(&out.salt, &in.salt));
        CHECK(span_eq(chain_record_encode(f.a, &out), record));
        check_before(&f, &out);
        for (size_t n = 0; n < record.n; n++)
            CHECK(chain_record_decode(span_of(record.p, n), &out, NULL) != LEDGER_OK);
        in.id = SPAN_LIT("another");
        CHECK_EQ_INT(chain_record_decode(chain_record_encode(f.a, &in), &out, NULL),
                     LEDGER_EINVAL);
    }
    done(&f);
}

/* Each member kind: what decodes encodes to the same bytes, for the original and for all its
 * one-byte mutations. */
static struct span again(struct fixture *f, unsigned kind, struct span s)
{
    struct wbuf w;
    wbuf_init(&w, f->a);
    union {
        struct edge e;
        struct outcome o;
        struct excursion_fact x;
        struct correction c;
        struct spec_version v;
    } u;
    bool ok = false;
    if (kind == 0 && (ok = edge_decode(s, &u.e)))
        edge_encode(&u.e, &w);
    if (kind == 1 && (ok = outcome_decode(s, &u.o)))
        outcome_encode(&u.o, &w);
    if (kind == 2 && (ok = excursion_fact_decode(s, &u.x)))
        excursion_fact_encode(&u.x, &w);
    if (kind == 3 && (ok = correction_decode(s, &u.c)))
        correction_encode(&u.c, &w);
    if (kind == 4 && (ok = spec_version_decode(f->a, s, &u.v)))
        spec_version_encode(&u.v, &w);
    return ok ? wbuf_span(&w) : SPAN_NONE;
}

static struct span random_member(struct fixture *f, unsigned kind)
{
    struct wbuf w;
    wbuf_init(&w, f->a);
    struct edge e = {text(f), number(), maybe(f), rnd()};
    struct outcome o = {text(f), (uint8_t)(1 + below(2)), rnd(), rnd()};
    struct excursion_fact x = {(uint8_t)(1 + below(3)), text(f),  rnd(), below(2), 0,
                               (uint8_t)below(4),       below(2), 0};
    x.start_us = x.has_start ? -5 : 0;
    x.new_expiry_us = x.has_new_expiry ? (int64_t)rnd() : 0;
    struct correction c = {
        .target = {{3}}, .target_index = rnd(), .index = rnd(), .is_void = below(2), .has_number = below(2)};
    c.field = c.is_void ? SPAN_NONE : text(f);
    c.number = c.has_number ? number() : 0;
    struct spec_test tests[2] = {{text(f), text(f), true, false, true, -1, 0},
                                 {text(f), text(f), false, true, false, 0, number()}};
    struct spec_version v = {text(f), rnd(), below(3), tests};
    if (kind == 0)
        edge_encode(&e, &w);
    else if (kind == 1)
        outcome_encode(&o, &w);
    else if (kind == 2)
        excursion_fact_encode(&x, &w);
    else if (kind == 3)
        correction_encode(&c, &w);
    else
        spec_version_encode(&v, &w);
    return wbuf_span(&w);
}

TEST(members)
{
    for (unsigned kind = 0; kind < 5; kind++)
        for (unsigned i = 0; i < 40; i++) {
            struct fixture f = fixture();
            struct span s = random_member(&f, kind);
            CHECK(s.p && span_eq(again(&f, kind, s), s));
            for (size_t n = 0; n < s.n; n++)
                CHECK(!again(&f, kind, span_of(s.p, n)).p);
            uint8_t *p = arena_alloc(f.a, s.n + 1);
            memcpy(p, s.p, s.n);
            CHECK(!again(&f, kind, span_of(p, s.n + 1)).p);
            for (size_t at = 0; at < s.n; at++) {
                p[at] ^= (uint8_t)(1 + below(255));
                struct span mutated = again(&f, kind, span_of(p, s.n));
                CHECK(!mutated.p || span_eq(mutated, span_of(p, s.n)));
                p[at] = s.p[at];
            }
            done(&f);
        }
}

TEST(logs_have_names)
{
    static struct chain ch;
    struct frontier *logs;
    for (unsigned t = CHAIN_ITEM; t <= CHAIN_LEDGER; t++) {
        ch.type = (enum chain_type)t;
        unsigned n = state_logs(&ch, &logs);
        for (unsigned i = 0; i < n; i++)
            CHECK(state_log_name(ch.type, i) != NULL);
        CHECK(state_log_name(ch.type, n) == NULL);
        CHECK((n == 0) == (logs == NULL));
    }
    CHECK_EQ_STR(chain_type_name(CHAIN_CASE), "case");
    CHECK_EQ_STR(chain_type_name((enum chain_type)99), "?");
    CHECK_EQ_STR(state_log_name(CHAIN_ITEM, ITEM_LOG_INPUTS), "inputs");
}

static void member(struct fixture *f, struct chain *ch, unsigned log, struct span bytes)
{
    struct frontier *logs;
    struct hash leaf;
    (void)state_logs(ch, &logs);
    merkle_leaf(f->c, bytes, &leaf);
    frontier_append(f->c, &logs[log], &leaf);
}

static void golden_logs(struct fixture *f, struct chain *ch)
{
    struct wbuf w[10];
    for (unsigned i = 0; i < 10; i++)
        wbuf_init(&w[i], f->a);
    for (unsigned i = 0; i < 5; i++) {
        char id[] = "IN-0";
        id[3] = (char)('0' + i);
        struct edge e = {span_str(id), (dec_t)i * DEC_ONE, SPAN_LIT("mL"), i + 20};
        edge_encode(&e, &w[i]);
        member(f, ch, ITEM_LOG_INPUTS, wbuf_span(&w[i]));
    }
    member(f, ch, ITEM_LOG_REQUIRED, SPAN_LIT("sterility"));
    struct edge unit = {SPAN_LIT("U"), 1, SPAN_NONE, 3};
    edge_encode(&unit, &w[5]);
    member(f, ch, ITEM_LOG_UNITS, wbuf_span(&w[5]));
    struct outcome o = {SPAN_LIT("viability"), QC_FAIL, 30, 29};
    outcome_encode(&o, &w[6]);
    member(f, ch, ITEM_LOG_OUTCOMES, wbuf_span(&w[6]));
    struct excursion_fact opened = {.fact = EXCURSION_OPENED,
                                    .id = SPAN_LIT("EX-1"),
                                    .index = 40,
                                    .has_start = true,
                                    .start_us = -7};
    struct excursion_fact assessed = {.fact = EXCURSION_ASSESSED_AS,
                                      .id = SPAN_LIT("EX-1"),
                                      .index = 41,
                                      .outcome = OUTCOME_REDUCE_EXPIRY,
                                      .has_new_expiry = true,
                                      .new_expiry_us = 99};
    excursion_fact_encode(&opened, &w[7]);
    member(f, ch, ITEM_LOG_EXCURSIONS, wbuf_span(&w[7]));
    wbuf_init(&w[7], f->a);
    excursion_fact_encode(&assessed, &w[7]);
    member(f, ch, ITEM_LOG_EXCURSIONS, wbuf_span(&w[7]));
    member(f, ch, ITEM_LOG_CASES, SPAN_LIT("recall/R-7"));
    struct correction change = {
        .target_index = 45, .index = 50, .field = SPAN_LIT("quantity"), .has_number = true, .number = 12 * DEC_ONE};
    struct correction was_void = {.target_index = 45, .index = 51, .is_void = true};
    memset(change.target.b, 7, HASH_LEN);
    was_void.target = change.target;
    correction_encode(&change, &w[8]);
    member(f, ch, ITEM_LOG_CORRECTIONS, wbuf_span(&w[8]));
    correction_encode(&was_void, &w[9]);
    member(f, ch, ITEM_LOG_CORRECTIONS, wbuf_span(&w[9]));
}

static void check_hex(const struct hash *h, const char *expected)
{
    char hex[2 * HASH_LEN + 1];
    hex_encode(span_of(h->b, HASH_LEN), hex);
    CHECK_EQ_STR(hex, expected);
}

/* Computed by a program of another language that was written from docs/format.md. */
TEST(golden)
{
    struct fixture f = fixture();
    static struct chain ch;
    struct hash index_key, salt, h;
    uint8_t nonce[16];
    for (unsigned i = 0; i < HASH_LEN; i++)
        index_key.b[i] = (uint8_t)i;
    for (unsigned i = 0; i < sizeof nonce; i++)
        nonce[i] = (uint8_t)i;
    ch.type = CHAIN_ITEM;
    chain_key(f.c, &index_key, CHAIN_ITEM, SPAN_LIT("BAG-1"), &ch.key);
    check_hex(&ch.key, "d166570425f1d93bd9f8d044bc40f8cd4e26bc133801682b7ced0c1704cfa795");
    state_salt(f.c, span_of(nonce, sizeof nonce), &ch.key, &salt);
    check_hex(&salt, "0d7dc036ae2b1fc5398e38f8456f42bbc110d1d60591510ccd8f318409564ba8");
    ch.item = (struct item_state){.id = SPAN_LIT("BAG-1"),
                                  .klass = ITEM_UNIT,
                                  .use = USE_AUTOLOGOUS,
                                  .gmo = true,
                                  .made_index = 9,
                                  .born_us = 1000,
                                  .arrived_us = -2000,
                                  .parent = SPAN_LIT("LOT-1"),
                                  .coi = SPAN_LIT("COI-1"),
                                  .uom = SPAN_LIT("mL"),
                                  .available = 30 * DEC_ONE,
                                  .has_expiry = true,
                                  .expiry_us = 5,
                                  .holder = SPAN_LIT("CPC"),
                                  .location = SPAN_LIT("LN2"),
                                  .terminal_took = -1,
                                  .last_release = 12,
                                  .quarantined = true,
                                  .open_deviations = 1,
                                  .open_recalls = 2,
                                  .open_excursions = 3,
                                  .rejecting_excursions = 4,
                                  .reducing_excursions = 5};
    golden_logs(&f, &ch);
    struct span state = encoded(&f, &ch, false);
    crypto_sha256(f.c, &state, 1, &h);
    CHECK_EQ_INT(state.n, 525);
    check_hex(&h, "aa1fc901ae61bf1567604ee417123ad669751c5ab30ed052e1ce40123a77f224");
    CHECK(state_commit(f.c, f.a, &ch, 4, &salt, &h));
    check_hex(&h, "b62c3c8d2401806c2286ef3596689795acbc33d0c96d558ac28ab6a0bf5e43e8");
    done(&f);
}

TEST_MAIN(TEST_ENTRY(round_trip), TEST_ENTRY(mutations), TEST_ENTRY(wrong_lengths),
          TEST_ENTRY(commitment_binds), TEST_ENTRY(chain_records), TEST_ENTRY(members),
          TEST_ENTRY(logs_have_names), TEST_ENTRY(golden))
