/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_verify: see replay_verify.h. A thread takes the next CHUNK_ENTRIES entries of the oldest portion that has any left. Key ids are hashes
 * of keys that this program has computed itself, so that a wrong table could make a signature go unverified here but never count.
 */
#include "replay_verify.h"

#include <stdlib.h>
#include <string.h>

#define VERIFY_SCRATCH ((size_t)1 << 20)

/* ---- keys ---- */

static size_t slot_of(const uint8_t *id, size_t n_slots)
{
    uint64_t h;
    memcpy(&h, id, sizeof h);
    return (size_t)h & (n_slots - 1);
}

/* The lock must be held. */
static const struct known_key *find_key(const struct verify_pool *p, struct span id)
{
    if (!p->n_slots || id.n != KEY_ID_LEN)
        return NULL;
    const struct known_key *k = p->slots[slot_of(id.p, p->n_slots)];
    while (k && memcmp(k->id, id.p, KEY_ID_LEN) != 0)
        k = k->next;
    return k;
}

static const struct known_key *known(struct verify_pool *p, struct span id)
{
    pthread_rwlock_rdlock(&p->keys_lock);
    const struct known_key *k = find_key(p, id);
    pthread_rwlock_unlock(&p->keys_lock);
    return k;
}

bool pool_knows(struct verify_pool *p, struct span key_id)
{
    return find_key(p, key_id) != NULL; /* only the caller's thread, which is the one that asks, ever adds */
}

static bool grow(struct verify_pool *p)
{
    size_t n = p->n_slots ? p->n_slots * 2 : 256;
    struct known_key **slots = calloc(n, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < p->n_slots; i++) {
        for (struct known_key *k = p->slots[i], *next; k; k = next) {
            struct known_key **at = &slots[slot_of(k->id, n)];
            next = k->next;
            k->next = *at;
            *at = k;
        }
    }
    free(p->slots);
    p->slots = slots;
    p->n_slots = n;
    return true;
}

enum ledger_rc pool_add_key(struct verify_pool *p, enum sig_alg alg, struct span key, struct ledger_err *err)
{
    uint8_t id[KEY_ID_LEN];
    if (key.n > KEY_LEN_MAX)
        return LEDGER_OK; /* no key that anything could verify under */
    crypto_key_id(p->own.c, alg, key, id);
    if (pool_knows(p, span_of(id, sizeof id)))
        return LEDGER_OK;
    struct known_key *k = malloc(sizeof *k + key.n);
    if (!k)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    memcpy(k->id, id, sizeof id);
    k->alg = alg;
    k->n = key.n;
    if (key.n)
        memcpy(k->key, key.p, key.n);
    pthread_rwlock_wrlock(&p->keys_lock);
    bool room = p->n_keys < p->n_slots || grow(p);
    if (room) {
        struct known_key **at = &p->slots[slot_of(id, p->n_slots)];
        k->next = *at;
        *at = k;
        p->n_keys++;
    }
    pthread_rwlock_unlock(&p->keys_lock);
    if (room)
        return LEDGER_OK;
    free(k);
    return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

/* ---- verifying ---- */

static bool verifies(struct verify_pool *p, struct verifying *v, const struct entry *e, unsigned i, const struct hash *root)
{
    const struct signature *s = &e->block.sigs[i];
    const struct known_key *k = known(p, s->key_id);
    if (!k || (unsigned)k->alg != s->alg)
        return false;
    struct span key = span_of(k->key, k->n);
    struct span msg = signature_input(v->c, v->a, span_str(p->origin), s, i + 1, e->block.events, root, i ? s - 1 : NULL);
    if (!msg.p)
        return false;
    if (e->block.events < 2)
        return crypto_verify(v->c, k->alg, key, msg, s->sig);
    struct hash seen;
    const struct hfield f[] = {HVAR(msg), HVAR(s->sig), HVAR(key)};
    crypto_labelled(v->c, LABEL_SIGNATURE, f, 3, &seen);
    if (!hash_eq(&seen, &v->seen[i])) {
        if (!crypto_verify(v->c, k->alg, key, msg, s->sig))
            return false;
        v->seen[i] = seen;
    }
    return true;
}

static void verify_one(struct verify_pool *p, struct verifying *v, const struct read_entry *re, struct preverified *pre)
{
    const struct entry *e = &re->entry;
    struct hash root;
    if (!e->content || e->block.n == 0)
        return;
    arena_reset(v->a);
    if (!sigblock_root(v->c, &e->block, &e->header.event_id, &root))
        return;
    for (unsigned i = 0; i < e->block.n && i < SIGNATURES_READ_MAX; i++)
        pre->ok[i] = verifies(p, v, e, i, &root);
}

/* Takes the next chunk and verifies it. The mutex is held before and after. False: there was none. */
static bool work_once(struct verify_pool *p, struct verifying *v)
{
    while (p->first && p->first->next_chunk == p->first->n_chunks)
        p->first = p->first->next;
    struct portion *portion = p->first;
    if (!portion)
        return false;
    size_t chunk = portion->next_chunk++;
    portion->chunks[chunk] = CHUNK_TAKEN;
    pthread_mutex_unlock(&p->mutex);
    size_t end = (chunk + 1) * CHUNK_ENTRIES;
    for (size_t i = chunk * CHUNK_ENTRIES; i < end && i < portion->n; i++)
        verify_one(p, v, &portion->e[i], &portion->pre[i]);
    pthread_mutex_lock(&p->mutex);
    portion->chunks[chunk] = CHUNK_DONE;
    pthread_cond_broadcast(&p->done);
    return true;
}

static void *worker(void *pool)
{
    struct verify_pool *p = pool;
    struct verifying v = {.c = crypto_new(), .a = arena_new(VERIFY_SCRATCH)};
    pthread_mutex_lock(&p->mutex);
    while (v.c && v.a && !p->stopping) /* without them the others do the work */
        if (!work_once(p, &v) && !p->stopping)
            pthread_cond_wait(&p->work, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
    arena_free(v.a);
    crypto_free(v.c);
    return NULL;
}

void pool_add(struct verify_pool *p, struct portion **end, struct portion *portion)
{
    pthread_mutex_lock(&p->mutex);
    *end = portion;
    if (!p->first)
        p->first = portion;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
}

void pool_drop(struct verify_pool *p, struct portion *portion)
{
    pthread_mutex_lock(&p->mutex);
    for (size_t i = 0; i < portion->n_chunks; i++) {
        if (portion->chunks[i] == CHUNK_NEW)
            portion->next_chunk = portion->n_chunks; /* nobody begins any more … */
        while (portion->chunks[i] == CHUNK_TAKEN)    /* … and who has begun comes to an end */
            pthread_cond_wait(&p->done, &p->mutex);
    }
    if (p->first == portion)
        p->first = portion->next;
    pthread_mutex_unlock(&p->mutex);
}

void pool_wait(struct verify_pool *p, struct portion *portion, size_t i)
{
    size_t chunk = i / CHUNK_ENTRIES;
    pthread_mutex_lock(&p->mutex);
    while (portion->chunks[chunk] != CHUNK_DONE)
        if (portion->chunks[chunk] == CHUNK_TAKEN || !work_once(p, &p->own))
            pthread_cond_wait(&p->done, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}

enum ledger_rc pool_start(struct verify_pool *p, const char *origin, unsigned threads, struct ledger_err *err)
{
    p->origin = origin;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    pthread_rwlock_init(&p->keys_lock, NULL);
    p->own = (struct verifying){.c = crypto_new(), .a = arena_new(VERIFY_SCRATCH)};
    p->threads = calloc(threads ? threads : 1, sizeof *p->threads);
    if (!p->own.c || !p->own.a || !p->threads)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    while (p->n_threads < threads && pthread_create(&p->threads[p->n_threads], NULL, worker, p) == 0)
        p->n_threads++;
    return LEDGER_OK; /* with fewer threads, or none, it only takes longer */
}

void pool_stop(struct verify_pool *p)
{
    if (!p->origin)
        return;
    pthread_mutex_lock(&p->mutex);
    p->stopping = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
    for (unsigned i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    for (size_t i = 0; i < p->n_slots; i++)
        for (struct known_key *k = p->slots[i], *next; k; k = next) {
            next = k->next;
            free(k);
        }
    free(p->slots);
    free(p->threads);
    arena_free(p->own.a);
    crypto_free(p->own.c);
    pthread_rwlock_destroy(&p->keys_lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->mutex);
}
