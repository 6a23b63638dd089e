/* SPDX-License-Identifier: Apache-2.0 */
/* note: a signed note is worth something only if the ledger has signed that very text. */
#include "fuzz.h"

FUZZ_TARGET(note)
{
    struct note n;
    struct checkpoint cp;
    struct policy_verdict v;
    struct ledger_err err = {0};
    const struct note_key keys[] = {f->log, f->witness};
    uint64_t matched = 0, times[2] = {0};
    if (note_parse(f->a, in, &n, NULL))
        return false;
    HOLDS(n.text.n + n.sigs_text.n < in.n && n.n <= NOTE_SIGS_MAX && n.text.p[n.text.n - 1] == '\n');
    bool ok = note_verify(f->c, f->a, &n, keys, 2, &matched, times);
    if (!policy_check(f->c, f->a, &f->policy, in, &cp, &v, &err)) {
        HOLDS(err.msg[0]);
        return false;
    }
    HOLDS(!v.log_signed || (fuzz_genuine_checkpoint(&cp) && (!ok || matched & 1)));
    return v.log_signed;
}
