/* SPDX-License-Identifier: Apache-2.0 */
/* receipt_read: see receipt_read.h. Fields are taken with the strict reader of events: a receipt file is canonical, too. */
#include "receipt_read.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "wire.h"

static const char magic[] = "ledgerd receipt v1\n";
#define MAGIC_FRONT 17 /* without the number */

bool receipt_is_file(const char *path)
{
    char front[MAGIC_FRONT];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && read(fd, front, sizeof front) == (ssize_t)sizeof front && memcmp(front, magic, sizeof front) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

/* The fields of one message that are of use here; byte fields by number, the one number by its own. */
struct fields { struct span bytes[8]; uint64_t numbers[8]; };

static bool read_fields(struct span message, struct fields *out)
{
    struct wire_reader r;
    struct wire_field f;
    memset(out, 0, sizeof *out);
    wire_open(&r, message);
    while (wire_next(&r, &f)) {
        if (f.number >= 8)
            continue;
        if (f.is_bytes)
            out->bytes[f.number] = f.s;
        else
            out->numbers[f.number] = f.u;
    }
    return !r.fault;
}

static bool index_of(struct arena *a, struct span header, uint64_t *out)
{
    struct header h;
    if (header_decode(a, header, &h, NULL) != LEDGER_OK)
        return false;
    *out = h.index;
    return true;
}

static enum ledger_rc take(struct arena *a, struct span message, struct receipt_parts *out, struct ledger_err *err)
{
    struct fields file, receipt, record, snapshot;
    struct note note;
    memset(out, 0, sizeof *out);
    if (!read_fields(message, &file) || !read_fields(file.bytes[2], &receipt) || !read_fields(receipt.bytes[1], &record) ||
        !read_fields(receipt.bytes[3], &snapshot))
        return ledger_fail(err, LEDGER_EINVAL, "it is no receipt");
    out->record = (struct entry_record){.header = record.bytes[1], .event = record.bytes[2], .block = record.bytes[3],
                                        .opening = record.numbers[6] ? record.bytes[5] : SPAN_NONE, .erased_by = record.numbers[6]};
    out->path = receipt.bytes[2];
    out->note = snapshot.bytes[1];
    out->seal = snapshot.bytes[2];
    out->seal_path = snapshot.bytes[3];
    if (!index_of(a, out->record.header, &out->index) || (out->seal.n && !index_of(a, out->seal, &out->seal_index)))
        return ledger_fail(err, LEDGER_EINVAL, "its header is malformed");
    out->withheld = record.numbers[4] || (record.numbers[6] && !record.bytes[5].n);
    enum ledger_rc rc = note_parse(a, out->note, &note, err);
    return rc == LEDGER_OK ? checkpoint_parse(note.text, &out->cp, err) : rc;
}

enum ledger_rc receipt_read(struct crypto *c, struct arena *a, struct span bytes, struct receipt_parts *out, struct ledger_err *err)
{
    size_t n = sizeof magic - 1;
    struct hash sum;
    if (bytes.n < MAGIC_FRONT || memcmp(bytes.p, magic, MAGIC_FRONT) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "it is no receipt");
    if (bytes.n < n || memcmp(bytes.p, magic, n) != 0)
        return ledger_fail(err, LEDGER_EVERSION, "a receipt of a newer version");
    if (bytes.n < n + HASH_LEN)
        return ledger_fail(err, LEDGER_EINVAL, "the receipt is cut short");
    struct span all = span_of(bytes.p, bytes.n - HASH_LEN);
    crypto_sha256(c, &all, 1, &sum);
    if (memcmp(sum.b, bytes.p + all.n, HASH_LEN) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "the receipt is damaged");
    return take(a, span_of(bytes.p + n, all.n - n), out, err);
}
