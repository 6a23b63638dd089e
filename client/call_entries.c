/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_entries: reading a stretch of the log so that nothing in it can be left out, added or moved. The leaf hashes of what comes are
 * appended to a tree that holds everything before; in the end its root must be the checkpoint's, or be proven a beginning of it.
 *
 * Steps: (1) if the tree over everything before is not known, the receipt of the entry before gives it: the left siblings on its
 * inclusion path are the peaks of that tree; (2) the entries; (3) if they end below the checkpoint, a consistency proof.
 *
 * The stretch is bounded by entries_max: below the checkpoint that is trusted already the request has an end; above it, the stream
 * is cancelled when enough has come.
 */
#include <string.h>

#include "core.h"

#define ENTRIES_MAX_DEFAULT 2048u

enum entries_step { ENTRIES_ROOT = 0, ENTRIES_READ, ENTRIES_PROOF };
struct entries_work {
    enum entries_step step;
    struct frontier frontier;
    struct read_entry *entries;
    size_t n, room;
    struct snapshot_claim newest; /* the last one that came */
    bool has_snapshot;
    uint64_t snapshot_size;
};

static size_t entries_max(const struct call *k)
{
    return k->rq.u.entries.entries_max ? k->rq.u.entries.entries_max : ENTRIES_MAX_DEFAULT;
}

static struct entries_work *work_of(struct call *k)
{
    const struct entries_cursor *at = &k->rq.u.entries.cursor;
    if (k->work)
        return k->work;
    struct entries_work *w = arena_alloc(k->reply->a, sizeof *w);
    if (!w)
        return NULL;
    if (at->next == 0 || at->ready)
        w->step = ENTRIES_READ;
    if (at->ready)
        w->frontier = at->frontier;
    k->work = w;
    return w;
}

/* Where the request ends: 0 means at the end of the log, or never when following. */
static uint64_t request_end(const struct call *k)
{
    const struct entries_request *rq = &k->rq.u.entries;
    uint64_t known = k->floor, limit = rq->cursor.next + entries_max(k);
    if (rq->end && rq->end <= limit)
        return rq->end;
    if (rq->cursor.next >= known && !rq->end)
        return 0;
    uint64_t end = rq->end && rq->end < known ? rq->end : known > rq->cursor.next ? known : rq->end;
    return end < limit ? end : limit;
}

static struct span entries_request(struct ledger_client *cl, struct call *k, struct arena *a, uint64_t id)
{
    const struct entries_request *rq = &k->rq.u.entries;
    struct entries_work *w = work_of(k);
    (void)cl;
    if (!w)
        return SPAN_NONE;
    if (w->step == ENTRIES_ROOT) {
        struct receipt_request before = {.by_index = true, .index = rq->cursor.next - 1};
        return rpc_put_receipt(a, id, &before, 0);
    }
    if (w->step == ENTRIES_PROOF)
        return rpc_put_consistency(a, id, w->frontier.size, w->snapshot_size);
    return rpc_put_entries(a, id, rq, request_end(k), STREAM_CREDIT);
}

/* ---- (1) the tree over everything before ---- */

static enum call_step take_root(struct ledger_client *cl, struct call *k, struct entries_work *w, const struct message *m)
{
    struct reply *r = k->reply;
    struct verifier vf = session_verifier(cl, r->a);
    const struct receipt_claim *claim = &m->u.receipt;
    struct entry_claim header_only = {.header = claim->entry.header, .withheld = true};
    struct entry e;
    if (m->kind != MESSAGE_RECEIPT)
        return step_fail(k, LEDGER_EPROTO, "the server answered another question than this one");
    if (!step_snapshot(cl, k, &claim->snapshot))
        return STEP_FAILED;
    if (!verify_entry(&vf, &header_only, &e, &r->verdict) ||
        !verify_inclusion(&vf, &e, &r->snapshot.cp, claim->path, &r->verdict))
        return step_bad(k);
    if (e.header.index + 1 != k->rq.u.entries.cursor.next ||
        !frontier_from_path(cl->c, e.header.index, r->snapshot.cp.size, &e.leaf, claim->path, &w->frontier))
        return step_fail(k, LEDGER_ETAMPER, "the server sent the receipt of another entry");
    /* The answer will stand on a checkpoint of its own, no older than this one. */
    k->floor = r->snapshot.cp.size;
    r->has_checkpoint = r->has_seal = false;
    w->step = ENTRIES_READ;
    return STEP_NEXT;
}

/* ---- (2) entries ---- */

/* For n more: where the request has an end, at once for all up to there. An entry is some kilobytes: to copy them costs as much as to hash them. */
static struct read_entry *room_for(const struct call *k, struct entries_work *w, size_t n)
{
    uint64_t first = k->rq.u.entries.cursor.next, end = request_end(k);
    if (w->n + n <= w->room)
        return w->entries + w->n;
    size_t room = w->n + n > 2 * w->room ? w->n + n : 2 * w->room;
    if (end > first && end - first > room)
        room = (size_t)(end - first);
    struct read_entry *all = arena_alloc(k->reply->a, room * sizeof *all);
    if (!all)
        return NULL;
    if (w->n)
        memcpy(all, w->entries, w->n * sizeof *all);
    w->entries = all;
    w->room = room;
    return all + w->n;
}

static enum call_step take_records(struct ledger_client *cl, struct call *k, struct entries_work *w,
                                   const struct message_entries *m)
{
    struct reply *r = k->reply;
    struct verifier vf = session_verifier(cl, r->a);
    struct read_entry *entries = m->n ? room_for(k, w, m->n) : NULL;
    if (m->n && !entries)
        return step_no_memory(k);
    if (m->n && m->first != w->frontier.size)
        return step_fail(k, LEDGER_ETAMPER, "the server sent entry %llu instead of entry %llu", (unsigned long long)m->first,
                         (unsigned long long)w->frontier.size);
    for (size_t i = 0; i < m->n; i++) {
        entries[i].raw = m->records[i];
        if (k->rq.u.entries.headers_only)
            entries[i].raw.withheld = true;
        if (!verify_entry(&vf, &entries[i].raw, &entries[i].entry, &r->verdict))
            return step_bad(k);
        if (entries[i].entry.header.index != w->frontier.size)
            return step_fail(k, LEDGER_ETAMPER, "at the place of entry %llu stands the header of entry %llu",
                             (unsigned long long)w->frontier.size, (unsigned long long)entries[i].entry.header.index);
        frontier_append(cl->c, &w->frontier, &entries[i].entry.leaf);
    }
    w->n += m->n;
    return STEP_MORE;
}

static enum call_step finish(struct call *k, struct entries_work *w)
{
    struct reply *r = k->reply;
    r->u.entries.entries = w->entries;
    r->u.entries.n = w->n;
    r->u.entries.cursor = (struct entries_cursor){w->frontier.size, true, w->frontier};
    r->u.entries.at_end = w->frontier.size == r->snapshot.cp.size;
    return STEP_TRUST;
}

/* All that is wanted has come: does it end where the checkpoint does, or below? */
static enum call_step close_stretch(struct ledger_client *cl, struct call *k, struct entries_work *w)
{
    struct reply *r = k->reply;
    struct hash root;
    if (!w->has_snapshot)
        return step_fail(k, LEDGER_EPROTO, "the server sent entries without a checkpoint that covers them");
    if (!step_snapshot(cl, k, &w->newest))
        return STEP_FAILED;
    if (w->frontier.size > r->snapshot.cp.size)
        return step_fail(k, LEDGER_ETAMPER, "the server sent entries that its checkpoint does not cover");
    uint64_t end = k->rq.u.entries.end && k->rq.u.entries.end < r->snapshot.cp.size ? k->rq.u.entries.end : r->snapshot.cp.size;
    if (w->n == 0 && w->frontier.size < end) /* or its reader would ask for ever */
        return step_fail(k, LEDGER_ETAMPER, "the server sent no entries although its checkpoint covers %llu",
                         (unsigned long long)r->snapshot.cp.size);
    if (w->frontier.size == 0)
        return finish(k, w);
    if (w->frontier.size < r->snapshot.cp.size) {
        w->snapshot_size = r->snapshot.cp.size;
        w->step = ENTRIES_PROOF;
        return STEP_NEXT;
    }
    frontier_root(cl->c, &w->frontier, &root);
    if (hash_eq(&root, &r->snapshot.cp.root))
        return finish(k, w);
    verdict_bad(&r->verdict, VERDICT_TAMPERED, VERDICT_NO_INDEX, "entries",
                "the %llu entries do not add up to the checkpoint's root", (unsigned long long)w->frontier.size);
    return step_bad(k);
}

/* A follower has what it waits for when a batch is whole: the newest snapshot ends where the entries do. A batch that comes in several
 * responses has its snapshot in the last one: however many entries have come, they are taken on to there. */
static bool has_enough(const struct call *k, const struct entries_work *w)
{
    struct checkpoint cp = {.size = 0};
    struct note note;
    bool many = w->n >= entries_max(k);
    if (!many && (!k->rq.u.entries.follow || w->n == 0))
        return false;
    struct arena_mark mark = arena_mark(k->reply->a);
    bool read = note_parse(k->reply->a, w->newest.note, &note, NULL) == LEDGER_OK &&
                checkpoint_parse(note.text, &cp, NULL) == LEDGER_OK;
    arena_release(k->reply->a, mark);
    return many ? !read || cp.size >= w->frontier.size : read && cp.size == w->frontier.size;
}

static void cancel(struct ledger_client *cl, struct call *k)
{
    struct arena_mark mark = arena_mark(cl->scratch);
    (void)session_send(cl, rpc_put_cancel(cl->scratch, session_id(cl), k->id));
    arena_release(cl->scratch, mark);
}

static enum call_step take_entries(struct ledger_client *cl, struct call *k, struct entries_work *w, const struct message *m)
{
    const struct message_entries *e = &m->u.entries;
    if (m->kind != MESSAGE_ENTRIES)
        return step_fail(k, LEDGER_EPROTO, "the server answered another question than this one");
    if (e->has_snapshot) {
        w->newest = e->snapshot;
        w->has_snapshot = true;
        /* At the quiet end of a log the time may run out on this checkpoint: by then it has to be a proven one. */
        if (k->rq.u.entries.follow && e->n == 0 && !step_snapshot(cl, k, &w->newest))
            return STEP_FAILED;
    }
    enum call_step step = take_records(cl, k, w, e);
    if (step != STEP_MORE)
        return step;
    if (m->more && !has_enough(k, w)) {
        step_credit(cl, k);
        return STEP_MORE;
    }
    step = close_stretch(cl, k, w);
    /* After that the stream's id is not ours any more: what still comes of it is ignored. */
    if (m->more && cl->state == SESSION_READY)
        cancel(cl, k);
    return step;
}

/* ---- (3) a beginning of the checkpoint's tree ---- */

static enum call_step take_proof(struct ledger_client *cl, struct call *k, struct entries_work *w, const struct message *m)
{
    struct reply *r = k->reply;
    struct verifier vf = session_verifier(cl, r->a);
    struct hash root;
    if (m->kind != MESSAGE_CONSISTENCY)
        return step_fail(k, LEDGER_EPROTO, "the server answered another question than this one");
    frontier_root(cl->c, &w->frontier, &root);
    if (!verify_consistency(&vf, w->frontier.size, &root, r->snapshot.cp.size, &r->snapshot.cp.root, m->u.consistency.path,
                            &r->verdict))
        return step_bad(k);
    return finish(k, w);
}

static enum call_step entries_answer(struct ledger_client *cl, struct call *k, const struct message *m)
{
    struct entries_work *w = k->work;
    if (w->step == ENTRIES_ROOT)
        return take_root(cl, k, w, m);
    return w->step == ENTRIES_READ ? take_entries(cl, k, w, m) : take_proof(cl, k, w, m);
}

/* A quiet log: nothing new until the time was over. What has come of a batch that is not whole yet comes again next time. */
static bool entries_expire(struct ledger_client *cl, struct call *k)
{
    struct reply *r = k->reply;
    struct entries_work *w = k->work;
    if (!k->rq.u.entries.follow || !w || w->step != ENTRIES_READ || !w->has_snapshot)
        return false;
    struct verifier vf = session_log_verifier(cl, r->a);
    if (!verify_snapshot(&vf, &w->newest, &r->snapshot, &r->verdict) || !trust_has(&cl->trust, &r->snapshot.cp))
        return false;
    r->has_checkpoint = r->has_seal = true;
    r->u.entries.cursor = k->rq.u.entries.cursor;
    r->u.entries.n = 0;
    r->u.entries.entries = NULL;
    r->u.entries.at_end = true;
    return true;
}

const struct call_ops ops_entries = {.request = entries_request, .answer = entries_answer, .expire = entries_expire,
                                     .stream = true};
