/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access: the table of who may submit and who may read which kinds.
 *
 * Failure modes: a word that is not understood is an error and never "no right": a misspelt kind would otherwise silently
 * withhold, or a misspelt "none" grant.
 */
#include "access.h"

#include <stdlib.h>
#include <string.h>

const struct access *access_find(const struct access_table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->rows[i].name, name) == 0)
            return &t->rows[i];
    return NULL;
}

bool access_name_valid(struct span name)
{
    if (name.n < 1 || name.n > ACCESS_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~' || strchr("=;#", name.p[i]))
            return false;
    return true;
}

bool access_equal(const struct access *a, const struct access *b)
{
    return strcmp(a->name, b->name) == 0 && a->may_submit == b->may_submit &&
           a->may_administer == b->may_administer && a->may_read_states == b->may_read_states &&
           a->read_kinds == b->read_kinds;
}

/* Takes the next word, divided by spaces, off *s. */
static struct span next_word(struct span *s)
{
    while (s->n && (*s->p == ' ' || *s->p == '\t')) {
        s->p++;
        s->n--;
    }
    struct span word = {s->p, 0};
    while (s->n && *s->p != ' ' && *s->p != '\t') {
        s->p++;
        s->n--;
        word.n++;
    }
    return word;
}

#define ALL_KINDS ((1u << (EVENT_KIND_LAST - EVENT_KIND_FIRST + 1)) - 1u)

/* The words after "read". */
static enum ledger_rc parse_read(struct access *row, struct span words, struct ledger_err *err)
{
    struct span word = next_word(&words);
    bool none = span_eq(word, SPAN_LIT("none")), all = span_eq(word, SPAN_LIT("all"));
    if (word.n == 0)
        return ledger_fail(err, LEDGER_EINVAL, "\"read\" wants all, none or names of kinds");
    if (none || all) {
        row->read_kinds = all ? ALL_KINDS : 0;
        row->may_read_states = all;
        word = next_word(&words);
        if (word.n)
            return ledger_fail(err, LEDGER_EINVAL, "nothing may follow \"read %s\"", all ? "all" : "none");
        return LEDGER_OK;
    }
    for (; word.n; word = next_word(&words)) {
        if (span_eq(word, SPAN_LIT("states"))) {
            row->may_read_states = true;
            continue;
        }
        const struct kind_def *kind = kind_by_name(word);
        if (!kind)
            return ledger_fail(err, LEDGER_EINVAL, "\"%.*s\" is no kind of event", SPAN_FMT(word));
        row->read_kinds |= 1u << ((unsigned)kind->kind - EVENT_KIND_FIRST);
    }
    return LEDGER_OK;
}

static enum ledger_rc parse_right(struct access *row, struct span right, bool *reads, struct ledger_err *err)
{
    struct span word = next_word(&right);
    bool submit = span_eq(word, SPAN_LIT("submit"));
    if (submit || span_eq(word, SPAN_LIT("administer"))) {
        bool *right_of = submit ? &row->may_submit : &row->may_administer;
        if (*right_of || next_word(&right).n)
            return ledger_fail(err, LEDGER_EINVAL, "\"%.*s\" stands once and alone between commas", SPAN_FMT(word));
        *right_of = true;
        return LEDGER_OK;
    }
    if (span_eq(word, SPAN_LIT("read"))) {
        if (*reads)
            return ledger_fail(err, LEDGER_EINVAL, "\"read\" is given twice");
        *reads = true;
        return parse_read(row, right, err);
    }
    return ledger_fail(err, LEDGER_EINVAL, "\"%.*s\" is neither submit, administer nor read", SPAN_FMT(word));
}

static enum ledger_rc parse_rights(struct access *row, struct span rights, struct ledger_err *err)
{
    bool reads = false;
    for (;;) {
        const uint8_t *comma = rights.n ? memchr(rights.p, ',', rights.n) : NULL;
        size_t n = comma ? (size_t)(comma - rights.p) : rights.n;
        enum ledger_rc rc = parse_right(row, (struct span){rights.p, n}, &reads, err);
        if (rc != LEDGER_OK)
            return rc;
        if (!comma)
            return LEDGER_OK;
        rights = (struct span){rights.p + n + 1, rights.n - n - 1};
    }
}

enum ledger_rc access_add(struct access_table *t, const char *name, const char *rights, struct ledger_err *err)
{
    struct access row = {0};
    if (!access_name_valid(span_str(name)))
        return ledger_fail(err, LEDGER_EINVAL, "\"%.60s\" is no name of a client", name);
    if (access_find(t, name))
        return ledger_fail(err, LEDGER_EINVAL, "\"%.60s\" is listed twice", name);
    memcpy(row.name, name, strlen(name) + 1);
    enum ledger_rc rc = parse_rights(&row, span_str(rights), err);
    if (rc != LEDGER_OK)
        return rc;
    struct access *rows = reallocarray(t->rows, t->n + 1, sizeof *rows);
    if (!rows)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    t->rows = rows;
    t->rows[t->n++] = row;
    return LEDGER_OK;
}

void access_table_fini(struct access_table *t)
{
    free(t->rows);
    *t = (struct access_table){0};
}
