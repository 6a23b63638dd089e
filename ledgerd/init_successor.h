/* SPDX-License-Identifier: Apache-2.0 */
/* init_successor: entry 1 of a ledger that goes on for one that has ended (proto/entry.h, SUCCESSOR). */
#ifndef LEDGERD_INIT_SUCCESSOR_H
#define LEDGERD_INIT_SUCCESSOR_H

#include "entry.h"

struct successor_options {
    const char *note;    /* file with the former ledger's last checkpoint; NULL: no successor */
    const char *reason;
    const char *keys[SUCCESSOR_APPROVERS_MAX]; /* key files of those who approve it */
    size_t n_keys;
};
/* One or several key files with commas between them. False: too many. The list is split in place. */
bool successor_add_keys(struct successor_options *o, char *list);
/* EINVAL: what is missing or wrong, before anything is made. In the arena. */
enum ledger_rc successor_payload(const struct successor_options *o, struct crypto *c, struct arena *a, const char *origin, struct span *out,
                                 struct ledger_err *err) LEDGER_MUST_USE;
/* What init prints of it. */
void successor_print(struct arena *a, struct span payload);

#endif
