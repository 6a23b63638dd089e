/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.c: decimals, the shapes of text, and equality of values as the rules define it.
 *
 * A decimal's text is reduced to its significant digits and a power of ten before anything is
 * computed, so that no text, however long or large its exponent, can overflow. Nothing here
 * allocates or fails otherwise. May include: value.h and the C library's memory functions.
 */
#include "value.h"

#include <string.h>

#define DECIMALS_MAX 9
#define WHOLE_DIGITS_MAX 15
/* Larger than any text is long, so that a saturated exponent cannot be cancelled by digits. */
#define EXPONENT_SATURATED ((int64_t)1000000000000)

/* The parts of a JSON number (RFC 8259 section 6). */
struct number {
    bool negative, plain, scientific; /* plain: no fraction, no exponent; scientific: with an exponent, be it 0 */
    struct span whole, fraction;
    int64_t exponent;
};

static size_t count_digits(struct span s, size_t from)
{
    size_t n = from;
    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    return n - from;
}

/* Reads e±digits at `at`; returns the place after it, 0 if there are no digits. */
static size_t read_exponent(struct span s, size_t at, int64_t *exponent)
{
    bool negative = false;
    at++;
    if (at < s.n && (s.p[at] == '+' || s.p[at] == '-'))
        negative = s.p[at++] == '-';
    size_t n = count_digits(s, at);
    if (n == 0)
        return 0;
    int64_t e = 0;
    for (size_t i = at; i < at + n; i++) {
        e = e * 10 + (s.p[i] - '0');
        if (e > EXPONENT_SATURATED)
            e = EXPONENT_SATURATED;
    }
    *exponent = negative ? -e : e;
    return at + n;
}

static bool read_number(struct span s, struct number *out)
{
    size_t at = 0;
    memset(out, 0, sizeof *out);
    out->plain = true;
    if (at < s.n && s.p[at] == '-') {
        out->negative = true;
        at++;
    }
    size_t n = count_digits(s, at);
    if (n == 0 || (n > 1 && s.p[at] == '0'))
        return false;
    out->whole = span_of(s.p + at, n);
    at += n;
    if (at < s.n && s.p[at] == '.') {
        n = count_digits(s, at + 1);
        if (n == 0)
            return false;
        out->fraction = span_of(s.p + at + 1, n);
        out->plain = false;
        at += 1 + n;
    }
    if (at < s.n && (s.p[at] == 'e' || s.p[at] == 'E')) {
        out->plain = false;
        out->scientific = true;
        at = read_exponent(s, at, &out->exponent);
        if (at == 0)
            return false;
    }
    return at == s.n;
}

/* Digit number i of whole and fraction written one behind the other. */
static unsigned digit_at(const struct number *x, size_t i)
{
    return i < x->whole.n ? x->whole.p[i] - '0' : x->fraction.p[i - x->whole.n] - '0';
}

static const char *number_value(const struct number *x, dec_t *out)
{
    size_t first = 0, last = x->whole.n + x->fraction.n;
    *out = 0;
    while (first < last && digit_at(x, first) == 0)
        first++;
    while (last > first && digit_at(x, last - 1) == 0)
        last--;
    if (first == last)
        return NULL; /* zero, whatever its exponent */
    /* The value is the digits first..last times ten to the power of `power`. */
    int64_t digits = (int64_t)(last - first);
    int64_t power = x->exponent + (int64_t)x->whole.n - (int64_t)last;
    if (digits + power > WHOLE_DIGITS_MAX)
        return "is 10^15 or larger in size";
    if (power < -DECIMALS_MAX)
        return "needs more than 9 decimals";
    uint64_t whole = 0, scale = 1;
    for (size_t i = first; i < last && i < first + 15; i++)
        whole = whole * 10 + digit_at(x, i);
    dec_t v = whole;
    for (size_t i = first + 15; i < last; i++)
        v = v * 10 + (dec_t)digit_at(x, i);
    int64_t zeros = power + DECIMALS_MAX;
    for (; zeros > 18; zeros--)
        v *= 10;
    for (; zeros > 0; zeros--)
        scale *= 10;
    v *= scale;
    *out = x->negative ? -v : v;
    return NULL;
}

const char *decimal_fault(struct span text, dec_t *out, bool *is_int)
{
    struct number x;
    *out = 0;
    if (!read_number(text, &x))
        return "is not a number";
    if (is_int)
        *is_int = x.plain;
    return number_value(&x, out);
}

/* Whole digits that begin with no zero are the only ones that are read at all. */
const char *decimal_canonical_fault(struct span text, dec_t *out)
{
    struct number x;
    *out = 0;
    if (!read_number(text, &x))
        return "is not a number";
    const char *fault = number_value(&x, out);
    if (fault)
        return fault;
    bool spare = x.scientific || (x.negative && *out == 0) || (x.fraction.n && x.fraction.p[x.fraction.n - 1] == '0');
    return spare ? "is not the canonical text of a decimal" : NULL;
}

bool decimal_parse(struct span text, dec_t *out, bool *is_int)
{
    return decimal_fault(text, out, is_int) == NULL;
}

__extension__ typedef unsigned __int128 udec_t;

/* Digits from the least significant on, at least one; in pieces of 64 bits, since dividing 128 bits is a call of the compiler's library. */
static size_t digits_of(udec_t u, char out[DEC_TEXT_MAX])
{
    const uint64_t piece = UINT64_C(1000000000000000000);
    size_t n = 0;
    while (u > UINT64_MAX) {
        udec_t high = u / piece;
        uint64_t low = (uint64_t)(u - high * piece);
        u = high;
        for (unsigned i = 0; i < 18; i++, low /= 10)
            out[n++] = (char)('0' + (int)(low % 10));
    }
    uint64_t rest = (uint64_t)u;
    do
        out[n++] = (char)('0' + (int)(rest % 10));
    while (rest /= 10);
    return n;
}

size_t decimal_format(dec_t v, char out[DEC_TEXT_MAX])
{
    const uint64_t one = (uint64_t)DEC_ONE;
    char reversed[DEC_TEXT_MAX];
    udec_t u = v < 0 ? (udec_t)0 - (udec_t)v : (udec_t)v, whole = u > UINT64_MAX ? u / one : (uint64_t)u / one;
    uint64_t fraction = (uint64_t)(u - whole * one);
    size_t n = digits_of(whole, reversed), at = 0, places = fraction ? DECIMALS_MAX : 0;
    if (v < 0)
        out[at++] = '-';
    while (n)
        out[at++] = reversed[--n];
    if (places)
        out[at++] = '.';
    for (; places && fraction % 10 == 0; fraction /= 10)
        places--; /* zeros on the right */
    for (size_t i = places; i-- > 0; fraction /= 10)
        out[at + i] = (char)('0' + (int)(fraction % 10));
    at += places;
    out[at] = '\0';
    return at;
}

bool decimal_canonical(struct span text, dec_t *out)
{
    return decimal_canonical_fault(text, out) == NULL;
}

/* Length of the UTF-8 sequence of more than one byte at p (RFC 3629 section 4), 0 if there is none. */
static size_t utf8_length(const uint8_t *p, size_t n)
{
    uint8_t lead = p[0], low = 0x80, high = 0xbf;
    size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead < 0xc2 || lead > 0xf4 || n < length)
        return 0;
    if (lead == 0xe0)
        low = 0xa0; /* shorter forms of the same character */
    else if (lead == 0xed)
        high = 0x9f; /* surrogates */
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f; /* beyond U+10FFFF */
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    }
    return length;
}

size_t utf8_valid_prefix(struct span s)
{
    size_t i = 0;
    while (i < s.n) {
        if (s.p[i] < 0x80) {
            i++;
            continue;
        }
        size_t length = utf8_length(s.p + i, s.n - i);
        if (length == 0)
            break;
        i += length;
    }
    return i;
}

bool utf8_valid(struct span s)
{
    return utf8_valid_prefix(s) == s.n;
}

/* Are all eight bytes printable ASCII: below 0x80, and, which a carry into the top bit tells, from 0x20 on and not 0x7f? */
static bool printable_8(const uint8_t *p)
{
    const uint64_t each = UINT64_C(0x0101010101010101);
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return ((v | (v + each)) & 0x80 * each) == 0 && ((v + 0x60 * each) & 0x80 * each) == 0x80 * each;
}

bool text_plain(struct span s)
{
    size_t i = 0;
    while (s.n - i >= 8 && printable_8(s.p + i))
        i += 8;
    struct span rest = span_of(s.p + i, s.n - i);
    for (i = 0; i < rest.n; i++) {
        if (rest.p[i] < 0x20 || rest.p[i] == 0x7f)
            return false;
    }
    return utf8_valid(rest);
}

bool text_valid(struct span s)
{
    return s.n >= 1 && s.n <= TEXT_MAX && text_plain(s);
}

bool id_valid(struct span s)
{
    if (s.n < 1 || s.n > ID_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x21 || s.p[i] > 0x7e)
            return false;
    }
    return true;
}

static bool is_nothing(const struct value *v)
{
    return v->type == VALUE_ABSENT || v->type == VALUE_EMPTY || v->type == VALUE_NULL;
}

static bool is_number(const struct value *v)
{
    return v->type == VALUE_DECIMAL || v->type == VALUE_INT;
}

/* Times count as the text they were given as. */
static bool is_text(const struct value *v)
{
    return v->type == VALUE_TEXT || v->type == VALUE_TIME;
}

/* Equality of values that have no members. */
static bool leaf_equal(const struct value *a, const struct value *b)
{
    if (is_nothing(a) || is_nothing(b))
        return is_nothing(a) && is_nothing(b);
    if (is_number(a) && is_number(b))
        return a->num == b->num;
    if (is_text(a) && is_text(b))
        return span_eq(a->raw, b->raw);
    if (a->type == VALUE_BOOL && b->type == VALUE_BOOL)
        return a->b == b->b;
    if (a->type == VALUE_ENUM && b->type == VALUE_ENUM)
        return a->e == b->e;
    return false;
}

static bool has_members(const struct value *v)
{
    return v->type == VALUE_LIST || v->type == VALUE_MAP || v->type == VALUE_RECORD;
}

static bool shape_equal(const struct value *a, const struct value *b)
{
    if (a->type != b->type || a->n != b->n)
        return false;
    for (size_t i = 0; a->type == VALUE_MAP && i < a->n; i++) {
        if (!span_eq(a->names[i], b->names[i]))
            return false;
    }
    return true;
}

/* Values nest at most list, record, map: a stack of fixed depth serves instead of recursion. */
#define NESTING_MAX 8

bool value_equal(const struct value *a, const struct value *b)
{
    struct {
        const struct value *a, *b;
        size_t next;
    } stack[NESTING_MAX];
    size_t depth = 0;
    for (;;) {
        if (!has_members(a) || !has_members(b)) {
            if (!leaf_equal(a, b))
                return false;
        } else {
            if (!shape_equal(a, b) || depth == NESTING_MAX)
                return false;
            stack[depth].a = a;
            stack[depth].b = b;
            stack[depth++].next = 0;
        }
        while (depth > 0 && stack[depth - 1].next == stack[depth - 1].a->n)
            depth--;
        if (depth == 0)
            return true;
        size_t i = stack[depth - 1].next++;
        a = &stack[depth - 1].a->items[i];
        b = &stack[depth - 1].b->items[i];
    }
}
