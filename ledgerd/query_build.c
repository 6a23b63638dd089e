/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_build: the parts that several answers are made of (query_internal.h): the signed note, the
 * snapshot, the record as a client may see it; and the two small queries that consist of nothing
 * else.
 *
 * A note is signed when it is asked for (log_note.h); only committed checkpoints can be read from a
 * snapshot of the store.
 */
#include <stdint.h>
#include <string.h>

#include "log_note.h"
#include "query_internal.h"

ProtobufCBinaryData bin(struct span s)
{
    /* protobuf-c's messages have no const; encoding only reads. */
    return (ProtobufCBinaryData){s.n, (uint8_t *)(uintptr_t)s.p};
}

char *borrow_text(const char *s)
{
    return (char *)(uintptr_t)s;
}

enum ledger_rc no_room(struct ledger_err *err)
{
    return ledger_fail(err, LEDGER_ENOMEM, "the answer is larger than the memory it may use");
}

bool plist_push(struct plist *l, struct arena *a, void *item)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16;
        void **p = arena_alloc(a, cap * sizeof *p);
        if (!p)
            return false;
        if (l->n)
            memcpy(p, l->p, l->n * sizeof *p);
        l->p = p;
        l->cap = cap;
    }
    l->p[l->n++] = item;
    return true;
}

/* This very checkpoint, if it is the one that the witnesses have cosigned. */
static bool cosigned_note(struct query *q, struct arena *a, const struct checkpoint *cp, struct span *note)
{
    struct witnessed_view w;
    if (!q->env.witnessed || witnessed_size(q->env.witnessed) != cp->size ||
        !witnessed_get(q->env.witnessed, a, &w) || w.size != cp->size || !hash_eq(&w.root, &cp->root))
        return false;
    *note = w.note;
    return true;
}

enum ledger_rc build_note(struct query *q, struct arena *a, uint64_t size, struct span *note,
                          struct ledger_err *err)
{
    struct checkpoint cp = {.origin = span_str(q->m.origin), .size = size};
    /* Never a signature over anything but what was committed: another root at this size would be a
     * fork. */
    enum ledger_rc rc = read_checkpoint(q, size, &cp.root, err);
    if (rc == LEDGER_OK)
        rc = cosigned_note(q, a, &cp, note) ? LEDGER_OK : log_note(q->env.store, &q->m, &cp, a, note, err);
    if (rc == LEDGER_EINVAL) /* the folder's fault, not the asker's */
        rc = err->rc = LEDGER_EINTERNAL;
    return rc == LEDGER_ENOMEM ? no_room(err) : rc;
}

/* The checkpoint's note and size, and the seal that ended the tree of `entries` leaves. */
static enum ledger_rc add_seal(struct query *q, struct reply *r, uint64_t size, uint64_t entries,
                               Ledgerd__V1__Snapshot *s, struct ledger_err *err)
{
    struct stored seal;
    struct span path;
    enum ledger_rc rc = read_entry(q, entries - 1, &seal, err);
    if (rc == LEDGER_OK && seal.h.kind != OWN_SEAL)
        rc = read_bad(err, entries - 1, "a seal was to be here");
    /* Proofs about chains are made from the view's map; they are worth something under the seal's
     * root. */
    if (rc == LEDGER_OK && entries == q->m.size && !hash_eq(&seal.h.map_root, &q->m.map_root))
        rc = read_bad(err, entries - 1, "the chain map's root is not the seal's");
    if (rc == LEDGER_OK)
        rc = read_path(q, r->a, &seal, size, &path, err);
    if (rc != LEDGER_OK)
        return rc;
    s->seal = bin(seal.header);
    s->seal_path = bin(path);
    r->bytes += seal.header.n + path.n;
    return LEDGER_OK;
}

static enum ledger_rc add_witnessed(struct query *q, struct reply *r, Ledgerd__V1__Snapshot *s,
                                    struct ledger_err *err)
{
    struct witnessed_view w;
    if (!q->env.witnessed)
        return LEDGER_OK;
    if (!witnessed_get(q->env.witnessed, r->a, &w))
        return no_room(err);
    if (w.size)
        s->witnessed = bin(w.note);
    r->bytes += w.note.n;
    return LEDGER_OK;
}

static Ledgerd__V1__Snapshot *new_snapshot(struct reply *r, struct span note)
{
    Ledgerd__V1__Snapshot *s = arena_alloc(r->a, sizeof *s);
    if (!s)
        return NULL;
    ledgerd__v1__snapshot__init(s);
    s->checkpoint = bin(note);
    r->bytes += note.n;
    return s;
}

enum ledger_rc build_snapshot(struct query *q, struct reply *r, uint64_t size,
                              Ledgerd__V1__Snapshot **out, struct ledger_err *err)
{
    struct span note;
    enum ledger_rc rc = build_note(q, r->a, size, &note, err);
    if (rc != LEDGER_OK)
        return rc;
    Ledgerd__V1__Snapshot *s = *out = new_snapshot(r, note);
    if (!s)
        return no_room(err);
    rc = add_seal(q, r, size, size, s, err);
    return rc == LEDGER_OK ? add_witnessed(q, r, s, err) : rc;
}

enum ledger_rc build_snapshot_at(struct query *q, struct reply *r, const struct witnessed_view *w,
                                 uint64_t entries, Ledgerd__V1__Snapshot **out, struct ledger_err *err)
{
    Ledgerd__V1__Snapshot *s = *out = new_snapshot(r, w->note);
    if (!s)
        return no_room(err);
    s->witnessed = bin(w->note);
    r->bytes += w->note.n;
    return add_seal(q, r, w->size, entries, s, err);
}

enum ledger_rc build_record(struct query *q, struct reply *r, const struct stored *e,
                            bool headers_only, Ledgerd__V1__Record **out, struct ledger_err *err)
{
    Ledgerd__V1__Record *rec = arena_alloc(r->a, sizeof *rec);
    if (!rec)
        return no_room(err);
    ledgerd__v1__record__init(rec);
    rec->header = bin(e->header);
    rec->withheld = !access_reads_kind(q->env.access, e->h.kind);
    r->bytes += e->header.n + 16;
    if (e->erased_by && !headers_only) {
        rec->erased_by = e->erased_by;
        rec->withheld = false;
        if (q->env.access->may_read_states)
            rec->opening = bin(e->opening);
        r->bytes += rec->opening.len;
    } else if (!rec->withheld && !headers_only) {
        rec->event = bin(e->event);
        rec->block = bin(e->block);
        r->bytes += e->event.n + e->block.n;
    }
    *out = rec;
    return LEDGER_OK;
}

enum ledger_rc next_checkpoint(struct query *q, struct reply *r, struct ledger_err *err)
{
    r->msg->answer_case = LEDGERD__V1__RESPONSE__ANSWER_CHECKPOINT;
    return build_snapshot(q, r, q->m.size, &r->msg->checkpoint, err);
}

enum ledger_rc read_consistency(struct query *q, struct arena *a, uint64_t size1, uint64_t size2,
                                struct span *path, struct ledger_err *err)
{
    struct merkle_path p;
    struct hash root1, root2;
    enum ledger_rc rc = read_root(q, size1, &root1, err);
    if (rc == LEDGER_OK)
        rc = read_root(q, size2, &root2, err);
    if (rc != LEDGER_OK)
        return rc;
    if (!merkle_consistency(q->c, &q->tree, size1, size2, &p) ||
        !merkle_verify_consistency(q->c, size1, size2, &root1, &root2, p.h, p.n))
        return ledger_fail(err, LEDGER_ETAMPER,
                           "stored data does not verify: the trees of %llu and %llu entries",
                           (unsigned long long)size1, (unsigned long long)size2);
    *path = arena_copy(a, span_of(p.h, p.n * HASH_LEN));
    return path->p ? LEDGER_OK : no_room(err);
}

enum ledger_rc next_consistency(struct query *q, struct reply *r, struct ledger_err *err)
{
    const Ledgerd__V1__ConsistencyRequest *req = q->request->consistency;
    uint64_t size1 = req->size1, size2 = req->size2 ? req->size2 : q->m.size;
    struct span path, note = SPAN_NONE;
    /* Asked before anything else: a client that knows a larger ledger than this one must hear that.
     */
    if (size1 > q->m.size || size2 > q->m.size)
        return ledger_fail(err, LEDGER_ENOTFOUND, "the ledger has %llu entries; %llu is beyond",
                           (unsigned long long)q->m.size,
                           (unsigned long long)(size1 > size2 ? size1 : size2));
    if (size1 == 0 || size1 > size2)
        return ledger_fail(err, LEDGER_EINVAL, "size1 is not 0 and not above size2");
    enum ledger_rc rc = read_consistency(q, r->a, size1, size2, &path, err);
    if (rc == LEDGER_OK && size2 == q->m.size)
        rc = build_note(q, r->a, size2, &note, err);
    Ledgerd__V1__ConsistencyResponse *out = arena_alloc(r->a, sizeof *out);
    if (rc == LEDGER_OK && !out)
        rc = no_room(err);
    if (rc != LEDGER_OK)
        return rc;
    ledgerd__v1__consistency_response__init(out);
    out->size1 = size1;
    out->size2 = size2;
    out->path = bin(path);
    out->checkpoint = bin(note);
    r->msg->answer_case = LEDGERD__V1__RESPONSE__ANSWER_CONSISTENCY;
    r->msg->consistency = out;
    return LEDGER_OK;
}
