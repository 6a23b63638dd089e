/* SPDX-License-Identifier: Apache-2.0 */
/* act: signing and submitting acts of the ledger (act.h). */
#include "act.h"

#include <string.h>
#include <sys/random.h>

#include "batch.h"
#include "chain_json.h"
#include "refused.h"

#define ACT_SIGNATURES 2
#define ERASE_TIMEOUT_MS 600000 /* the answer comes when the data file has been written anew */
#define ACT_BYTES_MAX ((size_t)1 << 20)

int act_nonce(struct ctl *ctl, uint8_t nonce[16])
{
    return getrandom(nonce, 16, 0) == 16 ? EXIT_GOOD
                                         : ctl_fail(ctl, EXIT_NO_ANSWER, "the system gives no random bytes");
}

int act_new(struct ctl *ctl, unsigned kind, struct span payload, struct ledger_batch **out)
{
    struct ledger_err err = {0};
    *out = NULL;
    int exit = ctl_profile(ctl);
    if (exit)
        return exit;
    if (!payload.p)
        return ctl_fail(ctl, EXIT_NO_ANSWER, "out of memory");
    if (ledger_batch_new(ctl->profile->origin, out, &err) == LEDGER_OK &&
        batch_add_own(*out, kind, payload, &err) == LEDGER_OK)
        return EXIT_GOOD;
    ledger_batch_free(*out);
    *out = NULL;
    return ctl_fail_err(ctl, &err, LEDGER_RECORDED_NOTHING);
}

int act_read(struct ctl *ctl, const struct act_options *o, unsigned kind, struct ledger_batch **out)
{
    struct ledger_err err = {0};
    struct span bytes;
    *out = NULL;
    int exit = ctl_profile(ctl);
    if (!exit)
        exit = ctl_read_file(ctl, o->file, ACT_BYTES_MAX, &bytes);
    if (exit)
        return exit;
    if (batch_own_decode(ctl->profile->origin, bytes, out, &err))
        return ctl_fail(ctl, err.rc == LEDGER_EVERSION ? EXIT_NO_ANSWER : EXIT_USAGE, "%s: %s", o->file, err.msg);
    if ((*out)->own_kind == kind)
        return EXIT_GOOD;
    exit = ctl_fail(ctl, EXIT_USAGE, "%s holds an act of kind %s, not %s", o->file,
                    entry_kind_name((*out)->own_kind), entry_kind_name(kind));
    ledger_batch_free(*out);
    *out = NULL;
    return exit;
}

const char *act_signers(struct ctl *ctl, const struct signature *sigs, size_t n)
{
    const char *out = "";
    for (size_t i = 0; i < n; i++)
        out = ctl_text(ctl, "%s%s%s (%s)", out, *out ? ", " : "", ctl_span(ctl, sigs[i].party),
                       ctl_span(ctl, sigs[i].meaning));
    return out;
}

void act_result_json(struct json_writer *w, const struct ledger_batch *b, const struct reply *r)
{
    const struct submit_result *s = &r->u.submit.results[0];
    json_put_uint(w, "index", s->index);
    json_put_hex(w, "event_id", span_of(b->events[0].id.b, HASH_LEN));
    json_put_time(w, "recorded", s->recorded_us);
    ctl_basis_json(w, r);
}

/* Signatures that are still to be given, by the keys of --sign. */
static int sign(struct ctl *ctl, struct ledger_batch *b, const struct act_options *o)
{
    struct key_ring ring = {.ctl = ctl};
    struct signing signings[SIGNATURES_READ_MAX];
    struct ledger_err err = {0};
    unsigned n = 0;
    size_t want = o->prepare ? 1 : ACT_SIGNATURES;
    int exit = ring_signings(&ring, &o->sign, &o->meaning, signings, &n);
    if (!exit && b->n_signatures + n != want)
        exit = ctl_fail(ctl, EXIT_USAGE,
                        o->prepare ? "--prepare takes the first signature alone"
                                   : "two persons sign this, %zu of them %s: an administrator first, then QA or REGULATORY "
                                     "(--sign KEY for each; at two desks: --prepare, then --act)",
                        b->n_signatures + n, b->n_signatures + n == 1 ? "does" : "do");
    for (unsigned i = 0; i < n && !exit; i++) {
        if (b->n_signatures == 1 && o->meaning.n <= i)
            signings[i].meaning = "verification"; /* also of the only --sign at the second desk */
        if (batch_sign(b, signings[i].key, signings[i].meaning, NULL, &err))
            exit = ctl_fail_err(ctl, &err, LEDGER_RECORDED_NOTHING);
    }
    ring_free(&ring);
    return exit;
}

static int write_prepared(struct ctl *ctl, const struct ledger_batch *b, const struct act_options *o)
{
    struct ledger_err err = {0};
    uint8_t *bytes;
    size_t n;
    if (batch_own_encode(b, &bytes, &n, &err))
        return ctl_fail_err(ctl, &err, LEDGER_RECORDED_NOTHING);
    int exit = ctl_write_file(ctl, o->prepare, span_of(bytes, n), o->force);
    ledger_free(bytes);
    if (exit)
        return exit;
    if (!ctl->json) {
        printf("%s: prepared and signed by %s. Nothing was recorded: the second signer submits it with --act.\n", o->prepare,
               act_signers(ctl, b->sigs, b->n_signatures));
        return EXIT_GOOD;
    }
    struct json_writer w;
    json_writer_init(&w, ctl->a, true);
    json_object(&w);
    json_put_string(&w, "outcome", SPAN_LIT("prepared"));
    json_put_string(&w, "recorded", SPAN_LIT("nothing"));
    json_put_string(&w, "file", span_str(o->prepare));
    json_put_hex(&w, "event_id", span_of(b->events[0].id.b, HASH_LEN));
    json_end(&w);
    return ctl_print_json(ctl, &w);
}

static int submit(struct ctl *ctl, struct ledger_batch *b, struct reply **out)
{
    struct call_request rq = {.op = CALL_SUBMIT, .u.submit = {.batch = b}};
    if (ctl->timeout_ms == 0 && b->own_kind == OWN_ERASURE)
        ctl->timeout_ms = ERASE_TIMEOUT_MS;
    int exit = ctl_call(ctl, &rq, out);
    if (exit)
        return exit;
    const struct submit_result *s = (*out)->u.submit.n == 1 ? &(*out)->u.submit.results[0] : NULL;
    if (s && (s->outcome == LEDGER_ACCEPTED || s->outcome == LEDGER_BEFORE))
        return EXIT_GOOD;
    exit = s && s->outcome == LEDGER_REFUSED
               ? refused_print(ctl, &(struct refused){.kind = entry_kind_name(b->own_kind), .why = &s->why, .index = s->index})
               : ctl_fail(ctl, EXIT_NO_ANSWER, "the server's answer is not understood");
    reply_free(*out);
    *out = NULL;
    return exit;
}

int act_finish(struct ctl *ctl, struct ledger_batch *b, const struct act_options *o, struct reply **out)
{
    *out = NULL;
    int exit = sign(ctl, b, o);
    if (exit)
        return exit;
    return o->prepare ? write_prepared(ctl, b, o) : submit(ctl, b, out);
}
