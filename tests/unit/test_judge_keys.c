/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge over the wire: signatures count under the present key only, keys must be valid, new and
 * possessed, references belong to their first signer, corrections name the event id. And what
 * errors of the store do.
 */
#include "lifecycle.h"

#include "line.h"

static unsigned refused_signature = 99;

static bool signature_ok(void *ctx, unsigned i, const struct party_state *p)
{
    (void)ctx;
    CHECK(p->registered > 0);
    return i != refused_signature;
}

/* Registers everybody as in a simulation, then goes over to the wire. */
static struct life wire_begin(void)
{
    struct life l = life_begin();
    l.s.wire = true;
    l.s.signature_ok = signature_ok;
    return l;
}

/* A key pair from a seed; its text and the base64 of its proof for a party. */
struct pair {
    char key[KEY_TEXT_MAX];
    char proof[128];
};

static struct pair make_key(struct life *l, enum sig_alg alg, uint8_t seed, const char *party)
{
    struct pair out;
    struct secret_key secret;
    uint8_t bytes[32], sig[64];
    memset(bytes, seed, sizeof bytes);
    CHECK(crypto_secret_from_seed(l->s.c, alg, bytes, &secret));
    struct span pub = span_of(secret.pub, secret.pub_len);
    key_text_format(alg, pub, out.key);
    struct span input =
        key_proof_input(l->s.a, SPAN_LIT("test.example/ledger"), span_str(party), alg, pub);
    CHECK(input.p && crypto_make_signature(l->s.c, &secret, input, sig));
    b64_encode(span_of(sig, sizeof sig), out.proof);
    return out;
}

/* PARTY_REGISTERED with a key proof, which is no field and so stands beside them in the line. */
static enum refusal_code party(struct life *l, const char *action, const char *who, const char *key,
                               const char *proof)
{
    char text[1024], now[TIME_TEXT_MAX];
    time_format(l->now_us, now);
    l->now_us += 60000000;
    snprintf(text, sizeof text,
             "{\"id\":\"p-%u\",\"kind\":\"PARTY_REGISTERED\",\"occurred\":\"%s\",\"recorded\":\"%"
             "s\",\"signers\":"
             "[{\"party\":\"u.admin\",\"meaning\":\"m\"}],%s%s%s\"fields\":{\"action\":\"%s\","
             "\"party\":\"%s\",\"roles\":"
             "[\"QA\"],\"org\":\"CPC\",\"pubkey\":\"%s\"}}",
             ++l->events, now, now, *proof ? "\"key_proof\":\"" : "", proof, *proof ? "\"," : "",
             action, who, key);
    return simulate_line(&l->s, span_str(text), &l->why);
}

#define IS(expression, code) CHECK_EQ_STR(refusal_name(expression), refusal_name(code))

TEST(keys)
{
    struct life l = wire_begin();
    struct pair a = make_key(&l, SIG_ED25519, 1, "u.a"), b = make_key(&l, SIG_P256, 2, "u.b");
    IS(party(&l, "REGISTER", "u.a", "", ""), E_KEY_INVALID);
    WHY(&l, "party u.a", "pubkey");
    IS(party(&l, "REGISTER", "u.a", "rsa:AAAA", a.proof), E_KEY_INVALID);
    IS(party(&l, "REGISTER", "u.a",
             "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", a.proof),
       E_KEY_INVALID);
    CHECK(strstr(l.why.text, "full-order") != NULL);
    IS(party(&l, "REGISTER", "u.a", a.key, ""), E_KEY_INVALID);
    CHECK(strstr(l.why.text, "proof") != NULL);
    IS(party(&l, "REGISTER", "u.a", a.key, b.proof), E_KEY_INVALID);
    IS(party(&l, "REGISTER", "u.x", a.key, a.proof), E_KEY_INVALID);
    IS(party(&l, "REGISTER", "u.a", a.key, a.proof), REFUSE_NONE);
    IS(party(&l, "REGISTER", "u.b", b.key, b.proof), REFUSE_NONE);
    /* A key is never used again, by nobody. */
    struct pair again = make_key(&l, SIG_ED25519, 1, "u.b");
    IS(party(&l, "ROTATE_KEY", "u.b", again.key, again.proof), E_KEY_INVALID);
    CHECK(strstr(l.why.text, "u.a") != NULL);
    struct pair fresh = make_key(&l, SIG_ED25519, 3, "u.a");
    IS(party(&l, "ROTATE_KEY", "u.a", fresh.key, fresh.proof), REFUSE_NONE);
    IS(party(&l, "ROTATE_KEY", "u.a", a.key, a.proof), E_KEY_INVALID);
    /* The order of the rules: who is registered comes before the key. */
    IS(party(&l, "REGISTER", "u.a", "", ""), E_DUP_ITEM);
    IS(party(&l, "AMEND", "u.a", "", ""), REFUSE_NONE);
    struct judge j = simulation_judge(&l.s);
    struct loaded *ld = judge_load(&j, CHAIN_PARTY, SPAN_LIT("u.a"));
    CHECK(ld && ld->chain.party.alg == SIG_ED25519 && ld->chain.party.key.n == 32 &&
          ld->chain.party.revoked == 0);
    life_end(&l);
}

TEST(signatures_count)
{
    struct life l = wire_begin();
    life_material(&l, "M", "2027-01-01T00:00:00Z");
    refused_signature = 1;
    REFUSE(&l, E_SIG_INVALID, "QUALITY_DECISION", "u.qa+u.qp",
           "{'item':'M','decision':'RELEASE','spec_version':'1','reason':'r'}");
    WHY(&l, "party u.qp", "signatures[1]");
    /* That a signer is unknown comes first. */
    refused_signature = 0;
    REFUSE(&l, E_UNKNOWN_PARTY, "QUALITY_DECISION", "u.qa+u.nobody",
           "{'item':'M','decision':'RELEASE','spec_version':'1','reason':'r'}");
    refused_signature = 99;
    life_decide(&l, "M", "RELEASE");
    life_end(&l);
}

TEST(references_belong_to_signers)
{
    struct life l = wire_begin();
    l.reference = "same";
    life_material(&l, "A", "2027-01-01T00:00:00Z");
    l.reference = "same";
    REFUSE(&l, E_DUP_EVENT, "STORAGE_MOVED", "u.wh", "{'item':'A','location':'x'}");
    l.reference = "same";
    ACCEPT(&l, "STORAGE_MOVED", "u.op", "{'item':'A','location':'x'}");
    l.reference = "same";
    REFUSE(&l, E_SIG_MISSING, "STORAGE_MOVED", "", "{'item':'A','location':'x'}");
    life_end(&l);
}

TEST(corrections_name_event_ids)
{
    struct life l = wire_begin();
    char id[2 * HASH_LEN + 1], now[TIME_TEXT_MAX], text[512];
    time_format(l.now_us, now);
    snprintf(
        text, sizeof text,
        "{\"id\":\"x\",\"kind\":\"MATERIAL_RECEIVED\",\"occurred\":\"%s\",\"recorded\":\"%s\","
        "\"signers\":[{\"party\":"
        "\"u.wh\",\"meaning\":\"m\"}],\"nonce\":\"000102030405060708090a0b0c0d0e0f\",\"fields\":{"
        "\"item\":\"M\","
        "\"gtin\":\"1\",\"lot\":\"L\",\"supplier\":\"S\",\"quantity\":1,\"uom\":\"g\",\"expiry\":"
        "\"2027-01-01T00:00:00Z\",\"coa_hash\":\"c\",\"origin\":\"o\"}}",
        now, now);
    struct ledger_err err;
    struct line line;
    CHECK_EQ_INT(line_parse(l.s.a, span_str(text), &line, &err), LEDGER_OK);
    struct signer signer = {SPAN_LIT("u.wh"), SPAN_LIT("m")};
    IS(simulate(&l.s, &line.event, &signer, 1, line.recorded_us, &l.why), REFUSE_NONE);
    hex_encode(span_of(line.event.id.b, HASH_LEN), id);
    REFUSE(&l, E_CORRECT_TARGET, "EVENT_CORRECTED", "u.wh+u.qa",
           "{'target_event':'x','reason':'r','changes':[{'field':'lot','old':'L','new':'M'}]}");
    ACCEPT(&l, "EVENT_CORRECTED", "u.wh+u.qa",
           "{'target_event':'%s','reason':'r','changes':[{'field':'lot','old':'L','new':'M'}]}",
           id);
    const size_t last = 2 * HASH_LEN - 1; /* what begins like the id of an event is none */
    id[last] = id[last] == '0' ? '1' : '0';
    REFUSE(&l, E_CORRECT_TARGET, "EVENT_CORRECTED", "u.wh+u.qa",
           "{'target_event':'%s','reason':'r','changes':[{'field':'lot','old':'M','new':'N'}]}",
           id);
    id[0] = id[0] == 'a' ? 'A' : id[0];
    id[5] = id[5] == '0' ? '1' : '0';
    REFUSE(&l, E_CORRECT_TARGET, "EVENT_CORRECTED", "u.wh+u.qa",
           "{'target_event':'%s','reason':'r','changes':[{'field':'lot','old':'L','new':'M'}]}",
           id);
    life_end(&l);
}

/* The clock tolerance is the ledger's, and only the future is refused. */
TEST(tolerance)
{
    struct life l = life_begin();
    struct line line;
    struct ledger_err err;
    struct signer signer = {SPAN_LIT("u.consent"), SPAN_LIT("m")};
    struct refusal why;
    static const char text[] =
        "{\"id\":\"x\",\"kind\":\"COI_ASSIGNED\",\"occurred\":\"2026-06-01T00:05:00Z\",\"fields\":"
        "{\"coi\":\"C\",\"subject_commit\":\"x\",\"use\":\"AUTOLOGOUS\"}}";
    CHECK_EQ_INT(line_parse(l.s.a, span_str(text), &line, &err), LEDGER_OK);
    struct judge j = simulation_judge(&l.s);
    CHECK(time_parse(SPAN_LIT("2026-06-01T00:00:00Z"), &j.recorded_us));
    j.tolerance_us = 299999999;
    CHECK_EQ_INT(judge_event(&j, &line.event, &signer, 1, &why), LEDGER_EREFUSED);
    IS(why.code, E_TIME_FUTURE);
    j.tolerance_us = 300000000;
    CHECK_EQ_INT(judge_event(&j, &line.event, &signer, 1, &why), LEDGER_OK);
    CHECK(j.loaded && j.loaded->touched && !j.loaded->chain.count && j.loaded->chain.exists);
    life_end(&l);
}

/* ---- a store that fails, and memory that runs out, never give a verdict ---- */

struct failing {
    struct kv inner;
    unsigned countdown;
};

static enum ledger_rc failing_get(void *ctx, enum kv_table t, struct span key, struct span *value)
{
    struct failing *f = ctx;
    if (f->countdown-- == 0)
        return LEDGER_EIO;
    return kv_get(&f->inner, t, key, value);
}

static enum ledger_rc failing_put(void *ctx, enum kv_table t, struct span key, struct span value)
{
    (void)ctx, (void)t, (void)key, (void)value;
    fprintf(stderr, "the judge writes\n");
    exit(CHECK_EXIT_FAILED);
}

static const char give[] = "{\"id\":\"give\",\"kind\":\"ADMINISTERED\",\"occurred\":\"2026-04-"
                           "01T02:00:00Z\",\"fields\":{\"item\":\"BAG-1\",\"coi\":"
                           "\"C-1\",\"subject_commit_scanned\":\"commit of "
                           "C-1\",\"dose\":10,\"uom\":\"mL\",\"route\":\"IV\",\"site\":\"W\"}}";

TEST(store_errors)
{
    struct life l = life_begin();
    struct ledger_err err;
    struct line line;
    struct signer signers[] = {{SPAN_LIT("u.h1"), SPAN_LIT("m")},
                               {SPAN_LIT("u.h2"), SPAN_LIT("m")}};
    struct arena *text = arena_new(1 << 20);
    life_bags(&l);
    CHECK_EQ_INT(line_parse(text, span_str(give), &line, &err), LEDGER_OK);
    unsigned n = 0;
    for (;; n++) {
        struct failing failing = {l.s.kv, n};
        struct kv kv = {&failing, failing_get, failing_put};
        struct refusal why;
        arena_reset(l.s.a);
        struct judge j = simulation_judge(&l.s);
        j.kv = &kv;
        j.recorded_us = l.now_us + (int64_t)86400 * 1000000;
        enum ledger_rc rc = judge_event(&j, &line.event, signers, 2, &why);
        if (rc == LEDGER_OK)
            break;
        CHECK_EQ_INT(rc, LEDGER_EIO);
        CHECK(j.err.msg[0] != '\0');
    }
    CHECK(n >= 8);
    arena_free(text);
    life_end(&l);
}

/* The verdict of each line of a lifecycle, once as it is and, for each look-up that it takes, with
 * that one failing. */
static void fail_each_lookup(struct life *l, struct span text)
{
    struct arena *a = arena_new(1 << 20);
    struct ledger_err err;
    struct line line;
    struct signer signers[8];
    CHECK(a != NULL);
    CHECK_EQ_INT(line_parse(a, text, &line, &err), LEDGER_OK);
    for (size_t i = 0; i < line.n_signers; i++)
        signers[i] = (struct signer){line.signers[i].party, line.signers[i].meaning};
    enum ledger_rc rc = LEDGER_EIO;
    for (unsigned n = 0; rc == LEDGER_EIO; n++) {
        struct failing failing = {l->s.kv, n};
        struct kv kv = {&failing, failing_get, failing_put};
        struct refusal why;
        arena_reset(l->s.a);
        struct judge j = simulation_judge(&l->s);
        j.kv = &kv;
        j.recorded_us = line.recorded_us;
        rc = judge_event(&j, &line.event, signers, (unsigned)line.n_signers, &why);
        CHECK(rc == LEDGER_EIO || rc == LEDGER_OK || rc == LEDGER_EREFUSED);
        CHECK(n < 5000);
    }
    arena_free(a);
}

TEST(store_errors_everywhere)
{
    static char text[1 << 16];
    const char *path = check_shared("scenarios/b_ipsc.jsonl");
    if (!path)
        CHECK_SKIP("the scenarios are not here");
    FILE *file = fopen(path, "r");
    struct life l;
    memset(&l, 0, sizeof l);
    simulation_init(&l.s);
    CHECK(file != NULL);
    while (fgets(text, sizeof text, file)) {
        struct span line = span_of(text, strcspn(text, "\n"));
        fail_each_lookup(&l, line);
        (void)simulate_line(&l.s, line, &l.why);
    }
    fclose(file);
    CHECK(l.s.index > 100);
    life_end(&l);
}

TEST(out_of_memory)
{
    struct life l = life_begin();
    struct ledger_err err;
    struct line line;
    struct signer signers[] = {{SPAN_LIT("u.h1"), SPAN_LIT("m")},
                               {SPAN_LIT("u.h2"), SPAN_LIT("m")}};
    struct arena *text = arena_new(1 << 20);
    life_bags(&l);
    CHECK_EQ_INT(line_parse(text, span_str(give), &line, &err), LEDGER_OK);
    unsigned refused = 0;
    for (size_t budget = 256;; budget += 1024) {
        struct refusal why;
        struct arena *a = arena_new(budget);
        struct judge j = simulation_judge(&l.s);
        CHECK(a != NULL);
        j.a = a;
        j.recorded_us = l.now_us + (int64_t)86400 * 1000000;
        enum ledger_rc rc = judge_event(&j, &line.event, signers, 2, &why);
        arena_free(a);
        if (rc == LEDGER_OK)
            break;
        CHECK_EQ_INT(rc, LEDGER_ENOMEM);
        refused++;
    }
    CHECK(refused > 10);
    arena_free(text);
    life_end(&l);
}

TEST_MAIN(TEST_ENTRY(keys), TEST_ENTRY(signatures_count), TEST_ENTRY(references_belong_to_signers),
          TEST_ENTRY(corrections_name_event_ids), TEST_ENTRY(tolerance), TEST_ENTRY(store_errors),
          TEST_ENTRY(store_errors_everywhere), TEST_ENTRY(out_of_memory))
