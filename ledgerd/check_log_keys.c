/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_log_keys: are the kept checkpoints (log_note.h) what leads a client from the genesis's key to the one in force? What a client does
 * with them is done here, under a policy that lists the genesis's key alone.
 */
#include <stdlib.h>
#include <string.h>

#include "check_internal.h"
#include "log_note.h"

static enum ledger_rc first_policy(struct check *k, struct policy *p, struct ledger_err *err)
{
    struct entry_record r;
    struct genesis g;
    enum ledger_rc rc = log_read(&k->stored, 0, &r, err);
    if (rc == LEDGER_OK)
        rc = genesis_decode(r.event, &g, err);
    if (rc == LEDGER_OK)
        rc = note_key_parse(k->c, g.log_vkey, &p->logs[0], err);
    p->n_logs = 1;
    p->quorum_none = true;
    p->auditors = -1;
    return rc;
}

static enum ledger_rc claim(struct check *k, uint64_t from, struct log_key_claim *out, struct ledger_err *err)
{
    struct entry_record r;
    struct merkle_path path;
    struct merkle_store tree = kv_tree(&k->stored);
    enum ledger_rc rc = log_read(&k->stored, from - 3, &r, err);
    if (rc == LEDGER_OK && !merkle_inclusion(k->c, &tree, from - 3, from - 1, &path))
        rc = ledger_fail(err, LEDGER_ETAMPER, "the tree has holes");
    if (rc == LEDGER_OK)
        rc = log_note_kept(store_dir(k->store), from - 1, k->a, &out->note, err);
    if (rc != LEDGER_OK)
        return rc;
    out->header = r.header;
    out->payload = r.event;
    out->path = arena_copy(k->a, span_of(path.h, path.n * HASH_LEN));
    return out->path.p ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

/* False: what follows cannot be looked at. */
static bool check_change(struct check *k, struct policy *p, uint64_t from)
{
    struct log_key_claim c;
    struct ledger_err err = {0};
    struct verdict v = {0};
    unsigned taken;
    size_t failed;
    arena_reset(k->a);
    bool there = claim(k, from, &c, &err) == LEDGER_OK;
    if (!there)
        check_differ(k, from - 3, "log key", "%s: take log-keys/ from a backup", err.msg);
    else if (log_keys_follow(k->c, k->a, k->tail.m.origin, p, &c, 1, &taken, &failed, &v) && taken == 1)
        return true;
    if (there)
        check_differ(k, from - 3, "log key", "log-keys/%llu: %s", (unsigned long long)(from - 1), v.text[0] ? v.text : "it is of other keys");
    return false;
}

void check_log_keys(struct check *k)
{
    struct log_key_sizes sizes;
    struct ledger_err err = {0};
    struct policy *p = calloc(1, sizeof *p);
    struct machine m = k->tail.m;
    m.kv = k->stored;
    arena_reset(k->a);
    if (!p || first_policy(k, p, &err) != LEDGER_OK || log_key_sizes(&m, &sizes, &err) != LEDGER_OK) {
        check_differ(k, VERDICT_NO_INDEX, "log key", "%s", p ? err.msg : "out of memory");
        free(p);
        return;
    }
    /* The latest is kept when the rotation is finished: at the next start, if it was interrupted. */
    size_t n = sizes.n - (sizes.n > 0 && log_key_unfinished(k->store, &m));
    for (size_t i = 0; i < n && check_change(k, p, sizes.from[i]); i++)
        ;
    free(p);
}
