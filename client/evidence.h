/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evidence: what is kept when a ledger contradicts itself, as a text file that people can read and programs can check (docs/format.md,
 * section 17). There are three sorts:
 *
 *   two checkpoints   that exclude each other. Both are signed by the ledger.
 *   a receipt         of an entry that should not be there. Entry and checkpoint are signed by the ledger.
 *   an answer         that does not verify. Nobody has signed it: that the server gave it is what whoever kept the file says. Unless
 *                     signed parts in it speak for themselves.
 *
 * Touches nothing but the clock: writing the file is the matter of pins.h.
 */
#ifndef LEDGERD_CLIENT_EVIDENCE_H
#define LEDGERD_CLIENT_EVIDENCE_H

#include "base.h"

#define EVIDENCE_HEAD "ledgerd evidence v1\n"

struct evidence {
    const char *what;     /* a sentence in one line */
    struct span known;    /* signed note that was verified before; may be absent without a second one */
    struct span received; /* note that does not fit to it, or absent */
    struct span known_seal, received_seal; /* evidence_seal of the two, or absent: what tells their times */
    struct span proof;    /* hashes of a consistency path that was given with it and failed; may be absent */
    struct span last;     /* leaf hash of the smaller tree's last place, as the larger tree has it, and its inclusion path there; or absent */
    struct span receipt;  /* without a second note: a receipt file, or absent */
    struct span answer;   /* without either: the bytes that did not verify; may be absent */
};

/* A checkpoint's last leaf, as it is kept beside its note: var seal header ‖ inclusion path. In the arena; SPAN_NONE when over its budget. */
struct span evidence_seal(struct arena *a, struct span header, struct span path);
bool evidence_seal_split(struct span seal, struct span *header, struct span *path) LEDGER_MUST_USE;

/* The file's text, in the arena; SPAN_NONE when over its budget. */
struct span evidence_text(struct arena *a, const char *origin, const char *server, const struct evidence *e);
/* Takes a file apart. *origin and the parts are in the arena, or borrow from the file. EINVAL: it is none; ENOMEM. */
enum ledger_rc evidence_parse(struct arena *a, struct span file, const char **origin, struct evidence *out, struct ledger_err *err)
    LEDGER_MUST_USE;

#endif
