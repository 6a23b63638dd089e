/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_note: the signed note of a checkpoint, whichever log key it belongs to.
 *
 * A checkpoint of a size that the present log key signs is signed whenever it is asked for: Ed25519 is deterministic, so it is the same note
 * each time. The last checkpoint of an earlier key, of the very batch that replaced it, is kept as it was signed (and cosigned), in
 * DIR/log-keys/SIZE: it is what leads others from the old key to the new one, and nothing can make it again once the old key is destroyed. Of
 * all other checkpoints of earlier keys there is no note any more.
 *
 * Any thread.
 */
#ifndef LEDGERD_LOG_NOTE_H
#define LEDGERD_LOG_NOTE_H

#include "log_keys.h"
#include "machine.h"
#include "store/store.h"

/* The note of a committed checkpoint, in the arena. ENOTFOUND: of an earlier key, and not its last one. EINVAL: the folder's key is not the
 * ledger's. ETAMPER: the kept note is missing, damaged, or of another tree. `a` is not m->a. */
enum ledger_rc log_note(struct store *s, struct machine *m, const struct checkpoint *cp, struct arena *a, struct span *note,
                        struct ledger_err *err) LEDGER_MUST_USE;

/* DIR/log-keys/SIZE. */
enum ledger_rc log_note_keep(const char *dir, uint64_t size, struct span note, struct ledger_err *err) LEDGER_MUST_USE;
/* ENOTFOUND: there is none. Not verified. */
enum ledger_rc log_note_kept(const char *dir, uint64_t size, struct arena *a, struct span *note, struct ledger_err *err) LEDGER_MUST_USE;

/* The first sizes of all log keys but the genesis's, ascending: each one less 3 is the index of a LOG_KEY entry, less 1 the size of the kept
 * note. Walks the ledger's own chain. Scratch from m->a. ELIMIT: more than there may be. */
struct log_key_sizes { size_t n; uint64_t from[LOG_KEY_CHANGES_MAX]; };
enum ledger_rc log_key_sizes(struct machine *m, struct log_key_sizes *out, struct ledger_err *err) LEDGER_MUST_USE;
/* The keys themselves: n + 1 of them, the last being the one in force. Key i signs from from[i − 1] on. */
enum ledger_rc log_key_list(struct machine *m, const struct log_key_sizes *sizes, struct note_key out[LOG_KEY_CHANGES_MAX + 1],
                            struct ledger_err *err) LEDGER_MUST_USE;

#endif
