/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of backups: manifests and parts, read back, and whatever is not exactly one refused. */
#include "lib/query_world.h"

#include "backup.h"

struct made {
    struct world *w;
    struct backup_manifest m;
    struct backup_part parts[2];
    struct backup_file files[2];
    struct backup_log_key keys[1];
    struct span part[2], bytes;
};

/* Two parts with the world's own log: the first one with three entries. */
static struct made *make(void)
{
    struct made *k = calloc(1, sizeof *k);
    struct world *w = k->w = world_open();
    struct backup_part_writer p;
    struct frontier *tree = &k->m.tree;
    world_begin(w);
    play(w, "MATERIAL_RECEIVED", "u.wh",
         "item=M-1;gtin=09521234543213;lot=L;supplier=S;quantity=100;uom=mL;expiry=2031-01-01T00:00:00Z;coa_hash=ab;origin=EU");
    world_commit(w);
    world_begin(w);
    backup_part_begin(&p, w->a, 0);
    for (uint64_t i = 0; i < w->m.size; i++) {
        uint8_t key[KV_KEY_MAX];
        struct span v;
        struct entry_record r;
        struct header h;
        struct hash leaf;
        MUST(kv_get(&w->m.kv, KV_LOG, kv_key_u64(key, i), &v));
        v = arena_copy(w->a, v);
        CHECK(entry_record_split(v, &r));
        MUST(backup_record_check(w->c, w->a, i, &r, &h, &leaf, err));
        CHECK_EQ_INT(backup_record_check(w->c, w->a, i + 1, &r, &h, &leaf, NULL), LEDGER_EINVAL);
        frontier_append(w->c, tree, &leaf);
        if (i == 3) {
            k->part[0] = backup_part_end(&p, w->c, &k->parts[0]);
            backup_part_begin(&p, w->a, i);
        }
        backup_part_add(&p, v);
    }
    k->part[1] = backup_part_end(&p, w->c, &k->parts[1]);
    struct checkpoint cp = {SPAN_LIT(WORLD_ORIGIN), tree->size, {{0}}};
    struct note_key key;
    struct wbuf note;
    frontier_root(w->c, tree, &cp.root);
    CHECK(note_key_make(w->c, WORLD_ORIGIN, NOTE_ED25519, span_of(w->log_key.pub, w->log_key.pub_len), &key));
    wbuf_init(&note, w->a);
    checkpoint_sign(w->c, &key, &w->log_key, &cp, &note);
    k->keys[0].vkey = w->m.log_vkey;
    k->files[0] = (struct backup_file){.path = "ledgerd.conf", .bytes = 7};
    k->files[1] = (struct backup_file){.path = "pki/ca.pem", .bytes = 8};
    k->m = (struct backup_manifest){.origin = WORLD_ORIGIN, .tree = *tree, .n_log_keys = 1, .n_parts = 2, .n_files = 2, .log_keys = k->keys,
                                    .parts = k->parts, .files = k->files, .note = wbuf_span(&note)};
    k->bytes = backup_manifest_encode(w->a, &k->m);
    CHECK(k->bytes.p);
    return k;
}

static void unmake(struct made *k)
{
    world_close(k->w);
    free(k);
}

TEST(a_manifest_reads_as_it_was_written)
{
    struct made *k = make();
    struct backup_manifest m;
    MUST(backup_manifest_decode(k->w->c, k->w->a, k->bytes, &m, err));
    CHECK(strcmp(m.origin, WORLD_ORIGIN) == 0 && m.first == 0 && m.tree.size == k->m.tree.size && m.n_parts == 2 && m.n_files == 2);
    CHECK(strcmp(m.files[1].path, "pki/ca.pem") == 0 && hash_eq(&m.parts[1].sha, &k->parts[1].sha));
    CHECK(backup_note_signed(k->w->c, k->w->a, &m, m.tree.size, m.note));
    CHECK(span_eq(backup_manifest_encode(k->w->a, &m), k->bytes));
    unmake(k);
}

/* Cut at each place, changed at each place: refused, or what changed is nothing that the manifest vouches for by itself. */
TEST(a_damaged_manifest_is_refused)
{
    struct made *k = make();
    struct backup_manifest m;
    struct arena *a = arena_new((size_t)1 << 20);
    uint8_t *copy = arena_alloc(k->w->a, k->bytes.n);
    for (size_t n = 0; n < k->bytes.n; n++) {
        arena_reset(a);
        CHECK(backup_manifest_decode(k->w->c, a, span_of(k->bytes.p, n), &m, NULL) != LEDGER_OK);
        memcpy(copy, k->bytes.p, k->bytes.n);
        copy[n] ^= 1;
        arena_reset(a);
        bool good = backup_manifest_decode(k->w->c, a, span_of(copy, k->bytes.n), &m, NULL) == LEDGER_OK;
        if (good && n < k->bytes.n - k->m.note.n)
            CHECK(!span_eq(backup_manifest_encode(a, &m), k->bytes));
        if (good && n >= k->bytes.n - k->m.note.n)
            CHECK(!backup_note_signed(k->w->c, a, &m, m.tree.size, m.note));
    }
    arena_free(a);
    unmake(k);
}

static enum ledger_rc read_changed(struct made *k, const struct backup_manifest *m)
{
    struct backup_manifest out;
    return backup_manifest_decode(k->w->c, k->w->a, backup_manifest_encode(k->w->a, m), &out, NULL);
}

TEST(a_manifest_that_says_what_cannot_be_is_refused)
{
    static const char *const paths[] = {"/etc/passwd", "../up", "pki/../../up", "pki//ca", "", "pki/", ".hidden", "with space", "pki/ca.pem\n"};
    struct made *k = make();
    struct backup_manifest m = k->m;
    CHECK_EQ_INT(read_changed(k, &m), LEDGER_OK);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        k->files[1].path = paths[i];
        CHECK_EQ_INT(read_changed(k, &m), LEDGER_EINVAL);
    }
    k->files[1].path = "ledgerd.conf"; /* twice */
    CHECK_EQ_INT(read_changed(k, &m), LEDGER_EINVAL);
    k->files[1].path = "pki/ca.pem";
    k->parts[1].first++;
    CHECK_EQ_INT(read_changed(k, &m), LEDGER_EINVAL);
    k->parts[1].first--;
    k->parts[1].n--;
    CHECK_EQ_INT(read_changed(k, &m), LEDGER_EINVAL);
    k->parts[1].n++;
    m.first = 1;
    CHECK_EQ_INT(read_changed(k, &m), LEDGER_EINVAL);
    m.first = 0;
    m.origin = "another.example/ledger";
    CHECK_EQ_INT(read_changed(k, &m), LEDGER_EINVAL);
    uint8_t *newer = arena_alloc(k->w->a, k->bytes.n);
    memcpy(newer, k->bytes.p, k->bytes.n);
    newer[15] = '2';
    CHECK_EQ_INT(backup_manifest_decode(k->w->c, k->w->a, span_of(newer, k->bytes.n), &m, NULL), LEDGER_EVERSION);
    unmake(k);
}

TEST(a_part_is_exactly_what_the_manifest_names)
{
    struct made *k = make();
    struct backup_part_reader r;
    struct entry_record e;
    struct span record;
    uint64_t index = 0, n = 0;
    enum ledger_rc rc;
    MUST(backup_part_open(k->w->c, k->part[1], &k->parts[1], &r, err));
    while (backup_part_next(&r, &index, &record, &e, &rc, NULL))
        CHECK_EQ_INT(index, 3 + n++);
    CHECK_EQ_INT(rc, LEDGER_OK);
    CHECK_EQ_INT(n, k->parts[1].n);
    CHECK_EQ_INT(backup_part_open(k->w->c, k->part[0], &k->parts[1], &r, NULL), LEDGER_EINVAL);
    CHECK_EQ_INT(backup_part_open(k->w->c, span_of(k->part[1].p, k->part[1].n - 1), &k->parts[1], &r, NULL), LEDGER_EINVAL);
    uint8_t *copy = arena_alloc(k->w->a, k->part[1].n);
    for (size_t i = 0; i < k->part[1].n; i++) {
        memcpy(copy, k->part[1].p, k->part[1].n);
        copy[i] ^= 1;
        CHECK_EQ_INT(backup_part_open(k->w->c, span_of(copy, k->part[1].n), &k->parts[1], &r, NULL), LEDGER_EINVAL);
        /* Even with the hash made right it is no more than a row of records, each of which is looked at. */
        struct backup_part forged = k->parts[1];
        struct span s = span_of(copy, k->part[1].n);
        crypto_sha256(k->w->c, &s, 1, &forged.sha);
        if (backup_part_open(k->w->c, s, &forged, &r, NULL) == LEDGER_OK)
            while (backup_part_next(&r, &index, &record, &e, &rc, NULL))
                ;
    }
    unmake(k);
}

TEST_MAIN(TEST_ENTRY(a_manifest_reads_as_it_was_written), TEST_ENTRY(a_damaged_manifest_is_refused),
          TEST_ENTRY(a_manifest_that_says_what_cannot_be_is_refused), TEST_ENTRY(a_part_is_exactly_what_the_manifest_names))
