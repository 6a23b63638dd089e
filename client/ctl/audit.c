/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerctl audit: reads the whole ledger and derives everything again — signatures, rules, states, links, chain map, tree — with
 * the same machine that the daemon writes with (proto/machine.h), over memory. What a client's reading has already proven is that the
 * entries are the leaves of the checkpoint's tree; the audit proves that these leaves are what the rules make of the signed events.
 */
#include <inttypes.h>
#include <string.h>

#include "ask.h"
#include "machine.h"

#define STORE_BUDGET ((size_t)16 << 30)
#define SCRATCH_BUDGET ((size_t)256 << 20)

struct counts {
    uint64_t entries, events, own, seals, signatures, links, withheld, not_replayed;
    uint64_t by_kind[EVENT_KIND_LAST + 1];
};
struct audit {
    struct ctl *ctl;
    struct machine m;
    struct kv_mem *store;
    struct arena *scratch;
    struct counts n;
    bool hashes_only, stopped; /* stopped: from here on only the tree is checked */
    enum verdict_kind verdict;
    struct verdict v;
    struct span bad;          /* the record that did not hold, as the log keeps it */
    struct ledger_err evidence; /* what was found, and where it is kept */
    struct ctl_progress progress;
};

static void count(struct audit *au, const struct read_entry *e)
{
    const struct header *h = &e->entry.header;
    au->n.entries++;
    au->n.links += h->n_links;
    if (h->kind <= EVENT_KIND_LAST)
        au->n.by_kind[h->kind]++;
    if (h->kind == OWN_SEAL)
        au->n.seals++;
    else if (e->entry.own)
        au->n.own++;
    else
        au->n.events++;
    if (!e->entry.own && e->entry.content && !au->hashes_only)
        au->n.signatures += e->entry.block.n;
}

/* What makes the rest impossible to derive ends the replay, not the reading. */
static void stop(struct audit *au, enum verdict_kind kind)
{
    au->stopped = true;
    au->verdict = kind;
}

static void replay(struct audit *au, const struct read_entry *e)
{
    struct ledger_err err = {0};
    bool withheld = e->entry.header.kind != OWN_SEAL && !e->entry.content && !e->entry.erased_by;
    au->n.withheld += withheld;
    if (!au->stopped && withheld) {
        verdict_bad(&au->v, VERDICT_NEWER, e->entry.header.index, "content",
                    "withheld from this certificate: states after it cannot be derived");
        stop(au, VERDICT_NEWER);
    }
    if (au->stopped) {
        au->n.not_replayed++;
        return;
    }
    const struct replay_options o = {.skip_signatures = au->hashes_only};
    arena_reset(au->scratch);
    const struct entry_record record = {e->raw.header, e->raw.event, e->raw.block, e->raw.opening, e->raw.erased_by};
    enum ledger_rc rc = machine_replay(&au->m, &record, &o, &au->v, &err);
    if (rc == LEDGER_OK) {
        count(au, e);
        return;
    }
    au->n.not_replayed++;
    if (rc != LEDGER_ETAMPER && rc != LEDGER_EVERSION)
        verdict_bad(&au->v, VERDICT_NEWER, e->entry.header.index, "replay", "%s", err.msg);
    au->bad = entry_record_join(au->ctl->a, &record);
    stop(au, rc == LEDGER_ETAMPER ? VERDICT_TAMPERED : VERDICT_NEWER);
}

/* Reads to the end (of the log, or `at`), replaying every entry. The last reply is kept: it names the checkpoint. */
static int read_all(struct audit *au, uint64_t at, struct reply **last)
{
    struct call_request call = {.op = CALL_ENTRIES, .u.entries = {.end = at}};
    int exit = EXIT_GOOD;
    bool end = false;
    while (!exit && !end) {
        struct reply *r;
        exit = ctl_call(au->ctl, &call, &r);
        if (exit)
            return exit;
        for (size_t i = 0; i < r->u.entries.n; i++)
            replay(au, &r->u.entries.entries[i]);
        call.u.entries.cursor = r->u.entries.cursor;
        end = r->u.entries.at_end || (at && call.u.entries.cursor.next >= at);
        ctl_progress(&au->progress, call.u.entries.cursor.next, at ? at : r->snapshot.cp.size);
        reply_free(*last);
        *last = r;
    }
    return exit;
}

/* The audited tree is the one that the checkpoint signs (or, with --at, its beginning); it must end in a seal. */
static int check_end(struct audit *au, uint64_t at, const struct reply *last)
{
    struct hash root;
    struct merkle_store tree = machine_tree(&au->m);
    uint64_t size = at ? at : last->snapshot.cp.size;
    if (au->stopped)
        return EXIT_GOOD;
    if (au->m.size != size || au->m.batch_first != size)
        return ctl_fail(au->ctl, EXIT_USAGE, "there is no checkpoint of size %" PRIu64 ": the nearest before it is %" PRIu64, size,
                        au->m.seal + 1);
    if (!merkle_root(au->ctl->c, &tree, size, &root))
        return ctl_fail(au->ctl, EXIT_NO_ANSWER, "out of memory");
    if (size == last->snapshot.cp.size && !hash_eq(&root, &last->snapshot.cp.root)) {
        verdict_bad(&au->v, VERDICT_TAMPERED, size - 1, "root", "the derived tree is not the one that the checkpoint signs");
        stop(au, VERDICT_TAMPERED);
    }
    return EXIT_GOOD;
}

static const char *result_text(const struct audit *au)
{
    switch (au->verdict) {
    case VERDICT_GOOD: return au->hashes_only ? "holds; signatures were not checked" : "holds";
    case VERDICT_TAMPERED: return "DOES NOT HOLD";
    case VERDICT_NEWER:
    case VERDICT_DAMAGED:
    case VERDICT_UNTRUSTED: break;
    }
    return "could not be derived to its end";
}

static const char *number(struct ctl *ctl, uint64_t n)
{
    return ctl_text(ctl, "%" PRIu64, n);
}

static void print_text(struct audit *au, const struct reply *last)
{
    struct ctl *ctl = au->ctl;
    const struct { const char *name; uint64_t n; } rows[] = {
        {"entries replayed", au->n.entries},  {"  events", au->n.events},       {"  own entries", au->n.own},
        {"  seals (map roots compared)", au->n.seals}, {"signatures verified", au->n.signatures}, {"links and state commitments derived", au->n.links},
        {"content withheld", au->n.withheld}, {"entries in the tree but not replayed", au->n.not_replayed},
    };
    printf("%s  %.*s\n", ctl_paint(ctl, au->verdict == VERDICT_GOOD ? COLOR_GOOD : COLOR_BAD, result_text(au)), SPAN_FMT(last->snapshot.cp.origin));
    if (au->stopped)
        printf("  entry #%" PRIu64 ": %s: %s\n", au->v.index, au->v.what, au->v.text);
    struct ctl_table *t = ctl_table_new(ctl, 2, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *cells[2] = {ctl_text(ctl, "  %s", rows[i].name), number(ctl, rows[i].n)};
        ctl_table_row(t, cells);
    }
    for (unsigned k = EVENT_KIND_FIRST; k <= EVENT_KIND_LAST; k++) {
        const char *cells[2] = {ctl_text(ctl, "  of %s", entry_kind_name(k)), number(ctl, au->n.by_kind[k])};
        if (au->n.by_kind[k])
            ctl_table_row(t, cells);
    }
    ctl_table_print(t);
    ctl_basis(ctl, last);
}

static int print_json(struct audit *au, const struct reply *last)
{
    struct json_writer w;
    json_writer_init(&w, au->ctl->a, true);
    json_object(&w);
    json_put_bool(&w, "holds", au->verdict == VERDICT_GOOD);
    json_put_string(&w, "result", span_str(result_text(au)));
    if (au->stopped) {
        json_put_uint(&w, "at_entry", au->v.index);
        json_put_string(&w, "what", span_str(au->v.what));
        json_put_string(&w, "text", span_str(au->v.text));
    }
    if (au->evidence.rc)
        json_put_string(&w, "error", span_str(au->evidence.msg));
    json_put_uint(&w, "entries_replayed", au->n.entries);
    json_put_uint(&w, "events", au->n.events);
    json_put_uint(&w, "own_entries", au->n.own);
    json_put_uint(&w, "seals", au->n.seals);
    json_put_uint(&w, "signatures_verified", au->n.signatures);
    json_put_uint(&w, "links_derived", au->n.links);
    json_put_uint(&w, "content_withheld", au->n.withheld);
    json_put_uint(&w, "not_replayed", au->n.not_replayed);
    json_name(&w, SPAN_LIT("by_kind"));
    json_object(&w);
    for (unsigned k = EVENT_KIND_FIRST; k <= EVENT_KIND_LAST; k++)
        if (au->n.by_kind[k])
            json_put_uint(&w, entry_kind_name(k), au->n.by_kind[k]);
    json_end(&w);
    ctl_basis_json(&w, last);
    json_end(&w);
    return ctl_print_json(au->ctl, &w);
}

static int run(struct audit *au, uint64_t at)
{
    struct reply *last = NULL;
    ctl_progress_begin(&au->progress, au->ctl, "audit");
    int exit = read_all(au, at, &last);
    ctl_progress_end(&au->progress);
    if (!exit)
        exit = check_end(au, at, last);
    if (!exit && au->verdict == VERDICT_TAMPERED)
        ctl_keep_entry(au->ctl, au->v.index, ctl_text(au->ctl, "entry #%" PRIu64 ", %s: %s", au->v.index, au->v.what, au->v.text),
                       last->snapshot.note, au->bad, &au->evidence);
    if (!exit && au->ctl->json)
        exit = print_json(au, last);
    else if (!exit)
        print_text(au, last);
    reply_free(last);
    if (exit)
        return exit;
    if (au->evidence.rc) {
        fprintf(stderr, "ledgerctl audit: %s\n", au->evidence.msg);
        return EXIT_TAMPERED;
    }
    return au->verdict == VERDICT_GOOD ? EXIT_GOOD : EXIT_NO_ANSWER;
}

int cmd_audit(struct ctl *ctl, int argc, char **argv)
{
    const char *at_text = NULL;
    struct audit au = {.ctl = ctl, .verdict = VERDICT_GOOD};
    const struct ctl_opt opts[] = {{"at", OPT_TEXT, {.text = &at_text}, 0}, {"hashes-only", OPT_FLAG, {.flag = &au.hashes_only}, 0}};
    bool done;
    char **args;
    unsigned n;
    uint64_t at;
    if (!ctl_options(ctl, argc, argv, opts, 2, 0, 0, &args, &n, &done) || !ask_number(ctl, "--at", at_text, &at))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = ctl_connect(ctl);
    if (exit)
        return exit;
    au.store = kv_mem_new(NULL, STORE_BUDGET);
    au.scratch = arena_new(SCRATCH_BUDGET);
    if (!au.store || !au.scratch)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    au.m.c = ctl->c;
    au.m.a = au.scratch;
    au.m.kv = kv_mem_kv(au.store);
    au.m.index_key = client_profile(ctl->client)->index_key;
    au.m.wire = true;
    exit = run(&au, at);
    kv_mem_free(au.store);
    arena_free(au.scratch);
    return exit;
}
