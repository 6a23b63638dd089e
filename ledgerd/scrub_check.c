/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrub_check: the comparisons (scrub_check.h). Each reads what is stored and what it must hash to; the first thing that is wrong with
 * a row is enough.
 */
#include "scrub_check.h"

#include <string.h>

#include "chain_check.h"
#include "chainmap.h"
#include "entry.h"
#include "judge.h"
#include "opening.h"
#include "state_history.h"
#include "store/log.h"
#include "verify.h"

static void found(struct scrub_view *v, uint64_t index, const char *what)
{
    v->found++;
    v->found_cb(v->ctx, index, what);
}

/* Is it an error that says something about the reader, not about what was read? A row that cannot be read, or that says that it is of a newer
 * version, is a finding: the next one can be looked at. */
static bool stops(enum ledger_rc rc)
{
    return rc == LEDGER_ENOMEM || rc == LEDGER_EBUSY;
}

static const char *record_fault(enum ledger_rc rc)
{
    return rc == LEDGER_ENOTFOUND   ? "its record is missing"
           : rc == LEDGER_EVERSION ? "its record is of a newer version"
           : rc == LEDGER_EIO      ? "its record cannot be read"
                                   : "its record is malformed";
}

/* ---- the view ---- */

static enum ledger_rc read_header(struct scrub_view *v, uint64_t index, struct entry_record *r, struct header *h, struct ledger_err *err)
{
    return log_read_header(v->c, v->a, &v->m.kv, index, r, h, err);
}

static enum ledger_rc check_machine(struct scrub_view *v, struct ledger_err *err)
{
    struct entry_record r;
    struct header h;
    struct ledger_err why = {0};
    struct hash root;
    const struct machine *m = &v->m;
    enum ledger_rc rc = m->size ? read_header(v, m->size - 1, &r, &h, err) : LEDGER_EINVAL;
    if (stops(rc))
        return rc;
    if (rc != LEDGER_OK || h.kind != OWN_SEAL || m->batch_first != m->size || m->seal != m->size - 1 || !hash_eq(&h.map_root, &m->map_root) ||
        h.chains != m->chains || h.epoch != m->epoch || h.recorded_us != m->recorded_us)
        found(v, m->size ? m->size - 1 : UINT64_MAX, "the ledger's numbers between batches are not those of the last seal");
    else if (chainmap_root(&m->kv, &root, &why) != LEDGER_OK || !hash_eq(&root, &m->map_root))
        found(v, m->seal, "the stored root of the chain map is not the one in the last seal");
    else if ((rc = chain_check_machine(&v->m, &why)) != LEDGER_OK && !stops(rc))
        found(v, m->seal, "the ledger's numbers between batches are not those that it has left");
    else if (rc != LEDGER_OK)
        *err = why;
    return stops(rc) ? rc : LEDGER_OK;
}

enum ledger_rc scrub_view_open(struct scrub_view *v, struct ledger_err *err)
{
    arena_reset(v->a);
    enum ledger_rc rc = store_snapshot_open(v->store, &v->sn, err);
    if (rc != LEDGER_OK)
        return rc;
    v->m = (struct machine){.c = v->c, .a = v->a, .kv = store_snapshot_kv(v->sn), .index_key = *store_index_key(v->store), .wire = true};
    rc = machine_load(&v->m, err);
    if (rc != LEDGER_OK && !stops(rc)) {
        uint64_t size = 0; /* they are as of the last entry */
        found(v, log_size(v->sn, &size, NULL) == LEDGER_OK && size ? size - 1 : UINT64_MAX,
              "the ledger's numbers after it are missing or malformed");
        return ledger_fail(err, LEDGER_ETAMPER, "nothing further can be looked at");
    }
    return rc == LEDGER_OK ? check_machine(v, err) : rc;
}

void scrub_view_close(struct scrub_view *v)
{
    if (v->sn)
        store_snapshot_close(v->sn);
    v->sn = NULL;
}

/* ---- an entry ---- */

static bool row_says(struct scrub_view *v, enum kv_table t, struct span key, uint64_t index)
{
    struct span value;
    struct rbuf r;
    if (kv_get(&v->m.kv, t, key, &value) != LEDGER_OK)
        return false;
    rbuf_init(&r, value);
    uint64_t n = rbuf_u64(&r);
    return rbuf_done(&r) && n == index;
}

/* The leaf, and every stored node that became complete with it. */
static void check_tree(struct scrub_view *v, uint64_t index, struct span header)
{
    struct merkle_store tree = machine_tree(&v->m);
    struct hash want, got, row[MERKLE_ROW];
    merkle_leaf(v->c, header, &want);
    if (!kv_tree_has_leaf(&v->m.kv, index, &want)) {
        found(v, index, "its header is not the leaf that the tree has at its place");
        return;
    }
    for (unsigned level = 0; (index >> level) % MERKLE_ROW == MERKLE_ROW - 1; level += MERKLE_STEP) {
        uint64_t above = index >> (level + MERKLE_STEP);
        if (!tree.get(tree.ctx, level, above * MERKLE_ROW, MERKLE_ROW, row) || !tree.get(tree.ctx, level + MERKLE_STEP, above, 1, &got)) {
            found(v, (above * MERKLE_ROW) << level, "a node of the tree above it is missing");
            return;
        }
        merkle_fold(v->c, row, MERKLE_ROW);
        if (!hash_eq(&row[0], &got)) {
            found(v, index, "a node of the tree above it does not follow from its leaves");
            return;
        }
    }
}

static void check_tree_ends(struct scrub_view *v)
{
    const uint64_t size = v->m.size;
    for (unsigned level = 0; level < 64 && size >> level; level += MERKLE_STEP)
        if (!kv_tree_ends(&v->m.kv, size, level))
            found(v, size - 1, "there are nodes behind the last one of the tree");
}

static void check_checkpoint(struct scrub_view *v, uint64_t index)
{
    uint8_t key[KV_KEY_MAX];
    struct merkle_store tree = machine_tree(&v->m);
    struct span stored;
    struct hash root;
    if (kv_get(&v->m.kv, KV_CHECKPOINT, kv_key_u64(key, index + 1), &stored) != LEDGER_OK ||
        !merkle_root(v->c, &tree, index + 1, &root) || !span_eq(stored, span_of(root.b, HASH_LEN)))
        found(v, index, "its checkpoint is not the root of the tree");
}

static enum ledger_rc reference_of(struct scrub_view *v, const struct entry_record *r, uint8_t *buffer, struct span *out,
                                   struct ledger_err *err)
{
    struct event ev;
    struct sigblock b;
    struct opening o;
    struct judge j = {.c = v->c, .a = v->a, .kv = &v->m.kv, .index_key = &v->m.index_key, .wire = true};
    *out = SPAN_NONE;
    if (r->erased_by) {
        enum ledger_rc rc = opening_decode(v->a, r->opening, &o, err);
        if (rc == LEDGER_OK && o.has_reference)
            *out = arena_copy(v->a, kv_key_index(&o.reference));
        return rc;
    }
    enum ledger_rc rc = event_decode(v->c, v->a, r->event, &ev, NULL, err);
    if (rc == LEDGER_OK)
        rc = sigblock_decode(r->block, &b, err);
    if (rc == LEDGER_OK && ev.reference.n)
        *out = judge_reference_key(&j, b.n ? b.sigs[0].party : SPAN_NONE, ev.reference, buffer);
    return rc;
}

/* An ERASURE has to name it, or its content is only gone. */
static enum ledger_rc check_erased_by(struct scrub_view *v, const struct header *h, const struct entry_record *r, struct ledger_err *err)
{
    struct entry *erased = arena_alloc(v->a, sizeof *erased), *act = arena_alloc(v->a, sizeof *act);
    struct entry_record record;
    struct erasure x;
    struct verdict bad;
    if (!erased || !act)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    erased->header = *h;
    erased->erased_by = r->erased_by;
    act->content = true;
    enum ledger_rc rc = r->erased_by < v->m.size ? read_header(v, r->erased_by, &record, &act->header, err) : LEDGER_ENOTFOUND;
    if (stops(rc))
        return rc;
    if (rc != LEDGER_OK || !verify_erasure(erased, act, record.event, &x, &bad))
        found(v, h->index, "the entry that is said to have erased its content does not name it");
    return LEDGER_OK;
}

static enum ledger_rc check_content(struct scrub_view *v, uint64_t index, const struct entry_record *r, const struct header *h,
                                    struct ledger_err *err)
{
    struct span reference;
    uint8_t buffer[KV_KEY_MAX];
    const struct content_fault *f = entry_content_fault(v->c, h, r, NULL);
    if (f)
        found(v, index, f->both);
    if (h->kind == OWN_SEAL)
        return LEDGER_OK;
    bool event = h->kind >= EVENT_KIND_FIRST;
    if (!event && !own_kind_signed(h->kind))
        return LEDGER_OK;
    if (!row_says(v, KV_EVENT, kv_key_index(&h->event_id), index))
        found(v, index, "the index of events does not lead to it");
    enum ledger_rc rc = event ? reference_of(v, r, buffer, &reference, err) : LEDGER_ENOTFOUND;
    if (stops(rc))
        return rc;
    if (r->erased_by && (rc != LEDGER_OK || !event))
        found(v, index, "what is kept in place of its erased content is malformed");
    else if (r->erased_by)
        rc = check_erased_by(v, h, r, err);
    if (stops(rc))
        return rc;
    if (rc == LEDGER_OK && reference.p && !row_says(v, KV_REFERENCE, reference, index))
        found(v, index, "the index of references does not lead to it");
    return LEDGER_OK;
}

enum ledger_rc scrub_entry(struct scrub_view *v, uint64_t index, struct ledger_err *err)
{
    struct entry_record r;
    struct header h;
    arena_reset(v->a);
    enum ledger_rc rc = read_header(v, index, &r, &h, err);
    if (stops(rc))
        return rc;
    if (rc != LEDGER_OK) {
        found(v, index, record_fault(rc));
        return LEDGER_OK;
    }
    check_tree(v, index, r.header);
    if (index + 1 == v->m.size)
        check_tree_ends(v);
    if (h.kind == OWN_SEAL)
        check_checkpoint(v, index);
    return check_content(v, index, &r, &h, err);
}

/* ---- a chain ---- */

/* The nonce under which the salts of an entry's commitments were made; absent if it is erased or does not say. */
static struct span nonce_of(struct scrub_view *v, const struct entry_record *r, const struct header *h)
{
    struct event ev;
    if (r->erased_by)
        return SPAN_NONE;
    if (h->kind >= EVENT_KIND_FIRST)
        return event_decode(v->c, v->a, r->event, &ev, NULL, NULL) == LEDGER_OK ? ev.nonce : SPAN_NONE;
    size_t n = h->kind == OWN_GENESIS ? HASH_LEN : NONCE_LEN;
    return r->event.n > n ? span_of(r->event.p + 1, n) : SPAN_NONE;
}

/* An entry's part for the chain of the walk, if it is what the walk has come to. */
static const struct opening_part *part_of_step(struct scrub_view *v, const struct state_walk *w, const struct opening *o, unsigned link,
                                               enum ledger_rc *rc)
{
    const struct opening_part *p = opening_part(o, link);
    struct opening_part want;
    *rc = opening_of_step(v->a, w, link, span_of("", 0), &want, NULL);
    if (!p || *rc != LEDGER_OK || !span_eq(p->state, want.state) || p->n_members != want.n_members)
        return NULL;
    for (size_t i = 0; i < p->n_members; i++)
        if (p->members[i].log != want.members[i].log || !span_eq(p->members[i].bytes, want.members[i].bytes))
            return NULL;
    return p;
}

/* The salt of the commitment to one step: of the event's nonce, or from what is kept in place of the event. False: there is none, and *rc may say
 * why. */
static bool salt_of_step(struct scrub_view *v, const struct state_walk *w, const struct entry_record *r, const struct header *h,
                         const struct link *link, struct hash *salt, enum ledger_rc *rc)
{
    struct opening o;
    struct span nonce = nonce_of(v, r, h);
    *rc = LEDGER_OK;
    if (nonce.p)
        state_salt(v->c, nonce, &w->key, salt);
    if (nonce.p || !r->erased_by)
        return nonce.p != NULL;
    *rc = opening_decode(v->a, r->opening, &o, NULL);
    const struct opening_part *p = *rc == LEDGER_OK ? part_of_step(v, w, &o, (unsigned)(link - h->links), rc) : NULL;
    if (p)
        *salt = p->salt;
    else if (!stops(*rc))
        found(v, h->index, "what is kept in place of its erased content is not what it has left");
    return p != NULL;
}

/* The state after one step of the walk, against the header of its entry. */
static enum ledger_rc check_step(struct scrub_view *v, const struct state_walk *w, const struct chain *ch, struct ledger_err *err)
{
    struct entry_record r;
    struct header h;
    struct hash salt, commit;
    arena_reset(v->a);
    enum ledger_rc rc = w->index < v->m.size ? read_header(v, w->index, &r, &h, err) : LEDGER_EINVAL;
    const struct link *link = rc == LEDGER_OK ? header_link(&h, &w->key) : NULL;
    if (stops(rc))
        return rc;
    if (!link || link->seq != w->seq - 1) {
        found(v, w->index, "the history of a chain names it, and it is not of that chain");
        return LEDGER_OK;
    }
    bool head = w->seq == ch->count;
    if (!salt_of_step(v, w, &r, &h, link, &salt, &rc)) {
        if (!head || stops(rc))
            return stops(rc) ? ledger_fail(err, rc, "out of memory") : LEDGER_OK; /* what has no salt was found when the entry was looked at */
        salt = ch->salt;
    }
    if (!state_commit(v->c, v->a, &w->chain, link->seq, &salt, &commit))
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    if (!hash_eq(&commit, &link->state))
        found(v, w->index, "it does not commit to the state that is stored after it");
    if (head && !hash_eq(&salt, &ch->salt))
        found(v, w->index, "the record of a chain has another salt than its head");
    return LEDGER_OK;
}

static enum ledger_rc check_history(struct scrub_view *v, const struct chain *ch, uint64_t *steps, struct ledger_err *err)
{
    struct state_walk *w = arena_alloc(v->side, sizeof *w);
    struct ledger_err why = {0};
    enum ledger_rc rc = w ? state_walk_begin(w, v->c, &v->m.kv, v->side, &ch->key, &why) : LEDGER_ENOMEM;
    while (rc == LEDGER_OK && w->seq < ch->count) {
        rc = state_walk_next(w, &why);
        if (rc == LEDGER_OK) {
            ++*steps;
            rc = check_step(v, w, ch, err);
            if (rc != LEDGER_OK)
                return rc;
        }
    }
    if (rc == LEDGER_ENOMEM)
        return ledger_fail(err, rc, "out of memory");
    if (rc != LEDGER_OK && w->seq == 0)
        found(v, ch->head_index, "the history of the chain of which it is the latest entry cannot be followed");
    else if (rc != LEDGER_OK)
        found(v, w->index, "the history of a chain cannot be followed beyond it");
    else if (w->index != ch->head_index)
        found(v, ch->head_index, "the record of a chain has another head than its history");
    return LEDGER_OK;
}

static void check_map(struct scrub_view *v, const struct chain *ch)
{
    struct map_proof *p = arena_alloc(v->side, sizeof *p);
    struct ledger_err err;
    if (!p || chainmap_prove(v->c, NULL, &v->m.kv, &ch->key, p, &err) != LEDGER_OK || p->end != MAP_PRESENT || p->leaf.count != ch->count ||
        !hash_eq(&p->leaf.head, &ch->head) || !map_proof_verify(v->c, NULL, p, &ch->key, &v->m.map_root))
        found(v, ch->head_index, "the chain map does not lead from the last seal to it as the head of its chain");
}

static void check_key(struct scrub_view *v, const struct chain *ch)
{
    uint8_t id[KEY_ID_LEN];
    struct span holder;
    if (ch->type != CHAIN_PARTY || !ch->party.key.n)
        return;
    crypto_key_id(v->c, (enum sig_alg)ch->party.alg, ch->party.key, id);
    if (kv_get(&v->m.kv, KV_KEYHOLDER, span_of(id, sizeof id), &holder) != LEDGER_OK || !span_eq(holder, ch->id))
        found(v, ch->party.key_index, "the index of keys does not lead to the party that has its key");
}

/* The latest entry of a chain whose record is damaged: the one that it names, if that is of the chain. */
static uint64_t head_of(struct scrub_view *v, const struct hash *key, const struct chain *ch)
{
    struct entry_record r;
    struct header h;
    arena_reset(v->a);
    bool is = ch->head_index < v->m.size && read_header(v, ch->head_index, &r, &h, NULL) == LEDGER_OK && header_link(&h, key);
    return is ? ch->head_index : UINT64_MAX;
}

enum ledger_rc scrub_chain(struct scrub_view *v, const struct hash *key, struct span record, uint64_t *steps, struct ledger_err *err)
{
    struct hash want;
    struct ledger_err why = {0};
    arena_reset(v->side);
    *steps = 1;
    struct chain *ch = arena_alloc(v->side, sizeof *ch);
    if (!ch)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = chain_check(v->c, v->side, &v->m.kv, key, record, ch, &why);
    if (stops(rc)) {
        *err = why;
        return rc;
    }
    if (rc != LEDGER_OK) {
        found(v, head_of(v, key, ch), "the record of a chain is not what its head commits to");
        return LEDGER_OK;
    }
    chain_key(v->c, &v->m.index_key, ch->type, ch->id, &want);
    if (!hash_eq(&want, key)) {
        found(v, ch->head_index, "the record of a chain is kept under another's key");
        return LEDGER_OK;
    }
    check_map(v, ch);
    check_key(v, ch);
    v->parties += ch->type == CHAIN_PARTY;
    v->admins += ch->type == CHAIN_PARTY && !ch->party.revoked && ch->party.roles & ROLE_BIT(ROLE_ADMIN);
    return check_history(v, ch, steps, err);
}
