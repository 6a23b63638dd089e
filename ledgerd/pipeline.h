/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline: the write path between the loop thread and the disk.
 *
 *   loop thread → bounded queue → verification workers (strict decoding, signatures) → one writer thread (rules, chains, tree, map, one
 *   record of the journal a batch, checkpoint, signature) → done_cb → loop thread
 *
 * A batch is whatever arrived while the previous one was being committed, up to a limit. done_cb runs in the writer thread or a
 * worker and must only hand the job back to the loop. An answer exists only after the commit returned OK.
 */
#ifndef LEDGERD_PIPELINE_H
#define LEDGERD_PIPELINE_H

#include "access.h"
#include "base.h"
#include "refusal.h"

enum job_outcome {
    JOB_ACCEPTED = 1, /* recorded by this batch */
    JOB_BEFORE,       /* the very same bytes were recorded earlier */
    JOB_REFUSED,
    JOB_SKIPPED,      /* all or nothing, and another one was refused */
};
struct job_result {
    enum job_outcome outcome;
    uint64_t index;         /* ACCEPTED, BEFORE; REFUSED with E_DUP_EVENT: the recorded entry */
    struct span header;
    struct span path;       /* inclusion path at the checkpoint's size, 32 bytes a step */
    struct refusal why;     /* REFUSED */
};
/* One SubmitRequest or SubmitOwnRequest. The arena belongs to the job and holds everything; the submitter fills the first part. */
struct job {
    struct job *next;       /* of the queue that holds it */
    struct arena *a;
    void *owner;            /* the submitter's; never touched here */
    size_t n_events, n_signatures;
    struct span *events, *signatures;
    bool all_or_nothing;
    unsigned own_kind;      /* not 0: an act of the ledger that persons sign; its payload is the one event */
    /* Filled by the pipeline. rc OK: results and checkpoint are valid. Otherwise the whole request failed: err says why;
     * `unknown` is set when it is not certain that nothing was recorded. */
    enum ledger_rc rc;
    struct ledger_err err;
    bool unknown;
    struct job_result *results;
    struct span checkpoint; /* signed note */
    void *scratch;          /* the pipeline's own, in the arena */
};

struct pipeline;
struct store;
struct pipeline_options {
    struct store *store;
    unsigned workers;            /* 0: as many as the machine has cores */
    unsigned queue_jobs_max;     /* jobs waiting, verified or not */
    unsigned batch_events_max;
    uint32_t heartbeat_s;        /* an idle ledger writes a seal this often; 0: the genesis's */
    void (*done_cb)(void *ctx, struct job *job);
    /* A batch was committed: called in the writer thread after each commit, also for heartbeat seals (followers are woken by it). */
    void (*committed_cb)(void *ctx, uint64_t size);
    /* Asked once, during the start, before anything new is signed and after the store was verified; NULL: nobody is asked. Anything but
     * OK ends the start. */
    enum ledger_rc (*ask_cb)(void *ctx, struct ledger_err *err);
    /* Asked in the writer's thread, again and again, while the newest checkpoint, of this size, is the last one of a log key that was replaced:
     * nothing is recorded, and nothing signed with the new key, before it says false. NULL: there is nothing to wait for. */
    bool (*hold_cb)(void *ctx, uint64_t size);
    /* The outcome of a commit is unknown, or an invariant broke: the process must end. Called once. */
    void (*fatal_cb)(void *ctx, const struct ledger_err *err);
    void *ctx;
    const char *anchor_path;     /* NULL: DIR.anchor beside the data folder. Copied. */
    const char *program;         /* name and version, for the epoch entry; NULL: "ledgerd". Copied. */
    const struct pipeline_clock *clock; /* NULL: the system's. Borrowed as long as the pipeline lives. */
};
/* Where time comes from; a test brings its own. */
struct pipeline_clock {
    int64_t (*real_us)(void *ctx);      /* since 1970 UTC; may be set by anybody */
    int64_t (*monotonic_us)(void *ctx); /* never set */
    void *ctx;
};
/*
 * Starts the threads; the tail has been verified against the last checkpoint and the anchor, and the epoch entry and the anchor
 * have been written, when this returns OK. Returns owned.
 * ENOTFOUND: no genesis yet. ETAMPER: the tail does not verify, the store was rolled back, or ask_cb said so; nothing was written. EFULL: no space for
 * the epoch entry. EINVAL: a rebuild was interrupted, the anchor is missing, or the keys are not this ledger's.
 */
enum ledger_rc pipeline_start(const struct pipeline_options *o, struct pipeline **out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* EBUSY: the queues are full, nothing happened, the caller keeps the job. OK: done_cb will be called exactly once. Loop thread only. */
enum ledger_rc pipeline_submit(struct pipeline *p, struct job *job) LEDGER_MUST_USE;
/*
 * An entry of the ledger's own that nobody signs and that comes from outside the writer: a time stamp, a change of the log key. It is alone
 * in its batch with the seal (and a clock step that had to be noted before it). The payload is the recorder's to make; the machine
 * checks it like everything else. Borrowed until done_cb, which is called exactly once, in the writer thread, unless the process has to
 * end.
 */
struct own_job {
    struct own_job *next;   /* the pipeline's */
    unsigned kind;          /* enum own_kind */
    struct span payload;
    void (*done_cb)(struct own_job *job);
    void *owner;            /* never touched here */
    /* Filled by the pipeline. rc OK: recorded as entry `index`, under the checkpoint of `size` entries. Otherwise err says why,
     * and nothing was recorded. */
    enum ledger_rc rc;
    struct ledger_err err;
    uint64_t index, size;
};
#define OWN_JOBS_MAX 8
/* EBUSY: OWN_JOBS_MAX of them wait, or the pipeline is stopping; nothing happened, done_cb is not called. Any thread. */
enum ledger_rc pipeline_record_own(struct pipeline *p, struct own_job *job) LEDGER_MUST_USE;
/* From now on nothing is recorded or signed: another process signs as this ledger. Whatever is submitted is answered with EFULL and `why`; what
 * was committed goes on being read. Any thread; for ever. */
void pipeline_fence(struct pipeline *p, const struct ledger_err *why);
/* No further jobs are taken; those already taken are finished and answered; a last seal and the anchor are written (no seal if
 * it is fenced); threads end. */
void pipeline_stop(struct pipeline *p);
void pipeline_free(struct pipeline *p);

struct pipeline_stats {
    uint64_t events, refused, batches, seals, signatures, batch_events_last;
    uint64_t size;             /* latest committed */
    int64_t last_commit_us;    /* duration of the latest commit */
    uint64_t anchor_size;      /* latest anchored; lags behind size by at most a second unless the anchor cannot be written */
    uint64_t jobs;             /* taken and not answered yet */
    uint64_t compactions;      /* since the start: each destroyed what an erasure had left in the file */
    int64_t last_compaction_us;/* for which nothing was recorded */
    bool erasing;              /* erased content is still in the file: a compaction is due */
    bool writable;             /* false: the disk is full or read only; why in text */
    char text[160];
};
void pipeline_stats(const struct pipeline *p, struct pipeline_stats *out); /* any thread */

#endif
