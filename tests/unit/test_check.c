/* SPDX-License-Identifier: Apache-2.0 */
/* The offline commands: check finds any changed, missing or extra row of any table; rebuild makes
 * the view again. */
#include <fcntl.h>

#include "anchor.h"
#include "check.h"
#include "commands.h"
#include "scratch_run.h"
#include "scrub_all.h"
#include "store/log.h"
#include "store/store_impl.h"

static void record(struct run *r, struct span ev, const char *party, unsigned key)
{
    struct request q;
    enum job_outcome o = run_one(r, &r->s->pen, ev, party, key, &q);
    if (o != JOB_ACCEPTED)
        fprintf(stderr, "%s: %s\n", refusal_name(q.job.results[0].why.code),
                q.job.results[0].why.text);
    CHECK_EQ_INT(o, JOB_ACCEPTED);
    request_fini(&q);
}

static void record_two(struct run *r, struct span ev, const char *one, unsigned key1,
                       const char *two, unsigned key2)
{
    struct request q;
    struct span sigs[2];
    sigs[0] = pen_sign(&r->s->pen, &ev, 1, one, key1, SPAN_NONE);
    sigs[1] = pen_sign(&r->s->pen, &ev, 1, two, key2, sigs[0]);
    request_init(&q, r, &ev, 1, sigs, 2);
    request_do(&q);
    CHECK_EQ_INT(q.job.rc, LEDGER_OK);
    CHECK_EQ_INT(q.job.results[0].outcome, JOB_ACCEPTED);
    request_fini(&q);
}

/* Sanitizers leave no room for a map of the default size. */
static void write_config(const struct scratch *s)
{
    char path[300];
    snprintf(path, sizeof path, "%s/ledgerd.conf", s->dir);
    FILE *f = fopen(path, "w");
    CHECK(f && fprintf(f, "[store]\nmap_size = %llu\n", (unsigned long long)SCRATCH_MAP) > 0);
    CHECK(fclose(f) == 0);
}

/* A ledger with something in every table. */
static void make_ledger(struct scratch *s)
{
    struct run r;
    struct scratch_pen *pen = &s->pen;
    scratch_make(s);
    write_config(s);
    run_init(&r, s);
    enum ledger_rc rc = run_start(&r);
    if (rc)
        fprintf(stderr, "%s\n", r.err.msg);
    CHECK_EQ_INT(rc, LEDGER_OK);
    record(&r, pen_registration(pen, "r1", "wh", "WAREHOUSE", KEY_WAREHOUSE), SCRATCH_ADMIN,
           KEY_ADMIN);
    record(&r, pen_registration(pen, "r2", "qa", "QA", KEY_QA), SCRATCH_ADMIN, KEY_ADMIN);
    record(&r, pen_registration(pen, "r3", "qp", "QP", KEY_OTHER), SCRATCH_ADMIN, KEY_ADMIN);
    record(&r, pen_material(pen, "M-1"), "wh", KEY_WAREHOUSE);
    record(&r, pen_material(pen, "M-2"), "wh", KEY_WAREHOUSE);
    record(&r, pen_event(pen, "STORAGE_MOVED", "m1", "item=M-1;location=F"), "wh", KEY_WAREHOUSE);
    record_two(&r,
               pen_event(pen, "RECALL_CHANGED", "c1",
                         "recall=R-1;action=ISSUED;items=M-1|M-2;class=I;reason=x"),
               "qa", KEY_QA, "qp", KEY_OTHER);
    run_stop(&r);
    run_fini(&r);
}

/* Runs a command with its output in `text`. */
static int command(int (*cmd)(int, char **), const char *name, char *text, size_t size,
                   const char *const *args)
{
    char *argv[8], out[] = "/tmp/ledgerd-out-XXXXXX";
    int argc = 0, fd = mkstemp(out);
    argv[argc++] = (char *)(uintptr_t)name;
    while (args[argc - 1]) {
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
        argc++;
    }
    argv[argc] = NULL;
    fflush(NULL);
    int old_out = dup(1), old_err = dup(2);
    dup2(fd, 1);
    dup2(fd, 2);
    int code = cmd(argc, argv);
    fflush(NULL);
    dup2(old_out, 1);
    dup2(old_err, 2);
    close(old_out);
    close(old_err);
    ssize_t n = pread(fd, text, size - 1, 0);
    text[n > 0 ? n : 0] = 0;
    close(fd);
    unlink(out);
    return code;
}

static char output[8192];

static int check(struct scratch *s)
{
    return command(ledgerd_check, "check", output, sizeof output,
                   (const char *const[]){s->dir, NULL});
}

static int rebuild(struct scratch *s)
{
    return command(ledgerd_rebuild, "rebuild", output, sizeof output,
                   (const char *const[]){s->dir, NULL});
}

static int check_hashes_of(struct scratch *s)
{
    return command(ledgerd_check, "check", output, sizeof output,
                   (const char *const[]){s->dir, "--hashes", NULL});
}

/* What is whole is so by its hashes, too; what is not may be so in more than hashes can tell. */
static void must_be(struct scratch *s, int code, const char *when)
{
    int alone = check_hashes_of(s);
    if (alone != code && !(code == 1 && alone == 0))
        fprintf(stderr, "%s: by hashes alone: exit %d, wanted %d:\n%s\n", when, alone, code, output);
    CHECK(alone == code || (code == 1 && alone == 0));
    int got = check(s);
    if (got != code)
        fprintf(stderr, "%s: exit %d, wanted %d:\n%s\n", when, got, code, output);
    CHECK_EQ_INT(got, code);
}

struct row {
    enum kv_table t;
    struct span key, value;
};
struct rows {
    struct arena *a;
    size_t n;
    enum kv_table t;
    struct row row[1000];
};

static bool take_row(void *ctx, struct span key, struct span value)
{
    struct rows *rows = ctx;
    CHECK(rows->n < 1000);
    rows->row[rows->n++] =
        (struct row){rows->t, arena_copy(rows->a, key), arena_copy(rows->a, value)};
    return true;
}

static struct rows *all_rows(struct scratch *s)
{
    struct rows *rows = calloc(1, sizeof *rows);
    struct store *store = scratch_open_read(s);
    struct store_snapshot *sn;
    rows->a = s->pen.a;
    CHECK_EQ_INT(store_snapshot_open(store, &sn, NULL), LEDGER_OK);
    for (int t = 0; t < KV_TABLES; t++) {
        size_t before = rows->n;
        rows->t = (enum kv_table)t;
        CHECK_EQ_INT(store_scan(sn, rows->t, SPAN_NONE, take_row, rows, NULL), LEDGER_OK);
        CHECK(rows->n > before);
    }
    store_snapshot_close(sn);
    store_close(store);
    return rows;
}

enum change { CHANGE_SET, CHANGE_REMOVE };

static void change(struct scratch *s, enum change what, enum kv_table t, struct span key,
                   struct span value)
{
    struct store *store = scratch_open(s);
    struct kv kv;
    CHECK_EQ_INT(store_begin(store, &kv, NULL), LEDGER_OK);
    if (what == CHANGE_SET)
        CHECK_EQ_INT(store_replace(store, t, key, value, NULL), LEDGER_OK);
    else
        CHECK_EQ_INT(store_remove(store, t, key, NULL), LEDGER_OK);
    CHECK_EQ_INT(store_commit(store, NULL), LEDGER_OK);
    store_close(store);
}

/* Copies a row of known length. */
static void stored_row(struct scratch *s, enum kv_table t, struct span key, struct span out)
{
    struct store *store = scratch_open(s);
    struct kv kv;
    struct span v;
    CHECK_EQ_INT(store_begin(store, &kv, NULL), LEDGER_OK);
    CHECK_EQ_INT(kv_get(&kv, t, key, &v), LEDGER_OK);
    CHECK_EQ_INT(v.n, out.n);
    memcpy((uint8_t *)(uintptr_t)out.p, v.p, v.n);
    store_abort(store);
    store_close(store);
}

TEST(a_whole_folder_verifies_and_is_counted)
{
    struct scratch s;
    make_ledger(&s);
    CHECK_EQ_INT(check_hashes_of(&s), 0);
    CHECK(strstr(output, "hashes agree: "));
    CHECK(strstr(output, "hashes of 19 entries (7 events, 10 seals, 2 other entries of the ledger)"));
    CHECK(strstr(output, "order and links of 19"));
    must_be(&s, 0, "untouched");
    CHECK(strstr(output, "verifies: "));
    CHECK(strstr(output,
                 "19 entries (7 events, 10 seals, 2 other entries of the ledger), 8 signatures"));
    CHECK(strstr(output, "8 chains, 10 checkpoints"));
    CHECK(strstr(output, "anchor:  size 19"));
    CHECK_EQ_INT(command(ledgerd_check, "check", output, sizeof output,
                         (const char *const[]){s.dir, "--json", NULL}),
                 0);
    CHECK(strstr(output, "{\"verifies\":true,\"origin\":\"scratch.example/"
                         "ledger\",\"size\":19,\"entries\":19,\"events\":7,"));
    CHECK(strstr(output, "\"anchor\":19,\"differences\":0,\"first\":[]}\n"));
    CHECK_EQ_INT(command(ledgerd_check, "check", output, sizeof output,
                         (const char *const[]){"--quiet", s.dir, NULL}),
                 0);
    CHECK_EQ_STR(output, "");
    CHECK(remove(s.anchor) == 0);
    must_be(
        &s, 0,
        "without anchor"); /* a copy of a folder can be checked, and the missing anchor is named */
    CHECK(strstr(output, "a rollback is not excluded"));
    scratch_remove(&s);
}

TEST(exit_codes)
{
    struct scratch s;
    make_ledger(&s);
    CHECK_EQ_INT(command(ledgerd_check, "check", output, sizeof output,
                         (const char *const[]){"--help", NULL}),
                 0);
    CHECK_EQ_INT(
        command(ledgerd_check, "check", output, sizeof output, (const char *const[]){NULL}), 2);
    CHECK_EQ_INT(command(ledgerd_check, "check", output, sizeof output,
                         (const char *const[]){s.dir, "more", NULL}),
                 2);
    CHECK_EQ_INT(command(ledgerd_check, "check", output, sizeof output,
                         (const char *const[]){s.dir, "--no", NULL}),
                 2);
    CHECK_EQ_INT(command(ledgerd_check, "check", output, sizeof output,
                         (const char *const[]){"/nowhere", NULL}),
                 2);
    CHECK_EQ_INT(
        command(ledgerd_rebuild, "rebuild", output, sizeof output, (const char *const[]){NULL}), 2);
    struct store *store = scratch_open(&s);
    must_be(&s, 2, "in use");
    CHECK(strstr(output, "in use"));
    store_close(store);
    char path[256];
    snprintf(path, sizeof path, "%s/FORMAT", s.dir);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs("ledgerd data 7\n", f) >= 0 && fclose(f) == 0);
    must_be(&s, 3, "newer");
    CHECK_EQ_INT(rebuild(&s), 3);
    scratch_remove(&s);
}

TEST(a_changed_byte_in_any_row_of_any_table_is_found)
{
    struct scratch s;
    make_ledger(&s);
    struct rows *rows = all_rows(&s);
    for (size_t i = 0; i < rows->n; i++) {
        struct row *row = &rows->row[i];
        uint8_t copy[8192];
        char when[64];
        CHECK(row->value.n > 0 && row->value.n <= sizeof copy);
        memcpy(copy, row->value.p, row->value.n);
        size_t at = (i * 37) % row->value.n;
        copy[at] ^= (uint8_t)(1u << (i % 8));
        snprintf(when, sizeof when, "table %d, row %zu, byte %zu", (int)row->t, i, at);
        change(&s, CHANGE_SET, row->t, row->key, span_of(copy, row->value.n));
        must_be(&s, 1, when);
        CHECK(strstr(output, "DOES NOT VERIFY"));
        if (row->t == KV_LOG || row->t == KV_TREE) {
            CHECK_EQ_INT(check_hashes_of(&s), 1);
            CHECK(strstr(output, "DOES NOT VERIFY"));
        }
        change(&s, CHANGE_SET, row->t, row->key, row->value);
    }
    must_be(&s, 0, "healed");
    free(rows);
    scratch_remove(&s);
}

/* How often the scrub names this entry; it goes on to the end. */
static uint64_t scrub_names(struct scratch *s, uint64_t index)
{
    enum ledger_rc rc;
    struct store *store = scratch_open_read(s);
    uint64_t n = scrub_count(store, s->pen.c, index, &rc);
    CHECK_EQ_INT(rc, LEDGER_OK);
    store_close(store);
    return n;
}

/* They are as of the last entry, and nothing else can be looked at without them. */
TEST(rotten_numbers_of_the_ledger_are_said_of_the_last_entry)
{
    struct scratch s;
    make_ledger(&s);
    struct rows *rows = all_rows(&s);
    unsigned unreadable = 0;
    uint64_t entries = 0;
    for (size_t i = 0; i < rows->n; i++)
        entries += rows->row[i].t == KV_LOG;
    for (size_t i = 0; i < rows->n; i++) {
        struct row *row = &rows->row[i];
        if (row->t != KV_META)
            continue;
        uint8_t *bytes = (uint8_t *)(uintptr_t)arena_copy(s.pen.a, row->value).p;
        bytes[0] ^= 0x80;
        change(&s, CHANGE_SET, KV_META, row->key, span_of(bytes, row->value.n));
        enum ledger_rc rc;
        struct store *store = scratch_open_read(&s);
        uint64_t n = scrub_count(store, s.pen.c, entries - 1, &rc);
        unreadable += rc == LEDGER_ETAMPER;
        CHECK(rc != LEDGER_ETAMPER || n > 0);
        store_close(store);
        change(&s, CHANGE_SET, KV_META, row->key, row->value);
    }
    CHECK(unreadable > 0);
    free(rows);
    scratch_remove(&s);
}

/* It says that the entry is of a newer version, which is no reason to look no further. */
TEST(a_version_that_rotted_is_damage)
{
    struct scratch s;
    make_ledger(&s);
    struct rows *rows = all_rows(&s);
    uint64_t entries = 0;
    for (size_t i = 0; i < rows->n; i++) {
        struct row *row = &rows->row[i];
        struct entry_record r;
        uint8_t copy[4096];
        char name[32];
        if (row->t != KV_LOG)
            continue;
        CHECK(row->value.n <= sizeof copy && entry_record_split(row->value, &r));
        memcpy(copy, row->value.p, row->value.n);
        copy[r.header.p - row->value.p] ^= 0x40;
        change(&s, CHANGE_SET, row->t, row->key, span_of(copy, row->value.n));
        snprintf(name, sizeof name, "entry %llu", (unsigned long long)entries);
        must_be(&s, 1, name);
        CHECK(strstr(output, name));
        CHECK(scrub_names(&s, entries) > 0);
        change(&s, CHANGE_SET, row->t, row->key, row->value);
        CHECK_EQ_INT(scrub_names(&s, entries++), 0);
    }
    CHECK(entries > 10);
    must_be(&s, 0, "healed");
    free(rows);
    scratch_remove(&s);
}

/* Content that is said to be erased, without what is kept of such an entry and without an act; and content where there is none. */
TEST(what_stands_in_for_content_is_checked)
{
    struct scratch s;
    make_ledger(&s);
    struct rows *rows = all_rows(&s);
    struct row *event = NULL, *seal = NULL;
    for (size_t i = 0; i < rows->n; i++) {
        struct entry_record r;
        if (rows->row[i].t == KV_LOG && entry_record_split(rows->row[i].value, &r))
            *(r.event.n ? &event : &seal) = &rows->row[i];
    }
    CHECK(event && seal);
    struct row *changed[] = {event, seal};
    for (unsigned i = 0; i < 2; i++) {
        struct entry_record r;
        CHECK(entry_record_split(changed[i]->value, &r));
        const struct entry_record gone = {.header = r.header, .opening = SPAN_LIT("\1nonsense"), .erased_by = 1000};
        const struct entry_record full = {.header = r.header, .event = SPAN_LIT("event"), .block = SPAN_LIT("block")};
        change(&s, CHANGE_SET, KV_LOG, changed[i]->key, entry_record_join(s.pen.a, i ? &full : &gone));
        must_be(&s, 1, i ? "a seal with content" : "nonsense in place of content");
        CHECK_EQ_INT(check_hashes_of(&s), 1);
        change(&s, CHANGE_SET, KV_LOG, changed[i]->key, changed[i]->value);
    }
    must_be(&s, 0, "healed");
    free(rows);
    scratch_remove(&s);
}

/* As it lies in LMDB: what it held is named, and the rest is still looked at. */
TEST(a_malformed_row_of_an_index_is_found)
{
    static const enum kv_table indexes[] = {KV_EVENT, KV_REFERENCE};
    struct scratch s;
    make_ledger(&s);
    for (unsigned i = 0; i < 2; i++) {
        struct store *store = scratch_open(&s);
        MDB_txn *txn;
        MDB_cursor *cursor;
        MDB_val k, v;
        uint8_t copy[4096];
        CHECK_EQ_INT(mdb_txn_begin(store->env->env, NULL, 0, &txn), 0);
        CHECK_EQ_INT(mdb_cursor_open(txn, store->env->dbi[indexes[i]], &cursor), 0);
        CHECK_EQ_INT(mdb_cursor_get(cursor, &k, &v, MDB_FIRST), 0);
        memcpy(copy, v.mv_data, v.mv_size);
        copy[1] ^= 4;
        MDB_val damaged = {v.mv_size, copy};
        CHECK_EQ_INT(mdb_cursor_put(cursor, &k, &damaged, MDB_CURRENT), 0);
        mdb_cursor_close(cursor);
        CHECK_EQ_INT(mdb_txn_commit(txn), 0);
        store_close(store);
        must_be(&s, 1, "damaged index");
        CHECK(strstr(output, i ? "reference: is missing from the store" : "event index: is missing from the store"));
        CHECK(strstr(output, "rows of it are malformed"));
        CHECK(strstr(output, "entry "));
        CHECK_EQ_INT(rebuild(&s), 0);
        must_be(&s, 0, "rebuilt");
    }
    scratch_remove(&s);
}

static bool names_an_entry(const char *text)
{
    for (const char *at = strstr(text, "entry "); at; at = strstr(at + 1, "entry ")) {
        size_t digits = strspn(at + 6, "0123456789");
        if (digits && at[6 + digits] == ':')
            return true;
    }
    return false;
}

TEST(a_missing_row_of_the_view_is_found)
{
    struct scratch s;
    make_ledger(&s);
    struct rows *rows = all_rows(&s);
    for (size_t i = 0; i < rows->n; i += 2) {
        struct row *row = &rows->row[i];
        char when[64];
        if (row->t == KV_LOG || row->t == KV_CHECKPOINT)
            continue;
        snprintf(when, sizeof when, "table %d, row %zu", (int)row->t, i);
        change(&s, CHANGE_REMOVE, row->t, row->key, SPAN_NONE);
        must_be(&s, 1, when);
        CHECK(strstr(output, "is missing from the store"));
        CHECK(names_an_entry(output));
        CHECK(row->t != KV_TREE || check_hashes_of(&s) == 1);
        change(&s, CHANGE_SET, row->t, row->key, row->value);
    }
    must_be(&s, 0, "healed");
    free(rows);
    scratch_remove(&s);
}

TEST(an_extra_row_of_any_table_is_found)
{
    struct scratch s;
    make_ledger(&s);
    struct rows *rows = all_rows(&s);
    for (int t = 0; t < KV_TABLES; t++) {
        struct row *last = NULL;
        uint8_t key[KV_KEY_MAX];
        char when[64];
        for (size_t i = 0; i < rows->n; i++)
            if ((int)rows->row[i].t == t)
                last = &rows->row[i];
        memcpy(key, last->key.p, last->key.n);
        key[last->key.n - 1] ^= 0x40; /* a row like another one, in a place of its own */
        snprintf(when, sizeof when, "extra row in table %d", t);
        change(&s, CHANGE_SET, (enum kv_table)t, span_of(key, last->key.n), last->value);
        must_be(&s, 1, when);
        CHECK(t != KV_LOG || check_hashes_of(&s) == 1);
        if (t == KV_LOG || t == KV_CHECKPOINT) { /* never removed: a new folder for the next */
            scratch_remove(&s);
            make_ledger(&s);
            free(rows);
            rows = all_rows(&s);
        } else {
            change(&s, CHANGE_REMOVE, (enum kv_table)t, span_of(key, last->key.n), SPAN_NONE);
        }
    }
    must_be(&s, 0, "healed");
    free(rows);
    scratch_remove(&s);
}

TEST(differences_are_named)
{
    struct scratch s;
    uint8_t key[KV_KEY_MAX];
    struct hash k;
    make_ledger(&s);
    chain_key(s.pen.c, &s.index_key, CHAIN_ITEM, SPAN_LIT("M-2"), &k);
    change(&s, CHANGE_REMOVE, KV_CHAIN, span_of(k.b, HASH_LEN), SPAN_NONE);
    must_be(&s, 1, "chain");
    CHECK(strstr(output, "state of item M-2: is missing from the store"));
    CHECK_EQ_INT(command(ledgerd_check, "check", output, sizeof output,
                         (const char *const[]){s.dir, "--json", NULL}),
                 1);
    CHECK(strstr(output, "{\"verifies\":false"));
    CHECK(strstr(output, "{\"entry\":16,\"what\":\"state of item M-2\",\"text\":\"is missing from the store\"}")); /* the recall */
    CHECK_EQ_INT(rebuild(&s), 0);
    uint8_t row[MERKLE_ROW * HASH_LEN];
    struct span tree = kv_key_tree(key, 0, 6);
    stored_row(&s, KV_TREE, tree, span_of(row, sizeof row));
    row[6 * HASH_LEN + 1] ^= 1;
    change(&s, CHANGE_SET, KV_TREE, tree, span_of(row, sizeof row));
    must_be(&s, 1, "tree");
    CHECK(strstr(output, "entry 6: tree, level 0: what is stored is not what follows from the log"));
    row[6 * HASH_LEN + 1] ^= 1;
    change(&s, CHANGE_SET, KV_TREE, tree, span_of(row, sizeof row));
    must_be(&s, 0, "entries");
    tree = kv_key_tree(key, 0, 16); /* not complete; its nodes are part of every root from here on */
    stored_row(&s, KV_TREE, tree, span_of(row, sizeof row));
    for (size_t node = 0; node < 3; node++) {
        row[node * HASH_LEN + 5] ^= 0x10;
        change(&s, CHANGE_SET, KV_TREE, tree, span_of(row, sizeof row));
        must_be(&s, 1, "tree");
        CHECK(strstr(output, "1 difference\n") && !strstr(output, "rolled back"));
        row[node * HASH_LEN + 5] ^= 0x10;
    }
    change(&s, CHANGE_SET, KV_TREE, tree, span_of(row, HASH_LEN)); /* as long as an earlier format's */
    must_be(&s, 1, "tree");
    CHECK(strstr(output, "1 difference\n"));
    row[sizeof row - 1] = 1;
    change(&s, CHANGE_SET, KV_TREE, tree, span_of(row, sizeof row));
    must_be(&s, 1, "tree");
    CHECK(strstr(output, "entry 16: tree, level 0: has nodes that do not follow from the log"));
    change(&s, CHANGE_REMOVE, KV_TREE, tree, SPAN_NONE);
    must_be(&s, 1, "tree");
    CHECK(strstr(output, "entry 16: tree, level 0: is missing from the store"));
    CHECK(strstr(output, "1 difference"));
    CHECK_EQ_INT(rebuild(&s), 0);
    change(&s, CHANGE_REMOVE, KV_CHAIN, span_of(k.b, HASH_LEN), SPAN_NONE);
    change(&s, CHANGE_SET, KV_META, SPAN_LIT("rebuilding"), SPAN_LIT("1")); /* an earlier version's, interrupted: nothing of it is kept */
    CHECK_EQ_INT(rebuild(&s), 0);
    must_be(&s, 0, "rebuilt");
    scratch_remove(&s);
}

TEST(after_a_bad_entry_the_rest_is_still_looked_at)
{
    struct scratch s;
    make_ledger(&s);
    struct rows *rows = all_rows(&s);
    static const size_t entries[] = {6, 10};
    for (size_t i = 0; i < 2; i++) {
        struct row *row = &rows->row[entries[i]]; /* the first table is the log */
        uint8_t *p = (uint8_t *)(uintptr_t)row->value.p;
        p[row->value.n - 9] ^= 1; /* in the signature block */
        change(&s, CHANGE_SET, KV_LOG, row->key, row->value);
    }
    must_be(&s, 1, "two entries");
    CHECK(strstr(output, "2 differences"));
    CHECK(strstr(output, "entry 6: signature block: "));
    CHECK(strstr(output, "entry 10: signature block: "));
    CHECK(strstr(output, "not checked: after entry 6 "));
    free(rows);
    scratch_remove(&s);
}

TEST(keys_and_anchor_are_checked)
{
    struct scratch s;
    char path[256], text[128];
    make_ledger(&s);
    snprintf(path, sizeof path, "%s/keys/index.key", s.dir);
    memset(text, 'a', 64);
    memcpy(text + 64, "\n", 2);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
    must_be(&s, 1, "index key");
    scratch_remove(&s);
    make_ledger(&s);
    snprintf(path, sizeof path, "%s/keys/log.key", s.dir);
    CHECK(remove(path) == 0);
    snprintf(path, sizeof path, "%s/keys/index.key", s.dir);
    CHECK(remove(path) == 0);
    struct secret_key other = pen_key(&s.pen, KEY_OTHER);
    CHECK_EQ_INT(store_keys_write(s.dir, SCRATCH_ORIGIN, &other, &s.index_key, NULL), LEDGER_OK);
    must_be(&s, 1, "log key");
    CHECK(strstr(output, "keys/log.key is not the key of the ledger"));
    scratch_remove(&s);
    make_ledger(&s);
    struct wbuf w;
    struct secret_key log_key = pen_key(&s.pen, KEY_LOG);
    struct checkpoint ahead = {SPAN_LIT(SCRATCH_ORIGIN), 20, HASH_ZERO};
    wbuf_init(&w, s.pen.a);
    checkpoint_sign(s.pen.c, &s.key, &log_key, &ahead, &w);
    CHECK_EQ_INT(anchor_write(s.anchor, wbuf_span(&w), NULL), LEDGER_OK);
    must_be(&s, 1, "anchor");
    CHECK(strstr(output, "rolled back"));
    CHECK_EQ_INT(check_hashes_of(&s), 1);
    CHECK(strstr(output, "rolled back"));
    CHECK_EQ_INT(rebuild(&s), 1);
    scratch_remove(&s);
}

static void drop_view(struct scratch *s)
{
    struct store *store = scratch_open(s);
    struct kv kv;
    CHECK_EQ_INT(store_begin(store, &kv, NULL), LEDGER_OK);
    CHECK_EQ_INT(store_drop_view(store, NULL), LEDGER_OK);
    CHECK_EQ_INT(store_commit(store, NULL), LEDGER_OK);
    store_close(store);
}

TEST(rebuild_makes_the_view_again)
{
    struct scratch s;
    struct run r;
    make_ledger(&s);
    struct rows *before = all_rows(&s);
    drop_view(&s);
    run_init(&r, &s);
    CHECK(run_start(&r) != LEDGER_OK);
    must_be(&s, 1, "no view");
    CHECK_EQ_INT(rebuild(&s), 0);
    CHECK(strstr(output, "19 entries verified"));
    must_be(&s, 0, "rebuilt");
    struct rows *after = all_rows(&s);
    CHECK_EQ_INT(after->n, before->n);
    for (size_t i = 0; i < after->n; i++) {
        CHECK(span_eq(after->row[i].key, before->row[i].key));
        CHECK(span_eq(after->row[i].value, before->row[i].value));
    }
    CHECK_EQ_INT(rebuild(&s), 0); /* also of a view that is whole */
    must_be(&s, 0, "rebuilt again");
    CHECK_EQ_INT(run_start(&r), LEDGER_OK);
    record(&r, pen_material(&s.pen, "M-9"), "wh", KEY_WAREHOUSE);
    run_stop(&r);
    run_fini(&r);
    must_be(&s, 0, "gone on");
    free(before);
    free(after);
    scratch_remove(&s);
}

TEST(an_interrupted_rebuild_is_noticed_and_gone_on_with)
{
    struct scratch s;
    struct run r;
    struct kv kv;
    make_ledger(&s);
    struct store *store = scratch_open(&s);
    CHECK_EQ_INT(store_begin(store, &kv, NULL), LEDGER_OK);
    CHECK_EQ_INT(store_drop_view(store, NULL), LEDGER_OK);
    CHECK_EQ_INT(log_set_rebuilding(store, true, NULL), LEDGER_OK);
    CHECK_EQ_INT(store_commit(store, NULL), LEDGER_OK);
    store_close(store);
    run_init(&r, &s);
    CHECK_EQ_INT(run_start(&r), LEDGER_EINVAL);
    CHECK(strstr(r.err.msg, "ledgerd rebuild"));
    CHECK_EQ_INT(rebuild(&s), 0);
    must_be(&s, 0, "rebuilt");
    run_fini(&r);
    scratch_remove(&s);
}

/* The view as it was at an earlier seal, and the mark: what comes after it is derived, and that is all. What cannot be gone on with is derived from
 * the beginning. */
TEST(an_interrupted_rebuild_goes_on_from_where_it_was)
{
    struct scratch s;
    struct run r;
    struct kv kv;
    make_ledger(&s);
    struct rows *before = all_rows(&s);
    run_init(&r, &s);
    CHECK_EQ_INT(run_start(&r), LEDGER_OK);
    record(&r, pen_event(&s.pen, "STORAGE_MOVED", "m2", "item=M-2;location=F"), "wh", KEY_WAREHOUSE);
    run_stop(&r);
    run_fini(&r);
    for (int whole = 1; whole >= 0; whole--) {
        struct store *store = scratch_open(&s);
        CHECK_EQ_INT(store_begin(store, &kv, NULL), LEDGER_OK);
        CHECK_EQ_INT(store_drop_view(store, NULL), LEDGER_OK);
        for (size_t i = 0; i < before->n; i++) {
            const struct row *row = &before->row[i];
            bool log = row->t == KV_LOG || row->t == KV_CHECKPOINT;
            if (!log && (whole || row->t != KV_TREE))
                CHECK_EQ_INT(store_replace(store, row->t, row->key, row->value, NULL), LEDGER_OK);
        }
        CHECK_EQ_INT(log_set_rebuilding(store, true, NULL), LEDGER_OK);
        CHECK_EQ_INT(store_commit(store, NULL), LEDGER_OK);
        store_close(store);
        CHECK_EQ_INT(rebuild(&s), 0);
        must_be(&s, 0, "rebuilt");
    }
    free(before);
    scratch_remove(&s);
}

TEST(a_damaged_log_is_not_rebuilt_from)
{
    struct scratch s;
    struct run r;
    make_ledger(&s);
    struct rows *rows = all_rows(&s);
    struct row *row = &rows->row[8];
    uint8_t *p = (uint8_t *)(uintptr_t)row->value.p;
    p[row->value.n / 2] ^= 4;
    change(&s, CHANGE_SET, KV_LOG, row->key, row->value);
    CHECK_EQ_INT(rebuild(&s), 1);
    CHECK(strstr(output, "entry 8"));
    run_init(&r, &s);
    CHECK(run_start(&r) != LEDGER_OK);
    p[row->value.n / 2] ^= 4; /* the record comes back, from a copy */
    change(&s, CHANGE_SET, KV_LOG, row->key, row->value);
    CHECK_EQ_INT(rebuild(&s), 0);
    must_be(&s, 0, "rebuilt");
    run_fini(&r);
    free(rows);
    scratch_remove(&s);
}

TEST_MAIN(TEST_ENTRY(a_whole_folder_verifies_and_is_counted), TEST_ENTRY(exit_codes),
          TEST_ENTRY(a_changed_byte_in_any_row_of_any_table_is_found),
          TEST_ENTRY(rotten_numbers_of_the_ledger_are_said_of_the_last_entry), TEST_ENTRY(a_version_that_rotted_is_damage),
          TEST_ENTRY(what_stands_in_for_content_is_checked), TEST_ENTRY(a_malformed_row_of_an_index_is_found), TEST_ENTRY(a_missing_row_of_the_view_is_found),
          TEST_ENTRY(an_extra_row_of_any_table_is_found), TEST_ENTRY(differences_are_named),
          TEST_ENTRY(after_a_bad_entry_the_rest_is_still_looked_at),
          TEST_ENTRY(keys_and_anchor_are_checked), TEST_ENTRY(rebuild_makes_the_view_again),
          TEST_ENTRY(an_interrupted_rebuild_is_noticed_and_gone_on_with), TEST_ENTRY(an_interrupted_rebuild_goes_on_from_where_it_was),
          TEST_ENTRY(a_damaged_log_is_not_rebuilt_from))
