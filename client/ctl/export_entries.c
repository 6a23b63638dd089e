/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledgerctl export-entries: writes entries as they stand in the log, content included, into a folder of the form that `ledgerd backup` writes
 * (proto/backup.h): a replica in a client's hands, and what `ledgerd restore --refill` takes when a ledger has lost its end.
 *
 * What is read is proven to be the log's. A folder that has entries already is gone on with: the library demands that the log continues the
 * tree that the folder's manifest holds. Parts are written first, the manifest last.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "backup.h"

#include "ask.h"
#include "profile.h"

#define PATH_BYTES 4096
#define PART_ARENA ((size_t)256 << 20)

struct export {
    struct ctl *ctl;
    const char *path;
    struct arena *a;       /* of the part that is being filled */
    struct backup_part_writer part;
    struct backup_manifest m;
    size_t parts_cap;
    bool present;
    uint64_t went_on_at, bytes, erasures;
    uint64_t erased, erased_by; /* entries without content, and the latest act that is said to have erased any */
    struct entries_cursor at;
    struct ledger_err err;
    struct ctl_progress progress;
};

static int fail(struct export *x)
{
    return ctl_fail_err(x->ctl, &x->err, (enum ledger_recorded)0);
}

static int no_memory(struct export *x)
{
    return ctl_fail(x->ctl, EXIT_NO_ANSWER, "out of memory");
}

static const char *below(struct export *x, const char *name)
{
    return ctl_text(x->ctl, "%s/%s", x->path, name);
}

/* ---- the folder ---- */

static int make_folder(struct export *x, const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return EXIT_GOOD;
    return ctl_fail(x->ctl, EXIT_USAGE, "%s: %s", path, strerror(errno));
}

/* What a first run that was interrupted may have left is not in the way. */
static int demand_vacant(struct export *x)
{
    bool good = true;
    DIR *d = opendir(x->path);
    for (const struct dirent *e; d && good && (e = readdir(d));)
        good = e->d_name[0] == '.' || strcmp(e->d_name, "parts") == 0 || strncmp(e->d_name, "manifest.", 9) == 0;
    if (d)
        closedir(d);
    return good ? EXIT_GOOD : ctl_fail(x->ctl, EXIT_NEGATIVE, "%s holds something that is no export: it is left alone", x->path);
}

static int read_manifest(struct export *x)
{
    struct ctl *ctl = x->ctl;
    struct span bytes;
    struct policy_verdict verdict;
    struct checkpoint cp;
    enum ledger_rc rc = file_read(ctl->a, below(x, "manifest"), BACKUP_MANIFEST_MAX, &bytes, &x->err);
    if (rc == LEDGER_ENOTFOUND)
        return demand_vacant(x);
    if (rc == LEDGER_OK)
        rc = backup_manifest_decode(ctl->c, ctl->a, bytes, &x->m, &x->err);
    if (rc != LEDGER_OK)
        return fail(x);
    if (strcmp(x->m.origin, ctl->profile->origin) != 0 || !policy_check(ctl->c, ctl->a, ctl->profile->policy, x->m.note, &cp, &verdict, &x->err) ||
        !(verdict.log_signed || verdict.wrong_key))
        return ctl_fail(ctl, EXIT_NEGATIVE, "%s is no export of %s: it is left alone", x->path, ctl->profile->origin);
    x->present = true;
    x->parts_cap = x->m.n_parts;
    x->went_on_at = x->m.tree.size;
    x->at = (struct entries_cursor){.next = x->m.tree.size, .ready = true, .frontier = x->m.tree};
    return EXIT_GOOD;
}

/* What the log shows now against the checkpoint that it has signed before. That a longer log continues it, the library demands. */
static int still_there(struct export *x)
{
    struct ctl *ctl = x->ctl;
    const struct call_request call = {.op = CALL_SNAPSHOT};
    struct reply *r;
    struct hash root;
    int exit = ctl_call(ctl, &call, &r);
    if (exit)
        return exit;
    const struct checkpoint *now = &r->snapshot.cp;
    frontier_root(ctl->c, &x->m.tree, &root);
    if (x->m.tree.size > now->size)
        exit = ctl_tampered(ctl, r, x->m.note, ctl_text(ctl, "the log has signed a checkpoint of %" PRIu64 " entries and now shows %" PRIu64,
                                                        x->m.tree.size, now->size));
    else if (x->m.tree.size == now->size && !hash_eq(&root, &now->root))
        exit = ctl_tampered(ctl, r, x->m.note, "the log has signed two checkpoints of one size with different roots");
    reply_free(r);
    return exit;
}

static int begin(struct export *x, bool given, uint64_t from)
{
    x->m.origin = x->ctl->profile->origin;
    int exit = make_folder(x, x->path);
    if (!exit)
        exit = read_manifest(x);
    if (!exit && x->present && given && from != x->m.first)
        return ctl_fail(x->ctl, EXIT_USAGE, "%s begins with entry %" PRIu64 "; --from is for a new folder", x->path, x->m.first);
    if (!exit && !x->present) {
        x->m.first = x->went_on_at = from;
        x->at.next = from;
    }
    if (!exit && x->present)
        exit = still_there(x);
    return exit ? exit : make_folder(x, below(x, "parts"));
}

/* ---- parts ---- */

static bool keep_part(struct export *x, const struct backup_part *p)
{
    if (x->m.n_parts == x->parts_cap) {
        size_t cap = 2 * x->parts_cap + 64;
        struct backup_part *parts = arena_alloc(x->ctl->a, cap * sizeof *parts);
        if (!parts)
            return false;
        if (x->m.n_parts)
            memcpy(parts, x->m.parts, x->m.n_parts * sizeof *parts);
        x->m.parts = parts;
        x->parts_cap = cap;
    }
    x->m.parts[x->m.n_parts++] = *p;
    return true;
}

static int write_part(struct export *x)
{
    struct backup_part p;
    char name[2 * HASH_LEN + 1];
    if (x->part.n == 0)
        return EXIT_GOOD;
    struct span bytes = backup_part_end(&x->part, x->ctl->c, &p);
    if (!bytes.p || !keep_part(x, &p))
        return no_memory(x);
    hex_encode(span_of(p.sha.b, HASH_LEN), name);
    if (file_replace(ctl_text(x->ctl, "%s/parts/%s", x->path, name), bytes, &x->err) != LEDGER_OK)
        return fail(x);
    x->bytes += p.bytes;
    arena_reset(x->a);
    backup_part_begin(&x->part, x->a, p.first + p.n);
    return EXIT_GOOD;
}

static int add_entry(struct export *x, const struct read_entry *e)
{
    const struct entry_claim *raw = &e->raw;
    const struct entry_record record = {.header = raw->header, .event = raw->event, .block = raw->block,
                                        .opening = raw->erased_by ? raw->opening : SPAN_NONE, .erased_by = raw->erased_by};
    if (raw->withheld || (raw->erased_by && !raw->opening.n))
        return ctl_fail(x->ctl, EXIT_NEGATIVE, "the content of entry %" PRIu64 " is withheld from this client: an export takes the right to read "
                        "everything (`read all`)", e->entry.header.index);
    if (raw->erased_by) {
        struct verifier vf = {.c = x->ctl->c, .a = x->a};
        struct verdict v = {0};
        if (!verify_opening(&vf, &e->entry.header, raw->opening, &v))
            return ctl_fail(x->ctl, verdict_open(v.kind) ? EXIT_NO_ANSWER : EXIT_NEGATIVE, "what stands in for the erased content of entry %" PRIu64 ": %s",
                            e->entry.header.index, v.text);
        x->erased++;
        x->erased_by = raw->erased_by > x->erased_by ? raw->erased_by : x->erased_by;
    }
    x->erasures += e->entry.header.kind == OWN_ERASURE;
    struct span bytes = entry_record_join(x->a, &record);
    if (!bytes.p)
        return no_memory(x);
    backup_part_add(&x->part, bytes);
    return backup_part_full(&x->part) ? write_part(x) : EXIT_GOOD;
}

/* Up to a checkpoint, whose reply is *last. */
static int read_all(struct export *x, struct reply **last)
{
    backup_part_begin(&x->part, x->a, x->at.next);
    for (bool end = false; !end;) {
        struct reply *r;
        struct call_request call = {.op = CALL_ENTRIES, .u.entries = {.cursor = x->at}};
        int exit = ctl_call(x->ctl, &call, &r);
        if (exit)
            return exit;
        reply_free(*last);
        *last = r;
        for (size_t i = 0; !exit && i < r->u.entries.n; i++)
            exit = add_entry(x, &r->u.entries.entries[i]);
        if (exit)
            return exit;
        x->at = r->u.entries.cursor;
        end = r->u.entries.at_end;
        ctl_progress(&x->progress, x->at.next, r->snapshot.cp.size);
    }
    return write_part(x);
}

/* ---- the end ---- */

static int finish(struct export *x, const struct reply *last)
{
    x->m.tree = x->at.frontier;
    x->m.note = last->snapshot.note;
    x->m.n_log_keys = x->m.n_files = 0;
    if (x->at.next != last->snapshot.cp.size || x->m.tree.size != x->at.next)
        return ctl_fail(x->ctl, EXIT_NO_ANSWER, "the entries do not end at a checkpoint");
    if (x->erased_by >= x->at.next)
        return ctl_fail(x->ctl, EXIT_NEGATIVE, "content is said to be erased under entry %" PRIu64 ", which there is not", x->erased_by);
    struct span bytes = backup_manifest_encode(x->ctl->a, &x->m);
    if (!bytes.p)
        return no_memory(x);
    return file_replace(below(x, "manifest"), bytes, &x->err) == LEDGER_OK ? EXIT_GOOD : fail(x);
}

static int report(struct export *x, const struct reply *last)
{
    struct json_writer w;
    if (x->erasures && x->present)
        ctl_note(x->ctl, "Content was erased in the ledger since: %s still has it. Remove the folder and export again.", x->path);
    if (!x->ctl->json) {
        printf("%s: entries %" PRIu64 " to %" PRIu64 ", verified; %" PRIu64 " new, %" PRIu64 " bytes\n", x->path, x->m.first, x->m.tree.size - 1,
               x->m.tree.size - x->went_on_at, x->bytes);
        if (x->erased)
            printf("erased: the content of %" PRIu64 " of the new entries; that ERASURE entries name them, restoring will ask\n", x->erased);
        ctl_basis(x->ctl, last);
        return EXIT_GOOD;
    }
    json_writer_init(&w, x->ctl->a, true);
    json_object(&w);
    json_put_uint(&w, "first", x->m.first);
    json_put_uint(&w, "size", x->m.tree.size);
    json_put_uint(&w, "went_on_at", x->went_on_at);
    json_put_uint(&w, "bytes_written", x->bytes);
    json_put_uint(&w, "erased", x->erased);
    ctl_basis_json(&w, last);
    json_end(&w);
    return ctl_print_json(x->ctl, &w);
}

static int run(struct export *x, bool given, uint64_t from)
{
    struct reply *last = NULL;
    int exit = begin(x, given, from);
    ctl_progress_begin(&x->progress, x->ctl, "export");
    if (!exit)
        exit = read_all(x, &last);
    ctl_progress_end(&x->progress);
    if (!exit)
        exit = finish(x, last);
    if (!exit)
        exit = report(x, last);
    reply_free(last);
    return exit;
}

int cmd_export_entries(struct ctl *ctl, int argc, char **argv)
{
    const char *from_text = NULL;
    const struct ctl_opt opts[] = {{"from", OPT_TEXT, {.text = &from_text}, 0}};
    bool done;
    char **args;
    unsigned n;
    uint64_t from;
    if (!ctl_options(ctl, argc, argv, opts, 1, 1, 1, &args, &n, &done) || !ask_number(ctl, "--from", from_text, &from))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    umask(077); /* it is content */
    struct export *x = arena_alloc(ctl->a, sizeof *x);
    int exit = ctl_connect(ctl);
    if (exit)
        return exit;
    if (!x || strlen(args[0]) + 80 >= PATH_BYTES || !(x->a = arena_new(PART_ARENA)))
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory, or the folder's path is too long");
    x->ctl = ctl;
    x->path = args[0];
    exit = run(x, from_text != NULL, from);
    arena_free(x->a);
    return exit;
}
