/* SPDX-License-Identifier: Apache-2.0 */
/*
 * no_memory: a preloaded library under which the main thread gets no memory by calloc while the file exists that NO_MEMORY names.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void *__libc_calloc(size_t n, size_t size); /* glibc's own, under the name that preloaded libraries can reach it by */

static const char *flag;

__attribute__((constructor)) static void begin(void)
{
    flag = getenv("NO_MEMORY");
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
    if (!flag || gettid() != getpid() || access(flag, F_OK) != 0)
        return __libc_calloc(n, size);
    errno = ENOMEM;
    return NULL;
}
