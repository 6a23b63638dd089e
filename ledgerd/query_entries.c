/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_entries: the log itself, as a stream. Entries never change, so each response reads a view
 * of its own and nothing is pinned between two of them, however slowly the client reads.
 *
 * The stream has two parts. *Catching up* goes to the size that the first response's snapshot
 * covers. *Following*, if asked for, then goes batch by batch: a response holds records up to and
 * including one seal, and with it the snapshot of that size. A batch too large for one response
 * comes in several, of which the last has the snapshot. `end` may lie beyond the ledger: without
 * follow the stream then ends at the snapshot's size.
 */
#include "query_internal.h"

struct entries {
    uint64_t next;   /* index of the next record */
    uint64_t end;    /* of the request; UINT64_MAX: none */
    uint64_t target; /* end of the catching up */
};

static enum ledger_rc start(struct query *q, struct reply *r, struct entries **out,
                            struct ledger_err *err)
{
    const Ledgerd__V1__EntriesRequest *req = q->request->entries;
    if (req->end != 0 && req->first > req->end)
        return ledger_fail(err, LEDGER_EINVAL, "first is not above end");
    if (req->first > q->m.size)
        return ledger_fail(err, LEDGER_ENOTFOUND,
                           "the ledger has %llu entries; entry %llu is beyond",
                           (unsigned long long)q->m.size, (unsigned long long)req->first);
    struct entries *st = arena_alloc(q->a, sizeof *st);
    if (!st)
        return no_room(err);
    st->next = req->first;
    st->end = req->end ? req->end : UINT64_MAX;
    st->target = st->end < q->m.size ? st->end : q->m.size;
    *out = st;
    return build_snapshot(q, r, q->m.size, &r->msg->entries->snapshot, err);
}

/* Adds records while there are some below `limit` and the response has room. With `batch` it stops
 * after a seal, and *sealed says so. */
static enum ledger_rc add_records(struct query *q, struct reply *r, struct entries *st,
                                  uint64_t limit, bool batch, bool *sealed, struct plist *list,
                                  struct ledger_err *err)
{
    while (st->next < limit && r->bytes < r->bytes_max && !*sealed) {
        struct arena_mark mark = arena_mark(q->scratch);
        struct stored e;
        Ledgerd__V1__Record *rec;
        enum ledger_rc rc = read_entry(q, st->next, &e, err);
        if (rc == LEDGER_OK)
            rc = build_record(q, r, &e, q->request->entries->headers_only, &rec, err);
        if (rc != LEDGER_OK)
            return rc;
        if (!plist_push(list, r->a, rec))
            return no_room(err);
        *sealed = batch && e.h.kind == OWN_SEAL;
        st->next++;
        arena_release(q->scratch, mark);
    }
    return LEDGER_OK;
}

enum ledger_rc next_entries(struct query *q, struct reply *r, struct ledger_err *err)
{
    struct entries *st = q->state;
    struct plist list = {.n = 0};
    bool sealed = false;
    Ledgerd__V1__EntriesResponse *out = arena_alloc(r->a, sizeof *out);
    if (!out)
        return no_room(err);
    ledgerd__v1__entries_response__init(out);
    r->msg->answer_case = LEDGERD__V1__RESPONSE__ANSWER_ENTRIES;
    r->msg->entries = out;
    enum ledger_rc rc = LEDGER_OK;
    if (!st)
        rc = start(q, r, &st, err);
    if (rc != LEDGER_OK)
        return rc;
    bool following = q->state && st->next >= st->target;
    if (following && st->next >= q->m.size)
        return LEDGER_EBUSY;
    q->state = st;
    out->first = st->next;
    uint64_t limit = following ? (st->end < q->m.size ? st->end : q->m.size) : st->target;
    rc = add_records(q, r, st, limit, following, &sealed, &list, err);
    if (rc == LEDGER_OK && sealed)
        rc = build_snapshot(q, r, st->next, &out->snapshot, err);
    if (rc != LEDGER_OK)
        return rc;
    out->n_records = list.n;
    out->records = (Ledgerd__V1__Record **)list.p;
    r->msg->more = st->next < (q->request->entries->follow ? st->end : st->target);
    return LEDGER_OK;
}
