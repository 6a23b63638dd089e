/* SPDX-License-Identifier: Apache-2.0 */
/* Time stamps: requests, answers, tokens under trusted certificates as of their own time, and the bounds that they give. */
#include "tsp.h"

#include <openssl/err.h>

#include "authority.h"
#include "value.h"

#define DAY_S INT64_C(86400)
#define IN_1999 INT64_C(930000000)
#define NOW_ISH INT64_C(1790000000)
#define STAMPING "critical,timeStamping"

struct world {
    struct arena *a;
    struct crypto *c;
    struct hash imprint;
    struct span nonce;
    struct ledger_err err;
    struct tsp_info info;
    struct tsp_trust trust;
};

static struct world world_new(void)
{
    static const uint8_t nonce[] = {0x00, 0x91, 2, 3, 4, 5, 6, 7, 8};
    struct world w = {.a = arena_new(4u << 20), .c = crypto_new(), .nonce = {nonce, sizeof nonce}};
    CHECK(w.a && w.c);
    crypto_sha256(w.c, &(struct span){(const uint8_t *)"a note\n", 7}, 1, &w.imprint);
    return w;
}

static void world_end(struct world *w)
{
    CHECK(ERR_peek_error() == 0); /* nothing of ours stays in the queue */
    arena_free(w->a);
    crypto_free(w->c);
}

static struct span request(struct world *w, const char *policy)
{
    struct span out;
    CHECK_EQ_INT(tsp_request(w->a, &w->imprint, w->nonce, policy, &out, &w->err), LEDGER_OK);
    return out;
}

static struct span token(struct world *w, struct authority *t)
{
    struct tsp_response r;
    CHECK_EQ_INT(tsp_response_parse(authority_answer(w->a, t, request(w, NULL)), &r, &w->err), LEDGER_OK);
    CHECK(r.granted && r.status == 0 && r.token.n > 0);
    return r.token;
}

static enum ledger_rc verify(struct world *w, struct span tok, struct span ca)
{
    w->err.msg[0] = '\0';
    return tsp_token_verify(tok, &w->imprint, ca, &w->info, &w->trust, &w->err);
}

static void refused(struct world *w, enum ledger_rc got, enum ledger_rc rc, const char *words)
{
    if (got != rc || !strstr(w->err.msg, words)) {
        fprintf(stderr, "%d \"%s\", not %d with \"%s\"\n", got, w->err.msg, rc, words);
        exit(CHECK_EXIT_FAILED);
    }
    CHECK(ERR_peek_error() == 0);
}

/* The smallest request, byte by byte (RFC 3161 section 2.4.1). */
TEST(request_is_der)
{
    struct world w = world_new();
    static const uint8_t HEAD[] = {0x30, 0x44, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                   0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    static const uint8_t TAIL[] = {0x02, 0x09, 0x00, 0x91, 2, 3, 4, 5, 6, 7, 8, 0x01, 0x01, 0xff};
    struct span r = request(&w, NULL);
    CHECK_EQ_INT(r.n, 0x46);
    CHECK_EQ_MEM(r.p, HEAD, sizeof HEAD);
    CHECK_EQ_MEM(r.p + sizeof HEAD, w.imprint.b, HASH_LEN);
    CHECK_EQ_MEM(r.p + sizeof HEAD + HASH_LEN, TAIL, sizeof TAIL);
    static const uint8_t POLICY[] = {0x06, 0x04, 0x2a, 0x03, 0x04, 0x01};
    r = request(&w, "1.2.3.4.1");
    CHECK_EQ_MEM(r.p + sizeof HEAD + HASH_LEN, POLICY, sizeof POLICY);
    refused(&w, tsp_request(w.a, &w.imprint, w.nonce, "tomorrow", &r, &w.err), LEDGER_EINVAL, "policy");
    refused(&w, tsp_request(w.a, &w.imprint, SPAN_NONE, NULL, &r, &w.err), LEDGER_EINVAL, "nonce");
    static const uint8_t zeros[8];
    refused(&w, tsp_request(w.a, &w.imprint, span_of(zeros, 8), NULL, &r, &w.err), LEDGER_EINVAL, "nonce");
    world_end(&w);
}

TEST(good_token)
{
    struct world w = world_new();
    struct authority t;
    authority_new(&t, "Token Works", NOW_ISH, NOW_ISH + 1000 * DAY_S, STAMPING);
    struct span tok = token(&w, &t), ca = authority_pem(w.a, t.ca);
    CHECK_EQ_INT(verify(&w, tok, ca), LEDGER_OK);
    CHECK_EQ_INT(w.info.gen_us, t.gen_s * 1000000 + 250000);
    CHECK_EQ_INT(w.info.accuracy_us, 1500020);
    CHECK_EQ_STR(w.info.serial, "abcdef");
    CHECK_EQ_STR(w.info.policy, "1.2.3.4.1");
    CHECK_EQ_STR(w.info.tsa, "CN=Token Works");
    CHECK_EQ_STR(w.trust.signer, "CN=Token Works");
    CHECK_EQ_STR(w.trust.ca, "CN=Token Works CA");
    CHECK_EQ_INT(w.trust.not_after_s, NOW_ISH + 1000 * DAY_S);
    CHECK(tsp_nonce_is(&w.info, w.nonce));
    CHECK(!tsp_nonce_is(&w.info, span_of(w.nonce.p + 2, w.nonce.n - 2)) && !tsp_nonce_is(&w.info, SPAN_NONE));
    struct tsp_info read;
    CHECK_EQ_INT(tsp_token_read(tok, &read, &w.err), LEDGER_OK);
    CHECK(hash_eq(&read.imprint, &w.imprint) && read.gen_us == w.info.gen_us);
    authority_free(&t);
    world_end(&w);
}

/* Made in 1999 under certificates that ended in the same year. */
TEST(expired_since)
{
    struct world w = world_new();
    struct authority t;
    authority_new(&t, "Old Times", IN_1999, IN_1999 + 30 * DAY_S, STAMPING);
    struct span ca = authority_pem(w.a, t.ca);
    CHECK_EQ_INT(verify(&w, token(&w, &t), ca), LEDGER_OK);
    CHECK_EQ_INT(w.trust.not_after_s, IN_1999 + 30 * DAY_S);
    t.gen_s = IN_1999 + 31 * DAY_S; /* signed after the end */
    refused(&w, verify(&w, token(&w, &t), ca), LEDGER_EUNTRUSTED, "expired");
    t.gen_s = IN_1999 - DAY_S;
    refused(&w, verify(&w, token(&w, &t), ca), LEDGER_EUNTRUSTED, "not yet valid");
    authority_free(&t);
    world_end(&w);
}

TEST(who_may_stamp)
{
    struct world w = world_new();
    struct authority t, other;
    authority_new(&t, "Works", NOW_ISH, NOW_ISH + DAY_S, STAMPING);
    authority_new(&other, "Others", NOW_ISH, NOW_ISH + DAY_S, STAMPING);
    struct span tok = token(&w, &t);
    refused(&w, verify(&w, tok, authority_pem(w.a, other.ca)), LEDGER_EUNTRUSTED, "issuer");
    refused(&w, verify(&w, tok, SPAN_NONE), LEDGER_EINVAL, "empty");
    refused(&w, verify(&w, tok, SPAN_LIT("no certificate\n")), LEDGER_EINVAL, "PEM");
    /* Who lists the authority's own certificate trusts it, and two certificates are one text. */
    struct span both[2] = {authority_pem(w.a, other.ca), authority_pem(w.a, t.tsa)};
    struct wbuf text;
    wbuf_init(&text, w.a);
    for (int i = 0; i < 2; i++)
        wbuf_bytes(&text, both[i].p, both[i].n);
    size_t n = 0;
    CHECK_EQ_INT(tsp_ca_check(wbuf_span(&text), &n, &w.err), LEDGER_OK);
    CHECK_EQ_INT(n, 2);
    CHECK_EQ_INT(verify(&w, tok, wbuf_span(&text)), LEDGER_OK);
    CHECK_EQ_STR(w.trust.ca, "CN=Works");
    authority_free(&t);
    authority_free(&other);
    world_end(&w);
}

/* A certificate that is for something else, or for more, or a signature by a digest that is not fit. */
TEST(not_an_authority)
{
    static const char *const USAGES[] = {"timeStamping", "critical,timeStamping,codeSigning", "critical,serverAuth"};
    struct world w = world_new();
    struct authority t;
    for (size_t i = 0; i < sizeof USAGES / sizeof USAGES[0]; i++) {
        authority_new(&t, "Works", NOW_ISH, NOW_ISH + DAY_S, STAMPING);
        t.usage_after = USAGES[i];
        refused(&w, verify(&w, token(&w, &t), authority_pem(w.a, t.ca)), LEDGER_EUNTRUSTED, "purpose");
        authority_free(&t);
    }
    authority_new(&t, "Works", NOW_ISH, NOW_ISH + DAY_S, STAMPING);
    t.digest = "SHA1";
    refused(&w, verify(&w, token(&w, &t), authority_pem(w.a, t.ca)), LEDGER_EUNTRUSTED, "SHA-256 or better");
    authority_free(&t);
    world_end(&w);
}

/* Wherever a byte of a token is changed, it does not stamp this note at another time, and nothing breaks. */
TEST(changed_bytes)
{
    struct world w = world_new();
    struct authority t;
    authority_new(&t, "Works", NOW_ISH, NOW_ISH + DAY_S, STAMPING);
    struct span tok = token(&w, &t), ca = authority_pem(w.a, t.ca);
    int64_t gen_us = t.gen_s * 1000000 + t.gen_us;
    uint8_t *copy = arena_alloc(w.a, tok.n);
    CHECK(copy);
    size_t good = 0;
    for (size_t i = 0; i < tok.n; i++) {
        memcpy(copy, tok.p, tok.n);
        copy[i] ^= (uint8_t)(1u << (i % 8));
        if (verify(&w, span_of(copy, tok.n), ca) == LEDGER_OK) {
            good++;
            CHECK(w.info.gen_us == gen_us && hash_eq(&w.info.imprint, &w.imprint));
        }
        CHECK(ERR_peek_error() == 0);
    }
    CHECK(good < 16); /* a version number, say: nothing that is signed */
    for (size_t n = 0; n < tok.n; n += 7)
        refused(&w, verify(&w, span_of(tok.p, n), ca), LEDGER_EINVAL, "token");
    memcpy(copy, tok.p, tok.n);
    uint8_t *longer = arena_alloc(w.a, tok.n + 1);
    CHECK(longer);
    memcpy(longer, tok.p, tok.n);
    refused(&w, verify(&w, span_of(longer, tok.n + 1), ca), LEDGER_EINVAL, "token");
    authority_free(&t);
    world_end(&w);
}

TEST(of_something_else)
{
    struct world w = world_new();
    struct authority t;
    authority_new(&t, "Works", NOW_ISH, NOW_ISH + DAY_S, STAMPING);
    struct span tok = token(&w, &t), ca = authority_pem(w.a, t.ca);
    w.imprint.b[31] ^= 1;
    refused(&w, verify(&w, tok, ca), LEDGER_EINVAL, "something else");
    authority_free(&t);
    world_end(&w);
}

TEST(answers)
{
    struct world w = world_new();
    struct authority t;
    struct tsp_response r;
    authority_new(&t, "Works", NOW_ISH, NOW_ISH + DAY_S, STAMPING);
    CHECK_EQ_INT(tsp_response_parse(authority_answer(w.a, &t, request(&w, "1.2.3.4.9")), &r, &w.err), LEDGER_OK);
    CHECK(!r.granted && r.status == 2 && r.token.n == 0);
    CHECK(strstr(r.text, "unacceptedPolicy"));
    t.extra_policy = "1.2.3.4.9";
    struct span answer = authority_answer(w.a, &t, request(&w, "1.2.3.4.9"));
    CHECK_EQ_INT(tsp_response_parse(answer, &r, &w.err), LEDGER_OK);
    CHECK(r.granted);
    CHECK_EQ_INT(tsp_token_read(r.token, &w.info, &w.err), LEDGER_OK);
    CHECK_EQ_STR(w.info.policy, "1.2.3.4.9");
    for (size_t n = 0; n < answer.n; n++)
        refused(&w, tsp_response_parse(span_of(answer.p, n), &r, &w.err), LEDGER_EINVAL, "");
    refused(&w, tsp_response_parse(SPAN_LIT("<html>503</html>"), &r, &w.err), LEDGER_EINVAL, "no TimeStampResp");
    static const uint8_t NO_TOKEN[] = {0x30, 5, 0x30, 3, 2, 1, 0}, UNKNOWN[] = {0x30, 5, 0x30, 3, 2, 1, 9};
    refused(&w, tsp_response_parse(span_of(NO_TOKEN, sizeof NO_TOKEN), &r, &w.err), LEDGER_EINVAL, "without");
    refused(&w, tsp_response_parse(span_of(UNKNOWN, sizeof UNKNOWN), &r, &w.err), LEDGER_EINVAL, "no TimeStampResp");
    authority_free(&t);
    world_end(&w);
}

/* Recorded at 10, 20, 30 over checkpoints of 9, 19, 29 entries. */
TEST(bounds)
{
    const struct tsp_stamp s[] = {{30, 29, 3000, 5}, {10, 9, 1000, 5}, {20, 19, 2000, 0}};
    struct tsp_bounds b;
    tsp_bounds(s, 3, 15, &b);
    CHECK(b.after == &s[1] && b.before == &s[2]);
    CHECK(b.not_before_us == 995 && b.not_after_us == 2000);
    tsp_bounds(s, 3, 19, &b); /* made after the second was taken, before it was recorded */
    CHECK(b.after == &s[1] && b.before == &s[0] && b.not_after_us == 3005);
    tsp_bounds(s, 3, 20, &b); /* the token's own entry comes after the token before it */
    CHECK(b.after == &s[1] && b.before == &s[0]);
    tsp_bounds(s, 3, 21, &b);
    CHECK(b.after == &s[2] && b.not_before_us == 2000);
    tsp_bounds(s, 3, 0, &b);
    CHECK(!b.after && b.not_before_us == INT64_MIN && b.before == &s[1]);
    tsp_bounds(s, 3, 29, &b);
    CHECK(b.after == &s[2] && !b.before && b.not_after_us == INT64_MAX);
    tsp_bounds(s, 0, 5, &b);
    CHECK(!b.after && !b.before);
    const struct tsp_stamp odd[] = {{10, 9, 5000, 0}, {20, 19, 2000, 0}}; /* an authority whose clock ran back */
    tsp_bounds(odd, 2, 25, &b);
    CHECK(b.after == &odd[0] && b.not_before_us == 5000);
    tsp_bounds(odd, 2, 3, &b);
    CHECK(b.before == &odd[1] && b.not_after_us == 2000);
}

TEST_MAIN(TEST_ENTRY(request_is_der), TEST_ENTRY(good_token), TEST_ENTRY(expired_since), TEST_ENTRY(who_may_stamp),
          TEST_ENTRY(not_an_authority), TEST_ENTRY(changed_bytes), TEST_ENTRY(of_something_else), TEST_ENTRY(answers), TEST_ENTRY(bounds))
