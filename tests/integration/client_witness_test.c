/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_witness_test: libledgerd with a ledger that has a witness (`ledgerctl witness run`): the level witnessed, answers under a quorum,
 * and what is said when there is none.
 */
#include <fcntl.h>
#include <signal.h>

#include "lib/client_world.h"

static pid_t witness;

static const char *ctl(void)
{
    static char path[4096];
    const char *build = getenv("LEDGERD_BUILD");
    snprintf(path, sizeof path, "%s/ledgerctl", build ? build : "build");
    return path;
}

static void end_witness(void)
{
    if (witness > 0) {
        kill(witness, SIGKILL);
        waitpid(witness, NULL, 0);
    }
}

/* Serves at a free port; its address is in BASE/w/address. */
static void start_witness(void)
{
    char folder[160], path[180];
    snprintf(folder, sizeof folder, "%s/w", cw.base);
    snprintf(path, sizeof path, "%s/address", folder);
    cw_command("%s witness init '%s' --name witness.example/w1 --log \"$(sed -n 's/^log //p' '%s/policy')\" > '%s/w.vkey'", ctl(),
               folder, cw.profile, cw.base);
    witness = fork();
    CHECK(witness >= 0);
    if (witness == 0) {
        int fd = open("/dev/null", O_WRONLY);
        dup2(fd, 1);
        dup2(fd, 2);
        execl(ctl(), "ledgerctl", "witness", "run", folder, "--listen", "127.0.0.1:0", (char *)NULL);
        _exit(127);
    }
    atexit(end_witness);
    for (unsigned i = 0; access(path, R_OK) != 0 && i < CW_WAIT_MS / 10; i++) {
        CHECK_EQ_INT(waitpid(witness, NULL, WNOHANG), 0);
        cw_pause_ms(10);
    }
}

/* A ledger whose witness cosigns; the client's policy ends in `quorum`. */
static void world_with_witness(const char *quorum)
{
    cw_world_begin();
    cw_stop_daemon();
    start_witness();
    cw_command("(grep '^log' '%s/policy'; echo \"witness w1 $(head -n 1 '%s/w.vkey') http://$(cat '%s/w/address')\") > '%s/lines'",
               cw.profile, cw.base, cw.base, cw.base);
    cw_command("(cat '%s/lines'; echo 'quorum w1') > '%s/witnesses'; (cat '%s/lines'; echo 'quorum %s') > '%s/policy'", cw.base, cw.dir,
               cw.base, quorum, cw.profile);
    cw_command("sed -i 's/^#policy = witnesses/policy = witnesses\\nretry_seconds = 1/' '%s/ledgerd.conf'", cw.dir);
    cw_start_daemon();
}

static void check_witnessed_receipt(struct ledger_client *c, struct ledger_profile *p, const uint8_t id[32])
{
    uint8_t *bytes;
    size_t n;
    char *json;
    OK(ledger_receipt_witnessed(c, id, CW_WAIT_MS, &bytes, &n, &cw_err));
    OK(ledger_receipt_verify(p, bytes, n, &json, &cw_err));
    ledger_free(json);
    ledger_free(bytes);
}

static enum ledger_rc submit(struct ledger_client *c, struct ledger_key *k, const char *prefix, unsigned timeout_ms,
                             struct ledger_submission **out)
{
    struct ledger_batch *b = cw_material_batch(k, prefix, 1, 3);
    enum ledger_rc rc = ledger_submit(c, b, LEDGER_WITNESSED, timeout_ms, out, &cw_err);
    ledger_batch_free(b);
    return rc;
}

TEST(level_witnessed)
{
    struct ledger_submission *s;
    struct ledger_result r;
    world_with_witness("none");
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client *c = cw_client_of(p);
    struct ledger_key *k = cw_register_warehouse(c);
    OK(submit(c, k, "A", CW_WAIT_MS, &s));
    CHECK_EQ_INT(ledger_submission_count(s), 3);
    CHECK(ledger_submission_result(s, 2, &r) && r.outcome == LEDGER_ACCEPTED);
    check_witnessed_receipt(c, p, r.event_id);
    ledger_submission_free(s);
    /* Away: it is recorded, and that is said with the results. */
    kill(witness, SIGSTOP);
    CHECK_EQ_INT(submit(c, k, "B", 2000, &s), LEDGER_ESTALE);
    CHECK(strstr(cw_err.msg, "recorded and durable") != NULL);
    CHECK_EQ_INT(ledger_submission_recorded(s), LEDGER_RECORDED_ANSWERED);
    CHECK(ledger_submission_result(s, 0, &r) && r.outcome == LEDGER_ACCEPTED);
    CHECK(ledger_submission_checkpoint(s)[0] != 0);
    uint8_t *bytes;
    size_t n;
    CHECK_EQ_INT(ledger_receipt_witnessed(c, r.event_id, 2000, &bytes, &n, &cw_err), LEDGER_ESTALE);
    kill(witness, SIGCONT);
    check_witnessed_receipt(c, p, r.event_id);
    ledger_submission_free(s);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
}

TEST(answers_under_a_quorum)
{
    char *json;
    struct ledger_watch *w;
    struct ledger_entries *e;
    struct ledger_entry entry;
    world_with_witness("w1");
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client *c = cw_client_of(p);
    struct ledger_key *k = cw_register_warehouse(c);
    uint64_t index = cw_submit_one(c, k, "C", 1);
    OK(ledger_query(c, "party", CW_WAREHOUSE, LEDGER_WITH_HISTORY | LEDGER_FRESH, CW_WAIT_MS, &json, &cw_err));
    CHECK(strstr(json, "\"witnessed\"") && strstr(json, "\"w1\""));
    ledger_free(json);
    OK(ledger_watch_open(c, index, &w, &cw_err));
    OK(ledger_watch_next(w, CW_WAIT_MS, &e, &cw_err));
    CHECK(ledger_entries_get(e, 0, &entry) && entry.index == index);
    ledger_entries_free(e);
    /* What happens while it follows comes when it is cosigned, however little time was left. */
    kill(witness, SIGSTOP);
    index = cw_submit_one(c, k, "C", 2);
    enum ledger_rc rc = ledger_watch_next(w, 500, &e, &cw_err);
    CHECK(rc == LEDGER_ESTALE || rc == LEDGER_OK);
    if (rc == LEDGER_OK)
        ledger_entries_free(e);
    CHECK_EQ_INT(ledger_query(c, "party", CW_WAREHOUSE, 0, 2000, &json, &cw_err), LEDGER_ESTALE);
    CHECK(strstr(cw_err.msg, "no quorum") != NULL);
    kill(witness, SIGCONT);
    while (ledger_watch_position(w) <= index) {
        OK(ledger_watch_next(w, CW_WAIT_MS, &e, &cw_err));
        ledger_entries_free(e);
    }
    ledger_watch_close(w);
    OK(ledger_query(c, "party", CW_WAREHOUSE, 0, CW_WAIT_MS, &json, &cw_err));
    ledger_free(json);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
}

TEST(no_level_without_witnesses)
{
    struct ledger_submission *s = NULL;
    uint8_t *bytes, id[32] = {0};
    size_t n;
    cw_world_begin();
    struct ledger_profile *p = cw_profile_at(cw.profile, cw.address);
    struct ledger_client *c = cw_client_of(p);
    struct ledger_key *k = cw_register_warehouse(c);
    CHECK_EQ_INT(submit(c, k, "D", CW_WAIT_MS, &s), LEDGER_EINVAL);
    CHECK(s == NULL && strstr(cw_err.msg, "names no witness") != NULL);
    CHECK_EQ_INT(ledger_receipt_witnessed(c, id, CW_WAIT_MS, &bytes, &n, &cw_err), LEDGER_EINVAL);
    ledger_key_free(k);
    ledger_client_close(c);
    ledger_profile_close(p);
}

TEST_MAIN(TEST_ENTRY(level_witnessed), TEST_ENTRY(answers_under_a_quorum), TEST_ENTRY(no_level_without_witnesses))
