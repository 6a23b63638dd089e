/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_ahead: see read_ahead.h. Blocks of entries go round in a ring: a thread reads and decodes the next block, one thread at a time and in order, so that
 * all keys that are registered before an entry are known when its signatures are verified; then it verifies the block's signatures beside the
 * others. The caller gives back the block that it is through with.
 */
#include "read_ahead.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 128u
#define BLOCK_BYTES ((size_t)8 << 20)  /* copied and decoded: a block ends sooner if its entries are large */
#define BLOCK_ARENA ((size_t)1 << 30)  /* for one entry more, of the largest kind */
#define SCRATCH ((size_t)1 << 20)     /* what a signature signs */
#define KEYS_BUDGET ((size_t)8 << 30)
#define THREADS_MAX 64

struct block {
    struct arena *a;
    unsigned n;
    bool done;
    enum ledger_rc rc; /* what ended the reading behind its entries */
    struct ledger_err err;
    struct ahead_entry e[BLOCK];
    const struct known_key *keys[BLOCK][SIGNATURES_READ_MAX];
};

/* The log of a store: a snapshot for each block, since what it pins is not used again. */
struct log_source {
    struct store *store;
    struct store_snapshot *sn; /* NULL: none is open */
    struct kv kv;
};

struct thread {
    struct read_ahead *r;
    pthread_t thread;
    struct preverifier v;
};

struct read_ahead {
    struct ahead_source source;
    struct log_source log;
    uint64_t to;
    uint64_t left;           /* entries that the caller has not been given; the caller's, like `at` */
    unsigned at;             /* the next entry of the first block */
    unsigned wanted, n_threads;
    struct thread *threads;
    struct block *ring;
    uint64_t n_ring;
    pthread_mutex_t reading; /* whoever holds it reads: the source, and what the log says of keys */
    uint64_t unread;         /* the next entry to be read */
    struct known_keys *keys;
    char origin[ORIGIN_MAX + 1];
    pthread_mutex_t mutex;   /* of what follows */
    pthread_cond_t room, done;
    uint64_t first, next;    /* blocks: the one that the caller is at, and the next to be read */
    bool stopping;
};

/* ---- reading ---- */

static enum ledger_rc no_memory(struct ledger_err *err)
{
    return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

static bool keep(struct arena *a, struct span *s)
{
    if (s->n == 0)
        return true;
    struct span copy = arena_copy(a, *s);
    if (!copy.p)
        return false;
    *s = copy;
    return true;
}

/* As the machine takes it from these bytes; where it refuses them, it asks for nothing that is found here. */
static void read_origin(struct read_ahead *r, const struct entry_record *record)
{
    struct genesis g;
    if (genesis_decode(record->event, &g, NULL) == LEDGER_OK && g.origin.n <= ORIGIN_MAX)
        memcpy(r->origin, g.origin.p, g.origin.n);
}

static enum ledger_rc decode(struct read_ahead *r, struct crypto *c, struct block *b, struct ahead_entry *e)
{
    struct registered_key key;
    const struct verifier vf = {.c = c, .a = b->a};
    const struct entry_claim claim = {.header = e->record.header, .event = e->record.event, .block = e->record.block,
                                      .opening = e->record.opening, .erased_by = e->record.erased_by};
    e->decoded = verify_entry(&vf, &claim, &e->entry, NULL);
    bool known = !e->decoded || !registered_key_of(&e->entry, e->record.event, &key) || known_keys_add(r->keys, c, &key) == LEDGER_OK;
    return known ? LEDGER_OK : no_memory(&b->err);
}

static enum ledger_rc read_one(struct read_ahead *r, struct crypto *c, struct block *b, uint64_t index)
{
    struct ahead_entry *e = &b->e[b->n];
    struct entry_record *record = &e->record;
    e->from = NULL;
    e->decoded = false;
    e->rc = r->source.read(r->source.ctx, index, record, &e->from, &b->err);
    if (e->rc)
        return e->rc == LEDGER_ENOTFOUND || e->rc == LEDGER_ETAMPER ? LEDGER_OK : e->rc;
    if (!keep(b->a, &record->header) || !keep(b->a, &record->event) || !keep(b->a, &record->block) || !keep(b->a, &record->opening))
        return no_memory(&b->err);
    if (index == 0)
        read_origin(r, record);
    return decode(r, c, b, e);
}

static bool is_full(const struct block *b)
{
    return b->n == BLOCK || arena_used(b->a) >= BLOCK_BYTES;
}

static void read_block(struct read_ahead *r, struct crypto *c, struct block *b)
{
    arena_reset(b->a);
    b->rc = LEDGER_OK;
    for (b->n = 0; r->unread < r->to && !b->rc && !is_full(b);) {
        b->rc = read_one(r, c, b, r->unread);
        b->n += b->rc == LEDGER_OK;
        r->unread += b->rc == LEDGER_OK;
    }
    for (unsigned i = 0; i < b->n; i++)
        if (b->e[i].decoded)
            known_keys_of(r->keys, &b->e[i].entry.block, b->keys[i]);
    if (r->source.pause)
        r->source.pause(r->source.ctx);
}

/* ---- a thread ---- */

/* A place for the next block, as soon as there is one; NULL: there is nothing to be read any more. */
static struct block *take_place(struct read_ahead *r)
{
    struct block *b = NULL;
    pthread_mutex_lock(&r->mutex);
    while (!r->stopping && r->next == r->first + r->n_ring)
        pthread_cond_wait(&r->room, &r->mutex);
    if (!r->stopping)
        b = &r->ring[r->next++ % r->n_ring];
    pthread_mutex_unlock(&r->mutex);
    return b;
}

static void stop_reading(struct read_ahead *r)
{
    pthread_mutex_lock(&r->mutex);
    r->stopping = true;
    pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->mutex);
}

/* Reads the next block and verifies its signatures. False: there was none. */
static bool work_once(struct read_ahead *r, struct preverifier *v)
{
    pthread_mutex_lock(&r->reading);
    struct block *b = r->unread < r->to ? take_place(r) : NULL;
    if (b) {
        read_block(r, v->c, b);
        if (b->rc)
            stop_reading(r);
    }
    pthread_mutex_unlock(&r->reading);
    if (!b)
        return false;
    for (unsigned i = 0; i < b->n; i++)
        if (b->e[i].decoded)
            preverify(v, span_str(r->origin), &b->e[i].entry, b->keys[i], &b->e[i].pre);
    pthread_mutex_lock(&r->mutex);
    b->done = true;
    pthread_cond_signal(&r->done);
    pthread_mutex_unlock(&r->mutex);
    return true;
}

static void *work(void *thread)
{
    struct thread *t = thread;
    while (work_once(t->r, &t->v))
        continue;
    return NULL;
}

/* ---- the caller's side ---- */

static bool allocate(struct read_ahead *r)
{
    r->n_ring = 2 * r->wanted + 1; /* each thread's, as many again, and the one that is being derived */
    r->ring = calloc(r->n_ring, sizeof *r->ring);
    r->threads = calloc(r->wanted, sizeof *r->threads);
    r->keys = known_keys_new(KEYS_BUDGET);
    bool good = r->ring && r->threads && r->keys;
    for (uint64_t i = 0; good && i < r->n_ring; i++)
        good = (r->ring[i].a = arena_new(BLOCK_ARENA)) != NULL;
    for (unsigned i = 0; good && i < r->wanted; i++) {
        r->threads[i] = (struct thread){.r = r, .v = {.c = crypto_new(), .a = arena_new(SCRATCH)}};
        good = r->threads[i].v.c && r->threads[i].v.a;
    }
    return good;
}

/* Made, and not reading yet. */
static enum ledger_rc make(const struct ahead_source *source, uint64_t from, uint64_t to, struct read_ahead **out, struct ledger_err *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct read_ahead *r = *out = calloc(1, sizeof *r);
    if (!r)
        return no_memory(err);
    *r = (struct read_ahead){.source = *source, .unread = from, .to = to, .left = from < to ? to - from : 0};
    r->wanted = cores < 1 ? 1 : cores < THREADS_MAX ? (unsigned)cores : THREADS_MAX;
    pthread_mutex_init(&r->reading, NULL);
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->room, NULL);
    pthread_cond_init(&r->done, NULL);
    return allocate(r) ? LEDGER_OK : no_memory(err);
}

/* With fewer threads than wanted it only takes longer; with none the caller reads and verifies. */
static void begin(struct read_ahead *r)
{
    while (r->n_threads < r->wanted && pthread_create(&r->threads[r->n_threads].thread, NULL, work, &r->threads[r->n_threads]) == 0)
        r->n_threads++;
}

enum ledger_rc read_ahead_start(const struct ahead_source *source, uint64_t to, struct read_ahead **out, struct ledger_err *err)
{
    enum ledger_rc rc = make(source, 0, to, out, err);
    if (!rc)
        begin(*out);
    return rc;
}

/* The first block is derived: its place is free for one that comes later. */
static void give_back(struct read_ahead *r)
{
    pthread_mutex_lock(&r->mutex);
    r->ring[r->first % r->n_ring].done = false;
    r->first++;
    r->at = 0;
    pthread_cond_signal(&r->room);
    pthread_mutex_unlock(&r->mutex);
}

static struct block *wait_for_first(struct read_ahead *r)
{
    struct block *b = &r->ring[r->first % r->n_ring];
    if (r->n_threads == 0)
        LEDGER_REQUIRE(work_once(r, &r->threads[0].v));
    pthread_mutex_lock(&r->mutex);
    while (!b->done)
        pthread_cond_wait(&r->done, &r->mutex);
    pthread_mutex_unlock(&r->mutex);
    return b;
}

enum ledger_rc read_ahead_next(struct read_ahead *r, const struct ahead_entry **out, struct ledger_err *err)
{
    LEDGER_REQUIRE(r->left > 0);
    struct block *b = r->at ? &r->ring[r->first % r->n_ring] : wait_for_first(r);
    if (r->at == b->n && !b->rc) {
        give_back(r);
        b = wait_for_first(r);
    }
    if (r->at == b->n)
        return ledger_fail(err, b->rc, "%s", b->err.msg);
    *out = &b->e[r->at++];
    r->left--;
    return LEDGER_OK;
}

void read_ahead_stop(struct read_ahead *r)
{
    if (!r)
        return;
    stop_reading(r);
    for (unsigned i = 0; i < r->n_threads; i++)
        pthread_join(r->threads[i].thread, NULL);
    for (unsigned i = 0; r->threads && i < r->wanted; i++) {
        arena_free(r->threads[i].v.a);
        crypto_free(r->threads[i].v.c);
    }
    for (uint64_t i = 0; r->ring && i < r->n_ring; i++)
        arena_free(r->ring[i].a);
    free(r->threads);
    free(r->ring);
    known_keys_free(r->keys);
    pthread_cond_destroy(&r->room);
    pthread_cond_destroy(&r->done);
    pthread_mutex_destroy(&r->mutex);
    pthread_mutex_destroy(&r->reading);
    free(r);
}

/* ---- a store's log ---- */

static enum ledger_rc log_source_read(void *ctx, uint64_t index, struct entry_record *out, const char **from, struct ledger_err *err)
{
    struct log_source *l = ctx;
    enum ledger_rc rc = LEDGER_OK;
    (void)from;
    if (!l->sn) {
        rc = store_snapshot_open(l->store, &l->sn, err);
        if (rc)
            return rc;
        l->kv = store_snapshot_kv(l->sn);
    }
    store_snapshot_restart(l->sn, KV_LOG);
    return log_read(&l->kv, index, out, err);
}

static void log_source_pause(void *ctx)
{
    struct log_source *l = ctx;
    store_snapshot_close(l->sn);
    l->sn = NULL;
}

struct key_walk { struct read_ahead *r; struct kv view; enum ledger_rc rc; };

static bool take_key(void *ctx, struct span key_id, struct span party)
{
    struct key_walk *w = ctx;
    struct read_ahead *r = w->r;
    struct crypto *c = r->threads[0].v.c;
    struct registered_key key;
    (void)party;
    if (registered_key_in(&w->view, c, store_index_key(r->log.store), key_id, &key))
        w->rc = known_keys_add(r->keys, c, &key);
    return w->rc == LEDGER_OK;
}

/* What was registered before the first entry is in the view; whose keys these are, the machine asks. */
static enum ledger_rc take_view(struct read_ahead *r, struct ledger_err *err)
{
    struct store_snapshot *keys = NULL, *rows = NULL;
    enum ledger_rc rc = store_snapshot_open(r->log.store, &keys, err);
    if (!rc)
        rc = store_snapshot_open(r->log.store, &rows, err);
    if (!rc) {
        struct key_walk w = {.r = r, .view = store_snapshot_kv(rows)};
        rc = store_scan(keys, KV_KEYHOLDER, SPAN_NONE, take_key, &w, err);
        rc = rc ? rc : w.rc ? no_memory(err) : LEDGER_OK;
    }
    store_snapshot_close(keys);
    store_snapshot_close(rows);
    return rc;
}

enum ledger_rc read_ahead_log(struct store *s, const char *origin, uint64_t from, uint64_t to, struct read_ahead **out, struct ledger_err *err)
{
    const struct ahead_source source = {.read = log_source_read, .pause = log_source_pause};
    enum ledger_rc rc = make(&source, from, to, out, err);
    if (rc)
        return rc;
    struct read_ahead *r = *out;
    r->source.ctx = &r->log;
    r->log.store = s;
    if (from) {
        snprintf(r->origin, sizeof r->origin, "%s", origin);
        rc = take_view(r, err);
    }
    if (!rc)
        begin(r);
    return rc;
}
