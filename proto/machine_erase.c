/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_erase: what an ERASURE does to the records that it names, and the replay of an erased event.
 *
 * Everything is decided by headers, states and lists, never by the content: a replayer that comes after the erasure must come to the
 * same decision. That is why a corrected event can only be erased with its corrections (which repeat what it said), and why a correction of
 * an erased event is refused (rules/corrections.c).
 */
#include <stdio.h>
#include <string.h>

#include "machine_internal.h"

#define US_PER_DAY INT64_C(86400000000)
#define RETENTION_DATED_DAYS 100000 /* beyond it a date says nothing to anybody */

struct target {
    const struct hash *id;
    uint64_t index;
    struct entry_record record;
    struct header h;
};

static enum ledger_rc refused(struct refusal *why, enum refusal_code code, const struct hash *id, const char *text)
{
    char name[16 + 2 * HASH_LEN] = "event ";
    hex_encode(span_of(id->b, HASH_LEN), name + 6);
    refuse(why, code, name, "events", "%s", text);
    return LEDGER_EREFUSED;
}

static bool named(const struct erasure *e, const uint8_t *id)
{
    for (unsigned i = 0; i < e->n; i++)
        if (memcmp(e->ids + (size_t)i * HASH_LEN, id, HASH_LEN) == 0)
            return true;
    return false;
}

static enum ledger_rc read_record(struct machine *m, uint64_t index, struct entry_record *out, struct header *h, struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    struct span v;
    enum ledger_rc rc = kv_get(&m->kv, KV_LOG, kv_key_u64(key, index), &v);
    v = rc ? SPAN_NONE : arena_copy(m->a, v); /* outlives the puts */
    if (!rc && !v.p)
        rc = LEDGER_ENOMEM;
    if (!rc && !entry_record_split(v, out))
        rc = LEDGER_ETAMPER;
    if (rc)
        return ledger_fail(err, rc, "erasure: entry %llu: %s", (unsigned long long)index, ledger_rc_text(rc));
    return header_decode(m->a, out->header, h, err);
}

static enum ledger_rc find_target(struct machine *m, struct target *t, struct refusal *why, struct ledger_err *err)
{
    struct span v;
    struct rbuf r;
    enum ledger_rc rc = kv_get(&m->kv, KV_EVENT, kv_key_index(t->id), &v);
    if (rc == LEDGER_ENOTFOUND)
        return refused(why, E_ERASE_TARGET, t->id, "this is no event of this ledger");
    if (rc)
        return ledger_fail(err, rc, "erasure: %s", ledger_rc_text(rc));
    rbuf_init(&r, v);
    t->index = rbuf_u64(&r);
    rc = read_record(m, t->index, &t->record, &t->h, err);
    return rc || hash_eq(&t->h.event_id, t->id) ? rc : refused(why, E_ERASE_TARGET, t->id, "this is no event of this ledger");
}

static enum ledger_rc check_retention(const struct target *t, const struct parameters *p, int64_t recorded_us, struct refusal *why)
{
    char text[160], until[TIME_TEXT_MAX] = "";
    for (unsigned i = 0; i < p->n_retentions; i++) {
        const struct retention *r = &p->retentions[i];
        /* Divided, because the days of a rule may be more than an instant can hold. */
        if (r->kind != t->h.kind || (recorded_us - t->h.recorded_us) / US_PER_DAY >= r->days)
            continue;
        if (r->days <= RETENTION_DATED_DAYS)
            time_format(t->h.recorded_us + r->days * US_PER_DAY, until);
        snprintf(text, sizeof text, "events of kind %s are kept for %u days after their recording%s%s", entry_kind_name(t->h.kind), r->days,
                 until[0] ? ": this one until " : "", until);
        return refused(why, E_RETAINED, t->id, text);
    }
    return LEDGER_OK;
}

/* Is one list member a correction of the target that is neither named nor erased? */
static enum ledger_rc check_correction(struct machine *m, const struct erasure *e, const struct target *t, struct span member,
                                       struct refusal *why, struct ledger_err *err)
{
    struct correction x;
    struct entry_record record;
    struct header h;
    char text[200], hex[2 * HASH_LEN + 1];
    if (!correction_decode(member, &x))
        return ledger_fail(err, LEDGER_ETAMPER, "erasure: a correction does not decode");
    if (!hash_eq(&x.target, t->id))
        return LEDGER_OK;
    enum ledger_rc rc = read_record(m, x.index, &record, &h, err);
    if (rc || named(e, h.event_id.b) || (record.erased_by && record.erased_by < m->size))
        return rc;
    hex_encode(span_of(h.event_id.b, HASH_LEN), hex);
    snprintf(text, sizeof text, "entry %llu corrects it and repeats what it said; name that event too: %s", (unsigned long long)x.index, hex);
    return refused(why, E_ERASE_TARGET, t->id, text);
}

/* Each chain that the target advanced and that keeps corrections tells all of them; the first such chain is asked. */
static enum ledger_rc check_corrections(struct machine *m, const struct erasure *e, const struct target *t, struct refusal *why,
                                        struct ledger_err *err)
{
    for (unsigned l = 0; l < t->h.n_links; l++) {
        struct chain *ch = arena_alloc(m->a, sizeof *ch);
        struct frontier *logs;
        uint8_t key[KV_KEY_MAX];
        struct span v;
        enum ledger_rc rc = ch ? kv_get(&m->kv, KV_CHAIN, span_of(t->h.links[l].chain.b, HASH_LEN), &v) : LEDGER_ENOMEM;
        if (!rc)
            rc = chain_record_decode(v, ch, err);
        if (rc)
            return ledger_fail(err, rc, "erasure: record of a chain: %s", ledger_rc_text(rc));
        unsigned n = state_logs(ch, &logs), log = 0;
        while (log < n && strcmp(state_log_name(ch->type, log), "corrections") != 0)
            log++;
        for (uint64_t i = 0; log < n && i < logs[log].size && !rc; i++) {
            rc = kv_get(&m->kv, KV_MEMBER, kv_key_member(key, &t->h.links[l].chain, log, i), &v);
            if (rc)
                return ledger_fail(err, LEDGER_ETAMPER, "erasure: a member is missing");
            rc = check_correction(m, e, t, arena_copy(m->a, v), why, err);
        }
        if (rc)
            return rc;
    }
    return LEDGER_OK;
}

static enum ledger_rc check_target(struct machine *m, const struct erasure *e, const struct parameters *p, const struct target *t,
                                   int64_t recorded_us, struct refusal *why, struct ledger_err *err)
{
    char text[80];
    if (t->h.kind < EVENT_KIND_FIRST)
        return refused(why, E_ERASE_TARGET, t->id, "this is an act of the ledger itself");
    if (t->h.kind == KIND_PARTY_REGISTERED)
        return refused(why, E_ERASE_TARGET, t->id, "a registration of a party cannot be erased: signatures stand on it");
    if (t->record.erased_by && t->record.erased_by != m->size) {
        snprintf(text, sizeof text, "it was erased under entry %llu", (unsigned long long)t->record.erased_by);
        return refused(why, E_ERASE_TARGET, t->id, text);
    }
    enum ledger_rc rc = check_retention(t, p, recorded_us, why);
    return rc ? rc : check_corrections(m, e, t, why, err);
}

/* What is made of the stored history has to open what the header commits to: the content, which could prove it otherwise, is about to go. */
static enum ledger_rc opens(struct machine *m, const struct target *t, const struct opening_part *part, struct ledger_err *err)
{
    struct chain *ch = arena_alloc(m->a, sizeof *ch);
    enum ledger_rc rc = ch ? opening_check(m->c, m->a, &m->index_key, &t->h, part, NULL, ch, err) : LEDGER_ENOMEM;
    return rc == LEDGER_EINVAL ? ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: entry %llu: what is stored of a chain's history does not open it",
                                             (unsigned long long)t->index) : rc;
}

/* The record with the opening in place of the content. */
static enum ledger_rc erase_record(struct machine *m, const struct target *t, struct ledger_err *err)
{
    struct event ev;
    struct sigblock b;
    struct refusal why;
    uint8_t key[KV_KEY_MAX];
    struct opening o = {.n = t->h.n_links, .has_reference = true};
    o.parts = arena_alloc(m->a, (o.n + 1) * sizeof *o.parts);
    if (!o.parts)
        return ledger_fail(err, LEDGER_ENOMEM, "erasure: out of memory");
    enum ledger_rc rc = event_decode(m->c, m->a, t->record.event, &ev, &why, err);
    if (!rc)
        rc = sigblock_decode(t->record.block, &b, err);
    if (rc)
        return ledger_fail(err, rc == LEDGER_EREFUSED ? LEDGER_ETAMPER : rc, "erasure: entry %llu does not decode",
                           (unsigned long long)t->index);
    struct judge j = {.c = m->c, .wire = m->wire};
    judge_reference_key(&j, b.n ? b.sigs[0].party : SPAN_NONE, ev.reference, o.reference.b);
    for (unsigned i = 0; i < o.n && !rc; i++) {
        rc = opening_make(m->c, m->a, &m->kv, &t->h, i, ev.nonce, &o.parts[i], err);
        if (!rc)
            rc = opens(m, t, &o.parts[i], err);
    }
    if (rc)
        return rc;
    struct entry_record erased = {.header = t->record.header, .opening = opening_encode(m->a, &o), .erased_by = m->size};
    if (!erased.opening.p)
        return ledger_fail(err, LEDGER_ENOMEM, "erasure: out of memory");
    return machine_put(m, KV_LOG, kv_key_u64(key, t->index), entry_record_join(m->a, &erased), err);
}

enum ledger_rc machine_erase_targets(struct machine *m, const struct erasure *e, int64_t recorded_us, struct refusal *why,
                                     struct ledger_err *err)
{
    struct parameters *p = arena_alloc(m->a, sizeof *p);
    struct target *targets = arena_alloc(m->a, e->n * sizeof *targets);
    if (!p || !targets)
        return ledger_fail(err, LEDGER_ENOMEM, "erasure: out of memory");
    enum ledger_rc rc = machine_parameters(m, p, err);
    for (unsigned i = 0; i < e->n && !rc; i++) {
        targets[i].id = (const struct hash *)(const void *)(e->ids + (size_t)i * HASH_LEN);
        rc = find_target(m, &targets[i], why, err);
        if (!rc)
            rc = check_target(m, e, p, &targets[i], recorded_us, why, err);
    }
    for (unsigned i = 0; i < e->n && !rc; i++) {
        if (targets[i].record.erased_by)
            m->erased_open--; /* a replay after the fact: it was waiting for this entry */
        else
            rc = erase_record(m, &targets[i], err);
    }
    return rc;
}

/* ---- replay ---- */

/*
 * The types of chains that an entry of this kind advances, at most (docs/rules.md, section 7). A state that comes from an opening is the word of
 * whoever has the log key, and nobody has judged it: it must not reach what the kind could never have changed, least of all a person's key.
 */
static unsigned may_advance(unsigned kind)
{
#define IS(type) (1u << CHAIN_##type)
    switch (kind) {
    case OWN_TIME_STAMP:
        return IS(LEDGER);
    case KIND_COI_ASSIGNED:
    case KIND_CONSENT_CHANGED:
        return IS(SUBJECT);
    case KIND_SPECIFICATION_SET:
        return IS(PRODUCT);
    case KIND_CUSTODY_TRANSFERRED:
        return IS(SHIPMENT);
    case KIND_MATERIAL_RECEIVED:
    case KIND_PROCESS_STEP:
    case KIND_INPUT_CONSUMED:
    case KIND_LOT_DERIVED:
    case KIND_LOT_SPLIT:
    case KIND_QC_RESULT:
    case KIND_QUALITY_DECISION:
    case KIND_STORAGE_MOVED:
        return IS(ITEM);
    case KIND_COLLECTION_PERFORMED:
    case KIND_LOT_CREATED:
    case KIND_ADMINISTERED:
    case KIND_ADVERSE_EVENT_REPORTED:
        return IS(ITEM) | IS(SUBJECT);
    case KIND_DEVIATION_CHANGED:
    case KIND_EXCURSION_ASSESSED:
    case KIND_RECALL_CHANGED:
        return IS(ITEM) | IS(CASE);
    case KIND_SHIPMENT_DISPATCHED:
    case KIND_LOT_DISPOSED:
        return IS(ITEM) | IS(SHIPMENT);
    case KIND_SHIPMENT_RECEIVED:
    case KIND_CONDITION_LOGGED:
        return IS(ITEM) | IS(SHIPMENT) | IS(CASE);
    case KIND_EVENT_CORRECTED: /* what its target advanced */
        return IS(ITEM) | IS(SUBJECT) | IS(SHIPMENT) | IS(CASE) | IS(PRODUCT);
    default:
        return 0; /* the rest of the ledger's own, and PARTY_REGISTERED, whose content is never left out */
    }
#undef IS
}

/* A time stamp advances the ledger's chain and changes nothing of it. */
static bool state_kept(struct machine *m, const struct chain *before, const struct chain *after)
{
    struct wbuf a, b;
    wbuf_init(&a, m->a);
    wbuf_init(&b, m->a);
    state_encode(m->c, before, true, &a);
    state_encode(m->c, after, true, &b);
    return before->exists && !a.failed && !b.failed && span_eq(wbuf_span(&a), wbuf_span(&b));
}

static enum ledger_rc open_link(struct machine *m, const struct header *h, const struct opening_part *part, struct advance *adv,
                                struct ledger_err *err)
{
    struct chain *before = arena_alloc(m->a, sizeof *before), *after = arena_alloc(m->a, sizeof *after);
    struct appended *members = arena_alloc(m->a, (part->n_members + 1) * sizeof *members);
    struct frontier *logs;
    struct span v;
    if (!before || !after || !members)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    if (part->link >= h->n_links)
        return ledger_fail(err, LEDGER_EINVAL, "opening: there is no link %u", part->link);
    enum ledger_rc rc = kv_get(&m->kv, KV_CHAIN, span_of(h->links[part->link].chain.b, HASH_LEN), &v);
    if (rc == LEDGER_OK) {
        v = arena_copy(m->a, v);
        rc = v.p ? chain_record_decode(v, before, err) : LEDGER_ENOMEM;
    } else if (rc == LEDGER_ENOTFOUND) {
        rc = LEDGER_OK;
    }
    if (!rc)
        rc = opening_check(m->c, m->a, &m->index_key, h, part, before, after, err);
    if (rc)
        return rc;
    if (!(may_advance(h->kind) >> after->type & 1) || (h->kind == OWN_TIME_STAMP && !state_kept(m, before, after)))
        return ledger_fail(err, LEDGER_EINVAL, "opening: an entry of kind %u cannot have changed a chain of type \"%s\" so", h->kind,
                           chain_type_name(after->type));
    after->count = before->count; /* as machine_append wants it: before the entry */
    after->head = before->head;
    after->before = before->before;
    after->history = before->history;
    uint64_t next[CHAIN_OPENED_LOGS] = {0};
    unsigned n = before->exists ? state_logs(before, &logs) : 0;
    for (unsigned i = 0; i < n; i++)
        next[i] = logs[i].size;
    for (size_t i = 0; i < part->n_members; i++)
        members[i] = (struct appended){i + 1 < part->n_members ? &members[i + 1] : NULL, part->members[i].log,
                                       next[part->members[i].log]++, part->members[i].bytes};
    *adv = (struct advance){.chain = after, .members = part->n_members ? members : NULL, .salt = part->salt};
    return LEDGER_OK;
}

enum ledger_rc machine_erased(struct machine *m, const struct header *recorded, const struct entry_record *r, struct appended_entry *out,
                              struct ledger_err *err)
{
    struct opening o;
    struct header h = {.kind = recorded->kind, .event_id = recorded->event_id, .block_hash = recorded->block_hash};
    uint8_t value[8];
    if (recorded->kind < EVENT_KIND_FIRST || recorded->kind == KIND_PARTY_REGISTERED || r->erased_by <= recorded->index)
        return ledger_fail(err, LEDGER_EINVAL, "an entry of this kind, or at this place, cannot have been erased");
    enum ledger_rc rc = opening_decode(m->a, r->opening, &o, err);
    if (rc)
        return rc;
    if (o.n != recorded->n_links || !o.has_reference)
        return ledger_fail(err, LEDGER_EINVAL, "the opening of an erased event must open all its links");
    struct advance *adv = arena_alloc(m->a, (o.n + 1) * sizeof *adv);
    if (!adv)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    for (size_t i = 0; i < o.n && !rc; i++)
        rc = o.parts[i].link == i ? open_link(m, recorded, &o.parts[i], &adv[i], err)
                                  : ledger_fail(err, LEDGER_EINVAL, "the opening of an erased event must open each link once");
    if (rc)
        return rc;
    if (recorded->recorded_us > m->recorded_us)
        m->recorded_us = recorded->recorded_us;
    struct content content = {.nonce = SPAN_NONE, .record = *r};
    rc = machine_append(m, &h, &content, adv, o.n, out, err);
    struct span v = kv_key_u64(value, out->index);
    if (!rc)
        rc = machine_put(m, KV_EVENT, kv_key_index(&h.event_id), v, err);
    if (!rc)
        rc = machine_put(m, KV_REFERENCE, kv_key_index(&o.reference), v, err);
    if (!rc)
        m->erased_open++;
    return rc;
}

enum ledger_rc machine_opened(struct machine *m, const struct header *recorded, const struct hash *leaf, const struct opening *o,
                              struct ledger_err *err)
{
    const struct appended_entry e = {.index = recorded->index, .leaf = *leaf};
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < o->n && !rc; i++) {
        struct advance adv;
        rc = open_link(m, recorded, &o->parts[i], &adv, err);
        if (!rc)
            rc = machine_save_chain(m, &adv, &e, err);
    }
    return rc;
}
