/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_verify: a pool of threads that verify the signatures of entries which are going to be replayed, ahead of the machine (replayer.h).
 *
 * Happy path: pool_start; pool_add_key for each key that is heard of; pool_add for each portion; then for its entries in order pool_wait, and
 * portion->pre[i] is what machine_replay takes; pool_drop before the portion is freed; pool_stop.
 *
 * Threads: the portions are a queue of the caller's, who adds at its end, waits and drops at its front, all from one thread. Threads take
 * chunks of the oldest portion that has any left, so what is waited for first is verified first; the caller helps while it waits.
 *
 * What is found, and what is not, means what it means in preverify.h; a signature for which there was no thread is verified by the machine, too.
 */
#ifndef LEDGERD_CLIENT_REPLAY_VERIFY_H
#define LEDGERD_CLIENT_REPLAY_VERIFY_H

#include <pthread.h>

#include "preverify.h"
#include "replayer.h"

#define CHUNK_ENTRIES 64u

enum chunk_state { CHUNK_NEW = 0, CHUNK_TAKEN, CHUNK_DONE };

struct portion {
    struct portion *next;
    const struct read_entry *e;
    size_t n, at; /* at: the next one to be derived; the caller's, like release and owner */
    void (*release)(void *owner);
    void *owner;
    struct preverified *pre; /* n; NULL: nothing is verified beforehand */
    size_t n_chunks, next_chunk;
    uint8_t *chunks;         /* enum chunk_state */
};

struct verify_pool {
    const char *origin;
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    struct portion *first; /* borrowed from the replayer's queue: the first with chunks that nobody has taken */
    bool stopping;
    unsigned n_threads;
    pthread_t *threads;
    struct preverifier own;  /* the caller's: who waits helps */
    pthread_rwlock_t keys_lock;
    struct known_keys *keys;
};

/* The pool is zeroed. `origin` is borrowed. ENOMEM: pool_stop is still due. */
enum ledger_rc pool_start(struct verify_pool *p, const char *origin, unsigned threads, struct ledger_err *err) LEDGER_MUST_USE;
/* Portions must have been dropped. A pool that was never started is allowed. */
void pool_stop(struct verify_pool *p);
/* Links a portion into the queue and gives it to the threads. */
void pool_add(struct verify_pool *p, struct portion **end, struct portion *portion);
/* Before a portion, the first of the queue, is freed: no thread touches it afterwards. */
void pool_drop(struct verify_pool *p, struct portion *portion);
/* Until the chunk that holds entry i is verified. */
void pool_wait(struct verify_pool *p, struct portion *portion, size_t i);
/* Keys. add: OK also if it is known. */
bool pool_knows(struct verify_pool *p, struct span key_id);
enum ledger_rc pool_add_key(struct verify_pool *p, const struct registered_key *key, struct ledger_err *err) LEDGER_MUST_USE;

#endif
