/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: see log.h. The words of the format are kept apart by a character that no value is expected
 * to hold, so that a space inside a value is seen to belong to it and gets the value quoted.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORD_END '\x1f'
#define LINE_MAX_BYTES 2048

struct line {
    char s[LINE_MAX_BYTES];
    size_t n;
};

static void put_char(struct line *l, char c)
{
    if (l->n < sizeof l->s - 2) /* the newline always fits */
        l->s[l->n++] = c;
}

static void put_text(struct line *l, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_char(l, s[i]);
}

static bool plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= ' ' || s[i] == '"' || s[i] == '\\' || s[i] == '=' ||
            s[i] == 0x7f)
            return false;
    return n > 0;
}

static void put_escaped(struct line *l, char c)
{
    char hex[8];
    if (c == '"' || c == '\\') {
        put_char(l, '\\');
        put_char(l, c);
    } else if (c == '\n') {
        put_text(l, "\\n", 2);
    } else if ((unsigned char)c < ' ' || c == 0x7f) {
        snprintf(hex, sizeof hex, "\\x%02x", (unsigned)(unsigned char)c);
        put_text(l, hex, 4);
    } else {
        put_char(l, c);
    }
}

static void put_value(struct line *l, const char *s, size_t n)
{
    if (plain(s, n)) {
        put_text(l, s, n);
        return;
    }
    put_char(l, '"');
    for (size_t i = 0; i < n; i++)
        put_escaped(l, s[i]);
    put_char(l, '"');
}

static void put_words(struct line *l, const char *words)
{
    for (const char *p = words; *p;) {
        size_t n = strcspn(p, (char[]){WORD_END, 0});
        const char *eq = memchr(p, '=', n);
        put_char(l, ' ');
        if (eq) {
            put_text(l, p, (size_t)(eq - p) + 1);
            put_value(l, eq + 1, n - (size_t)(eq - p) - 1);
        } else {
            put_value(l, p, n);
        }
        p += n + (p[n] == WORD_END);
    }
}

static void put_time(struct line *l)
{
    struct timespec ts;
    struct tm tm;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    put_text(l, text, n);
    int m = snprintf(text, sizeof text, ".%03ldZ", ts.tv_nsec / 1000000);
    put_text(l, text, (size_t)m);
}

/* The format is the caller's, with its spaces replaced; the compiler has checked it at the call. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void format_words(char *out, size_t max, const char *fmt, va_list ap)
{
    char split[512];
    size_t n = strlen(fmt);
    if (n >= sizeof split)
        n = sizeof split - 1;
    for (size_t i = 0; i < n; i++)
        split[i] = fmt[i] == ' ' ? WORD_END : fmt[i];
    split[n] = 0;
    vsnprintf(out, max, split, ap);
}
#pragma GCC diagnostic pop

void logline(enum log_level level, const char *message, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warn", "info"};
    struct line l = {.n = 0};
    put_time(&l);
    put_char(&l, ' ');
    put_text(&l, names[level], strlen(names[level]));
    put_char(&l, ' ');
    put_value(&l, message, strlen(message));
    if (fmt) {
        char words[LINE_MAX_BYTES];
        va_list ap;
        va_start(ap, fmt);
        format_words(words, sizeof words, fmt, ap);
        va_end(ap);
        put_words(&l, words);
    }
    l.s[l.n++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, l.s, l.n); /* nobody is left to tell */
    (void)ignored;
}
