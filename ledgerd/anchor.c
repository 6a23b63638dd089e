/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anchor: see anchor.h.
 *
 * Failure: a write that fails is reported and tried again each second; the service goes on, since
 * the store itself is whole, but the window in which a rollback goes unnoticed grows. The size that
 * is anchored is one of the metrics.
 */
#include "anchor.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "files.h"
#include "log.h"
#include "thread.h"

#define ANCHOR_INTERVAL_S 1
#define REPORT_INTERVAL_S 60

struct anchor {
    char path[FILES_PATH_MAX];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    uint64_t size, written; /* the newest, and what is on the disk */
    size_t note_n;
    uint8_t note[NOTE_SIZE_MAX]; /* of `size` */
    uint8_t out[NOTE_SIZE_MAX];  /* the thread's copy while it writes */
    time_t reported;
};

enum ledger_rc anchor_path(const char *given, const char *dir, char out[FILES_PATH_MAX], struct ledger_err *err)
{
    bool is = given && given[0];
    int n = snprintf(out, FILES_PATH_MAX, "%s%s", is ? given : dir, is ? "" : ".anchor");
    if (n < 0 || n >= FILES_PATH_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "the path of the anchor is too long: %.200s", is ? given : dir);
    return LEDGER_OK;
}

static enum ledger_rc anchor_parse(struct arena *a, struct crypto *c, const struct note_key *keys,
                                   size_t n_keys, struct span bytes, struct anchor_state *out,
                                   struct ledger_err *err)
{
    struct note note;
    struct checkpoint cp;
    uint64_t matched = 0;
    enum ledger_rc rc = note_parse(a, bytes, &note, err);
    if (!rc)
        rc = checkpoint_parse(note.text, &cp, err);
    if (rc)
        return rc;
    if (!span_eq(cp.origin, span_str(keys->name)))
        return ledger_fail(err, LEDGER_EINVAL, "it is of the ledger %.*s, not of %s",
                           SPAN_FMT(cp.origin), keys->name);
    if (!note_verify(c, a, &note, keys, n_keys, &matched, NULL))
        return ledger_fail(err, LEDGER_EINVAL, "its signature does not verify");
    *out = (struct anchor_state){cp.size, cp.root, matched};
    return LEDGER_OK;
}

enum ledger_rc anchor_read(const char *path, struct crypto *c, const struct note_key *keys,
                           size_t n_keys, struct anchor_state *out, struct ledger_err *err)
{
    struct span bytes;
    struct arena *a = arena_new(1u << 20);
    if (!a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = files_read(a, path, NOTE_SIZE_MAX, &bytes, err);
    if (!rc) {
        rc = anchor_parse(a, c, keys, n_keys, bytes, out, err);
        if (rc)
            ledger_wrap(err, rc, "the anchor %s", path);
    }
    arena_free(a);
    return rc;
}

enum ledger_rc anchor_write(const char *path, struct span note, struct ledger_err *err)
{
    return files_replace(path, note, err);
}

static struct timespec monotonic(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts;
}

/* Called and returns with the lock held; writes without it. */
static void write_newest(struct anchor *an)
{
    uint64_t size = an->size;
    size_t n = an->note_n;
    struct ledger_err err = {0};
    memcpy(an->out, an->note, n);
    pthread_mutex_unlock(&an->lock);
    enum ledger_rc rc = anchor_write(an->path, span_of(an->out, n), &err);
    time_t now = monotonic().tv_sec;
    if (rc && (!an->reported || now - an->reported >= REPORT_INTERVAL_S)) {
        logline(LOG_ERROR,
                "the anchor cannot be written; a rollback from here on could go unnoticed",
                "error=%s", err.msg);
        an->reported = now;
    }
    pthread_mutex_lock(&an->lock);
    if (!rc)
        an->written = size;
}

/* Sleeps until `until` or the end; newer checkpoints only replace what is waiting. */
static void pause_until(struct anchor *an, const struct timespec *until)
{
    int e = 0;
    while (!an->stopping && e == 0)
        e = pthread_cond_timedwait(&an->changed, &an->lock, until);
}

static void *anchor_run(void *arg)
{
    struct anchor *an = arg;
    pthread_mutex_lock(&an->lock);
    for (;;) {
        while (!an->stopping && an->written == an->size)
            pthread_cond_wait(&an->changed, &an->lock);
        if (an->written == an->size)
            break;
        bool last = an->stopping;
        struct timespec until = monotonic();
        until.tv_sec += ANCHOR_INTERVAL_S;
        write_newest(an);
        if (last)
            break;
        pause_until(an, &until);
    }
    pthread_mutex_unlock(&an->lock);
    return NULL;
}

enum ledger_rc anchor_start(const char *path, uint64_t size, struct anchor **out,
                            struct ledger_err *err)
{
    *out = NULL;
    struct anchor *an = calloc(1, sizeof *an);
    if (!an || strlen(path) >= sizeof an->path) {
        free(an);
        return ledger_fail(err, LEDGER_ENOMEM, "anchor: out of memory, or its path is too long");
    }
    memcpy(an->path, path, strlen(path) + 1);
    an->size = an->written = size;
    pthread_mutex_init(&an->lock, NULL);
    thread_cond_init(&an->changed);
    enum ledger_rc rc = thread_start(&an->thread, "anchor", anchor_run, an, err);
    if (rc) {
        pthread_cond_destroy(&an->changed);
        pthread_mutex_destroy(&an->lock);
        free(an);
        return ledger_wrap(err, rc, "anchor");
    }
    *out = an;
    return LEDGER_OK;
}

void anchor_set(struct anchor *an, uint64_t size, struct span note)
{
    LEDGER_REQUIRE(note.n <= sizeof an->note);
    pthread_mutex_lock(&an->lock);
    if (size > an->size) {
        an->size = size;
        an->note_n = note.n;
        memcpy(an->note, note.p, note.n);
        pthread_cond_signal(&an->changed);
    }
    pthread_mutex_unlock(&an->lock);
}

uint64_t anchor_size(struct anchor *an)
{
    pthread_mutex_lock(&an->lock);
    uint64_t size = an->written;
    pthread_mutex_unlock(&an->lock);
    return size;
}

void anchor_stop(struct anchor *an)
{
    if (!an)
        return;
    pthread_mutex_lock(&an->lock);
    an->stopping = true;
    pthread_cond_signal(&an->changed);
    pthread_mutex_unlock(&an->lock);
    pthread_join(an->thread, NULL);
    pthread_cond_destroy(&an->changed);
    pthread_mutex_destroy(&an->lock);
    free(an);
}
