/* SPDX-License-Identifier: Apache-2.0 */
/* test_key_file: key files are written, read back, and refused when anything in them does not fit. */
#include <fcntl.h>
#include <sys/stat.h>

#include "event.h"
#include "key.h"
#include "lib/check.h"

#define PARTY "qa.suzuki@hospital.example"

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[128];
    if (!folder[0]) {
        strcpy(folder, "/tmp/ledgerd-key-XXXXXX");
        CHECK(mkdtemp(folder) != NULL);
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void clean_up(const char *path)
{
    unlink(path);
    rmdir(folder);
}

static void round_trip(const char *algorithm)
{
    struct ledger_err err = {0};
    struct ledger_key *made, *read;
    const char *path = in_folder("a.key");
    struct stat st;
    CHECK_EQ_INT(ledger_key_new(algorithm, PARTY, &made, &err), LEDGER_OK);
    CHECK_EQ_INT(ledger_key_save(made, path, &err), LEDGER_OK);
    CHECK_EQ_INT(stat(path, &st), 0);
    CHECK_EQ_INT(st.st_mode & 07777, 0600);
    CHECK_EQ_INT(ledger_key_load(path, &read, &err), LEDGER_OK);
    CHECK_EQ_STR(ledger_key_party(read), PARTY);
    CHECK_EQ_STR(ledger_key_public(read), ledger_key_public(made));
    CHECK_EQ_MEM(read->secret.seed, made->secret.seed, 32);
    CHECK_EQ_MEM(read->id, made->id, KEY_ID_LEN);
    /* Never overwritten. */
    CHECK_EQ_INT(ledger_key_save(made, path, &err), LEDGER_EINVAL);
    ledger_key_free(made);
    ledger_key_free(read);
    clean_up(path);
}

TEST(round_trip_ed25519)
{
    round_trip("ed25519");
}

TEST(round_trip_p256)
{
    round_trip("p256");
}

TEST(new_keys_differ)
{
    struct ledger_key *a, *b;
    CHECK_EQ_INT(ledger_key_new("ed25519", "x", &a, NULL), LEDGER_OK);
    CHECK_EQ_INT(ledger_key_new("ed25519", "x", &b, NULL), LEDGER_OK);
    CHECK(strcmp(ledger_key_public(a), ledger_key_public(b)) != 0);
    ledger_key_free(a);
    ledger_key_free(b);
}

TEST(arguments)
{
    struct ledger_err err = {0};
    struct ledger_key *k;
    CHECK_EQ_INT(ledger_key_new("rsa", PARTY, &k, &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, "rsa") != NULL);
    CHECK_EQ_INT(ledger_key_new("ed25519", "two words", &k, &err), LEDGER_EINVAL);
    CHECK_EQ_INT(ledger_key_new("ed25519", "", &k, &err), LEDGER_EINVAL);
    CHECK_EQ_INT(ledger_key_load("/nonexistent/x.key", &k, &err), LEDGER_ENOTFOUND);
    CHECK(k == NULL);
}

TEST(readable_by_others_is_refused)
{
    struct ledger_err err = {0};
    struct ledger_key *k, *read;
    const char *path = in_folder("open.key");
    CHECK_EQ_INT(ledger_key_new("ed25519", PARTY, &k, &err), LEDGER_OK);
    CHECK_EQ_INT(ledger_key_save(k, path, &err), LEDGER_OK);
    CHECK_EQ_INT(chmod(path, 0640), 0);
    CHECK_EQ_INT(ledger_key_load(path, &read, &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, "0640") != NULL);
    ledger_key_free(k);
    clean_up(path);
}

/* A file that is right in every part; each test below spoils one. */
static char good[512];

static void make_good(void)
{
    struct crypto *c = crypto_new();
    struct secret_key s;
    uint8_t seed[32];
    char pub[KEY_TEXT_MAX], secret[64];
    memset(seed, 1, sizeof seed);
    CHECK(crypto_secret_from_seed(c, SIG_ED25519, seed, &s));
    key_text_format(SIG_ED25519, span_of(s.pub, s.pub_len), pub);
    b64_encode(span_of(seed, 32), secret);
    snprintf(good, sizeof good, "ledgerd key v1\nparty: %s\nalgorithm: ed25519\npublic: %s\nsecret: %s\n", PARTY, pub, secret);
    crypto_free(c);
}

static enum ledger_rc read_text(const char *text, struct ledger_err *err)
{
    struct ledger_key *k;
    enum ledger_rc rc = key_text_read(span_str(text), &k, err);
    ledger_key_free(k);
    return rc;
}

static void replaced(const char *from, const char *to, enum ledger_rc expected)
{
    char text[600];
    struct ledger_err err = {0};
    const char *at = strstr(good, from);
    CHECK(at != NULL);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    CHECK_EQ_INT(read_text(text, &err), expected);
    if (expected != LEDGER_OK)
        CHECK(err.msg[0] != 0);
}

TEST(anything_else_is_refused)
{
    make_good();
    struct ledger_err err = {0};
    CHECK_EQ_INT(read_text(good, &err), LEDGER_OK);
    replaced("ledgerd key v1", "ledgerd key v2", LEDGER_EVERSION);
    replaced("ledgerd key v1", "key v1", LEDGER_EINVAL);
    replaced("party: ", "party:", LEDGER_EINVAL);
    replaced("algorithm: ed25519", "algorithm: p256", LEDGER_EINVAL);
    replaced("secret: A", "secret: B", LEDGER_EINVAL);
    replaced("public: ed25519:", "public: ed25519:A", LEDGER_EINVAL);
    replaced("\nsecret", "\r\nsecret", LEDGER_EINVAL);
    replaced("=\n", "=\nmore\n", LEDGER_EINVAL);
    good[strlen(good) - 1] = 0;
    CHECK_EQ_INT(read_text(good, &err), LEDGER_EINVAL);
}

TEST(proof_of_possession_verifies)
{
    struct ledger_key *k;
    uint8_t proof[64];
    struct crypto *c = crypto_new();
    struct arena *a = arena_new(65536);
    CHECK_EQ_INT(ledger_key_new("p256", PARTY, &k, NULL), LEDGER_OK);
    CHECK_EQ_INT(ledger_key_prove(k, "a.example/ledger", proof, NULL), LEDGER_OK);
    struct span pub = span_of(k->secret.pub, k->secret.pub_len);
    struct span right = key_proof_input(a, SPAN_LIT("a.example/ledger"), SPAN_LIT(PARTY), SIG_P256, pub);
    struct span wrong = key_proof_input(a, SPAN_LIT("b.example/ledger"), SPAN_LIT(PARTY), SIG_P256, pub);
    CHECK(crypto_verify(c, SIG_P256, pub, right, span_of(proof, 64)));
    CHECK(!crypto_verify(c, SIG_P256, pub, wrong, span_of(proof, 64)));
    CHECK_EQ_INT(ledger_key_prove(k, "has space", proof, NULL), LEDGER_EINVAL);
    ledger_key_free(k);
    arena_free(a);
    crypto_free(c);
}

TEST_MAIN(TEST_ENTRY(round_trip_ed25519), TEST_ENTRY(round_trip_p256), TEST_ENTRY(new_keys_differ), TEST_ENTRY(arguments),
          TEST_ENTRY(readable_by_others_is_refused), TEST_ENTRY(anything_else_is_refused),
          TEST_ENTRY(proof_of_possession_verifies))
