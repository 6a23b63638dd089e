/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error: return codes and error texts of libledgerd.
 *
 * Every function that can fail returns an `enum ledger_rc` and fills an optional `struct ledger_err`, which belongs to the
 * caller, never allocates and says in a sentence what was wrong. An event that the ledger's rules refuse is a result, not an
 * error (client.h). Two codes deserve care in programs:
 *
 *   LEDGER_ETAMPER   the server contradicts what it proved earlier. Both signed statements are kept in the profile's folder
 *                    `pins`. The client answers nothing from then on. Show it to a person.
 *   LEDGER_EUNTRUSTED  a checkpoint is not signed as the profile's policy demands.
 */
#ifndef LEDGERD_ERROR_H
#define LEDGERD_ERROR_H

#define LEDGER_API __attribute__((visibility("default")))

/* The library's own sources know these from its core, with the same numbers. */
#ifndef LEDGERD_PROTO_BASE_H

#define LEDGER_MUST_USE __attribute__((warn_unused_result))

enum ledger_rc {
    LEDGER_OK = 0,
    LEDGER_EINVAL = -1,      /* malformed or not allowed */
    LEDGER_ENOMEM = -2,      /* out of memory, or over the memory budget of this operation */
    LEDGER_ENOTFOUND = -3,   /* not found */
    LEDGER_EIO = -4,         /* input or output failed */
    LEDGER_EVERSION = -5,    /* written by a newer version; needs a newer program */
    LEDGER_ELIMIT = -6,      /* over a limit */
    LEDGER_EBUSY = -7,       /* busy; nothing was recorded */
    LEDGER_ETAMPER = -8,     /* evidence of tampering */
    LEDGER_ECONNECT = -9,    /* no answer from the server */
    LEDGER_EPROTO = -10,     /* the server broke the protocol */
    LEDGER_EDENIED = -11,    /* not allowed for this certificate */
    LEDGER_ESTALE = -12,     /* older than the freshness that the profile demands */
    LEDGER_EFULL = -13,      /* no space left */
    LEDGER_EREFUSED = -14,   /* refused by the rules */
    LEDGER_ECANCELED = -15,  /* cancelled */
    LEDGER_EINTERNAL = -16,  /* internal error: a broken invariant */
    LEDGER_EUNTRUSTED = -17, /* the policy does not vouch for it */
};

struct ledger_err {
    enum ledger_rc rc;
    int sys;       /* errno, or 0 */
    char msg[240]; /* a sentence, NUL-terminated */
};

#endif

/* The meaning of a code in a few words; static, never NULL. Any thread. */
LEDGER_API const char *ledger_error_text(enum ledger_rc rc);

#endif
