/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erased: for entries whose content was destroyed: under which act, by whom, why. The act is fetched with its receipt, and is believed
 * only if it names the entry and its signatures verify; an entry that is said to be erased under an act that does not name it is
 * tampering.
 */
#ifndef LEDGERD_CTL_ERASED_H
#define LEDGERD_CTL_ERASED_H

#include "ctl.h"
#include "entry.h"

struct erased_act {
    struct erased_act *next;
    struct reply *reply; /* the act's receipt */
    struct erasure erasure;
    struct span reason;
};
/* What one command has fetched so far, for entries of the answer `basis`. */
struct erased_acts {
    struct ctl *ctl;
    const struct reply *basis;
    struct erased_act *first;
};
/* EXIT_GOOD with the act of an erased entry, borrowed; or the exit code after the message. */
int erased_act(struct erased_acts *e, const struct entry *entry, const struct erased_act **out);
/* "erased under entry #12 by admin (authorship), qa (verification): REASON" */
const char *erased_text(struct ctl *ctl, const struct erased_act *act);
/* The acts of all erased ones among n entries, as an array "erasures"; nothing if there are none. */
int erased_json(struct erased_acts *e, struct json_writer *w, const struct entry *entries, size_t n);
void erased_free(struct erased_acts *e);

#endif
