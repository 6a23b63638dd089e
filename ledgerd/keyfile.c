/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyfile: reading and writing key files.
 *
 * Failure modes: a file that is not exactly as written by keyfile_write is EINVAL with the line that is wrong; a public key that is
 * not the secret's is EINVAL too, because signing with it would make signatures that nobody can verify.
 */
#include "keyfile.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "files.h"

#define KEYFILE_SIZE_MAX 1024
#define KEYFILE_ARENA (16u << 10)

static const char *alg_name(enum sig_alg alg)
{
    return alg == SIG_P256 ? "p256" : "ed25519";
}

enum ledger_rc keyfile_write(const char *path, const char *party, const struct secret_key *k, struct ledger_err *err)
{
    char text[KEYFILE_SIZE_MAX], public_text[KEY_TEXT_MAX], secret[64];
    key_text_format(k->alg, span_of(k->pub, k->pub_len), public_text);
    b64_encode(span_of(k->seed, sizeof k->seed), secret);
    int n = snprintf(text, sizeof text, "ledgerd key v1\nparty: %s\nalgorithm: %s\npublic: %s\nsecret: %s\n", party,
                     alg_name(k->alg), public_text, secret);
    enum ledger_rc rc;
    if (n < 0 || (size_t)n >= sizeof text || strlen(party) > KEYFILE_PARTY_MAX)
        rc = ledger_fail(err, LEDGER_EINVAL, "%s: the party's name is too long", path);
    else
        rc = files_create(path, span_of(text, (size_t)n), err);
    OPENSSL_cleanse(text, sizeof text);
    OPENSSL_cleanse(secret, sizeof secret);
    return rc;
}

/* Takes the line "LABEL…" off *s; SPAN_NONE if it does not begin so or does not end in a newline. */
static struct span take_line(struct span *s, const char *label)
{
    size_t n = strlen(label);
    const uint8_t *end = s->n ? memchr(s->p, '\n', s->n) : NULL;
    if (!end || (size_t)(end - s->p) < n || memcmp(s->p, label, n) != 0)
        return SPAN_NONE;
    struct span value = {s->p + n, (size_t)(end - s->p) - n};
    s->n -= (size_t)(end + 1 - s->p);
    s->p = end + 1;
    return value;
}

/* NULL, or which line is wrong. */
static const char *parse(struct crypto *c, struct span text, char *party, struct secret_key *k)
{
    uint8_t seed[32], key[KEY_LEN_MAX];
    size_t seed_n = 0, key_n = 0;
    struct span first = take_line(&text, "ledgerd key v1");
    if (!first.p || first.n)
        return "does not begin with \"ledgerd key v1\"";
    struct span who = take_line(&text, "party: ");
    if (!who.p || who.n < 1 || who.n > KEYFILE_PARTY_MAX || memchr(who.p, 0, who.n))
        return "the second line is no \"party: ID\"";
    struct span alg = take_line(&text, "algorithm: ");
    enum sig_alg number = span_eq(alg, SPAN_LIT("p256")) ? SIG_P256 : SIG_ED25519, named;
    if (!span_eq(alg, span_str(alg_name(number))))
        return "the third line is no \"algorithm: ed25519\" or \"algorithm: p256\"";
    struct span public_text = take_line(&text, "public: ");
    if (!public_text.p || !key_text_parse(public_text, &named, key, &key_n) || named != number)
        return "the fourth line is no public key of that algorithm";
    struct span secret = take_line(&text, "secret: ");
    bool ok = secret.p && text.n == 0 && b64_decode(secret, seed, sizeof seed, &seed_n) && seed_n == sizeof seed &&
              crypto_secret_from_seed(c, number, seed, k);
    OPENSSL_cleanse(seed, sizeof seed);
    if (!ok)
        return "the fifth and last line is no secret key of that algorithm";
    if (!span_eq(span_of(key, key_n), span_of(k->pub, k->pub_len))) {
        crypto_secret_wipe(k);
        return "the public key is not that of the secret key";
    }
    if (party) {
        memcpy(party, who.p, who.n);
        party[who.n] = '\0';
    }
    return NULL;
}

/* Reads a secret text into a buffer that the caller wipes. */
static enum ledger_rc read_secret(const char *path, uint8_t *buf, size_t max, size_t *n, struct ledger_err *err)
{
    struct arena *a = arena_new(KEYFILE_ARENA);
    struct span text = SPAN_NONE;
    if (!a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = files_read(a, path, max, &text, err);
    if (rc == LEDGER_OK) {
        memcpy(buf, text.p, text.n);
        *n = text.n;
        OPENSSL_cleanse((void *)(uintptr_t)text.p, text.n); /* The arena frees without wiping. */
    }
    arena_free(a);
    return rc;
}

enum ledger_rc keyfile_read(struct crypto *c, const char *path, char *party, struct secret_key *k, struct ledger_err *err)
{
    uint8_t text[KEYFILE_SIZE_MAX];
    size_t n = 0;
    enum ledger_rc rc = read_secret(path, text, sizeof text, &n, err);
    if (rc == LEDGER_OK) {
        const char *fault = parse(c, span_of(text, n), party, k);
        if (fault)
            rc = ledger_fail(err, LEDGER_EINVAL, "%s: %s", path, fault);
    }
    OPENSSL_cleanse(text, sizeof text);
    return rc;
}

enum ledger_rc keyfile_write_index(const char *path, const struct hash *key, struct ledger_err *err)
{
    char text[2 * HASH_LEN + 2];
    hex_encode(span_of(key->b, HASH_LEN), text);
    text[2 * HASH_LEN] = '\n';
    return files_create(path, span_of(text, 2 * HASH_LEN + 1), err);
}

enum ledger_rc keyfile_read_index(const char *path, struct hash *key, struct ledger_err *err)
{
    uint8_t text[2 * HASH_LEN + 1];
    size_t n = 0;
    enum ledger_rc rc = read_secret(path, text, sizeof text, &n, err);
    if (rc != LEDGER_OK)
        return rc;
    if (n != sizeof text || text[2 * HASH_LEN] != '\n' || !hex_decode(span_of(text, 2 * HASH_LEN), key->b))
        return ledger_fail(err, LEDGER_EINVAL, "%s: is not 64 hexadecimal digits and a newline", path);
    return LEDGER_OK;
}
