/* SPDX-License-Identifier: Apache-2.0 */
/* ledgerctl: records, asks, proves and verifies from the command line. This file finds the command (commands.c) and its common options. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

#define ARENA_BUDGET ((size_t)4 << 30)

static void usage(FILE *f)
{
    fprintf(f, "usage: ledgerctl [--profile FOLDER] [--server HOST:PORT] [--timeout SECONDS] [--json] [--quiet] COMMAND …\n\n");
    for (unsigned i = 0; i < ctl_n_commands; i++)
        fprintf(f, "  %-14s %s\n", ctl_commands[i].name, ctl_commands[i].summary);
    fprintf(f, "\n`ledgerctl COMMAND --help` describes a command. The profile may also be named by LEDGERD_PROFILE.\n"
               "Exit codes: 0 good; 1 refused, not fit, or does not verify; 2 usage or unreadable input; 3 no answer,\n"
               "stale, or needs a newer version; 4 evidence of tampering.\n");
}

/* Options before the command are the common ones; their values are kept for it. */
static int leading_options(struct ctl *ctl, int argc, char **argv)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--json") == 0)
            ctl->json = true;
        else if (strcmp(argv[i], "--quiet") == 0)
            ctl->quiet = true;
        else if (strcmp(argv[i], "--profile") == 0 && i + 1 < argc)
            ctl->profile_path = argv[++i];
        else if (strcmp(argv[i], "--server") == 0 && i + 1 < argc)
            ctl->server = argv[++i];
        else if (strcmp(argv[i], "--timeout") == 0 && i + 1 < argc)
            ctl->timeout = argv[++i];
        else
            break;
    }
    return i;
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.profile_path = getenv("LEDGERD_PROFILE")};
    ctl.color = isatty(STDOUT_FILENO) && isatty(STDERR_FILENO) && !getenv("NO_COLOR");
    int at = leading_options(&ctl, argc, argv);
    if (at < argc && (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "help") == 0)) {
        usage(stdout);
        return EXIT_GOOD;
    }
    if (at < argc && strcmp(argv[at], "--version") == 0) {
        printf("ledgerctl %s\n", LEDGERD_VERSION);
        return EXIT_GOOD;
    }
    const struct command *cmd = at < argc ? ctl_command(argv[at]) : NULL;
    if (!cmd) {
        if (at < argc)
            fprintf(stderr, "ledgerctl: no %s \"%s\"\n\n", argv[at][0] == '-' ? "option" : "command", argv[at]);
        usage(stderr);
        return EXIT_USAGE;
    }
    ctl.command = cmd->name;
    ctl.a = arena_new(ARENA_BUDGET);
    ctl.c = crypto_new();
    if (!ctl.a || !ctl.c) {
        fprintf(stderr, "ledgerctl: out of memory, or the cryptographic libraries lack an algorithm\n");
        return EXIT_NO_ANSWER;
    }
    int exit = cmd->run(&ctl, argc - at, argv + at);
    ledger_client_close(ctl.client);
    ledger_profile_close(ctl.profile);
    crypto_free(ctl.c);
    arena_free(ctl.a);
    if ((fflush(stdout) != 0 || ferror(stdout)) && exit == EXIT_GOOD) /* the latter: an earlier flush has lost it */
        exit = EXIT_USAGE; /* standard output is full or closed: the result was not delivered */
    return exit;
}
