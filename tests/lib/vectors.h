/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vectors: reading test vectors: whole files, tab-separated lines, hex and JSON trees. What it
 * reads lives until the test's process ends and stays reachable, so that a leak checker is content;
 * JSON trees are the caller's to free. Include after check.h; JSON needs libyajl.
 */
#ifndef LEDGERD_TESTS_VECTORS_H
#define LEDGERD_TESTS_VECTORS_H

#include "check.h"
#include "crypto.h"

#include <yajl/yajl_tree.h>

static inline uint8_t *vectors_alloc(size_t n)
{
    struct kept {
        struct kept *before;
        uint8_t bytes[];
    };
    static struct kept *all;
    struct kept *k = calloc(1, sizeof *k + n);
    CHECK(k);
    k->before = all;
    all = k;
    return k->bytes;
}

/* A file of the shared folder; the test ends as skipped if it is not there. NUL-terminated. */
static inline struct span vectors_file(const char *relative)
{
    const char *path = check_shared(relative);
    if (!path)
        CHECK_SKIP(relative);
    FILE *f = fopen(path, "rb");
    CHECK(f);
    CHECK(fseek(f, 0, SEEK_END) == 0);
    long n = ftell(f);
    CHECK(n >= 0);
    rewind(f);
    uint8_t *p = vectors_alloc((size_t)n + 1);
    CHECK(fread(p, 1, (size_t)n, f) == (size_t)n);
    fclose(f);
    return span_of(p, (size_t)n);
}

#define VECTORS_COLUMNS 8

/* Cuts the next line that is no comment into columns, in place. False at the end of the file. */
static inline bool vectors_row(char **at, char *columns[VECTORS_COLUMNS])
{
    char *line;
    do {
        line = strsep(at, "\n");
    } while (line && (line[0] == '#' || line[0] == '\0'));
    if (!line)
        return false;
    for (size_t i = 0; i < VECTORS_COLUMNS; i++)
        columns[i] = strsep(&line, "\t");
    return true;
}

/* Bytes of a hex text; "-" is empty. */
static inline struct span vectors_hex(const char *text)
{
    struct span s = strcmp(text, "-") == 0 ? SPAN_LIT("") : span_str(text);
    uint8_t *p = vectors_alloc(s.n / 2 + 1);
    CHECK(hex_decode(s, p));
    return span_of(p, s.n / 2);
}

static inline struct hash vectors_hash(const char *text)
{
    struct hash h;
    struct span s = vectors_hex(text);
    CHECK_EQ_INT(s.n, HASH_LEN);
    memcpy(h.b, s.p, HASH_LEN);
    return h;
}

static inline yajl_val vectors_json(const char *relative)
{
    char why[256];
    yajl_val v = yajl_tree_parse((const char *)vectors_file(relative).p, why, sizeof why);
    CHECK(v);
    return v;
}

/* A member of an object, or NULL. */
static inline yajl_val json_member(yajl_val v, const char *name)
{
    const char *path[] = {name, NULL};
    return yajl_tree_get(v, path, yajl_t_any);
}

static inline const char *json_string(yajl_val v, const char *name)
{
    yajl_val m = json_member(v, name);
    return m && YAJL_IS_STRING(m) ? YAJL_GET_STRING(m) : NULL;
}

static inline size_t json_length(yajl_val v)
{
    return v && YAJL_IS_ARRAY(v) ? YAJL_GET_ARRAY(v)->len : 0;
}

static inline yajl_val json_at(yajl_val v, size_t i)
{
    return YAJL_GET_ARRAY(v)->values[i];
}

#endif
