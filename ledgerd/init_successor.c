/* SPDX-License-Identifier: Apache-2.0 */
/* init_successor: see init_successor.h. */
#include "init_successor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "files.h"
#include "keyfile.h"
#include "note.h"

bool successor_add_keys(struct successor_options *o, char *list)
{
    char *rest = NULL;
    for (char *one = strtok_r(list, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
        if (o->n_keys == SUCCESSOR_APPROVERS_MAX)
            return false;
        o->keys[o->n_keys++] = one;
    }
    return true;
}

struct approving { struct approver who; struct secret_key secret; };

static enum ledger_rc read_key(struct crypto *c, struct arena *a, const char *path, struct approving *out, struct ledger_err *err)
{
    char party[KEYFILE_PARTY_MAX + 1];
    enum ledger_rc rc = keyfile_read(c, path, party, &out->secret, err);
    if (rc != LEDGER_OK)
        return rc;
    out->who = (struct approver){.party = arena_copy(a, span_str(party)), .alg = (uint16_t)out->secret.alg,
                                 .key = span_of(out->secret.pub, out->secret.pub_len)};
    return out->who.party.p ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

static int by_party(const void *x, const void *y)
{
    return span_cmp(((const struct approving *)x)->who.party, ((const struct approving *)y)->who.party);
}

static enum ledger_rc sign(struct crypto *c, struct arena *a, const char *origin, struct successor *s, struct approving *by, size_t n,
                           struct ledger_err *err)
{
    qsort(by, n, sizeof *by, by_party);
    for (size_t i = 0; i < n; i++) {
        uint8_t *signature = arena_alloc(a, 64);
        by[i].who.key = span_of(by[i].secret.pub, by[i].secret.pub_len); /* it moved */
        struct span msg = successor_input(a, span_str(origin), s, &by[i].who);
        if (!signature || !msg.p || !crypto_make_signature(c, &by[i].secret, msg, signature))
            return ledger_fail(err, LEDGER_EINTERNAL, "the approval cannot be signed");
        by[i].who.signature = span_of(signature, 64);
        s->approvers[i] = by[i].who;
    }
    s->n = (uint16_t)n;
    return LEDGER_OK;
}

static enum ledger_rc former(struct arena *a, const char *path, struct successor *s, struct ledger_err *err)
{
    struct note note;
    struct checkpoint cp;
    enum ledger_rc rc = files_read(a, path, NOTE_SIZE_MAX, &s->note, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = note_parse(a, s->note, &note, err);
    if (rc == LEDGER_OK)
        rc = checkpoint_parse(note.text, &cp, err);
    s->origin = rc == LEDGER_OK ? cp.origin : SPAN_NONE;
    return rc == LEDGER_OK ? rc : ledger_wrap(err, rc, "%.120s", path);
}

enum ledger_rc successor_payload(const struct successor_options *o, struct crypto *c, struct arena *a, const char *origin, struct span *out,
                                 struct ledger_err *err)
{
    struct approving by[SUCCESSOR_APPROVERS_MAX];
    struct successor s = {.reason = span_str(o->reason)}, checked;
    if (!o->reason || o->n_keys < SUCCESSOR_APPROVERS_MIN)
        return ledger_fail(err, LEDGER_EINVAL, "--successor-of wants --reason TEXT, and --approved-by with the keys of %d persons at least",
                           SUCCESSOR_APPROVERS_MIN);
    if (RAND_bytes(s.nonce, sizeof s.nonce) != 1)
        return ledger_fail(err, LEDGER_EINTERNAL, "the random source failed");
    enum ledger_rc rc = former(a, o->note, &s, err);
    size_t n = 0;
    while (rc == LEDGER_OK && n < o->n_keys && (rc = read_key(c, a, o->keys[n], &by[n], err)) == LEDGER_OK)
        n++;
    if (rc == LEDGER_OK)
        rc = sign(c, a, origin, &s, by, n, err);
    if (rc == LEDGER_OK) {
        *out = successor_encode(a, &s);
        rc = out->p ? successor_check(c, a, span_str(origin), *out, &checked, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++)
        crypto_secret_wipe(&by[i].secret);
    return rc;
}

void successor_print(struct arena *a, struct span payload)
{
    struct successor s;
    struct note note;
    struct checkpoint cp;
    if (successor_decode(payload, &s, NULL) != LEDGER_OK || note_parse(a, s.note, &note, NULL) != LEDGER_OK ||
        checkpoint_parse(note.text, &cp, NULL) != LEDGER_OK)
        return;
    printf("  successor of       %.*s, which ended with %llu entries (entry 1), approved by", SPAN_FMT(s.origin), (unsigned long long)cp.size);
    for (unsigned i = 0; i < s.n; i++)
        printf("%s %.*s", i ? "," : "", SPAN_FMT(s.approvers[i].party));
    printf("\n");
}
