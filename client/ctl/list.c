/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerctl list, ledgerctl find. Which ids there are is the server's word; what is printed about each of them is proven. The
 * proofs of all rows of a page are asked for at once.
 */
#include <string.h>

#include "ask.h"

#define PAGE 200u

struct listing {
    struct ctl *ctl;
    struct find_request rq;
    struct ctl_table *table; /* one for items, or a narrower one for subjects of any type */
    bool items_only;
    struct json_writer *w;
    uint64_t limit, shown;
    uint64_t first_size; /* of the checkpoint that the first page was proven at */
    bool truncated;
};

static const char *holds_text(struct ctl *ctl, const struct item_state *s)
{
    const char *out = "";
    const struct { bool on; const char *name; } holds[] = {
        {s->open_recalls > 0, "recall"},      {s->rejected || s->rejecting_excursions, "rejected"}, {s->quarantined, "quarantine"},
        {s->open_deviations > 0, "deviation"}, {s->open_excursions > 0, "excursion"},
    };
    for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++)
        if (holds[i].on)
            out = ctl_text(ctl, "%s%s%s", out, *out ? "," : "", holds[i].name);
    return out;
}

static const char *item_status(const struct item_state *s)
{
    if (s->terminal)
        return s->terminal == TERMINAL_ADMINISTERED ? "administered" : "disposed";
    if (s->shipment.p)
        return "in transit";
    return s->last_release ? "released" : "in process";
}

static void item_row(struct listing *l, const struct proven_chain *pc)
{
    struct ctl *ctl = l->ctl;
    const struct item_state *s = &pc->chain.item;
    if (!pc->opened) {
        const char *withheld[7] = {ctl_span(ctl, pc->chain.id), "", "(withheld)", "", "", "", ""};
        ctl_table_row(l->table, withheld);
        return;
    }
    const char *cells[7] = {ctl_span(ctl, pc->chain.id), item_class_name(s->klass), item_status(s), holds_text(ctl, s),
                            ctl_text(ctl, "%s %s", ctl_dec(ctl, s->available), ctl_span(ctl, s->uom)),
                            ctl_span(ctl, s->shipment.p ? s->shipment : s->holder), s->has_expiry ? ctl_time(ctl, s->expiry_us) : ""};
    ctl_table_row(l->table, cells);
}

static void other_row(struct listing *l, const struct proven_chain *pc)
{
    struct ctl *ctl = l->ctl;
    const struct chain *ch = &pc->chain;
    const char *status = "", *about = "";
    if (pc->opened && ch->type == CHAIN_ITEM) {
        status = item_status(&ch->item);
        about = item_class_name(ch->item.klass);
    } else if (pc->opened && ch->type == CHAIN_PARTY) {
        status = ch->party.revoked ? "revoked" : "active";
        about = ctl_span(ctl, ch->party.org);
    } else if (pc->opened && ch->type == CHAIN_SHIPMENT) {
        status = ch->shipment.remaining ? "open" : "closed";
        about = ctl_text(ctl, "%s to %s", ctl_span(ctl, ch->shipment.from_org), ctl_span(ctl, ch->shipment.to_org));
    } else if (pc->opened && ch->type == CHAIN_CASE) {
        status = ch->kase.open ? "open" : "closed";
        about = ctl_span(ctl, ch->kase.item.p ? ch->kase.item : ch->kase.shipment);
    }
    const char *cells[5] = {chain_type_name(ch->type), ctl_span(ctl, ch->id), status, about,
                            ctl_text(ctl, "%llu", (unsigned long long)ch->count)};
    ctl_table_row(l->table, cells);
}

static void row(struct listing *l, const struct proven_chain *pc)
{
    if (!pc->present)
        return; /* the server listed it, and proved that it is not there */
    l->shown++;
    if (l->w)
        chain_json(l->w, pc);
    else if (l->items_only)
        item_row(l, pc);
    else
        other_row(l, pc);
}

/* Proves the listed ids and adds their rows. */
static int prove_page(struct listing *l, const struct span *ids, size_t n, struct reply **basis)
{
    struct chain_name *names = arena_alloc(l->ctl->a, (n + 1) * sizeof *names);
    if (!names)
        return ctl_fail(l->ctl, EXIT_NO_ANSWER, "out of memory");
    for (size_t i = 0; i < n; i++)
        names[i] = (struct chain_name){l->rq.type, ids[i]};
    struct prove_request rq = {.chains = names, .n = n};
    struct reply *r;
    int exit = ask_prove(l->ctl, &rq, &r);
    if (exit)
        return exit;
    for (size_t i = 0; i < r->u.prove.n; i++) {
        struct proven_chain pc;
        subject_open(&r->u.prove.subjects[i], &pc);
        row(l, &pc);
    }
    if (!l->first_size)
        l->first_size = r->snapshot.cp.size;
    reply_free(*basis);
    *basis = r;
    return EXIT_GOOD;
}

/* Ids ascend, within a page and from page to page: a server cannot make the listing go round in circles. */
static int check_order(struct listing *l, const struct reply *r)
{
    struct span before = l->rq.after;
    for (size_t i = 0; i < r->u.find.n; before = r->u.find.ids[i++])
        if (before.p && span_cmp(before, r->u.find.ids[i]) >= 0)
            return ctl_fail(l->ctl, EXIT_NO_ANSWER, "the server's list is not in order");
    return EXIT_GOOD;
}

/* All pages of one type, until the limit. */
static int list_type(struct listing *l, struct reply **basis)
{
    int exit = EXIT_GOOD;
    bool more = true;
    l->rq.after = SPAN_NONE;
    while (more && !exit && l->shown < l->limit) {
        struct call_request call = {.op = CALL_FIND, .u.find = l->rq};
        struct reply *r;
        call.u.find.limit = l->limit - l->shown < PAGE ? (uint32_t)(l->limit - l->shown) : PAGE;
        exit = ctl_call(l->ctl, &call, &r);
        if (exit)
            return exit;
        size_t n = r->u.find.n;
        more = r->u.find.truncated && n > 0;
        exit = check_order(l, r);
        if (n && !exit) {
            l->rq.after = arena_copy(l->ctl->a, r->u.find.ids[n - 1]);
            exit = prove_page(l, r->u.find.ids, n, basis);
        }
        reply_free(r);
    }
    l->truncated |= more;
    return exit;
}

static void begin(struct listing *l, struct json_writer *w)
{
    static const char *const items[] = {"ITEM", "CLASS", "STATUS", "HOLDS", "AVAILABLE", "AT", "EXPIRY"};
    static const char *const others[] = {"TYPE", "ID", "STATUS", "ABOUT", "ENTRIES"};
    if (l->ctl->json) {
        l->w = w;
        json_writer_init(w, l->ctl->a, true);
        json_object(w);
        json_name(w, SPAN_LIT("subjects"));
        json_array(w);
    } else {
        l->table = l->items_only ? ctl_table_new(l->ctl, 7, items) : ctl_table_new(l->ctl, 5, others);
    }
}

static int end(struct listing *l, const struct reply *basis)
{
    if (!l->w) {
        if (l->shown)
            ctl_table_print(l->table);
        printf("%llu listed%s. That no other fits is the operator's word; what is said of each is proven.\n",
               (unsigned long long)l->shown, l->truncated ? "; there are more (--limit)" : "");
        if (basis && basis->snapshot.cp.size != l->first_size)
            printf("The first rows were proven at checkpoint %llu, later ones at newer ones up to the last:\n",
                   (unsigned long long)l->first_size);
        if (basis)
            ctl_basis(l->ctl, basis);
        return EXIT_GOOD;
    }
    json_end(l->w);
    json_put_bool(l->w, "truncated", l->truncated);
    json_put_string(l->w, "completeness_of_the_list", SPAN_LIT("operator's word"));
    if (basis)
        ctl_basis_json(l->w, basis);
    json_end(l->w);
    return ctl_print_json(l->ctl, l->w);
}

static bool plural_type(const char *text, enum chain_type *out)
{
    static const struct { const char *name; enum chain_type type; } types[] = {
        {"items", CHAIN_ITEM}, {"parties", CHAIN_PARTY}, {"subjects", CHAIN_SUBJECT},
        {"shipments", CHAIN_SHIPMENT}, {"cases", CHAIN_CASE}, {"products", CHAIN_PRODUCT},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, text) != 0 && strncmp(types[i].name, text, strlen(text)) != 0)
            continue;
        *out = types[i].type;
        return true;
    }
    return false;
}

int cmd_list(struct ctl *ctl, int argc, char **argv)
{
    const char *state = NULL, *holder = NULL, *hold = NULL, *klass = NULL, *coi = NULL, *before = NULL, *limit = NULL;
    const struct ctl_opt opts[] = {
        {"state", OPT_TEXT, {.text = &state}, 0},  {"holder", OPT_TEXT, {.text = &holder}, 0},
        {"hold", OPT_TEXT, {.text = &hold}, 0},    {"class", OPT_TEXT, {.text = &klass}, 0},
        {"coi", OPT_TEXT, {.text = &coi}, 0},      {"expires-before", OPT_TEXT, {.text = &before}, 0},
        {"limit", OPT_TEXT, {.text = &limit}, 0},
    };
    struct listing l = {.ctl = ctl, .rq.type = CHAIN_ITEM};
    struct json_writer w;
    struct reply *basis = NULL;
    bool done;
    char **args;
    unsigned n;
    if (!ctl_options(ctl, argc, argv, opts, 7, 0, 1, &args, &n, &done) || !ask_number(ctl, "--limit", limit, &l.limit))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    if (n && !plural_type(args[0], &l.rq.type))
        return ctl_fail(ctl, EXIT_USAGE, "no such list \"%s\": items, parties, subjects, shipments, cases, products", args[0]);
    if (before && !ask_time(ctl, before, &l.rq.expires_before_us))
        return EXIT_USAGE;
    if (!l.limit)
        l.limit = 1000;
    l.rq.state = span_str(state);
    l.rq.holder = span_str(holder);
    l.rq.hold = span_str(hold);
    l.rq.klass = span_str(klass);
    l.rq.coi = span_str(coi);
    l.items_only = l.rq.type == CHAIN_ITEM;
    begin(&l, &w);
    int exit = list_type(&l, &basis);
    if (!exit)
        exit = end(&l, basis);
    reply_free(basis);
    return exit;
}

/* Case ids carry their name space before the id that people type. */
static int find_cases(struct listing *l, const char *text, struct reply **basis)
{
    static const char *const spaces[] = {"deviation", "excursion", "recall"};
    int exit = EXIT_GOOD;
    for (unsigned i = 0; i < 3 && !exit; i++) {
        l->rq.id_prefix = span_str(ctl_text(l->ctl, "%s/%s", spaces[i], text));
        exit = list_type(l, basis);
    }
    return exit;
}

int cmd_find(struct ctl *ctl, int argc, char **argv)
{
    const char *type = NULL, *limit = NULL;
    const struct ctl_opt opts[] = {{"type", OPT_TEXT, {.text = &type}, 't'}, {"limit", OPT_TEXT, {.text = &limit}, 0}};
    struct listing l = {.ctl = ctl};
    struct json_writer w;
    struct reply *basis = NULL;
    bool done;
    char **args;
    unsigned n;
    enum chain_type only = CHAIN_LEDGER;
    if (!ctl_options(ctl, argc, argv, opts, 2, 1, 1, &args, &n, &done) || !ask_number(ctl, "--limit", limit, &l.limit))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    if (type && !plural_type(type, &only))
        return ctl_fail(ctl, EXIT_USAGE, "no type \"%s\"", type);
    if (!l.limit)
        l.limit = 1000;
    begin(&l, &w);
    int exit = EXIT_GOOD;
    for (unsigned t = CHAIN_ITEM; t <= CHAIN_PRODUCT && !exit; t++) {
        if (type && t != only)
            continue;
        l.rq = (struct find_request){.type = (enum chain_type)t, .id_prefix = span_str(args[0])};
        exit = t == CHAIN_CASE ? find_cases(&l, args[0], &basis) : list_type(&l, &basis);
    }
    if (!exit)
        exit = end(&l, basis);
    if (!exit && l.shown == 0)
        exit = EXIT_NEGATIVE;
    reply_free(basis);
    return exit;
}
