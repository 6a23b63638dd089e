/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dossier_replay: a ledger of which only some chains are here, replayed by the one machine (dossier.h).
 *
 * The machine reads through a kv that notices when it is asked for a chain that is not here, and ends the judgement with an error; the
 * states after that entry come from its opening. A refusal that was reached without such a question is the rules' verdict. A chain that is not here counts as not yet begun where the
 * entry's own link says that this is its first entry: so the split of a lot is judged although its other units are not here.
 *
 * What a part of the log cannot tell is answered so that it stands against nothing: whether a reference or a key was used on a chain
 * that is not here, and how many administrators there are. What it can tell of these still counts.
 */
#include <stdio.h>
#include <string.h>

#include "dossier_internal.h"
#include "machine_internal.h"

#define ENOUGH ((uint64_t)1 << 40) /* administrators, parties: never the last one */

struct dossier_state {
    struct kv_mem *mem;
    struct kv kv;                /* of mem */
    const struct dossier_proof *p;
    const struct header *current; /* entry that is being replayed, or NULL */
    bool missing;                /* something was asked for that is not here */
};

struct replaying {
    struct dossier_check *k;
    struct dossier_state *st;
    struct machine m;
};

/* ---- the kv ---- */

static const struct dossier_proven *chain_of_key(const struct dossier_state *st, struct span key)
{
    struct hash h = HASH_ZERO;
    memcpy(h.b, key.p, key.n < HASH_LEN ? key.n : HASH_LEN);
    return dossier_chain_at(st->p->chains, st->p->n_chains, &h);
}

static bool begins_here(const struct dossier_state *st, struct span key)
{
    struct hash h = HASH_ZERO;
    memcpy(h.b, key.p, key.n < HASH_LEN ? key.n : HASH_LEN);
    const struct link *link = st->current ? header_link(st->current, &h) : NULL;
    return link && link->seq == 0;
}

/* Is it known that there is no such row? */
static bool known_absent(const struct dossier_state *st, enum kv_table t, struct span key)
{
    switch (t) {
    case KV_CHAIN: return chain_of_key(st, key) || begins_here(st, key);
    case KV_MEMBER: return chain_of_key(st, key);
    case KV_EVENT: return st->current && span_eq(key, kv_key_index(&st->current->event_id));
    case KV_KEYHOLDER:
    case KV_REFERENCE: return true; /* as far as one can tell from here */
    case KV_LOG:
    case KV_META:
    case KV_MAP:
    case KV_TREE:
    case KV_CHECKPOINT:
    case KV_TABLES: break;
    }
    return false;
}

static enum ledger_rc part_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    struct dossier_state *st = ctx;
    enum ledger_rc rc = kv_get(&st->kv, t, key, value);
    if (rc != LEDGER_ENOTFOUND || known_absent(st, t, key))
        return rc;
    st->missing = true;
    return LEDGER_ECANCELED; /* ends the judgement */
}

static enum ledger_rc part_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    struct dossier_state *st = ctx;
    if ((t == KV_CHAIN || t == KV_MEMBER) && !chain_of_key(st, key))
        return LEDGER_OK; /* began in this entry; not followed further */
    return kv_put(&st->kv, t, key, value);
}

struct dossier_state *dossier_state_new(struct arena *a, const struct dossier_proof *p, size_t budget)
{
    struct dossier_state *st = arena_alloc(a, sizeof *st);
    if (!st || !(st->mem = kv_mem_new(NULL, budget)))
        return NULL;
    st->kv = kv_mem_kv(st->mem);
    st->p = p;
    return st;
}

void dossier_state_free(struct dossier_state *st)
{
    if (st)
        kv_mem_free(st->mem);
}

/* ---- one entry ---- */

static bool contradicts(struct replaying *r, const struct header *h, const char *what, const char *text)
{
    return verdict_bad(r->k->v, VERDICT_TAMPERED, h->index, what, "%s", text);
}

/* Judges and derives. *derived false: what that takes is not here. */
static bool judge_entry(struct replaying *r, const struct dossier_entry *e, bool *derived)
{
    const struct entry_record record = {.header = e->claim->header, .event = e->claim->event, .block = e->claim->block};
    struct ledger_err err = {0};
    struct verdict v = {0};
    enum ledger_rc rc = machine_replay(&r->m, &record, NULL, &v, &err);
    *derived = rc == LEDGER_OK;
    if (rc == LEDGER_OK || r->st->missing)
        return true;
    if (rc == LEDGER_ENOMEM)
        return dossier_no_memory(r->k);
    *r->k->v = v;
    return false;
}

/* The persons whose signatures are here held these keys, whatever else can be judged. */
static bool check_signatures(struct replaying *r, const struct dossier_entry *e, const struct entry *entry)
{
    const struct sigblock *b = &entry->block;
    struct signed_thing thing = {.m = &r->m, .id = &e->header.event_id, .b = b};
    if (!entry->own && b->n != entry->event.kind->signatures)
        return contradicts(r, &e->header, "signature block", "it has not as many signatures as its kind asks for");
    for (unsigned i = 0; i < b->n; i++) {
        struct chain *party = arena_alloc(r->m.a, sizeof *party);
        struct hash key;
        struct span record;
        if (!party)
            return dossier_no_memory(r->k);
        chain_key(r->m.c, &r->m.index_key, CHAIN_PARTY, b->sigs[i].party, &key);
        if (!dossier_chain_at(r->st->p->chains, r->st->p->n_chains, &key))
            return true; /* missing, which dossier_names tells */
        if (kv_get(&r->st->kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record) || chain_record_decode(record, party, NULL) ||
            party->party.revoked)
            return contradicts(r, &e->header, "signature", "it is by a party that was not registered then, or was revoked");
        if (!machine_signature_ok(&thing, i, &party->party))
            return thing.no_memory ? dossier_no_memory(r->k)
                                   : contradicts(r, &e->header, "signature", "it does not verify under the key that its party held then");
    }
    return true;
}

/* Rows that later judgements ask for. */
static enum ledger_rc put_indexes(struct replaying *r, const struct dossier_entry *e, const struct entry *entry)
{
    uint8_t key[KV_KEY_MAX], value[8];
    const struct entry_record record = {e->claim->header, e->claim->event, e->claim->block, e->claim->opening, e->claim->erased_by};
    struct span index = kv_key_u64(value, e->header.index);
    enum ledger_rc rc = kv_put(&r->st->kv, KV_EVENT, kv_key_index(&e->header.event_id), index);
    if (rc || (!entry->content && !e->claim->erased_by))
        return rc;
    struct span joined = entry_record_join(r->m.a, &(struct entry_record){record.header, record.event, record.block,
                                                     record.erased_by ? record.opening : SPAN_NONE, record.erased_by});
    rc = joined.p ? kv_put(&r->st->kv, KV_LOG, kv_key_u64(key, e->header.index), joined) : LEDGER_ENOMEM;
    if (rc || !entry->content || entry->own || entry->block.n == 0)
        return rc;
    struct judge j = {.c = r->m.c, .wire = true};
    return kv_put(&r->st->kv, KV_REFERENCE, judge_reference_key(&j, entry->block.sigs[0].party, entry->event.reference, key), index);
}

/* A part for each link whose chain is here, and for no other. */
static bool fits_links(const struct replaying *r, const struct header *h, const struct opening *o)
{
    size_t n = 0;
    for (unsigned l = 0; l < h->n_links; l++) {
        bool here = dossier_chain_at(r->st->p->chains, r->st->p->n_chains, &h->links[l].chain) != NULL;
        if (here != (opening_part(o, l) != NULL))
            return false;
        n += here;
    }
    return n == o->n && !o->has_reference;
}

/* The states from the opening. */
static bool open_entry(struct replaying *r, const struct dossier_entry *e, const struct entry *entry)
{
    const struct header *h = &e->header;
    struct opening o;
    struct ledger_err err = {0};
    if (!e->claim->opening.n)
        return dossier_damaged(r->k, h->index, "opening", "its states can neither be derived from what is here, nor are they given");
    if (h->epoch != r->m.epoch)
        return contradicts(r, h, "epoch", "is not the one of the latest EPOCH entry");
    if (entry->content && !check_signatures(r, e, entry))
        return false;
    enum ledger_rc rc = opening_decode(r->m.a, e->claim->opening, &o, &err);
    if (rc == LEDGER_OK && !fits_links(r, h, &o))
        rc = ledger_fail(&err, LEDGER_EINVAL, "opening: not of the links whose chains are in the dossier");
    if (rc == LEDGER_OK)
        rc = machine_opened(&r->m, h, &e->leaf, &o, &err);
    if (rc == LEDGER_OK)
        rc = put_indexes(r, e, entry);
    r->m.recorded_us = h->recorded_us;
    if (rc == LEDGER_OK)
        return true;
    if (rc == LEDGER_EVERSION)
        return verdict_bad(r->k->v, VERDICT_NEWER, h->index, "opening", "%s", err.msg);
    return rc == LEDGER_ENOMEM ? dossier_no_memory(r->k) : dossier_damaged(r->k, h->index, "opening", "%s", err.msg);
}

/* The content is gone because an act of the ledger, signed by two, says so. */
static bool check_erased(struct replaying *r, const struct dossier_entry *e)
{
    const struct dossier_entry *by = dossier_entry_at(r->st->p, e->claim->erased_by);
    struct erasure x;
    if (by && by->header.kind == OWN_ERASURE && !erasure_decode(by->claim->event, &x, NULL))
        for (unsigned i = 0; i < x.n; i++)
            if (memcmp(x.ids + (size_t)i * HASH_LEN, e->header.event_id.b, HASH_LEN) == 0)
                return true;
    return dossier_damaged(r->k, e->header.index, "content", "it is said to be erased under entry %llu, which does not say so here",
                           (unsigned long long)e->claim->erased_by);
}

static void count(struct replaying *r, struct dossier_entry *e, const struct entry *entry, const struct hash *verified_before)
{
    struct dossier_proof *p = r->k->p;
    e->basis = entry->erased_by ? DOSSIER_ERASED : !entry->content ? DOSSIER_WITHHELD : e->basis;
    p->bases[e->basis]++;
    if (!entry->content || (entry->own && !own_kind_signed(e->header.kind)))
        return;
    p->signatures += entry->block.n;
    for (size_t i = 0; i < entry->block.n; i++)
        p->distinct += !hash_eq(&verified_before[i], &r->m.verified[i]);
}

static bool replay_decoded(struct replaying *r, size_t i, const struct entry *entry)
{
    struct dossier_entry *e = &r->k->p->entries[i];
    struct hash before[SIGNATURES_READ_MAX];
    bool derived = false;
    memcpy(before, r->m.verified, sizeof before);
    if (i && e->header.recorded_us < e[-1].header.recorded_us)
        return contradicts(r, &e->header, "recorded time", "runs backwards");
    if (entry->content && (!judge_entry(r, e, &derived) || !dossier_names(r->k, entry)))
        return false;
    r->st->missing = false;
    if (entry->erased_by && !check_erased(r, e))
        return false;
    e->basis = derived ? DOSSIER_DERIVED : DOSSIER_OUTSIDE;
    if (!derived && !open_entry(r, e, entry))
        return false;
    if (derived && e->claim->opening.n) {
        if (!r->k->prune)
            return dossier_damaged(r->k, e->header.index, "opening", "it is not needed: the entry can be judged");
        r->k->prune[i].opening = SPAN_NONE;
    }
    count(r, e, entry, before);
    return true;
}

static bool replay_entry(struct replaying *r, size_t i, struct entry *entry)
{
    const struct dossier_entry *e = &r->k->p->entries[i];
    if (!verify_entry(r->k->vf, e->claim, entry, r->k->v))
        return dossier_file_wrong(r->k);
    r->m.size = e->header.index;
    r->m.registry = (struct registry){.parties = ENOUGH, .admins = ENOUGH};
    r->st->current = &e->header;
    r->st->missing = false;
    return replay_decoded(r, i, entry);
}

/* ---- all of them ---- */

/* The policy's number of the key that follows from number i for a size, by the changes that were followed. */
static unsigned key_for_size(const struct policy *p, unsigned i, uint64_t size)
{
    for (unsigned step = 0; step < p->n_logs && p->log_until[i] && p->log_until[i] <= size; step++)
        for (unsigned next = 0; next < p->n_logs; next++)
            if (p->log_from[next] == p->log_until[i] && strcmp(p->logs[next].name, p->logs[i].name) == 0) {
                i = next;
                break;
            }
    return i;
}

static bool same_key(const struct note_key *x, const struct note_key *y)
{
    return span_eq(span_of(x->key, x->key_n), span_of(y->key, y->key_n)) && strcmp(x->name, y->name) == 0;
}

/* The checkpoint is signed by the key that the ledger's own chain has in force for its size; or, if it is larger than what the chain is
 * as of, by the one that follows from that key. */
static bool is_key_in_force(const struct policy *p, const struct note_key *key, const struct snapshot *s)
{
    if (same_key(key, &p->logs[s->trust.log]))
        return true;
    for (unsigned i = 0; s->cp.size > s->seal.index + 1 && i < p->n_logs; i++)
        if (same_key(key, &p->logs[i]))
            return key_for_size(p, i, s->cp.size) == s->trust.log;
    return false;
}

static bool check_log_key(struct replaying *r)
{
    const struct snapshot *s = &r->k->p->snapshot;
    struct note_key key;
    if (!span_eq(span_str(r->m.origin), s->cp.origin))
        return dossier_damaged(r->k, 0, "genesis", "it is of another ledger than the checkpoint");
    if (note_key_parse(r->m.c, span_str(machine_log_vkey(&r->m, s->cp.size)), &key, NULL) ||
        !is_key_in_force(r->k->vf->policy, &key, s))
        return verdict_bad(r->k->v, VERDICT_UNTRUSTED, VERDICT_NO_INDEX, "checkpoint",
                           "it is signed by a key that is not the ledger's key in force at its size");
    return true;
}

bool dossier_replay(struct dossier_check *k)
{
    struct dossier_state *st = k->p->state;
    struct arena *a = k->vf->a;
    struct replaying r = {.k = k, .st = st,
                          .m = {.c = k->vf->c, .a = a, .kv = {st, part_get, part_put}, .index_key = k->vf->index_key, .wire = true,
                                .partial = true}};
    struct entry *entry = arena_alloc(a, sizeof *entry);
    if (!entry)
        return dossier_no_memory(k);
    for (size_t i = 0; i < k->p->n_entries; i++) {
        struct arena_mark mark = arena_mark(a);
        bool ok = replay_entry(&r, i, entry);
        arena_release(a, mark);
        if (!ok)
            return false;
    }
    st->current = NULL;
    if (!dossier_find(k->vf->c, k->p, CHAIN_LEDGER, span_str(r.m.origin)))
        return dossier_damaged(k, VERDICT_NO_INDEX, "completeness", "not in the dossier: the ledger's own chain");
    return check_log_key(&r);
}

/* ---- standing ---- */

enum ledger_rc dossier_standing(struct crypto *c, struct arena *a, const struct dossier_proof *p, const struct standing_query *q,
                                struct findings *out, struct ledger_err *err)
{
    struct dossier_state *st = p->state;
    struct kv kv = {st, part_get, part_put};
    struct judge j = {.c = c, .a = a, .kv = &kv, .index_key = &p->index_key, .wire = true, .origin = p->snapshot.cp.origin,
                      .recorded_us = q->at_us, .index = p->snapshot.seal.index + 1};
    st->missing = false;
    enum ledger_rc rc = standing_check(&j, q, out);
    if (st->missing)
        return ledger_fail(err, LEDGER_ENOTFOUND, "the answer takes chains that are not in the dossier");
    return rc ? ledger_fail(err, rc, "%s", j.err.msg[0] ? j.err.msg : ledger_rc_text(rc)) : LEDGER_OK;
}
