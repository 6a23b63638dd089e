/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_log: the log over LMDB (log.h). The check of the tail and the rows of the batch are one
 * transaction, so nothing can come between them.
 */
#include <string.h>

#include "entry.h"
#include "log.h"
#include "store_impl.h"

static const char rebuilding_key[] = "rebuilding";
static const char erasing_key[] = STORE_ERASING_KEY;

static bool key_number(struct span key, uint64_t *out)
{
    struct rbuf r;
    rbuf_init(&r, key);
    *out = rbuf_u64(&r);
    return rbuf_done(&r);
}

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

/* Size of the log and epoch of its last entry, as the open write transaction sees them. */
static enum ledger_rc txn_tail(struct store *s, uint64_t *size, uint64_t *epoch,
                               struct ledger_err *err)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    uint64_t last = 0, index = 0;
    *size = *epoch = 0;
    int e = mdb_cursor_open(s->txn, s->env->dbi[KV_LOG], &cursor);
    if (e)
        return store_fail_mdb(err, e, "log");
    e = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
    mdb_cursor_close(cursor);
    if (e == MDB_NOTFOUND)
        return LEDGER_OK;
    if (e)
        return store_fail_mdb(err, e, "log");
    if (!key_number(span_of(k.mv_data, k.mv_size), &last) ||
        !record_front(span_of(v.mv_data, v.mv_size), &index, epoch) || index != last)
        return ledger_fail(err, LEDGER_ETAMPER, "the last record of the log is malformed");
    *size = last + 1;
    return LEDGER_OK;
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

enum log_outcome log_append(struct store *s, uint64_t expected_size, uint64_t epoch,
                            const struct log_batch *batch, struct ledger_err *err)
{
    uint64_t size, last_epoch;
    enum ledger_rc rc = txn_tail(s, &size, &last_epoch, err);
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
    if (rc)
        return not_written(s, rc, err);
    rc = batch->own      ? store_commit_own(s, err)
         : batch->recall ? store_commit_recall(s, err)
                         : store_commit(s, err);
    if (rc == LEDGER_OK)
        return LOG_APPENDED;
    return rc == LEDGER_EFULL ? LOG_FULL : LOG_UNKNOWN;
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
    if (!key_number(key, out))
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

enum ledger_rc log_checkpoint(struct store_snapshot *sn, uint64_t *size, struct hash *root,
                              struct ledger_err *err)
{
    struct span key, value;
    enum ledger_rc rc = store_last(sn, KV_CHECKPOINT, &key, &value, err);
    if (rc)
        return rc;
    if (!key_number(key, size) || value.n != HASH_LEN)
        return ledger_fail(err, LEDGER_ETAMPER, "the last checkpoint is malformed");
    memcpy(root->b, value.p, HASH_LEN);
    return LEDGER_OK;
}

bool log_rebuilding(const struct kv *kv)
{
    struct span value;
    return kv_get(kv, KV_META, span_str(rebuilding_key), &value) == LEDGER_OK;
}

enum ledger_rc log_set_rebuilding(struct store *s, bool on, struct ledger_err *err)
{
    if (!on)
        return store_remove(s, KV_META, span_str(rebuilding_key), err);
    return store_replace(s, KV_META, span_str(rebuilding_key), SPAN_LIT("1"), err);
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
