/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rebuild: `ledgerd rebuild DIR`: derives the view from the log again, verifying every entry on the
 * way.
 *
 *   mark and empty the view (one transaction) → replay, committing at seals → check keys,
 * checkpoint and anchor → unmark
 *
 * Each commit leaves a view that is whole up to a seal, and the machine's state in it, so an
 * interrupted rebuild goes on where it was, also by `ledgerd run`. While the mark stands nobody writes to the log. The
 * log's own rows are compared, never written. A folder of an earlier format has the present one as soon as its old view is gone.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_internal.h"
#include "commands.h"
#include "unreadable.h"

#define CHUNK_BYTES ((size_t)8 << 20) /* of derived rows; ends a transaction at the next seal */
#define CHUNK_BUDGET ((size_t)1 << 30)

struct rebuild {
    struct store *store;
    struct crypto *c;
    struct arena *a;
    struct kv txn;
    struct kv_mem *rows; /* over txn */
    struct machine m;
    struct read_ahead *ahead;
    uint64_t log_size, erased;
    bool older; /* the folder has an earlier format */
    char anchor_path[FILES_PATH_MAX];
    struct progress progress;
    struct verdict v;
};

static const char HELP[] =
    "usage: ledgerd rebuild DIR [--anchor FILE] [--quiet]\n"
    "\n"
    "Derives everything but the log itself anew from the log of a ledger that is not running, and\n"
    "verifies the log while it does: for a data folder in which `ledgerd check` found the view "
    "damaged.\n"
    "It can be interrupted and is then to be run again. A log that does not verify is not rebuilt "
    "from.\n"
    "\n"
    "  --anchor FILE  the anchor, if it is not where ledgerd.conf says (DIR.anchor)\n"
    "  --quiet        no progress, and no output if it succeeds\n"
    "\n"
    "Exit codes: 0 rebuilt; 1 the log does not verify; 2 usage, or the folder cannot be read, "
    "written or is\n"
    "in use; 3 it was written by a newer version.\n";

/* ---- the kv of the replay: the log is compared, the view written ---- */

static enum ledger_rc rebuild_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    struct rebuild *rb = ctx;
    struct kv rows = kv_mem_kv(rb->rows);
    return kv_get(&rows, t, key, value);
}

static enum ledger_rc rebuild_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    struct rebuild *rb = ctx;
    struct kv rows = kv_mem_kv(rb->rows);
    struct span stored;
    if (t != KV_LOG && t != KV_CHECKPOINT)
        return kv_put(&rows, t, key, value);
    enum ledger_rc rc = kv_get(&rb->txn, t, key, &stored);
    if (rc && rc != LEDGER_ENOTFOUND)
        return rc;
    return rc == LEDGER_OK && span_eq(stored, value) ? LEDGER_OK : LEDGER_ETAMPER;
}

/* ---- steps ---- */

/* Was a rebuild interrupted, one that makes a view of the present format, and is what it has made whole? */
static bool can_go_on(struct rebuild *rb)
{
    struct machine m = {.c = rb->c, .a = rb->a, .kv = rb->txn, .index_key = *store_index_key(rb->store), .wire = true};
    return log_rebuilding_same(&rb->txn) &&
           (machine_load(&m, NULL) == LEDGER_ENOTFOUND || machine_tree_load(&m, NULL) == LEDGER_OK);
}

/* The old view is gone: an earlier version has no business with the folder any more. */
static enum ledger_rc up_to_date(struct rebuild *rb, struct ledger_err *err)
{
    return rb->older ? store_format_update(rb->store, err) : LEDGER_OK;
}

static enum ledger_rc begin_view(struct rebuild *rb, struct ledger_err *err)
{
    enum ledger_rc rc = store_begin(rb->store, &rb->txn, err);
    if (rc)
        return rc;
    if (can_go_on(rb)) {
        store_abort(rb->store);
        return up_to_date(rb, err);
    }
    bool erasing = log_erasing(&rb->txn); /* not done yet for want of space: it stays due */
    rc = store_drop_view(rb->store, err);
    if (!rc)
        rc = log_set_rebuilding(rb->store, true, err);
    if (!rc && erasing)
        rc = log_set_erasing(rb->store, err);
    if (!rc)
        rc = store_commit_own(rb->store, err);
    store_abort(rb->store);
    return rc ? rc : up_to_date(rb, err);
}

/* From the open transaction: as far as an earlier run came, or at the beginning. */
static enum ledger_rc load(struct rebuild *rb, struct ledger_err *err)
{
    rb->m = (struct machine){.c = rb->c,
                             .a = rb->a,
                             .kv = {rb, rebuild_get, rebuild_put},
                             .index_key = *store_index_key(rb->store),
                             .wire = true};
    enum ledger_rc rc = machine_load(&rb->m, err);
    return rc == LEDGER_ENOTFOUND ? LEDGER_OK : rc;
}

static enum ledger_rc replay_entry(struct rebuild *rb, struct ledger_err *err)
{
    const struct ahead_entry *e;
    uint64_t index = rb->m.size;
    enum ledger_rc rc = read_ahead_next(rb->ahead, &e, err);
    if (rc)
        return ledger_wrap(err, rc, "the log");
    rc = replay_one(&rb->m, e, &rb->v, err);
    rb->erased += !rc && e->record.erased_by != 0;
    progress_step(&rb->progress, index);
    return rc;
}

/* Replays until a seal after enough rows, or the end of the log. */
static enum ledger_rc replay_chunk(struct rebuild *rb, struct ledger_err *err)
{
    enum ledger_rc rc = store_begin(rb->store, &rb->txn, err);
    if (!rc)
        rc = load(rb, err);
    if (!rc && !rb->ahead)
        rc = read_ahead_log(rb->store, rb->m.origin, rb->m.size, rb->log_size, &rb->ahead, err);
    while (!rc && rb->m.size < rb->log_size) {
        rc = replay_entry(rb, err);
        if (rb->m.batch_first == rb->m.size && kv_mem_bytes(rb->rows) >= CHUNK_BYTES)
            break;
    }
    if (!rc && rb->m.batch_first != rb->m.size)
        rc = ledger_fail(err, LEDGER_ETAMPER,
                         "entry %llu: entries after the last seal: no checkpoint covers them",
                         (unsigned long long)rb->m.batch_first);
    if (!rc)
        rc = kv_mem_flush(rb->rows, err);
    if (!rc)
        rc = store_commit_own(rb->store, err);
    kv_mem_discard(rb->rows);
    store_abort(rb->store);
    return rc;
}

/* The rebuilt view under the eyes of the next start, and then the mark is taken away. */
static enum ledger_rc finish(struct rebuild *rb, struct ledger_err *err)
{
    struct tail *t = calloc(1, sizeof *t);
    uint64_t size = 0;
    if (!t)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = store_begin(rb->store, &rb->txn, err);
    if (!rc)
        rc = load(rb, err);
    t->m = rb->m;
    if (!rc)
        rc = tail_log_key(rb->store, &t->m, &t->key, err);
    if (!rc)
        rc = tail_anchor(rb->anchor_path, t, &size, err);
    if (rc == LEDGER_ENOTFOUND)
        rc = LEDGER_OK; /* the next start will ask for it */
    if (!rc)
        rc = log_set_rebuilding(rb->store, false, err);
    if (!rc)
        rc = store_commit_own(rb->store, err);
    store_abort(rb->store);
    free(t);
    return rc;
}

static enum ledger_rc open_all(struct rebuild *rb, const char *dir, const char *anchor,
                               struct ledger_err *err)
{
    struct store_snapshot *sn;
    enum ledger_rc rc = offline_open(dir, anchor, STORE_WRITE, true, &rb->store, rb->anchor_path, err);
    if (!rc)
        rc = store_is_older(dir, &rb->older, err);
    if (!rc)
        rc = store_snapshot_open(rb->store, &sn, err);
    if (rc)
        return rc;
    rc = log_size(sn, &rb->log_size, err);
    store_snapshot_close(sn);
    if (!rc && rb->log_size == 0)
        rc = ledger_fail(err, LEDGER_ENOTFOUND,
                         "there is no genesis entry: the ledger was never made");
    rb->c = crypto_new();
    rb->a = arena_new(REPLAY_SCRATCH);
    rb->rows = kv_mem_new(&rb->txn, CHUNK_BUDGET);
    if (!rc && (!rb->c || !rb->a || !rb->rows))
        rc = ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    return rc;
}

static enum ledger_rc run_rebuild(struct rebuild *rb, bool quiet, struct ledger_err *err)
{
    enum ledger_rc rc = begin_view(rb, err);
    progress_start(&rb->progress, quiet, 0, rb->log_size);
    do {
        if (!rc)
            rc = replay_chunk(rb, err);
    } while (!rc && rb->m.size < rb->log_size);
    progress_end(&rb->progress);
    read_ahead_stop(rb->ahead);
    return rc ? rc : finish(rb, err);
}

static void close_all(struct rebuild *rb)
{
    kv_mem_free(rb->rows);
    store_close(rb->store);
    arena_free(rb->a);
    crypto_free(rb->c);
}

enum ledger_rc rebuild_folder(const char *dir, const char *anchor, bool quiet, struct rebuilt *out, struct ledger_err *err)
{
    struct rebuild *rb = calloc(1, sizeof *rb);
    memset(out, 0, sizeof *out);
    if (!rb)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = open_all(rb, dir, anchor, err);
    if (!rc)
        rc = run_rebuild(rb, quiet, err);
    *out = (struct rebuilt){.size = rb->m.size, .erased = rb->erased};
    memcpy(out->origin, rb->m.origin, sizeof rb->m.origin);
    close_all(rb);
    free(rb);
    return rc;
}

/* ---- the command ---- */

static bool parse_arguments(int argc, char **argv, const char **dir, const char **anchor,
                            bool *quiet)
{
    static const struct option options[] = {
        {"anchor", required_argument, NULL, 'a'},
        {"quiet", no_argument, NULL, 'q'},
        {NULL, 0, NULL, 0},
    };
    int option;
    *anchor = NULL;
    *quiet = false;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'a')
            *anchor = optarg;
        else if (option == 'q')
            *quiet = true;
        else
            return false;
    }
    if (optind != argc - 1)
        return false;
    *dir = argv[optind];
    return true;
}

static int exit_code(enum ledger_rc rc)
{
    if (rc == LEDGER_EVERSION)
        return CHECK_EXIT_NEWER;
    return rc == LEDGER_ETAMPER ? CHECK_EXIT_BAD : CHECK_EXIT_USAGE;
}

static void print_rebuilt(const struct rebuilt *b, const char *dir)
{
    printf("rebuilt: %s: ledger %s: %llu entries verified, the view follows from them\n", dir, b->origin,
           (unsigned long long)b->size);
    if (b->erased)
        printf("erased:  the content of %llu event%s; their states were taken from what the headers commit to\n",
               (unsigned long long)b->erased, b->erased == 1 ? "" : "s");
}

int ledgerd_rebuild(int argc, char **argv)
{
    const char *dir, *anchor;
    bool quiet;
    struct ledger_err err = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(HELP, stdout);
        return CHECK_EXIT_GOOD;
    }
    if (!parse_arguments(argc, argv, &dir, &anchor, &quiet)) {
        fprintf(stderr, "ledgerd rebuild: one DIR is wanted, see ledgerd rebuild --help\n");
        return CHECK_EXIT_USAGE;
    }
    struct rebuilt done;
    unreadable_ends_check();
    enum ledger_rc rc = rebuild_folder(dir, anchor, quiet, &done, &err);
    if (rc)
        fprintf(stderr, "ledgerd rebuild: %s\n", err.msg);
    else if (!quiet)
        print_rebuilt(&done, dir);
    return rc ? exit_code(rc) : CHECK_EXIT_GOOD;
}
