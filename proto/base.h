/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base: the vocabulary every module of the protocol shares: return codes, error texts, spans,
 * 32-byte hashes and the arena that all memory of proto/ comes from.
 *
 * Ownership words used in all headers: *borrows* (the callee reads it during the call only),
 * *copies*, *takes* (ownership moves to the callee), *returns owned*. A `const` pointer is borrowed.
 * May include: the C library only. No I/O, no clock, no threads, no globals.
 */
#ifndef LEDGERD_PROTO_BASE_H
#define LEDGERD_PROTO_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_MUST_USE __attribute__((warn_unused_result))
#define LEDGER_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Stable numbers; the text of each is in base.c. A failed verification is a verdict (verify.h),
 * a refused event is a refusal (refusal.h); neither is an error. */
#define LEDGER_RC_LIST(X)                                                                         \
    X(OK, 0, "ok")                                                                                \
    X(EINVAL, -1, "malformed or not allowed")                                                     \
    X(ENOMEM, -2, "out of memory, or over the memory budget of this operation")                   \
    X(ENOTFOUND, -3, "not found")                                                                 \
    X(EIO, -4, "input or output failed")                                                          \
    X(EVERSION, -5, "written by a newer version; needs a newer program")                          \
    X(ELIMIT, -6, "over a limit")                                                                 \
    X(EBUSY, -7, "busy, or in use by another process; nothing was recorded")                      \
    X(ETAMPER, -8, "evidence of tampering")                                                       \
    X(ECONNECT, -9, "no answer from the server")                                                  \
    X(EPROTO, -10, "the peer broke the protocol")                                                 \
    X(EDENIED, -11, "not allowed for this certificate")                                           \
    X(ESTALE, -12, "older than the freshness that the profile demands")                           \
    X(EFULL, -13, "no space left")                                                                \
    X(EREFUSED, -14, "refused by the rules")                                                      \
    X(ECANCELED, -15, "cancelled")                                                                \
    X(EINTERNAL, -16, "internal error: a broken invariant")                                       \
    X(EUNTRUSTED, -17, "the policy does not vouch for it")

enum ledger_rc {
#define X(name, number, text) LEDGER_##name = number,
    LEDGER_RC_LIST(X)
#undef X
};

/* The text of a code; static, never NULL. */
const char *ledger_rc_text(enum ledger_rc rc);

/* Where and why: caller-owned, never allocates. Every `err` parameter may be NULL. */
struct ledger_err {
    enum ledger_rc rc;
    int sys; /* errno or library code, 0 if none */
    char msg[240];
};

/* Sets err and returns rc, so that `return ledger_fail(err, LEDGER_EINVAL, "…")` reads as one step. */
enum ledger_rc ledger_fail(struct ledger_err *err, enum ledger_rc rc, const char *fmt, ...)
    LEDGER_PRINTF(3, 4);
/* Prefixes the message with context: "commit: no space left". Returns err->rc (or rc if err is NULL). */
enum ledger_rc ledger_wrap(struct ledger_err *err, enum ledger_rc rc, const char *fmt, ...)
    LEDGER_PRINTF(3, 4);

/* Borrowed bytes. An absent value has p == NULL. */
struct span {
    const uint8_t *p;
    size_t n;
};
#define SPAN_NONE ((struct span){NULL, 0})
#define SPAN_LIT(s) ((struct span){(const uint8_t *)(s), sizeof(s) - 1})
static inline struct span span_of(const void *p, size_t n)
{
    return (struct span){(const uint8_t *)p, n};
}
struct span span_str(const char *s); /* NULL gives SPAN_NONE */
bool span_eq(struct span a, struct span b);
int span_cmp(struct span a, struct span b); /* memcmp order, shorter first on a tie */

/* For "%.*s" of printable spans: SPAN_FMT(x). */
#define SPAN_FMT(s) (int)(s).n, (const char *)(s).p

#define HASH_LEN 32
struct hash {
    uint8_t b[HASH_LEN];
};
bool hash_eq(const struct hash *a, const struct hash *b);
bool hash_is_zero(const struct hash *h);
extern const struct hash HASH_ZERO; /* 32 zero bytes: "nothing before", "empty subtree" */

/*
 * Arena: bump allocation with a budget, freed at once. Memory is zeroed and aligned for any type.
 * Not thread-safe; one per request or per thread.
 */
struct arena;
struct arena *arena_new(size_t budget_bytes); /* returns owned; NULL when out of memory */
void arena_free(struct arena *a);             /* NULL is allowed */
void arena_reset(struct arena *a);            /* forgets all allocations, keeps a block */
void *arena_alloc(struct arena *a, size_t n); /* NULL when over the budget */
struct arena_mark { void *block; size_t used, total; };
struct arena_mark arena_mark(const struct arena *a);            /* everything after it … */
void arena_release(struct arena *a, struct arena_mark mark);    /* … is given back here */
struct span arena_copy(struct arena *a, struct span s);         /* SPAN_NONE when over the budget */
char *arena_strdup(struct arena *a, struct span s);             /* NUL-terminated copy, or NULL */
size_t arena_used(const struct arena *a);

/* A broken invariant. Logs nothing itself: proto/ has no I/O; aborts, so the caller's core shows it. */
#define LEDGER_REQUIRE(x)                                                                         \
    do {                                                                                          \
        if (!(x))                                                                                 \
            ledger_panic(__FILE__, __LINE__, #x);                                                 \
    } while (0)
_Noreturn void ledger_panic(const char *file, int line, const char *what);

/* Big-endian writer into an arena-backed growing buffer. `failed` is sticky: check once at the end. */
struct wbuf {
    struct arena *a;
    uint8_t *p;
    size_t n, cap;
    bool failed;
};
void wbuf_init(struct wbuf *w, struct arena *a);
void wbuf_room(struct wbuf *w, size_t n);              /* so many bytes are to come: room for them at once */
void wbuf_bytes(struct wbuf *w, const void *p, size_t n);
void wbuf_u8(struct wbuf *w, uint8_t v);
void wbuf_u16(struct wbuf *w, uint16_t v);
void wbuf_u32(struct wbuf *w, uint32_t v);
void wbuf_u64(struct wbuf *w, uint64_t v);
void wbuf_i64(struct wbuf *w, int64_t v);            /* two's complement */
void wbuf_hash(struct wbuf *w, const struct hash *h);
void wbuf_str(struct wbuf *w, struct span s);        /* u32 length, bytes */
struct span wbuf_span(const struct wbuf *w);         /* SPAN_NONE if anything failed */

/* Big-endian reader. Reading past the end sets `failed` (sticky) and yields zeros. */
struct rbuf {
    const uint8_t *p;
    size_t n;
    bool failed;
};
void rbuf_init(struct rbuf *r, struct span s);
struct span rbuf_bytes(struct rbuf *r, size_t n);
uint8_t rbuf_u8(struct rbuf *r);
uint16_t rbuf_u16(struct rbuf *r);
uint32_t rbuf_u32(struct rbuf *r);
uint64_t rbuf_u64(struct rbuf *r);
int64_t rbuf_i64(struct rbuf *r);
struct hash rbuf_hash(struct rbuf *r);
struct span rbuf_str(struct rbuf *r);                /* borrows from the input */
bool rbuf_done(const struct rbuf *r);                /* nothing failed and nothing is left */

#endif
