/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_encode.c: an event that passes the form check to its one encoding. Fields are written in
 * the order of the kind's table, which is the order of their numbers. The only failure is an arena
 * over its budget, which the buffer remembers. May include: event.h, event_value.h, wire.h.
 */
#include "event.h"
#include "event_value.h"
#include "wire.h"

/* Field numbers: ledger_events.proto. */
enum { BOOL_FALSE = 1, BOOL_TRUE = 2 };
enum { SCALAR_NUMBER = 1, SCALAR_TEXT = 2 };
enum { ANY_NULL = 1, ANY_NUMBER = 2, ANY_TEXT = 3, ANY_MAP = 4, ANY_OTHER = 5 };
enum { ENTRY_NAME = 1, ENTRY_VALUE = 2, MAP_ENTRIES = 1 };

static void put_decimal(struct wbuf *w, unsigned number, const struct value *v)
{
    char text[DEC_TEXT_MAX];
    wire_put_bytes(w, number, span_of(text, decimal_format(v->num, text)));
}

/* In `any`, a whole number that was not written as one stays distinguishable from an int. */
static void put_any_number(struct wbuf *w, const struct value *v)
{
    char text[DEC_TEXT_MAX + 2];
    size_t n = decimal_format(v->num, text);
    if (v->type == VALUE_DECIMAL && v->num % DEC_ONE == 0) {
        text[n++] = '.';
        text[n++] = '0';
    }
    wire_put_bytes(w, ANY_NUMBER, span_of(text, n));
}

static void put_scalar(struct wbuf *w, unsigned number, const struct value *v)
{
    size_t begun = wire_begin(w, number);
    if (v->type == VALUE_TEXT)
        wire_put_bytes(w, SCALAR_TEXT, v->raw);
    else
        put_decimal(w, SCALAR_NUMBER, v);
    wire_end(w, begun);
}

static void put_map(struct wbuf *w, unsigned number, const struct value *v)
{
    size_t begun = wire_begin(w, number);
    for (size_t i = 0; i < v->n; i++) {
        size_t entry = wire_begin(w, MAP_ENTRIES);
        wire_put_bytes(w, ENTRY_NAME, v->names[i]);
        put_scalar(w, ENTRY_VALUE, &v->items[i]);
        wire_end(w, entry);
    }
    wire_end(w, begun);
}

static void put_any(struct wbuf *w, unsigned number, const struct value *v)
{
    size_t begun = wire_begin(w, number);
    if (v->type == VALUE_MAP)
        put_map(w, ANY_MAP, v);
    else if (v->type == VALUE_TEXT)
        wire_put_bytes(w, ANY_TEXT, v->raw);
    else if (v->type == VALUE_OTHER)
        wire_put_bytes(w, ANY_OTHER, v->raw);
    else if (v->type == VALUE_NULL)
        wire_put_uint(w, ANY_NULL, BOOL_TRUE);
    else
        put_any_number(w, v);
    wire_end(w, begun);
}

/* A field or member that is no list. */
static void put_single(struct wbuf *w, const struct field_def *def, enum field_type type,
                       const struct value *v)
{
    switch (type) {
    case TYPE_ID:
    case TYPE_TEXT:
    case TYPE_REF:
    case TYPE_TIME:
        wire_put_bytes(w, def->number, v->raw);
        break;
    case TYPE_DECIMAL:
    case TYPE_INT:
        put_decimal(w, def->number, v);
        break;
    case TYPE_BOOL:
        if (v->b || def->mandatory)
            wire_put_uint(w, def->number, v->b ? BOOL_TRUE : BOOL_FALSE);
        break;
    case TYPE_ENUM:
        wire_put_uint(w, def->number, v->e);
        break;
    case TYPE_SCALAR:
        put_scalar(w, def->number, v);
        break;
    case TYPE_ANY:
        put_any(w, def->number, v);
        break;
    case TYPE_MAP:
        put_map(w, def->number, v);
        break;
    case TYPE_LIST_ID:
    case TYPE_LIST_TEXT:
    case TYPE_LIST_DECIMAL:
    case TYPE_LIST_ENUM:
    case TYPE_LIST_RECORD:
        break;
    }
}

static bool is_given(const struct value *v)
{
    return v->type != VALUE_ABSENT && v->type != VALUE_EMPTY;
}

static void put_record(struct wbuf *w, const struct field_def *def, const struct value *record)
{
    size_t begun = wire_begin(w, def->number);
    for (unsigned i = 0; i < def->n_members; i++) {
        if (is_given(&record->items[i]))
            put_single(w, &def->members[i], def->members[i].type, &record->items[i]);
    }
    wire_end(w, begun);
}

static void put_enums(struct wbuf *w, const struct field_def *def, const struct value *v)
{
    size_t begun = wire_begin(w, def->number);
    for (size_t i = 0; i < v->n; i++)
        wire_put_varint(w, v->items[i].e);
    wire_end(w, begun);
}

static void put_field(struct wbuf *w, const struct field_def *def, const struct value *v)
{
    enum field_type type = list_member_type(def->type);
    if (def->type == TYPE_LIST_ENUM) {
        put_enums(w, def, v);
        return;
    }
    if (type == def->type && type != TYPE_LIST_RECORD) {
        put_single(w, def, type, v);
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        if (type == TYPE_LIST_RECORD)
            put_record(w, def, &v->items[i]);
        else
            put_single(w, def, type, &v->items[i]);
    }
}

static void put_foreign(struct wbuf *w, const struct foreign_ref *f)
{
    size_t begun = wire_begin(w, 5);
    wire_put_bytes(w, 1, f->origin);
    wire_put_bytes(w, 2, span_of(f->chain_key.b, HASH_LEN));
    if (f->index)
        wire_put_uint(w, 3, f->index);
    wire_put_bytes(w, 4, span_of(f->checkpoint_hash.b, HASH_LEN));
    wire_end(w, begun);
}

struct span event_encode(struct arena *a, const struct event *ev)
{
    struct wbuf w;
    LEDGER_REQUIRE(ev->kind && ev->nonce.n == NONCE_LEN);
    wbuf_init(&w, a);
    wbuf_room(&w, ev->bytes.n); /* of one that was decoded: it is as long again */
    wire_put_uint(&w, 1, EVENT_VERSION);
    wire_put_bytes(&w, 2, ev->nonce);
    wire_put_bytes(&w, 3, ev->reference);
    wire_put_bytes(&w, 4, ev->occurred.raw);
    if (ev->foreign.present)
        put_foreign(&w, &ev->foreign);
    if (ev->key_proof.p)
        wire_put_bytes(&w, 6, ev->key_proof);
    size_t body = wire_begin(&w, (unsigned)ev->kind->kind);
    for (unsigned i = 0; i < ev->kind->n_fields; i++) {
        if (is_given(&ev->fields[i]))
            put_field(&w, &ev->kind->fields[i], &ev->fields[i]);
    }
    wire_end(&w, body);
    return wbuf_span(&w);
}
