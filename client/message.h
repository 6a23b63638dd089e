/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message: the RPC messages of ledger.proto as plain structures. Requests are encoded here and responses decoded; nothing here
 * is hashed or signed after being encoded again: events, blocks, headers and notes are opaque bytes on this path.
 *
 * Everything comes from the arena that is passed in, and a response is decoded within its budget; results live as long as
 * it does. Pure; any thread. message.c is the only file of the client that includes generated protobuf-c headers.
 */
#ifndef LEDGERD_CLIENT_MESSAGE_H
#define LEDGERD_CLIENT_MESSAGE_H

#include "client.h"

#define FRAME_BYTES_MAX (4u * 1024u * 1024u)
#define PROTOCOL_VERSION 1u

/* Codes of Error in ledger.proto. */
enum message_error_code {
    MESSAGE_ERROR_UNSPECIFIED = 0, MESSAGE_ERROR_MALFORMED, MESSAGE_ERROR_UNKNOWN_REQUEST, MESSAGE_ERROR_VERSION,
    MESSAGE_ERROR_BUSY, MESSAGE_ERROR_DENIED, MESSAGE_ERROR_NOT_FOUND, MESSAGE_ERROR_LIMIT, MESSAGE_ERROR_SHUTTING_DOWN,
    MESSAGE_ERROR_STORAGE, MESSAGE_ERROR_INTERNAL, MESSAGE_ERROR_CANCELED, MESSAGE_ERROR_TIMEOUT,
};

enum message_kind {
    MESSAGE_NONE = 0, MESSAGE_ERROR, MESSAGE_HELLO, MESSAGE_SUBMIT, MESSAGE_SNAPSHOT, MESSAGE_CONSISTENCY, MESSAGE_ENTRIES,
    MESSAGE_PROVE, MESSAGE_FIND, MESSAGE_RECEIPT, MESSAGE_STATUS, MESSAGE_LOG_KEYS,
};
struct message_error { unsigned code; const char *text; unsigned recorded; };
struct message_hello {
    unsigned version;
    const char *program, *origin, *client;
    struct span checkpoint;
    uint32_t frame_bytes_max, submit_events_max;
    uint32_t requests_max, streams_max; /* that the server takes at once; never 0 */
};
struct message_result {
    enum ledger_outcome outcome; /* 0: none that this program knows */
    uint64_t index;
    struct span header, path;
    unsigned code;
    const char *subject, *field, *text;
};
struct message_submit { size_t n; struct message_result *results; struct span checkpoint; };
struct message_consistency { uint64_t size1, size2; struct span path, checkpoint; };
struct message_entries {
    uint64_t first;
    size_t n;
    struct entry_claim *records;
    bool has_snapshot;
    struct snapshot_claim snapshot;
};
struct message_proof {
    struct chain_claim claim;
    uint64_t head_before;      /* 1 + index of an entry whose header, sent earlier in the answer, is the head; else 0 */
    struct member_claim *logs; /* what claim.logs points to */
    size_t n_history;
    struct entry_claim *history;
    uint64_t *sent_before; /* parallel to history: 1 + index of an entry that was sent earlier in the answer; else 0 */
    uint64_t history_first;
};
struct message_prove { bool has_snapshot; struct snapshot_claim snapshot; size_t n; struct message_proof *proofs; };
struct message_find { bool has_snapshot; struct snapshot_claim snapshot; size_t n; struct span *ids; bool truncated; };
struct message_log_keys { size_t n; struct log_key_claim *changes; };
struct message_status { size_t n; struct status_metric *metrics; };

struct message {
    uint64_t id;
    bool more;
    enum message_kind kind;
    union {
        struct message_error error;
        struct message_hello hello;
        struct message_submit submit;
        struct snapshot_claim snapshot;
        struct message_consistency consistency;
        struct message_entries entries;
        struct message_prove prove;
        struct message_find find;
        struct receipt_claim receipt; /* origin is not in it */
        struct message_status status;
        struct message_log_keys log_keys;
    } u;
};
/* EPROTO: not a Response, or one without what it must have. ENOMEM: over the arena's budget. */
enum ledger_rc rpc_decode(struct arena *a, struct span bytes, struct message *out, struct ledger_err *err) LEDGER_MUST_USE;

/* Encoded Requests; SPAN_NONE when over the arena's budget. */
struct span rpc_put_hello(struct arena *a, uint64_t id, const char *program, const char *origin);
struct span rpc_put_submit(struct arena *a, uint64_t id, const struct ledger_batch *b, bool all_or_nothing);
struct span rpc_put_checkpoint(struct arena *a, uint64_t id);
struct span rpc_put_consistency(struct arena *a, uint64_t id, uint64_t size1, uint64_t size2);
struct span rpc_put_entries(struct arena *a, uint64_t id, const struct entries_request *r, uint64_t end, uint32_t credit);
struct span rpc_put_prove(struct arena *a, uint64_t id, const struct prove_request *r, uint32_t credit);
struct span rpc_put_find(struct arena *a, uint64_t id, const struct find_request *r);
struct span rpc_put_witnessed(struct arena *a, uint64_t id, uint64_t size, uint32_t wait_ms);
/* wait_ms: for a receipt at level witnessed. */
struct span rpc_put_receipt(struct arena *a, uint64_t id, const struct receipt_request *r, uint32_t wait_ms);
struct span rpc_put_status(struct arena *a, uint64_t id);
struct span rpc_put_log_keys(struct arena *a, uint64_t id);
struct span rpc_put_credit(struct arena *a, uint64_t id, uint64_t stream, uint32_t responses);
struct span rpc_put_cancel(struct arena *a, uint64_t id, uint64_t stream);

/* ---- batches as bytes: "ledgerd batch v1\n" and a SubmitRequest ---- */

/* Room for the other parts of a request in one frame. */
#define BATCH_BYTES_MAX ((int)(FRAME_BYTES_MAX - 65536u))

struct message_batch { unsigned own_kind; size_t n_events, n_signatures; struct span *events, *signatures; };
/* *bytes is allocated with malloc. */
enum ledger_rc rpc_batch_encode(const struct ledger_batch *b, uint8_t **bytes, size_t *n, struct ledger_err *err)
    LEDGER_MUST_USE;
enum ledger_rc rpc_batch_decode(struct arena *a, struct span bytes, struct message_batch *out, struct ledger_err *err)
    LEDGER_MUST_USE;

/* An act of the ledger that persons sign: "ledgerd act v1\n" and a SubmitOwnRequest. */
enum ledger_rc rpc_act_encode(const struct ledger_batch *b, uint8_t **bytes, size_t *n, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc rpc_act_decode(struct arena *a, struct span bytes, struct message_batch *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* ---- changes of the log key as a file: "ledgerd log keys v1\n" and a LogKeysResponse ---- */

/* SPAN_NONE when over the budget. */
struct span log_keys_encode(struct arena *a, const struct message_log_keys *k);
/* EINVAL: damaged; EVERSION. What is in it has to be verified. */
enum ledger_rc log_keys_decode(struct arena *a, struct span bytes, struct message_log_keys *out, struct ledger_err *err) LEDGER_MUST_USE;

/* ---- receipt files: "ledgerd receipt v1\n", a ReceiptFile, SHA-256 over all before (32 bytes) ---- */

/* SPAN_NONE when over the budget. */
struct span receipt_file_encode(struct crypto *c, struct arena *a, const struct receipt_claim *claim);
/* Takes a file apart; verify_receipt judges what is in it. EINVAL: damaged; EVERSION. */
enum ledger_rc receipt_file_decode(struct crypto *c, struct arena *a, struct span file, struct receipt_claim *out,
                                   struct ledger_err *err) LEDGER_MUST_USE;

#endif
