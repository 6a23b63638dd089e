/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim: what the preloaded shim (shim.c) and whoever drives it (tests/suites/faults.py, which knows the same layout) agree on.
 *
 * A control file is mapped by both, and outlives the daemon. The shim counts the calls that change files of the watched folder; once
 * armed it lets `skip` calls of the kinds in `mask` to files whose names begin with `only` pass, and acts on the next `left` ones.
 */
#ifndef LEDGERD_TESTS_SHIM_H
#define LEDGERD_TESTS_SHIM_H

#include <stdatomic.h>
#include <stdint.h>

#define SHIM_WHAT_MAX 200
#define SHIM_ONLY_MAX 32

enum shim_action {
    SHIM_NOTHING = 0,
    SHIM_EIO,         /* the call does nothing and fails */
    SHIM_ENOSPC,      /* the same, for want of space; a sync fails so, too */
    SHIM_SHORT,       /* a write does half and says so; other calls are left alone */
    SHIM_DELAY,       /* the call is made after `arg` microseconds */
    SHIM_KILL_BEFORE, /* the process ends as by kill -9 */
    SHIM_KILL_MIDDLE, /* a write does half, to the end of a sector, then the process ends; other calls: as before */
    SHIM_KILL_AFTER,
    SHIM_EIO_AFTER,   /* the call is made, and said to have failed */
    SHIM_ACTIONS
};
/* A call and what came of it, as the trace has it: this, then path, then second path (of a rename), then data. */
enum shim_op { SHIM_WRITE = 1, SHIM_SYNC, SHIM_TRUNCATE, SHIM_RENAME, SHIM_UNLINK, SHIM_CREATE };
struct shim_record {
    uint32_t op, durable;    /* durable: the file was opened so that a write is on the disk when it returns */
    uint64_t began_ns, ended_ns; /* CLOCK_MONOTONIC */
    int64_t result;          /* bytes, or 0; −errno */
    uint64_t offset;         /* TRUNCATE: the new size */
    uint32_t path_n, to_n;
    uint64_t data_n;
};
struct shim_control {
    _Atomic uint64_t calls;      /* so far, of every kind */
    _Atomic uint64_t armed;      /* 0: leave everything alone */
    _Atomic uint64_t mask;       /* bit n: calls of enum shim_op n are meant; bit 0: writes to files opened as durable, the others being
                                    those to other files */
    _Atomic uint64_t skip, left; /* so many of them pass first; so many are acted on */
    _Atomic uint64_t action, arg;
    _Atomic uint64_t hits;       /* how often it acted */
    char what[SHIM_WHAT_MAX];    /* the call that was hit last: "write data/data.mdb" */
    char only[SHIM_ONLY_MAX];    /* changed while it is not armed: how the names that are meant begin; "": all */
};

#endif
