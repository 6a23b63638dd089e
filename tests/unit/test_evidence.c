/* SPDX-License-Identifier: Apache-2.0 */
/* test_evidence: evidence files are read back as they were written, and damaged ones are refused (evidence.h). */
#include "lib/check.h"

#include <string.h>

#include "evidence.h"
#include "merkle.h"

static const char note[] = "ledger.example/a\n5\nAAAA\n\n\xe2\x80\x94 ledger.example/a AAAA\n";
static const char other[] = "ledger.example/a\n7\nBBBB\n\n\xe2\x80\x94 ledger.example/a BBBB\n";

static enum ledger_rc read_back(struct arena *a, struct span file, struct evidence *out)
{
    const char *origin = NULL;
    enum ledger_rc rc = evidence_parse(a, file, &origin, out, NULL);
    if (rc == LEDGER_OK)
        CHECK_EQ_STR(origin, "ledger.example/a");
    return rc;
}

TEST(two_checkpoints)
{
    struct arena *a = arena_new((size_t)1 << 20);
    uint8_t path[3 * HASH_LEN];
    struct evidence out;
    memset(path, 0x5a, sizeof path);
    struct evidence in = {.what = "one\nsentence", .known = span_str(note), .received = span_str(other), .proof = span_of(path, sizeof path)};
    struct span text = evidence_text(a, "ledger.example/a", "127.0.0.1:1", &in);
    CHECK_EQ_INT(read_back(a, text, &out), LEDGER_OK);
    CHECK_EQ_STR(out.what, "one sentence");
    CHECK(span_eq(out.known, in.known) && span_eq(out.received, in.received) && span_eq(out.proof, in.proof));
    CHECK(!out.answer.p && !out.receipt.p);
    struct span header, way;
    in.last = span_of(path, sizeof path);
    CHECK_EQ_INT(read_back(a, evidence_text(a, "ledger.example/a", "", &in), &out), LEDGER_OK);
    CHECK(span_eq(out.last, in.last) && span_eq(out.proof, in.proof));
    in.last = SPAN_NONE;
    in.known_seal = evidence_seal(a, span_str("a header"), span_of(path, sizeof path));
    in.received_seal = evidence_seal(a, span_str("another"), SPAN_NONE);
    CHECK_EQ_INT(read_back(a, evidence_text(a, "ledger.example/a", "", &in), &out), LEDGER_OK);
    CHECK(span_eq(out.known_seal, in.known_seal) && span_eq(out.received_seal, in.received_seal));
    CHECK(evidence_seal_split(out.known_seal, &header, &way) && span_eq(header, span_str("a header")) && way.n == sizeof path);
    CHECK(evidence_seal_split(out.received_seal, &header, &way) && way.n == 0);
    CHECK(!evidence_seal_split(span_of(path, 7), &header, &way) && !evidence_seal_split(SPAN_NONE, &header, &way));
    in.known_seal = in.received_seal = SPAN_NONE;
    in.proof = SPAN_NONE;
    CHECK_EQ_INT(read_back(a, evidence_text(a, "ledger.example/a", "", &in), &out), LEDGER_OK);
    CHECK(span_eq(out.known, in.known) && span_eq(out.received, in.received) && !out.proof.p && !out.last.p);
    arena_free(a);
}

TEST(answers_and_receipts_of_any_length)
{
    struct arena *a = arena_new((size_t)4 << 20);
    uint8_t bytes[300];
    struct evidence out;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (size_t n = 1; n <= sizeof bytes; n++) {
        struct evidence in = {.what = "w", .known = n % 2 ? span_str(note) : SPAN_NONE, .answer = span_of(bytes, n)};
        CHECK_EQ_INT(read_back(a, evidence_text(a, "ledger.example/a", "s", &in), &out), LEDGER_OK);
        CHECK(span_eq(out.answer, in.answer) && span_eq(out.known, in.known) && !out.received.p && !out.receipt.p);
        in = (struct evidence){.what = "w", .receipt = span_of(bytes, n)};
        CHECK_EQ_INT(read_back(a, evidence_text(a, "ledger.example/a", "s", &in), &out), LEDGER_OK);
        CHECK(span_eq(out.receipt, in.receipt) && !out.answer.p && !out.known.p);
    }
    arena_free(a);
}

/* Cut anywhere, a file is read as one that has less in it, or is refused: never as something else, and never beyond its end. */
TEST(cut_and_damaged_files)
{
    struct arena *a = arena_new((size_t)16 << 20);
    struct evidence out;
    struct evidence in = {.what = "w", .known = span_str(note), .received = span_str(other), .proof = span_str("01234567890123456789012345678901")};
    struct span text = evidence_text(a, "ledger.example/a", "s", &in);
    for (size_t n = 0; n < text.n; n++) {
        uint8_t *copy = malloc(n + 1); /* of its own, so that a sanitizer sees its end */
        CHECK(copy != NULL);
        memcpy(copy, text.p, n);
        if (read_back(a, span_of(copy, n), &out) == LEDGER_OK && out.received.p)
            CHECK(span_eq(out.known, in.known));
        free(copy);
    }
    CHECK_EQ_INT(read_back(a, SPAN_LIT("ledgerd evidence v2\norigin: a\nwhat: b\n"), &out), LEDGER_EINVAL);
    CHECK_EQ_INT(read_back(a, SPAN_LIT(EVIDENCE_HEAD "origin: ledger.example/a\nwhat: w\n\n==== answer, base64 ====\nAA=A\n"), &out), LEDGER_EINVAL);
    CHECK_EQ_INT(read_back(a, SPAN_LIT(EVIDENCE_HEAD "origin: ledger.example/a\nwhat: w\n\n==== checkpoint that does not continue it ====\nx\n"), &out),
                 LEDGER_EINVAL);
    CHECK_EQ_INT(read_back(a, SPAN_LIT(EVIDENCE_HEAD "origin: ledger.example/a\nwhat: w\n\n==== checkpoint that was verified before ====\nx\n"), &out),
                 LEDGER_EINVAL);
    CHECK_EQ_INT(read_back(a, SPAN_LIT(EVIDENCE_HEAD "origin: ledger.example/a\nwhat: w\n"), &out), LEDGER_EINVAL);
    CHECK_EQ_INT(read_back(a, SPAN_LIT(EVIDENCE_HEAD "origin: ledger.example/a\nwhat: w\n\n==== checkpoint that does not continue it ====\nx\n"
                                                     "\n==== latest checkpoint that was verified ====\ny\n"), &out), LEDGER_EINVAL);
    arena_free(a);
}

TEST_MAIN(TEST_ENTRY(two_checkpoints), TEST_ENTRY(answers_and_receipts_of_any_length), TEST_ENTRY(cut_and_damaged_files))
