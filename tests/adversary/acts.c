/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acts: lies about the ledger's own acts (liar.h): what two persons have to sign is recorded with one signature, an ERASURE names what cannot be
 * erased, a time stamp's token stands beside another checkpoint than the one that it stamps, and checkpoints are signed with a key that
 * was replaced.
 */
#include <stdlib.h>
#include <string.h>

#include "keyfile.h"
#include "liar.h"
#include "log_note.h"
#include "verify_stamp.h"

enum ledger_rc __real_machine_own_signed(struct machine *m, const struct signed_own *s, int64_t recorded_us, struct appended_entry *out,
                                         struct refusal *why, struct ledger_err *err);
enum ledger_rc __wrap_machine_own_signed(struct machine *m, const struct signed_own *s, int64_t recorded_us, struct appended_entry *out,
                                         struct refusal *why, struct ledger_err *err);
enum ledger_rc __real_machine_erase_targets(struct machine *m, const struct erasure *e, int64_t recorded_us, struct refusal *why,
                                            struct ledger_err *err);
enum ledger_rc __wrap_machine_erase_targets(struct machine *m, const struct erasure *e, int64_t recorded_us, struct refusal *why,
                                            struct ledger_err *err);
enum ledger_rc __real_machine_own(struct machine *m, enum own_kind kind, struct span payload, int64_t recorded_us,
                                  struct appended_entry *out, struct ledger_err *err);
enum ledger_rc __wrap_machine_own(struct machine *m, enum own_kind kind, struct span payload, int64_t recorded_us,
                                  struct appended_entry *out, struct ledger_err *err);
bool __real_verify_time_stamp(struct crypto *c, struct arena *a, const struct header *h, struct span payload, struct span origin,
                              struct stamp_entry *out, struct verdict *v);
bool __wrap_verify_time_stamp(struct crypto *c, struct arena *a, const struct header *h, struct span payload, struct span origin,
                              struct stamp_entry *out, struct verdict *v);
enum ledger_rc __real_log_note(struct store *s, struct machine *m, const struct checkpoint *cp, struct arena *a, struct span *note,
                               struct ledger_err *err);
enum ledger_rc __wrap_log_note(struct store *s, struct machine *m, const struct checkpoint *cp, struct arena *a, struct span *note,
                               struct ledger_err *err);

/* ---- what two persons sign ---- */

/* Judged with both signatures, recorded with the first alone. */
enum ledger_rc __wrap_machine_own_signed(struct machine *m, const struct signed_own *s, int64_t recorded_us, struct appended_entry *out,
                                         struct refusal *why, struct ledger_err *err)
{
    struct signed_own other = *s;
    if (lie_is("act-by-one")) {
        struct sigblock *one = arena_alloc(m->a, sizeof *one);
        if (!one)
            liar_die(liar.lie, "out of memory");
        *one = *s->b;
        one->n = 1;
        other.block = sigblock_encode(m->a, one);
    }
    return __real_machine_own_signed(m, &other, recorded_us, out, why, err);
}

/* Whatever it names; what it may not destroy is left as it is. */
enum ledger_rc __wrap_machine_erase_targets(struct machine *m, const struct erasure *e, int64_t recorded_us, struct refusal *why,
                                            struct ledger_err *err)
{
    return lie_is("registration-erased") ? LEDGER_OK : __real_machine_erase_targets(m, e, recorded_us, why, err);
}

/* ---- time ---- */

static struct span first_token, true_payload; /* of the writer's thread */

/* From the second token on: the first one beside the checkpoint that the new one stamps, which then seems to be older. */
enum ledger_rc __wrap_machine_own(struct machine *m, enum own_kind kind, struct span payload, int64_t recorded_us,
                                  struct appended_entry *out, struct ledger_err *err)
{
    struct time_stamp stamp;
    if (!lie_is("stamp-of-another") || kind != OWN_TIME_STAMP)
        return __real_machine_own(m, kind, payload, recorded_us, out, err);
    if (time_stamp_decode(payload, &stamp, err))
        liar_die(liar.lie, "time stamp");
    true_payload = payload;
    if (first_token.p) {
        stamp.token = first_token;
        payload = time_stamp_encode(m->a, &stamp);
    } else {
        uint8_t *kept = malloc(stamp.token.n);
        if (!kept)
            liar_die(liar.lie, "out of memory");
        memcpy(kept, stamp.token.p, stamp.token.n);
        first_token = span_of(kept, stamp.token.n);
    }
    enum ledger_rc rc = __real_machine_own(m, kind, payload, recorded_us, out, err);
    true_payload = SPAN_NONE;
    return rc;
}

bool __wrap_verify_time_stamp(struct crypto *c, struct arena *a, const struct header *h, struct span payload, struct span origin,
                              struct stamp_entry *out, struct verdict *v)
{
    return __real_verify_time_stamp(c, a, h, true_payload.p ? true_payload : payload, origin, out, v);
}

/* ---- the log key ---- */

/* LIAR_A is the file of the key that was replaced. */
enum ledger_rc __wrap_log_note(struct store *s, struct machine *m, const struct checkpoint *cp, struct arena *a, struct span *note,
                               struct ledger_err *err)
{
    struct note_key key;
    struct secret_key secret;
    struct wbuf w;
    if (!lie_is("old-log-key") || cp->size < m->log_key_from)
        return __real_log_note(s, m, cp, a, note, err);
    if (keyfile_read(m->c, liar.a, NULL, &secret, err) || note_key_parse(m->c, span_str(m->log_vkey_before), &key, err))
        liar_die(liar.lie, err->msg);
    wbuf_init(&w, a);
    checkpoint_sign(m->c, &key, &secret, cp, &w);
    *note = wbuf_span(&w);
    return LEDGER_OK;
}
