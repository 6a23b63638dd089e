/* SPDX-License-Identifier: Apache-2.0 */
/*
 * post: HTTP requests, several at once, by libcurl's multi interface; the one file that knows libcurl is post.c.
 *
 * No redirects, no proxy, no cookies, nothing from the environment; https with the system's authorities or the one file that is named;
 * an answer has at most POST_ANSWER_MAX bytes. A set of requests belongs to one thread at a time; posts_wake may be called from any.
 */
#ifndef LEDGERD_WITNESS_POST_H
#define LEDGERD_WITNESS_POST_H

#include "base.h"

#define POST_ANSWER_MAX ((size_t)64 * 1024)

struct posts;
/* `ca` (may be NULL): a file of certificates that https servers must lead to, instead of the system's. timeout_ms: of one request from
 * its beginning to its end. Call it before other threads are started. Returns owned. */
enum ledger_rc posts_new(const char *ca, unsigned timeout_ms, struct posts **out, struct ledger_err *err) LEDGER_MUST_USE;
void posts_free(struct posts *p); /* drops what is under way; NULL is allowed */

/* Begins a request: a POST, or without a body (SPAN_NONE) a GET; the body is copied. `number` comes back with the answer. */
enum ledger_rc posts_start(struct posts *p, unsigned number, const char *url, struct span body, struct ledger_err *err)
    LEDGER_MUST_USE;

struct post_answer {
    unsigned number;
    long status;             /* of HTTP; 0: no answer, `why` says why not */
    char why[280];
    struct span body;        /* until the next posts_next */
};
/* Works for at most `ms`, or until an answer is there or posts_wake was called. */
void posts_wait(struct posts *p, int ms);
/* The next answer that is there; false: none. */
bool posts_next(struct posts *p, struct post_answer *out);
void posts_wake(struct posts *p); /* any thread */

#endif
