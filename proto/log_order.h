/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_order: what the headers of a log say of one another, without the states behind them: each stands at its place, time and epoch never go
 * back, each seal names the one before it, its batch and the number of chains, and each link the entry before it on its chain. So no entry
 * can be left out of a chain, or come twice, unless another hash differs too; what the entries *say* takes a replay (machine.h).
 *
 * Happy path: log_order_new; log_order_add for each header from entry 0 on, with its leaf hash; log_order_free.
 *
 * Memory: 150 to 300 bytes for each chain, and for a moment half as much again when their table grows. Threads: one at a time.
 */
#ifndef LEDGERD_PROTO_LOG_ORDER_H
#define LEDGERD_PROTO_LOG_ORDER_H

#include "entry.h"
#include "verdict.h"

struct log_order;
/* Owned by the caller; NULL: out of memory. `budget_bytes` is the most that the table of its chains may take. */
struct log_order *log_order_new(size_t budget_bytes);
void log_order_free(struct log_order *o); /* NULL is allowed */

/*
 * The next entry. ETAMPER: *v says what does not hold of it, with its index; it is taken as it is, so that what follows it is compared with what
 * it says. ENOMEM: nothing was taken. `leaf` is the hash of the header's bytes (merkle_leaf): the caller's to have computed.
 */
enum ledger_rc log_order_add(struct log_order *o, const struct header *h, const struct hash *leaf, struct verdict *v) LEDGER_MUST_USE;
/* Fetches from memory, some entries ahead, what log_order_add is going to ask for. Changes nothing. */
void log_order_soon(const struct log_order *o, const struct header *h);

uint64_t log_order_size(const struct log_order *o);   /* entries taken */
uint64_t log_order_chains(const struct log_order *o);
/* The latest seal: its index, its leaf and what it says the chain map's root is. False: none yet. */
bool log_order_seal(const struct log_order *o, uint64_t *index, struct hash *leaf, struct hash *map_root) LEDGER_MUST_USE;

#endif
