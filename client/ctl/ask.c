/* SPDX-License-Identifier: Apache-2.0 */
/* ask: names, proofs and printing for the asking commands (ask.h). */
#include "ask.h"

#include <stdlib.h>
#include <string.h>

#include "tsp.h"

int ask_name(struct ctl *ctl, const char *type, const char *id, struct chain_name *out)
{
    static const struct { const char *name; enum chain_type type; } types[] = {
        {"item", CHAIN_ITEM}, {"party", CHAIN_PARTY}, {"subject", CHAIN_SUBJECT}, {"shipment", CHAIN_SHIPMENT},
        {"deviation", CHAIN_CASE}, {"excursion", CHAIN_CASE}, {"recall", CHAIN_CASE}, {"product", CHAIN_PRODUCT},
        {"ledger", CHAIN_LEDGER},
    };
    if (!type)
        type = "item";
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, type) != 0)
            continue;
        out->type = types[i].type;
        out->id = span_str(out->type == CHAIN_CASE ? ctl_text(ctl, "%s/%s", type, id) : id);
        return EXIT_GOOD;
    }
    return ctl_fail(ctl, EXIT_USAGE, "no type \"%s\": item, party, subject, shipment, deviation, excursion, recall, product, ledger", type);
}

int ask_prove(struct ctl *ctl, const struct prove_request *rq, struct reply **out)
{
    struct call_request call = {.op = CALL_PROVE, .u.prove = *rq};
    int exit = ctl_call(ctl, &call, out);
    if (!exit && (*out)->u.prove.n == 0)
        exit = ctl_fail(ctl, EXIT_NO_ANSWER, "the server's answer is empty");
    return exit;
}

static const char *scalar_text(struct ctl *ctl, const struct json *j)
{
    switch (j->type) {
    case JSON_NULL: return "";
    case JSON_BOOL: return j->b ? "yes" : "no";
    case JSON_NUMBER:
    case JSON_STRING: return ctl_span(ctl, j->text);
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    return "";
}

/* "name value, name value" */
static const char *object_text(struct ctl *ctl, const struct json *object)
{
    const char *out = "";
    for (const struct json *m = object->first; m; m = m->next)
        out = ctl_text(ctl, "%s%s%s %s", out, *out ? ", " : "", ctl_span(ctl, m->name), scalar_text(ctl, m));
    return out;
}

/* Scalars with commas, objects with semicolons between them. */
static const char *array_text(struct ctl *ctl, const struct json *array)
{
    const char *out = "";
    for (const struct json *j = array->first; j; j = j->next) {
        bool object = j->type == JSON_OBJECT;
        out = ctl_text(ctl, "%s%s%s", out, *out ? (object ? "; " : ", ") : "", object ? object_text(ctl, j) : scalar_text(ctl, j));
    }
    return out;
}

static const char *any_text(struct ctl *ctl, const struct json *j)
{
    return j->type == JSON_ARRAY ? array_text(ctl, j) : j->type == JSON_OBJECT ? object_text(ctl, j) : scalar_text(ctl, j);
}

static void add_row(struct ctl *ctl, struct ctl_table *t, const char *name, const struct json *value)
{
    const char *cells[2] = {name, any_text(ctl, value)};
    ctl_table_row(t, cells);
}

void ask_print_object(struct ctl *ctl, const struct json *object)
{
    struct ctl_table *t = ctl_table_new(ctl, 2, NULL);
    for (const struct json *j = object ? object->first : NULL; j; j = j->next) {
        const char *name = ctl_text(ctl, "  %s", ctl_span(ctl, j->name));
        if (j->type != JSON_OBJECT)
            add_row(ctl, t, name, j);
        for (const struct json *m = j->type == JSON_OBJECT ? j->first : NULL; m; m = m->next)
            add_row(ctl, t, ctl_text(ctl, "%s.%s", name, ctl_span(ctl, m->name)), m);
    }
    ctl_table_print(t);
}

int ask_absent(struct ctl *ctl, const struct reply *r, const struct proven_subject *s)
{
    if (ctl->json) {
        struct json_writer w;
        struct proven_chain pc;
        subject_open(s, &pc);
        json_writer_init(&w, ctl->a, true);
        json_object(&w);
        json_name(&w, SPAN_LIT("subject"));
        chain_json(&w, &pc);
        ctl_basis_json(&w, r);
        json_end(&w);
        ctl_print_json(ctl, &w);
        return EXIT_NEGATIVE;
    }
    printf("%s %s is not in the ledger.\n", chain_type_name(s->name.type), ctl_span(ctl, s->name.id));
    ctl_basis(ctl, r);
    return EXIT_NEGATIVE;
}

int ask_tsa_ca(struct ctl *ctl, const char *path, struct span *ca)
{
    const char *named = ctl->profile ? ctl->profile->tsa_ca : "";
    struct ledger_err err = {0};
    *ca = SPAN_NONE;
    if (!path && *named)
        path = *named == '/' ? named : ctl_text(ctl, "%s/%s", ctl->profile->folder, named);
    if (!path)
        return EXIT_GOOD;
    int exit = ctl_read_file(ctl, path, TSP_CA_PEM_MAX, ca);
    if (!exit && tsp_ca_check(*ca, NULL, &err))
        exit = ctl_fail(ctl, EXIT_USAGE, "%s: %s", path, err.msg);
    return exit;
}

bool ask_filled(struct ctl *ctl, const struct ask_text *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (texts[i].value && !texts[i].value[0]) {
            (void)ctl_fail(ctl, EXIT_USAGE, "%s is empty: nothing was asked", texts[i].name);
            return false;
        }
    return true;
}

bool ask_time(struct ctl *ctl, const char *text, int64_t *us)
{
    *us = ctl_now_us();
    if (!text || time_parse(span_str(text), us))
        return true;
    ctl_fail(ctl, EXIT_USAGE, "\"%s\" is no time: YYYY-MM-DDThh:mm:ss with Z or an offset", text);
    return false;
}

bool ask_number(struct ctl *ctl, const char *option, const char *text, uint64_t *out)
{
    char *end;
    *out = 0;
    if (!text)
        return true;
    unsigned long long v = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end) {
        ctl_fail(ctl, EXIT_USAGE, "%s takes a whole number, not \"%s\"", option, text);
        return false;
    }
    *out = v;
    return true;
}
