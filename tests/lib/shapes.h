/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shapes: the events of the load generators, so that all of them load a ledger with the same thing: a step of a batch record as a centre
 * writes it, about 500 bytes, and the lot that it belongs to.
 *
 * Failure: each function ends the program with a sentence (raw_client.h).
 */
#ifndef LEDGERD_TESTS_SHAPES_H
#define LEDGERD_TESTS_SHAPES_H

#include "event.h"

#include <ledgerd/key.h>

/* The time that many seconds ago. */
void shape_ago(unsigned seconds, char out[TIME_TEXT_MAX]);
/* An event an hour ago, with its fields as a JSON object. */
void shape_line(struct arena *a, const char *kind, const char *fields, struct event *out);
/* Registers the key's party, an hour before its first lot. Encoded. */
struct span shape_registration(struct arena *a, const char *origin, struct ledger_key *key, const char *role);
/* PROCESS_STEP on an item, an hour ago, and LOT_CREATED, two hours ago; as all of these still without a reference of its own. */
void shape_step(struct arena *a, const char *item, struct event *out);
void shape_lot(struct arena *a, const char *item, struct event *out);
/* Another event of the same shape: nothing but reference (PREFIX-number) and nonce differ. Encoded; *ev is changed. */
struct span shape_encode(struct arena *a, struct event *ev, const char *prefix, uint64_t number);
/* Sets a text field. */
void shape_set(struct event *ev, const char *field, struct span text);

#endif
