/* SPDX-License-Identifier: Apache-2.0 */
/* What the background scrub looks at, all of it at once, as ledgerd/scrub.c does in portions: after a finding it goes on in another view. */
#ifndef LEDGERD_TESTS_SCRUB_ALL_H
#define LEDGERD_TESTS_SCRUB_ALL_H

#include <string.h>

#include "scrub_check.h"

struct scrub_walk {
    struct scrub_view *v;
    uint64_t chains;
    struct hash after; /* the last one that was looked at, once there is one */
    bool again;        /* something was found: on in another view, as the daemon does */
    enum ledger_rc rc;
};

static inline bool scrub_visit(void *ctx, struct span key, struct span value)
{
    struct scrub_walk *w = ctx;
    struct hash h;
    uint64_t steps;
    if (key.n != HASH_LEN) {
        w->v->found_cb(w->v->ctx, UINT64_MAX, "key");
        return true;
    }
    memcpy(h.b, key.p, HASH_LEN);
    if (w->chains && hash_eq(&h, &w->after))
        return true;
    uint64_t before = w->v->found;
    w->chains++;
    w->after = h;
    w->rc = scrub_chain(w->v, &h, value, &steps, NULL);
    w->again = w->v->found != before;
    return w->rc == LEDGER_OK && !w->again;
}

static inline enum ledger_rc scrub_open_again(struct scrub_view *v)
{
    scrub_view_close(v);
    return scrub_view_open(v, NULL);
}

static inline enum ledger_rc scrub_entries(struct scrub_view *v)
{
    enum ledger_rc rc = LEDGER_OK;
    for (uint64_t i = 0; rc == LEDGER_OK && i < v->m.size; i++) {
        uint64_t before = v->found;
        rc = scrub_entry(v, i, NULL);
        if (rc == LEDGER_OK && v->found != before)
            rc = scrub_open_again(v);
    }
    return rc;
}

static inline enum ledger_rc scrub_chains(struct scrub_walk *w)
{
    enum ledger_rc rc;
    do {
        w->again = false;
        rc = store_scan(w->v->sn, KV_CHAIN, w->chains ? span_of(w->after.b, HASH_LEN) : SPAN_NONE, scrub_visit, w, NULL);
        rc = rc == LEDGER_OK ? w->rc : rc;
        if (rc == LEDGER_OK && w->again)
            rc = scrub_open_again(w->v);
    } while (rc == LEDGER_OK && w->again);
    if (rc == LEDGER_EIO) { /* as the daemon has it */
        w->v->found_cb(w->v->ctx, UINT64_MAX, "chains");
        rc = LEDGER_OK;
    }
    return rc;
}

/* v: store, crypto, arenas and callback are set. */
static inline enum ledger_rc scrub_all(struct scrub_view *v)
{
    struct scrub_walk w = {.v = v};
    enum ledger_rc rc = scrub_view_open(v, NULL);
    if (rc == LEDGER_OK)
        rc = scrub_entries(v);
    if (rc == LEDGER_OK)
        rc = scrub_chains(&w);
    if (rc == LEDGER_OK && w.chains != v->m.chains)
        v->found_cb(v->ctx, v->m.seal, "chains");
    if (rc == LEDGER_OK && (v->parties != v->m.registry.parties || v->admins != v->m.registry.admins))
        v->found_cb(v->ctx, v->m.seal, "parties");
    scrub_view_close(v);
    return rc;
}

/* How often the scrub names this entry, going on to the end; *rc is how it ended. */
struct scrub_said { uint64_t n, at; };

static inline void scrub_said_cb(void *ctx, uint64_t index, const char *what)
{
    struct scrub_said *said = ctx;
    said->n += said->at == index;
    (void)what;
}

static inline uint64_t scrub_count(struct store *store, struct crypto *c, uint64_t index, enum ledger_rc *rc)
{
    struct scrub_said said = {.at = index};
    struct scrub_view v = {.store = store, .c = c, .a = arena_new(64u << 20), .side = arena_new(64u << 20), .found_cb = scrub_said_cb, .ctx = &said};
    *rc = scrub_all(&v);
    arena_free(v.a);
    arena_free(v.side);
    return said.n;
}

#endif
