/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_prove: chains with map proof, head, opening of the state, members and history, all of one
 * snapshot transaction, in as many responses as it takes.
 *
 * A chain is sent in three phases: the proof itself; then, if asked for, the members of each log;
 * then, if asked for and the request named the chain, its records. Where a response is full the
 * chain goes on in the next one: a ChainProof with the same name, without map proof, whose members
 * and records follow on from those before.
 *
 * Checked before it is sent: each node of a map proof under the one above it, and the uppermost under the seal's map root, the head under the map's
 * leaf, its link, the state under the head's commitment, the members of each log under the state's root, and
 * each record of a history under the leaf hash that its successor names.
 *
 * A client that may not read states gets neither openings nor members, and no closures: those name
 * what states say.
 */
#include <string.h>

#include "opening.h"
#include "query_lineage.h"
#include "state_history.h"

#define MEMBERS_PER_PART 32768 /* above what fits in a response */
#define ELEMENT_OVERHEAD 8     /* tag and length in the encoding */
#define SENT_BYTES ((size_t)16 << 20) /* which entries were sent; what there is no room for is sent again */
#define TIME_CHECK_EVERY 1024  /* entries walked between two looks at the clock */

/* Entries that were sent, as 1 + index: sent again by that alone. Open addressing, at least half empty. */
struct sent { uint64_t key; struct stored *kept; /* a head: read, verified and taken apart; NULL where there is no room for it */ };
struct sent_set { struct sent *places; size_t n, n_places; };

enum phase { PHASE_LOGS, PHASE_HISTORY, PHASE_DONE };

struct prove {
    struct lineage lineage;
    /* The chain being sent; NULL between two. */
    struct wanted *current;
    struct chain *chain; /* its record; allocated once */
    struct map_reader *reader;
    enum phase phase;
    unsigned log; /* PHASE_LOGS: the next member to send … */
    uint64_t number;
    struct frontier members; /* … and the log so far, to be compared with the state's */
    uint64_t *indexes;       /* PHASE_HISTORY: entry of each sequence number; on the side */
    uint64_t seq;
    struct sent_set records; /* where openings are asked for */
    struct sent_set heads;   /* headers of HEAD_ONCE_BYTES and more */
    struct state_walk *walk; /* stands at the entry before `seq`, if openings are asked for; on the side */
};

/* What one response holds. */
struct page {
    struct plist proofs;
    Ledgerd__V1__ChainProof *part; /* of the current chain; NULL until this response has one */
};

static bool states_asked(const Ledgerd__V1__ProveRequest *req)
{
    return req->closure != LEDGERD__V1__CLOSURE__CLOSURE_NONE || req->related || req->event_related || req->openings;
}

static enum ledger_rc check_request(const struct query *q, struct ledger_err *err)
{
    const Ledgerd__V1__ProveRequest *req = q->request->prove;
    if (req->n_chains == 0)
        return ledger_fail(err, LEDGER_EINVAL, "no chain is named");
    if (req->n_chains > PROVE_CHAINS_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "more than %d chains are named", PROVE_CHAINS_MAX);
    for (size_t i = 0; i < req->n_chains; i++) {
        const Ledgerd__V1__ChainName *n = req->chains[i];
        if (n->type < CHAIN_ITEM || n->type > CHAIN_LEDGER)
            return ledger_fail(err, LEDGER_EINVAL, "chains[%zu]: there is no chain type %u", i,
                               n->type);
        if (n->id.len == 0 || n->id.len > CHAIN_ID_MAX)
            return ledger_fail(err, LEDGER_EINVAL, "chains[%zu]: an id has 1 to %d bytes", i,
                               CHAIN_ID_MAX);
    }
    if (req->closure != LEDGERD__V1__CLOSURE__CLOSURE_NONE &&
        req->closure != LEDGERD__V1__CLOSURE__CLOSURE_BACK &&
        req->closure != LEDGERD__V1__CLOSURE__CLOSURE_FORWARD)
        return ledger_fail(err, LEDGER_EINVAL, "there is no closure %d", (int)req->closure);
    if (req->without_uses && req->closure != LEDGERD__V1__CLOSURE__CLOSURE_BACK)
        return ledger_fail(err, LEDGER_EINVAL, "without_uses goes with closure back alone");
    if (states_asked(req) && !q->env.access->may_read_states)
        return ledger_fail(err, LEDGER_EDENIED,
                           "this certificate may not read states, and lineages are made of them");
    return LEDGER_OK;
}

/* What every map proof of this answer begins at; below it each node is compared with what the one above names (chainmap_prove). */
static enum ledger_rc check_map_root(struct query *q, struct ledger_err *err)
{
    struct hash root;
    struct ledger_err why = {.rc = LEDGER_OK};
    if (chainmap_root(&q->m.kv, &root, &why) != LEDGER_OK)
        return read_failed(err, &why);
    return hash_eq(&root, &q->m.map_root) ? LEDGER_OK : read_bad(err, q->m.seal, "the chain map's root is not the seal's");
}

static enum ledger_rc start(struct query *q, struct reply *r, struct ledger_err *err)
{
    const Ledgerd__V1__ProveRequest *req = q->request->prove;
    enum ledger_rc rc = check_request(q, err);
    if (rc != LEDGER_OK)
        return rc;
    struct prove *st = arena_alloc(q->a, sizeof *st);
    struct chain *ch = arena_alloc(q->a, sizeof *ch);
    if (!st || !ch)
        return no_room(err);
    st->chain = ch;
    if (req->n_chains > 1 || states_asked(req))
        st->reader = map_reader_new(q->a); /* it may do without */
    q->long_answer = req->history_all || req->closure != LEDGERD__V1__CLOSURE__CLOSURE_NONE;
    q->side = arena_new(QUERY_BUDGET);
    q->sent = arena_new(SENT_BYTES);
    if (!q->side || !q->sent)
        return no_room(err);
    rc = check_map_root(q, err);
    for (size_t i = 0; i < req->n_chains && rc == LEDGER_OK; i++)
        rc = lineage_add(q, &st->lineage, (enum chain_type)req->chains[i]->type,
                         span_of(req->chains[i]->id.data, req->chains[i]->id.len), true, err);
    q->state = st;
    return rc == LEDGER_OK ? build_snapshot(q, r, q->m.size, &r->msg->prove->snapshot, err) : rc;
}

/* Begins a ChainProof for the current chain in this response. */
static enum ledger_rc begin_part(struct query *q, struct reply *r, struct page *pg,
                                 struct ledger_err *err)
{
    const struct prove *st = q->state;
    Ledgerd__V1__ChainProof *p = arena_alloc(r->a, sizeof *p);
    Ledgerd__V1__ChainName *name = arena_alloc(r->a, sizeof *name);
    if (!p || !name || !plist_push(&pg->proofs, r->a, p))
        return no_room(err);
    ledgerd__v1__chain_proof__init(p);
    ledgerd__v1__chain_name__init(name);
    name->type = (uint32_t)st->current->type;
    name->id = bin(st->current->id);
    p->name = name;
    r->bytes += name->id.len + 4 * ELEMENT_OVERHEAD;
    pg->part = p;
    return LEDGER_OK;
}

static enum ledger_rc chain_bad(const struct chain *ch, const char *what, struct ledger_err *err)
{
    return ledger_fail(
        err, LEDGER_ETAMPER, "stored data does not verify: entry %llu, head of %s %.*s: %s",
        (unsigned long long)ch->head_index, chain_type_name(ch->type), SPAN_FMT(ch->id), what);
}

/* The map proof; it must say the same as the chain's record. */
static enum ledger_rc add_map_proof(struct query *q, struct reply *r, const struct chain *ch,
                                    Ledgerd__V1__ChainProof *out, struct ledger_err *err)
{
    struct map_proof proof;
    struct ledger_err why = {.rc = LEDGER_OK};
    if (chainmap_prove(q->c, ((const struct prove *)q->state)->reader, &q->m.kv, &ch->key, &proof, &why) != LEDGER_OK)
        return read_failed(err, &why);
    bool present = proof.end == MAP_PRESENT;
    bool same =
        present == ch->exists &&
        (!present || (proof.leaf.count == ch->count && hash_eq(&proof.leaf.head, &ch->head)));
    if (!same)
        return ledger_fail(err, LEDGER_ETAMPER,
                           "stored data does not verify: entry %llu: the chain map does not agree",
                           (unsigned long long)(ch->exists ? ch->head_index : q->m.seal));
    struct span bytes = map_proof_encode(r->a, &proof);
    if (!bytes.p)
        return no_room(err);
    out->map_proof = bin(bytes);
    r->bytes += bytes.n;
    return LEDGER_OK;
}

/* ---- entries that were sent before ---- */

static struct sent *place_of(struct sent *places, size_t n, uint64_t key)
{
    size_t i = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (n - 1);
    while (places[i].key && places[i].key != key)
        i = (i + 1) & (n - 1);
    return &places[i];
}

/* NULL: it was not sent, or there was no room to remember it. */
static struct sent *find_sent(const struct sent_set *s, uint64_t index)
{
    struct sent *at = s->n_places ? place_of(s->places, s->n_places, index + 1) : NULL;
    return at && at->key ? at : NULL;
}

/* From now on it has been sent; NULL: there is no more room to remember that. */
static struct sent *note_sent(struct query *q, struct sent_set *s, uint64_t index)
{
    if (2 * (s->n + 1) > s->n_places) {
        size_t n = s->n_places ? 2 * s->n_places : 1024;
        struct sent *places = arena_alloc(q->sent, n * sizeof *places);
        if (!places)
            return NULL;
        for (size_t i = 0; i < s->n_places; i++)
            if (s->places[i].key)
                *place_of(places, n, s->places[i].key) = s->places[i];
        s->places = places;
        s->n_places = n;
    }
    struct sent *at = place_of(s->places, s->n_places, index + 1);
    s->n += at->key == 0;
    at->key = index + 1;
    return at;
}

/* A head with many links is taken apart once for all chains that have it. */
static void keep_head(struct query *q, struct sent *at, const struct stored *head)
{
    size_t links = head->h.n_links * sizeof *head->h.links;
    struct stored *kept = arena_alloc(q->sent, sizeof *kept);
    struct link *copy = kept ? arena_alloc(q->sent, links) : NULL;
    if (!copy)
        return;
    memcpy(copy, head->h.links, links);
    *kept = (struct stored){.h = head->h, .leaf = head->leaf};
    kept->h.links = copy;
    at->kept = kept;
}

/* The chain's head, verified; *before: the client has got its header. */
static enum ledger_rc take_head(struct query *q, const struct chain *ch, struct stored *head, bool *before, struct ledger_err *err)
{
    struct prove *st = q->state;
    struct sent *at = find_sent(&st->heads, ch->head_index);
    *before = at != NULL;
    if (at && at->kept && hash_eq(&at->kept->leaf, &ch->head)) {
        *head = *at->kept;
        return LEDGER_OK;
    }
    enum ledger_rc rc = read_head(q, ch, head, err);
    if (rc == LEDGER_OK && !at && head->header.n >= HEAD_ONCE_BYTES && (at = note_sent(q, &st->heads, ch->head_index)))
        keep_head(q, at, head);
    return rc;
}

/* The head's header and, if this client may see it, the opening of its commitment. That the header is the one in the map, the map proof has shown:
 * it has the same leaf hash. */
static enum ledger_rc add_head(struct query *q, struct reply *r, const struct chain *ch,
                               Ledgerd__V1__ChainProof *out, struct ledger_err *err)
{
    struct stored head;
    struct hash commit;
    bool before;
    if (ch->head_index >= q->m.size)
        return chain_bad(ch, "beyond the end of the log", err);
    enum ledger_rc rc = take_head(q, ch, &head, &before, err);
    if (rc != LEDGER_OK)
        return rc;
    const struct link *link = header_link(&head.h, &ch->key);
    if (!link || link->seq != ch->count - 1)
        return chain_bad(ch, "it is not the entry that the chain's record names", err);
    if (!state_commit_decoded(q->c, q->scratch, ch, link->seq, &ch->salt, &commit))
        return no_room(err);
    if (!hash_eq(&commit, &link->state))
        return chain_bad(ch, "it does not commit to the stored state", err);
    if (before)
        out->head_before = ch->head_index + 1;
    else
        out->head = bin(head.header);
    r->bytes += before ? ELEMENT_OVERHEAD : head.header.n;
    out->withheld = !q->env.access->may_read_states;
    if (out->withheld)
        return LEDGER_OK;
    struct span salt = arena_copy(r->a, span_of(ch->salt.b, HASH_LEN));
    if (!salt.p)
        return no_room(err);
    out->salt = bin(salt);
    out->state = bin(ch->before.bytes);
    r->bytes += salt.n + out->state.len;
    return LEDGER_OK;
}

/* Leaves out the phases that are not asked for, so that no response begins with a part that has
 * nothing to add. */
static void skip_phases(const struct query *q)
{
    struct prove *st = q->state;
    const Ledgerd__V1__ProveRequest *req = q->request->prove;
    if (st->phase == PHASE_LOGS && (!req->members || !q->env.access->may_read_states))
        st->phase = PHASE_HISTORY;
    if (st->phase == PHASE_HISTORY && !req->history_all && (!req->history || !st->current->named))
        st->phase = PHASE_DONE;
}

/* Takes the next chain and adds its proof; finds out which chains it leads to. */
static enum ledger_rc begin_chain(struct query *q, struct reply *r, struct page *pg,
                                  struct ledger_err *err)
{
    struct prove *st = q->state;
    struct wanted *w = st->current;
    struct arena_mark mark = arena_mark(q->scratch);
    enum ledger_rc rc = view_check_time(q, err);
    if (rc == LEDGER_OK)
        rc = read_chain(q, &w->key, st->chain, err);
    if (rc == LEDGER_OK && st->chain->exists &&
        (st->chain->type != w->type || !span_eq(st->chain->id, w->id)))
        rc = chain_bad(st->chain, "its record is kept under another chain's key", err);
    if (rc == LEDGER_OK)
        rc = begin_part(q, r, pg, err);
    if (rc == LEDGER_OK)
        rc = add_map_proof(q, r, st->chain, pg->part, err);
    if (rc == LEDGER_OK && st->chain->exists)
        rc = add_head(q, r, st->chain, pg->part, err);
    if (rc == LEDGER_OK && st->chain->exists && states_asked(q->request->prove))
        rc = lineage_spread(q, &st->lineage, st->chain, err);
    arena_release(q->scratch, mark);
    st->phase = st->chain->exists ? PHASE_LOGS : PHASE_DONE;
    skip_phases(q);
    st->log = 0;
    st->number = 0;
    st->seq = 0;
    st->indexes = NULL;
    st->walk = NULL;
    st->members = (struct frontier){.size = 0};
    return rc;
}

/* A whole log has been sent: was it the one that the state commits to? */
static enum ledger_rc end_log(struct query *q, const struct frontier *log, struct ledger_err *err)
{
    struct prove *st = q->state;
    struct hash sent = HASH_ZERO, committed = HASH_ZERO;
    if (log->size > 0) { /* most are empty */
        frontier_root(q->c, &st->members, &sent);
        frontier_root(q->c, log, &committed);
    }
    if (!hash_eq(&sent, &committed))
        return chain_bad(st->chain, "members of a log are not those that it commits to", err);
    st->members = (struct frontier){.size = 0};
    st->number = 0;
    st->log++;
    return LEDGER_OK;
}

/* Members of the present log, until its end or until the response is full. */
static enum ledger_rc add_members(struct query *q, struct reply *r, const struct frontier *log,
                                  Ledgerd__V1__MemberLog *out, struct ledger_err *err)
{
    struct prove *st = q->state;
    uint64_t left = log->size - st->number;
    size_t cap = left < MEMBERS_PER_PART ? (size_t)left : MEMBERS_PER_PART;
    ledgerd__v1__member_log__init(out);
    out->log = st->log;
    out->members = arena_alloc(r->a, cap * sizeof *out->members);
    if (!out->members)
        return no_room(err);
    while (out->n_members < cap && r->bytes < r->bytes_max) {
        struct span member;
        struct hash leaf;
        enum ledger_rc rc = read_member(q, st->chain, st->log, st->number, &member, err);
        if (rc != LEDGER_OK)
            return rc;
        rc = lineage_spread_member(q, &st->lineage, st->chain, st->log, member, err);
        if (rc != LEDGER_OK)
            return rc;
        merkle_leaf(q->c, member, &leaf);
        frontier_append(q->c, &st->members, &leaf);
        out->members[out->n_members++] = bin(member);
        r->bytes += member.n + ELEMENT_OVERHEAD;
        st->number++;
    }
    return st->number == log->size ? end_log(q, log, err) : LEDGER_OK;
}

/* Of a lot of vials, who looks at one of them does not ask for the others. */
static bool left_out(const struct query *q, const struct chain *ch, unsigned log)
{
    return q->request->prove->without_uses && ch->type == CHAIN_ITEM && item_log_leads_on(log);
}

static enum ledger_rc add_logs(struct query *q, struct reply *r, struct page *pg,
                               struct ledger_err *err)
{
    struct prove *st = q->state;
    struct frontier *logs;
    struct plist list = {.n = 0};
    unsigned n = state_logs(st->chain, &logs);
    while (st->log < n && r->bytes < r->bytes_max) {
        if (left_out(q, st->chain, st->log)) {
            st->log++;
            continue;
        }
        Ledgerd__V1__MemberLog *m = arena_alloc(r->a, sizeof *m);
        if (!m || !plist_push(&list, r->a, m))
            return no_room(err);
        r->bytes += ELEMENT_OVERHEAD;
        enum ledger_rc rc = add_members(q, r, &logs[st->log], m, err);
        if (rc != LEDGER_OK)
            return rc;
    }
    pg->part->n_logs = list.n;
    pg->part->logs = (Ledgerd__V1__MemberLog **)list.p;
    if (st->log == n) {
        st->phase = PHASE_HISTORY;
        skip_phases(q);
    }
    return LEDGER_OK;
}

/* Goes back from the head and notes the index of each entry. */
static enum ledger_rc collect_history(struct query *q, struct ledger_err *err)
{
    struct prove *st = q->state;
    const struct chain *ch = st->chain;
    uint64_t index = ch->head_index;
    struct hash expected = ch->head;
    /* The count is the store's word so far: it cannot be above the number of entries. */
    if (ch->count > q->m.size)
        return chain_bad(ch, "more entries than the log has", err);
    arena_reset(q->side);
    st->indexes = arena_alloc(q->side, (size_t)ch->count * sizeof *st->indexes);
    if (!st->indexes)
        return ledger_fail(err, LEDGER_ELIMIT, "the chain has too many entries for one answer");
    for (uint64_t seq = ch->count; seq-- > 0;) {
        struct arena_mark mark = arena_mark(q->scratch);
        struct stored e;
        enum ledger_rc rc = seq + 1 == ch->count ? read_entry(q, index, &e, err)
                                                 : read_before(q, &ch->key, index, &e, err);
        if (rc != LEDGER_OK && rc != LEDGER_ENOTFOUND)
            return rc;
        const struct link *link = rc == LEDGER_OK ? header_link(&e.h, &ch->key) : NULL;
        if (!link || link->seq != seq || !hash_eq(&e.leaf, &expected))
            return chain_bad(ch, "an entry of its chain is missing", err);
        index = e.h.index;
        st->indexes[seq] = index;
        expected = link->prev;
        arena_release(q->scratch, mark);
        if (seq % TIME_CHECK_EVERY == 0 && (rc = view_check_time(q, err)) != LEDGER_OK)
            return rc;
    }
    if (!q->request->prove->openings)
        return LEDGER_OK;
    st->walk = arena_alloc(q->side, sizeof *st->walk);
    return st->walk ? state_walk_begin(st->walk, q->c, &q->m.kv, q->side, &ch->key, err) : no_room(err);
}

/* The nonce of what stands behind an entry: under it the salts of its commitments were made. */
static struct span nonce_of(const struct stored *e, const struct event *ev)
{
    if (e->h.kind >= EVENT_KIND_FIRST)
        return ev->nonce;
    size_t n = e->h.kind == OWN_GENESIS ? HASH_LEN : NONCE_LEN;
    return e->event.n > n ? span_of(e->event.p + 1, n) : SPAN_NONE; /* after the version byte in all of them */
}

/* What an erased entry's own opening says of this chain. */
static enum ledger_rc erased_part(struct query *q, const struct stored *e, unsigned link, struct opening_part *out,
                                  struct ledger_err *err)
{
    struct opening o;
    const struct opening_part *part;
    enum ledger_rc rc = opening_decode(q->scratch, e->opening, &o, err);
    if (rc == LEDGER_ENOMEM)
        return no_room(err);
    if (rc != LEDGER_OK || !(part = opening_part(&o, link)))
        return read_bad(err, e->h.index, "its opening is malformed");
    *out = *part;
    return LEDGER_OK;
}

/* The opening of the chain's state after this entry, into the record. */
static enum ledger_rc add_opening(struct query *q, struct reply *r, const struct stored *e, const struct event *ev,
                                  Ledgerd__V1__Record *rec, struct ledger_err *err)
{
    const struct prove *st = q->state;
    const struct link *link = header_link(&e->h, &st->chain->key);
    struct opening_part part;
    struct chain opened;
    struct ledger_err why = {.rc = LEDGER_OK};
    const struct opening o = {.n = 1, .parts = &part};
    if (!link)
        return read_bad(err, e->h.index, "it is not of the chain that names it");
    unsigned number = (unsigned)(link - e->h.links);
    enum ledger_rc rc = e->erased_by ? erased_part(q, e, number, &part, err)
                                     : opening_of_step(q->scratch, st->walk, number, nonce_of(e, ev), &part, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = opening_check(q->c, q->scratch, &q->m.index_key, &e->h, &part, NULL, &opened, &why);
    if (rc != LEDGER_OK)
        return read_failed(err, &why);
    struct span bytes = opening_encode(r->a, &o);
    if (!bytes.p)
        return no_room(err);
    r->bytes += bytes.n - rec->opening.len;
    rec->opening = bin(bytes);
    return LEDGER_OK;
}

/* Content of an entry, as far as openings and further chains need it: an erased one has none. */
static enum ledger_rc decode_content(struct query *q, const struct stored *e, struct event *ev, struct sigblock *b, struct ledger_err *err)
{
    struct refusal why;
    struct ledger_err bad = {.rc = LEDGER_OK};
    enum ledger_rc rc = LEDGER_OK;
    b->n = 0;
    if (e->erased_by)
        return LEDGER_OK;
    if (e->h.kind >= EVENT_KIND_FIRST)
        rc = event_decode(q->c, q->scratch, e->event, ev, &why, &bad);
    if (rc == LEDGER_OK && (e->h.kind >= EVENT_KIND_FIRST || own_kind_signed(e->h.kind)))
        rc = sigblock_decode(e->block, b, &bad);
    if (rc == LEDGER_ENOMEM)
        return no_room(err);
    return rc == LEDGER_OK ? rc : read_bad(err, e->h.index, "its content does not decode");
}

/* The record, or its index alone. */
static enum ledger_rc build_once(struct query *q, struct reply *r, const struct stored *e, bool before, Ledgerd__V1__Record **out,
                                 struct ledger_err *err)
{
    if (!before)
        return build_record(q, r, e, false, out, err);
    *out = arena_alloc(r->a, sizeof **out);
    if (!*out)
        return no_room(err);
    ledgerd__v1__record__init(*out);
    (*out)->sent_before = e->h.index + 1;
    r->bytes += 2 * ELEMENT_OVERHEAD;
    return LEDGER_OK;
}

/* One record of the history, with what was asked for beside it. */
static enum ledger_rc add_record(struct query *q, struct reply *r, struct plist *list, struct ledger_err *err)
{
    struct prove *st = q->state;
    const Ledgerd__V1__ProveRequest *req = q->request->prove;
    struct stored e;
    Ledgerd__V1__Record *rec;
    struct event *ev = arena_alloc(q->scratch, sizeof *ev);
    struct sigblock *b = arena_alloc(q->scratch, sizeof *b);
    enum ledger_rc rc = ev && b ? read_entry(q, st->indexes[st->seq], &e, err) : no_room(err);
    bool before = rc == LEDGER_OK && req->openings && find_sent(&st->records, e.h.index);
    if (rc == LEDGER_OK && req->openings && !before)
        (void)note_sent(q, &st->records, e.h.index);
    if (rc == LEDGER_OK)
        rc = build_once(q, r, &e, before, &rec, err);
    if (rc == LEDGER_OK && !plist_push(list, r->a, rec))
        rc = no_room(err);
    if (rc == LEDGER_OK && (st->walk || req->event_related))
        rc = decode_content(q, &e, ev, b, err);
    if (rc == LEDGER_OK && st->walk)
        rc = state_walk_next(st->walk, err);
    if (rc == LEDGER_OK && st->walk)
        rc = add_opening(q, r, &e, ev, rec, err);
    if (rc == LEDGER_OK && req->event_related && !before && !e.erased_by && access_reads_kind(q->env.access, e.h.kind))
        rc = lineage_spread_event(q, &st->lineage, e.h.kind >= EVENT_KIND_FIRST ? ev : NULL, b, err);
    return rc;
}

static enum ledger_rc add_history(struct query *q, struct reply *r, struct page *pg,
                                  struct ledger_err *err)
{
    struct prove *st = q->state;
    struct plist list = {.n = 0};
    enum ledger_rc rc = LEDGER_OK;
    if (!st->indexes)
        rc = collect_history(q, err);
    pg->part->history_first = st->seq;
    while (rc == LEDGER_OK && st->seq < st->chain->count && r->bytes < r->bytes_max) {
        struct arena_mark mark = arena_mark(q->scratch);
        rc = add_record(q, r, &list, err);
        st->seq++;
        arena_release(q->scratch, mark);
    }
    if (rc != LEDGER_OK)
        return rc;
    pg->part->n_history = list.n;
    pg->part->history = (Ledgerd__V1__Record **)list.p;
    if (st->seq == st->chain->count) {
        st->phase = PHASE_DONE;
    }
    return LEDGER_OK;
}

/* One step: a chain's beginning, or more of its logs or its history. */
static enum ledger_rc step(struct query *q, struct reply *r, struct page *pg,
                           struct ledger_err *err)
{
    struct prove *st = q->state;
    if (!st->current) {
        enum ledger_rc rc = lineage_take(q, &st->lineage, &st->current, err);
        return rc == LEDGER_OK ? begin_chain(q, r, pg, err) : rc;
    }
    enum ledger_rc rc = pg->part ? LEDGER_OK : begin_part(q, r, pg, err);
    if (rc == LEDGER_OK && st->phase == PHASE_LOGS)
        rc = add_logs(q, r, pg, err);
    else if (rc == LEDGER_OK && st->phase == PHASE_HISTORY)
        rc = add_history(q, r, pg, err);
    return rc;
}

enum ledger_rc next_prove(struct query *q, struct reply *r, struct ledger_err *err)
{
    struct page pg = {.part = NULL};
    Ledgerd__V1__ProveResponse *out = arena_alloc(r->a, sizeof *out);
    if (!out)
        return no_room(err);
    ledgerd__v1__prove_response__init(out);
    r->msg->answer_case = LEDGERD__V1__RESPONSE__ANSWER_PROVE;
    r->msg->prove = out;
    enum ledger_rc rc = q->state ? LEDGER_OK : start(q, r, err);
    struct prove *st = q->state;
    while (rc == LEDGER_OK && r->bytes < r->bytes_max &&
           (st->current || lineage_more(&st->lineage))) {
        rc = step(q, r, &pg, err);
        if (rc == LEDGER_OK && st->phase == PHASE_DONE) {
            st->current = NULL;
            pg.part = NULL;
        }
    }
    if (rc != LEDGER_OK)
        return rc;
    out->n_proofs = pg.proofs.n;
    out->proofs = (Ledgerd__V1__ChainProof **)pg.proofs.p;
    r->msg->more = st->current || lineage_more(&st->lineage);
    q->pinned = true; /* Everything that this stream says is about one and the same snapshot. */
    return LEDGER_OK;
}
