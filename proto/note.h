/* SPDX-License-Identifier: Apache-2.0 */
/*
 * note: C2SP signed notes (c2sp.org/signed-note), checkpoints (c2sp.org/tlog-checkpoint),
 * cosignature/v1 (c2sp.org/tlog-cosignature) and trust policies (c2sp.org/tlog-policy), byte-exact.
 */
#ifndef LEDGERD_PROTO_NOTE_H
#define LEDGERD_PROTO_NOTE_H

#include "merkle.h"

#define NOTE_SIZE_MAX 65536    /* whole note, bytes */
#define NOTE_SIGS_MAX 64       /* signature lines that are read */
#define NOTE_NAME_MAX 255
#define ORIGIN_MAX 128         /* origins of our ledgers */

enum note_key_type {
    NOTE_ED25519 = 0x01,
    NOTE_ECDSA = 0x02,          /* key is DER SPKI; key id = SHA-256(SPKI)[0:4]; signature DER over SHA-256 */
    NOTE_COSIGNATURE_V1 = 0x04, /* Ed25519 timestamped cosignature */
};

/* A verifier key ("vkey"): <name>+<8 hex>+<base64(type ‖ key)>. */
struct note_key {
    char name[NOTE_NAME_MAX + 1];
    uint8_t id[4];
    uint8_t type;
    uint8_t key[128];
    size_t key_n;
};
enum ledger_rc note_key_parse(struct crypto *c, struct span vkey, struct note_key *out,
                              struct ledger_err *err) LEDGER_MUST_USE;
/* Formats a vkey; returns its length. out needs NOTE_NAME_MAX + 200 bytes. */
size_t note_key_format(const struct note_key *k, char *out);
/* Makes a key from parts and computes its id. False if the name is no signed-note name. */
bool note_key_make(struct crypto *c, const char *name, uint8_t type, struct span key,
                   struct note_key *out) LEDGER_MUST_USE;
bool note_name_valid(struct span name);
/* Origins of our ledgers: a note name, 1..ORIGIN_MAX bytes of printable ASCII without space and '+'. */
bool origin_valid(struct span origin);

struct note_sig {
    struct span name;
    uint8_t id[4];
    uint8_t sig[4096];
    size_t sig_n; /* 0 if longer than sig[]: verifies under no key */
};
/* A parsed note borrows from the input. text ends with its newline. */
struct note {
    struct span text;
    struct span sigs_text; /* the signature lines as they stand */
    size_t n;
    struct note_sig *sigs; /* from the arena */
};
enum ledger_rc note_parse(struct arena *a, struct span bytes, struct note *out, struct ledger_err *err)
    LEDGER_MUST_USE;

/* signed-note verification: a signature by a known (name, id) that fails rejects the note; unknown ones
 * are ignored. True if nothing known failed; *matched (may be NULL) gets a bit for each of keys[] (n <= 64)
 * that signed; *times (may be NULL, n entries) the time of cosignatures. */
bool note_verify(struct crypto *c, struct arena *a, const struct note *n, const struct note_key *keys,
                 size_t n_keys, uint64_t *matched, uint64_t *times) LEDGER_MUST_USE;

/* Signature line "— name base64\n" for an Ed25519 key over a text; appended to w. */
void note_sign_line(struct crypto *c, const struct note_key *k, const struct secret_key *secret,
                    struct span text, struct wbuf *w);
/* cosignature/v1 line at `time_s` (POSIX seconds) over a checkpoint's note text; appended to w. */
void note_cosign_line(struct crypto *c, const struct note_key *k, const struct secret_key *secret,
                      uint64_t time_s, struct span text, struct wbuf *w);

struct checkpoint {
    struct span origin; /* borrowed from the text */
    uint64_t size;
    struct hash root;
};
/* The three lines of a checkpoint text, appended to w. */
void checkpoint_text(const struct checkpoint *cp, struct wbuf *w);
/* A tree size in decimal: digits without sign and leading zeros, at most UINT64_MAX. */
bool note_size_parse(struct span s, uint64_t *out) LEDGER_MUST_USE;
/* Strict parse of a note text (extension lines are allowed and ignored). */
enum ledger_rc checkpoint_parse(struct span text, struct checkpoint *out, struct ledger_err *err)
    LEDGER_MUST_USE;
/* text + blank line + the log's own signature line: a complete note. */
void checkpoint_sign(struct crypto *c, const struct note_key *k, const struct secret_key *secret,
                     const struct checkpoint *cp, struct wbuf *w);

#define POLICY_MAX 32 /* logs, witnesses and groups of a policy file, each */
#define POLICY_LOGS_MAX 64 /* with those that follow from changes of a log's key (log_keys.h) */
struct policy_member { bool is_group; unsigned index; };
struct policy_group {
    char name[64];
    unsigned k;                 /* how many members must have signed */
    unsigned n;
    struct policy_member members[POLICY_MAX];
};
struct policy {
    unsigned n_logs, n_witnesses, n_groups;
    struct note_key logs[POLICY_LOGS_MAX];
    /* Which sizes a log's key signs: log_from <= size, and size < log_until unless that is 0. From a file: all of them. Known once a
     * change of the key was followed. */
    uint64_t log_from[POLICY_LOGS_MAX], log_until[POLICY_LOGS_MAX];
    struct note_key witnesses[POLICY_MAX];
    char witness_names[POLICY_MAX][64];
    char witness_urls[POLICY_MAX][256];
    char log_urls[POLICY_MAX][256]; /* of those in the file */
    struct policy_group groups[POLICY_MAX];
    bool quorum_none;
    struct policy_member quorum;
    int auditors; /* index of the group or, if a witness is named so, −2 − its index; named "auditors"; −1 if none */
};
/* c2sp.org/tlog-policy. `err` names the line. */
enum ledger_rc policy_parse(struct crypto *c, struct span text, struct policy *out, struct ledger_err *err)
    LEDGER_MUST_USE;

/* What a checkpoint note is worth under a policy. */
struct policy_verdict {
    bool log_signed;       /* by a log of the policy whose key name is the origin */
    bool quorum_met;       /* always true with `quorum none` */
    bool auditors_signed;  /* a group `auditors` exists and its threshold is met */
    uint64_t cosigned_at;  /* POSIX seconds: the newest time at which the quorum held; 0 if none */
    uint32_t witnesses;    /* bit i: policy.witnesses[i] has cosigned */
    uint64_t seen_at;      /* POSIX seconds: the newest cosignature of any of these; 0 if none */
    unsigned log;          /* index into policy.logs */
    /* Not log_signed, but a log's key has signed it that is known to sign no checkpoint of this size: one that was replaced, or that was
     * not in force yet. */
    bool wrong_key;
};
/* False with err if the note is malformed or a known key's signature fails; out->log_signed then says whether the log's own did not:
 * somebody has put a false line of a witness under a true checkpoint. cp borrows from bytes. */
bool policy_check(struct crypto *c, struct arena *a, const struct policy *p, struct span bytes,
                  struct checkpoint *cp, struct policy_verdict *out, struct ledger_err *err) LEDGER_MUST_USE;

#endif
