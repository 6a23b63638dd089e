/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal: what makes a batch durable at the price of one sync. A batch's rows go into the journal first; they are put into the tables
 * later, many batches in one transaction (store_apply.c), and until then a snapshot reads them from memory (layer.h).
 *
 * DIR/journal/0, DIR/journal/1   used in turn. One of them is written from its beginning again when all that it holds is in the tables.
 *
 *   block 0: "ledgerd journal 1\n" ‖ u64 generation ‖ salt (32 random bytes) ‖ SHA-256 of what is before it, zeros to JOURNAL_BLOCK bytes
 *   then, each from the beginning of a block, zeros to the end of its last:
 *     "LJR1" ‖ u32 n ‖ u64 base ‖ u64 size ‖ before ‖ SHA-256(salt ‖ n ‖ base ‖ size ‖ before ‖ rows) ‖ rows (n bytes)
 *
 * base and size: entries in the log before the batch and after it; before: root of the checkpoint of base, or zeros if there is none, so that a
 * batch never goes on from another history. A record counts only under the salt of its file, so that what is left of
 * an earlier generation is nothing. Blocks of the file are written with zeros before they are used: a record's sync then has no new size or
 * extent of the file to write. A record is begun after the one before it was synced, so a crash can leave one broken record at most, the
 * last, which nobody was told of. A record that is missing between others leaves a gap, which store_recent_stack finds.
 *
 * One thread at a time, but for journal_read, which may run beside a process that writes.
 */
#ifndef LEDGERD_STORE_JOURNAL_H
#define LEDGERD_STORE_JOURNAL_H

#include "crypto.h"

#define JOURNAL_BLOCK ((size_t)4096)
#define JOURNAL_HEAD ((size_t)(4 + 4 + 8 + 8 + 2 * HASH_LEN))
#define JOURNAL_RECORD_MAX ((size_t)8 << 20) /* larger batches go into the tables at once */

/* Memory of a record: JOURNAL_HEAD bytes of room and then the rows; allocated with malloc, in whole blocks. */
struct journal_record {
    uint8_t *p;
    size_t n; /* with the head */
    uint64_t base, size;
    struct hash before;
};
static inline size_t journal_blocks(size_t n)
{
    return (n + JOURNAL_BLOCK - 1) / JOURNAL_BLOCK * JOURNAL_BLOCK;
}

struct journal;
/* Makes DIR/journal and its files, empty, unless they are there. */
enum ledger_rc journal_create(const char *dir, struct ledger_err *err) LEDGER_MUST_USE;
/* For writing, from an empty file on: everything that journal_read finds is in the tables by now. Returns owned.
 * ENOTFOUND: a file is missing. */
enum ledger_rc journal_open(const char *dir, struct journal **out, struct ledger_err *err) LEDGER_MUST_USE;
void journal_close(struct journal *j); /* NULL is allowed */

/* Everything up to this size of the log is in the tables, durably. */
void journal_applied(struct journal *j, uint64_t size);
/*
 * Writes the head into the record's room, then the record, and syncs. r->n is at most JOURNAL_RECORD_MAX.
 * EBUSY: both files hold what is not in the tables yet. EFULL: no space. In both cases nothing was recorded. EIO: what reached the
 * disk is unknown.
 */
enum ledger_rc journal_append(struct journal *j, struct journal_record *r, struct ledger_err *err) LEDGER_MUST_USE;
/* Overwrites both files with zeros, and syncs: what they hold is in the tables, and some of it is to be destroyed. */
enum ledger_rc journal_wipe(struct journal *j, struct ledger_err *err) LEDGER_MUST_USE;

/* Every record of both files in the order in which they were written. visit takes r->p; anything but OK ends it and is returned.
 * ENOTFOUND: a file is missing. */
enum ledger_rc journal_read(const char *dir, enum ledger_rc (*visit)(void *ctx, struct journal_record *r), void *ctx,
                            struct ledger_err *err) LEDGER_MUST_USE;

#endif
