/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload: access table, certificates and revocation list while the server runs: on SIGHUP, and at a new connection when one of the
 * files has changed since, so that a revocation counts from the next connection on without anybody having to remember a signal.
 *
 * Failure modes: files that cannot be used are logged and what was in force stays in force: a mistake in an editor must not
 * lock everybody out, and a broken revocation list must not let the revoked in again.
 */
#include <string.h>
#include <time.h>

#include "../files.h"
#include "../log.h"
#include "internal.h"

static const char *const PKI_FILES[] = {"pki/ca.pem", "pki/crl.pem", "pki/server.pem", "pki/server.key"};
enum { PKI_CA = 0, PKI_CRL, PKI_CERT, PKI_KEY, PKI_COUNT };
#define EXPIRES_SOON_S (30 * 86400)

static void stamp_of(const char *path, struct stamp *out)
{
    struct stat st;
    memset(out, 0, sizeof *out);
    if (stat(path, &st) == 0)
        *out = (struct stamp){st.st_ctim, st.st_ino, st.st_size}; /* ctime: a change of owner or mode may be what was missing */
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec && a->inode == b->inode &&
           a->size == b->size;
}

/* Takes note of how the watched files are now. True if any is not as it was. */
static bool stamps_changed(struct server *s)
{
    static const int WATCHED[] = {PKI_CRL, PKI_CERT, PKI_KEY};
    struct stamp now;
    char path[FILES_PATH_MAX];
    stamp_of(s->config_path, &now);
    bool changed = !same_stamp(&now, &s->stamps[0]);
    s->stamps[0] = now;
    for (size_t i = 0; s->tls && i < 3; i++) {
        if (files_path(path, s->dir, PKI_FILES[WATCHED[i]], NULL) != LEDGER_OK)
            continue;
        stamp_of(path, &now);
        changed = changed || !same_stamp(&now, &s->stamps[i + 1]);
        s->stamps[i + 1] = now;
    }
    return changed;
}

static enum ledger_rc load_tls(struct server *s, struct tls_context **out, struct ledger_err *err)
{
    char paths[PKI_COUNT][FILES_PATH_MAX];
    for (size_t i = 0; i < PKI_COUNT; i++) {
        enum ledger_rc rc = files_path(paths[i], s->dir, PKI_FILES[i], err);
        if (rc != LEDGER_OK)
            return rc;
    }
    const struct tls_files files = {paths[PKI_CA], paths[PKI_CRL], paths[PKI_CERT], paths[PKI_KEY]};
    enum ledger_rc rc = tls_context_new(&files, out, err);
    if (rc != LEDGER_OK)
        return rc;
    uv_timeval64_t now = {0};
    (void)uv_gettimeofday(&now);
    int64_t left = tls_context_expires(*out) - now.tv_sec;
    if (left < EXPIRES_SOON_S)
        logline(LOG_WARN, "the server's certificate expires soon: ledgerd cert renew-server", "days=%lld",
                (long long)(left / 86400));
    return LEDGER_OK;
}

enum ledger_rc reload_first(struct server *s, struct ledger_err *err)
{
    enum ledger_rc rc = s->config.plain ? LEDGER_OK : load_tls(s, &s->tls, err);
    (void)stamps_changed(s);
    return rc;
}

void reload_if_changed(struct server *s)
{
    if (stamps_changed(s))
        reload_now(s);
}

/* Connections that were let in under the rules before are measured by the new ones. */
static void apply_to(struct server *s, struct connection *c)
{
    if (c->state != CONNECTION_OPEN && c->state != CONNECTION_OPENING)
        return;
    if (c->serial[0] && tls_context_revoked(s->tls, c->serial)) {
        connection_fail(c, ERROR_DENIED, "the certificate was revoked");
        return;
    }
    if (!c->access.name[0])
        return; /* Not yet known by name: it is looked up when it says hello. */
    const struct access *row = access_find(&s->config.access, c->access.name);
    if (!row) {
        connection_fail(c, ERROR_DENIED, "the client is not listed any more");
    } else if (!access_equal(row, &c->access)) {
        c->access = *row;
        stream_end_all(c, ERROR_CANCELED, "what this client may read has changed");
    }
}

void reload_now(struct server *s)
{
    struct config fresh;
    struct tls_context *tls = NULL;
    struct ledger_err err = {0};
    (void)stamps_changed(s);
    if (config_load(&fresh, s->config_path, &err) != LEDGER_OK) {
        logline(LOG_ERROR, "the configuration was not read again", "reason=%s", err.msg);
    } else {
        access_table_fini(&s->config.access);
        s->config.access = fresh.access; /* takes it; the rest of `fresh` owns nothing */
    }
    if (s->tls && load_tls(s, &tls, &err) != LEDGER_OK) {
        logline(LOG_ERROR, "certificates were not read again", "reason=%s", err.msg);
    } else if (s->tls) {
        tls_context_free(s->tls);
        s->tls = tls;
    }
    http_reload(s->http);
    for (struct connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        apply_to(s, c);
    }
    logline(LOG_INFO, "configuration and certificates read again", "clients=%zu", s->config.access.n);
}
