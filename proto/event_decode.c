/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_decode.c: the strict decoder of events, driven by the table of kinds.
 *
 * Two sorts of wrong bytes: an encoding that is not the canonical one (unknown, repeated, out of
 * order, an explicit default, a wrong wire type) is refused at once with E_BAD_VALUE; a value that
 * is not of its type becomes VALUE_BAD and is refused by the form check, in the order of the rules.
 * At the end the event is encoded again and compared: whatever the decoder might let through, one
 * event has one encoding.
 *
 * Nesting is fixed (event, kind, record, any, map, entry, scalar), so nothing here recurses.
 * May include: event.h, event_value.h, wire.h, the C library's formatting.
 */
#include "event.h"
#include "event_value.h"
#include "wire.h"

#include <stdio.h>
#include <string.h>

struct decoder {
    struct arena *a;
    struct refusal *why;
    enum ledger_rc rc;
    const char *field;  /* of the kind, or of the envelope */
    const char *member; /* of a record, "" for the record as a whole, or NULL */
    size_t at;          /* which record */
};

/* Refuses the encoding; the field is where the decoder stands. */
static bool reject(struct decoder *d, const char *text)
{
    char path[64];
    if (d->member)
        snprintf(path, sizeof path, "%s[%zu]%s%s", d->field, d->at, d->member[0] ? "." : "",
                 d->member);
    else
        snprintf(path, sizeof path, "%s", d->field);
    refuse(d->why, E_BAD_VALUE, NULL, path, "not the canonical encoding: %s %s", path, text);
    d->rc = LEDGER_EREFUSED;
    return false;
}

static bool out_of_memory(struct decoder *d)
{
    d->rc = LEDGER_ENOMEM;
    return false;
}

/* The end of a message: false if it ended in a fault. */
static bool finished(struct decoder *d, const struct wire_reader *r)
{
    return r->fault ? reject(d, r->fault) : true;
}

static struct value *new_values(struct decoder *d, size_t n)
{
    struct value *v = arena_alloc(d->a, n * sizeof *v);
    if (!v)
        d->rc = LEDGER_ENOMEM;
    return v;
}

static bool want_bytes(struct decoder *d, const struct wire_field *f)
{
    if (!f->is_bytes)
        return reject(d, "has the wrong wire type");
    return f->s.n > 0 ? true : reject(d, "is there but empty");
}

static bool want_uint(struct decoder *d, const struct wire_field *f)
{
    if (f->is_bytes)
        return reject(d, "has the wrong wire type");
    return f->u > 0 ? true : reject(d, "is there but has its default value");
}

static void decode_decimal(struct decoder *d, enum field_type type, struct span text,
                           struct value *v)
{
    *v = (struct value){.type = type == TYPE_INT ? VALUE_INT : VALUE_DECIMAL, .raw = text};
    const char *fault = decimal_canonical_fault(text, &v->num);
    if (!fault && type == TYPE_INT && v->num % DEC_ONE != 0)
        fault = "is not a whole number";
    if (fault)
        value_bad(d->a, v, "%.*s %s", SPAN_CLIP(text), fault);
}

static bool decode_scalar(struct decoder *d, struct span message, struct value *v)
{
    struct wire_reader r;
    struct wire_field f;
    unsigned members = 0;
    wire_open(&r, message);
    for (; wire_next(&r, &f); members++) {
        if (f.number > 2)
            return reject(d, "has an unknown field");
        if (!want_bytes(d, &f))
            return false;
        if (f.number == 1)
            decode_decimal(d, TYPE_DECIMAL, f.s, v);
        else
            value_from_text(d->a, TYPE_TEXT, NULL, f.s, v);
    }
    if (!finished(d, &r))
        return false;
    return members == 1 ? true : reject(d, "must have exactly one value");
}

static bool decode_entry(struct decoder *d, struct span message, struct span *name, struct value *v)
{
    struct wire_reader r;
    struct wire_field f;
    *name = SPAN_NONE;
    wire_open(&r, message);
    while (wire_next(&r, &f)) {
        if (f.number > 2 || f.repeated || !f.is_bytes)
            return reject(d, "has an entry with an unknown, repeated or mistyped field");
        if (f.number == 1)
            *name = f.s;
        else if (!decode_scalar(d, f.s, v))
            return false;
    }
    if (!finished(d, &r))
        return false;
    if (name->n == 0 || v->type == VALUE_ABSENT)
        return reject(d, "has an entry without name or value");
    return true;
}

/* How many fields with the number of `first`, which was just read, follow one another. */
static size_t count_run(const struct wire_reader *r, const struct wire_field *first)
{
    struct wire_reader ahead = *r;
    struct wire_field f;
    size_t n = 1;
    while (wire_next(&ahead, &f) && f.number == first->number)
        n++;
    return n;
}

static bool decode_map(struct decoder *d, struct span message, struct value *v)
{
    struct wire_reader r, entries;
    struct wire_field f;
    wire_open(&r, message);
    entries = r;
    size_t n = wire_next(&r, &f) ? count_run(&r, &f) : 0;
    if (r.fault)
        return finished(d, &r);
    *v = (struct value){.type = VALUE_MAP};
    if (n > MAP_MAX) {
        value_bad(d->a, v, "a map of %zu names; at most %d", n, MAP_MAX);
        return true;
    }
    v->items = new_values(d, n);
    v->names = arena_alloc(d->a, n * sizeof *v->names);
    if (!v->items || !v->names)
        return out_of_memory(d);
    for (; wire_next(&entries, &f); v->n++) {
        if (f.number != 1 || !f.is_bytes)
            return reject(d, "has an unknown field");
        if (!decode_entry(d, f.s, &v->names[v->n], &v->items[v->n]))
            return false;
        if (v->n > 0 && span_cmp(v->names[v->n - 1], v->names[v->n]) >= 0)
            return reject(d, "has names that do not ascend");
    }
    return finished(d, &entries);
}

/* "40.0" says that a whole number was not written as one (ledger_events.proto, Any). */
static void decode_any_number(struct decoder *d, struct span text, struct value *v)
{
    bool marked = text.n > 2 && memcmp(text.p + text.n - 2, ".0", 2) == 0;
    struct span plain = marked ? span_of(text.p, text.n - 2) : text;
    decode_decimal(d, TYPE_DECIMAL, plain, v);
    if (v->type != VALUE_DECIMAL)
        return;
    bool whole = v->num % DEC_ONE == 0;
    if (marked && !whole)
        value_bad(d->a, v, "%.*s is not the canonical text of a decimal", SPAN_CLIP(text));
    else if (whole && !marked)
        v->type = VALUE_INT;
}

static bool decode_any_member(struct decoder *d, const struct wire_field *f, struct value *v)
{
    if (f->number == 1) {
        if (f->is_bytes || f->u != 2)
            return reject(d, "has a null that is not TRUE");
        v->type = VALUE_NULL;
        return true;
    }
    if (f->number > 5 || !f->is_bytes)
        return reject(d, "has an unknown or mistyped field");
    if (f->number == 2) {
        decode_any_number(d, f->s, v);
    } else if (f->number == 3) {
        if (f->s.n > 0)
            value_from_text(d->a, TYPE_TEXT, NULL, f->s, v);
        else
            *v = (struct value){.type = VALUE_TEXT, .raw = f->s};
    } else if (f->number == 4) {
        return decode_map(d, f->s, v);
    } else {
        *v = (struct value){.type = VALUE_OTHER, .raw = f->s};
    }
    return true;
}

static bool decode_any(struct decoder *d, struct span message, struct value *v)
{
    struct wire_reader r;
    struct wire_field f;
    unsigned members = 0;
    wire_open(&r, message);
    for (; wire_next(&r, &f); members++) {
        if (!decode_any_member(d, &f, v))
            return false;
    }
    if (!finished(d, &r))
        return false;
    return members == 1 ? true : reject(d, "must have exactly one value");
}

static bool decode_bool(struct decoder *d, const struct field_def *def, uint64_t u, struct value *v)
{
    *v = (struct value){.type = VALUE_BOOL, .b = u == 2};
    if (u == 1 && !def->mandatory)
        return reject(d, "is there but false, which is its default value");
    if (u > 2)
        value_bad(d->a, v, "%llu is neither false (1) nor true (2)", (unsigned long long)u);
    return true;
}

static void decode_enum(struct decoder *d, const struct field_def *def, uint64_t u, struct value *v)
{
    *v = (struct value){.type = VALUE_ENUM, .e = (unsigned)u};
    if (u < 1 || u > def->names->n)
        value_bad(d->a, v, "%llu is none of the numbers 1 to %u", (unsigned long long)u,
                  def->names->n);
}

/* A field or member that is no list of enums or records: one field on the wire. */
static bool decode_single(struct decoder *d, const struct field_def *def,
                          const struct wire_field *f, struct value *v)
{
    enum field_type type = list_member_type(def->type);
    if (type == TYPE_BOOL)
        return want_uint(d, f) && decode_bool(d, def, f->u, v);
    if (type == TYPE_ENUM) {
        if (!want_uint(d, f))
            return false;
        decode_enum(d, def, f->u, v);
        return true;
    }
    if (type == TYPE_MAP)
        return f->is_bytes ? decode_map(d, f->s, v) : reject(d, "has the wrong wire type");
    if (!want_bytes(d, f))
        return false;
    if (type == TYPE_SCALAR)
        return decode_scalar(d, f->s, v);
    if (type == TYPE_ANY)
        return decode_any(d, f->s, v);
    if (type == TYPE_DECIMAL || type == TYPE_INT)
        decode_decimal(d, type, f->s, v);
    else
        value_from_text(d->a, type, def->names, f->s, v);
    return true;
}

static bool decode_enums(struct decoder *d, const struct field_def *def, const struct wire_field *f,
                         struct value *v)
{
    struct wire_reader r;
    uint64_t u = 0;
    size_t n = 0;
    if (f->repeated)
        return reject(d, "is not packed into one field");
    if (!want_bytes(d, f))
        return false;
    for (wire_open(&r, f->s); wire_next_packed(&r, &u);)
        n++;
    if (!finished(d, &r))
        return false;
    *v = (struct value){.type = VALUE_LIST};
    if (n > LIST_MAX) {
        value_bad(d->a, v, "a list of %zu members; at most %d", n, LIST_MAX);
        return true;
    }
    v->items = new_values(d, n);
    if (!v->items)
        return false;
    for (wire_open(&r, f->s); wire_next_packed(&r, &u);)
        decode_enum(d, def, u, &v->items[v->n++]);
    return true;
}

static bool decode_record(struct decoder *d, const struct field_def *def,
                          const struct wire_field *message, struct value *v)
{
    struct wire_reader r;
    struct wire_field f;
    if (!message->is_bytes)
        return reject(d, "has the wrong wire type");
    *v = (struct value){.type = VALUE_RECORD, .n = def->n_members};
    v->items = new_values(d, v->n);
    if (!v->items)
        return false;
    wire_open(&r, message->s);
    while (wire_next(&r, &f)) {
        d->member = "";
        if (f.number > def->n_members)
            return reject(d, "has a field that is not known");
        d->member = def->members[f.number - 1].text;
        if (f.repeated)
            return reject(d, "is there more than once");
        if (!decode_single(d, &def->members[f.number - 1], &f, &v->items[f.number - 1]))
            return false;
    }
    d->member = "";
    if (!finished(d, &r))
        return false;
    d->member = NULL;
    return true;
}

/* One more member of a list; the first one makes room for all of them. */
static bool decode_list_member(struct decoder *d, const struct field_def *def,
                               const struct wire_field *f, size_t n, struct value *v)
{
    if (!f->repeated) {
        *v = (struct value){.type = VALUE_LIST};
        if (n > LIST_MAX) {
            value_bad(d->a, v, "a list of %zu members; at most %d", n, LIST_MAX);
            return true;
        }
        v->items = new_values(d, n);
        if (!v->items)
            return false;
    }
    if (v->type == VALUE_BAD)
        return true;
    d->at = v->n;
    struct value *item = &v->items[v->n++];
    if (def->type == TYPE_LIST_RECORD)
        return decode_record(d, def, f, item);
    return decode_single(d, def, f, item);
}

static bool decode_field(struct decoder *d, const struct field_def *def,
                         const struct wire_reader *r, const struct wire_field *f, struct value *v)
{
    d->field = def->text;
    if (def->type == TYPE_LIST_ENUM)
        return decode_enums(d, def, f, v);
    if (def->type == TYPE_LIST_RECORD || list_member_type(def->type) != def->type)
        return decode_list_member(d, def, f, f->repeated ? 0 : count_run(r, f), v);
    if (f->repeated)
        return reject(d, "is there more than once");
    return decode_single(d, def, f, v);
}

static bool decode_body(struct decoder *d, struct span message, struct event *ev)
{
    struct wire_reader r;
    struct wire_field f;
    d->field = ev->kind->name;
    wire_open(&r, message);
    while (wire_next(&r, &f)) {
        if (f.number > ev->kind->n_fields) {
            d->field = ev->kind->name;
            return reject(d, "has a field that is not known");
        }
        if (!decode_field(d, &ev->kind->fields[f.number - 1], &r, &f, &ev->fields[f.number - 1]))
            return false;
    }
    d->field = ev->kind->name;
    return finished(d, &r);
}

static bool decode_hash(struct decoder *d, const struct wire_field *f, struct hash *out)
{
    if (!f->is_bytes || f->s.n != HASH_LEN)
        return reject(d, "is not 32 bytes");
    memcpy(out->b, f->s.p, HASH_LEN);
    return true;
}

static bool decode_foreign(struct decoder *d, struct span message, struct foreign_ref *out)
{
    struct wire_reader r;
    struct wire_field f;
    unsigned seen = 0;
    out->present = true;
    wire_open(&r, message);
    for (; wire_next(&r, &f); seen |= 1u << f.number) {
        static const char *const names[] = {"foreign", "foreign.origin", "foreign.chain_key",
                                            "foreign.index", "foreign.checkpoint_hash"};
        d->field = names[f.number <= 4 ? f.number : 0];
        if (f.number > 4)
            return reject(d, "has a field that is not known");
        if (f.repeated)
            return reject(d, "is there more than once");
        if (f.number == 3 ? !want_uint(d, &f) : !want_bytes(d, &f))
            return false;
        if (f.number == 1)
            out->origin = f.s;
        else if (f.number == 3)
            out->index = f.u;
        else if (!decode_hash(d, &f, f.number == 2 ? &out->chain_key : &out->checkpoint_hash))
            return false;
    }
    d->field = "foreign";
    if (!finished(d, &r))
        return false;
    /* Bits 1, 2 and 4: all but the index, which may be 0. */
    return (seen & 0x16u) == 0x16u ? true : reject(d, "lacks a field");
}

/* The body's number is the kind's. */
static bool decode_kind(struct decoder *d, const struct wire_field *f, struct event *ev)
{
    d->field = "kind";
    if (ev->kind)
        return reject(d, "is there more than once");
    ev->kind = kind_find(f->number);
    if (!ev->kind) {
        refuse(d->why, E_UNKNOWN_KIND, NULL, "kind", "%u is not the number of a known kind",
               f->number);
        d->rc = LEDGER_EREFUSED;
        return false;
    }
    if (!f->is_bytes)
        return reject(d, "has the wrong wire type");
    return decode_body(d, f->s, ev);
}

static const char *envelope_name(unsigned number)
{
    static const char *const names[] = {"event",    "version", "nonce",    "reference",
                                        "occurred", "foreign", "key_proof"};
    return names[number < sizeof names / sizeof names[0] ? number : 0];
}

static bool decode_version(struct decoder *d, const struct wire_field *f)
{
    if (!want_uint(d, f))
        return false;
    if (f->u > EVENT_VERSION) {
        d->rc = LEDGER_EVERSION;
        return false;
    }
    return true;
}

static bool decode_envelope_field(struct decoder *d, const struct wire_field *f, struct event *ev)
{
    if (f->number >= EVENT_KIND_FIRST)
        return decode_kind(d, f, ev);
    d->field = envelope_name(f->number);
    if (f->repeated)
        return reject(d, "is there more than once");
    switch (f->number) {
    case 1:
        return decode_version(d, f);
    case 2:
        ev->nonce = f->s;
        return want_bytes(d, f);
    case 3:
        ev->reference = f->s;
        return want_bytes(d, f);
    case 4:
        if (!want_bytes(d, f))
            return false;
        value_from_text(d->a, TYPE_TIME, NULL, f->s, &ev->occurred);
        return true;
    case 5:
        return want_bytes(d, f) && decode_foreign(d, f->s, &ev->foreign);
    case 6:
        ev->key_proof = f->s;
        return want_bytes(d, f);
    default:
        return reject(d, "has a field that is not known");
    }
}

static bool decode_envelope(struct decoder *d, struct span bytes, struct event *ev)
{
    struct wire_reader r;
    struct wire_field f;
    bool versioned = false;
    wire_open(&r, bytes);
    while (wire_next(&r, &f)) {
        if (!versioned && f.number != 1)
            break;
        versioned = true;
        if (!decode_envelope_field(d, &f, ev))
            return false;
    }
    d->field = "event";
    if (!finished(d, &r))
        return false;
    d->field = "version";
    if (!versioned)
        return reject(d, "is missing");
    d->field = "nonce";
    if (ev->kind && ev->nonce.n != NONCE_LEN)
        return reject(d, "must be 16 bytes");
    return true;
}

static bool same_when_encoded(struct decoder *d, const struct event *ev, struct span bytes)
{
    struct arena_mark mark = arena_mark(d->a);
    struct span again = event_encode(d->a, ev);
    bool same = span_eq(again, bytes);
    arena_release(d->a, mark);
    if (!again.p)
        return out_of_memory(d);
    d->field = "event";
    return same ? true : reject(d, "differs from its own encoding");
}

static bool decode(struct decoder *d, struct span bytes, struct event *ev)
{
    if (!decode_envelope(d, bytes, ev))
        return false;
    if (!event_check_form(ev, d->why)) {
        d->rc = LEDGER_EREFUSED;
        return false;
    }
    return same_when_encoded(d, ev, bytes);
}

enum ledger_rc event_decode(struct crypto *c, struct arena *a, struct span bytes, struct event *ev,
                            struct refusal *why, struct ledger_err *err)
{
    struct refusal unwanted = {0};
    struct decoder d = {.a = a, .why = why ? why : &unwanted, .field = "event"};
    memset(ev, 0, sizeof *ev);
    ev->bytes = bytes;
    if (decode(&d, bytes, ev)) {
        event_id(c, bytes, &ev->id);
        ev->formed = true;
        return LEDGER_OK;
    }
    if (d.rc == LEDGER_ENOMEM)
        return ledger_fail(err, d.rc, "event of %zu bytes: over the memory budget", bytes.n);
    if (d.rc == LEDGER_EVERSION)
        return ledger_fail(err, d.rc, "event of a format newer than version %d", EVENT_VERSION);
    return ledger_fail(err, d.rc, "%s: %s", refusal_name(d.why->code), d.why->text);
}
