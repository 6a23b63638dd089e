/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: ledgerd's subcommands. Everything that a command needs is made in its own file; here is only the choice.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

static const char HELP[] =
    "usage: ledgerd COMMAND [arguments]\n"
    "\n"
    "  init DIR --origin NAME   make a new ledger\n"
    "  run DIR                  serve it\n"
    "  check DIR                verify every record of a ledger that is not being served\n"
    "  rebuild DIR              derive everything but the log anew from the log\n"
    "  backup DIR TARGET        copy what is new into a folder, verified, also while it is served\n"
    "  restore BACKUP DIR       make a data folder of it, unless somebody holds a newer checkpoint\n"
    "  rotate-log-key DIR       replace the key that signs checkpoints\n"
    "  cert issue|renew-server|revoke|list DIR\n"
    "                           certificates of clients and server\n"
    "\n"
    "ledgerd COMMAND --help tells more. ledgerd --version prints the version.\n"
    "Exit codes: 0 done; 1 failed, or does not verify; 2 wrong usage or configuration; 3 written by a newer\n"
    "version; 4 evidence of tampering (check, rebuild: 1).\n";

/* Wherever it stands: somebody who asks wants nothing done. */
static bool asks_for_help(int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } COMMANDS[] = {
        {"init", cmd_init}, {"run", cmd_run}, {"check", ledgerd_check}, {"rebuild", ledgerd_rebuild}, {"cert", cmd_cert},
        {"rotate-log-key", cmd_rotate_log_key}, {"backup", cmd_backup}, {"restore", cmd_restore},
    };
    /* A peer that goes away must be an error of one write and not the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        fputs(HELP, stderr);
        return EXIT_CODE_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        fputs(HELP, stdout);
        return EXIT_CODE_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("ledgerd " LEDGERD_VERSION);
        return EXIT_CODE_OK;
    }
    char help[] = "--help", *alone[] = {argv[1], help, NULL};
    bool asks = asks_for_help(argc, argv);
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++)
        if (strcmp(argv[1], COMMANDS[i].name) == 0)
            return COMMANDS[i].run(asks ? 2 : argc - 1, asks ? alone : argv + 1);
    fprintf(stderr, "ledgerd: there is no command \"%s\"; see ledgerd --help\n", argv[1]);
    return EXIT_CODE_USAGE;
}
