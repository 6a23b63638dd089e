/* SPDX-License-Identifier: Apache-2.0 */
/* session: profile, connection, errors and files of a command (ctl.h). */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chain_json.h"
#include "ctl.h"

int ctl_exit_of(enum ledger_rc rc)
{
    if (rc == LEDGER_OK)
        return EXIT_GOOD;
    /* EUNTRUSTED is no verdict about what was asked: whoever answered is not the ledger that the profile trusts. */
    if (rc == LEDGER_EREFUSED || rc == LEDGER_ENOTFOUND)
        return EXIT_NEGATIVE;
    if (rc == LEDGER_ETAMPER)
        return EXIT_TAMPERED;
    return rc == LEDGER_EINVAL || rc == LEDGER_ELIMIT ? EXIT_USAGE : EXIT_NO_ANSWER;
}

static void error_json(struct ctl *ctl, int exit, const char *text, enum ledger_recorded recorded)
{
    struct json_writer w;
    json_writer_init(&w, ctl->a, true);
    json_object(&w);
    json_put_string(&w, "error", span_str(text));
    json_put_uint(&w, "exit", (uint64_t)exit);
    if (recorded == LEDGER_RECORDED_NOTHING || recorded == LEDGER_RECORDED_UNKNOWN)
        json_put_string(&w, "recorded", span_str(recorded == LEDGER_RECORDED_NOTHING ? "nothing" : "unknown"));
    json_end(&w);
    /* Not ctl_print_json, whose own failure ends up here: out of memory, there is the text on stderr alone. */
    struct span s = json_written(&w);
    if (s.p)
        fwrite(s.p, 1, s.n, stdout);
}

static int say(struct ctl *ctl, int exit, const char *text, enum ledger_recorded recorded)
{
    if (ctl->unsent)
        recorded = LEDGER_RECORDED_NOTHING;
    text = ctl_span(ctl, span_str(text)); /* it may hold what a server said: nothing of it steers a terminal */
    fprintf(stderr, "%s %s\n", ctl_paint(ctl, COLOR_BAD, ctl_text(ctl, "ledgerctl %s:", ctl->command)), text);
    if (recorded == LEDGER_RECORDED_NOTHING)
        fprintf(stderr, "Nothing was recorded.\n");
    if (recorded == LEDGER_RECORDED_UNKNOWN)
        fprintf(stderr, "Whether it was recorded is not known. Sending the same bytes again is safe.\n");
    if (ctl->json)
        error_json(ctl, exit, text, recorded);
    return exit;
}

int ctl_fail(struct ctl *ctl, int exit, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return say(ctl, exit, text, (enum ledger_recorded)0);
}

int ctl_fail_err(struct ctl *ctl, const struct ledger_err *err, enum ledger_recorded recorded)
{
    return say(ctl, ctl_exit_of(err->rc), err->msg[0] ? err->msg : ledger_rc_text(err->rc), recorded);
}

int ctl_tampered(struct ctl *ctl, const struct reply *r, struct span answer, const char *what)
{
    struct ledger_err err = {0};
    client_keep_evidence(client_profile(ctl->client), what, r->snapshot.note, answer, &err);
    return ctl_fail_err(ctl, &err, (enum ledger_recorded)0);
}

void ctl_keep_entry(struct ctl *ctl, uint64_t index, const char *what, struct span note, struct span record, struct ledger_err *err)
{
    client_keep_recorded(ctl->client, ctl->timeout_ms, index, what, note, record, err);
}

void ctl_note(struct ctl *ctl, const char *fmt, ...)
{
    if (ctl->quiet)
        return;
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

int ctl_profile(struct ctl *ctl)
{
    struct ledger_err err = {0};
    if (ctl->profile)
        return EXIT_GOOD;
    if (!ctl->profile_path)
        return ctl_fail(ctl, EXIT_USAGE, "which ledger? Name its profile folder with --profile or LEDGERD_PROFILE");
    enum ledger_rc rc = ledger_profile_open(ctl->profile_path, ctl->server, &ctl->profile, &err);
    if (!rc)
        return EXIT_GOOD;
    return ctl_fail(ctl, EXIT_USAGE, "%s", err.msg);
}

int ctl_connect(struct ctl *ctl)
{
    struct ledger_err err = {0};
    int exit = ctl_profile(ctl);
    if (exit || ctl->client)
        return exit;
    struct ledger_client_options options = {.program = "ledgerctl " LEDGERD_VERSION, .timeout_ms = ctl->timeout_ms};
    enum ledger_rc rc = ledger_client_open(ctl->profile, &options, &ctl->client, &err);
    return rc ? ctl_fail_err(ctl, &err, (enum ledger_recorded)0) : EXIT_GOOD;
}

/* Whom this profile trusts has changed: said once, whatever was asked. */
static void tell_log_key(struct ctl *ctl)
{
    struct log_key_in_force k;
    client_log_key(ctl->client, &k);
    if (k.news)
        ctl_note(ctl, "ledgerctl %s: the ledger has replaced its log key; followed, proven under the old one. From size %llu on it signs with\n"
                 "  log %s", ctl->command, (unsigned long long)k.from_size, k.vkey);
}

int ctl_call(struct ctl *ctl, const struct call_request *rq, struct reply **out)
{
    struct ledger_err err = {0};
    *out = NULL;
    int exit = ctl_connect(ctl);
    if (exit)
        return exit;
    if (rq->op == CALL_SUBMIT)
        ctl->unsent = false;
    enum ledger_rc rc = client_call(ctl->client, rq, ctl->timeout_ms, out, &err);
    tell_log_key(ctl);
    if (!rc)
        return EXIT_GOOD;
    enum ledger_recorded recorded = rq->op != CALL_SUBMIT ? (enum ledger_recorded)0
                                    : *out                ? (*out)->recorded
                                                          : LEDGER_RECORDED_NOTHING;
    if (*out && (*out)->err.rc)
        err = (*out)->err;
    if (!err.rc)
        err.rc = rc;
    if (recorded == LEDGER_RECORDED_ANSWERED) {
        fprintf(stderr, "%s %s\n", ctl_paint(ctl, COLOR_BAD, ctl_text(ctl, "ledgerctl %s:", ctl->command)), err.msg);
        return ctl_exit_of(err.rc);
    }
    exit = ctl_fail_err(ctl, &err, recorded);
    reply_free(*out);
    *out = NULL;
    return exit;
}

const char *ctl_names(struct ctl *ctl, const struct witnessed_note *w)
{
    const char *names = "";
    for (size_t i = 0; i < w->n; i++)
        names = ctl_text(ctl, "%s%s%s", names, i ? ", " : "", w->names[i]);
    return names;
}

const char *ctl_witnessed(struct ctl *ctl, const struct reply *r)
{
    const struct witnessed_note *w = &r->witnessed;
    if (!w->present)
        return "never witnessed";
    return ctl_text(ctl, "witnessed %lld s ago by %s", (long long)(w->age_s > 0 ? w->age_s : 0), ctl_names(ctl, w));
}

void ctl_basis(struct ctl *ctl, const struct reply *r)
{
    if (!r->has_checkpoint || ctl->quiet)
        return;
    const struct snapshot *s = &r->snapshot;
    const char *word = s->trust.auditors_signed ? "complete: an auditing witness has replayed it"
                                                : "complete on the operator's word: no auditing witness has cosigned";
    const char *witnessed = r->has_seal ? ctl_text(ctl, "; %s", ctl_witnessed(ctl, r)) : "";
    const char *age = r->has_seal ? ctl_text(ctl, ", sealed %lld s ago%s", (long long)r->age_s, r->stale ? " (stale)" : "") : "";
    printf("%s\n", ctl_paint(ctl, COLOR_DIM,
                             ctl_text(ctl, "Proven at checkpoint %llu of %.*s%s%s; %s.", (unsigned long long)s->cp.size,
                                      SPAN_FMT(s->cp.origin), age, witnessed, word)));
}

void ctl_basis_json(struct json_writer *w, const struct reply *r)
{
    const struct snapshot *s = &r->snapshot;
    char root[2 * HASH_LEN + 1];
    if (!r->has_checkpoint)
        return;
    hex_encode(span_of(s->cp.root.b, HASH_LEN), root);
    json_name(w, SPAN_LIT("checkpoint"));
    json_object(w);
    json_put_string(w, "origin", s->cp.origin);
    json_put_uint(w, "size", s->cp.size);
    json_put_string(w, "root", span_str(root));
    if (r->has_seal) {
        char text[TIME_TEXT_MAX];
        time_format(s->seal.recorded_us, text);
        json_put_string(w, "sealed", span_str(text));
        json_put_bool(w, "stale", r->stale);
    }
    json_put_bool(w, "auditors", s->trust.auditors_signed);
    json_put_string(w, "completeness", span_str(s->trust.auditors_signed ? "auditing witness" : "operator's word"));
    if (r->has_seal || r->witnessed.present)
        witnessed_json(w, r);
    json_end(w);
}

int ctl_read_file(struct ctl *ctl, const char *path, size_t max, struct span *out)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    struct wbuf w;
    uint8_t buf[65536];
    size_t n;
    if (!f)
        return ctl_fail(ctl, EXIT_USAGE, "%s: %s", path, strerror(errno));
    wbuf_init(&w, ctl->a);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0 && w.n <= max)
        wbuf_bytes(&w, buf, n);
    bool failed = ferror(f) != 0;
    if (f != stdin)
        fclose(f);
    if (failed || w.failed || w.n > max)
        return ctl_fail(ctl, EXIT_USAGE, "%s: %s", path, failed ? strerror(errno) : "too large");
    *out = w.n ? wbuf_span(&w) : span_of("", 0);
    return EXIT_GOOD;
}

int ctl_write_file(struct ctl *ctl, const char *path, struct span bytes, bool force)
{
    if (!force && access(path, F_OK) == 0)
        return ctl_fail(ctl, EXIT_USAGE, "%s exists; it is not overwritten without --force", path);
    struct ledger_err err = {0};
    if (file_replace(path, bytes, &err))
        return ctl_fail(ctl, EXIT_USAGE, "%s", err.msg);
    return EXIT_GOOD;
}

#define JSON_PART_BYTES ((size_t)64 << 10)

void ctl_print_json_part(struct json_writer *w)
{
    if (w->out.failed || w->out.n < JSON_PART_BYTES)
        return;
    struct span part = json_take(w);
    fwrite(part.p, 1, part.n, stdout);
}

int ctl_print_json(struct ctl *ctl, struct json_writer *w)
{
    struct span s = json_written(w);
    if (!s.p)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    fwrite(s.p, 1, s.n, stdout);
    return EXIT_GOOD;
}
