/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_hashes: `ledgerd check DIR --hashes`: what hashes alone say of a log, by all cores and without deriving anything: every record's content
 * is what its header names, every header the leaf at its place, every stored node of the tree follows from its leaves, and the headers agree with
 * one another (log_order.h). Whoever trusts the anchor then knows that these are the entries that were signed.
 *
 * The log is taken in blocks, each of which is one node of the tree. A thread hashes a block by itself; then, when its turn comes, the
 * block is put in order behind the one before. Findings are told in the blocks' order, so that two runs say the same.
 *
 * Threads: each has a snapshot, a crypto and an arena of its own; `struct hashing` is under its mutex.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_internal.h"
#include "log_order.h"

#define BLOCK_LEVEL 12u
#define BLOCK (1u << BLOCK_LEVEL)
#define BLOCK_ARENA ((size_t)1 << 30) /* of headers with very many links */
#define ORDER_BUDGET ((size_t)64 << 30)
#define THREADS_MAX 64u
#define SOON 8u /* entries ahead, whose links are fetched from memory meanwhile */

_Static_assert(BLOCK_LEVEL % MERKLE_STEP == 0, "a block is a stored node");

struct hashing {
    struct check *k;
    struct log_order *order;
    bool lost; /* a header could not be read: of those behind it no link can be compared */
    struct hash *nodes; /* of whole blocks */
    struct hash rest[BLOCK]; /* leaves of the last block, if it is not whole */
    uint64_t n_blocks, next, turn;
    pthread_mutex_t mutex;
    pthread_cond_t turned;
    enum ledger_rc rc;
    struct ledger_err err;
};

struct hasher {
    struct hashing *s;
    pthread_t thread;
    struct store_snapshot *sn;
    struct kv kv;
    struct merkle_store tree;
    struct crypto *c;
    struct arena *a;
    /* The block. */
    uint64_t number, first;
    size_t n, at;            /* at: taken so far */
    struct header *headers;  /* n */
    bool decoded[BLOCK];
    struct hash leaves[BLOCK], above[BLOCK / MERKLE_ROW];
    struct tally tally;
    uint64_t differences;
    struct verdict found[DIFFERENCES_KEPT];
    enum ledger_rc rc;
    struct ledger_err err;
};

/* ---- one block, by itself ---- */

LEDGER_PRINTF(4, 5) static void differ(struct hasher *w, uint64_t index, const char *what, const char *fmt, ...)
{
    char text[sizeof w->found[0].text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (w->differences < DIFFERENCES_KEPT)
        (void)verdict_bad(&w->found[w->differences], VERDICT_TAMPERED, index, what, "%s", text);
    w->differences++;
}

static void take_missing(struct hasher *w, uint64_t to)
{
    while (w->at < to - w->first && w->at < w->n)
        differ(w, w->first + w->at++, "record", "is missing");
}

static void take_record(struct hasher *w, struct span record)
{
    uint64_t index = w->first + w->at;
    struct header *h = &w->headers[w->at];
    struct entry_record r;
    struct ledger_err why = {0};
    const char *what;
    if (!entry_record_split(record, &r)) {
        differ(w, index, "record", "is malformed");
        w->at++;
        return;
    }
    enum ledger_rc rc = header_decode(w->a, r.header, h, &why);
    if (rc == LEDGER_EVERSION || rc == LEDGER_ENOMEM) {
        w->rc = ledger_fail(&w->err, rc, "entry %llu: %s", (unsigned long long)index, why.msg);
        return;
    }
    merkle_leaf(w->c, r.header, &w->leaves[w->at]);
    w->decoded[w->at] = rc == LEDGER_OK;
    if (rc)
        differ(w, index, "record", "%s", why.msg);
    else if (!check_content(w->c, h, &r, &what))
        differ(w, index, what, "is not the one that the header names");
    check_count(&w->tally, &r);
    w->at++;
}

static bool visit(void *ctx, struct span key, struct span value)
{
    struct hasher *w = ctx;
    struct rbuf r;
    rbuf_init(&r, key);
    uint64_t index = rbuf_u64(&r);
    if (!rbuf_done(&r) || index >= w->first + w->n)
        return false;
    take_missing(w, index);
    take_record(w, value);
    return w->rc == LEDGER_OK && w->at < w->n;
}

/*
 * Compares nodes of one level, `first` being the index of the first, with what is stored, and makes of each whole row the node above it: of what is
 * stored, where that differs, so that one node is told once. Returns how many there are above. `above` may be `nodes`.
 */
static size_t check_level(struct hasher *w, unsigned level, uint64_t first, const struct hash *nodes, size_t n, struct hash *above)
{
    for (size_t i = 0; i < n; i += MERKLE_ROW) {
        struct hash row[MERKLE_ROW];
        unsigned wide = n - i < MERKLE_ROW ? (unsigned)(n - i) : MERKLE_ROW;
        bool there = w->tree.get(w->tree.ctx, level, first + i, wide, row);
        for (unsigned j = 0; j < wide; j++) {
            if (there && hash_eq(&row[j], &nodes[i + j]))
                continue;
            if (level)
                differ(w, (first + i + j) << level, "tree", "a node above this entry %s", there ? "does not follow from its leaves" : "is missing");
            else
                differ(w, first + i + j, "leaf", there ? "the header is not the leaf that the tree has at its place" : "is missing in the tree");
        }
        if (!there)
            memcpy(row, nodes + i, wide * sizeof row[0]);
        if (wide == MERKLE_ROW) {
            merkle_fold(w->c, row, MERKLE_ROW);
            above[i / MERKLE_ROW] = row[0];
        }
    }
    return n / MERKLE_ROW;
}

/* The block's part of the tree; its uppermost node, if it is whole, into above[0]. */
static void check_tree(struct hasher *w)
{
    size_t n = check_level(w, 0, w->first, w->leaves, w->n, w->above);
    for (unsigned level = MERKLE_STEP; level < BLOCK_LEVEL; level += MERKLE_STEP)
        n = check_level(w, level, w->first >> level, w->above, n, w->above);
}

static void hash_block(struct hasher *w)
{
    uint8_t key[KV_KEY_MAX];
    uint64_t size = w->s->k->log_size;
    w->first = w->number * BLOCK;
    w->n = size - w->first < BLOCK ? (size_t)(size - w->first) : BLOCK;
    w->at = 0;
    w->differences = 0;
    w->tally = (struct tally){0};
    arena_reset(w->a);
    memset(w->decoded, 0, sizeof w->decoded);
    memset(w->leaves, 0, sizeof w->leaves);
    w->headers = arena_alloc(w->a, w->n * sizeof *w->headers);
    if (!w->headers) {
        w->rc = ledger_fail(&w->err, LEDGER_ENOMEM, "out of memory");
        return;
    }
    enum ledger_rc rc = store_scan(w->sn, KV_LOG, kv_key_u64(key, w->first), visit, w, &w->err);
    if (rc && !w->rc)
        w->rc = rc;
    if (w->rc)
        return;
    take_missing(w, w->first + w->n);
    check_tree(w);
}

/* ---- in order ---- */

static enum ledger_rc order_entry(struct hashing *s, struct hasher *w, size_t i)
{
    struct verdict v;
    if (!w->decoded[i])
        s->lost = true;
    if (s->lost)
        return LEDGER_OK;
    if (i + SOON < w->n && w->decoded[i + SOON])
        log_order_soon(s->order, &w->headers[i + SOON]);
    enum ledger_rc rc = log_order_add(s->order, &w->headers[i], &w->leaves[i], &v);
    if (rc == LEDGER_ETAMPER)
        check_differ(s->k, v.index, v.what, "%s", v.text);
    return rc == LEDGER_ENOMEM ? ledger_fail(&s->err, rc, "out of memory") : LEDGER_OK;
}

static void tell(struct hashing *s, const struct hasher *w)
{
    for (uint64_t i = 0; i < w->differences; i++) {
        const struct verdict *v = &w->found[i < DIFFERENCES_KEPT ? i : DIFFERENCES_KEPT - 1];
        check_differ(s->k, v->index, v->what, "%s", v->text);
    }
}

static void add_tally(struct tally *t, const struct tally *more)
{
    t->events += more->events;
    t->seals += more->seals;
    t->own += more->own;
    t->erased += more->erased;
    t->hashed += more->entries;
}

static void put_in_order(struct hashing *s, struct hasher *w)
{
    while (s->turn != w->number && !s->rc)
        pthread_cond_wait(&s->turned, &s->mutex);
    tell(s, w);
    for (size_t i = 0; i < w->n && !s->rc; i++)
        s->rc = order_entry(s, w, i);
    add_tally(&s->k->tally, &w->tally);
    if (w->n == BLOCK)
        s->nodes[w->number] = w->above[0];
    else
        memcpy(s->rest, w->leaves, w->n * sizeof s->rest[0]);
    progress_step(&s->k->progress, w->first + w->n);
    s->turn++;
    pthread_cond_broadcast(&s->turned);
}

static void *hasher_run(void *hasher)
{
    struct hasher *w = hasher;
    struct hashing *s = w->s;
    pthread_mutex_lock(&s->mutex);
    while (!s->rc && s->next < s->n_blocks) {
        w->number = s->next++;
        pthread_mutex_unlock(&s->mutex);
        hash_block(w);
        pthread_mutex_lock(&s->mutex);
        if (w->rc && !s->rc) {
            s->rc = w->rc;
            s->err = w->err;
            pthread_cond_broadcast(&s->turned);
        }
        if (!s->rc)
            put_in_order(s, w);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* ---- the end ---- */

static void check_upper(struct hashing *s, struct hasher *w)
{
    uint64_t size = s->k->log_size;
    size_t n = (size_t)(size >> BLOCK_LEVEL);
    w->differences = 0;
    for (unsigned level = BLOCK_LEVEL; n; level += MERKLE_STEP)
        n = check_level(w, level, 0, s->nodes, n, s->nodes);
    for (unsigned level = 0; level < 64; level += MERKLE_STEP)
        if (!kv_tree_ends(&w->kv, size, level))
            differ(w, VERDICT_NO_INDEX, "tree", "nodes of level %u stand behind its end", level);
    tell(s, w);
}

static void root_of_all(const struct hashing *s, struct crypto *c, struct hash *root)
{
    uint64_t size = s->k->log_size;
    struct frontier f = {.size = 0};
    for (uint64_t i = 0; i < size >> BLOCK_LEVEL; i++)
        frontier_append(c, &f, &s->nodes[i]);
    f.size <<= BLOCK_LEVEL; /* the same peaks, of larger trees */
    for (uint64_t i = 0; f.size < size; i++)
        frontier_append(c, &f, &s->rest[i]);
    frontier_root(c, &f, root);
}

/* The latest checkpoint, and what the view says of the last seal. */
static enum ledger_rc check_end(struct hashing *s, struct hasher *w, struct ledger_err *err)
{
    struct check *k = s->k;
    const struct machine *m = &k->tail.m;
    struct hash root, stored, leaf, map_root;
    uint64_t size, seal;
    root_of_all(s, w->c, &root);
    enum ledger_rc rc = log_checkpoint(k->sn, &size, &stored, err);
    if (rc == LEDGER_OK && size == k->log_size && hash_eq(&root, &stored))
        k->tally.rows[KV_CHECKPOINT]++;
    else if (rc == LEDGER_OK || rc == LEDGER_ENOTFOUND || rc == LEDGER_ETAMPER)
        check_differ(k, k->log_size - 1, "checkpoint", "the latest one is not the root of these entries");
    else
        return rc;
    if (!s->lost && (!log_order_seal(s->order, &seal, &leaf, &map_root) || seal + 1 != k->log_size || m->size != k->log_size || m->seal != seal ||
                     !hash_eq(&m->seal_leaf, &leaf) || !hash_eq(&m->map_root, &map_root) || m->chains != log_order_chains(s->order)))
        check_differ(k, k->log_size - 1, "view", "it was not left by the last entry");
    k->linked = log_order_size(s->order);
    check_upper(s, w);
    return LEDGER_OK;
}

static enum ledger_rc hasher_open(struct hasher *w, struct hashing *s, struct ledger_err *err)
{
    w->s = s;
    enum ledger_rc rc = store_snapshot_open(s->k->store, &w->sn, err);
    if (rc)
        return rc;
    w->kv = store_snapshot_kv(w->sn);
    w->tree = kv_tree(&w->kv);
    w->c = crypto_new();
    w->a = arena_new(BLOCK_ARENA);
    return w->c && w->a ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

static void hasher_close(struct hasher *w)
{
    store_snapshot_close(w->sn);
    crypto_free(w->c);
    arena_free(w->a);
}

static unsigned threads_for(uint64_t n_blocks)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t n = cores < 1 ? 1 : (uint64_t)cores;
    n = n < n_blocks ? n : n_blocks;
    return (unsigned)(n < THREADS_MAX ? n : THREADS_MAX);
}

/* The caller's thread is the first of them. With fewer threads than wanted it only takes longer. */
static enum ledger_rc hash_all(struct hashing *s, struct hasher *workers, unsigned n, struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    unsigned started = 1;
    for (unsigned i = 0; i < n && !rc; i++)
        rc = hasher_open(&workers[i], s, err);
    while (!rc && started < n && pthread_create(&workers[started].thread, NULL, hasher_run, &workers[started]) == 0)
        started++;
    if (!rc)
        hasher_run(&workers[0]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    if (rc || s->rc)
        return rc ? rc : ledger_fail(err, s->rc, "%s", s->err.msg);
    return check_end(s, &workers[0], err);
}

/* What is stored of the machine's own state is believed as far as names and keys go, which are compared by the caller. */
static enum ledger_rc load_view(struct check *k, struct ledger_err *err)
{
    struct machine *m = &k->tail.m;
    *m = (struct machine){.c = k->c, .a = k->a, .kv = k->stored, .index_key = *store_index_key(k->store), .wire = true};
    enum ledger_rc rc = machine_load(m, err);
    if (rc == LEDGER_ENOTFOUND && k->log_size == 0)
        return ledger_fail(err, rc, "there is no genesis entry: the ledger was never made");
    if (rc != LEDGER_ETAMPER && rc != LEDGER_ENOTFOUND)
        return rc;
    check_differ(k, VERDICT_NO_INDEX, "view", "%s", rc == LEDGER_ENOTFOUND ? "is missing; run `ledgerd rebuild`" : err->msg);
    return LEDGER_OK;
}

static enum ledger_rc hash_log(struct hashing *s, struct ledger_err *err)
{
    unsigned n = threads_for(s->n_blocks);
    struct hasher *workers = calloc(n, sizeof *workers);
    s->order = log_order_new(ORDER_BUDGET);
    s->nodes = calloc(s->n_blocks, sizeof *s->nodes);
    enum ledger_rc rc = workers && s->order && s->nodes ? hash_all(s, workers, n, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    for (unsigned i = 0; workers && i < n; i++)
        hasher_close(&workers[i]);
    free(workers);
    free(s->nodes);
    log_order_free(s->order);
    return rc;
}

enum ledger_rc check_hashes(struct check *k, struct ledger_err *err)
{
    enum ledger_rc rc = load_view(k, err);
    if (rc)
        return rc;
    if (k->log_size == 0) {
        check_differ(k, VERDICT_NO_INDEX, "log", "it is empty, and the view is not");
        return LEDGER_OK;
    }
    struct hashing *s = calloc(1, sizeof *s);
    if (!s)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    s->k = k;
    s->n_blocks = (k->log_size + BLOCK - 1) / BLOCK;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->turned, NULL);
    rc = hash_log(s, err);
    pthread_cond_destroy(&s->turned);
    pthread_mutex_destroy(&s->mutex);
    free(s);
    return rc;
}
