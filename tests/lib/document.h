/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document: the numbers that stand in docs/format.md, and the ones that a test makes.
 *
 * In the document a number stands in a fenced block as `name = hex`; what follows a `#` is a remark, and indented lines go on
 * with the number before. A signed note stands in a fenced block of its own whose info string is its name. Include after check.h.
 */
#ifndef LEDGERD_TESTS_DOCUMENT_H
#define LEDGERD_TESTS_DOCUMENT_H

#include <stdarg.h>

#include "crypto.h"

#define DOCUMENT "docs/format.md"
#define NUMBERS_MAX 200

/* ---- numbers by name ---- */

struct number {
    const char *name;
    struct span bytes;
};
struct numbers {
    size_t n;
    struct number list[NUMBERS_MAX];
};
static struct numbers made, written;
static struct arena *a; /* holds everything of one test */

static const char *text(const char *fmt, ...) LEDGER_PRINTF(1, 2);

static const char *text(const char *fmt, ...)
{
    char buf[128];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    char *s = arena_strdup(a, span_str(buf));
    CHECK(s);
    return s;
}

static void number_add(struct numbers *to, const char *name, struct span bytes)
{
    CHECK(to->n < NUMBERS_MAX);
    CHECK(bytes.p);
    to->list[to->n++] = (struct number){name, arena_copy(a, bytes)};
}

static const struct number *number_find(const struct numbers *in, const char *name)
{
    for (size_t i = 0; i < in->n; i++)
        if (strcmp(in->list[i].name, name) == 0)
            return &in->list[i];
    return NULL;
}

static void emit(const char *name, struct span bytes)
{
    CHECK(!number_find(&made, name));
    number_add(&made, name, bytes);
}

static void emit_hash(const char *name, const struct hash *h)
{
    emit(name, span_of(h->b, HASH_LEN));
}

static struct span of_made(const char *name)
{
    const struct number *n = number_find(&made, name);
    CHECK(n);
    return n->bytes;
}

/* ---- reading the document ---- */

static bool is_word(char x)
{
    return (x >= 'a' && x <= 'z') || (x >= '0' && x <= '9') || x == '-';
}

/* Hex digits of a line up to a remark, appended to `hex`. */
static void take_digits(const char *line, char *hex, size_t size)
{
    size_t n = strlen(hex);
    for (; *line && *line != '#' && *line != '\n'; line++) {
        if (*line == ' ')
            continue;
        CHECK((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f'));
        CHECK(n + 1 < size);
        hex[n++] = *line;
    }
    hex[n] = '\0';
}

static void finish_number(const char *name, const char *hex)
{
    static uint8_t bytes[8192];
    struct span s = span_str(hex);
    if (!name)
        return;
    CHECK(s.n % 2 == 0 && s.n / 2 <= sizeof bytes);
    CHECK(hex_decode(s, bytes));
    if (number_find(&written, name))
        fprintf(stderr, "%s stands twice in " DOCUMENT "\n", name);
    CHECK(!number_find(&written, name));
    number_add(&written, name, span_of(bytes, s.n / 2));
}

/* A block of `name = hex` lines, or of a note. Returns at its end. */
static void read_block(FILE *f, const char *info)
{
    static char line[1024], hex[16384];
    const char *name = NULL;
    struct wbuf note;
    bool is_note = strncmp(info, "note-", 5) == 0;
    wbuf_init(&note, a);
    hex[0] = '\0';
    while (fgets(line, sizeof line, f) && strncmp(line, "```", 3) != 0) {
        char *sign = strstr(line, " =");
        if (is_note) {
            wbuf_bytes(&note, line, strlen(line));
        } else if (is_word(line[0]) && sign) {
            finish_number(name, hex);
            hex[0] = '\0';
            *sign = '\0';
            name = text("%s", line);
            take_digits(sign + 2, hex, sizeof hex);
        } else if (name) {
            take_digits(line, hex, sizeof hex);
        }
    }
    finish_number(name, hex);
    if (is_note)
        number_add(&written, text("%.*s", (int)strcspn(info, "\n"), info), wbuf_span(&note));
}

/* The blocks of section 15 whose info string is `numbers` or begins with `note-`. */
static void read_document(void)
{
    char line[4096];
    FILE *f = fopen(DOCUMENT, "r");
    if (!f)
        fprintf(stderr, DOCUMENT ": run this in the project's top folder\n");
    CHECK(f);
    while (fgets(line, sizeof line, f)) {
        if (strcmp(line, "```numbers\n") == 0 || strncmp(line, "```note-", 8) == 0)
            read_block(f, line + 3);
    }
    fclose(f);
}

#endif
