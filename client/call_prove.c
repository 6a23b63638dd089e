/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_prove: gathering chain proofs from a stream and verifying each chain when it is whole, while the server makes the next ones. A chain
 * may come in several parts: what follows under the same name without a map proof continues it.
 *
 * Checked: every chain that was named is answered, each under the one snapshot of the stream; members and histories are whole. The
 * named chains come first in the reply.
 */
#include <string.h>

#include "core.h"

#define LOGS_MAX CHAIN_LOGS_MAX

struct list_part {
    struct list_part *next;
    const void *p; /* spans of members, or claims of a history */
    size_t n;
};
struct list {
    struct list_part *first, **end;
    size_t n;
    bool given;
};
struct gathered {
    struct message_proof proof; /* of the first part */
    struct list logs[LOGS_MAX];
    struct list history;
};
/* Records by 1 + index, for those that are sent again by their index alone. Open addressing, at least half empty. */
struct sent_record {
    uint64_t key;
    struct entry_claim claim;
    struct known_header *head;  /* of a chain's head: once it came again */
    const struct entry *entry;  /* of a history: once it was verified */
};
struct sent_records { struct sent_record *places; size_t n, n_places; };
struct prove_work {
    struct sent_records sent, heads;
    struct gathered current; /* the chain whose parts are coming */
    bool gathering, snapshot;
    struct proven_chain pc;  /* it, while it is being verified */
    struct map_known *known;
    struct proven_subject *subjects;
    size_t n, cap;
};

static struct span prove_request(struct ledger_client *cl, struct call *k, struct arena *a, uint64_t id)
{
    (void)cl;
    return rpc_put_prove(a, id, &k->rq.u.prove, STREAM_CREDIT);
}

static bool list_add(struct arena *a, struct list *l, const void *p, size_t n)
{
    struct list_part *part = arena_alloc(a, sizeof *part);
    if (!part)
        return false;
    *part = (struct list_part){NULL, p, n};
    if (!l->end)
        l->end = &l->first;
    *l->end = part;
    l->end = &part->next;
    l->n += n;
    l->given = true;
    return true;
}

/* All elements in one array. */
static void *list_join(struct arena *a, const struct list *l, size_t size)
{
    uint8_t *out = arena_alloc(a, (l->n + 1) * size);
    size_t at = 0;
    for (const struct list_part *p = l->first; out && p; p = p->next) {
        memcpy(out + at, p->p, p->n * size);
        at += p->n * size;
    }
    return out;
}

/* ---- gathering ---- */

static bool continues(const struct prove_work *w, const struct message_proof *p)
{
    const struct chain_claim *c = &w->current.proof.claim;
    return w->gathering && p->claim.map_proof.n == 0 && c->type == p->claim.type && span_eq(c->id, p->claim.id);
}

static struct sent_record *sent_place(struct sent_record *places, size_t n, uint64_t key)
{
    size_t i = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (n - 1);
    while (places[i].key && places[i].key != key)
        i = (i + 1) & (n - 1);
    return &places[i];
}

/* 1 + index; 0: it has none. Whether this is a header, is found out when it is verified. */
static uint64_t key_of(struct span header)
{
    struct rbuf r;
    rbuf_init(&r, header);
    (void)rbuf_u8(&r); /* version */
    uint64_t index = rbuf_u64(&r);
    return r.failed ? 0 : index + 1;
}

static bool sent_keep(struct arena *a, struct sent_records *s, const struct entry_claim *e)
{
    uint64_t key = key_of(e->header);
    if (key == 0)
        return true;
    if (2 * (s->n + 1) > s->n_places) {
        size_t n = s->n_places ? 2 * s->n_places : 1024;
        struct sent_record *places = arena_alloc(a, n * sizeof *places);
        if (!places)
            return false;
        for (size_t i = 0; i < s->n_places; i++)
            if (s->places[i].key)
                *sent_place(places, n, s->places[i].key) = s->places[i];
        s->places = places;
        s->n_places = n;
    }
    struct sent_record *at = sent_place(s->places, s->n_places, key);
    s->n += at->key == 0;
    *at = (struct sent_record){.key = key, .claim = *e};
    return true;
}

static struct sent_record *sent_find(const struct sent_records *s, uint64_t key)
{
    struct sent_record *at = s->n_places ? sent_place(s->places, s->n_places, key) : NULL;
    return at && at->key ? at : NULL;
}

/* The head of the chain that begins, if an earlier one came with it. What comes of it is verified like everything else. */
static enum call_step fill_in_head(struct ledger_client *cl, struct call *k, struct prove_work *w)
{
    struct arena *a = k->reply->a;
    struct message_proof *p = &w->current.proof;
    const struct entry_claim head = {.header = p->claim.head};
    if (p->head_before == 0)
        return head.header.n < HEAD_ONCE_BYTES || sent_keep(a, &w->heads, &head) ? STEP_MORE : step_no_memory(k);
    struct sent_record *at = sent_find(&w->heads, p->head_before);
    if (!at || head.header.n) /* one more way of leaving an entry out */
        return step_fail(k, LEDGER_ETAMPER, "the server left the latest entry of a chain out: it refers to it, and has not sent it");
    struct verifier vf = session_verifier(cl, a);
    if (!at->head && (at->head = arena_alloc(a, sizeof *at->head)) && !verify_header(&vf, at->claim.header, at->head, NULL))
        at->head->bytes = SPAN_NONE; /* verify_chain will say what is wrong */
    p->claim.head = at->claim.header;
    p->claim.head_known = at->head;
    return STEP_MORE;
}

/* Puts in what was sent before. What comes of it is verified like everything else. */
static enum call_step fill_in(struct call *k, struct prove_work *w, const struct message_proof *p)
{
    for (size_t i = 0; i < p->n_history; i++) {
        struct entry_claim *e = &p->history[i];
        if (p->sent_before[i] == 0) {
            if (!sent_keep(k->reply->a, &w->sent, e))
                return step_no_memory(k);
            continue;
        }
        const struct sent_record *at = sent_find(&w->sent, p->sent_before[i]);
        if (!at) /* one more way of leaving an entry out */
            return step_fail(k, LEDGER_ETAMPER, "the server left an entry out: it refers to it, and has not sent it");
        struct span opening = e->opening;
        *e = at->claim;
        e->opening = opening;
    }
    return STEP_MORE;
}

/* ---- verifying ---- */

static bool join_logs(struct arena *a, struct gathered *g)
{
    size_t n = 0;
    for (unsigned i = 0; i < LOGS_MAX; i++)
        n += g->logs[i].given;
    struct member_claim *logs = arena_alloc(a, (n + 1) * sizeof *logs);
    n = 0;
    for (unsigned i = 0; logs && i < LOGS_MAX; i++) {
        if (!g->logs[i].given)
            continue;
        logs[n] = (struct member_claim){i, g->logs[i].n, list_join(a, &g->logs[i], sizeof(struct span))};
        if (!logs[n++].members)
            return false;
    }
    g->proof.claim.logs = logs;
    g->proof.claim.n_logs = n;
    return logs != NULL;
}

static bool same_bytes(const struct entry_claim *x, const struct entry_claim *y)
{
    return x->header.p == y->header.p && x->event.p == y->event.p && x->block.p == y->block.p && x->withheld == y->withheld &&
           x->erased_by == y->erased_by;
}

/* An entry that stands in many histories, as a split does in those of all its units, is decoded once. */
static bool verify_record(const struct verifier *vf, struct prove_work *w, const struct entry_claim *claim, struct entry *out, struct verdict *v)
{
    struct sent_record *at = sent_find(&w->sent, key_of(claim->header));
    if (at && !same_bytes(&at->claim, claim))
        at = NULL;
    if (at && at->entry) {
        *out = *at->entry;
        return true;
    }
    if (!verify_entry(vf, claim, out, v))
        return false;
    if (at)
        at->entry = out;
    return true;
}

/* From the head backwards: each entry names the one before. */
static bool verify_history(const struct verifier *vf, struct prove_work *w, const struct proven_chain *pc, struct proven_subject *out,
                           struct verdict *v)
{
    const struct gathered *g = &w->current;
    struct hash expected = pc->chain.head;
    if (g->history.n != pc->chain.count)
        return verdict_bad(v, VERDICT_TAMPERED, VERDICT_NO_INDEX, "history", "it has %zu entries, and the chain has %llu",
                           g->history.n, (unsigned long long)pc->chain.count);
    for (size_t seq = out->n_history; seq-- > 0;)
        if (!verify_record(vf, w, &out->raw[seq], &out->history[seq], v) ||
            !verify_chain_entry(vf, pc, seq, &out->history[seq], &expected, v) ||
            (seq + 1 < out->n_history &&
             !verify_chain_order(&out->history[seq].header, &out->history[seq + 1].header, v)))
            return false;
    return hash_is_zero(&expected) ? true
                                   : verdict_bad(v, VERDICT_TAMPERED, VERDICT_NO_INDEX, "history", "it has no beginning");
}

static bool is_named(const struct prove_request *rq, const struct chain_claim *c)
{
    for (size_t i = 0; i < rq->n; i++)
        if (rq->chains[i].type == c->type && span_eq(rq->chains[i].id, c->id))
            return true;
    return false;
}

/* What was asked for must be there, or be withheld: a server that leaves members out would make a state look harmless. */
static bool check_asked(const struct prove_request *rq, const struct gathered *g, struct proven_chain *pc, struct verdict *v)
{
    struct frontier *logs;
    if (!pc->opened || !rq->members)
        return true;
    unsigned n = state_logs(&pc->chain, &logs);
    for (unsigned i = 0; i < n; i++)
        if (!g->logs[i].given && logs[i].size > 0 && !(rq->without_uses && pc->chain.type == CHAIN_ITEM && item_log_leads_on(i)))
            return verdict_bad(v, VERDICT_TAMPERED, pc->head.index, "members", "the list \"%s\" of %.*s is left out",
                               state_log_name(pc->chain.type, i), SPAN_FMT(pc->chain.id));
    return true;
}

static bool no_memory(struct verdict *v, const char *what)
{
    return verdict_bad(v, VERDICT_MEMORY, VERDICT_NO_INDEX, what, "it needs more memory than there may be");
}

static bool verify_one(struct ledger_client *cl, struct call *k, struct prove_work *w, struct proven_subject *out)
{
    struct reply *r = k->reply;
    struct gathered *g = &w->current;
    struct proven_chain *pc = &w->pc;
    struct verifier vf = session_verifier(cl, r->a);
    vf.known = w->known ? w->known : (w->known = map_known_new(r->a));
    const struct prove_request *rq = &k->rq.u.prove;
    *out = (struct proven_subject){.name = {g->proof.claim.type, g->proof.claim.id}, .claim = g->proof.claim};
    struct arena_mark mark = arena_mark(r->a);
    bool good = verify_chain(&vf, &r->snapshot, &out->claim, pc, &r->verdict) && check_asked(rq, g, pc, &r->verdict);
    arena_release(r->a, mark);
    if (!good)
        return false;
    subject_keep(out, pc);
    if (!pc->present || (!rq->history_all && (!rq->history || !is_named(rq, &out->claim))))
        return true;
    out->n_history = g->history.n;
    out->raw = list_join(r->a, &g->history, sizeof(struct entry_claim));
    out->history = arena_alloc(r->a, (g->history.n + 1) * sizeof *out->history);
    return out->raw && out->history ? verify_history(&vf, w, pc, out, &r->verdict) : no_memory(&r->verdict, "history");
}

/* The one that was gathered, if there is one, is whole. False: the verdict says what is wrong. */
static bool end_chain(struct ledger_client *cl, struct call *k, struct prove_work *w)
{
    struct arena *a = k->reply->a;
    if (!w->gathering)
        return true;
    w->gathering = false;
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 64;
        struct proven_subject *more = arena_alloc(a, cap * sizeof *more);
        if (!more)
            return no_memory(&k->reply->verdict, "the answer");
        if (w->n)
            memcpy(more, w->subjects, w->n * sizeof *more);
        w->subjects = more;
        w->cap = cap;
    }
    return (join_logs(a, &w->current) || no_memory(&k->reply->verdict, "a list of members")) &&
           verify_one(cl, k, w, &w->subjects[w->n++]);
}

static enum call_step gather(struct ledger_client *cl, struct call *k, struct prove_work *w, const struct message_proof *p)
{
    struct arena *a = k->reply->a;
    struct gathered *g = &w->current;
    if (!continues(w, p)) {
        if (!end_chain(cl, k, w))
            return step_bad(k);
        *g = (struct gathered){.proof = *p};
        w->gathering = true;
        if (fill_in_head(cl, k, w) != STEP_MORE)
            return STEP_FAILED;
    }
    for (size_t i = 0; i < p->claim.n_logs; i++) {
        if (p->logs[i].log >= LOGS_MAX)
            return step_fail(k, LEDGER_EPROTO, "the server sent a list that this version does not know");
        if (!list_add(a, &g->logs[p->logs[i].log], p->logs[i].members, p->logs[i].n))
            return step_no_memory(k);
    }
    if (p->n_history && p->history_first != g->history.n)
        return step_fail(k, LEDGER_ETAMPER, "the server left out a part of a history");
    if (k->rq.u.prove.openings && fill_in(k, w, p) != STEP_MORE)
        return STEP_FAILED;
    return !p->n_history || list_add(a, &g->history, p->history, p->n_history) ? STEP_MORE : step_no_memory(k);
}

/* May there be others than those that were named? */
static bool leads_on(const struct prove_request *rq)
{
    return rq->closure != CLOSE_NONE || rq->related || rq->event_related;
}

/* Puts the named chains first, in the order in which they were named, whatever order the server chose: nobody who looks at the
 * first one may be shown another. False: one is missing. */
static bool named_first(const struct prove_request *rq, struct proven_subject *subjects, size_t n, size_t *named)
{
    size_t placed = 0;
    for (size_t i = 0; i < rq->n; i++) {
        size_t j = 0;
        while (j < n && !(subjects[j].name.type == rq->chains[i].type && span_eq(subjects[j].name.id, rq->chains[i].id)))
            j++;
        if (j == n)
            return false;
        if (j < placed) /* named twice */
            continue;
        struct proven_subject s = subjects[j];
        subjects[j] = subjects[placed];
        subjects[placed++] = s;
    }
    *named = placed;
    return true;
}

static enum call_step finish(struct ledger_client *cl, struct call *k, struct prove_work *w)
{
    struct reply *r = k->reply;
    if (!end_chain(cl, k, w))
        return step_bad(k);
    size_t named;
    if (!named_first(&k->rq.u.prove, w->subjects, w->n, &named))
        return step_fail(k, LEDGER_ETAMPER, "the server left out a chain that was asked for");
    if (named < w->n && !leads_on(&k->rq.u.prove))
        return step_fail(k, LEDGER_EPROTO, "the server sent a chain that was not asked for");
    r->u.prove.subjects = w->subjects;
    r->u.prove.n = w->n;
    return STEP_TRUST;
}

static enum call_step prove_answer(struct ledger_client *cl, struct call *k, const struct message *m)
{
    const struct message_prove *p = &m->u.prove;
    struct prove_work *w = k->work;
    if (m->kind != MESSAGE_PROVE)
        return step_fail(k, LEDGER_EPROTO, "the server answered another question than this one");
    if (!w && !(w = k->work = arena_alloc(k->reply->a, sizeof *w)))
        return step_no_memory(k);
    if (p->has_snapshot && !w->snapshot) {
        if (!step_snapshot(cl, k, &p->snapshot))
            return STEP_FAILED;
        w->snapshot = true;
    }
    if (!w->snapshot)
        return step_fail(k, LEDGER_EPROTO, "the server sent proofs without the checkpoint that they stand on");
    enum call_step step = STEP_MORE;
    for (size_t i = 0; i < p->n && step == STEP_MORE; i++)
        step = gather(cl, k, w, &p->proofs[i]);
    if (step != STEP_MORE || m->more) {
        if (step == STEP_MORE)
            step_credit(cl, k);
        return step;
    }
    return finish(cl, k, w);
}

const struct call_ops ops_prove = {.request = prove_request, .answer = prove_answer, .stream = true};
