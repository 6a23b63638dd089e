/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_folder: the folder of a witness, and what its service does with it. For the files witness*.c.
 *
 * DIR/
 *   key          the witness's signing key (a key file, mode 0600)      vkey     its verifier key, for policies
 *   policy       `log` lines (c2sp.org/tlog-policy): which logs it cosigns for
 *   state/HEX    for each origin, HEX = SHA-256 of it: the latest cosigned checkpoint, a signed note. Replaced atomically and
 *                fsynced before an answer leaves. A damaged one is refused: it never starts over silently.
 *   evidence/    what logs have signed that cannot both be true: evidence files (docs/format.md, section 17)
 *   stopped/HEX  an auditing witness cosigns for this log no more: when, and why. Whoever knows better deletes it
 *   audit/HEX/   what its replay has derived of the ledger (replay_store.h); audit/HEX.replayed: how much is kept, for `status`
 *   lock         held by the one process that runs it                  address  while it runs: ADDRESS:PORT
 */
#ifndef LEDGERD_CTL_WITNESS_FOLDER_H
#define LEDGERD_CTL_WITNESS_FOLDER_H

#include "ctl.h"
#include "key.h"
#include "witness.h"
#include "witness_http.h"


#define WITNESS_LISTEN "127.0.0.1:7463"

#define WITNESS_WHY_MAX 400

/* One origin of the policy. */
struct witness_log {
    const struct witness_origin *origin;
    char hex[2 * HASH_LEN + 1];    /* of SHA-256(origin) */
    struct witness_record record;  /* its note is in `bytes` */
    uint8_t *bytes;                /* owned */
    char stopped[WITNESS_WHY_MAX]; /* as it was when the folder was opened; "": it has not */
    bool audited;                  /* when the folder was opened: this witness has audited it … */
    bool known_replayed;           /* … up to … */
    uint64_t replayed;
    struct auditor *auditor;       /* NULL: a plain witness of this log */
    unsigned forks_kept;           /* evidence files since it was opened */
    int64_t signed_s;              /* when this process made the record, whose last line is its own then; 0: it did not */
};
struct witness {
    struct ctl *ctl;
    const char *dir;
    int lock;                      /* −1: not locked */
    bool making;                   /* by witness_make: what is in it is ours */
    struct ledger_key *key;
    struct note_key vkey;
    char vkey_text[NOTE_NAME_MAX + 200];
    struct witness_logs logs;
    struct witness_log *states;    /* one for each of logs.origins, in their order */
    struct arena *scratch;         /* of one request */
    int64_t complained_us;         /* see witness_complain */
};

/* ---- witness_folder.c ---- */
/* Makes the folder. `logs` are verifier keys for its policy. EXIT_GOOD, or the exit code after a message; then nothing is left behind, and nothing
 * touched that was there. */
int witness_make(struct ctl *ctl, const char *dir, const char *name, const struct ctl_list *logs);
/* Reads everything; with `lock` it also takes the folder for this process. EXIT_GOOD, or the exit code after a message. */
int witness_open(struct ctl *ctl, const char *dir, bool lock, struct witness *out);
void witness_close(struct witness *w);
/* "DIR/name", in the invocation's arena. */
const char *witness_path(const struct witness *w, const char *name);
struct witness_log *witness_find(struct witness *w, struct span origin);   /* NULL: not in the policy */
struct witness_log *witness_find_hex(struct witness *w, const char *hex);
/* Makes a record durable, and then the present one. On an error the former stays. */
enum ledger_rc witness_keep(struct witness *w, struct witness_log *log, const struct witness_record *record, struct ledger_err *err)
    LEDGER_MUST_USE;
/* The folder DIR/name, made durably if it is not there. Any thread. */
enum ledger_rc witness_make_folder(const struct witness *w, const char *name, struct ledger_err *err) LEDGER_MUST_USE;
/* Writes the record and this note into an evidence file, whose path goes into `path`. *kept is false if these two are in one already; ELIMIT: there are
 * enough of this log since the start. */
enum ledger_rc witness_keep_fork(struct witness *w, struct witness_log *log, const struct checkpoint *cp, struct span note,
                                 char path[PROFILE_PATH_MAX], bool *kept, struct ledger_err *err) LEDGER_MUST_USE;
/* An auditor's words on disk; any thread. */
enum ledger_rc witness_write_stopped(const struct witness *w, const struct witness_log *log, const char *why, struct ledger_err *err)
    LEDGER_MUST_USE;
enum ledger_rc witness_write_replayed(const struct witness *w, const struct witness_log *log, uint64_t size, struct ledger_err *err)
    LEDGER_MUST_USE;
/* "witness NAME VKEY URL": a line of a policy. */
const char *witness_policy_line(const struct witness *w, const char *url);

/* ---- witness_service.c ---- */
/* A line of the log, on standard error; any thread. */
void witness_say(struct witness *w, const char *fmt, ...) LEDGER_PRINTF(2, 3);
/* The same for what anybody can cause: at most one line a second. */
void witness_complain(struct witness *w, const char *fmt, ...) LEDGER_PRINTF(2, 3);
/* Answers one request (http_answer_cb, ctx is the witness). */
bool witness_answer(void *ctx, const struct http_request *rq, struct http_answer *out);

#endif
