/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain_check: a chain's record against the header of its head, the machine's record against the ledger's own chain (chain_check.h).
 */
#include "chain_check.h"

#include <string.h>

#include "entry.h"
#include "store/log.h"

static enum ledger_rc bad(struct ledger_err *err, uint64_t index, const char *what)
{
    return ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: entry %llu: %s", (unsigned long long)index, what);
}

static enum ledger_rc check_head(struct crypto *c, struct arena *a, const struct kv *kv, const struct chain *ch, struct ledger_err *err)
{
    struct entry_record r;
    struct header h;
    struct hash leaf, commit;
    enum ledger_rc rc = log_read_header(c, a, kv, ch->head_index, &r, &h, err);
    if (rc == LEDGER_ENOTFOUND || rc == LEDGER_ETAMPER)
        return bad(err, ch->head_index, "it should be the head of a chain, and is missing or malformed");
    if (rc != LEDGER_OK)
        return rc;
    const struct link *link = header_link(&h, &ch->key);
    merkle_leaf(c, r.header, &leaf);
    if (!link || link->seq != ch->count - 1 || !hash_eq(&leaf, &ch->head))
        return bad(err, ch->head_index, "the record of a chain names it as the head, and it is not");
    if (!state_commit_decoded(c, a, ch, link->seq, &ch->salt, &commit))
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    return hash_eq(&commit, &link->state) ? LEDGER_OK : bad(err, ch->head_index, "it does not commit to the state in its chain's record");
}

enum ledger_rc chain_check(struct crypto *c, struct arena *a, const struct kv *kv, const struct hash *key, struct span record,
                           struct chain *out, struct ledger_err *err)
{
    struct arena_mark mark = arena_mark(a);
    out->key = *key;
    enum ledger_rc rc = chain_record_decode(record, out, err);
    if (rc == LEDGER_OK)
        rc = check_head(c, a, kv, out, err);
    else if (rc == LEDGER_EINVAL || rc == LEDGER_EVERSION) /* records are of the folder's format, which was asked for when it was opened */
        rc = ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: the record of a chain is malformed");
    arena_release(a, mark);
    return rc;
}

/* ---- the machine's numbers ---- */

static uint64_t algorithms_of(struct span parameters)
{
    struct rbuf r;
    uint64_t mask = 0;
    if (!parameters.n)
        return 0;
    rbuf_init(&r, parameters);
    for (unsigned n = rbuf_u16(&r); n > 0 && !r.failed; n--)
        mask |= UINT64_C(1) << (rbuf_u16(&r) & 63);
    return mask;
}

/* The log key before the present one stands in the entry that replaced it. */
static enum ledger_rc key_before(struct machine *m, struct span *out, struct ledger_err *err)
{
    struct entry_record r;
    struct log_key_change change;
    *out = SPAN_NONE;
    if (m->log_key_from == 0)
        return LEDGER_OK;
    enum ledger_rc rc = m->log_key_from < 3 ? LEDGER_EINVAL : log_read(&m->kv, m->log_key_from - 3, &r, err);
    if (rc == LEDGER_OK)
        rc = log_key_change_decode(r.event, &change, err);
    if (rc == LEDGER_OK)
        *out = change.old_vkey;
    return rc;
}

enum ledger_rc chain_check_machine(struct machine *m, struct ledger_err *err)
{
    struct hash key, leaf;
    struct span record, before;
    struct merkle_store tree = machine_tree(m);
    struct chain *ch = arena_alloc(m->a, sizeof *ch);
    if (!ch)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    chain_key(m->c, &m->index_key, CHAIN_LEDGER, span_str(m->origin), &key);
    enum ledger_rc rc = kv_get(&m->kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record);
    if (rc == LEDGER_OK)
        rc = chain_check(m->c, m->a, &m->kv, &key, record, ch, err);
    if (rc == LEDGER_ENOTFOUND)
        return ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: the ledger's own chain is missing");
    if (rc != LEDGER_OK)
        return rc;
    const struct ledger_state *l = &ch->ledger;
    rc = key_before(m, &before, err);
    if (rc == LEDGER_ENOMEM || rc == LEDGER_EIO)
        return rc;
    if (rc != LEDGER_OK || l->clock_tolerance_us != m->tolerance_us || l->heartbeat_s != m->heartbeat_s || l->epoch != m->epoch ||
        !span_eq(l->origin, span_str(m->origin)) || !span_eq(l->log_key, span_str(m->log_vkey)) || l->log_key_from != m->log_key_from ||
        !span_eq(before, span_str(m->log_vkey_before)) || algorithms_of(l->parameters) != m->algorithms || m->erased_open != 0 ||
        !tree.get(tree.ctx, 0, m->seal, 1, &leaf) || !hash_eq(&leaf, &m->seal_leaf))
        return bad(err, m->seal, "the ledger's numbers between batches are not those that it has left");
    return LEDGER_OK;
}
