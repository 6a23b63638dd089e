/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idle: connections that have said hello and then ask nothing, so that somebody else can see what they cost the daemon.
 *
 * usage: idle PROFILE CONNECTIONS    prints "open" when all of them are, and closes them at the end of standard input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "client.h"
#include "lib/raw_client.h"

int main(int argc, char **argv)
{
    struct ledger_err err;
    struct ledger_profile *profile = NULL;
    struct tls_context *tls = NULL;
    struct rlimit files;
    if (argc != 3)
        raw_die("usage: idle PROFILE CONNECTIONS");
    size_t n = strtoul(argv[2], NULL, 10);
    struct raw_client *clients = calloc(n + 1, sizeof *clients);
    if (!clients || getrlimit(RLIMIT_NOFILE, &files))
        raw_die("out of memory");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur < n + 16)
        raw_die("too few open files are allowed");
    raw_must(ledger_profile_open(argv[1], NULL, &profile, &err), &err, "profile");
    raw_must(tls_client_context_new(profile, &tls, &err), &err, "TLS");
    for (size_t i = 0; i < n; i++)
        raw_client_open(&clients[i], profile, tls, "ledgerd-idle");
    puts("open");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    for (size_t i = 0; i < n; i++)
        raw_client_close(&clients[i]);
    free(clients);
    tls_client_context_free(tls);
    ledger_profile_close(profile);
    return 0;
}
