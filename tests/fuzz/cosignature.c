/* SPDX-License-Identifier: Apache-2.0 */
/* cosignature: what a witness answers over HTTP, as the daemon reads it: the text of the checkpoint, an empty line, the body. */
#include "fuzz.h"

#include "witness/submission.h"

FUZZ_TARGET(cosignature)
{
    struct checkpoint cp;
    struct span line;
    uint64_t time_s, size;
    size_t at = 0;
    bool conflict = submission_size(in, &size);
    while (at + 1 < in.n && memcmp(in.p + at, "\n\n", 2) != 0)
        at++;
    if (at + 1 >= in.n)
        return conflict;
    struct span text = span_of(in.p, at + 1), body = span_of(in.p + at + 2, in.n - at - 2);
    const char *fault = submission_cosignature(f->c, f->a, &f->witness, text, body, &line, &time_s);
    if (fault)
        return false;
    HOLDS(line.p >= body.p && line.p + line.n <= body.p + body.n && line.n && line.p[line.n - 1] == '\n');
    HOLDS(checkpoint_parse(text, &cp, NULL) == LEDGER_OK && fuzz_genuine_checkpoint(&cp) && time_s == 1780000000);
    return true;
}
