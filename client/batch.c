/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch: collects events, signs them, computes their signature blocks. The tree of event ids is kept level by level, so that the
 * paths of 1,000 events cost 1,000 · log n hashes and not 1,000 · n. May include: the system clock (time of a signature).
 */
#include "batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "entry.h"
#include "key.h"
#include "message.h"

#define BATCH_ARENA_MAX (48u * 1024u * 1024u)
#define CHECK_ARENA_MAX (16u * 1024u * 1024u)

LEDGER_API enum ledger_rc ledger_batch_new(const char *origin, struct ledger_batch **out, struct ledger_err *err)
{
    *out = NULL;
    if (!origin_valid(span_str(origin)))
        return ledger_fail(err, LEDGER_EINVAL, "\"%.80s\" is no name of a ledger", origin);
    struct ledger_batch *b = calloc(1, sizeof *b);
    if (!b)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    atomic_init(&b->references, 1);
    memcpy(b->origin, origin, strlen(origin) + 1);
    b->a = arena_new(BATCH_ARENA_MAX);
    b->c = crypto_new();
    b->events = calloc(BATCH_EVENTS_MAX, sizeof *b->events);
    if (!b->a || !b->c || !b->events) {
        ledger_batch_free(b);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    *out = b;
    return LEDGER_OK;
}

struct ledger_batch *batch_keep(struct ledger_batch *b)
{
    atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    return b;
}

LEDGER_API void ledger_batch_free(struct ledger_batch *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel) != 1)
        return;
    arena_free(b->a);
    crypto_free(b->c);
    free(b->events);
    free(b);
}

/* ---- events ---- */

/* What the ledger would refuse without looking at any state is refused here, with the same words. */
static enum ledger_rc check_event(struct ledger_batch *b, struct span bytes, struct hash *id, struct ledger_err *err)
{
    struct arena *a = arena_new(CHECK_ARENA_MAX);
    if (!a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    struct event ev;
    struct refusal why = {0};
    enum ledger_rc rc = event_decode(b->c, a, bytes, &ev, &why, err);
    if (rc == LEDGER_OK)
        *id = ev.id;
    if (rc == LEDGER_EREFUSED)
        ledger_fail(err, rc, "event %zu: %s%s%s: %s", b->n + 1, refusal_name(why.code), why.field[0] ? " in " : "", why.field,
                    why.text);
    arena_free(a);
    return rc;
}

LEDGER_API enum ledger_rc ledger_batch_add(struct ledger_batch *b, const uint8_t *event, size_t n, struct ledger_err *err)
{
    if (b->n_signatures > 0)
        return ledger_fail(err, LEDGER_EINVAL, "the batch is signed already: no event can join it");
    if (b->n == BATCH_EVENTS_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "a batch holds at most %d events", BATCH_EVENTS_MAX);
    if (b->bytes + n > BATCH_BYTES_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "the events of a batch have at most %d bytes together", BATCH_BYTES_MAX);
    struct batch_event *e = &b->events[b->n];
    enum ledger_rc rc = check_event(b, span_of(event, n), &e->id, err);
    if (rc != LEDGER_OK)
        return rc;
    e->bytes = arena_copy(b->a, span_of(event, n));
    if (!e->bytes.p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    b->bytes += n;
    b->n++;
    return LEDGER_OK;
}

enum ledger_rc batch_add_own(struct ledger_batch *b, unsigned kind, struct span payload, struct ledger_err *err)
{
    struct erasure erasure;
    struct parameters parameters;
    struct batch_event *e = &b->events[0];
    if (b->n || b->n_signatures || !own_kind_signed(kind))
        return ledger_fail(err, LEDGER_EINVAL, "kind %u is no act of the ledger that persons sign, or the batch is in use", kind);
    enum ledger_rc rc = kind == OWN_ERASURE ? erasure_decode(payload, &erasure, err) : parameters_decode(payload, &parameters, err);
    if (rc != LEDGER_OK)
        return rc;
    e->bytes = arena_copy(b->a, payload);
    if (!e->bytes.p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    event_id(b->c, payload, &e->id);
    b->own_kind = kind;
    b->bytes = payload.n;
    b->n = 1;
    return LEDGER_OK;
}

LEDGER_API size_t ledger_batch_count(const struct ledger_batch *b)
{
    return b->n;
}

LEDGER_API const uint8_t *ledger_batch_event_id(const struct ledger_batch *b, size_t i)
{
    return i < b->n ? b->events[i].id.b : NULL;
}

/* ---- the tree of ids ---- */

static bool id_tree(struct ledger_batch *b, struct arena *a, struct merkle_edge *out)
{
    struct hash *leaves = arena_alloc(a, b->n * sizeof *leaves);
    for (size_t i = 0; leaves && i < b->n; i++)
        merkle_leaf(b->c, span_of(b->events[i].id.b, HASH_LEN), &leaves[i]);
    return leaves && merkle_edge_of(b->c, a, leaves, b->n, out) == LEDGER_OK;
}

static enum ledger_rc batch_root(struct ledger_batch *b, struct ledger_err *err)
{
    struct merkle_edge tree;
    struct arena_mark mark = arena_mark(b->a);
    bool ok = b->n == 0 || id_tree(b, b->a, &tree);
    if (b->n == 0)
        merkle_empty(b->c, &b->root);
    else if (ok)
        b->root = *merkle_edge_root(&tree);
    arena_release(b->a, mark);
    return ok ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

/* ---- signatures ---- */

static enum ledger_rc signing_time(struct ledger_batch *b, const char *time, struct span *out, struct ledger_err *err)
{
    char text[TIME_TEXT_MAX];
    int64_t us;
    if (time) {
        if (!time_parse(span_str(time), &us))
            return ledger_fail(err, LEDGER_EINVAL, "the signature's time \"%.60s\" is not YYYY-MM-DDThh:mm:ss and an offset",
                               time);
        *out = arena_copy(b->a, span_str(time));
    } else {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        size_t n = time_format((int64_t)now.tv_sec * 1000000, text);
        *out = arena_copy(b->a, span_of(text, n));
    }
    return out->p ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

static enum ledger_rc fill_signature(struct ledger_batch *b, struct ledger_key *key, const char *meaning, const char *time,
                                     struct signature *s, struct ledger_err *err)
{
    s->party = arena_copy(b->a, span_str(key->party));
    s->key_id = arena_copy(b->a, span_of(key->id, KEY_ID_LEN));
    s->alg = key->secret.alg;
    if (meaning)
        s->meaning = arena_copy(b->a, span_str(meaning));
    if (!s->party.p || !s->key_id.p || (meaning && !s->meaning.p))
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    return signing_time(b, time, &s->time, err);
}

enum ledger_rc batch_sign(struct ledger_batch *b, struct ledger_key *key, const char *meaning, const char *time,
                          struct ledger_err *err)
{
    size_t i = b->n_signatures;
    if (b->n == 0)
        return ledger_fail(err, LEDGER_EINVAL, "the batch holds no event to sign");
    if (b->sealed || i == SIGNATURES_READ_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "the batch takes no further signature");
    struct signature s = {0};
    enum ledger_rc rc = fill_signature(b, key, meaning, time, &s, err);
    if (rc == LEDGER_OK && i == 0)
        rc = batch_root(b, err);
    if (rc != LEDGER_OK)
        return rc;
    struct span input = signature_input(b->c, b->a, span_str(b->origin), &s, (unsigned)i + 1, (unsigned)b->n, &b->root,
                                        i ? &b->sigs[i - 1] : NULL);
    uint8_t *sig = arena_alloc(b->a, 64);
    if (!input.p || !sig)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    rc = key_sign(key, input, sig, err);
    if (rc != LEDGER_OK)
        return rc;
    s.sig = span_of(sig, 64);
    b->signatures[i] = signature_encode(b->a, &s);
    if (!b->signatures[i].p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    b->sigs[i] = s;
    b->n_signatures = i + 1;
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_batch_sign(struct ledger_batch *b, struct ledger_key *key, const char *meaning,
                                            const char *time, struct ledger_err *err)
{
    if (b->n_signatures >= SIGNATURES_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "the batch takes no further signature");
    if (!text_valid(span_str(meaning)))
        return ledger_fail(err, LEDGER_EINVAL, "a signature needs a meaning: authorship, verification, approval, release");
    return batch_sign(b, key, meaning, time, err);
}

void batch_leave_unsigned(struct ledger_batch *b)
{
    b->unsigned_allowed = true;
}

static bool seal_event(struct ledger_batch *b, const struct merkle_edge *ids, const struct sigblock *all, size_t i)
{
    struct sigblock block = *all;
    struct merkle_path path;
    merkle_edge_path(ids, i, &path);
    block.index = (unsigned)i;
    block.path = (const uint8_t *)path.h;
    block.path_n = path.n;
    b->events[i].block = sigblock_encode(b->a, &block);
    if (!b->events[i].block.p)
        return false;
    sigblock_hash(b->c, b->events[i].block, &b->events[i].block_hash);
    return true;
}

enum ledger_rc batch_seal(struct ledger_batch *b, struct ledger_err *err)
{
    if (b->sealed)
        return LEDGER_OK;
    if (b->n == 0 || (b->n_signatures == 0 && !b->unsigned_allowed))
        return ledger_fail(err, LEDGER_EINVAL, b->n ? "the batch is not signed" : "the batch holds no event");
    struct arena *scratch = arena_new(BATCH_ARENA_MAX);
    struct merkle_edge ids;
    bool ok = scratch && id_tree(b, scratch, &ids);
    struct sigblock block = {.events = (unsigned)b->n, .n = b->n_signatures};
    memcpy(block.sigs, b->sigs, sizeof block.sigs);
    for (size_t i = 0; ok && i < b->n; i++)
        ok = seal_event(b, &ids, &block, i);
    arena_free(scratch);
    b->sealed = ok;
    return ok ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

/* ---- as bytes ---- */

enum ledger_rc batch_own_encode(const struct ledger_batch *b, uint8_t **bytes, size_t *n, struct ledger_err *err)
{
    *bytes = NULL;
    *n = 0;
    return rpc_act_encode(b, bytes, n, err);
}

LEDGER_API enum ledger_rc ledger_batch_encode(const struct ledger_batch *b, uint8_t **bytes, size_t *n, struct ledger_err *err)
{
    *bytes = NULL;
    *n = 0;
    return rpc_batch_encode(b, bytes, n, err);
}

static enum ledger_rc take_signature(struct ledger_batch *b, struct span bytes, struct ledger_err *err)
{
    size_t i = b->n_signatures;
    if (i == SIGNATURES_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "more than %d signatures", SIGNATURES_MAX);
    b->signatures[i] = arena_copy(b->a, bytes);
    if (!b->signatures[i].p)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = signature_decode(b->signatures[i], &b->sigs[i], err);
    if (rc == LEDGER_OK)
        b->n_signatures = i + 1;
    return rc;
}

static enum ledger_rc take_signatures(struct ledger_batch *b, const struct message_batch *m, struct ledger_err *err)
{
    enum ledger_rc rc = batch_root(b, err);
    for (size_t i = 0; rc == LEDGER_OK && i < m->n_signatures; i++)
        rc = take_signature(b, m->signatures[i], err);
    return rc;
}

static enum ledger_rc fill_decoded(struct ledger_batch *b, const struct message_batch *m, struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    if (m->own_kind)
        rc = batch_add_own(b, m->own_kind, m->events[0], err);
    for (size_t i = 0; !m->own_kind && rc == LEDGER_OK && i < m->n_events; i++)
        rc = ledger_batch_add(b, m->events[i].p, m->events[i].n, err);
    return rc == LEDGER_OK ? take_signatures(b, m, err) : rc;
}

typedef enum ledger_rc decode_bytes(struct arena *a, struct span bytes, struct message_batch *out, struct ledger_err *err);

static enum ledger_rc decode(const char *origin, struct span bytes, decode_bytes *take, struct ledger_batch **out,
                             struct ledger_err *err)
{
    struct ledger_batch *b = NULL;
    struct message_batch m = {0};
    *out = NULL;
    struct arena *a = arena_new(BATCH_ARENA_MAX);
    if (!a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = take(a, bytes, &m, err);
    if (rc == LEDGER_OK)
        rc = ledger_batch_new(origin, &b, err);
    if (rc == LEDGER_OK)
        rc = fill_decoded(b, &m, err);
    arena_free(a);
    if (rc != LEDGER_OK)
        ledger_batch_free(b);
    else
        *out = b;
    return rc;
}

enum ledger_rc batch_own_decode(const char *origin, struct span bytes, struct ledger_batch **out, struct ledger_err *err)
{
    return decode(origin, bytes, rpc_act_decode, out, err);
}

LEDGER_API enum ledger_rc ledger_batch_decode(const char *origin, const uint8_t *bytes, size_t n, struct ledger_batch **out,
                                              struct ledger_err *err)
{
    return decode(origin, span_of(bytes, n), rpc_batch_decode, out, err);
}
