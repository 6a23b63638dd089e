/* SPDX-License-Identifier: Apache-2.0 */
/*
 * offline: what the commands that open a folder themselves do before they begin, and what they show meanwhile.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "anchor.h"
#include "check_internal.h"
#include "config.h"

static enum ledger_rc settings(const char *dir, struct store_options *o, char *anchor,
                               struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct config c;
    enum ledger_rc rc = files_path(path, dir, "ledgerd.conf", err);
    if (rc)
        return rc;
    rc = config_load(&c, path, err);
    if (rc)
        return rc == LEDGER_ENOTFOUND ? LEDGER_OK : rc;
    o->map_bytes = c.map_bytes;
    o->reserve_bytes = c.reserve_bytes;
    snprintf(anchor, FILES_PATH_MAX, "%s", c.anchor);
    config_fini(&c);
    return LEDGER_OK;
}

enum ledger_rc offline_open(const char *dir, const char *given, enum store_mode mode, bool older,
                            struct store **out, char anchor[FILES_PATH_MAX], struct ledger_err *err)
{
    struct store_options o = {.older = older};
    *out = NULL;
    anchor[0] = 0;
    struct ledger_err config_err = {0};
    enum ledger_rc config_rc = settings(dir, &o, anchor, &config_err);
    enum ledger_rc rc = store_open_with(dir, mode, &o, out, err);
    if (rc) /* a newer folder, with a newer configuration, is newer before it is anything else */
        return rc;
    if (config_rc && !given) {
        if (err)
            *err = config_err;
        return config_rc;
    }
    if (given || !anchor[0])
        rc = anchor_path(given, store_dir(*out), anchor, err);
    return rc;
}

/* ---- progress ---- */

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void progress_start(struct progress *p, bool quiet, uint64_t first, uint64_t total)
{
    *p = (struct progress){.on = !quiet && isatty(STDERR_FILENO),
                           .total = total,
                           .first = first,
                           .begun_us = now_us()};
    p->shown_us = p->begun_us;
}

void progress_step(struct progress *p, uint64_t done)
{
    if (!p->on || done % 64)
        return;
    int64_t now = now_us();
    if (now - p->shown_us < 500000)
        return;
    p->shown_us = now;
    double seconds = (double)(now - p->begun_us) / 1e6;
    fprintf(stderr, "\r%3.0f%%  entry %llu of %llu  %.0f entries/s   ",
            100.0 * (double)done / (double)p->total, (unsigned long long)done,
            (unsigned long long)p->total, (double)(done - p->first) / seconds);
}

void progress_end(struct progress *p)
{
    if (p->on && p->shown_us != p->begun_us)
        fprintf(stderr, "\r%70s\r", "");
}

/* ---- JSON ---- */

void print_json_text(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if ((unsigned char)*s < ' ')
            printf("\\u%04x", (unsigned)(unsigned char)*s);
        else
            putchar(*s);
    }
    putchar('"');
}
