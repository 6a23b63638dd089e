/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target: a folder with a backup, or with exported entries (proto/backup.h):
 *
 *   DIR/manifest      replaced as a whole, last: what it names is the backup, whatever else lies there
 *   DIR/parts/SHA256  parts and files, called after their content
 *   DIR/lock          held by the one process that writes
 *
 * A run that is interrupted leaves the former manifest and everything that it names; the next one removes what nothing names.
 * One thread at a time.
 */
#ifndef LEDGERD_BACKUP_TARGET_H
#define LEDGERD_BACKUP_TARGET_H

#include "backup.h"
#include "files.h"

#define TARGET_SCRATCH ((size_t)256 << 20)

struct target {
    char path[FILES_PATH_MAX];
    struct crypto *c;
    struct arena *a;       /* of the manifest; borrowed */
    int lock_fd;           /* −1: open for reading */
    bool present;          /* there was a manifest: m */
    struct backup_manifest m;
};
/* For writing: makes the folder if there is none. EINVAL: a folder with something else in it. EBUSY: another run has it. EVERSION. */
enum ledger_rc target_open(struct target *t, const char *path, bool write, struct crypto *c, struct arena *a, struct ledger_err *err)
    LEDGER_MUST_USE;
void target_close(struct target *t);

/* Writes under the name of its hash, durably. */
enum ledger_rc target_put(struct target *t, struct span bytes, const struct hash *sha, struct ledger_err *err) LEDGER_MUST_USE;
/* From the device, not from memory, as far as the system lets us. Not verified. */
enum ledger_rc target_get(struct target *t, const struct hash *sha, size_t max, struct arena *a, struct span *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* The new manifest, read back; then what neither it nor anything else names is overwritten and removed. */
enum ledger_rc target_commit(struct target *t, const struct backup_manifest *m, struct arena *scratch, struct ledger_err *err)
    LEDGER_MUST_USE;

#endif
