/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_read: the view of a query and its checked reads (query_internal.h). LMDB has no checksums
 * of its own, so what is read is compared with a hash that it must have before it becomes part of
 * an answer: a header with the tree's leaf, an event and a block with the header, a path with the
 * checkpoint's root.
 *
 * Failure modes: ETAMPER "stored data does not verify: entry N: …" when a check fails; the store's
 * own errors otherwise.
 */
#include <time.h>

#include "query_internal.h"
#include "state_history.h"
#include "store/log.h"


int64_t query_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

enum ledger_rc view_open(struct query *q, struct ledger_err *err)
{
    if (q->sn)
        return LEDGER_OK;
    enum ledger_rc rc = store_snapshot_open(q->env.store, &q->sn, err);
    if (rc != LEDGER_OK) {
        q->sn = NULL;
        return rc;
    }
    q->opened_ms = q->asked_ms = query_now_ms();
    q->m = (struct machine){
        .c = q->c,
        .a = q->scratch,
        .kv = store_snapshot_kv(q->sn),
        .index_key = *store_index_key(q->env.store),
        .wire = true,
    };
    struct ledger_err why = {.rc = LEDGER_OK};
    rc = machine_load(&q->m, &why);
    if (rc == LEDGER_ENOTFOUND)
        rc = ledger_fail(err, rc, "the ledger has no genesis entry yet");
    else if (rc != LEDGER_OK)
        rc = read_failed(err, &why);
    else if (q->m.size == 0 || q->m.batch_first != q->m.size)
        rc = ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: no seal at the end");
    if (rc != LEDGER_OK) {
        view_close(q);
        return rc;
    }
    q->tree = machine_tree(&q->m);
    return LEDGER_OK;
}

void view_close(struct query *q)
{
    if (q->sn)
        store_snapshot_close(q->sn);
    q->sn = NULL;
    q->pinned = false;
}

void view_going_on(struct query *q)
{
    q->asked_ms = query_now_ms();
}

enum ledger_rc view_check_time(const struct query *q, struct ledger_err *err)
{
    int64_t now = query_now_ms();
    if (now - (q->long_answer ? q->asked_ms : q->opened_ms) <= QUERY_PIN_MS_MAX && now - q->opened_ms <= QUERY_LONG_MS_MAX)
        return LEDGER_OK;
    return ledger_fail(err, LEDGER_ECANCELED,
                       "the answer took longer than %d seconds; ask for less",
                       QUERY_PIN_MS_MAX / 1000);
}

enum ledger_rc read_bad(struct ledger_err *err, uint64_t index, const char *what)
{
    return ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: entry %llu: %s",
                       (unsigned long long)index, what);
}

enum ledger_rc read_failed(struct ledger_err *err, const struct ledger_err *why)
{
    enum ledger_rc rc = why->rc == LEDGER_EINVAL ? LEDGER_ETAMPER : why->rc;
    if (rc != LEDGER_ETAMPER)
        return ledger_fail(err, rc, "reading failed: %s", why->msg);
    return ledger_fail(err, rc, "stored data does not verify: %s", why->msg);
}

/* The record's parts and the decoded header, still unchecked. */
static enum ledger_rc read_raw(struct query *q, uint64_t index, struct stored *out,
                               struct ledger_err *err)
{
    struct entry_record rec = {0};
    struct header h;
    struct ledger_err why = {0};
    enum ledger_rc rc = log_read_header(q->c, q->scratch, &q->m.kv, index, &rec, &h, &why);
    if (rc == LEDGER_ENOTFOUND)
        return read_bad(err, index, "missing");
    if (rc != LEDGER_OK)
        return read_failed(err, &why);
    *out = (struct stored){.header = rec.header, .event = rec.event, .block = rec.block, .opening = rec.opening,
                           .erased_by = rec.erased_by, .h = h};
    return LEDGER_OK;
}

static enum ledger_rc check_raw(struct query *q, uint64_t index, struct stored *e,
                                struct ledger_err *err)
{
    merkle_leaf(q->c, e->header, &e->leaf);
    if (!kv_tree_has_leaf(&q->m.kv, index, &e->leaf))
        return read_bad(err, index, "its header is not the leaf of the tree");
    /* What is kept in place of erased content is checked by whoever replays or opens a state with it. */
    const struct entry_record r = {.event = e->event, .block = e->block, .erased_by = e->erased_by};
    const struct content_fault *f = entry_content_fault(q->c, &e->h, &r, NULL);
    return f ? read_bad(err, index, f->both) : LEDGER_OK;
}

enum ledger_rc read_entry(struct query *q, uint64_t index, struct stored *out,
                          struct ledger_err *err)
{
    enum ledger_rc rc = read_raw(q, index, out, err);
    return rc == LEDGER_OK ? check_raw(q, index, out, err) : rc;
}

enum ledger_rc read_head(struct query *q, const struct chain *ch, struct stored *out, struct ledger_err *err)
{
    enum ledger_rc rc = read_raw(q, ch->head_index, out, err);
    if (rc != LEDGER_OK)
        return rc;
    merkle_leaf(q->c, out->header, &out->leaf);
    return hash_eq(&out->leaf, &ch->head) ? LEDGER_OK : read_bad(err, ch->head_index, "it is not the entry that its chain's record names");
}

enum ledger_rc read_root(struct query *q, uint64_t size, struct hash *root, struct ledger_err *err)
{
    if (!merkle_root(q->c, &q->tree, size, root))
        return ledger_fail(err, LEDGER_ETAMPER,
                           "stored data does not verify: the tree of %llu entries has holes",
                           (unsigned long long)size);
    return LEDGER_OK;
}

/* What KV_CHECKPOINT says, not yet compared with the tree. */
static enum ledger_rc read_committed_root(struct query *q, uint64_t size, struct hash *root,
                                          struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    struct span value;
    enum ledger_rc rc = kv_get(&q->m.kv, KV_CHECKPOINT, kv_key_u64(key, size), &value);
    struct rbuf r;
    if (rc == LEDGER_ENOTFOUND)
        return read_bad(err, size - 1, "no checkpoint at that size");
    if (rc != LEDGER_OK)
        return ledger_fail(err, rc, "reading the checkpoint of %llu entries failed",
                           (unsigned long long)size);
    rbuf_init(&r, value);
    *root = rbuf_hash(&r);
    return rbuf_done(&r) ? LEDGER_OK : read_bad(err, size - 1, "malformed checkpoint");
}

enum ledger_rc read_checkpoint(struct query *q, uint64_t size, struct hash *root,
                               struct ledger_err *err)
{
    struct hash tree;
    enum ledger_rc rc = read_committed_root(q, size, root, err);
    if (rc == LEDGER_OK)
        rc = read_root(q, size, &tree, err);
    if (rc == LEDGER_OK && !hash_eq(&tree, root))
        rc = read_bad(err, size - 1, "the committed root is not the tree's");
    return rc;
}

enum ledger_rc read_path(struct query *q, struct arena *a, const struct stored *e, uint64_t size,
                         struct span *path, struct ledger_err *err)
{
    struct merkle_path p;
    struct hash root;
    enum ledger_rc rc = read_committed_root(q, size, &root, err);
    if (rc != LEDGER_OK)
        return rc;
    if (!merkle_inclusion(q->c, &q->tree, e->h.index, size, &p) ||
        !merkle_verify_inclusion(q->c, e->h.index, size, &e->leaf, p.h, p.n, &root))
        return read_bad(err, e->h.index, "its inclusion path does not lead to the checkpoint");
    *path = arena_copy(a, span_of(p.h, p.n * HASH_LEN));
    return path->p ? LEDGER_OK : no_room(err);
}

enum ledger_rc read_chain(struct query *q, const struct hash *key, struct chain *out,
                          struct ledger_err *err)
{
    struct span record;
    struct ledger_err why = {.rc = LEDGER_OK};
    chain_clear_head(out);
    out->key = *key;
    enum ledger_rc rc = kv_get(&q->m.kv, KV_CHAIN, span_of(key->b, HASH_LEN), &record);
    if (rc == LEDGER_ENOTFOUND)
        return LEDGER_OK;
    if (rc != LEDGER_OK)
        return ledger_fail(err, rc, "reading a chain record failed");
    rc = chain_record_decode(record, out, &why);
    return rc == LEDGER_OK ? rc : read_failed(err, &why);
}

enum ledger_rc read_member(struct query *q, const struct chain *ch, unsigned log, uint64_t number,
                           struct span *out, struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    enum ledger_rc rc = kv_get(&q->m.kv, KV_MEMBER, kv_key_member(key, &ch->key, log, number), out);
    if (rc == LEDGER_ENOTFOUND)
        return ledger_fail(
            err, LEDGER_ETAMPER,
            "stored data does not verify: %s %.*s: member %llu of its log \"%s\" is missing",
            chain_type_name(ch->type), SPAN_FMT(ch->id), (unsigned long long)number,
            state_log_name(ch->type, log));
    return rc == LEDGER_OK ? rc : ledger_fail(err, rc, "reading a member failed");
}

/* Index of entry number `seq` of a chain. */
static enum ledger_rc read_history(struct query *q, const struct chain *ch, uint64_t seq, uint64_t *index,
                                   struct ledger_err *err)
{
    struct span step;
    enum ledger_rc rc = history_step_find(&q->m.kv, ch, seq, &step);
    if (rc != LEDGER_OK && rc != LEDGER_EINVAL)
        return ledger_fail(err, rc == LEDGER_ENOTFOUND ? LEDGER_ETAMPER : rc,
                           "stored data does not verify: entry %llu of a chain is not indexed", (unsigned long long)seq);
    return rc == LEDGER_OK && history_step_index(step, index) ? LEDGER_OK
                                       : ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: index of a chain");
}

enum ledger_rc read_before(struct query *q, const struct hash *key, uint64_t below,
                           struct stored *out, struct ledger_err *err)
{
    struct span record;
    struct chain ch;
    uint64_t index = 0, found = 0;
    ch.key = *key;
    enum ledger_rc rc = kv_get(&q->m.kv, KV_CHAIN, span_of(key->b, HASH_LEN), &record);
    if (rc == LEDGER_OK)
        rc = chain_record_decode(record, &ch, err);
    uint64_t low = 0, high = rc == LEDGER_OK ? ch.count : 0; /* the wanted one is the last below: number low − 1 */
    while (rc == LEDGER_OK && low < high) {
        uint64_t middle = low + (high - low) / 2;
        rc = read_history(q, &ch, middle, &index, err);
        if (index < below) {
            found = index;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (rc != LEDGER_OK)
        return rc;
    if (low == 0)
        return ledger_fail(err, LEDGER_ENOTFOUND, "the chain has no entry before entry %llu",
                           (unsigned long long)below);
    rc = read_raw(q, found, out, err);
    if (rc == LEDGER_OK && !header_link(&out->h, key))
        return ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: entry %llu is not of the chain that names it",
                           (unsigned long long)found);
    return rc == LEDGER_OK ? check_raw(q, found, out, err) : rc;
}
