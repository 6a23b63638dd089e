/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerctl check: may this item be used for that purpose at that time? Fetches the item's whole lineage with everything that its
 * states name, all proven at one fresh checkpoint, and asks the same questions of it as the ledger's judge would — here, not at the
 * server. FIT, or NOT FIT with every reason.
 */
#include <string.h>

#include "dossier_report.h"
#include "standing.h"

#define SET_BUDGET ((size_t)2 << 30)

struct inquiry {
    struct ctl *ctl;
    const char *purpose_name;
    struct standing_query q;
    struct findings found;
    bool deep;
    struct dossier_making made; /* deep */
};

static bool purpose_of(const char *text, enum purpose *out)
{
    static const char *const names[] = {"administer", "consume", "dispatch", "release"};
    for (unsigned i = 0; text && i < 4; i++)
        if (strcmp(names[i], text) == 0) {
            *out = (enum purpose)(i + 1);
            return true;
        }
    return false;
}

static int incomplete(struct inquiry *in, const struct proven_set *set, const struct reply *r)
{
    struct hash key;
    if (!proven_set_missing(set, &key))
        return EXIT_GOOD;
    for (size_t i = 0; i < r->u.prove.n; i++)
        if (r->u.prove.subjects[i].present && !r->u.prove.subjects[i].opened)
            return ctl_fail(in->ctl, EXIT_NO_ANSWER, "the state of %s is withheld from this certificate: no verdict without it",
                            ctl_span(in->ctl, r->u.prove.subjects[i].name.id));
    return ctl_tampered(in->ctl, r, SPAN_NONE, "the server left out something that the proven states name: no verdict without it");
}

/* The judge's questions over the set of what was proven. */
static int answer(struct inquiry *in, const struct reply *r)
{
    struct ctl *ctl = in->ctl;
    struct proven_set *set = proven_set_new(ctl->c, SET_BUDGET);
    enum ledger_rc rc = set ? LEDGER_OK : LEDGER_ENOMEM;
    for (size_t i = 0; i < r->u.prove.n && !rc; i++) {
        struct proven_chain pc;
        subject_open(&r->u.prove.subjects[i], &pc);
        rc = proven_set_add(set, &pc);
    }
    int exit = rc ? ctl_fail(ctl, EXIT_NO_ANSWER, "%s", ledger_rc_text(rc)) : EXIT_GOOD;
    if (!exit) {
        struct kv kv = proven_set_kv(set);
        struct judge j = {.c = ctl->c, .a = ctl->a, .kv = &kv, .index_key = &client_profile(ctl->client)->index_key, .wire = true,
                          .origin = r->snapshot.cp.origin, .recorded_us = in->q.at_us, .index = r->snapshot.cp.size};
        rc = standing_check(&j, &in->q, &in->found);
        exit = incomplete(in, set, r);
        if (!exit && rc)
            exit = ctl_fail(ctl, EXIT_NO_ANSWER, "%s", j.err.msg[0] ? j.err.msg : ledger_rc_text(rc));
    }
    proven_set_free(set);
    return exit;
}

static int print_json(struct inquiry *in, const struct reply *r)
{
    struct json_writer w;
    json_writer_init(&w, in->ctl->a, true);
    json_object(&w);
    json_put_string(&w, "item", in->q.item);
    json_put_string(&w, "for", span_str(in->purpose_name));
    json_put_time(&w, "at", in->q.at_us);
    json_put_bool(&w, "fit", in->found.n == 0);
    json_name(&w, SPAN_LIT("reasons"));
    json_array(&w);
    for (unsigned i = 0; i < in->found.n; i++) {
        json_object(&w);
        json_put_string(&w, "code", span_str(refusal_name(in->found.r[i].code)));
        json_put_string(&w, "subject", span_str(in->found.r[i].subject));
        json_put_string(&w, "text", span_str(in->found.r[i].text));
        json_end(&w);
    }
    json_end(&w);
    if (in->found.dropped)
        json_put_uint(&w, "further_reasons", in->found.dropped);
    json_put_string(&w, "verified", in->deep ? SPAN_LIT("the whole lineage with everything that it names, replayed: signatures, rules, states")
                                             : SPAN_LIT("map proofs, latest entries and states of the whole lineage; signatures were not replayed"));
    if (in->deep)
        dossier_deep_json(&in->made.report, &w);
    ctl_basis_json(&w, r);
    json_end(&w);
    return ctl_print_json(in->ctl, &w);
}

static void print_text(struct inquiry *in, const struct reply *r)
{
    struct ctl *ctl = in->ctl;
    const char *item = ctl_span(ctl, in->q.item), *at = ctl_time(ctl, in->q.at_us);
    if (in->found.n == 0)
        printf("%s  %s: %s, at %s\n", ctl_paint(ctl, COLOR_GOOD, "FIT"), item, in->purpose_name, at);
    else
        printf("%s  %s: %s, at %s\n", ctl_paint(ctl, COLOR_BAD, "NOT FIT"), item, in->purpose_name, at);
    struct ctl_table *t = ctl_table_new(ctl, 3, NULL);
    for (unsigned i = 0; i < in->found.n; i++) {
        const struct refusal *f = &in->found.r[i];
        const char *cells[3] = {ctl_text(ctl, "  %s", refusal_name(f->code)), ctl_text(ctl, "%s", f->subject), ctl_text(ctl, "%s", f->text)};
        ctl_table_row(t, cells);
    }
    ctl_table_print(t);
    if (in->found.dropped)
        printf("  and %u further reasons\n", in->found.dropped);
    ctl_basis(ctl, r);
    if (!ctl->quiet)
        printf("%s\n", ctl_paint(ctl, COLOR_DIM, in->deep ? dossier_deep_text(&in->made.report)
                                                         : "Verified here: map proofs, latest entries and states of the whole lineage; signatures "
                                                           "were not replayed (--deep)."));
}

/* The same chains with all their entries, as for a dossier, which is then verified as one. */
static int ask_deep(struct inquiry *in, const struct chain_name *names, size_t n, struct reply **r)
{
    in->made = (struct dossier_making){.ctl = in->ctl, .plan = {.subjects = names, .n_subjects = n, .closure = CLOSE_BACK}, .fresh = true};
    int exit = dossier_make(&in->made);
    *r = in->made.reply;
    return exit;
}

static int ask(struct inquiry *in, struct reply **r)
{
    struct chain_name names[3] = {{CHAIN_ITEM, in->q.item}};
    size_t n = 1;
    if (in->q.coi.p)
        names[n++] = (struct chain_name){CHAIN_SUBJECT, in->q.coi};
    if (in->q.into.p)
        names[n++] = (struct chain_name){CHAIN_ITEM, in->q.into};
    if (in->deep)
        return ask_deep(in, names, n, r);
    struct call_request call = {
        .op = CALL_PROVE, .fresh = true, .u.prove = {.chains = names, .n = n, .closure = CLOSE_BACK, .members = true, .related = true,
                                                     .without_uses = true}};
    return ctl_call(in->ctl, &call, r);
}

int cmd_check(struct ctl *ctl, int argc, char **argv)
{
    struct inquiry in = {.ctl = ctl};
    const char *purpose = NULL, *coi = NULL, *commit = NULL, *org = NULL, *into = NULL, *at = NULL;
    const struct ctl_opt opts[] = {
        {"for", OPT_TEXT, {.text = &purpose}, 0}, {"coi", OPT_TEXT, {.text = &coi}, 0}, {"subject-commit", OPT_TEXT, {.text = &commit}, 0},
        {"org", OPT_TEXT, {.text = &org}, 0},     {"into", OPT_TEXT, {.text = &into}, 0}, {"at", OPT_TEXT, {.text = &at}, 0},
        {"deep", OPT_FLAG, {.flag = &in.deep}, 0},
    };
    struct reply *r;
    bool done;
    char **args;
    unsigned n;
    if (!ctl_options(ctl, argc, argv, opts, 7, 1, 1, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    const struct ask_text texts[] = {{"--coi", coi}, {"--subject-commit", commit}, {"--org", org}, {"--into", into}, {"--at", at}};
    if (!ask_filled(ctl, texts, sizeof texts / sizeof texts[0]))
        return EXIT_USAGE;
    if (!purpose_of(purpose, &in.q.purpose))
        return ctl_fail(ctl, EXIT_USAGE, "--for administer, consume, dispatch or release");
    if (in.q.purpose == PURPOSE_ADMINISTER && (!coi || !commit))
        return ctl_fail(ctl, EXIT_USAGE, "to administer, the patient is part of the question: --coi and --subject-commit");
    if (!ask_time(ctl, at, &in.q.at_us))
        return EXIT_USAGE;
    in.purpose_name = purpose;
    in.q.item = span_str(args[0]);
    in.q.coi = span_str(coi);
    in.q.subject_commit = span_str(commit);
    in.q.org = span_str(org);
    in.q.into = span_str(into);
    int exit = ask(&in, &r);
    if (!exit)
        exit = answer(&in, r);
    if (!exit && ctl->json)
        exit = print_json(&in, r);
    else if (!exit)
        print_text(&in, r);
    if (in.deep)
        dossier_making_end(&in.made);
    else
        reply_free(r);
    return exit ? exit : in.found.n ? EXIT_NEGATIVE : EXIT_GOOD;
}
