/* SPDX-License-Identifier: Apache-2.0 */
/* libfuzzer: makes a libFuzzer program of the target that FUZZ_NAME names (-DFUZZ_NAME=event). Built with clang by `make fuzz`. */
#include "fuzz.h"

#define NAME_OF_(name) fuzz_##name
#define NAME_OF(name) NAME_OF_(name)

bool NAME_OF(FUZZ_NAME)(struct fuzz *f, struct span in);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct fuzz surroundings;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fuzz_begin(&surroundings);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    fuzz_run(&surroundings, NAME_OF(FUZZ_NAME), p, n);
    return 0;
}
