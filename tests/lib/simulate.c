/* SPDX-License-Identifier: Apache-2.0 */
/* simulate: judges lines over a store in memory and applies what was accepted, without the machine (simulate.h). */
#include "simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "line.h"

static void must(enum ledger_rc rc, const char *what)
{
    if (rc == LEDGER_OK)
        return;
    fprintf(stderr, "simulate: %s: %s\n", what, ledger_rc_text(rc));
    abort();
}

void simulation_init(struct simulation *s)
{
    memset(s, 0, sizeof *s);
    s->c = crypto_new();
    s->mem = kv_mem_new(NULL, (size_t)1 << 30);
    s->a = arena_new((size_t)1 << 28);
    LEDGER_REQUIRE(s->c && s->mem && s->a);
    s->kv = kv_mem_kv(s->mem);
    memset(s->index_key.b, 7, HASH_LEN);
    s->index = 1;
}

void simulation_fini(struct simulation *s)
{
    arena_free(s->a);
    kv_mem_free(s->mem);
    crypto_free(s->c);
}

struct judge simulation_judge(struct simulation *s)
{
    return (struct judge){.c = s->c,
                          .a = s->a,
                          .kv = &s->kv,
                          .index_key = &s->index_key,
                          .wire = s->wire,
                          .origin = SPAN_LIT("test.example/ledger"),
                          .index = s->index,
                          .registry = s->registry,
                          .signature_ok = s->signature_ok};
}

static void save_chain(struct simulation *s, struct loaded *ld)
{
    uint8_t key[KV_KEY_MAX];
    struct chain *ch = &ld->chain;
    for (const struct appended *m = ld->first; m; m = m->next)
        must(kv_put(&s->kv, KV_MEMBER, kv_key_member(key, &ch->key, m->log, m->number), m->bytes),
             "member");
    ch->count++;
    ch->head_index = s->index;
    struct span record = chain_record_encode(s->a, ch);
    LEDGER_REQUIRE(record.p != NULL);
    must(kv_put(&s->kv, KV_CHAIN, span_of(ch->key.b, HASH_LEN), record), "chain");
    if (s->n_touched < sizeof s->touched / sizeof s->touched[0]) {
        s->touched[s->n_touched].type = ch->type;
        snprintf(s->touched[s->n_touched].id, sizeof s->touched[0].id, "%.*s", SPAN_FMT(ch->id));
    }
    s->n_touched++;
}

static void save_key(struct simulation *s, const struct party_state *p)
{
    uint8_t id[KEY_ID_LEN];
    if (!s->wire || p->key_index != s->index)
        return;
    crypto_key_id(s->c, (enum sig_alg)p->alg, p->key, id);
    must(kv_put(&s->kv, KV_KEYHOLDER, span_of(id, sizeof id), p->id), "key holder");
}

static void save_event(struct simulation *s, struct judge *j, struct event *ev,
                       struct span first_signer)
{
    uint8_t key[KV_KEY_MAX], value[KV_KEY_MAX], hash[KV_KEY_MAX];
    /* A header without links is none; which ones they are, the judge does not ask. */
    struct link link = {.chain = j->loaded->chain.key};
    struct header h = {
        .index = s->index, .kind = (uint16_t)ev->kind->kind, .n_links = 1, .links = &link};
    struct span index = kv_key_u64(value, s->index);
    ev->bytes = event_encode(s->a, ev);
    LEDGER_REQUIRE(ev->bytes.p != NULL);
    event_id(s->c, ev->bytes, &ev->id);
    h.event_id = ev->id;
    must(kv_put(&s->kv, KV_REFERENCE, judge_reference_key(j, first_signer, ev->reference, hash),
                index),
         "reference");
    must(kv_put(&s->kv, KV_EVENT, kv_key_index(&ev->id), index), "event");
    struct span record =
        entry_record_join(s->a, &(struct entry_record){.header = header_encode(s->a, &h), .event = ev->bytes, .block = SPAN_LIT("block")});
    must(kv_put(&s->kv, KV_LOG, kv_key_u64(key, s->index), record), "log");
}

enum refusal_code simulate(struct simulation *s, struct event *ev, const struct signer *signers,
                           unsigned n, int64_t recorded_us, struct refusal *why)
{
    static uint8_t nonce[NONCE_LEN];
    struct refusal own;
    struct judge j = simulation_judge(s);
    if (!ev->nonce.p) {
        memcpy(nonce, &s->index, sizeof s->index);
        ev->nonce = span_of(nonce, sizeof nonce);
    }
    j.recorded_us = recorded_us;
    enum ledger_rc rc = judge_event(&j, ev, signers, n, &own);
    if (why)
        *why = own;
    if (rc == LEDGER_EREFUSED)
        return own.code;
    if (rc != LEDGER_OK)
        fprintf(stderr, "simulate: %s\n", j.err.msg);
    must(rc, "judging");
    s->n_touched = 0;
    struct loaded *ld = j.loaded;
    for (; ld && ld->touched; ld = ld->next) {
        if (ld->chain.type == CHAIN_PARTY)
            save_key(s, &ld->chain.party);
        save_chain(s, ld);
    }
    for (; ld; ld = ld->next)
        LEDGER_REQUIRE(!ld->touched);
    save_event(s, &j, ev, n > 0 ? signers[0].party : SPAN_NONE);
    s->registry = j.registry;
    s->index++;
    return REFUSE_NONE;
}

enum refusal_code simulate_line(struct simulation *s, struct span text, struct refusal *why)
{
    struct ledger_err err;
    struct line line;
    arena_reset(s->a);
    enum ledger_rc rc = line_parse(s->a, text, &line, &err);
    if (rc != LEDGER_OK)
        fprintf(stderr, "simulate: %s\n", err.msg);
    must(rc, "reading a line");
    struct signer *signers = arena_alloc(s->a, (line.n_signers + 1) * sizeof *signers);
    LEDGER_REQUIRE(signers != NULL && line.has_recorded);
    for (size_t i = 0; i < line.n_signers; i++)
        signers[i] = (struct signer){line.signers[i].party, line.signers[i].meaning};
    return simulate(s, &line.event, signers, (unsigned)line.n_signers, line.recorded_us, why);
}
