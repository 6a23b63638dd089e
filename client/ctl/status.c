/* SPDX-License-Identifier: Apache-2.0 */
/* ledgerctl checkpoint, ledgerctl status: the latest checkpoint, verified; the server's own figures, on its word. */
#include "ask.h"

#include <string.h>

static void log_key_json(struct json_writer *w, const struct log_key_in_force *key)
{
    json_name(w, SPAN_LIT("log_key"));
    json_object(w);
    json_put_string(w, "vkey", span_str(key->vkey));
    json_put_uint(w, "from_size", key->from_size);
    json_put_uint(w, "changes_followed", key->changes);
    json_end(w);
}

/* With cosignatures where there are some: the checkpoint that the answer stands on, or the one that was cosigned in its stead. */
static struct span note_of(const struct reply *r)
{
    if (r->cosigned.note.n)
        return r->cosigned.note;
    return r->witnessed.present && r->witnessed.cp.size == r->snapshot.cp.size ? r->witnessed.note : r->snapshot.note;
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
        json_put_string(&w, "note", note_of(r));
        json_end(&w);
        exit = ctl_print_json(ctl, &w);
    } else {
        struct span note = note_of(r);
        fwrite(note.p, 1, note.n, stdout);
    }
    reply_free(r);
    return exit;
}

/* Figures of one witness each: the text is its name. */
static bool is_of_witness(const struct status_metric *m)
{
    return strncmp(m->name, "witness_", strlen("witness_")) == 0 && m->text && m->text[0];
}

static const char *metric_name(struct ctl *ctl, const struct status_metric *m)
{
    return is_of_witness(m) ? ctl_text(ctl, "%s:%s", m->name, ctl_span(ctl, span_str(m->text))) : m->name;
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
        json_name(&w, span_str(metric_name(ctl, m)));
        if (m->text && m->text[0] && !is_of_witness(m))
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
        const char *value = m->text && m->text[0] && !is_of_witness(m) ? ctl_span(ctl, span_str(m->text)) : ctl_text(ctl, "%.15g", m->value);
        const char *cells[2] = {ctl_text(ctl, "  %s", metric_name(ctl, m)), value};
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
