/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erase: destroys the content of recorded events under an ERASURE entry that two persons sign. What stays: the entries, their
 * places in all chains, and the states that they left.
 */
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "ask.h"
#include "batch.h"

struct erase {
    struct ctl *ctl;
    struct act_options act;
    const char *reason;
    unsigned n;
    struct hash ids[ERASURE_EVENTS_MAX];
};

/* The event of an entry's number, from the entry that the ledger proves to be there. */
static int id_of_entry(struct ctl *ctl, const char *arg, struct hash *out)
{
    struct call_request call = {.op = CALL_RECEIPT, .u.receipt = {.by_index = true}};
    struct reply *r;
    if (!arg[1] || !ask_number(ctl, "#", arg + 1, &call.u.receipt.index))
        return ctl_fail(ctl, EXIT_USAGE, "\"%s\" is no number of an entry", arg);
    int exit = ctl_call(ctl, &call, &r);
    if (exit)
        return exit;
    *out = r->u.receipt.receipt.entry.header.event_id;
    reply_free(r);
    return EXIT_GOOD;
}

static int read_id(struct ctl *ctl, const char *arg, struct hash *out)
{
    if (arg[0] == '#')
        return id_of_entry(ctl, arg, out);
    if (strlen(arg) == 2 * HASH_LEN && hex_decode(span_str(arg), out->b))
        return EXIT_GOOD;
    return ctl_fail(ctl, EXIT_USAGE,
                    "\"%.80s\" is neither an event id (64 hexadecimal digits) nor an entry's number (#42)", arg);
}

static int id_order(const void *x, const void *y)
{
    return memcmp(x, y, HASH_LEN);
}

static int read_ids(struct erase *e, char **args, unsigned n)
{
    int exit = EXIT_GOOD;
    if (n > ERASURE_EVENTS_MAX)
        return ctl_fail(e->ctl, EXIT_USAGE, "one erasure names at most %d events", ERASURE_EVENTS_MAX);
    for (unsigned i = 0; i < n && !exit; i++)
        exit = read_id(e->ctl, args[i], &e->ids[i]);
    if (exit)
        return exit;
    qsort(e->ids, n, sizeof e->ids[0], id_order);
    for (unsigned i = 0; i < n; i++)
        if (e->n == 0 || !hash_eq(&e->ids[e->n - 1], &e->ids[i]))
            e->ids[e->n++] = e->ids[i];
    return EXIT_GOOD;
}

static int new_act(struct erase *e, char **args, unsigned n, struct ledger_batch **out)
{
    struct erasure x = {.reason = span_str(e->reason), .ids = e->ids[0].b};
    *out = NULL;
    if (!text_valid(x.reason))
        return ctl_fail(e->ctl, EXIT_USAGE, "--reason takes a text of 1 to %d bytes", TEXT_MAX);
    int exit = read_ids(e, args, n);
    if (!exit)
        exit = act_nonce(e->ctl, x.nonce);
    x.n = (uint16_t)e->n;
    return exit ? exit : act_new(e->ctl, OWN_ERASURE, erasure_encode(e->ctl->a, &x), out);
}

/* What the second signer puts his name to. */
static void print_act(struct ctl *ctl, const struct ledger_batch *b, const struct erasure *x)
{
    char hex[2 * HASH_LEN + 1];
    printf("Erasure of %u event%s, signed by %s.\n  reason  %s\n", x->n, x->n == 1 ? "" : "s",
           act_signers(ctl, b->sigs, b->n_signatures), ctl_span(ctl, x->reason));
    for (unsigned i = 0; i < x->n; i++) {
        hex_encode(span_of(x->ids + (size_t)i * HASH_LEN, HASH_LEN), hex);
        printf("  event   %s\n", hex);
    }
}

static int result_json(struct ctl *ctl, const struct ledger_batch *b, const struct erasure *x, const struct reply *r)
{
    struct json_writer w;
    char hex[2 * HASH_LEN + 1];
    json_writer_init(&w, ctl->a, true);
    json_object(&w);
    json_put_string(&w, "outcome", SPAN_LIT("erased"));
    json_put_string(&w, "reason", x->reason);
    json_name(&w, SPAN_LIT("events"));
    json_array(&w);
    for (unsigned i = 0; i < x->n; i++) {
        hex_encode(span_of(x->ids + (size_t)i * HASH_LEN, HASH_LEN), hex);
        json_string(&w, span_str(hex));
    }
    json_end(&w);
    act_result_json(&w, b, r);
    json_end(&w);
    return ctl_print_json(ctl, &w);
}

static int print_result(struct ctl *ctl, const struct ledger_batch *b, const struct erasure *x, const struct reply *r)
{
    const struct submit_result *s = &r->u.submit.results[0];
    if (ctl->json)
        return result_json(ctl, b, x, r);
    printf("%s under entry #%llu of %.*s, recorded %s: the content of %u event%s. Its states and its places in all chains stay.\n",
           ctl_paint(ctl, COLOR_GOOD, s->outcome == LEDGER_BEFORE ? "Erased before" : "Erased"), (unsigned long long)s->index,
           SPAN_FMT(r->snapshot.cp.origin), ctl_time(ctl, s->recorded_us), x->n, x->n == 1 ? "" : "s");
    ctl_note(ctl, "Copies that clients, receipts and earlier backups hold are out of the ledger's reach.");
    return EXIT_GOOD;
}

static int erase(struct erase *e, char **args, unsigned n)
{
    struct ctl *ctl = e->ctl;
    struct ledger_batch *b;
    struct ledger_err err = {0};
    struct erasure x;
    struct reply *r = NULL;
    int exit = e->act.file ? act_read(ctl, &e->act, OWN_ERASURE, &b) : new_act(e, args, n, &b);
    if (!exit && erasure_decode(b->events[0].bytes, &x, &err))
        exit = ctl_fail_err(ctl, &err, LEDGER_RECORDED_NOTHING);
    if (!exit && !ctl->json && e->act.file)
        print_act(ctl, b, &x);
    if (!exit)
        exit = act_finish(ctl, b, &e->act, &r);
    if (!exit && r)
        exit = print_result(ctl, b, &x, r);
    reply_free(r);
    ledger_batch_free(b);
    return exit;
}

int cmd_erase(struct ctl *ctl, int argc, char **argv)
{
    struct erase *e = arena_alloc(ctl->a, sizeof *e);
    char **args;
    unsigned n;
    bool done;
    if (!e)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    e->ctl = ctl;
    ctl->unsent = true;
    const struct ctl_opt opts[] = {{"reason", OPT_TEXT, {.text = &e->reason}, 0}, ACT_OPTIONS(&e->act)};
    if (!ctl_options(ctl, argc, argv, opts, 1 + ACT_OPTIONS_N, 0, UINT32_MAX, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    if (e->act.file ? n > 0 || e->reason || e->act.prepare : n == 0 || !e->reason)
        return ctl_fail(ctl, EXIT_USAGE,
                        e->act.file ? "with --act everything about the erasure stands in the file"
                                    : "usage: ledgerctl erase EVENT-ID… --reason TEXT --sign ADMIN --sign SECOND");
    return erase(e, args, n);
}
