/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts: what an item is and where it is: existence, time, custody, quantity, consent. What stands
 * against its use (holds, release, expiry, tests) is in holds.c.
 */
#include "rules/facts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool facts_init(struct facts *f, struct judge *j)
{
    memset(f, 0, sizeof *f);
    f->j = j;
    return family_init(&f->family, j);
}

bool facts_object(struct facts *f, enum refusal_code code, const char *subject, const char *field,
                  const char *fmt, ...)
{
    struct refusal r;
    char text[sizeof r.text];
    va_list ap;
    if (f->j->rc != LEDGER_OK)
        return false;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)refuse(&r, code, subject, field, "%s", text);
    return f->object_cb(f->object_ctx, &r);
}

const char *facts_text(struct facts *f, const char *fmt, ...)
{
    char buf[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    char *s = arena_strdup(f->j->a, span_str(buf));
    if (s)
        return s;
    f->j->rc = ledger_fail(&f->j->err, LEDGER_ENOMEM, "judging: over the memory budget");
    return "";
}

const char *facts_time(struct facts *f, int64_t us)
{
    char buf[TIME_TEXT_MAX];
    time_format(us, buf);
    return facts_text(f, "%s", buf);
}

static bool load_asked(struct facts *f, struct span id, const char *field, struct asked *out)
{
    memset(out, 0, sizeof *out);
    out->field = field;
    out->subject = facts_text(f, "item %.*s", SPAN_FMT(id));
    out->ld = judge_load(f->j, CHAIN_ITEM, id);
    if (!out->ld)
        return false;
    out->s = &out->ld->chain.item;
    return f->j->rc == LEDGER_OK;
}

bool ask_exists(struct facts *f, struct span id, const char *field, struct asked *out)
{
    if (!load_asked(f, id, field, out))
        return false;
    if (!out->ld->chain.exists) {
        (void)facts_object(
            f, E_UNKNOWN_ITEM, out->subject, field,
            "%.*s was never recorded here; check the identifier, or record how it came in first",
            SPAN_FMT(id));
        return false;
    }
    out->node = family_node_of(&f->family, &out->ld->chain);
    return out->node != NULL;
}

bool ask_new(struct facts *f, struct span id, const char *field, struct asked *out)
{
    if (!load_asked(f, id, field, out))
        return false;
    if (out->ld->chain.exists)
        return facts_object(
            f, E_DUP_ITEM, out->subject, field,
            "%.*s is already an item of this ledger; an identifier is never used twice",
            SPAN_FMT(id));
    return true;
}

bool ask_born(struct facts *f, const struct asked *x)
{
    if (f->at_us >= x->s->born_us)
        return true;
    return facts_object(f, E_TIME_ORDER, x->subject, "occurred",
                        "the event is dated %s, but %.*s was made at %s only",
                        facts_time(f, f->at_us), SPAN_FMT(x->s->id), facts_time(f, x->s->born_us));
}

bool ask_live(struct facts *f, const struct asked *x)
{
    if (x->s->terminal == TERMINAL_NONE)
        return true;
    return facts_object(f, E_TERMINAL, x->subject, x->field,
                        "%.*s was %s (entry %llu); nothing more can be done with it",
                        SPAN_FMT(x->s->id),
                        x->s->terminal == TERMINAL_ADMINISTERED ? "administered" : "disposed of",
                        (unsigned long long)x->s->terminal_index);
}

bool ask_here(struct facts *f, const struct asked *x)
{
    const struct item_state *s = x->s;
    if (s->shipment.n > 0 && !facts_object(f, E_IN_TRANSIT, x->subject, x->field,
                                           "%.*s is in shipment %.*s; receive it first",
                                           SPAN_FMT(s->id), SPAN_FMT(s->shipment)))
        return false;
    if (!f->org.p || span_eq(s->holder, f->org))
        return true;
    return facts_object(f, E_CUSTODY, x->subject, x->field,
                        "%.*s is held by %.*s, not by %.*s for whom this was signed",
                        SPAN_FMT(s->id), SPAN_FMT(s->holder), SPAN_FMT(f->org));
}

bool ask_take(struct facts *f, const struct asked *x, dec_t q, struct span uom, const char *field)
{
    const struct item_state *s = x->s;
    char asked_text[DEC_TEXT_MAX], available[DEC_TEXT_MAX];
    if (s->uom.n > 0 && !span_eq(s->uom, uom) &&
        !facts_object(f, E_UOM, x->subject, "uom", "%.*s is measured in \"%.*s\", not in \"%.*s\"",
                      SPAN_FMT(s->id), SPAN_FMT(s->uom), SPAN_FMT(uom)))
        return false;
    if (q > 0 && q <= s->available)
        return true;
    decimal_format(q, asked_text);
    decimal_format(s->available, available);
    if (q <= 0)
        return facts_object(f, E_QTY_EXCEEDED, x->subject, field,
                            "%s cannot be taken: a quantity is above 0", asked_text);
    return facts_object(f, E_QTY_EXCEEDED, x->subject, field,
                        "%s %.*s cannot be taken: %s is available of %.*s", asked_text,
                        SPAN_FMT(uom), available, SPAN_FMT(s->id));
}

static const char *scope_name(enum consent_scope scope)
{
    static const char *const names[] = {
        "COLLECTION", "MANUFACTURE", "TREATMENT", "RESEARCH", "INTERNATIONAL_TRANSFER", "BIOBANK"};
    return names[scope - 1];
}

bool ask_consent(struct facts *f, const struct subject_state *s, enum consent_scope scope,
                 const char *field)
{
    const struct consent_state *c = &s->scopes[scope - 1];
    const char *subject = facts_text(f, "subject %.*s", SPAN_FMT(s->id));
    if (c->given == 0)
        return facts_object(f, E_CONSENT_ABSENT, subject, field,
                            "no consent of %.*s to %s is recorded", SPAN_FMT(s->id),
                            scope_name(scope));
    if (c->given == CONSENT_WITHDRAWN)
        return facts_object(f, E_CONSENT_WITHDRAWN, subject, field,
                            "%.*s has withdrawn the consent to %s (entry %llu)", SPAN_FMT(s->id),
                            scope_name(scope), (unsigned long long)c->index);
    if (c->given_us > f->at_us)
        return facts_object(f, E_CONSENT_ABSENT, subject, "occurred",
                            "the consent of %.*s to %s was given at %s, after this",
                            SPAN_FMT(s->id), scope_name(scope), facts_time(f, c->given_us));
    return true;
}

bool facts_top(struct facts *f, struct node *x, struct node **top)
{
    if (!family_line(&f->family, x))
        return false;
    *top = x->line[x->line_n - 1];
    return true;
}

bool facts_in_force(struct facts *f, struct node *x, struct span test, const struct outcome **out)
{
    *out = NULL;
    if (!family_line(&f->family, x))
        return false;
    for (size_t i = 0; i < x->line_n; i++) {
        struct node *m = x->line[i];
        if (!family_outcomes(&f->family, m))
            return false;
        for (size_t k = 0; k < m->outcomes_n; k++) {
            if (!span_eq(m->outcomes[k].test, test))
                continue;
            *out = &m->outcomes[k];
            return true;
        }
    }
    return true;
}

bool facts_in_lineage(struct facts *f, struct node *x, const struct node *member, bool *in)
{
    struct lineage_walk w;
    *in = false;
    lineage_begin(&w, &f->family, x);
    for (struct node *m = lineage_next(&w); m; m = lineage_next(&w))
        if (m == member)
            *in = true;
    return f->j->rc == LEDGER_OK;
}

bool facts_on_line(struct facts *f, struct node *x, struct span id, bool *on)
{
    *on = false;
    if (!family_line(&f->family, x))
        return false;
    for (size_t i = 0; i < x->line_n; i++)
        if (span_eq(x->line[i]->id, id))
            *on = true;
    return true;
}

const struct spec_test *spec_find(const struct spec_version *v, struct span test)
{
    for (unsigned i = 0; v && i < v->n; i++)
        if (span_eq(v->tests[i].test, test))
            return &v->tests[i];
    return NULL;
}

bool find_version(struct judge *j, const struct chain *product, struct span version,
                  uint64_t *member)
{
    uint64_t n = product->exists ? product->product.logs[PRODUCT_LOG_VERSIONS].size : 0;
    *member = 0;
    for (uint64_t i = 0; i < n && *member == 0; i++) {
        struct span bytes;
        struct rbuf r;
        if (!judge_member(j, product, PRODUCT_LOG_VERSIONS, i, &bytes))
            return false;
        rbuf_init(&r, bytes); /* the version comes first (members.c) */
        if (span_eq(rbuf_str(&r), version))
            *member = i + 1;
    }
    return true;
}

struct loaded *load_case(struct judge *j, enum case_type t, struct span id)
{
    static const char *const prefixes[] = {"", "deviation/", "excursion/", "recall/"};
    struct wbuf w;
    wbuf_init(&w, j->a);
    wbuf_bytes(&w, prefixes[t], strlen(prefixes[t]));
    wbuf_bytes(&w, id.p, id.n);
    if (w.failed) {
        j->rc = ledger_fail(&j->err, LEDGER_ENOMEM, "judging: over the memory budget");
        return NULL;
    }
    return judge_load(j, CHAIN_CASE, wbuf_span(&w));
}
