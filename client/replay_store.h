/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_store: the tables of a replay (kv.h) in a folder, so that a replay goes on after a restart where it stood. One process at a
 * time; one thread.
 *
 * The folder: FORMAT ("ledgerd replay 1"), lock, data.mdb, lock.mdb. All of it follows from the ledger: it may be deleted at any time, and
 * is made again. Nobody but its owner should be able to write to it: what it says is believed. Against accidents every value carries a
 * checksum: a value that does not match is LEDGER_EIO, never a wrong answer.
 * May include: proto/, POSIX, <lmdb.h> (only in replay_store.c).
 */
#ifndef LEDGERD_CLIENT_REPLAY_STORE_H
#define LEDGERD_CLIENT_REPLAY_STORE_H

#include "kv.h"

struct replay_store;

/* Opens a folder, or makes it (mode 0700). EINVAL: it holds something else, or is damaged; EVERSION: made by a newer program, and left as
 * it is; EBUSY: another process uses it; EIO. *out is owned by the caller. */
enum ledger_rc replay_store_open(const char *dir, struct replay_store **out, struct ledger_err *err) LEDGER_MUST_USE;
/* Drops what was not committed. NULL is allowed. */
void replay_store_close(struct replay_store *s);

/* Reading and writing, in a transaction that begins with the first access. */
struct kv replay_store_kv(struct replay_store *s);
/* On disk when it returns OK. After an error the folder is as it was at the commit before. */
enum ledger_rc replay_store_commit(struct replay_store *s, struct ledger_err *err) LEDGER_MUST_USE;
/* Why the latest access failed, for messages; "" if none did. */
const char *replay_store_problem(const struct replay_store *s);

#endif
