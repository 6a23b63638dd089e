/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parameters: what the ledger's own parameters are, and changing them: how long content is kept before it may be erased, and which
 * signature algorithms new keys may be of. What the command line does not name stays as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "ask.h"
#include "batch.h"

struct parameters_args {
    struct ctl *ctl;
    struct act_options act;
    const char *retention, *algorithms;
};

static const struct { uint16_t number; const char *name; } algorithm_names[] = {{SIG_ED25519, "ed25519"}, {SIG_P256, "p256"}};

static const char *algorithm_name(struct ctl *ctl, uint16_t number)
{
    for (size_t i = 0; i < sizeof algorithm_names / sizeof algorithm_names[0]; i++)
        if (algorithm_names[i].number == number)
            return algorithm_names[i].name;
    return ctl_text(ctl, "algorithm %u", number);
}

static const char *algorithms_text(struct ctl *ctl, const struct parameters *p)
{
    const char *out = "";
    for (unsigned i = 0; i < p->n_algorithms; i++)
        out = ctl_text(ctl, "%s%s%s", out, *out ? ", " : "", algorithm_name(ctl, p->algorithms[i]));
    return out;
}

/* ---- what is in force ---- */

/* A state holds a PARAMETERS payload from its algorithms on. */
static int of_state(struct ctl *ctl, const struct ledger_state *s, struct parameters *out)
{
    struct ledger_err err = {0};
    struct wbuf w;
    *out = (struct parameters){.rules_version = s->rules_version, .n_algorithms = 2, .algorithms = {SIG_ED25519, SIG_P256}};
    if (!s->parameters.p)
        return EXIT_GOOD;
    struct span head = parameters_encode(ctl->a, out);
    wbuf_init(&w, ctl->a);
    wbuf_bytes(&w, head.p, head.p ? PARAMETERS_HEAD : 0);
    wbuf_bytes(&w, s->parameters.p, s->parameters.n);
    return parameters_decode(wbuf_span(&w), out, &err) ? ctl_fail(ctl, EXIT_NO_ANSWER, "the ledger's parameters: %s", err.msg)
                                                       : EXIT_GOOD;
}

static int fetch(struct ctl *ctl, struct parameters *out, struct reply **r)
{
    int exit = ctl_profile(ctl);
    if (exit)
        return exit;
    struct chain_name name = {CHAIN_LEDGER, span_str(ctl->profile->origin)};
    struct prove_request rq = {.chains = &name, .n = 1};
    exit = ask_prove(ctl, &rq, r);
    if (exit)
        return exit;
    const struct proven_subject *s = &(*r)->u.prove.subjects[0];
    struct proven_chain pc;
    subject_open(s, &pc);
    exit = !s->present  ? ask_absent(ctl, *r, s)
           : !s->opened ? ctl_fail(ctl, EXIT_USAGE, "the ledger's state is withheld from this certificate")
                         : of_state(ctl, &pc.chain.ledger, out);
    return exit;
}

static int show_json(struct ctl *ctl, const struct parameters *p, const struct reply *r)
{
    struct json_writer w;
    json_writer_init(&w, ctl->a, true);
    json_object(&w);
    json_put_uint(&w, "rules_version", p->rules_version);
    json_name(&w, SPAN_LIT("algorithms"));
    json_array(&w);
    for (unsigned i = 0; i < p->n_algorithms; i++)
        json_string(&w, span_str(algorithm_name(ctl, p->algorithms[i])));
    json_end(&w);
    json_name(&w, SPAN_LIT("retention_days"));
    json_object(&w);
    for (unsigned i = 0; i < p->n_retentions; i++)
        json_put_uint(&w, entry_kind_name(p->retentions[i].kind), p->retentions[i].days);
    json_end(&w);
    ctl_basis_json(&w, r);
    json_end(&w);
    return ctl_print_json(ctl, &w);
}

static void print_table(struct ctl *ctl, const struct parameters *p)
{
    struct ctl_table *t = ctl_table_new(ctl, 2, NULL);
    const char *rules[2] = {"  rules", ctl_text(ctl, "version %u", p->rules_version)};
    const char *algorithms[2] = {"  keys", algorithms_text(ctl, p)};
    ctl_table_row(t, rules);
    ctl_table_row(t, algorithms);
    for (unsigned i = 0; i < p->n_retentions; i++) {
        const char *kind = entry_kind_name(p->retentions[i].kind);
        const char *row[2] = {i ? "" : "  kept", ctl_text(ctl, "%s for %u days after recording", kind ? kind : "?",
                                                          p->retentions[i].days)};
        ctl_table_row(t, row);
    }
    ctl_table_print(t);
    if (p->n_retentions == 0)
        printf("  no retention rule: every event but a registration may be erased\n");
}

static int show(struct ctl *ctl)
{
    struct parameters p;
    struct reply *r = NULL;
    int exit = fetch(ctl, &p, &r);
    if (!exit && ctl->json)
        exit = show_json(ctl, &p, r);
    else if (!exit) {
        print_table(ctl, &p);
        ctl_basis(ctl, r);
    }
    reply_free(r);
    return exit;
}

/* ---- changing ---- */

static int retention_order(const void *x, const void *y)
{
    const struct retention *a = x, *b = y;
    return (a->kind > b->kind) - (a->kind < b->kind);
}

static int set_retention(struct ctl *ctl, struct parameters *p, unsigned kind, uint32_t days)
{
    unsigned i = 0;
    while (i < p->n_retentions && p->retentions[i].kind != kind)
        i++;
    if (days == 0) {
        if (i < p->n_retentions)
            p->retentions[i] = p->retentions[--p->n_retentions];
        return EXIT_GOOD;
    }
    if (i == PARAMETER_RETENTIONS_MAX)
        return ctl_fail(ctl, EXIT_USAGE, "more than %d retention rules", PARAMETER_RETENTIONS_MAX);
    p->retentions[i] = (struct retention){(uint16_t)kind, days};
    p->n_retentions = (uint16_t)(i < p->n_retentions ? p->n_retentions : i + 1);
    return EXIT_GOOD;
}

/* "LOT_SPLIT=30,SAMPLE_TAKEN=0" */
static int read_retention(struct ctl *ctl, const char *text, struct parameters *p)
{
    int exit = EXIT_GOOD;
    for (const char *at = text; *at && !exit;) {
        size_t n = strcspn(at, ","), name_n = strcspn(at, "=,");
        const struct kind_def *kind = kind_by_name(span_of(at, name_n));
        uint64_t days = 0;
        if (!kind || name_n == n)
            return ctl_fail(ctl, EXIT_USAGE, "--retention takes KIND=DAYS, with commas between them; \"%.*s\" is none", (int)n, at);
        if (!ask_number(ctl, "--retention", ctl_text(ctl, "%.*s", (int)(n - name_n - 1), at + name_n + 1), &days))
            return EXIT_USAGE;
        if (days > UINT32_MAX)
            return ctl_fail(ctl, EXIT_USAGE, "--retention: too many days");
        exit = set_retention(ctl, p, (unsigned)kind->kind, (uint32_t)days);
        at += n + (at[n] == ',');
    }
    qsort(p->retentions, p->n_retentions, sizeof p->retentions[0], retention_order);
    return exit;
}

/* "ed25519,p256": all that new keys may be of. */
static int read_algorithms(struct ctl *ctl, const char *text, struct parameters *p)
{
    p->n_algorithms = 0;
    for (size_t i = 0; i < sizeof algorithm_names / sizeof algorithm_names[0]; i++) {
        const char *name = algorithm_names[i].name;
        for (const char *at = text; *at;) {
            size_t n = strcspn(at, ",");
            if (n == strlen(name) && memcmp(at, name, n) == 0) {
                p->algorithms[p->n_algorithms++] = algorithm_names[i].number;
                break;
            }
            at += n + (at[n] == ',');
        }
    }
    unsigned named = 1;
    for (const char *c = text; *c; c++)
        named += *c == ',';
    return p->n_algorithms == named ? EXIT_GOOD
                                    : ctl_fail(ctl, EXIT_USAGE, "--algorithms takes ed25519 and p256, each once, with a comma between them");
}

static int new_act(struct parameters_args *pa, struct ledger_batch **out)
{
    struct ctl *ctl = pa->ctl;
    struct parameters p;
    struct reply *r = NULL;
    *out = NULL;
    int exit = fetch(ctl, &p, &r);
    reply_free(r); /* numbers only were taken from it */
    if (!exit && pa->retention)
        exit = read_retention(ctl, pa->retention, &p);
    if (!exit && pa->algorithms)
        exit = read_algorithms(ctl, pa->algorithms, &p);
    if (!exit)
        exit = act_nonce(ctl, p.nonce);
    return exit ? exit : act_new(ctl, OWN_PARAMETERS, parameters_encode(ctl->a, &p), out);
}

static int print_result(struct ctl *ctl, const struct ledger_batch *b, const struct parameters *p, const struct reply *r)
{
    const struct submit_result *s = &r->u.submit.results[0];
    if (ctl->json) {
        struct json_writer w;
        json_writer_init(&w, ctl->a, true);
        json_object(&w);
        json_put_string(&w, "outcome", SPAN_LIT("recorded"));
        act_result_json(&w, b, r);
        json_end(&w);
        return ctl_print_json(ctl, &w);
    }
    printf("%s as entry #%llu of %.*s:\n",
           ctl_paint(ctl, COLOR_GOOD, s->outcome == LEDGER_BEFORE ? "Recorded before" : "Recorded"),
           (unsigned long long)s->index, SPAN_FMT(r->snapshot.cp.origin));
    print_table(ctl, p);
    return EXIT_GOOD;
}

static int set(struct parameters_args *pa)
{
    struct ctl *ctl = pa->ctl;
    struct ledger_batch *b;
    struct ledger_err err = {0};
    struct parameters p;
    struct reply *r = NULL;
    int exit = pa->act.file ? act_read(ctl, &pa->act, OWN_PARAMETERS, &b) : new_act(pa, &b);
    if (!exit && parameters_decode(b->events[0].bytes, &p, &err))
        exit = ctl_fail_err(ctl, &err, LEDGER_RECORDED_NOTHING);
    if (!exit && pa->act.file && !ctl->json) {
        printf("Parameters, signed by %s:\n", act_signers(ctl, b->sigs, b->n_signatures));
        print_table(ctl, &p);
    }
    if (!exit)
        exit = act_finish(ctl, b, &pa->act, &r);
    if (!exit && r)
        exit = print_result(ctl, b, &p, r);
    reply_free(r);
    ledger_batch_free(b);
    return exit;
}

int cmd_parameters(struct ctl *ctl, int argc, char **argv)
{
    struct parameters_args pa = {.ctl = ctl};
    const struct ctl_opt opts[] = {{"retention", OPT_TEXT, {.text = &pa.retention}, 0},
                                   {"algorithms", OPT_TEXT, {.text = &pa.algorithms}, 0},
                                   ACT_OPTIONS(&pa.act)};
    char **args;
    unsigned n;
    bool done;
    if (!ctl_options(ctl, argc, argv, opts, 2 + ACT_OPTIONS_N, 1, 1, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    bool change = pa.retention || pa.algorithms, shows = strcmp(args[0], "show") == 0;
    if (shows && !change && !pa.act.file && !pa.act.prepare && pa.act.sign.n == 0)
        return show(ctl);
    if (shows || strcmp(args[0], "set") != 0 || change == (pa.act.file != NULL) || (pa.act.file && pa.act.prepare))
        return ctl_fail(ctl, EXIT_USAGE,
                        "usage: ledgerctl parameters show | set --retention KIND=DAYS,… --algorithms NAME,… --sign ADMIN --sign SECOND | "
                        "set --act FILE --sign SECOND");
    ctl->unsent = true;
    return set(&pa);
}
