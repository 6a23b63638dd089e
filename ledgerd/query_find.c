/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_find: lists of ids, on the server's word. It reads the record of every chain of the ledger,
 * O(n), and keeps the smallest `limit` ids in ascending order of their bytes, so its memory is
 * bounded by the limit; `after` continues a list that was truncated.
 *
 * What the filters mean, for an item unless said otherwise:
 *   state available     neither terminal nor in a shipment, and something is left of it
 *         released      not terminal; released as the rules ask: the latest release on its split
 * line, with no input, derivation or failed test of a member of that line after it quarantined not
 * terminal, and the latest decision of that sort *on it* is QUARANTINE administered, disposed
 * terminal so in-transit    not terminal, in a shipment open, closed  of a case: itself; of a
 * shipment: whether items are still in it hold  recall, quarantine, deviation, excursion, rejected,
 * any: such a hold that names *this very item*. Holds that it has from its lineage (an ancestor's
 * recall, the mother lot's deviation) are not looked up: whether an item may be used is asked with
 * a proof, not with a list. coi   the item's coi, for_coi or patient;  expires_before_us: its own
 * expiry, without reductions by excursions klass item class, lower case; of a case: deviation,
 * excursion, recall A filter that does not apply to the type is refused: a list that ignored it
 * would say something else than it was asked.
 */
#include <string.h>

#include "query_internal.h"

#define TIME_CHECK_EVERY 1024
#define SPLIT_LINE_MAX 100000 /* a longer one is a loop in damaged data */

struct find;
typedef bool (*match_fn)(struct find *f, const struct chain *ch);

struct find {
    struct query *q;
    const Ledgerd__V1__FindRequest *req;
    enum chain_type type;
    unsigned klass;       /* 0: not asked */
    match_fn state, hold; /* NULL: not asked */
    struct span holder, coi, prefix, after;
    /* The smallest ids so far, a heap with the largest on top. Borrowed from the view. */
    struct span *ids;
    size_t n, limit;
    bool truncated;
    uint64_t visited;
    struct chain *chain, *above; /* decoding space */
    enum ledger_rc rc;           /* of the scan, sticky */
    struct ledger_err err;
    /* After the scan: ids are copies, in order; this is the next to send. */
    size_t sent;
};

/* ---- filters ---- */

static bool is_available(struct find *f, const struct chain *ch)
{
    (void)f;
    return ch->item.terminal == TERMINAL_NONE && ch->item.shipment.n == 0 && ch->item.available > 0;
}

static bool is_quarantined(struct find *f, const struct chain *ch)
{
    (void)f;
    return ch->item.terminal == TERMINAL_NONE && ch->item.quarantined;
}

static bool is_administered(struct find *f, const struct chain *ch)
{
    (void)f;
    return ch->item.terminal == TERMINAL_ADMINISTERED;
}

static bool is_disposed(struct find *f, const struct chain *ch)
{
    (void)f;
    return ch->item.terminal == TERMINAL_DISPOSED;
}

static bool is_in_transit(struct find *f, const struct chain *ch)
{
    (void)f;
    return ch->item.terminal == TERMINAL_NONE && ch->item.shipment.n > 0;
}

/* The latest entries of each sort on a split line. */
struct line {
    uint64_t release, change, fail;
};

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void line_add(struct line *l, const struct item_state *it)
{
    l->release = later(l->release, it->last_release);
    l->change = later(l->change, later(it->last_input, it->last_derived));
    l->fail = later(l->fail, it->last_fail);
}

static bool is_released(struct find *f, const struct chain *ch)
{
    struct line l = {0, 0, 0};
    struct find *ff = (struct find *)(uintptr_t)f; /* for its decoding space and its error */
    line_add(&l, &ch->item);
    struct span parent = ch->item.parent;
    for (unsigned i = 0; parent.n > 0 && ff->rc == LEDGER_OK; i++) {
        struct hash key;
        chain_key(f->q->c, &f->q->m.index_key, CHAIN_ITEM, parent, &key);
        ff->rc = read_chain(f->q, &key, f->above, &ff->err);
        if (ff->rc == LEDGER_OK && (!f->above->exists || i == SPLIT_LINE_MAX))
            ff->rc = ledger_fail(&ff->err, LEDGER_ETAMPER,
                                 "stored data does not verify: split line of item %.*s",
                                 SPAN_FMT(ch->id));
        if (ff->rc != LEDGER_OK)
            return false;
        line_add(&l, &f->above->item);
        parent = f->above->item.parent;
    }
    return ch->item.terminal == TERMINAL_NONE && l.release > 0 && l.change <= l.release &&
           l.fail <= l.release;
}

static bool is_open(struct find *f, const struct chain *ch)
{
    return f->type == CHAIN_CASE ? ch->kase.open : ch->shipment.remaining > 0;
}

static bool is_closed(struct find *f, const struct chain *ch)
{
    return !is_open(f, ch);
}

static bool holds_recall(struct find *f, const struct chain *ch)
{
    (void)f;
    return ch->item.open_recalls > 0;
}

static bool holds_quarantine(struct find *f, const struct chain *ch)
{
    (void)f;
    return ch->item.quarantined;
}

static bool holds_deviation(struct find *f, const struct chain *ch)
{
    (void)f;
    return ch->item.open_deviations > 0;
}

static bool holds_excursion(struct find *f, const struct chain *ch)
{
    (void)f;
    return ch->item.open_excursions > 0;
}

static bool holds_rejected(struct find *f, const struct chain *ch)
{
    (void)f;
    return ch->item.rejected > 0 || ch->item.rejecting_excursions > 0;
}

static bool holds_any(struct find *f, const struct chain *ch)
{
    return holds_recall(f, ch) || holds_quarantine(f, ch) || holds_deviation(f, ch) ||
           holds_excursion(f, ch) || holds_rejected(f, ch);
}

/* ---- the request ---- */

struct word {
    const char *text;
    bool item, kase, shipment; /* types that it applies to */
    match_fn match;
};
static const struct word states[] = {
    {"available", true, false, false, is_available},
    {"released", true, false, false, is_released},
    {"quarantined", true, false, false, is_quarantined},
    {"administered", true, false, false, is_administered},
    {"disposed", true, false, false, is_disposed},
    {"in-transit", true, false, false, is_in_transit},
    {"open", false, true, true, is_open},
    {"closed", false, true, true, is_closed},
};
static const struct word holds[] = {
    {"recall", true, false, false, holds_recall},
    {"quarantine", true, false, false, holds_quarantine},
    {"deviation", true, false, false, holds_deviation},
    {"excursion", true, false, false, holds_excursion},
    {"rejected", true, false, false, holds_rejected},
    {"any", true, false, false, holds_any},
};
#define WORDS(t) (t), sizeof(t) / sizeof((t)[0])

static const char *const item_classes[] = {
    "material", "starting", "bank", "batch",
    "vector",   "plasmid",  "unit", /* enum item_class from 1 */
};
static const char *const case_types[] = {
    "deviation", "excursion", "recall", /* enum case_type from 1 */
};

static enum ledger_rc find_word(const struct find *f, const struct word *words, size_t n,
                                const char *text, match_fn *out, struct ledger_err *err)
{
    *out = NULL;
    if (text[0] == '\0')
        return LEDGER_OK;
    for (size_t i = 0; i < n; i++) {
        bool applies = (words[i].item && f->type == CHAIN_ITEM) ||
                       (words[i].kase && f->type == CHAIN_CASE) ||
                       (words[i].shipment && f->type == CHAIN_SHIPMENT);
        if (!applies || strcmp(words[i].text, text) != 0)
            continue;
        *out = words[i].match;
        return LEDGER_OK;
    }
    return ledger_fail(err, LEDGER_EINVAL, "%s: cannot be looked for by \"%.40s\"",
                       chain_type_name(f->type), text);
}

static enum ledger_rc find_class(struct find *f, struct ledger_err *err)
{
    const char *const *names = f->type == CHAIN_ITEM ? item_classes : case_types;
    size_t n = f->type == CHAIN_ITEM   ? sizeof item_classes / sizeof item_classes[0]
               : f->type == CHAIN_CASE ? sizeof case_types / sizeof case_types[0]
                                       : 0;
    f->klass = 0;
    if (f->req->klass[0] == '\0')
        return LEDGER_OK;
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], f->req->klass) == 0)
            f->klass = (unsigned)i + 1;
    if (f->klass == 0)
        return ledger_fail(err, LEDGER_EINVAL, "there is no %s class \"%.40s\"",
                           chain_type_name(f->type), f->req->klass);
    return LEDGER_OK;
}

static enum ledger_rc parse(struct find *f, struct ledger_err *err)
{
    const Ledgerd__V1__FindRequest *req = f->req;
    if (!f->q->env.access->may_read_states)
        return ledger_fail(err, LEDGER_EDENIED, "this certificate may not read states");
    if (req->type < CHAIN_ITEM || req->type > CHAIN_LEDGER)
        return ledger_fail(err, LEDGER_EINVAL, "there is no chain type %u", req->type);
    f->type = (enum chain_type)req->type;
    if (f->type != CHAIN_ITEM && (req->holder[0] || req->coi[0] || req->expires_before_us))
        return ledger_fail(err, LEDGER_EINVAL,
                           "holder, coi and expiry are looked for in items only");
    if (req->limit > FIND_LIMIT_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "the limit is at most %d", FIND_LIMIT_MAX);
    enum ledger_rc rc = find_word(f, WORDS(states), req->state, &f->state, err);
    if (rc == LEDGER_OK)
        rc = find_word(f, WORDS(holds), req->hold, &f->hold, err);
    if (rc == LEDGER_OK)
        rc = find_class(f, err);
    f->holder = span_str(req->holder);
    f->coi = span_str(req->coi);
    f->prefix = span_str(req->id_prefix);
    f->after = span_of(req->after.data, req->after.len);
    f->limit = req->limit ? req->limit : FIND_LIMIT_DEFAULT;
    return rc;
}

/* ---- the scan ---- */

static bool matches_item(const struct find *f, const struct item_state *it)
{
    if (f->holder.n > 0 && !span_eq(f->holder, it->holder))
        return false;
    if (f->coi.n > 0 && !span_eq(f->coi, it->coi) && !span_eq(f->coi, it->for_coi) &&
        !span_eq(f->coi, it->patient))
        return false;
    if (f->req->expires_before_us != 0 &&
        (!it->has_expiry || it->expiry_us >= f->req->expires_before_us))
        return false;
    return f->klass == 0 || f->klass == it->klass;
}

static bool matches(struct find *f, const struct chain *ch)
{
    if (f->type == CHAIN_ITEM && !matches_item(f, &ch->item))
        return false;
    if (f->type == CHAIN_CASE && f->klass != 0 && f->klass != ch->kase.type)
        return false;
    return (!f->state || f->state(f, ch)) && (!f->hold || f->hold(f, ch));
}

static void swap(struct span *a, struct span *b)
{
    struct span t = *a;
    *a = *b;
    *b = t;
}

static void sift_down(struct span *ids, size_t n, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            return;
        if (child + 1 < n && span_cmp(ids[child + 1], ids[child]) > 0)
            child++;
        if (span_cmp(ids[child], ids[i]) <= 0)
            return;
        swap(&ids[child], &ids[i]);
        i = child;
    }
}

static void sift_up(struct span *ids, size_t i)
{
    while (i > 0 && span_cmp(ids[i], ids[(i - 1) / 2]) > 0) {
        swap(&ids[i], &ids[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

/* Could this id still be among the smallest? Asked before the record is decoded. */
static bool has_place(const struct find *f, struct span id)
{
    if (f->after.n > 0 && span_cmp(id, f->after) <= 0)
        return false;
    if (id.n < f->prefix.n ||
        !span_eq(span_of(id.p, f->prefix.n), span_of(f->prefix.p, f->prefix.n)))
        return false;
    return f->n < f->limit || !f->truncated || span_cmp(id, f->ids[0]) < 0;
}

static void keep(struct find *f, struct span id)
{
    if (f->n < f->limit) {
        f->ids[f->n] = id;
        sift_up(f->ids, f->n++);
        return;
    }
    f->truncated = true;
    if (span_cmp(id, f->ids[0]) < 0) {
        f->ids[0] = id;
        sift_down(f->ids, f->n, 0);
    }
}

static bool visit(void *ctx, struct span key, struct span value)
{
    struct find *f = ctx;
    struct rbuf r;
    rbuf_init(&r, value);
    uint8_t type = rbuf_u8(&r);
    struct span id = rbuf_str(&r);
    if (++f->visited % TIME_CHECK_EVERY == 0)
        f->rc = view_check_time(f->q, &f->err);
    if (f->rc != LEDGER_OK)
        return false;
    if (!r.failed && (type != (uint8_t)f->type || !has_place(f, id)))
        return true;
    f->rc = chain_record_decode(value, f->chain, &f->err);
    if (f->rc != LEDGER_OK || key.n != HASH_LEN) {
        f->rc = ledger_fail(&f->err, LEDGER_ETAMPER, "stored data does not verify: a chain record");
        return false;
    }
    if (matches(f, f->chain) && f->rc == LEDGER_OK)
        keep(f, id);
    return f->rc == LEDGER_OK;
}

/* Heap to ascending order, and from the view's pages to memory of our own. */
static enum ledger_rc settle(struct find *f, struct ledger_err *err)
{
    for (size_t n = f->n; n > 1; n--) {
        swap(&f->ids[0], &f->ids[n - 1]);
        sift_down(f->ids, n - 1, 0);
    }
    for (size_t i = 0; i < f->n; i++) {
        f->ids[i] = arena_copy(f->q->a, f->ids[i]);
        if (!f->ids[i].p)
            return ledger_fail(err, LEDGER_ELIMIT,
                               "the ids found are too long for so many; ask for fewer");
    }
    return LEDGER_OK;
}

static enum ledger_rc scan(struct query *q, struct find **out, struct ledger_err *err)
{
    struct find *f = arena_alloc(q->a, sizeof *f);
    struct chain *chains = arena_alloc(q->a, 2 * sizeof *chains);
    if (!f || !chains)
        return no_room(err);
    *f = (struct find){.q = q, .req = q->request->find, .chain = chains, .above = chains + 1};
    enum ledger_rc rc = parse(f, err);
    if (rc != LEDGER_OK)
        return rc;
    f->ids = arena_alloc(q->a, f->limit * sizeof *f->ids);
    if (!f->ids)
        return no_room(err);
    struct hash first = HASH_ZERO;
    rc = store_scan(q->sn, KV_CHAIN, span_of(first.b, HASH_LEN), visit, f, err);
    if (rc == LEDGER_OK && f->rc != LEDGER_OK) {
        *err = f->err;
        return f->rc;
    }
    *out = f;
    return rc == LEDGER_OK ? settle(f, err) : rc;
}

enum ledger_rc next_find(struct query *q, struct reply *r, struct ledger_err *err)
{
    struct find *f = q->state;
    enum ledger_rc rc = LEDGER_OK;
    Ledgerd__V1__FindResponse *out = arena_alloc(r->a, sizeof *out);
    if (!out)
        return no_room(err);
    ledgerd__v1__find_response__init(out);
    r->msg->answer_case = LEDGERD__V1__RESPONSE__ANSWER_FIND;
    r->msg->find = out;
    if (!f) {
        rc = scan(q, &f, err);
        if (rc == LEDGER_OK)
            rc = build_snapshot(q, r, q->m.size, &out->snapshot, err);
    }
    if (rc != LEDGER_OK)
        return rc;
    q->state = f;
    out->ids = arena_alloc(r->a, (f->n - f->sent) * sizeof *out->ids);
    if (!out->ids)
        return no_room(err);
    while (f->sent < f->n && r->bytes < r->bytes_max) {
        out->ids[out->n_ids++] = bin(f->ids[f->sent]);
        r->bytes += f->ids[f->sent].n + 4;
        f->sent++;
    }
    r->msg->more = f->sent < f->n;
    out->truncated = f->truncated && !r->msg->more;
    return LEDGER_OK;
}
