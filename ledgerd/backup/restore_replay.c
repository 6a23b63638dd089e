/* SPDX-License-Identifier: Apache-2.0 */
/* restore_replay: see restore.h. The machine writes log and view as the daemon's writer does; each transaction ends with a seal. */
#include <string.h>

#include "restore.h"

#define CHUNK_BYTES ((size_t)8 << 20)
#define CHUNK_BUDGET ((size_t)1 << 30)

struct replay {
    struct restore *r;
    struct kv txn;
    struct kv_mem *rows; /* over txn */
    struct machine m;
    struct read_ahead *ahead;
    uint64_t before;     /* size at the beginning of the transaction */
    uint64_t erasures;   /* events that ERASUREs have named */
    struct verdict v;
};

/* ---- known checkpoints ---- */

/* The root came out otherwise than the note says. Who signed it decides what that means. */
static enum ledger_rc differs(struct replay *p, const struct known *k, struct ledger_err *err)
{
    arena_reset(p->r->scratch);
    if (log_key_signed(p->r->c, p->r->scratch, machine_log_vkey(&p->m, k->size), k->note))
        return ledger_fail(err, LEDGER_ETAMPER, "refused: %.100s is a checkpoint of %llu entries, signed by this ledger, and the entries here make "
                           "another tree: keep both", k->from, (unsigned long long)k->size);
    return ledger_fail(err, LEDGER_EINVAL, "%.100s is not signed by the log key of %llu entries", k->from, (unsigned long long)k->size);
}

static enum ledger_rc compare(struct replay *p, struct ledger_err *err)
{
    struct hash root;
    struct sources *s = p->r->sources;
    struct merkle_store tree = machine_tree(&p->m);
    for (size_t i = 0; i < s->n_known; i++) {
        struct known *k = &s->known[i];
        if (k->reached || k->size > p->m.size)
            continue;
        k->reached = true;
        if (k->size != p->m.size || !merkle_root(p->r->c, &tree, k->size, &root) || !hash_eq(&root, &k->root))
            return differs(p, k, err);
        arena_reset(p->r->scratch);
        if (!log_key_signed(p->r->c, p->r->scratch, machine_log_vkey(&p->m, k->size), k->note))
            return ledger_fail(err, LEDGER_EINVAL, "%.100s is not signed by the log key of %llu entries", k->from, (unsigned long long)k->size);
    }
    return LEDGER_OK;
}

/* ---- entries ---- */

static void count_erasures(struct replay *p, const struct entry_record *e)
{
    struct header h;
    struct erasure x;
    if (header_decode(p->r->scratch, e->header, &h, NULL) == LEDGER_OK && h.kind == OWN_ERASURE &&
        erasure_decode(e->event, &x, NULL) == LEDGER_OK)
        p->erasures += x.n;
}

static enum ledger_rc read_source(void *ctx, uint64_t index, struct entry_record *out, const char **from, struct ledger_err *err)
{
    enum ledger_rc rc = sources_record(ctx, index, out, from, err);
    return rc == LEDGER_ENOTFOUND || rc == LEDGER_ETAMPER ? LEDGER_EINVAL : rc; /* all of them have to be there */
}

static enum ledger_rc replay_next(struct replay *p, struct ledger_err *err)
{
    const struct ahead_entry *e;
    uint64_t index = p->m.size;
    enum ledger_rc rc = read_ahead_next(p->ahead, &e, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = replay_one(&p->m, e, &p->v, err);
    if (rc == LEDGER_ETAMPER) { /* of what is in the source; who is to blame is not known */
        const struct ledger_err why = *err;
        rc = ledger_fail(err, LEDGER_EINVAL, "%.80s: %.150s", e->from, why.msg);
    }
    if (rc != LEDGER_OK)
        return rc;
    count_erasures(p, &e->record);
    p->r->refilled += e->from != p->r->sources->v[0].from;
    p->r->erased += e->record.erased_by != 0;
    progress_step(&p->r->progress, index);
    return p->m.batch_first == p->m.size ? compare(p, err) : LEDGER_OK;
}

static enum ledger_rc load(struct replay *p, struct ledger_err *err)
{
    p->m = (struct machine){.c = p->r->c, .a = p->r->scratch, .kv = kv_mem_kv(p->rows), .index_key = *store_index_key(p->r->store), .wire = true};
    enum ledger_rc rc = machine_load(&p->m, err);
    p->before = p->m.size;
    return rc == LEDGER_ENOTFOUND ? LEDGER_OK : rc;
}

/* One transaction: until a seal after enough rows, or the end. */
static enum ledger_rc replay_chunk(struct replay *p, struct ledger_err *err)
{
    enum ledger_rc rc = log_begin(p->r->store, &p->txn, err);
    if (rc == LEDGER_OK)
        rc = load(p, err);
    while (rc == LEDGER_OK && p->m.size < p->r->size) {
        rc = replay_next(p, err);
        if (p->m.batch_first == p->m.size && kv_mem_bytes(p->rows) >= CHUNK_BYTES)
            break;
    }
    if (rc == LEDGER_OK && p->m.batch_first != p->m.size)
        rc = ledger_fail(err, LEDGER_EINVAL, "the entries do not end with a seal");
    if (rc == LEDGER_OK) {
        /* An ERASURE may name content that a chunk before this one has put into the log. */
        const bool erases = p->erasures + p->m.erased_open != p->r->erased;
        const struct log_batch batch = {.rows = p->rows, .own = true, .erases = erases};
        enum log_outcome outcome = log_append(p->r->store, p->before, p->m.epoch, &batch, err);
        return outcome == LOG_APPENDED ? LEDGER_OK : outcome == LOG_FULL ? LEDGER_EFULL : LEDGER_EIO;
    }
    kv_mem_discard(p->rows);
    store_abort(p->r->store);
    return rc;
}

static enum ledger_rc make_store(struct restore *r, struct ledger_err *err)
{
    const struct store_options o = {.map_bytes = r->config.map_bytes, .reserve_bytes = r->config.reserve_bytes};
    enum ledger_rc rc = store_create(r->work, err);
    return rc == LEDGER_OK ? store_open_with(r->work, STORE_WRITE, &o, &r->store, err) : rc;
}

/* Content that a source still had, and that was erased later: it went through the file. */
static enum ledger_rc destroy_erased(struct replay *p, struct ledger_err *err)
{
    struct store_compaction done;
    if (p->m.erased_open)
        return ledger_fail(err, LEDGER_EINVAL, "%llu events are without content, and no ERASURE entry names them",
                           (unsigned long long)p->m.erased_open);
    if (p->erasures == p->r->erased)
        return LEDGER_OK;
    p->r->erased = p->erasures;
    return store_compact(p->r->store, &done, err);
}

enum ledger_rc restore_replay(struct restore *r, struct ledger_err *err)
{
    struct replay p = {.r = r};
    enum ledger_rc rc = make_store(r, err);
    if (rc != LEDGER_OK)
        return rc;
    p.rows = kv_mem_new(&p.txn, CHUNK_BUDGET);
    if (!p.rows)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    const struct ahead_source source = {.ctx = r->sources, .read = read_source};
    rc = read_ahead_start(&source, r->size, &p.ahead, err);
    progress_start(&r->progress, r->quiet || r->json, 0, r->size);
    while (rc == LEDGER_OK && p.m.size < r->size)
        rc = replay_chunk(&p, err);
    progress_end(&r->progress);
    read_ahead_stop(p.ahead);
    memcpy(r->origin, p.m.origin, sizeof p.m.origin);
    if (rc == LEDGER_OK)
        rc = destroy_erased(&p, err);
    kv_mem_free(p.rows);
    return rc;
}
