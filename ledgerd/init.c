/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init: `ledgerd init`: makes a ledger.
 *
 * Everything is made in a folder beside the final one and renamed when it is complete and on the disk: after a crash there is
 * either a whole ledger or a folder DIR.tmp-… that can be deleted. Nothing that exists is ever written over: not DIR, and not an
 * anchor that an earlier ledger left beside it.
 *
 * Keys made here: the log key (signs checkpoints), the index key (turns names into chain keys), the certificate authority's, the
 * server's, and for the first administrator a signing key and a TLS key.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "commands.h"
#include "config.h"
#include "event.h"
#include "files.h"
#include "init_successor.h"
#include "machine.h"
#include "pki.h"
#include "profile.h"
#include "store/store.h"

#define HOSTS_MAX 16
#define INIT_ARENA (8u << 20)
#define DEFAULT_TOLERANCE_S 60
#define DEFAULT_HEARTBEAT_S 300

struct init {
    /* From the arguments. */
    const char *dir, *origin, *org, *admin, *listen;
    const char *hosts[HOSTS_MAX + 4];
    size_t n_hosts;
    unsigned tolerance_s, heartbeat_s;
    struct successor_options successor;
    /* Made on the way. */
    struct crypto *c;
    struct arena *a;
    char work[FILES_PATH_MAX]; /* the folder while it is being made */
    char address[CONFIG_ADDRESS_MAX + 8];
    char admin_default[ORIGIN_MAX + 8], host_name[HOST_NAME_MAX + 1];
    char uri[PKI_NAME_MAX + 1];
    char vkey[NOTE_NAME_MAX + 200];
    struct secret_key log_key, admin_key;
    struct hash index_key;
    struct pki_pair ca, server, client;
    struct span crl;
    struct span successor_entry; /* absent: it succeeds none */
};

static const char HELP[] =
    "usage: ledgerd init DIR --origin NAME [options]\n"
    "\n"
    "Makes a new ledger in DIR, which must not exist or be empty.\n"
    "\n"
    "  --origin NAME          the ledger's name for ever, for instance example.org/ledger\n"
    "  --org ORG              organisation of the first administrator (default: NAME)\n"
    "  --admin PARTY          id of the first administrator (default: admin@NAME)\n"
    "  --host HOST            a DNS name or IP address by which clients reach the server, besides\n"
    "                         localhost and this machine's name; may be given several times\n"
    "  --listen ADDRESS:PORT  where the server will listen (default: " CONFIG_DEFAULT_LISTEN ")\n"
    "  --clock-tolerance S    how many seconds an event may lie in the future (default: 60)\n"
    "  --heartbeat S          an idle ledger writes a seal each S seconds (default: 300)\n"
    "\n"
    "A ledger that goes on for one that has ended, under a NAME of its own, says so in its entry 1:\n"
    "\n"
    "  --successor-of FILE    the last checkpoint of the former ledger that anybody holds, a signed note\n"
    "  --reason TEXT          why it ended\n"
    "  --approved-by KEY,KEY  key files of the persons who stand for it, two at least: keys that they had there\n";

/* ---- arguments ---- */

static bool seconds_of(const char *text, unsigned min, unsigned max, unsigned *out)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || v < min || v > max)
        return false;
    *out = (unsigned)v;
    return true;
}

/* A DNS name or IP address as it may stand in a certificate and in HOST:PORT. */
static bool host_valid(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= 253 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:") == n;
}

static enum ledger_rc take_option(struct init *in, int option, char *value, struct ledger_err *err)
{
    switch (option) {
    case 's':
        in->successor.note = value;
        return LEDGER_OK;
    case 'r':
        in->successor.reason = value;
        return LEDGER_OK;
    case 'y':
        return successor_add_keys(&in->successor, value)
                   ? LEDGER_OK
                   : ledger_fail(err, LEDGER_EINVAL, "--approved-by: at most %d persons", SUCCESSOR_APPROVERS_MAX);
    case 'o':
        in->origin = value;
        return LEDGER_OK;
    case 'g':
        in->org = value;
        return LEDGER_OK;
    case 'a':
        in->admin = value;
        return LEDGER_OK;
    case 'l':
        in->listen = value;
        return LEDGER_OK;
    case 'H':
        if (in->n_hosts == HOSTS_MAX)
            return ledger_fail(err, LEDGER_EINVAL, "at most %d hosts", HOSTS_MAX);
        if (!host_valid(value))
            return ledger_fail(err, LEDGER_EINVAL, "--host: \"%.100s\" is no name or address", value);
        in->hosts[in->n_hosts++] = value;
        return LEDGER_OK;
    case 't':
        return seconds_of(value, 0, 86400, &in->tolerance_s)
                   ? LEDGER_OK
                   : ledger_fail(err, LEDGER_EINVAL, "--clock-tolerance wants 0 to 86400 seconds");
    case 'b':
        return seconds_of(value, 1, 86400, &in->heartbeat_s)
                   ? LEDGER_OK
                   : ledger_fail(err, LEDGER_EINVAL, "--heartbeat wants 1 to 86400 seconds");
    default:
        return ledger_fail(err, LEDGER_EINVAL, "see ledgerd init --help");
    }
}

/* What profiles say: the host that was asked for, if the server is to listen on every address. */
static enum ledger_rc choose_address(struct init *in, struct ledger_err *err)
{
    char host[CONFIG_ADDRESS_MAX];
    uint16_t port;
    enum ledger_rc rc = config_address(in->listen, host, &port, err);
    if (rc != LEDGER_OK)
        return ledger_wrap(err, rc, "--listen");
    const char *name = host;
    if (in->n_hosts)
        name = in->hosts[0];
    else if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
        name = in->host_name;
    bool brackets = strchr(name, ':') != NULL;
    snprintf(in->address, sizeof in->address, "%s%s%s:%u", brackets ? "[" : "", name, brackets ? "]" : "", port);
    return LEDGER_OK;
}

/* Names that a server on this machine answers to anyway. */
static void add_local_hosts(struct init *in)
{
    in->hosts[in->n_hosts++] = "localhost";
    in->hosts[in->n_hosts++] = "127.0.0.1";
    in->hosts[in->n_hosts++] = "::1";
    if (host_valid(in->host_name) && strcmp(in->host_name, "localhost") != 0)
        in->hosts[in->n_hosts++] = in->host_name;
}

static enum ledger_rc check_arguments(struct init *in, struct ledger_err *err)
{
    if (!in->origin)
        return ledger_fail(err, LEDGER_EINVAL, "--origin NAME is missing: the name of the new ledger");
    if (!origin_valid(span_str(in->origin)))
        return ledger_fail(err, LEDGER_EINVAL,
                           "\"%.100s\" is no name of a ledger: 1 to %d printable ASCII characters without space and +",
                           in->origin, ORIGIN_MAX);
    snprintf(in->admin_default, sizeof in->admin_default, "admin@%s", in->origin);
    in->admin = in->admin ? in->admin : in->admin_default;
    in->org = in->org ? in->org : in->origin;
    if (!id_valid(span_str(in->admin)))
        return ledger_fail(err, LEDGER_EINVAL, "--admin: \"%.100s\" is no party id: 1 to %d printable ASCII characters",
                           in->admin, ID_MAX);
    if (!id_valid(span_str(in->org)))
        return ledger_fail(err, LEDGER_EINVAL, "--org: \"%.100s\" is no id: 1 to %d printable ASCII characters", in->org,
                           ID_MAX);
    if (gethostname(in->host_name, sizeof in->host_name - 1) != 0)
        memcpy(in->host_name, "localhost", sizeof "localhost");
    memcpy(in->uri, "urn:ledgerd:client:admin", sizeof "urn:ledgerd:client:admin");
    if (!in->successor.note && (in->successor.reason || in->successor.n_keys))
        return ledger_fail(err, LEDGER_EINVAL, "--reason and --approved-by go with --successor-of");
    enum ledger_rc rc = choose_address(in, err);
    add_local_hosts(in);
    return rc;
}

static enum ledger_rc parse_arguments(struct init *in, int argc, char **argv, struct ledger_err *err)
{
    static const struct option OPTIONS[] = {
        {"origin", required_argument, NULL, 'o'},          {"org", required_argument, NULL, 'g'},
        {"admin", required_argument, NULL, 'a'},           {"host", required_argument, NULL, 'H'},
        {"listen", required_argument, NULL, 'l'},          {"clock-tolerance", required_argument, NULL, 't'},
        {"heartbeat", required_argument, NULL, 'b'},       {"successor-of", required_argument, NULL, 's'},
        {"reason", required_argument, NULL, 'r'},          {"approved-by", required_argument, NULL, 'y'},
        {NULL, 0, NULL, 0},
    };
    *in = (struct init){.listen = CONFIG_DEFAULT_LISTEN, .tolerance_s = DEFAULT_TOLERANCE_S,
                        .heartbeat_s = DEFAULT_HEARTBEAT_S};
    int option;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        enum ledger_rc rc = take_option(in, option, optarg, err);
        if (rc != LEDGER_OK)
            return rc;
    }
    if (optind != argc - 1)
        return ledger_fail(err, LEDGER_EINVAL, "one DIR is wanted, see ledgerd init --help");
    in->dir = argv[optind];
    return check_arguments(in, err);
}

/* ---- keys and certificates ---- */

static enum ledger_rc make_key(struct init *in, struct secret_key *k, struct ledger_err *err)
{
    uint8_t seed[32];
    bool ok = RAND_priv_bytes(seed, sizeof seed) == 1 && crypto_secret_from_seed(in->c, SIG_ED25519, seed, k);
    OPENSSL_cleanse(seed, sizeof seed);
    return ok ? LEDGER_OK : ledger_fail(err, LEDGER_EINTERNAL, "draw a key: the random source failed");
}

static enum ledger_rc make_keys(struct init *in, struct ledger_err *err)
{
    struct note_key k;
    enum ledger_rc rc = make_key(in, &in->log_key, err);
    if (rc == LEDGER_OK)
        rc = make_key(in, &in->admin_key, err);
    if (rc != LEDGER_OK)
        return rc;
    if (RAND_priv_bytes(in->index_key.b, HASH_LEN) != 1)
        return ledger_fail(err, LEDGER_EINTERNAL, "draw a key: the random source failed");
    if (!note_key_make(in->c, in->origin, NOTE_ED25519, span_of(in->log_key.pub, in->log_key.pub_len), &k))
        return ledger_fail(err, LEDGER_EINVAL, "\"%.100s\" is no name for a log key", in->origin);
    note_key_format(&k, in->vkey);
    return LEDGER_OK;
}

static enum ledger_rc make_certificates(struct init *in, struct ledger_err *err)
{
    struct pki_ca *ca = NULL;
    enum ledger_rc rc = pki_ca_make(in->a, in->origin, &in->ca, &in->crl, err);
    if (rc == LEDGER_OK)
        rc = pki_ca_open(in->ca.cert, in->ca.key, &ca, err);
    if (rc == LEDGER_OK)
        rc = pki_issue_server(ca, in->a, in->hosts, in->n_hosts, &in->server, err);
    if (rc == LEDGER_OK)
        rc = pki_issue_client(ca, in->a, in->uri, PKI_CLIENT_DAYS, &in->client, err);
    pki_ca_close(ca);
    return rc;
}

/* ---- the folder ---- */

static enum ledger_rc add_file(const struct init *in, const char *name, struct span bytes, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = files_path(path, in->work, name, err);
    return rc == LEDGER_OK ? files_create(path, bytes, err) : rc;
}

static enum ledger_rc add_folder(const struct init *in, const char *name, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = files_path(path, in->work, name, err);
    return rc == LEDGER_OK ? files_mkdir(path, err) : rc;
}

static enum ledger_rc write_pki(const struct init *in, struct ledger_err *err)
{
    char issued[2 * PKI_SERIAL_MAX + 32];
    snprintf(issued, sizeof issued, "pki/issued/%s.pem", in->client.serial);
    const struct {
        const char *name;
        struct span bytes;
    } files[] = {
        {"pki/ca.pem", in->ca.cert},         {"pki/ca.key", in->ca.key},         {"pki/crl.pem", in->crl},
        {"pki/server.pem", in->server.cert}, {"pki/server.key", in->server.key}, {issued, in->client.cert},
    };
    enum ledger_rc rc = add_folder(in, "pki", err);
    if (rc == LEDGER_OK)
        rc = add_folder(in, "pki/issued", err);
    for (size_t i = 0; rc == LEDGER_OK && i < sizeof files / sizeof files[0]; i++)
        rc = add_file(in, files[i].name, files[i].bytes, err);
    return rc;
}

static const char HTTP_AND_WITNESS[] =
    "# The tree as tiles (C2SP tlog-tiles), /metrics and /healthz for everybody who can reach the address. Off without `listen`.\n"
    "[http]\n"
    "#listen = 127.0.0.1:7462\n"
    "# TLS, as PEM files; relative names are relative to this folder. Without it: loopback addresses only, or plain = yes.\n"
    "#certificate = pki/server.pem\n"
    "#key = pki/server.key\n"
    "#plain = no\n"
    "#metrics = yes\n"
    "#connections_max = 256\n"
    "#timeout_seconds = 20\n"
    "\n"
    "# Witnesses who cosign checkpoints; off unless `policy` names a file of trust (c2sp.org/tlog-policy) with their keys, URLs\n"
    "# and the quorum that makes a checkpoint a witnessed one.\n"
    "[witness]\n"
    "#policy = witnesses\n"
    "# Authorities for https, as a PEM file, instead of the system's.\n"
    "#ca = witnesses.pem\n"
    "#interval_seconds = 0.2\n"
    "#linger_seconds = 1\n"
    "#timeout_seconds = 10\n"
    "#retry_seconds = 60\n"
    "#start_seconds = 3\n"
    "\n";

static const char TIME_SECTION[] =
    "# Time from outside: checkpoints are stamped by an authority (RFC 3161) and its tokens recorded. Off without `authority`.\n"
    "[time]\n"
    "#authority = http://tsa.example/\n"
    "#proxy = http://proxy.example:3128\n"
    "# The authority's certificates, as PEM, to verify its tokens with; relative to this folder.\n"
    "#ca = tsa.pem\n"
    "# Its policy, as an object identifier; without it the authority's own choice.\n"
    "#policy = 1.2.3.4.1\n"
    "#interval_seconds = 3600\n"
    "#timeout_seconds = 30\n"
    "\n";

static enum ledger_rc write_config(const struct init *in, struct ledger_err *err)
{
    char text[8192];
    int n = snprintf(
        text, sizeof text,
        "# Configuration of the ledger %s. Every key is optional; what is commented out shows the default.\n"
        "# `kill -HUP` makes a running server read [access], the revocation list and the certificates again; the rest needs a restart.\n"
        "\n"
        "[server]\n"
        "# ADDRESS:PORT, or [ADDRESS]:PORT for IPv6. Port 0 takes any free one.\n"
        "listen = %s\n"
        "# What the profiles that `ledgerd cert issue` writes tell their clients.\n"
        "address = %s\n"
        "# TCP without TLS: only for a loopback address, and better asked for with `ledgerd run --plain`.\n"
        "#plain = no\n"
        "#connections_max = 4096\n"
        "# In flight on one connection.\n"
        "#requests_max = 64\n"
        "#streams_max = 8\n"
        "# How long a client may take: for TLS and its hello; for one request, once begun; to take what it asked for.\n"
        "#hello_seconds = 10\n"
        "#frame_seconds = 30\n"
        "#stall_seconds = 30\n"
        "# How long, at the end, clients may take to fetch their last answers.\n"
        "#drain_seconds = 10\n"
        "\n"
        "[store]\n"
        "# The last signed size and root. Better on another device than the data.\n"
        "#anchor = DIR.anchor\n"
        "# The data can never grow beyond it. It takes address space, not disk.\n"
        "#map_size = 1T\n"
        "# With less free disk space than this nothing is recorded any more.\n"
        "#reserve = 64M\n"
        "\n"
        "[write]\n"
        "# Threads that check signatures; 0: one a core.\n"
        "#workers = 0\n"
        "# Requests that may wait; beyond it clients are told to try again.\n"
        "#queue = 1024\n"
        "# Events that one commit may hold.\n"
        "#batch = 4096\n"
        "# An idle ledger writes a seal this often; 0: as laid down when the ledger was made.\n"
        "#heartbeat_seconds = 0\n"
        "\n"
        "[scrub]\n"
        "# All of the store is read again this often, and compared with its hashes; 0: never.\n"
        "#interval_seconds = 604800\n"
        "#entries_per_second = 1000\n"
        "\n"
        "%s%s"
        "# Who may do what: NAME = RIGHTS, where NAME is the URI in the client's certificate and RIGHTS are, divided by commas,\n"
        "#   submit               may submit events\n"
        "#   administer           may submit acts of the ledger that two persons have signed: parameters, erasures\n"
        "#   read all             may read the content of every event, and states\n"
        "#   read none            headers and proofs only\n"
        "#   read KIND KIND ...   content of these kinds; `states` among them adds the states of subjects\n"
        "# A client that is not listed is turned away. `loopback` is everybody on this machine when --plain is given.\n"
        "[access]\n"
        "loopback = submit, read all\n"
        "%s = submit, administer, read all\n",
        in->origin, in->listen, in->address, HTTP_AND_WITNESS, TIME_SECTION, in->uri);
    if (n < 0 || (size_t)n >= sizeof text)
        return ledger_fail(err, LEDGER_EINVAL, "names or addresses are too long");
    struct config c;
    enum ledger_rc rc = config_parse(&c, "ledgerd.conf", span_of(text, (size_t)n), err);
    if (rc != LEDGER_OK)
        return rc; /* An argument that the server would not understand. */
    config_fini(&c);
    return add_file(in, "ledgerd.conf", span_of(text, (size_t)n), err);
}

static enum ledger_rc write_profile(const struct init *in, struct ledger_err *err)
{
    char folder[FILES_PATH_MAX];
    struct profile p = {
        .address = in->address, .origin = in->origin, .party = in->admin, .log_vkey = in->vkey,
        .index_key = &in->index_key, .ca = in->ca.cert, .client = in->client, .signing = &in->admin_key,
        .key_name = "admin",
    };
    enum ledger_rc rc = files_path(folder, in->work, "profile", err);
    return rc == LEDGER_OK ? profile_write(folder, &p, err) : rc;
}

/* ---- the first entries ---- */

static struct span genesis_payload(struct init *in)
{
    uint8_t signature[64];
    struct genesis g = {
        .origin = span_str(in->origin), .log_vkey = span_str(in->vkey), .format_version = FORMAT_VERSION,
        .rules_version = RULES_VERSION, .clock_tolerance_us = (int64_t)in->tolerance_s * 1000000,
        .heartbeat_s = in->heartbeat_s, .event_size_max = EVENT_SIZE_MAX, .batch_events_max = BATCH_EVENTS_MAX,
        .admin = span_str(in->admin), .admin_org = span_str(in->org), .admin_alg = SIG_ED25519,
        .admin_key = span_of(in->admin_key.pub, in->admin_key.pub_len),
    };
    index_key_commit(in->c, &in->index_key, &g.index_key_commit);
    struct span proof = key_proof_input(in->a, g.origin, g.admin, g.admin_alg, g.admin_key);
    if (RAND_bytes(g.nonce.b, HASH_LEN) != 1 || !proof.p ||
        !crypto_make_signature(in->c, &in->admin_key, proof, signature))
        return SPAN_NONE;
    g.admin_proof = span_of(signature, sizeof signature);
    return genesis_encode(in->a, &g);
}

/* Entry 0, of a successor entry 1, and the seal after it, in the open transaction behind kv. */
static enum ledger_rc append_first(struct init *in, struct kv kv, struct ledger_err *err)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    struct machine m = {.c = in->c, .a = in->a, .kv = kv, .index_key = in->index_key, .wire = true};
    struct appended_entry entry;
    struct checkpoint cp;
    struct span payload = genesis_payload(in);
    if (!payload.p)
        return ledger_fail(err, LEDGER_EINTERNAL, "genesis: could not be made");
    enum ledger_rc rc = machine_load(&m, err);
    if (rc != LEDGER_ENOTFOUND)
        return ledger_fail(err, LEDGER_EINTERNAL, "the new store is not empty");
    rc = machine_genesis(&m, payload, now_us, &entry, err);
    if (rc == LEDGER_OK && in->successor_entry.p)
        rc = machine_own(&m, OWN_SUCCESSOR, in->successor_entry, now_us, &entry, err);
    return rc == LEDGER_OK ? machine_seal(&m, now_us, &entry, &cp, err) : rc;
}

static enum ledger_rc make_store(struct init *in, struct ledger_err *err)
{
    const struct store_options small = {.map_bytes = 64u << 20}; /* Two entries: no need for the server's address space. */
    struct store *s = NULL;
    struct kv kv;
    enum ledger_rc rc = store_keys_write(in->work, in->origin, &in->log_key, &in->index_key, err);
    if (rc == LEDGER_OK)
        rc = store_create(in->work, err);
    if (rc == LEDGER_OK)
        rc = store_open_with(in->work, STORE_WRITE, &small, &s, err);
    if (rc == LEDGER_OK)
        rc = store_begin(s, &kv, err);
    if (rc == LEDGER_OK)
        rc = append_first(in, kv, err);
    if (rc == LEDGER_OK)
        rc = store_commit(s, err);
    else if (s)
        store_abort(s);
    store_close(s);
    return rc;
}

/* ---- the command ---- */

/* DIR without trailing slashes; DIR.tmp-XXXXXX beside it. */
static enum ledger_rc begin_folder(struct init *in, char dir[FILES_PATH_MAX], struct ledger_err *err)
{
    char anchor[FILES_PATH_MAX];
    struct stat st;
    size_t n = strlen(in->dir);
    while (n > 1 && in->dir[n - 1] == '/')
        n--;
    if (n == 0 || n + 16 >= FILES_PATH_MAX)
        return ledger_fail(err, LEDGER_EINVAL, "DIR is empty or too long");
    memcpy(dir, in->dir, n);
    dir[n] = '\0';
    enum ledger_rc rc = files_vacant(dir, err);
    if (rc != LEDGER_OK)
        return ledger_wrap(err, rc, "nothing was touched");
    memcpy(anchor, dir, n);
    memcpy(anchor + n, ".anchor", sizeof ".anchor");
    if (lstat(anchor, &st) == 0)
        return ledger_fail(err, LEDGER_EINVAL,
                           "nothing was touched: %s exists: it belongs to a ledger that was here before; move it away",
                           anchor);
    memcpy(in->work, dir, n);
    memcpy(in->work + n, ".tmp-XXXXXX", sizeof ".tmp-XXXXXX");
    if (!mkdtemp(in->work))
        return ledger_fail(err, LEDGER_EIO, "%s: make folder: %s", in->work, strerror(errno));
    return LEDGER_OK;
}

static enum ledger_rc fill_folder(struct init *in, struct ledger_err *err)
{
    enum ledger_rc rc = make_keys(in, err);
    if (rc == LEDGER_OK)
        rc = make_certificates(in, err);
    if (rc == LEDGER_OK)
        rc = write_config(in, err);
    if (rc == LEDGER_OK)
        rc = make_store(in, err);
    if (rc == LEDGER_OK)
        rc = write_pki(in, err);
    if (rc == LEDGER_OK)
        rc = write_profile(in, err);
    return rc == LEDGER_OK ? files_sync_folder(in->work, err) : rc;
}

/* rename(2) replaces an empty folder and nothing else, so what appeared at DIR meanwhile stays. */
static enum ledger_rc finish_folder(const struct init *in, const char *dir, struct ledger_err *err)
{
    char parent[FILES_PATH_MAX];
    if (rename(in->work, dir) != 0)
        return ledger_fail(err, LEDGER_EIO, "%s: rename to %s: %s", in->work, dir, strerror(errno));
    enum ledger_rc rc = files_parent(parent, dir, err);
    return rc == LEDGER_OK ? files_sync_folder(parent, err) : rc;
}

static void print_made(const struct init *in, const char *dir)
{
    printf("made the ledger %s in %s\n\n", in->origin, dir);
    successor_print(in->a, in->successor_entry);
    printf("  log key            %s\n"
           "  administrator      %s of %s, key in %s/profile/keys/admin.key\n"
           "  client certificate %s, valid %d days\n"
           "  server certificate for",
           in->vkey, in->admin, in->org, dir, in->uri, PKI_CLIENT_DAYS);
    for (size_t i = 0; i < in->n_hosts; i++)
        printf(" %s", in->hosts[i]);
    printf(", valid %d days\n"
           "  profile            %s/profile: move it to where the administrator works\n"
           "  configuration      %s/ledgerd.conf\n"
           "\n"
           "Back up %s/keys and %s/pki now: nothing can make them again.\n"
           "Start it:  ledgerd run %s\n",
           PKI_SERVER_DAYS, dir, dir, dir, dir, dir);
}

static enum ledger_rc make_ledger(struct init *in, struct ledger_err *err)
{
    char dir[FILES_PATH_MAX];
    in->c = crypto_new();
    in->a = arena_new(INIT_ARENA);
    if (!in->c || !in->a)
        return ledger_fail(err, LEDGER_EINTERNAL, "the cryptographic libraries do not start");
    enum ledger_rc rc = in->successor.note ? successor_payload(&in->successor, in->c, in->a, in->origin, &in->successor_entry, err) : LEDGER_OK;
    if (rc == LEDGER_OK)
        rc = begin_folder(in, dir, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = fill_folder(in, err);
    if (rc == LEDGER_OK)
        rc = finish_folder(in, dir, err);
    if (rc != LEDGER_OK)
        files_remove_folder(in->work);
    else
        print_made(in, dir);
    return rc;
}

int cmd_init(int argc, char **argv)
{
    struct init in;
    struct ledger_err err = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(HELP, stdout);
        return EXIT_CODE_OK;
    }
    if (parse_arguments(&in, argc, argv, &err) != LEDGER_OK) {
        fprintf(stderr, "ledgerd init: %s\n", err.msg);
        return EXIT_CODE_USAGE;
    }
    umask(077);
    enum ledger_rc rc = make_ledger(&in, &err);
    if (rc != LEDGER_OK)
        fprintf(stderr, "ledgerd init: %s\n", err.msg);
    crypto_secret_wipe(&in.log_key);
    crypto_secret_wipe(&in.admin_key);
    arena_free(in.a);
    crypto_free(in.c);
    return rc == LEDGER_OK ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
