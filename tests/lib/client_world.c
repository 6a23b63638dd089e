/* SPDX-License-Identifier: Apache-2.0 */
/* client_world: a real daemon, what a client needs to talk to it, and a proxy that breaks connections (client_world.h). */
#include "client_world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <time.h>

/* ---- a ledger and its daemon ---- */

struct client_world cw;
struct ledger_err cw_err;

void cw_pause_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

void cw_command(const char *fmt, ...)
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

const char *cw_program(void)
{
    static char path[4096];
    const char *build = getenv("LEDGERD_BUILD");
    snprintf(path, sizeof path, "%s/ledgerd", build ? build : "build");
    return path;
}

/* False, and why, if it does not end as it should. */
static bool end_daemon(void)
{
    int status;
    if (cw.daemon <= 0)
        return true;
    kill(cw.daemon, SIGTERM);
    kill(cw.daemon, SIGCONT); /* a test that failed may have left it stopped */
    waitpid(cw.daemon, &status, 0);
    cw.daemon = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    fprintf(stderr, "the daemon did not end well: status %d\n", status);
    cw_command("tail -n 20 '%s/log' >&2", cw.base);
    return false;
}

void cw_stop_daemon(void)
{
    CHECK(end_daemon());
}

static void cw_world_end(void)
{
    bool good = end_daemon();
    if (cw.base[0])
        cw_command("rm -rf '%s'", cw.base);
    if (!good)
        _exit(CHECK_EXIT_FAILED); /* the process is ending already */
}

/* Reads DIR/run/address, which the daemon writes when it serves. */
static void cw_wait_for_address(void)
{
    char path[160];
    snprintf(path, sizeof path, "%s/run/address", cw.dir);
    for (unsigned i = 0; i < CW_WAIT_MS / 10; i++) {
        FILE *f = fopen(path, "r");
        bool got = f && fgets(cw.address, sizeof cw.address, f) && strchr(cw.address, ':');
        if (f)
            fclose(f);
        if (got) {
            cw.address[strcspn(cw.address, "\n")] = 0;
            return;
        }
        if (waitpid(cw.daemon, NULL, WNOHANG) != 0) {
            cw.daemon = 0;
            break;
        }
        cw_pause_ms(10);
    }
    fprintf(stderr, "the daemon does not serve\n");
    cw_command("tail -n 5 '%s/log' >&2", cw.base);
    exit(CHECK_EXIT_FAILED);
}

void cw_start_daemon(void)
{
    char path[160];
    snprintf(path, sizeof path, "%s/run/address", cw.dir);
    unlink(path);
    cw.daemon = fork();
    CHECK(cw.daemon >= 0);
    if (cw.daemon == 0) {
        char log[160];
        snprintf(log, sizeof log, "%s/log", cw.base);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        execl(cw_program(), "ledgerd", "run", cw.dir, "--listen", "127.0.0.1:0", (char *)NULL);
        _exit(127);
    }
    cw_wait_for_address();
}

void cw_world_begin(void)
{
    CHECK_EQ_INT(access(cw_program(), X_OK), 0);
    strcpy(cw.base, "/tmp/ledgerd-client-XXXXXX");
    CHECK(mkdtemp(cw.base) != NULL);
    atexit(cw_world_end);
    snprintf(cw.dir, sizeof cw.dir, "%s/ledger", cw.base);
    snprintf(cw.profile, sizeof cw.profile, "%s/profile", cw.dir);
    cw_command("'%s' init '%s' --origin %s >/dev/null", cw_program(), cw.dir, CW_ORIGIN);
    /* The thread sanitizer leaves no room for a map of the default size. */
    cw_command("[ -z \"$LEDGERD_MAP_SIZE\" ] || sed -i \"s/^#map_size = .*/map_size = $LEDGERD_MAP_SIZE/\" '%s/ledgerd.conf'", cw.dir);
    cw_start_daemon();
}

/* ---- profiles, keys, events ---- */

struct ledger_profile *cw_profile_at(const char *folder, const char *address)
{
    struct ledger_profile *p;
    OK(ledger_profile_open(folder, address, &p, &cw_err));
    return p;
}

struct ledger_client *cw_client_of(const struct ledger_profile *p)
{
    struct ledger_client *c;
    struct ledger_client_options o = {.program = "client_test", .timeout_ms = CW_WAIT_MS};
    OK(ledger_client_open(p, &o, &c, &cw_err));
    return c;
}

struct ledger_key *cw_admin_key(void)
{
    char path[256];
    struct ledger_key *k;
    snprintf(path, sizeof path, "%s/keys/admin.key", cw.profile);
    OK(ledger_key_load(path, &k, &cw_err));
    return k;
}

void cw_now_text(char out[40])
{
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(out, 40, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

struct ledger_event *cw_material(const char *item)
{
    struct ledger_event *ev;
    char now[40];
    cw_now_text(now);
    const char *fields[][2] = {
        {"reference", item},   {"occurred", now},    {"item", item},     {"gtin", "04912345678904"},
        {"lot", "L1"},         {"supplier", "acme"}, {"quantity", "500"}, {"uom", "mL"},
        {"expiry", "2031-01-01T00:00:00Z"},          {"coa_hash", "coa-1"}, {"origin", "animal"},
        {"required_tests", "sterility"},
    };
    OK(ledger_event_new("MATERIAL_RECEIVED", &ev, &cw_err));
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        OK(ledger_event_set(ev, fields[i][0], fields[i][1], &cw_err));
    return ev;
}

struct ledger_batch *cw_empty_batch(void)
{
    struct ledger_batch *b;
    OK(ledger_batch_new(CW_ORIGIN, &b, &cw_err));
    return b;
}

struct ledger_batch *cw_material_batch(struct ledger_key *k, const char *prefix, unsigned first, unsigned n)
{
    struct ledger_batch *b = cw_empty_batch();
    for (unsigned i = 0; i < n; i++) {
        char item[64];
        snprintf(item, sizeof item, "%s-%u", prefix, first + i);
        struct ledger_event *ev = cw_material(item);
        OK(ledger_batch_add_event(b, ev, &cw_err));
        ledger_event_free(ev);
    }
    OK(ledger_batch_sign(b, k, "authorship", NULL, &cw_err));
    return b;
}

/* Registers a party that may record materials; returns its key. */
struct ledger_key *cw_register_warehouse(struct ledger_client *c)
{
    struct ledger_key *admin = cw_admin_key(), *k;
    struct ledger_event *ev;
    struct ledger_batch *b = cw_empty_batch();
    struct ledger_submission *s;
    struct ledger_result r;
    uint8_t proof[64];
    char now[40];
    cw_now_text(now);
    OK(ledger_key_new("p256", CW_WAREHOUSE, &k, &cw_err));
    OK(ledger_key_prove(k, CW_ORIGIN, proof, &cw_err));
    OK(ledger_event_new("PARTY_REGISTERED", &ev, &cw_err));
    const char *fields[][2] = {
        {"reference", "reg-1"}, {"occurred", now},  {"action", "REGISTER"},
        {"party", CW_WAREHOUSE},   {"roles", "WAREHOUSE"}, {"org", "hospital"}, {"pubkey", ledger_key_public(k)},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        OK(ledger_event_set(ev, fields[i][0], fields[i][1], &cw_err));
    OK(ledger_event_set_key_proof(ev, proof, sizeof proof, &cw_err));
    OK(ledger_batch_add_event(b, ev, &cw_err));
    OK(ledger_batch_sign(b, admin, "approval", NULL, &cw_err));
    OK(ledger_submit(c, b, 0, 0, &s, &cw_err));
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

uint64_t cw_submit_one(struct ledger_client *c, struct ledger_key *k, const char *prefix, unsigned number)
{
    struct ledger_batch *b = cw_material_batch(k, prefix, number, 1);
    struct ledger_submission *s;
    struct ledger_result r;
    OK(ledger_submit(c, b, 0, 0, &s, &cw_err));
    CHECK(ledger_submission_result(s, 0, &r));
    CHECK_EQ_INT(r.outcome, LEDGER_ACCEPTED);
    uint64_t index = r.index;
    ledger_submission_free(s);
    ledger_batch_free(b);
    return index;
}

unsigned long long cw_pinned_size(const char *profile)
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

unsigned cw_evidence_files(const char *profile)
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


int cw_daemon_port(void)
{
    return (int)strtol(strrchr(cw.address, ':') + 1, NULL, 10);
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
static void carry(struct cw_proxy *p, int client)
{
    char buf[16384];
    int server = dial(atomic_load(&p->target)), left = atomic_load(&p->cut_after);
    bool cut = left > 0;
    struct pollfd fds[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    while (server >= 0 && !atomic_load(&p->stop)) {
        if (poll(fds, 2, 50) < 0)
            break;
        for (int i = 0; i < 2; i++) {
            if (!(fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
                continue;
            ssize_t n = read(fds[i].fd, buf, sizeof buf);
            if (n <= 0 || (i == 1 && cut && (left -= (int)n) <= 0 && atomic_load(&p->cut_after)) ||
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
    struct cw_proxy *p = arg;
    while (!atomic_load(&p->stop)) {
        struct pollfd fd = {p->listener, POLLIN, 0};
        if (poll(&fd, 1, 50) <= 0)
            continue;
        int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC); /* or the next daemon would keep it open */
        if (client < 0)
            continue;
        atomic_fetch_add(&p->connections, 1);
        carry(p, client);
    }
    return NULL;
}

void cw_proxy_start(struct cw_proxy *p)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t n = sizeof sa;
    memset(p, 0, sizeof *p);
    atomic_store(&p->target, cw_daemon_port());
    sa.sin_addr.s_addr = htonl(INADDR_ANY);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ_INT(bind(p->listener, (struct sockaddr *)&sa, sizeof sa), 0);
    CHECK_EQ_INT(listen(p->listener, 16), 0);
    CHECK_EQ_INT(getsockname(p->listener, (struct sockaddr *)&sa, &n), 0);
    snprintf(p->address, sizeof p->address, "127.0.0.1:%u", ntohs(sa.sin_port));
    CHECK_EQ_INT(pthread_create(&p->thread, NULL, proxy_run, p), 0);
}

void cw_proxy_stop(struct cw_proxy *p)
{
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
    close(p->listener);
}
