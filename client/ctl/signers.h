/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signers: signing keys by party. A *ring* holds the keys that a command may sign with; it frees
 * them. Key files are those of include/ledgerd/key.h, the ones of the profile in its folder `keys`.
 */
#ifndef LEDGERD_CTL_SIGNERS_H
#define LEDGERD_CTL_SIGNERS_H

#include "ctl.h"
#include "event.h"
#include "key.h"

/* One signature that is to be given. */
struct signing {
    struct ledger_key *key;
    const char *meaning; /* NULL: none */
};

struct ring_key;
struct key_ring {
    struct ctl *ctl;
    struct ring_key *first;
    bool profile_read;
};

/* All return EXIT_GOOD, or the exit code after a message. Found keys belong to the ring. */
int ring_add_file(struct key_ring *r, const char *path, struct ledger_key **out);
int ring_add_folder(struct key_ring *r, const char *path); /* each file whose name ends in .key */
/* The key of a party: among those added, or in the profile's folder. Reads the profile. */
int ring_party(struct key_ring *r, struct span party, struct ledger_key **out);
/* What --sign names: a key file, or a party. */
int ring_named(struct key_ring *r, const char *name, struct ledger_key **out);
/* The signatures that --sign and --meaning ask for; without --sign the one of the profile's party.
 * Meanings default to authorship, then verification. *n may be 0 only if there is neither. */
int ring_signings(struct key_ring *r, const struct ctl_list *sign, const struct ctl_list *meaning,
                  struct signing out[SIGNATURES_READ_MAX], unsigned *n);
void ring_free(struct key_ring *r);

#endif
