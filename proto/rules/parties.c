/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parties: who may sign, and for whom things are made: PARTY_REGISTERED, COI_ASSIGNED,
 * CONSENT_CHANGED.
 *
 * In a simulation keys are placeholders and only kept as text; over the wire a key must be a valid
 * one that nobody ever held, and its holder must prove to have it.
 */
#include <string.h>

#include "rules/ruling.h"

static unsigned roles_of(const struct event *ev)
{
    const struct value *v = event_get(ev, FIELD_ROLES);
    unsigned mask = 0;
    for (size_t i = 0; v && i < v->n; i++)
        mask |= ROLE_BIT(v->items[i].e);
    return mask;
}

/* ---- PARTY_REGISTERED ---- */

static bool refuse_key(struct ruling *r, const char *what)
{
    const char *subject = facts_text(&r->f, "party %.*s", SPAN_FMT(event_text(r->ev, FIELD_PARTY)));
    return deny(r, E_KEY_INVALID, subject, "pubkey", "%s", what);
}

static bool check_key_unheld(struct ruling *r, enum sig_alg alg, struct span key)
{
    uint8_t id[KEY_ID_LEN];
    struct span holder;
    crypto_key_id(r->j->c, alg, key, id);
    enum ledger_rc rc = kv_get(r->j->kv, KV_KEYHOLDER, span_of(id, sizeof id), &holder);
    if (rc == LEDGER_ENOTFOUND)
        return true;
    if (rc == LEDGER_OK)
        return refuse_key(r, facts_text(&r->f,
                                        "this key was already registered for %.*s; make a new one",
                                        SPAN_FMT(holder)));
    r->j->rc = ledger_fail(&r->j->err, rc, "judging: looking up a key failed");
    return false;
}

static bool check_key(struct ruling *r)
{
    uint8_t buf[KEY_LEN_MAX];
    size_t n = sizeof buf;
    enum sig_alg alg;
    struct span text = event_text(r->ev, FIELD_PUBKEY), party = event_text(r->ev, FIELD_PARTY);
    if (text.n == 0)
        return refuse_key(r, "a public key must be given");
    if (!key_text_parse(text, &alg, buf, &n))
        return refuse_key(r, "the key is not written as \"ed25519:\" or \"p256:\" and base64");
    struct span key = span_of(buf, n);
    if (r->j->algorithms && !(r->j->algorithms >> alg & 1u))
        return refuse_key(r, "the ledger's parameters do not allow new keys of this algorithm");
    if (!crypto_key_valid(r->j->c, alg, key))
        return refuse_key(r, "this is no canonical, full-order public key of its algorithm");
    if (!check_key_unheld(r, alg, key))
        return false;
    if (!r->ev->key_proof.p)
        return refuse_key(r,
                          "the proof of possession is missing: the new key must sign for itself");
    struct span input = key_proof_input(r->j->a, r->j->origin, party, alg, key);
    if (!input.p) {
        r->j->rc = ledger_fail(&r->j->err, LEDGER_ENOMEM, "judging: over the memory budget");
        return false;
    }
    if (!crypto_verify(r->j->c, alg, key, input, r->ev->key_proof))
        return refuse_key(r, "the proof of possession does not verify under the new key");
    return true;
}

static bool is_admin(const struct party_state *p)
{
    return p->revoked == 0 && (p->roles & ROLE_BIT(ROLE_ADMIN)) != 0;
}

bool check_party(struct ruling *r)
{
    const struct event *ev = r->ev;
    struct span id = event_text(ev, FIELD_PARTY);
    unsigned action = event_enum(ev, FIELD_ACTION);
    const char *subject = facts_text(&r->f, "party %.*s", SPAN_FMT(id));
    r->chain = judge_load(r->j, CHAIN_PARTY, id);
    if (!r->chain)
        return false;
    const struct party_state *p = &r->chain->chain.party;
    if (action == PARTY_REGISTER) {
        if (r->chain->chain.exists)
            return deny(r, E_DUP_ITEM, subject, "party",
                        "%.*s is already registered; amend it, or choose another id", SPAN_FMT(id));
    } else if (!r->chain->chain.exists || p->revoked > 0) {
        return deny(r, E_UNKNOWN_PARTY, subject, "party", "%.*s is %s", SPAN_FMT(id),
                    r->chain->chain.exists ? "revoked" : "not registered");
    }
    bool loses_admin =
        action == PARTY_REVOKE || (action == PARTY_AMEND && !(roles_of(ev) & ROLE_BIT(ROLE_ADMIN)));
    if (loses_admin && r->j->registry.admins - (is_admin(p) ? 1 : 0) == 0)
        return deny(r, E_ROLE, subject, action == PARTY_REVOKE ? "action" : "roles",
                    "no administrator would be left; register another one first");
    if (r->j->wire && (action == PARTY_REGISTER || action == PARTY_ROTATE_KEY))
        return check_key(r);
    return true;
}

static void set_key(struct ruling *r, struct party_state *p)
{
    uint8_t buf[KEY_LEN_MAX];
    size_t n = sizeof buf;
    enum sig_alg alg;
    p->key_index = r->j->index;
    p->alg = 0;
    p->key = event_text(r->ev, FIELD_PUBKEY);
    if (!r->j->wire)
        return;
    LEDGER_REQUIRE(key_text_parse(p->key, &alg, buf, &n));
    p->alg = (uint16_t)alg;
    p->key = arena_copy(r->j->a, span_of(buf, n));
    if (!p->key.p)
        r->j->rc = ledger_fail(&r->j->err, LEDGER_ENOMEM, "judging: over the memory budget");
}

void effect_party(struct ruling *r)
{
    struct party_state *p = &r->chain->chain.party;
    struct registry *count = &r->j->registry;
    bool was_admin = r->chain->chain.exists && is_admin(p);
    switch ((enum party_action)event_enum(r->ev, FIELD_ACTION)) {
    case PARTY_REGISTER:
        begin_chain(r, r->chain);
        p->id = event_text(r->ev, FIELD_PARTY);
        p->org = event_text(r->ev, FIELD_ORG);
        p->roles = roles_of(r->ev);
        p->registered = r->j->index;
        set_key(r, p);
        count->parties++;
        break;
    case PARTY_AMEND:
        p->roles = roles_of(r->ev);
        break;
    case PARTY_ROTATE_KEY:
        set_key(r, p);
        break;
    case PARTY_REVOKE:
        p->revoked = r->j->index;
        break;
    }
    touch(r, r->chain);
    count->admins = count->admins + (is_admin(p) ? 1 : 0) - (was_admin ? 1 : 0);
}

/* ---- COI_ASSIGNED ---- */

bool check_coi(struct ruling *r)
{
    struct span coi = event_text(r->ev, FIELD_COI);
    if (!find_subject(r, coi, &r->chain))
        return false;
    if (r->chain->chain.exists)
        return deny(r, E_DUP_ITEM, facts_text(&r->f, "subject %.*s", SPAN_FMT(coi)), "coi",
                    "%.*s is already assigned; a chain of identity is never used twice",
                    SPAN_FMT(coi));
    return true;
}

void effect_coi(struct ruling *r)
{
    struct subject_state *s = &r->chain->chain.subject;
    begin_chain(r, r->chain);
    s->id = event_text(r->ev, FIELD_COI);
    s->subject_commit = event_text(r->ev, FIELD_SUBJECT_COMMIT);
    s->use = (uint8_t)event_enum(r->ev, FIELD_USE);
    s->assigned = r->j->index;
}

/* ---- CONSENT_CHANGED ---- */

bool check_consent(struct ruling *r)
{
    struct span coi = event_text(r->ev, FIELD_COI);
    const struct value *scopes = event_get(r->ev, FIELD_SCOPES);
    const char *subject = facts_text(&r->f, "subject %.*s", SPAN_FMT(coi));
    if (!find_subject(r, coi, &r->chain))
        return false;
    if (!r->chain->chain.exists)
        return deny(r, E_UNKNOWN_ITEM, subject, "coi", "%.*s is not assigned; assign it first",
                    SPAN_FMT(coi));
    if (event_enum(r->ev, FIELD_ACTION) != CONSENT_WITHDRAWN)
        return true;
    for (size_t i = 0; i < scopes->n; i++)
        if (r->chain->chain.subject.scopes[scopes->items[i].e - 1].given != CONSENT_GIVEN)
            return deny(r, E_CONSENT_ABSENT, subject, nth(r, "scopes", i, NULL),
                        "a consent that is not given now cannot be withdrawn");
    return true;
}

void effect_consent(struct ruling *r)
{
    struct subject_state *s = &r->chain->chain.subject;
    const struct value *scopes = event_get(r->ev, FIELD_SCOPES);
    uint8_t given = (uint8_t)event_enum(r->ev, FIELD_ACTION);
    touch(r, r->chain);
    for (size_t i = 0; i < scopes->n; i++) {
        struct consent_state *c = &s->scopes[scopes->items[i].e - 1];
        c->given = given;
        c->index = r->j->index;
        if (given == CONSENT_GIVEN)
            c->given_us = r->f.at_us;
    }
}
