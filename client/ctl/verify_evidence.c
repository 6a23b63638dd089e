/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_evidence: evidence files, offline (inquest.h). The question is always what the file proves to somebody who trusts neither the
 * ledger nor whoever kept the file: so everything that counts must stand under a signature of the log's key, and whether witnesses have
 * cosigned does not matter.
 */
#include "inquest.h"

#include <string.h>

#include "evidence.h"
#include "message.h"

struct inquest {
    struct ctl *ctl;
    const struct policy *policy; /* asks for no quorum */
    const char *origin;
    struct evidence e;
    struct judged *out;
};

const char *judged_name(enum judged_kind k)
{
    switch (k) {
    case JUDGED_PROVEN: return "proven";
    case JUDGED_OPEN: return "open";
    case JUDGED_CLAIM: return "claim";
    case JUDGED_VOID: break;
    }
    return "void";
}

static void judged(struct inquest *q, enum judged_kind kind, const char *text)
{
    q->out->kind = kind;
    q->out->text = text;
}

static struct verifier make_verifier(const struct inquest *q)
{
    return (struct verifier){.c = q->ctl->c, .a = q->ctl->a, .policy = q->policy, .origin = q->origin};
}

/* ---- two checkpoints ---- */

static bool signed_checkpoint(struct inquest *q, struct span note, const char *which, struct checkpoint *cp)
{
    struct verifier vf = make_verifier(q);
    struct policy_verdict trust;
    struct verdict v = {0};
    if (verify_checkpoint(&vf, note, cp, &trust, &v))
        return true;
    judged(q, JUDGED_VOID, ctl_text(q->ctl, "the %s checkpoint is no statement of the ledger: %s", which, v.text));
    return false;
}

/* When the last entry under a checkpoint was recorded. False: its seal is not here, or not its. */
static bool sealed_at(struct inquest *q, struct span note, struct span seal, int64_t *us)
{
    struct verifier vf = make_verifier(q);
    struct snapshot_claim claim = {.note = note};
    struct snapshot s;
    struct verdict v = {0};
    if (!seal.p || !evidence_seal_split(seal, &claim.seal, &claim.seal_path) || !verify_snapshot(&vf, &claim, &s, &v))
        return false;
    *us = s.seal.recorded_us;
    return true;
}

/* Recorded times never run backwards in a log. So if the smaller of two trees ends later than the larger one, they are not of one log:
 * it was rolled back, and went on. */
static bool runs_backwards(struct inquest *q, bool grows)
{
    int64_t known, received;
    return sealed_at(q, q->e.known, q->e.known_seal, &known) && sealed_at(q, q->e.received, q->e.received_seal, &received) &&
           (grows ? known > received : received > known);
}

/* The root of the first entries of the larger tree, as many as the smaller has. False: the file does not prove it. */
static bool beginning_of(struct inquest *q, const struct checkpoint *small, const struct checkpoint *large, struct hash *root)
{
    struct span last = q->e.last, path = last.n > HASH_LEN ? span_of(last.p + HASH_LEN, last.n - HASH_LEN) : SPAN_NONE;
    struct verifier vf = make_verifier(q);
    struct entry e = {.header = {.index = small->size - 1}};
    struct frontier first;
    struct verdict v = {0};
    if (!path.p || small->size == 0)
        return false;
    memcpy(e.leaf.b, last.p, HASH_LEN);
    if (!verify_inclusion(&vf, &e, large, path, &v) || !frontier_from_path(q->ctl->c, small->size - 1, large->size, &e.leaf, path, &first))
        return false;
    frontier_root(q->ctl->c, &first, root);
    return true;
}

static void judge_sizes(struct inquest *q, const struct checkpoint *known, const struct checkpoint *received)
{
    struct ctl *ctl = q->ctl;
    struct verifier vf = make_verifier(q);
    struct verdict v = {0};
    struct hash root;
    bool grows = known->size < received->size;
    const struct checkpoint *small = grows ? known : received, *large = grows ? received : known;
    if (q->e.proof.p && verify_consistency(&vf, small->size, &small->root, large->size, &large->root, q->e.proof, &v)) {
        judged(q, JUDGED_VOID, "the consistency proof in the file holds: the larger tree begins with the smaller one");
        return;
    }
    if (beginning_of(q, small, large, &root)) {
        bool same = hash_eq(&root, &small->root);
        judged(q, same ? JUDGED_VOID : JUDGED_PROVEN,
               same ? "the inclusion path in the file shows that the larger tree begins with the smaller one"
                    : ctl_text(ctl,
                               "the ledger has signed both, and the first %llu of the %llu entries of the larger tree are not those of the smaller "
                               "one, as the larger tree's own inclusion path shows: history was rewritten",
                               (unsigned long long)small->size, (unsigned long long)large->size));
        return;
    }
    if (runs_backwards(q, grows)) {
        judged(q, JUDGED_PROVEN,
               ctl_text(ctl,
                        "the ledger has signed both, and the last of the %llu entries of the smaller tree was recorded later than the last of the "
                        "%llu of the larger one: no log holds both, it was rolled back and went on",
                        (unsigned long long)small->size, (unsigned long long)large->size));
        return;
    }
    judged(q, JUDGED_OPEN,
           ctl_text(ctl,
                    "the ledger has signed both, of %llu and of %llu entries. Whether the larger tree begins with the smaller one is for the log to "
                    "show: `ledgerctl checkpoint --against FILE` asks any server for the proof; one that cannot give it is convicted. That the "
                    "%s was given as the newest is a claim of whoever kept the file",
                    (unsigned long long)known->size, (unsigned long long)received->size, grows ? "larger one" : "smaller one"));
}

static void judge_checkpoints(struct inquest *q)
{
    struct checkpoint known, received;
    if (!signed_checkpoint(q, q->e.known, "first", &known) || !signed_checkpoint(q, q->e.received, "second", &received))
        return;
    if (known.size != received.size)
        judge_sizes(q, &known, &received);
    else if (hash_eq(&known.root, &received.root))
        judged(q, JUDGED_VOID, "both checkpoints say the same");
    else
        judged(q, JUDGED_PROVEN,
               ctl_text(q->ctl, "the ledger has signed two different trees of %llu entries: it was forked", (unsigned long long)known.size));
}

/* ---- a receipt, an answer ---- */

static void judge_receipt(struct inquest *q, struct receipt_claim *claim, bool whole)
{
    struct verifier vf = make_verifier(q);
    struct receipt r;
    struct verdict v = {0};
    claim->origin = span_str(q->origin);
    bool ok = verify_receipt(&vf, claim, &r, &v);
    unsigned long long index = (unsigned long long)r.entry.header.index;
    if (!ok && r.recorded && r.forged)
        judged(q, JUDGED_PROVEN, ctl_text(q->ctl, "the ledger has recorded entry #%llu, under a checkpoint that it signed; %s: %s", index, v.what, v.text));
    else if (ok && whole)
        judged(q, JUDGED_OPEN,
               ctl_text(q->ctl,
                        "the ledger has recorded entry #%llu, under a checkpoint that it signed. What is wrong with it follows from the entries "
                        "before it: whoever replays the log up to it, with `ledgerctl audit` or another program, finds the same or refutes it",
                        index));
    else
        judged(q, JUDGED_CLAIM, ok ? "the receipt in it is in order; that it answered another question is a claim of whoever kept the file"
                                   : "the receipt in it does not verify, and nobody has signed that the server gave it: a claim of whoever kept the file");
}

static void judge_answer(struct inquest *q)
{
    struct message m;
    struct receipt_claim claim;
    if (q->e.receipt.p && receipt_file_decode(q->ctl->c, q->ctl->a, q->e.receipt, &claim, NULL) == LEDGER_OK)
        judge_receipt(q, &claim, true);
    else if (q->e.answer.n && rpc_decode(q->ctl->a, q->e.answer, &m, NULL) == LEDGER_OK && m.kind == MESSAGE_RECEIPT)
        judge_receipt(q, &m.u.receipt, false);
    else
        judged(q, JUDGED_CLAIM, "nobody has signed the answer in it: that the server gave it is a claim of whoever kept the file");
}

bool is_evidence(struct span file)
{
    size_t n = strlen(EVIDENCE_HEAD);
    return file.n >= n && memcmp(file.p, EVIDENCE_HEAD, n) == 0;
}

enum ledger_rc evidence_judge(struct ctl *ctl, const struct policy *policy, const char *origin, struct span file, struct judged *out,
                              struct ledger_err *err)
{
    struct inquest q = {.ctl = ctl, .out = out};
    struct policy *log_only = arena_alloc(ctl->a, sizeof *log_only);
    memset(out, 0, sizeof *out);
    if (!log_only)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    *log_only = *policy;
    log_only->quorum_none = true;
    q.policy = log_only;
    enum ledger_rc rc = evidence_parse(ctl->a, file, &q.origin, &q.e, err);
    if (rc)
        return rc;
    out->what = q.e.what;
    if (origin && strcmp(origin, q.origin) != 0)
        judged(&q, JUDGED_VOID, ctl_text(ctl, "it is about %s, not about %s", q.origin, origin));
    else if (q.e.received.p)
        judge_checkpoints(&q);
    else
        judge_answer(&q);
    return LEDGER_OK;
}
