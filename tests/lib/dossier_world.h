/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dossier_world: dossiers of the small ledger of query_world.h: made as a client would, judged as a stranger would. For one test file.
 */
#ifndef LEDGERD_TESTS_DOSSIER_WORLD_H
#define LEDGERD_TESTS_DOSSIER_WORLD_H
#include "lib/authority.h"
#include "lib/query_world.h"

#include "dossier.h"
#include "dossier_build.h"
#include "opening.h"
#include "state_history.h"
#include "tsp.h"

#define BUDGET ((size_t)256 << 20)

/* ---- from the daemon's answer ---- */

static inline Ledgerd__V1__ChainName **name_list(struct world *w, const struct prove_request *rq)
{
    Ledgerd__V1__ChainName **list = arena_alloc(w->a, rq->n * sizeof *list);
    for (size_t i = 0; i < rq->n; i++) {
        list[i] = arena_alloc(w->a, sizeof **list);
        ledgerd__v1__chain_name__init(list[i]);
        list[i]->type = rq->chains[i].type;
        list[i]->id = (ProtobufCBinaryData){rq->chains[i].id.n, (uint8_t *)(uintptr_t)rq->chains[i].id.p};
    }
    return list;
}

/* An entry that was sent before comes by its index alone. */
static inline struct entry_claim claim_of(const Ledgerd__V1__Record *r)
{
    static struct entry_claim sent[256];
    struct header h;
    struct arena *a = arena_new(BUDGET);
    if (r->sent_before) {
        CHECK(r->sent_before <= 256 && sent[r->sent_before - 1].header.n && !r->header.len && !r->event.len && !r->block.len);
        struct entry_claim again = sent[r->sent_before - 1];
        again.opening = of_bin(r->opening);
        arena_free(a);
        return again;
    }
    MUST(header_decode(a, of_bin(r->header), &h, err));
    arena_free(a);
    CHECK(h.index < 256);
    sent[h.index] = (struct entry_claim){.header = of_bin(r->header), .event = of_bin(r->event), .block = of_bin(r->block),
                                .withheld = r->withheld, .opening = of_bin(r->opening), .erased_by = r->erased_by};
    return sent[h.index];
}

static inline void add_part(struct world *w, struct proven_subject *s, struct member_claim logs[CHAIN_LOGS_MAX], const Ledgerd__V1__ChainProof *p)
{
    for (size_t l = 0; l < p->n_logs; l++) {
        struct member_claim *m = &logs[p->logs[l]->log];
        struct span *all = arena_alloc(w->a, (m->n + p->logs[l]->n_members + 1) * sizeof *all);
        if (m->n)
            memcpy(all, m->members, m->n * sizeof *all);
        for (size_t i = 0; i < p->logs[l]->n_members; i++)
            all[m->n++] = of_bin(p->logs[l]->members[i]);
        *m = (struct member_claim){p->logs[l]->log, m->n, all};
    }
    struct entry_claim *raw = arena_alloc(w->a, (s->n_history + p->n_history + 1) * sizeof *raw);
    if (s->n_history)
        memcpy(raw, s->raw, s->n_history * sizeof *raw);
    for (size_t i = 0; i < p->n_history; i++)
        raw[s->n_history++] = claim_of(p->history[i]);
    s->raw = raw;
}

static inline void verify_subject(struct world *w, const struct reply *r, struct proven_subject *s, struct member_claim logs[CHAIN_LOGS_MAX])
{
    struct verifier vf = world_verifier(w);
    struct member_claim *given = arena_alloc(w->a, CHAIN_LOGS_MAX * sizeof *given);
    struct frontier *of_state;
    memcpy(given, logs, CHAIN_LOGS_MAX * sizeof *given);
    s->claim.logs = given;
    if (s->claim.state.n) {
        struct chain *ch = arena_alloc(w->a, sizeof *ch);
        MUST(state_decode(s->claim.type, s->claim.state, ch, err));
        s->claim.n_logs = state_logs(ch, &of_state);
    }
    struct proven_chain pc;
    VERIFIED(verify_chain(&vf, &r->snapshot, &s->claim, &pc, v));
    subject_keep(s, &pc);
    s->history = arena_alloc(w->a, (s->n_history + 1) * sizeof *s->history);
    for (size_t i = 0; i < s->n_history; i++)
        VERIFIED(verify_entry(&vf, &s->raw[i], &s->history[i], v));
}

/* What the client's library makes of the daemon's answer. */
static inline struct reply *fetch(struct world *w, const struct dossier_plan *plan)
{
    struct chain_name names[4];
    const struct prove_request rq = dossier_request(plan, WORLD_ORIGIN, names);
    Ledgerd__V1__ProveRequest p = LEDGERD__V1__PROVE_REQUEST__INIT;
    Ledgerd__V1__Request req = REQUEST(7);
    struct answers ans;
    struct reply *r = arena_alloc(w->a, sizeof *r);
    struct proven_subject *s = arena_alloc(w->a, 256 * sizeof *s);
    static struct member_claim logs[256][CHAIN_LOGS_MAX];
    memset(logs, 0, sizeof logs);
    p.n_chains = rq.n;
    p.chains = name_list(w, &rq);
    p.closure = (Ledgerd__V1__Closure)rq.closure;
    p.members = rq.members;
    p.related = rq.related;
    p.history_all = rq.history_all;
    p.event_related = rq.event_related;
    p.openings = rq.openings;
    req.op_case = LEDGERD__V1__REQUEST__OP_PROVE;
    req.prove = &p;
    ask(w, &req, &ans);
    for (size_t i = 0; i < ans.n; i++) {
        const Ledgerd__V1__Response *m = ans.r[i];
        if (m->answer_case == LEDGERD__V1__RESPONSE__ANSWER_ERROR)
            fprintf(stderr, "%s\n", m->error->text);
        CHECK_EQ_INT(m->answer_case, LEDGERD__V1__RESPONSE__ANSWER_PROVE);
        if (i == 0) {
            const Ledgerd__V1__Snapshot *x = m->prove->snapshot;
            r->snapshot = verified_snapshot(w, x);
            r->claim = (struct snapshot_claim){.note = of_bin(x->checkpoint), .seal = of_bin(x->seal), .seal_path = of_bin(x->seal_path)};
        }
        for (size_t k = 0; k < m->prove->n_proofs; k++) {
            const Ledgerd__V1__ChainProof *part = m->prove->proofs[k];
            if (part->map_proof.len) {
                CHECK(r->u.prove.n < 256);
                struct proven_subject *x = &s[r->u.prove.n++];
                x->name = (struct chain_name){(enum chain_type)part->name->type, of_bin(part->name->id)};
                x->claim = (struct chain_claim){.type = x->name.type, .id = x->name.id, .map_proof = of_bin(part->map_proof),
                                                .head = of_bin(part->head), .salt = of_bin(part->salt), .state = of_bin(part->state),
                                                .withheld = part->withheld};
            }
            add_part(w, &s[r->u.prove.n - 1], logs[r->u.prove.n - 1], part);
        }
    }
    for (size_t i = 0; i < r->u.prove.n; i++)
        verify_subject(w, r, &s[i], logs[i]);
    r->u.prove.subjects = s;
    return r;
}

struct made {
    struct span file;
    struct dossier d;
    struct dossier_proof proof;
    uint64_t bases[DOSSIER_BASES];
};

static inline enum ledger_rc path_between(void *ctx, struct arena *a, uint64_t size1, uint64_t size2, struct span *path, struct ledger_err *failed)
{
    struct world *w = ctx;
    struct store_snapshot *sn;
    struct merkle_path p;
    (void)failed;
    MUST(store_snapshot_open(w->store, &sn, err));
    struct kv kv = store_snapshot_kv(sn);
    struct merkle_store tree = kv_tree(&kv);
    CHECK(merkle_consistency(w->c, &tree, size1, size2, &p));
    *path = arena_copy(a, span_of(p.h, p.n * HASH_LEN));
    store_snapshot_close(sn);
    return LEDGER_OK;
}

/* From an answer; as `try_make`. */
static inline enum ledger_rc make_of(struct world *w, const struct reply *r, const struct dossier_plan *plan, struct made *out, struct verdict *v)
{
    struct verifier vf = world_verifier(w);
    struct ledger_err err = {0};
    enum ledger_rc rc = dossier_build(&vf, r, plan, &out->file, &out->d, &out->proof, v, &err);
    memcpy(out->bases, out->proof.bases, sizeof out->bases);
    dossier_proof_free(&out->proof);
    if (rc && !v->text[0])
        fprintf(stderr, "%s\n", err.msg);
    return rc;
}

static inline enum ledger_rc try_make(struct world *w, const char *item, enum closure closure, const char *withhold, struct made *out,
                               struct verdict *v)
{
    const struct chain_name name = {CHAIN_ITEM, span_str(item)};
    const char *const kinds[] = {withhold};
    const struct dossier_plan plan = {.subjects = &name, .n_subjects = 1, .closure = closure, .withheld = kinds,
                                      .n_withheld = withhold != NULL, .budget = BUDGET, .consistency = path_between,
                                      .consistency_ctx = w};
    return make_of(w, fetch(w, &plan), &plan, out, v);
}

static inline struct made make(struct world *w, const char *item, enum closure closure, const char *withhold)
{
    struct made out = {0};
    struct verdict v = {0};
    enum ledger_rc rc = try_make(w, item, closure, withhold, &out, &v);
    if (rc)
        fprintf(stderr, "%s: entry %llu, %s: %s\n", item, (unsigned long long)v.index, v.what, v.text);
    CHECK_EQ_INT(rc, LEDGER_OK);
    return out;
}

/* Verifies bytes as a stranger would: with a policy, and without the index key. */
static inline enum verdict_kind judge_file(struct world *w, const struct policy *policy, struct span file, struct verdict *v)
{
    struct arena *a = arena_new(BUDGET);
    struct verifier vf = {.c = w->c, .a = a, .policy = policy};
    struct dossier d;
    struct dossier_proof proof;
    struct ledger_err err = {0};
    memset(v, 0, sizeof *v);
    CHECK(a != NULL);
    enum ledger_rc rc = dossier_decode(w->c, a, file, &d, &err);
    if (rc) {
        verdict_bad(v, rc == LEDGER_EVERSION ? VERDICT_NEWER : VERDICT_DAMAGED, VERDICT_NO_INDEX, "file", "%s", err.msg);
    } else {
        bool good = dossier_verify(&vf, &d, BUDGET, &proof, v);
        dossier_proof_free(&proof);
        CHECK_EQ_INT(good, v->kind == VERDICT_GOOD);
    }
    arena_free(a);
    return v->kind;
}

static inline struct span with_checksum(struct world *w, struct span file)
{
    struct hash sum;
    struct span all = span_of(file.p, file.n - HASH_LEN);
    crypto_sha256(w->c, &all, 1, &sum);
    memcpy((uint8_t *)(uintptr_t)file.p + all.n, sum.b, HASH_LEN);
    return file;
}

static inline void refused(struct world *w, const struct dossier *d, const char *words)
{
    struct verdict v;
    struct arena_mark mark = arena_mark(w->a);
    enum verdict_kind kind = judge_file(w, &w->policy, dossier_encode(w->c, w->a, d), &v);
    if (kind != VERDICT_DAMAGED || !strstr(v.text, words))
        fprintf(stderr, "\"%s\" was expected: %s, entry %llu, %s: %s\n", words, verdict_kind_name(kind), (unsigned long long)v.index, v.what, v.text);
    CHECK_EQ_INT(kind, VERDICT_DAMAGED);
    CHECK(strstr(v.text, words) != NULL);
    arena_release(w->a, mark);
}

static inline struct world *released(void)
{
    struct world *w = make_ledger();
    release_ledger(w);
    return w;
}

/* ---- acts of the ledger ---- */

/* An act that an administrator and somebody of QA sign. */
static inline void act(struct world *w, enum own_kind kind, struct span payload)
{
    struct refusal why = {0};
    struct appended_entry e;
    struct sigblock *b = arena_alloc(w->a, 2 * sizeof *b);
    struct event ev = {.occurred = world_time(w, w->now_us)};
    event_id(w->c, payload, &ev.id);
    world_block(w, &ev, "admin,u.qa", b);
    struct span block = sigblock_encode(w->a, b);
    MUST(sigblock_decode(block, b + 1, err));
    struct signed_own s = {.kind = kind, .payload = payload, .block = block, .b = b + 1};
    MUST(machine_own_signed(&w->m, &s, w->now_us, &e, &why, err));
}

/* Records a stamp over the checkpoint before the open batch. */
static inline uint64_t stamp(struct world *w)
{
    struct note_key key;
    struct wbuf note;
    struct appended_entry e;
    struct span root;
    uint8_t k[KV_KEY_MAX];
    struct time_stamp t = {.nonce = {7}};
    struct authority authority;
    struct tsp_response answer;
    struct hash imprint;
    struct span request;
    static const uint8_t nonce = 7;
    struct checkpoint cp = {.origin = SPAN_LIT(WORLD_ORIGIN), .size = w->m.batch_first};
    MUST(kv_get(&w->m.kv, KV_CHECKPOINT, kv_key_u64(k, cp.size), &root));
    memcpy(cp.root.b, root.p, HASH_LEN);
    CHECK(note_key_make(w->c, WORLD_ORIGIN, NOTE_ED25519, span_of(w->log_key.pub, w->log_key.pub_len), &key));
    wbuf_init(&note, w->a);
    checkpoint_sign(w->c, &key, &w->log_key, &cp, &note);
    t.note = wbuf_span(&note);
    authority_new(&authority, "Works", WORLD_START_US / WORLD_SECOND_US - 86400, WORLD_START_US / WORLD_SECOND_US + 86400, "critical,timeStamping");
    crypto_sha256(w->c, &t.note, 1, &imprint);
    MUST(tsp_request(w->a, &imprint, span_of(&nonce, 1), NULL, &request, err));
    MUST(tsp_response_parse(authority_answer(w->a, &authority, request), &answer, err));
    authority_free(&authority);
    t.token = answer.token;
    MUST(machine_own(&w->m, OWN_TIME_STAMP, time_stamp_encode(w->a, &t), w->now_us, &e, err));
    return e.index;
}

#endif
