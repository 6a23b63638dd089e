/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bytes: a growing queue of bytes: appended at the end, taken from the front. An empty one holds no memory.
 */
#ifndef LEDGERD_SERVER_BYTES_H
#define LEDGERD_SERVER_BYTES_H

#include "base.h"

struct bytes {
    uint8_t *p;
    size_t start, end, capacity; /* p[start … end) is in the queue */
};

static inline size_t bytes_count(const struct bytes *b)
{
    return b->end - b->start;
}
static inline struct span bytes_span(const struct bytes *b)
{
    return b->p ? span_of(b->p + b->start, b->end - b->start) : SPAN_NONE;
}
/* Room for n more bytes at the end, for the caller to fill; they are in the queue already. NULL: out of memory, nothing changed. */
uint8_t *bytes_grow(struct bytes *b, size_t n);
bool bytes_add(struct bytes *b, struct span s) LEDGER_MUST_USE;
void bytes_drop(struct bytes *b, size_t n); /* from the front; n ≤ bytes_count */
void bytes_fini(struct bytes *b);

#endif
