/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service: what the files of the witness service share (witness.h). Private to ledgerd/witness/.
 *
 * Threads: everything belongs to the thread that runs rounds (during witness_ask, the one that starts the ledger), but for what is
 * marked as being under the lock.
 */
#ifndef LEDGERD_WITNESS_SERVICE_H
#define LEDGERD_WITNESS_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include "../files.h"
#include "post.h"
#include "witness.h"
#include "witnessed.h"

#define WITNESS_URL_MAX 300
#define WITNESS_LINE_MAX 512      /* a cosignature line: a name and 76 bytes in base64 */
#define WITNESS_TEXT_MAX 512      /* a checkpoint's text: origin, size, root */
#define WITNESS_NOTE_MAX 4096     /* with the log's signature */
#define WITNESS_TRIES_MAX 4       /* answers 409 in one round */
#define WITNESS_BACKOFF_MS_MIN 500
#define WITNESS_ARENA ((size_t)4 << 20)

/* Under the lock. */
struct witness_counts {
    uint64_t size;         /* the largest that it has cosigned for us */
    int64_t success_ms;    /* monotonic; 0: never */
    uint64_t failures;
};

struct witness {
    const char *name;      /* of the policy */
    const struct note_key *key;
    char url[WITNESS_URL_MAX]; /* "": it has none and is not asked */
    /* Its latest word. */
    uint64_t known;        /* size that it says it has seen */
    bool ahead;            /* … which is more than this ledger holds */
    bool checking;         /* it is being asked for the checkpoint that it has cosigned (fork.c) */
    /* What is under way. */
    bool busy;
    uint64_t sent_old, sent_size;
    char text[WITNESS_TEXT_MAX]; /* of the checkpoint that was sent */
    size_t text_n;
    unsigned tries;
    /* After failures. */
    unsigned failed;       /* in a row */
    int64_t not_before_ms;
    /* For the present round's checkpoint. */
    char line[WITNESS_LINE_MAX];
    size_t line_n;         /* 0: none yet */
    struct witness_counts counts;
};

struct witness_service {
    char path[FILES_PATH_MAX]; /* DIR/witnessed */
    struct store *store;
    void (*published_cb)(void *ctx);
    void (*fenced_cb)(void *ctx, const struct ledger_err *why);
    void *ctx;
    bool fenced;               /* another process signs as this ledger: proven */
    struct policy *policy;
    unsigned interval_ms, linger_ms, retry_ms, start_ms;
    struct crypto *c;
    struct arena *a;           /* scratch */
    struct posts *posts;
    struct witnessed *newest;
    _Atomic uint64_t committed;
    atomic_bool stopping;
    /* The round's checkpoint. */
    uint64_t size;             /* 0: no round yet */
    struct hash root;
    uint8_t note[WITNESS_NOTE_MAX]; /* with the log's signature */
    size_t note_n, text_n;     /* text: the beginning of the note */
    bool met;                  /* its quorum */
    int64_t begun_ms, met_ms;
    unsigned n;
    struct witness witnesses[POLICY_MAX];
    /* During witness_ask: what a witness has said that this store contradicts. */
    bool asking;
    struct ledger_err contradiction; /* rc OK: nothing */
    pthread_mutex_t lock;      /* of counts */
    pthread_t thread;
    bool started;
};

int64_t witness_now_ms(void); /* monotonic */

/* round.c */
/* Sends the newest checkpoint to whoever may have it now. Returns how many were asked. */
unsigned round_begin(struct witness_service *s);
/* Takes the answers that are there. */
void round_answers(struct witness_service *s);
/* How long until there may be something to do, in milliseconds; −1: until something is committed or answered. */
int round_pause_ms(const struct witness_service *s);
/* Is a request still under way? */
bool round_busy(const struct witness_service *s);

/* Never goes back: the rounds' thread may see a commit in the store before it is told of it. Any thread. */
static inline void service_committed(struct witness_service *s, uint64_t size)
{
    uint64_t known = atomic_load(&s->committed);
    while (known < size && !atomic_compare_exchange_weak(&s->committed, &known, size))
        ;
}

/* fork.c */
/* Asks for the checkpoint that the witness has cosigned instead of ours. */
void fork_ask(struct witness_service *s, unsigned i);
/* Its answer, whose number is POLICY_MAX + i. If it proves that another process signs as this ledger, fenced_cb is called, once. */
void fork_take(struct witness_service *s, const struct post_answer *answer);
/* The proof that an earlier run has kept. ETAMPER: it contradicts this store. s->note is a checkpoint of it. */
enum ledger_rc fork_kept(struct witness_service *s, struct ledger_err *err) LEDGER_MUST_USE;

/* keep.c */
/* Reads what was kept at DIR/witnessed. OK: it was taken, or there is none, or it is of no use any more (logged). ETAMPER: it is signed by
 * this ledger and this store does not continue it. */
enum ledger_rc keep_load(struct witness_service *s, struct ledger_err *err) LEDGER_MUST_USE;
/* Publishes the round's checkpoint with the lines that have come, if they meet the quorum. */
void keep_publish(struct witness_service *s);

#endif
