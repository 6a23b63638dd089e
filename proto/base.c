/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base: error texts, spans, and the big-endian writer and reader that all fixed layouts go through.
 *
 * Failure modes: a message that is too long is cut; a writer that runs over its arena's budget and
 * a reader that runs past its input set a sticky flag that their user checks once, at the end.
 */
#include "base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct hash HASH_ZERO = {{0}};

const char *ledger_rc_text(enum ledger_rc rc)
{
    switch (rc) {
#define X(name, number, text)                                                                      \
    case LEDGER_##name:                                                                            \
        return text;
        LEDGER_RC_LIST(X)
#undef X
    }
    return "unknown code";
}

static void LEDGER_PRINTF(3, 0) format_to(char *out, size_t max, const char *fmt, va_list ap)
{
    if (vsnprintf(out, max, fmt, ap) < 0)
        out[0] = '\0';
}

enum ledger_rc ledger_fail(struct ledger_err *err, enum ledger_rc rc, const char *fmt, ...)
{
    if (!err)
        return rc;
    /* Formatted apart first: an argument may point into err->msg itself. */
    char text[sizeof err->msg];
    va_list ap;
    va_start(ap, fmt);
    format_to(text, sizeof text, fmt, ap);
    va_end(ap);
    err->rc = rc;
    err->sys = 0;
    memcpy(err->msg, text, sizeof text);
    return rc;
}

enum ledger_rc ledger_wrap(struct ledger_err *err, enum ledger_rc rc, const char *fmt, ...)
{
    if (!err)
        return rc;
    char text[sizeof err->msg];
    va_list ap;
    va_start(ap, fmt);
    format_to(text, sizeof text, fmt, ap);
    va_end(ap);
    if (err->rc == LEDGER_OK) { /* Nobody said more than the code. */
        err->rc = rc;
        err->msg[0] = '\0';
    }
    const char *inner = err->msg[0] ? err->msg : ledger_rc_text(err->rc);
    size_t n = strlen(text);
    size_t inner_n = strlen(inner);
    const size_t room = sizeof text - 1;
    if (n + 2 < room) {
        text[n++] = ':';
        text[n++] = ' ';
        if (inner_n > room - n)
            inner_n = room - n;
        memcpy(text + n, inner, inner_n);
        text[n + inner_n] = '\0';
    }
    memcpy(err->msg, text, sizeof text);
    return err->rc;
}

_Noreturn void ledger_panic(const char *file, int line, const char *what)
{
    /* Volatile copies, so that the core file shows them even in an optimised build. */
    const char *volatile panic_file = file;
    const char *volatile panic_what = what;
    volatile int panic_line = line;
    (void)panic_file;
    (void)panic_what;
    (void)panic_line;
    abort();
}

struct span span_str(const char *s)
{
    return s ? span_of(s, strlen(s)) : SPAN_NONE;
}

bool span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int span_cmp(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int d = n ? memcmp(a.p, b.p, n) : 0;
    if (d != 0)
        return d;
    return (a.n > b.n) - (a.n < b.n);
}

bool hash_eq(const struct hash *a, const struct hash *b)
{
    return memcmp(a->b, b->b, HASH_LEN) == 0;
}

bool hash_is_zero(const struct hash *h)
{
    return hash_eq(h, &HASH_ZERO);
}

void wbuf_init(struct wbuf *w, struct arena *a)
{
    *w = (struct wbuf){.a = a};
}

/* Makes room for n more bytes; the room doubles so that a long row of small writes stays linear. */
static bool wbuf_grow(struct wbuf *w, size_t n)
{
    size_t cap = w->cap ? w->cap : 128;
    while (cap - w->n < n && cap <= SIZE_MAX / 2)
        cap *= 2;
    uint8_t *p = cap - w->n < n ? NULL : arena_alloc(w->a, cap);
    if (!p) {
        w->failed = true;
        return false;
    }
    if (w->n)
        memcpy(p, w->p, w->n);
    w->p = p;
    w->cap = cap;
    return true;
}

static inline bool wbuf_reserve(struct wbuf *w, size_t n)
{
    return !w->failed && (n <= w->cap - w->n || wbuf_grow(w, n));
}

void wbuf_room(struct wbuf *w, size_t n)
{
    (void)wbuf_reserve(w, n);
}

void wbuf_bytes(struct wbuf *w, const void *p, size_t n)
{
    if (n == 0 || !wbuf_reserve(w, n))
        return;
    memcpy(w->p + w->n, p, n);
    w->n += n;
}

/* The compiler makes one store of it, since it knows `bytes` wherever this is used. */
static inline void wbuf_uint(struct wbuf *w, uint64_t v, size_t bytes)
{
    const uint8_t be[8] = {(uint8_t)(v >> 56), (uint8_t)(v >> 48), (uint8_t)(v >> 40), (uint8_t)(v >> 32),
                           (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),  (uint8_t)v};
    if (!wbuf_reserve(w, bytes))
        return;
    memcpy(w->p + w->n, be + sizeof be - bytes, bytes);
    w->n += bytes;
}

void wbuf_u8(struct wbuf *w, uint8_t v)
{
    wbuf_uint(w, v, 1);
}

void wbuf_u16(struct wbuf *w, uint16_t v)
{
    wbuf_uint(w, v, 2);
}

void wbuf_u32(struct wbuf *w, uint32_t v)
{
    wbuf_uint(w, v, 4);
}

void wbuf_u64(struct wbuf *w, uint64_t v)
{
    wbuf_uint(w, v, 8);
}

void wbuf_i64(struct wbuf *w, int64_t v)
{
    wbuf_uint(w, (uint64_t)v, 8);
}

void wbuf_hash(struct wbuf *w, const struct hash *h)
{
    wbuf_bytes(w, h->b, HASH_LEN);
}

void wbuf_str(struct wbuf *w, struct span s)
{
    if (s.n > UINT32_MAX) {
        w->failed = true;
        return;
    }
    wbuf_u32(w, (uint32_t)s.n);
    wbuf_bytes(w, s.p, s.n);
}

struct span wbuf_span(const struct wbuf *w)
{
    /* Nothing written is empty, not absent: absent means that something failed. */
    static const uint8_t nothing[1];
    if (w->failed)
        return SPAN_NONE;
    return w->n ? span_of(w->p, w->n) : span_of(nothing, 0);
}

void rbuf_init(struct rbuf *r, struct span s)
{
    *r = (struct rbuf){.p = s.p, .n = s.n};
}

struct span rbuf_bytes(struct rbuf *r, size_t n)
{
    if (r->failed || n > r->n) {
        r->failed = true;
        return SPAN_NONE;
    }
    struct span s = span_of(r->p, n);
    if (n) {
        r->p += n;
        r->n -= n;
    }
    return s;
}

static inline uint64_t rbuf_uint(struct rbuf *r, size_t bytes)
{
    uint8_t be[8] = {0};
    struct span s = rbuf_bytes(r, bytes);
    if (s.p)
        memcpy(be + sizeof be - bytes, s.p, bytes);
    return (uint64_t)be[0] << 56 | (uint64_t)be[1] << 48 | (uint64_t)be[2] << 40 | (uint64_t)be[3] << 32 |
           (uint64_t)be[4] << 24 | (uint64_t)be[5] << 16 | (uint64_t)be[6] << 8 | (uint64_t)be[7];
}

uint8_t rbuf_u8(struct rbuf *r)
{
    return (uint8_t)rbuf_uint(r, 1);
}

uint16_t rbuf_u16(struct rbuf *r)
{
    return (uint16_t)rbuf_uint(r, 2);
}

uint32_t rbuf_u32(struct rbuf *r)
{
    return (uint32_t)rbuf_uint(r, 4);
}

uint64_t rbuf_u64(struct rbuf *r)
{
    return rbuf_uint(r, 8);
}

int64_t rbuf_i64(struct rbuf *r)
{
    return (int64_t)rbuf_uint(r, 8);
}

struct hash rbuf_hash(struct rbuf *r)
{
    struct hash h = HASH_ZERO;
    struct span s = rbuf_bytes(r, HASH_LEN);
    if (s.n == HASH_LEN)
        memcpy(h.b, s.p, HASH_LEN);
    return h;
}

struct span rbuf_str(struct rbuf *r)
{
    uint32_t n = rbuf_u32(r);
    return rbuf_bytes(r, n);
}

bool rbuf_done(const struct rbuf *r)
{
    return !r->failed && r->n == 0;
}
