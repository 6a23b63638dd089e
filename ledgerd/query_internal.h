/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_internal: what the families of queries (query_*.c) share: the query itself, the look at the
 * store, checked reads, and the building of a response.
 *
 * A *view* is one snapshot transaction together with what the latest seal says. It lasts for one
 * query_next, unless the family pins it. Spans that come from a view are borrowed from the store's
 * pages: they go into a response without a copy, and the response is encoded before the view
 * closes.
 *
 * Return codes of a family's `next`: OK; EBUSY (nothing new, following only); anything else becomes
 * the Error response that ends the query. ECANCELED stands for TIMEOUT here; ETAMPER and EINTERNAL
 * for INTERNAL. Private to ledgerd/query*.c.
 */
#ifndef LEDGERD_QUERY_INTERNAL_H
#define LEDGERD_QUERY_INTERNAL_H

#include "ledger.pb-c.h"
#include "machine.h"
#include "query.h"
#include "store/store.h"
#include "witness/witnessed.h"

#define QUERY_BUDGET ((size_t)32 * 1024 * 1024)        /* what one query may remember */
#define QUERY_SCRATCH_BUDGET ((size_t)4 * 1024 * 1024) /* what one step of it may use */
#define QUERY_CREDIT_DEFAULT 8
#define PROVE_CHAINS_MAX 10000 /* named in one request */
#define FIND_LIMIT_DEFAULT 1000
#define FIND_LIMIT_MAX 100000

struct reply;
/* One family of requests. `next` fills the answer of one response. */
struct family {
    Ledgerd__V1__Request__OpCase op;
    enum ledger_rc (*next)(struct query *q, struct reply *r, struct ledger_err *err);
};

struct query {
    struct query_env env;
    struct crypto *c;
    struct arena *a;       /* lives as long as the query */
    struct arena *scratch; /* emptied by each query_next */
    struct arena *sent;    /* proofs: which entries were sent, an optimisation that may run out of room; NULL until it is asked for */
    struct arena *side;    /* the family's, for what lives from one query_next to a later one; NULL until it is asked for */
    uint64_t id;
    Ledgerd__V1__Request *request;
    const struct family *family;
    void *state;  /* the family's own, in `a`; NULL at the first call */
    bool pinned;  /* the view outlives this query_next */
    bool expired; /* a pinned view was let go of because it had become too old */
    bool done;
    unsigned given; /* responses; counted as far as full_at asks */
    int64_t wait_until_ms; /* for a cosigned checkpoint; 0: not waiting */
    struct ledger_err failed; /* of query_begin; becomes the first response */
    /* The view; sn is NULL when there is none. */
    struct store_snapshot *sn;
    struct machine m;
    struct merkle_store tree;
    int64_t opened_ms;
    int64_t asked_ms;      /* when the response before the present one was asked for, or opened_ms */
    bool long_answer;      /* may take QUERY_LONG_MS_MAX, if it goes on */
};

struct reply {
    struct arena *a; /* the caller's: everything that the response is built of */
    Ledgerd__V1__Response *msg;
    size_t bytes; /* about as large as the encoding has become */
    size_t bytes_max; /* from here on it is full; it may end somewhat above */
};

/* ---- the view ---- */
/* Opens it if there is none. ENOTFOUND: there is no genesis yet. */
enum ledger_rc view_open(struct query *q, struct ledger_err *err) LEDGER_MUST_USE;
void view_close(struct query *q);
int64_t query_now_ms(void); /* CLOCK_MONOTONIC */
/* A further response was asked for. */
void view_going_on(struct query *q);
/* ECANCELED when this view has been open for too long; a long answer: when it is not being read, or takes far too long. */
enum ledger_rc view_check_time(const struct query *q, struct ledger_err *err) LEDGER_MUST_USE;

/* A query without a request, with its view open, for reads outside the protocol; to be looked away from also after an error. */
enum ledger_rc query_look(struct query *q, const struct query_env *env, struct ledger_err *err) LEDGER_MUST_USE;
void query_look_away(struct query *q);

/* ---- checked reads; all need an open view ---- */
struct stored {
    struct span header, event, block;
    struct span opening; /* erased: in place of event and block */
    uint64_t erased_by;
    struct header h; /* its links are in scratch */
    struct hash leaf;
};
/* "stored data does not verify: entry 17: …" */
enum ledger_rc read_bad(struct ledger_err *err, uint64_t index, const char *what);
/* A failure of the core on stored bytes, told in the same words; EINVAL is damage too, for nobody
 * sent these bytes. */
enum ledger_rc read_failed(struct ledger_err *err, const struct ledger_err *why);
/* Entry `index`, which the caller knows to be below the size. Its header is a leaf of the tree at
 * that place, its event and block are those that the header names. */
enum ledger_rc read_entry(struct query *q, uint64_t index, struct stored *out,
                          struct ledger_err *err) LEDGER_MUST_USE;
/* The latest entry of a chain that is there: its header has the leaf hash that the chain's record names. Its event and its block are not looked at, nor
 * is its place in the tree. */
enum ledger_rc read_head(struct query *q, const struct chain *ch, struct stored *out, struct ledger_err *err) LEDGER_MUST_USE;
/* Inclusion path of a leaf at `size`, checked against that size's checkpoint. In a. */
enum ledger_rc read_path(struct query *q, struct arena *a, const struct stored *e, uint64_t size,
                         struct span *path, struct ledger_err *err) LEDGER_MUST_USE;
/* Root of the first `size` entries, folded from the tree. */
enum ledger_rc read_root(struct query *q, uint64_t size, struct hash *root,
                         struct ledger_err *err) LEDGER_MUST_USE;
/* The root committed with the batch that ends at `size`; it is also the tree's. */
enum ledger_rc read_checkpoint(struct query *q, uint64_t size, struct hash *root,
                               struct ledger_err *err) LEDGER_MUST_USE;
/* The path between two sizes, in a, checked against the roots that the tree gives. */
enum ledger_rc read_consistency(struct query *q, struct arena *a, uint64_t size1, uint64_t size2,
                                struct span *path, struct ledger_err *err) LEDGER_MUST_USE;
/* The chain's record; out->exists says whether there is one, and with it a state. The key is set in either case. */
enum ledger_rc read_chain(struct query *q, const struct hash *key, struct chain *out,
                          struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc read_member(struct query *q, const struct chain *ch, unsigned log, uint64_t number,
                           struct span *out, struct ledger_err *err) LEDGER_MUST_USE;
/* The chain's latest entry below index `below`, found by going backwards through the headers.
 * ENOTFOUND if there is none. ECANCELED if that takes too long. */
enum ledger_rc read_before(struct query *q, const struct hash *key, uint64_t below,
                           struct stored *out, struct ledger_err *err) LEDGER_MUST_USE;

/* ---- building ---- */
ProtobufCBinaryData bin(struct span s);
char *borrow_text(const char *s); /* protobuf-c's strings are not const; they are only read */
enum ledger_rc no_room(struct ledger_err *err); /* ENOMEM */
/* A pointer list in the reply's arena; false over the budget. */
struct plist {
    void **p;
    size_t n, cap;
};
bool plist_push(struct plist *l, struct arena *a, void *item) LEDGER_MUST_USE;
/* Signed note of the checkpoint of `size`, with the witnesses' lines if it is the one that they have
 * cosigned. In a. */
enum ledger_rc build_note(struct query *q, struct arena *a, uint64_t size, struct span *note,
                          struct ledger_err *err) LEDGER_MUST_USE;
/* The checkpoint of `size` and the seal that is its last leaf. In the reply. */
enum ledger_rc build_snapshot(struct query *q, struct reply *r, uint64_t size,
                              Ledgerd__V1__Snapshot **out, struct ledger_err *err) LEDGER_MUST_USE;
/* The same for a cosigned checkpoint, and the seal that ended the tree of `entries` leaves, which
 * need not be the checkpoint's last. */
enum ledger_rc build_snapshot_at(struct query *q, struct reply *r, const struct witnessed_view *w,
                                 uint64_t entries, Ledgerd__V1__Snapshot **out,
                                 struct ledger_err *err) LEDGER_MUST_USE;
/* The newest cosigned checkpoint, if it covers the first `size` entries; its note is in the reply. EBUSY: not yet;
 * ECANCELED: not within wait_ms; ENOTFOUND: the ledger has no witnesses. The view covers the checkpoint
 * afterwards: what was read before is not valid any more. */
enum ledger_rc await_witnessed(struct query *q, struct reply *r, uint64_t size, uint32_t wait_ms,
                               struct witnessed_view *out, struct ledger_err *err) LEDGER_MUST_USE;
/* The entry as this client may see it. */
enum ledger_rc build_record(struct query *q, struct reply *r, const struct stored *e,
                            bool headers_only, Ledgerd__V1__Record **out,
                            struct ledger_err *err) LEDGER_MUST_USE;

/* The store's figures and the server's, for StatusRequest and /metrics. Needs an open view. */
typedef void figure_put(void *sink, const char *name, double value, const char *text);
void status_figures(struct query *q, figure_put *put, void *sink);

/* ---- the families ---- */
enum ledger_rc next_checkpoint(struct query *q, struct reply *r, struct ledger_err *err);
enum ledger_rc next_consistency(struct query *q, struct reply *r, struct ledger_err *err);
enum ledger_rc next_entries(struct query *q, struct reply *r, struct ledger_err *err);
enum ledger_rc next_prove(struct query *q, struct reply *r, struct ledger_err *err);
enum ledger_rc next_find(struct query *q, struct reply *r, struct ledger_err *err);
enum ledger_rc next_receipt(struct query *q, struct reply *r, struct ledger_err *err);
enum ledger_rc next_status(struct query *q, struct reply *r, struct ledger_err *err);
enum ledger_rc next_log_keys(struct query *q, struct reply *r, struct ledger_err *err);
enum ledger_rc next_witnessed(struct query *q, struct reply *r, struct ledger_err *err);

#endif
