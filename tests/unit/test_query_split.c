/* SPDX-License-Identifier: Apache-2.0 */
/* Answers about what came of a split: many chains that have an entry in common, and a large one. */
#include "lib/proofs.h"

/* All bags have the split as their latest entry: its header comes with the first of them, and is verified for each. */
TEST(a_head_that_chains_share_is_sent_once)
{
    struct world *w = make_bags();
    struct verifier vf = world_verifier(w);
    struct answers ans;
    PROVE(p);
    name_chain(w, &p, CHAIN_ITEM, "L1");
    p.closure = LEDGERD__V1__CLOSURE__CLOSURE_FORWARD;
    p.members = true;
    ask_prove(w, &p, &ans);
    struct proofs *ps = verified_proofs(w, &ans);
    CHECK_EQ_INT(ps->n, 103);
    size_t whole = 0, before = 0;
    struct known_header known, other;
    const struct proof *bag = find_proof(ps, CHAIN_ITEM, "U150");
    CHECK(bag && bag->proven.head.n_links == 101);
    VERIFIED(verify_header(&vf, head_of(ps, bag->first), &known, v));
    VERIFIED(verify_header(&vf, of_bin(find_proof(ps, CHAIN_ITEM, "U1")->first->head), &other, v));
    for (size_t i = 0; i < ps->n; i++) {
        const Ledgerd__V1__ChainProof *x = ps->p[i].first;
        whole += x->head.len >= HEAD_ONCE_BYTES;
        before += x->head_before != 0;
        CHECK((x->head.len > 0) != (x->head_before > 0));
    }
    CHECK_EQ_INT(whole, 1);
    CHECK_EQ_INT(before, 100); /* a hundred bags and the lot */
    /* Taken apart before or not, it is the same; and what was taken apart of another header counts for nothing. */
    const Ledgerd__V1__ChainProof *x = bag->first;
    struct chain_claim claim = {.type = CHAIN_ITEM, .id = of_bin(x->name->id), .map_proof = of_bin(x->map_proof), .head = known.bytes,
                                .salt = of_bin(x->salt), .state = of_bin(x->state)};
    struct proven_chain *proven = arena_alloc(w->a, sizeof *proven);
    const struct known_header *ways[] = {NULL, &known, &other};
    for (unsigned i = 0; i < 3; i++) {
        claim.head_known = ways[i];
        VERIFIED(verify_chain(&vf, &ps->snapshot, &claim, proven, v));
        CHECK_EQ_INT(proven->head.index, bag->proven.head.index);
        CHECK(proven->opened);
    }
    claim.head = other.bytes;
    for (unsigned i = 0; i < 3; i++) {
        claim.head_known = ways[i];
        CHECK(!verify_chain(&vf, &ps->snapshot, &claim, proven, NULL));
    }
    world_close(w);
}

/* Who looks at one bag need not be told of the others; everything else is there. */
TEST(what_a_lot_went_into_is_left_out_if_asked)
{
    struct world *w = make_bags();
    for (int without = 0; without < 2; without++) {
        struct answers ans;
        PROVE(p);
        name_chain(w, &p, CHAIN_ITEM, "U150");
        p.closure = LEDGERD__V1__CLOSURE__CLOSURE_BACK;
        p.members = true;
        p.without_uses = without;
        ask_prove(w, &p, &ans);
        struct proofs *ps = verified_proofs(w, &ans);
        CHECK_EQ_INT(ps->n, 4); /* the bag, the lot, and two that went into it */
        for (size_t i = 0; i < ps->n; i++)
            for (unsigned log = 0; log < ITEM_LOGS; log++)
                CHECK_EQ_INT(ps->p[i].given[log], !(without && item_log_leads_on(log)));
        CHECK_EQ_INT(find_proof(ps, CHAIN_ITEM, "L1")->logs[ITEM_LOG_UNITS].n, without ? 0 : 102);
    }
    struct answers ans;
    PROVE(p);
    name_chain(w, &p, CHAIN_ITEM, "L1");
    p.members = p.without_uses = true;
    for (unsigned closure = 0; closure < 2; closure++) {
        p.closure = closure ? LEDGERD__V1__CLOSURE__CLOSURE_FORWARD : LEDGERD__V1__CLOSURE__CLOSURE_NONE;
        ask_prove(w, &p, &ans);
        check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "without_uses");
    }
    world_close(w);
}

/* Whatever there is no memory for says nothing against the ledger: what verifies, verifies with more. */
TEST(want_of_memory_is_no_verdict)
{
    struct world *w = make_bags();
    struct verifier vf = world_verifier(w);
    struct answers ans;
    size_t chains = 0, entries = 0, steps = 0;
    PROVE(p);
    name_chain(w, &p, CHAIN_ITEM, "U150");
    p.history = p.members = true;
    ask_prove(w, &p, &ans);
    struct proofs *ps = verified_proofs(w, &ans);
    const struct proof *bag = &ps->p[0];
    const Ledgerd__V1__ChainProof *x = bag->first;
    const struct chain_claim claim = {.type = CHAIN_ITEM, .id = of_bin(x->name->id), .map_proof = of_bin(x->map_proof), .head = of_bin(x->head),
                                      .salt = of_bin(x->salt), .state = of_bin(x->state)};
    const Ledgerd__V1__Record *r = bag->history[0];
    const struct entry_claim record = {.header = of_bin(r->header), .event = of_bin(r->event), .block = of_bin(r->block)};
    struct proven_chain *proven = arena_alloc(w->a, sizeof *proven);
    struct entry *entry = arena_alloc(w->a, sizeof *entry);
    struct entry *whole = arena_alloc(w->a, sizeof *whole);
    VERIFIED(verify_entry(&vf, &record, whole, v));
    const struct secret_key k = world_key(w, world_party(SPAN_LIT("u.op")), 0);
    for (size_t budget = 16; budget < 200000; budget += budget / 8, steps++) {
        struct verdict v = {VERDICT_GOOD};
        vf.a = arena_new(budget);
        bool good = verify_chain(&vf, &ps->snapshot, &claim, proven, &v);
        CHECK(good || v.kind == VERDICT_MEMORY);
        chains += good;
        arena_reset(vf.a);
        good = verify_entry(&vf, &record, entry, &v);
        CHECK(good || v.kind == VERDICT_MEMORY);
        CHECK_EQ_INT(good ? LEDGER_OK : verdict_rc(v.kind, LEDGER_EINVAL), good ? LEDGER_OK : LEDGER_ENOMEM);
        entries += good;
        arena_reset(vf.a);
        good = verify_signature(&vf, SPAN_LIT(WORLD_ORIGIN), whole, 0, k.alg, span_of(k.pub, k.pub_len), &v);
        CHECK(good || v.kind == VERDICT_MEMORY);
        arena_free(vf.a);
    }
    CHECK(chains > 0 && chains < steps && entries > 0 && entries < steps);
    world_close(w);
}

/* Each long answer keeps the store as it was when it began. There is an end to how many may, or nobody could look at the store any more. */
TEST(long_answers_are_not_kept_without_end)
{
    struct world *w = make_bags();
    struct store_snapshot *open[STORE_SNAPSHOTS_MAX];
    Ledgerd__V1__Request req = REQUEST(5);
    struct answers ans;
    PROVE(p);
    name_chain(w, &p, CHAIN_ITEM, "L1");
    p.closure = LEDGERD__V1__CLOSURE__CLOSURE_FORWARD;
    p.members = p.history_all = true;
    req.op_case = LEDGERD__V1__REQUEST__OP_PROVE;
    req.prove = &p;
    for (unsigned i = 0; i < STORE_SNAPSHOTS_MAX; i++)
        MUST(store_snapshot_open(w->store, &open[i], err));
    CHECK_EQ_INT(store_snapshots(w->store), STORE_SNAPSHOTS_MAX);
    ask(w, &req, &ans);
    CHECK_EQ_INT(ans.n, 1);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_BUSY, "too many long answers");
    store_snapshot_close(open[0]);
    ask(w, &req, &ans);
    CHECK(ans.n > 1 && ans.r[ans.n - 1]->answer_case == LEDGERD__V1__RESPONSE__ANSWER_PROVE);
    for (unsigned i = 1; i < STORE_SNAPSHOTS_MAX; i++)
        store_snapshot_close(open[i]);
    CHECK_EQ_INT(store_snapshots(w->store), 0);
    world_close(w);
}

TEST_MAIN(TEST_ENTRY(a_head_that_chains_share_is_sent_once), TEST_ENTRY(what_a_lot_went_into_is_left_out_if_asked),
          TEST_ENTRY(want_of_memory_is_no_verdict),
          TEST_ENTRY(long_answers_are_not_kept_without_end))
