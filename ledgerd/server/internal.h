/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal: what the files of the server share. Nobody else includes it.
 *
 * Terms: a *connection* is one client's socket with everything that hangs on it. A *submission* is one SubmitRequest in the
 * pipeline. A *stream* is any other request that is being answered, also one with a single response. *Work* is one visit of a stream
 * to the thread pool, in which some responses are made. *Pending* bytes are answers that the socket has not taken yet.
 *
 * Threads: everything here belongs to the loop thread, but for what is marked otherwise: what is handed over (finished jobs, and responses
 * of a stream that is at work), the commit counter, the figures, and a stream between uv_queue_work and its return.
 *
 * Life of a connection: OPENING (TLS, hello) → OPEN → CLOSING (answers are sent, nothing is read) → LINGER (all is sent; what
 * still comes is thrown away, so that a reset does not overtake the last answer) → CLOSED (the handle is closing; memory is
 * freed when the handle and any work have come back). Any state can go to CLOSED at once (connection_drop).
 */
#ifndef LEDGERD_SERVER_INTERNAL_H
#define LEDGERD_SERVER_INTERNAL_H

#include <stdatomic.h>
#include <sys/stat.h>

#include <uv.h>

#include "../http/http.h"
#include "../query.h"
#include "../witness/witness.h"
#include "bytes.h"
#include "frame.h"
#include "message.h"
#include "server.h"
#include "tls.h"

#define SERVER_MAGIC 0x5e72e201u
#define CONNECTION_MAGIC 0xc0221e02u

#define READ_BUFFER (64u << 10)
#define PLAIN_BUFFER (16u << 10)          /* one TLS record */
#define WRITE_CHUNK (256u << 10)          /* encrypted at once */
#define PENDING_HIGH (1u << 20)           /* more: nothing is read from this client, no stream goes on */
#define PENDING_LOW (256u << 10)          /* less again: both go on */
#define PENDING_MAX (32u << 20)           /* more: the connection ends */
#define PENDING_TOTAL_MAX (256u << 20)    /* of all connections: more: no stream goes on */
#define RECEIVING_TOTAL_MAX (256u << 20)  /* large requests being received or in the pipeline, of all connections */
#define RECEIVING_CLIENT_MAX (64u << 20)  /* the same, of the connections of one client: nobody keeps the others from sending */
#define JOB_ARENA (256u << 20)
#define WORK_ARENA (32u << 20)
#define POOL_THREADS 4u                   /* libuv's default */
#define WORK_RESPONSES 16                 /* made in a visit to the thread pool, at most */
#define WORK_BYTES (128u << 10)           /* made in a visit while others wait for a thread; or while the loop takes none of it */
#define JOBS_AT_ONCE 8                    /* answered before the loop looks around: who waits for something short is not behind all of them */
#define LINGER_MS 2000
#define LOG_LINES_A_SECOND 20             /* about connections that fail: a flood of them must not fill the disk */

_Static_assert(PENDING_LOW < PENDING_HIGH && PENDING_HIGH < PENDING_MAX, "water marks");
_Static_assert(WORK_ARENA >= 2 * QUERY_ARENA_BYTES, "a query's response fits");

/* Read by worker threads for StatusRequest. */
struct figures {
    _Atomic uint64_t connections, accepted, turned_away, handshakes_failed, timeouts, requests, errors, busy, jobs, streams,
        bytes_in, bytes_out, pending;
};

struct stamp {
    struct timespec changed;
    ino_t inode;
    off_t size;
};

enum server_phase { SERVER_SERVING, SERVER_STOPPING, SERVER_PIPELINE_STOPPED, SERVER_HANDLES_CLOSED };

struct connection;
struct server {
    unsigned magic;
    uv_loop_t loop;
    uv_tcp_t listener;
    bool accept_waits;             /* a connection is there for which there was no memory; libuv tells of no further one until it is taken */
    uv_signal_t signals[3];
    uv_async_t wake;
    uv_timer_t sweep;
    uv_prepare_t prepare;
    uv_check_t check;
    bool loop_made;
    enum server_phase phase;
    uint64_t drain_until_ms;
    char address[CONFIG_ADDRESS_MAX];
    char dir[CONFIG_PATH_MAX], config_path[CONFIG_PATH_MAX + 32];
    struct config config;          /* its own access table; everything else a copy */
    void (*figures_cb)(void *ctx, void (*put)(void *sink, const char *name, double value, const char *text), void *sink);
    void *figures_ctx;             /* of what stands beside the server; the function may be NULL */
    struct http *http;             /* NULL: not configured */
    struct tls_context *tls;       /* NULL: plain */
    struct stamp stamps[4];
    struct store *store;
    struct pipeline *pipeline;
    struct witness_service *witness; /* NULL: none configured */
    struct connection *connections, *dirty;
    size_t connections_n;
    uv_mutex_t done_lock;          /* guards what other threads hand over: */
    struct job *done_first, **done_last; /* … finished jobs */
    struct stream *handing;        /* … streams at work that have something in `handed` */
    _Atomic uint64_t commits;      /* how many, witnessed checkpoints too; any thread */
    uint64_t commits_seen;         /* the number that followers have been woken for */
    size_t waiting;                /* streams that wait for a commit */
    size_t jobs;                   /* in the pipeline */
    _Atomic size_t works;          /* in the thread pool, or on their way there; read by its threads */
    size_t receiving;              /* reserved of RECEIVING_TOTAL_MAX */
    bool receiving_freed;          /* somebody who waits for it can be asked again */
    bool retrying;                 /* they are being asked, one after the other … */
    const char *share_used;        /* … and this client has its share: its other connections need not be asked */
    size_t pending;                /* of all connections */
    struct figures figures;
    unsigned log_left, log_lost;
    uint64_t log_second;
    uint64_t watchdog_ms, watchdog_last_ms;
    uint8_t read_buffer[READ_BUFFER];
    uint8_t plain_buffer[PLAIN_BUFFER];
};

enum connection_state { CONNECTION_OPENING, CONNECTION_OPEN, CONNECTION_CLOSING, CONNECTION_LINGER, CONNECTION_CLOSED };

struct submission {
    struct submission *next, **at;  /* in its connection's list */
    struct connection *conn;        /* NULL: gone meanwhile */
    struct server *server;
    uint64_t id;
    size_t reserved;                /* of RECEIVING_TOTAL_MAX */
    struct job job;
};

enum stream_kind { STREAM_HELLO, STREAM_SINGLE, STREAM_MANY };
struct stream {
    struct stream *next;
    struct connection *conn;
    enum stream_kind kind;
    uint64_t id;
    struct access access;
    struct query_env env;
    struct query *query;           /* NULL: not begun */
    struct bytes request;          /* until it has begun */
    struct bytes wanted;           /* HELLO: the origin that the client means */
    uint64_t credit;               /* responses that may be made */
    uint64_t credit_late;          /* granted while it was in the thread pool */
    size_t reserved;               /* of RECEIVING_TOTAL_MAX, for the question and what it is decoded into */
    bool begun, working, wait_commit, last;
    uint64_t wait_until_ms;        /* wait_commit: no longer than this; 0: for ever */
    enum error_code ended_by;      /* 0, or the error that ends it */
    const char *ended_text;        /* static */
    /* Made by work. */
    uint64_t commits_before;
    uint64_t made;
    bool nothing_yet;
    enum ledger_rc rc;
    struct ledger_err err;
    struct bytes out;              /* frames; the checkpoint note of a hello */
    struct bytes handed;           /* the same, made before those: the loop may take it while the work goes on (done_lock) */
    struct stream *handing_next;   /* as long as there is something in it, until the work returns (done_lock) */
    uv_work_t work;
};

struct connection {
    unsigned magic;
    struct server *server;
    struct connection *next, **at;
    struct connection *dirty_next;
    bool dirty;
    enum connection_state state;
    unsigned references;           /* the handle, and work */
    uv_tcp_t tcp;
    uv_shutdown_t shutdown;
    struct tls *tls;               /* NULL: plain */
    struct access access;
    char serial[2 * PKI_SERIAL_MAX + 1];
    int64_t not_after_s;
    /* Receiving. */
    struct bytes in;               /* decrypted, not yet looked at */
    struct frame_reader frames;
    bool reading;                  /* uv_read_start is in force */
    bool wait_memory;              /* for RECEIVING_TOTAL_MAX or _CLIENT_MAX */
    bool hello_begun;
    _Atomic bool high;             /* above PENDING_HIGH and not yet below PENDING_LOW; read by work, too */
    uint64_t opened_ms, partial_ms, linger_ms;
    /* Sending. */
    struct bytes out;              /* answers, not yet encrypted */
    struct bytes writing;          /* what the write request is sending */
    bool write_busy, closing_said;
    uv_write_t write;
    size_t write_left;             /* as seen by the latest sweep */
    uint64_t progress_ms;
    size_t pending_counted;        /* part of server->pending */
    /* Requests. */
    struct submission *submissions;
    unsigned submissions_n, streams_n, many_n;
    struct stream *streams;        /* in the order of their turns */
    bool working;                  /* one stream at a time is in the thread pool */
};

/* server.c */
uint64_t server_now(struct server *s);
bool server_may_log(struct server *s); /* false: this second has had its lines about failing connections */
/* stop.c */
void server_begin_stop(struct server *s, const char *why);
void server_progress_stop(struct server *s);
/* listener.c */
enum ledger_rc listener_open(struct server *s, struct ledger_err *err) LEDGER_MUST_USE;
void listener_retry(struct server *s);                             /* from time to time */
/* reload.c */
enum ledger_rc reload_first(struct server *s, struct ledger_err *err) LEDGER_MUST_USE;
void reload_if_changed(struct server *s);
void reload_now(struct server *s);
/* connection.c */
bool connection_accept(struct server *s); /* false: out of memory, it was not taken */
void connection_drop(struct connection *c, const char *why);       /* at once; why is logged, NULL: not */
void connection_fail(struct connection *c, enum error_code code, const char *text); /* an error with id 0, then the end */
void connection_finish(struct connection *c);                      /* what is pending, then the end */
void connection_release(struct connection *c);                     /* one reference */
/* sending.c */
void connection_touched(struct connection *c);                     /* after adding to c->out: it will be sent in this iteration */
void connection_flush(struct connection *c);
void connection_count_pending(struct connection *c);
size_t connection_pending(const struct connection *c);
/* receiving.c */
void connection_read_cb(uv_stream_t *h, ssize_t n, const uv_buf_t *buf);
void connection_alloc_cb(uv_handle_t *h, size_t suggested, uv_buf_t *buf);
void connection_pump(struct connection *c);                        /* goes on with what has come already */
void receiving_give_back(struct server *s, size_t n);
/* requests.c */
void request_take(struct connection *c, struct span frame, size_t reserved);
void request_error(struct connection *c, const struct message *m, enum error_code code, const char *text);
void request_jobs_done(struct server *s);
void request_forget(struct connection *c);                         /* its submissions will answer nobody */
/* streams.c */
/* The server's figures, for StatusRequest and /metrics. Any thread; ctx is the server. */
void server_figures(void *ctx, void (*put)(void *sink, const char *name, double value, const char *text), void *sink);
void stream_begin(struct connection *c, const struct message *m, struct span request, size_t reserved);
void stream_credit(struct connection *c, uint64_t id, uint32_t responses);
void stream_cancel(struct connection *c, uint64_t id);
bool stream_uses(const struct connection *c, uint64_t id);
void stream_schedule(struct connection *c);
void stream_end_all(struct connection *c, enum error_code code, const char *text); /* with an answer */
void stream_forget(struct connection *c);                          /* without */
void streams_committed(struct server *s);
void streams_take_handed(struct server *s);                        /* responses of streams that are still at work */
void stream_expire(struct connection *c);
void stream_wake_late(struct connection *c, uint64_t now); /* those that have waited long enough */

#endif
