/* SPDX-License-Identifier: Apache-2.0 */
/* What a witness decides: the reference example, each answer of the protocol, altered submissions, records, policies. */
#include "witness.h"

#include "check.h"

/* Log seed 00..1f, witness seed 20..3f, time 1700000000: the tree of eight leaves, from size 3. */
#define LOG_KEY "ledger.example/cpc-a+0503a96b+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
#define WITNESS_KEY "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
#define OTHER_KEY "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
#define CP_TEXT "ledger.example/cpc-a\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
#define LOG_LINE                                                                                                                          \
    "\xe2\x80\x94 ledger.example/cpc-a BQOpa3PkCfG/OLmTtLZlxglsFowDGTJua0wjLzdaFqxbIOGoYMSpDjrvjLJfMxqGst0mVWT+IZZ9b1cXhgaajORiFAY=\n"
#define WITNESS_LINE                                                                                                                      \
    "\xe2\x80\x94 witness.example/w1 "                                                                                                    \
    "IDJKvgAAAABlU/EAi4FlZFhmjhzCrrrbkpgsyKjJdWtQCGZM91zt2snyJVnuMDqh7IVMwGBa4VIxq8ilGYvN/FCmgyW90FNAlIuwCA==\n"
#define PROOF                                                                                                                             \
    "ApjRIpBtz8EIkstTpzmS/FufST6kybrbJ7eRtBJ6f+c=\nB1Bqhf2d0vEg62lPhgEeW7RmLlxBWmKRcDPUqWJEh+c=\n"                                        \
    "+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU=\na0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=\n"
#define NOTE CP_TEXT "\n" LOG_LINE
#define BODY "old 3\n" PROOF "\n" NOTE
#define ROOT_3 "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
#define ROOT_8 "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"

struct world {
    struct crypto *c;
    struct arena *a;
    struct note_key log, witness;
    struct secret_key log_secret, secret;
    struct witness_record at_3;
};

static struct world setup(void)
{
    struct world w = {.c = crypto_new(), .a = arena_new(4 << 20)};
    uint8_t seeds[64];
    CHECK(w.c && w.a);
    for (uint8_t i = 0; i < sizeof seeds; i++)
        seeds[i] = i;
    CHECK_EQ_INT(note_key_parse(w.c, SPAN_LIT(LOG_KEY), &w.log, NULL), LEDGER_OK);
    CHECK_EQ_INT(note_key_parse(w.c, SPAN_LIT(WITNESS_KEY), &w.witness, NULL), LEDGER_OK);
    CHECK(crypto_secret_from_seed(w.c, SIG_ED25519, seeds, &w.log_secret));
    CHECK(crypto_secret_from_seed(w.c, SIG_ED25519, seeds + 32, &w.secret));
    w.at_3 = (struct witness_record){.present = true, .size = 3};
    CHECK(hex_decode(SPAN_LIT(ROOT_3), w.at_3.root.b));
    return w;
}

static void teardown(struct world *w)
{
    arena_free(w->a);
    crypto_free(w->c);
}

static enum witness_status decide(struct world *w, struct span body, const struct witness_record *record, struct witness_decision *d)
{
    struct witness_submission s;
    struct ledger_err err = {0};
    arena_reset(w->a);
    *d = (struct witness_decision){.status = WITNESS_MALFORMED};
    if (witness_submission_parse(w->a, body, &s, &err) == LEDGER_OK)
        witness_decide(w->c, w->a, &s, &w->log, 1, record, d);
    return d->status;
}

/* A note of the log over any text. */
static const char *submission(struct world *w, const char *head, const char *text, bool with_signature)
{
    static char out[4096];
    struct arena *a = arena_new(1 << 20);
    struct wbuf b;
    wbuf_init(&b, a);
    note_sign_line(w->c, &w->log, &w->log_secret, span_str(text), &b);
    CHECK(!b.failed);
    snprintf(out, sizeof out, "%s\n%s\n%.*s", head, text, with_signature ? (int)b.n : 0, (const char *)b.p);
    arena_free(a);
    return out;
}

TEST(the_reference_example)
{
    struct world w = setup();
    struct witness_submission s;
    struct witness_decision d;
    struct witness_record kept, read;
    struct span line;
    CHECK_EQ_INT(witness_submission_parse(w.a, SPAN_LIT(BODY), &s, NULL), LEDGER_OK);
    CHECK_EQ_INT(s.old, 3);
    CHECK_EQ_INT(s.n, 4);
    witness_decide(w.c, w.a, &s, &w.log, 1, &w.at_3, &d);
    CHECK_EQ_INT(d.status, WITNESS_COSIGN);
    CHECK_EQ_INT(d.signers, 1);
    CHECK(witness_cosign(w.c, w.a, &s, &w.log, &d, &w.at_3, &w.witness, &w.secret, 1700000000, &kept, &line));
    CHECK(span_eq(line, SPAN_LIT(WITNESS_LINE)));
    CHECK(span_eq(kept.note, SPAN_LIT(NOTE WITNESS_LINE)));
    CHECK_EQ_INT(witness_record_parse(w.c, w.a, &w.witness, SPAN_LIT("ledger.example/cpc-a"), kept.note, &read, NULL), LEDGER_OK);
    CHECK_EQ_INT(read.size, 8);
    CHECK_EQ_INT(read.time_s, 1700000000);
    CHECK(hash_eq(&read.root, &kept.root));
    /* Not with another's secret, and not before the record's time. */
    struct witness_record late = w.at_3;
    late.time_s = 1700000005;
    CHECK(!witness_cosign(w.c, w.a, &s, &w.log, &d, &w.at_3, &w.witness, &w.log_secret, 1700000000, &kept, &line));
    CHECK(witness_cosign(w.c, w.a, &s, &w.log, &d, &late, &w.witness, &w.secret, 1700000000, &kept, &line));
    CHECK_EQ_INT(kept.time_s, 1700000005);
    teardown(&w);
}

/* Whatever was submitted: the witness reads it at its next start. */
TEST(what_is_kept_can_be_read_again)
{
    struct world w = setup();
    const struct witness_record none = {.present = false};
    struct witness_record kept, read;
    struct witness_submission s;
    struct witness_decision d;
    struct span line;
    struct wbuf b;
    wbuf_init(&b, w.a);
    wbuf_bytes(&b, "old 0\n\n" CP_TEXT "\n", strlen("old 0\n\n" CP_TEXT "\n"));
    for (int i = 0; i < NOTE_SIGS_MAX; i++)
        wbuf_bytes(&b, LOG_LINE, strlen(LOG_LINE));
    CHECK_EQ_INT(witness_submission_parse(w.a, wbuf_span(&b), &s, NULL), LEDGER_OK);
    witness_decide(w.c, w.a, &s, &w.log, 1, &none, &d);
    CHECK_EQ_INT(d.status, WITNESS_COSIGN);
    CHECK(witness_cosign(w.c, w.a, &s, &w.log, &d, &none, &w.witness, &w.secret, 1700000000, &kept, &line));
    CHECK(span_eq(kept.note, SPAN_LIT(NOTE WITNESS_LINE)));
    CHECK_EQ_INT(witness_record_parse(w.c, w.a, &w.witness, SPAN_LIT("ledger.example/cpc-a"), kept.note, &read, NULL), LEDGER_OK);
    teardown(&w);
}

TEST(a_note_that_leaves_no_room_is_not_cosigned)
{
    struct world w = setup();
    const struct witness_record none = {.present = false};
    struct witness_record kept, read;
    struct witness_submission s;
    struct witness_decision d;
    struct span line;
    unsigned cosigned = 0, refused = 0;
    for (size_t n = NOTE_SIZE_MAX - 1500; n < NOTE_SIZE_MAX - 200; n += 7) {
        struct arena_mark mark = arena_mark(w.a);
        struct wbuf text, b;
        wbuf_init(&text, w.a);
        wbuf_bytes(&text, CP_TEXT, strlen(CP_TEXT));
        for (size_t i = 0; i < n; i++)
            wbuf_u8(&text, 'x');
        wbuf_u8(&text, '\n');
        struct span t = wbuf_span(&text);
        wbuf_init(&b, w.a);
        wbuf_bytes(&b, "old 0\n\n", 7);
        wbuf_bytes(&b, t.p, t.n);
        wbuf_u8(&b, '\n');
        note_sign_line(w.c, &w.log, &w.log_secret, t, &b);
        if (witness_submission_parse(w.a, wbuf_span(&b), &s, NULL) == LEDGER_OK) {
            witness_decide(w.c, w.a, &s, &w.log, 1, &none, &d);
            CHECK(d.status == WITNESS_COSIGN || d.status == WITNESS_MALFORMED);
            cosigned += d.status == WITNESS_COSIGN;
            refused += d.status == WITNESS_MALFORMED;
            if (d.status == WITNESS_COSIGN) {
                CHECK(witness_cosign(w.c, w.a, &s, &w.log, &d, &none, &w.witness, &w.secret, 1700000000, &kept, &line));
                CHECK_EQ_INT(witness_record_parse(w.c, w.a, &w.witness, s.cp.origin, kept.note, &read, NULL), LEDGER_OK);
            }
        }
        arena_release(w.a, mark);
    }
    CHECK(cosigned && refused);
    teardown(&w);
}

TEST(each_answer)
{
    struct world w = setup();
    struct witness_decision d;
    const struct witness_record none = {.present = false};
    struct witness_record at_8 = {.present = true, .size = 8}, forked = {.present = true, .size = 8};
    CHECK(hex_decode(SPAN_LIT(ROOT_8), at_8.root.b));
    CHECK_EQ_INT(decide(&w, SPAN_LIT(BODY), &none, &d), WITNESS_CONFLICT);
    CHECK_EQ_INT(decide(&w, SPAN_LIT(BODY), &at_8, &d), WITNESS_CONFLICT);
    CHECK(!d.fork);
    CHECK_EQ_INT(decide(&w, SPAN_LIT("old 0\n\n" NOTE), &none, &d), WITNESS_COSIGN);
    CHECK_EQ_INT(decide(&w, SPAN_LIT("old 0\n" PROOF "\n" NOTE), &none, &d), WITNESS_INCONSISTENT);
    CHECK_EQ_INT(decide(&w, SPAN_LIT("old 3\n\n" NOTE), &w.at_3, &d), WITNESS_INCONSISTENT);
    CHECK_EQ_INT(decide(&w, SPAN_LIT("old 8\n\n" NOTE), &at_8, &d), WITNESS_COSIGN);
    CHECK_EQ_INT(decide(&w, SPAN_LIT("old 8\n" PROOF "\n" NOTE), &at_8, &d), WITNESS_INCONSISTENT);
    CHECK_EQ_INT(decide(&w, SPAN_LIT("old 9\n\n" NOTE), &at_8, &d), WITNESS_MALFORMED);
    /* Two trees of one size are proof, whatever old size they come with. */
    CHECK_EQ_INT(decide(&w, SPAN_LIT("old 8\n\n" NOTE), &forked, &d), WITNESS_INCONSISTENT);
    CHECK(d.fork);
    CHECK_EQ_INT(decide(&w, SPAN_LIT(BODY), &forked, &d), WITNESS_CONFLICT);
    CHECK(d.fork);
    /* Who is not the log makes no fork of it. */
    CHECK_EQ_INT(decide(&w, SPAN_LIT("old 8\n\n" CP_TEXT "\n" WITNESS_LINE), &forked, &d), WITNESS_UNSIGNED);
    CHECK(!d.fork);
    teardown(&w);
}

TEST(empty_trees)
{
    struct world w = setup();
    struct witness_decision d;
    const struct witness_record none = {.present = false};
    const char *right = "ledger.example/cpc-a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
               *wrong = "ledger.example/cpc-a\n0\n57DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    CHECK_EQ_INT(decide(&w, span_str(submission(&w, "old 0\n", right, true)), &none, &d), WITNESS_COSIGN);
    CHECK_EQ_INT(decide(&w, span_str(submission(&w, "old 0\n", wrong, true)), &none, &d), WITNESS_INCONSISTENT);
    CHECK_EQ_INT(decide(&w, span_str(submission(&w, "old 0\n", right, false)), &none, &d), WITNESS_MALFORMED);
    CHECK_EQ_INT(decide(&w, span_str(submission(&w, "old 3\n", right, true)), &w.at_3, &d), WITNESS_MALFORMED);
    teardown(&w);
}

/* Every byte of the example changed in every bit: what is still cosigned is the very checkpoint that the log has signed. */
TEST(altered_submissions)
{
    struct world w = setup();
    struct witness_decision d;
    uint8_t body[sizeof BODY - 1];
    unsigned cosigned = 0;
    for (size_t i = 0; i < sizeof body; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(body, BODY, sizeof body);
            body[i] ^= (uint8_t)(1u << bit);
            cosigned += decide(&w, span_of(body, sizeof body), &w.at_3, &d) == WITNESS_COSIGN;
        }
        CHECK(decide(&w, span_of(BODY, i), &w.at_3, &d) == WITNESS_MALFORMED);
    }
    CHECK_EQ_INT(cosigned, 0);
    teardown(&w);
}

TEST(records)
{
    struct world w = setup();
    struct witness_record r;
    struct ledger_err err = {0};
    static const char good[] = NOTE WITNESS_LINE;
    const struct span origin = SPAN_LIT("ledger.example/cpc-a");
    CHECK_EQ_INT(witness_record_parse(w.c, w.a, &w.witness, origin, SPAN_LIT(good), &r, &err), LEDGER_OK);
    CHECK_EQ_INT(witness_record_parse(w.c, w.a, &w.witness, SPAN_LIT("ledger.example/cpc-b"), SPAN_LIT(good), &r, &err), LEDGER_EINVAL);
    CHECK_EQ_INT(witness_record_parse(w.c, w.a, &w.witness, origin, SPAN_LIT(NOTE), &r, &err), LEDGER_EINVAL);
    CHECK_EQ_INT(witness_record_parse(w.c, w.a, &w.witness, origin, span_of(good, 0), &r, &err), LEDGER_EINVAL);
    /* A log whose key has left the policy: its record still counts. */
    CHECK_EQ_INT(witness_record_parse(w.c, w.a, &w.witness, origin, SPAN_LIT(CP_TEXT "\n" WITNESS_LINE), &r, &err), LEDGER_OK);
    for (size_t i = 0; i < sizeof CP_TEXT - 1; i++) {
        uint8_t bad[sizeof good - 1];
        memcpy(bad, good, sizeof bad);
        bad[i] ^= 1;
        arena_reset(w.a);
        CHECK(witness_record_parse(w.c, w.a, &w.witness, origin, span_of(bad, sizeof bad), &r, &err) != LEDGER_OK);
    }
    teardown(&w);
}

TEST(policies)
{
    struct world w = setup();
    struct witness_logs logs;
    struct ledger_err err = {0};
    CHECK_EQ_INT(witness_logs_parse(w.c, w.a, SPAN_LIT("# logs\n\nlog " OTHER_KEY " https://x\n\tlog  " LOG_KEY "\nquorum none"), &logs, &err),
                 LEDGER_OK);
    CHECK_EQ_INT(logs.n, 2);
    CHECK(witness_logs_find(&logs, SPAN_LIT("ledger.example/cpc-a")) == &logs.origins[1]);
    CHECK(witness_logs_find(&logs, SPAN_LIT("example.com/foo")) == &logs.origins[0]);
    CHECK(!witness_logs_find(&logs, SPAN_LIT("example.com/fop")));
    CHECK(!witness_logs_find(&logs, SPAN_LIT("")));
    const struct { const char *text, *says; } bad[] = {
        {"log " LOG_KEY "\nlog " LOG_KEY "\n", "twice"},
        {"log " WITNESS_KEY "\n", "line 1: this is the key of a witness"},
        {"\nwitness w " WITNESS_KEY "\n", "line 2"},
        {"quorum all\n", "line 1"},
        {"log\n", "line 1: a log line is"},
        {"log " LOG_KEY " https://x y\n", "line 1: a log line is"},
        {"log ledger.example/cpc-a+0503a96c+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4\n", "key id"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ_INT(witness_logs_parse(w.c, w.a, span_str(bad[i].text), &logs, &err), LEDGER_EINVAL);
        CHECK(strstr(err.msg, bad[i].says) != NULL);
    }
    teardown(&w);
}

/* 300 logs, some with several keys: more than a policy of a verifier may have. */
TEST(many_logs)
{
    struct world w = setup();
    struct witness_logs logs;
    struct wbuf text;
    struct arena *a = arena_new(1 << 20);
    wbuf_init(&text, a);
    for (unsigned i = 0; i < 300; i++) {
        struct secret_key secret;
        struct note_key key;
        uint8_t seed[32] = {(uint8_t)i, (uint8_t)(i >> 8)};
        char name[32], line[NOTE_NAME_MAX + 200];
        snprintf(name, sizeof name, "log.example/%u", i % 200);
        CHECK(crypto_secret_from_seed(w.c, SIG_ED25519, seed, &secret));
        CHECK(note_key_make(w.c, name, NOTE_ED25519, span_of(secret.pub, 32), &key));
        wbuf_bytes(&text, "log ", 4);
        wbuf_bytes(&text, line, note_key_format(&key, line));
        wbuf_u8(&text, '\n');
    }
    CHECK_EQ_INT(witness_logs_parse(w.c, w.a, wbuf_span(&text), &logs, NULL), LEDGER_OK);
    CHECK_EQ_INT(logs.n, 200);
    for (unsigned i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof name, "log.example/%u", i);
        const struct witness_origin *o = witness_logs_find(&logs, span_str(name));
        CHECK(o && o->n_keys == (i < 100 ? 2 : 1) && strcmp(o->keys[0].name, name) == 0);
    }
    arena_free(a);
    teardown(&w);
}

TEST_MAIN(TEST_ENTRY(the_reference_example), TEST_ENTRY(what_is_kept_can_be_read_again),
          TEST_ENTRY(a_note_that_leaves_no_room_is_not_cosigned), TEST_ENTRY(each_answer), TEST_ENTRY(empty_trees), TEST_ENTRY(altered_submissions), TEST_ENTRY(records), TEST_ENTRY(policies), TEST_ENTRY(many_logs))
