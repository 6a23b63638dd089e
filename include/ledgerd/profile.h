/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile: the folder that a ledger's operator hands to an organisation or a device: where the server is, which ledger is meant,
 * whose signatures count, and the certificates to connect with. A client trusts nothing else.
 */
#ifndef LEDGERD_PROFILE_H
#define LEDGERD_PROFILE_H

#include <stdint.h>

#include <ledgerd/error.h>

struct ledger_profile;

/*
 * Reads and checks a profile folder. `server` (HOST:PORT or [IPV6]:PORT) replaces the address of the folder's profile.conf; NULL
 * keeps it. On success *out is owned by the caller: ledger_profile_close. Any thread.
 * Errors: EINVAL (what is wrong in which file), ENOTFOUND (a file is missing), EIO, ENOMEM.
 */
LEDGER_API enum ledger_rc ledger_profile_open(const char *folder, const char *server, struct ledger_profile **out,
                                              struct ledger_err *err) LEDGER_MUST_USE;
/* Frees a profile; NULL is allowed. Not before the clients that were opened with it are closed. */
LEDGER_API void ledger_profile_close(struct ledger_profile *p);

/* What the profile says. The texts live as long as the profile and are never NULL. Any thread. */
LEDGER_API const char *ledger_profile_folder(const struct ledger_profile *p);
LEDGER_API const char *ledger_profile_origin(const struct ledger_profile *p);  /* the ledger's name */
LEDGER_API const char *ledger_profile_address(const struct ledger_profile *p); /* HOST:PORT in use */
LEDGER_API const char *ledger_profile_party(const struct ledger_profile *p);   /* default signer, or "" */
LEDGER_API uint32_t ledger_profile_fresh_within_s(const struct ledger_profile *p);

#endif
