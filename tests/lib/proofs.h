/* SPDX-License-Identifier: Apache-2.0 */
/* proofs: proofs of chains asked of a query_world, put together from their responses and verified as clients do. */
#ifndef LEDGERD_TESTS_PROOFS_H
#define LEDGERD_TESTS_PROOFS_H

#include "lib/query_world.h"

static inline void name_chain(struct world *w, Ledgerd__V1__ProveRequest *p, enum chain_type type,
                       const char *id)
{
    Ledgerd__V1__ChainName *n = arena_alloc(w->a, sizeof *n);
    Ledgerd__V1__ChainName **list = arena_alloc(w->a, (p->n_chains + 1) * sizeof *list);
    CHECK(n && list);
    ledgerd__v1__chain_name__init(n);
    n->type = type;
    struct span s = arena_copy(w->a, span_str(id));
    n->id = (ProtobufCBinaryData){s.n, (uint8_t *)(uintptr_t)s.p};
    if (p->n_chains)
        memcpy(list, p->chains, p->n_chains * sizeof *list);
    list[p->n_chains++] = n;
    p->chains = list;
}

#define PROVE(name) Ledgerd__V1__ProveRequest name = LEDGERD__V1__PROVE_REQUEST__INIT

static inline void ask_prove(struct world *w, Ledgerd__V1__ProveRequest *p, struct answers *out)
{
    Ledgerd__V1__Request req = REQUEST(7);
    req.op_case = LEDGERD__V1__REQUEST__OP_PROVE;
    req.prove = p;
    ask(w, &req, out);
}

/* A stream of ChainProofs put together: what goes on in further responses is appended to what it
 * continues. */
#define PROOFS_MAX 512
struct proofs {
    struct snapshot snapshot;
    size_t n, responses;
    struct proof {
        Ledgerd__V1__ChainProof *first;
        struct member_claim logs[CHAIN_LOGS_MAX];
        bool given[CHAIN_LOGS_MAX];
        size_t n_history;
        Ledgerd__V1__Record **history;
        struct proven_chain proven;
    } p[PROOFS_MAX];
};

static inline void join_members(struct world *w, struct proof *p, const Ledgerd__V1__MemberLog *log)
{
    CHECK(log->log < CHAIN_LOGS_MAX);
    struct member_claim *m = &p->logs[log->log];
    struct span *all = arena_alloc(w->a, (m->n + log->n_members + 1) * sizeof *all);
    CHECK(all != NULL);
    if (m->n)
        memcpy(all, m->members, m->n * sizeof *all);
    for (size_t i = 0; i < log->n_members; i++)
        all[m->n + i] = of_bin(log->members[i]);
    *m = (struct member_claim){log->log, m->n + log->n_members, all};
    p->given[log->log] = true;
}

static inline void join_history(struct world *w, struct proof *p, const Ledgerd__V1__ChainProof *part)
{
    if (part->n_history == 0)
        return;
    Ledgerd__V1__Record **all = arena_alloc(w->a, (p->n_history + part->n_history) * sizeof *all);
    CHECK(all != NULL);
    CHECK_EQ_INT(part->history_first, p->n_history);
    if (p->n_history)
        memcpy(all, p->history, p->n_history * sizeof *all);
    memcpy(all + p->n_history, part->history, part->n_history * sizeof *all);
    p->history = all;
    p->n_history += part->n_history;
}

static inline void join_proofs(struct world *w, const struct answers *ans, struct proofs *out)
{
    memset(out, 0, sizeof *out);
    out->responses = ans->n;
    for (size_t i = 0; i < ans->n; i++) {
        const Ledgerd__V1__Response *r = ans->r[i];
        if (r->answer_case == LEDGERD__V1__RESPONSE__ANSWER_ERROR)
            fprintf(stderr, "%s\n", r->error->text);
        CHECK_EQ_INT(r->answer_case, LEDGERD__V1__RESPONSE__ANSWER_PROVE);
        CHECK_EQ_INT(r->prove->snapshot != NULL, i == 0);
        if (i == 0)
            out->snapshot = verified_snapshot(w, r->prove->snapshot);
        for (size_t k = 0; k < r->prove->n_proofs; k++) {
            Ledgerd__V1__ChainProof *part = r->prove->proofs[k];
            if (part->map_proof.len)
                out->p[out->n++].first = part;
            CHECK(out->n > 0 && out->n < PROOFS_MAX);
            struct proof *p = &out->p[out->n - 1];
            CHECK(span_eq(of_bin(part->name->id), of_bin(p->first->name->id)));
            for (size_t l = 0; l < part->n_logs; l++)
                join_members(w, p, part->logs[l]);
            join_history(w, p, part);
        }
    }
}

/* A chain's head, which may have been sent with an earlier chain. */
static inline struct span head_of(const struct proofs *ps, const Ledgerd__V1__ChainProof *x)
{
    for (size_t i = 0; x->head_before && i < ps->n && ps->p[i].first != x; i++) {
        struct header h;
        struct arena *a = arena_new(1 << 20);
        struct span head = of_bin(ps->p[i].first->head);
        bool this_one = head.n >= HEAD_ONCE_BYTES && header_decode(a, head, &h, NULL) == LEDGER_OK && h.index + 1 == x->head_before;
        arena_free(a);
        if (this_one)
            return head;
    }
    CHECK(x->head_before == 0);
    return of_bin(x->head);
}

/* Verifies every proof of the stream. */
static inline struct proofs *verified_proofs(struct world *w, const struct answers *ans)
{
    struct proofs *out = arena_alloc(w->a, sizeof *out);
    struct verifier vf = world_verifier(w);
    CHECK(out != NULL);
    join_proofs(w, ans, out);
    for (size_t i = 0; i < out->n; i++) {
        struct proof *p = &out->p[i];
        struct member_claim *logs = arena_alloc(w->a, sizeof p->logs);
        CHECK(logs != NULL);
        struct chain_claim claim = {.type = (enum chain_type)p->first->name->type,
                                    .id = of_bin(p->first->name->id),
                                    .map_proof = of_bin(p->first->map_proof),
                                    .head = head_of(out, p->first),
                                    .salt = of_bin(p->first->salt),
                                    .state = of_bin(p->first->state),
                                    .logs = logs,
                                    .withheld = p->first->withheld};
        for (unsigned l = 0; l < CHAIN_LOGS_MAX; l++)
            if (p->given[l])
                logs[claim.n_logs++] = p->logs[l];
        VERIFIED(verify_chain(&vf, &out->snapshot, &claim, &p->proven, v));
    }
    return out;
}

static inline struct proof *find_proof(struct proofs *ps, enum chain_type type, const char *id)
{
    for (size_t i = 0; i < ps->n; i++)
        if (ps->p[i].first->name->type == type &&
            span_eq(of_bin(ps->p[i].first->name->id), span_str(id)))
            return &ps->p[i];
    return NULL;
}

/* A lot that was split into a hundred bags. */
static inline struct world *make_bags(void)
{
    struct world *w = make_ledger();
    char fields[4096];
    int n = snprintf(fields, sizeof fields, "item=L1;units=");
    for (unsigned i = 0; i < 100; i++)
        n += snprintf(fields + n, sizeof fields - (size_t)n, "%sU1%02u:0.1", i ? "|" : "", i);
    world_begin(w);
    play(w, "LOT_SPLIT", "u.op", fields);
    world_commit(w);
    return w;
}

#endif
