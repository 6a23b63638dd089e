/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c: JSON text to a tree, by yajl's callbacks, so that numbers keep the text they were written
 * in.
 *
 * yajl 2.1 decodes half a surrogate pair to something ("?", or bytes that are no UTF-8) and accepts
 * overlong UTF-8. So the text is checked to be UTF-8 before, and such escapes are replaced, in a
 * copy, by the escape of U+FFFD, which is as long; a string whose source differs between text and
 * copy is broken. May include: json.h, value.h (utf8), <yajl/...>, the C library.
 */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "value.h"

struct builder {
    struct arena *a;
    yajl_handle yajl;
    struct span text,
        repaired;     /* as given, and as yajl reads it; the same bytes if nothing was repaired */
    size_t token_end; /* where the token before ended */
    struct json *root;
    struct json *open[JSON_DEPTH_MAX], *last[JSON_DEPTH_MAX];
    unsigned depth;
    struct span name;  /* waits for its value */
    const char *fault; /* why a callback stopped; NULL: over the budget */
};

/* Return values of callbacks. */
enum { STOP = 0, GO_ON = 1 };

static int stop(struct builder *b, const char *fault)
{
    b->fault = fault;
    return STOP;
}

/* The new node in its place, or NULL when over the budget. */
static struct json *add_node(struct builder *b, enum json_type type)
{
    struct json *j = arena_alloc(b->a, sizeof *j);
    if (!j)
        return NULL;
    j->type = type;
    j->name = b->name;
    b->name = SPAN_NONE;
    b->token_end = yajl_get_bytes_consumed(b->yajl);
    if (b->depth == 0) {
        b->root = j;
        return j;
    }
    unsigned level = b->depth - 1;
    if (b->last[level])
        b->last[level]->next = j;
    else
        b->open[level]->first = j;
    b->last[level] = j;
    b->open[level]->n++;
    return j;
}

static int on_null(void *ctx)
{
    return add_node(ctx, JSON_NULL) ? GO_ON : STOP;
}

static int on_bool(void *ctx, int value)
{
    struct json *j = add_node(ctx, JSON_BOOL);
    if (j)
        j->b = value != 0;
    return j ? GO_ON : STOP;
}

static int on_number(void *ctx, const char *text, size_t n)
{
    struct builder *b = ctx;
    struct json *j = add_node(b, JSON_NUMBER);
    if (j)
        j->text = arena_copy(b->a, span_of(text, n));
    return j && j->text.p ? GO_ON : STOP;
}

/* The source of the string that was just read, if it was repaired; else SPAN_NONE. */
static struct span broken_source(const struct builder *b)
{
    size_t from = b->token_end, end = yajl_get_bytes_consumed(b->yajl);
    if (b->text.p == b->repaired.p || end <= from ||
        memcmp(b->text.p + from, b->repaired.p + from, end - from) == 0)
        return SPAN_NONE;
    while (b->text.p[from] != '"') /* white space, comma and colon before it */
        from++;
    return span_of(b->text.p + from, end - from);
}

static int on_string(void *ctx, const unsigned char *text, size_t n)
{
    struct builder *b = ctx;
    struct span broken = broken_source(b);
    struct json *j = add_node(b, JSON_STRING);
    if (!j)
        return STOP;
    j->broken = broken.p != NULL;
    /* yajl gives no pointer for an empty string; absent and empty differ here. */
    j->text = j->broken ? arena_copy(b->a, broken)
              : n       ? arena_copy(b->a, span_of(text, n))
                        : SPAN_LIT("");
    return j->text.p ? GO_ON : STOP;
}

static int on_name(void *ctx, const unsigned char *text, size_t n)
{
    struct builder *b = ctx;
    if (broken_source(b).p)
        return stop(b, "a name holds half a surrogate pair, which is no character");
    b->token_end = yajl_get_bytes_consumed(b->yajl);
    b->name = n ? arena_copy(b->a, span_of(text, n)) : SPAN_LIT("");
    return b->name.p ? GO_ON : STOP;
}

static int begin(struct builder *b, enum json_type type)
{
    if (b->depth == JSON_DEPTH_MAX)
        return stop(b, "nested more than 64 levels deep");
    struct json *j = add_node(b, type);
    if (!j)
        return STOP;
    b->open[b->depth] = j;
    b->last[b->depth] = NULL;
    b->depth++;
    return GO_ON;
}

static int on_begin_object(void *ctx)
{
    return begin(ctx, JSON_OBJECT);
}

static int on_begin_array(void *ctx)
{
    return begin(ctx, JSON_ARRAY);
}

static int end(struct builder *b)
{
    b->token_end = yajl_get_bytes_consumed(b->yajl);
    b->depth--;
    return GO_ON;
}

static int compare_names(const void *a, const void *b)
{
    const struct json *const *x = a, *const *y = b;
    return span_cmp((*x)->name, (*y)->name);
}

/* Sorting instead of comparing all pairs: a hostile object has many names. */
static int on_end_object(void *ctx)
{
    struct builder *b = ctx;
    const struct json *object = b->open[b->depth - 1];
    struct arena_mark mark = arena_mark(b->a);
    const struct json **sorted = arena_alloc(b->a, object->n * sizeof *sorted);
    size_t n = 0;
    bool twice = false;
    if (!sorted)
        return STOP;
    for (const struct json *j = object->first; j; j = j->next)
        sorted[n++] = j;
    qsort(sorted, n, sizeof *sorted, compare_names);
    for (size_t i = 1; i < n && !twice; i++)
        twice = span_eq(sorted[i - 1]->name, sorted[i]->name);
    arena_release(b->a, mark);
    return twice ? stop(b, "a name occurs twice in one object") : end(b);
}

static int on_end_array(void *ctx)
{
    return end(ctx);
}

/* The code unit of an escape \uhhhh at p, or -1. */
static int escaped_unit(const uint8_t *p, size_t n)
{
    int v = 0;
    if (n < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

static bool is_high(int unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(int unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* The text with every half surrogate pair replaced; the text itself if there is none. A backslash
 * outside a string is an error that yajl will find, so strings need not be told apart here. */
static struct span repair(struct arena *a, struct span text)
{
    uint8_t *copy = NULL;
    size_t step = 1;
    for (size_t i = 0; i < text.n; i += step) {
        step = 1;
        if (text.p[i] != '\\')
            continue;
        int unit = escaped_unit(text.p + i, text.n - i);
        step = unit < 0 ? 2 : 6;
        if (is_high(unit) && is_low(escaped_unit(text.p + i + 6, text.n - i - 6))) {
            step = 12;
            continue;
        }
        if (!is_high(unit) && !is_low(unit))
            continue;
        if (!copy) {
            copy = arena_alloc(a, text.n);
            if (!copy)
                return SPAN_NONE;
            memcpy(copy, text.p, text.n);
        }
        memcpy(copy + i, "\\ufffd", 6);
    }
    return copy ? span_of(copy, text.n) : text;
}

static enum ledger_rc fail_at(struct ledger_err *err, struct span text, size_t at, const char *what)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < text.n; i++) {
        column = text.p[i] == '\n' ? 1 : column + 1;
        line += text.p[i] == '\n';
    }
    return ledger_fail(err, LEDGER_EINVAL, "line %zu, column %zu: %.*s", line, column,
                       (int)strcspn(what, "\n"), what);
}

static enum ledger_rc explain(struct builder *b, yajl_status status, struct ledger_err *err)
{
    size_t at = yajl_get_bytes_consumed(b->yajl);
    if (status == yajl_status_client_canceled && !b->fault)
        return ledger_fail(err, LEDGER_ENOMEM, "JSON of %zu bytes: over the memory budget",
                           b->text.n);
    if (status == yajl_status_client_canceled)
        return fail_at(err, b->text, at, b->fault);
    unsigned char *text = yajl_get_error(b->yajl, 0, b->repaired.p, b->repaired.n);
    enum ledger_rc rc = fail_at(err, b->text, at, text ? (const char *)text : "no JSON");
    if (text)
        yajl_free_error(b->yajl, text);
    return rc;
}

static enum ledger_rc run(struct builder *b, struct ledger_err *err)
{
    static const yajl_callbacks callbacks = {.yajl_null = on_null,
                                             .yajl_boolean = on_bool,
                                             .yajl_number = on_number,
                                             .yajl_string = on_string,
                                             .yajl_start_map = on_begin_object,
                                             .yajl_map_key = on_name,
                                             .yajl_end_map = on_end_object,
                                             .yajl_start_array = on_begin_array,
                                             .yajl_end_array = on_end_array};
    b->yajl = yajl_alloc(&callbacks, NULL, b);
    if (!b->yajl)
        return ledger_fail(err, LEDGER_ENOMEM, "JSON: out of memory");
    enum ledger_rc rc = LEDGER_OK;
    yajl_status status = yajl_parse(b->yajl, b->repaired.p, b->repaired.n);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(b->yajl);
    if (status != yajl_status_ok)
        rc = explain(b, status, err);
    yajl_free(b->yajl);
    return rc;
}

enum ledger_rc json_parse(struct arena *a, struct span text, const struct json **out,
                          struct ledger_err *err)
{
    struct builder b = {.a = a, .text = text, .repaired = repair(a, text)};
    *out = NULL;
    size_t valid = utf8_valid_prefix(text);
    if (valid < text.n)
        return fail_at(err, text, valid, "not UTF-8");
    if (text.n == 0)
        return fail_at(err, text, 0, "no JSON value");
    if (!b.repaired.p)
        return ledger_fail(err, LEDGER_ENOMEM, "JSON of %zu bytes: over the memory budget", text.n);
    enum ledger_rc rc = run(&b, err);
    if (rc == LEDGER_OK)
        *out = b.root;
    return rc;
}

const struct json *json_get(const struct json *object, const char *name)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    for (const struct json *j = object->first; j; j = j->next) {
        if (span_eq(j->name, span_str(name)))
            return j;
    }
    return NULL;
}

bool json_is_text(const struct json *j)
{
    return j && j->type == JSON_STRING && !j->broken;
}
