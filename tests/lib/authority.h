/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authority: a time-stamping authority in memory, for tests: a CA, certificates of any validity and use, and tokens of any time, made
 * with OpenSSL's responder. Everything aborts the test on failure. One thread.
 */
#ifndef LEDGERD_TESTS_AUTHORITY_H
#define LEDGERD_TESTS_AUTHORITY_H

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ts.h>
#include <openssl/x509v3.h>

#include "base.h"
#include "check.h"

struct authority {
    X509 *ca, *tsa;
    EVP_PKEY *ca_key, *tsa_key;
    /* Of the next token; set by authority_new, changed by tests. */
    int64_t gen_s;
    long gen_us;
    const char *digest;       /* of the signature */
    const char *extra_policy; /* also served; NULL: none */
    const char *usage_after;  /* the certificate gets this use after the responder has looked at it; NULL: it stays */
};

static inline void authority_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(e && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

/* usage NULL: a certificate authority. Validity in POSIX seconds. */
static inline X509 *authority_certificate(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, int64_t from_s,
                                          int64_t until_s, const char *usage)
{
    static long serial = 1;
    X509 *x = X509_new();
    CHECK(x && X509_set_version(x, X509_VERSION_3) && ASN1_INTEGER_set(X509_get_serialNumber(x), serial++));
    CHECK(ASN1_TIME_set(X509_getm_notBefore(x), (time_t)from_s) && ASN1_TIME_set(X509_getm_notAfter(x), (time_t)until_s));
    CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0));
    CHECK(X509_set_pubkey(x, key) && X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x)));
    authority_extension(x, issuer ? issuer : x, NID_basic_constraints, usage ? "critical,CA:FALSE" : "critical,CA:TRUE");
    authority_extension(x, issuer ? issuer : x, NID_key_usage, usage ? "critical,digitalSignature" : "critical,keyCertSign");
    if (usage)
        authority_extension(x, issuer, NID_ext_key_usage, usage);
    CHECK(X509_sign(x, issuer_key, EVP_sha256()) > 0);
    return x;
}

/* Both certificates are valid within [from_s, until_s]; tokens are made in the middle. */
static inline void authority_new(struct authority *t, const char *name, int64_t from_s, int64_t until_s, const char *usage)
{
    char text[64];
    *t = (struct authority){.gen_s = from_s + (until_s - from_s) / 2, .gen_us = 250000, .digest = "SHA256"};
    t->ca_key = EVP_EC_gen("P-256");
    t->tsa_key = EVP_EC_gen("P-256");
    CHECK(t->ca_key && t->tsa_key);
    snprintf(text, sizeof text, "%s CA", name);
    t->ca = authority_certificate(text, t->ca_key, NULL, t->ca_key, from_s, until_s, NULL);
    t->tsa = authority_certificate(name, t->tsa_key, t->ca, t->ca_key, from_s, until_s, usage);
}

static inline void authority_free(struct authority *t)
{
    X509_free(t->ca);
    X509_free(t->tsa);
    EVP_PKEY_free(t->ca_key);
    EVP_PKEY_free(t->tsa_key);
}

static inline struct span authority_bio(struct arena *a, BIO *b)
{
    char *p = NULL;
    long n = BIO_get_mem_data(b, &p);
    CHECK(n > 0);
    struct span out = arena_copy(a, span_of(p, (size_t)n));
    BIO_free(b);
    CHECK(out.p);
    return out;
}

static inline struct span authority_pem(struct arena *a, X509 *x)
{
    BIO *b = BIO_new(BIO_s_mem());
    CHECK(b && PEM_write_bio_X509(b, x));
    return authority_bio(a, b);
}

static inline ASN1_INTEGER *authority_serial(TS_RESP_CTX *ctx, void *data)
{
    (void)ctx;
    (void)data;
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    CHECK(serial && ASN1_INTEGER_set(serial, 0xabcdef));
    return serial;
}

static inline int authority_time(TS_RESP_CTX *ctx, void *data, long *sec, long *usec)
{
    (void)ctx;
    const struct authority *t = data;
    *sec = (long)t->gen_s;
    *usec = t->gen_us;
    return 1;
}

/* Puts another use into a certificate and signs it again. */
static inline void authority_change_usage(struct authority *t)
{
    if (!t->usage_after)
        return;
    int at = X509_get_ext_by_NID(t->tsa, NID_ext_key_usage, -1);
    CHECK(at >= 0);
    X509_EXTENSION_free(X509_delete_ext(t->tsa, at));
    authority_extension(t->tsa, t->ca, NID_ext_key_usage, t->usage_after);
    CHECK(X509_sign(t->tsa, t->ca_key, EVP_sha256()) > 0);
}

/* The TimeStampResp to a request; granted unless the responder finds something wrong with it. */
static inline struct span authority_answer(struct arena *a, struct authority *t, struct span request)
{
    TS_RESP_CTX *ctx = TS_RESP_CTX_new();
    BIO *in = BIO_new_mem_buf(request.p, (int)request.n), *out = BIO_new(BIO_s_mem());
    ASN1_OBJECT *policy = OBJ_txt2obj("1.2.3.4.1", 1), *extra = t->extra_policy ? OBJ_txt2obj(t->extra_policy, 1) : NULL;
    CHECK(ctx && in && out && policy && TS_RESP_CTX_set_signer_cert(ctx, t->tsa) && TS_RESP_CTX_set_signer_key(ctx, t->tsa_key) &&
          TS_RESP_CTX_set_def_policy(ctx, policy) && TS_RESP_CTX_add_md(ctx, EVP_sha256()) && TS_RESP_CTX_add_md(ctx, EVP_sha512()) &&
          TS_RESP_CTX_set_signer_digest(ctx, EVP_get_digestbyname(t->digest)) && TS_RESP_CTX_set_ess_cert_id_digest(ctx, EVP_sha256()) &&
          TS_RESP_CTX_set_accuracy(ctx, 1, 500, 20) && TS_RESP_CTX_set_clock_precision_digits(ctx, 6));
    CHECK(!extra || TS_RESP_CTX_add_policy(ctx, extra));
    TS_RESP_CTX_set_serial_cb(ctx, authority_serial, NULL);
    TS_RESP_CTX_set_time_cb(ctx, authority_time, t);
    authority_change_usage(t);
    TS_RESP *resp = TS_RESP_create_response(ctx, in);
    CHECK(resp && i2d_TS_RESP_bio(out, resp));
    TS_RESP_free(resp);
    TS_RESP_CTX_free(ctx);
    ERR_clear_error(); /* of what the responder refused */
    BIO_free(in);
    ASN1_OBJECT_free(policy);
    ASN1_OBJECT_free(extra);
    return authority_bio(a, out);
}

#endif
