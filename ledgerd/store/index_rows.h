/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_rows: how the indexes by hash (KV_EVENT, KV_REFERENCE) lie in LMDB. With a row for each key, each new key would change a page of its own,
 * somewhere among all that there are. So a row holds as many entries as fill a page, and rows form a buffer tree (L. Arge, The Buffer Tree, 1995): each
 * has sixteen below it, by the next four bits of the keys; what is new goes into the 64 rows at the top, and a row that is full passes everything
 * down. A key is written once for each level, but then with ten others: some tenths of a page. A look-up asks one row of each level.
 * Everybody else sees a key and its value.
 *
 *   key    u8 level, 0 at the top ‖ u64 first 6 + 4 × level bits of its keys, zeros behind them
 *   value  u8 1 ‖ u8 255: there are sixteen rows below, 0: none ‖ u16 n ‖ n × (key[16] ‖ u64 value), ascending; big-endian
 *
 * Of two entries with the same key the one in the upper row counts, and replaces the other when it comes there.
 *
 * A row that is malformed, or missing below one that says it is there, is MDB_CORRUPTED: it may have had the key.
 */
#ifndef LEDGERD_STORE_INDEX_ROWS_H
#define LEDGERD_STORE_INDEX_ROWS_H

#include <lmdb.h>

#include "kv.h"

#define INDEX_KEY ((size_t)KV_INDEX_KEY)
#define INDEX_VALUE ((size_t)8)
#define INDEX_ENTRY (INDEX_KEY + INDEX_VALUE)
#define INDEX_ROW_HEAD ((size_t)4)
#define INDEX_ROW_ENTRIES ((4096u - 16u - INDEX_ROW_HEAD) / INDEX_ENTRY) /* LMDB puts 16 bytes of its own before a value that has a page to itself */
#define INDEX_TOP_BITS 6u
#define INDEX_BITS 4u
#define INDEX_FANOUT (1u << INDEX_BITS)
#define INDEX_LEVELS ((64u - INDEX_TOP_BITS) / INDEX_BITS) /* below the top; the lowest passes nothing down, and grows */

/* ---- reading; spans borrow from LMDB's pages. MDB's codes ---- */

int index_get(MDB_cursor *cursor, struct span key, struct span *value) LEDGER_MUST_USE;

struct index_row {
    bool below;
    size_t n;
    const uint8_t *entries;
};
/* Along all keys, ascending, each once. */
struct index_walk {
    unsigned n; /* levels that there are */
    struct index_walk_level {
        MDB_cursor *cursor;
        struct index_row row;
        size_t at;
        bool ended;
    } levels[INDEX_LEVELS + 1];
};
/* From the first key that is not before `first`, which may be absent. To be closed also when it fails. */
int index_walk_open(struct index_walk *w, MDB_txn *txn, MDB_dbi dbi, struct span first) LEDGER_MUST_USE;
int index_walk_next(struct index_walk *w, struct span *key, struct span *value) LEDGER_MUST_USE;
void index_walk_close(struct index_walk *w);

/* ---- writing, in one transaction ---- */

/* What was put and is not in LMDB yet. */
struct index_waiting {
    uint8_t *entries; /* malloc */
    size_t n, cap;
    bool unordered;
    size_t rows; /* that the last index_flush has written: a page each, and at times, when many rows are full at once, more than keys */
};
/* MDB_BAD_VALSIZE: a key has 16 bytes, a value 8. */
int index_put(struct index_waiting *w, struct span key, struct span value) LEDGER_MUST_USE;
int index_flush(MDB_txn *txn, MDB_dbi dbi, struct index_waiting *w) LEDGER_MUST_USE;
void index_waiting_free(struct index_waiting *w);
/* MDB_NOTFOUND: it was not there. */
int index_remove(MDB_txn *txn, MDB_dbi dbi, struct span key) LEDGER_MUST_USE;

#endif
