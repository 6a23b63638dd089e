/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrub_check: are stored rows still what their hashes say? What the background scrub (scrub.h) asks of a snapshot, one entry or one
 * chain at a time; nothing is judged anew and no signature verified, that is what `ledgerd check` does.
 *
 * An entry: its record and header, the event and the signature block that the header names, its leaf, the nodes of the tree that it
 * completes, its rows in the indexes, and a seal's checkpoint. A chain: the history of its states, each under the commitment in its
 * entry's header, what is kept in place of erased content, the members of its lists, its record, the chain map down to it, and a party's key.
 * Together that is every row.
 *
 * One thread. Errors: those that keep it from going on (memory); what does not verify, cannot be read, or says that it is of a newer version is a
 * finding. After a finding the view has to be opened anew: LMDB answers nothing more in a transaction that has met a page which is none.
 */
#ifndef LEDGERD_SCRUB_CHECK_H
#define LEDGERD_SCRUB_CHECK_H

#include "machine.h"
#include "store/store.h"

struct scrub_view {
    struct store *store;
    struct store_snapshot *sn;
    struct machine m;       /* as the snapshot has it */
    struct crypto *c;
    struct arena *a, *side; /* side: of a walk through a chain */
    /* A finding: the entry (UINT64_MAX: none) and what is wrong; no content, no names. */
    void (*found_cb)(void *ctx, uint64_t index, const char *what);
    void *ctx;
    uint64_t found;         /* so far */
    uint64_t parties, admins; /* among the chains so far; the caller's to begin and to compare with what the machine has */
};
/* The machine's numbers are checked against the last seal. Close also what could not be opened. */
enum ledger_rc scrub_view_open(struct scrub_view *v, struct ledger_err *err) LEDGER_MUST_USE;
void scrub_view_close(struct scrub_view *v);
enum ledger_rc scrub_entry(struct scrub_view *v, uint64_t index, struct ledger_err *err) LEDGER_MUST_USE;
/* *steps: how many entries of the chain were looked at. */
enum ledger_rc scrub_chain(struct scrub_view *v, const struct hash *key, struct span record, uint64_t *steps,
                           struct ledger_err *err) LEDGER_MUST_USE;

#endif
