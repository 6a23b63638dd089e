/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch: events that are signed together. Every signature covers the RFC 6962 root of the events' ids (event.h), so a batch is
 * first filled, then signed, then submitted; from the first signature on it does not change but by further signatures. The bytes
 * that are sent are fixed here, once, which is what makes sending them again safe.
 *
 * A batch belongs to one thread until it is submitted; from then on it is read-only and shared by reference count.
 */
#ifndef LEDGERD_CLIENT_BATCH_H
#define LEDGERD_CLIENT_BATCH_H

#include <stdatomic.h>

#include "event.h"
#include "note.h"

#include <ledgerd/batch.h>

struct batch_event {
    struct span bytes;
    struct hash id;
    struct span block; /* complete signature block; valid after batch_seal */
    struct hash block_hash;
};
struct ledger_batch {
    atomic_uint references;
    struct arena *a;
    struct crypto *c;
    char origin[ORIGIN_MAX + 1];
    size_t n, n_signatures;
    size_t bytes;                  /* sum of the events' sizes */
    struct batch_event *events;    /* BATCH_EVENTS_MAX of them */
    struct hash root;              /* of the ids; valid when n_signatures > 0 */
    struct signature sigs[SIGNATURES_READ_MAX];
    struct span signatures[SIGNATURES_READ_MAX]; /* their encodings */
    unsigned own_kind;             /* not 0: an act of the ledger; its payload is the one event */
    bool unsigned_allowed;         /* batch_leave_unsigned */
    bool sealed;                   /* blocks are valid; nothing changes any more */
};

/* Signs like ledger_batch_sign, but up to SIGNATURES_READ_MAX times and also without a meaning (NULL): which signatures a kind
 * takes is for the ledger to say. */
enum ledger_rc batch_sign(struct ledger_batch *b, struct ledger_key *key, const char *meaning, const char *time,
                          struct ledger_err *err) LEDGER_MUST_USE;
/* Lets the batch be submitted without a signature. */
void batch_leave_unsigned(struct ledger_batch *b);

/* Makes an empty batch into an act of the ledger that persons sign (entry.h: PARAMETERS, ERASURE). Signed and submitted like a batch of
 * one event. EINVAL: the payload is not one of that kind. */
enum ledger_rc batch_add_own(struct ledger_batch *b, unsigned kind, struct span payload, struct ledger_err *err) LEDGER_MUST_USE;
/* As a file, for a second signer at another desk: "ledgerd act v1\n" and a SubmitOwnRequest. As ledger_batch_encode, _decode. */
enum ledger_rc batch_own_encode(const struct ledger_batch *b, uint8_t **bytes, size_t *n, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc batch_own_decode(const char *origin, struct span bytes, struct ledger_batch **out, struct ledger_err *err)
    LEDGER_MUST_USE;

/* Computes the signature blocks, exactly as the ledger does. Idempotent. EINVAL: no event, or no signature. */
enum ledger_rc batch_seal(struct ledger_batch *b, struct ledger_err *err) LEDGER_MUST_USE;
struct ledger_batch *batch_keep(struct ledger_batch *b);

#endif
