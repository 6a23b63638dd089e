/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_impl: what the files of the store share. Nobody else includes it.
 */
#ifndef LEDGERD_STORE_IMPL_H
#define LEDGERD_STORE_IMPL_H

#include <limits.h>
#include <time.h>

#include <lmdb.h>

#include "store.h"

#define STORE_FORMAT 2 /* 1: without the history of states; its view is derived anew */
/* Readers are connections that stream, and workers; each slot is 64 bytes of shared memory. */
#define STORE_READERS_MAX 2048

struct store {
    char dir[PATH_MAX];
    enum store_mode mode;
    int lock_fd;
    MDB_env *env;
    MDB_dbi dbi[KV_TABLES];
    uint64_t reserve_bytes;
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
    MDB_txn *txn;
};

/* One mapper of LMDB's codes; always fills err. */
enum ledger_rc store_fail_mdb(struct ledger_err *err, int code, const char *what);

/* store_folder.c: the files around the environment. */
enum ledger_rc store_format_check(const char *dir, bool *older, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc store_format_write(const char *dir, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc store_lock(const char *dir, enum store_mode mode, int *fd,
                          struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc store_keys_read(struct store *s, struct ledger_err *err) LEDGER_MUST_USE;

/* store_lmdb.c. `create` makes the tables. */
enum ledger_rc store_env_open(struct store *s, uint64_t map_bytes, bool create,
                              struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc store_table_get(struct store *s, MDB_txn *txn, enum kv_table t, struct span key,
                               struct span *value);
bool store_is_log(enum kv_table t);

#endif
