/* SPDX-License-Identifier: Apache-2.0 */
/* busy_world: a query_world with some hundred entries, and one of them that nobody signed: for whoever derives a ledger again. */
#ifndef LEDGERD_TESTS_BUSY_WORLD_H
#define LEDGERD_TESTS_BUSY_WORLD_H

#include "lib/query_world.h"

/* Some hundred events in batches of many sizes, with a key that is rotated on the way. */
static inline struct world *world_busy(void)
{
    struct world *w = world_open();
    char fields[200];
    for (unsigned i = 0; i < 300; i++) {
        if (i % 7 == 0)
            world_begin(w);
        snprintf(fields, sizeof fields, "item=M-%u;gtin=1;lot=L;supplier=S;name=FBS;quantity=5;uom=L;expiry=2099-01-01T00:00:00Z;coa_hash=h;"
                                        "origin=defined", i);
        play(w, "MATERIAL_RECEIVED", "u.wh", fields);
        if (i == 150)
            play(w, "PARTY_REGISTERED", "admin", "action=ROTATE_KEY;org=CPC;party=u.wh;roles=WAREHOUSE");
        if (i % 7 == 6 || i == 299)
            world_commit(w);
    }
    return w;
}

/*
 * Plays an event past the rules about signatures, as an operator could who forges what is consistent in itself. `together`: signed together with another
 * one, which is not recorded. A signature that is not good is of nobody.
 */
static inline uint64_t world_slip(struct world *w, const char *reference, bool together, bool good)
{
    static const struct preverified all = {.ok = {true, true}};
    static const struct hash other = {{1, 2, 3}};
    struct event draft = {.kind = kind_by_name(SPAN_LIT("STORAGE_MOVED"))}, ev;
    struct sigblock b, decoded;
    struct hash root;
    struct appended_entry e;
    struct refusal why = {0};
    draft.nonce = arena_copy(w->a, span_of(reference, NONCE_LEN));
    draft.reference = arena_copy(w->a, span_str(reference));
    draft.occurred = world_time(w, w->now_us);
    world_fields(w, &draft, "item=M-3;location=ELSEWHERE");
    struct span bytes = event_encode(w->a, &draft);
    CHECK_EQ_INT(event_decode(w->c, w->a, bytes, &ev, &why, NULL), LEDGER_OK);
    world_block(w, &ev, "u.wh", &b);
    if (together) {
        const unsigned party = world_party(SPAN_LIT("u.wh"));
        const struct secret_key k = world_key(w, party, w->key_round[party]);
        b.events = 2;
        b.path = other.b;
        b.path_n = 1;
        CHECK(sigblock_root(w->c, &b, &ev.id, &root));
        b.sigs[0].sig = world_sign(w, &k, signature_input(w->c, w->a, SPAN_LIT(WORLD_ORIGIN), &b.sigs[0], 1, 2, &root, NULL));
    }
    uint8_t signature[64];
    memcpy(signature, b.sigs[0].sig.p, sizeof signature);
    signature[3] ^= !good;
    b.sigs[0].sig = span_of(signature, sizeof signature);
    struct span block = sigblock_encode(w->a, &b);
    MUST(sigblock_decode(block, &decoded, err));
    struct submission s = {.ev = &ev, .block = block, .b = &decoded, .pre = &all};
    MUST(machine_event(&w->m, &s, w->now_us, &e, &why, err));
    arena_reset(w->scratch);
    return e.index;
}

/* A world with an entry in the middle that nobody signed, behind one that is all right and as it should be, and entries behind both. */
static inline struct world *world_with_forgery(bool together, uint64_t *forged)
{
    struct world *w = world_busy();
    world_begin(w);
    world_slip(w, "all right and so", together, true);
    *forged = world_slip(w, "signed by nobody", together, false);
    for (unsigned i = 0; i < 150; i++) {
        char fields[64];
        snprintf(fields, sizeof fields, "item=M-%u;location=F", i + 10);
        play(w, "STORAGE_MOVED", "u.wh", fields);
    }
    world_commit(w);
    return w;
}

#endif
