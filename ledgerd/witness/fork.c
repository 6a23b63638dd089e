/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork: does another process sign as this ledger?
 *
 * A copy of the data folder that is started elsewhere has the same key. Before its first signature it asks the witnesses (witness_ask); where
 * they were away then, both go on, and a witness meets two histories. It cosigns one, and refuses the other with 409 or 422. That is
 * the witness's bare word, and stops nobody. But it gives out the checkpoint that it has cosigned, and if this ledger's own key has signed that
 * one, and it is not of this tree, then it is proven: nobody else could have made it.
 *
 *   contradicted → GET URL/HEX/checkpoint → the note is of our origin, signed by our present log key, and larger than all that was ever
 *   committed here, or of another root → DIR/forked keeps it → fenced_cb: nothing is recorded or signed any more
 *
 * It stays so over restarts for as long as DIR/forked contradicts the store.
 */
#include <stdio.h>
#include <string.h>

#include "../log.h"
#include "../store/store.h"
#include "../tiles.h"
#include "service.h"

#define FORKED "forked"

/* ---- the proof ---- */

static bool our_own(struct witness_service *s, const struct note *note, const struct checkpoint *cp)
{
    const struct secret_key *k = store_log_key(s->store);
    struct note_key key;
    uint64_t matched = 0;
    char origin[ORIGIN_MAX + 1];
    const uint8_t *end = memchr(s->note, '\n', s->note_n);
    if (!end || !span_eq(cp->origin, span_of(s->note, (size_t)(end - s->note))) || cp->origin.n > ORIGIN_MAX)
        return false;
    memcpy(origin, cp->origin.p, cp->origin.n);
    origin[cp->origin.n] = 0;
    return note_key_make(s->c, origin, NOTE_ED25519, span_of(k->pub, k->pub_len), &key) &&
           note_verify(s->c, s->a, note, &key, 1, &matched, NULL) && (matched & 1);
}

/* Fills why with what it proves. */
static bool proves(struct witness_service *s, struct span bytes, char *why, size_t n)
{
    struct note note;
    struct checkpoint cp;
    struct hash root;
    if (note_parse(s->a, bytes, &note, NULL) != LEDGER_OK || checkpoint_parse(note.text, &cp, NULL) != LEDGER_OK || cp.size == 0 ||
        !our_own(s, &note, &cp))
        return false;
    enum ledger_rc rc = tiles_root(s->store, cp.size, &root, NULL);
    bool more = rc == LEDGER_ENOTFOUND && cp.size > s->committed;
    bool other = rc == LEDGER_OK && !hash_eq(&root, &cp.root);
    snprintf(why, n, "another process signs as this ledger: a checkpoint of %llu entries, signed with this ledger's key, is %s", (unsigned long long)cp.size,
             more ? "of more than was ever recorded here" : "of another tree");
    return more || other;
}

/* ---- asking ---- */

/* "URL/add-checkpoint" to "URL/HEX/checkpoint". */
static bool checkpoint_url(struct witness_service *s, const char *add, char *out, size_t n)
{
    char hex[2 * HASH_LEN + 1];
    struct hash name;
    const uint8_t *end = memchr(s->note, '\n', s->note_n);
    const char *slash = strrchr(add, '/');
    if (!end || !slash)
        return false;
    struct span origin = span_of(s->note, (size_t)(end - s->note));
    crypto_sha256(s->c, &origin, 1, &name);
    hex_encode(span_of(name.b, HASH_LEN), hex);
    int written = snprintf(out, n, "%.*s/%s/checkpoint", (int)(slash - add), add, hex);
    return written > 0 && (size_t)written < n;
}

void fork_ask(struct witness_service *s, unsigned i)
{
    struct witness *w = &s->witnesses[i];
    char url[WITNESS_URL_MAX + 100];
    struct ledger_err err = {0};
    if (w->checking || s->fenced || !checkpoint_url(s, w->url, url, sizeof url))
        return;
    w->checking = posts_start(s->posts, POLICY_MAX + i, url, SPAN_NONE, &err) == LEDGER_OK;
    if (!w->checking)
        logline(LOG_WARN, "a witness cannot be asked for what it has cosigned", "witness=%s error=%s", w->name, err.msg);
}

static enum ledger_rc path_of(const struct witness_service *s, const char *name, char out[FILES_PATH_MAX], struct ledger_err *err)
{
    enum ledger_rc rc = files_parent(out, s->path, err);
    return rc == LEDGER_OK ? files_path(out, out, name, err) : rc;
}

static void keep(struct witness_service *s, struct span note)
{
    char path[FILES_PATH_MAX];
    struct ledger_err err = {0};
    enum ledger_rc rc = path_of(s, FORKED, path, &err);
    if (rc == LEDGER_OK)
        rc = files_replace(path, note, &err);
    if (rc == LEDGER_OK)
        rc = path_of(s, FORKED ".ours", path, &err);
    if (rc == LEDGER_OK)
        rc = files_replace(path, span_of(s->note, s->note_n), &err);
    if (rc != LEDGER_OK)
        logline(LOG_ERROR, "the proof that another process signs as this ledger cannot be kept", "error=%s", err.msg);
}

void fork_take(struct witness_service *s, const struct post_answer *answer)
{
    struct witness *w = &s->witnesses[answer->number - POLICY_MAX];
    struct ledger_err why = {.rc = LEDGER_ETAMPER};
    char text[200];
    w->checking = false;
    arena_reset(s->a);
    if (s->fenced)
        return;
    if (answer->status != 200 || !proves(s, answer->body, text, sizeof text)) {
        logline(LOG_WARN, "the witness does not prove that there is another ledger; it is the one who is wrong, perhaps", "witness=%s status=%ld",
                w->name, answer->status);
        return;
    }
    s->fenced = true;
    keep(s, answer->body);
    ledger_fail(&why, LEDGER_ETAMPER, "%s (shown by the witness %.63s, kept in DIR/" FORKED ")", text, w->name);
    logline(LOG_ERROR, "nothing is recorded any more", "reason=%s", why.msg);
    if (s->fenced_cb)
        s->fenced_cb(s->ctx, &why);
}

/* ---- at a start ---- */

enum ledger_rc fork_kept(struct witness_service *s, struct ledger_err *err)
{
    char path[FILES_PATH_MAX], text[200];
    struct span bytes;
    struct ledger_err why = {0};
    arena_reset(s->a);
    enum ledger_rc rc = path_of(s, FORKED, path, &why);
    if (rc == LEDGER_OK)
        rc = files_read(s->a, path, NOTE_SIZE_MAX, &bytes, &why);
    if (rc == LEDGER_ENOTFOUND)
        return LEDGER_OK;
    if (rc != LEDGER_OK)
        return ledger_fail(err, rc, "%s", why.msg);
    if (proves(s, bytes, text, sizeof text))
        return ledger_fail(err, LEDGER_ETAMPER, "%s (%s); see \"Restoring\" in docs/operations.md", text, path);
    logline(LOG_WARN, "a kept proof of a fork does not contradict this store", "file=%s", path);
    return LEDGER_OK;
}
