/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_value.c: texts to typed values, and the sentences for those that are not of their type.
 * May include: event_value.h and the C library's formatting.
 */
#include "event_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void value_bad(struct arena *a, struct value *v, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    *v = (struct value){.type = VALUE_BAD, .raw = arena_copy(a, span_str(text))};
}

const char *field_type_text(enum field_type type)
{
    switch (type) {
    case TYPE_ID:
        return "an id: 1 to 96 printable ASCII characters without space";
    case TYPE_TEXT:
    case TYPE_REF:
        return "a text: 1 to 1000 bytes of UTF-8 without control characters";
    case TYPE_DECIMAL:
        return "a number below 10^15 in size with at most 9 decimals";
    case TYPE_INT:
        return "a whole number below 10^15 in size, written without fraction or exponent";
    case TYPE_TIME:
        return "a time: YYYY-MM-DDThh:mm:ss, then Z or an offset like +09:00";
    case TYPE_BOOL:
        return "true or false";
    case TYPE_ENUM:
        return "one of the listed names";
    case TYPE_SCALAR:
        return "a number or a text";
    case TYPE_ANY:
        return "given, null if there was nothing";
    case TYPE_MAP:
        return "an object of at most 64 names with numbers or texts";
    case TYPE_LIST_ID:
    case TYPE_LIST_TEXT:
    case TYPE_LIST_DECIMAL:
    case TYPE_LIST_ENUM:
    case TYPE_LIST_RECORD:
        return "a list of at most 400 members";
    }
    return "of its type";
}

enum field_type list_member_type(enum field_type type)
{
    switch (type) {
    case TYPE_LIST_ID:
        return TYPE_ID;
    case TYPE_LIST_TEXT:
        return TYPE_TEXT;
    case TYPE_LIST_DECIMAL:
        return TYPE_DECIMAL;
    case TYPE_LIST_ENUM:
        return TYPE_ENUM;
    case TYPE_ID:
    case TYPE_TEXT:
    case TYPE_REF:
    case TYPE_DECIMAL:
    case TYPE_INT:
    case TYPE_TIME:
    case TYPE_BOOL:
    case TYPE_ENUM:
    case TYPE_SCALAR:
    case TYPE_ANY:
    case TYPE_MAP:
    case TYPE_LIST_RECORD:
        break;
    }
    return type;
}

static void value_from_name(struct arena *a, const struct enum_type *names, struct span text,
                            struct value *v)
{
    char list[160] = "";
    size_t n = 0;
    for (unsigned i = 0; i < names->n; i++) {
        if (span_eq(text, span_str(names->names[i]))) {
            *v = (struct value){.type = VALUE_ENUM, .e = i + 1};
            return;
        }
        if (n < sizeof list)
            n +=
                (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", names->names[i]);
    }
    value_bad(a, v, "%.*s is not one of %s", SPAN_CLIP(text), list);
}

static void bad_text(struct arena *a, enum field_type type, struct span text, struct value *v)
{
    size_t max = type == TYPE_ID ? ID_MAX : TEXT_MAX;
    if (text.n > max)
        value_bad(a, v, "a text of %zu bytes; at most %zu", text.n, max);
    else if (!utf8_valid(text))
        value_bad(a, v, "not UTF-8 from byte %zu on", utf8_valid_prefix(text));
    else
        value_bad(a, v, "\"%.*s\" is not %s", SPAN_CLIP(text), field_type_text(type));
}

void value_from_text(struct arena *a, enum field_type type, const struct enum_type *names,
                     struct span text, struct value *v)
{
    memset(v, 0, sizeof *v);
    if (type == TYPE_ENUM) {
        value_from_name(a, names, text, v);
        return;
    }
    if (type == TYPE_TIME) {
        const char *fault = time_fault(text, &v->time_us);
        v->type = VALUE_TIME;
        v->raw = text;
        if (fault)
            value_bad(a, v, "%.*s %s", SPAN_CLIP(text), fault);
        return;
    }
    if (!(type == TYPE_ID ? id_valid(text) : text_valid(text))) {
        bad_text(a, type, text, v);
        return;
    }
    v->type = VALUE_TEXT;
    v->raw = text;
}

bool value_from_number(struct arena *a, enum field_type type, struct span text, struct value *v)
{
    bool is_int = false;
    char canonical[DEC_TEXT_MAX];
    memset(v, 0, sizeof *v);
    const char *fault = decimal_fault(text, &v->num, &is_int);
    if (!fault && type == TYPE_INT && !is_int)
        fault = "is not written as a whole number, without fraction or exponent";
    if (fault) {
        value_bad(a, v, "%.*s %s", SPAN_CLIP(text), fault);
        return true;
    }
    v->type = type == TYPE_INT ? VALUE_INT : VALUE_DECIMAL;
    v->raw = arena_copy(a, span_of(canonical, decimal_format(v->num, canonical)));
    return v->raw.p != NULL;
}
