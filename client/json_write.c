/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_write.c: the JSON writer, compact or one member a line. The only failure is an arena over
 * its budget, which the buffer remembers. May include: json.h, value.h (utf8), the C library's
 * formatting.
 */
#include "json.h"

#include <stdio.h>
#include <string.h>

#include "value.h"

void json_writer_init(struct json_writer *w, struct arena *a, bool pretty)
{
    memset(w, 0, sizeof *w);
    wbuf_init(&w->out, a);
    w->pretty = pretty;
}

static inline void put(struct json_writer *w, const char *text)
{
    wbuf_bytes(&w->out, text, strlen(text));
}

static bool in_object(const struct json_writer *w)
{
    return w->depth > 0 && w->objects[w->depth - 1];
}

/* What separates members: a comma, unless this is before the first or after the last, and the
 * beginning of a line. */
static void separate(struct json_writer *w, bool comma)
{
    char text[2 + 2 * sizeof w->objects / sizeof w->objects[0]];
    size_t n = w->pretty ? 2 + 2 * (size_t)w->depth : 1;
    memcpy(text, ",\n", 2);
    memset(text + 2, ' ', 2 * (size_t)w->depth);
    wbuf_bytes(&w->out, text + !comma, n - !comma);
}

static void next_member(struct json_writer *w)
{
    if (w->depth > 0)
        separate(w, w->filled);
    w->filled = true;
}

/* Before each value. */
static void next_value(struct json_writer *w)
{
    LEDGER_REQUIRE(in_object(w) == w->named && (w->depth > 0 || !w->filled));
    if (!w->named)
        next_member(w);
    w->named = false;
}

static void begin(struct json_writer *w, bool object)
{
    next_value(w);
    LEDGER_REQUIRE(w->depth < sizeof w->objects / sizeof w->objects[0]);
    w->objects[w->depth++] = object;
    w->filled = false;
    put(w, object ? "{" : "[");
}

void json_object(struct json_writer *w)
{
    begin(w, true);
}

void json_array(struct json_writer *w)
{
    begin(w, false);
}

void json_end(struct json_writer *w)
{
    LEDGER_REQUIRE(w->depth > 0 && !w->named);
    bool object = in_object(w);
    w->depth--;
    if (w->filled)
        separate(w, false);
    put(w, object ? "}" : "]");
    w->filled = true; /* the level around it now has a member */
}

static void put_escaped(struct json_writer *w, uint8_t c)
{
    char escape[8];
    if (c == '"' || c == '\\')
        snprintf(escape, sizeof escape, "\\%c", c);
    else if (c == '\n')
        snprintf(escape, sizeof escape, "\\n");
    else if (c == '\t')
        snprintf(escape, sizeof escape, "\\t");
    else
        snprintf(escape, sizeof escape, "\\u%04x", c);
    put(w, escape);
}

/* Most texts are ASCII that needs no escape: quoted, and followed by `after`, in one piece. */
static bool put_plain(struct json_writer *w, struct span s, const char *after)
{
    char text[64];
    size_t n = strlen(after), at = 1;
    if (s.n + n + 2 > sizeof text)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x20 || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '\\')
            return false;
        text[at++] = (char)s.p[i];
    }
    text[0] = text[at++] = '"';
    memcpy(text + at, after, n);
    wbuf_bytes(&w->out, text, at + n);
    return true;
}

static void put_quoted(struct json_writer *w, struct span s, const char *after)
{
    if (put_plain(w, s, after))
        return;
    size_t valid = utf8_valid_prefix(s), from = 0;
    put(w, "\"");
    for (size_t i = 0; i < s.n; i++) {
        bool is_utf8 = i < valid;
        if (is_utf8 && s.p[i] >= 0x20 && s.p[i] != 0x7f && s.p[i] != '"' && s.p[i] != '\\')
            continue;
        wbuf_bytes(&w->out, s.p + from, i - from);
        from = i + 1;
        if (is_utf8) {
            put_escaped(w, s.p[i]);
        } else {
            put(w, "\xef\xbf\xbd");
            valid = from + utf8_valid_prefix(span_of(s.p + from, s.n - from));
        }
    }
    if (s.n > from)
        wbuf_bytes(&w->out, s.p + from, s.n - from);
    put(w, "\"");
    put(w, after);
}

void json_name(struct json_writer *w, struct span name)
{
    LEDGER_REQUIRE(in_object(w) && !w->named);
    next_member(w);
    put_quoted(w, name, w->pretty ? ": " : ":");
    w->named = true;
}

void json_null(struct json_writer *w)
{
    next_value(w);
    put(w, "null");
}

void json_bool(struct json_writer *w, bool b)
{
    next_value(w);
    put(w, b ? "true" : "false");
}

void json_double(struct json_writer *w, double value)
{
    char number[64];
    int n = snprintf(number, sizeof number, "%.15g", value);
    if (n > 0 && !strpbrk(number, "in"))
        json_number(w, span_of(number, (size_t)n));
    else
        json_null(w);
}

void json_number(struct json_writer *w, struct span text)
{
    next_value(w);
    wbuf_bytes(&w->out, text.p, text.n);
}

void json_uint(struct json_writer *w, uint64_t v)
{
    char text[24];
    size_t at = sizeof text;
    next_value(w);
    do
        text[--at] = (char)('0' + v % 10);
    while (v /= 10);
    wbuf_bytes(&w->out, text + at, sizeof text - at);
}

void json_string(struct json_writer *w, struct span text)
{
    next_value(w);
    put_quoted(w, text, "");
}

static void put_leaf(struct json_writer *w, const struct json *j)
{
    if (j->type == JSON_NULL)
        json_null(w);
    else if (j->type == JSON_BOOL)
        json_bool(w, j->b);
    else if (j->type == JSON_NUMBER || j->broken)
        json_number(w, j->text); /* a broken string's text is its source */
    else
        json_string(w, j->text);
}

void json_tree(struct json_writer *w, const struct json *j)
{
    const struct json *around[JSON_DEPTH_MAX];
    unsigned depth = 0;
    while (j) {
        if (j->name.p && depth > 0)
            json_name(w, j->name);
        if (j->type == JSON_OBJECT || j->type == JSON_ARRAY) {
            begin(w, j->type == JSON_OBJECT);
            LEDGER_REQUIRE(depth < JSON_DEPTH_MAX);
            around[depth++] = j;
            j = j->first;
        } else {
            put_leaf(w, j);
            j = depth > 0 ? j->next : NULL;
        }
        while (!j && depth > 0) {
            json_end(w);
            j = --depth > 0 ? around[depth]->next : NULL;
        }
    }
}

void json_put_string(struct json_writer *w, const char *name, struct span text)
{
    if (!text.p)
        return;
    json_name(w, span_str(name));
    json_string(w, text);
}

void json_put_uint(struct json_writer *w, const char *name, uint64_t v)
{
    json_name(w, span_str(name));
    json_uint(w, v);
}

void json_put_bool(struct json_writer *w, const char *name, bool b)
{
    json_name(w, span_str(name));
    json_bool(w, b);
}

struct span json_take(struct json_writer *w)
{
    struct span part = wbuf_span(&w->out);
    w->out.n = 0;
    return part;
}

struct span json_written(struct json_writer *w)
{
    LEDGER_REQUIRE(w->depth == 0 && w->filled);
    if (w->pretty)
        put(w, "\n");
    return wbuf_span(&w->out);
}
