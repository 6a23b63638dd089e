/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dossier_build: chains in the order of their keys, entries in the order of the log, each once, with the openings of all their chains
 * put together from the chains' histories; then dossier_prune takes out what nobody needs (dossier_build.h).
 */
#include "dossier_build.h"

#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "opening.h"

struct prove_request dossier_request(const struct dossier_plan *plan, const char *origin, struct chain_name *names)
{
    memcpy(names, plan->subjects, plan->n_subjects * sizeof *names);
    names[plan->n_subjects] = (struct chain_name){CHAIN_LEDGER, span_str(origin)};
    return (struct prove_request){.chains = names, .n = plan->n_subjects + 1, .closure = plan->closure, .members = true,
                                  .related = true, .history_all = true, .event_related = true, .openings = true};
}

/* One record of one chain's history. */
struct place {
    uint64_t index;
    const struct entry_claim *raw;
    const struct header *h;
};
struct building {
    const struct verifier *vf;
    const struct reply *r;
    const struct dossier_plan *plan;
    struct dossier *d;
    size_t n_places;
    struct place *places; /* ascending by index */
    struct ledger_err *err;
};

static enum ledger_rc no_memory(struct building *b)
{
    return ledger_fail(b->err, LEDGER_ENOMEM, "the dossier needs more memory than there may be; ask for less");
}

static void *take(struct building *b, size_t n, size_t size)
{
    return arena_alloc(b->vf->a, (n + 1) * size);
}

/* ---- chains ---- */

static int key_order(const void *x, const void *y)
{
    const struct proven_subject *a = *(const struct proven_subject *const *)x, *b = *(const struct proven_subject *const *)y;
    return memcmp(a->key.b, b->key.b, HASH_LEN);
}

static bool fill_logs(struct building *b, const struct proven_subject *s, struct dossier_chain *out)
{
    struct proven_chain pc;
    struct frontier *logs;
    subject_open(s, &pc);
    out->n_logs = state_logs(&pc.chain, &logs);
    out->logs = take(b, out->n_logs, sizeof *out->logs);
    for (unsigned i = 0; out->logs && i < out->n_logs; i++)
        out->logs[i] = pc.logs[i] ? *pc.logs[i] : (struct member_claim){.log = i};
    return out->logs != NULL;
}

static enum ledger_rc fill_chain(struct building *b, const struct proven_subject *s, struct dossier_chain *out)
{
    *out = (struct dossier_chain){.name = {s->name.type, s->name.id}, .map_proof = s->claim.map_proof};
    if (!s->present)
        return LEDGER_OK;
    if (!s->opened)
        return ledger_fail(b->err, LEDGER_EDENIED, "the state of %s %.*s is withheld from this certificate: no dossier without it",
                           chain_type_name(s->name.type), SPAN_FMT(s->name.id));
    out->salt = s->claim.salt;
    out->state = s->claim.state;
    out->entries = take(b, s->n_history, sizeof *out->entries);
    if (!out->entries || !fill_logs(b, s, out))
        return no_memory(b);
    for (size_t i = 0; i < s->n_history; i++)
        out->entries[out->n++] = s->history[i].header.index;
    return LEDGER_OK;
}

static enum ledger_rc fill_chains(struct building *b)
{
    size_t n = b->r->u.prove.n;
    const struct proven_subject **sorted = take(b, n, sizeof(struct proven_subject *));
    enum ledger_rc rc = LEDGER_OK;
    b->d->chains = take(b, n, sizeof *b->d->chains);
    if (!sorted || !b->d->chains)
        return no_memory(b);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &b->r->u.prove.subjects[i];
    qsort(sorted, n, sizeof sorted[0], key_order);
    for (size_t i = 0; i < n && !rc; i++)
        rc = fill_chain(b, sorted[i], &b->d->chains[b->d->n_chains++]);
    return rc;
}

/* ---- entries ---- */

static int place_order(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    return a->index < b->index ? -1 : a->index > b->index;
}

static enum ledger_rc collect_places(struct building *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->r->u.prove.n; i++)
        n += b->r->u.prove.subjects[i].n_history;
    b->places = take(b, n, sizeof *b->places);
    if (!b->places)
        return no_memory(b);
    for (size_t i = 0; i < b->r->u.prove.n; i++) {
        const struct proven_subject *s = &b->r->u.prove.subjects[i];
        for (size_t k = 0; k < s->n_history; k++)
            b->places[b->n_places++] = (struct place){s->history[k].header.index, &s->raw[k], &s->history[k].header};
    }
    qsort(b->places, n, sizeof *b->places, place_order);
    return LEDGER_OK;
}

static int part_order(const void *x, const void *y)
{
    const struct opening_part *a = x, *b = y;
    return a->link < b->link ? -1 : a->link > b->link;
}

/* The openings of one entry that its chains' histories carried, in one. */
static enum ledger_rc join_openings(struct building *b, const struct place *p, size_t n, struct span *out)
{
    struct opening all = {.parts = take(b, n, sizeof *all.parts)};
    if (!all.parts)
        return no_memory(b);
    for (size_t i = 0; i < n; i++) {
        struct opening one;
        enum ledger_rc rc = opening_decode(b->vf->a, p[i].raw->opening, &one, b->err);
        if (rc == LEDGER_OK && one.n != 1)
            rc = ledger_fail(b->err, LEDGER_EPROTO, "entry %llu: the server sent no opening of it", (unsigned long long)p->index);
        if (rc != LEDGER_OK)
            return rc == LEDGER_EINVAL ? ledger_fail(b->err, LEDGER_EPROTO, "entry %llu: the server's opening is malformed",
                                                     (unsigned long long)p->index) : rc;
        all.parts[all.n++] = one.parts[0];
    }
    qsort(all.parts, all.n, sizeof *all.parts, part_order);
    *out = opening_encode(b->vf->a, &all);
    return out->p ? LEDGER_OK : no_memory(b);
}

static bool withheld_by_plan(const struct building *b, unsigned kind)
{
    const char *name = entry_kind_name(kind);
    for (size_t i = 0; name && i < b->plan->n_withheld; i++)
        if (strcmp(b->plan->withheld[i], name) == 0)
            return true;
    return false;
}

static void withhold(struct entry_claim *e)
{
    e->event = e->block = SPAN_NONE;
    e->withheld = true;
}

static enum ledger_rc fill_entry(struct building *b, const struct place *p, size_t n, struct entry_claim *out)
{
    *out = *p->raw;
    if (p->h->kind == KIND_PARTY_REGISTERED && out->withheld)
        return ledger_fail(b->err, LEDGER_EDENIED, "registrations of parties are withheld from this certificate: no dossier without them");
    if (!out->erased_by && withheld_by_plan(b, p->h->kind))
        withhold(out);
    return join_openings(b, p, n, &out->opening);
}

static enum ledger_rc fill_entries(struct building *b)
{
    enum ledger_rc rc = collect_places(b);
    b->d->entries = rc ? NULL : take(b, b->n_places, sizeof *b->d->entries);
    if (!b->d->entries)
        return rc ? rc : no_memory(b);
    for (size_t i = 0, n; i < b->n_places && !rc; i += n) {
        for (n = 1; i + n < b->n_places && b->places[i + n].index == b->places[i].index;)
            n++;
        rc = fill_entry(b, &b->places[i], n, &b->d->entries[b->d->n_entries++]);
    }
    return rc;
}

/* ---- time stamps ---- */

/* Which stamps bound the time of the subjects' entries: the last one before the first of them, the first one that covers the last. */
struct stamps {
    uint64_t first, last;       /* entries of the subjects */
    struct entry_claim *before, *after;
};

static bool note_size(struct arena *a, struct span text, uint64_t *size)
{
    struct note note;
    struct checkpoint cp;
    if (note_parse(a, text, &note, NULL) || checkpoint_parse(note.text, &cp, NULL))
        return false;
    *size = cp.size;
    return true;
}

static bool stamped_size(struct arena *a, struct span payload, uint64_t *size)
{
    struct time_stamp t;
    return !time_stamp_decode(payload, &t, NULL) && note_size(a, t.note, size);
}

static bool is_subject(const struct building *b, const struct dossier_name *name)
{
    for (size_t i = 0; i < b->plan->n_subjects; i++)
        if (b->plan->subjects[i].type == name->type && span_eq(b->plan->subjects[i].id, name->id))
            return true;
    return false;
}

/* Tokens are large and many: those that bound nothing are left out. */
static void thin_out_stamps(struct building *b)
{
    struct stamps s = {.first = UINT64_MAX};
    struct header h;
    uint64_t size;
    for (size_t i = 0; i < b->d->n_chains; i++) {
        const struct dossier_chain *ch = &b->d->chains[i];
        if (!ch->n || !is_subject(b, &ch->name))
            continue;
        s.first = ch->entries[0] < s.first ? ch->entries[0] : s.first;
        s.last = ch->entries[ch->n - 1] > s.last ? ch->entries[ch->n - 1] : s.last;
    }
    for (unsigned round = 0; round < 2; round++)
        for (size_t i = 0; i < b->d->n_entries; i++) {
            struct entry_claim *e = &b->d->entries[i];
            struct arena_mark mark = arena_mark(b->vf->a);
            bool stamp = !header_decode(b->vf->a, e->header, &h, NULL) && h.kind == OWN_TIME_STAMP;
            if (stamp && round == 0 && b->plan->consistency && h.index < s.first)
                s.before = e;
            if (stamp && round == 0 && b->plan->consistency && !s.after && stamped_size(b->vf->a, e->event, &size) && size > s.last)
                s.after = e;
            if (stamp && round == 1 && e != s.before && e != s.after)
                withhold(e);
            arena_release(b->vf->a, mark);
        }
}

/* Each that is kept is tied to the tree of the snapshot. */
static enum ledger_rc fill_stamps(struct building *b)
{
    struct dossier *d = b->d;
    struct header h;
    uint64_t size, whole;
    enum ledger_rc rc = LEDGER_OK;
    d->stamps = take(b, 2, sizeof *d->stamps);
    if (!d->stamps)
        return no_memory(b);
    if (!note_size(b->vf->a, d->snapshot.note, &whole))
        return ledger_fail(b->err, LEDGER_EPROTO, "the snapshot's note is no checkpoint");
    for (size_t i = 0; i < d->n_entries && !rc; i++) {
        const struct entry_claim *e = &d->entries[i];
        struct arena_mark mark = arena_mark(b->vf->a);
        bool kept = !e->withheld && !header_decode(b->vf->a, e->header, &h, NULL) && h.kind == OWN_TIME_STAMP &&
                    stamped_size(b->vf->a, e->event, &size);
        arena_release(b->vf->a, mark);
        if (!kept)
            continue;
        struct dossier_stamp *s = &d->stamps[d->n_stamps++];
        s->entry = h.index;
        rc = b->plan->consistency(b->plan->consistency_ctx, b->vf->a, size, whole, &s->path, b->err);
    }
    return rc;
}

/* ---- the rest ---- */

static int text_order(const void *x, const void *y)
{
    return span_cmp(*(const struct span *)x, *(const struct span *)y);
}

/* The kinds of what is withheld, by the plan, by the server, or because it bounds nothing. */
static enum ledger_rc name_withheld(struct building *b)
{
    bool seen[EVENT_KIND_LAST + 1] = {false};
    struct header h;
    b->d->withheld = take(b, EVENT_KIND_LAST + 1, sizeof *b->d->withheld);
    if (!b->d->withheld)
        return no_memory(b);
    for (size_t i = 0; i < b->d->n_entries; i++) {
        struct arena_mark mark = arena_mark(b->vf->a);
        bool is = b->d->entries[i].withheld && !header_decode(b->vf->a, b->d->entries[i].header, &h, NULL) &&
                  h.kind <= EVENT_KIND_LAST && entry_kind_name(h.kind) && !seen[h.kind];
        arena_release(b->vf->a, mark);
        if (!is)
            continue;
        seen[h.kind] = true;
        b->d->withheld[b->d->n_withheld++] = span_str(entry_kind_name(h.kind));
    }
    qsort(b->d->withheld, b->d->n_withheld, sizeof *b->d->withheld, text_order);
    return LEDGER_OK;
}

static enum ledger_rc check_plan(struct building *b)
{
    for (size_t i = 0; i < b->plan->n_withheld; i++) {
        const struct kind_def *k = kind_by_name(span_str(b->plan->withheld[i]));
        if (!k)
            return ledger_fail(b->err, LEDGER_EINVAL, "\"%s\" is no kind of event", b->plan->withheld[i]);
        if (k->kind == KIND_PARTY_REGISTERED)
            return ledger_fail(b->err, LEDGER_EINVAL, "PARTY_REGISTERED cannot be withheld: signatures are verified under the keys in it");
    }
    return LEDGER_OK;
}

static enum ledger_rc fill(struct building *b)
{
    const struct dossier_plan *plan = b->plan;
    struct dossier *d = b->d;
    enum ledger_rc rc = check_plan(b);
    memset(d, 0, sizeof *d);
    d->origin = b->r->snapshot.cp.origin;
    d->index_key = arena_copy(b->vf->a, span_of(b->vf->index_key.b, HASH_LEN));
    d->closure = (unsigned)plan->closure;
    d->snapshot = b->r->cosigned.note.n ? b->r->cosigned : b->r->claim;
    d->log_keys = take(b, b->r->n_log_keys, sizeof *d->log_keys);
    d->subjects = take(b, plan->n_subjects, sizeof *d->subjects);
    if (!d->index_key.p || !d->subjects || !d->log_keys)
        return no_memory(b);
    for (size_t i = 0; i < b->r->n_log_keys; i++)
        d->log_keys[d->n_log_keys++] = b->r->log_keys[i];
    for (size_t i = 0; i < plan->n_subjects; i++)
        d->subjects[d->n_subjects++] = (struct dossier_name){plan->subjects[i].type, plan->subjects[i].id};
    if (!rc)
        rc = fill_chains(b);
    if (!rc)
        rc = fill_entries(b);
    if (!rc)
        thin_out_stamps(b);
    if (!rc)
        rc = fill_stamps(b);
    return rc ? rc : name_withheld(b);
}

static enum ledger_rc rc_of(const struct verdict *v, struct ledger_err *err)
{
    /* What was just fetched and put together: that it is not whole is the server's doing. */
    enum ledger_rc rc = verdict_rc(v->kind, LEDGER_ETAMPER);
    if (v->index == VERDICT_NO_INDEX)
        return ledger_fail(err, rc, "%s: %s", v->what, v->text);
    return ledger_fail(err, rc, "entry %llu, %s: %s", (unsigned long long)v->index, v->what, v->text);
}

enum ledger_rc dossier_build(const struct verifier *vf, const struct reply *r, const struct dossier_plan *plan, struct span *file,
                             struct dossier *d, struct dossier_proof *proof, struct verdict *v, struct ledger_err *err)
{
    struct building b = {.vf = vf, .r = r, .plan = plan, .d = d, .err = err};
    memset(proof, 0, sizeof *proof);
    enum ledger_rc rc = fill(&b);
    if (rc)
        return rc;
    if (!dossier_prune(vf, d, plan->budget, v)) {
        *file = dossier_encode(vf->c, vf->a, d); /* it shows what is wrong to whoever verifies it: what comes before is pruned */
        return rc_of(v, err);
    }
    *file = dossier_encode(vf->c, vf->a, d);
    rc = file->p ? dossier_decode(vf->c, vf->a, *file, d, err) : no_memory(&b);
    if (rc)
        return rc;
    return dossier_verify(vf, d, plan->budget, proof, v) ? LEDGER_OK : rc_of(v, err);
}
