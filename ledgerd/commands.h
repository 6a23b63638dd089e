/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands: the subcommands of ledgerd. Each gets the arguments from its own name on (argv[0] is "run", "init", …), prints its
 * own --help and returns the process's exit code.
 */
#ifndef LEDGERD_COMMANDS_H
#define LEDGERD_COMMANDS_H

#define LEDGERD_VERSION "1.0.0"

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED = 1,   /* refused by the circumstances: the message says which; nothing is half done */
    EXIT_CODE_USAGE = 2,    /* arguments or configuration are wrong */
    EXIT_CODE_EVIDENCE = 3, /* the records are not what they were: damage, tampering, rolled back */
};

int cmd_init(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_cert(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_rebuild(int argc, char **argv);

#endif
