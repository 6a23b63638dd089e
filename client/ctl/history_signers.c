/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history_signers: the signatures of a history, each under the key that its signer held when the entry was recorded. The chains of the
 * signers are proven as completely as the history itself; who was revoked before has signed nothing. Rules are not replayed.
 */
#include "history.h"

#include <string.h>

struct signers {
    struct ctl *ctl;
    const struct proven_subject *of;
    struct chain_name *names;
    size_t n;
};

static bool has_signatures(const struct entry *e)
{
    return !e->own && e->content;
}

static void add_name(struct signers *s, struct span party)
{
    for (size_t i = 0; i < s->n; i++)
        if (span_eq(s->names[i].id, party))
            return;
    s->names[s->n++] = (struct chain_name){CHAIN_PARTY, party};
}

static bool collect(struct signers *s)
{
    size_t most = 1;
    for (size_t i = 0; i < s->of->n_history; i++)
        most += has_signatures(&s->of->history[i]) ? s->of->history[i].block.n : 0;
    s->names = arena_alloc(s->ctl->a, most * sizeof *s->names);
    for (size_t i = 0; s->names && i < s->of->n_history; i++)
        for (size_t k = 0; has_signatures(&s->of->history[i]) && k < s->of->history[i].block.n; k++)
            add_name(s, s->of->history[i].block.sigs[k].party);
    return s->names != NULL;
}

/* Registrations may be withheld from this certificate: then nothing can be said about the party's signatures. */
static bool readable(const struct proven_subject *party)
{
    for (size_t i = 0; i < party->n_history; i++)
        if (!party->history[i].content)
            return false;
    return true;
}

/* Are the registrations of all who signed it here? What is withheld of one says nothing about the others. */
static bool all_readable(const struct signers *s, const struct entry *e, const bool *unread)
{
    for (size_t k = 0; k < e->block.n; k++)
        for (size_t i = 0; i < s->n; i++)
            if (unread[i] && span_eq(s->names[i].id, e->block.sigs[k].party))
                return false;
    return true;
}

static int check_all(struct signers *s, const struct reply *r, const struct party_history *parties, const bool *unread,
                     struct history_signatures *out)
{
    struct ctl *ctl = s->ctl;
    struct verifier vf = {.c = ctl->c, .a = ctl->a, .policy = client_profile(ctl->client)->policy};
    for (size_t i = 0; i < s->of->n_history; i++) {
        const struct entry *e = &s->of->history[i];
        struct verdict v = {0};
        struct ledger_err err = {0};
        if (!has_signatures(e) || !all_readable(s, e, unread))
            continue;
        if (verify_signers(&vf, r->snapshot.cp.origin, e, parties, s->n, &v)) {
            out->verified += e->block.n;
            continue;
        }
        const struct entry_claim *raw = &s->of->raw[i];
        const struct entry_record record = {.header = raw->header, .event = raw->event, .block = raw->block};
        ctl_keep_entry(ctl, e->header.index,
                       ctl_text(ctl, "entry #%llu, %s: %s", (unsigned long long)e->header.index, v.what, v.text), r->snapshot.note,
                       entry_record_join(ctl->a, &record), &err);
        return ctl_fail_err(ctl, &err, (enum ledger_recorded)0);
    }
    return EXIT_GOOD;
}

int history_check_signatures(struct ctl *ctl, const struct reply *r, const struct proven_subject *of, struct history_signatures *out)
{
    struct signers s = {.ctl = ctl, .of = of};
    struct reply *found = NULL;
    *out = (struct history_signatures){.withheld = false};
    if (!collect(&s))
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    if (s.n == 0)
        return EXIT_GOOD;
    struct prove_request rq = {.chains = s.names, .n = s.n, .history = true};
    int exit = ask_prove(ctl, &rq, &found);
    struct party_history *parties = arena_alloc(ctl->a, s.n * sizeof *parties);
    bool *unread = arena_alloc(ctl->a, s.n * sizeof *unread);
    for (size_t i = 0; !exit && parties && unread && i < s.n; i++) {
        const struct proven_subject *p = &found->u.prove.subjects[i];
        unread[i] = !readable(p);
        out->withheld |= unread[i];
        parties[i] = (struct party_history){s.names[i].id, p->n_history, p->history, p->raw};
    }
    if (!exit && (!parties || !unread))
        exit = ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    if (!exit)
        exit = check_all(&s, r, parties, unread, out);
    reply_free(found);
    return exit;
}
