/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrub: the thread (scrub.h): where it is, how fast it goes, what it tells.
 *
 * Failure modes: want of memory, numbers between batches that cannot be read: told once, tried again after a minute. A position that cannot
 * be read begins a new pass.
 */
#include "scrub.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "files.h"
#include "log.h"
#include "scrub_check.h"
#include "thread.h"

#define PORTION_ROWS 200u
#define SAVE_S 60
#define RETRY_S 60
#define REST_MS_MAX 3600000
#define LINES_MAX 100 /* of findings in one pass; all are counted */
#define NICE 19
#define WHAT_MAX 160
#define SCRATCH_BUDGET ((size_t)64 << 20)
#define WALK_BUDGET ((size_t)512 << 20)
#define POSITION_BYTES_MAX 1024

enum phase { PHASE_REST = 0, PHASE_ENTRIES, PHASE_CHAINS };

struct position {
    enum phase phase;
    uint64_t next, end;      /* ENTRIES: the next one, and where they end */
    bool first;              /* CHAINS: from the first key on */
    struct hash after;       /* CHAINS: the last key that was looked at */
    int64_t begun_s, full_s; /* real time: beginning of this pass, end of the last full one; 0: never */
    uint64_t findings;       /* in this pass */
};
struct shown {
    uint64_t entries, chains, passes, findings;
    int64_t full_s;
    char what[WHAT_MAX];
};
struct scrub {
    char path[FILES_PATH_MAX];
    uint32_t interval_s, rate;
    struct scrub_view v;
    struct position at;
    int64_t saved_ms;
    bool troubled;
    bool counting;             /* parties have been counted since the first chain */
    struct registry registry;  /* when that began */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;          /* under the lock */
    struct shown shown; /* under the lock */
};

static int64_t clock_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- findings and figures ---- */

static void found_cb(void *ctx, uint64_t index, const char *what)
{
    struct scrub *s = ctx;
    char entry[24] = "none";
    if (index != UINT64_MAX)
        snprintf(entry, sizeof entry, "%" PRIu64, index);
    if (s->at.findings++ < LINES_MAX)
        logline(LOG_ERROR, "stored data does not verify", "entry=%s what=%s see=%s", entry, what, "\"Rot\" in docs/operations.md");
    pthread_mutex_lock(&s->lock);
    if (s->at.findings == 1 || !s->shown.what[0])
        snprintf(s->shown.what, sizeof s->shown.what, "entry %s: %.120s", entry, what);
    s->shown.findings = s->at.findings;
    pthread_mutex_unlock(&s->lock);
}

static void show(struct scrub *s, uint64_t entries, uint64_t chains, bool passed)
{
    pthread_mutex_lock(&s->lock);
    s->shown.entries += entries;
    s->shown.chains += chains;
    s->shown.passes += passed;
    s->shown.full_s = s->at.full_s;
    s->shown.findings = s->at.findings;
    if (!s->at.findings)
        s->shown.what[0] = 0;
    pthread_mutex_unlock(&s->lock);
}

void scrub_figures(struct scrub *s, void (*put)(void *sink, const char *name, double value, const char *text), void *sink)
{
    pthread_mutex_lock(&s->lock);
    struct shown now = s->shown;
    pthread_mutex_unlock(&s->lock);
    put(sink, "scrub_entries", (double)now.entries, NULL);
    put(sink, "scrub_chains", (double)now.chains, NULL);
    put(sink, "scrub_passes", (double)now.passes, NULL);
    put(sink, "scrub_findings", (double)now.findings, now.what[0] ? now.what : NULL);
    int64_t age_s = now.full_s ? clock_ms(CLOCK_REALTIME) / 1000 - now.full_s : -1;
    put(sink, "scrub_age_seconds", (double)age_s, NULL);
}

/* ---- the position ---- */

static void save(struct scrub *s)
{
    char text[POSITION_BYTES_MAX], key[2 * HASH_LEN + 1];
    struct ledger_err err;
    const struct position *at = &s->at;
    hex_encode(span_of(at->after.b, HASH_LEN), key);
    int n = snprintf(text, sizeof text, "ledgerd scrub 1\n%u %" PRIu64 " %" PRIu64 " %d %s %" PRId64 " %" PRId64 " %" PRIu64 "\n",
                     (unsigned)at->phase, at->next, at->end, at->first, key, at->begun_s, at->full_s, at->findings);
    s->saved_ms = clock_ms(CLOCK_MONOTONIC);
    if (files_replace(s->path, span_of(text, (size_t)n), &err) != LEDGER_OK && !s->troubled) {
        logline(LOG_WARN, "the position of the scrub cannot be kept", "error=%s", err.msg);
        s->troubled = true;
    }
}

static bool parse(const char *text, struct position *at)
{
    char key[2 * HASH_LEN + 1];
    unsigned phase;
    int first;
    if (sscanf(text, "ledgerd scrub 1\n%u %" SCNu64 " %" SCNu64 " %d %64s %" SCNd64 " %" SCNd64 " %" SCNu64, &phase, &at->next, &at->end, &first,
               key, &at->begun_s, &at->full_s, &at->findings) != 8 ||
        phase > PHASE_CHAINS || strlen(key) != 2 * HASH_LEN || !hex_decode(span_of(key, 2 * HASH_LEN), at->after.b))
        return false;
    at->phase = (enum phase)phase;
    at->first = first != 0;
    return true;
}

static void load(struct scrub *s)
{
    struct span bytes;
    char text[POSITION_BYTES_MAX];
    arena_reset(s->v.a);
    s->at = (struct position){.phase = PHASE_REST};
    if (files_read(s->v.a, s->path, sizeof text - 1, &bytes, NULL) != LEDGER_OK)
        return;
    memcpy(text, bytes.p, bytes.n);
    text[bytes.n] = 0;
    if (!parse(text, &s->at))
        s->at = (struct position){.phase = PHASE_REST};
}

/* ---- portions ---- */

static enum ledger_rc entries_portion(struct scrub *s, uint64_t *rows, struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    uint64_t n = 0, found = s->v.found;
    if (s->at.end == 0 || s->at.end > s->v.m.size)
        s->at.end = s->v.m.size;
    for (; rc == LEDGER_OK && n < PORTION_ROWS && s->at.next < s->at.end && s->v.found == found; n++)
        if ((rc = scrub_entry(&s->v, s->at.next, err)) == LEDGER_OK)
            s->at.next++;
    if (rc == LEDGER_OK && s->at.next >= s->at.end) {
        s->at.phase = PHASE_CHAINS;
        s->at.first = true;
        s->v.parties = s->v.admins = 0;
        s->counting = true;
        s->registry = s->v.m.registry;
    }
    *rows = n;
    show(s, n, 0, false);
    return rc;
}

struct chains {
    struct scrub *s;
    uint64_t rows, n;
    bool more;
    enum ledger_rc rc;
    struct ledger_err *err;
};

static bool chains_end(struct chains *c)
{
    c->more = true;
    return false;
}

static bool visit_chain(void *ctx, struct span key, struct span value)
{
    struct chains *c = ctx;
    struct scrub *s = c->s;
    struct hash h;
    uint64_t steps = 1;
    if (key.n != HASH_LEN) {
        found_cb(s, UINT64_MAX, "a chain is kept under a malformed key");
        return true;
    }
    memcpy(h.b, key.p, HASH_LEN);
    if (!s->at.first && hash_eq(&h, &s->at.after))
        return true;
    if (c->rows >= PORTION_ROWS)
        return chains_end(c);
    uint64_t found = s->v.found;
    c->rc = scrub_chain(&s->v, &h, value, &steps, c->err);
    if (c->rc != LEDGER_OK)
        return false;
    c->rows += steps;
    c->n++;
    s->at.after = h;
    s->at.first = false;
    return s->v.found == found || chains_end(c); /* a view with a finding is not gone on with */
}

static void close_pass(struct scrub *s)
{
    s->counting = false;
    s->at.phase = PHASE_REST;
    s->at.full_s = clock_ms(CLOCK_REALTIME) / 1000;
    show(s, 0, 0, true);
    logline(s->at.findings ? LOG_ERROR : LOG_INFO, "all of the store was read", "entries=%llu chains=%llu findings=%llu seconds=%lld",
            (unsigned long long)s->at.end, (unsigned long long)s->v.m.chains, (unsigned long long)s->at.findings,
            (long long)(s->at.full_s - s->at.begun_s));
    save(s);
}

static enum ledger_rc end_pass(struct scrub *s, struct ledger_err *err)
{
    uint64_t chains = 0;
    enum ledger_rc rc = store_count(s->v.sn, KV_CHAIN, &chains, err);
    if (rc != LEDGER_OK)
        return rc;
    if (chains != s->v.m.chains)
        found_cb(s, s->v.m.seal, "it says that there are more or fewer chains than are stored");
    const struct registry *r = &s->v.m.registry; /* one that has changed meanwhile counts in the next pass */
    if (s->counting && r->parties == s->registry.parties && r->admins == s->registry.admins &&
        (r->parties != s->v.parties || r->admins != s->v.admins))
        found_cb(s, s->v.m.seal, "the ledger's numbers between batches tell other parties than are stored");
    close_pass(s);
    return LEDGER_OK;
}

static enum ledger_rc chains_portion(struct scrub *s, uint64_t *rows, struct ledger_err *err)
{
    struct chains c = {.s = s, .err = err};
    struct span first = s->at.first ? SPAN_NONE : span_of(s->at.after.b, HASH_LEN);
    enum ledger_rc rc = store_scan(s->v.sn, KV_CHAIN, first, visit_chain, &c, err);
    if (rc == LEDGER_OK)
        rc = c.rc;
    *rows = c.rows;
    show(s, 0, c.n, false);
    if (rc == LEDGER_EIO) { /* behind it nothing can be walked to */
        found_cb(s, UINT64_MAX, "not all chains can be read");
        close_pass(s);
        return LEDGER_OK;
    }
    return rc == LEDGER_OK && !c.more ? end_pass(s, err) : rc;
}

static enum ledger_rc portion(struct scrub *s, uint64_t *rows, struct ledger_err *err)
{
    *rows = 1;
    enum ledger_rc rc = scrub_view_open(&s->v, err);
    if (rc == LEDGER_OK)
        rc = s->at.phase == PHASE_ENTRIES ? entries_portion(s, rows, err) : chains_portion(s, rows, err);
    scrub_view_close(&s->v);
    return rc;
}

/* Begins a pass when it is due; milliseconds until then. */
static int64_t rest(struct scrub *s)
{
    int64_t now_s = clock_ms(CLOCK_REALTIME) / 1000, due_s = s->at.begun_s + s->interval_s;
    if (s->at.begun_s && now_s >= s->at.begun_s && now_s < due_s) /* a clock that was set back does not put it off */
        return (due_s - now_s) * 1000 < REST_MS_MAX ? (due_s - now_s) * 1000 : REST_MS_MAX;
    s->at = (struct position){.phase = PHASE_ENTRIES, .begun_s = now_s, .full_s = s->at.full_s};
    show(s, 0, 0, false);
    save(s);
    return 0;
}

/* One portion; milliseconds to sleep after it. */
static int64_t step(struct scrub *s)
{
    struct ledger_err err = {0};
    uint64_t rows = 0;
    if (s->at.phase == PHASE_REST)
        return rest(s);
    enum ledger_rc rc = portion(s, &rows, &err);
    if (rc != LEDGER_OK) {
        if (!s->troubled)
            logline(LOG_ERROR, "the scrub cannot go on", "error=%s", err.msg);
        s->troubled = true;
        return (int64_t)RETRY_S * 1000;
    }
    s->troubled = false;
    if (s->at.phase != PHASE_REST && clock_ms(CLOCK_MONOTONIC) - s->saved_ms >= (int64_t)SAVE_S * 1000)
        save(s);
    return (int64_t)(rows * 1000 / s->rate);
}

static void *thread_main(void *scrub)
{
    struct scrub *s = scrub;
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE); /* on Linux a thread has a priority of its own */
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        pthread_mutex_unlock(&s->lock);
        int64_t until = step(s) + clock_ms(CLOCK_MONOTONIC);
        struct timespec ts = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
        pthread_mutex_lock(&s->lock);
        while (!s->stop && pthread_cond_timedwait(&s->wake, &s->lock, &ts) == 0)
            ;
    }
    pthread_mutex_unlock(&s->lock);
    save(s);
    return NULL;
}

/* ---- making and ending ---- */

enum ledger_rc scrub_new(const struct scrub_options *o, struct scrub **out, struct ledger_err *err)
{
    struct scrub *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    s->interval_s = o->interval_s;
    s->rate = o->rate;
    pthread_mutex_init(&s->lock, NULL);
    thread_cond_init(&s->wake);
    s->v = (struct scrub_view){.store = o->store, .c = crypto_new(), .a = arena_new(SCRATCH_BUDGET), .side = arena_new(WALK_BUDGET),
                               .found_cb = found_cb, .ctx = s};
    if (!s->v.c || !s->v.a || !s->v.side)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = files_path(s->path, o->dir, "scrub", err);
    if (rc == LEDGER_OK)
        load(s);
    s->shown = (struct shown){.full_s = s->at.full_s, .findings = s->at.findings};
    return rc;
}

enum ledger_rc scrub_start(struct scrub *s, struct ledger_err *err)
{
    enum ledger_rc rc = thread_start(&s->thread, "scrub", thread_main, s, err);
    s->started = rc == LEDGER_OK;
    return rc;
}

void scrub_stop(struct scrub *s)
{
    if (!s || !s->started)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->started = false;
}

void scrub_free(struct scrub *s)
{
    if (!s)
        return;
    arena_free(s->v.side);
    arena_free(s->v.a);
    crypto_free(s->v.c);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
