/* SPDX-License-Identifier: Apache-2.0 */
/* ledgerctl show, ledgerctl history: the state of a subject, and the chain of its entries, both proven. */
#include <string.h>

#include "ask.h"
#include "erased.h"
#include "history.h"

static int show_json(struct ctl *ctl, const struct reply *r)
{
    struct json_writer w;
    struct proven_chain pc;
    subject_open(&r->u.prove.subjects[0], &pc);
    json_writer_init(&w, ctl->a, true);
    json_object(&w);
    json_name(&w, SPAN_LIT("subject"));
    chain_json(&w, &pc);
    ctl_basis_json(&w, r);
    json_end(&w);
    return ctl_print_json(ctl, &w);
}

/* The same document as --json gives, as lines. */
static int show_text(struct ctl *ctl, const struct reply *r)
{
    struct proven_chain pc;
    const struct json *doc;
    struct json_writer w;
    subject_open(&r->u.prove.subjects[0], &pc);
    json_writer_init(&w, ctl->a, false);
    chain_json(&w, &pc);
    struct span text = json_written(&w);
    if (!text.p || json_parse(ctl->a, text, &doc, NULL))
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    printf("%s\n", ctl_paint(ctl, COLOR_BOLD, ctl_text(ctl, "%s %s", chain_type_name(pc.chain.type), ctl_span(ctl, pc.chain.id))));
    if (!pc.opened)
        printf("  content withheld from this certificate\n");
    ask_print_object(ctl, json_get(doc, "state"));
    ask_print_object(ctl, json_get(doc, "lists"));
    printf("  %llu entries; the latest is #%llu, recorded %s\n", (unsigned long long)pc.chain.count,
           (unsigned long long)pc.head.index, ctl_time(ctl, pc.head.recorded_us));
    ctl_basis(ctl, r);
    return EXIT_GOOD;
}

int cmd_show(struct ctl *ctl, int argc, char **argv)
{
    const char *type = NULL;
    bool members = false, done;
    char **args;
    unsigned n;
    struct chain_name name;
    struct reply *r;
    const struct ctl_opt opts[] = {{"type", OPT_TEXT, {.text = &type}, 't'}, {"members", OPT_FLAG, {.flag = &members}, 'm'}};
    if (!ctl_options(ctl, argc, argv, opts, 2, 1, 1, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = ask_name(ctl, type, args[0], &name);
    struct prove_request rq = {.chains = &name, .n = 1, .members = members};
    if (!exit)
        exit = ask_prove(ctl, &rq, &r);
    if (exit)
        return exit;
    const struct proven_subject *s = &r->u.prove.subjects[0];
    exit = !s->present ? ask_absent(ctl, r, s) : ctl->json ? show_json(ctl, r) : show_text(ctl, r);
    reply_free(r);
    return exit;
}

/* ---- history ---- */

static const char *signatures_text(struct ctl *ctl, const struct history_signatures *s)
{
    return s->withheld ? "Signatures were not verified: registrations of signers are withheld from this certificate."
                       : ctl_text(ctl, "Verified here: that these are all, and %llu signatures; rules were not replayed.",
                                  (unsigned long long)s->verified);
}

static int history_json(struct ctl *ctl, const struct reply *r, struct erased_acts *acts,
                        const struct history_signatures *signatures)
{
    const struct proven_subject *s = &r->u.prove.subjects[0];
    struct json_writer w;
    struct proven_chain pc;
    subject_open(s, &pc);
    json_writer_init(&w, ctl->a, true);
    json_object(&w);
    json_name(&w, SPAN_LIT("subject"));
    chain_json(&w, &pc);
    json_name(&w, SPAN_LIT("history"));
    json_array(&w);
    for (size_t i = 0; i < s->n_history; i++)
        entry_json(&w, ctl->a, &s->history[i]);
    json_end(&w);
    int exit = erased_json(acts, &w, s->history, s->n_history);
    if (exit)
        return exit;
    json_put_uint(&w, "signatures_verified", signatures->verified);
    json_put_bool(&w, "signers_withheld", signatures->withheld);
    ctl_basis_json(&w, r);
    json_end(&w);
    return ctl_print_json(ctl, &w);
}

static const char *signers_text(struct ctl *ctl, const struct entry *e)
{
    const char *out = "";
    for (size_t i = 0; !e->own && e->content && i < e->block.n; i++)
        out = ctl_text(ctl, "%s%s%s (%s)", out, *out ? ", " : "", ctl_span(ctl, e->block.sigs[i].party),
                       ctl_span(ctl, e->block.sigs[i].meaning));
    return e->own ? "(the ledger)" : e->content ? out : e->erased_by ? "(erased)" : "(withheld)";
}

/* The fields that tell one entry from the next, shortened: everything is in --json. */
static const char *content_text(struct ctl *ctl, const struct entry *e)
{
    const char *out = "";
    const struct json *doc;
    struct json_writer w;
    if (e->own || !e->content)
        return "";
    json_writer_init(&w, ctl->a, false);
    event_to_json(ctl->a, &w, &e->event);
    struct span text = json_written(&w);
    if (!text.p || json_parse(ctl->a, text, &doc, NULL))
        return "";
    const struct json *fields = json_get(doc, "fields");
    for (const struct json *j = fields ? fields->first : NULL; j && strlen(out) < 90; j = j->next) {
        if (j->type != JSON_STRING && j->type != JSON_NUMBER && j->type != JSON_BOOL)
            continue;
        const char *value = j->type == JSON_BOOL ? (j->b ? "yes" : "no") : ctl_span(ctl, j->text);
        out = ctl_text(ctl, "%s%s%s=%.40s", out, *out ? " " : "", ctl_span(ctl, j->name), value);
    }
    return out;
}

/* What stands in the place of content that is not there any more. */
static int erased_content(struct ctl *ctl, struct erased_acts *acts, const struct entry *e, const char **out)
{
    const struct erased_act *act;
    int exit = erased_act(acts, e, &act);
    if (!exit)
        *out = ctl_text(ctl, "%s; state taken from its commitment", erased_text(ctl, act));
    return exit;
}

static int history_text(struct ctl *ctl, const struct reply *r, struct erased_acts *acts, const struct history_signatures *signatures)
{
    static const char *const headings[] = {"ENTRY", "RECORDED", "OCCURRED", "KIND", "SIGNED BY", "CONTENT"};
    const struct proven_subject *s = &r->u.prove.subjects[0];
    struct ctl_table *t = ctl_table_new(ctl, 6, headings);
    for (size_t i = 0; i < s->n_history; i++) {
        const struct entry *e = &s->history[i];
        const char *kind = entry_kind_name(e->header.kind), *content = content_text(ctl, e);
        int exit = e->erased_by ? erased_content(ctl, acts, e, &content) : EXIT_GOOD;
        if (exit)
            return exit;
        const char *cells[6] = {ctl_text(ctl, "#%llu", (unsigned long long)e->header.index), ctl_time(ctl, e->header.recorded_us),
                                !e->own && e->content ? ctl_span(ctl, e->event.occurred.raw) : "", kind ? kind : "?",
                                signers_text(ctl, e), content};
        ctl_table_row(t, cells);
    }
    ctl_table_print(t);
    printf("%zu entries: all that there are of %s %s.\n", s->n_history, chain_type_name(s->name.type), ctl_span(ctl, s->name.id));
    ctl_basis(ctl, r);
    if (!ctl->quiet)
        printf("%s\n", ctl_paint(ctl, COLOR_DIM, signatures_text(ctl, signatures)));
    return EXIT_GOOD;
}

int cmd_history(struct ctl *ctl, int argc, char **argv)
{
    const char *type = NULL;
    bool done;
    char **args;
    unsigned n;
    struct chain_name name;
    struct reply *r;
    const struct ctl_opt opts[] = {{"type", OPT_TEXT, {.text = &type}, 't'}};
    if (!ctl_options(ctl, argc, argv, opts, 1, 1, 1, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = ask_name(ctl, type, args[0], &name);
    struct prove_request rq = {.chains = &name, .n = 1, .history = true};
    if (!exit)
        exit = ask_prove(ctl, &rq, &r);
    if (exit)
        return exit;
    const struct proven_subject *s = &r->u.prove.subjects[0];
    struct erased_acts acts = {.ctl = ctl, .basis = r};
    struct history_signatures signatures = {0};
    exit = s->present ? history_check_signatures(ctl, r, s, &signatures) : EXIT_GOOD;
    if (!exit)
        exit = !s->present ? ask_absent(ctl, r, s)
               : ctl->json ? history_json(ctl, r, &acts, &signatures) : history_text(ctl, r, &acts, &signatures);
    erased_free(&acts);
    reply_free(r);
    return exit;
}
