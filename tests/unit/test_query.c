/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_query: checkpoints, consistency, entries, receipts and status, verified by the verifier that
 * clients use (proto/verify.h), and the errors that take the place of answers: malformed requests,
 * rights, limits, and a store that has been tampered with. Proofs and lists: test_query_prove.c.
 */
#include "lib/query_world.h"

/* ---- checkpoint, consistency ---- */

TEST(checkpoint_is_of_the_latest_batch)
{
    struct world *w = world_open();
    Ledgerd__V1__Request req = REQUEST(1);
    Ledgerd__V1__CheckpointRequest cp = LEDGERD__V1__CHECKPOINT_REQUEST__INIT;
    struct answers ans, again;
    req.op_case = LEDGERD__V1__REQUEST__OP_CHECKPOINT;
    req.checkpoint = &cp;
    ask(w, &req, &ans);
    CHECK_EQ_INT(ans.n, 1);
    struct snapshot s = verified_snapshot(w, ans.r[0]->checkpoint);
    CHECK_EQ_INT(s.cp.size, w->m.size);
    CHECK(hash_eq(&s.seal.map_root, &w->m.map_root));
    ask(w, &req, &again);
    CHECK(span_eq(of_bin(ans.r[0]->checkpoint->checkpoint),
                  of_bin(again.r[0]->checkpoint->checkpoint)));
    world_close(w);
}

static void ask_consistency(struct world *w, uint64_t size1, uint64_t size2, struct answers *ans)
{
    Ledgerd__V1__Request req = REQUEST(2);
    Ledgerd__V1__ConsistencyRequest c = LEDGERD__V1__CONSISTENCY_REQUEST__INIT;
    c.size1 = size1;
    c.size2 = size2;
    req.op_case = LEDGERD__V1__REQUEST__OP_CONSISTENCY;
    req.consistency = &c;
    ask(w, &req, ans);
}

TEST(consistency_joins_every_two_sizes)
{
    struct world *w = world_open();
    struct verifier vf = world_verifier(w);
    struct answers ans;
    struct merkle_store tree;
    struct store_snapshot *sn;
    MUST(store_snapshot_open(w->store, &sn, err));
    struct kv kv = store_snapshot_kv(sn);
    tree = kv_tree(&kv);
    for (uint64_t n2 = 1; n2 <= w->m.size; n2++)
        for (uint64_t n1 = 1; n1 <= n2; n1++) {
            struct hash r1, r2;
            CHECK(merkle_root(w->c, &tree, n1, &r1) && merkle_root(w->c, &tree, n2, &r2));
            ask_consistency(w, n1, n2, &ans);
            const Ledgerd__V1__ConsistencyResponse *c = ans.r[0]->consistency;
            CHECK_EQ_INT(ans.r[0]->answer_case, LEDGERD__V1__RESPONSE__ANSWER_CONSISTENCY);
            VERIFIED(verify_consistency(&vf, n1, &r1, n2, &r2, of_bin(c->path), v));
            CHECK_EQ_INT(c->checkpoint.len > 0, n2 == w->m.size);
        }
    store_snapshot_close(sn);
    ask_consistency(w, 1, 0, &ans);
    CHECK_EQ_INT(ans.r[0]->consistency->size2, w->m.size);
    ask_consistency(w, w->m.size + 1, 0, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_NOT_FOUND, "beyond");
    ask_consistency(w, 0, 1, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "size1");
    ask_consistency(w, 5, 4, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "size1");
    world_close(w);
}

/* ---- entries ---- */

static void entries_request(Ledgerd__V1__Request *req, Ledgerd__V1__EntriesRequest *e)
{
    *req = (Ledgerd__V1__Request)REQUEST(3);
    ledgerd__v1__entries_request__init(e);
    req->op_case = LEDGERD__V1__REQUEST__OP_ENTRIES;
    req->entries = e;
}

TEST(entries_are_the_whole_log_in_pieces)
{
    struct world *w = make_ledger();
    Ledgerd__V1__Request req;
    Ledgerd__V1__EntriesRequest e;
    struct answers ans;
    struct frontier f = {0};
    struct hash root;
    world_begin(w);
    play_moves(w, "M0", 600);
    world_commit(w);
    entries_request(&req, &e);
    ask(w, &req, &ans);
    CHECK(ans.n >= 3);
    struct snapshot s = verified_snapshot(w, ans.r[0]->entries->snapshot);
    uint64_t next = 0;
    for (size_t i = 0; i < ans.n; i++) {
        const Ledgerd__V1__EntriesResponse *er = ans.r[i]->entries;
        CHECK_EQ_INT(er->first, next);
        CHECK_EQ_INT(er->snapshot != NULL, i == 0);
        for (size_t k = 0; k < er->n_records; k++, next++) {
            struct entry entry = verified_entry(w, er->records[k]);
            CHECK_EQ_INT(entry.header.index, next);
            CHECK(entry.content || entry.header.kind == OWN_SEAL);
            frontier_append(w->c, &f, &entry.leaf);
        }
    }
    CHECK_EQ_INT(next, w->m.size);
    frontier_root(w->c, &f, &root);
    CHECK(hash_eq(&root, &s.cp.root));
    world_close(w);
}

TEST(entries_respect_range_headers_and_rights)
{
    struct world *w = make_ledger();
    Ledgerd__V1__Request req;
    Ledgerd__V1__EntriesRequest e;
    struct answers ans;
    entries_request(&req, &e);
    e.first = 3;
    e.end = 5;
    ask(w, &req, &ans);
    CHECK_EQ_INT(ans.r[0]->entries->n_records, 2);
    CHECK_EQ_INT(ans.r[0]->entries->first, 3);
    e.headers_only = true;
    ask(w, &req, &ans);
    CHECK_EQ_INT(ans.r[0]->entries->records[0]->event.len, 0);
    CHECK(!ans.r[0]->entries->records[0]->withheld);
    e.headers_only = false;
    e.first = 0;
    e.end = 0;
    w->access.read_kinds = 1u << (KIND_LOT_SPLIT - EVENT_KIND_FIRST);
    ask(w, &req, &ans);
    unsigned seen = 0;
    for (size_t i = 0; i < ans.r[0]->entries->n_records; i++) {
        struct entry entry = verified_entry(w, ans.r[0]->entries->records[i]);
        bool readable = entry.own || entry.header.kind == KIND_LOT_SPLIT;
        CHECK_EQ_INT(ans.r[0]->entries->records[i]->withheld, !readable);
        CHECK_EQ_INT(ans.r[0]->entries->records[i]->event.len == 0,
                     !readable || entry.header.kind == OWN_SEAL);
        seen += entry.header.kind == KIND_LOT_SPLIT;
    }
    CHECK_EQ_INT(seen, 1);
    e.first = w->m.size;
    ask(w, &req, &ans);
    CHECK_EQ_INT(ans.n, 1);
    CHECK_EQ_INT(ans.r[0]->entries->n_records, 0);
    e.first = w->m.size + 1;
    ask(w, &req, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_NOT_FOUND, "beyond");
    e.first = 5;
    e.end = 4;
    ask(w, &req, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "end");
    world_close(w);
}

TEST(following_goes_batch_by_batch)
{
    struct world *w = world_open();
    Ledgerd__V1__Request req;
    Ledgerd__V1__EntriesRequest e;
    bool more;
    entries_request(&req, &e);
    e.follow = true;
    struct query *q = ask_begin(w, &req);
    Ledgerd__V1__Response *r = ask_next(w, q, &more);
    CHECK(r && more);
    CHECK_EQ_INT(r->entries->n_records, w->m.size);
    CHECK(ask_next(w, q, &more) == NULL);
    uint64_t before = w->m.size, ends[2];
    for (int i = 0; i < 2; i++) {
        world_begin(w);
        play_material(w, i ? "M1" : "M0");
        world_commit(w);
        ends[i] = w->m.size;
    }
    for (int i = 0; i < 2; i++) {
        r = ask_next(w, q, &more);
        CHECK(r && more);
        CHECK_EQ_INT(r->entries->first, before);
        CHECK_EQ_INT(r->entries->n_records, ends[i] - before);
        struct snapshot s = verified_snapshot(w, r->entries->snapshot);
        CHECK_EQ_INT(s.cp.size, ends[i]);
        before = ends[i];
    }
    CHECK(ask_next(w, q, &more) == NULL);
    query_end(q);
    e.first = 0;
    e.end = w->m.size + 1;
    q = ask_begin(w, &req);
    CHECK(ask_next(w, q, &more) != NULL && more);
    world_begin(w);
    play_material(w, "M2");
    world_commit(w);
    r = ask_next(w, q, &more);
    CHECK(r && !more);
    CHECK_EQ_INT(r->entries->n_records, 1);
    CHECK(r->entries->snapshot == NULL);
    query_end(q);
    world_close(w);
}

/* ---- receipts ---- */

static void ask_receipt(struct world *w, uint64_t index, struct span id, struct answers *ans)
{
    Ledgerd__V1__Request req = REQUEST(5);
    Ledgerd__V1__ReceiptRequest r = LEDGERD__V1__RECEIPT_REQUEST__INIT;
    r.index = index;
    r.event_id = (ProtobufCBinaryData){id.n, (uint8_t *)(uintptr_t)id.p};
    req.op_case = LEDGERD__V1__REQUEST__OP_RECEIPT;
    req.receipt = &r;
    ask(w, &req, ans);
}

static struct receipt verified_receipt(struct world *w, const struct answers *ans)
{
    struct verifier vf = world_verifier(w);
    struct signer_key_claim keys[SIGNATURES_MAX];
    struct receipt out;
    if (ans->r[0]->answer_case == LEDGERD__V1__RESPONSE__ANSWER_ERROR)
        fprintf(stderr, "%s\n", ans->r[0]->error->text);
    CHECK_EQ_INT(ans->r[0]->answer_case, LEDGERD__V1__RESPONSE__ANSWER_RECEIPT);
    const Ledgerd__V1__ReceiptResponse *r = ans->r[0]->receipt;
    CHECK(r->n_keys <= SIGNATURES_MAX);
    for (size_t i = 0; i < r->n_keys; i++)
        keys[i] = (struct signer_key_claim){span_str(r->keys[i]->party),
                                            {.header = of_bin(r->keys[i]->header), .event = of_bin(r->keys[i]->event),
                                             .block = of_bin(r->keys[i]->block)},
                                            of_bin(r->keys[i]->path)};
    struct receipt_claim claim = {
        .origin = SPAN_LIT(WORLD_ORIGIN),
        .entry = {.header = of_bin(r->record->header), .event = of_bin(r->record->event), .block = of_bin(r->record->block),
                  .withheld = r->record->withheld},
        .path = of_bin(r->path),
        .snapshot = {of_bin(r->snapshot->checkpoint), of_bin(r->snapshot->seal), of_bin(r->snapshot->seal_path), SPAN_NONE},
        .keys = keys,
        .n_keys = r->n_keys,
    };
    VERIFIED(verify_receipt(&vf, &claim, &out, v));
    return out;
}

TEST(every_entry_has_a_receipt)
{
    struct world *w = make_ledger();
    struct answers ans;
    release_ledger(w);
    for (uint64_t i = 0; i < w->m.size; i++) {
        ask_receipt(w, i, SPAN_NONE, &ans);
        struct receipt r = verified_receipt(w, &ans);
        CHECK_EQ_INT(r.entry.header.index, i);
        CHECK_EQ_INT(r.signatures_checked, r.entry.own ? 0 : r.entry.block.n);
    }
    ask_receipt(w, 0, span_of(w->last_event.b, HASH_LEN), &ans);
    struct receipt r = verified_receipt(w, &ans);
    CHECK(hash_eq(&r.entry.header.event_id, &w->last_event));
    ask_receipt(w, w->m.size, SPAN_NONE, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_NOT_FOUND, "beyond");
    ask_receipt(w, 0, SPAN_LIT("short"), &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "32");
    ask_receipt(w, 0, SPAN_LIT("an event id that nobody ever gave"), &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "32");
    struct hash alike = w->last_event;
    alike.b[HASH_LEN - 1] ^= 1;
    ask_receipt(w, 0, span_of(alike.b, HASH_LEN), &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_NOT_FOUND, "no event");
    ask_receipt(w, 0, SPAN_LIT("an event id that nobody has used"), &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_NOT_FOUND, "no event");
    world_close(w);
}

TEST(receipts_name_the_key_that_was_in_force)
{
    struct world *w = make_ledger();
    struct answers ans;
    uint64_t moved[3], given[2];
    world_begin(w);
    play_moves(w, "M0", 1);
    moved[0] = w->m.size - 1;
    given[0] = play(w, "PARTY_REGISTERED", "admin",
                    "action=ROTATE_KEY;party=u.wh;roles=WAREHOUSE;org=CPC");
    play(w, "PARTY_REGISTERED", "admin",
         "action=AMEND;party=u.wh;roles=WAREHOUSE|OPERATOR;org=CPC");
    play_moves(w, "M0", 1);
    moved[1] = w->m.size - 1;
    given[1] = play(w, "PARTY_REGISTERED", "admin",
                    "action=ROTATE_KEY;party=u.wh;roles=WAREHOUSE;org=CPC");
    play_moves(w, "M0", 1);
    moved[2] = w->m.size - 1;
    uint64_t own =
        play(w, "PARTY_REGISTERED", "admin", "action=ROTATE_KEY;party=admin;roles=ADMIN;org=CPC");
    world_commit(w);
    for (int i = 0; i < 3; i++) {
        ask_receipt(w, moved[i], SPAN_NONE, &ans);
        CHECK_EQ_INT(verified_receipt(w, &ans).signatures_checked, 1);
        uint64_t key = ans.r[0]->receipt->keys[0]->index;
        if (i > 0)
            CHECK_EQ_INT(key, given[i - 1]);
        else
            CHECK(key < given[0]);
    }
    /* The entry that changes a key is signed with the key before. */
    ask_receipt(w, own, SPAN_NONE, &ans);
    CHECK_EQ_INT(verified_receipt(w, &ans).signatures_checked, 1);
    CHECK_EQ_INT(ans.r[0]->receipt->keys[0]->index, 0);
    world_close(w);
}

TEST(receipts_withhold_content)
{
    struct world *w = make_ledger();
    struct answers ans;
    w->access.read_kinds = 0;
    ask_receipt(w, w->m.size - 2, SPAN_NONE, &ans);
    struct receipt r = verified_receipt(w, &ans);
    CHECK(!r.entry.content);
    CHECK_EQ_INT(r.signatures_checked, 0);
    CHECK(ans.r[0]->receipt->record->withheld);
    CHECK_EQ_INT(ans.r[0]->receipt->n_keys, 0);
    w->access.read_kinds = 1u << (KIND_LOT_SPLIT - EVENT_KIND_FIRST);
    ask_receipt(w, w->m.size - 2, SPAN_NONE, &ans);
    CHECK_EQ_INT(ans.r[0]->receipt->n_keys, 1);
    CHECK_EQ_INT(ans.r[0]->receipt->keys[0]->event.len, 0);
    world_close(w);
}

/* ---- status ---- */

static void more_metrics(void *ctx,
                         void (*put)(void *sink, const char *name, double value, const char *text),
                         void *sink)
{
    put(sink, "connections", *(double *)ctx, NULL);
    put(sink, "writable", 1, "yes");
}

TEST(status_gives_the_figures)
{
    struct world *w = make_ledger();
    Ledgerd__V1__Request req = REQUEST(6);
    Ledgerd__V1__StatusRequest s = LEDGERD__V1__STATUS_REQUEST__INIT;
    ProtobufCAllocator allocator = {world_alloc, world_no_free, w->a};
    double connections = 17;
    struct query_env env = {.store = w->store,
                            .access = &w->access,
                            .metrics_cb = more_metrics,
                            .metrics_ctx = &connections};
    struct query *q;
    struct span bytes;
    bool more;
    uint8_t buf[64];
    req.op_case = LEDGERD__V1__REQUEST__OP_STATUS;
    req.status = &s;
    MUST(query_begin(&env, span_of(buf, ledgerd__v1__request__pack(&req, buf)), &q, err));
    MUST(query_next(q, w->a, &bytes, &more, err));
    CHECK(!more);
    Ledgerd__V1__Response *r = ledgerd__v1__response__unpack(&allocator, bytes.n, bytes.p);
    CHECK(r && r->answer_case == LEDGERD__V1__RESPONSE__ANSWER_STATUS);
    unsigned seen = 0;
    for (size_t i = 0; i < r->status->n_metrics; i++) {
        const Ledgerd__V1__Metric *m = r->status->metrics[i];
        seen += strcmp(m->name, "entries") == 0 && m->value == (double)w->m.size;
        seen += strcmp(m->name, "chains") == 0 && m->value == (double)w->m.chains;
        seen += strcmp(m->name, "epoch") == 0 && m->value == 1;
        seen += strcmp(m->name, "connections") == 0 && m->value == 17;
        seen += strcmp(m->name, "writable") == 0 && strcmp(m->text, "yes") == 0;
        seen += strcmp(m->name, "origin") == 0 && strcmp(m->text, WORLD_ORIGIN) == 0;
        seen += strcmp(m->name, "data_file_bytes") == 0 && m->value > 0;
        seen += strcmp(m->name, "disk_free_bytes") == 0 && m->value > 0;
        seen +=
            strcmp(m->name, "seal_time_seconds") == 0 && m->value == (double)w->m.recorded_us / 1e6;
    }
    CHECK_EQ_INT(seen, 9);
    CHECK_EQ_INT(query_next(q, w->a, &bytes, &more, NULL), LEDGER_EINVAL);
    query_end(q);
    world_close(w);
}

/* ---- what is no answer ---- */

static void ask_bytes(struct world *w, struct span request, struct answers *ans)
{
    struct query_env env = {.store = w->store, .access = &w->access};
    struct query *q;
    bool more;
    MUST(query_begin(&env, request, &q, err));
    ans->n = 1;
    ans->r[0] = ask_next(w, q, &more);
    CHECK(ans->r[0] && !more);
    query_end(q);
}

TEST(malformed_requests_are_answered)
{
    struct world *w = world_open();
    struct answers ans;
    uint8_t buf[64];
    ask_bytes(w, SPAN_LIT("\x08\x2a\x62\x05"), &ans); /* id 42, then a field cut off */
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "Request");
    CHECK_EQ_INT(ans.r[0]->id, 42);
    ask_bytes(w, SPAN_LIT("\xff\xff\xff"), &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "Request");
    CHECK_EQ_INT(ans.r[0]->id, 0);
    ask_bytes(w, SPAN_LIT("\x08\x2a"), &ans); /* an id and nothing else */
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_UNKNOWN_REQUEST, "not know");
    Ledgerd__V1__Request req = REQUEST(0);
    Ledgerd__V1__CheckpointRequest cp = LEDGERD__V1__CHECKPOINT_REQUEST__INIT;
    req.op_case = LEDGERD__V1__REQUEST__OP_CHECKPOINT;
    req.checkpoint = &cp;
    ask_bytes(w, span_of(buf, ledgerd__v1__request__pack(&req, buf)), &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "id");
    world_close(w);
}

TEST(a_request_cannot_demand_more_than_its_memory)
{
    struct world *w = world_open();
    struct answers ans;
    size_t n = (size_t)2 << 20, len = 0;
    uint8_t *p = malloc(n + 16);
    CHECK(p != NULL);
    /* Two million names of chains, two bytes each. */
    const uint8_t head[] = {0x08, 0x01, 0x7a, 0x80, 0x80, 0x80, 0x01};
    memcpy(p, head, sizeof head);
    len = sizeof head;
    for (size_t i = 0; i < n; i += 2) {
        p[len++] = 0x0a;
        p[len++] = 0x00;
    }
    ask_bytes(w, span_of(p, len), &ans);
    CHECK_EQ_INT(ans.r[0]->answer_case, LEDGERD__V1__RESPONSE__ANSWER_ERROR);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_LIMIT, "");
    free(p);
    world_close(w);
}

TEST(a_small_arena_gives_an_error_and_not_half_an_answer)
{
    struct world *w = make_ledger();
    Ledgerd__V1__Request req;
    Ledgerd__V1__EntriesRequest e;
    ProtobufCAllocator allocator = {world_alloc, world_no_free, w->a};
    entries_request(&req, &e);
    for (size_t budget = 256; budget < 16384; budget += 512) {
        struct query *q = ask_begin(w, &req);
        struct arena *a = arena_new(budget);
        struct span bytes;
        bool more;
        enum ledger_rc rc = query_next(q, a, &bytes, &more, NULL);
        CHECK(rc == LEDGER_OK || rc == LEDGER_ENOMEM);
        Ledgerd__V1__Response *r =
            rc == LEDGER_OK ? ledgerd__v1__response__unpack(&allocator, bytes.n, bytes.p) : NULL;
        CHECK(!r || r->answer_case == LEDGERD__V1__RESPONSE__ANSWER_ERROR);
        CHECK(!r || (int)r->error->code == LEDGERD__V1__ERROR_CODE__ERROR_LIMIT);
        query_end(q);
        arena_free(a);
    }
    world_close(w);
}

/* ---- a store that was tampered with ---- */

TEST(tampered_records_are_not_sent)
{
    struct world *w = make_ledger();
    Ledgerd__V1__Request req;
    Ledgerd__V1__EntriesRequest e;
    struct answers ans;
    uint8_t key[KV_KEY_MAX];
    struct span record;
    struct entry_record rec;
    struct kv kv;
    MUST(store_begin(w->store, &kv, err));
    MUST(kv_get(&kv, KV_LOG, kv_key_u64(key, 6), &record));
    CHECK(entry_record_split(record, &rec));
    size_t in_block = 3, in_event = rec.block.n + 4 + 3, in_header = in_event + rec.event.n + 4;
    store_abort(w->store);
    const size_t places[] = {in_block, in_event, in_header};
    for (size_t i = 0; i < 3; i++) {
        tamper(w, KV_LOG, kv_key_u64(key, 6), places[i]);
        entries_request(&req, &e);
        ask(w, &req, &ans);
        check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_INTERNAL,
                    "stored data does not verify: entry 6");
        ask_receipt(w, 6, SPAN_NONE, &ans);
        check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_INTERNAL,
                    "stored data does not verify: entry 6");
        tamper(w, KV_LOG, kv_key_u64(key, 6), places[i]); /* and back */
    }
    ask(w, &req, &ans);
    CHECK_EQ_INT(ans.r[0]->answer_case, LEDGERD__V1__RESPONSE__ANSWER_ENTRIES);
    world_close(w);
}

/* An id whose row leads elsewhere is not said to be unknown. */
TEST(a_rotten_index_of_events_is_told)
{
    struct world *w = make_ledger();
    struct answers ans;
    struct header h;
    struct entry_record rec;
    struct span v;
    struct kv kv;
    uint8_t key[KV_KEY_MAX];
    MUST(store_begin(w->store, &kv, err));
    MUST(kv_get(&kv, KV_LOG, kv_key_u64(key, 6), &v));
    CHECK(entry_record_split(v, &rec));
    MUST(header_decode(w->a, arena_copy(w->a, rec.header), &h, err));
    store_abort(w->store);
    struct span id = arena_copy(w->a, span_of(h.event_id.b, HASH_LEN));
    ask_receipt(w, 0, id, &ans);
    CHECK_EQ_INT(ans.r[0]->answer_case, LEDGERD__V1__RESPONSE__ANSWER_RECEIPT);
    tamper(w, KV_EVENT, kv_key_index(&h.event_id), 0);
    ask_receipt(w, 0, id, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_INTERNAL, "stored data does not verify: index of event ids");
    world_close(w);
}

/* The view says of itself which map it has: one that is not the seal's is not shown under that seal. */
TEST(a_view_of_another_seal_is_not_served)
{
    struct world *w = make_ledger();
    struct answers ans;
    struct header h;
    struct entry_record rec;
    struct span v, meta;
    struct kv kv;
    uint8_t key[KV_KEY_MAX];
    MUST(store_begin(w->store, &kv, err));
    MUST(kv_get(&kv, KV_LOG, kv_key_u64(key, w->m.size - 1), &v));
    CHECK(entry_record_split(v, &rec));
    MUST(header_decode(w->a, arena_copy(w->a, rec.header), &h, err));
    MUST(kv_get(&kv, KV_META, SPAN_LIT("machine"), &meta));
    const uint8_t *root = memmem(meta.p, meta.n, h.map_root.b, HASH_LEN);
    CHECK(root != NULL);
    size_t from_end = meta.n - 1 - (size_t)(root - meta.p);
    store_abort(w->store);
    ask_receipt(w, 6, SPAN_NONE, &ans);
    CHECK_EQ_INT(ans.r[0]->answer_case, LEDGERD__V1__RESPONSE__ANSWER_RECEIPT);
    tamper(w, KV_META, SPAN_LIT("machine"), from_end);
    ask_receipt(w, 6, SPAN_NONE, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_INTERNAL, "the chain map's root is not the seal's");
    world_close(w);
}

TEST(credit_is_what_the_request_grants)
{
    struct world *w = world_open();
    Ledgerd__V1__Request req;
    Ledgerd__V1__EntriesRequest e;
    entries_request(&req, &e);
    for (uint32_t credit = 0; credit < 3; credit++) {
        e.credit = credit;
        struct query *q = ask_begin(w, &req);
        CHECK_EQ_INT(query_credit(q), credit ? credit : 8);
        query_end(q);
    }
    query_end(NULL);
    world_close(w);
}

TEST_MAIN(TEST_ENTRY(checkpoint_is_of_the_latest_batch),
          TEST_ENTRY(consistency_joins_every_two_sizes),
          TEST_ENTRY(entries_are_the_whole_log_in_pieces),
          TEST_ENTRY(entries_respect_range_headers_and_rights),
          TEST_ENTRY(following_goes_batch_by_batch), TEST_ENTRY(every_entry_has_a_receipt),
          TEST_ENTRY(receipts_name_the_key_that_was_in_force),
          TEST_ENTRY(receipts_withhold_content), TEST_ENTRY(status_gives_the_figures),
          TEST_ENTRY(malformed_requests_are_answered),
          TEST_ENTRY(a_request_cannot_demand_more_than_its_memory),
          TEST_ENTRY(a_small_arena_gives_an_error_and_not_half_an_answer),
          TEST_ENTRY(tampered_records_are_not_sent),
          TEST_ENTRY(a_rotten_index_of_events_is_told), TEST_ENTRY(a_view_of_another_seal_is_not_served), TEST_ENTRY(credit_is_what_the_request_grants))
