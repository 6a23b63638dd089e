/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_disk: the calls of the system that the journal stands on; a simulation has its own (tests/simulation/journal_disk.c).
 * They return what the system's do, with errno, but never less than what was asked for: a write that is cut off is made again from there.
 */
#ifndef LEDGERD_STORE_JOURNAL_DISK_H
#define LEDGERD_STORE_JOURNAL_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int journal_disk_open(const char *path, bool write, bool create); /* −1: errno */
void journal_disk_close(int fd);
int64_t journal_disk_size(int fd);                                /* −1: errno */
int64_t journal_disk_read(int fd, uint8_t *p, size_t n, uint64_t at);       /* fewer only at the end; −1: errno */
int journal_disk_write(int fd, const uint8_t *p, size_t n, uint64_t at);    /* 0, or −1: errno */
int journal_disk_sync(int fd);                                    /* 0, or −1: errno */

#endif
