/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: the library's inner interface, shared by the public functions (include/ledgerd) and by ledgerctl. A client is a
 * connection to one ledger, kept by a thread of its own; a *call* is one question or one submission; a *reply* is its
 * verified answer.
 *
 * Nothing reaches a caller unverified: checkpoints are checked under the profile's policy and proven consistent with the pin
 * (pins.h), entries and chains with verify.h. The one exception is said where it is made: `find` and `status` are on the
 * server's word.
 *
 * Happy path: ledger_client_open, client_call (waits) or client_start (calls back), reply_free, ledger_client_close.
 * Failure: a lost connection is dialled again with growing pauses, and calls that were not answered are sent again, with the same
 * bytes, until their deadline. A call always ends, exactly once. After two signed
 * statements of the ledger contradicted each other, every further call ends with LEDGER_ETAMPER; an answer that does not verify fails its own
 * call with it. Either way the evidence is in a file that the error names.
 * May include: proto/. Knows no libuv (connection.h) and no protobuf-c (message.h).
 */
#ifndef LEDGERD_CLIENT_CLIENT_H
#define LEDGERD_CLIENT_CLIENT_H

#include <string.h>

#include "verify.h"

#include "batch.h"
#include "profile.h"

#include <ledgerd/client.h>

enum call_op {
    CALL_CONNECT = 1, /* until hello is done and the checkpoint is trusted: u.hello */
    CALL_SNAPSHOT,    /* the latest checkpoint with its seal: u.snapshot */
    CALL_SUBMIT,      /* u.submit */
    CALL_PROVE,       /* u.prove */
    CALL_ENTRIES,     /* u.entries */
    CALL_FIND,        /* u.find; on the server's word */
    CALL_RECEIPT,     /* u.receipt */
    CALL_STATUS,      /* u.status; on the server's word */
    CALL_CONSISTENCY, /* u.consistency; not verified here: whoever asks knows the roots */
};

struct chain_name {
    enum chain_type type;
    struct span id; /* cases with their prefix */
};
enum closure { CLOSE_NONE = 0, CLOSE_BACK, CLOSE_FORWARD }; /* numbers as in ledger.proto */

struct prove_request {
    const struct chain_name *chains;
    size_t n;
    enum closure closure;
    bool members, history, related;
    bool history_all, event_related, openings, without_uses; /* as in ledger.proto */
};
/* Notes that others were given: the answer is good only if the server proves that all of them are of one log. EUNTRUSTED if one is
 * not signed by it. */
#define SNAPSHOT_NOTES_MAX 2
struct snapshot_request {
    size_t n;
    struct span notes[SNAPSHOT_NOTES_MAX];
};
struct find_request {
    enum chain_type type;
    struct span state, holder, hold, klass, coi, id_prefix, after; /* as in ledger.proto; absent: not asked */
    int64_t expires_before_us;                                    /* 0: not asked */
    uint32_t limit;                                               /* 0: the server's */
};
struct receipt_request {
    bool by_index;
    uint64_t index;
    struct hash event_id;
    bool witnessed; /* under a checkpoint that the policy's witnesses have cosigned; implied where the policy demands a quorum */
};

/* How far a reading of the log has come: `frontier` is the tree over everything before entry `frontier.size`. A cursor with
 * `next` alone set may begin anywhere: the library fetches what it needs. */
struct entries_cursor {
    uint64_t next;
    bool ready; /* frontier is valid, frontier.size == next */
    struct frontier frontier;
};
struct entries_request {
    struct entries_cursor cursor; /* where to begin */
    uint64_t end;                 /* exclusive; 0: the latest checkpoint */
    unsigned entries_max;         /* in this reply; 0: 2,048 */
    bool headers_only;
    bool follow;                  /* at the end of the log: wait for the next batch, at most until the deadline */
};

/*
 * Where the profile's policy demands a quorum, an answer ends only when a cosigned checkpoint covers what it stands on; if none comes in
 * time it is LEDGER_ESTALE. A submission ends with the log's signature, unless it is asked for at level witnessed: then ESTALE means that
 * everything was recorded (`recorded` is ANSWERED and the results are there), and only the witnesses are missing.
 *
 * Everything that pointers lead to is copied by client_start and client_call; a batch is kept by reference. */
struct call_request {
    enum call_op op;
    bool fresh; /* LEDGER_ESTALE if the snapshot's seal is older than the profile's fresh_within */
    bool log_only; /* the log's signature suffices, whatever quorum the policy demands: for a witness, who reads before it cosigns */
    union {
        struct {
            struct ledger_batch *batch; /* signed */
            bool all_or_nothing;
            bool witnessed;             /* done when the policy's witnesses have cosigned, too */
        } submit;
        struct snapshot_request snapshot;
        struct prove_request prove;
        struct find_request find;
        struct receipt_request receipt;
        struct entries_request entries;
        struct { uint64_t size1, size2; } consistency;
    } u;
};

struct submit_result {
    enum ledger_outcome outcome;
    uint64_t index; /* ACCEPTED, BEFORE; or the recorded entry of a REFUSED duplicate */
    struct span header, path; /* ACCEPTED, BEFORE: verified under the reply's checkpoint */
    int64_t recorded_us;      /* the same */
    struct refusal why;       /* REFUSED */
};
/* A chain that was proven. Its state is kept as the bytes that it was verified from, of which subject_open makes the rest again: decoded it is
 * fifty times as long, and an answer may hold a hundred thousand chains. */
struct proven_subject {
    struct chain_name name;
    struct chain_claim claim; /* what it was verified from */
    bool present, opened;     /* as in proven_chain, like all that follows */
    struct hash key, head;
    uint64_t count, head_index;
    int64_t head_recorded_us;
    size_t n_history;       /* 0, or all entries of the chain */
    struct entry *history;  /* in order; content only where `content` says so */
    struct entry_claim *raw; /* the same entries' bytes; with openings, where they were asked for, not yet verified */
};
/* Notes what verify_chain has filled; name and claim are set already. */
void subject_keep(struct proven_subject *s, const struct proven_chain *pc);
/* The proven chain; of its head only index and recorded time. Borrows from the subject. */
void subject_open(const struct proven_subject *s, struct proven_chain *out);
struct read_entry {
    struct entry_claim raw;
    struct entry entry;
};
struct status_metric {
    const char *name, *text; /* text may be empty */
    double value;
};
#define STATUS_EXPIRY "certificate_days" /* comes several times: once for each certificate, with what it is as text */
/* So do figures of one witness each: the text is its name, and the figure is called NAME:WITNESS. */
static inline bool status_of_witness(const struct status_metric *m)
{
    return strncmp(m->name, "witness_", strlen("witness_")) == 0 && m->text && m->text[0];
}

/* The newest checkpoint that the policy's witnesses have cosigned, as the server showed it: verified, and proven to be of one history
 * with everything else. With `quorum none`: one that any of them has cosigned. */
struct witnessed_note {
    bool present;
    struct checkpoint cp;
    struct policy_verdict trust;
    struct span note;
    int64_t age_s;       /* now minus the time at which they had cosigned, by their clocks */
    size_t n;
    const char **names;  /* of the policy, of those who have */
};

struct reply {
    enum ledger_rc rc;
    struct ledger_err err;
    enum ledger_recorded recorded; /* what is certain about the ledger, also after errors */
    struct verdict verdict;        /* kind is not VERDICT_GOOD if a verification failed */
    struct arena *a;               /* holds everything that the reply points to */
    /* The checkpoint that the answer stands on; not for status. `snapshot.seal` only where has_seal says so (all but hello
     * and submit). `snapshot.trust` is what the policy makes of it, or of the larger checkpoint that was cosigned in its stead: that one,
     * with the same seal, is `cosigned` (its note is absent if the snapshot's own note is the cosigned one). */
    bool has_checkpoint, has_seal;
    struct snapshot snapshot;
    struct snapshot_claim claim;   /* has_seal: what the snapshot was verified from */
    struct snapshot_claim cosigned;
    struct witnessed_note witnessed; /* has_seal, and submissions at that level */
    size_t n_log_keys;             /* a proof with history_all: the changes of the log key that the client has followed, */
    const struct log_key_claim *log_keys; /* which lead to the key of the checkpoint (log_keys.h) */
    bool stale;                    /* has_seal: it, or the quorum that the policy demands, is older than fresh_within */
    int64_t age_s;                 /* has_seal: now minus the seal's recorded time */
    union {
        struct { const char *program, *client; unsigned version; } hello; /* client: how the server names us */
        struct { size_t n; struct submit_result *results; } submit;
        struct { size_t n; struct proven_subject *subjects; } prove; /* the named chains first, in their order */
        struct { struct entries_cursor cursor; size_t n; struct read_entry *entries; bool at_end; } entries;
        struct { size_t n; struct span *ids; bool truncated; } find;
        struct { struct receipt receipt; struct receipt_claim claim; struct span file; } receipt; /* file: its encoding, message.h */
        struct { size_t n; struct status_metric *metrics; } status;
        struct { struct span path; } consistency;
    } u;
};
void reply_free(struct reply *r); /* NULL is allowed; any thread */

/* Called once, in the library's thread, never from within client_start. *Takes* ownership of the reply. Must not block for
 * long and must not call client_call. */
typedef void (*reply_cb)(void *user, struct reply *r);

/* Starts a call. OK: cb will be called exactly once, at the latest shortly after timeout_ms (0: the client's default). EBUSY: the
 * queue is full, nothing happened. EINVAL. Any thread. */
enum ledger_rc client_start(struct ledger_client *cl, const struct call_request *rq, unsigned timeout_ms, reply_cb cb,
                            void *user, struct ledger_err *err) LEDGER_MUST_USE;
/* Makes a call and waits for it. Returns the reply's rc, with *out owned by the caller also if that is an error (NULL if the call
 * could not even be started). EINVAL in the library's own thread. */
enum ledger_rc client_call(struct ledger_client *cl, const struct call_request *rq, unsigned timeout_ms, struct reply **out,
                           struct ledger_err *err) LEDGER_MUST_USE;

/* For conclusions that a caller draws from verified answers: writes an evidence file with what is wrong, the signed checkpoint that the
 * answers stand on, and the bytes that speak for it (or SPAN_NONE). *err gets LEDGER_ETAMPER, `what`, and where the file is. */
void client_keep_evidence(const struct ledger_profile *p, const char *what, struct span note, struct span answer,
                          struct ledger_err *err);
/* The same about one entry, with the receipt file that proves that the ledger has recorded it. */
void client_keep_entry(const struct ledger_profile *p, const char *what, struct span receipt, struct ledger_err *err);
/* The same about an entry of which only note and record are at hand: asks the server for its receipt first, and keeps these if there is
 * none to be had. Waits, as client_call does. */
void client_keep_recorded(struct ledger_client *cl, unsigned timeout_ms, uint64_t index, const char *what, struct span note,
                          struct span record, struct ledger_err *err);

/* Ends what is under way and whatever is begun later, with ECANCELED: for who has a thread in client_call that is to end. The client is closed
 * as ever afterwards. Any thread but the library's own. */
void client_end(struct ledger_client *cl);

/* The log key that signs the newest checkpoints, once a connection was made ("" before), the first size that it signs (0: not known, or the
 * genesis's), and how many changes were followed. `news`: since this was asked last, the client has followed one. Any thread. */
struct log_key_in_force { char vkey[NOTE_NAME_MAX + 200]; uint64_t from_size; size_t changes; bool news; };
void client_log_key(struct ledger_client *cl, struct log_key_in_force *out);

/* The profile that the client was opened with; borrowed. */
const struct ledger_profile *client_profile(const struct ledger_client *cl);

#endif
