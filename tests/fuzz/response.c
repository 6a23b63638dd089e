/* SPDX-License-Identifier: Apache-2.0 */
/* response: what a server sends, taken apart by the client. */
#include "fuzz.h"

#include "../../client/message.h"

/* Touches all of a span, so that a sanitizer sees where it points. */
static void touch(struct span s)
{
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < s.n; i++)
        sum = (uint8_t)(sum + s.p[i]);
    HOLDS(s.n == 0 || s.p != NULL);
}

static void touch_claim(const struct entry_claim *e)
{
    touch(e->header);
    touch(e->event);
    touch(e->block);
    touch(e->opening);
}

static void touch_prove(const struct message_prove *p)
{
    for (size_t i = 0; i < p->n; i++) {
        touch(p->proofs[i].claim.map_proof);
        touch(p->proofs[i].claim.state);
        for (size_t l = 0; l < p->proofs[i].claim.n_logs; l++)
            for (size_t k = 0; k < p->proofs[i].claim.logs[l].n; k++)
                touch(p->proofs[i].claim.logs[l].members[k]);
        for (size_t k = 0; k < p->proofs[i].n_history; k++)
            touch_claim(&p->proofs[i].history[k]);
    }
}

/* A receipt as a response goes through the verifier too: this is what a client does with it. */
static void judge_receipt(struct fuzz *f, struct receipt_claim *claim)
{
    const struct verifier vf = {.c = f->c, .a = f->a, .policy = &f->policy, .index_key = f->index_key, .origin = FUZZ_ORIGIN};
    struct receipt r;
    struct verdict v = {0};
    claim->origin = SPAN_LIT(FUZZ_ORIGIN);
    if (verify_receipt(&vf, claim, &r, &v))
        HOLDS(fuzz_genuine_leaf(&r.entry.leaf));
}

/* Chains as a response go through the verifier, under a snapshot that the ledger has signed. */
static void judge_chains(struct fuzz *f, const struct message_prove *p)
{
    const struct verifier vf = {.c = f->c, .a = f->a, .policy = &f->policy, .index_key = f->index_key, .origin = FUZZ_ORIGIN};
    struct snapshot s;
    struct proven_chain *pc = arena_alloc(f->a, sizeof *pc);
    struct hash leaf;
    HOLDS(pc != NULL);
    if (!p->has_snapshot || !verify_snapshot(&vf, &p->snapshot, &s, NULL))
        return;
    HOLDS(fuzz_genuine_leaf(&s.seal_leaf));
    for (size_t i = 0; i < p->n; i++) {
        struct verdict v = {0};
        if (!verify_chain(&vf, &s, &p->proofs[i].claim, pc, &v)) {
            HOLDS(v.kind != VERDICT_GOOD && v.text[0]);
            continue;
        }
        merkle_leaf(f->c, p->proofs[i].claim.head, &leaf);
        HOLDS(!pc->present || fuzz_genuine_leaf(&leaf));
    }
}

static void touch_entries(const struct message_entries *e)
{
    for (size_t i = 0; i < e->n; i++)
        touch_claim(&e->records[i]);
}

FUZZ_TARGET(response)
{
    struct message m;
    struct ledger_err err = {0};
    enum ledger_rc rc = rpc_decode(f->a, in, &m, &err);
    HOLDS(rc == LEDGER_OK || (err.rc == rc && err.msg[0]));
    if (rc)
        return false;
    switch (m.kind) {
    case MESSAGE_ENTRIES: touch_entries(&m.u.entries); break;
    case MESSAGE_PROVE:
        touch_prove(&m.u.prove);
        judge_chains(f, &m.u.prove);
        break;
    case MESSAGE_RECEIPT: judge_receipt(f, &m.u.receipt); break;
    case MESSAGE_HELLO: HOLDS(m.u.hello.requests_max && m.u.hello.streams_max); break;
    case MESSAGE_CONSISTENCY: touch(m.u.consistency.path); break;
    case MESSAGE_NONE: /* of a later version */
    case MESSAGE_ERROR:
    case MESSAGE_SUBMIT:
    case MESSAGE_SNAPSHOT:
    case MESSAGE_FIND:
    case MESSAGE_STATUS:
    case MESSAGE_LOG_KEYS: break;
    }
    return true;
}
