/* SPDX-License-Identifier: Apache-2.0 */
/* post: see post.h. */
#include "post.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS_MAX 5000L

struct post {
    struct post *next;
    CURL *easy;
    struct curl_slist *headers;
    unsigned number;
    char error[CURL_ERROR_SIZE];
    size_t n;
    bool too_long;
    uint8_t answer[POST_ANSWER_MAX];
};

struct posts {
    CURLM *multi;
    char ca[1100];
    long timeout_ms;
    int running;        /* as the latest posts_wait left it */
    struct post *first; /* under way */
    struct post *given; /* whose answer was handed out last */
};

static void post_free(struct posts *p, struct post *t)
{
    if (!t)
        return;
    if (t->easy) {
        (void)curl_multi_remove_handle(p->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    free(t);
}

enum ledger_rc posts_new(const char *ca, unsigned timeout_ms, struct posts **out, struct ledger_err *err)
{
    *out = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return ledger_fail(err, LEDGER_EINTERNAL, "libcurl cannot be used");
    struct posts *p = calloc(1, sizeof *p);
    if (!p || !(p->multi = curl_multi_init())) {
        free(p);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    p->timeout_ms = (long)timeout_ms;
    int n = snprintf(p->ca, sizeof p->ca, "%s", ca ? ca : "");
    if (n < 0 || (size_t)n >= sizeof p->ca) {
        posts_free(p);
        return ledger_fail(err, LEDGER_EINVAL, "the path of the witnesses' authority is too long");
    }
    *out = p;
    return LEDGER_OK;
}

void posts_free(struct posts *p)
{
    if (!p)
        return;
    post_free(p, p->given);
    while (p->first) {
        struct post *t = p->first;
        p->first = t->next;
        post_free(p, t);
    }
    (void)curl_multi_cleanup(p->multi);
    free(p);
}

static size_t take_bytes(char *bytes, size_t one, size_t n, void *user)
{
    struct post *t = user;
    n *= one;
    if (n > sizeof t->answer - t->n) {
        t->too_long = true;
        return 0; /* ends the request */
    }
    memcpy(t->answer + t->n, bytes, n);
    t->n += n;
    return n;
}

#define SET(option, value) (ok = ok && curl_easy_setopt(t->easy, option, value) == CURLE_OK)

static bool set_options(const struct posts *p, struct post *t, const char *url, struct span body)
{
    bool ok = t->easy != NULL;
    t->headers = curl_slist_append(NULL, "Content-Type: text/plain; charset=utf-8");
    struct curl_slist *more = t->headers ? curl_slist_append(t->headers, "Expect:") : NULL; /* no question before the body */
    if (!more)
        return false;
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a name server that does not answer holds up its own thread alone, and no other witness */
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_USERAGENT, "ledgerd/" LEDGERD_VERSION);
    SET(CURLOPT_TIMEOUT_MS, p->timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, p->timeout_ms < CONNECT_MS_MAX ? p->timeout_ms : CONNECT_MS_MAX);
    if (body.p) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
        SET(CURLOPT_COPYPOSTFIELDS, (const char *)body.p); /* after its size */
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    SET(CURLOPT_WRITEFUNCTION, take_bytes);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_PRIVATE, t);
    if (p->ca[0]) {
        SET(CURLOPT_CAINFO, p->ca);
        SET(CURLOPT_CAPATH, NULL);
    }
    return ok;
}

enum ledger_rc posts_start(struct posts *p, unsigned number, const char *url, struct span body, struct ledger_err *err)
{
    struct post *t = calloc(1, sizeof *t);
    if (!t)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    t->number = number;
    t->easy = curl_easy_init();
    if (!set_options(p, t, url, body) || curl_multi_add_handle(p->multi, t->easy) != CURLM_OK) {
        post_free(p, t);
        return ledger_fail(err, LEDGER_EINTERNAL, "libcurl takes no request for %.100s", url);
    }
    t->next = p->first;
    p->first = t;
    p->running++;
    return LEDGER_OK;
}

void posts_wait(struct posts *p, int ms)
{
    int running = 0;
    (void)curl_multi_perform(p->multi, &running);
    if (running == p->running) /* else an answer is there */
        (void)curl_multi_poll(p->multi, NULL, 0, ms, NULL);
    (void)curl_multi_perform(p->multi, &p->running);
}

void posts_wake(struct posts *p)
{
    (void)curl_multi_wakeup(p->multi);
}

static void unlink_post(struct posts *p, struct post *t)
{
    struct post **at = &p->first;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
}

bool posts_next(struct posts *p, struct post_answer *out)
{
    int left = 0;
    struct post *t = NULL;
    post_free(p, p->given);
    p->given = NULL;
    CURLMsg *m = curl_multi_info_read(p->multi, &left);
    while (m && m->msg != CURLMSG_DONE)
        m = curl_multi_info_read(p->multi, &left);
    if (!m)
        return false;
    CURLcode result = m->data.result;
    if (curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t) != CURLE_OK || !t)
        return false;
    unlink_post(p, t);
    p->given = t;
    *out = (struct post_answer){.number = t->number};
    if (result == CURLE_OK) {
        (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &out->status);
        out->body = span_of(t->answer, t->n);
        return true;
    }
    snprintf(out->why, sizeof out->why, "%s",
             t->too_long ? "the answer is too long" : t->error[0] ? t->error : curl_easy_strerror(result));
    return true;
}
