/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_quorum: the policy's witnesses (core.h). An answer stands on the ledger's newest checkpoint, which no witness may have seen yet.
 * Where the policy demands a quorum the ledger is asked for a checkpoint that it has cosigned and that is no smaller, with the very seal
 * that the answer stands on: what was proven under that seal is then proven under a tree that the witnesses vouch for.
 *
 * The seal has to be the same, not just one under a cosigned tree: else a server could show yesterday's state, and today's witnesses
 * would seem to vouch for it. And both checkpoints are proven to be of one history like all others, by consistency.
 *
 * Every snapshot also brings the newest checkpoint that was cosigned, whatever the policy demands: its age is shown with each answer.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core.h"

static bool has_quorum(const struct ledger_client *cl)
{
    return !cl->profile->policy->quorum_none;
}

bool quorum_holds(const struct ledger_client *cl, const struct policy_verdict *trust)
{
    return has_quorum(cl) ? trust->quorum_met : trust->witnesses != 0;
}

bool quorum_demanded(const struct ledger_client *cl, const struct call *k)
{
    if (k->rq.op == CALL_SUBMIT)
        return k->rq.u.submit.witnessed;
    if (k->rq.op == CALL_RECEIPT && k->rq.u.receipt.witnessed)
        return true;
    return has_quorum(cl) && !k->rq.log_only && k->rq.op != CALL_STATUS;
}

bool quorum_wanted(const struct ledger_client *cl, const struct call *k)
{
    const struct reply *r = k->reply;
    return !k->quorum && r->has_checkpoint && quorum_demanded(cl, k) && !quorum_holds(cl, &r->snapshot.trust);
}

uint32_t quorum_wait_ms(struct call *k)
{
    uint64_t now = conn_clock_ms(), most = now + QUORUM_WAIT_MS_MAX;
    uint64_t margin = k->timeout_ms / 4 < 1000 ? k->timeout_ms / 4 : 1000; /* for the answer that there is none */
    if (k->quorum_until_ms == 0)
        k->quorum_until_ms = most < k->deadline_ms - margin ? most : k->deadline_ms - margin;
    return k->quorum_until_ms > now ? (uint32_t)(k->quorum_until_ms - now) : 0;
}

void quorum_begin(struct call *k)
{
    uint64_t enough = conn_clock_ms() + QUORUM_WAIT_MS_MAX + 1000;
    k->quorum = true;
    k->state = CALL_QUEUED;
    k->not_before_ms = 0;
    /* A follower's time is for waiting until something happens; what has happened in the end must not be lost for want of a second. */
    if (k->rq.op == CALL_ENTRIES && k->rq.u.entries.follow && k->deadline_ms < enough)
        k->deadline_ms = enough;
}

/* ---- the newest witnessed checkpoint ---- */

static bool put_names(struct arena *a, const struct policy *p, struct witnessed_note *w)
{
    w->names = arena_alloc(a, POLICY_MAX * sizeof *w->names);
    for (unsigned i = 0; w->names && i < p->n_witnesses; i++)
        if (w->trust.witnesses >> i & 1)
            w->names[w->n++] = p->witness_names[i];
    return w->names != NULL;
}

/* Takes it as the reply's, unless that has a newer one. */
static bool keep_witnessed(struct ledger_client *cl, struct reply *r, const struct witnessed_note *w)
{
    if (r->witnessed.present && r->witnessed.cp.size > w->cp.size)
        return true;
    r->witnessed = *w;
    r->witnessed.present = true;
    return put_names(r->a, cl->profile->policy, &r->witnessed);
}

bool quorum_see(struct ledger_client *cl, struct call *k, struct span note)
{
    struct reply *r = k->reply;
    struct witnessed_note w = {.cp = r->snapshot.cp, .trust = r->snapshot.trust, .note = r->snapshot.note};
    bool kept = !quorum_holds(cl, &w.trust) || keep_witnessed(cl, r, &w);
    if (note.n && kept && !span_eq(note, r->snapshot.note)) {
        w = (struct witnessed_note){.note = note};
        if (!session_check_note(cl, r->a, note, &w.cp, &w.trust, &r->verdict)) {
            step_bad(k);
            return false;
        }
        if (!session_see(cl, &w.cp, note))
            return false;
        kept = !quorum_holds(cl, &w.trust) || keep_witnessed(cl, r, &w);
    }
    if (!kept)
        (void)step_no_memory(k);
    return kept;
}

void quorum_finish(struct ledger_client *cl, struct call *k)
{
    struct reply *r = k->reply;
    struct witnessed_note *w = &r->witnessed;
    struct timespec now;
    if (!w->present)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t at = has_quorum(cl) ? w->trust.cosigned_at : w->trust.seen_at;
    w->age_s = (int64_t)now.tv_sec - (int64_t)at;
    /* A larger tree that begins with this one: who has replayed that one has replayed this one. */
    if (w->cp.size >= r->snapshot.cp.size)
        r->snapshot.trust.auditors_signed |= w->trust.auditors_signed;
}

/* ---- asking ---- */

struct span quorum_request(struct ledger_client *cl, struct call *k, struct arena *a, uint64_t id)
{
    (void)cl;
    return rpc_put_witnessed(a, id, k->reply->snapshot.cp.size, quorum_wait_ms(k));
}

enum call_step quorum_answer(struct ledger_client *cl, struct call *k, const struct message *m)
{
    struct reply *r = k->reply;
    const struct snapshot_claim *claim = &m->u.snapshot;
    struct witnessed_note w = {.note = claim->note};
    struct snapshot s;
    if (m->kind != MESSAGE_SNAPSHOT)
        return step_fail(k, LEDGER_EPROTO, "the server answered another question than the one about its witnesses");
    if (!session_check_note(cl, r->a, claim->note, &w.cp, &w.trust, &r->verdict))
        return step_bad(k);
    /* The ledger's own policy may demand less than ours: what is missing may still come. */
    if (!quorum_holds(cl, &w.trust))
        return quorum_wait_ms(k) ? STEP_LATER : quorum_missing(cl, k);
    struct verifier vf = session_verifier(cl, r->a);
    if (!verify_snapshot_at(&vf, claim, r->snapshot.cp.size, &s, &r->verdict))
        return step_bad(k);
    if (r->has_seal && !hash_eq(&s.seal_leaf, &r->snapshot.seal_leaf))
        return step_fail(k, LEDGER_ETAMPER, "the witnesses have cosigned another seal %llu than the one that the answer stands on",
                         (unsigned long long)s.seal.index);
    r->snapshot.trust = s.trust;
    r->cosigned = *claim;
    r->witnessed.present = false;
    if (!keep_witnessed(cl, r, &w))
        return step_no_memory(k);
    return session_see(cl, &w.cp, w.note) ? STEP_TRUST : STEP_FAILED;
}

/* ---- none ---- */

enum call_step quorum_missing(struct ledger_client *cl, struct call *k)
{
    const struct witnessed_note *w = &k->reply->witnessed;
    char last[120] = "they have never cosigned anything that this program has seen";
    bool submitted = k->rq.op == CALL_SUBMIT;
    if (w->present) {
        quorum_finish(cl, k);
        snprintf(last, sizeof last, "the last that they have cosigned has %llu entries and is %lld s old", (unsigned long long)w->cp.size,
                 (long long)w->age_s);
    }
    if (!submitted)
        return step_fail(k, LEDGER_ESTALE, "no quorum of the policy's witnesses has cosigned this in time; %s", last);
    return step_fail(k, LEDGER_ESTALE, "it is recorded and durable, and no quorum of the policy's witnesses has cosigned it in time");
}

void quorum_fail(struct ledger_client *cl, struct call *k)
{
    /* A submission was answered; but only a checkpoint that is proven makes that answer certain. */
    if (k->rq.op == CALL_SUBMIT && !trust_has(&cl->trust, &k->reply->snapshot.cp))
        k->reply->recorded = LEDGER_RECORDED_UNKNOWN;
    call_end(cl, k);
}

bool quorum_error(struct ledger_client *cl, struct call *k, const struct message_error *e)
{
    bool asked = k->quorum || (k->rq.op == CALL_RECEIPT && quorum_demanded(cl, k));
    if (!asked)
        return false;
    if (k->quorum && e->code == MESSAGE_ERROR_BUSY) {
        k->state = CALL_QUEUED;
        k->not_before_ms = conn_clock_ms() + QUORUM_AGAIN_MS;
        return true;
    }
    if (e->code == MESSAGE_ERROR_TIMEOUT) {
        (void)quorum_missing(cl, k);
    } else if (k->quorum && (e->code == MESSAGE_ERROR_NOT_FOUND || e->code == MESSAGE_ERROR_UNKNOWN_REQUEST)) {
        (void)step_fail(k, LEDGER_EUNTRUSTED, "%sthe policy demands a quorum of witnesses, and the ledger has none to offer: %.120s",
                        k->rq.op == CALL_SUBMIT ? "it is recorded and durable; " : "", e->text);
    } else {
        return false;
    }
    quorum_fail(cl, k);
    return true;
}
