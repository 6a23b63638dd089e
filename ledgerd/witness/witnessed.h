/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witnessed: the newest checkpoint that the ledger's own witnesses have cosigned as its policy asks, with all cosignature lines that
 * have come. One writer (the thread that asks the witnesses), any number of readers in any threads.
 *
 * It never goes back: a smaller checkpoint is not taken, one of the same size replaces the note (it has more lines).
 */
#ifndef LEDGERD_WITNESS_WITNESSED_H
#define LEDGERD_WITNESS_WITNESSED_H

#include "note.h"

struct witnessed;
struct witnessed *witnessed_new(void);    /* returns owned; NULL when out of memory */
void witnessed_free(struct witnessed *w); /* NULL is allowed */

struct witnessed_view {
    uint64_t size;           /* 0: there is none yet */
    struct hash root;
    uint64_t cosigned_at;    /* POSIX seconds: since when the quorum holds, by the witnesses' clocks */
    struct span note;
};
/* The note is copied. At most NOTE_SIZE_MAX bytes. */
void witnessed_set(struct witnessed *w, const struct witnessed_view *v);
/* The note is copied into the arena. False: it has no room. */
bool witnessed_get(struct witnessed *w, struct arena *a, struct witnessed_view *out) LEDGER_MUST_USE;
/* Size alone. */
uint64_t witnessed_size(struct witnessed *w);

#endif
