/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint: the text of a checkpoint; without extension lines it has one form. */
#include "fuzz.h"

FUZZ_TARGET(checkpoint)
{
    struct checkpoint cp;
    struct wbuf w;
    if (checkpoint_parse(in, &cp, NULL))
        return false;
    wbuf_init(&w, f->a);
    checkpoint_text(&cp, &w);
    struct span text = wbuf_span(&w);
    HOLDS(text.p && text.n <= in.n && memcmp(text.p, in.p, text.n) == 0);
    return true;
}
