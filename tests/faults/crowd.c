/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd: more clients than a daemon can serve, of the kinds that are hard on it.
 *
 *   crowd idle PROFILE ADDRESS N                 N connections that say hello and nothing more; "open" when all stand; when standard
 *                                                input ends each asks once, so that they are seen to be alive: "alive N"
 *   crowd storm PROFILE ADDRESS N SECONDS        N threads that connect, say hello, and go away again: "connections N"
 *   crowd slow PROFILE ADDRESS N                 N readers that ask for the whole log, with credit for all of it, and take nothing; "open",
 *                                                then until standard input ends
 *   crowd flood PROFILE ADDRESS N SECONDS KEY PREFIX   N connections with WINDOW submissions under way at all times, whatever is answered:
 *                                                "accepted A busy B other C seconds S", S until the last answer
 *
 * Failure: anything that is not as it should be ends the program with status 1 and a sentence.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "lib/raw_client.h"
#include "message.h"

#include <ledgerd/event.h>
#include <ledgerd/key.h>
#include <ledgerd/profile.h>

#define WINDOW 48u
#define CONNECTIONS_MAX 16384u

static struct ledger_profile *profile;
static struct tls_context *tls;
static struct raw_client clients[CONNECTIONS_MAX];

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_for_the_end(void)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
}

static void say(const char *word)
{
    printf("%s\n", word);
    fflush(stdout);
}

static struct span entries_of_all(struct arena *a)
{
    return rpc_put_entries(a, 2, &(struct entries_request){.end = 0}, 0, 1000000);
}

static int idle(unsigned n)
{
    struct arena *a = arena_new(1u << 20);
    for (unsigned i = 0; i < n; i++)
        raw_client_open(&clients[i], profile, tls, "crowd");
    say("open");
    wait_for_the_end();
    struct span ask = rpc_put_checkpoint(a, 7);
    for (unsigned i = 0; i < n; i++)
        raw_client_send(&clients[i], ask);
    for (unsigned i = 0; i < n; i++) {
        struct span answer;
        raw_client_receive(&clients[i], true, &answer);
        raw_client_drop(&clients[i], answer);
    }
    printf("alive %u\n", n);
    arena_free(a);
    return 0;
}

static int slow(unsigned n)
{
    struct arena *a = arena_new(1u << 20);
    struct span ask = entries_of_all(a);
    for (unsigned i = 0; i < n; i++) {
        raw_client_open(&clients[i], profile, tls, "crowd");
        raw_client_send(&clients[i], ask);
    }
    say("open");
    wait_for_the_end();
    arena_free(a);
    return 0;
}

/* ---- storm ---- */

static double storm_until;
static atomic_ullong stormed;

/* A context of its own: each stands for another program. */
static void *storm_thread(void *arg)
{
    struct tls_context *own;
    struct ledger_err err;
    (void)arg;
    raw_must(tls_client_context_new(profile, &own, &err), &err, "TLS");
    while (now_s() < storm_until) {
        struct raw_client cl;
        raw_client_open(&cl, profile, own, "crowd");
        raw_client_close(&cl);
        atomic_fetch_add(&stormed, 1);
    }
    tls_client_context_free(own);
    return NULL;
}

static int storm(unsigned n, double seconds)
{
    pthread_t threads[64];
    storm_until = now_s() + seconds;
    if (n > 64)
        raw_die("at most 64 threads");
    for (unsigned i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, storm_thread, NULL))
            raw_die("thread: %s", strerror(errno));
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    printf("connections %llu\n", (unsigned long long)atomic_load(&stormed));
    return 0;
}

/* ---- flood ---- */

static struct span make_request(struct arena *a, struct ledger_key *key, const char *prefix, unsigned number)
{
    char json[1024];
    struct ledger_err err;
    struct ledger_event *ev = NULL;
    struct ledger_batch *b = NULL;
    int n = snprintf(json, sizeof json,
                     "{\"kind\":\"MATERIAL_RECEIVED\",\"id\":\"%s-%u\",\"occurred\":\"2025-01-02T03:04:05Z\",\"fields\":{\"item\":\"%s-%u\",\"gtin\":"
                     "\"09521234543213\",\"lot\":\"L\",\"supplier\":\"S\",\"quantity\":10,\"uom\":\"mL\",\"expiry\":\"2099-01-01T00:00:00Z\","
                     "\"coa_hash\":\"h\",\"origin\":\"bovine\"}}",
                     prefix, number, prefix, number);
    raw_must(ledger_event_from_json(json, (size_t)n, &ev, &err), &err, "event");
    raw_must(ledger_batch_new(ledger_profile_origin(profile), &b, &err), &err, "batch");
    raw_must(ledger_batch_add_event(b, ev, &err), &err, "event");
    raw_must(ledger_batch_sign(b, key, "authorship", NULL, &err), &err, "signature");
    struct span request = rpc_put_submit(a, 1000 + number, b, false);
    ledger_batch_free(b);
    ledger_event_free(ev);
    if (!request.p)
        raw_die("out of memory");
    return request;
}

struct flood {
    struct span *requests;
    unsigned n, next, flying;
    unsigned long long accepted, busy, other;
    struct arena *a;
};

static void send_one(struct flood *f, struct raw_client *cl)
{
    if (f->next == f->n)
        return;
    raw_client_send(cl, f->requests[f->next++]);
    f->flying++;
}

static void take_all(struct flood *f, struct raw_client *cl, bool on)
{
    struct span message;
    while (raw_client_receive(cl, false, &message)) {
        struct message m;
        struct ledger_err err;
        arena_reset(f->a);
        raw_must(rpc_decode(f->a, message, &m, &err), &err, "answer");
        if (m.kind == MESSAGE_SUBMIT && m.u.submit.n == 1 && m.u.submit.results[0].outcome == LEDGER_ACCEPTED)
            f->accepted++;
        else if (m.kind == MESSAGE_ERROR && m.u.error.code == MESSAGE_ERROR_BUSY)
            f->busy++;
        else
            f->other++;
        raw_client_drop(cl, message);
        f->flying--;
        if (on)
            send_one(f, cl);
    }
}

static int flood(unsigned n, double seconds, const char *key_path, const char *prefix)
{
    struct ledger_err err;
    struct ledger_key *key = NULL;
    struct epoll_event ready[64];
    struct arena *requests = arena_new((size_t)1 << 30);
    struct flood f = {.n = (unsigned)(seconds * 20000), .a = arena_new(16u << 20)};
    f.requests = calloc(f.n, sizeof *f.requests);
    raw_must(ledger_key_load(key_path, &key, &err), &err, "key");
    for (unsigned i = 0; i < f.n; i++)
        f.requests[i] = make_request(requests, key, prefix, i);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < n; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = &clients[i]}};
        raw_client_open(&clients[i], profile, tls, "crowd");
        if (epoll_ctl(ep, EPOLL_CTL_ADD, clients[i].fd, &ev))
            raw_die("epoll: %s", strerror(errno));
    }
    say("open");
    double began = now_s(), until = began + seconds, dead = until + 60;
    for (unsigned w = 0; w < WINDOW; w++)
        for (unsigned i = 0; i < n; i++)
            send_one(&f, &clients[i]);
    while (f.flying > 0) {
        int k = epoll_wait(ep, ready, 64, 1000);
        for (int i = 0; i < k; i++)
            take_all(&f, ready[i].data.ptr, now_s() < until);
        if (now_s() > dead)
            raw_die("%u requests are not answered", f.flying);
    }
    printf("accepted %llu busy %llu other %llu seconds %.3f\n", f.accepted, f.busy, f.other, now_s() - began);
    close(ep);
    ledger_key_free(key);
    free(f.requests);
    arena_free(f.a);
    arena_free(requests);
    return 0;
}

int main(int argc, char **argv)
{
    struct ledger_err err;
    if (argc < 5)
        raw_die("usage: crowd idle|storm|slow|flood PROFILE ADDRESS N …");
    raw_must(ledger_profile_open(argv[2], argv[3], &profile, &err), &err, "profile");
    raw_must(tls_client_context_new(profile, &tls, &err), &err, "TLS");
    unsigned n = (unsigned)strtoul(argv[4], NULL, 10);
    if (n < 1 || n > CONNECTIONS_MAX)
        raw_die("1 to %u connections", CONNECTIONS_MAX);
    if (strcmp(argv[1], "idle") == 0)
        return idle(n);
    if (strcmp(argv[1], "slow") == 0)
        return slow(n);
    if (strcmp(argv[1], "storm") == 0 && argc == 6)
        return storm(n, strtod(argv[5], NULL));
    if (strcmp(argv[1], "flood") == 0 && argc == 8)
        return flood(n, strtod(argv[5], NULL), argv[6], argv[7]);
    raw_die("no such crowd: %s", argv[1]);
}
