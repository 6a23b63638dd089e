/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls: the server's side of TLS 1.3 (RFC 8446) as an engine: bytes in, bytes out. It knows no sockets and no loop.
 *
 * Only TLS 1.3; a client certificate is required, must chain to the one pinned authority directly, must not be in its
 * revocation list, must be for client authentication, and must name its holder by exactly one URI. No tickets and no resumption: the
 * identity is checked on each connection.
 *
 * Use: tls_feed what the peer sent; tls_read until it says TLS_AGAIN; then send tls_output and tls_output_drop what was taken. There
 * can be output after every call. Loop thread only.
 */
#ifndef LEDGERD_SERVER_TLS_H
#define LEDGERD_SERVER_TLS_H

#include "pki.h"

struct tls_files {
    const char *ca, *crl, *cert, *key; /* PEM */
};
/* What every connection shares. Counted by its engines: freeing it while they live is allowed. */
struct tls_context;
enum ledger_rc tls_context_new(const struct tls_files *files, struct tls_context **out, struct ledger_err *err)
    LEDGER_MUST_USE;
void tls_context_free(struct tls_context *c);
/* Is a serial (lower-case hex) in the revocation list of this context? */
bool tls_context_revoked(const struct tls_context *c, const char *serial);
/* notAfter of the server's own certificate, POSIX seconds. */
int64_t tls_context_expires(const struct tls_context *c);

enum tls_result {
    TLS_OK = 0,
    TLS_AGAIN,  /* nothing more without more input */
    TLS_CLOSED, /* the peer said that it ends */
    TLS_FAILED, /* handshake or record refused; tls_fault says why; there may be an alert to send */
};

struct tls;
struct tls *tls_new(struct tls_context *c); /* NULL: out of memory */
void tls_free(struct tls *t);               /* NULL is allowed */
/* Copies bytes from the peer into the engine. False: out of memory. */
bool tls_feed(struct tls *t, struct span bytes) LEDGER_MUST_USE;
/* Goes on with the handshake if there is one, else decrypts. TLS_OK: *n > 0 bytes are in buf. */
enum tls_result tls_read(struct tls *t, uint8_t *buf, size_t max, size_t *n) LEDGER_MUST_USE;
/* Encrypts all of it. Only after the handshake. */
enum tls_result tls_write(struct tls *t, struct span plain) LEDGER_MUST_USE;
/* The peer is to know that nothing follows (close_notify). */
void tls_close_notify(struct tls *t);
bool tls_open(const struct tls *t);       /* the handshake is complete and the peer is who it says */
bool tls_has_input(const struct tls *t);  /* bytes were fed that are no complete record yet */
struct span tls_output(const struct tls *t);       /* borrowed until the next call */
void tls_output_drop(struct tls *t, size_t n);     /* the first n bytes of it were taken */
const char *tls_fault(const struct tls *t);        /* a few words; "" if nothing failed */

struct tls_peer {
    char name[PKI_NAME_MAX + 1];
    char serial[2 * PKI_SERIAL_MAX + 1];
    int64_t not_after_s;
};
const struct tls_peer *tls_peer(const struct tls *t); /* valid once tls_open */

#endif
