/* SPDX-License-Identifier: Apache-2.0 */
/*
 * round: sending a checkpoint to the witnesses and taking what they answer.
 *
 * The size from which a witness wants a proof is what it said last. If that is wrong, it answers 409 with the right one, and the same
 * checkpoint goes to it again with the proof from there: so nothing about a witness has to be remembered over a restart.
 *
 * Failure modes: whatever a witness does wrong costs it the present round, is counted, and leaves it alone for a while. Two answers say
 * that this ledger is not what the witness has cosigned: a larger size than was ever committed here, and another tree. While the ledger
 * starts they stop it (`contradiction`); later the witness is asked for a proof (fork.c), for it may be the one who is wrong.
 */
#include <stdio.h>
#include <string.h>

#include "../log.h"
#include "../tiles.h"
#include "service.h"
#include "submission.h"

/* ---- failures ---- */

static void leave_alone(const struct witness_service *s, struct witness *w)
{
    int64_t ms = (int64_t)WITNESS_BACKOFF_MS_MIN << (w->failed < 16 ? w->failed : 16);
    w->not_before_ms = witness_now_ms() + (ms < (int64_t)s->retry_ms ? ms : (int64_t)s->retry_ms);
    w->failed++;
}

static void count(struct witness_service *s, struct witness *w, bool success)
{
    pthread_mutex_lock(&s->lock);
    if (success) {
        if (w->sent_size > w->counts.size)
            w->counts.size = w->sent_size;
        w->counts.success_ms = witness_now_ms();
    } else {
        w->counts.failures++;
    }
    pthread_mutex_unlock(&s->lock);
}

/* The first of a row of failures is logged, and then when the row gets long. */
static void failed(struct witness_service *s, struct witness *w, const char *why)
{
    w->busy = false;
    count(s, w, false);
    if (w->failed % 16 == 0)
        logline(LOG_WARN, "a witness did not cosign", "witness=%s size=%llu reason=%s failures=%u", w->name,
                (unsigned long long)w->sent_size, why, w->failed + 1);
    leave_alone(s, w);
}

/* It has cosigned something that this store does not continue. */
static void contradicted(struct witness_service *s, struct witness *w, const char *what, uint64_t size)
{
    char why[200];
    snprintf(why, sizeof why, "rolled back or forked: the witness %.63s has cosigned %s%llu entries", w->name, what,
             (unsigned long long)size);
    logline(LOG_ERROR, "a witness has seen another ledger", "witness=%s reason=%s", w->name, why);
    if (s->asking && s->contradiction.rc == LEDGER_OK)
        ledger_fail(&s->contradiction, LEDGER_ETAMPER, "%s, and the store holds %llu; see \"Restoring\" in docs/operations.md", why,
                    (unsigned long long)s->committed);
    failed(s, w, why);
    if (!s->asking)
        fork_ask(s, (unsigned)(w - s->witnesses));
}

/* ---- sending ---- */

static void send_to(struct witness_service *s, unsigned i)
{
    struct witness *w = &s->witnesses[i];
    struct ledger_err err = {0};
    struct span proof = SPAN_NONE;
    enum ledger_rc rc = LEDGER_OK;
    arena_reset(s->a);
    w->busy = true;
    w->sent_old = w->known;
    w->sent_size = s->size;
    w->text_n = s->text_n;
    memcpy(w->text, s->note, s->text_n);
    if (w->known > 0 && w->known < s->size)
        rc = tiles_consistency(s->store, w->known, s->size, s->a, &proof, &err);
    if (rc == LEDGER_OK) {
        struct span body = submission_body(s->a, w->known, proof, span_of(s->note, s->note_n));
        rc = body.p ? posts_start(s->posts, i, w->url, body, &err) : ledger_fail(&err, LEDGER_ENOMEM, "out of memory");
    }
    if (rc != LEDGER_OK)
        failed(s, w, err.msg);
}

/* The log's line is the first; a kept note (log_note.h) has the witnesses' too. */
static struct span without_witnesses(struct span note, const struct note *parsed)
{
    const uint8_t *end = memchr(parsed->sigs_text.p, '\n', parsed->sigs_text.n);
    return end ? span_of(note.p, (size_t)(end + 1 - note.p)) : note;
}

/* The newest checkpoint, with the log's signature alone, as the round's. */
static bool take_newest(struct witness_service *s)
{
    struct ledger_err err = {0};
    struct span note = SPAN_NONE;
    struct checkpoint cp;
    struct note parsed;
    arena_reset(s->a);
    enum ledger_rc rc = tiles_checkpoint(&(struct query_env){.store = s->store}, s->a, &note, &err);
    if (rc == LEDGER_OK)
        rc = note_parse(s->a, note, &parsed, &err);
    if (rc == LEDGER_OK)
        rc = checkpoint_parse(parsed.text, &cp, &err);
    if (rc == LEDGER_OK)
        note = without_witnesses(note, &parsed);
    if (rc == LEDGER_OK && (note.n > sizeof s->note || parsed.text.n > WITNESS_TEXT_MAX))
        rc = ledger_fail(&err, LEDGER_ELIMIT, "the checkpoint is too long");
    if (rc != LEDGER_OK) {
        logline(LOG_ERROR, "no checkpoint can be had for the witnesses", "reason=%s", err.msg);
        return false;
    }
    service_committed(s, cp.size);
    if (cp.size == s->size)
        return true;
    memcpy(s->note, note.p, note.n);
    s->note_n = note.n;
    s->text_n = parsed.text.n;
    s->size = cp.size;
    s->root = cp.root;
    s->met = false;
    for (unsigned i = 0; i < s->n; i++)
        s->witnesses[i].line_n = 0;
    return true;
}

/* May this witness be asked for the newest checkpoint now? One that has seen more than there is waits until there is as much. */
static bool may_ask(const struct witness_service *s, const struct witness *w, int64_t now)
{
    uint64_t committed = s->committed;
    return !s->fenced && w->url[0] && !w->busy && now >= w->not_before_ms && w->known <= committed && (w->line_n == 0 || committed > s->size);
}

static bool is_over(const struct witness_service *s, int64_t now)
{
    return !round_busy(s) || (s->met && now - s->met_ms >= (int64_t)s->linger_ms);
}

bool round_busy(const struct witness_service *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->witnesses[i].busy && s->witnesses[i].sent_size == s->size)
            return true;
    return false;
}

unsigned round_begin(struct witness_service *s)
{
    int64_t now = witness_now_ms();
    unsigned asked = 0;
    bool any = false;
    if (!is_over(s, now) || (s->size && now - s->begun_ms < (int64_t)s->interval_ms))
        return 0;
    for (unsigned i = 0; i < s->n; i++)
        any = any || may_ask(s, &s->witnesses[i], now);
    if (!any || !take_newest(s))
        return 0;
    s->begun_ms = now;
    for (unsigned i = 0; i < s->n; i++) {
        struct witness *w = &s->witnesses[i];
        if (!may_ask(s, w, now) || w->known > s->size || w->line_n)
            continue;
        w->tries = 0;
        send_to(s, i);
        asked++;
    }
    return asked;
}

/* Until one that is left alone may be asked again, the interval is over, or the round is. */
int round_pause_ms(const struct witness_service *s)
{
    int64_t now = witness_now_ms(), until = INT64_MAX;
    for (unsigned i = 0; i < s->n; i++) {
        const struct witness *w = &s->witnesses[i];
        int64_t at = w->not_before_ms > now ? w->not_before_ms : now;
        if (may_ask(s, w, at) && at < until)
            until = at;
    }
    if (until == INT64_MAX)
        return -1;
    if (s->size && until < s->begun_ms + (int64_t)s->interval_ms)
        until = s->begun_ms + (int64_t)s->interval_ms;
    if (!is_over(s, now)) {
        int64_t over = s->met ? s->met_ms + (int64_t)s->linger_ms : INT64_MAX;
        until = until > over ? until : over;
    }
    if (until == INT64_MAX)
        return -1;
    return until <= now ? 0 : until - now > 60000 ? 60000 : (int)(until - now);
}

/* ---- answers ---- */

static void cosigned(struct witness_service *s, struct witness *w, struct span body)
{
    struct span line;
    uint64_t time_s;
    arena_reset(s->a);
    const char *fault = submission_cosignature(s->c, s->a, w->key, span_of(w->text, w->text_n), body, &line, &time_s);
    if (!fault && line.n > sizeof w->line)
        fault = "its cosignature is too long";
    if (fault) {
        failed(s, w, fault);
        return;
    }
    if (w->failed)
        logline(LOG_INFO, "a witness cosigns again", "witness=%s size=%llu", w->name, (unsigned long long)w->sent_size);
    w->busy = false;
    w->failed = 0;
    w->known = w->sent_size;
    count(s, w, true);
    if (w->sent_size != s->size)
        return; /* Too late for its round: the next one has begun with another checkpoint. */
    memcpy(w->line, line.p, line.n);
    w->line_n = line.n;
    keep_publish(s);
}

/* It has seen another size than the one that we thought. */
static void told_size(struct witness_service *s, unsigned i, struct span body)
{
    struct witness *w = &s->witnesses[i];
    uint64_t size;
    if (!submission_size(body, &size)) {
        failed(s, w, "HTTP 409 without a size");
    } else if (size > s->committed) {
        w->known = 0;
        contradicted(s, w, "", size);
    } else if (size == w->sent_old && size == w->sent_size) {
        contradicted(s, w, "another tree of ", size);
    } else if (size == w->sent_old || ++w->tries >= WITNESS_TRIES_MAX) {
        failed(s, w, "HTTP 409 again and again");
    } else {
        w->known = size;
        w->busy = false;
        /* Somebody else has shown it a newer one of ours: it is asked with the next round. */
        if (size <= s->size && w->sent_size == s->size)
            send_to(s, i);
    }
}

static void take(struct witness_service *s, const struct post_answer *answer)
{
    struct witness *w = &s->witnesses[answer->number];
    char why[64];
    if (answer->status == 200) {
        cosigned(s, w, answer->body);
    } else if (answer->status == 409) {
        told_size(s, answer->number, answer->body);
    } else if (answer->status == 422 && w->sent_old > 0) {
        /* The proof was checked against this store: so it is the witness's tree that is another. */
        uint64_t old = w->sent_old;
        w->known = 0;
        contradicted(s, w, "another tree of ", old);
    } else if (answer->status == 0) {
        failed(s, w, answer->why);
    } else {
        snprintf(why, sizeof why, "HTTP %ld%s", answer->status,
                 answer->status == 404   ? ": it does not know this ledger"
                 : answer->status == 403 ? ": it does not know this log's key"
                                         : "");
        w->known = 0;
        failed(s, w, why);
    }
}

void round_answers(struct witness_service *s)
{
    struct post_answer answer;
    while (posts_next(s->posts, &answer)) {
        if (answer.number >= POLICY_MAX)
            fork_take(s, &answer);
        else
            take(s, &answer);
    }
}
