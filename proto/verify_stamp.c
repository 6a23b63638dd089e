/* SPDX-License-Identifier: Apache-2.0 */
/* verify_stamp: TIME_STAMP entries (verify_stamp.h). */
#include "verify_stamp.h"

#include <string.h>

#define WHAT "time stamp"

/* The note as the payload has it: a checkpoint's text with exactly one signature line, of a key by the origin's name. */
static bool read_note(struct arena *a, struct span origin, struct stamp_entry *out, struct verdict *v)
{
    struct note note;
    struct ledger_err err = {0};
    if (note_parse(a, out->note, &note, &err) || checkpoint_parse(note.text, &out->cp, &err))
        return verdict_bad(v, verdict_of_error(err.rc, VERDICT_TAMPERED), out->index, WHAT, "its note is no signed checkpoint: %.160s", err.msg);
    if (!span_eq(out->cp.origin, origin))
        return verdict_bad(v, VERDICT_TAMPERED, out->index, WHAT, "its note is a checkpoint of another ledger, %.*s",
                           SPAN_FMT(out->cp.origin));
    if (note.n != 1 || !span_eq(note.sigs[0].name, origin))
        return verdict_bad(v, VERDICT_TAMPERED, out->index, WHAT, "its note does not carry the log's signature line alone");
    return true;
}

bool verify_time_stamp(struct crypto *c, struct arena *a, const struct header *h, struct span payload, struct span origin,
                       struct stamp_entry *out, struct verdict *v)
{
    struct time_stamp stamp;
    struct ledger_err err = {0};
    memset(out, 0, sizeof *out);
    out->index = h->index;
    out->recorded_us = h->recorded_us;
    enum ledger_rc rc = time_stamp_decode(payload, &stamp, &err);
    if (rc)
        return verdict_bad(v, verdict_of_error(rc, VERDICT_TAMPERED), h->index, WHAT, "%.200s", err.msg);
    out->note = stamp.note;
    out->token = stamp.token;
    if (!read_note(a, origin, out, v))
        return false;
    if (out->cp.size == 0 || out->cp.size > h->index)
        return verdict_bad(v, VERDICT_TAMPERED, h->index, WHAT, "it stamps a checkpoint of %llu entries, which did not exist yet",
                           (unsigned long long)out->cp.size);
    if (tsp_token_read(stamp.token, &out->info, &err))
        return verdict_bad(v, verdict_of_error(err.rc, VERDICT_TAMPERED), h->index, WHAT, "%.200s", err.msg);
    crypto_sha256(c, &stamp.note, 1, &out->imprint);
    return hash_eq(&out->imprint, &out->info.imprint)
               ? true
               : verdict_bad(v, VERDICT_TAMPERED, h->index, WHAT, "its token stamps something else than the note beside it");
}

enum ledger_rc time_stamp_trust(const struct stamp_entry *s, struct span ca_pem, struct tsp_trust *trust, struct ledger_err *err)
{
    struct tsp_info info;
    return tsp_token_verify(s->token, &s->imprint, ca_pem, &info, trust, err);
}
