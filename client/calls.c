/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls: what all operations share, and the small operations: snapshot, find, receipt, status (core.h).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core.h"

/* ---- shared steps ---- */

enum call_step step_fail(struct call *k, enum ledger_rc rc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(k->reply->err.msg, sizeof k->reply->err.msg, fmt, ap);
    va_end(ap);
    k->reply->rc = k->reply->err.rc = rc;
    return STEP_FAILED;
}

enum call_step step_no_memory(struct call *k)
{
    return step_fail(k, LEDGER_ENOMEM, "the answer needs more memory than an operation may use; ask for less");
}

enum call_step step_bad(struct call *k)
{
    const struct verdict *v = &k->reply->verdict;
    enum ledger_rc rc = verdict_rc(v->kind, LEDGER_EPROTO);
    if (rc == LEDGER_ENOMEM)
        return step_no_memory(k);
    if (v->index == VERDICT_NO_INDEX)
        return step_fail(k, rc, "%s: %s", v->what, v->text);
    return step_fail(k, rc, "entry %llu, %s: %s", (unsigned long long)v->index, v->what, v->text);
}

bool step_snapshot(struct ledger_client *cl, struct call *k, const struct snapshot_claim *claim)
{
    struct reply *r = k->reply;
    struct verifier vf = session_log_verifier(cl, r->a);
    struct checkpoint cp;
    bool quorum = !cl->profile->policy->quorum_none;
    if (!verify_snapshot(&vf, claim, &r->snapshot, &r->verdict) ||
        (quorum && !session_check_note(cl, r->a, claim->note, &cp, &r->snapshot.trust, &r->verdict))) {
        step_bad(k);
        return false;
    }
    r->has_checkpoint = r->has_seal = true;
    r->claim = *claim;
    if (r->snapshot.cp.size < k->floor) {
        char what[160];
        struct trust_conflict conflict = {cl->trust.latest->note, claim->note, SPAN_NONE, SPAN_NONE};
        snprintf(what, sizeof what, "an answer stands on %llu entries although %llu were proven before it was asked",
                 (unsigned long long)r->snapshot.cp.size, (unsigned long long)k->floor);
        cl->at_hand = claim;
        session_tampered(cl, &conflict, what);
        cl->at_hand = NULL;
        return false;
    }
    return session_see_sealed(cl, &r->snapshot.cp, claim) && quorum_see(cl, k, claim->witnessed);
}

void step_credit(struct ledger_client *cl, struct call *k)
{
    struct arena_mark mark = arena_mark(cl->scratch);
    (void)session_send(cl, rpc_put_credit(cl->scratch, session_id(cl), k->id, 1));
    arena_release(cl->scratch, mark);
}

static enum call_step wrong_answer(struct call *k)
{
    return step_fail(k, LEDGER_EPROTO, "the server answered another question than this one");
}

/* ---- snapshot ---- */

static struct span snapshot_request(struct ledger_client *cl, struct call *k, struct arena *a, uint64_t id)
{
    (void)cl;
    (void)k;
    return rpc_put_checkpoint(a, id);
}

/* A checkpoint that somebody else was given: from here on the session has to make sense of it. */
static bool see_other(struct ledger_client *cl, struct call *k, struct span note)
{
    struct checkpoint cp;
    struct policy_verdict trust;
    struct verdict v;
    if (!session_check_note(cl, k->reply->a, note, &cp, &trust, &v)) {
        step_fail(k, verdict_rc_or(v.kind, LEDGER_EUNTRUSTED),
                  "the other checkpoint is no statement of this ledger: %s", v.text);
        return false;
    }
    k->also[k->n_also++] = cp;
    return session_see(cl, &cp, note);
}

static enum call_step snapshot_answer(struct ledger_client *cl, struct call *k, const struct message *m)
{
    if (m->kind != MESSAGE_SNAPSHOT)
        return wrong_answer(k);
    if (!step_snapshot(cl, k, &m->u.snapshot))
        return STEP_FAILED;
    k->n_also = 0;
    for (size_t i = 0; i < k->rq.u.snapshot.n; i++)
        if (!see_other(cl, k, k->rq.u.snapshot.notes[i]))
            return STEP_FAILED;
    return STEP_TRUST;
}

const struct call_ops ops_snapshot = {.request = snapshot_request, .answer = snapshot_answer};

/* ---- find: on the server's word ---- */

struct find_part {
    struct find_part *next;
    const struct span *ids;
    size_t n;
};
struct find_work {
    struct find_part *first, **end;
    size_t n;
    bool snapshot;
};

static struct span find_request(struct ledger_client *cl, struct call *k, struct arena *a, uint64_t id)
{
    (void)cl;
    return rpc_put_find(a, id, &k->rq.u.find);
}

static enum call_step find_join(struct call *k, const struct find_work *w, bool truncated)
{
    struct reply *r = k->reply;
    struct span *ids = arena_alloc(r->a, (w->n + 1) * sizeof *ids);
    size_t n = 0;
    if (!ids)
        return step_no_memory(k);
    for (const struct find_part *p = w->first; p; p = p->next) {
        memcpy(ids + n, p->ids, p->n * sizeof *ids);
        n += p->n;
    }
    r->u.find.ids = ids;
    r->u.find.n = n;
    r->u.find.truncated = truncated;
    return STEP_TRUST;
}

static enum call_step find_answer(struct ledger_client *cl, struct call *k, const struct message *m)
{
    const struct message_find *f = &m->u.find;
    struct find_work *w = k->work;
    if (m->kind != MESSAGE_FIND)
        return wrong_answer(k);
    if (!w) {
        w = arena_alloc(k->reply->a, sizeof *w);
        if (!w)
            return step_no_memory(k);
        w->end = &w->first;
        k->work = w;
    }
    if (f->has_snapshot && !w->snapshot) {
        if (!step_snapshot(cl, k, &f->snapshot))
            return STEP_FAILED;
        w->snapshot = true;
    }
    struct find_part *p = arena_alloc(k->reply->a, sizeof *p);
    if (!p)
        return step_no_memory(k);
    *p = (struct find_part){NULL, f->ids, f->n};
    *w->end = p;
    w->end = &p->next;
    w->n += f->n;
    return m->more ? STEP_MORE : find_join(k, w, f->truncated);
}

const struct call_ops ops_find = {.request = find_request, .answer = find_answer, .stream = true};

/* ---- receipt ---- */

static struct span receipt_request(struct ledger_client *cl, struct call *k, struct arena *a, uint64_t id)
{
    if (!quorum_demanded(cl, k))
        return rpc_put_receipt(a, id, &k->rq.u.receipt, 0);
    struct receipt_request rq = k->rq.u.receipt;
    rq.witnessed = true;
    k->floor = 0; /* a cosigned checkpoint may be older than the newest: what is in it stays in it */
    return rpc_put_receipt(a, id, &rq, quorum_wait_ms(k));
}

static bool is_asked_for(const struct receipt_request *rq, const struct header *h)
{
    return rq->by_index ? h->index == rq->index : h->kind != OWN_SEAL && hash_eq(&h->event_id, &rq->event_id);
}

/* What the ledger calls witnessed may not be what this policy demands. */
static bool receipt_is_cosigned(struct ledger_client *cl, struct span note)
{
    struct checkpoint cp;
    struct policy_verdict trust;
    struct verdict v;
    struct arena_mark mark = arena_mark(cl->scratch);
    bool good = session_check_note(cl, cl->scratch, note, &cp, &trust, &v) && quorum_holds(cl, &trust);
    bool told = v.kind != VERDICT_GOOD; /* verify_receipt says what is wrong with it */
    arena_release(cl->scratch, mark);
    return good || told;
}

static enum call_step receipt_answer(struct ledger_client *cl, struct call *k, const struct message *m)
{
    struct reply *r = k->reply;
    bool demanded = quorum_demanded(cl, k);
    if (m->kind != MESSAGE_RECEIPT)
        return wrong_answer(k);
    if (demanded && !receipt_is_cosigned(cl, m->u.receipt.snapshot.note))
        return quorum_wait_ms(k) ? STEP_LATER : quorum_missing(cl, k);
    struct verifier vf = demanded ? session_verifier(cl, r->a) : session_log_verifier(cl, r->a);
    r->u.receipt.claim = m->u.receipt;
    r->u.receipt.claim.origin = span_str(cl->profile->origin);
    if (!verify_receipt(&vf, &r->u.receipt.claim, &r->u.receipt.receipt, &r->verdict))
        return step_bad(k);
    if (!is_asked_for(&k->rq.u.receipt, &r->u.receipt.receipt.entry.header))
        return step_fail(k, LEDGER_ETAMPER, "the server sent the receipt of another entry");
    const struct message_log_keys *keys = keys_followed(cl);
    r->u.receipt.claim.log_keys = keys->changes;
    r->u.receipt.claim.n_log_keys = keys->n;
    r->u.receipt.file = receipt_file_encode(cl->c, r->a, &r->u.receipt.claim);
    if (!r->u.receipt.file.p)
        return step_no_memory(k);
    return step_snapshot(cl, k, &r->u.receipt.claim.snapshot) ? STEP_TRUST : STEP_FAILED;
}

const struct call_ops ops_receipt = {.request = receipt_request, .answer = receipt_answer};

/* ---- status: on the server's word ---- */

static struct span status_request(struct ledger_client *cl, struct call *k, struct arena *a, uint64_t id)
{
    (void)cl;
    (void)k;
    return rpc_put_status(a, id);
}

static enum call_step status_answer(struct ledger_client *cl, struct call *k, const struct message *m)
{
    (void)cl;
    if (m->kind != MESSAGE_STATUS)
        return wrong_answer(k);
    k->reply->u.status.n = m->u.status.n;
    k->reply->u.status.metrics = m->u.status.metrics;
    return STEP_TRUST;
}

const struct call_ops ops_status = {.request = status_request, .answer = status_answer};

/* ---- consistency ---- */

static struct span consistency_request(struct ledger_client *cl, struct call *k, struct arena *a, uint64_t id)
{
    (void)cl;
    return rpc_put_consistency(a, id, k->rq.u.consistency.size1, k->rq.u.consistency.size2);
}

static enum call_step consistency_answer(struct ledger_client *cl, struct call *k, const struct message *m)
{
    (void)cl;
    if (m->kind != MESSAGE_CONSISTENCY || m->u.consistency.size1 != k->rq.u.consistency.size1 ||
        m->u.consistency.size2 != k->rq.u.consistency.size2)
        return wrong_answer(k);
    k->reply->u.consistency.path = m->u.consistency.path;
    return STEP_TRUST;
}

const struct call_ops ops_consistency = {.request = consistency_request, .answer = consistency_answer};
