/* SPDX-License-Identifier: Apache-2.0 */
/* machine_own: the ledger's own entries — genesis, epoch, clock step, seal, log key, time stamp, parameters, successor, acts that persons sign —
 * and what a machine remembers between batches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "machine_internal.h"
#include "verify_stamp.h"

static const char meta_key[] = "machine";
#define META_VERSION 2

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
    wbuf_u64(&w, m->algorithms);
    wbuf_u64(&w, m->erased_open);
    wbuf_u64(&w, m->log_key_from);
    wbuf_str(&w, span_str(m->origin));
    wbuf_str(&w, span_str(m->log_vkey));
    wbuf_str(&w, span_str(m->log_vkey_before));
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
    m->algorithms = rbuf_u64(&r);
    m->erased_open = rbuf_u64(&r);
    m->log_key_from = rbuf_u64(&r);
    struct span origin = rbuf_str(&r), vkey = rbuf_str(&r), before = rbuf_str(&r);
    m->batch_first = m->size;
    m->tree = (struct frontier){.size = 0};
    return rbuf_done(&r) && copy_text(m->origin, sizeof m->origin, origin) &&
           copy_text(m->log_vkey, sizeof m->log_vkey, vkey) &&
           copy_text(m->log_vkey_before, sizeof m->log_vkey_before, before);
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
    m->tree = (struct frontier){.size = 0};
    m->wire = false;
    m->recorded_us = INT64_MIN; /* lines carry their own recorded times, of any year */
    if (!merkle_append(m->c, &tree, &m->tree, &nothing))
        return ledger_fail(err, LEDGER_ENOMEM, "simulation: out of memory");
    m->size = m->batch_first = 1; /* 0 means "none" in states */
    return LEDGER_OK;
}

/* ---- genesis ---- */

static enum ledger_rc check_genesis(struct machine *m, const struct genesis *g, struct ledger_err *err)
{
    struct hash commit;
    index_key_commit(m->c, &m->index_key, &commit);
    if (g->format_version == 0 || g->rules_version == 0 || g->clock_tolerance_us < 0 || g->clock_tolerance_us > CLOCK_TOLERANCE_US_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "genesis: there is no version 0, and the clock is tolerated by at most a day");
    if (g->format_version > FORMAT_VERSION || g->rules_version > RULES_VERSION)
        return ledger_fail(err, LEDGER_EVERSION, "genesis: needs format %u and rules %u", g->format_version,
                           g->rules_version);
    if (g->event_size_max != EVENT_SIZE_MAX || g->batch_events_max != BATCH_EVENTS_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "genesis: format version 1 has events of at most %d bytes, and at most %d under one signature",
                           EVENT_SIZE_MAX, BATCH_EVENTS_MAX);
    if (!origin_valid(g->origin) || !copy_text(m->origin, sizeof m->origin, g->origin))
        return ledger_fail(err, LEDGER_EINVAL, "genesis: origin is no name of a ledger");
    struct note_key k;
    if (note_key_parse(m->c, g->log_vkey, &k, NULL) || k.type != NOTE_ED25519 || !span_eq(span_str(k.name), g->origin) ||
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

/* The entry of one of the ledger's own acts: the payload in the place of the event; a signature block only where persons sign. */
static enum ledger_rc append_own(struct machine *m, enum own_kind kind, struct content *content, struct advance *adv, size_t n,
                                 struct appended_entry *out, struct ledger_err *err)
{
    struct header h = {.kind = (uint16_t)kind};
    event_id(m->c, content->record.event, &h.event_id);
    sigblock_hash(m->c, content->record.block, &h.block_hash);
    return machine_append(m, &h, content, adv, n, out, err);
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
    struct content content = {.nonce = span_of(g.nonce.b, HASH_LEN), .record = {.event = payload}};
    rc = append_own(m, OWN_GENESIS, &content, adv, 2, out, err);
    uint8_t id[KEY_ID_LEN];
    crypto_key_id(m->c, (enum sig_alg)g.admin_alg, g.admin_key, id);
    if (!rc)
        rc = kv_put(&m->kv, KV_KEYHOLDER, span_of(id, sizeof id), g.admin);
    m->registry = (struct registry){.parties = 1, .admins = 1};
    return rc;
}

/* ---- what each act does to the ledger's own state ---- */

static enum ledger_rc apply_epoch(struct machine *m, struct span payload, struct ledger_state *s, struct ledger_err *err)
{
    struct epoch e;
    enum ledger_rc rc = epoch_decode(payload, &e, err);
    if (!rc && e.epoch != s->epoch + 1)
        rc = ledger_fail(err, LEDGER_EINVAL, "epoch: %llu does not follow %llu", (unsigned long long)e.epoch,
                         (unsigned long long)s->epoch);
    if (!rc)
        m->epoch = s->epoch = e.epoch;
    return rc;
}

static enum ledger_rc apply_clock_step(struct span payload, struct ledger_state *s, struct ledger_err *err)
{
    struct clock_step step;
    enum ledger_rc rc = clock_step_decode(payload, &step, err);
    if (!rc)
        s->clock_us = step.clock_us;
    return rc;
}

/* The new key begins with the checkpoint after the one that covers this entry: that one the old key still signs. */
static enum ledger_rc apply_log_key(struct machine *m, struct span payload, struct ledger_state *s, struct ledger_err *err)
{
    struct log_key_change k;
    struct note_key key;
    enum ledger_rc rc = log_key_change_decode(payload, &k, err);
    if (rc)
        return rc;
    if (!span_eq(k.old_vkey, span_str(m->log_vkey)))
        return ledger_fail(err, LEDGER_EINVAL, "log key: the key that it replaces is not the one in force");
    if (note_key_parse(m->c, k.new_vkey, &key, NULL) || key.type != NOTE_ED25519 || strcmp(key.name, m->origin) != 0 ||
        span_eq(k.new_vkey, k.old_vkey) || span_eq(k.new_vkey, span_str(m->log_vkey_before)))
        return ledger_fail(err, LEDGER_EINVAL, "log key: the new key is no other Ed25519 key of this origin, or one that was replaced comes back");
    if (k.from_size != m->size + 3)
        return ledger_fail(err, LEDGER_EINVAL, "log key: it must sign from size %llu on, right after the checkpoint of this entry",
                           (unsigned long long)m->size + 3);
    struct span msg = key_proof_input(m->a, span_str(m->origin), span_str(m->origin), SIG_ED25519, span_of(key.key, key.key_n));
    if (!msg.p || !crypto_verify(m->c, SIG_ED25519, span_of(key.key, key.key_n), msg, k.proof))
        return ledger_fail(err, LEDGER_EINVAL, "log key: the proof of possession does not verify under the new key");
    memcpy(m->log_vkey_before, m->log_vkey, sizeof m->log_vkey);
    if (!copy_text(m->log_vkey, sizeof m->log_vkey, k.new_vkey))
        return ledger_fail(err, LEDGER_EINVAL, "log key: too long");
    s->log_key = k.new_vkey;
    s->log_key_from = m->log_key_from = k.from_size;
    return LEDGER_OK;
}

/* By the key that signs checkpoints of that size. */
static bool log_signed(struct machine *m, const struct stamp_entry *stamp)
{
    struct note_key key;
    struct note note;
    uint64_t matched = 0;
    return !note_key_parse(m->c, span_str(machine_log_vkey(m, stamp->cp.size)), &key, NULL) &&
           !note_parse(m->a, stamp->note, &note, NULL) && note_verify(m->c, m->a, &note, &key, 1, &matched, NULL) && matched;
}

/* The token stamps the note beside it, and the note is a checkpoint of this very tree. Whether the authority is to be believed is no
 * question of the log's: verifiers bring their own certificates. */
static enum ledger_rc apply_time_stamp(struct machine *m, struct span payload, struct ledger_err *err)
{
    const struct header h = {.index = m->size};
    struct stamp_entry stamp;
    struct verdict v = {0};
    struct hash root;
    struct merkle_store tree = machine_tree(m);
    if (!verify_time_stamp(m->c, m->a, &h, payload, span_str(m->origin), &stamp, &v))
        return ledger_fail(err, verdict_rc_or(v.kind, LEDGER_EINVAL), "time stamp: %s", v.text);
    if (!m->partial && (!merkle_root(m->c, &tree, stamp.cp.size, &root) || !hash_eq(&root, &stamp.cp.root)))
        return ledger_fail(err, LEDGER_EINVAL, "time stamp: the stamped checkpoint is not one of this log");
    return log_signed(m, &stamp) ? LEDGER_OK
                                 : ledger_fail(err, LEDGER_EINVAL, "time stamp: the log has not signed the stamped checkpoint");
}

/* Numbers above those that this program knows were allowed by a later one. */
static enum ledger_rc apply_parameters(struct machine *m, struct span payload, struct ledger_state *s, struct ledger_err *err)
{
    struct parameters p;
    uint64_t algorithms = 0;
    enum ledger_rc rc = parameters_decode(payload, &p, err);
    if (rc)
        return rc;
    if (p.rules_version > RULES_VERSION)
        return ledger_fail(err, LEDGER_EVERSION, "parameters: rules of version %u", p.rules_version);
    if (p.rules_version < s->rules_version)
        return ledger_fail(err, LEDGER_EINVAL, "parameters: rules of version %u are not taken up again", p.rules_version);
    for (unsigned i = 0; i < p.n_algorithms; i++) {
        if (p.algorithms[i] > SIG_P256)
            return ledger_fail(err, LEDGER_EVERSION, "parameters: signature algorithm %u", p.algorithms[i]);
        algorithms |= UINT64_C(1) << p.algorithms[i];
    }
    for (unsigned i = 0; i < p.n_retentions; i++)
        if (!kind_find(p.retentions[i].kind))
            return ledger_fail(err, LEDGER_EVERSION, "parameters: retention of events of kind %u", p.retentions[i].kind);
    m->algorithms = algorithms;
    s->rules_version = p.rules_version;
    s->parameters = span_of(payload.p + PARAMETERS_HEAD, payload.n - PARAMETERS_HEAD); /* after version, nonce and rules version */
    return LEDGER_OK;
}

/* A ledger says at its very beginning, or never, that it goes on for another one: nobody can then be told so only later. */
static enum ledger_rc apply_successor(struct machine *m, struct span payload, struct ledger_err *err)
{
    struct successor s;
    if (m->size != 1)
        return ledger_fail(err, LEDGER_EINVAL, "successor: it stands right after the genesis, or nowhere");
    return successor_check(m->c, m->a, span_str(m->origin), payload, &s, err);
}

static enum ledger_rc apply_own(struct machine *m, enum own_kind kind, struct span payload, struct ledger_state *s,
                                struct ledger_err *err)
{
    switch (kind) {
    case OWN_EPOCH: return apply_epoch(m, payload, s, err);
    case OWN_CLOCK_STEP: return apply_clock_step(payload, s, err);
    case OWN_PARAMETERS: return apply_parameters(m, payload, s, err);
    case OWN_LOG_KEY: return apply_log_key(m, payload, s, err);
    case OWN_TIME_STAMP: return apply_time_stamp(m, payload, err);
    case OWN_ERASURE: return LEDGER_OK; /* its effects are on records, not on the state */
    case OWN_SUCCESSOR: return apply_successor(m, payload, err);
    case OWN_GENESIS:
    case OWN_SEAL: break;
    }
    return ledger_fail(err, LEDGER_EVERSION, "entry of kind %u: needs a newer version", (unsigned)kind);
}

static enum ledger_rc load_ledger(struct machine *m, struct chain *out, struct ledger_err *err)
{
    struct span v;
    struct hash key;
    chain_key(m->c, &m->index_key, CHAIN_LEDGER, span_str(m->origin), &key);
    enum ledger_rc rc = kv_get(&m->kv, KV_CHAIN, span_of(key.b, HASH_LEN), &v);
    if (rc)
        return ledger_fail(err, rc, "the ledger's own chain: %s", ledger_rc_text(rc));
    v = arena_copy(m->a, v); /* the state's spans must outlive the puts */
    rc = v.p ? chain_record_decode(v, out, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    out->key = key; /* the record does not hold it */
    return rc;
}

enum ledger_rc machine_parameters(struct machine *m, struct parameters *out, struct ledger_err *err)
{
    struct chain *ledger = arena_alloc(m->a, sizeof *ledger);
    struct wbuf w;
    if (!ledger)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = load_ledger(m, ledger, err);
    if (rc)
        return rc;
    *out = (struct parameters){.rules_version = ledger->ledger.rules_version, .n_algorithms = 2,
                               .algorithms = {SIG_ED25519, SIG_P256}};
    if (!ledger->ledger.parameters.p)
        return LEDGER_OK;
    struct span head = parameters_encode(m->a, out); /* for the bytes before those that the state keeps */
    wbuf_init(&w, m->a);
    wbuf_bytes(&w, head.p, head.p ? PARAMETERS_HEAD : 0);
    wbuf_bytes(&w, ledger->ledger.parameters.p, ledger->ledger.parameters.n);
    return parameters_decode(wbuf_span(&w), out, err);
}

static enum ledger_rc own_entry(struct machine *m, enum own_kind kind, struct span payload, struct span block, int64_t recorded_us,
                                struct appended_entry *out, struct ledger_err *err)
{
    struct chain *ledger = arena_alloc(m->a, sizeof *ledger);
    if (!ledger)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = load_ledger(m, ledger, err);
    if (!rc)
        rc = apply_own(m, kind, payload, &ledger->ledger, err);
    if (rc)
        return rc;
    if (recorded_us > m->recorded_us)
        m->recorded_us = recorded_us;
    struct advance adv = {.chain = ledger};
    struct content content = {.nonce = span_of(payload.p + 1, 16), /* after the version byte in all of them */
                              .record = {.event = payload, .block = block}};
    return append_own(m, kind, &content, &adv, 1, out, err);
}

enum ledger_rc machine_own(struct machine *m, enum own_kind kind, struct span payload, int64_t recorded_us,
                           struct appended_entry *out, struct ledger_err *err)
{
    if (own_kind_signed(kind))
        return ledger_fail(err, LEDGER_EINVAL, "%s: it must be signed", entry_kind_name(kind));
    return own_entry(m, kind, payload, SPAN_NONE, recorded_us, out, err);
}

const char *machine_log_vkey(const struct machine *m, uint64_t size)
{
    return size < m->log_key_from ? m->log_vkey_before : m->log_vkey;
}

/* ---- acts that persons sign ---- */

static bool own_signer(struct judge *j, const struct sigblock *b, unsigned i, uint32_t roles, struct signed_thing *st, struct refusal *why)
{
    const struct signature *sig = &b->sigs[i];
    const struct loaded *ld = judge_load(j, CHAIN_PARTY, sig->party);
    const char *field = i ? "signatures[1]" : "signatures[0]";
    char name[112];
    if (!ld)
        return false;
    snprintf(name, sizeof name, "party %.*s", SPAN_FMT(sig->party));
    if (!ld->chain.exists || ld->chain.party.revoked)
        return refuse(why, E_UNKNOWN_PARTY, name, field, "%.*s is %s", SPAN_FMT(sig->party), ld->chain.exists ? "revoked" : "not registered");
    if (!machine_signature_ok(st, i, &ld->chain.party))
        return refuse(why, E_SIG_INVALID, name, field, "the signature does not verify under the key that %.*s holds now", SPAN_FMT(sig->party));
    if (!(ld->chain.party.roles & roles))
        return refuse(why, E_ROLE, name, field, i ? "the second signer must be QA or REGULATORY" : "the first signer must be an ADMIN");
    if (!sig->meaning.p)
        return refuse(why, E_SIG_MEANING, name, field, "the signature has no meaning; say what it stands for");
    return true;
}

static bool own_signers(struct judge *j, const struct signed_own *s, struct signed_thing *st, struct refusal *why)
{
    const struct sigblock *b = s->b;
    if (b->n == 0)
        return refuse(why, E_SIG_MISSING, NULL, "signatures", "%s must be signed by two persons", entry_kind_name(s->kind));
    if (b->n == 1)
        return refuse(why, E_SIG_SECOND_MISSING, NULL, "signatures", "%s needs a second signature", entry_kind_name(s->kind));
    if (b->n > 2)
        return refuse(why, E_SIG_COUNT, NULL, "signatures", "%zu signatures, but %s takes 2", b->n, entry_kind_name(s->kind));
    if (span_eq(b->sigs[0].party, b->sigs[1].party))
        return refuse(why, E_SIG_SAME_PERSON, NULL, "signatures[1]", "both signatures are by %.*s", SPAN_FMT(b->sigs[0].party));
    return own_signer(j, b, 0, ROLE_BIT(ROLE_ADMIN), st, why) &&
           own_signer(j, b, 1, ROLE_BIT(ROLE_QA) | ROLE_BIT(ROLE_REGULATORY), st, why);
}

enum ledger_rc machine_own_signed(struct machine *m, const struct signed_own *s, int64_t recorded_us, struct appended_entry *out,
                                  struct refusal *why, struct ledger_err *err)
{
    struct hash id;
    bool same;
    struct erasure erasure;
    memset(out, 0, sizeof *out);
    event_id(m->c, s->payload, &id);
    enum ledger_rc rc = machine_find_event(m, &id, s->block, &out->index, &same, err);
    if (rc == LEDGER_OK) {
        refuse(why, E_DUP_EVENT, NULL, "payload", "this very act is recorded as entry %llu%s", (unsigned long long)out->index,
               same ? "" : " with another signature block");
        return LEDGER_EREFUSED;
    }
    if (rc != LEDGER_ENOTFOUND)
        return rc;
    int64_t recorded = recorded_us > m->recorded_us ? recorded_us : m->recorded_us;
    struct signed_thing st = {.m = m, .id = &id, .b = s->b, .pre = s->pre};
    struct judge j = {.c = m->c, .a = m->a, .kv = &m->kv, .index_key = &m->index_key, .wire = true,
                      .origin = span_str(m->origin), .recorded_us = recorded, .index = m->size};
    bool good = own_signers(&j, s, &st, why);
    if (st.no_memory)
        return ledger_fail(err, LEDGER_ENOMEM, "signatures: out of memory");
    if (!good)
        return j.rc ? ledger_fail(err, j.rc, "judge: %s", j.err.msg) : LEDGER_EREFUSED;
    if (s->kind == OWN_ERASURE) {
        rc = erasure_decode(s->payload, &erasure, err);
        if (!rc && !m->partial)
            rc = machine_erase_targets(m, &erasure, recorded, why, err);
        if (rc)
            return rc;
    }
    rc = own_entry(m, s->kind, s->payload, s->block, recorded, out, err);
    uint8_t key[8];
    if (!rc)
        rc = machine_put(m, KV_EVENT, kv_key_index(&id), kv_key_u64(key, out->index), err);
    return rc;
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
    struct span v;
    struct entry_record record;
    struct header h;
    enum ledger_rc rc = kv_get(&m->kv, KV_LOG, kv_key_u64(key, index), &v);
    if (!rc && !entry_record_split(v, &record))
        rc = LEDGER_ETAMPER;
    if (rc)
        return ledger_fail(err, rc, "seal: entry %llu: %s", (unsigned long long)index, ledger_rc_text(rc));
    rc = header_decode(m->a, record.header, &h, err);
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
    cp->origin = span_str(m->origin);
    cp->size = m->size;
    frontier_root(m->c, &m->tree, &cp->root);
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
    struct content none = {.nonce = SPAN_NONE};
    rc = machine_append(m, &h, &none, NULL, 0, out, err);
    if (rc)
        return rc;
    m->seal = out->index;
    m->seal_leaf = out->leaf;
    m->batch_first = m->size;
    return save_checkpoint(m, cp, err);
}
