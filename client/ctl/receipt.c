/* SPDX-License-Identifier: Apache-2.0 */
/* receipt: fetches the receipt of a recorded event, verified, as a file that proves the entry to
 * anybody who has the policy. */
#include "recording.h"

#include <string.h>

#include "ask.h"
#include "erased.h"
#include "entry.h"

static int read_name(struct ctl *ctl, const char *arg, struct receipt_request *out)
{
    *out = (struct receipt_request){.by_index = arg[0] == '#'};
    if (out->by_index)
        return arg[1] && ask_number(ctl, "#", arg + 1, &out->index)
                   ? EXIT_GOOD
                   : ctl_fail(ctl, EXIT_USAGE, "\"%s\" is no number of an entry", arg);
    if (strlen(arg) != 2 * HASH_LEN || !hex_decode(span_str(arg), out->event_id.b))
        return ctl_fail(
            ctl, EXIT_USAGE,
            "\"%.80s\" is neither an event id (64 hexadecimal digits) nor an entry's number (#42)",
            arg);
    return EXIT_GOOD;
}

static int print_erased(struct ctl *ctl, const struct reply *r, const struct entry *e)
{
    struct erased_acts acts = {.ctl = ctl, .basis = r};
    const struct erased_act *act;
    int exit = erased_act(&acts, e, &act);
    if (!exit)
        printf("Its content was %s. The receipt proves the entry without it.\n", erased_text(ctl, act));
    erased_free(&acts);
    return exit;
}

static int print_written(struct ctl *ctl, const struct reply *r, const char *path)
{
    const struct entry *e = &r->u.receipt.receipt.entry;
    const char *kind = entry_kind_name(e->header.kind);
    if (ctl->json && e->erased_by) {
        struct erased_acts acts = {.ctl = ctl, .basis = r};
        const struct erased_act *act;
        int exit = erased_act(&acts, e, &act);
        erased_free(&acts);
        if (exit)
            return exit;
    }
    if (ctl->json) {
        struct json_writer w;
        json_writer_init(&w, ctl->a, true);
        json_object(&w);
        json_put_string(&w, "file", span_str(path));
        json_put_uint(&w, "bytes", r->u.receipt.file.n);
        json_name(&w, SPAN_LIT("entry"));
        entry_json(&w, ctl->a, e);
        ctl_basis_json(&w, r);
        json_end(&w);
        return ctl_print_json(ctl, &w);
    }
    printf("%s: receipt of entry #%llu (%s, recorded %s), %zu bytes, verified.\n", path,
           (unsigned long long)e->header.index, kind ? kind : "?",
           ctl_time(ctl, e->header.recorded_us), r->u.receipt.file.n);
    return e->erased_by ? print_erased(ctl, r, e) : EXIT_GOOD;
}

int cmd_receipt(struct ctl *ctl, int argc, char **argv)
{
    const char *path = NULL;
    bool force = false, witnessed = false, done;
    const struct ctl_opt opts[] = {{"output", OPT_TEXT, {.text = &path}, 'o'},
                                   {"force", OPT_FLAG, {.flag = &force}, 0},
                                   {"witnessed", OPT_FLAG, {.flag = &witnessed}, 0}};
    struct receipt_request rq;
    struct reply *r;
    char **args;
    unsigned n;
    if (!ctl_options(ctl, argc, argv, opts, 3, 1, 1, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    if (!path)
        return ctl_fail(ctl, EXIT_USAGE, "where to? Name the receipt's file with -o FILE");
    int exit = read_name(ctl, args[0], &rq);
    rq.witnessed = witnessed;
    if (!exit)
        exit = recording_receipt(ctl, &rq, path, force, &r);
    if (exit)
        return exit;
    exit = print_written(ctl, r, path);
    reply_free(r);
    return exit;
}
