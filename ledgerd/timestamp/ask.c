/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask: libcurl's easy interface with everything bounded: time, length, protocols, redirections. Whoever answers is not believed:
 * what comes back is a token that must verify.
 */
#include "ask.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

struct answer {
    struct wbuf body;
    bool too_long;
};

enum ledger_rc ask_init(struct ledger_err *err)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? LEDGER_OK
                                                             : ledger_fail(err, LEDGER_EINTERNAL, "libcurl cannot be set up");
}

bool ask_url_valid(const char *url)
{
    char *host = NULL, *scheme = NULL;
    CURLU *u = curl_url();
    bool ok = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && host[0] &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(host);
    curl_free(scheme);
    curl_url_cleanup(u);
    return ok;
}

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
    struct answer *ans = ctx;
    ans->too_long = ans->body.n + size * n > ASK_ANSWER_MAX;
    if (ans->too_long)
        return 0;
    wbuf_bytes(&ans->body, p, size * n);
    return ans->body.failed ? 0 : size * n;
}

/* Asked about once a second, also while nothing moves. */
static int asked_to_stop(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    const atomic_bool *stop = ctx;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return atomic_load(stop);
}

static enum ledger_rc perform(CURL *h, const struct answer *ans, const char *reason, struct ledger_err *err)
{
    long status = 0;
    CURLcode code = curl_easy_perform(h);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return ledger_fail(err, LEDGER_ECANCELED, "stopping");
    if (ans->too_long)
        return ledger_fail(err, LEDGER_ELIMIT, "the authority's answer has more than %u bytes", ASK_ANSWER_MAX);
    if (code != CURLE_OK)
        return ledger_fail(err, LEDGER_ECONNECT, "the authority does not answer: %s", reason[0] ? reason : curl_easy_strerror(code));
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 ? LEDGER_OK : ledger_fail(err, LEDGER_ECONNECT, "the authority answers with HTTP status %ld", status);
}

enum ledger_rc ask_authority(const struct ask_target *to, struct span request, const atomic_bool *stop, struct arena *a,
                             struct span *answer, struct ledger_err *err)
{
    char reason[CURL_ERROR_SIZE] = "";
    struct answer ans = {.too_long = false};
    wbuf_init(&ans.body, a);
    CURL *h = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/timestamp-query");
    struct curl_slist *all = headers ? curl_slist_append(headers, "Accept: application/timestamp-reply") : NULL;
    /* No "Expect: 100-continue": a request is some hundred bytes, and old servers stumble over it. */
    all = all ? curl_slist_append(all, "Expect:") : NULL;
    enum ledger_rc rc = LEDGER_ENOMEM;
    if (h && all && curl_easy_setopt(h, CURLOPT_URL, to->url) == CURLE_OK &&
        curl_easy_setopt(h, CURLOPT_PROXY, to->proxy) == CURLE_OK &&
        curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK) {
        curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L); /* a name server that does not answer holds up its own thread alone */
        curl_easy_setopt(h, CURLOPT_ERRORBUFFER, reason);
        curl_easy_setopt(h, CURLOPT_HTTPHEADER, all);
        curl_easy_setopt(h, CURLOPT_USERAGENT, "ledgerd/" LEDGERD_VERSION);
        curl_easy_setopt(h, CURLOPT_POST, 1L);
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request.n);
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, (const char *)request.p);
        curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)to->timeout_ms);
        curl_easy_setopt(h, CURLOPT_MAXREDIRS, 0L);
        curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(h, CURLOPT_WRITEDATA, &ans);
        curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, asked_to_stop);
        curl_easy_setopt(h, CURLOPT_XFERINFODATA, (void *)(uintptr_t)stop);
        rc = perform(h, &ans, reason, err);
    } else {
        ledger_fail(err, rc, "the authority cannot be asked: out of memory");
    }
    if (rc == LEDGER_OK)
        *answer = wbuf_span(&ans.body);
    if (rc == LEDGER_OK && !answer->p)
        rc = ledger_fail(err, LEDGER_ECONNECT, "the authority's answer is empty");
    curl_slist_free_all(headers);
    curl_easy_cleanup(h);
    return rc;
}
