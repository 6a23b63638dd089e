/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that stand on cosigned checkpoints: waiting for one, snapshots with an earlier seal, receipts; and what the verifier makes of a
 * seal that is not the last leaf. */
#include <time.h>

#include "check.h"
#include "query_world.h"
#include "tiles.h"
#include "witness/witnessed.h"

static struct note_key witness_key;
static struct secret_key witness_secret;

/* A ledger with one witness, which the policy demands; nothing is cosigned yet. */
static struct world *begin(void)
{
    struct world *w = make_ledger();
    uint8_t seed[32] = {7};
    CHECK(crypto_secret_from_seed(w->c, SIG_ED25519, seed, &witness_secret));
    CHECK(note_key_make(w->c, "witness.example/w1", NOTE_COSIGNATURE_V1,
                        span_of(witness_secret.pub, witness_secret.pub_len), &witness_key));
    w->policy.witnesses[0] = witness_key;
    memcpy(w->policy.witness_names[0], "w1", 3);
    w->policy.n_witnesses = 1;
    CHECK((w->witnessed = witnessed_new()) != NULL);
    return w;
}

static void end(struct world *w)
{
    witnessed_free(w->witnessed);
    world_close(w);
}

/* Has the latest checkpoint cosigned. */
static uint64_t cosign(struct world *w)
{
    struct span text;
    struct note note;
    struct checkpoint cp;
    struct wbuf line;
    MUST(tiles_checkpoint(&(struct query_env){.store = w->store}, w->a, &text, err));
    MUST(note_parse(w->a, text, &note, err));
    MUST(checkpoint_parse(note.text, &cp, err));
    wbuf_init(&line, w->a);
    wbuf_bytes(&line, text.p, text.n);
    note_cosign_line(w->c, &witness_key, &witness_secret, 1700000000, note.text, &line);
    const struct witnessed_view v = {.size = cp.size, .root = cp.root, .cosigned_at = 1700000000, .note = wbuf_span(&line)};
    witnessed_set(w->witnessed, &v);
    return cp.size;
}

static void grow(struct world *w)
{
    world_begin(w);
    play_moves(w, "M0", 3);
    world_commit(w);
}

static struct query *begin_witnessed(struct world *w, uint64_t size, uint32_t wait_ms)
{
    Ledgerd__V1__Request req = REQUEST(9);
    Ledgerd__V1__WitnessedRequest r = LEDGERD__V1__WITNESSED_REQUEST__INIT;
    r.size = size;
    r.wait_ms = wait_ms;
    req.op_case = LEDGERD__V1__REQUEST__OP_WITNESSED;
    req.witnessed = &r;
    return ask_begin(w, &req);
}

static void ask_witnessed(struct world *w, uint64_t size, struct answers *ans)
{
    bool more;
    struct query *q = begin_witnessed(w, size, 0);
    ans->n = 1;
    CHECK((ans->r[0] = ask_next(w, q, &more)) != NULL && !more);
    query_end(q);
}

static struct snapshot_claim claim_of(const struct answers *ans)
{
    CHECK_EQ_INT(ans->r[0]->answer_case, LEDGERD__V1__RESPONSE__ANSWER_CHECKPOINT);
    const Ledgerd__V1__Snapshot *s = ans->r[0]->checkpoint;
    return (struct snapshot_claim){of_bin(s->checkpoint), of_bin(s->seal), of_bin(s->seal_path), of_bin(s->witnessed)};
}

TEST(without_witnesses_there_is_none)
{
    struct world *w = make_ledger();
    struct answers ans;
    ask_witnessed(w, 0, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_NOT_FOUND, "no witnesses");
    world_close(w);
}

TEST(an_earlier_seal_under_a_larger_cosigned_tree)
{
    struct world *w = begin();
    struct answers ans;
    struct snapshot s;
    struct verdict v = {0};
    uint64_t small = w->m.size;
    grow(w);
    uint64_t large = cosign(w);
    CHECK(large > small && large == w->m.size);
    ask_witnessed(w, small, &ans);
    struct snapshot_claim claim = claim_of(&ans);
    struct verifier vf = world_verifier(w);
    /* Only whoever has asked for this very seal takes it. */
    CHECK(verify_snapshot_at(&vf, &claim, small, &s, &v));
    CHECK_EQ_INT(s.cp.size, large);
    CHECK_EQ_INT(s.seal.index, small - 1);
    CHECK(s.trust.witnesses == 1 && s.trust.seen_at == 1700000000);
    CHECK(verify_snapshot_at(&vf, &claim, SNAPSHOT_ANY_SEAL, &s, &v));
    CHECK(!verify_snapshot(&vf, &claim, &s, &v) && v.kind == VERDICT_TAMPERED);
    for (uint64_t n = 1; n <= large + 1; n++)
        if (n != small)
            CHECK(!verify_snapshot_at(&vf, &claim, n, &s, &v) && v.kind == VERDICT_TAMPERED);
    /* The newest one, and what it says of itself. */
    ask_witnessed(w, 0, &ans);
    struct snapshot_claim last = claim_of(&ans);
    CHECK(verify_snapshot(&vf, &last, &s, &v));
    CHECK(s.seal.index == large - 1 && span_eq(last.note, last.witnessed));
    /* An entry that is no seal, as one: neither asked for nor shown. */
    ask_witnessed(w, small - 1, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "no checkpoint");
    ask_witnessed(w, large + 1, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_NOT_FOUND, "beyond");
    /* A seal of this log with the path of another one. */
    struct snapshot_claim mixed = {claim.note, claim.seal, last.seal_path, SPAN_NONE};
    CHECK(!verify_snapshot_at(&vf, &mixed, small, &s, &v) && v.kind == VERDICT_TAMPERED);
    end(w);
}

TEST(an_entry_that_is_no_seal_is_none)
{
    struct world *w = begin();
    Ledgerd__V1__Request req = REQUEST(4);
    Ledgerd__V1__ReceiptRequest rq = LEDGERD__V1__RECEIPT_REQUEST__INIT;
    struct answers ans;
    struct snapshot s;
    struct verdict v = {0};
    rq.index = 3;
    req.op_case = LEDGERD__V1__REQUEST__OP_RECEIPT;
    req.receipt = &rq;
    ask(w, &req, &ans);
    const Ledgerd__V1__ReceiptResponse *r = ans.r[0]->receipt;
    CHECK_EQ_INT(ans.r[0]->answer_case, LEDGERD__V1__RESPONSE__ANSWER_RECEIPT);
    struct snapshot_claim claim = {of_bin(r->snapshot->checkpoint), of_bin(r->record->header), of_bin(r->path), SPAN_NONE};
    struct verifier vf = world_verifier(w);
    CHECK(!verify_snapshot_at(&vf, &claim, 4, &s, &v) && v.kind == VERDICT_TAMPERED);
    CHECK(!verify_snapshot_at(&vf, &claim, SNAPSHOT_ANY_SEAL, &s, &v) && v.kind == VERDICT_TAMPERED);
    end(w);
}

TEST(waiting_ends_with_the_cosignature)
{
    struct world *w = begin();
    bool more;
    struct query *q = begin_witnessed(w, w->m.size, 60000);
    CHECK(ask_next(w, q, &more) == NULL && query_wait_until_ms(q) > 0);
    uint64_t small = w->m.size;
    grow(w);
    CHECK(ask_next(w, q, &more) == NULL); /* a commit alone is not what it waits for */
    uint64_t large = cosign(w);
    Ledgerd__V1__Response *r = ask_next(w, q, &more);
    CHECK(r && !more && r->answer_case == LEDGERD__V1__RESPONSE__ANSWER_CHECKPOINT);
    struct answers ans = {1, {r}};
    struct snapshot_claim claim = claim_of(&ans);
    struct verifier vf = world_verifier(w);
    struct snapshot s;
    struct verdict v = {0};
    CHECK(verify_snapshot_at(&vf, &claim, small, &s, &v) && s.cp.size == large);
    query_end(q);
    end(w);
}

TEST(waiting_ends_with_its_time)
{
    struct world *w = begin();
    struct answers ans = {.n = 1};
    bool more;
    cosign(w);
    uint64_t covered = w->m.size;
    grow(w);
    struct query *q = begin_witnessed(w, w->m.size, 30);
    CHECK(ask_next(w, q, &more) == NULL);
    int64_t until = query_wait_until_ms(q);
    struct timespec now;
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 < until);
    CHECK((ans.r[0] = ask_next(w, q, &more)) != NULL && !more);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_TIMEOUT, "no quorum");
    query_end(q);
    ask_witnessed(w, covered, &ans); /* what is covered needs no waiting */
    CHECK_EQ_INT(ans.r[0]->answer_case, LEDGERD__V1__RESPONSE__ANSWER_CHECKPOINT);
    end(w);
}

TEST(every_snapshot_shows_the_newest_witnessed_one)
{
    struct world *w = begin();
    Ledgerd__V1__Request req = REQUEST(1);
    Ledgerd__V1__CheckpointRequest cr = LEDGERD__V1__CHECKPOINT_REQUEST__INIT;
    struct answers ans;
    struct checkpoint cp;
    struct policy_verdict trust;
    req.op_case = LEDGERD__V1__REQUEST__OP_CHECKPOINT;
    req.checkpoint = &cr;
    ask(w, &req, &ans);
    CHECK_EQ_INT(claim_of(&ans).witnessed.n, 0);
    uint64_t size = cosign(w);
    ask(w, &req, &ans);
    struct snapshot s = verified_snapshot(w, ans.r[0]->checkpoint);
    CHECK(s.trust.witnesses == 1); /* it is the latest itself */
    grow(w);
    ask(w, &req, &ans);
    s = verified_snapshot(w, ans.r[0]->checkpoint);
    CHECK(s.trust.witnesses == 0);
    CHECK(policy_check(w->c, w->a, &w->policy, claim_of(&ans).witnessed, &cp, &trust, NULL));
    CHECK(cp.size == size && trust.log_signed && trust.witnesses == 1);
    end(w);
}

static void ask_receipt(struct world *w, uint64_t index, struct answers *ans)
{
    Ledgerd__V1__Request req = REQUEST(5);
    Ledgerd__V1__ReceiptRequest r = LEDGERD__V1__RECEIPT_REQUEST__INIT;
    r.index = index;
    r.witnessed = true;
    req.op_case = LEDGERD__V1__REQUEST__OP_RECEIPT;
    req.receipt = &r;
    ask(w, &req, ans);
}

TEST(receipts_under_a_cosigned_checkpoint)
{
    struct world *w = begin();
    struct answers ans;
    uint64_t size = cosign(w);
    grow(w);
    for (uint64_t i = 0; i < w->m.size; i++) {
        ask_receipt(w, i, &ans);
        if (i >= size) {
            check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_TIMEOUT, "no quorum");
            continue;
        }
        CHECK_EQ_INT(ans.r[0]->answer_case, LEDGERD__V1__RESPONSE__ANSWER_RECEIPT);
        const Ledgerd__V1__ReceiptResponse *r = ans.r[0]->receipt;
        struct snapshot s = verified_snapshot(w, r->snapshot);
        CHECK(s.cp.size == size && s.seal.index == size - 1 && s.trust.witnesses == 1);
        struct entry e = verified_entry(w, r->record);
        struct verifier vf = world_verifier(w);
        VERIFIED(verify_inclusion(&vf, &e, &s.cp, of_bin(r->path), v));
        for (size_t k = 0; k < r->n_keys; k++) {
            struct entry_claim reg = {.header = of_bin(r->keys[k]->header), .withheld = true};
            VERIFIED(verify_entry(&vf, &reg, &e, v));
            VERIFIED(verify_inclusion(&vf, &e, &s.cp, of_bin(r->keys[k]->path), v));
        }
    }
    end(w);
}

TEST(it_never_goes_back)
{
    struct world *w = begin();
    struct witnessed_view v;
    struct arena *small = arena_new(64);
    uint64_t size = cosign(w);
    const struct witnessed_view older = {.size = size - 1, .note = SPAN_LIT("older")}, same = {.size = size, .note = SPAN_LIT("same")};
    witnessed_set(w->witnessed, &older);
    CHECK(witnessed_get(w->witnessed, w->a, &v) && v.size == size && v.note.n > 100);
    CHECK(!witnessed_get(w->witnessed, small, &v));
    witnessed_set(w->witnessed, &same);
    CHECK(witnessed_get(w->witnessed, w->a, &v) && span_eq(v.note, SPAN_LIT("same")));
    arena_free(small);
    end(w);
}

TEST_MAIN(TEST_ENTRY(without_witnesses_there_is_none), TEST_ENTRY(an_earlier_seal_under_a_larger_cosigned_tree),
          TEST_ENTRY(an_entry_that_is_no_seal_is_none), TEST_ENTRY(waiting_ends_with_the_cosignature),
          TEST_ENTRY(waiting_ends_with_its_time), TEST_ENTRY(every_snapshot_shows_the_newest_witnessed_one),
          TEST_ENTRY(receipts_under_a_cosigned_checkpoint), TEST_ENTRY(it_never_goes_back))
