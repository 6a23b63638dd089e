/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unreadable: handlers that do nothing but what is allowed in one (unreadable.h).
 */
#include "unreadable.h"

#include <signal.h>
#include <unistd.h>

#include "commands.h"

static void in_check(int number)
{
    static const char LINE[] = "DOES NOT VERIFY: a page of the data file cannot be read: the disk fails, or the file is damaged in its structure; "
                               "see \"Rot\" in docs/operations.md\n";
    (void)number;
    (void)!write(STDERR_FILENO, LINE, sizeof LINE - 1);
    _exit(EXIT_CODE_FAILED);
}

static void in_run(int number)
{
    static const char LINE[] = "error \"a page of the data file cannot be read: the disk fails, or the file is damaged\" "
                               "see=\"\\\"Rot\\\" in docs/operations.md\"\n";
    (void)number;
    (void)!write(STDERR_FILENO, LINE, sizeof LINE - 1);
    _exit(EXIT_CODE_FAILED);
}

void unreadable_ends_check(void)
{
    struct sigaction act = {.sa_handler = in_check};
    sigemptyset(&act.sa_mask);
    sigaction(SIGBUS, &act, NULL);
    sigaction(SIGSEGV, &act, NULL);
}

void unreadable_ends_run(void)
{
    struct sigaction act = {.sa_handler = in_run};
    sigemptyset(&act.sa_mask);
    sigaction(SIGBUS, &act, NULL);
}
