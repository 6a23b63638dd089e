/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_submit: sending a batch and checking what the ledger says it did with it. An accepted event counts only if the entry's header
 * names these very bytes and this very signature block and is proven to be in the tree of the checkpoint.
 */
#include <stdio.h>
#include <string.h>

#include "core.h"

static struct span submit_request(struct ledger_client *cl, struct call *k, struct arena *a, uint64_t id)
{
    (void)cl;
    return rpc_put_submit(a, id, k->rq.u.submit.batch, k->rq.u.submit.all_or_nothing);
}

static void copy_text(char *out, size_t n, const char *text)
{
    snprintf(out, n, "%s", text);
}

static void take_refusal(const struct message_result *m, struct submit_result *out)
{
    out->index = m->index;
    out->why.code = (enum refusal_code)m->code;
    copy_text(out->why.subject, sizeof out->why.subject, m->subject);
    copy_text(out->why.field, sizeof out->why.field, m->field);
    copy_text(out->why.text, sizeof out->why.text, m->text);
}

static bool verify_accepted(struct ledger_client *cl, struct call *k, const struct batch_event *e,
                            const struct message_result *m, struct submit_result *out)
{
    struct reply *r = k->reply;
    struct verifier vf = session_verifier(cl, cl->scratch);
    struct entry_claim claim = {.header = m->header, .event = e->bytes, .block = e->block};
    struct entry entry;
    if (!verify_entry(&vf, &claim, &entry, &r->verdict) ||
        !verify_inclusion(&vf, &entry, &r->snapshot.cp, m->path, &r->verdict))
        return false;
    if (entry.header.index != m->index)
        return verdict_bad(&r->verdict, VERDICT_TAMPERED, m->index, "index", "the header is of entry %llu",
                           (unsigned long long)entry.header.index);
    out->index = m->index;
    out->header = m->header;
    out->path = m->path;
    out->recorded_us = entry.header.recorded_us;
    return true;
}

static bool take_result(struct ledger_client *cl, struct call *k, size_t i, const struct message_result *m,
                        struct submit_result *out)
{
    out->outcome = m->outcome;
    if (m->outcome == LEDGER_REFUSED)
        take_refusal(m, out);
    if (m->outcome != LEDGER_ACCEPTED && m->outcome != LEDGER_BEFORE)
        return true;
    struct arena_mark mark = arena_mark(cl->scratch);
    bool ok = verify_accepted(cl, k, &k->rq.u.submit.batch->events[i], m, out);
    arena_release(cl->scratch, mark);
    return ok;
}

static bool any_accepted(const struct message_submit *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->results[i].outcome == LEDGER_ACCEPTED || s->results[i].outcome == LEDGER_BEFORE)
            return true;
    return false;
}

static bool all_known(const struct message_submit *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->results[i].outcome == 0)
            return false;
    return true;
}

/* The first response brings the checkpoint; further ones stand on the same. */
static enum call_step begin_results(struct call *k, const struct message_submit *s)
{
    struct reply *r = k->reply;
    size_t n = k->rq.u.submit.batch->n;
    r->u.submit.results = arena_alloc(r->a, (n + 1) * sizeof *r->u.submit.results);
    if (!r->u.submit.results)
        return step_no_memory(k);
    r->snapshot.note = s->checkpoint;
    k->work = r->u.submit.results;
    return STEP_MORE;
}

static enum call_step submit_answer(struct ledger_client *cl, struct call *k, const struct message *m)
{
    struct reply *r = k->reply;
    const struct message_submit *s = &m->u.submit;
    size_t n = k->rq.u.submit.batch->n;
    if (!k->work) {
        r->u.submit.n = 0;
        r->has_checkpoint = false;
    }
    if (m->kind != MESSAGE_SUBMIT || s->n > n - r->u.submit.n || (m->more && s->n == 0) || !all_known(s))
        return step_fail(k, LEDGER_EPROTO, "the server's answer does not fit the batch");
    if (!k->work && begin_results(k, s) != STEP_MORE)
        return STEP_FAILED;
    if (!span_eq(s->checkpoint, r->snapshot.note))
        return step_fail(k, LEDGER_EPROTO, "the server's answer stands on two checkpoints");
    if (!r->has_checkpoint && any_accepted(s)) {
        if (!session_check_note(cl, r->a, s->checkpoint, &r->snapshot.cp, &r->snapshot.trust, &r->verdict))
            return step_bad(k);
        r->has_checkpoint = true;
    }
    for (size_t i = 0; i < s->n; i++, r->u.submit.n++)
        if (!take_result(cl, k, r->u.submit.n, &s->results[i], &r->u.submit.results[r->u.submit.n]))
            return step_bad(k);
    if (m->more)
        return STEP_MORE;
    if (r->u.submit.n != n)
        return step_fail(k, LEDGER_EPROTO, "the server's answer does not fit the batch");
    r->recorded = LEDGER_RECORDED_ANSWERED;
    return !r->has_checkpoint || session_see(cl, &r->snapshot.cp, r->snapshot.note) ? STEP_TRUST : STEP_FAILED;
}

const struct call_ops ops_submit = {.request = submit_request, .answer = submit_answer};
