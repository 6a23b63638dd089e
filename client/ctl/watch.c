/* SPDX-License-Identifier: Apache-2.0 */
/* ledgerctl watch: new entries as they are committed, each proven to be in the log before it is printed. */
#include <inttypes.h>

#include "ask.h"

static void print(struct ctl *ctl, const struct read_entry *e)
{
    const char *kind = entry_kind_name(e->entry.header.kind);
    if (ctl->json) {
        struct json_writer w;
        json_writer_init(&w, ctl->a, false);
        entry_json(&w, ctl->a, &e->entry);
        ctl_print_json(ctl, &w);
        putchar('\n');
        return;
    }
    const char *who = e->entry.own ? "(the ledger)" : e->entry.erased_by ? "(erased)" : "(withheld)", *item = "";
    if (!e->entry.own && e->entry.content) {
        struct span s = event_text(&e->entry.event, FIELD_ITEM);
        if (!s.p)
            s = event_text(&e->entry.event, FIELD_SHIPMENT);
        item = ctl_span(ctl, s);
        who = e->entry.block.n ? ctl_span(ctl, e->entry.block.sigs[0].party) : "";
    }
    printf("#%-8" PRIu64 " %s  %-24s %s %s\n", e->entry.header.index, ctl_time(ctl, e->entry.header.recorded_us), kind ? kind : "?", who, item);
}

/* Where to begin: --from, or the size of the latest checkpoint. */
static int begin_at(struct ctl *ctl, bool given, uint64_t from, uint64_t *next)
{
    struct reply *r;
    struct call_request call = {.op = CALL_SNAPSHOT};
    *next = from;
    if (given)
        return EXIT_GOOD;
    int exit = ctl_call(ctl, &call, &r);
    if (!exit)
        *next = r->snapshot.cp.size;
    reply_free(r);
    return exit;
}

static int follow(struct ctl *ctl, uint64_t next, uint64_t count)
{
    struct call_request call = {.op = CALL_ENTRIES, .u.entries = {.cursor = {.next = next}, .follow = true}};
    uint64_t shown = 0;
    while (count == 0 || shown < count) {
        struct reply *r;
        int exit = ctl_call(ctl, &call, &r); /* waits for the next batch, at most for the call's time; then it is asked again */
        if (exit)
            return exit;
        for (size_t i = 0; i < r->u.entries.n && (count == 0 || shown < count); i++, shown++) {
            struct arena_mark m = arena_mark(ctl->a);
            print(ctl, &r->u.entries.entries[i]);
            arena_release(ctl->a, m);
        }
        fflush(stdout);
        call.u.entries.cursor = r->u.entries.cursor;
        reply_free(r);
    }
    return EXIT_GOOD;
}

int cmd_watch(struct ctl *ctl, int argc, char **argv)
{
    const char *from_text = NULL, *count_text = NULL;
    const struct ctl_opt opts[] = {{"from", OPT_TEXT, {.text = &from_text}, 0}, {"count", OPT_TEXT, {.text = &count_text}, 'n'}};
    bool done;
    char **args;
    unsigned n;
    uint64_t from, count, next;
    if (!ctl_options(ctl, argc, argv, opts, 2, 0, 0, &args, &n, &done) || !ask_number(ctl, "--from", from_text, &from) ||
        !ask_number(ctl, "--count", count_text, &count))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = ctl_profile(ctl);
    if (!exit)
        exit = begin_at(ctl, from_text != NULL, from, &next);
    if (exit)
        return exit;
    ctl_note(ctl, "Following %s from entry #%" PRIu64 "; end with Ctrl-C.", ledger_profile_origin(ctl->profile), next);
    return follow(ctl, next, count);
}
