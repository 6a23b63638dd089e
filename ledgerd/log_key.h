/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_key: replacing the key that signs checkpoints, in a folder that nobody serves. Each step is durable before the next begins; a crash
 * between any two leaves a folder that a start, or the command again, brings to one side.
 *
 *   log_key_next        DIR/keys/log.key.next   the new key; nothing else knows it yet, so nothing has happened
 *   log_key_record      LOG_KEY and SEAL        one commit: from here on the rotation is a fact, and the new key is the one in force
 *   log_key_finish      DIR/log-keys/SIZE       that batch's checkpoint, signed by the old key, kept for ever
 *                       the anchor              the same note
 *                       DIR/keys/log.key        the new key takes the old one's name, and the old secret is overwritten
 *
 * One thread; the store is open for writing, with its lock, but for log_key_next.
 */
#ifndef LEDGERD_LOG_KEY_H
#define LEDGERD_LOG_KEY_H

#include "machine.h"
#include "store/store.h"

#define LOG_KEY_SCRATCH ((size_t)64 << 20) /* arena for all of this */

/* Reads DIR/keys/log.key.next, or makes it. Needs no store. The caller wipes *out. */
enum ledger_rc log_key_next(const char *dir, struct crypto *c, const char *origin, struct secret_key *out, struct ledger_err *err)
    LEDGER_MUST_USE;

/* Is the rotation recorded, and the old key still the one in the folder? */
bool log_key_unfinished(struct store *s, const struct machine *m);

/* `m` is loaded and verified (tail.h); its kv is replaced. */
enum ledger_rc log_key_record(struct store *s, struct machine *m, const struct secret_key *next, int64_t now_us, struct ledger_err *err)
    LEDGER_MUST_USE;

/*
 * Finishes what was recorded: verifies the tail, asks, signs, keeps, anchors, replaces. *finished is false if there was nothing to do. The arena is
 * scratch. `ask`, if it is not NULL, is called before the first signature: do others know a longer or another history? Its error ends it. EINVAL:
 * keys/log.key.next is missing or another key. ETAMPER: what is recorded does not verify.
 */
struct log_key_ask {
    enum ledger_rc (*ask)(void *ctx, struct ledger_err *err);
    void *ctx;
};
enum ledger_rc log_key_finish(struct store *s, struct crypto *c, struct arena *a, const char *anchor, const struct log_key_ask *ask, bool *finished,
                              struct ledger_err *err) LEDGER_MUST_USE;

#endif
