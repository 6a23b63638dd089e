/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run: `ledgerd run`: puts configuration, store, pipeline and server together and serves until told to stop.
 *
 * Order: the address is bound before the pipeline starts, because its start writes an EPOCH entry, which a mere mistake in the
 * address should not cause; and nobody is served before it has started. The address is told in the log and in DIR/run/address.
 *
 * Failure modes: a commit whose outcome is unknown ends the process at once and answers nothing: whoever waits asks again, and
 * the next start verifies what the disk holds.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "anchor.h"
#include "check_internal.h"
#include "commands.h"
#include "config.h"
#include "expiry.h"
#include "files.h"
#include "log.h"
#include "log_key.h"
#include "log_note.h"
#include "pipeline.h"
#include "scrub.h"
#include "server/server.h"
#include "store/log.h"
#include "store/store.h"
#include "timestamp/timestamp.h"
#include "unreadable.h"
#include "witness/witness.h"
#include "witness/witnessed.h"

static const char HELP[] =
    "usage: ledgerd run DIR [--listen ADDRESS:PORT] [--plain]\n"
    "\n"
    "Serves the ledger in DIR until SIGTERM or SIGINT. SIGHUP reads the access table, the certificates\n"
    "and the revocation list again.\n"
    "\n"
    "  --listen ADDRESS:PORT  instead of what DIR/ledgerd.conf says; port 0 takes any free one\n"
    "  --plain                TCP without TLS; only for a loopback address\n"
    "\n"
    "The address that is served is logged as \"listening\" and written to DIR/run/address.\n"
    "Exit codes: 0 ended as told; 1 failed; 2 wrong usage or configuration; 3 the folder is of a newer\n"
    "version; 4 the records are not what they were (nothing was written).\n";

struct run {
    const char *listen;
    bool plain;
    char dir[FILES_PATH_MAX], config_path[FILES_PATH_MAX], address_path[FILES_PATH_MAX], http_path[FILES_PATH_MAX];
    struct config config;
    struct store *store;
    struct server *server;
    struct pipeline *pipeline;
    struct timestamp *timestamp; /* NULL: not configured */
    struct expiry *expiry;
    struct scrub *scrub; /* NULL: not configured */
    struct witness_service *witness; /* NULL: none configured */
    int64_t quorum_ms; /* the writer's: since when the old log key's last checkpoint has its quorum; 0: not yet */
};

/* In a thread of the pipeline's or the store's. Nothing is tidied up: no answer may leave the process any more. */
static void fatal_cb(void *ctx, const struct ledger_err *err)
{
    const struct run *r = ctx;
    logline(LOG_ERROR, "the process ends: what is on the disk must be verified by the next start", "reason=%s", err->msg);
    unlink(r->address_path);
    _exit(err->rc == LEDGER_ETAMPER ? EXIT_CODE_EVIDENCE : EXIT_CODE_FAILED);
}

/* The callbacks' ctx is this struct, as one of them is not the server's. */
static void done_cb(void *ctx, struct job *job)
{
    server_job_done(((struct run *)ctx)->server, job);
}

static void committed_cb(void *ctx, uint64_t size)
{
    const struct run *r = ctx;
    server_committed(r->server, size);
    if (r->witness)
        witness_committed(r->witness, size);
}

static void published_cb(void *ctx)
{
    server_witnessed(((struct run *)ctx)->server);
}

/* From the witnesses' thread, which runs while the pipeline does. */
static void fenced_cb(void *ctx, const struct ledger_err *why)
{
    pipeline_fence(((struct run *)ctx)->pipeline, why);
}

static enum ledger_rc ask_cb(void *ctx, struct ledger_err *err)
{
    return witness_ask(((struct run *)ctx)->witness, err);
}

static enum ledger_rc load_config(struct run *r, struct ledger_err *err)
{
    enum ledger_rc rc = files_path(r->config_path, r->dir, "ledgerd.conf", err);
    if (rc == LEDGER_OK)
        rc = files_path(r->address_path, r->dir, "run/address", err);
    if (rc == LEDGER_OK)
        rc = files_path(r->http_path, r->dir, "run/http", err);
    if (rc == LEDGER_OK)
        rc = config_load(&r->config, r->config_path, err);
    if (rc != LEDGER_OK)
        return rc;
    if (r->listen && strlen(r->listen) >= sizeof r->config.listen) {
        config_fini(&r->config);
        return ledger_fail(err, LEDGER_EINVAL, "--listen: the address is too long");
    }
    if (r->listen)
        memcpy(r->config.listen, r->listen, strlen(r->listen) + 1);
    r->config.plain = r->config.plain || r->plain;
    char host[CONFIG_ADDRESS_MAX];
    uint16_t port;
    rc = config_address(r->config.listen, host, &port, err);
    if (rc != LEDGER_OK)
        config_fini(&r->config);
    return rc;
}

/* A replacement of the log key that was interrupted after it was recorded. */
static enum ledger_rc finish_log_key(struct run *r, struct ledger_err *err)
{
    char anchor[FILES_PATH_MAX];
    bool finished = false;
    const struct log_key_ask ask = {r->witness ? ask_cb : NULL, r};
    struct crypto *c = crypto_new();
    struct arena *a = arena_new(LOG_KEY_SCRATCH);
    enum ledger_rc rc = c && a ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    if (rc == LEDGER_OK)
        rc = anchor_path(r->config.anchor, store_dir(r->store), anchor, err);
    if (rc == LEDGER_OK)
        rc = log_key_finish(r->store, c, a, anchor, &ask, &finished, err);
    if (finished)
        logline(LOG_INFO, "an interrupted replacement of the log key is finished", NULL);
    arena_free(a);
    crypto_free(c);
    return rc == LEDGER_OK ? rc : ledger_wrap(err, rc, "the log key is being replaced");
}

/* The old log key's last checkpoint is the way to the new one for clients with a quorum, and no witness cosigns it once it has seen a later one.
 * When the quorum is there, the others get as long as in any round. */
static bool hold_cb(void *ctx, uint64_t size)
{
    struct run *r = ctx;
    struct timespec t;
    struct witnessed_view v;
    struct ledger_err err = {0};
    if (witnessed_size(witness_newest(r->witness)) < size)
        return true;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t now = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    if (r->quorum_ms == 0)
        r->quorum_ms = now;
    if (now - r->quorum_ms < (int64_t)r->config.witness_linger_ms)
        return true;
    struct arena *a = arena_new(2 * NOTE_SIZE_MAX);
    bool kept = a && witnessed_get(witness_newest(r->witness), a, &v) && v.size == size &&
                log_note_keep(r->dir, size, v.note, &err) == LEDGER_OK;
    arena_free(a);
    if (!kept)
        logline(LOG_ERROR, "the cosigned checkpoint of the old log key cannot be kept", "error=%s", err.msg);
    return !kept;
}

static enum ledger_rc start_pipeline(struct run *r, struct ledger_err *err)
{
    const struct config *c = &r->config;
    struct pipeline_options o = {
        .store = r->store, .workers = c->workers, .queue_jobs_max = c->queue_jobs, .batch_events_max = c->batch_events,
        .heartbeat_s = c->heartbeat_s, .done_cb = done_cb, .committed_cb = committed_cb, .fatal_cb = fatal_cb, .ctx = r,
        .ask_cb = r->witness ? ask_cb : NULL, .hold_cb = r->witness ? hold_cb : NULL, .anchor_path = c->anchor[0] ? c->anchor : NULL, .program = "ledgerd " LEDGERD_VERSION,
    };
    enum ledger_rc rc = finish_log_key(r, err);
    if (rc == LEDGER_OK)
        rc = pipeline_start(&o, &r->pipeline, err);
    if (rc != LEDGER_OK || !r->witness)
        return rc;
    struct pipeline_stats now;
    pipeline_stats(r->pipeline, &now);
    witness_committed(r->witness, now.size);
    rc = witness_start(r->witness, err);
    if (rc != LEDGER_OK)
        pipeline_stop(r->pipeline);
    return rc;
}

static enum ledger_rc write_line(const char *path, const char *text, struct ledger_err *err)
{
    char line[CONFIG_ADDRESS_MAX + 2];
    int n = snprintf(line, sizeof line, "%s\n", text);
    return files_replace(path, span_of(line, (size_t)n), err);
}

static enum ledger_rc tell_address(struct run *r, struct ledger_err *err)
{
    const char *http = server_http_address(r->server);
    char folder[FILES_PATH_MAX];
    struct stat st;
    enum ledger_rc rc = files_path(folder, r->dir, "run", err);
    if (rc == LEDGER_OK && stat(folder, &st) != 0)
        rc = files_mkdir(folder, err);
    if (rc != LEDGER_OK)
        return rc;
    if (http) {
        rc = write_line(r->http_path, http, err);
        logline(LOG_INFO, "listening for HTTP", "address=%s tls=%s", http, r->config.http_certificate[0] ? "yes" : "no");
    }
    if (rc == LEDGER_OK)
        rc = write_line(r->address_path, server_address(r->server), err);
    logline(LOG_INFO, "listening", "address=%s tls=%s", server_address(r->server), r->config.plain ? "no" : "yes");
    return rc;
}

static void figures_cb(void *ctx, void (*put)(void *sink, const char *name, double value, const char *text), void *sink)
{
    struct run *r = ctx;
    if (r->timestamp)
        timestamp_figures(r->timestamp, put, sink);
    expiry_figures(r->expiry, put, sink);
    if (r->scrub)
        scrub_figures(r->scrub, put, sink);
}

static void more_expiry_cb(void *ctx, void (*add)(void *sink, const char *what, int64_t not_after_s), void *sink)
{
    struct run *r = ctx;
    if (r->timestamp)
        timestamp_expiry(r->timestamp, add, sink);
}

/* What stands beside the server: made before anything is recorded, for a mistake in the configuration is found here. */
static enum ledger_rc make_companions(struct run *r, struct ledger_err *err)
{
    struct timestamp_options t = {.dir = r->dir, .config = &r->config, .store = r->store};
    struct expiry_options e = {.dir = r->dir, .config = &r->config, .more_cb = more_expiry_cb, .ctx = r};
    struct scrub_options s = {
        .dir = r->dir, .store = r->store, .interval_s = r->config.scrub_interval_s, .rate = r->config.scrub_rate};
    enum ledger_rc rc = timestamp_new(&t, &r->timestamp, err);
    if (rc == LEDGER_OK)
        rc = expiry_new(&e, &r->expiry, err);
    return rc == LEDGER_OK && s.interval_s ? scrub_new(&s, &r->scrub, err) : rc;
}

static enum ledger_rc start_companions(struct run *r, struct ledger_err *err)
{
    enum ledger_rc rc = expiry_start(r->expiry, err);
    if (rc == LEDGER_OK && r->scrub)
        rc = scrub_start(r->scrub, err);
    return rc == LEDGER_OK && r->timestamp ? timestamp_start(r->timestamp, r->pipeline, err) : rc;
}

static enum ledger_rc serve(struct run *r, struct ledger_err *err)
{
    struct server_options o = {.dir = r->dir, .config_path = r->config_path, .config = &r->config, .store = r->store,
                               .witness = r->witness, .figures_cb = figures_cb, .figures_ctx = r};
    enum ledger_rc rc = make_companions(r, err);
    if (rc == LEDGER_OK)
        rc = server_new(&o, &r->server, err);
    if (rc == LEDGER_OK)
        rc = start_pipeline(r, err);
    if (rc == LEDGER_OK && ((rc = tell_address(r, err)) != LEDGER_OK || (rc = start_companions(r, err)) != LEDGER_OK)) {
        pipeline_stop(r->pipeline);
        witness_stop(r->witness);
    }
    if (rc == LEDGER_OK)
        rc = server_run(r->server, r->pipeline, err);
    timestamp_stop(r->timestamp);
    expiry_stop(r->expiry);
    scrub_stop(r->scrub);
    unlink(r->address_path);
    unlink(r->http_path);
    pipeline_free(r->pipeline);
    server_free(r->server);
    timestamp_free(r->timestamp);
    expiry_free(r->expiry);
    scrub_free(r->scrub);
    return rc;
}

static enum ledger_rc derive_view(struct run *r, const char *why, struct ledger_err *err)
{
    struct rebuilt done;
    logline(LOG_INFO, why, NULL);
    enum ledger_rc rc = rebuild_folder(r->dir, NULL, false, &done, err);
    if (rc == LEDGER_OK)
        logline(LOG_INFO, "everything but the log was derived anew", "entries=%llu", (unsigned long long)done.size);
    return rc;
}

static bool is_rebuilding(struct store *s)
{
    struct store_snapshot *sn;
    if (store_snapshot_open(s, &sn, NULL) != LEDGER_OK)
        return false; /* what is wrong, the pipeline will say */
    struct kv kv = store_snapshot_kv(sn);
    bool is = log_rebuilding(&kv);
    store_snapshot_close(sn);
    return is;
}

/* Of a folder that an earlier version wrote the log stays, and the view is derived anew; where that was interrupted, it goes on. */
static enum ledger_rc open_store(struct run *r, struct ledger_err *err)
{
    const struct store_options o = {.map_bytes = r->config.map_bytes, .reserve_bytes = r->config.reserve_bytes};
    bool older = false;
    enum ledger_rc rc = LEDGER_OK;
    if (store_is_older(r->dir, &older, err) == LEDGER_OK && older) /* what is wrong, opening it will say */
        rc = derive_view(r, "the folder has an earlier format: everything but the log is derived anew", err);
    if (rc == LEDGER_OK)
        rc = store_open_with(r->dir, STORE_WRITE, &o, &r->store, err);
    if (rc != LEDGER_OK || !is_rebuilding(r->store))
        return rc;
    store_close(r->store);
    r->store = NULL;
    rc = derive_view(r, "a rebuild of the view was interrupted: it goes on", err);
    return rc == LEDGER_OK ? store_open_with(r->dir, STORE_WRITE, &o, &r->store, err) : rc;
}

static enum ledger_rc open_witness(struct run *r, struct ledger_err *err)
{
    const struct witness_options o = {
        .dir = r->dir, .config = &r->config, .store = r->store, .published_cb = published_cb, .fenced_cb = fenced_cb, .ctx = r};
    return r->config.witness_policy[0] ? witness_new(&o, &r->witness, err) : LEDGER_OK;
}

static int run(struct run *r)
{
    struct ledger_err err = {0};
    umask(077);
    unreadable_ends_run();
    /* A core would hold keys, and content long after it was erased. */
    (void)!setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (load_config(r, &err) != LEDGER_OK) {
        fprintf(stderr, "ledgerd run: %s\n", err.msg);
        return EXIT_CODE_USAGE;
    }
    enum ledger_rc rc = open_store(r, &err);
    bool usage = rc == LEDGER_OK && (rc = open_witness(r, &err)) != LEDGER_OK;
    if (rc == LEDGER_OK)
        rc = serve(r, &err);
    witness_free(r->witness);
    store_close(r->store);
    config_fini(&r->config);
    if (rc == LEDGER_OK)
        logline(LOG_INFO, "ended", NULL);
    else
        logline(LOG_ERROR, "ended", "reason=%s", err.msg);
    return usage ? EXIT_CODE_USAGE : exit_code_of(rc);
}

/* Each answer fills blocks of up to a megabyte and drops them. glibc would give them back to the system and be given them again, page by page,
 * which was a tenth of the time that a check takes. A thread keeps a megabyte instead. */
static void keep_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 2 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

int cmd_run(int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"listen", required_argument, NULL, 'l'}, {"plain", no_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    struct run r = {0};
    int option;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (option == 'h') {
            fputs(HELP, stdout);
            return EXIT_CODE_OK;
        }
        if (option == 'l')
            r.listen = optarg;
        else if (option == 'p')
            r.plain = true;
        else
            return EXIT_CODE_USAGE;
    }
    if (optind != argc - 1 || strlen(argv[optind]) >= sizeof r.dir) {
        fputs("ledgerd run: one DIR is wanted, see ledgerd run --help\n", stderr);
        return EXIT_CODE_USAGE;
    }
    memcpy(r.dir, argv[optind], strlen(argv[optind]) + 1);
    keep_memory();
    return run(&r);
}
