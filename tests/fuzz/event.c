/* SPDX-License-Identifier: Apache-2.0 */
/* event: one event has one encoding; and its JSON says all of it. */
#include "fuzz.h"

#include "event.h"
#include "line.h"
#include "related.h"

static enum ledger_rc count(void *ctx, enum chain_type type, struct span id)
{
    (void)type;
    HOLDS(id.n > 0);
    ++*(unsigned *)ctx;
    return LEDGER_OK;
}

FUZZ_TARGET(event)
{
    struct event ev, again;
    struct refusal why = {0};
    struct json_writer w;
    struct line l;
    unsigned n = 0;
    const struct related r = {f->a, count, &n};
    enum ledger_rc rc = event_decode(f->c, f->a, in, &ev, &why, NULL);
    HOLDS(rc != LEDGER_EREFUSED || (why.code && why.text[0]));
    if (rc)
        return false;
    HOLDS(span_eq(event_encode(f->a, &ev), in));
    HOLDS(related_of_event(&r, &ev) == LEDGER_OK);
    json_writer_init(&w, f->a, false);
    event_to_json(f->a, &w, &ev);
    struct span text = json_written(&w);
    HOLDS(line_parse(f->a, text, &l, NULL) == LEDGER_OK);
    struct span bytes = event_encode(f->a, &l.event);
    HOLDS(span_eq(bytes, in) && event_decode(f->c, f->a, bytes, &again, NULL, NULL) == LEDGER_OK && hash_eq(&again.id, &ev.id));
    return true;
}
