/* SPDX-License-Identifier: Apache-2.0 */
/* What travels between the log and a witness: bodies, sizes, cosignature lines (ledgerd/witness/submission.h). */
#include "check.h"
#include "witness/submission.h"

#define TEXT "ledger.example/cpc-a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
#define LOG_LINE                                                                                                          \
    "\xe2\x80\x94 ledger.example/cpc-a BQOpa3PkCfG/OLmTtLZlxglsFowDGTJua0wjLzdaFqxbIOGoYMSpDjrvjLJfMxqGst0mVWT+IZZ9b1cXhgaajORiFAY=\n"
#define LINE                                                                                                              \
    "\xe2\x80\x94 witness.example/w1 IDJKvgAAAABlU/EAi4FlZFhmjhzCrrrbkpgsyKjJdWtQCGZM91zt2snyJVnuMDqh7IVMwGBa4VIxq8ilGYvN/FCmgyW90FNAlIuwCA==\n"
#define VKEY "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"

static struct crypto *c;
static struct arena *a;
static struct note_key key;

static void begin(void)
{
    CHECK((c = crypto_new()) && (a = arena_new(1u << 20)));
    CHECK_EQ_INT(note_key_parse(c, SPAN_LIT(VKEY), &key, NULL), LEDGER_OK);
}

static void end(void)
{
    arena_free(a);
    crypto_free(c);
}

TEST(bodies)
{
    static const char hashes[] = "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7"
                                 "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7";
    uint8_t proof[64 * 64] = {0};
    begin();
    CHECK(hex_decode(SPAN_LIT(hashes), proof));
    struct span body = submission_body(a, 3, span_of(proof, 64), SPAN_LIT(TEXT "\n" LOG_LINE));
    CHECK(span_eq(body, SPAN_LIT("old 3\nApjRIpBtz8EIkstTpzmS/FufST6kybrbJ7eRtBJ6f+c=\n"
                                 "B1Bqhf2d0vEg62lPhgEeW7RmLlxBWmKRcDPUqWJEh+c=\n\n" TEXT "\n" LOG_LINE)));
    body = submission_body(a, 0, SPAN_NONE, SPAN_LIT(TEXT));
    CHECK(span_eq(body, SPAN_LIT("old 0\n\n" TEXT)));
    CHECK(submission_body(a, 1, span_of(proof, 33), SPAN_LIT(TEXT)).p == NULL);
    CHECK(submission_body(a, 1, span_of(proof, 63 * 32), SPAN_LIT(TEXT)).p != NULL);
    CHECK(submission_body(a, 1, span_of(proof, 64 * 32), SPAN_LIT(TEXT)).p == NULL);
    end();
}

TEST(sizes)
{
    static const struct {
        const char *text;
        uint64_t size;
        bool good;
    } CASES[] = {{"0\n", 0, true},  {"8\n", 8, true},   {"70001", 70001, true}, {"9223372036854775807\n", INT64_MAX, true},
                 {"", 0, false},    {"\n", 0, false},   {"08\n", 0, false},     {"8\n\n", 0, false},
                 {" 8\n", 0, false}, {"-1\n", 0, false}, {"8x\n", 0, false},    {"99999999999999999999\n", 0, false}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        uint64_t size = 0;
        CHECK_EQ_INT(submission_size(span_str(CASES[i].text), &size), CASES[i].good);
        CHECK(!CASES[i].good || size == CASES[i].size);
    }
}

static const char *found(const char *body, size_t n, struct span *line)
{
    uint64_t time_s = 0;
    arena_reset(a);
    const char *fault = submission_cosignature(c, a, &key, SPAN_LIT(TEXT), span_of(body, n), line, &time_s);
    CHECK(fault || time_s == 1700000000);
    return fault;
}

TEST(cosignatures)
{
    struct span line;
    begin();
    CHECK(found(LINE, sizeof LINE - 1, &line) == NULL && span_eq(line, SPAN_LIT(LINE)));
    CHECK(found(LOG_LINE LINE, sizeof(LOG_LINE LINE) - 1, &line) == NULL && span_eq(line, SPAN_LIT(LINE)));
    CHECK_EQ_STR(found("", 0, &line), "the answer has no line of its key");
    CHECK_EQ_STR(found(LOG_LINE, sizeof LOG_LINE - 1, &line), "the answer has no line of its key");
    CHECK_EQ_STR(found(LINE, sizeof LINE - 2, &line), "the answer's last line has no end");
    CHECK_EQ_STR(found("<html>\n" LINE, sizeof("<html>\n" LINE) - 1, &line), "the answer holds no signature lines");
    CHECK_EQ_STR(found("\n\n", 2, &line), "the answer holds no signature lines");
    /* Each bit of a good line that is changed makes it one of another key, a malformed one, or a wrong one; never a good one. */
    char copy[sizeof LINE];
    for (size_t bit = 0; bit < 8 * (sizeof LINE - 1); bit++) {
        memcpy(copy, LINE, sizeof LINE);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        CHECK(found(copy, sizeof LINE - 1, &line) != NULL);
    }
    /* The cosignature of another checkpoint. */
    uint64_t time_s;
    CHECK_EQ_STR(submission_cosignature(c, a, &key, SPAN_LIT("ledger.example/cpc-b\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"),
                                        SPAN_LIT(LINE), &line, &time_s), "its cosignature does not verify");
    end();
}

TEST(urls)
{
    char out[300], small[20];
    CHECK(submission_url("http://127.0.0.1:7463", out, sizeof out));
    CHECK_EQ_STR(out, "http://127.0.0.1:7463/add-checkpoint");
    CHECK(submission_url("https://w.example/a/b//", out, sizeof out));
    CHECK_EQ_STR(out, "https://w.example/a/b/add-checkpoint");
    CHECK(!submission_url("ftp://w.example", out, sizeof out) && !submission_url("w.example", out, sizeof out));
    CHECK(!submission_url("http://w.example", small, sizeof small));
}

TEST_MAIN(TEST_ENTRY(bodies), TEST_ENTRY(sizes), TEST_ENTRY(cosignatures), TEST_ENTRY(urls))
