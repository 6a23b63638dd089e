/* SPDX-License-Identifier: Apache-2.0 */
/* chain_json: names and forms of what was proven (chain_json.h). */
#include "chain_json.h"

#include <string.h>

#include "client.h"
#include "line.h"

void json_put_time(struct json_writer *w, const char *name, int64_t us)
{
    char text[TIME_TEXT_MAX];
    time_format(us, text);
    json_put_string(w, name, span_str(text));
}

void json_put_dec(struct json_writer *w, const char *name, dec_t v)
{
    char text[DEC_TEXT_MAX];
    size_t n = decimal_format(v, text);
    json_name(w, span_str(name));
    json_number(w, span_of(text, n));
}

void json_put_hex(struct json_writer *w, const char *name, struct span s)
{
    char text[2 * 64 + 1];
    if (s.n * 2 + 1 > sizeof text)
        return;
    hex_encode(s, text);
    json_put_string(w, name, span_str(text));
}

void witnessed_json(struct json_writer *w, const struct reply *r)
{
    const struct witnessed_note *n = &r->witnessed;
    json_name(w, SPAN_LIT("witnessed"));
    if (!n->present) {
        json_null(w);
        return;
    }
    json_object(w);
    json_put_uint(w, "size", n->cp.size);
    json_put_uint(w, "age_s", n->age_s > 0 ? (uint64_t)n->age_s : 0);
    json_name(w, SPAN_LIT("by"));
    json_array(w);
    for (size_t i = 0; i < n->n; i++)
        json_string(w, span_str(n->names[i]));
    json_end(w);
    json_put_bool(w, "auditors", n->trust.auditors_signed);
    json_end(w);
}

static void put_entry(struct json_writer *w, const char *name, uint64_t index)
{
    if (index)
        json_put_uint(w, name, index);
}

static void put_text(struct json_writer *w, const char *name, const char *text)
{
    json_put_string(w, name, span_str(text));
}

const char *item_class_name(unsigned klass)
{
    static const char *const names[] = {"?", "MATERIAL", "STARTING", "BANK", "BATCH", "VECTOR", "PLASMID", "UNIT"};
    return klass < sizeof names / sizeof names[0] ? names[klass] : "?";
}

const char *terminal_name(unsigned terminal)
{
    static const char *const names[] = {"", "ADMINISTERED", "DISPOSED"};
    return terminal < sizeof names / sizeof names[0] ? names[terminal] : "?";
}

static const char *use_name(unsigned use)
{
    return use == USE_AUTOLOGOUS ? "AUTOLOGOUS" : use == USE_ALLOGENEIC ? "ALLOGENEIC" : NULL;
}

static const char *outcome_name(unsigned outcome)
{
    static const char *const names[] = {NULL, "USE_AS_IS", "REDUCE_EXPIRY", "REJECT"};
    return outcome < sizeof names / sizeof names[0] ? names[outcome] : "?";
}

/* ---- states ---- */

static void item_facts(struct json_writer *w, const struct item_state *s)
{
    put_text(w, "class", item_class_name(s->klass));
    if (use_name(s->use))
        put_text(w, "use", use_name(s->use));
    json_put_string(w, "coi", s->coi);
    json_put_string(w, "for_coi", s->for_coi);
    json_put_string(w, "split_from", s->parent);
    json_put_dec(w, "available", s->available);
    json_put_string(w, "uom", s->uom);
    if (s->has_expiry)
        json_put_time(w, "expiry", s->expiry_us);
    json_put_string(w, "holder", s->holder);
    json_put_string(w, "in_shipment", s->shipment);
    json_put_string(w, "location", s->location);
    json_put_string(w, "product_code", s->product_code);
    if (s->gmo)
        json_put_bool(w, "gmo", true);
    json_put_time(w, "born", s->born_us);
    json_put_time(w, "arrived", s->arrived_us);
    json_put_uint(w, "made_by_entry", s->made_index);
}

static void item_quality(struct json_writer *w, const struct item_state *s)
{
    put_entry(w, "released_by_entry", s->last_release);
    put_entry(w, "rejected_by_entry", s->rejected);
    put_entry(w, "last_failed_test_entry", s->last_fail);
    put_entry(w, "last_input_entry", s->last_input);
    put_entry(w, "last_yield_entry", s->last_derived);
    if (s->quarantined)
        json_put_bool(w, "quarantined", true);
    put_entry(w, "open_deviations", s->open_deviations);
    put_entry(w, "open_recalls", s->open_recalls);
    put_entry(w, "open_excursions", s->open_excursions);
    put_entry(w, "rejecting_excursions", s->rejecting_excursions);
    put_entry(w, "expiry_reducing_excursions", s->reducing_excursions);
    if (s->terminal) {
        put_text(w, "terminal", terminal_name(s->terminal));
        json_put_uint(w, "terminal_by_entry", s->terminal_index);
        json_put_dec(w, "terminal_took", s->terminal_took);
    }
    json_put_string(w, "administered_to", s->patient);
    if (s->nonconforming)
        json_put_bool(w, "nonconforming_administration", true);
}

static void party_facts(struct json_writer *w, const struct party_state *s)
{
    char key[KEY_TEXT_MAX];
    json_put_string(w, "org", s->org);
    json_name(w, SPAN_LIT("roles"));
    json_array(w);
    for (unsigned r = ROLE_ADMIN; r <= ROLE_WAREHOUSE; r++)
        if (s->roles & ROLE_BIT(r))
            json_string(w, span_str(role_name((enum role)r)));
    json_end(w);
    if (s->alg == SIG_ED25519 || s->alg == SIG_P256) {
        key_text_format((enum sig_alg)s->alg, s->key, key);
        put_text(w, "pubkey", key);
    }
    json_put_uint(w, "key_since_entry", s->key_index);
    json_put_uint(w, "registered_by_entry", s->registered);
    put_entry(w, "revoked_by_entry", s->revoked);
}

static void subject_facts(struct json_writer *w, const struct subject_state *s)
{
    static const char *const given[] = {NULL, "GIVEN", "WITHDRAWN"};
    const struct field_def *scopes = kind_field_at(kind_find(KIND_CONSENT_CHANGED), FIELD_SCOPES);
    json_put_string(w, "subject_commit", s->subject_commit);
    if (use_name(s->use))
        put_text(w, "use", use_name(s->use));
    json_name(w, SPAN_LIT("consent"));
    json_object(w);
    for (unsigned i = 0; i < SCOPE_COUNT; i++) {
        if (!s->scopes[i].given || s->scopes[i].given > 2)
            continue;
        json_name(w, span_str(scopes->names->names[i]));
        json_object(w);
        put_text(w, "status", given[s->scopes[i].given]);
        json_put_time(w, "given", s->scopes[i].given_us);
        json_put_uint(w, "by_entry", s->scopes[i].index);
        json_end(w);
    }
    json_end(w);
}

static void shipment_facts(struct json_writer *w, const struct shipment_state *s)
{
    put_text(w, "status", s->remaining ? "open" : "closed");
    json_put_string(w, "from_org", s->from_org);
    json_put_string(w, "to_org", s->to_org);
    json_put_string(w, "logger", s->logger);
    json_put_dec(w, "min_c", s->min_c);
    json_put_dec(w, "max_c", s->max_c);
    json_put_time(w, "dispatched", s->dispatched_us);
    json_put_time(w, "last_hand_over", s->handover_us);
    json_put_uint(w, "items_still_in_it", s->remaining);
    json_put_bool(w, "has_log", s->has_log);
    if (s->is_return)
        json_put_bool(w, "return", true);
}

static void case_facts(struct json_writer *w, const struct case_state *s)
{
    static const char *const types[] = {"?", "deviation", "excursion", "recall"};
    put_text(w, "case", s->type <= CASE_RECALL ? types[s->type] : "?");
    put_text(w, "status", s->open ? "open" : "closed");
    json_put_string(w, "class", s->class_);
    json_put_uint(w, "opened_by_entry", s->opened);
    put_entry(w, "closed_by_entry", s->closed);
    json_put_string(w, "item", s->item);
    json_put_string(w, "shipment", s->shipment);
    if (s->has_start)
        json_put_time(w, "log_start", s->start_us);
    if (outcome_name(s->outcome))
        put_text(w, "outcome", outcome_name(s->outcome));
    if (s->has_new_expiry)
        json_put_time(w, "new_expiry", s->new_expiry_us);
}

static void ledger_facts(struct json_writer *w, const struct ledger_state *s)
{
    json_put_uint(w, "epoch", s->epoch);
    json_put_uint(w, "format_version", s->format_version);
    json_put_uint(w, "rules_version", s->rules_version);
    json_put_string(w, "log_key", s->log_key);
    json_put_uint(w, "clock_tolerance_us", (uint64_t)s->clock_tolerance_us);
    json_put_uint(w, "heartbeat_s", s->heartbeat_s);
    json_put_uint(w, "event_size_max", s->event_size_max);
    json_put_uint(w, "batch_events_max", s->batch_events_max);
    if (s->clock_us)
        json_put_time(w, "latest_clock_step", s->clock_us);
}

static void state_facts(struct json_writer *w, const struct chain *ch)
{
    switch (ch->type) {
    case CHAIN_ITEM:
        item_facts(w, &ch->item);
        item_quality(w, &ch->item);
        break;
    case CHAIN_PARTY: party_facts(w, &ch->party); break;
    case CHAIN_SUBJECT: subject_facts(w, &ch->subject); break;
    case CHAIN_SHIPMENT: shipment_facts(w, &ch->shipment); break;
    case CHAIN_CASE: case_facts(w, &ch->kase); break;
    case CHAIN_PRODUCT: break;
    case CHAIN_LEDGER: ledger_facts(w, &ch->ledger); break;
    }
}

/* ---- members ---- */

static void edge_member(struct json_writer *w, struct span s)
{
    struct edge e;
    if (!edge_decode(s, &e))
        return;
    json_put_string(w, "item", e.item);
    json_put_dec(w, "quantity", e.quantity);
    json_put_string(w, "uom", e.uom);
    json_put_uint(w, "entry", e.index);
}

static void outcome_member(struct json_writer *w, struct span s)
{
    struct outcome o;
    if (!outcome_decode(s, &o))
        return;
    json_put_string(w, "test", o.test);
    put_text(w, "verdict", o.verdict == QC_PASS ? "PASS" : "FAIL");
    json_put_uint(w, "entry", o.index);
    json_put_uint(w, "of_result", o.source);
}

static void excursion_member(struct json_writer *w, struct span s)
{
    static const char *const facts[] = {"?", "opened", "assessed", "closed by its log"};
    struct excursion_fact f;
    if (!excursion_fact_decode(s, &f))
        return;
    json_put_string(w, "excursion", f.id);
    put_text(w, "fact", f.fact <= EXCURSION_LOGGED ? facts[f.fact] : "?");
    json_put_uint(w, "entry", f.index);
    if (f.has_start)
        json_put_time(w, "log_start", f.start_us);
    if (outcome_name(f.outcome))
        put_text(w, "outcome", outcome_name(f.outcome));
    if (f.has_new_expiry)
        json_put_time(w, "new_expiry", f.new_expiry_us);
}

static void correction_member(struct json_writer *w, struct span s)
{
    struct correction x;
    if (!correction_decode(s, &x))
        return;
    json_put_hex(w, "target", span_of(x.target.b, HASH_LEN));
    json_put_uint(w, "target_entry", x.target_index);
    json_put_uint(w, "entry", x.index);
    if (x.is_void)
        json_put_bool(w, "did_not_occur", true);
    json_put_string(w, "field", x.field);
    if (x.has_number)
        json_put_dec(w, "new", x.number);
}

static void version_member(struct json_writer *w, struct arena *a, struct span s)
{
    struct spec_version v;
    if (!spec_version_decode(a, s, &v))
        return;
    json_put_string(w, "version", v.version);
    json_put_uint(w, "entry", v.index);
    json_name(w, SPAN_LIT("tests"));
    json_array(w);
    for (unsigned i = 0; i < v.n; i++) {
        json_object(w);
        json_put_string(w, "test", v.tests[i].test);
        json_put_string(w, "unit", v.tests[i].unit);
        if (v.tests[i].has_low)
            json_put_dec(w, "low", v.tests[i].low);
        if (v.tests[i].has_high)
            json_put_dec(w, "high", v.tests[i].high);
        json_put_bool(w, "required", v.tests[i].required);
        json_end(w);
    }
    json_end(w);
}

static void member(struct json_writer *w, enum chain_type t, unsigned log, struct span s)
{
    bool item = t == CHAIN_ITEM;
    bool text = (item && (log == ITEM_LOG_REQUIRED || log == ITEM_LOG_CASES)) || t == CHAIN_SHIPMENT ||
                (t == CHAIN_CASE && log == CASE_LOG_ITEMS) || (t == CHAIN_SUBJECT && log == SUBJECT_LOG_ITEMS);
    if (text) {
        json_string(w, s);
        return;
    }
    json_object(w);
    if (item && (log == ITEM_LOG_INPUTS || log == ITEM_LOG_USES || log == ITEM_LOG_UNITS))
        edge_member(w, s);
    else if (item && log == ITEM_LOG_OUTCOMES)
        outcome_member(w, s);
    else if (item && log == ITEM_LOG_EXCURSIONS)
        excursion_member(w, s);
    else if (t == CHAIN_PRODUCT)
        version_member(w, w->out.a, s);
    else
        correction_member(w, s);
    json_end(w);
}

static void lists(struct json_writer *w, const struct proven_chain *pc)
{
    struct chain ch = pc->chain;
    struct frontier *logs;
    unsigned n = state_logs(&ch, &logs);
    for (unsigned log = 0; log < n; log++) {
        if (!pc->logs[log] || pc->logs[log]->n == 0)
            continue;
        json_name(w, span_str(state_log_name(ch.type, log)));
        json_array(w);
        for (size_t i = 0; i < pc->logs[log]->n; i++)
            member(w, ch.type, log, pc->logs[log]->members[i]);
        json_end(w);
    }
}

void chain_json(struct json_writer *w, const struct proven_chain *pc)
{
    json_object(w);
    put_text(w, "type", chain_type_name(pc->chain.type));
    json_put_string(w, "id", pc->chain.id);
    json_put_bool(w, "present", pc->present);
    if (pc->present) {
        json_put_uint(w, "entries", pc->chain.count);
        json_put_uint(w, "latest_entry", pc->head.index);
        json_put_time(w, "latest_recorded", pc->head.recorded_us);
    }
    if (pc->present && !pc->opened)
        json_put_bool(w, "withheld", true);
    if (pc->opened) {
        json_name(w, SPAN_LIT("state"));
        json_object(w);
        state_facts(w, &pc->chain);
        json_end(w);
        json_name(w, SPAN_LIT("lists"));
        json_object(w);
        lists(w, pc);
        json_end(w);
    }
    json_end(w);
}

/* ---- entries ---- */

static void signatures(struct json_writer *w, const struct entry *e)
{
    json_name(w, SPAN_LIT("signatures"));
    json_array(w);
    for (size_t i = 0; i < e->block.n; i++) {
        const struct signature *s = &e->block.sigs[i];
        json_object(w);
        json_put_string(w, "party", s->party);
        json_put_string(w, "meaning", s->meaning);
        json_put_string(w, "time", s->time);
        json_put_hex(w, "key_id", s->key_id);
        json_put_uint(w, "signed_together", e->block.events);
        json_end(w);
    }
    json_end(w);
}

void entry_json(struct json_writer *w, struct arena *a, const struct entry *e)
{
    const char *kind = entry_kind_name(e->header.kind);
    json_object(w);
    json_put_uint(w, "index", e->header.index);
    put_text(w, "kind", kind ? kind : "?");
    json_put_time(w, "recorded", e->header.recorded_us);
    json_put_uint(w, "epoch", e->header.epoch);
    json_put_hex(w, "leaf", span_of(e->leaf.b, HASH_LEN));
    if (e->header.kind != OWN_SEAL)
        json_put_hex(w, "event_id", span_of(e->header.event_id.b, HASH_LEN));
    if (!e->own && !e->content)
        json_put_bool(w, "withheld", true);
    if (!e->own && e->content) {
        json_name(w, SPAN_LIT("event"));
        event_to_json(a, w, &e->event);
        signatures(w, e);
    }
    json_end(w);
}
