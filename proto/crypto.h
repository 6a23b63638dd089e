/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto: SHA-256, HMAC-SHA-256, Ed25519 and ECDSA P-256, from libraries; nothing here is our own
 * cryptography. SHA-256 and HMAC come from Nettle, P-256 from OpenSSL, Ed25519 from libsodium.
 *
 * A `struct crypto` belongs to one thread at a time. May include: base.h; crypto.c the libraries.
 */
#ifndef LEDGERD_PROTO_CRYPTO_H
#define LEDGERD_PROTO_CRYPTO_H

#include "base.h"

struct crypto;
struct crypto *crypto_new(void);   /* returns owned; NULL when the libraries lack an algorithm */
void crypto_free(struct crypto *c);

/* SHA-256 over the concatenation of the parts. */
void crypto_sha256(struct crypto *c, const struct span *parts, size_t n_parts, struct hash *out);
void crypto_hmac(struct crypto *c, struct span key, const struct span *parts, size_t n_parts,
                 struct hash *out); /* HMAC-SHA-256, RFC 2104 */

/*
 * The one way ledgerd hashes anything that is not a Merkle node: SHA-256 over
 *   u8 length of label ‖ label ‖ fields
 * where a *fixed* field (its length follows from the label) goes in as it is and a *variable* one is
 * preceded by its length as u32 big-endian. Labels are ASCII and "ledgerd/v1/…"; the first byte is the
 * label's length (12 or more), so no input can begin like RFC 6962's 0x00 and 0x01.
 */
struct hfield {
    struct span s;
    bool variable;
};
#define HFIX(ptr, len) ((struct hfield){{(const uint8_t *)(ptr), (len)}, false})
#define HVAR(sp) ((struct hfield){(sp), true})
void crypto_labelled(struct crypto *c, const char *label, const struct hfield *f, size_t n,
                     struct hash *out);
/* The same input under HMAC-SHA-256 with `key`. */
void crypto_labelled_hmac(struct crypto *c, struct span key, const char *label,
                          const struct hfield *f, size_t n, struct hash *out);

/* Labels, all in one place. What each covers: docs/format.md. */
#define LABEL_EVENT "ledgerd/v1/event"
#define LABEL_BLOCK "ledgerd/v1/signature-block"
#define LABEL_SIGN "ledgerd/v1/sign"
#define LABEL_SIGNATURE "ledgerd/v1/signature"
#define LABEL_KEY_ID "ledgerd/v1/key-id"
#define LABEL_KEY_PROOF "ledgerd/v1/key-proof"
#define LABEL_CHAIN_KEY "ledgerd/v1/chain-key"
#define LABEL_INDEX_KEY "ledgerd/v1/index-key"
#define LABEL_SALT "ledgerd/v1/state-salt"
#define LABEL_STATE "ledgerd/v1/state"
#define LABEL_REFERENCE "ledgerd/v1/reference"
#define LABEL_MAP_LEAF "ledgerd/v1/map-leaf"
#define LABEL_MAP_NODE "ledgerd/v1/map-node"
#define LABEL_SUBJECT "ledgerd/v1/subject"
#define LABEL_SUCCESSOR "ledgerd/v1/successor"
#define LABEL_ATTACHMENT "ledgerd/v1/attachment"

/* Signature algorithms: numbers are part of the format (ML-DSA is to join them). */
enum sig_alg {
    SIG_ED25519 = 1, /* RFC 8032; key 32 bytes, signature 64 bytes; verified as libsodium does */
    SIG_P256 = 2,    /* ECDSA P-256 SHA-256; key 33 bytes compressed SEC1, signature r‖s 64 bytes, low S */
};

#define SIG_LEN_MAX 8192
#define KEY_LEN_MAX 4096

/*
 * Verifies `sig` over `msg`. True only for a valid signature of exactly the format above.
 * P-256: message is hashed with SHA-256; s > n/2 is refused.
 */
bool crypto_verify(struct crypto *c, enum sig_alg alg, struct span key, struct span msg,
                   struct span sig) LEDGER_MUST_USE;

/*
 * Is `key` a public key that may be registered? Ed25519: canonical encoding, on the curve, not of small
 * order, in the prime-order subgroup. P-256: compressed, on the curve, not infinity.
 */
bool crypto_key_valid(struct crypto *c, enum sig_alg alg, struct span key) LEDGER_MUST_USE;

/*
 * ECDSA keys of signed notes written by other programs: DER SubjectPublicKeyInfo of P-256 with an
 * uncompressed point (RFC 5480); signature as DER over SHA-256 of msg. DER is strict, but s may be high:
 * these signatures are never ours. False for any other key or form.
 */
bool crypto_spki_valid(struct crypto *c, struct span spki) LEDGER_MUST_USE;
bool crypto_spki_verify(struct crypto *c, struct span spki, struct span msg, struct span sig)
    LEDGER_MUST_USE;

/* Key id: first 16 bytes of the labelled hash over u8 alg and the variable key. */
#define KEY_ID_LEN 16
void crypto_key_id(struct crypto *c, enum sig_alg alg, struct span key, uint8_t out[KEY_ID_LEN]);

/* A private key in memory: 32-byte Ed25519 seed or 32-byte P-256 scalar. Wiped by crypto_secret_wipe. */
struct secret_key {
    enum sig_alg alg;
    uint8_t seed[32];
    uint8_t pub[33];
    size_t pub_len;
};
/* Derives pub from alg and seed. False if the seed is no private key of that algorithm. */
bool crypto_secret_from_seed(struct crypto *c, enum sig_alg alg, const uint8_t seed[32],
                             struct secret_key *out) LEDGER_MUST_USE;
void crypto_secret_wipe(struct secret_key *k);
/* 64-byte signature; Ed25519 is deterministic, P-256 is normalised to low S. False on library failure.
 * (Not crypto_sign: libsodium exports that name.) */
bool crypto_make_signature(struct crypto *c, const struct secret_key *k, struct span msg,
                           uint8_t out[64]) LEDGER_MUST_USE;

/* Text forms. base64 is RFC 4648 section 4 with padding; decoding refuses anything not canonical. */
size_t hex_encode(struct span s, char *out);           /* writes 2n chars and NUL; lower case */
bool hex_decode(struct span text, uint8_t *out);       /* lower case only; out has text.n/2 bytes */
size_t b64_len(size_t n);                              /* characters for n bytes, without NUL */
size_t b64_encode(struct span s, char *out);           /* writes b64_len(n) chars and NUL */
bool b64_decode(struct span text, uint8_t *out, size_t out_max, size_t *out_n) LEDGER_MUST_USE;

/*
 * A public key as text, as the field `pubkey` of PARTY_REGISTERED carries it: "ed25519:" or "p256:" and
 * the key in base64. Parsing accepts only the canonical form.
 */
#define KEY_TEXT_MAX 80
bool key_text_parse(struct span text, enum sig_alg *alg, uint8_t *key, size_t *key_n) LEDGER_MUST_USE;
void key_text_format(enum sig_alg alg, struct span key, char out[KEY_TEXT_MAX]);

#endif
