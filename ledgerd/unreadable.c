/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unreadable: one handler, which does nothing but what is allowed in one (unreadable.h).
 */
#include "unreadable.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static const char *told;
static int exit_code;

static void on_signal(int number)
{
    (void)number;
    (void)!write(STDERR_FILENO, told, strlen(told));
    _exit(exit_code);
}

void unreadable_tells(const char *line, int code, bool damage)
{
    struct sigaction act = {.sa_handler = on_signal};
    told = line;
    exit_code = code;
    sigemptyset(&act.sa_mask);
    sigaction(SIGBUS, &act, NULL);
    if (damage)
        sigaction(SIGSEGV, &act, NULL);
}
