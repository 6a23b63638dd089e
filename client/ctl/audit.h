/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit: what the files of `ledgerctl audit` share. audit.c: options, the run, what is printed. audit_read.c: reading on, also after
 * something did not hold. audit_tally.c: what each entry adds: counts and findings. audit_report.c: the report as JSON. audit_html.c: as a page.
 *
 * A report says nothing that follows from anything but the entries, the size and (without --at) the checkpoint's signatures: so two
 * auditors get the same bytes. Hence no times, paths, names or settings of the one who audits are in it.
 */
#ifndef LEDGERD_CTL_AUDIT_H
#define LEDGERD_CTL_AUDIT_H

#include "ctl.h"
#include "replayer.h"

enum severity { SEVERITY_CRITICAL = 0, SEVERITY_MAJOR, SEVERITY_MINOR, SEVERITY_INFO, SEVERITIES };
const char *severity_name(enum severity s);

/* critical: what is signed or derived does not hold. major: something could not be checked, or was recorded as against the rules, or
 * is open and forbids a use. minor: a person should look at it. info: what happened to the ledger and its parties. */
struct audit_finding {
    enum severity severity;
    uint64_t index;      /* entry; VERDICT_NO_INDEX: of none */
    struct span what, text;
};

/* All numbers; kept as a note of the replay, so that they always belong to its size. Order is their encoding's: append only. */
struct audit_counts {
    uint64_t entries, events, own, seals, signatures, links;      /* derived again */
    uint64_t withheld, erased, unverifiable;                      /* entries of which content is not there, or not understood */
    uint64_t not_derived, bad;                                    /* in the tree only; do not hold */
    uint64_t epochs, clock_steps, clock_steps_back;
    uint64_t registered, amended, rotated, revoked;
    uint64_t log_keys, time_stamps, parameters, erasures;
    uint64_t first_us, last_us;
    uint64_t findings, cases;                                     /* rows of notes */
    uint64_t by_kind[EVENT_KIND_LAST + 1];
};

struct audit_range { uint64_t from, to; const char *how; };

enum audit_result { AUDIT_HOLDS = 0, AUDIT_INCOMPLETE, AUDIT_TAMPERED };

struct audit {
    struct ctl *ctl;
    struct replayer *replayer;
    struct arena *a;             /* of the report */
    struct audit_counts n;
    bool hashes_only;
    uint64_t at;                 /* --at; 0: the newest checkpoint */
    uint64_t size;               /* what was to be checked */
    uint64_t read;               /* entries whose place in the tree was checked */
    uint64_t bad_content;        /* entry whose content did not match its header, as reading has found; VERDICT_NO_INDEX */
    struct header previous;      /* behind the end of the replay: of the entry before */
    struct hash seal_leaf;
    uint64_t seal, batch_first;
    struct ledger_err program;   /* an error inside a callback */
    struct reply *last;          /* the last good answer: names the checkpoint */
    struct span bad_record;      /* the first record that did not hold */
    struct verdict bad;          /* what was wrong with it */
    struct ledger_err evidence;
    struct ctl_progress progress;
    struct hash root;
    bool has_root;
    /* audit_finish */
    enum audit_result result;
    size_t n_findings, by_severity[SEVERITIES];
    uint64_t voids, nonconforming, exceptional; /* of what is not erased: counted from the findings */
    struct audit_finding *findings; /* ordered by severity, then as found */
    size_t n_ranges;
    struct audit_range ranges[4];
};

/* ---- audit_tally.c ---- */
void audit_step(void *audit, const struct replay_step *s);
enum ledger_rc audit_saving(void *audit, struct ledger_err *err);
/* Takes up what a state folder holds. */
enum ledger_rc audit_resume(struct audit *au, struct ledger_err *err) LEDGER_MUST_USE;
void audit_find(struct audit *au, enum severity severity, uint64_t index, const char *what, const char *fmt, ...) LEDGER_PRINTF(5, 6);
/* The cases that are open at the end, the findings in their order, the ranges, the result. */
enum ledger_rc audit_finish(struct audit *au, struct ledger_err *err) LEDGER_MUST_USE;

/* ---- audit_read.c ---- */
/* Reads up to au->at or the newest checkpoint and sets size, read, last. EXIT_GOOD, also if something does not hold; else no audit was made. */
int audit_read(struct audit *au);

/* ---- audit_report.c, audit_html.c ---- */
/* Sentences for JSON and page alike. */
const char *audit_result_text(const struct audit *au);
struct audit_sentences { size_t n; const char *text[16]; };
void audit_not_checked(struct audit *au, struct audit_sentences *out);
const char *audit_completeness(struct audit *au);
const char *audit_witnessed(struct audit *au, bool *known, uint64_t *unwitnessed);
extern const char audit_rewrite_text[];
struct audit_row { const char *name, *label; uint64_t n; };
#define AUDIT_ROWS 32
size_t audit_rows(const struct audit *au, struct audit_row out[AUDIT_ROWS]);
struct span audit_json(struct audit *au); /* SPAN_NONE: out of memory */
struct span audit_html(struct audit *au);

#endif
