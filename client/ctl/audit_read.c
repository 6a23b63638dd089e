/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_read: reads the log for an audit (audit.h), also on from where something did not hold, as far as the tree goes. The library takes no
 * entry whose content is not what its header names: where it finds one, the entries before it are read again up to there, of the entry itself
 * the header alone, and then on.
 */
#include <inttypes.h>
#include <string.h>

#include "audit.h"

#define BAD_CONTENTS_MAX 16u /* after as many, headers alone are read: each keeps an evidence file */

static void progress(void *user, uint64_t done, uint64_t total)
{
    struct audit *au = user;
    ctl_progress(&au->progress, done, total);
}

/* One stretch, to `end` (0: the newest checkpoint). OK, or what stopped the reading, with *bad its answer (or NULL). */
static enum ledger_rc stretch(struct audit *au, struct entries_cursor *at, uint64_t end, bool headers, struct reply **bad,
                              struct ledger_err *err)
{
    struct replay_read rq = {.client = au->ctl->client, .replayer = au->replayer, .end = end, .at = at, .headers_only = headers,
                             .timeout_ms = au->ctl->timeout_ms, .progress = progress, .user = au};
    struct reply *last;
    *bad = NULL;
    enum ledger_rc rc = replay_read(&rq, &last, err);
    au->read = at->next;
    if (!rc && au->program.rc) {
        if (err)
            *err = au->program;
        rc = au->program.rc;
    }
    if (last && last->rc) {
        *bad = last;
    } else if (last) {
        reply_free(au->last);
        au->last = last;
    }
    return rc;
}

/* What a refused answer says is wrong: a finding. True: it is about an entry that can be read around. */
static bool take_bad(struct audit *au, const struct reply *bad, const struct ledger_err *err, uint64_t next)
{
    const struct verdict *v = &bad->verdict;
    bool placed = v->kind != VERDICT_GOOD && v->index != VERDICT_NO_INDEX && v->index >= next;
    const char *what = v->kind != VERDICT_GOOD ? v->what : "answer", *text = v->kind != VERDICT_GOOD ? v->text : err->msg;
    if (err->rc == LEDGER_ETAMPER) {
        audit_find(au, SEVERITY_CRITICAL, placed ? v->index : VERDICT_NO_INDEX, what, "%s", text);
        if (au->n.bad++ == 0)
            au->evidence = *err; /* the library has kept the answer */
    } else {
        au->n.unverifiable += placed;
        audit_find(au, SEVERITY_MAJOR, placed ? v->index : VERDICT_NO_INDEX, what, "%s", text);
    }
    if (placed)
        au->bad_content = v->index;
    return placed;
}

static bool about_the_ledger(const struct reply *bad, const struct ledger_err *err)
{
    return bad && (err->rc == LEDGER_ETAMPER || (err->rc == LEDGER_EVERSION && bad->verdict.kind == VERDICT_NEWER));
}

static int fail(struct audit *au, const struct ledger_err *err)
{
    enum ledger_rc rc = err->rc;
    if (rc == LEDGER_EIO || rc == LEDGER_ENOMEM || rc == LEDGER_EFULL)
        return ctl_fail(au->ctl, EXIT_NO_ANSWER, "%s", err->msg);
    return ctl_fail_err(au->ctl, err, (enum ledger_recorded)0);
}

/* Nothing was read, since all of it had been: is what was derived before the beginning of what is signed now? */
static int still_there(struct audit *au, const struct entries_cursor *at)
{
    struct call_request call = {.op = CALL_ENTRIES, .u.entries = {.cursor = *at, .entries_max = 1, .headers_only = true}};
    return ctl_call(au->ctl, &call, &au->last);
}

/* Around the entry that the answer says is wrong. OK: at stands behind it. */
static enum ledger_rc around(struct audit *au, struct entries_cursor *at, struct reply **bad, struct ledger_err *err)
{
    uint64_t index = au->bad_content;
    enum ledger_rc rc = at->next < index ? stretch(au, at, index, false, bad, err) : LEDGER_OK;
    return rc ? rc : stretch(au, at, index + 1, true, bad, err);
}

/* No answer about entries was good: the checkpoint that they were to be of. */
static int name_checkpoint(struct audit *au)
{
    struct call_request call = {.op = CALL_SNAPSHOT};
    return ctl_call(au->ctl, &call, &au->last);
}

static int read_on(struct audit *au, struct entries_cursor *at)
{
    struct ledger_err err = {0};
    struct reply *bad;
    for (unsigned n = 0;; n++) {
        enum ledger_rc rc = stretch(au, at, au->at, n >= BAD_CONTENTS_MAX, &bad, &err);
        if (!rc)
            return EXIT_GOOD;
        while (rc && about_the_ledger(bad, &err) && take_bad(au, bad, &err, at->next)) {
            reply_free(bad);
            rc = around(au, at, &bad, &err);
            if (rc && bad && bad->verdict.index == au->bad_content)
                break; /* not even its header can be read */
        }
        bool ledger = rc && about_the_ledger(bad, &err);
        reply_free(bad);
        if (ledger) /* a finding; the rest is not read */
            return au->last ? EXIT_GOOD : name_checkpoint(au);
        if (rc)
            return fail(au, &err);
    }
}

static int name_size(struct audit *au)
{
    au->size = au->at ? au->at : au->last->snapshot.cp.size;
    if (au->size > au->last->snapshot.cp.size)
        return ctl_fail(au->ctl, EXIT_USAGE, "there is no checkpoint of size %" PRIu64 " yet: the ledger has %" PRIu64 " entries", au->size,
                        au->last->snapshot.cp.size);
    if (replayer_ended(au->replayer, NULL) || replayer_size(au->replayer) < au->size)
        return EXIT_GOOD;
    if (replayer_sealed(au->replayer) == au->size)
        return EXIT_GOOD;
    return ctl_fail(au->ctl, EXIT_USAGE, "there is no checkpoint of size %" PRIu64 ": the nearest before it is %" PRIu64, au->size,
                    replayer_sealed(au->replayer));
}

int audit_read(struct audit *au)
{
    struct entries_cursor at;
    struct ledger_err err = {0};
    if (!replayer_cursor(au->replayer, &at))
        return ctl_fail(au->ctl, EXIT_NO_ANSWER, "the state folder is damaged; delete it, and it is derived again");
    if (au->at && at.next > au->at)
        return ctl_fail(au->ctl, EXIT_USAGE, "the state folder stands at %" PRIu64 " entries already; an audit up to %" PRIu64
                        " needs another one", at.next, au->at);
    ctl_progress_begin(&au->progress, au->ctl, "audit");
    au->progress.first = at.next;
    int exit = au->at && at.next == au->at ? EXIT_GOOD : read_on(au, &at);
    if (!exit && !au->last)
        exit = still_there(au, &at);
    ctl_progress_end(&au->progress);
    if (replayer_save(au->replayer, &err) && !exit && !replayer_ended(au->replayer, NULL))
        exit = ctl_fail(au->ctl, EXIT_NO_ANSWER, "%s", err.msg);
    au->read = at.next;
    exit = exit ? exit : name_size(au);
    au->has_root = at.next == au->size;
    if (au->has_root) /* also of entries that could not be derived: their place in the tree was checked */
        frontier_root(au->ctl->c, &at.frontier, &au->root);
    return exit;
}
