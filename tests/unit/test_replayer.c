/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replayer: derives what the machine has written, with and without a state folder, goes on where it stood, says what does not hold and
 * at which entry, and refuses folders that are not what it left.
 */
#include "lib/busy_world.h"

#include "replay_store.h"
#include "replay_verify.h"

#include <fcntl.h>

#define LOG_MAX 600

struct log {
    size_t n;
    struct read_entry e[LOG_MAX];
};

static void read_log(struct world *w, struct log *out)
{
    struct store_snapshot *sn;
    struct verifier vf = {.c = w->c, .a = w->a, .policy = &w->policy, .index_key = w->index_key};
    struct verdict v;
    struct span value;
    uint8_t key[KV_KEY_MAX];
    MUST(store_snapshot_open(w->store, &sn, err));
    struct kv kv = store_snapshot_kv(sn);
    for (out->n = 0; kv_get(&kv, KV_LOG, kv_key_u64(key, out->n), &value) == LEDGER_OK; out->n++) {
        struct entry_record r;
        CHECK(out->n < LOG_MAX && entry_record_split(arena_copy(w->a, value), &r));
        struct read_entry *e = &out->e[out->n];
        e->raw = (struct entry_claim){.header = r.header, .event = r.event, .block = r.block};
        if (!verify_entry(&vf, &e->raw, &e->entry, &v))
            fprintf(stderr, "entry %zu: %s: %s\n", out->n, v.what, v.text);
        CHECK(e->entry.leaf.b[0] || e->entry.leaf.b[1] || e->entry.leaf.b[2]);
    }
    store_snapshot_close(sn);
}

struct seen {
    uint64_t derived, after, failed_at;
    enum ledger_rc rc;
    struct verdict v;
    unsigned saves;
};

static void on_step(void *user, const struct replay_step *s)
{
    struct seen *seen = user;
    seen->derived += s->outcome == REPLAY_DERIVED;
    seen->after += s->outcome == REPLAY_AFTER;
    if (s->outcome != REPLAY_FAILED)
        return;
    seen->failed_at = s->entry->entry.header.index;
    seen->rc = s->rc;
    seen->v = *s->verdict;
}

static enum ledger_rc on_save(void *user, struct ledger_err *err)
{
    (void)err;
    ((struct seen *)user)->saves++;
    return LEDGER_OK;
}

static struct replayer_options options(struct seen *seen)
{
    return (struct replayer_options){.threads = 3, .step = on_step, .saving = on_save, .user = seen};
}

static enum ledger_rc open_with(struct world *w, const char *dir, const struct replayer_options *o, struct replayer **out)
{
    struct ledger_err err = {0};
    enum ledger_rc rc = replayer_open(dir, WORLD_ORIGIN, &w->index_key, o, out, &err);
    if (rc)
        CHECK(err.msg[0]);
    return rc;
}

static void count_release(void *owner)
{
    ++*(unsigned *)owner;
}

/* In portions of `each`. */
static enum ledger_rc feed(struct replayer *r, const struct log *log, size_t from, size_t to, size_t each)
{
    enum ledger_rc rc = LEDGER_OK;
    unsigned released = 0, given = 0;
    for (size_t i = from; i < to && !rc; i += each, given++)
        rc = replayer_feed(r, &log->e[i], to - i < each ? to - i : each, count_release, &released, NULL);
    if (!rc)
        rc = replayer_wait(r, NULL);
    CHECK_EQ_INT(released, given); /* also after an error */
    return rc;
}

static void must_match(struct world *w, struct replayer *r, const struct log *log)
{
    struct hash mine, theirs;
    struct entries_cursor at;
    struct frontier f = {0};
    CHECK_EQ_INT(replayer_size(r), log->n);
    CHECK_EQ_INT(replayer_sealed(r), log->n);
    CHECK_EQ_MEM(replayer_machine(r)->map_root.b, w->m.map_root.b, HASH_LEN);
    for (size_t i = 0; i < log->n; i++) {
        frontier_append(w->c, &f, &log->e[i].entry.leaf);
        frontier_root(w->c, &f, &theirs);
        CHECK(replayer_root(r, i + 1, &mine));
        CHECK_EQ_MEM(mine.b, theirs.b, HASH_LEN);
        CHECK_EQ_INT(replayer_checkpoint(r, i + 1, &mine, NULL), log->e[i].entry.header.kind == OWN_SEAL ? LEDGER_OK : LEDGER_ENOTFOUND);
    }
    CHECK(replayer_checkpoint(r, log->n, &mine, NULL) == LEDGER_OK && hash_eq(&mine, &theirs));
    CHECK(replayer_cursor(r, &at) && at.ready && at.next == log->n && at.frontier.size == log->n);
    CHECK_EQ_MEM(at.frontier.peaks, f.peaks, frontier_peaks(&f) * sizeof f.peaks[0]);
}

static void remove_folder(const char *dir)
{
    nftw(dir, world_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *folder(void)
{
    static char dir[64];
    snprintf(dir, sizeof dir, "/tmp/ledgerd-replay-XXXXXX");
    CHECK(mkdtemp(dir) != NULL);
    return dir;
}

TEST(derives_in_memory)
{
    static struct log log;
    struct world *w = world_busy();
    read_log(w, &log);
    CHECK(log.n > 350);
    for (size_t each = 1; each < 2 * log.n; each = each * 5 + 2) {
        struct seen seen = {0};
        struct replayer_options o = options(&seen);
        o.skip_signatures = each == 1;
        struct replayer *r;
        CHECK_EQ_INT(open_with(w, NULL, &o, &r), LEDGER_OK);
        CHECK_EQ_INT(feed(r, &log, 0, log.n, each), LEDGER_OK);
        CHECK_EQ_INT(seen.derived, log.n);
        must_match(w, r, &log);
        CHECK_EQ_INT(replayer_feed(r, &log.e[3], 1, NULL, NULL, NULL), LEDGER_EINVAL); /* out of order */
        replayer_close(r);
    }
    world_close(w);
}

TEST(goes_on_where_it_was_saved)
{
    static struct log log;
    struct world *w = world_busy();
    const char *dir = folder();
    read_log(w, &log);
    struct replayer *r;
    struct seen seen = {0};
    struct replayer_options o = options(&seen);
    struct span note;
    size_t at = 0, saved = 0;
    for (unsigned round = 1; saved < log.n; round++) {
        CHECK_EQ_INT(open_with(w, dir, &o, &r), LEDGER_OK);
        CHECK_EQ_INT(replayer_size(r), saved);
        if (saved) {
            CHECK_EQ_INT(replayer_get_note(r, "mine", &note, NULL), LEDGER_OK);
            CHECK_EQ_INT(note.n, saved % 50 + 1);
        }
        /* To the next seal and save; and some more, which is lost. */
        at = saved + 90 < log.n ? saved + 90 : log.n;
        while (log.e[at - 1].entry.header.kind != OWN_SEAL)
            at++;
        CHECK_EQ_INT(feed(r, &log, saved, at, 17), LEDGER_OK);
        MUST(replayer_put_note(r, "mine", span_of("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", at % 50 + 1), err));
        MUST(replayer_save(r, err));
        CHECK_EQ_INT(seen.saves, round);
        saved = at;
        CHECK_EQ_INT(feed(r, &log, at, at + 5 < log.n ? at + 5 : log.n, 2), LEDGER_OK);
        if (at == log.n)
            must_match(w, r, &log);
        replayer_close(r);
    }
    CHECK_EQ_INT(open_with(w, dir, &o, &r), LEDGER_OK);
    must_match(w, r, &log);
    replayer_close(r);
    remove_folder(dir);
    world_close(w);
}

TEST(names_the_entry_that_nobody_signed)
{
    static struct log log;
    struct world *w = world_busy();
    world_begin(w);
    uint64_t forged = world_slip(w, "signed by nobody", false, false);
    play(w, "STORAGE_MOVED", "u.wh", "item=M-4;location=F");
    world_commit(w);
    world_begin(w);
    play(w, "STORAGE_MOVED", "u.wh", "item=M-5;location=F");
    world_commit(w);
    read_log(w, &log);
    for (unsigned go_on = 0; go_on < 2; go_on++) {
        struct seen seen = {0};
        struct replayer_options o = options(&seen);
        struct replayer *r;
        struct verdict v;
        o.go_on = go_on;
        CHECK_EQ_INT(open_with(w, NULL, &o, &r), LEDGER_OK);
        CHECK_EQ_INT(feed(r, &log, 0, log.n, 40), go_on ? LEDGER_OK : LEDGER_ETAMPER);
        CHECK_EQ_INT(replayer_ended(r, &v), LEDGER_ETAMPER);
        CHECK_EQ_INT(v.index, forged);
        CHECK_EQ_INT(seen.failed_at, forged);
        CHECK_EQ_STR(seen.v.what, "signature");
        CHECK_EQ_INT(seen.derived, forged);
        CHECK_EQ_INT(replayer_size(r), forged);
        CHECK_EQ_INT(seen.after, go_on ? log.n - forged - 1 : 0);
        replayer_close(r);
    }
    struct seen seen = {0};
    struct replayer_options o = options(&seen);
    struct replayer *r;
    o.skip_signatures = true; /* nothing else is wrong with it */
    CHECK_EQ_INT(open_with(w, NULL, &o, &r), LEDGER_OK);
    CHECK_EQ_INT(feed(r, &log, 0, log.n, 40), LEDGER_OK);
    replayer_close(r);
    world_close(w);
}

/* As world_with_forgery, with its log. */
static struct world *forged_world(struct log *log, uint64_t *forged)
{
    struct world *w = world_with_forgery(true, forged);
    read_log(w, log);
    return w;
}

/* Everything that a caller gets to see, as one hash. */
struct told {
    struct crypto *c;
    struct hash all;
};

static void on_told(void *user, const struct replay_step *s)
{
    struct told *t = user;
    const struct verdict none = {VERDICT_GOOD}, *v = s->outcome == REPLAY_FAILED ? s->verdict : &none;
    const int64_t numbers[] = {s->outcome, (int64_t)s->entry->entry.header.index, s->rc, v->kind, (int64_t)v->index};
    const struct span parts[] = {span_of(t->all.b, HASH_LEN), span_of(numbers, sizeof numbers), span_str(v->what), span_str(v->text)};
    crypto_sha256(t->c, parts, 4, &t->all);
}

TEST(the_number_of_threads_changes_nothing)
{
    static const unsigned threads[] = {1, 2, 5, 16};
    static const size_t portions[] = {1, 7, 63, 200, LOG_MAX};
    static struct log log;
    uint64_t forged;
    struct world *w = forged_world(&log, &forged);
    struct hash first = HASH_ZERO;
    for (size_t i = 0; i < sizeof threads / sizeof threads[0] * (sizeof portions / sizeof portions[0]); i++) {
        struct told told = {.c = w->c};
        const struct replayer_options o = {.threads = threads[i % 4], .go_on = true, .step = on_told, .user = &told};
        struct replayer *r;
        struct verdict v;
        CHECK_EQ_INT(open_with(w, NULL, &o, &r), LEDGER_OK);
        CHECK_EQ_INT(feed(r, &log, 0, log.n, portions[i / 4]), LEDGER_OK);
        CHECK_EQ_INT(replayer_ended(r, &v), LEDGER_ETAMPER);
        CHECK_EQ_INT(v.index, forged);
        replayer_close(r);
        if (i == 0)
            first = told.all;
        CHECK_EQ_MEM(told.all.b, first.b, HASH_LEN);
    }
    world_close(w);
}

/* Portions of 100 entries in a queue. */
#define POOL_PORTIONS (LOG_MAX / 100)
struct pool_queue {
    struct portion *first, **end, p[POOL_PORTIONS];
    struct preverified pre[LOG_MAX];
    uint8_t chunks[POOL_PORTIONS][2];
};

static void queue_log(struct pool_queue *q, struct verify_pool *pool, const struct log *log)
{
    memset(q, 0, sizeof *q);
    q->end = &q->first;
    for (size_t i = 0; i * 100 < log->n; i++) {
        size_t from = i * 100, n = log->n - from < 100 ? log->n - from : 100;
        q->p[i] = (struct portion){.e = &log->e[from], .n = n, .pre = &q->pre[from], .n_chunks = (n + CHUNK_ENTRIES - 1) / CHUNK_ENTRIES,
                                   .chunks = q->chunks[i]};
        pool_add(pool, q->end, &q->p[i]);
        q->end = &q->p[i].next;
    }
}

/* Verifies in order up to entry `to` and gives the rest up, whatever the threads are at. */
static void pool_round(struct world *w, const struct log *log, unsigned threads, size_t to, uint64_t forged)
{
    static struct pool_queue q;
    struct verify_pool pool = {0};
    MUST(pool_start(&pool, WORLD_ORIGIN, threads, err));
    for (unsigned party = 0; party < WORLD_PARTIES; party++)
        for (unsigned round = 0; round < 2; round++) {
            struct secret_key k = world_key(w, party, round);
            struct registered_key key = {.alg = k.alg, .n = k.pub_len};
            memcpy(key.key, k.pub, k.pub_len);
            MUST(pool_add_key(&pool, &key, err));
        }
    queue_log(&q, &pool, log);
    for (size_t i = 0; i < to; i++) {
        const struct entry *e = &log->e[i].entry;
        pool_wait(&pool, &q.p[i / 100], i % 100);
        for (unsigned k = 0; k < SIGNATURES_READ_MAX; k++)
            CHECK_EQ_INT(q.pre[i].ok[k], e->content && !e->own && k < e->block.n && i != forged);
        if (i % 100 == 99)
            pool_drop(&pool, &q.p[i / 100]);
    }
    for (size_t i = to / 100; i * 100 < log->n; i++)
        pool_drop(&pool, &q.p[i]);
    pool_stop(&pool);
}

TEST(the_pool_verifies_in_order_and_is_given_up_at_any_time)
{
    static struct log log;
    uint64_t forged;
    struct world *w = forged_world(&log, &forged);
    CHECK(log.n > forged + 100);
    for (unsigned threads = 0; threads < 5; threads++) {
        pool_round(w, &log, threads, log.n, forged);
        for (size_t to = 0; to < log.n; to += 61)
            pool_round(w, &log, threads, to, forged);
    }
    world_close(w);
}

/* What verify_entry has made of an entry stands for its content only while it is of these very bytes. */
TEST(content_of_other_bytes_is_compared_again)
{
    static struct log log;
    struct world *w = world_busy();
    struct seen seen = {0};
    struct replayer_options o = options(&seen);
    struct replayer *r;
    read_log(w, &log);
    size_t at = 200;
    while (log.e[at].entry.own)
        at++;
    uint8_t *changed = arena_alloc(w->a, log.e[at].raw.event.n);
    CHECK(changed != NULL);
    memcpy(changed, log.e[at].raw.event.p, log.e[at].raw.event.n);
    changed[log.e[at].raw.event.n - 1] ^= 1;
    log.e[at].raw.event.p = changed;
    CHECK_EQ_INT(open_with(w, NULL, &o, &r), LEDGER_OK);
    CHECK_EQ_INT(feed(r, &log, 0, log.n, 64), LEDGER_ETAMPER);
    CHECK_EQ_INT(seen.failed_at, at);
    CHECK_EQ_STR(seen.v.what, "event");
    CHECK_EQ_STR(seen.v.text, "is not the one that the header names");
    replayer_close(r);
    world_close(w);
}

/* Decodable or not: an event that the header does not name is called that. */
TEST(other_content_is_called_by_its_hash)
{
    static struct log log;
    struct world *w = world_busy();
    struct verifier vf = {.c = w->c, .a = w->a, .policy = &w->policy, .index_key = w->index_key};
    struct entry e;
    struct verdict v;
    read_log(w, &log);
    size_t at = 200, other = 1;
    while (log.e[at].entry.own)
        at++;
    while (log.e[at + other].entry.own)
        other++;
    struct entry_claim claim = log.e[at].raw;
    uint8_t *bytes = arena_alloc(w->a, claim.event.n);
    CHECK(bytes && verify_entry(&vf, &claim, &e, &v) && e.content);
    memcpy(bytes, claim.event.p, claim.event.n);
    for (size_t i = 0; i < claim.event.n; i++) {
        claim.event.p = bytes;
        bytes[i] ^= (uint8_t)(1u << i % 8);
        CHECK(!verify_entry(&vf, &claim, &e, &v) && !e.content);
        CHECK_EQ_STR(v.text, "is not the one that the header names");
        bytes[i] ^= (uint8_t)(1u << i % 8);
    }
    claim.event = log.e[at + other].raw.event;
    CHECK(!verify_entry(&vf, &claim, &e, &v));
    CHECK_EQ_STR(v.text, "is not the one that the header names");
    world_close(w);
}

TEST(withheld_content_ends_the_replay_and_leaves_no_trace)
{
    static struct log log;
    struct world *w = world_busy();
    const char *dir = folder();
    struct seen seen = {0};
    struct replayer_options o = options(&seen);
    struct replayer *r;
    read_log(w, &log);
    size_t at = 200;
    while (log.e[at].entry.own)
        at++;
    struct read_entry kept = log.e[at];
    log.e[at].entry.content = false;
    CHECK_EQ_INT(open_with(w, dir, &o, &r), LEDGER_OK);
    CHECK_EQ_INT(feed(r, &log, 0, log.n, 64), LEDGER_EDENIED);
    CHECK_EQ_INT(seen.rc, LEDGER_EDENIED);
    CHECK_EQ_INT(seen.failed_at, at);
    CHECK_EQ_INT(replayer_save(r, NULL), LEDGER_EDENIED);
    CHECK_EQ_INT(seen.saves, 0);
    replayer_close(r);
    log.e[at] = kept;
    CHECK_EQ_INT(open_with(w, dir, &o, &r), LEDGER_OK);
    CHECK_EQ_INT(replayer_size(r), 0);
    CHECK_EQ_INT(feed(r, &log, 0, log.n, 64), LEDGER_OK);
    must_match(w, r, &log);
    replayer_close(r);
    remove_folder(dir);
    world_close(w);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* A folder with the whole log's state. */
static const char *saved_folder(struct world *w, const struct log *log)
{
    struct replayer *r;
    const char *dir = folder();
    CHECK_EQ_INT(open_with(w, dir, NULL, &r), LEDGER_OK);
    CHECK_EQ_INT(feed(r, log, 0, log->n, 100), LEDGER_OK);
    MUST(replayer_save(r, err));
    replayer_close(r);
    return dir;
}

TEST(refuses_folders_that_are_not_its_own)
{
    static struct log log;
    struct world *w = world_busy();
    struct replayer *r, *other;
    struct ledger_err err;
    read_log(w, &log);
    const char *dir = saved_folder(w, &log);
    struct hash key = w->index_key;
    CHECK_EQ_INT(replayer_open(dir, "other.example/ledger", &key, NULL, &r, &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, WORLD_ORIGIN) && strstr(err.msg, "other.example/ledger"));
    key.b[5] ^= 1;
    CHECK_EQ_INT(replayer_open(dir, WORLD_ORIGIN, &key, NULL, &r, &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, "index key"));
    struct replayer_options o = {.skip_signatures = true};
    CHECK_EQ_INT(open_with(w, dir, &o, &r), LEDGER_EINVAL);
    CHECK_EQ_INT(open_with(w, dir, NULL, &r), LEDGER_OK);
    CHECK_EQ_INT(open_with(w, dir, NULL, &other), LEDGER_EBUSY);
    replayer_close(r);
    write_file(dir, "FORMAT", "ledgerd replay 5\n");
    CHECK_EQ_INT(replayer_open(dir, WORLD_ORIGIN, &w->index_key, NULL, &r, &err), LEDGER_EVERSION);
    CHECK(strstr(err.msg, "format 5"));
    write_file(dir, "FORMAT", "ledgerd replay 3\n");
    CHECK_EQ_INT(open_with(w, dir, NULL, &r), LEDGER_EINVAL);
    write_file(dir, "FORMAT", "something else\n");
    CHECK_EQ_INT(open_with(w, dir, NULL, &r), LEDGER_EINVAL);
    write_file(dir, "FORMAT", "ledgerd replay 4\n");
    CHECK_EQ_INT(open_with(w, dir, NULL, &r), LEDGER_OK); /* nothing of all that has harmed it */
    must_match(w, r, &log);
    replayer_close(r);
    remove_folder(dir);
    dir = folder();
    write_file(dir, "thesis.tex", "mine");
    CHECK_EQ_INT(replayer_open(dir, WORLD_ORIGIN, &w->index_key, NULL, &r, &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, "not empty"));
    remove_folder(dir);
    world_close(w);
}

/* Wherever bytes of the state are changed: an error of the state, never an accusation of the ledger. */
TEST(a_damaged_state_accuses_nobody)
{
    static struct log log;
    struct world *w = world_busy();
    char path[128];
    read_log(w, &log);
    const char *dir = saved_folder(w, &log);
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    /* The state of party u.wh and the name of an item, wherever they stand, are among what later entries are judged by. */
    struct replayer *r;
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    static uint8_t data[64 << 20];
    ssize_t n = pread(fd, data, sizeof data, 0);
    CHECK(n > 0 && (size_t)n < sizeof data);
    unsigned changed = 0;
    for (size_t i = 0; i + 8 < (size_t)n; i++)
        if (memcmp(data + i, "\0\0\0\4u.wh", 8) == 0) {
            uint8_t x = (uint8_t)(data[i + 8] ^ 0x40);
            CHECK(pwrite(fd, &x, 1, (off_t)i + 8) == 1);
            changed++;
        }
    CHECK(changed > 0);
    world_begin(w);
    play(w, "STORAGE_MOVED", "u.wh", "item=M-4;location=F");
    world_commit(w);
    size_t before = log.n;
    read_log(w, &log);
    struct seen seen = {0};
    struct replayer_options o = options(&seen);
    enum ledger_rc rc = open_with(w, dir, &o, &r);
    if (!rc) {
        rc = feed(r, &log, before, log.n, 10);
        CHECK_EQ_INT(rc, LEDGER_EIO);
        CHECK_EQ_INT(seen.rc, LEDGER_OK);
        replayer_close(r);
    }
    CHECK(rc == LEDGER_EIO || rc == LEDGER_EINVAL);
    /* Cut off. */
    CHECK(ftruncate(fd, n / 2) == 0);
    CHECK_EQ_INT(open_with(w, dir, NULL, &r), LEDGER_EINVAL);
    close(fd);
    remove_folder(dir);
    world_close(w);
}

TEST_MAIN(TEST_ENTRY(derives_in_memory), TEST_ENTRY(goes_on_where_it_was_saved), TEST_ENTRY(names_the_entry_that_nobody_signed),
          TEST_ENTRY(the_number_of_threads_changes_nothing), TEST_ENTRY(the_pool_verifies_in_order_and_is_given_up_at_any_time),
          TEST_ENTRY(content_of_other_bytes_is_compared_again), TEST_ENTRY(other_content_is_called_by_its_hash),
          TEST_ENTRY(withheld_content_ends_the_replay_and_leaves_no_trace), TEST_ENTRY(refuses_folders_that_are_not_its_own),
          TEST_ENTRY(a_damaged_state_accuses_nobody))
