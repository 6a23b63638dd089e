/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replayer: derives a ledger again from its entries, with the machine that the daemon writes with (machine.h), and goes on after a restart
 * where it stood. Under `ledgerctl audit` and under an auditing witness.
 *
 * Happy path: replayer_open; replay_read, or replayer_feed for each portion and replayer_wait; replayer_checkpoint gives the root that the
 * entries lead to at a size at which a batch ends; replayer_save; replayer_close.
 *
 * Threads: one caller at a time, who is also the one that runs the machine, in order. Signatures are verified beforehand by threads of
 * the replayer, under the public key behind the key id that each names; the machine asks again whether that is the signer's key at that
 * place of the log. Callbacks come in the caller's thread, from within replayer_feed, replayer_wait and replayer_save.
 *
 * State: with a folder, everything that the machine knows is kept there (replay_store.h) and memory stays bounded for any number of
 * entries; entries too, since a correction is judged against the event that it corrects. Saved at seals, every REPLAY_SAVE_ENTRIES or on
 * request; what came after the last save is replayed again. Without a folder everything is in memory.
 *
 * Failure: what is wrong with the ledger ends the replay at that entry and is no error of the program: `step` says what was found. Errors of
 * the program (memory, disk) are returned, and the replayer is then of no further use: open it again.
 */
#ifndef LEDGERD_CLIENT_REPLAYER_H
#define LEDGERD_CLIENT_REPLAYER_H

#include "client.h"
#include "machine.h"

#define REPLAY_SAVE_ENTRIES 16384u
#define REPLAY_NOTE_NAME_MAX 60

struct replayer;

enum replay_outcome {
    REPLAY_DERIVED = 0, /* every byte of the header follows from the entries before, event and signatures */
    REPLAY_FAILED,      /* it does not, or cannot be derived: rc and verdict say why. The replay ends here */
    REPLAY_AFTER,       /* stands behind the entry that ended the replay (with go_on) */
};
struct replay_step {
    enum replay_outcome outcome;
    const struct read_entry *entry;
    /* FAILED. ETAMPER: does not hold. EVERSION: needs a newer program. EDENIED: its content is withheld. */
    enum ledger_rc rc;
    const struct verdict *verdict;
};

struct replayer_options {
    bool skip_signatures; /* a state folder remembers which it was, and is refused for the other */
    bool go_on;           /* entries behind the one that ended the replay are taken, and handed to `step` */
    unsigned threads;     /* that verify signatures; 0: one for each core */
    void (*step)(void *user, const struct replay_step *s); /* each entry, in order; may be NULL */
    /* Before a save: the time for replayer_put_note of what belongs to the saved size. An error is handed on. May be NULL. */
    enum ledger_rc (*saving)(void *user, struct ledger_err *err);
    void *user;
};

/* Opens the state in `dir` (made if it is not there; NULL: in memory). `origin` and `index_key` say which ledger is meant. EINVAL: the folder
 * holds something else, another ledger, or is damaged; EVERSION: made by a newer program; EBUSY; EIO; ENOMEM. Owned by the caller. */
enum ledger_rc replayer_open(const char *dir, const char *origin, const struct hash *index_key, const struct replayer_options *o,
                             struct replayer **out, struct ledger_err *err) LEDGER_MUST_USE;
/* Ends the threads and drops what was not saved. NULL is allowed. */
void replayer_close(struct replayer *r);

/* Entries derived so far: the index of the next one, or of the one that ended the replay. */
uint64_t replayer_size(const struct replayer *r);
/* Entries taken so far: the index that the next portion must begin with. */
uint64_t replayer_next(const struct replayer *r);
/* Size at the latest seal: what can be saved and cosigned. */
uint64_t replayer_sealed(const struct replayer *r);
/* OK, or why the replay ended, with *v. */
enum ledger_rc replayer_ended(const struct replayer *r, struct verdict *v);

/*
 * Takes the next n entries, as read and verified by CALL_ENTRIES, and derives some of those taken before. They are borrowed until
 * `release` (may be NULL: until replayer_wait) was called with `owner`; that happens also after an error.
 * Returns what ended the replay (unless go_on), or an error of the program.
 */
enum ledger_rc replayer_feed(struct replayer *r, const struct read_entry *e, size_t n, void (*release)(void *owner), void *owner,
                             struct ledger_err *err) LEDGER_MUST_USE;
/* Derives everything that was taken. */
enum ledger_rc replayer_wait(struct replayer *r, struct ledger_err *err) LEDGER_MUST_USE;
/* Waits, then saves, if the last derived entry is a seal (else nothing is done) and there is a folder. */
enum ledger_rc replayer_save(struct replayer *r, struct ledger_err *err) LEDGER_MUST_USE;

/* The root at a size at which a batch ends. ENOTFOUND: none ends there; EIO: the state folder is damaged or cannot be read. Waits for nothing. */
enum ledger_rc replayer_checkpoint(struct replayer *r, uint64_t size, struct hash *root, struct ledger_err *err) LEDGER_MUST_USE;
/* Root of the first `size` entries, for any size up to replayer_size. */
bool replayer_root(struct replayer *r, uint64_t size, struct hash *root) LEDGER_MUST_USE;
/* The same as a frontier, for a cursor of CALL_ENTRIES that goes on at replayer_size. */
bool replayer_cursor(struct replayer *r, struct entries_cursor *out) LEDGER_MUST_USE;
/* The machine, for what it knows at its size: map root, states (kv), log key. Borrowed; not to be changed. */
struct machine *replayer_machine(struct replayer *r);

/* Rows of the caller's own that are saved with the state: name of at most REPLAY_NOTE_NAME_MAX bytes. ENOTFOUND; a value is borrowed until the
 * next call. */
enum ledger_rc replayer_put_note(struct replayer *r, const char *name, struct span value, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc replayer_get_note(struct replayer *r, const char *name, struct span *value, struct ledger_err *err) LEDGER_MUST_USE;

/*
 * Reads from a server and feeds, from where the replayer stands to `end` (0: the newest checkpoint; beyond it: what there is), then waits.
 * *last (owned by the caller; reply_free; NULL if nothing was to be read) is the last answer: its snapshot is the checkpoint that vouches for
 * what was read. While one portion is derived the next is on its way. Returns what ended the replay (unless go_on), the error of the call
 * (with *last its reply), or an error of the program.
 */
struct replay_read {
    struct ledger_client *client;
    struct replayer *replayer;
    uint64_t end;
    struct entries_cursor *at; /* where to begin, and on return where the next portion would; NULL: where the replayer stands */
    bool log_only;             /* as in struct call_request: for a witness, who reads before it cosigns */
    bool headers_only;         /* as if all content were withheld */
    unsigned timeout_ms; /* for each portion; 0: the client's */
    void (*progress)(void *user, uint64_t done, uint64_t total); /* may be NULL */
    bool (*stop)(void *user); /* asked between portions; true: ECANCELED. May be NULL */
    void *user;
};
enum ledger_rc replay_read(const struct replay_read *rq, struct reply **last, struct ledger_err *err) LEDGER_MUST_USE;

#endif
