/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_trust: the session's side of trust.h and pins.h: asking for consistency proofs, taking them, keeping the pin on disk, and
 * stopping with evidence when the server contradicts itself.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core.h"

struct verifier session_verifier(struct ledger_client *cl, struct arena *a)
{
    return (struct verifier){.c = cl->c, .a = a, .policy = cl->policy, .index_key = cl->profile->index_key,
                             .origin = cl->profile->origin};
}

struct verifier session_log_verifier(struct ledger_client *cl, struct arena *a)
{
    struct verifier vf = session_verifier(cl, a);
    vf.policy = cl->log_policy;
    return vf;
}

bool session_check_note(struct ledger_client *cl, struct arena *a, struct span note, struct checkpoint *cp,
                        struct policy_verdict *trust, struct verdict *v)
{
    struct verifier vf = session_verifier(cl, a);
    memset(cp, 0, sizeof *cp);
    memset(trust, 0, sizeof *trust);
    memset(v, 0, sizeof *v);
    if (verify_checkpoint(&vf, note, cp, trust, v))
        return true;
    bool only_quorum = v->kind == VERDICT_UNTRUSTED && trust->log_signed && !trust->quorum_met &&
                       span_eq(cp->origin, span_str(cl->profile->origin));
    if (only_quorum)
        memset(v, 0, sizeof *v);
    return only_quorum;
}

static void fail_no_memory(struct ledger_client *cl)
{
    struct ledger_err err;
    ledger_fail(&err, LEDGER_ENOMEM, "out of memory");
    session_fail_all(cl, &err);
}

/* ---- proofs ---- */

static bool ask_proof(struct ledger_client *cl, struct trust_node *n)
{
    uint64_t small = n->size < n->base->size ? n->size : n->base->size;
    uint64_t large = n->size < n->base->size ? n->base->size : n->size;
    n->request_id = session_id(cl);
    struct arena_mark mark = arena_mark(cl->scratch);
    bool sent = session_send(cl, rpc_put_consistency(cl->scratch, n->request_id, small, large));
    arena_release(cl->scratch, mark);
    return sent;
}

bool session_see(struct ledger_client *cl, const struct checkpoint *cp, struct span note)
{
    struct trust_node *n;
    struct trust_conflict conflict;
    struct verdict v = {0};
    enum ledger_rc rc = trust_see(&cl->trust, cp, note, &n, &conflict, &v);
    if (rc == LEDGER_ETAMPER) {
        session_tampered(cl, &conflict, v.text);
        return false;
    }
    if (rc != LEDGER_OK) {
        fail_no_memory(cl);
        return false;
    }
    return n->trusted || n->request_id != 0 || ask_proof(cl, n);
}

bool session_see_sealed(struct ledger_client *cl, const struct checkpoint *cp, const struct snapshot_claim *claim)
{
    struct arena_mark mark = arena_mark(cl->scratch);
    cl->at_hand = claim;
    bool goes_on = session_see(cl, cp, claim->note);
    cl->at_hand = NULL;
    struct span seal = goes_on ? evidence_seal(cl->scratch, claim->seal, claim->seal_path) : SPAN_NONE;
    if (seal.p && !trust_seal(&cl->trust, cp, seal, false)) {
        fail_no_memory(cl);
        goes_on = false;
    }
    arena_release(cl->scratch, mark);
    return goes_on;
}

/* A server that signed a larger tree and cannot prove that it continues the smaller one has no such tree. One that has too many
 * requests at the moment says nothing about its tree. */
static void proof_refused(struct ledger_client *cl, struct trust_node *n, const struct message_error *e)
{
    struct ledger_err err;
    struct trust_conflict conflict = {n->base->note, n->note, SPAN_NONE, SPAN_NONE};
    char what[200];
    enum ledger_rc rc = rc_from_message(e);
    if (rc == LEDGER_ENOTFOUND || rc == LEDGER_EINVAL) {
        snprintf(what, sizeof what, "the server has signed both checkpoints and gives no proof that they are of one log (%.80s)",
                 e->text);
        session_accuse(cl, &conflict, what);
        return;
    }
    ledger_fail(&err, rc, "the server gives no consistency proof: %s", e->text);
    if (rc == LEDGER_EDENIED || rc == LEDGER_EVERSION)
        session_fail_all(cl, &err);
    else
        session_lost(cl, &err);
}

bool session_take_proof(struct ledger_client *cl, const struct message *m)
{
    struct trust_node *n = trust_by_request(&cl->trust, m->id);
    struct trust_conflict conflict;
    struct verdict v = {0};
    struct ledger_err err;
    if (!n || n->linked || m->id == 0)
        return false;
    if (m->kind == MESSAGE_ERROR) {
        proof_refused(cl, n, &m->u.error);
        return true;
    }
    if (m->kind != MESSAGE_CONSISTENCY) {
        ledger_fail(&err, LEDGER_EPROTO, "the server answered another question than the one about consistency");
        session_fail_all(cl, &err);
        return true;
    }
    struct verifier vf = session_verifier(cl, cl->scratch);
    if (trust_link(&cl->trust, &vf, n, m->u.consistency.path, &conflict, &v) != LEDGER_OK)
        session_accuse(cl, &conflict, v.text);
    return true;
}

bool session_settled(const struct ledger_client *cl)
{
    for (const struct trust_node *n = cl->trust.first; n; n = n->next)
        if (!n->trusted)
            return false;
    return cl->recheck_id == 0 && cl->keys_id == 0;
}

/* ---- the pin on disk ---- */

/* Best effort: a seal that is missing makes evidence poorer and nothing else. */
static void pin_seal(struct ledger_client *cl)
{
    struct trust_node *latest = cl->trust.latest;
    if (latest && latest->seal.p && !latest->seal_kept && latest->size == cl->pinned_size)
        latest->seal_kept = pin_keep_seal(cl->profile, latest->seal, NULL) == LEDGER_OK;
}

bool session_pin(struct ledger_client *cl, bool at_once, struct ledger_err *err)
{
    if (at_once || conn_clock_ms() - cl->pin_written_ms >= PIN_EVERY_MS)
        pin_seal(cl);
    const struct trust_node *latest = cl->trust.latest;
    uint64_t now = conn_clock_ms();
    if (!latest || latest->size <= cl->pinned_size || (!at_once && now - cl->pin_written_ms < PIN_EVERY_MS))
        return true;
    struct pin mine = {true, latest->size, latest->root, latest->note, SPAN_NONE}, other;
    struct arena_mark mark = arena_mark(cl->scratch);
    struct ledger_err why = {0};
    enum ledger_rc rc = pin_advance(cl->scratch, cl->profile, &mine, &other, &why);
    bool goes_on = true;
    cl->pin_written_ms = now;
    if (rc == LEDGER_ETAMPER) {
        struct trust_conflict conflict = {other.note, latest->note, SPAN_NONE, SPAN_NONE};
        session_tampered(cl, &conflict, why.msg);
        return false;
    }
    if (rc != LEDGER_OK) {
        *err = why;
    } else {
        cl->pinned_size = other.present ? other.size : latest->size;
        /* Another program has seen more. Whether the two of us see one ledger is for the server to prove. */
        struct checkpoint cp = {span_str(cl->profile->origin), other.size, other.root};
        if (other.present && cl->state >= SESSION_TRUSTING)
            goes_on = session_see(cl, &cp, other.note);
    }
    arena_release(cl->scratch, mark);
    return goes_on;
}

/* ---- evidence ---- */

#define EVIDENCE_BYTES_MAX ((size_t)64 << 20)
#define EVIDENCE_PATH_SHOWN 130u

/* Writes the evidence and fills err: what, and where the file is. */
static void keep_evidence(const struct ledger_profile *p, const struct evidence *e, struct ledger_err *err)
{
    char path[PIN_PATH_MAX];
    struct ledger_err why = {0};
    struct arena *a = arena_new(EVIDENCE_BYTES_MAX);
    enum ledger_rc rc = a ? pin_write_evidence(a, p, e, path, &why) : LEDGER_ENOMEM;
    /* Of a long path the end is what tells the file. */
    size_t n = rc == LEDGER_OK ? strlen(path) : 0, most = EVIDENCE_PATH_SHOWN, shown = n > most ? most : n;
    if (rc == LEDGER_OK)
        ledger_fail(err, LEDGER_ETAMPER, "%.*s; evidence: %s%s", (int)(sizeof err->msg - sizeof "; evidence: ..." - shown), e->what,
                    n > most ? "..." : "", path + n - shown);
    else
        ledger_fail(err, LEDGER_ETAMPER, "%.120s; evidence could not be kept: %.80s", e->what, why.msg);
    arena_free(a);
}

void session_tampered(struct ledger_client *cl, const struct trust_conflict *conflict, const char *what)
{
    struct evidence e = {.what = what, .known = conflict->known, .received = conflict->received, .proof = conflict->proof,
                         .last = conflict->last,
                         .known_seal = trust_seal_of(&cl->trust, conflict->known),
                         .received_seal = trust_seal_of(&cl->trust, conflict->received)};
    struct arena_mark mark = arena_mark(cl->scratch);
    if (cl->at_hand && span_eq(cl->at_hand->note, conflict->received))
        e.received_seal = evidence_seal(cl->scratch, cl->at_hand->seal, cl->at_hand->seal_path);
    keep_evidence(cl->profile, &e, &cl->evidence);
    arena_release(cl->scratch, mark);
    cl->tampered = true;
    session_fail_all(cl, &cl->evidence);
}

void session_lied(struct ledger_client *cl, const char *what, struct span answer)
{
    const struct evidence e = {.what = what, .known = cl->trust.latest ? cl->trust.latest->note : SPAN_NONE, .answer = answer};
    keep_evidence(cl->profile, &e, &cl->evidence);
    cl->tampered = true;
    session_fail_all(cl, &cl->evidence);
}

void session_keep_answer(struct ledger_client *cl, struct call *k, struct span answer)
{
    char what[sizeof k->reply->err.msg];
    memcpy(what, k->reply->err.msg, sizeof what);
    const struct evidence e = {.what = what, .known = cl->trust.latest ? cl->trust.latest->note : SPAN_NONE,
                                   .answer = answer};
    keep_evidence(cl->profile, &e, &k->reply->err);
}

void client_keep_evidence(const struct ledger_profile *p, const char *what, struct span note, struct span answer,
                          struct ledger_err *err)
{
    const struct evidence e = {.what = what, .known = note, .answer = answer};
    keep_evidence(p, &e, err);
}

void client_keep_entry(const struct ledger_profile *p, const char *what, struct span receipt, struct ledger_err *err)
{
    const struct evidence e = {.what = what, .receipt = receipt};
    keep_evidence(p, &e, err);
}
