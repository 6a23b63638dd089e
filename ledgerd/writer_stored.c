/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer_stored: what the writer reads of the store. What rotted there must not become part of what is recorded and signed: a state would be
 * judged upon as if it were true, a node of the tree would give a root that no proof leads to. So a chain's record is compared with
 * its head's header when it is read (chain_check.h), the tree's right edge is kept in memory from the start on, where it gave the root that was signed
 * last (tail.h, machine_tree_load), and the chain map is compared with its old root while it is changed (chainmap.h). Members of lists and rows of indexes have no hash of their own that is near; the
 * scrub reads them.
 *
 * A record that is still, byte for byte, what it was when it was last compared with its head, or what was then written here, is not compared
 * again. What was written in a transaction that was dropped is harmless among these: it is not what is stored.
 *
 * Failure: ETAMPER. The batch is dropped, nothing was recorded, and the requests that can do without that row go on.
 */
#include <string.h>

#include "chain_check.h"
#include "pipeline_internal.h"
#include "store/log.h"

static struct known_record *known_slot(struct writer *w, struct span key)
{
    return &w->known[(key.p[0] << 8 | key.p[1]) & (KNOWN_RECORDS - 1)];
}

static bool is_known(struct writer *w, struct span key, struct span record)
{
    const struct known_record *k = known_slot(w, key);
    return k->n && span_eq(span_of(k->key.b, HASH_LEN), key) && span_eq(span_of(k->bytes, k->n), record);
}

static void note_known(struct writer *w, struct span key, struct span record)
{
    struct known_record *k = known_slot(w, key);
    k->n = record.n <= sizeof k->bytes ? record.n : 0;
    if (k->n == 0)
        return;
    memcpy(k->key.b, key.p, HASH_LEN);
    memcpy(k->bytes, record.p, record.n);
}

static enum ledger_rc checked_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    struct writer *w = ctx;
    struct hash h;
    enum ledger_rc rc = kv_get(&w->stored, t, key, value);
    if (rc != LEDGER_OK || t != KV_CHAIN || key.n != HASH_LEN || is_known(w, key, *value))
        return rc;
    struct arena_mark mark = arena_mark(w->a);
    struct chain *ch = arena_alloc(w->a, sizeof *ch);
    struct ledger_err why = {0};
    memcpy(h.b, key.p, HASH_LEN);
    rc = ch ? chain_check(w->c, w->a, &w->stored, &h, *value, ch, &why) : LEDGER_ENOMEM;
    arena_release(w->a, mark);
    if (rc == LEDGER_OK)
        note_known(w, key, *value);
    if (rc == LEDGER_ETAMPER && !w->rotten.rc)
        w->rotten = why;
    return rc;
}

static enum ledger_rc checked_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    struct writer *w = ctx;
    if (t == KV_CHAIN && key.n == HASH_LEN)
        note_known(w, key, value);
    return kv_put(&w->stored, t, key, value);
}

enum ledger_rc writer_begin(struct writer *w, struct ledger_err *err)
{
    w->rotten.rc = LEDGER_OK;
    enum ledger_rc rc = log_begin(w->p->o.store, &w->stored, err);
    w->txn = (struct kv){w, checked_get, checked_put};
    return rc;
}
