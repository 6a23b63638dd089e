/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: the network side of the daemon: one thread with its own loop that accepts, decrypts, cuts frames, hands submits to the
 * pipeline and queries to worker threads, and sends what comes back.
 *
 *   server_new (binds; nobody is served yet) → pipeline_start with the three callbacks below and the server as ctx → server_run
 *
 * server_run returns after SIGTERM or SIGINT, when everything that the pipeline had taken is answered, the pipeline is stopped and
 * every handle is closed. SIGHUP reads the access table, certificates and the revocation list again.
 */
#ifndef LEDGERD_SERVER_SERVER_H
#define LEDGERD_SERVER_SERVER_H

#include "../config.h"
#include "../pipeline.h"

struct store;
struct server;
struct witness_service;
struct server_options {
    const char *dir;          /* borrowed */
    const char *config_path;  /* borrowed; read again on SIGHUP */
    struct config *config;    /* borrowed, but its access table is taken and left empty */
    struct store *store;      /* borrowed */
    struct witness_service *witness; /* borrowed; stopped when the pipeline is; NULL: none */
};
/* EINVAL: address, certificates or the combination of plain and address; EIO: the address cannot be bound. Returns owned. */
enum ledger_rc server_new(const struct server_options *o, struct server **out, struct ledger_err *err) LEDGER_MUST_USE;
/* "127.0.0.1:7461", with the port that was in fact bound. */
const char *server_address(const struct server *s);
const char *server_http_address(const struct server *s); /* the same of HTTP; NULL: not configured */
/* Serves until told to stop; stops the pipeline, which stays the caller's to free. OK: ended in order. */
enum ledger_rc server_run(struct server *s, struct pipeline *p, struct ledger_err *err) LEDGER_MUST_USE;
void server_free(struct server *s); /* after server_run, or instead of it */

/* For pipeline_options; their ctx is the server. Any thread. */
void server_job_done(void *ctx, struct job *job);
void server_committed(void *ctx, uint64_t size);
/* A newer witnessed checkpoint is there. Any thread, not after witness_stop. */
void server_witnessed(struct server *s);

#endif
