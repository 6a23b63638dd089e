/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sources: what a ledger is restored from: a backup, and whatever fills what the backup lacks: exports of entries (`ledgerctl
 * export-entries`), other backups, receipt files (docs/format.md, section 12), folders of these. And the *known* checkpoints: those of all
 * sources, the anchor's, those that clients have pinned: the ledger may not be restored shorter than the largest of them.
 *
 * A source is believed nothing. What it gives are bytes whose hashes fit together; whether they are the ledger's is seen when all is
 * replayed and the roots of the known checkpoints come out. One thread at a time.
 */
#ifndef LEDGERD_BACKUP_SOURCES_H
#define LEDGERD_BACKUP_SOURCES_H

#include "target.h"

struct known {
    uint64_t size;
    struct hash root;
    struct span note;
    const char *from; /* the file that it comes from */
    bool reached;     /* set by the replay */
};
struct folder_source;
struct extent { uint64_t first, end; struct folder_source *folder; const char *from; }; /* what a folder has */
struct single { uint64_t index; struct span record; const char *from; };                /* out of a receipt */

struct sources {
    struct crypto *c;
    struct arena *a;
    const char *origin;  /* of the first source */
    struct extent *v;    /* in the order in which they were added: the first that has an entry gives it */
    size_t n, cap;
    struct single *singles; /* ascending once sources_ready was called */
    size_t n_singles, singles_cap;
    struct known *known;
    size_t n_known, known_cap;
};
/* Returns owned. The arena keeps everything. */
struct sources *sources_new(struct crypto *c, struct arena *a);
void sources_free(struct sources *s); /* NULL is allowed */

/* A folder with a manifest, a folder of receipts, or a receipt. ENOTFOUND, EINVAL, EVERSION: err names it. *folder (may be NULL) is the
 * manifest's, if it has one. */
enum ledger_rc sources_add(struct sources *s, const char *path, struct target **folder, struct ledger_err *err) LEDGER_MUST_USE;
/* A signed checkpoint, or a receipt for the sake of its checkpoint. ENOTFOUND: there is no such file. */
enum ledger_rc sources_known(struct sources *s, const char *path, struct ledger_err *err) LEDGER_MUST_USE;

/* To be called when all are added, before anything below. */
void sources_ready(struct sources *s);
/* The largest known size. */
const struct known *sources_newest(const struct sources *s);
/* The first stretch at or after `from` and below `end` that no source has; false: there is none. */
bool sources_missing(const struct sources *s, uint64_t from, uint64_t end, uint64_t *first, uint64_t *last);
/* The record of an entry, from the first source that has it; until the next call. Best asked for in order. Any thread, one at a time. */
enum ledger_rc sources_record(struct sources *s, uint64_t index, struct entry_record *out, const char **from, struct ledger_err *err)
    LEDGER_MUST_USE;

#endif
