/* SPDX-License-Identifier: Apache-2.0 */
/* machine_own: the ledger's own entries — genesis, epoch, clock step, seal — and what a machine remembers between batches. */
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "machine_internal.h"

static const char meta_key[] = "machine";
#define META_VERSION 1

static struct span meta_encode(struct machine *m)
{
    struct wbuf w;
    wbuf_init(&w, m->a);
    wbuf_u8(&w, META_VERSION);
    wbuf_u64(&w, m->size);
    wbuf_u64(&w, m->epoch);
    wbuf_i64(&w, m->recorded_us);
    wbuf_u64(&w, m->seal);
    wbuf_hash(&w, &m->seal_leaf);
    wbuf_hash(&w, &m->map_root);
    wbuf_u64(&w, m->chains);
    wbuf_i64(&w, m->tolerance_us);
    wbuf_u32(&w, m->heartbeat_s);
    wbuf_u64(&w, m->registry.parties);
    wbuf_u64(&w, m->registry.admins);
    wbuf_str(&w, span_str(m->origin));
    wbuf_str(&w, span_str(m->log_vkey));
    return wbuf_span(&w);
}

static bool copy_text(char *out, size_t size, struct span s)
{
    if (s.n >= size || (s.n && memchr(s.p, 0, s.n)))
        return false;
    if (s.n)
        memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return true;
}

static bool meta_decode(struct machine *m, struct span v)
{
    struct rbuf r;
    rbuf_init(&r, v);
    if (rbuf_u8(&r) != META_VERSION)
        return false;
    m->size = rbuf_u64(&r);
    m->epoch = rbuf_u64(&r);
    m->recorded_us = rbuf_i64(&r);
    m->seal = rbuf_u64(&r);
    m->seal_leaf = rbuf_hash(&r);
    m->map_root = rbuf_hash(&r);
    m->chains = rbuf_u64(&r);
    m->tolerance_us = rbuf_i64(&r);
    m->heartbeat_s = rbuf_u32(&r);
    m->registry.parties = rbuf_u64(&r);
    m->registry.admins = rbuf_u64(&r);
    struct span origin = rbuf_str(&r), vkey = rbuf_str(&r);
    m->batch_first = m->size;
    return rbuf_done(&r) && copy_text(m->origin, sizeof m->origin, origin) &&
           copy_text(m->log_vkey, sizeof m->log_vkey, vkey);
}

enum ledger_rc machine_load(struct machine *m, struct ledger_err *err)
{
    struct span v;
    enum ledger_rc rc = kv_get(&m->kv, KV_META, span_str(meta_key), &v);
    if (rc == LEDGER_ENOTFOUND)
        return ledger_fail(err, rc, "no ledger here yet");
    if (!rc && !meta_decode(m, v))
        rc = LEDGER_ETAMPER;
    return rc ? ledger_fail(err, rc, "machine state: %s", ledger_rc_text(rc)) : LEDGER_OK;
}

enum ledger_rc machine_simulate(struct machine *m, struct ledger_err *err)
{
    struct merkle_store tree = machine_tree(m);
    struct hash nothing;
    merkle_empty(m->c, &nothing);
    m->wire = false;
    m->recorded_us = INT64_MIN; /* lines carry their own recorded times, of any year */
    if (!merkle_append(m->c, &tree, 0, &nothing))
        return ledger_fail(err, LEDGER_ENOMEM, "simulation: out of memory");
    m->size = m->batch_first = 1; /* 0 means "none" in states */
    return LEDGER_OK;
}

/* ---- genesis ---- */

static enum ledger_rc check_genesis(struct machine *m, const struct genesis *g, struct ledger_err *err)
{
    struct hash commit;
    index_key_commit(m->c, &m->index_key, &commit);
    if (g->format_version > FORMAT_VERSION || g->rules_version > RULES_VERSION)
        return ledger_fail(err, LEDGER_EVERSION, "genesis: needs format %u and rules %u", g->format_version,
                           g->rules_version);
    if (!origin_valid(g->origin) || !copy_text(m->origin, sizeof m->origin, g->origin))
        return ledger_fail(err, LEDGER_EINVAL, "genesis: origin is no name of a ledger");
    struct note_key k;
    if (note_key_parse(m->c, g->log_vkey, &k, NULL) || !span_eq(span_str(k.name), g->origin) ||
        !copy_text(m->log_vkey, sizeof m->log_vkey, g->log_vkey))
        return ledger_fail(err, LEDGER_EINVAL, "genesis: log key is no key of this origin");
    if (!hash_eq(&commit, &g->index_key_commit))
        return ledger_fail(err, LEDGER_EINVAL, "genesis: the index key is not the one committed to");
    if (!id_valid(g->admin) || !id_valid(g->admin_org) ||
        !crypto_key_valid(m->c, (enum sig_alg)g->admin_alg, g->admin_key))
        return ledger_fail(err, LEDGER_EINVAL, "genesis: first administrator: party, organisation or key is malformed");
    struct span msg = key_proof_input(m->a, g->origin, g->admin, g->admin_alg, g->admin_key);
    if (!msg.p || !crypto_verify(m->c, (enum sig_alg)g->admin_alg, g->admin_key, msg, g->admin_proof))
        return ledger_fail(err, LEDGER_EINVAL, "genesis: first administrator: the proof of possession does not verify");
    return LEDGER_OK;
}

static void chain_begin(struct machine *m, struct chain *ch, enum chain_type t, struct span id)
{
    memset(ch, 0, sizeof *ch);
    ch->type = t;
    ch->id = id;
    chain_key(m->c, &m->index_key, t, id, &ch->key);
}

static void genesis_chains(struct machine *m, const struct genesis *g, struct chain *ledger, struct chain *admin)
{
    chain_begin(m, ledger, CHAIN_LEDGER, g->origin);
    ledger->ledger = (struct ledger_state){
        .origin = g->origin, .format_version = g->format_version, .rules_version = g->rules_version,
        .log_key = g->log_vkey, .clock_tolerance_us = g->clock_tolerance_us, .heartbeat_s = g->heartbeat_s,
        .event_size_max = g->event_size_max, .batch_events_max = g->batch_events_max};
    chain_begin(m, admin, CHAIN_PARTY, g->admin);
    admin->party = (struct party_state){.id = g->admin, .org = g->admin_org, .roles = ROLE_BIT(ROLE_ADMIN),
                                        .alg = g->admin_alg, .key = g->admin_key};
}

/* The entry of one of the ledger's own acts: payload in the place of the event, an empty signature block. */
static enum ledger_rc append_own(struct machine *m, enum own_kind kind, struct span payload, struct span nonce,
                                 struct advance *adv, size_t n, struct appended_entry *out, struct ledger_err *err)
{
    struct header h = {.kind = (uint16_t)kind};
    event_id(m->c, payload, &h.event_id);
    sigblock_hash(m->c, SPAN_NONE, &h.block_hash);
    return machine_append(m, &h, nonce, payload, SPAN_NONE, adv, n, out, err);
}

enum ledger_rc machine_genesis(struct machine *m, struct span payload, int64_t recorded_us, struct appended_entry *out,
                               struct ledger_err *err)
{
    struct genesis g;
    if (m->size)
        return ledger_fail(err, LEDGER_EINVAL, "genesis: the ledger is not empty");
    enum ledger_rc rc = genesis_decode(payload, &g, err);
    if (!rc)
        rc = check_genesis(m, &g, err);
    if (rc)
        return rc;
    m->recorded_us = recorded_us;
    m->tolerance_us = g.clock_tolerance_us;
    m->heartbeat_s = g.heartbeat_s;
    struct chain ledger, admin;
    genesis_chains(m, &g, &ledger, &admin);
    struct advance adv[2] = {{.chain = &ledger}, {.chain = &admin}};
    rc = append_own(m, OWN_GENESIS, payload, span_of(g.nonce.b, HASH_LEN), adv, 2, out, err);
    uint8_t id[KEY_ID_LEN];
    crypto_key_id(m->c, (enum sig_alg)g.admin_alg, g.admin_key, id);
    if (!rc)
        rc = kv_put(&m->kv, KV_KEYHOLDER, span_of(id, sizeof id), g.admin);
    m->registry = (struct registry){.parties = 1, .admins = 1};
    return rc;
}

/* ---- epoch, clock step ---- */

static enum ledger_rc apply_own(enum own_kind kind, struct span payload, struct ledger_state *s, struct span *nonce,
                                struct ledger_err *err)
{
    enum ledger_rc rc;
    if (kind == OWN_EPOCH) {
        struct epoch e;
        rc = epoch_decode(payload, &e, err);
        if (!rc && e.epoch != s->epoch + 1)
            rc = ledger_fail(err, LEDGER_EINVAL, "epoch: %llu does not follow %llu", (unsigned long long)e.epoch,
                             (unsigned long long)s->epoch);
        if (!rc)
            s->epoch = e.epoch;
    } else if (kind == OWN_CLOCK_STEP) {
        struct clock_step step;
        rc = clock_step_decode(payload, &step, err);
        if (!rc)
            s->clock_us = step.clock_us;
    } else {
        return ledger_fail(err, LEDGER_EVERSION, "entry of kind %u: needs a newer version", (unsigned)kind);
    }
    *nonce = rc ? SPAN_NONE : span_of(payload.p + 1, 16); /* after the version byte in both */
    return rc;
}

enum ledger_rc machine_own(struct machine *m, enum own_kind kind, struct span payload, int64_t recorded_us,
                           struct appended_entry *out, struct ledger_err *err)
{
    struct hash key;
    struct span v, nonce;
    struct chain ledger;
    chain_key(m->c, &m->index_key, CHAIN_LEDGER, span_str(m->origin), &key);
    enum ledger_rc rc = kv_get(&m->kv, KV_CHAIN, span_of(key.b, HASH_LEN), &v);
    if (rc)
        return ledger_fail(err, rc, "the ledger's own chain: %s", ledger_rc_text(rc));
    v = arena_copy(m->a, v); /* the state's spans must outlive the puts */
    rc = v.p ? chain_record_decode(v, &ledger, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    ledger.key = key; /* the record does not hold it */
    if (!rc)
        rc = apply_own(kind, payload, &ledger.ledger, &nonce, err);
    if (rc)
        return rc;
    if (recorded_us > m->recorded_us)
        m->recorded_us = recorded_us;
    m->epoch = ledger.ledger.epoch;
    struct advance adv = {.chain = &ledger};
    return append_own(m, kind, payload, nonce, &adv, 1, out, err);
}

/* ---- seal ---- */

struct touched_keys {
    struct hash *keys;
    size_t n, cap;
    uint64_t born; /* chains whose first entry is in this batch */
};

static enum ledger_rc collect_links(struct machine *m, uint64_t index, struct touched_keys *t, struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    struct span v, header, event, block;
    struct header h;
    enum ledger_rc rc = kv_get(&m->kv, KV_LOG, kv_key_u64(key, index), &v);
    if (!rc && !entry_record_split(v, &header, &event, &block))
        rc = LEDGER_ETAMPER;
    if (rc)
        return ledger_fail(err, rc, "seal: entry %llu: %s", (unsigned long long)index, ledger_rc_text(rc));
    rc = header_decode(m->a, header, &h, err);
    if (!rc && t->n + h.n_links > t->cap) {
        size_t cap = (t->n + h.n_links) * 2;
        struct hash *keys = arena_alloc(m->a, cap * sizeof *keys);
        if (!keys)
            return ledger_fail(err, LEDGER_ENOMEM, "seal: out of memory");
        if (t->n)
            memcpy(keys, t->keys, t->n * sizeof *keys);
        t->keys = keys;
        t->cap = cap;
    }
    for (unsigned i = 0; i < h.n_links && !rc; i++) {
        t->keys[t->n++] = h.links[i].chain;
        t->born += h.links[i].seq == 0;
    }
    return rc;
}

static int hash_order(const void *x, const void *y)
{
    return memcmp(((const struct hash *)x)->b, ((const struct hash *)y)->b, HASH_LEN);
}

static enum ledger_rc load_leaf(struct machine *m, const struct hash *key, struct map_leaf *leaf, struct ledger_err *err)
{
    struct span v;
    struct chain ch;
    enum ledger_rc rc = kv_get(&m->kv, KV_CHAIN, span_of(key->b, HASH_LEN), &v);
    if (!rc)
        rc = chain_record_decode(v, &ch, err);
    if (rc)
        return ledger_fail(err, rc, "seal: record of a chain: %s", ledger_rc_text(rc));
    *leaf = (struct map_leaf){.key = *key, .count = ch.count, .head = ch.head};
    return LEDGER_OK;
}

/* Brings the chain map up to date with the chains that the open batch advanced. */
static enum ledger_rc update_map(struct machine *m, struct ledger_err *err)
{
    struct touched_keys t = {0};
    enum ledger_rc rc = LEDGER_OK;
    for (uint64_t i = m->batch_first; i < m->size && !rc; i++)
        rc = collect_links(m, i, &t, err);
    if (rc || t.n == 0)
        return rc;
    qsort(t.keys, t.n, sizeof t.keys[0], hash_order);
    struct map_leaf *leaves = arena_alloc(m->a, t.n * sizeof *leaves);
    if (!leaves)
        return ledger_fail(err, LEDGER_ENOMEM, "seal: out of memory");
    size_t n = 0;
    for (size_t i = 0; i < t.n && !rc; i++)
        if (i == 0 || !hash_eq(&t.keys[i], &t.keys[i - 1]))
            rc = load_leaf(m, &t.keys[i], &leaves[n++], err);
    if (!rc)
        rc = chainmap_apply(m->c, m->a, &m->kv, leaves, n, &m->map_root, err);
    m->chains += t.born;
    return rc;
}

static enum ledger_rc save_checkpoint(struct machine *m, struct checkpoint *cp, struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    struct merkle_store tree = machine_tree(m);
    cp->origin = span_str(m->origin);
    cp->size = m->size;
    if (!merkle_root(m->c, &tree, m->size, &cp->root))
        return ledger_fail(err, LEDGER_ETAMPER, "seal: a hash of the tree is missing");
    struct span meta = meta_encode(m);
    enum ledger_rc rc = meta.p ? LEDGER_OK : LEDGER_ENOMEM;
    if (!rc)
        rc = kv_put(&m->kv, KV_CHECKPOINT, kv_key_u64(key, m->size), span_of(cp->root.b, HASH_LEN));
    if (!rc)
        rc = kv_put(&m->kv, KV_META, span_str(meta_key), meta);
    return rc ? ledger_fail(err, rc, "seal: %s", ledger_rc_text(rc)) : LEDGER_OK;
}

enum ledger_rc machine_seal(struct machine *m, int64_t recorded_us, struct appended_entry *out, struct checkpoint *cp,
                            struct ledger_err *err)
{
    enum ledger_rc rc = update_map(m, err);
    if (rc)
        return rc;
    if (recorded_us > m->recorded_us)
        m->recorded_us = recorded_us;
    struct header h = {.kind = OWN_SEAL, .prev_seal = m->seal, .prev_seal_leaf = m->seal_leaf,
                       .batch_first = m->batch_first, .map_root = m->map_root, .chains = m->chains};
    rc = machine_append(m, &h, SPAN_NONE, SPAN_NONE, SPAN_NONE, NULL, 0, out, err);
    if (rc)
        return rc;
    m->seal = out->index;
    m->seal_leaf = out->leaf;
    m->batch_first = m->size;
    return save_checkpoint(m, cp, err);
}
