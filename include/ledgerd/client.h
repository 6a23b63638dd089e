/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: a connection to one ledger. Each operation has a blocking form and an asynchronous one (`…_start`).
 *
 * Verification. No answer reaches the caller unverified: the checkpoint is signed as the profile's policy demands and is proven
 * to continue the last one that this profile has seen (the pin); entries are proven to be in the log and chains to be whole. Where
 * something is only the server's word (ledger_find, ledger_status) its description says so.
 *
 * Connection. It is made when the first operation needs it, and again when it was lost, with growing pauses. Operations that had
 * no answer are then sent again with the same bytes until their time is over; that is safe, for the ledger never records the same
 * bytes twice.
 *
 * Threads. A client runs a thread of its own and may be used from any thread. Callbacks run in the client's thread, one at a time,
 * each exactly once, never from within the call that asked for it; they must return soon and must not call blocking functions
 * (which answer EINVAL there). Times are milliseconds; 0 stands for the client's default.
 */
#ifndef LEDGERD_CLIENT_H
#define LEDGERD_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <ledgerd/batch.h>
#include <ledgerd/error.h>
#include <ledgerd/profile.h>

struct ledger_client;

struct ledger_client_options {
    const char *program;       /* name and version of the calling program, for the server's log; NULL: "libledgerd" */
    unsigned timeout_ms;       /* default time of an operation; 0: 30,000. An answer in many parts may take as long as ten minutes, if no part takes longer */
    unsigned first_contact_ms; /* how long to go on dialling a server that never answered before giving up; 0: 3,000 */
    unsigned calls_max;        /* operations under way at once; further ones are EBUSY; 0: 1,024 */
    uint64_t reserved[4];      /* zero */
};

/* Makes a client and starts its thread; connects when the first operation asks for it. `profile` is borrowed until the client is
 * closed; `options` may be NULL. *out is owned by the caller: ledger_client_close. Errors: EINVAL (certificates or keys of the profile cannot
 * be used), ENOMEM, EIO. */
LEDGER_API enum ledger_rc ledger_client_open(const struct ledger_profile *profile, const struct ledger_client_options *options,
                                             struct ledger_client **out, struct ledger_err *err) LEDGER_MUST_USE;
/* Ends what is under way (ECANCELED), writes the pin, ends the thread, frees. NULL is allowed. Not from a callback. */
LEDGER_API void ledger_client_close(struct ledger_client *c);
/* Frees texts and bytes that this library returned; NULL is allowed. */
LEDGER_API void ledger_free(void *p);

/* ---- connect ---- */

typedef void (*ledger_done_cb)(void *user, enum ledger_rc rc, const struct ledger_err *err);
/* Connects, if it is not connected, and checks that the server is the ledger of the profile and continues the pin. ECONNECT, EDENIED (the
 * certificate is refused), ETAMPER, EUNTRUSTED, EVERSION, EPROTO. */
LEDGER_API enum ledger_rc ledger_connect(struct ledger_client *c, unsigned timeout_ms, struct ledger_err *err) LEDGER_MUST_USE;
LEDGER_API enum ledger_rc ledger_connect_start(struct ledger_client *c, unsigned timeout_ms, ledger_done_cb cb, void *user,
                                               struct ledger_err *err) LEDGER_MUST_USE;

/* ---- submit ---- */

/* What is certain about the ledger after an operation. */
enum ledger_recorded {
    LEDGER_RECORDED_NOTHING = 1, /* nothing of this was recorded */
    LEDGER_RECORDED_UNKNOWN = 2, /* not known: submit the same batch again */
    LEDGER_RECORDED_ANSWERED = 3, /* the ledger answered for each event: see the results */
};
enum ledger_outcome {
    LEDGER_ACCEPTED = 1, /* recorded now */
    LEDGER_BEFORE = 2,   /* these very bytes were recorded earlier; this is their entry */
    LEDGER_REFUSED = 3,  /* not recorded: code, subject, field and text say why */
    LEDGER_SKIPPED = 4,  /* not recorded: all or nothing was asked, and another event was refused */
};
struct ledger_result {
    enum ledger_outcome outcome;
    uint64_t index;        /* of the entry: ACCEPTED, BEFORE, and REFUSED with E_DUP_EVENT */
    int64_t recorded_us;   /* ACCEPTED, BEFORE: the ledger's time, microseconds since 1970 UTC */
    const uint8_t *event_id; /* 32 bytes */
    const char *code;      /* REFUSED: "E_HOLD_RECALL"; else "" */
    const char *subject;   /* whose state stood against it: "item BAG-1"; may be "" */
    const char *field;     /* the event's field that asked for it; may be "" */
    const char *text;      /* a sentence; may be "" */
};
struct ledger_submission;

#define LEDGER_ALL_OR_NOTHING 1u
/* Done only when the witnesses of the profile's policy have cosigned a checkpoint that covers what was accepted: its quorum, or at least one
 * of them where it demands none. ESTALE: they have not in time; everything is recorded and durable nevertheless, and the results are there.
 * EINVAL: the policy names no witness. Without this flag the log's signature is enough. */
#define LEDGER_WITNESSED 2u

/*
 * Submits a signed batch and waits for the verified answer. OK: the ledger answered, each event has its result. Any other code: no
 * verified answer (but see LEDGER_WITNESSED); ledger_submission_recorded says what is certain, err why. *out is owned by the caller in both cases
 * (ledger_submission_free); NULL if nothing was sent at all. Events of one batch are judged in order; events that depend on
 * others belong in one batch or wait for the answer of the earlier.
 */
LEDGER_API enum ledger_rc ledger_submit(struct ledger_client *c, struct ledger_batch *b, unsigned flags, unsigned timeout_ms,
                                        struct ledger_submission **out, struct ledger_err *err) LEDGER_MUST_USE;
/* The same without waiting: many may be under way (pipelined). `s` is owned by the callee and never NULL. */
typedef void (*ledger_submit_cb)(void *user, enum ledger_rc rc, const struct ledger_err *err, struct ledger_submission *s);
LEDGER_API enum ledger_rc ledger_submit_start(struct ledger_client *c, struct ledger_batch *b, unsigned flags,
                                              unsigned timeout_ms, ledger_submit_cb cb, void *user, struct ledger_err *err)
    LEDGER_MUST_USE;
LEDGER_API enum ledger_recorded ledger_submission_recorded(const struct ledger_submission *s);
LEDGER_API size_t ledger_submission_count(const struct ledger_submission *s); /* results; 0 without an answer */
/* Result of event i; false beyond the end. The pointers in it live as long as the submission. */
LEDGER_API int ledger_submission_result(const struct ledger_submission *s, size_t i, struct ledger_result *out);
/* The signed checkpoint that covers every accepted event: C2SP note, NUL-terminated; "" if none was accepted. */
LEDGER_API const char *ledger_submission_checkpoint(const struct ledger_submission *s);
LEDGER_API void ledger_submission_free(struct ledger_submission *s); /* NULL is allowed */

/* ---- query ---- */

#define LEDGER_WITH_MEMBERS 1u     /* everything that the subject's lists hold, proven complete */
#define LEDGER_WITH_HISTORY 2u     /* every entry of the chain, proven complete */
#define LEDGER_WITH_ANCESTORS 4u   /* items: everything that it came from */
#define LEDGER_WITH_DESCENDANTS 8u /* items: everything that came from it; not together with ancestors */
#define LEDGER_WITH_RELATED 16u    /* subjects, cases, shipments and products that the states name */
#define LEDGER_FRESH 32u           /* ESTALE if the ledger's last seal is older than the profile's fresh_within */

/* Called with the answer as JSON in UTF-8, owned by the callee (ledger_free), or with an error and NULL. */
typedef void (*ledger_text_cb)(void *user, enum ledger_rc rc, const struct ledger_err *err, char *json);
/*
 * What the ledger knows about a subject: type "item", "party", "subject", "shipment", "case", "product" or "ledger", and its id (cases with
 * their name space: "recall/R-1"). The answer is a JSON document: the checkpoint and the chains, each present with its state or proven
 * absent. Content that this certificate may not read is marked "withheld". docs/client.md describes the members.
 */
LEDGER_API enum ledger_rc ledger_query(struct ledger_client *c, const char *type, const char *id, unsigned flags,
                                       unsigned timeout_ms, char **json, struct ledger_err *err) LEDGER_MUST_USE;
LEDGER_API enum ledger_rc ledger_query_start(struct ledger_client *c, const char *type, const char *id, unsigned flags,
                                             unsigned timeout_ms, ledger_text_cb cb, void *user, struct ledger_err *err)
    LEDGER_MUST_USE;

/* Ids of subjects of a type, with a prefix (NULL: all), in order, after `after` (NULL: from the beginning), at most `limit` (0: 1,000).
 * On the server's word: it may leave some out. Each of them can be proven with ledger_query. */
LEDGER_API enum ledger_rc ledger_find(struct ledger_client *c, const char *type, const char *prefix, const char *after,
                                      unsigned limit, unsigned timeout_ms, char **json, struct ledger_err *err) LEDGER_MUST_USE;
LEDGER_API enum ledger_rc ledger_find_start(struct ledger_client *c, const char *type, const char *prefix, const char *after,
                                            unsigned limit, unsigned timeout_ms, ledger_text_cb cb, void *user,
                                            struct ledger_err *err) LEDGER_MUST_USE;

/* The server's own figures, on its word. */
LEDGER_API enum ledger_rc ledger_status(struct ledger_client *c, unsigned timeout_ms, char **json, struct ledger_err *err)
    LEDGER_MUST_USE;
LEDGER_API enum ledger_rc ledger_status_start(struct ledger_client *c, unsigned timeout_ms, ledger_text_cb cb, void *user,
                                              struct ledger_err *err) LEDGER_MUST_USE;

/* ---- receipts ---- */

/* The receipt of a recorded event (id of 32 bytes), verified, as the bytes of a receipt file, owned by the callee (ledger_free).
 * ENOTFOUND: the server says that it has no such event; it does not prove so. */
typedef void (*ledger_bytes_cb)(void *user, enum ledger_rc rc, const struct ledger_err *err, uint8_t *bytes, size_t n);
LEDGER_API enum ledger_rc ledger_receipt(struct ledger_client *c, const uint8_t event_id[32], unsigned timeout_ms,
                                         uint8_t **bytes, size_t *n, struct ledger_err *err) LEDGER_MUST_USE;
LEDGER_API enum ledger_rc ledger_receipt_start(struct ledger_client *c, const uint8_t event_id[32], unsigned timeout_ms,
                                               ledger_bytes_cb cb, void *user, struct ledger_err *err) LEDGER_MUST_USE;
/* The same under a checkpoint that the witnesses of the profile's policy have cosigned, waiting for it. ESTALE: there is none in time. Where
 * the policy demands a quorum the two above do so, too. EINVAL: the policy names no witness. */
LEDGER_API enum ledger_rc ledger_receipt_witnessed(struct ledger_client *c, const uint8_t event_id[32], unsigned timeout_ms,
                                                   uint8_t **bytes, size_t *n, struct ledger_err *err) LEDGER_MUST_USE;
LEDGER_API enum ledger_rc ledger_receipt_witnessed_start(struct ledger_client *c, const uint8_t event_id[32], unsigned timeout_ms,
                                                         ledger_bytes_cb cb, void *user, struct ledger_err *err) LEDGER_MUST_USE;
/*
 * Verifies a receipt file offline under the profile's policy. OK: it holds, and *json (owned by the caller; may be NULL if not wanted)
 * describes the entry. EINVAL: damaged; EUNTRUSTED, EVERSION, ETAMPER: as err says. Any thread.
 */
LEDGER_API enum ledger_rc ledger_receipt_verify(const struct ledger_profile *p, const uint8_t *bytes, size_t n, char **json,
                                                struct ledger_err *err) LEDGER_MUST_USE;

/* ---- stream ---- */

/*
 * A watch reads the log in order, from an entry on, and goes on with new entries as they are recorded. Each portion is verified
 * before it is handed out: its entries are the log's, at these places, with nothing left out. A lost connection does not disturb it:
 * it goes on where it was.
 */
struct ledger_watch;
struct ledger_entries;
struct ledger_entry {
    uint64_t index;
    unsigned kind;         /* number; the ledger's own are below 64 */
    const char *kind_name; /* "LOT_SPLIT", "SEAL"; "unknown" */
    int64_t recorded_us;   /* microseconds since 1970 UTC */
    const uint8_t *event_id; /* 32 bytes; NULL for a seal */
    const uint8_t *header, *event, *block; /* bytes as recorded; event and block are NULL when withheld, erased or none */
    size_t header_n, event_n, block_n;
    int withheld;          /* this certificate may not read the content */
    uint64_t erased_by;    /* not 0: the server says that the content was erased under that entry; ask for its receipt */
};

/* Opens a watch that begins with entry `first`. `c` must outlive it. *out is owned by the caller: ledger_watch_close. */
LEDGER_API enum ledger_rc ledger_watch_open(struct ledger_client *c, uint64_t first, struct ledger_watch **out,
                                            struct ledger_err *err) LEDGER_MUST_USE;
/* The next portion, owned by the caller: ledger_entries_free. OK with no entries: nothing new within the time. One at a time for
 * each watch (EBUSY). */
LEDGER_API enum ledger_rc ledger_watch_next(struct ledger_watch *w, unsigned timeout_ms, struct ledger_entries **out,
                                            struct ledger_err *err) LEDGER_MUST_USE;
/* The same without waiting; `e` is owned by the callee, NULL on an error. May be called again from the callback. */
typedef void (*ledger_entries_cb)(void *user, enum ledger_rc rc, const struct ledger_err *err, struct ledger_entries *e);
LEDGER_API enum ledger_rc ledger_watch_next_start(struct ledger_watch *w, unsigned timeout_ms, ledger_entries_cb cb, void *user,
                                                  struct ledger_err *err) LEDGER_MUST_USE;
/* Index of the first entry that was not handed out yet. */
LEDGER_API uint64_t ledger_watch_position(const struct ledger_watch *w);
/* NULL is allowed. While a `next` is under way the watch is freed when that has ended. */
LEDGER_API void ledger_watch_close(struct ledger_watch *w);
LEDGER_API size_t ledger_entries_count(const struct ledger_entries *e);
/* Entry i; false beyond the end. The pointers in it live as long as the portion. */
LEDGER_API int ledger_entries_get(const struct ledger_entries *e, size_t i, struct ledger_entry *out);
LEDGER_API void ledger_entries_free(struct ledger_entries *e); /* NULL is allowed */

#endif
