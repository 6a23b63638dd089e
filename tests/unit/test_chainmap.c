/* SPDX-License-Identifier: Apache-2.0 */
/* The chain map against a naive recomputation from the definition, and its proofs against every alteration. */
#include "chainmap.h"
#include "lib/check.h"
#include "state.h"

#define N 300

static struct crypto *c;
static struct arena *a;
static struct kv_mem *mem;
static struct kv kv;
static struct map_leaf leaves[N]; /* ascending */
static struct hash root;
static struct map_reader *reader; /* both have seen every proof of the test that came before */
static struct map_known *known;

/* With what was read before, and without: the same proof. */
static enum ledger_rc prove(const struct hash *key, struct map_proof *out)
{
    struct map_proof again;
    enum ledger_rc rc = chainmap_prove(c, NULL, &kv, key, out, NULL);
    CHECK_EQ_INT(chainmap_prove(c, reader, &kv, key, &again, NULL), rc);
    if (rc)
        return rc;
    struct arena_mark mark = arena_mark(a);
    CHECK(span_eq(map_proof_encode(a, &again), map_proof_encode(a, out)));
    CHECK_EQ_MEM(&again.leaf, &out->leaf, sizeof again.leaf);
    arena_release(a, mark);
    return rc;
}

/* With what was proven before, and without: the same verdict. */
static bool verifies(const struct map_proof *p, const struct hash *key, const struct hash *under)
{
    bool good = map_proof_verify(c, NULL, p, key, under);
    CHECK(map_proof_verify(c, known, p, key, under) == good);
    return good;
}

static void random_hash(uint64_t seed, struct hash *out)
{
    uint8_t b[8];
    memcpy(b, &seed, 8);
    crypto_sha256(c, (struct span[]){span_of(b, 8)}, 1, out);
}

static unsigned bit(const struct hash *h, unsigned d)
{
    return ((unsigned)h->b[d / 8] >> (7 - d % 8)) & 1u;
}

/* The definition, word for word: empty, one leaf, or two halves by the next bit. Depth is bounded by the keys' common prefix. */
static struct hash naive(const struct map_leaf *l, size_t n, unsigned depth)
{
    struct hash out = HASH_ZERO, left, right;
    if (n == 0)
        return out;
    if (n == 1) {
        uint8_t count[8];
        for (unsigned i = 0; i < 8; i++)
            count[i] = (uint8_t)(l->count >> (56 - 8 * i));
        const struct hfield f[] = {HFIX(l->key.b, 32), HFIX(count, 8), HFIX(l->head.b, 32)};
        crypto_labelled(c, LABEL_MAP_LEAF, f, 3, &out);
        return out;
    }
    size_t k = 0;
    while (k < n && !bit(&l[k].key, depth))
        k++;
    left = naive(l, k, depth + 1);
    right = naive(l + k, n - k, depth + 1);
    const struct hfield f[] = {HFIX(left.b, 32), HFIX(right.b, 32)};
    crypto_labelled(c, LABEL_MAP_NODE, f, 2, &out);
    return out;
}

static int by_key(const void *x, const void *y)
{
    return memcmp(x, y, HASH_LEN);
}

/* A leaf's count and head also stand in a chain record, from which proofs of other keys read them. */
static void put_record(const struct map_leaf *l)
{
    struct chain ch = {.type = CHAIN_PRODUCT, .id = SPAN_LIT("p"), .key = l->key, .exists = true, .count = l->count,
                       .head = l->head};
    ch.product.id = ch.id;
    struct span rec = chain_record_encode(a, &ch);
    CHECK(rec.p);
    CHECK_EQ_INT(kv_put(&kv, KV_CHAIN, span_of(l->key.b, HASH_LEN), rec), LEDGER_OK);
}

static void setup(size_t n)
{
    struct ledger_err err;
    kv_mem_free(mem);
    arena_free(a);
    crypto_free(c);
    c = crypto_new();
    a = arena_new(256 << 20);
    reader = map_reader_new(a);
    known = map_known_new(a);
    CHECK(reader && known);
    root = HASH_ZERO;
    mem = kv_mem_new(NULL, 256 << 20);
    kv = kv_mem_kv(mem);
    for (size_t i = 0; i < n; i++) {
        random_hash(i, &leaves[i].key);
        if (i % 7 == 0 && i) { /* long common prefixes */
            leaves[i].key = leaves[i - 1].key;
            leaves[i].key.b[i % 32] ^= 1;
        }
        random_hash(i + 1000, &leaves[i].head);
        leaves[i].count = i + 1;
        put_record(&leaves[i]);
    }
    /* In several batches, of which later ones also change leaves of earlier ones. */
    root = HASH_ZERO;
    for (size_t from = 0; from < n; from += 50) {
        struct map_leaf batch[100];
        size_t k = 0;
        for (size_t i = from; i < n && i < from + 50; i++)
            batch[k++] = leaves[i];
        if (from >= 50) {
            leaves[from - 50].count++;
            put_record(&leaves[from - 50]);
            batch[k++] = leaves[from - 50];
        }
        qsort(batch, k, sizeof batch[0], by_key);
        CHECK_EQ_INT(chainmap_apply(c, a, &kv, batch, k, &root, &err), LEDGER_OK);
    }
    qsort(leaves, n, sizeof leaves[0], by_key);
}

TEST(root_is_the_definition)
{
    for (size_t n = 1; n <= 20; n++) {
        setup(n);
        struct hash want = naive(leaves, n, 0);
        CHECK_EQ_MEM(root.b, want.b, HASH_LEN);
    }
    setup(N);
    struct hash want = naive(leaves, N, 0);
    CHECK_EQ_MEM(root.b, want.b, HASH_LEN);
}

TEST(presence_is_proven)
{
    setup(N);
    for (size_t i = 0; i < N; i++) {
        struct map_proof p, q;
        CHECK_EQ_INT(prove(&leaves[i].key, &p), LEDGER_OK);
        CHECK_EQ_INT(p.end, MAP_PRESENT);
        CHECK_EQ_INT(p.leaf.count, leaves[i].count);
        CHECK(verifies(&p, &leaves[i].key, &root));
        struct span s = map_proof_encode(a, &p);
        CHECK_EQ_INT(map_proof_decode(s, &q, NULL), LEDGER_OK);
        CHECK(verifies(&q, &leaves[i].key, &root));
        q.leaf.count++;
        CHECK(!verifies(&q, &leaves[i].key, &root));
        CHECK(!verifies(&p, &leaves[(i + 1) % N].key, &root));
    }
}

TEST(absence_is_proven)
{
    setup(N);
    unsigned empty = 0, other = 0;
    for (uint64_t i = 0; i < 500; i++) {
        struct hash key;
        struct map_proof p, q;
        if (i % 2) {
            random_hash(i + 90000, &key);
        } else { /* close to a key that is there */
            key = leaves[i % N].key;
            key.b[31 - i % 20] ^= 0x80;
        }
        CHECK_EQ_INT(prove(&key, &p), LEDGER_OK);
        CHECK(p.end != MAP_PRESENT);
        empty += p.end == MAP_EMPTY;
        other += p.end == MAP_OTHER;
        CHECK(verifies(&p, &key, &root));
        CHECK_EQ_INT(map_proof_decode(map_proof_encode(a, &p), &q, NULL), LEDGER_OK);
        CHECK(verifies(&q, &key, &root));
    }
    CHECK(empty > 10 && other > 10);
}

TEST(presence_cannot_be_shown_as_absence)
{
    setup(N);
    for (size_t i = 0; i < N; i++) {
        struct map_proof p;
        CHECK_EQ_INT(prove(&leaves[i].key, &p), LEDGER_OK);
        struct map_proof lie = p;
        lie.end = MAP_OTHER; /* its own leaf as somebody else's */
        lie.leaf.key = leaves[i].key;
        CHECK(!verifies(&lie, &leaves[i].key, &root));
        lie = p;
        lie.end = MAP_EMPTY;
        CHECK(!verifies(&lie, &leaves[i].key, &root));
        lie = p;
        lie.end = MAP_OTHER; /* a leaf from elsewhere in the map */
        lie.leaf = leaves[(i + N / 2) % N];
        CHECK(!verifies(&lie, &leaves[i].key, &root));
        if (p.depth) { /* a path that stops early */
            lie = p;
            lie.depth--;
            CHECK(!verifies(&lie, &leaves[i].key, &root));
        }
    }
}

/* A map that nobody's code makes: a leaf where its key does not lead. Its maker has signed the root; nobody takes it for an absence. */
TEST(a_misplaced_leaf_proves_no_absence)
{
    struct hash key, left, right, top;
    uint8_t count[8] = {0, 0, 0, 0, 0, 0, 0, 1};
    setup(2);
    random_hash(77, &key);
    struct map_proof p = {.depth = 1, .n = 1, .end = MAP_OTHER, .leaf = leaves[0]};
    p.leaf.count = 1;
    p.bitmap[0] = 0x80;
    for (unsigned side = 0; side < 2; side++) { /* the leaf belongs on the left or on the right */
        p.leaf.key.b[0] = (uint8_t)(side << 7);
        key.b[0] = (uint8_t)(!side << 7 | 1);
        const struct hfield f[] = {HFIX(p.leaf.key.b, HASH_LEN), HFIX(count, 8), HFIX(p.leaf.head.b, HASH_LEN)};
        crypto_labelled(c, LABEL_MAP_LEAF, f, 3, &left);
        random_hash(78, &right);
        p.siblings[0] = right;
        const struct hfield l[] = {HFIX(left.b, HASH_LEN), HFIX(right.b, HASH_LEN)}, r[] = {l[1], l[0]};
        crypto_labelled(c, LABEL_MAP_NODE, side ? l : r, 2, &top); /* where the asked key would be */
        CHECK(!verifies(&p, &key, &top));
    }
}

TEST(every_altered_byte_is_noticed)
{
    setup(60);
    for (size_t i = 0; i < 60; i += 7) {
        struct map_proof p, q;
        CHECK_EQ_INT(prove(&leaves[i].key, &p), LEDGER_OK);
        struct span s = map_proof_encode(a, &p);
        for (size_t at = 0; at < s.n; at++) {
            uint8_t copy[MAP_PROOF_BYTES_MAX];
            memcpy(copy, s.p, s.n);
            copy[at] ^= 0x41;
            if (map_proof_decode(span_of(copy, s.n), &q, NULL) == LEDGER_OK)
                CHECK(!verifies(&q, &leaves[i].key, &root));
        }
        CHECK(map_proof_decode(span_of(s.p, s.n - 1), &q, NULL) != LEDGER_OK);
    }
}

TEST(empty_map)
{
    struct map_proof p;
    struct hash key;
    setup(0);
    random_hash(1, &key);
    CHECK_EQ_INT(prove(&key, &p), LEDGER_OK);
    CHECK_EQ_INT(p.end, MAP_EMPTY);
    CHECK(verifies(&p, &key, &HASH_ZERO));
}

/* A proof that fits below, and shows something else than was proven before above. */
TEST(what_is_known_is_still_compared)
{
    setup(N);
    for (size_t k = 0; k < 2 * N; k++) { /* in order, and in none: the ways part at the top and at the bottom */
        struct map_proof p;
        size_t i = k < N ? k : k * 7919 % N;
        CHECK_EQ_INT(prove(&leaves[i].key, &p), LEDGER_OK);
        CHECK(verifies(&p, &leaves[i].key, &root));
        for (size_t at = 0; at < p.n; at++) {
            p.siblings[at].b[i % HASH_LEN] ^= 1;
            CHECK(!verifies(&p, &leaves[i].key, &root));
            p.siblings[at].b[i % HASH_LEN] ^= 1;
        }
        p.siblings[p.n++] = root; /* one too many */
        CHECK(!verifies(&p, &leaves[i].key, &root));
    }
}

/* Another root, another map: nothing of the old one is left. */
TEST(a_changed_map_is_read_and_proven_anew)
{
    setup(N);
    struct map_proof before, after;
    const struct hash old = root;
    CHECK_EQ_INT(prove(&leaves[7].key, &before), LEDGER_OK);
    CHECK(verifies(&before, &leaves[7].key, &root));
    leaves[3].count++;
    put_record(&leaves[3]);
    CHECK_EQ_INT(chainmap_apply(c, a, &kv, &leaves[3], 1, &root, NULL), LEDGER_OK);
    reader = map_reader_new(a);
    CHECK_EQ_INT(prove(&leaves[7].key, &after), LEDGER_OK);
    CHECK(verifies(&after, &leaves[7].key, &root));
    CHECK(!verifies(&before, &leaves[7].key, &root));
    CHECK(verifies(&before, &leaves[7].key, &old));
    CHECK(!verifies(&after, &leaves[7].key, &old));
}

/* A stored node, of any group, that is not the one above it names. */
TEST(a_rotten_node_is_not_proven)
{
    setup(N);
    unsigned found = 0;
    for (unsigned depth = 0; depth <= 8; depth += 4) {
        uint8_t row[2 + 1 + 1] = {0, (uint8_t)depth, leaves[9].key.b[0], 0}, copy[2048];
        if (depth == 4)
            row[2] &= 0xf0;
        struct span key = span_of(row, 2 + (depth + 7) / 8), v;
        struct map_proof p;
        if (kv_get(&kv, KV_MAP, key, &v))
            continue;
        CHECK(v.n <= sizeof copy && v.n > 33);
        for (size_t at = 0; at < v.n; at += 3) {
            memcpy(copy, v.p, v.n);
            copy[at] ^= 1;
            CHECK_EQ_INT(kv_put(&kv, KV_MAP, key, span_of(copy, v.n)), LEDGER_OK);
            reader = map_reader_new(a);
            if (prove(&leaves[9].key, &p) == LEDGER_OK)
                CHECK(verifies(&p, &leaves[9].key, &root)); /* it is on no way to this leaf */
            else
                found++;
            copy[at] ^= 1;
            CHECK_EQ_INT(kv_put(&kv, KV_MAP, key, span_of(copy, v.n)), LEDGER_OK);
        }
    }
    CHECK(found > 20);
}

TEST(a_changed_record_is_noticed)
{
    setup(40);
    struct map_proof p;
    struct map_leaf l = leaves[3];
    l.count += 5;
    put_record(&l);
    CHECK_EQ_INT(prove(&l.key, &p), LEDGER_ETAMPER);
}

TEST_MAIN(TEST_ENTRY(root_is_the_definition), TEST_ENTRY(presence_is_proven), TEST_ENTRY(absence_is_proven),
          TEST_ENTRY(presence_cannot_be_shown_as_absence), TEST_ENTRY(a_misplaced_leaf_proves_no_absence), TEST_ENTRY(every_altered_byte_is_noticed), TEST_ENTRY(empty_map),
          TEST_ENTRY(what_is_known_is_still_compared), TEST_ENTRY(a_changed_map_is_read_and_proven_anew), TEST_ENTRY(a_rotten_node_is_not_proven),
          TEST_ENTRY(a_changed_record_is_noticed))
