/* SPDX-License-Identifier: Apache-2.0 */
/*
 * party: registers those who sign, changes their roles and keys, revokes them. Each is a
 * PARTY_REGISTERED event by an administrator. What an action does not change is filled in from the
 * party's proven state.
 */
#include <string.h>

#include "ask.h"
#include "recording.h"

struct party_args {
    struct ctl *ctl;
    const char *action, *party;
    const char *roles, *org, *key, *pubkey, *proof, *gln, *name_commit, *reference, *occurred,
        *receipt;
    struct ctl_list sign;
    bool force;
    struct key_ring ring;
};

/* ---- the key ---- */

static int set_proof(struct party_args *pa, struct event *ev, const uint8_t *proof, size_t n)
{
    ev->key_proof = arena_copy(pa->ctl->a, span_of(proof, n));
    return ev->key_proof.p ? EXIT_GOOD : ctl_fail(pa->ctl, EXIT_NO_ANSWER, "out of memory");
}

static int key_from_file(struct party_args *pa, struct event *ev)
{
    uint8_t proof[64];
    struct ledger_err err = {0};
    struct ledger_key *k;
    int exit = ring_add_file(&pa->ring, pa->key, &k);
    if (!exit && strcmp(k->party, pa->party) != 0)
        exit = ctl_fail(pa->ctl, EXIT_USAGE, "%s is the key of %s, not of %s", pa->key, k->party,
                        pa->party);
    if (!exit)
        exit = ctl_profile(pa->ctl);
    if (exit)
        return exit;
    if (ledger_key_prove(k, pa->ctl->profile->origin, proof, &err))
        return ctl_fail_err(pa->ctl, &err, LEDGER_RECORDED_NOTHING);
    exit = recording_set(pa->ctl, ev, "pubkey", k->public_text);
    return exit ? exit : set_proof(pa, ev, proof, sizeof proof);
}

static int set_key(struct party_args *pa, struct event *ev)
{
    uint8_t proof[SIG_LEN_MAX];
    size_t n = 0;
    if (pa->key)
        return key_from_file(pa, ev);
    if (!pa->pubkey || !pa->proof)
        return ctl_fail(pa->ctl, EXIT_USAGE,
                        "which key? Give --key FILE, or --pubkey and --proof as `ledgerctl key "
                        "show` prints them");
    if (!b64_decode(span_str(pa->proof), proof, sizeof proof, &n) || n == 0)
        return ctl_fail(pa->ctl, EXIT_USAGE, "--proof is not base64");
    int exit = recording_set(pa->ctl, ev, "pubkey", pa->pubkey);
    return exit ? exit : set_proof(pa, ev, proof, n);
}

/* ---- roles and organisation ---- */

static const char *roles_text(struct ctl *ctl, uint32_t roles)
{
    const char *out = "";
    for (unsigned r = ROLE_ADMIN; r <= ROLE_WAREHOUSE; r++)
        if (roles & ROLE_BIT(r))
            out = ctl_text(ctl, "%s%s%s", out, *out ? "," : "", role_name((enum role)r));
    return out;
}

/* The party's present roles and organisation, for what the command line leaves out. */
static int fill_from_ledger(struct party_args *pa)
{
    struct chain_name name = {CHAIN_PARTY, span_str(pa->party)};
    struct prove_request rq = {.chains = &name, .n = 1};
    struct reply *r;
    if (pa->roles && pa->org)
        return EXIT_GOOD;
    int exit = ask_prove(pa->ctl, &rq, &r);
    if (exit)
        return exit;
    const struct proven_subject *s = &r->u.prove.subjects[0];
    struct proven_chain pc;
    subject_open(s, &pc);
    if (!s->present) {
        exit = ask_absent(pa->ctl, r, s);
    } else if (!s->opened) {
        exit = ctl_fail(pa->ctl, EXIT_USAGE, "the state of %s is withheld; give --roles and --org",
                        pa->party);
    } else {
        if (!pa->roles)
            pa->roles = roles_text(pa->ctl, pc.chain.party.roles);
        if (!pa->org)
            pa->org = ctl_span(pa->ctl, pc.chain.party.org);
    }
    reply_free(r);
    return exit;
}

static int set_optional(struct ctl *ctl, struct event *ev, const char *field, const char *text)
{
    return text ? recording_set(ctl, ev, field, text) : EXIT_GOOD;
}

static int record_party(struct party_args *pa, const char *action)
{
    struct ctl *ctl = pa->ctl;
    struct event ev;
    struct signing signings[SIGNATURES_READ_MAX];
    const struct ctl_list no_meanings = {0};
    unsigned n;
    bool registers = strcmp(action, "REGISTER") == 0,
         keyed = registers || strcmp(action, "ROTATE_KEY") == 0;
    if (registers && (!pa->roles || !pa->org))
        return ctl_fail(ctl, EXIT_USAGE, "register needs --roles and --org");
    if (strcmp(action, "AMEND") == 0 && !pa->roles)
        return ctl_fail(ctl, EXIT_USAGE,
                        "amend needs --roles: all that the party is to have from here on");
    int exit = recording_begin(ctl, "PARTY_REGISTERED", pa->reference, pa->occurred, &ev);
    if (!exit)
        exit = fill_from_ledger(pa);
    const char *fields[][2] = {{"action", action},   {"party", pa->party},
                               {"roles", pa->roles}, {"org", pa->org},
                               {"gln", pa->gln},     {"name_commit", pa->name_commit}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && !exit; i++)
        exit = set_optional(ctl, &ev, fields[i][0], fields[i][1]);
    if (!exit && keyed)
        exit = set_key(pa, &ev);
    if (!exit)
        exit = ring_signings(&pa->ring, &pa->sign, &no_meanings, signings, &n);
    return exit ? exit : recording_finish(ctl, &ev, signings, n, pa->receipt, pa->force);
}

static int show_party(struct ctl *ctl, char *party)
{
    char show[] = "show", type[] = "--type", name[] = "party";
    char *argv[] = {show, party, type, name, NULL};
    return cmd_show(ctl, 4, argv);
}

int cmd_party(struct ctl *ctl, int argc, char **argv)
{
    static const char *const actions[][2] = {{"register", "REGISTER"},
                                             {"amend", "AMEND"},
                                             {"rotate", "ROTATE_KEY"},
                                             {"revoke", "REVOKE"}};
    struct party_args pa = {.ctl = ctl, .ring = {.ctl = ctl}};
    const struct ctl_opt opts[] = {
        {"roles", OPT_TEXT, {.text = &pa.roles}, 0},
        {"org", OPT_TEXT, {.text = &pa.org}, 0},
        {"key", OPT_TEXT, {.text = &pa.key}, 0},
        {"pubkey", OPT_TEXT, {.text = &pa.pubkey}, 0},
        {"proof", OPT_TEXT, {.text = &pa.proof}, 0},
        {"gln", OPT_TEXT, {.text = &pa.gln}, 0},
        {"name-commit", OPT_TEXT, {.text = &pa.name_commit}, 0},
        {"reference", OPT_TEXT, {.text = &pa.reference}, 0},
        {"occurred", OPT_TEXT, {.text = &pa.occurred}, 0},
        {"sign", OPT_LIST, {.list = &pa.sign}, 's'},
        {"output", OPT_TEXT, {.text = &pa.receipt}, 'o'},
        {"force", OPT_FLAG, {.flag = &pa.force}, 0},
    };
    char **args;
    unsigned n;
    bool done;
    if (!ctl_options(ctl, argc, argv, opts, sizeof opts / sizeof opts[0], 2, 2, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    pa.party = args[1];
    if (!id_valid(span_str(pa.party)))
        return ctl_fail(ctl, EXIT_USAGE,
                        "a party's id is 1 to %d printable ASCII characters without space", ID_MAX);
    if (strcmp(args[0], "show") == 0)
        return show_party(ctl, args[1]);
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(args[0], actions[i][0]) != 0)
            continue;
        ctl->unsent = true;
        int exit = record_party(&pa, actions[i][1]);
        ring_free(&pa.ring);
        return exit;
    }
    return ctl_fail(ctl, EXIT_USAGE,
                    "party does not know \"%s\"; it knows register, amend, rotate, revoke, show",
                    args[0]);
}
