/* SPDX-License-Identifier: Apache-2.0 */
/* verify_chain: chain heads, states, members, histories, and the kv of what was proven (verify.h). */
#include <stdio.h>
#include <string.h>

#include "verify.h"

static bool bad(struct verdict *v, const struct chain_claim *claim, uint64_t index, const char *text)
{
    char what[64];
    snprintf(what, sizeof what, "%s %.*s", chain_type_name(claim->type), (int)(claim->id.n < 40 ? claim->id.n : 40),
             (const char *)claim->id.p);
    return verdict_bad(v, VERDICT_TAMPERED, index, what, "%s", text);
}

bool verify_header(const struct verifier *vf, struct span bytes, struct known_header *out, struct verdict *v)
{
    struct ledger_err e = {0};
    enum ledger_rc rc = header_decode(vf->a, bytes, &out->header, &e);
    out->bytes = bytes;
    if (rc)
        return verdict_bad(v, verdict_of_error(rc, VERDICT_TAMPERED), VERDICT_NO_INDEX, "head of a chain", "%s", e.msg);
    merkle_leaf(vf->c, bytes, &out->leaf);
    return true;
}

/* The head's header is the leaf that the map names, and its link for this chain has the sequence number that the count implies. */
static bool check_head(const struct verifier *vf, const struct snapshot *s, const struct chain_claim *claim,
                       const struct map_leaf *leaf, struct proven_chain *out, const struct link **link, struct verdict *v)
{
    struct known_header own;
    const struct known_header *known = claim->head_known;
    if (!known || known->bytes.p != claim->head.p || known->bytes.n != claim->head.n) {
        if (!verify_header(vf, claim->head, &own, v))
            return false;
        known = &own;
    }
    out->head = known->header;
    uint64_t index = out->head.index;
    if (!hash_eq(&known->leaf, &leaf->head) || index >= s->cp.size)
        return bad(v, claim, index, "its latest entry is not the one that the chain map names");
    *link = header_link(&out->head, &out->chain.key);
    if (!*link || leaf->count == 0 || (*link)->seq != leaf->count - 1)
        return bad(v, claim, index, "its latest entry's sequence number does not fit the count in the chain map");
    if (out->head.recorded_us > s->seal.recorded_us)
        return bad(v, claim, index, "its latest entry was recorded after the seal that it stands under");
    return true;
}

static bool check_opening(const struct verifier *vf, const struct chain_claim *claim, struct proven_chain *out,
                          const struct link *link, struct verdict *v)
{
    struct ledger_err e = {0};
    struct hash commit;
    enum ledger_rc rc = state_decode(claim->type, claim->state, &out->chain, &e);
    if (rc == LEDGER_EVERSION)
        return verdict_bad(v, VERDICT_NEWER, out->head.index, "state", "%s", e.msg);
    if (rc || claim->salt.n != HASH_LEN)
        return bad(v, claim, out->head.index, "its state is malformed");
    memcpy(out->chain.salt.b, claim->salt.p, HASH_LEN);
    if (!state_commit_decoded(vf->c, vf->a, &out->chain, link->seq, &out->chain.salt, &commit))
        return verdict_bad(v, VERDICT_MEMORY, out->head.index, "state", "over the memory budget");
    if (!hash_eq(&commit, &link->state))
        return bad(v, claim, out->head.index, "its state is not the one that its latest entry commits to");
    out->opened = true;
    return true;
}

/* All members of a log: as many as the state counts, with the root that the state has. */
static bool check_log(const struct verifier *vf, const struct chain_claim *claim, const struct member_claim *log,
                      struct proven_chain *out, struct verdict *v)
{
    struct frontier *logs, f = {0};
    struct hash want, got, leaf;
    unsigned n = state_logs(&out->chain, &logs);
    if (log->log >= n || log->n != logs[log->log].size)
        return bad(v, claim, out->head.index, "a list of its members is not as long as its state says");
    for (size_t i = 0; i < log->n; i++) {
        merkle_leaf(vf->c, log->members[i], &leaf);
        frontier_append(vf->c, &f, &leaf);
    }
    frontier_root(vf->c, &logs[log->log], &want);
    frontier_root(vf->c, &f, &got);
    if (!hash_eq(&want, &got))
        return bad(v, claim, out->head.index, "a list of its members is not the one that its state commits to");
    out->logs[log->log] = log;
    return true;
}

static bool check_present(const struct verifier *vf, const struct snapshot *s, const struct chain_claim *claim,
                          const struct map_leaf *leaf, struct proven_chain *out, struct verdict *v)
{
    const struct link *link = NULL;
    if (!check_head(vf, s, claim, leaf, out, &link, v))
        return false;
    out->present = true;
    out->chain.exists = true;
    out->chain.count = leaf->count;
    out->chain.head = leaf->head;
    out->chain.head_index = out->head.index;
    if (claim->withheld)
        return true;
    if (!check_opening(vf, claim, out, link, v))
        return false;
    for (size_t i = 0; i < claim->n_logs; i++)
        if (!check_log(vf, claim, &claim->logs[i], out, v))
            return false;
    return true;
}

static bool check_chain(const struct verifier *vf, const struct snapshot *s, const struct chain_claim *claim,
                        struct proven_chain *out, struct verdict *v)
{
    struct map_proof proof;
    out->chain.type = claim->type;
    out->chain.id = claim->id;
    /* Chain keys are made of eight bits of it: 257 would have an item's. */
    if (claim->type < CHAIN_ITEM || claim->type > CHAIN_LEDGER)
        return bad(v, claim, VERDICT_NO_INDEX, "there is no such type of chain");
    chain_key(vf->c, &vf->index_key, claim->type, claim->id, &out->chain.key);
    if (map_proof_decode(claim->map_proof, &proof, NULL))
        return bad(v, claim, VERDICT_NO_INDEX, "its map proof is malformed");
    if (!map_proof_verify(vf->c, vf->known, &proof, &out->chain.key, &s->seal.map_root))
        return bad(v, claim, VERDICT_NO_INDEX, "its map proof does not lead to the seal's map root");
    if (proof.end == MAP_PRESENT)
        return check_present(vf, s, claim, &proof.leaf, out, v);
    return claim->head.n == 0 && claim->state.n == 0
               ? true
               : bad(v, claim, VERDICT_NO_INDEX, "it is said to be there, but the map proves that it is not");
}

void proven_chain_clear(struct proven_chain *pc)
{
    pc->present = pc->opened = false;
    chain_clear_head(&pc->chain);
    memset(&pc->head, 0, sizeof pc->head);
    memset(pc->logs, 0, sizeof pc->logs);
}

bool verify_chain(const struct verifier *vf, const struct snapshot *s, const struct chain_claim *claim,
                  struct proven_chain *out, struct verdict *v)
{
    proven_chain_clear(out);
    bool good = check_chain(vf, s, claim, out, v);
    if (!out->opened) /* no state is zeros, not what was there before */
        chain_clear_state(&out->chain);
    return good;
}

bool verify_chain_entry(const struct verifier *vf, const struct proven_chain *pc, uint64_t seq, const struct entry *e,
                        struct hash *expected, struct verdict *v)
{
    (void)vf;
    const struct link *link = header_link(&e->header, &pc->chain.key);
    if (!hash_eq(&e->leaf, expected))
        return verdict_bad(v, VERDICT_TAMPERED, e->header.index, "history",
                           "entry %llu of the chain is not the one that its successor names", (unsigned long long)seq);
    if (!link || link->seq != seq)
        return verdict_bad(v, VERDICT_TAMPERED, e->header.index, "history",
                           "this entry is not number %llu of the chain", (unsigned long long)seq);
    *expected = link->prev;
    return true;
}

bool verify_chain_order(const struct header *before, const struct header *after, struct verdict *v)
{
    if (before->index < after->index && before->recorded_us <= after->recorded_us)
        return true;
    return verdict_bad(v, VERDICT_TAMPERED, after->index, "recorded time", "runs backwards: entry %llu of the same chain was recorded later",
                       (unsigned long long)before->index);
}

/* ---- proven set ---- */

struct proven_set {
    struct crypto *c;
    struct kv_mem *mem;
    struct arena *a;
    bool missing;
    struct hash missing_key;
};

struct proven_set *proven_set_new(struct crypto *c, size_t budget_bytes)
{
    struct arena *a = arena_new(budget_bytes);
    struct proven_set *s = a ? arena_alloc(a, sizeof *s) : NULL;
    if (!s || !(s->mem = kv_mem_new(NULL, budget_bytes))) {
        arena_free(a);
        return NULL;
    }
    s->c = c;
    s->a = a;
    return s;
}

void proven_set_free(struct proven_set *s)
{
    if (!s)
        return;
    kv_mem_free(s->mem);
    arena_free(s->a);
}

static enum ledger_rc add_members(struct proven_set *s, const struct proven_chain *pc, unsigned log)
{
    struct kv kv = kv_mem_kv(s->mem);
    uint8_t key[KV_KEY_MAX];
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < pc->logs[log]->n && !rc; i++)
        rc = kv_put(&kv, KV_MEMBER, kv_key_member(key, &pc->chain.key, log, i), pc->logs[log]->members[i]);
    return rc;
}

enum ledger_rc proven_set_add(struct proven_set *s, const struct proven_chain *pc)
{
    struct kv kv = kv_mem_kv(s->mem);
    struct span key = span_of(pc->chain.key.b, HASH_LEN);
    if (!pc->present) /* an empty record: proven absent, which is not the same as not proven */
        return kv_put(&kv, KV_CHAIN, key, span_of("", 0));
    if (!pc->opened)
        return LEDGER_OK;
    struct arena_mark m = arena_mark(s->a);
    struct span record = chain_record_encode(s->a, &pc->chain);
    enum ledger_rc rc = record.p ? kv_put(&kv, KV_CHAIN, key, record) : LEDGER_ENOMEM;
    arena_release(s->a, m);
    for (unsigned log = 0; log < CHAIN_LOGS_MAX && !rc; log++)
        if (pc->logs[log])
            rc = add_members(s, pc, log);
    return rc;
}

static enum ledger_rc proven_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    struct proven_set *s = ctx;
    struct kv kv = kv_mem_kv(s->mem);
    enum ledger_rc rc = kv_get(&kv, t, key, value);
    if (rc == LEDGER_OK && t == KV_CHAIN && value->n == 0)
        return LEDGER_ENOTFOUND;
    if (rc == LEDGER_ENOTFOUND && !s->missing) {
        s->missing = true;
        s->missing_key = HASH_ZERO;
        memcpy(s->missing_key.b, key.p, key.n < HASH_LEN ? key.n : HASH_LEN);
    }
    return rc;
}

static enum ledger_rc proven_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    (void)ctx;
    (void)t;
    (void)key;
    (void)value;
    return LEDGER_EINVAL; /* what is proven is not changed */
}

struct kv proven_set_kv(struct proven_set *s)
{
    return (struct kv){s, proven_get, proven_put};
}

bool proven_set_missing(const struct proven_set *s, struct hash *chain_key)
{
    if (chain_key)
        *chain_key = s->missing_key;
    return s->missing;
}
