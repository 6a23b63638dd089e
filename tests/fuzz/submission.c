/* SPDX-License-Identifier: Apache-2.0 */
/* submission: what a log sends to a witness, decided on an empty record and cosigned. */
#include "fuzz.h"

#include "witness.h"

FUZZ_TARGET(submission)
{
    struct witness_submission *s = arena_alloc(f->a, sizeof *s);
    const struct witness_record none = {0};
    struct witness_record kept, read;
    struct witness_decision d;
    struct span line;
    struct ledger_err err = {0};
    HOLDS(s != NULL);
    enum ledger_rc rc = witness_submission_parse(f->a, in, s, &err);
    HOLDS(rc == LEDGER_OK || err.msg[0]);
    if (rc)
        return false;
    witness_decide(f->c, f->a, s, &f->log, 1, &none, &d);
    HOLDS(d.status == WITNESS_COSIGN || d.why.msg[0]);
    if (d.status != WITNESS_COSIGN)
        return d.status == WITNESS_CONFLICT && d.signers;
    HOLDS(fuzz_genuine_checkpoint(&s->cp));
    HOLDS(witness_cosign(f->c, f->a, s, &f->log, &d, &none, &f->witness, &f->witness_secret, 1780000000, &kept, &line));
    HOLDS(witness_record_parse(f->c, f->a, &f->witness, s->cp.origin, kept.note, &read, NULL) == LEDGER_OK && read.size == s->cp.size);
    return true;
}
