/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv: the small ordered-table interface that the ledger's deterministic core reads and writes through, so that
 * the same core runs over LMDB in the daemon and over memory in an auditor, a simulator or a test.
 *
 * Tables hold what docs/format.md calls the view, plus the log's records. A key is at most KV_KEY_MAX bytes. Values that
 * get returns are borrowed until the next put on the same kv or the end of the transaction behind it.
 */
#ifndef LEDGERD_PROTO_KV_H
#define LEDGERD_PROTO_KV_H

#include "base.h"

#define KV_KEY_MAX 64

enum kv_table {
    KV_LOG = 0,   /* u64 index → entry record (entry.h): header, event, signature block */
    KV_META,      /* short name → bytes: machine state, registry */
    KV_CHAIN,     /* chain key → chain record (state.h) */
    KV_MEMBER,    /* chain key ‖ u8 log ‖ u64 number → member bytes (state.h) */
    KV_KEYHOLDER, /* key id → party id: every key that was ever held */
    KV_REFERENCE, /* front of the hash of (first signer, reference) → u64 index */
    KV_EVENT,     /* front of the event id → u64 index */
    KV_MAP,       /* path → nodes of the chain map (chainmap.c) */
    KV_TREE,      /* u64 first leaf ‖ u8 level → MERKLE_ROW perfect-subtree hashes of that level; zeros where there is none yet (merkle.h) */
    KV_CHECKPOINT,/* u64 size → root: the unsigned checkpoint of each batch */
    KV_TABLES
};

struct kv {
    void *ctx;
    /* OK, ENOTFOUND, or an error of the store. */
    enum ledger_rc (*get)(void *ctx, enum kv_table t, struct span key, struct span *value);
    enum ledger_rc (*put)(void *ctx, enum kv_table t, struct span key, struct span value);
};

static inline enum ledger_rc kv_get(const struct kv *kv, enum kv_table t, struct span key, struct span *v)
{
    return kv->get(kv->ctx, t, key, v);
}
static inline enum ledger_rc kv_put(const struct kv *kv, enum kv_table t, struct span key, struct span v)
{
    return kv->put(kv->ctx, t, key, v);
}

/*
 * An in-memory table set over an optional base: reads fall through to the base, writes stay here until
 * kv_mem_flush sends them, table by table in ascending key order, to the base; while it does, what is here is not to be asked for.
 * Used as the writer's batch (drop it and nothing happened), as an all-or-nothing group on top of a batch, and with no base as an auditor's whole store.
 * Values are copied into memory of its own. Not thread-safe.
 */
struct kv_mem;
struct kv_mem *kv_mem_new(const struct kv *base, size_t budget_bytes); /* base may be NULL; borrowed; returns owned */
void kv_mem_free(struct kv_mem *m);
struct kv kv_mem_kv(struct kv_mem *m);
enum ledger_rc kv_mem_flush(struct kv_mem *m, struct ledger_err *err) LEDGER_MUST_USE; /* to the base; then empty */
void kv_mem_discard(struct kv_mem *m);
size_t kv_mem_bytes(const struct kv_mem *m);

/* For tables in memory; not for anything that is kept. */
uint64_t kv_hash(enum kv_table t, struct span key);

/* What the indexes go by: an event is where they lead to, or nowhere; whoever was given an id by others compares it with the entry's. */
#define KV_INDEX_KEY 16
static inline struct span kv_key_index(const struct hash *h)
{
    return span_of(h->b, KV_INDEX_KEY);
}

/* Key builders; out has KV_KEY_MAX bytes; the returned span borrows it. */
struct span kv_key_u64(uint8_t *out, uint64_t v);
/* The row that has node (level, index). By the first leaf below it: so the table grows at its end, but for one row in some hundreds. */
struct span kv_key_tree(uint8_t *out, unsigned level, uint64_t index);
struct span kv_key_member(uint8_t *out, const struct hash *chain_key, unsigned log, uint64_t number);

#endif
