/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer_erase: destroying the bytes of erased content, in the writer's thread (store_compact). Nothing is recorded meanwhile;
 * reading goes on. What cannot be done now, for want of disk space, is tried again: the mark in the store says that it is due.
 */
#include "log.h"
#include "pipeline_internal.h"
#include "store/log.h"

#define AGAIN_US (60 * US_PER_S)

static void tell(struct writer *w, bool erasing, const struct store_compaction *done)
{
    struct pipeline *p = w->p;
    w->compact_due_us = erasing ? monotonic_now_us() + AGAIN_US : INT64_MAX;
    pthread_mutex_lock(&p->lock);
    p->stats.erasing = erasing;
    if (done && !erasing) {
        p->stats.compactions++;
        p->stats.last_compaction_us = done->copy_us + done->wipe_us;
    }
    pthread_mutex_unlock(&p->lock);
}

void writer_compact_init(struct writer *w)
{
    tell(w, store_erasing(w->p->o.store), NULL);
}

enum ledger_rc writer_compact(struct writer *w, struct ledger_err *err)
{
    struct store_compaction done = {0};
    enum ledger_rc rc = store_compact(w->p->o.store, &done, err);
    if (rc && done.unknown)
        return ledger_wrap(err, LEDGER_EINTERNAL, "compaction");
    tell(w, rc != LEDGER_OK, &done);
    if (rc)
        logline(LOG_ERROR, "erased content is still in the data file", "error=%s", err->msg);
    else
        logline(LOG_INFO, "erased content was destroyed", "bytes_before=%llu bytes_after=%llu copy_ms=%lld wipe_ms=%lld",
                (unsigned long long)done.bytes_before, (unsigned long long)done.bytes_after,
                (long long)done.copy_us / 1000, (long long)done.wipe_us / 1000);
    return rc;
}
