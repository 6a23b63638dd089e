/* SPDX-License-Identifier: Apache-2.0 */
/* rotate: `ledgerd rotate-log-key DIR`: the steps of log_key.h, for a ledger that is not being served. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "check_internal.h"
#include "commands.h"
#include "keyfile.h"
#include "log_key.h"
#include "log_note.h"
#include "witness/witness.h"

static const char HELP[] =
    "usage: ledgerd rotate-log-key DIR [--prepare] [--anchor FILE]\n"
    "\n"
    "Replaces the key that signs checkpoints, of a ledger that is not being served. A LOG_KEY entry says so in the log; its checkpoint\n"
    "is the last that the old key signs. Clients follow by themselves; old receipts keep verifying. The old secret is destroyed: destroy\n"
    "its copies too, and put the new keys/ and log-keys/ into the safe.\n"
    "\n"
    "Interrupted, it is finished by the next start, or by running it again. With witnesses configured, they are asked first whether they\n"
    "know a longer history, as at a start, and the ledger records nothing more before their quorum has cosigned that checkpoint.\n"
    "\n"
    "  --prepare      only make the new key, and print it, so that it can be published before it is used; also while it is served\n"
    "  --anchor FILE  the anchor, if it is not where ledgerd.conf says (DIR.anchor)\n"
    "\n"
    "Exit codes: 0 done; 1 failed; 2 usage; 3 written by a newer version; 4 the folder is not what was signed.\n";

struct rotate {
    const char *dir, *anchor;
    bool prepare;
    char anchor_path[FILES_PATH_MAX];
    struct store *store;
    struct crypto *c;
    struct arena *a;
    struct config config;
    struct witness_service *witness; /* NULL: the ledger has none */
    struct note_key former[LOG_KEY_CHANGES_MAX + 1]; /* all keys that have signed, the one in force too */
    size_t n_former;
};

/* ---- witnesses ---- */

static void published_cb(void *ctx)
{
    (void)ctx; /* whoever waits looks */
}

static enum ledger_rc open_witness(struct rotate *r, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    const struct witness_options o = {.dir = r->dir, .config = &r->config, .store = r->store, .published_cb = published_cb};
    enum ledger_rc rc = files_path(path, r->dir, "ledgerd.conf", err);
    if (rc == LEDGER_OK)
        rc = config_load(&r->config, path, err);
    if (rc != LEDGER_OK)
        return rc == LEDGER_ENOTFOUND ? LEDGER_OK : rc;
    rc = r->config.witness_policy[0] ? witness_new(&o, &r->witness, err) : LEDGER_OK;
    config_fini(&r->config);
    return rc;
}

/* They cosign the old key's last checkpoint when the ledger serves again; a start needs a policy that knows the new key. */
static enum ledger_rc ask_policy(struct rotate *r, const struct secret_key *next, const char *vkey, struct ledger_err *err)
{
    if (!r->witness || witness_knows_log(r->witness, span_of(next->pub, next->pub_len)))
        return LEDGER_OK;
    return ledger_fail(err, LEDGER_EINVAL, "nothing was replaced: first add the line \"log %.200s\" to the policy of [witness], and have the "
                       "witnesses add it to theirs", vkey);
}

/* Before anything is signed, as at a start: a folder that was set back must not get a history of its own. */
static enum ledger_rc ask_witnesses(void *ctx, struct ledger_err *err)
{
    const struct rotate *r = ctx;
    return r->witness ? witness_ask(r->witness, err) : LEDGER_OK;
}

/* ---- the steps ---- */

static void print_key(const char *what, const char *vkey)
{
    printf("%s\n\n    log %s\n\n", what, vkey);
}

static enum ledger_rc vkey_of(struct rotate *r, const char *origin, const struct secret_key *k, char *out, struct ledger_err *err)
{
    struct note_key key;
    if (!note_key_make(r->c, origin, NOTE_ED25519, span_of(k->pub, k->pub_len), &key))
        return ledger_fail(err, LEDGER_EINTERNAL, "the new key has no text form");
    note_key_format(&key, out);
    return LEDGER_OK;
}

static enum ledger_rc load(struct rotate *r, struct tail *t, struct ledger_err *err)
{
    struct store_snapshot *sn;
    uint64_t size;
    enum ledger_rc rc = store_snapshot_open(r->store, &sn, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = tail_verify(r->store, sn, r->c, r->a, t, err);
    if (rc == LEDGER_OK) {
        rc = tail_anchor(r->anchor_path, t, &size, err);
        if (rc == LEDGER_ENOTFOUND)
            rc = t->m.epoch == 0 ? LEDGER_OK
                                 : ledger_fail(err, LEDGER_EINVAL, "the anchor %s is missing; see \"Restoring\" in docs/operations.md",
                                               r->anchor_path);
    }
    if (rc == LEDGER_OK) {
        struct log_key_sizes sizes;
        arena_reset(r->a);
        rc = log_key_sizes(&t->m, &sizes, err);
        if (rc == LEDGER_OK && sizes.n == LOG_KEY_CHANGES_MAX)
            rc = ledger_fail(err, LEDGER_ELIMIT, "the log key was replaced %d times already, which is as often as clients follow",
                             LOG_KEY_CHANGES_MAX);
        if (rc == LEDGER_OK)
            rc = log_key_list(&t->m, &sizes, r->former, err);
        r->n_former = sizes.n + 1;
    }
    store_snapshot_close(sn);
    return rc;
}

/* A key with two successors is taken for a thief's work by everybody who follows. */
static enum ledger_rc refuse_former(const struct rotate *r, const struct secret_key *next, struct ledger_err *err)
{
    for (size_t i = 0; i < r->n_former; i++)
        if (span_eq(span_of(r->former[i].key, r->former[i].key_n), span_of(next->pub, next->pub_len)))
            return ledger_fail(err, LEDGER_EINVAL, "nothing was replaced: the key in %s/keys/log.key.next has signed for this ledger before; "
                               "remove the file, and a new one is made", r->dir);
    return LEDGER_OK;
}

static void print_done(const struct rotate *r, const char *vkey, uint64_t from)
{
    print_key("replaced: from this checkpoint on the ledger signs with", vkey);
    printf("  first size         %llu\n"
           "  kept for ever      %s/log-keys/%llu: the last checkpoint of the old key. Back it up with %s/keys\n"
           "  destroyed          the old secret. Destroy its copies in safes and backups, too\n"
           "  now                start the ledger, and publish the line above: clients follow by themselves, tools with one fixed key\n"
           "                     and witnesses need the line in addition to the old one\n",
           (unsigned long long)from, r->dir, (unsigned long long)(from - 1), r->dir);
}

static enum ledger_rc replace(struct rotate *r, struct tail *t, const struct secret_key *next, const char *vkey, struct ledger_err *err)
{
    struct timespec now;
    bool finished = false;
    clock_gettime(CLOCK_REALTIME, &now);
    enum ledger_rc rc = log_key_record(r->store, &t->m, next, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, err);
    if (rc != LEDGER_OK)
        return rc;
    uint64_t from = t->m.log_key_from;
    rc = log_key_finish(r->store, r->c, r->a, r->anchor_path, NULL, &finished, err); /* they were asked */
    if (rc == LEDGER_OK && !finished)
        rc = ledger_fail(err, LEDGER_EINTERNAL, "what was recorded is not there");
    if (rc == LEDGER_OK)
        print_done(r, vkey, from);
    else
        ledger_wrap(err, rc, "the change is recorded, and not finished: run this again");
    return rc;
}

static enum ledger_rc rotate(struct rotate *r, struct ledger_err *err)
{
    char vkey[NOTE_NAME_MAX + 200];
    struct tail t;
    struct secret_key next;
    bool finished = false;
    const struct log_key_ask ask = {ask_witnesses, r};
    enum ledger_rc rc = open_witness(r, err);
    if (rc == LEDGER_OK)
        rc = log_key_finish(r->store, r->c, r->a, r->anchor_path, &ask, &finished, err);
    if (rc == LEDGER_OK)
        rc = load(r, &t, err);
    if (rc == LEDGER_OK && finished)
        print_done(r, t.m.log_vkey, t.m.log_key_from);
    if (rc != LEDGER_OK || finished)
        return rc;
    rc = ask_witnesses(r, err);
    if (rc == LEDGER_OK)
        rc = log_key_next(r->dir, r->c, t.m.origin, &next, err);
    if (rc == LEDGER_OK)
        rc = refuse_former(r, &next, err);
    if (rc == LEDGER_OK)
        rc = vkey_of(r, t.m.origin, &next, vkey, err);
    if (rc == LEDGER_OK)
        rc = ask_policy(r, &next, vkey, err);
    if (rc == LEDGER_OK)
        rc = replace(r, &t, &next, vkey, err);
    crypto_secret_wipe(&next);
    return rc;
}

/* Touches nothing but keys/log.key.next: the daemon may be running. */
static enum ledger_rc prepare(struct rotate *r, struct ledger_err *err)
{
    char path[FILES_PATH_MAX], origin[KEYFILE_PARTY_MAX + 1], vkey[NOTE_NAME_MAX + 200];
    struct secret_key key;
    enum ledger_rc rc = files_path(path, r->dir, "keys/log.key", err);
    if (rc == LEDGER_OK)
        rc = keyfile_read(r->c, path, origin, &key, err);
    if (rc != LEDGER_OK)
        return rc;
    crypto_secret_wipe(&key);
    rc = log_key_next(r->dir, r->c, origin, &key, err);
    if (rc == LEDGER_OK)
        rc = vkey_of(r, origin, &key, vkey, err);
    if (rc == LEDGER_OK)
        print_key("prepared: the next log key, which signs nothing yet, is", vkey);
    crypto_secret_wipe(&key);
    return rc;
}

static enum ledger_rc perform(struct rotate *r, struct ledger_err *err)
{
    r->c = crypto_new();
    r->a = arena_new(LOG_KEY_SCRATCH);
    if (!r->c || !r->a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    if (r->prepare)
        return prepare(r, err);
    enum ledger_rc rc = offline_open(r->dir, r->anchor, STORE_WRITE, false, &r->store, r->anchor_path, err);
    return rc == LEDGER_OK ? rotate(r, err) : rc;
}

static bool parse_arguments(struct rotate *r, int argc, char **argv)
{
    static const struct option options[] = {
        {"prepare", no_argument, NULL, 'p'}, {"anchor", required_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'p')
            r->prepare = true;
        else if (option == 'a')
            r->anchor = optarg;
        else
            return false;
    }
    r->dir = argv[optind];
    return optind == argc - 1;
}

int cmd_rotate_log_key(int argc, char **argv)
{
    struct rotate r = {.dir = NULL};
    struct ledger_err err = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(HELP, stdout);
        return EXIT_CODE_OK;
    }
    if (!parse_arguments(&r, argc, argv)) {
        fputs("ledgerd rotate-log-key: one DIR is wanted, see ledgerd rotate-log-key --help\n", stderr);
        return EXIT_CODE_USAGE;
    }
    umask(077);
    enum ledger_rc rc = perform(&r, &err);
    if (rc != LEDGER_OK)
        fprintf(stderr, "ledgerd rotate-log-key: %s\n", err.msg);
    witness_free(r.witness);
    store_close(r.store);
    arena_free(r.a);
    crypto_free(r.c);
    return exit_code_of(rc);
}
