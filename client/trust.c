/* SPDX-License-Identifier: Apache-2.0 */
/* trust: the set of checkpoints that are proven to belong together (trust.h). */
#include "trust.h"

#include <stdlib.h>
#include <string.h>

#define TRUSTED_KEPT 16

void trust_init(struct trust *t)
{
    memset(t, 0, sizeof *t);
}

static void drop(struct trust *t, struct trust_node **at)
{
    struct trust_node *n = *at;
    *at = n->next;
    if (t->latest == n)
        t->latest = NULL;
    t->n--;
    free((void *)(uintptr_t)n->note.p);
    free((void *)(uintptr_t)n->seal.p);
    free(n);
}

void trust_free(struct trust *t)
{
    while (t->first)
        drop(t, &t->first);
}

void trust_forget_pending(struct trust *t)
{
    /* Bases of pending nodes may go with them; a trusted node needs its base no longer. */
    for (struct trust_node **at = &t->first; *at;) {
        if ((*at)->trusted) {
            (*at)->base = NULL;
            at = &(*at)->next;
        } else {
            drop(t, at);
        }
    }
}

static struct trust_node *make_node(const struct checkpoint *cp, struct span note)
{
    struct trust_node *n = calloc(1, sizeof *n);
    uint8_t *copy = n ? malloc(note.n + 1) : NULL;
    if (!copy) {
        free(n);
        return NULL;
    }
    memcpy(copy, note.p, note.n);
    n->size = cp->size;
    n->root = cp->root;
    n->note = span_of(copy, note.n);
    return n;
}

enum ledger_rc trust_see(struct trust *t, const struct checkpoint *cp, struct span note, struct trust_node **out,
                         struct trust_conflict *conflict, struct verdict *v)
{
    struct trust_node **at = &t->first, *below = NULL;
    while (*at && (*at)->size < cp->size) {
        below = *at;
        at = &(*at)->next;
    }
    if (*at && (*at)->size == cp->size) {
        *out = *at;
        if (hash_eq(&(*at)->root, &cp->root))
            return LEDGER_OK;
        *conflict = (struct trust_conflict){(*at)->note, note, SPAN_NONE, SPAN_NONE};
        verdict_bad(v, VERDICT_TAMPERED, VERDICT_NO_INDEX, "checkpoint",
                    "two different trees of %llu entries: the ledger was forked", (unsigned long long)cp->size);
        return LEDGER_ETAMPER;
    }
    if (t->n >= TRUST_NODES_MAX)
        return LEDGER_ELIMIT;
    struct trust_node *n = make_node(cp, note);
    if (!n)
        return LEDGER_ENOMEM;
    n->base = *at ? *at : below;
    n->next = *at;
    *at = n;
    t->n++;
    if (!n->base) { /* the very first: nothing to be consistent with */
        n->linked = n->trusted = true;
        t->latest = n;
    }
    *out = n;
    return LEDGER_OK;
}

bool trust_seal(struct trust *t, const struct checkpoint *cp, struct span seal, bool kept)
{
    for (struct trust_node *n = t->first; n; n = n->next) {
        if (n->size != cp->size || !hash_eq(&n->root, &cp->root) || span_eq(n->seal, seal))
            continue;
        uint8_t *copy = malloc(seal.n + 1);
        if (!copy)
            return false;
        memcpy(copy, seal.p, seal.n);
        free((void *)(uintptr_t)n->seal.p);
        n->seal = span_of(copy, seal.n);
        n->seal_kept = kept;
    }
    return true;
}

struct span trust_seal_of(const struct trust *t, struct span note)
{
    for (const struct trust_node *n = t->first; n; n = n->next)
        if (span_eq(n->note, note))
            return n->seal;
    return SPAN_NONE;
}

struct trust_node *trust_by_request(struct trust *t, uint64_t request_id)
{
    for (struct trust_node *n = t->first; n; n = n->next)
        if (n->request_id == request_id)
            return n;
    return NULL;
}

/* A base that became trusted carries its trust to what hangs on it, step by step until nothing changes. */
static void spread(struct trust *t)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (struct trust_node *n = t->first; n; n = n->next) {
            if (n->trusted || !n->linked || !n->base->trusted)
                continue;
            n->trusted = changed = true;
            if (!t->latest || n->size > t->latest->size)
                t->latest = n;
        }
    }
}

enum ledger_rc trust_link(struct trust *t, const struct verifier *vf, struct trust_node *n, struct span path,
                          struct trust_conflict *conflict, struct verdict *v)
{
    const struct trust_node *small = n->size < n->base->size ? n : n->base, *large = small == n ? n->base : n;
    if (!verify_consistency(vf, small->size, &small->root, large->size, &large->root, path, v)) {
        *conflict = (struct trust_conflict){n->base->note, n->note, path, SPAN_NONE};
        return LEDGER_ETAMPER;
    }
    n->linked = true;
    spread(t);
    return LEDGER_OK;
}

bool trust_has(const struct trust *t, const struct checkpoint *cp)
{
    for (const struct trust_node *n = t->first; n; n = n->next)
        if (n->size == cp->size)
            return n->trusted && hash_eq(&n->root, &cp->root);
    return false;
}

static bool is_base(const struct trust *t, const struct trust_node *of)
{
    for (const struct trust_node *n = t->first; n; n = n->next)
        if (n->base == of && !n->trusted)
            return true;
    return false;
}

void trust_prune(struct trust *t)
{
    size_t trusted = 0;
    for (const struct trust_node *n = t->first; n; n = n->next)
        trusted += n->trusted;
    for (struct trust_node **at = &t->first; *at && trusted > TRUSTED_KEPT;) {
        struct trust_node *n = *at;
        if (!n->trusted || n == t->latest || is_base(t, n)) {
            at = &n->next;
            continue;
        }
        /* Trusted nodes that named it as base no longer need to. */
        for (struct trust_node *m = t->first; m; m = m->next)
            if (m->base == n)
                m->base = NULL;
        drop(t, at);
        trusted--;
    }
}
