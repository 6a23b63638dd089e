/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key: draws, reads, writes and uses signing keys. Secret bytes are wiped from every buffer that held them.
 * May include: POSIX, getrandom.
 */
#include "key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event.h"
#include "note.h"
#include "profile.h"

#define KEY_FILE_MAX 4096

static const char *alg_name(enum sig_alg alg)
{
    return alg == SIG_ED25519 ? "ed25519" : "p256";
}

static bool alg_parse(struct span s, enum sig_alg *out)
{
    *out = span_eq(s, SPAN_LIT("ed25519")) ? SIG_ED25519 : SIG_P256;
    return *out == SIG_ED25519 || span_eq(s, SPAN_LIT("p256"));
}

/* Takes a seed and a party that are known to be well formed. */
static enum ledger_rc key_make(enum sig_alg alg, struct span party, const uint8_t seed[32], struct ledger_key **out,
                               struct ledger_err *err)
{
    struct ledger_key *k = calloc(1, sizeof *k);
    if (!k || !(k->c = crypto_new())) {
        free(k);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    if (!crypto_secret_from_seed(k->c, alg, seed, &k->secret)) {
        ledger_key_free(k);
        return ledger_fail(err, LEDGER_EINVAL, "these 32 bytes are no secret key of %s", alg_name(alg));
    }
    memcpy(k->party, party.p, party.n);
    struct span pub = span_of(k->secret.pub, k->secret.pub_len);
    key_text_format(alg, pub, k->public_text);
    crypto_key_id(k->c, alg, pub, k->id);
    *out = k;
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_key_new(const char *algorithm, const char *party, struct ledger_key **out,
                                         struct ledger_err *err)
{
    enum sig_alg alg;
    uint8_t seed[32];
    *out = NULL;
    if (!alg_parse(span_str(algorithm), &alg))
        return ledger_fail(err, LEDGER_EINVAL, "no such algorithm: \"%.40s\"; there are ed25519 and p256", algorithm);
    if (!id_valid(span_str(party)))
        return ledger_fail(err, LEDGER_EINVAL, "the party is not 1 to 96 printable ASCII characters without space");
    /* A P-256 scalar must be below the group's order: about one draw in 2^32 is not, and is drawn again. */
    enum ledger_rc rc = LEDGER_EINVAL;
    for (unsigned tries = 0; tries < 8 && rc == LEDGER_EINVAL; tries++) {
        if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed)
            return ledger_fail(err, LEDGER_EIO, "the system gives no random bytes");
        rc = key_make(alg, span_str(party), seed, out, err);
    }
    explicit_bzero(seed, sizeof seed);
    return rc;
}

LEDGER_API void ledger_key_free(struct ledger_key *k)
{
    if (!k)
        return;
    crypto_secret_wipe(&k->secret);
    crypto_free(k->c);
    free(k);
}

/* ---- file ---- */

/* The rest of the next line if it begins with `label`; SPAN_NONE if it does not. */
static struct span labelled_line(struct span *text, const char *label)
{
    size_t label_n = strlen(label);
    const uint8_t *end = text->n ? memchr(text->p, '\n', text->n) : NULL;
    if (!end || (size_t)(end - text->p) < label_n || memcmp(text->p, label, label_n) != 0)
        return SPAN_NONE;
    struct span rest = span_of(text->p + label_n, (size_t)(end - text->p) - label_n);
    size_t used = (size_t)(end - text->p) + 1;
    *text = span_of(text->p + used, text->n - used);
    return rest;
}

enum ledger_rc key_text_read(struct span text, struct ledger_key **out, struct ledger_err *err)
{
    enum sig_alg alg;
    uint8_t seed[32];
    size_t seed_n = 0;
    *out = NULL;
    struct span first = labelled_line(&text, "ledgerd key v");
    if (!first.p)
        return ledger_fail(err, LEDGER_EINVAL, "not a key file: the first line is not \"ledgerd key v1\"");
    if (!span_eq(first, SPAN_LIT("1")))
        return ledger_fail(err, LEDGER_EVERSION, "a key file of a newer version");
    struct span party = labelled_line(&text, "party: ");
    if (!party.p || !id_valid(party))
        return ledger_fail(err, LEDGER_EINVAL, "the line \"party: ID\" is missing or is no id");
    struct span algorithm = labelled_line(&text, "algorithm: ");
    if (!algorithm.p || !alg_parse(algorithm, &alg))
        return ledger_fail(err, LEDGER_EINVAL, "the line \"algorithm: ed25519\" or \"algorithm: p256\" is missing");
    struct span public_text = labelled_line(&text, "public: ");
    if (!public_text.p)
        return ledger_fail(err, LEDGER_EINVAL, "the line \"public: KEY\" is missing");
    struct span secret = labelled_line(&text, "secret: ");
    if (!secret.p || !b64_decode(secret, seed, sizeof seed, &seed_n) || seed_n != sizeof seed || text.n != 0) {
        explicit_bzero(seed, sizeof seed);
        return ledger_fail(err, LEDGER_EINVAL, "the last line is not \"secret: \" and 32 bytes in base64");
    }
    enum ledger_rc rc = key_make(alg, party, seed, out, err);
    explicit_bzero(seed, sizeof seed);
    if (rc == LEDGER_OK && !span_eq(public_text, span_str((*out)->public_text))) {
        ledger_key_free(*out);
        *out = NULL;
        return ledger_fail(err, LEDGER_EINVAL, "the public key is not the one that belongs to the secret");
    }
    return rc;
}

static enum ledger_rc check_mode(const char *path, struct ledger_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return ledger_fail(err, errno == ENOENT ? LEDGER_ENOTFOUND : LEDGER_EIO, "cannot open %s: %s", path, strerror(errno));
    if (st.st_mode & 077)
        return ledger_fail(err, LEDGER_EINVAL, "%s can be used by others (mode %04o): chmod 600 it", path,
                           (unsigned)(st.st_mode & 07777));
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_key_load(const char *path, struct ledger_key **out, struct ledger_err *err)
{
    struct span text = SPAN_NONE;
    *out = NULL;
    enum ledger_rc rc = check_mode(path, err);
    if (rc != LEDGER_OK)
        return rc;
    struct arena *a = arena_new(2 * KEY_FILE_MAX);
    if (!a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    rc = file_read(a, path, KEY_FILE_MAX, &text, err);
    if (rc == LEDGER_OK) {
        rc = key_text_read(text, out, err);
        if (rc != LEDGER_OK)
            ledger_wrap(err, rc, "%.120s", path);
        /* Our own memory, lent as const. */
        explicit_bzero((void *)(uintptr_t)text.p, text.n);
    }
    arena_free(a);
    return rc;
}

LEDGER_API enum ledger_rc ledger_key_save(const struct ledger_key *k, const char *path, struct ledger_err *err)
{
    char text[512], secret[64];
    b64_encode(span_of(k->secret.seed, sizeof k->secret.seed), secret);
    int n = snprintf(text, sizeof text, "ledgerd key v1\nparty: %s\nalgorithm: %s\npublic: %s\nsecret: %s\n", k->party,
                     alg_name(k->secret.alg), k->public_text, secret);
    enum ledger_rc rc = LEDGER_EINTERNAL;
    if (n > 0 && (size_t)n < sizeof text)
        rc = file_create(path, span_of(text, (size_t)n), err);
    explicit_bzero(text, sizeof text);
    explicit_bzero(secret, sizeof secret);
    return rc;
}

/* ---- use ---- */

LEDGER_API const char *ledger_key_party(const struct ledger_key *k)
{
    return k->party;
}
LEDGER_API const char *ledger_key_public(const struct ledger_key *k)
{
    return k->public_text;
}

enum ledger_rc key_sign(struct ledger_key *k, struct span message, uint8_t out[64], struct ledger_err *err)
{
    if (!crypto_make_signature(k->c, &k->secret, message, out))
        return ledger_fail(err, LEDGER_EINTERNAL, "the cryptographic library could not sign");
    return LEDGER_OK;
}

LEDGER_API enum ledger_rc ledger_key_prove(struct ledger_key *k, const char *origin, uint8_t proof[64], struct ledger_err *err)
{
    if (!origin_valid(span_str(origin)))
        return ledger_fail(err, LEDGER_EINVAL, "\"%.80s\" is no name of a ledger", origin);
    struct arena *a = arena_new(16384);
    if (!a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    struct span input = key_proof_input(a, span_str(origin), span_str(k->party), k->secret.alg,
                                        span_of(k->secret.pub, k->secret.pub_len));
    enum ledger_rc rc = input.p ? key_sign(k, input, proof, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    arena_free(a);
    return rc;
}
