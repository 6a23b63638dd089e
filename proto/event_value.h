/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_value: from a text to the value of a field's type, with a sentence when it is none. Shared
 * by all that build events: the decoder, the reader of JSON lines, the command line.
 *
 * Nothing fails: a text that is not of the type becomes VALUE_BAD, whose raw is the sentence
 * (absent when the arena is over its budget). May include: kinds.h, value.h.
 */
#ifndef LEDGERD_PROTO_EVENT_VALUE_H
#define LEDGERD_PROTO_EVENT_VALUE_H

#include "kinds.h"
#include "value.h"

/* For "%.*s" of a text that somebody else chose: at most 60 bytes of it. */
#define SPAN_CLIP(s) (int)((s).n > 60 ? 60 : (s).n), (s).n ? (const char *)(s).p : ""

void value_bad(struct arena *a, struct value *v, const char *fmt, ...) LEDGER_PRINTF(3, 4);

/* id, text, ref, time, or an enum's name (names is then not NULL); raw borrows from `text`. */
void value_from_text(struct arena *a, enum field_type type, const struct enum_type *names,
                     struct span text, struct value *v);
/* decimal or int, from any JSON number; raw is the canonical text, from the arena. False when over
 * the budget. */
bool value_from_number(struct arena *a, enum field_type type, struct span text,
                       struct value *v) LEDGER_MUST_USE;

/* The type of a list's members; the type itself if it is no list. TYPE_LIST_RECORD stays. */
enum field_type list_member_type(enum field_type type);
/* What a value of the type is, as the rest of a sentence that begins with "must be". */
const char *field_type_text(enum field_type type);

#endif
