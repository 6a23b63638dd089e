/* SPDX-License-Identifier: Apache-2.0 */
/* json: parsing and writing; what was written once is written the same again. The same bytes as a command line's assignment. */
#include "fuzz.h"

#include "line.h"

static struct span written(struct fuzz *f, const struct json *j)
{
    struct json_writer w;
    json_writer_init(&w, f->a, false);
    json_tree(&w, j);
    return json_written(&w);
}

static void assignment(struct fuzz *f, struct span in)
{
    char *text = arena_strdup(f->a, in);
    HOLDS(text != NULL);
    for (unsigned k = 64; k < 96; k++) {
        struct event ev = {.kind = kind_find(k)};
        struct refusal why = {0};
        if (ev.kind && line_set_field(f->a, &ev, text, NULL) == LEDGER_OK && !event_check_form(&ev, &why))
            HOLDS(why.text[0]);
    }
}

FUZZ_TARGET(json)
{
    const struct json *j, *again;
    struct ledger_err err = {0};
    assignment(f, in);
    enum ledger_rc rc = json_parse(f->a, in, &j, &err);
    HOLDS(rc == LEDGER_OK || err.msg[0]);
    if (rc)
        return false;
    struct span text = written(f, j);
    HOLDS(text.p && json_parse(f->a, text, &again, NULL) == LEDGER_OK && span_eq(written(f, again), text));
    return true;
}
