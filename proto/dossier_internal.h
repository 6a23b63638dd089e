/* SPDX-License-Identifier: Apache-2.0 */
/* dossier_internal: what dossier_verify.c and dossier_replay.c share. */
#ifndef LEDGERD_PROTO_DOSSIER_INTERNAL_H
#define LEDGERD_PROTO_DOSSIER_INTERNAL_H

#include "dossier.h"
#include "machine.h"

struct dossier_check {
    struct verifier *vf;         /* with the dossier's index key, and a policy that follows the log's keys */
    const struct dossier *d;
    struct dossier_proof *p;
    struct verdict *v;
    char origin[ORIGIN_MAX + 1]; /* the dossier's */
    struct entry_claim *prune;   /* d's entries, whose superfluous openings are taken out; NULL: they are a fault */
    /* Chains that belong here and are not: how many names of them were met, and the first. */
    uint64_t n_missing;
    char missing[160];
    /* Items that the subjects and the closure lead to: places in p->chains, in the order in which they were met. */
    size_t n_reached;
    size_t *reached;
    bool *is_reached;
};

/* The file is not what it claims to be. False. */
bool dossier_no_memory(struct dossier_check *k); /* like the others, false: nothing is known */
bool dossier_damaged(struct dossier_check *k, uint64_t index, const char *what, const char *fmt, ...) LEDGER_PRINTF(4, 5);
/* After a check of verify.h failed on what no signature of the log binds to the file: the file is wrong, not the log. False. */
bool dossier_file_wrong(struct dossier_check *k);
const struct dossier_proven *dossier_chain_at(const struct dossier_proven *chains, size_t n, const struct hash *key);

/* The chains as the replay leaves them. */
struct dossier_state *dossier_state_new(struct arena *a, const struct dossier_proof *p, size_t budget); /* NULL: out of memory */
void dossier_state_free(struct dossier_state *s);

/* Replays all entries in the order of the log. */
bool dossier_replay(struct dossier_check *k) LEDGER_MUST_USE;
/* Notes which chains an entry with content names and the dossier has not. */
bool dossier_names(struct dossier_check *k, const struct entry *e) LEDGER_MUST_USE;

#endif
