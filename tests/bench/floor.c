/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor: what the inner work costs without a network, a protocol, rules, chains and proofs: the least that any recorder of signed events
 * must do on this machine. Each event is decoded strictly, its signature verified and its bytes hashed, by one thread a core; one thread
 * puts it into LMDB under three indexes (entry number, event id, reference) and commits each group durably.
 *
 * usage: floor FOLDER SECONDS [EVENTS-A-SIGNATURE]    prints one JSON object: durable events a second.
 *
 * A group is 64 events (as many as 64 clients have on their way), or 800 where a signature covers a hundred (8 clients). While one group is
 * being committed the next ones are being verified. Events are made beforehand.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <lmdb.h>

#include "event.h"
#include "merkle.h"
#include "lib/shapes.h"

#define LOTS 256u
#define GROUPS_MAX 65536u
#define GROUPS_AHEAD 4u
#define MAP_BYTES ((size_t)1 << 36)

struct item { struct span bytes; uint8_t sig[64]; };
struct shared {
    const struct item *items;
    unsigned n_items, group, per_signature;
    struct secret_key key;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned taken, done, written; /* groups */
    bool ready[GROUPS_MAX];
    bool stop;
};

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- events ---- */

static struct item *make_items(struct crypto *c, struct arena *a, unsigned n, const struct secret_key *key)
{
    struct item *items = arena_alloc(a, n * sizeof *items);
    struct event steps[LOTS];
    must(items != NULL, "memory");
    for (unsigned i = 0; i < LOTS; i++) {
        char name[ID_MAX];
        snprintf(name, sizeof name, "gs1:01/09521234543213/10/BENCH-%02u-%u", i / 4, i % 4);
        shape_step(a, name, &steps[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        struct hash id;
        items[i].bytes = shape_encode(a, &steps[i % LOTS], "br", i);
        event_id(c, items[i].bytes, &id);
        must(crypto_make_signature(c, key, span_of(id.b, HASH_LEN), items[i].sig), "signature");
    }
    return items;
}

/* ---- verification ---- */

static void verify_group(struct shared *s, struct crypto *c, struct arena *a, unsigned group)
{
    for (unsigned i = 0; i < s->group; i++) {
        const struct item *it = &s->items[(group * s->group + i) % s->n_items];
        struct event ev;
        struct hash id;
        arena_reset(a);
        must(event_decode(c, a, it->bytes, &ev, NULL, NULL) == LEDGER_OK, "decoding");
        if (i % s->per_signature)
            continue;
        event_id(c, it->bytes, &id);
        must(crypto_verify(c, SIG_ED25519, span_of(s->key.pub, s->key.pub_len), span_of(id.b, HASH_LEN), span_of(it->sig, 64)),
             "verification");
    }
}

static void *verifier(void *ctx)
{
    struct shared *s = ctx;
    struct crypto *c = crypto_new();
    struct arena *a = arena_new((size_t)16 << 20);
    must(c && a, "memory");
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->stop && s->taken - s->written >= GROUPS_AHEAD)
            pthread_cond_wait(&s->changed, &s->lock);
        if (s->stop || s->taken == GROUPS_MAX)
            break;
        unsigned group = s->taken++;
        pthread_mutex_unlock(&s->lock);
        verify_group(s, c, a, group);
        pthread_mutex_lock(&s->lock);
        s->ready[group] = true;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    arena_free(a);
    crypto_free(c);
    return NULL;
}

/* ---- the store ---- */

struct store { MDB_env *env; MDB_dbi log, id, reference; struct crypto *c; uint64_t n; };

static void store_open(struct store *st, const char *folder)
{
    MDB_txn *txn;
    must(!mdb_env_create(&st->env) && !mdb_env_set_maxdbs(st->env, 4) && !mdb_env_set_mapsize(st->env, MAP_BYTES) &&
             !mdb_env_open(st->env, folder, MDB_NOTLS, 0600) && !mdb_txn_begin(st->env, NULL, 0, &txn) &&
             !mdb_dbi_open(txn, "log", MDB_CREATE, &st->log) && !mdb_dbi_open(txn, "id", MDB_CREATE, &st->id) &&
             !mdb_dbi_open(txn, "reference", MDB_CREATE, &st->reference) && !mdb_txn_commit(txn),
         "LMDB");
}

static void put(MDB_txn *txn, MDB_dbi dbi, const void *key, size_t n, struct span value, unsigned flags)
{
    MDB_val k = {n, (void *)(uintptr_t)key}, v = {value.n, (void *)(uintptr_t)value.p};
    must(!mdb_put(txn, dbi, &k, &v, flags), "put");
}

static void write_group(struct shared *s, struct store *st, unsigned group)
{
    MDB_txn *txn;
    must(!mdb_txn_begin(st->env, NULL, 0, &txn), "begin");
    for (unsigned i = 0; i < s->group; i++) {
        const struct item *it = &s->items[(group * s->group + i) % s->n_items];
        struct hash id, leaf, reference;
        uint8_t key[8];
        uint64_t number = st->n++;
        struct span salted[] = {it->bytes, span_of(&number, sizeof number)}; /* items come again: their ids must not */
        crypto_sha256(st->c, salted, 2, &id);
        merkle_leaf(st->c, it->bytes, &leaf);
        crypto_sha256(st->c, (struct span[]){span_of(id.b, HASH_LEN)}, 1, &reference);
        for (unsigned b = 0; b < 8; b++)
            key[b] = (uint8_t)(number >> (56 - 8 * b));
        put(txn, st->log, key, 8, it->bytes, MDB_APPEND);
        put(txn, st->id, id.b, HASH_LEN, span_of(key, 8), 0);
        put(txn, st->reference, reference.b, HASH_LEN, span_of(key, 8), 0);
    }
    must(!mdb_txn_commit(txn), "commit");
}

static double run(struct shared *s, struct store *st, double seconds)
{
    double began = now();
    unsigned group = 0;
    for (; now() - began < seconds && group < GROUPS_MAX; group++) {
        pthread_mutex_lock(&s->lock);
        while (!s->ready[group])
            pthread_cond_wait(&s->changed, &s->lock);
        pthread_mutex_unlock(&s->lock);
        write_group(s, st, group);
        pthread_mutex_lock(&s->lock);
        s->written = group + 1;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
    }
    double rate = (double)group * s->group / (now() - began);
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return rate;
}

int main(int argc, char **argv)
{
    static struct shared s = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct store st = {.c = crypto_new()};
    struct arena *a = arena_new((size_t)1 << 30);
    uint8_t seed[32] = {1};
    pthread_t threads[16];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (argc < 3 || !st.c || !a || !crypto_secret_from_seed(st.c, SIG_ED25519, seed, &s.key)) {
        fprintf(stderr, "usage: floor FOLDER SECONDS [EVENTS-A-SIGNATURE]\n");
        return 2;
    }
    s.per_signature = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;
    s.per_signature = s.per_signature ? s.per_signature : 1;
    s.group = s.per_signature == 1 ? 64 : 8 * s.per_signature;
    s.n_items = 16 * s.group;
    s.items = make_items(st.c, a, s.n_items, &s.key);
    store_open(&st, argv[1]);
    cores = cores < 1 ? 1 : cores > 16 ? 16 : cores;
    for (long i = 0; i < cores; i++)
        must(!pthread_create(&threads[i], NULL, verifier, &s), "thread");
    double rate = run(&s, &st, strtod(argv[2], NULL));
    for (long i = 0; i < cores; i++)
        pthread_join(threads[i], NULL);
    printf("{\"events_per_second\": %.1f, \"events_per_signature\": %u}\n", rate, s.per_signature);
    mdb_env_close(st.env);
    arena_free(a);
    crypto_free(st.c);
    return 0;
}
