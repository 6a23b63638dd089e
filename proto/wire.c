/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.c: strict reader and minimal writer of protobuf's wire format (protobuf.dev, "Encoding").
 *
 * Every length is compared with what is left before it is used. A fault is sticky: a reader that
 * failed yields nothing more. May include: wire.h and the C library's memory functions.
 */
#include "wire.h"

#include <string.h>

#define TYPE_VARINT 0u
#define TYPE_LENGTH 2u
#define VARINT_BYTES_MAX 10

void wire_open(struct wire_reader *r, struct span s)
{
    *r = (struct wire_reader){.p = s.p, .n = s.n};
}

static bool fail(struct wire_reader *r, const char *fault)
{
    if (!r->fault)
        r->fault = fault;
    return false;
}

static bool read_long_varint(struct wire_reader *r, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;
    for (;; i++) {
        if (i == r->n)
            return fail(r, "ends inside a number");
        uint8_t byte = r->p[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1)
            return fail(r, "has a number beyond 64 bits");
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            if (byte == 0 && i > 0)
                return fail(r, "has a number in more bytes than it needs");
            break;
        }
    }
    r->p += i + 1;
    r->n -= i + 1;
    *out = v;
    return true;
}

/* Nearly all of them are one byte. */
static inline bool read_varint(struct wire_reader *r, uint64_t *out)
{
    if (r->n == 0 || r->p[0] >= 0x80)
        return read_long_varint(r, out);
    *out = *r->p++;
    r->n--;
    return true;
}

bool wire_next(struct wire_reader *r, struct wire_field *f)
{
    uint64_t tag = 0, length = 0;
    memset(f, 0, sizeof *f);
    if (r->fault || r->n == 0 || !read_varint(r, &tag))
        return false;
    if (tag >> 3 == 0 || tag >> 3 > WIRE_NUMBER_MAX)
        return fail(r, "has a field number out of range");
    f->number = (unsigned)(tag >> 3);
    if (f->number < r->last)
        return fail(r, "has fields that are not in ascending order");
    f->repeated = f->number == r->last;
    r->last = f->number;
    if ((tag & 7) == TYPE_VARINT)
        return read_varint(r, &f->u);
    if ((tag & 7) != TYPE_LENGTH)
        return fail(r, "has a field of a wire type that is not used here");
    if (!read_varint(r, &length))
        return false;
    if (length > r->n)
        return fail(r, "has a field that is longer than what is left");
    f->is_bytes = true;
    f->s = span_of(r->p, (size_t)length);
    r->p += length;
    r->n -= (size_t)length;
    return true;
}

bool wire_next_packed(struct wire_reader *r, uint64_t *v)
{
    return !r->fault && r->n > 0 && read_varint(r, v);
}

static size_t varint_encode(uint64_t v, uint8_t out[VARINT_BYTES_MAX])
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

void wire_put_varint(struct wbuf *w, uint64_t v)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    wbuf_bytes(w, bytes, varint_encode(v, bytes));
}

void wire_put_uint(struct wbuf *w, unsigned number, uint64_t v)
{
    wire_put_varint(w, (uint64_t)number << 3 | TYPE_VARINT);
    wire_put_varint(w, v);
}

void wire_put_bytes(struct wbuf *w, unsigned number, struct span s)
{
    uint8_t head[2 * VARINT_BYTES_MAX];
    size_t n = varint_encode((uint64_t)number << 3 | TYPE_LENGTH, head);
    n += varint_encode(s.n, head + n);
    wbuf_bytes(w, head, n);
    wbuf_bytes(w, s.p, s.n);
}

/* The length precedes the content and is known only at the end. One byte is left for it, and mostly enough. */
size_t wire_begin(struct wbuf *w, unsigned number)
{
    uint8_t head[VARINT_BYTES_MAX + 1];
    size_t n = varint_encode((uint64_t)number << 3 | TYPE_LENGTH, head);
    head[n++] = 0;
    wbuf_bytes(w, head, n);
    return w->n;
}

void wire_end(struct wbuf *w, size_t begun)
{
    uint8_t length[VARINT_BYTES_MAX];
    if (w->failed)
        return;
    size_t content = w->n - begun, n = varint_encode(content, length);
    wbuf_bytes(w, length, n - 1); /* room for the rest of it */
    if (w->failed)
        return;
    if (n > 1)
        memmove(w->p + begun + n - 1, w->p + begun, content);
    memcpy(w->p + begun - 1, length, n);
}
