/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore: `ledgerd restore BACKUP DIR`: a data folder out of a backup and what fills it up.
 *
 *   which checkpoints are known? → is every entry below the largest there? → replay them all into a new folder beside DIR → do the roots
 *   of the known checkpoints come out, signed by the ledger? → verify the tail as a start does → what have the witnesses seen? → anchor →
 *   the folder gets its name
 *
 * A history that is shorter than a checkpoint that anybody holds must not be gone on with: a second entry of the same number, signed with the
 * same key, is a fork. So there is no option that forces it.
 *
 * Failure: the folder that was being made is removed; DIR, BACKUP and anchor are as they were.
 */
#include "restore.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "anchor.h"
#include "commands.h"
#include "log_note.h"
#include "small_files.h"
#include "witness/witness.h"

#define KEEP_ARENA ((size_t)1 << 30)
#define CONFIG "ledgerd.conf"

static const char HELP[] =
    "usage: ledgerd restore BACKUP DIR [--keys FOLDER] [--refill SOURCE]… [--known FILE]… [--anchor FILE] [--config FILE]\n"
    "                       [--json] [--quiet]\n"
    "\n"
    "Makes the data folder DIR, which must not exist or be empty, from what `ledgerd backup` wrote: verifies every entry, derives everything\n"
    "else, and writes the anchor. It refuses to make a ledger that is shorter than a checkpoint that is known to the anchor, to a witness of the\n"
    "restored configuration, each of which has to answer, or given with --known: going on from it would fork the history. It then says which\n"
    "entries are missing.\n"
    "\n"
    "  --keys FOLDER    where keys/log.key, pki/ca.key and pki/server.key are, if the backup was made without --with-keys\n"
    "  --refill SOURCE  fills what BACKUP lacks: a folder that `ledgerctl export-entries` wrote, another backup, a receipt, or a folder\n"
    "                   of receipts\n"
    "  --known FILE     a checkpoint that somebody holds (a client's pin, a tile server's checkpoint), or a receipt\n"
    "  --anchor FILE    the anchor, if it is not where the restored ledgerd.conf says (DIR.anchor)\n"
    "  --config FILE    takes the place of the backup's ledgerd.conf: for another machine, other paths\n"
    "  --json           print what was done, or what is missing, as JSON\n"
    "  --quiet          no progress, and no output if it succeeds\n"
    "\n"
    "Exit codes: 0 restored; 1 refused: entries are missing, or a source is damaged; 2 wrong usage; 3 written by a newer version; 4 somebody holds\n"
    "a checkpoint of another history, signed by this ledger, or a witness has seen more.\n";

static enum ledger_rc begin_folder(struct restore *r, struct ledger_err *err)
{
    size_t n = strlen(r->dir);
    while (n > 1 && r->dir[n - 1] == '/')
        n--;
    if (n == 0 || n + 16 >= sizeof r->final)
        return ledger_fail(err, LEDGER_EINVAL, "DIR is empty or too long");
    memcpy(r->final, r->dir, n);
    enum ledger_rc rc = files_vacant(r->final, err);
    return rc == LEDGER_OK ? rc : ledger_wrap(err, rc, "nothing was touched");
}

static enum ledger_rc make_work(struct restore *r, struct ledger_err *err)
{
    char work[FILES_PATH_MAX];
    int n = snprintf(work, sizeof work, "%s.tmp-XXXXXX", r->final);
    if (n < 0 || (size_t)n >= sizeof work || !mkdtemp(work))
        return ledger_fail(err, LEDGER_EIO, "%s.tmp-…: make folder: %s", r->final, strerror(errno));
    memcpy(r->work, work, sizeof r->work);
    return LEDGER_OK;
}

/* ---- configuration and keys ---- */

static enum ledger_rc restore_files(struct restore *r, struct ledger_err *err)
{
    const struct backup_manifest *m = &r->backup->m;
    char path[FILES_PATH_MAX];
    struct span bytes;
    enum ledger_rc rc = LEDGER_OK;
    if (r->config_given) {
        rc = files_read(r->a, r->config_given, BACKUP_FILE_MAX, &bytes, err);
        if (rc == LEDGER_OK)
            rc = small_file_write(r->work, CONFIG, bytes, err);
    }
    for (size_t i = 0; rc == LEDGER_OK && i < m->n_files; i++)
        if (!r->config_given || strcmp(m->files[i].path, CONFIG) != 0)
            rc = small_file_restore(r->backup, &m->files[i], r->work, r->scratch, err);
    if (rc == LEDGER_OK)
        rc = files_path(path, r->work, CONFIG, err);
    if (rc == LEDGER_OK)
        rc = config_load(&r->config, path, err);
    if (rc == LEDGER_ENOTFOUND)
        return ledger_fail(err, LEDGER_EINVAL, "the backup has no ledgerd.conf");
    r->config_loaded = rc == LEDGER_OK;
    return rc;
}

/* FOLDER/keys/log.key, or FOLDER/log.key. ENOTFOUND. */
static enum ledger_rc read_kept(struct restore *r, const char *name, struct span *out, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    if (!r->keys)
        return LEDGER_ENOTFOUND;
    arena_reset(r->scratch);
    enum ledger_rc rc = files_path(path, r->keys, name, err);
    if (rc == LEDGER_OK)
        rc = files_read(r->scratch, path, BACKUP_FILE_MAX, out, err);
    if (rc == LEDGER_ENOTFOUND)
        rc = files_path(path, r->keys, strchr(name, '/') + 1, err);
    else
        return rc;
    return rc == LEDGER_OK ? files_read(r->scratch, path, BACKUP_FILE_MAX, out, err) : rc;
}

static enum ledger_rc restore_keys(struct restore *r, struct ledger_err *err)
{
    static const char *const names[] = {"keys/index.key", "keys/log.key", "pki/ca.key", "pki/server.key"};
    char path[FILES_PATH_MAX];
    struct stat st;
    struct span bytes;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        enum ledger_rc rc = files_path(path, r->work, names[i], err);
        if (rc == LEDGER_OK && stat(path, &st) == 0)
            continue;
        if (rc == LEDGER_OK)
            rc = read_kept(r, names[i], &bytes, err);
        if (rc == LEDGER_OK)
            rc = small_file_write(r->work, names[i], bytes, err);
        if (rc == LEDGER_ENOTFOUND && i < 2)
            return ledger_fail(err, LEDGER_EINVAL, "%s is not in the backup: say with --keys in which folder it is kept", names[i]);
        if (rc == LEDGER_ENOTFOUND)
            r->missing_key = names[i];
        else if (rc != LEDGER_OK)
            return rc;
    }
    return LEDGER_OK;
}

/* ---- what is known ---- */

static enum ledger_rc find_anchor(struct restore *r, struct ledger_err *err)
{
    char parent[FILES_PATH_MAX], full[FILES_PATH_MAX], absolute[PATH_MAX];
    const char *given = r->anchor_given ? r->anchor_given : r->config.anchor;
    if (given[0])
        return anchor_path(given, "", r->anchor, err);
    enum ledger_rc rc = files_parent(parent, r->final, err);
    if (rc != LEDGER_OK)
        return rc;
    if (!realpath(parent, absolute))
        return ledger_fail(err, LEDGER_EIO, "%s: %s", parent, strerror(errno));
    const char *name = strrchr(r->final, '/');
    rc = files_path(full, absolute, name ? name + 1 : r->final, err);
    return rc == LEDGER_OK ? anchor_path(NULL, full, r->anchor, err) : rc;
}

static enum ledger_rc collect(struct restore *r, struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; rc == LEDGER_OK && i < r->n_refills; i++)
        rc = sources_add(r->sources, r->refills[i], NULL, err);
    for (size_t i = 0; rc == LEDGER_OK && i < r->n_knowns; i++)
        rc = sources_known(r->sources, r->knowns[i], err);
    if (rc == LEDGER_OK)
        rc = find_anchor(r, err);
    if (rc == LEDGER_OK) {
        rc = sources_known(r->sources, r->anchor, err);
        if (rc == LEDGER_ENOTFOUND && !r->anchor_given)
            rc = LEDGER_OK; /* it went with the disk, perhaps */
    }
    sources_ready(r->sources);
    return rc;
}

static enum ledger_rc demand_all(struct restore *r, struct ledger_err *err)
{
    uint64_t first, last;
    const struct known *k = sources_newest(r->sources);
    r->size = k->size;
    if (!sources_missing(r->sources, 0, r->size, &first, &last))
        return LEDGER_OK;
    r->short_of = true;
    return ledger_fail(err, LEDGER_EINVAL, "refused: entries %llu to %llu are missing, and %.100s is a checkpoint of %llu entries",
                       (unsigned long long)first, (unsigned long long)last, k->from, (unsigned long long)k->size);
}

/* ---- the end ---- */

static enum ledger_rc verify(struct restore *r, struct tail *t, struct ledger_err *err)
{
    struct store_snapshot *sn;
    enum ledger_rc rc = store_snapshot_open(r->store, &sn, err);
    if (rc != LEDGER_OK)
        return rc;
    arena_reset(r->scratch);
    rc = tail_verify(r->store, sn, r->c, r->scratch, t, err);
    if (rc == LEDGER_OK) {
        const struct checkpoint cp = {span_str(t->m.origin), t->m.size, t->root};
        rc = log_note(r->store, &t->m, &cp, r->a, &r->note, err);
    }
    store_snapshot_close(sn);
    return rc;
}

static void published_cb(void *ctx)
{
    (void)ctx; /* the start publishes */
}

static enum ledger_rc ask_witnesses(struct restore *r, struct ledger_err *err)
{
    struct witness_service *w = NULL;
    const struct witness_options o = {.dir = r->work, .config = &r->config, .store = r->store, .published_cb = published_cb};
    if (!r->config.witness_policy[0])
        return LEDGER_OK;
    enum ledger_rc rc = witness_new(&o, &w, err);
    if (rc == LEDGER_OK)
        rc = witness_ask(w, err);
    const char *silent = rc == LEDGER_OK ? witness_silent(w) : NULL;
    if (silent)
        rc = ledger_fail(err, LEDGER_EBUSY, "the witness %.100s has not cosigned this checkpoint, and may have seen more than %llu entries; nothing was restored. "
                         "Try again when it answers; if it is gone for good, give a --config whose policy does without it", silent,
                         (unsigned long long)r->size);
    witness_free(w);
    r->asked = rc == LEDGER_OK;
    return rc;
}

static enum ledger_rc put_in_place(struct restore *r, struct ledger_err *err)
{
    char parent[FILES_PATH_MAX];
    store_close(r->store);
    r->store = NULL;
    enum ledger_rc rc = files_sync_folder(r->work, err);
    if (rc == LEDGER_OK)
        rc = anchor_write(r->anchor, r->note, err);
    if (rc == LEDGER_OK && rename(r->work, r->final) != 0)
        rc = ledger_fail(err, LEDGER_EIO, "%s: rename to %s: %s", r->work, r->final, strerror(errno));
    if (rc != LEDGER_OK)
        return rc;
    r->work[0] = 0;
    rc = files_parent(parent, r->final, err);
    return rc == LEDGER_OK ? files_sync_folder(parent, err) : rc;
}

static enum ledger_rc perform(struct restore *r, struct ledger_err *err)
{
    struct tail *t = calloc(1, sizeof *t);
    r->c = crypto_new();
    r->a = arena_new(KEEP_ARENA);
    r->scratch = arena_new(REPLAY_SCRATCH);
    r->sources_c = crypto_new();
    r->sources = r->c && r->sources_c && r->a ? sources_new(r->sources_c, r->a) : NULL;
    enum ledger_rc rc = t && r->sources && r->scratch ? begin_folder(r, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    if (rc == LEDGER_OK)
        rc = sources_add(r->sources, r->path, &r->backup, err);
    if (rc == LEDGER_OK && (r->backup->m.first || !r->backup->m.n_log_keys))
        rc = ledger_fail(err, LEDGER_EINVAL, "%s is an export of entries, not a backup: give it with --refill", r->path);
    if (rc == LEDGER_OK)
        rc = make_work(r, err);
    if (rc == LEDGER_OK)
        rc = restore_files(r, err);
    if (rc == LEDGER_OK)
        rc = restore_keys(r, err);
    if (rc == LEDGER_OK)
        rc = collect(r, err);
    if (rc == LEDGER_OK)
        rc = demand_all(r, err);
    if (rc == LEDGER_OK)
        rc = restore_replay(r, err);
    if (rc == LEDGER_OK)
        rc = verify(r, t, err);
    if (rc == LEDGER_OK)
        rc = ask_witnesses(r, err);
    if (rc == LEDGER_OK)
        rc = put_in_place(r, err);
    free(t);
    return rc;
}

/* ---- the command ---- */

static void print_missing_text(const struct restore *r)
{
    uint64_t at = 0, first, last;
    fputs("missing:\n", stderr);
    while (sources_missing(r->sources, at, r->size, &first, &last)) {
        fprintf(stderr, "  entries %llu to %llu\n", (unsigned long long)first, (unsigned long long)last);
        at = last + 1;
    }
    fprintf(stderr, "known checkpoints:\n");
    for (size_t i = 0; i < r->sources->n_known; i++)
        fprintf(stderr, "  %llu entries: %s\n", (unsigned long long)r->sources->known[i].size, r->sources->known[i].from);
    fputs("What to do: fill the gap with --refill, from clients' `ledgerctl export-entries`, other backups, or receipts of these entries. If nobody\n"
          "has them, this ledger has ended: begin a successor (ledgerd init --successor-of). See \"Restoring\" in docs/operations.md.\n",
          stderr);
}

static void print_missing_json(const struct restore *r)
{
    uint64_t at = 0, first, last;
    printf("{\"restored\":false,\"size\":%llu,\"missing\":[", (unsigned long long)r->size);
    for (const char *comma = ""; sources_missing(r->sources, at, r->size, &first, &last); comma = ",") {
        printf("%s{\"first\":%llu,\"last\":%llu}", comma, (unsigned long long)first, (unsigned long long)last);
        at = last + 1;
    }
    printf("],\"known\":[");
    for (size_t i = 0; i < r->sources->n_known; i++) {
        printf("%s{\"size\":%llu,\"from\":", i ? "," : "", (unsigned long long)r->sources->known[i].size);
        print_json_text(r->sources->known[i].from);
        putchar('}');
    }
    printf("]}\n");
}

static void print_text(const struct restore *r)
{
    printf("restored:  %s: ledger %s, %llu entries, verified one by one; everything else was derived from them\n", r->final, r->origin,
           (unsigned long long)r->size);
    if (r->refilled)
        printf("refilled:  %llu of them from other sources than the backup\n", (unsigned long long)r->refilled);
    if (r->erased)
        printf("erased:    the content of %llu event%s\n", (unsigned long long)r->erased, r->erased == 1 ? "" : "s");
    printf("not shorter than: %zu known checkpoint%s%s\n"
           "anchor:    %s\n", r->sources->n_known, r->sources->n_known == 1 ? "" : "s", r->asked ? ", and what the witnesses have seen" : "",
           r->anchor);
    if (r->missing_key)
        printf("missing:   %s: take it from where keys are kept, or see `ledgerd cert --help`\n", r->missing_key);
    printf("Before you start it: nobody else may hold a newer checkpoint. Ask those who recorded last (ledgerctl checkpoint, their pins).\n"
           "Start it:  ledgerd run %s\n", r->final);
}

static void print_json(const struct restore *r)
{
    printf("{\"restored\":true,\"dir\":");
    print_json_text(r->final);
    printf(",\"origin\":");
    print_json_text(r->origin);
    printf(",\"size\":%llu,\"refilled\":%llu,\"erased\":%llu,\"known\":%zu,\"witnesses_asked\":%s,\"anchor\":", (unsigned long long)r->size,
           (unsigned long long)r->refilled, (unsigned long long)r->erased, r->sources->n_known, r->asked ? "true" : "false");
    print_json_text(r->anchor);
    printf(",\"missing_key\":");
    if (r->missing_key)
        print_json_text(r->missing_key);
    else
        printf("null");
    printf("}\n");
}

static bool add(const char **list, size_t *n, const char *value)
{
    if (*n == RESTORE_LIST_MAX)
        return false;
    list[(*n)++] = value;
    return true;
}

static bool parse_arguments(struct restore *r, int argc, char **argv)
{
    static const struct option options[] = {
        {"keys", required_argument, NULL, 'k'},   {"refill", required_argument, NULL, 'r'}, {"known", required_argument, NULL, 'n'},
        {"anchor", required_argument, NULL, 'a'}, {"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},         {"quiet", no_argument, NULL, 'q'},
        {NULL, 0, NULL, 0},
    };
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool good = option != '?';
        if (option == 'k')
            r->keys = optarg;
        if (option == 'r')
            good = add(r->refills, &r->n_refills, optarg);
        if (option == 'n')
            good = add(r->knowns, &r->n_knowns, optarg);
        if (option == 'a')
            r->anchor_given = optarg;
        if (option == 'c')
            r->config_given = optarg;
        r->json = r->json || option == 'j';
        r->quiet = r->quiet || option == 'q';
        if (!good)
            return false;
    }
    if (optind != argc - 2)
        return false;
    r->path = argv[optind];
    r->dir = argv[optind + 1];
    return true;
}

static void report(struct restore *r, enum ledger_rc rc, const struct ledger_err *err)
{
    if (rc != LEDGER_OK) {
        fprintf(stderr, "ledgerd restore: %s\n", err->msg);
        if (r->short_of && r->json)
            print_missing_json(r);
        else if (r->short_of)
            print_missing_text(r);
    } else if (r->json) {
        print_json(r);
    } else if (!r->quiet) {
        print_text(r);
    }
}

int cmd_restore(int argc, char **argv)
{
    struct restore *r = calloc(1, sizeof *r);
    struct ledger_err err = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(HELP, stdout);
        free(r);
        return EXIT_CODE_OK;
    }
    if (!r || !parse_arguments(r, argc, argv)) {
        fputs(r ? "ledgerd restore: BACKUP and DIR are wanted, see ledgerd restore --help\n" : "ledgerd restore: out of memory\n", stderr);
        free(r);
        return EXIT_CODE_USAGE;
    }
    umask(077);
    enum ledger_rc rc = perform(r, &err);
    report(r, rc, &err);
    store_close(r->store);
    if (r->work[0])
        files_remove_folder(r->work);
    if (r->config_loaded)
        config_fini(&r->config);
    sources_free(r->sources);
    arena_free(r->scratch);
    arena_free(r->a);
    crypto_free(r->sources_c);
    crypto_free(r->c);
    free(r);
    return exit_code_of(rc);
}
