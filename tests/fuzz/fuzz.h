/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz: what the fuzz targets share. A target is one function over bytes that somebody else chose; it is built twice: for libFuzzer
 * (`make fuzz`, libfuzzer.c), and into `replay`, which runs every target over its corpus (`make check`).
 *
 * A target decodes, and where decoding succeeds it asserts what must then be true (HOLDS): that encoding again gives the same bytes, that
 * nothing is taken for the ledger's that the ledger has not signed. It returns whether the input was accepted: files named seed-* in
 * tests/fuzz/corpus/TARGET were made by `seeds` from a real ledger, and must be.
 *
 * Everything in the arena is gone after each input. One thread.
 */
#ifndef LEDGERD_TESTS_FUZZ_H
#define LEDGERD_TESTS_FUZZ_H

#include "note.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The ledger, its witness and its index key: those of tests/lib/query_world.h. */
#define FUZZ_ORIGIN "test.example/ledger"
#define FUZZ_WITNESS "witness.example/w1"

struct fuzz {
    struct crypto *c;
    struct arena *a;
    struct policy policy;      /* the ledger's key, no quorum */
    struct note_key log, witness;
    struct secret_key witness_secret;
    struct hash index_key;
};
typedef bool (*fuzz_target)(struct fuzz *f, struct span in);

#define FUZZ_TARGET(name)                                                                                                           \
    bool fuzz_##name(struct fuzz *f, struct span in);                                                                               \
    bool fuzz_##name(__attribute__((unused)) struct fuzz *f, struct span in)

/* Not CHECK: a fuzzer wants a crash, not an exit. */
#define HOLDS(x)                                                                                                                    \
    do {                                                                                                                            \
        if (!(x)) {                                                                                                                 \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #x);                                                  \
            abort();                                                                                                                \
        }                                                                                                                           \
    } while (0)

#define FUZZ_ARENA ((size_t)96 << 20)
void fuzz_begin(struct fuzz *f);
void fuzz_end(struct fuzz *f);
/* Runs a target on a copy of the input that ends where its memory ends. */
bool fuzz_run(struct fuzz *f, fuzz_target target, const uint8_t *p, size_t n);

/* The input with its last 32 bytes replaced by the SHA-256 of all before, as receipts and dossiers end. In the arena. */
struct span fuzz_checksummed(struct fuzz *f, struct span in);
/* A path in a scratch folder, which goes away at the end; the file holds `bytes`, mode 0600. */
const char *fuzz_file(const char *name, struct span bytes);
const char *fuzz_folder(void);

/* Is it the leaf hash of an entry of the ledger that the seeds were made from? (genuine.h) */
bool fuzz_genuine_leaf(const struct hash *leaf);
bool fuzz_genuine_checkpoint(const struct checkpoint *cp);

#endif
