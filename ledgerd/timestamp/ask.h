/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask: one question to a time-stamping authority: an HTTP POST (RFC 3161 section 3.4), by libcurl, which this file's .c alone knows.
 *
 * The answer is bytes that nobody has looked at yet. No redirects, no cookies, nothing from the environment. Blocks the calling thread. Signals must be blocked in it: a closed TLS connection may raise SIGPIPE.
 */
#ifndef LEDGERD_TIMESTAMP_ASK_H
#define LEDGERD_TIMESTAMP_ASK_H

#include <stdatomic.h>

#include "base.h"

#define ASK_ANSWER_MAX (64u << 10)

/* Once for the process, before there are other threads. */
enum ledger_rc ask_init(struct ledger_err *err) LEDGER_MUST_USE;
/* "http://…" or "https://…" with a host. */
bool ask_url_valid(const char *url);
struct ask_target {
    const char *url;
    const char *proxy;   /* URL of an HTTP proxy; "": none */
    unsigned timeout_ms; /* from the beginning to the end */
};
/*
 * The body of an answer with status 200, in the arena. ECONNECT: no answer, too late, or another status; ELIMIT: longer than
 * ASK_ANSWER_MAX; ECANCELED within about a second after *stop was set.
 */
enum ledger_rc ask_authority(const struct ask_target *to, struct span request, const atomic_bool *stop, struct arena *a,
                             struct span *answer, struct ledger_err *err) LEDGER_MUST_USE;

#endif
