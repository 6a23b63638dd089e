/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_known: keys of the indexes that are certainly not recorded. The writer asks both indexes for each event, and almost always there is nothing:
 * to find that out in the tables takes some dozen pages that are not at hand. So a filter (key_filter.h) has all keys: the writer adds what it
 * records, from the moment at which the filter was made, and a thread of its own adds what was there, from a snapshot that was opened after
 * that. When it has come to the end, the filter is asked first.
 *
 * A filter that has become too small is made anew. Its memory is bounded, so that with more than some five million entries it is less sure, and with more
 * than some ninety million there is none: then the tables are asked, as they are when they could not be read; whoever asks them will be told why.
 */
#include "../thread.h"
#include "log.h"
#include "store_impl.h"

#define BYTES_USUAL ((uint64_t)24 << 20)
#define BYTES_MAX ((uint64_t)64 << 20)
#define BITS_LEAST 2 /* for each key, for which it takes more than the usual: with fewer a filter says little */
#define ROOM_LEAST UINT64_C(250000)

static const enum kv_table indexes[] = {KV_REFERENCE, KV_EVENT};
#define INDEXES (sizeof indexes / sizeof indexes[0])

struct reading {
    struct store_known *k;
    enum kv_table t;
};

static bool add_key(void *ctx, struct span key, struct span value)
{
    const struct reading *r = ctx;
    (void)value;
    key_filter_add(r->k->filter, r->t, key);
    return !r->k->stop;
}

static void *read_all(void *store)
{
    struct store *s = store;
    struct store_known *k = &s->known;
    struct store_snapshot *sn;
    if (store_snapshot_open(s, &sn, NULL))
        return NULL;
    enum ledger_rc rc = LEDGER_OK;
    for (unsigned i = 0; i < INDEXES && !rc; i++)
        rc = store_scan(sn, indexes[i], SPAN_NONE, add_key, &(struct reading){k, indexes[i]}, NULL);
    store_snapshot_close(sn);
    if (!rc && !k->stop)
        k->whole = true;
    return NULL;
}

void store_known_end(struct store *s)
{
    struct store_known *k = &s->known;
    k->stop = true;
    if (k->started)
        pthread_join(k->thread, NULL);
    key_filter_free(k->filter);
    *k = (struct store_known){.tried = k->tried};
}

void store_known_begin(struct store *s)
{
    struct store_known *k = &s->known;
    uint64_t size;
    if ((k->tried && k->keys <= k->room) || log_size(s->view, &size, NULL))
        return;
    store_known_end(s);
    k->tried = true;
    k->keys = 2 * size;
    k->room = k->keys + k->keys / 2 + ROOM_LEAST;
    uint64_t bytes = k->room / 8 * KEY_FILTER_BITS, least = k->room / 8 * BITS_LEAST;
    if (bytes > BYTES_USUAL)
        bytes = least > BYTES_USUAL ? least : BYTES_USUAL;
    if (bytes > BYTES_MAX)
        k->room = UINT64_MAX;
    else
        k->filter = key_filter_new((size_t)bytes, k->room);
    k->started = k->filter && thread_start(&k->thread, "key filter", read_all, s, NULL) == LEDGER_OK;
}

bool store_known_absent(const struct store *s, enum kv_table t, struct span key)
{
    return s->known.whole && store_is_index(t) && key.n == KV_INDEX_KEY && key_filter_absent(s->known.filter, t, key);
}

void store_known_add(struct store *s, enum kv_table t, struct span key)
{
    if (!s->known.filter || !store_is_index(t) || key.n != KV_INDEX_KEY)
        return;
    key_filter_add(s->known.filter, t, key);
    s->known.keys++;
}

void store_known_add_layer(struct store *s, const struct layer *l)
{
    for (unsigned t = 0; t < INDEXES; t++)
        for (size_t i = l->first[indexes[t]]; i < l->first[indexes[t] + 1]; i++)
            store_known_add(s, indexes[t], l->rows[i].key);
}
