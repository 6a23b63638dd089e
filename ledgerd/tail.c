/* SPDX-License-Identifier: Apache-2.0 */
/* tail: see tail.h. LMDB returns rotten pages as data, so what the next signature will stand on is
 * derived again first. */
#include "tail.h"

#include <string.h>

#include "anchor.h"
#include "chain_check.h"
#include "log_key.h"
#include "log_note.h"
#include "store/log.h"

#define RESTORE_DOC "see \"Restoring\" in docs/operations.md"

static enum ledger_rc bad(struct ledger_err *err, uint64_t index, const char *what)
{
    return ledger_fail(err, LEDGER_ETAMPER, "entry %llu: %s; run `ledgerd check`",
                       (unsigned long long)index, what);
}

enum ledger_rc tail_log_key(struct store *s, const struct machine *m, struct note_key *out,
                            struct ledger_err *err)
{
    const struct secret_key *secret = store_log_key(s);
    enum ledger_rc rc = note_key_parse(m->c, span_str(m->log_vkey), out, err);
    if (rc)
        return ledger_wrap(err, LEDGER_ETAMPER, "the log key that the store names");
    struct span held = span_of(secret->pub, secret->pub_len);
    if (out->type != NOTE_ED25519 || (!span_eq(held, span_of(out->key, out->key_n)) && !log_key_unfinished(s, m)))
        return ledger_fail(err, LEDGER_EINVAL, "keys/log.key is not the key of the ledger %s",
                           m->origin);
    return LEDGER_OK;
}

static enum ledger_rc check_index_key(struct store *s, struct machine *m, struct ledger_err *err)
{
    struct entry_record r;
    struct genesis g;
    struct hash commit;
    enum ledger_rc rc = log_read(&m->kv, 0, &r, err);
    if (!rc)
        rc = genesis_decode(r.event, &g, err);
    if (rc)
        return ledger_wrap(err, rc == LEDGER_EVERSION ? rc : LEDGER_ETAMPER, "genesis entry");
    index_key_commit(m->c, store_index_key(s), &commit);
    if (!hash_eq(&commit, &g.index_key_commit))
        return ledger_fail(err, LEDGER_EINVAL,
                           "keys/index.key is not the one that the genesis entry commits to");
    return LEDGER_OK;
}

/* What one entry must agree with: its place, its content, its leaf in the tree, the entry before
 * it. */
static enum ledger_rc check_entry(struct machine *m, uint64_t index, int64_t *recorded_us,
                                  struct header *h, struct ledger_err *err)
{
    struct entry_record r;
    struct hash leaf;
    enum ledger_rc rc = log_read_header(m->c, m->a, &m->kv, index, &r, h, err);
    if (rc == LEDGER_ENOTFOUND)
        return bad(err, index, "the record is missing");
    if (rc)
        return rc;
    if (h->recorded_us < *recorded_us || h->epoch > m->epoch)
        return bad(err, index, "recorded time or epoch are out of order");
    *recorded_us = h->recorded_us;
    const struct content_fault *f = entry_content_fault(m->c, h, &r, NULL);
    if (f)
        return bad(err, index, f->both);
    merkle_leaf(m->c, r.header, &leaf);
    if (!kv_tree_has_leaf(&m->kv, index, &leaf))
        return bad(err, index, "the header is not the leaf that the tree has at its place");
    return LEDGER_OK;
}

/* Every stored node of the tree whose leaves all lie at or after `from`. */
static enum ledger_rc check_nodes(struct machine *m, uint64_t from, struct ledger_err *err)
{
    struct merkle_store tree = machine_tree(m);
    for (unsigned level = MERKLE_STEP; level < 64 && (m->size >> level) > 0; level += MERKLE_STEP) {
        uint64_t first = (from + (UINT64_C(1) << level) - 1) >> level;
        for (uint64_t i = first; i < m->size >> level; i++) {
            struct hash row[MERKLE_ROW], got;
            if (!tree.get(tree.ctx, level - MERKLE_STEP, i * MERKLE_ROW, MERKLE_ROW, row) || !tree.get(tree.ctx, level, i, 1, &got))
                return bad(err, i << level, "a node of the tree above it is missing");
            merkle_fold(m->c, row, MERKLE_ROW);
            if (!hash_eq(&row[0], &got))
                return bad(err, i << level,
                           "a node of the tree above it does not follow from its leaves");
        }
    }
    return LEDGER_OK;
}

static enum ledger_rc check_seal(struct machine *m, const struct header *h, struct ledger_err *err)
{
    struct hash leaf;
    struct merkle_store tree = machine_tree(m);
    if (m->seal != m->size - 1 || h->kind != OWN_SEAL)
        return bad(err, m->size - 1, "the last entry is no seal");
    if (!tree.get(tree.ctx, 0, m->seal, 1, &leaf) || !hash_eq(&leaf, &m->seal_leaf) ||
        !hash_eq(&h->map_root, &m->map_root) || h->chains != m->chains || h->epoch != m->epoch ||
        h->recorded_us != m->recorded_us)
        return bad(err, m->seal, "the view was not left by this seal");
    return LEDGER_OK;
}

/* The chain map, as far as one proof goes: the ledger's own chain is in it. */
static enum ledger_rc check_map(struct machine *m, struct ledger_err *err)
{
    struct hash key;
    struct map_proof *p = arena_alloc(m->a, sizeof *p);
    if (!p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    chain_key(m->c, &m->index_key, CHAIN_LEDGER, span_str(m->origin), &key);
    enum ledger_rc rc = chainmap_prove(m->c, NULL, &m->kv, &key, p, err);
    if (rc)
        return rc;
    if (p->end != MAP_PRESENT || !map_proof_verify(m->c, NULL, p, &key, &m->map_root))
        return bad(err, m->seal,
                   "the chain map does not lead from the seal's root to the ledger's own chain");
    return LEDGER_OK;
}

static enum ledger_rc check_checkpoint(struct store_snapshot *sn, struct tail *t,
                                       struct ledger_err *err)
{
    uint64_t size = 0;
    struct hash root, stored;
    enum ledger_rc rc = log_checkpoint(sn, &size, &stored, err);
    if (rc)
        return ledger_wrap(err, LEDGER_ETAMPER, "the last checkpoint");
    rc = machine_tree_load(&t->m, err);
    if (rc)
        return bad(err, t->m.size - 1, "a node of the tree above it is missing");
    frontier_root(t->m.c, &t->m.tree, &root);
    if (size != t->m.size || !hash_eq(&root, &stored))
        return bad(err, t->m.size - 1, "the tree's root is not the one of the last checkpoint");
    t->root = root;
    return LEDGER_OK;
}

static enum ledger_rc check_entries(struct machine *m, struct ledger_err *err)
{
    uint64_t from = m->size > TAIL_ENTRIES ? m->size - TAIL_ENTRIES : 0;
    int64_t recorded_us = INT64_MIN;
    struct header h = {0};
    enum ledger_rc rc = LEDGER_OK;
    for (uint64_t i = from; i < m->size && !rc; i++) {
        arena_reset(m->a);
        rc = check_entry(m, i, &recorded_us, &h, err);
    }
    if (!rc)
        rc = check_seal(m, &h, err);
    return rc ? rc : check_nodes(m, from, err);
}

enum ledger_rc tail_verify(struct store *s, struct store_snapshot *sn, struct crypto *c,
                           struct arena *a, struct tail *out, struct ledger_err *err)
{
    uint64_t size = 0;
    memset(out, 0, sizeof *out);
    struct machine *m = &out->m;
    *m = (struct machine){.c = c,
                          .a = a,
                          .kv = store_snapshot_kv(sn),
                          .index_key = *store_index_key(s),
                          .wire = true};
    if (log_rebuilding(&m->kv))
        return ledger_fail(err, LEDGER_EINVAL,
                           "a rebuild of the view was interrupted; run `ledgerd rebuild %s` again",
                           store_dir(s));
    enum ledger_rc rc = machine_load(m, err);
    if (rc)
        return rc;
    rc = log_size(sn, &size, err);
    if (!rc && (size != m->size || size == 0))
        rc = ledger_fail(err, LEDGER_ETAMPER,
                         "the log has %llu entries, its view %llu; run `ledgerd check`",
                         (unsigned long long)size, (unsigned long long)m->size);
    if (!rc)
        rc = tail_log_key(s, m, &out->key, err);
    if (!rc)
        rc = check_index_key(s, m, err);
    if (!rc)
        rc = chain_check_machine(m, err);
    if (!rc)
        rc = check_entries(m, err);
    if (!rc)
        rc = check_checkpoint(sn, out, err);
    return rc ? rc : check_map(m, err);
}

/* The anchor, if the log key of its size has signed it. */
static enum ledger_rc read_anchor(const char *path, struct machine *m, struct anchor_state *an, struct ledger_err *err)
{
    struct log_key_sizes *sizes = arena_alloc(m->a, sizeof *sizes);
    struct note_key *keys = arena_alloc(m->a, (LOG_KEY_CHANGES_MAX + 1) * sizeof *keys);
    if (!sizes || !keys)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = log_key_sizes(m, sizes, err);
    if (rc == LEDGER_OK)
        rc = log_key_list(m, sizes, keys, err);
    if (rc == LEDGER_OK)
        rc = anchor_read(path, m->c, keys, sizes->n + 1, an, err);
    if (rc)
        return rc;
    size_t i = 0;
    while (i < sizes->n && sizes->from[i] <= an->size)
        i++;
    if (an->signed_by >> i & 1)
        return LEDGER_OK;
    if (an->size > m->size)
        return ledger_fail(err, LEDGER_ETAMPER,
                           "rolled back: the store has %llu entries; %s says that %llu were signed, with a log key that this "
                           "store does not know; " RESTORE_DOC,
                           (unsigned long long)m->size, path, (unsigned long long)an->size);
    return ledger_fail(err, LEDGER_EINVAL, "the anchor %s: it is not signed by the log key of its size", path);
}

enum ledger_rc tail_anchor(const char *path, const struct tail *t, uint64_t *size,
                           struct ledger_err *err)
{
    struct anchor_state an;
    struct machine m = t->m;
    struct merkle_store tree = machine_tree(&m);
    struct hash root;
    enum ledger_rc rc = read_anchor(path, &m, &an, err);
    if (rc)
        return rc;
    *size = an.size;
    if (an.size > m.size)
        return ledger_fail(
            err, LEDGER_ETAMPER,
            "rolled back: the store has %llu entries, %s says that %llu were signed; " RESTORE_DOC,
            (unsigned long long)m.size, path, (unsigned long long)an.size);
    if (an.size == 0 || !merkle_root(m.c, &tree, an.size, &root) || !hash_eq(&root, &an.root))
        return ledger_fail(
            err, LEDGER_ETAMPER,
            "rolled back: the store has another root at size %llu than %s; " RESTORE_DOC,
            (unsigned long long)an.size, path);
    return LEDGER_OK;
}
