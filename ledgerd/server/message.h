/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message: the server's requests and responses as plain structs; the one place of the server that knows the generated protobuf code.
 *
 * Decoding has a budget: protobuf can make a small message into a large structure (a megabyte of empty strings becomes tens of
 * megabytes), so all of it comes out of an arena and stops at MESSAGE_DECODE_MAX. Unknown fields are skipped: newer clients have more.
 */
#ifndef LEDGERD_SERVER_MESSAGE_H
#define LEDGERD_SERVER_MESSAGE_H

#include "../pipeline.h"
#include "bytes.h"
#include "frame.h"

#define MESSAGE_DECODE_MAX (24u << 20)
#define MESSAGE_EVENTS_MAX 1000
#define MESSAGE_SIGNATURES_MAX 8

enum message_op { OP_UNKNOWN = 0, OP_HELLO, OP_SUBMIT, OP_SINGLE, OP_STREAM, OP_CREDIT, OP_CANCEL };

/* ErrorCode and Recorded of ledger.proto; message.c asserts that the numbers agree. */
enum error_code {
    ERROR_MALFORMED = 1, ERROR_UNKNOWN_REQUEST, ERROR_VERSION, ERROR_BUSY, ERROR_DENIED, ERROR_NOT_FOUND, ERROR_LIMIT,
    ERROR_SHUTTING_DOWN, ERROR_STORAGE, ERROR_INTERNAL, ERROR_CANCELED, ERROR_TIMEOUT,
};
enum recorded { RECORDED_UNSPECIFIED = 0, RECORDED_NOTHING, RECORDED_UNKNOWN };

struct message {
    uint64_t id;
    enum message_op op;
    bool names_many; /* of the questions this one alone may be long: it can name thousands of chains */
    /* HELLO */
    uint32_t version_min, version_max;
    struct span origin;
    /* SUBMIT; of an act of the ledger (own_kind not 0) its payload is the one event */
    unsigned own_kind;
    size_t n_events, n_signatures;
    struct span *events, *signatures;
    bool all_or_nothing;
    /* CREDIT, CANCEL */
    uint64_t stream;
    uint32_t responses;
};
/* Everything lies in the arena; nothing points into the frame. EINVAL: no Request message. ELIMIT: over the budget. */
enum ledger_rc message_decode(struct arena *a, struct span frame, struct message *out, struct ledger_err *err)
    LEDGER_MUST_USE;

/* Each appends one whole frame to `out`. False: out of memory; nothing was appended. */
struct error_answer {
    enum error_code code;
    enum recorded recorded;
    const char *text;
};
bool message_put_error(struct bytes *out, uint64_t id, const struct error_answer *e) LEDGER_MUST_USE;
struct hello_answer {
    const char *program, *origin, *client;
    struct span checkpoint;
    uint32_t requests_max, streams_max;
};
bool message_put_hello(struct bytes *out, uint64_t id, const struct hello_answer *h) LEDGER_MUST_USE;
/* The results of a job whose rc is OK, in as many frames as they need, each with the checkpoint. Uses the job's arena. */
bool message_put_submit(struct bytes *out, uint64_t id, struct job *job) LEDGER_MUST_USE;
bool message_put_encoded(struct bytes *out, struct span response) LEDGER_MUST_USE;

/* The request whose answer a hello is made from, and the signed note in that answer (in the arena; SPAN_NONE: it has none). */
struct span message_checkpoint_request(struct arena *a);
struct span message_checkpoint_note(struct arena *a, struct span response);

#endif
