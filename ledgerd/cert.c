/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cert: `ledgerd cert issue | renew-server | revoke | list`: the client certificates of a ledger.
 *
 * It works beside a running server and never opens the store. Commands that write hold DIR/pki/lock, so that two at once do not
 * lose each other's revocation or access line. A copy of every certificate issued stays in DIR/pki/issued.
 *
 * Failure modes: `issue` writes the profile first, then the copy, then the access line: after a crash in between there is a
 * certificate that may connect to nothing, never a right without a record of the certificate.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "config.h"
#include "files.h"
#include "keyfile.h"
#include "note.h"
#include "pki.h"
#include "profile.h"

#define CERT_ARENA (64u << 20)
#define CONF_MAX (4u << 20)
#define HOSTS_MAX 20

struct cert {
    /* From the arguments. */
    const char *dir, *name, *out, *party, *read, *serial, *address;
    const char *hosts[HOSTS_MAX];
    size_t n_hosts;
    bool no_submit, administer;
    unsigned days;
    /* Made on the way. */
    struct arena *a;
    struct crypto *c;
    int lock;
};

static const char HELP[] =
    "usage: ledgerd cert issue DIR --name URI --out FOLDER [options]\n"
    "       ledgerd cert renew-server DIR [--host HOST]...\n"
    "       ledgerd cert revoke DIR --name URI | --serial SERIAL\n"
    "       ledgerd cert list DIR\n"
    "\n"
    "issue makes a certificate for an organisation or a device and writes a whole profile\n"
    "folder for it, without any signing key; and lists it under [access] in DIR/ledgerd.conf.\n"
    "  --name URI             its name, for instance urn:ledgerd:client:hospital-a\n"
    "  --out FOLDER           the new profile folder\n"
    "  --read all|none|KINDS  what it may read (default: all); KINDS are divided by commas\n"
    "  --no-submit            it may not submit events\n"
    "  --administer           it may submit acts of the ledger that two persons have signed: parameters, erasures\n"
    "  --days N               how long the certificate is valid (default: 1095)\n"
    "  --party PARTY          the profile's default signer\n"
    "  --address HOST:PORT    the server's address in the profile (default: from ledgerd.conf)\n"
    "\n"
    "renew-server makes a new key and certificate for the server, valid 3650 days, for\n"
    "localhost, this machine's name and every HOST. Restart the server, or send it SIGHUP.\n"
    "\n"
    "revoke puts certificates on the revocation list. A running server reads it at the next\n"
    "connection, and on SIGHUP also closes the connections of revoked certificates.\n";

/* ---- what all of them need ---- */

static enum ledger_rc path_in(const struct cert *k, char out[FILES_PATH_MAX], const char *name, struct ledger_err *err)
{
    return files_path(out, k->dir, name, err);
}

static enum ledger_rc read_in(struct cert *k, const char *name, struct span *out, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = path_in(k, path, name, err);
    return rc == LEDGER_OK ? files_read(k->a, path, CONF_MAX, out, err) : rc;
}

static enum ledger_rc replace_in(struct cert *k, const char *name, struct span bytes, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = path_in(k, path, name, err);
    return rc == LEDGER_OK ? files_replace(path, bytes, err) : rc;
}

/* Waits for another cert command to finish. */
static enum ledger_rc lock_pki(struct cert *k, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = path_in(k, path, "pki/lock", err);
    if (rc != LEDGER_OK)
        return rc;
    k->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (k->lock < 0 || flock(k->lock, LOCK_EX) != 0)
        return ledger_fail(err, LEDGER_EIO, "%s: %s", path, strerror(errno));
    return LEDGER_OK;
}

static enum ledger_rc open_ca(struct cert *k, struct pki_ca **ca, struct span *ca_pem, struct ledger_err *err)
{
    struct span key;
    enum ledger_rc rc = read_in(k, "pki/ca.pem", ca_pem, err);
    if (rc == LEDGER_OK)
        rc = read_in(k, "pki/ca.key", &key, err);
    return rc == LEDGER_OK ? pki_ca_open(*ca_pem, key, ca, err) : rc;
}

/* Calls visit for each certificate issued, until it fails. */
static enum ledger_rc each_issued(struct cert *k,
                                  enum ledger_rc (*visit)(struct cert *k, void *ctx, const struct pki_info *info,
                                                          struct ledger_err *err),
                                  void *ctx, struct ledger_err *err)
{
    char folder[FILES_PATH_MAX], path[FILES_PATH_MAX];
    enum ledger_rc rc = path_in(k, folder, "pki/issued", err);
    if (rc != LEDGER_OK)
        return rc;
    DIR *d = opendir(folder);
    if (!d)
        return ledger_fail(err, LEDGER_EIO, "%s: %s", folder, strerror(errno));
    for (const struct dirent *e; rc == LEDGER_OK && (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        struct span pem;
        struct pki_info info;
        if (n < 5 || strcmp(e->d_name + n - 4, ".pem") != 0)
            continue;
        struct arena_mark mark = arena_mark(k->a);
        rc = files_path(path, folder, e->d_name, err);
        if (rc == LEDGER_OK)
            rc = files_read(k->a, path, PKI_FILE_MAX, &pem, err);
        if (rc == LEDGER_OK && (rc = pki_read(pem, &info, err)) != LEDGER_OK)
            rc = ledger_wrap(err, rc, "%s", path);
        if (rc == LEDGER_OK)
            rc = visit(k, ctx, &info, err);
        arena_release(k->a, mark);
    }
    closedir(d);
    return rc;
}

/* ---- issue ---- */

/* "submit, administer, read KIND KIND" from the options. */
static enum ledger_rc rights_of(const struct cert *k, char *out, size_t max, struct ledger_err *err)
{
    char list[2048];
    const char *kinds = k->read ? k->read : "all";
    if (strlen(kinds) >= sizeof list)
        return ledger_fail(err, LEDGER_EINVAL, "--read: the list is too long");
    memcpy(list, kinds, strlen(kinds) + 1);
    for (char *p = list; *p; p++)
        if (*p == ',')
            *p = ' ';
    snprintf(out, max, "%s%sread %s", k->no_submit ? "" : "submit, ", k->administer ? "administer, " : "", list);
    struct access_table t = {0};
    enum ledger_rc rc = access_add(&t, k->name, out, err);
    access_table_fini(&t);
    return rc;
}

/* Adds the line to ledgerd.conf, unless the name has one already: then its rights stay as they are. */
static enum ledger_rc grant(struct cert *k, const struct config *conf, const char *rights, struct ledger_err *err)
{
    struct span text;
    if (access_find(&conf->access, k->name)) {
        printf("  access             as %s/ledgerd.conf already says for this name\n", k->dir);
        return LEDGER_OK;
    }
    enum ledger_rc rc = read_in(k, "ledgerd.conf", &text, err);
    if (rc != LEDGER_OK)
        return rc;
    struct span with = config_with_access(k->a, text, k->name, rights);
    if (!with.p)
        return ledger_fail(err, LEDGER_ENOMEM, "ledgerd.conf is too large");
    rc = replace_in(k, "ledgerd.conf", with, err);
    if (rc == LEDGER_OK)
        printf("  access             %s, in %s/ledgerd.conf\n", rights, k->dir);
    return rc;
}

/* What a profile needs besides the certificate. vkey has NOTE_NAME_MAX + 200 bytes, origin KEYFILE_PARTY_MAX + 1. */
static enum ledger_rc ledger_facts(struct cert *k, char *origin, char *vkey, struct hash *index_key, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct secret_key log_key;
    struct note_key note;
    enum ledger_rc rc = path_in(k, path, "keys/log.key", err);
    if (rc == LEDGER_OK)
        rc = keyfile_read(k->c, path, origin, &log_key, err);
    if (rc != LEDGER_OK)
        return rc;
    bool made = note_key_make(k->c, origin, NOTE_ED25519, span_of(log_key.pub, log_key.pub_len), &note);
    crypto_secret_wipe(&log_key);
    if (!made)
        return ledger_fail(err, LEDGER_EINVAL, "%s: the party is no origin", path);
    note_key_format(&note, vkey);
    rc = path_in(k, path, "keys/index.key", err);
    return rc == LEDGER_OK ? keyfile_read_index(path, index_key, err) : rc;
}

static enum ledger_rc keep_copy(struct cert *k, const struct pki_pair *pair, struct ledger_err *err)
{
    char name[2 * PKI_SERIAL_MAX + 32];
    snprintf(name, sizeof name, "pki/issued/%s.pem", pair->serial);
    return replace_in(k, name, pair->cert, err);
}

static enum ledger_rc issue_with(struct cert *k, const struct pki_ca *ca, struct span ca_pem, const struct config *conf,
                                 struct ledger_err *err)
{
    char origin[KEYFILE_PARTY_MAX + 1], vkey[NOTE_NAME_MAX + 200], rights[2200];
    struct hash index_key;
    struct profile p = {.origin = origin, .party = k->party, .log_vkey = vkey, .index_key = &index_key, .ca = ca_pem};
    p.address = k->address ? k->address : conf->address[0] ? conf->address : conf->listen;
    enum ledger_rc rc = rights_of(k, rights, sizeof rights, err);
    if (rc == LEDGER_OK)
        rc = ledger_facts(k, origin, vkey, &index_key, err);
    if (rc == LEDGER_OK)
        rc = pki_issue_client(ca, k->a, k->name, k->days, &p.client, err);
    if (rc == LEDGER_OK)
        rc = profile_write(k->out, &p, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = keep_copy(k, &p.client, err);
    if (rc != LEDGER_OK) {
        files_remove_folder(k->out); /* A certificate that `list` does not know must not leave the house. */
        return rc;
    }
    printf("issued a certificate for %s\n  serial             %s\n  valid              %u days\n  profile            %s\n",
           k->name, p.client.serial, k->days, k->out);
    return grant(k, conf, rights, err);
}

static enum ledger_rc cert_issue(struct cert *k, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    struct config conf;
    struct pki_ca *ca = NULL;
    struct span ca_pem;
    if (!access_name_valid(span_str(k->name)) || !strchr(k->name, ':') || *k->name == ':' || *k->name == '[')
        return ledger_fail(err, LEDGER_EINVAL, "--name: \"%.100s\" is no URI such as urn:ledgerd:client:hospital-a", k->name);
    enum ledger_rc rc = path_in(k, path, "ledgerd.conf", err);
    if (rc == LEDGER_OK)
        rc = lock_pki(k, err);
    if (rc == LEDGER_OK)
        rc = config_load(&conf, path, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = open_ca(k, &ca, &ca_pem, err);
    if (rc == LEDGER_OK)
        rc = issue_with(k, ca, ca_pem, &conf, err);
    pki_ca_close(ca);
    config_fini(&conf);
    return rc;
}

static enum ledger_rc cert_renew_server(struct cert *k, struct ledger_err *err)
{
    char host_name[256] = "";
    struct pki_ca *ca = NULL;
    struct pki_pair pair;
    struct span ca_pem;
    k->hosts[k->n_hosts++] = "localhost";
    k->hosts[k->n_hosts++] = "127.0.0.1";
    k->hosts[k->n_hosts++] = "::1";
    if (gethostname(host_name, sizeof host_name - 1) == 0 && strcmp(host_name, "localhost") != 0 && *host_name)
        k->hosts[k->n_hosts++] = host_name;
    enum ledger_rc rc = lock_pki(k, err);
    if (rc == LEDGER_OK)
        rc = open_ca(k, &ca, &ca_pem, err);
    if (rc == LEDGER_OK)
        rc = pki_issue_server(ca, k->a, k->hosts, k->n_hosts, &pair, err);
    if (rc == LEDGER_OK)
        rc = replace_in(k, "pki/server.key", pair.key, err);
    if (rc == LEDGER_OK)
        rc = replace_in(k, "pki/server.pem", pair.cert, err);
    if (rc == LEDGER_OK)
        printf("renewed the server's certificate, serial %s, valid %d days; restart the server or send it SIGHUP\n",
               pair.serial, PKI_SERVER_DAYS);
    pki_ca_close(ca);
    return rc;
}

/* ---- revoke ---- */

struct revoking {
    struct pki_ca *ca;
    struct span crl;
    unsigned found, revoked;
    struct arena *list; /* holds the list, which outlives one visit */
};

static enum ledger_rc revoke_one(struct cert *k, void *ctx, const struct pki_info *info, struct ledger_err *err)
{
    struct revoking *r = ctx;
    bool before = false;
    if (k->serial ? strcmp(k->serial, info->serial) != 0 : strcmp(k->name, info->name) != 0)
        return LEDGER_OK;
    r->found++;
    enum ledger_rc rc = pki_is_revoked(r->crl, info->serial, &before, NULL, err);
    if (rc != LEDGER_OK || before)
        return rc;
    rc = pki_revoke(r->ca, r->list, r->crl, info->serial, &r->crl, err);
    if (rc == LEDGER_OK) {
        r->revoked++;
        printf("revoked %s  %s\n", info->serial, info->name);
    }
    return rc;
}

static enum ledger_rc revoke_listed(struct cert *k, struct revoking *r, struct ledger_err *err)
{
    struct span ca_pem;
    enum ledger_rc rc = open_ca(k, &r->ca, &ca_pem, err);
    if (rc == LEDGER_OK)
        rc = read_in(k, "pki/crl.pem", &r->crl, err);
    if (rc == LEDGER_OK)
        rc = each_issued(k, revoke_one, r, err);
    if (rc != LEDGER_OK)
        return rc;
    if (r->found == 0)
        return ledger_fail(err, LEDGER_ENOTFOUND, "no certificate with that %s was issued here; nothing was revoked",
                           k->serial ? "serial number" : "name");
    if (r->revoked == 0)
        return ledger_fail(err, LEDGER_EINVAL, "revoked already; nothing was changed");
    return replace_in(k, "pki/crl.pem", r->crl, err);
}

static enum ledger_rc cert_revoke(struct cert *k, struct ledger_err *err)
{
    struct revoking r = {.list = arena_new(CERT_ARENA)};
    if (!r.list)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = lock_pki(k, err);
    if (rc == LEDGER_OK)
        rc = revoke_listed(k, &r, err);
    pki_ca_close(r.ca);
    arena_free(r.list);
    return rc;
}

/* ---- list ---- */

static enum ledger_rc list_one(struct cert *k, void *ctx, const struct pki_info *info, struct ledger_err *err)
{
    const struct span *crl = ctx;
    bool revoked = false;
    int64_t at = 0;
    char day[32] = "?";
    struct tm tm;
    time_t until = (time_t)info->not_after_s;
    struct timespec now;
    (void)k;
    enum ledger_rc rc = pki_is_revoked(*crl, info->serial, &revoked, &at, err);
    if (rc != LEDGER_OK)
        return rc;
    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&until, &tm))
        strftime(day, sizeof day, "%Y-%m-%d", &tm);
    printf("%-40s  %-8s  until %s  %s\n", info->serial,
           revoked ? "revoked" : now.tv_sec > info->not_after_s ? "expired" : "valid", day, info->name);
    return LEDGER_OK;
}

static enum ledger_rc cert_list(struct cert *k, struct ledger_err *err)
{
    struct span crl;
    enum ledger_rc rc = read_in(k, "pki/crl.pem", &crl, err);
    return rc == LEDGER_OK ? each_issued(k, list_one, &crl, err) : rc;
}

/* ---- the command ---- */

static enum ledger_rc take_option(struct cert *k, int option, char *value, struct ledger_err *err)
{
    char *end;
    switch (option) {
    case 'n':
        k->name = value;
        return LEDGER_OK;
    case 'o':
        k->out = value;
        return LEDGER_OK;
    case 'r':
        k->read = value;
        return LEDGER_OK;
    case 'N':
        k->no_submit = true;
        return LEDGER_OK;
    case 'A':
        k->administer = true;
        return LEDGER_OK;
    case 'p':
        k->party = value;
        return LEDGER_OK;
    case 'a':
        k->address = value;
        return LEDGER_OK;
    case 's':
        k->serial = value;
        return LEDGER_OK;
    case 'H':
        if (k->n_hosts + 4 >= HOSTS_MAX)
            return ledger_fail(err, LEDGER_EINVAL, "too many hosts");
        k->hosts[k->n_hosts++] = value;
        return LEDGER_OK;
    case 'd':
        errno = 0;
        k->days = (unsigned)strtoul(value, &end, 10);
        if (errno || *end || *value < '0' || *value > '9' || k->days < 1 || k->days > PKI_CA_DAYS)
            return ledger_fail(err, LEDGER_EINVAL, "--days wants 1 to %d", PKI_CA_DAYS);
        return LEDGER_OK;
    default:
        return ledger_fail(err, LEDGER_EINVAL, "see ledgerd cert --help");
    }
}

static enum ledger_rc parse_arguments(struct cert *k, int argc, char **argv, struct ledger_err *err)
{
    static const struct option OPTIONS[] = {
        {"name", required_argument, NULL, 'n'},    {"out", required_argument, NULL, 'o'},
        {"read", required_argument, NULL, 'r'},    {"no-submit", no_argument, NULL, 'N'},
        {"party", required_argument, NULL, 'p'},   {"address", required_argument, NULL, 'a'},
        {"serial", required_argument, NULL, 's'},  {"days", required_argument, NULL, 'd'},
        {"host", required_argument, NULL, 'H'},    {"administer", no_argument, NULL, 'A'},
        {NULL, 0, NULL, 0},
    };
    int option;
    *k = (struct cert){.lock = -1, .days = PKI_CLIENT_DAYS};
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        enum ledger_rc rc = take_option(k, option, optarg, err);
        if (rc != LEDGER_OK)
            return rc;
    }
    if (optind != argc - 1)
        return ledger_fail(err, LEDGER_EINVAL, "one DIR is wanted, see ledgerd cert --help");
    k->dir = argv[optind];
    return LEDGER_OK;
}

static int run_cert(struct cert *k, enum ledger_rc (*act)(struct cert *, struct ledger_err *))
{
    struct ledger_err err = {0};
    umask(077);
    k->a = arena_new(CERT_ARENA);
    k->c = crypto_new();
    enum ledger_rc rc = k->a && k->c ? act(k, &err)
                                     : ledger_fail(&err, LEDGER_EINTERNAL, "the cryptographic libraries do not start");
    if (rc != LEDGER_OK)
        fprintf(stderr, "ledgerd cert: %s\n", err.msg);
    if (k->lock >= 0)
        close(k->lock);
    crypto_free(k->c);
    arena_free(k->a);
    return rc == LEDGER_OK ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

int cmd_cert(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum ledger_rc (*act)(struct cert *, struct ledger_err *);
    } ACTS[] = {
        {"issue", cert_issue}, {"renew-server", cert_renew_server}, {"revoke", cert_revoke}, {"list", cert_list}};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(HELP, stdout);
            return EXIT_CODE_OK;
        }
    }
    for (size_t i = 0; argc > 1 && i < sizeof ACTS / sizeof ACTS[0]; i++) {
        if (strcmp(argv[1], ACTS[i].name) != 0)
            continue;
        struct cert k;
        struct ledger_err err = {0};
        enum ledger_rc rc = parse_arguments(&k, argc - 1, argv + 1, &err);
        if (rc == LEDGER_OK && ACTS[i].act == cert_issue && (!k.name || !k.out))
            rc = ledger_fail(&err, LEDGER_EINVAL, "--name URI and --out FOLDER are wanted");
        if (rc == LEDGER_OK && ACTS[i].act == cert_revoke && !k.name == !k.serial)
            rc = ledger_fail(&err, LEDGER_EINVAL, "either --name URI or --serial SERIAL is wanted");
        if (rc == LEDGER_OK)
            return run_cert(&k, ACTS[i].act);
        fprintf(stderr, "ledgerd cert: %s\n", err.msg);
        return EXIT_CODE_USAGE;
    }
    fputs("ledgerd cert: issue, renew-server, revoke or list is wanted, see ledgerd cert --help\n", stderr);
    return EXIT_CODE_USAGE;
}
