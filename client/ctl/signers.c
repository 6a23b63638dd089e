/* SPDX-License-Identifier: Apache-2.0 */
/* signers: finds signing keys in files and folders (signers.h). */
#include "signers.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ring_key {
    struct ring_key *next;
    struct ledger_key *key;
};

int ring_add_file(struct key_ring *r, const char *path, struct ledger_key **out)
{
    struct ledger_err err = {0};
    struct ring_key *k = calloc(1, sizeof *k);
    if (!k)
        return ctl_fail(r->ctl, EXIT_NO_ANSWER, "out of memory");
    enum ledger_rc rc = ledger_key_load(path, &k->key, &err);
    if (rc) {
        free(k);
        return ctl_fail(r->ctl, EXIT_USAGE, "%s", err.msg);
    }
    k->next = r->first;
    r->first = k;
    if (out)
        *out = k->key;
    return EXIT_GOOD;
}

static bool is_key_file(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && name[0] != '.' && strcmp(name + n - 4, ".key") == 0;
}

int ring_add_folder(struct key_ring *r, const char *path)
{
    int exit = EXIT_GOOD;
    DIR *d = opendir(path);
    if (!d)
        return ctl_fail(r->ctl, EXIT_USAGE, "%s: %s", path, strerror(errno));
    for (const struct dirent *e; !exit && (e = readdir(d));)
        if (is_key_file(e->d_name))
            exit = ring_add_file(r, ctl_text(r->ctl, "%s/%s", path, e->d_name), NULL);
    closedir(d);
    return exit;
}

static struct ledger_key *find(const struct key_ring *r, struct span party)
{
    for (const struct ring_key *k = r->first; k; k = k->next)
        if (span_eq(span_str(k->key->party), party))
            return k->key;
    return NULL;
}

int ring_party(struct key_ring *r, struct span party, struct ledger_key **out)
{
    *out = find(r, party);
    if (*out)
        return EXIT_GOOD;
    int exit = ctl_profile(r->ctl);
    const char *folder = exit ? NULL : ctl_text(r->ctl, "%s/keys", r->ctl->profile->folder);
    if (!exit && !r->profile_read && access(folder, F_OK) == 0)
        exit = ring_add_folder(r, folder);
    if (exit)
        return exit;
    r->profile_read = true;
    *out = find(r, party);
    return *out ? EXIT_GOOD
                : ctl_fail(r->ctl, EXIT_USAGE, "there is no key of %s in %s",
                           ctl_span(r->ctl, party), folder);
}

int ring_named(struct key_ring *r, const char *name, struct ledger_key **out)
{
    if (access(name, F_OK) == 0 || !id_valid(span_str(name)) || strchr(name, '/'))
        return ring_add_file(r, name, out);
    return ring_party(r, span_str(name), out);
}

static int default_signing(struct key_ring *r, struct signing *out, unsigned *n)
{
    int exit = ctl_profile(r->ctl);
    if (exit)
        return exit;
    if (!r->ctl->profile->party[0])
        return ctl_fail(r->ctl, EXIT_USAGE,
                        "who signs? Name a key with --sign, or a party in the profile");
    *n = 1;
    return ring_party(r, span_str(r->ctl->profile->party), &out->key);
}

int ring_signings(struct key_ring *r, const struct ctl_list *sign, const struct ctl_list *meaning,
                  struct signing out[SIGNATURES_READ_MAX], unsigned *n)
{
    int exit = EXIT_GOOD;
    *n = 0;
    if (sign->n > SIGNATURES_READ_MAX || meaning->n > (sign->n ? sign->n : 1))
        return ctl_fail(r->ctl, EXIT_USAGE,
                        sign->n > SIGNATURES_READ_MAX ? "too many --sign"
                                                      : "more --meaning than --sign");
    if (sign->n == 0)
        exit = default_signing(r, &out[0], n);
    for (unsigned i = 0; i < sign->n && !exit; i++) {
        exit = ring_named(r, sign->v[i], &out[i].key);
        *n = i + 1;
    }
    for (unsigned i = 0; i < *n && !exit; i++) {
        out[i].meaning = i < meaning->n ? meaning->v[i] : i == 0 ? "authorship" : "verification";
        if (!text_valid(span_str(out[i].meaning)))
            exit =
                ctl_fail(r->ctl, EXIT_USAGE, "--meaning takes a text of 1 to %d bytes", TEXT_MAX);
    }
    return exit;
}

void ring_free(struct key_ring *r)
{
    struct ring_key *next;
    for (struct ring_key *k = r->first; k; k = next) {
        next = k->next;
        ledger_key_free(k->key);
        free(k);
    }
    r->first = NULL;
}
