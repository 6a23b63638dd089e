/* SPDX-License-Identifier: Apache-2.0 */
/* test_sigblock: signature blocks to bytes and back, other encodings refused, roots, and the bytes
 * that are signed. */
#include "check.h"
#include "event.h"
#include "ledger_events.pb-c.h"
#include "merkle.h"
#include "wire.h"

static struct crypto *crypto;
static struct arena *arena;

static void setup(void)
{
    crypto = crypto_new();
    arena = arena_new((size_t)4 << 20);
    CHECK(crypto && arena);
}

static struct signature sample(void)
{
    return (struct signature){.party = SPAN_LIT("u.qa"),
                              .key_id = SPAN_LIT("0123456789abcdef"),
                              .alg = SIG_ED25519,
                              .meaning = SPAN_LIT("approval"),
                              .time = SPAN_LIT("2026-04-06T09:00:00+09:00"),
                              .sig = SPAN_LIT("not verified here")};
}

static bool protobuf_agrees(struct span bytes)
{
    Ledgerd__V1__SignatureBlock *m = ledgerd__v1__signature_block__unpack(NULL, bytes.n, bytes.p);
    if (!m)
        return false;
    size_t n = ledgerd__v1__signature_block__get_packed_size(m);
    uint8_t *out = malloc(n + 1);
    CHECK(out && ledgerd__v1__signature_block__pack(m, out) == n);
    bool same = span_eq(span_of(out, n), bytes);
    free(out);
    ledgerd__v1__signature_block__free_unpacked(m, NULL);
    return same;
}

static bool same_signature(const struct signature *a, const struct signature *b)
{
    return span_eq(a->party, b->party) && span_eq(a->key_id, b->key_id) && a->alg == b->alg &&
           span_eq(a->meaning, b->meaning) && span_eq(a->time, b->time) && span_eq(a->sig, b->sig);
}

TEST(round_trip)
{
    setup();
    static const uint8_t path[3 * HASH_LEN] = {1, 2, 3};
    for (size_t n = 0; n <= SIGNATURES_READ_MAX; n++) {
        struct sigblock b = {.events = 7,
                             .index = (unsigned)n % 7,
                             .path = path,
                             .path_n = n % 4,
                             .n = n},
                        back;
        for (size_t i = 0; i < n; i++)
            b.sigs[i] = sample();
        if (n > 1)
            b.sigs[1].meaning = SPAN_NONE; /* for the rules to refuse */
        struct span bytes = sigblock_encode(arena, &b);
        CHECK_EQ_INT(sigblock_decode(bytes, &back, NULL), LEDGER_OK);
        CHECK(back.events == b.events && back.index == b.index && back.path_n == b.path_n &&
              back.n == n);
        for (size_t i = 0; i < n; i++)
            CHECK(same_signature(&b.sigs[i], &back.sigs[i]));
        CHECK(n < 2 || !back.sigs[1].meaning.p);
        CHECK(span_eq(sigblock_encode(arena, &back), bytes));
        CHECK(protobuf_agrees(bytes));
    }
}

static enum ledger_rc decode_with(struct signature s)
{
    struct sigblock b = {.events = 1, .n = 1, .sigs = {s}}, back;
    struct signature alone;
    enum ledger_rc rc = sigblock_decode(sigblock_encode(arena, &b), &back, NULL);
    CHECK_EQ_INT(signature_decode(signature_encode(arena, &s), &alone, NULL), rc);
    CHECK(rc != LEDGER_OK || same_signature(&s, &alone));
    return rc;
}

TEST(parts_of_a_signature)
{
    setup();
    static uint8_t large[SIG_LEN_MAX + 1];
    struct signature s = sample();
    CHECK_EQ_INT(decode_with(s), LEDGER_OK);
    s.alg = 65535; /* unknown, but a number: the rules refuse it */
    CHECK_EQ_INT(decode_with(s), LEDGER_OK);
    s.sig = span_of(large, SIG_LEN_MAX);
    CHECK_EQ_INT(decode_with(s), LEDGER_OK);
    struct signature bad[10];
    for (size_t i = 0; i < 10; i++)
        bad[i] = sample();
    bad[0].party = SPAN_LIT("u qa");
    bad[1].party = SPAN_LIT("");
    bad[2].key_id = SPAN_LIT("0123456789abcde");
    bad[3].alg = 0;
    bad[4].alg = 65536;
    bad[5].meaning = SPAN_LIT("a\nb");
    bad[6].time = SPAN_LIT("2026-02-30T00:00:00Z");
    bad[7].time = SPAN_LIT("");
    bad[8].sig = SPAN_LIT("");
    bad[9].sig = span_of(large, SIG_LEN_MAX + 1);
    for (size_t i = 0; i < 10; i++)
        CHECK_EQ_INT(decode_with(bad[i]), LEDGER_EINVAL);
}

TEST(every_single_byte_mutation)
{
    setup();
    static const uint8_t path[2 * HASH_LEN] = {9};
    struct sigblock b = {
        .events = 4, .index = 1, .path = path, .path_n = 2, .n = 2, .sigs = {sample(), sample()}};
    struct span bytes = sigblock_encode(arena, &b);
    uint8_t copy[1024];
    unsigned accepted = 0;
    CHECK(bytes.n < sizeof copy);
    memcpy(copy, bytes.p, bytes.n);
    for (size_t i = 0; i < bytes.n; i++) {
        for (unsigned v = 1; v < 256; v++) {
            struct sigblock back;
            struct arena_mark mark = arena_mark(arena);
            copy[i] = (uint8_t)(bytes.p[i] ^ v);
            enum ledger_rc rc = sigblock_decode(span_of(copy, bytes.n), &back, NULL);
            CHECK(rc == LEDGER_OK || rc == LEDGER_EINVAL || rc == LEDGER_EVERSION);
            if (rc == LEDGER_OK) {
                accepted++;
                CHECK(span_eq(sigblock_encode(arena, &back), span_of(copy, bytes.n)));
                CHECK(protobuf_agrees(span_of(copy, bytes.n)));
            }
            arena_release(arena, mark);
        }
        copy[i] = bytes.p[i];
    }
    CHECK(accepted > 1000);
    for (size_t n = 0; n < bytes.n; n++) {
        struct sigblock back;
        struct span cut = span_of(bytes.p, n);
        if (sigblock_decode(cut, &back, NULL) == LEDGER_OK)
            CHECK(span_eq(sigblock_encode(arena, &back), cut));
    }
}

static void check_block(struct span bytes, enum ledger_rc expected)
{
    struct sigblock b;
    struct ledger_err err = {0};
    enum ledger_rc rc = sigblock_decode(bytes, &b, &err);
    if (rc != expected)
        fprintf(stderr, "%s\n", err.msg);
    CHECK_EQ_INT(rc, expected);
}

TEST(other_encodings)
{
    setup();
    check_block(SPAN_LIT("\x08\x01\x10\x01"), LEDGER_OK); /* no signature: for the rules */
    check_block(SPAN_LIT("\x08\x02\x10\x01"), LEDGER_EVERSION);
    check_block(SPAN_NONE, LEDGER_EINVAL);
    check_block(SPAN_LIT("\x10\x01"), LEDGER_EINVAL); /* no version */
    check_block(SPAN_LIT("\x08\x01"), LEDGER_EINVAL); /* no number of events */
    check_block(SPAN_LIT("\x08\x01\x10\x00"), LEDGER_EINVAL);
    check_block(SPAN_LIT("\x08\x01\x10\x81\x00"), LEDGER_EINVAL);         /* overlong */
    check_block(SPAN_LIT("\x08\x01\x10\xe8\x07\x18\xe7\x07"), LEDGER_OK); /* the last of 1000 */
    check_block(SPAN_LIT("\x08\x01\x10\xe9\x07"), LEDGER_EINVAL);         /* 1001 events */
    check_block(SPAN_LIT("\x08\x01\x10\x02\x18\x02"), LEDGER_EINVAL);     /* index beyond */
    check_block(SPAN_LIT("\x08\x01\x10\x02\x18\x00"), LEDGER_EINVAL);     /* explicit default */
    check_block(SPAN_LIT("\x08\x01\x10\x02\x10\x02"), LEDGER_EINVAL);     /* twice */
    check_block(SPAN_LIT("\x08\x01\x18\x01\x10\x02"), LEDGER_EINVAL);     /* order */
    check_block(SPAN_LIT("\x08\x01\x10\x02\x22\x00"), LEDGER_EINVAL);     /* empty path */
    check_block(SPAN_LIT("\x08\x01\x10\x02\x22\x01x"), LEDGER_EINVAL);    /* not 32 bytes */
    check_block(SPAN_LIT("\x08\x01\x10\x02\x2a\x00"), LEDGER_EINVAL);     /* empty signature */
    check_block(SPAN_LIT("\x08\x01\x10\x02\x32\x01x"), LEDGER_EINVAL);    /* unknown field */
    check_block(SPAN_LIT("\x08\x01\x12\x01\x01"), LEDGER_EINVAL);         /* wire type */
    struct sigblock b = {.events = 1, .n = SIGNATURES_READ_MAX};
    for (size_t i = 0; i < b.n; i++)
        b.sigs[i] = sample();
    struct span eight = sigblock_encode(arena, &b), one = signature_encode(arena, &b.sigs[0]);
    struct wbuf w;
    wbuf_init(&w, arena);
    wbuf_bytes(&w, eight.p, eight.n);
    wire_put_bytes(&w, 5, one);
    check_block(eight, LEDGER_OK);
    check_block(wbuf_span(&w), LEDGER_EINVAL); /* a ninth */
}

TEST(roots_of_batches)
{
    setup();
    struct hash ids[13], leaves[13], root, other;
    for (size_t i = 0; i < 13; i++) {
        memset(ids[i].b, (int)i + 1, HASH_LEN);
        merkle_leaf(crypto, span_of(ids[i].b, HASH_LEN), &leaves[i]);
    }
    for (size_t n = 1; n <= 13; n++) {
        CHECK(merkle_root_of(crypto, leaves, n, &root));
        for (size_t i = 0; i < n; i++) {
            struct merkle_path path;
            CHECK(merkle_path_of(crypto, arena, leaves, n, i, &path));
            struct sigblock b = {
                .events = (unsigned)n, .index = (unsigned)i, .path = path.h[0].b, .path_n = path.n};
            CHECK(sigblock_root(crypto, &b, &ids[i], &other) && hash_eq(&root, &other));
            b.path_n++;
            CHECK(!sigblock_root(crypto, &b, &ids[i], &other));
            b.path_n = path.n;
            CHECK(sigblock_root(crypto, &b, &ids[(i + 1) % 13], &other) && !hash_eq(&root, &other));
            b.index = (unsigned)n;
            CHECK(!sigblock_root(crypto, &b, &ids[i], &other));
        }
    }
}

/* The layout of event.h, put together by hand. */
TEST(the_bytes_that_are_signed)
{
    setup();
    struct signature s = sample(), before = sample();
    struct hash root, previous;
    memset(root.b, 0xab, HASH_LEN);
    before.sig = SPAN_LIT("first");
    static const char first[] = "\x0f"
                                "ledgerd/v1/sign"
                                "\0\0\0\x0b"
                                "example.org"
                                "\0\0\0\x04"
                                "u.qa"
                                "0123456789abcdef"
                                "\0\x01"
                                "\0\0\0\x08"
                                "approval"
                                "\0\0\0\x19"
                                "2026-04-06T09:00:00+09:00"
                                "\0\0\0\x01"
                                "\0\0\x03\xe8";
    struct span input =
        signature_input(crypto, arena, SPAN_LIT("example.org"), &s, 1, 1000, &root, NULL);
    CHECK_EQ_INT(input.n, sizeof first - 1 + 2 * HASH_LEN);
    CHECK_EQ_MEM(input.p, first, sizeof first - 1);
    CHECK_EQ_MEM(input.p + sizeof first - 1, root.b, HASH_LEN);
    CHECK_EQ_MEM(input.p + sizeof first - 1 + HASH_LEN, HASH_ZERO.b, HASH_LEN);
    struct span parts[] = {SPAN_LIT("\x14"
                                    "ledgerd/v1/signature\0\0\0\x05"
                                    "first")};
    crypto_sha256(crypto, parts, 1, &previous);
    input = signature_input(crypto, arena, SPAN_LIT("example.org"), &s, 2, 1000, &root, &before);
    CHECK_EQ_MEM(input.p + input.n - HASH_LEN, previous.b, HASH_LEN);
    CHECK_EQ_MEM(input.p + sizeof first - 1 - 8, "\0\0\0\x02\0\0\x03\xe8", 8);

    static const char proof[] = "\x14"
                                "ledgerd/v1/key-proof"
                                "\0\0\0\x01o"
                                "\0\0\0\x04u.qa"
                                "\0\x02"
                                "\0\0\0\x03key";
    input = key_proof_input(arena, SPAN_LIT("o"), SPAN_LIT("u.qa"), SIG_P256, SPAN_LIT("key"));
    CHECK_EQ_INT(input.n, sizeof proof - 1);
    CHECK_EQ_MEM(input.p, proof, sizeof proof - 1);
}

TEST(hashes)
{
    setup();
    struct hash block, id, by_hand;
    struct span parts[] = {SPAN_LIT("\x1a"
                                    "ledgerd/v1/signature-block\0\0\0\x04\x08\x01\x10\x01")};
    sigblock_hash(crypto, SPAN_LIT("\x08\x01\x10\x01"), &block);
    crypto_sha256(crypto, parts, 1, &by_hand);
    CHECK(hash_eq(&block, &by_hand));
    parts[0] = SPAN_LIT("\x10"
                        "ledgerd/v1/event\0\0\0\x01x");
    event_id(crypto, SPAN_LIT("x"), &id);
    crypto_sha256(crypto, parts, 1, &by_hand);
    CHECK(hash_eq(&id, &by_hand));
}

TEST_MAIN(TEST_ENTRY(round_trip), TEST_ENTRY(parts_of_a_signature),
          TEST_ENTRY(every_single_byte_mutation), TEST_ENTRY(other_encodings),
          TEST_ENTRY(roots_of_batches), TEST_ENTRY(the_bytes_that_are_signed), TEST_ENTRY(hashes))
