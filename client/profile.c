/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile: reads and checks a profile folder. A mistyped setting is refused, not ignored: "fresh_withn = 60" must not silently
 * mean the default. May include: libinih, POSIX.
 */
#include "profile.h"

#include "followed.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROFILE_FILE_MAX (64u * 1024u)
#define PROFILE_ARENA_MAX (4u * 1024u * 1024u)
#define FRESH_WITHIN_DEFAULT_S 900
#define FRESH_WITHIN_MAX_S 31622400 /* 366 days */

/* ---- addresses ---- */

static bool port_valid(const char *s)
{
    size_t n = strlen(s);
    unsigned v = 0;
    if (n < 1 || n > 5 || s[0] == '0')
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s[i] - '0');
    }
    return v <= 65535;
}

bool address_split(const char *address, char host[PROFILE_HOST_MAX + 1], char port[6])
{
    const char *begin = address, *end, *colon;
    if (address[0] == '[') {
        begin = address + 1;
        end = strchr(begin, ']');
        if (!end || end[1] != ':')
            return false;
        colon = end + 1;
    } else {
        end = colon = strrchr(address, ':');
        /* Without brackets an IPv6 address and a port cannot be told apart. */
        if (!colon || memchr(address, ':', (size_t)(colon - address)))
            return false;
    }
    size_t n = (size_t)(end - begin);
    if (n < 1 || n > PROFILE_HOST_MAX || !port_valid(colon + 1))
        return false;
    for (size_t i = 0; i < n; i++)
        if (begin[i] <= ' ' || begin[i] > '~')
            return false;
    memcpy(host, begin, n);
    host[n] = 0;
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

bool host_is_loopback(const char *host)
{
    unsigned a, b, c, d;
    int used = 0;
    if (strcmp(host, "::1") == 0)
        return true;
    return sscanf(host, "%3u.%3u.%3u.%3u%n", &a, &b, &c, &d, &used) == 4 && host[used] == 0 && a == 127 && b < 256 &&
           c < 256 && d < 256;
}

/* ---- profile.conf ---- */

struct conf {
    struct ledger_profile *p;
    struct ledger_err *err;
    bool failed;
};

static int conf_bad(struct conf *f, const char *name, const char *why)
{
    if (!f->failed)
        ledger_fail(f->err, LEDGER_EINVAL, "profile.conf: %s %s", name, why);
    f->failed = true;
    return 0;
}

static int conf_text(struct conf *f, const char *name, const char *value, char *out, size_t out_n)
{
    size_t n = strlen(value);
    if (n >= out_n)
        return conf_bad(f, name, "is too long");
    memcpy(out, value, n + 1);
    return 1;
}

static int conf_seconds(struct conf *f, const char *name, const char *value)
{
    char *end = NULL;
    unsigned long v = value[0] >= '1' && value[0] <= '9' ? strtoul(value, &end, 10) : 0;
    if (v == 0 || *end != 0 || v > FRESH_WITHIN_MAX_S)
        return conf_bad(f, name, "is not a number of seconds from 1 to 31622400");
    f->p->fresh_within_s = (uint32_t)v;
    return 1;
}

static int conf_plain(struct conf *f, const char *name, const char *value)
{
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0)
        return conf_bad(f, name, "is neither yes nor no");
    f->p->plain = yes;
    return 1;
}

static int conf_set(void *user, const char *section, const char *name, const char *value)
{
    struct conf *f = user;
    struct ledger_profile *p = f->p;
    if (strcmp(section, "profile") != 0)
        return conf_bad(f, section[0] ? section : name, "is not a section of a profile; there is only [profile]");
    if (strcmp(name, "address") == 0)
        return conf_text(f, name, value, p->address, sizeof p->address);
    if (strcmp(name, "origin") == 0)
        return conf_text(f, name, value, p->origin, sizeof p->origin);
    if (strcmp(name, "party") == 0)
        return conf_text(f, name, value, p->party, sizeof p->party);
    if (strcmp(name, "fresh_within") == 0)
        return conf_seconds(f, name, value);
    if (strcmp(name, "tsa_ca") == 0)
        return conf_text(f, name, value, p->tsa_ca, sizeof p->tsa_ca);
    if (strcmp(name, "plain") == 0)
        return conf_plain(f, name, value);
    return conf_bad(f, name, "is not a setting of this program");
}

static enum ledger_rc read_part(struct arena *a, const struct ledger_profile *p, const char *name, struct span *out,
                                struct ledger_err *err)
{
    char path[PROFILE_PATH_MAX + 64];
    enum ledger_rc rc = profile_path(p, name, path, err);
    return rc == LEDGER_OK ? file_read(a, path, PROFILE_FILE_MAX, out, err) : rc;
}

static enum ledger_rc read_conf(struct arena *a, struct ledger_profile *p, struct ledger_err *err)
{
    struct span text;
    enum ledger_rc rc = read_part(a, p, "profile.conf", &text, err);
    if (rc != LEDGER_OK)
        return rc;
    if (memchr(text.p, 0, text.n))
        return ledger_fail(err, LEDGER_EINVAL, "profile.conf is not a text file");
    struct conf f = {.p = p, .err = err};
    int line = ini_parse_string((const char *)text.p, conf_set, &f);
    if (f.failed)
        return LEDGER_EINVAL;
    if (line != 0)
        return ledger_fail(err, LEDGER_EINVAL, "profile.conf: line %d is not understood", line);
    if (!origin_valid(span_str(p->origin)))
        return ledger_fail(err, LEDGER_EINVAL, "profile.conf: origin is missing or is no name of a ledger");
    if (p->party[0] && !id_valid(span_str(p->party)))
        return ledger_fail(err, LEDGER_EINVAL, "profile.conf: party is not an id");
    return LEDGER_OK;
}

/* ---- the other files ---- */

static enum ledger_rc read_index_key(struct arena *a, struct ledger_profile *p, struct ledger_err *err)
{
    struct span text;
    enum ledger_rc rc = read_part(a, p, "index.key", &text, err);
    if (rc != LEDGER_OK)
        return rc;
    if (text.n == 65 && text.p[64] == '\n')
        text.n = 64;
    if (text.n != 64 || !hex_decode(text, p->index_key.b))
        return ledger_fail(err, LEDGER_EINVAL, "index.key: not 64 hexadecimal digits in lower case");
    return LEDGER_OK;
}

static bool policy_names_origin(const struct policy *policy, const char *origin)
{
    for (unsigned i = 0; i < policy->n_logs; i++)
        if (strcmp(policy->logs[i].name, origin) == 0)
            return true;
    return false;
}

static enum ledger_rc read_policy(struct arena *a, struct ledger_profile *p, struct ledger_err *err)
{
    struct span text;
    enum ledger_rc rc = read_part(a, p, "policy", &text, err);
    if (rc != LEDGER_OK)
        return rc;
    struct crypto *c = crypto_new();
    if (!c)
        return ledger_fail(err, LEDGER_EINTERNAL, "the cryptographic libraries lack an algorithm");
    rc = policy_parse(c, text, p->policy, err);
    if (rc != LEDGER_OK)
        rc = ledger_wrap(err, rc, "policy");
    else if (!policy_names_origin(p->policy, p->origin))
        rc = ledger_fail(err, LEDGER_EINVAL, "policy: no log key is named %s, the origin in profile.conf", p->origin);
    else
        rc = followed_load(p, c, p->followed, err);
    crypto_free(c);
    return rc;
}

static enum ledger_rc set_address(struct ledger_profile *p, const char *server, struct ledger_err *err)
{
    if (server) {
        if (strlen(server) >= sizeof p->address)
            return ledger_fail(err, LEDGER_EINVAL, "the server's address is too long");
        memcpy(p->address, server, strlen(server) + 1);
    }
    if (!address_split(p->address, p->host, p->port))
        return ledger_fail(err, LEDGER_EINVAL, "%s \"%s\" is not HOST:PORT or [IPV6]:PORT",
                           server ? "the server's address" : "profile.conf: address", p->address);
    if (p->plain && !host_is_loopback(p->host))
        return ledger_fail(err, LEDGER_EINVAL, "plain = yes is for a loopback address only, and %s is none", p->host);
    return LEDGER_OK;
}

enum ledger_rc profile_path(const struct ledger_profile *p, const char *name, char out[PROFILE_PATH_MAX + 64],
                            struct ledger_err *err)
{
    int n = snprintf(out, PROFILE_PATH_MAX + 64, "%s/%s", p->folder, name);
    if (n < 0 || n >= PROFILE_PATH_MAX + 64)
        return ledger_fail(err, LEDGER_EINVAL, "the path of the profile folder is too long");
    return LEDGER_OK;
}

static enum ledger_rc profile_read(struct ledger_profile *p, const char *server, struct ledger_err *err)
{
    struct arena *a = arena_new(PROFILE_ARENA_MAX);
    if (!a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = read_conf(a, p, err);
    if (rc == LEDGER_OK)
        rc = set_address(p, server, err);
    if (rc == LEDGER_OK)
        rc = read_index_key(a, p, err);
    if (rc == LEDGER_OK)
        rc = read_policy(a, p, err);
    arena_free(a);
    return rc;
}

LEDGER_API enum ledger_rc ledger_profile_open(const char *folder, const char *server, struct ledger_profile **out,
                                              struct ledger_err *err)
{
    *out = NULL;
    struct ledger_profile *p = calloc(1, sizeof *p);
    struct policy *policy = calloc(1, sizeof *policy);
    struct followed *followed = calloc(1, sizeof *followed);
    if (!p || !policy || !followed) {
        free(p);
        free(policy);
        free(followed);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    p->policy = policy;
    p->followed = followed;
    p->fresh_within_s = FRESH_WITHIN_DEFAULT_S;
    enum ledger_rc rc = LEDGER_EINVAL;
    if (strlen(folder) < sizeof p->folder) {
        memcpy(p->folder, folder, strlen(folder) + 1);
        rc = profile_read(p, server, err);
    } else {
        ledger_fail(err, rc, "the path of the profile folder is too long");
    }
    if (rc != LEDGER_OK) {
        ledger_profile_close(p);
        return ledger_wrap(err, rc, "profile %.80s", folder);
    }
    *out = p;
    return LEDGER_OK;
}

LEDGER_API void ledger_profile_close(struct ledger_profile *p)
{
    if (!p)
        return;
    followed_free(p->followed);
    free(p->followed);
    free(p->policy);
    free(p);
}

LEDGER_API const char *ledger_profile_folder(const struct ledger_profile *p)
{
    return p->folder;
}
LEDGER_API const char *ledger_profile_origin(const struct ledger_profile *p)
{
    return p->origin;
}
LEDGER_API const char *ledger_profile_address(const struct ledger_profile *p)
{
    return p->address;
}
LEDGER_API const char *ledger_profile_party(const struct ledger_profile *p)
{
    return p->party;
}
LEDGER_API uint32_t ledger_profile_fresh_within_s(const struct ledger_profile *p)
{
    return p->fresh_within_s;
}
