/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_witnessed: waiting for a checkpoint that the ledger's witnesses have cosigned (WitnessedRequest, and receipts at that level).
 *
 * A query that waits gives its view back and is asked again when a checkpoint was cosigned; it ends with TIMEOUT when its time is
 * over. The cosigned checkpoint was kept before the view was opened or after it: in the latter case the view is opened anew, so that it
 * covers what the checkpoint covers.
 */
#include "query_internal.h"

#define WAIT_MS_MAX 60000

enum ledger_rc await_witnessed(struct query *q, struct reply *r, uint64_t size, uint32_t wait_ms, struct witnessed_view *out,
                               struct ledger_err *err)
{
    if (!q->env.witnessed)
        return ledger_fail(err, LEDGER_ENOTFOUND, "this ledger has no witnesses: none are configured");
    if (size > q->m.size)
        return ledger_fail(err, LEDGER_ENOTFOUND, "the ledger has %llu entries; %llu is beyond", (unsigned long long)q->m.size,
                           (unsigned long long)size);
    if (!witnessed_get(q->env.witnessed, r->a, out))
        return no_room(err);
    if (out->size && out->size >= size) {
        if (out->size <= q->m.size)
            return LEDGER_OK;
        view_close(q);
        return view_open(q, err);
    }
    int64_t now = query_now_ms();
    if (q->wait_until_ms == 0)
        q->wait_until_ms = now + (wait_ms < WAIT_MS_MAX ? wait_ms : WAIT_MS_MAX);
    if (now < q->wait_until_ms)
        return LEDGER_EBUSY;
    return ledger_fail(err, LEDGER_ECANCELED, "no quorum of the ledger's witnesses has cosigned %llu entries yet; the newest that "
                       "they have cosigned has %llu", (unsigned long long)size, (unsigned long long)out->size);
}

enum ledger_rc next_witnessed(struct query *q, struct reply *r, struct ledger_err *err)
{
    const Ledgerd__V1__WitnessedRequest *req = q->request->witnessed;
    struct witnessed_view w;
    struct stored seal;
    enum ledger_rc rc = LEDGER_OK;
    if (req->size && req->size <= q->m.size) {
        rc = read_entry(q, req->size - 1, &seal, err);
        if (rc == LEDGER_OK && seal.h.kind != OWN_SEAL)
            rc = ledger_fail(err, LEDGER_EINVAL, "no checkpoint has %llu entries", (unsigned long long)req->size);
    }
    if (rc == LEDGER_OK)
        rc = await_witnessed(q, r, req->size, req->wait_ms, &w, err);
    if (rc != LEDGER_OK)
        return rc;
    r->msg->answer_case = LEDGERD__V1__RESPONSE__ANSWER_CHECKPOINT;
    return build_snapshot_at(q, r, &w, req->size ? req->size : w.size, &r->msg->checkpoint, err);
}
