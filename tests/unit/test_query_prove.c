/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_query_prove: proofs of chains, lineages and histories, verified by the verifier that clients
 * use (proto/verify.h), the lists of FindRequest, and what a store that has been tampered with
 * makes of them.
 */
#include "lib/proofs.h"

#include <sys/syscall.h>
#include <time.h>

#include "standing.h"

#define COMMA ,

/* The clock that a query looks at goes ahead at once. */
static time_t ahead_s;
int clock_gettime(clockid_t id, struct timespec *t)
{
    long rc = syscall(SYS_clock_gettime, id, t);
    t->tv_sec += ahead_s;
    return (int)rc;
}

/* ---- proofs ---- */

/* Of chains that were not asked for by name the server says what they are, in 32 bits; a chain's key is made of eight of them. */
TEST(a_type_of_chain_that_there_is_not)
{
    struct world *w = make_ledger();
    struct answers ans;
    struct verifier vf = world_verifier(w);
    struct proven_chain proven;
    PROVE(p);
    name_chain(w, &p, CHAIN_ITEM, "U1");
    ask_prove(w, &p, &ans);
    struct proofs *ps = verified_proofs(w, &ans);
    const Ledgerd__V1__ChainProof *x = ps->p[0].first;
    struct chain_claim claim = {.id = of_bin(x->name->id), .map_proof = of_bin(x->map_proof), .head = of_bin(x->head), .salt = of_bin(x->salt),
                                .state = of_bin(x->state)};
    static const unsigned TYPES[] = {0, CHAIN_LEDGER + 1, 256, 256 + CHAIN_ITEM, 0x80000000u + CHAIN_ITEM};
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        struct verdict v = {0};
        claim.type = (enum chain_type)TYPES[i];
        CHECK(!verify_chain(&vf, &ps->snapshot, &claim, &proven, &v));
        CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
        CHECK(strstr(v.text, "no such type"));
        struct chain ch;
        CHECK_EQ_INT(state_decode(claim.type, claim.state, &ch, NULL), LEDGER_EINVAL);
    }
    claim.type = CHAIN_ITEM;
    VERIFIED(verify_chain(&vf, &ps->snapshot, &claim, &proven, v));
    world_close(w);
}

TEST(lineage_back_answers_a_standing_check)
{
    struct world *w = make_ledger();
    struct answers ans;
    release_ledger(w);
    PROVE(p);
    name_chain(w, &p, CHAIN_ITEM, "U1");
    name_chain(w, &p, CHAIN_SUBJECT, "C1");
    p.closure = LEDGERD__V1__CLOSURE__CLOSURE_BACK;
    p.members = p.related = true;
    ask_prove(w, &p, &ans);
    struct proofs *ps = verified_proofs(w, &ans);
    const char *const items[] = {"U1", "L1", "APH-1", "M1"};
    for (size_t i = 0; i < 4; i++) {
        struct proof *x = find_proof(ps, CHAIN_ITEM, items[i]);
        CHECK(x && x->proven.present && x->proven.opened);
        for (unsigned l = 0; l < ITEM_LOGS; l++)
            CHECK(x->proven.logs[l] != NULL);
    }
    CHECK(!find_proof(ps, CHAIN_ITEM, "M0"));
    CHECK(!find_proof(ps, CHAIN_ITEM, "U2"));
    CHECK(find_proof(ps, CHAIN_SUBJECT, "C1") && find_proof(ps, CHAIN_PRODUCT, "PC-1"));
    CHECK(find_proof(ps, CHAIN_SHIPMENT, "SH-1") != NULL);
    CHECK_EQ_INT(ps->n, 7);
    /* Breadth first: those named come first, and what they lead to after them; ascending by key in between. */
    const struct proof *named[] = {find_proof(ps, CHAIN_ITEM, "U1"), find_proof(ps, CHAIN_SUBJECT, "C1")};
    CHECK(named[0] < &ps->p[2] && named[1] < &ps->p[2]);
    CHECK(memcmp(ps->p[0].proven.chain.key.b, ps->p[1].proven.chain.key.b, HASH_LEN) < 0);
    struct proven_set *set = proven_set_new(w->c, (size_t)64 << 20);
    for (size_t i = 0; i < ps->n; i++)
        MUST(proven_set_add(set, &ps->p[i].proven));
    struct kv kv = proven_set_kv(set);
    struct judge j = {.c = w->c,
                      .a = w->a,
                      .kv = &kv,
                      .index_key = &w->index_key,
                      .wire = true,
                      .origin = SPAN_LIT(WORLD_ORIGIN),
                      .recorded_us = w->now_us,
                      .index = w->m.size};
    struct standing_query q = {.purpose = PURPOSE_ADMINISTER,
                               .item = SPAN_LIT("U1"),
                               .at_us = w->now_us,
                               .coi = SPAN_LIT("C1"),
                               .subject_commit = SPAN_LIT("abc")};
    struct findings found = {0};
    CHECK_EQ_INT(standing_check(&j, &q, &found), LEDGER_OK);
    CHECK_EQ_INT(found.n, 1);
    CHECK_EQ_INT(found.r[0].code, E_IN_TRANSIT);
    CHECK(!proven_set_missing(set, NULL));
    proven_set_free(set);
    world_close(w);
}

TEST(lineage_forward_finds_where_a_material_went)
{
    struct world *w = make_ledger();
    struct answers ans;
    PROVE(p);
    name_chain(w, &p, CHAIN_ITEM, "M1");
    name_chain(w, &p, CHAIN_ITEM, "M1");
    p.closure = LEDGERD__V1__CLOSURE__CLOSURE_FORWARD;
    ask_prove(w, &p, &ans);
    struct proofs *ps = verified_proofs(w, &ans);
    CHECK_EQ_INT(ps->n, 4);
    CHECK(find_proof(ps, CHAIN_ITEM, "L1") && find_proof(ps, CHAIN_ITEM, "U1") &&
          find_proof(ps, CHAIN_ITEM, "U2"));
    CHECK(!find_proof(ps, CHAIN_ITEM, "L1")->proven.logs[0]);
    world_close(w);
}

TEST(related_cases_are_proven_and_absence_too)
{
    struct world *w = make_ledger();
    struct answers ans;
    release_ledger(w);
    PROVE(p);
    name_chain(w, &p, CHAIN_ITEM, "M0");
    name_chain(w, &p, CHAIN_ITEM, "NO-SUCH-ITEM");
    name_chain(w, &p, CHAIN_CASE, "recall/NONE");
    p.related = true;
    ask_prove(w, &p, &ans);
    struct proofs *ps = verified_proofs(w, &ans);
    struct proof *recall = find_proof(ps, CHAIN_CASE, "recall/R-1");
    CHECK(recall && recall->proven.opened && recall->proven.chain.kase.open);
    CHECK(find_proof(ps, CHAIN_CASE, "deviation/DEV-1") != NULL);
    CHECK(!find_proof(ps, CHAIN_ITEM, "NO-SUCH-ITEM")->proven.present);
    CHECK(!find_proof(ps, CHAIN_CASE, "recall/NONE")->proven.present);
    CHECK_EQ_INT(ps->n, 5);
    world_close(w);
}

/* Walks the history backwards under the verifier's eyes. */
static void check_history(struct world *w, const struct proof *p)
{
    struct verifier vf = world_verifier(w);
    struct hash expected = p->proven.chain.head;
    CHECK_EQ_INT(p->n_history, p->proven.chain.count);
    for (uint64_t seq = p->n_history; seq-- > 0;) {
        struct entry e = verified_entry(w, p->history[seq]);
        VERIFIED(verify_chain_entry(&vf, &p->proven, seq, &e, &expected, v));
    }
    CHECK(hash_is_zero(&expected));
}

TEST(histories_are_complete_and_in_order)
{
    struct world *w = make_ledger();
    struct answers ans;
    world_begin(w);
    play_moves(w, "M0", 800);
    world_commit(w);
    PROVE(p);
    name_chain(w, &p, CHAIN_ITEM, "L1");
    name_chain(w, &p, CHAIN_ITEM, "M0");
    name_chain(w, &p, CHAIN_PARTY, "admin");
    name_chain(w, &p, CHAIN_LEDGER, WORLD_ORIGIN);
    p.history = true;
    p.members = true;
    p.closure = LEDGERD__V1__CLOSURE__CLOSURE_BACK;
    ask_prove(w, &p, &ans);
    CHECK(ans.n >= 3);
    struct proofs *ps = verified_proofs(w, &ans);
    for (size_t i = 0; i < 4; i++)
        check_history(w, &ps->p[i]);
    CHECK_EQ_INT(find_proof(ps, CHAIN_ITEM, "M0")->n_history, 802);
    CHECK_EQ_INT(find_proof(ps, CHAIN_ITEM, "M1")->n_history, 0);
    world_close(w);
}

TEST(members_that_fill_several_responses)
{
    struct world *w = world_open();
    struct answers ans;
    char *fields = malloc(32000);
    CHECK(fields != NULL);
    world_begin(w);
    for (unsigned version = 0; version < 40; version++) {
        int n = snprintf(fields, 32000, "product_code=PC-9;version=V%u;tests=", version);
        for (unsigned i = 0; i < 25; i++)
            n += snprintf(fields + n, 32000 - (size_t)n, "%stest %u %0900d:%%:1:2:TRUE",
                          i ? "|" : "", i, 0);
        play(w, "SPECIFICATION_SET", "u.qa,u.qp", fields);
    }
    free(fields);
    world_commit(w);
    PROVE(p);
    name_chain(w, &p, CHAIN_PRODUCT, "PC-9");
    p.members = true;
    ask_prove(w, &p, &ans);
    CHECK(ans.n >= 3);
    struct proofs *ps = verified_proofs(w, &ans);
    CHECK_EQ_INT(ps->n, 1);
    CHECK_EQ_INT(ps->p[0].logs[PRODUCT_LOG_VERSIONS].n, 40);
    CHECK(ps->p[0].proven.logs[PRODUCT_LOG_VERSIONS] != NULL);
    world_close(w);
}

TEST(one_snapshot_for_a_whole_stream)
{
    struct world *w = make_ledger();
    bool more;
    world_begin(w);
    play_moves(w, "M0", 600);
    world_commit(w);
    PROVE(p);
    Ledgerd__V1__Request req = REQUEST(9);
    req.op_case = LEDGERD__V1__REQUEST__OP_PROVE;
    req.prove = &p;
    name_chain(w, &p, CHAIN_ITEM, "M0");
    name_chain(w, &p, CHAIN_ITEM, "M1");
    p.history = true;
    struct answers ans = {.n = 0};
    struct query *q = ask_begin(w, &req);
    ans.r[ans.n++] = ask_next(w, q, &more);
    CHECK(more);
    uint64_t size = w->m.size;
    world_begin(w);
    play_moves(w, "M0", 1);
    play_moves(w, "M1", 1);
    world_commit(w);
    while (more)
        ans.r[ans.n++] = ask_next(w, q, &more);
    query_end(q);
    struct proofs *ps = verified_proofs(w, &ans);
    CHECK_EQ_INT(ps->snapshot.cp.size, size);
    check_history(w, &ps->p[0]);
    check_history(w, &ps->p[1]);
    world_close(w);
}

TEST(states_are_withheld_from_those_who_may_not_read_them)
{
    struct world *w = make_ledger();
    struct answers ans;
    w->access.may_read_states = false;
    w->access.read_kinds = 0;
    PROVE(p);
    name_chain(w, &p, CHAIN_ITEM, "U1");
    p.members = p.history = true;
    ask_prove(w, &p, &ans);
    struct proofs *ps = verified_proofs(w, &ans);
    CHECK(ps->p[0].proven.present && !ps->p[0].proven.opened);
    CHECK(ps->p[0].first->withheld && ps->p[0].first->n_logs == 0);
    CHECK_EQ_INT(ps->p[0].first->salt.len + ps->p[0].first->state.len, 0);
    CHECK(ps->p[0].history[0]->withheld && ps->p[0].history[0]->event.len == 0);
    check_history(w, &ps->p[0]);
    p.related = true;
    ask_prove(w, &p, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_DENIED, "states");
    p.related = false;
    p.closure = LEDGERD__V1__CLOSURE__CLOSURE_BACK;
    ask_prove(w, &p, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_DENIED, "states");
    world_close(w);
}

TEST(prove_refuses_what_it_cannot_mean)
{
    struct world *w = world_open();
    struct answers ans;
    PROVE(none);
    ask_prove(w, &none, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "no chain");
    PROVE(type);
    name_chain(w, &type, (enum chain_type)8, "x");
    ask_prove(w, &type, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "type 8");
    PROVE(id);
    name_chain(w, &id, CHAIN_ITEM, "");
    ask_prove(w, &id, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "id");
    PROVE(closure);
    name_chain(w, &closure, CHAIN_ITEM, "x");
    closure.closure = (Ledgerd__V1__Closure)7;
    ask_prove(w, &closure, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "closure");
    world_close(w);
}

/* ---- find ---- */

static Ledgerd__V1__FindRequest find_request(enum chain_type type)
{
    Ledgerd__V1__FindRequest f;
    ledgerd__v1__find_request__init(&f);
    f.type = type;
    return f;
}

/* The ids found, separated by spaces; "…" at the end if truncated. */
static const char *found(struct world *w, Ledgerd__V1__FindRequest *f, struct answers *ans)
{
    Ledgerd__V1__Request req = REQUEST(4);
    char *text = arena_alloc(w->a, 1 << 20);
    size_t n = 0;
    CHECK(text != NULL);
    req.op_case = LEDGERD__V1__REQUEST__OP_FIND;
    req.find = f;
    ask(w, &req, ans);
    for (size_t i = 0; i < ans->n; i++) {
        if (ans->r[i]->answer_case == LEDGERD__V1__RESPONSE__ANSWER_ERROR)
            return ans->r[i]->error->text;
        const Ledgerd__V1__FindResponse *r = ans->r[i]->find;
        if (i == 0)
            (void)verified_snapshot(w, r->snapshot);
        for (size_t k = 0; k < r->n_ids; k++)
            n += (size_t)sprintf(text + n, "%s%.*s", n ? " " : "", SPAN_FMT(of_bin(r->ids[k])));
        if (r->truncated)
            n += (size_t)sprintf(text + n, " …");
    }
    return text;
}

TEST(find_by_every_filter)
{
    struct world *w = make_ledger();
    struct answers ans;
    release_ledger(w);
    struct {
        Ledgerd__V1__FindRequest f;
        const char *want;
    } cases[24];
    size_t n = 0;
#define FIND(t, set, result)                                                                       \
    do {                                                                                           \
        Ledgerd__V1__FindRequest f = find_request(t);                                              \
        set;                                                                                       \
        cases[n].f = f;                                                                            \
        cases[n++].want = (result);                                                                \
    } while (0)
#define TEXT(s) (char *)(uintptr_t)(s)
    FIND(CHAIN_ITEM, , "APH-1 L1 M0 M1 U1 U2");
    FIND(CHAIN_ITEM, f.state = TEXT("available"), "APH-1 L1 M0 M1 U2");
    FIND(CHAIN_ITEM, f.state = TEXT("released"), "APH-1 L1 M0 M1 U1 U2");
    FIND(CHAIN_ITEM, f.state = TEXT("in-transit"), "U1");
    FIND(CHAIN_ITEM, f.state = TEXT("quarantined"), "M0");
    FIND(CHAIN_ITEM, f.state = TEXT("administered"), "");
    FIND(CHAIN_ITEM, f.hold = TEXT("recall"), "M0");
    FIND(CHAIN_ITEM, f.hold = TEXT("deviation"), "M0");
    FIND(CHAIN_ITEM, f.hold = TEXT("excursion"), "");
    FIND(CHAIN_ITEM, f.hold = TEXT("any"), "M0");
    FIND(CHAIN_ITEM, f.klass = TEXT("unit"), "U1 U2");
    FIND(CHAIN_ITEM, f.klass = TEXT("unit"); f.state = TEXT("available"), "U2");
    FIND(CHAIN_ITEM, f.coi = TEXT("C1"), "APH-1 L1 U1 U2");
    FIND(CHAIN_ITEM, f.expires_before_us = INT64_C(1800000000000000), "APH-1");
    FIND(CHAIN_ITEM, f.holder = TEXT("HOSP"), "");
    FIND(CHAIN_ITEM, f.id_prefix = TEXT("M"), "M0 M1");
    FIND(CHAIN_ITEM, f.limit = 2, "APH-1 L1 …");
    FIND(CHAIN_ITEM, f.limit = 2;
         f.after = (ProtobufCBinaryData){2 COMMA(uint8_t *) TEXT("L1")}, "M0 M1 …");
    FIND(CHAIN_ITEM, f.limit = 2;
         f.after = (ProtobufCBinaryData){2 COMMA(uint8_t *) TEXT("M1")}, "U1 U2");
    FIND(CHAIN_CASE, f.state = TEXT("open"), "deviation/DEV-1 recall/R-1");
    FIND(CHAIN_CASE, f.klass = TEXT("recall"), "recall/R-1");
    FIND(CHAIN_SHIPMENT, f.state = TEXT("open"), "SH-1");
    FIND(CHAIN_SHIPMENT, f.state = TEXT("closed"), "");
    FIND(CHAIN_SUBJECT, , "C1");
    for (size_t i = 0; i < n; i++)
        CHECK_EQ_STR(found(w, &cases[i].f, &ans), cases[i].want);
    world_close(w);
}

TEST(released_follows_the_split_line)
{
    struct world *w = make_ledger();
    struct answers ans;
    Ledgerd__V1__FindRequest f = find_request(CHAIN_ITEM);
    f.state = TEXT("released");
    CHECK_EQ_STR(found(w, &f, &ans), "APH-1 M0 M1");
    release_ledger(w);
    CHECK_EQ_STR(found(w, &f, &ans), "APH-1 L1 M0 M1 U1 U2");
    world_begin(w);
    play(w, "QC_RESULT", "u.qc",
         "item=L1;test=sterility;method=culture;value=growth;unit=-;verdict=FAIL;sample=S2");
    world_commit(w);
    CHECK_EQ_STR(found(w, &f, &ans), "APH-1 M0 M1");
    world_close(w);
}

TEST(find_refuses_filters_that_do_not_apply)
{
    struct world *w = world_open();
    struct answers ans;
    Ledgerd__V1__FindRequest f = find_request(CHAIN_PARTY);
    CHECK_EQ_STR(found(w, &f, &ans), "admin u.coll u.consent u.h1 u.op u.qa u.qc u.qp u.wh");
    f.state = TEXT("open");
    CHECK(strstr(found(w, &f, &ans), "party") != NULL);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "open");
    f = find_request(CHAIN_CASE);
    f.holder = TEXT("CPC");
    found(w, &f, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "holder");
    f = find_request(CHAIN_ITEM);
    f.klass = TEXT("recall");
    found(w, &f, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "class");
    f = find_request((enum chain_type)0);
    found(w, &f, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_MALFORMED, "type 0");
    w->access.may_read_states = false;
    f = find_request(CHAIN_ITEM);
    found(w, &f, &ans);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_DENIED, "states");
    world_close(w);
}

/* ---- a store that was tampered with, a stream that is not read ---- */

/* One bit of a stored value is flipped: an error, or an answer that verifies; `must_fail`: an error
 * that says what is wrong. */
static void check_tampered_chain(struct world *w, enum kv_table t, struct span key, size_t from_end,
                                 bool must_fail)
{
    struct answers ans;
    PROVE(p);
    name_chain(w, &p, CHAIN_ITEM, "U1");
    p.closure = LEDGERD__V1__CLOSURE__CLOSURE_BACK;
    p.members = true;
    tamper(w, t, key, from_end);
    ask_prove(w, &p, &ans);
    if (ans.r[0]->answer_case != LEDGERD__V1__RESPONSE__ANSWER_ERROR) {
        CHECK(!must_fail);
        CHECK_EQ_INT(verified_proofs(w, &ans)->n, 4);
    } else if (must_fail) {
        check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_INTERNAL, "stored data does not verify");
    }
    tamper(w, t, key, from_end); /* and back */
}

static size_t stored_size(struct world *w, enum kv_table t, struct span key)
{
    struct store_snapshot *sn;
    struct span v;
    MUST(store_snapshot_open(w->store, &sn, err));
    struct kv kv = store_snapshot_kv(sn);
    MUST(kv_get(&kv, t, key, &v));
    store_snapshot_close(sn);
    return v.n;
}

/* The record of a chain's latest entry: its key in the log, its size, and how long the header in it is. And how long the history in the chain's own record
 * is, which is asked for by nobody who does not ask for histories. */
static struct span latest_entry(struct world *w, struct span chain, uint8_t *key, size_t *size, size_t *header, size_t *history)
{
    struct store_snapshot *sn;
    struct span v;
    struct entry_record rec;
    struct chain *ch = arena_alloc(w->a, sizeof *ch);
    MUST(store_snapshot_open(w->store, &sn, err));
    struct kv kv = store_snapshot_kv(sn);
    MUST(kv_get(&kv, KV_CHAIN, chain, &v));
    MUST(chain_record_decode(v, ch, err));
    struct span out = kv_key_u64(key, ch->head_index);
    MUST(kv_get(&kv, KV_LOG, out, &v));
    CHECK(entry_record_split(v, &rec));
    *size = v.n;
    *header = rec.header.n;
    *history = ch->history.n;
    store_snapshot_close(sn);
    return out;
}

TEST(tampered_chains_are_not_proven)
{
    struct world *w = make_ledger();
    uint8_t key[KV_KEY_MAX];
    struct hash l1;
    chain_key(w->c, &w->index_key, CHAIN_ITEM, SPAN_LIT("L1"), &l1);
    struct span record = span_of(l1.b, HASH_LEN), meta = SPAN_LIT("machine");
    check_tampered_chain(w, KV_MEMBER, kv_key_member(key, &l1, ITEM_LOG_INPUTS, 0), 0, true);
    check_tampered_chain(w, KV_MEMBER, kv_key_member(key, &l1, ITEM_LOG_UNITS, 1), 5, true);
    check_tampered_chain(w, KV_CHECKPOINT, kv_key_u64(key, w->m.size), 7, true);
    check_tampered_chain(w, KV_TREE, kv_key_tree(key, 0, w->m.size - 1), (MERKLE_ROW - 1 - (w->m.size - 1) % MERKLE_ROW) * HASH_LEN + 7, true);
    size_t header, history, n;
    struct span head = latest_entry(w, record, key, &n, &header, &history);
    for (size_t i = 0; i < header; i++) /* behind its length */
        check_tampered_chain(w, KV_LOG, head, n - 1 - 4 - i, true);
    n = stored_size(w, KV_CHAIN, record);
    for (size_t i = 0; i < n; i += 5)
        check_tampered_chain(w, KV_CHAIN, record, i, i >= history);
    n = stored_size(w, KV_META, meta);
    for (size_t i = 0; i < n; i += 5)
        check_tampered_chain(w, KV_META, meta, i, false);
    world_close(w);
}

TEST(a_snapshot_is_not_pinned_for_ever)
{
    struct world *w = make_ledger();
    bool more;
    world_begin(w);
    play_moves(w, "M0", 600);
    world_commit(w);
    PROVE(p);
    Ledgerd__V1__Request req = REQUEST(9);
    req.op_case = LEDGERD__V1__REQUEST__OP_PROVE;
    req.prove = &p;
    name_chain(w, &p, CHAIN_ITEM, "M0");
    p.history = true;
    for (int expire = 0; expire < 2; expire++) {
        struct answers ans = {.n = 1};
        struct query *q = ask_begin(w, &req);
        CHECK(ask_next(w, q, &more) && more);
        CHECK(!query_expire(q));
        ahead_s += QUERY_PIN_MS_MAX / 1000 + 1;
        if (expire)
            CHECK(query_expire(q) && !query_expire(q));
        ans.r[0] = ask_next(w, q, &more);
        CHECK(!more);
        check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_TIMEOUT, "seconds");
        query_end(q);
    }
    world_close(w);
}

/* Each bag has the split in its history: enough for several responses. */
TEST(a_lineage_is_read_as_long_as_somebody_reads_on)
{
    struct world *w = make_bags();
    PROVE(p);
    Ledgerd__V1__Request req = REQUEST(9);
    req.op_case = LEDGERD__V1__REQUEST__OP_PROVE;
    req.prove = &p;
    name_chain(w, &p, CHAIN_ITEM, "L1");
    p.closure = LEDGERD__V1__CLOSURE__CLOSURE_FORWARD;
    p.history_all = true;
    bool more = true;
    size_t chains = 0, responses = 0;
    struct query *q = ask_begin(w, &req);
    for (; more; responses++, ahead_s += QUERY_PIN_MS_MAX / 1000 - 2) {
        Ledgerd__V1__Response *r = ask_next(w, q, &more);
        CHECK(r && r->answer_case == LEDGERD__V1__RESPONSE__ANSWER_PROVE);
        for (size_t i = 0; i < r->prove->n_proofs; i++)
            chains += r->prove->proofs[i]->map_proof.len > 0;
    }
    CHECK_EQ_INT(chains, 103);
    CHECK(responses > 3);
    query_end(q);
    struct answers ans = {.n = 1};
    q = ask_begin(w, &req);
    CHECK(ask_next(w, q, &more) && more);
    ahead_s += QUERY_PIN_MS_MAX / 1000 + 1;
    ans.r[0] = ask_next(w, q, &more);
    check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_TIMEOUT, "seconds");
    query_end(q);
    world_close(w);
}

TEST_MAIN(TEST_ENTRY(a_type_of_chain_that_there_is_not), TEST_ENTRY(lineage_back_answers_a_standing_check),
          TEST_ENTRY(lineage_forward_finds_where_a_material_went),
          TEST_ENTRY(related_cases_are_proven_and_absence_too),
          TEST_ENTRY(histories_are_complete_and_in_order),
          TEST_ENTRY(members_that_fill_several_responses),
          TEST_ENTRY(one_snapshot_for_a_whole_stream),
          TEST_ENTRY(states_are_withheld_from_those_who_may_not_read_them),
          TEST_ENTRY(prove_refuses_what_it_cannot_mean), TEST_ENTRY(find_by_every_filter),
          TEST_ENTRY(released_follows_the_split_line),
          TEST_ENTRY(find_refuses_filters_that_do_not_apply),
          TEST_ENTRY(tampered_chains_are_not_proven), TEST_ENTRY(a_snapshot_is_not_pinned_for_ever),
          TEST_ENTRY(a_lineage_is_read_as_long_as_somebody_reads_on))
