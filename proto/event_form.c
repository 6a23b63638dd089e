/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_form.c: the checks of an event by itself, in the order of the rules ("Every event" 1 to 3):
 * kind, mandatory fields, unlisted fields, occurred, the type of each field, and the few values
 * that belong there.
 *
 * Works on decoded events and on events built from JSON, so nothing is assumed about values but
 * what value.h says. The first check that fails fills the refusal. May include: event.h,
 * event_value.h.
 */
#include "event.h"
#include "event_value.h"

#include <stdio.h>

/* Paths grow with each level: field[i], then .member, then .name; a refusal keeps what fits. */
#define PATH_ITEM 64
#define PATH_MEMBER 128
#define PATH_NAME 192
#define DEC_LIMIT (DEC_ONE * DEC_ONE * 1000000) /* 10^15, scaled by 10^9 */

static bool is_absent(const struct value *v)
{
    return v->type == VALUE_ABSENT || v->type == VALUE_EMPTY;
}

static bool is_decimal(const struct value *v)
{
    return (v->type == VALUE_DECIMAL || v->type == VALUE_INT) && v->num < DEC_LIMIT &&
           v->num > -DEC_LIMIT;
}

static bool is_scalar(const struct value *v)
{
    return is_decimal(v) || (v->type == VALUE_TEXT && text_valid(v->raw));
}

static bool is_any(const struct value *v)
{
    if (v->type == VALUE_TEXT)
        return v->raw.n <= TEXT_MAX && text_plain(v->raw);
    if (v->type == VALUE_OTHER)
        return v->raw.n > 0 && text_plain(v->raw);
    return v->type == VALUE_NULL || is_decimal(v);
}

/* Types whose values have no members; TYPE_ANY may be a map and is asked about it elsewhere. */
static bool has_type(enum field_type type, const struct enum_type *names, const struct value *v)
{
    switch (type) {
    case TYPE_ID:
        return v->type == VALUE_TEXT && id_valid(v->raw);
    case TYPE_TEXT:
    case TYPE_REF:
        return v->type == VALUE_TEXT && text_valid(v->raw);
    case TYPE_DECIMAL:
        return is_decimal(v);
    case TYPE_INT:
        return v->type == VALUE_INT && is_decimal(v) && v->num % DEC_ONE == 0;
    case TYPE_TIME:
        return v->type == VALUE_TIME;
    case TYPE_BOOL:
        return v->type == VALUE_BOOL;
    case TYPE_ENUM:
        return v->type == VALUE_ENUM && v->e >= 1 && v->e <= names->n;
    case TYPE_SCALAR:
        return is_scalar(v);
    case TYPE_ANY:
        return is_any(v);
    case TYPE_MAP:
    case TYPE_LIST_ID:
    case TYPE_LIST_TEXT:
    case TYPE_LIST_DECIMAL:
    case TYPE_LIST_ENUM:
    case TYPE_LIST_RECORD:
        break;
    }
    return false;
}

/* E_BAD_VALUE with the sentence that a VALUE_BAD brought along, or else what the type asks for. */
static bool refuse_type(struct refusal *why, const char *path, enum field_type type,
                        const struct value *v)
{
    if (v->type == VALUE_BAD && v->raw.n > 0)
        return refuse(why, E_BAD_VALUE, NULL, path, "%.*s", SPAN_FMT(v->raw));
    return refuse(why, E_BAD_VALUE, NULL, path, "%s must be %s", path, field_type_text(type));
}

static bool check_map(const char *path, const struct value *v, struct refusal *why)
{
    char at[PATH_NAME];
    if (v->type != VALUE_MAP)
        return refuse_type(why, path, TYPE_MAP, v);
    if (v->n > MAP_MAX)
        return refuse(why, E_BAD_VALUE, NULL, path, "a map of %zu names; at most %d", v->n,
                      MAP_MAX);
    for (size_t i = 0; i < v->n; i++) {
        snprintf(at, sizeof at, "%s.%.*s", path, SPAN_CLIP(v->names[i]));
        if (!text_valid(v->names[i]))
            return refuse(why, E_BAD_VALUE, NULL, path, "a name in %s must be %s", path,
                          field_type_text(TYPE_TEXT));
        if (i > 0 && span_cmp(v->names[i - 1], v->names[i]) >= 0)
            return refuse(why, E_BAD_VALUE, NULL, at, "the names of a map must ascend");
        if (!is_scalar(&v->items[i]))
            return refuse_type(why, at, TYPE_SCALAR, &v->items[i]);
    }
    return true;
}

/* A value that is no list. */
static bool check_single(const char *path, const struct field_def *def, enum field_type type,
                         const struct value *v, struct refusal *why)
{
    if (type == TYPE_MAP || (type == TYPE_ANY && v->type == VALUE_MAP))
        return check_map(path, v, why);
    return has_type(type, def->names, v) || refuse_type(why, path, type, v);
}

static bool check_record(const char *path, const struct field_def *def, const struct value *record,
                         struct refusal *why)
{
    char at[PATH_MEMBER];
    if (record->type != VALUE_RECORD || record->n != def->n_members) {
        if (record->type == VALUE_BAD)
            return refuse_type(why, path, TYPE_LIST_RECORD, record);
        return refuse(why, E_BAD_VALUE, NULL, path, "%s must be a record", path);
    }
    for (unsigned i = 0; i < def->n_members; i++) {
        const struct field_def *member = &def->members[i];
        snprintf(at, sizeof at, "%s.%s", path, member->text);
        if (member->mandatory && is_absent(&record->items[i]))
            return refuse(why, E_MISSING_FIELD, NULL, at, "%s is missing or empty", at);
    }
    if (record->raw.p) {
        snprintf(at, sizeof at, "%s.%.*s", path, SPAN_CLIP(record->raw));
        return refuse(why, E_BAD_VALUE, NULL, at, "%s has no member \"%.*s\"", def->text,
                      SPAN_CLIP(record->raw));
    }
    for (unsigned i = 0; i < def->n_members; i++) {
        const struct field_def *member = &def->members[i];
        snprintf(at, sizeof at, "%s.%s", path, member->text);
        if (!is_absent(&record->items[i]) &&
            !check_single(at, member, member->type, &record->items[i], why))
            return false;
    }
    return true;
}

static bool check_list(const struct field_def *def, const struct value *v, struct refusal *why)
{
    char at[PATH_ITEM];
    if (v->type != VALUE_LIST)
        return refuse_type(why, def->text, def->type, v);
    if (v->n > LIST_MAX)
        return refuse(why, E_BAD_VALUE, NULL, def->text, "a list of %zu members; at most %d", v->n,
                      LIST_MAX);
    enum field_type type = list_member_type(def->type);
    for (size_t i = 0; i < v->n; i++) {
        snprintf(at, sizeof at, "%s[%zu]", def->text, i);
        bool fits = type == TYPE_LIST_RECORD ? check_record(at, def, &v->items[i], why)
                                             : check_single(at, def, type, &v->items[i], why);
        if (!fits)
            return false;
    }
    return true;
}

static bool is_list(enum field_type type)
{
    return type == TYPE_LIST_RECORD || list_member_type(type) != type;
}

static bool check_types(const struct event *ev, struct refusal *why)
{
    for (unsigned i = 0; i < ev->kind->n_fields; i++) {
        const struct field_def *def = &ev->kind->fields[i];
        const struct value *v = &ev->fields[i];
        if (is_absent(v))
            continue;
        bool fits = is_list(def->type) ? check_list(def, v, why)
                                       : check_single(def->text, def, def->type, v, why);
        if (!fits)
            return false;
    }
    return true;
}

static bool check_values(const struct event *ev, struct refusal *why)
{
    enum event_kind kind = ev->kind->kind;
    if (kind == KIND_MATERIAL_RECEIVED || kind == KIND_COLLECTION_PERFORMED ||
        kind == KIND_LOT_DERIVED) {
        const struct value *quantity = event_get(ev, FIELD_QUANTITY);
        if (!quantity || quantity->num <= 0)
            return refuse(why, E_BAD_VALUE, NULL, "quantity", "quantity must be above 0");
    }
    if (kind == KIND_SHIPMENT_DISPATCHED && event_text(ev, FIELD_SHIPMENT).n > SHIPMENT_ID_MAX)
        return refuse(why, E_BAD_VALUE, NULL, "shipment",
                      "the id of a shipment has at most %d characters", SHIPMENT_ID_MAX);
    return true;
}

static bool may_be_foreign(enum event_kind kind)
{
    return kind == KIND_MATERIAL_RECEIVED || kind == KIND_COLLECTION_PERFORMED ||
           kind == KIND_LOT_CREATED;
}

/* An event that was not made ready for sending has no nonce yet. */
static bool check_envelope(const struct event *ev, struct refusal *why)
{
    if (!text_valid(ev->reference))
        return refuse(why, E_BAD_VALUE, NULL, "reference", "the reference must be %s",
                      field_type_text(TYPE_TEXT));
    if (ev->nonce.p && ev->nonce.n != NONCE_LEN)
        return refuse(why, E_BAD_VALUE, NULL, "nonce", "the nonce must be %d bytes", NONCE_LEN);
    if (ev->foreign.present && !may_be_foreign(ev->kind->kind))
        return refuse(why, E_BAD_VALUE, NULL, "foreign",
                      "%s does not take a reference to another ledger", ev->kind->name);
    if (ev->foreign.present && !text_valid(ev->foreign.origin))
        return refuse(why, E_BAD_VALUE, NULL, "foreign.origin", "foreign.origin must be %s",
                      field_type_text(TYPE_TEXT));
    if (ev->key_proof.p && ev->kind->kind != KIND_PARTY_REGISTERED)
        return refuse(why, E_BAD_VALUE, NULL, "key_proof", "%s does not take a key proof",
                      ev->kind->name);
    if (ev->key_proof.p && (ev->key_proof.n == 0 || ev->key_proof.n > SIG_LEN_MAX))
        return refuse(why, E_BAD_VALUE, NULL, "key_proof", "a key proof has 1 to %d bytes",
                      SIG_LEN_MAX);
    return true;
}

bool event_check_form(const struct event *ev, struct refusal *why)
{
    if (!ev->kind)
        return refuse(why, E_UNKNOWN_KIND, NULL, "kind", "this kind of event is not known");
    for (unsigned i = 0; i < ev->kind->n_fields; i++) {
        const struct field_def *def = &ev->kind->fields[i];
        if (def->mandatory && is_absent(&ev->fields[i]))
            return refuse(why, E_MISSING_FIELD, NULL, def->text, "%s is missing or empty",
                          def->text);
    }
    if (ev->unlisted.p) {
        char name[PATH_ITEM];
        snprintf(name, sizeof name, "%.*s", SPAN_CLIP(ev->unlisted));
        return refuse(why, E_BAD_VALUE, NULL, name, "%s has no field \"%s\"", ev->kind->name, name);
    }
    if (ev->occurred.type != VALUE_TIME)
        return refuse_type(why, "occurred", TYPE_TIME, &ev->occurred);
    return check_types(ev, why) && check_values(ev, why) && check_envelope(ev, why);
}
