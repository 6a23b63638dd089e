/* SPDX-License-Identifier: Apache-2.0 */
/*
 * followed: the changes of the log key that this profile has followed, kept beside the pin: FOLDER/pins/NAME.keys, replaced atomically. What
 * is in the file is verified under the policy each time it is read, so it needs no trust; it is kept so that programs that ask no server,
 * and those that begin anew, know which key signs which sizes.
 *
 * A file that cannot be read, or that contradicts the policy's own keys, is an error, never "none". Changes that the policy does not vouch
 * for (any more) are not followed.
 */
#ifndef LEDGERD_CLIENT_FOLLOWED_H
#define LEDGERD_CLIENT_FOLLOWED_H

#include "message.h"
#include "profile.h"

#define FOLLOWED_BYTES_MAX ((size_t)16 << 20)

struct followed {
    struct arena *a; /* holds the changes; NULL: none */
    struct message_log_keys keys;
};
/* A copy of one in the arena. False: out of memory. */
bool log_key_claim_copy(struct arena *a, const struct log_key_claim *c, struct log_key_claim *to) LEDGER_MUST_USE;
/* A copy, in an arena of its own. ENOMEM. */
enum ledger_rc followed_copy(const struct message_log_keys *keys, struct followed *out, struct ledger_err *err) LEDGER_MUST_USE;
void followed_free(struct followed *f);

/* Reads the profile's, and takes them into its policy. */
enum ledger_rc followed_load(struct ledger_profile *p, struct crypto *c, struct followed *out, struct ledger_err *err) LEDGER_MUST_USE;
/* Writes them, unless the file knows more. EIO. */
enum ledger_rc followed_store(const struct ledger_profile *p, const struct message_log_keys *keys, struct ledger_err *err) LEDGER_MUST_USE;

#endif
