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
    struct entry_claim claim = {m->header, e->bytes, e->block, false};
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

static enum call_step submit_answer(struct ledger_client *cl, struct call *k, const struct message *m)
{
    struct reply *r = k->reply;
    const struct message_submit *s = &m->u.submit;
    if (m->kind != MESSAGE_SUBMIT || s->n != k->rq.u.submit.batch->n || !all_known(s))
        return step_fail(k, LEDGER_EPROTO, "the server's answer does not fit the batch");
    bool accepted = any_accepted(s);
    if (accepted && !session_check_note(cl, r->a, s->checkpoint, &r->snapshot.cp, &r->snapshot.trust, &r->verdict))
        return step_bad(k);
    r->snapshot.note = s->checkpoint;
    r->has_checkpoint = accepted;
    r->u.submit.n = s->n;
    r->u.submit.results = arena_alloc(r->a, (s->n + 1) * sizeof *r->u.submit.results);
    if (!r->u.submit.results)
        return step_no_memory(k);
    for (size_t i = 0; i < s->n; i++)
        if (!take_result(cl, k, i, &s->results[i], &r->u.submit.results[i]))
            return step_bad(k);
    r->recorded = LEDGER_RECORDED_ANSWERED;
    return !accepted || session_see(cl, &r->snapshot.cp, s->checkpoint) ? STEP_TRUST : STEP_FAILED;
}

const struct call_ops ops_submit = {.request = submit_request, .answer = submit_answer};
