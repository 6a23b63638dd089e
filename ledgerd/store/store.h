/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the data folder. It holds the log (the authoritative sequence of entries) and the view (everything derived), both behind
 * the kv interface of the core. A batch is recorded when it is in the journal; the tables, in LMDB, follow (log.h).
 *
 * DIR/data/           LMDB environment (data.mdb, lock.mdb);  DIR/data.new/ while it is being compacted
 * DIR/journal/        0, 1: batches on their way to the tables (journal.h)
 * DIR/keys/log.key    the checkpoint key;  DIR/keys/index.key  the index key
 * DIR/FORMAT          "ledgerd data 6\n": a newer number is refused unharmed, an older one is brought up to date (`ledgerd rebuild`)
 * DIR/ledgerd.lock    held exclusively by the process that writes
 * DIR/readers.lock    shared by processes that read beside it (STORE_BESIDE); held exclusively while a compaction changes files
 * DIR.anchor          (or as configured) last signed size and root
 *
 * The log is KV_LOG and KV_CHECKPOINT; every other table is the view, which `ledgerd rebuild` derives from the log again.
 * One write transaction at a time, in one thread; any number of snapshots in any threads.
 */
#ifndef LEDGERD_STORE_H
#define LEDGERD_STORE_H

#include "crypto.h"
#include "kv.h"
#include "note.h"

struct store;
enum store_mode {
    STORE_WRITE,      /* takes the exclusive lock */
    STORE_READ,       /* a checker: takes the lock too, so that what it reads stands still */
    /* A process that reads the log beside the one that writes, or while there is none. Takes no lock that would keep the other from
     * working, changes nothing, finishes nothing. To be closed again within a second or so: an erasure waits for it. Never in the
     * process that has the folder open already: closing LMDB's file a second time would give up the first one's locks. */
    STORE_BESIDE,
};
/* Makes an empty store in DIR (must not hold one). */
enum ledger_rc store_create(const char *dir, struct ledger_err *err) LEDGER_MUST_USE;
/* Finishes an interrupted erasure first, also for reading (store_compact); where that fails the mark stays, and all else goes on.
 * EBUSY: in use by another process. EVERSION: written by a newer version; nothing was touched. ENOTFOUND: no data folder. */
enum ledger_rc store_open(const char *dir, enum store_mode mode, struct store **out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* The same with limits of one's own; NULL or zeros mean the defaults. */
#define STORE_MAP_BYTES (UINT64_C(1) << 40)      /* address space, not disk: growing never needs a new map */
#define STORE_RESERVE_BYTES (UINT64_C(64) << 20)
struct store_options {
    uint64_t map_bytes;     /* the data can never grow beyond it */
    uint64_t reserve_bytes; /* free disk space below which nothing is recorded any more */
    bool older;             /* also a folder of an earlier format, whose view must be derived anew before anything else is done */
};
/* Is the folder's format an earlier one? Errors as store_open. */
enum ledger_rc store_is_older(const char *dir, bool *older, struct ledger_err *err) LEDGER_MUST_USE;
/* Writes the present format number, once the view is of the present format. */
enum ledger_rc store_format_update(struct store *s, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc store_open_with(const char *dir, enum store_mode mode, const struct store_options *o, struct store **out,
                               struct ledger_err *err) LEDGER_MUST_USE;
/* Did a call of the store fail because the data file is damaged in its structure? */
bool store_page_damaged(const struct ledger_err *err);
void store_close(struct store *s); /* NULL is allowed; no snapshot may be open any more */

/*
 * Writes DIR/keys/log.key and DIR/keys/index.key (mode 0600, folder 0700, fsynced); refuses to write over either. log.key is
 * a key file: "ledgerd key v1", then party (here the origin), algorithm, public, secret; index.key is 64 hex digits and a newline.
 */
enum ledger_rc store_keys_write(const char *dir, const char *origin, const struct secret_key *log_key,
                                const struct hash *index_key, struct ledger_err *err) LEDGER_MUST_USE;

/* Snapshots: a consistent read view; short-lived (it pins pages). Returns owned. */
struct store_snapshot;
enum ledger_rc store_snapshot_open(struct store *s, struct store_snapshot **out, struct ledger_err *err) LEDGER_MUST_USE;
struct kv store_snapshot_kv(struct store_snapshot *sn); /* get only; put returns EINVAL */
void store_snapshot_close(struct store_snapshot *sn);
/* How many are open in this process. There may be STORE_SNAPSHOTS_MAX, beside those of the writer, the workers and everybody who is done at once:
 * whoever keeps one open has to ask first, so that these always get theirs. */
#define STORE_SNAPSHOTS_MAX 1024u
unsigned store_snapshots(struct store *s);
/* What is not in the tables yet is not seen any more. What is in them is on the disk, whatever becomes of the process that writes; of what is beside
 * them, in the journal, that process alone knows (STORE_BESIDE). */
void store_snapshot_tables(struct store_snapshot *sn);
/* The next look-up in that table begins at its root. A look-up else begins where the last one ended, and may so find what others do not, if a page
 * on the way is damaged. */
void store_snapshot_restart(struct store_snapshot *sn, enum kv_table t);
/* Walks a table in key order from `first` (inclusive) while visit returns true. */
enum ledger_rc store_scan(struct store_snapshot *sn, enum kv_table t, struct span first,
                          bool (*visit)(void *ctx, struct span key, struct span value), void *ctx, struct ledger_err *err)
    LEDGER_MUST_USE;

/* Rows of a table. */
enum ledger_rc store_count(struct store_snapshot *sn, enum kv_table t, uint64_t *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* The row with the greatest key; ENOTFOUND when the table is empty. Borrowed until the snapshot is closed. */
enum ledger_rc store_last(struct store_snapshot *sn, enum kv_table t, struct span *key, struct span *value,
                          struct ledger_err *err) LEDGER_MUST_USE;

/* Write transaction, straight into the tables, for what is not one more batch of a ledger that is being served (log_begin); what was recorded before is
 * put there first. Begin and commit in the same thread. commit: OK, or EFULL (nothing was written, the store goes on), or anything
 * else: what reached the disk is unknown and the process must end. */
enum ledger_rc store_begin(struct store *s, struct kv *out, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc store_commit(struct store *s, struct ledger_err *err) LEDGER_MUST_USE;
/* The same for the ledger's own entries, which may use most of the reserve: a full disk must not keep seals from being written. */
enum ledger_rc store_commit_own(struct store *s, struct ledger_err *err) LEDGER_MUST_USE;
/* Called once, in a thread of the store's, when what was recorded cannot be put into the tables and nobody knows what is there: the process
 * must end; the next one takes it from the journal. It must not call the store. NULL: nobody is told. Any thread. */
void store_watch(struct store *s, void (*broken_cb)(void *ctx, const struct ledger_err *err), void *ctx);
/* Is more left than the reserve, as far as can be told? Any thread. */
bool store_has_room(struct store *s);
void store_abort(struct store *s); /* nothing happens when no transaction is open */
/* Inside a write transaction: writes a value whatever stood there, also into the log, where put refuses to. Nothing in the daemon
 * writes over the log; this is for tests, which damage a store on purpose. */
enum ledger_rc store_replace(struct store *s, enum kv_table t, struct span key, struct span value, struct ledger_err *err)
    LEDGER_MUST_USE;
/* Inside a write transaction: removes a row of the view (EINVAL for the log's tables). OK also if there is none. */
enum ledger_rc store_remove(struct store *s, enum kv_table t, struct span key, struct ledger_err *err) LEDGER_MUST_USE;
/* Empties every table of the view, keeping the log (rebuild). Inside a write transaction. */
enum ledger_rc store_drop_view(struct store *s, struct ledger_err *err) LEDGER_MUST_USE;

/*
 * Writes all rows into a new file and puts it in the place of the present one, so that nothing of what was removed or replaced is
 * left in the folder: LMDB keeps it in freed pages and behind the rows of live ones. The mark of log_set_erasing goes with it.
 * In the writer's thread, without a transaction; snapshots are opened and closed meanwhile as always: those of before last on the old
 * file, which is in no folder any more, and is written over with zeros when the last of them has gone.
 *
 *   copy into DIR/data.new, fsync → rename over DIR/data/data.mdb → fsync the folders → zeros over the old file
 *
 * A crash leaves either file whole; what is left in data.new is removed by the next open, which also compacts if the mark stands.
 * Durations and sizes are for the log line. An error: the present file stays in use, and the mark stands (but see `unknown`). EFULL: the disk has no
 * room for the copy.
 */
struct store_compaction {
    uint64_t bytes_before, bytes_after;
    int64_t copy_us, wipe_us;
    bool unknown; /* with an error: which of the two files a power cut would leave is not certain; the process must end */
};
enum ledger_rc store_compact(struct store *s, struct store_compaction *out, struct ledger_err *err) LEDGER_MUST_USE;
/* EFULL: the disk has no room for a compaction now. */
enum ledger_rc store_compact_room(struct store *s, struct ledger_err *err) LEDGER_MUST_USE;
/* Is the mark set? Not while a transaction is open. */
bool store_erasing(struct store *s);

/* What the folder knows of itself. */
const char *store_dir(const struct store *s); /* absolute, without a trailing slash */
const struct hash *store_index_key(const struct store *s);
const struct secret_key *store_log_key(const struct store *s);
/* The key has been replaced in the folder (log_key.h). While no other thread uses the store. */
void store_log_key_set(struct store *s, const struct secret_key *k);
struct store_size { uint64_t file_bytes, used_bytes, free_disk_bytes; };
void store_size(struct store *s, struct store_size *out);

#endif
