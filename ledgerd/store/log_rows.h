/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_rows: how the log's records lie in LMDB. Four records of some 850 bytes fill a page but for a seventh of it, three of 1,100 but for a fifth; so
 * a row holds as many records as fit into LOG_ROW_BYTES, which are whole pages. Everybody else sees one record for each index.
 *
 *   key    u64 index of the first record
 *   value  u8 1 ‖ u8 0 ‖ u16 n ‖ n × u16 end of a record, counted from the end of this list ‖ records; big-endian
 *          or one record as it is, which begins with 0, since headers are short: of what is large, and what earlier versions have written
 *
 * A row that is malformed has records that are empty: whoever reads one finds that it is no record of an entry, and says of which.
 *
 * The last row grows until it is full, and is put anew each time (log_put, log_flush): at most LOG_ROW_BYTES in a transaction. Other rows are
 * written once, but for erased content.
 */
#ifndef LEDGERD_STORE_LOG_ROWS_H
#define LEDGERD_STORE_LOG_ROWS_H

#include <lmdb.h>

#include "base.h"

#define LOG_ROW_PAGES 8u
#define LOG_ROW_BYTES (LOG_ROW_PAGES * 4096u - 16u) /* LMDB puts 16 bytes of its own before a value of several pages */
#define LOG_ROW_HEAD 4u
#define LOG_ROW_RECORDS 1024u /* of the shortest that there are */
#define LOG_RECORD_BYTES 8192u /* a larger one has a row of its own */

/* ---- reading; spans borrow from LMDB's pages ---- */

struct log_row {
    uint64_t first;
    unsigned n;            /* 1 or more */
    const uint8_t *ends;   /* NULL: one record as it is */
    struct span records;   /* absent: malformed */
};
/* False: the key is none of the log's. */
bool log_row_open(const MDB_val *k, const MDB_val *v, struct log_row *out) LEDGER_MUST_USE;
struct span log_row_record(const struct log_row *r, unsigned i); /* i < n; empty, not absent, if the row is malformed */
/* The row that has this index. MDB's codes: MDB_NOTFOUND if there is none; the cursor then stands somewhere. */
int log_row_find(MDB_cursor *cursor, uint64_t index, struct log_row *out) LEDGER_MUST_USE;
int log_get(MDB_cursor *cursor, uint64_t index, struct span *record) LEDGER_MUST_USE;

/* ---- writing, in one transaction ---- */

/* The last row, while records are added to it. */
struct log_tail {
    bool loaded, dirty;
    uint64_t first;
    unsigned n;
    size_t bytes; /* of the records */
    uint8_t ends[2 * LOG_ROW_RECORDS];
    uint8_t records[LOG_ROW_BYTES];
};
/* Adds a record, or, with `replace`, puts it in the place of the one with this index if there is one. MDB_KEYEXIST: there is one already, or there are
 * later ones. `single`: into a row of its own. A record that is added is in LMDB after log_flush. */
int log_put(MDB_txn *txn, MDB_dbi dbi, struct log_tail *t, uint64_t index, struct span record, bool replace, bool single) LEDGER_MUST_USE;
int log_flush(MDB_txn *txn, MDB_dbi dbi, struct log_tail *t) LEDGER_MUST_USE;

#endif
