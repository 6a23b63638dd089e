/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerctl dossier: one file with all that is needed to check an item without a server. What was fetched is verified as every answer
 * is, put together, and then verified again as somebody with nothing but the file would.
 */
#include "dossier_report.h"

#include <string.h>

#include "dossier_build.h"

#define DOSSIER_TIMEOUT_MS 600000u

struct making {
    struct ctl *ctl;
    struct chain_name subjects[1 + OPT_LIST_MAX];
    struct dossier_plan plan;
    const char *path;
    bool force;
};

static int read_withheld(struct making *m, const char *list)
{
    static const char comma[] = ",";
    const char **names = arena_alloc(m->ctl->a, (list ? strlen(list) + 1 : 1) * sizeof *names);
    if (!names)
        return ctl_fail(m->ctl, EXIT_NO_ANSWER, "out of memory");
    for (const char *at = list; at && *at;) {
        size_t n = strcspn(at, comma);
        names[m->plan.n_withheld++] = ctl_span(m->ctl, span_of(at, n));
        at += n + (at[n] == ',');
    }
    m->plan.withheld = names;
    return EXIT_GOOD;
}

static int print_json(struct making *m, const struct dossier_report *r, size_t bytes)
{
    struct json_writer w;
    json_writer_init(&w, m->ctl->a, true);
    json_object(&w);
    json_put_string(&w, "file", span_str(m->path));
    json_put_uint(&w, "bytes", bytes);
    json_put_uint(&w, "chains", r->proof.n_chains);
    json_put_uint(&w, "entries", r->proof.n_entries);
    json_put_uint(&w, "signatures", r->proof.signatures);
    json_put_uint(&w, "checkpoint_size", r->proof.snapshot.cp.size);
    json_end(&w);
    return ctl_print_json(m->ctl, &w);
}

static int write_out(struct making *m, const struct dossier_report *r, struct span file)
{
    struct ctl *ctl = m->ctl;
    int exit = ctl_write_file(ctl, m->path, file, m->force);
    if (exit)
        return exit;
    if (ctl->json)
        return print_json(m, r, file.n);
    printf("%s: %zu chains, %zu entries, %llu signatures, verified; %zu bytes, at checkpoint %llu of %.*s\n", m->path, r->proof.n_chains,
           r->proof.n_entries, (unsigned long long)r->proof.signatures, file.n, (unsigned long long)r->proof.snapshot.cp.size,
           SPAN_FMT(r->proof.snapshot.cp.origin));
    ctl_note(ctl, "It holds the key that turns names into chain keys and the signed content of these chains: give it to those who may read them.");
    return EXIT_GOOD;
}

/* What the log signed contradicts itself: then the dossier is written, as the evidence. Otherwise what the server said is kept as a claim. */
static int convict(struct making *m, const struct reply *reply, const struct dossier_report *r, struct span file, const struct ledger_err *err)
{
    if (r->verdict.kind != VERDICT_TAMPERED || !file.p || ctl_write_file(m->ctl, m->path, file, m->force))
        return ctl_tampered(m->ctl, reply, SPAN_NONE, err->msg);
    return ctl_tampered(m->ctl, reply, SPAN_NONE, ctl_text(m->ctl, "%s (`ledgerctl verify %s` shows it)", err->msg, m->path));
}

static int build(struct making *m, const struct reply *reply)
{
    struct ctl *ctl = m->ctl;
    const struct ledger_profile *p = client_profile(ctl->client);
    struct dossier_report r = {.ctl = ctl, .policy = p->policy};
    struct ledger_err err = {0};
    struct span file = SPAN_NONE;
    r.vf = (struct verifier){.c = ctl->c, .a = arena_new(4 * DOSSIER_BYTES_MAX), .policy = p->policy, .index_key = p->index_key, .origin = p->origin};
    if (!r.vf.a)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    enum ledger_rc rc = dossier_build(&r.vf, reply, &m->plan, &file, &r.d, &r.proof, &r.verdict, &err);
    int exit = rc == LEDGER_OK        ? write_out(m, &r, file)
               : rc == LEDGER_ETAMPER ? convict(m, reply, &r, file, &err)
                                      : ctl_fail_err(ctl, &err, (enum ledger_recorded)0);
    dossier_report_end(&r);
    return exit;
}

static enum ledger_rc consistency(void *ctx, struct arena *a, uint64_t size1, uint64_t size2, struct span *path, struct ledger_err *err)
{
    const struct making *m = ctx;
    const struct call_request rq = {.op = CALL_CONSISTENCY, .u.consistency = {size1, size2}};
    struct reply *r = NULL;
    enum ledger_rc rc = client_call(m->ctl->client, &rq, m->ctl->timeout_ms, &r, err);
    if (!rc)
        *path = arena_copy(a, r->u.consistency.path.n ? r->u.consistency.path : span_of("", 0));
    else if (r && r->err.rc)
        *err = r->err;
    reply_free(r);
    return rc || path->p ? rc : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

static int make(struct making *m)
{
    struct ctl *ctl = m->ctl;
    struct chain_name names[2 + OPT_LIST_MAX];
    struct reply *reply;
    int exit = ctl_profile(ctl);
    if (exit)
        return exit;
    if (!ctl->timeout_ms)
        ctl->timeout_ms = DOSSIER_TIMEOUT_MS;
    struct call_request call = {.op = CALL_PROVE, .u.prove = dossier_request(&m->plan, ctl->profile->origin, names)};
    exit = ctl_call(ctl, &call, &reply);
    if (exit)
        return exit;
    exit = build(m, reply);
    reply_free(reply);
    return exit;
}

int cmd_dossier(struct ctl *ctl, int argc, char **argv)
{
    struct making m = {.ctl = ctl, .plan = {.n_subjects = 1, .budget = DOSSIER_REPLAY_BYTES}};
    const char *type = NULL, *withheld = NULL;
    bool back = false, forward = false, done;
    struct ctl_list cois = {0};
    const struct ctl_opt opts[] = {{"output", OPT_TEXT, {.text = &m.path}, 'o'},   {"force", OPT_FLAG, {.flag = &m.force}, 0},
                                   {"back", OPT_FLAG, {.flag = &back}, 'b'},       {"forward", OPT_FLAG, {.flag = &forward}, 'f'},
                                   {"withhold", OPT_TEXT, {.text = &withheld}, 0}, {"type", OPT_TEXT, {.text = &type}, 't'},
                                   {"coi", OPT_LIST, {.list = &cois}, 0}};
    char **args;
    unsigned n;
    if (!ctl_options(ctl, argc, argv, opts, 7, 1, 1, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    if (!m.path)
        return ctl_fail(ctl, EXIT_USAGE, "where to? Name the dossier's file with -o FILE");
    if (back && forward)
        return ctl_fail(ctl, EXIT_USAGE, "one way at a time: --back or --forward");
    int exit = ask_name(ctl, type, args[0], &m.subjects[0]);
    for (unsigned i = 0; i < cois.n; i++)
        m.subjects[m.plan.n_subjects++] = (struct chain_name){CHAIN_SUBJECT, span_str(cois.v[i])};
    m.plan.subjects = m.subjects;
    m.plan.consistency = consistency;
    m.plan.consistency_ctx = &m;
    m.plan.closure = m.subjects[0].type != CHAIN_ITEM ? CLOSE_NONE : forward ? CLOSE_FORWARD : CLOSE_BACK;
    if (!exit)
        exit = read_withheld(&m, withheld);
    return exit ? exit : make(&m);
}
