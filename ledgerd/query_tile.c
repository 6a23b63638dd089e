/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_tile: tiles, bundles, the checkpoint and the figures without the protocol around them (tiles.h), read and checked like every
 * other answer.
 *
 * A bundle reads the headers alone: the events and blocks of the same records are not looked at, as nothing of them is given out.
 */
#include <stdlib.h>

#include "query_internal.h"
#include "store/log.h"
#include "tiles.h"

enum ledger_rc query_look(struct query *q, const struct query_env *env, struct ledger_err *err)
{
    *q = (struct query){.env = *env, .c = crypto_new(), .scratch = arena_new(QUERY_SCRATCH_BUDGET)};
    if (!q->c || !q->scratch)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    return view_open(q, err);
}

void query_look_away(struct query *q)
{
    view_close(q);
    arena_free(q->scratch);
    crypto_free(q->c);
}

enum ledger_rc tiles_checkpoint(const struct query_env *env, struct arena *a, struct span *note, struct ledger_err *err)
{
    struct query q;
    enum ledger_rc rc = query_look(&q, env, err);
    if (rc == LEDGER_OK)
        rc = build_note(&q, a, q.m.size, note, err);
    query_look_away(&q);
    return rc;
}

enum ledger_rc tiles_consistency(struct store *s, uint64_t size1, uint64_t size2, struct arena *a, struct span *path,
                                 struct ledger_err *err)
{
    struct query q;
    enum ledger_rc rc = query_look(&q, &(struct query_env){.store = s}, err);
    if (rc == LEDGER_OK && size2 > q.m.size)
        rc = ledger_fail(err, LEDGER_ENOTFOUND, "the ledger has %llu entries", (unsigned long long)q.m.size);
    if (rc == LEDGER_OK)
        rc = read_consistency(&q, a, size1, size2, path, err);
    query_look_away(&q);
    return rc;
}

enum ledger_rc tiles_root(struct store *s, uint64_t size, struct hash *root, struct ledger_err *err)
{
    struct query q;
    enum ledger_rc rc = query_look(&q, &(struct query_env){.store = s}, err);
    if (rc == LEDGER_OK && size > q.m.size)
        rc = ledger_fail(err, LEDGER_ENOTFOUND, "the ledger has %llu entries", (unsigned long long)q.m.size);
    if (rc == LEDGER_OK)
        rc = read_root(&q, size, root, err);
    query_look_away(&q);
    return rc;
}

enum ledger_rc tiles_figures(const struct query_env *env,
                             void (*put)(void *sink, const char *name, double value, const char *text), void *sink,
                             struct ledger_err *err)
{
    struct query q;
    enum ledger_rc rc = query_look(&q, env, err);
    if (rc == LEDGER_OK)
        status_figures(&q, put, sink);
    query_look_away(&q);
    return rc;
}

/* Do these hashes stand where the tile says, under the root that was committed with the latest batch? */
static enum ledger_rc check(struct query *q, const struct tile *t, const struct hash *hashes, struct ledger_err *err)
{
    struct tile_root root = {.size = q->m.size};
    char path[TILE_PATH_MAX];
    enum ledger_rc rc = read_checkpoint(q, root.size, &root.root, err);
    if (rc != LEDGER_OK || tile_check(q->c, &q->tree, t, hashes, &root))
        return rc;
    tile_path(t, path);
    return ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: %s does not lead to the checkpoint's root", path);
}

static enum ledger_rc read_hashes(struct query *q, const struct tile *t, struct arena *a, struct span *out,
                                  struct ledger_err *err)
{
    struct hash hashes[TILE_WIDTH];
    if (!tile_hashes(&q->tree, t, hashes))
        return ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: the tree of %llu entries has holes",
                           (unsigned long long)q->m.size);
    enum ledger_rc rc = check(q, t, hashes, err);
    if (rc != LEDGER_OK)
        return rc;
    *out = arena_copy(a, span_of(hashes, t->width * HASH_LEN));
    return out->p ? LEDGER_OK : no_room(err);
}

/* The header of an entry, borrowed from the store's page. */
static enum ledger_rc read_header(struct query *q, uint64_t index, struct span *header, struct ledger_err *err)
{
    struct entry_record rec = {0};
    struct ledger_err why = {0};
    enum ledger_rc rc = log_read(&q->m.kv, index, &rec, &why);
    *header = rec.header;
    return rc == LEDGER_ENOTFOUND ? read_bad(err, index, "missing") : rc ? read_failed(err, &why) : LEDGER_OK;
}

static enum ledger_rc read_bundle(struct query *q, const struct tile *t, struct arena *a, struct span *out,
                                  struct ledger_err *err)
{
    struct span headers[TILE_WIDTH];
    struct hash leaves[TILE_WIDTH];
    size_t total = 0;
    enum ledger_rc rc = LEDGER_OK;
    for (unsigned i = 0; rc == LEDGER_OK && i < t->width; i++) {
        rc = read_header(q, t->index * TILE_WIDTH + i, &headers[i], err);
        if (rc != LEDGER_OK)
            return rc;
        merkle_leaf(q->c, headers[i], &leaves[i]);
        total += 2 + headers[i].n;
    }
    rc = check(q, t, leaves, err);
    if (rc != LEDGER_OK)
        return rc;
    /* All of it at once, as a buffer that doubles would take three times the room. */
    struct wbuf w = {.a = a, .p = arena_alloc(a, total), .cap = total};
    if (!w.p)
        return no_room(err);
    for (unsigned i = 0; i < t->width; i++)
        if (!tile_bundle_add(&w, headers[i]))
            return read_bad(err, t->index * TILE_WIDTH + i, "its header is too long");
    *out = wbuf_span(&w);
    return out->p ? LEDGER_OK : no_room(err);
}

enum ledger_rc tiles_read(struct store *s, const struct tile *t, struct arena *a, struct span *out, struct ledger_err *err)
{
    struct query q;
    enum ledger_rc rc = query_look(&q, &(struct query_env){.store = s}, err);
    if (rc == LEDGER_OK && !tile_exists(t, q.m.size))
        rc = ledger_fail(err, LEDGER_ENOTFOUND, "a ledger of %llu entries does not have it", (unsigned long long)q.m.size);
    if (rc == LEDGER_OK)
        rc = t->entries ? read_bundle(&q, t, a, out, err) : read_hashes(&q, t, a, out, err);
    query_look_away(&q);
    return rc;
}
