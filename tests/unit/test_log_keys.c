/* SPDX-License-Identifier: Apache-2.0 */
/* Following a log from key to key: what makes a change good, what each wrong part of it is taken for, and which sizes a key signs then. */
#include "log_keys.h"

#include "check.h"
#include "event.h"
#include "verify.h"

#define ORIGIN "ledger.example/cpc-a"
#define KEYS 4

struct world {
    struct crypto *c;
    struct arena *a;
    struct note_key keys[KEYS], witness;
    struct secret_key secrets[KEYS], witness_secret;
    char vkeys[KEYS][NOTE_NAME_MAX + 200], witness_vkey[NOTE_NAME_MAX + 200];
};

static void make_key(struct world *w, uint8_t first, const char *name, uint8_t type, struct note_key *k, struct secret_key *s, char *vkey)
{
    uint8_t seed[32];
    for (uint8_t i = 0; i < 32; i++)
        seed[i] = (uint8_t)(first + i);
    CHECK(crypto_secret_from_seed(w->c, SIG_ED25519, seed, s));
    CHECK(note_key_make(w->c, name, type, span_of(s->pub, s->pub_len), k));
    vkey[note_key_format(k, vkey)] = 0;
}

static struct world setup(void)
{
    struct world w = {.c = crypto_new(), .a = arena_new(4 << 20)};
    CHECK(w.c && w.a);
    for (uint8_t i = 0; i < KEYS; i++)
        make_key(&w, (uint8_t)(32 * i), ORIGIN, NOTE_ED25519, &w.keys[i], &w.secrets[i], w.vkeys[i]);
    make_key(&w, 200, "witness.example/w1", NOTE_COSIGNATURE_V1, &w.witness, &w.witness_secret, w.witness_vkey);
    return w;
}

static void teardown(struct world *w)
{
    arena_free(w->a);
    crypto_free(w->c);
}

/* What may be wrong about a change. */
struct flaws {
    unsigned signer;        /* 1 + which key signs the checkpoint in place of the old one; 0: the old one */
    bool cosigned;
    bool bad_proof, other_from, other_kind, other_payload, bad_path, other_size, other_root, other_origin, same_keys, fork;
};

static struct span payload_of(struct world *w, unsigned old, unsigned new, uint64_t index, const struct flaws *f)
{
    const struct note_key *key = &w->keys[new];
    struct log_key_change k = {.from_size = index + 3 + f->other_from, .old_vkey = span_str(w->vkeys[old]),
                               .new_vkey = span_str(w->vkeys[f->same_keys ? old : new])};
    uint8_t sig[64];
    struct span msg = key_proof_input(w->a, SPAN_LIT(ORIGIN), SPAN_LIT(ORIGIN), SIG_ED25519, span_of(key->key, key->key_n));
    CHECK(msg.p && crypto_make_signature(w->c, &w->secrets[new], msg, sig));
    sig[0] ^= f->bad_proof;
    k.nonce[0] = f->fork;
    k.proof = span_of(sig, sizeof sig);
    return log_key_change_encode(w->a, &k);
}

static struct span header_of(struct world *w, uint64_t index, struct span payload, const struct flaws *f)
{
    static struct link link;
    struct header h = {.index = index, .kind = f->other_kind ? OWN_EPOCH : OWN_LOG_KEY, .n_links = 1, .links = &link};
    event_id(w->c, payload, &h.event_id);
    sigblock_hash(w->c, SPAN_NONE, &h.block_hash);
    return header_encode(w->a, &h);
}

/* The tree: any leaf at `index` of a power of two leaves, the others being what they are. */
static struct span tree(struct world *w, uint64_t index, uint64_t size, const struct hash *leaf, struct hash *root)
{
    struct hash path[40], at = *leaf;
    size_t n = 0;
    for (uint64_t i = index, width = size; width > 1; i /= 2, width /= 2, n++) {
        memset(path[n].b, (int)(16 * n + 1), HASH_LEN);
        if (i & 1)
            merkle_node(w->c, &path[n], &at, root);
        else
            merkle_node(w->c, &at, &path[n], root);
        at = *root;
    }
    return arena_copy(w->a, span_of(path, n * HASH_LEN));
}

static struct span note_of(struct world *w, const struct checkpoint *cp, unsigned signer, bool cosigned)
{
    struct wbuf b, text;
    wbuf_init(&b, w->a);
    wbuf_init(&text, w->a);
    checkpoint_text(cp, &text);
    checkpoint_sign(w->c, &w->keys[signer], &w->secrets[signer], cp, &b);
    if (cosigned)
        note_cosign_line(w->c, &w->witness, &w->witness_secret, 1700000000, wbuf_span(&text), &b);
    return wbuf_span(&b);
}

/* index + 2 is a power of two. */
static struct log_key_claim change(struct world *w, unsigned old, unsigned new, uint64_t index, const struct flaws *f)
{
    struct log_key_claim c = {.payload = payload_of(w, old, new, index, f)};
    struct checkpoint cp = {SPAN_LIT(ORIGIN), index + 2, {{0}}};
    struct hash leaf;
    c.header = header_of(w, index, c.payload, f);
    merkle_leaf(w->c, c.header, &leaf);
    c.path = tree(w, index, index + 2, &leaf, &cp.root);
    if (f->bad_path)
        c.path.n -= HASH_LEN;
    if (f->other_size)
        cp.size++;
    if (f->other_root)
        cp.root.b[0] ^= 1;
    if (f->other_origin)
        cp.origin = SPAN_LIT("ledger.example/cpc-b");
    if (f->other_payload)
        c.payload = payload_of(w, old, new, index, &(struct flaws){.fork = true});
    c.note = note_of(w, &cp, f->signer ? f->signer - 1 : old, f->cosigned);
    return c;
}

static struct policy policy_of(struct world *w, const char *keys, bool quorum)
{
    struct policy p;
    struct ledger_err err = {0};
    char text[4096];
    int n = 0;
    for (const char *k = keys; *k; k++)
        n += snprintf(text + n, sizeof text - (size_t)n, "log %s\n", w->vkeys[*k - '0']);
    n += snprintf(text + n, sizeof text - (size_t)n, "witness w1 %s\nquorum %s\n", w->witness_vkey, quorum ? "w1" : "none");
    CHECK_EQ_INT(policy_parse(w->c, span_of(text, (size_t)n), &p, &err), LEDGER_OK);
    return p;
}

static bool follow(struct world *w, struct policy *p, const struct log_key_claim *claims, size_t n, unsigned *taken, struct verdict *v)
{
    size_t failed;
    memset(v, 0, sizeof *v);
    return log_keys_follow(w->c, w->a, ORIGIN, p, claims, n, taken, &failed, v);
}

/* What is a checkpoint of this size, signed by this key, worth? */
static enum verdict_kind worth(struct world *w, const struct policy *p, uint64_t size, unsigned key)
{
    struct checkpoint cp = {SPAN_LIT(ORIGIN), size, {{7}}}, got;
    struct policy_verdict trust;
    struct verdict v = {0};
    const struct verifier vf = {.c = w->c, .a = w->a, .policy = p, .origin = ORIGIN};
    return verify_checkpoint(&vf, note_of(w, &cp, key, true), &got, &trust, &v) ? VERDICT_GOOD : v.kind;
}

TEST(each_key_signs_its_sizes)
{
    struct world w = setup();
    struct policy p = policy_of(&w, "0", false);
    struct flaws good = {0};
    struct log_key_claim claims[] = {change(&w, 0, 1, 6, &good), change(&w, 1, 2, 14, &good)};
    unsigned taken;
    struct verdict v;
    bool unclear;
    CHECK_EQ_INT(worth(&w, &p, 9, 1), VERDICT_UNTRUSTED);
    CHECK(follow(&w, &p, claims, 2, &taken, &v));
    CHECK_EQ_INT(taken, 2);
    CHECK_EQ_INT(worth(&w, &p, 3, 0), VERDICT_GOOD);
    CHECK_EQ_INT(worth(&w, &p, 8, 0), VERDICT_GOOD);
    CHECK_EQ_INT(worth(&w, &p, 9, 0), VERDICT_TAMPERED); /* a thief, or a server that goes on with it */
    CHECK_EQ_INT(worth(&w, &p, 8, 1), VERDICT_TAMPERED);
    CHECK_EQ_INT(worth(&w, &p, 9, 1), VERDICT_GOOD);
    CHECK_EQ_INT(worth(&w, &p, 16, 1), VERDICT_GOOD);
    CHECK_EQ_INT(worth(&w, &p, 17, 1), VERDICT_TAMPERED);
    CHECK_EQ_INT(worth(&w, &p, 17, 2), VERDICT_GOOD);
    CHECK_EQ_INT(worth(&w, &p, UINT64_MAX, 2), VERDICT_GOOD);
    CHECK_EQ_INT(worth(&w, &p, 17, 3), VERDICT_UNTRUSTED);
    CHECK_EQ_INT(log_keys_newest(&p, ORIGIN, &unclear), 2);
    CHECK(!unclear);
    /* The same again brings nothing new. */
    CHECK(follow(&w, &p, claims, 2, &taken, &v));
    CHECK_EQ_INT(taken, 0);
    CHECK_EQ_INT((int)p.n_logs, 3);
    teardown(&w);
}

TEST(what_the_policy_lists_decides)
{
    struct world w = setup();
    struct flaws good = {0};
    struct log_key_claim claims[] = {change(&w, 0, 1, 6, &good), change(&w, 1, 2, 14, &good)};
    unsigned taken;
    struct verdict v;
    bool unclear;
    /* Only the later ones: what was before is not its business. */
    struct policy p = policy_of(&w, "1", false);
    CHECK(follow(&w, &p, claims, 2, &taken, &v));
    CHECK_EQ_INT(taken, 1);
    CHECK_EQ_INT(worth(&w, &p, 8, 0), VERDICT_UNTRUSTED);
    CHECK_EQ_INT(worth(&w, &p, 17, 2), VERDICT_GOOD);
    /* Old and new listed: which sizes is learnt. */
    p = policy_of(&w, "01", false);
    CHECK_EQ_INT(worth(&w, &p, 9, 0), VERDICT_GOOD);
    CHECK(log_keys_newest(&p, ORIGIN, &unclear) >= 0 && unclear);
    CHECK(follow(&w, &p, claims, 1, &taken, &v));
    CHECK_EQ_INT(worth(&w, &p, 9, 0), VERDICT_TAMPERED);
    CHECK_EQ_INT((int)p.n_logs, 2);
    CHECK_EQ_INT(log_keys_newest(&p, ORIGIN, &unclear), 1);
    CHECK(!unclear);
    /* None of them: nothing is learnt, and nothing is wrong. */
    p = policy_of(&w, "3", false);
    CHECK(follow(&w, &p, claims, 2, &taken, &v));
    CHECK_EQ_INT(taken, 0);
    CHECK_EQ_INT(worth(&w, &p, 17, 2), VERDICT_UNTRUSTED);
    teardown(&w);
}

TEST(the_quorum_is_asked_for)
{
    struct world w = setup();
    struct policy p = policy_of(&w, "0", true);
    struct log_key_claim alone = change(&w, 0, 1, 6, &(struct flaws){0}), seen = change(&w, 0, 1, 6, &(struct flaws){.cosigned = true});
    unsigned taken;
    struct verdict v;
    CHECK(!follow(&w, &p, &alone, 1, &taken, &v));
    CHECK_EQ_INT(v.kind, VERDICT_UNTRUSTED);
    CHECK_EQ_INT(worth(&w, &p, 9, 1), VERDICT_UNTRUSTED);
    CHECK(follow(&w, &p, &seen, 1, &taken, &v));
    CHECK_EQ_INT(taken, 1);
    CHECK_EQ_INT(worth(&w, &p, 9, 1), VERDICT_GOOD);
    teardown(&w);
}

TEST(each_flaw_is_found)
{
    struct world w = setup();
    static const struct { struct flaws f; enum verdict_kind kind; const char *why; } cases[] = {
        {{.bad_proof = true}, VERDICT_TAMPERED, "proof of possession"},
        {{.other_from = true}, VERDICT_TAMPERED, "after its own batch"},
        {{.other_kind = true}, VERDICT_TAMPERED, "another kind"},
        {{.other_payload = true}, VERDICT_TAMPERED, "not the one that the header names"},
        {{.bad_path = true}, VERDICT_TAMPERED, "does not lead"},
        {{.other_size = true}, VERDICT_TAMPERED, "its own batch"},
        {{.other_root = true}, VERDICT_TAMPERED, "does not lead"},
        {{.other_origin = true}, VERDICT_TAMPERED, "its own batch"},
        {{.same_keys = true}, VERDICT_TAMPERED, "two Ed25519 keys"},
        {{.signer = 2}, VERDICT_UNTRUSTED, "no log key of the policy"}, /* the new key vouches for itself */
        {{.signer = 3}, VERDICT_UNTRUSTED, "no log key of the policy"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct policy p = policy_of(&w, "0", false);
        struct log_key_claim c = change(&w, 0, 1, 6, &cases[i].f);
        unsigned taken;
        struct verdict v;
        CHECK(!follow(&w, &p, &c, 1, &taken, &v));
        if (v.kind != cases[i].kind || !strstr(v.text, cases[i].why))
            fprintf(stderr, "case %zu: %s: %s\n", i, verdict_kind_name(v.kind), v.text);
        CHECK_EQ_INT(v.kind, cases[i].kind);
        CHECK(strstr(v.text, cases[i].why));
        CHECK_EQ_INT((int)p.n_logs, 1);
        CHECK_EQ_INT(worth(&w, &p, 9, 0), VERDICT_GOOD); /* nothing was taken */
    }
    teardown(&w);
}

/* Another key of the policy than the old one signs the checkpoint: it vouches for its own sizes, not for this. */
TEST(the_old_key_itself_must_sign)
{
    struct world w = setup();
    struct policy p = policy_of(&w, "03", false);
    struct log_key_claim c = change(&w, 0, 1, 6, &(struct flaws){.signer = 4});
    unsigned taken;
    struct verdict v;
    CHECK(!follow(&w, &p, &c, 1, &taken, &v));
    CHECK_EQ_INT(v.kind, VERDICT_UNTRUSTED);
    CHECK(strstr(v.text, "another key than the old one"));
    teardown(&w);
}

TEST(a_key_has_one_successor)
{
    struct world w = setup();
    struct policy p = policy_of(&w, "0", false);
    struct flaws good = {0};
    struct log_key_claim first = change(&w, 0, 1, 6, &good), earlier = change(&w, 0, 2, 2, &good),
                         later = change(&w, 0, 2, 14, &good), other = change(&w, 0, 2, 6, &good),
                         back[] = {first, change(&w, 1, 0, 14, &good)}, jump[] = {first, change(&w, 2, 3, 14, &good)};
    unsigned taken;
    struct verdict v;
    CHECK(follow(&w, &p, &first, 1, &taken, &v));
    CHECK(!follow(&w, &p, &earlier, 1, &taken, &v) && v.kind == VERDICT_TAMPERED && strstr(v.text, "two successors"));
    CHECK(!follow(&w, &p, &other, 1, &taken, &v) && v.kind == VERDICT_TAMPERED && strstr(v.text, "two successors"));
    CHECK(!follow(&w, &p, &later, 1, &taken, &v) && v.kind == VERDICT_TAMPERED && strstr(v.text, "was replaced"));
    CHECK(!follow(&w, &p, back, 2, &taken, &v) && v.kind == VERDICT_TAMPERED && strstr(v.text, "comes back"));
    CHECK(!follow(&w, &p, jump, 2, &taken, &v) && v.kind == VERDICT_UNTRUSTED);
    CHECK_EQ_INT((int)p.n_logs, 2);
    teardown(&w);
}

TEST(which_key_has_signed)
{
    struct world w = setup();
    struct checkpoint cp = {SPAN_LIT(ORIGIN), 9, {{7}}};
    struct span note = note_of(&w, &cp, 1, true);
    CHECK(log_key_signed(w.c, w.a, w.vkeys[1], note));
    CHECK(!log_key_signed(w.c, w.a, w.vkeys[0], note));
    CHECK(!log_key_signed(w.c, w.a, "", note) && !log_key_signed(w.c, w.a, w.vkeys[1], SPAN_LIT("x\n")));
    teardown(&w);
}

/* Thirty years, a key each: all that were ever in force are known at the end. */
TEST(many_changes)
{
    struct world w = setup();
    struct policy p = policy_of(&w, "0", false);
    for (unsigned i = 0; i < 30; i++) {
        struct world at = w; /* whose keys 0 and 1 are the ones of this change */
        struct verdict v;
        unsigned taken;
        make_key(&at, (uint8_t)i, ORIGIN, NOTE_ED25519, &at.keys[0], &at.secrets[0], at.vkeys[0]);
        make_key(&at, (uint8_t)(i + 1), ORIGIN, NOTE_ED25519, &at.keys[1], &at.secrets[1], at.vkeys[1]);
        struct arena_mark mark = arena_mark(w.a);
        struct log_key_claim c = change(&at, 0, 1, (UINT64_C(4) << i) - 2, &(struct flaws){0});
        CHECK(follow(&at, &p, &c, 1, &taken, &v));
        CHECK_EQ_INT(taken, 1);
        arena_release(w.a, mark);
    }
    CHECK_EQ_INT((int)p.n_logs, 31);
    for (unsigned i = 0; i < p.n_logs; i++)
        CHECK(p.log_until[i] == (i + 1 < p.n_logs ? p.log_from[i + 1] : 0));
    teardown(&w);
}

TEST_MAIN(TEST_ENTRY(each_key_signs_its_sizes), TEST_ENTRY(what_the_policy_lists_decides), TEST_ENTRY(the_quorum_is_asked_for), TEST_ENTRY(each_flaw_is_found),
          TEST_ENTRY(the_old_key_itself_must_sign), TEST_ENTRY(a_key_has_one_successor), TEST_ENTRY(which_key_has_signed), TEST_ENTRY(many_changes))
