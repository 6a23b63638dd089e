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

/* With how many bits do the keys begin alike? */
static unsigned common_bits(const struct hash *x, const struct hash *y)
{
    unsigned i = 0;
    while (i < HASH_LEN && x->b[i] == y->b[i])
        i++;
    unsigned n = 8 * i;
    while (n < 8 * HASH_LEN && key_bit(x, n) == key_bit(y, n))
        n++;
    return n;
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

/* ---- what is stored ---- */

/* A slot where it stands in a stored row. */
typedef const uint8_t *stored_slot;

static const uint8_t empty_slot[1] = {TAG_EMPTY};

static struct hash stored_hash(stored_slot s)
{
    struct hash h = HASH_ZERO;
    if (s[0] != TAG_EMPTY)
        memcpy(h.b, s + (s[0] == TAG_LEAF ? 1 + HASH_LEN : 1), HASH_LEN);
    return h;
}

static void slot_unpack(stored_slot stored, struct slot *s)
{
    *s = (struct slot){.tag = (enum tag)stored[0], .hash = stored_hash(stored)};
    if (s->tag == TAG_LEAF)
        memcpy(s->key.b, stored + 1, HASH_LEN);
}

static stored_slot take_slot(struct rbuf *r)
{
    stored_slot s = r->p;
    uint8_t tag = rbuf_u8(r);
    rbuf_bytes(r, tag == TAG_EMPTY ? 0 : tag == TAG_LEAF ? 2 * HASH_LEN : HASH_LEN);
    if (tag > TAG_INNER)
        r->failed = true;
    return r->failed ? empty_slot : s;
}

static enum ledger_rc root_view(const struct kv *kv, stored_slot *root, struct ledger_err *err)
{
    struct span row;
    struct rbuf r;
    enum ledger_rc rc = kv_get(kv, KV_MAP, span_of(root_key, 2), &row);
    *root = empty_slot;
    if (rc == LEDGER_ENOTFOUND)
        return LEDGER_OK;
    if (rc)
        return ledger_fail(err, rc, "chain map: %s", ledger_rc_text(rc));
    rbuf_init(&r, row);
    *root = take_slot(&r);
    return rbuf_done(&r) ? LEDGER_OK : ledger_fail(err, LEDGER_ETAMPER, "chain map: the root's record is malformed");
}

/* Do nodes of that depth each begin a group? */
static bool group_begins(unsigned depth)
{
    return depth % GROUP_LEVELS == 0;
}

/* Is what the slot of a node of that depth holds a node of the same group? */
static bool in_group(unsigned tag, unsigned depth)
{
    return tag == TAG_INNER && !group_begins(depth + 1);
}

/* A stored group, left where it is: who proves passes four of its nodes. */
struct group {
    bool have;
    unsigned n;
    unsigned depth[GROUP_NODES];
    stored_slot s[GROUP_NODES][2];
    uint8_t child[GROUP_NODES][2]; /* number of the node below, if that one is of the group; else 0 */
    bool known[GROUP_NODES];       /* it is the node that the slot above it names */
};

/* The group of the node at that depth, a multiple of GROUP_LEVELS. */
static enum ledger_rc group_view(const struct kv *kv, unsigned depth, const struct hash *prefix, struct group *g, struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    struct span row;
    struct rbuf r;
    enum ledger_rc rc = kv_get(kv, KV_MAP, node_key(key, depth, prefix), &row);
    if (rc)
        return ledger_fail(err, rc == LEDGER_ENOTFOUND ? LEDGER_ETAMPER : rc, "chain map: node at depth %u: %s", depth,
                           ledger_rc_text(rc));
    rbuf_init(&r, row);
    g->n = 1;
    g->depth[0] = depth;
    for (unsigned i = 0; i < g->n; i++) {
        g->known[i] = false;
        for (unsigned side = 0; side < 2; side++) {
            stored_slot s = g->s[i][side] = take_slot(&r);
            bool within = in_group(s[0], g->depth[i]);
            g->child[i][side] = within ? (uint8_t)g->n : 0;
            if (within)
                g->depth[g->n++] = g->depth[i] + 1;
        }
    }
    return rbuf_done(&r) ? LEDGER_OK : ledger_fail(err, LEDGER_ETAMPER, "chain map: node at depth %u is malformed", depth);
}

/* ---- changing ---- */

/* The same to be changed: nodes[0] is that node, the others hang below it. */
static enum ledger_rc group_load(const struct kv *kv, unsigned depth, const struct hash *prefix, struct node nodes[GROUP_NODES],
                                 struct ledger_err *err)
{
    struct group g;
    enum ledger_rc rc = group_view(kv, depth, prefix, &g, err);
    for (unsigned i = 0; !rc && i < g.n; i++) {
        nodes[i].depth = g.depth[i];
        for (unsigned side = 0; side < 2; side++) {
            struct slot *s = &nodes[i].s[side];
            slot_unpack(g.s[i][side], s);
            if (g.child[i][side]) {
                s->child = &nodes[g.child[i][side]];
                s->child->up = s;
            }
        }
    }
    return rc;
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
static enum ledger_rc node_check(struct crypto *c, const struct hash *left, const struct hash *right, unsigned depth, const struct hash *named,
                                 struct ledger_err *err)
{
    struct hash h;
    inner_hash(c, left, right, &h);
    return hash_eq(&h, named) ? LEDGER_OK
                              : ledger_fail(err, LEDGER_ETAMPER, "chain map: node at depth %u is not the one that its parent names", depth);
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
        rc = node_check(u->c, &s->child->s[0].hash, &s->child->s[1].hash, depth, &s->hash, u->err);
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

/* What group_view reads. */
static void nodes_write(struct wbuf *w, const struct node *first)
{
    const struct node *nodes[GROUP_NODES] = {first};
    unsigned n = 1;
    for (unsigned i = 0; i < n; i++)
        for (unsigned side = 0; side < 2; side++) {
            const struct slot *s = &nodes[i]->s[side];
            slot_write(w, s);
            if (in_group(s->tag, nodes[i]->depth))
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
    stored_slot stored;
    enum ledger_rc rc = root_view(kv, &stored, err);
    slot_unpack(stored, &u.root);
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
    stored_slot s;
    enum ledger_rc rc = root_view(kv, &s, err);
    *root = stored_hash(s);
    return rc;
}

/* ---- proofs ---- */

/* Empty; without its siblings, which are large and mostly none. */
static void proof_begin(struct map_proof *p)
{
    p->depth = 0;
    memset(p->bitmap, 0, sizeof p->bitmap);
    p->n = 0;
    p->end = MAP_PRESENT;
    p->leaf = (struct map_leaf){0};
}

static void put_sibling(struct map_proof *p, stored_slot s)
{
    if (s[0] != TAG_EMPTY) {
        p->bitmap[p->depth / 8] |= (uint8_t)(0x80u >> (p->depth % 8));
        p->siblings[p->n++] = stored_hash(s);
    }
    p->depth++;
}

/* The slot has only the leaf's hash; count and head stand in the chain's record, and must give that hash. */
static enum ledger_rc fill_leaf(struct crypto *c, const struct kv *kv, stored_slot s, struct map_leaf *leaf, struct ledger_err *err)
{
    struct span record;
    struct chain_front front;
    struct hash h, named = stored_hash(s);
    memcpy(leaf->key.b, s + 1, HASH_LEN);
    enum ledger_rc rc = kv_get(kv, KV_CHAIN, span_of(leaf->key.b, HASH_LEN), &record);
    if (!rc)
        rc = chain_record_front(record, &front, err);
    if (rc)
        return ledger_fail(err, rc == LEDGER_EINVAL || rc == LEDGER_ENOTFOUND ? LEDGER_ETAMPER : rc, "chain map: record of a chain: %s",
                           ledger_rc_text(rc));
    leaf->count = front.count;
    leaf->head = front.head;
    leaf_hash(c, leaf, &h);
    return hash_eq(&h, &named) ? LEDGER_OK : ledger_fail(err, LEDGER_ETAMPER, "chain map: a chain's record and its leaf differ");
}

/* What many proofs have in common: all of the uppermost levels that was met; below them the last way, which a way to another key shares down to the
 * place where the two keys part. Keys are hashes: a map that is deeper than what is kept has more chains than there will ever be, or
 * somebody chose keys, and is read and hashed from there on as often as it is asked for. */
#define TOP_LEVELS 8u
#define TOP_GROUPS (1u + (1u << GROUP_LEVELS))
#define WAY_LEVELS 32u
#define WAY_GROUPS (WAY_LEVELS / GROUP_LEVELS)
_Static_assert(TOP_LEVELS == 2 * GROUP_LEVELS, "the uppermost group and those right below it");

struct map_reader {
    stored_slot root; /* NULL: not begun */
    struct group top[TOP_GROUPS];
    struct hash key;               /* of the last way */
    struct group way[WAY_GROUPS];  /* by depth; those of the top are elsewhere */
};

struct map_reader *map_reader_new(struct arena *a)
{
    return arena_alloc(a, sizeof(struct map_reader));
}

/* The map's root. Of the last way what this one does not share is forgotten. */
static enum ledger_rc reader_begin(struct map_reader *r, const struct kv *kv, const struct hash *key, stored_slot *root, struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    if (!r || !r->root)
        rc = root_view(kv, root, err);
    if (rc || !r)
        return rc;
    if (r->root)
        *root = r->root;
    r->root = *root;
    for (unsigned i = common_bits(&r->key, key) / GROUP_LEVELS + 1; i < WAY_GROUPS; i++)
        r->way[i].have = false;
    r->key = *key;
    return LEDGER_OK;
}

/* Where a group is kept; NULL: nowhere. */
static struct group *group_place(struct map_reader *r, unsigned depth, const struct hash *key)
{
    unsigned i = depth / GROUP_LEVELS;
    if (!r || i >= WAY_GROUPS)
        return NULL;
    if (depth >= TOP_LEVELS)
        return &r->way[i];
    return &r->top[depth ? 1u + (key->b[0] >> (8 - GROUP_LEVELS)) : 0];
}

/* The group of the node at that depth, a multiple of GROUP_LEVELS: in the reader, if it is one that it keeps, else in `own`. */
static enum ledger_rc group_find(struct map_reader *r, const struct kv *kv, unsigned depth, const struct hash *key, struct group *own,
                                 struct group **out, struct ledger_err *err)
{
    struct group *g = group_place(r, depth, key);
    *out = g ? g : own;
    if (g && g->have)
        return LEDGER_OK;
    enum ledger_rc rc = group_view(kv, depth, key, *out, err);
    (*out)->have = !rc;
    return rc;
}

/* Is node i the one that the slot above it names? */
static enum ledger_rc group_check(struct crypto *c, struct group *g, unsigned i, unsigned depth, stored_slot above, struct ledger_err *err)
{
    if (g->known[i])
        return LEDGER_OK;
    const struct hash left = stored_hash(g->s[i][0]), right = stored_hash(g->s[i][1]), named = stored_hash(above);
    enum ledger_rc rc = node_check(c, &left, &right, depth, &named, err);
    g->known[i] = !rc;
    return rc;
}

enum ledger_rc chainmap_prove(struct crypto *c, struct map_reader *reader, const struct kv *kv, const struct hash *key, struct map_proof *out,
                              struct ledger_err *err)
{
    proof_begin(out);
    stored_slot s = empty_slot;
    struct group own, *g = NULL;
    unsigned i = 0; /* of the node in its group */
    enum ledger_rc rc = reader_begin(reader, kv, key, &s, err);
    while (!rc && s[0] == TAG_INNER) {
        if (out->depth >= MAP_DEPTH_MAX)
            return ledger_fail(err, LEDGER_ETAMPER, "chain map: deeper than a key is long");
        if (group_begins(out->depth)) {
            rc = group_find(reader, kv, out->depth, key, &own, &g, err);
            i = 0;
        }
        LEDGER_REQUIRE(g);
        if (!rc)
            rc = group_check(c, g, i, out->depth, s, err);
        if (rc)
            break;
        unsigned bit = key_bit(key, out->depth);
        s = g->s[i][bit];
        put_sibling(out, g->s[i][1 - bit]);
        i = g->child[i][bit];
    }
    if (rc)
        return rc;
    if (s[0] == TAG_EMPTY) {
        out->end = MAP_EMPTY;
        return LEDGER_OK;
    }
    out->end = memcmp(s + 1, key->b, HASH_LEN) == 0 ? MAP_PRESENT : MAP_OTHER;
    return fill_leaf(c, kv, s, &out->leaf, err);
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
    proof_begin(out);
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

/* Nodes that proofs have shown: of the top by depth, and then by the bits of the key that lead there. */
struct pair { struct hash h[2]; };
struct map_known {
    struct hash root;
    bool have[1u << TOP_LEVELS];
    struct pair top[1u << TOP_LEVELS];
    struct hash key;               /* of the last way, */
    unsigned n;                    /* which had so many nodes */
    struct pair way[WAY_LEVELS];   /* by depth; those of the top are elsewhere */
};

struct map_known *map_known_new(struct arena *a)
{
    return arena_alloc(a, sizeof(struct map_known));
}

static unsigned top_place(const struct hash *key, unsigned depth)
{
    return 1u << depth | (unsigned)key->b[0] >> (8 - depth);
}

/* For proofs under this root; of the last way what the way to this key does not share is forgotten. */
static void known_begin(struct map_known *known, const struct hash *key, const struct hash *root)
{
    if (!hash_eq(&known->root, root)) {
        memset(known->have, 0, sizeof known->have);
        known->root = *root;
        known->n = 0;
    }
    unsigned shared = common_bits(&known->key, key) + 1;
    if (known->n > shared)
        known->n = shared;
    known->key = *key;
}

/* The node at that depth on the way to the key, or NULL. */
static const struct pair *known_at(const struct map_known *known, const struct hash *key, unsigned depth)
{
    if (depth < TOP_LEVELS)
        return known->have[top_place(key, depth)] ? &known->top[top_place(key, depth)] : NULL;
    return depth < known->n ? &known->way[depth] : NULL;
}

/* `way` has the nodes from depth `from` on. */
static void known_add(struct map_known *known, const struct hash *key, unsigned from, unsigned depth, const struct pair *way)
{
    unsigned n = depth < WAY_LEVELS ? depth : WAY_LEVELS;
    for (unsigned d = from; d < n && d < TOP_LEVELS; d++) {
        known->have[top_place(key, d)] = true;
        known->top[top_place(key, d)] = way[d];
    }
    unsigned d = from > TOP_LEVELS ? from : TOP_LEVELS;
    if (d < n)
        memcpy(&known->way[d], &way[d], (n - d) * sizeof way[0]);
    known->n = n;
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
    const struct pair *pair;
    for (; at->depth < p->depth && (pair = known_at(known, key, at->depth)); at->depth++) {
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
    struct pair passed, way[WAY_LEVELS] = {0};
    if (known)
        known_begin(known, key, root);
    if (known && !go_down(known, p, key, &down))
        return false;
    if (p->end != MAP_EMPTY)
        leaf_hash(c, &leaf, &up.h);
    while (up.depth > down.depth)
        if (!go_up(c, p, key, &up, up.depth <= WAY_LEVELS ? &way[up.depth - 1] : &passed))
            return false;
    if (up.siblings != down.siblings || !hash_eq(&up.h, &down.h))
        return false;
    if (known)
        known_add(known, key, down.depth, p->depth, way);
    return true;
}
