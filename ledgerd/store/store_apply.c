/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_apply: from the journal into the tables. A batch is recorded when it is in the journal; then it is a layer, which snapshots read
 * above the tables, and a thread of the store's own puts all layers that have come meanwhile into the tables in one transaction: rows that
 * every batch changes are written once for many batches, and nobody waits for it.
 *
 *   store_push → journal (durable) → layers → this thread → tables (durable) → the layers go, their place in the journal is free
 *
 * Nobody has to wait, except: a batch that cannot go through the journal, and a write transaction (store_begin), for which everything
 * has to be in the tables (store_drain); and whoever records faster than the tables take it, when the layers have become too many.
 *
 * Failure: no space: the layers stay, it is tried again each second, and whoever records is told. Anything else: nobody knows what is in the
 * tables; what was acknowledged is in the journal, the next start puts it there.
 */
#include <string.h>
#include <stdlib.h>

#include "../log.h"
#include "../thread.h"
#include "log.h"
#include "store_impl.h"

#define DELAY_US INT64_C(1000000)  /* the oldest layer waits so long for others */
#define LAYERS_ENOUGH 48           /* unless there are so many, */
#define ROWS_ENOUGH UINT64_C(24000) /* or they have so many rows: whoever reads asks every layer */
#define ROWS_ONCE UINT64_C(40000)  /* in one transaction, far below LMDB's limit on dirty pages */
#define ROWS_MAX UINT64_C(50000)   /* whoever records waits from here on: with one more batch a start still takes all over in one transaction */
#define JOIN_ROWS 4000u            /* no layer is made larger than that of others */
#define AGAIN_US INT64_C(1000000)

static int64_t monotonic_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- one transaction ---- */

static enum ledger_rc put_table(struct store_txn *x, struct layer *const *layers, size_t n, enum kv_table t, struct ledger_err *err)
{
    struct layer_row *rows;
    size_t n_rows;
    if (!layer_merge(layers, n, t, SPAN_NONE, &rows, &n_rows)) {
        free(rows);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < n_rows && !rc; i++)
        rc = store_txn_put(x, t, rows[i].key, rows[i].value, false);
    free(rows);
    if (x->code)
        return store_fail_mdb(err, x->code, "write");
    return rc ? ledger_fail(err, rc, "write of table %u: %s", (unsigned)t, ledger_rc_text(rc)) : LEDGER_OK;
}

static enum ledger_rc check_base(const struct store_txn *x, uint64_t base, struct ledger_err *err)
{
    uint64_t size, epoch;
    enum ledger_rc rc = store_txn_tail(x->env, x->txn, &size, &epoch, err);
    if (rc || size == base)
        return rc;
    return ledger_fail(err, LEDGER_EINTERNAL, "the tables have %llu entries, %llu were expected: there is another writer",
                       (unsigned long long)size, (unsigned long long)base);
}

static enum ledger_rc put_layers(struct store_txn *x, struct layer *const *layers, size_t n, bool erases, struct ledger_err *err)
{
    enum ledger_rc rc = check_base(x, layers[0]->record.base, err);
    for (unsigned t = 0; t < KV_TABLES && !rc; t++)
        rc = put_table(x, layers, n, (enum kv_table)t, err);
    if (!rc && erases)
        rc = store_txn_put(x, KV_META, SPAN_LIT(STORE_ERASING_KEY), SPAN_LIT("1"), true);
    return rc;
}

enum ledger_rc store_apply_layers(struct store *s, struct layer *const *layers, size_t n, uint64_t reserve, bool erases,
                                  struct ledger_err *err)
{
    struct store_txn x;
    struct store_env *env = store_env_take(s);
    enum ledger_rc rc = store_txn_begin(env, &x, err);
    if (!rc) {
        rc = put_layers(&x, layers, n, erases, err);
        if (rc)
            store_txn_abort(&x);
        else
            rc = store_txn_commit(&x, reserve, err);
    }
    store_env_give(s, env);
    return rc;
}

/* ---- the thread ---- */

void store_apply_init(struct store_apply *a)
{
    thread_cond_init(&a->wake);
    thread_cond_init(&a->done);
}

/* With the lock: so many of the oldest layers, and at least one. */
static size_t for_one_transaction(const struct store *s)
{
    uint64_t rows = 0;
    size_t n = 0;
    while (n < s->n_layers && (n == 0 || rows + s->layers[n]->n_rows <= ROWS_ONCE))
        rows += s->layers[n++]->n_rows;
    return n;
}

static uint64_t need_of(const struct layer *l)
{
    return store_rows_need(l->n_rows, l->record.n);
}

/* With the lock, both. */
static void count_in(struct store_apply *a, const struct layer *l)
{
    a->batches += l->n_memory;
    a->rows += l->n_rows;
    a->need += need_of(l);
}

static void count_out(struct store_apply *a, const struct layer *l)
{
    a->batches -= l->n_memory;
    a->rows -= l->n_rows;
    a->need -= need_of(l);
}

/* With the lock. They are in the tables now. */
static void take_off(struct store *s, size_t n)
{
    struct store_apply *a = &s->apply;
    a->applied = s->layers[n - 1]->record.size;
    for (size_t i = 0; i < n; i++) {
        count_out(a, s->layers[i]);
        layer_drop(s->layers[i]);
    }
    s->n_layers -= n;
    memmove(s->layers, s->layers + n, s->n_layers * sizeof *s->layers);
}

static bool out_of_room(enum ledger_rc rc)
{
    return rc == LEDGER_EFULL || rc == LEDGER_ENOMEM;
}

/* With the lock, which is given up meanwhile. */
static void apply_some(struct store *s)
{
    struct store_apply *a = &s->apply;
    struct ledger_err err = {0};
    size_t n = a->taken = for_one_transaction(s);
    pthread_mutex_unlock(&s->lock);
    enum ledger_rc rc = store_apply_layers(s, s->layers, n, 0, false, &err); /* these places nobody else touches (join_latest) */
    pthread_mutex_lock(&s->lock);
    if (rc && a->why.rc == LEDGER_OK)
        logline(LOG_ERROR, "recorded batches cannot be put into the tables; they are in the journal", "error=%s", err.msg);
    a->why = err;
    a->why.rc = rc;
    a->broken |= rc && !out_of_room(rc);
    if (a->broken && a->broken_cb)
        a->broken_cb(a->ctx, &a->why);
    a->tries++;
    a->taken = 0;
    if (!rc)
        take_off(s, n);
    a->oldest_us = monotonic_us();
    pthread_cond_broadcast(&a->done);
}

/* With the lock: when to begin; INT64_MAX: there is nothing. */
static int64_t due_us(const struct store *s)
{
    const struct store_apply *a = &s->apply;
    if (!s->n_layers)
        return INT64_MAX;
    if (a->why.rc && !a->urgent)
        return a->oldest_us + AGAIN_US;
    bool now = a->urgent || a->stop || s->n_layers >= LAYERS_ENOUGH || a->rows >= ROWS_ENOUGH;
    return now ? 0 : a->oldest_us + DELAY_US;
}

static void *apply_main(void *store)
{
    struct store *s = store;
    struct store_apply *a = &s->apply;
    pthread_mutex_lock(&s->lock);
    while (!a->broken && !(a->stop && (!s->n_layers || a->why.rc))) {
        int64_t due = due_us(s);
        if (due == INT64_MAX) {
            pthread_cond_wait(&a->wake, &s->lock);
        } else if (monotonic_us() < due) {
            struct timespec until = {.tv_sec = due / 1000000, .tv_nsec = due % 1000000 * 1000};
            pthread_cond_timedwait(&a->wake, &s->lock, &until);
        } else {
            apply_some(s);
        }
    }
    pthread_cond_broadcast(&a->done);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static enum ledger_rc start(struct store *s, struct ledger_err *err)
{
    struct store_apply *a = &s->apply;
    if (a->started)
        return LEDGER_OK;
    if (thread_start(&a->thread, "tables", apply_main, s, err))
        return ledger_wrap(err, LEDGER_EFULL, "tables");
    a->started = true;
    return LEDGER_OK;
}

void store_apply_fini(struct store *s)
{
    struct store_apply *a = &s->apply;
    if (a->started) {
        pthread_mutex_lock(&s->lock);
        a->stop = true;
        pthread_cond_signal(&a->wake);
        pthread_mutex_unlock(&s->lock);
        pthread_join(a->thread, NULL);
    }
    while (s->n_layers)
        layer_drop(s->layers[--s->n_layers]);
    pthread_cond_destroy(&a->wake);
    pthread_cond_destroy(&a->done);
}

void store_watch(struct store *s, void (*broken_cb)(void *ctx, const struct ledger_err *err), void *ctx)
{
    pthread_mutex_lock(&s->lock);
    s->apply.broken_cb = broken_cb;
    s->apply.ctx = ctx;
    pthread_mutex_unlock(&s->lock);
}

/* ---- who records ---- */

/* With the lock. */
static enum ledger_rc trouble(const struct store *s, struct ledger_err *err)
{
    const struct store_apply *a = &s->apply;
    if (!a->broken && !a->why.rc)
        return LEDGER_OK;
    return ledger_fail(err, a->broken ? LEDGER_EIO : LEDGER_EFULL, "what was recorded before waits in the journal: %s", a->why.msg);
}

enum ledger_rc store_drain(struct store *s, struct ledger_err *err)
{
    struct store_apply *a = &s->apply;
    pthread_mutex_lock(&s->lock);
    a->urgent = true;
    const uint64_t before = a->tries; /* what failed is tried again now; if it fails again, that is the answer */
    while (s->n_layers && a->started && !a->broken && !(a->why.rc && a->tries != before)) {
        pthread_cond_signal(&a->wake);
        pthread_cond_wait(&a->done, &s->lock);
    }
    a->urgent = false;
    enum ledger_rc rc = s->n_layers || a->broken ? trouble(s, err) : LEDGER_OK;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* Until there is room for one more layer. */
static enum ledger_rc wait_for_place(struct store *s, struct ledger_err *err)
{
    struct store_apply *a = &s->apply;
    pthread_mutex_lock(&s->lock);
    while (!a->broken && !a->why.rc && (a->batches >= STORE_LAYERS_MAX || a->rows >= ROWS_MAX))
        pthread_cond_wait(&a->done, &s->lock);
    enum ledger_rc rc = trouble(s, err);
    journal_applied(s->journal, a->applied);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* With the lock. Readers ask every layer: of two neighbours that are alike in size one is made, and again, so that there are few, each row having
 * been copied a few times. Not those that are on their way into the tables. */
static void join_latest(struct store *s)
{
    while (s->n_layers >= s->apply.taken + 2) {
        struct layer **top = &s->layers[s->n_layers - 2];
        if (top[0]->n_rows > 2 * top[1]->n_rows || top[0]->n_rows + top[1]->n_rows > JOIN_ROWS)
            return;
        struct layer *l = layer_join(top[0], top[1]);
        if (!l)
            return;
        for (unsigned i = 0; i < 2; i++) {
            count_out(&s->apply, top[i]);
            layer_drop(top[i]);
        }
        count_in(&s->apply, l);
        top[0] = l;
        s->n_layers--;
    }
}

static void show(struct store *s, struct layer *l)
{
    struct store_apply *a = &s->apply;
    pthread_mutex_lock(&s->lock);
    if (!s->n_layers)
        a->oldest_us = monotonic_us();
    s->layers[s->n_layers++] = l;
    count_in(a, l);
    join_latest(s);
    if (s->n_layers == 1 || due_us(s) == 0)
        pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&s->lock);
}

enum ledger_rc store_push(struct store *s, struct layer *l, struct ledger_err *err)
{
    enum ledger_rc rc = start(s, err);
    if (!rc)
        rc = wait_for_place(s, err);
    if (!rc)
        rc = journal_append(s->journal, &l->record, err);
    if (rc == LEDGER_EBUSY && (rc = store_drain(s, err)) == LEDGER_OK) {
        journal_applied(s->journal, s->apply.applied); /* nobody else changes it while there are no layers */
        rc = journal_append(s->journal, &l->record, err);
    }
    if (!rc)
        show(s, l);
    return rc;
}

bool store_room_for(struct store *s, const struct layer *l, uint64_t reserve)
{
    uint64_t left, file;
    store_space(s, &left, &file);
    pthread_mutex_lock(&s->lock);
    uint64_t need = s->apply.need + need_of(l);
    bool well = !s->apply.why.rc && !s->apply.broken;
    pthread_mutex_unlock(&s->lock);
    return well && left >= need + reserve && file + need <= s->map_bytes;
}
