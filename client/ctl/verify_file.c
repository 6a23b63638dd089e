/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: receipts and evidence, offline. What is needed is the file and a policy; no server is asked. Says what
 * was proven and, as plainly, what a receipt cannot prove. A file that is damaged does not verify;
 * only one that cannot be read at all, or needs a newer program, gets another exit code.
 */
#include "ask.h"
#include "dossier_report.h"
#include "entry.h"
#include "inquest.h"
#include "message.h"

#define RECEIPT_BYTES_MAX ((size_t)4 << 20)
#define EVIDENCE_BYTES_MAX ((size_t)128 << 20)
#define POLICY_BYTES_MAX ((size_t)1 << 20)

struct verify {
    struct ctl *ctl;
    struct policy *policy;
    const char *origin; /* the profile's ledger; NULL with --policy: any that it lists */
    bool negative, unreadable, newer, proven; /* what was seen so far; proven: that the ledger has broken its word */
    struct seen *first;
    struct dossier_question question; /* of dossiers */
    struct span tsa_ca;
    bool tsa_demanded;
};

/* Checkpoints of the receipts so far: two of one size must be the same. */
struct seen {
    struct seen *next;
    const char *path;
    struct checkpoint cp;
};

struct checked {
    const char *path;
    bool evidence;
    struct judged judged; /* evidence */
    struct receipt_claim claim;
    struct receipt receipt;
    struct verdict verdict;
    bool ok;
};

/* ---- what it proves ---- */

static const char *signature_text(struct ctl *ctl, const struct signature *s)
{
    return ctl_text(ctl, "%s, %s, at %s", ctl_span(ctl, s->party), ctl_span(ctl, s->meaning),
                    ctl_span(ctl, s->time));
}

static const char *witness_text(const struct verify *v, const struct snapshot *s)
{
    const struct policy *p = v->policy;
    const char *names = "";
    for (unsigned i = 0; i < p->n_witnesses; i++)
        if (s->trust.witnesses >> i & 1)
            names = ctl_text(v->ctl, "%s%s%s", names, *names ? ", " : "", p->witness_names[i]);
    if (!*names)
        return p->quorum_none ? "none has cosigned; the policy asks for none" : "the policy's quorum has cosigned";
    const char *word = p->quorum_none ? "the policy asks for none" : "the policy's quorum";
    return ctl_text(v->ctl, "cosigned by %s, last at %s: %s", names, ctl_time(v->ctl, (int64_t)s->trust.seen_at * 1000000), word);
}

static const char *log_key_text(struct ctl *ctl, const struct policy *p, const struct snapshot *s)
{
    const struct note_key *k = &p->logs[s->trust.log];
    return ctl_text(ctl, "%s+%02x%02x%02x%02x", k->name, k->id[0], k->id[1], k->id[2], k->id[3]);
}

static const char *auditors_text(const struct snapshot *s)
{
    return s->trust.auditors_signed ? "cosigned, which they do only after replaying everything"
                                    : "none has cosigned: complete on the operator's word";
}

static void print_fields(struct ctl *ctl, const struct entry *e)
{
    struct json_writer w;
    const struct json *fields = NULL;
    json_writer_init(&w, ctl->a, false);
    event_fields_to_json(ctl->a, &w, &e->event);
    struct span text = json_written(&w);
    if (text.p && json_parse(ctl->a, text, &fields, NULL) == LEDGER_OK)
        ask_print_object(ctl, fields);
}

static void print_proven(const struct verify *v, const struct checked *f)
{
    struct ctl *ctl = v->ctl;
    const struct entry *e = &f->receipt.entry;
    const struct snapshot *s = &f->receipt.snapshot;
    const char *kind = entry_kind_name(e->header.kind);
    struct ctl_table *t = ctl_table_new(ctl, 2, NULL);
    const char *rows[][2] = {
        {"  entry", ctl_text(ctl, "#%llu of %s", (unsigned long long)e->header.index,
                             ctl_span(ctl, s->cp.origin))},
        {"  kind", kind ? kind : "?"},
        {"  recorded",
         ctl_text(ctl, "%s, by the ledger's clock", ctl_time(ctl, e->header.recorded_us))},
        {"  occurred", !e->own && e->content ? ctl_text(ctl, "%s, as the signers say",
                                                        ctl_span(ctl, e->event.occurred.raw))
                                             : ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i][1][0])
            ctl_table_row(t, rows[i]);
    for (size_t i = 0; e->content && !e->own && i < e->block.n; i++) {
        const char *row[2] = {i == 0 ? "  signed by" : "", signature_text(ctl, &e->block.sigs[i])};
        ctl_table_row(t, row);
    }
    const char *more[][2] = {
        {"  checkpoint", ctl_text(ctl, "%llu entries, sealed %s", (unsigned long long)s->cp.size,
                                  ctl_time(ctl, s->seal.recorded_us))},
        {"  log key", log_key_text(ctl, f->receipt.policy, s)},
        {"  witnesses", witness_text(v, s)},
        {"  auditors", auditors_text(s)},
    };
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        ctl_table_row(t, more[i]);
    if (e->erased_by) {
        const char *row[2] = {"  content", ctl_text(ctl, "erased under entry #%llu%s", (unsigned long long)e->erased_by,
                                                    f->claim.entry.opening.n ? "; the states that it left open its commitments" : "")};
        ctl_table_row(t, row);
    }
    ctl_table_print(t);
}

/* The sentences that a reader must not read more into a receipt than there is. */
static unsigned unproven(const struct checked *f, const char *out[6])
{
    const struct entry *e = &f->receipt.entry;
    unsigned n = 0;
    if (e->erased_by)
        out[n++] = "the content: the ledger says that it was erased, and by this receipt alone that is its word (ask "
                   "`ledgerctl receipt` for the receipt of the erasure)";
    else if (!e->own && !e->content)
        out[n++] = "the content: it is present in the ledger and withheld from this receipt, and "
                   "so are its signatures";
    if (!f->receipt.snapshot.trust.auditors_signed)
        out[n++] =
            "that the ledger kept its rules and left nothing out: that is the operator's word";
    out[n++] = "what came after the checkpoint: corrections, recalls, expiry (ask `ledgerctl "
               "check` or `history`)";
    if (e->content && !e->own) {
        out[n++] = "that no signer's key had been replaced or revoked between its registration and this entry";
        out[n++] = "that what the signers say is true";
    }
    return n;
}

static void print_good(const struct verify *v, const struct checked *f)
{
    struct ctl *ctl = v->ctl;
    const struct entry *e = &f->receipt.entry;
    const char *not_proven[6];
    printf("%s: %s\n", f->path, ctl_paint(ctl, COLOR_GOOD, "verified"));
    if (ctl->quiet)
        return;
    printf("Proven:\n");
    print_proven(v, f);
    if (e->content && !e->own) {
        printf("Content:\n");
        print_fields(ctl, e);
    }
    printf("Not proven by a receipt:\n");
    unsigned n = unproven(f, not_proven);
    for (unsigned i = 0; i < n; i++)
        printf("  - %s\n", not_proven[i]);
}

static enum ctl_color judged_color(const struct judged *j)
{
    return j->kind == JUDGED_PROVEN ? COLOR_BAD : j->kind == JUDGED_OPEN ? COLOR_WARN : COLOR_DIM;
}

static void print_judged(const struct verify *v, const struct checked *f)
{
    static const char *const headings[] = {
        [JUDGED_VOID] = "shows nothing", [JUDGED_CLAIM] = "A CLAIM of whoever kept it", [JUDGED_OPEN] = "SIGNED BY THE LEDGER, to be settled by its log",
        [JUDGED_PROVEN] = "PROVEN"};
    printf("%s: %s\n  found: %s\n  shown: %s\n", f->path, ctl_paint(v->ctl, judged_color(&f->judged), headings[f->judged.kind]), f->judged.what,
           f->judged.text);
}

static void print_bad(const struct verify *v, const struct checked *f)
{
    const struct verdict *b = &f->verdict;
    const char *entry = b->index == VERDICT_NO_INDEX
                            ? ""
                            : ctl_text(v->ctl, " of entry #%llu", (unsigned long long)b->index);
    printf(
        "%s: %s\n  %s: %s%s: %s\n", f->path,
        ctl_paint(v->ctl, COLOR_BAD, verdict_open(b->kind) ? "NOT VERIFIED" : "DOES NOT VERIFY"),
        verdict_kind_name(b->kind), b->what, entry, b->text);
    if (f->receipt.forged)
        printf("  The ledger has recorded this entry under a checkpoint that it signed: that it did is PROVEN by this file.\n");
}

static void write_json(const struct verify *v, struct json_writer *w, const struct checked *f)
{
    const char *not_proven[6];
    json_object(w);
    json_put_string(w, "file", span_str(f->path));
    if (f->evidence) {
        json_put_string(w, "evidence", span_str(judged_name(f->judged.kind)));
        json_put_string(w, "found", span_str(f->judged.what));
        json_put_string(w, "text", span_str(f->judged.text));
        json_end(w);
        return;
    }
    json_put_bool(w, "verified", f->ok);
    if (!f->ok) {
        json_put_bool(w, "convicts_the_ledger", f->receipt.forged);
        json_put_string(w, "verdict", span_str(verdict_kind_name(f->verdict.kind)));
        json_put_string(w, "what", span_str(f->verdict.what));
        if (f->verdict.index != VERDICT_NO_INDEX)
            json_put_uint(w, "index", f->verdict.index);
        json_put_string(w, "text", span_str(f->verdict.text));
        json_end(w);
        return;
    }
    const struct snapshot *s = &f->receipt.snapshot;
    json_put_string(w, "origin", s->cp.origin);
    json_name(w, SPAN_LIT("entry"));
    entry_json(w, v->ctl->a, &f->receipt.entry);
    json_put_uint(w, "signatures_checked", f->receipt.signatures_checked);
    json_name(w, SPAN_LIT("checkpoint"));
    json_object(w);
    json_put_uint(w, "size", s->cp.size);
    json_put_hex(w, "root", span_of(s->cp.root.b, HASH_LEN));
    json_put_time(w, "sealed", s->seal.recorded_us);
    json_put_string(w, "log", span_str(log_key_text(v->ctl, f->receipt.policy, s)));
    json_put_string(w, "witnesses", span_str(witness_text(v, s)));
    json_put_bool(w, "auditors", s->trust.auditors_signed);
    json_end(w);
    json_name(w, SPAN_LIT("not_proven"));
    json_array(w);
    unsigned n = unproven(f, not_proven);
    for (unsigned i = 0; i < n; i++)
        json_string(w, span_str(not_proven[i]));
    json_end(w);
    json_end(w);
}

/* ---- files ---- */

static void bad_file(struct checked *f, enum ledger_rc rc, const char *text)
{
    verdict_bad(&f->verdict, verdict_of_error(rc, VERDICT_DAMAGED), VERDICT_NO_INDEX, "file", "%s", text);
}

static void check_receipt(struct verify *v, struct arena *a, struct span bytes, struct checked *f)
{
    struct ledger_err err = {0};
    enum ledger_rc rc = receipt_file_decode(v->ctl->c, a, bytes, &f->claim, &err);
    if (rc) {
        bad_file(f, rc, err.msg);
        return;
    }
    struct verifier vf = {.c = v->ctl->c, .a = a, .policy = v->policy, .origin = v->origin};
    f->ok = verify_receipt(&vf, &f->claim, &f->receipt, &f->verdict);
}

/* False: the file could not be read at all. */
static bool check_file(struct verify *v, struct arena *a, struct checked *f)
{
    struct span bytes;
    struct ledger_err err = {0};
    enum ledger_rc rc = file_read(a, f->path, EVIDENCE_BYTES_MAX, &bytes, &err);
    f->evidence = rc == LEDGER_OK && is_evidence(bytes);
    if (f->evidence && !(rc = evidence_judge(v->ctl, v->policy, v->origin, bytes, &f->judged, &err)))
        return true;
    f->evidence = false;
    if (rc == LEDGER_OK && bytes.n > RECEIPT_BYTES_MAX)
        rc = ledger_fail(&err, LEDGER_ELIMIT, "it is larger than %zu bytes", RECEIPT_BYTES_MAX);
    if (rc == LEDGER_ELIMIT || rc == LEDGER_EINVAL) {
        bad_file(f, rc, ctl_text(v->ctl, "neither a receipt nor evidence: %s", err.msg));
        return true;
    }
    if (rc) {
        (void)ctl_fail(v->ctl, EXIT_USAGE, "%s", err.msg);
        return false;
    }
    check_receipt(v, a, bytes, f);
    return true;
}

/* Receipts of different people are compared with each other: a ledger that has shown them two histories has signed both. */
static void compare(struct verify *v, const struct checked *f, struct json_writer *w)
{
    const struct checkpoint *cp = &f->receipt.snapshot.cp;
    for (const struct seen *s = v->first; s; s = s->next) {
        if (s->cp.size != cp->size || !span_eq(s->cp.origin, cp->origin) || hash_eq(&s->cp.root, &cp->root))
            continue;
        const struct checked both = {.path = ctl_text(v->ctl, "%s, %s", s->path, f->path), .evidence = true,
                                     .judged = {JUDGED_PROVEN, "two receipts with checkpoints of one size",
                                                ctl_text(v->ctl, "the ledger has signed two different trees of %llu entries: it was forked",
                                                         (unsigned long long)cp->size)}};
        v->proven = true;
        if (v->ctl->json)
            write_json(v, w, &both);
        else
            print_judged(v, &both);
    }
    struct seen *s = arena_alloc(v->ctl->a, sizeof *s);
    if (!s)
        return;
    *s = (struct seen){v->first, f->path, *cp};
    v->first = s;
}

static void verify_dossier(struct verify *v, const char *path, struct json_writer *w)
{
    struct dossier_report r = {.ctl = v->ctl, .path = path, .policy = v->policy, .vf.origin = v->origin, .question = &v->question,
                               .tsa_ca = v->tsa_ca, .tsa_demanded = v->tsa_demanded};
    int exit = dossier_report_read(&r);
    v->unreadable |= exit == EXIT_USAGE;
    v->newer |= exit == EXIT_NO_ANSWER;
    v->negative |= exit == EXIT_NEGATIVE;
    v->proven |= exit == EXIT_TAMPERED;
    if (exit != EXIT_USAGE && v->ctl->json)
        dossier_report_json(&r, w);
    else if (exit != EXIT_USAGE)
        dossier_report_print(&r);
    dossier_report_end(&r);
}

static void verify_one(struct verify *v, const char *path, struct json_writer *w)
{
    struct checked f = {.path = path};
    if (dossier_file(path)) {
        verify_dossier(v, path, w);
        return;
    }
    if (v->question.asked) {
        (void)ctl_fail(v->ctl, EXIT_USAGE, "%s: it is no dossier; only a dossier says what an item may be used for (--for)", path);
        v->unreadable = true;
        return;
    }
    if (!check_file(v, v->ctl->a, &f)) {
        v->unreadable = true;
        return;
    }
    v->proven |= f.receipt.forged || (f.evidence && f.judged.kind == JUDGED_PROVEN);
    v->newer |= !f.evidence && !f.ok && verdict_open(f.verdict.kind);
    v->negative |= f.evidence || (!f.ok && !verdict_open(f.verdict.kind));
    if (v->ctl->json)
        write_json(v, w, &f);
    else if (f.evidence)
        print_judged(v, &f);
    else if (f.ok)
        print_good(v, &f);
    else
        print_bad(v, &f);
    if (f.ok)
        compare(v, &f, w);
}

static int read_policy(struct verify *v, const char *path)
{
    struct ctl *ctl = v->ctl;
    struct ledger_err err = {0};
    struct span text;
    if (!path) {
        int exit = ctl_profile(ctl);
        if (exit)
            return exit;
        v->policy = ctl->profile->policy;
        v->origin = ctl->profile->origin;
        return EXIT_GOOD;
    }
    v->policy = arena_alloc(ctl->a, sizeof *v->policy);
    if (!v->policy)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    int exit = ctl_read_file(ctl, path, POLICY_BYTES_MAX, &text);
    if (!exit && policy_parse(ctl->c, text, v->policy, &err))
        exit = ctl_fail(ctl, EXIT_USAGE, "%s: %s", path, err.msg);
    return exit;
}

int cmd_verify(struct ctl *ctl, int argc, char **argv)
{
    struct verify v = {.ctl = ctl};
    const char *policy = NULL, *tsa_ca = NULL;
    const struct ctl_opt opts[] = {{"policy", OPT_TEXT, {.text = &policy}, 0}, {"tsa-ca", OPT_TEXT, {.text = &tsa_ca}, 0},
                                   DOSSIER_QUESTION_OPTIONS(&v.question)};
    struct json_writer w;
    char **args;
    unsigned n;
    bool done;
    if (!ctl_options(ctl, argc, argv, opts, 2 + DOSSIER_QUESTION_OPTIONS_N, 1, UINT32_MAX, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = read_policy(&v, policy);
    if (!exit)
        exit = dossier_question_read(ctl, &v.question);
    v.tsa_demanded = tsa_ca != NULL;
    if (!exit)
        exit = ask_tsa_ca(ctl, tsa_ca, &v.tsa_ca);
    if (exit)
        return exit;
    json_writer_init(&w, ctl->a, true);
    if (ctl->json)
        json_array(&w);
    for (unsigned i = 0; i < n; i++)
        verify_one(&v, args[i], &w);
    if (ctl->json) {
        json_end(&w);
        exit = ctl_print_json(ctl, &w);
    }
    if (v.proven)
        return EXIT_TAMPERED;
    if (v.negative)
        return EXIT_NEGATIVE;
    if (v.unreadable)
        return EXIT_USAGE;
    return v.newer ? EXIT_NO_ANSWER : exit;
}
