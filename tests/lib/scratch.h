/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch: a ledger in a folder of its own, made without the init command, and signed events for
 * it.
 *
 * A step that is not what a test is about must succeed; if it does not, the test ends with what
 * went wrong. Not thread-safe, but a thread may have a scratch_pen of its own.
 */
#ifndef LEDGERD_TESTS_SCRATCH_H
#define LEDGERD_TESTS_SCRATCH_H

#include "event.h"
#include "machine.h"
#include "note.h"
#include "store/store.h"

#define SCRATCH_ORIGIN "scratch.example/ledger"
#define SCRATCH_ADMIN "admin"
#define SCRATCH_MAP ((uint64_t)1 << 30) /* small enough for sanitizers */

/* Whose keys: the number is the seed. */
enum scratch_key { KEY_LOG = 1, KEY_ADMIN, KEY_WAREHOUSE, KEY_OPERATOR, KEY_QA, KEY_OTHER };

/* What writing and signing events needs. */
struct scratch_pen {
    struct crypto *c;
    struct arena *a;
};
struct scratch {
    char base[64], dir[96], anchor[112]; /* the anchor is DIR.anchor */
    struct scratch_pen pen;
    struct hash index_key;
    struct note_key key;
};

void pen_init(struct scratch_pen *pen);
void pen_fini(struct scratch_pen *pen);
struct secret_key pen_key(struct scratch_pen *pen, unsigned number);
/* Encodes an event. Fields are "name=value;name=value", members of a list are separated by "|". */
struct span pen_event(struct scratch_pen *pen, const char *kind, const char *reference,
                      const char *fields);
/* Registers a party of organisation ORG with the key of that number. */
struct span pen_registration(struct scratch_pen *pen, const char *reference, const char *party,
                             const char *roles, unsigned key);
/* A receipt of material: the simplest event that a WAREHOUSE party may record. */
struct span pen_material(struct scratch_pen *pen, const char *item);
/* One Signature message over all of them together. `before` is the one at position 1, or
 * SPAN_NONE. */
struct span pen_sign(struct scratch_pen *pen, const struct span *events, size_t n,
                     const char *party, unsigned key, struct span before);

/* Makes the folder: keys, store, genesis entry and its seal. */
void scratch_make(struct scratch *s);
void scratch_remove(struct scratch *s);
struct store *scratch_open(struct scratch *s);
struct store *scratch_open_read(struct scratch *s);

#endif
