/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay CORPUS [TARGET]: runs every target over the files of CORPUS/TARGET, each target in a process of its own; built by any compiler.
 * Failures are a crash, a property that does not hold, a file named seed-* that is not accepted, a target without seeds, and a file that
 * libFuzzer would not read (over 64 KiB).
 */
#include "fuzz.h"

#include "lib/check.h"
#include "targets.h"

#include <dirent.h>

#define FILE_MAX 65536

#define X(name) bool fuzz_##name(struct fuzz *f, struct span in);
FUZZ_TARGETS(X)
#undef X

static const struct replayed {
    const char *name;
    fuzz_target run;
} targets[] = {
#define X(name) {#name, fuzz_##name},
    FUZZ_TARGETS(X)
#undef X
};
#define TARGETS (sizeof targets / sizeof targets[0])

/* Says which file it is before anything can go wrong with it. */
static bool replay_file(struct fuzz *f, fuzz_target run, const char *path)
{
    static uint8_t bytes[FILE_MAX + 1];
    FILE *in = fopen(path, "rb");
    CHECK(in != NULL);
    size_t n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    fprintf(stderr, "%s\n", path);
    CHECK(n <= FILE_MAX);
    return fuzz_run(f, run, bytes, n);
}

static void replay(const struct replayed *t, const char *corpus)
{
    char folder[3072], path[4096];
    unsigned n = 0, seeds = 0, refused = 0;
    struct fuzz f;
    struct dirent *e;
    snprintf(folder, sizeof folder, "%s/%s", corpus, t->name);
    DIR *d = opendir(folder);
    if (!d)
        fprintf(stderr, "no folder %s\n", folder);
    CHECK(d != NULL);
    fuzz_begin(&f);
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        bool seed = strncmp(e->d_name, "seed-", 5) == 0;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        bool accepted = replay_file(&f, t->run, path);
        if (seed && !accepted)
            fprintf(stderr, "not accepted: %s\n", path);
        n++;
        seeds += seed;
        refused += seed && !accepted;
    }
    closedir(d);
    fuzz_end(&f);
    printf("%-14s %5u files, %3u seeds\n", t->name, n, seeds);
    CHECK(seeds > 0 && refused == 0);
}

/* In a child; its last words are shown only if it failed. False: it did. */
static bool replay_apart(const struct replayed *t, const char *corpus)
{
    char tail[400] = "";
    int ends[2], status = 0;
    size_t n = 0;
    CHECK(pipe(ends) == 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        replay(t, corpus);
        exit(0);
    }
    close(ends[1]);
    FILE *words = fdopen(ends[0], "r");
    CHECK(pid > 0 && words != NULL);
    for (int c; (c = fgetc(words)) != EOF;) {
        if (n == sizeof tail - 1)
            memmove(tail, tail + 1, --n);
        tail[n++] = (char)c;
        tail[n] = 0;
    }
    fclose(words);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    printf("FAILED %s (%s %d): %s\n", t->name, WIFSIGNALED(status) ? "signal" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), tail);
    return false;
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    if (argc < 2)
        return 2;
    for (size_t i = 0; i < TARGETS; i++) {
        if (argc > 2 && strcmp(argv[2], targets[i].name) != 0)
            continue;
        if (replay_apart(&targets[i], argv[1]))
            passed++;
        else
            failed++;
    }
    printf("%u passed, %u failed, 0 skipped\n", passed, failed);
    return failed || !passed;
}
