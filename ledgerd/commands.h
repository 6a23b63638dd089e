/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands: the subcommands of ledgerd. Each gets the arguments from its own name on (argv[0] is "run", "init", …), prints its
 * own --help and returns the process's exit code.
 */
#ifndef LEDGERD_COMMANDS_H
#define LEDGERD_COMMANDS_H

#include "base.h"

#ifndef LEDGERD_VERSION /* the Makefile gives it */
#define LEDGERD_VERSION "0.1.0"
#endif

/* The same meanings as ledgerctl's. */
enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED = 1,   /* refused, does not verify: the message says which; nothing is half done */
    EXIT_CODE_USAGE = 2,    /* arguments or configuration; check and rebuild: also a folder that is in use or cannot be read */
    EXIT_CODE_NEWER = 3,    /* written by a newer version */
    EXIT_CODE_EVIDENCE = 4, /* evidence of tampering: the records are not what they were, rolled back */
};

/* How a command ends that did not fail by its usage; check and rebuild have codes of their own. */
static inline int exit_code_of(enum ledger_rc rc)
{
    if (rc == LEDGER_OK)
        return EXIT_CODE_OK;
    if (rc == LEDGER_EVERSION)
        return EXIT_CODE_NEWER;
    return rc == LEDGER_ETAMPER ? EXIT_CODE_EVIDENCE : EXIT_CODE_FAILED;
}

int cmd_init(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_cert(int argc, char **argv);
int cmd_rotate_log_key(int argc, char **argv);
int cmd_backup(int argc, char **argv);
int cmd_restore(int argc, char **argv);
/* Not cmd_…: ledgerctl has a command of that name too, and a test may link both programs. */
int ledgerd_check(int argc, char **argv);
int ledgerd_rebuild(int argc, char **argv);

#endif
