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
    case VERDICT_MEMORY: return "needs more memory";
    case VERDICT_TAMPERED: return "does not verify";
    }
    return "?";
}

enum verdict_kind verdict_of_error(enum ledger_rc rc, enum verdict_kind otherwise)
{
    return rc == LEDGER_EVERSION ? VERDICT_NEWER : rc == LEDGER_ENOMEM ? VERDICT_MEMORY : otherwise;
}

enum ledger_rc verdict_rc(enum verdict_kind k, enum ledger_rc damaged)
{
    switch (k) {
    case VERDICT_GOOD: return LEDGER_OK;
    case VERDICT_DAMAGED: return damaged;
    case VERDICT_UNTRUSTED: return LEDGER_EUNTRUSTED;
    case VERDICT_NEWER: return LEDGER_EVERSION;
    case VERDICT_MEMORY: return LEDGER_ENOMEM;
    case VERDICT_TAMPERED: break;
    }
    return LEDGER_ETAMPER;
}
