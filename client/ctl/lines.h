/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines: a file of events, one JSON object a line (line.h), read one line at a time, so that its
 * length does not matter. Lines of white space are skipped. "-" is standard input.
 *
 * Failure: a line that cannot be read as an event ends the reading; the message names file, line
 * and, for broken JSON, the column. What is wrong with a field's value is no failure: the rules
 * refuse it.
 */
#ifndef LEDGERD_CTL_LINES_H
#define LEDGERD_CTL_LINES_H

#include "ctl.h"
#include "line.h"

struct line_file {
    struct ctl *ctl;
    const char *path;
    FILE *f;
    char *text; /* of the present line; the line's parts are copies in the arena */
    size_t text_cap;
    uint64_t number;      /* of the present line, from 1 */
    uint64_t bytes, size; /* read so far, and in all; size 0 if that is not known */
};

/* All three return EXIT_GOOD, or the exit code after a message. */
int line_file_open(struct line_file *lf, struct ctl *ctl, const char *path);
/* *end: there was no further line. The line lives in the arena. */
int line_file_next(struct line_file *lf, struct arena *a, struct line *out, bool *end);
/* "FILE, line N: message"; EXIT_USAGE. */
int line_file_fail(struct line_file *lf, const char *fmt, ...) LEDGER_PRINTF(2, 3);
void line_file_close(struct line_file *lf);

/* Prints what became of a line: "ID<TAB>ACCEPT" or "ID<TAB>REFUSE:CODE", with --json an object on a
 * line of its own. `why` NULL: accepted. `index` and `event_id` are for --json alone and may be
 * NULL. */
void line_print(struct ctl *ctl, struct span id, const struct refusal *why, const uint64_t *index,
                const struct hash *event_id);
/* The same, for --json alone, of a line that has no verdict. */
void line_print_other(struct ctl *ctl, struct span id, const char *outcome, const char *text);

#endif
