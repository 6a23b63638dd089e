/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: the test harness. A test file defines TEST(name) functions and lists them in TEST_MAIN. Each
 * test runs in a child process, so that a crash is one failure; a check that fails prints both values
 * and ends its test. The last line is "N passed, N failed, N skipped".
 */
#ifndef LEDGERD_TESTS_CHECK_H
#define LEDGERD_TESTS_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_EXIT_FAILED 1
#define CHECK_EXIT_SKIPPED 77

#define CHECK(cond)                                                                               \
    do {                                                                                          \
        if (!(cond)) {                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond);                  \
            exit(CHECK_EXIT_FAILED);                                                              \
        }                                                                                         \
    } while (0)

#define CHECK_EQ_INT(a, b)                                                                        \
    do {                                                                                          \
        long long check_a = (long long)(a), check_b = (long long)(b);                             \
        if (check_a != check_b) {                                                                 \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #a, check_a,      \
                    check_b);                                                                     \
            exit(CHECK_EXIT_FAILED);                                                              \
        }                                                                                         \
    } while (0)

#define CHECK_EQ_STR(a, b)                                                                        \
    do {                                                                                          \
        const char *check_a = (a), *check_b = (b);                                                \
        if (strcmp(check_a, check_b) != 0) {                                                      \
            fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #a, check_a,   \
                    check_b);                                                                     \
            exit(CHECK_EXIT_FAILED);                                                              \
        }                                                                                         \
    } while (0)

#define CHECK_EQ_MEM(a, b, n) check_eq_mem(__FILE__, __LINE__, #a, (a), (b), (n))

static inline void check_eq_mem(const char *file, int line, const char *what, const void *a,
                                const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    if (memcmp(a, b, n) == 0)
        return;
    fprintf(stderr, "%s:%d: %s is ", file, line, what);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "%02x", x[i]);
    fprintf(stderr, ", not ");
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "%02x", y[i]);
    fprintf(stderr, "\n");
    exit(CHECK_EXIT_FAILED);
}

#define CHECK_SKIP(why)                                                                           \
    do {                                                                                          \
        fprintf(stderr, "skipped: %s\n", why);                                                    \
        exit(CHECK_EXIT_SKIPPED);                                                                 \
    } while (0)

struct check_test {
    const char *name;
    void (*run)(void);
};
#define TEST(name) static void test_##name(void)
#define TEST_ENTRY(name) {#name, test_##name}

/* A file of the shared folder, or NULL when it is not there. Static buffer. */
static inline const char *check_shared(const char *relative)
{
    static char path[4096];
    const char *base = getenv("LEDGERD_SHARED");
    snprintf(path, sizeof path, "%s/%s", base ? base : "../shared", relative);
    return access(path, R_OK) == 0 ? path : NULL;
}

static inline int check_main(const char *file, const struct check_test *tests, size_t n, const char *only)
{
    int passed = 0, failed = 0, skipped = 0;
    for (size_t i = 0; i < n; i++) {
        if (only && strcmp(only, tests[i].name) != 0)
            continue;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            tests[i].run();
            exit(0);
        }
        int status = 0;
        waitpid(pid, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            passed++;
        } else if (WIFEXITED(status) && WEXITSTATUS(status) == CHECK_EXIT_SKIPPED) {
            skipped++;
        } else {
            failed++;
            fprintf(stderr, "FAILED %s: %s (%s %d)\n", file, tests[i].name,
                    WIFSIGNALED(status) ? "signal" : "exit",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        }
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed ? 1 : 0;
}

#define TEST_MAIN(...)                                                                            \
    int main(int argc, char **argv)                                                               \
    {                                                                                             \
        static const struct check_test tests[] = {__VA_ARGS__};                                   \
        return check_main(__FILE__, tests, sizeof tests / sizeof tests[0],                        \
                          argc > 1 ? argv[1] : NULL);                                             \
    }

#endif
