/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_impl: what the files of the store share. Nobody else includes it.
 */
#ifndef LEDGERD_STORE_IMPL_H
#define LEDGERD_STORE_IMPL_H

#include <limits.h>
#include <pthread.h>
#include <time.h>

#include <lmdb.h>

#include "store.h"

#define STORE_FORMAT 2 /* 1: without the history of states; its view is derived anew */
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
};

struct store {
    char dir[PATH_MAX];
    enum store_mode mode;
    int lock_fd;
    pthread_mutex_t lock;
    pthread_cond_t left;   /* the last user of a retired environment has gone */
    struct store_env *env; /* the present one; changed by the writer alone, under the lock */
    uint64_t map_bytes, reserve_bytes;
    struct hash index_key;
    struct secret_key log_key;
    /* The one write transaction; only its thread touches these. */
    MDB_txn *txn;
    enum ledger_rc txn_rc;  /* sticky: the first write that failed */
    uint64_t txn_bytes;     /* an upper estimate of the disk space that the commit takes */
    time_t readers_checked; /* CLOCK_MONOTONIC */
};

struct store_snapshot {
    struct store *store;
    struct store_env *env;
    MDB_txn *txn;
};

/* One mapper of LMDB's codes; always fills err. */
enum ledger_rc store_fail_mdb(struct ledger_err *err, int code, const char *what);

/* store_folder.c: the files around the environment. */
enum ledger_rc store_format_check(const char *dir, bool *older, struct ledger_err *err) LEDGER_MUST_USE;
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
enum ledger_rc store_table_get(const struct store_env *e, MDB_txn *txn, enum kv_table t,
                               struct span key, struct span *value);
bool store_is_log(enum kv_table t);
uint64_t store_free_disk(struct store *s); /* bytes; UINT64_MAX: unknown */

/* store_compact.c */
/* Removes what an interrupted compaction left. */
void store_compact_tidy(const char *dir);
/* Ends an environment whose file is in no folder any more, and writes zeros over that file first. */
void store_env_destroy(struct store_env *e);

#endif
