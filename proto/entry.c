/* SPDX-License-Identifier: Apache-2.0 */
/* entry: headers and log records (entry.h). The reader and the writer of each layout stand together. */
#include "entry.h"

#include <string.h>

#include "kinds.h"

static const char *const own_names[] = {
    "GENESIS", "SEAL", "EPOCH", "CLOCK_STEP", "PARAMETERS", "LOG_KEY", "TIME_STAMP", "ERASURE", "SUCCESSOR",
};

const char *entry_kind_name(unsigned kind)
{
    if (kind < sizeof own_names / sizeof own_names[0])
        return own_names[kind];
    const struct kind_def *k = kind_find(kind);
    return k ? k->name : NULL;
}

static void encode_seal(struct wbuf *w, const struct header *h)
{
    wbuf_u64(w, h->prev_seal);
    wbuf_hash(w, &h->prev_seal_leaf);
    wbuf_u64(w, h->batch_first);
    wbuf_hash(w, &h->map_root);
    wbuf_u64(w, h->chains);
}

static void decode_seal(struct rbuf *r, struct header *h)
{
    h->prev_seal = rbuf_u64(r);
    h->prev_seal_leaf = rbuf_hash(r);
    h->batch_first = rbuf_u64(r);
    h->map_root = rbuf_hash(r);
    h->chains = rbuf_u64(r);
}

static void encode_links(struct wbuf *w, const struct header *h)
{
    wbuf_hash(w, &h->event_id);
    wbuf_hash(w, &h->block_hash);
    wbuf_u16(w, h->n_links);
    for (unsigned i = 0; i < h->n_links; i++) {
        wbuf_hash(w, &h->links[i].chain);
        wbuf_u64(w, h->links[i].seq);
        wbuf_hash(w, &h->links[i].prev);
        wbuf_hash(w, &h->links[i].state);
    }
}

struct span header_encode(struct arena *a, const struct header *h)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u8(&w, ENTRY_VERSION);
    wbuf_u64(&w, h->index);
    wbuf_u64(&w, h->epoch);
    wbuf_i64(&w, h->recorded_us);
    wbuf_u16(&w, h->kind);
    if (h->kind == OWN_SEAL)
        encode_seal(&w, h);
    else
        encode_links(&w, h);
    return wbuf_span(&w);
}

static enum ledger_rc decode_links(struct arena *a, struct rbuf *r, struct header *h, struct ledger_err *err)
{
    h->event_id = rbuf_hash(r);
    h->block_hash = rbuf_hash(r);
    h->n_links = rbuf_u16(r);
    if (r->failed || h->n_links == 0 || h->n_links > LINKS_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "header: %u links; an entry has 1 to %u", h->n_links, LINKS_MAX);
    h->links = arena_alloc(a, h->n_links * sizeof *h->links);
    if (!h->links)
        return ledger_fail(err, LEDGER_ENOMEM, "header: out of memory");
    for (unsigned i = 0; i < h->n_links; i++) {
        struct link *l = &h->links[i];
        l->chain = rbuf_hash(r);
        l->seq = rbuf_u64(r);
        l->prev = rbuf_hash(r);
        l->state = rbuf_hash(r);
        if (r->failed)
            return ledger_fail(err, LEDGER_EINVAL, "header: cut off in link %u", i);
        if (i && memcmp(h->links[i - 1].chain.b, l->chain.b, HASH_LEN) >= 0)
            return ledger_fail(err, LEDGER_EINVAL, "header: link %u is not after the one before", i);
        if ((l->seq == 0) != hash_is_zero(&l->prev))
            return ledger_fail(err, LEDGER_EINVAL, "header: link %u: sequence number and previous entry disagree", i);
    }
    return LEDGER_OK;
}

enum ledger_rc header_decode(struct arena *a, struct span bytes, struct header *out, struct ledger_err *err)
{
    memset(out, 0, sizeof *out);
    struct rbuf r;
    rbuf_init(&r, bytes);
    uint8_t version = rbuf_u8(&r);
    if (bytes.n && version > ENTRY_VERSION)
        return ledger_fail(err, LEDGER_EVERSION, "header: needs version %u", version);
    if (bytes.n == 0 || bytes.n > HEADER_SIZE_MAX || version != ENTRY_VERSION)
        return ledger_fail(err, LEDGER_EINVAL, "header: not an entry header");
    out->index = rbuf_u64(&r);
    out->epoch = rbuf_u64(&r);
    out->recorded_us = rbuf_i64(&r);
    out->kind = rbuf_u16(&r);
    if (!r.failed && out->kind == OWN_SEAL) {
        decode_seal(&r, out);
    } else if (!r.failed) {
        enum ledger_rc rc = decode_links(a, &r, out, err);
        if (rc)
            return rc;
    }
    if (!rbuf_done(&r))
        return ledger_fail(err, LEDGER_EINVAL, "header: %s", r.failed ? "cut off" : "bytes after its end");
    return LEDGER_OK;
}

const struct link *header_link(const struct header *h, const struct hash *chain)
{
    for (unsigned i = 0; i < h->n_links; i++)
        if (hash_eq(&h->links[i].chain, chain))
            return &h->links[i];
    return NULL;
}

bool entry_record_split(struct span record, struct entry_record *out)
{
    struct rbuf r;
    rbuf_init(&r, record);
    *out = (struct entry_record){.header = rbuf_str(&r)};
    out->event = rbuf_str(&r);
    out->block = rbuf_str(&r);
    if (r.failed || r.n == 0)
        return !r.failed;
    out->opening = rbuf_str(&r);
    out->erased_by = rbuf_u64(&r);
    return rbuf_done(&r) && out->event.n == 0 && out->block.n == 0 && out->opening.n && out->erased_by;
}

struct span entry_record_join(struct arena *a, const struct entry_record *r)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_str(&w, r->header);
    wbuf_str(&w, r->event);
    wbuf_str(&w, r->block);
    if (r->opening.p) {
        wbuf_str(&w, r->opening);
        wbuf_u64(&w, r->erased_by);
    }
    return wbuf_span(&w);
}
