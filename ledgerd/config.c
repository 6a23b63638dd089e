/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: reading ledgerd.conf. A table names every key with its type and range; libinih only splits the lines.
 *
 * Failure modes: the first error ends the reading and names its line. What libinih would read differently from what the
 * eye sees is refused before it gets to it: lines that begin with a space (it joins them to the one before), lines that are
 * too long (it would cut them), NUL bytes.
 */
#include "config.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

#define CONFIG_SIZE_MAX (4u << 20)

enum key_type { KEY_TEXT, KEY_BOOL, KEY_U32, KEY_SECONDS, KEY_BYTES };
struct key_def {
    const char *section, *name;
    enum key_type type;
    size_t offset;
    uint64_t min, max; /* KEY_TEXT: max is the size of the field; KEY_SECONDS: milliseconds */
};
#define FIELD(f) offsetof(struct config, f)
#define TEXT(f) KEY_TEXT, FIELD(f), 1, sizeof((struct config *)0)->f

static const struct key_def KEYS[] = {
    {"server", "listen", TEXT(listen)},
    {"server", "address", TEXT(address)},
    {"server", "plain", KEY_BOOL, FIELD(plain), 0, 0},
    {"server", "connections_max", KEY_U32, FIELD(connections_max), 1, 1000000},
    {"server", "requests_max", KEY_U32, FIELD(requests_max), 1, 4096},
    {"server", "streams_max", KEY_U32, FIELD(streams_max), 1, 256},
    {"server", "hello_seconds", KEY_SECONDS, FIELD(hello_ms), 100, 3600000},
    {"server", "frame_seconds", KEY_SECONDS, FIELD(frame_ms), 100, 3600000},
    {"server", "stall_seconds", KEY_SECONDS, FIELD(stall_ms), 100, 3600000},
    {"server", "drain_seconds", KEY_SECONDS, FIELD(drain_ms), 100, 3600000},
    {"store", "anchor", TEXT(anchor)},
    {"store", "map_size", KEY_BYTES, FIELD(map_bytes), 16u << 20, 1ull << 46},
    {"store", "reserve", KEY_BYTES, FIELD(reserve_bytes), 1u << 20, 1ull << 46},
    {"write", "workers", KEY_U32, FIELD(workers), 0, 256},
    {"write", "queue", KEY_U32, FIELD(queue_jobs), 1, 1000000},
    {"write", "batch", KEY_U32, FIELD(batch_events), 1, 100000},
    {"write", "heartbeat_seconds", KEY_U32, FIELD(heartbeat_s), 0, 31536000},
    {"scrub", "interval_seconds", KEY_U32, FIELD(scrub_interval_s), 0, 31536000},
    {"scrub", "entries_per_second", KEY_U32, FIELD(scrub_rate), 1, 1000000},
    {"http", "listen", TEXT(http_listen)},
    {"http", "certificate", TEXT(http_certificate)},
    {"http", "key", TEXT(http_key)},
    {"http", "plain", KEY_BOOL, FIELD(http_plain), 0, 0},
    {"http", "metrics", KEY_BOOL, FIELD(http_metrics), 0, 0},
    {"http", "connections_max", KEY_U32, FIELD(http_connections_max), 1, 4096},
    {"http", "timeout_seconds", KEY_SECONDS, FIELD(http_timeout_ms), 1000, 3600000},
    {"time", "authority", TEXT(time_authority)},
    {"time", "proxy", TEXT(time_proxy)},
    {"time", "ca", TEXT(time_ca)},
    {"time", "policy", TEXT(time_policy)},
    {"time", "interval_seconds", KEY_U32, FIELD(time_interval_s), 1, 31536000},
    {"time", "timeout_seconds", KEY_SECONDS, FIELD(time_timeout_ms), 100, 3600000},
    {"witness", "policy", TEXT(witness_policy)},
    {"witness", "ca", TEXT(witness_ca)},
    {"witness", "interval_seconds", KEY_SECONDS, FIELD(witness_interval_ms), 0, 3600000},
    {"witness", "linger_seconds", KEY_SECONDS, FIELD(witness_linger_ms), 0, 60000},
    {"witness", "timeout_seconds", KEY_SECONDS, FIELD(witness_timeout_ms), 100, 600000},
    {"witness", "retry_seconds", KEY_SECONDS, FIELD(witness_retry_ms), 100, 3600000},
    {"witness", "start_seconds", KEY_SECONDS, FIELD(witness_start_ms), 100, 600000},
};
enum { KEY_COUNT = sizeof KEYS / sizeof KEYS[0] };
_Static_assert(KEY_COUNT <= 64, "the keys seen so far are one mask");

void config_init(struct config *c)
{
    *c = (struct config){
        .connections_max = 4096,
        .requests_max = 64,
        .streams_max = 8,
        .hello_ms = 10000,
        .frame_ms = 30000,
        .stall_ms = 30000,
        .drain_ms = 10000,
        .queue_jobs = 1024,
        .batch_events = 4096,
        .scrub_interval_s = 604800,
        .scrub_rate = 1000,
        .http_metrics = true,
        .http_connections_max = 256,
        .http_timeout_ms = 20000,
        .time_interval_s = 3600,
        .time_timeout_ms = 30000,
        .witness_interval_ms = 200,
        .witness_linger_ms = 1000,
        .witness_timeout_ms = 10000,
        .witness_retry_ms = 60000,
        .witness_start_ms = 3000,
    };
    memcpy(c->listen, CONFIG_DEFAULT_LISTEN, sizeof CONFIG_DEFAULT_LISTEN);
}

void config_fini(struct config *c)
{
    access_table_fini(&c->access);
}

/* ---- values ---- */

/* A decimal number without sign; with `scale` 1000 up to three decimals are allowed. */
static bool number(const char *text, uint64_t scale, uint64_t *out)
{
    uint64_t v = 0, unit = scale;
    bool digits = false, fraction = false;
    for (const char *p = text; *p; p++) {
        if (*p == '.' && digits && !fraction && scale > 1 && p[1]) {
            fraction = true;
            continue;
        }
        if (*p < '0' || *p > '9' || v > UINT64_MAX / 10000)
            return false;
        if (fraction && unit == 1)
            return false;
        if (fraction)
            unit /= 10;
        v = v * 10 + (uint64_t)(*p - '0');
        digits = true;
    }
    *out = v * unit;
    return digits;
}

/* "512", "64M", "1T": bytes, with K, M, G, T as powers of 1024. */
static bool byte_count(const char *text, uint64_t *out)
{
    char digits[32];
    size_t n = strlen(text);
    static const char UNITS[] = "KMGT";
    const char *unit = n ? memchr(UNITS, text[n - 1], 4) : NULL;
    if (unit)
        n--;
    if (n == 0 || n >= sizeof digits)
        return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    unsigned shift = unit ? 10u * (unsigned)(unit - UNITS + 1) : 0;
    if (!number(digits, 1, out) || *out > (UINT64_MAX >> shift))
        return false;
    *out <<= shift;
    return true;
}

static enum ledger_rc set_number(const struct key_def *k, void *field, const char *value, struct ledger_err *err)
{
    uint64_t v;
    bool seconds = k->type == KEY_SECONDS, bytes = k->type == KEY_BYTES;
    if (bytes ? !byte_count(value, &v) : !number(value, seconds ? 1000 : 1, &v))
        return ledger_fail(err, LEDGER_EINVAL, "%s wants a number%s, not \"%.40s\"", k->name,
                           bytes ? " of bytes (K, M, G, T are powers of 1024)" : seconds ? " of seconds" : "", value);
    if (v < k->min || v > k->max) {
        double unit = seconds ? 1000.0 : 1.0;
        return ledger_fail(err, LEDGER_EINVAL, "%s must be from %.10g to %.16g", k->name, (double)k->min / unit,
                           (double)k->max / unit);
    }
    uint32_t small = (uint32_t)v;
    if (bytes)
        memcpy(field, &v, sizeof v);
    else
        memcpy(field, &small, sizeof small);
    return LEDGER_OK;
}

static enum ledger_rc set_value(const struct key_def *k, struct config *c, const char *value, struct ledger_err *err)
{
    char *field = (char *)c + k->offset;
    if (k->type == KEY_TEXT) {
        size_t n = strlen(value);
        if (n < k->min || n >= k->max)
            return ledger_fail(err, LEDGER_EINVAL, "%s wants from 1 to %zu characters", k->name, (size_t)k->max - 1);
        memcpy(field, value, n + 1);
        return LEDGER_OK;
    }
    if (k->type == KEY_BOOL) {
        bool yes = strcmp(value, "yes") == 0;
        if (!yes && strcmp(value, "no") != 0)
            return ledger_fail(err, LEDGER_EINVAL, "%s is yes or no", k->name);
        memcpy(field, &yes, sizeof yes);
        return LEDGER_OK;
    }
    return set_number(k, field, value, err);
}

/* ---- lines ---- */

struct reading {
    struct config *c;
    const char *name;     /* of the file, for messages */
    struct span rest;     /* what libinih has not asked for yet */
    unsigned line;        /* the one that it was given last */
    uint64_t seen;        /* bit i: KEYS[i] was given */
    enum ledger_rc rc;
    struct ledger_err *err;
};

static void reading_fail(struct reading *r, enum ledger_rc rc)
{
    r->rc = ledger_wrap(r->err, rc, "%s:%u", r->name, r->line);
}

/* fgets for libinih. Refuses what it would misread; NULL ends its reading. */
static char *give_line(char *out, int size, void *ctx)
{
    struct reading *r = ctx;
    if (r->rc != LEDGER_OK || r->rest.n == 0)
        return NULL;
    const uint8_t *end = memchr(r->rest.p, '\n', r->rest.n);
    size_t n = end ? (size_t)(end - r->rest.p) + 1 : r->rest.n;
    r->line++;
    struct span line = {r->rest.p, n};
    r->rest = (struct span){r->rest.p + n, r->rest.n - n};
    size_t blank = 0;
    while (blank < n && strchr(" \t\r\n", line.p[blank]) && line.p[blank])
        blank++;
    const char *fault = NULL;
    if (n + 3 > (size_t)size)
        fault = "the line is too long";
    else if (memchr(line.p, 0, n))
        fault = "the line has a NUL byte in it";
    else if (blank > 0 && blank < n && line.p[0] != '\r')
        fault = "a line must not begin with a space";
    if (fault) {
        reading_fail(r, ledger_fail(r->err, LEDGER_EINVAL, "%s", fault));
        return NULL;
    }
    memcpy(out, line.p, n);
    out[n] = '\0';
    return out;
}

/* libinih divides "urn:a:b = rights" at the first colon; this joins the name again. */
static enum ledger_rc add_access(struct config *c, const char *key, const char *value, struct ledger_err *err)
{
    char name[CONFIG_LINE_MAX * 2];
    const char *equals = strchr(value, '=');
    const char *rights = equals ? equals + 1 : value;
    if (equals)
        snprintf(name, sizeof name, "%s:%.*s", key, (int)(equals - value), value);
    else
        snprintf(name, sizeof name, "%s", key);
    size_t n = strlen(name);
    while (n && (name[n - 1] == ' ' || name[n - 1] == '\t'))
        name[--n] = '\0';
    return access_add(&c->access, name, rights, err);
}

static enum ledger_rc take_pair(struct reading *r, const char *section, const char *key, const char *value)
{
    if (strcmp(section, "access") == 0)
        return add_access(r->c, key, value, r->err);
    bool section_known = false;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(KEYS[i].section, section) != 0)
            continue;
        section_known = true;
        if (strcmp(KEYS[i].name, key) != 0)
            continue;
        if (r->seen >> i & 1)
            return ledger_fail(r->err, LEDGER_EINVAL, "%s is given twice", key);
        r->seen |= (uint64_t)1 << i;
        return set_value(&KEYS[i], r->c, value, r->err);
    }
    if (!section_known)
        return ledger_fail(r->err, LEDGER_EINVAL, "there is no section [%.40s]", section);
    return ledger_fail(r->err, LEDGER_EINVAL, "[%s] has no key \"%.60s\"", section, key);
}

static int on_pair(void *ctx, const char *section, const char *key, const char *value)
{
    struct reading *r = ctx;
    if (r->rc != LEDGER_OK)
        return 0;
    enum ledger_rc rc = take_pair(r, section, key, value);
    if (rc != LEDGER_OK)
        reading_fail(r, rc);
    return rc == LEDGER_OK;
}

enum ledger_rc config_parse(struct config *c, const char *name, struct span text, struct ledger_err *err)
{
    struct ledger_err local = {0};
    struct reading r = {.c = c, .name = name, .rest = text, .err = err ? err : &local};
    config_init(c);
    ini_max_line = CONFIG_LINE_MAX;
    ini_allow_multiline = false;
    int line = ini_parse_stream(give_line, &r, on_pair, &r);
    if (r.rc == LEDGER_OK && line != 0) {
        r.line = line > 0 ? (unsigned)line : 0;
        reading_fail(&r, ledger_fail(r.err, LEDGER_EINVAL, "neither a comment nor [section] nor KEY = VALUE"));
    }
    if (r.rc != LEDGER_OK)
        config_fini(c);
    return r.rc;
}

enum ledger_rc config_load(struct config *c, const char *path, struct ledger_err *err)
{
    struct arena *a = arena_new(CONFIG_SIZE_MAX + 4096);
    if (!a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    struct span text;
    enum ledger_rc rc = files_read(a, path, CONFIG_SIZE_MAX, &text, err);
    if (rc == LEDGER_OK)
        rc = config_parse(c, path, text, err);
    arena_free(a);
    return rc;
}

enum ledger_rc config_address(const char *text, char *host, uint16_t *port, struct ledger_err *err)
{
    const char *colon = strrchr(text, ':'), *first = text, *end = colon;
    uint64_t number_of_port;
    if (!colon || !number(colon + 1, 1, &number_of_port) || number_of_port > 65535)
        return ledger_fail(err, LEDGER_EINVAL, "\"%.100s\" is no ADDRESS:PORT", text);
    if (*text == '[' && end > text + 1 && end[-1] == ']') {
        first++;
        end--;
    } else if (strchr(text, ':') != colon) {
        return ledger_fail(err, LEDGER_EINVAL, "\"%.100s\": an IPv6 address stands in brackets, as [::1]:7461", text);
    }
    size_t n = (size_t)(end - first);
    if (n == 0 || n >= CONFIG_ADDRESS_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "\"%.100s\" is no ADDRESS:PORT", text);
    memcpy(host, first, n);
    host[n] = '\0';
    *port = (uint16_t)number_of_port;
    return LEDGER_OK;
}

/* Where a further line of [access] goes: after the last line of the section that is not blank. 0: there is no such section. */
static size_t access_end(struct span text)
{
    size_t at = 0, end = 0;
    bool inside = false;
    while (at < text.n) {
        const uint8_t *newline = memchr(text.p + at, '\n', text.n - at);
        size_t n = newline ? (size_t)(newline - text.p) + 1 - at : text.n - at;
        struct span line = {text.p + at, n};
        if (n && line.p[0] == '[')
            inside = n >= 8 && memcmp(line.p, "[access]", 8) == 0;
        at += n;
        bool blank = line.p[0] == '\n' || (line.p[0] == '\r' && n <= 2);
        if (inside && !blank)
            end = at;
    }
    return end;
}

struct span config_with_access(struct arena *a, struct span text, const char *name, const char *rights)
{
    size_t end = access_end(text);
    size_t head = end ? end : text.n;
    struct wbuf w;
    wbuf_init(&w, a);
    wbuf_bytes(&w, text.p, head);
    if (head && text.p[head - 1] != '\n')
        wbuf_u8(&w, '\n');
    if (!end)
        wbuf_bytes(&w, "\n[access]\n", 10);
    wbuf_bytes(&w, name, strlen(name));
    wbuf_bytes(&w, " = ", 3);
    wbuf_bytes(&w, rights, strlen(rights));
    wbuf_u8(&w, '\n');
    wbuf_bytes(&w, text.p + head, text.n - head);
    return wbuf_span(&w);
}
