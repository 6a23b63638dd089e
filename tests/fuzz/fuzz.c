/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: the surroundings of all targets (fuzz.h). */
#include "fuzz.h"

#include "genuine.h"

#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

static void make_policy(struct fuzz *f, const struct secret_key *log)
{
    char vkey[NOTE_NAME_MAX + 200], text[NOTE_NAME_MAX + 300];
    HOLDS(note_key_make(f->c, FUZZ_ORIGIN, NOTE_ED25519, span_of(log->pub, log->pub_len), &f->log));
    note_key_format(&f->log, vkey);
    int n = snprintf(text, sizeof text, "log %s\nquorum none\n", vkey);
    HOLDS(policy_parse(f->c, span_of(text, (size_t)n), &f->policy, NULL) == LEDGER_OK);
}

void fuzz_begin(struct fuzz *f)
{
    const uint8_t log_seed[32] = {9, 9}, witness_seed[32] = {7, 7};
    struct secret_key log;
    memset(f, 0, sizeof *f);
    memset(f->index_key.b, 0x42, HASH_LEN);
    f->c = crypto_new();
    f->a = arena_new(FUZZ_ARENA);
    HOLDS(f->c && f->a && crypto_secret_from_seed(f->c, SIG_ED25519, log_seed, &log) &&
          crypto_secret_from_seed(f->c, SIG_ED25519, witness_seed, &f->witness_secret));
    make_policy(f, &log);
    HOLDS(note_key_make(f->c, FUZZ_WITNESS, NOTE_COSIGNATURE_V1, span_of(f->witness_secret.pub, f->witness_secret.pub_len), &f->witness));
}

void fuzz_end(struct fuzz *f)
{
    arena_free(f->a);
    crypto_free(f->c);
}

bool fuzz_run(struct fuzz *f, fuzz_target target, const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    HOLDS(copy != NULL);
    if (n)
        memcpy(copy, p, n);
    bool accepted = target(f, span_of(copy, n));
    arena_reset(f->a);
    free(copy);
    return accepted;
}

struct span fuzz_checksummed(struct fuzz *f, struct span in)
{
    struct span copy = arena_copy(f->a, in);
    if (copy.n < HASH_LEN)
        return copy;
    struct span body = span_of(copy.p, copy.n - HASH_LEN);
    struct hash sum;
    crypto_sha256(f->c, &body, 1, &sum);
    memcpy((uint8_t *)(uintptr_t)copy.p + body.n, sum.b, HASH_LEN);
    return copy;
}

/* ---- files ---- */

static char folder[64];

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_folder(void)
{
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/ledgerd-fuzz-XXXXXX");
        HOLDS(mkdtemp(folder) && atexit(remove_folder) == 0);
    }
    return folder;
}

const char *fuzz_file(const char *name, struct span bytes)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    HOLDS(fd >= 0 && (bytes.n == 0 || write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n) && close(fd) == 0);
    return path;
}

/* ---- what the ledger of the seeds really says ---- */

bool fuzz_genuine_leaf(const struct hash *leaf)
{
    for (size_t i = 0; i < GENUINE_LEAVES; i++)
        if (memcmp(leaf->b, genuine_leaves[i], HASH_LEN) == 0)
            return true;
    return false;
}

bool fuzz_genuine_checkpoint(const struct checkpoint *cp)
{
    for (size_t i = 0; i < GENUINE_CHECKPOINTS; i++)
        if (cp->size == genuine_checkpoints[i].size && memcmp(cp->root.b, genuine_checkpoints[i].root, HASH_LEN) == 0)
            return true;
    return false;
}
