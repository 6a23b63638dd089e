/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recording: from fields to a receipt, for the commands that record a single event (record, party).
 *
 * An event that is refused, here for its form or by the ledger, is a result: code, subject, field
 * and sentence are printed, with "Nothing was recorded.", and the exit code is EXIT_NEGATIVE.
 */
#ifndef LEDGERD_CTL_RECORDING_H
#define LEDGERD_CTL_RECORDING_H

#include "ctl.h"
#include "line.h"
#include "signers.h"

/* All return EXIT_GOOD, or the exit code after a message. Everything lives in the command's arena.
 */

/* A new event of a kind. reference NULL: a random one; occurred NULL: now. */
int recording_begin(struct ctl *ctl, const char *kind, const char *reference, const char *occurred,
                    struct event *out);
/* Sets a field from text, as line_set_field reads it. */
int recording_set(struct ctl *ctl, struct event *ev, const char *field, const char *text);
/* A random nonce, if it has none yet. */
int recording_nonce(struct ctl *ctl, struct event *ev);
/* A text of 32 random hexadecimal digits, for references. */
int recording_reference(struct ctl *ctl, struct span *out);
/* Checks, signs, submits, prints the receipt. receipt_path NULL: no receipt file. */
int recording_finish(struct ctl *ctl, struct event *ev, const struct signing *signings, unsigned n,
                     const char *receipt_path, bool force);
/* Asks for the receipt of a recorded event and writes it as a file. */
int recording_receipt(struct ctl *ctl, const struct receipt_request *rq, const char *path,
                      bool force, struct reply **out);

#endif
