/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup: `ledgerd backup DIR TARGET`: copies what is new in the log into a folder, while the ledger is served.
 *
 * It is a process of its own that opens the store beside the daemon (STORE_BESIDE) and not an act of the daemon: the daemon's unit may write
 * nowhere but to its own folder, a slow or full backup device must not become the daemon's trouble, and the same command serves a ledger that
 * is not running. It reads the log alone (store/log.h), not the view.
 *
 *   choose the newest durable checkpoint → for each part: open, read up to 16 MiB of records, close, write, read back → the root of what was read
 *   back is the checkpoint's → sign → small files → manifest
 *
 * Nothing but an erasure changes an entry once it is committed, so what was read in portions is consistent. Of an erasure there are two
 * sides. An entry that was erased after the checkpoint was chosen is already without content: then a newer checkpoint is chosen, which has the
 * ERASURE. And earlier parts still have the content of what the new entries erase: those parts are written anew, and the old ones destroyed.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "check_internal.h"
#include "commands.h"
#include "config.h"
#include "log_note.h"
#include "small_files.h"
#include "target.h"

#define KEEP_ARENA ((size_t)1 << 30)
#define SETTLE_MS 5000 /* the tables are waited for */
#define SETTLE_STEP_MS 20

static const char HELP[] =
    "usage: ledgerd backup DIR TARGET [--with-keys] [--verify-all] [--json] [--quiet]\n"
    "\n"
    "Writes a backup of the ledger in DIR into the folder TARGET, also while the ledger is served. A TARGET that has a backup of this\n"
    "ledger already gets what is new, and loses the content of what was erased since. Everything that is written is read back and verified:\n"
    "hashes, content, and that the entries make the tree of the signed checkpoint.\n"
    "\n"
    "  --with-keys    also the secret keys: the log key, and the private keys in pki/ and beside ledgerd.conf. Whoever reads TARGET\n"
    "                 can then sign as this ledger. Without it, restoring takes a copy of keys/ and pki/ from elsewhere\n"
    "  --verify-all   read and verify all of TARGET, not only what is new\n"
    "  --json         print what was done as JSON\n"
    "  --quiet        no progress, and no output if it succeeds\n"
    "\n"
    "Exit codes: 0 done; 1 failed: the backup that was there is still there; 2 wrong usage; 3 DIR or TARGET was written by a newer\n"
    "version; 4 DIR is not what was signed, or is older than TARGET.\n";

struct backup {
    /* Arguments. */
    const char *dir, *path;
    bool with_keys, verify_all, json, quiet;
    struct store_options options; /* the map's size, as the daemon has it */
    struct crypto *c;
    struct arena *a, *scratch; /* a: the manifest's */
    struct target target;
    struct backup_manifest m;  /* as it will be */
    struct backup_part *parts; /* malloc'ed */
    size_t parts_cap;
    struct backup_log_key log_keys[LOG_KEY_CHANGES_MAX + 1];
    /* The checkpoint. */
    bool settled; /* the tables were waited for, once in a run */
    uint64_t size;
    struct hash root;
    /* Erasures among what is new. */
    uint64_t erased_by_max;
    struct hash *erased;       /* event ids, malloc'ed */
    size_t n_erased, erased_cap;
    /* For the report. */
    uint64_t went_on_at, entries, bytes, rewritten;
    struct small_files files;
    struct progress progress;
};

/* ---- the source ---- */

struct source {
    struct store *s;
    struct store_snapshot *sn;
    struct kv kv;
};

static void source_close(struct source *so)
{
    store_snapshot_close(so->sn);
    store_close(so->s);
    *so = (struct source){0};
}

static enum ledger_rc source_open(struct backup *b, struct source *so, struct ledger_err *err)
{
    *so = (struct source){0};
    enum ledger_rc rc = store_open_with(b->dir, STORE_BESIDE, &b->options, &so->s, err);
    if (rc == LEDGER_OK)
        rc = store_snapshot_open(so->s, &so->sn, err);
    if (rc == LEDGER_OK)
        so->kv = store_snapshot_kv(so->sn);
    else
        source_close(so);
    return rc;
}

static enum ledger_rc not_what_was_signed(struct ledger_err *err, const char *what)
{
    return ledger_fail(err, LEDGER_ETAMPER, "the data folder: %s; run `ledgerd check`", what);
}

/* ---- which checkpoint ---- */

/* Does the ledger go on from where the backup stands? */
static enum ledger_rc check_former(struct backup *b, struct source *so, struct ledger_err *err)
{
    const struct backup_manifest *old = &b->target.m;
    uint8_t key[KV_KEY_MAX];
    struct span root;
    struct hash want;
    if (old->tree.size > b->size)
        return ledger_fail(err, LEDGER_ETAMPER, "rolled back: the store has %llu entries, the backup %s has %llu of the same ledger, signed; "
                           "see \"Restoring\" in docs/operations.md", (unsigned long long)b->size, b->path, (unsigned long long)old->tree.size);
    frontier_root(b->c, &old->tree, &want);
    enum ledger_rc rc = kv_get(&so->kv, KV_CHECKPOINT, kv_key_u64(key, old->tree.size), &root);
    if (rc == LEDGER_ENOTFOUND || (rc == LEDGER_OK && !span_eq(root, span_of(want.b, HASH_LEN))))
        return ledger_fail(err, LEDGER_ETAMPER, "the store has another history than the backup %s: at size %llu their roots differ, and both are "
                           "signed", b->path, (unsigned long long)old->tree.size);
    return rc == LEDGER_OK ? rc : ledger_fail(err, rc, "the checkpoint of the backup cannot be looked up");
}

static enum ledger_rc check_ledger(struct backup *b, struct source *so, struct ledger_err *err)
{
    struct entry_record r;
    struct genesis g;
    enum ledger_rc rc = log_read(&so->kv, 0, &r, err);
    if (rc == LEDGER_OK)
        rc = genesis_decode(r.event, &g, err);
    if (rc != LEDGER_OK)
        return rc == LEDGER_EVERSION ? rc : not_what_was_signed(err, "there is no genesis entry");
    b->m.origin = arena_strdup(b->a, g.origin);
    b->log_keys[0].vkey = arena_strdup(b->a, g.log_vkey);
    if (!b->m.origin || !b->log_keys[0].vkey)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    b->m.n_log_keys = 1;
    if (!b->target.present)
        return LEDGER_OK;
    const struct backup_manifest *old = &b->target.m;
    if (strcmp(old->origin, b->m.origin) != 0 || old->n_log_keys == 0 || strcmp(old->log_keys[0].vkey, b->log_keys[0].vkey) != 0 || old->first)
        return ledger_fail(err, LEDGER_EINVAL, "%s is a backup of another ledger, %s; nothing was touched", b->path, old->origin);
    if (!backup_note_signed(b->c, b->a, old, old->tree.size, old->note))
        return ledger_fail(err, LEDGER_EINVAL, "%s: its checkpoint is not signed by the ledger; begin a new backup in another folder", b->path);
    memcpy(b->log_keys, old->log_keys, old->n_log_keys * sizeof *old->log_keys);
    b->m.n_log_keys = old->n_log_keys;
    return check_former(b, so, err);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/*
 * The last checkpoint, and only if it is surely on the disk. What is in the journal may have been read before it was synced; if that sync fails, or
 * the power does, it was never recorded, and a backup that has signed it would be another history. What is in the tables is on the disk. The
 * daemon puts there what it has recorded within a second, for which this waits; where there is no daemon, what waits in the journal is for the
 * next backup.
 */
static enum ledger_rc last_durable(struct backup *b, struct source *so, struct ledger_err *err)
{
    uint64_t recorded;
    struct hash root;
    const struct timespec pause = {.tv_nsec = SETTLE_STEP_MS * 1000000L};
    const int64_t until = now_ms() + SETTLE_MS;
    enum ledger_rc rc = log_checkpoint(so->sn, &recorded, &root, err);
    while (rc == LEDGER_OK) {
        store_snapshot_tables(so->sn);
        rc = log_checkpoint(so->sn, &b->size, &b->root, err);
        if (rc != LEDGER_OK || b->size >= recorded || b->settled || now_ms() >= until)
            break;
        source_close(so);
        nanosleep(&pause, NULL);
        rc = source_open(b, so, err);
    }
    b->settled = true;
    return rc;
}

static enum ledger_rc choose(struct backup *b, bool first, struct ledger_err *err)
{
    struct source so;
    enum ledger_rc rc = source_open(b, &so, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = last_durable(b, &so, err);
    if (rc != LEDGER_OK)
        rc = ledger_wrap(err, rc == LEDGER_ENOTFOUND ? LEDGER_EINVAL : rc, "the ledger was never made");
    if (rc == LEDGER_OK && first)
        rc = check_ledger(b, &so, err);
    source_close(&so);
    return rc;
}

/* ---- what the entries say that the backup has to know ---- */

static enum ledger_rc take_erasure(struct backup *b, struct span payload, struct ledger_err *err)
{
    struct erasure e;
    enum ledger_rc rc = erasure_decode(payload, &e, err);
    if (rc == LEDGER_OK && b->n_erased + e.n > b->erased_cap) {
        size_t cap = 2 * (b->n_erased + e.n);
        struct hash *ids = realloc(b->erased, cap * sizeof *ids);
        if (!ids)
            return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
        b->erased = ids;
        b->erased_cap = cap;
    }
    for (unsigned i = 0; rc == LEDGER_OK && i < e.n; i++)
        memcpy(b->erased[b->n_erased++].b, e.ids + (size_t)i * HASH_LEN, HASH_LEN);
    return rc;
}

static enum ledger_rc take_log_key(struct backup *b, struct span payload, struct ledger_err *err)
{
    struct log_key_change k;
    enum ledger_rc rc = log_key_change_decode(payload, &k, err);
    if (rc != LEDGER_OK)
        return rc;
    if (b->m.n_log_keys > LOG_KEY_CHANGES_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "more than %d changes of the log key", LOG_KEY_CHANGES_MAX);
    struct backup_log_key *out = &b->log_keys[b->m.n_log_keys++];
    *out = (struct backup_log_key){k.from_size, arena_strdup(b->a, k.new_vkey)};
    return out->vkey ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

static enum ledger_rc look_at(struct backup *b, const struct header *h, const struct entry_record *r, struct ledger_err *err)
{
    if (r->erased_by > b->erased_by_max)
        b->erased_by_max = r->erased_by;
    if (h->kind == OWN_ERASURE)
        return take_erasure(b, r->event, err);
    return h->kind == OWN_LOG_KEY ? take_log_key(b, r->event, err) : LEDGER_OK;
}

/* ---- parts ---- */

static enum ledger_rc damaged(struct backup *b, enum ledger_rc rc, struct ledger_err *err)
{
    return ledger_wrap(err, rc, "the backup in %.100s is damaged; begin a new one in another folder", b->path);
}

static enum ledger_rc open_part(struct backup *b, const struct backup_part *part, struct backup_part_reader *reader, struct ledger_err *err)
{
    struct span bytes;
    enum ledger_rc rc = target_get(&b->target, &part->sha, BACKUP_PART_MAX, b->scratch, &bytes, err);
    if (rc == LEDGER_OK)
        rc = backup_part_open(b->c, bytes, part, reader, err);
    return rc == LEDGER_OK ? rc : damaged(b, rc, err);
}

/* Reads a part back; every record goes to visit. */
static enum ledger_rc read_part(struct backup *b, const struct backup_part *part, struct frontier *tree,
                                enum ledger_rc (*visit)(struct backup *b, const struct header *h, const struct entry_record *r,
                                                        struct ledger_err *err),
                                struct ledger_err *err)
{
    struct span record;
    struct backup_part_reader reader;
    struct entry_record r;
    struct header h;
    struct hash leaf;
    uint64_t index;
    enum ledger_rc rc = open_part(b, part, &reader, err);
    if (rc != LEDGER_OK)
        return rc;
    while (backup_part_next(&reader, &index, &record, &r, &rc, err)) {
        struct arena_mark m = arena_mark(b->scratch);
        rc = backup_record_check(b->c, b->scratch, index, &r, &h, &leaf, err);
        if (rc == LEDGER_OK)
            frontier_append(b->c, tree, &leaf);
        if (rc == LEDGER_OK && visit)
            rc = visit(b, &h, &r, err);
        arena_release(b->scratch, m);
        if (rc != LEDGER_OK)
            return damaged(b, rc, err);
    }
    return rc == LEDGER_OK ? rc : damaged(b, rc, err);
}

static enum ledger_rc add_part(struct backup *b, const struct backup_part *part, struct ledger_err *err)
{
    if (b->m.n_parts == b->parts_cap) {
        size_t cap = b->parts_cap ? 2 * b->parts_cap : 64;
        struct backup_part *parts = realloc(b->parts, cap * sizeof *parts);
        if (!parts)
            return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
        b->parts = b->m.parts = parts;
        b->parts_cap = cap;
    }
    b->parts[b->m.n_parts++] = *part;
    return LEDGER_OK;
}

/* What is rotten in the store is not taken for damage of the backup later. */
static enum ledger_rc check_source(struct backup *b, uint64_t index, struct span record, struct ledger_err *err)
{
    struct entry_record r;
    struct header h;
    struct hash leaf;
    struct ledger_err why = {.msg = "the record is malformed"};
    struct arena_mark m = arena_mark(b->scratch);
    enum ledger_rc rc = entry_record_split(record, &r) ? backup_record_check(b->c, b->scratch, index, &r, &h, &leaf, &why) : LEDGER_EINVAL;
    arena_release(b->scratch, m);
    if (rc == LEDGER_EINVAL)
        return ledger_fail(err, LEDGER_ETAMPER, "the data folder: entry %llu: %.150s; run `ledgerd check`", (unsigned long long)index, why.msg);
    return rc == LEDGER_OK ? rc : ledger_fail(err, rc, "%s", why.msg);
}

/* Fills a part with the next records. The store is closed before anything is written: no erasure waits for a slow device. */
static enum ledger_rc fill_part(struct backup *b, uint64_t first, struct backup_part_writer *w, struct ledger_err *err)
{
    struct source so;
    enum ledger_rc rc = source_open(b, &so, err);
    if (rc != LEDGER_OK)
        return rc;
    backup_part_begin(w, b->scratch, first);
    for (uint64_t i = first; rc == LEDGER_OK && i < b->size && !backup_part_full(w); i++) {
        uint8_t key[KV_KEY_MAX];
        struct span record;
        rc = kv_get(&so.kv, KV_LOG, kv_key_u64(key, i), &record);
        if (rc == LEDGER_ENOTFOUND)
            rc = not_what_was_signed(err, "an entry below its size is missing");
        else if (rc != LEDGER_OK)
            ledger_fail(err, rc, "entry %llu cannot be read", (unsigned long long)i);
        else if ((rc = check_source(b, i, record, err)) == LEDGER_OK)
            backup_part_add(w, record);
        progress_step(&b->progress, i);
    }
    source_close(&so);
    return rc;
}

static enum ledger_rc copy_part(struct backup *b, struct ledger_err *err)
{
    struct backup_part_writer w;
    struct backup_part part;
    struct frontier before = b->m.tree;
    arena_reset(b->scratch);
    enum ledger_rc rc = fill_part(b, b->m.tree.size, &w, err);
    if (rc != LEDGER_OK)
        return rc;
    struct span bytes = backup_part_end(&w, b->c, &part);
    rc = bytes.p ? target_put(&b->target, bytes, &part.sha, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    if (rc == LEDGER_OK)
        rc = read_part(b, &part, &b->m.tree, look_at, err);
    if (rc == LEDGER_OK)
        rc = add_part(b, &part, err);
    if (rc != LEDGER_OK)
        b->m.tree = before;
    b->entries += part.n;
    b->bytes += part.bytes;
    return rc;
}

static enum ledger_rc copy_new(struct backup *b, struct ledger_err *err)
{
    struct hash root;
    progress_start(&b->progress, b->quiet || b->json, b->m.tree.size, b->size);
    enum ledger_rc rc = LEDGER_OK;
    while (rc == LEDGER_OK && b->m.tree.size < b->size)
        rc = copy_part(b, err);
    progress_end(&b->progress);
    if (rc != LEDGER_OK)
        return rc;
    frontier_root(b->c, &b->m.tree, &root);
    if (!hash_eq(&root, &b->root))
        return not_what_was_signed(err, "its entries do not make the tree of its last checkpoint");
    return LEDGER_OK;
}

/* ---- erased since ---- */

static int by_bytes(const void *x, const void *y)
{
    return memcmp(x, y, HASH_LEN);
}

static bool to_erase(const struct backup *b, const struct header *h, const struct entry_record *r)
{
    return h->kind >= EVENT_KIND_FIRST && !r->erased_by && bsearch(&h->event_id, b->erased, b->n_erased, HASH_LEN, by_bytes);
}

/* A record as the store has it now, in the arena. */
struct erased_record {
    struct erased_record *next;
    uint64_t index;
    struct span bytes;
};

/* It must be the erased form of the old one. */
static enum ledger_rc read_erased(struct backup *b, struct source *so, uint64_t index, const struct entry_record *old, struct erased_record **out,
                                  struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    struct span record;
    struct entry_record now;
    enum ledger_rc rc = so->s ? LEDGER_OK : source_open(b, so, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = kv_get(&so->kv, KV_LOG, kv_key_u64(key, index), &record);
    if (rc != LEDGER_OK || !entry_record_split(record, &now) || !now.erased_by || !span_eq(now.header, old->header))
        return not_what_was_signed(err, "an entry that an ERASURE names still has its content");
    struct erased_record *e = arena_alloc(b->scratch, sizeof *e);
    if (e)
        *e = (struct erased_record){.index = index, .bytes = arena_copy(b->scratch, record)};
    *out = e;
    return e && e->bytes.p ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

/* Those of a part that were erased since, in order. The part is read before the store is opened, and the store is closed before anything is
 * written: no erasure waits for a slow device. */
static enum ledger_rc read_all_erased(struct backup *b, struct backup_part_reader reader, struct erased_record **first, struct ledger_err *err)
{
    struct source so = {0};
    struct span record;
    struct entry_record r;
    struct header h;
    struct hash leaf;
    uint64_t index;
    enum ledger_rc rc = LEDGER_OK, read = LEDGER_OK;
    *first = NULL;
    while (read == LEDGER_OK && backup_part_next(&reader, &index, &record, &r, &rc, err)) {
        struct arena_mark m = arena_mark(b->scratch);
        rc = backup_record_check(b->c, b->scratch, index, &r, &h, &leaf, err);
        bool erase = rc == LEDGER_OK && to_erase(b, &h, &r);
        arena_release(b->scratch, m);
        if (rc != LEDGER_OK)
            break;
        if (erase && (read = read_erased(b, &so, index, &r, first, err)) == LEDGER_OK)
            first = &(*first)->next;
    }
    source_close(&so);
    return read != LEDGER_OK ? read : rc == LEDGER_OK ? rc : damaged(b, rc, err);
}

/* The next part of what was rewritten: until it is full, or the old one ends. */
static enum ledger_rc put_rewritten(struct backup *b, struct backup_part_reader *reader, const struct erased_record **erased, struct ledger_err *err)
{
    struct backup_part_writer w;
    struct backup_part next;
    struct frontier nothing = {0};
    struct span record;
    struct entry_record r;
    uint64_t index;
    enum ledger_rc rc = LEDGER_OK;
    backup_part_begin(&w, b->scratch, reader->next);
    while (!backup_part_full(&w) && backup_part_next(reader, &index, &record, &r, &rc, err)) {
        if (*erased && (*erased)->index == index) {
            record = (*erased)->bytes;
            *erased = (*erased)->next;
            b->rewritten++;
        }
        backup_part_add(&w, record);
    }
    if (rc != LEDGER_OK)
        return damaged(b, rc, err);
    struct span bytes = backup_part_end(&w, b->c, &next);
    rc = bytes.p ? target_put(&b->target, bytes, &next.sha, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    if (rc == LEDGER_OK)
        rc = read_part(b, &next, &nothing, NULL, err);
    b->bytes += next.bytes;
    return rc == LEDGER_OK ? add_part(b, &next, err) : rc;
}

/* Takes a part over, or what has become of it: what is kept in place of content may be longer than that was, so one part may become several. */
static enum ledger_rc erase_in(struct backup *b, const struct backup_part *part, struct ledger_err *err)
{
    struct backup_part_reader reader;
    struct erased_record *all = NULL;
    arena_reset(b->scratch);
    enum ledger_rc rc = open_part(b, part, &reader, err);
    if (rc == LEDGER_OK)
        rc = read_all_erased(b, reader, &all, err);
    if (rc != LEDGER_OK || !all)
        return rc == LEDGER_OK ? add_part(b, part, err) : rc;
    const struct erased_record *left = all;
    while (rc == LEDGER_OK && reader.left) {
        struct arena_mark m = arena_mark(b->scratch);
        rc = put_rewritten(b, &reader, &left, err);
        arena_release(b->scratch, m);
    }
    return rc;
}

static enum ledger_rc erase_old(struct backup *b, struct ledger_err *err)
{
    struct backup_part *old = b->parts;
    size_t n = b->m.n_parts;
    enum ledger_rc rc = LEDGER_OK;
    if (b->n_erased == 0)
        return rc;
    qsort(b->erased, b->n_erased, HASH_LEN, by_bytes);
    b->parts = b->m.parts = NULL;
    b->m.n_parts = b->parts_cap = 0;
    for (size_t i = 0; rc == LEDGER_OK && i < n; i++)
        rc = erase_in(b, &old[i], err);
    free(old);
    return rc;
}

/* ---- the checkpoint's note ---- */

static enum ledger_rc sign(struct backup *b, struct ledger_err *err)
{
    struct source so;
    struct note_key key;
    struct wbuf w;
    size_t i = b->m.n_log_keys - 1;
    const struct checkpoint cp = {span_str(b->m.origin), b->size, b->root};
    enum ledger_rc rc = LEDGER_OK;
    if (i && b->log_keys[i].from == b->size + 1) { /* the last checkpoint of a key that was replaced: kept as it was signed */
        rc = log_note_kept(b->dir, b->size, b->a, &b->m.note, err);
        if (rc == LEDGER_ENOTFOUND)
            return ledger_fail(err, LEDGER_EBUSY, "the log key is being replaced; try again when that is finished");
    } else {
        rc = source_open(b, &so, err);
        if (rc != LEDGER_OK)
            return rc;
        const struct secret_key *secret = store_log_key(so.s);
        if (note_key_parse(b->c, span_str(b->log_keys[i].vkey), &key, NULL) != LEDGER_OK ||
            !span_eq(span_of(key.key, key.key_n), span_of(secret->pub, secret->pub_len)))
            rc = ledger_fail(err, LEDGER_EINVAL, "keys/log.key is not the key of the ledger %s", b->m.origin);
        wbuf_init(&w, b->a);
        if (rc == LEDGER_OK)
            checkpoint_sign(b->c, &key, secret, &cp, &w);
        b->m.note = wbuf_span(&w);
        source_close(&so);
    }
    if (rc == LEDGER_OK && (!b->m.note.p || !backup_note_signed(b->c, b->a, &b->m, b->size, b->m.note)))
        rc = ledger_fail(err, LEDGER_EINVAL, "the checkpoint of %llu entries cannot be signed, or its kept note is damaged",
                         (unsigned long long)b->size);
    return rc;
}

/* ---- the whole ---- */

/* A configuration that cannot be read is no reason for having no backup. */
static void read_config(struct backup *b)
{
    char path[FILES_PATH_MAX];
    struct config c;
    if (files_path(path, b->dir, "ledgerd.conf", NULL) != LEDGER_OK || config_load(&c, path, NULL) != LEDGER_OK)
        return;
    b->options.map_bytes = c.map_bytes;
    config_fini(&c);
}

static enum ledger_rc begin(struct backup *b, struct ledger_err *err)
{
    b->c = crypto_new();
    b->a = arena_new(KEEP_ARENA);
    b->scratch = arena_new(TARGET_SCRATCH);
    if (!b->c || !b->a || !b->scratch)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    b->m.log_keys = b->log_keys;
    read_config(b);
    enum ledger_rc rc = choose(b, false, err); /* a folder that is none makes no folder */
    if (rc == LEDGER_OK)
        rc = target_open(&b->target, b->path, true, b->c, b->a, err);
    if (rc == LEDGER_OK)
        rc = choose(b, true, err);
    if (rc != LEDGER_OK || !b->target.present)
        return rc;
    const struct backup_manifest *old = &b->target.m;
    b->went_on_at = old->tree.size;
    b->m.tree = old->tree;
    for (size_t i = 0; rc == LEDGER_OK && i < old->n_parts; i++)
        rc = add_part(b, &old->parts[i], err);
    return rc;
}

static enum ledger_rc verify_all(struct backup *b, struct ledger_err *err)
{
    struct frontier tree = {0};
    struct hash root;
    enum ledger_rc rc = LEDGER_OK;
    progress_start(&b->progress, b->quiet || b->json, 0, b->size);
    for (size_t i = 0; rc == LEDGER_OK && i < b->m.n_parts; i++) {
        arena_reset(b->scratch);
        rc = read_part(b, &b->parts[i], &tree, NULL, err);
        progress_step(&b->progress, tree.size / 64 * 64);
    }
    progress_end(&b->progress);
    frontier_root(b->c, &tree, &root);
    if (rc == LEDGER_OK && (tree.size != b->size || !hash_eq(&root, &b->root)))
        rc = damaged(b, ledger_fail(err, LEDGER_EINVAL, "its entries do not make the tree of its checkpoint"), err);
    return rc;
}

static enum ledger_rc perform(struct backup *b, struct ledger_err *err)
{
    enum ledger_rc rc = begin(b, err);
    if (rc == LEDGER_OK)
        rc = copy_new(b, err);
    while (rc == LEDGER_OK && b->erased_by_max >= b->size) { /* erased while we read: with the ERASURE it is whole */
        rc = choose(b, false, err);
        if (rc == LEDGER_OK)
            rc = copy_new(b, err);
    }
    if (rc == LEDGER_OK)
        rc = erase_old(b, err);
    if (rc == LEDGER_OK && b->verify_all)
        rc = verify_all(b, err);
    if (rc == LEDGER_OK)
        rc = sign(b, err);
    if (rc == LEDGER_OK)
        rc = small_files_save(b->dir, b->with_keys, &b->target, b->a, b->scratch, &b->files, err);
    if (rc != LEDGER_OK)
        return rc;
    b->m.n_files = b->files.n;
    b->m.files = b->files.v;
    arena_reset(b->scratch);
    return target_commit(&b->target, &b->m, b->scratch, err);
}

/* ---- the command ---- */

static void print_text(const struct backup *b)
{
    printf("backed up: %s: ledger %s, %llu entries, under the checkpoint that the manifest holds\n"
           "new:       %llu entries, %llu bytes",
           b->path, b->m.origin, (unsigned long long)b->size, (unsigned long long)b->entries,
           (unsigned long long)b->bytes + b->files.bytes_written);
    printf(b->went_on_at ? " (went on at entry %llu)\n" : "\n", (unsigned long long)b->went_on_at);
    if (b->rewritten)
        printf("erased:    the content of %llu event%s, in this backup too; copies of it that were made elsewhere still have it\n",
               (unsigned long long)b->rewritten, b->rewritten == 1 ? "" : "s");
    printf("verified:  %s was read back\n", b->verify_all ? "everything" : "what is new");
    if (b->files.secrets)
        printf(b->with_keys ? "keys:      %zu files with secret keys are in it: guard it like the server\n"
                            : "keys:      %zu files with secret keys are not in it: keep keys/ and pki/ in a safe (or --with-keys)\n",
               b->files.secrets);
}

static void print_json(const struct backup *b)
{
    char root[2 * HASH_LEN + 1];
    hex_encode(span_of(b->root.b, HASH_LEN), root);
    printf("{\"backup\":");
    print_json_text(b->path);
    printf(",\"origin\":");
    print_json_text(b->m.origin);
    printf(",\"size\":%llu,\"root\":\"%s\",\"went_on_at\":%llu,\"entries_new\":%llu,\"bytes_written\":%llu,\"parts\":%zu,\"files\":%zu,"
           "\"files_skipped\":%zu,\"erased\":%llu,\"keys\":%s,\"verified\":\"%s\"}\n",
           (unsigned long long)b->size, root, (unsigned long long)b->went_on_at, (unsigned long long)b->entries,
           (unsigned long long)b->bytes + b->files.bytes_written, b->m.n_parts, b->files.n, b->files.skipped,
           (unsigned long long)b->rewritten, b->with_keys ? "true" : "false", b->verify_all ? "all" : "new");
}

static bool parse_arguments(struct backup *b, int argc, char **argv)
{
    static const struct option options[] = {
        {"with-keys", no_argument, NULL, 'k'}, {"verify-all", no_argument, NULL, 'v'}, {"json", no_argument, NULL, 'j'},
        {"quiet", no_argument, NULL, 'q'},     {NULL, 0, NULL, 0},
    };
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        b->with_keys = b->with_keys || option == 'k';
        b->verify_all = b->verify_all || option == 'v';
        b->json = b->json || option == 'j';
        b->quiet = b->quiet || option == 'q';
        if (option == '?')
            return false;
    }
    if (optind != argc - 2)
        return false;
    b->dir = argv[optind];
    b->path = argv[optind + 1];
    return true;
}

int cmd_backup(int argc, char **argv)
{
    struct backup *b = calloc(1, sizeof *b);
    struct ledger_err err = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(HELP, stdout);
        free(b);
        return EXIT_CODE_OK;
    }
    if (!b || !parse_arguments(b, argc, argv)) {
        fputs(b ? "ledgerd backup: DIR and TARGET are wanted, see ledgerd backup --help\n" : "ledgerd backup: out of memory\n", stderr);
        free(b);
        return EXIT_CODE_USAGE;
    }
    umask(077);
    b->target.lock_fd = -1;
    enum ledger_rc rc = perform(b, &err);
    if (rc != LEDGER_OK)
        fprintf(stderr, "ledgerd backup: %s\n", err.msg);
    else if (b->json)
        print_json(b);
    else if (!b->quiet)
        print_text(b);
    target_close(&b->target);
    free(b->parts);
    free(b->erased);
    arena_free(b->scratch);
    arena_free(b->a);
    crypto_free(b->c);
    free(b);
    return exit_code_of(rc);
}
