/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls: OpenSSL between two queues of bytes (bytes.h), by a BIO of our own: OpenSSL's memory BIO grows in small steps, each of which copies and
 * wipes, which was a third of what streaming costs, and never shrinks. A write never blocks, so SSL_write takes everything; what bounds
 * the output is the connection, which stops asking for more.
 *
 * Failure modes: after TLS_FAILED only the output (an alert) is of use. OpenSSL's error queue belongs to the thread, so it is cleared
 * before each call and emptied after a failure; an answer is never made from the queue alone, because some failures leave it empty.
 */
#include "tls.h"

#include "bytes.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

struct tls_context {
    SSL_CTX *ssl;
    X509_CRL *crl;
    int64_t expires_s;
};

struct tls {
    SSL *ssl;
    BIO_METHOD *queue;    /* of its BIOs, which read and write these */
    struct bytes in, out;
    bool failed;
    char fault[160];
    struct tls_peer peer;
};

/* ---- context ---- */

static enum ledger_rc ssl_fail(struct ledger_err *err, const char *what, const char *path)
{
    unsigned long code = ERR_peek_last_error();
    char text[120] = "no reason given";
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return ledger_fail(err, LEDGER_EINVAL, "%s %s: %s", what, path, text);
}

/* Runs inside OpenSSL's verification. The name is checked here and not after the handshake, so that the peer is told by an alert. */
static int verify_cb(int ok, X509_STORE_CTX *ctx)
{
    char name[PKI_NAME_MAX + 1];
    if (!ok || X509_STORE_CTX_get_error_depth(ctx) != 0)
        return ok;
    if (pki_uri_of(X509_STORE_CTX_get_current_cert(ctx), name))
        return 1;
    X509_STORE_CTX_set_error(ctx, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

static X509_CRL *read_crl(const char *path)
{
    BIO *b = BIO_new_file(path, "r");
    X509_CRL *crl = b ? PEM_read_bio_X509_CRL(b, NULL, NULL, NULL) : NULL;
    BIO_free(b);
    return crl;
}

static enum ledger_rc set_trust(struct tls_context *c, const struct tls_files *f, struct ledger_err *err)
{
    X509_STORE *store = SSL_CTX_get_cert_store(c->ssl);
    if (SSL_CTX_load_verify_file(c->ssl, f->ca) != 1)
        return ssl_fail(err, "certificate authority", f->ca);
    c->crl = read_crl(f->crl);
    if (!c->crl || X509_STORE_add_crl(store, c->crl) != 1)
        return ssl_fail(err, "revocation list", f->crl);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_X509_STRICT);
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_cb);
    SSL_CTX_set_verify_depth(c->ssl, 0); /* no authorities between ours and the client */
    if (SSL_CTX_set_purpose(c->ssl, X509_PURPOSE_SSL_CLIENT) != 1)
        return ssl_fail(err, "purpose", "of client certificates");
    /* Clients that hold several certificates learn from it which one is wanted. */
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(f->ca);
    if (!names)
        return ssl_fail(err, "certificate authority", f->ca);
    SSL_CTX_set_client_CA_list(c->ssl, names);
    return LEDGER_OK;
}

static enum ledger_rc set_identity(struct tls_context *c, const struct tls_files *f, struct ledger_err *err)
{
    if (SSL_CTX_use_certificate_chain_file(c->ssl, f->cert) != 1)
        return ssl_fail(err, "server certificate", f->cert);
    if (SSL_CTX_use_PrivateKey_file(c->ssl, f->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(c->ssl) != 1)
        return ssl_fail(err, "server key", f->key);
    if (!pki_not_after_of(SSL_CTX_get0_certificate(c->ssl), &c->expires_s))
        return ssl_fail(err, "server certificate", f->cert);
    return LEDGER_OK;
}

static enum ledger_rc set_protocol(struct tls_context *c, struct ledger_err *err)
{
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_set_min_proto_version(c->ssl, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(c->ssl, TLS1_3_VERSION) != 1 || SSL_CTX_set_num_tickets(c->ssl, 0) != 1)
        return ssl_fail(err, "TLS 1.3", "is not offered by the library");
    return LEDGER_OK;
}

enum ledger_rc tls_context_new(const struct tls_files *files, struct tls_context **out, struct ledger_err *err)
{
    ERR_clear_error();
    struct tls_context *c = OPENSSL_zalloc(sizeof *c);
    if (!c)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    c->ssl = SSL_CTX_new(TLS_server_method());
    enum ledger_rc rc = c->ssl ? set_protocol(c, err) : ssl_fail(err, "TLS", "context");
    if (rc == LEDGER_OK)
        rc = set_trust(c, files, err);
    if (rc == LEDGER_OK)
        rc = set_identity(c, files, err);
    if (rc != LEDGER_OK) {
        tls_context_free(c);
        return rc;
    }
    *out = c;
    return LEDGER_OK;
}

void tls_context_free(struct tls_context *c)
{
    if (!c)
        return;
    X509_CRL_free(c->crl);
    SSL_CTX_free(c->ssl);
    OPENSSL_free(c);
}

bool tls_context_revoked(const struct tls_context *c, const char *serial)
{
    BIGNUM *n = NULL;
    X509_REVOKED *entry = NULL;
    bool revoked = true; /* A serial that cannot be looked up is not vouched for. */
    ASN1_INTEGER *number = BN_hex2bn(&n, serial) > 0 ? BN_to_ASN1_INTEGER(n, NULL) : NULL;
    if (number)
        revoked = X509_CRL_get0_by_serial(c->crl, &entry, number) == 1;
    ASN1_INTEGER_free(number);
    BN_free(n);
    return revoked;
}

int64_t tls_context_expires(const struct tls_context *c)
{
    return c->expires_s;
}

/* ---- a BIO over a queue of bytes ---- */

static int queue_write(BIO *b, const char *bytes, size_t n, size_t *written)
{
    BIO_clear_retry_flags(b);
    *written = 0;
    if (!bytes_add(BIO_get_data(b), span_of(bytes, n)))
        return -1;
    *written = n;
    return 1;
}

static int queue_read(BIO *b, char *out, size_t max, size_t *n)
{
    struct bytes *q = BIO_get_data(b);
    struct span there = bytes_span(q);
    BIO_clear_retry_flags(b);
    *n = there.n < max ? there.n : max;
    if (!there.p || *n == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    memcpy(out, there.p, *n);
    bytes_drop(q, *n);
    return 1;
}

static long queue_ctrl(BIO *b, int cmd, long number, void *p)
{
    (void)number, (void)p;
    if (cmd == BIO_CTRL_PENDING)
        return (long)bytes_count(BIO_get_data(b));
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *queue_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "queue");
    if (m) {
        BIO_meth_set_write_ex(m, queue_write);
        BIO_meth_set_read_ex(m, queue_read);
        BIO_meth_set_ctrl(m, queue_ctrl);
    }
    return m;
}

static BIO *queue_bio(const BIO_METHOD *m, struct bytes *q)
{
    BIO *b = m ? BIO_new(m) : NULL;
    if (!b)
        return NULL;
    BIO_set_data(b, q);
    BIO_set_init(b, 1);
    return b;
}

/* ---- engine ---- */

struct tls *tls_new(struct tls_context *c)
{
    ERR_clear_error();
    struct tls *t = OPENSSL_zalloc(sizeof *t);
    if (!t)
        return NULL;
    t->ssl = SSL_new(c->ssl);
    t->queue = queue_method();
    BIO *in = queue_bio(t->queue, &t->in), *out = queue_bio(t->queue, &t->out);
    if (!t->ssl || !in || !out) {
        BIO_free(in);
        BIO_free(out);
        tls_free(t);
        return NULL;
    }
    SSL_set_bio(t->ssl, in, out); /* takes both */
    SSL_set_accept_state(t->ssl);
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    BIO_meth_free(t->queue);
    bytes_fini(&t->in);
    bytes_fini(&t->out);
    OPENSSL_free(t);
}

bool tls_feed(struct tls *t, struct span bytes)
{
    return bytes_add(&t->in, bytes);
}

/* Says why in a few words: the certificate's fault if there is one, else the library's. */
static enum tls_result fail(struct tls *t)
{
    long verify = SSL_get_verify_result(t->ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (verify == X509_V_ERR_APPLICATION_VERIFICATION)
        reason = "the client certificate does not name its holder by exactly one URI";
    else if (verify != X509_V_OK)
        reason = X509_verify_cert_error_string(verify);
    snprintf(t->fault, sizeof t->fault, "%s", reason ? reason : "no reason given");
    t->failed = true;
    ERR_clear_error();
    return TLS_FAILED;
}

/* OpenSSL's answer after a call that did not succeed. */
static enum tls_result outcome(struct tls *t, int ret)
{
    switch (SSL_get_error(t->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        ERR_clear_error();
        return TLS_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    default:
        return fail(t);
    }
}

/* Copies who the peer is: no pointers into its certificate are kept. The verification result is "good" also when there is no
 * certificate, so both are asked for. */
static bool identify(struct tls *t)
{
    const X509 *x = SSL_get0_peer_certificate(t->ssl);
    return x && SSL_get_verify_result(t->ssl) == X509_V_OK && SSL_version(t->ssl) == TLS1_3_VERSION &&
           pki_uri_of(x, t->peer.name) && pki_serial_of(x, t->peer.serial) && pki_not_after_of(x, &t->peer.not_after_s);
}

static enum tls_result handshake(struct tls *t)
{
    int ret = SSL_do_handshake(t->ssl);
    if (ret != 1)
        return outcome(t, ret);
    return identify(t) ? TLS_OK : fail(t);
}

enum tls_result tls_read(struct tls *t, uint8_t *buf, size_t max, size_t *n)
{
    *n = 0;
    if (t->failed)
        return TLS_FAILED;
    ERR_clear_error();
    if (!t->peer.name[0]) {
        enum tls_result r = handshake(t);
        if (r != TLS_OK)
            return r;
    }
    int ret = SSL_read_ex(t->ssl, buf, max, n);
    return ret == 1 ? TLS_OK : outcome(t, ret);
}

enum tls_result tls_write(struct tls *t, struct span plain)
{
    size_t written = 0;
    if (t->failed || !tls_open(t))
        return TLS_FAILED;
    ERR_clear_error();
    int ret = plain.n ? SSL_write_ex(t->ssl, plain.p, plain.n, &written) : 1;
    if (ret == 1 && written == plain.n)
        return TLS_OK;
    return ret == 1 ? fail(t) : outcome(t, ret) == TLS_FAILED ? TLS_FAILED : fail(t);
}

void tls_close_notify(struct tls *t)
{
    if (t->failed || !tls_open(t))
        return;
    ERR_clear_error();
    (void)SSL_shutdown(t->ssl); /* 0: the peer's own is not waited for */
    ERR_clear_error();
}

bool tls_open(const struct tls *t)
{
    return t->peer.name[0] && !t->failed;
}

bool tls_has_input(const struct tls *t)
{
    return SSL_has_pending(t->ssl) || bytes_count(&t->in) > 0;
}

struct span tls_output(const struct tls *t)
{
    return bytes_span(&t->out);
}

void tls_output_drop(struct tls *t, size_t n)
{
    bytes_drop(&t->out, n);
}

const char *tls_fault(const struct tls *t)
{
    return t->fault;
}

const struct tls_peer *tls_peer(const struct tls *t)
{
    return &t->peer;
}
