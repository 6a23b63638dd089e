/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world: what the daemon's own code stands on in the simulation. Its threads are tasks of one thread, of which a seed chooses the next;
 * its clocks are virtual; its disk is memory (disk.c); and all of it can end at any moment, as by a power cut, and be started anew.
 *
 * The daemon is linked as it is. The linker wraps the calls of threads, clocks and randomness (Makefile, SIMULATION_WRAPS), and LMDB's
 * functions are those of disk.c. Whatever happens follows from the seed.
 */
#ifndef LEDGERD_TESTS_SIMULATION_WORLD_H
#define LEDGERD_TESTS_SIMULATION_WORLD_H

#include <stdbool.h>
#include <stdint.h>

/* ---- the seed ---- */

uint64_t world_random(void);
unsigned world_below(unsigned n);        /* 0 … n − 1 */
bool world_chance(unsigned one_in);      /* never if 0 */

void world_begin(uint64_t seed);
void world_end(void);                    /* no task but the caller's is left */

/* ---- tasks ---- */

/* Lets others run; the caller goes on at some later moment. */
void world_yield(void);
/* Lets others run until the virtual time has come. */
void world_sleep_us(int64_t us);
/* Until nobody but the caller could go on without time passing, or there was a crash. */
void world_settle(void);

/* ---- time ---- */

int64_t world_monotonic_us(void);
int64_t world_real_us(void);
void world_set_clock(int64_t by_us);     /* somebody sets the real clock */
void world_spend_us(int64_t us);         /* something took that long */

/* ---- the end ---- */

/* From here on nothing that the daemon's code does has an effect on the disk. What was not synced is lost. */
void world_crash(void);
bool world_crashed(void);
/* After the tasks of before have ended: the disk can be used again. */
void world_power_on(void);
/* A crash comes by itself, at a point where tasks change: one in so many; 0: never. */
void world_crash_one_in(unsigned n);
/* A point at which a crash may come, besides those between tasks. */
void world_point(void);

/* ---- the disk (disk.c) ---- */

struct disk_faults {
    unsigned full_one_in;    /* a commit finds no space, and wrote nothing */
    unsigned memory_one_in;  /* a transaction or a write in it finds no memory */
    unsigned unknown_one_in; /* a commit ends with EIO; whether it is there afterwards, nobody knows */
    unsigned crash_one_in;   /* a crash right before, or right after, a commit has reached the disk */
    bool no_space;           /* statvfs says so */
};
extern struct disk_faults disk_faults;
struct disk_counts { uint64_t commits, lost, full, unknown, memory; };
extern struct disk_counts disk_counts;
void disk_begin(void);
void disk_end(void);
void disk_power_cut(void); /* what was not synced is gone */
void disk_backup(void);    /* a copy of all that is on the disk now; one at a time */
void disk_exchange(void);  /* the copy in the place of the disk, and the other way round */
/* The journal's part of it (journal_disk.c). */
void journal_disk_forget(void);
void journal_disk_power_cut(void);
void journal_disk_backup(void);
void journal_disk_exchange(void);

#endif
