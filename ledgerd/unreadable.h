/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unreadable: the data file is read through a mapping, and a page that cannot be read, because the disk fails or because what points to
 * it has rotted, arrives as a signal (SIGBUS; in a damaged page also SIGSEGV; a page that LMDB finds to be none is made one by the store). There is no going on from there, but there is something to
 * say: one line on standard error, and an exit code.
 */
#ifndef LEDGERD_UNREADABLE_H
#define LEDGERD_UNREADABLE_H

/* For a program that does little else than read: both signals; code 1, the folder does not verify. */
void unreadable_ends_check(void);
/* For the daemon: SIGBUS only, as the other one may have other causes; code 1. */
void unreadable_ends_run(void);

#endif
