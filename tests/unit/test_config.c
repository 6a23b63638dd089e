/* SPDX-License-Identifier: Apache-2.0 */
/* config and access: every key, every kind of mistake with its line, names with colons, adding a row of [access]. */
#include "check.h"
#include "config.h"
#include "event.h"

static struct ledger_err err;

static enum ledger_rc parse(struct config *c, const char *text)
{
    err = (struct ledger_err){0};
    return config_parse(c, "x.conf", span_str(text), &err);
}

/* The text is refused, and the message begins with file and line and holds `what`. */
static void refused(const char *text, unsigned line, const char *what)
{
    struct config c;
    char prefix[32];
    snprintf(prefix, sizeof prefix, "x.conf:%u: ", line);
    CHECK_EQ_INT(parse(&c, text), LEDGER_EINVAL);
    if (strncmp(err.msg, prefix, strlen(prefix)) != 0 || !strstr(err.msg, what)) {
        fprintf(stderr, "\"%s\" does not begin with \"%s\" or lacks \"%s\"\n", err.msg, prefix, what);
        exit(CHECK_EXIT_FAILED);
    }
}

TEST(defaults)
{
    struct config c;
    CHECK_EQ_INT(parse(&c, ""), LEDGER_OK);
    CHECK_EQ_STR(c.listen, "127.0.0.1:7461");
    CHECK_EQ_INT(c.connections_max, 4096);
    CHECK_EQ_INT(c.requests_max, 64);
    CHECK_EQ_INT(c.streams_max, 8);
    CHECK_EQ_INT(c.hello_ms, 10000);
    CHECK_EQ_INT(c.frame_ms, 30000);
    CHECK_EQ_INT(c.stall_ms, 30000);
    CHECK(!c.plain);
    CHECK_EQ_STR(c.http_listen, "");
    CHECK_EQ_INT(c.http_connections_max, 256);
    CHECK_EQ_INT(c.http_timeout_ms, 20000);
    CHECK(!c.http_plain && c.http_metrics);
    CHECK(!c.witness_policy[0] && !c.witness_ca[0]);
    CHECK_EQ_INT(c.witness_interval_ms, 200);
    CHECK_EQ_INT(c.witness_linger_ms, 1000);
    CHECK_EQ_INT(c.witness_timeout_ms, 10000);
    CHECK_EQ_INT(c.witness_retry_ms, 60000);
    CHECK_EQ_INT(c.witness_start_ms, 3000);
    CHECK_EQ_INT(c.access.n, 0);
    config_fini(&c);
}

TEST(every_key)
{
    struct config c;
    CHECK_EQ_INT(parse(&c, "# a comment\n; another\n\n"
                           "[server]\nlisten = [::1]:0\naddress = ledger.example.org:7461\nplain = yes\n"
                           "connections_max = 10\nrequests_max=5\nstreams_max = 2\nhello_seconds = 1.5\n"
                           "frame_seconds = 0.25\nstall_seconds = 3600\ndrain_seconds = 2\n"
                           "[store]\nanchor = /mnt/other/anchor\nmap_size = 64G\nreserve = 1M\n"
                           "[write]\nworkers = 3\nqueue = 7\nbatch = 100\nheartbeat_seconds = 60\n"
                           "[witness]\npolicy = w\nca = /ca.pem\ninterval_seconds = 0.05\nlinger_seconds = 0\ntimeout_seconds = 2\n"
                           "retry_seconds = 9\nstart_seconds = 1.5\n"
                           "[http]\nlisten = [::]:80\ncertificate = c.pem\nkey = /k.pem\nplain = yes\nmetrics = no\n"
                           "connections_max = 9\ntimeout_seconds = 5\n"),
                 LEDGER_OK);
    CHECK_EQ_STR(c.listen, "[::1]:0");
    CHECK_EQ_STR(c.address, "ledger.example.org:7461");
    CHECK(c.plain);
    CHECK_EQ_INT(c.connections_max, 10);
    CHECK_EQ_INT(c.requests_max, 5);
    CHECK_EQ_INT(c.streams_max, 2);
    CHECK_EQ_INT(c.hello_ms, 1500);
    CHECK_EQ_INT(c.frame_ms, 250);
    CHECK_EQ_INT(c.stall_ms, 3600000);
    CHECK_EQ_STR(c.anchor, "/mnt/other/anchor");
    CHECK(c.map_bytes == (uint64_t)64 << 30);
    CHECK(c.reserve_bytes == (uint64_t)1 << 20);
    CHECK_EQ_INT(c.workers, 3);
    CHECK_EQ_INT(c.queue_jobs, 7);
    CHECK_EQ_INT(c.batch_events, 100);
    CHECK_EQ_INT(c.heartbeat_s, 60);
    CHECK_EQ_STR(c.witness_policy, "w");
    CHECK_EQ_STR(c.witness_ca, "/ca.pem");
    CHECK_EQ_INT(c.witness_interval_ms, 50);
    CHECK_EQ_INT(c.witness_linger_ms, 0);
    CHECK_EQ_INT(c.witness_timeout_ms, 2000);
    CHECK_EQ_INT(c.witness_retry_ms, 9000);
    CHECK_EQ_INT(c.witness_start_ms, 1500);
    CHECK_EQ_STR(c.http_listen, "[::]:80");
    CHECK_EQ_STR(c.http_certificate, "c.pem");
    CHECK_EQ_STR(c.http_key, "/k.pem");
    CHECK(c.http_plain && !c.http_metrics);
    CHECK_EQ_INT(c.http_connections_max, 9);
    CHECK_EQ_INT(c.http_timeout_ms, 5000);
    config_fini(&c);
}

TEST(mistakes)
{
    refused("[server]\nlisten = a:1\nlistne = b:1\n", 3, "no key \"listne\"");
    refused("[servre]\nlisten = a:1\n", 2, "no section [servre]");
    refused("listen = a:1\n", 1, "no section []");
    refused("[server]\nplain = maybe\n", 2, "yes or no");
    refused("[server]\nconnections_max = 0\n", 2, "from 1 to");
    refused("[server]\nconnections_max = -1\n", 2, "wants a number");
    refused("[server]\nconnections_max = 99999999999999999999999\n", 2, "wants a number");
    refused("[server]\nhello_seconds = 1.2345\n", 2, "wants a number of seconds");
    refused("[server]\nhello_seconds = 1.\n", 2, "wants a number of seconds");
    refused("[store]\nmap_size = 3X\n", 2, "of bytes");
    refused("[store]\nmap_size = 999999999999999T\n", 2, "of bytes");
    refused("[server]\n\nplain = no\nplain = no\n", 4, "given twice");
    refused("[server]\nnonsense\n", 2, "neither");
    refused("[server]\nlisten = a:1\n  plain = yes\n", 3, "begin with a space");
    refused("[server]\nanchor = \n", 2, "no key");
}

TEST(long_line_and_nul)
{
    struct config c;
    static char text[2 * CONFIG_LINE_MAX];
    memcpy(text, "[server]\nlisten = ", 18);
    memset(text + 18, 'x', CONFIG_LINE_MAX);
    CHECK_EQ_INT(config_parse(&c, "x.conf", span_str(text), &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, "x.conf:2: ") && strstr(err.msg, "too long"));
    CHECK_EQ_INT(config_parse(&c, "x.conf", SPAN_LIT("[server]\nplain = y\0es\n"), &err), LEDGER_EINVAL);
    CHECK(strstr(err.msg, "x.conf:2: ") && strstr(err.msg, "NUL"));
}

/* libinih divides at the first ":" as well as at "="; names must come out whole. */
TEST(access_names)
{
    struct config c;
    CHECK_EQ_INT(parse(&c, "[access]\nurn:ledgerd:client:a = submit, read all\nurn:ledgerd:client:b=read none\n"
                           "loopback = read LOT_SPLIT QC_RESULT states\nhttps://example.org/x = submit,read none\n"),
                 LEDGER_OK);
    CHECK_EQ_INT(c.access.n, 4);
    const struct access *a = access_find(&c.access, "urn:ledgerd:client:a");
    const struct access *b = access_find(&c.access, "urn:ledgerd:client:b");
    const struct access *l = access_find(&c.access, "loopback");
    const struct access *h = access_find(&c.access, "https://example.org/x");
    CHECK(a && b && l && h);
    CHECK(a->may_submit && a->may_read_states);
    CHECK(access_reads_kind(a, KIND_PARTY_REGISTERED) && access_reads_kind(a, KIND_LOT_DISPOSED));
    CHECK(!access_reads_kind(a, 89));
    CHECK(!b->may_submit && !b->may_read_states && !access_reads_kind(b, KIND_LOT_SPLIT));
    CHECK(access_reads_kind(b, 0)); /* the ledger's own entries */
    CHECK(l->may_read_states && !l->may_submit);
    CHECK(access_reads_kind(l, KIND_LOT_SPLIT) && access_reads_kind(l, KIND_QC_RESULT) &&
          !access_reads_kind(l, KIND_LOT_CREATED));
    CHECK(h->may_submit && !h->read_kinds);
    CHECK(!access_find(&c.access, "urn"));
    CHECK(!access_find(&c.access, "urn:ledgerd:client"));
    config_fini(&c);
}

TEST(access_mistakes)
{
    refused("[access]\nurn:a = submit\nurn:a = submit\n", 3, "listed twice");
    refused("[access]\nurn:a = sumbit\n", 2, "neither submit nor read");
    refused("[access]\nurn:a = read LOT_SPLITT\n", 2, "no kind of event");
    refused("[access]\nurn:a = read\n", 2, "wants all, none");
    refused("[access]\nurn:a = read all LOT_SPLIT\n", 2, "nothing may follow");
    refused("[access]\nurn:a = submit,\n", 2, "neither submit nor read");
    refused("[access]\nurn:a = read all, read none\n", 2, "twice");
    refused("[access]\nurn:a = submit read all\n", 2, "alone");
    refused("[access]\nurn:a b = submit\n", 2, "no name");
    refused("[access]\nurn:a\n", 2, "");
}

TEST(address)
{
    char host[CONFIG_ADDRESS_MAX];
    uint16_t port = 0;
    CHECK_EQ_INT(config_address("127.0.0.1:7461", host, &port, NULL), LEDGER_OK);
    CHECK_EQ_STR(host, "127.0.0.1");
    CHECK_EQ_INT(port, 7461);
    CHECK_EQ_INT(config_address("[fe80::1]:0", host, &port, NULL), LEDGER_OK);
    CHECK_EQ_STR(host, "fe80::1");
    CHECK_EQ_INT(port, 0);
    static const char *const BAD[] = {"", ":", "a", "a:", ":1", "a:65536", "a:-1", "::1:5", "[]:1", "a:1x", "[::1]", "[::1:5"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        CHECK_EQ_INT(config_address(BAD[i], host, &port, NULL), LEDGER_EINVAL);
}

static void adds(const char *before, const char *after)
{
    struct arena *a = arena_new(1 << 16);
    struct span s = config_with_access(a, span_str(before), "urn:x", "read none");
    CHECK(s.p);
    if (!span_eq(s, span_str(after))) {
        fprintf(stderr, "got: %.*s\n", SPAN_FMT(s));
        exit(CHECK_EXIT_FAILED);
    }
    arena_free(a);
}

TEST(add_row)
{
    adds("", "\n[access]\nurn:x = read none\n");
    adds("[server]\n", "[server]\n\n[access]\nurn:x = read none\n");
    adds("[server]", "[server]\n\n[access]\nurn:x = read none\n");
    adds("[access]\na:b = submit", "[access]\na:b = submit\nurn:x = read none\n");
    adds("[access]\na:b = submit\n\n[write]\nworkers = 1\n",
         "[access]\na:b = submit\nurn:x = read none\n\n[write]\nworkers = 1\n");
}

TEST(carriage_returns)
{
    struct config c;
    CHECK_EQ_INT(parse(&c, "\r\n[access]\r\nurn:a = submit\r\n"), LEDGER_OK);
    CHECK(access_find(&c.access, "urn:a") && access_find(&c.access, "urn:a")->may_submit);
    config_fini(&c);
}

TEST_MAIN(TEST_ENTRY(defaults), TEST_ENTRY(every_key), TEST_ENTRY(mistakes), TEST_ENTRY(long_line_and_nul),
          TEST_ENTRY(access_names), TEST_ENTRY(access_mistakes), TEST_ENTRY(address), TEST_ENTRY(add_row),
          TEST_ENTRY(carriage_returns))
