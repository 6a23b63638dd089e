/* SPDX-License-Identifier: Apache-2.0 */
/* history: the signatures of a proven history (history_signers.c), for show.c. */
#ifndef LEDGERD_CTL_HISTORY_H
#define LEDGERD_CTL_HISTORY_H

#include "ask.h"

struct history_signatures {
    uint64_t verified;
    bool withheld; /* registrations of some signers are withheld from this certificate: what they signed was not verified */
};
/* Asks for the signers' chains and verifies every signature whose event is here. EXIT_GOOD, or the exit code after the message: one that
 * does not verify is evidence. */
int history_check_signatures(struct ctl *ctl, const struct reply *r, const struct proven_subject *of, struct history_signatures *out);

#endif
