/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corrections: EVENT_CORRECTED. The target is read back from the log as it was recorded; both
 * values stay readable, and only quantities, QC outcomes and terminal states follow the correction.
 *
 * Words: the *target* is the corrected event; a *void* declares that it did not occur. Corrections
 * of an event are members of the corrections log of each chain that it advanced, so that any one of
 * those chains tells them all; the judge reads the first such chain.
 */
#include <string.h>

#include "entry.h"
#include "rules/ruling.h"

/* Members of a change, by their place in the record. */
enum { CHANGE_FIELD, CHANGE_OLD, CHANGE_NEW };

/* ---- the target ---- */

static const char *target_name(struct ruling *r)
{
    return facts_text(&r->f, "event %.*s", SPAN_FMT(event_text(r->ev, FIELD_TARGET_EVENT)));
}

static bool failed(struct judge *j, enum ledger_rc rc, const char *what)
{
    if (j->rc == LEDGER_OK)
        j->rc = ledger_fail(&j->err, rc, "judging: %s", what);
    return false;
}

/* The index of the event that target_event names: the event id over the wire, the submitter's
 * reference in a simulation. *found false: there is none. */
static bool find_target_index(struct ruling *r, bool *found)
{
    struct judge *j = r->j;
    uint8_t key[KV_KEY_MAX];
    struct span text = event_text(r->ev, FIELD_TARGET_EVENT), k, value;
    enum kv_table table = j->wire ? KV_EVENT : KV_REFERENCE;
    struct rbuf b;
    *found = false;
    if (j->wire) {
        if (text.n != 2 * HASH_LEN || !hex_decode(text, r->target_id.b))
            return true;
        k = kv_key_index(&r->target_id);
    } else {
        k = judge_reference_key(j, SPAN_NONE, text, key);
    }
    enum ledger_rc rc = kv_get(j->kv, table, k, &value);
    if (rc == LEDGER_ENOTFOUND)
        return true;
    if (rc != LEDGER_OK)
        return failed(j, rc, "looking up the corrected event failed");
    rbuf_init(&b, value);
    r->target_index = rbuf_u64(&b);
    *found = rbuf_done(&b);
    return *found || failed(j, LEDGER_EINTERNAL, "an index does not decode");
}

/* Reads the target back from the log. *found false: it is one of the ledger's own entries, or an event whose id only begins alike. */
static bool read_target(struct ruling *r, bool *found)
{
    struct judge *j = r->j;
    uint8_t key[KV_KEY_MAX];
    struct span bytes;
    struct entry_record record;
    struct header header;
    struct refusal why;
    enum ledger_rc rc = kv_get(j->kv, KV_LOG, kv_key_u64(key, r->target_index), &bytes);
    if (rc != LEDGER_OK)
        return failed(j, rc == LEDGER_ENOTFOUND ? LEDGER_EINTERNAL : rc,
                      "reading the corrected event failed");
    if (!entry_record_split(bytes, &record))
        return failed(j, LEDGER_EINTERNAL, "an entry does not decode");
    rc = header_decode(j->a, record.header, &header, &j->err);
    if (rc != LEDGER_OK)
        return failed(j, rc, j->err.msg);
    *found = header.kind >= EVENT_KIND_FIRST && (!j->wire || hash_eq(&header.event_id, &r->target_id));
    if (!*found)
        return true;
    if (record.erased_by)
        return deny(r, E_CORRECT_TARGET, target_name(r), "target_event",
                    "its content was erased under entry %llu; there is nothing left to correct",
                    (unsigned long long)record.erased_by);
    rc = event_decode(j->c, j->a, record.event, &r->target, &why, &j->err);
    if (rc == LEDGER_OK)
        return true;
    return failed(j, rc == LEDGER_EREFUSED ? LEDGER_EINTERNAL : rc,
                  "the corrected event does not decode");
}

static bool find_target(struct ruling *r)
{
    bool found;
    if (!find_target_index(r, &found) || (found && !read_target(r, &found)))
        return false;
    if (!found)
        return deny(r, E_CORRECT_TARGET, target_name(r), "target_event",
                    "%.*s is no event of this ledger",
                    SPAN_FMT(event_text(r->ev, FIELD_TARGET_EVENT)));
    if (r->target.kind->kind == KIND_EVENT_CORRECTED)
        return deny(r, E_CORRECT_TARGET, target_name(r), "target_event",
                    "a correction cannot itself be corrected");
    return true;
}

/* ---- the chains of the target ---- */

/* The chains that the target advanced, as far as its kind has corrections: item, input, subjects,
 * case. */
struct target_chains {
    struct loaded *item, *input, *coi, *for_coi, *deviation;
};

static bool load_subject(struct ruling *r, enum field_name field, struct loaded **out)
{
    struct span coi = event_text(&r->target, field);
    if (coi.n == 0)
        return true;
    if (!find_subject(r, coi, out))
        return false;
    /* A subject that was assigned only after the target was not advanced by it. */
    if (!(*out)->chain.exists || (*out)->chain.subject.assigned > r->target_index)
        *out = NULL;
    return true;
}

static bool load_targets_chains(struct ruling *r, struct target_chains *t)
{
    const struct event *target = &r->target;
    struct span item = event_text(target, FIELD_ITEM), input = event_text(target, FIELD_INPUT);
    memset(t, 0, sizeof *t);
    if (item.n > 0 && !(t->item = judge_load(r->j, CHAIN_ITEM, item)))
        return false;
    if (input.n > 0 && !(t->input = judge_load(r->j, CHAIN_ITEM, input)))
        return false;
    if (!load_subject(r, FIELD_COI, &t->coi) || !load_subject(r, FIELD_FOR_COI, &t->for_coi))
        return false;
    if (target->kind->kind == KIND_DEVIATION_CHANGED)
        t->deviation = load_case(r->j, CASE_DEVIATION, event_text(target, FIELD_DEVIATION));
    return r->j->rc == LEDGER_OK;
}

/* ---- earlier corrections ---- */

struct earlier {
    bool is_void;
    struct span *fields; /* corrected before */
    size_t n;
};

static bool find_earlier(struct ruling *r, const struct target_chains *t, struct earlier *out)
{
    struct loaded *ld = t->item ? t->item : t->coi;
    unsigned log = t->item ? (unsigned)ITEM_LOG_CORRECTIONS : (unsigned)SUBJECT_LOG_CORRECTIONS;
    struct frontier *logs;
    memset(out, 0, sizeof *out);
    if (!ld)
        return true; /* kinds whose chains keep no corrections: none is possible */
    (void)state_logs(&ld->chain, &logs);
    uint64_t n = logs[log].size;
    out->fields = arena_alloc(r->j->a, ((size_t)n + 1) * sizeof *out->fields);
    if (!out->fields)
        return failed(r->j, LEDGER_ENOMEM, "over the memory budget");
    for (uint64_t i = 0; i < n; i++) {
        struct span bytes;
        struct correction x;
        if (!judge_member(r->j, &ld->chain, log, i, &bytes))
            return false;
        if (!correction_decode(bytes, &x))
            return failed(r->j, LEDGER_EINTERNAL, "a correction does not decode");
        if (!hash_eq(&x.target, &r->target.id))
            continue;
        if (x.is_void)
            out->is_void = true;
        else
            out->fields[out->n++] = x.field;
    }
    return true;
}

static bool among(const struct span *fields, size_t n, struct span field)
{
    for (size_t i = 0; i < n; i++)
        if (span_eq(fields[i], field))
            return true;
    return false;
}

/* ---- did_not_occur ---- */

static bool check_void(struct ruling *r)
{
    enum event_kind kind = r->target.kind->kind;
    if (kind == KIND_PROCESS_STEP || kind == KIND_STORAGE_MOVED || kind == KIND_ADMINISTERED ||
        kind == KIND_ADVERSE_EVENT_REPORTED)
        return true;
    if (kind == KIND_LOT_DISPOSED && event_text(&r->target, FIELD_LOST_SHIPMENT).n == 0)
        return true;
    return deny(r, E_CORRECT_FIELD, target_name(r), "did_not_occur",
                "a %s like this cannot be declared not to have occurred", r->target.kind->name);
}

/* ---- changes ---- */

static bool is_number(const struct value *v)
{
    return v->type == VALUE_DECIMAL || v->type == VALUE_INT;
}

/* A value of type `any`, not empty, as a value of the field's type? */
static bool fits(const struct field_def *def, const struct value *v)
{
    int64_t us;
    bool text = v->type == VALUE_TEXT && text_valid(v->raw);
    switch (def->type) {
    case TYPE_ID:
        return text && id_valid(v->raw);
    case TYPE_TEXT:
    case TYPE_REF:
        return text;
    case TYPE_TIME:
        return text && time_parse(v->raw, &us);
    case TYPE_DECIMAL:
        return is_number(v);
    case TYPE_INT:
        return v->type == VALUE_INT;
    case TYPE_SCALAR:
        return text || is_number(v);
    case TYPE_MAP:
        return v->type == VALUE_MAP;
    case TYPE_BOOL:
    case TYPE_ENUM:
    case TYPE_ANY:
    case TYPE_LIST_ID:
    case TYPE_LIST_TEXT:
    case TYPE_LIST_DECIMAL:
    case TYPE_LIST_ENUM:
    case TYPE_LIST_RECORD:
        break;
    }
    return false; /* no field of these types is correctable */
}

static bool check_change(struct ruling *r, const struct earlier *earlier,
                         const struct value *changes, size_t i)
{
    static const struct value absent = {.type = VALUE_ABSENT};
    const struct value *change = changes->items[i].items, *recorded;
    struct span name = change[CHANGE_FIELD].raw;
    const struct field_def *def = kind_field(r->target.kind, name);
    const char *at = nth(r, "changes", i, "field");
    if (!def || !def->correctable)
        return deny(r, E_CORRECT_FIELD, target_name(r), at, "\"%.*s\" of %s cannot be corrected",
                    SPAN_FMT(name), r->target.kind->name);
    for (size_t k = 0; k < i; k++)
        if (span_eq(changes->items[k].items[CHANGE_FIELD].raw, name))
            return deny(r, E_CORRECT_FIELD, target_name(r), at, "\"%.*s\" is named twice",
                        SPAN_FMT(name));
    if (among(earlier->fields, earlier->n, name))
        return deny(r, E_CORRECT_TWICE, target_name(r), at,
                    "\"%.*s\" of this event was corrected before", SPAN_FMT(name));
    recorded = event_get(&r->target, def->name);
    if (!value_equal(&change[CHANGE_OLD], recorded ? recorded : &absent))
        return deny(r, E_CORRECT_OLD_VALUE, target_name(r), nth(r, "changes", i, "old"),
                    "this is not what was recorded in \"%.*s\"; look the event up", SPAN_FMT(name));
    if (!fits(def, &change[CHANGE_NEW]))
        return deny(r, E_BAD_VALUE, target_name(r), nth(r, "changes", i, "new"),
                    "the new value of \"%.*s\" is not of its type", SPAN_FMT(name));
    return true;
}

/* What a corrected quantity adds to an item's available, and to which item's. */
static bool quantity_change(const struct ruling *r, struct span field, const struct value *new,
                            dec_t *delta)
{
    const struct value *old = event_get(&r->target, FIELD_QUANTITY);
    enum event_kind kind = r->target.kind->kind;
    if (!old || !span_eq(field, SPAN_LIT("quantity")))
        return false;
    *delta = kind == KIND_INPUT_CONSUMED ? old->num - new->num : new->num - old->num;
    return true;
}

static bool check_quantity(struct ruling *r, const struct target_chains *t,
                           const struct value *changes, size_t i)
{
    const struct value *change = changes->items[i].items;
    struct loaded *ld = t->input ? t->input : t->item;
    dec_t delta;
    if (!quantity_change(r, change[CHANGE_FIELD].raw, &change[CHANGE_NEW], &delta))
        return true;
    const char *at = nth(r, "changes", i, "new");
    if (change[CHANGE_NEW].num < 0)
        return deny(r, E_QTY_EXCEEDED, target_name(r), at, "a quantity is not below 0");
    if (ld->chain.item.available + delta >= 0)
        return true;
    return deny(r, E_QTY_EXCEEDED, facts_text(&r->f, "item %.*s", SPAN_FMT(ld->chain.item.id)), at,
                "more was already taken of %.*s than this would leave",
                SPAN_FMT(ld->chain.item.id));
}

static bool check_changes(struct ruling *r, const struct target_chains *t,
                          const struct earlier *earlier, const struct value *changes)
{
    for (size_t i = 0; i < changes->n; i++)
        if (!check_change(r, earlier, changes, i))
            return false;
    for (size_t i = 0; i < changes->n; i++)
        if (!check_quantity(r, t, changes, i))
            return false;
    return true;
}

bool check_corrected(struct ruling *r)
{
    const struct value *changes = event_get(r->ev, FIELD_CHANGES);
    bool is_void = event_true(r->ev, FIELD_DID_NOT_OCCUR);
    struct target_chains t;
    struct earlier earlier;
    if (!find_target(r) || !load_targets_chains(r, &t) || !find_earlier(r, &t, &earlier))
        return false;
    if (earlier.is_void)
        return deny(r, E_CORRECT_TWICE, target_name(r), "target_event",
                    "this event was declared not to have occurred");
    if (is_void == (changes != NULL))
        return deny(r, E_MISSING_FIELD, target_name(r), is_void ? "did_not_occur" : "changes",
                    "a correction has either changes or did_not_occur");
    return is_void ? check_void(r) : check_changes(r, &t, &earlier, changes);
}

/* ---- effects ---- */

static void apply_void(struct ruling *r, struct loaded *ld)
{
    struct item_state *s = &ld->chain.item;
    enum event_kind kind = r->target.kind->kind;
    bool ended = s->terminal != TERMINAL_NONE && s->terminal_index == r->target_index;
    if (kind == KIND_ADMINISTERED)
        s->available += ended ? s->terminal_took : 0;
    else if (kind == KIND_LOT_DISPOSED)
        s->available += field_number(&r->target, FIELD_QUANTITY);
    else
        return;
    if (!ended)
        return;
    s->terminal = TERMINAL_NONE;
    s->terminal_index = 0;
    s->terminal_took = 0;
    s->patient = SPAN_NONE;
}

/* The latest outcome of a test on an item, as it was before this event. */
static bool latest_outcome(struct ruling *r, struct loaded *ld, struct span test,
                           struct outcome *out)
{
    struct node *x = family_node_of(&r->f.family, &ld->chain);
    if (!x || !family_outcomes(&r->f.family, x))
        return false;
    for (size_t i = 0; i < x->outcomes_n; i++) {
        if (!span_eq(x->outcomes[i].test, test))
            continue;
        *out = x->outcomes[i];
        return true;
    }
    return false;
}

/* A corrected number is judged again against the limits that applied. */
static void apply_value(struct ruling *r, struct loaded *ld, const struct value *new)
{
    struct span test = event_text(&r->target, FIELD_TEST);
    struct outcome o;
    struct node *x, *top;
    if (!is_number(new) || !latest_outcome(r, ld, test, &o) || o.source != r->target_index)
        return;
    x = family_node_of(&r->f.family, &ld->chain);
    if (!x || !facts_top(&r->f, x, &top) || !family_spec(&r->f.family, top))
        return;
    struct limits l = limits_of(spec_find(top->spec, test), &r->target);
    o = (struct outcome){.test = test,
                         .verdict = within(&l, new->num) ? QC_PASS : QC_FAIL,
                         .index = r->j->index,
                         .source = r->target_index};
    append_outcome(r, ld, &o);
    if (o.verdict == QC_FAIL)
        ld->chain.item.last_fail = r->j->index;
}

static void apply_change(struct ruling *r, const struct target_chains *t,
                         const struct value *change)
{
    const struct value *new = &change[CHANGE_NEW];
    struct loaded *ld = t->input ? t->input : t->item;
    dec_t delta;
    if (quantity_change(r, change[CHANGE_FIELD].raw, new, &delta))
        ld->chain.item.available += delta;
    if (r->target.kind->kind == KIND_QC_RESULT)
        apply_value(r, t->item, new);
}

static void write_corrections(struct ruling *r, struct loaded *ld, const struct value *changes)
{
    struct correction x = {.target = r->target.id, .target_index = r->target_index, .index = r->j->index, .is_void = !changes};
    if (!ld)
        return;
    if (!changes) {
        append_correction(r, ld, &x);
        return;
    }
    for (size_t i = 0; i < changes->n; i++) {
        const struct value *change = changes->items[i].items;
        x.field = change[CHANGE_FIELD].raw;
        x.has_number = is_number(&change[CHANGE_NEW]);
        x.number = x.has_number ? change[CHANGE_NEW].num : 0;
        append_correction(r, ld, &x);
    }
}

void effect_corrected(struct ruling *r)
{
    const struct value *changes = event_get(r->ev, FIELD_CHANGES);
    struct target_chains t;
    if (!load_targets_chains(r, &t))
        return;
    struct loaded *chains[] = {t.item, t.input, t.coi, t.for_coi == t.coi ? NULL : t.for_coi,
                               t.deviation};
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++)
        if (chains[i])
            touch(r, chains[i]);
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++)
        write_corrections(r, chains[i], changes);
    if (!changes)
        apply_void(r, t.item);
    for (size_t i = 0; changes && i < changes->n; i++)
        apply_change(r, &t, changes->items[i].items);
}
