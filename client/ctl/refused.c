/* SPDX-License-Identifier: Apache-2.0 */
/* refused: telling that something was refused (refused.h). */
#include "refused.h"

#include <inttypes.h>

static void print_text(struct ctl *ctl, const struct refused *r)
{
    const struct refusal *why = r->why;
    fprintf(stderr, "%s %s%s%s\n", ctl_paint(ctl, COLOR_BAD, ctl_text(ctl, "Refused: %s", refusal_name(why->code))),
            why->subject[0] ? ctl_text(ctl, "(%s) ", ctl_word(ctl, why->subject)) : "",
            why->field[0] ? ctl_text(ctl, "%s: ", ctl_word(ctl, why->field)) : "", ctl_word(ctl, why->text));
    if (r->index)
        fprintf(stderr, "It is recorded as entry #%" PRIu64 " already.\n", r->index);
    fprintf(stderr, "Nothing was recorded.\n");
}

int refused_print(struct ctl *ctl, const struct refused *r)
{
    struct json_writer w;
    if (!ctl->json) {
        print_text(ctl, r);
        return EXIT_NEGATIVE;
    }
    json_writer_init(&w, ctl->a, true);
    json_object(&w);
    json_put_string(&w, "outcome", SPAN_LIT("refused"));
    json_put_string(&w, "recorded", SPAN_LIT("nothing"));
    json_put_string(&w, "kind", span_str(r->kind));
    if (r->reference.p)
        json_put_string(&w, "reference", r->reference);
    json_put_string(&w, "code", span_str(refusal_name(r->why->code)));
    json_put_string(&w, "subject", span_str(r->why->subject));
    json_put_string(&w, "field", span_str(r->why->field));
    json_put_string(&w, "text", span_str(r->why->text));
    if (r->index)
        json_put_uint(&w, "recorded_index", r->index);
    json_end(&w);
    return ctl_print_json(ctl, &w) ? EXIT_NO_ANSWER : EXIT_NEGATIVE;
}
