/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event: what somebody did or observed. An event's bytes are the protobuf encoding of `Event` in ledger_events.proto
 * in its one canonical form: fields ascending, minimal varints, no explicit defaults, nothing unknown, nothing
 * repeated, packed enums, maps ascending by name, decimals in canonical text. Decoding refuses anything else, so
 * an event has exactly one encoding. The codec is driven by the table in kinds.h.
 *
 * How values map to protobuf: id, text, ref, time, decimal and int are `string` (decimal_format's text; presence is
 * "not empty"); bool is an enum UNSET/FALSE/TRUE (an optional bool is TRUE or left out); enum numbers are 1-based;
 * scalar is Scalar{oneof number=1, text=2}; map is Map{repeated MapEntry{name=1, value=2}} (present even when it has no
 * entries); any is Any{oneof null=1 (enum, TRUE), number=2, text=3, map=4, other=5 (JSON text)};
 * a whole number in it that was not written as one (VALUE_DECIMAL, not VALUE_INT) ends in ".0".
 */
#ifndef LEDGERD_PROTO_EVENT_H
#define LEDGERD_PROTO_EVENT_H

#include "crypto.h"
#include "kinds.h"
#include "refusal.h"
#include "value.h"

#define EVENT_VERSION 1
/* What a ledger takes; machine_event refuses more. The rules themselves know no such bound, so a simulation takes any size. */
#define EVENT_SIZE_MAX 32768
#define NONCE_LEN 16
#define LIST_MAX 400
#define MAP_MAX 64
#define SHIPMENT_ID_MAX 90
#define KIND_FIELDS_MAX 20

/* A lot that comes from another ledger; only recorded. Allowed for MATERIAL_RECEIVED, COLLECTION_PERFORMED and
 * LOT_CREATED. In ledger_events.proto: ForeignReference{origin=1, chain_key=2 (32), index=3, checkpoint_hash=4 (32)}. */
struct foreign_ref {
    bool present;
    struct span origin;
    struct hash chain_key;
    uint64_t index;
    struct hash checkpoint_hash;
};

struct event {
    const struct kind_def *kind;
    struct span bytes;        /* the encoding it was decoded from; SPAN_NONE while being built */
    struct hash id;           /* labelled hash of bytes; set by event_decode */
    struct span nonce;        /* 16 bytes */
    struct span reference;    /* the submitter's own reference: text, 1..1000 bytes */
    struct value occurred;
    struct foreign_ref foreign;
    struct span key_proof;    /* PARTY_REGISTERED: signature by the new key; else absent */
    struct value fields[KIND_FIELDS_MAX]; /* parallel to kind->fields */
    struct span unlisted;     /* name of the first field that the kind does not list, if any */
    bool formed;              /* set by event_decode: it has passed event_check_form as it is */
};

/* The field's value, or NULL when it is absent or empty or the kind has no such field. */
const struct value *event_get(const struct event *ev, enum field_name name);
/* Shorthands; absent gives SPAN_NONE / false / 0. */
struct span event_text(const struct event *ev, enum field_name name);
bool event_true(const struct event *ev, enum field_name name);
unsigned event_enum(const struct event *ev, enum field_name name);
/* A member of a record value, or NULL when absent. */
const struct value *record_get(const struct field_def *def, const struct value *record, const char *member);

/*
 * Checks 2 and 3 of "Every event" in the rules, in their order: mandatory fields, unlisted fields, `occurred`, types,
 * and the value checks that belong to them. Works on decoded events and on events built from JSON alike.
 */
bool event_check_form(const struct event *ev, struct refusal *why) LEDGER_MUST_USE;

/* Strict decoding. EREFUSED: *why says which code and field (E_UNKNOWN_KIND, E_MISSING_FIELD, E_BAD_VALUE); the form
 * check is included. EVERSION: a newer version of the event format. ENOMEM: over the arena's budget. The event borrows
 * from `bytes` and from the arena. Also sets ev->id. */
enum ledger_rc event_decode(struct crypto *c, struct arena *a, struct span bytes, struct event *ev,
                            struct refusal *why, struct ledger_err *err) LEDGER_MUST_USE;
/* Canonical encoding of an event that passes event_check_form and has its nonce. SPAN_NONE when over the budget.
 * The size is not checked. */
struct span event_encode(struct arena *a, const struct event *ev);
void event_id(struct crypto *c, struct span bytes, struct hash *out);

/* ---- signatures ---- */
#define BATCH_EVENTS_MAX 1000
#define SIGNATURES_MAX 2      /* that any kind asks for */
#define SIGNATURES_READ_MAX 8 /* decoded, so that one too many is E_SIG_COUNT and not a syntax error */

/* Signature{party=1, key_id=2 (16), algorithm=3, meaning=4, time=5, signature=6} */
struct signature {
    struct span party;    /* id */
    struct span key_id;
    unsigned alg;
    struct span meaning;  /* text, or absent (which the rules refuse) */
    struct span time;     /* time, as text */
    struct span sig;
};
/*
 * SignatureBlock{version=1, events=2, index=3, path=4 (n × 32 bytes), signatures=5 repeated}, canonical. `events` were
 * signed together; this event is number `index` (from 0) of them and `path` is its RFC 6962 inclusion path in the tree whose
 * leaves are the 32-byte event ids (leaf hash: merkle_leaf of the id).
 */
struct sigblock {
    unsigned events, index;
    const uint8_t *path;
    size_t path_n;
    size_t n;
    struct signature sigs[SIGNATURES_READ_MAX];
};
/* EINVAL (err says what), EVERSION. Borrows from bytes. */
enum ledger_rc sigblock_decode(struct span bytes, struct sigblock *out, struct ledger_err *err) LEDGER_MUST_USE;
struct span sigblock_encode(struct arena *a, const struct sigblock *b);
/* One Signature message alone, as it travels in a SubmitRequest. */
enum ledger_rc signature_decode(struct span bytes, struct signature *out, struct ledger_err *err) LEDGER_MUST_USE;
struct span signature_encode(struct arena *a, const struct signature *s);
void sigblock_hash(struct crypto *c, struct span bytes, struct hash *out);
/* Root of the batch that the block says this event belongs to. False if the path cannot belong to (index, events). */
bool sigblock_root(struct crypto *c, const struct sigblock *b, const struct hash *event_id, struct hash *root)
    LEDGER_MUST_USE;
/* The exact bytes that signature number `position` (1-based) signs:
 * u8 label length ‖ LABEL_SIGN ‖ var origin ‖ var party ‖ key_id[16] ‖ u16 algorithm ‖ var meaning ‖ var time ‖ u32 position ‖
 * u32 events ‖ root[32] ‖ labelled hash (LABEL_SIGNATURE, var signature) of the signature before, 32 zero bytes at position 1. */
struct span signature_input(struct crypto *c, struct arena *a, struct span origin, const struct signature *s,
                            unsigned position, unsigned events, const struct hash *root, const struct signature *before);
/* The exact bytes that a proof of possession signs: u8 label length ‖ LABEL_KEY_PROOF ‖ var origin ‖ var party ‖ u16 alg ‖ var key */
struct span key_proof_input(struct arena *a, struct span origin, struct span party, unsigned alg, struct span key);

#endif
