/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw_client: one connection to a daemon that sends and receives frames and verifies nothing, for
 * load generators: the library proper verifies every answer as it comes, on the same cores that the
 * daemon is measured on. TLS and messages are the library's own.
 *
 * One thread a client. Failure: each function ends the program with a sentence; a measurement with a broken
 * connection is none.
 */
#ifndef LEDGERD_TESTS_RAW_CLIENT_H
#define LEDGERD_TESTS_RAW_CLIENT_H

#include "profile.h"
#include "tls.h"

struct raw_client {
    int fd; /* blocking; may be watched for input with epoll */
    struct tls_session *tls;
    uint8_t *in; /* decrypted, not taken yet */
    size_t in_n, in_cap;
};

/* Connects, shakes hands and says hello. The profile and the context must outlive the connection.
 */
void raw_client_open(struct raw_client *cl, const struct ledger_profile *p, struct tls_context *tls,
                     const char *program);
void raw_client_close(struct raw_client *cl);
/* Sends a whole message in a frame; waits until the system took all of it. */
void raw_client_send(struct raw_client *cl, struct span message);
/* Reads once from the network (with `wait`: until a message is whole). True: *message is the first
 * one, borrowed until raw_client_drop, which must come before the next call. */
bool raw_client_receive(struct raw_client *cl, bool wait, struct span *message);
void raw_client_drop(struct raw_client *cl, struct span message);

/* Ends the program with status 1 and a sentence. */
_Noreturn void raw_die(const char *fmt, ...) LEDGER_PRINTF(1, 2);
/* Does so unless rc is OK. */
void raw_must(enum ledger_rc rc, const struct ledger_err *err, const char *what);

#endif
