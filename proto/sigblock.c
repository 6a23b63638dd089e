/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigblock.c: signatures and signature blocks to and from their one encoding, and the exact bytes
 * that are signed. Whether a signature verifies, and how many there must be, is decided elsewhere.
 *
 * Failure modes: EINVAL with a sentence, EVERSION, SPAN_NONE when the arena is over its budget.
 * May include: event.h, merkle.h, wire.h and the C library's memory functions.
 */
#include "event.h"
#include "merkle.h"
#include "wire.h"

#include <string.h>

#define BLOCK_VERSION 1
#define ALG_MAX 65535u

/* The encoding of a signature, before its values are looked at. */
static const char *read_signature(struct span bytes, struct signature *out)
{
    struct wire_reader r;
    struct wire_field f;
    memset(out, 0, sizeof *out);
    struct span *texts[] = {NULL,          &out->party, &out->key_id, NULL,
                            &out->meaning, &out->time,  &out->sig};
    wire_open(&r, bytes);
    while (wire_next(&r, &f)) {
        if (f.number > 6 || f.repeated)
            return "has an unknown or repeated field";
        if (f.is_bytes != (f.number != 3))
            return "has a field of the wrong wire type";
        if (f.is_bytes ? f.s.n == 0 : f.u == 0)
            return "has a field that is there but empty";
        if (f.is_bytes)
            *texts[f.number] = f.s;
        else if (f.u > ALG_MAX)
            return "has an algorithm above 65535";
        else
            out->alg = (unsigned)f.u;
    }
    return r.fault;
}

/* NULL if the parts of a signature are what they must be. */
static const char *signature_fault(const struct signature *s)
{
    int64_t us = 0;
    if (!id_valid(s->party))
        return "has a party that is no id";
    if (s->key_id.n != KEY_ID_LEN)
        return "has a key id that is not 16 bytes";
    if (s->alg == 0 || s->alg > ALG_MAX)
        return "has no algorithm";
    if (s->meaning.p && !text_valid(s->meaning))
        return "has a meaning that is no text";
    if (time_fault(s->time, &us))
        return "has a time that is none";
    if (s->sig.n == 0 || s->sig.n > SIG_LEN_MAX)
        return "is empty or longer than 8192 bytes";
    return NULL;
}

enum ledger_rc signature_decode(struct span bytes, struct signature *out, struct ledger_err *err)
{
    const char *fault = read_signature(bytes, out);
    if (!fault)
        fault = signature_fault(out);
    return fault ? ledger_fail(err, LEDGER_EINVAL, "the signature %s", fault) : LEDGER_OK;
}

static void put_signature(struct wbuf *w, const struct signature *s)
{
    wire_put_bytes(w, 1, s->party);
    wire_put_bytes(w, 2, s->key_id);
    wire_put_uint(w, 3, s->alg);
    if (s->meaning.n)
        wire_put_bytes(w, 4, s->meaning);
    wire_put_bytes(w, 5, s->time);
    wire_put_bytes(w, 6, s->sig);
}

struct span signature_encode(struct arena *a, const struct signature *s)
{
    struct wbuf w;
    wbuf_init(&w, a);
    put_signature(&w, s);
    return wbuf_span(&w);
}

/* Fields 1 to 4 of a block. */
static const char *read_block_field(const struct wire_field *f, struct sigblock *out)
{
    if (f->number > 5 || f->repeated)
        return "has an unknown or repeated field";
    if (f->is_bytes != (f->number == 4))
        return "has a field of the wrong wire type";
    if (f->is_bytes ? f->s.n == 0 : f->u == 0)
        return "has a field that is there but empty";
    if (f->number == 4) {
        if (f->s.n % HASH_LEN != 0 || f->s.n / HASH_LEN > MERKLE_PATH_MAX)
            return "has a path that is not 1 to 64 hashes of 32 bytes";
        out->path = f->s.p;
        out->path_n = f->s.n / HASH_LEN;
    } else if (f->u > BATCH_EVENTS_MAX) {
        return "has more than 1000 events signed together";
    } else if (f->number == 2) {
        out->events = (unsigned)f->u;
    } else if (f->number == 3) {
        out->index = (unsigned)f->u;
    }
    return NULL;
}

static const char *block_fault(const struct sigblock *b, const struct wire_reader *r)
{
    if (r->fault)
        return r->fault;
    if (b->events == 0)
        return "does not say how many events were signed together";
    if (b->index >= b->events)
        return "has an index beyond its number of events";
    return NULL;
}

enum ledger_rc sigblock_decode(struct span bytes, struct sigblock *out, struct ledger_err *err)
{
    struct wire_reader r;
    struct wire_field f;
    const char *fault = NULL;
    memset(out, 0, sizeof *out);
    wire_open(&r, bytes);
    if (!wire_next(&r, &f) || f.number != 1 || f.is_bytes || f.u == 0)
        return ledger_fail(err, LEDGER_EINVAL, "the signature block has no version");
    if (f.u > BLOCK_VERSION)
        return ledger_fail(err, LEDGER_EVERSION, "signature block newer than version %d",
                           BLOCK_VERSION);
    while (!fault && wire_next(&r, &f)) {
        if (f.number != 5) {
            fault = read_block_field(&f, out);
            continue;
        }
        if (!f.is_bytes)
            fault = "has a signature of the wrong wire type";
        else if (out->n == SIGNATURES_READ_MAX)
            fault = "has more than 8 signatures";
        else if (signature_decode(f.s, &out->sigs[out->n++], err) != LEDGER_OK)
            return ledger_wrap(err, LEDGER_EINVAL, "signature block, signature %zu", out->n);
    }
    if (!fault)
        fault = block_fault(out, &r);
    return fault ? ledger_fail(err, LEDGER_EINVAL, "the signature block %s", fault) : LEDGER_OK;
}

struct span sigblock_encode(struct arena *a, const struct sigblock *b)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wire_put_uint(&w, 1, BLOCK_VERSION);
    wire_put_uint(&w, 2, b->events);
    if (b->index)
        wire_put_uint(&w, 3, b->index);
    if (b->path_n)
        wire_put_bytes(&w, 4, span_of(b->path, b->path_n * HASH_LEN));
    for (size_t i = 0; i < b->n; i++) {
        size_t begun = wire_begin(&w, 5);
        put_signature(&w, &b->sigs[i]);
        wire_end(&w, begun);
    }
    return wbuf_span(&w);
}

void sigblock_hash(struct crypto *c, struct span bytes, struct hash *out)
{
    struct hfield field = HVAR(bytes);
    crypto_labelled(c, LABEL_BLOCK, &field, 1, out);
}

bool sigblock_root(struct crypto *c, const struct sigblock *b, const struct hash *id,
                   struct hash *root)
{
    struct hash leaf, path[MERKLE_PATH_MAX];
    if (b->events == 0 || b->index >= b->events || b->path_n > MERKLE_PATH_MAX)
        return false;
    if (b->path_n)
        memcpy(path, b->path, b->path_n * HASH_LEN);
    merkle_leaf(c, span_of(id->b, HASH_LEN), &leaf);
    return merkle_root_from_path(c, b->index, b->events, &leaf, path, b->path_n, root);
}

static void put_label(struct wbuf *w, const char *label)
{
    struct span s = span_str(label);
    wbuf_u8(w, (uint8_t)s.n);
    wbuf_bytes(w, s.p, s.n);
}

struct span signature_input(struct crypto *c, struct arena *a, struct span origin,
                            const struct signature *s, unsigned position, unsigned events,
                            const struct hash *root, const struct signature *before)
{
    struct wbuf w;
    struct hash previous = HASH_ZERO;
    LEDGER_REQUIRE(s->key_id.n == KEY_ID_LEN && s->alg <= ALG_MAX && (position > 1) == !!before);
    if (before) {
        struct hfield field = HVAR(before->sig);
        crypto_labelled(c, LABEL_SIGNATURE, &field, 1, &previous);
    }
    wbuf_init(&w, a);
    put_label(&w, LABEL_SIGN);
    wbuf_str(&w, origin);
    wbuf_str(&w, s->party);
    wbuf_bytes(&w, s->key_id.p, s->key_id.n);
    wbuf_u16(&w, (uint16_t)s->alg);
    wbuf_str(&w, s->meaning);
    wbuf_str(&w, s->time);
    wbuf_u32(&w, position);
    wbuf_u32(&w, events);
    wbuf_hash(&w, root);
    wbuf_hash(&w, &previous);
    return wbuf_span(&w);
}

struct span key_proof_input(struct arena *a, struct span origin, struct span party, unsigned alg,
                            struct span key)
{
    struct wbuf w;
    wbuf_init(&w, a);
    put_label(&w, LABEL_KEY_PROOF);
    wbuf_str(&w, origin);
    wbuf_str(&w, party);
    wbuf_u16(&w, (uint16_t)alg);
    wbuf_str(&w, key);
    return wbuf_span(&w);
}
