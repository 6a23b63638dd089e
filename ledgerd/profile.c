/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile: writing a client's profile folder.
 *
 * Failure modes: an existing folder with something in it is refused untouched; after any other failure the folder is removed.
 */
#include "profile.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "files.h"
#include "keyfile.h"
#include "note.h"

static enum ledger_rc add_file(const char *folder, const char *name, struct span bytes, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = files_path(path, folder, name, err);
    return rc == LEDGER_OK ? files_create(path, bytes, err) : rc;
}

static enum ledger_rc add_folder(const char *folder, const char *name, struct ledger_err *err)
{
    char path[FILES_PATH_MAX];
    enum ledger_rc rc = files_path(path, folder, name, err);
    return rc == LEDGER_OK ? files_mkdir(path, err) : rc;
}

static enum ledger_rc write_conf(const char *folder, const struct profile *p, struct ledger_err *err)
{
    char text[2048];
    int n = snprintf(text, sizeof text,
                     "# How to reach a ledger, and as whom. Read by ledgerctl and libledgerd.\n"
                     "[profile]\n"
                     "address = %s\n"
                     "origin = %s\n"
                     "# The party that signs when a command does not say otherwise; its key is in keys/.\n"
                     "%sparty = %s\n"
                     "# A check says FIT only if the checkpoint it stands on is no older than this, in seconds.\n"
                     "fresh_within = %d\n",
                     p->address, p->origin, p->party ? "" : "#", p->party ? p->party : "PARTY-ID", PROFILE_FRESH_S);
    if (n < 0 || (size_t)n >= sizeof text)
        return ledger_fail(err, LEDGER_EINVAL, "address, origin or party is too long");
    return add_file(folder, "profile.conf", span_of(text, (size_t)n), err);
}

static enum ledger_rc write_policy(const char *folder, const struct profile *p, struct ledger_err *err)
{
    char text[NOTE_NAME_MAX + 512];
    int n = snprintf(text, sizeof text, "log %s\nquorum none\n", p->log_vkey);
    if (n < 0 || (size_t)n >= sizeof text)
        return ledger_fail(err, LEDGER_EINVAL, "the log's key is too long");
    return add_file(folder, "policy", span_of(text, (size_t)n), err);
}

static enum ledger_rc write_keys(const char *folder, const struct profile *p, struct ledger_err *err)
{
    char path[FILES_PATH_MAX], name[300];
    enum ledger_rc rc = add_folder(folder, "keys", err);
    if (rc == LEDGER_OK)
        rc = files_path(path, folder, "index.key", err);
    if (rc == LEDGER_OK)
        rc = keyfile_write_index(path, p->index_key, err);
    if (rc != LEDGER_OK || !p->signing)
        return rc;
    snprintf(name, sizeof name, "keys/%s.key", p->key_name);
    rc = files_path(path, folder, name, err);
    return rc == LEDGER_OK ? keyfile_write(path, p->party, p->signing, err) : rc;
}

enum ledger_rc profile_write(const char *folder, const struct profile *p, struct ledger_err *err)
{
    struct stat st;
    enum ledger_rc rc = files_vacant(folder, err);
    if (rc != LEDGER_OK)
        return rc;
    if (stat(folder, &st) != 0)
        rc = files_mkdir(folder, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = write_conf(folder, p, err);
    if (rc == LEDGER_OK)
        rc = write_policy(folder, p, err);
    if (rc == LEDGER_OK)
        rc = write_keys(folder, p, err);
    if (rc == LEDGER_OK)
        rc = add_file(folder, "ca.pem", p->ca, err);
    if (rc == LEDGER_OK)
        rc = add_file(folder, "client.pem", p->client.cert, err);
    if (rc == LEDGER_OK)
        rc = add_file(folder, "client.key", p->client.key, err);
    if (rc == LEDGER_OK)
        rc = add_folder(folder, "pins", err);
    if (rc != LEDGER_OK)
        files_remove_folder(folder);
    return rc;
}
