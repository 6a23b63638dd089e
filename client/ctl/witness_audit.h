/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_audit: an auditing witness follows a ledger as a client of it, derives it again (replayer.h), and says of a checkpoint that is
 * submitted whether it is what it has derived itself.
 *
 * An *auditor* is a thread with a client and a replayer of its own; its state is in DIR/audit/HEX and survives restarts. What it finds:
 *   stopped  the ledger has lied: an entry that does not follow from those before, an answer or a checkpoint that contradicts what was
 *            verified. For good: DIR/stopped/HEX says why and where the evidence is, and is read at every start.
 *   unable   it cannot go on for now: no answer, content that is withheld from its certificate, a newer version, damage in its own folder. It tries
 *            again.
 * One auditor's trouble is nobody else's.
 *
 * The profile's policy is asked for its logs alone: who is to be a witness cannot wait for witnesses.
 */
#ifndef LEDGERD_CTL_WITNESS_AUDIT_H
#define LEDGERD_CTL_WITNESS_AUDIT_H

#include "witness_folder.h"

struct auditor;

/* Starts the auditor of a profile's ledger, which must be one of the policy's: then log->auditor is set. What is wrong with its state is no failure:
 * it says that it is unable, and the other logs are served. changed_cb is called, in the
 * auditor's thread, when there is something new to ask. EXIT_GOOD, or the exit code after a message. Signals must be blocked before. */
int auditor_start(struct witness *w, const char *profile, void (*changed_cb)(void *ctx), void *ctx);
/* Ends it and keeps its state. NULL is allowed. */
void auditor_stop(struct auditor *a);

enum audited {
    AUDITED_SAME,
    AUDITED_NOT_YET, /* the replay goes on: ask again when changed_cb was called */
    AUDITED_UNABLE,  /* it does not go on for now */
    AUDITED_REFUSED,
};
/* Is the submitted checkpoint, signed by `signers` of the log's keys, one that was derived? If not, `why` says why. */
enum audited auditor_ask(struct auditor *a, const struct witness_submission *s, uint64_t signers, char why[WITNESS_WHY_MAX]) LEDGER_MUST_USE;
/* One that is not cosigned for another reason: what the log has signed is compared all the same, and ends the cosigning if it is not what was
 * derived. */
void auditor_look(struct auditor *a, const struct witness_submission *s, uint64_t signers);
/* What does it prove that `signers` have signed another tree of this size? A key that the ledger has given up proves nothing: whoever stole it signs
 * what he likes. So only the newest one does, and only where the replay has been. */
enum key_word { KEY_PROVES, KEY_GIVEN_UP, KEY_UNKNOWN };
enum key_word auditor_key(struct auditor *a, uint64_t size, uint64_t signers) LEDGER_MUST_USE;
/* The log has signed two trees of one size: *why names the evidence. */
void auditor_forked(struct auditor *a, const char *why);
/* How far it has come, and what stands in its way ("" if nothing does). */
void auditor_state(struct auditor *a, uint64_t *replayed, bool *stopped, char why[WITNESS_WHY_MAX]);

#endif
