/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes, signatures and their text forms: vectors of RFC 4231, RFC 4648, RFC 6979 and RFC 8032,
 * what must be refused as a key or a signature, and the shared Wycheproof and CCTV vectors.
 */
#include "crypto.h"

#include "check.h"
#include "vectors.h"

#include <openssl/err.h>
#include <sodium.h>

static void check_hash(const struct hash *h, const char *want)
{
    struct hash w = vectors_hash(want);
    CHECK_EQ_MEM(h->b, w.b, HASH_LEN);
}

TEST(sha256)
{
    struct crypto *c = crypto_new();
    struct hash h;
    CHECK(c);
    crypto_sha256(c, NULL, 0, &h);
    check_hash(&h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    const struct span parts[] = {SPAN_LIT("a"), SPAN_NONE, SPAN_LIT("bc")};
    crypto_sha256(c, parts, 3, &h);
    check_hash(&h, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_free(c);
    crypto_free(NULL);
}

TEST(hmac)
{
    struct crypto *c = crypto_new();
    struct hash h;
    uint8_t key[131];
    memset(key, 0x0b, 20);
    struct span msg[] = {SPAN_LIT("Hi "), SPAN_LIT("There")};
    crypto_hmac(c, span_of(key, 20), msg, 2, &h);
    check_hash(&h, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    /* An empty key must not mean the key before. */
    crypto_hmac(c, SPAN_NONE, NULL, 0, &h);
    check_hash(&h, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    struct span what = SPAN_LIT("what do ya want for nothing?");
    crypto_hmac(c, SPAN_LIT("Jefe"), &what, 1, &h);
    check_hash(&h, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    struct span large = SPAN_LIT("Test Using Larger Than Block-Size Key - Hash Key First");
    crypto_hmac(c, span_of(key, sizeof key), &large, 1, &h);
    check_hash(&h, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    crypto_free(c);
}

/* However an input is cut into parts, its hash is the same: small parts are gathered before they are hashed. */
TEST(parts_of_any_size)
{
    static const size_t sizes[] = {0, 1, 31, 255, 256, 257, 300, 600};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    struct crypto *c = crypto_new();
    uint8_t bytes[3 * 600];
    struct hash want, got;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    for (unsigned i = 0; i < SIZES * SIZES * SIZES; i++) {
        size_t x = sizes[i % SIZES], y = sizes[i / SIZES % SIZES], z = sizes[i / SIZES / SIZES];
        const struct span whole = span_of(bytes, x + y + z);
        const struct span parts[] = {span_of(bytes, x), span_of(bytes + x, y), span_of(bytes + x + y, z)};
        crypto_sha256(c, &whole, 1, &want);
        crypto_sha256(c, parts, 3, &got);
        CHECK_EQ_MEM(got.b, want.b, HASH_LEN);
        crypto_hmac(c, SPAN_LIT("key"), &whole, 1, &want);
        crypto_hmac(c, SPAN_LIT("key"), parts, 3, &got);
        CHECK_EQ_MEM(got.b, want.b, HASH_LEN);
    }
    crypto_free(c);
}

/* Whatever the keys before were, an HMAC is that of its own key. */
TEST(hmac_keys_in_any_order)
{
    enum { KEYS = 8 };
    static const size_t lengths[KEYS] = {32, 16, 0, 1, 33, 64, 31, 32};
    struct crypto *c = crypto_new();
    uint8_t keys[KEYS][64];
    struct hash want[KEYS], got;
    struct span what = SPAN_LIT("what");
    memset(keys, 0x5a, sizeof keys); /* each is a prefix of the others, */
    keys[7][31] = 0;                 /* or differs at its end */
    for (unsigned k = 0; k < KEYS; k++) {
        struct crypto *fresh = crypto_new();
        crypto_hmac(fresh, span_of(keys[k], lengths[k]), &what, 1, &want[k]);
        crypto_free(fresh);
    }
    for (unsigned i = 0; i < 5000; i++) {
        unsigned k = i * i / 3 % KEYS;
        crypto_hmac(c, span_of(keys[k], lengths[k]), &what, 1, &got);
        CHECK_EQ_MEM(got.b, want[k].b, HASH_LEN);
    }
    crypto_free(c);
}

TEST(labelled)
{
    struct crypto *c = crypto_new();
    struct hash got, want;
    const struct hfield f[] = {HFIX("ab", 2), HVAR(SPAN_LIT("cde")), HVAR(SPAN_LIT(""))};
    struct span input = SPAN_LIT("\x10ledgerd/v1/event"
                                 "ab"
                                 "\0\0\0\3"
                                 "cde"
                                 "\0\0\0\0");
    crypto_labelled(c, LABEL_EVENT, f, 3, &got);
    crypto_sha256(c, &input, 1, &want);
    CHECK_EQ_MEM(got.b, want.b, HASH_LEN);
    crypto_labelled_hmac(c, SPAN_LIT("key"), LABEL_EVENT, f, 3, &got);
    crypto_hmac(c, SPAN_LIT("key"), &input, 1, &want);
    CHECK_EQ_MEM(got.b, want.b, HASH_LEN);
    /* The same bytes cut otherwise are another input. */
    const struct hfield g[] = {HFIX("ab", 2), HVAR(SPAN_LIT("cd")), HVAR(SPAN_LIT("e"))};
    crypto_labelled(c, LABEL_EVENT, f, 3, &got);
    crypto_labelled(c, LABEL_EVENT, g, 3, &want);
    CHECK(!hash_eq(&got, &want));
    crypto_labelled(c, LABEL_STATE, f, 3, &want);
    CHECK(!hash_eq(&got, &want));
    uint8_t id[KEY_ID_LEN];
    const struct hfield k[] = {HFIX("\x01", 1), HVAR(SPAN_LIT("0123"))};
    crypto_key_id(c, SIG_ED25519, SPAN_LIT("0123"), id);
    crypto_labelled(c, LABEL_KEY_ID, k, 2, &want);
    CHECK_EQ_MEM(id, want.b, KEY_ID_LEN);
    crypto_free(c);
}

/* RFC 8032 section 7.1. */
static const struct {
    const char *seed, *pub, *msg, *sig;
} RFC8032[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "-",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46b"
     "d25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "659"
     "4a7c15e9716ed28dc027beceea1ec40a"},
};

TEST(ed25519_rfc8032)
{
    struct crypto *c = crypto_new();
    for (size_t i = 0; i < sizeof RFC8032 / sizeof RFC8032[0]; i++) {
        struct secret_key k;
        uint8_t sig[64];
        struct span msg = vectors_hex(RFC8032[i].msg);
        CHECK(crypto_secret_from_seed(c, SIG_ED25519, vectors_hex(RFC8032[i].seed).p, &k));
        CHECK_EQ_INT(k.pub_len, 32);
        CHECK_EQ_MEM(k.pub, vectors_hex(RFC8032[i].pub).p, 32);
        CHECK(crypto_make_signature(c, &k, msg, sig));
        CHECK_EQ_MEM(sig, vectors_hex(RFC8032[i].sig).p, 64);
        struct span pub = span_of(k.pub, 32), sig_span = span_of(sig, 64);
        CHECK(crypto_key_valid(c, SIG_ED25519, pub));
        CHECK(crypto_verify(c, SIG_ED25519, pub, msg, sig_span));
        CHECK(!crypto_verify(c, SIG_ED25519, pub, SPAN_LIT("other"), sig_span));
        CHECK(!crypto_verify(c, SIG_ED25519, pub, msg, span_of(sig, 63)));
        CHECK(!crypto_verify(c, SIG_ED25519, span_of(k.pub, 31), msg, sig_span));
        CHECK(!crypto_verify(c, SIG_P256, pub, msg, sig_span));
        for (size_t bit = 0; bit < 512; bit++) {
            sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK(!crypto_verify(c, SIG_ED25519, pub, msg, sig_span));
            sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        crypto_secret_wipe(&k);
        CHECK(k.pub_len == 0 && k.seed[0] == 0 && k.seed[31] == 0);
    }
    crypto_free(c);
}

/* P + (0, −1): turns a point into another whose order is twice as large. In coordinates (−x, −y).
 */
static void add_order_two(const uint8_t in[32], uint8_t out[32])
{
    int borrow = 0;
    for (size_t i = 0; i < 32; i++) {
        int p = i == 0 ? 0xed : i == 31 ? 0x7f : 0xff;
        int y = i == 31 ? in[i] & 0x7f : in[i];
        int d = p - y - borrow;
        borrow = d < 0;
        out[i] = (uint8_t)(d & 0xff);
    }
    out[31] |= (uint8_t)((in[31] & 0x80) ^ 0x80);
}

TEST(ed25519_keys_refused)
{
    static const char *const bad[] = {
        /* Small order: 1, 2, 4, 4, 8, 8, 8, 8. */
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        /* y = p and above, and x = 0 with its sign set. */
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0100000000000000000000000000000000000000000000000000000000000080",
        /* No x belongs to y = 2. */
        "0200000000000000000000000000000000000000000000000000000000000000"};
    struct crypto *c = crypto_new();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!crypto_key_valid(c, SIG_ED25519, vectors_hex(bad[i])));
    CHECK(!crypto_key_valid(c, SIG_ED25519, SPAN_LIT("short")));
    static const uint8_t zeros[32];
    struct crypto *fresh = crypto_new(); /* which has found no key valid yet */
    CHECK(fresh && !crypto_key_valid(fresh, SIG_ED25519, span_of(zeros, sizeof zeros)));
    crypto_free(fresh);
    CHECK(!crypto_key_valid(c, SIG_P256, SPAN_LIT("short")));
    CHECK(!crypto_key_valid(c, (enum sig_alg)3, SPAN_LIT("short")));
    crypto_free(c);
}

/* A good key plus each point of small order lies outside the prime-order subgroup. */
TEST(ed25519_mixed_order)
{
    static const char *const torsion[] = {
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"};
    struct crypto *c = crypto_new();
    for (uint8_t i = 0; i < 20; i++) {
        uint8_t seed[32] = {i};
        struct secret_key k;
        uint8_t mixed[32], again[32];
        CHECK(crypto_secret_from_seed(c, SIG_ED25519, seed, &k));
        CHECK(crypto_key_valid(c, SIG_ED25519, span_of(k.pub, 32)));
        for (size_t t = 0; t < sizeof torsion / sizeof torsion[0]; t++) {
            CHECK(crypto_core_ed25519_add(mixed, k.pub, vectors_hex(torsion[t]).p) == 0);
            CHECK(!crypto_key_valid(c, SIG_ED25519, span_of(mixed, 32)));
        }
        add_order_two(k.pub, mixed);
        CHECK(!crypto_key_valid(c, SIG_ED25519, span_of(mixed, 32)));
        add_order_two(mixed, again);
        CHECK_EQ_MEM(again, k.pub, 32);
    }
    crypto_free(c);
}

/* RFC 6979 appendix A.2.5: P-256, SHA-256. The signature over "sample" has a high s. */
#define P256_SEED "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
#define P256_PUB "0360fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
#define P256_R "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
#define P256_S "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
#define P256_N "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"

/* n − s. */
static void flip_s(uint8_t s[32])
{
    struct span n = vectors_hex(P256_N);
    int borrow = 0;
    for (size_t i = 32; i-- > 0;) {
        int d = n.p[i] - s[i] - borrow;
        borrow = d < 0;
        s[i] = (uint8_t)(d & 0xff);
    }
}

TEST(p256_low_s)
{
    struct crypto *c = crypto_new();
    struct span pub = vectors_hex(P256_PUB);
    uint8_t sig[64];
    memcpy(sig, vectors_hex(P256_R).p, 32);
    memcpy(sig + 32, vectors_hex(P256_S).p, 32);
    CHECK(!crypto_verify(c, SIG_P256, pub, SPAN_LIT("sample"), span_of(sig, 64)));
    flip_s(sig + 32);
    CHECK(crypto_verify(c, SIG_P256, pub, SPAN_LIT("sample"), span_of(sig, 64)));
    CHECK(!crypto_verify(c, SIG_P256, pub, SPAN_LIT("Sample"), span_of(sig, 64)));
    CHECK(!crypto_verify(c, SIG_P256, pub, SPAN_LIT("sample"), span_of(sig, 63)));
    CHECK(!crypto_verify(c, SIG_ED25519, pub, SPAN_LIT("sample"), span_of(sig, 64)));
    for (size_t bit = 0; bit < 512; bit++) {
        sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(!crypto_verify(c, SIG_P256, pub, SPAN_LIT("sample"), span_of(sig, 64)));
        sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    crypto_free(c);
}

TEST(p256_range)
{
    struct crypto *c = crypto_new();
    struct span pub = vectors_hex(P256_PUB), n = vectors_hex(P256_N);
    uint8_t sig[64] = {0};
    CHECK(!crypto_verify(c, SIG_P256, pub, SPAN_LIT("sample"), span_of(sig, 64)));
    sig[63] = 1;
    CHECK(!crypto_verify(c, SIG_P256, pub, SPAN_LIT("sample"), span_of(sig, 64)));
    memcpy(sig, n.p, 32);
    CHECK(!crypto_verify(c, SIG_P256, pub, SPAN_LIT("sample"), span_of(sig, 64)));
    memcpy(sig, vectors_hex(P256_R).p, 32);
    memcpy(sig + 32, n.p, 32);
    CHECK(!crypto_verify(c, SIG_P256, pub, SPAN_LIT("sample"), span_of(sig, 64)));
    memset(sig + 32, 0, 32);
    CHECK(!crypto_verify(c, SIG_P256, pub, SPAN_LIT("sample"), span_of(sig, 64)));
    crypto_free(c);
}

TEST(p256_keys)
{
    static const char *const bad[] = {
        "00",
        /* x = 5 on the curve, but with the wrong head; uncompressed; no point has x = 4; x = p. */
        "040000000000000000000000000000000000000000000000000000000000000005",
        ("0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
         "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"),
        "020000000000000000000000000000000000000000000000000000000000000004",
        "02ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
        "000000000000000000000000000000000000000000000000000000000000000000"};
    struct crypto *c = crypto_new();
    uint8_t sig[64] = {1};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!crypto_key_valid(c, SIG_P256, vectors_hex(bad[i])));
        CHECK(!crypto_verify(c, SIG_P256, vectors_hex(bad[i]), SPAN_LIT("x"), span_of(sig, 64)));
    }
    CHECK(crypto_key_valid(c, SIG_P256, vectors_hex(P256_PUB)));
    CHECK(crypto_key_valid(
        c, SIG_P256,
        vectors_hex("020000000000000000000000000000000000000000000000000000000000000005")));
    CHECK(ERR_peek_error() == 0);
    crypto_free(c);
}

TEST(p256_secret)
{
    struct crypto *c = crypto_new();
    struct secret_key k;
    uint8_t seed[32];
    CHECK(crypto_secret_from_seed(c, SIG_P256, vectors_hex(P256_SEED).p, &k));
    CHECK_EQ_INT(k.pub_len, 33);
    CHECK_EQ_MEM(k.pub, vectors_hex(P256_PUB).p, 33);
    memset(seed, 0, sizeof seed);
    CHECK(!crypto_secret_from_seed(c, SIG_P256, seed, &k) && k.pub_len == 0);
    seed[31] = 1;
    CHECK(crypto_secret_from_seed(c, SIG_P256, seed, &k)); /* the generator, SP 800-186 */
    CHECK_EQ_MEM(
        k.pub, vectors_hex("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296").p,
        33);
    memcpy(seed, vectors_hex(P256_N).p, 32);
    CHECK(!crypto_secret_from_seed(c, SIG_P256, seed, &k));
    seed[31]++;
    CHECK(!crypto_secret_from_seed(c, SIG_P256, seed, &k));
    seed[31] = (uint8_t)(seed[31] - 2);
    CHECK(crypto_secret_from_seed(c, SIG_P256, seed, &k));
    CHECK(!crypto_secret_from_seed(c, (enum sig_alg)3, seed, &k));
    crypto_free(c);
}

/* More keys than are kept parsed, in turn and at random: each verdict must be of the right key. */
TEST(p256_many_keys)
{
    enum { KEYS = 20 };
    static struct secret_key k[KEYS];
    static uint8_t sig[KEYS][64];
    struct crypto *c = crypto_new();
    for (uint8_t i = 0; i < KEYS; i++) {
        uint8_t seed[32] = {i, 1};
        struct span half =
            vectors_hex("7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8");
        CHECK(crypto_secret_from_seed(c, SIG_P256, seed, &k[i]));
        CHECK(crypto_make_signature(c, &k[i], SPAN_LIT("message"), sig[i]));
        CHECK(memcmp(sig[i] + 32, half.p, 32) <= 0);
    }
    size_t own = 0, other = 0;
    for (size_t i = 0; i < 400; i++) {
        size_t a = i % KEYS, b = i * i % 7 ? a : (i * 13 + 5) % KEYS;
        bool ok = crypto_verify(c, SIG_P256, span_of(k[a].pub, 33), SPAN_LIT("message"),
                                span_of(sig[b], 64));
        CHECK(ok == (a == b));
        own += ok;
        other += !ok;
    }
    CHECK(own > 300 && other > 20);
    CHECK(ERR_peek_error() == 0);
    crypto_free(c);
}

TEST(hex)
{
    char text[16];
    uint8_t bytes[8];
    CHECK_EQ_INT(hex_encode(SPAN_LIT("\x00\xab\xff"), text), 6);
    CHECK_EQ_STR(text, "00abff");
    CHECK(hex_decode(SPAN_LIT("00abff"), bytes) && bytes[0] == 0 && bytes[1] == 0xab &&
          bytes[2] == 0xff);
    CHECK(hex_decode(SPAN_LIT(""), bytes));
    static const char *const bad[] = {"0", "0A", "0g", "g0", " 0", "0x", "00 ", "0/", "0:", "`0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!hex_decode(span_str(bad[i]), bytes));
}

TEST(base64)
{
    static const char *const rfc4648[] = {
        "",     "",         "f",     "Zg==",     "fo",     "Zm8=",     "foo",          "Zm9v",
        "foob", "Zm9vYg==", "fooba", "Zm9vYmE=", "foobar", "Zm9vYmFy", "\xfb\xef\xff", "++//"};
    char text[16];
    uint8_t bytes[16];
    size_t n;
    for (size_t i = 0; i < sizeof rfc4648 / sizeof rfc4648[0]; i += 2) {
        struct span plain = span_str(rfc4648[i]);
        CHECK_EQ_INT(b64_encode(plain, text), b64_len(plain.n));
        CHECK_EQ_STR(text, rfc4648[i + 1]);
        CHECK(b64_decode(span_str(text), bytes, plain.n, &n));
        CHECK(span_eq(span_of(bytes, n), plain));
        CHECK(plain.n == 0 || (!b64_decode(span_str(text), bytes, plain.n - 1, &n) && n == 0));
    }
    static const char *const bad[] = {
        "Zg",       "Zg=",        "Zg===", "Z",     "Zh==",        "Zm9=", "Zm8",
        "Zm9v\n",   "Zm9v====",   "====",  "=m9v",  "Z=9v",        "Zm=v", "Zg==Zg==",
        "Zm8=Zm9v", "Z m9v",      "Zm-_",  "Zm9v ", "\xc3\xa9g==", "Zf==", "Zm9/Zm9+=",
        "A===",     "Zm9v\nZm9v", "AB==",  "AAB="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!b64_decode(span_str(bad[i]), bytes, sizeof bytes, &n) && n == 0);
}

/* Of all texts of four characters that decode, each decodes to bytes that encode to just this text.
 */
TEST(base64_is_one_to_one)
{
    static const char alphabet[] = "ABQgwz09+/=-_ ";
    const size_t k = sizeof alphabet - 1;
    size_t good = 0;
    for (size_t i = 0; i < k * k * k * k; i++) {
        const char text[5] = {alphabet[i % k], alphabet[i / k % k], alphabet[i / k / k % k],
                              alphabet[i / k / k / k], '\0'};
        uint8_t bytes[3];
        char again[5];
        size_t n;
        if (!b64_decode(span_str(text), bytes, sizeof bytes, &n))
            continue;
        good++;
        b64_encode(span_of(bytes, n), again);
        CHECK_EQ_STR(again, text);
    }
    CHECK(good > 10000 && good < 12000);
}

TEST(key_text)
{
    static const char ed[] = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    static const char p256[] = "p256:A2D+1LolWp0xyWHrdMY1bWjASbiSO2H6bOZpYi5g8p+2";
    enum sig_alg alg;
    uint8_t key[64];
    char text[KEY_TEXT_MAX];
    size_t n;
    CHECK(key_text_parse(SPAN_LIT(ed), &alg, key, &n) && alg == SIG_ED25519 && n == 32);
    CHECK_EQ_MEM(key, vectors_hex(RFC8032[0].pub).p, 32);
    key_text_format(alg, span_of(key, n), text);
    CHECK_EQ_STR(text, ed);
    CHECK(key_text_parse(SPAN_LIT(p256), &alg, key, &n) && alg == SIG_P256 && n == 33);
    CHECK_EQ_MEM(key, vectors_hex(P256_PUB).p, 33);
    key_text_format(alg, span_of(key, n), text);
    CHECK_EQ_STR(text, p256);
    static const char *const bad[] = {"",
                                      "ed25519:",
                                      "ed25519",
                                      "p256:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
                                      "Ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
                                      "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURp=",
                                      "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                                      "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURoA",
                                      "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
                                      "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n",
                                      " ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
                                      "ed25519:A2D+1LolWp0xyWHrdMY1bWjASbiSO2H6bOZpYi5g8p+2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!key_text_parse(span_str(bad[i]), &alg, key, &n));
}

TEST(shared_hmac)
{
    yajl_val all = vectors_json("vectors/misc/wycheproof_hmac_sha256.json");
    yajl_val groups = json_member(all, "testGroups");
    struct crypto *c = crypto_new();
    size_t good = 0, bad = 0;
    for (size_t g = 0; g < json_length(groups); g++) {
        yajl_val tests = json_member(json_at(groups, g), "tests");
        for (size_t i = 0; i < json_length(tests); i++) {
            yajl_val t = json_at(tests, i);
            struct span tag = vectors_hex(json_string(t, "tag"));
            struct span msg = vectors_hex(json_string(t, "msg"));
            bool valid = strcmp(json_string(t, "result"), "valid") == 0;
            struct hash h;
            crypto_hmac(c, vectors_hex(json_string(t, "key")), &msg, 1, &h);
            CHECK(tag.n >= 16 && tag.n <= HASH_LEN);
            CHECK(span_eq(tag, span_of(h.b, tag.n)) == valid);
            good += valid;
            bad += !valid;
        }
    }
    CHECK(good == 40 && bad == 65);
    yajl_tree_free(all);
    crypto_free(c);
}

TEST(shared_ed25519_wycheproof)
{
    struct span file = vectors_file("vectors/ed25519/wycheproof_ed25519.tsv");
    char *text = strdup((const char *)file.p), *at = text, *col[VECTORS_COLUMNS];
    struct crypto *c = crypto_new();
    size_t good = 0, bad = 0;
    while (vectors_row(&at, col)) {
        struct span key = vectors_hex(col[2]);
        bool valid = strcmp(col[0], "valid") == 0;
        CHECK(crypto_key_valid(c, SIG_ED25519, key));
        CHECK(crypto_verify(c, SIG_ED25519, key, vectors_hex(col[3]), vectors_hex(col[4])) ==
              valid);
        good += valid;
        bad += !valid;
    }
    CHECK(good > 40 && bad > 30);
    free(text);
    crypto_free(c);
}

/*
 * CCTV says what OpenSSL, Go and BoringSSL do. Exactly this differs here: libsodium refuses R of
 * small order, and keys of small order or with an encoding that is not canonical. Hence whatever it
 * accepts they accept, and for a key that may be registered only R of small order is left to
 * differ, which nobody produces who draws or derives its nonce as RFC 8032 says.
 */
TEST(shared_ed25519_cctv)
{
    struct span file = vectors_file("vectors/ed25519/cctv.tsv");
    char *text = strdup((const char *)file.p), *at = text, *col[VECTORS_COLUMNS];
    struct crypto *c = crypto_new();
    size_t accepted = 0, differ = 0, registrable = 0;
    while (vectors_row(&at, col)) {
        struct span key = vectors_hex(col[2]);
        bool ref10 = strcmp(col[0], "ok") == 0;
        bool low_r = strstr(col[5], "low_order_R"), low_a = strstr(col[5], "low_order_A");
        bool odd_a = strstr(col[5], "non_canonical_A");
        bool mixed_a = strstr(col[5], "low_order_component_A");
        bool ours = crypto_verify(c, SIG_ED25519, key, vectors_hex(col[3]), vectors_hex(col[4]));
        bool may = crypto_key_valid(c, SIG_ED25519, key);
        CHECK(!ours || ref10);
        CHECK(ours == (ref10 && !low_r && !low_a && !odd_a));
        CHECK(may == !(low_a || odd_a || mixed_a));
        CHECK(!may || low_r || ours == ref10);
        accepted += ours;
        differ += ours != ref10;
        registrable += may;
    }
    fprintf(stderr, "cctv: accepted %zu, differ %zu, registrable %zu\n", accepted, differ,
            registrable);
    CHECK(accepted > 0 && differ > 0 && registrable > 0);
    free(text);
    crypto_free(c);
}

/* SEC1 uncompressed to compressed: the sign is the last bit of y. */
static struct span compressed(yajl_val group)
{
    struct span full = vectors_hex(json_string(json_member(group, "publicKey"), "uncompressed"));
    CHECK(full.n == 65 && full.p[0] == 4);
    uint8_t *p = vectors_alloc(33);
    p[0] = (uint8_t)(2 + (full.p[64] & 1));
    memcpy(p + 1, full.p + 1, 32);
    return span_of(p, 33);
}

static bool high_s(struct span sig)
{
    struct span half =
        vectors_hex("7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8");
    return sig.n == 64 && memcmp(sig.p + 32, half.p, 32) > 0;
}

TEST(shared_p256_p1363)
{
    yajl_val all = vectors_json("vectors/ecdsa/wycheproof_p256_sha256_p1363.json");
    yajl_val groups = json_member(all, "testGroups");
    struct crypto *c = crypto_new();
    size_t good = 0, high = 0, bad = 0;
    for (size_t g = 0; g < json_length(groups); g++) {
        struct span key = compressed(json_at(groups, g));
        yajl_val tests = json_member(json_at(groups, g), "tests");
        CHECK(crypto_key_valid(c, SIG_P256, key));
        for (size_t i = 0; i < json_length(tests); i++) {
            yajl_val t = json_at(tests, i);
            struct span msg = vectors_hex(json_string(t, "msg")),
                        sig = vectors_hex(json_string(t, "sig"));
            bool valid = strcmp(json_string(t, "result"), "valid") == 0;
            bool ours = crypto_verify(c, SIG_P256, key, msg, sig);
            CHECK(ours == (valid && !high_s(sig)));
            good += ours;
            high += valid && !ours;
            bad += !valid;
            if (valid && !ours) {
                uint8_t low[64];
                memcpy(low, sig.p, 64);
                flip_s(low + 32);
                CHECK(crypto_verify(c, SIG_P256, key, msg, span_of(low, 64)));
            }
        }
    }
    fprintf(stderr, "p1363: accepted %zu, valid but high s %zu, invalid %zu\n", good, high, bad);
    CHECK(good + high == 104 && good > 30 && high > 10 && bad == 53);
    CHECK(ERR_peek_error() == 0);
    yajl_tree_free(all);
    crypto_free(c);
}

/* The note path: SPKI keys and DER signatures, where a high s is allowed. */
TEST(shared_p256_der)
{
    yajl_val all = vectors_json("vectors/ecdsa/wycheproof_p256_sha256_der.json");
    yajl_val groups = json_member(all, "testGroups");
    struct crypto *c = crypto_new();
    size_t good = 0, bad = 0;
    for (size_t g = 0; g < json_length(groups); g++) {
        struct span spki = vectors_hex(json_string(json_at(groups, g), "publicKeyDer"));
        yajl_val tests = json_member(json_at(groups, g), "tests");
        CHECK(crypto_spki_valid(c, spki));
        CHECK(!crypto_spki_valid(c, span_of(spki.p, spki.n - 1)));
        for (size_t i = 0; i < json_length(tests); i++) {
            yajl_val t = json_at(tests, i);
            bool valid = strcmp(json_string(t, "result"), "valid") == 0;
            CHECK(crypto_spki_verify(c, spki, vectors_hex(json_string(t, "msg")),
                                     vectors_hex(json_string(t, "sig"))) == valid);
            good += valid;
            bad += !valid;
        }
    }
    CHECK(good == 104 && bad == 186);
    CHECK(ERR_peek_error() == 0);
    yajl_tree_free(all);
    crypto_free(c);
}

TEST_MAIN(TEST_ENTRY(sha256), TEST_ENTRY(hmac), TEST_ENTRY(hmac_keys_in_any_order), TEST_ENTRY(parts_of_any_size), TEST_ENTRY(labelled), TEST_ENTRY(ed25519_rfc8032),
          TEST_ENTRY(ed25519_keys_refused), TEST_ENTRY(ed25519_mixed_order), TEST_ENTRY(p256_low_s),
          TEST_ENTRY(p256_range), TEST_ENTRY(p256_keys), TEST_ENTRY(p256_secret),
          TEST_ENTRY(p256_many_keys), TEST_ENTRY(hex), TEST_ENTRY(base64),
          TEST_ENTRY(base64_is_one_to_one), TEST_ENTRY(key_text), TEST_ENTRY(shared_hmac),
          TEST_ENTRY(shared_ed25519_wycheproof), TEST_ENTRY(shared_ed25519_cctv),
          TEST_ENTRY(shared_p256_p1363), TEST_ENTRY(shared_p256_der))
