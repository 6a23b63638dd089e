/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state: the tables of the state encodings, commitments, and chain records. The order of each table
 * is the order of the struct in state.h and of the tables in docs/format.md; the codec behind it is
 * state_codec.h.
 */
#include "state_codec.h"

#include <string.h>

#define STATE_VERSION 1
#define STATE_VERSION_LEDGER 2 /* with the fields that its later acts set */

#define ITEM(kind, f) CODEC_PLAIN(kind, struct chain, item.f)
static const struct codec_field item_fields[] = {
    ITEM(TEXT, id),
    CODEC_RANGE(struct chain, item.klass, ITEM_MATERIAL, ITEM_UNIT),
    CODEC_RANGE(struct chain, item.use, 0, USE_ALLOGENEIC),
    ITEM(BOOL, gmo),
    ITEM(U64, made_index),
    ITEM(I64, born_us),
    ITEM(I64, arrived_us),
    ITEM(OPT, parent),
    ITEM(OPT, coi),
    ITEM(OPT, for_coi),
    ITEM(OPT, uom),
    ITEM(DEC, available),
    ITEM(BOOL, has_expiry),
    ITEM(BOOL, derived),
    CODEC_GUARDED(I64, struct chain, item.expiry_us, item.has_expiry),
    ITEM(TEXT, holder),
    ITEM(OPT, shipment),
    ITEM(OPT, location),
    ITEM(OPT, product_code),
    ITEM(U64, spec_member),
    CODEC_RANGE(struct chain, item.terminal, TERMINAL_NONE, TERMINAL_DISPOSED),
    ITEM(BOOL, nonconforming),
    ITEM(U64, terminal_index),
    ITEM(DEC, terminal_took),
    ITEM(OPT, patient),
    ITEM(U64, last_input),
    ITEM(U64, last_derived),
    ITEM(U64, last_release),
    ITEM(U64, last_fail),
    ITEM(U64, rejected),
    ITEM(BOOL, quarantined),
    ITEM(U32, open_deviations),
    ITEM(U32, open_recalls),
    ITEM(U32, open_excursions),
    ITEM(U32, rejecting_excursions),
    ITEM(U32, reducing_excursions),
};

#define PARTY(kind, f) CODEC_PLAIN(kind, struct chain, party.f)
static const struct codec_field party_fields[] = {
    PARTY(TEXT, id),  PARTY(TEXT, org),      PARTY(U32, roles),      PARTY(U16, alg),
    PARTY(TEXT, key), PARTY(U64, key_index), PARTY(U64, registered), PARTY(U64, revoked),
};

#define SUBJECT(kind, f) CODEC_PLAIN(kind, struct chain, subject.f)
#define SCOPE(i)                                                                                   \
    CODEC_RANGE(struct chain, subject.scopes[i].given, 0, CONSENT_WITHDRAWN),                      \
        SUBJECT(I64, scopes[i].given_us), SUBJECT(U64, scopes[i].index)
static const struct codec_field subject_fields[] = {
    SUBJECT(TEXT, id),
    SUBJECT(TEXT, subject_commit),
    CODEC_RANGE(struct chain, subject.use, USE_AUTOLOGOUS, USE_ALLOGENEIC),
    SUBJECT(U64, assigned),
    SCOPE(0),
    SCOPE(1),
    SCOPE(2),
    SCOPE(3),
    SCOPE(4),
    SCOPE(5),
};
_Static_assert(SCOPE_COUNT == 6, "a scope without a place in the encoding");

#define SHIPMENT(kind, f) CODEC_PLAIN(kind, struct chain, shipment.f)
static const struct codec_field shipment_fields[] = {
    SHIPMENT(TEXT, id),           SHIPMENT(TEXT, from_org),   SHIPMENT(TEXT, to_org),
    SHIPMENT(TEXT, logger),       SHIPMENT(DEC, min_c),       SHIPMENT(DEC, max_c),
    SHIPMENT(I64, dispatched_us), SHIPMENT(I64, handover_us), SHIPMENT(U32, remaining),
    SHIPMENT(BOOL, has_log),      SHIPMENT(BOOL, is_return),
};

#define CASE(kind, f) CODEC_PLAIN(kind, struct chain, kase.f)
static const struct codec_field case_fields[] = {
    CASE(TEXT, id),
    CODEC_RANGE(struct chain, kase.type, CASE_DEVIATION, CASE_RECALL),
    CASE(BOOL, open),
    CASE(U64, opened),
    CASE(U64, closed),
    CASE(OPT, item),
    CASE(BOOL, has_start),
    CODEC_GUARDED(I64, struct chain, kase.start_us, kase.has_start),
    CASE(OPT, shipment),
    CASE(U64, episode_first),
    CODEC_RANGE(struct chain, kase.outcome, 0, OUTCOME_REJECT),
    CASE(BOOL, has_new_expiry),
    CODEC_GUARDED(I64, struct chain, kase.new_expiry_us, kase.has_new_expiry),
    CASE(OPT, class_),
};

static const struct codec_field product_fields[] = {
    CODEC_PLAIN(TEXT, struct chain, product.id),
};

#define LEDGER(kind, f) CODEC_PLAIN(kind, struct chain, ledger.f)
static const struct codec_field ledger_fields[] = {
    LEDGER(TEXT, origin),       LEDGER(U64, epoch),          LEDGER(U16, format_version),
    LEDGER(U16, rules_version), LEDGER(TEXT, log_key),       LEDGER(I64, clock_tolerance_us),
    LEDGER(U32, heartbeat_s),   LEDGER(U32, event_size_max), LEDGER(U32, batch_events_max),
    LEDGER(I64, clock_us),
};
static const struct codec_field ledger_fields_2[] = {
    LEDGER(U64, log_key_from),
    LEDGER(OPT, parameters),
};
static const struct codec_table ledger_more = CODEC_TABLE(ledger_fields_2);

/* One row for each chain type: its name, its fixed fields, its logs and their names. */
struct type_def {
    const char *name;
    struct codec_table table;
    size_t id;   /* offset of the id in the state */
    size_t logs; /* offset of the frontiers */
    unsigned n_logs;
    const char *log_names[ITEM_LOGS];
};
static const struct type_def type_defs[] = {
    [CHAIN_ITEM] = {"item",
                    CODEC_TABLE(item_fields),
                    offsetof(struct chain, item.id),
                    offsetof(struct chain, item.logs),
                    ITEM_LOGS,
                    {"required", "inputs", "uses", "units", "outcomes", "excursions", "cases",
                     "corrections"}},
    [CHAIN_PARTY] =
        {"party", CODEC_TABLE(party_fields), offsetof(struct chain, party.id), 0, 0, {NULL}},
    [CHAIN_SUBJECT] = {"subject",
                       CODEC_TABLE(subject_fields),
                       offsetof(struct chain, subject.id),
                       offsetof(struct chain, subject.logs),
                       SUBJECT_LOGS,
                       {"items", "corrections"}},
    [CHAIN_SHIPMENT] = {"shipment",
                        CODEC_TABLE(shipment_fields),
                        offsetof(struct chain, shipment.id),
                        offsetof(struct chain, shipment.logs),
                        SHIPMENT_LOGS,
                        {"items"}},
    [CHAIN_CASE] = {"case",
                    CODEC_TABLE(case_fields),
                    offsetof(struct chain, kase.id),
                    offsetof(struct chain, kase.logs),
                    CASE_LOGS,
                    {"items", "corrections"}},
    [CHAIN_PRODUCT] = {"product",
                       CODEC_TABLE(product_fields),
                       offsetof(struct chain, product.id),
                       offsetof(struct chain, product.logs),
                       PRODUCT_LOGS,
                       {"versions"}},
    [CHAIN_LEDGER] =
        {"ledger", CODEC_TABLE(ledger_fields), offsetof(struct chain, ledger.origin), 0, 0, {NULL}},
};

static const struct type_def *type_def(enum chain_type t)
{
    return t >= CHAIN_ITEM && t <= CHAIN_LEDGER ? &type_defs[t] : NULL;
}

const char *chain_type_name(enum chain_type t)
{
    const struct type_def *d = type_def(t);
    return d ? d->name : "?";
}

const char *state_log_name(enum chain_type t, unsigned log)
{
    const struct type_def *d = type_def(t);
    return d && log < d->n_logs ? d->log_names[log] : NULL;
}

void chain_key(struct crypto *c, const struct hash *index_key, enum chain_type t, struct span id,
               struct hash *out)
{
    uint8_t type = (uint8_t)t;
    struct hfield f[] = {HFIX(&type, 1), HVAR(id)};
    crypto_labelled_hmac(c, span_of(index_key->b, HASH_LEN), LABEL_CHAIN_KEY, f, 2, out);
}

unsigned state_logs(struct chain *ch, struct frontier **logs)
{
    const struct type_def *d = type_def(ch->type);
    LEDGER_REQUIRE(d != NULL);
    void *at = (uint8_t *)ch + d->logs;
    *logs = d->n_logs > 0 ? at : NULL;
    return d->n_logs;
}

/* ---- states ---- */

static uint8_t version_of(const struct chain *ch)
{
    bool later = ch->type == CHAIN_LEDGER && (ch->ledger.log_key_from || ch->ledger.parameters.p);
    return later ? STATE_VERSION_LEDGER : STATE_VERSION;
}

static void write_fields(const struct type_def *d, const struct chain *ch, struct wbuf *w)
{
    uint8_t version = version_of(ch);
    wbuf_u8(w, (uint8_t)ch->type);
    wbuf_u8(w, version);
    codec_write(&d->table, ch, w);
    if (version == STATE_VERSION_LEDGER)
        codec_write(&ledger_more, ch, w);
}

static const struct type_def *def_of(const struct chain *ch)
{
    const struct type_def *d = type_def(ch->type);
    LEDGER_REQUIRE(d != NULL);
    return d;
}

static const struct frontier *logs_of(const struct type_def *d, const struct chain *ch)
{
    const void *logs = (const uint8_t *)ch + d->logs;
    return logs;
}

static void write_peaks(const struct frontier *f, unsigned n, struct wbuf *w)
{
    for (unsigned i = 0; i < n; i++) {
        wbuf_u64(w, f[i].size);
        wbuf_bytes(w, f[i].peaks, frontier_peaks(&f[i]) * HASH_LEN);
    }
}

static void write_roots(struct crypto *c, const struct frontier *f, unsigned n, struct wbuf *w)
{
    for (unsigned i = 0; i < n; i++) {
        struct hash root;
        wbuf_u64(w, f[i].size);
        frontier_root(c, &f[i], &root);
        wbuf_hash(w, &root);
    }
}

static void write_sizes(const struct frontier *f, unsigned n, struct wbuf *w)
{
    for (unsigned i = 0; i < n; i++)
        wbuf_u64(w, f[i].size);
}

void state_encode(struct crypto *c, const struct chain *ch, bool stored, struct wbuf *w)
{
    const struct type_def *d = def_of(ch);
    write_fields(d, ch, w);
    if (stored)
        write_peaks(logs_of(d, ch), d->n_logs, w);
    else
        write_roots(c, logs_of(d, ch), d->n_logs, w);
}

void state_encode_compact(const struct chain *ch, struct wbuf *w)
{
    const struct type_def *d = def_of(ch);
    write_fields(d, ch, w);
    write_sizes(logs_of(d, ch), d->n_logs, w);
}

struct span state_fields(struct arena *a, const struct chain *ch)
{
    struct wbuf w;
    wbuf_init(&w, a);
    write_fields(def_of(ch), ch, &w);
    return wbuf_span(&w);
}

void state_compact(const struct chain *ch, struct span fields, struct wbuf *w)
{
    const struct type_def *d = def_of(ch);
    wbuf_bytes(w, fields.p, fields.n);
    write_sizes(logs_of(d, ch), d->n_logs, w);
}

void state_compact_before(const struct chain *ch, struct wbuf *w)
{
    const struct stored_state *s = &ch->before;
    struct rbuf r;
    rbuf_init(&r, s->bytes);
    struct span fields = rbuf_bytes(&r, s->fields_n);
    wbuf_bytes(w, fields.p, fields.n);
    while (r.n && !r.failed) {
        const struct frontier f = {.size = rbuf_u64(&r)};
        wbuf_u64(w, f.size);
        rbuf_bytes(&r, frontier_peaks(&f) * HASH_LEN);
    }
    LEDGER_REQUIRE(!r.failed); /* it was decoded once */
}

static bool read_log(struct rbuf *r, struct frontier *f)
{
    f->size = rbuf_u64(r);
    size_t n = frontier_peaks(f);
    struct span s = rbuf_bytes(r, n * HASH_LEN);
    if (r->failed)
        return false;
    if (n > 0)
        memcpy(f->peaks, s.p, n * HASH_LEN);
    return true;
}

/* A later version is used only for what the earlier one cannot say: one encoding a state. */
static bool read_fields(const struct type_def *d, enum chain_type t, uint8_t version, struct rbuf *r, struct chain *out)
{
    if (!codec_read(&d->table, r, out))
        return false;
    out->type = t;
    if (t == CHAIN_LEDGER) {
        out->ledger.log_key_from = 0;
        out->ledger.parameters = SPAN_NONE;
    }
    return version == STATE_VERSION || (codec_read(&ledger_more, r, out) && version_of(out) == version);
}

static enum ledger_rc decode(enum chain_type t, struct span bytes, bool compact, struct chain *out, size_t *fields_n,
                             struct ledger_err *err)
{
    const struct type_def *d = type_def(t);
    struct rbuf r;
    struct frontier *logs;
    if (!d) /* the type may be somebody else's word, as the bytes are */
        return ledger_fail(err, LEDGER_EINVAL, "there is no chain type %u", (unsigned)t);
    rbuf_init(&r, bytes);
    uint8_t type = rbuf_u8(&r), version = rbuf_u8(&r);
    if (r.failed || type != (uint8_t)t)
        return ledger_fail(err, LEDGER_EINVAL, "not a state of type %s", d->name);
    if (version > (t == CHAIN_LEDGER ? STATE_VERSION_LEDGER : STATE_VERSION))
        return ledger_fail(err, LEDGER_EVERSION, "%s state of version %u", d->name, version);
    if (version == 0 || !read_fields(d, t, version, &r, out))
        return ledger_fail(err, LEDGER_EINVAL, "malformed %s state", d->name);
    *fields_n = bytes.n - r.n;
    unsigned n = state_logs(out, &logs);
    for (unsigned i = 0; i < n; i++) {
        if (compact)
            logs[i].size = rbuf_u64(&r);
        else if (!read_log(&r, &logs[i]))
            return ledger_fail(err, LEDGER_EINVAL, "malformed log \"%s\" of a %s state",
                               d->log_names[i], d->name);
    }
    if (!rbuf_done(&r))
        return ledger_fail(err, LEDGER_EINVAL, "bytes after the end of a %s state", d->name);
    return LEDGER_OK;
}

enum ledger_rc state_decode(enum chain_type t, struct span stored, struct chain *out, struct ledger_err *err)
{
    out->before.bytes = stored;
    return decode(t, stored, false, out, &out->before.fields_n, err);
}

enum ledger_rc state_decode_compact(enum chain_type t, struct span compact, struct chain *out, struct ledger_err *err)
{
    size_t fields_n;
    return decode(t, compact, true, out, &fields_n, err);
}

void state_salt(struct crypto *c, struct span nonce, const struct hash *key, struct hash *out)
{
    struct hfield f[] = {HFIX(key->b, HASH_LEN)};
    crypto_labelled_hmac(c, nonce, LABEL_SALT, f, 1, out);
}

bool state_commit_fields(struct crypto *c, struct arena *a, const struct chain *ch, struct span fields, uint64_t seq,
                         const struct hash *salt, struct hash *out)
{
    const struct type_def *d = def_of(ch);
    struct arena_mark mark = arena_mark(a);
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u16(&w, RULES_VERSION);
    wbuf_hash(&w, &ch->key);
    wbuf_u64(&w, seq);
    wbuf_hash(&w, salt);
    wbuf_u32(&w, (uint32_t)(fields.n + d->n_logs * (sizeof(uint64_t) + HASH_LEN))); /* of the state, which is variable */
    wbuf_bytes(&w, fields.p, fields.n);
    write_roots(c, logs_of(d, ch), d->n_logs, &w);
    bool ok = fields.p && !w.failed;
    if (ok) {
        const struct hfield f = HFIX(w.p, w.n);
        crypto_labelled(c, LABEL_STATE, &f, 1, out);
    }
    arena_release(a, mark);
    return ok;
}

bool state_commit(struct crypto *c, struct arena *a, const struct chain *ch, uint64_t seq,
                  const struct hash *salt, struct hash *out)
{
    struct arena_mark mark = arena_mark(a);
    bool ok = state_commit_fields(c, a, ch, state_fields(a, ch), seq, salt, out);
    arena_release(a, mark);
    return ok;
}

bool state_commit_decoded(struct crypto *c, struct arena *a, const struct chain *ch, uint64_t seq, const struct hash *salt,
                          struct hash *out)
{
    return state_commit_fields(c, a, ch, span_of(ch->before.bytes.p, ch->before.fields_n), seq, salt, out);
}

/* ---- chain records ---- */

void chain_clear_head(struct chain *ch)
{
    memset(ch, 0, offsetof(struct chain, item));
}

void chain_clear_state(struct chain *ch)
{
    memset((uint8_t *)ch + offsetof(struct chain, item), 0, sizeof *ch - offsetof(struct chain, item));
}

static const char *const case_prefixes[] = {"", "deviation/", "excursion/", "recall/"};

static struct span own_id(const struct chain *ch)
{
    const struct type_def *d = type_def(ch->type);
    struct span own;
    LEDGER_REQUIRE(d != NULL);
    memcpy(&own, (const uint8_t *)ch + d->id, sizeof own);
    return own;
}

struct span state_chain_id(struct arena *a, const struct chain *ch)
{
    struct span own = own_id(ch);
    struct wbuf w;
    if (ch->type != CHAIN_CASE)
        return own;
    wbuf_init(&w, a);
    wbuf_bytes(&w, case_prefixes[ch->kase.type], strlen(case_prefixes[ch->kase.type]));
    wbuf_bytes(&w, own.p, own.n);
    return wbuf_span(&w);
}

/* Does the chain's id say the same as the state's own? */
static bool id_agrees(const struct chain *ch)
{
    struct span own = own_id(ch), id = ch->id;
    if (ch->type == CHAIN_CASE) {
        struct span prefix = span_str(case_prefixes[ch->kase.type]);
        if (id.n < prefix.n || !span_eq(span_of(id.p, prefix.n), prefix))
            return false;
        id = span_of(id.p + prefix.n, id.n - prefix.n);
    }
    return span_eq(id, own);
}

struct span chain_record_join(struct arena *a, const struct chain *ch, struct span fields)
{
    const struct type_def *d = def_of(ch);
    struct wbuf state, w;
    wbuf_init(&state, a);
    wbuf_bytes(&state, fields.p, fields.n);
    write_peaks(logs_of(d, ch), d->n_logs, &state);
    wbuf_init(&w, a);
    wbuf_u8(&w, (uint8_t)ch->type);
    wbuf_str(&w, ch->id);
    wbuf_u64(&w, ch->count);
    wbuf_u64(&w, ch->head_index);
    wbuf_hash(&w, &ch->head);
    wbuf_hash(&w, &ch->salt);
    wbuf_str(&w, wbuf_span(&state));
    wbuf_str(&w, ch->history);
    return state.failed || !fields.p ? SPAN_NONE : wbuf_span(&w);
}

struct span chain_record_encode(struct arena *a, const struct chain *ch)
{
    return chain_record_join(a, ch, state_fields(a, ch));
}

enum ledger_rc chain_record_decode(struct span bytes, struct chain *out, struct ledger_err *err)
{
    struct rbuf r;
    rbuf_init(&r, bytes);
    uint8_t type = rbuf_u8(&r);
    out->id = rbuf_str(&r);
    out->count = rbuf_u64(&r);
    out->head_index = rbuf_u64(&r);
    out->head = rbuf_hash(&r);
    out->salt = rbuf_hash(&r);
    struct span state = rbuf_str(&r);
    out->history = rbuf_str(&r);
    if (!rbuf_done(&r) || !type_def((enum chain_type)type) || out->count == 0)
        return ledger_fail(err, LEDGER_EINVAL, "malformed chain record");
    enum ledger_rc rc = decode((enum chain_type)type, state, false, out, &out->before.fields_n, err);
    if (rc != LEDGER_OK)
        return ledger_wrap(err, rc, "chain record");
    if (!id_agrees(out))
        return ledger_fail(err, LEDGER_EINVAL, "chain record and state disagree about the id");
    out->exists = true;
    out->before.bytes = state;
    return LEDGER_OK;
}

enum ledger_rc chain_record_front(struct span bytes, struct chain_front *out, struct ledger_err *err)
{
    struct rbuf r;
    rbuf_init(&r, bytes);
    (void)rbuf_u8(&r);   /* type */
    (void)rbuf_str(&r);  /* id */
    out->count = rbuf_u64(&r);
    (void)rbuf_u64(&r);  /* head's index */
    out->head = rbuf_hash(&r);
    (void)rbuf_hash(&r); /* salt */
    (void)rbuf_str(&r);  /* state */
    out->history = rbuf_str(&r);
    return rbuf_done(&r) ? LEDGER_OK : ledger_fail(err, LEDGER_EINVAL, "malformed chain record");
}
