/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history: lies in what is recorded (liar.h). They are told about events whose reference is "lie", which clients submit as usual; what
 * such an event is recorded as is another matter.
 *
 * `glasses`: the judge reads the store through them and sees, for one question, what suits the lie.
 */
#include <stdlib.h>
#include <string.h>

#include "event_value.h"
#include "liar.h"

struct clock_watch;
int64_t __real_clock_watch_real_us(const struct clock_watch *w);
int64_t __wrap_clock_watch_real_us(const struct clock_watch *w);
enum ledger_rc __real_judge_event(struct judge *j, const struct event *ev, const struct signer *signers, unsigned n, struct refusal *why);
enum ledger_rc __wrap_judge_event(struct judge *j, const struct event *ev, const struct signer *signers, unsigned n, struct refusal *why);
enum ledger_rc __real_machine_event(struct machine *m, const struct submission *s, int64_t recorded_us, struct appended_entry *out,
                                    struct refusal *why, struct ledger_err *err);
enum ledger_rc __wrap_machine_event(struct machine *m, const struct submission *s, int64_t recorded_us, struct appended_entry *out,
                                    struct refusal *why, struct ledger_err *err);
enum ledger_rc __real_chainmap_apply(struct crypto *c, struct arena *a, const struct kv *kv, const struct map_leaf *leaves, size_t n,
                                     struct hash *root, struct ledger_err *err);
enum ledger_rc __wrap_chainmap_apply(struct crypto *c, struct arena *a, const struct kv *kv, const struct map_leaf *leaves, size_t n,
                                     struct hash *root, struct ledger_err *err);
enum ledger_rc __real_chainmap_prove(struct crypto *c, struct map_reader *reader, const struct kv *kv, const struct hash *key, struct map_proof *out,
                                     struct ledger_err *err);
enum ledger_rc __wrap_chainmap_prove(struct crypto *c, struct map_reader *reader, const struct kv *kv, const struct hash *key, struct map_proof *out,
                                     struct ledger_err *err);
enum ledger_rc __real_read_chain(struct query *q, const struct hash *key, struct chain *out, struct ledger_err *err);
enum ledger_rc __wrap_read_chain(struct query *q, const struct hash *key, struct chain *out, struct ledger_err *err);

static bool is_about(const struct event *ev)
{
    return span_eq(ev->reference, SPAN_LIT("lie"));
}

/* ---- glasses ---- */

struct glasses {
    const struct kv *real;
    struct crypto *c;
    struct arena *a;
    struct hash key; /* of the chain that is seen otherwise */
};

/* What the judge is shown in place of the record. */
static struct span seen_record(struct glasses *g, struct span v)
{
    struct chain ch;
    if (lie_is("sequence-reused")) {
        if (!liar_old_chain(g->a, &g->key, &ch))
            liar_die(liar.lie, "the older copy does not have the chain");
    } else if (chain_record_decode(v, &ch, NULL)) {
        liar_die(liar.lie, "record of a chain");
    }
    if (lie_is("rules-ignored"))
        ch.party.roles = ~UINT32_C(0) >> 1;
    if (lie_is("revoked-signer"))
        ch.party.revoked = 0;
    return chain_record_encode(g->a, &ch);
}

static enum ledger_rc seen_get(void *ctx, enum kv_table t, struct span key, struct span *v)
{
    struct glasses *g = ctx;
    if (lie_is("one-key-two-persons") && t == KV_KEYHOLDER)
        return LEDGER_ENOTFOUND;
    enum ledger_rc rc = kv_get(g->real, t, key, v);
    if (!rc && t == KV_CHAIN && span_eq(key, span_of(g->key.b, HASH_LEN))) {
        struct span kept = arena_copy(g->a, *v);
        *v = seen_record(g, kept);
    }
    return rc;
}

static enum ledger_rc seen_put(void *ctx, enum kv_table t, struct span key, struct span v)
{
    return kv_put(((struct glasses *)ctx)->real, t, key, v);
}

/* ---- what the judge found is changed ---- */

static struct loaded *touched_item(struct judge *j)
{
    for (struct loaded *l = j->loaded; l; l = l->next)
        if (l->touched && l->chain.type == CHAIN_ITEM && span_eq(l->chain.id, span_str(liar.a)))
            return l;
    liar_die(liar.lie, "the event does not touch the item that the lie is about");
}

/* The list of inputs stays what it was before the event. */
static void forget_input(struct judge *j, struct loaded *l)
{
    struct span v;
    struct chain *before = arena_alloc(j->a, sizeof *before);
    if (kv_get(j->kv, KV_CHAIN, span_of(l->chain.key.b, HASH_LEN), &v) || !before || chain_record_decode(v, before, NULL))
        liar_die(liar.lie, "the record before");
    l->chain.item.logs[ITEM_LOG_INPUTS] = before->item.logs[ITEM_LOG_INPUTS];
    struct appended **at = &l->first;
    while (*at)
        if ((*at)->log == ITEM_LOG_INPUTS)
            *at = (*at)->next;
        else
            at = &(*at)->next;
}

static void change_result(struct judge *j)
{
    if (lie_is("state-changed"))
        touched_item(j)->chain.item.available *= 10;
    if (lie_is("recall-not-in-state"))
        touched_item(j)->chain.item.open_recalls = 0;
    if (lie_is("input-omitted"))
        forget_input(j, touched_item(j));
    if (lie_is("excursion-untouched"))
        touched_item(j)->touched = false;
}

enum ledger_rc __wrap_judge_event(struct judge *j, const struct event *ev, const struct signer *signers, unsigned n, struct refusal *why)
{
    const struct kv *real = j->kv;
    struct glasses g = {.real = real, .c = j->c, .a = j->a};
    struct kv seen = {&g, seen_get, seen_put};
    if (!is_about(ev))
        return __real_judge_event(j, ev, signers, n, why);
    if (lie_is("rules-ignored") || lie_is("revoked-signer"))
        chain_key(j->c, j->index_key, CHAIN_PARTY, span_str(liar.a), &g.key);
    if (lie_is("sequence-reused"))
        chain_key(j->c, j->index_key, CHAIN_ITEM, span_str(liar.a), &g.key);
    j->kv = &seen;
    enum ledger_rc rc = __real_judge_event(j, ev, signers, n, why);
    j->kv = real;
    if (!rc)
        change_result(j);
    return rc;
}

/* ---- what is recorded is not what was judged ---- */

static struct span other_block(struct machine *m, const struct submission *s)
{
    struct sigblock *b = arena_alloc(m->a, sizeof *b);
    if (!b)
        liar_die(liar.lie, "out of memory");
    *b = *s->b;
    if (lie_is("unsigned")) {
        b->n = 0;
    } else {
        struct signature *sig = &b->sigs[lie_is("second-signer-swapped") ? 1 : 0];
        struct span bytes = arena_copy(m->a, sig->sig);
        ((uint8_t *)(uintptr_t)bytes.p)[8] ^= 1;
        sig->sig = bytes;
        if (lie_is("second-signer-swapped"))
            sig->party = span_str(liar.a);
    }
    return sigblock_encode(m->a, b);
}

/* The key id is that of the other person, so that only the signature itself can give it away. */
static struct span other_signer(struct machine *m, const struct submission *s)
{
    struct hash key;
    struct span v;
    struct chain *ch = arena_alloc(m->a, sizeof *ch);
    uint8_t *id = arena_alloc(m->a, KEY_ID_LEN);
    struct sigblock b;
    chain_key(m->c, &m->index_key, CHAIN_PARTY, span_str(liar.a), &key);
    if (!ch || !id || kv_get(&m->kv, KV_CHAIN, span_of(key.b, HASH_LEN), &v) || chain_record_decode(v, ch, NULL))
        liar_die(liar.lie, "no such party");
    crypto_key_id(m->c, (enum sig_alg)ch->party.alg, ch->party.key, id);
    if (sigblock_decode(other_block(m, s), &b, NULL))
        liar_die(liar.lie, "signature block");
    b.sigs[1].key_id = span_of(id, KEY_ID_LEN);
    b.sigs[1].alg = ch->party.alg;
    return sigblock_encode(m->a, &b);
}

/* The event with ten times the quantity, under the signature of the one that was submitted. */
static struct event *other_event(struct machine *m, const struct event *ev)
{
    struct event *out = arena_alloc(m->a, sizeof *out), *decoded = arena_alloc(m->a, sizeof *out);
    struct refusal why;
    if (!out || !decoded)
        liar_die(liar.lie, "out of memory");
    *out = *ev;
    const struct field_def *def = kind_field_at(ev->kind, FIELD_QUANTITY);
    if (!def || !value_from_number(m->a, TYPE_DECIMAL, span_str(liar.b), &out->fields[def - ev->kind->fields]))
        liar_die(liar.lie, "no quantity");
    struct span bytes = event_encode(m->a, out);
    if (!bytes.p || event_decode(m->c, m->a, bytes, decoded, &why, NULL))
        liar_die(liar.lie, "the changed event");
    return decoded;
}

enum ledger_rc __wrap_machine_event(struct machine *m, const struct submission *s, int64_t recorded_us, struct appended_entry *out,
                                    struct refusal *why, struct ledger_err *err)
{
    static const struct preverified believed = {.ok = {true, true, true, true, true, true, true, true}};
    struct submission other = *s;
    if (!is_about(s->ev))
        return __real_machine_event(m, s, recorded_us, out, why, err);
    if (lie_is("unsigned") || lie_is("wrongly-signed"))
        other.block = other_block(m, s);
    if (lie_is("second-signer-swapped"))
        other.block = other_signer(m, s);
    if (lie_is("quantity-changed")) {
        other.ev = other_event(m, s->ev);
        other.pre = &believed;
    }
    if (lie_is("time-backdated"))
        recorded_us = m->recorded_us = strtoll(liar.b, NULL, 10);
    return __real_machine_event(m, &other, recorded_us, out, why, err);
}

/* ---- the ledger's clock ---- */

int64_t __wrap_clock_watch_real_us(const struct clock_watch *w)
{
    return __real_clock_watch_real_us(w) + (lie_is("clock-ahead") ? INT64_C(86400) * 1000000 : 0);
}

/* ---- the chain map stands still, for one chain or for all ---- */

static bool hidden(struct crypto *c, const struct hash *index_key, const struct hash *key)
{
    struct hash a;
    if (lie_is("view-frozen"))
        return true;
    if (!lie_is("recall-not-in-map"))
        return false;
    chain_key(c, index_key, CHAIN_ITEM, span_str(liar.a), &a);
    return hash_eq(&a, key);
}

enum ledger_rc __wrap_chainmap_apply(struct crypto *c, struct arena *a, const struct kv *kv, const struct map_leaf *leaves, size_t n,
                                     struct hash *root, struct ledger_err *err)
{
    struct map_leaf *shown = arena_alloc(a, (n + 1) * sizeof *shown);
    size_t k = 0;
    if (!shown)
        liar_die(liar.lie, "out of memory");
    for (size_t i = 0; i < n; i++)
        if (!liar.old || !hidden(c, store_index_key(liar.old), &leaves[i].key))
            shown[k++] = leaves[i];
    return k ? __real_chainmap_apply(c, a, kv, shown, k, root, err) : LEDGER_OK;
}

/* Who asks is shown the chain as the map has it. */
enum ledger_rc __wrap_read_chain(struct query *q, const struct hash *key, struct chain *out, struct ledger_err *err)
{
    if (!liar.old || !hidden(q->c, &q->m.index_key, key))
        return __real_read_chain(q, key, out, err);
    if (!liar_old_chain(q->a, key, out)) {
        memset(out, 0, sizeof *out);
        out->key = *key;
    }
    return LEDGER_OK;
}

/* The map's leaves are proven with the records of the chains, which have to be the old ones, too. */
struct still {
    const struct kv *real;
    struct crypto *c;
    struct arena *a;
};

static enum ledger_rc still_get(void *ctx, enum kv_table t, struct span key, struct span *v)
{
    struct still *st = ctx;
    struct chain ch;
    struct hash k;
    if (t != KV_CHAIN || key.n != HASH_LEN)
        return kv_get(st->real, t, key, v);
    memcpy(k.b, key.p, HASH_LEN);
    if (!hidden(st->c, store_index_key(liar.old), &k))
        return kv_get(st->real, t, key, v);
    if (!liar_old_chain(st->a, &k, &ch))
        return LEDGER_ENOTFOUND;
    *v = chain_record_encode(st->a, &ch);
    return LEDGER_OK;
}

enum ledger_rc __wrap_chainmap_prove(struct crypto *c, struct map_reader *reader, const struct kv *kv, const struct hash *key, struct map_proof *out,
                                     struct ledger_err *err)
{
    struct arena *a = liar.old ? arena_new((size_t)16 << 20) : NULL;
    struct still st = {kv, c, a};
    struct kv shown = {&st, still_get, NULL};
    enum ledger_rc rc = __real_chainmap_prove(c, a ? NULL : reader, a ? &shown : kv, key, out, err);
    arena_free(a);
    return rc;
}
