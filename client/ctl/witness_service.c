/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_service: the answers of a witness. Everything happens in one thread, one request after the other, so deciding on a record and
 * keeping the next one are one step.
 */
#include "witness_audit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

static const char TEXT[] = "text/plain; charset=utf-8", SIZE[] = "text/x.tlog.size";

#define SAME_S 10 /* a cosignature is given out again for so long */

/* ---- the log ---- */

static void say(const char *fmt, va_list ap)
{
    char text[1024], time[32] = "";
    struct tm tm;
    time_t now = (time_t)(ctl_now_us() / 1000000);
    vsnprintf(text, sizeof text, fmt, ap);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?'; /* it may hold what a stranger has sent: nothing of it steers a terminal */
    if (gmtime_r(&now, &tm))
        strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", &tm);
    fprintf(stderr, "%s %s\n", time, text);
}

void witness_say(struct witness *w, const char *fmt, ...)
{
    va_list ap;
    (void)w;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
}

void witness_complain(struct witness *w, const char *fmt, ...)
{
    va_list ap;
    int64_t now = ctl_now_us();
    if (now - w->complained_us >= 0 && now - w->complained_us < 1000000)
        return;
    w->complained_us = now;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
}

/* ---- answers ---- */

/* A text of the request's arena. */
static void text_answer(struct witness *w, struct http_answer *out, unsigned status, const char *text)
{
    struct wbuf b;
    wbuf_init(&b, w->scratch);
    wbuf_bytes(&b, text, strlen(text));
    wbuf_u8(&b, '\n');
    *out = (struct http_answer){status, TEXT, wbuf_span(&b)};
}

static void size_answer(struct witness *w, struct http_answer *out, uint64_t size)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, size);
    text_answer(w, out, WITNESS_CONFLICT, text);
    out->type = SIZE;
}

/* ---- add-checkpoint ---- */

/* A key that the ledger has given up proves nothing against it. Only who has derived the ledger knows which one is in force. */
static void fork_found(struct witness *w, struct witness_log *log, const struct witness_submission *s, uint64_t signers)
{
    struct ledger_err err = {0};
    char path[PROFILE_PATH_MAX], why[WITNESS_WHY_MAX];
    bool kept = false;
    enum key_word word = log->auditor ? auditor_key(log->auditor, s->cp.size, signers) : KEY_UNKNOWN;
    if (word == KEY_GIVEN_UP) {
        witness_complain(w, "origin=%s: another tree of size %" PRIu64 " is signed by a key that was given up", log->origin->keys[0].name, s->cp.size);
        return;
    }
    enum ledger_rc rc = witness_keep_fork(w, log, &s->cp, s->bytes, path, &kept, &err);
    if (rc)
        witness_complain(w, "FORKED: %s has signed two trees of size %" PRIu64 "; the evidence could not be kept: %s",
                         log->origin->keys[0].name, s->cp.size, err.msg);
    else if (kept)
        witness_say(w, "FORKED: %s has signed two trees of size %" PRIu64 "; evidence: %s", log->origin->keys[0].name, s->cp.size, path);
    if (word != KEY_PROVES) /* a plain witness goes on, and an auditor looks at it when it has come so far (auditor_look) */
        return;
    snprintf(why, sizeof why, "the log has signed two trees of size %" PRIu64 "; %s%.250s", s->cp.size,
             rc ? "the evidence could not be kept: " : "evidence: ", rc ? err.msg : path);
    auditor_forked(log->auditor, why);
}

/* The record's last line, if this checkpoint was cosigned a moment ago: whoever asks again need not be signed for again. */
static struct span same_line(const struct witness_log *log, const struct witness_submission *s, int64_t now_s)
{
    const struct witness_record *r = &log->record;
    if (!log->signed_s || now_s < log->signed_s || now_s - log->signed_s >= SAME_S || r->size != s->cp.size || !hash_eq(&r->root, &s->cp.root))
        return SPAN_NONE;
    size_t at = r->note.n - 1;
    while (at > 0 && r->note.p[at - 1] != '\n')
        at--;
    return span_of(r->note.p + at, r->note.n - at);
}

static void cosign(struct witness *w, struct witness_log *log, const struct witness_submission *s, const struct witness_decision *d,
                   struct http_answer *out)
{
    struct witness_record record;
    struct span line;
    struct ledger_err err = {0};
    int64_t now_s = ctl_now_us() / 1000000;
    enum ledger_rc rc = LEDGER_OK;
    line = same_line(log, s, now_s);
    if (line.p) {
        *out = (struct http_answer){WITNESS_COSIGN, TEXT, line};
        return;
    }
    if (now_s <= 0 || !witness_cosign(w->ctl->c, w->scratch, s, log->origin->keys, d, &log->record, &w->vkey, &w->key->secret,
                                      (uint64_t)now_s, &record, &line))
        rc = ledger_fail(&err, LEDGER_EINTERNAL, "cannot cosign");
    if (!rc)
        rc = witness_keep(w, log, &record, &err);
    if (rc) {
        witness_complain(w, "nothing was cosigned: %s", err.msg);
        text_answer(w, out, 500, "the witness cannot keep what it would cosign; nothing was cosigned");
        return;
    }
    log->signed_s = now_s;
    if (!w->ctl->quiet)
        witness_say(w, "cosigned origin=%s size=%" PRIu64, log->origin->keys[0].name, s->cp.size);
    *out = (struct http_answer){WITNESS_COSIGN, TEXT, line};
}

/* What an auditor says of a checkpoint that a plain witness would cosign. False: nothing yet. */
static bool audited(struct witness *w, struct witness_log *log, const struct witness_submission *s, const struct witness_decision *d,
                    bool last, struct http_answer *out)
{
    char why[WITNESS_WHY_MAX];
    enum audited word = AUDITED_SAME;
    if (log->auditor)
        word = auditor_ask(log->auditor, s, d->signers, why);
    else if (log->stopped[0]) {
        word = AUDITED_REFUSED;
        snprintf(why, sizeof why, "%s", log->stopped);
    }
    if (word == AUDITED_SAME) {
        cosign(w, log, s, d, out);
        return true;
    }
    if (word == AUDITED_NOT_YET && !last)
        return false;
    witness_complain(w, "not cosigned origin=%s size=%" PRIu64 ": %s", log->origin->keys[0].name, s->cp.size, why);
    text_answer(w, out, word == AUDITED_REFUSED ? WITNESS_UNSIGNED : WITNESS_NOT_YET, why);
    return true;
}

static bool add_checkpoint(struct witness *w, const struct http_request *rq, struct http_answer *out)
{
    struct witness_submission *s = arena_alloc(w->scratch, sizeof *s);
    struct witness_decision d;
    struct ledger_err err = {0};
    enum ledger_rc rc = s ? witness_submission_parse(w->scratch, rq->body, s, &err) : ledger_fail(&err, LEDGER_ENOMEM, "out of memory");
    if (rc) {
        text_answer(w, out, rc == LEDGER_ENOMEM ? 500 : WITNESS_MALFORMED, err.msg);
        return true;
    }
    struct witness_log *log = witness_find(w, s->cp.origin);
    if (!log) {
        witness_complain(w, "refused: no log of the policy: %.*s", (int)(s->cp.origin.n < 200 ? s->cp.origin.n : 200), s->cp.origin.p);
        text_answer(w, out, WITNESS_UNKNOWN, "this witness does not know the log");
        return true;
    }
    witness_decide(w->ctl->c, w->scratch, s, log->origin->keys, log->origin->n_keys, &log->record, &d);
    if (d.fork)
        fork_found(w, log, s, d.signers);
    if (d.status == WITNESS_COSIGN)
        return audited(w, log, s, &d, rq->last, out);
    if (log->auditor && d.status != WITNESS_UNSIGNED)
        auditor_look(log->auditor, s, d.signers);
    if (d.status == WITNESS_CONFLICT) {
        size_answer(w, out, log->record.size);
    } else {
        witness_complain(w, "refused origin=%s size=%" PRIu64 ": %s", log->origin->keys[0].name, s->cp.size, d.why.msg);
        text_answer(w, out, d.status, d.why.msg);
    }
    return true;
}

/* ---- reading ---- */

/* "/HEX/checkpoint" */
static bool is_checkpoint_path(const char *path, char hex[2 * HASH_LEN + 1])
{
    if (strlen(path) < 1 + 2 * HASH_LEN || path[0] != '/' || strcmp(path + 1 + 2 * HASH_LEN, "/checkpoint") != 0)
        return false;
    memcpy(hex, path + 1, 2 * HASH_LEN);
    hex[2 * HASH_LEN] = 0;
    return true;
}

static void checkpoint(struct witness *w, const char *hex, struct http_answer *out)
{
    const struct witness_log *log = witness_find_hex(w, hex);
    if (log && log->record.present)
        *out = (struct http_answer){200, TEXT, log->record.note};
    else
        text_answer(w, out, 404, log ? "nothing was cosigned for this log yet" : "this witness does not know the log");
}

/* Not good if something needs a person: an audited ledger that has lied, or that cannot be audited. */
static void health(struct witness *w, struct http_answer *out)
{
    struct wbuf b;
    bool good = true;
    wbuf_init(&b, w->scratch);
    for (size_t i = 0; i < w->logs.n; i++) {
        const struct witness_log *log = &w->states[i];
        char why[WITNESS_WHY_MAX], line[WITNESS_WHY_MAX + NOTE_NAME_MAX + 64];
        uint64_t replayed = log->replayed;
        bool stopped = log->stopped[0] != 0;
        snprintf(why, sizeof why, "%s", log->stopped);
        if (log->auditor)
            auditor_state(log->auditor, &replayed, &stopped, why);
        if (!log->auditor && !stopped)
            continue;
        good = good && !why[0];
        int n = snprintf(line, sizeof line, "%s %s, replayed %" PRIu64 "%s%s\n", log->origin->keys[0].name,
                         stopped ? "stopped" : why[0] ? "not audited" : "audited", replayed, why[0] ? ": " : "", why);
        wbuf_bytes(&b, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    }
    const char *first = good ? "ok\n" : "not ok\n";
    struct span rest = wbuf_span(&b);
    struct wbuf all;
    wbuf_init(&all, w->scratch);
    wbuf_bytes(&all, first, strlen(first));
    wbuf_bytes(&all, rest.p, rest.n);
    *out = (struct http_answer){good ? 200 : WITNESS_NOT_YET, TEXT, wbuf_span(&all)};
}

bool witness_answer(void *ctx, const struct http_request *rq, struct http_answer *out)
{
    struct witness *w = ctx;
    char hex[2 * HASH_LEN + 1];
    arena_reset(w->scratch);
    bool add = strcmp(rq->path, "/add-checkpoint") == 0, healthz = strcmp(rq->path, "/healthz") == 0,
         read = is_checkpoint_path(rq->path, hex);
    if (!add && !healthz && !read)
        text_answer(w, out, 404, "not found");
    else if (rq->method != (add ? HTTP_POST : HTTP_GET))
        text_answer(w, out, 405, add ? "a checkpoint is added by POST" : "this is read by GET");
    else if (add)
        return add_checkpoint(w, rq, out);
    else if (healthz)
        health(w, out);
    else
        checkpoint(w, hex, out);
    return true;
}
