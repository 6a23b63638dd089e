/* SPDX-License-Identifier: Apache-2.0 */
/* witness_folder: making, reading and writing the folder of a witness (witness_folder.h). May include: POSIX. */
#include "witness_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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

static enum ledger_rc make_folders(const struct witness *w, struct ledger_err *err)
{
    static const char *const NAMES[] = {"", "state", "evidence"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        const char *path = NAMES[i][0] ? witness_path(w, NAMES[i]) : w->dir;
        if (mkdir(path, 0700) != 0 && !(i == 0 && errno == EEXIST))
            return ledger_fail(err, LEDGER_EINVAL, "cannot make the folder %.150s: %s", path, strerror(errno));
    }
    return LEDGER_OK;
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

static enum ledger_rc make_files(struct witness *w, const char *name, struct span policy, struct ledger_err *err)
{
    enum ledger_rc rc = ledger_key_new("ed25519", name, &w->key, err);
    if (!rc && !set_vkey(w))
        rc = ledger_fail(err, LEDGER_EINVAL, "\"%.80s\" is no name for a witness: printable ASCII without spaces and '+', like "
                         "witness.example/w1", name);
    if (!rc)
        rc = make_folders(w, err);
    if (!rc)
        rc = ledger_key_save(w->key, witness_path(w, "key"), err);
    if (!rc)
        rc = file_create(witness_path(w, "vkey"), span_str(ctl_text(w->ctl, "%s\n", w->vkey_text)), err);
    return rc ? rc : file_create(witness_path(w, "policy"), policy, err);
}

/* What a failed start of a new folder has left; a folder that had a witness in it before was refused earlier. */
static void remove_made(const struct witness *w)
{
    static const char *const FILES[] = {"policy", "vkey", "key"}, *const FOLDERS[] = {"evidence", "state"};
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++)
        unlink(witness_path(w, FILES[i]));
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++)
        rmdir(witness_path(w, FOLDERS[i]));
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
    if (access(witness_path(&w, "key"), F_OK) == 0 || access(witness_path(&w, "state"), F_OK) == 0)
        return ctl_fail(ctl, EXIT_USAGE, "%s is a witness already", dir);
    /* The lines that were given are behind the two of the heading. */
    if (witness_logs_parse(ctl->c, ctl->a, policy, &parsed, &err))
        return ctl_fail(ctl, EXIT_USAGE, "--log: %s", err.msg);
    enum ledger_rc rc = make_files(&w, name, policy, &err);
    ledger_key_free(w.key);
    if (!rc)
        return EXIT_GOOD;
    remove_made(&w);
    return ctl_fail(ctl, EXIT_USAGE, "%s", err.msg);
}

/* ---- reading ---- */

static enum ledger_rc take_lock(struct witness *w, struct ledger_err *err)
{
    w->lock = open(witness_path(w, "lock"), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->lock < 0)
        return ledger_fail(err, LEDGER_EIO, "cannot open %.150s/lock: %s", w->dir, strerror(errno));
    if (flock(w->lock, LOCK_EX | LOCK_NB) != 0)
        return ledger_fail(err, LEDGER_EBUSY, "%.150s is run by another process", w->dir);
    return LEDGER_OK;
}

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
    snprintf(text, sizeof text, "%s/stopped", w->dir);
    if (mkdir(text, 0700) != 0 && errno != EEXIST)
        return ledger_fail(err, LEDGER_EIO, "cannot make the folder %.150s: %s", text, strerror(errno));
    time_format(ctl_now_us(), time);
    int n = snprintf(text, sizeof text, "origin: %s\nstopped: %s\nwhy: %s\n", log->origin->keys[0].name, time, why);
    enum ledger_rc rc = words_path(w, "stopped", log, "", path, err);
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
    log->audited = !rc && text.n && note_size_parse(span_of(text.p, text.n - 1), &log->replayed);
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

enum ledger_rc witness_keep_fork(struct witness *w, const struct witness_log *log, struct span note, bool *kept, struct ledger_err *err)
{
    static const char head[] = "The log has signed both checkpoints below: two different trees of one size. They cannot both be true.\n"
                               "\n==== checkpoint that this witness has cosigned ====\n",
                      middle[] = "\n==== checkpoint that was submitted later ====\n";
    char path[PROFILE_PATH_MAX];
    struct wbuf b;
    int n = snprintf(path, sizeof path, "%s/evidence/%s-fork.txt", w->dir, log->hex);
    if (n < 0 || (size_t)n >= sizeof path)
        return ledger_fail(err, LEDGER_EINVAL, "the path of the folder is too long");
    *kept = access(path, F_OK) != 0;
    if (!*kept)
        return LEDGER_OK;
    wbuf_init(&b, w->scratch);
    wbuf_bytes(&b, head, sizeof head - 1);
    wbuf_bytes(&b, log->record.note.p, log->record.note.n);
    wbuf_bytes(&b, middle, sizeof middle - 1);
    wbuf_bytes(&b, note.p, note.n);
    struct span text = wbuf_span(&b);
    return text.p ? file_create(path, text, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}
