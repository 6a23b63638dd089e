/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain_check: is a stored row of the view still what the log says? LMDB has no checksums, and what rotted in a state would be judged
 * upon as if it were true: the entry would be recorded, and no replay could follow. So the writer and a start ask before they use it.
 *
 * Any thread, on the caller's kv; the arena gets what it had back. ETAMPER: it is not; other codes: of the kv, ENOMEM, EVERSION.
 */
#ifndef LEDGERD_CHAIN_CHECK_H
#define LEDGERD_CHAIN_CHECK_H

#include "machine.h"

/* A record of KV_CHAIN under its key: decodes into *out (which borrows from it); its head is the entry that it names, whose header commits to
 * this state. err names the entry. */
enum ledger_rc chain_check(struct crypto *c, struct arena *a, const struct kv *kv, const struct hash *key, struct span record,
                           struct chain *out, struct ledger_err *err) LEDGER_MUST_USE;
/* The machine's numbers between batches, as far as the ledger's own chain has them too: tolerance, heartbeat, algorithms, log keys. */
enum ledger_rc chain_check_machine(struct machine *m, struct ledger_err *err) LEDGER_MUST_USE;

#endif
