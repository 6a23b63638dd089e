/* SPDX-License-Identifier: Apache-2.0 */
/* tls and pki: the server's engine against an OpenSSL client, over memory: who gets in, who does not, and what travels. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "check.h"
#include "files.h"
#include "server/tls.h"

#define NAME "urn:ledgerd:client:test"

/* An authority with its files in a temporary folder, and the parts that tests make certificates from. */
struct house {
    struct arena *a;
    char dir[64], path[5][128];
    struct pki_pair ca, server, client;
    struct span crl;
    struct pki_ca *authority;
    struct tls_files files;
    struct tls_context *context;
};

static void put_file(struct house *h, size_t i, const char *name, struct span bytes)
{
    struct ledger_err err = {0};
    snprintf(h->path[i], sizeof h->path[i], "%s/%s", h->dir, name);
    CHECK_EQ_INT(files_replace(h->path[i], bytes, &err), LEDGER_OK);
}

static void open_context(struct house *h)
{
    struct ledger_err err = {0};
    tls_context_free(h->context);
    enum ledger_rc rc = tls_context_new(&h->files, &h->context, &err);
    if (rc != LEDGER_OK)
        fprintf(stderr, "%s\n", err.msg);
    CHECK_EQ_INT(rc, LEDGER_OK);
}

static void build(struct house *h)
{
    static const char *const HOSTS[] = {"localhost", "127.0.0.1", "::1", "ledger.example.org"};
    struct ledger_err err = {0};
    *h = (struct house){.a = arena_new(8 << 20), .dir = "/tmp/test_tls-XXXXXX"};
    CHECK(h->a && mkdtemp(h->dir));
    CHECK_EQ_INT(pki_ca_make(h->a, "example.org/test", &h->ca, &h->crl, &err), LEDGER_OK);
    CHECK_EQ_INT(pki_ca_open(h->ca.cert, h->ca.key, &h->authority, &err), LEDGER_OK);
    CHECK_EQ_INT(pki_issue_server(h->authority, h->a, HOSTS, 4, &h->server, &err), LEDGER_OK);
    CHECK_EQ_INT(pki_issue_client(h->authority, h->a, NAME, 10, &h->client, &err), LEDGER_OK);
    put_file(h, 0, "ca.pem", h->ca.cert);
    put_file(h, 1, "crl.pem", h->crl);
    put_file(h, 2, "server.pem", h->server.cert);
    put_file(h, 3, "server.key", h->server.key);
    h->files = (struct tls_files){h->path[0], h->path[1], h->path[2], h->path[3]};
    open_context(h);
}

static void tear_down(struct house *h)
{
    files_remove_folder(h->dir);
    tls_context_free(h->context);
    pki_ca_close(h->authority);
    arena_free(h->a);
}

/* ---- a client ---- */

struct client {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
};

static void *from_pem(struct span pem, bool key)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    void *object = key ? (void *)PEM_read_bio_PrivateKey(b, NULL, NULL, NULL)
                       : (void *)PEM_read_bio_X509(b, NULL, NULL, NULL);
    BIO_free(b);
    CHECK(object);
    return object;
}

static int tickets_seen;
static int ticket_cb(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    (void)session;
    tickets_seen++;
    return 0;
}

/* cert NULL: none is presented. */
static void client_open(struct client *c, const struct house *h, X509 *cert, EVP_PKEY *key)
{
    c->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(c->ctx, ticket_cb);
    CHECK_EQ_INT(SSL_CTX_load_verify_file(c->ctx, h->files.ca), 1);
    if (cert) {
        CHECK_EQ_INT(SSL_CTX_use_certificate(c->ctx, cert), 1);
        CHECK_EQ_INT(SSL_CTX_use_PrivateKey(c->ctx, key), 1);
    }
    c->ssl = SSL_new(c->ctx);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    SSL_set_bio(c->ssl, c->in, c->out);
    CHECK_EQ_INT(SSL_set1_host(c->ssl, "ledger.example.org"), 1);
    SSL_set_connect_state(c->ssl);
}

static void client_close(struct client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    ERR_clear_error();
}

/* Carries what each side has to say, in pieces of at most `piece` bytes. */
static void carry(struct client *c, struct tls *t, size_t piece)
{
    uint8_t buf[4096];
    int n = BIO_read(c->out, buf, (int)(piece < sizeof buf ? piece : sizeof buf));
    if (n > 0)
        CHECK(tls_feed(t, span_of(buf, (size_t)n)));
    struct span out = tls_output(t);
    size_t m = out.n < piece ? out.n : piece;
    if (m) {
        CHECK_EQ_INT(BIO_write(c->in, out.p, (int)m), (int)m);
        tls_output_drop(t, m);
    }
}

/* Both sides as far as they get. What the server's engine says at the end; the first bytes it decrypts are in *got. */
static enum tls_result shake(struct client *c, struct tls *t, size_t piece)
{
    enum tls_result r = TLS_AGAIN;
    for (int i = 0; i < 20000; i++) {
        uint8_t buf[64];
        size_t n = 0;
        ERR_clear_error();
        int done = SSL_do_handshake(c->ssl);
        carry(c, t, piece);
        r = tls_read(t, buf, sizeof buf, &n);
        if (r != TLS_AGAIN)
            return r;
        if (done == 1 && tls_open(t))
            return TLS_OK;
    }
    return r;
}

/* The outcome of a handshake with this certificate; `fault` is what the server must have noted. */
static void expect(struct house *h, X509 *cert, EVP_PKEY *key, const char *fault)
{
    struct client c;
    struct tls *t = tls_new(h->context);
    CHECK(t);
    client_open(&c, h, cert, key);
    enum tls_result r = shake(&c, t, 4096);
    CHECK_EQ_INT(r, fault ? TLS_FAILED : TLS_OK);
    CHECK_EQ_INT(tls_open(t), !fault);
    if (fault) {
        uint8_t buf[16];
        size_t n;
        if (!strstr(tls_fault(t), fault)) {
            fprintf(stderr, "\"%s\" lacks \"%s\"\n", tls_fault(t), fault);
            exit(CHECK_EXIT_FAILED);
        }
        CHECK(tls_output(t).n > 0); /* an alert */
        CHECK_EQ_INT(tls_write(t, SPAN_LIT("secret")), TLS_FAILED);
        CHECK_EQ_INT(tls_read(t, buf, sizeof buf, &n), TLS_FAILED);
    }
    client_close(&c);
    tls_free(t);
}

static void expect_pair(struct house *h, const struct pki_pair *pair, const char *fault)
{
    X509 *cert = from_pem(pair->cert, false);
    EVP_PKEY *key = from_pem(pair->key, true);
    expect(h, cert, key, fault);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- certificates that pki would not make ---- */

struct odd {
    const char *uris[3];
    size_t uri_n;          /* of the first, when it is not a C string */
    long begins_s, ends_s; /* from now */
    const char *usage;
};

static void add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(e && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

static void expect_odd(struct house *h, const struct odd *o, const char *fault)
{
    X509 *ca = from_pem(h->ca.cert, false), *x = X509_new();
    EVP_PKEY *ca_key = from_pem(h->ca.key, true), *key = EVP_EC_gen("P-256");
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 4711);
    X509_gmtime_adj(X509_getm_notBefore(x), o->begins_s);
    X509_gmtime_adj(X509_getm_notAfter(x), o->ends_s);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"odd", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(ca));
    add_ext(x, ca, NID_basic_constraints, "critical,CA:FALSE");
    add_ext(x, ca, NID_key_usage, "critical,digitalSignature");
    add_ext(x, ca, NID_ext_key_usage, o->usage);
    add_ext(x, ca, NID_subject_key_identifier, "hash");
    add_ext(x, ca, NID_authority_key_identifier, "keyid:always");
    for (size_t i = 0; i < 3 && o->uris[i]; i++) {
        GENERAL_NAME *n = GENERAL_NAME_new();
        ASN1_IA5STRING *s = ASN1_IA5STRING_new();
        size_t length = i == 0 && o->uri_n ? o->uri_n : strlen(o->uris[i]);
        ASN1_STRING_set(s, o->uris[i], (int)length);
        GENERAL_NAME_set0_value(n, GEN_URI, s);
        sk_GENERAL_NAME_push(names, n);
    }
    if (o->uris[0])
        CHECK_EQ_INT(X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT), 1);
    CHECK(X509_sign(x, ca_key, EVP_sha256()) > 0);
    expect(h, x, key, fault);
    GENERAL_NAMES_free(names);
    X509_free(x);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
}

/* ---- tests ---- */

static void good_in_pieces(size_t piece)
{
    struct house h;
    struct client c;
    static uint8_t big[100000], back[100000];
    build(&h);
    X509 *cert = from_pem(h.client.cert, false);
    EVP_PKEY *key = from_pem(h.client.key, true);
    struct tls *t = tls_new(h.context);
    client_open(&c, &h, cert, key);
    CHECK_EQ_INT(shake(&c, t, piece), TLS_OK);
    CHECK_EQ_STR(tls_peer(t)->name, NAME);
    CHECK_EQ_STR(tls_peer(t)->serial, h.client.serial);
    CHECK(tls_peer(t)->not_after_s > 1700000000);
    CHECK_EQ_INT(SSL_version(c.ssl), TLS1_3_VERSION);

    /* To the server. */
    uint8_t buf[64];
    size_t n = 0;
    enum tls_result r = TLS_AGAIN;
    CHECK_EQ_INT(SSL_write(c.ssl, "question", 8), 8);
    for (int i = 0; r == TLS_AGAIN && i < 5000; i++) {
        carry(&c, t, piece);
        r = tls_read(t, buf, sizeof buf, &n);
    }
    CHECK_EQ_INT(r, TLS_OK);
    CHECK_EQ_INT(n, 8);
    CHECK_EQ_MEM(buf, "question", 8);
    CHECK_EQ_INT(tls_read(t, buf, sizeof buf, &n), TLS_AGAIN);
    CHECK(!tls_has_input(t));

    /* From the server, several records at once. */
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 7 + i / 256);
    CHECK_EQ_INT(tls_write(t, span_of(big, sizeof big)), TLS_OK);
    size_t got = 0;
    for (int i = 0; got < sizeof back && i < 200000; i++) {
        carry(&c, t, piece);
        int m = SSL_read(c.ssl, back + got, (int)(sizeof back - got));
        got += m > 0 ? (size_t)m : 0;
    }
    CHECK_EQ_INT(got, sizeof back);
    CHECK(memcmp(big, back, sizeof big) == 0);
    CHECK_EQ_INT(tickets_seen, 0);

    /* The end, as the client sees it and as the server sees it. */
    CHECK_EQ_INT(SSL_shutdown(c.ssl), 0);
    for (int i = 0; i < 2000 && (r = tls_read(t, buf, sizeof buf, &n)) == TLS_AGAIN; i++)
        carry(&c, t, piece);
    CHECK_EQ_INT(r, TLS_CLOSED);
    tls_close_notify(t);
    CHECK(tls_output(t).n > 0);
    client_close(&c);
    tls_free(t);
    X509_free(cert);
    EVP_PKEY_free(key);
    tear_down(&h);
}

TEST(good)
{
    good_in_pieces(4096);
}

TEST(good_in_small_pieces)
{
    good_in_pieces(37);
}

TEST(no_certificate)
{
    struct house h;
    build(&h);
    expect(&h, NULL, NULL, "did not return a certificate");
    tear_down(&h);
}

TEST(other_authority)
{
    struct house h, other;
    build(&h);
    build(&other);
    expect_pair(&h, &h.client, NULL);
    expect_pair(&h, &other.client, "issuer certificate");
    tear_down(&other);
    tear_down(&h);
}

TEST(revoked)
{
    struct house h;
    struct ledger_err err = {0};
    struct span crl, again;
    struct pki_pair second;
    bool revoked = true;
    int64_t at = 0;
    build(&h);
    CHECK_EQ_INT(pki_issue_client(h.authority, h.a, NAME, 10, &second, &err), LEDGER_OK);
    CHECK(strcmp(second.serial, h.client.serial) != 0);
    CHECK_EQ_INT(pki_is_revoked(h.crl, h.client.serial, &revoked, NULL, &err), LEDGER_OK);
    CHECK(!revoked);
    CHECK_EQ_INT(pki_revoke(h.authority, h.a, h.crl, h.client.serial, &crl, &err), LEDGER_OK);
    CHECK_EQ_INT(pki_is_revoked(crl, h.client.serial, &revoked, &at, &err), LEDGER_OK);
    CHECK(revoked && at > 1700000000);
    CHECK_EQ_INT(pki_revoke(h.authority, h.a, crl, h.client.serial, &again, &err), LEDGER_EINVAL);
    CHECK_EQ_INT(pki_revoke(h.authority, h.a, crl, "xyz", &again, &err), LEDGER_EINVAL);
    expect_pair(&h, &h.client, NULL); /* The context still has the list before. */
    CHECK(!tls_context_revoked(h.context, h.client.serial));
    put_file(&h, 1, "crl.pem", crl);
    open_context(&h);
    CHECK(tls_context_revoked(h.context, h.client.serial));
    CHECK(!tls_context_revoked(h.context, second.serial));
    expect_pair(&h, &h.client, "revoked");
    expect_pair(&h, &second, NULL);
    tear_down(&h);
}

/* A list that somebody else signed must not be taken, nor none at all. */
TEST(lists_that_do_not_serve)
{
    struct house h, other;
    struct tls_context *c = NULL;
    struct ledger_err err = {0};
    build(&h);
    build(&other);
    put_file(&h, 1, "crl.pem", other.crl);
    open_context(&h);
    expect_pair(&h, &h.client, "CRL");
    h.files.crl = "/nonexistent/crl.pem";
    CHECK_EQ_INT(tls_context_new(&h.files, &c, &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, "revocation list"));
    tear_down(&other);
    tear_down(&h);
}

TEST(names)
{
    struct house h;
    static char long_name[300] = "urn:";
    const long day = 86400;
    build(&h);
    memset(long_name + 4, 'x', 290);
    expect_odd(&h, &(struct odd){{NAME}, 0, -day, day, "clientAuth"}, NULL);
    expect_odd(&h, &(struct odd){{NULL}, 0, -day, day, "clientAuth"}, "exactly one URI");
    expect_odd(&h, &(struct odd){{NAME, "urn:ledgerd:client:admin"}, 0, -day, day, "clientAuth"}, "exactly one URI");
    expect_odd(&h, &(struct odd){{"urn:admin\0.evil"}, 15, -day, day, "clientAuth"}, "exactly one URI");
    expect_odd(&h, &(struct odd){{"urn:a b"}, 0, -day, day, "clientAuth"}, "exactly one URI");
    expect_odd(&h, &(struct odd){{"urn:\xc3\xa4"}, 0, -day, day, "clientAuth"}, "exactly one URI");
    expect_odd(&h, &(struct odd){{""}, 0, -day, day, "clientAuth"}, "exactly one URI");
    expect_odd(&h, &(struct odd){{long_name}, 0, -day, day, "clientAuth"}, "exactly one URI");
    tear_down(&h);
}

TEST(times_and_purpose)
{
    struct house h;
    const long day = 86400;
    build(&h);
    expect_odd(&h, &(struct odd){{NAME}, 0, -2 * day, -day, "clientAuth"}, "expired");
    expect_odd(&h, &(struct odd){{NAME}, 0, day, 2 * day, "clientAuth"}, "not yet valid");
    expect_odd(&h, &(struct odd){{NAME}, 0, -day, day, "serverAuth"}, "purpose");
    expect_pair(&h, &h.server, "purpose");
    tear_down(&h);
}

TEST(tls_1_2)
{
    struct house h;
    struct client c;
    build(&h);
    X509 *cert = from_pem(h.client.cert, false);
    EVP_PKEY *key = from_pem(h.client.key, true);
    struct tls *t = tls_new(h.context);
    client_open(&c, &h, cert, key);
    CHECK_EQ_INT(SSL_set_max_proto_version(c.ssl, TLS1_2_VERSION), 1);
    CHECK_EQ_INT(shake(&c, t, 4096), TLS_FAILED);
    CHECK(strstr(tls_fault(t), "unsupported protocol"));
    client_close(&c);
    tls_free(t);
    X509_free(cert);
    EVP_PKEY_free(key);
    tear_down(&h);
}

TEST(garbage)
{
    struct house h;
    uint8_t buf[64];
    size_t n = 1;
    build(&h);
    struct tls *t = tls_new(h.context);
    CHECK_EQ_INT(tls_read(t, buf, sizeof buf, &n), TLS_AGAIN);
    CHECK_EQ_INT(n, 0);
    CHECK(tls_feed(t, SPAN_LIT("GET / HTTP/1.1\r\n\r\n")));
    CHECK_EQ_INT(tls_read(t, buf, sizeof buf, &n), TLS_FAILED);
    CHECK(tls_fault(t)[0]);
    CHECK(!tls_open(t));
    tls_close_notify(t);
    tls_free(t);
    t = tls_new(h.context);
    CHECK(tls_feed(t, SPAN_LIT("\x16\x03\x01\x02")));
    CHECK_EQ_INT(tls_read(t, buf, sizeof buf, &n), TLS_AGAIN);
    CHECK(tls_has_input(t));
    tls_free(t);
    tear_down(&h);
}

/* On reload the context goes while connections live. */
TEST(context_goes_first)
{
    struct house h;
    struct client c;
    build(&h);
    X509 *cert = from_pem(h.client.cert, false);
    EVP_PKEY *key = from_pem(h.client.key, true);
    struct tls *t = tls_new(h.context);
    client_open(&c, &h, cert, key);
    tls_context_free(h.context);
    h.context = NULL;
    CHECK_EQ_INT(shake(&c, t, 4096), TLS_OK);
    CHECK_EQ_INT(tls_write(t, SPAN_LIT("still here")), TLS_OK);
    client_close(&c);
    tls_free(t);
    X509_free(cert);
    EVP_PKEY_free(key);
    tear_down(&h);
}

TEST(server_hosts)
{
    struct house h;
    build(&h);
    X509 *x = from_pem(h.server.cert, false);
    CHECK_EQ_INT(X509_check_host(x, "localhost", 0, 0, NULL), 1);
    CHECK_EQ_INT(X509_check_host(x, "ledger.example.org", 0, 0, NULL), 1);
    CHECK_EQ_INT(X509_check_host(x, "other.example.org", 0, 0, NULL), 0);
    CHECK_EQ_INT(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
    CHECK_EQ_INT(X509_check_ip_asc(x, "::1", 0), 1);
    CHECK_EQ_INT(X509_check_ip_asc(x, "10.0.0.1", 0), 0);
    X509_free(x);
    tear_down(&h);
}

TEST(wrong_keys)
{
    struct house h, other;
    struct tls_context *c = NULL;
    struct pki_ca *ca = NULL;
    struct ledger_err err = {0};
    build(&h);
    build(&other);
    CHECK_EQ_INT(pki_ca_open(h.ca.cert, other.ca.key, &ca, &err), LEDGER_EINVAL);
    CHECK_EQ_INT(pki_ca_open(SPAN_LIT("nothing"), h.ca.key, &ca, &err), LEDGER_EINVAL);
    h.files.key = other.files.key;
    CHECK_EQ_INT(tls_context_new(&h.files, &c, &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, "server key"));
    tear_down(&other);
    tear_down(&h);
}

TEST_MAIN(TEST_ENTRY(good), TEST_ENTRY(good_in_small_pieces), TEST_ENTRY(no_certificate), TEST_ENTRY(other_authority),
          TEST_ENTRY(revoked), TEST_ENTRY(lists_that_do_not_serve), TEST_ENTRY(names), TEST_ENTRY(times_and_purpose),
          TEST_ENTRY(tls_1_2), TEST_ENTRY(garbage), TEST_ENTRY(context_goes_first), TEST_ENTRY(server_hosts),
          TEST_ENTRY(wrong_keys))
