/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trust policies: what the format refuses, and what checkpoints are worth under nested quorums.
 *
 * In the texts below "@Ln" stands for the vkey of log n, "@Wn" for that of witness n, whose seeds
 * are n and 100 + n. "@Xn" is witness n's public key under another name, "@Yn" log n's.
 */
#include "note.h"

#include "check.h"

#include <stdarg.h>

enum { KEYS = 40, TEXT_MAX = 32768 };

struct fixture {
    struct crypto *c;
    struct arena *a;
    struct policy p;
    struct ledger_err err;
    char text[TEXT_MAX];
};

static void make(struct crypto *c, char kind, unsigned n, struct note_key *k, struct secret_key *s)
{
    bool witness = kind == 'W' || kind == 'X';
    uint8_t seed[32] = {(uint8_t)(witness ? 100 + n : n)};
    char name[64];
    snprintf(name, sizeof name, "%s.example/%u%s", witness ? "witness" : "log", n,
             kind == 'X' || kind == 'Y' ? "b" : "");
    CHECK(crypto_secret_from_seed(c, SIG_ED25519, seed, s));
    CHECK(note_key_make(c, name, witness ? NOTE_COSIGNATURE_V1 : NOTE_ED25519, span_of(s->pub, 32),
                        k));
}

static struct fixture *setup(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    CHECK(f && (f->c = crypto_new()) && (f->a = arena_new(1 << 20)));
    return f;
}

static void teardown(struct fixture *f)
{
    arena_free(f->a);
    crypto_free(f->c);
    free(f);
}

static struct span expand(struct fixture *f, const char *text)
{
    size_t n = 0;
    while (*text) {
        CHECK(n + 600 < TEXT_MAX);
        if (*text != '@') {
            f->text[n++] = *text++;
            continue;
        }
        struct note_key k;
        struct secret_key s;
        char *end;
        unsigned i = (unsigned)strtoul(text + 2, &end, 10);
        make(f->c, text[1], i, &k, &s);
        n += note_key_format(&k, f->text + n);
        text = end;
    }
    return span_of(f->text, n);
}

static enum ledger_rc parse(struct fixture *f, const char *text)
{
    f->err = (struct ledger_err){.rc = LEDGER_OK};
    return policy_parse(f->c, expand(f, text), &f->p, &f->err);
}

/* The example of C2SP's text, with keys. */
#define EXAMPLE                                                                                    \
    "# Two operators\n"                                                                            \
    "log @L0\n"                                                                                    \
    "\n"                                                                                           \
    "witness X1 @W1\nwitness X2 @W2 https://x2.example/\n\twitness  X3\t@W3 \n"                    \
    "group X-witnesses 2 X1 X2 X3\n"                                                               \
    "  # Another\n \t \n"                                                                          \
    "witness Y1 @W4\nwitness Y2 @W5\nwitness Y3 @W6\n"                                             \
    "group Y-witnesses any Y1 Y2 Y3\n"                                                             \
    "group X-and-Y all X-witnesses Y-witnesses\n"                                                  \
    "quorum X-and-Y\n"                                                                             \
    "log @L1 https://log.example/\n"

TEST(example)
{
    struct fixture *f = setup();
    struct policy *p = &f->p;
    CHECK_EQ_INT(parse(f, EXAMPLE), LEDGER_OK);
    CHECK(p->n_logs == 2 && p->n_witnesses == 6 && p->n_groups == 3);
    CHECK_EQ_STR(p->logs[1].name, "log.example/1");
    CHECK_EQ_STR(p->log_urls[0], "");
    CHECK_EQ_STR(p->log_urls[1], "https://log.example/");
    CHECK_EQ_STR(p->witness_names[2], "X3");
    CHECK_EQ_STR(p->witnesses[2].name, "witness.example/3");
    CHECK_EQ_STR(p->witness_urls[1], "https://x2.example/");
    CHECK(p->groups[0].k == 2 && p->groups[0].n == 3 && p->groups[1].k == 1 && p->groups[1].n == 3);
    CHECK(p->groups[2].k == 2 && p->groups[2].n == 2 && p->groups[2].members[1].is_group);
    CHECK_EQ_INT(p->groups[2].members[1].index, 1);
    CHECK(p->quorum.is_group && p->quorum.index == 2 && !p->quorum_none && p->auditors == -1);
    teardown(f);
}

TEST(accepted)
{
    static const char *const good[] = {
        "quorum none\n", "quorum none", "log @L0\nquorum none\n", "\tquorum\t none \n\n\n#\n",
        "witness a @W0\nquorum a\n", "witness all @W0\ngroup any all all\nquorum any\n",
        "witness \xc3\xa9\xff @W0 \xf0\nquorum \xc3\xa9\xff\n# \x80\n",
        /* One key as a log's and as a witness's is no duplicate. */
        "log @L1\nwitness a @W0\ngroup g 1 a\nquorum a\n",
        "witness a @W0\nwitness A @W1\ngroup g 1 a A\nquorum none\n"};
    struct fixture *f = setup();
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        enum ledger_rc rc = parse(f, good[i]);
        if (rc)
            fprintf(stderr, "%s: %s\n", good[i], f->err.msg);
        CHECK_EQ_INT(rc, LEDGER_OK);
    }
    teardown(f);
}

static const struct {
    unsigned line;
    const char *text;
} REFUSED[] = {
    /* The quorum: missing, twice, unknown, defined below, several names. */
    {0, ""},
    {1, "log @L0\n"},
    {2, "quorum none\nquorum none\n"},
    {1, "quorum a\nwitness a @W0\n"},
    {2, "witness a @W0\nquorum b\n"},
    {2, "witness a @W0\nquorum A\n"},
    {1, "quorum\n"},
    {1, "quorum none none\n"},
    {2, "witness a @W0\nquorum a # why\n"},
    {1, "Quorum none\n"},
    /* Logs. */
    {1, "log\nquorum none\n"},
    {1, "log @L0 url more\nquorum none\n"},
    {1, "log @W0\nquorum none\n"},
    {1, "log nonsense\nquorum none\n"},
    {2, "log @L0\nlog @L0\nquorum none\n"},
    {3, "log @L0\nlog @L1\nlog @Y0\nquorum none\n"},
    {1, "log name @L0\nquorum none\n"},
    /* Witnesses. */
    {1, "witness\nquorum none\n"},
    {1, "witness a\nquorum none\n"},
    {1, "witness @W0\nquorum none\n"},
    {1, "witness a @L0\nquorum none\n"},
    {1, "witness a @W0 url more\nquorum none\n"},
    {2, "witness a @W0\nwitness a @W1\nquorum none\n"},
    {2, "witness a @W0\nwitness b @W0\nquorum none\n"},
    {2, "witness a @W0\nwitness b @X0\nquorum none\n"},
    {1, "witness none @W0\nquorum none\n"},
    /* Groups: form, names, members. */
    {2, "witness a @W0\ngroup g\nquorum none\n"},
    {2, "witness a @W0\ngroup g all\nquorum none\n"},
    {2, "witness a @W0\ngroup none all a\nquorum none\n"},
    {2, "witness a @W0\ngroup a all a\nquorum none\n"},
    {3, "witness a @W0\ngroup g all a\nwitness g @W1\nquorum none\n"},
    {4, "witness a @W0\nwitness b @W1\ngroup g all a\ngroup g all b\nquorum none\n"},
    {2, "witness a @W0\ngroup g all b\nquorum none\n"},
    {2, "witness a @W0\ngroup g all g\nquorum none\n"},
    {2, "witness a @W0\ngroup g all a none\nquorum none\n"},
    {2, "witness a @W0\ngroup g all a b\nwitness b @W1\nquorum none\n"},
    {2, "witness a @W0\ngroup g any h a\ngroup h any g\nquorum none\n"},
    {2, "witness a @W0\ngroup g any a a\nquorum none\n"},
    {3, "witness a @W0\ngroup g any a\ngroup h any a\nquorum none\n"},
    {4, "witness a @W0\ngroup g any a\ngroup h any g\ngroup i any g\nquorum none\n"},
    /* Thresholds. */
    {2, "witness a @W0\ngroup g 0 a\nquorum none\n"},
    {2, "witness a @W0\ngroup g 2 a\nquorum none\n"},
    {2, "witness a @W0\ngroup g 01 a\nquorum none\n"},
    {2, "witness a @W0\ngroup g +1 a\nquorum none\n"},
    {2, "witness a @W0\ngroup g -1 a\nquorum none\n"},
    {2, "witness a @W0\ngroup g 1x a\nquorum none\n"},
    {2, "witness a @W0\ngroup g ALL a\nquorum none\n"},
    {2, "witness a @W0\ngroup g 4294967297 a\nquorum none\n"},
    {2, "witness a @W0\ngroup g a\nquorum none\n"},
    /* Octets, words. */
    {1, "quorum none\r\n"},
    {2, "quorum none\n#\x01\n"},
    {2, "quorum none\n#\x7f\n"},
    {2, "quorum none\n\v\n"},
    {2, "quorum none\n\f\n"},
    {1, "quorum\xc2\xa0none\n"},
    {1, "policy\n"},
    {2, "quorum none\nlogs @L0\n"}};

TEST(refused)
{
    struct fixture *f = setup();
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        char want[32];
        snprintf(want, sizeof want, "line %u: ", REFUSED[i].line);
        enum ledger_rc rc = parse(f, REFUSED[i].text);
        bool named = strncmp(f->err.msg, want, strlen(want)) == 0;
        if (rc != LEDGER_EINVAL || !named)
            fprintf(stderr, "%s: %d %s\n", REFUSED[i].text, rc, f->err.msg);
        CHECK_EQ_INT(rc, LEDGER_EINVAL);
        CHECK(named);
        CHECK_EQ_INT(policy_parse(f->c, expand(f, REFUSED[i].text), &f->p, NULL), LEDGER_EINVAL);
    }
    CHECK_EQ_INT(policy_parse(f->c, SPAN_LIT("quorum none\n#\0\n"), &f->p, &f->err), LEDGER_EINVAL);
    CHECK(strncmp(f->err.msg, "line 2: ", 8) == 0);
    teardown(f);
}

static size_t LEDGER_PRINTF(3, 4) put(char *out, size_t at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out + at, TEXT_MAX - at, fmt, ap);
    va_end(ap);
    CHECK(n > 0 && at + (size_t)n < TEXT_MAX);
    return at + (size_t)n;
}

/* 32 of each are accepted, a 33rd is not. */
TEST(limits)
{
    struct fixture *f = setup();
    static char text[TEXT_MAX];
    for (unsigned extra = 0; extra < 4; extra++) {
        unsigned logs = 32 + (extra == 1), witnesses = 32 + (extra == 2),
                 groups = 32 + (extra == 3);
        size_t n = 0;
        for (unsigned i = 0; i < logs; i++)
            n = put(text, n, "log @L%u\n#%u\n", i, i);
        for (unsigned i = 0; i < witnesses; i++)
            n = put(text, n, "witness w%u @W%u\n", i, i);
        n = put(text, n, "group g0 all w0");
        for (unsigned i = 1; i < 32; i++)
            n = put(text, n, " w%u", i);
        for (unsigned i = 1; i < groups; i++)
            n = put(text, n, "\ngroup g%u 1 g%u", i, i - 1);
        n = put(text, n, "\nquorum g%u\n", groups - 1);
        CHECK_EQ_INT(parse(f, text), extra ? LEDGER_ELIMIT : LEDGER_OK);
        CHECK(extra || (f->p.groups[0].k == 32 && f->p.groups[31].k == 1));
    }
    char name[80];
    for (unsigned len = 63; len <= 64; len++) {
        memset(name, 'n', len);
        name[len] = '\0';
        snprintf(text, sizeof text, "witness %s @W0\nquorum %s\n", name, name);
        CHECK_EQ_INT(parse(f, text), len == 63 ? LEDGER_OK : LEDGER_ELIMIT);
        snprintf(text, sizeof text, "witness a @W0\ngroup %s all a\nquorum a\n", name);
        CHECK_EQ_INT(parse(f, text), len == 63 ? LEDGER_OK : LEDGER_ELIMIT);
    }
    static char url[257];
    for (unsigned len = 255; len <= 256; len++) {
        memset(url, 'u', len);
        snprintf(text, sizeof text, "log @L0 %s\nwitness a @W0\nquorum a\n", url);
        CHECK_EQ_INT(parse(f, text), len == 255 ? LEDGER_OK : LEDGER_ELIMIT);
        snprintf(text, sizeof text, "log @L0\nwitness a @W0 %s\nquorum a\n", url);
        CHECK_EQ_INT(parse(f, text), len == 255 ? LEDGER_OK : LEDGER_ELIMIT);
    }
    teardown(f);
}

TEST(auditors)
{
    struct fixture *f = setup();
    CHECK_EQ_INT(
        parse(f, "witness a @W0\ngroup g all a\nwitness b @W1\ngroup auditors any b\nquorum g\n"),
        LEDGER_OK);
    CHECK_EQ_INT(f->p.auditors, 1);
    CHECK_EQ_INT(parse(f, "witness a @W0\nwitness b @W1\nwitness auditors @W2\nquorum a\n"),
                 LEDGER_OK);
    CHECK_EQ_INT(f->p.auditors, -4);
    CHECK_EQ_INT(parse(f, "witness auditors2 @W2\nquorum none\n"), LEDGER_OK);
    CHECK_EQ_INT(f->p.auditors, -1);
    teardown(f);
}

/* A checkpoint of "log.example/<origin>", signed by log `signer`, cosigned by witness i at
 * times[i], unless that is 0. Lives until the arena's next reset. */
static struct span checkpoint(struct fixture *f, unsigned origin, int signer, const uint64_t *times)
{
    struct note_key k;
    struct secret_key s;
    struct wbuf text, w;
    char name[64];
    struct checkpoint cp = {.size = 8};
    snprintf(name, sizeof name, "log.example/%u", origin);
    cp.origin = span_str(name);
    wbuf_init(&text, f->a);
    checkpoint_text(&cp, &text);
    wbuf_init(&w, f->a);
    wbuf_bytes(&w, text.p, text.n);
    wbuf_u8(&w, '\n');
    if (signer >= 0) {
        make(f->c, 'L', (unsigned)signer, &k, &s);
        note_sign_line(f->c, &k, &s, wbuf_span(&text), &w);
    }
    for (unsigned i = 0; i < 8; i++) {
        if (!times[i])
            continue;
        make(f->c, 'W', i, &k, &s);
        note_cosign_line(f->c, &k, &s, times[i], wbuf_span(&text), &w);
    }
    CHECK(!w.failed);
    return wbuf_span(&w);
}

static struct policy_verdict judged(struct fixture *f, unsigned origin, int signer,
                                    const uint64_t *times)
{
    struct policy_verdict v;
    struct checkpoint cp;
    arena_reset(f->a);
    CHECK(policy_check(f->c, f->a, &f->p, checkpoint(f, origin, signer, times), &cp, &v, NULL));
    CHECK_EQ_INT(cp.size, 8);
    return v;
}

/* What a group's threshold means, by trying: the newest t for which those who signed at t or later
 * are enough. Spelled out for the example's groups. */
static bool example_quorum(const uint64_t *times, uint64_t t)
{
    int x = (times[1] >= t) + (times[2] >= t) + (times[3] >= t);
    int y = (times[4] >= t) + (times[5] >= t) + (times[6] >= t);
    return x >= 2 && y >= 1;
}

TEST(every_subset_of_witnesses)
{
    struct fixture *f = setup();
    CHECK_EQ_INT(parse(f, EXAMPLE), LEDGER_OK);
    size_t met = 0;
    for (unsigned set = 0; set < 64; set++) {
        uint64_t times[8] = {0};
        for (unsigned i = 0; i < 6; i++)
            times[i + 1] = set >> i & 1 ? 1700000000 + (set * 7 + i * 5) % 11 : 0;
        struct policy_verdict v = judged(f, 0, 0, times);
        CHECK(v.log_signed && v.log == 0 && !v.auditors_signed);
        CHECK(v.quorum_met == example_quorum(times, 1));
        uint64_t newest = 0;
        for (uint64_t t = 1700000000; t < 1700000011; t++)
            if (example_quorum(times, t))
                newest = t;
        CHECK_EQ_INT(v.cosigned_at, newest);
        uint64_t seen = 0;
        for (unsigned i = 0; i < 6; i++)
            seen = times[i + 1] > seen ? times[i + 1] : seen;
        CHECK_EQ_INT(v.witnesses, set);
        CHECK_EQ_INT(v.seen_at, seen);
        met += v.quorum_met;
    }
    CHECK_EQ_INT(met, 4 * 7);
    teardown(f);
}

TEST(logs_and_origins)
{
    static const uint64_t none[8];
    struct fixture *f = setup();
    CHECK_EQ_INT(parse(f, "log @L3\nlog @L1\nquorum none\n"), LEDGER_OK);
    struct policy_verdict v = judged(f, 1, 1, none);
    CHECK(v.log_signed && v.log == 1 && v.quorum_met && v.cosigned_at == 0);
    v = judged(f, 3, 3, none);
    CHECK(v.log_signed && v.log == 0);
    v = judged(f, 3, 1, none); /* a known log, but not this origin's */
    CHECK(!v.log_signed);
    v = judged(f, 2, 2, none); /* not in the policy */
    CHECK(!v.log_signed && v.quorum_met);
    CHECK_EQ_INT(parse(f, "witness a @W2\nwitness auditors @W3\nquorum a\n"), LEDGER_OK);
    v = judged(f, 2, -1, (const uint64_t[8]){0, 0, 5});
    CHECK(!v.log_signed && v.quorum_met && v.cosigned_at == 5 && !v.auditors_signed);
    v = judged(f, 2, 2, (const uint64_t[8]){0, 0, 0, 6});
    CHECK(!v.log_signed && !v.quorum_met && v.cosigned_at == 0 && v.auditors_signed);
    teardown(f);
}

TEST(auditors_are_their_own_question)
{
    static const char text[] = "log @L0\nwitness w1 @W1\nwitness w2 @W2\nwitness w3 @W3\n"
                               "group plain any w1 w2\ngroup auditors all w3 plain\nquorum w1\n";
    struct fixture *f = setup();
    CHECK_EQ_INT(parse(f, text), LEDGER_OK);
    struct policy_verdict v = judged(f, 0, 0, (const uint64_t[8]){0, 9});
    CHECK(v.quorum_met && v.cosigned_at == 9 && !v.auditors_signed);
    v = judged(f, 0, 0, (const uint64_t[8]){0, 9, 0, 4});
    CHECK(v.quorum_met && v.cosigned_at == 9 && v.auditors_signed);
    v = judged(f, 0, 0, (const uint64_t[8]){0, 0, 8, 4});
    CHECK(!v.quorum_met && v.cosigned_at == 0 && v.auditors_signed);
    teardown(f);
}

TEST(false_signatures)
{
    static const uint64_t times[8] = {0, 1700000000};
    struct fixture *f = setup();
    struct policy_verdict v;
    struct checkpoint cp;
    CHECK_EQ_INT(parse(f, "log @L0\nwitness w @W1\nquorum w\n"), LEDGER_OK);
    struct span good = checkpoint(f, 0, 0, times);
    uint8_t *bytes = malloc(good.n);
    CHECK(bytes);
    size_t refused = 0, tampered = 0;
    for (size_t bit = 0; bit < 8 * good.n; bit++) {
        struct arena_mark mark = arena_mark(f->a);
        memcpy(bytes, good.p, good.n);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        f->err = (struct ledger_err){.rc = LEDGER_OK};
        bool ok = policy_check(f->c, f->a, &f->p, span_of(bytes, good.n), &cp, &v, &f->err);
        CHECK(ok || ((f->err.rc == LEDGER_EINVAL || f->err.rc == LEDGER_ETAMPER) && f->err.msg[0]));
        tampered += !ok && f->err.rc == LEDGER_ETAMPER;
        CHECK(!ok || !v.log_signed || !v.quorum_met);
        CHECK(!v.quorum_met || v.cosigned_at == 1700000000);
        refused += !ok;
        arena_release(f->a, mark);
    }
    /* Malformed is one thing, well formed with a signature that does not verify another. */
    CHECK(tampered > good.n && refused > tampered);
    CHECK(policy_check(f->c, f->a, &f->p, good, &cp, &v, &f->err) && v.log_signed && v.quorum_met);
    /* A note that is no checkpoint, and an arena that is too small. */
    CHECK(!policy_check(f->c, f->a, &f->p, SPAN_LIT("text\n\n\xe2\x80\x94 a AAAAAAA=\n"), &cp, &v,
                        &f->err));
    CHECK_EQ_INT(f->err.rc, LEDGER_EINVAL);
    struct arena *small = arena_new(1000);
    CHECK(!policy_check(f->c, small, &f->p, good, &cp, &v, &f->err));
    CHECK_EQ_INT(f->err.rc, LEDGER_ENOMEM);
    CHECK(!v.quorum_met && !v.log_signed);
    arena_free(small);
    free(bytes);
    teardown(f);
}

TEST_MAIN(TEST_ENTRY(example), TEST_ENTRY(accepted), TEST_ENTRY(refused), TEST_ENTRY(limits),
          TEST_ENTRY(auditors), TEST_ENTRY(every_subset_of_witnesses), TEST_ENTRY(logs_and_origins),
          TEST_ENTRY(auditors_are_their_own_question), TEST_ENTRY(false_signatures))
