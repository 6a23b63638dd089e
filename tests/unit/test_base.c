/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts, spans, the arena's budget and marks, and the big-endian writer and reader. */
#include "base.h"

#include "check.h"

TEST(errors)
{
    struct ledger_err err = {.rc = LEDGER_OK};
    CHECK_EQ_STR(ledger_rc_text(LEDGER_EFULL), "no space left");
    CHECK_EQ_STR(ledger_rc_text((enum ledger_rc) - 999), "unknown code");
    err.sys = 7;
    CHECK_EQ_INT(ledger_fail(&err, LEDGER_EIO, "read %d", 5), LEDGER_EIO);
    CHECK_EQ_STR(err.msg, "read 5");
    CHECK_EQ_INT(err.sys, 0);
    err.sys = 7;
    CHECK_EQ_INT(ledger_wrap(&err, LEDGER_EINVAL, "open %s", "x"), LEDGER_EIO);
    CHECK_EQ_STR(err.msg, "open x: read 5");
    CHECK_EQ_INT(err.sys, 7);
    CHECK_EQ_INT(ledger_fail(&err, LEDGER_EIO, "again: %s", err.msg), LEDGER_EIO);
    CHECK_EQ_STR(err.msg, "again: open x: read 5");
    CHECK_EQ_INT(ledger_fail(NULL, LEDGER_EIO, "x"), LEDGER_EIO);
    CHECK_EQ_INT(ledger_wrap(NULL, LEDGER_EBUSY, "x"), LEDGER_EBUSY);
    err = (struct ledger_err){.rc = LEDGER_OK};
    CHECK_EQ_INT(ledger_wrap(&err, LEDGER_EFULL, "commit"), LEDGER_EFULL);
    CHECK_EQ_STR(err.msg, "commit: no space left");
}

TEST(long_errors_are_cut)
{
    struct ledger_err err = {.rc = LEDGER_OK};
    char text[1000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)ledger_fail(&err, LEDGER_EIO, "%s", text);
    CHECK_EQ_INT(strlen(err.msg), sizeof err.msg - 1);
    (void)ledger_wrap(&err, LEDGER_EIO, "b");
    CHECK_EQ_INT(strlen(err.msg), sizeof err.msg - 1);
    CHECK(strncmp(err.msg, "b: aaa", 6) == 0);
    for (size_t n = sizeof err.msg - 5; n < sizeof err.msg + 3; n++) {
        (void)ledger_fail(&err, LEDGER_EIO, "inner");
        (void)ledger_wrap(&err, LEDGER_EIO, "%.*s", (int)n, text);
        CHECK(strlen(err.msg) < sizeof err.msg && err.msg[0] == 'a');
    }
}

TEST(spans)
{
    CHECK(span_eq(SPAN_NONE, SPAN_LIT("")) && !span_eq(SPAN_LIT("a"), SPAN_LIT("b")));
    CHECK(span_str(NULL).p == NULL && span_str("ab").n == 2);
    CHECK(span_cmp(SPAN_LIT("a"), SPAN_LIT("ab")) < 0 &&
          span_cmp(SPAN_LIT("b"), SPAN_LIT("ab")) > 0);
    CHECK(span_cmp(SPAN_LIT("\xff"), SPAN_LIT("\x01")) > 0 && span_cmp(SPAN_NONE, SPAN_NONE) == 0);
    CHECK(hash_is_zero(&HASH_ZERO));
    struct hash h = HASH_ZERO;
    h.b[31] = 1;
    CHECK(!hash_is_zero(&h) && !hash_eq(&h, &HASH_ZERO) && hash_eq(&h, &h));
}

TEST(arena_budget)
{
    struct arena *a = arena_new(1000);
    CHECK(a);
    CHECK(!arena_alloc(a, 1001) && !arena_alloc(a, SIZE_MAX) && arena_used(a) == 0);
    uint8_t *p = arena_alloc(a, 500);
    CHECK(p && (uintptr_t)p % _Alignof(max_align_t) == 0);
    memset(p, 0xaa, 500);
    CHECK(!arena_alloc(a, 500));
    uint8_t *q = arena_alloc(a, 400);
    CHECK(q && (q >= p + 500 || q + 400 <= p));
    CHECK(!arena_strdup(a, span_of(p, 500)));
    CHECK(!arena_copy(a, span_of(p, 500)).p);
    arena_reset(a);
    CHECK_EQ_INT(arena_used(a), 0);
    p = arena_alloc(a, 500);
    CHECK(p);
    for (size_t i = 0; i < 500; i++)
        CHECK_EQ_INT(p[i], 0);
    arena_free(a);
    arena_free(NULL);
}

TEST(arena_blocks_and_marks)
{
    struct arena *a = arena_new(8 << 20);
    CHECK(a);
    struct arena_mark empty = arena_mark(a);
    uint8_t *first = arena_alloc(a, 16);
    memset(first, 1, 16);
    struct arena_mark mark = arena_mark(a);
    for (size_t i = 1; i < 3000; i++) {
        uint8_t *p = arena_alloc(a, i);
        CHECK(p);
        for (size_t j = 0; j < i; j++)
            CHECK(p[j] == 0);
        memset(p, 0xff, i);
    }
    arena_release(a, mark);
    CHECK_EQ_INT(arena_used(a), 16);
    uint8_t *p = arena_alloc(a, 100);
    CHECK(p && p[0] == 0 && p[99] == 0 && first[15] == 1);
    CHECK(arena_alloc(a, 4 << 20));
    arena_release(a, empty);
    CHECK_EQ_INT(arena_used(a), 0);
    CHECK_EQ_STR(arena_strdup(a, SPAN_LIT("text")), "text");
    CHECK(span_eq(arena_copy(a, SPAN_LIT("text")), SPAN_LIT("text")));
    CHECK(arena_copy(a, SPAN_LIT("")).p && !arena_copy(a, SPAN_NONE).p);
    CHECK(arena_alloc(a, 0) != arena_alloc(a, 0));
    arena_free(a);
}

TEST(writer_and_reader)
{
    static const uint8_t want[] = {1,    0x02, 0x03, 4,  5,  6,    7,    8,    9,    10,
                                   11,   12,   13,   14, 15, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xfe, 0,  0,  0,    2,    'h',  'i'};
    struct arena *a = arena_new(1 << 20);
    struct wbuf w;
    wbuf_init(&w, a);
    CHECK(wbuf_span(&w).p && wbuf_span(&w).n == 0);
    wbuf_u8(&w, 1);
    wbuf_u16(&w, 0x0203);
    wbuf_u32(&w, 0x04050607);
    wbuf_u64(&w, UINT64_C(0x08090a0b0c0d0e0f));
    wbuf_i64(&w, -2);
    wbuf_str(&w, SPAN_LIT("hi"));
    struct span s = wbuf_span(&w);
    CHECK_EQ_INT(s.n, sizeof want);
    CHECK_EQ_MEM(s.p, want, sizeof want);
    struct rbuf r;
    rbuf_init(&r, s);
    CHECK(rbuf_u8(&r) == 1 && rbuf_u16(&r) == 0x0203 && rbuf_u32(&r) == 0x04050607);
    CHECK(rbuf_u64(&r) == UINT64_C(0x08090a0b0c0d0e0f) && rbuf_i64(&r) == -2 && !rbuf_done(&r));
    CHECK(span_eq(rbuf_str(&r), SPAN_LIT("hi")) && rbuf_done(&r));
    CHECK(rbuf_u8(&r) == 0 && r.failed && !rbuf_done(&r));
    arena_free(a);
}

TEST(reader_fails_at_every_cut)
{
    static const uint8_t bytes[4 + HASH_LEN] = {0, 0, 0, HASH_LEN};
    for (size_t n = 0; n < sizeof bytes; n++) {
        struct rbuf r;
        rbuf_init(&r, span_of(bytes, n));
        CHECK(!rbuf_str(&r).p && r.failed);
        rbuf_init(&r, span_of(bytes, n));
        (void)rbuf_u32(&r);
        struct hash h = rbuf_hash(&r);
        CHECK(r.failed && hash_is_zero(&h));
        CHECK(rbuf_u64(&r) == 0 && rbuf_bytes(&r, 0).p == NULL);
    }
    struct rbuf r;
    rbuf_init(&r, SPAN_NONE);
    CHECK(rbuf_bytes(&r, 0).n == 0 && rbuf_done(&r));
    CHECK(rbuf_bytes(&r, SIZE_MAX).p == NULL && r.failed);
}

TEST(writer_over_budget)
{
    struct arena *a = arena_new(300);
    struct wbuf w;
    wbuf_init(&w, a);
    for (size_t i = 0; i < 100; i++)
        wbuf_hash(&w, &HASH_ZERO);
    CHECK(w.failed && !wbuf_span(&w).p);
    wbuf_u8(&w, 1);
    CHECK(w.failed);
    arena_free(a);
    a = arena_new(1 << 20);
    wbuf_init(&w, a);
    for (size_t i = 0; i < 5000; i++)
        wbuf_u16(&w, (uint16_t)i);
    struct span s = wbuf_span(&w);
    CHECK_EQ_INT(s.n, 10000);
    for (size_t i = 0; i < 5000; i++)
        CHECK_EQ_INT(s.p[2 * i] << 8 | s.p[2 * i + 1], i);
    arena_free(a);
}

TEST_MAIN(TEST_ENTRY(errors), TEST_ENTRY(long_errors_are_cut), TEST_ENTRY(spans),
          TEST_ENTRY(arena_budget), TEST_ENTRY(arena_blocks_and_marks),
          TEST_ENTRY(writer_and_reader), TEST_ENTRY(reader_fails_at_every_cut),
          TEST_ENTRY(writer_over_budget))
