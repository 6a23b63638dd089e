/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unreadable: the data file is read through a mapping, and a page that cannot be read, because the disk fails or because what points to
 * it has rotted, arrives as a signal (SIGBUS; in a damaged page also SIGSEGV). There is no going on from there, but there is something to say.
 */
#ifndef LEDGERD_UNREADABLE_H
#define LEDGERD_UNREADABLE_H

#include <stdbool.h>

/* From here on such a signal writes this line, borrowed, to standard error and ends the process with this code. `damage`: SIGSEGV, too, for programs
 * that do little else than read; where it may have other causes it keeps its meaning. */
void unreadable_tells(const char *line, int code, bool damage);

#endif
