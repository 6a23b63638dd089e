/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_test: libledgerd against a real daemon (LEDGERD_BUILD/ledgerd, or build/ledgerd), each test with a ledger of its own in a temporary
 * folder. A small proxy stands between the two where connections have to break.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <time.h>

#include <ledgerd/ledgerd.h>

#include "lib/check.h"

#define ORIGIN "client.test/ledger"
#define ADMIN "admin@" ORIGIN
#define WAREHOUSE "u.warehouse"
#define WAIT_MS 20000

static struct ledger_err err;

#define OK(call)                                                                                                          \
    do {                                                                                                                  \
        enum ledger_rc ok_rc = (call);                                                                                    \
        if (ok_rc != LEDGER_OK) {                                                                                         \
            fprintf(stderr, "%s:%d: %s: %d: %s\n", __FILE__, __LINE__, #call, (int)ok_rc, err.msg);                        \
            exit(CHECK_EXIT_FAILED);                                                                                      \
        }                                                                                                                 \
    } while (0)

/* ---- a ledger and its daemon ---- */

struct world {
    char base[64], dir[96], profile[128], address[64];
    pid_t daemon;
};
static struct world w; /* one test, one process, one world */

static void pause_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static void command(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void command(const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (system(text) != 0) {
        fprintf(stderr, "failed: %s\n", text);
        exit(CHECK_EXIT_FAILED);
    }
}

static const char *program(void)
{
    static char path[4096];
    const char *build = getenv("LEDGERD_BUILD");
    snprintf(path, sizeof path, "%s/ledgerd", build ? build : "build");
    return path;
}

static void stop_daemon(void)
{
    int status;
    if (w.daemon <= 0)
        return;
    kill(w.daemon, SIGTERM);
    waitpid(w.daemon, &status, 0);
    w.daemon = 0;
}

static void world_end(void)
{
    stop_daemon();
    if (w.base[0])
        command("rm -rf '%s'", w.base);
}

/* Reads DIR/run/address, which the daemon writes when it serves. */
static void wait_for_address(void)
{
    char path[160];
    snprintf(path, sizeof path, "%s/run/address", w.dir);
    for (unsigned i = 0; i < 2000; i++) {
        FILE *f = fopen(path, "r");
        bool got = f && fgets(w.address, sizeof w.address, f) && strchr(w.address, ':');
        if (f)
            fclose(f);
        if (got) {
            w.address[strcspn(w.address, "\n")] = 0;
            return;
        }
        pause_ms(10);
    }
    fprintf(stderr, "the daemon does not serve\n");
    command("tail -n 5 '%s/log' >&2", w.base);
    exit(CHECK_EXIT_FAILED);
}

static void start_daemon(void)
{
    char path[160];
    snprintf(path, sizeof path, "%s/run/address", w.dir);
    unlink(path);
    w.daemon = fork();
    CHECK(w.daemon >= 0);
    if (w.daemon == 0) {
        char log[160];
        snprintf(log, sizeof log, "%s/log", w.base);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        execl(program(), "ledgerd", "run", w.dir, "--listen", "127.0.0.1:0", (char *)NULL);
        _exit(127);
    }
    wait_for_address();
}

static void world_begin(void)
{
    CHECK_EQ_INT(access(program(), X_OK), 0);
    strcpy(w.base, "/tmp/ledgerd-client-XXXXXX");
    CHECK(mkdtemp(w.base) != NULL);
    atexit(world_end);
    snprintf(w.dir, sizeof w.dir, "%s/ledger", w.base);
    snprintf(w.profile, sizeof w.profile, "%s/profile", w.dir);
    command("'%s' init '%s' --origin %s >/dev/null", program(), w.dir, ORIGIN);
    start_daemon();
}

/* ---- profiles, keys, events ---- */

static struct ledger_profile *profile_at(const char *folder, const char *address)
{
    struct ledger_profile *p;
    OK(ledger_profile_open(folder, address, &p, &err));
    return p;
}

static struct ledger_client *client_of(const struct ledger_profile *p)
{
    struct ledger_client *c;
    struct ledger_client_options o = {.program = "client_test", .timeout_ms = WAIT_MS};
    OK(ledger_client_open(p, &o, &c, &err));
    return c;
}

static struct ledger_key *admin_key(void)
{
    char path[256];
    struct ledger_key *k;
    snprintf(path, sizeof path, "%s/keys/admin.key", w.profile);
    OK(ledger_key_load(path, &k, &err));
    return k;
}

static void now_text(char out[40])
{
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(out, 40, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static struct ledger_event *material(const char *item)
{
    struct ledger_event *ev;
    char now[40];
    now_text(now);
    const char *fields[][2] = {
        {"reference", item},   {"occurred", now},    {"item", item},     {"gtin", "04912345678904"},
        {"lot", "L1"},         {"supplier", "acme"}, {"quantity", "500"}, {"uom", "mL"},
        {"expiry", "2031-01-01T00:00:00Z"},          {"coa_hash", "coa-1"}, {"origin", "animal"},
        {"required_tests", "sterility"},
    };
    OK(ledger_event_new("MATERIAL_RECEIVED", &ev, &err));
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        OK(ledger_event_set(ev, fields[i][0], fields[i][1], &err));
    return ev;
}

static struct ledger_batch *empty_batch(void)
{
    struct ledger_batch *b;
    OK(ledger_batch_new(ORIGIN, &b, &err));
    return b;
}

static struct ledger_batch *material_batch(struct ledger_key *k, const char *prefix, unsigned first, unsigned n)
{
    struct ledger_batch *b = empty_batch();
    for (unsigned i = 0; i < n; i++) {
        char item[64];
        snprintf(item, sizeof item, "%s-%u", prefix, first + i);
        struct ledger_event *ev = material(item);
        OK(ledger_batch_add_event(b, ev, &err));
        ledger_event_free(ev);
    }
    OK(ledger_batch_sign(b, k, "authorship", NULL, &err));
    return b;
}

/* Registers a party that may record materials; returns its key. */
static struct ledger_key *register_warehouse(struct ledger_client *c)
{
    struct ledger_key *admin = admin_key(), *k;
    struct ledger_event *ev;
    struct ledger_batch *b = empty_batch();
    struct ledger_submission *s;
    struct ledger_result r;
    uint8_t proof[64];
    char now[40];
    now_text(now);
    OK(ledger_key_new("p256", WAREHOUSE, &k, &err));
    OK(ledger_key_prove(k, ORIGIN, proof, &err));
    OK(ledger_event_new("PARTY_REGISTERED", &ev, &err));
    const char *fields[][2] = {
        {"reference", "reg-1"}, {"occurred", now},  {"action", "REGISTER"},
        {"party", WAREHOUSE},   {"roles", "WAREHOUSE"}, {"org", "hospital"}, {"pubkey", ledger_key_public(k)},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        OK(ledger_event_set(ev, fields[i][0], fields[i][1], &err));
    OK(ledger_event_set_key_proof(ev, proof, sizeof proof, &err));
    OK(ledger_batch_add_event(b, ev, &err));
    OK(ledger_batch_sign(b, admin, "approval", NULL, &err));
    OK(ledger_submit(c, b, 0, 0, &s, &err));
    CHECK(ledger_submission_result(s, 0, &r));
    if (r.outcome != LEDGER_ACCEPTED)
        fprintf(stderr, "%s %s %s: %s\n", r.code, r.subject, r.field, r.text);
    CHECK_EQ_INT(r.outcome, LEDGER_ACCEPTED);
    ledger_submission_free(s);
    ledger_batch_free(b);
    ledger_event_free(ev);
    ledger_key_free(admin);
    return k;
}

static uint64_t submit_one(struct ledger_client *c, struct ledger_key *k, const char *prefix, unsigned number)
{
    struct ledger_batch *b = material_batch(k, prefix, number, 1);
    struct ledger_submission *s;
    struct ledger_result r;
    OK(ledger_submit(c, b, 0, 0, &s, &err));
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_ACCEPTED);
    uint64_t index = r.index;
    ledger_submission_free(s);
    ledger_batch_free(b);
    return index;
}

static unsigned long long pinned_size(const char *profile)
{
    char path[256], line[256];
    unsigned long long size = 0;
    snprintf(path, sizeof path, "%s/pins/client.test%%2Fledger.checkpoint", profile);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    CHECK(fgets(line, sizeof line, f) != NULL);
    CHECK_EQ_INT(fscanf(f, "%llu", &size), 1);
    fclose(f);
    return size;
}

static unsigned evidence_files(const char *profile)
{
    char path[256];
    unsigned n = 0;
    snprintf(path, sizeof path, "%s/pins", profile);
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += strncmp(e->d_name, "evidence-", 9) == 0;
    closedir(d);
    return n;
}

/* ---- a proxy that cuts ---- */

struct proxy {
    int listener;
    char address[64];
    pthread_t thread;
    atomic_int target;         /* port of the daemon */
    atomic_int cut_after;      /* bytes from the server after which a connection is cut; 0: never */
    atomic_bool stop;
    atomic_uint connections;
};

static int daemon_port(void)
{
    return (int)strtol(strrchr(w.address, ':') + 1, NULL, 10);
}

static int dial(int port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* One connection at a time is all that one client has. */
static void carry(struct proxy *p, int client)
{
    char buf[16384];
    int server = dial(atomic_load(&p->target)), left = atomic_load(&p->cut_after), limit = left;
    struct pollfd fds[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    while (server >= 0 && !atomic_load(&p->stop)) {
        if (poll(fds, 2, 50) < 0)
            break;
        for (int i = 0; i < 2; i++) {
            if (!(fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
                continue;
            ssize_t n = read(fds[i].fd, buf, sizeof buf);
            if (n <= 0 || (i == 1 && limit && (left -= (int)n) <= 0) ||
                send(fds[1 - i].fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
                goto out;
        }
    }
out:
    if (server >= 0)
        close(server);
    close(client);
}

static void *proxy_run(void *arg)
{
    struct proxy *p = arg;
    while (!atomic_load(&p->stop)) {
        struct pollfd fd = {p->listener, POLLIN, 0};
        if (poll(&fd, 1, 50) <= 0)
            continue;
        int client = accept(p->listener, NULL, NULL);
        if (client < 0)
            continue;
        atomic_fetch_add(&p->connections, 1);
        carry(p, client);
    }
    return NULL;
}

static void proxy_start(struct proxy *p)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t n = sizeof sa;
    memset(p, 0, sizeof *p);
    atomic_store(&p->target, daemon_port());
    sa.sin_addr.s_addr = htonl(INADDR_ANY);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ_INT(bind(p->listener, (struct sockaddr *)&sa, sizeof sa), 0);
    CHECK_EQ_INT(listen(p->listener, 16), 0);
    CHECK_EQ_INT(getsockname(p->listener, (struct sockaddr *)&sa, &n), 0);
    snprintf(p->address, sizeof p->address, "127.0.0.1:%u", ntohs(sa.sin_port));
    CHECK_EQ_INT(pthread_create(&p->thread, NULL, proxy_run, p), 0);
}

static void proxy_stop(struct proxy *p)
{
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
    close(p->listener);
}

/* ---- pipelined submissions ---- */

#define PIPELINED_MAX 1024
struct pipelined {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned ended, accepted, before, other;
    uint64_t index[PIPELINED_MAX];
    char why[256];
};

static void on_submitted(void *user, enum ledger_rc rc, const struct ledger_err *e, struct ledger_submission *s)
{
    struct pipelined *p = user;
    struct ledger_result r = {0};
    bool got = rc == LEDGER_OK && ledger_submission_result(s, 0, &r);
    pthread_mutex_lock(&p->mutex);
    if (got && (r.outcome == LEDGER_ACCEPTED || r.outcome == LEDGER_BEFORE)) {
        p->index[p->accepted + p->before] = r.index;
        p->accepted += r.outcome == LEDGER_ACCEPTED;
        p->before += r.outcome == LEDGER_BEFORE;
    } else {
        p->other++;
        snprintf(p->why, sizeof p->why, "%d %s %s %s", (int)rc, e->msg, got ? r.code : "", got ? r.text : "");
    }
    p->ended++;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->mutex);
    ledger_submission_free(s);
}

static void pipeline(struct ledger_client *c, struct ledger_key *k, const char *prefix, unsigned n, struct pipelined *p)
{
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->changed, NULL);
    for (unsigned i = 0; i < n; i++) {
        struct ledger_batch *b = material_batch(k, prefix, i, 1);
        OK(ledger_submit_start(c, b, 0, 60000, on_submitted, p, &err));
        ledger_batch_free(b);
    }
    pthread_mutex_lock(&p->mutex);
    while (p->ended < n)
        pthread_cond_wait(&p->changed, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
    if (p->other)
        fprintf(stderr, "%u others: %s\n", p->other, p->why);
    CHECK_EQ_INT(p->other, 0);
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < i; j++)
            CHECK(p->index[i] != p->index[j]);
}

/* How many MATERIAL_RECEIVED entries the log holds, read in order from `first` and verified. */
static unsigned count_materials(struct ledger_client *c, uint64_t first, uint64_t end)
{
    struct ledger_watch *watch;
    unsigned n = 0;
    OK(ledger_watch_open(c, first, &watch, &err));
    while (ledger_watch_position(watch) < end) {
        struct ledger_entries *e;
        struct ledger_entry entry;
        OK(ledger_watch_next(watch, 5000, &e, &err));
        CHECK(ledger_entries_count(e) > 0);
        for (size_t i = 0; i < ledger_entries_count(e); i++) {
            CHECK(ledger_entries_get(e, i, &entry));
            CHECK_EQ_INT(entry.index, first++);
            n += strcmp(entry.kind_name, "MATERIAL_RECEIVED") == 0;
        }
        ledger_entries_free(e);
    }
    ledger_watch_close(watch);
    return n;
}

/* ---- tests ---- */

TEST(submit_query_receipt)
{
    world_begin();
    struct ledger_profile *p = profile_at(w.profile, w.address);
    struct ledger_client *c = client_of(p);
    OK(ledger_connect(c, 0, &err));
    struct ledger_key *k = register_warehouse(c);
    struct ledger_batch *b = material_batch(k, "MAT", 1, 1);
    struct ledger_submission *s;
    struct ledger_result r;
    OK(ledger_submit(c, b, 0, 0, &s, &err));
    CHECK_EQ_INT(ledger_submission_recorded(s), LEDGER_RECORDED_ANSWERED);
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK(!ledger_submission_result(s, 1, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_ACCEPTED);
    CHECK_EQ_MEM(r.event_id, ledger_batch_event_id(b, 0), 32);
    CHECK(strncmp(ledger_submission_checkpoint(s), ORIGIN "\n", strlen(ORIGIN) + 1) == 0);
    uint64_t index = r.index;
    ledger_submission_free(s);

    /* The very same batch again: the first entry. */
    OK(ledger_submit(c, b, 0, 0, &s, &err));
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_BEFORE);
    CHECK_EQ_INT(r.index, index);
    ledger_submission_free(s);

    /* The same item in another event: refused, with everything a person needs. */
    struct ledger_batch *again = empty_batch();
    struct ledger_event *ev = material("MAT-1");
    OK(ledger_event_set(ev, "reference", "another", &err));
    OK(ledger_batch_add_event(again, ev, &err));
    OK(ledger_batch_sign(again, k, "authorship", NULL, &err));
    OK(ledger_submit(c, again, 0, 0, &s, &err));
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_REFUSED);
    CHECK_EQ_STR(r.code, "E_DUP_ITEM");
    CHECK(strstr(r.subject, "MAT-1") != NULL);
    CHECK_EQ_STR(r.field, "item");
    CHECK(r.text[0] != 0);
    ledger_submission_free(s);
    ledger_event_free(ev);
    ledger_batch_free(again);

    char *json;
    OK(ledger_query(c, "item", "MAT-1", LEDGER_WITH_MEMBERS | LEDGER_WITH_HISTORY | LEDGER_FRESH, 0, &json, &err));
    CHECK(strstr(json, "MATERIAL_RECEIVED") != NULL && strstr(json, "\"500\"") == NULL && strstr(json, "500") != NULL);
    ledger_free(json);
    OK(ledger_query(c, "item", "NO-SUCH", 0, 0, &json, &err));
    CHECK(strstr(json, "\"present\": false") != NULL);
    ledger_free(json);
    CHECK_EQ_INT(ledger_query(c, "thing", "X", 0, 0, &json, &err), LEDGER_EINVAL);
    OK(ledger_find(c, "item", "MAT", NULL, 0, 0, &json, &err));
    CHECK(strstr(json, "MAT-1") != NULL && strstr(json, "\"proven\": false") != NULL);
    ledger_free(json);
    OK(ledger_status(c, 0, &json, &err));
    CHECK(strchr(json, '{') != NULL);
    ledger_free(json);

    uint8_t *receipt, unknown[32] = {1};
    size_t n;
    OK(ledger_receipt(c, ledger_batch_event_id(b, 0), 0, &receipt, &n, &err));
    OK(ledger_receipt_verify(p, receipt, n, &json, &err));
    CHECK(strstr(json, "MAT-1") != NULL);
    ledger_free(json);
    for (size_t at = 0; at < n; at += 7) {
        receipt[at] ^= 0x10;
        CHECK(ledger_receipt_verify(p, receipt, n, NULL, &err) != LEDGER_OK);
        receipt[at] ^= 0x10;
    }
    CHECK_EQ_INT(ledger_receipt_verify(p, receipt, n - 1, NULL, &err), LEDGER_EINVAL);
    ledger_free(receipt);
    CHECK_EQ_INT(ledger_receipt(c, unknown, 0, &receipt, &n, &err), LEDGER_ENOTFOUND);
    ledger_batch_free(b);
    ledger_key_free(k);
    ledger_client_close(c);
    CHECK(pinned_size(w.profile) > index);
    ledger_profile_close(p);
}

TEST(a_batch_of_a_thousand)
{
    world_begin();
    struct ledger_profile *p = profile_at(w.profile, w.address);
    struct ledger_client *c = client_of(p);
    struct ledger_key *k = register_warehouse(c);
    struct ledger_batch *b = material_batch(k, "T", 0, 1000), *copy;
    struct ledger_submission *s;
    struct ledger_result r;
    struct ledger_event *ev = material("X");
    CHECK_EQ_INT(ledger_batch_add_event(b, ev, &err), LEDGER_EINVAL); /* signed already */
    ledger_event_free(ev);
    /* As bytes to another desk and back. */
    uint8_t *bytes;
    size_t n;
    OK(ledger_batch_encode(b, &bytes, &n, &err));
    OK(ledger_batch_decode(ORIGIN, bytes, n, &copy, &err));
    ledger_batch_free(b);
    CHECK_EQ_INT(ledger_batch_decode(ORIGIN, bytes, n - 1, &b, &err), LEDGER_EINVAL);
    ledger_free(bytes);
    OK(ledger_submit(c, copy, LEDGER_ALL_OR_NOTHING, 60000, &s, &err));
    CHECK_EQ_INT(ledger_submission_count(s), 1000);
    for (size_t i = 0; i < 1000; i++) {
        CHECK(ledger_submission_result(s, i, &r));
        CHECK_EQ_INT(r.outcome, LEDGER_ACCEPTED);
    }
    ledger_submission_free(s);
    ledger_batch_free(copy);

    /* All or nothing: the second event repeats an item. */
    struct ledger_batch *pair = empty_batch();
    struct ledger_event *good = material("NEW-1"), *bad = material("T-5");
    OK(ledger_event_set(bad, "reference", "again", &err));
    OK(ledger_batch_add_event(pair, good, &err));
    OK(ledger_batch_add_event(pair, bad, &err));
    OK(ledger_batch_sign(pair, k, "authorship", NULL, &err));
    OK(ledger_submit(c, pair, LEDGER_ALL_OR_NOTHING, 0, &s, &err));
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_SKIPPED);
    CHECK(ledger_submission_result(s, 1, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_REFUSED);
    CHECK_EQ_STR(ledger_submission_checkpoint(s), "");
    ledger_submission_free(s);
    ledger_event_free(good);
    ledger_event_free(bad);
    ledger_batch_free(pair);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
}

TEST(pipelined)
{
    static struct pipelined done;
    world_begin();
    struct ledger_profile *p = profile_at(w.profile, w.address);
    struct ledger_client *c = client_of(p);
    struct ledger_key *k = register_warehouse(c);
    pipeline(c, k, "P", 300, &done);
    CHECK_EQ_INT(done.accepted, 300);
    uint64_t last = submit_one(c, k, "LAST", 1);
    CHECK_EQ_INT(count_materials(c, 0, last + 1), 301);
    ledger_key_free(k);
    ledger_client_close(c);
    CHECK_EQ_INT(pinned_size(w.profile), last + 2); /* its seal is the last leaf */
    ledger_profile_close(p);
}

/* Connections break in the middle of answers, again and again; nothing is lost and nothing is recorded twice. */
TEST(killed_connections)
{
    static struct pipelined done;
    struct proxy proxy;
    world_begin();
    proxy_start(&proxy);
    struct ledger_profile *p = profile_at(w.profile, proxy.address);
    struct ledger_client *c = client_of(p);
    struct ledger_key *k = register_warehouse(c);
    atomic_store(&proxy.cut_after, 40000);
    /* The connection that stands was made before: this breaks it. */
    stop_daemon();
    start_daemon();
    atomic_store(&proxy.target, daemon_port());
    pipeline(c, k, "K", 200, &done);
    CHECK(atomic_load(&proxy.connections) > 3);
    atomic_store(&proxy.cut_after, 0);
    uint64_t last = submit_one(c, k, "LAST", 1);
    CHECK_EQ_INT(count_materials(c, 0, last + 1), 201);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
    proxy_stop(&proxy);
    CHECK_EQ_INT(evidence_files(w.profile), 0);
}

TEST(a_watch_follows)
{
    world_begin();
    struct ledger_profile *p = profile_at(w.profile, w.address);
    struct ledger_client *c = client_of(p);
    struct ledger_key *k = register_warehouse(c);
    uint64_t at = submit_one(c, k, "W", 1);
    struct ledger_watch *watch;
    struct ledger_entries *e;
    struct ledger_entry entry;
    OK(ledger_watch_open(c, at, &watch, &err)); /* in the middle: not where a batch begins */
    OK(ledger_watch_next(watch, 5000, &e, &err));
    CHECK(ledger_entries_count(e) >= 1);
    CHECK(ledger_entries_get(e, 0, &entry));
    CHECK_EQ_INT(entry.index, at);
    CHECK_EQ_STR(entry.kind_name, "MATERIAL_RECEIVED");
    CHECK(entry.event != NULL && entry.block != NULL && !entry.withheld);
    char *json;
    OK(ledger_event_to_json(entry.event, entry.event_n, &json, &err));
    CHECK(strstr(json, "\"W-1\"") != NULL);
    ledger_free(json);
    ledger_entries_free(e);
    while (ledger_watch_position(watch) < at + 2) {
        OK(ledger_watch_next(watch, 5000, &e, &err));
        ledger_entries_free(e);
    }
    /* Nothing new: no entries, no error, and not before the time is over. */
    OK(ledger_watch_next(watch, 300, &e, &err));
    CHECK_EQ_INT(ledger_entries_count(e), 0);
    ledger_entries_free(e);
    /* Three batches by another client while nobody looks; then one while we wait. */
    struct ledger_client *other = client_of(p);
    for (unsigned i = 2; i < 5; i++)
        submit_one(other, k, "W", i);
    uint64_t seen = 0, next = at + 2;
    while (seen < 3) {
        OK(ledger_watch_next(watch, 5000, &e, &err));
        CHECK(ledger_entries_count(e) > 0);
        for (size_t i = 0; ledger_entries_get(e, i, &entry); i++) {
            CHECK_EQ_INT(entry.index, next++);
            seen += entry.kind == 67;
        }
        ledger_entries_free(e);
    }
    ledger_watch_close(watch);
    ledger_client_close(other);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
}

/* The daemon's data and its anchor are both replaced by older copies: nothing on the operator's side is left that could notice. The
 * client's pin does. */
static void roll_back(void)
{
    stop_daemon();
    command("rm -rf '%s/data' && cp -a '%s/old' '%s/data' && cp '%s/old.anchor' '%s.anchor'", w.dir, w.base, w.dir, w.base, w.dir);
    start_daemon();
}

static void keep_copy(void)
{
    stop_daemon();
    command("cp -a '%s/data' '%s/old' && cp '%s.anchor' '%s/old.anchor'", w.dir, w.base, w.dir, w.base);
    start_daemon();
}

static void submit_and_close(struct ledger_key *k, const char *prefix, unsigned first, unsigned n, const char *profile)
{
    struct ledger_profile *p = profile_at(profile, w.address);
    struct ledger_client *c = client_of(p);
    for (unsigned i = 0; i < n; i++)
        submit_one(c, k, prefix, first + i);
    ledger_client_close(c);
    ledger_profile_close(p);
}

static struct ledger_key *register_and_close(void)
{
    struct ledger_profile *p = profile_at(w.profile, w.address);
    struct ledger_client *c = client_of(p);
    struct ledger_key *k = register_warehouse(c);
    ledger_client_close(c);
    ledger_profile_close(p);
    return k;
}

static void expect_tampering(void)
{
    struct ledger_profile *p = profile_at(w.profile, w.address);
    struct ledger_client *c = client_of(p);
    CHECK_EQ_INT(ledger_connect(c, 0, &err), LEDGER_ETAMPER);
    CHECK(strstr(err.msg, "evidence-") != NULL);
    CHECK(evidence_files(w.profile) >= 1);
    /* It stays so. */
    char *json;
    CHECK_EQ_INT(ledger_query(c, "item", "R-1", 0, 0, &json, &err), LEDGER_ETAMPER);
    ledger_client_close(c);
    ledger_profile_close(p);
}

TEST(a_rollback_is_detected)
{
    world_begin();
    struct ledger_key *k = register_and_close();
    submit_and_close(k, "R", 1, 1, w.profile);
    keep_copy();
    submit_and_close(k, "R", 2, 20, w.profile);
    unsigned long long pinned = pinned_size(w.profile);
    roll_back();
    expect_tampering();
    CHECK(strstr(err.msg, "rolled back") != NULL);
    CHECK_EQ_INT(pinned_size(w.profile), pinned); /* the pin does not give way */
    ledger_key_free(k);
}

TEST(a_fork_is_detected)
{
    char fresh[160];
    world_begin();
    snprintf(fresh, sizeof fresh, "%s/fresh", w.base);
    struct ledger_key *k = register_and_close();
    submit_and_close(k, "R", 1, 1, w.profile);
    keep_copy();
    submit_and_close(k, "R", 2, 3, w.profile);
    roll_back();
    /* Somebody without a pin helps the ledger to grow beyond the old size, with other entries. */
    command("cp -a '%s' '%s' && rm -rf '%s/pins'", w.profile, fresh, fresh);
    submit_and_close(k, "OTHER", 1, 12, fresh);
    CHECK(pinned_size(fresh) > pinned_size(w.profile));
    expect_tampering();
    ledger_key_free(k);
}

/* A running client, too: the daemon comes back smaller while the client is connected. */
TEST(a_rollback_under_a_running_client)
{
    struct proxy proxy;
    world_begin();
    proxy_start(&proxy);
    struct ledger_key *k = register_and_close();
    keep_copy();
    atomic_store(&proxy.target, daemon_port());
    struct ledger_profile *p = profile_at(w.profile, proxy.address);
    struct ledger_client *c = client_of(p);
    submit_one(c, k, "R", 1);
    roll_back();
    atomic_store(&proxy.target, daemon_port());
    char *json;
    CHECK_EQ_INT(ledger_query(c, "item", "R-1", 0, 0, &json, &err), LEDGER_ETAMPER);
    CHECK(evidence_files(w.profile) >= 1);
    ledger_client_close(c);
    ledger_profile_close(p);
    ledger_key_free(k);
    proxy_stop(&proxy);
}

TEST(two_programs_share_a_pin)
{
    world_begin();
    struct ledger_profile *p = profile_at(w.profile, w.address);
    struct ledger_client *a = client_of(p), *b = client_of(p);
    struct ledger_key *k = register_warehouse(a);
    for (unsigned i = 0; i < 10; i++) {
        submit_one(i % 2 ? a : b, k, "S", i);
        pause_ms(i % 3 * 120); /* sometimes long enough for a pin to be written in between */
    }
    uint64_t last = submit_one(b, k, "S", 100);
    ledger_client_close(b);
    ledger_client_close(a);
    CHECK_EQ_INT(pinned_size(w.profile), last + 2);
    CHECK_EQ_INT(evidence_files(w.profile), 0);
    ledger_key_free(k);
    ledger_profile_close(p);
}

TEST(strangers)
{
    char path[200], other[200];
    world_begin();
    snprintf(path, sizeof path, "%s/p2", w.base);
    snprintf(other, sizeof other, "%s/other", w.base);
    struct ledger_profile *p;
    struct ledger_client *c;

    /* Another authority: the server's certificate does not fit. */
    command("'%s' init '%s' --origin %s >/dev/null", program(), other, ORIGIN);
    command("cp -a '%s' '%s' && cp '%s/profile/ca.pem' '%s/ca.pem'", w.profile, path, other, path);
    p = profile_at(path, w.address);
    c = client_of(p);
    CHECK_EQ_INT(ledger_connect(c, 0, &err), LEDGER_EUNTRUSTED);
    CHECK(strstr(err.msg, "certificate") != NULL);
    ledger_client_close(c);
    ledger_profile_close(p);

    /* A certificate of another authority: the server does not take ours. */
    command("cp '%s/ca.pem' '%s/ca.pem' && cp '%s/profile/client.pem' '%s/profile/client.key' '%s'", w.profile, path, other, other,
            path);
    p = profile_at(path, w.address);
    c = client_of(p);
    CHECK_EQ_INT(ledger_connect(c, 0, &err), LEDGER_EDENIED);
    ledger_client_close(c);
    ledger_profile_close(p);

    /* Another log key under the same name: nobody vouches for this ledger. */
    command("cp '%s/client.pem' '%s/client.key' '%s/profile/policy' '%s'", w.profile, w.profile, other, path);
    p = profile_at(path, w.address);
    c = client_of(p);
    CHECK_EQ_INT(ledger_connect(c, 0, &err), LEDGER_EUNTRUSTED);
    CHECK_EQ_INT(evidence_files(path), 0);
    ledger_client_close(c);
    ledger_profile_close(p);

    /* Another host than the certificate names. */
    struct proxy proxy;
    proxy_start(&proxy);
    snprintf(path, sizeof path, "127.0.0.2:%s", strrchr(proxy.address, ':') + 1);
    p = profile_at(w.profile, path);
    c = client_of(p);
    CHECK_EQ_INT(ledger_connect(c, 0, &err), LEDGER_EUNTRUSTED);
    ledger_client_close(c);
    ledger_profile_close(p);
    proxy_stop(&proxy);
}

TEST(nobody_answers)
{
    world_begin();
    stop_daemon();
    struct ledger_profile *p = profile_at(w.profile, w.address);
    struct ledger_client_options o = {.first_contact_ms = 300};
    struct ledger_client *c;
    OK(ledger_client_open(p, &o, &c, &err));
    CHECK_EQ_INT(ledger_connect(c, 10000, &err), LEDGER_ECONNECT);
    CHECK(strstr(err.msg, "refused") != NULL);
    struct ledger_key *k = admin_key();
    struct ledger_batch *b = material_batch(k, "X", 1, 1);
    struct ledger_submission *s;
    CHECK_EQ_INT(ledger_submit(c, b, 0, 2000, &s, &err), LEDGER_ECONNECT);
    CHECK_EQ_INT(ledger_submission_recorded(s), LEDGER_RECORDED_NOTHING);
    CHECK_EQ_INT(ledger_submission_count(s), 0);
    ledger_submission_free(s);
    ledger_batch_free(b);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
}

/* The server takes the request and then says nothing: only then is it not known. */
TEST(an_answer_that_never_comes)
{
    struct proxy proxy;
    world_begin();
    proxy_start(&proxy);
    struct ledger_profile *p = profile_at(w.profile, proxy.address);
    struct ledger_client *c = client_of(p);
    struct ledger_key *k = register_warehouse(c);
    kill(w.daemon, SIGSTOP);
    struct ledger_batch *b = material_batch(k, "U", 1, 1);
    struct ledger_submission *s;
    struct ledger_result r;
    CHECK_EQ_INT(ledger_submit(c, b, 0, 500, &s, &err), LEDGER_ECONNECT);
    CHECK_EQ_INT(ledger_submission_recorded(s), LEDGER_RECORDED_UNKNOWN);
    ledger_submission_free(s);
    kill(w.daemon, SIGCONT);
    /* The same batch again resolves it. */
    OK(ledger_submit(c, b, 0, 0, &s, &err));
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK(r.outcome == LEDGER_BEFORE || r.outcome == LEDGER_ACCEPTED);
    CHECK_EQ_INT(count_materials(c, 0, r.index + 1), 1);
    ledger_submission_free(s);
    ledger_batch_free(b);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
    proxy_stop(&proxy);
}

/* ---- callbacks ---- */

struct seen {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct ledger_client *c;
    unsigned n;
    enum ledger_rc rc, blocking;
};

static void on_done(void *user, enum ledger_rc rc, const struct ledger_err *e)
{
    struct seen *s = user;
    struct ledger_err local;
    (void)e;
    enum ledger_rc blocking = ledger_connect(s->c, 1000, &local);
    pthread_mutex_lock(&s->mutex);
    s->n++;
    s->rc = rc;
    s->blocking = blocking;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static void on_text(void *user, enum ledger_rc rc, const struct ledger_err *e, char *json)
{
    ledger_free(json);
    on_done(user, rc, e);
}

static void wait_for(struct seen *s, unsigned n)
{
    pthread_mutex_lock(&s->mutex);
    while (s->n < n)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

TEST(callbacks_and_limits)
{
    struct seen s = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    world_begin();
    struct ledger_profile *p = profile_at(w.profile, w.address);
    struct ledger_client_options o = {.calls_max = 2};
    OK(ledger_client_open(p, &o, &s.c, &err));
    OK(ledger_connect_start(s.c, 5000, on_done, &s, &err));
    wait_for(&s, 1);
    CHECK_EQ_INT(s.rc, LEDGER_OK);
    CHECK_EQ_INT(s.blocking, LEDGER_EINVAL);
    OK(ledger_query_start(s.c, "party", ADMIN, LEDGER_WITH_HISTORY, 0, on_text, &s, &err));
    wait_for(&s, 2);
    CHECK_EQ_INT(s.rc, LEDGER_OK);
    kill(w.daemon, SIGSTOP);
    OK(ledger_status_start(s.c, 60000, on_text, &s, &err));
    OK(ledger_status_start(s.c, 60000, on_text, &s, &err));
    CHECK_EQ_INT(ledger_status_start(s.c, 60000, on_text, &s, &err), LEDGER_EBUSY);
    char *json;
    CHECK_EQ_INT(ledger_status(s.c, 200, &json, &err), LEDGER_EBUSY);
    ledger_client_close(s.c); /* ends both */
    CHECK_EQ_INT(s.n, 4);
    CHECK_EQ_INT(s.rc, LEDGER_ECANCELED);
    kill(w.daemon, SIGCONT);
    ledger_profile_close(p);
}

TEST(a_restart_is_not_noticed)
{
    struct proxy proxy;
    world_begin();
    proxy_start(&proxy);
    struct ledger_profile *p = profile_at(w.profile, proxy.address);
    struct ledger_client *c = client_of(p);
    struct ledger_key *k = register_warehouse(c);
    for (unsigned i = 0; i < 3; i++) {
        submit_one(c, k, "A", i);
        kill(w.daemon, SIGKILL);
        waitpid(w.daemon, NULL, 0);
        start_daemon();
        atomic_store(&proxy.target, daemon_port());
    }
    submit_one(c, k, "A", 9);
    CHECK_EQ_INT(evidence_files(w.profile), 0);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
    proxy_stop(&proxy);
}

TEST_MAIN(TEST_ENTRY(submit_query_receipt), TEST_ENTRY(a_batch_of_a_thousand), TEST_ENTRY(pipelined),
          TEST_ENTRY(killed_connections), TEST_ENTRY(a_watch_follows), TEST_ENTRY(a_rollback_is_detected),
          TEST_ENTRY(a_fork_is_detected), TEST_ENTRY(a_rollback_under_a_running_client), TEST_ENTRY(two_programs_share_a_pin),
          TEST_ENTRY(strangers), TEST_ENTRY(nobody_answers), TEST_ENTRY(an_answer_that_never_comes),
          TEST_ENTRY(callbacks_and_limits), TEST_ENTRY(a_restart_is_not_noticed))
