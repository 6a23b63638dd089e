/* SPDX-License-Identifier: Apache-2.0 */
/* own: the payloads of the ledger's own entries (entry.h). Big-endian, first byte version 1, exactly one encoding. */
#include <string.h>

#include "entry.h"
#include "value.h"

#define OWN_VERSION 1
#define OWN_KINDS_END 64u /* kinds below are the ledger's own */

static enum ledger_rc begin(struct rbuf *r, struct span s, const char *what, struct ledger_err *err)
{
    rbuf_init(r, s);
    uint8_t version = rbuf_u8(r);
    if (!r->failed && version > OWN_VERSION)
        return ledger_fail(err, LEDGER_EVERSION, "%s: needs version %u", what, version);
    if (r->failed || version != OWN_VERSION)
        return ledger_fail(err, LEDGER_EINVAL, "%s: not one", what);
    return LEDGER_OK;
}

static enum ledger_rc finish(const struct rbuf *r, const char *what, struct ledger_err *err)
{
    return rbuf_done(r) ? LEDGER_OK : ledger_fail(err, LEDGER_EINVAL, "%s: malformed", what);
}

static void get_nonce(struct rbuf *r, uint8_t nonce[16])
{
    struct span s = rbuf_bytes(r, 16);
    if (!r->failed)
        memcpy(nonce, s.p, 16);
}

struct span genesis_encode(struct arena *a, const struct genesis *g)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u8(&w, OWN_VERSION);
    wbuf_hash(&w, &g->nonce);
    wbuf_str(&w, g->origin);
    wbuf_str(&w, g->log_vkey);
    wbuf_u16(&w, g->format_version);
    wbuf_u16(&w, g->rules_version);
    wbuf_i64(&w, g->clock_tolerance_us);
    wbuf_u32(&w, g->heartbeat_s);
    wbuf_u32(&w, g->event_size_max);
    wbuf_u32(&w, g->batch_events_max);
    wbuf_hash(&w, &g->index_key_commit);
    wbuf_str(&w, g->admin);
    wbuf_str(&w, g->admin_org);
    wbuf_u16(&w, g->admin_alg);
    wbuf_str(&w, g->admin_key);
    wbuf_str(&w, g->admin_proof);
    return wbuf_span(&w);
}

enum ledger_rc genesis_decode(struct span s, struct genesis *out, struct ledger_err *err)
{
    struct rbuf r;
    enum ledger_rc rc = begin(&r, s, "genesis", err);
    if (rc)
        return rc;
    memset(out, 0, sizeof *out);
    out->nonce = rbuf_hash(&r);
    out->origin = rbuf_str(&r);
    out->log_vkey = rbuf_str(&r);
    out->format_version = rbuf_u16(&r);
    out->rules_version = rbuf_u16(&r);
    out->clock_tolerance_us = rbuf_i64(&r);
    out->heartbeat_s = rbuf_u32(&r);
    out->event_size_max = rbuf_u32(&r);
    out->batch_events_max = rbuf_u32(&r);
    out->index_key_commit = rbuf_hash(&r);
    out->admin = rbuf_str(&r);
    out->admin_org = rbuf_str(&r);
    out->admin_alg = rbuf_u16(&r);
    out->admin_key = rbuf_str(&r);
    out->admin_proof = rbuf_str(&r);
    return finish(&r, "genesis", err);
}

struct span epoch_encode(struct arena *a, const struct epoch *e)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u8(&w, OWN_VERSION);
    wbuf_bytes(&w, e->nonce, sizeof e->nonce);
    wbuf_u64(&w, e->epoch);
    wbuf_str(&w, e->host);
    wbuf_str(&w, e->program);
    wbuf_str(&w, e->reason);
    return wbuf_span(&w);
}

enum ledger_rc epoch_decode(struct span s, struct epoch *out, struct ledger_err *err)
{
    struct rbuf r;
    enum ledger_rc rc = begin(&r, s, "epoch", err);
    if (rc)
        return rc;
    memset(out, 0, sizeof *out);
    get_nonce(&r, out->nonce);
    out->epoch = rbuf_u64(&r);
    out->host = rbuf_str(&r);
    out->program = rbuf_str(&r);
    out->reason = rbuf_str(&r);
    return finish(&r, "epoch", err);
}

struct span clock_step_encode(struct arena *a, const struct clock_step *s)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u8(&w, OWN_VERSION);
    wbuf_bytes(&w, s->nonce, sizeof s->nonce);
    wbuf_i64(&w, s->clock_us);
    wbuf_i64(&w, s->expected_us);
    return wbuf_span(&w);
}

enum ledger_rc clock_step_decode(struct span s, struct clock_step *out, struct ledger_err *err)
{
    struct rbuf r;
    enum ledger_rc rc = begin(&r, s, "clock step", err);
    if (rc)
        return rc;
    memset(out, 0, sizeof *out);
    get_nonce(&r, out->nonce);
    out->clock_us = rbuf_i64(&r);
    out->expected_us = rbuf_i64(&r);
    return finish(&r, "clock step", err);
}

/* ---- parameters ---- */

struct span parameters_encode(struct arena *a, const struct parameters *p)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u8(&w, OWN_VERSION);
    wbuf_bytes(&w, p->nonce, sizeof p->nonce);
    wbuf_u16(&w, p->rules_version);
    wbuf_u16(&w, p->n_algorithms);
    for (unsigned i = 0; i < p->n_algorithms; i++)
        wbuf_u16(&w, p->algorithms[i]);
    wbuf_u16(&w, p->n_retentions);
    for (unsigned i = 0; i < p->n_retentions; i++) {
        wbuf_u16(&w, p->retentions[i].kind);
        wbuf_u32(&w, p->retentions[i].days);
    }
    return wbuf_span(&w);
}

static bool read_algorithms(struct rbuf *r, struct parameters *out)
{
    out->n_algorithms = rbuf_u16(r);
    if (out->n_algorithms == 0 || out->n_algorithms > PARAMETER_ALGORITHMS_MAX)
        return false;
    for (unsigned i = 0; i < out->n_algorithms; i++) {
        out->algorithms[i] = rbuf_u16(r);
        if (out->algorithms[i] == 0 || (i && out->algorithms[i] <= out->algorithms[i - 1]))
            return false;
    }
    return true;
}

static bool read_retentions(struct rbuf *r, struct parameters *out)
{
    out->n_retentions = rbuf_u16(r);
    if (out->n_retentions > PARAMETER_RETENTIONS_MAX)
        return false;
    for (unsigned i = 0; i < out->n_retentions; i++) {
        struct retention *t = &out->retentions[i];
        t->kind = rbuf_u16(r);
        t->days = rbuf_u32(r);
        if (t->kind < OWN_KINDS_END || t->days == 0 || (i && t->kind <= t[-1].kind))
            return false;
    }
    return true;
}

enum ledger_rc parameters_decode(struct span s, struct parameters *out, struct ledger_err *err)
{
    struct rbuf r;
    enum ledger_rc rc = begin(&r, s, "parameters", err);
    if (rc)
        return rc;
    memset(out, 0, sizeof *out);
    get_nonce(&r, out->nonce);
    out->rules_version = rbuf_u16(&r);
    if (!read_algorithms(&r, out) || !read_retentions(&r, out))
        r.failed = true;
    return finish(&r, "parameters", err);
}

/* ---- log key ---- */

struct span log_key_change_encode(struct arena *a, const struct log_key_change *k)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u8(&w, OWN_VERSION);
    wbuf_bytes(&w, k->nonce, sizeof k->nonce);
    wbuf_str(&w, k->old_vkey);
    wbuf_str(&w, k->new_vkey);
    wbuf_u64(&w, k->from_size);
    wbuf_str(&w, k->proof);
    return wbuf_span(&w);
}

enum ledger_rc log_key_change_decode(struct span s, struct log_key_change *out, struct ledger_err *err)
{
    struct rbuf r;
    enum ledger_rc rc = begin(&r, s, "log key", err);
    if (rc)
        return rc;
    memset(out, 0, sizeof *out);
    get_nonce(&r, out->nonce);
    out->old_vkey = rbuf_str(&r);
    out->new_vkey = rbuf_str(&r);
    out->from_size = rbuf_u64(&r);
    out->proof = rbuf_str(&r);
    return finish(&r, "log key", err);
}

/* ---- time stamp ---- */

struct span time_stamp_encode(struct arena *a, const struct time_stamp *t)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u8(&w, OWN_VERSION);
    wbuf_bytes(&w, t->nonce, sizeof t->nonce);
    wbuf_str(&w, t->note);
    wbuf_str(&w, t->token);
    return wbuf_span(&w);
}

enum ledger_rc time_stamp_decode(struct span s, struct time_stamp *out, struct ledger_err *err)
{
    struct rbuf r;
    enum ledger_rc rc = begin(&r, s, "time stamp", err);
    if (rc)
        return rc;
    memset(out, 0, sizeof *out);
    get_nonce(&r, out->nonce);
    out->note = rbuf_str(&r);
    out->token = rbuf_str(&r);
    if (out->token.n == 0 || out->token.n > TIME_STAMP_TOKEN_MAX)
        r.failed = true;
    return finish(&r, "time stamp", err);
}

/* ---- erasure ---- */

struct span erasure_encode(struct arena *a, const struct erasure *e)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u8(&w, OWN_VERSION);
    wbuf_bytes(&w, e->nonce, sizeof e->nonce);
    wbuf_str(&w, e->reason);
    wbuf_u16(&w, e->n);
    wbuf_bytes(&w, e->ids, (size_t)e->n * HASH_LEN);
    return wbuf_span(&w);
}

enum ledger_rc erasure_decode(struct span s, struct erasure *out, struct ledger_err *err)
{
    struct rbuf r;
    enum ledger_rc rc = begin(&r, s, "erasure", err);
    if (rc)
        return rc;
    memset(out, 0, sizeof *out);
    get_nonce(&r, out->nonce);
    out->reason = rbuf_str(&r);
    out->n = rbuf_u16(&r);
    out->ids = rbuf_bytes(&r, (size_t)out->n * HASH_LEN).p;
    if (r.failed || !text_valid(out->reason) || out->n == 0 || out->n > ERASURE_EVENTS_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "erasure: malformed: a reason and 1 to %d event ids are wanted", ERASURE_EVENTS_MAX);
    for (unsigned i = 1; i < out->n; i++)
        if (memcmp(out->ids + (size_t)(i - 1) * HASH_LEN, out->ids + (size_t)i * HASH_LEN, HASH_LEN) >= 0)
            return ledger_fail(err, LEDGER_EINVAL, "erasure: event ids must ascend, each once");
    return finish(&r, "erasure", err);
}

void index_key_commit(struct crypto *c, const struct hash *index_key, struct hash *out)
{
    struct hfield f = HFIX(index_key->b, HASH_LEN);
    crypto_labelled(c, LABEL_INDEX_KEY, &f, 1, out);
}
