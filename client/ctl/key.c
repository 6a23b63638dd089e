/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key: makes signing keys, and shows what an administrator needs of one to register it: the public
 * key and the proof that its owner has the secret. So a secret never has to leave the machine where
 * it was drawn.
 */
#include "signers.h"

#include <string.h>

static int print_key(struct ctl *ctl, struct ledger_key *k, const char *path, const char *proof)
{
    if (ctl->json) {
        struct json_writer w;
        json_writer_init(&w, ctl->a, true);
        json_object(&w);
        json_put_string(&w, "party", span_str(k->party));
        json_put_string(&w, "public", span_str(k->public_text));
        if (proof) {
            json_put_string(&w, "ledger", span_str(ctl->profile->origin));
            json_put_string(&w, "proof", span_str(proof));
        }
        json_put_string(&w, "file", span_str(path));
        json_end(&w);
        return ctl_print_json(ctl, &w);
    }
    const char *rows[][2] = {
        {"party", k->party},
        {"public", k->public_text},
        {"ledger", proof ? ctl->profile->origin : ""},
        {"proof", proof ? proof : ""},
        {"file", path},
    };
    struct ctl_table *t = ctl_table_new(ctl, 2, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i][1][0])
            ctl_table_row(t, rows[i]);
    ctl_table_print(t);
    return EXIT_GOOD;
}

/* The proof names the ledger, so there is one only where a profile says which ledger is meant. */
static int proof_text(struct ctl *ctl, struct ledger_key *k, const char **out)
{
    uint8_t proof[64];
    char text[96];
    struct ledger_err err = {0};
    *out = NULL;
    if (!ctl->profile_path)
        return EXIT_GOOD;
    int exit = ctl_profile(ctl);
    if (exit)
        return exit;
    if (ledger_key_prove(k, ctl->profile->origin, proof, &err))
        return ctl_fail_err(ctl, &err, (enum ledger_recorded)0);
    b64_encode(span_of(proof, sizeof proof), text);
    *out = ctl_text(ctl, "%s", text);
    return EXIT_GOOD;
}

static int show(struct ctl *ctl, struct ledger_key *k, const char *path)
{
    const char *proof;
    int exit = proof_text(ctl, k, &proof);
    return exit ? exit : print_key(ctl, k, path, proof);
}

static int key_new(struct ctl *ctl, const char *party, const char *algorithm, const char *path)
{
    struct ledger_key *k;
    struct ledger_err err = {0};
    if (!path)
        return ctl_fail(ctl, EXIT_USAGE, "where to? Name the key file with -o FILE");
    if (ledger_key_new(algorithm, party, &k, &err))
        return ctl_fail_err(ctl, &err, (enum ledger_recorded)0);
    int exit = ledger_key_save(k, path, &err) ? ctl_fail(ctl, EXIT_USAGE, "%s", err.msg)
                                              : show(ctl, k, path);
    ledger_key_free(k);
    return exit;
}

static int key_show(struct ctl *ctl, const char *path)
{
    struct key_ring ring = {.ctl = ctl};
    struct ledger_key *k;
    int exit = ring_named(&ring, path, &k);
    if (!exit)
        exit = show(ctl, k, path);
    ring_free(&ring);
    return exit;
}

int cmd_key(struct ctl *ctl, int argc, char **argv)
{
    const char *path = NULL, *algorithm = "ed25519";
    const struct ctl_opt opts[] = {{"output", OPT_TEXT, {.text = &path}, 'o'},
                                   {"algorithm", OPT_TEXT, {.text = &algorithm}, 0}};
    char **args;
    unsigned n;
    bool done;
    if (!ctl_options(ctl, argc, argv, opts, 2, 2, 2, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    if (strcmp(args[0], "new") == 0)
        return key_new(ctl, args[1], algorithm, path);
    if (strcmp(args[0], "show") == 0)
        return key_show(ctl, args[1]);
    return ctl_fail(ctl, EXIT_USAGE, "key does not know \"%s\"; it knows new and show", args[0]);
}
