/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup: what a backup folder and an export of entries consist of, as bytes (docs/format.md, section 18). Written by `ledgerd backup` and
 * `ledgerctl export-entries`, read by both and by `ledgerd restore`; whoever does it brings the files.
 *
 * Terms. A *part* holds consecutive entries' records exactly as the log keeps them. The *manifest* names all parts and files by their
 * SHA-256, and holds the signed checkpoint that they lead to, and the tree at that size as a frontier, so that a later run can go on without
 * reading everything again. Parts and files are called after their hash and never change; the manifest is replaced as a whole.
 *
 *   part      "ledgerd part 1\n" ‖ u64 first index ‖ u32 n ‖ n × var record (entry.h)
 *   manifest  lines, an empty line, the signed note
 *
 * What is in a part is worth nothing by itself: the leaf hashes of its headers must make the tree of the note, event and block must be those
 * that the header names, and states follow by replay.
 */
#ifndef LEDGERD_PROTO_BACKUP_H
#define LEDGERD_PROTO_BACKUP_H

#include "entry.h"
#include "log_keys.h"
#include "merkle.h"

#define BACKUP_FORMAT 1u
#define BACKUP_PART_BYTES ((size_t)16 << 20)   /* a part is ended by the record that reaches it */
#define BACKUP_PART_MAX (BACKUP_PART_BYTES + ((size_t)8 << 20))
#define BACKUP_MANIFEST_MAX ((size_t)256 << 20)
#define BACKUP_FILE_MAX ((size_t)4 << 20)      /* a file besides the entries */
#define BACKUP_PATH_MAX 255

struct backup_part { uint64_t first; uint32_t n; uint64_t bytes; struct hash sha; };
struct backup_file { const char *path; uint64_t bytes; struct hash sha; }; /* path: relative, as it is in the data folder */
struct backup_log_key { uint64_t from; const char *vkey; }; /* signs checkpoints of size >= from, until the next one's */
struct backup_manifest {
    const char *origin;
    uint64_t first;        /* index of the first entry; 0 in a backup, anything in an export */
    struct frontier tree;  /* at the checkpoint's size, where the parts end */
    size_t n_log_keys, n_parts, n_files;
    struct backup_log_key *log_keys;
    struct backup_part *parts; /* ascending, without gaps, from `first` to tree.size */
    struct backup_file *files; /* ascending by path */
    struct span note;
};
struct span backup_manifest_encode(struct arena *a, const struct backup_manifest *m); /* SPAN_NONE: out of memory */
/* Strict; also that the note is a checkpoint of this origin, this size and the frontier's root. Who signed it is not asked. EVERSION: a newer
 * format. Everything is in the arena or borrows. */
enum ledger_rc backup_manifest_decode(struct crypto *c, struct arena *a, struct span bytes, struct backup_manifest *out,
                                      struct ledger_err *err) LEDGER_MUST_USE;
/* Under the log key that the manifest names for this size: is the note signed? */
bool backup_note_signed(struct crypto *c, struct arena *a, const struct backup_manifest *m, uint64_t size, struct span note) LEDGER_MUST_USE;

/* ---- parts ---- */
struct backup_part_writer { struct wbuf w; uint64_t first; uint32_t n; };
void backup_part_begin(struct backup_part_writer *p, struct arena *a, uint64_t first);
void backup_part_add(struct backup_part_writer *p, struct span record);
static inline bool backup_part_full(const struct backup_part_writer *p)
{
    return p->w.n >= BACKUP_PART_BYTES;
}
/* The bytes, in the arena, and what the manifest says of them. SPAN_NONE: out of memory. */
struct span backup_part_end(struct backup_part_writer *p, struct crypto *c, struct backup_part *out);

struct backup_part_reader { struct rbuf r; uint64_t next; uint32_t left; };
/* EINVAL: these are not the bytes that the manifest names. */
enum ledger_rc backup_part_open(struct crypto *c, struct span bytes, const struct backup_part *part, struct backup_part_reader *out,
                                struct ledger_err *err) LEDGER_MUST_USE;
/* The next record; false at the end. It is taken apart and borrows; *index is its place. A record that is none: err. */
bool backup_part_next(struct backup_part_reader *r, uint64_t *index, struct span *record, struct entry_record *out, enum ledger_rc *rc,
                      struct ledger_err *err) LEDGER_MUST_USE;

/*
 * Does a record hold together by itself: a header for that place, the event and block that it names (or an opening in their stead)? Gives its
 * header and leaf hash. EINVAL says what is wrong; EVERSION: a newer header.
 */
enum ledger_rc backup_record_check(struct crypto *c, struct arena *a, uint64_t index, const struct entry_record *r, struct header *h,
                                   struct hash *leaf, struct ledger_err *err) LEDGER_MUST_USE;

#endif
