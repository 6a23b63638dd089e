/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_world: for tests of libledgerd against a real daemon: a ledger in a temporary folder, its daemon, keys and events made with
 * the public functions, and a proxy that can cut connections. One test, one process, one world. A step that is not what a test is
 * about must succeed; if it does not, the test ends with what went wrong.
 */
#ifndef LEDGERD_TESTS_CLIENT_WORLD_H
#define LEDGERD_TESTS_CLIENT_WORLD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <ledgerd/ledgerd.h>

#include "check.h"

#define CW_ORIGIN "client.test/ledger"
#define CW_ADMIN "admin@" CW_ORIGIN
#define CW_WAREHOUSE "u.warehouse"
#define CW_WAIT_MS 180000 /* as good as for ever: no test is about speed */

struct client_world {
    char base[64], dir[96], profile[128], address[64];
    pid_t daemon;
};
extern struct client_world cw;
extern struct ledger_err cw_err; /* of the latest call */

#define OK(call)                                                                                                          \
    do {                                                                                                                  \
        enum ledger_rc ok_rc = (call);                                                                                    \
        if (ok_rc != LEDGER_OK) {                                                                                         \
            fprintf(stderr, "%s:%d: %s: %d: %s\n", __FILE__, __LINE__, #call, (int)ok_rc, cw_err.msg);                        \
            exit(CHECK_EXIT_FAILED);                                                                                      \
        }                                                                                                                 \
    } while (0)

/* One connection at a time, which is all that one client has. */
struct cw_proxy {
    int listener;
    char address[64];
    pthread_t thread;
    atomic_int target;         /* port of the daemon */
    atomic_int cut_after;      /* bytes from the server after which a connection is cut; 0: never */
    atomic_bool stop;
    atomic_uint connections;
};

void cw_pause_ms(unsigned ms);
/* Runs a shell command that must succeed. */
void cw_command(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* LEDGERD_BUILD/ledgerd, or build/ledgerd. */
const char *cw_program(void);
void cw_stop_daemon(void);
/* Serves cw.dir at a free port: cw.address. */
void cw_start_daemon(void);
/* Makes the ledger and serves it; everything is removed when the process ends. */
void cw_world_begin(void);
struct ledger_profile *cw_profile_at(const char *folder, const char *address);
struct ledger_client *cw_client_of(const struct ledger_profile *p);
struct ledger_key *cw_admin_key(void);
void cw_now_text(char out[40]);
/* The simplest event that CW_WAREHOUSE may record. */
struct ledger_event *cw_material(const char *item);
struct ledger_batch *cw_empty_batch(void);
/* n of them, PREFIX-first and on, signed. */
struct ledger_batch *cw_material_batch(struct ledger_key *k, const char *prefix, unsigned first, unsigned n);
/* Registers a party that may record materials; returns its key. */
struct ledger_key *cw_register_warehouse(struct ledger_client *c);
/* Records one; returns its index. */
uint64_t cw_submit_one(struct ledger_client *c, struct ledger_key *k, const char *prefix, unsigned number);
/* Size of the profile folder's pin. */
unsigned long long cw_pinned_size(const char *profile);
unsigned cw_evidence_files(const char *profile);
int cw_daemon_port(void);
/* In front of the daemon as it is now. */
void cw_proxy_start(struct cw_proxy *p);
void cw_proxy_stop(struct cw_proxy *p);

#endif
