/* SPDX-License-Identifier: Apache-2.0 */
/* recording: builds, signs and submits one event, and prints what came of it (recording.h). */
#include "recording.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "chain_json.h"
#include "entry.h"
#include "refused.h"
#include "state.h"

/* ---- the event ---- */

static int random_bytes(struct ctl *ctl, uint8_t *out, size_t n)
{
    return getrandom(out, n, 0) == (ssize_t)n
               ? EXIT_GOOD
               : ctl_fail(ctl, EXIT_NO_ANSWER, "the system gives no random bytes");
}

int recording_reference(struct ctl *ctl, struct span *out)
{
    uint8_t bytes[16];
    char hex[2 * sizeof bytes + 1];
    int exit = random_bytes(ctl, bytes, sizeof bytes);
    *out = span_of("", 0);
    if (exit)
        return exit;
    hex_encode(span_of(bytes, sizeof bytes), hex);
    *out = span_str(ctl_text(ctl, "%s", hex));
    return EXIT_GOOD;
}

int recording_nonce(struct ctl *ctl, struct event *ev)
{
    uint8_t bytes[NONCE_LEN];
    if (ev->nonce.p)
        return EXIT_GOOD;
    int exit = random_bytes(ctl, bytes, sizeof bytes);
    if (exit)
        return exit;
    ev->nonce = arena_copy(ctl->a, span_of(bytes, sizeof bytes));
    return ev->nonce.p ? EXIT_GOOD : ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
}

static int unknown_kind(struct ctl *ctl, const char *kind)
{
    const char *all = "";
    for (unsigned i = EVENT_KIND_FIRST; i <= EVENT_KIND_LAST; i++)
        all = ctl_text(ctl, "%s%s%s", all, *all ? ", " : "", kind_find(i)->name);
    return ctl_fail(ctl, EXIT_USAGE, "no kind of event is named \"%.80s\"; there are %s", kind,
                    all);
}

int recording_begin(struct ctl *ctl, const char *kind, const char *reference, const char *occurred,
                    struct event *out)
{
    *out = (struct event){.kind = kind_by_name(span_str(kind)), .reference = span_str(reference)};
    if (!out->kind)
        return unknown_kind(ctl, kind);
    const char *time = occurred ? occurred : ctl_time(ctl, ctl_now_us());
    out->occurred = (struct value){.type = VALUE_TIME, .raw = span_str(time)};
    const char *fault = time_fault(out->occurred.raw, &out->occurred.time_us);
    if (fault)
        return ctl_fail(ctl, EXIT_USAGE, "--occurred: %.60s %s", time, fault);
    return reference ? EXIT_GOOD : recording_reference(ctl, &out->reference);
}

int recording_set(struct ctl *ctl, struct event *ev, const char *field, const char *text)
{
    struct ledger_err err = {0};
    if (line_set_field(ctl->a, ev, ctl_text(ctl, "%s=%s", field, text), &err))
        return ctl_fail(ctl, EXIT_USAGE, "%s", err.msg);
    return EXIT_GOOD;
}

/* ---- what came of it ---- */

static int print_refused(struct ctl *ctl, const struct event *ev, const struct refusal *why,
                         uint64_t index)
{
    return refused_print(ctl, &(struct refused){ev->kind->name, ev->reference, why, index});
}

/* A header names chains by their keys. Which subject a key stands for is found by trying the ids
 * that the event holds. */
struct chain_guess {
    struct ctl *ctl;
    const struct hash *key;
    const char *found;
};

static void guess(struct chain_guess *g, enum chain_type type, const char *prefix, struct span id)
{
    struct hash key;
    if (g->found || id.n == 0 || id.n > ID_MAX)
        return;
    const char *text = ctl_span(g->ctl, id);
    chain_key(g->ctl->c, &g->ctl->profile->index_key, type,
              span_str(ctl_text(g->ctl, "%s%s", prefix, text)), &key);
    if (hash_eq(&key, g->key))
        g->found = ctl_text(g->ctl, "%s %s",
                            type == CHAIN_CASE
                                ? ctl_text(g->ctl, "%.*s", (int)strcspn(prefix, "/"), prefix)
                                : chain_type_name(type),
                            text);
}

static void guess_all(struct chain_guess *g, struct span id)
{
    static const enum chain_type types[] = {CHAIN_ITEM, CHAIN_PARTY, CHAIN_SUBJECT, CHAIN_SHIPMENT,
                                            CHAIN_PRODUCT};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        guess(g, types[i], "", id);
    guess(g, CHAIN_CASE, "deviation/", id);
    guess(g, CHAIN_CASE, "excursion/", id);
    guess(g, CHAIN_CASE, "recall/", id);
    guess(g, CHAIN_CASE, "excursion/NOLOG:", id);
    guess(g, CHAIN_CASE, "excursion/SEAL:", id);
}

static const char *chain_text(struct ctl *ctl, const struct event *ev, const struct link *l)
{
    char hex[2 * HASH_LEN + 1];
    struct chain_guess g = {.ctl = ctl, .key = &l->chain};
    for (unsigned i = 0; i < ev->kind->n_fields && !g.found; i++) {
        const struct value *v = &ev->fields[i];
        if (v->type == VALUE_TEXT)
            guess_all(&g, v->raw);
        for (size_t k = 0; v->type == VALUE_LIST && k < v->n && !g.found; k++) {
            const struct value *m = &v->items[k];
            if (m->type == VALUE_TEXT)
                guess_all(&g, m->raw);
            if (m->type == VALUE_RECORD && m->n && m->items[0].type == VALUE_TEXT)
                guess_all(&g, m->items[0].raw);
        }
    }
    if (g.found)
        return g.found;
    hex_encode(span_of(l->chain.b, HASH_LEN), hex);
    return ctl_text(ctl, "chain %.16s…", hex);
}

static void print_receipt_text(struct ctl *ctl, const struct event *ev, const struct reply *r,
                               const struct header *h)
{
    char id[2 * HASH_LEN + 1];
    const struct submit_result *s = &r->u.submit.results[0];
    struct ctl_table *t = ctl_table_new(ctl, 2, NULL);
    hex_encode(span_of(h->event_id.b, HASH_LEN), id);
    printf("%s as entry #%llu of %.*s.\n",
           ctl_paint(ctl, COLOR_GOOD, s->outcome == LEDGER_BEFORE ? "Recorded before" : "Recorded"),
           (unsigned long long)s->index, SPAN_FMT(r->snapshot.cp.origin));
    const char *rows[][2] = {
        {"  event", ctl_text(ctl, "%s", id)},
        {"  kind", ev->kind->name},
        {"  reference", ctl_span(ctl, ev->reference)},
        {"  recorded", ctl_time(ctl, s->recorded_us)},
        {"  checkpoint", ctl_text(ctl, "%llu entries, signed by the log; inclusion proven",
                                  (unsigned long long)r->snapshot.cp.size)},
        {"  level", r->witnessed.present ? ctl_text(ctl, "witnessed: cosigned by %s", ctl_names(ctl, &r->witnessed)) : "durable"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ctl_table_row(t, rows[i]);
    for (unsigned i = 0; i < h->n_links; i++) {
        const char *row[2] = {i == 0 ? "  advanced" : "",
                              ctl_text(ctl, "%s, its entry no. %llu",
                                       chain_text(ctl, ev, &h->links[i]),
                                       (unsigned long long)h->links[i].seq + 1)};
        ctl_table_row(t, row);
    }
    ctl_table_print(t);
}

static int print_receipt_json(struct ctl *ctl, const struct event *ev, const struct reply *r,
                              const struct header *h)
{
    const struct submit_result *s = &r->u.submit.results[0];
    struct json_writer w;
    json_writer_init(&w, ctl->a, true);
    json_object(&w);
    json_put_string(&w, "outcome",
                    s->outcome == LEDGER_BEFORE ? SPAN_LIT("recorded before")
                                                : SPAN_LIT("recorded"));
    json_put_uint(&w, "index", s->index);
    json_put_hex(&w, "event_id", span_of(h->event_id.b, HASH_LEN));
    json_put_string(&w, "kind", span_str(ev->kind->name));
    json_put_string(&w, "reference", ev->reference);
    json_put_time(&w, "recorded", s->recorded_us);
    json_put_string(&w, "level", r->witnessed.present ? SPAN_LIT("witnessed") : SPAN_LIT("durable"));
    ctl_basis_json(&w, r);
    json_name(&w, SPAN_LIT("chains"));
    json_array(&w);
    for (unsigned i = 0; i < h->n_links; i++) {
        json_object(&w);
        json_put_string(&w, "subject", span_str(chain_text(ctl, ev, &h->links[i])));
        json_put_hex(&w, "chain_key", span_of(h->links[i].chain.b, HASH_LEN));
        json_put_uint(&w, "entries", h->links[i].seq + 1);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    return ctl_print_json(ctl, &w);
}

int recording_receipt(struct ctl *ctl, const struct receipt_request *rq, const char *path,
                      bool force, struct reply **out)
{
    struct call_request call = {.op = CALL_RECEIPT, .u.receipt = *rq};
    int exit = ctl_call(ctl, &call, out);
    if (exit)
        return exit;
    exit = ctl_write_file(ctl, path, (*out)->u.receipt.file, force);
    if (!exit)
        return EXIT_GOOD;
    reply_free(*out);
    *out = NULL;
    return exit;
}

static int write_receipt(struct ctl *ctl, uint64_t index, const char *path, bool force)
{
    struct receipt_request rq = {.by_index = true, .index = index, .witnessed = ctl->witnessed};
    struct reply *r;
    int exit = recording_receipt(ctl, &rq, path, force, &r);
    if (exit)
        return exit;
    if (!ctl->json)
        printf("  receipt     %s (%zu bytes)\n", path, r->u.receipt.file.n);
    reply_free(r);
    return EXIT_GOOD;
}

static int print_result(struct ctl *ctl, const struct event *ev, const struct reply *r)
{
    struct ledger_err err = {0};
    struct header h;
    const struct submit_result *s = r->u.submit.n == 1 ? &r->u.submit.results[0] : NULL;
    if (s && s->outcome == LEDGER_REFUSED)
        return print_refused(ctl, ev, &s->why, s->index);
    if (!s || (s->outcome != LEDGER_ACCEPTED && s->outcome != LEDGER_BEFORE) ||
        header_decode(ctl->a, s->header, &h, &err))
        return ctl_fail(ctl, EXIT_NO_ANSWER, "the server's answer is not understood%s%s",
                        err.msg[0] ? ": " : "", err.msg);
    if (ctl->json)
        return print_receipt_json(ctl, ev, r, &h);
    print_receipt_text(ctl, ev, r, &h);
    return EXIT_GOOD;
}

static enum ledger_rc sign_batch(struct ledger_batch *b, struct span event,
                                 const struct signing *signings, unsigned n, struct ledger_err *err)
{
    enum ledger_rc rc = ledger_batch_add(b, event.p, event.n, err);
    for (unsigned i = 0; i < n && !rc; i++)
        rc = batch_sign(b, signings[i].key, signings[i].meaning, NULL, err);
    return rc;
}

int recording_finish(struct ctl *ctl, struct event *ev, const struct signing *signings, unsigned n,
                     const char *receipt_path, bool force)
{
    struct refusal why;
    struct ledger_err err = {0};
    struct ledger_batch *b = NULL;
    struct reply *r = NULL;
    int exit = recording_nonce(ctl, ev);
    if (!exit)
        exit = ctl_profile(ctl);
    if (!exit && receipt_path && !force && access(receipt_path, F_OK) == 0)
        exit = ctl_fail(ctl, EXIT_USAGE,
                        "%s exists; it is not overwritten without --force",
                        receipt_path);
    if (exit)
        return exit;
    if (!event_check_form(ev, &why))
        return print_refused(ctl, ev, &why, 0);
    struct span bytes = event_encode(ctl->a, ev);
    if (bytes.n > EVENT_SIZE_MAX)
        return ctl_fail(ctl, EXIT_USAGE,
                        "the event has %zu bytes; at most %d are allowed",
                        bytes.n, EVENT_SIZE_MAX);
    if (!bytes.p || ledger_batch_new(ctl->profile->origin, &b, &err) ||
        sign_batch(b, bytes, signings, n, &err)) {
        ledger_batch_free(b);
        return bytes.p ? ctl_fail_err(ctl, &err, LEDGER_RECORDED_NOTHING)
                       : ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    }
    struct call_request rq = {.op = CALL_SUBMIT, .u.submit = {.batch = b, .witnessed = ctl->witnessed}};
    exit = ctl_call(ctl, &rq, &r);
    int printed = r ? print_result(ctl, ev, r) : EXIT_GOOD; /* also when it is recorded and not witnessed yet */
    exit = exit ? exit : printed;
    if (!exit && receipt_path)
        exit = write_receipt(ctl, r->u.submit.results[0].index, receipt_path, force);
    reply_free(r);
    ledger_batch_free(b);
    return exit;
}
