/* SPDX-License-Identifier: Apache-2.0 */
/*
 * small_files: what a data folder has besides entries, for a backup: the configuration and whatever lies beside it (policies, certificates of
 * authorities), pki/, log-keys/, keys/index.key. Never: the view, the lock, run/, profile/ (it holds the first administrator's key).
 *
 * A file is a *secret* if it holds a private key, whatever it is called. The index key is none: every profile has it.
 */
#ifndef LEDGERD_BACKUP_SMALL_FILES_H
#define LEDGERD_BACKUP_SMALL_FILES_H

#include "target.h"

struct small_files {
    size_t n, secrets, skipped; /* secrets: left out, or taken with with_keys; skipped: named in a line of the log */
    struct backup_file *v;      /* ascending by path; in the arena */
    uint64_t bytes_written;
};
/* Puts them into the target. scratch is reset. */
enum ledger_rc small_files_save(const char *dir, bool with_keys, struct target *t, struct arena *a, struct arena *scratch,
                                struct small_files *out, struct ledger_err *err) LEDGER_MUST_USE;
/* Writes one file of a backup to where it belongs below dir, making folders. */
enum ledger_rc small_file_restore(struct target *t, const struct backup_file *f, const char *dir, struct arena *scratch,
                                  struct ledger_err *err) LEDGER_MUST_USE;
/* The same from a folder of keys that was kept elsewhere. */
enum ledger_rc small_file_write(const char *dir, const char *name, struct span bytes, struct ledger_err *err) LEDGER_MUST_USE;

#endif
