/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_event: building events (include/ledgerd/event.h) over the form of event lines (line.h) and the codec (event.h).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "batch.h"
#include "line.h"

#include <ledgerd/event.h>

#define EVENT_ARENA_MAX (32u * 1024u * 1024u)
#define JSON_TEXT_MAX (1024u * 1024u)

struct ledger_event {
    struct arena *a;
    struct event event;
    uint8_t nonce[NONCE_LEN];
    uint8_t key_proof[SIG_LEN_MAX];
};

LEDGER_API void ledger_event_free(struct ledger_event *ev)
{
    if (!ev)
        return;
    arena_free(ev->a);
    free(ev);
}

static enum ledger_rc event_make(struct ledger_event **out, struct ledger_err *err)
{
    *out = NULL;
    struct ledger_event *ev = calloc(1, sizeof *ev);
    if (!ev || !(ev->a = arena_new(EVENT_ARENA_MAX))) {
        free(ev);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    if (getrandom(ev->nonce, sizeof ev->nonce, 0) != (ssize_t)sizeof ev->nonce) {
        ledger_event_free(ev);
        return ledger_fail(err, LEDGER_EIO, "the system gives no random bytes");
    }
    *out = ev;
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_event_new(const char *kind, struct ledger_event **out, struct ledger_err *err)
{
    *out = NULL;
    const struct kind_def *def = kind_by_name(span_str(kind));
    if (!def)
        return ledger_fail(err, LEDGER_EINVAL, "no such kind of event: \"%.60s\"", kind);
    enum ledger_rc rc = event_make(out, err);
    if (rc != LEDGER_OK)
        return rc;
    (*out)->event.kind = def;
    (*out)->event.nonce = span_of((*out)->nonce, NONCE_LEN);
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_event_from_json(const char *json, size_t n, struct ledger_event **out, struct ledger_err *err)
{
    struct line line;
    *out = NULL;
    if (n > JSON_TEXT_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "an event's JSON has at most %u bytes", JSON_TEXT_MAX);
    struct ledger_event *ev = NULL;
    enum ledger_rc rc = event_make(&ev, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = line_parse(ev->a, span_of(json, n), &line, err);
    if (rc == LEDGER_OK && !line.event.kind)
        rc = ledger_fail(err, LEDGER_EINVAL, "kind: no such kind of event");
    if (rc != LEDGER_OK) {
        ledger_event_free(ev);
        return rc;
    }
    ev->event = line.event;
    if (!ev->event.nonce.p)
        ev->event.nonce = span_of(ev->nonce, NONCE_LEN);
    *out = ev;
    return LEDGER_OK;
}

static enum ledger_rc set_reference(struct ledger_event *ev, const char *value, struct ledger_err *err)
{
    if (!text_valid(span_str(value)))
        return ledger_fail(err, LEDGER_EINVAL, "reference: not a text of 1 to %d bytes", TEXT_MAX);
    ev->event.reference = arena_copy(ev->a, span_str(value));
    return ev->event.reference.p ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

static enum ledger_rc set_occurred(struct ledger_event *ev, const char *value, struct ledger_err *err)
{
    struct value v = {.type = VALUE_TIME};
    const char *fault = time_fault(span_str(value), &v.time_us);
    if (fault)
        return ledger_fail(err, LEDGER_EINVAL, "occurred: \"%.60s\" %s", value, fault);
    v.raw = arena_copy(ev->a, span_str(value));
    ev->event.occurred = v;
    return v.raw.p ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

LEDGER_API enum ledger_rc ledger_event_set(struct ledger_event *ev, const char *name, const char *value, struct ledger_err *err)
{
    ev->event.bytes = SPAN_NONE;
    if (strcmp(name, "reference") == 0)
        return set_reference(ev, value, err);
    if (strcmp(name, "occurred") == 0)
        return set_occurred(ev, value, err);
    const struct field_def *def = kind_field(ev->event.kind, span_str(name));
    if (!def)
        return ledger_fail(err, LEDGER_EINVAL, "%s has no field \"%.60s\"", ev->event.kind->name, name);
    /* The value belongs to the caller; what is made of it may borrow from it. */
    struct span text = arena_copy(ev->a, span_str(value));
    if (!text.p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    struct value v = {0};
    enum ledger_rc rc = line_value_from_text(ev->a, def, text, &v, err);
    if (rc != LEDGER_OK)
        return ledger_wrap(err, rc, "%s", name);
    ev->event.fields[def - ev->event.kind->fields] = v;
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_event_set_key_proof(struct ledger_event *ev, const uint8_t *proof, size_t n,
                                                     struct ledger_err *err)
{
    if (ev->event.kind->kind != KIND_PARTY_REGISTERED)
        return ledger_fail(err, LEDGER_EINVAL, "only PARTY_REGISTERED has a proof of possession");
    if (n == 0 || n > sizeof ev->key_proof)
        return ledger_fail(err, LEDGER_EINVAL, "a proof of possession has 1 to %zu bytes", sizeof ev->key_proof);
    memcpy(ev->key_proof, proof, n);
    ev->event.key_proof = span_of(ev->key_proof, n);
    ev->event.bytes = SPAN_NONE;
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_event_finish(struct ledger_event *ev, const uint8_t **bytes, size_t *n, struct ledger_err *err)
{
    struct refusal why = {0};
    if (!ev->event.bytes.p) {
        if (!event_check_form(&ev->event, &why))
            return ledger_fail(err, LEDGER_EREFUSED, "%s%s%s: %s", refusal_name(why.code), why.field[0] ? " in " : "",
                               why.field, why.text);
        ev->event.bytes = event_encode(ev->a, &ev->event);
        if (!ev->event.bytes.p)
            return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    *bytes = ev->event.bytes.p;
    *n = ev->event.bytes.n;
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_batch_add_event(struct ledger_batch *b, struct ledger_event *ev, struct ledger_err *err)
{
    const uint8_t *bytes;
    size_t n;
    enum ledger_rc rc = ledger_event_finish(ev, &bytes, &n, err);
    return rc == LEDGER_OK ? ledger_batch_add(b, bytes, n, err) : rc;
}

static enum ledger_rc render_event(struct arena *a, struct crypto *c, struct span bytes, char **json, struct ledger_err *err)
{
    struct event ev;
    struct refusal why = {0};
    struct json_writer w;
    enum ledger_rc rc = event_decode(c, a, bytes, &ev, &why, err);
    if (rc == LEDGER_EREFUSED)
        return ledger_fail(err, LEDGER_EINVAL, "not an event: %s: %s", why.field, why.text);
    if (rc != LEDGER_OK)
        return rc;
    json_writer_init(&w, a, false);
    event_to_json(a, &w, &ev);
    struct span text = json_written(&w);
    *json = text.p ? malloc(text.n + 1) : NULL;
    if (!*json)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    memcpy(*json, text.p, text.n);
    (*json)[text.n] = 0;
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_event_to_json(const uint8_t *bytes, size_t n, char **json, struct ledger_err *err)
{
    struct arena *a = arena_new(EVENT_ARENA_MAX);
    struct crypto *c = crypto_new();
    *json = NULL;
    enum ledger_rc rc = a && c ? render_event(a, c, span_of(bytes, n), json, err)
                               : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    crypto_free(c);
    arena_free(a);
    return rc;
}
