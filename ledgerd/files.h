/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files: small whole files that must be there completely or not at all: keys, certificates, profiles, the configuration.
 *
 * Everything is made with mode 0600 (folders 0700) whatever the umask says, and is on the disk (fsync of file and folder)
 * when a function returns OK. Errors name the path and the system's reason. Any thread.
 */
#ifndef LEDGERD_FILES_H
#define LEDGERD_FILES_H

#include "base.h"

#define FILES_PATH_MAX 4096

/* Joins folder and name; EINVAL when the result has no room in FILES_PATH_MAX bytes. `out` may be `folder` itself. */
enum ledger_rc files_path(char out[FILES_PATH_MAX], const char *folder, const char *name, struct ledger_err *err)
    LEDGER_MUST_USE;

/* The whole file, copied into the arena. ENOTFOUND: there is none. ELIMIT: it has more than `max` bytes. */
enum ledger_rc files_read(struct arena *a, const char *path, size_t max, struct span *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* A new file. EINVAL when something of that name exists; it is not touched. */
enum ledger_rc files_create(const char *path, struct span bytes, struct ledger_err *err) LEDGER_MUST_USE;
/* New or replaced as one step: readers see the old bytes or the new ones. */
enum ledger_rc files_replace(const char *path, struct span bytes, struct ledger_err *err) LEDGER_MUST_USE;

/* A new folder. EINVAL when something of that name exists. */
enum ledger_rc files_mkdir(const char *path, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc files_sync_folder(const char *path, struct ledger_err *err) LEDGER_MUST_USE;
/* The folder that holds `path`: "." for a bare name. Trailing slashes do not count. */
enum ledger_rc files_parent(char out[FILES_PATH_MAX], const char *path, struct ledger_err *err) LEDGER_MUST_USE;
/* OK: nothing is there, or an empty folder. EINVAL: a file, or a folder with something in it. */
enum ledger_rc files_vacant(const char *path, struct ledger_err *err) LEDGER_MUST_USE;
/* Removes a folder that this program made a moment ago, as far as it can. Never follows symbolic links. */
void files_remove_folder(const char *path);

#endif
