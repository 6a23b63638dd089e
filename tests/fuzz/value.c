/* SPDX-License-Identifier: Apache-2.0 */
/* value: decimals, times and texts. */
#include "fuzz.h"

#include "event_value.h"
#include "value.h"

static bool decimal(struct span in)
{
    dec_t v, again;
    bool whole;
    char text[DEC_TEXT_MAX];
    if (!decimal_parse(in, &v, &whole)) {
        HOLDS(decimal_fault(in, &v, NULL) && !decimal_canonical(in, &v));
        return false;
    }
    size_t n = decimal_format(v, text);
    HOLDS(n < sizeof text && decimal_canonical(span_of(text, n), &again) && again == v);
    HOLDS(decimal_canonical(in, &again) == span_eq(span_of(text, n), in));
    return true;
}

static bool instant(struct span in)
{
    int64_t us, again;
    char text[TIME_TEXT_MAX];
    if (!time_parse(in, &us)) {
        HOLDS(time_fault(in, &us) != NULL);
        return false;
    }
    /* Offsets lead beyond the years 1 to 9999, and what lies there has no text of its own. */
    size_t n = time_format(us, text);
    HOLDS(n < sizeof text && (!time_parse(span_of(text, n), &again) || again == us));
    return true;
}

FUZZ_TARGET(value)
{
    struct value v;
    size_t prefix = utf8_valid_prefix(in);
    HOLDS(prefix <= in.n && utf8_valid(in) == (prefix == in.n) && utf8_valid(span_of(in.p, prefix)));
    HOLDS(!text_valid(in) || text_plain(in));
    HOLDS(!id_valid(in) || text_valid(in));
    for (unsigned t = TYPE_ID; t <= TYPE_INT; t++) {
        value_from_text(f->a, (enum field_type)t, NULL, in, &v);
        HOLDS(v.type != VALUE_BAD || v.raw.p);
    }
    bool good = decimal(in);
    return instant(in) || good || id_valid(in);
}
