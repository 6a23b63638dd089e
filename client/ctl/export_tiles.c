/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerctl export-tiles: writes the tree as files of C2SP tlog-tiles, which any web server can publish and any client of tlog-tiles can
 * verify. The entries are read with proofs, like every reading of the log, and the hashes of the tiles are derived from them.
 *
 * It goes on where the folder stands: at the end of the full tiles. The tree that the folder's tiles make is compared with the proven one
 * before anything is added to it; and a checkpoint in the folder, which the log has signed, with what the log shows now.
 */
#include <inttypes.h>
#include <string.h>

#include "tile_folder.h"

#include "ctl.h"

#define BUNDLE_BYTES ((size_t)128 << 20)

struct export {
    struct ctl *ctl;
    struct tile_folder folder;
    struct tile_edge edge;
    struct arena *a;        /* of the bundle that is being filled */
    struct wbuf bundle;
    uint64_t first;         /* where it went on */
    bool has_note;          /* the folder has a checkpoint, signed by the log */
    struct span note;
    struct checkpoint before;
    struct ledger_err err;
    struct ctl_progress progress;
};

static int fail(struct export *x)
{
    return ctl_fail_err(x->ctl, &x->err, (enum ledger_recorded)0);
}

/* ---- where the folder stands ---- */

static int read_note(struct export *x)
{
    struct ctl *ctl = x->ctl;
    struct policy_verdict verdict;
    enum ledger_rc rc = tile_folder_read(&x->folder, ctl->a, "checkpoint", NOTE_SIZE_MAX, &x->note, &x->err);
    if (rc == LEDGER_ENOTFOUND)
        return EXIT_GOOD;
    if (rc != LEDGER_OK)
        return fail(x);
    if (!policy_check(ctl->c, ctl->a, ctl->profile->policy, x->note, &x->before, &verdict, &x->err) || !verdict.log_signed ||
        !span_eq(x->before.origin, span_str(ctl->profile->origin)))
        return ctl_fail(ctl, EXIT_NEGATIVE, "%s/checkpoint is no checkpoint of %s: it is left alone", x->folder.path,
                        ctl->profile->origin);
    x->has_note = true;
    return EXIT_GOOD;
}

/* The folder has another history than the log. If its tiles make the root that the log has signed, that is the log's doing. */
static int differs(struct export *x, const struct reply *r)
{
    struct hash root;
    if (x->has_note && tile_folder_root(&x->folder, x->ctl->c, &x->edge, x->before.size, &root) == LEDGER_OK &&
        hash_eq(&root, &x->before.root))
        return ctl_tampered(x->ctl, r, x->note,
                            "the log has signed a checkpoint, with tiles that verify, which its tree now is no continuation of");
    return ctl_fail(x->ctl, EXIT_NEGATIVE, "the tiles in %s are not those of this ledger, or damaged: remove the folder and export again",
                    x->folder.path);
}

static int go_on(struct export *x)
{
    struct reply *r;
    struct call_request call = {.op = CALL_SNAPSHOT};
    int exit = read_note(x);
    if (exit)
        return exit;
    if (tile_folder_edge(&x->folder, x->ctl->c, x->a, &x->edge, &x->err) != LEDGER_OK)
        return fail(x);
    x->first = x->edge.size;
    exit = ctl_call(x->ctl, &call, &r);
    if (exit)
        return exit;
    uint64_t size = r->snapshot.cp.size;
    if (x->has_note && x->before.size > size)
        exit = ctl_tampered(x->ctl, r, x->note, ctl_text(x->ctl, "the log has signed a checkpoint of %" PRIu64
                            " entries and now shows %" PRIu64, x->before.size, size));
    else if (x->edge.size > size)
        exit = differs(x, r);
    reply_free(r);
    return exit;
}

/* ---- writing ---- */

static bool write_full(void *ctx, const struct tile *t, const struct hash *hashes)
{
    struct export *x = ctx;
    return tile_folder_write_tile(&x->folder, t, span_of(hashes, TILE_BYTES), &x->err) == LEDGER_OK;
}

static int add_entry(struct export *x, const struct read_entry *e, const struct reply *r)
{
    struct hash root;
    if (!tile_bundle_add(&x->bundle, e->raw.header) || x->bundle.failed)
        return ctl_fail(x->ctl, EXIT_NO_ANSWER, "out of memory");
    if ((x->edge.size + 1) % TILE_WIDTH == 0) {
        const struct tile t = {.entries = true, .index = x->edge.size / TILE_WIDTH, .width = TILE_WIDTH};
        if (tile_folder_write_tile(&x->folder, &t, wbuf_span(&x->bundle), &x->err) != LEDGER_OK)
            return fail(x);
        arena_reset(x->a);
        wbuf_init(&x->bundle, x->a);
    }
    if (!tile_edge_append(x->ctl->c, &x->edge, &e->entry.leaf, write_full, x))
        return fail(x);
    if (!x->has_note || x->edge.size != x->before.size)
        return EXIT_GOOD;
    tile_edge_root(x->ctl->c, &x->edge, &root);
    if (hash_eq(&root, &x->before.root))
        return EXIT_GOOD;
    return ctl_tampered(x->ctl, r, x->note, "the log has signed another root for a size than the one that its entries have now");
}

/* What was read is proven to follow the proven tree before it; the folder's tiles must be that tree. */
static int check_before(struct export *x, const struct reply *r)
{
    struct frontier f;
    tile_edge_frontier(x->ctl->c, &x->edge, &f);
    for (size_t i = 0; i < r->u.entries.n; i++)
        frontier_append(x->ctl->c, &f, &r->u.entries.entries[i].entry.leaf);
    const struct frontier *proven = &r->u.entries.cursor.frontier;
    if (f.size == proven->size && memcmp(f.peaks, proven->peaks, frontier_peaks(&f) * HASH_LEN) == 0)
        return EXIT_GOOD;
    return differs(x, r);
}

/* Up to a checkpoint, whose reply is *last. */
static int read_all(struct export *x, struct reply **last)
{
    struct call_request call = {.op = CALL_ENTRIES, .u.entries = {.cursor.next = x->edge.size, .headers_only = true}};
    for (bool end = false; !end;) {
        struct reply *r;
        int exit = ctl_call(x->ctl, &call, &r);
        if (exit)
            return exit;
        reply_free(*last);
        *last = r;
        exit = check_before(x, r);
        for (size_t i = 0; !exit && i < r->u.entries.n; i++)
            exit = add_entry(x, &r->u.entries.entries[i], r);
        if (exit)
            return exit;
        call.u.entries.cursor = r->u.entries.cursor;
        end = r->u.entries.at_end;
        ctl_progress(&x->progress, x->edge.size, r->snapshot.cp.size);
    }
    return EXIT_GOOD;
}

/* With the witnesses' lines, if it is the checkpoint that they have cosigned. */
static struct span checkpoint_of(const struct reply *r)
{
    return r->witnessed.present && r->witnessed.cp.size == r->snapshot.cp.size ? r->witnessed.note : r->snapshot.note;
}

/* What the checkpoint has beyond full tiles, and the checkpoint itself. */
static int write_edge(struct export *x, const struct reply *last)
{
    struct hash root;
    enum ledger_rc rc = LEDGER_OK;
    tile_edge_root(x->ctl->c, &x->edge, &root);
    if (x->edge.size != last->snapshot.cp.size || !hash_eq(&root, &last->snapshot.cp.root))
        return ctl_fail(x->ctl, EXIT_NO_ANSWER, "the tiles do not make the checkpoint's root");
    for (unsigned level = TILE_LEVELS; rc == LEDGER_OK && level-- > 0;) {
        struct tile t = {.level = level, .width = tile_edge_width(&x->edge, level)};
        t.index = x->edge.size >> (TILE_HEIGHT * level) >> TILE_HEIGHT;
        if (t.width)
            rc = tile_folder_write_tile(&x->folder, &t, span_of(x->edge.hashes[level], t.width * HASH_LEN), &x->err);
    }
    const struct tile bundle = {.entries = true, .index = x->edge.size / TILE_WIDTH, .width = tile_edge_width(&x->edge, 0)};
    if (rc == LEDGER_OK && bundle.width)
        rc = tile_folder_write_tile(&x->folder, &bundle, wbuf_span(&x->bundle), &x->err);
    if (rc == LEDGER_OK)
        rc = tile_folder_sync(&x->folder, &x->err);
    if (rc == LEDGER_OK)
        rc = tile_folder_write(&x->folder, "checkpoint", checkpoint_of(last), &x->err);
    if (rc == LEDGER_OK)
        rc = tile_folder_sync(&x->folder, &x->err);
    if (rc != LEDGER_OK)
        return fail(x);
    if (x->has_note)
        tile_folder_tidy(&x->folder, x->before.size, x->edge.size);
    return EXIT_GOOD;
}

static int report(struct export *x, const struct reply *last)
{
    struct json_writer w;
    if (!x->ctl->json) {
        printf("%s: %" PRIu64 " entries as tiles; went on at entry %" PRIu64 ", wrote %" PRIu64 " files\n", x->folder.path,
               x->edge.size, x->first, x->folder.written);
        ctl_basis(x->ctl, last);
        return EXIT_GOOD;
    }
    json_writer_init(&w, x->ctl->a, true);
    json_object(&w);
    json_put_uint(&w, "entries", x->edge.size);
    json_put_uint(&w, "went_on_at", x->first);
    json_put_uint(&w, "files_written", x->folder.written);
    ctl_basis_json(&w, last);
    json_end(&w);
    return ctl_print_json(x->ctl, &w);
}

static int run(struct export *x)
{
    struct reply *last = NULL;
    int exit = go_on(x);
    arena_reset(x->a);
    wbuf_init(&x->bundle, x->a);
    ctl_progress_begin(&x->progress, x->ctl, "export");
    if (!exit)
        exit = read_all(x, &last);
    ctl_progress_end(&x->progress);
    if (!exit)
        exit = write_edge(x, last);
    if (!exit)
        exit = report(x, last);
    reply_free(last);
    return exit;
}

int cmd_export_tiles(struct ctl *ctl, int argc, char **argv)
{
    bool done;
    char **args;
    unsigned n;
    if (!ctl_options(ctl, argc, argv, NULL, 0, 1, 1, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = ctl_connect(ctl);
    if (exit)
        return exit;
    struct export *x = arena_alloc(ctl->a, sizeof *x); /* large: the edge */
    if (!x || !(x->a = arena_new(BUNDLE_BYTES)))
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    x->ctl = ctl;
    exit = tile_folder_open(&x->folder, args[0], &x->err) == LEDGER_OK ? run(x) : fail(x);
    arena_free(x->a);
    return exit;
}
