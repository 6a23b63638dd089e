/* SPDX-License-Identifier: Apache-2.0 */
/* Signed notes, checkpoints and cosignatures: published examples, byte-exact output, and refusals.
 */
#include "note.h"

#include "check.h"
#include "vectors.h"

#define DASH "\xe2\x80\x94 "
#define C2SP_KEY "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
#define C2SP_SIG                                                                                   \
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
#define C2SP_LINE DASH "example.com/foo " C2SP_SIG "\n"
#define C2SP_TEXT "This is an example message.\n"

/* Log seed 00..1f, witness seed 20..3f, time 1700000000. */
#define LOG_KEY "ledger.example/cpc-a+0503a96b+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
#define WITNESS_KEY "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
#define CP_TEXT "ledger.example/cpc-a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
#define LOG_SIG                                                                                    \
    "BQOpa3PkCfG/OLmTtLZlxglsFowDGTJua0wjLzdaFqxbIOGoYMSpDjrvjLJfMxqGst0mVWT+IZZ9b1cXhgaajORiFAY="
#define LOG_LINE DASH "ledger.example/cpc-a " LOG_SIG "\n"
#define WITNESS_LINE                                                                               \
    DASH "witness.example/w1 "                                                                     \
         "IDJKvgAAAABlU/EAi4FlZFhmjhzCrrrbkpgsyKjJdWtQCGZM91zt2snyJVnuMDqh7IVMwGBa4VIxq8ilGYvN"    \
         "/FCmgyW90FNAlIuwCA==\n"

struct fixture {
    struct crypto *c;
    struct arena *a;
    struct note_key keys[2];
    struct secret_key secrets[2];
};

static struct fixture setup(const char *vkey0, const char *vkey1)
{
    struct fixture f = {.c = crypto_new(), .a = arena_new(1 << 20)};
    struct ledger_err err = {.rc = LEDGER_OK};
    CHECK(f.c && f.a);
    CHECK_EQ_INT(note_key_parse(f.c, span_str(vkey0), &f.keys[0], &err), LEDGER_OK);
    CHECK_EQ_INT(note_key_parse(f.c, span_str(vkey1), &f.keys[1], &err), LEDGER_OK);
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t seed[32];
        for (uint8_t j = 0; j < 32; j++)
            seed[j] = (uint8_t)(32 * i + j);
        CHECK(crypto_secret_from_seed(f.c, SIG_ED25519, seed, &f.secrets[i]));
    }
    return f;
}

static void teardown(struct fixture *f)
{
    arena_free(f->a);
    crypto_free(f->c);
}

/* Parses and verifies; *matched is 0 also when it is refused. */
static bool verdict(struct fixture *f, struct span bytes, uint64_t *matched, uint64_t *times)
{
    struct note n;
    *matched = 0;
    arena_reset(f->a);
    return note_parse(f->a, bytes, &n, NULL) == LEDGER_OK &&
           note_verify(f->c, f->a, &n, f->keys, 2, matched, times);
}

TEST(c2sp_example)
{
    struct fixture f = setup(C2SP_KEY, WITNESS_KEY);
    struct note n;
    uint64_t matched;
    struct span bytes = SPAN_LIT(C2SP_TEXT "\n" C2SP_LINE);
    CHECK_EQ_INT(note_parse(f.a, bytes, &n, NULL), LEDGER_OK);
    CHECK(span_eq(n.text, SPAN_LIT(C2SP_TEXT)) && span_eq(n.sigs_text, SPAN_LIT(C2SP_LINE)));
    CHECK(n.n == 1 && n.sigs[0].sig_n == 64 &&
          span_eq(n.sigs[0].name, SPAN_LIT("example.com/foo")));
    CHECK(verdict(&f, bytes, &matched, NULL) && matched == 1);
    /* Edited text: refused. Its signer unknown, by name or by id: nothing known failed. */
    CHECK(!verdict(&f, SPAN_LIT("This is an exemple message.\n\n" C2SP_LINE), &matched, NULL));
    CHECK(
        verdict(&f, SPAN_LIT("edited\n\n" DASH "example.com/fop " C2SP_SIG "\n"), &matched, NULL));
    CHECK(matched == 0);
    f.keys[0].id[3] ^= 1;
    CHECK(verdict(&f, bytes, &matched, NULL) && matched == 0);
    teardown(&f);
}

TEST(text_with_empty_lines)
{
    struct fixture f = setup(LOG_KEY, WITNESS_KEY);
    static const char text[] = "\n\na\n\n" DASH "not a signature\n\n\nb\n";
    struct wbuf w;
    struct note n;
    uint64_t matched;
    wbuf_init(&w, f.a);
    wbuf_bytes(&w, text, sizeof text - 1);
    wbuf_u8(&w, '\n');
    note_sign_line(f.c, &f.keys[0], &f.secrets[0], SPAN_LIT(text), &w);
    CHECK(wbuf_span(&w).p);
    CHECK_EQ_INT(note_parse(f.a, wbuf_span(&w), &n, NULL), LEDGER_OK);
    CHECK(span_eq(n.text, SPAN_LIT(text)));
    CHECK(note_verify(f.c, f.a, &n, f.keys, 2, &matched, NULL) && matched == 1);
    teardown(&f);
}

TEST(notes_refused)
{
    static const char *const bad[] = {
        "", "\n", "\n\n", C2SP_TEXT, C2SP_TEXT C2SP_LINE, C2SP_TEXT "\n",
        C2SP_TEXT "\n" C2SP_LINE "\n", C2SP_TEXT "\n\n", "a\n\nb\n",
        /* The last line unended; control characters; not UTF-8; surrogates; overlong. */
        C2SP_TEXT "\n" DASH "example.com/foo " C2SP_SIG, "a\tb\n\n" C2SP_LINE, "a\r\n\n" C2SP_LINE,
        "a\x1f\n\n" C2SP_LINE, "a\xff\n\n" C2SP_LINE, "a\xc3\n\n" C2SP_LINE,
        "\xed\xa0\x80\n\n" C2SP_LINE, "\xc0\xaf\n\n" C2SP_LINE, "\xe0\x80\xaf\n\n" C2SP_LINE,
        "\xf4\x90\x80\x80\n\n" C2SP_LINE, "\xf8\x88\x80\x80\x80\n\n" C2SP_LINE,
        /* Signature lines: the dash, the spaces, the name, the base64. */
        C2SP_TEXT "\n- example.com/foo " C2SP_SIG "\n",
        C2SP_TEXT "\n\xe2\x80\x94"
                  "example.com/foo " C2SP_SIG "\n",
        C2SP_TEXT "\n\xe2\x80\x93 example.com/foo " C2SP_SIG "\n",
        C2SP_TEXT "\n" DASH " example.com/foo " C2SP_SIG "\n",
        C2SP_TEXT "\n" DASH " " C2SP_SIG "\n", C2SP_TEXT "\n" DASH C2SP_SIG "\n",
        C2SP_TEXT "\n" DASH "example.com/foo  " C2SP_SIG "\n",
        C2SP_TEXT "\n" DASH "example.com/foo " C2SP_SIG " \n",
        C2SP_TEXT "\n" DASH "example.com+foo " C2SP_SIG "\n",
        C2SP_TEXT "\n" DASH "example.com\xc2\xa0"
                  "foo " C2SP_SIG "\n",
        C2SP_TEXT "\n" DASH "example.com\xe2\x80\x83"
                  "foo " C2SP_SIG "\n",
        C2SP_TEXT "\n" DASH "example.com\xe3\x80\x80"
                  "foo " C2SP_SIG "\n",
        C2SP_TEXT "\n" DASH "example.com/foo \n", C2SP_TEXT "\n" DASH "example.com/foo\n",
        C2SP_TEXT "\n" DASH "example.com/foo Uw2QOg==\n", /* a key id alone */
        C2SP_TEXT "\n" DASH "example.com/foo Uw2QOkn=\n", /* spare bits */
        C2SP_TEXT "\n" DASH "example.com/foo Uw2QOkn8srU\n",
        C2SP_TEXT "\n" C2SP_LINE "text behind\n"};
    struct fixture f = setup(C2SP_KEY, WITNESS_KEY);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct note n;
        struct ledger_err err = {.rc = LEDGER_OK};
        enum ledger_rc rc = note_parse(f.a, span_str(bad[i]), &n, &err);
        if (rc != LEDGER_EINVAL)
            fprintf(stderr, "accepted: %s\n", bad[i]);
        CHECK_EQ_INT(rc, LEDGER_EINVAL);
        CHECK(err.msg[0]);
        arena_reset(f.a);
    }
    struct note n;
    CHECK_EQ_INT(note_parse(f.a, span_of("a\0\n\n" C2SP_LINE, 4 + sizeof C2SP_LINE - 1), &n, NULL),
                 LEDGER_EINVAL);
    teardown(&f);
}

TEST(every_cut_and_flip)
{
    static const char whole[] = CP_TEXT "\n" LOG_LINE WITNESS_LINE;
    struct fixture f = setup(LOG_KEY, WITNESS_KEY);
    uint64_t matched, times[2];
    CHECK(verdict(&f, SPAN_LIT(whole), &matched, times) && matched == 3);
    CHECK(times[0] == 0 && times[1] == 1700000000);
    for (size_t n = 0; n + 1 < sizeof whole; n++) {
        char *cut = malloc(n + 1); /* its own memory, so that a sanitizer sees any byte too far */
        memcpy(cut, whole, n);
        CHECK(!verdict(&f, span_of(cut, n), &matched, times) || matched == 1);
        free(cut);
    }
    for (size_t bit = 0; bit < 8 * (sizeof whole - 1); bit++) {
        char text[sizeof whole];
        memcpy(text, whole, sizeof whole);
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
        /* A changed name or key id makes a stranger of the signer, so one may be left; never both.
         */
        CHECK(!verdict(&f, span_of(text, sizeof whole - 1), &matched, times) || matched != 3);
        CHECK(bit / 8 >= sizeof CP_TEXT - 1 || matched == 0);
    }
    teardown(&f);
}

TEST(many_and_long_signatures)
{
    struct fixture f = setup(C2SP_KEY, WITNESS_KEY);
    struct arena *a = arena_new(8 << 20);
    struct note n;
    struct wbuf w;
    uint64_t matched;
    static uint8_t raw[6000];
    static char text[8004];
    for (size_t lines = NOTE_SIGS_MAX - 1; lines <= NOTE_SIGS_MAX; lines++) {
        arena_reset(a);
        wbuf_init(&w, a);
        wbuf_bytes(&w, C2SP_TEXT "\n", sizeof C2SP_TEXT);
        for (size_t i = 0; i < lines; i++)
            wbuf_bytes(&w, DASH "other AAAAAAA=\n", 19);
        wbuf_bytes(&w, C2SP_LINE, sizeof C2SP_LINE - 1);
        enum ledger_rc rc = note_parse(a, wbuf_span(&w), &n, NULL);
        CHECK_EQ_INT(rc, lines < NOTE_SIGS_MAX ? LEDGER_OK : LEDGER_ELIMIT);
        CHECK(rc || (note_verify(f.c, a, &n, f.keys, 2, &matched, NULL) && matched == 1));
    }
    /* A stranger's post-quantum signature is ignored; as long a one under a known key is refused.
     */
    for (int known = 0; known < 2; known++) {
        memcpy(raw, f.keys[0].id, 4);
        b64_encode(span_of(raw, sizeof raw), text);
        arena_reset(a);
        wbuf_init(&w, a);
        wbuf_bytes(&w, C2SP_TEXT "\n" C2SP_LINE, sizeof C2SP_TEXT + sizeof C2SP_LINE - 1);
        wbuf_bytes(&w, DASH, sizeof DASH - 1);
        const char *name = known ? "example.com/foo " : "example.com/pqc ";
        wbuf_bytes(&w, name, strlen(name));
        wbuf_bytes(&w, text, strlen(text));
        wbuf_u8(&w, '\n');
        CHECK_EQ_INT(note_parse(a, wbuf_span(&w), &n, NULL), LEDGER_OK);
        CHECK(n.n == 2 && n.sigs[1].sig_n == 0);
        CHECK(note_verify(f.c, a, &n, f.keys, 2, &matched, NULL) == !known);
    }
    wbuf_init(&w, a);
    for (size_t i = 0; i < NOTE_SIZE_MAX; i++)
        wbuf_u8(&w, 'a');
    wbuf_bytes(&w, "\n\n" C2SP_LINE, sizeof C2SP_LINE + 1);
    CHECK_EQ_INT(note_parse(a, wbuf_span(&w), &n, NULL), LEDGER_ELIMIT);
    arena_free(a);
    a = arena_new(4096);
    CHECK_EQ_INT(note_parse(a, SPAN_LIT(C2SP_TEXT "\n" C2SP_LINE), &n, NULL), LEDGER_ENOMEM);
    arena_free(a);
    teardown(&f);
}

/* With any budget the answer is "no memory" or the right verdict, never a wrong one. */
TEST(every_budget)
{
    static const char whole[] = CP_TEXT "\n" LOG_LINE WITNESS_LINE;
    struct fixture f = setup(LOG_KEY, WITNESS_KEY);
    size_t parsed = 0;
    for (size_t budget = 0; budget < 12000; budget += 16) {
        struct arena *a = arena_new(budget);
        struct note n;
        uint64_t matched;
        enum ledger_rc rc = note_parse(a, SPAN_LIT(whole), &n, NULL);
        CHECK(rc == LEDGER_OK || rc == LEDGER_ENOMEM);
        if (rc == LEDGER_OK) {
            parsed++;
            CHECK(note_verify(f.c, a, &n, f.keys, 2, &matched, NULL) && matched == 3);
        }
        arena_free(a);
    }
    CHECK(parsed > 10);
    teardown(&f);
}

TEST(our_checkpoint)
{
    static const char whole[] = CP_TEXT "\n" LOG_LINE WITNESS_LINE;
    struct fixture f = setup(LOG_KEY, WITNESS_KEY);
    struct checkpoint cp = {.origin = SPAN_LIT("ledger.example/cpc-a"), .size = 8};
    cp.root = vectors_hash("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    struct wbuf w;
    wbuf_init(&w, f.a);
    wbuf_bytes(&w, "before", 6);
    checkpoint_sign(f.c, &f.keys[0], &f.secrets[0], &cp, &w);
    note_cosign_line(f.c, &f.keys[1], &f.secrets[1], 1700000000, SPAN_LIT(CP_TEXT), &w);
    struct span out = wbuf_span(&w);
    CHECK_EQ_INT(out.n, 6 + sizeof whole - 1);
    CHECK_EQ_MEM(out.p + 6, whole, sizeof whole - 1);
    struct checkpoint back;
    CHECK_EQ_INT(checkpoint_parse(SPAN_LIT(CP_TEXT), &back, NULL), LEDGER_OK);
    CHECK(back.size == 8 && span_eq(back.origin, cp.origin) && hash_eq(&back.root, &cp.root));
    teardown(&f);
}

/* The lines of a tlog-proof for index 5 of that tree are base64 of its inclusion path. */
TEST(tlog_proof_lines)
{
    static const char *const lines[] = {"vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
                                        "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
                                        "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc="};
    static const char *const data[] = {"-",
                                       "00",
                                       "10",
                                       "2021",
                                       "3031",
                                       "40414243",
                                       "5051525354555657",
                                       "606162636465666768696a6b6c6d6e6f"};
    struct crypto *c = crypto_new();
    struct arena *a = arena_new(4096);
    struct hash leaves[8];
    struct merkle_path p;
    struct checkpoint cp;
    for (size_t i = 0; i < 8; i++)
        merkle_leaf(c, vectors_hex(data[i]), &leaves[i]);
    CHECK(merkle_path_of(c, a, leaves, 8, 5, &p));
    CHECK_EQ_INT(p.n, 3);
    for (size_t i = 0; i < 3; i++) {
        char text[48];
        b64_encode(span_of(p.h[i].b, HASH_LEN), text);
        CHECK_EQ_STR(text, lines[i]);
    }
    CHECK_EQ_INT(checkpoint_parse(SPAN_LIT(CP_TEXT), &cp, NULL), LEDGER_OK);
    CHECK(merkle_verify_inclusion(c, 5, cp.size, &leaves[5], p.h, p.n, &cp.root));
    arena_free(a);
    crypto_free(c);
}

TEST(signing_refused)
{
    struct fixture f = setup(LOG_KEY, WITNESS_KEY);
    struct checkpoint cp = {.origin = SPAN_LIT("ledger.example/cpc-a"), .size = 8};
    struct wbuf w;
    wbuf_init(&w, f.a);
    note_sign_line(f.c, &f.keys[0], &f.secrets[1], SPAN_LIT("a\n"), &w); /* another's secret */
    CHECK(!wbuf_span(&w).p);
    wbuf_init(&w, f.a);
    note_sign_line(f.c, &f.keys[1], &f.secrets[1], SPAN_LIT("a\n"), &w); /* a cosigner's key */
    CHECK(!wbuf_span(&w).p);
    wbuf_init(&w, f.a);
    note_cosign_line(f.c, &f.keys[0], &f.secrets[0], 1, SPAN_LIT("a\n"), &w);
    CHECK(!wbuf_span(&w).p);
    wbuf_init(&w, f.a);
    note_cosign_line(f.c, &f.keys[1], &f.secrets[1], (uint64_t)INT64_MAX + 1, SPAN_LIT("a\n"), &w);
    CHECK(!wbuf_span(&w).p);
    wbuf_init(&w, f.a);
    checkpoint_sign(f.c, &f.keys[0], &f.secrets[1], &cp, &w);
    CHECK(!wbuf_span(&w).p);
    struct arena *small = arena_new(128);
    wbuf_init(&w, small);
    checkpoint_sign(f.c, &f.keys[0], &f.secrets[0], &cp, &w);
    CHECK(!wbuf_span(&w).p);
    arena_free(small);
    teardown(&f);
}

TEST(newest_cosignature_counts)
{
    struct fixture f = setup(LOG_KEY, WITNESS_KEY);
    static const uint64_t at[] = {1700000100, 1700000300, 1700000200};
    struct arena *a = arena_new(1 << 20);
    struct wbuf w;
    uint64_t matched, times[2];
    wbuf_init(&w, a);
    wbuf_bytes(&w, CP_TEXT "\n", sizeof CP_TEXT);
    for (size_t i = 0; i < 3; i++)
        note_cosign_line(f.c, &f.keys[1], &f.secrets[1], at[i], SPAN_LIT(CP_TEXT), &w);
    CHECK(verdict(&f, wbuf_span(&w), &matched, times) && matched == 2 && times[1] == at[1]);
    arena_free(a);
    teardown(&f);
}

TEST(checkpoints_refused)
{
#define ROOT "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="
    static const char *const bad[] = {"",
                                      "a\n",
                                      "a\n8\n",
                                      "a\n8\n" ROOT,
                                      "\n8\n" ROOT "\n",
                                      "a\n\n" ROOT "\n",
                                      "a\n08\n" ROOT "\n",
                                      "a\n+8\n" ROOT "\n",
                                      "a\n-8\n" ROOT "\n",
                                      "a\n 8\n" ROOT "\n",
                                      "a\n8 \n" ROOT "\n",
                                      "a\n0x8\n" ROOT "\n",
                                      "a\n00\n" ROOT "\n",
                                      "a\n18446744073709551616\n" ROOT "\n",
                                      "a\n99999999999999999999\n" ROOT "\n",
                                      "a\n8\n" ROOT " \n",
                                      "a\n8\n\n",
                                      "a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyh=\n",
                                      "a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQw==\n",
                                      "a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQygA\n",
                                      "a\n8\n" ROOT "\n\n",
                                      "a\n8\n" ROOT "\next\n\n",
                                      "a\n8\n" ROOT "\n\next\n",
                                      "a\n8\n" ROOT "\next"};
    struct checkpoint cp;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ledger_err err = {.rc = LEDGER_OK};
        CHECK_EQ_INT(checkpoint_parse(span_str(bad[i]), &cp, &err), LEDGER_EINVAL);
        CHECK(err.msg[0]);
    }
    CHECK_EQ_INT(checkpoint_parse(SPAN_LIT("a b\n0\n" ROOT "\next 1\next 2\n"), &cp, NULL),
                 LEDGER_OK);
    CHECK(cp.size == 0 && span_eq(cp.origin, SPAN_LIT("a b")));
    CHECK_EQ_INT(checkpoint_parse(SPAN_LIT("a\n18446744073709551615\n" ROOT "\n"), &cp, NULL),
                 LEDGER_OK);
    CHECK(cp.size == UINT64_MAX);
}

TEST(names)
{
    static const char *const good[] = {"a",   "example.com/foo", "\xc3\xa9t\xc3\xa9", "a\x7fz", "-",
                                       "go#1"};
    static const char *const bad[] = {"",
                                      " ",
                                      "a b",
                                      "a+b",
                                      "a\tb",
                                      "a\nb",
                                      "\xc2\x85",
                                      "a\xe2\x80\xa8",
                                      "\xe1\x9a\x80",
                                      "\xe2\x81\x9f",
                                      "\xe2\x80\xaf",
                                      "\xff",
                                      "a\xc3"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK(note_name_valid(span_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!note_name_valid(span_str(bad[i])));
    char name[NOTE_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    CHECK(note_name_valid(span_of(name, NOTE_NAME_MAX)));
    CHECK(!note_name_valid(span_of(name, NOTE_NAME_MAX + 1)));
    CHECK(origin_valid(SPAN_LIT("ledger.example/cpc-a")) &&
          origin_valid(span_of(name, ORIGIN_MAX)));
    CHECK(!origin_valid(span_of(name, ORIGIN_MAX + 1)) && !origin_valid(SPAN_LIT("")));
    CHECK(!origin_valid(SPAN_LIT("a b")) && !origin_valid(SPAN_LIT("a+b")) &&
          !origin_valid(SPAN_LIT("\xc3\xa9")) && !origin_valid(SPAN_LIT("a\x7f")));
}

TEST(keys)
{
    static const char *const good[] = {
        C2SP_KEY, LOG_KEY, WITNESS_KEY,
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"};
    static const char *const bad[] = {
        "",
        "+",
        "++",
        "a",
        "a+530d903a",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k=",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2l",
        "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", /* type 4, id of 1
                                                                                  */
        "example.com/foo+530d903a+A+kyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", /* type 3 */
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==",
        "example.com/foo+530d903a+AQ==",
        "example.com/foo+530d903a+",
        "exa mple.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"};
    struct crypto *c = crypto_new();
    struct note_key k, again;
    char text[NOTE_NAME_MAX + 200];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK_EQ_INT(note_key_parse(c, span_str(good[i]), &k, NULL), LEDGER_OK);
        CHECK_EQ_INT(note_key_format(&k, text), strlen(good[i]));
        CHECK_EQ_STR(text, good[i]);
        CHECK(note_key_make(c, k.name, k.type, span_of(k.key, k.key_n), &again));
        CHECK_EQ_MEM(&k, &again, sizeof k);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ledger_err err = {.rc = LEDGER_OK};
        CHECK_EQ_INT(note_key_parse(c, span_str(bad[i]), &k, &err), LEDGER_EINVAL);
        CHECK(err.msg[0]);
    }
    uint8_t small[32] = {1};
    CHECK(!note_key_make(c, "a", NOTE_ED25519, span_of(small, 32), &k));
    CHECK(!note_key_make(c, "a b", NOTE_ED25519, span_of(again.key, 32), &k));
    CHECK(!note_key_make(c, "a", NOTE_ECDSA, span_of(again.key, 32), &k));
    CHECK(!note_key_make(c, "a", 5, span_of(again.key, 32), &k));
    CHECK(note_key_make(c, "a", NOTE_ED25519, span_of(again.key, 32), &k));
    crypto_free(c);
}

static size_t der_int(const uint8_t *v, uint8_t *out)
{
    size_t n = 32;
    while (n > 1 && *v == 0) {
        v++;
        n--;
    }
    size_t pad = *v >> 7;
    out[0] = 2;
    out[1] = (uint8_t)(n + pad);
    out[2] = 0;
    memcpy(out + 2 + pad, v, n);
    return 2 + pad + n;
}

/* A note signed by an ECDSA key, the pair being that of RFC 6979 appendix A.2.5. */
TEST(ecdsa_note)
{
    struct fixture f = setup(C2SP_KEY, WITNESS_KEY);
    struct span spki =
        vectors_hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"
                    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
    struct span seed =
        vectors_hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    struct secret_key secret;
    struct hash h;
    uint8_t rs[64], raw[4 + 72];
    char text[104];
    uint64_t matched;
    CHECK(crypto_secret_from_seed(f.c, SIG_P256, seed.p, &secret));
    CHECK(note_key_make(f.c, "rekor.example", NOTE_ECDSA, spki, &f.keys[0]));
    crypto_sha256(f.c, &spki, 1, &h);
    CHECK_EQ_MEM(f.keys[0].id, h.b, 4);
    CHECK(crypto_make_signature(f.c, &secret, SPAN_LIT(CP_TEXT), rs));
    memcpy(raw, h.b, 4);
    size_t n = der_int(rs, raw + 6);
    n += der_int(rs + 32, raw + 6 + n);
    raw[4] = 0x30;
    raw[5] = (uint8_t)n;
    b64_encode(span_of(raw, 6 + n), text);
    struct wbuf w;
    struct arena *a = arena_new(4096);
    wbuf_init(&w, a);
    wbuf_bytes(&w, CP_TEXT "\n" DASH "rekor.example ", sizeof CP_TEXT + sizeof DASH + 13);
    wbuf_bytes(&w, text, strlen(text));
    wbuf_u8(&w, '\n');
    CHECK(verdict(&f, wbuf_span(&w), &matched, NULL) && matched == 1);
    w.p[0] ^= 1;
    CHECK(!verdict(&f, wbuf_span(&w), &matched, NULL));
    char vkey[NOTE_NAME_MAX + 200];
    struct note_key again;
    CHECK_EQ_INT(
        note_key_parse(f.c, span_of(vkey, note_key_format(&f.keys[0], vkey)), &again, NULL),
        LEDGER_OK);
    CHECK_EQ_MEM(&again, &f.keys[0], sizeof again);
    /* A point off the curve. */
    uint8_t off[91];
    memcpy(off, spki.p, sizeof off);
    off[90] ^= 1;
    CHECK(!note_key_make(f.c, "rekor.example", NOTE_ECDSA, span_of(off, sizeof off), &again));
    arena_free(a);
    teardown(&f);
}

static void check_shared_checkpoint(yajl_val v, const struct note *n)
{
    struct checkpoint cp;
    struct hash root;
    size_t root_n;
    CHECK_EQ_INT(checkpoint_parse(n->text, &cp, NULL), LEDGER_OK);
    CHECK(span_eq(cp.origin, span_str(json_string(v, "origin"))));
    CHECK_EQ_INT(cp.size, YAJL_GET_INTEGER(json_member(v, "size")));
    CHECK(b64_decode(span_str(json_string(v, "root")), root.b, HASH_LEN, &root_n) &&
          root_n == HASH_LEN);
    CHECK(hash_eq(&cp.root, &root));
}

TEST(shared_notes)
{
    yajl_val all = vectors_json("vectors/note/notes.json");
    struct crypto *c = crypto_new();
    struct arena *a = arena_new(1 << 20);
    size_t good = 0, bad = 0;
    for (size_t i = 0; i < json_length(all); i++) {
        yajl_val v = json_at(all, i);
        yajl_val vkeys = json_member(v, "vkeys");
        const char *vkey = vkeys ? YAJL_GET_STRING(json_at(vkeys, 0)) : json_string(v, "cosigner");
        struct note_key k;
        struct note n;
        uint64_t matched, time_s;
        CHECK_EQ_INT(note_key_parse(c, span_str(vkey), &k, NULL), LEDGER_OK);
        CHECK_EQ_INT(note_parse(a, span_str(json_string(v, "text")), &n, NULL), LEDGER_OK);
        bool ok = note_verify(c, a, &n, &k, 1, &matched, &time_s) && matched == 1;
        bool want = strcmp(json_string(v, "want"), "ok") == 0;
        if (ok != want)
            fprintf(stderr, "%s\n", json_string(v, "id"));
        CHECK_EQ_INT(ok, want);
        if (ok && strcmp(json_string(v, "kind"), "checkpoint") == 0)
            check_shared_checkpoint(v, &n);
        if (ok && json_member(v, "time"))
            CHECK_EQ_INT(time_s, YAJL_GET_INTEGER(json_member(v, "time")));
        good += ok;
        bad += !ok;
    }
    CHECK(good == 12 && bad == 4);
    yajl_tree_free(all);
    arena_free(a);
    crypto_free(c);
}

/* The cosignature of that file again, from its seed. */
TEST(sigsum_cosignature_made)
{
    static const char text[] =
        "example.org/log\n10\nHA5HAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    static const char line[] =
        DASH "example.org/witness ys8uUAAAAAAAAATSftMzceM8zssdZ9jin9SjwIxzx9iADMf6"
             "3VqirX2hafol9RsqNqbofIz0LVRqHXI2kpEBSki5RTXFtxz1vo9+Cg==\n";
    struct crypto *c = crypto_new();
    struct arena *a = arena_new(4096);
    uint8_t seed[32] = {0x11};
    struct secret_key secret;
    struct note_key k;
    struct wbuf w;
    CHECK(crypto_secret_from_seed(c, SIG_ED25519, seed, &secret));
    CHECK(
        note_key_make(c, "example.org/witness", NOTE_COSIGNATURE_V1, span_of(secret.pub, 32), &k));
    wbuf_init(&w, a);
    note_cosign_line(c, &k, &secret, 1234, SPAN_LIT(text), &w);
    CHECK(span_eq(wbuf_span(&w), SPAN_LIT(line)));
    arena_free(a);
    crypto_free(c);
}

/* A whole tlog-tiles log of another program: for each size its checkpoint, its entries and its
 * tile. */
TEST(shared_tessera_log)
{
    struct span vkey = vectors_file("vectors/tessera-log/VKEY");
    struct crypto *c = crypto_new();
    struct arena *a = arena_new(1 << 20);
    struct note_key k;
    while (vkey.n && vkey.p[vkey.n - 1] == '\n')
        vkey.n--;
    CHECK_EQ_INT(note_key_parse(c, vkey, &k, NULL), LEDGER_OK);
    for (unsigned size = 0; size <= 15; size++) {
        char path[100];
        struct note n;
        struct checkpoint cp;
        uint64_t matched;
        snprintf(path, sizeof path, "vectors/tessera-log/checkpoint.%u", size);
        CHECK_EQ_INT(note_parse(a, vectors_file(path), &n, NULL), LEDGER_OK);
        CHECK(note_verify(c, a, &n, &k, 1, &matched, NULL) && matched == 1);
        CHECK_EQ_INT(checkpoint_parse(n.text, &cp, NULL), LEDGER_OK);
        CHECK_EQ_INT(cp.size, size);
        CHECK(span_eq(cp.origin, span_str(k.name)));
        struct frontier f = {.size = 0};
        struct hash leaf, root;
        struct span tile = SPAN_NONE;
        struct rbuf r;
        rbuf_init(&r, SPAN_NONE);
        if (size > 0) {
            snprintf(path, sizeof path, "vectors/tessera-log/tile/0/000.p/%u", size);
            tile = vectors_file(path);
            snprintf(path, sizeof path, "vectors/tessera-log/tile/entries/000.p/%u", size);
            rbuf_init(&r, vectors_file(path));
        }
        CHECK_EQ_INT(tile.n, size * HASH_LEN);
        for (unsigned i = 0; i < size; i++) {
            merkle_leaf(c, rbuf_bytes(&r, rbuf_u16(&r)), &leaf);
            CHECK(!r.failed);
            CHECK_EQ_MEM(leaf.b, tile.p + HASH_LEN * i, HASH_LEN);
            frontier_append(c, &f, &leaf);
        }
        CHECK(rbuf_done(&r));
        frontier_root(c, &f, &root);
        CHECK_EQ_MEM(root.b, cp.root.b, HASH_LEN);
    }
    arena_free(a);
    crypto_free(c);
}

TEST_MAIN(TEST_ENTRY(c2sp_example), TEST_ENTRY(text_with_empty_lines), TEST_ENTRY(notes_refused),
          TEST_ENTRY(every_cut_and_flip), TEST_ENTRY(many_and_long_signatures),
          TEST_ENTRY(every_budget), TEST_ENTRY(our_checkpoint), TEST_ENTRY(tlog_proof_lines),
          TEST_ENTRY(signing_refused), TEST_ENTRY(newest_cosignature_counts),
          TEST_ENTRY(checkpoints_refused), TEST_ENTRY(names), TEST_ENTRY(keys),
          TEST_ENTRY(ecdsa_note), TEST_ENTRY(shared_notes), TEST_ENTRY(sigsum_cosignature_made),
          TEST_ENTRY(shared_tessera_log))
