/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opening: what the state commitments of an entry open to. It stands in for content that was erased or is withheld: whoever replays
 * takes the states from it, checked against the commitments in the header, and goes on.
 *
 *   u8 1 ‖ u16 n ‖ n × part, ascending by link ‖ u8 has reference ‖ [reference key[32]]
 *   part: u16 number of the header's link ‖ salt[32] ‖ var state in stored form ‖ u32 n ‖ n × (u8 list ‖ var member)
 *
 * The members are those that this entry appended, list by list in order. The reference key (the row of KV_REFERENCE) is in openings of
 * erased events, so that a reference stays used. Pure.
 */
#ifndef LEDGERD_PROTO_OPENING_H
#define LEDGERD_PROTO_OPENING_H

#include "entry.h"
#include "state.h"

struct opening_part {
    unsigned link;
    struct hash salt;
    struct span state;          /* stored form */
    size_t n_members;
    struct opened_member { uint8_t log; struct span bytes; } *members; /* from the arena */
};
struct opening {
    size_t n;
    struct opening_part *parts; /* from the arena */
    bool has_reference;
    struct hash reference;
};
struct span opening_encode(struct arena *a, const struct opening *o);
/* EINVAL: not the one encoding. EVERSION: a newer one. Borrows from bytes. */
enum ledger_rc opening_decode(struct arena *a, struct span bytes, struct opening *out, struct ledger_err *err) LEDGER_MUST_USE;
/* The part of a link, or NULL. */
const struct opening_part *opening_part(const struct opening *o, unsigned link);

/*
 * Checks a part against its header and decodes the state: it is the state of the chain with that key (its type and id give the key
 * under index_key), and what the link commits to. `before` is the chain before the entry (NULL: not known): its lists and the members here
 * then must make the lists of the state. *out is the chain after the entry, complete but for head. EINVAL, EVERSION, ENOMEM.
 */
enum ledger_rc opening_check(struct crypto *c, struct arena *a, const struct hash *index_key, const struct header *h,
                             const struct opening_part *p, const struct chain *before, struct chain *out, struct ledger_err *err)
    LEDGER_MUST_USE;

/* Makes the part of link `link` of an entry from the view: walks the chain's history up to it. `nonce` is the event's. */
enum ledger_rc opening_make(struct crypto *c, struct arena *a, const struct kv *kv, const struct header *h, unsigned link,
                            struct span nonce, struct opening_part *out, struct ledger_err *err) LEDGER_MUST_USE;
struct state_walk;
/* The same from a walk that stands at that entry. */
enum ledger_rc opening_of_step(struct arena *a, const struct state_walk *w, unsigned link, struct span nonce,
                               struct opening_part *out, struct ledger_err *err) LEDGER_MUST_USE;

#endif
