/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay: derives a recorded entry again and compares every byte (machine.h, machine_replay). What the log says of itself —
 * recorded time, epoch, kind — goes in; everything else must come out the same.
 */
#include <stdio.h>
#include <string.h>

#include "machine.h"
#include "machine_internal.h"
#include "verify.h"

struct replay {
    struct machine *m;
    struct header h; /* as recorded */
    const struct entry_record *rec;
    const struct replay_options *o;
    struct verdict *v;
    struct ledger_err *err;
};

static enum ledger_rc tampered(struct replay *r, const char *what, const char *text)
{
    verdict_bad(r->v, VERDICT_TAMPERED, r->m->size, what, "%s", text);
    return ledger_fail(r->err, LEDGER_ETAMPER, "entry %llu: %s: %s", (unsigned long long)r->m->size, what, text);
}

static enum ledger_rc newer(struct replay *r, const char *what, const struct ledger_err *e)
{
    verdict_bad(r->v, VERDICT_NEWER, r->m->size, what, "%s", e->msg);
    return ledger_fail(r->err, LEDGER_EVERSION, "entry %llu: %s", (unsigned long long)r->m->size, e->msg);
}

/* An error of decoding or deriving: a newer version and an error of the machine stay what they are, the rest is tampering. */
static enum ledger_rc judge_rc(struct replay *r, enum ledger_rc rc, const char *what, const struct ledger_err *e)
{
    if (rc == LEDGER_OK)
        return rc;
    if (rc == LEDGER_EVERSION)
        return newer(r, what, e);
    if (rc == LEDGER_ENOMEM || rc == LEDGER_EIO || rc == LEDGER_EFULL)
        return ledger_fail(r->err, rc, "entry %llu: %s", (unsigned long long)r->m->size, e->msg);
    return tampered(r, what, e->msg);
}

static bool links_differ(const struct header *x, const struct header *y, char *text, size_t size)
{
    if (x->n_links != y->n_links) {
        snprintf(text, size, "it has %u links, the rules give %u", x->n_links, y->n_links);
        return true;
    }
    for (unsigned i = 0; i < x->n_links; i++) {
        const struct link *a = &x->links[i], *b = &y->links[i];
        const char *what = !hash_eq(&a->chain, &b->chain) ? "chain key"
                           : a->seq != b->seq             ? "sequence number"
                           : !hash_eq(&a->prev, &b->prev) ? "entry before"
                           : !hash_eq(&a->state, &b->state) ? "state commitment" : NULL;
        if (what) {
            snprintf(text, size, "link %u: the %s is not the one that follows from the entries before", i, what);
            return true;
        }
    }
    return false;
}

/* Names the first field in which the recorded header differs from the derived one. */
static enum ledger_rc compare(struct replay *r, const struct appended_entry *got)
{
    if (span_eq(got->header, r->rec->header))
        return LEDGER_OK;
    struct header d;
    char text[160];
    const struct header *h = &r->h;
    r->m->size--; /* the entry that is being named */
    if (header_decode(r->m->a, got->header, &d, NULL))
        return tampered(r, "header", "differs from the derived one");
    if (d.epoch != h->epoch)
        return tampered(r, "epoch", "is not the one of the latest EPOCH entry");
    if (d.recorded_us != h->recorded_us)
        return tampered(r, "recorded time", "runs backwards");
    if (d.kind != h->kind)
        return tampered(r, "kind", "is not the kind of its event");
    if (!hash_eq(&d.event_id, &h->event_id))
        return tampered(r, "event", "is not the one that the header names");
    if (!hash_eq(&d.block_hash, &h->block_hash))
        return tampered(r, "signature block", "is not the one that the header names");
    if (d.prev_seal != h->prev_seal || !hash_eq(&d.prev_seal_leaf, &h->prev_seal_leaf))
        return tampered(r, "previous seal", "is not the seal before this one");
    if (d.batch_first != h->batch_first)
        return tampered(r, "first entry of the batch", "does not follow the seal before");
    if (!hash_eq(&d.map_root, &h->map_root) || d.chains != h->chains)
        return tampered(r, "chain map", "root or number of chains does not follow from the entries");
    if (links_differ(h, &d, text, sizeof text))
        return tampered(r, "links", text);
    return tampered(r, "header", "differs from the derived one");
}

/* Content is compared with the header's hashes before it is decoded: damage is then called by its name. */
static enum ledger_rc check_content(struct replay *r)
{
    const struct content_fault *f = entry_content_fault(r->m->c, &r->h, r->rec, NULL);
    return f ? tampered(r, f->what, f->text) : LEDGER_OK;
}

/* "Hashes only" still binds every signature's key id to the party's key: only the verification is left out. */
static const struct preverified all_verified = {.ok = {true, true, true, true, true, true, true, true}};

static const struct preverified *verified_before(const struct replay *r)
{
    return r->o && r->o->skip_signatures ? &all_verified : r->o ? r->o->pre : NULL;
}

static enum ledger_rc refused_by_rules(struct replay *r, const struct refusal *why)
{
    char text[480];
    snprintf(text, sizeof text, "the rules refuse it: %s %s: %s", refusal_name(why->code), why->subject, why->text);
    return tampered(r, why->code == E_SIG_INVALID ? "signature" : "event", text);
}

/* An event whose content verify_entry has compared with the header and decoded; NULL: that is to be done. */
static const struct entry *verified_event(const struct replay *r)
{
    const struct entry *e = r->o ? r->o->verified : NULL;
    bool these = e && e->content && !e->own && e->event.bytes.p == r->rec->event.p && e->event.bytes.n == r->rec->event.n;
    return these ? e : NULL;
}

static enum ledger_rc decode(struct replay *r, struct event *ev, struct sigblock *b)
{
    struct ledger_err e = {0};
    struct refusal why = {0};
    enum ledger_rc rc = event_decode(r->m->c, r->m->a, r->rec->event, ev, &why, &e);
    if (rc == LEDGER_EREFUSED)
        return tampered(r, "event", why.text);
    if (rc)
        return judge_rc(r, rc, "event", &e);
    rc = sigblock_decode(r->rec->block, b, &e);
    return judge_rc(r, rc, "signature block", &e);
}

static enum ledger_rc replay_event(struct replay *r, struct appended_entry *out)
{
    struct machine *m = r->m;
    struct ledger_err e = {0};
    struct refusal why = {0};
    struct event ev;
    struct sigblock b;
    const struct entry *done = verified_event(r);
    enum ledger_rc rc = done ? LEDGER_OK : decode(r, &ev, &b);
    if (rc)
        return rc;
    struct submission s = {.ev = done ? &done->event : &ev, .block = r->rec->block, .b = done ? &done->block : &b, .pre = verified_before(r)};
    if (s.ev->kind->kind != r->h.kind)
        return tampered(r, "kind", "is not the kind of its event");
    rc = machine_event(m, &s, r->h.recorded_us, out, &why, &e);
    return rc == LEDGER_EREFUSED ? refused_by_rules(r, &why) : judge_rc(r, rc, "event", &e);
}

/* An act of the ledger that persons signed. */
static enum ledger_rc replay_signed(struct replay *r, struct appended_entry *out)
{
    struct ledger_err e = {0};
    struct refusal why = {0};
    struct sigblock b;
    enum ledger_rc rc = sigblock_decode(r->rec->block, &b, &e);
    if (rc)
        return judge_rc(r, rc, "signature block", &e);
    struct signed_own s = {.kind = (enum own_kind)r->h.kind, .payload = r->rec->event, .block = r->rec->block, .b = &b,
                           .pre = verified_before(r)};
    rc = machine_own_signed(r->m, &s, r->h.recorded_us, out, &why, &e);
    return rc == LEDGER_EREFUSED ? refused_by_rules(r, &why) : judge_rc(r, rc, entry_kind_name(r->h.kind), &e);
}

static enum ledger_rc replay_own(struct replay *r, struct appended_entry *out)
{
    struct machine *m = r->m;
    struct ledger_err e = {0};
    struct checkpoint cp;
    enum ledger_rc rc;
    if (r->h.kind == OWN_SEAL) {
        rc = machine_seal(m, r->h.recorded_us, out, &cp, &e);
    } else if (own_kind_signed(r->h.kind)) {
        return replay_signed(r, out);
    } else if (r->rec->block.n) {
        return tampered(r, "signature block", "an entry of this kind has none");
    } else if (r->h.kind == OWN_GENESIS) {
        rc = machine_genesis(m, r->rec->event, r->h.recorded_us, out, &e);
    } else {
        rc = machine_own(m, (enum own_kind)r->h.kind, r->rec->event, r->h.recorded_us, out, &e);
    }
    return judge_rc(r, rc, entry_kind_name(r->h.kind) ? entry_kind_name(r->h.kind) : "kind", &e);
}

enum ledger_rc machine_replay(struct machine *m, const struct entry_record *rec, const struct replay_options *o, struct verdict *v,
                              struct ledger_err *err)
{
    struct replay r = {.m = m, .rec = rec, .o = o, .v = v, .err = err};
    struct ledger_err e = {0};
    struct appended_entry got;
    if (v)
        memset(v, 0, sizeof *v);
    enum ledger_rc rc = header_decode(m->a, rec->header, &r.h, &e);
    if (rc)
        return judge_rc(&r, rc, "header", &e);
    if (r.h.index != m->size)
        return tampered(&r, "index", "does not follow the entry before");
    if (m->size && r.h.recorded_us < m->recorded_us)
        return tampered(&r, "recorded time", "runs backwards");
    if (rec->erased_by) {
        rc = judge_rc(&r, machine_erased(m, &r.h, rec, &got, &e), "opening", &e);
        return rc ? rc : compare(&r, &got);
    }
    if (!verified_event(&r))
        rc = check_content(&r);
    if (!rc && r.h.kind >= EVENT_KIND_FIRST && !kind_find(r.h.kind)) {
        ledger_fail(&e, LEDGER_EVERSION, "kind %u needs a newer version", r.h.kind);
        return newer(&r, "kind", &e);
    }
    if (!rc)
        rc = r.h.kind >= EVENT_KIND_FIRST ? replay_event(&r, &got) : replay_own(&r, &got);
    return rc ? rc : compare(&r, &got);
}
