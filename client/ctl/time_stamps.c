/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerctl time-stamps: the tokens of a time-stamping authority that the ledger has recorded, verified as of their own time; and
 * between which times an entry was recorded.
 *
 * The tokens are the TIME_STAMP entries of the ledger's own chain, which is proven complete. Each must hold together (verify_stamp.h);
 * that its checkpoint is a beginning of the proven tree is shown for the newest one and for the one that bounds an entry. Whether the
 * authority is to be believed depends on the certificates given with --ca or in the profile, not on the server.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ask.h"
#include "verify_stamp.h"

struct stamp {
    struct stamp_entry entry;
    struct tsp_trust trust;
    bool trusted;
    const char *why; /* not trusted */
};
struct work {
    struct ctl *ctl;
    const char *entry_name, *ca_path, *folder;
    struct span ca; /* absent: tokens are not verified */
    struct reply *proof;
    struct stamp *stamps;
    size_t n, trusted;
    bool asked;
    uint64_t index; /* of the entry that is asked for */
    struct tsp_bounds bounds;
};

static int tampered(struct work *w, const struct stamp_entry *s, const char *what)
{
    return ctl_tampered(w->ctl, w->proof, s->note, what);
}

/* ---- gathering ---- */

static int read_ca(struct work *w)
{
    int exit = ctl_profile(w->ctl);
    if (!exit)
        exit = ask_tsa_ca(w->ctl, w->ca_path, &w->ca);
    if (!exit && !w->ca.p && w->entry_name)
        return ctl_fail(w->ctl, EXIT_USAGE, "whose word about the time counts? Name the authority's certificates with --ca FILE, or as "
                                            "tsa_ca in the profile");
    return exit;
}

static int take(struct work *w, const struct entry *e, const struct entry_claim *raw)
{
    struct ctl *ctl = w->ctl;
    struct stamp *s = &w->stamps[w->n++];
    struct verdict v = {0};
    struct ledger_err err = {0};
    struct policy_verdict trust;
    struct checkpoint cp;
    if (!verify_time_stamp(ctl->c, ctl->a, &e->header, raw->event, span_str(ctl->profile->origin), &s->entry, &v))
        return verdict_open(v.kind) ? ctl_fail(ctl, EXIT_NO_ANSWER, "entry %llu: %s", (unsigned long long)v.index, v.text)
                                       : ctl_tampered(ctl, w->proof, raw->event, ctl_text(ctl, "entry %llu: %s", (unsigned long long)v.index, v.text));
    /* A signature of a key that the policy knows must be good; one of a key that it does not know may be of an earlier log key. */
    if (!policy_check(ctl->c, ctl->a, ctl->profile->policy, s->entry.note, &cp, &trust, &err))
        return tampered(w, &s->entry, ctl_text(ctl, "entry %llu: the log's signature on the stamped checkpoint is false",
                                               (unsigned long long)e->header.index));
    if (!w->ca.p)
        s->why = "not verified: no certificates given";
    else if (time_stamp_trust(&s->entry, w->ca, &s->trust, &err))
        s->why = ctl_text(ctl, "%s", err.msg);
    else
        s->trusted = true;
    w->trusted += s->trusted;
    return EXIT_GOOD;
}

static int gather(struct work *w)
{
    struct ctl *ctl = w->ctl;
    struct chain_name name = {CHAIN_LEDGER, span_str(ctl->profile->origin)};
    struct prove_request rq = {.chains = &name, .n = 1, .history = true};
    int exit = ask_prove(ctl, &rq, &w->proof);
    if (exit)
        return exit;
    const struct proven_subject *s = &w->proof->u.prove.subjects[0];
    w->stamps = arena_alloc(ctl->a, (s->n_history + 1) * sizeof *w->stamps);
    if (!w->stamps)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    for (size_t i = 0; !exit && i < s->n_history; i++) {
        if (s->history[i].header.kind != OWN_TIME_STAMP)
            continue;
        exit = s->history[i].content ? take(w, &s->history[i], &s->raw[i])
                                     : ctl_fail(ctl, EXIT_NO_ANSWER, "the server withholds entry %llu, which everybody may read",
                                                (unsigned long long)s->history[i].header.index);
    }
    return exit;
}

/* The stamped checkpoint's tree must be a beginning of the ledger's. */
static int prove_beginning(struct work *w, const struct stamp_entry *s)
{
    struct reply *r;
    struct hash root;
    struct call_request call = {.op = CALL_ENTRIES,
                                .u.entries = {.cursor.next = s->cp.size - 1, .end = s->cp.size, .headers_only = true}};
    int exit = ctl_call(w->ctl, &call, &r);
    if (exit)
        return exit;
    frontier_root(w->ctl->c, &r->u.entries.cursor.frontier, &root);
    if (r->u.entries.cursor.frontier.size != s->cp.size || !hash_eq(&root, &s->cp.root))
        exit = tampered(w, s, ctl_text(w->ctl, "entry %llu: the stamped checkpoint of %llu entries is not one of this ledger's history",
                                       (unsigned long long)s->index, (unsigned long long)s->cp.size));
    reply_free(r);
    return exit;
}

/* ---- an entry's bounds ---- */

static int find_index(struct work *w)
{
    struct ctl *ctl = w->ctl;
    const char *name = w->entry_name[0] == '#' ? w->entry_name + 1 : w->entry_name;
    if (strlen(name) != 2 * HASH_LEN)
        return ask_number(ctl, "--for", name, &w->index) ? EXIT_GOOD : EXIT_USAGE;
    struct reply *r;
    struct call_request call = {.op = CALL_RECEIPT};
    if (!hex_decode(span_str(name), call.u.receipt.event_id.b))
        return ctl_fail(ctl, EXIT_USAGE, "\"%.80s\" is neither an event id nor an entry's number", name);
    int exit = ctl_call(ctl, &call, &r);
    if (!exit)
        w->index = r->u.receipt.receipt.entry.header.index;
    reply_free(exit ? NULL : r);
    return exit;
}

static const struct stamp *stamp_of(const struct work *w, const struct tsp_stamp *list, const struct tsp_stamp *one)
{
    size_t at = (size_t)(one - list);
    for (size_t i = 0; i < w->n; i++)
        if (w->stamps[i].trusted && at-- == 0)
            return &w->stamps[i];
    return NULL;
}

struct bounded { const struct stamp *after, *before; };

static int bound(struct work *w, struct bounded *out)
{
    struct tsp_stamp *list = arena_alloc(w->ctl->a, (w->trusted + 1) * sizeof *list);
    size_t n = 0;
    *out = (struct bounded){NULL, NULL};
    int exit = find_index(w);
    if (exit)
        return exit;
    if (!list)
        return ctl_fail(w->ctl, EXIT_NO_ANSWER, "out of memory");
    if (w->index >= w->proof->snapshot.cp.size)
        return ctl_fail(w->ctl, EXIT_NEGATIVE, "there is no entry %llu: the ledger has %llu", (unsigned long long)w->index,
                        (unsigned long long)w->proof->snapshot.cp.size);
    for (size_t i = 0; i < w->n; i++)
        if (w->stamps[i].trusted)
            list[n++] = stamp_for_bounds(&w->stamps[i].entry);
    tsp_bounds(list, n, w->index, &w->bounds);
    if (w->bounds.after)
        out->after = stamp_of(w, list, w->bounds.after);
    if (w->bounds.before)
        out->before = stamp_of(w, list, w->bounds.before);
    return out->before ? prove_beginning(w, &out->before->entry) : EXIT_GOOD;
}

/* ---- printing ---- */

static void stamp_json(struct json_writer *j, const struct stamp *s)
{
    const struct tsp_info *i = &s->entry.info;
    json_object(j);
    json_put_uint(j, "entry", s->entry.index);
    json_put_time(j, "recorded", s->entry.recorded_us);
    json_put_uint(j, "size", s->entry.cp.size);
    json_put_hex(j, "root", span_of(s->entry.cp.root.b, HASH_LEN));
    json_put_time(j, "time", i->gen_us);
    json_put_uint(j, "accuracy_us", (uint64_t)i->accuracy_us);
    json_put_string(j, "serial", span_str(i->serial));
    json_put_string(j, "policy", span_str(i->policy));
    json_put_bool(j, "verified", s->trusted);
    if (s->trusted) {
        json_put_string(j, "authority", span_str(s->trust.signer));
        json_put_string(j, "ca", span_str(s->trust.ca));
        json_put_hex(j, "ca_sha256", span_of(s->trust.ca_fingerprint.b, HASH_LEN));
    } else {
        json_put_string(j, "why", span_str(s->why));
    }
    json_end(j);
}

static void side_json(struct json_writer *j, const char *name, const struct stamp *s, int64_t us)
{
    json_name(j, span_str(name));
    if (!s) {
        json_null(j);
        return;
    }
    json_object(j);
    json_put_time(j, "time", us);
    json_put_uint(j, "by_entry", s->entry.index);
    json_put_string(j, "authority", span_str(s->trust.signer));
    json_put_string(j, "ca", span_str(s->trust.ca));
    json_end(j);
}

static int print_json(struct work *w, const struct bounded *b)
{
    struct json_writer j;
    json_writer_init(&j, w->ctl->a, true);
    json_object(&j);
    json_name(&j, SPAN_LIT("time_stamps"));
    json_array(&j);
    for (size_t i = 0; i < w->n; i++)
        stamp_json(&j, &w->stamps[i]);
    json_end(&j);
    if (w->entry_name) {
        json_name(&j, SPAN_LIT("bounds"));
        json_object(&j);
        json_put_uint(&j, "entry", w->index);
        side_json(&j, "not_before", b->after, w->bounds.not_before_us);
        side_json(&j, "not_after", b->before, w->bounds.not_after_us);
        json_end(&j);
    }
    ctl_basis_json(&j, w->proof);
    json_end(&j);
    return ctl_print_json(w->ctl, &j);
}

static void print_table(struct work *w)
{
    static const char *const headings[] = {"ENTRY", "COVERS", "TIME", "WITHIN", "AUTHORITY", ""};
    struct ctl *ctl = w->ctl;
    struct ctl_table *t = ctl_table_new(ctl, 6, headings);
    for (size_t i = 0; i < w->n; i++) {
        const struct stamp *s = &w->stamps[i];
        const struct tsp_info *info = &s->entry.info;
        const char *cells[6] = {ctl_text(ctl, "#%llu", (unsigned long long)s->entry.index),
                                ctl_text(ctl, "%llu", (unsigned long long)s->entry.cp.size), ctl_time(ctl, info->gen_us),
                                info->accuracy_us ? ctl_text(ctl, "%.6g s", (double)info->accuracy_us / 1e6) : "",
                                ctl_span(ctl, span_str(s->trusted ? s->trust.signer : info->tsa)),
                                s->trusted ? ctl_paint(ctl, COLOR_GOOD, "verified")
                                           : ctl_paint(ctl, w->ca.p ? COLOR_BAD : COLOR_WARN, ctl_span(ctl, span_str(s->why)))};
        ctl_table_row(t, cells);
    }
    ctl_table_print(t);
    printf("%zu time stamps: all that this ledger has recorded; %zu verified.\n", w->n, w->trusted);
}

static void print_side(struct work *w, const char *words, const struct stamp *s, int64_t us, const char *none)
{
    struct ctl *ctl = w->ctl;
    if (s)
        printf("  %s %s  (token in entry #%llu, by %s under %s)\n", words, ctl_time(ctl, us), (unsigned long long)s->entry.index,
               ctl_span(ctl, span_str(s->trust.signer)), ctl_span(ctl, span_str(s->trust.ca)));
    else
        printf("  %s %s\n", words, ctl_paint(ctl, COLOR_WARN, none));
}

static int print_text(struct work *w, const struct bounded *b)
{
    if (w->entry_name) {
        printf("Entry #%llu was recorded\n", (unsigned long long)w->index);
        print_side(w, "not earlier than", b->after, w->bounds.not_before_us, "(no verified token was recorded before it)");
        print_side(w, "not later than  ", b->before, w->bounds.not_after_us, "(no verified token covers it)");
    } else {
        print_table(w);
    }
    ctl_basis(w->ctl, w->proof);
    return EXIT_GOOD;
}

/* Note and token of each, for other programs: openssl ts -verify -data X.note -in X.token -token_in -CAfile … */
static int export_all(struct work *w)
{
    struct ctl *ctl = w->ctl;
    int exit = EXIT_GOOD;
    if (mkdir(w->folder, 0777) != 0 && errno != EEXIST)
        return ctl_fail(ctl, EXIT_USAGE, "%s: %s", w->folder, strerror(errno));
    for (size_t i = 0; !exit && i < w->n; i++) {
        const struct stamp_entry *s = &w->stamps[i].entry;
        const char *name = ctl_text(ctl, "%s/%llu", w->folder, (unsigned long long)s->index);
        exit = ctl_write_file(ctl, ctl_text(ctl, "%s.note", name), s->note, true);
        if (!exit)
            exit = ctl_write_file(ctl, ctl_text(ctl, "%s.token", name), s->token, true);
    }
    return exit;
}

static int answer(struct work *w)
{
    struct bounded b = {NULL, NULL};
    int exit = gather(w);
    if (!exit && w->entry_name)
        exit = bound(w, &b);
    else if (!exit && w->n)
        exit = prove_beginning(w, &w->stamps[w->n - 1].entry);
    if (!exit && w->folder)
        exit = export_all(w);
    if (!exit)
        exit = w->ctl->json ? print_json(w, &b) : print_text(w, &b);
    if (exit)
        return exit;
    if (w->entry_name)
        return b.after || b.before ? EXIT_GOOD : EXIT_NEGATIVE;
    return w->ca.p && w->trusted < w->n ? EXIT_NEGATIVE : EXIT_GOOD;
}

int cmd_time_stamps(struct ctl *ctl, int argc, char **argv)
{
    struct work w = {.ctl = ctl};
    bool done;
    char **args;
    unsigned n;
    const struct ctl_opt opts[] = {{"for", OPT_TEXT, {.text = &w.entry_name}, 0},
                                   {"ca", OPT_TEXT, {.text = &w.ca_path}, 0},
                                   {"export", OPT_TEXT, {.text = &w.folder}, 0}};
    if (!ctl_options(ctl, argc, argv, opts, 3, 0, 0, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = read_ca(&w);
    if (!exit)
        exit = answer(&w);
    reply_free(w.proof);
    return exit;
}
