/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value: exact decimals, exact times and the typed values that the fields of an event hold.
 *
 * A decimal is below 10^15 in size with at most 9 decimals; it is kept as an integer multiple of 10^-9 in
 * 128 bits, never as a float. A time is an instant in microseconds since 1970-01-01T00:00:00Z (proleptic
 * Gregorian, no leap seconds) together with the text it was given as.
 */
#ifndef LEDGERD_PROTO_VALUE_H
#define LEDGERD_PROTO_VALUE_H

#include "base.h"

__extension__ typedef __int128 dec_t; /* value × 10^9; sums of many decimals stay exact */
#define DEC_ONE ((dec_t)1000000000)
#define DEC_TEXT_MAX 48

/* Any JSON number text (exponent allowed) to a decimal; false if it is none, is 10^15 or larger in size, or
 * needs more than 9 decimals. *is_int (may be NULL): written without fraction and exponent. */
bool decimal_parse(struct span text, dec_t *out, bool *is_int) LEDGER_MUST_USE;
/* The same, but says what is wrong: NULL, or the rest of a sentence ("is 10^15 or larger in size"). */
const char *decimal_fault(struct span text, dec_t *out, bool *is_int) LEDGER_MUST_USE;
/* The one canonical text: no exponent, no leading zeros, no trailing zeros, "-" only before a nonzero value. */
size_t decimal_format(dec_t v, char out[DEC_TEXT_MAX]);
/* True if text is exactly what decimal_format would write. */
bool decimal_canonical(struct span text, dec_t *out) LEDGER_MUST_USE;
/* The same, but says what is wrong, as decimal_fault does. */
const char *decimal_canonical_fault(struct span text, dec_t *out) LEDGER_MUST_USE;

/* YYYY-MM-DDThh:mm:ss[.ffffff](Z|±hh:mm), a real date of the years 1 to 9999, offset up to ±14:59. */
bool time_parse(struct span text, int64_t *us) LEDGER_MUST_USE;
/* The same, but says what is wrong: NULL, or the rest of a sentence ("is not a date of the calendar"). */
const char *time_fault(struct span text, int64_t *us) LEDGER_MUST_USE;
#define TIME_TEXT_MAX 40
/* In UTC with `Z`; a fraction only if there is one, without trailing zeros. */
size_t time_format(int64_t us, char out[TIME_TEXT_MAX]);

bool utf8_valid(struct span s);        /* RFC 3629: no surrogates, no overlong forms */
size_t utf8_valid_prefix(struct span s); /* how many bytes at the beginning are UTF-8 */
bool text_plain(struct span s);        /* UTF-8 without U+0000–001F and U+007F, of any length */
#define TEXT_MAX 1000
bool text_valid(struct span s);        /* the same, 1..TEXT_MAX bytes */
#define ID_MAX 96
bool id_valid(struct span s);          /* 1..ID_MAX printable ASCII characters without space */

enum value_type {
    VALUE_ABSENT = 0, /* not given */
    VALUE_EMPTY,      /* given as null, "" or []: absent, but an unlisted or mandatory field notices */
    VALUE_BAD,        /* given, but not of its type; raw may hold a sentence that says why */
    VALUE_TEXT,       /* id, text, ref: raw */
    VALUE_DECIMAL,    /* num; raw is the canonical text */
    VALUE_INT,        /* the same, written without fraction and exponent */
    VALUE_TIME,       /* time_us; raw is the text as given */
    VALUE_BOOL,       /* b */
    VALUE_ENUM,       /* e: 1-based place in the field's list of names */
    VALUE_LIST,       /* items[n] */
    VALUE_MAP,        /* names[n], items[n], ascending by name */
    VALUE_RECORD,     /* items[n] in the record's member order; raw: first member not listed, or none */
    VALUE_NULL,       /* in a field of type `any` only */
    VALUE_OTHER,      /* in a field of type `any` only: raw is JSON text; equal to nothing recorded */
};

struct value {
    enum value_type type;
    bool b;
    unsigned e;
    struct span raw;
    dec_t num;
    int64_t time_us;
    size_t n;
    struct value *items;
    struct span *names;
};

/* Equality as rules.md defines it: numbers by value, text byte by byte, booleans only equal booleans, absent
 * equals null, times as the text they were given as, lists in order, maps and records by members. */
bool value_equal(const struct value *a, const struct value *b);

#endif
