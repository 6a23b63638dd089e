/* SPDX-License-Identifier: Apache-2.0 */
/* submission: see submission.h. */
#include "submission.h"

#include <stdio.h>
#include <string.h>

#define LINES_MAX 64

struct span submission_body(struct arena *a, uint64_t old, struct span proof, struct span note)
{
    struct wbuf w;
    char line[64];
    size_t hashes = proof.n / HASH_LEN;
    if (proof.n % HASH_LEN || hashes > SUBMISSION_PATH_MAX)
        return SPAN_NONE;
    wbuf_init(&w, a);
    int n = snprintf(line, sizeof line, "old %llu\n", (unsigned long long)old);
    wbuf_bytes(&w, line, (size_t)n);
    for (size_t i = 0; i < hashes; i++) {
        size_t len = b64_encode(span_of(proof.p + i * HASH_LEN, HASH_LEN), line);
        wbuf_bytes(&w, line, len);
        wbuf_u8(&w, '\n');
    }
    wbuf_u8(&w, '\n');
    wbuf_bytes(&w, note.p, note.n);
    return wbuf_span(&w);
}

bool submission_size(struct span body, uint64_t *size)
{
    uint64_t v = 0;
    if (body.n && body.p[body.n - 1] == '\n')
        body.n--;
    if (body.n == 0 || body.n > 19 || (body.n > 1 && body.p[0] == '0'))
        return false;
    for (size_t i = 0; i < body.n; i++) {
        if (body.p[i] < '0' || body.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(body.p[i] - '0');
    }
    *size = v;
    return true;
}

/* A note of this text with this one signature line, and whether the key has made it. */
enum line_is { LINE_MALFORMED, LINE_OTHER, LINE_WRONG, LINE_GOOD };
static enum line_is check_line(struct crypto *c, struct arena *a, const struct note_key *key, struct span text, struct span line,
                               uint64_t *time_s)
{
    struct wbuf w;
    struct note note;
    uint64_t matched = 0;
    wbuf_init(&w, a);
    wbuf_bytes(&w, text.p, text.n);
    wbuf_u8(&w, '\n');
    wbuf_bytes(&w, line.p, line.n);
    struct span bytes = wbuf_span(&w);
    if (!bytes.p || note_parse(a, bytes, &note, NULL) != LEDGER_OK || note.n != 1)
        return LINE_MALFORMED;
    if (!note_verify(c, a, &note, key, 1, &matched, time_s))
        return LINE_WRONG;
    return matched & 1 ? LINE_GOOD : LINE_OTHER;
}

const char *submission_cosignature(struct crypto *c, struct arena *a, const struct note_key *key, struct span text,
                                   struct span body, struct span *line, uint64_t *time_s)
{
    size_t at = 0;
    for (unsigned i = 0; i < LINES_MAX && at < body.n; i++) {
        const uint8_t *end = memchr(body.p + at, '\n', body.n - at);
        if (!end)
            return "the answer's last line has no end";
        *line = span_of(body.p + at, (size_t)(end - body.p) + 1 - at);
        at += line->n;
        switch (check_line(c, a, key, text, *line, time_s)) {
        case LINE_GOOD:
            return NULL;
        case LINE_WRONG:
            return "its cosignature does not verify";
        case LINE_MALFORMED:
            return "the answer holds no signature lines";
        case LINE_OTHER:
            break;
        }
    }
    return "the answer has no line of its key";
}

bool submission_url(const char *url, char *out, size_t n)
{
    size_t len = strlen(url);
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return false;
    while (len && url[len - 1] == '/')
        len--;
    int written = snprintf(out, n, "%.*s/add-checkpoint", (int)len, url);
    return written > 0 && (size_t)written < n;
}
