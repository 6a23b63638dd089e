/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: `ledgerd check DIR`: is everything in this data folder what follows from the log, and is
 * the log what was signed?
 *
 * It replays every entry, with all signatures and all rules, and compares everything that is
 * derived with everything that is stored; with --hashes it derives nothing and compares hashes
 * (check_hashes.c). It changes nothing, but for an erasure that was interrupted, which it finishes. Whoever has only the folder can thus be sure that it is
 * consistent with itself and with the anchor; that it is the history that others saw is for
 * witnesses and for those who hold checkpoints.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_internal.h"
#include "commands.h"
#include "unreadable.h"

struct check_arguments {
    const char *dir, *anchor;
    bool json, quiet, hashes;
};

static const char HELP[] =
    "usage: ledgerd check DIR [--hashes] [--anchor FILE] [--json] [--quiet]\n"
    "\n"
    "Replays the whole log of a ledger that is not running and compares everything that follows "
    "from\n"
    "it with what is stored: entries, signatures, rules, states, tree, chain map, checkpoints, "
    "indexes,\n"
    "keys, and the anchor. Changes nothing, but that it finishes an erasure that was interrupted.\n"
    "\n"
    "  --hashes       derives nothing, and is many times faster: content, headers, links, tree, the last\n"
    "                 checkpoint, keys and the anchor; no signatures, no rules, and of the view only the\n"
    "                 tree\n"
    "  --anchor FILE  the anchor, if it is not where ledgerd.conf says (DIR.anchor)\n"
    "  --json         the result as one JSON object\n"
    "  --quiet        no progress, and no output if everything verifies\n"
    "\n"
    "Exit codes: 0 everything verifies; 1 something does not; 2 usage, or the folder cannot be "
    "read or is\n"
    "in use; 3 it was written by a newer version, which is needed to check it.\n";

/* ---- what is checked besides the replay ---- */

static void check_keys(struct check *k)
{
    struct ledger_err err;
    struct entry_record r;
    struct genesis g;
    struct hash commit;
    if (tail_log_key(k->store, &k->tail.m, &k->tail.key, &err))
        check_differ(k, VERDICT_NO_INDEX, "log key", "%s", err.msg);
    if (log_read(&k->stored, 0, &r, &err) || genesis_decode(r.event, &g, &err))
        return; /* it has been told */
    index_key_commit(k->c, store_index_key(k->store), &commit);
    if (!hash_eq(&commit, &g.index_key_commit))
        check_differ(k, 0, "index key",
                     "keys/index.key is not the one that the genesis entry commits to");
}

static void check_anchor(struct check *k)
{
    struct ledger_err err;
    enum ledger_rc rc = tail_anchor(k->anchor_path, &k->tail, &k->anchor, &err);
    k->anchor_missing = rc == LEDGER_ENOTFOUND;
    if (rc && !k->anchor_missing)
        check_differ(k, VERDICT_NO_INDEX, "anchor", "%s", err.msg);
}

size_t check_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page <= 0)
        return SIZE_MAX / 4;
    return (size_t)pages / 5 * 4 * (size_t)page;
}

static enum ledger_rc check_open(struct check *k, const struct check_arguments *args,
                                 struct ledger_err *err)
{
    enum ledger_rc rc =
        offline_open(args->dir, args->anchor, STORE_READ, false, &k->store, k->anchor_path, err);
    if (!rc)
        rc = store_snapshot_open(k->store, &k->sn, err);
    if (!rc)
        rc = log_size(k->sn, &k->log_size, err);
    if (rc)
        return rc;
    k->stored = store_snapshot_kv(k->sn);
    k->sink = check_sink(k);
    k->c = crypto_new();
    k->a = arena_new(REPLAY_SCRATCH);
    k->derived = kv_mem_new(&k->sink, check_memory());
    return k->c && k->a && k->derived ? LEDGER_OK
                                      : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

static enum ledger_rc run_check(struct check *k, const struct check_arguments *args,
                                struct ledger_err *err)
{
    enum ledger_rc rc = check_open(k, args, err);
    if (rc)
        return rc;
    progress_start(&k->progress, args->quiet, 0, k->log_size);
    if (log_rebuilding(&k->stored))
        check_differ(k, VERDICT_NO_INDEX, "view",
                     "a rebuild was interrupted; run `ledgerd rebuild` again");
    if (log_erasing(&k->stored)) /* opening the folder tried to */
        check_differ(k, VERDICT_NO_INDEX, "erasure",
                     "erased content is still in the data file; run it where there is room and the folder can be written");
    k->hashes = args->hashes;
    rc = k->hashes ? check_hashes(k, err) : check_replay(k, err);
    if (!rc && (k->replayed || (k->hashes && k->tail.m.size))) {
        check_keys(k);
        check_log_keys(k);
        check_anchor(k);
    }
    if (!rc && k->replayed)
        rc = check_view(k, err);
    progress_end(&k->progress);
    return rc;
}

static void check_close(struct check *k)
{
    kv_mem_free(k->derived);
    store_snapshot_close(k->sn);
    store_close(k->store);
    arena_free(k->a);
    crypto_free(k->c);
}

/* ---- reports ---- */

static uint64_t view_rows(const struct check *k)
{
    uint64_t n = 0;
    for (int t = 0; t < KV_TABLES; t++)
        n += t == KV_LOG ? 0 : k->tally.rows[t];
    return n;
}

static void print_difference(const struct verdict *v)
{
    if (v->index == VERDICT_NO_INDEX)
        printf("  %s: %s\n", v->what, v->text);
    else
        printf("  entry %llu: %s: %s\n", (unsigned long long)v->index, v->what, v->text);
}

static void print_erased(const struct tally *t, const char *what)
{
    if (t->erased)
        printf("erased:  the content of %llu event%s; %s\n", (unsigned long long)t->erased, t->erased == 1 ? "" : "s", what);
}

static void print_counts(const struct check *k)
{
    const struct tally *t = &k->tally;
    print_erased(t, "their states were taken from what the headers commit to");
    printf("checked: %llu entries (%llu events, %llu seals, %llu other entries of the ledger), "
           "%llu signatures,\n"
           "         %llu chains, %llu checkpoints, %llu rows of the view\n",
           (unsigned long long)t->entries, (unsigned long long)t->events,
           (unsigned long long)t->seals, (unsigned long long)t->own,
           (unsigned long long)t->signatures, (unsigned long long)t->rows[KV_CHAIN],
           (unsigned long long)t->rows[KV_CHECKPOINT], (unsigned long long)view_rows(k));
    if (!k->replayed)
        printf("not checked: after entry %llu the rules could not be replayed; of %llu further "
               "entries only content and\n"
               "             leaf hashes were compared, the view not at all\n",
               (unsigned long long)t->entries, (unsigned long long)t->hashed);
}

static void print_hashed(const struct check *k)
{
    const struct tally *t = &k->tally;
    print_erased(t, "of what is kept in its place the hashes agree");
    printf("checked: hashes of %llu entries (%llu events, %llu seals, %llu other entries of the ledger), their tree and the\n"
           "         last checkpoint; order and links of %llu\n"
           "not checked: signatures, rules, states, the rest of the view: without --hashes they are\n",
           (unsigned long long)t->hashed, (unsigned long long)t->events, (unsigned long long)t->seals, (unsigned long long)t->own,
           (unsigned long long)k->ordered);
}

static void print_anchor(const struct check *k)
{
    if (k->hashes && !k->tail.m.size)
        printf("not checked: keys and anchor, since the view is missing\n");
    else if (k->anchor_missing)
        printf("not checked: there is no anchor %s: a rollback is not excluded%s\n", k->anchor_path,
               k->hashes ? ", and nothing was compared with anything that is signed" : "");
    else if (k->anchor)
        printf("anchor:  size %llu in %s\n", (unsigned long long)k->anchor, k->anchor_path);
}

static void print_text(const struct check *k, const struct check_arguments *args)
{
    if (k->differences == 0 && args->quiet)
        return;
    if (k->differences) {
        printf("DOES NOT VERIFY: %s: %llu difference%s\n", args->dir,
               (unsigned long long)k->differences, k->differences == 1 ? "" : "s");
        for (uint64_t i = 0; i < k->differences && i < DIFFERENCES_KEPT; i++)
            print_difference(&k->first[i]);
        if (k->differences > DIFFERENCES_KEPT)
            printf("  and %llu more\n", (unsigned long long)(k->differences - DIFFERENCES_KEPT));
    } else {
        printf("%s: %s: ledger %s, %llu entries\n", k->hashes ? "hashes agree" : "verifies", args->dir, k->tail.m.origin,
               (unsigned long long)k->tail.m.size);
    }
    if (k->hashes)
        print_hashed(k);
    else
        print_counts(k);
    print_anchor(k);
}

static void json_number(const char *name, uint64_t v)
{
    printf(",\"%s\":%llu", name, (unsigned long long)v);
}

static void print_json(const struct check *k)
{
    static const char *const rows[KV_TABLES] = {"log",       "meta",      "chain", "member",
                                                "keyholder", "reference", "event", "map",
                                                "tree",      "checkpoint"};
    const struct tally *t = &k->tally;
    printf("{\"verifies\":%s,\"origin\":", k->differences ? "false" : "true");
    print_json_text(k->tail.m.origin);
    json_number("size", k->log_size);
    json_number("entries", t->entries);
    json_number("events", t->events);
    json_number("seals", t->seals);
    json_number("own", t->own);
    json_number("signatures", t->signatures);
    json_number("erased", t->erased);
    json_number("hashes_only", t->hashed);
    json_number("ordered", k->ordered);
    printf(",\"rows\":{");
    for (int i = 0; i < KV_TABLES; i++)
        printf("%s\"%s\":%llu", i ? "," : "", rows[i], (unsigned long long)t->rows[i]);
    printf("},\"view_compared\":%s,\"anchor\":", k->replayed ? "true" : "false");
    if (k->anchor_missing || !k->anchor)
        printf("null");
    else
        printf("%llu", (unsigned long long)k->anchor);
    json_number("differences", k->differences);
    printf(",\"first\":[");
    for (uint64_t i = 0; i < k->differences && i < DIFFERENCES_KEPT; i++) {
        const struct verdict *v = &k->first[i];
        printf("%s{\"entry\":", i ? "," : "");
        if (v->index == VERDICT_NO_INDEX)
            printf("null");
        else
            printf("%llu", (unsigned long long)v->index);
        printf(",\"what\":");
        print_json_text(v->what);
        printf(",\"text\":");
        print_json_text(v->text);
        putchar('}');
    }
    printf("]}\n");
}

/* ---- the command ---- */

static bool parse_arguments(struct check_arguments *args, int argc, char **argv)
{
    static const struct option options[] = {
        {"anchor", required_argument, NULL, 'a'},
        {"hashes", no_argument, NULL, 'h'},
        {"json", no_argument, NULL, 'j'},
        {"quiet", no_argument, NULL, 'q'},
        {NULL, 0, NULL, 0},
    };
    int option;
    *args = (struct check_arguments){0};
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'a')
            args->anchor = optarg;
        else if (option == 'h')
            args->hashes = true;
        else if (option == 'j')
            args->json = true;
        else if (option == 'q')
            args->quiet = true;
        else
            return false;
    }
    if (optind != argc - 1)
        return false;
    args->dir = argv[optind];
    return true;
}

int ledgerd_check(int argc, char **argv)
{
    struct check_arguments args;
    struct ledger_err err = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(HELP, stdout);
        return CHECK_EXIT_GOOD;
    }
    if (!parse_arguments(&args, argc, argv)) {
        fprintf(stderr, "ledgerd check: one DIR is wanted, see ledgerd check --help\n");
        return CHECK_EXIT_USAGE;
    }
    struct check *k = calloc(1, sizeof *k);
    if (!k) {
        fputs("ledgerd check: out of memory\n", stderr);
        return CHECK_EXIT_USAGE;
    }
    unreadable_ends_check();
    int code = CHECK_EXIT_GOOD;
    enum ledger_rc rc = run_check(k, &args, &err);
    if (rc) {
        fprintf(stderr, "ledgerd check: %s\n", err.msg);
        bool bad = rc == LEDGER_ETAMPER || store_page_damaged(&err);
        code = rc == LEDGER_EVERSION ? CHECK_EXIT_NEWER : bad ? CHECK_EXIT_BAD : CHECK_EXIT_USAGE;
    } else {
        code = k->differences ? CHECK_EXIT_BAD : CHECK_EXIT_GOOD;
        if (args.json)
            print_json(k);
        else
            print_text(k, &args);
    }
    check_close(k);
    free(k);
    return code;
}
