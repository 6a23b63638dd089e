/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pki: certificates and the revocation list through OpenSSL's X.509 functions. Extensions are those that RFC 5280 asks of a
 * conforming authority, so that strict verification passes.
 *
 * Failure modes: everything OpenSSL refuses is EINTERNAL with its own reason when we make something, and EINVAL when we read
 * something. Private keys are written unencrypted: the folder's mode protects them, as it does the log key.
 */
#include "pki.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>

#include "crypto.h"
#include "tsp.h"

struct pki_ca {
    X509 *cert;
    EVP_PKEY *key;
};

#define DAY_S 86400L
#define BACKDATED_S 3600L

/* One mapper for OpenSSL's error queue, which it empties. */
static enum ledger_rc ssl_fail(struct ledger_err *err, enum ledger_rc rc, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    char text[160] = "no reason given";
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return ledger_fail(err, rc, "%s: %s", what, text);
}

/* ---- PEM ---- */

static struct span bio_copy(struct arena *a, BIO *b)
{
    char *p = NULL;
    long n = BIO_get_mem_data(b, &p);
    return n > 0 ? arena_copy(a, span_of(p, (size_t)n)) : SPAN_NONE;
}

enum pem_kind { PEM_CERT, PEM_KEY, PEM_CRL };

static struct span pem_write(struct arena *a, enum pem_kind kind, const void *object)
{
    BIO *b = BIO_new(kind == PEM_KEY ? BIO_s_secmem() : BIO_s_mem());
    struct span out = SPAN_NONE;
    int ok = 0;
    if (!b)
        return out;
    switch (kind) {
    case PEM_CERT:
        ok = PEM_write_bio_X509(b, object);
        break;
    case PEM_KEY:
        ok = PEM_write_bio_PrivateKey(b, object, NULL, NULL, 0, NULL, NULL);
        break;
    case PEM_CRL:
        ok = PEM_write_bio_X509_CRL(b, object);
        break;
    }
    if (ok)
        out = bio_copy(a, b);
    BIO_free(b);
    return out;
}

/* Without it OpenSSL would ask at the terminal for the passphrase of an encrypted key. */
static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)u;
    return -1;
}

static void *pem_read(struct span pem, enum pem_kind kind)
{
    BIO *b = pem.n <= PKI_FILE_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    void *object = NULL;
    if (!b)
        return NULL;
    switch (kind) {
    case PEM_CERT:
        object = PEM_read_bio_X509(b, NULL, no_passphrase, NULL);
        break;
    case PEM_KEY:
        object = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);
        break;
    case PEM_CRL:
        object = PEM_read_bio_X509_CRL(b, NULL, no_passphrase, NULL);
        break;
    }
    BIO_free(b);
    return object;
}

/* ---- serials ---- */

static bool serial_text(const ASN1_INTEGER *serial, char out[2 * PKI_SERIAL_MAX + 1])
{
    BIGNUM *n = ASN1_INTEGER_to_BN(serial, NULL);
    uint8_t bytes[PKI_SERIAL_MAX];
    bool ok = n && !BN_is_negative(n) && BN_num_bytes(n) <= PKI_SERIAL_MAX;
    if (ok)
        hex_encode(span_of(bytes, (size_t)BN_bn2bin(n, bytes)), out);
    BN_free(n);
    return ok;
}

static ASN1_INTEGER *serial_parse(const char *text)
{
    BIGNUM *n = NULL;
    size_t len = strlen(text);
    ASN1_INTEGER *serial = NULL;
    if (len > 0 && len <= 2 * PKI_SERIAL_MAX && strspn(text, "0123456789abcdef") == len &&
        BN_hex2bn(&n, text) == (int)len)
        serial = BN_to_ASN1_INTEGER(n, NULL);
    BN_free(n);
    return serial;
}

/* 16 random bytes, positive and never with a leading zero byte. */
static bool serial_draw(X509 *x)
{
    uint8_t bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (uint8_t)((bytes[0] & 0x3f) | 0x40);
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    BN_free(n);
    return ok;
}

/* ---- certificates ---- */

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    return ok;
}

/* RFC 5280 limits a common name and an organisation to 64 characters: longer ones are cut, they are for reading only. */
static bool add_name(X509_NAME *name, const char *key, const char *text)
{
    size_t n = strnlen(text, 64);
    return X509_NAME_add_entry_by_txt(name, key, MBSTRING_UTF8, (const unsigned char *)text, (int)n, -1, 0) == 1;
}

/* A certificate with everything but extensions and signature. */
static X509 *cert_begin(EVP_PKEY *key, const char *org, const char *common, unsigned days)
{
    X509 *x = X509_new();
    if (x && X509_set_version(x, X509_VERSION_3) && serial_draw(x) &&
        X509_gmtime_adj(X509_getm_notBefore(x), -BACKDATED_S) &&
        X509_gmtime_adj(X509_getm_notAfter(x), (long)days * DAY_S) && X509_set_pubkey(x, key) &&
        add_name(X509_get_subject_name(x), "O", org) && add_name(X509_get_subject_name(x), "CN", common))
        return x;
    X509_free(x);
    return NULL;
}

static bool cert_sign(X509 *x, const struct pki_ca *ca)
{
    return X509_set_issuer_name(x, X509_get_subject_name(ca->cert)) && X509_sign(x, ca->key, EVP_sha256()) > 0;
}

static bool pair_out(struct arena *a, X509 *x, EVP_PKEY *key, struct pki_pair *out)
{
    out->cert = pem_write(a, PEM_CERT, x);
    out->key = pem_write(a, PEM_KEY, key);
    return out->cert.p && out->key.p && serial_text(X509_get0_serialNumber(x), out->serial);
}

/* A list of nothing yet, or the successor of `before`. It is as long valid as the authority: a list that runs out would
 * lock everybody out, and a running server reads it anew whenever it changes. */
static bool crl_finish(X509_CRL *crl, const struct pki_ca *ca, long number)
{
    ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
    ASN1_INTEGER *n = ASN1_INTEGER_new();
    AUTHORITY_KEYID *akid = AUTHORITY_KEYID_new();
    bool ok = now && n && akid && ASN1_INTEGER_set(n, number) && X509_CRL_set1_lastUpdate(crl, now) &&
              X509_CRL_set1_nextUpdate(crl, X509_get0_notAfter(ca->cert)) &&
              X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, X509V3_ADD_REPLACE) == 1;
    const ASN1_OCTET_STRING *skid = X509_get0_subject_key_id(ca->cert);
    if (ok && skid)
        ok = (akid->keyid = ASN1_OCTET_STRING_dup(skid)) &&
             X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, akid, 0, X509V3_ADD_REPLACE) == 1;
    ok = ok && X509_CRL_sort(crl) && X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0;
    ASN1_TIME_free(now);
    ASN1_INTEGER_free(n);
    AUTHORITY_KEYID_free(akid);
    return ok;
}

static struct span crl_empty(const struct pki_ca *ca, struct arena *a)
{
    struct span out = SPAN_NONE;
    X509_CRL *crl = X509_CRL_new();
    if (crl && X509_CRL_set_version(crl, X509_CRL_VERSION_2) &&
        X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert)) && crl_finish(crl, ca, 1))
        out = pem_write(a, PEM_CRL, crl);
    X509_CRL_free(crl);
    return out;
}

enum ledger_rc pki_ca_make(struct arena *a, const char *origin, struct pki_pair *out, struct span *crl,
                           struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    struct pki_ca ca = {.key = EVP_EC_gen("P-256")};
    if (ca.key)
        ca.cert = cert_begin(ca.key, origin, "ledgerd certificate authority", PKI_CA_DAYS);
    if (!ca.cert || !X509_set_issuer_name(ca.cert, X509_get_subject_name(ca.cert)) ||
        !add_extension(ca.cert, ca.cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(ca.cert, ca.cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(ca.cert, ca.cert, NID_subject_key_identifier, "hash") || !cert_sign(ca.cert, &ca) ||
        !pair_out(a, ca.cert, ca.key, out) || !(*crl = crl_empty(&ca, a)).p)
        rc = ssl_fail(err, LEDGER_EINTERNAL, "make the certificate authority");
    X509_free(ca.cert);
    EVP_PKEY_free(ca.key);
    return rc;
}

enum ledger_rc pki_ca_open(struct span cert_pem, struct span key_pem, struct pki_ca **out, struct ledger_err *err)
{
    struct pki_ca *ca = OPENSSL_zalloc(sizeof *ca);
    if (!ca)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    ca->cert = pem_read(cert_pem, PEM_CERT);
    ca->key = pem_read(key_pem, PEM_KEY);
    if (!ca->cert || !ca->key || X509_check_private_key(ca->cert, ca->key) != 1) {
        pki_ca_close(ca);
        return ssl_fail(err, LEDGER_EINVAL, "the certificate authority's certificate and key");
    }
    *out = ca;
    return LEDGER_OK;
}

void pki_ca_close(struct pki_ca *ca)
{
    if (!ca)
        return;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    OPENSSL_free(ca);
}

/* What server and client certificates have in common. `alt` is a value for subjectAltName in OpenSSL's configuration syntax. */
static enum ledger_rc issue(const struct pki_ca *ca, struct arena *a, X509 *x, EVP_PKEY *key, const char *usage,
                            const GENERAL_NAMES *names, struct pki_pair *out, struct ledger_err *err)
{
    if (!add_extension(x, ca->cert, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(x, ca->cert, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(x, ca->cert, NID_ext_key_usage, usage) ||
        !add_extension(x, ca->cert, NID_subject_key_identifier, "hash") ||
        !add_extension(x, ca->cert, NID_authority_key_identifier, "keyid:always") ||
        X509_add1_ext_i2d(x, NID_subject_alt_name, (void *)(uintptr_t)names, 0, X509V3_ADD_DEFAULT) != 1 ||
        !cert_sign(x, ca) || !pair_out(a, x, key, out))
        return ssl_fail(err, LEDGER_EINTERNAL, "issue a certificate");
    return LEDGER_OK;
}

/* Adds one name. Built from parts and not from text, so that no character of a name can begin another one. */
static bool push_name(GENERAL_NAMES *names, int type, const void *bytes, size_t n)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *s = ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    if (!name || !s || !ASN1_STRING_set(s, bytes, (int)n)) {
        ASN1_STRING_free(s);
        GENERAL_NAME_free(name);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, s);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

static bool push_host(GENERAL_NAMES *names, const char *host)
{
    uint8_t ip[16];
    if (inet_pton(AF_INET, host, ip) == 1)
        return push_name(names, GEN_IPADD, ip, 4);
    if (inet_pton(AF_INET6, host, ip) == 1)
        return push_name(names, GEN_IPADD, ip, 16);
    return push_name(names, GEN_DNS, host, strlen(host));
}

enum ledger_rc pki_issue_server(const struct pki_ca *ca, struct arena *a, const char *const *hosts, size_t n_hosts,
                                struct pki_pair *out, struct ledger_err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    X509 *x = key ? cert_begin(key, "ledgerd server", n_hosts ? hosts[n_hosts - 1] : "localhost", PKI_SERVER_DAYS) : NULL;
    bool ok = x && names;
    for (size_t i = 0; ok && i < n_hosts; i++)
        ok = push_host(names, hosts[i]);
    enum ledger_rc rc = ok ? issue(ca, a, x, key, "serverAuth", names, out, err)
                           : ssl_fail(err, LEDGER_EINTERNAL, "make the server's certificate");
    GENERAL_NAMES_free(names);
    X509_free(x);
    EVP_PKEY_free(key);
    return rc;
}

enum ledger_rc pki_issue_client(const struct pki_ca *ca, struct arena *a, const char *uri, unsigned days,
                                struct pki_pair *out, struct ledger_err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    X509 *x = key ? cert_begin(key, "ledgerd client", uri, days) : NULL;
    enum ledger_rc rc;
    if (!x || !names || !push_name(names, GEN_URI, uri, strlen(uri)))
        rc = ssl_fail(err, LEDGER_EINTERNAL, "make a client's certificate");
    else
        rc = issue(ca, a, x, key, "clientAuth", names, out, err);
    GENERAL_NAMES_free(names);
    X509_free(x);
    EVP_PKEY_free(key);
    return rc;
}

/* ---- the revocation list ---- */

static long crl_number(X509_CRL *crl)
{
    ASN1_INTEGER *n = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    long number = n ? ASN1_INTEGER_get(n) : 0;
    ASN1_INTEGER_free(n);
    return number > 0 ? number : 0;
}

static bool crl_add(X509_CRL *crl, ASN1_INTEGER *serial)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
    bool ok = entry && now && X509_REVOKED_set_serialNumber(entry, serial) &&
              X509_REVOKED_set_revocationDate(entry, now) && X509_CRL_add0_revoked(crl, entry);
    if (!ok)
        X509_REVOKED_free(entry);
    ASN1_TIME_free(now);
    return ok;
}

enum ledger_rc pki_revoke(const struct pki_ca *ca, struct arena *a, struct span crl_pem, const char *serial,
                          struct span *out, struct ledger_err *err)
{
    X509_CRL *crl = pem_read(crl_pem, PEM_CRL);
    ASN1_INTEGER *n = serial_parse(serial);
    X509_REVOKED *there = NULL;
    enum ledger_rc rc = LEDGER_OK;
    if (!crl || X509_CRL_verify(crl, ca->key) != 1)
        rc = ssl_fail(err, LEDGER_EINVAL, "the revocation list");
    else if (!n)
        rc = ledger_fail(err, LEDGER_EINVAL, "\"%.60s\" is no serial number in hexadecimal digits", serial);
    else if (X509_CRL_get0_by_serial(crl, &there, n) == 1)
        rc = ledger_fail(err, LEDGER_EINVAL, "the certificate %s is revoked already", serial);
    else if (!crl_add(crl, n) || !crl_finish(crl, ca, crl_number(crl) + 1) || !(*out = pem_write(a, PEM_CRL, crl)).p)
        rc = ssl_fail(err, LEDGER_EINTERNAL, "make the revocation list");
    ASN1_INTEGER_free(n);
    X509_CRL_free(crl);
    return rc;
}

enum ledger_rc pki_is_revoked(struct span crl_pem, const char *serial, bool *revoked, int64_t *at_s,
                              struct ledger_err *err)
{
    X509_CRL *crl = pem_read(crl_pem, PEM_CRL);
    ASN1_INTEGER *n = serial_parse(serial);
    X509_REVOKED *entry = NULL;
    enum ledger_rc rc = crl && n ? LEDGER_OK : ssl_fail(err, LEDGER_EINVAL, "the revocation list");
    if (rc == LEDGER_OK) {
        *revoked = X509_CRL_get0_by_serial(crl, &entry, n) == 1;
        if (*revoked && at_s && !tsp_posix_seconds(X509_REVOKED_get0_revocationDate(entry), at_s))
            *at_s = 0;
    }
    ASN1_INTEGER_free(n);
    X509_CRL_free(crl);
    return rc;
}

enum ledger_rc pki_next_update(struct span crl_pem, int64_t *out_s, struct ledger_err *err)
{
    X509_CRL *crl = pem_read(crl_pem, PEM_CRL);
    const ASN1_TIME *next = crl ? X509_CRL_get0_nextUpdate(crl) : NULL;
    enum ledger_rc rc = next && tsp_posix_seconds(next, out_s) ? LEDGER_OK : ssl_fail(err, LEDGER_EINVAL, "the revocation list");
    X509_CRL_free(crl);
    return rc;
}

/* ---- reading ---- */

bool pki_uri_of(const void *x509, char out[PKI_NAME_MAX + 1])
{
    const X509 *x = x509;
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    size_t found = 0;
    bool ok = true;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        found++;
        int n = ASN1_STRING_length(name->d.uniformResourceIdentifier);
        const uint8_t *p = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
        if (n < 1 || n > PKI_NAME_MAX) {
            ok = false;
            continue;
        }
        for (int j = 0; j < n; j++)
            ok = ok && p[j] > ' ' && p[j] <= '~'; /* A NUL inside would end the name early for whoever reads it as text. */
        memcpy(out, p, (size_t)n);
        out[n] = '\0';
    }
    GENERAL_NAMES_free(names);
    return ok && found == 1;
}

bool pki_serial_of(const void *x509, char out[2 * PKI_SERIAL_MAX + 1])
{
    const X509 *x = x509;
    return serial_text(X509_get0_serialNumber(x), out);
}

bool pki_not_after_of(const void *x509, int64_t *out)
{
    const X509 *x = x509;
    return tsp_posix_seconds(X509_get0_notAfter(x), out);
}

enum ledger_rc pki_read(struct span cert_pem, struct pki_info *out, struct ledger_err *err)
{
    *out = (struct pki_info){0};
    X509 *x = pem_read(cert_pem, PEM_CERT);
    enum ledger_rc rc = LEDGER_OK;
    if (!x || !pki_serial_of(x, out->serial) || !tsp_posix_seconds(X509_get0_notBefore(x), &out->not_before_s) ||
        !pki_not_after_of(x, &out->not_after_s))
        rc = ssl_fail(err, LEDGER_EINVAL, "a certificate");
    else if (!pki_uri_of(x, out->name))
        out->name[0] = '\0';
    X509_free(x);
    return rc;
}
