/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dossiers: made from the daemon's own answers, verified from the file alone. Whatever is altered, left out or put in is noticed, even
 * by somebody who makes a new checksum; and a ledger that has committed to something wrong convicts itself.
 */
#include "lib/dossier_world.h"

/* ---- good ones ---- */

TEST(a_bag_back_to_its_cells)
{
    struct world *w = released();
    struct made m = make(w, "U2", CLOSE_BACK, NULL);
    struct verdict v;
    CHECK_EQ_INT(judge_file(w, &w->policy, m.file, &v), VERDICT_GOOD);
    /* The split names U1 too, which is not here: it began there. Nothing else leads outside. */
    CHECK_EQ_INT(m.bases[DOSSIER_OUTSIDE], 0);
    CHECK(m.bases[DOSSIER_DERIVED] > 20);
    struct span again = dossier_encode(w->c, w->a, &m.d);
    CHECK(span_eq(again, m.file));
    for (size_t i = 0; i < m.d.n_entries; i++)
        CHECK_EQ_INT(m.d.entries[i].opening.n, 0);
    world_close(w);
}

TEST(a_material_forward_to_the_bags)
{
    struct world *w = released();
    struct made m = make(w, "M1", CLOSE_FORWARD, NULL);
    unsigned items = 0;
    for (size_t i = 0; i < m.d.n_chains; i++)
        items += m.d.chains[i].name.type == CHAIN_ITEM;
    CHECK_EQ_INT(items, 4); /* M1, L1, U1, U2 */
    CHECK(m.bases[DOSSIER_OUTSIDE] > 0); /* what L1 was made of besides is not here */
    world_close(w);
}

TEST(an_item_that_is_not_there)
{
    struct world *w = released();
    struct made m = make(w, "NOSUCH", CLOSE_BACK, NULL);
    CHECK_EQ_INT(m.d.n_chains, 2);
    world_close(w);
}

TEST(standing_from_the_file_alone)
{
    struct world *w = released();
    struct made m = make(w, "U2", CLOSE_BACK, NULL);
    struct arena *a = arena_new(BUDGET);
    struct verifier vf = {.c = w->c, .a = a, .policy = &w->policy};
    struct dossier_proof proof;
    struct findings found;
    struct standing_query q = {.purpose = PURPOSE_ADMINISTER, .item = SPAN_LIT("U2"), .at_us = w->now_us, .coi = SPAN_LIT("C1"),
                               .subject_commit = SPAN_LIT("abc"), .org = SPAN_LIT("CPC")};
    VERIFIED(dossier_verify(&vf, &m.d, BUDGET, &proof, v));
    MUST(dossier_standing(w->c, a, &proof, &q, &found, err));
    CHECK_EQ_INT(found.n, 0);
    q.subject_commit = SPAN_LIT("abd");
    MUST(dossier_standing(w->c, a, &proof, &q, &found, err));
    CHECK_EQ_INT(found.n, 1);
    CHECK_EQ_INT(found.r[0].code, E_PATIENT_MISMATCH);
    q = (struct standing_query){.purpose = PURPOSE_CONSUME, .item = SPAN_LIT("U2"), .at_us = w->now_us, .into = SPAN_LIT("elsewhere")};
    CHECK_EQ_INT(dossier_standing(w->c, a, &proof, &q, &found, NULL), LEDGER_ENOTFOUND);
    dossier_proof_free(&proof);
    arena_free(a);
    world_close(w);
}

TEST(withheld_content_changes_no_proof)
{
    struct world *w = released();
    struct made m = make(w, "U2", CLOSE_BACK, "LOT_DERIVED");
    struct verdict v;
    CHECK_EQ_INT(judge_file(w, &w->policy, m.file, &v), VERDICT_GOOD);
    CHECK_EQ_INT(m.bases[DOSSIER_WITHHELD], 1);
    m.d.n_withheld = 0;
    refused(w, &m.d, "its kind is not among those that may be");
    struct made none = {0};
    CHECK_EQ_INT(try_make(w, "U2", CLOSE_BACK, "PARTY_REGISTERED", &none, &v), LEDGER_EINVAL);
    CHECK_EQ_INT(try_make(w, "U2", CLOSE_BACK, "NO_KIND", &none, &v), LEDGER_EINVAL);
    world_close(w);
}

/* ---- altered ones ---- */

TEST(every_byte_counts)
{
    struct world *w = released();
    struct made m = make(w, "M0", CLOSE_FORWARD, NULL);
    struct span copy = arena_copy(w->a, m.file);
    uint8_t *p = (uint8_t *)(uintptr_t)copy.p;
    struct verdict v;
    size_t step = copy.n / 700 + 1;
    for (size_t i = 0; i < copy.n; i += i < 200 ? 1 : step) {
        uint8_t before = p[i];
        p[i] ^= (uint8_t)(1u << i % 8);
        CHECK(judge_file(w, &w->policy, copy, &v) != VERDICT_GOOD);
        /* The same by somebody who knows how the checksum is made. */
        if (i < copy.n - HASH_LEN && judge_file(w, &w->policy, with_checksum(w, copy), &v) == VERDICT_GOOD)
            fprintf(stderr, "byte %zu of %zu was changed, and nobody noticed\n", i, copy.n);
        CHECK(i >= copy.n - HASH_LEN || v.kind != VERDICT_GOOD);
        CHECK(v.kind != VERDICT_TAMPERED); /* whoever alters a file must not convict the ledger */
        p[i] = before;
        memcpy(p + copy.n - HASH_LEN, m.file.p + copy.n - HASH_LEN, HASH_LEN);
    }
    for (size_t n = 0; n < copy.n; n += step)
        CHECK(judge_file(w, &w->policy, span_of(copy.p, n), &v) == VERDICT_DAMAGED);
    world_close(w);
}

TEST(nothing_can_be_left_out)
{
    struct world *w = released();
    struct made m = make(w, "U2", CLOSE_BACK, NULL);
    const struct dossier d = m.d;
    for (size_t i = 0; i < d.n_chains; i++) {
        struct dossier x = d;
        x.n_chains--;
        x.chains = arena_alloc(w->a, d.n_chains * sizeof *x.chains);
        memcpy(x.chains, d.chains, i * sizeof *x.chains);
        memcpy(x.chains + i, d.chains + i + 1, (d.n_chains - 1 - i) * sizeof *x.chains);
        refused(w, &x, "");
        x = d;
        x.chains = arena_alloc(w->a, d.n_chains * sizeof *x.chains);
        memcpy(x.chains, d.chains, d.n_chains * sizeof *x.chains);
        if (!x.chains[i].n)
            continue;
        x.chains[i].n--;
        refused(w, &x, "");
        x.chains[i] = d.chains[i];
        if (x.chains[i].n_logs) {
            x.chains[i].n_logs--;
            refused(w, &x, "lists");
        }
    }
    for (size_t i = 0; i < d.n_entries; i++) {
        struct dossier x = d;
        x.n_entries--;
        x.entries = arena_alloc(w->a, d.n_entries * sizeof *x.entries);
        memcpy(x.entries, d.entries, i * sizeof *x.entries);
        memcpy(x.entries + i, d.entries + i + 1, (d.n_entries - 1 - i) * sizeof *x.entries);
        refused(w, &x, "");
    }
    world_close(w);
}

static struct hash chain_of(struct world *w, const struct dossier_chain *ch)
{
    struct hash key;
    chain_key(w->c, &w->index_key, ch->name.type, ch->name.id, &key);
    return key;
}

/* The dossier without chain i and without what is on no other chain then; openings keep the parts of the chains that are left. */
static struct dossier without_chain(struct world *w, const struct dossier *d, size_t i)
{
    struct dossier x = *d;
    x.n_chains--;
    x.chains = arena_alloc(w->a, d->n_chains * sizeof *x.chains);
    memcpy(x.chains, d->chains, i * sizeof *x.chains);
    memcpy(x.chains + i, d->chains + i + 1, (d->n_chains - 1 - i) * sizeof *x.chains);
    x.entries = arena_alloc(w->a, d->n_entries * sizeof *x.entries);
    x.n_entries = 0;
    for (size_t e = 0; e < d->n_entries; e++) {
        struct header h;
        bool on = false;
        MUST(header_decode(w->a, d->entries[e].header, &h, err));
        for (size_t c = 0; c < x.n_chains && !on; c++) {
            struct hash key = chain_of(w, &x.chains[c]);
            on = header_link(&h, &key) != NULL;
        }
        if (on)
            x.entries[x.n_entries++] = d->entries[e];
    }
    return x;
}

/* Whoever carries a dossier can cut whole chains out of it. That is damage, and convicts nobody. */
TEST(a_chain_that_is_cut_out_whole_is_damage)
{
    struct world *w = released();
    struct made m = make(w, "U2", CLOSE_BACK, NULL);
    for (size_t i = 0; i < m.d.n_chains; i++) {
        struct dossier x = without_chain(w, &m.d, i);
        refused(w, &x, m.d.chains[i].name.type == CHAIN_LEDGER ? "the ledger's own chain" : "");
    }
    world_close(w);
}

TEST(withheld_kinds_are_kinds_that_may_be)
{
    struct world *w = released();
    struct made m = make(w, "U2", CLOSE_BACK, "LOT_DERIVED");
    static const char *const names[] = {"PARTY_REGISTERED", "GENESIS", "FOO", "LOG_KEY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct dossier x = m.d;
        struct span both[2] = {SPAN_LIT("LOT_DERIVED"), span_str(names[i])};
        if (span_cmp(both[0], both[1]) > 0) {
            both[0] = both[1];
            both[1] = SPAN_LIT("LOT_DERIVED");
        }
        x.withheld = both;
        x.n_withheld = 2;
        refused(w, &x, "no kind of which content may be left out");
    }
    world_close(w);
}

TEST(a_member_cannot_be_left_out)
{
    struct world *w = released();
    struct made m = make(w, "M1", CLOSE_FORWARD, NULL);
    for (size_t i = 0; i < m.d.n_chains; i++)
        for (size_t l = 0; l < m.d.chains[i].n_logs; l++) {
            if (m.d.chains[i].logs[l].n == 0)
                continue;
            m.d.chains[i].logs[l].n--;
            refused(w, &m.d, "members");
            m.d.chains[i].logs[l].n++;
        }
    world_close(w);
}

TEST(a_dossier_is_about_what_it_says)
{
    struct world *w = released();
    struct made m = make(w, "U2", CLOSE_BACK, NULL);
    m.d.subjects[0].id = SPAN_LIT("L1"); /* U2 would pass for something that L1 came from */
    refused(w, &m.d, "nothing that the dossier is about leads to this item");
    m.d.subjects[0].id = SPAN_LIT("U1");
    refused(w, &m.d, "not in the dossier: item U1, named by the dossier itself");
    m.d.subjects[0].id = SPAN_LIT("U2");
    m.d.closure = DOSSIER_FORWARD;
    refused(w, &m.d, "nothing that the dossier is about leads to this item");
    m.d.closure = DOSSIER_BACK;
    m.d.n_subjects = 0;
    refused(w, &m.d, "about nothing");
    world_close(w);
}

TEST(openings_stand_where_they_are_needed_only)
{
    struct world *w = released();
    struct made m = make(w, "U1", CLOSE_BACK, "LOT_DERIVED"), full = make(w, "U1", CLOSE_BACK, NULL);
    for (size_t i = 0; i < m.d.n_entries; i++) {
        struct entry_claim *e = &m.d.entries[i], *other = &full.d.entries[i];
        if (!e->withheld)
            continue;
        struct span opening = e->opening;
        e->opening = SPAN_NONE;
        refused(w, &m.d, "can neither be derived");
        e->opening = opening;
        CHECK_EQ_INT(other->opening.n, 0);
        other->opening = opening;
        refused(w, &full.d, "it is not needed");
        other->opening = SPAN_NONE;
        other->withheld = true;
        refused(w, &full.d, "may be");
        other->withheld = false;
    }
    world_close(w);
}

TEST(another_policy_does_not_vouch_for_it)
{
    struct world *w = released();
    struct made m = make(w, "U2", CLOSE_BACK, NULL);
    struct note_key key;
    struct secret_key other;
    struct policy policy;
    struct verdict v;
    char vkey[NOTE_NAME_MAX + 200], text[NOTE_NAME_MAX + 300];
    uint8_t seed[32] = {1};
    CHECK(crypto_secret_from_seed(w->c, SIG_ED25519, seed, &other));
    CHECK(note_key_make(w->c, WORLD_ORIGIN, NOTE_ED25519, span_of(other.pub, other.pub_len), &key));
    note_key_format(&key, vkey);
    snprintf(text, sizeof text, "log %s\nquorum none\n", vkey);
    MUST(policy_parse(w->c, arena_copy(w->a, span_str(text)), &policy, err));
    CHECK_EQ_INT(judge_file(w, &policy, m.file, &v), VERDICT_UNTRUSTED);
    world_close(w);
}

/* ---- a ledger that erases ---- */

TEST(an_erased_event_is_named_with_its_erasure)
{
    struct world *w = make_ledger();
    const struct parameters rules = {.rules_version = RULES_VERSION, .n_algorithms = 1, .algorithms = {SIG_ED25519}, .n_retentions = 1,
                                     .retentions = {{KIND_LOT_DERIVED, 3650}}};
    world_begin(w);
    act(w, OWN_PARAMETERS, parameters_encode(w->a, &rules));
    play(w, "STORAGE_MOVED", "u.op", "item=L1;location=shelf of Mr. N.");
    struct hash moved = w->last_event;
    play(w, "STORAGE_MOVED", "u.op", "item=L1;location=shelf 2");
    world_commit(w);
    world_begin(w);
    struct erasure x = {.reason = SPAN_LIT("a name was written into it"), .n = 1, .ids = moved.b};
    act(w, OWN_ERASURE, erasure_encode(w->a, &x));
    world_commit(w);
    struct made m = make(w, "U2", CLOSE_BACK, NULL);
    CHECK_EQ_INT(m.bases[DOSSIER_ERASED], 1);
    CHECK_EQ_INT(m.bases[DOSSIER_OUTSIDE], 0);
    for (size_t i = 0; i < m.d.n_entries; i++)
        if (m.d.entries[i].erased_by) {
            m.d.entries[i].erased_by--; /* that is an ordinary entry, or none */
            refused(w, &m.d, "it is said to be erased under entry");
            m.d.entries[i].erased_by++;
        }
    world_close(w);
}

/* With whatever memory: it verifies, or nothing is known. */
TEST(want_of_memory_is_no_flaw)
{
    struct world *w = make_ledger();
    struct made m = make(w, "U2", CLOSE_BACK, NULL);
    size_t good = 0, steps = 0;
    for (size_t budget = 4096; budget < (size_t)64 << 20; budget += budget / 16, steps++) {
        struct verifier vf = world_verifier(w);
        struct dossier_proof proof = {0};
        struct verdict v = {VERDICT_GOOD};
        vf.a = arena_new(budget);
        bool verified = dossier_verify(&vf, &m.d, budget, &proof, &v);
        if (!verified && v.kind != VERDICT_MEMORY)
            fprintf(stderr, "%zu bytes: %s: %s\n", budget, v.what, v.text);
        CHECK(verified || v.kind == VERDICT_MEMORY);
        good += verified;
        dossier_proof_free(&proof);
        arena_free(vf.a);
    }
    CHECK(good > 0 && good < steps);
    world_close(w);
}

TEST(openings_are_for_those_who_may_read_states)
{
    struct world *w = released();
    Ledgerd__V1__ProveRequest p = LEDGERD__V1__PROVE_REQUEST__INIT;
    Ledgerd__V1__Request req = REQUEST(7);
    struct answers ans;
    const struct chain_name name = {CHAIN_ITEM, SPAN_LIT("U2")};
    const struct prove_request rq = {.chains = &name, .n = 1};
    w->access.may_read_states = false;
    p.n_chains = 1;
    p.chains = name_list(w, &rq);
    req.op_case = LEDGERD__V1__REQUEST__OP_PROVE;
    req.prove = &p;
    p.history_all = true;
    ask(w, &req, &ans); /* histories are headers, and what the kinds allow */
    CHECK_EQ_INT(ans.r[0]->answer_case, LEDGERD__V1__RESPONSE__ANSWER_PROVE);
    for (int i = 0; i < 2; i++) {
        p.openings = i == 0;
        p.event_related = i == 1;
        ask(w, &req, &ans);
        check_error(&ans, LEDGERD__V1__ERROR_CODE__ERROR_DENIED, "may not read states");
    }
    world_close(w);
}

TEST(the_stamps_that_bound_an_item_are_tied_to_the_tree)
{
    struct world *w = make_ledger();
    struct verdict v;
    uint64_t stamps[3];
    for (unsigned i = 0; i < 3; i++) {
        world_begin(w);
        stamps[i] = stamp(w);
        if (i == 0)
            play_material(w, "M2");
        world_commit(w);
    }
    /* The second one covers M2's latest entry; the third one says no more. */
    struct made m = make(w, "M2", CLOSE_BACK, NULL);
    CHECK_EQ_INT(judge_file(w, &w->policy, m.file, &v), VERDICT_GOOD);
    CHECK_EQ_INT(m.d.n_stamps, 2);
    CHECK_EQ_INT(m.d.stamps[0].entry, stamps[0]);
    CHECK_EQ_INT(m.d.stamps[1].entry, stamps[1]);
    CHECK_EQ_INT(m.bases[DOSSIER_WITHHELD], 1);
    CHECK(m.d.n_withheld == 1 && span_eq(m.d.withheld[0], SPAN_LIT("TIME_STAMP")));
    m.d.n_stamps--;
    refused(w, &m.d, "there is no path for this one");
    m.d.n_stamps++;
    m.d.stamps[0].entry++;
    refused(w, &m.d, "there is no path for this one");
    m.d.stamps[0].entry--;
    struct span path = m.d.stamps[0].path;
    m.d.stamps[0].path = m.d.stamps[1].path;
    refused(w, &m.d, "no proof that the tree");
    m.d.stamps[0].path = path;
    m.d.stamps[1] = m.d.stamps[0];
    refused(w, &m.d, "there is no path for this one");
    world_close(w);
}

/* Witnesses cosign some checkpoints and not each: what is proven under a seal stands under a later one, which is the dossier's. */
TEST(a_larger_checkpoint_vouches_for_the_seal)
{
    struct world *w = released();
    struct verdict v = {0};
    struct made m = {0};
    struct dossier_proof proof;
    world_begin(w);
    uint64_t before = stamp(w);
    play_material(w, "M2");
    world_commit(w);
    world_begin(w);
    uint64_t after = stamp(w);
    world_commit(w);
    const struct chain_name name = {CHAIN_ITEM, SPAN_LIT("M2")};
    const struct dossier_plan plan = {.subjects = &name, .n_subjects = 1, .closure = CLOSE_BACK, .budget = BUDGET, .consistency = path_between,
                                      .consistency_ctx = w};
    struct reply *r = fetch(w, &plan);
    world_begin(w);
    play(w, "STORAGE_MOVED", "u.wh", "item=M2;location=elsewhere");
    world_commit(w);
    struct reply *later = fetch(w, &plan);
    struct store_snapshot *sn;
    struct merkle_path p;
    MUST(store_snapshot_open(w->store, &sn, err));
    struct kv kv = store_snapshot_kv(sn);
    struct merkle_store tree = kv_tree(&kv);
    CHECK(merkle_inclusion(w->c, &tree, r->snapshot.seal.index, later->snapshot.cp.size, &p));
    store_snapshot_close(sn);
    r->cosigned = (struct snapshot_claim){.note = later->claim.note, .seal = r->claim.seal,
                                          .seal_path = arena_copy(w->a, span_of(p.h, p.n * HASH_LEN))};
    CHECK_EQ_INT(make_of(w, r, &plan, &m, &v), LEDGER_OK);
    CHECK_EQ_INT(judge_file(w, &w->policy, m.file, &v), VERDICT_GOOD);
    struct verifier vf = {.c = w->c, .a = w->a, .policy = &w->policy};
    CHECK(dossier_verify(&vf, &m.d, BUDGET, &proof, &v));
    CHECK_EQ_INT(proof.snapshot.cp.size, later->snapshot.cp.size);
    CHECK_EQ_INT(proof.snapshot.seal.index, r->snapshot.seal.index); /* as of then: M2 has not moved */
    const struct proven_subject *m2 = later->u.prove.subjects;
    while (!span_eq(m2->name.id, SPAN_LIT("M2")))
        m2++;
    CHECK_EQ_INT(dossier_find(w->c, &proof, CHAIN_ITEM, SPAN_LIT("M2"))->count, m2->n_history - 1);
    CHECK_EQ_INT(proof.n_stamps, 2); /* tied to the larger tree */
    CHECK(proof.stamps[0].entry->header.index == before && proof.stamps[1].entry->header.index == after);
    dossier_proof_free(&proof);
    m.d.snapshot.seal_path = r->claim.seal_path;
    refused(w, &m.d, "its inclusion path does not lead to the checkpoint's root");
    world_close(w);
}

/* A log key that signs what it must not convicts the ledger; whoever altered a file does not. */
TEST(a_wrong_log_key_is_no_damage)
{
    struct world *w = released();
    struct made m = make(w, "U2", CLOSE_BACK, NULL);
    struct policy p = w->policy;
    struct verdict v;
    p.log_until[0] = 2;
    CHECK_EQ_INT(judge_file(w, &p, m.file, &v), VERDICT_TAMPERED);
    CHECK(strstr(v.text, "was replaced and signs nothing from size") != NULL);
    struct span note = arena_copy(w->a, m.d.snapshot.note);
    ((uint8_t *)(uintptr_t)note.p)[note.n - 8] ^= 1; /* in the signature */
    m.d.snapshot.note = note;
    CHECK_EQ_INT(judge_file(w, &w->policy, dossier_encode(w->c, w->a, &m.d), &v), VERDICT_DAMAGED);
    struct log_key_claim none = {m.d.entries[1].header, m.d.entries[1].event, SPAN_LIT(""), note};
    m = make(w, "U2", CLOSE_BACK, NULL);
    m.d.log_keys = &none;
    m.d.n_log_keys = 1;
    refused(w, &m.d, "of another kind");
    world_close(w);
}

/* Somebody who may not read some kinds makes dossiers without their content. */
TEST(what_the_server_withholds_is_withheld)
{
    struct world *w = released();
    struct made m = {0};
    struct verdict v = {0};
    w->access.read_kinds &= ~(1u << (KIND_QUALITY_DECISION - EVENT_KIND_FIRST));
    m = make(w, "U2", CLOSE_BACK, NULL);
    CHECK(m.bases[DOSSIER_WITHHELD] > 0);
    CHECK_EQ_INT(m.d.n_withheld, 1);
    CHECK(span_eq(m.d.withheld[0], SPAN_LIT("QUALITY_DECISION")));
    CHECK_EQ_INT(judge_file(w, &w->policy, m.file, &v), VERDICT_GOOD);
    w->access.read_kinds = UINT32_MAX & ~1u; /* PARTY_REGISTERED */
    CHECK_EQ_INT(try_make(w, "U2", CLOSE_BACK, NULL, &m, &v), LEDGER_EDENIED);
    world_close(w);
}

/* ---- a ledger that lies ---- */

/* Records an event of L1 whose signature does not verify, as a writer would who asks nobody. */
static void record_forged(struct world *w)
{
    static const struct preverified sure = {.ok = {true, true}};
    struct event draft = {.kind = kind_by_name(SPAN_LIT("STORAGE_MOVED"))}, ev;
    struct sigblock b, decoded;
    struct appended_entry e;
    struct refusal why = {0};
    draft.nonce = SPAN_LIT("0123456789abcdef");
    draft.reference = SPAN_LIT("forged");
    draft.occurred = world_time(w, w->now_us);
    world_fields(w, &draft, "item=L1;location=elsewhere");
    MUST(event_decode(w->c, w->a, event_encode(w->a, &draft), &ev, &why, err));
    world_block(w, &ev, "u.op", &b);
    uint8_t *sig = (uint8_t *)(uintptr_t)b.sigs[0].sig.p;
    sig[3] ^= 1;
    struct span block = sigblock_encode(w->a, &b);
    MUST(sigblock_decode(block, &decoded, err));
    struct submission s = {.ev = &ev, .block = block, .b = &decoded, .pre = &sure};
    MUST(machine_event(&w->m, &s, w->now_us, &e, &why, err));
}

TEST(a_forged_signature_convicts_the_ledger)
{
    struct world *w = make_ledger();
    struct made m = {0};
    struct verdict v = {0};
    world_begin(w);
    record_forged(w);
    world_commit(w);
    CHECK_EQ_INT(try_make(w, "U2", CLOSE_BACK, NULL, &m, &v), LEDGER_ETAMPER);
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    CHECK(strstr(v.text, "E_SIG_INVALID") != NULL);
    CHECK_EQ_INT(judge_file(w, &w->policy, m.file, &v), VERDICT_TAMPERED); /* the file is the evidence */
    /* M1 forward: L1 is there, its other inputs are not. */
    CHECK_EQ_INT(try_make(w, "M1", CLOSE_FORWARD, NULL, &m, &v), LEDGER_ETAMPER);
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    CHECK_EQ_INT(judge_file(w, &w->policy, m.file, &v), VERDICT_TAMPERED);
    world_close(w);
}

/* Another step in the place of the chain's last one. */
static void retell(struct world *w, struct chain *ch, struct span step)
{
    const uint64_t last = ch->count - 1, number = history_row_number(last);
    struct span row = SPAN_NONE, before;
    uint8_t key[KV_KEY_MAX];
    for (uint64_t seq = 0; seq < last; seq++)
        if (history_row_number(seq) == number) {
            MUST(history_step_find(&w->m.kv, ch, seq, &before));
            row = history_row_add(w->a, row, before);
        }
    row = history_row_add(w->a, row, step);
    ch->history = history_row_ends(last) ? SPAN_NONE : row;
    if (history_row_ends(last))
        MUST(kv_put(&w->m.kv, KV_MEMBER, kv_key_member(key, &ch->key, MEMBER_HISTORY, number), row));
    MUST(kv_put(&w->m.kv, KV_CHAIN, span_of(ch->key.b, HASH_LEN), chain_record_encode(w->a, ch)));
}

/* Commits to a state of L1 that its event does not make. */
TEST(a_wrong_state_convicts_the_ledger)
{
    struct world *w = make_ledger();
    struct made m = {0};
    struct verdict v = {0};
    struct chain *ch = arena_alloc(w->a, sizeof *ch);
    struct hash key;
    struct span record;
    struct wbuf before, after;
    world_begin(w);
    chain_key(w->c, &w->index_key, CHAIN_ITEM, SPAN_LIT("L1"), &key);
    MUST(kv_get(&w->m.kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record));
    MUST(chain_record_decode(arena_copy(w->a, record), ch, err));
    wbuf_init(&before, w->a);
    state_encode_compact(ch, &before);
    ch->key = key;
    ch->item.available += 5000000000; /* five more than there are, from now on */
    MUST(kv_put(&w->m.kv, KV_CHAIN, span_of(key.b, HASH_LEN), chain_record_encode(w->a, ch)));
    uint64_t index = play(w, "STORAGE_MOVED", "u.op", "item=L1;location=shelf 2");
    MUST(kv_get(&w->m.kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record));
    MUST(chain_record_decode(arena_copy(w->a, record), ch, err));
    wbuf_init(&after, w->a);
    state_encode_compact(ch, &after);
    ch->key = key;
    retell(w, ch, history_step_encode(w->a, index, wbuf_span(&before), wbuf_span(&after)));
    world_commit(w);
    CHECK_EQ_INT(try_make(w, "U2", CLOSE_BACK, NULL, &m, &v), LEDGER_ETAMPER);
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    CHECK(strstr(v.text, "state commitment") != NULL);
    world_close(w);
}

TEST_MAIN(TEST_ENTRY(a_bag_back_to_its_cells), TEST_ENTRY(a_material_forward_to_the_bags), TEST_ENTRY(an_item_that_is_not_there),
          TEST_ENTRY(standing_from_the_file_alone), TEST_ENTRY(withheld_content_changes_no_proof), TEST_ENTRY(every_byte_counts),
          TEST_ENTRY(nothing_can_be_left_out), TEST_ENTRY(a_chain_that_is_cut_out_whole_is_damage), TEST_ENTRY(withheld_kinds_are_kinds_that_may_be),
          TEST_ENTRY(a_member_cannot_be_left_out), TEST_ENTRY(a_dossier_is_about_what_it_says),
          TEST_ENTRY(openings_stand_where_they_are_needed_only), TEST_ENTRY(another_policy_does_not_vouch_for_it),
          TEST_ENTRY(an_erased_event_is_named_with_its_erasure), TEST_ENTRY(what_the_server_withholds_is_withheld),
          TEST_ENTRY(want_of_memory_is_no_flaw), TEST_ENTRY(openings_are_for_those_who_may_read_states),
          TEST_ENTRY(a_larger_checkpoint_vouches_for_the_seal), TEST_ENTRY(a_wrong_log_key_is_no_damage),
          TEST_ENTRY(the_stamps_that_bound_an_item_are_tied_to_the_tree),
          TEST_ENTRY(a_forged_signature_convicts_the_ledger),
          TEST_ENTRY(a_wrong_state_convicts_the_ledger))
