/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tsp: RFC 3161 through OpenSSL's TS functions, on memory alone.
 *
 * Tokens are sliced out of the answer and kept as they came, never re-encoded. TS_RESP_verify_token is asked for version and
 * signature (chain, extended key usage, ESSCertID); the imprint is compared here, as OpenSSL would hash with whatever algorithm the
 * token names. The chain is then built once more, because OpenSSL does not hand it out: it says which trusted certificate
 * vouches, and when the first of them expires.
 *
 * Failure modes: everything that does not hold is EINVAL or EUNTRUSTED with OpenSSL's reason; lack of memory inside OpenSSL is not
 * told apart from it.
 */
#include "tsp.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/ts.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "value.h"

#define US_PER_S INT64_C(1000000)
#define SECURITY_LEVEL 1 /* of a chain: refuses SHA-1 and RSA below 1024 bits; what was fit when a token was made must go on verifying */
#define CA_CERTS_MAX 64

/* OpenSSL's own reason, then the queue as it was before. Between ERR_set_mark and this. */
static enum ledger_rc fail(struct ledger_err *err, enum ledger_rc rc, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    ledger_fail(err, rc, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
    return rc;
}

/* ---- small readers ---- */

static bool bio_text(BIO *b, char *out, size_t size)
{
    int n = BIO_read(b, out, (int)size - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* RFC 2253 in UTF-8, control characters escaped; cut when too long: it is for reading. */
static void name_text(const X509_NAME *name, char out[TSP_NAME_MAX])
{
    BIO *b = BIO_new(BIO_s_mem());
    out[0] = '\0';
    if (b && X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) > 0)
        bio_text(b, out, TSP_NAME_MAX);
    BIO_free(b);
}

/* A whole number without sign as hex; false if negative or too long. */
static bool number_bytes(const ASN1_INTEGER *i, uint8_t *out, size_t max, size_t *n)
{
    BIGNUM *bn = ASN1_INTEGER_to_BN(i, NULL);
    bool ok = bn && !BN_is_negative(bn) && (size_t)BN_num_bytes(bn) <= max;
    *n = ok ? (size_t)BN_bn2bin(bn, out) : 0;
    BN_free(bn);
    return ok;
}

/* "YYYYMMDDhhmmss[.f…]Z" (RFC 3161 section 2.4.2: seconds, no zone but Z, no trailing zeros in the fraction). What lies below a
 * microsecond is cut off; *cut says that something did. */
static bool read_gen_time(const ASN1_GENERALIZEDTIME *t, int64_t *us, bool *cut)
{
    const uint8_t *p = ASN1_STRING_get0_data(t);
    int n = ASN1_STRING_length(t);
    char text[32];
    if (n < 15 || n > 40 || p[n - 1] != 'Z')
        return false;
    int digits = 0;
    if (n > 15) {
        digits = n - 16;
        if (p[14] != '.' || digits < 1 || p[n - 2] == '0')
            return false;
        for (int i = 15; i < n - 1; i++)
            if (p[i] < '0' || p[i] > '9')
                return false;
    }
    *cut = digits > 6;
    int kept = digits > 6 ? 6 : digits;
    snprintf(text, sizeof text, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2s%s%.*sZ", (const char *)p, (const char *)p + 4, (const char *)p + 6,
             (const char *)p + 8, (const char *)p + 10, (const char *)p + 12, kept ? "." : "", kept, kept ? (const char *)p + 15 : "");
    return time_parse(span_str(text), us);
}

/* A part of an accuracy; absent is 0. */
static bool accuracy_part(const ASN1_INTEGER *i, int64_t max, int64_t *out)
{
    int64_t v = 0;
    if (i && (ASN1_INTEGER_get_int64(&v, i) != 1 || v < 0 || v > max))
        return false;
    *out = v;
    return true;
}

static bool read_accuracy(TS_TST_INFO *tst, int64_t *us)
{
    const TS_ACCURACY *acc = TS_TST_INFO_get_accuracy(tst);
    int64_t s = 0, ms = 0, micro = 0;
    *us = 0;
    if (!acc)
        return true;
    if (!accuracy_part(TS_ACCURACY_get_seconds(acc), INT32_MAX, &s) || !accuracy_part(TS_ACCURACY_get_millis(acc), 999, &ms) ||
        !accuracy_part(TS_ACCURACY_get_micros(acc), 999, &micro))
        return false;
    *us = s * US_PER_S + ms * 1000 + micro;
    return true;
}

static bool read_imprint(TS_TST_INFO *tst, struct hash *out)
{
    TS_MSG_IMPRINT *imprint = TS_TST_INFO_get_msg_imprint(tst);
    const ASN1_OBJECT *alg = NULL;
    X509_ALGOR_get0(&alg, NULL, NULL, TS_MSG_IMPRINT_get_algo(imprint));
    const ASN1_OCTET_STRING *msg = TS_MSG_IMPRINT_get_msg(imprint);
    if (OBJ_obj2nid(alg) != NID_sha256 || ASN1_STRING_length(msg) != HASH_LEN)
        return false;
    memcpy(out->b, ASN1_STRING_get0_data(msg), HASH_LEN);
    return true;
}

static void read_tsa(TS_TST_INFO *tst, char out[TSP_NAME_MAX])
{
    const GENERAL_NAME *tsa = TS_TST_INFO_get_tsa(tst);
    int type = -1;
    const void *value = tsa ? GENERAL_NAME_get0_value(tsa, &type) : NULL;
    if (value && type == GEN_DIRNAME)
        name_text(value, out);
}

static const char *read_tst(TS_TST_INFO *tst, struct tsp_info *out)
{
    uint8_t serial[TSP_SERIAL_MAX];
    size_t n;
    bool cut = false;
    if (TS_TST_INFO_get_version(tst) != 1)
        return "its version is not 1";
    if (!read_imprint(tst, &out->imprint))
        return "its imprint is not SHA-256";
    if (!read_gen_time(TS_TST_INFO_get_time(tst), &out->gen_us, &cut))
        return "its genTime is not in the form of RFC 3161";
    if (!read_accuracy(tst, &out->accuracy_us))
        return "its accuracy is malformed";
    out->accuracy_us += cut;
    if (!number_bytes(TS_TST_INFO_get_serial(tst), serial, sizeof serial, &n))
        return "its serial number is malformed";
    hex_encode(span_of(serial, n), out->serial);
    const ASN1_INTEGER *nonce = TS_TST_INFO_get_nonce(tst);
    if (nonce && !number_bytes(nonce, out->nonce, sizeof out->nonce, &out->nonce_n))
        return "its nonce is malformed";
    if (OBJ_obj2txt(out->policy, sizeof out->policy, TS_TST_INFO_get_policy_id(tst), 1) >= (int)sizeof out->policy)
        return "its policy is too long";
    read_tsa(tst, out->tsa);
    return NULL;
}

/* ---- tokens ---- */

/* Token and TSTInfo; both the caller's to free, also after an error. */
static enum ledger_rc token_open(struct span token, PKCS7 **p7, TS_TST_INFO **tst, struct tsp_info *info, struct ledger_err *err)
{
    const uint8_t *p = token.p;
    *p7 = NULL;
    *tst = NULL;
    memset(info, 0, sizeof *info);
    if (token.n == 0 || token.n > TSP_TOKEN_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "time stamp: a token has from 1 to %u bytes", TSP_TOKEN_MAX);
    *p7 = d2i_PKCS7(NULL, &p, (long)token.n);
    if (!*p7 || p != token.p + token.n)
        return fail(err, LEDGER_EINVAL, "time stamp: not a token");
    *tst = PKCS7_to_TS_TST_INFO(*p7);
    if (!*tst)
        return fail(err, LEDGER_EINVAL, "time stamp: no TSTInfo in the token");
    const char *fault = read_tst(*tst, info);
    return fault ? ledger_fail(err, LEDGER_EINVAL, "time stamp: %s", fault) : LEDGER_OK;
}

enum ledger_rc tsp_token_read(struct span token, struct tsp_info *out, struct ledger_err *err)
{
    PKCS7 *p7;
    TS_TST_INFO *tst;
    ERR_set_mark();
    enum ledger_rc rc = token_open(token, &p7, &tst, out, err);
    TS_TST_INFO_free(tst);
    PKCS7_free(p7);
    ERR_pop_to_mark();
    return rc;
}

bool tsp_nonce_is(const struct tsp_info *info, struct span nonce)
{
    while (nonce.n && nonce.p[0] == 0) {
        nonce.p++;
        nonce.n--;
    }
    return info->nonce_n > 0 && span_eq(nonce, span_of(info->nonce, info->nonce_n));
}

/* ---- trusted certificates ---- */

static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)u;
    return -1;
}

/* Each certificate of a PEM text into the store (NULL: only counted). */
static enum ledger_rc load_cas(struct span pem, X509_STORE *store, size_t *n, struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    *n = 0;
    if (pem.n == 0 || pem.n > TSP_CA_PEM_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "the authority's certificates: the text is empty or too long");
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    while (b && !rc) {
        X509 *x = PEM_read_bio_X509(b, NULL, no_passphrase, NULL);
        if (!x)
            break;
        if (++*n > CA_CERTS_MAX)
            rc = ledger_fail(err, LEDGER_ELIMIT, "the authority's certificates: more than %d", CA_CERTS_MAX);
        else if (store && X509_STORE_add_cert(store, x) != 1)
            rc = fail(err, LEDGER_EINVAL, "the authority's certificates");
        X509_free(x);
    }
    BIO_free(b);
    if (rc)
        return rc;
    unsigned long code = ERR_peek_last_error();
    if (*n == 0 || (code && ERR_GET_REASON(code) != PEM_R_NO_START_LINE))
        return fail(err, LEDGER_EINVAL, "the authority's certificates: not PEM");
    return LEDGER_OK;
}

enum ledger_rc tsp_ca_check(struct span ca_pem, size_t *n_certs, struct ledger_err *err)
{
    size_t n;
    ERR_set_mark();
    enum ledger_rc rc = load_cas(ca_pem, NULL, &n, err);
    ERR_pop_to_mark();
    if (n_certs)
        *n_certs = n;
    return rc;
}

/* Anchors that are believed as of an instant. An anchor need not sign itself: who lists an intermediate means it. */
static enum ledger_rc store_at(struct span ca_pem, int64_t at_us, X509_STORE **out, struct ledger_err *err)
{
    size_t n;
    X509_STORE *store = X509_STORE_new();
    X509_VERIFY_PARAM *param = store ? X509_STORE_get0_param(store) : NULL;
    *out = store;
    if (!param)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    X509_VERIFY_PARAM_set_time(param, (time_t)(at_us / US_PER_S));
    X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    return load_cas(ca_pem, store, &n, err);
}

bool tsp_posix_seconds(const struct asn1_string_st *t, int64_t *out)
{
    ASN1_TIME *zero = ASN1_TIME_set(NULL, 0);
    int days, seconds;
    bool ok = zero && ASN1_TIME_diff(&days, &seconds, zero, t) == 1;
    if (ok)
        *out = (int64_t)days * 86400 + seconds;
    ASN1_TIME_free(zero);
    return ok;
}

/* ---- verification ---- */

static bool describe_chain(STACK_OF(X509) *chain, struct tsp_trust *out)
{
    int n = sk_X509_num(chain);
    unsigned len = HASH_LEN;
    out->not_after_s = INT64_MAX;
    for (int i = 0; i < n; i++) {
        int64_t s;
        if (!tsp_posix_seconds(X509_get0_notAfter(sk_X509_value(chain, i)), &s))
            return false;
        if (s < out->not_after_s)
            out->not_after_s = s;
    }
    const X509 *ca = n > 0 ? sk_X509_value(chain, n - 1) : NULL;
    if (!ca || X509_digest(ca, EVP_sha256(), out->ca_fingerprint.b, &len) != 1)
        return false;
    name_text(X509_get_subject_name(ca), out->ca);
    name_text(X509_get_subject_name(sk_X509_value(chain, 0)), out->signer);
    return true;
}

static enum ledger_rc read_chain(X509_STORE *store, X509 *signer, PKCS7 *p7, struct tsp_trust *out, struct ledger_err *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool ok = ctx && X509_STORE_CTX_init(ctx, store, signer, p7->d.sign->cert) == 1 &&
              X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_TIMESTAMP_SIGN) == 1 && X509_verify_cert(ctx) == 1 &&
              describe_chain(X509_STORE_CTX_get0_chain(ctx), out);
    int why = ctx ? X509_STORE_CTX_get_error(ctx) : X509_V_ERR_OUT_OF_MEM;
    X509_STORE_CTX_free(ctx);
    return ok ? LEDGER_OK : ledger_fail(err, LEDGER_EUNTRUSTED, "time stamp: the authority's certificate, as of its own time: %s",
                                        X509_verify_cert_error_string(why));
}

/* The one signature, by a digest that is fit; the signed attributes use it too. */
static bool digests_fit(PKCS7 *p7)
{
    STACK_OF(PKCS7_SIGNER_INFO) *infos = PKCS7_get_signer_info(p7);
    if (!infos || sk_PKCS7_SIGNER_INFO_num(infos) != 1)
        return false;
    X509_ALGOR *digest = NULL;
    const ASN1_OBJECT *alg = NULL;
    PKCS7_SIGNER_INFO_get0_algs(sk_PKCS7_SIGNER_INFO_value(infos, 0), NULL, &digest, NULL);
    X509_ALGOR_get0(&alg, NULL, NULL, digest);
    int nid = OBJ_obj2nid(alg);
    return nid == NID_sha256 || nid == NID_sha384 || nid == NID_sha512 || nid == NID_sha3_256 || nid == NID_sha3_384 ||
           nid == NID_sha3_512;
}

/* The chain first: its reasons are the ones that help ("certificate has expired"), where the TS functions say "certificate verify
 * error". Then all of it. */
static enum ledger_rc verify_signature(PKCS7 *p7, X509_STORE *store, struct tsp_trust *trust, struct ledger_err *err)
{
    if (!digests_fit(p7))
        return ledger_fail(err, LEDGER_EUNTRUSTED, "time stamp: not signed once, with SHA-256 or better");
    STACK_OF(X509) *signers = PKCS7_get0_signers(p7, NULL, 0);
    X509 *signer = signers && sk_X509_num(signers) == 1 ? sk_X509_value(signers, 0) : NULL;
    enum ledger_rc rc = signer ? read_chain(store, signer, p7, trust, err)
                               : fail(err, LEDGER_EUNTRUSTED, "time stamp: the signer's certificate is not in the token");
    sk_X509_free(signers);
    if (rc)
        return rc;
    TS_VERIFY_CTX *ctx = TS_VERIFY_CTX_new();
    if (!ctx)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    X509_STORE_up_ref(store);
    TS_VERIFY_CTX_set_store(ctx, store); /* takes the reference */
    TS_VERIFY_CTX_set_flags(ctx, TS_VFY_SIGNATURE | TS_VFY_VERSION);
    if (TS_RESP_verify_token(ctx, p7) != 1)
        rc = fail(err, LEDGER_EUNTRUSTED, "time stamp: the signature does not verify");
    TS_VERIFY_CTX_free(ctx);
    return rc;
}

enum ledger_rc tsp_token_verify(struct span token, const struct hash *imprint, struct span ca_pem, struct tsp_info *info,
                                struct tsp_trust *trust, struct ledger_err *err)
{
    PKCS7 *p7;
    TS_TST_INFO *tst;
    X509_STORE *store = NULL;
    memset(trust, 0, sizeof *trust);
    ERR_set_mark();
    enum ledger_rc rc = token_open(token, &p7, &tst, info, err);
    if (!rc && !hash_eq(&info->imprint, imprint))
        rc = ledger_fail(err, LEDGER_EINVAL, "time stamp: the token stamps something else");
    if (!rc)
        rc = store_at(ca_pem, info->gen_us, &store, err);
    if (!rc)
        rc = verify_signature(p7, store, trust, err);
    if (!rc && !info->tsa[0])
        memcpy(info->tsa, trust->signer, sizeof info->tsa);
    X509_STORE_free(store);
    TS_TST_INFO_free(tst);
    PKCS7_free(p7);
    ERR_pop_to_mark();
    return rc;
}

/* ---- request and response ---- */

static TS_MSG_IMPRINT *make_imprint(const struct hash *imprint)
{
    TS_MSG_IMPRINT *out = TS_MSG_IMPRINT_new();
    X509_ALGOR *alg = X509_ALGOR_new();
    uint8_t bytes[HASH_LEN];
    memcpy(bytes, imprint->b, HASH_LEN);
    bool ok = out && alg && X509_ALGOR_set0(alg, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, NULL) == 1 &&
              TS_MSG_IMPRINT_set_algo(out, alg) == 1 && TS_MSG_IMPRINT_set_msg(out, bytes, HASH_LEN) == 1;
    X509_ALGOR_free(alg);
    if (ok)
        return out;
    TS_MSG_IMPRINT_free(out);
    return NULL;
}

static ASN1_INTEGER *make_nonce(struct span nonce)
{
    BIGNUM *bn = nonce.n >= 1 && nonce.n <= TSP_NONCE_MAX ? BN_bin2bn(nonce.p, (int)nonce.n, NULL) : NULL;
    ASN1_INTEGER *out = bn && !BN_is_zero(bn) ? BN_to_ASN1_INTEGER(bn, NULL) : NULL;
    BN_free(bn);
    return out;
}

static struct span request_der(struct arena *a, TS_REQ *req)
{
    uint8_t *der = NULL;
    int n = i2d_TS_REQ(req, &der);
    struct span out = n > 0 ? arena_copy(a, span_of(der, (size_t)n)) : SPAN_NONE;
    OPENSSL_free(der);
    return out;
}

enum ledger_rc tsp_request(struct arena *a, const struct hash *imprint, struct span nonce, const char *policy, struct span *out,
                           struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    ERR_set_mark();
    TS_REQ *req = TS_REQ_new();
    TS_MSG_IMPRINT *im = make_imprint(imprint);
    ASN1_INTEGER *number = make_nonce(nonce);
    ASN1_OBJECT *oid = policy ? OBJ_txt2obj(policy, 1) : NULL;
    *out = SPAN_NONE;
    if (!number || (policy && !oid))
        rc = ledger_fail(err, LEDGER_EINVAL, number ? "time stamp: the policy is no object identifier, as 1.2.3.4"
                                                    : "time stamp: a nonce has from 1 to 32 bytes and is not 0");
    else if (!req || !im || TS_REQ_set_version(req, 1) != 1 || TS_REQ_set_msg_imprint(req, im) != 1 ||
             TS_REQ_set_nonce(req, number) != 1 || TS_REQ_set_cert_req(req, 1) != 1 || (oid && TS_REQ_set_policy_id(req, oid) != 1) ||
             !(*out = request_der(a, req)).p)
        rc = ledger_fail(err, LEDGER_ENOMEM, "time stamp: the request cannot be made: out of memory");
    ASN1_OBJECT_free(oid);
    ASN1_INTEGER_free(number);
    TS_MSG_IMPRINT_free(im);
    TS_REQ_free(req);
    ERR_pop_to_mark();
    return rc;
}

/* Cuts one DER element of class universal SEQUENCE off the front; false if it is none, or not of definite length. */
static bool take_sequence(struct span *rest, struct span *whole, struct span *content)
{
    const uint8_t *p = rest->p;
    long n;
    int tag, class;
    int flags = rest->n ? ASN1_get_object(&p, &n, &tag, &class, (long)rest->n) : 0x80;
    if (flags & 0x80 || flags & 1 || tag != V_ASN1_SEQUENCE || class != V_ASN1_UNIVERSAL)
        return false;
    size_t head = (size_t)(p - rest->p);
    *content = span_of(p, (size_t)n);
    *whole = span_of(rest->p, head + (size_t)n);
    *rest = span_of(rest->p + whole->n, rest->n - whole->n);
    return true;
}

static void append_words(char out[TSP_NAME_MAX], const char *words, int n)
{
    size_t used = strlen(out);
    snprintf(out + used, TSP_NAME_MAX - used, "%s%.*s", used ? "; " : "", n, words);
    for (char *c = out + used; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

/* RFC 3161 section 2.4.2: PKIFailureInfo. */
static void status_words(const TS_STATUS_INFO *info, char out[TSP_NAME_MAX])
{
    static const struct {
        int bit;
        const char *name;
    } FAILURES[] = {{0, "badAlg"}, {2, "badRequest"}, {5, "badDataFormat"}, {14, "timeNotAvailable"}, {15, "unacceptedPolicy"},
                    {16, "unacceptedExtension"}, {17, "addInfoNotAvailable"}, {25, "systemFailure"}};
    const STACK_OF(ASN1_UTF8STRING) *text = TS_STATUS_INFO_get0_text(info);
    const ASN1_BIT_STRING *bits = TS_STATUS_INFO_get0_failure_info(info);
    for (int i = 0; text && i < sk_ASN1_UTF8STRING_num(text); i++) {
        const ASN1_UTF8STRING *s = sk_ASN1_UTF8STRING_value(text, i);
        append_words(out, (const char *)ASN1_STRING_get0_data(s), ASN1_STRING_length(s));
    }
    for (size_t i = 0; bits && i < sizeof FAILURES / sizeof FAILURES[0]; i++)
        if (ASN1_BIT_STRING_get_bit(bits, FAILURES[i].bit))
            append_words(out, FAILURES[i].name, (int)strlen(FAILURES[i].name));
}

static bool read_status(struct span der, struct tsp_response *out)
{
    const uint8_t *p = der.p;
    TS_STATUS_INFO *info = d2i_TS_STATUS_INFO(NULL, &p, (long)der.n);
    int64_t status = -1;
    bool ok = info && p == der.p + der.n && ASN1_INTEGER_get_int64(&status, TS_STATUS_INFO_get0_status(info)) == 1 && status >= 0 &&
              status <= 5;
    if (ok) {
        out->status = (long)status;
        out->granted = status <= 1;
        status_words(info, out->text);
    }
    TS_STATUS_INFO_free(info);
    return ok;
}

enum ledger_rc tsp_response_parse(struct span der, struct tsp_response *out, struct ledger_err *err)
{
    struct span rest = der, whole, body, status, content;
    memset(out, 0, sizeof *out);
    ERR_set_mark();
    bool ok = der.n <= 2 * TSP_TOKEN_MAX && take_sequence(&rest, &whole, &body) && rest.n == 0;
    rest = ok ? body : SPAN_NONE;
    ok = ok && take_sequence(&rest, &status, &content) && read_status(status, out);
    if (ok && rest.n)
        ok = take_sequence(&rest, &out->token, &content) && rest.n == 0;
    ERR_pop_to_mark();
    if (!ok)
        return ledger_fail(err, LEDGER_EINVAL, "the answer is no TimeStampResp (RFC 3161)");
    if (out->granted != (out->token.n > 0))
        return ledger_fail(err, LEDGER_EINVAL, "the answer's status is %ld %s a token", out->status, out->granted ? "without" : "with");
    return LEDGER_OK;
}

/* ---- bounds ---- */

void tsp_bounds(const struct tsp_stamp *stamps, size_t n, uint64_t index, struct tsp_bounds *out)
{
    *out = (struct tsp_bounds){.not_before_us = INT64_MIN, .not_after_us = INT64_MAX};
    for (size_t i = 0; i < n; i++) {
        const struct tsp_stamp *s = &stamps[i];
        int64_t from = s->gen_us - s->accuracy_us, until = s->gen_us + s->accuracy_us;
        if (s->index < index && from > out->not_before_us) {
            out->after = s;
            out->not_before_us = from;
        }
        if (index < s->size && until < out->not_after_us) {
            out->before = s;
            out->not_after_us = until;
        }
    }
}
