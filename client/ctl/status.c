/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerctl checkpoint, ledgerctl status: the latest checkpoint, verified; the server's own figures, on its word; and when certificates
 * expire: those that the server tells of, and the profile's own.
 */
#include <string.h>

#include "ask.h"
#include "evidence.h"
#include "inquest.h"
#include "tls.h"

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

#define EXPIRES_SOON_DAYS 30

/* The server's figure that stands once for each certificate. */
static bool is_expiry(const struct status_metric *m)
{
    return strcmp(m->name, STATUS_EXPIRY) == 0;
}

struct expiry_row { const char *what; double days; };
struct expiry_rows { struct expiry_row *row; size_t n; };

static double days_left(int64_t not_after_s)
{
    return ((double)not_after_s - (double)ctl_now_us() / 1e6) / 86400;
}

/* The profile's own first; a plain connection has none. */
static bool gather_expiry(struct ctl *ctl, const struct reply *r, struct expiry_rows *out)
{
    int64_t own_s, ca_s;
    *out = (struct expiry_rows){arena_alloc(ctl->a, (r->u.status.n + 2) * sizeof *out->row), 0};
    if (!out->row)
        return false;
    if (!ctl->profile->plain && tls_profile_expiry(ctl->profile, &own_s, &ca_s, NULL) == LEDGER_OK) {
        out->row[out->n++] = (struct expiry_row){"this profile's certificate", days_left(own_s)};
        out->row[out->n++] = (struct expiry_row){"this profile's authority", days_left(ca_s)};
    }
    for (size_t i = 0; i < r->u.status.n; i++) {
        const struct status_metric *m = &r->u.status.metrics[i];
        if (is_expiry(m) && m->text)
            out->row[out->n++] = (struct expiry_row){m->text, m->value};
    }
    return true;
}

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

static void expiry_json(struct json_writer *w, const struct expiry_rows *e)
{
    json_name(w, SPAN_LIT("expiry"));
    json_array(w);
    for (size_t i = 0; i < e->n; i++) {
        json_object(w);
        json_put_string(w, "what", span_str(e->row[i].what));
        json_name(w, SPAN_LIT("days"));
        json_double(w, e->row[i].days);
        json_end(w);
    }
    json_end(w);
}

static const char *metric_name(struct ctl *ctl, const struct status_metric *m)
{
    return status_of_witness(m) ? ctl_text(ctl, "%s:%s", m->name, ctl_span(ctl, span_str(m->text))) : ctl_word(ctl, m->name);
}

static void successor_json(struct ctl *ctl, struct json_writer *w, const struct successor *s);
static void successor_text(struct ctl *ctl, const struct successor *s);

static int status_json(struct ctl *ctl, const struct log_key_in_force *key, const struct reply *snapshot, const struct reply *r,
                       const struct expiry_rows *e, const struct successor *former)
{
    struct json_writer w;
    json_writer_init(&w, ctl->a, true);
    json_object(&w);
    ctl_basis_json(&w, snapshot);
    successor_json(ctl, &w, former);
    json_put_uint(&w, "sealed_s_ago", (uint64_t)(snapshot->age_s > 0 ? snapshot->age_s : 0));
    log_key_json(&w, key);
    json_name(&w, SPAN_LIT("server"));
    json_object(&w);
    for (size_t i = 0; i < r->u.status.n; i++) {
        const struct status_metric *m = &r->u.status.metrics[i];
        if (is_expiry(m))
            continue;
        json_name(&w, span_str(metric_name(ctl, m)));
        if (m->text && m->text[0] && !status_of_witness(m))
            json_string(&w, span_str(m->text));
        else
            json_double(&w, m->value);
    }
    json_end(&w);
    expiry_json(&w, e);
    json_end(&w);
    return ctl_print_json(ctl, &w);
}

static void expiry_text(struct ctl *ctl, const struct expiry_rows *e)
{
    static const char *const headings[] = {"  CERTIFICATE", "EXPIRES IN"};
    struct ctl_table *t = ctl_table_new(ctl, 2, headings);
    for (size_t i = 0; i < e->n; i++) {
        double days = e->row[i].days;
        const char *left = days < 0 ? ctl_text(ctl, "expired %.0f days ago", -days) : ctl_text(ctl, "%.0f days", days);
        const char *cells[2] = {ctl_text(ctl, "  %s", ctl_span(ctl, span_str(e->row[i].what))),
                                days < EXPIRES_SOON_DAYS ? ctl_paint(ctl, days < 0 ? COLOR_BAD : COLOR_WARN, left) : left};
        ctl_table_row(t, cells);
    }
    if (e->n)
        ctl_table_print(t);
}

static void status_text(struct ctl *ctl, const struct log_key_in_force *key, const struct reply *snapshot, const struct reply *r,
                        const struct expiry_rows *e, const struct successor *former)
{
    struct ctl_table *t = ctl_table_new(ctl, 2, NULL);
    for (size_t i = 0; i < r->u.status.n; i++) {
        const struct status_metric *m = &r->u.status.metrics[i];
        if (is_expiry(m))
            continue;
        const char *value = m->text && m->text[0] && !status_of_witness(m) ? ctl_span(ctl, span_str(m->text)) : ctl_text(ctl, "%.15g", m->value);
        const char *cells[2] = {ctl_text(ctl, "  %s", metric_name(ctl, m)), value};
        ctl_table_row(t, cells);
    }
    ctl_table_print(t);
    expiry_text(ctl, e);
    printf("These figures are the server's word.\n");
    if (former)
        successor_text(ctl, former);
    if (!ctl->quiet)
        printf("Log key in force: %s%s\n", key->vkey,
               key->from_size ? ctl_text(ctl, ", from size %llu on; %zu change%s followed", (unsigned long long)key->from_size, key->changes,
                                         key->changes == 1 ? "" : "s")
                              : "");
    ctl_basis(ctl, snapshot);
}

/* Entry 1 of a ledger that goes on for another one says so. NULL: it is none of those. */
static int read_successor(struct ctl *ctl, struct reply **r, const struct successor **out)
{
    const struct call_request call = {.op = CALL_ENTRIES, .u.entries = {.cursor.next = 1, .entries_max = 1}};
    struct successor *s = arena_alloc(ctl->a, sizeof *s);
    *out = NULL;
    int exit = ctl_call(ctl, &call, r);
    if (exit || r[0]->u.entries.n == 0 || !s)
        return exit;
    const struct read_entry *e = &r[0]->u.entries.entries[0];
    if (e->entry.header.kind == OWN_SUCCESSOR && successor_check(ctl->c, ctl->a, span_str(ctl->profile->origin), e->raw.event, s, NULL) == LEDGER_OK)
        *out = s;
    return exit;
}

static uint64_t former_size(struct ctl *ctl, const struct successor *s)
{
    struct note note;
    struct checkpoint cp = {.size = 0};
    if (note_parse(ctl->a, s->note, &note, NULL) == LEDGER_OK)
        (void)!checkpoint_parse(note.text, &cp, NULL);
    return cp.size;
}

static void successor_text(struct ctl *ctl, const struct successor *s)
{
    const char *names = "";
    for (unsigned i = 0; i < s->n; i++)
        names = ctl_text(ctl, "%s%s%s", names, i ? ", " : "", ctl_span(ctl, s->approvers[i].party));
    printf("Successor of %s, which ended with %llu entries: %s. Approved by %s; that these were their keys there is for the former ledger's "
           "receipts to show.\n", ctl_span(ctl, s->origin), (unsigned long long)former_size(ctl, s), ctl_span(ctl, s->reason), names);
}

static void successor_json(struct ctl *ctl, struct json_writer *w, const struct successor *s)
{
    char key[KEY_TEXT_MAX];
    json_name(w, SPAN_LIT("successor_of"));
    if (!s) {
        json_null(w);
        return;
    }
    json_object(w);
    json_put_string(w, "origin", s->origin);
    json_put_uint(w, "size", former_size(ctl, s));
    json_put_string(w, "checkpoint", s->note);
    json_put_string(w, "reason", s->reason);
    json_name(w, SPAN_LIT("approved_by"));
    json_array(w);
    for (unsigned i = 0; i < s->n; i++) {
        key_text_format((enum sig_alg)s->approvers[i].alg, s->approvers[i].key, key);
        json_object(w);
        json_put_string(w, "party", s->approvers[i].party);
        json_put_string(w, "key", span_str(key));
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

int cmd_status(struct ctl *ctl, int argc, char **argv)
{
    bool done;
    char **args;
    unsigned n;
    struct log_key_in_force key;
    struct reply *snapshot, *r, *first = NULL;
    const struct successor *former;
    struct call_request latest = {.op = CALL_SNAPSHOT}, call = {.op = CALL_STATUS};
    if (!ctl_options(ctl, argc, argv, NULL, 0, 0, 0, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = ctl_call(ctl, &latest, &snapshot);
    if (exit)
        return exit;
    bool stale = snapshot->stale;
    struct expiry_rows expiry;
    exit = ctl_call(ctl, &call, &r);
    if (!exit)
        exit = read_successor(ctl, &first, &former);
    client_log_key(ctl->client, &key);
    if (!exit && !gather_expiry(ctl, r, &expiry))
        exit = ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    else if (!exit && ctl->json)
        exit = status_json(ctl, &key, snapshot, r, &expiry, former);
    else if (!exit)
        status_text(ctl, &key, snapshot, r, &expiry, former);
    reply_free(first);
    reply_free(r);
    reply_free(snapshot);
    return exit ? exit : stale ? EXIT_NO_ANSWER : EXIT_GOOD;
}
