/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import: reads the notes and proofs that vectors.go made with golang.org/x/mod/sumdb and judges them with the core's own code. A tree
 * is built here from the same leaves as well: root and proofs must come out equal, byte by byte.
 *
 *   import FILE
 *
 * Exit code 0: every good one is accepted, every bad one refused; what was counted is printed.
 */
#include "lib/check.h"
#include "merkle.h"
#include "note.h"

enum { LEAVES_MAX = 1024, LEVELS = 11, LINE_MAX = 1 << 16 };

struct import {
    struct crypto *c;
    struct arena *a; /* of one line */
    struct hash nodes[LEVELS][LEAVES_MAX];
    bool have[LEVELS][LEAVES_MAX];
    struct merkle_store store;
    struct frontier edge;
    unsigned line, trees, roots, proofs, notes, refused;
};

static bool node_get(void *ctx, unsigned level, uint64_t index, unsigned n, struct hash *out)
{
    struct import *m = ctx;
    for (unsigned i = 0; i < n; i++) {
        if (level >= LEVELS || index + i >= LEAVES_MAX || !m->have[level][index + i])
            return false;
        out[i] = m->nodes[level][index + i];
    }
    return true;
}

static bool node_put(void *ctx, unsigned level, uint64_t index, const struct hash *h)
{
    struct import *m = ctx;
    if (level >= LEVELS || index >= LEAVES_MAX)
        return false;
    m->nodes[level][index] = *h;
    m->have[level][index] = true;
    return true;
}

/* ---- columns ---- */

static struct span column(char **rest)
{
    char *text = strsep(rest, " \n");
    CHECK(text != NULL);
    return span_str(text);
}

static uint64_t number(char **rest)
{
    char *end;
    const char *text = (const char *)column(rest).p;
    unsigned long long v = strtoull(text, &end, 10);
    CHECK(end != text && *end == '\0');
    return v;
}

static struct span bytes(struct import *m, char **rest)
{
    struct span text = column(rest);
    uint8_t *out = arena_alloc(m->a, text.n + 1);
    size_t n = 0;
    CHECK(out != NULL);
    if (!span_eq(text, SPAN_LIT("-")))
        CHECK(b64_decode(text, out, text.n, &n));
    return span_of(out, n);
}

static bool good(char **rest)
{
    struct span word = column(rest);
    bool is_good = span_eq(word, SPAN_LIT("good"));
    CHECK(is_good || span_eq(word, SPAN_LIT("bad")));
    return is_good;
}

static void agree(struct import *m, bool expected, bool found)
{
    if (expected != found)
        fprintf(stderr, "line %u: %s, but it is %s here\n", m->line, expected ? "good" : "bad", found ? "accepted" : "refused");
    CHECK(expected == found);
    m->refused += !expected;
}

/* ---- statements ---- */

static void take_tree(struct import *m, char **rest)
{
    CHECK(number(rest) <= LEAVES_MAX);
    memset(m->have, 0, sizeof m->have);
    m->edge.size = 0;
    m->trees++;
}

static void take_leaf(struct import *m, char **rest)
{
    struct hash leaf;
    merkle_leaf(m->c, bytes(m, rest), &leaf);
    CHECK(merkle_append(m->c, &m->store, &m->edge, &leaf));
}

static struct hash root_of(struct import *m, uint64_t size)
{
    struct hash root;
    CHECK(merkle_root(m->c, &m->store, size, &root));
    return root;
}

static void take_root(struct import *m, char **rest)
{
    struct hash root = root_of(m, number(rest));
    struct span theirs = bytes(m, rest);
    CHECK_EQ_INT(theirs.n, HASH_LEN);
    CHECK_EQ_MEM(root.b, theirs.p, HASH_LEN);
    m->roots++;
}

static size_t path_of(struct span text, struct hash path[MERKLE_PATH_MAX])
{
    CHECK(text.n % HASH_LEN == 0 && text.n / HASH_LEN <= MERKLE_PATH_MAX);
    if (text.n)
        memcpy(path, text.p, text.n);
    return text.n / HASH_LEN;
}

static void same_path(const struct merkle_path *ours, const struct hash *theirs, size_t n)
{
    CHECK_EQ_INT(ours->n, n);
    for (size_t i = 0; i < n; i++)
        CHECK_EQ_MEM(ours->h[i].b, theirs[i].b, HASH_LEN);
}

static void take_inclusion(struct import *m, char **rest)
{
    struct hash path[MERKLE_PATH_MAX], leaf;
    struct merkle_path ours;
    bool expected = good(rest);
    uint64_t index = number(rest), size = number(rest);
    size_t n = path_of(bytes(m, rest), path);
    struct hash root = root_of(m, size);
    CHECK(node_get(m, 0, index, 1, &leaf));
    agree(m, expected, merkle_verify_inclusion(m->c, index, size, &leaf, path, n, &root));
    CHECK(merkle_inclusion(m->c, &m->store, index, size, &ours));
    if (expected)
        same_path(&ours, path, n);
    m->proofs++;
}

static void take_consistency(struct import *m, char **rest)
{
    struct hash path[MERKLE_PATH_MAX];
    struct merkle_path ours;
    bool expected = good(rest);
    uint64_t size1 = number(rest), size2 = number(rest);
    size_t n = path_of(bytes(m, rest), path);
    struct hash root1 = root_of(m, size1), root2 = root_of(m, size2);
    agree(m, expected, merkle_verify_consistency(m->c, size1, size2, &root1, &root2, path, n));
    CHECK(merkle_consistency(m->c, &m->store, size1, size2, &ours));
    if (expected)
        same_path(&ours, path, n);
    m->proofs++;
}

/* As a client reads it: through a policy that names this log alone. */
static bool read_note(struct import *m, struct span vkey, struct span signed_note, struct checkpoint *cp)
{
    struct policy *p = arena_alloc(m->a, sizeof *p);
    struct policy_verdict v;
    struct wbuf w;
    wbuf_init(&w, m->a);
    wbuf_bytes(&w, "log ", 4);
    wbuf_bytes(&w, vkey.p, vkey.n);
    wbuf_bytes(&w, "\nquorum none\n", 13);
    CHECK(p && policy_parse(m->c, wbuf_span(&w), p, NULL) == LEDGER_OK);
    return policy_check(m->c, m->a, p, signed_note, cp, &v, NULL) && v.log_signed;
}

static void take_note(struct import *m, char **rest)
{
    struct checkpoint cp;
    bool expected = good(rest);
    struct span vkey = column(rest), signed_note = bytes(m, rest);
    bool found = read_note(m, vkey, signed_note, &cp);
    agree(m, expected, found);
    uint64_t size = number(rest);
    struct span root = bytes(m, rest);
    if (found) {
        CHECK_EQ_INT(cp.size, size);
        CHECK_EQ_MEM(cp.root.b, root.p, HASH_LEN);
    }
    m->notes++;
}

static void take_line(struct import *m, char *line)
{
    static const struct {
        const char *name;
        void (*take)(struct import *m, char **rest);
    } statements[] = {
        {"tree", take_tree},           {"leaf", take_leaf},               {"root", take_root},
        {"inclusion", take_inclusion}, {"consistency", take_consistency}, {"note", take_note},
    };
    char *rest = line;
    struct span word = column(&rest);
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        if (!span_eq(word, span_str(statements[i].name)))
            continue;
        statements[i].take(m, &rest);
        return;
    }
    fprintf(stderr, "line %u: what is \"%s\"?\n", m->line, line);
    exit(CHECK_EXIT_FAILED);
}

int main(int argc, char **argv)
{
    static struct import m;
    static char line[LINE_MAX];
    FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!f) {
        fprintf(stderr, "usage: import FILE\n");
        return 2;
    }
    m.c = crypto_new();
    m.a = arena_new((size_t)16 << 20);
    m.store = (struct merkle_store){&m, node_get, node_put};
    CHECK(m.c && m.a);
    while (fgets(line, sizeof line, f)) {
        m.line++;
        take_line(&m, line);
        arena_reset(m.a);
    }
    fclose(f);
    arena_free(m.a);
    crypto_free(m.c);
    CHECK(m.notes && m.proofs && m.roots && m.trees && m.refused);
    printf("%u trees with %u roots, %u proofs and %u notes are judged alike; %u of these are refused\n", m.trees, m.roots, m.proofs,
           m.notes, m.refused);
    return 0;
}
