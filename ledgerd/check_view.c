/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_view: the stored view against the derived one, both ways: nothing missing, nothing else,
 * nothing extra. What is wrong is named as a person would look for it: the entry, the chain, the
 * place in the tree.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check_internal.h"
#include "opening.h"
#include "state_history.h"

static const char *const table_names[KV_TABLES] = {
    "log",       "meta",        "chain record", "member", "key holder",
    "reference", "event index", "chain map",    "tree",   "checkpoint",
};

void check_differ(struct check *k, uint64_t index, const char *what, const char *fmt, ...)
{
    char text[240];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (k->differences < DIFFERENCES_KEPT)
        verdict_bad(&k->first[k->differences], VERDICT_TAMPERED, index, what, "%s", text);
    k->differences++;
}

/* "state of item BAG-1": from a chain record, derived or stored. Gives the chain's latest entry. */
static uint64_t name_chain(struct span record, const char *of, char *out, size_t size)
{
    struct chain ch;
    if (chain_record_decode(record, &ch, NULL))
        return VERDICT_NO_INDEX;
    snprintf(out, size, "%s %s %.*s", of, chain_type_name(ch.type), (int)(ch.id.n > 40 ? 40 : ch.id.n), (const char *)ch.id.p);
    return ch.head_index;
}

/* The party whose chain has this id, and the entry that gave it its key: by the stored chain, since the derived ones cannot be asked while
 * they are sent to check_sink. */
static uint64_t name_holder(struct check *k, struct span id, char *out, size_t size)
{
    struct machine *m = &k->tail.m;
    struct span record;
    struct chain ch;
    struct hash key;
    chain_key(m->c, &m->index_key, CHAIN_PARTY, id, &key);
    if (kv_get(&k->stored, KV_CHAIN, span_of(key.b, HASH_LEN), &record) || chain_record_decode(record, &ch, NULL))
        return VERDICT_NO_INDEX;
    snprintf(out, size, "key holder %.*s", (int)(id.n > 40 ? 40 : id.n), (const char *)id.p);
    return ch.party.key_index;
}

static bool chain_of_member(struct check *k, struct span key, struct span *record)
{
    struct kv derived = kv_mem_kv(k->derived);
    struct span chain = span_of(key.p, key.n < HASH_LEN ? key.n : HASH_LEN);
    return kv_get(&derived, KV_CHAIN, chain, record) == LEDGER_OK;
}

static uint64_t number_of(struct span s, size_t skip)
{
    struct rbuf r;
    rbuf_init(&r, s);
    rbuf_bytes(&r, skip);
    uint64_t n = rbuf_u64(&r);
    return r.failed ? VERDICT_NO_INDEX : n;
}

/* Which row it is, and which entry it is about if that can be told. `value` is what was derived, or
 * stored if nothing was. */
static uint64_t name_row(struct check *k, enum kv_table t, struct span key, struct span value,
                         char *what, size_t size)
{
    struct span record;
    const struct machine *m = &k->tail.m;
    snprintf(what, size, "%s", table_names[t]);
    switch (t) {
    case KV_LOG:
        return number_of(key, 0);
    case KV_CHECKPOINT: {
        uint64_t n = number_of(key, 0);
        return n && n != VERDICT_NO_INDEX ? n - 1 : VERDICT_NO_INDEX;
    }
    case KV_EVENT:
    case KV_REFERENCE:
        return number_of(value, 0);
    case KV_TREE:
        snprintf(what, size, "tree, level %u", key.n == 9 ? key.p[8] : 0u);
        return number_of(key, 0);
    case KV_MEMBER:
        if (!k->replayed) /* the entry that is being replayed is the one that made it */
            return m->size;
        return chain_of_member(k, key, &record) ? name_chain(record, "member of", what, size) : VERDICT_NO_INDEX;
    case KV_CHAIN:
        return name_chain(value, "state of", what, size);
    case KV_META:
        snprintf(what, size, "meta \"%.*s\"", (int)(key.n > 30 ? 30 : key.n), (const char *)key.p);
        return m->seal;
    case KV_KEYHOLDER:
        return name_holder(k, value, what, size);
    case KV_MAP: /* of the last seal */
        return m->seal;
    case KV_TABLES:
        break;
    }
    return VERDICT_NO_INDEX;
}

bool check_row(struct check *k, enum kv_table t, struct span key, struct span value)
{
    struct span stored;
    char what[64];
    enum ledger_rc rc = kv_get(&k->stored, t, key, &stored);
    if (rc == LEDGER_OK && span_eq(stored, value))
        return true;
    uint64_t index = name_row(k, t, key, value, what, sizeof what);
    check_differ(k, index, what, "%s",
                 rc == LEDGER_OK ? "what is stored is not what follows from the log"
                                 : "is missing from the store");
    return false;
}

size_t check_nodes_in(struct span row)
{
    size_t n = row.n / HASH_LEN;
    while (n && memcmp(row.p + (n - 1) * HASH_LEN, HASH_ZERO.b, HASH_LEN) == 0)
        n--;
    return n;
}

bool check_node(struct check *k, struct span key, struct span row)
{
    struct span stored;
    char what[64];
    size_t n = check_nodes_in(row), at = (n - 1) * HASH_LEN;
    enum ledger_rc rc = kv_get(&k->stored, KV_TREE, key, &stored);
    bool row_there = rc == LEDGER_OK && stored.n == row.n;
    if (row_there && memcmp(stored.p + at, row.p + at, HASH_LEN) == 0)
        return true;
    uint64_t first = name_row(k, KV_TREE, key, row, what, sizeof what);
    if (row_there || n == 1) /* a row that is not there is told once */
        check_differ(k, first + ((uint64_t)(n - 1) << key.p[8]), what, "%s",
                     rc == LEDGER_OK ? "what is stored is not what follows from the log" : "is missing from the store");
    return false;
}

/* Nothing stands behind a level's last node. */
static void check_row_ends(struct check *k)
{
    uint8_t key[KV_KEY_MAX];
    char what[64];
    const uint64_t size = k->tail.m.size;
    for (unsigned level = 0; level < 64 && size >> level; level += MERKLE_STEP)
        if ((size >> level) % MERKLE_ROW && !kv_tree_ends(&k->stored, size, level)) /* a whole row that is not to be there was met already */
            check_differ(k, name_row(k, KV_TREE, kv_key_tree(key, level, size >> level), SPAN_NONE, what, sizeof what), what,
                         "has nodes that do not follow from the log");
}

/* ---- rows that change: scan what is stored, then look for what was not met ---- */

struct scan {
    struct check *k;
    enum kv_table t;
    uint64_t met;
};

static bool scan_changing(void *ctx, struct span key, struct span value)
{
    struct scan *sc = ctx;
    struct check *k = sc->k;
    struct kv derived = kv_mem_kv(k->derived);
    struct span want;
    char what[64];
    if (kv_get(&derived, sc->t, key, &want) == LEDGER_OK) {
        sc->met++;
        if (span_eq(want, value)) {
            k->tally.rows[sc->t]++;
            return true;
        }
        check_differ(k, name_row(k, sc->t, key, want, what, sizeof what), what,
                     "what is stored is not what follows from the log");
        return true;
    }
    check_differ(k, name_row(k, sc->t, key, value, what, sizeof what), what,
                 "is stored, but does not follow from the log");
    return true;
}

static enum ledger_rc compare_changing(struct check *k, enum kv_table t, bool *missing,
                                       struct ledger_err *err)
{
    struct scan sc = {.k = k, .t = t};
    enum ledger_rc rc = store_scan(k->sn, t, SPAN_NONE, scan_changing, &sc, err);
    *missing |= sc.met != k->distinct[t];
    return rc;
}

static enum ledger_rc sink_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    (void)ctx, (void)t, (void)key, (void)value;
    return LEDGER_ENOTFOUND;
}

/* Where derived rows go at the end, if some of them were not met: it names those that are not
 * stored. */
static enum ledger_rc sink_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    struct check *k = ctx;
    struct span stored;
    char what[64];
    bool changing = t == KV_META || t == KV_CHAIN || t == KV_MAP || t == KV_KEYHOLDER;
    if (changing && kv_get(&k->stored, t, key, &stored) != LEDGER_OK)
        check_differ(k, name_row(k, t, key, value, what, sizeof what), what,
                     "is missing from the store");
    return LEDGER_OK;
}

struct kv check_sink(struct check *k)
{
    return (struct kv){k, sink_get, sink_put};
}

/* ---- rows that only come: all derived ones were compared; are there others? ---- */

static bool index_is_derived(struct check *k, enum kv_table t, struct span key, struct span value)
{
    struct entry_record r;
    struct header h;
    struct event ev;
    struct sigblock b;
    uint8_t want[KV_KEY_MAX];
    uint64_t index = number_of(value, 0);
    struct machine *m = &k->tail.m;
    arena_reset(m->a);
    if (value.n != 8 || index >= m->size || log_read(&k->stored, index, &r, NULL) ||
        header_decode(m->a, r.header, &h, NULL) || (h.kind < EVENT_KIND_FIRST && !own_kind_signed(h.kind)))
        return false;
    if (t == KV_EVENT)
        return span_eq(key, kv_key_index(&h.event_id));
    if (r.erased_by) {
        struct opening o;
        return opening_decode(m->a, r.opening, &o, NULL) == LEDGER_OK && o.has_reference &&
               span_eq(key, kv_key_index(&o.reference));
    }
    struct judge j = {.c = m->c, .a = m->a, .kv = &m->kv, .index_key = &m->index_key, .wire = true};
    if (event_decode(m->c, m->a, r.event, &ev, NULL, NULL) || sigblock_decode(r.block, &b, NULL))
        return false;
    return span_eq(key,
                   judge_reference_key(&j, b.n ? b.sigs[0].party : SPAN_NONE, ev.reference, want));
}

static bool member_is_derived(struct check *k, struct span key)
{
    struct span record;
    struct chain ch;
    struct frontier *logs;
    if (key.n != HASH_LEN + 9 || !chain_of_member(k, key, &record) ||
        chain_record_decode(record, &ch, NULL))
        return false;
    unsigned n = state_logs(&ch, &logs), log = key.p[HASH_LEN];
    if (log == MEMBER_HISTORY)
        return history_row_stored(number_of(key, HASH_LEN + 1), ch.count);
    return log < n && number_of(key, HASH_LEN + 1) < logs[log].size;
}

static bool row_is_derived(struct check *k, enum kv_table t, struct span key, struct span value)
{
    const struct machine *m = &k->tail.m;
    uint64_t n = number_of(key, 0);
    if (t == KV_LOG)
        return key.n == 8 && n < m->size;
    if (t == KV_MEMBER)
        return member_is_derived(k, key);
    if (t == KV_EVENT || t == KV_REFERENCE)
        return index_is_derived(k, t, key, value);
    if (t == KV_TREE)
        return key.n == 9 && key.p[8] < 64 && key.p[8] % MERKLE_STEP == 0 && n >> key.p[8] < m->size >> key.p[8] &&
               n % ((uint64_t)1 << key.p[8]) == 0 && (n >> key.p[8]) % MERKLE_ROW == 0;
    struct entry_record r; /* a checkpoint belongs to each seal */
    struct header h;
    arena_reset(m->a);
    return key.n == 8 && n > 0 && n <= m->size &&
           log_read(&k->stored, n - 1, &r, NULL) == LEDGER_OK &&
           header_decode(m->a, r.header, &h, NULL) == LEDGER_OK && h.kind == OWN_SEAL;
}

static bool scan_growing(void *ctx, struct span key, struct span value)
{
    struct scan *sc = ctx;
    char what[64];
    if (!row_is_derived(sc->k, sc->t, key, value))
        check_differ(sc->k, name_row(sc->k, sc->t, key, value, what, sizeof what), what,
                     "is stored, but does not follow from the log");
    return true;
}

/* The number of rows says whether there are others; only then are they searched for. */
static enum ledger_rc compare_growing(struct check *k, enum kv_table t, struct ledger_err *err)
{
    uint64_t stored = 0, before = k->differences;
    struct scan sc = {.k = k, .t = t};
    enum ledger_rc rc = store_count(k->sn, t, &stored, err);
    if (rc == LEDGER_ETAMPER) {
        check_differ(k, VERDICT_NO_INDEX, table_names[t], "rows of it are malformed");
        return LEDGER_OK;
    }
    if (rc || stored == k->distinct[t])
        return rc;
    rc = store_scan(k->sn, t, SPAN_NONE, scan_growing, &sc, err);
    if (!rc && before == k->differences && stored > k->distinct[t])
        check_differ(k, VERDICT_NO_INDEX, table_names[t],
                     "%llu rows are stored, %llu follow from the log", (unsigned long long)stored,
                     (unsigned long long)k->distinct[t]);
    return rc;
}

enum ledger_rc check_view(struct check *k, struct ledger_err *err)
{
    static const enum kv_table changing[] = {KV_META, KV_CHAIN, KV_KEYHOLDER, KV_MAP};
    static const enum kv_table growing[] = {KV_LOG,   KV_MEMBER, KV_REFERENCE,
                                            KV_EVENT, KV_TREE,   KV_CHECKPOINT};
    bool missing = false;
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < 4 && !rc; i++)
        rc = compare_changing(k, changing[i], &missing, err);
    for (size_t i = 0; i < 6 && !rc; i++)
        rc = compare_growing(k, growing[i], err);
    if (!rc)
        check_row_ends(k);
    if (!rc && missing)
        rc = kv_mem_flush(k->derived, err);
    return rc;
}
