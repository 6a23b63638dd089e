/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulate: judges files of events without a server, each file in an empty ledger of its own, with
 * the recorded times that the file gives. The ledger is the same machine as the daemon's, over
 * memory, without signatures; nothing is sealed.
 */
#include <inttypes.h>
#include <string.h>

#include "lines.h"
#include "machine.h"

#define LINE_ARENA_BUDGET ((size_t)1 << 30)
#define STORE_BUDGET ((size_t)1 << 35)

struct simulator {
    struct ctl *ctl;
    struct machine m;
    struct kv_mem *mem;
    struct arena *a; /* of one line */
    bool expect;
    uint64_t lines, differ, silent; /* silent: lines without `expect` */
};

struct judged {
    bool accepted;
    struct refusal why;
};

static int fail_machine(struct line_file *lf, const struct ledger_err *err)
{
    return ctl_fail(lf->ctl, ctl_exit_of(err->rc), "%s, line %" PRIu64 ": %s", lf->path, lf->number,
                    err->msg);
}

/* The rules' questions about signers alone: who, and whether with a meaning. */
static struct signer *signers_of(struct arena *a, const struct line *line)
{
    struct signer *out = arena_alloc(a, (line->n_signers + 1) * sizeof *out);
    for (size_t i = 0; out && i < line->n_signers; i++)
        out[i] = (struct signer){line->signers[i].party, line->signers[i].meaning};
    return out;
}

static enum ledger_rc judge_line(struct simulator *s, struct line *line, struct judged *out,
                                 struct ledger_err *err)
{
    static const uint8_t no_nonce[NONCE_LEN];
    struct event ev;
    struct appended_entry entry;
    *out = (struct judged){0};
    if (!line->event.nonce.p)
        line->event.nonce = span_of(no_nonce, NONCE_LEN);
    if (!event_check_form(&line->event, &out->why))
        return LEDGER_OK;
    struct span bytes = event_encode(s->a, &line->event);
    struct signer *signers = signers_of(s->a, line);
    if (!bytes.p || !signers)
        return ledger_fail(err, LEDGER_ENOMEM, "over the memory budget of one event");
    enum ledger_rc rc = event_decode(s->m.c, s->a, bytes, &ev, &out->why, err);
    if (rc == LEDGER_EREFUSED)
        return LEDGER_OK;
    if (rc)
        return rc;
    struct submission sub = {.ev = &ev,
                             .block = span_of("", 0),
                             .signers = signers,
                             .n_signers = (unsigned)line->n_signers};
    rc = machine_event(&s->m, &sub, line->recorded_us, &entry, &out->why, err);
    out->accepted = rc == LEDGER_OK;
    return rc == LEDGER_EREFUSED ? LEDGER_OK : rc;
}

static void report(struct simulator *s, struct line_file *lf, const struct line *line,
                   const struct judged *j)
{
    char verdict[48] = "ACCEPT";
    if (!j->accepted)
        snprintf(verdict, sizeof verdict, "REFUSE:%s", refusal_name(j->why.code));
    line_print(s->ctl, line->id, j->accepted ? NULL : &j->why, NULL, NULL);
    s->lines++;
    if (!s->expect)
        return;
    if (!line->expect.p) {
        s->silent++;
        return;
    }
    if (span_eq(line->expect, span_str(verdict)))
        return;
    s->differ++;
    fprintf(stderr, "%s, line %" PRIu64 ", %.*s: expected %.*s, judged %s%s%s%s\n", lf->path,
            lf->number, SPAN_FMT(line->id), SPAN_FMT(line->expect), verdict,
            j->accepted ? "" : " (", j->why.text, j->accepted ? "" : ")");
}

static int judge_file(struct simulator *s, struct line_file *lf)
{
    struct line line;
    struct judged judged;
    struct ledger_err err = {0};
    bool end;
    for (;;) {
        arena_reset(s->a);
        int exit = line_file_next(lf, s->a, &line, &end);
        if (exit || end)
            return exit;
        if (line.id.n == 0)
            return line_file_fail(lf, "the event has no id");
        if (!line.has_recorded)
            return line_file_fail(
                lf, "a simulation needs the time at which the event was recorded (\"recorded\")");
        if (judge_line(s, &line, &judged, &err))
            return fail_machine(lf, &err);
        report(s, lf, &line, &judged);
    }
}

/* Each file tells of a ledger of its own. */
static int simulate_file(struct simulator *s, const char *path)
{
    struct line_file lf;
    struct ledger_err err = {0};
    int exit = line_file_open(&lf, s->ctl, path);
    if (exit)
        return exit;
    s->mem = kv_mem_new(NULL, STORE_BUDGET);
    if (!s->mem) {
        exit = ctl_fail(s->ctl, EXIT_NO_ANSWER, "out of memory");
        goto out;
    }
    memset(&s->m, 0, sizeof s->m);
    s->m.c = s->ctl->c;
    s->m.a = s->a;
    s->m.kv = kv_mem_kv(s->mem);
    if (machine_simulate(&s->m, &err))
        exit = ctl_fail_err(s->ctl, &err, (enum ledger_recorded)0);
    else
        exit = judge_file(s, &lf);
out:
    kv_mem_free(s->mem);
    s->mem = NULL;
    line_file_close(&lf);
    return exit;
}

int cmd_simulate(struct ctl *ctl, int argc, char **argv)
{
    struct simulator s = {.ctl = ctl};
    const struct ctl_opt opts[] = {{"expect", OPT_FLAG, {.flag = &s.expect}, 0}};
    char **paths;
    unsigned n;
    bool done;
    int exit = EXIT_GOOD;
    if (!ctl_options(ctl, argc, argv, opts, 1, 1, UINT32_MAX, &paths, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    s.a = arena_new(LINE_ARENA_BUDGET);
    if (!s.a)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    for (unsigned i = 0; i < n && !exit; i++)
        exit = simulate_file(&s, paths[i]);
    arena_free(s.a);
    if (exit || !s.expect)
        return exit;
    fflush(stdout);
    ctl_note(ctl,
             "%" PRIu64 " lines: %" PRIu64 " as expected, %" PRIu64 " differ, %" PRIu64
             " say nothing.",
             s.lines, s.lines - s.differ - s.silent, s.differ, s.silent);
    return s.differ ? EXIT_NEGATIVE : EXIT_GOOD;
}
