/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_accuse: evidence of a rewritten history (core.h). A server that fails to connect two of its checkpoints of different sizes has
 * proven nothing against itself yet: a third party cannot know whether it was asked. So it is asked for something that binds it: for the
 * receipt of entry S-1, S being the size of the smaller checkpoint, under its newest one. The inclusion path of that place fixes the root of
 * the first S entries of the larger tree (frontier_from_path). If it is not the root that was signed for S, then both checkpoints are signed and
 * exclude each other, for anybody, without any server. A server that does not answer gains nothing: the two checkpoints are kept as before.
 */
#include <stdio.h>
#include <string.h>

#include "core.h"

#define ACCUSATION_BYTES_MAX ((size_t)4 << 20)

static bool read_checkpoint(struct ledger_client *cl, struct arena *a, struct span note, struct checkpoint *cp)
{
    struct policy_verdict trust;
    struct verdict v;
    return session_check_note(cl, a, note, cp, &trust, &v);
}

static bool copy_conflict(struct accusation *ac, const struct trust_conflict *conflict, const char *what)
{
    ac->conflict = (struct trust_conflict){arena_copy(ac->a, conflict->known), arena_copy(ac->a, conflict->received),
                                           conflict->proof.p ? arena_copy(ac->a, conflict->proof) : SPAN_NONE, SPAN_NONE};
    ac->what = arena_strdup(ac->a, span_str(what));
    return ac->conflict.known.p && ac->conflict.received.p && ac->what;
}

static void conclude(struct ledger_client *cl)
{
    struct accusation ac = cl->accusation;
    cl->accusation = (struct accusation){.a = NULL};
    session_tampered(cl, &ac.conflict, ac.what);
    arena_free(ac.a);
}

void session_accuse(struct ledger_client *cl, const struct trust_conflict *conflict, const char *what)
{
    struct accusation *ac = &cl->accusation;
    struct checkpoint known, received;
    *ac = (struct accusation){.a = arena_new(ACCUSATION_BYTES_MAX), .until_ms = conn_clock_ms() + ACCUSE_MS_MAX};
    if (!ac->a || !copy_conflict(ac, conflict, what) || !read_checkpoint(cl, ac->a, ac->conflict.known, &known) ||
        !read_checkpoint(cl, ac->a, ac->conflict.received, &received) || known.size == 0 || received.size == 0) {
        arena_free(ac->a);
        ac->a = NULL;
        session_tampered(cl, conflict, what);
        return;
    }
    bool grows = known.size <= received.size;
    ac->small = grows ? known : received;
    ac->small_note = grows ? ac->conflict.known : ac->conflict.received;
    struct receipt_request last = {.by_index = true, .index = ac->small.size - 1};
    struct arena_mark mark = arena_mark(cl->scratch);
    cl->state = SESSION_ACCUSING;
    ac->request_id = session_id(cl);
    struct span request = rpc_put_receipt(cl->scratch, ac->request_id, &last, 0);
    struct ledger_err ignored;
    bool sent = request.p && conn_send(cl->connection, request, &ignored) == LEDGER_OK;
    arena_release(cl->scratch, mark);
    if (!sent)
        conclude(cl);
}

/* The receipt in place of what is known so far, if it shows another beginning than the smaller checkpoint. */
static void use_receipt(struct ledger_client *cl, const struct receipt_claim *claim)
{
    struct accusation *ac = &cl->accusation;
    struct verifier vf = session_log_verifier(cl, ac->a);
    struct entry_claim header_only = {.header = claim->entry.header, .withheld = true};
    struct entry e;
    struct checkpoint large;
    struct frontier first;
    struct hash root;
    struct verdict v = {0};
    struct wbuf w;
    if (!read_checkpoint(cl, ac->a, claim->snapshot.note, &large) || !verify_entry(&vf, &header_only, &e, &v) ||
        e.header.index + 1 != ac->small.size || !verify_inclusion(&vf, &e, &large, claim->path, &v) ||
        !frontier_from_path(cl->c, e.header.index, large.size, &e.leaf, claim->path, &first))
        return;
    frontier_root(cl->c, &first, &root);
    if (hash_eq(&root, &ac->small.root))
        return;
    wbuf_init(&w, ac->a);
    wbuf_bytes(&w, e.leaf.b, HASH_LEN);
    wbuf_bytes(&w, claim->path.p, claim->path.n);
    struct trust_conflict found = {ac->small_note, arena_copy(ac->a, claim->snapshot.note), SPAN_NONE, wbuf_span(&w)};
    char what[160];
    snprintf(what, sizeof what, "the ledger has rewritten history: of its %llu entries the first %llu are not those that it signed",
             (unsigned long long)large.size, (unsigned long long)ac->small.size);
    char *text = arena_strdup(ac->a, span_str(what));
    if (!found.received.p || !found.last.p || !text)
        return;
    ac->conflict = found;
    ac->what = text;
}

void accuse_take(struct ledger_client *cl, const struct message *m)
{
    if (m && m->id != cl->accusation.request_id) /* an answer to something that has lost its meaning */
        return;
    if (m && m->kind == MESSAGE_RECEIPT)
        use_receipt(cl, &m->u.receipt);
    conclude(cl);
}
