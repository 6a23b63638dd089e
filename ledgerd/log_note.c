/* SPDX-License-Identifier: Apache-2.0 */
/* log_note: see log_note.h. */
#include "log_note.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "files.h"
#include "state_history.h"
#include "store/log.h"

#define FOLDER "log-keys"

/* ---- kept notes ---- */

static enum ledger_rc kept_path(const char *dir, uint64_t size, char out[FILES_PATH_MAX], struct ledger_err *err)
{
    char name[64];
    snprintf(name, sizeof name, FOLDER "/%llu", (unsigned long long)size);
    return files_path(out, dir, name, err);
}

enum ledger_rc log_note_keep(const char *dir, uint64_t size, struct span note, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct stat st;
    enum ledger_rc rc = files_path(path, dir, FOLDER, err);
    if (rc == LEDGER_OK && stat(path, &st) != 0)
        rc = files_mkdir(path, err);
    if (rc == LEDGER_OK)
        rc = kept_path(dir, size, path, err);
    return rc == LEDGER_OK ? files_replace(path, note, err) : rc;
}

enum ledger_rc log_note_kept(const char *dir, uint64_t size, struct arena *a, struct span *note, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = kept_path(dir, size, path, err);
    return rc == LEDGER_OK ? files_read(a, path, NOTE_SIZE_MAX, note, err) : rc;
}

/* ---- the note of a checkpoint ---- */

/* Is it the note of this very checkpoint, signed by this key? */
static bool is_note_of(struct machine *m, struct arena *a, struct span bytes, const struct checkpoint *cp, const struct note_key *key)
{
    struct note note;
    struct checkpoint there;
    uint64_t matched = 0;
    return note_parse(a, bytes, &note, NULL) == LEDGER_OK && checkpoint_parse(note.text, &there, NULL) == LEDGER_OK &&
           span_eq(there.origin, cp->origin) && there.size == cp->size && hash_eq(&there.root, &cp->root) &&
           note_verify(m->c, a, &note, key, 1, &matched, NULL) && (matched & 1);
}

static enum ledger_rc kept_note(struct store *s, struct machine *m, const struct checkpoint *cp, struct arena *a, struct span *note,
                                struct ledger_err *err)
{
    struct note_key key;
    enum ledger_rc rc = log_note_kept(store_dir(s), cp->size, a, note, err);
    if (rc == LEDGER_ENOTFOUND)
        return ledger_fail(err, LEDGER_ETAMPER, "%.200s/" FOLDER "/%llu is missing: the signed checkpoint with which the log key was "
                           "replaced; take it from a backup", store_dir(s), (unsigned long long)cp->size);
    if (rc == LEDGER_OK && (note_key_parse(m->c, span_str(m->log_vkey_before), &key, NULL) || !is_note_of(m, a, *note, cp, &key)))
        rc = ledger_fail(err, LEDGER_ETAMPER, "%.200s/" FOLDER "/%llu is not the checkpoint with which the log key was replaced, signed by "
                         "the old key; take it from a backup", store_dir(s), (unsigned long long)cp->size);
    return rc;
}

enum ledger_rc log_note(struct store *s, struct machine *m, const struct checkpoint *cp, struct arena *a, struct span *note,
                        struct ledger_err *err)
{
    const struct secret_key *secret = store_log_key(s);
    struct note_key key;
    struct wbuf w;
    if (cp->size + 1 == m->log_key_from)
        return kept_note(s, m, cp, a, note, err);
    if (cp->size < m->log_key_from)
        return ledger_fail(err, LEDGER_ENOTFOUND, "the checkpoint of %llu entries was signed by an earlier log key and was not kept",
                           (unsigned long long)cp->size);
    if (note_key_parse(m->c, span_str(m->log_vkey), &key, NULL) || strcmp(key.name, m->origin) != 0)
        return ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: log key");
    if (!span_eq(span_of(secret->pub, secret->pub_len), span_of(key.key, key.key_n)))
        return ledger_fail(err, LEDGER_EINVAL, "keys/log.key is not the key of the ledger %s", m->origin);
    wbuf_init(&w, a);
    checkpoint_sign(m->c, &key, secret, cp, &w);
    *note = wbuf_span(&w);
    return w.failed ? ledger_fail(err, LEDGER_ENOMEM, "out of memory") : LEDGER_OK;
}

/* ---- all changes ---- */

enum ledger_rc log_key_sizes(struct machine *m, struct log_key_sizes *out, struct ledger_err *err)
{
    struct hash key;
    struct state_walk *w = arena_alloc(m->a, sizeof *w);
    out->n = 0;
    if (m->log_key_from == 0)
        return LEDGER_OK;
    if (!w)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    chain_key(m->c, &m->index_key, CHAIN_LEDGER, span_str(m->origin), &key);
    enum ledger_rc rc = state_walk_begin(w, m->c, &m->kv, m->a, &key, err);
    while (rc == LEDGER_OK && (rc = state_walk_next(w, err)) == LEDGER_OK) {
        uint64_t from = w->chain.ledger.log_key_from;
        if (from == 0 || (out->n && out->from[out->n - 1] == from))
            continue;
        if (out->n == LOG_KEY_CHANGES_MAX)
            return ledger_fail(err, LEDGER_ELIMIT, "more than %d changes of the log key", LOG_KEY_CHANGES_MAX);
        out->from[out->n++] = from;
    }
    if (rc != LEDGER_ENOTFOUND)
        return rc;
    if (out->n == 0 || out->from[out->n - 1] != m->log_key_from)
        return ledger_fail(err, LEDGER_ETAMPER, "stored data does not verify: the ledger's own chain does not end with the log key in force");
    return LEDGER_OK;
}

enum ledger_rc log_key_list(struct machine *m, const struct log_key_sizes *sizes, struct note_key out[LOG_KEY_CHANGES_MAX + 1],
                            struct ledger_err *err)
{
    enum ledger_rc rc = note_key_parse(m->c, span_str(m->log_vkey), &out[sizes->n], err);
    for (size_t i = 0; rc == LEDGER_OK && i < sizes->n; i++) {
        struct entry_record r;
        struct log_key_change k;
        rc = log_read(&m->kv, sizes->from[i] - 3, &r, err);
        if (rc == LEDGER_OK)
            rc = log_key_change_decode(r.event, &k, err);
        if (rc == LEDGER_OK)
            rc = note_key_parse(m->c, k.old_vkey, &out[i], err);
    }
    return rc == LEDGER_OK ? rc : ledger_wrap(err, LEDGER_ETAMPER, "the log's keys");
}
