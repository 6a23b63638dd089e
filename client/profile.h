/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile: what a client knows before it connects, read from a folder that the ledger's operator handed out: where the server
 * is, which ledger is meant (origin), whose signatures count (policy), the index key, the certificates for TLS.
 *
 * The folder: profile.conf (INI: [profile] address, origin, party, fresh_within, plain, tsa_ca), policy, index.key, ca.pem, client.pem,
 * client.key, keys/, pins/ (made by the client: pins.h, followed.h). Nothing is trusted that is not in it.
 */
#ifndef LEDGERD_CLIENT_PROFILE_H
#define LEDGERD_CLIENT_PROFILE_H

#include "note.h"
#include "value.h"

#include <ledgerd/profile.h>

#define PROFILE_PATH_MAX 3072
#define PROFILE_HOST_MAX 255

struct followed;
struct ledger_profile {
    char folder[PROFILE_PATH_MAX];
    char origin[ORIGIN_MAX + 1];
    char address[PROFILE_HOST_MAX + 16]; /* as given: HOST:PORT or [IPV6]:PORT */
    char host[PROFILE_HOST_MAX + 1];     /* without brackets */
    char port[6];
    char party[ID_MAX + 1];              /* default signer; may be empty */
    uint32_t fresh_within_s;
    char tsa_ca[1024];                   /* file of time-stamping authorities' certificates, relative to the folder; may be empty */
    bool plain;                          /* no TLS; the host is a loopback address */
    struct hash index_key;
    struct policy *policy;               /* as in the file, and with the log keys that were followed */
    struct followed *followed;           /* the changes that led to these (followed.h) */
};

/* "FOLDER/name" into out; EINVAL if it does not fit. */
enum ledger_rc profile_path(const struct ledger_profile *p, const char *name, char out[PROFILE_PATH_MAX + 64],
                            struct ledger_err *err) LEDGER_MUST_USE;

/* Splits HOST:PORT or [IPV6]:PORT. False if it is neither. */
bool address_split(const char *address, char host[PROFILE_HOST_MAX + 1], char port[6]) LEDGER_MUST_USE;
/* Is the host written as an address of 127.0.0.0/8 or ::1? (Names do not count: they may resolve to anything.) */
bool host_is_loopback(const char *host);

/* Reads a whole file of at most `max` bytes into the arena. ENOTFOUND, ELIMIT, EIO; err names the file. */
enum ledger_rc file_read(struct arena *a, const char *path, size_t max, struct span *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* Replaces a file atomically: writes a temporary file beside it with mode 0600, fsyncs it, renames, fsyncs the folder. */
enum ledger_rc file_replace(const char *path, struct span bytes, struct ledger_err *err) LEDGER_MUST_USE;
/* What was made or renamed in this folder survives a power cut. */
enum ledger_rc file_sync_folder(const char *folder, struct ledger_err *err) LEDGER_MUST_USE;
/* Creates a file that must not exist yet, mode 0600, fsynced. EINVAL if it exists. */
enum ledger_rc file_create(const char *path, struct span bytes, struct ledger_err *err) LEDGER_MUST_USE;

#endif
