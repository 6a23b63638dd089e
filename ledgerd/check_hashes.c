/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_hashes: `ledgerd check DIR --hashes`: what hashes alone say of a log, by all cores and without deriving anything: every record's content
 * is what its header names, every header the leaf at its place, every stored node of the tree follows from its leaves, and the headers agree with
 * one another (log_order.h). What stands in for erased content opens the commitments in its header, and an ERASURE names it. Whoever trusts the anchor
 * then knows that these are the entries that were signed.
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
#include "kinds.h"
#include "log_order.h"
#include "opening.h"

#define BLOCK_LEVEL 12u
#define BLOCK (1u << BLOCK_LEVEL)
#define BLOCK_ARENA ((size_t)1 << 30) /* of headers with very many links */
#define THREADS_MAX 64u
#define SOON 8u /* entries ahead, whose links are fetched from memory meanwhile */

_Static_assert(BLOCK_LEVEL % MERKLE_STEP == 0, "a block is a stored node");

/* "The content of `index`, which is the event `id`, was erased by entry `by`": as the erased entry says, or as the ERASURE does (index 0). */
struct erased { uint64_t by, index; struct hash id; };
struct erased_list { struct erased *p; size_t n, cap; };

struct hashing {
    struct check *k;
    struct log_order *order;
    bool lost; /* a header could not be read: of those behind it no link can be compared */
    struct erased_list erased, acts;
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
    size_t n;
    struct header *headers;  /* n */
    bool hashed[BLOCK], decoded[BLOCK]; /* a record that there is; with a header that can be read */
    struct hash leaves[BLOCK], above[BLOCK / MERKLE_ROW];
    struct tally tally;
    struct erased_list erased, acts;
    struct chain opened;
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

static bool stops(enum ledger_rc rc)
{
    return rc != LEDGER_OK && rc != LEDGER_ENOTFOUND && rc != LEDGER_ETAMPER && rc != LEDGER_EINVAL;
}

static void add_erased(struct hasher *w, struct erased_list *l, const struct erased *e)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct erased *p = realloc(l->p, cap * sizeof *p);
        if (!p) {
            w->rc = ledger_fail(&w->err, LEDGER_ENOMEM, "out of memory");
            return;
        }
        l->p = p;
        l->cap = cap;
    }
    l->p[l->n++] = *e;
}

/* What is kept in place of content: the states after it, all of them, under the commitments of the header. */
static bool check_opening(struct hasher *w, const struct header *h, const struct entry_record *r)
{
    struct opening o;
    struct ledger_err why;
    if (h->kind < EVENT_KIND_FIRST || h->kind == KIND_PARTY_REGISTERED || r->erased_by <= h->index ||
        opening_decode(w->a, r->opening, &o, &why) != LEDGER_OK || o.n != h->n_links)
        return false;
    for (unsigned i = 0; i < h->n_links; i++) {
        const struct opening_part *part = opening_part(&o, i);
        if (!part || opening_check(w->c, w->a, store_index_key(w->s->k->store), h, part, NULL, &w->opened, &why) != LEDGER_OK)
            return false;
    }
    return true;
}

static void take_erasure(struct hasher *w, const struct header *h, const struct entry_record *r)
{
    struct erasure x;
    if (erasure_decode(r->event, &x, NULL) != LEDGER_OK)
        differ(w, h->index, "event", "is no act of erasure");
    else
        for (unsigned i = 0; i < x.n; i++) {
            struct erased e = {.by = h->index};
            memcpy(e.id.b, x.ids + (size_t)i * HASH_LEN, HASH_LEN);
            add_erased(w, &w->acts, &e);
        }
}

static void take_content(struct hasher *w, const struct header *h, const struct entry_record *r)
{
    const struct content_fault *f = entry_content_fault(w->c, h, r, NULL);
    if (f)
        differ(w, h->index, f->what, "%s", f->text);
    else if (h->kind == OWN_ERASURE)
        take_erasure(w, h, r);
    if (!r->erased_by)
        return;
    add_erased(w, &w->erased, &(struct erased){r->erased_by, h->index, h->event_id});
    if (!check_opening(w, h, r))
        differ(w, h->index, "opening", "what is kept in place of erased content does not open what the header commits to");
}

/* A newer header is one if it is the leaf; else it is damaged, like any other that cannot be read. */
static void take_header(struct hasher *w, size_t i, const struct entry_record *r)
{
    uint64_t index = w->first + i;
    struct ledger_err why = {0};
    enum ledger_rc rc = header_decode(w->a, r->header, &w->headers[i], &why);
    bool newer = rc == LEDGER_EVERSION && kv_tree_has_leaf(&w->kv, index, &w->leaves[i]);
    if (newer || rc == LEDGER_ENOMEM) {
        w->rc = ledger_fail(&w->err, rc, "entry %llu: %s", (unsigned long long)index, why.msg);
        return;
    }
    w->decoded[i] = rc == LEDGER_OK;
    if (rc)
        differ(w, index, "record", "%s", why.msg);
    else if (w->headers[i].index == index) /* else its order says so, and whose content it is, nobody knows */
        take_content(w, &w->headers[i], r);
}

/* Looked up one by one from the root, as others do, and not walked through: what a look-up does not find is missing. */
static void take_record(struct hasher *w, size_t i)
{
    uint64_t index = w->first + i;
    struct entry_record r;
    struct ledger_err why = {0};
    store_snapshot_restart(w->sn, KV_LOG);
    enum ledger_rc rc = log_read(&w->kv, index, &r, &why);
    if (stops(rc)) {
        w->rc = ledger_fail(&w->err, rc, "%s", why.msg);
    } else if (rc) {
        differ(w, index, "record", rc == LEDGER_ENOTFOUND ? "is missing" : "is malformed");
    } else {
        merkle_leaf(w->c, r.header, &w->leaves[i]);
        w->hashed[i] = true;
        check_count(&w->tally, &r);
        take_header(w, i, &r);
    }
}

static void check_node_at(struct hasher *w, unsigned level, uint64_t index, const struct hash *node, bool there, const struct hash *stored)
{
    if (there && hash_eq(stored, node))
        return;
    if (level)
        differ(w, index << level, "tree", "a node above this entry %s", there ? "does not follow from its leaves" : "is missing");
    else
        differ(w, index, "leaf", there ? "the header is not the leaf that the tree has at its place" : "is missing in the tree");
}

/*
 * Compares nodes of one level, `first` being the index of the first, with what is stored, and makes of each whole row the node above it: of what is
 * stored, where that differs, so that one node is told once. known: which of them there are; NULL: all. Returns how many there are above. `above`
 * may be `nodes`.
 */
static size_t check_level(struct hasher *w, unsigned level, uint64_t first, const struct hash *nodes, const bool *known, size_t n, struct hash *above)
{
    for (size_t i = 0; i < n; i += MERKLE_ROW) {
        struct hash row[MERKLE_ROW];
        unsigned wide = n - i < MERKLE_ROW ? (unsigned)(n - i) : MERKLE_ROW;
        store_snapshot_restart(w->sn, KV_TREE);
        bool whole = w->tree.get(w->tree.ctx, level, first + i, wide, row);
        for (unsigned j = 0; j < wide; j++) {
            bool there = whole || w->tree.get(w->tree.ctx, level, first + i + j, 1, &row[j]);
            if (!known || known[i + j])
                check_node_at(w, level, first + i + j, &nodes[i + j], there, &row[j]);
            if (!there)
                row[j] = nodes[i + j];
        }
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
    size_t n = check_level(w, 0, w->first, w->leaves, w->hashed, w->n, w->above);
    for (unsigned level = MERKLE_STEP; level < BLOCK_LEVEL; level += MERKLE_STEP)
        n = check_level(w, level, w->first >> level, w->above, NULL, n, w->above);
}

static void hash_block(struct hasher *w)
{
    uint64_t size = w->s->k->log_size;
    w->first = w->number * BLOCK;
    w->n = size - w->first < BLOCK ? (size_t)(size - w->first) : BLOCK;
    w->differences = 0;
    w->tally = (struct tally){0};
    w->erased.n = w->acts.n = 0;
    arena_reset(w->a);
    memset(w->hashed, 0, sizeof w->hashed);
    memset(w->decoded, 0, sizeof w->decoded);
    memset(w->leaves, 0, sizeof w->leaves);
    w->headers = arena_alloc(w->a, w->n * sizeof *w->headers);
    if (!w->headers)
        w->rc = ledger_fail(&w->err, LEDGER_ENOMEM, "out of memory");
    for (size_t i = 0; i < w->n && !w->rc; i++)
        take_record(w, i);
    if (!w->rc)
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

static void keep_erased(struct hashing *s, struct hasher *w)
{
    for (size_t i = 0; i < w->erased.n; i++)
        add_erased(w, &s->erased, &w->erased.p[i]);
    for (size_t i = 0; i < w->acts.n; i++)
        add_erased(w, &s->acts, &w->acts.p[i]);
    if (w->rc)
        s->rc = ledger_fail(&s->err, w->rc, "%s", w->err.msg);
}

static void put_in_order(struct hashing *s, struct hasher *w)
{
    while (s->turn != w->number && !s->rc)
        pthread_cond_wait(&s->turned, &s->mutex);
    tell(s, w);
    for (size_t i = 0; i < w->n && !s->rc; i++)
        s->rc = order_entry(s, w, i);
    keep_erased(s, w);
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
        n = check_level(w, level, 0, s->nodes, NULL, n, s->nodes);
    for (unsigned level = 0; level < 64; level += MERKLE_STEP)
        if (!kv_tree_ends(&w->kv, size, level))
            differ(w, VERDICT_NO_INDEX, "tree", "nodes of level %u stand behind its end", level);
    tell(s, w);
}

/* One row for sixteen nodes of each stored level. */
static enum ledger_rc count_rows(struct check *k, struct ledger_err *err)
{
    uint64_t wanted = 0, rows;
    for (unsigned level = 0; level < 64 && k->log_size >> level; level += MERKLE_STEP)
        wanted += ((k->log_size >> level) + MERKLE_ROW - 1) / MERKLE_ROW;
    enum ledger_rc rc = store_count(k->sn, KV_TREE, &rows, err);
    if (rc == LEDGER_OK && rows > wanted)
        check_differ(k, VERDICT_NO_INDEX, "tree", "%llu of its rows do not follow from the entries", (unsigned long long)(rows - wanted));
    return rc;
}

static int erased_order(const void *x, const void *y)
{
    const struct erased *a = x, *b = y;
    return a->by != b->by ? (a->by < b->by ? -1 : 1) : memcmp(a->id.b, b->id.b, HASH_LEN);
}

/* Content is only ever taken out by an act that names it. */
static void check_erased(struct hashing *s)
{
    if (s->acts.n)
        qsort(s->acts.p, s->acts.n, sizeof *s->acts.p, erased_order);
    for (size_t i = 0; i < s->erased.n; i++) {
        const struct erased *e = &s->erased.p[i];
        if (!s->acts.n || !bsearch(e, s->acts.p, s->acts.n, sizeof *e, erased_order))
            check_differ(s->k, e->index, "erased content", "entry %llu, which is said to have erased it, is no ERASURE that names it",
                         (unsigned long long)e->by);
    }
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

/* What the view says of the last seal, if it says anything. */
static void check_seal(const struct hashing *s)
{
    const struct machine *m = &s->k->tail.m;
    struct hash leaf, map_root;
    uint64_t seal;
    bool good = log_order_seal(s->order, &seal, &leaf, &map_root) && seal + 1 == s->k->log_size && m->size == s->k->log_size && m->seal == seal &&
                hash_eq(&m->seal_leaf, &leaf) && hash_eq(&m->map_root, &map_root) && m->chains == log_order_chains(s->order);
    if (!good && m->size)
        check_differ(s->k, s->k->log_size - 1, "view", "it was not left by the last entry");
}

static enum ledger_rc check_checkpoint(struct hashing *s, struct hasher *w, struct ledger_err *err)
{
    struct hash root, stored;
    uint64_t size, last = s->k->log_size - 1;
    enum ledger_rc rc = log_checkpoint(s->k->sn, &size, &stored, err);
    root_of_all(s, w->c, &root);
    if (stops(rc))
        return rc;
    if (rc)
        check_differ(s->k, last, "checkpoint", rc == LEDGER_ENOTFOUND ? "there is none" : "it is malformed");
    else if (size != s->k->log_size || !hash_eq(&root, &stored))
        check_differ(s->k, last, "checkpoint", "the latest one is not the root of these entries");
    else
        s->k->tally.rows[KV_CHECKPOINT]++;
    return LEDGER_OK;
}

static enum ledger_rc check_end(struct hashing *s, struct hasher *w, struct ledger_err *err)
{
    enum ledger_rc rc = check_checkpoint(s, w, err);
    if (!rc)
        rc = count_rows(s->k, err);
    if (rc)
        return rc;
    if (!s->lost)
        check_seal(s);
    check_erased(s);
    check_upper(s, w);
    s->k->ordered = log_order_size(s->order);
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
    free(w->erased.p);
    free(w->acts.p);
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
    s->order = log_order_new(check_memory());
    s->nodes = calloc(s->n_blocks, sizeof *s->nodes);
    enum ledger_rc rc = workers && s->order && s->nodes ? hash_all(s, workers, n, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    for (unsigned i = 0; workers && i < n; i++)
        hasher_close(&workers[i]);
    free(workers);
    free(s->erased.p);
    free(s->acts.p);
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
