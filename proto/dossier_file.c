/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dossier_file: the bytes of a dossier (docs/format.md, section 16): "ledgerd dossier v1\n", the message DossierFile of ledger.proto in
 * the canonical form of events, SHA-256 over all before.
 *
 * Reading takes the message apart leniently and then writes it again: what does not come out byte by byte is not in its one form.
 * Failure modes: damage is EINVAL with the first thing that is wrong; memory is the arena's.
 */
#include <string.h>

#include "dossier.h"
#include "wire.h"

static const char magic[] = "ledgerd dossier v1\n";
#define MAGIC_LEN (sizeof magic - 1)
#define MAGIC_NAME_LEN (MAGIC_LEN - 2) /* without the number */

/* ---- writing ---- */

static void put_uint(struct wbuf *w, unsigned number, uint64_t v)
{
    if (v)
        wire_put_uint(w, number, v);
}

static void put_bytes(struct wbuf *w, unsigned number, struct span s)
{
    if (s.n)
        wire_put_bytes(w, number, s);
}

static void put_name(struct wbuf *w, unsigned number, const struct dossier_name *n)
{
    size_t at = wire_begin(w, number);
    put_uint(w, 1, (uint64_t)n->type);
    put_bytes(w, 2, n->id);
    wire_end(w, at);
}

static void put_log(struct wbuf *w, const struct member_claim *l)
{
    size_t at = wire_begin(w, 5);
    put_uint(w, 1, l->log);
    for (size_t i = 0; i < l->n; i++)
        wire_put_bytes(w, 2, l->members[i]);
    wire_end(w, at);
}

static void put_chain(struct wbuf *w, const struct dossier_chain *ch)
{
    size_t at = wire_begin(w, 6);
    put_name(w, 1, &ch->name);
    put_bytes(w, 2, ch->map_proof);
    put_bytes(w, 3, ch->salt);
    put_bytes(w, 4, ch->state);
    for (size_t i = 0; i < ch->n_logs; i++)
        put_log(w, &ch->logs[i]);
    size_t packed = ch->n ? wire_begin(w, 6) : 0;
    for (size_t i = 0; i < ch->n; i++)
        wire_put_varint(w, ch->entries[i]);
    if (ch->n)
        wire_end(w, packed);
    wire_end(w, at);
}

static void put_entry(struct wbuf *w, const struct entry_claim *e)
{
    size_t at = wire_begin(w, 7);
    put_bytes(w, 1, e->header);
    put_bytes(w, 2, e->event);
    put_bytes(w, 3, e->block);
    put_uint(w, 4, e->withheld);
    put_bytes(w, 5, e->opening);
    put_uint(w, 6, e->erased_by);
    wire_end(w, at);
}

static void put_log_key(struct wbuf *w, const struct log_key_claim *k)
{
    size_t at = wire_begin(w, 8);
    put_bytes(w, 1, k->header);
    put_bytes(w, 2, k->payload);
    put_bytes(w, 3, k->path);
    put_bytes(w, 4, k->note);
    wire_end(w, at);
}

static void put_stamp(struct wbuf *w, const struct dossier_stamp *s)
{
    size_t at = wire_begin(w, 10);
    put_uint(w, 1, s->entry);
    put_bytes(w, 2, s->path);
    wire_end(w, at);
}

static void put_body(struct wbuf *w, const struct dossier *d)
{
    put_bytes(w, 1, d->origin);
    put_bytes(w, 2, d->index_key);
    for (size_t i = 0; i < d->n_subjects; i++)
        put_name(w, 3, &d->subjects[i]);
    put_uint(w, 4, d->closure);
    size_t at = wire_begin(w, 5);
    put_bytes(w, 1, d->snapshot.note);
    put_bytes(w, 2, d->snapshot.seal);
    put_bytes(w, 3, d->snapshot.seal_path);
    wire_end(w, at);
    for (size_t i = 0; i < d->n_chains; i++)
        put_chain(w, &d->chains[i]);
    for (size_t i = 0; i < d->n_entries; i++)
        put_entry(w, &d->entries[i]);
    for (size_t i = 0; i < d->n_log_keys; i++)
        put_log_key(w, &d->log_keys[i]);
    for (size_t i = 0; i < d->n_withheld; i++)
        wire_put_bytes(w, 9, d->withheld[i]);
    for (size_t i = 0; i < d->n_stamps; i++)
        put_stamp(w, &d->stamps[i]);
}

struct span dossier_encode(struct crypto *c, struct arena *a, const struct dossier *d)
{
    struct wbuf w;
    struct hash sum;
    wbuf_init(&w, a);
    wbuf_bytes(&w, magic, MAGIC_LEN);
    put_body(&w, d);
    struct span all = wbuf_span(&w);
    if (!all.p)
        return SPAN_NONE;
    crypto_sha256(c, &all, 1, &sum);
    wbuf_hash(&w, &sum);
    return wbuf_span(&w);
}

/* ---- reading ---- */

struct reading {
    struct arena *a;
    bool no_memory;
};

/* How often a field stands in a message: for one allocation instead of many. */
static size_t count_field(struct span message, unsigned number)
{
    struct wire_reader r;
    struct wire_field f;
    size_t n = 0;
    wire_open(&r, message);
    while (wire_next(&r, &f))
        n += f.number == number;
    return n;
}

static void *take(struct reading *rd, size_t n, size_t size)
{
    void *p = n < SIZE_MAX / size - 1 ? arena_alloc(rd->a, (n + 1) * size) : NULL;
    rd->no_memory |= !p;
    return p;
}

static void read_name(struct span s, struct dossier_name *out)
{
    struct wire_reader r;
    struct wire_field f;
    unsigned type = 0;
    wire_open(&r, s);
    while (wire_next(&r, &f)) {
        if (f.number == 1)
            type = f.u <= CHAIN_LEDGER ? (unsigned)f.u : 0;
        else if (f.number == 2)
            out->id = f.s;
    }
    out->type = (enum chain_type)type;
}

static void read_log(struct reading *rd, struct span s, struct member_claim *out)
{
    struct wire_reader r;
    struct wire_field f;
    struct span *members = take(rd, count_field(s, 2), sizeof *members);
    size_t n = 0;
    wire_open(&r, s);
    while (members && wire_next(&r, &f)) {
        if (f.number == 1)
            out->log = f.u < CHAIN_LOGS_MAX ? (unsigned)f.u : CHAIN_LOGS_MAX;
        else if (f.number == 2)
            members[n++] = f.s;
    }
    out->n = n;
    out->members = members;
}

static void read_indexes(struct reading *rd, struct span s, struct dossier_chain *out)
{
    struct wire_reader r;
    uint64_t v;
    size_t n = 0;
    wire_open(&r, s);
    while (wire_next_packed(&r, &v))
        n++;
    out->entries = take(rd, n, sizeof *out->entries);
    wire_open(&r, s);
    for (out->n = 0; out->entries && wire_next_packed(&r, &v);)
        out->entries[out->n++] = v;
}

static void read_chain(struct reading *rd, struct span s, struct dossier_chain *out)
{
    struct wire_reader r;
    struct wire_field f;
    out->logs = take(rd, count_field(s, 5), sizeof *out->logs);
    wire_open(&r, s);
    while (out->logs && wire_next(&r, &f)) {
        switch (f.number) {
        case 1: read_name(f.s, &out->name); break;
        case 2: out->map_proof = f.s; break;
        case 3: out->salt = f.s; break;
        case 4: out->state = f.s; break;
        case 5: read_log(rd, f.s, &out->logs[out->n_logs++]); break;
        case 6: read_indexes(rd, f.s, out); break;
        default: break;
        }
    }
}

static void read_entry(struct span s, struct entry_claim *out)
{
    struct wire_reader r;
    struct wire_field f;
    wire_open(&r, s);
    while (wire_next(&r, &f)) {
        switch (f.number) {
        case 1: out->header = f.s; break;
        case 2: out->event = f.s; break;
        case 3: out->block = f.s; break;
        case 4: out->withheld = f.u == 1; break;
        case 5: out->opening = f.s; break;
        case 6: out->erased_by = f.u; break;
        default: break;
        }
    }
}

/* Up to four fields of bytes. */
static void read_fields(struct span s, struct span *const out[], unsigned n)
{
    struct wire_reader r;
    struct wire_field f;
    wire_open(&r, s);
    while (wire_next(&r, &f))
        if (f.number >= 1 && f.number <= n)
            *out[f.number - 1] = f.s;
}

static void read_log_key(struct span s, struct log_key_claim *k)
{
    struct span *const fields[] = {&k->header, &k->payload, &k->path, &k->note};
    read_fields(s, fields, 4);
}

static void read_stamp(struct span s, struct dossier_stamp *out)
{
    struct wire_reader r;
    struct wire_field f;
    wire_open(&r, s);
    while (wire_next(&r, &f)) {
        if (f.number == 1)
            out->entry = f.u;
        else if (f.number == 2)
            out->path = f.s;
    }
}

static bool read_lists(struct reading *rd, struct span body, struct dossier *d)
{
    d->subjects = take(rd, count_field(body, 3), sizeof *d->subjects);
    d->chains = take(rd, count_field(body, 6), sizeof *d->chains);
    d->entries = take(rd, count_field(body, 7), sizeof *d->entries);
    d->log_keys = take(rd, count_field(body, 8), sizeof *d->log_keys);
    d->withheld = take(rd, count_field(body, 9), sizeof *d->withheld);
    d->stamps = take(rd, count_field(body, 10), sizeof *d->stamps);
    return !rd->no_memory;
}

static void read_body(struct reading *rd, struct span body, struct dossier *d)
{
    struct span *const snapshot[] = {&d->snapshot.note, &d->snapshot.seal, &d->snapshot.seal_path};
    struct wire_reader r;
    struct wire_field f;
    if (!read_lists(rd, body, d))
        return;
    wire_open(&r, body);
    while (wire_next(&r, &f) && !rd->no_memory) {
        switch (f.number) {
        case 1: d->origin = f.s; break;
        case 2: d->index_key = f.s; break;
        case 3: read_name(f.s, &d->subjects[d->n_subjects++]); break;
        case 4: d->closure = f.u <= DOSSIER_FORWARD ? (unsigned)f.u : DOSSIER_NAMED; break;
        case 5: read_fields(f.s, snapshot, 3); break;
        case 6: read_chain(rd, f.s, &d->chains[d->n_chains++]); break;
        case 7: read_entry(f.s, &d->entries[d->n_entries++]); break;
        case 8: read_log_key(f.s, &d->log_keys[d->n_log_keys++]); break;
        case 9: d->withheld[d->n_withheld++] = f.s; break;
        case 10: read_stamp(f.s, &d->stamps[d->n_stamps++]); break;
        default: break;
        }
    }
}

bool dossier_begins(struct span file)
{
    return file.n >= MAGIC_NAME_LEN && memcmp(file.p, magic, MAGIC_NAME_LEN) == 0;
}

enum ledger_rc dossier_decode(struct crypto *c, struct arena *a, struct span file, struct dossier *out, struct ledger_err *err)
{
    struct reading rd = {.a = a};
    struct hash sum;
    memset(out, 0, sizeof *out);
    if (!dossier_begins(file) || file.n < MAGIC_LEN + HASH_LEN)
        return ledger_fail(err, LEDGER_EINVAL, "not a dossier: it does not begin with \"ledgerd dossier v1\"");
    /* The checksum first: a damaged version number must not pass for a newer one. */
    struct span all = span_of(file.p, file.n - HASH_LEN);
    crypto_sha256(c, &all, 1, &sum);
    if (memcmp(sum.b, file.p + all.n, HASH_LEN) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "the dossier is damaged: its checksum does not fit");
    if (memcmp(file.p, magic, MAGIC_LEN) != 0)
        return ledger_fail(err, LEDGER_EVERSION, "a dossier of a newer version");
    read_body(&rd, span_of(all.p + MAGIC_LEN, all.n - MAGIC_LEN), out);
    struct arena_mark mark = arena_mark(a);
    struct span again = rd.no_memory ? SPAN_NONE : dossier_encode(c, a, out);
    bool same = span_eq(again, file);
    arena_release(a, mark);
    if (!again.p)
        return ledger_fail(err, LEDGER_ENOMEM, "the dossier needs more memory than there may be");
    /* Whatever the format does not ask for would be verified by nothing. */
    return same ? LEDGER_OK : ledger_fail(err, LEDGER_EINVAL, "the dossier is damaged: it is not in its one form");
}
