/* SPDX-License-Identifier: Apache-2.0 */
/* receipt_read: what restoring takes out of a receipt file (docs/format.md, section 12): the entry, the seal of its batch, the checkpoint. */
#ifndef LEDGERD_BACKUP_RECEIPT_READ_H
#define LEDGERD_BACKUP_RECEIPT_READ_H

#include "entry.h"
#include "note.h"

#define RECEIPT_READ_MAX ((size_t)4 << 20)

struct receipt_parts {
    uint64_t index, seal_index;
    struct entry_record record;
    bool withheld;          /* the record has no content that could be restored */
    struct span path, seal, seal_path, note;
    struct checkpoint cp;   /* the note's */
};
/* EINVAL: damaged, or no receipt. EVERSION. Borrows from bytes, and from the arena. Signatures and paths are not looked at. */
enum ledger_rc receipt_read(struct crypto *c, struct arena *a, struct span bytes, struct receipt_parts *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* Does the file begin like one? */
bool receipt_is_file(const char *path);

#endif
