/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry: the header of one entry — the ledger's own words about one accepted event, or about one of its own acts. The
 * header's bytes are the Merkle leaf. Fixed big-endian layout with exactly one encoding:
 *
 *   u8 version (1) · u64 index · u64 epoch · i64 recorded time (µs since 1970 UTC) · u16 kind · then
 *   kind SEAL:  u64 index and 32-byte leaf hash of the seal before (0 and zeros for the first) · u64 first index of the
 *               batch · 32-byte chain map root · u64 number of chains
 *   any other:  32-byte event id · 32-byte signature block hash · u16 number of links · links, ascending by chain key, one
 *               for each chain: 32-byte chain key · u64 sequence number (from 0) · 32-byte leaf hash of the chain's entry
 *               before (zeros at 0) · 32-byte state commitment
 */
#ifndef LEDGERD_PROTO_ENTRY_H
#define LEDGERD_PROTO_ENTRY_H

#include "crypto.h"

#define ENTRY_VERSION 1
#define LINKS_MAX 500
#define HEADER_SIZE_MAX 65535
#define HEAD_ONCE_BYTES 512 /* a header so long or longer need be sent only once in an answer, for all chains whose latest entry it is (docs/protocol.md) */

/* Kinds 0–63 are the ledger's own; events begin at 64 (kinds.h). */
enum own_kind {
    OWN_GENESIS = 0, OWN_SEAL, OWN_EPOCH, OWN_CLOCK_STEP, OWN_PARAMETERS, OWN_LOG_KEY, OWN_TIME_STAMP, OWN_ERASURE,
    OWN_SUCCESSOR,
};
const char *entry_kind_name(unsigned kind); /* also of events; "kind 37" is not made: NULL if unknown */

struct link {
    struct hash chain;
    uint64_t seq;
    struct hash prev;
    struct hash state;
};
struct header {
    uint64_t index, epoch;
    int64_t recorded_us;
    uint16_t kind;
    /* SEAL */
    uint64_t prev_seal, batch_first, chains;
    struct hash prev_seal_leaf, map_root;
    /* any other */
    struct hash event_id, block_hash;
    uint16_t n_links;
    struct link *links; /* from the arena */
};
struct span header_encode(struct arena *a, const struct header *h); /* sorts nothing: links must be ascending */
/* EINVAL: not the one encoding. EVERSION: a newer header version. */
enum ledger_rc header_decode(struct arena *a, struct span bytes, struct header *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* The link of a chain, or NULL. */
const struct link *header_link(const struct header *h, const struct hash *chain);

/* An entry as the log keeps it: var header ‖ var event ‖ var signature block. A seal has neither event nor block. Of an erased event
 * the record is var header ‖ u32 0 ‖ u32 0 ‖ var opening (opening.h) ‖ u64 index of the ERASURE. */
struct entry_record {
    struct span header, event, block;
    struct span opening; /* erased: what is kept in place of the content; else absent */
    uint64_t erased_by;  /* erased: entry under which; else 0 */
};
bool entry_record_split(struct span record, struct entry_record *out) LEDGER_MUST_USE; /* borrows */
struct span entry_record_join(struct arena *a, const struct entry_record *r);

/*
 * What keeps the content of a record from being what its header says: NULL: nothing does. Else which part of it, and what is wrong with it (and both
 * in one), static. A seal has no content, and neither has what is erased (what is kept in its place: opening.h). `id` is the event's, if the caller has
 * hashed these very bytes; NULL: they are hashed here.
 */
struct content_fault { const char *what, *text, *both; };
const struct content_fault *entry_content_fault(struct crypto *c, const struct header *h, const struct entry_record *r, const struct hash *id)
    LEDGER_MUST_USE;

/* ---- the ledger's own payloads: in the place of the event; big-endian; first byte version 1 ---- */

/* u8 1 · nonce[32] · var origin · var log vkey · u16 format version · u16 rules version · i64 clock tolerance µs · u32 heartbeat s ·
 * u32 event bytes at most · u32 events a batch at most · index key commitment[32] · var admin party · var admin org · u16 alg ·
 * var admin key · var proof of possession */
#define CLOCK_TOLERANCE_US_MAX INT64_C(86400000000) /* a day */
struct genesis {
    struct hash nonce;
    struct span origin, log_vkey;
    uint16_t format_version, rules_version;
    int64_t clock_tolerance_us;
    uint32_t heartbeat_s, event_size_max, batch_events_max;
    struct hash index_key_commit;
    struct span admin, admin_org;
    uint16_t admin_alg;
    struct span admin_key, admin_proof;
};
/* u8 1 · nonce[16] · u64 epoch · var host · var program version · var reason */
struct epoch { uint8_t nonce[16]; uint64_t epoch; struct span host, program, reason; };
/* u8 1 · nonce[16] · i64 reading of the system clock µs · i64 reading that was expected µs */
struct clock_step { uint8_t nonce[16]; int64_t clock_us, expected_us; };

/* u8 1 · nonce[16] · u16 rules version · u16 n, n × u16 algorithm (ascending) · u16 n, n × (u16 event kind · u32 days) (ascending kind, days
 * not 0). What new registrations may use, and how long content is kept before it may be erased. Signed by two persons. */
#define PARAMETER_ALGORITHMS_MAX 32
#define PARAMETER_RETENTIONS_MAX 64
#define PARAMETERS_HEAD 19 /* bytes before the algorithms: a ledger's state keeps the payload from there on */
struct retention { uint16_t kind; uint32_t days; };
struct parameters {
    uint8_t nonce[16];
    uint16_t rules_version;
    uint16_t n_algorithms, algorithms[PARAMETER_ALGORITHMS_MAX];
    uint16_t n_retentions;
    struct retention retentions[PARAMETER_RETENTIONS_MAX];
};
/* u8 1 · nonce[16] · var old log vkey · var new log vkey · u64 first size that only the new key signs · var signature: the new key's
 * proof of possession (key_proof_input with the origin as party). */
struct log_key_change { uint8_t nonce[16]; struct span old_vkey, new_vkey; uint64_t from_size; struct span proof; };
/* u8 1 · nonce[16] · var note: a signed checkpoint, with the log's line alone · var token: DER TimeStampToken over its bytes (RFC 3161) */
#define TIME_STAMP_TOKEN_MAX 32768
struct time_stamp { uint8_t nonce[16]; struct span note, token; };
/* u8 1 · nonce[16] · var reason (text) · u16 n, n × event id[32] (ascending). Signed by two persons. */
#define ERASURE_EVENTS_MAX 400
struct erasure { uint8_t nonce[16]; struct span reason; uint16_t n; const uint8_t *ids; /* n × 32 bytes */ };

/* u8 1 · nonce[16] · var origin of the former ledger · var note: its last checkpoint, signed · var reason (text) · u16 n, n × (var party ·
 * u16 algorithm · var key · var signature), ascending by party: who stands for it. Entry 1 of a ledger, or nowhere. */
#define SUCCESSOR_APPROVERS_MIN 2
#define SUCCESSOR_APPROVERS_MAX 8
struct approver { struct span party; uint16_t alg; struct span key, signature; };
struct successor { uint8_t nonce[16]; struct span origin, note, reason; uint16_t n; struct approver approvers[SUCCESSOR_APPROVERS_MAX]; };

struct span genesis_encode(struct arena *a, const struct genesis *g);
enum ledger_rc genesis_decode(struct span s, struct genesis *out, struct ledger_err *err) LEDGER_MUST_USE;
struct span epoch_encode(struct arena *a, const struct epoch *e);
enum ledger_rc epoch_decode(struct span s, struct epoch *out, struct ledger_err *err) LEDGER_MUST_USE;
struct span clock_step_encode(struct arena *a, const struct clock_step *s);
enum ledger_rc clock_step_decode(struct span s, struct clock_step *out, struct ledger_err *err) LEDGER_MUST_USE;
/* Encodings of what does not keep the bounds and orders above are refused when they are decoded. */
struct span parameters_encode(struct arena *a, const struct parameters *p);
enum ledger_rc parameters_decode(struct span s, struct parameters *out, struct ledger_err *err) LEDGER_MUST_USE;
struct span log_key_change_encode(struct arena *a, const struct log_key_change *k);
enum ledger_rc log_key_change_decode(struct span s, struct log_key_change *out, struct ledger_err *err) LEDGER_MUST_USE;
struct span time_stamp_encode(struct arena *a, const struct time_stamp *t);
enum ledger_rc time_stamp_decode(struct span s, struct time_stamp *out, struct ledger_err *err) LEDGER_MUST_USE;
struct span erasure_encode(struct arena *a, const struct erasure *e);
enum ledger_rc erasure_decode(struct span s, struct erasure *out, struct ledger_err *err) LEDGER_MUST_USE;
struct span successor_encode(struct arena *a, const struct successor *s);
enum ledger_rc successor_decode(struct span s, struct successor *out, struct ledger_err *err) LEDGER_MUST_USE;
/* What an approver signs: nonce, the new ledger's origin, the former's origin and checkpoint, the reason, and who signs. */
struct span successor_input(struct arena *a, struct span new_origin, const struct successor *s, const struct approver *who);
/* A payload that may be entry 1 of the ledger `new_origin`: the note is a checkpoint of the former origin with a signature in its name, and
 * every approver's signature verifies under the key beside it. Whether the former ledger's key signed the note, and whether these keys
 * were those of these parties there, takes the former ledger's own records, and is not asked. EINVAL, EVERSION. */
enum ledger_rc successor_check(struct crypto *c, struct arena *a, struct span new_origin, struct span payload, struct successor *out,
                               struct ledger_err *err) LEDGER_MUST_USE;
#define OWN_SIGNATURES 2
static inline bool own_kind_signed(unsigned kind) /* acts of the ledger that persons sign */
{
    return kind == OWN_PARAMETERS || kind == OWN_ERASURE;
}
/* Commitment to the index key in the genesis: labelled hash(LABEL_INDEX_KEY, key[32]). */
void index_key_commit(struct crypto *c, const struct hash *index_key, struct hash *out);

#endif
