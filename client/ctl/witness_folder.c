/* SPDX-License-Identifier: Apache-2.0 */
/* witness_folder: making, reading and writing the folder of a witness (witness_folder.h). May include: POSIX. */
#include "witness_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "evidence.h"

#define POLICY_FILE_MAX ((size_t)64 << 20)
#define SCRATCH_BUDGET ((size_t)4 << 20) /* 64 signatures of a note, of 4.2 KB each, and their text, twice */

static const char POLICY_HEAD[] =
    "# The logs that this witness cosigns for: c2sp.org/tlog-policy, a line \"log VKEY\" for each key of each log. A log that has changed\n"
    "# its key has two lines, and then one. What stands here is read when the witness starts.\n";

const char *witness_path(const struct witness *w, const char *name)
{
    return ctl_text(w->ctl, "%s/%s", w->dir, name);
}

const char *witness_policy_line(const struct witness *w, const char *url)
{
    return ctl_text(w->ctl, "witness %s %s %s", w->vkey.name, w->vkey_text, url);
}

/* ---- making ---- */

static const char *const FILES[] = {"key", "vkey", "policy"}, *const FOLDERS[] = {"state", "evidence", "stopped", "audit"};

enum ledger_rc witness_make_folder(const struct witness *w, const char *name, struct ledger_err *err)
{
    char path[PROFILE_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", w->dir, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return ledger_fail(err, LEDGER_EINVAL, "the path of the folder is too long");
    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? LEDGER_OK : ledger_fail(err, LEDGER_EIO, "cannot make the folder %.150s: %s", path, strerror(errno));
    return file_sync_folder(w->dir, err);
}

static enum ledger_rc make_folders(const struct witness *w, struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0] && !rc; i++)
        rc = witness_make_folder(w, FOLDERS[i], err);
    return rc;
}

static struct span policy_text(struct ctl *ctl, const struct ctl_list *logs)
{
    struct wbuf w;
    wbuf_init(&w, ctl->a);
    wbuf_bytes(&w, POLICY_HEAD, sizeof POLICY_HEAD - 1);
    for (unsigned i = 0; i < logs->n; i++) {
        const char *line = ctl_text(ctl, "log %s\n", logs->v[i]);
        wbuf_bytes(&w, line, strlen(line));
    }
    wbuf_bytes(&w, "quorum none\n", 12);
    return wbuf_span(&w);
}

static bool set_vkey(struct witness *w)
{
    struct span pub = span_of(w->key->secret.pub, w->key->secret.pub_len);
    if (w->key->secret.alg != SIG_ED25519 || !note_key_make(w->ctl->c, w->key->party, NOTE_COSIGNATURE_V1, pub, &w->vkey))
        return false;
    w->vkey_text[note_key_format(&w->vkey, w->vkey_text)] = 0;
    return true;
}

static enum ledger_rc take_lock(struct witness *w, struct ledger_err *err)
{
    w->lock = open(witness_path(w, "lock"), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->lock < 0)
        return ledger_fail(err, LEDGER_EIO, "cannot open %.150s/lock: %s", w->dir, strerror(errno));
    if (flock(w->lock, LOCK_EX | LOCK_NB) != 0)
        return ledger_fail(err, LEDGER_EBUSY, "%.150s is run by another process", w->dir);
    return LEDGER_OK;
}

static enum ledger_rc refuse_used(const struct witness *w, struct ledger_err *err)
{
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++)
        if (access(witness_path(w, FILES[i]), F_OK) == 0)
            return ledger_fail(err, LEDGER_EINVAL, i == 0 ? "%.150s is a witness already" : "%.150s is in use: it has a file %s", w->dir, FILES[i]);
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++)
        if (access(witness_path(w, FOLDERS[i]), F_OK) == 0)
            return ledger_fail(err, LEDGER_EINVAL, "%.150s is a witness already, or was one: it has a folder %s", w->dir, FOLDERS[i]);
    return LEDGER_OK;
}

static enum ledger_rc make_files(struct witness *w, const char *name, struct span policy, struct ledger_err *err)
{
    enum ledger_rc rc = ledger_key_new("ed25519", name, &w->key, err);
    if (!rc && !set_vkey(w))
        rc = ledger_fail(err, LEDGER_EINVAL, "\"%.80s\" is no name for a witness: printable ASCII without spaces and '+', like "
                         "witness.example/w1", name);
    if (!rc)
        rc = refuse_used(w, err); /* before anything is made in a folder that is not ours */
    if (!rc)
        rc = take_lock(w, err);
    if (!rc)
        rc = refuse_used(w, err); /* by somebody who was faster */
    if (rc)
        return rc;
    w->making = true;
    rc = make_folders(w, err);
    if (!rc)
        rc = ledger_key_save(w->key, witness_path(w, "key"), err);
    if (!rc)
        rc = file_create(witness_path(w, "vkey"), span_str(ctl_text(w->ctl, "%s\n", w->vkey_text)), err);
    return rc ? rc : file_create(witness_path(w, "policy"), policy, err);
}

/* What a failed start of a new folder has left: under the lock, and after refuse_used has found none of it. */
static void remove_made(const struct witness *w)
{
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++)
        unlink(witness_path(w, FILES[i]));
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++)
        rmdir(witness_path(w, FOLDERS[i]));
    unlink(witness_path(w, "lock"));
    rmdir(w->dir);
}

int witness_make(struct ctl *ctl, const char *dir, const char *name, const struct ctl_list *logs)
{
    struct witness w = {.ctl = ctl, .dir = dir, .lock = -1};
    struct witness_logs parsed;
    struct ledger_err err = {0};
    struct span policy = policy_text(ctl, logs);
    if (!policy.p)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    /* The lines that were given are behind the two of the heading. */
    if (witness_logs_parse(ctl->c, ctl->a, policy, &parsed, &err))
        return ctl_fail(ctl, EXIT_USAGE, "--log: %s", err.msg);
    bool made = mkdir(dir, 0700) == 0;
    if (!made && errno != EEXIST)
        return ctl_fail(ctl, EXIT_USAGE, "cannot make the folder %s: %s", dir, strerror(errno));
    enum ledger_rc rc = make_files(&w, name, policy, &err);
    ledger_key_free(w.key);
    if (rc && w.making)
        remove_made(&w);
    if (rc && made)
        rmdir(dir); /* which fails if somebody else has begun in it */
    if (w.lock >= 0)
        close(w.lock);
    return rc ? ctl_fail(ctl, EXIT_USAGE, "%s", err.msg) : EXIT_GOOD;
}

/* ---- reading ---- */

/* The record's note goes into memory of its own, which is replaced with it. */
static void set_record(struct witness_log *log, const struct witness_record *r, uint8_t *bytes)
{
    memcpy(bytes, r->note.p, r->note.n);
    free(log->bytes);
    log->bytes = bytes;
    log->record = *r;
    log->record.note = span_of(bytes, r->note.n);
}

static enum ledger_rc load_state(struct witness *w, struct witness_log *log, struct ledger_err *err)
{
    struct span bytes;
    struct witness_record r;
    struct hash h;
    crypto_sha256(w->ctl->c, &log->origin->name, 1, &h);
    hex_encode(span_of(h.b, HASH_LEN), log->hex);
    const char *path = witness_path(w, ctl_text(w->ctl, "state/%s", log->hex));
    arena_reset(w->scratch);
    enum ledger_rc rc = file_read(w->scratch, path, NOTE_SIZE_MAX, &bytes, err);
    if (rc == LEDGER_ENOTFOUND)
        return LEDGER_OK;
    if (!rc)
        rc = witness_record_parse(w->ctl->c, w->scratch, &w->vkey, log->origin->name, bytes, &r, err);
    if (rc == LEDGER_EINVAL || rc == LEDGER_ELIMIT)
        return ledger_wrap(err, LEDGER_EINVAL, "%.120s, what was cosigned last for %.60s, is damaged; restore it, do not delete it", path,
                           log->origin->name.p);
    if (rc)
        return rc;
    uint8_t *kept = malloc(bytes.n);
    if (!kept)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    set_record(log, &r, kept);
    return LEDGER_OK;
}

/* ---- an auditor's words ---- */

#define WORDS_MAX 4096

static enum ledger_rc words_path(const struct witness *w, const char *folder, const struct witness_log *log, const char *suffix,
                                 char out[PROFILE_PATH_MAX], struct ledger_err *err)
{
    int n = snprintf(out, PROFILE_PATH_MAX, "%s/%s/%s%s", w->dir, folder, log->hex, suffix);
    return n > 0 && n < PROFILE_PATH_MAX ? LEDGER_OK : ledger_fail(err, LEDGER_EINVAL, "the path of the folder is too long");
}

enum ledger_rc witness_write_stopped(const struct witness *w, const struct witness_log *log, const char *why, struct ledger_err *err)
{
    char path[PROFILE_PATH_MAX], text[WORDS_MAX], time[TIME_TEXT_MAX];
    enum ledger_rc rc = witness_make_folder(w, "stopped", err); /* older ones have none */
    if (rc)
        return rc;
    time_format(ctl_now_us(), time);
    int n = snprintf(text, sizeof text, "origin: %s\nstopped: %s\nwhy: %s\n", log->origin->keys[0].name, time, why);
    rc = words_path(w, "stopped", log, "", path, err);
    return rc ? rc : file_replace(path, span_of(text, (size_t)n), err);
}

enum ledger_rc witness_write_replayed(const struct witness *w, const struct witness_log *log, uint64_t size, struct ledger_err *err)
{
    char path[PROFILE_PATH_MAX], text[32];
    int n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)size);
    enum ledger_rc rc = words_path(w, "audit", log, ".replayed", path, err);
    return rc ? rc : file_replace(path, span_of(text, (size_t)n), err);
}

/* Whatever the file holds, that it is there says that the log has been found lying. */
static enum ledger_rc load_words(struct witness *w, struct witness_log *log, struct ledger_err *err)
{
    char path[PROFILE_PATH_MAX];
    struct span text;
    arena_reset(w->scratch);
    enum ledger_rc rc = words_path(w, "stopped", log, "", path, err);
    if (rc)
        return rc;
    rc = file_read(w->scratch, path, WORDS_MAX, &text, err);
    if (rc != LEDGER_ENOTFOUND) {
        const char *why = rc || !text.n ? NULL : strstr((const char *)text.p, "why: "); /* file_read has put a NUL behind it */
        snprintf(log->stopped, sizeof log->stopped, "%s", why ? why + 5 : "its file does not say why");
        log->stopped[strcspn(log->stopped, "\n")] = 0;
    }
    rc = words_path(w, "audit", log, ".replayed", path, err);
    if (!rc)
        rc = file_read(w->scratch, path, 32, &text, err);
    log->known_replayed = !rc && text.n && note_size_parse(span_of(text.p, text.n - 1), &log->replayed);
    log->audited = log->known_replayed || (words_path(w, "audit", log, "", path, err) == LEDGER_OK && access(path, F_OK) == 0);
    return LEDGER_OK;
}

static enum ledger_rc load_states(struct witness *w, struct ledger_err *err)
{
    struct stat st;
    enum ledger_rc rc = LEDGER_OK;
    /* Without the folder every log would be new to us. */
    if (stat(witness_path(w, "state"), &st) != 0 || !S_ISDIR(st.st_mode))
        return ledger_fail(err, LEDGER_EINVAL, "there is no folder %.150s/state: what was cosigned before is lost", w->dir);
    w->states = calloc(w->logs.n + 1, sizeof *w->states);
    if (!w->states)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    for (size_t i = 0; i < w->logs.n && !rc; i++) {
        w->states[i].origin = &w->logs.origins[i];
        rc = load_state(w, &w->states[i], err);
        if (!rc)
            rc = load_words(w, &w->states[i], err);
    }
    return rc;
}

static enum ledger_rc read_all(struct witness *w, bool lock, struct ledger_err *err)
{
    struct span policy;
    enum ledger_rc rc = lock ? take_lock(w, err) : LEDGER_OK;
    if (!rc)
        rc = ledger_key_load(witness_path(w, "key"), &w->key, err);
    if (!rc && !set_vkey(w))
        rc = ledger_fail(err, LEDGER_EINVAL, "%.150s/key is no Ed25519 key of a witness", w->dir);
    if (!rc)
        rc = file_read(w->ctl->a, witness_path(w, "policy"), POLICY_FILE_MAX, &policy, err);
    if (!rc) {
        rc = witness_logs_parse(w->ctl->c, w->ctl->a, policy, &w->logs, err);
        if (rc)
            ledger_wrap(err, rc, "%.150s/policy", w->dir);
    }
    return rc ? rc : load_states(w, err);
}

int witness_open(struct ctl *ctl, const char *dir, bool lock, struct witness *out)
{
    struct ledger_err err = {0};
    *out = (struct witness){.ctl = ctl, .dir = dir, .lock = -1, .scratch = arena_new(SCRATCH_BUDGET)};
    if (!out->scratch)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    enum ledger_rc rc = read_all(out, lock, &err);
    if (!rc)
        return EXIT_GOOD;
    witness_close(out);
    return ctl_fail(ctl, rc == LEDGER_EBUSY || rc == LEDGER_ENOMEM ? EXIT_NO_ANSWER : EXIT_USAGE, "%s", err.msg);
}

void witness_close(struct witness *w)
{
    for (size_t i = 0; w->states && i < w->logs.n; i++)
        free(w->states[i].bytes);
    free(w->states);
    w->states = NULL;
    ledger_key_free(w->key);
    w->key = NULL;
    arena_free(w->scratch);
    w->scratch = NULL;
    if (w->lock >= 0)
        close(w->lock);
    w->lock = -1;
}

struct witness_log *witness_find(struct witness *w, struct span origin)
{
    const struct witness_origin *o = witness_logs_find(&w->logs, origin);
    return o ? &w->states[o - w->logs.origins] : NULL;
}

struct witness_log *witness_find_hex(struct witness *w, const char *hex)
{
    for (size_t i = 0; i < w->logs.n; i++)
        if (strcmp(w->states[i].hex, hex) == 0)
            return &w->states[i];
    return NULL;
}

/* ---- writing ---- */

enum ledger_rc witness_keep(struct witness *w, struct witness_log *log, const struct witness_record *record, struct ledger_err *err)
{
    char path[PROFILE_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/state/%s", w->dir, log->hex);
    if (n < 0 || (size_t)n >= sizeof path)
        return ledger_fail(err, LEDGER_EINVAL, "the path of the folder is too long");
    uint8_t *bytes = malloc(record->note.n); /* before, so that nothing can fail behind the file's replacement */
    if (!bytes)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = file_replace(path, record->note, err);
    if (rc) {
        free(bytes);
        return rc;
    }
    set_record(log, record, bytes);
    return LEDGER_OK;
}

#define FORKS_MAX 16u /* files of one log from start to end; whoever has its key makes as many forks as he likes */

enum ledger_rc witness_keep_fork(struct witness *w, struct witness_log *log, const struct checkpoint *cp, struct span note,
                                 char path[PROFILE_PATH_MAX], bool *kept, struct ledger_err *err)
{
    char what[80], root[2 * HASH_LEN + 1], ending[48];
    const struct evidence e = {.what = what, .known = log->record.note, .received = note};
    snprintf(what, sizeof what, "the log has signed two trees of size %" PRIu64, cp->size);
    hex_encode(span_of(cp->root.b, HASH_LEN), root);
    snprintf(ending, sizeof ending, "-%" PRIu64 "-%.8s.txt", cp->size, root);
    *kept = false;
    enum ledger_rc rc = words_path(w, "evidence", log, ending, path, err);
    if (rc || access(path, F_OK) == 0)
        return rc;
    if (log->forks_kept >= FORKS_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "there are %u of them since the start, which is enough", FORKS_MAX);
    struct span text = evidence_text(w->scratch, log->origin->keys[0].name, ctl_text(w->ctl, "submitted to %s", w->vkey.name), &e);
    rc = text.p ? file_create(path, text, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    *kept = rc == LEDGER_OK;
    log->forks_kept += *kept;
    return rc;
}
