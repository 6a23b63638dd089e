/* SPDX-License-Identifier: Apache-2.0 */
/*
 * submission: what travels between a log and a witness (c2sp.org/tlog-witness, add-checkpoint): the request's body, and what an answer
 * says. No I/O; any thread with an arena of its own.
 */
#ifndef LEDGERD_WITNESS_SUBMISSION_H
#define LEDGERD_WITNESS_SUBMISSION_H

#include "note.h"

#define SUBMISSION_PATH_MAX 63 /* lines of proof */

/* "old N", the consistency proof from N to the checkpoint's size (empty if N is 0 or that size), a blank line, the signed note. SPAN_NONE:
 * out of memory, or the proof is no whole number of hashes, or too long. */
struct span submission_body(struct arena *a, uint64_t old, struct span proof, struct span note);

/* The size in the body of an answer 409. False: there is none. */
bool submission_size(struct span body, uint64_t *size) LEDGER_MUST_USE;

/*
 * The line of `key` in the body of an answer 200, with its newline, if it is a cosignature of this checkpoint's text. Lines of other
 * keys are passed over. NULL on success; else what is wrong, static. *line borrows from the body; *time_s is the cosignature's time.
 */
const char *submission_cosignature(struct crypto *c, struct arena *a, const struct note_key *key, struct span text,
                                   struct span body, struct span *line, uint64_t *time_s) LEDGER_MUST_USE;

/* "URL/add-checkpoint" into out; false if it does not fit or the URL is none of http or https. */
bool submission_url(const char *url, char *out, size_t n) LEDGER_MUST_USE;

#endif
