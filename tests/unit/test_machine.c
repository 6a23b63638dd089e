/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: replaying an exported log reproduces every header byte and every root, and any flipped byte of any recorded
 * header, event or signature block is named. Receipts survive the same treatment.
 */
#include "lib/query_world.h"

struct copy {
    size_t n;
    struct entry_record record[64];
};

static void export_log(struct world *w, struct copy *out)
{
    struct store_snapshot *sn;
    uint8_t key[KV_KEY_MAX];
    struct span v;
    MUST(store_snapshot_open(w->store, &sn, err));
    struct kv kv = store_snapshot_kv(sn);
    for (out->n = 0; kv_get(&kv, KV_LOG, kv_key_u64(key, out->n), &v) == LEDGER_OK; out->n++) {
        CHECK(out->n < 64);
        v = arena_copy(w->a, v);
        CHECK(entry_record_split(v, &out->record[out->n]));
    }
    store_snapshot_close(sn);
}

struct replayer {
    struct kv_mem *mem;
    struct machine m;
};

static struct replayer replayer_open(struct world *w)
{
    struct replayer r = {.mem = kv_mem_new(NULL, (size_t)64 << 20)};
    r.m = (struct machine){.c = w->c, .a = w->scratch, .kv = kv_mem_kv(r.mem), .index_key = w->index_key, .wire = true};
    return r;
}

static enum ledger_rc replay(struct replayer *r, const struct copy *log, size_t i, struct verdict *v)
{
    arena_reset(r->m.a);
    return machine_replay(&r->m, &log->record[i], NULL, v, NULL);
}

static struct world *busy_world(void)
{
    struct world *w = world_open();
    world_begin(w);
    play(w, "COI_ASSIGNED", "u.consent", "coi=CHA999926000001;subject_commit=ab;use=AUTOLOGOUS");
    play(w, "CONSENT_CHANGED", "u.consent",
         "coi=CHA999926000001;action=GIVEN;scopes=COLLECTION|MANUFACTURE|TREATMENT;document_hash=aa;version=1");
    world_commit(w);
    world_begin(w);
    play(w, "COLLECTION_PERFORMED", "u.coll",
         "item=APH-1;din=A999926000101;coi=CHA999926000001;use=AUTOLOGOUS;quantity=240;uom=mL;"
         "expiry=2030-01-01T00:00:00Z;site=WARD;procedure=apheresis");
    play(w, "QUALITY_DECISION", "u.qa,u.qp", "item=APH-1;decision=RELEASE;spec_version=1;reason=ok");
    play(w, "PARTY_REGISTERED", "admin", "action=ROTATE_KEY;org=CPC;party=u.op;roles=OPERATOR");
    play(w, "LOT_CREATED", "u.op",
         "item=LOT-1;lot_class=BATCH;product_code=P;lot=L;use=AUTOLOGOUS;coi=CHA999926000001;required_tests=viability;spec_version=1");
    play(w, "INPUT_CONSUMED", "u.op", "item=LOT-1;input=APH-1;quantity=200.5;uom=mL");
    play(w, "LOT_DERIVED", "u.op", "item=LOT-1;quantity=60;uom=mL;expiry=2030-01-01T00:00:00Z");
    play(w, "LOT_SPLIT", "u.op", "item=LOT-1;units=BAG-1:30|BAG-2:30");
    world_commit(w);
    return w;
}

TEST(replay_reproduces_every_byte_and_root)
{
    struct world *w = busy_world();
    struct copy log;
    struct verdict v;
    export_log(w, &log);
    CHECK(log.n > 20);
    struct replayer r = replayer_open(w);
    for (size_t i = 0; i < log.n; i++) {
        if (replay(&r, &log, i, &v))
            fprintf(stderr, "entry %zu: %s: %s\n", i, v.what, v.text);
        CHECK_EQ_INT(r.m.size, i + 1);
    }
    CHECK_EQ_INT(r.m.seal, log.n - 1);
    CHECK_EQ_MEM(r.m.map_root.b, w->m.map_root.b, HASH_LEN);
    struct hash mine, theirs;
    struct merkle_store tree = machine_tree(&r.m);
    struct store_snapshot *sn;
    MUST(store_snapshot_open(w->store, &sn, err));
    struct kv kv = store_snapshot_kv(sn);
    struct merkle_store other = kv_tree(&kv);
    for (uint64_t size = 1; size <= log.n; size++) {
        CHECK(merkle_root(w->c, &tree, size, &mine) && merkle_root(w->c, &other, size, &theirs));
        CHECK_EQ_MEM(mine.b, theirs.b, HASH_LEN);
    }
    store_snapshot_close(sn);
    kv_mem_free(r.mem);
    world_close(w);
}

/* Replays the rest: an entry contradicts, or at the latest the root is another. */
static void follow(struct world *w, struct replayer *r, const struct copy *log, size_t from)
{
    struct verdict v;
    struct hash root, want;
    for (size_t i = from; i < log->n; i++)
        if (replay(r, log, i, &v)) {
            CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
            return;
        }
    struct store_snapshot *sn;
    MUST(store_snapshot_open(w->store, &sn, err));
    struct kv kv = store_snapshot_kv(sn);
    struct merkle_store mine = machine_tree(&r->m), theirs = kv_tree(&kv);
    CHECK(merkle_root(w->c, &mine, log->n, &root) && merkle_root(w->c, &theirs, log->n, &want));
    CHECK(!hash_eq(&root, &want));
    store_snapshot_close(sn);
}

/* Replays up to entry i, then entry i with one byte of one part flipped: it must be called tampered (or of a newer version, when the flip
 * makes a version number larger), with a sentence. */
static void flip(struct world *w, const struct copy *log, size_t i, unsigned part, size_t at)
{
    struct replayer r = replayer_open(w);
    struct verdict v;
    for (size_t k = 0; k < i; k++)
        CHECK_EQ_INT(replay(&r, log, k, &v), LEDGER_OK);
    struct copy bad = *log;
    struct span *s = part == 0 ? &bad.record[i].header : part == 1 ? &bad.record[i].event : &bad.record[i].block;
    uint8_t bytes[4096];
    CHECK(s->n <= sizeof bytes);
    memcpy(bytes, s->p, s->n);
    bytes[at] ^= 0x5a;
    *s = span_of(bytes, s->n);
    enum ledger_rc rc = replay(&r, &bad, i, &v);
    if (rc == LEDGER_OK) { /* a later recorded time is no contradiction in itself: what follows gives it away */
        CHECK(part == 0 && at >= 17 && at < 25);
        follow(w, &r, &bad, i + 1);
        kv_mem_free(r.mem);
        return;
    }
    if (rc != LEDGER_ETAMPER && rc != LEDGER_EVERSION)
        fprintf(stderr, "entry %zu part %u byte %zu: %s\n", i, part, at, ledger_rc_text(rc));
    CHECK(rc == LEDGER_ETAMPER || rc == LEDGER_EVERSION);
    CHECK(v.kind == VERDICT_TAMPERED || v.kind == VERDICT_NEWER);
    CHECK(v.what[0] && v.text[0]);
    CHECK_EQ_INT(v.index, i);
    kv_mem_free(r.mem);
}

TEST(every_flipped_byte_is_named)
{
    struct world *w = busy_world();
    struct copy log;
    export_log(w, &log);
    unsigned tried = 0;
    for (size_t i = 0; i < log.n; i += i < 3 ? 1 : 4) { /* genesis, epoch, a seal, and a sample of the rest */
        for (size_t at = 0; at < log.record[i].header.n; at += 3, tried++)
            flip(w, &log, i, 0, at);
        for (size_t at = 0; at < log.record[i].event.n; at += 5, tried++)
            flip(w, &log, i, 1, at);
        for (size_t at = 0; at < log.record[i].block.n; at += 5, tried++)
            flip(w, &log, i, 2, at);
    }
    CHECK(tried > 500);
    world_close(w);
}

TEST(dropped_doubled_and_swapped_entries_are_named)
{
    struct world *w = busy_world();
    struct copy log;
    struct verdict v;
    export_log(w, &log);
    for (size_t i = 2; i + 1 < log.n; i++) {
        struct replayer r = replayer_open(w);
        for (size_t k = 0; k < i; k++)
            CHECK_EQ_INT(replay(&r, &log, k, &v), LEDGER_OK);
        CHECK_EQ_INT(replay(&r, &log, i + 1, &v), LEDGER_ETAMPER);
        CHECK_EQ_STR(v.what, "index");
        CHECK_EQ_INT(replay(&r, &log, i - 1, &v), LEDGER_ETAMPER);
        kv_mem_free(r.mem);
    }
    world_close(w);
}

TEST(another_index_key_is_noticed_at_once)
{
    struct world *w = busy_world();
    struct copy log;
    struct verdict v;
    export_log(w, &log);
    struct replayer r = replayer_open(w);
    r.m.index_key.b[0] ^= 1;
    CHECK_EQ_INT(replay(&r, &log, 0, &v), LEDGER_ETAMPER);
    kv_mem_free(r.mem);
    world_close(w);
}

TEST(refused_events_leave_no_trace)
{
    struct world *w = busy_world();
    struct copy log;
    export_log(w, &log);
    world_begin(w);
    struct machine before = w->m;
    struct event ev;
    struct refusal why;
    struct appended_entry e;
    struct sigblock b;
    size_t i = log.n - 2; /* the split, again: the same bytes */
    MUST(event_decode(w->c, w->a, log.record[i].event, &ev, &why, err));
    MUST(sigblock_decode(log.record[i].block, &b, err));
    struct submission s = {.ev = &ev, .block = log.record[i].block, .b = &b};
    CHECK_EQ_INT(machine_event(&w->m, &s, w->now_us, &e, &why, NULL), LEDGER_EREFUSED);
    CHECK_EQ_INT(why.code, E_DUP_EVENT);
    CHECK_EQ_INT(e.index, i);
    CHECK_EQ_INT(w->m.size, before.size);
    CHECK_EQ_INT(kv_mem_bytes(w->batch) < 4096, 1); /* nothing was written */
    store_abort(w->store);
    world_close(w);
}

/* "Hashes only" leaves out the verification of signatures, not the question whose key they name: what a worker found out about a key
 * says nothing about the one that replaced it. */
TEST(a_signature_that_names_another_key_is_noticed_unverified)
{
    struct world *w = busy_world();
    struct copy log;
    struct verdict v;
    struct header h;
    struct sigblock b;
    uint8_t other[KEY_ID_LEN];
    const struct replay_options hashes_only = {.skip_signatures = true};
    export_log(w, &log);
    size_t i = log.n - 2; /* the split */
    for (unsigned wrong = 0; wrong < 2; wrong++) {
        struct replayer r = replayer_open(w);
        for (size_t k = 0; k < i; k++)
            CHECK_EQ_INT(machine_replay(&r.m, &log.record[k], &hashes_only, &v, NULL), LEDGER_OK);
        MUST(header_decode(w->a, log.record[i].header, &h, err));
        MUST(sigblock_decode(log.record[i].block, &b, err));
        memcpy(other, b.sigs[0].key_id.p, sizeof other);
        other[0] ^= (uint8_t)wrong;
        b.sigs[0].key_id = span_of(other, sizeof other);
        struct entry_record bad = {.event = log.record[i].event, .block = sigblock_encode(w->a, &b)};
        sigblock_hash(w->c, bad.block, &h.block_hash);
        bad.header = header_encode(w->a, &h);
        CHECK_EQ_INT(machine_replay(&r.m, &bad, &hashes_only, &v, NULL), wrong ? LEDGER_ETAMPER : LEDGER_OK);
        kv_mem_free(r.mem);
    }
    world_close(w);
}

TEST_MAIN(TEST_ENTRY(a_signature_that_names_another_key_is_noticed_unverified), TEST_ENTRY(replay_reproduces_every_byte_and_root), TEST_ENTRY(every_flipped_byte_is_named),
          TEST_ENTRY(dropped_doubled_and_swapped_entries_are_named), TEST_ENTRY(another_index_key_is_noticed_at_once),
          TEST_ENTRY(refused_events_leave_no_trace))
