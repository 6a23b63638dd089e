/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state: what the ledger knows about a subject after each entry of its chain, its canonical encoding, and the
 * commitment to it that the entry's link carries.
 *
 * A state is a set of orthogonal facts. What grows without bound is a *member log*: an append-only list whose members
 * are kept beside the state (KV_MEMBER) and of which the state holds count and RFC 6962 root (leaf data = member bytes).
 *
 * Two encodings of one state: the *canonical* one is what is committed to; the *stored* one has, in place of each
 * member log's root, the frontier's peaks, so that appending can go on from it. The canonical follows from the stored.
 */
#ifndef LEDGERD_PROTO_STATE_H
#define LEDGERD_PROTO_STATE_H

#include "kinds.h"
#include "kv.h"
#include "merkle.h"
#include "value.h"

#define RULES_VERSION 1

/* Numbers are part of the format. */
enum chain_type {
    CHAIN_ITEM = 1, CHAIN_PARTY, CHAIN_SUBJECT, CHAIN_SHIPMENT, CHAIN_CASE, CHAIN_PRODUCT, CHAIN_LEDGER,
};
/* Ids are the subject's own id, but: case ids carry their name space, "deviation/ID", "excursion/ID" or "recall/ID"
 * (three name spaces, one chain type); the ledger's chain has the origin as id. */
#define CHAIN_ID_MAX 1200
const char *chain_type_name(enum chain_type t); /* "item", …; "?" */

/* HMAC-SHA-256(index key, u8 label length ‖ LABEL_CHAIN_KEY ‖ u8 type ‖ var id). */
void chain_key(struct crypto *c, const struct hash *index_key, enum chain_type t, struct span id, struct hash *out);

enum item_class { ITEM_MATERIAL = 1, ITEM_STARTING, ITEM_BANK, ITEM_BATCH, ITEM_VECTOR, ITEM_PLASMID, ITEM_UNIT };
enum terminal { TERMINAL_NONE = 0, TERMINAL_ADMINISTERED, TERMINAL_DISPOSED };

/* Member logs of an item, in the order of the encoding. */
enum item_log {
    ITEM_LOG_REQUIRED = 0, /* text of a required test (of the item itself, not of its specification) */
    ITEM_LOG_INPUTS,       /* edge: what was consumed into it */
    ITEM_LOG_USES,         /* edge: what it was consumed into */
    ITEM_LOG_UNITS,        /* edge: what was split from it */
    ITEM_LOG_OUTCOMES,     /* outcome of a test */
    ITEM_LOG_EXCURSIONS,   /* excursion fact: opened for it, assessed, closed by its log */
    ITEM_LOG_CASES,        /* case ids ("deviation/…", "recall/…") that named it */
    ITEM_LOG_CORRECTIONS,  /* correction of an event about it */
    ITEM_LOGS
};
/* Does the log say what the item went into? */
static inline bool item_log_leads_on(unsigned log)
{
    return log == ITEM_LOG_USES || log == ITEM_LOG_UNITS;
}

struct item_state {
    struct span id;
    uint8_t klass;            /* enum item_class */
    uint8_t use;              /* enum use; 0 if it has none (materials) */
    bool gmo;
    uint64_t made_index;      /* entry that made it; for a unit also its split */
    int64_t born_us;          /* occurred time of that event */
    int64_t arrived_us;       /* occurred time of the receipt that brought it here, or else born_us */
    struct span parent;       /* the item it was split from, or absent */
    struct span coi, for_coi; /* or absent */
    struct span uom;          /* or absent: not set yet */
    dec_t available;
    bool has_expiry, derived; /* derived: LOT_DERIVED has set the expiry once */
    int64_t expiry_us;
    struct span holder;       /* organisation */
    struct span shipment;     /* shipment that it is in, or absent */
    struct span location;     /* latest STORAGE_MOVED, or absent */
    struct span product_code; /* LOT_CREATED; or absent */
    uint64_t spec_member;     /* 1 + number of the member in the product's versions log; 0: no specification */
    uint8_t terminal;         /* enum terminal */
    bool nonconforming;       /* administered although the rules did not allow it: marked for ever */
    uint64_t terminal_index;  /* entry that set terminal; 0 none */
    dec_t terminal_took;      /* what that entry took from available */
    struct span patient;      /* coi it was administered to, or absent */
    /* Entry indexes of the latest such entry on this very item; 0 none (entry 0 is the genesis). */
    uint64_t last_input, last_derived, last_release, last_fail, rejected;
    bool quarantined;         /* the latest of QUARANTINE, LIFT_QUARANTINE, RELEASE, EXCEPTIONAL_RELEASE here is QUARANTINE */
    uint32_t open_deviations, open_recalls;
    uint32_t open_excursions, rejecting_excursions, reducing_excursions; /* that name this very item */
    struct frontier logs[ITEM_LOGS];
};

struct party_state {
    struct span id;
    struct span org;
    uint32_t roles;          /* mask of ROLE_BIT */
    uint16_t alg;            /* enum sig_alg; 0 in a simulation, where keys are placeholders */
    struct span key;
    uint64_t key_index;      /* entry that set the key */
    uint64_t registered, revoked; /* entries; revoked 0: not revoked */
};

struct consent_state { uint8_t given; /* 0 never, 1 given, 2 withdrawn */ int64_t given_us; uint64_t index; };
enum subject_log { SUBJECT_LOG_ITEMS = 0, SUBJECT_LOG_CORRECTIONS, SUBJECT_LOGS };
struct subject_state {
    struct span id;
    struct span subject_commit;
    uint8_t use;
    uint64_t assigned;                        /* entry of its COI_ASSIGNED */
    struct consent_state scopes[SCOPE_COUNT]; /* [scope − 1] */
    struct frontier logs[SUBJECT_LOGS];       /* ITEMS: item ids made for or from this subject */
};

enum shipment_log { SHIPMENT_LOG_ITEMS = 0, SHIPMENT_LOGS };
struct shipment_state {
    struct span id;
    struct span from_org, to_org, logger;
    dec_t min_c, max_c;
    int64_t dispatched_us, handover_us;
    uint32_t remaining;      /* items dispatched in it and not received; a lost one is never received */
    bool has_log;            /* its own logger's segment, ended not before the dispatch, is recorded */
    bool is_return;
    struct frontier logs[SHIPMENT_LOGS]; /* ITEMS: item ids, as dispatched */
};

enum case_type { CASE_DEVIATION = 1, CASE_EXCURSION, CASE_RECALL };
enum case_log { CASE_LOG_ITEMS = 0, CASE_LOG_CORRECTIONS, CASE_LOGS };
struct case_state {
    struct span id;          /* without the name space prefix */
    uint8_t type;            /* enum case_type */
    bool open;
    uint64_t opened, closed; /* entries; the latest opening and closing; closed 0: never */
    struct span item;        /* deviation: the very item it was opened on */
    bool has_start;          /* excursion: its log's start */
    int64_t start_us;
    struct span shipment;    /* excursion of a shipment, or absent */
    uint64_t episode_first;  /* excursion: number of the first member of ITEMS that the present opening names */
    uint8_t outcome;         /* enum excursion_outcome of the latest assessment; 0 none, or closed by a log */
    bool has_new_expiry;
    int64_t new_expiry_us;
    struct span class_;      /* deviation, recall: text, or absent */
    struct frontier logs[CASE_LOGS]; /* ITEMS: item ids it was opened for */
};

enum product_log { PRODUCT_LOG_VERSIONS = 0, PRODUCT_LOGS };
struct product_state {
    struct span id;
    struct frontier logs[PRODUCT_LOGS]; /* VERSIONS: specification versions */
};

/* The ledger's own facts; advanced by its own entries only (entry.h). */
struct ledger_state {
    struct span origin;
    uint64_t epoch;
    uint16_t format_version, rules_version;
    struct span log_key;         /* vkey of the checkpoint key in force */
    int64_t clock_tolerance_us;
    uint32_t heartbeat_s, event_size_max, batch_events_max;
    int64_t clock_us;            /* latest recorded clock step's time; 0 none */
    /* Since version 2 of this state, which is used once one of them is set. */
    uint64_t log_key_from;       /* first size that log_key signs; 0: it is the genesis's */
    struct span parameters;      /* the latest PARAMETERS from its algorithms on; absent: none yet */
};

/* Beside the members, under this log number: which entries the chain has and how each changed the state, some in a row (key: chain key, 255, number of
 * the row; value: state_history.h), so that histories are read without searching the log, and past states without replaying it.
 * Derived; in no state and no commitment. */
#define MEMBER_HISTORY 255u

/* A stored state: the encoding of its fields, with which every encoding of a state begins, and behind it the lists. */
struct stored_state {
    struct span bytes;
    size_t fields_n;
};

/* A chain's latest entry and its state. */
struct chain {
    enum chain_type type;
    struct span id;          /* chain id, with the case prefix */
    struct hash key;
    bool exists;             /* false: nothing recorded yet; count is 0 */
    uint64_t count;          /* entries so far; the head's sequence number is count − 1 */
    uint64_t head_index;     /* index of the latest entry */
    struct hash head;        /* its leaf hash */
    struct hash salt;        /* of the latest commitment */
    struct span history;        /* of its latest entries, what is in no row yet (state_history.h). Its owner keeps it */
    struct stored_state before; /* what it was decoded from; absent for a new chain. Its owner keeps it */
    union {
        struct item_state item;
        struct party_state party;
        struct subject_state subject;
        struct shipment_state shipment;
        struct case_state kase;
        struct product_state product;
        struct ledger_state ledger;
    };
};

/* Encodings. encode appends to w; stored chooses peaks instead of roots. */
void state_encode(struct crypto *c, const struct chain *ch, bool stored, struct wbuf *w);
/* The stored form without the peaks: what stays of a state when its lists can be read elsewhere (state_history.h). */
void state_encode_compact(const struct chain *ch, struct wbuf *w);
/* The encoding of the fields alone: an entry needs it for the commitment, the record and the history of each chain. SPAN_NONE over the budget. */
struct span state_fields(struct arena *a, const struct chain *ch);
/* As state_encode_compact: of the state whose fields are these, and of the one that the chain's record held. */
void state_compact(const struct chain *ch, struct span fields, struct wbuf *w);
void state_compact_before(const struct chain *ch, struct wbuf *w);
/* The frontiers get their sizes; their peaks are left as they are. */
enum ledger_rc state_decode_compact(enum chain_type t, struct span compact, struct chain *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* The chain id that a state has by itself: its own id, of a case with its prefix. Decoded state in, in the arena; SPAN_NONE over the budget. */
struct span state_chain_id(struct arena *a, const struct chain *ch);
/* Decodes a *stored* state; it and its spans borrow from bytes. Sets the state with its type and `before`, nothing else. EINVAL if it is not exactly
 * one encoding. */
enum ledger_rc state_decode(enum chain_type t, struct span stored, struct chain *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* Member logs of a chain's state: how many, and *logs the first of that many frontiers (NULL if there are none). */
unsigned state_logs(struct chain *ch, struct frontier **logs);
const char *state_log_name(enum chain_type t, unsigned log); /* "inputs"; NULL if there is none */

/* salt = HMAC-SHA-256(nonce, u8 len ‖ LABEL_SALT ‖ chain key) */
void state_salt(struct crypto *c, struct span nonce, const struct hash *chain_key, struct hash *out);
/* commitment = labelled hash(LABEL_STATE; u16 rules version, chain key, u64 sequence number, salt, var canonical state).
 * False when over the arena's budget. */
bool state_commit(struct crypto *c, struct arena *a, const struct chain *ch, uint64_t seq, const struct hash *salt,
                  struct hash *out);
/* The same, where the state's fields are encoded already. */
bool state_commit_fields(struct crypto *c, struct arena *a, const struct chain *ch, struct span fields, uint64_t seq,
                         const struct hash *salt, struct hash *out);
/* The same of a state that is as it was decoded: the very bytes are committed to. */
bool state_commit_decoded(struct crypto *c, struct arena *a, const struct chain *ch, uint64_t seq, const struct hash *salt,
                          struct hash *out);

/* Zeros, but for the state, which is large: for who decodes one into it. And the state. */
void chain_clear_head(struct chain *ch);
void chain_clear_state(struct chain *ch);
/* Chain records, KV_CHAIN: u8 type, var id, u64 count, u64 head index, head, salt, var stored state, var history. */
enum ledger_rc chain_record_decode(struct span bytes, struct chain *out, struct ledger_err *err) LEDGER_MUST_USE;
/* Without the state, which is not looked at. EINVAL: malformed otherwise. */
struct chain_front { uint64_t count; struct hash head; struct span history; };
enum ledger_rc chain_record_front(struct span bytes, struct chain_front *out, struct ledger_err *err) LEDGER_MUST_USE;
struct span chain_record_encode(struct arena *a, const struct chain *ch);
/* The same, where the state's fields are encoded already. */
struct span chain_record_join(struct arena *a, const struct chain *ch, struct span fields);

/* ---- members: encodings of what the logs hold (docs/format.md, "Members") ---- */
struct edge {            /* INPUTS, USES, UNITS */
    struct span item;    /* the other one */
    dec_t quantity;
    struct span uom;     /* or absent */
    uint64_t index;      /* entry */
};
struct outcome {         /* OUTCOMES */
    struct span test;
    uint8_t verdict;     /* enum qc_verdict */
    uint64_t index;      /* entry that gives this outcome (a result or a correction) */
    uint64_t source;     /* entry of the QC_RESULT it is about */
};
enum excursion_fact_kind { EXCURSION_OPENED = 1, EXCURSION_ASSESSED_AS, EXCURSION_LOGGED };
struct excursion_fact {  /* EXCURSIONS */
    uint8_t fact;        /* enum excursion_fact_kind */
    struct span id;      /* excursion id without prefix */
    uint64_t index;      /* entry */
    bool has_start;
    int64_t start_us;    /* OPENED by a log */
    uint8_t outcome;     /* ASSESSED_AS */
    bool has_new_expiry;
    int64_t new_expiry_us;
};
struct correction {      /* CORRECTIONS: one member for each change, or one for a void */
    struct hash target;  /* event id */
    uint64_t target_index; /* its entry */
    uint64_t index;      /* entry of the EVENT_CORRECTED */
    bool is_void;
    struct span field;   /* absent for a void */
    bool has_number;     /* the new value is a number */
    dec_t number;
};
struct spec_test { struct span test, unit; bool has_low, has_high, required; dec_t low, high; };
struct spec_version {    /* VERSIONS */
    struct span version;
    uint64_t index;
    unsigned n;
    struct spec_test *tests; /* from the arena */
};
void edge_encode(const struct edge *e, struct wbuf *w);
bool edge_decode(struct span s, struct edge *out) LEDGER_MUST_USE;
void outcome_encode(const struct outcome *o, struct wbuf *w);
bool outcome_decode(struct span s, struct outcome *out) LEDGER_MUST_USE;
void excursion_fact_encode(const struct excursion_fact *f, struct wbuf *w);
bool excursion_fact_decode(struct span s, struct excursion_fact *out) LEDGER_MUST_USE;
void correction_encode(const struct correction *x, struct wbuf *w);
bool correction_decode(struct span s, struct correction *out) LEDGER_MUST_USE;
/* Decoding a specification: false with n > 0 and no tests means that the arena is over its budget. */
void spec_version_encode(const struct spec_version *v, struct wbuf *w);
bool spec_version_decode(struct arena *a, struct span s, struct spec_version *out) LEDGER_MUST_USE;

#endif
