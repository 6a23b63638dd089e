/* SPDX-License-Identifier: Apache-2.0 */
/* preverify: see preverify.h. Keys are found by their ids, which are hashes, in lists that are short on average. */
#include "preverify.h"

#include <stddef.h>
#include <string.h>

#define SLOTS_FIRST 256u

struct known_key {
    struct known_key *next;
    uint8_t id[KEY_ID_LEN];
    enum sig_alg alg;
    size_t n;
    uint8_t key[];
};

struct known_keys {
    struct arena *a; /* slots that have become too few stay in it: half of it at most */
    struct known_key **slots;
    size_t n_slots, n;
};

/* ---- keys ---- */

static struct known_key **slots_new(struct arena *a, size_t n)
{
    struct known_key **slots = arena_alloc(a, n * sizeof(struct known_key *));
    for (size_t i = 0; slots && i < n; i++)
        slots[i] = NULL;
    return slots;
}

struct known_keys *known_keys_new(size_t budget_bytes)
{
    struct arena *a = arena_new(budget_bytes);
    struct known_keys *k = a ? arena_alloc(a, sizeof *k) : NULL;
    struct known_key **slots = k ? slots_new(a, SLOTS_FIRST) : NULL;
    if (!slots) {
        arena_free(a);
        return NULL;
    }
    *k = (struct known_keys){.a = a, .slots = slots, .n_slots = SLOTS_FIRST};
    return k;
}

void known_keys_free(struct known_keys *k)
{
    if (k)
        arena_free(k->a);
}

static struct known_key **slot_of(struct known_key **slots, size_t n_slots, const uint8_t *id)
{
    uint64_t h;
    memcpy(&h, id, sizeof h);
    return &slots[(size_t)h & (n_slots - 1)];
}

static const struct known_key *find(const struct known_keys *k, struct span id)
{
    if (id.n != KEY_ID_LEN)
        return NULL;
    const struct known_key *at = *slot_of(k->slots, k->n_slots, id.p);
    while (at && memcmp(at->id, id.p, KEY_ID_LEN) != 0)
        at = at->next;
    return at;
}

bool known_keys_has(const struct known_keys *k, struct span key_id)
{
    return find(k, key_id) != NULL;
}

void known_keys_of(const struct known_keys *k, const struct sigblock *b, const struct known_key *out[SIGNATURES_READ_MAX])
{
    for (unsigned i = 0; i < SIGNATURES_READ_MAX; i++)
        out[i] = i < b->n ? find(k, b->sigs[i].key_id) : NULL;
}

static bool grow(struct known_keys *k)
{
    size_t n = k->n_slots * 2;
    struct known_key **slots = slots_new(k->a, n);
    if (!slots)
        return false;
    for (size_t i = 0; i < k->n_slots; i++) {
        for (struct known_key *key = k->slots[i], *next; key; key = next) {
            struct known_key **at = slot_of(slots, n, key->id);
            next = key->next;
            key->next = *at;
            *at = key;
        }
    }
    k->slots = slots;
    k->n_slots = n;
    return true;
}

enum ledger_rc known_keys_add(struct known_keys *k, struct crypto *c, const struct registered_key *key)
{
    uint8_t id[KEY_ID_LEN];
    crypto_key_id(c, (enum sig_alg)key->alg, span_of(key->key, key->n), id);
    if (known_keys_has(k, span_of(id, sizeof id)))
        return LEDGER_OK;
    struct known_key *added = k->n < k->n_slots || grow(k) ? arena_alloc(k->a, sizeof *added + key->n) : NULL;
    if (!added)
        return LEDGER_ENOMEM;
    struct known_key **at = slot_of(k->slots, k->n_slots, id);
    *added = (struct known_key){.next = *at, .alg = (enum sig_alg)key->alg, .n = key->n};
    memcpy(added->id, id, sizeof id);
    if (key->n)
        memcpy(added->key, key->key, key->n);
    *at = added;
    k->n++;
    return LEDGER_OK;
}

/* ---- where keys are found ---- */

static bool key_is(struct registered_key *out, unsigned alg, struct span key)
{
    if (key.n > sizeof out->key)
        return false; /* no key that anything could verify under */
    out->alg = alg;
    out->n = key.n;
    if (key.n)
        memcpy(out->key, key.p, key.n);
    return true;
}

bool registered_key_of(const struct entry *e, struct span payload, struct registered_key *out)
{
    struct genesis g;
    enum sig_alg alg;
    if (!e->content)
        return false;
    if (e->header.kind == OWN_GENESIS)
        return genesis_decode(payload, &g, NULL) == LEDGER_OK && key_is(out, g.admin_alg, g.admin_key);
    if (e->header.kind != KIND_PARTY_REGISTERED || !key_text_parse(event_text(&e->event, FIELD_PUBKEY), &alg, out->key, &out->n))
        return false;
    out->alg = alg;
    return true;
}

bool registered_key_in(const struct kv *view, struct crypto *c, const struct hash *index_key, struct span key_id, struct registered_key *out)
{
    struct span party, record;
    struct hash key;
    struct chain ch;
    if (key_id.n != KEY_ID_LEN || kv_get(view, KV_KEYHOLDER, key_id, &party))
        return false;
    chain_key(c, index_key, CHAIN_PARTY, party, &key);
    return kv_get(view, KV_CHAIN, span_of(key.b, HASH_LEN), &record) == LEDGER_OK && chain_record_decode(record, &ch, NULL) == LEDGER_OK &&
           key_is(out, ch.party.alg, ch.party.key);
}

/* ---- signatures ---- */

static bool verifies(struct preverifier *v, struct span origin, const struct entry *e, unsigned i, const struct hash *root, const struct known_key *k)
{
    const struct signature *s = &e->block.sigs[i];
    if (!k || (unsigned)k->alg != s->alg)
        return false;
    struct span key = span_of(k->key, k->n);
    struct span msg = signature_input(v->c, v->a, origin, s, i + 1, e->block.events, root, i ? s - 1 : NULL);
    if (!msg.p)
        return false;
    if (e->block.events < 2)
        return crypto_verify(v->c, k->alg, key, msg, s->sig);
    struct hash seen;
    const struct hfield f[] = {HVAR(msg), HVAR(s->sig), HVAR(key)};
    crypto_labelled(v->c, LABEL_SIGNATURE, f, 3, &seen);
    if (hash_eq(&seen, &v->seen[i]))
        return true;
    if (!crypto_verify(v->c, k->alg, key, msg, s->sig))
        return false;
    v->seen[i] = seen;
    return true;
}

void preverify(struct preverifier *v, struct span origin, const struct entry *e, const struct known_key *const keys[SIGNATURES_READ_MAX],
               struct preverified *out)
{
    struct hash root;
    *out = (struct preverified){{false}};
    if (!e->content || e->block.n == 0)
        return;
    arena_reset(v->a);
    if (!sigblock_root(v->c, &e->block, &e->header.event_id, &root))
        return;
    for (unsigned i = 0; i < e->block.n && i < SIGNATURES_READ_MAX; i++)
        out->ok[i] = verifies(v, origin, e, i, &root, keys[i]);
}
