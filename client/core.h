/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core: what the files of the running client share: the client, its calls, and the session with the server.
 *
 * Threads. A caller's thread makes a call and puts it into the *inbox* (under the mutex); from then on it belongs to the library's
 * thread, which alone touches everything below "library's thread". Replies are handed over with the callback.
 *
 * A call's life: QUEUED (waits for a connection or for room on it) → SENT (a request of it is on the wire) → maybe QUEUED again (a
 * lost connection, a busy server, a next step) → TRUSTING (its answer is verified against a checkpoint that is still being proven
 * consistent) → ended: its reply goes to the callback, exactly once.
 */
#ifndef LEDGERD_CLIENT_CORE_H
#define LEDGERD_CLIENT_CORE_H

#include <pthread.h>

#include "client.h"
#include "connection.h"
#include "followed.h"
#include "message.h"
#include "pins.h"
#include "trust.h"

#define REPLY_BYTES_MAX ((size_t)1 << 30)      /* arena of one reply */
#define CALL_BYTES_MAX ((size_t)16 << 20)      /* arena of one call's request */
#define SCRATCH_BYTES_MAX ((size_t)32 << 20)
/* Requests on the wire at once, consistency proofs included, and streams among them: at most these, and at most three quarters of
 * what the server says that it takes, since a proof may be asked for at any time. */
#define WINDOW_REQUESTS_MAX 48u
#define WINDOW_STREAMS_MAX 6u
#define PENDING_BYTES_MAX ((size_t)8 << 20)    /* no further request is written above this */
#define ATTEMPT_MS_MAX 10000u                  /* dialling, TLS and hello together */
#define BACKOFF_MS_MIN 50u
#define BACKOFF_MS_MAX 5000u
#define PIN_EVERY_MS 200u                      /* the pin on disk is at most this old */
#define STREAM_CREDIT 32u
#define ANSWER_MS_MAX 600000u                  /* how long an answer in many parts may take while they come, as the server has it (docs/protocol.md) */
#define QUORUM_WAIT_MS_MAX 10000u              /* how long an answer waits for the policy's witnesses, within its own time */
#define QUORUM_AGAIN_MS 250u                   /* what the ledger calls witnessed may not be what the policy demands */
#define ACCUSE_MS_MAX 5000u                    /* how long evidence may take that is asked for */
#define CLOCKS_DIFFER_S 300                    /* that far the ledger's clock may be ahead of this machine's */

enum call_state { CALL_QUEUED = 0, CALL_SENT, CALL_TRUSTING };

/* What a call does after a response. */
enum call_step {
    STEP_MORE,  /* the stream goes on */
    STEP_NEXT,  /* send the next request */
    STEP_LATER, /* send it in a moment */
    STEP_TRUST, /* answered and verified; what is left is its checkpoint (if it has one) */
    STEP_FAILED,/* the error is in the reply */
};

struct call;
struct call_ops {
    /* The request to be sent now, in the arena. SPAN_NONE: out of memory. */
    struct span (*request)(struct ledger_client *cl, struct call *k, struct arena *a, uint64_t id);
    /* Takes a response (never an error), decoded in the reply's arena. */
    enum call_step (*answer)(struct ledger_client *cl, struct call *k, const struct message *m);
    /* The time is over. True: what there is so far is a good answer (nothing new in a quiet log). May be NULL. */
    bool (*expire)(struct ledger_client *cl, struct call *k);
    bool stream; /* a request that is given up has to be cancelled */
};

struct call {
    struct call *next;
    struct call_request rq;
    struct arena *a;         /* copies of what rq points to */
    const struct call_ops *ops;
    reply_cb cb;
    void *user;
    unsigned timeout_ms, attempts;
    uint64_t deadline_ms, latest_ms, not_before_ms; /* each part of an answer moves the deadline, up to the latest */
    bool parted;             /* parts of the answer have come */
    enum call_state state;
    uint64_t id;             /* of the request on the wire */
    uint64_t floor;          /* size that was trusted when the request was sent: no answer may stand on less */
    bool quorum;             /* what was asked for is answered and verified; the quorum is being asked for */
    uint64_t quorum_until_ms;/* 0: it was not asked for yet */
    bool proven, witnessed_proven; /* TRUSTING: the reply's checkpoints; kept, for the trust may forget old ones meanwhile */
    bool unresolved;         /* submit: an earlier attempt was sent and never answered */
    bool busy;               /* the server was busy when it was asked last */
    struct reply *reply;
    void *work;              /* of the operation; in the reply's arena; NULL after a restart */
    size_t n_also;           /* further checkpoints that have to be trusted before the reply is good */
    struct checkpoint also[SNAPSHOT_NOTES_MAX];
};

enum session_state { SESSION_IDLE = 0, SESSION_PAUSE, SESSION_DIALLING, SESSION_HELLO, SESSION_TRUSTING, SESSION_READY,
    SESSION_ACCUSING, /* the ledger contradicts itself; no call goes on, and it is only asked for what proves it (session_accuse.c) */
};

/* Two checkpoints that contradict each other, while the server is asked for more. Copies, in an arena of their own; a NULL: none. */
struct accusation {
    struct arena *a;
    uint64_t request_id, until_ms;
    const char *what;
    struct checkpoint small; /* the smaller of the two */
    struct span small_note;
    struct trust_conflict conflict;
};

struct ledger_client {
    const struct ledger_profile *profile;
    char program[128];
    unsigned timeout_ms, first_contact_ms, calls_max;
    unsigned waiting;        /* callers in wait_for_room, under the mutex */
    struct connection *connection;

    /* ---- shared, under the mutex ---- */
    pthread_mutex_t mutex;
    pthread_cond_t room;     /* a call ended */
    struct call *inbox, **inbox_end;
    unsigned calls;          /* alive, in the inbox or beyond */
    bool closing;
    struct log_key_in_force in_force;

    /* ---- library's thread ---- */
    struct policy *policy;   /* the profile's, and the log keys that were followed since; owned */
    struct policy *settled;  /* the same without those that are still being proven */
    struct followed keys, keys_new; /* followed by this client; and still being proven */
    bool keys_asked;         /* on this connection */
    bool keys_doubted;       /* a connection was given up for an unknown key, and no change was followed since */
    uint64_t keys_id;
    size_t newest_n;         /* the server's newest checkpoint, which waits for them */
    uint8_t newest[NOTE_SIZE_MAX];
    struct crypto *c;
    struct arena *scratch;
    struct policy *log_policy; /* the profile's, without its quorum; never changed */
    struct call *list, **list_end; /* in the order in which they were made */
    struct trust trust;
    enum session_state state;
    uint64_t next_id, hello_id, recheck_id;
    uint64_t attempt_deadline_ms, dial_at_ms, first_dial_ms;
    unsigned failures;       /* attempts that failed in a row */
    bool contacted;          /* a hello was ever answered */
    struct ledger_err last;  /* why the last attempt failed */
    bool tampered;           /* every call ends with `evidence` */
    struct ledger_err evidence;
    uint64_t pinned_size;    /* on disk, by us or by others */
    uint64_t pin_written_ms;
    struct accusation accusation;
    const struct snapshot_claim *at_hand; /* what is being looked at, should it have to be kept as evidence */
    char server_program[128], server_name_for_us[256];
    unsigned version;
    unsigned window_requests, window_streams;
};

/* ---- client.c ---- */
/* Ends a call with what its reply says: takes it off the list, hands the reply over, frees the call. */
void call_end(struct ledger_client *cl, struct call *k);
/* Ends it with an error. */
void call_fail(struct ledger_client *cl, struct call *k, enum ledger_rc rc, const char *fmt, ...) LEDGER_PRINTF(4, 5);
/* Forgets what an operation has gathered so far. */
void call_restart(struct call *k);
const struct call_ops *call_ops_of(enum call_op op); /* NULL for CALL_CONNECT */

/* ---- session.c: in the library's thread ---- */
extern const struct connection_events session_events;
/* A verifier whose results live in `a`. */
struct verifier session_verifier(struct ledger_client *cl, struct arena *a);

/* The same under the policy without its quorum, which is asked for separately (session_quorum.c). */
struct verifier session_log_verifier(struct ledger_client *cl, struct arena *a);

/* ---- session_quorum.c ---- */
/* An answer is verified under the log's signature. Does it have to wait for the policy's witnesses? */
bool quorum_wanted(const struct ledger_client *cl, const struct call *k);
/* From here on the call asks for the quorum. */
void quorum_begin(struct call *k);
/* Must the answer to this request be cosigned from the beginning (receipts)? */
bool quorum_demanded(const struct ledger_client *cl, const struct call *k);
/* Is this verdict the quorum that the policy demands, or at least one witness where it demands none? */
bool quorum_holds(const struct ledger_client *cl, const struct policy_verdict *trust);
/* Time that is left for it, in milliseconds; the first call begins it. */
uint32_t quorum_wait_ms(struct call *k);
struct span quorum_request(struct ledger_client *cl, struct call *k, struct arena *a, uint64_t id);
enum call_step quorum_answer(struct ledger_client *cl, struct call *k, const struct message *m);
/* An Error in its place. True: the call was dealt with. */
bool quorum_error(struct ledger_client *cl, struct call *k, const struct message_error *e);
/* Its time is over: ESTALE. */
enum call_step quorum_missing(struct ledger_client *cl, struct call *k);
/* Ends a call that is answered in everything but the quorum, with the error that is in its reply. */
void quorum_fail(struct ledger_client *cl, struct call *k);
/* Takes the newest witnessed checkpoint that came with a snapshot. False: step_bad, or the session is over. */
bool quorum_see(struct ledger_client *cl, struct call *k, struct span note) LEDGER_MUST_USE;
/* Everything is proven: what the witnessed checkpoint adds to the answer. */
void quorum_finish(struct ledger_client *cl, struct call *k);

/* ---- session_trust.c ---- */
/* A note under the policy: signed by the log. (Its witnesses are asked for where a snapshot is verified: when an answer to a
 * submission leaves the ledger no witness can have seen it.) */
bool session_check_note(struct ledger_client *cl, struct arena *a, struct span note, struct checkpoint *cp,
                        struct policy_verdict *trust, struct verdict *v) LEDGER_MUST_USE;
/* Learns of a checked checkpoint and asks for what proves it consistent. False: the session is over (evidence, or out of memory). */
bool session_see(struct ledger_client *cl, const struct checkpoint *cp, struct span note) LEDGER_MUST_USE;
/* Is this response to one of our consistency requests? Then it is dealt with. */
bool session_take_proof(struct ledger_client *cl, const struct message *m) LEDGER_MUST_USE;
/* Is anything still waiting for a proof? */
bool session_settled(const struct ledger_client *cl);
/* Writes the newest trusted checkpoint to disk, if it is due (or at once). False: the session is over. */
bool session_pin(struct ledger_client *cl, bool at_once, struct ledger_err *err);
/* The same for a snapshot: its seal is kept with it, for evidence tells more with it. */
bool session_see_sealed(struct ledger_client *cl, const struct checkpoint *cp, const struct snapshot_claim *claim) LEDGER_MUST_USE;
/* Keeps evidence and ends every call, now and later, with ETAMPER. */
void session_tampered(struct ledger_client *cl, const struct trust_conflict *conflict, const char *what);

/* The same for what the server says and nobody has signed: kept as a claim. */
void session_lied(struct ledger_client *cl, const char *what, struct span answer);

/* A call failed because its answer does not verify: keeps the answer's bytes as a claim, and says where in the call's error. */
void session_keep_answer(struct ledger_client *cl, struct call *k, struct span answer);

/* ---- session_accuse.c ---- */
/* The server cannot connect two of its checkpoints: asks it once for the entry at the end of the smaller one, and ends the session with what
 * evidence there is then. Until then the session is ACCUSING. */
void session_accuse(struct ledger_client *cl, const struct trust_conflict *conflict, const char *what);
/* A message while accusing; NULL: there will be none any more (no connection, no time). Ends the session once there is nothing to wait for. */
void accuse_take(struct ledger_client *cl, const struct message *m);

/* ---- session_keys.c ---- */
bool keys_init(struct ledger_client *cl) LEDGER_MUST_USE;
void keys_fini(struct ledger_client *cl);
/* The connection is gone: what was not proven is forgotten. */
void keys_forget(struct ledger_client *cl);
/* Has the server to be asked how its key has changed, to judge this checkpoint? Once on a connection. */
bool keys_wanted(const struct ledger_client *cl, const struct checkpoint *cp, const struct policy_verdict *trust) LEDGER_MUST_USE;
/* Asks; the checkpoint waits. False: the session is over. */
bool keys_ask(struct ledger_client *cl, struct span note) LEDGER_MUST_USE;
/* Takes the answer. True: *newest is the checkpoint that has waited, to be judged again. False: the session is over. */
bool keys_take(struct ledger_client *cl, const struct message *m, struct span *newest) LEDGER_MUST_USE;
/* All is proven: keeps what was followed. */
bool keys_settle(struct ledger_client *cl, struct ledger_err *err) LEDGER_MUST_USE;
/* A checkpoint that was signed with a log key that signs no checkpoints of its size: ends the session with evidence. */
void keys_misused(struct ledger_client *cl, const struct policy_verdict *trust, struct span note, const char *what);
/* Has an answer failed because its checkpoint is signed by a key that was not in force when the connection was made? Then a new connection
 * finds out; once, unless it followed a change. */
bool keys_changed(struct ledger_client *cl, const struct reply *r) LEDGER_MUST_USE;
/* What was followed so far, for receipts … */
const struct message_log_keys *keys_followed(const struct ledger_client *cl);
/* … and for what is made of a proof: a copy in the reply. False: out of memory, in the reply's error. */
bool keys_show(const struct ledger_client *cl, struct call *k) LEDGER_MUST_USE;

/* ---- session.c, for the other two ---- */
/* Ends the connection; what was under way is sent again after a pause, until its deadline. */
void session_lost(struct ledger_client *cl, const struct ledger_err *why);
/* Ends the connection and every call with an error that trying again would not cure. */
void session_fail_all(struct ledger_client *cl, const struct ledger_err *why);
uint64_t session_id(struct ledger_client *cl);
/* Sends a message (SPAN_NONE: out of memory). False: the session is over. */
bool session_send(struct ledger_client *cl, struct span message);
/* The error that an Error message stands for. */
enum ledger_rc rc_from_message(const struct message_error *e);

/* ---- for the operations (call_*.c) ---- */
enum call_step step_fail(struct call *k, enum ledger_rc rc, const char *fmt, ...) LEDGER_PRINTF(3, 4);
enum call_step step_no_memory(struct call *k);
/* A verification failed: the verdict is in the reply. */
enum call_step step_bad(struct call *k);
/* Verifies a snapshot into the reply and learns of it. */
bool step_snapshot(struct ledger_client *cl, struct call *k, const struct snapshot_claim *claim) LEDGER_MUST_USE;
/* One more response may be sent on this call's stream. */
void step_credit(struct ledger_client *cl, struct call *k);

extern const struct call_ops ops_snapshot, ops_submit, ops_prove, ops_entries, ops_find, ops_receipt, ops_status, ops_consistency;

#endif
