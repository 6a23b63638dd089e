/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_recent: the batches that a journal holds, as layers. What the tables have already is passed over; the rest has to follow on them
 * without a gap, or something is missing that was acknowledged.
 */
#include <string.h>

#include "store_impl.h"

struct found {
    struct layer **layers;
    size_t n;
    struct ledger_err *err;
};

static enum ledger_rc take(void *ctx, struct journal_record *r)
{
    struct found *f = ctx;
    bool malformed;
    uint64_t base = r->base;
    /* The files are a few megabytes, but their records may be small: only the latest can be missing in the tables. */
    if (f->n == STORE_LAYERS_MAX) {
        layer_drop(f->layers[0]);
        memmove(f->layers, f->layers + 1, --f->n * sizeof *f->layers);
    }
    struct layer *l = layer_new(r, &malformed);
    if (!l)
        return malformed ? ledger_fail(f->err, LEDGER_ETAMPER, "the journal: the batch after entry %llu is malformed", (unsigned long long)base)
                         : ledger_fail(f->err, LEDGER_ENOMEM, "out of memory");
    f->layers[f->n++] = l;
    return LEDGER_OK;
}

static void drop_all(struct layer **layers, size_t *n)
{
    while (*n)
        layer_drop(layers[--*n]);
}

enum ledger_rc store_recent_read(const char *dir, struct layer *out[STORE_LAYERS_MAX], size_t *n, struct ledger_err *err)
{
    struct found f = {.layers = out, .err = err};
    enum ledger_rc rc = journal_read(dir, take, &f, err);
    if (rc)
        drop_all(out, &f.n);
    *n = f.n;
    return rc;
}

/* Root of the checkpoint at the end of a layer. */
static struct hash root_after(const struct layer *l)
{
    uint8_t key[KV_KEY_MAX];
    struct span root, k = kv_key_u64(key, l->record.size);
    struct hash h = HASH_ZERO;
    if (layer_get(l, kv_hash(KV_CHECKPOINT, k), KV_CHECKPOINT, k, &root) && root.n == HASH_LEN)
        memcpy(h.b, root.p, HASH_LEN);
    return h;
}

static enum ledger_rc missing(struct ledger_err *err, uint64_t from, uint64_t at)
{
    return ledger_fail(err, LEDGER_ETAMPER,
                       "the journal has entries from %llu on, what is before it ends at %llu: recorded entries are missing; see \"Restoring\" in "
                       "docs/operations.md",
                       (unsigned long long)from, (unsigned long long)at);
}

enum ledger_rc store_recent_stack(struct layer *layers[STORE_LAYERS_MAX], size_t *n, uint64_t size, const struct hash *root, struct ledger_err *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (layers[i]->record.size > size)
            layers[kept++] = layers[i];
        else
            layer_drop(layers[i]);
    *n = kept;
    struct hash before = *root;
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < kept && !rc; i++) {
        const struct layer *l = layers[i];
        if (l->record.base != size)
            rc = missing(err, l->record.base, size);
        else if (!hash_eq(&l->record.before, &before))
            rc = ledger_fail(err, LEDGER_ETAMPER, "the journal goes on from another history than the one of the tables at size %llu; see \"Restoring\" in "
                             "docs/operations.md", (unsigned long long)size);
        size = l->record.size;
        before = root_after(l);
    }
    if (rc)
        drop_all(layers, n);
    return rc;
}
