/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pki: the ledger's private certificate authority: X.509 certificates and the revocation list, made with OpenSSL (RFC 5280).
 *
 * Keys are ECDSA P-256. The authority and its list are valid for 30 years, because nothing renews them; server certificates for
 * 10 years, client certificates for 3 unless asked otherwise: both are renewed by one command. Certificates begin an hour in the
 * past, so that clocks that differ a little do not matter.
 *
 * A client is named by exactly one URI in its certificate's subject alternative name. All texts are PEM, copied into the arena.
 * Any thread, one at a time for one pki_ca.
 */
#ifndef LEDGERD_PKI_H
#define LEDGERD_PKI_H

#include "base.h"

#define PKI_CA_DAYS 10957
#define PKI_SERVER_DAYS 3650
#define PKI_CLIENT_DAYS 1095
#define PKI_SERIAL_MAX 20     /* RFC 5280 section 4.1.2.2 */
#define PKI_NAME_MAX 255
#define PKI_FILE_MAX (16u << 20)

struct pki_pair {
    struct span cert, key; /* PEM */
    char serial[2 * PKI_SERIAL_MAX + 1]; /* lower-case hex */
};

/* Makes an authority for a ledger, with an empty revocation list. */
enum ledger_rc pki_ca_make(struct arena *a, const char *origin, struct pki_pair *out, struct span *crl,
                           struct ledger_err *err) LEDGER_MUST_USE;

struct pki_ca;
/* Copies. EINVAL: not a certificate and its key. */
enum ledger_rc pki_ca_open(struct span cert_pem, struct span key_pem, struct pki_ca **out, struct ledger_err *err)
    LEDGER_MUST_USE;
void pki_ca_close(struct pki_ca *ca);

/* A server certificate for these DNS names and IP addresses (text), in this order. */
enum ledger_rc pki_issue_server(const struct pki_ca *ca, struct arena *a, const char *const *hosts, size_t n_hosts,
                                struct pki_pair *out, struct ledger_err *err) LEDGER_MUST_USE;
/* A client certificate with `uri` as its one name. */
enum ledger_rc pki_issue_client(const struct pki_ca *ca, struct arena *a, const char *uri, unsigned days,
                                struct pki_pair *out, struct ledger_err *err) LEDGER_MUST_USE;
/* The list with one more serial (lower-case hex). EINVAL: it is in the list already, or is no serial. */
enum ledger_rc pki_revoke(const struct pki_ca *ca, struct arena *a, struct span crl_pem, const char *serial,
                          struct span *out, struct ledger_err *err) LEDGER_MUST_USE;

struct pki_info {
    char serial[2 * PKI_SERIAL_MAX + 1];
    char name[PKI_NAME_MAX + 1];      /* the URI; "" if it has not exactly one */
    int64_t not_before_s, not_after_s; /* POSIX seconds */
};
enum ledger_rc pki_read(struct span cert_pem, struct pki_info *out, struct ledger_err *err) LEDGER_MUST_USE;
/* Is the serial in the list? EINVAL: not a list. *at_s (may be NULL): when it was revoked. */
enum ledger_rc pki_is_revoked(struct span crl_pem, const char *serial, bool *revoked, int64_t *at_s,
                              struct ledger_err *err) LEDGER_MUST_USE;

/* POSIX seconds at which a list wants to be replaced (nextUpdate). EINVAL: not a list, or one without. */
enum ledger_rc pki_next_update(struct span crl_pem, int64_t *out_s, struct ledger_err *err) LEDGER_MUST_USE;

/* The one URI of a certificate's subject alternative name: printable ASCII, 1 to PKI_NAME_MAX bytes, no NUL inside. False: none, more
 * than one, or a malformed one. `x509` is an X509 *, passed untyped so that this header needs no OpenSSL. */
bool pki_uri_of(const void *x509, char out[PKI_NAME_MAX + 1]) LEDGER_MUST_USE;
/* Serial of an X509 * as lower-case hex. */
bool pki_serial_of(const void *x509, char out[2 * PKI_SERIAL_MAX + 1]) LEDGER_MUST_USE;
/* POSIX seconds of notAfter of an X509 *. */
bool pki_not_after_of(const void *x509, int64_t *out) LEDGER_MUST_USE;

#endif
