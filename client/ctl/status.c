/* SPDX-License-Identifier: Apache-2.0 */
/* ledgerctl checkpoint, ledgerctl status: the latest checkpoint, verified; the server's own figures, on its word. */
#include "ask.h"
#include "evidence.h"
#include "inquest.h"

#define AGAINST_BYTES_MAX ((size_t)128 << 20)

/* One signed note, or the ones in an evidence file. */
static int read_others(struct ctl *ctl, const char *path, struct snapshot_request *rq)
{
    struct span bytes;
    const char *origin;
    struct evidence e;
    struct ledger_err err = {0};
    int exit = ctl_read_file(ctl, path, AGAINST_BYTES_MAX, &bytes);
    if (exit || !is_evidence(bytes)) {
        *rq = (struct snapshot_request){.n = exit ? 0 : 1, .notes = {bytes}};
        return exit;
    }
    if (evidence_parse(ctl->a, bytes, &origin, &e, &err))
        return ctl_fail(ctl, EXIT_USAGE, "%s: %s", path, err.msg);
    if (e.known.p)
        rq->notes[rq->n++] = e.known;
    if (e.received.p)
        rq->notes[rq->n++] = e.received;
    return rq->n ? EXIT_GOOD : ctl_fail(ctl, EXIT_USAGE, "%s: there is no checkpoint in it", path);
}

int cmd_checkpoint(struct ctl *ctl, int argc, char **argv)
{
    const char *against = NULL;
    const struct ctl_opt opts[] = {{"against", OPT_TEXT, {.text = &against}, 0}};
    bool done;
    char **args;
    unsigned n;
    struct reply *r;
    struct call_request call = {.op = CALL_SNAPSHOT};
    if (!ctl_options(ctl, argc, argv, opts, 1, 0, 0, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = against ? read_others(ctl, against, &call.u.snapshot) : EXIT_GOOD;
    if (!exit)
        exit = ctl_call(ctl, &call, &r);
    if (exit)
        return exit;
    if (against)
        ctl_note(ctl, "One log: the server has proven that it leads from the smallest of these checkpoints to the largest.");
    if (ctl->json) {
        struct json_writer w;
        json_writer_init(&w, ctl->a, true);
        json_object(&w);
        ctl_basis_json(&w, r);
        json_put_string(&w, "note", r->snapshot.note);
        json_end(&w);
        exit = ctl_print_json(ctl, &w);
    } else {
        fwrite(r->snapshot.note.p, 1, r->snapshot.note.n, stdout);
    }
    reply_free(r);
    return exit;
}

static int status_json(struct ctl *ctl, const struct reply *snapshot, const struct reply *r)
{
    struct json_writer w;
    json_writer_init(&w, ctl->a, true);
    json_object(&w);
    ctl_basis_json(&w, snapshot);
    json_put_uint(&w, "sealed_s_ago", (uint64_t)(snapshot->age_s > 0 ? snapshot->age_s : 0));
    json_name(&w, SPAN_LIT("server"));
    json_object(&w);
    for (size_t i = 0; i < r->u.status.n; i++) {
        const struct status_metric *m = &r->u.status.metrics[i];
        json_name(&w, span_str(m->name));
        if (m->text && m->text[0])
            json_string(&w, span_str(m->text));
        else
            json_number(&w, span_str(ctl_text(ctl, "%.15g", m->value)));
    }
    json_end(&w);
    json_end(&w);
    return ctl_print_json(ctl, &w);
}

static void status_text(struct ctl *ctl, const struct reply *snapshot, const struct reply *r)
{
    struct ctl_table *t = ctl_table_new(ctl, 2, NULL);
    for (size_t i = 0; i < r->u.status.n; i++) {
        const struct status_metric *m = &r->u.status.metrics[i];
        const char *value = m->text && m->text[0] ? ctl_span(ctl, span_str(m->text)) : ctl_text(ctl, "%.15g", m->value);
        const char *cells[2] = {ctl_text(ctl, "  %s", m->name), value};
        ctl_table_row(t, cells);
    }
    ctl_table_print(t);
    printf("These figures are the server's word.\n");
    ctl_basis(ctl, snapshot);
}

int cmd_status(struct ctl *ctl, int argc, char **argv)
{
    bool done;
    char **args;
    unsigned n;
    struct reply *snapshot, *r;
    struct call_request latest = {.op = CALL_SNAPSHOT}, call = {.op = CALL_STATUS};
    if (!ctl_options(ctl, argc, argv, NULL, 0, 0, 0, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = ctl_call(ctl, &latest, &snapshot);
    if (exit)
        return exit;
    bool stale = snapshot->stale;
    exit = ctl_call(ctl, &call, &r);
    if (!exit && ctl->json)
        exit = status_json(ctl, snapshot, r);
    else if (!exit)
        status_text(ctl, snapshot, r);
    reply_free(r);
    reply_free(snapshot);
    return exit ? exit : stale ? EXIT_NO_ANSWER : EXIT_GOOD;
}
