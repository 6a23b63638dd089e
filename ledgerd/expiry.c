/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expiry: one list, made anew under the lock when it is old, and a thread that sleeps a day at a time.
 */
#include "expiry.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "files.h"
#include "log.h"
#include "pki.h"
#include "thread.h"

#define FRESH_S 5
#define DAY_S 86400
#define WHAT_MAX 400
#define ITEMS_MAX 4096
#define READ_BUDGET ((size_t)40 << 20)

struct item {
    char what[WHAT_MAX];
    char client[PKI_NAME_MAX + 1]; /* "": no client's */
    int64_t not_after_s;
};
struct expiry {
    char dir[FILES_PATH_MAX], http[FILES_PATH_MAX]; /* http "": no certificate of its own */
    bool plain;
    void (*more_cb)(void *ctx, void (*add)(void *sink, const char *what, int64_t not_after_s), void *sink);
    void *ctx;
    pthread_t thread;
    bool started, stop;  /* stop under the lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock. */
    struct item *items;
    size_t n, cap;
    int64_t read_s; /* CLOCK_MONOTONIC; 0: never */
};

static int64_t seconds(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return ts.tv_sec;
}

/* ---- reading, under the lock ---- */

static struct item *new_item(struct expiry *e)
{
    if (e->n == e->cap && e->cap < ITEMS_MAX) {
        size_t cap = e->cap ? e->cap * 2 : 16;
        struct item *p = realloc(e->items, cap * sizeof *p);
        if (p) {
            e->items = p;
            e->cap = cap;
        }
    }
    return e->n < e->cap ? &e->items[e->n++] : NULL;
}

static void add(void *expiry, const char *what, int64_t not_after_s)
{
    struct item *i = new_item(expiry);
    if (!i)
        return;
    *i = (struct item){.not_after_s = not_after_s};
    snprintf(i->what, sizeof i->what, "%s", what);
}

static bool read_file(const struct expiry *e, struct arena *a, const char *name, struct span *out)
{
    char path[FILES_PATH_MAX];
    if (name[0] == '/')
        return files_read(a, name, PKI_FILE_MAX, out, NULL) == LEDGER_OK;
    return files_path(path, e->dir, name, NULL) == LEDGER_OK && files_read(a, path, PKI_FILE_MAX, out, NULL) == LEDGER_OK;
}

static void add_certificate(struct expiry *e, struct arena *a, const char *name, const char *what)
{
    struct span pem;
    struct pki_info info;
    if (read_file(e, a, name, &pem) && pki_read(pem, &info, NULL) == LEDGER_OK)
        add(e, what, info.not_after_s);
}

/* The newest certificate of each client. */
static void add_client(struct expiry *e, const struct pki_info *info)
{
    struct item *i = NULL;
    for (size_t k = 0; k < e->n && !i; k++)
        if (strcmp(e->items[k].client, info->name) == 0)
            i = &e->items[k];
    if (i && i->not_after_s >= info->not_after_s)
        return;
    if (!i && !(i = new_item(e)))
        return;
    i->not_after_s = info->not_after_s;
    snprintf(i->client, sizeof i->client, "%s", info->name);
    snprintf(i->what, sizeof i->what, "client certificate %s", info->serial);
}

static void add_clients(struct expiry *e, struct arena *a, struct span crl)
{
    char folder[FILES_PATH_MAX], path[FILES_PATH_MAX];
    DIR *d = files_path(folder, e->dir, "pki/issued", NULL) == LEDGER_OK ? opendir(folder) : NULL;
    for (const struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d)) {
        struct span pem;
        struct pki_info info;
        bool revoked = false;
        struct arena_mark mark = arena_mark(a);
        size_t n = strlen(f->d_name);
        if (n > 4 && strcmp(f->d_name + n - 4, ".pem") == 0 && files_path(path, folder, f->d_name, NULL) == LEDGER_OK &&
            files_read(a, path, PKI_FILE_MAX, &pem, NULL) == LEDGER_OK && pki_read(pem, &info, NULL) == LEDGER_OK && info.name[0] &&
            (!crl.p || (pki_is_revoked(crl, info.serial, &revoked, NULL, NULL) == LEDGER_OK && !revoked)))
            add_client(e, &info);
        arena_release(a, mark);
    }
    if (d)
        closedir(d);
}

static int sooner(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    if (a->not_after_s != b->not_after_s)
        return a->not_after_s < b->not_after_s ? -1 : 1;
    return strcmp(a->what, b->what);
}

static void read_all(struct expiry *e)
{
    struct arena *a = arena_new(READ_BUDGET);
    struct span crl = SPAN_NONE;
    int64_t s;
    e->n = 0;
    if (!a)
        return;
    if (!e->plain) {
        add_certificate(e, a, "pki/server.pem", "server");
        add_certificate(e, a, "pki/ca.pem", "certificate authority");
        if (read_file(e, a, "pki/crl.pem", &crl) && pki_next_update(crl, &s, NULL) == LEDGER_OK)
            add(e, "revocation list", s);
        add_clients(e, a, crl);
    }
    if (e->http[0])
        add_certificate(e, a, e->http, "HTTP server");
    if (e->more_cb)
        e->more_cb(e->ctx, add, e);
    if (e->n)
        qsort(e->items, e->n, sizeof *e->items, sooner);
    e->read_s = seconds(CLOCK_MONOTONIC);
    arena_free(a);
}

/* ---- telling ---- */

void expiry_figures(struct expiry *e, void (*put)(void *sink, const char *name, double value, const char *text), void *sink)
{
    int64_t now_s = seconds(CLOCK_REALTIME);
    pthread_mutex_lock(&e->lock);
    if (!e->read_s || seconds(CLOCK_MONOTONIC) - e->read_s >= FRESH_S)
        read_all(e);
    for (size_t i = 0; i < e->n; i++)
        put(sink, "certificate_days", (double)(e->items[i].not_after_s - now_s) / DAY_S, e->items[i].what);
    pthread_mutex_unlock(&e->lock);
}

static void warn(const struct expiry *e)
{
    int64_t now_s = seconds(CLOCK_REALTIME);
    for (size_t i = 0; i < e->n && e->items[i].not_after_s - now_s < (int64_t)EXPIRY_WARN_DAYS * DAY_S; i++)
        logline(LOG_WARN, "a certificate expires soon", "what=%s days=%lld%s%s", e->items[i].what,
                (long long)((e->items[i].not_after_s - now_s) / DAY_S), e->items[i].client[0] ? " name=" : "", e->items[i].client);
}

static void look(struct expiry *e)
{
    read_all(e);
    warn(e);
}

static void *thread_main(void *expiry)
{
    struct expiry *e = expiry;
    pthread_mutex_lock(&e->lock);
    while (!e->stop) {
        struct timespec until = {.tv_sec = (time_t)(seconds(CLOCK_MONOTONIC) + DAY_S)};
        while (!e->stop && pthread_cond_timedwait(&e->wake, &e->lock, &until) == 0)
            ;
        if (!e->stop)
            look(e);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* ---- making and ending ---- */

enum ledger_rc expiry_new(const struct expiry_options *o, struct expiry **out, struct ledger_err *err)
{
    struct expiry *e = calloc(1, sizeof *e);
    *out = e;
    if (!e)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    snprintf(e->dir, sizeof e->dir, "%s", o->dir);
    if (o->config->http_listen[0])
        snprintf(e->http, sizeof e->http, "%s", o->config->http_certificate);
    e->plain = o->config->plain;
    e->more_cb = o->more_cb;
    e->ctx = o->ctx;
    pthread_mutex_init(&e->lock, NULL);
    thread_cond_init(&e->wake);
    return LEDGER_OK;
}

enum ledger_rc expiry_start(struct expiry *e, struct ledger_err *err)
{
    pthread_mutex_lock(&e->lock);
    look(e); /* at a start, before anybody is served */
    pthread_mutex_unlock(&e->lock);
    enum ledger_rc rc = thread_start(&e->thread, "expiry", thread_main, e, err);
    e->started = rc == LEDGER_OK;
    return rc;
}

void expiry_stop(struct expiry *e)
{
    if (!e || !e->started)
        return;
    pthread_mutex_lock(&e->lock);
    e->stop = true;
    pthread_cond_broadcast(&e->wake);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    e->started = false;
}

void expiry_free(struct expiry *e)
{
    if (!e)
        return;
    free(e->items);
    pthread_cond_destroy(&e->wake);
    pthread_mutex_destroy(&e->lock);
    free(e);
}
