/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line_value.c: typed values from JSON and from texts of a command line, by the type of the field.
 * What is not of its type becomes VALUE_BAD with a sentence; the only failures are memory and
 * broken JSON. May include: line.h, event_value.h, the C library.
 */
#include "line.h"

#include <stdlib.h>
#include <string.h>

#include "event_value.h"

static const char half_pair[] = "a text with half a surrogate pair, which is no character";

/* Rules, "Every event" 2: null, "" and [] are nothing. */
static bool is_empty(const struct json *j)
{
    return j->type == JSON_NULL || (j->type == JSON_STRING && j->text.n == 0) ||
           (j->type == JSON_ARRAY && j->n == 0);
}

static const char *type_name(const struct json *j)
{
    switch (j->type) {
    case JSON_NULL:
        return "null";
    case JSON_BOOL:
        return "true or false";
    case JSON_NUMBER:
        return "a number";
    case JSON_STRING:
        return "a text";
    case JSON_ARRAY:
        return "a list";
    case JSON_OBJECT:
        return "an object";
    }
    return "?";
}

static bool bad_type(struct arena *a, enum field_type type, const struct json *j, struct value *v)
{
    if (j->type == JSON_STRING && j->broken)
        value_bad(a, v, "%s", half_pair);
    else
        value_bad(a, v, "%s is not %s", type_name(j), field_type_text(type));
    return true;
}

static bool scalar_value(struct arena *a, const struct json *j, struct value *v)
{
    if (j->type == JSON_NUMBER)
        return value_from_number(a, TYPE_DECIMAL, j->text, v);
    if (!json_is_text(j))
        return bad_type(a, TYPE_SCALAR, j, v);
    value_from_text(a, TYPE_TEXT, NULL, j->text, v);
    return true;
}

static int compare_members(const void *a, const void *b)
{
    const struct json *const *x = a, *const *y = b;
    return span_cmp((*x)->name, (*y)->name);
}

static bool map_value(struct arena *a, const struct json *j, struct value *v)
{
    if (j->type != JSON_OBJECT)
        return bad_type(a, TYPE_MAP, j, v);
    if (j->n > MAP_MAX) {
        value_bad(a, v, "a map of %zu names; at most %d", j->n, MAP_MAX);
        return true;
    }
    const struct json *members[MAP_MAX];
    size_t n = 0;
    for (const struct json *m = j->first; m; m = m->next)
        members[n++] = m;
    qsort(members, n, sizeof members[0], compare_members);
    *v = (struct value){.type = VALUE_MAP, .n = n};
    v->items = arena_alloc(a, n * sizeof *v->items);
    v->names = arena_alloc(a, n * sizeof *v->names);
    if (!v->items || !v->names)
        return false;
    for (size_t i = 0; i < n; i++) {
        v->names[i] = members[i]->name;
        if (!scalar_value(a, members[i], &v->items[i]))
            return false;
    }
    return true;
}

static bool fits_map(const struct value *v)
{
    if (v->type != VALUE_MAP)
        return false;
    for (size_t i = 0; i < v->n; i++) {
        if (!text_valid(v->names[i]) || v->items[i].type == VALUE_BAD)
            return false;
    }
    return true;
}

/* Whatever no other type of value can hold is kept as its JSON text. */
static bool other_value(struct arena *a, const struct json *j, struct value *v)
{
    struct json_writer w;
    json_writer_init(&w, a, false);
    json_tree(&w, j);
    *v = (struct value){.type = VALUE_OTHER, .raw = json_written(&w)};
    return v->raw.p != NULL;
}

static bool any_value(struct arena *a, const struct json *j, struct value *v)
{
    dec_t number = 0;
    bool is_int = false;
    if (j->type == JSON_NULL) {
        *v = (struct value){.type = VALUE_NULL};
        return true;
    }
    if (j->type == JSON_NUMBER && decimal_parse(j->text, &number, &is_int))
        return value_from_number(a, is_int ? TYPE_INT : TYPE_DECIMAL, j->text, v);
    if (json_is_text(j) && j->text.n <= TEXT_MAX && text_plain(j->text)) {
        *v = (struct value){.type = VALUE_TEXT, .raw = j->text};
        return true;
    }
    if (j->type == JSON_OBJECT) {
        if (!map_value(a, j, v))
            return false;
        if (fits_map(v))
            return true;
    }
    return other_value(a, j, v);
}

/* A value that is no list and not empty, except that `any` may be. */
static bool single_value(struct arena *a, const struct field_def *def, enum field_type type,
                         const struct json *j, struct value *v)
{
    switch (type) {
    case TYPE_ID:
    case TYPE_TEXT:
    case TYPE_REF:
    case TYPE_TIME:
    case TYPE_ENUM:
        if (!json_is_text(j))
            return bad_type(a, type, j, v);
        value_from_text(a, type, def->names, j->text, v);
        return true;
    case TYPE_DECIMAL:
    case TYPE_INT:
        if (j->type != JSON_NUMBER)
            return bad_type(a, type, j, v);
        return value_from_number(a, type, j->text, v);
    case TYPE_BOOL:
        if (j->type != JSON_BOOL)
            return bad_type(a, type, j, v);
        *v = (struct value){.type = VALUE_BOOL, .b = j->b};
        return true;
    case TYPE_SCALAR:
        return scalar_value(a, j, v);
    case TYPE_ANY:
        return any_value(a, j, v);
    case TYPE_MAP:
        return map_value(a, j, v);
    case TYPE_LIST_ID:
    case TYPE_LIST_TEXT:
    case TYPE_LIST_DECIMAL:
    case TYPE_LIST_ENUM:
    case TYPE_LIST_RECORD:
        break;
    }
    return bad_type(a, type, j, v);
}

static const struct field_def *find_member(const struct field_def *def, struct span name,
                                           size_t *at)
{
    for (*at = 0; *at < def->n_members; (*at)++) {
        if (span_eq(name, span_str(def->members[*at].text)))
            return &def->members[*at];
    }
    return NULL;
}

static bool record_value(struct arena *a, const struct field_def *def, const struct json *j,
                         struct value *v)
{
    if (j->type != JSON_OBJECT) {
        value_bad(a, v, "%s is not a record of %s", type_name(j), def->text);
        return true;
    }
    *v = (struct value){.type = VALUE_RECORD, .n = def->n_members};
    v->items = arena_alloc(a, v->n * sizeof *v->items);
    if (!v->items)
        return false;
    for (const struct json *m = j->first; m; m = m->next) {
        size_t at = 0;
        const struct field_def *member = find_member(def, m->name, &at);
        if (!member && !v->raw.p)
            v->raw = m->name;
        if (!member)
            continue;
        if (is_empty(m) && member->type != TYPE_ANY)
            v->items[at].type = VALUE_EMPTY;
        else if (!single_value(a, member, member->type, m, &v->items[at]))
            return false;
    }
    return true;
}

static bool list_value(struct arena *a, const struct field_def *def, const struct json *j,
                       struct value *v)
{
    enum field_type type = list_member_type(def->type);
    if (j->type != JSON_ARRAY)
        return bad_type(a, def->type, j, v);
    if (j->n > LIST_MAX) {
        value_bad(a, v, "a list of %zu members; at most %d", j->n, LIST_MAX);
        return true;
    }
    *v = (struct value){.type = VALUE_LIST};
    v->items = arena_alloc(a, j->n * sizeof *v->items);
    if (!v->items)
        return false;
    for (const struct json *m = j->first; m; m = m->next) {
        struct value *item = &v->items[v->n++];
        bool fits = type == TYPE_LIST_RECORD ? record_value(a, def, m, item)
                                             : single_value(a, def, type, m, item);
        if (!fits)
            return false;
    }
    return true;
}

static bool is_list(enum field_type type)
{
    return type == TYPE_LIST_RECORD || list_member_type(type) != type;
}

bool line_value(struct arena *a, const struct field_def *def, const struct json *j, struct value *v)
{
    *v = (struct value){.type = VALUE_EMPTY};
    if (is_empty(j) && def->type != TYPE_ANY)
        return true;
    return is_list(def->type) ? list_value(a, def, j, v) : single_value(a, def, def->type, j, v);
}

/* ---- texts of a command line ---- */

/* Cuts the first part off `rest`, which becomes absent after the last one. */
static struct span next_part(struct span *rest)
{
    const uint8_t *comma = rest->n ? memchr(rest->p, ',', rest->n) : NULL;
    size_t n = comma ? (size_t)(comma - rest->p) : rest->n;
    struct span part = span_of(rest->p, n);
    *rest = comma ? span_of(comma + 1, rest->n - n - 1) : SPAN_NONE;
    return part;
}

static size_t count_parts(struct span text)
{
    size_t n = 1;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == ',';
    return n;
}

/* A text as the JSON that it stands for. */
static struct json leaf_of(enum field_type type, struct span text)
{
    dec_t number = 0;
    struct json j = {.type = JSON_STRING, .text = text};
    if (type == TYPE_DECIMAL || type == TYPE_INT ||
        (type == TYPE_SCALAR && decimal_parse(text, &number, NULL)))
        j.type = JSON_NUMBER;
    if (type == TYPE_BOOL &&
        (span_eq(text, SPAN_LIT("true")) || span_eq(text, SPAN_LIT("false")))) {
        j.type = JSON_BOOL;
        j.b = text.n == 4;
    }
    return j;
}

/* "a,b" as an array, "x=1,y=2" as an object. NULL when over the budget. */
static struct json *tree_of(struct arena *a, enum field_type type, struct span text)
{
    size_t n = count_parts(text), i = 0;
    struct json *root = arena_alloc(a, sizeof *root);
    struct json *members = arena_alloc(a, n * sizeof *members);
    if (!root || !members)
        return NULL;
    root->type = type == TYPE_MAP ? JSON_OBJECT : JSON_ARRAY;
    root->n = n;
    root->first = members;
    for (struct span rest = text; rest.p; i++) {
        struct span part = next_part(&rest), name = SPAN_NONE;
        const uint8_t *equals = type == TYPE_MAP && part.n ? memchr(part.p, '=', part.n) : NULL;
        if (equals) {
            name = span_of(part.p, (size_t)(equals - part.p));
            part = span_of(equals + 1, part.n - name.n - 1);
        }
        members[i] = leaf_of(type == TYPE_MAP ? TYPE_SCALAR : list_member_type(type), part);
        members[i].name = name;
        members[i].next = rest.p ? &members[i + 1] : NULL;
    }
    return root;
}

static enum ledger_rc value_from_json_text(struct arena *a, const struct field_def *def,
                                           struct span text, struct value *v,
                                           struct ledger_err *err)
{
    const struct json *j = NULL;
    enum ledger_rc rc = json_parse(a, text, &j, err);
    if (rc != LEDGER_OK)
        return ledger_wrap(err, rc, "%s", def->text);
    struct json one = {.type = JSON_ARRAY, .n = 1, .first = j};
    if (def->type == TYPE_LIST_RECORD && j->type == JSON_OBJECT)
        j = &one; /* a list of one record may leave out its brackets */
    return line_value(a, def, j, v)
               ? LEDGER_OK
               : ledger_fail(err, LEDGER_ENOMEM, "%s: over the memory budget", def->text);
}

enum ledger_rc line_value_from_text(struct arena *a, const struct field_def *def, struct span text,
                                    struct value *v, struct ledger_err *err)
{
    *v = (struct value){.type = VALUE_EMPTY};
    if (text.n == 0)
        return LEDGER_OK;
    bool many = def->type == TYPE_MAP || is_list(def->type);
    if (many && (text.p[0] == '[' || text.p[0] == '{'))
        return value_from_json_text(a, def, text, v, err);
    struct json leaf = leaf_of(def->type, text);
    const struct json *j = many ? tree_of(a, def->type, text) : &leaf;
    if (!j || !line_value(a, def, j, v))
        return ledger_fail(err, LEDGER_ENOMEM, "%s: over the memory budget", def->text);
    return LEDGER_OK;
}
