/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: JSON text (RFC 8259) to a small tree and back, without ever turning a number into a float.
 *
 * Stricter than the RFC asks: a name may occur once in an object, nesting goes to JSON_DEPTH_MAX,
 * the text is UTF-8 without a byte order mark. An escaped surrogate without its other half stands
 * for no character; a string that holds one is marked as broken instead of being changed.
 *
 * Ownership: the tree and its strings live in the arena; so does what a writer wrote. Not
 * thread-safe. May include: base.h. Only json.c includes <yajl/...>.
 */
#ifndef LEDGERD_CLIENT_JSON_H
#define LEDGERD_CLIENT_JSON_H

#include "base.h"

#define JSON_DEPTH_MAX 64

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_type type;
    bool b;
    bool broken; /* JSON_STRING: holds half a surrogate pair; text is the source, quotes and all */
    struct span
        text; /* JSON_STRING: its characters, perhaps none; JSON_NUMBER: as it was written */
    struct span name; /* of a member of an object */
    size_t n;         /* members of an array or object */
    const struct json *first, *next;
};

/* Parses exactly one JSON value. EINVAL: err says line, column and what is wrong; ENOMEM. The tree
 * copies what it needs. */
enum ledger_rc json_parse(struct arena *a, struct span text, const struct json **out,
                          struct ledger_err *err) LEDGER_MUST_USE;
/* The member with that name; NULL if there is none, or if `object` is NULL or no object. */
const struct json *json_get(const struct json *object, const char *name);
/* A string that is not broken? */
bool json_is_text(const struct json *j);

/* Writes one JSON value. Calls must make sense (a name before each member of an object): it aborts
 * if they do not. */
struct json_writer {
    struct wbuf out;
    bool pretty; /* two spaces a level, one member a line */
    unsigned depth;
    bool objects[2 * JSON_DEPTH_MAX]; /* is that level an object? A whole document may be put inside
                                         another */
    bool filled;                      /* the present level has a member */
    bool named;                       /* a name was written and its value was not */
};
void json_writer_init(struct json_writer *w, struct arena *a, bool pretty);
void json_object(struct json_writer *w);
void json_array(struct json_writer *w);
void json_end(struct json_writer *w); /* of the object or array begun last */
void json_name(struct json_writer *w, struct span name);
void json_null(struct json_writer *w);
void json_bool(struct json_writer *w, bool b);
/* JSON knows no infinity and no "not a number": null. */
void json_double(struct json_writer *w, double value);
void json_number(struct json_writer *w,
                 struct span text); /* the text of a JSON number, written as it is */
void json_uint(struct json_writer *w, uint64_t v);
/* Control characters, U+007F, quote and backslash are escaped; a byte that is no UTF-8 becomes
 * U+FFFD. */
void json_string(struct json_writer *w, struct span text);
void json_tree(struct json_writer *w, const struct json *j);
/* Name and value at once, for members of objects. An absent text writes nothing. */
void json_put_string(struct json_writer *w, const char *name, struct span text);
void json_put_uint(struct json_writer *w, const char *name, uint64_t v);
void json_put_bool(struct json_writer *w, const char *name, bool b);
/* What was written so far, for a document that is printed in parts; it is forgotten with the next thing written. SPAN_NONE: see below. */
struct span json_take(struct json_writer *w);
/* What was written (since json_take), with a newline at the end if pretty; SPAN_NONE when over the arena's budget. */
struct span json_written(struct json_writer *w);

#endif
