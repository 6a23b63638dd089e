/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line.c: the JSON object of an event, read and written, and fields from a command line.
 * May include: line.h, event_value.h, the C library.
 */
#include "line.h"

#include <string.h>

#include "event_value.h"

static enum ledger_rc no_memory(struct ledger_err *err)
{
    return ledger_fail(err, LEDGER_ENOMEM, "event: over the memory budget");
}

/* An optional text of the line itself, not of the event's fields. */
static enum ledger_rc read_text(const struct json *j, struct span *out, struct ledger_err *err)
{
    *out = SPAN_NONE;
    if (!j || j->type == JSON_NULL)
        return LEDGER_OK;
    if (!json_is_text(j))
        return ledger_fail(err, LEDGER_EINVAL, "%.*s: not a text", SPAN_FMT(j->name));
    *out = j->text;
    return LEDGER_OK;
}

static enum ledger_rc read_fields(struct arena *a, const struct json *fields, struct event *ev,
                                  struct ledger_err *err)
{
    if (!fields || fields->type == JSON_NULL || !ev->kind)
        return LEDGER_OK;
    if (fields->type != JSON_OBJECT)
        return ledger_fail(err, LEDGER_EINVAL, "fields: not an object");
    for (const struct json *m = fields->first; m; m = m->next) {
        const struct field_def *def = kind_field(ev->kind, m->name);
        if (!def && !ev->unlisted.p)
            ev->unlisted = m->name;
        if (def && !line_value(a, def, m, &ev->fields[def->number - 1]))
            return no_memory(err);
    }
    return LEDGER_OK;
}

static enum ledger_rc read_occurred(struct arena *a, const struct json *j, struct event *ev,
                                    struct ledger_err *err)
{
    static const struct field_def occurred = {.text = "occurred", .type = TYPE_TIME};
    if (!j)
        return LEDGER_OK;
    return line_value(a, &occurred, j, &ev->occurred) ? LEDGER_OK : no_memory(err);
}

static struct span valid_text(const struct json *j)
{
    return json_is_text(j) && text_valid(j->text) ? j->text : SPAN_NONE;
}

static enum ledger_rc read_signers(struct arena *a, const struct json *j, struct line *out,
                                   struct ledger_err *err)
{
    if (!j || j->type == JSON_NULL)
        return LEDGER_OK;
    if (j->type != JSON_ARRAY)
        return ledger_fail(err, LEDGER_EINVAL, "signers: not a list");
    out->signers = arena_alloc(a, j->n * sizeof *out->signers);
    if (!out->signers)
        return no_memory(err);
    for (const struct json *m = j->first; m; m = m->next) {
        if (m->type != JSON_OBJECT)
            return ledger_fail(err, LEDGER_EINVAL, "signers[%zu]: not an object", out->n_signers);
        struct line_signer *s = &out->signers[out->n_signers++];
        s->party = valid_text(json_get(m, "party"));
        s->meaning = valid_text(json_get(m, "meaning"));
    }
    return LEDGER_OK;
}

/* Lower-case hex of exactly n bytes. */
static bool read_hex(const struct json *j, uint8_t *out, size_t n)
{
    return json_is_text(j) && j->text.n == 2 * n && hex_decode(j->text, out);
}

static bool read_index(const struct json *j, uint64_t *out)
{
    *out = 0;
    if (!j || j->type != JSON_NUMBER || j->text.n > 20)
        return false;
    for (size_t i = 0; i < j->text.n; i++) {
        uint64_t digit = (uint64_t)j->text.p[i] - '0';
        if (digit > 9 || *out > (UINT64_MAX - digit) / 10)
            return false;
        *out = *out * 10 + digit;
    }
    return true;
}

static enum ledger_rc read_foreign(const struct json *j, struct foreign_ref *out,
                                   struct ledger_err *err)
{
    if (!j || j->type == JSON_NULL)
        return LEDGER_OK;
    out->present = true;
    const struct json *origin = json_get(j, "origin");
    if (j->type != JSON_OBJECT || j->n != 4 || !json_is_text(origin) ||
        !read_hex(json_get(j, "chain_key"), out->chain_key.b, HASH_LEN) ||
        !read_index(json_get(j, "index"), &out->index) ||
        !read_hex(json_get(j, "checkpoint_hash"), out->checkpoint_hash.b, HASH_LEN))
        return ledger_fail(err, LEDGER_EINVAL,
                           "foreign: needs origin, chain_key (hex), index, checkpoint_hash (hex)");
    out->origin = origin->text;
    return LEDGER_OK;
}

/* What an event carries beside its fields. */
static enum ledger_rc read_envelope(struct arena *a, const struct json *j, struct event *ev,
                                    struct ledger_err *err)
{
    const struct json *nonce = json_get(j, "nonce"), *proof = json_get(j, "key_proof");
    if (nonce && nonce->type != JSON_NULL) {
        uint8_t bytes[NONCE_LEN];
        if (!read_hex(nonce, bytes, NONCE_LEN))
            return ledger_fail(err, LEDGER_EINVAL, "nonce: not 32 hex digits");
        ev->nonce = arena_copy(a, span_of(bytes, NONCE_LEN));
        if (!ev->nonce.p)
            return no_memory(err);
    }
    if (proof && proof->type != JSON_NULL) {
        size_t n = 0;
        uint8_t *bytes = arena_alloc(a, SIG_LEN_MAX);
        if (!bytes)
            return no_memory(err);
        if (!json_is_text(proof) || !b64_decode(proof->text, bytes, SIG_LEN_MAX, &n))
            return ledger_fail(err, LEDGER_EINVAL, "key_proof: not base64");
        ev->key_proof = span_of(bytes, n);
    }
    return read_foreign(json_get(j, "foreign"), &ev->foreign, err);
}

static enum ledger_rc read_recorded(const struct json *j, struct line *out, struct ledger_err *err)
{
    enum ledger_rc rc = read_text(j, &out->recorded, err);
    if (rc != LEDGER_OK || !out->recorded.p)
        return rc;
    const char *fault = time_fault(out->recorded, &out->recorded_us);
    if (fault)
        return ledger_fail(err, LEDGER_EINVAL, "recorded: %.*s %s", SPAN_CLIP(out->recorded),
                           fault);
    out->has_recorded = true;
    return LEDGER_OK;
}

enum ledger_rc line_from_json(struct arena *a, const struct json *j, struct line *out,
                              struct ledger_err *err)
{
    memset(out, 0, sizeof *out);
    if (j->type != JSON_OBJECT)
        return ledger_fail(err, LEDGER_EINVAL, "an event is an object");
    enum ledger_rc rc = read_text(json_get(j, "id"), &out->id, err);
    if (rc == LEDGER_OK)
        rc = read_text(json_get(j, "expect"), &out->expect, err);
    if (rc == LEDGER_OK)
        rc = read_recorded(json_get(j, "recorded"), out, err);
    if (rc != LEDGER_OK)
        return rc;
    const struct json *kind = json_get(j, "kind");
    out->kind_name = json_is_text(kind) ? kind->text : SPAN_NONE;
    out->event.kind = kind_by_name(out->kind_name);
    out->event.reference = out->id;
    rc = read_occurred(a, json_get(j, "occurred"), &out->event, err);
    if (rc == LEDGER_OK)
        rc = read_fields(a, json_get(j, "fields"), &out->event, err);
    if (rc == LEDGER_OK)
        rc = read_signers(a, json_get(j, "signers"), out, err);
    if (rc == LEDGER_OK)
        rc = read_envelope(a, j, &out->event, err);
    return rc;
}

enum ledger_rc line_parse(struct arena *a, struct span text, struct line *out,
                          struct ledger_err *err)
{
    const struct json *j = NULL;
    enum ledger_rc rc = json_parse(a, text, &j, err);
    if (rc == LEDGER_OK)
        return line_from_json(a, j, out, err);
    memset(out, 0, sizeof *out);
    return rc;
}

/* ---- writing ---- */

/* JSON text that came with the event: as a value if it is one. */
static void write_other(struct arena *a, struct json_writer *w, struct span text)
{
    const struct json *j = NULL;
    if (json_parse(a, text, &j, NULL) == LEDGER_OK)
        json_tree(w, j);
    else
        json_string(w, text);
}

static void write_number(struct arena *a, struct json_writer *w, const struct field_def *def,
                         const struct value *v)
{
    struct wbuf text;
    if (def->type != TYPE_ANY || v->type == VALUE_INT || v->num % DEC_ONE != 0) {
        json_number(w, v->raw);
        return;
    }
    /* Not written as a whole number, so not written as one here (ledger_events.proto, Any). */
    wbuf_init(&text, a);
    wbuf_bytes(&text, v->raw.p, v->raw.n);
    wbuf_bytes(&text, ".0", 2);
    json_number(w, wbuf_span(&text));
}

/* A value without members. */
static void write_leaf(struct arena *a, struct json_writer *w, const struct field_def *def,
                       const struct value *v)
{
    switch (v->type) {
    case VALUE_TEXT:
    case VALUE_TIME:
        json_string(w, v->raw);
        break;
    case VALUE_DECIMAL:
    case VALUE_INT:
        write_number(a, w, def, v);
        break;
    case VALUE_BOOL:
        json_bool(w, v->b);
        break;
    case VALUE_ENUM:
        json_string(
            w, span_str(v->e >= 1 && v->e <= def->names->n ? def->names->names[v->e - 1] : "?"));
        break;
    case VALUE_OTHER:
        write_other(a, w, v->raw);
        break;
    case VALUE_ABSENT:
    case VALUE_EMPTY:
    case VALUE_BAD:
    case VALUE_NULL:
    case VALUE_LIST:
    case VALUE_MAP:
    case VALUE_RECORD:
        json_null(w);
        break;
    }
}

/* A value that is no list and no record. */
static void write_single(struct arena *a, struct json_writer *w, const struct field_def *def,
                         const struct value *v)
{
    static const struct field_def scalar = {.text = "", .type = TYPE_SCALAR};
    if (v->type != VALUE_MAP) {
        write_leaf(a, w, def, v);
        return;
    }
    json_object(w);
    for (size_t i = 0; i < v->n; i++) {
        json_name(w, v->names[i]);
        write_leaf(a, w, &scalar, &v->items[i]);
    }
    json_end(w);
}

static bool is_given(const struct field_def *def, const struct value *v)
{
    if (v->type == VALUE_BOOL && !v->b && !def->mandatory)
        return false;
    return v->type != VALUE_ABSENT && v->type != VALUE_EMPTY;
}

static void write_item(struct arena *a, struct json_writer *w, const struct field_def *def,
                       const struct value *v)
{
    if (v->type != VALUE_RECORD) {
        write_single(a, w, def, v);
        return;
    }
    json_object(w);
    for (unsigned i = 0; i < def->n_members; i++) {
        if (!is_given(&def->members[i], &v->items[i]))
            continue;
        json_name(w, span_str(def->members[i].text));
        write_single(a, w, &def->members[i], &v->items[i]);
    }
    json_end(w);
}

void event_fields_to_json(struct arena *a, struct json_writer *w, const struct event *ev)
{
    json_object(w);
    for (unsigned i = 0; ev->kind && i < ev->kind->n_fields; i++) {
        const struct field_def *def = &ev->kind->fields[i];
        const struct value *v = &ev->fields[i];
        if (!is_given(def, v))
            continue;
        json_name(w, span_str(def->text));
        if (v->type != VALUE_LIST) {
            write_single(a, w, def, v);
            continue;
        }
        json_array(w);
        for (size_t j = 0; j < v->n; j++)
            write_item(a, w, def, &v->items[j]);
        json_end(w);
    }
    json_end(w);
}

static void write_hex(struct json_writer *w, const char *name, const uint8_t *p, size_t n)
{
    char hex[2 * HASH_LEN + 1];
    LEDGER_REQUIRE(n <= HASH_LEN);
    json_put_string(w, name, span_of(hex, hex_encode(span_of(p, n), hex)));
}

static void write_foreign(struct json_writer *w, const struct foreign_ref *f)
{
    if (!f->present)
        return;
    json_name(w, SPAN_LIT("foreign"));
    json_object(w);
    json_put_string(w, "origin", f->origin);
    write_hex(w, "chain_key", f->chain_key.b, HASH_LEN);
    json_put_uint(w, "index", f->index);
    write_hex(w, "checkpoint_hash", f->checkpoint_hash.b, HASH_LEN);
    json_end(w);
}

void event_to_json(struct arena *a, struct json_writer *w, const struct event *ev)
{
    json_object(w);
    json_put_string(w, "id", ev->reference);
    json_put_string(w, "kind", ev->kind ? span_str(ev->kind->name) : SPAN_NONE);
    json_put_string(w, "occurred", ev->occurred.type == VALUE_TIME ? ev->occurred.raw : SPAN_NONE);
    json_name(w, SPAN_LIT("fields"));
    event_fields_to_json(a, w, ev);
    write_foreign(w, &ev->foreign);
    if (ev->nonce.n == NONCE_LEN)
        write_hex(w, "nonce", ev->nonce.p, NONCE_LEN);
    char *proof = ev->key_proof.p ? arena_alloc(a, b64_len(ev->key_proof.n) + 1) : NULL;
    if (proof)
        json_put_string(w, "key_proof", span_of(proof, b64_encode(ev->key_proof, proof)));
    else if (ev->key_proof.p)
        w->out.failed = true;
    json_end(w);
}

enum ledger_rc line_set_field(struct arena *a, struct event *ev, const char *assignment,
                              struct ledger_err *err)
{
    const char *equals = strchr(assignment, '=');
    if (!equals)
        return ledger_fail(err, LEDGER_EINVAL, "%.60s: not of the form name=value", assignment);
    struct span name = span_of(assignment, (size_t)(equals - assignment));
    const struct field_def *def = kind_field(ev->kind, name);
    if (!def)
        return ledger_fail(err, LEDGER_EINVAL, "%s has no field \"%.*s\"", ev->kind->name,
                           SPAN_CLIP(name));
    struct value *v = &ev->fields[def->number - 1];
    if (v->type != VALUE_ABSENT)
        return ledger_fail(err, LEDGER_EINVAL, "%s is given twice", def->text);
    /* Values borrow from their text, which must not outlive the caller's argument. */
    struct span text = arena_copy(a, span_str(equals + 1));
    if (!text.p)
        return no_memory(err);
    return line_value_from_text(a, def, text, v, err);
}
