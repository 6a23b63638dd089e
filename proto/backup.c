/* SPDX-License-Identifier: Apache-2.0 */
/* backup: see backup.h. */
#include "backup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "event.h"

static const char magic[] = "ledgerd backup ";
static const char part_magic[] = "ledgerd part 1\n";
#define LINE_MAX_BYTES 1024
#define LINES_MAX (BACKUP_MANIFEST_MAX / 64)

/* ---- writing a manifest ---- */

static void put_line(struct wbuf *w, const char *fmt, ...) LEDGER_PRINTF(2, 3);
static void put_line(struct wbuf *w, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof line)
        w->failed = true;
    else
        wbuf_bytes(w, line, (size_t)n);
}

static const char *hex(const struct hash *h, char out[2 * HASH_LEN + 1])
{
    hex_encode(span_of(h->b, HASH_LEN), out);
    return out;
}

struct span backup_manifest_encode(struct arena *a, const struct backup_manifest *m)
{
    struct wbuf w;
    char x[2 * HASH_LEN + 1];
    wbuf_init(&w, a);
    put_line(&w, "%s%u\norigin %s\nfirst %llu\nsize %llu\n", magic, BACKUP_FORMAT, m->origin, (unsigned long long)m->first,
             (unsigned long long)m->tree.size);
    for (size_t i = 0; i < frontier_peaks(&m->tree); i++)
        put_line(&w, "peak %s\n", hex(&m->tree.peaks[i], x));
    for (size_t i = 0; i < m->n_log_keys; i++)
        put_line(&w, "log-key %llu %s\n", (unsigned long long)m->log_keys[i].from, m->log_keys[i].vkey);
    for (size_t i = 0; i < m->n_parts; i++)
        put_line(&w, "part %llu %u %llu %s\n", (unsigned long long)m->parts[i].first, m->parts[i].n,
                 (unsigned long long)m->parts[i].bytes, hex(&m->parts[i].sha, x));
    for (size_t i = 0; i < m->n_files; i++)
        put_line(&w, "file %llu %s %s\n", (unsigned long long)m->files[i].bytes, hex(&m->files[i].sha, x), m->files[i].path);
    wbuf_u8(&w, '\n');
    wbuf_bytes(&w, m->note.p, m->note.n);
    return wbuf_span(&w);
}

/* ---- reading one ---- */

struct lines {
    struct span rest;
    unsigned number;
    struct arena *a;
};

/* The next line without its end, if it begins with that word and a space; the rest of it. */
static bool take_line(struct lines *l, const char *word, struct span *out)
{
    size_t n = strlen(word);
    const uint8_t *end = l->rest.n ? memchr(l->rest.p, '\n', l->rest.n) : NULL;
    if (!end || (size_t)(end - l->rest.p) < n || memcmp(l->rest.p, word, n) != 0)
        return false;
    *out = span_of(l->rest.p + n, (size_t)(end - l->rest.p) - n);
    l->rest = span_of(end + 1, l->rest.n - (size_t)(end + 1 - l->rest.p));
    l->number++;
    return true;
}

/* What stands before the next space, or all of it; the rest stays in *s. */
static struct span word_of(struct span *s)
{
    const uint8_t *end = s->n ? memchr(s->p, ' ', s->n) : NULL;
    struct span w = *s;
    if (end) {
        w.n = (size_t)(end - s->p);
        *s = span_of(end + 1, s->n - w.n - 1);
    } else {
        *s = SPAN_NONE;
    }
    return w;
}

static bool take_number(struct span *s, uint64_t *out)
{
    return note_size_parse(word_of(s), out);
}

static bool take_hash(struct span *s, struct hash *out)
{
    struct span w = word_of(s);
    return w.n == 2 * HASH_LEN && hex_decode(w, out->b);
}

static size_t count_lines(const struct lines *l, const char *word)
{
    struct lines copy = *l;
    struct span s;
    size_t n = 0;
    while (take_line(&copy, word, &s))
        n++;
    return n;
}

/* Relative, and nowhere else than below the folder. */
static bool path_valid(struct span s)
{
    if (s.n == 0 || s.n > BACKUP_PATH_MAX || s.p[0] == '/')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool begins = i == 0 || s.p[i - 1] == '/';
        if (s.p[i] < 0x21 || s.p[i] > 0x7e || (begins && (s.p[i] == '.' || s.p[i] == '/')))
            return false;
    }
    return s.p[s.n - 1] != '/';
}

static bool read_head(struct lines *l, struct backup_manifest *m)
{
    struct span s;
    if (!take_line(l, "origin ", &s) || !origin_valid(s) || !(m->origin = arena_strdup(l->a, s)))
        return false;
    if (!take_line(l, "first ", &s) || !take_number(&s, &m->first) || s.p || !take_line(l, "size ", &s) ||
        !take_number(&s, &m->tree.size) || s.p || m->first > m->tree.size || m->tree.size == 0)
        return false;
    for (size_t i = 0; i < frontier_peaks(&m->tree); i++)
        if (!take_line(l, "peak ", &s) || !take_hash(&s, &m->tree.peaks[i]) || s.p)
            return false;
    return true;
}

static bool read_log_keys(struct lines *l, struct backup_manifest *m)
{
    struct span s;
    m->n_log_keys = count_lines(l, "log-key ");
    m->log_keys = arena_alloc(l->a, (m->n_log_keys + 1) * sizeof *m->log_keys);
    if (!m->log_keys || m->n_log_keys > LOG_KEY_CHANGES_MAX + 1)
        return false;
    for (size_t i = 0; i < m->n_log_keys; i++) {
        struct backup_log_key *k = &m->log_keys[i];
        if (!take_line(l, "log-key ", &s) || !take_number(&s, &k->from) || !s.p || !(k->vkey = arena_strdup(l->a, s)) ||
            (i == 0 ? k->from != 0 : k->from <= k[-1].from))
            return false;
    }
    return true;
}

static bool read_parts(struct lines *l, struct backup_manifest *m)
{
    struct span s;
    uint64_t next = m->first, n;
    m->n_parts = count_lines(l, "part ");
    m->parts = arena_alloc(l->a, (m->n_parts + 1) * sizeof *m->parts);
    if (!m->parts || m->n_parts > LINES_MAX)
        return false;
    for (size_t i = 0; i < m->n_parts; i++) {
        struct backup_part *p = &m->parts[i];
        if (!take_line(l, "part ", &s) || !take_number(&s, &p->first) || !take_number(&s, &n) || !take_number(&s, &p->bytes) ||
            !take_hash(&s, &p->sha) || s.p || p->first != next || n == 0 || n > UINT32_MAX || p->bytes > BACKUP_PART_MAX)
            return false;
        p->n = (uint32_t)n;
        next += n;
    }
    return next == m->tree.size;
}

static bool read_files(struct lines *l, struct backup_manifest *m)
{
    struct span s;
    m->n_files = count_lines(l, "file ");
    m->files = arena_alloc(l->a, (m->n_files + 1) * sizeof *m->files);
    if (!m->files || m->n_files > LINES_MAX)
        return false;
    for (size_t i = 0; i < m->n_files; i++) {
        struct backup_file *f = &m->files[i];
        if (!take_line(l, "file ", &s) || !take_number(&s, &f->bytes) || !take_hash(&s, &f->sha) || !path_valid(s) ||
            f->bytes > BACKUP_FILE_MAX || !(f->path = arena_strdup(l->a, s)) || (i && strcmp(f[-1].path, f->path) >= 0))
            return false;
    }
    return true;
}

static enum ledger_rc read_note(struct crypto *c, struct lines *l, struct backup_manifest *m, struct ledger_err *err)
{
    struct note note;
    struct checkpoint cp;
    struct hash root;
    m->note = l->rest;
    enum ledger_rc rc = note_parse(l->a, m->note, &note, err);
    if (rc == LEDGER_OK)
        rc = checkpoint_parse(note.text, &cp, err);
    if (rc != LEDGER_OK)
        return ledger_wrap(err, rc, "the manifest's checkpoint");
    frontier_root(c, &m->tree, &root);
    if (!span_eq(cp.origin, span_str(m->origin)) || cp.size != m->tree.size || !hash_eq(&cp.root, &root))
        return ledger_fail(err, LEDGER_EINVAL, "the manifest's checkpoint is not of the tree that it names");
    return LEDGER_OK;
}

enum ledger_rc backup_manifest_decode(struct crypto *c, struct arena *a, struct span bytes, struct backup_manifest *out,
                                      struct ledger_err *err)
{
    struct lines l = {.rest = bytes, .a = a};
    struct span s;
    uint64_t format;
    memset(out, 0, sizeof *out);
    if (!take_line(&l, magic, &s) || !note_size_parse(s, &format) || format == 0)
        return ledger_fail(err, LEDGER_EINVAL, "it is no manifest of a backup");
    if (format > BACKUP_FORMAT)
        return ledger_fail(err, LEDGER_EVERSION, "the backup has format %llu, this program knows up to %u; nothing was touched",
                           (unsigned long long)format, BACKUP_FORMAT);
    if (!read_head(&l, out) || !read_log_keys(&l, out) || !read_parts(&l, out) || !read_files(&l, out) || !take_line(&l, "", &s) || s.n)
        return ledger_fail(err, LEDGER_EINVAL, "line %u of the manifest is malformed", l.number + 1);
    return read_note(c, &l, out, err);
}

bool backup_note_signed(struct crypto *c, struct arena *a, const struct backup_manifest *m, uint64_t size, struct span note)
{
    size_t i = m->n_log_keys;
    while (i && m->log_keys[i - 1].from > size)
        i--;
    return i && log_key_signed(c, a, m->log_keys[i - 1].vkey, note);
}

/* ---- parts ---- */

void backup_part_begin(struct backup_part_writer *p, struct arena *a, uint64_t first)
{
    *p = (struct backup_part_writer){.first = first};
    wbuf_init(&p->w, a);
    wbuf_bytes(&p->w, part_magic, sizeof part_magic - 1);
    wbuf_u64(&p->w, first);
    wbuf_u32(&p->w, 0); /* how many: known at the end */
}

void backup_part_add(struct backup_part_writer *p, struct span record)
{
    wbuf_str(&p->w, record);
    p->n++;
}

static void sha_of(struct crypto *c, struct span s, struct hash *out)
{
    crypto_sha256(c, &s, 1, out);
}

struct span backup_part_end(struct backup_part_writer *p, struct crypto *c, struct backup_part *out)
{
    struct span s = wbuf_span(&p->w);
    if (!s.p)
        return SPAN_NONE;
    uint8_t *n = p->w.p + sizeof part_magic - 1 + 8;
    for (unsigned i = 0; i < 4; i++)
        n[i] = (uint8_t)(p->n >> (24 - 8 * i));
    *out = (struct backup_part){.first = p->first, .n = p->n, .bytes = s.n};
    sha_of(c, s, &out->sha);
    return s;
}

enum ledger_rc backup_part_open(struct crypto *c, struct span bytes, const struct backup_part *part, struct backup_part_reader *out,
                                struct ledger_err *err)
{
    struct hash sha;
    sha_of(c, bytes, &sha);
    if (bytes.n != part->bytes || !hash_eq(&sha, &part->sha))
        return ledger_fail(err, LEDGER_EINVAL, "entries %llu to %llu: the part is damaged", (unsigned long long)part->first,
                           (unsigned long long)(part->first + part->n - 1));
    rbuf_init(&out->r, bytes);
    struct span head = rbuf_bytes(&out->r, sizeof part_magic - 1);
    out->next = rbuf_u64(&out->r);
    out->left = rbuf_u32(&out->r);
    if (out->r.failed || !span_eq(head, span_of(part_magic, sizeof part_magic - 1)) || out->next != part->first || out->left != part->n)
        return ledger_fail(err, LEDGER_EINVAL, "entries %llu to %llu: the part is none", (unsigned long long)part->first,
                           (unsigned long long)(part->first + part->n - 1));
    return LEDGER_OK;
}

bool backup_part_next(struct backup_part_reader *r, uint64_t *index, struct span *record, struct entry_record *out, enum ledger_rc *rc,
                      struct ledger_err *err)
{
    *rc = LEDGER_OK;
    if (r->left == 0) {
        if (!rbuf_done(&r->r))
            *rc = ledger_fail(err, LEDGER_EINVAL, "a part has more than its entries");
        return false;
    }
    *index = r->next++;
    r->left--;
    *record = rbuf_str(&r->r);
    if (!r->r.failed && entry_record_split(*record, out))
        return true;
    *rc = ledger_fail(err, LEDGER_EINVAL, "entry %llu: the record is malformed", (unsigned long long)*index);
    return false;
}

enum ledger_rc backup_record_check(struct crypto *c, struct arena *a, uint64_t index, const struct entry_record *r, struct header *h,
                                   struct hash *leaf, struct ledger_err *err)
{
    enum ledger_rc rc = header_decode(a, r->header, h, err);
    if (rc != LEDGER_OK)
        return ledger_wrap(err, rc, "entry %llu", (unsigned long long)index);
    merkle_leaf(c, r->header, leaf);
    if (h->index != index)
        return ledger_fail(err, LEDGER_EINVAL, "entry %llu: the header is of another place", (unsigned long long)index);
    const struct content_fault *f = entry_content_fault(c, h, r, NULL);
    return f ? ledger_fail(err, LEDGER_EINVAL, "entry %llu: %s", (unsigned long long)index, f->both) : LEDGER_OK;
}
