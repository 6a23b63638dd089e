/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chainmap: storage and proofs of the verifiable map (chainmap.h).
 *
 * KV_MAP holds inner nodes in groups of GROUP_LEVELS levels, each under (u16 depth ‖ the first depth bits of the keys below it) of its
 * uppermost node: a way down reads a row for each fourth level, and a change writes as few. A node is its two slots; the nodes of a
 * group stand level by level, from the left. A slot is empty, a leaf (a whole one-leaf subtree) or an inner node, which has slots of its own further on if it
 * is of the same group. The root's own slot stands under the key ff ff.
 * A batch is applied in two steps: the leaves are set in the nodes on their ways, loaded once each; then the changed nodes are
 * hashed, children before parents, and their groups written.
 */
#include "chainmap.h"

#include <string.h>

#include "state.h"

#define GROUP_LEVELS 4u
#define GROUP_NODES 15u

enum tag { TAG_EMPTY = 0, TAG_LEAF = 1, TAG_INNER = 2 };

struct slot {
    enum tag tag;
    struct hash key;    /* LEAF */
    struct hash hash;   /* LEAF, INNER */
    struct node *child; /* INNER, once loaded */
};

struct node {
    unsigned depth;
    struct hash prefix; /* its first `depth` bits count */
    struct slot s[2];
    struct slot *up;    /* the slot that holds this node */
    bool known;         /* it is the node that `up` names */
    bool dirty;
    struct node *next_dirty;
};

struct update {
    struct crypto *c;
    struct arena *a;
    const struct kv *kv;
    struct ledger_err *err;
    struct slot root;
    struct node *dirty; /* latest first: a node stands before the nodes above it */
};

static unsigned bit_at(const uint8_t *bits, unsigned i)
{
    return ((unsigned)bits[i / 8] >> (7 - i % 8)) & 1u;
}

static unsigned key_bit(const struct hash *key, unsigned depth)
{
    return bit_at(key->b, depth);
}

static bool prefix_eq(const struct hash *x, const struct hash *y, unsigned bits)
{
    if (memcmp(x->b, y->b, bits / 8) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || ((x->b[bits / 8] ^ y->b[bits / 8]) >> (8 - rest)) == 0;
}

static struct span node_key(uint8_t *out, unsigned depth, const struct hash *prefix)
{
    unsigned bytes = (depth + 7) / 8;
    out[0] = (uint8_t)(depth >> 8);
    out[1] = (uint8_t)depth;
    memcpy(out + 2, prefix->b, bytes);
    if (depth % 8)
        out[1 + bytes] &= (uint8_t)(0xff << (8 - depth % 8));
    return span_of(out, 2 + bytes);
}

static const uint8_t root_key[2] = {0xff, 0xff};

static void leaf_hash(struct crypto *c, const struct map_leaf *l, struct hash *out)
{
    uint8_t count[8];
    for (unsigned i = 0; i < 8; i++)
        count[i] = (uint8_t)(l->count >> (56 - 8 * i));
    const struct hfield f[] = {HFIX(l->key.b, HASH_LEN), HFIX(count, 8), HFIX(l->head.b, HASH_LEN)};
    crypto_labelled(c, LABEL_MAP_LEAF, f, 3, out);
}

static void inner_hash(struct crypto *c, const struct hash *l, const struct hash *r, struct hash *out)
{
    const struct hfield f[] = {HFIX(l->b, HASH_LEN), HFIX(r->b, HASH_LEN)};
    crypto_labelled(c, LABEL_MAP_NODE, f, 2, out);
}

static void slot_write(struct wbuf *w, const struct slot *s)
{
    wbuf_u8(w, (uint8_t)s->tag);
    if (s->tag == TAG_LEAF)
        wbuf_hash(w, &s->key);
    if (s->tag != TAG_EMPTY)
        wbuf_hash(w, &s->hash);
}

static void slot_read(struct rbuf *r, struct slot *s)
{
    memset(s, 0, sizeof *s);
    uint8_t tag = rbuf_u8(r);
    if (tag > TAG_INNER)
        r->failed = true;
    s->tag = (enum tag)tag;
    if (tag == TAG_LEAF)
        s->key = rbuf_hash(r);
    if (tag != TAG_EMPTY)
        s->hash = rbuf_hash(r);
}

static enum ledger_rc root_load(const struct kv *kv, struct slot *root, struct ledger_err *err)
{
    struct span v;
    enum ledger_rc rc = kv_get(kv, KV_MAP, span_of(root_key, 2), &v);
    memset(root, 0, sizeof *root);
    if (rc == LEDGER_ENOTFOUND)
        return LEDGER_OK;
    if (rc)
        return ledger_fail(err, rc, "chain map: %s", ledger_rc_text(rc));
    struct rbuf r;
    rbuf_init(&r, v);
    slot_read(&r, root);
    return rbuf_done(&r) ? LEDGER_OK : ledger_fail(err, LEDGER_ETAMPER, "chain map: the root's record is malformed");
}

/* Do nodes of that depth each begin a group? */
static bool group_begins(unsigned depth)
{
    return depth % GROUP_LEVELS == 0;
}

/* Is what the slot of a node of that depth holds a node of the same group? */
static bool in_group(const struct slot *s, unsigned depth)
{
    return s->tag == TAG_INNER && !group_begins(depth + 1);
}

static void nodes_read(struct rbuf *r, struct node nodes[GROUP_NODES], unsigned depth)
{
    unsigned n = 1;
    nodes[0].depth = depth;
    for (unsigned i = 0; i < n && !r->failed; i++) {
        nodes[i].known = false;
        for (unsigned side = 0; side < 2; side++) {
            struct slot *s = &nodes[i].s[side];
            slot_read(r, s);
            if (!in_group(s, nodes[i].depth))
                continue;
            s->child = &nodes[n++];
            s->child->up = s;
            s->child->depth = nodes[i].depth + 1;
        }
    }
}

/* The group of the node at that depth, a multiple of GROUP_LEVELS; nodes[0] is that node, the others hang below it. */
static enum ledger_rc group_load(const struct kv *kv, unsigned depth, const struct hash *prefix, struct node nodes[GROUP_NODES],
                                 struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    struct span v;
    enum ledger_rc rc = kv_get(kv, KV_MAP, node_key(key, depth, prefix), &v);
    if (rc)
        return ledger_fail(err, rc == LEDGER_ENOTFOUND ? LEDGER_ETAMPER : rc, "chain map: node at depth %u: %s", depth,
                           ledger_rc_text(rc));
    struct rbuf r;
    rbuf_init(&r, v);
    nodes_read(&r, nodes, depth);
    return rbuf_done(&r) ? LEDGER_OK : ledger_fail(err, LEDGER_ETAMPER, "chain map: node at depth %u is malformed", depth);
}

static struct node *node_new(struct update *u, unsigned depth, const struct hash *prefix, struct slot *up)
{
    struct node *n = arena_alloc(u->a, sizeof *n);
    if (!n)
        return NULL;
    n->depth = depth;
    n->prefix = *prefix;
    n->up = up;
    n->known = true;
    up->child = n;
    return n;
}

static void mark(struct update *u, struct node *n)
{
    if (n->dirty)
        return;
    n->dirty = true;
    n->next_dirty = u->dirty;
    u->dirty = n;
}

/* Is it the node that the slot above it names? */
static enum ledger_rc node_check(struct crypto *c, const struct node *n, const struct hash *named, struct ledger_err *err)
{
    struct hash h;
    inner_hash(c, &n->s[0].hash, &n->s[1].hash, &h);
    return hash_eq(&h, named) ? LEDGER_OK
                              : ledger_fail(err, LEDGER_ETAMPER, "chain map: node at depth %u is not the one that its parent names", n->depth);
}

static enum ledger_rc no_memory(struct update *u)
{
    return ledger_fail(u->err, LEDGER_ENOMEM, "chain map: out of memory");
}

/* The stored group below a slot. */
static enum ledger_rc hang_group(struct update *u, struct slot *s, unsigned depth, const struct hash *key)
{
    struct node *nodes = arena_alloc(u->a, GROUP_NODES * sizeof *nodes);
    if (!nodes)
        return no_memory(u);
    enum ledger_rc rc = group_load(u->kv, depth, key, nodes, u->err);
    nodes[0].prefix = *key;
    nodes[0].up = s;
    s->child = nodes;
    return rc;
}

/* The node below an inner slot, or a new node that pushes the slot's leaf one level down. */
static enum ledger_rc descend(struct update *u, struct slot *s, unsigned depth, const struct hash *key, struct node **out)
{
    if (s->tag == TAG_LEAF) {
        const struct slot old = *s;
        struct node *n = *out = node_new(u, depth, key, s);
        if (!n)
            return no_memory(u);
        n->s[key_bit(&old.key, depth)] = old;
        s->tag = TAG_INNER;
        return LEDGER_OK;
    }
    enum ledger_rc rc = s->child ? LEDGER_OK : hang_group(u, s, depth, key);
    if (rc)
        return rc;
    *out = s->child;
    if (!s->child->known)
        rc = node_check(u->c, s->child, &s->hash, u->err);
    s->child->known = true;
    return rc;
}

static enum ledger_rc set_leaf(struct update *u, const struct map_leaf *leaf)
{
    struct slot *s = &u->root;
    for (unsigned depth = 0;; depth++) {
        if (s->tag == TAG_EMPTY || (s->tag == TAG_LEAF && hash_eq(&s->key, &leaf->key))) {
            s->tag = TAG_LEAF;
            s->key = leaf->key;
            leaf_hash(u->c, leaf, &s->hash);
            return LEDGER_OK;
        }
        LEDGER_REQUIRE(depth < MAP_DEPTH_MAX); /* two different keys differ in one of 256 bits */
        struct node *n = NULL;
        enum ledger_rc rc = descend(u, s, depth, &leaf->key, &n);
        if (rc)
            return rc;
        mark(u, n);
        s = &n->s[key_bit(&leaf->key, depth)];
    }
}

/* What nodes_read reads. */
static void nodes_write(struct wbuf *w, const struct node *first)
{
    const struct node *nodes[GROUP_NODES] = {first};
    unsigned n = 1;
    for (unsigned i = 0; i < n; i++)
        for (unsigned side = 0; side < 2; side++) {
            const struct slot *s = &nodes[i]->s[side];
            slot_write(w, s);
            if (in_group(s, nodes[i]->depth))
                nodes[n++] = s->child;
        }
}

static enum ledger_rc group_store(struct update *u, const struct node *n)
{
    uint8_t key[KV_KEY_MAX];
    struct arena_mark m = arena_mark(u->a);
    struct wbuf w;
    wbuf_init(&w, u->a);
    nodes_write(&w, n);
    struct span v = wbuf_span(&w);
    enum ledger_rc rc = v.p ? kv_put(u->kv, KV_MAP, node_key(key, n->depth, &n->prefix), v) : LEDGER_ENOMEM;
    arena_release(u->a, m);
    return rc ? ledger_fail(u->err, rc, "chain map: %s", ledger_rc_text(rc)) : LEDGER_OK;
}

static enum ledger_rc root_store(struct update *u)
{
    struct wbuf w;
    wbuf_init(&w, u->a);
    slot_write(&w, &u->root);
    struct span v = wbuf_span(&w);
    enum ledger_rc rc = v.p ? kv_put(u->kv, KV_MAP, span_of(root_key, 2), v) : LEDGER_ENOMEM;
    return rc ? ledger_fail(u->err, rc, "chain map: %s", ledger_rc_text(rc)) : LEDGER_OK;
}

enum ledger_rc chainmap_apply(struct crypto *c, struct arena *a, const struct kv *kv, const struct map_leaf *leaves,
                              size_t n, struct hash *root, struct ledger_err *err)
{
    struct update u = {.c = c, .a = a, .kv = kv, .err = err};
    enum ledger_rc rc = root_load(kv, &u.root, err);
    if (!rc && !hash_eq(&u.root.hash, root))
        rc = ledger_fail(err, LEDGER_ETAMPER, "chain map: the stored root is not the present one");
    for (size_t i = 0; i < n && !rc; i++)
        rc = set_leaf(&u, &leaves[i]);
    for (struct node *d = u.dirty; d && !rc; d = d->next_dirty) {
        inner_hash(c, &d->s[0].hash, &d->s[1].hash, &d->up->hash);
        if (group_begins(d->depth))
            rc = group_store(&u, d);
    }
    if (!rc && n)
        rc = root_store(&u);
    if (!rc)
        *root = u.root.hash;
    return rc;
}

enum ledger_rc chainmap_root(const struct kv *kv, struct hash *root, struct ledger_err *err)
{
    struct slot s;
    enum ledger_rc rc = root_load(kv, &s, err);
    *root = s.hash;
    return rc;
}

/* ---- proofs ---- */

static void put_sibling(struct map_proof *p, const struct slot *s)
{
    if (s->tag != TAG_EMPTY) {
        p->bitmap[p->depth / 8] |= (uint8_t)(0x80u >> (p->depth % 8));
        p->siblings[p->n++] = s->hash;
    }
    p->depth++;
}

/* The slot has only the leaf's hash; count and head stand in the chain's record, and must give that hash. */
static enum ledger_rc fill_leaf(struct crypto *c, const struct kv *kv, const struct slot *s, struct map_leaf *leaf,
                                struct ledger_err *err)
{
    struct span record;
    struct chain ch;
    enum ledger_rc rc = kv_get(kv, KV_CHAIN, span_of(s->key.b, HASH_LEN), &record);
    if (!rc)
        rc = chain_record_decode(record, &ch, err);
    if (rc)
        return ledger_fail(err, rc == LEDGER_EINVAL ? LEDGER_ETAMPER : rc, "chain map: record of a chain: %s",
                           ledger_rc_text(rc));
    *leaf = (struct map_leaf){.key = s->key, .count = ch.count, .head = ch.head};
    struct hash h;
    leaf_hash(c, leaf, &h);
    return hash_eq(&h, &s->hash) ? LEDGER_OK
                                 : ledger_fail(err, LEDGER_ETAMPER, "chain map: a chain's record and its leaf differ");
}

/* The uppermost group and those below it: eight levels. */
#define READER_GROUPS (1u + (1u << GROUP_LEVELS))
struct map_reader {
    struct hash root;
    bool have[READER_GROUPS];
    struct node nodes[READER_GROUPS][GROUP_NODES];
};

struct map_reader *map_reader_new(struct arena *a)
{
    return arena_alloc(a, sizeof(struct map_reader));
}

/* The group of the node at that depth, a multiple of GROUP_LEVELS: in the reader, if it is one that it keeps, else in `own`. */
static enum ledger_rc group_find(struct map_reader *reader, const struct kv *kv, unsigned depth, const struct hash *key, struct node *own,
                                 struct node **out, struct ledger_err *err)
{
    unsigned i = depth ? 1u + (key->b[0] >> (8 - GROUP_LEVELS)) : 0;
    bool kept = reader && depth <= GROUP_LEVELS;
    *out = kept ? reader->nodes[i] : own;
    if (kept && reader->have[i])
        return LEDGER_OK;
    enum ledger_rc rc = group_load(kv, depth, key, *out, err);
    if (kept)
        reader->have[i] = !rc;
    return rc;
}

enum ledger_rc chainmap_prove(struct crypto *c, struct map_reader *reader, const struct kv *kv, const struct hash *key, struct map_proof *out,
                              struct ledger_err *err)
{
    memset(out, 0, sizeof *out);
    struct slot s;
    struct node nodes[GROUP_NODES] = {0}, *at = NULL;
    enum ledger_rc rc = root_load(kv, &s, err);
    if (!rc && reader && !hash_eq(&reader->root, &s.hash)) {
        memset(reader->have, 0, sizeof reader->have);
        reader->root = s.hash;
    }
    while (!rc && s.tag == TAG_INNER) {
        if (out->depth >= MAP_DEPTH_MAX)
            return ledger_fail(err, LEDGER_ETAMPER, "chain map: deeper than a key is long");
        at = s.child;
        if (group_begins(out->depth))
            rc = group_find(reader, kv, out->depth, key, nodes, &at, err);
        LEDGER_REQUIRE(at); /* within a group it hangs below its slot */
        if (!rc && !at->known)
            rc = node_check(c, at, &s.hash, err);
        at->known = !rc;
        unsigned bit = key_bit(key, out->depth);
        if (!rc) {
            put_sibling(out, &at->s[1 - bit]);
            s = at->s[bit];
        }
    }
    if (rc)
        return rc;
    if (s.tag == TAG_EMPTY) {
        out->end = MAP_EMPTY;
        return LEDGER_OK;
    }
    out->end = hash_eq(&s.key, key) ? MAP_PRESENT : MAP_OTHER;
    return fill_leaf(c, kv, &s, &out->leaf, err);
}

struct span map_proof_encode(struct arena *a, const struct map_proof *p)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u16(&w, (uint16_t)p->depth);
    wbuf_bytes(&w, p->bitmap, (p->depth + 7) / 8);
    wbuf_u8(&w, (uint8_t)p->end);
    if (p->end == MAP_OTHER)
        wbuf_hash(&w, &p->leaf.key);
    if (p->end != MAP_EMPTY) {
        wbuf_u64(&w, p->leaf.count);
        wbuf_hash(&w, &p->leaf.head);
    }
    for (size_t i = 0; i < p->n; i++)
        wbuf_hash(&w, &p->siblings[i]);
    return wbuf_span(&w);
}

static bool read_bitmap(struct rbuf *r, struct map_proof *p)
{
    p->depth = rbuf_u16(r);
    if (r->failed || p->depth > MAP_DEPTH_MAX)
        return false;
    struct span bits = rbuf_bytes(r, (p->depth + 7) / 8);
    if (r->failed)
        return false;
    if (bits.n)
        memcpy(p->bitmap, bits.p, bits.n);
    if (p->depth % 8 && (p->bitmap[p->depth / 8] & (0xff >> (p->depth % 8))))
        return false; /* bits beyond depth: not the one encoding */
    for (unsigned i = 0; i < p->depth; i++)
        p->n += bit_at(p->bitmap, i);
    return true;
}

enum ledger_rc map_proof_decode(struct span s, struct map_proof *out, struct ledger_err *err)
{
    memset(out, 0, sizeof *out);
    struct rbuf r;
    rbuf_init(&r, s);
    if (!read_bitmap(&r, out))
        return ledger_fail(err, LEDGER_EINVAL, "map proof: malformed depth or bitmap");
    uint8_t end = rbuf_u8(&r);
    if (end > MAP_OTHER)
        return ledger_fail(err, LEDGER_EINVAL, "map proof: malformed end");
    out->end = (enum map_end)end;
    if (end == MAP_OTHER)
        out->leaf.key = rbuf_hash(&r);
    if (end != MAP_EMPTY) {
        out->leaf.count = rbuf_u64(&r);
        out->leaf.head = rbuf_hash(&r);
    }
    for (size_t i = 0; i < out->n; i++)
        out->siblings[i] = rbuf_hash(&r);
    return rbuf_done(&r) ? LEDGER_OK : ledger_fail(err, LEDGER_EINVAL, "map proof: wrong length");
}

/* By depth, and then by the bits of the key that lead there. */
#define KNOWN_LEVELS 8u
struct pair { struct hash h[2]; };
struct map_known {
    struct hash root;
    bool have[1u << KNOWN_LEVELS];
    struct pair pairs[1u << KNOWN_LEVELS];
};

struct map_known *map_known_new(struct arena *a)
{
    return arena_alloc(a, sizeof(struct map_known));
}

static unsigned known_place(const struct hash *key, unsigned depth)
{
    return 1u << depth | (unsigned)key->b[0] >> (8 - depth);
}

/* A way along a proof, from either end: how far down it is, how many siblings are above, and the node there. */
struct step {
    unsigned depth;
    size_t siblings;
    struct hash h;
};

/* As far down as the nodes are known; false: the proof says something else of one of them. */
static bool go_down(const struct map_known *known, const struct map_proof *p, const struct hash *key, struct step *at)
{
    for (; at->depth < p->depth && at->depth < KNOWN_LEVELS && known->have[known_place(key, at->depth)]; at->depth++) {
        const struct pair *pair = &known->pairs[known_place(key, at->depth)];
        const struct hash *sibling = &HASH_ZERO;
        unsigned bit = key_bit(key, at->depth);
        if (bit_at(p->bitmap, at->depth)) {
            if (at->siblings == p->n)
                return false;
            sibling = &p->siblings[at->siblings++];
        }
        if (!hash_eq(sibling, &pair->h[1 - bit]))
            return false;
        at->h = pair->h[bit];
    }
    return true;
}

/* One level up; the node that is passed, as its two slots. */
static bool go_up(struct crypto *c, const struct map_proof *p, const struct hash *key, struct step *at, struct pair *passed)
{
    unsigned bit = key_bit(key, --at->depth);
    passed->h[bit] = at->h;
    passed->h[1 - bit] = HASH_ZERO;
    if (bit_at(p->bitmap, at->depth)) {
        if (at->siblings == 0)
            return false;
        passed->h[1 - bit] = p->siblings[--at->siblings];
    }
    inner_hash(c, &passed->h[0], &passed->h[1], &at->h);
    return true;
}

bool map_proof_verify(struct crypto *c, struct map_known *known, const struct map_proof *p, const struct hash *key, const struct hash *root)
{
    struct map_leaf leaf = p->leaf;
    if (p->end == MAP_PRESENT)
        leaf.key = *key;
    if (p->end == MAP_OTHER && (hash_eq(&leaf.key, key) || !prefix_eq(&leaf.key, key, p->depth)))
        return false;
    struct step down = {.h = *root}, up = {.depth = p->depth, .siblings = p->n};
    struct pair passed, upper[KNOWN_LEVELS] = {0};
    if (known && !hash_eq(&known->root, root)) {
        memset(known->have, 0, sizeof known->have);
        known->root = *root;
    }
    if (known && !go_down(known, p, key, &down))
        return false;
    if (p->end != MAP_EMPTY)
        leaf_hash(c, &leaf, &up.h);
    while (up.depth > down.depth)
        if (!go_up(c, p, key, &up, up.depth <= KNOWN_LEVELS ? &upper[up.depth - 1] : &passed))
            return false;
    if (up.siblings != down.siblings || !hash_eq(&up.h, &down.h))
        return false;
    for (unsigned d = down.depth; known && d < p->depth && d < KNOWN_LEVELS; d++) {
        known->have[known_place(key, d)] = true;
        known->pairs[known_place(key, d)] = upper[d];
    }
    return true;
}
