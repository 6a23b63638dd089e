/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event.c: reading the fields of an event, and its id. Nothing here fails or allocates.
 * May include: event.h.
 */
#include "event.h"

/* Rules, "Every event" 2: an optional bool that is false counts as absent. */
static bool counts_as_absent(const struct field_def *def, const struct value *v)
{
    if (v->type == VALUE_ABSENT || v->type == VALUE_EMPTY)
        return true;
    return v->type == VALUE_BOOL && !def->mandatory && !v->b;
}

const struct value *event_get(const struct event *ev, enum field_name name)
{
    const struct field_def *def = ev->kind ? kind_field_at(ev->kind, name) : NULL;
    if (!def)
        return NULL;
    const struct value *v = &ev->fields[def->number - 1];
    return counts_as_absent(def, v) ? NULL : v;
}

struct span event_text(const struct event *ev, enum field_name name)
{
    const struct value *v = event_get(ev, name);
    if (!v || (v->type != VALUE_TEXT && v->type != VALUE_TIME))
        return SPAN_NONE;
    return v->raw;
}

bool event_true(const struct event *ev, enum field_name name)
{
    const struct value *v = event_get(ev, name);
    return v && v->type == VALUE_BOOL && v->b;
}

unsigned event_enum(const struct event *ev, enum field_name name)
{
    const struct value *v = event_get(ev, name);
    return v && v->type == VALUE_ENUM ? v->e : 0;
}

const struct value *record_get(const struct field_def *def, const struct value *record,
                               const char *member)
{
    if (record->type != VALUE_RECORD)
        return NULL;
    for (unsigned i = 0; i < def->n_members && i < record->n; i++) {
        if (span_eq(span_str(def->members[i].text), span_str(member)))
            return counts_as_absent(&def->members[i], &record->items[i]) ? NULL : &record->items[i];
    }
    return NULL;
}

void event_id(struct crypto *c, struct span bytes, struct hash *out)
{
    struct hfield field = HVAR(bytes);
    crypto_labelled(c, LABEL_EVENT, &field, 1, out);
}
