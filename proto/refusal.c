/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal.c: names of the refusal codes, and the one function that fills a refusal.
 *
 * Texts are cut to their buffers and every byte that is not printable ASCII becomes '?': a refusal
 * is shown on terminals and in logs, and parts of it were chosen by whoever sent the event. May
 * include: refusal.h and the C library's formatting.
 */
#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>

const char *refusal_name(enum refusal_code code)
{
    switch (code) {
    case REFUSE_NONE:
        return "ACCEPT";
#define X(name, number)                                                                            \
    case name:                                                                                     \
        return #name;
        REFUSAL_LIST(X)
#undef X
    }
    return "E_?";
}

static void make_printable(char *s)
{
    for (; *s; s++) {
        if (*s < 0x20 || *s > 0x7e)
            *s = '?';
    }
}

bool refuse(struct refusal *r, enum refusal_code code, const char *subject, const char *field,
            const char *fmt, ...)
{
    if (!r)
        return false;
    r->code = code;
    snprintf(r->subject, sizeof r->subject, "%s", subject ? subject : "");
    snprintf(r->field, sizeof r->field, "%s", field ? field : "");
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->text, sizeof r->text, fmt, ap);
    va_end(ap);
    make_printable(r->subject);
    make_printable(r->field);
    make_printable(r->text);
    return false;
}
