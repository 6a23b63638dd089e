/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_replay: every entry of the log through the machine, over a kv that compares as it goes.
 *
 * Most tables only ever gain rows: what is derived for them is compared with what is stored at once
 * and need not be kept; of the tree's, whose nodes come one after the other, each node. Rows that change (states, the map, the machine's own) are kept in memory
 * and compared at the end. What the machine reads is therefore either derived or equal to what was
 * derived; a row that is stored before its time is not shown to it.
 */
#include <string.h>

#include "check_internal.h"

static bool grows_only(enum kv_table t)
{
    return t == KV_LOG || t == KV_EVENT || t == KV_REFERENCE || t == KV_MEMBER || t == KV_TREE ||
           t == KV_CHECKPOINT;
}

/* Is a stored row already derived, as far as the machine may know? Values of both indexes are entry
 * indexes. */
static bool visible(const struct check *k, enum kv_table t, struct span key, struct span value)
{
    struct rbuf r;
    if (t == KV_MEMBER || t == KV_TREE)
        return true; /* read only below counts that were derived */
    rbuf_init(&r, t == KV_LOG || t == KV_CHECKPOINT ? key : value);
    uint64_t n = rbuf_u64(&r);
    return rbuf_done(&r) && (t == KV_CHECKPOINT ? n <= k->tail.m.size : n < k->tail.m.size);
}

static enum ledger_rc replay_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    struct check *k = ctx;
    struct kv derived = kv_mem_kv(k->derived);
    enum ledger_rc rc = kv_get(&derived, t, key, value);
    if (rc != LEDGER_ENOTFOUND || !grows_only(t))
        return rc;
    rc = kv_get(&k->stored, t, key, value);
    if (rc == LEDGER_ETAMPER && (t == KV_EVENT || t == KV_REFERENCE))
        return LEDGER_ENOTFOUND; /* a malformed row of an index: what should be there is compared one by one (check_row) */
    return rc == LEDGER_OK && !visible(k, t, key, *value) ? LEDGER_ENOTFOUND : rc;
}

static enum ledger_rc replay_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    struct check *k = ctx;
    struct kv derived = kv_mem_kv(k->derived);
    struct span there;
    if (grows_only(t)) {
        bool new_row = t != KV_TREE || check_nodes_in(value) == 1;
        k->distinct[t] += new_row;
        bool same = t == KV_TREE ? check_node(k, key, value) : check_row(k, t, key, value);
        k->tally.rows[t] += same && new_row;
        /* A row of the tree that differed somewhere is derived to its end: what is stored of it is not read any more. */
        if (same && (t != KV_TREE || kv_get(&derived, t, key, &there) == LEDGER_ENOTFOUND))
            return LEDGER_OK;
    } else if (kv_get(&derived, t, key, &there) == LEDGER_ENOTFOUND) {
        k->distinct[t]++;
    }
    return kv_put(&derived, t, key, value);
}

enum ledger_rc replay_one(struct machine *m, const struct ahead_entry *e, struct verdict *v,
                          struct ledger_err *err)
{
    const struct replay_options o = {.pre = &e->pre, .verified = &e->entry};
    arena_reset(m->a);
    if (e->rc == LEDGER_OK)
        return machine_replay(m, &e->record, e->decoded ? &o : NULL, v, err);
    verdict_bad(v, VERDICT_DAMAGED, m->size, "record", "%s", e->rc == LEDGER_ENOTFOUND ? "is missing" : "is malformed");
    return ledger_fail(err, LEDGER_ETAMPER, "entry %llu: the record %s", (unsigned long long)m->size, v->text);
}

static unsigned kind_of(struct span header)
{
    struct rbuf r;
    rbuf_init(&r, header);
    rbuf_bytes(&r, 1 + 8 + 8 + 8); /* version, index, epoch, recorded time */
    return rbuf_u16(&r);
}

void check_count(struct tally *t, const struct entry_record *r)
{
    unsigned kind = kind_of(r->header);
    const struct kind_def *def = kind_find(kind);
    t->entries++;
    t->events += def != NULL;
    t->seals += kind == OWN_SEAL;
    t->own += !def && kind != OWN_SEAL;
    t->erased += r->erased_by != 0;
    if (!r->erased_by)
        t->signatures += def ? def->signatures : own_kind_signed(kind) ? OWN_SIGNATURES : 0;
}

/* After the replay had to end: what can still be said of an entry without the state that it was
 * judged against. */
static void check_behind(struct check *k, uint64_t index)
{
    struct machine *m = &k->tail.m;
    struct entry_record r;
    struct header h;
    struct hash leaf;
    struct ledger_err err;
    arena_reset(m->a);
    if (log_read(&k->stored, index, &r, &err) || header_decode(m->a, r.header, &h, &err)) {
        check_differ(k, index, "record", "%s", err.msg);
        return;
    }
    k->tally.hashed++;
    merkle_leaf(m->c, r.header, &leaf);
    if (h.index != index)
        check_differ(k, index, "index", "is not the place at which the entry stands");
    const struct content_fault *f = entry_content_fault(m->c, &h, &r, NULL);
    if (f)
        check_differ(k, index, f->what, "%s", f->text);
    if (!kv_tree_has_leaf(&k->stored, index, &leaf))
        check_differ(k, index, "leaf", "the header is not the leaf that the tree has at its place");
}

static void check_rest(struct check *k, uint64_t from)
{
    for (uint64_t i = from; i < k->log_size; i++) {
        check_behind(k, i);
        progress_step(&k->progress, i);
    }
}

/* What says that it is of a newer version is so only if it is what was recorded; else it is damaged. What is kept in place of erased content is of
 * the folder's format, which was asked for when it was opened. */
static bool is_newer(struct check *k, uint64_t index, const struct entry_record *r)
{
    struct hash leaf;
    merkle_leaf(k->c, r->header, &leaf);
    return !r->erased_by && kv_tree_has_leaf(&k->stored, index, &leaf);
}

static enum ledger_rc replay_entries(struct check *k, struct read_ahead *ahead, struct ledger_err *err)
{
    for (uint64_t i = 0; i < k->log_size; i++) {
        const struct ahead_entry *e;
        struct verdict v = {.kind = VERDICT_TAMPERED};
        enum ledger_rc rc = read_ahead_next(ahead, &e, err);
        if (rc)
            return rc;
        rc = replay_one(&k->tail.m, e, &v, err);
        if ((rc == LEDGER_EVERSION && is_newer(k, i, &e->record)) || rc == LEDGER_ENOMEM || rc == LEDGER_EIO)
            return rc;
        if (rc) {
            check_differ(k, i, v.what, "%s", v.text);
            check_rest(k, i + 1);
            return LEDGER_OK;
        }
        check_count(&k->tally, &e->record);
        progress_step(&k->progress, i);
    }
    k->replayed = true;
    return LEDGER_OK;
}

enum ledger_rc check_replay(struct check *k, struct ledger_err *err)
{
    struct machine *m = &k->tail.m;
    *m = (struct machine){.c = k->c,
                          .a = k->a,
                          .kv = {k, replay_get, replay_put},
                          .index_key = *store_index_key(k->store),
                          .wire = true};
    struct read_ahead *ahead;
    enum ledger_rc rc = read_ahead_log(k->store, "", 0, k->log_size, &ahead, err);
    if (!rc)
        rc = replay_entries(k, ahead, err);
    read_ahead_stop(ahead);
    if (rc || !k->replayed)
        return rc;
    if (m->size == 0)
        return ledger_fail(err, LEDGER_ENOTFOUND,
                           "there is no genesis entry: the ledger was never made");
    if (m->erased_open)
        check_differ(k, VERDICT_NO_INDEX, "erased content", "%llu events are without content, and no ERASURE entry names them",
                     (unsigned long long)m->erased_open);
    if (m->batch_first != m->size)
        check_differ(k, m->batch_first, "batch",
                     "entries after the last seal: no checkpoint covers them");
    return LEDGER_OK;
}
