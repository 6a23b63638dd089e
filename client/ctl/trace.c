/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerctl trace: the lineage of an item, backwards (inputs and split lines) or forwards (uses and units). Every item is proven
 * with all members of its lists, and every item that those name must itself be among the proven ones: a lineage with a hole is a
 * proof that fails.
 */
#include <stdlib.h>
#include <string.h>

#include "dossier_report.h"

struct node {
    uint8_t begins[48]; /* the id, or its beginning: at hand, where the ids of a hundred thousand items are not */
    const struct proven_subject *s;
    bool shown, reached;
};
struct arc { /* from the item asked about outwards */
    const char *how;     /* "consumed", "split" */
    struct span item;
    dec_t quantity;
    struct span uom;
    uint64_t index;
    bool has_quantity, corrected;
};
struct trace {
    struct ctl *ctl;
    bool back;
    size_t n;
    struct node *nodes; /* ascending by id */
    struct proven_chain from, to; /* decoding space: the item whose arcs are looked at, and the one at an arc's other end */
    bool deep;
    struct dossier_making made; /* deep */
};

static struct node node_of(const struct proven_subject *s)
{
    struct node n = {.s = s};
    struct span id = s->name.id;
    if (id.n)
        memcpy(n.begins, id.p, id.n < sizeof n.begins ? id.n : sizeof n.begins);
    return n;
}

static int node_order(const void *x, const void *y)
{
    const struct node *a = x, *b = y;
    int order = memcmp(a->begins, b->begins, sizeof a->begins);
    return order ? order : span_cmp(a->s->name.id, b->s->name.id);
}

static struct node *find_node(const struct trace *t, struct span id)
{
    const struct proven_subject s = {.name.id = id};
    const struct node key = node_of(&s);
    return bsearch(&key, t->nodes, t->n, sizeof key, node_order);
}

static size_t n_arcs(const struct trace *t, const struct proven_chain *pc)
{
    const struct member_claim *a = pc->logs[t->back ? ITEM_LOG_INPUTS : ITEM_LOG_USES];
    const struct member_claim *b = t->back ? NULL : pc->logs[ITEM_LOG_UNITS];
    return (a ? a->n : 0) + (b ? b->n : 0) + (t->back && pc->chain.item.parent.p ? 1 : 0);
}

/* Has it no arcs? Asked before its state is decoded: of most items that many were made of, nothing was made. */
static bool leads_nowhere(const struct trace *t, const struct proven_subject *s)
{
    bool any = t->back; /* the split line stands in the state */
    for (size_t i = 0; i < s->claim.n_logs; i++) {
        unsigned log = s->claim.logs[i].log;
        any |= s->claim.logs[i].n && item_log_leads_on(log);
    }
    return !any;
}

/* An item with its arcs; in t->from, until the next one. */
static const struct proven_chain *item_from(struct trace *t, const struct node *n)
{
    subject_open(n->s, &t->from);
    return &t->from;
}

static void edge_arc(struct span member, const char *how, struct arc *out)
{
    struct edge e = {0};
    if (edge_decode(member, &e))
        *out = (struct arc){.how = how, .item = e.item, .quantity = e.quantity, .uom = e.uom, .index = e.index, .has_quantity = true};
}

/* The quantity in force: a correction of the event that made the edge is among the item's proven corrections. */
static struct arc corrected(const struct proven_chain *pc, struct arc a)
{
    const struct member_claim *log = pc->logs[ITEM_LOG_CORRECTIONS];
    struct correction x;
    for (size_t i = 0; log && i < log->n; i++) {
        if (!correction_decode(log->members[i], &x) || x.target_index != a.index || !x.has_number ||
            !span_eq(x.field, SPAN_LIT("quantity")))
            continue;
        a.quantity = x.number;
        a.corrected = true;
    }
    return a;
}

/* Arc number i of an item, the split line first. */
static struct arc arc_at(const struct trace *t, const struct proven_chain *pc, size_t i)
{
    struct arc out = {.how = "?"};
    const struct item_state *s = &pc->chain.item;
    if (t->back && s->parent.p) {
        if (i == 0)
            return (struct arc){.how = "split from", .item = s->parent, .index = s->made_index};
        i--;
    }
    const struct member_claim *units = t->back ? NULL : pc->logs[ITEM_LOG_UNITS];
    size_t n_units = units ? units->n : 0;
    if (i < n_units)
        edge_arc(units->members[i], "split into", &out);
    else
        edge_arc(pc->logs[t->back ? ITEM_LOG_INPUTS : ITEM_LOG_USES]->members[i - n_units], t->back ? "consumed" : "consumed into", &out);
    return corrected(pc, out);
}

/* ---- what must hold ---- */

static int build(struct trace *t, const struct reply *r)
{
    t->nodes = arena_alloc(t->ctl->a, (r->u.prove.n + 1) * sizeof *t->nodes);
    if (!t->nodes)
        return ctl_fail(t->ctl, EXIT_NO_ANSWER, "out of memory");
    for (size_t i = 0; i < r->u.prove.n; i++) {
        const struct proven_subject *s = &r->u.prove.subjects[i];
        if (s->name.type == CHAIN_ITEM && s->present)
            t->nodes[t->n++] = node_of(s);
    }
    qsort(t->nodes, t->n, sizeof t->nodes[0], node_order);
    return EXIT_GOOD;
}

/* The items that an item leads to, onto the stack, each once. */
static int follow(struct trace *t, const struct reply *r, const struct node *from, struct node **stack, size_t *depth)
{
    const struct proven_subject *s = from->s;
    if (!s->opened)
        return ctl_fail(t->ctl, EXIT_NO_ANSWER, "the state of %s is withheld from this certificate: no lineage without it",
                        ctl_span(t->ctl, s->name.id));
    if (leads_nowhere(t, s))
        return EXIT_GOOD;
    const struct proven_chain *pc = item_from(t, from);
    for (size_t k = 0; k < n_arcs(t, pc); k++) {
        struct span id = arc_at(t, pc, k).item;
        struct node *other = find_node(t, id);
        if (!other)
            return ctl_tampered(t->ctl, r, SPAN_NONE,
                                ctl_text(t->ctl, "the server left %s out of the lineage although the proven lists of %s name it",
                                         ctl_span(t->ctl, id), ctl_span(t->ctl, pc->chain.id)));
        if (!other->reached)
            stack[(*depth)++] = other;
        other->reached = true;
    }
    return EXIT_GOOD;
}

/* Nothing is missing that the proven lists name; and what they do not lead to, however well it was proven, is not of the lineage. */
static int check_complete(struct trace *t, const struct reply *r, struct node *root)
{
    struct node **stack = arena_alloc(t->ctl->a, (t->n + 1) * sizeof *stack);
    size_t depth = 0, kept = 0;
    int exit = stack ? EXIT_GOOD : ctl_fail(t->ctl, EXIT_NO_ANSWER, "out of memory");
    if (!exit)
        stack[depth++] = root;
    root->reached = true;
    while (!exit && depth)
        exit = follow(t, r, stack[--depth], stack, &depth);
    for (size_t i = 0; !exit && i < t->n; i++)
        if (t->nodes[i].reached)
            t->nodes[kept++] = t->nodes[i];
    if (!exit)
        t->n = kept;
    return exit;
}

/* ---- forms ---- */

static const char *item_text(struct ctl *ctl, const struct proven_chain *pc)
{
    const struct item_state *s = &pc->chain.item;
    const char *end = s->terminal == TERMINAL_ADMINISTERED ? ctl_text(ctl, ", administered to %s", ctl_span(ctl, s->patient))
                      : s->terminal                        ? ", disposed"
                      : s->shipment.p                      ? ctl_text(ctl, ", in shipment %s", ctl_span(ctl, s->shipment))
                                                           : ctl_text(ctl, ", at %s", ctl_span(ctl, s->holder));
    const char *recall = s->open_recalls ? ctl_paint(ctl, COLOR_BAD, " RECALLED") : "";
    return ctl_text(ctl, "%s  (%s, %s %s left%s)%s", ctl_paint(ctl, COLOR_BOLD, ctl_span(ctl, pc->chain.id)), item_class_name(s->klass),
                    ctl_dec(ctl, s->available), ctl_span(ctl, s->uom), end, recall);
}

static const char *arc_text(struct ctl *ctl, const struct arc *a)
{
    return a->has_quantity ? ctl_text(ctl, "%s %s %s%s, entry #%llu: ", a->how, ctl_dec(ctl, a->quantity), ctl_span(ctl, a->uom),
                                      a->corrected ? " (corrected)" : "", (unsigned long long)a->index)
                           : ctl_text(ctl, "%s, entry #%llu: ", a->how, (unsigned long long)a->index);
}

struct step {
    const struct node *node;
    size_t next;       /* arc to go on with */
    const char *prefix;
};

/* Depth first with a stack of its own: lineages may be deeper than a call stack. Each item's arcs are shown once. */
static int print_tree(struct trace *t, struct node *root)
{
    struct ctl *ctl = t->ctl;
    struct step *stack = arena_alloc(ctl->a, (t->n + 1) * sizeof *stack);
    size_t depth = 0;
    if (!stack)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    const struct proven_chain *pc = item_from(t, root);
    printf("%s\n", item_text(ctl, pc));
    root->shown = true;
    stack[depth++] = (struct step){root, 0, ""};
    while (depth) {
        struct step *s = &stack[depth - 1];
        size_t n = n_arcs(t, pc);
        if (s->next == n) {
            if (--depth)
                pc = item_from(t, stack[depth - 1].node);
            continue;
        }
        bool last = s->next + 1 == n;
        struct arc a = arc_at(t, pc, s->next++);
        struct node *other = find_node(t, a.item);
        subject_open(other->s, &t->to);
        bool seen = other->shown && n_arcs(t, &t->to) > 0;
        printf("%s%s %s%s%s\n", s->prefix, last ? "└─" : "├─", arc_text(ctl, &a), item_text(ctl, &t->to), seen ? "  (see above)" : "");
        if (!other->shown && n_arcs(t, &t->to) > 0) {
            const char *prefix = ctl_text(ctl, "%s%s", s->prefix, last ? "   " : "│  ");
            stack[depth++] = (struct step){other, 0, prefix};
            pc = item_from(t, other);
        }
        other->shown = true;
    }
    return EXIT_GOOD;
}

static void edge_json(struct json_writer *w, struct span from, const struct arc *a)
{
    json_object(w);
    json_put_string(w, "item", from);
    json_put_string(w, "how", span_str(a->how));
    json_put_string(w, "other", a->item);
    if (a->has_quantity) {
        json_put_dec(w, "quantity", a->quantity);
        json_put_string(w, "uom", a->uom);
        if (a->corrected)
            json_put_bool(w, "corrected", true);
    }
    json_put_uint(w, "entry", a->index);
    json_end(w);
}

/* What an item is printed from lies anywhere in a large answer: it is fetched while those before it are printed. */
static void fetch_ahead(const struct trace *t, size_t i)
{
    if (i + 8 < t->n) {
        __builtin_prefetch(t->nodes[i + 8].s);
        __builtin_prefetch(&t->nodes[i + 8].s->claim.state);
        __builtin_prefetch(&t->nodes[i + 8].s->count);
    }
    if (i + 4 < t->n) {
        __builtin_prefetch(t->nodes[i + 4].s->claim.state.p);
        __builtin_prefetch(t->nodes[i + 4].s->claim.salt.p);
        __builtin_prefetch(t->nodes[i + 4].s->claim.logs);
    }
}

static int print_json(struct trace *t, const struct reply *r, struct span id)
{
    struct json_writer w;
    json_writer_init(&w, t->ctl->a, true);
    json_object(&w);
    json_put_string(&w, "item", id);
    json_put_string(&w, "direction", span_str(t->back ? "back" : "forward"));
    json_name(&w, SPAN_LIT("items"));
    json_array(&w);
    for (size_t i = 0; i < t->n; i++) {
        fetch_ahead(t, i);
        chain_json(&w, item_from(t, &t->nodes[i]));
        ctl_print_json_part(&w);
    }
    json_end(&w);
    json_name(&w, SPAN_LIT("edges"));
    json_array(&w);
    for (size_t i = 0; i < t->n; i++) {
        if (leads_nowhere(t, t->nodes[i].s))
            continue;
        const struct proven_chain *pc = item_from(t, &t->nodes[i]);
        for (size_t k = 0; k < n_arcs(t, pc); k++) {
            struct arc a = arc_at(t, pc, k);
            edge_json(&w, pc->chain.id, &a);
            ctl_print_json_part(&w);
        }
    }
    json_end(&w);
    if (t->deep)
        dossier_deep_json(&t->made.report, &w);
    ctl_basis_json(&w, r);
    json_end(&w);
    return ctl_print_json(t->ctl, &w);
}

static const char *dot_quote(struct ctl *ctl, struct span s)
{
    const char *text = ctl_span(ctl, s), *out = "\"";
    for (; *text; text++)
        out = ctl_text(ctl, *text == '"' || *text == '\\' ? "%s\\%c" : "%s%c", out, *text);
    return ctl_text(ctl, "%s\"", out);
}

static int print_dot(struct trace *t)
{
    struct ctl *ctl = t->ctl;
    printf("digraph lineage {\n  rankdir=LR;\n  node [shape=box];\n");
    for (size_t i = 0; i < t->n; i++) {
        const struct item_state *s = &item_from(t, &t->nodes[i])->chain.item;
        printf("  %s%s;\n", dot_quote(ctl, t->nodes[i].s->name.id),
               s->open_recalls ? " [color=red]" : s->terminal == TERMINAL_ADMINISTERED ? " [style=bold]" : "");
    }
    for (size_t i = 0; i < t->n; i++) { /* arrows point the way of the material */
        if (leads_nowhere(t, t->nodes[i].s))
            continue;
        const struct proven_chain *pc = item_from(t, &t->nodes[i]);
        for (size_t k = 0; k < n_arcs(t, pc); k++) {
            struct arc a = arc_at(t, pc, k);
            const char *self = dot_quote(ctl, pc->chain.id), *other = dot_quote(ctl, a.item);
            printf("  %s -> %s", t->back ? other : self, t->back ? self : other);
            if (a.has_quantity)
                printf(" [label=%s]", dot_quote(ctl, span_str(ctl_text(ctl, "%s %s", ctl_dec(ctl, a.quantity), ctl_span(ctl, a.uom)))));
            printf(";\n");
        }
    }
    printf("}\n");
    return EXIT_GOOD;
}

static int print(struct trace *t, const struct reply *r, struct span id, bool dot)
{
    struct node *root = find_node(t, id);
    if (!root)
        return ask_absent(t->ctl, r, &r->u.prove.subjects[0]);
    int exit = check_complete(t, r, root);
    if (exit)
        return exit;
    root = find_node(t, id); /* it may stand elsewhere now */
    if (dot)
        return print_dot(t);
    if (t->ctl->json)
        return print_json(t, r, id);
    exit = print_tree(t, root);
    printf("%zu items.\n", t->n);
    ctl_basis(t->ctl, r);
    if (t->deep && !t->ctl->quiet)
        printf("%s\n", ctl_paint(t->ctl, COLOR_DIM, dossier_deep_text(&t->made.report)));
    return exit;
}

/* The lineage; deep: with all entries, as for a dossier, which is then verified as one. */
static int ask(struct trace *t, const struct chain_name *name, struct reply **r)
{
    enum closure closure = t->back ? CLOSE_BACK : CLOSE_FORWARD;
    const struct prove_request rq = {.chains = name, .n = 1, .closure = closure, .members = true};
    if (!t->deep)
        return ask_prove(t->ctl, &rq, r);
    t->made = (struct dossier_making){.ctl = t->ctl, .plan = {.subjects = name, .n_subjects = 1, .closure = closure}};
    int exit = dossier_make(&t->made);
    *r = t->made.reply;
    return exit;
}

int cmd_trace(struct ctl *ctl, int argc, char **argv)
{
    struct trace t = {.ctl = ctl};
    bool forward = false, dot = false, done;
    const struct ctl_opt opts[] = {{"back", OPT_FLAG, {.flag = &t.back}, 'b'}, {"forward", OPT_FLAG, {.flag = &forward}, 'f'},
                                   {"dot", OPT_FLAG, {.flag = &dot}, 0},
                                   {"deep", OPT_FLAG, {.flag = &t.deep}, 0}};
    char **args;
    unsigned n;
    struct reply *r;
    if (!ctl_options(ctl, argc, argv, opts, 4, 1, 1, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    if (t.back == forward)
        return ctl_fail(ctl, EXIT_USAGE, "which way? --back or --forward");
    struct chain_name name = {CHAIN_ITEM, span_str(args[0])};
    int exit = ask(&t, &name, &r);
    if (!exit)
        exit = build(&t, r);
    if (!exit)
        exit = print(&t, r, name.id, dot);
    if (t.deep)
        dossier_making_end(&t.made);
    else
        reply_free(r);
    return exit;
}
