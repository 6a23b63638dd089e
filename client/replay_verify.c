/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_verify: see replay_verify.h. A thread takes the next CHUNK_ENTRIES entries of the oldest portion that has any left.
 */
#include "replay_verify.h"

#include <stdlib.h>

#define VERIFY_SCRATCH ((size_t)1 << 20)
#define KEYS_BUDGET ((size_t)8 << 30) /* some tens of millions */

bool pool_knows(struct verify_pool *p, struct span key_id)
{
    return known_keys_has(p->keys, key_id); /* only the caller's thread, which is the one that asks, ever adds */
}

enum ledger_rc pool_add_key(struct verify_pool *p, const struct registered_key *key, struct ledger_err *err)
{
    pthread_rwlock_wrlock(&p->keys_lock);
    enum ledger_rc rc = known_keys_add(p->keys, p->own.c, key);
    pthread_rwlock_unlock(&p->keys_lock);
    return rc ? ledger_fail(err, rc, "out of memory") : LEDGER_OK;
}

static void verify_one(struct verify_pool *p, struct preverifier *v, const struct entry *e, struct preverified *pre)
{
    const struct known_key *keys[SIGNATURES_READ_MAX];
    if (!e->content || e->block.n == 0)
        return;
    pthread_rwlock_rdlock(&p->keys_lock);
    known_keys_of(p->keys, &e->block, keys);
    pthread_rwlock_unlock(&p->keys_lock);
    preverify(v, span_str(p->origin), e, keys, pre);
}

/* Takes the next chunk and verifies it. The mutex is held before and after. False: there was none. */
static bool work_once(struct verify_pool *p, struct preverifier *v)
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
        verify_one(p, v, &portion->e[i].entry, &portion->pre[i]);
    pthread_mutex_lock(&p->mutex);
    portion->chunks[chunk] = CHUNK_DONE;
    pthread_cond_broadcast(&p->done);
    return true;
}

static void *worker(void *pool)
{
    struct verify_pool *p = pool;
    struct preverifier v = {.c = crypto_new(), .a = arena_new(VERIFY_SCRATCH)};
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
    p->own = (struct preverifier){.c = crypto_new(), .a = arena_new(VERIFY_SCRATCH)};
    p->keys = known_keys_new(KEYS_BUDGET);
    p->threads = calloc(threads ? threads : 1, sizeof *p->threads);
    if (!p->own.c || !p->own.a || !p->keys || !p->threads)
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
    known_keys_free(p->keys);
    free(p->threads);
    arena_free(p->own.a);
    crypto_free(p->own.c);
    pthread_rwlock_destroy(&p->keys_lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->mutex);
}
