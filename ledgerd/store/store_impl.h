/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_impl: what the files of the store share. Nobody else includes it, but for their tests.
 */
#ifndef LEDGERD_STORE_IMPL_H
#define LEDGERD_STORE_IMPL_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include <lmdb.h>

#include "index_rows.h"
#include "journal.h"
#include "key_filter.h"
#include "layer.h"
#include "log_rows.h"
#include "store.h"

/* 1: without the history of states. 2: without a journal; an empty one is made. 3: tree and chain map node by node. 4: a row for each record of the log,
 * and such rows stay, and for each step of a history. 5: a row for each key of the indexes. The view of each is derived anew. */
#define STORE_FORMAT 6
#define STORE_FORMAT_JOURNAL 3 /* from here on there is a journal */
#define STORE_LAYERS_MAX 8192 /* batches that are recorded and not in the tables, joined or not: so many the next start has to find */
/* Readers are connections that stream, and workers; each slot is 64 bytes of shared memory. */
#define STORE_READERS_MAX 2048
/* Row of KV_META: there are erased records whose bytes may still be in the file. A compaction leaves it out. */
#define STORE_ERASING_KEY "erasing"

/* An LMDB environment with its tables. A compaction puts another one in its place; the old one lasts
 * until the last snapshot of it is closed. */
struct store_env {
    MDB_env *env;
    MDB_dbi dbi[KV_TABLES];
    unsigned users; /* snapshots, under the store's lock */
    bool retired;   /* under the store's lock: whoever leaves it last ends it */
    bool older;     /* an earlier program may read it: one record to a row of the log, one key to a row of the indexes */
};

/* A write transaction of LMDB. */
struct store_txn {
    struct store_env *env;
    MDB_txn *txn;       /* NULL: none is open */
    enum ledger_rc rc;  /* sticky: the first write that failed, */
    int code;           /* and LMDB's word for it, if it had one */
    uint64_t bytes;     /* an upper estimate of the disk space that the commit takes */
    struct log_tail tail; /* of the log: what is not in LMDB yet, */
    struct index_waiting waiting[KV_TABLES]; /* and of the indexes */
};

/* The thread that puts layers into the tables (store_apply.c); under the store's lock. */
struct store_apply {
    pthread_t thread;
    bool started, stop, urgent;
    pthread_cond_t wake, done;
    uint64_t batches;       /* of all layers, */
    uint64_t rows, need;    /* their rows, and the disk space that these take (store_rows_need) */
    uint64_t applied;       /* size of the log in the tables */
    uint64_t tries;
    size_t taken;           /* so many of the oldest layers are being put there just now */
    int64_t oldest_us;      /* CLOCK_MONOTONIC: when the oldest layer came, or the last try was */
    struct ledger_err why;  /* of the last try; rc OK: it was well */
    bool broken;            /* what is in the tables is unknown, or not what it should be */
    void (*broken_cb)(void *ctx, const struct ledger_err *err); /* store_watch */
    void *ctx;
};

/* Which keys of the indexes are not recorded (store_known.c); of the writer's thread, but for what another one reads. */
struct store_known {
    struct key_filter *filter; /* NULL: there is none */
    uint64_t keys, room;
    bool tried, started;
    pthread_t thread;
    atomic_bool whole; /* the filter has all keys; until then it is not asked */
    atomic_bool stop;
};

struct store {
    char dir[PATH_MAX];
    enum store_mode mode;
    int lock_fd;
    unsigned format; /* of the folder, when it was opened */
    pthread_mutex_t lock;
    pthread_cond_t left;   /* the last user of a retired environment has gone */
    unsigned snapshots;    /* open ones, under the lock */
    unsigned destroying;   /* retired environments that are being overwritten by threads of their own, under the lock; `left` tells */
    struct store_env *env; /* the present one; changed by the writer alone, under the lock */
    uint64_t map_bytes, reserve_bytes;
    struct hash index_key;
    struct secret_key log_key;
    /* The one write transaction, and the one batch (log_begin); only their thread touches these. */
    struct store_txn direct;
    struct store_snapshot *view; /* what the open batch reads */
    struct layer_sink sink;      /* its rows */
    enum ledger_rc sink_rc;      /* sticky: the first row that was not taken */
    struct store_known known;
    struct journal *journal;     /* of a store that is open for writing */
    time_t readers_checked;      /* CLOCK_MONOTONIC */
    /* Under the lock: what is recorded and not in the tables yet, the oldest first. */
    struct layer *layers[STORE_LAYERS_MAX];
    size_t n_layers;
    struct store_apply apply;
};

struct store_snapshot {
    struct store *store;
    struct store_env *env;
    MDB_txn *txn;
    bool counted;        /* in store->snapshots */
    uint8_t last_key[8]; /* store_last's, of the log */
    MDB_cursor *cursors[KV_TABLES]; /* opened when first used: who reads neighbours finds the page at hand */
    size_t n_layers; /* above the tables, the oldest first */
    struct layer *layers[];
};

/* One mapper of LMDB's codes; store_fail_mdb always fills err. */
enum ledger_rc store_rc(int code);
enum ledger_rc store_fail_mdb(struct ledger_err *err, int code, const char *what);

/* store_folder.c: the files around the environment. */
enum ledger_rc store_format_check(const char *dir, unsigned *number, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc store_format_write(const char *dir, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc store_lock(const char *dir, enum store_mode mode, int *fd,
                          struct ledger_err *err) LEDGER_MUST_USE;
/* DIR/readers.lock: shared, waiting for a compaction to end; or exclusive, for which those who read have to be gone within a few seconds:
 * EBUSY. Closing *fd gives it up. */
enum ledger_rc store_readers_lock(const char *dir, bool exclusive, int *fd, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc store_keys_read(struct store *s, struct ledger_err *err) LEDGER_MUST_USE;

/* store_lmdb.c. The environment in `folder`; `create` makes the tables. Returns owned. */
struct store_env_options {
    uint64_t map_bytes;
    enum store_mode mode;
    bool create;
    unsigned flags; /* of LMDB, besides the usual ones */
};
enum ledger_rc store_env_open(const char *folder, const struct store_env_options *o,
                              struct store_env **out, struct ledger_err *err) LEDGER_MUST_USE;
void store_env_close(struct store_env *e); /* NULL is allowed */
/* Uses the present environment until it is given back: a compaction will not close it meanwhile. */
struct store_env *store_env_take(struct store *s);
void store_env_give(struct store *s, struct store_env *e);

/* store_table.c. Does it lie as in index_rows.h? */
static inline bool store_is_index(enum kv_table t)
{
    return t == KV_EVENT || t == KV_REFERENCE;
}
/* The same as store_rc; ETAMPER: a row of an index is malformed or missing, so that nobody knows what the index has. */
enum ledger_rc store_table_rc(enum kv_table t, int code);
/* The index in a key of the log, the size in one of the checkpoints. */
bool store_key_number(struct span key, uint64_t *out) LEDGER_MUST_USE;
enum ledger_rc store_table_get(const struct store_env *e, MDB_txn *txn, enum kv_table t,
                               struct span key, struct span *value);
/* The same, beginning where the cursor stands: one of that table. */
enum ledger_rc store_cursor_get(MDB_cursor *cursor, enum kv_table t, struct span key, struct span *value);
/* Along the rows of a table, of the log record by record, of an index key by key. MDB's codes; MDB_NOTFOUND: there is none (any more). A row is there until
 * the next step. */
struct table_walk {
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor; /* NULL: not open */
    bool log, index;
    struct index_walk keys; /* of an index */
    struct log_row row; /* of the log: many records */
    unsigned at;
    uint8_t key[8];
};
int table_walk_open(struct table_walk *w, const struct store_env *e, MDB_txn *txn, enum kv_table t) LEDGER_MUST_USE;
void table_walk_close(struct table_walk *w);
int table_walk_first(struct table_walk *w, struct span first, struct layer_row *out) LEDGER_MUST_USE; /* not before `first`, which may be absent */
int table_walk_next(struct table_walk *w, struct layer_row *out) LEDGER_MUST_USE;
int table_walk_last(struct table_walk *w, struct layer_row *out) LEDGER_MUST_USE;
int store_table_count(const struct store_env *e, MDB_txn *txn, enum kv_table t, uint64_t *out) LEDGER_MUST_USE;

/* store_lmdb.c: the write transaction. */
enum ledger_rc store_txn_begin(struct store_env *env, struct store_txn *x, struct ledger_err *err) LEDGER_MUST_USE;
/* `replace`: also in the log. */
enum ledger_rc store_txn_put(struct store_txn *x, enum kv_table t, struct span key, struct span value, bool replace) LEDGER_MUST_USE;
/* Ends it. So much disk space has to be left afterwards, or EFULL: nothing was written. Otherwise as store_commit. */
enum ledger_rc store_txn_commit(struct store_txn *x, uint64_t reserve, struct ledger_err *err) LEDGER_MUST_USE;
void store_txn_abort(struct store_txn *x);
/* To whoever wanted something recorded: if there was no room, then it was not. */
enum ledger_rc store_said(enum ledger_rc rc, struct ledger_err *err);
uint64_t store_rows_need(size_t rows, size_t bytes); /* an upper estimate of the disk space that such rows take */
void store_clear_dead_readers(struct store *s);
bool store_is_log(enum kv_table t);
/* Bytes that the disk has left (UINT64_MAX: unknown), and those of the data file. */
void store_space(struct store *s, uint64_t *left, uint64_t *file);

/* store_log.c: the log's end in the tables. */
/* Entries, and the epoch of the last one. */
enum ledger_rc store_txn_tail(const struct store_env *e, MDB_txn *txn, uint64_t *size, uint64_t *epoch, struct ledger_err *err) LEDGER_MUST_USE;
/* Entries, and the root of their checkpoint; zeros if there is none. */
enum ledger_rc store_txn_root(const struct store_env *e, MDB_txn *txn, uint64_t *size, struct hash *root, struct ledger_err *err) LEDGER_MUST_USE;

/* store_recent.c: what is recorded and not in the tables yet. */
/* Reads the journal. Layers from `size` on, owned, the oldest first. ETAMPER: one is missing or malformed. ENOTFOUND: there is no journal. */
enum ledger_rc store_recent_read(const char *dir, struct layer *out[STORE_LAYERS_MAX], size_t *n, struct ledger_err *err) LEDGER_MUST_USE;
/* Drops those that the tables, with a log of this size and root, have already; ETAMPER: the rest does not follow, and all are dropped. */
enum ledger_rc store_recent_stack(struct layer *layers[STORE_LAYERS_MAX], size_t *n, uint64_t size, const struct hash *root, struct ledger_err *err)
    LEDGER_MUST_USE;

/* store_known.c. In the writer's thread. Begin: before a batch is judged, in whose view it looks how large the log is. */
void store_known_begin(struct store *s);
void store_known_end(struct store *s);
/* True: no such key is recorded. False: it is, or nobody knows. */
bool store_known_absent(const struct store *s, enum kv_table t, struct span key);
/* What is going to be recorded. */
void store_known_add(struct store *s, enum kv_table t, struct span key);
void store_known_add_layer(struct store *s, const struct layer *l);

/* store_apply.c */
void store_apply_init(struct store_apply *a);
void store_apply_fini(struct store *s); /* ends the thread, which puts everything into the tables first if it can */
/* Everything recorded is in the tables when it returns OK. EFULL: no space for it now. Anything else: the process must end. */
enum ledger_rc store_drain(struct store *s, struct ledger_err *err) LEDGER_MUST_USE;
/* In one transaction. `reserve` as in store_txn_commit; `erases`: see struct log_batch. */
enum ledger_rc store_apply_layers(struct store *s, struct layer *const *layers, size_t n, uint64_t reserve, bool erases,
                                  struct ledger_err *err) LEDGER_MUST_USE;
/* Records it in the journal and shows it to snapshots from now on; takes the layer if it is OK. EFULL: nothing was recorded. Anything else: unknown. */
enum ledger_rc store_push(struct store *s, struct layer *l, struct ledger_err *err) LEDGER_MUST_USE;
/* Is there room for it in the tables, beside what waits to be put there? */
bool store_room_for(struct store *s, const struct layer *l, uint64_t reserve);

/* store_compact.c */
/* Removes what an interrupted compaction left. */
void store_compact_tidy(const char *dir);
/* Ends an environment whose file is in no folder any more, and writes zeros over that file first. */
void store_env_destroy(struct store_env *e);

#endif
