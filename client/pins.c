/* SPDX-License-Identifier: Apache-2.0 */
/* pins: reading, advancing and keeping evidence (pins.h). May include: POSIX. */
#include "pins.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_TEXT_MAX 200 /* leaves room for ".checkpoint.PID.new" in a file name */
#define EVIDENCE_TRIES 100
#define SEAL_BYTES_MAX 8192

static bool plain_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

/* A long origin keeps its beginning, for people, and a checksum of all of it. */
static void pin_name(const char *origin, char out[NAME_TEXT_MAX + 32])
{
    size_t n = 0;
    uint64_t sum = UINT64_C(14695981039346656037); /* FNV-1a; only to tell names apart, not for security */
    for (const char *c = origin; *c; c++) {
        sum = (sum ^ (uint8_t)*c) * UINT64_C(1099511628211);
        if (n + 3 > NAME_TEXT_MAX)
            continue;
        if (plain_char(*c) && !(*c == '.' && c == origin))
            out[n++] = *c;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned)(uint8_t)*c);
    }
    if (n + 3 > NAME_TEXT_MAX)
        n += (size_t)snprintf(out + n, 24, "~%016llx", (unsigned long long)sum);
    out[n] = 0;
}

enum ledger_rc pin_path_of(const struct ledger_profile *p, const char *ending, char out[PIN_PATH_MAX], struct ledger_err *err)
{
    char name[NAME_TEXT_MAX + 32], relative[NAME_TEXT_MAX + 64];
    pin_name(p->origin, name);
    snprintf(relative, sizeof relative, "pins/%s.%s", name, ending);
    return profile_path(p, relative, out, err);
}

static enum ledger_rc pin_path(const struct ledger_profile *p, char out[PIN_PATH_MAX], struct ledger_err *err)
{
    return pin_path_of(p, "checkpoint", out, err);
}

static enum ledger_rc make_folder(const struct ledger_profile *p, struct ledger_err *err)
{
    char path[PIN_PATH_MAX];
    enum ledger_rc rc = profile_path(p, "pins", path, err);
    if (rc != LEDGER_OK)
        return rc;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return ledger_fail(err, LEDGER_EIO, "cannot make the folder %s, where the last seen checkpoint is kept: %s", path,
                           strerror(errno));
    return LEDGER_OK;
}

/* Several programs may share a profile; whoever changes the pin holds this lock. It goes with the descriptor. */
enum ledger_rc pin_lock(const struct ledger_profile *p, int *fd, struct ledger_err *err)
{
    char path[PIN_PATH_MAX];
    enum ledger_rc rc = make_folder(p, err);
    if (rc == LEDGER_OK)
        rc = profile_path(p, "pins/lock", path, err);
    if (rc != LEDGER_OK)
        return rc;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return ledger_fail(err, LEDGER_EIO, "cannot open %s: %s", path, strerror(errno));
    while (flock(*fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        rc = ledger_fail(err, LEDGER_EIO, "cannot lock %s: %s", path, strerror(errno));
        close(*fd);
        return rc;
    }
    return LEDGER_OK;
}

enum ledger_rc pin_load(struct arena *a, const struct ledger_profile *p, struct pin *out, struct ledger_err *err)
{
    char path[PIN_PATH_MAX];
    struct span bytes;
    struct note note;
    struct checkpoint cp;
    memset(out, 0, sizeof *out);
    enum ledger_rc rc = pin_path(p, path, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = file_read(a, path, NOTE_SIZE_MAX, &bytes, err);
    if (rc == LEDGER_ENOTFOUND)
        return LEDGER_OK;
    if (rc != LEDGER_OK)
        return rc;
    /* The note was verified before it was written. Its signature is not asked for again, so that a change of the policy does not
     * make this program forget what it has seen. */
    rc = note_parse(a, bytes, &note, err);
    if (rc == LEDGER_OK)
        rc = checkpoint_parse(note.text, &cp, err);
    if (rc == LEDGER_OK && !span_eq(cp.origin, span_str(p->origin)))
        rc = ledger_fail(err, LEDGER_EINVAL, "it is of another ledger");
    if (rc != LEDGER_OK)
        return ledger_wrap(err, LEDGER_EINVAL, "the last seen checkpoint, %.150s, is damaged", path);
    *out = (struct pin){true, cp.size, cp.root, bytes, SPAN_NONE};
    if (pin_path_of(p, "seal", path, err) || file_read(a, path, SEAL_BYTES_MAX, &out->seal, NULL))
        out->seal = SPAN_NONE; /* there is none, or not a good one */
    return LEDGER_OK;
}

enum ledger_rc pin_keep_seal(const struct ledger_profile *p, struct span seal, struct ledger_err *err)
{
    char path[PIN_PATH_MAX];
    enum ledger_rc rc = pin_path_of(p, "seal", path, err);
    return rc == LEDGER_OK ? file_replace(path, seal, err) : rc;
}

static enum ledger_rc advance_locked(struct arena *a, const struct ledger_profile *p, const struct pin *mine,
                                     struct pin *other, struct ledger_err *err)
{
    char path[PIN_PATH_MAX];
    struct pin now;
    enum ledger_rc rc = pin_load(a, p, &now, err);
    if (rc != LEDGER_OK)
        return rc;
    if (now.present && now.size == mine->size) {
        if (hash_eq(&now.root, &mine->root))
            return LEDGER_OK;
        *other = now;
        return ledger_fail(err, LEDGER_ETAMPER, "two different trees of %llu entries were shown to programs of this profile",
                           (unsigned long long)now.size);
    }
    if (now.present && now.size > mine->size) {
        *other = now;
        return LEDGER_OK;
    }
    rc = pin_path(p, path, err);
    return rc == LEDGER_OK ? file_replace(path, mine->note, err) : rc;
}

enum ledger_rc pin_advance(struct arena *a, const struct ledger_profile *p, const struct pin *mine, struct pin *other,
                           struct ledger_err *err)
{
    int fd = -1;
    memset(other, 0, sizeof *other);
    enum ledger_rc rc = pin_lock(p, &fd, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = advance_locked(a, p, mine, other, err);
    close(fd);
    return rc;
}

/* ---- evidence ---- */

enum ledger_rc pin_write_evidence(struct arena *a, const struct ledger_profile *p, const struct evidence *e,
                                  char path[PIN_PATH_MAX], struct ledger_err *err)
{
    char name[96];
    time_t now = time(NULL);
    struct span text = evidence_text(a, p->origin, p->address, e);
    enum ledger_rc rc = text.p ? make_folder(p, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    for (unsigned i = 0; rc == LEDGER_OK && i < EVIDENCE_TRIES; i++) {
        snprintf(name, sizeof name, "pins/evidence-%lld-%u.txt", (long long)now, i);
        rc = profile_path(p, name, path, err);
        if (rc != LEDGER_OK)
            return rc;
        if (access(path, F_OK) == 0)
            continue;
        return file_create(path, text, err);
    }
    return rc != LEDGER_OK ? rc : ledger_fail(err, LEDGER_EIO, "too many evidence files in one second");
}
