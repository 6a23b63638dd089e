/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subject: the commitment to a patient or donor that stands for them in the ledger. It is made
 * here, without a server, because neither identifier nor salt must reach one.
 */
#include <string.h>
#include <sys/random.h>

#include "chain_json.h"
#include "ctl.h"

#define IDENTIFIER_MAX 4096

/* The identifier, or with "-" the first line of standard input, which no list of processes shows.
 */
static int read_identifier(struct ctl *ctl, const char *arg, struct span *out)
{
    *out = span_str(arg);
    if (strcmp(arg, "-") == 0) {
        int exit = ctl_read_file(ctl, arg, IDENTIFIER_MAX, out);
        if (exit)
            return exit;
        const uint8_t *end = out->n ? memchr(out->p, '\n', out->n) : NULL;
        if (end)
            out->n = (size_t)(end - out->p);
    }
    return out->n ? EXIT_GOOD : ctl_fail(ctl, EXIT_USAGE, "the identifier is empty");
}

static int read_salt(struct ctl *ctl, const char *text, uint8_t salt[32])
{
    if (!text)
        return getrandom(salt, 32, 0) == 32
                   ? EXIT_GOOD
                   : ctl_fail(ctl, EXIT_NO_ANSWER, "the system gives no random bytes");
    if (strlen(text) != 64 || !hex_decode(span_str(text), salt))
        return ctl_fail(ctl, EXIT_USAGE, "--salt takes 64 hexadecimal digits, lower case");
    return EXIT_GOOD;
}

static int print_commitment(struct ctl *ctl, const struct hash *commit, const uint8_t salt[32])
{
    char hex[2 * HASH_LEN + 1], salt_hex[65];
    hex_encode(span_of(commit->b, HASH_LEN), hex);
    hex_encode(span_of(salt, 32), salt_hex);
    if (ctl->json) {
        struct json_writer w;
        json_writer_init(&w, ctl->a, true);
        json_object(&w);
        json_put_string(&w, "subject_commit", span_str(hex));
        json_put_string(&w, "salt", span_str(salt_hex));
        json_end(&w);
        return ctl_print_json(ctl, &w);
    }
    printf("subject_commit  %s\nsalt            %s\n", hex, salt_hex);
    ctl_note(ctl, "Keep the salt with the identifier: whoever has both can show whom the "
                  "commitment stands for.");
    return EXIT_GOOD;
}

int cmd_subject(struct ctl *ctl, int argc, char **argv)
{
    const char *salt_text = NULL;
    const struct ctl_opt opts[] = {{"salt", OPT_TEXT, {.text = &salt_text}, 0}};
    struct span id;
    uint8_t salt[32];
    struct hash commit;
    char **args;
    unsigned n;
    bool done;
    if (!ctl_options(ctl, argc, argv, opts, 1, 2, 2, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    if (strcmp(args[0], "commit") != 0)
        return ctl_fail(ctl, EXIT_USAGE, "subject does not know \"%s\"; it knows commit", args[0]);
    int exit = read_identifier(ctl, args[1], &id);
    if (!exit)
        exit = read_salt(ctl, salt_text, salt);
    if (exit)
        return exit;
    const struct hfield fields[] = {HFIX(salt, 32), HVAR(id)};
    crypto_labelled(ctl->c, LABEL_SUBJECT, fields, 2, &commit);
    return print_commitment(ctl, &commit, salt);
}
