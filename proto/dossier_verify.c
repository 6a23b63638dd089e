/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dossier_verify: what can be checked before and after the replay (dossier.h): the checkpoint, the headers, the chains from their
 * beginnings to their heads in the chain map, and that nothing is missing that states and events name.
 *
 * Words: a chain is *here* if the file has it, present or proven absent.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dossier_internal.h"
#include "related.h"

bool dossier_no_memory(struct dossier_check *k)
{
    return verdict_bad(k->v, VERDICT_MEMORY, VERDICT_NO_INDEX, "dossier", "it needs more memory than there may be");
}

bool dossier_damaged(struct dossier_check *k, uint64_t index, const char *what, const char *fmt, ...)
{
    char text[sizeof k->v->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return verdict_bad(k->v, VERDICT_DAMAGED, index, what, "%s", text);
}

bool dossier_file_wrong(struct dossier_check *k)
{
    if (k->v->kind == VERDICT_TAMPERED)
        k->v->kind = VERDICT_DAMAGED;
    return false;
}

/* ---- entries ---- */

/* A registration is never left out: signatures stand on it. */
static bool is_withholdable(struct span name)
{
    const struct kind_def *def = kind_by_name(name);
    return def ? def->kind != KIND_PARTY_REGISTERED : span_eq(name, span_str(entry_kind_name(OWN_TIME_STAMP)));
}

static bool may_be_withheld(const struct dossier *d, unsigned kind)
{
    const char *name = entry_kind_name(kind);
    for (size_t i = 0; name && i < d->n_withheld; i++)
        if (span_eq(d->withheld[i], span_str(name)))
            return true;
    return false;
}

static bool check_entry(struct dossier_check *k, size_t i)
{
    struct dossier_entry *e = &k->p->entries[i];
    struct ledger_err err = {0};
    e->claim = &k->d->entries[i];
    enum ledger_rc rc = header_decode(k->vf->a, e->claim->header, &e->header, &err);
    if (rc)
        return verdict_bad(k->v, verdict_of_error(rc, VERDICT_DAMAGED), VERDICT_NO_INDEX, "header", "%s", err.msg);
    uint64_t index = e->header.index;
    merkle_leaf(k->vf->c, e->claim->header, &e->leaf);
    if (e->header.kind == OWN_SEAL || (i && index <= e[-1].header.index) || index >= k->p->snapshot.seal.index)
        return dossier_damaged(k, index, "header", "this entry does not belong there");
    if (e->claim->withheld && !may_be_withheld(k->d, e->header.kind))
        return dossier_damaged(k, index, "content", "it is left out, and its kind is not among those that may be");
    return true;
}

static bool check_entries(struct dossier_check *k)
{
    const struct dossier *d = k->d;
    k->p->entries = arena_alloc(k->vf->a, (d->n_entries + 1) * sizeof *k->p->entries);
    if (!k->p->entries)
        return dossier_no_memory(k);
    for (size_t i = 0; i < d->n_withheld; i++) {
        if (!is_withholdable(d->withheld[i]))
            return dossier_damaged(k, VERDICT_NO_INDEX, "withheld kinds", "one of them is no kind of which content may be left out");
        if (i && span_cmp(d->withheld[i - 1], d->withheld[i]) >= 0)
            return dossier_damaged(k, VERDICT_NO_INDEX, "withheld kinds", "they are not in order");
    }
    for (size_t i = 0; i < d->n_entries; i++) {
        if (!check_entry(k, i))
            return false;
        k->p->n_entries++;
    }
    const struct dossier_entry *first = k->p->entries;
    return k->p->n_entries && first->header.index == 0 && first->header.kind == OWN_GENESIS
               ? true
               : dossier_damaged(k, VERDICT_NO_INDEX, "dossier", "it does not begin with the ledger's genesis");
}

const struct dossier_entry *dossier_entry_at(const struct dossier_proof *p, uint64_t index)
{
    size_t low = 0, high = p->n_entries;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->entries[middle].header.index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->n_entries && p->entries[low].header.index == index ? &p->entries[low] : NULL;
}

/* ---- chains ---- */

static int key_order(const void *x, const void *y)
{
    return memcmp(((const struct dossier_proven *)x)->key.b, ((const struct dossier_proven *)y)->key.b, HASH_LEN);
}

const struct dossier_proven *dossier_chain_at(const struct dossier_proven *chains, size_t n, const struct hash *key)
{
    const struct dossier_proven wanted = {.key = *key};
    return n ? bsearch(&wanted, chains, n, sizeof wanted, key_order) : NULL;
}

const struct dossier_proven *dossier_find(struct crypto *c, const struct dossier_proof *p, enum chain_type t, struct span id)
{
    struct hash key;
    chain_key(c, &p->index_key, t, id, &key);
    return dossier_chain_at(p->chains, p->n_chains, &key);
}

bool dossier_chain_state(const struct dossier_proven *pc, struct chain *out)
{
    memset(out, 0, sizeof *out);
    if (!pc->present || state_decode(pc->chain->name.type, pc->chain->state, out, NULL))
        return false;
    out->id = pc->chain->name.id;
    out->key = pc->key;
    out->exists = true;
    out->count = pc->count;
    out->head_index = pc->head_index;
    return true;
}

static bool chain_wrong(struct dossier_check *k, const struct dossier_chain *ch, const char *text)
{
    char what[64];
    snprintf(what, sizeof what, "%s %.*s", chain_type_name(ch->name.type), (int)(ch->name.id.n < 40 ? ch->name.id.n : 40),
             (const char *)ch->name.id.p);
    return dossier_damaged(k, VERDICT_NO_INDEX, what, "%s", text);
}

/* From the head backwards: each entry is the one that its successor names, and the last one has none before. */
static bool walk_chain(struct dossier_check *k, const struct dossier_chain *ch, const struct proven_chain *pc)
{
    struct hash expected = pc->chain.head;
    struct entry *one = arena_alloc(k->vf->a, sizeof *one);
    if (!one)
        return dossier_no_memory(k);
    if (ch->n != pc->chain.count)
        return chain_wrong(k, ch, "not all of its entries are listed");
    for (size_t seq = ch->n; seq-- > 0;) {
        const struct dossier_entry *e = dossier_entry_at(k->p, ch->entries[seq]);
        if (!e || (seq && ch->entries[seq] <= ch->entries[seq - 1]))
            return chain_wrong(k, ch, "an entry that it lists is not in the dossier, or not in its place");
        one->header = e->header;
        one->leaf = e->leaf;
        if (!verify_chain_entry(k->vf, pc, seq, one, &expected, k->v))
            return dossier_file_wrong(k);
    }
    return hash_is_zero(&expected) ? true : chain_wrong(k, ch, "its first entry names one before it");
}

static bool check_present(struct dossier_check *k, const struct dossier_chain *ch, struct proven_chain *pc, struct dossier_proven *out)
{
    struct frontier *logs;
    unsigned n = state_logs(&pc->chain, &logs);
    for (unsigned i = 0; i < n; i++)
        if (ch->n_logs != n || ch->logs[i].log != i)
            return chain_wrong(k, ch, "its lists are not all there, each once and in order");
    if (n == 0 && ch->n_logs)
        return chain_wrong(k, ch, "lists of a state that has none");
    if (!walk_chain(k, ch, pc))
        return false;
    out->present = true;
    out->count = pc->chain.count;
    out->head_index = pc->chain.head_index;
    return true;
}

static bool check_chain(struct dossier_check *k, const struct dossier_chain *ch, struct dossier_proven *out)
{
    struct proven_chain *pc = arena_alloc(k->vf->a, sizeof *pc);
    const struct dossier_entry *head = ch->n ? dossier_entry_at(k->p, ch->entries[ch->n - 1]) : NULL;
    struct chain_claim claim = {.type = ch->name.type, .id = ch->name.id, .map_proof = ch->map_proof, .salt = ch->salt,
                                .state = ch->state, .logs = ch->logs, .n_logs = ch->n_logs,
                                .head = head ? head->claim->header : SPAN_NONE};
    if (!pc)
        return dossier_no_memory(k);
    if (ch->name.type < CHAIN_ITEM || ch->name.type > CHAIN_LEDGER || ch->name.id.n == 0 || ch->name.id.n > CHAIN_ID_MAX)
        return chain_wrong(k, ch, "this is no name of a chain");
    if (!verify_chain(k->vf, &k->p->snapshot, &claim, pc, k->v))
        return dossier_file_wrong(k);
    *out = (struct dossier_proven){.chain = ch, .key = pc->chain.key};
    if (pc->present)
        return check_present(k, ch, pc, out);
    return ch->n == 0 && ch->n_logs == 0 && ch->salt.n == 0
               ? true
               : chain_wrong(k, ch, "the map proves that it is not there, and something is said of it");
}

/* Every link of every entry to a chain that is here belongs to that chain's list, and every entry is on one. */
static bool check_links(struct dossier_check *k)
{
    uint64_t listed = 0, linked = 0;
    for (size_t i = 0; i < k->p->n_chains; i++)
        listed += k->p->chains[i].count;
    for (size_t i = 0; i < k->p->n_entries; i++) {
        const struct header *h = &k->p->entries[i].header;
        uint64_t before = linked;
        for (unsigned l = 0; l < h->n_links; l++)
            linked += dossier_chain_at(k->p->chains, k->p->n_chains, &h->links[l].chain) != NULL;
        if (linked == before)
            return dossier_damaged(k, h->index, "header", "this entry is on no chain of the dossier");
    }
    return linked == listed ? true : dossier_damaged(k, VERDICT_NO_INDEX, "chains", "an entry names a chain that does not list it");
}

static bool check_chains(struct dossier_check *k)
{
    const struct dossier *d = k->d;
    k->p->chains = arena_alloc(k->vf->a, (d->n_chains + 1) * sizeof *k->p->chains);
    if (!k->p->chains)
        return dossier_no_memory(k);
    for (size_t i = 0; i < d->n_chains; i++) {
        struct arena_mark mark = arena_mark(k->vf->a);
        bool ok = check_chain(k, &d->chains[i], &k->p->chains[i]);
        arena_release(k->vf->a, mark);
        if (!ok)
            return false;
        if (i && key_order(&k->p->chains[i - 1], &k->p->chains[i]) >= 0)
            return chain_wrong(k, &d->chains[i], "chains are not in the order of their keys");
        k->p->n_chains++;
    }
    const struct dossier_proven *ledger = dossier_find(k->vf->c, k->p, CHAIN_LEDGER, k->p->snapshot.cp.origin);
    if (!ledger || !ledger->present) /* before the replay, which would find epochs that nobody began */
        return dossier_damaged(k, VERDICT_NO_INDEX, "chains", "the ledger's own chain is not here");
    return check_links(k);
}

/* ---- time stamps ---- */

static bool check_stamp(struct dossier_check *k, const struct dossier_entry *e, const struct dossier_stamp *s)
{
    const struct checkpoint *cp = &k->p->snapshot.cp;
    struct time_stamp t;
    struct note note;
    struct checkpoint stamped;
    if (s->entry != e->header.index)
        return dossier_damaged(k, e->header.index, "time stamps", "there is no path for this one, or one for another entry");
    struct ledger_err err = {0};
    if (time_stamp_decode(e->claim->event, &t, &err) || note_parse(k->vf->a, t.note, &note, &err) || checkpoint_parse(note.text, &stamped, &err))
        return verdict_bad(k->v, err.rc == LEDGER_ENOMEM ? VERDICT_MEMORY : VERDICT_DAMAGED, e->header.index, "time stamps",
                           "what it stamps is no checkpoint: %.160s", err.msg);
    if (!verify_consistency(k->vf, stamped.size, &stamped.root, cp->size, &cp->root, s->path, k->v))
        return dossier_file_wrong(k);
    k->p->stamps[k->p->n_stamps++] = (struct dossier_stamped){e, stamped.size};
    return true;
}

/* The replay has found them well-formed; here each is tied to the tree. */
static bool check_stamps(struct dossier_check *k)
{
    const struct dossier *d = k->d;
    k->p->stamps = arena_alloc(k->vf->a, (d->n_stamps + 1) * sizeof *k->p->stamps);
    if (!k->p->stamps)
        return dossier_no_memory(k);
    for (size_t i = 0; i < k->p->n_entries; i++) {
        const struct dossier_entry *e = &k->p->entries[i];
        if (e->header.kind != OWN_TIME_STAMP || e->claim->withheld)
            continue;
        const struct dossier_stamp none = {.entry = UINT64_MAX};
        if (!check_stamp(k, e, k->p->n_stamps < d->n_stamps ? &d->stamps[k->p->n_stamps] : &none))
            return false;
    }
    return k->p->n_stamps == d->n_stamps ? true : dossier_damaged(k, VERDICT_NO_INDEX, "time stamps", "a path for one that is not here");
}

/* ---- nothing is missing ---- */

struct naming {
    struct dossier_check *k;
    const char *by;   /* "entry 17", "the lists of item BAG-1" */
    bool reaches;     /* the items named are of the closure */
};

static enum ledger_rc need(void *ctx, enum chain_type type, struct span id)
{
    struct naming *n = ctx;
    struct dossier_check *k = n->k;
    const struct dossier_proven *pc = dossier_find(k->vf->c, k->p, type, id);
    if (!pc && k->n_missing++ == 0)
        snprintf(k->missing, sizeof k->missing, "%s %.*s, named by %s", chain_type_name(type), (int)(id.n < 60 ? id.n : 60),
                 (const char *)id.p, n->by);
    if (!pc || !n->reaches || type != CHAIN_ITEM || k->is_reached[pc - k->p->chains])
        return LEDGER_OK;
    k->is_reached[pc - k->p->chains] = true;
    k->reached[k->n_reached++] = (size_t)(pc - k->p->chains);
    return LEDGER_OK;
}

bool dossier_names(struct dossier_check *k, const struct entry *e)
{
    char by[48];
    struct naming n = {k, by, false};
    const struct related r = {k->vf->a, need, &n};
    snprintf(by, sizeof by, "entry %llu", (unsigned long long)e->header.index);
    enum ledger_rc rc = LEDGER_OK;
    if (!e->own)
        rc = related_of_event(&r, &e->event);
    if (!rc && (!e->own || own_kind_signed(e->header.kind)))
        rc = related_of_signatures(&r, &e->block);
    return !rc || verdict_bad(k->v, verdict_of_error(rc, VERDICT_DAMAGED), e->header.index, "completeness", "%s", ledger_rc_text(rc));
}

static enum ledger_rc need_of_log(const struct related *r, const struct dossier_chain *ch, unsigned log)
{
    const struct member_claim *l = &ch->logs[log];
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < l->n && !rc; i++)
        rc = log == ITEM_LOG_CASES || log == ITEM_LOG_EXCURSIONS ? related_of_case_member(r, log, l->members[i])
                                                                 : related_of_edge(r, l->members[i]);
    return rc;
}

/* What the state of an item that is here names: its relatives in the direction of the dossier, and what they all need. */
static enum ledger_rc need_of_item(struct dossier_check *k, const struct related *r, const struct dossier_proven *pc)
{
    struct chain *ch = arena_alloc(k->vf->a, sizeof *ch);
    if (!ch)
        return LEDGER_ENOMEM;
    if (!dossier_chain_state(pc, ch))
        return LEDGER_EINVAL;
    enum ledger_rc rc = related_of_item(r, &ch->item);
    if (!rc)
        rc = need_of_log(r, pc->chain, ITEM_LOG_CASES);
    if (!rc)
        rc = need_of_log(r, pc->chain, ITEM_LOG_EXCURSIONS);
    if (!rc && k->d->closure == DOSSIER_BACK && ch->item.parent.n)
        rc = need(r->ctx, CHAIN_ITEM, ch->item.parent);
    if (!rc && k->d->closure == DOSSIER_BACK)
        rc = need_of_log(r, pc->chain, ITEM_LOG_INPUTS);
    if (!rc && k->d->closure == DOSSIER_FORWARD)
        rc = need_of_log(r, pc->chain, ITEM_LOG_USES);
    if (!rc && k->d->closure == DOSSIER_FORWARD)
        rc = need_of_log(r, pc->chain, ITEM_LOG_UNITS);
    return rc;
}

/* What was signed about the lineage is in the lists, too: else whoever wrote these has hidden it. */
static enum ledger_rc need_of_events(struct dossier_check *k, struct naming *n, const struct dossier_proven *pc)
{
    enum ledger_rc rc = LEDGER_OK;
    char by[48];
    const char *outer = n->by;
    n->by = by;
    const struct related r = {k->vf->a, need, n};
    for (size_t i = 0; i < pc->chain->n && k->d->closure != DOSSIER_NAMED && !rc; i++) {
        const struct dossier_entry *de = dossier_entry_at(k->p, pc->chain->entries[i]);
        if (!de || (de->header.kind != KIND_INPUT_CONSUMED && de->header.kind != KIND_LOT_SPLIT))
            continue;
        struct arena_mark mark = arena_mark(k->vf->a);
        struct entry *e = arena_alloc(k->vf->a, sizeof *e);
        snprintf(by, sizeof by, "entry %llu", (unsigned long long)de->header.index);
        if (!e)
            rc = LEDGER_ENOMEM;
        else if (dossier_content(k->vf, de, e))
            rc = related_of_lineage(&r, &e->event, pc->chain->name.id, k->d->closure == DOSSIER_BACK);
        arena_release(k->vf->a, mark);
    }
    n->by = outer;
    return rc;
}

/* From the subjects on, breadth first: what they lead to is here. */
static bool check_items(struct dossier_check *k)
{
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < k->n_reached && !rc; i++) {
        const struct dossier_proven *pc = &k->p->chains[k->reached[i]];
        char by[140];
        struct naming n = {k, by, true};
        const struct related r = {k->vf->a, need, &n};
        if (!pc->present)
            continue;
        snprintf(by, sizeof by, "state and lists of item %.*s", SPAN_FMT(pc->chain->name.id));
        struct arena_mark mark = arena_mark(k->vf->a);
        rc = need_of_item(k, &r, pc);
        if (!rc)
            rc = need_of_events(k, &n, pc);
        arena_release(k->vf->a, mark);
    }
    return !rc || verdict_bad(k->v, verdict_of_error(rc, VERDICT_DAMAGED), VERDICT_NO_INDEX, "completeness", "%s", ledger_rc_text(rc));
}

/* Whatever else is here as an item would pass for a part of the lineage. */
static bool check_no_others(struct dossier_check *k)
{
    for (size_t i = 0; i < k->p->n_chains; i++)
        if (k->p->chains[i].chain->name.type == CHAIN_ITEM && !k->is_reached[i])
            return chain_wrong(k, k->p->chains[i].chain, "nothing that the dossier is about leads to this item");
    return true;
}

static bool check_complete(struct dossier_check *k)
{
    struct naming n = {k, "the dossier itself", true};
    if (k->d->n_subjects == 0)
        return dossier_damaged(k, VERDICT_NO_INDEX, "dossier", "it is about nothing");
    k->reached = arena_alloc(k->vf->a, (k->p->n_chains + 1) * sizeof *k->reached);
    k->is_reached = arena_alloc(k->vf->a, (k->p->n_chains + 1) * sizeof *k->is_reached);
    if (!k->reached || !k->is_reached)
        return dossier_no_memory(k);
    for (size_t i = 0; i < k->d->n_subjects; i++)
        (void)need(&n, k->d->subjects[i].type, k->d->subjects[i].id);
    if (!check_items(k))
        return false;
    if (k->n_missing == 0)
        return check_no_others(k);
    if (k->n_missing == 1)
        return dossier_damaged(k, VERDICT_NO_INDEX, "completeness", "not in the dossier: %s", k->missing);
    return dossier_damaged(k, VERDICT_NO_INDEX, "completeness", "not in the dossier: %s, and further chains that are named (%llu)",
                           k->missing, (unsigned long long)(k->n_missing - 1));
}

/* ---- all of it ---- */

/* Has a log key of the policy signed this change, whole as it is? Then it is the log's, and not made up by whoever had the file. */
static bool change_is_signed(struct dossier_check *k, const struct log_key_claim *claim)
{
    struct log_key_step step;
    struct checkpoint cp;
    struct policy_verdict trust = {.log = 0};
    return log_key_step_verify(k->vf->c, k->vf->a, k->origin, claim, &step, NULL) &&
           policy_check(k->vf->c, k->vf->a, k->vf->policy, claim->note, &cp, &trust, NULL) && (trust.log_signed || trust.wrong_key);
}

/* How the key that signs the checkpoint follows from one that the policy lists. */
static bool follow_log_keys(struct dossier_check *k)
{
    const struct dossier *d = k->d;
    struct policy *p = arena_alloc(k->vf->a, sizeof *p);
    unsigned taken;
    size_t failed = 0;
    k->p->policy = k->vf->policy;
    if (!p)
        return dossier_no_memory(k);
    if (d->origin.n > ORIGIN_MAX || d->n_log_keys > LOG_KEY_CHANGES_MAX)
        return dossier_damaged(k, VERDICT_NO_INDEX, "log keys", "too many changes, or no origin");
    if (d->origin.n)
        memcpy(k->origin, d->origin.p, d->origin.n);
    *p = *k->vf->policy;
    k->p->policy = k->vf->policy = p;
    if (log_keys_follow(k->vf->c, k->vf->a, k->origin, p, d->log_keys, d->n_log_keys, &taken, &failed, k->v))
        return true;
    return change_is_signed(k, &d->log_keys[failed]) ? false : dossier_file_wrong(k);
}

static bool check_snapshot(struct dossier_check *k)
{
    const struct snapshot *s = &k->p->snapshot;
    if (!follow_log_keys(k))
        return false;
    /* Of whichever seal it is: nobody can be asked for another. */
    if (!verify_snapshot_at(k->vf, &k->d->snapshot, SNAPSHOT_ANY_SEAL, &k->p->snapshot, k->v))
        return s->trust.wrong_key ? false : dossier_file_wrong(k); /* a key that must not sign it has: the log's doing */
    if (!span_eq(k->d->origin, s->cp.origin) || k->d->index_key.n != HASH_LEN)
        return dossier_damaged(k, VERDICT_NO_INDEX, "dossier", "it is of another ledger than its checkpoint, or has no index key");
    return true;
}

/* The changes are those of this very log: the key signed no other one in their place. */
static bool check_log_keys(struct dossier_check *k)
{
    for (size_t i = 0; i < k->d->n_log_keys; i++) {
        const struct log_key_claim *claim = &k->d->log_keys[i];
        struct arena_mark mark = arena_mark(k->vf->a);
        struct header h;
        uint64_t index = header_decode(k->vf->a, claim->header, &h, NULL) ? VERDICT_NO_INDEX : h.index;
        const struct dossier_entry *e = dossier_entry_at(k->p, index);
        bool same = index != VERDICT_NO_INDEX && index >= k->p->snapshot.seal.index;
        same |= e && span_eq(e->claim->header, claim->header);
        bool signed_by_log = !same && change_is_signed(k, claim);
        arena_release(k->vf->a, mark);
        if (!same)
            return verdict_bad(k->v, signed_by_log ? VERDICT_TAMPERED : VERDICT_DAMAGED, index, "log keys",
                               "this change of the log key is not an entry of the log that the checkpoint is of");
    }
    return true;
}

static bool verify_all(const struct verifier *vf, const struct dossier *d, struct entry_claim *prune, size_t budget,
                       struct dossier_proof *out, struct verdict *v)
{
    struct verdict unwanted;
    struct verifier with_key = *vf;
    with_key.known = map_known_new(with_key.a);
    struct dossier_check k = {.vf = &with_key, .d = d, .p = out, .v = v ? v : &unwanted, .prune = prune};
    memset(out, 0, sizeof *out);
    memset(k.v, 0, sizeof *k.v);
    if (d->index_key.n == HASH_LEN)
        memcpy(with_key.index_key.b, d->index_key.p, HASH_LEN);
    out->index_key = with_key.index_key;
    if (!check_snapshot(&k) || !check_entries(&k) || !check_chains(&k) || !check_log_keys(&k))
        return false;
    out->state = dossier_state_new(vf->a, out, budget);
    if (!out->state)
        return dossier_no_memory(&k);
    return dossier_replay(&k) && check_stamps(&k) && check_complete(&k);
}

bool dossier_verify(const struct verifier *vf, const struct dossier *d, size_t budget, struct dossier_proof *out, struct verdict *v)
{
    return verify_all(vf, d, NULL, budget, out, v);
}

bool dossier_prune(const struct verifier *vf, struct dossier *d, size_t budget, struct verdict *v)
{
    struct dossier_proof proof;
    bool ok = verify_all(vf, d, d->entries, budget, &proof, v);
    dossier_proof_free(&proof);
    return ok;
}

void dossier_proof_free(struct dossier_proof *p)
{
    if (!p)
        return;
    dossier_state_free(p->state);
    p->state = NULL;
}

bool dossier_content(const struct verifier *vf, const struct dossier_entry *e, struct entry *out)
{
    return verify_entry(vf, e->claim, out, NULL) && out->content;
}
