/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness: what a witness of logs decides (C2SP tlog-witness v1.0.0, `add-checkpoint`), without the files and sockets that it takes:
 * given what a witness knows of an origin and what was submitted, the answer, and the bytes to keep and to send.
 *
 * Terms. A *submission* is the body of a request. The *record* is the latest checkpoint that the witness has cosigned for an origin,
 * kept as a signed note: the checkpoint, the log's signatures that were verified, the witness's cosignature.
 *
 * Happy path: witness_submission_parse, look the origin up (404 if it is unknown), witness_decide (WITNESS_COSIGN), witness_cosign; the
 * caller makes the new record durable and only then answers with the cosignature's line. Deciding and keeping have to be one step: with
 * two submissions decided on the same record, the later answer could go back behind the earlier one.
 *
 * All memory is the arena's. Not thread-safe.
 */
#ifndef LEDGERD_PROTO_WITNESS_H
#define LEDGERD_PROTO_WITNESS_H

#include "note.h"

#define WITNESS_PROOF_MAX 63      /* lines of a consistency proof */
#define WITNESS_ORIGIN_KEYS_MAX (NOTE_SIGS_MAX - 1) /* keys that one origin may have: each signs one line of a record, the witness another */
#define WITNESS_LINE_MAX (NOTE_NAME_MAX + 128) /* of the witness's own */
/* A submission: "old ", 20 digits, newline; the proof's lines of 44 characters and a newline; an empty line; the note. */
#define WITNESS_BODY_MAX (4 + 20 + 1 + WITNESS_PROOF_MAX * 45 + 1 + NOTE_SIZE_MAX)

/* HTTP statuses of tlog-witness. */
enum witness_status {
    WITNESS_COSIGN = 200,
    WITNESS_MALFORMED = 400,    /* also: the old size is larger than the checkpoint's; the note leaves no room for a cosignature */
    WITNESS_UNSIGNED = 403,     /* no signature by a key of the log, or one in its name that does not verify */
    WITNESS_UNKNOWN = 404,      /* the origin: for the caller, who looks it up */
    WITNESS_CONFLICT = 409,     /* the old size is not the record's; the answer is the record's size */
    WITNESS_INCONSISTENT = 422, /* the proof does not prove it */
    WITNESS_NOT_YET = 503,      /* outside the protocol: an auditing witness has not come so far; to be asked again */
};

struct witness_submission {
    uint64_t old;
    size_t n;
    struct hash proof[WITNESS_PROOF_MAX];
    struct span bytes; /* the note, borrowed from the body */
    struct note note;
    struct checkpoint cp;
};
/* Strict. EINVAL and ELIMIT: malformed, err says where; ENOMEM. */
enum ledger_rc witness_submission_parse(struct arena *a, struct span body, struct witness_submission *out, struct ledger_err *err)
    LEDGER_MUST_USE;

struct witness_record {
    bool present;      /* false: never cosigned; size is 0 */
    uint64_t size;
    struct hash root;
    uint64_t time_s;   /* of the cosignature, POSIX seconds */
    struct span note;  /* as it is kept */
};
/* Reads a record that this witness has written: EINVAL unless it is a checkpoint of the origin under a valid cosignature by `key`, so that
 * a damaged record is noticed and never taken for another. The log's signatures are not asked for again: its keys may have changed. */
enum ledger_rc witness_record_parse(struct crypto *c, struct arena *a, const struct note_key *key, struct span origin, struct span note,
                                    struct witness_record *out, struct ledger_err *err) LEDGER_MUST_USE;

struct witness_decision {
    enum witness_status status;
    uint64_t signers;       /* a bit for each of keys[] that has signed the checkpoint */
    bool fork;              /* two checkpoints of one size with different roots, both signed by the log: proof to anybody */
    struct ledger_err why;  /* a sentence, unless status is WITNESS_COSIGN */
};
/* Decides on a submission for an origin with the keys that its log may sign with (n_keys <= WITNESS_ORIGIN_KEYS_MAX). */
void witness_decide(struct crypto *c, struct arena *a, const struct witness_submission *s, const struct note_key *keys, size_t n_keys,
                    const struct witness_record *record, struct witness_decision *out);

/* The new record and the answer's line (the record's last one), for a submission that was decided WITNESS_COSIGN. `keys` and `signers` as
 * in the decision; time_s is raised to the former record's, since "the largest tree seen by then" would be untrue of an earlier time.
 * False when memory is out, or `secret` is not `key`'s. */
bool witness_cosign(struct crypto *c, struct arena *a, const struct witness_submission *s, const struct note_key *keys,
                    const struct witness_decision *decision, const struct witness_record *former, const struct note_key *key,
                    const struct secret_key *secret, uint64_t time_s, struct witness_record *out, struct span *line) LEDGER_MUST_USE;

/* ---- which logs ---- */
struct witness_origin {
    struct span name;  /* the origin, which is the keys' name */
    unsigned n_keys;   /* several: a log whose key has changed, or that signs with two */
    struct note_key *keys;
};
struct witness_logs {
    size_t n;
    struct witness_origin *origins; /* ascending by name */
};
/* The `log` lines of a C2SP tlog-policy, any number of them; `quorum none` is allowed, witnesses and groups are not. EINVAL and ELIMIT
 * name the line. */
enum ledger_rc witness_logs_parse(struct crypto *c, struct arena *a, struct span text, struct witness_logs *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* NULL: not one of them. */
const struct witness_origin *witness_logs_find(const struct witness_logs *logs, struct span origin);

#endif
