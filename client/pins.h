/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pins: the last checkpoint that this profile has seen of a ledger, kept on disk as the signed note itself. It is what makes a rolled-back
 * or forked ledger visible: every later checkpoint has to continue it.
 *
 * Files: FOLDER/pins/NAME.checkpoint (NAME is the origin with everything but letters, digits, '.', '-' and '_' as %XX), replaced
 * atomically; FOLDER/pins/lock, so that several programs can share a profile; FOLDER/pins/evidence-TIME.txt (evidence.h), written once
 * and never touched again.
 *
 * Beside it, NAME.seal: the seal that is the checkpoint's last leaf (evidence.h), as soon as it is known. It is worth something only if it
 * leads to the checkpoint's root; without it there is less evidence, and nothing else.
 *
 * A pin only ever grows. A program that finds a newer pin than its own learns it (pin_advance) and has to ask the server to prove that the
 * two belong together. A pin that cannot be read is an error, never "no pin": otherwise deleting a byte would undo it.
 * May include: POSIX.
 */
#ifndef LEDGERD_CLIENT_PINS_H
#define LEDGERD_CLIENT_PINS_H

#include "evidence.h"
#include "profile.h"

#define PIN_PATH_MAX (PROFILE_PATH_MAX + 64)

struct pin {
    bool present;
    uint64_t size;
    struct hash root;
    struct span note; /* from the arena */
    struct span seal; /* the same; absent if there is none */
};

/* FOLDER/pins/NAME.ENDING of the profile's origin. */
enum ledger_rc pin_path_of(const struct ledger_profile *p, const char *ending, char out[PIN_PATH_MAX], struct ledger_err *err) LEDGER_MUST_USE;
/* Makes the folder and takes its lock, which goes with the descriptor; the caller closes it. */
enum ledger_rc pin_lock(const struct ledger_profile *p, int *fd, struct ledger_err *err) LEDGER_MUST_USE;

/* Reads the pin of the profile's origin; out->present is false if there is none yet. EINVAL: damaged; EIO. */
enum ledger_rc pin_load(struct arena *a, const struct ledger_profile *p, struct pin *out, struct ledger_err *err) LEDGER_MUST_USE;

/*
 * Makes `mine` the pin unless the pin on disk is as large or larger. *other is what is on disk if that is another checkpoint, else
 * other->present is false. ETAMPER: the one on disk has the same size and another root: two programs were shown two ledgers.
 */
enum ledger_rc pin_advance(struct arena *a, const struct ledger_profile *p, const struct pin *mine, struct pin *other,
                           struct ledger_err *err) LEDGER_MUST_USE;

/* Keeps the seal of the pin that is on disk. EIO. */
enum ledger_rc pin_keep_seal(const struct ledger_profile *p, struct span seal, struct ledger_err *err) LEDGER_MUST_USE;

/* Writes an evidence file and says where. EIO. Any thread. */
enum ledger_rc pin_write_evidence(struct arena *a, const struct ledger_profile *p, const struct evidence *e,
                                  char path[PIN_PATH_MAX], struct ledger_err *err) LEDGER_MUST_USE;

#endif
