/* SPDX-License-Identifier: Apache-2.0 */
/*
 * again: one of ledgerctl's commands over and over on one connection, as a hospital's system asks that stays connected. Everything that
 * the command does is timed: the question, the answer, all verification, the verdict's text.
 *
 * usage: again PROFILE SECONDS COMMAND [ARGUMENT …]    prints JSON: when each run began (seconds since 1970) and how long it took (ms).
 *        With 0 seconds it goes on until standard input ends.
 *
 * The first runs, which connect and prove the checkpoint, are left out. A run that does not end with exit code 0 ends the program.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "lib/raw_client.h"

#define RUNS_MAX 1000000u
#define WARM_UP 3u
#define ARGUMENTS_MAX 32
#define ARENA_BYTES ((size_t)4 << 30)

struct run { double at, ms; };

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct run run_once(struct ctl *ctl, const struct command *cmd, int argc, char **argv)
{
    char *copy[ARGUMENTS_MAX + 1] = {NULL}; /* the options are sorted while they are read */
    memcpy(copy, argv, (size_t)argc * sizeof *copy);
    double began = now(CLOCK_MONOTONIC);
    struct run r = {.at = now(CLOCK_REALTIME)};
    arena_reset(ctl->a);
    int status = cmd->run(ctl, argc, copy);
    if (status != EXIT_GOOD)
        raw_die("%s: exit code %d", cmd->name, status);
    r.ms = (now(CLOCK_MONOTONIC) - began) * 1000;
    return r;
}

static bool goes_on(double seconds, double began)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    return seconds > 0 ? now(CLOCK_MONOTONIC) - began < seconds : poll(&in, 1, 0) == 0;
}

int main(int argc, char **argv)
{
    const struct command *cmd = argc > 3 ? ctl_command(argv[3]) : NULL;
    if (!cmd || argc - 3 > ARGUMENTS_MAX)
        raw_die("usage: again PROFILE SECONDS COMMAND [ARGUMENT …]");
    struct ctl ctl = {.profile_path = argv[1], .command = cmd->name, .a = arena_new(ARENA_BYTES), .c = crypto_new()};
    struct run *runs = calloc(RUNS_MAX, sizeof *runs);
    FILE *out = fdopen(dup(STDOUT_FILENO), "w");
    if (!ctl.a || !ctl.c || !runs || !out || !freopen("/dev/null", "w", stdout))
        raw_die("out of memory");
    unsigned n = 0;
    for (unsigned i = 0; i < WARM_UP; i++)
        run_once(&ctl, cmd, argc - 3, argv + 3);
    double seconds = strtod(argv[2], NULL), began = now(CLOCK_MONOTONIC);
    while (n < RUNS_MAX && goes_on(seconds, began))
        runs[n++] = run_once(&ctl, cmd, argc - 3, argv + 3);
    fputs("[", out);
    for (unsigned i = 0; i < n; i++)
        fprintf(out, "%s[%.6f, %.4f]", i ? ",\n " : "", runs[i].at, runs[i].ms);
    fputs("]\n", out);
    ledger_client_close(ctl.client);
    ledger_profile_close(ctl.profile);
    crypto_free(ctl.c);
    arena_free(ctl.a);
    free(runs);
    return fclose(out) ? 1 : 0;
}
