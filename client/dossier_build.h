/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dossier_build: makes a dossier (proto/dossier.h) from a verified answer about chains with all their histories and openings, and
 * verifies what it made before it gives it out. Pure: no I/O; memory from the arena.
 */
#ifndef LEDGERD_CLIENT_DOSSIER_BUILD_H
#define LEDGERD_CLIENT_DOSSIER_BUILD_H

#include "client.h"
#include "dossier.h"

struct dossier_plan {
    const struct chain_name *subjects;
    size_t n_subjects;
    enum closure closure;
    size_t n_withheld;
    const char *const *withheld; /* kinds whose content is left out, by name */
    size_t budget;               /* of the replay, in bytes */
    /* The consistency path between two sizes, in the arena: for the time stamps that bound the subjects. NULL: they are left out. */
    enum ledger_rc (*consistency)(void *ctx, struct arena *a, uint64_t size1, uint64_t size2, struct span *path, struct ledger_err *err);
    void *consistency_ctx;
};
/* The request whose answer a dossier is made of: the subjects first, then the ledger's own chain, in `names` (n_subjects + 1). */
struct prove_request dossier_request(const struct dossier_plan *plan, const char *origin, struct chain_name *names);
/*
 * The snapshot is the cosigned one where the policy demands a quorum. OK: *file is the dossier and *proof what it proves (dossier_proof_free in every case). EDENIED: the server withholds from this
 * certificate what a dossier needs. ETAMPER, EUNTRUSTED, EVERSION: *v says what does not verify; if that is the log's doing (VERDICT_TAMPERED), *file is
 * a dossier that shows it. EINVAL: no such kind to withhold. ENOMEM.
 */
enum ledger_rc dossier_build(const struct verifier *vf, const struct reply *r, const struct dossier_plan *plan, struct span *file,
                             struct dossier *d, struct dossier_proof *proof, struct verdict *v, struct ledger_err *err) LEDGER_MUST_USE;

#endif
