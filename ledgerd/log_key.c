/* SPDX-License-Identifier: Apache-2.0 */
/* log_key: see log_key.h. */
#include "log_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "anchor.h"
#include "event.h"
#include "files.h"
#include "keyfile.h"
#include "log_note.h"
#include "store/log.h"
#include "tail.h"

#define PRESENT "keys/log.key"
#define NEXT "keys/log.key.next"
#define BATCH_BUDGET ((size_t)64 << 20)

/* ---- the next key ---- */

static enum ledger_rc draw(void *out, size_t n, struct ledger_err *err)
{
    if (getrandom(out, n, 0) != (ssize_t)n)
        return ledger_fail(err, LEDGER_EINTERNAL, "no random numbers: %s", strerror(errno));
    return LEDGER_OK;
}

static enum ledger_rc make_next(struct crypto *c, const char *path, const char *origin, struct secret_key *out, struct ledger_err *err)
{
    uint8_t seed[32];
    enum ledger_rc rc = draw(seed, sizeof seed, err);
    if (rc == LEDGER_OK && !crypto_secret_from_seed(c, SIG_ED25519, seed, out))
        rc = ledger_fail(err, LEDGER_EINTERNAL, "no key can be made");
    OPENSSL_cleanse(seed, sizeof seed);
    return rc == LEDGER_OK ? keyfile_write(path, origin, out, err) : rc;
}

static enum ledger_rc read_next(const char *dir, struct crypto *c, struct secret_key *out, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = files_path(path, dir, NEXT, err);
    if (rc == LEDGER_OK)
        rc = keyfile_read(c, path, NULL, out, err);
    if (rc == LEDGER_OK && out->alg != SIG_ED25519)
        rc = ledger_fail(err, LEDGER_EINVAL, "%s is no Ed25519 key", path);
    return rc;
}

enum ledger_rc log_key_next(const char *dir, struct crypto *c, const char *origin, struct secret_key *out, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = read_next(dir, c, out, err);
    if (rc != LEDGER_ENOTFOUND)
        return rc;
    rc = files_path(path, dir, NEXT, err);
    return rc == LEDGER_OK ? make_next(c, path, origin, out, err) : rc;
}

/* ---- recording ---- */

static bool is_key_of(struct crypto *c, const char *vkey, const struct secret_key *k)
{
    struct note_key key;
    return vkey[0] && note_key_parse(c, span_str(vkey), &key, NULL) == LEDGER_OK &&
           span_eq(span_of(key.key, key.key_n), span_of(k->pub, k->pub_len));
}

bool log_key_unfinished(struct store *s, const struct machine *m)
{
    return !is_key_of(m->c, m->log_vkey, store_log_key(s)) && is_key_of(m->c, m->log_vkey_before, store_log_key(s));
}

static enum ledger_rc make_payload(struct machine *m, const struct secret_key *next, struct span *out, struct ledger_err *err)
{
    char vkey[NOTE_NAME_MAX + 200];
    uint8_t proof[64];
    struct note_key key;
    struct log_key_change k = {.from_size = m->size + 3, .old_vkey = span_str(m->log_vkey)};
    enum ledger_rc rc = draw(k.nonce, sizeof k.nonce, err);
    if (rc != LEDGER_OK)
        return rc;
    struct span pub = span_of(next->pub, next->pub_len);
    struct span msg = key_proof_input(m->a, span_str(m->origin), span_str(m->origin), SIG_ED25519, pub);
    if (!msg.p || !note_key_make(m->c, m->origin, NOTE_ED25519, pub, &key) || !crypto_make_signature(m->c, next, msg, proof))
        return ledger_fail(err, LEDGER_EINTERNAL, "the new key cannot sign");
    k.new_vkey = span_of(vkey, note_key_format(&key, vkey));
    k.proof = span_of(proof, sizeof proof);
    *out = log_key_change_encode(m->a, &k);
    return out->p ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

static enum ledger_rc append(struct machine *m, const struct secret_key *next, int64_t now_us, struct ledger_err *err)
{
    struct appended_entry entry;
    struct checkpoint cp;
    struct span payload;
    enum ledger_rc rc = make_payload(m, next, &payload, err);
    if (rc == LEDGER_OK)
        rc = machine_own(m, OWN_LOG_KEY, payload, now_us, &entry, err);
    return rc == LEDGER_OK ? machine_seal(m, now_us, &entry, &cp, err) : rc;
}

enum ledger_rc log_key_record(struct store *s, struct machine *m, const struct secret_key *next, int64_t now_us, struct ledger_err *err)
{
    struct kv txn;
    uint64_t before = m->size;
    enum ledger_rc rc = log_begin(s, &txn, err);
    struct kv_mem *rows = rc == LEDGER_OK ? kv_mem_new(&txn, BATCH_BUDGET) : NULL;
    if (rc == LEDGER_OK && !rows)
        rc = ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    if (rc == LEDGER_OK) {
        m->kv = kv_mem_kv(rows);
        rc = append(m, next, now_us, err);
    }
    if (rc == LEDGER_OK) {
        const struct log_batch batch = {.rows = rows, .own = true};
        enum log_outcome outcome = log_append(s, before, m->epoch, &batch, err);
        rc = outcome == LOG_APPENDED ? LEDGER_OK : outcome == LOG_FULL ? LEDGER_EFULL : LEDGER_EIO;
    } else {
        store_abort(s);
    }
    kv_mem_free(rows);
    return rc;
}

/* ---- finishing ---- */

/* The checkpoint of the batch, signed by the old key. One that is kept already, with more signatures maybe, stays. */
static enum ledger_rc keep_note(struct store *s, struct tail *t, const struct secret_key *old, struct span *note, struct ledger_err *err)
{
    const struct checkpoint cp = {span_str(t->m.origin), t->m.size, t->root};
    struct note_key key;
    struct wbuf w;
    if (t->m.size + 1 != t->m.log_key_from)
        return ledger_fail(err, LEDGER_ETAMPER, "the log key was replaced at size %llu, and entries follow that are not signed by the "
                           "new one: " PRESENT " is an older file than the log", (unsigned long long)t->m.log_key_from);
    if (log_note(s, &t->m, &cp, t->m.a, note, NULL) == LEDGER_OK)
        return LEDGER_OK;
    if (note_key_parse(t->m.c, span_str(t->m.log_vkey_before), &key, NULL) != LEDGER_OK)
        return ledger_fail(err, LEDGER_ETAMPER, "the log key that was replaced");
    wbuf_init(&w, t->m.a);
    checkpoint_sign(t->m.c, &key, old, &cp, &w);
    *note = wbuf_span(&w);
    if (w.failed)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    return log_note_keep(store_dir(s), cp.size, *note, err);
}

/* As far as a file system lets anybody: the blocks may be elsewhere too. */
static void overwrite(int fd)
{
    static const uint8_t zeros[512];
    struct stat st;
    if (fstat(fd, &st) != 0)
        return;
    for (off_t at = 0; at < st.st_size; at += (off_t)sizeof zeros) {
        size_t n = (size_t)(st.st_size - at) < sizeof zeros ? (size_t)(st.st_size - at) : sizeof zeros;
        if (pwrite(fd, zeros, n, at) != (ssize_t)n)
            return;
    }
    (void)fsync(fd);
}

static enum ledger_rc replace_key(struct store *s, struct ledger_err *err)
{
    char present[FILES_PATH_MAX], next[FILES_PATH_MAX], folder[FILES_PATH_MAX];
    enum ledger_rc rc = files_path(present, store_dir(s), PRESENT, err);
    if (rc == LEDGER_OK)
        rc = files_path(next, store_dir(s), NEXT, err);
    if (rc == LEDGER_OK)
        rc = files_parent(folder, present, err);
    if (rc != LEDGER_OK)
        return rc;
    int old = open(present, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (rename(next, present) != 0)
        rc = ledger_fail(err, LEDGER_EIO, "%s: rename to %s: %s", next, present, strerror(errno));
    if (rc == LEDGER_OK)
        rc = files_sync_folder(folder, err);
    if (old >= 0 && rc == LEDGER_OK)
        overwrite(old);
    if (old >= 0)
        close(old);
    return rc;
}

static enum ledger_rc check_anchor(const char *anchor, const struct tail *t, struct ledger_err *err)
{
    uint64_t size;
    enum ledger_rc rc = tail_anchor(anchor, t, &size, err);
    return rc == LEDGER_ENOTFOUND && t->m.epoch == 0 ? LEDGER_OK : rc;
}

static enum ledger_rc finish(struct store *s, struct tail *t, const struct secret_key *old, const char *anchor, const struct log_key_ask *ask,
                             struct ledger_err *err)
{
    struct span note;
    enum ledger_rc rc = check_anchor(anchor, t, err);
    if (rc == LEDGER_OK && ask && ask->ask)
        rc = ask->ask(ask->ctx, err);
    if (rc == LEDGER_OK)
        rc = keep_note(s, t, old, &note, err);
    if (rc == LEDGER_OK)
        rc = anchor_write(anchor, note, err);
    return rc == LEDGER_OK ? replace_key(s, err) : rc;
}

/* The next key stands in for the present one already, so that the tail is verified as it will be at the next start. */
static enum ledger_rc finish_pending(struct store *s, struct store_snapshot *sn, const struct machine *m, const char *anchor,
                                     const struct log_key_ask *ask, struct ledger_err *err)
{
    struct secret_key old = *store_log_key(s), next;
    struct tail t;
    enum ledger_rc rc = read_next(store_dir(s), m->c, &next, err);
    if (rc == LEDGER_OK && !is_key_of(m->c, m->log_vkey, &next))
        rc = ledger_fail(err, LEDGER_EINVAL, NEXT " is another key");
    if (rc == LEDGER_ENOTFOUND || rc == LEDGER_EINVAL)
        ledger_wrap(err, LEDGER_EINVAL, "the log key was replaced at size %llu, and the new one is not in the folder: put it back as " NEXT,
                    (unsigned long long)m->log_key_from);
    if (rc == LEDGER_OK) {
        store_log_key_set(s, &next);
        rc = tail_verify(s, sn, m->c, m->a, &t, err);
        if (rc == LEDGER_OK)
            rc = finish(s, &t, &old, anchor, ask, err);
        if (rc != LEDGER_OK)
            store_log_key_set(s, &old);
    }
    crypto_secret_wipe(&old);
    crypto_secret_wipe(&next);
    return rc == LEDGER_ENOTFOUND ? LEDGER_EINVAL : rc;
}

enum ledger_rc log_key_finish(struct store *s, struct crypto *c, struct arena *a, const char *anchor, const struct log_key_ask *ask, bool *finished,
                              struct ledger_err *err)
{
    struct store_snapshot *sn;
    *finished = false;
    enum ledger_rc rc = store_snapshot_open(s, &sn, err);
    if (rc != LEDGER_OK)
        return rc;
    struct machine m = {.c = c, .a = a, .kv = store_snapshot_kv(sn), .index_key = *store_index_key(s), .wire = true};
    /* What cannot be loaded, or does not fit, is for the verification of the tail to tell. */
    if (machine_load(&m, NULL) == LEDGER_OK && !log_rebuilding(&m.kv) && log_key_unfinished(s, &m)) {
        rc = finish_pending(s, sn, &m, anchor, ask, err);
        *finished = rc == LEDGER_OK;
    }
    store_snapshot_close(sn);
    return rc;
}
