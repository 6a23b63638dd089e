/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page_row: a row of an LMDB table at a cursor. Every cursor's reader goes through here (store_table_get, which has none, looks for itself): in a page whose header has rotted into that of a
 * list of keys alone (P_LEAF2 in mdb.c), LMDB finds a key, gives no value, and leaves the variable as it was.
 */
#ifndef LEDGERD_STORE_PAGE_ROW_H
#define LEDGERD_STORE_PAGE_ROW_H

#include <lmdb.h>

/* As mdb_cursor_get; MDB_CORRUPTED for a row without a value. Key and value borrow from LMDB's page. */
static inline int page_row(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op)
{
    *value = (MDB_val){0, NULL};
    int e = mdb_cursor_get(cursor, key, value, op);
    return !e && !value->mv_data ? MDB_CORRUPTED : e;
}

#endif
