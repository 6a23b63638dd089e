/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_trust_test: what libledgerd believes: a ledger that was rolled back or forked, other ledgers, other certificates, and programs
 * that share a profile.
 */
#include "lib/client_world.h"

/* The daemon's data and its anchor are both replaced by older copies: nothing on the operator's side is left that could notice. The
 * client's pin does. */
static void roll_back(void)
{
    cw_stop_daemon();
    cw_command("cd '%s' && rm -rf data journal && cp -a '%s'/old/* . && cp '%s/old.anchor' '%s.anchor'", cw.dir, cw.base, cw.base, cw.dir);
    cw_start_daemon();
}

static void keep_copy(void)
{
    cw_stop_daemon();
    cw_command("mkdir '%s/old' && cd '%s' && cp -a data journal '%s/old' && cp '%s.anchor' '%s/old.anchor'", cw.base, cw.dir, cw.base, cw.dir, cw.base);
    cw_start_daemon();
}

static void submit_and_close(struct ledger_key *k, const char *prefix, unsigned first, unsigned n, const char *profile)
{
    struct ledger_profile *p = cw_profile_at(profile, cw.address);
    struct ledger_client *c = cw_client_of(p);
    for (unsigned i = 0; i < n; i++)
        cw_submit_one(c, k, prefix, first + i);
    ledger_client_close(c);
    ledger_profile_close(p);
}

static struct ledger_key *register_and_close(void)
{
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client *c = cw_client_of(p);
    struct ledger_key *k = cw_register_warehouse(c);
    ledger_client_close(c);
    ledger_profile_close(p);
    return k;
}

static void expect_tampering(void)
{
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client *c = cw_client_of(p);
    CHECK_EQ_INT(ledger_connect(c, 0, &cw_err), LEDGER_ETAMPER);
    CHECK(strstr(cw_err.msg, "evidence-") != NULL);
    CHECK(cw_evidence_files(cw.profile) >= 1);
    /* It stays so. */
    char *json;
    CHECK_EQ_INT(ledger_query(c, "item", "R-1", 0, 0, &json, &cw_err), LEDGER_ETAMPER);
    ledger_client_close(c);
    ledger_profile_close(p);
}

TEST(a_rollback_is_detected)
{
    cw_world_begin();
    struct ledger_key *k = register_and_close();
    submit_and_close(k, "R", 1, 1, cw.profile);
    keep_copy();
    submit_and_close(k, "R", 2, 20, cw.profile);
    unsigned long long pinned = cw_pinned_size(cw.profile);
    roll_back();
    expect_tampering();
    CHECK(strstr(cw_err.msg, "rolled back") != NULL);
    CHECK_EQ_INT(cw_pinned_size(cw.profile), pinned); /* the pin does not give way */
    ledger_key_free(k);
}

TEST(a_fork_is_detected)
{
    char fresh[160];
    cw_world_begin();
    snprintf(fresh, sizeof fresh, "%s/fresh", cw.base);
    struct ledger_key *k = register_and_close();
    submit_and_close(k, "R", 1, 1, cw.profile);
    keep_copy();
    submit_and_close(k, "R", 2, 3, cw.profile);
    roll_back();
    /* Somebody without a pin helps the ledger to grow beyond the old size, with other entries. */
    cw_command("cp -a '%s' '%s' && rm -rf '%s/pins'", cw.profile, fresh, fresh);
    submit_and_close(k, "OTHER", 1, 12, fresh);
    CHECK(cw_pinned_size(fresh) > cw_pinned_size(cw.profile));
    expect_tampering();
    /* The server itself has given what proves it. */
    CHECK(strstr(cw_err.msg, "rewritten history") != NULL);
    ledger_key_free(k);
}

/* A running client, too: the daemon comes back smaller while the client is connected. */
TEST(a_rollback_under_a_running_client)
{
    struct cw_proxy proxy;
    cw_world_begin();
    cw_proxy_start(&proxy);
    struct ledger_key *k = register_and_close();
    keep_copy();
    atomic_store(&proxy.target, cw_daemon_port());
    struct ledger_profile *p = cw_profile_at(cw.profile, proxy.address);
    struct ledger_client *c = cw_client_of(p);
    cw_submit_one(c, k, "R", 1);
    roll_back();
    atomic_store(&proxy.target, cw_daemon_port());
    char *json;
    CHECK_EQ_INT(ledger_query(c, "item", "R-1", 0, 0, &json, &cw_err), LEDGER_ETAMPER);
    CHECK(cw_evidence_files(cw.profile) >= 1);
    ledger_client_close(c);
    ledger_profile_close(p);
    ledger_key_free(k);
    cw_proxy_stop(&proxy);
}

TEST(two_programs_share_a_pin)
{
    cw_world_begin();
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client *a = cw_client_of(p), *b = cw_client_of(p);
    struct ledger_key *k = cw_register_warehouse(a);
    for (unsigned i = 0; i < 10; i++) {
        cw_submit_one(i % 2 ? a : b, k, "S", i);
        cw_pause_ms(i % 3 * 120); /* sometimes long enough for a pin to be written in between */
    }
    uint64_t last = cw_submit_one(b, k, "S", 100);
    ledger_client_close(b);
    ledger_client_close(a);
    CHECK_EQ_INT(cw_pinned_size(cw.profile), last + 2);
    CHECK_EQ_INT(cw_evidence_files(cw.profile), 0);
    ledger_key_free(k);
    ledger_profile_close(p);
}

TEST(strangers)
{
    char path[200], other[200];
    cw_world_begin();
    snprintf(path, sizeof path, "%s/p2", cw.base);
    snprintf(other, sizeof other, "%s/other", cw.base);
    struct ledger_profile *p;
    struct ledger_client *c;

    /* Another authority: the server's certificate does not fit. */
    cw_command("'%s' init '%s' --origin %s >/dev/null", cw_program(), other, CW_ORIGIN);
    cw_command("cp -a '%s' '%s' && cp '%s/profile/ca.pem' '%s/ca.pem'", cw.profile, path, other, path);
    p = cw_profile_at(path, cw.address);
    c = cw_client_of(p);
    CHECK_EQ_INT(ledger_connect(c, 0, &cw_err), LEDGER_EUNTRUSTED);
    CHECK(strstr(cw_err.msg, "certificate") != NULL);
    ledger_client_close(c);
    ledger_profile_close(p);

    /* A certificate of another authority: the server does not take ours. */
    cw_command("cp '%s/ca.pem' '%s/ca.pem' && cp '%s/profile/client.pem' '%s/profile/client.key' '%s'", cw.profile, path, other, other,
            path);
    p = cw_profile_at(path, cw.address);
    c = cw_client_of(p);
    CHECK_EQ_INT(ledger_connect(c, 0, &cw_err), LEDGER_EDENIED);
    ledger_client_close(c);
    ledger_profile_close(p);

    /* Another log key under the same name: nobody vouches for this ledger. */
    cw_command("cp '%s/client.pem' '%s/client.key' '%s/profile/policy' '%s'", cw.profile, cw.profile, other, path);
    p = cw_profile_at(path, cw.address);
    c = cw_client_of(p);
    CHECK_EQ_INT(ledger_connect(c, 0, &cw_err), LEDGER_EUNTRUSTED);
    CHECK_EQ_INT(cw_evidence_files(path), 0);
    ledger_client_close(c);
    ledger_profile_close(p);

    /* Another host than the certificate names. */
    struct cw_proxy proxy;
    cw_proxy_start(&proxy);
    snprintf(path, sizeof path, "127.0.0.2:%s", strrchr(proxy.address, ':') + 1);
    p = cw_profile_at(cw.profile, path);
    c = cw_client_of(p);
    CHECK_EQ_INT(ledger_connect(c, 0, &cw_err), LEDGER_EUNTRUSTED);
    ledger_client_close(c);
    ledger_profile_close(p);
    cw_proxy_stop(&proxy);
}

TEST_MAIN(TEST_ENTRY(a_rollback_is_detected), TEST_ENTRY(a_fork_is_detected), TEST_ENTRY(a_rollback_under_a_running_client),
          TEST_ENTRY(two_programs_share_a_pin), TEST_ENTRY(strangers))
