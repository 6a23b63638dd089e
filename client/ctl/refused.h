/* SPDX-License-Identifier: Apache-2.0 */
/* refused: how a command that records one thing (an event, an act of the ledger) tells that the rules have refused it. */
#ifndef LEDGERD_CTL_REFUSED_H
#define LEDGERD_CTL_REFUSED_H

#include "ctl.h"
#include "refusal.h"

struct refused {
    const char *kind;         /* of what was refused */
    struct span reference;    /* of an event; of an act absent */
    const struct refusal *why;
    uint64_t index;           /* as which it is recorded already; 0: it is not */
};
/* Code, subject, field and sentence, and that nothing was recorded: on standard error, or with --json as a document. Returns EXIT_NEGATIVE, or
 * EXIT_NO_ANSWER if it could not be printed. */
int refused_print(struct ctl *ctl, const struct refused *r);

#endif
