/* SPDX-License-Identifier: Apache-2.0 */
/* ledgerctl checkpoint, ledgerctl status: the latest checkpoint, verified; the server's own figures, on its word. */
#include "ask.h"

static void log_key_json(struct json_writer *w, const struct log_key_in_force *key)
{
    json_name(w, SPAN_LIT("log_key"));
    json_object(w);
    json_put_string(w, "vkey", span_str(key->vkey));
    json_put_uint(w, "from_size", key->from_size);
    json_put_uint(w, "changes_followed", key->changes);
    json_end(w);
}

int cmd_checkpoint(struct ctl *ctl, int argc, char **argv)
{
    bool done;
    char **args;
    unsigned n;
    struct reply *r;
    struct call_request call = {.op = CALL_SNAPSHOT};
    if (!ctl_options(ctl, argc, argv, NULL, 0, 0, 0, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = ctl_call(ctl, &call, &r);
    if (exit)
        return exit;
    if (ctl->json) {
        struct json_writer w;
        json_writer_init(&w, ctl->a, true);
        json_object(&w);
        struct log_key_in_force key;
        ctl_basis_json(&w, r);
        client_log_key(ctl->client, &key);
        log_key_json(&w, &key);
        json_put_string(&w, "note", r->snapshot.note);
        json_end(&w);
        exit = ctl_print_json(ctl, &w);
    } else {
        fwrite(r->snapshot.note.p, 1, r->snapshot.note.n, stdout);
    }
    reply_free(r);
    return exit;
}

static int status_json(struct ctl *ctl, const struct log_key_in_force *key, const struct reply *snapshot, const struct reply *r)
{
    struct json_writer w;
    json_writer_init(&w, ctl->a, true);
    json_object(&w);
    ctl_basis_json(&w, snapshot);
    json_put_uint(&w, "sealed_s_ago", (uint64_t)(snapshot->age_s > 0 ? snapshot->age_s : 0));
    log_key_json(&w, key);
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

static void status_text(struct ctl *ctl, const struct log_key_in_force *key, const struct reply *snapshot, const struct reply *r)
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
    if (!ctl->quiet)
        printf("Log key in force: %s%s\n", key->vkey,
               key->from_size ? ctl_text(ctl, ", from size %llu on; %zu change%s followed", (unsigned long long)key->from_size, key->changes,
                                         key->changes == 1 ? "" : "s")
                              : "");
    ctl_basis(ctl, snapshot);
}

int cmd_status(struct ctl *ctl, int argc, char **argv)
{
    bool done;
    char **args;
    unsigned n;
    struct log_key_in_force key;
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
    client_log_key(ctl->client, &key);
    if (!exit && ctl->json)
        exit = status_json(ctl, &key, snapshot, r);
    else if (!exit)
        status_text(ctl, &key, snapshot, r);
    reply_free(r);
    reply_free(snapshot);
    return exit ? exit : stale ? EXIT_NO_ANSWER : EXIT_GOOD;
}
