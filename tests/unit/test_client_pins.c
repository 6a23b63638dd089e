/* SPDX-License-Identifier: Apache-2.0 */
/* test_client_pins: pins on disk, evidence, and which checkpoints are proven to be of one history (pins.h, trust.h). */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/check.h"
#include "pins.h"
#include "trust.h"

#define ORIGIN "a.example/ledger"
#define LEAVES 64

/* ---- a profile in a folder of its own ---- */

struct world {
    struct ledger_profile p;
    struct arena *a;
    struct crypto *c;
    struct hash leaves[LEAVES];
    struct note_key key;
    struct secret_key secret;
};

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof *w);
    uint8_t seed[32] = {7};
    strcpy(w->p.folder, "/tmp/ledgerd-pins-XXXXXX");
    CHECK(mkdtemp(w->p.folder) != NULL);
    strcpy(w->p.origin, ORIGIN);
    strcpy(w->p.address, "127.0.0.1:1");
    w->a = arena_new(16u << 20);
    w->c = crypto_new();
    CHECK(crypto_secret_from_seed(w->c, SIG_ED25519, seed, &w->secret));
    CHECK(note_key_make(w->c, ORIGIN, NOTE_ED25519, span_of(w->secret.pub, 32), &w->key));
    for (unsigned i = 0; i < LEAVES; i++)
        merkle_leaf(w->c, span_of(&i, sizeof i), &w->leaves[i]);
    return w;
}

static void world_free(struct world *w)
{
    char command[PROFILE_PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", w->p.folder);
    CHECK_EQ_INT(system(command), 0);
    arena_free(w->a);
    crypto_free(w->c);
    free(w);
}

static struct checkpoint checkpoint_at(struct world *w, uint64_t size)
{
    struct checkpoint cp = {SPAN_LIT(ORIGIN), size, {{0}}};
    CHECK(merkle_root_of(w->c, w->leaves, size, &cp.root));
    return cp;
}

static struct span note_of(struct world *w, const struct checkpoint *cp)
{
    struct wbuf b;
    wbuf_init(&b, w->a);
    checkpoint_sign(w->c, &w->key, &w->secret, cp, &b);
    return wbuf_span(&b);
}

static struct pin pin_of(struct world *w, const struct checkpoint *cp)
{
    return (struct pin){true, cp->size, cp->root, note_of(w, cp), SPAN_NONE};
}

/* ---- pins ---- */

TEST(first_contact_has_no_pin)
{
    struct world *w = world_new();
    struct pin pin;
    CHECK_EQ_INT(pin_load(w->a, &w->p, &pin, NULL), LEDGER_OK);
    CHECK(!pin.present);
    world_free(w);
}

TEST(a_pin_only_grows)
{
    struct world *w = world_new();
    struct checkpoint five = checkpoint_at(w, 5), nine = checkpoint_at(w, 9);
    struct pin p5 = pin_of(w, &five), p9 = pin_of(w, &nine), other, now;
    CHECK_EQ_INT(pin_advance(w->a, &w->p, &p5, &other, NULL), LEDGER_OK);
    CHECK(!other.present);
    CHECK_EQ_INT(pin_advance(w->a, &w->p, &p9, &other, NULL), LEDGER_OK);
    CHECK(!other.present);
    /* A program that is behind learns what another one has seen. */
    CHECK_EQ_INT(pin_advance(w->a, &w->p, &p5, &other, NULL), LEDGER_OK);
    CHECK(other.present);
    CHECK_EQ_INT(other.size, 9);
    CHECK_EQ_INT(pin_load(w->a, &w->p, &now, NULL), LEDGER_OK);
    CHECK_EQ_INT(now.size, 9);
    CHECK(hash_eq(&now.root, &nine.root));
    CHECK(span_eq(now.note, p9.note));
    world_free(w);
}

TEST(two_trees_of_one_size_are_evidence)
{
    struct world *w = world_new();
    struct checkpoint five = checkpoint_at(w, 5);
    struct pin mine = pin_of(w, &five), other;
    struct ledger_err err = {0};
    CHECK_EQ_INT(pin_advance(w->a, &w->p, &mine, &other, NULL), LEDGER_OK);
    five.root.b[0] ^= 1;
    struct pin fork = pin_of(w, &five);
    CHECK_EQ_INT(pin_advance(w->a, &w->p, &fork, &other, &err), LEDGER_ETAMPER);
    CHECK(span_eq(other.note, mine.note));
    CHECK(err.msg[0] != 0);
    world_free(w);
}

static void pin_file(const struct world *w, char *out, size_t n)
{
    snprintf(out, n, "%s/pins/a.example%%2Fledger.checkpoint", w->p.folder);
}

TEST(a_damaged_pin_is_an_error)
{
    struct world *w = world_new();
    struct checkpoint five = checkpoint_at(w, 5);
    struct pin mine = pin_of(w, &five), other;
    struct ledger_err err = {0};
    char path[PROFILE_PATH_MAX + 64];
    CHECK_EQ_INT(pin_advance(w->a, &w->p, &mine, &other, NULL), LEDGER_OK);
    pin_file(w, path, sizeof path);
    struct stat st;
    CHECK_EQ_INT(stat(path, &st), 0);
    CHECK_EQ_INT(st.st_mode & 07777, 0600);
    int fd = open(path, O_WRONLY | O_TRUNC);
    CHECK(fd >= 0);
    CHECK_EQ_INT(write(fd, "a.example/ledger\n5\n", 19), 19);
    close(fd);
    CHECK_EQ_INT(pin_load(w->a, &w->p, &other, &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, "damaged") != NULL);
    CHECK_EQ_INT(pin_advance(w->a, &w->p, &mine, &other, &err), LEDGER_EINVAL);
    world_free(w);
}

TEST(names_of_origins_do_not_leave_the_folder)
{
    struct world *w = world_new();
    struct checkpoint cp = checkpoint_at(w, 3);
    struct pin mine, other, now;
    char path[PROFILE_PATH_MAX + 64];
    strcpy(w->p.origin, "../../x");
    cp.origin = span_str(w->p.origin);
    mine = pin_of(w, &cp);
    CHECK_EQ_INT(pin_advance(w->a, &w->p, &mine, &other, NULL), LEDGER_OK);
    snprintf(path, sizeof path, "%s/pins/%%2E.%%2F..%%2Fx.checkpoint", w->p.folder);
    CHECK_EQ_INT(access(path, R_OK), 0);
    CHECK_EQ_INT(pin_load(w->a, &w->p, &now, NULL), LEDGER_OK);
    CHECK_EQ_INT(now.size, 3);
    /* The longest origin, of characters that are written as three. */
    memset(w->p.origin, '/', ORIGIN_MAX);
    w->p.origin[ORIGIN_MAX] = 0;
    cp.origin = span_str(w->p.origin);
    mine = pin_of(w, &cp);
    CHECK_EQ_INT(pin_advance(w->a, &w->p, &mine, &other, NULL), LEDGER_OK);
    w->p.origin[ORIGIN_MAX - 1] = 'x';
    CHECK_EQ_INT(pin_load(w->a, &w->p, &now, NULL), LEDGER_OK);
    CHECK(!now.present);
    world_free(w);
}

TEST(evidence_holds_both_notes_and_is_never_overwritten)
{
    struct world *w = world_new();
    struct checkpoint five = checkpoint_at(w, 5), nine = checkpoint_at(w, 9);
    struct span a = note_of(w, &five), b = note_of(w, &nine), text;
    struct evidence e = {.what = "they differ", .known = a, .received = b, .proof = span_of(five.root.b, HASH_LEN)};
    char one[PROFILE_PATH_MAX + 64], two[PROFILE_PATH_MAX + 64];
    CHECK_EQ_INT(pin_write_evidence(w->a, &w->p, &e, one, NULL), LEDGER_OK);
    CHECK_EQ_INT(pin_write_evidence(w->a, &w->p, &e, two, NULL), LEDGER_OK);
    CHECK(strcmp(one, two) != 0);
    CHECK_EQ_INT(file_read(w->a, one, 65536, &text, NULL), LEDGER_OK);
    CHECK(memmem(text.p, text.n, a.p, a.n) != NULL);
    CHECK(memmem(text.p, text.n, b.p, b.n) != NULL);
    world_free(w);
}

/* ---- trust ---- */

/* Consistency proofs by recomputation of RFC 6962's definition over the leaves. */
static size_t subproof(struct world *w, size_t m, const struct hash *d, size_t n, bool whole, struct hash *out)
{
    size_t used = 0;
    struct hash right[MERKLE_PATH_MAX];
    size_t n_right = 0;
    while (m != n) {
        size_t k = 1;
        while (k * 2 < n)
            k *= 2;
        if (m <= k) {
            CHECK(merkle_root_of(w->c, d + k, n - k, &right[n_right++]));
            n = k;
        } else {
            CHECK(merkle_root_of(w->c, d, k, &right[n_right++]));
            d += k;
            m -= k;
            n -= k;
            whole = false;
        }
    }
    if (!whole)
        CHECK(merkle_root_of(w->c, d, n, &out[used++]));
    while (n_right > 0)
        out[used++] = right[--n_right];
    return used;
}

static enum ledger_rc link_up(struct world *w, struct trust *t, struct trust_node *n, bool spoil)
{
    struct hash path[MERKLE_PATH_MAX];
    struct trust_conflict conflict;
    struct verdict v = {0};
    struct verifier vf = {.c = w->c, .a = w->a, .origin = ORIGIN};
    uint64_t small = n->size < n->base->size ? n->size : n->base->size, large = n->size + n->base->size - small;
    size_t used = subproof(w, small, w->leaves, large, true, path);
    if (spoil)
        path[0].b[3] ^= 0x40;
    enum ledger_rc rc = trust_link(t, &vf, n, span_of(path, used * HASH_LEN), &conflict, &v);
    if (rc == LEDGER_ETAMPER)
        CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    return rc;
}

static struct trust_node *see(struct world *w, struct trust *t, uint64_t size)
{
    struct checkpoint cp = checkpoint_at(w, size);
    struct trust_node *n = NULL;
    struct trust_conflict conflict;
    CHECK_EQ_INT(trust_see(t, &cp, note_of(w, &cp), &n, &conflict, NULL), LEDGER_OK);
    return n;
}

TEST(the_first_checkpoint_is_believed_and_the_next_not)
{
    struct world *w = world_new();
    struct trust t;
    trust_init(&t);
    struct trust_node *a = see(w, &t, 5), *b = see(w, &t, 9);
    CHECK(a->trusted);
    CHECK(!b->trusted);
    CHECK(b->base == a);
    CHECK(t.latest == a);
    CHECK_EQ_INT(link_up(w, &t, b, false), LEDGER_OK);
    CHECK(b->trusted);
    CHECK(t.latest == b);
    trust_free(&t);
    world_free(w);
}

TEST(a_wrong_proof_is_evidence)
{
    struct world *w = world_new();
    struct trust t;
    trust_init(&t);
    see(w, &t, 5);
    struct trust_node *b = see(w, &t, 9);
    CHECK_EQ_INT(link_up(w, &t, b, true), LEDGER_ETAMPER);
    CHECK(!b->trusted);
    trust_free(&t);
    world_free(w);
}

TEST(a_fork_of_the_same_size_is_evidence)
{
    struct world *w = world_new();
    struct trust t;
    struct trust_node *n;
    struct trust_conflict conflict;
    struct verdict v = {0};
    trust_init(&t);
    see(w, &t, 5);
    struct checkpoint cp = checkpoint_at(w, 5);
    cp.root.b[31] ^= 1;
    struct span note = note_of(w, &cp);
    CHECK_EQ_INT(trust_see(&t, &cp, note, &n, &conflict, &v), LEDGER_ETAMPER);
    CHECK(span_eq(conflict.received, note));
    CHECK(!span_eq(conflict.known, note));
    trust_free(&t);
    world_free(w);
}

static bool has(struct world *w, const struct trust *t, uint64_t size)
{
    struct checkpoint cp = checkpoint_at(w, size);
    return trust_has(t, &cp);
}

/* Pipelined answers: proofs between checkpoints arrive in any order, and none is believed before its base. */
TEST(trust_spreads_whatever_the_order)
{
    struct world *w = world_new();
    struct trust t;
    trust_init(&t);
    see(w, &t, 3);
    struct trust_node *n7 = see(w, &t, 7), *n20 = see(w, &t, 20), *n12 = see(w, &t, 12), *n1 = see(w, &t, 1);
    CHECK(n20->base == n7);
    CHECK(n12->base == n20); /* one between the others must be a beginning of the next larger */
    CHECK_EQ_INT(n1->base->size, 3);
    CHECK_EQ_INT(link_up(w, &t, n12, false), LEDGER_OK);
    CHECK_EQ_INT(link_up(w, &t, n20, false), LEDGER_OK);
    CHECK(!n12->trusted && !n20->trusted);
    CHECK(!has(w, &t, 20));
    CHECK_EQ_INT(link_up(w, &t, n7, false), LEDGER_OK);
    CHECK(n7->trusted && n12->trusted && n20->trusted);
    CHECK(t.latest == n20);
    CHECK(!n1->trusted);
    CHECK_EQ_INT(link_up(w, &t, n1, false), LEDGER_OK);
    CHECK(n1->trusted);
    CHECK(t.latest == n20);
    trust_free(&t);
    world_free(w);
}

TEST(a_lost_connection_forgets_what_was_not_proven)
{
    struct world *w = world_new();
    struct trust t;
    trust_init(&t);
    see(w, &t, 3);
    struct trust_node *n7 = see(w, &t, 7);
    see(w, &t, 20);
    CHECK_EQ_INT(link_up(w, &t, n7, false), LEDGER_OK);
    trust_forget_pending(&t);
    CHECK_EQ_INT(t.n, 2);
    CHECK(has(w, &t, 3) && has(w, &t, 7) && !has(w, &t, 20));
    struct checkpoint forked = checkpoint_at(w, 7);
    forked.root.b[0] ^= 1;
    CHECK(!trust_has(&t, &forked)); /* a size is trusted with its root only */
    CHECK_EQ_INT(t.latest->size, 7);
    trust_free(&t);
    world_free(w);
}

TEST(pruning_keeps_the_newest)
{
    struct world *w = world_new();
    struct trust t;
    trust_init(&t);
    see(w, &t, 1);
    for (uint64_t size = 2; size <= 60; size++) {
        CHECK_EQ_INT(link_up(w, &t, see(w, &t, size), false), LEDGER_OK);
        trust_prune(&t);
    }
    CHECK(t.n <= 20);
    CHECK_EQ_INT(t.latest->size, 60);
    struct trust_node *old = see(w, &t, 2);
    CHECK(!old->trusted);
    CHECK_EQ_INT(link_up(w, &t, old, false), LEDGER_OK);
    CHECK(old->trusted);
    trust_free(&t);
    world_free(w);
}

TEST_MAIN(TEST_ENTRY(first_contact_has_no_pin), TEST_ENTRY(a_pin_only_grows), TEST_ENTRY(two_trees_of_one_size_are_evidence),
          TEST_ENTRY(a_damaged_pin_is_an_error), TEST_ENTRY(names_of_origins_do_not_leave_the_folder),
          TEST_ENTRY(evidence_holds_both_notes_and_is_never_overwritten),
          TEST_ENTRY(the_first_checkpoint_is_believed_and_the_next_not), TEST_ENTRY(a_wrong_proof_is_evidence),
          TEST_ENTRY(a_fork_of_the_same_size_is_evidence), TEST_ENTRY(trust_spreads_whatever_the_order),
          TEST_ENTRY(a_lost_connection_forgets_what_was_not_proven), TEST_ENTRY(pruning_keeps_the_newest))
