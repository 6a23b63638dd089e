/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: one event from the command line, or a file of many. A file's neighbours with the same
 * signatures go in batches under one signature. A line that carries its own nonce is the same event
 * each time, so sending such a file again records nothing twice.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "lines.h"
#include "recording.h"
#include "sender.h"

#include <string.h>

#define LINE_ARENA_BUDGET ((size_t)1 << 30)

struct record {
    struct ctl *ctl;
    struct key_ring ring;
    struct ctl_list sign, meaning;
    const char *file, *keys_folder, *reference, *occurred, *receipt;
    bool all, force;
    /* With -f. */
    struct arena *a; /* of one line */
    struct sender *sender;
    struct line_file lf;
    struct ctl_progress progress;
    struct signing signings[SIGNATURES_READ_MAX];
    unsigned
        n_signings; /* what --sign, or else the profile's party, gives to lines without signers */
    bool signings_known;
    bool stopped; /* all or nothing, and a line was refused here */
    uint64_t lines, accepted, before, refused, skipped, unknown, nothing;
};

/* ---- a file ---- */

struct recorded {
    struct span id;     /* points behind the structure */
    struct refusal why; /* found here: the line was not sent */
    char text[];
};

static void print_line(struct record *rc, const struct recorded *line, const char *verdict,
                       const char *detail)
{
    printf("%s\t%s\t%s\n", ctl_span(rc->ctl, line->id), verdict, detail);
}

static void print_refused(struct record *rc, const struct recorded *line, const struct refusal *why)
{
    if (rc->ctl->json)
        line_print(rc->ctl, line->id, why, NULL, NULL);
    else
        print_line(rc, line, ctl_text(rc->ctl, "REFUSE:%s", refusal_name(why->code)),
                   ctl_text(rc->ctl, "%s%s%s%s%s", ctl_word(rc->ctl, why->subject), why->subject[0] ? ": " : "",
                            ctl_word(rc->ctl, why->field), why->field[0] ? ": " : "", ctl_word(rc->ctl, why->text)));
    rc->refused++;
}

static void print_accepted(struct record *rc, const struct recorded *line, const struct sent *sent)
{
    const struct submit_result *r = sent->result;
    if (rc->ctl->json)
        line_print(rc->ctl, line->id, NULL, &r->index, sent->event_id);
    else
        print_line(rc, line, "ACCEPT",
                   ctl_text(rc->ctl, "#%" PRIu64 "%s", r->index,
                            r->outcome == LEDGER_BEFORE ? " (recorded before)" : ""));
    rc->accepted += r->outcome == LEDGER_ACCEPTED;
    rc->before += r->outcome == LEDGER_BEFORE;
}

static void print_lost(struct record *rc, const struct recorded *line, const struct sent *sent)
{
    bool skipped = sent->result && sent->result->outcome == LEDGER_SKIPPED;
    bool unknown = !sent->result && sent->recorded == LEDGER_RECORDED_UNKNOWN;
    rc->skipped += skipped;
    rc->unknown += unknown;
    rc->nothing += !skipped && !unknown;
    const char *verdict = skipped ? "SKIPPED" : unknown ? "UNKNOWN" : "NOT_SENT";
    const char *text = skipped   ? "not recorded: another event was refused"
                       : unknown ? "no answer: it may be recorded"
                                 : "not recorded";
    if (rc->ctl->json)
        line_print_other(rc->ctl, line->id, verdict, text);
    else
        print_line(rc, line, verdict, text);
}

static void on_result(void *ctx, void *tag, const struct sent *sent)
{
    struct record *rc = ctx;
    struct recorded *line = tag;
    struct arena_mark mark = arena_mark(rc->ctl->a);
    if (line->why.code != REFUSE_NONE)
        print_refused(rc, line, &line->why);
    else if (!sent->result || sent->result->outcome == LEDGER_SKIPPED)
        print_lost(rc, line, sent);
    else if (sent->result->outcome == LEDGER_REFUSED)
        print_refused(rc, line, &sent->result->why);
    else
        print_accepted(rc, line, sent);
    arena_release(rc->ctl->a, mark);
    free(line);
    /* How many lines a file has is known at its end; until then their size so far tells. */
    if (rc->progress.ctl && rc->lf.bytes)
        ctl_progress(&rc->progress, rc->lines,
                     (uint64_t)((double)rc->lines * (double)rc->lf.size / (double)rc->lf.bytes));
}

/* The signatures of a line: --sign, else its own signers, else the profile's party. */
static int line_signings(struct record *rc, const struct line *line,
                         struct signing out[SIGNATURES_READ_MAX], unsigned *n)
{
    int exit = EXIT_GOOD;
    if (rc->sign.n || line->n_signers == 0) {
        if (!rc->signings_known)
            exit = ring_signings(&rc->ring, &rc->sign, &rc->meaning, rc->signings, &rc->n_signings);
        rc->signings_known = !exit;
        *n = rc->n_signings;
        for (unsigned i = 0; i < *n; i++)
            out[i] = rc->signings[i];
        return exit;
    }
    *n = (unsigned)line->n_signers;
    if (line->n_signers > SIGNATURES_READ_MAX)
        return line_file_fail(&rc->lf, "more than %d signers", SIGNATURES_READ_MAX);
    for (unsigned i = 0; i < *n && !exit; i++) {
        const struct line_signer *s = &line->signers[i];
        if (!s->party.p)
            return line_file_fail(&rc->lf, "signers[%u]: no party", i);
        out[i].meaning = s->meaning.p ? arena_strdup(rc->a, s->meaning) : NULL;
        exit = ring_party(&rc->ring, s->party, &out[i].key);
    }
    return exit;
}

static int fill_envelope(struct record *rc, struct line *line)
{
    struct event *ev = &line->event;
    int exit = EXIT_GOOD;
    if (line->id.n == 0) {
        exit = recording_reference(rc->ctl, &ev->reference);
        line->id = ev->reference;
    }
    if (ev->occurred.type == VALUE_ABSENT) {
        ev->occurred =
            (struct value){.type = VALUE_TIME, .raw = span_str(ctl_time(rc->ctl, ctl_now_us()))};
        LEDGER_REQUIRE(time_parse(ev->occurred.raw, &ev->occurred.time_us));
    }
    return exit ? exit : recording_nonce(rc->ctl, ev);
}

/* Takes `out` only on success. */
static int send_line(struct record *rc, struct line *line, struct recorded *out)
{
    struct signing signings[SIGNATURES_READ_MAX];
    unsigned n;
    if (!event_check_form(&line->event, &out->why)) {
        rc->stopped = rc->all;
        return sender_local(rc->sender, out);
    }
    int exit = line_signings(rc, line, signings, &n);
    if (exit)
        return exit;
    struct span bytes = event_encode(rc->a, &line->event);
    if (!bytes.p)
        return ctl_fail(rc->ctl, EXIT_NO_ANSWER, "out of memory");
    exit = sender_add(rc->sender, signings, n, bytes, out, &out->why);
    if (exit || out->why.code == REFUSE_NONE)
        return exit;
    rc->stopped = rc->all;
    return sender_local(rc->sender, out);
}

static int record_line(struct record *rc, struct line *line)
{
    int exit = fill_envelope(rc, line);
    struct recorded *out = exit ? NULL : calloc(1, sizeof *out + line->id.n + 1);
    if (!exit && !out)
        exit = ctl_fail(rc->ctl, EXIT_NO_ANSWER, "out of memory");
    if (exit)
        return exit;
    for (size_t i = 0; i < line->id.n; i++)
        out->text[i] = (char)line->id.p[i];
    out->id = span_of(out->text, line->id.n);
    rc->lines++;
    exit = send_line(rc, line, out);
    if (exit)
        free(out);
    return exit;
}

static int record_lines(struct record *rc)
{
    struct line line;
    bool end;
    for (;;) {
        arena_reset(rc->a);
        int exit = line_file_next(&rc->lf, rc->a, &line, &end);
        if (!exit && !end)
            exit = record_line(rc, &line);
        if (exit || end)
            return exit;
    }
}

static void summarize(struct record *rc)
{
    struct ctl *ctl = rc->ctl;
    const char *more = "";
    if (rc->before)
        more = ctl_text(ctl, "%s, %" PRIu64 " recorded before", more, rc->before);
    if (rc->skipped)
        more = ctl_text(ctl, "%s, %" PRIu64 " skipped", more, rc->skipped);
    if (rc->unknown)
        more = ctl_text(ctl,
                        "%s, %" PRIu64 " without an answer (sending the same bytes again is safe)",
                        more, rc->unknown);
    if (rc->nothing)
        more = ctl_text(ctl, "%s, %" PRIu64 " not sent", more, rc->nothing);
    fflush(stdout);
    ctl_note(ctl,
             "%" PRIu64 " events: %" PRIu64 " recorded, %" PRIu64 " refused%s; %u signed batches.",
             rc->lines, rc->accepted, rc->refused, more, sender_batches(rc->sender));
}

static int record_file(struct record *rc)
{
    struct ctl *ctl = rc->ctl;
    int exit = rc->keys_folder ? ring_add_folder(&rc->ring, rc->keys_folder) : EXIT_GOOD;
    if (!exit)
        exit = line_file_open(&rc->lf, ctl, rc->file);
    if (!exit)
        exit = ctl_connect(ctl);
    if (exit)
        goto out;
    rc->a = arena_new(LINE_ARENA_BUDGET);
    rc->sender = sender_new(ctl, rc->all, on_result, rc);
    if (!rc->a || !rc->sender) {
        exit = EXIT_NO_ANSWER;
        goto out;
    }
    if (!isatty(STDOUT_FILENO)) /* there the results themselves show how far it is */
        ctl_progress_begin(&rc->progress, ctl, "recording");
    exit = record_lines(rc);
    if (rc->all && (exit || rc->stopped))
        sender_stop(rc->sender, exit ? exit : EXIT_NEGATIVE);
    int sent = sender_drain(rc->sender);
    exit = exit ? exit : sent;
    if (rc->progress.ctl)
        ctl_progress_end(&rc->progress);
    summarize(rc);
    if (!exit && (rc->refused || rc->skipped))
        exit = EXIT_NEGATIVE;
out:
    sender_free(rc->sender);
    arena_free(rc->a);
    line_file_close(&rc->lf);
    return exit;
}

/* ---- one event ---- */

static int record_one(struct record *rc, char **args, unsigned n)
{
    struct event ev;
    struct ledger_err err = {0};
    int exit = recording_begin(rc->ctl, args[0], rc->reference, rc->occurred, &ev);
    if (!exit && rc->keys_folder)
        exit = ring_add_folder(&rc->ring, rc->keys_folder);
    for (unsigned i = 1; i < n && !exit; i++)
        if (line_set_field(rc->ctl->a, &ev, args[i], &err))
            exit = ctl_fail(rc->ctl, EXIT_USAGE, "%s", err.msg);
    if (!exit)
        exit = ring_signings(&rc->ring, &rc->sign, &rc->meaning, rc->signings, &rc->n_signings);
    return exit ? exit
                : recording_finish(rc->ctl, &ev, rc->signings, rc->n_signings, rc->receipt,
                                   rc->force);
}

int cmd_record(struct ctl *ctl, int argc, char **argv)
{
    struct record rc = {.ctl = ctl, .ring = {.ctl = ctl}};
    const char *level = "durable";
    ctl->unsent = true;
    const struct ctl_opt opts[] = {
        {"sign", OPT_LIST, {.list = &rc.sign}, 's'},
        {"meaning", OPT_LIST, {.list = &rc.meaning}, 'm'},
        {"reference", OPT_TEXT, {.text = &rc.reference}, 0},
        {"occurred", OPT_TEXT, {.text = &rc.occurred}, 0},
        {"file", OPT_TEXT, {.text = &rc.file}, 'f'},
        {"keys", OPT_TEXT, {.text = &rc.keys_folder}, 0},
        {"all", OPT_FLAG, {.flag = &rc.all}, 0},
        {"output", OPT_TEXT, {.text = &rc.receipt}, 'o'},
        {"force", OPT_FLAG, {.flag = &rc.force}, 0},
        {"level", OPT_TEXT, {.text = &level}, 0},
    };
    char **args;
    unsigned n;
    bool done;
    if (!ctl_options(ctl, argc, argv, opts, sizeof opts / sizeof opts[0], 0, UINT32_MAX, &args, &n,
                     &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit;
    ctl->witnessed = strcmp(level, "witnessed") == 0;
    if (!ctl->witnessed && strcmp(level, "durable") != 0)
        exit = ctl_fail(ctl, EXIT_USAGE, "--level is durable or witnessed");
    else if (rc.file ? n > 0 || rc.reference || rc.occurred || rc.receipt : n == 0 || rc.all)
        exit = ctl_fail(ctl, EXIT_USAGE,
                        rc.file ? "with -f everything else about the events stands in the file"
                                : "usage: ledgerctl record KIND field=value… | -f FILE");
    else
        exit = rc.file ? record_file(&rc) : record_one(&rc, args, n);
    ring_free(&rc.ring);
    return exit;
}
