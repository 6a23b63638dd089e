/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_log: the log over journal and tables (log.h). Rows of a batch are gathered as the record of the journal that they become; a batch that
 * the journal is not for (it erases, it is very large, or there is next to no room) waits until everything before it is in the tables,
 * and goes there itself.
 */
#include <string.h>

#include "entry.h"
#include "log.h"
#include "machine.h"
#include "store_impl.h"

static const char rebuilding_key[] = "rebuilding";
static const uint8_t view_format[1] = {STORE_FORMAT}; /* of the view that is being made */
static const char erasing_key[] = STORE_ERASING_KEY;

/* Index and epoch of a record, from the front of its header (entry.h). */
static bool record_front(struct span record, uint64_t *index, uint64_t *epoch)
{
    struct entry_record rec;
    struct rbuf r;
    if (!entry_record_split(record, &rec))
        return false;
    rbuf_init(&r, rec.header);
    rbuf_u8(&r);
    *index = rbuf_u64(&r);
    *epoch = rbuf_u64(&r);
    return !r.failed;
}

static enum ledger_rc tail_of(struct span key, struct span record, uint64_t *size, uint64_t *epoch, struct ledger_err *err)
{
    uint64_t last = 0, index = 0;
    if (!store_key_number(key, &last) || !record_front(record, &index, epoch) || index != last)
        return ledger_fail(err, LEDGER_ETAMPER, "the last record of the log is malformed");
    *size = last + 1;
    return LEDGER_OK;
}

enum ledger_rc store_txn_tail(const struct store_env *e, MDB_txn *txn, uint64_t *size, uint64_t *epoch, struct ledger_err *err)
{
    struct table_walk w;
    struct layer_row last;
    *size = *epoch = 0;
    int code = table_walk_open(&w, e, txn, KV_LOG);
    if (!code)
        code = table_walk_last(&w, &last);
    table_walk_close(&w);
    if (code == MDB_NOTFOUND)
        return LEDGER_OK;
    if (code)
        return store_fail_mdb(err, code, "log");
    return tail_of(last.key, last.value, size, epoch, err);
}

static struct hash root_of(enum ledger_rc rc, struct span root)
{
    struct hash h = HASH_ZERO;
    if (!rc && root.n == HASH_LEN)
        memcpy(h.b, root.p, HASH_LEN);
    return h;
}

enum ledger_rc store_txn_root(const struct store_env *e, MDB_txn *txn, uint64_t *size, struct hash *root, struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    uint64_t epoch;
    struct span value = SPAN_NONE;
    enum ledger_rc rc = store_txn_tail(e, txn, size, &epoch, err);
    if (!rc)
        *root = root_of(store_table_get(e, txn, KV_CHECKPOINT, kv_key_u64(key, *size), &value), value);
    return rc;
}

static enum ledger_rc view_tail(struct store *s, uint64_t *size, uint64_t *epoch, struct ledger_err *err)
{
    struct span key, record;
    *size = *epoch = 0;
    enum ledger_rc rc = store_last(s->view, KV_LOG, &key, &record, err);
    if (rc == LEDGER_ENOTFOUND)
        return LEDGER_OK;
    return rc ? rc : tail_of(key, record, size, epoch, err);
}

/* ---- the batch ---- */

static enum ledger_rc view_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    const struct store *s = ctx;
    if (store_known_absent(s, t, key))
        return LEDGER_ENOTFOUND;
    struct kv kv = store_snapshot_kv(s->view);
    return kv_get(&kv, t, key, value);
}

static enum ledger_rc sink_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    struct store *s = ctx;
    if (!s->sink_rc)
        s->sink_rc = key.n == 0 || key.n > KV_KEY_MAX ? LEDGER_EINVAL : layer_sink_put(&s->sink, t, key, value);
    return s->sink_rc;
}

enum ledger_rc log_begin(struct store *s, struct kv *out, struct ledger_err *err)
{
    LEDGER_REQUIRE(!s->direct.txn && !s->view);
    if (s->mode != STORE_WRITE)
        return ledger_fail(err, LEDGER_EINVAL, "the store is open for reading only");
    s->sink_rc = LEDGER_OK;
    store_clear_dead_readers(s);
    *out = (struct kv){s, view_get, sink_put};
    enum ledger_rc rc = store_snapshot_open(s, &s->view, err);
    if (!rc)
        store_known_begin(s);
    return rc;
}

static enum log_outcome not_written(struct store *s, enum ledger_rc rc, struct ledger_err *err)
{
    store_abort(s);
    if (rc == LEDGER_EFULL || rc == LEDGER_ENOMEM)
        return LOG_FULL;
    if (rc == LEDGER_EINTERNAL) { /* a row of the log would have been written over */
        ledger_wrap(err, rc, "append");
        return LOG_CONFLICT;
    }
    return LOG_UNKNOWN;
}

/* The rows of the batch as a layer after `base` entries. */
static enum ledger_rc make_layer(struct store *s, uint64_t base, bool erases, struct layer **out, struct ledger_err *err)
{
    bool malformed = false;
    uint8_t at[KV_KEY_MAX];
    struct span root = SPAN_NONE;
    struct kv view = store_snapshot_kv(s->view);
    struct journal_record r = s->sink.r;
    s->sink = (struct layer_sink){0};
    r.base = r.size = base;
    r.before = root_of(kv_get(&view, KV_CHECKPOINT, kv_key_u64(at, base), &root), root);
    *out = r.p ? layer_new(&r, &malformed) : NULL;
    if (!*out)
        return ledger_fail(err, malformed ? LEDGER_EINVAL : LEDGER_ENOMEM, "append: %s", malformed ? "the batch is malformed" : "out of memory");
    struct layer *l = *out;
    uint64_t first = base, last = base;
    if (l->first[KV_LOG + 1] > l->first[KV_LOG] &&
        (!store_key_number(l->rows[l->first[KV_LOG]].key, &first) || !store_key_number(l->rows[l->first[KV_LOG + 1] - 1].key, &last) ||
         (first < base && !erases)))
        return ledger_fail(err, LEDGER_EINTERNAL, "an entry of the log would have been written over");
    l->record.size = l->first[KV_LOG + 1] > l->first[KV_LOG] ? last + 1 : base;
    return LEDGER_OK;
}

static uint64_t reserve_of(const struct store *s, const struct log_batch *b)
{
    return b->own ? s->reserve_bytes / 4 : b->recall ? s->reserve_bytes / 8 : s->reserve_bytes;
}

/* Takes the layer. */
static enum ledger_rc record(struct store *s, struct layer *l, const struct log_batch *b, struct ledger_err *err)
{
    uint64_t reserve = reserve_of(s, b);
    if (!b->erases && l->record.size > l->record.base && l->record.n <= JOURNAL_RECORD_MAX && store_room_for(s, l, reserve)) {
        enum ledger_rc rc = store_push(s, l, err);
        if (rc)
            layer_drop(l);
        return rc;
    }
    enum ledger_rc rc = store_drain(s, err);
    if (!rc)
        rc = store_apply_layers(s, &l, 1, reserve, b->erases, err);
    layer_drop(l);
    return rc;
}

enum log_outcome log_append(struct store *s, uint64_t expected_size, uint64_t epoch,
                            const struct log_batch *batch, struct ledger_err *err)
{
    uint64_t size, last_epoch;
    struct layer *l = NULL;
    LEDGER_REQUIRE(s->view);
    enum ledger_rc rc = view_tail(s, &size, &last_epoch, err);
    if (rc)
        return not_written(s, rc, err);
    if (size != expected_size || last_epoch > epoch) {
        store_abort(s);
        ledger_fail(err, LEDGER_EINTERNAL,
                    "append: the log has %llu entries and epoch %llu, expected were %llu and %llu: "
                    "there is another writer",
                    (unsigned long long)size, (unsigned long long)last_epoch,
                    (unsigned long long)expected_size, (unsigned long long)epoch);
        return LOG_CONFLICT;
    }
    rc = kv_mem_flush(batch->rows, err);
    if (!rc)
        rc = make_layer(s, size, batch->erases, &l, err);
    if (!rc)
        store_known_add_layer(s, l);
    if (rc) {
        layer_drop(l);
        return not_written(s, rc, err);
    }
    store_abort(s); /* the layer has it all */
    rc = store_said(record(s, l, batch, err), err);
    if (rc == LEDGER_OK)
        return LOG_APPENDED;
    return rc == LEDGER_EFULL || rc == LEDGER_ENOMEM ? LOG_FULL : LOG_UNKNOWN;
}

enum ledger_rc log_size(struct store_snapshot *sn, uint64_t *out, struct ledger_err *err)
{
    struct span key, value;
    enum ledger_rc rc = store_last(sn, KV_LOG, &key, &value, err);
    *out = 0;
    if (rc == LEDGER_ENOTFOUND)
        return LEDGER_OK;
    if (rc)
        return rc;
    if (!store_key_number(key, out))
        return ledger_fail(err, LEDGER_ETAMPER, "the last record of the log is malformed");
    *out += 1;
    return LEDGER_OK;
}

enum ledger_rc log_read(const struct kv *kv, uint64_t index, struct entry_record *out,
                        struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    struct span record;
    enum ledger_rc rc = kv_get(kv, KV_LOG, kv_key_u64(key, index), &record);
    if (rc)
        return ledger_fail(err, rc, "entry %llu: %s", (unsigned long long)index,
                           ledger_rc_text(rc));
    if (!entry_record_split(record, out))
        return ledger_fail(err, LEDGER_ETAMPER, "entry %llu: the record is malformed",
                           (unsigned long long)index);
    return LEDGER_OK;
}

static bool is_leaf(struct crypto *c, struct kv kv, uint64_t index, struct span header)
{
    struct hash leaf;
    merkle_leaf(c, header, &leaf);
    return kv_tree_has_leaf(&kv, index, &leaf);
}

enum ledger_rc log_read_header(struct crypto *c, struct arena *a, const struct kv *kv, uint64_t index, struct entry_record *out, struct header *h,
                               struct ledger_err *err)
{
    struct ledger_err why = {0};
    enum ledger_rc rc = log_read(kv, index, out, err);
    if (rc)
        return rc;
    rc = header_decode(a, out->header, h, &why);
    if (rc == LEDGER_EINVAL || (rc == LEDGER_EVERSION && !is_leaf(c, *kv, index, out->header)))
        rc = LEDGER_ETAMPER;
    if (rc == LEDGER_OK && h->index != index)
        rc = ledger_fail(&why, LEDGER_ETAMPER, "its header is another entry's");
    return rc ? ledger_fail(err, rc, "entry %llu: %s", (unsigned long long)index, why.msg) : LEDGER_OK;
}

enum ledger_rc log_checkpoint(struct store_snapshot *sn, uint64_t *size, struct hash *root,
                              struct ledger_err *err)
{
    struct span key, value;
    enum ledger_rc rc = store_last(sn, KV_CHECKPOINT, &key, &value, err);
    if (rc)
        return rc;
    if (!store_key_number(key, size) || value.n != HASH_LEN)
        return ledger_fail(err, LEDGER_ETAMPER, "the last checkpoint is malformed");
    memcpy(root->b, value.p, HASH_LEN);
    return LEDGER_OK;
}

bool log_rebuilding(const struct kv *kv)
{
    struct span value;
    return kv_get(kv, KV_META, span_str(rebuilding_key), &value) == LEDGER_OK;
}

bool log_rebuilding_same(const struct kv *kv)
{
    struct span value;
    return kv_get(kv, KV_META, span_str(rebuilding_key), &value) == LEDGER_OK && span_eq(value, span_of(view_format, sizeof view_format));
}

enum ledger_rc log_set_rebuilding(struct store *s, bool on, struct ledger_err *err)
{
    if (!on)
        return store_remove(s, KV_META, span_str(rebuilding_key), err);
    return store_replace(s, KV_META, span_str(rebuilding_key), span_of(view_format, sizeof view_format), err);
}

bool log_erasing(const struct kv *kv)
{
    struct span value;
    return kv_get(kv, KV_META, span_str(erasing_key), &value) == LEDGER_OK;
}

enum ledger_rc log_set_erasing(struct store *s, struct ledger_err *err)
{
    return store_replace(s, KV_META, span_str(erasing_key), SPAN_LIT("1"), err);
}
