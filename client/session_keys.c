/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_keys: following the ledger from one log key to the next (core.h, log_keys.h). When the hello's checkpoint is signed by no key that
 * this client knows, or when it cannot tell which of several is in force, it asks how the key has changed, and takes the changes that
 * the keys and the witnesses of its policy vouch for. Their checkpoints are then proven, like every other one, to be of the one history that
 * this profile knows; only after that are they kept, and anything else believed. A connection that is lost before leaves all as it was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

/* ---- the client's policies ---- */

/* What the log alone has signed is judged without the witnesses. */
static void derive_log_policy(struct ledger_client *cl)
{
    *cl->log_policy = *cl->policy;
    cl->log_policy->quorum_none = true;
}

bool keys_init(struct ledger_client *cl)
{
    cl->policy = malloc(sizeof *cl->policy);
    cl->settled = malloc(sizeof *cl->settled);
    cl->log_policy = malloc(sizeof *cl->log_policy);
    if (!cl->policy || !cl->settled || !cl->log_policy)
        return false;
    *cl->policy = *cl->settled = *cl->profile->policy;
    derive_log_policy(cl);
    return true;
}

void keys_fini(struct ledger_client *cl)
{
    followed_free(&cl->keys);
    followed_free(&cl->keys_new);
    free(cl->policy);
    free(cl->settled);
    free(cl->log_policy);
}

void keys_forget(struct ledger_client *cl)
{
    cl->keys_id = 0;
    cl->keys_asked = false;
    if (!cl->keys_new.a)
        return;
    followed_free(&cl->keys_new);
    *cl->policy = *cl->settled;
    derive_log_policy(cl);
}

static const struct message_log_keys *known_keys(const struct ledger_client *cl)
{
    if (cl->keys_new.a)
        return &cl->keys_new.keys;
    return cl->keys.a ? &cl->keys.keys : &cl->profile->followed->keys;
}

const struct message_log_keys *keys_followed(const struct ledger_client *cl)
{
    return known_keys(cl);
}

bool keys_show(const struct ledger_client *cl, struct call *k)
{
    const struct message_log_keys *keys = known_keys(cl);
    struct reply *r = k->reply;
    if (k->rq.op != CALL_PROVE || !k->rq.u.prove.history_all || keys->n == 0)
        return true;
    struct log_key_claim *to = arena_alloc(r->a, keys->n * sizeof *to);
    bool whole = to != NULL;
    for (size_t i = 0; whole && i < keys->n; i++)
        whole = log_key_claim_copy(r->a, &keys->changes[i], &to[i]);
    r->log_keys = to;
    r->n_log_keys = keys->n;
    if (!whole)
        (void)step_no_memory(k);
    return whole;
}

/* ---- asking ---- */

bool keys_wanted(const struct ledger_client *cl, const struct checkpoint *cp, const struct policy_verdict *trust)
{
    bool unclear;
    if (cl->keys_asked || !span_eq(cp->origin, span_str(cl->profile->origin)) || trust->wrong_key)
        return false;
    (void)log_keys_newest(cl->policy, cl->profile->origin, &unclear);
    return !trust->log_signed || unclear;
}

bool keys_ask(struct ledger_client *cl, struct span note)
{
    struct arena_mark mark = arena_mark(cl->scratch);
    cl->keys_asked = true;
    cl->keys_id = session_id(cl);
    cl->newest_n = note.n <= sizeof cl->newest ? note.n : 0;
    memcpy(cl->newest, note.p, cl->newest_n);
    bool sent = session_send(cl, rpc_put_log_keys(cl->scratch, cl->keys_id));
    arena_release(cl->scratch, mark);
    return sent;
}

bool keys_changed(struct ledger_client *cl, const struct reply *r)
{
    const struct policy_verdict *t = &r->snapshot.trust;
    bool unknown = r->rc == LEDGER_EUNTRUSTED && r->verdict.kind == VERDICT_UNTRUSTED && !t->log_signed && !t->wrong_key &&
                   span_eq(r->snapshot.cp.origin, span_str(cl->profile->origin));
    if (!unknown || cl->keys_doubted)
        return false;
    cl->keys_doubted = true;
    return true;
}

/* ---- taking ---- */

/* The checkpoint of the change after which a key signs nothing: it shows, with whatever that key has signed later, what is wrong. */
static struct span last_note_of(const struct ledger_client *cl, uint64_t until)
{
    const struct message_log_keys *k = known_keys(cl);
    for (size_t i = 0; i < k->n; i++) {
        struct note note;
        struct checkpoint cp;
        struct arena_mark mark = arena_mark(cl->scratch);
        bool found = note_parse(cl->scratch, k->changes[i].note, &note, NULL) == LEDGER_OK &&
                     checkpoint_parse(note.text, &cp, NULL) == LEDGER_OK && cp.size + 1 == until;
        arena_release(cl->scratch, mark);
        if (found)
            return k->changes[i].note;
    }
    return cl->trust.latest ? cl->trust.latest->note : SPAN_NONE;
}

void keys_misused(struct ledger_client *cl, const struct policy_verdict *trust, struct span note, const char *what)
{
    uint64_t until = cl->policy->log_until[trust->log];
    struct trust_conflict conflict = {last_note_of(cl, until ? until : cl->policy->log_from[trust->log]), note, SPAN_NONE, SPAN_NONE};
    session_tampered(cl, &conflict, what);
}

/* A change that a key of the policy has signed and that cannot be is evidence; what nobody vouches for is only no answer. */
static void changes_refused(struct ledger_client *cl, const struct log_key_claim *claim, const struct verdict *v)
{
    struct checkpoint cp;
    struct policy_verdict trust = {.log = 0};
    struct ledger_err err;
    bool ours = policy_check(cl->c, cl->scratch, cl->policy, claim->note, &cp, &trust, NULL) && (trust.log_signed || trust.wrong_key);
    if (v->kind == VERDICT_TAMPERED && ours) {
        keys_misused(cl, &trust, claim->note, v->text);
        return;
    }
    ledger_fail(&err, verdict_rc_or(v->kind, LEDGER_EUNTRUSTED),
                "the ledger has another log key, and the change is not proven under the policy: %.160s. Ask the operator for the new key, "
                "and add its `log` line to the policy", v->text);
    session_fail_all(cl, &err);
}

/* Every change's checkpoint has to belong to the history that is known. False: the session is over. */
static bool see_changes(struct ledger_client *cl, const struct message_log_keys *k)
{
    for (size_t i = 0; i < k->n; i++) {
        struct checkpoint cp;
        struct policy_verdict trust;
        struct verdict v;
        if (session_check_note(cl, cl->scratch, k->changes[i].note, &cp, &trust, &v) && !session_see(cl, &cp, k->changes[i].note))
            return false;
    }
    return true;
}

static bool take_changes(struct ledger_client *cl, const struct message_log_keys *k)
{
    unsigned taken = 0;
    size_t failed = 0;
    struct verdict v = {0};
    struct ledger_err err = {0};
    if (k->n > LOG_KEY_CHANGES_MAX || followed_copy(k, &cl->keys_new, &err) != LEDGER_OK) {
        ledger_fail(&err, LEDGER_EPROTO, "the server shows too many changes of its log key");
        session_fail_all(cl, &err);
        return false;
    }
    if (!log_keys_follow(cl->c, cl->scratch, cl->profile->origin, cl->policy, k->changes, k->n, &taken, &failed, &v)) {
        changes_refused(cl, &k->changes[failed], &v);
        return false;
    }
    derive_log_policy(cl);
    if (taken == 0)
        followed_free(&cl->keys_new);
    return taken == 0 || see_changes(cl, &cl->keys_new.keys);
}

bool keys_take(struct ledger_client *cl, const struct message *m, struct span *newest)
{
    struct ledger_err err;
    cl->keys_id = 0;
    *newest = span_of(cl->newest, cl->newest_n);
    if (m->kind == MESSAGE_LOG_KEYS)
        return take_changes(cl, &m->u.log_keys);
    enum ledger_rc rc = m->kind == MESSAGE_ERROR ? rc_from_message(&m->u.error) : LEDGER_EPROTO;
    if (rc == LEDGER_EVERSION || rc == LEDGER_ENOTFOUND)
        return true; /* it knows of none: the policy decides */
    ledger_fail(&err, rc, "the server does not show its log keys: %s", m->kind == MESSAGE_ERROR ? m->u.error.text : "another answer");
    if (rc == LEDGER_EPROTO)
        session_fail_all(cl, &err);
    else
        session_lost(cl, &err);
    return false;
}

/* ---- keeping ---- */

static void tell(struct ledger_client *cl)
{
    bool unclear;
    int i = log_keys_newest(cl->policy, cl->profile->origin, &unclear);
    pthread_mutex_lock(&cl->mutex);
    if (i >= 0) {
        cl->in_force.from_size = cl->policy->log_from[i];
        cl->in_force.vkey[note_key_format(&cl->policy->logs[i], cl->in_force.vkey)] = 0;
    }
    cl->in_force.changes = known_keys(cl)->n;
    pthread_mutex_unlock(&cl->mutex);
}

bool keys_settle(struct ledger_client *cl, struct ledger_err *err)
{
    if (cl->keys_new.a) {
        if (followed_store(cl->profile, &cl->keys_new.keys, err) != LEDGER_OK)
            return false;
        followed_free(&cl->keys);
        cl->keys = cl->keys_new;
        cl->keys_new = (struct followed){.a = NULL};
        *cl->settled = *cl->policy;
        cl->keys_doubted = false;
        pthread_mutex_lock(&cl->mutex);
        cl->in_force.news = true;
        pthread_mutex_unlock(&cl->mutex);
    }
    tell(cl);
    return true;
}

void client_log_key(struct ledger_client *cl, struct log_key_in_force *out)
{
    pthread_mutex_lock(&cl->mutex);
    *out = cl->in_force;
    cl->in_force.news = false;
    pthread_mutex_unlock(&cl->mutex);
}
