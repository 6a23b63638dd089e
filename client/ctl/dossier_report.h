/* SPDX-License-Identifier: Apache-2.0 */
/* dossier_report: what `ledgerctl dossier`, `ledgerctl verify` and `--deep` share: the verified dossier, what is asked about its item, and how it is told. */
#ifndef LEDGERD_CTL_DOSSIER_REPORT_H
#define LEDGERD_CTL_DOSSIER_REPORT_H

#include "ask.h"
#include "dossier.h"
#include "dossier_build.h"
#include "verify_stamp.h"

#define DOSSIER_BYTES_MAX ((size_t)1 << 30)
#define DOSSIER_REPLAY_BYTES ((size_t)2 << 30)

/* What is asked about the first subject, if anything. */
struct dossier_question {
    const char *purpose, *coi, *commit, *org, *into, *at; /* options as given */
    struct standing_query q;
    bool asked;
};
#define DOSSIER_QUESTION_OPTIONS(x)                                                                                           \
    {"for", OPT_TEXT, {.text = &(x)->purpose}, 0}, {"coi", OPT_TEXT, {.text = &(x)->coi}, 0},                                  \
        {"subject-commit", OPT_TEXT, {.text = &(x)->commit}, 0}, {"org", OPT_TEXT, {.text = &(x)->org}, 0},                    \
        {"into", OPT_TEXT, {.text = &(x)->into}, 0}, {"at", OPT_TEXT, {.text = &(x)->at}, 0}
#define DOSSIER_QUESTION_OPTIONS_N 6
/* EXIT_GOOD, or EXIT_USAGE after a message. */
int dossier_question_read(struct ctl *ctl, struct dossier_question *x);

/* A time stamp of the dossier, in the order of its proof's. */
struct dossier_token {
    struct stamp_entry stamp;
    struct tsp_trust trust;
    bool trusted;
    const char *why; /* not trusted */
};
/* Between which tokens an entry was recorded; NULL: not bounded on that side. */
struct dossier_bounds {
    uint64_t index;
    const struct dossier_token *after, *before;
    int64_t not_before_us, not_after_us;
};

struct dossier_report {
    struct ctl *ctl;
    const char *path;
    const struct policy *policy;
    struct span tsa_ca;      /* certificates of time-stamping authorities, PEM; absent: tokens are not verified */
    bool tsa_demanded;       /* a token that does not verify under them is a negative answer */
    struct verifier vf;
    struct dossier d;
    struct dossier_proof proof;
    struct verdict verdict;
    bool ok;
    const struct dossier_question *question;
    struct findings *found;  /* the answer, if something was asked … */
    bool undecided;          /* … and whether it leads outside the dossier */
    struct dossier_token *tokens;
    size_t n_trusted;
    bool bounded;            /* the subjects have entries */
    struct dossier_bounds bounds[2]; /* of the first and the latest of them */
};
/* Is this the name of a file that begins like a dossier? */
bool dossier_file(const char *path);
/* Reads, verifies and asks. EXIT_GOOD, EXIT_NEGATIVE, EXIT_NO_ANSWER (newer; undecided), EXIT_TAMPERED; EXIT_USAGE after a message: it
 * cannot be read at all. To be ended with dossier_report_end in every case. */
int dossier_report_read(struct dossier_report *r);
void dossier_report_end(struct dossier_report *r);
void dossier_report_print(struct dossier_report *r);
void dossier_report_json(struct dossier_report *r, struct json_writer *w);

/* dossier_stamps.c. Of a verified dossier. EXIT_GOOD, EXIT_NEGATIVE, or EXIT_NO_ANSWER after a message. */
int dossier_stamps_read(struct dossier_report *r);
void dossier_stamps_print(const struct dossier_report *r);
void dossier_stamps_json(const struct dossier_report *r, struct json_writer *w);

/* dossier_make.c: a dossier in the making. The caller sets what is above the line. */
#define DOSSIER_SUBJECTS_MAX (1 + OPT_LIST_MAX)
struct dossier_making {
    struct ctl *ctl;
    struct dossier_plan plan; /* subjects, closure, what is withheld */
    const char *path;         /* where it is to be written if it convicts the ledger; NULL: nowhere, and without time stamps */
    bool force, fresh;        /* overwrite; the answer has to be fresh */
    /* ---- */
    struct reply *reply;
    struct span file;
    struct dossier_report report;
};
/* Fetches, makes and verifies it: EXIT_GOOD, or the exit code after a message. dossier_making_end in every case. */
int dossier_make(struct dossier_making *m);
void dossier_making_end(struct dossier_making *m);
/* What the replay in memory has found, for answers with --deep: a sentence; member "deep" of an open object. */
const char *dossier_deep_text(const struct dossier_report *r);
void dossier_deep_json(const struct dossier_report *r, struct json_writer *w);

/* dossier_tell.c: the sentences that a reader must not read more into a dossier than there is. At most DOSSIER_UNPROVEN_MAX. */
#define DOSSIER_UNPROVEN_MAX 12
unsigned dossier_unproven(const struct dossier_report *r, const char *out[DOSSIER_UNPROVEN_MAX]);

/* Who signed: one for each party that did, in the order of the chains. */
struct dossier_signer {
    const struct dossier_proven *party;
    uint64_t n;
    int64_t first_us, last_us;
    const char *meanings;
};
/* All signers of entries with content; *n of them. In the arena. */
struct dossier_signer *dossier_signers(const struct dossier_report *r, size_t *n);
/* "held by ORG", "administered to COI", "disposed", … */
const char *dossier_item_text(struct ctl *ctl, const struct item_state *s);
const char *dossier_basis_name(enum dossier_basis b);

#endif
