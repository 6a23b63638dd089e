/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conditions: temperature logs and what they show: CONDITION_LOGGED, EXCURSION_ASSESSED. An
 * excursion writes a fact into the chain of each item that it names, when it opens and when it
 * ends; descendants find it there.
 */
#include <string.h>

#include "rules/ruling.h"

/* ---- opening and closing ---- */

/* Opens an excursion, or opens it again, or, if it is open, lets it name more items. */
void open_excursion(struct ruling *r, struct loaded *ld, struct span id,
                    const struct case_state *as, const struct asked *items, size_t n)
{
    struct case_state *s = &ld->chain.kase;
    struct excursion_fact fact = {.fact = EXCURSION_OPENED,
                                  .id = id,
                                  .index = r->j->index,
                                  .has_start = as->has_start,
                                  .start_us = as->start_us};
    bool was_open = ld->chain.exists && s->open;
    begin_chain(r, ld);
    if (!was_open) {
        s->id = id;
        s->type = CASE_EXCURSION;
        s->open = true;
        s->opened = r->j->index;
        s->has_start = as->has_start;
        s->start_us = as->start_us;
        s->shipment = as->shipment;
        s->episode_first = s->logs[CASE_LOG_ITEMS].size;
        s->outcome = 0;
        s->has_new_expiry = false;
        s->new_expiry_us = 0;
    }
    for (size_t i = 0; i < n; i++) {
        append_bytes(r, ld, CASE_LOG_ITEMS, items[i].s->id);
        append_fact(r, items[i].ld, &fact);
        items[i].s->open_excursions++;
    }
}

/* Loads the items that the present opening names, and touches them. The case is touched before or
 * after by the caller, as the table of chains has it. */
static bool episode_items(struct ruling *r, const struct loaded *ld, struct loaded ***out,
                          size_t *n)
{
    const struct case_state *s = &ld->chain.kase;
    uint64_t first = s->episode_first;
    *n = (size_t)(s->logs[CASE_LOG_ITEMS].size - first);
    *out = arena_alloc(r->j->a, (*n + 1) * sizeof(struct loaded *));
    if (!*out) {
        r->j->rc = ledger_fail(&r->j->err, LEDGER_ENOMEM, "judging: over the memory budget");
        return false;
    }
    for (size_t i = 0; i < *n; i++) {
        struct span id;
        if (!judge_member(r->j, &ld->chain, CASE_LOG_ITEMS, first + i, &id))
            return false;
        struct loaded *item = judge_load(r->j, CHAIN_ITEM, id);
        if (!item)
            return false;
        touch(r, item);
        (*out)[i] = item;
    }
    return true;
}

static void end_excursion(struct ruling *r, struct loaded *ld, const struct excursion_fact *fact)
{
    struct case_state *s = &ld->chain.kase;
    struct loaded **items;
    size_t n;
    if (!episode_items(r, ld, &items, &n))
        return;
    touch(r, ld);
    s->open = false;
    s->closed = r->j->index;
    s->outcome = fact->outcome;
    s->has_new_expiry = fact->has_new_expiry;
    s->new_expiry_us = fact->new_expiry_us;
    for (size_t i = 0; i < n; i++) {
        struct item_state *item = &items[i]->chain.item;
        append_fact(r, items[i], fact);
        item->open_excursions--;
        item->rejecting_excursions += fact->outcome == OUTCOME_REJECT;
        item->reducing_excursions += fact->outcome == OUTCOME_REDUCE_EXPIRY;
    }
}

/* ---- CONDITION_LOGGED ---- */

/* What a log's refusal is about: its shipment, or else its logger. */
static const char *log_name(struct ruling *r)
{
    struct span shipment = event_text(r->ev, FIELD_SHIPMENT);
    if (shipment.n > 0)
        return facts_text(&r->f, "shipment %.*s", SPAN_FMT(shipment));
    return facts_text(&r->f, "logger %.*s", SPAN_FMT(event_text(r->ev, FIELD_LOGGER)));
}

static bool missing(struct ruling *r, const char *subject, const char *field, const char *why)
{
    return deny(r, E_MISSING_FIELD, subject, field, "%s", why);
}

/* Keeps each item once: a list of items may name one twice. */
static void drop_repeated(struct ruling *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_items; i++) {
        size_t k = 0;
        while (k < n && r->items[k].ld != r->items[i].ld)
            k++;
        if (k == n)
            r->items[n++] = r->items[i];
    }
    r->n_items = n;
}

static bool load_dispatched(struct ruling *r)
{
    const struct chain *ch = &r->chain->chain;
    uint64_t n = ch->shipment.logs[SHIPMENT_LOG_ITEMS].size;
    r->n_items = (size_t)n;
    r->items = arena_alloc(r->j->a, (r->n_items + 1) * sizeof *r->items);
    if (!r->items) {
        r->j->rc = ledger_fail(&r->j->err, LEDGER_ENOMEM, "judging: over the memory budget");
        return false;
    }
    for (size_t i = 0; i < r->n_items; i++) {
        struct span id;
        if (!judge_member(r->j, ch, SHIPMENT_LOG_ITEMS, i, &id) ||
            !ask_exists(&r->f, id, "shipment", &r->items[i]))
            return false;
    }
    return true;
}

static bool find_logged(struct ruling *r, struct limits *limits)
{
    const struct event *ev = r->ev;
    const struct value *items = event_get(ev, FIELD_ITEMS), *low = event_get(ev, FIELD_LIMIT_MIN_C),
                       *high = event_get(ev, FIELD_LIMIT_MAX_C);
    struct span shipment = event_text(ev, FIELD_SHIPMENT);
    limits->has_low = limits->has_high = true;
    if (shipment.n > 0) {
        r->chain = judge_load(r->j, CHAIN_SHIPMENT, shipment);
        if (!r->chain)
            return false;
        if (!r->chain->chain.exists)
            return deny(r, E_NOT_IN_SHIPMENT,
                        facts_text(&r->f, "shipment %.*s", SPAN_FMT(shipment)), "shipment",
                        "shipment %.*s was never dispatched", SPAN_FMT(shipment));
        limits->low = r->chain->chain.shipment.min_c;
        limits->high = r->chain->chain.shipment.max_c;
        return load_dispatched(r);
    }
    if (!items || !low || !high)
        return missing(r, log_name(r),
                       !items ? "items"
                       : !low ? "limit_min_c"
                              : "limit_max_c",
                       "a log of no shipment says which items it is about and both of its limits");
    limits->low = low->num;
    limits->high = high->num;
    if (!find_items(r, items, "items"))
        return false;
    drop_repeated(r);
    return true;
}

static bool check_statistics(struct ruling *r)
{
    const struct event *ev = r->ev;
    dec_t min = field_number(ev, FIELD_MIN_C), mean = field_number(ev, FIELD_MEAN_C),
          max = field_number(ev, FIELD_MAX_C);
    if (field_time(ev, FIELD_START) > field_time(ev, FIELD_END))
        return deny(r, E_TIME_ORDER, log_name(r), "end", "the log ends before it starts");
    if (field_number(ev, FIELD_READINGS) < DEC_ONE)
        return deny(r, E_LOG_STATS, log_name(r), "readings", "a log has at least one reading");
    if (min > mean || mean > max)
        return deny(r, E_LOG_STATS, log_name(r), "mean_c",
                    "the mean must lie between the lowest and the highest reading");
    return true;
}

static bool begins_with(struct span s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

static bool check_new_excursion(struct ruling *r)
{
    struct span id = event_text(r->ev, FIELD_EXCURSION_ID);
    if (id.n == 0)
        return missing(r, log_name(r), "excursion_id",
                       "a log with an excursion names it with an id");
    const char *subject = facts_text(&r->f, "excursion %.*s", SPAN_FMT(id));
    r->second = load_case(r->j, CASE_EXCURSION, id);
    if (!r->second)
        return false;
    if (r->second->chain.exists)
        return deny(r, E_DUP_ITEM, subject, "excursion_id",
                    "%.*s is already an excursion; an id is never used twice", SPAN_FMT(id));
    if (begins_with(id, "NOLOG:") || begins_with(id, "SEAL:"))
        return deny(r, E_DUP_ITEM, subject, "excursion_id",
                    "ids that begin with NOLOG: or SEAL: are the ledger's own");
    return true;
}

bool check_logged(struct ruling *r)
{
    const struct event *ev = r->ev;
    struct limits limits = {.has_low = false};
    if (!find_logged(r, &limits) || !check_statistics(r))
        return false;
    bool outside =
        field_number(ev, FIELD_MIN_C) < limits.low || field_number(ev, FIELD_MAX_C) > limits.high;
    const struct value *flag = event_get(ev, FIELD_EXCURSION);
    if (flag->b != outside)
        return deny(r, E_EXCURSION_FLAG, log_name(r), "excursion",
                    "the readings are %s the limits, so excursion must be %s",
                    outside ? "outside" : "within", outside ? "true" : "false");
    return !outside || check_new_excursion(r);
}

/* By the shipment's own logger, and ended not before the dispatch. */
static bool is_own_log(const struct ruling *r)
{
    const struct shipment_state *s = &r->chain->chain.shipment;
    return span_eq(event_text(r->ev, FIELD_LOGGER), s->logger) &&
           field_time(r->ev, FIELD_END) >= s->dispatched_us;
}

static void close_without_log(struct ruling *r)
{
    const struct shipment_state *s = &r->chain->chain.shipment;
    struct wbuf w;
    wbuf_init(&w, r->j->a);
    wbuf_bytes(&w, "NOLOG:", 6);
    wbuf_bytes(&w, s->id.p, s->id.n);
    struct loaded *ld = load_case(r->j, CASE_EXCURSION, wbuf_span(&w));
    if (!ld || !ld->chain.exists || !ld->chain.kase.open)
        return;
    struct excursion_fact fact = {
        .fact = EXCURSION_LOGGED, .id = ld->chain.kase.id, .index = r->j->index};
    end_excursion(r, ld, &fact);
}

void effect_logged(struct ruling *r)
{
    const struct event *ev = r->ev;
    if (r->chain)
        touch(r, r->chain);
    for (size_t i = 0; i < r->n_items; i++)
        touch(r, r->items[i].ld);
    if (r->second) {
        struct case_state as = {.has_start = true,
                                .start_us = field_time(ev, FIELD_START),
                                .shipment = event_text(ev, FIELD_SHIPMENT)};
        open_excursion(r, r->second, event_text(ev, FIELD_EXCURSION_ID), &as, r->items, r->n_items);
    }
    if (r->chain && is_own_log(r)) {
        r->chain->chain.shipment.has_log = true;
        close_without_log(r);
    }
}

/* ---- EXCURSION_ASSESSED ---- */

bool check_assessed(struct ruling *r)
{
    const struct event *ev = r->ev;
    struct span id = event_text(ev, FIELD_EXCURSION_ID);
    const char *subject = facts_text(&r->f, "excursion %.*s", SPAN_FMT(id));
    r->chain = load_case(r->j, CASE_EXCURSION, id);
    if (!r->chain)
        return false;
    if (!r->chain->chain.exists || !r->chain->chain.kase.open)
        return deny(r, E_UNKNOWN_ITEM, subject, "excursion_id", "there is no open excursion %.*s",
                    SPAN_FMT(id));
    if (event_enum(ev, FIELD_OUTCOME) == OUTCOME_REDUCE_EXPIRY && !event_get(ev, FIELD_NEW_EXPIRY))
        return missing(r, subject, "new_expiry", "REDUCE_EXPIRY needs the new expiry");
    return true;
}

void effect_assessed(struct ruling *r)
{
    unsigned outcome = event_enum(r->ev, FIELD_OUTCOME);
    struct excursion_fact fact = {.fact = EXCURSION_ASSESSED_AS,
                                  .id = r->chain->chain.kase.id,
                                  .index = r->j->index,
                                  .outcome = (uint8_t)outcome,
                                  .has_new_expiry = outcome == OUTCOME_REDUCE_EXPIRY};
    if (fact.has_new_expiry)
        fact.new_expiry_us = field_time(r->ev, FIELD_NEW_EXPIRY);
    touch(r, r->chain);
    end_excursion(r, r->chain, &fact);
}
