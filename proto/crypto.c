/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto: the libraries behind hashing and signatures, set up once for each thread.
 *
 * SHA-256 and HMAC: Nettle, whose contexts are plain structs: a Merkle node takes half the time that it takes by OpenSSL's EVP, which allocates
 * and wipes one for each hash. Keying an HMAC costs as much as the rest of it, so the last two keys stay in place: a ledger's index key, and
 * whichever nonce comes between its uses. Ed25519: libsodium, whose verdicts are ours (it refuses points of small order and S that is not
 * reduced). ECDSA P-256: OpenSSL, verifying a digest we made. Whether an Ed25519 key is a good one takes a multiplication; a log's own key is
 * asked about with each of its notes, so the last good one is remembered. Parsing a P-256 point costs about as much as verifying with it, so the last few
 * keys are kept parsed.
 *
 * Failure modes: crypto_new returns NULL when a library lacks an algorithm. Hashing cannot fail. A refused
 * key or signature is `false`, and nothing of it stays in the thread's OpenSSL error queue, where
 * TLS would mistake it for its own.
 */
#include "crypto.h"

#include <nettle/hmac.h>
#include <nettle/sha2.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>
#include <sodium.h>
#include <string.h>

enum {
    P256_LEN = 32,                  /* a scalar or a coordinate */
    P256_COMPRESSED = 1 + P256_LEN, /* SEC1: 02 or 03, x */
    P256_POINT = 1 + 2 * P256_LEN,  /* SEC1: 04, x, y */
    P256_DER_SIG_MAX = 72,          /* SEQUENCE of two INTEGERs of at most 33 bytes */
    P256_CACHE = 8,
    MACS = 2,
    MAC_KEY_KEEP = 32, /* a longer key is not kept */
};

/* The group order n, and half of it rounded down (FIPS 186-5, SP 800-186 section 3.2.1.3). */
static const uint8_t P256_ORDER[P256_LEN] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
static const uint8_t P256_HALF_ORDER[P256_LEN] = {
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8};

/* A parsed public key, ready to verify: a context may be used again and again after its init. */
struct p256_slot {
    uint8_t point[P256_POINT];
    size_t point_n; /* 0: the slot is free */
    uint64_t used_at;
    EVP_PKEY_CTX *verify;
};

/* An HMAC under a key that is in place. */
struct mac {
    struct hmac_sha256_ctx ctx;
    bool keyed;
    uint8_t key[MAC_KEY_KEEP];
    size_t key_n;
};

struct crypto {
    struct mac macs[MACS], *mac; /* mac: used last */
    EVP_PKEY_CTX *ec; /* makes keys from points */
    bool has_valid;
    uint8_t valid[crypto_sign_PUBLICKEYBYTES]; /* the Ed25519 key that was found valid last: asked again with each note of a log */
    uint64_t clock;   /* counts uses of the cache, to find the oldest */
    struct p256_slot cache[P256_CACHE];
};

static bool crypto_init(struct crypto *c)
{
    c->mac = &c->macs[0];
    return sodium_init() >= 0 && (c->ec = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL)) &&
           EVP_PKEY_fromdata_init(c->ec) == 1;
}

struct crypto *crypto_new(void)
{
    struct crypto *c = OPENSSL_zalloc(sizeof *c);
    if (c && !crypto_init(c)) {
        crypto_free(c);
        return NULL;
    }
    return c;
}

void crypto_free(struct crypto *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < P256_CACHE; i++)
        EVP_PKEY_CTX_free(c->cache[i].verify);
    EVP_PKEY_CTX_free(c->ec);
    OPENSSL_clear_free(c, sizeof *c);
}

/* One input for both functions: SHA-256, or HMAC where there is a key. */
struct sink {
    struct hmac_sha256_ctx *mac; /* NULL: plain */
    struct sha256_ctx plain;
};

static bool mac_has_key(const struct mac *m, struct span key)
{
    return m->keyed && m->key_n == key.n && CRYPTO_memcmp(m->key, key.p, key.n) == 0;
}

/* A context under the key: the one that has it, or else the one that was not used last. */
static struct hmac_sha256_ctx *mac_for(struct crypto *c, struct span key)
{
    if (!mac_has_key(c->mac, key))
        c->mac = c->mac == &c->macs[0] ? &c->macs[1] : &c->macs[0];
    struct mac *m = c->mac;
    if (mac_has_key(m, key))
        return &m->ctx; /* which its last digest has left as it was after its key */
    m->keyed = key.n > 0 && key.n <= MAC_KEY_KEEP;
    if (m->keyed)
        memcpy(m->key, key.p, key.n);
    m->key_n = key.n;
    static const uint8_t no_key[1]; /* an empty key is not NULL */
    hmac_sha256_set_key(&m->ctx, key.n, key.n ? key.p : no_key);
    return &m->ctx;
}

static void sink_add(struct sink *s, const void *p, size_t n)
{
    if (n == 0)
        return;
    if (s->mac)
        hmac_sha256_update(s->mac, n, p);
    else
        sha256_update(&s->plain, n, p);
}

static void sink_begin(struct sink *s, struct hmac_sha256_ctx *mac)
{
    s->mac = mac;
    if (!mac)
        sha256_init(&s->plain);
}

static void sink_end(struct sink *s, struct hash *out)
{
    if (s->mac)
        hmac_sha256_digest(s->mac, HASH_LEN, out->b);
    else
        sha256_digest(&s->plain, HASH_LEN, out->b);
}

static void sink_parts(struct sink *s, const struct span *parts, size_t n, struct hash *out)
{
    for (size_t i = 0; i < n; i++)
        sink_add(s, parts[i].p, parts[i].n);
    sink_end(s, out);
}

static void sink_labelled(struct sink *s, const char *label, const struct hfield *f, size_t n, struct hash *out)
{
    size_t label_n = strlen(label);
    LEDGER_REQUIRE(label_n >= 12 && label_n <= UINT8_MAX);
    const uint8_t head = (uint8_t)label_n;
    sink_add(s, &head, 1);
    sink_add(s, label, label_n);
    for (size_t i = 0; i < n; i++) {
        size_t len = f[i].s.n;
        if (f[i].variable) {
            LEDGER_REQUIRE(len <= UINT32_MAX);
            const uint8_t be[4] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                                   (uint8_t)len};
            sink_add(s, be, sizeof be);
        }
        sink_add(s, f[i].s.p, len);
    }
    sink_end(s, out);
}

void crypto_sha256(struct crypto *c, const struct span *parts, size_t n_parts, struct hash *out)
{
    (void)c;
    struct sink s;
    sink_begin(&s, NULL);
    sink_parts(&s, parts, n_parts, out);
}

void crypto_hmac(struct crypto *c, struct span key, const struct span *parts, size_t n_parts,
                 struct hash *out)
{
    struct sink s;
    sink_begin(&s, mac_for(c, key));
    sink_parts(&s, parts, n_parts, out);
}

void crypto_labelled(struct crypto *c, const char *label, const struct hfield *f, size_t n,
                     struct hash *out)
{
    (void)c;
    struct sink s;
    sink_begin(&s, NULL);
    sink_labelled(&s, label, f, n, out);
}

void crypto_labelled_hmac(struct crypto *c, struct span key, const char *label,
                          const struct hfield *f, size_t n, struct hash *out)
{
    struct sink s;
    sink_begin(&s, mac_for(c, key));
    sink_labelled(&s, label, f, n, out);
}

/* An EVP_PKEY from a SEC1 point and, if not NULL, a private scalar. NULL if they are no key. */
static EVP_PKEY *p256_key(struct crypto *c, struct span point, const uint8_t scalar[P256_LEN])
{
    char group[] = SN_X9_62_prime256v1;
    uint8_t point_copy[P256_POINT]; /* OSSL_PARAM wants pointers that are not const */
    uint8_t native[P256_LEN];
    EVP_PKEY *key = NULL;
    OSSL_PARAM params[4];
    size_t n = 0;
    memcpy(point_copy, point.p, point.n);
    params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
    params[n++] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point_copy, point.n);
    if (scalar) {
        BIGNUM *d = BN_secure_new();
        bool ok = d && BN_bin2bn(scalar, P256_LEN, d) && BN_bn2nativepad(d, native, P256_LEN) > 0;
        BN_clear_free(d);
        if (!ok)
            return NULL;
        params[n++] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native, P256_LEN);
    }
    params[n] = OSSL_PARAM_construct_end();
    int selection = scalar ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
    if (EVP_PKEY_fromdata(c->ec, &key, selection, params) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    OPENSSL_cleanse(native, sizeof native);
    return key;
}

/* Has the point one of SEC1's two finite forms? Whether it lies on the curve, the library says. */
static bool p256_point_form(struct span point)
{
    if (point.n == P256_COMPRESSED)
        return point.p[0] == 0x02 || point.p[0] == 0x03;
    return point.n == P256_POINT && point.p[0] == 0x04;
}

static EVP_PKEY_CTX *p256_verifier_new(struct crypto *c, struct span point)
{
    EVP_PKEY *key = p256_key(c, point, NULL);
    EVP_PKEY_CTX *ctx = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    EVP_PKEY_free(key); /* the context holds its own reference */
    if (ctx && EVP_PKEY_verify_init(ctx) != 1) {
        EVP_PKEY_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

/* The verifying context of a point; owned by the cache. NULL if the point is invalid. */
static EVP_PKEY_CTX *p256_verifier(struct crypto *c, struct span point)
{
    if (!p256_point_form(point))
        return NULL;
    struct p256_slot *oldest = &c->cache[0];
    for (size_t i = 0; i < P256_CACHE; i++) {
        struct p256_slot *s = &c->cache[i];
        if (span_eq(span_of(s->point, s->point_n), point)) {
            s->used_at = ++c->clock;
            return s->verify;
        }
        if (s->used_at < oldest->used_at)
            oldest = s;
    }
    EVP_PKEY_CTX *ctx = p256_verifier_new(c, point);
    if (!ctx)
        return NULL;
    EVP_PKEY_CTX_free(oldest->verify);
    oldest->verify = ctx;
    memcpy(oldest->point, point.p, point.n);
    oldest->point_n = point.n;
    oldest->used_at = ++c->clock;
    return ctx;
}

static bool p256_verify_der(struct crypto *c, struct span point, struct span msg, struct span der)
{
    struct hash digest;
    crypto_sha256(c, &msg, 1, &digest);
    ERR_set_mark();
    EVP_PKEY_CTX *ctx = p256_verifier(c, point);
    bool ok = ctx && EVP_PKEY_verify(ctx, der.p, der.n, digest.b, HASH_LEN) == 1;
    ERR_pop_to_mark();
    return ok;
}

/* Is the scalar in [1, max]? */
static bool p256_scalar_in(const uint8_t v[P256_LEN], const uint8_t max[P256_LEN])
{
    static const uint8_t zero[P256_LEN];
    return memcmp(v, zero, P256_LEN) != 0 && memcmp(v, max, P256_LEN) <= 0;
}

/* Writes one DER INTEGER, minimal and positive; returns its length. */
static size_t der_integer(const uint8_t v[P256_LEN], uint8_t *out)
{
    size_t skip = 0;
    while (skip < P256_LEN - 1 && v[skip] == 0)
        skip++;
    size_t pad = v[skip] >> 7; /* a set top bit would read as a sign */
    size_t n = P256_LEN - skip;
    out[0] = 0x02;
    out[1] = (uint8_t)(n + pad);
    out[2] = 0;
    memcpy(out + 2 + pad, v + skip, n);
    return 2 + pad + n;
}

static bool p256_verify(struct crypto *c, struct span key, struct span msg, struct span sig)
{
    if (key.n != P256_COMPRESSED || sig.n != 2 * P256_LEN)
        return false;
    const uint8_t *r = sig.p;
    const uint8_t *s = sig.p + P256_LEN;
    /* r = n is out of range too; only values below n pass, and s is held to the lower half, because
     * (r, n − s) would be a second signature over the same message. */
    if (!p256_scalar_in(r, P256_ORDER) || memcmp(r, P256_ORDER, P256_LEN) == 0 ||
        !p256_scalar_in(s, P256_HALF_ORDER))
        return false;
    uint8_t der[P256_DER_SIG_MAX];
    size_t n = 2;
    n += der_integer(r, der + n);
    n += der_integer(s, der + n);
    der[0] = 0x30;
    der[1] = (uint8_t)(n - 2);
    return p256_verify_der(c, key, msg, span_of(der, n));
}

bool crypto_verify(struct crypto *c, enum sig_alg alg, struct span key, struct span msg,
                   struct span sig)
{
    switch (alg) {
    case SIG_ED25519:
        return key.n == crypto_sign_PUBLICKEYBYTES && sig.n == crypto_sign_BYTES &&
               crypto_sign_verify_detached(sig.p, msg.p, msg.n, key.p) == 0;
    case SIG_P256:
        return p256_verify(c, key, msg, sig);
    }
    return false;
}

/*
 * libsodium's own test had a gap until CVE-2025-69277 was fixed (Debian 12: 1.0.18-1+deb12u1): it
 * asked only whether L·A has x = 0, which also holds for (0, −1), so that points of order 2L
 * passed. Since the installed library may be older: (L − 1)·A is −A exactly when L·A is the neutral
 * element, and −A is A with the sign bit of x turned.
 */
static bool ed25519_key_valid(struct crypto *c, const uint8_t key[32])
{
    static const uint8_t order_minus_1[32] = {0xec, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                              0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                              0,    0,    0,    0,    0,    0,    0,    0,
                                              0,    0,    0,    0,    0,    0,    0,    0x10};
    uint8_t negative[32];
    if (c->has_valid && memcmp(c->valid, key, sizeof c->valid) == 0)
        return true;
    if (crypto_core_ed25519_is_valid_point(key) != 1 ||
        crypto_scalarmult_ed25519_noclamp(negative, order_minus_1, key) != 0)
        return false;
    negative[31] ^= 0x80;
    if (memcmp(negative, key, sizeof negative) != 0)
        return false;
    memcpy(c->valid, key, sizeof c->valid);
    c->has_valid = true;
    return true;
}

static bool p256_point_valid(struct crypto *c, struct span point)
{
    ERR_set_mark();
    bool ok = p256_verifier(c, point) != NULL;
    ERR_pop_to_mark();
    return ok;
}

bool crypto_key_valid(struct crypto *c, enum sig_alg alg, struct span key)
{
    switch (alg) {
    case SIG_ED25519:
        return key.n == crypto_sign_PUBLICKEYBYTES && ed25519_key_valid(c, key.p);
    case SIG_P256:
        return key.n == P256_COMPRESSED && p256_point_valid(c, key);
    }
    return false;
}

/* The point of a SubjectPublicKeyInfo of id-ecPublicKey, prime256v1, uncompressed (RFC 5480): there
 * is one DER encoding of it, and its head is fixed. SPAN_NONE if it is anything else. */
static struct span spki_point(struct span spki)
{
    static const uint8_t head[26] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    if (spki.n != sizeof head + P256_POINT || memcmp(spki.p, head, sizeof head) != 0)
        return SPAN_NONE;
    return span_of(spki.p + sizeof head, P256_POINT);
}

bool crypto_spki_valid(struct crypto *c, struct span spki)
{
    struct span point = spki_point(spki);
    return point.p && p256_point_valid(c, point);
}

bool crypto_spki_verify(struct crypto *c, struct span spki, struct span msg, struct span sig)
{
    struct span point = spki_point(spki);
    return point.p && p256_verify_der(c, point, msg, sig);
}

void crypto_key_id(struct crypto *c, enum sig_alg alg, struct span key, uint8_t out[KEY_ID_LEN])
{
    const uint8_t alg_byte = (uint8_t)alg;
    const struct hfield f[] = {HFIX(&alg_byte, 1), HVAR(key)};
    struct hash h;
    crypto_labelled(c, LABEL_KEY_ID, f, 2, &h);
    memcpy(out, h.b, KEY_ID_LEN);
}

/* d·G, compressed. */
static bool p256_public(const uint8_t d[P256_LEN], uint8_t out[P256_COMPRESSED])
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = group ? EC_POINT_new(group) : NULL;
    BIGNUM *scalar = BN_secure_new();
    bool ok = point && scalar && BN_bin2bn(d, P256_LEN, scalar) &&
              EC_POINT_mul(group, point, scalar, NULL, NULL, NULL) == 1 &&
              EC_POINT_point2oct(group, point, POINT_CONVERSION_COMPRESSED, out, P256_COMPRESSED,
                                 NULL) == P256_COMPRESSED;
    BN_clear_free(scalar);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    return ok;
}

bool crypto_secret_from_seed(struct crypto *c, enum sig_alg alg, const uint8_t seed[32],
                             struct secret_key *out)
{
    (void)c;
    *out = (struct secret_key){.alg = alg};
    memcpy(out->seed, seed, sizeof out->seed);
    bool ok = false;
    switch (alg) {
    case SIG_ED25519: {
        uint8_t full[crypto_sign_SECRETKEYBYTES];
        ok = crypto_sign_seed_keypair(out->pub, full, seed) == 0;
        out->pub_len = crypto_sign_PUBLICKEYBYTES;
        sodium_memzero(full, sizeof full);
        break;
    }
    case SIG_P256:
        ok = p256_scalar_in(seed, P256_ORDER) && memcmp(seed, P256_ORDER, P256_LEN) != 0 &&
             p256_public(seed, out->pub);
        out->pub_len = P256_COMPRESSED;
        break;
    }
    if (!ok)
        crypto_secret_wipe(out);
    return ok;
}

void crypto_secret_wipe(struct secret_key *k)
{
    sodium_memzero(k, sizeof *k);
}

/* s := n − s, for s in [1, n − 1]. */
static void p256_negate(uint8_t s[P256_LEN])
{
    int borrow = 0;
    for (size_t i = P256_LEN; i-- > 0;) {
        int d = P256_ORDER[i] - s[i] - borrow;
        borrow = d < 0;
        s[i] = (uint8_t)(d & 0xff);
    }
}

/* DER to r‖s with s in the lower half of the range. */
static bool p256_sig_low(const uint8_t *der, size_t n, uint8_t out[2 * P256_LEN])
{
    const unsigned char *p = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, P256_LEN) == P256_LEN &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + P256_LEN, P256_LEN) == P256_LEN;
    ECDSA_SIG_free(sig);
    if (ok && memcmp(out + P256_LEN, P256_HALF_ORDER, P256_LEN) > 0)
        p256_negate(out + P256_LEN);
    return ok;
}

static bool p256_sign(struct crypto *c, const struct secret_key *k, struct span msg,
                      uint8_t out[2 * P256_LEN])
{
    struct hash digest;
    crypto_sha256(c, &msg, 1, &digest);
    uint8_t der[P256_DER_SIG_MAX];
    size_t n = sizeof der;
    ERR_set_mark();
    EVP_PKEY *key = p256_key(c, span_of(k->pub, k->pub_len), k->seed);
    EVP_PKEY_CTX *ctx = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
              EVP_PKEY_sign(ctx, der, &n, digest.b, HASH_LEN) == 1 && p256_sig_low(der, n, out);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_pop_to_mark();
    return ok;
}

bool crypto_make_signature(struct crypto *c, const struct secret_key *k, struct span msg,
                           uint8_t out[64])
{
    switch (k->alg) {
    case SIG_ED25519: {
        uint8_t full[crypto_sign_SECRETKEYBYTES]; /* libsodium's form: seed, public key */
        memcpy(full, k->seed, sizeof k->seed);
        memcpy(full + sizeof k->seed, k->pub, crypto_sign_PUBLICKEYBYTES);
        bool ok = crypto_sign_detached(out, NULL, msg.p, msg.n, full) == 0;
        sodium_memzero(full, sizeof full);
        return ok;
    }
    case SIG_P256:
        return k->pub_len == P256_COMPRESSED && p256_sign(c, k, msg, out);
    }
    return false;
}
