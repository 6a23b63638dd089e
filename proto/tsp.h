/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tsp: time from outside: the Time-Stamp Protocol (RFC 3161, with the ESSCertIDv2 of RFC 5816). An authority (TSA) signs that a hash
 * existed at its time; ledgerd has checkpoints stamped and records the tokens, so that time is bounded from both sides.
 *
 * Terms: the *imprint* is the hash that is stamped: always SHA-256 here. A *token* is the DER of a ContentInfo with SignedData over a
 * TSTInfo. genTime is the authority's time of signing, in microseconds since 1970 UTC; *accuracy* is by how much it may be off.
 *
 * A token is verified as of its own genTime: a certificate that has expired since proves as much as on the day. What nobody can see
 * from a token is whether the authority's key was stolen and used later; revocation lists are not looked at.
 *
 * Threads: any, no shared state. OpenSSL's error queue is left as it was found. May include: base.h; OpenSSL on memory only (tsp.c).
 */
#ifndef LEDGERD_PROTO_TSP_H
#define LEDGERD_PROTO_TSP_H

#include "crypto.h"

#define TSP_TOKEN_MAX (32u << 10) /* bytes of a token; larger ones are refused everywhere */
#define TSP_NONCE_MAX 32
#define TSP_NAME_MAX 256
#define TSP_OID_MAX 128
#define TSP_SERIAL_MAX 64         /* bytes; RFC 3161 asks for at least 20 */
#define TSP_CA_PEM_MAX (1u << 20)

/*
 * The DER of a TimeStampReq: version 1, SHA-256 imprint, certReq TRUE, the nonce as a positive number (1 to TSP_NONCE_MAX bytes, drawn
 * by the caller) and, unless NULL, the policy that is wanted ("1.2.3.4"). EINVAL: no such policy or nonce. In the arena.
 */
enum ledger_rc tsp_request(struct arena *a, const struct hash *imprint, struct span nonce, const char *policy, struct span *out,
                           struct ledger_err *err) LEDGER_MUST_USE;

/* A TimeStampResp taken apart. token borrows from the input: the very bytes that the authority sent. */
struct tsp_response {
    long status;             /* PKIStatus: 0 granted, 1 granted with modifications, 2 rejected, … */
    bool granted;            /* 0 or 1: there is a token */
    char text[TSP_NAME_MAX]; /* the authority's words and the names of failure bits; "" if it gave none */
    struct span token;
};
/* EINVAL: not one, or trailing bytes, or status and token contradict each other. A refusal is OK with granted false. */
enum ledger_rc tsp_response_parse(struct span der, struct tsp_response *out, struct ledger_err *err) LEDGER_MUST_USE;

/* What a token says. */
struct tsp_info {
    struct hash imprint;
    int64_t gen_us;
    int64_t accuracy_us;     /* 0 if it states none */
    uint8_t nonce[TSP_NONCE_MAX];
    size_t nonce_n;          /* 0: none; without leading zeros */
    char serial[2 * TSP_SERIAL_MAX + 1]; /* lower-case hex */
    char policy[TSP_OID_MAX];
    char tsa[TSP_NAME_MAX];  /* the name in the token, or the signer's subject once it is verified; "" if it has none */
};
/*
 * Reads a token without trusting it: enough to see what it stamps. EINVAL: too long, not one, trailing bytes, an imprint that is not
 * SHA-256, a genTime that RFC 3161 does not allow.
 */
enum ledger_rc tsp_token_read(struct span token, struct tsp_info *out, struct ledger_err *err) LEDGER_MUST_USE;
/* Does the token carry this nonce (as tsp_request takes it)? */
bool tsp_nonce_is(const struct tsp_info *info, struct span nonce);

/* Who vouches for a verified token. */
struct tsp_trust {
    char ca[TSP_NAME_MAX];      /* subject of the trusted certificate at which the chain ends, RFC 2253 */
    struct hash ca_fingerprint; /* SHA-256 of its DER */
    char signer[TSP_NAME_MAX];  /* subject of the authority's certificate */
    int64_t not_after_s;        /* earliest notAfter in the chain, POSIX seconds: when a newer token will not verify any more */
};
/*
 * Verifies a token: it stamps `imprint`; its signature is good; the signer's certificate (from the token) chains to one of the trusted
 * certificates (PEM text with at least one, each taken as an anchor) as of genTime, is for time stamping alone (critical extended key
 * usage) and is the one that the signed attributes name. Digests below SHA-256 are refused.
 * EINVAL: no token, or of something else; EUNTRUSTED: why it does not verify under these certificates.
 */
enum ledger_rc tsp_token_verify(struct span token, const struct hash *imprint, struct span ca_pem, struct tsp_info *info,
                                struct tsp_trust *trust, struct ledger_err *err) LEDGER_MUST_USE;
/* Is it PEM text with at least one certificate and nothing that cannot be read? *n_certs (may be NULL). */
enum ledger_rc tsp_ca_check(struct span ca_pem, size_t *n_certs, struct ledger_err *err) LEDGER_MUST_USE;

/* OpenSSL's ASN1_TIME as seconds since 1970 UTC, of any year; for certificates too. */
struct asn1_string_st;
bool tsp_posix_seconds(const struct asn1_string_st *t, int64_t *out);

/* A recorded and verified token: entry `index` holds a token over a checkpoint of `size` entries. */
struct tsp_stamp {
    uint64_t index, size;
    int64_t gen_us, accuracy_us;
};
struct tsp_bounds {
    const struct tsp_stamp *after, *before; /* NULL: not bounded on that side; borrow from the list */
    int64_t not_before_us, not_after_us;    /* INT64_MIN, INT64_MAX when not bounded; accuracy is allowed for */
};
/*
 * When was entry `index` recorded? Not earlier than a token that is recorded before it was made (the entry's place in the log comes
 * after the token's), and not later than a token was made over a checkpoint that covers it (index < size). The tightest of each; in
 * any order.
 */
void tsp_bounds(const struct tsp_stamp *stamps, size_t n, uint64_t index, struct tsp_bounds *out);

#endif
