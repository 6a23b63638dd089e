/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerctl audit: reads the whole ledger and derives everything again — signatures, rules, states, links, chain map, tree — with
 * the same machine that the daemon writes with (replayer.h). What a client's reading has already proven is that the entries are the
 * leaves of the checkpoint's tree; the audit proves that these leaves are what the rules make of the signed events.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "ask.h"
#include "audit.h"

#define REPORT_BUDGET ((size_t)4 << 30)

struct audit_arguments { const char *at, *report, *state; };

/* The first thing that did not hold, or else the first that could not be checked. */
static const struct audit_finding *first_finding(const struct audit *au)
{
    const struct audit_finding *first = NULL;
    for (size_t i = 0; i < au->n_findings && au->findings[i].severity <= SEVERITY_MAJOR; i++) {
        const struct audit_finding *f = &au->findings[i];
        bool about = au->result == AUDIT_TAMPERED ? f->severity == SEVERITY_CRITICAL : f->index >= replayer_size(au->replayer);
        if (about && (!first || f->index < first->index))
            first = f;
    }
    return au->result == AUDIT_HOLDS ? NULL : first;
}

static const char *number(struct ctl *ctl, uint64_t n)
{
    return ctl_text(ctl, "%" PRIu64, n);
}

static void print_first(struct audit *au)
{
    const struct audit_finding *f = first_finding(au);
    struct ctl *ctl = au->ctl;
    if (f && f->index != VERDICT_NO_INDEX)
        printf("  entry #%" PRIu64 ": %s: %s\n", f->index, ctl_span(ctl, f->what), ctl_span(ctl, f->text));
    else if (f)
        printf("  %s: %s\n", ctl_span(ctl, f->what), ctl_span(ctl, f->text));
    if (au->by_severity[SEVERITY_CRITICAL] > 1)
        printf("  %zu critical findings in all\n", au->by_severity[SEVERITY_CRITICAL]);
}

static void print_text(struct audit *au)
{
    struct ctl *ctl = au->ctl;
    const struct audit_counts *n = &au->n;
    const char *const rows[][2] = {
        {"  entries replayed", number(ctl, n->entries)},
        {"    events", number(ctl, n->events)},
        {"    own entries", number(ctl, n->own)},
        {"    seals (map roots compared)", number(ctl, n->seals)},
        {"  signatures verified", au->hashes_only ? "none: left out on request" : number(ctl, n->signatures)},
        {"  links and state commitments derived", number(ctl, n->links)},
        {"  content withheld", number(ctl, n->withheld)},
        {"  content erased, states from commitments", number(ctl, n->erased)},
        {"  entries in the tree but not replayed", number(ctl, n->not_derived)},
    };
    enum ctl_color color = au->result != AUDIT_HOLDS ? COLOR_BAD : au->hashes_only ? COLOR_WARN : COLOR_GOOD;
    printf("%s  %.*s\n", ctl_paint(ctl, color, audit_result_text(au)), SPAN_FMT(au->last->snapshot.cp.origin));
    print_first(au);
    struct ctl_table *t = ctl_table_new(ctl, 2, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ctl_table_row(t, rows[i]);
    for (unsigned k = EVENT_KIND_FIRST; k <= EVENT_KIND_LAST; k++) {
        const char *cells[2] = {ctl_text(ctl, "  of %s", entry_kind_name(k)), number(ctl, au->n.by_kind[k])};
        if (au->n.by_kind[k])
            ctl_table_row(t, cells);
    }
    ctl_table_print(t);
    ctl_basis(ctl, au->last);
}

static int print_json(struct audit *au)
{
    struct json_writer w;
    const struct audit_finding *f = first_finding(au);
    json_writer_init(&w, au->ctl->a, true);
    json_object(&w);
    json_put_bool(&w, "holds", au->result == AUDIT_HOLDS);
    json_put_string(&w, "result", span_str(audit_result_text(au)));
    if (f && f->index != VERDICT_NO_INDEX)
        json_put_uint(&w, "at_entry", f->index);
    if (f) {
        json_put_string(&w, "what", f->what);
        json_put_string(&w, "text", f->text);
    }
    if (au->evidence.rc)
        json_put_string(&w, "error", span_str(au->evidence.msg));
    json_put_uint(&w, "entries_replayed", au->n.entries);
    json_put_uint(&w, "events", au->n.events);
    json_put_uint(&w, "own_entries", au->n.own);
    json_put_uint(&w, "seals", au->n.seals);
    json_put_bool(&w, "signatures_checked", !au->hashes_only);
    json_put_uint(&w, "signatures_verified", au->n.signatures);
    json_put_uint(&w, "links_derived", au->n.links);
    json_put_uint(&w, "content_withheld", au->n.withheld);
    json_put_uint(&w, "content_erased", au->n.erased);
    json_put_uint(&w, "not_replayed", au->n.not_derived);
    json_name(&w, SPAN_LIT("by_kind"));
    json_object(&w);
    for (unsigned k = EVENT_KIND_FIRST; k <= EVENT_KIND_LAST; k++)
        if (au->n.by_kind[k])
            json_put_uint(&w, entry_kind_name(k), au->n.by_kind[k]);
    json_end(&w);
    ctl_basis_json(&w, au->last);
    json_end(&w);
    return ctl_print_json(au->ctl, &w);
}

static int write_report(struct audit *au, const char *dir)
{
    struct ledger_err err = {0};
    struct span json = audit_json(au), page = audit_html(au);
    if (!json.p || !page.p)
        return ctl_fail(au->ctl, EXIT_NO_ANSWER, "out of memory");
    enum ledger_rc rc = file_replace(ctl_text(au->ctl, "%s/report.json", dir), json, &err);
    if (!rc)
        rc = file_replace(ctl_text(au->ctl, "%s/report.html", dir), page, &err);
    if (rc)
        return ctl_fail(au->ctl, EXIT_USAGE, "%s", err.msg);
    ctl_note(au->ctl, "Written: %s/report.json and %s/report.html", dir, dir);
    return EXIT_GOOD;
}

static int exit_of(struct audit *au)
{
    if (au->evidence.rc) {
        fprintf(stderr, "ledgerctl audit: %s\n", ctl_span(au->ctl, span_str(au->evidence.msg)));
        return EXIT_TAMPERED;
    }
    if (au->result == AUDIT_HOLDS && au->at == 0 && au->last->stale)
        return ctl_fail(au->ctl, EXIT_NO_ANSWER, "stale: the newest seal is %" PRId64 " s old, more than the profile's fresh_within",
                        au->last->age_s);
    return au->result == AUDIT_HOLDS ? EXIT_GOOD : au->result == AUDIT_TAMPERED ? EXIT_TAMPERED : EXIT_NO_ANSWER;
}

static int run(struct audit *au, const char *report)
{
    struct ledger_err err = {0};
    int exit = audit_read(au);
    if (exit)
        return exit;
    if (audit_finish(au, &err))
        return ctl_fail(au->ctl, EXIT_NO_ANSWER, "%s", err.msg);
    if (au->result == AUDIT_TAMPERED && !au->evidence.rc)
        ctl_keep_entry(au->ctl, au->bad.index,
                       ctl_text(au->ctl, "entry #%" PRIu64 ", %s: %s", au->bad.index, au->bad.what, au->bad.text),
                       au->last->snapshot.note, au->bad_record, &au->evidence);
    if (report)
        exit = write_report(au, report);
    if (!exit && au->ctl->json)
        exit = print_json(au);
    else if (!exit)
        print_text(au);
    return exit ? exit : exit_of(au);
}

static int with_state(struct audit *au, const struct audit_arguments *args)
{
    struct ctl *ctl = au->ctl;
    struct ledger_err err = {0};
    const struct ledger_profile *p = client_profile(ctl->client);
    const struct replayer_options o = {.skip_signatures = au->hashes_only, .go_on = true, .step = audit_step, .saving = audit_saving, .user = au};
    if (args->report && mkdir(args->report, 0777) != 0 && errno != EEXIST)
        return ctl_fail(ctl, EXIT_USAGE, "cannot make the folder %s: %s", args->report, strerror(errno));
    enum ledger_rc rc = replayer_open(args->state, p->origin, &p->index_key, &o, &au->replayer, &err);
    if (!rc)
        rc = audit_resume(au, &err);
    if (rc)
        return ctl_fail(ctl, rc == LEDGER_EINVAL ? EXIT_USAGE : EXIT_NO_ANSWER, "%s", err.msg);
    return run(au, args->report);
}

int cmd_audit(struct ctl *ctl, int argc, char **argv)
{
    struct audit_arguments args = {0};
    struct audit au = {.ctl = ctl, .bad_content = VERDICT_NO_INDEX};
    const struct ctl_opt opts[] = {{"at", OPT_TEXT, {.text = &args.at}, 0},
                                   {"report", OPT_TEXT, {.text = &args.report}, 0},
                                   {"state", OPT_TEXT, {.text = &args.state}, 0},
                                   {"hashes-only", OPT_FLAG, {.flag = &au.hashes_only}, 0}};
    bool done;
    char **rest;
    unsigned n;
    if (!ctl_options(ctl, argc, argv, opts, 4, 0, 0, &rest, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    if (!ask_number(ctl, "--at", args.at, &au.at))
        return EXIT_USAGE;
    int exit = ctl_connect(ctl);
    if (exit)
        return exit;
    au.a = arena_new(REPORT_BUDGET);
    exit = au.a ? with_state(&au, &args) : ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    reply_free(au.last);
    replayer_close(au.replayer);
    arena_free(au.a);
    return exit;
}
