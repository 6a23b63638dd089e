/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line: an event as one JSON object, the form in which people and scripts write and read events:
 *
 *   {"id": "my-17", "kind": "LOT_SPLIT", "occurred": "2026-04-06T09:00:00+09:00", "recorded": "…",
 *    "signers": [{"party": "u.op1", "meaning": "authorship"}], "fields": {"item": "B-1", "units":
 * […]}, "expect": "ACCEPT"}
 *
 * Only `id`, `kind`, `occurred` and `fields` describe the event; `recorded`, `signers` and `expect`
 * are for whoever plays a file of such lines. `foreign` {origin, chain_key, index,
 * checkpoint_hash}, `nonce` (hex) and `key_proof` (base64) may be there, so that an event's JSON
 * says all of it. Other names are left alone: a file may carry remarks of its own.
 *
 * What is wrong with a field's value is no error of the line: it becomes VALUE_BAD, VALUE_EMPTY or
 * `unlisted`, and event_check_form refuses it with the code of the rules. Everything lives in the
 * arena. Knows nothing of files or connections. May include: event.h, json.h.
 */
#ifndef LEDGERD_CLIENT_LINE_H
#define LEDGERD_CLIENT_LINE_H

#include "event.h"

#include "json.h"

struct line_signer {
    struct span party;   /* absent if not given as a text */
    struct span meaning; /* absent if not given as a valid text: the rules refuse that */
};

struct line {
    struct span id;        /* the submitter's reference; also event.reference */
    struct span kind_name; /* as given, or absent */
    struct event event; /* kind is NULL for an unknown kind, and then has no fields; nonce only if
                           it was given */
    bool has_recorded;
    int64_t recorded_us;
    struct span recorded; /* as text */
    size_t n_signers;
    struct line_signer *signers;
    struct span expect; /* "ACCEPT", "E_…", or absent */
};

/* EINVAL: no JSON, or not of the shape above (err says where); ENOMEM. */
enum ledger_rc line_parse(struct arena *a, struct span text, struct line *out,
                          struct ledger_err *err) LEDGER_MUST_USE;
/* The same from a tree that was parsed before, one element of a list for instance. */
enum ledger_rc line_from_json(struct arena *a, const struct json *j, struct line *out,
                              struct ledger_err *err) LEDGER_MUST_USE;

/* The event as an object of the form above, with `nonce` and without recorded, signers and expect.
 * line_parse of it gives an event with the same encoding. */
void event_to_json(struct arena *a, struct json_writer *w, const struct event *ev);
/* Only the object of its fields. */
void event_fields_to_json(struct arena *a, struct json_writer *w, const struct event *ev);

/*
 * Sets one field from "name=value", as a command line gives it; ev->kind is set. The value is read
 * by the field's type: a text as it is; a list as values with commas between them, a map as
 * name=value with commas between them, either one as JSON if it begins with [ or {; a scalar is a
 * number if it looks like one. An empty value is VALUE_EMPTY. EINVAL: no "=", no such field, the
 * field is set already, or broken JSON. A value that is not of its type is left to
 * event_check_form.
 */
enum ledger_rc line_set_field(struct arena *a, struct event *ev, const char *assignment,
                              struct ledger_err *err) LEDGER_MUST_USE;

/* ---- inner interface of line.c and line_value.c ---- */

/* A field's or member's value from JSON. False when over the budget. */
bool line_value(struct arena *a, const struct field_def *def, const struct json *j,
                struct value *v) LEDGER_MUST_USE;
/* The same from the text of a command line. EINVAL: broken JSON. */
enum ledger_rc line_value_from_text(struct arena *a, const struct field_def *def, struct span text,
                                    struct value *v, struct ledger_err *err) LEDGER_MUST_USE;

#endif
