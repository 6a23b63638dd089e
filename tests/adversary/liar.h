/* SPDX-License-Identifier: Apache-2.0 */
/*
 * liar: the daemon, with one lie. It links all of the daemon's own code and changes what passes between its parts, by wrapping a few
 * functions at link time (Makefile): so the product has no hooks for it, and the lie comes behind valid TLS, from a real store, signed with
 * the real log key.
 *
 *   history.c: lies in what is recorded. Events whose reference is "lie" are judged, signed or chained otherwise than they should be; the
 *              tree, the map, the seal and the checkpoint are then made from that as from anything else.
 *   answers.c: lies in what is answered. Requests and responses are taken apart, changed and put together again.
 *
 *   acts.c:    lies about the ledger's own acts: parameters, erasures, time stamps, the log key.
 *
 * What it is told comes from the environment, since the command line is the daemon's own:
 *   LIAR_LIE   name of the lie            LIAR_A, LIAR_B  ids or numbers that it is about
 *   LIAR_OLD   an older copy of the data folder, served or read in part
 */
#ifndef LEDGERD_TESTS_LIAR_H
#define LEDGERD_TESTS_LIAR_H

#include "ledger.pb-c.h"
#include "query_internal.h"

struct liar {
    const char *lie, *a, *b, *old_dir;
    struct store *old; /* NULL without LIAR_OLD */
};
extern struct liar liar;

bool lie_is(const char *name);
/* The test cannot go on: says why and ends. */
_Noreturn void liar_die(const char *what, const char *why);
/* The chain's record in the older copy; spans live in `a`. False: it had none. */
bool liar_old_chain(struct arena *a, const struct hash *key, struct chain *out);

#endif
