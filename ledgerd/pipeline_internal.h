/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline_internal: what pipeline.c, workers.c and writer*.c share.
 *
 * There is one queue, in the order of submission. A job in it is new, taken by a worker, or ready;
 * the writer takes ready jobs from the front only, so that requests of one connection are judged in
 * the order in which they came, whichever worker was faster. The lock is held for list operations
 * alone.
 */
#ifndef LEDGERD_PIPELINE_INTERNAL_H
#define LEDGERD_PIPELINE_INTERNAL_H

#include <pthread.h>

#include "machine.h"
#include "pipeline.h"
#include "store/store.h"

#define WORK_BUDGET ((size_t)64 << 20)     /* decoding one request */
#define SCRATCH_BUDGET ((size_t)512 << 20) /* the writer's */
#define BATCH_BUDGET ((size_t)512 << 20)   /* rows of one batch */
#define BATCH_LINKS_MAX 4096 /* ends a batch early, far below LMDB's limit on dirty pages */
#define CHECKPOINT_NOTE_MAX 4096
#define US_PER_S INT64_C(1000000)

enum work_state { WORK_NEW = 0, WORK_TAKEN, WORK_READY };

/* One event, as the worker left it. */
struct work_event {
    bool refused; /* why is in the job's result */
    struct event ev;
    const uint8_t *path; /* of its id in the tree of the request's ids */
    size_t path_n;
    struct span block; /* SPAN_NONE when the signatures could not be made into one */
};
/* What a job's scratch points to. It lives in an arena of its own, which goes when the job is
 * answered. */
struct work {
    enum work_state state;
    struct arena *a;
    struct job *job;
    struct work_event *events;
    struct sigblock block; /* what the events' blocks have in common */
    struct preverified pre;
    struct refusal signatures_why; /* why no block could be made; code REFUSE_NONE: it could */
    struct hash root;              /* of the event ids */
};

struct clock_watch {
    struct pipeline_clock source;
    int64_t real_base, monotonic_base;
};

/* A chain's record as it was when it was compared with its head, or as the writer wrote it itself. */
#define KNOWN_RECORDS 1024 /* a power of two */
struct known_record {
    struct hash key;
    size_t n; /* 0: none */
    uint8_t bytes[1496];
};

struct writer {
    struct pipeline *p;
    struct crypto *c;
    struct arena *a;
    struct worker *worker; /* for a job that comes while there is nothing to write */
    struct machine m;
    struct kv stored;     /* the store's write transaction */
    struct kv txn;        /* the same, its chains checked before they are judged upon */
    struct kv rows;       /* kv of `batch` */
    struct kv_mem *batch; /* over txn */
    struct kv_mem *group; /* over rows: one all-or-nothing request */
    struct note_key key;
    struct clock_watch clock;
    struct hash root; /* of the latest checkpoint */
    size_t note_n;
    uint8_t note[CHECKPOINT_NOTE_MAX]; /* its signed note */
    uint64_t note_size;
    int64_t rotten_us;     /* CLOCK_MONOTONIC: when it was last told that what is stored does not verify */
    struct ledger_err rotten; /* of the open batch: what did not; rc OK: nothing yet */
    bool held; /* the epoch entry waits for hold_cb */
    int64_t sealed_us; /* CLOCK_MONOTONIC: when the last seal was written or tried */
    uint64_t batch_links;
    bool ordinary;         /* the open batch has something else than recalls: the disk's reserve is not for it */
    bool erased;           /* the open batch erases content */
    int64_t compact_due_us; /* CLOCK_MONOTONIC: when what was erased is to be destroyed; INT64_MAX: nothing is due */
    struct known_record known[KNOWN_RECORDS];
};

/*
 * The signature on a checkpoint, made while the batch that it is of is on its way to the disk: by a worker that has nothing else to do, or by the
 * writer afterwards if there was none. It leaves the process only when the batch is durable.
 */
enum signing_state { SIGNING_NONE = 0, SIGNING_WANTED, SIGNING_TAKEN, SIGNING_DONE };
struct signing {
    enum signing_state state;
    const struct checkpoint *cp; /* the writer's, who waits until nobody looks at it any more */
    size_t n;
    uint8_t note[CHECKPOINT_NOTE_MAX];
};

struct pipeline {
    struct pipeline_options o;
    char program[128];
    char origin[ORIGIN_MAX + 1]; /* set before the threads start */
    struct anchor *anchor;
    struct writer w; /* the writer thread's own, once it runs */
    unsigned n_workers, n_started;
    bool writer_started;
    pthread_t *workers;
    pthread_t writer;
    pthread_mutex_t lock;
    pthread_cond_t new_work;   /* for workers, and for the writer where it is idle: ready_work */
    pthread_cond_t ready_work; /* for the writer */
    pthread_cond_t signed_note; /* for the writer */
    /* Under the lock. */
    struct job *head, *tail; /* in order of submission */
    struct job *next_new;    /* first that nobody has taken */
    unsigned jobs;           /* taken and not answered yet */
    struct own_job *own_first, **own_end; /* entries of the ledger's own, in order */
    unsigned own_jobs;                    /* waiting in that list */
    bool idle;               /* the writer waits for work, of any kind */
    bool stopping, dead, fenced; /* fenced: stats.text says why */
    struct signing signing;
    struct pipeline_stats stats;
};

static inline struct work *work_of(const struct job *job)
{
    return job->scratch;
}

/* workers.c */
struct worker;
void *worker_main(void *pipeline);
struct worker *worker_new(struct pipeline *p); /* NULL: out of memory */
void worker_free(struct worker *w);
/* What a worker does to a job that it has taken; without the lock. */
void worker_prepare(struct worker *w, struct job *job);
/* With the lock: the first new job, of which there is one; and it is ready. */
struct job *work_take(struct pipeline *p);
void work_give(struct pipeline *p, struct job *job);
void work_free(struct job *job);

/* writer.c */
enum ledger_rc writer_init(struct writer *w, struct pipeline *p,
                           struct ledger_err *err) LEDGER_MUST_USE;
void *writer_main(void *pipeline);
void writer_fini(struct writer *w);
/* Answers the job: the pipeline does not touch it any more. Any thread of the pipeline, without the
 * lock. */
void pipeline_done(struct pipeline *p, struct job *job);
/* The process must end. Once. */
void pipeline_fatal(struct pipeline *p, const struct ledger_err *err);
/* CLOCK_MONOTONIC, for waiting and measuring; never goes into the log. */
int64_t monotonic_now_us(void);

/* clock.c */
/* The last recorded time is what the clock is expected not to be behind of. */
void clock_watch_start(struct clock_watch *w, int64_t last_recorded_us);
int64_t clock_watch_real_us(const struct clock_watch *w);
/* Has the clock been stepped by more than a minute against the monotonic one? Then both
 * readings. */
bool clock_watch_stepped(const struct clock_watch *w, int64_t *clock_us, int64_t *expected_us);
/* From here on the clock is believed again. */
void clock_watch_accept(struct clock_watch *w, int64_t clock_us);

/* Under the lock. */
void stats_trouble(struct pipeline *p, const struct ledger_err *err);

/* writer_batch.c */
/* One transaction with the jobs at the front of the list, at least one; *rest is what did not fit.
 * OK: all of them have been answered. ENOMEM, EFULL, ELIMIT: nothing was recorded, none was
 * answered. Anything else: fatal. */
enum ledger_rc writer_batch(struct writer *w, struct job *jobs, struct job **rest,
                            struct ledger_err *err) LEDGER_MUST_USE;
/* A batch of the ledger's own: an epoch entry, or nothing but the seal. */
enum ledger_rc writer_own(struct writer *w, enum own_kind kind,
                          struct ledger_err *err) LEDGER_MUST_USE;
/* A batch of one own_job's entry. OK: *size is the checkpoint's. EINVAL, EVERSION: the payload is not what
 * may come next; ENOMEM, EFULL, ELIMIT: no room: nothing was recorded. Anything else: fatal. */
enum ledger_rc writer_record(struct writer *w, struct own_job *job,
                             struct ledger_err *err) LEDGER_MUST_USE;

/* writer_stored.c: begins a transaction whose reads are checked. */
enum ledger_rc writer_begin(struct writer *w, struct ledger_err *err) LEDGER_MUST_USE;
/* writer_sign.c: signing while the batch is being written. wanted: somebody may begin to sign it; *cp must stay until writer_sign or unwanted. */
void writer_sign_wanted(struct writer *w, const struct checkpoint *cp);
/* Nothing was recorded, or nobody knows: what was signed is forgotten. */
void writer_sign_unwanted(struct writer *w);
/* Signs a committed checkpoint, if nobody has yet, and keeps the note as the latest. */
void writer_sign(struct writer *w, const struct checkpoint *cp);
/* A worker's part: signs what is wanted. With the lock, which is given up meanwhile. */
void signing_help(struct pipeline *p, struct crypto *c, struct arena *a);

/* writer_erase.c: after an erasure was committed. Destroys the bytes of what was erased; EFULL, ENOMEM, EIO: not now, it is due
 * again in a minute. EINTERNAL: fatal. */
enum ledger_rc writer_compact(struct writer *w, struct ledger_err *err) LEDGER_MUST_USE;
/* From the start: is a compaction due that the opening of the store could not do? */
void writer_compact_init(struct writer *w);

/* judge_job.c */
/* Judges all events of the job and appends those that are accepted to the open batch. Fills
 * results, except paths. OK also when events were refused. */
/* The same for an act of the ledger that persons sign. */
enum ledger_rc judge_own(struct writer *w, struct job *job, int64_t recorded_us,
                         struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc judge_job(struct writer *w, struct job *job, int64_t recorded_us,
                         struct ledger_err *err) LEDGER_MUST_USE;

#endif
