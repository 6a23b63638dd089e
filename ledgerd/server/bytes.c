/* SPDX-License-Identifier: Apache-2.0 */
/* bytes: a growing queue of bytes (bytes.h). */
#include "bytes.h"

#include <stdlib.h>
#include <string.h>

uint8_t *bytes_grow(struct bytes *b, size_t n)
{
    size_t count = bytes_count(b);
    if (b->start && b->capacity - b->end < n) {
        memmove(b->p, b->p + b->start, count);
        b->start = 0;
        b->end = count;
    }
    if (b->capacity - b->end < n) {
        size_t capacity = b->capacity ? b->capacity : 256;
        while (capacity - b->end < n)
            capacity *= 2;
        uint8_t *p = realloc(b->p, capacity);
        if (!p)
            return NULL;
        b->p = p;
        b->capacity = capacity;
    }
    uint8_t *room = b->p + b->end;
    b->end += n;
    return room;
}

bool bytes_add(struct bytes *b, struct span s)
{
    if (s.n == 0)
        return true;
    uint8_t *room = bytes_grow(b, s.n);
    if (room)
        memcpy(room, s.p, s.n);
    return room != NULL;
}

void bytes_drop(struct bytes *b, size_t n)
{
    LEDGER_REQUIRE(n <= bytes_count(b));
    b->start += n;
    if (b->start == b->end)
        bytes_fini(b);
}

void bytes_fini(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){0};
}
