/* SPDX-License-Identifier: Apache-2.0 */
/* sources: see sources.h. */
#include "sources.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "receipt_read.h"

/* A folder with a manifest, and the part that was read last. */
struct folder_source {
    struct target t;
    struct arena *part;
    bool open;
    size_t at; /* number of the part */
    struct backup_part_reader reader;
    struct folder_source *next;
};

struct all {
    struct sources s;
    struct folder_source *folders;
};

struct sources *sources_new(struct crypto *c, struct arena *a)
{
    struct all *all = calloc(1, sizeof *all);
    if (!all)
        return NULL;
    all->s.c = c;
    all->s.a = a;
    return &all->s;
}

void sources_free(struct sources *s)
{
    struct all *all = (struct all *)s;
    if (!s)
        return;
    while (all->folders) {
        struct folder_source *f = all->folders;
        all->folders = f->next;
        target_close(&f->t);
        arena_free(f->part);
        free(f);
    }
    free(s->v);
    free(s->singles);
    free(s->known);
    free(all);
}

/* ---- adding ---- */

static enum ledger_rc no_memory(struct ledger_err *err)
{
    return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

static enum ledger_rc add_extent(struct sources *s, const struct extent *e, struct ledger_err *err)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        struct extent *v = realloc(s->v, cap * sizeof *v);
        if (!v)
            return no_memory(err);
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n++] = *e;
    return LEDGER_OK;
}

static enum ledger_rc add_single(struct sources *s, const struct single *e, struct ledger_err *err)
{
    if (s->n_singles == s->singles_cap) {
        size_t cap = s->singles_cap ? 2 * s->singles_cap : 64;
        struct single *v = realloc(s->singles, cap * sizeof *v);
        if (!v)
            return no_memory(err);
        s->singles = v;
        s->singles_cap = cap;
    }
    s->singles[s->n_singles++] = *e;
    return LEDGER_OK;
}

static enum ledger_rc add_known(struct sources *s, struct span note, const char *from, struct ledger_err *err)
{
    struct note parsed;
    struct checkpoint cp;
    enum ledger_rc rc = note_parse(s->a, note, &parsed, err);
    if (rc == LEDGER_OK)
        rc = checkpoint_parse(parsed.text, &cp, err);
    if (rc != LEDGER_OK)
        return ledger_wrap(err, rc, "%.120s", from);
    if (s->origin && !span_eq(cp.origin, span_str(s->origin)))
        return ledger_fail(err, LEDGER_EINVAL, "%.120s is of another ledger", from);
    if (s->n_known == s->known_cap) {
        size_t cap = s->known_cap ? 2 * s->known_cap : 64;
        struct known *v = realloc(s->known, cap * sizeof *v);
        if (!v)
            return no_memory(err);
        s->known = v;
        s->known_cap = cap;
    }
    s->known[s->n_known++] = (struct known){.size = cp.size, .root = cp.root, .note = note, .from = from};
    return LEDGER_OK;
}

static enum ledger_rc add_folder(struct sources *s, const char *path, struct target **folder, struct ledger_err *err)
{
    struct all *all = (struct all *)s;
    struct folder_source *f = calloc(1, sizeof *f);
    if (!f)
        return no_memory(err);
    f->next = all->folders;
    all->folders = f;
    f->part = arena_new(TARGET_SCRATCH);
    const char *from = arena_strdup(s->a, span_str(path));
    if (!f->part || !from)
        return no_memory(err);
    enum ledger_rc rc = target_open(&f->t, path, false, s->c, s->a, err);
    if (rc != LEDGER_OK)
        return rc;
    if (!s->origin)
        s->origin = f->t.m.origin;
    if (folder)
        *folder = &f->t;
    const struct extent e = {.first = f->t.m.first, .end = f->t.m.tree.size, .folder = f, .from = from};
    rc = add_known(s, f->t.m.note, from, err);
    return rc == LEDGER_OK ? add_extent(s, &e, err) : rc;
}

/* An entry that its receipt proves to be in the tree of the receipt's checkpoint. */
static enum ledger_rc add_proven(struct sources *s, uint64_t index, const struct entry_record *r, struct span path, const struct checkpoint *cp,
                                 const char *from, struct ledger_err *err)
{
    struct header h;
    struct hash leaf;
    enum ledger_rc rc = backup_record_check(s->c, s->a, index, r, &h, &leaf, err);
    if (rc != LEDGER_OK)
        return ledger_wrap(err, rc, "%.120s", from);
    if (path.n % HASH_LEN || index >= cp->size ||
        !merkle_verify_inclusion(s->c, index, cp->size, &leaf, (const struct hash *)(const void *)path.p, path.n / HASH_LEN, &cp->root))
        return ledger_fail(err, LEDGER_EINVAL, "%.120s: entry %llu is not in the tree of its checkpoint", from, (unsigned long long)index);
    const struct single e = {.index = index, .record = entry_record_join(s->a, r), .from = from};
    return e.record.p ? add_single(s, &e, err) : no_memory(err);
}

/* The seal of the batch comes with it. A receipt without content is of no use but for its checkpoint. */
static enum ledger_rc add_receipt(struct sources *s, const char *path, bool entries, struct ledger_err *err)
{
    struct receipt_parts r;
    struct span bytes;
    const char *from = arena_strdup(s->a, span_str(path));
    if (!from)
        return no_memory(err);
    enum ledger_rc rc = files_read(s->a, path, RECEIPT_READ_MAX, &bytes, err);
    if (rc == LEDGER_OK)
        rc = receipt_read(s->c, s->a, bytes, &r, err);
    if (rc != LEDGER_OK)
        return rc == LEDGER_ENOTFOUND ? rc : ledger_wrap(err, rc, "%.120s", from);
    rc = add_known(s, r.note, from, err);
    if (rc != LEDGER_OK || !entries)
        return rc;
    const struct entry_record seal = {.header = r.seal};
    if (!r.withheld)
        rc = add_proven(s, r.index, &r.record, r.path, &r.cp, from, err);
    return rc == LEDGER_OK && r.seal.n ? add_proven(s, r.seal_index, &seal, r.seal_path, &r.cp, from, err) : rc;
}

static enum ledger_rc add_receipts_in(struct sources *s, const char *path, struct ledger_err *err)
{
    char file[FILES_PATH_MAX];
    struct stat st;
    unsigned n = 0;
    enum ledger_rc rc = LEDGER_OK;
    DIR *d = opendir(path);
    if (!d)
        return ledger_fail(err, LEDGER_ENOTFOUND, "%s cannot be read", path);
    for (const struct dirent *e; rc == LEDGER_OK && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        rc = files_path(file, path, e->d_name, err);
        if (rc == LEDGER_OK && stat(file, &st) == 0 && S_ISREG(st.st_mode) && receipt_is_file(file)) {
            rc = add_receipt(s, file, true, err);
            n++;
        }
    }
    closedir(d);
    return rc != LEDGER_OK || n ? rc : ledger_fail(err, LEDGER_ENOTFOUND, "%s has neither a manifest nor receipts", path);
}

enum ledger_rc sources_add(struct sources *s, const char *path, struct target **folder, struct ledger_err *err)
{
    char manifest[FILES_PATH_MAX];
    struct stat st;
    if (folder)
        *folder = NULL;
    if (stat(path, &st) != 0)
        return ledger_fail(err, LEDGER_ENOTFOUND, "%s: there is no such file or folder", path);
    if (!S_ISDIR(st.st_mode))
        return add_receipt(s, path, true, err);
    enum ledger_rc rc = files_path(manifest, path, "manifest", err);
    if (rc != LEDGER_OK)
        return rc;
    return stat(manifest, &st) == 0 || folder ? add_folder(s, path, folder, err) : add_receipts_in(s, path, err);
}

enum ledger_rc sources_known(struct sources *s, const char *path, struct ledger_err *err)
{
    struct span bytes;
    if (receipt_is_file(path))
        return add_receipt(s, path, false, err);
    const char *from = arena_strdup(s->a, span_str(path));
    enum ledger_rc rc = from ? files_read(s->a, path, NOTE_SIZE_MAX, &bytes, err) : no_memory(err);
    return rc == LEDGER_OK ? add_known(s, bytes, from, err) : rc;
}

/* ---- asking ---- */

const struct known *sources_newest(const struct sources *s)
{
    const struct known *k = s->n_known ? &s->known[0] : NULL;
    for (size_t i = 1; i < s->n_known; i++)
        if (s->known[i].size > k->size)
            k = &s->known[i];
    return k;
}

static int by_index(const void *x, const void *y)
{
    uint64_t a = ((const struct single *)x)->index, b = ((const struct single *)y)->index;
    return a < b ? -1 : a > b;
}

void sources_ready(struct sources *s)
{
    if (s->n_singles)
        qsort(s->singles, s->n_singles, sizeof *s->singles, by_index);
}

/* The first single entry at or after `index`. */
static const struct single *single_from(const struct sources *s, uint64_t index)
{
    size_t low = 0, high = s->n_singles;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->singles[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n_singles ? &s->singles[low] : NULL;
}

/* Where what the sources have from `from` on without a gap ends; *next: where the next stretch begins (UINT64_MAX: none). */
static uint64_t covered(const struct sources *s, uint64_t from, uint64_t *next)
{
    uint64_t end = from;
    for (bool more = true; more;) {
        const struct single *one = single_from(s, end);
        more = one && one->index == end;
        end += more;
        *next = one ? one->index : UINT64_MAX;
        for (size_t i = 0; i < s->n; i++) {
            const struct extent *e = &s->v[i];
            if (e->first <= end && e->end > end) {
                end = e->end;
                more = true;
            } else if (e->first > end && e->first < *next) {
                *next = e->first;
            }
        }
    }
    return end;
}

bool sources_missing(const struct sources *s, uint64_t from, uint64_t end, uint64_t *first, uint64_t *last)
{
    uint64_t next;
    *first = covered(s, from, &next);
    if (*first >= end)
        return false;
    *last = (next < end ? next : end) - 1;
    return true;
}

static enum ledger_rc open_part(struct folder_source *f, uint64_t index, struct ledger_err *err)
{
    const struct backup_manifest *m = &f->t.m;
    struct span bytes;
    size_t low = 0, high = m->n_parts;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (m->parts[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    arena_reset(f->part);
    f->open = false;
    f->at = low;
    enum ledger_rc rc = target_get(&f->t, &m->parts[low].sha, BACKUP_PART_MAX, f->part, &bytes, err);
    if (rc == LEDGER_OK)
        rc = backup_part_open(f->t.c, bytes, &m->parts[low], &f->reader, err);
    f->open = rc == LEDGER_OK;
    return rc;
}

static enum ledger_rc folder_record(struct folder_source *f, uint64_t index, struct entry_record *out, struct ledger_err *err)
{
    uint64_t at = 0;
    struct span record;
    enum ledger_rc rc = LEDGER_OK;
    if (!f->open || f->reader.next > index || f->t.m.parts[f->at].first + f->t.m.parts[f->at].n <= index)
        rc = open_part(f, index, err);
    while (rc == LEDGER_OK && backup_part_next(&f->reader, &at, &record, out, &rc, err))
        if (at == index)
            return LEDGER_OK;
    return rc != LEDGER_OK ? rc : ledger_fail(err, LEDGER_EINVAL, "entry %llu is not in its part", (unsigned long long)index);
}

enum ledger_rc sources_record(struct sources *s, uint64_t index, struct entry_record *out, const char **from, struct ledger_err *err)
{
    for (size_t i = 0; i < s->n; i++) {
        struct extent *e = &s->v[i];
        if (index < e->first || index >= e->end)
            continue;
        *from = e->from;
        enum ledger_rc rc = folder_record(e->folder, index, out, err);
        return rc == LEDGER_OK ? rc : ledger_wrap(err, rc, "%.120s", e->from);
    }
    const struct single *one = single_from(s, index);
    if (one && one->index == index) {
        *from = one->from;
        return entry_record_split(one->record, out) ? LEDGER_OK : ledger_fail(err, LEDGER_EINTERNAL, "a record was spoilt");
    }
    return ledger_fail(err, LEDGER_ENOTFOUND, "entry %llu is in no source", (unsigned long long)index);
}
