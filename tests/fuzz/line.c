/* SPDX-License-Identifier: Apache-2.0 */
/* line: events as JSON lines; what passes the form check is encoded, decoded and written again. */
#include "fuzz.h"

#include "line.h"

FUZZ_TARGET(line)
{
    struct line l;
    struct event ev;
    struct refusal why = {0};
    struct ledger_err err = {0};
    struct json_writer w;
    enum ledger_rc rc = line_parse(f->a, in, &l, &err);
    HOLDS(rc == LEDGER_OK || err.msg[0]);
    if (rc)
        return false;
    if (!l.event.kind || !event_check_form(&l.event, &why))
        return false;
    if (!l.event.nonce.p)
        l.event.nonce = SPAN_LIT("0123456789abcdef");
    struct span bytes = event_encode(f->a, &l.event);
    HOLDS(bytes.p && event_decode(f->c, f->a, bytes, &ev, &why, NULL) == LEDGER_OK);
    json_writer_init(&w, f->a, true);
    event_to_json(f->a, &w, &ev);
    HOLDS(line_parse(f->a, json_written(&w), &l, NULL) == LEDGER_OK && span_eq(event_encode(f->a, &l.event), bytes));
    return true;
}
