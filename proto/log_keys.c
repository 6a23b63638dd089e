/* SPDX-License-Identifier: Apache-2.0 */
/* log_keys: see log_keys.h. */
#include "log_keys.h"

#include <string.h>

#include "event.h"
#include "verify.h"

static const char WHAT[] = "change of the log key";

/* ---- one change ---- */

static bool step_bad(struct verdict *v, uint64_t index, const char *why)
{
    return verdict_bad(v, VERDICT_TAMPERED, index, WHAT, "%s", why);
}

static bool origin_key(struct crypto *c, struct span vkey, const char *origin, struct note_key *out)
{
    return note_key_parse(c, vkey, out, NULL) == LEDGER_OK && out->type == NOTE_ED25519 && strcmp(out->name, origin) == 0;
}

static bool same_key(const struct note_key *x, const struct note_key *y)
{
    return span_eq(span_of(x->key, x->key_n), span_of(y->key, y->key_n)) && strcmp(x->name, y->name) == 0;
}

static bool check_payload(struct crypto *c, struct arena *a, const char *origin, const struct entry *e, struct span payload,
                          struct log_key_step *out, struct verdict *v)
{
    struct log_key_change k;
    struct ledger_err err = {0};
    uint64_t index = e->header.index;
    enum ledger_rc rc = log_key_change_decode(payload, &k, &err);
    if (rc == LEDGER_EVERSION)
        return verdict_bad(v, VERDICT_NEWER, index, WHAT, "%s", err.msg);
    if (rc != LEDGER_OK)
        return step_bad(v, index, err.msg);
    if (!origin_key(c, k.old_vkey, origin, &out->old_key) || !origin_key(c, k.new_vkey, origin, &out->new_key) ||
        same_key(&out->old_key, &out->new_key))
        return step_bad(v, index, "it does not name two Ed25519 keys of this origin");
    if (index > UINT64_MAX - 3 || k.from_size != index + 3)
        return step_bad(v, index, "the new key must sign from the size after its own batch on");
    struct span key = span_of(out->new_key.key, out->new_key.key_n);
    struct span msg = key_proof_input(a, span_str(origin), span_str(origin), SIG_ED25519, key);
    if (!msg.p)
        return verdict_bad(v, VERDICT_MEMORY, index, WHAT, "out of memory");
    if (!crypto_verify(c, SIG_ED25519, key, msg, k.proof))
        return step_bad(v, index, "the new key's proof of possession does not verify");
    out->from_size = k.from_size;
    return true;
}

bool log_key_step_verify(struct crypto *c, struct arena *a, const char *origin, const struct log_key_claim *claim,
                         struct log_key_step *out, struct verdict *v)
{
    const struct verifier vf = {.c = c, .a = a, .origin = origin};
    const struct entry_claim ec = {.header = claim->header, .event = claim->payload};
    struct entry e;
    struct note note;
    struct ledger_err err = {0};
    memset(out, 0, sizeof *out);
    if (!verify_entry(&vf, &ec, &e, v))
        return false;
    if (e.header.kind != OWN_LOG_KEY)
        return step_bad(v, e.header.index, "the entry is of another kind");
    if (!check_payload(c, a, origin, &e, claim->payload, out, v))
        return false;
    if (note_parse(a, claim->note, &note, &err) || checkpoint_parse(note.text, &out->cp, &err))
        return err.rc == LEDGER_ENOMEM ? verdict_bad(v, VERDICT_MEMORY, e.header.index, WHAT, "%s", err.msg) : step_bad(v, e.header.index, err.msg);
    if (!span_eq(out->cp.origin, span_str(origin)) || out->cp.size != out->from_size - 1)
        return step_bad(v, e.header.index, "its checkpoint is not the one of its own batch");
    return verify_inclusion(&vf, &e, &out->cp, claim->path, v);
}

/* ---- a policy that follows ---- */

static int find_log(const struct policy *p, const struct note_key *k)
{
    for (unsigned i = 0; i < p->n_logs; i++)
        if (same_key(&p->logs[i], k))
            return (int)i;
    return -1;
}

/* Do the old key, and the policy's witnesses, vouch for the checkpoint that shows the change? */
static bool vouched(struct crypto *c, struct arena *a, const char *origin, const struct policy *p, const struct log_key_claim *claim,
                    const struct log_key_step *s, struct verdict *v)
{
    const struct verifier vf = {.c = c, .a = a, .policy = p, .origin = origin};
    struct checkpoint cp;
    struct policy_verdict trust;
    if (!verify_checkpoint(&vf, claim->note, &cp, &trust, v))
        return false;
    return same_key(&p->logs[trust.log], &s->old_key)
               ? true
               : verdict_bad(v, VERDICT_UNTRUSTED, s->from_size - 3, WHAT, "its checkpoint is signed by another key than the old one");
}

static bool take(struct policy *p, unsigned old, const struct log_key_step *s, struct verdict *v)
{
    int known = find_log(p, &s->new_key);
    unsigned at = known >= 0 ? (unsigned)known : p->n_logs;
    if (at == POLICY_LOGS_MAX)
        return verdict_bad(v, VERDICT_UNTRUSTED, s->from_size - 3, WHAT, "more than %d log keys: take the old ones out of the policy",
                           POLICY_LOGS_MAX);
    if (at == old || (known >= 0 && (p->log_from[at] != 0 || p->log_until[at] != 0)))
        return step_bad(v, s->from_size - 3, "a key that was replaced comes back");
    p->logs[at] = s->new_key;
    p->log_from[at] = s->from_size;
    p->log_until[old] = s->from_size;
    p->n_logs += known < 0;
    return true;
}

/* What is known of a key that has a successor already: the very same change, or a contradiction. */
static bool again(const struct policy *p, unsigned old, const struct log_key_step *s, struct verdict *v)
{
    int known = find_log(p, &s->new_key);
    if (p->log_until[old] == s->from_size && known >= 0 && p->log_from[known] == s->from_size)
        return true;
    return step_bad(v, s->from_size - 3, "the log key has two successors: another change of the same key was followed before");
}

static bool follow_one(struct crypto *c, struct arena *a, const char *origin, struct policy *p, const struct log_key_claim *claim,
                       int *last, unsigned *taken, struct verdict *v)
{
    struct log_key_step s;
    if (!log_key_step_verify(c, a, origin, claim, &s, v))
        return false;
    int old = find_log(p, &s.old_key);
    if (*last >= 0 && old != *last)
        return verdict_bad(v, VERDICT_UNTRUSTED, s.from_size - 3, WHAT, "it is not of the key that the change before it brought");
    if (old < 0)
        return true; /* before all that this policy knows */
    if (!vouched(c, a, origin, p, claim, &s, v))
        return false;
    bool known = p->log_until[old] != 0;
    if (known ? !again(p, (unsigned)old, &s, v) : !take(p, (unsigned)old, &s, v))
        return false;
    *taken += !known;
    *last = find_log(p, &s.new_key);
    return true;
}

bool log_keys_follow(struct crypto *c, struct arena *a, const char *origin, struct policy *p, const struct log_key_claim *claims,
                     size_t n, unsigned *taken, size_t *failed, struct verdict *v)
{
    int last = -1;
    *taken = 0;
    for (size_t i = 0; i < n; i++) {
        struct arena_mark mark = arena_mark(a);
        bool ok = follow_one(c, a, origin, p, &claims[i], &last, taken, v);
        arena_release(a, mark);
        *failed = i;
        if (!ok)
            return false;
    }
    return true;
}

int log_keys_newest(const struct policy *p, const char *origin, bool *unclear)
{
    int found = -1;
    *unclear = false;
    for (unsigned i = 0; i < p->n_logs; i++) {
        if (strcmp(p->logs[i].name, origin) != 0 || p->log_until[i] != 0)
            continue;
        *unclear |= found >= 0;
        if (found < 0 || p->log_from[i] >= p->log_from[found])
            found = (int)i;
    }
    return found;
}

bool log_key_signed(struct crypto *c, struct arena *a, const char *vkey, struct span note)
{
    struct note_key key;
    struct note n;
    uint64_t matched = 0;
    return note_key_parse(c, span_str(vkey), &key, NULL) == LEDGER_OK && note_parse(a, note, &n, NULL) == LEDGER_OK &&
           note_verify(c, a, &n, &key, 1, &matched, NULL) && (matched & 1);
}
