/* SPDX-License-Identifier: Apache-2.0 */
/* verdict: what a verification found. */
#include "verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool verdict_bad(struct verdict *v, enum verdict_kind kind, uint64_t index, const char *what, const char *fmt, ...)
{
    if (!v)
        return false;
    v->kind = kind;
    v->index = index;
    snprintf(v->what, sizeof v->what, "%s", what);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(v->text, sizeof v->text, fmt, ap);
    va_end(ap);
    return false;
}

const char *verdict_kind_name(enum verdict_kind k)
{
    switch (k) {
    case VERDICT_GOOD: return "good";
    case VERDICT_DAMAGED: return "damaged";
    case VERDICT_UNTRUSTED: return "untrusted";
    case VERDICT_NEWER: return "needs a newer version";
    case VERDICT_TAMPERED: return "does not verify";
    }
    return "?";
}
