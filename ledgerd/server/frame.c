/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame: the reader's state is the head's bytes and then the body's; `length` is valid once head_n is FRAME_HEAD.
 *
 * Failure modes: after FRAME_BAD_LENGTH and FRAME_NO_MEMORY the stream cannot be cut any further; the connection ends.
 */
#include "frame.h"

#include <stdlib.h>
#include <string.h>

static void take(struct span *in, size_t n)
{
    in->p += n;
    in->n -= n;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Makes room for n bytes of the body, doubling, never beyond its length. */
static bool grow(struct frame_reader *r, size_t n)
{
    if (n <= r->capacity)
        return true;
    size_t capacity = r->capacity ? r->capacity : 512;
    while (capacity < n)
        capacity *= 2;
    capacity = capacity > r->length ? r->length : capacity;
    uint8_t *body = realloc(r->body, capacity);
    if (!body)
        return false;
    r->body = body;
    r->capacity = capacity;
    return true;
}

static void begin_next(struct frame_reader *r)
{
    r->head_n = 0;
    r->got = 0;
}

static enum frame_result feed_body(struct frame_reader *r, struct span *in, struct span *frame)
{
    if (r->got == 0 && in->n >= r->length) {
        *frame = (struct span){in->p, r->length};
        take(in, r->length);
        begin_next(r);
        return FRAME_COMPLETE;
    }
    size_t n = least(in->n, r->length - r->got);
    if (!grow(r, r->got + n))
        return FRAME_NO_MEMORY;
    if (n)
        memcpy(r->body + r->got, in->p, n);
    r->got += n;
    take(in, n);
    if (r->got < r->length)
        return FRAME_MORE;
    *frame = (struct span){r->body, r->length};
    begin_next(r);
    return FRAME_COMPLETE;
}

enum frame_result frame_feed(struct frame_reader *r, const struct frame_budget *budget, struct span *in,
                             struct span *frame)
{
    while (r->head_n < FRAME_HEAD && in->n) {
        r->head[r->head_n++] = *in->p;
        take(in, 1);
    }
    if (r->head_n < FRAME_HEAD)
        return FRAME_MORE;
    r->length = (size_t)r->head[0] << 24 | (size_t)r->head[1] << 16 | (size_t)r->head[2] << 8 | r->head[3];
    if (r->length < 1 || r->length > FRAME_MAX)
        return FRAME_BAD_LENGTH;
    if (r->length > FRAME_SMALL && !r->reserved) {
        if (!budget->reserve(budget->ctx, r->length))
            return FRAME_WAIT;
        r->reserved = true;
    }
    return feed_body(r, in, frame);
}

bool frame_begun(const struct frame_reader *r)
{
    return r->head_n > 0;
}

void frame_trim(struct frame_reader *r)
{
    if (frame_begun(r) || !r->body)
        return;
    free(r->body);
    r->body = NULL;
    r->capacity = 0;
}

void frame_fini(struct frame_reader *r)
{
    free(r->body);
    r->body = NULL;
    r->capacity = 0;
}
