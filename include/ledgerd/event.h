/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event: builds events. Kinds, fields and their types are those of the rules (docs/rules.md). An event is filled from texts or
 * from JSON and then finished: checked and encoded in its one form. The nonce is drawn when the event is made, so the same event
 * submitted again is the same event only if the same bytes are submitted.
 *
 * A `struct ledger_event` belongs to one thread.
 */
#ifndef LEDGERD_EVENT_H
#define LEDGERD_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include <ledgerd/error.h>

struct ledger_event;

/* A new event of a kind ("LOT_SPLIT"), owned by the caller: ledger_event_free. EINVAL: no such kind. */
LEDGER_API enum ledger_rc ledger_event_new(const char *kind, struct ledger_event **out, struct ledger_err *err) LEDGER_MUST_USE;
/* The same from a JSON object: {"kind": …, "reference": …, "occurred": …, and the kind's fields}. Numbers keep every digit that
 * is written. EINVAL names the member that is wrong. `n` is the length in bytes. */
LEDGER_API enum ledger_rc ledger_event_from_json(const char *json, size_t n, struct ledger_event **out,
                                                 struct ledger_err *err) LEDGER_MUST_USE;
/* Sets a field from text: an id, text, number, time, true/false or name of a set as it is; lists, maps and records as JSON. Also
 * "reference" (the submitter's own, unique for each first signer) and "occurred" (a time with offset; when it happened). Setting a
 * field again replaces it. EINVAL names the field. */
LEDGER_API enum ledger_rc ledger_event_set(struct ledger_event *ev, const char *name, const char *value,
                                           struct ledger_err *err) LEDGER_MUST_USE;
/* PARTY_REGISTERED only: adds the proof of possession (ledger_key_prove). *Copies.* */
LEDGER_API enum ledger_rc ledger_event_set_key_proof(struct ledger_event *ev, const uint8_t *proof, size_t n,
                                                     struct ledger_err *err) LEDGER_MUST_USE;
/* Checks the form and encodes. *bytes live until the event is freed or changed. EREFUSED: the code, the field and why, as the ledger
 * would say it. */
LEDGER_API enum ledger_rc ledger_event_finish(struct ledger_event *ev, const uint8_t **bytes, size_t *n,
                                              struct ledger_err *err) LEDGER_MUST_USE;
LEDGER_API void ledger_event_free(struct ledger_event *ev); /* NULL is allowed */

/* Encoded event to a JSON document in UTF-8, owned by the caller: ledger_free (client.h). EINVAL: no event. */
LEDGER_API enum ledger_rc ledger_event_to_json(const uint8_t *bytes, size_t n, char **json, struct ledger_err *err)
    LEDGER_MUST_USE;

#endif
