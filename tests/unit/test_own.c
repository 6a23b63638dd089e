/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's own acts: parameters, log keys, time stamps, erasure; and what erasure stands on: the history of states, and openings.
 * Replays before and after an erasure come to the same headers, roots and view.
 */
#include "lib/query_world.h"

#include "opening.h"
#include "state_history.h"

struct log_copy {
    size_t n;
    struct entry_record record[96];
};

/* In the open batch. */
static void read_log(struct world *w, struct log_copy *out)
{
    uint8_t key[KV_KEY_MAX];
    struct span v;
    for (out->n = 0; kv_get(&w->m.kv, KV_LOG, kv_key_u64(key, out->n), &v) == LEDGER_OK; out->n++) {
        CHECK(out->n < 96);
        CHECK(entry_record_split(arena_copy(w->a, v), &out->record[out->n]));
    }
}

struct replica {
    struct kv_mem *mem;
    struct machine m;
};

static struct replica replica_open(struct world *w)
{
    struct replica r = {.mem = kv_mem_new(NULL, (size_t)64 << 20)};
    r.m = (struct machine){.c = w->c, .a = w->scratch, .kv = kv_mem_kv(r.mem), .index_key = w->index_key, .wire = true};
    return r;
}

static enum ledger_rc feed(struct replica *r, const struct entry_record *e, struct verdict *v)
{
    arena_reset(r->m.a);
    return machine_replay(&r->m, e, NULL, v, NULL);
}

static void feed_all(struct replica *r, const struct log_copy *log)
{
    struct verdict v;
    for (size_t i = r->m.size; i < log->n; i++) {
        if (feed(r, &log->record[i], &v) != LEDGER_OK)
            fprintf(stderr, "entry %zu: %s: %s\n", i, v.what, v.text);
        CHECK_EQ_INT(r->m.size, i + 1);
    }
}

/* An act that two persons sign. */
static struct signed_own sign_own(struct world *w, enum own_kind kind, struct span payload, const char *signers)
{
    struct event ev = {.occurred = world_time(w, w->now_us)};
    struct sigblock *b = arena_alloc(w->a, 2 * sizeof *b);
    event_id(w->c, payload, &ev.id);
    world_block(w, &ev, signers, b);
    struct span block = sigblock_encode(w->a, b);
    MUST(sigblock_decode(block, b + 1, err));
    return (struct signed_own){.kind = kind, .payload = payload, .block = block, .b = b + 1};
}

static enum refusal_code act(struct world *w, enum own_kind kind, struct span payload, const char *signers)
{
    struct refusal why = {0};
    struct appended_entry e;
    struct ledger_err err = {0};
    w->now_us += WORLD_SECOND_US;
    struct signed_own s = sign_own(w, kind, payload, signers);
    enum ledger_rc rc = machine_own_signed(&w->m, &s, w->now_us, &e, &why, &err);
    if (rc != LEDGER_OK && rc != LEDGER_EREFUSED)
        fprintf(stderr, "%s\n", err.msg);
    CHECK(rc == LEDGER_OK || (rc == LEDGER_EREFUSED && why.code != REFUSE_NONE && why.text[0]));
    arena_reset(w->scratch);
    return rc == LEDGER_OK ? REFUSE_NONE : why.code;
}

static int by_bytes(const void *x, const void *y)
{
    return memcmp(x, y, HASH_LEN);
}

static struct span erasure(struct world *w, struct hash *ids, unsigned n)
{
    static uint8_t nonce = 0x70;
    struct erasure e = {.reason = SPAN_LIT("a name was written into it"), .n = (uint16_t)n, .ids = ids[0].b};
    memset(e.nonce, nonce++, sizeof e.nonce);
    qsort(ids, n, sizeof ids[0], by_bytes);
    return erasure_encode(w->a, &e);
}

static enum refusal_code erase(struct world *w, struct hash *ids, unsigned n)
{
    return act(w, OWN_ERASURE, erasure(w, ids, n), "admin,u.qa");
}

struct ids { struct hash step, consumed, registration; };

static struct world *busy_world(struct ids *ids)
{
    struct world *w = world_open();
    world_begin(w);
    play(w, "MATERIAL_RECEIVED", "u.wh",
         "item=M-1;gtin=09521234543213;lot=L;supplier=S;quantity=100;uom=mL;expiry=2031-01-01T00:00:00Z;coa_hash=ab;origin=EU");
    play(w, "QUALITY_DECISION", "u.qa,u.qp", "item=M-1;decision=RELEASE;spec_version=1;reason=ok");
    play(w, "LOT_CREATED", "u.op",
         "item=LOT-1;lot_class=BATCH;product_code=P;lot=L;use=ALLOGENEIC;required_tests=viability;spec_version=1");
    play(w, "PROCESS_STEP", "u.op", "item=LOT-1;step=wash of Frau Beispiel;sop=S-1;equipment=E");
    ids->step = w->last_event;
    world_commit(w);
    world_begin(w);
    play(w, "INPUT_CONSUMED", "u.op", "item=LOT-1;input=M-1;quantity=20.5;uom=mL");
    ids->consumed = w->last_event;
    play(w, "QC_RESULT", "u.qc", "item=LOT-1;test=viability;value=91;unit=%;verdict=PASS;method=M;sample=S");
    play(w, "LOT_DERIVED", "u.op", "item=LOT-1;quantity=60;uom=mL;expiry=2031-01-01T00:00:00Z");
    play(w, "LOT_SPLIT", "u.op", "item=LOT-1;units=BAG-1:30|BAG-2:30");
    play(w, "PARTY_REGISTERED", "admin", "action=ROTATE_KEY;org=CPC;party=u.op;roles=OPERATOR");
    ids->registration = w->last_event;
    world_commit(w);
    world_begin(w);
    return w;
}

/* After every entry, the state that the walk gives is what the entry's link commits to. */
TEST(every_past_state_opens_its_commitment)
{
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct log_copy log;
    unsigned opened = 0;
    read_log(w, &log);
    for (size_t i = 0; i < log.n; i++) {
        struct header h;
        struct event ev;
        MUST(header_decode(w->a, log.record[i].header, &h, err));
        if (h.kind < EVENT_KIND_FIRST)
            continue;
        MUST(event_decode(w->c, w->a, log.record[i].event, &ev, NULL, err));
        for (unsigned l = 0; l < h.n_links; l++, opened++) {
            struct opening_part part;
            struct chain ch;
            MUST(opening_make(w->c, w->a, &w->m.kv, &h, l, ev.nonce, &part, err));
            MUST(opening_check(w->c, w->a, &w->index_key, &h, &part, NULL, &ch, err));
            CHECK_EQ_INT(ch.count, h.links[l].seq + 1);
            CHECK_EQ_INT(ch.head_index, i);
            part.salt.b[7] ^= 1;
            CHECK_EQ_INT(opening_check(w->c, w->a, &w->index_key, &h, &part, NULL, &ch, NULL), LEDGER_EINVAL);
        }
    }
    CHECK(opened > 15);
    world_close(w);
}

/* Random states one after another: each step leads from one to the next, and is small. */
TEST(history_steps_lead_from_state_to_state)
{
    struct world *w = world_open();
    uint8_t before[400] = {0}, after[400];
    size_t n = 0;
    unsigned seed = 7;
    for (unsigned round = 0; round < 2000; round++) {
        size_t m = round % 3 ? n : (size_t)(rand_r(&seed) % 380);
        memcpy(after, before, sizeof after);
        for (unsigned k = 0; k < 3 && m; k++)
            after[(unsigned)rand_r(&seed) % m] = (uint8_t)rand_r(&seed);
        struct span row = history_step_encode(w->a, round, span_of(before, n), span_of(after, m)), got;
        uint64_t index;
        CHECK(row.p && history_step_index(row, &index) && index == round);
        CHECK_EQ_INT(history_step_apply(w->a, row, span_of(before, n), &got), LEDGER_OK);
        CHECK(span_eq(got, span_of(after, m)));
        if (m == n)
            CHECK(row.n <= 8 + 3 * 7);
        for (size_t cut = 8; cut < row.n; cut++) /* cut off: refused, or another state, but never out of bounds */
            CHECK(history_step_apply(w->a, span_of(row.p, cut), span_of(before, n), &got) != LEDGER_EIO);
        memcpy(before, after, sizeof before);
        n = m;
        arena_reset(w->a);
    }
    world_close(w);
}

/* The chain's record, its history row by row, and that the history leads to its latest entry. */
static void same_chain(struct world *w, const struct kv *x, const struct kv *y, const struct hash *chain)
{
    uint8_t key[KV_KEY_MAX];
    struct span a, b;
    struct chain *ch = arena_alloc(w->a, sizeof *ch);
    struct state_walk *walk = arena_alloc(w->a, sizeof *walk);
    CHECK(kv_get(x, KV_CHAIN, span_of(chain->b, HASH_LEN), &a) == LEDGER_OK && kv_get(y, KV_CHAIN, span_of(chain->b, HASH_LEN), &b) == LEDGER_OK);
    CHECK(span_eq(a, b));
    MUST(chain_record_decode(b, ch, err));
    for (uint64_t row = 0; history_row_stored(row, ch->count); row++) {
        struct span at = kv_key_member(key, chain, MEMBER_HISTORY, row);
        CHECK(kv_get(x, KV_MEMBER, at, &a) == LEDGER_OK && kv_get(y, KV_MEMBER, at, &b) == LEDGER_OK && span_eq(a, b));
    }
    MUST(state_walk_begin(walk, w->c, y, w->a, chain, err));
    while (walk->seq < ch->count)
        MUST(state_walk_next(walk, err));
    CHECK_EQ_INT(walk->index, ch->head_index);
}

TEST(an_erased_event_is_gone_and_everything_goes_on)
{
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct log_copy before, after;
    struct replica early = replica_open(w), late = replica_open(w);
    read_log(w, &before);
    feed_all(&early, &before);
    struct hash both[] = {ids.step, ids.consumed};
    CHECK_EQ_INT(erase(w, both, 2), REFUSE_NONE);
    play(w, "PROCESS_STEP", "u.op", "item=LOT-1;step=harvest;sop=S-1;equipment=E");
    world_commit(w);
    world_begin(w);
    read_log(w, &after);
    unsigned erased = 0;
    for (size_t i = 0; i < before.n; i++) {
        CHECK(span_eq(before.record[i].header, after.record[i].header));
        if (!after.record[i].erased_by)
            continue;
        erased++;
        CHECK_EQ_INT(after.record[i].erased_by, before.n);
        CHECK(after.record[i].event.n == 0 && after.record[i].block.n == 0);
        CHECK(!memmem(after.record[i].opening.p, after.record[i].opening.n, "Frau", 4));
    }
    CHECK_EQ_INT(erased, 2);
    feed_all(&early, &after); /* read the content in time */
    feed_all(&late, &after);  /* came too late */
    CHECK_EQ_INT(late.m.erased_open, 0);
    CHECK_EQ_MEM(early.m.map_root.b, w->m.map_root.b, HASH_LEN);
    CHECK_EQ_MEM(late.m.map_root.b, w->m.map_root.b, HASH_LEN);
    /* The view is the same too, row by row. */
    struct kv x = kv_mem_kv(early.mem), y = kv_mem_kv(late.mem);
    for (size_t i = 0; i < after.n; i++) {
        uint8_t key[KV_KEY_MAX];
        struct span a, b;
        CHECK(kv_get(&x, KV_LOG, kv_key_u64(key, i), &a) == LEDGER_OK && kv_get(&y, KV_LOG, kv_key_u64(key, i), &b) == LEDGER_OK);
        CHECK(span_eq(a, b));
        struct header h;
        MUST(header_decode(w->a, after.record[i].header, &h, err));
        for (unsigned k = 0; k < h.n_links; k++)
            same_chain(w, &x, &y, &h.links[k].chain);
    }
    kv_mem_free(early.mem);
    kv_mem_free(late.mem);
    world_close(w);
}

/* How the walk along a chain ends, and after how many steps. */
static enum ledger_rc walk_all(struct world *w, const struct hash *chain, uint64_t *steps)
{
    struct arena_mark mark = arena_mark(w->a);
    struct state_walk *walk = arena_alloc(w->a, sizeof *walk);
    enum ledger_rc rc = state_walk_begin(walk, w->c, &w->m.kv, w->a, chain, NULL);
    while (rc == LEDGER_OK)
        rc = state_walk_next(walk, NULL);
    *steps = walk->seq;
    arena_release(w->a, mark);
    return rc;
}

/* One step less or more in a stored row, or no row: never a history that seems to end, or to go on, as it should. */
TEST(a_row_of_another_length_is_noticed)
{
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct hash chain;
    uint8_t key[KV_KEY_MAX];
    uint64_t steps;
    struct span row, last;
    struct chain *ch = arena_alloc(w->a, sizeof *ch);
    chain_key(w->c, &w->index_key, CHAIN_ITEM, SPAN_LIT("LOT-1"), &chain);
    for (unsigned i = 0; i < 14; i++)
        play(w, "PROCESS_STEP", "u.op", "item=LOT-1;step=harvest;sop=S-1;equipment=E");
    CHECK_EQ_INT(walk_all(w, &chain, &steps), LEDGER_ENOTFOUND);
    CHECK_EQ_INT(steps, 20);
    MUST(kv_get(&w->m.kv, KV_CHAIN, span_of(chain.b, HASH_LEN), &row));
    row = arena_copy(w->a, row);
    MUST(chain_record_decode(row, ch, err));
    ch->key = chain;
    MUST(history_step_find(&w->m.kv, ch, 8, &last));
    struct span at = kv_key_member(key, &chain, MEMBER_HISTORY, 1);
    MUST(kv_get(&w->m.kv, KV_MEMBER, at, &row));
    row = arena_copy(w->a, row);
    last = arena_copy(w->a, last);
    MUST(kv_put(&w->m.kv, KV_MEMBER, at, span_of(row.p, row.n - last.n - 1))); /* its length is one byte */
    CHECK_EQ_INT(walk_all(w, &chain, &steps), LEDGER_ETAMPER);
    CHECK_EQ_INT(steps, 8);
    MUST(kv_put(&w->m.kv, KV_MEMBER, at, history_row_add(w->a, row, last)));
    CHECK_EQ_INT(walk_all(w, &chain, &steps), LEDGER_ETAMPER);
    CHECK_EQ_INT(steps, 8);
    MUST(kv_put(&w->m.kv, KV_MEMBER, at, SPAN_LIT("")));
    CHECK_EQ_INT(walk_all(w, &chain, &steps), LEDGER_ETAMPER);
    CHECK_EQ_INT(steps, 1);
    MUST(kv_put(&w->m.kv, KV_MEMBER, at, row));
    ch->history = history_row_add(w->a, ch->history, last);
    MUST(kv_put(&w->m.kv, KV_CHAIN, span_of(chain.b, HASH_LEN), chain_record_encode(w->a, ch)));
    CHECK_EQ_INT(walk_all(w, &chain, &steps), LEDGER_ETAMPER);
    CHECK_EQ_INT(steps, 19);
    world_close(w);
}

/* Every part of an erased entry's opening opens what its header commits to. */
static void check_erased(struct world *w, const struct kv *kv, uint64_t index)
{
    uint8_t key[KV_KEY_MAX];
    struct span v;
    struct entry_record r;
    struct header h;
    struct opening o;
    struct chain *ch = arena_alloc(w->a, sizeof *ch);
    MUST(kv_get(kv, KV_LOG, kv_key_u64(key, index), &v));
    CHECK(entry_record_split(v, &r) && r.erased_by);
    MUST(header_decode(w->a, r.header, &h, err));
    MUST(opening_decode(w->a, r.opening, &o, err));
    CHECK_EQ_INT(o.n, h.n_links);
    for (size_t i = 0; i < o.n; i++)
        CHECK_EQ_INT(opening_check(w->c, w->a, &w->index_key, &h, &o.parts[i], NULL, ch, NULL), LEDGER_OK);
}

/* Each bit of the history that waits in a chain's record is flipped: content is not destroyed for an opening that opens nothing. */
TEST(nothing_is_erased_upon_a_rotten_history)
{
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct hash key;
    struct span v, record;
    struct chain *ch = arena_alloc(w->a, sizeof *ch);
    unsigned erased = 0, refused = 0;
    chain_key(w->c, &w->index_key, CHAIN_ITEM, SPAN_LIT("LOT-1"), &key);
    MUST(kv_get(&w->m.kv, KV_EVENT, kv_key_index(&ids.consumed), &v));
    struct rbuf at;
    rbuf_init(&at, v);
    const uint64_t index = rbuf_u64(&at);
    MUST(kv_get(&w->m.kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record));
    record = arena_copy(w->a, record);
    MUST(chain_record_decode(record, ch, err));
    struct signed_own s = sign_own(w, OWN_ERASURE, erasure(w, &ids.consumed, 1), "admin,u.qa");
    uint8_t *rotten = arena_alloc(w->a, record.n);
    for (size_t bit = 0; bit < 8 * ch->history.n; bit++) {
        struct arena_mark mark = arena_mark(w->a);
        struct kv_mem *mem = kv_mem_new(&w->m.kv, (size_t)16 << 20);
        struct machine m = w->m;
        struct refusal why = {0};
        struct appended_entry e;
        memcpy(rotten, record.p, record.n);
        rotten[(size_t)(ch->history.p - record.p) + bit / 8] ^= (uint8_t)(1 << bit % 8);
        m.kv = kv_mem_kv(mem);
        MUST(kv_put(&m.kv, KV_CHAIN, span_of(key.b, HASH_LEN), span_of(rotten, record.n)));
        enum ledger_rc rc = machine_own_signed(&m, &s, w->now_us + WORLD_SECOND_US, &e, &why, NULL);
        if (rc == LEDGER_OK)
            check_erased(w, &m.kv, index);
        else
            CHECK_EQ_INT(rc, LEDGER_ETAMPER);
        erased += rc == LEDGER_OK;
        refused += rc != LEDGER_OK;
        kv_mem_free(mem);
        arena_reset(w->scratch);
        arena_release(w->a, mark);
    }
    CHECK(erased > 20 && refused > 20); /* what comes after the step does not matter to it */
    world_close(w);
}

/* Content that is missing without an ERASURE, or with another opening, is found out. */
TEST(nobody_erases_in_secret)
{
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct log_copy log;
    struct verdict v;
    struct hash one = ids.step;
    CHECK_EQ_INT(erase(w, &one, 1), REFUSE_NONE);
    world_commit(w);
    world_begin(w);
    read_log(w, &log);
    size_t at = 0;
    while (!log.record[at].erased_by)
        at++;
    /* every byte of the opening counts */
    for (size_t i = 0; i < log.record[at].opening.n; i += 3) {
        struct replica r = replica_open(w);
        struct entry_record bad = log.record[at];
        uint8_t *p = arena_alloc(w->a, bad.opening.n);
        memcpy(p, bad.opening.p, bad.opening.n);
        p[i] ^= 0x41;
        bad.opening = span_of(p, bad.opening.n);
        for (size_t k = 0; k < at; k++)
            CHECK_EQ_INT(feed(&r, &log.record[k], &v), LEDGER_OK);
        bool reference = i + HASH_LEN >= bad.opening.n; /* not committed to: it can only make the ledger refuse more or less */
        CHECK(reference || feed(&r, &bad, &v) != LEDGER_OK);
        kv_mem_free(r.mem);
    }
    /* said to be erased by an entry that does not do so */
    struct replica r = replica_open(w);
    struct log_copy other = log;
    other.record[at].erased_by = log.n - 1;
    bool caught = false;
    for (size_t k = 0; k < other.n && !caught; k++)
        caught = feed(&r, &other.record[k], &v) != LEDGER_OK;
    CHECK(caught || r.m.erased_open);
    kv_mem_free(r.mem);
    world_close(w);
}

/* An entry of this kind that advances one chain to a state of the log's choosing, as if its content had been erased. */
static struct entry_record invented(struct world *w, uint64_t index, unsigned kind, const struct chain *now, struct chain *next)
{
    struct arena *a = w->a;
    struct link *link = arena_alloc(a, sizeof *link);
    struct opening_part part = {.salt = {{7}}};
    struct opening o = {.n = 1, .parts = &part, .has_reference = true, .reference = {{9}}};
    struct wbuf state;
    next->before = (struct stored_state){0};
    wbuf_init(&state, a);
    state_encode(w->c, next, true, &state);
    part.state = wbuf_span(&state);
    *link = (struct link){.chain = now->key, .seq = now->count, .prev = now->head};
    CHECK(state_commit(w->c, a, next, now->count, &part.salt, &link->state));
    const struct header h = {.index = index, .epoch = w->m.epoch, .recorded_us = w->now_us, .kind = (uint16_t)kind, .event_id = {{1}},
                             .block_hash = {{2}}, .n_links = 1, .links = link};
    return (struct entry_record){.header = header_encode(a, &h), .opening = opening_encode(a, &o), .erased_by = index + 1};
}

/* Nobody has judged what is said to be erased: it must not change what its kind never could, least of all whose signature counts. */
TEST(what_is_said_to_be_erased_gives_nobody_another_key)
{
    static const enum chain_type types[] = {CHAIN_PARTY, CHAIN_ITEM, CHAIN_LEDGER};
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct log_copy log;
    read_log(w, &log);
    for (unsigned i = 0; i < 3; i++) {
        struct replica r = replica_open(w);
        struct verdict v;
        struct hash key;
        struct span record;
        struct chain *now = arena_alloc(w->a, sizeof *now), *next = arena_alloc(w->a, sizeof *next);
        feed_all(&r, &log);
        struct span id = i == 0 ? SPAN_LIT("u.qa") : i == 1 ? SPAN_LIT("LOT-1") : span_str(w->m.origin);
        chain_key(w->c, &w->index_key, types[i], id, &key);
        MUST(kv_get(&r.m.kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record));
        MUST(chain_record_decode(arena_copy(w->a, record), now, err));
        now->key = key;
        *next = *now;
        if (i == 0)
            next->party.key = arena_copy(w->a, span_of(HASH_ZERO.b, HASH_LEN)); /* somebody else's */
        if (i == 2)
            next->ledger.heartbeat_s++;
        const struct entry_record e = invented(w, log.n, KIND_STORAGE_MOVED, now, next);
        enum ledger_rc rc = feed(&r, &e, &v);
        CHECK_EQ_INT(rc, i == 1 ? LEDGER_OK : LEDGER_ETAMPER); /* an item: that an ERASURE has to name it comes later */
        CHECK(i == 1 || strstr(v.text, "cannot have changed a chain"));
        kv_mem_free(r.mem);
    }
    world_close(w);
}

TEST(what_cannot_be_erased)
{
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct hash unknown = {{1, 2, 3}}, one;
    one = unknown;
    CHECK_EQ_INT(erase(w, &one, 1), E_ERASE_TARGET);
    one = ids.registration;
    CHECK_EQ_INT(erase(w, &one, 1), E_ERASE_TARGET);
    one = ids.step;
    one.b[HASH_LEN - 1] ^= 1; /* begins like one of this ledger */
    CHECK_EQ_INT(erase(w, &one, 1), E_ERASE_TARGET);
    one = ids.step;
    CHECK_EQ_INT(act(w, OWN_ERASURE, erasure(w, &one, 1), "admin"), E_SIG_SECOND_MISSING);
    CHECK_EQ_INT(act(w, OWN_ERASURE, erasure(w, &one, 1), "admin,admin"), E_SIG_SAME_PERSON);
    CHECK_EQ_INT(act(w, OWN_ERASURE, erasure(w, &one, 1), "u.qa,admin"), E_ROLE);
    CHECK_EQ_INT(act(w, OWN_ERASURE, erasure(w, &one, 1), "admin,u.op"), E_ROLE);
    CHECK_EQ_INT(act(w, OWN_ERASURE, erasure(w, &one, 1), "admin,u.qa,u.qp"), E_SIG_COUNT);
    uint64_t size = w->m.size;
    CHECK_EQ_INT(erase(w, &one, 1), REFUSE_NONE);
    CHECK_EQ_INT(w->m.size, size + 1);
    CHECK_EQ_INT(erase(w, &one, 1), E_ERASE_TARGET); /* once */
    world_close(w);
}

TEST(retention_holds)
{
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct parameters p = {.nonce = {5}, .rules_version = 1, .n_algorithms = 1, .algorithms = {SIG_ED25519}, .n_retentions = 1,
                           .retentions = {{KIND_PROCESS_STEP, 30}}};
    CHECK_EQ_INT(act(w, OWN_PARAMETERS, parameters_encode(w->a, &p), "admin,u.qa"), REFUSE_NONE);
    struct hash one = ids.step;
    CHECK_EQ_INT(erase(w, &one, 1), E_RETAINED);
    struct parameters now;
    MUST(machine_parameters(&w->m, &now, err));
    CHECK(now.n_retentions == 1 && now.retentions[0].days == 30 && now.n_algorithms == 1);
    w->now_us += 31 * INT64_C(86400) * WORLD_SECOND_US;
    CHECK_EQ_INT(erase(w, &one, 1), REFUSE_NONE);
    world_commit(w);
    world_begin(w);
    struct log_copy log;
    struct replica r = replica_open(w);
    read_log(w, &log);
    feed_all(&r, &log);
    CHECK_EQ_INT(r.m.algorithms, UINT64_C(1) << SIG_ED25519);
    kv_mem_free(r.mem);
    world_close(w);
}

static void correct(struct world *w, const struct hash *target, struct hash *correction)
{
    char text[300], hex[2 * HASH_LEN + 1];
    hex_encode(span_of(target->b, HASH_LEN), hex);
    snprintf(text, sizeof text, "target_event=%s;reason=it was another day;did_not_occur=true", hex);
    play(w, "EVENT_CORRECTED", "u.op,u.qa", text);
    *correction = w->last_event;
}

TEST(a_corrected_event_goes_with_its_corrections)
{
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct hash correction;
    correct(w, &ids.step, &correction);
    struct hash one = ids.step, both[] = {ids.step, correction};
    CHECK_EQ_INT(erase(w, &one, 1), E_ERASE_TARGET);
    CHECK_EQ_INT(erase(w, both, 2), REFUSE_NONE);
    world_commit(w);
    world_begin(w);
    struct log_copy log;
    struct replica r = replica_open(w);
    read_log(w, &log);
    feed_all(&r, &log);
    CHECK_EQ_INT(r.m.erased_open, 0);
    kv_mem_free(r.mem);
    world_close(w);
}

/* ---- log key ---- */

static struct span log_key_payload(struct world *w, const struct secret_key *new, const char *old_vkey, uint64_t from)
{
    struct note_key key;
    char *vkey = arena_alloc(w->a, NOTE_NAME_MAX + 200);
    struct span pub = span_of(new->pub, new->pub_len);
    CHECK(note_key_make(w->c, WORLD_ORIGIN, NOTE_ED25519, pub, &key));
    note_key_format(&key, vkey);
    struct log_key_change k = {.old_vkey = span_str(old_vkey), .new_vkey = span_str(vkey), .from_size = from};
    k.proof = world_sign(w, new, key_proof_input(w->a, SPAN_LIT(WORLD_ORIGIN), SPAN_LIT(WORLD_ORIGIN), SIG_ED25519, pub));
    return log_key_change_encode(w->a, &k);
}

static enum ledger_rc own(struct world *w, enum own_kind kind, struct span payload)
{
    struct appended_entry e;
    struct ledger_err err;
    enum ledger_rc rc = machine_own(&w->m, kind, payload, w->now_us, &e, &err);
    arena_reset(w->scratch);
    return rc;
}

TEST(a_log_key_follows_another)
{
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct secret_key new = world_key(w, 7, 77), other = world_key(w, 7, 78);
    char old[sizeof w->m.log_vkey];
    memcpy(old, w->m.log_vkey, sizeof old);
    uint64_t index = w->m.size;
    struct span good = log_key_payload(w, &new, old, index + 3);
    CHECK_EQ_INT(own(w, OWN_LOG_KEY, log_key_payload(w, &new, old, index + 2)), LEDGER_EINVAL);
    CHECK_EQ_INT(own(w, OWN_LOG_KEY, log_key_payload(w, &w->log_key, old, index + 3)), LEDGER_EINVAL);
    struct span stolen = log_key_payload(w, &other, old, index + 3); /* the proof is by another key than the one named */
    uint8_t *p = arena_alloc(w->a, good.n);
    memcpy(p, good.p, good.n);
    memcpy(p + good.n - 64, stolen.p + stolen.n - 64, 64);
    CHECK_EQ_INT(own(w, OWN_LOG_KEY, span_of(p, good.n)), LEDGER_EINVAL);
    CHECK_EQ_INT(w->m.size, index);
    CHECK_EQ_INT(own(w, OWN_LOG_KEY, good), LEDGER_OK);
    CHECK_EQ_INT(own(w, OWN_CLOCK_STEP, clock_step_encode(w->a, &(struct clock_step){.clock_us = 1})), LEDGER_EINVAL); /* not sealed yet */
    world_commit(w);
    CHECK_EQ_INT(w->m.size, index + 2);
    CHECK(strcmp(machine_log_vkey(&w->m, index + 2), old) == 0);
    CHECK(strcmp(machine_log_vkey(&w->m, index + 3), old) != 0);
    world_begin(w);
    CHECK_EQ_INT(own(w, OWN_LOG_KEY, log_key_payload(w, &other, old, w->m.size + 3)), LEDGER_EINVAL); /* no longer in force */
    struct log_copy log;
    struct replica r = replica_open(w);
    read_log(w, &log);
    feed_all(&r, &log);
    CHECK_EQ_INT(r.m.log_key_from, index + 3);
    kv_mem_free(r.mem);
    world_close(w);
}

/* ---- time stamps ---- */

TEST(a_time_stamp_stamps_a_checkpoint_of_this_log)
{
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct merkle_store tree = machine_tree(&w->m);
    struct checkpoint cp = {SPAN_LIT(WORLD_ORIGIN), w->m.size, {{0}}};
    struct time_stamp t = {.token = SPAN_LIT("token")};
    struct note_key key;
    struct wbuf note;
    CHECK(note_key_make(w->c, WORLD_ORIGIN, NOTE_ED25519, span_of(w->log_key.pub, w->log_key.pub_len), &key));
    wbuf_init(&note, w->a);
    checkpoint_sign(w->c, &key, &w->log_key, &cp, &note);
    t.note = wbuf_span(&note);
    CHECK_EQ_INT(own(w, OWN_TIME_STAMP, time_stamp_encode(w->a, &t)), LEDGER_EINVAL); /* another root */
    CHECK(merkle_root(w->c, &tree, cp.size, &cp.root));
    cp.size++; /* not yet */
    wbuf_init(&note, w->a);
    checkpoint_sign(w->c, &key, &w->log_key, &cp, &note);
    t.note = wbuf_span(&note);
    CHECK_EQ_INT(own(w, OWN_TIME_STAMP, time_stamp_encode(w->a, &t)), LEDGER_EINVAL);
    world_close(w);
}

/* ---- genesis ---- */

TEST(a_genesis_states_the_limits_of_its_format)
{
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct log_copy log;
    struct genesis real;
    struct appended_entry e;
    read_log(w, &log);
    MUST(genesis_decode(log.record[0].event, &real, err));
    for (int i = 0; i < 3; i++) {
        struct genesis g = real;
        struct replica r = replica_open(w);
        g.event_size_max += i == 1;
        g.batch_events_max -= i == 2;
        CHECK_EQ_INT(machine_genesis(&r.m, genesis_encode(w->a, &g), w->now_us, &e, NULL), i == 0 ? LEDGER_OK : LEDGER_EINVAL);
        kv_mem_free(r.mem);
    }
    world_close(w);
}

/* ---- successor ---- */

static void approve(struct world *w, struct successor *s, const char *origin, unsigned i, const char *party, const struct secret_key *k)
{
    uint8_t *signature = arena_alloc(w->a, 64);
    s->approvers[i] = (struct approver){.party = span_str(party), .alg = (uint16_t)k->alg, .key = span_of(k->pub, k->pub_len)};
    CHECK(crypto_make_signature(w->c, k, successor_input(w->a, span_str(origin), s, &s->approvers[i]), signature));
    s->approvers[i].signature = span_of(signature, 64);
}

/* As entry 1 of a machine that has read the world's genesis. */
static enum ledger_rc succeed(struct world *w, const struct log_copy *log, const struct successor *s, bool late)
{
    struct appended_entry e;
    struct checkpoint cp;
    struct replica r = replica_open(w);
    struct verdict v;
    MUST(feed(&r, &log->record[0], &v));
    if (late)
        MUST(machine_seal(&r.m, w->now_us, &e, &cp, err));
    struct span payload = successor_encode(w->a, s);
    enum ledger_rc rc = machine_own(&r.m, OWN_SUCCESSOR, payload, w->now_us, &e, NULL);
    if (rc == LEDGER_OK) { /* and replayed to the same bytes */
        struct replica again = replica_open(w);
        struct entry_record record = {.header = arena_copy(w->a, e.header), .event = payload};
        CHECK_EQ_INT(e.index, 1);
        MUST(feed(&again, &log->record[0], &v));
        CHECK_EQ_INT(feed(&again, &record, &v), LEDGER_OK);
        kv_mem_free(again.mem);
    }
    kv_mem_free(r.mem);
    return rc;
}

TEST(a_successor_is_approved_by_two_and_stands_first)
{
    static const char former[] = "former.example/ledger";
    struct ids ids;
    struct world *w = busy_world(&ids);
    struct secret_key log_key = world_key(w, 7, 90), one = world_key(w, 7, 91), two = world_key(w, 7, 92);
    struct log_copy log;
    struct note_key key;
    struct wbuf note;
    const struct checkpoint cp = {span_str(former), 42, {{1}}};
    struct successor s = {.origin = span_str(former), .reason = SPAN_LIT("lost"), .n = 2}, other;
    read_log(w, &log);
    CHECK(note_key_make(w->c, former, NOTE_ED25519, span_of(log_key.pub, log_key.pub_len), &key));
    wbuf_init(&note, w->a);
    checkpoint_sign(w->c, &key, &log_key, &cp, &note);
    s.note = wbuf_span(&note);
    approve(w, &s, WORLD_ORIGIN, 0, "a", &one);
    approve(w, &s, WORLD_ORIGIN, 1, "b", &two);
    CHECK_EQ_INT(succeed(w, &log, &s, false), LEDGER_OK);
    CHECK_EQ_INT(succeed(w, &log, &s, true), LEDGER_EINVAL);
    CHECK_EQ_INT(own(w, OWN_SUCCESSOR, successor_encode(w->a, &s)), LEDGER_EINVAL);
    other = s;
    other.reason = SPAN_LIT("found");
    CHECK_EQ_INT(succeed(w, &log, &other, false), LEDGER_EINVAL); /* not what was signed */
    other = s;
    other.n = 1;
    CHECK_EQ_INT(succeed(w, &log, &other, false), LEDGER_EINVAL);
    other = s;
    approve(w, &other, WORLD_ORIGIN, 1, "b", &one); /* one key for two persons */
    CHECK_EQ_INT(succeed(w, &log, &other, false), LEDGER_EINVAL);
    other = s;
    approve(w, &other, WORLD_ORIGIN, 1, "a", &two);
    CHECK_EQ_INT(succeed(w, &log, &other, false), LEDGER_EINVAL);
    other = s;
    approve(w, &other, "another.example/ledger", 1, "b", &two);
    CHECK_EQ_INT(succeed(w, &log, &other, false), LEDGER_EINVAL);
    other = s;
    other.note = SPAN_LIT("former.example/ledger\n42\n\n");
    CHECK_EQ_INT(succeed(w, &log, &other, false), LEDGER_EINVAL);
    struct span bytes = successor_encode(w->a, &s);
    for (size_t n = 0; n < bytes.n; n++)
        CHECK(successor_decode(span_of(bytes.p, n), &other, NULL) != LEDGER_OK);
    CHECK_EQ_INT(successor_decode(bytes, &other, NULL), LEDGER_OK);
    CHECK(span_eq(successor_encode(w->a, &other), bytes));
    world_close(w);
}

TEST_MAIN(TEST_ENTRY(every_past_state_opens_its_commitment),
          TEST_ENTRY(history_steps_lead_from_state_to_state), TEST_ENTRY(nothing_is_erased_upon_a_rotten_history),
          TEST_ENTRY(a_row_of_another_length_is_noticed),
          TEST_ENTRY(an_erased_event_is_gone_and_everything_goes_on),
          TEST_ENTRY(nobody_erases_in_secret),
          TEST_ENTRY(what_is_said_to_be_erased_gives_nobody_another_key),
          TEST_ENTRY(what_cannot_be_erased),
          TEST_ENTRY(retention_holds),
          TEST_ENTRY(a_corrected_event_goes_with_its_corrections),
          TEST_ENTRY(a_log_key_follows_another),
          TEST_ENTRY(a_time_stamp_stamps_a_checkpoint_of_this_log),
          TEST_ENTRY(a_genesis_states_the_limits_of_its_format), TEST_ENTRY(a_successor_is_approved_by_two_and_stands_first))
