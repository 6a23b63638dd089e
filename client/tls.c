/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls: OpenSSL over two memory BIOs. No session tickets: each connection shows its certificates again. May include: <openssl/…>.
 */
#include "tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "tsp.h"

struct tls_context {
    SSL_CTX *ctx;
};
struct tls_session {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

/* The first queued reason in words, or a dash; empties the queue, which is the thread's and not ours alone. */
static const char *reason(unsigned long *code)
{
    unsigned long e = ERR_get_error();
    const char *text = e ? ERR_reason_error_string(e) : NULL;
    *code = e;
    ERR_clear_error();
    return text ? text : "unknown reason";
}

static enum ledger_rc load_files(SSL_CTX *ctx, const struct ledger_profile *p, struct ledger_err *err)
{
    char ca[PROFILE_PATH_MAX + 64], cert[PROFILE_PATH_MAX + 64], key[PROFILE_PATH_MAX + 64];
    unsigned long code;
    enum ledger_rc rc = profile_path(p, "ca.pem", ca, err);
    if (rc == LEDGER_OK)
        rc = profile_path(p, "client.pem", cert, err);
    if (rc == LEDGER_OK)
        rc = profile_path(p, "client.key", key, err);
    if (rc != LEDGER_OK)
        return rc;
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(ctx, ca) != 1)
        return ledger_fail(err, LEDGER_EINVAL, "ca.pem cannot be used: %s", reason(&code));
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return ledger_fail(err, LEDGER_EINVAL, "client.pem cannot be used: %s", reason(&code));
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        return ledger_fail(err, LEDGER_EINVAL, "client.key cannot be used: %s", reason(&code));
    return LEDGER_OK;
}

enum ledger_rc tls_client_context_new(const struct ledger_profile *p, struct tls_context **out, struct ledger_err *err)
{
    *out = NULL;
    struct tls_context *t = calloc(1, sizeof *t);
    if (!t || !(t->ctx = SSL_CTX_new(TLS_client_method()))) {
        free(t);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
    enum ledger_rc rc = SSL_CTX_set_min_proto_version(t->ctx, TLS1_3_VERSION) == 1
                            ? load_files(t->ctx, p, err)
                            : ledger_fail(err, LEDGER_EINTERNAL, "the TLS library lacks TLS 1.3");
    if (rc != LEDGER_OK) {
        tls_client_context_free(t);
        return rc;
    }
    *out = t;
    return LEDGER_OK;
}

void tls_client_context_free(struct tls_context *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

static enum ledger_rc file_expiry(const struct ledger_profile *p, const char *name, int64_t *out, struct ledger_err *err)
{
    char path[PROFILE_PATH_MAX + 64];
    unsigned long code;
    enum ledger_rc rc = profile_path(p, name, path, err);
    if (rc != LEDGER_OK)
        return rc;
    BIO *b = BIO_new_file(path, "r");
    X509 *x = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
    if (!x || !tsp_posix_seconds(X509_get0_notAfter(x), out))
        rc = ledger_fail(err, b ? LEDGER_EINVAL : LEDGER_ENOTFOUND, "%s cannot be used: %s", name, reason(&code));
    X509_free(x);
    BIO_free(b);
    return rc;
}

enum ledger_rc tls_profile_expiry(const struct ledger_profile *p, int64_t *own_s, int64_t *ca_s, struct ledger_err *err)
{
    enum ledger_rc rc = file_expiry(p, "client.pem", own_s, err);
    return rc == LEDGER_OK ? file_expiry(p, "ca.pem", ca_s, err) : rc;
}

static bool is_ip(const char *host)
{
    uint8_t buf[16];
    return inet_pton(AF_INET, host, buf) == 1 || inet_pton(AF_INET6, host, buf) == 1;
}

/* A certificate for an address must name the address; one for a name must name the name, in full or by a whole-label wildcard. */
static bool expect_host(SSL *ssl, const char *host)
{
    if (is_ip(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    /* As SSL_set_tlsext_host_name does it, without the warning about its cast: OpenSSL copies the name. */
    void *name = (void *)(uintptr_t)host;
    return SSL_set1_host(ssl, host) == 1 && SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) == 1;
}

enum ledger_rc tls_client_session_new(struct tls_context *t, const char *host, struct tls_session **out, struct ledger_err *err)
{
    *out = NULL;
    struct tls_session *s = calloc(1, sizeof *s);
    SSL *ssl = s ? SSL_new(t->ctx) : NULL;
    BIO *in = ssl ? BIO_new(BIO_s_mem()) : NULL, *output = in ? BIO_new(BIO_s_mem()) : NULL;
    if (!output || !expect_host(ssl, host)) {
        BIO_free(in);
        BIO_free(output);
        SSL_free(ssl);
        free(s);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    SSL_set_bio(ssl, in, output); /* takes both */
    SSL_set_connect_state(ssl);
    *s = (struct tls_session){ssl, in, output};
    *out = s;
    return LEDGER_OK;
}

void tls_client_session_free(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    free(s);
}

/* Alerts of RFC 8446 section 6.2 by which a server turns down a client's certificate. */
static bool is_certificate_alert(unsigned long code)
{
    int r = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET;
    return ERR_GET_LIB(code) == ERR_LIB_SSL &&
           ((r >= SSL_AD_BAD_CERTIFICATE && r <= SSL_AD_CERTIFICATE_UNKNOWN) || r == SSL_AD_UNKNOWN_CA ||
            r == SSL_AD_ACCESS_DENIED || r == SSL_AD_CERTIFICATE_REQUIRED);
}

static enum ledger_rc rc_from_ssl(struct tls_session *s, int how, struct ledger_err *err)
{
    long verified = SSL_get_verify_result(s->ssl);
    unsigned long code;
    if (how == SSL_ERROR_ZERO_RETURN) {
        ERR_clear_error();
        return ledger_fail(err, LEDGER_ECONNECT, "the server closed the connection");
    }
    const char *text = reason(&code);
    if (verified != X509_V_OK)
        return ledger_fail(err, LEDGER_EUNTRUSTED, "the server's certificate does not fit the profile: %s",
                           X509_verify_cert_error_string(verified));
    if (is_certificate_alert(code))
        return ledger_fail(err, LEDGER_EDENIED, "the server does not accept this profile's certificate: %s", text);
    if (ERR_GET_REASON(code) == SSL_R_UNSUPPORTED_PROTOCOL || ERR_GET_REASON(code) == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
        return ledger_fail(err, LEDGER_EVERSION, "the server does not speak TLS 1.3");
    return ledger_fail(err, LEDGER_ECONNECT, "TLS: %s", text);
}

enum ledger_rc tls_client_handshake(struct tls_session *s, bool *done, struct ledger_err *err)
{
    ERR_clear_error();
    int r = SSL_do_handshake(s->ssl);
    *done = r == 1;
    if (r == 1) {
        /* Without a certificate the verify result would be "ok". */
        if (SSL_get0_peer_certificate(s->ssl) && SSL_get_verify_result(s->ssl) == X509_V_OK)
            return LEDGER_OK;
        return ledger_fail(err, LEDGER_EUNTRUSTED, "the server showed no certificate");
    }
    int how = SSL_get_error(s->ssl, r);
    return how == SSL_ERROR_WANT_READ ? LEDGER_OK : rc_from_ssl(s, how, err);
}

enum ledger_rc tls_client_receive(struct tls_session *s, struct span bytes, struct ledger_err *err)
{
    if (bytes.n == 0)
        return LEDGER_OK;
    if (bytes.n > (1u << 30) || BIO_write(s->in, bytes.p, (int)bytes.n) != (int)bytes.n)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    return LEDGER_OK;
}

enum ledger_rc tls_client_read(struct tls_session *s, void *p, size_t n, size_t *got, struct ledger_err *err)
{
    *got = 0;
    ERR_clear_error();
    int r = SSL_read_ex(s->ssl, p, n, got);
    if (r == 1)
        return LEDGER_OK;
    *got = 0;
    int how = SSL_get_error(s->ssl, r);
    return how == SSL_ERROR_WANT_READ ? LEDGER_OK : rc_from_ssl(s, how, err);
}

enum ledger_rc tls_client_write(struct tls_session *s, struct span bytes, struct ledger_err *err)
{
    size_t written = 0;
    ERR_clear_error();
    /* A memory BIO takes everything, so a write is never partial. */
    if (SSL_write_ex(s->ssl, bytes.p, bytes.n, &written) == 1 && written == bytes.n)
        return LEDGER_OK;
    return rc_from_ssl(s, SSL_ERROR_SSL, err);
}

struct span tls_client_output(struct tls_session *s)
{
    char *p = NULL;
    long n = BIO_get_mem_data(s->out, &p);
    return n > 0 ? span_of(p, (size_t)n) : SPAN_NONE;
}

void tls_client_output_taken(struct tls_session *s)
{
    (void)BIO_reset(s->out);
}
