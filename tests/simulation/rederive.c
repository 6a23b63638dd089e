/* SPDX-License-Identifier: Apache-2.0 */
/* rederive: at the end of a world every row of the store is derived from its log again, as an auditor would (clients.h). */
#include <string.h>

#include "clients.h"
#include "machine.h"
#include "store/log.h"

#define BUDGET ((size_t)512 << 20)

struct comparison {
    struct kv stored;
    uint64_t rows[KV_TABLES];
};

static enum ledger_rc sink_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    (void)ctx, (void)t, (void)key, (void)value;
    return LEDGER_ENOTFOUND;
}

/* Where the derived rows go. */
static enum ledger_rc sink_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    struct comparison *x = ctx;
    struct span stored;
    if (kv_get(&x->stored, t, key, &stored) != LEDGER_OK)
        sim_fail("a row of table %d that follows from the log is not in the store", (int)t);
    if (!span_eq(stored, value))
        sim_fail("a row of table %d is not what follows from the log", (int)t);
    x->rows[t]++;
    return LEDGER_OK;
}

static void replay(struct model *m, const struct hash *index_key, const struct kv *log, struct kv_mem *derived, uint64_t size)
{
    const struct replay_options o = {.skip_signatures = true};
    struct arena *a = arena_new(BUDGET);
    struct machine *machine = arena_alloc(m->a, sizeof *machine);
    struct verdict v;
    struct entry_record r;
    LEDGER_REQUIRE(a && machine);
    *machine = (struct machine){.c = m->c, .a = a, .kv = kv_mem_kv(derived), .index_key = *index_key, .wire = true};
    for (uint64_t i = 0; i < size; i++) {
        struct ledger_err err = {0};
        arena_reset(a);
        if (log_read(log, i, &r, &err) || machine_replay(machine, &r, &o, &v, &err))
            sim_fail("entry %llu does not follow from those before it: %s", (unsigned long long)i, err.msg);
    }
    arena_free(a);
}

void rederive(struct model *m, struct store *store)
{
    struct comparison x = {.rows = {0}};
    struct kv sink = {&x, sink_get, sink_put};
    struct store_snapshot *sn;
    struct ledger_err err;
    uint64_t n;
    struct kv_mem *derived = kv_mem_new(&sink, BUDGET);
    LEDGER_REQUIRE(derived && store_snapshot_open(store, &sn, &err) == LEDGER_OK);
    x.stored = store_snapshot_kv(sn);
    replay(m, store_index_key(store), &x.stored, derived, m->size);
    LEDGER_REQUIRE(kv_mem_flush(derived, &err) == LEDGER_OK);
    for (int t = 0; t < KV_TABLES; t++)
        if (store_count(sn, (enum kv_table)t, &n, &err) || n != x.rows[t])
            sim_fail("table %d has %llu rows, %llu follow from the log", t, (unsigned long long)n, (unsigned long long)x.rows[t]);
    store_snapshot_close(sn);
    kv_mem_free(derived);
}
