/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench: how many durable events a second a daemon records over TLS, how long an acknowledgement
 * takes, and what the same machine's disk and processor allow beside it.
 *
 * Terms. A *flight* is one submit request that was encoded and signed before the measured interval:
 * one event, or a hundred under one signature. A *client* is one connection with a key of its own
 * and one flight on its way at a time. A *commit* is told by its checkpoint: answers with the same
 * one were made durable together.
 *
 * With --rate the requests are sent at given times, spread evenly over the clients, whatever the answers do; the time of an answer counts
 * from the moment at which its request was due (so that a stall is seen by all that had to wait for it).
 *
 * One thread sends, takes the time and keeps the answers as bytes. After the interval each of them
 * is decoded and verified: checkpoint signature, header, signature block, inclusion path, and that
 * no two events got the same entry.
 *
 * Failure: a connection that is lost, an answer that is an error, an event that is not accepted or
 * a receipt that does not verify ends the program with status 1 and a sentence; no number is
 * printed for such a run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "crypto.h"
#include "key.h"
#include "message.h"
#include "lib/raw_client.h"
#include "lib/shapes.h"

#define CLIENTS_MAX 64u
#define ITEMS_PER_CLIENT 4u
#define LOAD_BYTES_MAX ((size_t)2 << 30)
#define DISK_BLOCK 4096u
#define DISK_BLOCKS 2048u
#define NS_PER_S 1000000000ull

struct settings {
    const char *profile, *admin_key, *scratch, *json;
    const char *tag;  /* part of the names of parties and items, where a ledger is loaded more than once */
    unsigned seconds;
    unsigned only;    /* run the load of so many clients alone, with single events; 0: all loads */
    double rate;      /* with `only`: requests a second, of all clients together; 0: each as fast as it is answered */
    long pid; /* of the daemon; 0: unknown */
};

struct flight {
    struct batch_event *events;
    unsigned n;
    struct signature sig;
    struct span signature, request; /* request: without the frame's length */
    uint64_t sent_ns, done_ns;      /* done 0: not answered */
    uint8_t *answer;
    size_t answer_n;
};
struct client {
    struct raw_client raw;
    struct flight *next, *end, *out; /* out: on its way, or NULL */
    uint64_t due_ns;                 /* paced: when the next one is to be sent */
};
struct load {
    const char *name;
    unsigned clients, batch, per_client; /* flights made for each client, at most */
    struct arena *a;
    struct flight *flights;
    size_t n;
};
struct result {
    size_t events, flights, commits;
    double seconds, p50_ms, p99_ms, max_ms, daemon_cores;
    double fdatasyncs; /* a second: mean of right before and right after the interval */
    double began;      /* seconds since 1970 */
};
struct bench {
    struct settings set;
    struct crypto *c;
    struct ledger_profile *profile;
    struct tls_context *tls;
    struct ledger_key *keys[CLIENTS_MAX];
    double verifications; /* Ed25519, a second, one core */
    unsigned run;         /* makes references unique */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static double seconds_since(uint64_t ns)
{
    return (double)(now_ns() - ns) / 1e9;
}

static int by_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* ---- what the machine allows ---- */

/* Overwrites a file that has its blocks already, one after the other, each followed by fdatasync:
 * what a log would do at best. Disks that are shared with others change from second to second, so
 * it is measured right before and right after each run. */
static double measure_disk(const struct bench *b)
{
    char path[4096], block[DISK_BLOCK];
    unsigned n = 0;
    memset(block, 'l', sizeof block);
    snprintf(path, sizeof path, "%s/fdatasync", b->set.scratch);
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        raw_die("%s: %s", path, strerror(errno));
    for (unsigned i = 0; i < DISK_BLOCKS; i++)
        if (pwrite(fd, block, sizeof block, (off_t)(i * DISK_BLOCK)) != (ssize_t)sizeof block)
            raw_die("%s: %s", path, strerror(errno));
    if (fsync(fd))
        raw_die("%s: %s", path, strerror(errno));
    uint64_t began = now_ns();
    for (; seconds_since(began) < 0.5; n++) {
        memcpy(block, &n, sizeof n);
        if (pwrite(fd, block, sizeof block, (off_t)(n % DISK_BLOCKS * DISK_BLOCK)) !=
                (ssize_t)sizeof block ||
            fdatasync(fd))
            raw_die("%s: %s", path, strerror(errno));
    }
    double rate = n / seconds_since(began);
    close(fd);
    unlink(path);
    return rate;
}

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* By processor time: what a core could do, whatever else runs on it now. */
static void measure_verification(struct bench *b)
{
    struct secret_key sk;
    uint8_t seed[32] = {1}, sig[64], message[220];
    size_t n = 0, good = 0;
    if (!crypto_secret_from_seed(b->c, SIG_ED25519, seed, &sk))
        raw_die("no Ed25519");
    memset(message, 'm', sizeof message);
    if (!crypto_make_signature(b->c, &sk, span_of(message, sizeof message), sig))
        raw_die("no Ed25519 signature");
    double began = cpu_now();
    for (; n % 64 || cpu_now() - began < 0.5; n++)
        good += crypto_verify(b->c, SIG_ED25519, span_of(sk.pub, sk.pub_len),
                              span_of(message, sizeof message), span_of(sig, sizeof sig));
    if (good != n)
        raw_die("a good signature does not verify");
    b->verifications = (double)n / (cpu_now() - began);
}

/* CPU seconds that the daemon has used so far; 0 if that cannot be read. */
static double daemon_cpu(const struct bench *b)
{
    char path[64], text[1024];
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", b->set.pid);
    FILE *f = b->set.pid > 0 ? fopen(path, "re") : NULL;
    if (!f)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    const char *p = strrchr(text, ')'); /* the name before it may hold anything */
    if (!p ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
        return 0;
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- parties and items, made before anything is measured ---- */

/* Gives a batch its signature, submits it through the library and wants every event accepted. */
static void submit_all(struct ledger_client *cl, struct ledger_batch *batch, struct ledger_key *key,
                       const char *what)
{
    struct ledger_err err;
    struct ledger_submission *s = NULL;
    raw_must(ledger_batch_sign(batch, key, "authorship", NULL, &err), &err, what);
    raw_must(ledger_submit(cl, batch, 0, 0, &s, &err), &err, what);
    for (size_t i = 0; i < ledger_submission_count(s); i++) {
        struct ledger_result r;
        if (!ledger_submission_result(s, i, &r) || r.outcome != LEDGER_ACCEPTED)
            raw_die("%s %zu: %s %s", what, i, r.code, r.text);
    }
    ledger_submission_free(s);
    ledger_batch_free(batch);
}

static void register_clients(struct bench *b, struct ledger_client *cl, struct ledger_key *admin, struct arena *a)
{
    struct ledger_err err;
    struct ledger_batch *batch = NULL;
    char party[ID_MAX];
    raw_must(ledger_batch_new(b->profile->origin, &batch, &err), &err, "batch");
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        snprintf(party, sizeof party, "op-%s%02u@cpc.example", b->set.tag, i);
        raw_must(ledger_key_new("ed25519", party, &b->keys[i], &err), &err, "key");
        struct span bytes = shape_registration(a, b->profile->origin, b->keys[i], "OPERATOR");
        raw_must(ledger_batch_add(batch, bytes.p, bytes.n, &err), &err, "registration");
    }
    submit_all(cl, batch, admin, "registration");
}

static void item_name(const struct bench *b, unsigned client, unsigned item, char *out, size_t n)
{
    snprintf(out, n, "gs1:01/09521234543213/10/BENCH-%s%02u-%u", b->set.tag, client, item);
}

static void create_items(struct bench *b, struct ledger_client *cl, struct arena *a)
{
    struct ledger_err err;
    struct ledger_batch *batch = NULL;
    char item[ID_MAX];
    raw_must(ledger_batch_new(b->profile->origin, &batch, &err), &err, "batch");
    for (unsigned i = 0; i < CLIENTS_MAX * ITEMS_PER_CLIENT; i++) {
        struct event ev;
        item_name(b, i / ITEMS_PER_CLIENT, i % ITEMS_PER_CLIENT, item, sizeof item);
        shape_lot(a, item, &ev);
        struct span bytes = shape_encode(a, &ev, "create", i);
        raw_must(ledger_batch_add(batch, bytes.p, bytes.n, &err), &err, "lot");
    }
    submit_all(cl, batch, b->keys[0], "lot");
}

static void prepare_ledger(struct bench *b)
{
    struct ledger_err err;
    struct ledger_key *admin = NULL;
    struct ledger_client *cl = NULL;
    struct arena *a = arena_new(LOAD_BYTES_MAX);
    if (!a)
        raw_die("out of memory");
    raw_must(ledger_key_load(b->set.admin_key, &admin, &err), &err, "administrator's key");
    raw_must(ledger_client_open(b->profile, NULL, &cl, &err), &err, "client");
    register_clients(b, cl, admin, a);
    create_items(b, cl, a);
    ledger_client_close(cl);
    ledger_key_free(admin);
    arena_free(a);
}

/* ---- flights ---- */

static void make_event(struct bench *b, struct load *l, struct event *template, uint64_t number,
                       struct batch_event *out)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "br-%u", b->run);
    out->bytes = shape_encode(l->a, template, prefix, number);
    event_id(b->c, out->bytes, &out->id);
}

/* The part of a batch that signing, encoding and sealing use; the arena is whichever the result
 * belongs to. */
static void flight_batch(const struct bench *b, const struct flight *f, struct arena *a,
                         struct ledger_batch *out)
{
    memset(out, 0, sizeof *out);
    out->a = a;
    out->c = b->c;
    snprintf(out->origin, sizeof out->origin, "%s", b->profile->origin);
    out->events = f->events;
    out->n = f->n;
    out->sigs[0] = f->sig;
    out->signatures[0] = f->signature;
    out->n_signatures = f->signature.p ? 1 : 0;
}

static void make_flight(struct bench *b, struct load *l, struct flight *f, unsigned client,
                        struct event *templates)
{
    static struct ledger_batch batch;
    struct ledger_err err;
    uint64_t number = (uint64_t)(f - l->flights) * l->batch;
    f->n = l->batch;
    f->events = arena_alloc(l->a, l->batch * sizeof *f->events);
    if (!f->events)
        raw_die("out of memory for flights");
    for (unsigned i = 0; i < l->batch; i++)
        make_event(b, l, &templates[(number + i) % ITEMS_PER_CLIENT], number + i, &f->events[i]);
    flight_batch(b, f, l->a, &batch);
    raw_must(batch_sign(&batch, b->keys[client], "authorship", NULL, &err), &err, "signature");
    f->sig = batch.sigs[0];
    f->signature = batch.signatures[0];
    f->request = rpc_put_submit(l->a, 1000 + (uint64_t)(f - l->flights), &batch, false);
    if (!f->request.p)
        raw_die("out of memory for requests");
}

static void make_load(struct bench *b, struct load *l)
{
    l->a = arena_new(LOAD_BYTES_MAX);
    l->n = (size_t)l->clients * l->per_client;
    l->flights = calloc(l->n, sizeof *l->flights);
    if (!l->a || !l->flights)
        raw_die("out of memory");
    b->run++;
    for (unsigned c = 0; c < l->clients; c++) {
        struct event templates[ITEMS_PER_CLIENT];
        char item[ID_MAX];
        for (unsigned i = 0; i < ITEMS_PER_CLIENT; i++) {
            item_name(b, c, i, item, sizeof item);
            shape_step(l->a, item, &templates[i]);
        }
        for (unsigned i = 0; i < l->per_client; i++)
            make_flight(b, l, &l->flights[(size_t)c * l->per_client + i], c, templates);
    }
}

static void free_load(struct load *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->flights[i].answer);
    free(l->flights);
    arena_free(l->a);
}

/* ---- the measured interval ---- */

static void send_next(struct client *cl, uint64_t step_ns)
{
    cl->out = cl->next++;
    cl->out->sent_ns = step_ns ? cl->due_ns : now_ns();
    cl->due_ns += step_ns;
    raw_client_send(&cl->raw, cl->out->request);
}

/* Notes time and bytes of an answer that is complete. */
static bool take_answer(struct client *cl)
{
    struct span message;
    if (!raw_client_receive(&cl->raw, false, &message))
        return false;
    struct flight *f = cl->out;
    if (!f)
        raw_die("an answer that nobody asked for");
    f->done_ns = now_ns();
    f->answer = malloc(message.n);
    if (!f->answer)
        raw_die("out of memory for answers");
    memcpy(f->answer, message.p, message.n);
    f->answer_n = message.n;
    raw_client_drop(&cl->raw, message);
    cl->out = NULL;
    return true;
}

/* Sends what is due; milliseconds until the next one, at most 100. */
static int send_due(struct load *l, struct client *clients, uint64_t step_ns, uint64_t until)
{
    uint64_t now = now_ns(), next = now + NS_PER_S / 10;
    for (unsigned i = 0; i < l->clients; i++) {
        struct client *cl = &clients[i];
        if (cl->out || cl->next == cl->end || cl->due_ns >= until)
            continue;
        if (cl->due_ns <= now)
            send_next(cl, step_ns);
        else if (cl->due_ns < next)
            next = cl->due_ns;
    }
    return (int)((next - now) / 1000000);
}

/* Each client has its own times, the clients' times are spread over one step. */
static void drive_paced(struct bench *b, struct load *l, struct client *clients, int ep)
{
    struct epoll_event ready[CLIENTS_MAX];
    uint64_t step = (uint64_t)((double)NS_PER_S * l->clients / b->set.rate), now = now_ns(), until = now + b->set.seconds * NS_PER_S;
    unsigned flying = 1;
    for (unsigned i = 0; i < l->clients; i++)
        clients[i].due_ns = now + step * i / l->clients;
    while (now_ns() < until || flying) {
        int n = epoll_wait(ep, ready, CLIENTS_MAX, send_due(l, clients, step, until));
        for (int i = 0; i < n; i++)
            while (((struct client *)ready[i].data.ptr)->out && take_answer(ready[i].data.ptr))
                ;
        flying = 0;
        for (unsigned i = 0; i < l->clients; i++)
            flying += clients[i].out != NULL;
        if (flying && now_ns() > until + 20 * NS_PER_S)
            raw_die("no answer within 20 seconds");
    }
}

static void drive(struct bench *b, struct load *l, struct client *clients, int ep)
{
    struct epoll_event ready[CLIENTS_MAX];
    unsigned flying = l->clients;
    uint64_t until = now_ns() + b->set.seconds * NS_PER_S;
    for (unsigned i = 0; i < l->clients; i++)
        send_next(&clients[i], 0);
    while (flying > 0) {
        int n = epoll_wait(ep, ready, CLIENTS_MAX, 10000);
        if (n == 0 || (n < 0 && errno != EINTR))
            raw_die("no answer within 10 seconds");
        for (int i = 0; i < n; i++) {
            struct client *cl = ready[i].data.ptr;
            if (!take_answer(cl))
                continue;
            if (cl->next < cl->end && now_ns() < until)
                send_next(cl, 0);
            else
                flying--;
        }
    }
}

static void fly(struct bench *b, struct load *l, struct result *r)
{
    static struct client clients[CLIENTS_MAX];
    int ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0)
        raw_die("epoll: %s", strerror(errno));
    for (unsigned i = 0; i < l->clients; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = &clients[i]}};
        raw_client_open(&clients[i].raw, b->profile, b->tls, "ledgerd-bench");
        clients[i].out = NULL;
        clients[i].next = &l->flights[(size_t)i * l->per_client];
        clients[i].end = clients[i].next + l->per_client;
        if (epoll_ctl(ep, EPOLL_CTL_ADD, clients[i].raw.fd, &ev))
            raw_die("epoll: %s", strerror(errno));
    }
    double disk = measure_disk(b), cpu = daemon_cpu(b);
    uint64_t began = now_ns();
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    r->began = (double)wall.tv_sec + (double)wall.tv_nsec / 1e9;
    if (b->set.rate > 0)
        drive_paced(b, l, clients, ep);
    else
        drive(b, l, clients, ep);
    double all = seconds_since(began);
    r->daemon_cores = (daemon_cpu(b) - cpu) / all;
    r->fdatasyncs = (disk + measure_disk(b)) / 2;
    for (unsigned i = 0; i < l->clients; i++)
        raw_client_close(&clients[i].raw);
    close(ep);
}

/* ---- afterwards: is all of it true? ---- */

struct proof_of_run {
    struct arena *a;
    struct verifier vf;
    struct checkpoint cp;
    struct span note; /* that cp was read from; a copy */
    uint8_t *seen;    /* one bit an entry */
    uint64_t seen_n;
};

static void check_note(struct proof_of_run *p, struct span note, struct result *r)
{
    static uint8_t copy[8192];
    struct verdict v = {0};
    struct policy_verdict trust;
    if (span_eq(note, p->note))
        return;
    if (note.n > sizeof copy)
        raw_die("a checkpoint of %zu bytes", note.n);
    memcpy(copy, note.p, note.n);
    p->note = span_of(copy, note.n);
    if (!verify_checkpoint(&p->vf, p->note, &p->cp, &trust, &v))
        raw_die("a checkpoint does not verify: %s", v.text);
    r->commits++;
}

static void check_result(struct proof_of_run *p, const struct batch_event *e,
                         const struct message_result *m)
{
    struct entry_claim claim = {.header = m->header, .event = e->bytes, .block = e->block};
    struct entry entry;
    struct verdict v = {0};
    if (m->outcome != LEDGER_ACCEPTED)
        raw_die("an event was not accepted: code %u, %s", m->code, m->text ? m->text : "");
    if (!verify_entry(&p->vf, &claim, &entry, &v) ||
        !verify_inclusion(&p->vf, &entry, &p->cp, m->path, &v))
        raw_die("the receipt of entry %llu does not verify: %s", (unsigned long long)m->index,
                v.text);
    uint64_t i = entry.header.index;
    if (i != m->index || i >= p->seen_n || p->seen[i / 8] >> (i % 8) & 1)
        raw_die("entry %llu was given to two events", (unsigned long long)i);
    p->seen[i / 8] = (uint8_t)(p->seen[i / 8] | 1u << (i % 8));
}

static void check_flight(struct bench *b, struct proof_of_run *p, const struct flight *f,
                         struct result *r)
{
    static struct ledger_batch batch;
    struct ledger_err err;
    struct message m;
    arena_reset(p->a);
    raw_must(rpc_decode(p->a, span_of(f->answer, f->answer_n), &m, &err), &err, "answer");
    if (m.kind == MESSAGE_ERROR)
        raw_die("the daemon answered with an error: %s", m.u.error.text);
    if (m.kind != MESSAGE_SUBMIT || m.u.submit.n != f->n)
        raw_die("an answer that does not fit its request");
    check_note(p, m.u.submit.checkpoint, r);
    flight_batch(b, f, p->a, &batch);
    raw_must(batch_seal(&batch, &err), &err, "signature block");
    for (unsigned i = 0; i < f->n; i++)
        check_result(p, &f->events[i], &m.u.submit.results[i]);
    r->events += f->n;
    r->flights++;
}

static int by_done(const void *a, const void *b)
{
    return by_u64(&(*(const struct flight *const *)a)->done_ns,
                  &(*(const struct flight *const *)b)->done_ns);
}

static void latencies(struct flight **done, size_t n, struct result *r)
{
    uint64_t first = UINT64_MAX, *took = calloc(n, sizeof *took);
    if (!took)
        raw_die("out of memory");
    for (size_t i = 0; i < n; i++) {
        took[i] = done[i]->done_ns - done[i]->sent_ns;
        first = done[i]->sent_ns < first ? done[i]->sent_ns : first;
    }
    r->seconds = (double)(done[n - 1]->done_ns - first) / 1e9;
    qsort(took, n, sizeof *took, by_u64);
    r->p50_ms = (double)took[n / 2] / 1e6;
    r->p99_ms = (double)took[n - 1 - (n - 1) / 100] / 1e6;
    r->max_ms = (double)took[n - 1] / 1e6;
    free(took);
}

/* In the order of the answers, so that each checkpoint comes once. */
static void check_load(struct bench *b, struct load *l, struct result *r)
{
    struct flight **done = calloc(l->n, sizeof *done);
    struct proof_of_run p = {.a = arena_new(LOAD_BYTES_MAX), .seen_n = (uint64_t)1 << 28};
    size_t n = 0;
    p.seen = calloc(1, (size_t)(p.seen_n / 8));
    if (!done || !p.a || !p.seen)
        raw_die("out of memory");
    p.vf = (struct verifier){.c = b->c, .a = p.a, .policy = b->profile->policy, .index_key = b->profile->index_key, .origin = b->profile->origin};
    for (size_t i = 0; i < l->n; i++)
        if (l->flights[i].done_ns)
            done[n++] = &l->flights[i];
    qsort(done, n, sizeof *done, by_done);
    for (size_t i = 0; i < n; i++)
        check_flight(b, &p, done[i], r);
    latencies(done, n, r);
    free(done);
    free(p.seen);
    arena_free(p.a);
}

/* ---- report ---- */

static void print_head(const struct bench *b)
{
    static const char row[] = "  %-26s %9s %8s %8s %8s %8s %8s %11s %10s %9s %7s\n";
    printf("\n%ld cores; one core verifies %.0f Ed25519 signatures a second; fdatasync: 4 KiB "
           "written and made durable, one after the"
           " other\n\n",
           sysconf(_SC_NPROCESSORS_ONLN), b->verifications);
    printf(row, "", "durable", "p50", "p99", "max", "commits", "events", "fdatasyncs", "commits /",
           "signat. /", "daemon");
    printf(row, "", "events/s", "ms", "ms", "ms", "/s", "/commit", "/s", "fdatasyncs", "verific.",
           "cores");
}

static void print_result(const struct bench *b, const struct load *l, const struct result *r)
{
    double rate = (double)r->events / r->seconds, commits = (double)r->commits / r->seconds;
    printf("  %-26s %9.0f %8.2f %8.2f %8.2f %8.0f %8.1f %11.0f %9.0f%% %8.1f%% %7.2f\n", l->name,
           rate, r->p50_ms, r->p99_ms, r->max_ms, commits, rate / commits, r->fdatasyncs,
           100 * commits / r->fdatasyncs, 100 * (double)r->flights / r->seconds / b->verifications,
           r->daemon_cores);
    fflush(stdout);
}

static void json_result(FILE *f, const struct load *l, const struct result *r, bool last)
{
    fprintf(
        f,
        "    {\"clients\": %u, \"events_per_signature\": %u, \"events\": %zu, \"seconds\": %.3f,\n"
        "     \"events_per_second\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, "
        "\"commits\": %zu,\n"
        "     \"signatures\": %zu, \"daemon_cores\": %.2f, \"receipts_verified\": %zu,\n"
        "     \"fdatasyncs_per_second\": %.1f, \"began\": %.6f}%s\n",
        l->clients, l->batch, r->events, r->seconds, (double)r->events / r->seconds, r->p50_ms,
        r->p99_ms, r->max_ms, r->commits, r->flights, r->daemon_cores, r->events, r->fdatasyncs,
        r->began, last ? "" : ",");
}

static void read_options(int argc, char **argv, struct settings *s)
{
    *s = (struct settings){.seconds = 3, .tag = ""};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--profile") == 0)
            s->profile = argv[i + 1];
        else if (strcmp(argv[i], "--admin-key") == 0)
            s->admin_key = argv[i + 1];
        else if (strcmp(argv[i], "--scratch") == 0)
            s->scratch = argv[i + 1];
        else if (strcmp(argv[i], "--json") == 0)
            s->json = argv[i + 1];
        else if (strcmp(argv[i], "--tag") == 0)
            s->tag = argv[i + 1];
        else if (strcmp(argv[i], "--seconds") == 0)
            s->seconds = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            s->only = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--rate") == 0)
            s->rate = strtod(argv[i + 1], NULL);
        else if (strcmp(argv[i], "--pid") == 0)
            s->pid = strtol(argv[i + 1], NULL, 10);
        else
            raw_die("unknown option %s", argv[i]);
    }
    if (!s->profile || !s->admin_key || !s->scratch || s->seconds < 1 || s->seconds > 60)
        raw_die("usage: bench --profile FOLDER --admin-key FILE --scratch FOLDER [--json FILE] "
                "[--seconds 1..60] [--pid PID] [--only 1|8|64] [--rate REQUESTS] [--tag TEXT]");
}

static void run_loads(struct bench *b, FILE *json)
{
    /* Enough flights for the interval on a fast machine; a client that runs out of them ends early,
     * which only shortens the run. */
    unsigned s = b->set.seconds;
    struct load loads[] = {
        {.name = "1 client", .clients = 1, .batch = 1, .per_client = 4000 * s},
        {.name = "8 clients", .clients = 8, .batch = 1, .per_client = 1000 * s},
        {.name = "64 clients", .clients = 64, .batch = 1, .per_client = 500 * s},
        {.name = "8 clients, batches of 100", .clients = 8, .batch = 100, .per_client = 40 * s},
    };
    size_t n = sizeof loads / sizeof *loads, checked = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        struct result r = {0};
        if (b->set.only && (loads[i].clients != b->set.only || loads[i].batch != 1))
            continue;
        make_load(b, &loads[i]);
        fly(b, &loads[i], &r);
        check_load(b, &loads[i], &r);
        print_result(b, &loads[i], &r);
        if (json)
            json_result(json, &loads[i], &r, b->set.only || i + 1 == n);
        checked += r.events;
        bytes = loads[i].flights[0].events[0].bytes.n;
        free_load(&loads[i]);
    }
    printf("\n  each of the %zu events (about %zu bytes) has a receipt that was verified after its "
           "run: checkpoint, header,\n"
           "  signature block, inclusion\n",
           checked, bytes);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct ledger_err err;
    read_options(argc, argv, &b.set);
    b.c = crypto_new();
    if (!b.c)
        raw_die("no cryptography");
    raw_must(ledger_profile_open(b.set.profile, NULL, &b.profile, &err), &err, "profile");
    raw_must(tls_client_context_new(b.profile, &b.tls, &err), &err, "TLS");
    prepare_ledger(&b);
    measure_verification(&b);
    print_head(&b);
    FILE *json = b.set.json ? fopen(b.set.json, "we") : NULL;
    if (b.set.json && !json)
        raw_die("%s: %s", b.set.json, strerror(errno));
    if (json)
        fprintf(json,
                "{\n  \"cores\": %ld,\n  \"ed25519_verifications_per_second_per_core\": %.1f,\n  "
                "\"runs\": [\n",
                sysconf(_SC_NPROCESSORS_ONLN), b.verifications);
    run_loads(&b, json);
    if (json && (fputs("  ]\n}\n", json) < 0 || fclose(json)))
        raw_die("%s: %s", b.set.json, strerror(errno));
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        ledger_key_free(b.keys[i]);
    tls_client_context_free(b.tls);
    ledger_profile_close(b.profile);
    crypto_free(b.c);
    return 0;
}
