/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness: reading submissions, deciding on them, and making records (witness.h). The one special case of consistency, a tree that
 * grew out of nothing, is dealt with here; all others are merkle_verify_consistency's.
 */
#include "witness.h"

#include <stdlib.h>
#include <string.h>

/* Takes the next line off `rest`, without its newline. */
static bool next_line(struct span *rest, struct span *line)
{
    const uint8_t *at = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    if (!at)
        return false;
    size_t n = (size_t)(at - rest->p);
    *line = span_of(rest->p, n);
    *rest = span_of(at + 1, rest->n - n - 1);
    return true;
}

/* ---- submissions ---- */

static enum ledger_rc parse_old(struct span *rest, uint64_t *old, struct ledger_err *err)
{
    static const char head[] = "old ";
    const size_t n = sizeof head - 1;
    struct span line;
    if (!next_line(rest, &line) || line.n < n || memcmp(line.p, head, n) != 0 ||
        !note_size_parse(span_of(line.p + n, line.n - n), old))
        return ledger_fail(err, LEDGER_EINVAL, "the first line is not \"old \" and a tree size in decimal");
    return LEDGER_OK;
}

enum ledger_rc witness_submission_parse(struct arena *a, struct span body, struct witness_submission *out, struct ledger_err *err)
{
    struct span line;
    memset(out, 0, sizeof *out);
    if (body.n > WITNESS_BODY_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "a submission has at most %d bytes", WITNESS_BODY_MAX);
    enum ledger_rc rc = parse_old(&body, &out->old, err);
    if (rc)
        return rc;
    for (;;) {
        size_t n;
        if (!next_line(&body, &line))
            return ledger_fail(err, LEDGER_EINVAL, "there is no empty line before the checkpoint");
        if (line.n == 0)
            break;
        if (out->n == WITNESS_PROOF_MAX)
            return ledger_fail(err, LEDGER_ELIMIT, "a consistency proof has at most %d lines", WITNESS_PROOF_MAX);
        if (!b64_decode(line, out->proof[out->n].b, HASH_LEN, &n) || n != HASH_LEN)
            return ledger_fail(err, LEDGER_EINVAL, "line %zu of the consistency proof is not base64 of 32 bytes", out->n + 1);
        out->n++;
    }
    out->bytes = body;
    rc = note_parse(a, body, &out->note, err);
    if (!rc)
        rc = checkpoint_parse(out->note.text, &out->cp, err);
    return rc ? ledger_wrap(err, rc, "checkpoint") : LEDGER_OK;
}

/* ---- records ---- */

enum ledger_rc witness_record_parse(struct crypto *c, struct arena *a, const struct note_key *key, struct span origin, struct span bytes,
                                    struct witness_record *out, struct ledger_err *err)
{
    struct note note;
    struct checkpoint cp;
    uint64_t matched = 0, time_s = 0;
    memset(out, 0, sizeof *out);
    enum ledger_rc rc = note_parse(a, bytes, &note, err);
    if (!rc)
        rc = checkpoint_parse(note.text, &cp, err);
    if (rc)
        return rc;
    if (!span_eq(cp.origin, origin))
        return ledger_fail(err, LEDGER_EINVAL, "it is of another log");
    if (!note_verify(c, a, &note, key, 1, &matched, &time_s) || !matched)
        return ledger_fail(err, LEDGER_EINVAL, "it has no valid cosignature by this witness's key");
    *out = (struct witness_record){.present = true, .size = cp.size, .root = cp.root, .time_s = time_s, .note = bytes};
    return LEDGER_OK;
}

/* ---- deciding ---- */

static void refuse(struct witness_decision *d, enum witness_status status, const char *why)
{
    d->status = status;
    ledger_fail(&d->why, LEDGER_EREFUSED, "%s", why);
}

static void decide_growth(struct crypto *c, const struct witness_submission *s, const struct witness_record *record,
                          struct witness_decision *d)
{
    struct hash empty;
    merkle_empty(c, &empty);
    if (s->cp.size == 0 && !hash_eq(&s->cp.root, &empty)) {
        refuse(d, WITNESS_INCONSISTENT, "the root of an empty tree is the hash of nothing");
    } else if (s->old == s->cp.size && record->present && !hash_eq(&s->cp.root, &record->root)) {
        refuse(d, WITNESS_INCONSISTENT, "another tree of this size was cosigned: the log has forked");
        d->fork = true;
    } else if (s->old == 0 ? s->n != 0
                           : !merkle_verify_consistency(c, s->old, s->cp.size, &record->root, &s->cp.root, s->proof, s->n)) {
        refuse(d, WITNESS_INCONSISTENT, s->old == 0 ? "from size 0 the consistency proof is empty"
                                                    : "the consistency proof does not prove that the tree has only grown");
    }
}

void witness_decide(struct crypto *c, struct arena *a, const struct witness_submission *s, const struct note_key *keys, size_t n_keys,
                    const struct witness_record *record, struct witness_decision *out)
{
    LEDGER_REQUIRE(n_keys <= WITNESS_ORIGIN_KEYS_MAX);
    *out = (struct witness_decision){.status = WITNESS_COSIGN};
    if (!note_verify(c, a, &s->note, keys, n_keys, &out->signers, NULL)) {
        refuse(out, WITNESS_UNSIGNED, "a signature in the log's name does not verify");
        return;
    }
    if (!out->signers) {
        refuse(out, WITNESS_UNSIGNED, "no key of this log has signed the checkpoint");
        return;
    }
    if (s->bytes.n > NOTE_SIZE_MAX - WITNESS_LINE_MAX)
        refuse(out, WITNESS_MALFORMED, "the note is so long that there is no room for a cosignature");
    else if (s->old > s->cp.size)
        refuse(out, WITNESS_MALFORMED, "the old size is larger than the checkpoint's");
    else if (s->old != record->size)
        refuse(out, WITNESS_CONFLICT, "the old size is not that of the latest cosigned checkpoint");
    else
        decide_growth(c, s, record, out);
    /* Also where the dialogue would go on otherwise: what the log has signed, it has signed. */
    if (record->present && s->cp.size == record->size && !hash_eq(&s->cp.root, &record->root))
        out->fork = true;
}

/* ---- cosigning ---- */

/* One line of each key in `signers`; what strangers have added, and be it a line again, is not ours to pass on. */
static bool put_log_lines(const struct note *note, const struct note_key *keys, uint64_t signers,
                          struct wbuf *w)
{
    struct span line, rest = note->sigs_text;
    for (size_t i = 0; i < note->n; i++) {
        if (!next_line(&rest, &line))
            return false;
        for (size_t k = 0; k < WITNESS_ORIGIN_KEYS_MAX; k++) {
            if (!(signers >> k & 1) || memcmp(keys[k].id, note->sigs[i].id, sizeof keys[k].id) != 0 ||
                !span_eq(span_str(keys[k].name), note->sigs[i].name))
                continue;
            wbuf_bytes(w, line.p, line.n + 1);
            signers &= ~(UINT64_C(1) << k);
            break;
        }
    }
    return true;
}

bool witness_cosign(struct crypto *c, struct arena *a, const struct witness_submission *s, const struct note_key *keys,
                    const struct witness_decision *decision, const struct witness_record *former, const struct note_key *key,
                    const struct secret_key *secret, uint64_t time_s, struct witness_record *out, struct span *line)
{
    struct wbuf w;
    LEDGER_REQUIRE(decision->status == WITNESS_COSIGN);
    if (time_s < former->time_s)
        time_s = former->time_s;
    wbuf_init(&w, a);
    wbuf_bytes(&w, s->note.text.p, s->note.text.n);
    wbuf_u8(&w, '\n');
    if (!put_log_lines(&s->note, keys, decision->signers, &w))
        return false;
    size_t begin = w.n;
    note_cosign_line(c, key, secret, time_s, s->note.text, &w);
    struct span bytes = wbuf_span(&w);
    if (!bytes.p)
        return false;
    *line = span_of(bytes.p + begin, bytes.n - begin);
    *out = (struct witness_record){.present = true, .size = s->cp.size, .root = s->cp.root, .time_s = time_s, .note = bytes};
    return true;
}

/* ---- which logs ---- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Takes the next word off a line; empty at its end. */
static struct span next_word(struct span *line)
{
    while (line->n && is_blank(line->p[0]))
        *line = span_of(line->p + 1, line->n - 1);
    size_t n = 0;
    while (n < line->n && !is_blank(line->p[n]))
        n++;
    struct span word = span_of(line->p, n);
    *line = span_of(line->p + n, line->n - n);
    return word;
}

/* *key is set for a log line, and *found says so. */
static enum ledger_rc parse_policy_line(struct crypto *c, struct span line, struct note_key *key, bool *found, struct ledger_err *err)
{
    struct span word = next_word(&line), vkey = next_word(&line);
    *found = false;
    if (word.n == 0 || word.p[0] == '#')
        return LEDGER_OK;
    if (span_eq(word, SPAN_LIT("quorum")) && span_eq(vkey, SPAN_LIT("none")) && next_word(&line).n == 0)
        return LEDGER_OK;
    if (!span_eq(word, SPAN_LIT("log")))
        return ledger_fail(err, LEDGER_EINVAL, "a witness's policy has lines \"log <vkey> [<url>]\", and perhaps \"quorum none\"");
    (void)next_word(&line);
    if (vkey.n == 0 || next_word(&line).n != 0)
        return ledger_fail(err, LEDGER_EINVAL, "a log line is: log <vkey> [<url>]");
    *found = true;
    enum ledger_rc rc = note_key_parse(c, vkey, key, err);
    if (!rc && key->type == NOTE_COSIGNATURE_V1)
        return ledger_fail(err, LEDGER_EINVAL, "this is the key of a witness, not of a log");
    return rc;
}

static int by_name_and_key(const void *a, const void *b)
{
    const struct note_key *x = a, *y = b;
    int order = span_cmp(span_str(x->name), span_str(y->name));
    return order ? order : span_cmp(span_of(x->key, x->key_n), span_of(y->key, y->key_n));
}

/* Neighbours with one name are an origin. */
static enum ledger_rc group_keys(struct note_key *keys, size_t n, struct witness_logs *out, struct ledger_err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct witness_origin *last = out->n ? &out->origins[out->n - 1] : NULL;
        if (!last || !span_eq(last->name, span_str(keys[i].name))) {
            out->origins[out->n++] = (struct witness_origin){span_str(keys[i].name), 1, &keys[i]};
            continue;
        }
        if (by_name_and_key(&keys[i - 1], &keys[i]) == 0)
            return ledger_fail(err, LEDGER_EINVAL, "a key of \"%.80s\" stands there twice", keys[i].name);
        if (last->n_keys == WITNESS_ORIGIN_KEYS_MAX)
            return ledger_fail(err, LEDGER_ELIMIT, "\"%.80s\" has more than %d keys", keys[i].name, WITNESS_ORIGIN_KEYS_MAX);
        last->n_keys++;
    }
    return LEDGER_OK;
}

enum ledger_rc witness_logs_parse(struct crypto *c, struct arena *a, struct span text, struct witness_logs *out, struct ledger_err *err)
{
    size_t lines = 1, n = 0, number = 0;
    *out = (struct witness_logs){.n = 0};
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    struct note_key *keys = arena_alloc(a, lines * sizeof *keys);
    out->origins = arena_alloc(a, lines * sizeof *out->origins);
    if (!keys || !out->origins)
        return ledger_fail(err, LEDGER_ENOMEM, "no memory for %zu logs", lines);
    while (text.n) {
        struct span line;
        bool found;
        number++;
        if (!next_line(&text, &line)) {
            line = text;
            text = SPAN_NONE;
        }
        enum ledger_rc rc = parse_policy_line(c, line, &keys[n], &found, err);
        if (rc)
            return ledger_wrap(err, rc, "line %zu", number);
        n += found;
    }
    qsort(keys, n, sizeof *keys, by_name_and_key);
    return group_keys(keys, n, out, err);
}

const struct witness_origin *witness_logs_find(const struct witness_logs *logs, struct span origin)
{
    size_t low = 0, high = logs->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = span_cmp(logs->origins[middle].name, origin);
        if (order == 0)
            return &logs->origins[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
