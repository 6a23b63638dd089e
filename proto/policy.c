/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: C2SP tlog-policy files, and what a checkpoint is worth under one.
 *
 * Lines: "log <vkey> [url]", "witness <name> <vkey> [url]", "group <name> all|any|<k> <member>…",
 * "quorum <name>|none". Items are separated by spaces and tabs, '#' heads a comment line. Witnesses
 * and groups share one set of names, compared as octets. A name is used only below its definition
 * and in one group at most, so groups form a forest in file order and one pass over them decides
 * all.
 *
 * Failure modes: LEDGER_EINVAL with the line's number for every breach of the format, LEDGER_ELIMIT
 * for more than POLICY_MAX of anything and for names and URLs that are too long. Checking a note
 * fails as note_parse and checkpoint_parse do, and with LEDGER_ETAMPER if it is well formed but a
 * signature in the name of a key of the policy does not verify.
 */
#include "note.h"

#include <string.h>

enum { ITEMS_MAX = 3 + POLICY_MAX + 1 }; /* one more than any line may have, to notice it */

struct items {
    size_t n;
    struct span at[ITEMS_MAX];
};

struct parser {
    struct crypto *c;
    struct policy *p;
    struct ledger_err *err;
    unsigned line;
    bool quorum_seen;
    bool witness_used[POLICY_MAX]; /* is a member of a group */
    bool group_used[POLICY_MAX];
};

#define FAIL(ps, rc, ...) fail_at((ps)->err, (ps)->line, ledger_fail((ps)->err, (rc), __VA_ARGS__))

/* Prefixes the line number. */
static enum ledger_rc fail_at(struct ledger_err *err, unsigned line, enum ledger_rc rc)
{
    return ledger_wrap(err, rc, "line %u", line);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static void split_items(struct span line, struct items *out)
{
    out->n = 0;
    size_t i = 0;
    while (out->n < ITEMS_MAX) {
        while (i < line.n && is_blank(line.p[i]))
            i++;
        if (i == line.n)
            return;
        size_t begin = i;
        while (i < line.n && !is_blank(line.p[i]))
            i++;
        out->at[out->n++] = span_of(line.p + begin, i - begin);
    }
}

static bool is_word(struct span s, const char *word)
{
    return span_eq(s, span_str(word));
}

static bool find_name(const struct policy *p, struct span name, struct policy_member *out)
{
    for (unsigned i = 0; i < p->n_witnesses; i++) {
        if (is_word(name, p->witness_names[i])) {
            *out = (struct policy_member){false, i};
            return true;
        }
    }
    for (unsigned i = 0; i < p->n_groups; i++) {
        if (is_word(name, p->groups[i].name)) {
            *out = (struct policy_member){true, i};
            return true;
        }
    }
    return false;
}

/* Copies an item with its NUL; the caller's array is zeroed. */
static bool copy_item(struct span s, char *out, size_t max)
{
    if (s.n >= max)
        return false;
    memcpy(out, s.p, s.n);
    return true;
}

static enum ledger_rc define_name(struct parser *ps, struct span name, char out[64])
{
    struct policy_member found;
    if (is_word(name, "none"))
        return FAIL(ps, LEDGER_EINVAL, "the name \"none\" is reserved");
    if (find_name(ps->p, name, &found))
        return FAIL(ps, LEDGER_EINVAL, "the name \"%.*s\" is defined already", SPAN_FMT(name));
    if (!copy_item(name, out, 64))
        return FAIL(ps, LEDGER_ELIMIT, "a name has at most 63 bytes");
    return LEDGER_OK;
}

static bool same_key(const struct note_key *a, const struct note_key *b)
{
    return span_eq(span_of(a->key, a->key_n), span_of(b->key, b->key_n));
}

/* Reads a vkey into keys[n] and a URL, if there is one. */
static enum ledger_rc parse_key(struct parser *ps, const struct items *it, size_t at,
                                struct note_key *keys, unsigned n)
{
    enum ledger_rc rc = note_key_parse(ps->c, it->at[at], &keys[n], ps->err);
    if (rc)
        return fail_at(ps->err, ps->line, rc);
    for (unsigned i = 0; i < n; i++)
        if (same_key(&keys[i], &keys[n]))
            return FAIL(ps, LEDGER_EINVAL, "the public key of \"%s\" stands above already",
                        keys[n].name);
    return LEDGER_OK;
}

static enum ledger_rc parse_url(struct parser *ps, const struct items *it, size_t at, char url[256])
{
    if (it->n > at && !copy_item(it->at[at], url, 256))
        return FAIL(ps, LEDGER_ELIMIT, "a URL has at most 255 bytes");
    return LEDGER_OK;
}

static enum ledger_rc parse_log(struct parser *ps, const struct items *it)
{
    struct policy *p = ps->p;
    if (it->n < 2 || it->n > 3)
        return FAIL(ps, LEDGER_EINVAL, "a log line is: log <vkey> [<url>]");
    if (p->n_logs == POLICY_MAX)
        return FAIL(ps, LEDGER_ELIMIT, "at most %d logs", POLICY_MAX);
    enum ledger_rc rc = parse_key(ps, it, 1, p->logs, p->n_logs);
    if (!rc)
        rc = parse_url(ps, it, 2, p->log_urls[p->n_logs]);
    if (rc)
        return rc;
    if (p->logs[p->n_logs].type == NOTE_COSIGNATURE_V1)
        return FAIL(ps, LEDGER_EINVAL, "a witness's key cannot be a log's");
    p->n_logs++;
    return LEDGER_OK;
}

static enum ledger_rc parse_witness(struct parser *ps, const struct items *it)
{
    struct policy *p = ps->p;
    unsigned n = p->n_witnesses;
    if (it->n < 3 || it->n > 4)
        return FAIL(ps, LEDGER_EINVAL, "a witness line is: witness <name> <vkey> [<url>]");
    if (n == POLICY_MAX)
        return FAIL(ps, LEDGER_ELIMIT, "at most %d witnesses", POLICY_MAX);
    enum ledger_rc rc = define_name(ps, it->at[1], p->witness_names[n]);
    if (!rc)
        rc = parse_key(ps, it, 2, p->witnesses, n);
    if (!rc)
        rc = parse_url(ps, it, 3, p->witness_urls[n]);
    if (rc)
        return rc;
    if (p->witnesses[n].type != NOTE_COSIGNATURE_V1)
        return FAIL(ps, LEDGER_EINVAL, "a witness needs a cosignature key (type 0x04)");
    p->n_witnesses++;
    return LEDGER_OK;
}

static enum ledger_rc add_member(struct parser *ps, struct policy_group *g, struct span name)
{
    struct policy_member m;
    if (is_word(name, "none"))
        return FAIL(ps, LEDGER_EINVAL, "\"none\" cannot be a member");
    if (!find_name(ps->p, name, &m))
        return FAIL(ps, LEDGER_EINVAL, "no witness or group \"%.*s\" is defined above",
                    SPAN_FMT(name));
    bool *used = m.is_group ? &ps->group_used[m.index] : &ps->witness_used[m.index];
    if (*used)
        return FAIL(ps, LEDGER_EINVAL, "\"%.*s\" is a member of a group already", SPAN_FMT(name));
    *used = true;
    g->members[g->n++] = m;
    return LEDGER_OK;
}

/* "all", "any" or a decimal number without leading zeros; 0 for anything else or out of range. */
static unsigned threshold(struct span s, unsigned n)
{
    if (is_word(s, "all"))
        return n;
    if (is_word(s, "any"))
        return 1;
    unsigned k = 0;
    if (s.n == 0 || s.n > 2 || s.p[0] == '0')
        return 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return 0;
        k = k * 10 + (unsigned)(s.p[i] - '0');
    }
    return k <= n ? k : 0;
}

static enum ledger_rc parse_group(struct parser *ps, const struct items *it)
{
    struct policy *p = ps->p;
    if (it->n < 4)
        return FAIL(ps, LEDGER_EINVAL, "a group line is: group <name> all|any|<k> <member>...");
    if (p->n_groups == POLICY_MAX || it->n - 3 > POLICY_MAX)
        return FAIL(ps, LEDGER_ELIMIT, "at most %d groups and %d members", POLICY_MAX, POLICY_MAX);
    struct policy_group *g = &p->groups[p->n_groups];
    enum ledger_rc rc = define_name(ps, it->at[1], g->name);
    for (size_t i = 3; !rc && i < it->n; i++)
        rc = add_member(ps, g, it->at[i]);
    if (rc)
        return rc;
    g->k = threshold(it->at[2], g->n);
    if (g->k == 0)
        return FAIL(ps, LEDGER_EINVAL, "the threshold is not all, any or a number from 1 to %u",
                    g->n);
    p->n_groups++;
    return LEDGER_OK;
}

static enum ledger_rc parse_quorum(struct parser *ps, const struct items *it)
{
    struct policy *p = ps->p;
    if (it->n != 2)
        return FAIL(ps, LEDGER_EINVAL, "a quorum line is: quorum <name>|none");
    if (ps->quorum_seen)
        return FAIL(ps, LEDGER_EINVAL, "the quorum is defined already");
    ps->quorum_seen = true;
    p->quorum_none = is_word(it->at[1], "none");
    if (!p->quorum_none && !find_name(p, it->at[1], &p->quorum))
        return FAIL(ps, LEDGER_EINVAL, "no witness or group \"%.*s\" is defined above",
                    SPAN_FMT(it->at[1]));
    return LEDGER_OK;
}

static enum ledger_rc parse_line(struct parser *ps, struct span line)
{
    for (size_t i = 0; i < line.n; i++)
        if ((line.p[i] < 0x20 && line.p[i] != '\t') || line.p[i] == 0x7f)
            return FAIL(ps, LEDGER_EINVAL, "the octet 0x%02x is not allowed", line.p[i]);
    struct items it;
    split_items(line, &it);
    if (it.n == 0 || it.at[0].p[0] == '#')
        return LEDGER_OK;
    if (is_word(it.at[0], "log"))
        return parse_log(ps, &it);
    if (is_word(it.at[0], "witness"))
        return parse_witness(ps, &it);
    if (is_word(it.at[0], "group"))
        return parse_group(ps, &it);
    if (is_word(it.at[0], "quorum"))
        return parse_quorum(ps, &it);
    return FAIL(ps, LEDGER_EINVAL, "a line begins with log, witness, group or quorum");
}

static int find_auditors(const struct policy *p)
{
    struct policy_member m;
    if (!find_name(p, SPAN_LIT("auditors"), &m))
        return -1;
    return m.is_group ? (int)m.index : -2 - (int)m.index;
}

enum ledger_rc policy_parse(struct crypto *c, struct span text, struct policy *out,
                            struct ledger_err *err)
{
    struct parser ps = {.c = c, .p = out, .err = err};
    memset(out, 0, sizeof *out);
    size_t at = 0;
    while (at < text.n) {
        const uint8_t *end = memchr(text.p + at, '\n', text.n - at);
        size_t n = end ? (size_t)(end - text.p) - at : text.n - at;
        ps.line++;
        enum ledger_rc rc = parse_line(&ps, span_of(text.p + at, n));
        if (rc)
            return rc;
        at += n + 1;
    }
    if (!ps.quorum_seen)
        return ledger_fail(err, LEDGER_EINVAL, "line %u: the policy ends without a quorum line",
                           ps.line);
    out->auditors = find_auditors(out);
    return LEDGER_OK;
}

/* Has a witness or group signed, and what is the newest time at which it, or so many of its members
 * as it needs, had done so? */
struct signing {
    bool done;
    uint64_t time_s;
};

struct tally {
    struct signing witnesses[POLICY_MAX];
    struct signing groups[POLICY_MAX];
};

static struct signing member_signing(const struct tally *t, struct policy_member m)
{
    return m.is_group ? t->groups[m.index] : t->witnesses[m.index];
}

/* A group of threshold k stands since the k-th newest of its members' times. */
static struct signing group_signing(const struct tally *t, const struct policy_group *g)
{
    uint64_t times[POLICY_MAX]; /* newest first */
    unsigned n = 0;
    for (unsigned i = 0; i < g->n; i++) {
        struct signing s = member_signing(t, g->members[i]);
        if (!s.done)
            continue;
        unsigned at = n++;
        for (; at > 0 && times[at - 1] < s.time_s; at--)
            times[at] = times[at - 1];
        times[at] = s.time_s;
    }
    if (n < g->k)
        return (struct signing){false, 0};
    return (struct signing){true, times[g->k - 1]};
}

static void tally_up(const struct policy *p, uint64_t matched, const uint64_t *times,
                     struct tally *t)
{
    for (unsigned i = 0; i < p->n_witnesses; i++)
        t->witnesses[i] = (struct signing){matched >> i & 1, times[i]};
    /* Members of a group stand above it, so they are decided before it. */
    for (unsigned i = 0; i < p->n_groups; i++)
        t->groups[i] = group_signing(t, &p->groups[i]);
}

static void judge(const struct policy *p, const struct tally *t, struct policy_verdict *out)
{
    if (p->quorum_none) {
        out->quorum_met = true;
    } else {
        struct signing quorum = member_signing(t, p->quorum);
        out->quorum_met = quorum.done;
        out->cosigned_at = quorum.time_s;
    }
    if (p->auditors >= 0)
        out->auditors_signed = t->groups[p->auditors].done;
    else if (p->auditors <= -2)
        out->auditors_signed = t->witnesses[-2 - p->auditors].done;
}

/* Which of the logs that have signed is the one that signs checkpoints of this size? */
static void take_logs(const struct policy *p, uint64_t signed_by, const struct checkpoint *cp, struct policy_verdict *out)
{
    for (unsigned i = p->n_logs; i-- > 0;) {
        if (!(signed_by >> i & 1) || !is_word(cp->origin, p->logs[i].name))
            continue;
        bool in_force = cp->size >= p->log_from[i] && (p->log_until[i] == 0 || cp->size < p->log_until[i]);
        if (in_force || !out->log_signed)
            out->log = i;
        out->log_signed |= in_force;
        out->wrong_key |= !in_force;
    }
    out->wrong_key &= !out->log_signed;
}

bool policy_check(struct crypto *c, struct arena *a, const struct policy *p, struct span bytes,
                  struct checkpoint *cp, struct policy_verdict *out, struct ledger_err *err)
{
    *out = (struct policy_verdict){.log = 0};
    struct note note;
    if (note_parse(a, bytes, &note, err) || checkpoint_parse(note.text, cp, err))
        return false;
    uint64_t logs, witnesses, times[POLICY_MAX];
    if (!note_verify(c, a, &note, p->logs, p->n_logs, &logs, NULL)) {
        (void)ledger_fail(err, LEDGER_ETAMPER, "a log's signature does not verify");
        return false;
    }
    take_logs(p, logs, cp, out);
    if (!note_verify(c, a, &note, p->witnesses, p->n_witnesses, &witnesses, times)) {
        (void)ledger_fail(err, LEDGER_ETAMPER, "a witness's signature does not verify");
        return false;
    }
    out->witnesses = (uint32_t)witnesses;
    for (unsigned i = 0; i < p->n_witnesses; i++)
        if ((witnesses >> i & 1) && times[i] > out->seen_at)
            out->seen_at = times[i];
    struct tally t;
    tally_up(p, witnesses, times, &t);
    judge(p, &t, out);
    return true;
}
