/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl: what the commands of ledgerctl share: options, the profile and its client, exit codes, tables, colour, progress. One file
 * for each command; the table of commands is in commands.c.
 *
 * Results go to standard output and nothing else does; sentences about errors, notices and progress go to standard error.
 */
#ifndef LEDGERD_CTL_H
#define LEDGERD_CTL_H

#include <stdio.h>

#include "client.h"
#include "json.h"

enum ctl_exit {
    EXIT_GOOD = 0,
    EXIT_NEGATIVE = 1, /* refused, not fit, does not verify, differs */
    EXIT_USAGE = 2,    /* usage, or unreadable input */
    EXIT_NO_ANSWER = 3,/* no answer, stale, or needs a newer version */
    EXIT_TAMPERED = 4, /* evidence of tampering, which is kept in a file */
};

struct ctl {
    const char *profile_path;  /* --profile, or the environment's LEDGERD_PROFILE; may be NULL */
    const char *server;        /* --server HOST:PORT; NULL: the profile's */
    const char *timeout;       /* --timeout SECONDS; NULL: the client's default */
    unsigned timeout_ms;       /* the same after ctl_options; 0: the client's default */
    bool json, quiet, color;
    bool witnessed;            /* what is recorded is done when the policy's witnesses have cosigned, too (--level witnessed) */
    bool unsent;               /* the command records, and has sent nothing yet: its errors say that nothing was recorded */
    const char *command;       /* its name, for messages */
    struct arena *a;           /* of this invocation */
    struct crypto *c;
    struct ledger_profile *profile; /* after ctl_profile */
    struct ledger_client *client;   /* after ctl_connect */
};

struct command {
    const char *name;
    const char *arguments;  /* "ITEM [--at SIZE]" */
    const char *summary;    /* one line */
    const char *help;       /* paragraphs; lines end in \n */
    int (*run)(struct ctl *ctl, int argc, char **argv); /* argv[0] is the command's name; returns enum ctl_exit */
};

/* ---- options.c ---- */
enum ctl_opt_kind { OPT_FLAG, OPT_TEXT, OPT_LIST };
#define OPT_LIST_MAX 16
struct ctl_list { unsigned n; const char *v[OPT_LIST_MAX]; };
struct ctl_opt {
    const char *name;         /* without the dashes; the common options (--json, --profile, …) need not be listed */
    enum ctl_opt_kind kind;
    union {
        bool *flag;
        const char **text;
        struct ctl_list *list; /* may be given several times */
    } to;
    char letter;              /* short form, or 0 */
};
/* Reads options, wherever they stand, and leaves the positional arguments in *args (n in *n_args, between min and max). False, after a
 * sentence on standard error, at anything wrong; *done is set after --help was printed: the command then returns EXIT_GOOD. */
bool ctl_options(struct ctl *ctl, int argc, char **argv, const struct ctl_opt *opts, size_t n_opts, unsigned min, unsigned max,
                 char ***args, unsigned *n_args, bool *done);

/* ---- session.c ---- */
/* Opens the profile / connects. EXIT_GOOD, or the exit code after a message. */
int ctl_profile(struct ctl *ctl);
int ctl_connect(struct ctl *ctl);
/* client_call with the common timeout. EXIT_GOOD with *out (reply_free), or the exit code after the message (and *out freed). A submission
 * that is recorded and only not witnessed in time is EXIT_NO_ANSWER with *out. */
int ctl_call(struct ctl *ctl, const struct call_request *rq, struct reply **out);
int ctl_exit_of(enum ledger_rc rc);
/* "ledgerctl COMMAND: message" on standard error (with --json also {"error": …} on standard output); returns exit. */
int ctl_fail(struct ctl *ctl, int exit, const char *fmt, ...) LEDGER_PRINTF(3, 4);
/* The same for an error of the library, with what is certain about the record where that matters (recorded 0: not asked). */
int ctl_fail_err(struct ctl *ctl, const struct ledger_err *err, enum ledger_recorded recorded);
/* Tampering that the command itself found in verified answers: keeps evidence and returns EXIT_TAMPERED. `answer` may be SPAN_NONE. */
int ctl_tampered(struct ctl *ctl, const struct reply *r, struct span answer, const char *what);
/* Keeps evidence about one entry: its receipt, or (where none can be had) the record as it came. err says what and where. */
void ctl_keep_entry(struct ctl *ctl, uint64_t index, const char *what, struct span note, struct span record, struct ledger_err *err);
void ctl_note(struct ctl *ctl, const char *fmt, ...) LEDGER_PRINTF(2, 3); /* a notice; not with --quiet */
/* "proven at checkpoint 1234 of ORIGIN (3 s old; complete on the operator's word)": what an answer stands on. */
void ctl_basis(struct ctl *ctl, const struct reply *r);
void ctl_basis_json(struct json_writer *w, const struct reply *r); /* member "checkpoint" of an open object */
/* "witnessed 3 s ago by w1, w2", or "never witnessed". */
const char *ctl_witnessed(struct ctl *ctl, const struct reply *r);
const char *ctl_names(struct ctl *ctl, const struct witnessed_note *w); /* "w1, w2" */
/* Reads a file of at most max bytes; "-" is standard input. */
int ctl_read_file(struct ctl *ctl, const char *path, size_t max, struct span *out);
/* Writes a new file (refuses to overwrite unless force). */
int ctl_write_file(struct ctl *ctl, const char *path, struct span bytes, bool force);
/* Of a document that may become very long: prints what there is of it, if that is enough to be worth it. */
void ctl_print_json_part(struct json_writer *w);
/* Prints a finished JSON document, or what is left of it. */
int ctl_print_json(struct ctl *ctl, struct json_writer *w);

/* ---- output.c ---- */
enum ctl_color { COLOR_GOOD, COLOR_BAD, COLOR_WARN, COLOR_DIM, COLOR_BOLD };
/* Wraps text for a terminal, or gives it back as it is. In the arena. */
const char *ctl_paint(struct ctl *ctl, enum ctl_color color, const char *text);
/* printf into the arena; never NULL (ends the program with a message when memory is out). */
const char *ctl_text(struct ctl *ctl, const char *fmt, ...) LEDGER_PRINTF(2, 3);
const char *ctl_span(struct ctl *ctl, struct span s);  /* printable form: control characters as ?, absent as "" */
static inline const char *ctl_word(struct ctl *ctl, const char *text) /* the same of what a server said */
{
    return ctl_span(ctl, span_str(text));
}
const char *ctl_time(struct ctl *ctl, int64_t us);     /* UTC, "" for 0 */
const char *ctl_dec(struct ctl *ctl, dec_t v);

/* A table: rows are collected, then printed with aligned columns (width of UTF-8 text, colour codes not counted). */
struct ctl_table;
struct ctl_table *ctl_table_new(struct ctl *ctl, unsigned columns, const char *const *headings); /* headings may be NULL */
void ctl_table_row(struct ctl_table *t, const char *const *cells); /* borrows; keep them in the arena */
void ctl_table_print(struct ctl_table *t);

/* Progress of long work: on a terminal a line that is rewritten at most five times a second, else nothing. */
/* `first`, if the caller sets it: what was done before, which says nothing of the speed. */
struct ctl_progress { struct ctl *ctl; const char *what; int64_t began_ms, shown_ms; uint64_t first; bool on; };
void ctl_progress_begin(struct ctl_progress *p, struct ctl *ctl, const char *what);
void ctl_progress(struct ctl_progress *p, uint64_t done, uint64_t total);
void ctl_progress_end(struct ctl_progress *p);
int64_t ctl_now_us(void);

/* ---- the commands ---- */
int cmd_record(struct ctl *ctl, int argc, char **argv);
int cmd_play(struct ctl *ctl, int argc, char **argv);
int cmd_simulate(struct ctl *ctl, int argc, char **argv);
int cmd_show(struct ctl *ctl, int argc, char **argv);
int cmd_history(struct ctl *ctl, int argc, char **argv);
int cmd_list(struct ctl *ctl, int argc, char **argv);
int cmd_find(struct ctl *ctl, int argc, char **argv);
int cmd_trace(struct ctl *ctl, int argc, char **argv);
int cmd_check(struct ctl *ctl, int argc, char **argv);
int cmd_erase(struct ctl *ctl, int argc, char **argv);
int cmd_parameters(struct ctl *ctl, int argc, char **argv);
int cmd_receipt(struct ctl *ctl, int argc, char **argv);
int cmd_dossier(struct ctl *ctl, int argc, char **argv);
int cmd_verify(struct ctl *ctl, int argc, char **argv);
int cmd_audit(struct ctl *ctl, int argc, char **argv);
int cmd_export_tiles(struct ctl *ctl, int argc, char **argv);
int cmd_export_entries(struct ctl *ctl, int argc, char **argv);
int cmd_watch(struct ctl *ctl, int argc, char **argv);
int cmd_checkpoint(struct ctl *ctl, int argc, char **argv);
int cmd_key(struct ctl *ctl, int argc, char **argv);
int cmd_party(struct ctl *ctl, int argc, char **argv);
int cmd_subject(struct ctl *ctl, int argc, char **argv);
int cmd_time_stamps(struct ctl *ctl, int argc, char **argv);
int cmd_status(struct ctl *ctl, int argc, char **argv);
int cmd_witness(struct ctl *ctl, int argc, char **argv);

extern const struct command ctl_commands[];
extern const unsigned ctl_n_commands;
const struct command *ctl_command(const char *name);
void ctl_help(const struct command *cmd); /* prints it to standard output */

#endif
