/* SPDX-License-Identifier: Apache-2.0 */
/*
 * play: sends a file of events over the wire into a fresh ledger, with the verdicts that a
 * simulation of the same file gives, but where one rests on the recorded time, which is the
 * ledger's own here.
 *
 * Between file and wire there are differences, and what bridges each of them is here:
 *   - Keys in a file are placeholders. A key is made for each registration, and it signs from the
 * moment that line is accepted. Parties that are not registered sign with a key that is made up.
 *   - The typed encoding cannot carry an ill-typed value, so what the rules refuse for a line's
 * form is refused before it is sent.
 *   - A file has one name space of ids, the ledger has one for each first signer.
 *   - A correction names its target by the line's id in a file and by the event's id in the ledger.
 *   - A file's first registration needs no signature; in the ledger the administrator of the
 * genesis entry gives it. That administrator would also count where the rules want another
 * administrator left: see administrator_steps_down.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lines.h"
#include "names.h"
#include "recording.h"
#include "sender.h"

#define LINE_ARENA_BUDGET ((size_t)1 << 30)

struct party {
    struct party *next;
    struct ledger_key *key;      /* that it signs with now: registered, or made up */
    struct ledger_key *next_key; /* that the registration under way brings */
    unsigned roles;              /* mask of ROLE_BIT */
    bool registered, revoked;
};

enum known_state { KNOWN_NOT = 0, KNOWN_SENT, KNOWN_ACCEPTED };
struct known {
    enum known_state state;
    struct hash event_id;
    struct span first_party; /* of the signers on the wire */
};

/* One line, until its verdict is printed. */
struct played {
    struct span id;          /* of the names */
    struct known *known;     /* NULL: an event of our own, which is not printed */
    struct refusal why;      /* a local verdict; code REFUSE_NONE: the ledger's */
    struct party *registers; /* PARTY_REGISTERED: who … */
    unsigned action, roles;  /* … and what */
};

struct play {
    struct ctl *ctl;
    struct arena *a; /* of one line */
    struct sender *sender;
    struct key_ring ring;
    struct name_map ids, parties;
    struct party *all;
    const char *keys_folder;
    bool keep_administrator, stepped_down;
    struct ledger_key *administrator;
    uint64_t n_registered;
    uint64_t accepted, refused, unanswered;
};

static int no_memory(struct play *p)
{
    return ctl_fail(p->ctl, EXIT_NO_ANSWER, "out of memory");
}

/* ---- parties and their keys ---- */

static int new_key(struct play *p, struct span id, struct ledger_key **out)
{
    struct ledger_err err = {0};
    struct span name = id;
    int exit = EXIT_GOOD;
    /* A signature cannot name what is no id. Whatever stands for it is as unknown to the ledger. */
    if (!id_valid(id))
        exit = recording_reference(p->ctl, &name);
    if (!exit && ledger_key_new("ed25519", ctl_span(p->ctl, name), out, &err))
        exit = ctl_fail_err(p->ctl, &err, (enum ledger_recorded)0);
    return exit;
}

static int party_of(struct play *p, struct span id, struct party **out)
{
    struct name_entry *e = name_get(&p->parties, id);
    *out = e ? e->value : NULL;
    if (!e || *out)
        return e ? EXIT_GOOD : no_memory(p);
    struct party *party = calloc(1, sizeof *party);
    if (!party)
        return no_memory(p);
    party->next = p->all;
    p->all = party;
    e->value = *out = party;
    return EXIT_GOOD;
}

static void free_parties(struct play *p)
{
    struct party *next;
    for (struct party *party = p->all; party; party = next) {
        next = party->next;
        ledger_key_free(party->key);
        ledger_key_free(party->next_key);
        free(party);
    }
}

/* A file name that no party's id can lead astray. */
static const char *file_name(struct play *p, const char *party)
{
    char out[3 * ID_MAX + 1];
    size_t n = 0;
    for (const char *c = party; *c && n + 4 < sizeof out; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("_-@", *c) || (*c == '.' && c != party);
        n += (size_t)snprintf(out + n, sizeof out - n, plain ? "%c" : "%%%02x", (unsigned char)*c);
    }
    return ctl_text(p->ctl, "%s/%.*s.key", p->keys_folder, (int)n, out);
}

/* A key that was replaced is kept under another name. */
static void keep_key(struct play *p, const struct ledger_key *key)
{
    struct ledger_err err = {0};
    const char *path = file_name(p, key->party), *old = path;
    for (unsigned i = 1; access(old, F_OK) == 0; i++)
        old = ctl_text(p->ctl, "%s.replaced-%u", path, i);
    if ((old != path && rename(path, old) != 0) || ledger_key_save(key, path, &err))
        ctl_note(p->ctl, "The key of %s could not be kept: %s", key->party,
                 err.msg[0] ? err.msg : strerror(errno));
}

static bool is_admin(const struct party *party)
{
    return party->registered && !party->revoked && (party->roles & ROLE_BIT(ROLE_ADMIN));
}

/* Is it the only administrator that the file knows? */
static bool is_last_admin(const struct play *p, const struct party *party)
{
    if (!is_admin(party))
        return false;
    for (const struct party *other = p->all; other; other = other->next)
        if (other != party && is_admin(other))
            return false;
    return true;
}

/* ---- verdicts ---- */

static void register_party(struct play *p, const struct played *line)
{
    struct party *party = line->registers;
    if (line->action == PARTY_REGISTER || line->action == PARTY_ROTATE_KEY) {
        ledger_key_free(party->key);
        party->key = party->next_key;
        party->next_key = NULL;
        if (p->keys_folder)
            keep_key(p, party->key);
    }
    if (line->action == PARTY_REGISTER) {
        party->registered = true;
        p->n_registered++;
    }
    if (line->action == PARTY_REGISTER || line->action == PARTY_AMEND)
        party->roles = line->roles;
    if (line->action == PARTY_REVOKE)
        party->revoked = true;
}

static void on_verdict(void *ctx, void *tag, const struct sent *sent)
{
    struct play *p = ctx;
    struct played *line = tag;
    const struct refusal *why = &line->why;
    const struct submit_result *r = sent->result;
    bool local = line->why.code != REFUSE_NONE,
         answered = local || (r && r->outcome != LEDGER_SKIPPED);
    bool accepted = answered && !local && r->outcome != LEDGER_REFUSED;
    if (answered && !local && !accepted)
        why = &r->why;
    if (!line->known) {
        if (answered && !accepted)
            ctl_note(p->ctl, "The profile's administrator could not be revoked: %s: %s",
                     refusal_name(why->code), why->text);
        free(line);
        return;
    }
    if (!local)
        line->known->state = accepted ? KNOWN_ACCEPTED : KNOWN_NOT;
    if (accepted) {
        line->known->event_id = *sent->event_id;
        if (line->registers)
            register_party(p, line);
    }
    p->accepted += accepted;
    p->refused += answered && !accepted;
    p->unanswered += !answered;
    if (answered)
        line_print(p->ctl, line->id, accepted ? NULL : why, accepted ? &r->index : NULL,
                   accepted ? sent->event_id : NULL);
    free(line);
}

/* ---- from a line to what is sent ---- */

static int local_verdict(struct play *p, struct played *line)
{
    int exit = sender_local(p->sender, line);
    if (exit)
        free(line);
    return exit;
}

static int add_event(struct play *p, struct event *ev, const struct signing *signings, unsigned n,
                     struct played *line)
{
    int exit = recording_nonce(p->ctl, ev);
    struct span bytes = event_encode(p->a, ev);
    if (!exit && !bytes.p)
        exit = no_memory(p);
    if (!exit)
        exit = sender_add(p->sender, signings, n, bytes, line, &line->why);
    if (exit) {
        free(line);
        return exit;
    }
    if (line->why.code == REFUSE_NONE)
        return EXIT_GOOD;
    if (line->known)
        line->known->state = KNOWN_NOT;
    return local_verdict(p, line);
}

/*
 * In a file the last administrator cannot be taken away. In the ledger the administrator of the
 * profile would be left, so it revokes itself first, with the file's administrator as the one that
 * is left; from then on both count the same. It is not needed any more: it signs only until the
 * file's first party is registered. Where the file has a further administrator both agree anyway.
 */
static int administrator_steps_down(struct play *p)
{
    struct event ev;
    struct signing admin = {p->administrator, "authorship"};
    struct played *line = calloc(1, sizeof *line);
    if (!line)
        return no_memory(p);
    ctl_note(p->ctl,
             "The administrator of the profile, %s, revokes itself, so that the file's own are the "
             "only ones "
             "(--keep-administrator prevents it).",
             p->administrator->party);
    p->stepped_down = true;
    int exit = recording_begin(p->ctl, "PARTY_REGISTERED", NULL, NULL, &ev);
    if (!exit)
        exit = recording_set(p->ctl, &ev, "action", "REVOKE");
    if (!exit)
        exit = recording_set(p->ctl, &ev, "party", p->administrator->party);
    if (!exit)
        exit = recording_set(p->ctl, &ev, "roles", "ADMIN");
    if (!exit)
        exit = recording_set(p->ctl, &ev, "org", "-");
    if (exit) {
        free(line);
        return exit;
    }
    exit = add_event(p, &ev, &admin, 1, line);
    return exit ? exit : sender_drain(p->sender);
}

static int replace_key(struct play *p, struct event *ev, struct party *party)
{
    struct ledger_err err = {0};
    struct value *pubkey = &ev->fields[kind_field_at(ev->kind, FIELD_PUBKEY)->number - 1];
    uint8_t *proof = arena_alloc(p->a, 64);
    ledger_key_free(party->next_key);
    party->next_key = NULL;
    int exit = proof ? new_key(p, event_text(ev, FIELD_PARTY), &party->next_key) : no_memory(p);
    if (exit)
        return exit;
    if (ledger_key_prove(party->next_key, p->ctl->profile->origin, proof, &err))
        return ctl_fail_err(p->ctl, &err, (enum ledger_recorded)0);
    *pubkey = (struct value){.type = VALUE_TEXT, .raw = span_str(party->next_key->public_text)};
    ev->key_proof = span_of(proof, 64);
    return EXIT_GOOD;
}

/* Earlier registrations have their verdicts: each is waited for. */
static int prepare_registration(struct play *p, struct event *ev, struct played *line)
{
    int exit = party_of(p, event_text(ev, FIELD_PARTY), &line->registers);
    if (exit)
        return exit;
    const struct value *roles = event_get(ev, FIELD_ROLES);
    for (size_t i = 0; roles && i < roles->n; i++)
        line->roles |= ROLE_BIT(roles->items[i].e);
    line->action = event_enum(ev, FIELD_ACTION);
    bool takes_admin = line->action == PARTY_REVOKE ||
                       (line->action == PARTY_AMEND && !(line->roles & ROLE_BIT(ROLE_ADMIN)));
    if (takes_admin && is_last_admin(p, line->registers) && !p->stepped_down &&
        !p->keep_administrator)
        exit = administrator_steps_down(p);
    if (!exit && (line->action == PARTY_REGISTER || line->action == PARTY_ROTATE_KEY))
        exit = replace_key(p, ev, line->registers);
    return exit;
}

/* A target that this file's own lines do not know stays as it is, and the ledger says so. */
static int translate_target(struct play *p, struct event *ev)
{
    struct value *v = &ev->fields[kind_field_at(ev->kind, FIELD_TARGET_EVENT)->number - 1];
    const struct name_entry *e = name_find(&p->ids, v->raw);
    const struct known *k = e ? e->value : NULL;
    int exit = k && k->state == KNOWN_SENT ? sender_drain(p->sender) : EXIT_GOOD;
    if (exit || !k || k->state != KNOWN_ACCEPTED)
        return exit;
    char *hex = arena_alloc(p->a, 2 * HASH_LEN + 1);
    if (!hex)
        return no_memory(p);
    hex_encode(span_of(k->event_id.b, HASH_LEN), hex);
    v->raw = span_of(hex, 2 * HASH_LEN);
    return EXIT_GOOD;
}

/* The signatures as the line gives them; more than can be read are as many as too many. */
static int signings_of(struct play *p, const struct line *line,
                       struct signing out[SIGNATURES_READ_MAX], unsigned *n)
{
    if (p->n_registered == 0 && line->event.kind->kind == KIND_PARTY_REGISTERED) {
        out[0] = (struct signing){p->administrator, "authorship"};
        *n = 1;
        return EXIT_GOOD;
    }
    *n = line->n_signers < SIGNATURES_READ_MAX ? (unsigned)line->n_signers : SIGNATURES_READ_MAX;
    for (unsigned i = 0; i < *n; i++) {
        const struct line_signer *s = &line->signers[i];
        struct party *party;
        int exit = party_of(p, s->party, &party);
        if (!exit && !party->key)
            exit = new_key(p, s->party, &party->key);
        if (exit)
            return exit;
        out[i] = (struct signing){party->key, s->meaning.p ? arena_strdup(p->a, s->meaning) : NULL};
    }
    return EXIT_GOOD;
}

/* Was the id used under another first signer, so that the ledger would not see it? */
static int used_before(struct play *p, const struct known *k, const struct signing *signings,
                       unsigned n, bool *used)
{
    int exit = k->state == KNOWN_SENT ? sender_drain(p->sender) : EXIT_GOOD;
    *used = !exit && k->state == KNOWN_ACCEPTED &&
            (n == 0 || !span_eq(span_str(signings[0].key->party), k->first_party));
    return exit;
}

static int known_of(struct play *p, struct span id, struct played *line)
{
    struct name_entry *e = name_get(&p->ids, id);
    if (e && !e->value)
        e->value = arena_alloc(p->ctl->a, sizeof *line->known);
    if (!e || !e->value)
        return no_memory(p);
    line->id = e->name;
    line->known = e->value;
    return EXIT_GOOD;
}

static int send_line(struct play *p, struct line *line, struct played *out)
{
    struct signing signings[SIGNATURES_READ_MAX];
    unsigned n = 0;
    bool used = false;
    struct event *ev = &line->event;
    bool registration = ev->kind->kind == KIND_PARTY_REGISTERED;
    int exit = signings_of(p, line, signings, &n);
    if (!exit)
        exit = used_before(p, out->known, signings, n, &used);
    if (used) {
        refuse(&out->why, E_DUP_EVENT, NULL, "reference", "the id is that of an accepted line");
        return local_verdict(p, out);
    }
    if (!exit && registration)
        exit = prepare_registration(p, ev, out);
    if (!exit && ev->kind->kind == KIND_EVENT_CORRECTED)
        exit = translate_target(p, ev);
    if (exit) {
        free(out);
        return exit;
    }
    if (out->known->state ==
        KNOWN_ACCEPTED) /* the ledger will refuse it; the line that was accepted stays known */
        out->known = arena_alloc(p->ctl->a, sizeof *out->known);
    if (!out->known) {
        free(out);
        return no_memory(p);
    }
    out->known->state = KNOWN_SENT;
    out->known->first_party =
        n ? span_str(ctl_text(p->ctl, "%s", signings[0].key->party)) : SPAN_NONE;
    exit = add_event(p, ev, signings, n, out);
    return exit || !registration ? exit : sender_drain(p->sender);
}

static int play_line(struct play *p, struct line *line)
{
    struct played *out = calloc(1, sizeof *out);
    int exit = out ? known_of(p, line->id, out) : no_memory(p);
    if (exit) {
        free(out);
        return exit;
    }
    if (!event_check_form(&line->event, &out->why))
        return local_verdict(p, out);
    return send_line(p, line, out);
}

static int play_file(struct play *p, struct line_file *lf)
{
    struct line line;
    bool end;
    for (;;) {
        arena_reset(p->a);
        int exit = line_file_next(lf, p->a, &line, &end);
        if (exit || end)
            return exit;
        if (line.id.n == 0)
            return line_file_fail(lf, "the event has no id");
        exit = play_line(p, &line);
        if (exit)
            return exit;
    }
}

static int prepare(struct play *p)
{
    int exit = ctl_connect(p->ctl);
    if (exit)
        return exit;
    if (!p->ctl->profile->party[0])
        return ctl_fail(
            p->ctl, EXIT_USAGE,
            "the profile names no party; playing needs the ledger's first administrator");
    if (p->keys_folder && mkdir(p->keys_folder, 0700) != 0 && errno != EEXIST)
        return ctl_fail(p->ctl, EXIT_USAGE, "%s: %s", p->keys_folder, strerror(errno));
    p->sender = sender_new(p->ctl, false, on_verdict, p);
    if (!p->sender)
        return EXIT_NO_ANSWER;
    return ring_party(&p->ring, span_str(p->ctl->profile->party), &p->administrator);
}

int cmd_play(struct ctl *ctl, int argc, char **argv)
{
    struct play p = {
        .ctl = ctl, .ring = {.ctl = ctl}, .ids = {.a = ctl->a}, .parties = {.a = ctl->a}};
    ctl->unsent = true;
    const struct ctl_opt opts[] = {
        {"keys", OPT_TEXT, {.text = &p.keys_folder}, 0},
        {"keep-administrator", OPT_FLAG, {.flag = &p.keep_administrator}, 0}};
    struct line_file lf = {0};
    char **args;
    unsigned n;
    bool done;
    if (!ctl_options(ctl, argc, argv, opts, 2, 1, 1, &args, &n, &done))
        return EXIT_USAGE;
    if (done)
        return EXIT_GOOD;
    int exit = line_file_open(&lf, ctl, args[0]);
    p.a = arena_new(LINE_ARENA_BUDGET);
    if (!exit && !p.a)
        exit = no_memory(&p);
    if (!exit)
        exit = prepare(&p);
    if (!exit)
        exit = play_file(&p, &lf);
    if (p.sender) {
        int sent = sender_drain(p.sender);
        exit = exit ? exit : sent;
        fflush(stdout);
        ctl_note(ctl, "%llu accepted, %llu refused%s.", (unsigned long long)p.accepted,
                 (unsigned long long)p.refused,
                 p.unanswered
                     ? ctl_text(ctl, ", %llu without an answer", (unsigned long long)p.unanswered)
                     : "");
    }
    sender_free(p.sender);
    free_parties(&p);
    ring_free(&p.ring);
    arena_free(p.a);
    line_file_close(&lf);
    return exit;
}
