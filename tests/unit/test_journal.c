/* SPDX-License-Identifier: Apache-2.0 */
/* The journal and its layers: what was recorded is read before it is in the tables, after a process that ended, and after damage is told. */
#include <fcntl.h>
#include <sys/stat.h>

#include "check.h"
#include "scratch.h"
#include "store/journal.h"
#include "store/log.h"
#include "store/store_impl.h"

#define KEYS 40u /* few, so that rows are written over */

static uint64_t state = 1;
static unsigned below(unsigned n)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(state >> 33) % n;
}

/* ---- the files ---- */

struct kept {
    size_t n;
    uint64_t base[64], size[64];
    uint8_t first[64];
};

static enum ledger_rc keep(void *ctx, struct journal_record *r)
{
    struct kept *k = ctx;
    CHECK(k->n < 64 && r->n > JOURNAL_HEAD);
    k->base[k->n] = r->base;
    k->size[k->n] = r->size;
    k->first[k->n++] = r->p[JOURNAL_HEAD];
    free(r->p);
    return LEDGER_OK;
}

static struct kept read_back(const struct scratch *s)
{
    struct kept k = {0};
    CHECK_EQ_INT(journal_read(s->dir, keep, &k, NULL), LEDGER_OK);
    return k;
}

/* A record of `bytes` rows' bytes, each of them `fill`, from base to base + 1. */
static enum ledger_rc append(struct journal *j, uint64_t base, size_t bytes, uint8_t fill, struct ledger_err *err)
{
    struct journal_record r = {.n = JOURNAL_HEAD + bytes, .base = base, .size = base + 1};
    r.p = malloc(journal_blocks(r.n));
    CHECK(r.p);
    memset(r.p, fill, r.n);
    enum ledger_rc rc = journal_append(j, &r, err);
    free(r.p);
    return rc;
}

static struct journal *begin(struct scratch *s)
{
    struct journal *j;
    scratch_make(s);
    CHECK_EQ_INT(journal_open(s->dir, &j, NULL), LEDGER_OK);
    return j;
}

static void file_of(const struct scratch *s, unsigned i, char out[256])
{
    snprintf(out, 256, "%s/journal/%u", s->dir, i);
}

/* Which of the two has these bytes, and where; −1: neither. */
static int find(const struct scratch *s, const uint8_t *what, size_t n, off_t *at)
{
    for (unsigned i = 0; i < 2; i++) {
        char path[256];
        file_of(s, i, path);
        FILE *f = fopen(path, "r");
        CHECK(f);
        fseek(f, 0, SEEK_END);
        size_t size = (size_t)ftell(f);
        uint8_t *all = malloc(size + 1);
        rewind(f);
        CHECK(all && fread(all, 1, size, f) == size);
        fclose(f);
        const uint8_t *hit = memmem(all, size, what, n);
        *at = hit ? hit - all : 0;
        free(all);
        if (hit)
            return (int)i;
    }
    return -1;
}

/* The record from base to base + 1: in which file it is, and where it begins. */
static int find_record(const struct scratch *s, uint64_t base, off_t *at)
{
    uint8_t sizes[16];
    kv_key_u64(sizes, base);
    kv_key_u64(sizes + 8, base + 1);
    int file = find(s, sizes, sizeof sizes, at);
    *at -= 8;
    return file;
}

static void poke(const struct scratch *s, unsigned file, off_t at)
{
    char path[256];
    uint8_t b;
    file_of(s, file, path);
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0 && pread(fd, &b, 1, at) == 1);
    b ^= 0x20;
    CHECK(pwrite(fd, &b, 1, at) == 1);
    close(fd);
}

TEST(records_come_back_in_their_order_from_both_files)
{
    struct scratch s;
    struct ledger_err err;
    struct journal *j = begin(&s);
    CHECK_EQ_INT(read_back(&s).n, 0);
    for (unsigned i = 0; i < 20; i++)
        CHECK_EQ_INT(append(j, 10 + i, 1 + i * 50000, (uint8_t)i, &err), LEDGER_OK); /* 9.5 MB: more than one file is for */
    struct kept k = read_back(&s);
    CHECK_EQ_INT(k.n, 20);
    for (unsigned i = 0; i < 20; i++)
        CHECK(k.base[i] == 10 + i && k.size[i] == 11 + i && k.first[i] == i);
    journal_close(j);
    CHECK_EQ_INT(read_back(&s).n, 20);
    /* The next process begins the other file. */
    CHECK_EQ_INT(journal_open(s.dir, &j, NULL), LEDGER_OK);
    journal_applied(j, 30);
    CHECK_EQ_INT(append(j, 30, 10, 0xaa, &err), LEDGER_OK);
    k = read_back(&s);
    CHECK(k.n > 1 && k.first[k.n - 1] == 0xaa);
    journal_close(j);
    scratch_remove(&s);
}

TEST(a_file_is_used_again_only_when_the_tables_have_it)
{
    struct scratch s;
    struct ledger_err err = {0};
    struct journal *j = begin(&s);
    uint64_t n = 0;
    enum ledger_rc rc;
    while (!(rc = append(j, n, 4 << 20, (uint8_t)n, &err)))
        n++;
    CHECK_EQ_INT(rc, LEDGER_EBUSY);
    CHECK(n > 8);
    CHECK_EQ_INT(read_back(&s).n, n);
    journal_applied(j, n);
    CHECK_EQ_INT(append(j, n, 10, 7, &err), LEDGER_OK);
    struct kept k = read_back(&s);
    CHECK(k.base[0] == 1 && k.base[k.n - 1] == n); /* the first one was alone in its file */
    journal_close(j);
    scratch_remove(&s);
}

/* Any byte of the last record: as if it had never been written. Of one before: it is missing, and those after it are not. */
TEST(a_damaged_record_is_none_and_hides_no_other)
{
    struct scratch s;
    struct ledger_err err;
    struct journal *j = begin(&s);
    off_t begins;
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ_INT(append(j, i, 6000, (uint8_t)(0x61 + i), &err), LEDGER_OK);
    journal_close(j);
    for (unsigned i = 0; i < 5; i++) {
        int file = find_record(&s, i, &begins);
        CHECK(file >= 0);
        for (unsigned n = 0; n < 60; n++) {
            off_t where = begins + (n < 30 ? (off_t)below(JOURNAL_HEAD) : (off_t)(JOURNAL_HEAD + below(6000)));
            poke(&s, (unsigned)file, where);
            struct kept k = read_back(&s);
            CHECK_EQ_INT(k.n, 4);
            for (unsigned m = 0; m < 4; m++)
                CHECK_EQ_INT(k.base[m], m < i ? m : m + 1);
            poke(&s, (unsigned)file, where);
        }
    }
    CHECK_EQ_INT(read_back(&s).n, 5);
    scratch_remove(&s);
}

/* Nobody knows what was in the file: it is not passed over, and not begun anew. Zeros are what a file is made of. */
TEST(a_damaged_head_is_told)
{
    struct scratch s;
    struct ledger_err err = {0};
    struct kept k = {0};
    char path[256], cmd[512];
    struct journal *j = begin(&s);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ_INT(append(j, i, 6000, (uint8_t)(0x61 + i), &err), LEDGER_OK);
    journal_close(j);
    unsigned file = (unsigned)find_record(&s, 0, &(off_t){0});
    for (unsigned at = 0; at < 90; at++) {
        poke(&s, file, at);
        CHECK_EQ_INT(journal_read(s.dir, keep, &k, &err), LEDGER_ETAMPER);
        CHECK(strstr(err.msg, "its head is damaged") && strstr(err.msg, file ? "journal/1" : "journal/0"));
        CHECK_EQ_INT(journal_open(s.dir, &j, &err), LEDGER_ETAMPER);
        journal_close(j);
        poke(&s, file, at);
    }
    CHECK_EQ_INT(read_back(&s).n, 3);
    file_of(&s, file, path);
    snprintf(cmd, sizeof cmd, "truncate -s 0 '%s'", path); /* docs/operations.md, "Rot" */
    CHECK(system(cmd) == 0);
    CHECK_EQ_INT(read_back(&s).n, 0);
    CHECK_EQ_INT(journal_open(s.dir, &j, &err), LEDGER_OK);
    CHECK_EQ_INT(append(j, 3, 10, 1, &err), LEDGER_OK);
    journal_close(j);
    CHECK_EQ_INT(read_back(&s).n, 1);
    scratch_remove(&s);
}

TEST(what_an_earlier_generation_left_is_nothing)
{
    struct scratch s;
    struct ledger_err err;
    struct journal *j = begin(&s);
    for (uint64_t i = 0; i < 6; i++)
        CHECK_EQ_INT(append(j, i, 5000, (uint8_t)i, &err), LEDGER_OK);
    journal_close(j);
    for (unsigned i = 0; i < 2; i++) { /* both files anew, each with one record over the first of what was there */
        CHECK_EQ_INT(journal_open(s.dir, &j, NULL), LEDGER_OK);
        CHECK_EQ_INT(append(j, 100 + i, 5000, 0xbb, &err), LEDGER_OK);
        journal_close(j);
    }
    struct kept k = read_back(&s);
    CHECK_EQ_INT(k.n, 2);
    CHECK(k.base[0] == 100 && k.base[1] == 101);
    scratch_remove(&s);
}

TEST(wiping_leaves_nothing)
{
    struct scratch s;
    struct ledger_err err;
    struct journal *j = begin(&s);
    off_t at;
    const uint8_t secret[] = "name of a person";
    struct journal_record r = {.n = JOURNAL_HEAD + sizeof secret, .base = 1, .size = 2};
    r.p = calloc(1, journal_blocks(r.n));
    memcpy(r.p + JOURNAL_HEAD, secret, sizeof secret);
    CHECK_EQ_INT(journal_append(j, &r, &err), LEDGER_OK);
    CHECK(find(&s, secret, sizeof secret, &at) >= 0);
    CHECK_EQ_INT(journal_wipe(j, &err), LEDGER_OK);
    CHECK(find(&s, secret, sizeof secret, &at) < 0);
    CHECK_EQ_INT(read_back(&s).n, 0);
    CHECK_EQ_INT(append(j, 2, 10, 1, &err), LEDGER_OK);
    CHECK_EQ_INT(read_back(&s).n, 1);
    free(r.p);
    journal_close(j);
    scratch_remove(&s);
}

/* ---- snapshots above it ---- */

/* What ought to be there: two tables, and the log. */
struct model {
    uint64_t size, roots;
    bool there[2][KEYS];
    uint32_t value[2][KEYS];
};
static const enum kv_table tables[2] = {KV_CHAIN, KV_MAP};

static struct span key_of(unsigned k, uint8_t out[KV_KEY_MAX])
{
    return kv_key_u64(out, (uint64_t)k * 1000003u);
}

struct change {
    unsigned t, k;
    uint32_t v; /* UINT32_MAX: an empty value */
};
/* What one more batch changes; at most 12 rows of the view. */
static size_t draw(struct model *m, struct change out[12])
{
    size_t n = below(12);
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct change){below(2), below(KEYS), below(8) ? below(1000000) : UINT32_MAX};
        m->there[out[i].t][out[i].k] = true;
        m->value[out[i].t][out[i].k] = out[i].v;
    }
    m->size++;
    m->roots += 7;
    return n;
}

static void put_change(const struct kv *top, const struct change *c)
{
    uint8_t key[KV_KEY_MAX];
    struct span got, value = span_of(&c->v, c->v == UINT32_MAX ? 0 : sizeof c->v);
    CHECK_EQ_INT(kv_put(top, tables[c->t], key_of(c->k, key), value), LEDGER_OK);
    CHECK_EQ_INT(kv_get(top, tables[c->t], key_of(c->k, key), &got), LEDGER_OK);
    CHECK(span_eq(got, value));
}

static void put_entry(const struct kv *top, const struct model *m)
{
    uint8_t key[KV_KEY_MAX], root[HASH_LEN] = {0};
    struct arena *a = arena_new(1u << 20);
    struct link link = {.seq = 0};
    const struct header h = {.index = m->size, .epoch = 9, .kind = OWN_EPOCH, .n_links = 1, .links = &link};
    struct span entry = entry_record_join(a, &(struct entry_record){.header = header_encode(a, &h)});
    CHECK_EQ_INT(kv_put(top, KV_LOG, kv_key_u64(key, m->size), entry), LEDGER_OK);
    memcpy(root, &m->roots, sizeof m->roots);
    CHECK_EQ_INT(kv_put(top, KV_CHECKPOINT, kv_key_u64(key, m->size + 1), span_of(root, sizeof root)), LEDGER_OK);
    arena_free(a);
}

/* One more entry and the rows that go with it; or all of that, and then not. */
static void record(struct store *store, struct model *m, bool drop)
{
    struct kv kv;
    struct ledger_err err = {0};
    struct change changes[12];
    struct model next = *m;
    size_t n = draw(&next, changes);
    CHECK_EQ_INT(log_begin(store, &kv, &err), LEDGER_OK);
    struct kv_mem *rows = kv_mem_new(&kv, 1u << 20);
    struct kv top = kv_mem_kv(rows);
    put_entry(&top, m);
    for (size_t i = 0; i < n; i++)
        put_change(&top, &changes[i]);
    if (drop) {
        store_abort(store);
    } else {
        const struct log_batch batch = {.rows = rows};
        CHECK_EQ_INT(log_append(store, m->size, 9, &batch, &err), LOG_APPENDED);
        *m = next;
    }
    kv_mem_free(rows);
}

struct walk {
    const struct model *m;
    unsigned t, k; /* from here on */
};

static bool is(const struct model *m, unsigned t, unsigned k, struct span value)
{
    uint32_t v = UINT32_MAX;
    if (value.n)
        memcpy(&v, value.p, sizeof v);
    return m->there[t][k] && m->value[t][k] == v;
}

static bool visit(void *ctx, struct span key, struct span value)
{
    struct walk *w = ctx;
    uint8_t want[KV_KEY_MAX];
    while (w->k < KEYS && !w->m->there[w->t][w->k])
        w->k++;
    CHECK(w->k < KEYS && span_eq(key, key_of(w->k, want)) && is(w->m, w->t, w->k, value));
    w->k++;
    return true;
}

static void compare_table(struct store_snapshot *sn, const struct model *m, unsigned t)
{
    uint8_t key[KV_KEY_MAX];
    struct span k, value;
    struct kv kv = store_snapshot_kv(sn);
    uint64_t n = 0, want = 0;
    unsigned last = KEYS, from = below(KEYS);
    for (unsigned i = 0; i < KEYS; i++) {
        enum ledger_rc rc = kv_get(&kv, tables[t], key_of(i, key), &value);
        CHECK(m->there[t][i] ? rc == LEDGER_OK && is(m, t, i, value) : rc == LEDGER_ENOTFOUND);
        want += m->there[t][i];
        last = m->there[t][i] ? i : last;
    }
    CHECK_EQ_INT(store_count(sn, tables[t], &n, NULL), LEDGER_OK);
    CHECK_EQ_INT(n, want);
    CHECK_EQ_INT(store_last(sn, tables[t], &k, &value, NULL), want ? LEDGER_OK : LEDGER_ENOTFOUND);
    CHECK(!want || (span_eq(k, key_of(last, key)) && is(m, t, last, value)));
    struct walk all = {.m = m, .t = t}, some = {.m = m, .t = t, .k = from};
    CHECK_EQ_INT(store_scan(sn, tables[t], SPAN_NONE, visit, &all, NULL), LEDGER_OK);
    CHECK_EQ_INT(store_scan(sn, tables[t], key_of(from, key), visit, &some, NULL), LEDGER_OK);
    while (all.k < KEYS)
        CHECK(!m->there[t][all.k++]);
}

static void compare(struct store_snapshot *sn, const struct model *m)
{
    uint64_t size;
    CHECK_EQ_INT(log_size(sn, &size, NULL), LEDGER_OK);
    CHECK_EQ_INT(size, m->size);
    for (unsigned t = 0; t < 2; t++)
        compare_table(sn, m, t);
}

static void compare_now(struct store *store, const struct model *m)
{
    struct store_snapshot *sn;
    CHECK_EQ_INT(store_snapshot_open(store, &sn, NULL), LEDGER_OK);
    compare(sn, m);
    store_snapshot_close(sn);
}

/* Entries that LMDB has. */
static uint64_t in_tables(struct store *store)
{
    MDB_txn *txn;
    uint64_t n;
    CHECK(mdb_txn_begin(store->env->env, NULL, MDB_RDONLY, &txn) == 0 && store_table_count(store->env, txn, KV_LOG, &n) == 0);
    mdb_txn_abort(txn);
    return n;
}

/* Everything is in the tables afterwards. */
static void settle(struct store *store, const struct model *m)
{
    struct kv kv;
    CHECK_EQ_INT(store_begin(store, &kv, NULL), LEDGER_OK);
    CHECK_EQ_INT(in_tables(store), m->size);
    store_abort(store);
}

/* A ledger whose view is what the model begins with: nothing. */
static struct model empty_view(struct scratch *s)
{
    struct kv kv;
    scratch_make(s);
    struct store *store = scratch_open(s);
    CHECK_EQ_INT(store_begin(store, &kv, NULL), LEDGER_OK);
    CHECK_EQ_INT(store_drop_view(store, NULL), LEDGER_OK);
    CHECK_EQ_INT(store_commit(store, NULL), LEDGER_OK);
    store_close(store);
    return (struct model){.size = 2, .roots = 1};
}

TEST(a_snapshot_sees_what_is_recorded_and_never_anything_else)
{
    struct scratch s;
    struct model m = empty_view(&s), then = m;
    struct store_snapshot *old = NULL;
    struct store *store = scratch_open(&s);
    for (unsigned round = 0; round < 1500; round++) {
        record(store, &m, below(10) == 0);
        if (old && below(6) == 0) {
            compare(old, &then);
            store_snapshot_close(old);
            old = NULL;
        }
        if (!old && below(4) == 0) {
            CHECK_EQ_INT(store_snapshot_open(store, &old, NULL), LEDGER_OK);
            then = m;
        }
        if (below(5) == 0)
            compare_now(store, &m);
        if (below(60) == 0)
            settle(store, &m);
        if (below(90) == 0)
            usleep(30000); /* longer than the oldest layer waits */
    }
    store_snapshot_close(old);
    store_close(store);
    store = scratch_open_read(&s);
    compare_now(store, &m);
    store_close(store);
    scratch_remove(&s);
}

/* Another process records so many batches, and ends without closing anything. */
static void record_and_die(const struct scratch *s, struct model m, unsigned n)
{
    int status;
    struct scratch mine = *s;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *store = scratch_open(&mine);
        for (unsigned i = 0; i < n; i++)
            record(store, &m, false);
        store_known_end(store); /* a thread that has ended wants to be joined, says a sanitizer */
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static const enum store_mode modes[] = {STORE_BESIDE, STORE_READ, STORE_WRITE};

TEST(what_was_recorded_outlives_the_process)
{
    struct scratch s;
    struct model m = empty_view(&s);
    struct change changes[12];
    const struct store_options o = {.map_bytes = SCRATCH_MAP};
    for (unsigned round = 0; round < 12; round++) {
        struct store *store;
        unsigned n = 1 + below(70);
        record_and_die(&s, m, n);
        for (unsigned i = 0; i < n; i++)
            draw(&m, changes);
        for (unsigned i = 0; i < 3; i++) {
            CHECK_EQ_INT(store_open_with(s.dir, modes[i], &o, &store, NULL), LEDGER_OK);
            compare_now(store, &m);
            store_close(store);
        }
    }
    scratch_remove(&s);
}

/* A store whose tables are as before its last n batches, which are in the journal. */
static struct model in_the_journal(struct scratch *s, unsigned n)
{
    char cmd[512];
    struct model m = empty_view(s);
    snprintf(cmd, sizeof cmd, "cp '%s'/data/data.mdb '%s'/before.mdb", s->dir, s->base);
    CHECK(system(cmd) == 0);
    struct store *store = scratch_open(s);
    for (unsigned i = 0; i < n; i++)
        record(store, &m, false);
    store_close(store);
    snprintf(cmd, sizeof cmd, "cp '%s'/before.mdb '%s'/data/data.mdb", s->base, s->dir);
    CHECK(system(cmd) == 0);
    return m;
}

/* More than come while the tables wait, from one client on a fast disk. */
TEST(many_small_batches_are_taken_over)
{
    struct scratch s;
    struct store *store;
    const struct store_options o = {.map_bytes = SCRATCH_MAP};
    struct model m = in_the_journal(&s, 700);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ_INT(store_open_with(s.dir, modes[i], &o, &store, NULL), LEDGER_OK);
        compare_now(store, &m);
        store_close(store);
    }
    scratch_remove(&s);
}

TEST(a_batch_that_is_missing_in_the_middle_is_told)
{
    struct scratch s;
    struct ledger_err err = {0};
    struct store *store;
    struct store_snapshot *sn;
    const struct store_options o = {.map_bytes = SCRATCH_MAP};
    off_t at;
    in_the_journal(&s, 6);
    int file = find_record(&s, 5, &at); /* the fourth */
    CHECK(file >= 0);
    poke(&s, (unsigned)file, at + 48);
    for (unsigned i = 0; i < 3; i++) {
        enum ledger_rc rc = store_open_with(s.dir, modes[i], &o, &store, &err);
        if (!rc && modes[i] == STORE_BESIDE) {
            rc = store_snapshot_open(store, &sn, &err);
            store_close(store);
        }
        CHECK_EQ_INT(rc, LEDGER_ETAMPER);
        CHECK(strstr(err.msg, "from 6 on") && strstr(err.msg, "ends at 5") && strstr(err.msg, "recorded entries are missing"));
    }
    poke(&s, (unsigned)file, at + 48);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ_INT(store_open_with(s.dir, modes[i], &o, &store, &err), LEDGER_OK);
        CHECK_EQ_INT(in_tables(store), modes[i] == STORE_WRITE ? 8 : 2);
        store_close(store);
    }
    scratch_remove(&s);
}

TEST(batches_of_another_history_are_not_put_onto_this_one)
{
    struct scratch s, other;
    struct ledger_err err = {0};
    struct store *store;
    char cmd[512];
    const struct store_options o = {.map_bytes = SCRATCH_MAP};
    struct model m = empty_view(&other);
    m.roots = 1000;
    store = scratch_open(&other);
    for (unsigned i = 0; i < 2; i++)
        record(store, &m, false);
    store_close(store);
    in_the_journal(&s, 6);
    snprintf(cmd, sizeof cmd, "cp '%s'/data/data.mdb '%s'/data/data.mdb", other.dir, s.dir);
    CHECK(system(cmd) == 0);
    CHECK_EQ_INT(store_open_with(s.dir, STORE_WRITE, &o, &store, &err), LEDGER_ETAMPER);
    CHECK(strstr(err.msg, "another history") && strstr(err.msg, "at size 4"));
    scratch_remove(&other);
    scratch_remove(&s);
}

/* One more entry, with an id in the index of events. */
static void record_event(struct store *store, struct model *m)
{
    const uint8_t id[KV_INDEX_KEY] = {7, (uint8_t)m->size};
    uint8_t value[KV_KEY_MAX];
    struct kv kv;
    CHECK_EQ_INT(log_begin(store, &kv, NULL), LEDGER_OK);
    struct kv_mem *rows = kv_mem_new(&kv, 1u << 20);
    struct kv top = kv_mem_kv(rows);
    m->roots++;
    put_entry(&top, m);
    CHECK_EQ_INT(kv_put(&top, KV_EVENT, span_of(id, sizeof id), kv_key_u64(value, m->size)), LEDGER_OK);
    const struct log_batch batch = {.rows = rows};
    CHECK_EQ_INT(log_append(store, m->size, 9, &batch, NULL), LOG_APPENDED);
    kv_mem_free(rows);
    m->size++;
}

/* The row of the index in which these ids are is none any more. */
static void damage_index(const struct scratch *s)
{
    char data[300];
    struct store_env *env;
    MDB_txn *txn;
    uint8_t row[9] = {0, 7 & 0xfc}, garbage[30] = {9};
    MDB_val k = {sizeof row, row}, v = {sizeof garbage, garbage}, there;
    const struct store_env_options o = {.map_bytes = SCRATCH_MAP, .mode = STORE_WRITE};
    snprintf(data, sizeof data, "%s/data", s->dir);
    CHECK_EQ_INT(store_env_open(data, &o, &env, NULL), LEDGER_OK);
    CHECK_EQ_INT(mdb_txn_begin(env->env, NULL, 0, &txn), 0);
    CHECK_EQ_INT(mdb_get(txn, env->dbi[KV_EVENT], &k, &there), 0);
    CHECK_EQ_INT(mdb_put(txn, env->dbi[KV_EVENT], &k, &v, 0), 0);
    CHECK_EQ_INT(mdb_txn_commit(txn), 0);
    store_env_close(env);
}

/* What was acknowledged goes into the log all the same, and the view is to be derived anew. */
TEST(a_view_that_takes_nothing_is_given_up)
{
    struct scratch s;
    struct store *store;
    struct store_snapshot *sn;
    uint64_t size, ids;
    char cmd[512];
    const struct store_options o = {.map_bytes = SCRATCH_MAP};
    struct model m = empty_view(&s);
    store = scratch_open(&s);
    record_event(store, &m);
    store_close(store);
    snprintf(cmd, sizeof cmd, "cp '%s'/data/data.mdb '%s'/before.mdb", s.dir, s.base);
    CHECK(system(cmd) == 0);
    store = scratch_open(&s);
    for (unsigned i = 0; i < 3; i++)
        record_event(store, &m);
    store_close(store);
    snprintf(cmd, sizeof cmd, "cp '%s'/before.mdb '%s'/data/data.mdb", s.base, s.dir);
    CHECK(system(cmd) == 0);
    damage_index(&s);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ_INT(store_open_with(s.dir, modes[i], &o, &store, NULL), LEDGER_OK);
        CHECK_EQ_INT(in_tables(store), modes[i] == STORE_WRITE ? m.size : m.size - 3);
        CHECK_EQ_INT(store_snapshot_open(store, &sn, NULL), LEDGER_OK);
        CHECK(log_size(sn, &size, NULL) == LEDGER_OK && size == m.size);
        struct kv kv = store_snapshot_kv(sn);
        CHECK_EQ_INT(log_rebuilding(&kv), modes[i] == STORE_WRITE);
        if (modes[i] == STORE_WRITE)
            CHECK(store_count(sn, KV_EVENT, &ids, NULL) == LEDGER_OK && ids == 0);
        store_snapshot_close(sn);
        store_close(store);
    }
    scratch_remove(&s);
}

TEST_MAIN(TEST_ENTRY(records_come_back_in_their_order_from_both_files),
          TEST_ENTRY(a_file_is_used_again_only_when_the_tables_have_it),
          TEST_ENTRY(a_damaged_record_is_none_and_hides_no_other),
          TEST_ENTRY(a_damaged_head_is_told),
          TEST_ENTRY(what_an_earlier_generation_left_is_nothing),
          TEST_ENTRY(wiping_leaves_nothing),
          TEST_ENTRY(a_snapshot_sees_what_is_recorded_and_never_anything_else),
          TEST_ENTRY(what_was_recorded_outlives_the_process),
          TEST_ENTRY(many_small_batches_are_taken_over),
          TEST_ENTRY(a_batch_that_is_missing_in_the_middle_is_told),
          TEST_ENTRY(batches_of_another_history_are_not_put_onto_this_one),
          TEST_ENTRY(a_view_that_takes_nothing_is_given_up))
