/* SPDX-License-Identifier: Apache-2.0 */
/* ledgerctl witness: makes, runs and shows a witness (witness_folder.h). */
#include "witness_audit.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define TIMEOUT_S 15 /* for a request to arrive, and for its answer to be taken; --timeout says otherwise */
#define WAIT_MS 6000 /* for a replay: less than submitters wait for an answer */

struct options {
    struct ctl_list logs, audits;
    const char *name, *url, *listen, *certificate, *key;
    bool plain;
};

/* ---- init ---- */

/* The keys of the ledgers that it is to audit, too. */
static int profile_logs(struct ctl *ctl, const struct ctl_list *profiles, struct ctl_list *logs)
{
    for (unsigned i = 0; i < profiles->n; i++) {
        struct ledger_profile *p;
        struct ledger_err err = {0};
        bool full = false;
        if (ledger_profile_open(profiles->v[i], NULL, &p, &err))
            return ctl_fail(ctl, EXIT_USAGE, "%s", err.msg);
        for (unsigned k = 0; k < p->policy->n_logs; k++) {
            char text[NOTE_NAME_MAX + 200];
            text[note_key_format(&p->policy->logs[k], text)] = 0;
            if (strcmp(p->policy->logs[k].name, p->origin) != 0)
                continue;
            if (logs->n == OPT_LIST_MAX)
                full = true;
            else
                logs->v[logs->n++] = ctl_text(ctl, "%s", text);
        }
        ledger_profile_close(p);
        if (full)
            return ctl_fail(ctl, EXIT_USAGE, "more than %d log keys: name fewer, and add the others to DIR/policy", OPT_LIST_MAX);
    }
    return EXIT_GOOD;
}

static int init(struct ctl *ctl, const char *dir, const struct options *o)
{
    struct witness w;
    struct ctl_list logs = o->logs;
    if (!o->name)
        return ctl_fail(ctl, EXIT_USAGE, "what is it called? Name it with --name, like witness.example/w1");
    const char *url = o->url ? o->url : "http://" WITNESS_LISTEN;
    int exit = profile_logs(ctl, &o->audits, &logs);
    if (!exit)
        exit = witness_make(ctl, dir, o->name, &logs);
    if (!exit)
        exit = witness_open(ctl, dir, false, &w);
    if (exit)
        return exit;
    const char *line = witness_policy_line(&w, url);
    if (ctl->json) {
        struct json_writer j;
        json_writer_init(&j, ctl->a, true);
        json_object(&j);
        json_put_string(&j, "name", span_str(w.vkey.name));
        json_put_string(&j, "vkey", span_str(w.vkey_text));
        json_put_string(&j, "policy", span_str(line));
        json_end(&j);
        exit = ctl_print_json(ctl, &j);
    } else {
        printf("%s\n%s\n", w.vkey_text, line);
        if (w.logs.n == 0)
            ctl_note(ctl, "It knows no log yet: add lines \"log VKEY\" to %s/policy.", dir);
    }
    witness_close(&w);
    return exit;
}

/* ---- run ---- */

static bool is_loopback(const char *listen)
{
    char host[PROFILE_HOST_MAX + 1], port[6];
    return !http_split(listen, host, port) || host_is_loopback(host); /* what is no address is refused elsewhere */
}

static int serve(struct witness *w, struct http_server *server, const struct options *o)
{
    struct ledger_err err = {0};
    const char *address = http_address(server), *path = witness_path(w, "address");
    if (file_replace(path, span_str(ctl_text(w->ctl, "%s\n", address)), &err))
        return ctl_fail(w->ctl, EXIT_USAGE, "%s", err.msg);
    witness_say(w, "listening on %s, %s, for %zu log%s", address, o->certificate ? "HTTPS" : "HTTP", w->logs.n, w->logs.n == 1 ? "" : "s");
    witness_say(w, "policy line: %s", witness_policy_line(w, ctl_text(w->ctl, "http%s://%s", o->certificate ? "s" : "", address)));
    bool asked = http_serve(server);
    unlink(path);
    if (!asked)
        return ctl_fail(w->ctl, EXIT_NO_ANSWER, "the HTTP server gave up: nothing is served any more");
    witness_say(w, "ended");
    return EXIT_GOOD;
}

static void wake(void *server)
{
    http_wake(server);
}

/* Whoever counts on its word for an audited ledger must not get that of a plain witness: a forgotten option says less than all those policies. */
static int all_audited(struct witness *w)
{
    for (size_t i = 0; i < w->logs.n; i++) {
        const struct witness_log *log = &w->states[i];
        if (log->audited && !log->auditor && !log->stopped[0])
            return ctl_fail(w->ctl, EXIT_USAGE, "%s was audited by this witness: name its profile with --audit, or move %s/audit/%s* away, and from now on it is "
                            "cosigned plainly", log->origin->keys[0].name, w->dir, log->hex);
        if (log->auditor)
            witness_say(w, "auditing origin=%s", log->origin->keys[0].name);
    }
    return EXIT_GOOD;
}

static int run(struct ctl *ctl, const char *dir, const struct options *o)
{
    struct witness w;
    struct http_server *server = NULL;
    struct ledger_err err = {0};
    if (!o->certificate && !o->plain && !is_loopback(o->listen))
        return ctl_fail(ctl, EXIT_USAGE, "beyond loopback addresses it takes --certificate and --key, or --plain (a proxy before it does TLS)");
    if (ctl->server && o->audits.n > 1)
        return ctl_fail(ctl, EXIT_USAGE, "--server is one ledger's; with several --audit each profile says where its server is");
    int exit = witness_open(ctl, dir, true, &w);
    if (exit)
        return exit;
    const struct http_options ho = {.listen = o->listen, .certificate = o->certificate, .key = o->key, .connections_max = CONNECTIONS_MAX,
                                    .timeout_s = ctl->timeout_ms ? ctl->timeout_ms / 1000 : TIMEOUT_S, .wait_ms = WAIT_MS, .body_max = WITNESS_BODY_MAX,
                                    .answer_cb = witness_answer, .ctx = &w};
    enum ledger_rc rc = http_open(&ho, &server, &err);
    exit = rc ? ctl_fail(ctl, EXIT_USAGE, "%s", err.msg) : EXIT_GOOD;
    for (unsigned i = 0; i < o->audits.n && !exit; i++)
        exit = auditor_start(&w, o->audits.v[i], wake, server);
    if (!exit)
        exit = all_audited(&w);
    if (!exit)
        exit = serve(&w, server, o);
    for (size_t i = 0; i < w.logs.n; i++)
        auditor_stop(w.states[i].auditor);
    http_close(server);
    witness_close(&w);
    return exit;
}

/* ---- status ---- */

static void log_json(struct json_writer *j, const struct witness_log *log)
{
    char root[2 * HASH_LEN + 1], time[TIME_TEXT_MAX];
    json_object(j);
    json_put_string(j, "origin", log->origin->name);
    json_put_bool(j, "cosigned", log->record.present);
    if (log->record.present) {
        hex_encode(span_of(log->record.root.b, HASH_LEN), root);
        time_format((int64_t)log->record.time_s * 1000000, time);
        json_put_uint(j, "size", log->record.size);
        json_put_string(j, "root", span_str(root));
        json_put_string(j, "cosigned_at", span_str(time));
    }
    if (log->known_replayed)
        json_put_uint(j, "replayed", log->replayed);
    json_put_bool(j, "stopped", log->stopped[0] != 0);
    if (log->stopped[0])
        json_put_string(j, "why", span_str(log->stopped));
    json_end(j);
}

static int status_json(struct witness *w)
{
    struct json_writer j;
    json_writer_init(&j, w->ctl->a, true);
    json_object(&j);
    json_put_string(&j, "name", span_str(w->vkey.name));
    json_put_string(&j, "vkey", span_str(w->vkey_text));
    json_name(&j, SPAN_LIT("logs"));
    json_array(&j);
    for (size_t i = 0; i < w->logs.n; i++)
        log_json(&j, &w->states[i]);
    json_end(&j);
    json_end(&j);
    return ctl_print_json(w->ctl, &j);
}

static void log_row(struct ctl *ctl, struct ctl_table *t, const struct witness_log *log)
{
    char root[2 * HASH_LEN + 1];
    const struct witness_record *r = &log->record;
    hex_encode(span_of(r->root.b, HASH_LEN), root);
    const char *cells[] = {ctl_span(ctl, log->origin->name), r->present ? ctl_text(ctl, "%" PRIu64, r->size) : "-",
                           r->present ? ctl_text(ctl, "%.16s", root) : "-",
                           r->present ? ctl_time(ctl, (int64_t)r->time_s * 1000000) : "-",
                           log->known_replayed ? ctl_text(ctl, "%" PRIu64, log->replayed) : "-",
                           log->stopped[0] ? ctl_paint(ctl, COLOR_BAD, ctl_text(ctl, "STOPPED: %s", ctl_span(ctl, span_str(log->stopped)))) : ""};
    ctl_table_row(t, cells);
}

static int status(struct ctl *ctl, const char *dir)
{
    static const char *const HEADINGS[] = {"origin", "size", "root", "cosigned at", "replayed", ""};
    struct witness w;
    int exit = witness_open(ctl, dir, false, &w);
    if (exit)
        return exit;
    if (ctl->json) {
        exit = status_json(&w);
    } else {
        struct ctl_table *t = ctl_table_new(ctl, 6, HEADINGS);
        printf("%s\n", w.vkey_text);
        for (size_t i = 0; i < w.logs.n; i++)
            log_row(ctl, t, &w.states[i]);
        ctl_table_print(t);
    }
    witness_close(&w);
    return exit;
}

int cmd_witness(struct ctl *ctl, int argc, char **argv)
{
    struct options o = {.listen = WITNESS_LISTEN};
    const struct ctl_opt opts[] = {
        {"name", OPT_TEXT, {.text = &o.name}, 0},     {"log", OPT_LIST, {.list = &o.logs}, 0},
        {"url", OPT_TEXT, {.text = &o.url}, 0},       {"listen", OPT_TEXT, {.text = &o.listen}, 0},
        {"certificate", OPT_TEXT, {.text = &o.certificate}, 0}, {"key", OPT_TEXT, {.text = &o.key}, 0},
        {"audit", OPT_LIST, {.list = &o.audits}, 0},  {"plain", OPT_FLAG, {.flag = &o.plain}, 0},
    };
    bool done;
    char **args;
    unsigned n;
    if (!ctl_options(ctl, argc, argv, opts, sizeof opts / sizeof opts[0], 2, 2, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    if (strcmp(args[0], "init") == 0)
        return init(ctl, args[1], &o);
    if (strcmp(args[0], "run") == 0)
        return run(ctl, args[1], &o);
    if (strcmp(args[0], "status") == 0)
        return status(ctl, args[1]);
    return ctl_fail(ctl, EXIT_USAGE, "witness does not know \"%s\"; it knows init, run and status", args[0]);
}
