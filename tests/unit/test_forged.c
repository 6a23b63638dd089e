/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a ledger could sign and a verifier does not take: trees made by hand, with the real log key, of entries that the rules would never have
 * let in. Honest answers, and every flipped byte of them, are other tests' business.
 */
#include "check.h"
#include "scratch.h"
#include "verify.h"

#define OTHER_ORIGIN "other.example/ledger"

static struct scratch_pen pen;
static struct hash index_key;
static struct policy policy;
static struct secret_key log_key;
static struct note_key note_key;

/* A tree of a few entries; the last is the seal. */
struct forged {
    size_t n;
    struct span headers[6];
    struct hash leaves[6], root;
    struct snapshot_claim claim;
};

static void begin(const char *more_policy)
{
    char vkey[NOTE_NAME_MAX + 200], text[2048];
    struct ledger_err err;
    if (!pen.c) /* else the test has made keys for its policy with it */
        pen_init(&pen);
    memset(index_key.b, 0x29, HASH_LEN);
    log_key = pen_key(&pen, KEY_LOG);
    CHECK(note_key_make(pen.c, SCRATCH_ORIGIN, NOTE_ED25519, span_of(log_key.pub, log_key.pub_len), &note_key));
    note_key_format(&note_key, vkey);
    snprintf(text, sizeof text, "log %s\n%s", vkey, more_policy);
    CHECK_EQ_INT(policy_parse(pen.c, span_str(text), &policy, &err), LEDGER_OK);
}

static struct verifier verifier(void)
{
    return (struct verifier){.c = pen.c, .a = pen.a, .policy = &policy, .index_key = index_key, .origin = SCRATCH_ORIGIN};
}

/* Entry t->n of the tree, with one link. */
static void add(struct forged *t, unsigned kind, struct span event, struct span block, const struct link *link, int64_t recorded_us)
{
    struct link copy = *link;
    struct header h = {.index = t->n, .recorded_us = recorded_us, .kind = (uint16_t)kind, .n_links = 1, .links = &copy};
    event_id(pen.c, event, &h.event_id);
    sigblock_hash(pen.c, block, &h.block_hash);
    t->headers[t->n] = header_encode(pen.a, &h);
    CHECK(t->headers[t->n].p);
    merkle_leaf(pen.c, t->headers[t->n], &t->leaves[t->n]);
    t->n++;
}

static struct span path_to(const struct forged *t, size_t index)
{
    struct hash *h = arena_alloc(pen.a, sizeof *h), right;
    /* Of trees with two or three leaves. */
    if (t->n == 2) {
        h[0] = t->leaves[!index];
        return span_of(h->b, HASH_LEN);
    }
    CHECK(t->n == 3);
    h = arena_alloc(pen.a, 2 * sizeof *h);
    if (index == 2) {
        merkle_node(pen.c, &t->leaves[0], &t->leaves[1], &h[0]);
        return span_of(h->b, HASH_LEN);
    }
    right = t->leaves[2];
    h[0] = t->leaves[!index];
    h[1] = right;
    return span_of(h->b, 2 * HASH_LEN);
}

static struct span sign_checkpoint(const struct note_key *key, const struct secret_key *secret, const char *origin, uint64_t size,
                                   const struct hash *root)
{
    struct wbuf w;
    const struct checkpoint cp = {span_str(origin), size, *root};
    wbuf_init(&w, pen.a);
    checkpoint_sign(pen.c, key, secret, &cp, &w);
    CHECK(wbuf_span(&w).p);
    return wbuf_span(&w);
}

static void seal(struct forged *t, const struct hash *map_root, uint64_t chains, int64_t recorded_us)
{
    struct frontier f = {0};
    struct header h = {.index = t->n, .recorded_us = recorded_us, .kind = OWN_SEAL, .map_root = *map_root, .chains = chains};
    t->headers[t->n] = header_encode(pen.a, &h);
    merkle_leaf(pen.c, t->headers[t->n], &t->leaves[t->n]);
    t->n++;
    for (size_t i = 0; i < t->n; i++)
        frontier_append(pen.c, &f, &t->leaves[i]);
    frontier_root(pen.c, &f, &t->root);
    t->claim = (struct snapshot_claim){.note = sign_checkpoint(&note_key, &log_key, SCRATCH_ORIGIN, t->n, &t->root),
                                       .seal = t->headers[t->n - 1], .seal_path = path_to(t, t->n - 1)};
}

/* ---- checkpoints ---- */

TEST(a_checkpoint_of_another_ledger_of_the_policy)
{
    struct checkpoint cp;
    struct policy_verdict trust;
    struct verdict v = {0};
    struct note_key other;
    char vkey[NOTE_NAME_MAX + 200], line[1024];
    pen_init(&pen);
    struct secret_key secret = pen_key(&pen, KEY_OTHER);
    CHECK(note_key_make(pen.c, OTHER_ORIGIN, NOTE_ED25519, span_of(secret.pub, secret.pub_len), &other));
    note_key_format(&other, vkey);
    snprintf(line, sizeof line, "log %s\nquorum none\n", vkey);
    begin(line);
    struct verifier vf = verifier();
    struct hash root = {{1}};
    CHECK(verify_checkpoint(&vf, sign_checkpoint(&note_key, &log_key, SCRATCH_ORIGIN, 7, &root), &cp, &trust, &v));
    CHECK(!verify_checkpoint(&vf, sign_checkpoint(&other, &secret, OTHER_ORIGIN, 7, &root), &cp, &trust, &v));
    CHECK_EQ_INT(v.kind, VERDICT_UNTRUSTED);
    vf.origin = NULL; /* whoever does not say which one is meant takes either */
    CHECK(verify_checkpoint(&vf, sign_checkpoint(&other, &secret, OTHER_ORIGIN, 7, &root), &cp, &trust, &v));
}

TEST(a_checkpoint_that_no_witness_has_seen)
{
    struct checkpoint cp;
    struct policy_verdict trust;
    struct verdict v = {0};
    struct note_key witness;
    char vkey[NOTE_NAME_MAX + 200], line[1024];
    struct wbuf w;
    struct hash root = {{1}};
    pen_init(&pen);
    struct secret_key secret = pen_key(&pen, KEY_OTHER);
    CHECK(note_key_make(pen.c, "witness.example/w1", NOTE_COSIGNATURE_V1, span_of(secret.pub, secret.pub_len), &witness));
    note_key_format(&witness, vkey);
    snprintf(line, sizeof line, "witness w1 %s\nquorum w1\n", vkey);
    begin(line);
    struct verifier vf = verifier();
    struct span note = sign_checkpoint(&note_key, &log_key, SCRATCH_ORIGIN, 7, &root);
    CHECK(!verify_checkpoint(&vf, note, &cp, &trust, &v));
    CHECK_EQ_INT(v.kind, VERDICT_UNTRUSTED);
    CHECK(strstr(v.text, "quorum"));
    struct note parsed;
    CHECK_EQ_INT(note_parse(pen.a, note, &parsed, NULL), LEDGER_OK);
    wbuf_init(&w, pen.a);
    wbuf_bytes(&w, note.p, note.n);
    note_cosign_line(pen.c, &witness, &secret, 1700000000, parsed.text, &w);
    CHECK(verify_checkpoint(&vf, wbuf_span(&w), &cp, &trust, &v));
}

/* ---- chains ---- */

static struct hash item_key(const char *item)
{
    struct hash key;
    chain_key(pen.c, &index_key, CHAIN_ITEM, span_str(item), &key);
    return key;
}

/* A map of one chain, whose head is the only entry before the seal. */
static bool one_chain(const struct link *link, uint64_t count, int64_t recorded_us, int64_t sealed_us, struct verdict *v)
{
    uint8_t number[8];
    struct forged t = {0};
    struct hash map_root;
    struct snapshot s;
    struct proven_chain *out = arena_alloc(pen.a, sizeof *out);
    struct map_proof *p = arena_alloc(pen.a, sizeof *p);
    add(&t, KIND_STORAGE_MOVED, SPAN_LIT("event"), SPAN_LIT("block"), link, recorded_us);
    *p = (struct map_proof){.end = MAP_PRESENT, .leaf = {link->chain, count, t.leaves[0]}};
    (void)kv_key_u64(number, count);
    const struct hfield f[] = {HFIX(link->chain.b, HASH_LEN), HFIX(number, 8), HFIX(t.leaves[0].b, HASH_LEN)};
    crypto_labelled(pen.c, LABEL_MAP_LEAF, f, 3, &map_root);
    seal(&t, &map_root, 1, sealed_us);
    struct verifier vf = verifier();
    struct chain_claim claim = {.type = CHAIN_ITEM, .id = SPAN_LIT("I-1"), .map_proof = map_proof_encode(pen.a, p), .head = t.headers[0],
                                .withheld = true};
    memset(v, 0, sizeof *v);
    CHECK(verify_snapshot(&vf, &t.claim, &s, v));
    return verify_chain(&vf, &s, &claim, out, v);
}

TEST(the_head_of_a_chain_has_the_number_that_the_map_counts)
{
    struct verdict v;
    begin("quorum none\n");
    struct link first = {.chain = item_key("I-1")}, third = {.chain = item_key("I-1"), .seq = 2, .prev = {{1}}};
    CHECK(one_chain(&first, 1, 1000, 2000, &v));
    CHECK(one_chain(&third, 3, 1000, 2000, &v));
    CHECK(!one_chain(&third, 4, 1000, 2000, &v)); /* there is a later entry, which is not shown */
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    CHECK(!one_chain(&third, 2, 1000, 2000, &v));
    CHECK(!one_chain(&first, 0, 1000, 2000, &v));
    struct link other = {.chain = item_key("I-2")};
    CHECK(!one_chain(&other, 1, 1000, 2000, &v));
}

TEST(the_head_of_a_chain_is_no_younger_than_its_seal)
{
    struct verdict v;
    begin("quorum none\n");
    struct link first = {.chain = item_key("I-1")};
    CHECK(one_chain(&first, 1, 2000, 2000, &v));
    CHECK(!one_chain(&first, 1, 2001, 2000, &v));
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    CHECK(strstr(v.text, "after the seal"));
}

/* A true seal, in its true tree, and not the one that was asked for: yesterday's state under today's checkpoint. */
TEST(the_seal_that_was_asked_for_and_no_other)
{
    struct verdict v = {0};
    struct snapshot s;
    struct forged t = {0};
    begin("quorum none\n");
    struct verifier vf = verifier();
    struct link link = {.chain = item_key("I-1")};
    add(&t, KIND_STORAGE_MOVED, SPAN_LIT("event"), SPAN_LIT("block"), &link, 1000);
    seal(&t, &HASH_ZERO, 1, 2000);
    struct span earlier = t.headers[1];
    seal(&t, &HASH_ZERO, 1, 3000);
    CHECK(verify_snapshot(&vf, &t.claim, &s, &v));
    CHECK(verify_snapshot_at(&vf, &t.claim, 3, &s, &v));
    t.claim.seal = earlier;
    t.claim.seal_path = path_to(&t, 1);
    CHECK(verify_snapshot_at(&vf, &t.claim, 2, &s, &v));
    CHECK(!verify_snapshot_at(&vf, &t.claim, 3, &s, &v));
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    CHECK(!verify_snapshot(&vf, &t.claim, &s, &v)); /* who asks for the newest state gets the newest seal */
}

/* ---- receipts ---- */

static struct span block_of(struct span signature)
{
    struct sigblock b = {.events = 1, .n = 1};
    CHECK_EQ_INT(signature_decode(signature, &b.sigs[0], NULL), LEDGER_OK);
    struct span block = sigblock_encode(pen.a, &b);
    CHECK(block.p);
    return block;
}

struct content { struct span event, block; };

static struct content signed_by(struct span event, const char *party, unsigned key)
{
    return (struct content){event, block_of(pen_sign(&pen, &event, 1, party, key, SPAN_NONE))};
}

/* The event as entry `at` of two, the registration of its signer as the other one. */
static bool receipt(const struct content *event, unsigned kind, const struct content *registration, const char *party, size_t at,
                    struct receipt *out, struct verdict *v)
{
    struct forged t = {0};
    struct link link = {.chain = item_key("I-1")};
    for (size_t i = 0; i < 2; i++)
        if (i == at)
            add(&t, kind, event->event, event->block, &link, 1000);
        else
            add(&t, KIND_PARTY_REGISTERED, registration->event, registration->block, &link, 1000);
    seal(&t, &HASH_ZERO, 1, 2000);
    const struct signer_key_claim key = {.party = span_str(party),
                                         .registration = {.header = t.headers[!at], .event = registration->event,
                                                          .block = registration->block},
                                         .path = path_to(&t, !at)};
    const struct receipt_claim claim = {.origin = SPAN_LIT(SCRATCH_ORIGIN),
                                        .entry = {.header = t.headers[at], .event = event->event, .block = event->block},
                                        .path = path_to(&t, at),
                                        .snapshot = t.claim,
                                        .keys = &key,
                                        .n_keys = 1};
    struct verifier vf = verifier();
    memset(v, 0, sizeof *v);
    bool ok = verify_receipt(&vf, &claim, out, v);
    if (!ok && v->kind != VERDICT_TAMPERED)
        fprintf(stderr, "%s: %s\n", v->what, v->text);
    return ok;
}

TEST(a_signer_was_registered_before_what_he_signed)
{
    struct verdict v;
    struct receipt *r = calloc(1, sizeof *r);
    begin("quorum none\n");
    struct content event = signed_by(pen_material(&pen, "M-1"), "wh", KEY_WAREHOUSE);
    struct content registration = signed_by(pen_registration(&pen, "reg", "wh", "WAREHOUSE", KEY_WAREHOUSE), SCRATCH_ADMIN, KEY_ADMIN);
    CHECK(receipt(&event, KIND_MATERIAL_RECEIVED, &registration, "wh", 1, r, &v));
    CHECK_EQ_INT(r->signatures_checked, 1);
    CHECK(!receipt(&event, KIND_MATERIAL_RECEIVED, &registration, "wh", 0, r, &v));
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    free(r);
}

TEST(a_kind_that_takes_two_signatures_has_two)
{
    struct verdict v;
    struct receipt *r = calloc(1, sizeof *r);
    begin("quorum none\n");
    struct content event = signed_by(pen_event(&pen, "QUALITY_DECISION", "q1", "item=M-1;decision=RELEASE;spec_version=1;reason=r"), "qa",
                                     KEY_QA);
    struct content registration = signed_by(pen_registration(&pen, "reg", "qa", "QA", KEY_QA), SCRATCH_ADMIN, KEY_ADMIN);
    CHECK(!receipt(&event, KIND_QUALITY_DECISION, &registration, "qa", 1, r, &v));
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    CHECK(r->recorded && r->forged); /* it convicts the ledger */
    CHECK(strstr(v.text, "this kind has 2"));
    free(r);
}

/* ---- signers at the time of recording ---- */

TEST(the_signature_of_somebody_who_was_revoked_before)
{
    struct verdict v = {0};
    struct forged t = {0};
    struct entry *e = calloc(3, sizeof *e);
    begin("quorum none\n");
    struct link link = {.chain = item_key("I-1")};
    struct content c[3] = {
        signed_by(pen_registration(&pen, "reg", "wh", "WAREHOUSE", KEY_WAREHOUSE), SCRATCH_ADMIN, KEY_ADMIN),
        signed_by(pen_event(&pen, "PARTY_REGISTERED", "rev", "action=REVOKE;party=wh;org=ORG;roles=WAREHOUSE"), SCRATCH_ADMIN, KEY_ADMIN),
        signed_by(pen_material(&pen, "M-1"), "wh", KEY_WAREHOUSE)};
    const unsigned kinds[] = {KIND_PARTY_REGISTERED, KIND_PARTY_REGISTERED, KIND_MATERIAL_RECEIVED};
    struct entry_claim raw[3];
    struct verifier vf = verifier();
    for (unsigned i = 0; i < 3; i++) {
        add(&t, kinds[i], c[i].event, c[i].block, &link, 1000);
        raw[i] = (struct entry_claim){.header = t.headers[i], .event = c[i].event, .block = c[i].block};
        CHECK(verify_entry(&vf, &raw[i], &e[i], &v));
    }
    struct party_history h = {.party = SPAN_LIT("wh"), .n = 1, .entries = e, .raw = raw};
    CHECK(verify_signers(&vf, SPAN_LIT(SCRATCH_ORIGIN), &e[2], &h, 1, &v));
    h.n = 2;
    CHECK(!verify_signers(&vf, SPAN_LIT(SCRATCH_ORIGIN), &e[2], &h, 1, &v));
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    CHECK(strstr(v.text, "was revoked"));
    free(e);
}

TEST_MAIN(TEST_ENTRY(a_checkpoint_of_another_ledger_of_the_policy), TEST_ENTRY(a_checkpoint_that_no_witness_has_seen),
          TEST_ENTRY(the_head_of_a_chain_has_the_number_that_the_map_counts),
          TEST_ENTRY(the_seal_that_was_asked_for_and_no_other), TEST_ENTRY(the_head_of_a_chain_is_no_younger_than_its_seal), TEST_ENTRY(a_signer_was_registered_before_what_he_signed),
          TEST_ENTRY(a_kind_that_takes_two_signatures_has_two), TEST_ENTRY(the_signature_of_somebody_who_was_revoked_before))
