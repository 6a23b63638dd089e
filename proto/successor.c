/* SPDX-License-Identifier: Apache-2.0 */
/* successor: the payload of SUCCESSOR (entry.h): a ledger that goes on for one that has ended. */
#include <string.h>

#include "entry.h"
#include "event.h"
#include "note.h"
#include "value.h"

#define VERSION 1

struct span successor_encode(struct arena *a, const struct successor *s)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u8(&w, VERSION);
    wbuf_bytes(&w, s->nonce, sizeof s->nonce);
    wbuf_str(&w, s->origin);
    wbuf_str(&w, s->note);
    wbuf_str(&w, s->reason);
    wbuf_u16(&w, s->n);
    for (unsigned i = 0; i < s->n; i++) {
        wbuf_str(&w, s->approvers[i].party);
        wbuf_u16(&w, s->approvers[i].alg);
        wbuf_str(&w, s->approvers[i].key);
        wbuf_str(&w, s->approvers[i].signature);
    }
    return wbuf_span(&w);
}

static bool read_approvers(struct rbuf *r, struct successor *out)
{
    for (unsigned i = 0; i < out->n; i++) {
        struct approver *p = &out->approvers[i];
        p->party = rbuf_str(r);
        p->alg = rbuf_u16(r);
        p->key = rbuf_str(r);
        p->signature = rbuf_str(r);
        if (r->failed || !id_valid(p->party) || (i && span_cmp(p[-1].party, p->party) >= 0))
            return false;
    }
    return true;
}

enum ledger_rc successor_decode(struct span s, struct successor *out, struct ledger_err *err)
{
    struct rbuf r;
    memset(out, 0, sizeof *out);
    rbuf_init(&r, s);
    uint8_t version = rbuf_u8(&r);
    if (!r.failed && version > VERSION)
        return ledger_fail(err, LEDGER_EVERSION, "successor: needs version %u", version);
    struct span nonce = rbuf_bytes(&r, sizeof out->nonce);
    if (r.failed || version != VERSION)
        return ledger_fail(err, LEDGER_EINVAL, "successor: not one");
    memcpy(out->nonce, nonce.p, nonce.n);
    out->origin = rbuf_str(&r);
    out->note = rbuf_str(&r);
    out->reason = rbuf_str(&r);
    out->n = rbuf_u16(&r);
    if (r.failed || !origin_valid(out->origin) || out->note.n > NOTE_SIZE_MAX || !text_valid(out->reason))
        return ledger_fail(err, LEDGER_EINVAL, "successor: malformed: the former origin, its checkpoint and a reason are wanted");
    if (out->n < SUCCESSOR_APPROVERS_MIN || out->n > SUCCESSOR_APPROVERS_MAX || !read_approvers(&r, out))
        return ledger_fail(err, LEDGER_EINVAL, "successor: %d to %d different persons must approve it, in ascending order", SUCCESSOR_APPROVERS_MIN,
                           SUCCESSOR_APPROVERS_MAX);
    return rbuf_done(&r) ? LEDGER_OK : ledger_fail(err, LEDGER_EINVAL, "successor: malformed");
}

struct span successor_input(struct arena *a, struct span new_origin, const struct successor *s, const struct approver *who)
{
    static const char label[] = LABEL_SUCCESSOR;
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_u8(&w, (uint8_t)(sizeof label - 1));
    wbuf_bytes(&w, label, sizeof label - 1);
    wbuf_bytes(&w, s->nonce, sizeof s->nonce);
    wbuf_str(&w, new_origin);
    wbuf_str(&w, s->origin);
    wbuf_str(&w, s->note);
    wbuf_str(&w, s->reason);
    wbuf_str(&w, who->party);
    wbuf_u16(&w, who->alg);
    wbuf_str(&w, who->key);
    return wbuf_span(&w);
}

/* A checkpoint of the former ledger, signed by something that bears its name. */
static enum ledger_rc check_note(struct arena *a, const struct successor *s, struct ledger_err *err)
{
    struct note note;
    struct checkpoint cp;
    enum ledger_rc rc = note_parse(a, s->note, &note, err);
    if (rc == LEDGER_OK)
        rc = checkpoint_parse(note.text, &cp, err);
    if (rc == LEDGER_ENOMEM)
        return rc;
    bool named = false;
    for (size_t i = 0; rc == LEDGER_OK && i < note.n; i++)
        named = named || span_eq(note.sigs[i].name, s->origin);
    if (rc != LEDGER_OK || !named || !span_eq(cp.origin, s->origin) || cp.size == 0)
        return ledger_fail(err, LEDGER_EINVAL, "successor: the note is no signed checkpoint of the ledger %.*s", SPAN_FMT(s->origin));
    return LEDGER_OK;
}

enum ledger_rc successor_check(struct crypto *c, struct arena *a, struct span new_origin, struct span payload, struct successor *out,
                               struct ledger_err *err)
{
    enum ledger_rc rc = successor_decode(payload, out, err);
    if (rc == LEDGER_OK && span_eq(out->origin, new_origin))
        rc = ledger_fail(err, LEDGER_EINVAL, "successor: a ledger does not succeed itself: it needs an origin of its own");
    if (rc == LEDGER_OK)
        rc = check_note(a, out, err);
    for (unsigned i = 0; rc == LEDGER_OK && i < out->n; i++) {
        const struct approver *p = &out->approvers[i];
        struct span msg = successor_input(a, new_origin, out, p);
        for (unsigned k = 0; k < i; k++)
            if (span_eq(p->key, out->approvers[k].key))
                return ledger_fail(err, LEDGER_EINVAL, "successor: two persons have one key");
        if (!msg.p)
            return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
        if (p->alg > SIG_P256)
            return ledger_fail(err, LEDGER_EVERSION, "successor: signature algorithm %u", p->alg);
        if (!crypto_key_valid(c, (enum sig_alg)p->alg, p->key) || !crypto_verify(c, (enum sig_alg)p->alg, p->key, msg, p->signature))
            rc = ledger_fail(err, LEDGER_EINVAL, "successor: the signature of %.*s does not verify", SPAN_FMT(p->party));
    }
    return rc;
}
