/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_internal: what the two offline commands share. `ledgerd check` derives the whole view from
 * the log and compares it with the stored one; `ledgerd rebuild` derives it and stores it.
 */
#ifndef LEDGERD_CHECK_INTERNAL_H
#define LEDGERD_CHECK_INTERNAL_H

#include "files.h"
#include "log_key.h"
#include "machine.h"
#include "read_ahead.h"
#include "store/log.h"
#include "store/store.h"
#include "tail.h"

enum check_exit {
    CHECK_EXIT_GOOD = 0,
    CHECK_EXIT_BAD = 1,   /* does not verify */
    CHECK_EXIT_USAGE = 2, /* arguments are wrong, or the folder cannot be read or is in use */
    CHECK_EXIT_NEWER = 3, /* needs a newer version of this program */
};
#define REPLAY_SCRATCH ((size_t)512 << 20)

/* Percent and speed, on a terminal only. */
struct progress {
    bool on;
    uint64_t total, first;
    int64_t begun_us, shown_us;
};
void progress_start(struct progress *p, bool quiet, uint64_t first, uint64_t total);
void progress_step(struct progress *p, uint64_t done); /* cheap; shows something twice a second */
void progress_end(struct progress *p);
void print_json_text(const char *s); /* in quotation marks, to standard output */

/*
 * Opens a folder for an offline command, with the map size that its configuration gives, and says
 * where the anchor is: `given`, or as configured, or DIR.anchor. A folder without a configuration
 * has the defaults. `older`: also one of an earlier format (store_options).
 */
enum ledger_rc offline_open(const char *dir, const char *given, enum store_mode mode, bool older,
                            struct store **out, char anchor[FILES_PATH_MAX],
                            struct ledger_err *err) LEDGER_MUST_USE;

/* What `ledgerd rebuild` does; also brings a folder of an earlier format up to date. *out is filled in any case. */
struct rebuilt {
    char origin[ORIGIN_MAX + 1];
    uint64_t size, erased; /* erased: events whose states were taken from their openings, in this run */
};
enum ledger_rc rebuild_folder(const char *dir, const char *anchor, bool quiet, struct rebuilt *out, struct ledger_err *err)
    LEDGER_MUST_USE;

/* One entry through the machine, from its record. ETAMPER and EVERSION fill *v. */
enum ledger_rc replay_one(struct machine *m, const struct ahead_entry *e, struct verdict *v,
                          struct ledger_err *err) LEDGER_MUST_USE;

/* ---- check ---- */

#define DIFFERENCES_KEPT 10

struct tally {
    uint64_t entries, events, own, seals, signatures; /* replayed */
    uint64_t rows[KV_TABLES]; /* of the view and the log: derived and found to be the same */
    uint64_t erased;          /* of the events: states taken from their openings */
    uint64_t hashed;          /* content and leaf hashes only: with --hashes, or after the replay had to end */
};
/* The most memory that a check may take. */
size_t check_memory(void);
/* Adds one entry to the counts. */
void check_count(struct tally *t, const struct entry_record *r);
struct check {
    struct store *store;
    struct store_snapshot *sn;
    struct kv stored, sink;
    struct crypto *c;
    struct arena *a;
    struct tail tail;             /* its machine is the one that replays */
    struct kv_mem *derived;       /* rows that change, and those that differ from what is stored */
    uint64_t distinct[KV_TABLES]; /* rows derived */
    uint64_t log_size;
    struct tally tally;
    uint64_t differences;
    struct verdict first[DIFFERENCES_KEPT];
    bool hashes;     /* --hashes: nothing is replayed */
    bool replayed;   /* to the end */
    uint64_t ordered; /* --hashes: entries whose place and links were compared */
    char anchor_path[FILES_PATH_MAX];
    uint64_t anchor; /* its size */
    bool anchor_missing;
    struct progress progress;
};
/* Counts a difference and keeps the first ones. */
void check_differ(struct check *k, uint64_t index, const char *what, const char *fmt, ...)
    LEDGER_PRINTF(4, 5);

/* check_replay.c. OK also when there are differences; EVERSION, and errors that make it impossible
 * to go on. */
enum ledger_rc check_replay(struct check *k, struct ledger_err *err) LEDGER_MUST_USE;
/* check_hashes.c: instead of a replay, what hashes alone say; loads tail.m from what is stored. OK also when there are differences. */
enum ledger_rc check_hashes(struct check *k, struct ledger_err *err) LEDGER_MUST_USE;
/* check_view.c: after a whole replay: is what is stored what was derived, no more and no less? */
enum ledger_rc check_view(struct check *k, struct ledger_err *err) LEDGER_MUST_USE;
/* check_log_keys.c: once tail.m is known: the kept checkpoints of earlier log keys. */
void check_log_keys(struct check *k);
/* What the derived rows lie over: it has nothing, and compares what is flushed to it. */
struct kv check_sink(struct check *k);
/* Compares one derived row with what is stored; false if it differs, after having named it. */
bool check_row(struct check *k, enum kv_table t, struct span key, struct span value);
/* Compares the last node of a derived row of the tree; the others were compared when they came. */
bool check_node(struct check *k, struct span key, struct span row);
size_t check_nodes_in(struct span row); /* of a row of the tree */

#endif
