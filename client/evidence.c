/* SPDX-License-Identifier: Apache-2.0 */
/* evidence: writing and reading the text of an evidence file (evidence.h). */
#include "evidence.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "merkle.h"
#include "value.h"

#define BASE64_LINE 57 /* bytes that make a line of 76 characters */

static const char title_before[] = "checkpoint that was verified before";
static const char title_other[] = "checkpoint that does not continue it";
static const char title_first_seal[] = "seal of the first checkpoint, base64";
static const char title_second_seal[] = "seal of the second checkpoint, base64";
static const char title_proof[] = "consistency proof that was given with it, a hash a line";
static const char title_last[] = "last place of the smaller tree in the larger one: leaf hash and inclusion path, a hash a line";
static const char title_latest[] = "latest checkpoint that was verified";
static const char title_receipt[] = "receipt of the entry, base64";
static const char title_answer[] = "answer, base64";

/* ---- writing ---- */

static void put_text(struct wbuf *w, const char *s)
{
    wbuf_bytes(w, s, strlen(s));
}

static void put_title(struct wbuf *w, const char *title)
{
    put_text(w, "\n==== ");
    put_text(w, title);
    put_text(w, " ====\n");
}

static void put_note(struct wbuf *w, const char *title, struct span note)
{
    put_title(w, title);
    wbuf_bytes(w, note.p, note.n);
}

static void put_base64(struct wbuf *w, const char *title, struct span bytes, size_t a_line)
{
    char line[2 * BASE64_LINE];
    put_title(w, title);
    for (size_t i = 0; i < bytes.n; i += a_line) {
        b64_encode(span_of(bytes.p + i, bytes.n - i < a_line ? bytes.n - i : a_line), line);
        put_text(w, line);
        put_text(w, "\n");
    }
}

static void put_hashes(struct wbuf *w, const char *title, struct span hashes)
{
    size_t most = (MERKLE_PATH_MAX + 1) * HASH_LEN;
    if (hashes.p)
        put_base64(w, title, span_of(hashes.p, hashes.n < most ? hashes.n : most), HASH_LEN);
}

static void put_contradiction(struct wbuf *w, const struct evidence *e)
{
    put_text(w, "The ledger has signed both statements below. The second was received after the first had been verified, and does not\n"
                "continue it.\n");
    put_note(w, title_before, e->known);
    put_note(w, title_other, e->received);
    put_hashes(w, title_proof, e->proof);
    put_hashes(w, title_last, e->last);
    if (e->known_seal.p)
        put_base64(w, title_first_seal, e->known_seal, BASE64_LINE);
    if (e->received_seal.p)
        put_base64(w, title_second_seal, e->received_seal, BASE64_LINE);
}

static void put_entry(struct wbuf *w, const struct evidence *e)
{
    put_text(w, "The receipt below proves that the ledger has recorded the entry. That it should not have follows from its signatures, or\n"
                "from the entries before it: whoever replays the log up to it finds the same.\n");
    put_base64(w, title_receipt, e->receipt, BASE64_LINE);
}

static void put_claim(struct wbuf *w, const struct evidence *e)
{
    put_text(w, "The answer below does not verify. That the server gave it is what this program says; a signature of the ledger speaks for\n"
                "the checkpoint alone, if there is one.\n");
    if (e->known.p)
        put_note(w, title_latest, e->known);
    put_base64(w, title_answer, e->answer, BASE64_LINE);
}

struct span evidence_text(struct arena *a, const char *origin, const char *server, const struct evidence *e)
{
    struct wbuf w;
    char time[TIME_TEXT_MAX];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    size_t n = time_format((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, time);
    wbuf_init(&w, a);
    put_text(&w, EVIDENCE_HEAD "origin: ");
    put_text(&w, origin);
    put_text(&w, "\nserver: ");
    put_text(&w, server);
    put_text(&w, "\nfound: ");
    wbuf_bytes(&w, time, n);
    put_text(&w, "\nwhat: ");
    for (const char *c = e->what; *c; c++)
        wbuf_u8(&w, (uint8_t)(*c == '\n' ? ' ' : *c));
    put_text(&w, "\n\n");
    if (e->received.p)
        put_contradiction(&w, e);
    else if (e->receipt.p)
        put_entry(&w, e);
    else
        put_claim(&w, e);
    return wbuf_span(&w);
}

struct span evidence_seal(struct arena *a, struct span header, struct span path)
{
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_str(&w, header);
    wbuf_bytes(&w, path.p, path.n);
    return wbuf_span(&w);
}

bool evidence_seal_split(struct span seal, struct span *header, struct span *path)
{
    struct rbuf r;
    rbuf_init(&r, seal);
    *header = rbuf_str(&r);
    *path = r.failed ? SPAN_NONE : rbuf_bytes(&r, seal.n - 4 - header->n);
    return rbuf_done(&r);
}

/* ---- reading ---- */

static const uint8_t *find(struct span in, const char *text)
{
    return in.n ? memmem(in.p, in.n, text, strlen(text)) : NULL;
}

/* What stands under a title, without the empty line before the next; absent if there is no such title. */
static struct span section(struct span file, const char *title)
{
    char line[128];
    size_t n = (size_t)snprintf(line, sizeof line, "\n==== %s ====\n", title);
    const uint8_t *at = find(file, line);
    if (!at)
        return SPAN_NONE;
    struct span rest = span_of(at + n, file.n - (size_t)(at + n - file.p));
    const uint8_t *end = find(rest, "\n==== ");
    return end ? span_of(rest.p, (size_t)(end - rest.p)) : rest;
}

/* Lines of base64, each complete in itself. Absent stays absent. */
static bool read_base64(struct arena *a, struct span lines, struct span *out)
{
    struct wbuf w;
    uint8_t bytes[3 * 64];
    size_t n;
    wbuf_init(&w, a);
    *out = SPAN_NONE;
    if (!lines.p)
        return true;
    while (lines.n) {
        const uint8_t *end = memchr(lines.p, '\n', lines.n);
        size_t length = end ? (size_t)(end - lines.p) : lines.n;
        if (!b64_decode(span_of(lines.p, length), bytes, sizeof bytes, &n))
            return false;
        wbuf_bytes(&w, bytes, n);
        lines = span_of(lines.p + length + (end ? 1 : 0), lines.n - length - (end ? 1 : 0));
    }
    *out = w.n ? wbuf_span(&w) : span_of("", 0);
    return out->p != NULL;
}

/* The line "name: value" of the head. */
static const char *head_line(struct arena *a, struct span file, const char *name)
{
    char prefix[32];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "\n%s: ", name);
    const uint8_t *at = find(file, prefix);
    const uint8_t *end = at ? memchr(at + n, '\n', file.n - (size_t)(at + n - file.p)) : NULL;
    return end ? arena_strdup(a, span_of(at + n, (size_t)(end - at) - n)) : NULL;
}

enum ledger_rc evidence_parse(struct arena *a, struct span file, const char **origin, struct evidence *out, struct ledger_err *err)
{
    size_t n = strlen(EVIDENCE_HEAD);
    memset(out, 0, sizeof *out);
    if (file.n < n || memcmp(file.p, EVIDENCE_HEAD, n) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "it does not begin as an evidence file does");
    *origin = head_line(a, file, "origin");
    out->what = head_line(a, file, "what");
    struct span before = section(file, title_before), receipt = section(file, title_receipt), answer = section(file, title_answer);
    out->received = section(file, title_other);
    out->known = before.p ? before : section(file, title_latest);
    /* Two checkpoints contradict each other, or a receipt or an answer is shown: half of a pair is a file that lost something. */
    bool whole = !before.p == !out->received.p && (before.p || receipt.p || answer.p);
    if (!*origin || !out->what || !whole || !read_base64(a, section(file, title_proof), &out->proof) ||
        !read_base64(a, section(file, title_last), &out->last) || !read_base64(a, section(file, title_first_seal), &out->known_seal) ||
        !read_base64(a, section(file, title_second_seal), &out->received_seal) || !read_base64(a, receipt, &out->receipt) ||
        !read_base64(a, answer, &out->answer))
        return ledger_fail(err, LEDGER_EINVAL, "a part of the evidence file is missing or damaged");
    return LEDGER_OK;
}
