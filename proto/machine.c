/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine: appending events (machine.h).
 *
 * Happy path of an event: duplicate? → judge → for each touched chain: salt, commitment, link → header → record, tree, chain
 * records, members, indexes. Nothing is written before the judge has accepted.
 */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include "machine_internal.h"
#include "state_history.h"

static bool tree_get(void *ctx, unsigned level, uint64_t index, unsigned n, struct hash *out)
{
    uint8_t key[KV_KEY_MAX];
    struct span v;
    size_t at = index % MERKLE_ROW;
    if (kv_get(ctx, KV_TREE, kv_key_tree(key, level, index), &v) || v.n != MERKLE_ROW * HASH_LEN || n > MERKLE_ROW - at)
        return false;
    memcpy(out, v.p + at * HASH_LEN, n * HASH_LEN);
    for (unsigned i = 0; i < n; i++)
        if (hash_is_zero(&out[i]))
            return false;
    return true;
}

/* Rows are of one length from the first node on, so that the store never has to move one. One that is not as it should be is begun anew: its
 * earlier nodes are missing then, which is told to whoever asks for them; the node that comes is right in any case. */
static bool tree_put(void *ctx, unsigned level, uint64_t index, const struct hash *h)
{
    uint8_t key[KV_KEY_MAX], row[MERKLE_ROW * HASH_LEN] = {0};
    struct span there, k = kv_key_tree(key, level, index);
    size_t at = index % MERKLE_ROW * HASH_LEN;
    enum ledger_rc rc = at ? kv_get(ctx, KV_TREE, k, &there) : LEDGER_ENOTFOUND;
    if (rc && rc != LEDGER_ENOTFOUND)
        return false;
    if (!rc && there.n == sizeof row)
        memcpy(row, there.p, at);
    memcpy(row + at, h->b, HASH_LEN);
    return kv_put(ctx, KV_TREE, k, span_of(row, sizeof row)) == LEDGER_OK;
}

struct merkle_store machine_tree(struct machine *m)
{
    return kv_tree(&m->kv);
}

struct merkle_store kv_tree(struct kv *kv)
{
    return (struct merkle_store){kv, tree_get, tree_put};
}

bool kv_tree_has_leaf(struct kv *kv, uint64_t index, const struct hash *leaf)
{
    struct hash stored;
    return tree_get(kv, 0, index, 1, &stored) && hash_eq(&stored, leaf);
}

bool kv_tree_ends(const struct kv *kv, uint64_t size, unsigned level)
{
    uint8_t key[KV_KEY_MAX];
    struct span row;
    uint64_t nodes = size >> level;
    if (kv_get(kv, KV_TREE, kv_key_tree(key, level, nodes), &row))
        return true;
    for (size_t at = nodes % MERKLE_ROW * HASH_LEN; at < row.n; at++)
        if (row.p[at])
            return false;
    return true;
}

enum ledger_rc machine_tree_load(struct machine *m, struct ledger_err *err)
{
    struct merkle_store tree = machine_tree(m);
    if (m->tree.size == m->size || frontier_from_store(m->c, &tree, m->size, &m->tree))
        return LEDGER_OK;
    m->tree = (struct frontier){.size = 0};
    return ledger_fail(err, LEDGER_ETAMPER, "a hash of the tree is missing");
}

static enum ledger_rc append_leaf(struct machine *m, const struct hash *leaf, struct ledger_err *err)
{
    struct merkle_store tree = machine_tree(m);
    if (machine_tree_load(m, err)) /* what is wrong here is the store's, not the entry's */
        return ledger_fail(err, LEDGER_EIO, "tree: a stored hash is missing");
    return merkle_append(m->c, &tree, &m->tree, leaf) ? LEDGER_OK : ledger_fail(err, LEDGER_EIO, "tree: a hash could not be written");
}

enum ledger_rc machine_put(struct machine *m, enum kv_table t, struct span key, struct span value, struct ledger_err *err)
{
    enum ledger_rc rc = value.p ? kv_put(&m->kv, t, key, value) : LEDGER_ENOMEM;
    return rc ? ledger_fail(err, rc, "write of table %u: %s", (unsigned)t, ledger_rc_text(rc)) : LEDGER_OK;
}

/* ---- links ---- */

static int link_order(const void *x, const void *y)
{
    const struct link *a = x, *b = y;
    return memcmp(a->chain.b, b->chain.b, HASH_LEN);
}

static enum ledger_rc make_links(struct machine *m, struct header *h, struct span nonce, struct advance *adv, size_t n,
                                 struct ledger_err *err)
{
    if (n == 0 || n > LINKS_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "an entry advances 1 to %u chains, not %zu", LINKS_MAX, n);
    h->links = arena_alloc(m->a, n * sizeof *h->links);
    if (!h->links)
        return ledger_fail(err, LEDGER_ENOMEM, "links: out of memory");
    h->n_links = (uint16_t)n;
    for (size_t i = 0; i < n; i++) {
        const struct chain *ch = adv[i].chain;
        struct link *l = &h->links[i];
        if (nonce.p)
            state_salt(m->c, nonce, &ch->key, &adv[i].salt);
        l->chain = ch->key;
        l->seq = ch->count;
        l->prev = ch->count ? ch->head : HASH_ZERO;
        adv[i].fields = state_fields(m->a, ch);
        if (!state_commit_fields(m->c, m->a, ch, adv[i].fields, l->seq, &adv[i].salt, &l->state))
            return ledger_fail(err, LEDGER_ENOMEM, "state: over the memory budget");
    }
    qsort(h->links, n, sizeof h->links[0], link_order);
    return LEDGER_OK;
}

/* How the entry changed the chain's state. SPAN_NONE over the budget. */
static struct span history_step(struct machine *m, const struct advance *adv, uint64_t index)
{
    const struct chain *ch = adv->chain;
    struct wbuf before, after;
    wbuf_init(&before, m->a);
    wbuf_init(&after, m->a);
    if (ch->count)
        state_compact_before(ch, &before);
    state_compact(ch, adv->fields, &after);
    return before.failed || after.failed ? SPAN_NONE : history_step_encode(m->a, index, wbuf_span(&before), wbuf_span(&after));
}

/* Into the chain's record, and from there into a row when there are enough (state_history.h). */
static enum ledger_rc save_history(struct machine *m, const struct advance *adv, uint64_t index, struct ledger_err *err)
{
    struct chain *ch = adv->chain;
    uint8_t key[KV_KEY_MAX], small[256];
    struct arena_mark mark = arena_mark(m->a);
    struct span step = history_step(m, adv, index);
    if (step.p && step.n <= sizeof small) { /* what it was made from need not stay */
        memcpy(small, step.p, step.n);
        step.p = small;
        arena_release(m->a, mark);
    }
    ch->history = history_row_add(m->a, ch->history, step);
    enum ledger_rc rc = ch->history.p ? LEDGER_OK : LEDGER_ENOMEM;
    if (!rc && history_row_ends(ch->count)) {
        rc = machine_put(m, KV_MEMBER, kv_key_member(key, &ch->key, MEMBER_HISTORY, history_row_number(ch->count)), ch->history, err);
        ch->history = SPAN_NONE;
    }
    return rc ? ledger_fail(err, rc, "history of a chain: %s", ledger_rc_text(rc)) : LEDGER_OK;
}

enum ledger_rc machine_save_chain(struct machine *m, struct advance *adv, const struct appended_entry *e, struct ledger_err *err)
{
    struct chain *ch = adv->chain;
    uint8_t key[KV_KEY_MAX];
    enum ledger_rc rc;
    for (const struct appended *x = adv->members; x; x = x->next) {
        rc = machine_put(m, KV_MEMBER, kv_key_member(key, &ch->key, x->log, x->number), x->bytes, err);
        if (rc)
            return rc;
    }
    if (!adv->fields.p)
        adv->fields = state_fields(m->a, ch);
    rc = m->partial ? LEDGER_OK : save_history(m, adv, e->index, err);
    if (rc)
        return rc;
    ch->exists = true;
    ch->count++;
    ch->head_index = e->index;
    ch->head = e->leaf;
    ch->salt = adv->salt;
    return machine_put(m, KV_CHAIN, span_of(ch->key.b, HASH_LEN), chain_record_join(m->a, ch, adv->fields), err);
}

enum ledger_rc machine_append(struct machine *m, struct header *h, struct content *content, struct advance *adv, size_t n,
                              struct appended_entry *out, struct ledger_err *err)
{
    /* The checkpoint right after a LOG_KEY is the old key's last: nothing may come in between. */
    if (m->log_key_from && m->size + 2 == m->log_key_from && h->kind != OWN_SEAL)
        return ledger_fail(err, LEDGER_EINVAL, "a change of the log key stands right before its seal");
    h->index = m->size;
    h->epoch = m->epoch;
    h->recorded_us = m->recorded_us;
    enum ledger_rc rc = h->kind == OWN_SEAL ? LEDGER_OK : make_links(m, h, content->nonce, adv, n, err);
    if (rc)
        return rc;
    out->index = h->index;
    out->header = content->record.header = header_encode(m->a, h);
    struct span record = entry_record_join(m->a, &content->record);
    if (!out->header.p || !record.p)
        return ledger_fail(err, LEDGER_ENOMEM, "entry: out of memory");
    LEDGER_REQUIRE(out->header.n <= HEADER_SIZE_MAX);
    merkle_leaf(m->c, out->header, &out->leaf);
    uint8_t key[KV_KEY_MAX];
    rc = machine_put(m, KV_LOG, kv_key_u64(key, h->index), record, err);
    if (!rc && !m->partial)
        rc = append_leaf(m, &out->leaf, err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = machine_save_chain(m, &adv[i], out, err);
    if (!rc)
        m->size++;
    return rc;
}

/* ---- events ---- */

enum ledger_rc machine_find_event(struct machine *m, const struct hash *event_id, struct span block, uint64_t *index,
                                  bool *same_block, struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    struct span v;
    struct entry_record record;
    enum ledger_rc rc = kv_get(&m->kv, KV_EVENT, kv_key_index(event_id), &v);
    if (rc == LEDGER_ENOTFOUND)
        return rc;
    struct rbuf r;
    rbuf_init(&r, v);
    *index = rbuf_u64(&r);
    if (!rc && !rbuf_done(&r))
        rc = LEDGER_ETAMPER;
    if (!rc)
        rc = kv_get(&m->kv, KV_LOG, kv_key_u64(key, *index), &v);
    if (!rc && !entry_record_split(v, &record))
        rc = LEDGER_ETAMPER;
    if (rc)
        return ledger_fail(err, rc, "look-up of a recorded event: %s", ledger_rc_text(rc));
    *same_block = !record.erased_by && span_eq(record.block, block);
    return LEDGER_OK;
}

bool machine_signature_ok(void *ctx, unsigned i, const struct party_state *p)
{
    struct signed_thing *s = ctx;
    struct machine *m = s->m;
    const struct sigblock *b = s->b;
    const struct signature *sig = &b->sigs[i];
    uint8_t id[KEY_ID_LEN];
    crypto_key_id(m->c, (enum sig_alg)p->alg, p->key, id);
    if (sig->alg != p->alg || !span_eq(sig->key_id, span_of(id, sizeof id)))
        return false;
    if (s->pre && s->pre->ok[i])
        return true;
    struct hash root;
    if (!sigblock_root(m->c, b, s->id, &root))
        return false;
    struct span msg = signature_input(m->c, m->a, span_str(m->origin), sig, i + 1, b->events, &root,
                                      i ? &b->sigs[i - 1] : NULL);
    s->no_memory |= !msg.p;
    if (!msg.p)
        return false;
    struct hash seen;
    const struct hfield f[] = {HVAR(msg), HVAR(sig->sig), HVAR(p->key)};
    crypto_labelled(m->c, LABEL_SIGNATURE, f, 3, &seen);
    if (hash_eq(&seen, &m->verified[i]))
        return true;
    if (!crypto_verify(m->c, (enum sig_alg)p->alg, p->key, msg, sig->sig))
        return false;
    m->verified[i] = seen;
    return true;
}

static struct signer *signers_of(struct machine *m, const struct submission *s, unsigned *n)
{
    if (!s->b) {
        *n = s->n_signers;
        struct signer *given = arena_alloc(m->a, (s->n_signers + 1) * sizeof *given);
        if (given && s->n_signers)
            memcpy(given, s->signers, s->n_signers * sizeof *given);
        return given;
    }
    *n = (unsigned)s->b->n;
    struct signer *out = arena_alloc(m->a, (s->b->n + 1) * sizeof *out);
    for (size_t i = 0; out && i < s->b->n; i++)
        out[i] = (struct signer){s->b->sigs[i].party, s->b->sigs[i].meaning};
    return out;
}

/* KV_EVENT, KV_REFERENCE, KV_KEYHOLDER. */
static enum ledger_rc save_indexes(struct machine *m, struct judge *j, const struct submission *s, uint64_t index,
                                   struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX], value[8];
    struct span v = kv_key_u64(value, index);
    enum ledger_rc rc = machine_put(m, KV_EVENT, kv_key_index(&s->ev->id), v, err);
    if (!rc)
        rc = machine_put(m, KV_REFERENCE, kv_key_index(&j->reference), v, err);
    for (const struct loaded *l = j->loaded; l && !rc; l = l->next) {
        const struct party_state *p = &l->chain.party;
        if (!m->wire || !l->touched || l->chain.type != CHAIN_PARTY || p->key_index != index)
            continue;
        crypto_key_id(m->c, (enum sig_alg)p->alg, p->key, key);
        rc = machine_put(m, KV_KEYHOLDER, span_of(key, KEY_ID_LEN), p->id, err);
    }
    return rc;
}

static enum ledger_rc append_judged(struct machine *m, struct judge *j, const struct submission *s,
                                    struct appended_entry *out, struct ledger_err *err)
{
    size_t n = 0, i = 0;
    for (struct loaded *l = j->loaded; l; l = l->next)
        n += l->touched;
    struct advance *adv = arena_alloc(m->a, (n + 1) * sizeof *adv);
    if (!adv)
        return ledger_fail(err, LEDGER_ENOMEM, "entry: out of memory");
    for (struct loaded *l = j->loaded; l; l = l->next)
        if (l->touched)
            adv[i++] = (struct advance){.chain = &l->chain, .members = l->first};
    struct header h = {.kind = (uint16_t)s->ev->kind->kind, .event_id = s->ev->id};
    sigblock_hash(m->c, s->block, &h.block_hash);
    struct content content = {.nonce = s->ev->nonce, .record = {.event = s->ev->bytes, .block = s->block}};
    return machine_append(m, &h, &content, adv, n, out, err);
}

/* A refused duplicate names the entry that is recorded, whichever of the two ways it was found. */
static void name_duplicate(struct machine *m, const struct judge *j, struct appended_entry *out)
{
    struct span v;
    struct rbuf r;
    if (kv_get(&m->kv, KV_REFERENCE, kv_key_index(&j->reference), &v))
        return;
    rbuf_init(&r, v);
    out->index = rbuf_u64(&r);
}

enum ledger_rc machine_event(struct machine *m, const struct submission *s, int64_t recorded_us,
                             struct appended_entry *out, struct refusal *why, struct ledger_err *err)
{
    memset(out, 0, sizeof *out);
    if (m->wire && s->ev->bytes.n > EVENT_SIZE_MAX) {
        refuse(why, E_BAD_VALUE, NULL, "event", "event of %zu bytes; at most %d", s->ev->bytes.n, EVENT_SIZE_MAX);
        return LEDGER_EREFUSED;
    }
    bool same = false;
    enum ledger_rc rc = s->unrecorded ? LEDGER_ENOTFOUND
                                      : machine_find_event(m, &s->ev->id, s->block, &out->index, &same, err);
    if (rc == LEDGER_OK) {
        refuse(why, E_DUP_EVENT, NULL, "reference",
               "these very bytes are recorded as entry %llu%s", (unsigned long long)out->index,
               same ? "" : " with another signature block");
        return LEDGER_EREFUSED;
    }
    if (rc != LEDGER_ENOTFOUND)
        return rc;
    unsigned n;
    struct signer *signers = signers_of(m, s, &n);
    if (!signers)
        return ledger_fail(err, LEDGER_ENOMEM, "signers: out of memory");
    int64_t recorded = recorded_us > m->recorded_us ? recorded_us : m->recorded_us;
    struct signed_thing signed_event = {.m = m, .id = &s->ev->id, .b = s->b, .pre = s->pre};
    struct judge j = {.c = m->c, .a = m->a, .kv = &m->kv, .index_key = &m->index_key, .wire = m->wire,
                      .origin = span_str(m->origin), .recorded_us = recorded, .tolerance_us = m->tolerance_us,
                      .index = m->size, .registry = m->registry,
                      .algorithms = m->algorithms, .signature_ok = m->wire ? machine_signature_ok : NULL,
                      .signature_ctx = &signed_event};
    rc = judge_event(&j, s->ev, signers, n, why);
    if (signed_event.no_memory)
        return ledger_fail(err, LEDGER_ENOMEM, "signatures: out of memory");
    if (rc == LEDGER_EREFUSED && why && why->code == E_DUP_EVENT)
        name_duplicate(m, &j, out);
    if (rc == LEDGER_EREFUSED)
        return rc;
    if (rc)
        return ledger_fail(err, rc, "judge: %s", j.err.rc ? j.err.msg : ledger_rc_text(rc));
    m->recorded_us = recorded;
    rc = append_judged(m, &j, s, out, err);
    if (!rc)
        rc = save_indexes(m, &j, s, out->index, err);
    if (!rc)
        m->registry = j.registry;
    return rc;
}
