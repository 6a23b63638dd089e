/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries read ahead: each comes in its place, with what can be said of its signatures before the machine asks; whatever stops the reading is told where it
 * stops, and nothing is left running by whoever gives up.
 */
#include "lib/busy_world.h"

#include "check_internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

static bool no_threads;

/* In the place of the C library's. */
__attribute__((visibility("default"))) int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return no_threads ? EAGAIN : real(t, attr, run, arg);
}

static uint64_t log_entries(struct world *w)
{
    struct store_snapshot *sn;
    uint64_t n;
    MUST(store_snapshot_open(w->store, &sn, err));
    MUST(log_size(sn, &n, err));
    store_snapshot_close(sn);
    return n;
}

/* Every signature but the forged one verifies under a key that was registered before. */
static void must_be_verified(const struct ahead_entry *e, uint64_t index, uint64_t forged)
{
    CHECK_EQ_INT(e->rc, LEDGER_OK);
    CHECK(e->decoded);
    CHECK_EQ_INT(e->entry.header.index, index);
    for (unsigned k = 0; k < SIGNATURES_READ_MAX; k++)
        CHECK_EQ_INT(e->pre.ok[k], e->entry.content && !e->entry.own && k < e->entry.block.n && index != forged);
}

static void read_some(struct world *w, uint64_t from, uint64_t end, uint64_t to, uint64_t forged)
{
    struct read_ahead *r;
    const struct ahead_entry *e;
    MUST(read_ahead_log(w->store, WORLD_ORIGIN, from, to, &r, err));
    for (uint64_t i = from; i < end; i++) {
        MUST(read_ahead_next(r, &e, err));
        must_be_verified(e, i, forged);
    }
    read_ahead_stop(r);
}

TEST(signatures_are_verified_ahead_in_order)
{
    for (unsigned together = 0; together < 2; together++) {
        uint64_t forged;
        struct world *w = world_with_forgery(together, &forged);
        uint64_t n = log_entries(w);
        CHECK(n > forged + 100 && forged > 300);
        read_some(w, 0, n, n, forged);
        for (uint64_t from = 250; from < n; from += 61) /* behind the key that was rotated: the view has the keys */
            read_some(w, from, n, n, forged);
        world_close(w);
    }
}

/* What was signed for another ledger counts for nothing here. */
TEST(signatures_are_for_the_origin_that_is_given)
{
    uint64_t forged;
    struct world *w = world_with_forgery(false, &forged);
    struct read_ahead *r;
    const struct ahead_entry *e;
    MUST(read_ahead_log(w->store, "other.example/ledger", 250, log_entries(w), &r, err));
    for (uint64_t i = 250; i < log_entries(w); i++) {
        MUST(read_ahead_next(r, &e, err));
        CHECK(e->decoded && !e->pre.ok[0]);
    }
    read_ahead_stop(r);
    world_close(w);
}

TEST(it_is_given_up_at_any_time)
{
    uint64_t forged;
    struct world *w = world_with_forgery(false, &forged);
    uint64_t n = log_entries(w);
    for (uint64_t end = 0; end < n; end += 37)
        read_some(w, 0, end, n, forged);
    for (uint64_t to = 1; to < n; to += 61) /* and the end may be anywhere */
        read_some(w, 0, to, to, forged);
    world_close(w);
}

/* A log that ends otherwise than it should. */
struct spoilt {
    struct store_snapshot *sn;
    uint64_t at;
    enum ledger_rc rc;
};

static enum ledger_rc read_spoilt(void *ctx, uint64_t index, struct entry_record *out, const char **from, struct ledger_err *err)
{
    struct spoilt *s = ctx;
    struct kv kv = store_snapshot_kv(s->sn);
    *from = "here";
    return index == s->at ? ledger_fail(err, s->rc, "spoilt on purpose") : log_read(&kv, index, out, err);
}

TEST(what_cannot_be_read_is_told_at_its_place)
{
    static const enum ledger_rc rcs[] = {LEDGER_EIO, LEDGER_ENOTFOUND, LEDGER_ETAMPER};
    uint64_t forged;
    struct world *w = world_with_forgery(false, &forged);
    uint64_t n = log_entries(w);
    for (uint64_t at = 0; at < n; at += 127) {
        for (unsigned k = 0; k < 3; k++) {
            struct spoilt s = {.at = at, .rc = rcs[k]};
            const struct ahead_source source = {.ctx = &s, .read = read_spoilt};
            struct read_ahead *r;
            const struct ahead_entry *e;
            struct ledger_err why = {0};
            MUST(store_snapshot_open(w->store, &s.sn, err));
            MUST(read_ahead_start(&source, n, &r, err));
            for (uint64_t i = 0; i < at; i++) {
                MUST(read_ahead_next(r, &e, err));
                CHECK_EQ_INT(e->rc, LEDGER_OK);
                CHECK_EQ_STR(e->from, "here");
            }
            enum ledger_rc rc = read_ahead_next(r, &e, &why);
            CHECK_EQ_INT(rc, rcs[k] == LEDGER_EIO ? LEDGER_EIO : LEDGER_OK);
            if (rc)
                CHECK_EQ_STR(why.msg, "spoilt on purpose");
            else
                CHECK_EQ_INT(e->rc, rcs[k]);
            if (!rc && at + 1 < n)
                MUST(read_ahead_next(r, &e, err)); /* and it goes on behind it */
            read_ahead_stop(r);
            store_snapshot_close(s.sn);
        }
    }
    world_close(w);
}

TEST(without_threads_the_caller_does_it)
{
    uint64_t forged;
    struct world *w = world_with_forgery(true, &forged);
    uint64_t n = log_entries(w);
    no_threads = true;
    for (uint64_t end = 0; end < n; end += 97)
        read_some(w, 0, end, n, forged);
    read_some(w, 0, n, n, forged);
    no_threads = false;
    world_close(w);
}

/* An entry for which there is no memory is one that cannot be read, never another entry. */
static enum ledger_rc read_too_large(void *ctx, uint64_t index, struct entry_record *out, const char **from, struct ledger_err *err)
{
    struct spoilt *s = ctx;
    enum ledger_rc rc = read_spoilt(ctx, index, out, from, err);
    if (index + 1 == s->at)
        out->event.n = SIZE_MAX / 4;
    return rc;
}

TEST(what_is_too_large_is_not_something_else)
{
    uint64_t forged;
    struct world *w = world_with_forgery(false, &forged);
    struct spoilt s = {.at = 201, .rc = LEDGER_EIO};
    const struct ahead_source source = {.ctx = &s, .read = read_too_large};
    struct read_ahead *r;
    const struct ahead_entry *e;
    MUST(store_snapshot_open(w->store, &s.sn, err));
    MUST(read_ahead_start(&source, log_entries(w), &r, err));
    for (uint64_t i = 0; i < 200; i++)
        MUST(read_ahead_next(r, &e, err));
    CHECK_EQ_INT(read_ahead_next(r, &e, NULL), LEDGER_ENOMEM);
    read_ahead_stop(r);
    store_snapshot_close(s.sn);
    world_close(w);
}

/* The machine derives with what was found ahead, and takes no signature that nobody made. */
TEST(a_replay_ends_at_the_entry_that_nobody_signed)
{
    uint64_t forged;
    struct world *w = world_with_forgery(false, &forged);
    struct kv_mem *rows = kv_mem_new(NULL, (size_t)1 << 30);
    struct machine m = {.c = w->c, .a = w->scratch, .kv = kv_mem_kv(rows), .index_key = w->index_key, .wire = true};
    struct read_ahead *r;
    const struct ahead_entry *e;
    struct verdict v;
    MUST(read_ahead_log(w->store, "", 0, log_entries(w), &r, err));
    while (m.size < forged) {
        MUST(read_ahead_next(r, &e, err));
        MUST(replay_one(&m, e, &v, err));
    }
    MUST(read_ahead_next(r, &e, err));
    CHECK_EQ_INT(replay_one(&m, e, &v, NULL), LEDGER_ETAMPER);
    CHECK_EQ_INT(v.index, forged);
    CHECK_EQ_STR(v.what, "signature");
    read_ahead_stop(r);
    kv_mem_free(rows);
    world_close(w);
}

TEST_MAIN(TEST_ENTRY(signatures_are_verified_ahead_in_order), TEST_ENTRY(signatures_are_for_the_origin_that_is_given),
          TEST_ENTRY(it_is_given_up_at_any_time),
          TEST_ENTRY(what_cannot_be_read_is_told_at_its_place),
          TEST_ENTRY(without_threads_the_caller_does_it), TEST_ENTRY(what_is_too_large_is_not_something_else),
          TEST_ENTRY(a_replay_ends_at_the_entry_that_nobody_signed))
