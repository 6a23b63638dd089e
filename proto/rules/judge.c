/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge: "Every event" of the rules, in its order, then the kind's own checks from the table, then
 * its effects. Nothing is changed before the last check has passed.
 *
 * Happy path: form (1–3), reference (4), signatures (5–9), time (10), the kind's check (11), its
 * effect; the touched chains are then put in the order of the rules' table at the head of
 * j->loaded. Failure modes: a refusal is told in *why and is EREFUSED; an error of the store or of
 * memory is j->rc.
 */
#include "judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rules/ruling.h"

static const struct kind_rules kinds[] = {
#define ROW(kind, name) [KIND_##kind - EVENT_KIND_FIRST] = {check_##name, effect_##name}
    ROW(PARTY_REGISTERED, party),
    ROW(COI_ASSIGNED, coi),
    ROW(CONSENT_CHANGED, consent),
    ROW(MATERIAL_RECEIVED, material),
    ROW(COLLECTION_PERFORMED, collection),
    ROW(SPECIFICATION_SET, specification),
    ROW(LOT_CREATED, lot),
    ROW(PROCESS_STEP, step),
    ROW(INPUT_CONSUMED, consumed),
    ROW(LOT_DERIVED, derived),
    ROW(LOT_SPLIT, split),
    ROW(QC_RESULT, result),
    ROW(DEVIATION_CHANGED, deviation),
    ROW(QUALITY_DECISION, decision),
    ROW(STORAGE_MOVED, moved),
    ROW(SHIPMENT_DISPATCHED, dispatched),
    ROW(CUSTODY_TRANSFERRED, handover),
    ROW(SHIPMENT_RECEIVED, received),
    ROW(CONDITION_LOGGED, logged),
    ROW(EXCURSION_ASSESSED, assessed),
    ROW(ADMINISTERED, administered),
    ROW(ADVERSE_EVENT_REPORTED, adverse),
    ROW(RECALL_CHANGED, recall),
    ROW(EVENT_CORRECTED, corrected),
    ROW(LOT_DISPOSED, disposed),
#undef ROW
};
_Static_assert(sizeof kinds / sizeof kinds[0] == EVENT_KIND_LAST - EVENT_KIND_FIRST + 1,
               "a kind without rules");

const struct kind_rules *kind_rules(enum event_kind kind)
{
    return kind >= EVENT_KIND_FIRST && kind <= EVENT_KIND_LAST ? &kinds[kind - EVENT_KIND_FIRST]
                                                               : NULL;
}

/* ---- chains ---- */

static struct loaded *out_of_memory(struct judge *j)
{
    j->rc = ledger_fail(&j->err, LEDGER_ENOMEM, "judging: over the memory budget");
    return NULL;
}

static bool read_chain(struct judge *j, struct chain *ch)
{
    struct span record;
    enum ledger_rc rc = kv_get(j->kv, KV_CHAIN, span_of(ch->key.b, HASH_LEN), &record);
    if (rc == LEDGER_ENOTFOUND)
        return true;
    if (rc == LEDGER_OK) {
        /* Copied: the caller writes to the kv while it still reads the states that come out of
         * here. */
        struct span copy = arena_copy(j->a, record);
        if (!copy.p)
            return out_of_memory(j) != NULL;
        rc = chain_record_decode(copy, ch, &j->err);
    }
    if (rc == LEDGER_OK)
        return true;
    j->rc =
        ledger_wrap(&j->err, rc, "judging: %s %.*s", chain_type_name(ch->type), SPAN_FMT(ch->id));
    return false;
}

struct loaded *judge_load(struct judge *j, enum chain_type t, struct span id)
{
    struct hash key;
    if (j->rc != LEDGER_OK)
        return NULL;
    chain_key(j->c, j->index_key, t, id, &key);
    for (struct loaded *ld = j->loaded; ld; ld = ld->next)
        if (hash_eq(&ld->chain.key, &key))
            return ld;
    struct loaded *ld = arena_alloc(j->a, sizeof *ld);
    if (!ld)
        return out_of_memory(j);
    ld->chain.type = t;
    ld->chain.key = key;
    ld->chain.id = arena_copy(j->a, id);
    if (!ld->chain.id.p && id.n > 0)
        return out_of_memory(j);
    if (!read_chain(j, &ld->chain))
        return NULL;
    ld->next = j->loaded;
    j->loaded = ld;
    return ld;
}

bool judge_member(struct judge *j, const struct chain *ch, unsigned log, uint64_t number,
                  struct span *out)
{
    return j->rc == LEDGER_OK && member_get(j, &ch->key, log, number, out);
}

struct span judge_reference_key(struct judge *j, struct span first_signer, struct span reference,
                                uint8_t *out)
{
    struct hash h;
    struct hfield f[] = {HVAR(j->wire ? first_signer : SPAN_NONE), HVAR(reference)};
    crypto_labelled(j->c, LABEL_REFERENCE, f, 2, &h);
    memcpy(out, h.b, HASH_LEN);
    return span_of(out, KV_INDEX_KEY);
}

void touch(struct ruling *r, struct loaded *ld)
{
    if (ld->touched)
        return;
    if (r->n_touched == r->cap_touched) {
        size_t cap = r->cap_touched ? 2 * r->cap_touched : 16;
        struct loaded **more = arena_alloc(r->j->a, cap * sizeof(struct loaded *));
        if (!more) {
            (void)out_of_memory(r->j);
            return;
        }
        if (r->n_touched > 0)
            memcpy(more, r->touched, r->n_touched * sizeof(struct loaded *));
        r->touched = more;
        r->cap_touched = cap;
    }
    r->touched[r->n_touched++] = ld;
    ld->touched = true;
}

void begin_chain(struct ruling *r, struct loaded *ld)
{
    ld->chain.exists = true;
    touch(r, ld);
}

/* ---- members ---- */

void append_bytes(struct ruling *r, struct loaded *ld, unsigned log, struct span bytes)
{
    struct judge *j = r->j;
    struct frontier *logs;
    struct hash leaf;
    struct appended *m = arena_alloc(j->a, sizeof *m);
    if (!m || (!bytes.p && bytes.n == 0)) {
        (void)out_of_memory(j);
        return;
    }
    LEDGER_REQUIRE(ld->touched || j->rc != LEDGER_OK);
    LEDGER_REQUIRE(log < state_logs(&ld->chain, &logs));
    m->log = log;
    m->number = logs[log].size;
    m->bytes = bytes;
    if (ld->last)
        ld->last->next = m;
    else
        ld->first = m;
    ld->last = m;
    merkle_leaf(j->c, bytes, &leaf);
    frontier_append(j->c, &logs[log], &leaf);
}

void append_edge(struct ruling *r, struct loaded *ld, unsigned log, struct span item,
                 dec_t quantity, struct span uom)
{
    struct edge e = {.item = item, .quantity = quantity, .uom = uom, .index = r->j->index};
    struct wbuf w;
    wbuf_init(&w, r->j->a);
    edge_encode(&e, &w);
    append_bytes(r, ld, log, wbuf_span(&w));
}

void append_fact(struct ruling *r, struct loaded *ld, const struct excursion_fact *fact)
{
    struct wbuf w;
    wbuf_init(&w, r->j->a);
    excursion_fact_encode(fact, &w);
    append_bytes(r, ld, ITEM_LOG_EXCURSIONS, wbuf_span(&w));
}

void append_outcome(struct ruling *r, struct loaded *ld, const struct outcome *o)
{
    struct wbuf w;
    wbuf_init(&w, r->j->a);
    outcome_encode(o, &w);
    append_bytes(r, ld, ITEM_LOG_OUTCOMES, wbuf_span(&w));
}

void append_correction(struct ruling *r, struct loaded *ld, const struct correction *x)
{
    static const unsigned logs[] = {
        [CHAIN_ITEM] = ITEM_LOG_CORRECTIONS,
        [CHAIN_SUBJECT] = SUBJECT_LOG_CORRECTIONS,
        [CHAIN_CASE] = CASE_LOG_CORRECTIONS,
    };
    struct wbuf w;
    wbuf_init(&w, r->j->a);
    correction_encode(x, &w);
    append_bytes(r, ld, logs[ld->chain.type], wbuf_span(&w));
}

/* ---- what checks share ---- */

bool deny(struct ruling *r, enum refusal_code code, const char *subject, const char *field,
          const char *fmt, ...)
{
    char text[sizeof r->why->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return facts_object(&r->f, code, subject, field, "%s", text);
}

bool find_item(struct ruling *r, enum field_name field, struct asked *out)
{
    const struct field_def *def = kind_field_at(r->ev->kind, field);
    return ask_exists(&r->f, event_text(r->ev, field), def->text, out);
}

const char *nth(struct ruling *r, const char *list, size_t i, const char *member)
{
    return facts_text(&r->f, member ? "%s[%zu].%s" : "%s[%zu]", list, i, member);
}

bool items_distinct(struct ruling *r, const struct value *list, const char *field,
                    enum refusal_code code)
{
    for (size_t i = 1; i < list->n; i++)
        for (size_t k = 0; k < i; k++)
            if (span_eq(list->items[i].raw, list->items[k].raw))
                return deny(r, code, facts_text(&r->f, "item %.*s", SPAN_FMT(list->items[i].raw)),
                            nth(r, field, i, NULL), "%.*s is listed twice",
                            SPAN_FMT(list->items[i].raw));
    return true;
}

bool find_items(struct ruling *r, const struct value *list, const char *field)
{
    r->n_items = list->n;
    r->items = arena_alloc(r->j->a, (list->n + 1) * sizeof *r->items);
    if (!r->items)
        return out_of_memory(r->j) != NULL;
    for (size_t i = 0; i < list->n; i++)
        if (!ask_exists(&r->f, list->items[i].raw, nth(r, field, i, NULL), &r->items[i]))
            return false;
    return true;
}

bool find_subject(struct ruling *r, struct span coi, struct loaded **out)
{
    *out = judge_load(r->j, CHAIN_SUBJECT, coi);
    return *out != NULL;
}

/* ---- every event ---- */

static const char *party_name(struct ruling *r, unsigned i)
{
    return facts_text(&r->f, "party %.*s", SPAN_FMT(r->signers[i].party));
}

static bool check_reference(struct ruling *r)
{
    struct judge *j = r->j;
    struct span found, first = r->n_signers > 0 ? r->signers[0].party : SPAN_NONE;
    if (j->wire && r->n_signers == 0)
        return true;
    struct span k = judge_reference_key(j, first, r->ev->reference, j->reference.b);
    enum ledger_rc rc = kv_get(j->kv, KV_REFERENCE, k, &found);
    if (rc == LEDGER_ENOTFOUND)
        return true;
    if (rc != LEDGER_OK) {
        j->rc = ledger_fail(&j->err, rc, "judging: looking up a reference failed");
        return false;
    }
    return deny(r, E_DUP_EVENT, NULL, "reference",
                "an event with the reference \"%.*s\" is already recorded",
                SPAN_FMT(r->ev->reference));
}

static bool check_signer(struct ruling *r, unsigned i)
{
    struct loaded *ld = judge_load(r->j, CHAIN_PARTY, r->signers[i].party);
    if (!ld)
        return false;
    if (!ld->chain.exists)
        return deny(r, E_UNKNOWN_PARTY, party_name(r, i), nth(r, "signatures", i, NULL),
                    "%.*s is not registered; an administrator must register the party first",
                    SPAN_FMT(r->signers[i].party));
    r->party[i] = &ld->chain.party;
    if (r->party[i]->revoked > 0)
        return deny(r, E_UNKNOWN_PARTY, party_name(r, i), nth(r, "signatures", i, NULL),
                    "%.*s was revoked (entry %llu); signatures no longer count",
                    SPAN_FMT(r->signers[i].party), (unsigned long long)r->party[i]->revoked);
    return true;
}

static bool check_signers(struct ruling *r)
{
    struct judge *j = r->j;
    unsigned most = r->ev->kind->signatures;
    if (r->n_signers == 0)
        return deny(r, E_SIG_MISSING, NULL, "signatures", "%s must be signed", r->ev->kind->name);
    if (r->n_signers > most)
        return deny(r, E_SIG_COUNT, NULL, "signatures", "%u signatures, but %s takes %u",
                    r->n_signers, r->ev->kind->name, most);
    for (unsigned i = 0; i < r->n_signers; i++)
        if (!check_signer(r, i))
            return false;
    for (unsigned i = 0; j->wire && j->signature_ok && i < r->n_signers; i++)
        if (!j->signature_ok(j->signature_ctx, i, r->party[i]))
            return deny(r, E_SIG_INVALID, party_name(r, i), nth(r, "signatures", i, NULL),
                        "the signature does not verify under the key that %.*s holds now",
                        SPAN_FMT(r->signers[i].party));
    return true;
}

/* "QA or QP", in the arena. */
static const char *roles_text(struct ruling *r, unsigned roles)
{
    const char *text = "";
    for (unsigned role = ROLE_ADMIN; role <= ROLE_WAREHOUSE; role++)
        if (roles & ROLE_BIT(role))
            text = facts_text(&r->f, "%s%s%s", text, *text ? " or " : "", role_name(role));
    return text;
}

static bool check_role(struct ruling *r, unsigned i, unsigned roles)
{
    if (r->party[i]->roles & roles)
        return true;
    return deny(r, E_ROLE, party_name(r, i), nth(r, "signatures", i, NULL),
                "%.*s may not give the %s signature of %s; that takes the role %s",
                SPAN_FMT(r->signers[i].party), i == 0 ? "first" : "second", r->ev->kind->name,
                roles_text(r, roles));
}

static bool check_roles(struct ruling *r)
{
    const struct kind_def *kind = r->ev->kind;
    if (!check_role(r, 0, kind->roles))
        return false;
    if (kind->signatures == 2) {
        if (r->n_signers < 2)
            return deny(r, E_SIG_SECOND_MISSING, NULL, "signatures", "%s needs a second signature",
                        kind->name);
        if (span_eq(r->signers[0].party, r->signers[1].party))
            return deny(r, E_SIG_SAME_PERSON, party_name(r, 1), "signatures[1]",
                        "both signatures are by %.*s; another person must give the second one",
                        SPAN_FMT(r->signers[1].party));
        if (!check_role(r, 1, kind->second_roles))
            return false;
    }
    for (unsigned i = 0; i < r->n_signers; i++)
        if (!text_valid(r->signers[i].meaning))
            return deny(r, E_SIG_MEANING, party_name(r, i), nth(r, "signatures", i, "meaning"),
                        "the signature of %.*s does not say what it means",
                        SPAN_FMT(r->signers[i].party));
    return true;
}

static bool check_time(struct ruling *r)
{
    struct judge *j = r->j;
    if (r->f.at_us <= j->recorded_us + j->tolerance_us)
        return true;
    return deny(r, E_TIME_FUTURE, NULL, "occurred", "dated %s, after the ledger's clock (%s)",
                facts_time(&r->f, r->f.at_us), facts_time(&r->f, j->recorded_us));
}

static bool check_all(struct ruling *r)
{
    struct judge *j = r->j;
    bool bootstrap =
        !j->wire && j->registry.parties == 0 && r->ev->kind->kind == KIND_PARTY_REGISTERED;
    if (!check_reference(r))
        return false;
    if (!bootstrap) {
        if (!check_signers(r) || !check_roles(r))
            return false;
        r->f.org = r->party[0]->org;
    }
    return check_time(r) && kinds[r->ev->kind->kind - EVENT_KIND_FIRST].check(r);
}

/* The first refusal is the verdict. */
static bool keep_first(void *ctx, const struct refusal *why)
{
    struct ruling *r = ctx;
    *r->why = *why;
    return false;
}

/* Puts the touched chains first, in the order of touching. */
static void order_loaded(struct ruling *r)
{
    struct loaded *rest = NULL, *next;
    for (struct loaded *ld = r->j->loaded; ld; ld = next) {
        next = ld->next;
        if (ld->touched)
            continue;
        ld->next = rest;
        rest = ld;
    }
    for (size_t i = r->n_touched; i > 0; i--) {
        r->touched[i - 1]->next = rest;
        rest = r->touched[i - 1];
    }
    r->j->loaded = rest;
}

enum ledger_rc judge_event(struct judge *j, const struct event *ev, const struct signer *signers,
                           unsigned n, struct refusal *why)
{
    struct refusal unwanted;
    struct ruling *r = arena_alloc(j->a, sizeof *r);
    j->loaded = NULL;
    j->rc = LEDGER_OK;
    if (!why)
        why = &unwanted;
    memset(why, 0, sizeof *why);
    if (!r || !facts_init(&r->f, j))
        return ledger_fail(&j->err, j->rc = LEDGER_ENOMEM, "judging: over the memory budget");
    if (!ev->formed && !event_check_form(ev, why))
        return LEDGER_EREFUSED;
    r->j = j;
    r->ev = ev;
    r->why = why;
    r->signers = signers;
    r->n_signers = n;
    r->f.at_us = ev->occurred.time_us;
    r->f.object_cb = keep_first;
    r->f.object_ctx = r;
    bool accepted = check_all(r);
    if (j->rc != LEDGER_OK)
        return j->rc;
    if (!accepted) {
        LEDGER_REQUIRE(why->code != REFUSE_NONE);
        return LEDGER_EREFUSED;
    }
    kinds[ev->kind->kind - EVENT_KIND_FIRST].effect(r);
    order_loaded(r);
    return j->rc;
}
