/* SPDX-License-Identifier: Apache-2.0 */
/* output: text in the arena, colour, tables and progress (ctl.h). */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

static void *need(struct ctl *ctl, size_t n)
{
    void *p = arena_alloc(ctl->a, n);
    if (!p) {
        fprintf(stderr, "ledgerctl: out of memory\n");
        exit(EXIT_NO_ANSWER);
    }
    return p;
}

const char *ctl_text(struct ctl *ctl, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *out = need(ctl, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(out, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return out;
}

const char *ctl_span(struct ctl *ctl, struct span s)
{
    char *out = need(ctl, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        out[i] = s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : (char)s.p[i];
    return out;
}

const char *ctl_time(struct ctl *ctl, int64_t us)
{
    char text[TIME_TEXT_MAX];
    if (us == 0)
        return "";
    time_format(us, text);
    return ctl_text(ctl, "%s", text);
}

const char *ctl_dec(struct ctl *ctl, dec_t v)
{
    char text[DEC_TEXT_MAX];
    decimal_format(v, text);
    return ctl_text(ctl, "%s", text);
}

const char *ctl_paint(struct ctl *ctl, enum ctl_color color, const char *text)
{
    static const char *const codes[] = {
        [COLOR_GOOD] = "32", [COLOR_BAD] = "31", [COLOR_WARN] = "33", [COLOR_DIM] = "2", [COLOR_BOLD] = "1"};
    return ctl->color ? ctl_text(ctl, "\033[%sm%s\033[0m", codes[color], text) : text;
}

/* ---- tables ---- */

struct row {
    struct row *next;
    const char **cells;
};
struct ctl_table {
    struct ctl *ctl;
    unsigned columns;
    bool headed;
    struct row *first, **end;
};

/* Columns that a text takes: characters of UTF-8, without colour codes. */
static size_t width(const char *s)
{
    size_t n = 0;
    while (*s) {
        if (*s == '\033') {
            while (*s && *s != 'm')
                s++;
        } else if (((unsigned char)*s & 0xc0) != 0x80) {
            n++;
        }
        s += *s != 0;
    }
    return n;
}

struct ctl_table *ctl_table_new(struct ctl *ctl, unsigned columns, const char *const *headings)
{
    struct ctl_table *t = need(ctl, sizeof *t);
    t->ctl = ctl;
    t->columns = columns;
    t->end = &t->first;
    if (headings) {
        const char **painted = need(ctl, columns * sizeof *painted);
        for (unsigned i = 0; i < columns; i++)
            painted[i] = ctl_paint(ctl, COLOR_BOLD, headings[i]);
        ctl_table_row(t, painted);
        t->headed = true;
    }
    return t;
}

void ctl_table_row(struct ctl_table *t, const char *const *cells)
{
    struct row *r = need(t->ctl, sizeof *r);
    r->cells = need(t->ctl, t->columns * sizeof *r->cells);
    memcpy(r->cells, cells, t->columns * sizeof *r->cells);
    *t->end = r;
    t->end = &r->next;
}

void ctl_table_print(struct ctl_table *t)
{
    size_t *widths = need(t->ctl, t->columns * sizeof *widths);
    for (const struct row *r = t->first; r; r = r->next)
        for (unsigned i = 0; i < t->columns; i++)
            if (width(r->cells[i]) > widths[i])
                widths[i] = width(r->cells[i]);
    for (const struct row *r = t->first; r; r = r->next) {
        unsigned last = t->columns;
        while (last > 1 && r->cells[last - 1][0] == 0)
            last--; /* no blanks at the end of a line */
        for (unsigned i = 0; i < last; i++)
            printf("%s%*s", r->cells[i], i + 1 < last ? (int)(widths[i] - width(r->cells[i]) + 2) : 0, "");
        putchar('\n');
    }
}

/* ---- progress ---- */

int64_t ctl_now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t monotonic_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void ctl_progress_begin(struct ctl_progress *p, struct ctl *ctl, const char *what)
{
    *p = (struct ctl_progress){.ctl = ctl, .what = what, .began_ms = monotonic_ms(),
                               .on = isatty(STDERR_FILENO) && !ctl->quiet};
}

void ctl_progress(struct ctl_progress *p, uint64_t done, uint64_t total)
{
    int64_t now = monotonic_ms();
    if (!p->on || now - p->shown_ms < 200)
        return;
    p->shown_ms = now;
    double s = (double)(now - p->began_ms) / 1000.0, rate = s > 0 && done > p->first ? (double)(done - p->first) / s : 0;
    fprintf(stderr, "\r\033[K%s %3u %%  %" PRIu64 " of %" PRIu64 "  %.0f/s", p->what,
            total ? (unsigned)(100.0 * (double)done / (double)total) : 0, done, total, rate);
    if (rate > 0 && total > done)
        fprintf(stderr, "  %.0f s left", (double)(total - done) / rate);
}

void ctl_progress_end(struct ctl_progress *p)
{
    if (p->on && p->shown_ms)
        fprintf(stderr, "\r\033[K");
}
