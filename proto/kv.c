/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_mem: an in-memory table set. Open addressing over (table, key); entries and values live in one arena. A value that is
 * replaced is overwritten in place when it fits, and its block goes to a free list of its size class when it does not, so
 * that a store whose states keep changing does not grow with every change.
 */
#include "kv.h"

#include <stdlib.h>
#include <string.h>

#include "merkle.h"

#define CLASS_MIN_BITS 4u /* 16 bytes */
#define CLASSES 40u

struct item {
    uint8_t table, key_n, class_bits;
    uint32_t value_n;
    uint8_t *value;
    uint8_t key[KV_KEY_MAX];
};

/* The hash beside the pointer: a look-up touches no item but the one that it looks for. */
struct slot {
    uint64_t hash;
    struct item *item;
};

struct free_block {
    struct free_block *next;
};

struct kv_mem {
    const struct kv *base;
    struct arena *a;
    struct arena_mark empty;
    struct slot *slots;
    size_t n_slots, n_items; /* n_slots is a power of two */
    struct free_block *free[CLASSES];
};

/* Keys are hashes or counters, and an adversary cannot choose where they fall without choosing SHA-256 outputs. */
uint64_t kv_hash(enum kv_table t, struct span key)
{
    uint64_t h = UINT64_C(1469598103934665603) ^ (uint64_t)t ^ (uint64_t)key.n << 8, word;
    for (size_t i = 0; i < key.n; i += sizeof word) {
        size_t n = key.n - i < sizeof word ? key.n - i : sizeof word;
        word = 0;
        memcpy(&word, key.p + i, n);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    h *= UINT64_C(0x9e3779b97f4a7c15); /* a big-endian counter changes the last word's high bits: twice folded they are low ones */
    return h ^ h >> 32;
}

static struct slot *find_slot(struct slot *slots, size_t n_slots, uint64_t hash, enum kv_table t, struct span key)
{
    for (size_t i = hash & (n_slots - 1);; i = (i + 1) & (n_slots - 1)) {
        const struct item *it = slots[i].item;
        if (!it || (slots[i].hash == hash && it->table == t && it->key_n == key.n && memcmp(it->key, key.p, key.n) == 0))
            return &slots[i];
    }
}

static bool grow(struct kv_mem *m)
{
    size_t n = m->n_slots ? m->n_slots * 2 : 256;
    struct slot *slots = arena_alloc(m->a, n * sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < m->n_slots; i++) {
        const struct slot *s = &m->slots[i];
        if (s->item)
            *find_slot(slots, n, s->hash, (enum kv_table)s->item->table, span_of(s->item->key, s->item->key_n)) = *s;
    }
    m->slots = slots;
    m->n_slots = n;
    return true;
}

static uint8_t class_for(size_t n)
{
    uint8_t bits = CLASS_MIN_BITS;
    while (((size_t)1 << bits) < n)
        bits++;
    return bits;
}

static uint8_t *block_take(struct kv_mem *m, uint8_t bits)
{
    struct free_block *b = m->free[bits];
    if (!b)
        return arena_alloc(m->a, (size_t)1 << bits);
    m->free[bits] = b->next;
    return (uint8_t *)b;
}

static void block_give(struct kv_mem *m, uint8_t *p, uint8_t bits)
{
    struct free_block *b = (struct free_block *)(void *)p;
    b->next = m->free[bits];
    m->free[bits] = b;
}

static enum ledger_rc mem_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    struct kv_mem *m = ctx;
    if (m->n_slots) {
        const struct item *it = find_slot(m->slots, m->n_slots, kv_hash(t, key), t, key)->item;
        if (it) {
            *value = span_of(it->value, it->value_n);
            return LEDGER_OK;
        }
    }
    return m->base ? kv_get(m->base, t, key, value) : LEDGER_ENOTFOUND;
}

static struct item *item_new(struct kv_mem *m, enum kv_table t, struct span key)
{
    struct item *it = arena_alloc(m->a, sizeof *it);
    if (!it)
        return NULL;
    it->table = (uint8_t)t;
    it->key_n = (uint8_t)key.n;
    memcpy(it->key, key.p, key.n);
    return it;
}

static enum ledger_rc mem_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    struct kv_mem *m = ctx;
    if (key.n == 0 || key.n > KV_KEY_MAX || value.n > UINT32_MAX)
        return LEDGER_EINVAL;
    if ((m->n_items + 1) * 4 > m->n_slots * 3 && !grow(m))
        return LEDGER_ENOMEM;
    uint64_t hash = kv_hash(t, key);
    struct slot *slot = find_slot(m->slots, m->n_slots, hash, t, key);
    struct item *it = slot->item;
    if (!it && !(it = item_new(m, t, key)))
        return LEDGER_ENOMEM;
    uint8_t bits = class_for(value.n);
    if (!it->value || it->class_bits < bits) {
        uint8_t *p = block_take(m, bits);
        if (!p)
            return LEDGER_ENOMEM;
        memcpy(p, value.p, value.n); /* before the old block is given back: value may lie in it */
        if (it->value)
            block_give(m, it->value, it->class_bits);
        it->value = p;
        it->class_bits = bits;
    } else {
        memmove(it->value, value.p, value.n);
    }
    it->value_n = (uint32_t)value.n;
    if (!slot->item) {
        *slot = (struct slot){hash, it};
        m->n_items++;
    }
    return LEDGER_OK;
}

struct kv_mem *kv_mem_new(const struct kv *base, size_t budget_bytes)
{
    struct arena *a = arena_new(budget_bytes);
    struct kv_mem *m = a ? arena_alloc(a, sizeof *m) : NULL;
    if (!m) {
        arena_free(a);
        return NULL;
    }
    m->a = a;
    m->base = base;
    m->empty = arena_mark(a);
    return m;
}

void kv_mem_free(struct kv_mem *m)
{
    if (m)
        arena_free(m->a);
}

struct kv kv_mem_kv(struct kv_mem *m)
{
    return (struct kv){m, mem_get, mem_put};
}

void kv_mem_discard(struct kv_mem *m)
{
    m->slots = NULL;
    m->n_slots = m->n_items = 0;
    memset(m->free, 0, sizeof m->free);
    arena_release(m->a, m->empty);
}

size_t kv_mem_bytes(const struct kv_mem *m)
{
    return arena_used(m->a);
}

/* The table and the beginning of the key as one number, which decides nearly always. */
static uint64_t order_of(const struct item *it)
{
    uint64_t v = it->table;
    for (unsigned i = 0; i < 7; i++)
        v = v << 8 | (i < it->key_n ? it->key[i] : 0);
    return v;
}

/* Of slots whose hash is order_of their item. */
static int item_order(const void *x, const void *y)
{
    const struct slot *s = x, *t = y;
    const struct item *a = s->item, *b = t->item;
    if (s->hash != t->hash)
        return s->hash < t->hash ? -1 : 1;
    if (a->table != b->table)
        return a->table < b->table ? -1 : 1;
    return span_cmp(span_of(a->key, a->key_n), span_of(b->key, b->key_n));
}

enum ledger_rc kv_mem_flush(struct kv_mem *m, struct ledger_err *err)
{
    LEDGER_REQUIRE(m->base);
    size_t n = 0;
    for (size_t i = 0; i < m->n_slots; i++) /* compact in place: the table is dropped afterwards */
        if (m->slots[i].item)
            m->slots[n++] = (struct slot){order_of(m->slots[i].item), m->slots[i].item};
    if (n)
        qsort(m->slots, n, sizeof m->slots[0], item_order);
    for (size_t i = 0; i < n; i++) {
        const struct item *it = m->slots[i].item;
        enum ledger_rc rc = kv_put(m->base, (enum kv_table)it->table, span_of(it->key, it->key_n),
                                   span_of(it->value, it->value_n));
        if (rc)
            return ledger_fail(err, rc, "write of table %u: %s", (unsigned)it->table, ledger_rc_text(rc));
    }
    kv_mem_discard(m);
    return LEDGER_OK;
}

static void put_u64(uint8_t *out, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> (56 - 8 * i));
}

struct span kv_key_u64(uint8_t *out, uint64_t v)
{
    put_u64(out, v);
    return span_of(out, 8);
}

struct span kv_key_tree(uint8_t *out, unsigned level, uint64_t index)
{
    uint64_t row = index / MERKLE_ROW;
    put_u64(out, row ? row << (level + MERKLE_STEP) : 0);
    out[8] = (uint8_t)level;
    return span_of(out, 9);
}

struct span kv_key_member(uint8_t *out, const struct hash *chain_key, unsigned log, uint64_t number)
{
    memcpy(out, chain_key->b, HASH_LEN);
    out[HASH_LEN] = (uint8_t)log;
    put_u64(out + HASH_LEN + 1, number);
    return span_of(out, HASH_LEN + 9);
}
