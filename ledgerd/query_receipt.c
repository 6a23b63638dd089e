/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_receipt: one entry with everything that is needed to check it offline: its record, its
 * inclusion path, a snapshot, and for each signer the entry that gave the key which was in force
 * when this entry was judged: the party's latest REGISTER or ROTATE_KEY before it, or the genesis
 * for the first administrator.
 *
 * An entry whose content this client may not read has no list of signers: who signed is content. A
 * registration that the client may not read comes without its event.
 */
#include <string.h>

#include "query_internal.h"

static enum ledger_rc no_such_event(struct ledger_err *err)
{
    return ledger_fail(err, LEDGER_ENOTFOUND, "no event with that id is recorded");
}

/* The index goes by the id's front alone: the entry says whether it is that event. */
static enum ledger_rc find_event(struct query *q, struct span id, uint64_t *index, struct ledger_err *err)
{
    struct hash h;
    struct span value;
    struct stored e;
    struct rbuf r;
    memcpy(h.b, id.p, HASH_LEN);
    enum ledger_rc rc = kv_get(&q->m.kv, KV_EVENT, kv_key_index(&h), &value);
    if (rc == LEDGER_ENOTFOUND)
        return no_such_event(err);
    if (rc != LEDGER_OK)
        return ledger_fail(err, rc, "looking up the event failed");
    rbuf_init(&r, value);
    *index = rbuf_u64(&r);
    if (!rbuf_done(&r) || *index >= q->m.size)
        return ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: index of event ids");
    rc = read_entry(q, *index, &e, err);
    if (rc != LEDGER_OK || hash_eq(&e.h.event_id, &h))
        return rc;
    return memcmp(e.h.event_id.b, h.b, KV_INDEX_KEY) == 0
               ? no_such_event(err)
               : ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: index of event ids: it leads to another event");
}

/* Which entry is meant. */
static enum ledger_rc find_entry(struct query *q, uint64_t *index, struct ledger_err *err)
{
    const Ledgerd__V1__ReceiptRequest *req = q->request->receipt;
    struct span id = span_of(req->event_id.data, req->event_id.len);
    *index = req->index;
    if (id.n != 0 && id.n != HASH_LEN)
        return ledger_fail(err, LEDGER_EINVAL, "an event id has %d bytes", HASH_LEN);
    if (id.n)
        return find_event(q, id, index, err);
    if (*index < q->m.size)
        return LEDGER_OK;
    return ledger_fail(err, LEDGER_ENOTFOUND, "the ledger has %llu entries; entry %llu is beyond", (unsigned long long)q->m.size,
                       (unsigned long long)*index);
}

/* The key that an entry of a party's chain gave to `party`; false if it gave none (AMEND, REVOKE).
 */
static bool key_given(struct query *q, const struct stored *e, struct span party, enum sig_alg *alg,
                      uint8_t key[KEY_LEN_MAX], size_t *key_n)
{
    struct refusal why;
    struct genesis g;
    struct event ev;
    if (e->h.kind == OWN_GENESIS) {
        if (genesis_decode(e->event, &g, NULL) != LEDGER_OK || !span_eq(g.admin, party) ||
            g.admin_key.n > KEY_LEN_MAX)
            return false;
        *alg = (enum sig_alg)g.admin_alg;
        *key_n = g.admin_key.n;
        memcpy(key, g.admin_key.p, g.admin_key.n);
        return true;
    }
    if (e->h.kind != KIND_PARTY_REGISTERED ||
        event_decode(q->c, q->scratch, e->event, &ev, &why, NULL) != LEDGER_OK)
        return false;
    unsigned action = event_enum(&ev, FIELD_ACTION);
    return (action == PARTY_REGISTER || action == PARTY_ROTATE_KEY) &&
           key_text_parse(event_text(&ev, FIELD_PUBKEY), alg, key, key_n);
}

/* The registration that was in force for entry `index`. */
static enum ledger_rc find_registration(struct query *q, struct span party, uint64_t index,
                                        struct stored *out, struct hash *chain,
                                        struct ledger_err *err)
{
    struct chain *ch = arena_alloc(q->scratch, sizeof *ch);
    if (!ch)
        return no_room(err);
    chain_key(q->c, &q->m.index_key, CHAIN_PARTY, party, chain);
    enum ledger_rc rc = read_chain(q, chain, ch, err);
    if (rc != LEDGER_OK)
        return rc;
    if (!ch->exists || ch->type != CHAIN_PARTY)
        return read_bad(err, index, "a signer is no registered party");
    /* The present key is the common case; an older one is found by going back along the chain. */
    if (ch->party.key_index < index)
        return read_entry(q, ch->party.key_index, out, err);
    return read_before(q, chain, index, out, err);
}

/* Fills *out and checks that it holds the very key that signature `s` names. */
static enum ledger_rc signer_key(struct query *q, const struct signature *s, uint64_t index,
                                 struct stored *out, struct ledger_err *err)
{
    uint8_t key[KEY_LEN_MAX], id[KEY_ID_LEN];
    size_t key_n = 0;
    enum sig_alg alg;
    struct hash chain;
    enum ledger_rc rc = find_registration(q, s->party, index, out, &chain, err);
    while (rc == LEDGER_OK && !key_given(q, out, s->party, &alg, key, &key_n))
        rc = read_before(q, &chain, out->h.index, out, err);
    if (rc == LEDGER_ENOTFOUND)
        return read_bad(err, index, "no entry gives the key of a signer");
    if (rc != LEDGER_OK)
        return rc;
    crypto_key_id(q->c, alg, span_of(key, key_n), id);
    if (!span_eq(span_of(id, sizeof id), s->key_id))
        return read_bad(err, index, "a signature names another key than the party held");
    return LEDGER_OK;
}

/* A receipt being made: the entry, and the size of the checkpoint that all its paths lead to. */
struct making {
    struct stored e;
    uint64_t size;
};

static enum ledger_rc add_signer(struct query *q, struct reply *r, const struct signature *s,
                                 const struct making *mk, struct plist *list, struct ledger_err *err)
{
    struct stored reg;
    struct span path;
    Ledgerd__V1__SignerKey *out = arena_alloc(r->a, sizeof *out);
    char *party = arena_strdup(r->a, s->party);
    if (!out || !party)
        return no_room(err);
    ledgerd__v1__signer_key__init(out);
    enum ledger_rc rc = signer_key(q, s, mk->e.h.index, &reg, err);
    if (rc == LEDGER_OK)
        rc = read_path(q, r->a, &reg, mk->size, &path, err);
    if (rc != LEDGER_OK)
        return rc;
    out->party = party;
    out->index = reg.h.index;
    out->header = bin(reg.header);
    if (access_reads_kind(q->env.access, reg.h.kind)) {
        out->event = bin(reg.event);
        out->block = bin(reg.block);
    }
    out->path = bin(path);
    return plist_push(list, r->a, out) ? LEDGER_OK : no_room(err);
}

/* One key for each signer, each once. */
static enum ledger_rc add_signers(struct query *q, struct reply *r, const struct making *mk,
                                  Ledgerd__V1__ReceiptResponse *out, struct ledger_err *err)
{
    const struct stored *e = &mk->e;
    struct sigblock b;
    struct plist list = {.n = 0};
    bool signed_by_persons = e->h.kind >= EVENT_KIND_FIRST || own_kind_signed(e->h.kind);
    if (!signed_by_persons || e->erased_by || !access_reads_kind(q->env.access, e->h.kind))
        return LEDGER_OK;
    if (sigblock_decode(e->block, &b, NULL) != LEDGER_OK)
        return read_bad(err, e->h.index, "malformed signature block");
    for (size_t i = 0; i < b.n; i++) {
        bool before = false;
        for (size_t j = 0; j < i; j++)
            before = before || span_eq(b.sigs[j].party, b.sigs[i].party);
        enum ledger_rc rc = LEDGER_OK;
        if (!before)
            rc = add_signer(q, r, &b.sigs[i], mk, &list, err);
        if (rc != LEDGER_OK)
            return rc;
    }
    out->n_keys = list.n;
    out->keys = (Ledgerd__V1__SignerKey **)list.p;
    return LEDGER_OK;
}

/* The checkpoint that the receipt is to stand on: the latest, or the newest cosigned one that covers the entry. */
static enum ledger_rc add_snapshot(struct query *q, struct reply *r, uint64_t index, struct making *mk,
                                   Ledgerd__V1__ReceiptResponse *out, struct ledger_err *err)
{
    const Ledgerd__V1__ReceiptRequest *req = q->request->receipt;
    struct witnessed_view w;
    mk->size = q->m.size;
    if (!req->witnessed)
        return build_snapshot(q, r, mk->size, &out->snapshot, err);
    enum ledger_rc rc = await_witnessed(q, r, index + 1, req->wait_ms, &w, err);
    if (rc != LEDGER_OK)
        return rc;
    mk->size = w.size;
    return build_snapshot_at(q, r, &w, w.size, &out->snapshot, err);
}

enum ledger_rc next_receipt(struct query *q, struct reply *r, struct ledger_err *err)
{
    struct making mk;
    struct span path;
    uint64_t index;
    Ledgerd__V1__ReceiptResponse *out = arena_alloc(r->a, sizeof *out);
    if (!out)
        return no_room(err);
    ledgerd__v1__receipt_response__init(out);
    enum ledger_rc rc = find_entry(q, &index, err);
    if (rc == LEDGER_OK)
        rc = add_snapshot(q, r, index, &mk, out, err);
    if (rc == LEDGER_OK)
        rc = read_entry(q, index, &mk.e, err);
    if (rc == LEDGER_OK)
        rc = build_record(q, r, &mk.e, false, &out->record, err);
    if (rc == LEDGER_OK)
        rc = read_path(q, r->a, &mk.e, mk.size, &path, err);
    if (rc == LEDGER_OK)
        rc = add_signers(q, r, &mk, out, err);
    if (rc != LEDGER_OK)
        return rc;
    out->path = bin(path);
    r->msg->answer_case = LEDGERD__V1__RESPONSE__ANSWER_RECEIPT;
    r->msg->receipt = out;
    return LEDGER_OK;
}
