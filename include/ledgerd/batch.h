/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch: events that are signed and submitted together, at most 1,000. First all events are added, then it is signed once for each
 * signature that the kinds ask for (all events of a batch ask for the same number), then it is submitted, as often as necessary:
 * the ledger records the same bytes once and answers with the first receipt.
 *
 * A batch can travel as bytes, for a second signer at another desk, or to be kept until an answer came.
 * It belongs to one thread; after it was handed to a client it may be freed at once.
 */
#ifndef LEDGERD_BATCH_H
#define LEDGERD_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include <ledgerd/error.h>

struct ledger_batch;
struct ledger_event;
struct ledger_key;

/* An empty batch for the ledger named `origin`, owned by the caller: ledger_batch_free. EINVAL: no ledger's name. */
LEDGER_API enum ledger_rc ledger_batch_new(const char *origin, struct ledger_batch **out, struct ledger_err *err) LEDGER_MUST_USE;
/* Adds an encoded event (*copies*), or an event that is finished here. EINVAL: signed already, or no event; ELIMIT: the 1,001st, or
 * more bytes than one request carries. */
LEDGER_API enum ledger_rc ledger_batch_add(struct ledger_batch *b, const uint8_t *event, size_t n, struct ledger_err *err)
    LEDGER_MUST_USE;
LEDGER_API enum ledger_rc ledger_batch_add_event(struct ledger_batch *b, struct ledger_event *ev, struct ledger_err *err)
    LEDGER_MUST_USE;
/* Signs all events with the next signature. `meaning` says what the signature stands for ("authorship", "verification", "approval",
 * "release"); `time` is when it is given, with offset, or NULL for now by this machine's clock. */
LEDGER_API enum ledger_rc ledger_batch_sign(struct ledger_batch *b, struct ledger_key *key, const char *meaning,
                                            const char *time, struct ledger_err *err) LEDGER_MUST_USE;
/* How many events it holds, and the id of event i (32 bytes, borrowed; NULL beyond the end). */
LEDGER_API size_t ledger_batch_count(const struct ledger_batch *b);
LEDGER_API const uint8_t *ledger_batch_event_id(const struct ledger_batch *b, size_t i);
/* The batch as bytes (owned by the caller: ledger_free), and back. Decoding checks the form, not the signatures. */
LEDGER_API enum ledger_rc ledger_batch_encode(const struct ledger_batch *b, uint8_t **bytes, size_t *n, struct ledger_err *err)
    LEDGER_MUST_USE;
LEDGER_API enum ledger_rc ledger_batch_decode(const char *origin, const uint8_t *bytes, size_t n, struct ledger_batch **out,
                                              struct ledger_err *err) LEDGER_MUST_USE;
LEDGER_API void ledger_batch_free(struct ledger_batch *b); /* NULL is allowed */

#endif
