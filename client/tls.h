/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls: TLS 1.3 with client certificates as a machine of bytes: what came from the network goes in, what has to go out comes out.
 * It never touches a socket. The server must show a certificate of the profile's ca.pem for the very host that was dialled.
 *
 * Sessions belong to one thread; a context may be shared. tls.c is the only file of the client that includes <openssl/ssl.h>.
 */
#ifndef LEDGERD_CLIENT_TLS_H
#define LEDGERD_CLIENT_TLS_H

#include "profile.h"

struct tls_context;
struct tls_session;

/* Reads ca.pem, client.pem and client.key of the profile. EINVAL names the file that cannot be used. */
enum ledger_rc tls_client_context_new(const struct ledger_profile *p, struct tls_context **out, struct ledger_err *err) LEDGER_MUST_USE;
void tls_client_context_free(struct tls_context *t); /* NULL is allowed; not before its sessions */

/* POSIX seconds of notAfter of the profile's own certificate and of its authority's (ca.pem). EINVAL, ENOTFOUND. */
enum ledger_rc tls_profile_expiry(const struct ledger_profile *p, int64_t *own_s, int64_t *ca_s, struct ledger_err *err) LEDGER_MUST_USE;

/* A session for a host name or an IP address (decides what the certificate must name). */
enum ledger_rc tls_client_session_new(struct tls_context *t, const char *host, struct tls_session **out, struct ledger_err *err)
    LEDGER_MUST_USE;
void tls_client_session_free(struct tls_session *s); /* NULL is allowed */

/*
 * The handshake goes on as far as it can. *done: it is finished. Errors: EUNTRUSTED (the server's certificate), EDENIED (the server
 * refused ours), EVERSION (no TLS 1.3), ECONNECT.
 */
enum ledger_rc tls_client_handshake(struct tls_session *s, bool *done, struct ledger_err *err) LEDGER_MUST_USE;
/* Bytes from the network (at most 1 GiB at once). ENOMEM. */
enum ledger_rc tls_client_receive(struct tls_session *s, struct span bytes, struct ledger_err *err) LEDGER_MUST_USE;
/* Decrypts up to n bytes; *got 0: more bytes from the network are needed. Errors as tls_client_handshake; ECONNECT when the peer closed. */
enum ledger_rc tls_client_read(struct tls_session *s, void *p, size_t n, size_t *got, struct ledger_err *err) LEDGER_MUST_USE;
/* Encrypts all of it. */
enum ledger_rc tls_client_write(struct tls_session *s, struct span bytes, struct ledger_err *err) LEDGER_MUST_USE;
/* What has to be sent: borrowed until the next call on this session. To be asked after every call above, also after errors (alerts). */
struct span tls_client_output(struct tls_session *s);
void tls_client_output_taken(struct tls_session *s); /* all that tls_client_output returned */

#endif
