/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerctl dossier: one file with all that is needed to check an item without a server. What was fetched is verified as every answer
 * is, put together, and then verified again as somebody with nothing but the file would.
 */
#include "dossier_report.h"

#include <string.h>

struct making {
    struct ctl *ctl;
    struct chain_name subjects[DOSSIER_SUBJECTS_MAX];
    struct dossier_making made;
};

static int read_withheld(struct making *m, const char *list)
{
    static const char comma[] = ",";
    const char **names = arena_alloc(m->ctl->a, (list ? strlen(list) + 1 : 1) * sizeof *names);
    if (!names)
        return ctl_fail(m->ctl, EXIT_NO_ANSWER, "out of memory");
    for (const char *at = list; at && *at;) {
        size_t n = strcspn(at, comma);
        names[m->made.plan.n_withheld++] = ctl_span(m->ctl, span_of(at, n));
        at += n + (at[n] == ',');
    }
    m->made.plan.withheld = names;
    return EXIT_GOOD;
}

static int print_json(struct making *m)
{
    const struct dossier_report *r = &m->made.report;
    struct json_writer w;
    json_writer_init(&w, m->ctl->a, true);
    json_object(&w);
    json_put_string(&w, "file", span_str(m->made.path));
    json_put_uint(&w, "bytes", m->made.file.n);
    json_put_uint(&w, "chains", r->proof.n_chains);
    json_put_uint(&w, "entries", r->proof.n_entries);
    json_put_uint(&w, "signatures", r->proof.signatures);
    json_put_uint(&w, "checkpoint_size", r->proof.snapshot.cp.size);
    json_end(&w);
    return ctl_print_json(m->ctl, &w);
}

static int write_out(struct making *m)
{
    struct ctl *ctl = m->ctl;
    const struct dossier_report *r = &m->made.report;
    int exit = ctl_write_file(ctl, m->made.path, m->made.file, m->made.force);
    if (exit)
        return exit;
    if (ctl->json)
        return print_json(m);
    printf("%s: %zu chains, %zu entries, %llu signatures, verified; %zu bytes, at checkpoint %llu of %.*s\n", m->made.path, r->proof.n_chains,
           r->proof.n_entries, (unsigned long long)r->proof.signatures, m->made.file.n, (unsigned long long)r->proof.snapshot.cp.size,
           SPAN_FMT(r->proof.snapshot.cp.origin));
    ctl_note(ctl, "It holds the key that turns names into chain keys and the signed content of these chains: give it to those who may read them.");
    return EXIT_GOOD;
}

int cmd_dossier(struct ctl *ctl, int argc, char **argv)
{
    struct making m = {.ctl = ctl, .made = {.ctl = ctl, .plan.n_subjects = 1}};
    const char *type = NULL, *withheld = NULL;
    bool back = false, forward = false, done;
    struct ctl_list cois = {0};
    const struct ctl_opt opts[] = {{"output", OPT_TEXT, {.text = &m.made.path}, 'o'},   {"force", OPT_FLAG, {.flag = &m.made.force}, 0},
                                   {"back", OPT_FLAG, {.flag = &back}, 'b'},       {"forward", OPT_FLAG, {.flag = &forward}, 'f'},
                                   {"withhold", OPT_TEXT, {.text = &withheld}, 0}, {"type", OPT_TEXT, {.text = &type}, 't'},
                                   {"coi", OPT_LIST, {.list = &cois}, 0}};
    char **args;
    unsigned n;
    if (!ctl_options(ctl, argc, argv, opts, 7, 1, 1, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    if (!m.made.path)
        return ctl_fail(ctl, EXIT_USAGE, "where to? Name the dossier's file with -o FILE");
    if (back && forward)
        return ctl_fail(ctl, EXIT_USAGE, "one way at a time: --back or --forward");
    int exit = ask_name(ctl, type, args[0], &m.subjects[0]);
    for (unsigned i = 0; i < cois.n; i++)
        m.subjects[m.made.plan.n_subjects++] = (struct chain_name){CHAIN_SUBJECT, span_str(cois.v[i])};
    m.made.plan.subjects = m.subjects;
    m.made.plan.closure = m.subjects[0].type != CHAIN_ITEM ? CLOSE_NONE : forward ? CLOSE_FORWARD : CLOSE_BACK;
    if (!exit)
        exit = read_withheld(&m, withheld);
    if (!exit)
        exit = dossier_make(&m.made);
    if (!exit)
        exit = write_out(&m);
    dossier_making_end(&m.made);
    return exit;
}
